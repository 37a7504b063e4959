/* pass.c: everything that passes through: chats, the rest of the port, and tasks that lull leaves
 * alone.
 *
 * A chat's body and answer are not touched in any way; a task's answer gains its two headers.
 */
#include "path/exchange_priv.h"

#include <stdio.h>

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
        up->unreachable = r->own_error;
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
    schedule_chat_ended(e->parts.schedule, x->settings->upstreams[x->head.upstream].name);
    flight_schedule_changed(e->flights);
    if (!r->client_gone && (!r->whole || r->status >= 400)) {
        server->chat_failed++;
    }
    if (r->first_data.us != 0) {
        figure_times_add(&server->chat_ttft, loop_now(e->parts.loop),
                         mono_diff(r->first_data, x->begun));
    }
}

static void on_relay_done(void *ctx, const struct relay_result *r)
{
    struct exchange *x = ctx;
    x->relay = NULL;
    count_call_end(x, r);
    if (x->decision.cls == TASK_CLASS_TASK) {
        struct task_figures *figures = exchange_figures(x, x->decision.kind);
        if (!r->client_gone && (!r->whole || r->status >= 400)) {
            figures->failed++;
        }
        exchange_finish(x, x->decision.kind, r->client_gone ? OUTCOME_ABANDONED : OUTCOME_BYPASSED);
        return;
    }
    if (x->chat) {
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
        exchange_figures(x, x->decision.kind)->upstream_calls++;
    } else if (x->decision.cls == TASK_CLASS_CHAT) {
        x->chat = true;
        server->chat_requests++;
        server->chat_open++;
        complete_chat(x);
        schedule_chat_began(e->parts.schedule, x->settings->upstreams[x->head.upstream].name);
    } else {
        server->other_requests++;
    }
}

enum step step_relay(struct exchange *x)
{
    char lines[512];
    size_t len = 0;
    if (x->decision.cls == TASK_CLASS_TASK) {
        char status[64];
        snprintf(status, sizeof status, "fwd=bypass; detail=%s", x->bypass);
        len = reply_task_lines(x, x->decision.kind, status, lines, sizeof lines);
    }
    count_begin(x);
    x->phase = PHASE_RELAY;
    struct relay_options options = {
        .conn = x->conn,
        .to = &x->settings->upstreams[x->head.upstream],
        .target = x->head.target,
        .body_held = x->body_held,
        .extra_headers = span_make(lines, len),
        .strip_authorization = x->settings->server.client_token[0] != '\0',
        .error_form = x->head.form,
        .on_done = on_relay_done,
        .ctx = x,
    };
    x->relay = relay_start(x->engine->parts.loop, x->engine->parts.pool, &options);
    return STEP_WAIT;
}
