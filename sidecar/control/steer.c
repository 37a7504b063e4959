/* steer.c: what changes the running daemon: POST /config (lullctl set), /pause and /resume. */
#include "control/control_priv.h"

#include "lull/base/log.h"
#include "lull/config/options.h"

#include <stdlib.h>

/* ---- values ---- */

enum { LINES_MOST = 1000 };

/* The next line SECTION.KEY=VALUE; false at the end. */
static bool next_line(struct span *body, struct span *line)
{
    while (span_next(body, '\n', line)) {
        *line = span_trim(*line);
        if (line->len > 0) {
            return true;
        }
    }
    return false;
}

/* The lines of the body, and one more than LINES_MOST at most. */
static struct strings body_lines(struct span body)
{
    struct strings lines = {mem_new((LINES_MOST + 1) * sizeof *lines.items), 0};
    for (struct span line; lines.count <= LINES_MOST && next_line(&body, &line);) {
        lines.items[lines.count++] = mem_strndup(line.ptr, line.len);
    }
    return lines;
}

/* What one line names, and the values before it: of one key, or of a key of [tasks] in each kind. */
struct former {
    struct strings names, values;
    bool of_kinds;
};

static void remember(const struct control *ctl, struct former *f, char *name)
{
    char *value = config_value(*ctl->parts.config, name);
    if (value == NULL) {
        free(name);
        return;
    }
    f->names.items[f->names.count++] = name;
    f->values.items[f->values.count++] = value;
}

static struct former former_of(const struct control *ctl, const char *line)
{
    const struct settings *s = control_settings(&ctl->parts);
    struct former f = {{mem_new((s->kind_count + 1) * sizeof(char *)), 0},
                       {mem_new((s->kind_count + 1) * sizeof(char *)), 0},
                       false};
    struct span section = SPAN("tasks."), key = span_make(line, strcspn(line, "="));
    remember(ctl, &f, mem_strndup(key.ptr, key.len));
    bool of_tasks = f.names.count == 0 && span_starts(key, section);
    key = of_tasks ? span_make(key.ptr + section.len, key.len - section.len) : key;
    f.of_kinds = of_tasks && option_find(SECTION_TASKS, key) != NULL;
    for (size_t i = 0; f.of_kinds && i < s->kind_count; i++) {
        struct buf name = {.max = 256};
        require_ok(buf_printf(&name, "task.%s.%.*s", s->kinds[i].name, (int)key.len, key.ptr));
        remember(ctl, &f, mem_strndup(name.data, name.len));
        buf_free(&name);
    }
    return f;
}

static void former_free(struct former *f)
{
    strings_free(&f->names);
    strings_free(&f->values);
}

/* {"name", "old", "new"}, or for a key of [tasks] {"name", "kinds"} with one for each that changed. */
static cJSON *change_tree(const struct control *ctl, const char *line, const struct former *f)
{
    cJSON *one = cJSON_CreateObject();
    control_add_span(one, "name", span_make(line, strcspn(line, "=")));
    cJSON *kinds = f->of_kinds ? cJSON_AddArrayToObject(one, "kinds") : NULL;
    for (size_t i = 0; i < f->names.count; i++) {
        char *now = config_value(*ctl->parts.config, f->names.items[i]);
        cJSON *to = one;
        if (now != NULL && f->of_kinds && strcmp(now, f->values.items[i]) != 0) {
            to = cJSON_CreateObject();
            cJSON_AddStringToObject(to, "name", f->names.items[i]);
            cJSON_AddItemToArray(kinds, to);
        }
        if (now != NULL && (!f->of_kinds || to != one)) {
            cJSON_AddStringToObject(to, "old", f->values.items[i]);
            cJSON_AddStringToObject(to, "new", now);
        }
        free(now);
    }
    return one;
}

void control_set(struct control *ctl, struct http_conn *c)
{
    struct strings lines = body_lines(http_body(c));
    struct former *former = mem_new((lines.count + 1) * sizeof *former);
    struct buf text = {.max = 1024 * 1024};
    for (size_t i = 0; i < lines.count; i++) {
        former[i] = former_of(ctl, lines.items[i]);
    }
    if (lines.count == 0 || lines.count > LINES_MOST) {
        control_reply_error(c, 400, SPAN("the body has 1 to 1000 lines SECTION.KEY=VALUE"));
    } else if (memchr(http_body(c).ptr, '\0', http_body(c).len) != NULL) {
        control_reply_error(c, 400, SPAN("a value holds a NUL byte")); /* the lines end there */
    } else if (!ctl->parts.set(ctl->parts.ctx, &lines, &text)) {
        control_reply_error(c, 409, span_trim(buf_span(&text)));
    } else {
        cJSON *tree = cJSON_CreateObject();
        cJSON *set = cJSON_AddArrayToObject(tree, "set");
        for (size_t i = 0; i < lines.count; i++) {
            cJSON_AddItemToArray(set, change_tree(ctl, lines.items[i], &former[i]));
        }
        control_reply_tree(c, 200, tree);
    }
    for (size_t i = 0; i < lines.count; i++) {
        former_free(&former[i]);
    }
    free(former);
    buf_free(&text);
    strings_free(&lines);
}

static void reply_paused(struct control *ctl, struct http_conn *c)
{
    cJSON *tree = cJSON_CreateObject();
    control_add_seconds(tree, "paused_s", engine_paused(ctl->parts.engine));
    control_reply_tree(c, 200, tree);
}

/* ---- pauses ---- */

static const usec_t PAUSE_MAX = 24 * 3600 * USEC_PER_S;

struct pausing {
    int64_t us;
    struct buf *why;
};

static bool take_pause(void *ctx, struct span name, struct span value)
{
    struct pausing *p = ctx;
    if (!span_eq(name, SPAN("for"))) {
        buf_text(p->why, "pause takes for=60s");
        return false;
    }
    return control_query_duration(SPAN("pause"), value, USEC_PER_MS, PAUSE_MAX, &p->us, p->why);
}

void control_pause(struct control *ctl, struct http_conn *c)
{
    struct buf why = {.max = 1024}, text = {.max = 1024};
    struct pausing p = {60 * USEC_PER_S, &why};
    if (control_query_walk(http_conn_request(c)->query, &text, take_pause, &p, &why)) {
        engine_pause(ctl->parts.engine, p.us);
        log_info("control", "background tasks are paused for %g s", (double)p.us / 1e6);
        reply_paused(ctl, c);
    } else {
        control_reply_error(c, 400, buf_span(&why));
    }
    buf_free(&why);
    buf_free(&text);
}

void control_resume(struct control *ctl, struct http_conn *c)
{
    engine_pause(ctl->parts.engine, 0);
    log_info("control", "background tasks go on");
    reply_paused(ctl, c);
}
