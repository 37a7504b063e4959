/* explain_reply.c: POST /explain[/PATH]: the body is a request as a client would send it, its
 * headers come as X-Explain-NAME. Says what would be done with it, and by which values of the
 * configuration.
 */
#include "control/control_priv.h"

#include "lull/base/utf8.h"

#include <stdio.h>

static const struct span prefix = {"X-Explain-", 10};

static void put_string(struct buf *out, const char *name, const char *value)
{
    buf_text(out, ",\"%s\":", name);
    if (value == NULL) {
        buf_text(out, "null");
        return;
    }
    buf_text(out, "\"");
    enum err e = buf_append_json(out, span_of(value));
    buf_text(out, "\"");
    (void)e; /* the buffer is larger than all that can be said */
}

static void put_policy(struct control *ctl, const char *kind, struct buf *out)
{
    char section[80];
    if (kind[0] == '\0') {
        return;
    }
    snprintf(section, sizeof section, "task.%s.", kind);
    buf_text(out, ",\"policy\":");
    config_print_json(*ctl->parts.config, section, out);
}

/* cJSON points behind what stands where a member's name should: one back. */
static size_t error_place(struct span body, size_t at)
{
    struct span before = span_trim(span_make(body.ptr, at > 0 ? at - 1 : 0));
    bool name = before.len > 0 && strchr("{,", before.ptr[before.len - 1]) != NULL;
    return name && strchr(" \t\r\n0123456789\"[{,:", body.ptr[at - 1]) == NULL ? at - 1 : at;
}

/* "not JSON: line 2, column 9"; false: it is JSON. Columns count characters. */
static bool is_broken(struct span body, char *out, size_t size)
{
    size_t line = 1, column = 1;
    const char *end = body.ptr;
    cJSON *tree = cJSON_ParseWithLengthOpts(body.ptr, body.len, &end, false);
    size_t at = (size_t)(end - body.ptr);
    struct span rest = span_trim(span_make(end, body.len - at));
    bool whole = tree != NULL && rest.len == 0;
    cJSON_Delete(tree);
    at = tree != NULL && !whole ? (size_t)(rest.ptr - body.ptr) : error_place(body, at);
    for (size_t i = 0; i < at && !whole; i++) {
        bool feed = body.ptr[i] == '\n';
        bool inside = utf8_continues(body.ptr[i]); /* of a character */
        line += feed ? 1 : 0;
        column = feed ? 1 : column + (inside ? 0 : 1);
    }
    snprintf(out, size, "not JSON: line %zu, column %zu", line, column);
    return !whole;
}

static void render(struct control *ctl, const struct explanation *e, struct span body,
                   struct buf *out)
{
    char broken[64], why[96];
    bool bodiless = body.len == 0 && strcmp(e->cls, "other") == 0;
    bool bad = !bodiless && is_broken(body, broken, sizeof broken);
    buf_text(out, "{\"class\":\"%s\"", e->cls);
    snprintf(why, sizeof why, "the body is %s", broken);
    put_string(out, "why", bad && strcmp(e->cls, "task") != 0 ? why : e->why);
    if (bad) {
        put_string(out, "body", broken);
    }
    put_string(out, "refused", e->refused);
    put_string(out, "kind", e->kind[0] != '\0' ? e->kind : NULL);
    put_string(out, "decision", e->refused == NULL ? e->decision : "refused");
    put_string(out, "detail", e->detail);
    if (e->ttl_s >= 0) {
        buf_text(out, ",\"ttl_s\":%lld", (long long)e->ttl_s);
    }
    if (e->window >= 0) {
        buf_text(out, ",\"window_ms\":%lld,\"follows\":%s",
                 (long long)((e->window + USEC_PER_MS - 1) / USEC_PER_MS),
                 e->follows ? "true" : "false");
    }
    put_string(out, "waits", e->waits[0] != '\0' ? e->waits : NULL);
    buf_text(out, ",\"joins\":%s", e->joins ? "true" : "false");
    put_string(out, "upstream", e->upstream);
    put_string(out, "model", e->model);
    put_string(out, "scope", e->scope[0] != '\0' ? e->scope : NULL);
    put_string(out, "fingerprint", e->fingerprint[0] != '\0' ? e->fingerprint : NULL);
    put_policy(ctl, e->kind, out);
    buf_text(out, "}");
}

void control_explain(struct control *ctl, struct http_conn *c)
{
    const struct http_request *r = http_conn_request(c);
    struct http_header headers[HTTP_MAX_HEADERS];
    size_t skip = sizeof "/explain" - 1;
    struct explain_request in = {
        .path = SPAN("/v1/chat/completions"), .headers = headers, .body = http_body(c)};
    struct explanation explanation;
    struct buf out = {.max = 1024 * 1024};
    if (r->path.len > skip + 1) {
        in.path = span_make(r->path.ptr + skip, r->path.len - skip);
    }
    for (size_t i = 0; i < r->header_count; i++) {
        struct span name = r->headers[i].name;
        if (name.len > prefix.len && span_eq_nocase(span_make(name.ptr, prefix.len), prefix)) {
            headers[in.header_count].name = span_make(name.ptr + prefix.len, name.len - prefix.len);
            headers[in.header_count++].value = r->headers[i].value;
        }
    }
    engine_explain(ctl->parts.engine, &in, &explanation);
    render(ctl, &explanation, in.body, &out);
    control_reply_json(c, 200, buf_span(&out));
    buf_free(&out);
}
