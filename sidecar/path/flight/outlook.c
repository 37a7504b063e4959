/* outlook.c: flights as lullctl shows them. */
#include "path/flight/flight_priv.h"

static const char *state_name(const struct flight *f)
{
    static const char *const names[] = {[FLIGHT_STATE_HELD] = "held",
                                        [FLIGHT_STATE_QUEUED] = "waiting",
                                        [FLIGHT_STATE_FOLLOWING] = "following",
                                        [FLIGHT_STATE_CALLING] = "running",
                                        [FLIGHT_STATE_ENDING] = "ending"};
    return names[f->state];
}

/* How long until the call under way is expected to end. */
static usec_t time_left(const struct flight *f, mono_t now)
{
    usec_t expected = f->call == NULL ? -1 : pace_expected_for(flight_pace(f), f->spec.body.len);
    usec_t left = expected - mono_diff(now, f->started);
    return expected < 0 ? -1 : left > 0 ? left : 0;
}

void flight_each(struct flight_table *t, flight_view_fn fn, void *ctx)
{
    mono_t now = loop_now(t->parts.loop);
    list_each(node, &t->all)
    {
        struct flight *f = list_item(node, struct flight, all);
        struct flight_view v = {
            .kind = flight_policy(f)->name,
            .upstream = flight_upstream(f)->name,
            .state = state_name(f),
            .why = f->state == FLIGHT_STATE_QUEUED ? schedule_why_name(f->ticket.job.why) : "",
            .model = f->spec.model,
            .scope = f->spec.scope,
            .age = mono_diff(now, f->begun),
            .waited = schedule_waited(&f->ticket.job, now),
            .left = time_left(f, now),
            .position = schedule_position(t->parts.schedule, &f->ticket.job),
            .requeued = f->ticket.job.requeued,
            .priority = flight_policy(f)->priority,
        };
        list_each(waiter, &f->waiters)
        {
            v.waiters++;
        }
        if (f->state != FLIGHT_STATE_ENDING) {
            fn(ctx, &v);
        }
    }
}

struct pace *flight_pace_of(const struct flight_table *t, const struct flight_spec *spec)
{
    struct server *s = server_of(t->parts.servers, &spec->settings->upstreams[spec->upstream]);
    return pace_of(server_model(s, spec->model), spec->kind,
                   spec->settings->kinds[spec->kind].name);
}

struct pace *flight_pace(const struct flight *f)
{
    return pace_of(flight_model(f), f->spec.kind, flight_policy(f)->name);
}

void flight_took(struct flight_table *t, const struct flight_spec *spec, usec_t took)
{
    pace_add(flight_pace_of(t, spec), took, spec->body.len);
}

usec_t flight_expected(struct flight_table *t, const struct flight_spec *spec)
{
    return pace_expected_for(flight_pace_of(t, spec), spec->body.len);
}

struct flight_outlook flight_outlook(struct flight_table *t, const struct flight_spec *spec)
{
    struct flight_outlook o = {.joins = spec->join && flight_find_to_join(t, spec) != NULL};
    const struct flight_completion *c = &spec->completion;
    const struct upstream_settings *to = &spec->settings->upstreams[spec->upstream];
    mono_t now = loop_now(t->parts.loop);
    bool other = spec->fallback.upstream >= 0;
    o.falls_back = other && failure_keeps_away(server_of(t->parts.servers, to), now);
    to = o.falls_back ? &spec->settings->upstreams[spec->fallback.upstream] : to;
    struct span model = o.falls_back ? spec->fallback.model : spec->model;
    struct schedule_job job = {.to = to,
                               .policy = &spec->settings->kinds[spec->kind],
                               .conversation = spec->turn.conversation,
                               .turn = spec->turn.turn,
                               .model = servers_key(t->parts.servers, model),
                               .beside_reply = spec->turn.beside_reply,
                               .elsewhere = spec->turn.elsewhere,
                               .leaves_throttled = other && !o.falls_back};
    o.why = schedule_look(t->parts.schedule, &job, now);
    if (spec->settings->kinds[spec->kind].cls == KIND_CLASS_COMPLETION) {
        struct typist_arrival who = c->who;
        who.now = now;
        struct typist_verdict v = typist_peek(t->typists, &who);
        o.window = flight_window(t, spec, &v);
        o.follows = c->usable && spec->join && completion_leader(t, c) != NULL;
    }
    return o;
}
