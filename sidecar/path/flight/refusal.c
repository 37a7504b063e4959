/* refusal.c: which of our additions a model server refuses.
 *
 * lull adds to a task what the client did not write: a streamed answer (servers notice a closed
 * client only when they write), thinking off, a schema, caps, the user's own members (overrides.h).
 * A server may refuse any of them. A task that fails before its first token is asked once more
 * exactly as the client wrote it (call.c), whatever the error. What may be remembered is decided
 * here.
 *
 * Evidence. Only a pair counts: the changed request was refused by a status, and the request as
 * written was answered in the same flight. A page, an empty body, a cut stream, an error without a
 * status say nothing about additions and change nothing. Statuses that speak of something else
 * (401, 403, 408, 429, 503) are never such a refusal.
 *
 * Which one it was is not known yet, since several are sent together, and `stream` must not be lost
 * because a schema was refused. The refused set R has at least one culprit. The search goes on with
 * the tasks that follow, one step a task, and costs a task at most one refused call:
 *
 *   1. Suspect one of R and leave it out: the one that the error's text names, else the first in
 *      order of suspicion (enum addition: what few servers know comes first, `stream` last).
 *   2. Refused again without it: R is what was sent now. Suspect the next one, too.
 *   3. Answered without it, with all else of R: it is a culprit. It stays left out for an hour.
 *   4. The others that were suspected on the way are not proven. Each comes back with a later task,
 *      one at a time, beginning with the least suspicious: refused, it is a culprit too; answered,
 *      it is cleared.
 *
 * A server that does not know even `stream`, by name, gets the next task bare: the one addition
 * that is worth a refused call is gone, and the others come back by step 4.
 *
 * A row is for an upstream's url, an endpoint and a model. Tasks of different kinds have different
 * additions: a task without the suspect proves nothing by being answered. Several flights may be
 * under way: a refusal that is explained by what has been left out since proves nothing either.
 *
 * A 5xx (but 501) may be a coincidence. What it convicts comes back by step 4 after five minutes,
 * not after an hour.
 *
 * A reload of the configuration forgets all rows. The table is small; the least recently used row
 * makes room.
 */
#include "path/flight/flight_priv.h"

#include <stdlib.h>

static const usec_t REMEMBERED = 3600 * USEC_PER_S;
static const usec_t DOUBTED = 300 * USEC_PER_S; /* after a 5xx */

struct refusal {
    struct hash_key of; /* url, endpoint, model */
    char *upstream;     /* its name; NULL: the row is free */
    char *model;
    mono_t used;
    unsigned suspects, culprits; /* both are left out */
    unsigned refused;            /* R */
    unsigned step;               /* what the last step left out */
    unsigned last;               /* the one of it that is meant */
    bool searching;              /* steps 1 to 3: nothing has been answered since R */
    bool doubtful;               /* R was refused with a 5xx */
    struct refusal_times {
        mono_t since, until, back; /* back: may be tried again then */
    } times[ADDITIONS];
};

static struct hash_key key_of(const struct flight *f)
{
    const char *url = flight_upstream(f)->url;
    struct span model = flight_way_model(f);
    struct hash_state state;
    hash_begin(&state, &f->table->secret);
    hash_update(&state, url, strlen(url) + 1);
    hash_update(&state, &f->wire, sizeof f->wire);
    hash_update(&state, model.ptr, model.len);
    return hash_end(&state);
}

static void row_free(struct refusal *r)
{
    free(r->upstream);
    free(r->model);
    *r = (struct refusal){.upstream = NULL};
}

/* What is over is not left out any more. */
static void expire(struct refusal *r, mono_t now)
{
    for (unsigned i = 0; i < ADDITIONS; i++) {
        if (r->times[i].until.us <= now.us) {
            r->suspects &= ~(1U << i);
            r->culprits &= ~(1U << i);
        }
    }
    r->searching = r->searching && (r->suspects & r->last) != 0;
    if ((r->suspects | r->culprits) == 0) {
        row_free(r);
    }
}

static struct refusal *find(struct flight_table *t, const struct flight *f)
{
    mono_t now = loop_now(t->loop);
    struct hash_key of = key_of(f);
    for (size_t i = 0; t->refusals != NULL && i < FLIGHT_REFUSALS; i++) {
        struct refusal *r = &t->refusals[i];
        if (r->upstream != NULL && hash_key_eq(r->of, of)) {
            expire(r, now);
            return r->upstream == NULL ? NULL : r;
        }
    }
    return NULL;
}

static struct refusal *make(struct flight_table *t, const struct flight *f)
{
    struct refusal *r = find(t, f);
    struct span model = flight_way_model(f);
    if (t->refusals == NULL) {
        t->refusals = mem_new(FLIGHT_REFUSALS * sizeof *t->refusals);
    }
    for (size_t i = 0; r == NULL && i < FLIGHT_REFUSALS; i++) {
        r = t->refusals[i].upstream == NULL ? &t->refusals[i] : NULL;
    }
    if (r == NULL) {
        r = &t->refusals[0];
        for (size_t i = 1; i < FLIGHT_REFUSALS; i++) {
            r = t->refusals[i].used.us < r->used.us ? &t->refusals[i] : r;
        }
        row_free(r);
    }
    if (r->upstream == NULL) {
        r->of = key_of(f);
        r->upstream = mem_strdup(flight_upstream(f)->name);
        r->model = mem_strndup(model.len > 0 ? model.ptr : "", model.len);
    }
    r->used = loop_now(t->loop);
    return r;
}

/* ---- leaving out ---- */

static unsigned out_of(const struct refusal *r)
{
    return r->suspects | r->culprits;
}

/* Step 4: the suspect that the next task is sent with; 0: none. */
static unsigned comes_back(const struct refusal *r, mono_t now)
{
    unsigned last = 0;
    for (unsigned i = ADDITIONS; i-- > 0 && !r->searching;) {
        unsigned one = 1U << i;
        bool idle = one == ADDITION_STREAM_USAGE && (out_of(r) & ADDITION_STREAM) != 0;
        if ((r->suspects & one) == 0 || r->times[i].back.us > now.us || idle) {
            continue;
        }
        if (one != r->last) {
            return one;
        }
        last = one; /* the most suspicious of all: when the others are cleared */
    }
    return last;
}

unsigned refusal_left_out(struct flight *f)
{
    struct refusal *r = find(f->table, f);
    if (r == NULL) {
        return 0;
    }
    r->used = loop_now(f->table->loop);
    f->trial = comes_back(r, r->used);
    return out_of(r) & ~f->trial;
}

bool refusal_has(struct flight *f, enum addition one)
{
    const struct refusal *r = find(f->table, f);
    return r != NULL && (out_of(r) & (unsigned)one) != 0;
}

/* ---- the search ---- */

static void leave_out(struct refusal *r, unsigned set, mono_t now, usec_t back)
{
    for (unsigned i = 0; i < ADDITIONS; i++) {
        if ((set & 1U << i) != 0) {
            bool known = (out_of(r) & 1U << i) != 0;
            r->times[i] = (struct refusal_times){.since = known ? r->times[i].since : now,
                                                 .until = {now.us + REMEMBERED},
                                                 .back = {now.us + back}};
        }
    }
}

static void convict(struct refusal *r, unsigned one, mono_t now)
{
    leave_out(r, one, now, r->doubtful ? DOUBTED : 0);
    if (one == ADDITION_STREAM) {
        r->suspects &= ~(unsigned)ADDITION_STREAM_USAGE; /* it is never sent alone */
    }
    if (r->doubtful) {
        r->suspects |= one;
    } else {
        r->suspects &= ~one;
        r->culprits |= one;
    }
}

static unsigned most_suspicious(unsigned set)
{
    return set & (~set + 1); /* the lowest bit */
}

void refusal_proven(struct flight *f, const struct refused *what)
{
    struct flight_table *t = f->table;
    mono_t now = loop_now(t->loop);
    const struct refusal *known = find(t, f);
    if (what->sent == 0 || (known != NULL && (what->sent & out_of(known) & ~what->trial) != 0)) {
        return;
    }
    struct refusal *r = make(t, f);
    r->doubtful = what->status >= 500 && what->status != 501;
    if (what->trial != 0) {
        convict(r, what->trial, now);
        return;
    }
    r->refused = what->sent;
    r->last = what->named != 0 ? what->named : most_suspicious(what->sent);
    r->step = r->last == ADDITION_STREAM ? what->sent : r->last;
    r->searching = r->refused != r->last;
    if (r->searching) {
        leave_out(r, r->step, now, 0);
        r->suspects |= r->step;
    } else {
        convict(r, r->last, now); /* there was no other */
    }
}

void refusal_answered(struct flight *f)
{
    struct refusal *r = find(f->table, f);
    if (r == NULL) {
        return;
    }
    if ((f->asked.sent & f->trial) != 0) {
        r->suspects &= ~f->trial;
        expire(r, loop_now(f->table->loop)); /* a row without any is free */
        return;
    }
    bool all_else = (r->refused & ~out_of(r) & ~f->asked.sent) == 0;
    if (r->searching && all_else && (f->asked.left & r->last) != 0) {
        r->searching = false;
        if (r->step == r->last) {
            convict(r, r->last, loop_now(f->table->loop));
        }
    }
}

void refusal_certain(struct flight *f, enum addition one, int status)
{
    struct refusal *r = make(f->table, f);
    r->doubtful = status >= 500 && status != 501;
    convict(r, (unsigned)one, loop_now(f->table->loop));
}

/* ---- for people ---- */

void flight_refusals(struct flight_table *t, flight_refusal_fn fn, void *ctx)
{
    mono_t now = loop_now(t->loop);
    for (size_t i = 0; t->refusals != NULL && i < FLIGHT_REFUSALS; i++) {
        struct refusal *r = &t->refusals[i];
        if (r->upstream != NULL) {
            expire(r, now);
        }
        for (unsigned bit = 0; r->upstream != NULL && bit < ADDITIONS; bit++) {
            if ((out_of(r) & 1U << bit) != 0) {
                struct flight_refusal_view v = {
                    .upstream = r->upstream,
                    .model = r->model,
                    .addition = addition_name(1U << bit),
                    .proven = (r->culprits & 1U << bit) != 0,
                    .age = mono_diff(now, r->times[bit].since),
                };
                fn(ctx, &v);
            }
        }
    }
}

void flight_forget_refusals(struct flight_table *t)
{
    for (size_t i = 0; t->refusals != NULL && i < FLIGHT_REFUSALS; i++) {
        row_free(&t->refusals[i]);
    }
}
