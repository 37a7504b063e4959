/* flights.c: GET /flights: what runs and waits now, with the reason, what each machine does, and what
 * tasks are sent without because a server refused it.
 */
#include "control/control_priv.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>

enum { MACHINES_MAX = 256 };

static void add_span(cJSON *to, const char *name, struct span s)
{
    char *text = mem_strndup(s.len > 0 ? s.ptr : "", s.len);
    cJSON_AddStringToObject(to, name, text);
    free(text);
}

static void add_seconds(cJSON *to, const char *name, usec_t us)
{
    cJSON_AddNumberToObject(to, name, round((double)us / 1e3) / 1e3);
}

struct listing {
    cJSON *list;
    bool scopes;
};

static void add_flight(void *ctx, const struct control_flight *f)
{
    struct listing *listing = ctx;
    cJSON *one = cJSON_CreateObject();
    cJSON_AddStringToObject(one, "kind", f->kind);
    cJSON_AddStringToObject(one, "state", f->state);
    cJSON_AddStringToObject(one, "why", f->why);
    add_seconds(one, "age_s", f->age);
    add_seconds(one, "waited_s", f->waited);
    cJSON_AddNumberToObject(one, "waiters", (double)f->waiters);
    cJSON_AddNumberToObject(one, "requeued", f->requeued);
    cJSON_AddNumberToObject(one, "priority", (double)f->priority);
    cJSON_AddStringToObject(one, "upstream", f->upstream);
    add_span(one, "model", f->model);
    if (listing->scopes) {
        add_span(one, "scope", f->scope);
    }
    cJSON_AddItemToArray(listing->list, one);
}

static void add_machines(struct control *ctl, cJSON *to)
{
    struct control_machine list[MACHINES_MAX];
    size_t count = ctl->hooks.machines(ctl->hooks.ctx, list, MACHINES_MAX);
    for (size_t i = 0; i < count; i++) {
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "machine", list[i].name);
        cJSON_AddNumberToObject(one, "chats", (double)list[i].chats);
        cJSON_AddNumberToObject(one, "foreground", (double)list[i].foreground);
        cJSON_AddNumberToObject(one, "running", (double)list[i].running);
        cJSON_AddNumberToObject(one, "waiting", (double)list[i].waiting);
        if (list[i].quiet < 0 || list[i].quiet == INT64_MAX) {
            cJSON_AddNullToObject(one, "quiet_s");
        } else {
            add_seconds(one, "quiet_s", list[i].quiet);
        }
        cJSON_AddItemToArray(to, one);
    }
}

static void add_left_out(void *ctx, const struct control_left_out *l)
{
    cJSON *one = cJSON_CreateObject();
    cJSON_AddStringToObject(one, "upstream", l->upstream);
    cJSON_AddStringToObject(one, "model", l->model);
    cJSON_AddStringToObject(one, "addition", l->addition);
    cJSON_AddBoolToObject(one, "proven", l->proven);
    control_add_time(one, "since", l->since);
    cJSON_AddItemToArray(ctx, one);
}

void control_flights(struct control *ctl, struct http_conn *c, bool scopes)
{
    cJSON *tree = cJSON_CreateObject();
    struct listing listing = {cJSON_AddArrayToObject(tree, "flights"), scopes};
    ctl->hooks.flights(ctl->hooks.ctx, add_flight, &listing);
    add_machines(ctl, cJSON_AddArrayToObject(tree, "machines"));
    ctl->hooks.left_out(ctl->hooks.ctx, add_left_out, cJSON_AddArrayToObject(tree, "left_out"));
    control_reply_tree(c, 200, tree);
}
