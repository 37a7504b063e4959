/* forward.c: everything that passes through: chats, the rest of the port, and tasks that lull
 * leaves alone.
 *
 * A chat's body and answer are not touched in any way; a task's answer gains its two headers.
 */
#include "path/exchange/exchange_priv.h"

static struct upstream_figures *upstream_figures_of(struct exchange *x)
{
    const char *name = x->settings->upstreams[x->head.upstream].name;
    return figures_upstream(x->engine->parts.figures, name);
}

static void count_call_end(struct exchange *x, const struct relay_result *r)
{
    struct upstream_figures *up = upstream_figures_of(x);
    up->running--;
    if (!r->client_gone) {
        flight_note_reached(x->engine->flights, up->name, !r->own_error, r->why);
    }
    if (r->own_error) {
        probes_forget(flight_probes(x->engine->flights), up->name);
    }
    if (r->client_gone) {
        up->aborted++;
    } else if (r->whole) {
        up->finished++;
    } else {
        up->failed++;
    }
}

static void count_chat_end(struct exchange *x, const struct relay_result *r)
{
    struct engine *e = x->engine;
    struct server_figures *server = &e->parts.figures->server;
    server->chat_open--;
    if (!r->client_gone && (!r->whole || r->status >= 400)) {
        server->chat_failed++;
    }
    mono_t first = x->watch.first_token.us != 0 ? x->watch.first_token : r->first_data;
    if (first.us != 0) {
        figure_times_add(&server->chat_ttft, loop_now(e->parts.loop), mono_diff(first, x->begun));
        event_first_token(x, mono_diff(first, x->begun));
    }
}

/* A chat says how the upstream is, for the breaker that keeps tasks away. */
static void note_answered(struct exchange *x, const struct relay_result *r)
{
    if (!r->client_gone) {
        flight_chat_ended(x->engine->flights, &x->settings->upstreams[x->head.upstream],
                          r->whole ? r->status : 0);
    }
}

static void on_relay_done(void *ctx, const struct relay_result *r)
{
    struct exchange *x = ctx;
    x->relay = NULL;
    count_call_end(x, r);
    if (x->decision.cls == TASK_CLASS_TASK) {
        watch_ended(x, r);
        observe_ended(x, r);
    }
    chat_end(x);
    gate_end(flight_gate(x->engine->flights), &x->ticket, r->client_gone);
    if (x->decision.cls == TASK_CLASS_TASK) {
        struct task_figures *figures = exchange_figures(x, x->decision.kind);
        if (!r->client_gone && (!r->whole || r->status >= 400 || x->watch.failed)) {
            figures->failed++;
        }
        exchange_finish(x, x->decision.kind, r->client_gone ? OUTCOME_ABANDONED : OUTCOME_BYPASSED);
        return;
    }
    if (x->decision.cls == TASK_CLASS_CHAT) {
        note_answered(x, r);
        count_chat_end(x, r);
    }
    exchange_drop(x);
}

static void count_begin(struct exchange *x)
{
    struct engine *e = x->engine;
    struct server_figures *server = &e->parts.figures->server;
    upstream_figures_of(x)->calls++;
    upstream_figures_of(x)->running++;
    if (x->decision.unknown_header || x->decision.lookalike) {
        server->tasks_unrecognised++;
    }
    if (x->decision.cls == TASK_CLASS_TASK) {
        struct task_figures *figures = exchange_figures(x, x->decision.kind);
        figures->upstream_calls++;
        figures->observed = figures->observed || x->settings->mode == TASKS_OBSERVE;
    } else if (x->decision.cls == TASK_CLASS_CHAT) {
        server->chat_requests++;
        server->chat_open++;
    } else {
        server->other_requests++;
    }
    chat_begin(x);
}

static void pass(struct exchange *x)
{
    char lines[512];
    size_t len = 0;
    if (x->decision.cls == TASK_CLASS_TASK) {
        struct cache_status status = reply_call_status(x, false);
        len = reply_task_lines(x, x->decision.kind, &status, lines, sizeof lines);
    }
    event_model(x, x->parsed ? x->request.model : SPAN_NONE);
    count_begin(x);
    x->phase = PHASE_RELAY;
    x->watch.called = loop_now(x->engine->parts.loop);
    struct relay_options options = {
        .conn = x->conn,
        .to = &x->settings->upstreams[x->head.upstream],
        .target = x->head.target,
        .body_held = x->body_held,
        .extra_headers = span_make(lines, len),
        .strip_authorization = x->settings->server.client_token[0] != '\0',
        .error_form = x->head.form,
        .tap = x->decision.cls == TASK_CLASS_CHAT   ? &chat_tap
               : x->decision.cls == TASK_CLASS_TASK ? &task_tap
                                                    : NULL,
        .on_done = on_relay_done,
        .ctx = x,
    };
    x->relay = relay_start(x->engine->parts.loop, x->engine->parts.pool, &options);
}

static void count_wait(struct exchange *x)
{
    exchange_figures(x, x->decision.kind)->wait_us +=
        mono_diff(loop_now(x->engine->parts.loop), x->begun);
}

static void go(void *ctx)
{
    count_wait(ctx);
    pass(ctx);
}

void pass_leave(struct exchange *x)
{
    count_wait(x);
    gate_end(flight_gate(x->engine->flights), &x->ticket, false);
    exchange_finish(x, x->decision.kind, OUTCOME_ABANDONED);
}

static bool yield(void *ctx)
{
    (void)ctx;
    return false; /* never asked: the job is fixed */
}

/* A background task whose answer is passed on may wait before it begins, nothing else. One whose
 * body is not held goes at once. */
static bool waits(const struct exchange *x)
{
    return x->decision.cls == TASK_CLASS_TASK && x->body_held && x->settings->mode == TASKS_ON &&
           exchange_policy(x)->cls == KIND_CLASS_BACKGROUND;
}

/* What is sent to an upstream that leads back here would run in a circle. */
static enum step refuse_loop(struct exchange *x)
{
    if (x->decision.cls == TASK_CLASS_TASK) {
        return reply_failure(x, OUTCOME_BYPASSED, HTTP_ERROR_LOOP, "");
    }
    x->engine->bad_requests++;
    http_reply_error(x->conn, HTTP_ERROR_LOOP, x->head.form, SPAN_NONE, SPAN_NONE);
    exchange_drop(x);
    return STEP_OVER;
}

enum step step_relay(struct exchange *x)
{
    const struct upstream_figures *up = upstream_figures_of(x);
    struct probes *probes = flight_probes(x->engine->flights);
    probes_pass(probes, x->settings, x->head.upstream, up->finished + up->failed + up->aborted);
    if (probes_loops(probes, up->name)) {
        return refuse_loop(x);
    }
    if (x->settings->mode == TASKS_OBSERVE && x->decision.cls == TASK_CLASS_TASK) {
        observe_passing(x);
        x->bypass = "observe";
    }
    if (!waits(x)) {
        pass(x);
        return STEP_WAIT;
    }
    struct flight_turn turn = turn_of(x);
    struct span model = x->parsed ? x->request.model : SPAN_NONE;
    x->ticket = (struct gate_ticket){.job = {.to = &x->settings->upstreams[x->head.upstream],
                                             .policy = exchange_policy(x),
                                             .whose = turn.whose,
                                             .turn = turn.turn,
                                             .model = flight_key_of(x->engine->flights, model),
                                             .beside_reply = turn.beside_reply,
                                             .fixed = true,
                                             .expected = -1},
                                     .go = go,
                                     .yield = yield,
                                     .ctx = x};
    x->phase = PHASE_GATE;
    gate_wait(flight_gate(x->engine->flights), &x->ticket);
    return STEP_WAIT;
}
