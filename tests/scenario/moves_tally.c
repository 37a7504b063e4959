/* moves_tally.c: the figures beside what the clients saw: each reply to a task says its kind
 * (X-Lull-Task) and what became of the request (Cache-Status), and counts as that.
 *
 * The figures may be ahead of the clients by replies that these have not read yet, or never will since
 * they left: never by more, and never behind.
 */
#include "scenario/moves_priv.h"

#include "lull/path/exchange/exchange.h"

#include <stdio.h>
#include <string.h>

static bool has(struct span text, const char *part)
{
    return span_find(text, span_of(part), 0) != SIZE_MAX;
}

/* Of "lull; detail=switched-off": the outcome of that name. */
static enum outcome outcome_named(struct span status)
{
    struct span detail =
        span_make(status.ptr + strlen("lull; detail="), status.len - strlen("lull; detail="));
    for (int o = 0; o < OUTCOME_COUNT; o++) {
        if (span_eq(detail, span_of(outcome_name((enum outcome)o)))) {
            return (enum outcome)o;
        }
    }
    if (span_eq(detail, SPAN("upstream_loop"))) {
        return OUTCOME_BYPASSED;
    }
    require(span_eq(detail, SPAN("paused")) || span_eq(detail, SPAN("switched-off")));
    return OUTCOME_SWITCHED_OFF;
}

/* The outcome that a reply to a task says; OUTCOME_COUNT: it leaves two or more. */
static enum outcome outcome_said(const struct reply *r, struct span status)
{
    bool own_error = r->status == 503 && has(status, "lull; detail=busy");
    if (own_error || has(status, "detail=fallback")) { /* which may have been shared */
        return OUTCOME_COUNT;
    }
    if (span_starts(status, SPAN("lull; hit"))) {
        return has(status, "detail=type-through") ? OUTCOME_TYPE_THROUGH
               : has(status, "ttl=-")             ? OUTCOME_STALE
                                                  : OUTCOME_HIT;
    }
    if (span_starts(status, SPAN("lull; fwd="))) {
        bool called = !has(status, "fwd=bypass") || has(status, "detail=regenerate") ||
                      has(status, "detail=cache-off");
        return has(status, "; collapsed") ? OUTCOME_COLLAPSED
               : called                   ? OUTCOME_MISS
                                          : OUTCOME_BYPASSED;
    }
    require(span_starts(status, SPAN("lull; detail=")));
    return outcome_named(status);
}

static struct tally_kind *row_of(struct tally *t, struct span name)
{
    size_t i = 0;
    while (i < t->count && !span_eq(span_of(t->kinds[i].name), name)) {
        i++;
    }
    if (i == t->count) {
        require(t->count < TALLY_KINDS && name.len < sizeof t->kinds[i].name);
        t->kinds[i] = (struct tally_kind){.seen = 0};
        memcpy(t->kinds[i].name, name.ptr, name.len);
        t->count++;
    }
    return &t->kinds[i];
}

void tally_reply(struct game *g, const struct reply *r)
{
    struct span kind = reply_field(r->head, "X-Lull-Task");
    struct span status = reply_field(r->head, "Cache-Status");
    if (kind.ptr == NULL) { /* without memory for them its two lines are missing */
        g->tally.unnamed += r->status == 503 ? 1 : 0;
        return;
    }
    struct tally_kind *row = row_of(&g->tally, kind);
    enum outcome said = outcome_said(r, status);
    bool called = said == OUTCOME_MISS || said == OUTCOME_BYPASSED;
    row->seen++;
    row->said[said]++;
    row->stored += has(status, "; stored") ? 1 : 0;
    row->called += r->status == 200 && called ? 1 : 0;
    row->failed += said == OUTCOME_STALE || (r->status >= 400 && said != OUTCOME_REJECTED) ? 1 : 0;
}

static void complain(const struct tally_kind *row, const char *what, uint64_t seen,
                     uint64_t counted)
{
    fprintf(stderr, "%s: clients saw %llu %s, %llu are counted\n", row->name,
            (unsigned long long)seen, what, (unsigned long long)counted);
    require_failed("the figures are what clients saw", __FILE__, __LINE__);
}

static void check_least(const struct tally_kind *row, const char *what, uint64_t seen,
                        int64_t counted)
{
    if (counted < 0 || (uint64_t)counted < seen) {
        complain(row, what, seen, (uint64_t)counted);
    }
}

/* Returns how many replies are counted that no client saw: `unseen` at most. */
static uint64_t check_kind(const struct task_figures *f, const struct tally_kind *row,
                           uint64_t unseen)
{
    uint64_t answered = 0;
    for (int o = 0; o < OUTCOME_COUNT; o++) {
        bool abandoned = o == OUTCOME_ABANDONED;
        uint64_t most = row->said[o] + row->said[OUTCOME_COUNT] + unseen;
        check_least(row, outcome_name((enum outcome)o), row->said[o], (int64_t)f->outcomes[o]);
        if (f->outcomes[o] > most && !abandoned) {
            complain(row, outcome_name((enum outcome)o), row->said[o], f->outcomes[o]);
        }
        answered += abandoned ? 0 : f->outcomes[o];
    }
    check_least(row, "replies", row->seen, (int64_t)answered);
    check_least(row, "failures", row->failed, f->failed);
    check_least(row, "stored", row->stored, f->stored);
    check_least(row, "calls", row->called, f->upstream_calls);
    return answered - row->seen;
}

/* Requests of connections that ended, those that are open, and those of a reply that does not say its kind. */
static uint64_t requests_unseen(const struct game *g)
{
    uint64_t unseen = g->tally.unnamed;
    for (size_t i = 0; i < PEOPLE; i++) {
        unseen += g->people[i].lost + g->people[i].count;
    }
    return unseen;
}

void tally_check(struct game *g)
{
    const struct figures *f = world_figures(g->world);
    uint64_t unseen = requests_unseen(g), ahead = 0, abandoned = 0, left = 0;
    for (size_t i = 0; i < f->task_count; i++) {
        struct tally_kind *row = row_of(&g->tally, span_of(f->tasks[i]->name));
        ahead += check_kind(f->tasks[i], row, unseen);
        abandoned += f->tasks[i]->outcomes[OUTCOME_ABANDONED];
    }
    for (size_t i = 0; i < PEOPLE; i++) {
        left += g->people[i].left;
    }
    require(g->tally.count == f->task_count);
    require(ahead <= unseen && ahead + abandoned <= unseen + left);
}

static void add_waiters(void *ctx, const struct flight_view *v)
{
    size_t *waiters = ctx;
    *waiters += span_eq(v->scope, SPAN("compare")) ? 0 : v->waiters;
}

void tally_check_open(const struct game *g)
{
    size_t waiters = 0, open = 0;
    const struct figures *f = world_figures(g->world);
    flight_each(engine_flights(world_engine(g->world)), add_waiters, &waiters);
    for (size_t i = 0; i < PEOPLE; i++) {
        open += g->people[i].count;
    }
    require(f->server.chat_open >= 0);
    /* a client that leaves is noticed when its server takes more of its body */
    require(waiters + (g->slow ? 0 : (size_t)f->server.chat_open) <= open);
}

void tally_forget(struct game *g)
{
    g->tally.count = 0;
    g->tally.unnamed = 0;
    for (size_t i = 0; i < PEOPLE; i++) {
        g->people[i].lost = g->people[i].left = 0;
    }
}
