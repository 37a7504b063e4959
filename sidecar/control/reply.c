/* reply.c: whole replies of the control socket, and the members that its JSON is made of. */
#include "control/control_priv.h"

#include "lull/base/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* cJSON leaves a member out where it finds no memory for it, and its caller does not see it. */
static bool json_is_short;

static void *json_alloc(size_t size)
{
    void *p = malloc(size);
    json_is_short = json_is_short || p == NULL;
    return p;
}

void control_json_watch(void)
{
    cJSON_Hooks hooks = {.malloc_fn = json_alloc, .free_fn = free};
    cJSON_InitHooks(&hooks);
}

void control_json_begin(void)
{
    json_is_short = false;
}

bool control_json_whole(void)
{
    return !json_is_short;
}

/* All that is shown is UTF-8. The name of a model may be cut within a character, and a value of the
 * configuration may be no UTF-8 at all. */
static void reply_text(struct http_conn *c, int status, struct span type, struct span text)
{
    struct buf repaired = {.max = 4 * text.len};
    bool whole = utf8_valid(text) || utf8_repair(text, &repaired) != ERR_OK;
    http_reply_full(c, status, type, SPAN_NONE, whole ? text : buf_span(&repaired));
    buf_free(&repaired);
}

void control_reply_json(struct http_conn *c, int status, struct span json)
{
    reply_text(c, status, SPAN("application/json"), json);
}

static void reply_short(struct http_conn *c)
{
    control_reply_json(c, 503, SPAN("{\"error\":\"out of memory\"}"));
}

void control_reply_tree(struct http_conn *c, int status, cJSON *tree)
{
    char *text = cJSON_PrintUnformatted(tree);
    if (text != NULL && control_json_whole()) {
        control_reply_json(c, status, span_of(text));
    } else {
        reply_short(c);
    }
    cJSON_free(text);
    cJSON_Delete(tree);
}

void control_reply_buf(struct http_conn *c, struct span type, const struct buf *out, size_t max)
{
    if (out->len > 0 && out->max == max && control_json_whole()) {
        reply_text(c, 200, type, buf_span(out));
    } else {
        reply_short(c);
    }
}

void control_reply_error(struct http_conn *c, int status, struct span text)
{
    if (text.len == 0) {
        reply_short(c);
        return;
    }
    struct buf out = {.max = 1024 * 1024};
    buf_text(&out, "{\"error\":\"");
    enum err e = buf_append_json(&out, text);
    buf_text(&out, "\"}");
    control_reply_json(c, status, e == ERR_OK ? buf_span(&out) : SPAN("{\"error\":\"failed\"}"));
    buf_free(&out);
}

void control_reply_no_route(struct http_conn *c, unsigned methods, const char *missing)
{
    static const struct {
        enum http_method method;
        const char *names;
    } known[] = {{HTTP_GET, "GET, HEAD"}, {HTTP_POST, "POST"}, {HTTP_DELETE, "DELETE"}};
    struct buf allow = {.max = 256};
    if (methods == 0) {
        control_reply_error(c, 404, span_of(missing));
        return;
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if ((methods & 1U << known[i].method) != 0) {
            buf_text(&allow, "%s %s", allow.len == 0 ? "Allow:" : ",", known[i].names);
        }
    }
    buf_text(&allow, "\r\n");
    http_reply_full(c, 405, SPAN("application/json"), buf_span(&allow),
                    SPAN("{\"error\":\"this path has another method\"}"));
    buf_free(&allow);
}

void control_add_span(cJSON *to, const char *name, struct span s)
{
    char *text = json_alloc(s.len + 1);
    if (text != NULL) {
        memcpy(text, s.len > 0 ? s.ptr : "", s.len);
        text[s.len] = '\0';
        (void)cJSON_AddStringToObject(to, name, text);
    }
    free(text);
}

void control_add_time(cJSON *to, const char *name, wall_t t)
{
    char text[32];
    struct tm tm;
    time_t seconds = (time_t)(t.us / USEC_PER_S);
    if (gmtime_r(&seconds, &tm) == NULL ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        snprintf(text, sizeof text, "?");
    }
    cJSON_AddStringToObject(to, name, text);
}

void control_add_ms(cJSON *to, const char *name, usec_t us)
{
    control_add_quotient(to, name, (double)us, us < 0 ? 0 : 1e3, 2);
}

void control_add_seconds(cJSON *to, const char *name, usec_t us)
{
    control_add_quotient(to, name, (double)us, 1e6, 3);
}

void control_add_figure(cJSON *to, const char *name, enum figure_unit unit, int64_t value)
{
    bool millionths = unit == FIGURE_SECONDS || unit == FIGURE_MONEY;
    cJSON_AddNumberToObject(to, name, millionths ? (double)value / 1e6 : (double)value);
}

void control_add_quotient(cJSON *to, const char *name, double value, double divisor, int decimals)
{
    double scale = pow(10, decimals);
    if (divisor > 0) {
        cJSON_AddNumberToObject(to, name, round(value * scale / divisor) / scale);
    } else {
        cJSON_AddNullToObject(to, name);
    }
}
