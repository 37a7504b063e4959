/* failure.c: what happens when a call fails.
 *
 *   no byte of an answer came             once more on another connection (call_result.c: as the
 *                                         client wrote it, where something had been added)
 *   429, or 503 with Retry-After          it waits at the gate until then, if max_hold allows that;
 *                                         a foreground kind only for a Retry-After, 3 s in all
 *   a fallback is configured              it is asked, once, behind its own gate
 *   else                                  the waiters get the error (the engine may have a stale
 *                                         answer)
 *
 * A call of an untracked flight (a comparison) is always tried and does not change the breaker: to
 * try out a model must not keep real tasks away from the others.
 */
#include "path/flight/flight_priv.h"

#include "lull/http/fields.h"
#include "lull/path/server/throttle.h"

static const usec_t THROTTLE_USUAL = 2 * USEC_PER_S;    /* 429 without Retry-After */
static const usec_t THROTTLE_LEAST = 500 * USEC_PER_MS; /* "at once" still is not the same moment */
enum { THROTTLE_WAITS = 5, THROTTLE_WAITS_FOREGROUND = 2 }; /* of one flight */

void failure_forget_trial(struct flight *f)
{
    if (f->trial_call) {
        f->trial_call = false;
        breaker_end_trial(flight_server(f));
    }
}

void failure_success(struct flight *f)
{
    f->trial_call = false;
    if (!f->spec.untracked) {
        breaker_success(flight_server(f));
    }
}

/* ---- throttled ---- */

bool failure_is_page(const struct flight *f)
{
    struct span lines = buf_span(&f->raw_headers);
    return http_is_type(http_lines_field(lines, SPAN("Content-Type")), SPAN("text/html"));
}

/* Whether the flight may wait until a throttled server takes tasks again. */
static bool may_wait(const struct flight *f)
{
    enum kind_class cls = flight_policy(f)->cls;
    unsigned most = cls == KIND_CLASS_FOREGROUND ? THROTTLE_WAITS_FOREGROUND : THROTTLE_WAITS;
    return cls != KIND_CLASS_COMPLETION && f->spec.fallback.upstream < 0 && !f->detached &&
           f->throttle_waits < most;
}

/* Whether it waits for that now. */
static bool waits_for_throttle(struct flight *f)
{
    struct flight_table *t = f->table;
    const struct flight_end *end = &f->end;
    bool throttles = end->status == 429 || end->status == 503;
    if (end->result != FLIGHT_RESULT_RAW || !throttles ||
        !server_access_is_current(flight_server(f), flight_upstream(f))) {
        return false;
    }
    usec_t said = throttle_retry_after(
        http_lines_field(buf_span(&f->raw_headers), SPAN("Retry-After")), loop_wall(t->parts.loop));
    if (said < 0 && end->status == 503) {
        return false;
    }
    usec_t left = said < 0 ? THROTTLE_USUAL : said < THROTTLE_LEAST ? THROTTLE_LEAST : said;
    mono_t until = {loop_now(t->parts.loop).us + left};
    throttle_note(flight_server(f), until, said >= 0);
    if (!may_wait(f) || !gate_requeue_throttled(t->parts.gate, &f->ticket)) {
        return false;
    }
    f->throttle_waits++;
    return true;
}

/* ---- the fallback ---- */

/* Whether it goes to its fallback; then it begins there as a new flight would. */
static bool falls_back(struct flight *f)
{
    if (f->spec.fallback.upstream < 0 || f->fell_back || f->detached) {
        return false;
    }
    f->fell_back = true;
    f->again = false;
    f->unread = false;
    f->api_refused = false;
    f->refused = (struct refused){.sent = 0};
    f->retried = false;
    f->shape_retried = false;
    return true;
}

/* FELL_BACK or FAILED where the breaker keeps it away. */
static enum flight_event breaker_divert(struct flight *f)
{
    mono_t now = loop_now(f->table->parts.loop);
    if (f->spec.untracked || breaker_admits(flight_server(f), now, &f->trial_call)) {
        return FLIGHT_EVENT_NONE;
    }
    probe_forget(flight_server(f));
    if (falls_back(f)) {
        return FLIGHT_EVENT_FELL_BACK;
    }
    f->end =
        (struct flight_end){.result = FLIGHT_RESULT_FAILED,
                            .error = HTTP_ERROR_UPSTREAM_UNREACHABLE,
                            .why = "it failed too often; the next task tries after breaker_open",
                            .upstream_failed = true};
    return FLIGHT_EVENT_FAILED;
}

bool failure_leaves_throttled(const struct flight *f)
{
    return f->spec.fallback.upstream >= 0 && !f->fell_back;
}

bool failure_keeps_away(const struct server *s, mono_t now)
{
    return throttle_is_on(s, now) || breaker_is_open(s, now);
}

/* FELL_BACK where its server takes no tasks now, and another one does. */
static enum flight_event throttle_divert(struct flight *f)
{
    bool throttled = throttle_is_on(flight_server(f), loop_now(f->table->parts.loop));
    bool goes = throttled && failure_leaves_throttled(f) && falls_back(f);
    return goes ? FLIGHT_EVENT_FELL_BACK : FLIGHT_EVENT_NONE;
}

enum flight_event failure_certain(struct flight *f)
{
    enum flight_event event = throttle_divert(f);
    bool open = breaker_is_open(flight_server(f), loop_now(f->table->parts.loop));
    return event == FLIGHT_EVENT_NONE && open ? breaker_divert(f) : event;
}

enum flight_event failure_divert(struct flight *f)
{
    enum flight_event event = throttle_divert(f);
    return event == FLIGHT_EVENT_NONE ? breaker_divert(f) : event;
}

enum flight_event failure_next(struct flight *f, bool received)
{
    const struct flight_end *end = &f->end;
    /* else it is a page in an answer's place */
    bool refused = end->status >= 300 || !f->assembling;
    bool answered = end->result == FLIGHT_RESULT_RAW && refused && !breaker_counts(end->status);
    bool ours = end->result == FLIGHT_RESULT_FAILED && end->error == HTTP_ERROR_BUSY;
    if (!f->has_first && waits_for_throttle(f)) {
        failure_forget_trial(f); /* the throttle does what the breaker would */
        return FLIGHT_EVENT_THROTTLED;
    }
    if (answered) {
        failure_success(f);
    } else if (ours) { /* no memory: not the server's fault */
        failure_forget_trial(f);
    } else if (!f->spec.untracked) {
        f->trial_call = false;
        breaker_failure(flight_server(f), flight_upstream(f), loop_now(f->table->parts.loop));
    }
    bool transport =
        end->result == FLIGHT_RESULT_FAILED && end->error != HTTP_ERROR_UPSTREAM_TIMEOUT;
    if (transport && !received && !f->retried && !f->has_first && !f->detached) {
        f->retried = true;
        return FLIGHT_EVENT_ASKED_AGAIN;
    }
    bool unreachable = transport && end->error == HTTP_ERROR_UPSTREAM_UNREACHABLE;
    if (unreachable) { /* it may be another one when it is back; before it falls back */
        probe_forget(flight_server(f));
    }
    if (!f->spec.untracked && !ours && !unreachable) {
        bool raw = end->result == FLIGHT_RESULT_RAW;
        struct server_failure failure = {.to = flight_upstream(f),
                                         .caller = SERVER_CALLER_TASK,
                                         .status = raw ? end->status : 0,
                                         .why = raw ? "a page, or no answer of its API" : end->why,
                                         .model = flight_way_model(f)};
        server_note_failed(flight_server(f), &failure, loop_now(f->table->parts.loop));
    }
    if (f->has_first) {
        return call_use_first(f);
    }
    if (end->upstream_failed && falls_back(f)) {
        return FLIGHT_EVENT_FELL_BACK;
    }
    flight_task_figures(f)->not_stored++;
    return FLIGHT_EVENT_FAILED;
}
