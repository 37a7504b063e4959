/* settings.c: references to the immutable settings, and look-ups in them; build.c fills them. */
#include "lull/config/settings.h"

#include "lull/base/err.h"

#include <stdlib.h>

struct settings *settings_ref(struct settings *s)
{
    s->refs++;
    return s;
}

void strings_free(struct strings *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i]);
    }
    free(list->items);
    *list = (struct strings){0};
}

struct strings strings_copy(const struct strings *list)
{
    struct strings copy = {mem_new((list->count + 1) * sizeof *copy.items), list->count};
    for (size_t i = 0; i < list->count; i++) {
        copy.items[i] = mem_strdup(list->items[i]);
    }
    return copy;
}

static void free_server(struct server_settings *s)
{
    char *const texts[] = {s->control,      s->control_group, s->data_dir,    s->default_upstream,
                           s->client_token, s->task_header,   s->user_header, s->chat_header};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        free(texts[i]);
    }
    strings_free(&s->listen);
    strings_free(&s->hosts);
    strings_free(&s->metrics_listen);
}

static void free_upstream(struct upstream_settings *u)
{
    char *const texts[] = {u->name,        u->url,     u->api_key, u->api_key_file,
                           u->ca_file,     u->origin,  u->host,    u->base_path,
                           u->unix_socket, u->machine, u->proxy,   u->task_header};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        free(texts[i]);
    }
}

static void free_kind(struct kind_policy *k)
{
    char *const texts[] = {k->name,         k->upstream,         k->model,
                           k->match,        k->answer,           k->system_match,
                           k->shape_member, k->fallback,         k->temperature,
                           k->extra,        k->keep_alive_value, k->num_ctx_value};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        free(texts[i]);
    }
}

void settings_unref(struct settings *s)
{
    if (s == NULL) {
        return;
    }
    require(s->refs > 0);
    if (--s->refs > 0) {
        return;
    }
    free_server(&s->server);
    for (size_t i = 0; i < s->upstream_count; i++) {
        free_upstream(&s->upstreams[i]);
    }
    for (size_t i = 0; i < s->kind_count; i++) {
        free_kind(&s->kinds[i]);
    }
    free(s->upstreams);
    free(s->kinds);
    free(s);
}

int settings_find_upstream(const struct settings *s, struct span name)
{
    for (size_t i = 0; i < s->upstream_count; i++) {
        if (span_eq(span_of(s->upstreams[i].name), name)) {
            return (int)i;
        }
    }
    return -1;
}

int settings_find_kind(const struct settings *s, struct span name)
{
    for (size_t i = 0; i < s->kind_count; i++) {
        if (span_eq(span_of(s->kinds[i].name), name)) {
            return (int)i;
        }
    }
    return KIND_NONE;
}
