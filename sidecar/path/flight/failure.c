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
#define _XOPEN_SOURCE 700 /* strptime */
#include "path/flight/flight_priv.h"

#include "lull/base/log.h"

#include <stdlib.h>
#include <time.h>

static const usec_t DOOR_USUAL = 2 * USEC_PER_S;    /* 429 without Retry-After */
static const usec_t DOOR_LEAST = 500 * USEC_PER_MS; /* "at once" still is not the same moment */
static const usec_t DOOR_MAX = 3600 * USEC_PER_S;
enum { DOOR_WAITS = 5, DOOR_WAITS_FOREGROUND = 2 }; /* of one flight */

struct breaker {
    struct breaker *next;
    char *name;
    int64_t failures;
    mono_t open_until; /* zero: closed */
    bool probing;      /* open, and one task tries */
};

static struct breaker *breaker_of(struct flight_table *t, const char *name)
{
    struct breaker *b = t->breakers;
    while (b != NULL && strcmp(b->name, name) != 0) {
        b = b->next;
    }
    if (b == NULL) {
        b = mem_new(sizeof *b);
        b->name = mem_strdup(name);
        b->next = t->breakers;
        t->breakers = b;
    }
    return b;
}

void breakers_free(struct flight_table *t)
{
    while (t->breakers != NULL) {
        struct breaker *b = t->breakers;
        t->breakers = b->next;
        free(b->name);
        free(b);
    }
}

void flight_note_reached(struct flight_table *t, const char *upstream, bool reached,
                         const char *why)
{
    struct upstream_figures *up = figures_upstream(t->figures, upstream);
    if (up->unreachable && reached) {
        log_info("upstream", "%s is up again", upstream);
    } else if (!up->unreachable && !reached) {
        log_warn("upstream", "%s is down: %s", upstream, why);
    }
    up->unreachable = !reached;
}

static void note_success(struct breaker *b)
{
    if (b->open_until.us != 0) {
        log_info("upstream", "%s answers again: the breaker closes, tasks are sent there", b->name);
    }
    b->failures = 0;
    b->open_until = (mono_t){0};
    b->probing = false;
}

static void note_failure(struct flight_table *t, const struct upstream_settings *to)
{
    struct breaker *b = breaker_of(t, to->name);
    b->failures++;
    b->probing = false;
    if (b->failures >= to->breaker_failures) {
        if (b->open_until.us == 0) {
            log_warn("upstream",
                     "%s failed %lld times in a row: the breaker opens, tasks are kept away",
                     to->name, (long long)b->failures);
        }
        b->open_until = (mono_t){loop_now(t->loop).us + to->breaker_open};
    }
}

const char *flight_upstream_state(const struct flight_table *t, const char *upstream)
{
    const struct breaker *b = t->breakers;
    while (b != NULL && strcmp(b->name, upstream) != 0) {
        b = b->next;
    }
    if (b == NULL || b->open_until.us == 0) {
        return "up";
    }
    return b->probing || b->open_until.us <= loop_now(t->loop).us ? "probing" : "down";
}

/* Whether an answer of that status says that the server is in trouble. */
static bool counts(int status)
{
    return status >= 500 || status == 408 || status == 429;
}

void flight_chat_ended(struct flight_table *t, const struct upstream_settings *to, int status)
{
    if (status > 0 && !counts(status)) {
        note_success(breaker_of(t, to->name));
    } else {
        note_failure(t, to);
    }
}

/* Whether a task may be sent there now. */
static bool breaker_lets(struct flight *f)
{
    struct breaker *b = breaker_of(f->table, flight_upstream(f)->name);
    if (b->open_until.us == 0) {
        return true;
    }
    if (b->probing || loop_now(f->table->loop).us < b->open_until.us) {
        return false;
    }
    b->probing = true;
    f->probing = true;
    return true;
}

void failure_forget_probe(struct flight *f)
{
    if (f->probing) {
        f->probing = false;
        breaker_of(f->table, flight_upstream(f)->name)->probing = false;
    }
}

void failure_none(struct flight *f)
{
    f->probing = false;
    if (!f->spec.aside) {
        note_success(breaker_of(f->table, flight_upstream(f)->name));
    }
}

/* ---- the door ---- */

/* Delta-seconds, also with a fraction (some gateways send one), which is rounded up; -1: not that.
 */
static usec_t retry_seconds(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    size_t fraction = text[digits] == '.' ? strspn(text + digits + 1, "0123456789") : 0;
    const char *end = text + digits + (fraction > 0 ? fraction + 1 : 0);
    if (digits == 0 || *end != '\0') {
        return -1;
    }
    usec_t most = DOOR_MAX / USEC_PER_S;
    usec_t seconds = 0;
    for (size_t i = 0; i < digits && seconds < most; i++) {
        seconds = seconds * 10 + (text[i] - '0');
    }
    bool more = fraction > 0 && strspn(text + digits + 1, "0") < fraction;
    seconds += more ? 1 : 0;
    return (seconds < most ? seconds : most) * USEC_PER_S;
}

/* The three forms of RFC 9110 §5.6.7; -1: none of them. */
static usec_t retry_date(const char *text, wall_t now)
{
    static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                        "%a %b %e %H:%M:%S %Y"};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct tm when = {0};
        const char *rest = strptime(text, forms[i], &when);
        if (rest == NULL || *rest != '\0') {
            continue;
        }
        int day = when.tm_mday;
        usec_t left = (usec_t)timegm(&when) * USEC_PER_S - now.us;
        if (when.tm_mday != day) {
            return -1; /* there is no such day in that month */
        }
        return left < 0 ? 0 : left > DOOR_MAX ? DOOR_MAX : left;
    }
    return -1;
}

/* How long the server asks to be left alone, DOOR_MAX at most; -1: it does not say, or nothing that
 * can be read. */
static usec_t retry_after(struct span value, wall_t now)
{
    char text[64];
    if (value.len == 0 || value.len >= sizeof text) {
        return -1;
    }
    memcpy(text, value.ptr, value.len);
    text[value.len] = '\0';
    usec_t seconds = retry_seconds(text);
    return seconds >= 0 ? seconds : retry_date(text, now);
}

bool failure_is_page(const struct flight *f)
{
    struct span lines = buf_span(&f->raw_headers);
    return http_is_type(http_lines_field(lines, SPAN("Content-Type")), SPAN("text/html"));
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
    usec_t said = retry_after(http_lines_field(buf_span(&f->raw_headers), SPAN("Retry-After")),
                              loop_wall(t->loop));
    if (said < 0 && end->status == 503) {
        return false;
    }
    usec_t left = said < 0 ? DOOR_USUAL : said < DOOR_LEAST ? DOOR_LEAST : said;
    mono_t until = {loop_now(t->loop).us + left};
    schedule_close(t->schedule, flight_upstream(f), until, said >= 0);
    if (!may_wait(f) || !gate_back(t->gate, &f->ticket)) {
        return false;
    }
    f->door_waits++;
    f->state = FLIGHT_QUEUED;
    f->held_from = loop_now(t->loop);
    return true;
}

/* ---- the fallback ---- */

static bool fall_back(struct flight *f)
{
    if (f->spec.fallback.upstream < 0 || f->fell_back || f->orphan) {
        return false;
    }
    gate_end(f->table->gate, &f->ticket, false);
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
    const struct upstream_settings *to = flight_upstream(f);
    struct breaker *b = breaker_of(f->table, to->name);
    mono_t now = loop_now(f->table->loop);
    bool down = b->open_until.us > now.us;
    bool shut = f->spec.fallback.upstream >= 0 && !f->fell_back &&
                schedule_is_closed(f->table->schedule, to, now);
    if (shut) {
        return fall_back(f);
    }
    return down && failure_blocked(f);
}

bool failure_blocked(struct flight *f)
{
    struct flight_end end = {.result = FLIGHT_FAILED,
                             .error = HTTP_ERROR_UPSTREAM_UNREACHABLE,
                             .why = "it failed too often; the next task tries after breaker_open",
                             .upstream_failed = true};
    if (f->spec.aside || breaker_lets(f)) {
        return false;
    }
    if (!fall_back(f)) {
        flight_finish(f, &end);
    }
    return true;
}

void failure_end(struct flight *f, struct flight_end *end, bool received)
{
    bool answered = end->result == FLIGHT_RAW && end->status >= 400 && !counts(end->status);
    if (!f->has_first && wait_for_door(f, end)) {
        failure_forget_probe(f); /* the door does what the breaker would */
        return;
    }
    if (answered) {
        failure_none(f);
    } else if (!f->spec.aside) {
        f->probing = false;
        note_failure(f->table, flight_upstream(f));
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
