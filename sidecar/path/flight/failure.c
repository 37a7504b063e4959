/* failure.c: what happens when a call fails.
 *
 *   not one byte came ──▶ once more on another connection (call.c: as the client wrote it, where
 *                         something had been added)
 *   429, or 503 with Retry-After ──▶ the door is closed: it waits there, if max_hold allows that; a
 *                                    foreground kind only for a Retry-After, 3 s in all
 * (schedule.h) a fallback is configured ──▶ it is asked, once, behind its own gate else ──▶ whoever
 * waits is told (fly.c may have a stale answer)
 *
 * The breaker of an upstream counts failures in a row: of tasks and of chats, not 4xx but 408 and
 * 429. When there are breaker_failures of them, tasks are kept away for breaker_open; then one of
 * them tries. Chats are always tried, and one that is answered closes it. Calls that are nobody's
 * task are always tried as well, and change nothing: whoever tries out a model must not keep real
 * tasks away from the others.
 */
#include "path/flight/flight_priv.h"

#include "lull/path/server/throttle.h"

static const usec_t DOOR_USUAL = 2 * USEC_PER_S;    /* 429 without Retry-After */
static const usec_t DOOR_LEAST = 500 * USEC_PER_MS; /* "at once" still is not the same moment */
enum { DOOR_WAITS = 5, DOOR_WAITS_FOREGROUND = 2 }; /* of one flight */

void failure_forget_probe(struct flight *f)
{
    if (f->probing) {
        f->probing = false;
        breaker_end_trial(flight_server(f));
    }
}

void failure_none(struct flight *f)
{
    f->probing = false;
    if (!f->spec.aside) {
        breaker_success(flight_server(f));
    }
}

/* ---- the door ---- */

bool failure_is_page(const struct flight *f)
{
    struct span type = http_lines_field(buf_span(&f->raw_headers), SPAN("Content-Type"));
    struct span html = SPAN("text/html");
    return type.len >= html.len && span_eq_nocase(span_make(type.ptr, html.len), html);
}

/* Whether the flight may wait at the door at all. */
static bool may_wait(const struct flight *f)
{
    enum kind_class cls = flight_policy(f)->cls;
    unsigned most = cls == KIND_CLASS_FOREGROUND ? DOOR_WAITS_FOREGROUND : DOOR_WAITS;
    return cls != KIND_CLASS_COMPLETION && f->spec.fallback.upstream < 0 && !f->orphan &&
           f->door_waits < most;
}

/* Whether it waits behind a closed door now. */
static bool wait_for_door(struct flight *f, const struct flight_end *end)
{
    struct flight_table *t = f->table;
    if (end->result != FLIGHT_RAW || (end->status != 429 && end->status != 503)) {
        return false;
    }
    usec_t said = throttle_retry_after(
        http_lines_field(buf_span(&f->raw_headers), SPAN("Retry-After")), loop_wall(t->parts.loop));
    if (said < 0 && end->status == 503) {
        return false;
    }
    usec_t left = said < 0 ? DOOR_USUAL : said < DOOR_LEAST ? DOOR_LEAST : said;
    mono_t until = {loop_now(t->parts.loop).us + left};
    throttle_note(flight_server(f), until, said >= 0);
    if (!may_wait(f) || !gate_back(t->parts.gate, &f->ticket)) {
        return false;
    }
    f->door_waits++;
    f->state = FLIGHT_QUEUED;
    f->held_from = loop_now(t->parts.loop);
    return true;
}

/* ---- the fallback ---- */

static bool fall_back(struct flight *f)
{
    if (f->spec.fallback.upstream < 0 || f->fell_back || f->orphan) {
        return false;
    }
    gate_end(f->table->parts.gate, &f->ticket, false);
    f->fell_back = true;
    f->again = false;
    f->refused = (struct refused){.sent = 0};
    f->retried = false;
    f->shape_retried = false;
    flight_queue(f);
    return true;
}

bool failure_is_certain(struct flight *f)
{
    const struct server *server = flight_server(f);
    mono_t now = loop_now(f->table->parts.loop);
    if (f->spec.fallback.upstream >= 0 && !f->fell_back && server->throttled_until.us > now.us) {
        return fall_back(f);
    }
    return breaker_is_open(server, now) && failure_blocked(f);
}

bool failure_blocked(struct flight *f)
{
    struct flight_end end = {.result = FLIGHT_FAILED,
                             .error = HTTP_ERROR_UPSTREAM_UNREACHABLE,
                             .why = "it failed too often; the next task tries after breaker_open",
                             .upstream_failed = true};
    mono_t now = loop_now(f->table->parts.loop);
    if (f->spec.aside || breaker_admits(flight_server(f), now, &f->probing)) {
        return false;
    }
    if (!fall_back(f)) {
        flight_finish(f, &end);
    }
    return true;
}

void failure_end(struct flight *f, struct flight_end *end, bool received)
{
    bool answered = end->result == FLIGHT_RAW && end->status >= 400 && !breaker_counts(end->status);
    if (!f->has_first && wait_for_door(f, end)) {
        failure_forget_probe(f); /* the door does what the breaker would */
        return;
    }
    if (answered) {
        failure_none(f);
    } else if (!f->spec.aside) {
        f->probing = false;
        breaker_failure(flight_server(f), flight_upstream(f), loop_now(f->table->parts.loop));
    }
    bool transport = end->result == FLIGHT_FAILED && end->error != HTTP_ERROR_UPSTREAM_TIMEOUT;
    if (transport && !received && !f->retried && !f->has_first && !f->orphan) {
        f->retried = true;
        call_start(f);
        return;
    }
    if (f->has_first) {
        call_land_first(f);
        return;
    }
    if (end->upstream_failed && fall_back(f)) {
        return;
    }
    flight_task_figures(f)->not_stored++;
    flight_finish(f, end);
}
