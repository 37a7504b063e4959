/* doctor.c: GET /doctor: facts for lullctl doctor that no figure holds: how Open WebUI is set up, as
 * its requests show it, and the disk below the cache. lullctl judges them. */
#include "control/control_priv.h"

#include "lull/path/exchange/hints.h"

#include <stdlib.h>
#include <sys/statvfs.h>

static void add_count(cJSON *to, const char *name, uint64_t n)
{
    cJSON_AddNumberToObject(to, name, (double)n);
}

static void add_upstreams(cJSON *to, const struct hints *h)
{
    for (size_t i = 0; i < h->upstream_count; i++) {
        const struct hints_upstream *u = &h->upstreams[i];
        cJSON *one = cJSON_AddObjectToObject(to, u->name);
        add_count(one, "tasks_by_header", u->tasks_by_header);
        add_count(one, "tasks_by_text", u->tasks_by_text);
        add_count(one, "chats_with_header", u->chats_with_header);
        add_count(one, "chats_without_header", u->chats_without_header);
        add_count(one, "with_user", u->with_user);
        add_count(one, "without_user", u->without_user);
        add_count(one, "crowded", u->crowded);
        add_count(one, "unknown_header", u->unknown_header);
    }
}

/* What the model servers answer that is of the set-up: why one cannot be reached, what was refused last. */
static void add_servers(cJSON *to, const struct control_parts *parts)
{
    const struct settings *s = control_settings(parts);
    for (size_t i = 0; i < s->upstream_count; i++) {
        const struct server *server = server_of(parts->servers, &s->upstreams[i]);
        cJSON *one = cJSON_AddObjectToObject(to, server->name);
        control_add_span(one, "unreached", span_of(server->unreached));
        add_count(one, "chat_refused", (uint64_t)server->chat_refused);
        cJSON *list = cJSON_AddArrayToObject(one, "tasks_refused");
        for (size_t k = 0; k < server->model_count; k++) {
            const struct server_model *m = server->models[k];
            if (m->task_refused != 0) {
                cJSON *model = cJSON_CreateObject();
                control_add_span(model, "model", span_of(m->name));
                add_count(model, "status", (uint64_t)m->task_refused);
                cJSON_AddItemToArray(list, model);
            }
        }
    }
}

/* Requests that lull refused by itself, by the error's name. */
static void add_refused(cJSON *to, const struct hints *h, mono_t now)
{
    for (int e = 0; e < HTTP_ERROR_COUNT; e++) {
        if (h->refused[e].count > 0) {
            cJSON *one = cJSON_AddObjectToObject(to, http_error_name((enum http_error)e));
            add_count(one, "count", h->refused[e].count);
            control_add_seconds(one, "ago_s", mono_diff(now, h->refused[e].at));
        }
    }
}

/* Newest first. */
static void add_lookalikes(cJSON *to, const struct hints *h, bool texts)
{
    uint64_t count = h->lookalike_count < HINTS_LOOKALIKES ? h->lookalike_count : HINTS_LOOKALIKES;
    for (uint64_t i = 1; i <= count; i++) {
        const struct hints_lookalike *l =
            &h->lookalikes[(h->lookalike_count - i) % HINTS_LOOKALIKES];
        cJSON *one = cJSON_CreateObject();
        control_add_time(one, "time", l->at);
        if (texts) {
            control_add_span(one, "text", span_of(l->text));
        }
        cJSON_AddItemToArray(to, one);
    }
}

static void add_disk(cJSON *to, const char *dir)
{
    struct statvfs fs;
    if (statvfs(dir, &fs) == 0) {
        cJSON_AddNumberToObject(to, "disk_free_bytes", (double)fs.f_bavail * (double)fs.f_frsize);
    } else {
        cJSON_AddNullToObject(to, "disk_free_bytes");
    }
}

static void add_warnings(cJSON *to, struct span lines)
{
    for (struct span line; span_next(&lines, '\n', &line);) {
        char *text = mem_strndup(line.ptr, line.len);
        cJSON_AddItemToArray(to, cJSON_CreateString(text));
        free(text);
    }
}

void control_doctor(struct control *ctl, struct http_conn *c, bool texts)
{
    const struct hints *h = engine_hints(ctl->parts.engine);
    cJSON *tree = cJSON_CreateObject();
    add_upstreams(cJSON_AddObjectToObject(tree, "upstreams"), h);
    add_servers(cJSON_AddObjectToObject(tree, "servers"), &ctl->parts);
    add_refused(cJSON_AddObjectToObject(tree, "refused"), h, loop_now(ctl->parts.loop));
    add_warnings(cJSON_AddArrayToObject(tree, "config_warnings"), buf_span(ctl->parts.warnings));
    add_count(tree, "lookalike_count", h->lookalike_count);
    add_lookalikes(cJSON_AddArrayToObject(tree, "lookalikes"), h, texts);
    add_disk(tree, control_settings(&ctl->parts)->server.data_dir);
    cJSON_AddNumberToObject(tree, "time_s", (double)loop_wall(ctl->parts.loop).us / 1e6);
    control_reply_tree(c, 200, tree);
}
