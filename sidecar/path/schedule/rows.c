/* rows.c: machines and upstreams, by name: what is known of each. */
#include "path/schedule/schedule_priv.h"

#include <stdlib.h>

struct schedule *schedule_create(void)
{
    return mem_new(sizeof(struct schedule));
}

void schedule_destroy(struct schedule *s)
{
    if (s == NULL) {
        return;
    }
    while (s->upstreams != NULL) {
        struct schedule_upstream *row = s->upstreams;
        s->upstreams = row->next;
        free(row->name);
        free(row);
    }
    while (s->machines != NULL) {
        struct machine *m = s->machines;
        s->machines = m->next;
        free(m->name);
        free(m);
    }
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
        list_init(&m->fronts);
        m->next = s->machines;
        s->machines = m;
    }
    return m;
}

struct schedule_upstream *row_find(const struct schedule *s, const char *name)
{
    struct schedule_upstream *row = s->upstreams;
    while (row != NULL && strcmp(row->name, name) != 0) {
        row = row->next;
    }
    return row;
}

struct schedule_upstream *row_of(struct schedule *s, const struct upstream_settings *to)
{
    struct schedule_upstream *row = row_find(s, to->name);
    if (row == NULL) {
        row = mem_new(sizeof *row);
        row->name = mem_strdup(to->name);
        row->usual_token = -1;
        row->abort_cost = -1;
        row->usual_size = -1;
        list_init(&row->waiting);
        list_init(&row->running);
        row->next = s->upstreams;
        s->upstreams = row;
    }
    /* a reload may have moved it: what is on it keeps the machine it began on until it is empty */
    if (row->machine == NULL || (row->running_count == 0 && list_empty(&row->waiting) &&
                                 row->machine->chats + row->machine->foreground == 0)) {
        row->machine = machine_of(s, to->machine);
    }
    return row;
}

void schedule_found_slots(struct schedule *s, const struct upstream_settings *to, int64_t slots)
{
    row_of(s, to)->found_slots = slots;
}

bool schedule_is_closed(struct schedule *s, const struct upstream_settings *to, mono_t now)
{
    return row_of(s, to)->closed_until.us > now.us;
}

void schedule_close(struct schedule *s, const struct upstream_settings *to, mono_t until, bool said)
{
    struct schedule_upstream *row = row_of(s, to);
    if (said && until.us > row->said_until.us) {
        row->said_until = until;
    }
    row->closed_until = until.us > row->closed_until.us ? until : row->closed_until;
}

void schedule_answered(struct schedule *s, const struct upstream_settings *to,
                       struct hash_key model, mono_t now)
{
    struct schedule_upstream *row = row_of(s, to);
    struct answered *place = &row->answered[0];
    for (size_t i = 0; i < SCHEDULE_MODELS && !hash_key_eq(place->model, model); i++) {
        struct answered *a = &row->answered[i];
        place = hash_key_eq(a->model, model) || a->at.us < place->at.us ? a : place;
    }
    *place = (struct answered){model, now};
}

bool is_loaded(const struct schedule_upstream *row, struct hash_key model, mono_t now)
{
    for (size_t i = 0; i < SCHEDULE_MODELS; i++) {
        const struct answered *a = &row->answered[i];
        if (hash_key_eq(a->model, model)) {
            return a->at.us != 0 && mono_diff(now, a->at) < STAYS_LOADED;
        }
    }
    return false;
}
