/* flights.c: GET /flights: what runs and waits now, with the reason; what each machine does; which
 * additions tasks are sent without because a server refused them; and where tasks are asked behind
 * their conversation.
 */
#include "control/control_priv.h"

#include "lull/path/server/refusal.h"

#include <stdlib.h>

struct listing {
    cJSON *list;
    bool scopes;
};

static void add_flight(void *ctx, const struct flight_view *f)
{
    struct listing *listing = ctx;
    cJSON *one = cJSON_CreateObject();
    cJSON_AddStringToObject(one, "kind", f->kind);
    cJSON_AddStringToObject(one, "state", f->state);
    cJSON_AddStringToObject(one, "why", f->why);
    control_add_seconds(one, "age_s", f->age);
    control_add_seconds(one, "waited_s", f->waited);
    if (f->left < 0) {
        cJSON_AddNullToObject(one, "left_s");
    } else {
        control_add_seconds(one, "left_s", f->left);
    }
    if (f->position == 0) {
        cJSON_AddNullToObject(one, "position");
    } else {
        cJSON_AddNumberToObject(one, "position", (double)f->position);
    }
    cJSON_AddNumberToObject(one, "waiters", (double)f->waiters);
    cJSON_AddNumberToObject(one, "requeued", f->requeued);
    cJSON_AddNumberToObject(one, "priority", (double)f->priority);
    cJSON_AddStringToObject(one, "upstream", f->upstream);
    control_add_span(one, "model", f->model);
    if (listing->scopes) {
        control_add_span(one, "scope", f->scope);
    }
    cJSON_AddItemToArray(listing->list, one);
}

static void add_machine(cJSON *to, const struct schedule_machine *m)
{
    cJSON *one = cJSON_CreateObject();
    cJSON_AddStringToObject(one, "machine", m->name);
    cJSON_AddNumberToObject(one, "chats", (double)m->chats);
    cJSON_AddNumberToObject(one, "foreground", (double)m->foreground);
    cJSON_AddNumberToObject(one, "running", (double)m->running);
    cJSON_AddNumberToObject(one, "waiting", (double)m->waiting);
    if (m->quiet < 0 || m->quiet == INT64_MAX) {
        cJSON_AddNullToObject(one, "quiet_s");
    } else {
        control_add_seconds(one, "quiet_s", m->quiet);
    }
    cJSON_AddItemToArray(to, one);
}

/* Upstreams may share a machine: each machine is shown once. */
static void add_machines(const struct control_parts *parts, cJSON *to)
{
    const struct settings *s = control_settings(parts);
    const char **shown = mem_new((s->upstream_count + 1) * sizeof *shown);
    size_t count = 0;
    for (size_t i = 0; i < s->upstream_count; i++) {
        struct schedule_machine m =
            schedule_look_machine(parts->schedule, &s->upstreams[i], loop_now(parts->loop));
        size_t k = 0;
        while (k < count && strcmp(shown[k], m.name) != 0) {
            k++;
        }
        if (k == count) {
            shown[count++] = m.name;
            add_machine(to, &m);
        }
    }
    free(shown);
}

struct refusals {
    cJSON *list;
    wall_t now;
};

static void add_left_out(void *ctx, const struct refusal_view *v)
{
    struct refusals *refusals = ctx;
    cJSON *one = cJSON_CreateObject();
    cJSON_AddStringToObject(one, "upstream", v->upstream);
    cJSON_AddStringToObject(one, "model", v->model);
    cJSON_AddStringToObject(one, "addition", v->addition);
    cJSON_AddBoolToObject(one, "proven", v->proven);
    control_add_time(one, "since", (wall_t){refusals->now.us - v->age});
    cJSON_AddItemToArray(refusals->list, one);
}

void control_flights(struct control *ctl, struct http_conn *c, bool scopes)
{
    const struct control_parts *parts = &ctl->parts;
    struct flight_table *flights = engine_flights(parts->engine);
    cJSON *tree = cJSON_CreateObject();
    struct listing listing = {cJSON_AddArrayToObject(tree, "flights"), scopes};
    flight_each(flights, add_flight, &listing);
    add_machines(parts, cJSON_AddArrayToObject(tree, "machines"));
    struct refusals refusals = {cJSON_AddArrayToObject(tree, "left_out"), loop_wall(parts->loop)};
    refusal_each(parts->servers, loop_now(parts->loop), add_left_out, &refusals);
    learnt_show(parts->servers, cJSON_AddArrayToObject(tree, "prefix"));
    control_reply_tree(c, 200, tree);
}
