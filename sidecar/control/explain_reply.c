/* explain_reply.c: POST /explain[/PATH]: the body is a request as a client would send it, its
 * headers come as X-Explain-NAME. Says what would be done with it, by which values of the
 * configuration, and of a miss which stored request is nearest. POST /explain?last-miss=KIND: the
 * same of the last missed request of that kind.
 */
#include "control/control_priv.h"

#include "lull/base/utf8.h"

#include <stdio.h>
#include <stdlib.h>

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

/* The tree is deleted; NULL: nothing. */
static void put_tree(struct buf *out, const char *name, cJSON *tree)
{
    char *text = tree == NULL ? NULL : cJSON_PrintUnformatted(tree);
    if (text != NULL) {
        buf_text(out, ",\"%s\":", name);
        enum err e = buf_append_span(out, span_of(text));
        (void)e; /* as in put_string() */
        cJSON_free(text);
    }
    cJSON_Delete(tree);
}

/* ---- the values of the configuration that decided ---- */

static void add_values(const struct control *ctl, const char *prefix_of, const char *rename,
                       cJSON *policy)
{
    struct buf text = {.max = 1024 * 1024};
    config_print_json(*ctl->parts.config, prefix_of, &text);
    cJSON *all = cJSON_ParseWithLength(text.data, text.len);
    while (all != NULL && all->child != NULL) {
        cJSON *value = cJSON_DetachItemViaPointer(all, all->child);
        char *name = mem_strndup(rename != NULL ? rename : value->string,
                                 strlen(rename != NULL ? rename : value->string));
        cJSON_AddItemToObject(policy, name, value);
        free(name);
    }
    cJSON_Delete(all);
    buf_free(&text);
}

static bool is_one_of(const char *text, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (text != NULL && strcmp(text, list[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether the rule of `prefix`, and not something else, says how a task is asked. */
static bool rules_prefix(const struct explanation *e)
{
    switch (e->prefix_not) {
    case PREFIX_REASON_NONE:
    case PREFIX_REASON_HOSTED:
    case PREFIX_REASON_NO_GAIN:
    case PREFIX_REASON_NO_FIGURES:
    case PREFIX_REASON_FORM:
        return e->may_prefix;
    default:
        return false;
    }
}

/* Whether the value of that key decided what would be done. */
static bool has_decided(const struct explanation *e, const char *decision, const char *key,
                        const char *value)
{
    static const char *const stored[] = {"cache", "ttl", "scope"};
    static const char *const asked[] = {"cache", "scope"};
    static const char *const sent[] = {"model", "upstream"};
    static const char *const typed[] = {"debounce", "deadline"};
    static const char *const waited[] = {"yield", "settle", "max_hold", "slots"};
#define AMONG(list) is_one_of(key, list, sizeof(list) / sizeof(list)[0])
    bool dialect = e->detail != NULL && strcmp(e->detail, "dialect") == 0;
    bool no_user = e->detail != NULL && strcmp(e->detail, "no-user") == 0;
    bool cache_off = e->detail != NULL && strcmp(e->detail, "cache-off") == 0;
    if (strcmp(decision, "switched-off") == 0) {
        return strcmp(key, "enabled") == 0;
    }
    if (strcmp(decision, "hit") == 0 || strcmp(decision, "pending") == 0) {
        return AMONG(stored);
    }
    if (strcmp(decision, "miss") != 0) {
        return dialect && AMONG(sent);
    }
    return (e->detail == NULL && AMONG(asked)) || (no_user && strcmp(key, "scope") == 0) ||
           (cache_off && strcmp(key, "cache") == 0) || (value[0] != '\0' && AMONG(sent)) ||
           (e->fallback[0] != '\0' && strcmp(key, "fallback") == 0) ||
           (rules_prefix(e) && strcmp(key, "prefix") == 0) || (e->window >= 0 && AMONG(typed)) ||
           (e->waits[0] != '\0' && AMONG(waited));
#undef AMONG
}

/* All values of the kind, and the names of those that decided. */
static void put_policy(const struct control *ctl, const struct explanation *e, const char *decision,
                       struct buf *out)
{
    char section[160];
    if (e->kind[0] == '\0') {
        return;
    }
    cJSON *policy = cJSON_CreateObject();
    cJSON *decided = cJSON_CreateArray();
    const cJSON *one = NULL;
    snprintf(section, sizeof section, "task.%s.", e->kind);
    add_values(ctl, section, NULL, policy);
    snprintf(section, sizeof section, "upstream.%s.slots", e->upstream);
    add_values(ctl, section, "slots", policy);
    cJSON_ArrayForEach(one, policy)
    {
        const char *value = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(one, "value"));
        if (has_decided(e, decision, one->string, value == NULL ? "" : value)) {
            cJSON_AddItemToArray(decided, cJSON_CreateString(one->string));
        }
    }
    put_tree(out, "policy", policy);
    put_tree(out, "decided_by", decided);
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

/* ---- the reply ---- */

/* A request, where it comes from, and what would be done with it. */
struct question {
    struct explain_request request;
    struct explanation answer;
    struct explain_miss miss; /* .at 0: the request came with the question */
    bool trusted;
};

static bool is_past(const struct question *q)
{
    return q->miss.at.us != 0;
}

/* A missed request of before: it was missed, whatever would be done now. */
static void put_decision(const struct question *q, struct buf *out)
{
    const struct explanation *e = &q->answer;
    const char *decision = e->refused == NULL ? e->decision : "refused";
    put_string(out, "decision", is_past(q) ? "miss" : decision);
    put_string(out, "detail", e->detail);
    if (is_past(q)) {
        cJSON *past = cJSON_CreateObject();
        control_add_time(past, "at", q->miss.at);
        if (q->miss.expired.us != 0) {
            control_add_time(past, "expired", q->miss.expired);
        }
        put_tree(out, "last_miss", past);
        put_string(out, "now", decision);
    }
}

static void put_nearest(struct control *ctl, const struct question *q, struct buf *out)
{
    const struct explanation *e = &q->answer;
    bool missed = strcmp(e->decision, "miss") == 0 && e->detail == NULL;
    struct control_nearest in = {
        .about = e, .body = q->request.body, .before = q->miss.at, .texts = q->trusted};
    if (e->fingerprint[0] != '\0' && (missed || is_past(q))) {
        cJSON *nearest = control_nearest(ctl, &in);
        put_tree(out, "nearest", nearest != NULL ? nearest : cJSON_CreateNull());
        bool kept = control_settings(&ctl->parts)->cache.keep_requests;
        bool large = in.body.len > CONTROL_NEAREST_BODY;
        put_string(out, "not_compared",
                   !kept   ? "keep_requests = no"
                   : large ? "the request is larger than 256 KB"
                           : NULL);
    }
}

static void render(struct control *ctl, const struct question *q, struct buf *out)
{
    const struct explanation *e = &q->answer;
    struct span body = q->request.body;
    char broken[64] = "", why[96];
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
    put_decision(q, out);
    if (e->ttl_s >= 0) {
        buf_text(out, ",\"ttl_s\":%lld", (long long)e->ttl_s);
    }
    if (e->window >= 0) {
        buf_text(out, ",\"window_ms\":%lld,\"follows\":%s",
                 (long long)((e->window + USEC_PER_MS - 1) / USEC_PER_MS),
                 e->follows ? "true" : "false");
    }
    if (e->may_prefix) {
        bool used = e->prefix_not == PREFIX_REASON_NONE;
        put_string(out, "prefix", used ? "chat" : "as-asked");
        put_string(out, "prefix_not", used ? NULL : prefix_reason_name(e->prefix_not));
    }
    put_string(out, "waits", e->waits[0] != '\0' ? e->waits : NULL);
    buf_text(out, ",\"joins\":%s", e->joins ? "true" : "false");
    put_string(out, "upstream", e->upstream);
    put_string(out, "fallback", e->fallback[0] != '\0' ? e->fallback : NULL);
    put_string(out, "model", e->model);
    put_string(out, "scope", e->scope[0] != '\0' ? e->scope : NULL);
    put_string(out, "fingerprint", e->fingerprint[0] != '\0' ? e->fingerprint : NULL);
    put_nearest(ctl, q, out);
    put_policy(ctl, e, is_past(q) ? "miss" : e->decision, out);
    buf_text(out, "}");
}

/* ---- the question ---- */

struct wanted_miss {
    struct span kind; /* ptr NULL: none is asked for */
    struct buf *why;
};

static bool take_condition(void *ctx, struct span name, struct span value)
{
    struct wanted_miss *wanted = ctx;
    wanted->kind = value;
    bool good = span_eq(name, SPAN("last-miss"));
    if (!good) {
        buf_text(wanted->why, "explain takes last-miss=KIND");
    }
    return good;
}

/* The request that the body and the X-Explain- headers are; headers has room for them all. */
static struct explain_request request_of(struct http_conn *c, struct http_header *headers)
{
    const struct http_request *r = http_conn_request(c);
    size_t skip = sizeof "/explain" - 1;
    struct explain_request in = {
        .path = SPAN("/v1/chat/completions"), .headers = headers, .body = http_body(c)};
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
    return in;
}

/* 0, or the status of an error that why describes. */
static int find_miss(struct control *ctl, struct span kind, struct question *q, struct buf *why)
{
    if (!q->trusted) {
        buf_text(why, "only root and the daemon's own user may ask about the last missed request");
        return 403;
    }
    if (!control_query_kind(control_settings(&ctl->parts), kind, why)) {
        return 400;
    }
    if (!engine_last_miss(ctl->parts.engine, kind, &q->miss)) {
        buf_text(why,
                 "no missed request of kind %.*s is kept: there was none since the start or the "
                 "last purge, it was larger than 256 KB, or keep_requests = no",
                 (int)kind.len, kind.ptr);
        return 404;
    }
    q->request = q->miss.request;
    return 0;
}

enum { OUT_MAX = 1024 * 1024 };

void control_explain(struct control *ctl, struct http_conn *c, bool trusted)
{
    struct http_header headers[HTTP_MAX_HEADERS];
    struct buf why = {.max = 1024}, text = {.max = 16 * 1024}, out = {.max = OUT_MAX};
    struct wanted_miss wanted = {.kind = SPAN_NONE, .why = &why};
    struct question q = {.request = request_of(c, headers), .trusted = trusted};
    struct span query = http_conn_request(c)->query;
    int status = 0;
    /* behind a path it is that request's own */
    if (http_conn_request(c)->path.len == sizeof "/explain" - 1 && query.len > 0) {
        bool good = control_query_walk(query, &text, take_condition, &wanted, &why);
        status = good ? find_miss(ctl, wanted.kind, &q, &why) : 400;
    }
    if (status == 0) {
        engine_explain(ctl->parts.engine, &q.request, &q.answer);
        render(ctl, &q, &out);
        control_reply_buf(c, SPAN("application/json"), &out, OUT_MAX);
    } else {
        control_reply_error(c, status, buf_span(&why));
    }
    buf_free(&why);
    buf_free(&text);
    buf_free(&out);
}
