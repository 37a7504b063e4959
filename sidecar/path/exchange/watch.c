/* watch.c: a forwarded task's answer, read after each piece was passed on, for the model time and
 * the tokens of its call.
 *
 * An answer that grows beyond WATCH_MAX, or comes while WATCH_ANSWERS others are watched, is not
 * assembled: its time is then measured from the transfer.
 */
#include "path/exchange/exchange_priv.h"

enum { WATCH_MAX = 1024 * 1024, WATCH_ANSWERS = 64 };

static void stop_watching(struct exchange *x)
{
    if (x->watch.watching) {
        assembler_free(&x->watch.answer);
        x->watch.watching = false;
        x->engine->watched--;
    }
}

static void on_head(void *ctx, int status, const struct http_header *headers, size_t count)
{
    struct exchange *x = ctx;
    if (x->engine->watched < WATCH_ANSWERS) {
        watch_head(x, status, headers, count);
        x->engine->watched += x->watch.watching;
    }
}

static void on_data(void *ctx, struct span piece)
{
    struct exchange *x = ctx;
    struct assembler *a = &x->watch.answer;
    x->watch.last_data = loop_now(x->engine->parts.loop);
    if (!x->watch.watching) {
        return;
    }
    assembler_feed(a, piece);
    if (a->line.len + a->answer.content.len + a->answer.thinking.len > WATCH_MAX) {
        stop_watching(x);
    }
}

/* The server's own durations; else from the start of the call to the last byte of a whole answer, or
 * until now. */
static usec_t model_time(const struct exchange *x, bool whole)
{
    const struct answer_watch *w = &x->watch;
    if (w->watching && w->answer.answer.model_time > 0) {
        return w->answer.answer.model_time;
    }
    mono_t end = whole && w->last_data.us != 0 ? w->last_data : loop_now(x->engine->parts.loop);
    return mono_diff(end, w->called);
}

static void on_end(void *ctx)
{
    struct exchange *x = ctx;
    const struct upstream_settings *to = exchange_upstream(x);
    if (!x->watch.watching) {
        return;
    }
    enum assembled how = assembler_finish(&x->watch.answer, true);
    x->watch.failed = how == ASSEMBLED_ERROR;
    if (how != ASSEMBLED_WHOLE) {
        return;
    }
    struct flight_end end = {.result = FLIGHT_RESULT_ANSWER,
                             .answer = &x->watch.answer.answer,
                             .model_time = model_time(x, true),
                             .took = mono_diff(x->watch.last_data, x->watch.called)};
    flight_count_tokens(x->body.len, to, exchange_figures(x, x->decision.kind),
                        exchange_server(x)->figures, &end);
    exchange_user_figures(x)->cost += end.cost;
    observe_answered(x, &end);
}

void watch_ended(struct exchange *x, const struct relay_result *r)
{
    struct task_figures *figures = exchange_figures(x, x->decision.kind);
    usec_t took = r->unreachable ? 0 : model_time(x, r->whole);
    bool used = r->whole && !r->client_gone && r->status < 400 && !x->watch.failed;
    figures->upstream_us += took;
    figures->wasted_us += used ? 0 : took;
    struct savings *user = exchange_user_figures(x);
    user->spent_us += took;
    user->wasted_us += used ? 0 : took;
    stop_watching(x);
}

const struct relay_tap watch_tap = {.on_head = on_head, .on_data = on_data, .on_end = on_end};
