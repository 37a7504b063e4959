/* reply.c: whole replies of the control socket, and the members that its JSON is made of. */
#include "control/control_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

void control_reply_json(struct http_conn *c, int status, struct span json)
{
    http_reply_full(c, status, SPAN("application/json"), SPAN_NONE, json);
}

void control_reply_tree(struct http_conn *c, int status, cJSON *tree)
{
    char *text = cJSON_PrintUnformatted(tree);
    require(text != NULL);
    control_reply_json(c, status, span_of(text));
    cJSON_free(text);
    cJSON_Delete(tree);
}

void control_reply_error(struct http_conn *c, int status, struct span text)
{
    struct buf out = {.max = 1024 * 1024};
    buf_text(&out, "{\"error\":\"");
    enum err e = buf_append_json(&out, text);
    buf_text(&out, "\"}");
    control_reply_json(c, status, e == ERR_OK ? buf_span(&out) : SPAN("{\"error\":\"failed\"}"));
    buf_free(&out);
}

void control_add_span(cJSON *to, const char *name, struct span s)
{
    char *text = mem_strndup(s.len > 0 ? s.ptr : "", s.len);
    const cJSON *added = cJSON_AddStringToObject(to, name, text);
    require(added != NULL);
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
