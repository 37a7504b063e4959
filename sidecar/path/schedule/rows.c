/* rows.c: machines, by name, and upstreams, by the number of their server. */
#include "path/schedule/schedule_priv.h"

#include <stdlib.h>

struct schedule *schedule_create(const struct servers *servers)
{
    struct schedule *s = mem_new(sizeof *s);
    s->servers = servers;
    return s;
}

void schedule_destroy(struct schedule *s)
{
    if (s == NULL) {
        return;
    }
    while (s->upstreams != NULL) {
        struct schedule_upstream *row = s->upstreams;
        s->upstreams = row->next;
        free(row);
    }
    while (s->machines != NULL) {
        struct machine *m = s->machines;
        s->machines = m->next;
        free(m->name);
        free(m);
    }
    free(s->by_number);
    free(s->turns);
    free(s);
}

static struct machine *machine_of(struct schedule *s, const char *name)
{
    struct machine *m = s->machines;
    while (m != NULL && strcmp(m->name, name) != 0) {
        m = m->next;
    }
    if (m == NULL) {
        m = mem_new(sizeof *m);
        m->name = mem_strdup(name);
        list_init(&m->interactive);
        m->next = s->machines;
        s->machines = m;
    }
    return m;
}

static struct schedule_upstream *row_make(struct schedule *s, struct server *server)
{
    struct schedule_upstream *row = mem_new(sizeof *row);
    row->server = server;
    row->usual_token = -1;
    row->abort_cost = -1;
    row->usual_size = -1;
    list_init(&row->waiting);
    list_init(&row->running);
    row->next = s->upstreams;
    s->upstreams = row;
    if (server->number > s->numbers) {
        s->by_number = mem_have(realloc(s->by_number, server->number * sizeof *s->by_number));
        while (s->numbers < server->number) {
            s->by_number[s->numbers++] = NULL;
        }
    }
    s->by_number[server->number - 1] = row;
    return row;
}

struct schedule_upstream *row_of(struct schedule *s, const struct upstream_settings *to)
{
    struct server *server = server_of(s->servers, to);
    struct schedule_upstream *row =
        server->number <= s->numbers ? s->by_number[server->number - 1] : NULL;
    if (row == NULL) {
        row = row_make(s, server);
        row->home = server->replaced ? NULL : machine_of(s, to->machine);
    }
    /* a reload may have moved it: what is on it keeps the machine it began on until it is empty */
    if (row->running_count == 0 && list_empty(&row->waiting) && row->interactive_count == 0) {
        row->machine = machine_of(s, to->machine);
    }
    return row;
}

void schedule_bind(struct schedule *s, const struct upstream_settings *list, size_t count)
{
    for (struct machine *m = s->machines; m != NULL; m = m->next) {
        m->slow.seen = (mono_t){0};
    }
    for (struct schedule_upstream *row = s->upstreams; row != NULL; row = row->next) {
        row->home = NULL;
        for (size_t i = 0; i < count; i++) {
            if (list[i].server == row->server->number) {
                row->home = machine_of(s, list[i].machine);
            }
        }
    }
}

bool is_loaded(const struct schedule_upstream *row, struct hash_key model, mono_t now)
{
    mono_t at = server_model_answered_at(row->server, model);
    return at.us != 0 && mono_diff(now, at) < STAYS_LOADED;
}
