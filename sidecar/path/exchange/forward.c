/* forward.c: everything that passes through: chats, the other paths of the port, and tasks that lull
 * does not answer.
 *
 * A chat's body and answer are passed on unchanged; a task's answer gains its two headers.
 */
#include "path/exchange/exchange_priv.h"

#include "lull/path/server/breaker.h"

#include "lull/path/server/probe.h"

static void count_call_end(struct exchange *x, const struct relay_result *r)
{
    struct upstream_figures *up = exchange_server(x)->figures;
    up->running--;
    if (!r->client_gone && !r->no_memory) {
        server_note_reached(exchange_server(x), exchange_upstream(x), !r->own_error, r->why);
    }
    if (r->own_error && !r->no_memory) {
        probe_forget(exchange_server(x));
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

/* A chat's answer tells the breaker how the upstream is. */
static void note_answered(struct exchange *x, const struct relay_result *r)
{
    if (!r->client_gone && !r->no_memory) {
        struct server *server = exchange_server(x);
        if (r->whole ? r->status >= 400 : !r->unreachable) {
            server_note_failed(
                server,
                &(struct server_failure){.to = exchange_upstream(x),
                                         .caller = SERVER_CALLER_CHAT,
                                         .status = r->whole ? r->status : 0,
                                         .why = r->own_error ? r->why : "the answer broke off"},
                loop_now(x->engine->parts.loop));
        } else if (r->whole) {
            server_note_served(server, SERVER_CALLER_CHAT, SPAN_NONE);
        }
        if (r->whole && !breaker_counts(r->status)) {
            breaker_success(server);
        } else {
            breaker_failure(server, exchange_upstream(x), loop_now(x->engine->parts.loop));
        }
    }
}

static void on_relay_done(void *ctx, const struct relay_result *r)
{
    struct exchange *x = ctx;
    x->relay = NULL;
    count_call_end(x, r);
    if (x->decision.cls == TASK_CLASS_TASK) {
        watch_ended(x, r);
        if (!r->unreachable && prefix_is_read(r->status)) {
            behind_read_other(x); /* it took a slot, too */
        }
        observe_ended(x, r);
    }
    x->watch.noted = x->watch.noted || r->unreachable;
    chat_end(x);
    gate_end(x->engine->gate, &x->ticket, r->client_gone);
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
    exchange_server(x)->figures->calls++;
    exchange_server(x)->figures->running++;
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
}

static void begin_relay(struct exchange *x)
{
    char lines[512];
    size_t len = 0;
    if (x->decision.cls == TASK_CLASS_TASK) {
        struct cache_status status = respond_call_status(x, false);
        len = respond_lines(x, x->decision.kind, &status, lines, sizeof lines);
    }
    event_model(x, x->parsed ? x->request.model : SPAN_NONE);
    count_begin(x);
    chat_begin(x);
    x->phase = PHASE_RELAY;
    x->watch.called = loop_now(x->engine->parts.loop);
    struct relay_options options = {
        .conn = x->conn,
        .to = exchange_upstream(x),
        .target = x->head.target,
        .body_held = x->body_held,
        .extra_headers = span_make(lines, len),
        .task = x->decision.cls == TASK_CLASS_TASK && x->settings->mode == TASKS_ON,
        .urgent = x->decision.cls != TASK_CLASS_TASK,
        .strip_authorization = x->settings->server.client_token[0] != '\0',
        .error_form = x->head.form,
        .tap = x->decision.cls == TASK_CLASS_CHAT   ? &chat_tap
               : x->decision.cls == TASK_CLASS_TASK ? &watch_tap
                                                    : NULL,
        .on_done = on_relay_done,
        .ctx = x,
    };
    x->relay = relay_start(x->engine->parts.loop, x->engine->parts.pool, &options);
}

static void count_wait(struct exchange *x)
{
    usec_t waited = mono_diff(loop_now(x->engine->parts.loop), x->begun);
    exchange_figures(x, x->decision.kind)->wait_us += waited;
    exchange_user_figures(x)->wait_us += waited;
}

static void on_gate_open(void *ctx)
{
    struct exchange *x = ctx;
    count_wait(x);
    schedule_called(&x->ticket.job);
    begin_relay(x);
}

void forward_leave(struct exchange *x)
{
    count_wait(x);
    gate_end(x->engine->gate, &x->ticket, false);
    exchange_finish(x, x->decision.kind, OUTCOME_ABANDONED);
}

/* Not called: the job is fixed. */
static bool on_yield(void *ctx)
{
    (void)ctx;
    return false;
}

/* Only a background task with a held body waits at the gate before it is sent. */
static bool waits_at_gate(const struct exchange *x)
{
    return x->decision.cls == TASK_CLASS_TASK && x->body_held && x->settings->mode == TASKS_ON &&
           exchange_policy(x)->cls == KIND_CLASS_BACKGROUND;
}

bool forward_is_loop(struct exchange *x)
{
    bool own = x->settings->server.client_token[0] != '\0'; /* it is for lull, not for the server */
    probe_pass(x->engine->parts.servers, x->settings, x->head.upstream,
               own ? SPAN_NONE : x->head.auth);
    return exchange_server(x)->loops;
}

void forward_begin(struct exchange *x)
{
    if (!waits_at_gate(x)) {
        begin_relay(x);
        return;
    }
    struct flight_turn turn = conversation_turn(x);
    struct span model = x->parsed ? x->request.model : SPAN_NONE;
    x->ticket = (struct gate_ticket){.job = {.to = exchange_upstream(x),
                                             .policy = exchange_policy(x),
                                             .conversation = turn.conversation,
                                             .turn = turn.turn,
                                             .model = servers_key(x->engine->parts.servers, model),
                                             .beside_reply = turn.beside_reply,
                                             .fixed = true,
                                             .expected = -1},
                                     .start = on_gate_open,
                                     .preempt = on_yield,
                                     .ctx = x};
    x->phase = PHASE_GATE;
    gate_wait(x->engine->gate, &x->ticket);
}
