/* refusal.c: which of our additions a model server refuses.
 *
 * lull adds to a task what the client did not write: a streamed answer (servers notice a closed
 * client only when they write), thinking off, a schema, caps, the user's own members (overrides.h).
 * A server may refuse any of them. A task that fails before its first token is asked once more
 * exactly as the client wrote it (call_result.c), whatever the error. What may be remembered is decided
 * here.
 *
 * Evidence. Only a pair counts: the changed request was refused by a status, and the request as
 * written was answered in the same flight. A page, an empty body, a cut stream, an error without a
 * status say nothing about additions and change nothing. Statuses that are about something else
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
 * A record is for a model of a server, and an endpoint. Tasks of different kinds have different
 * additions: a task without the suspect proves nothing by being answered. Several flights may be
 * under way: a refusal that is explained by what has been left out since proves nothing either.
 *
 * A 5xx (but 501) may be a coincidence. What it convicts comes back by step 4 after five minutes,
 * not after an hour.
 *
 * A reload of the configuration forgets all records.
 */
#include "lull/path/server/refusal.h"

#include "path/server/server_priv.h"

#include <stdlib.h>

static const usec_t REMEMBERED = 3600 * USEC_PER_S;
static const usec_t DOUBTED = 300 * USEC_PER_S; /* after a 5xx */
enum { UNREAD_STREAMS = 2 };

struct refusal {
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

_Static_assert((int)ENDPOINT_OLLAMA_GENERATE < (int)SERVER_ENDPOINTS, "one record per endpoint");

/* The record of that endpoint without what is over by now; NULL: nothing is refused there. */
static struct refusal *find(struct server_model *m, enum endpoint endpoint, mono_t now)
{
    struct refusal *r = m->refusals[endpoint];
    if (r == NULL) {
        return NULL;
    }
    for (unsigned i = 0; i < ADDITIONS; i++) {
        if (r->times[i].until.us <= now.us) {
            r->suspects &= ~(1U << i);
            r->culprits &= ~(1U << i);
        }
    }
    r->searching = r->searching && (r->suspects & r->last) != 0;
    if ((r->suspects | r->culprits) == 0) {
        free(r);
        r = m->refusals[endpoint] = NULL;
    }
    return r;
}

static struct refusal *find_or_make(struct server_model *m, enum endpoint endpoint, mono_t now)
{
    if (find(m, endpoint, now) == NULL) {
        m->refusals[endpoint] = mem_new(sizeof(struct refusal));
    }
    return m->refusals[endpoint];
}

void refusals_free(struct server_model *m)
{
    for (size_t i = 0; i < SERVER_ENDPOINTS; i++) {
        free(m->refusals[i]);
        m->refusals[i] = NULL;
    }
    m->unread_streams = 0;
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

unsigned refusal_left_out(struct server_model *m, enum endpoint endpoint, mono_t now,
                          unsigned *trial)
{
    const struct refusal *r = find(m, endpoint, now);
    *trial = r == NULL ? 0 : comes_back(r, now);
    return r == NULL ? 0 : out_of(r) & ~*trial;
}

bool refusal_has(struct server_model *m, enum endpoint endpoint, enum addition one, mono_t now)
{
    const struct refusal *r = find(m, endpoint, now);
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

void refusal_proven(struct server_model *m, enum endpoint endpoint, const struct refused *what,
                    mono_t now)
{
    const struct refusal *known = find(m, endpoint, now);
    if (what->sent == 0 || (known != NULL && (what->sent & out_of(known) & ~what->trial) != 0)) {
        return;
    }
    struct refusal *r = find_or_make(m, endpoint, now);
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

void refusal_answered(struct server_model *m, enum endpoint endpoint, const struct additions *asked,
                      unsigned trial, mono_t now)
{
    struct refusal *r = find(m, endpoint, now);
    if (r == NULL) {
        return;
    }
    if ((asked->sent & trial) != 0) {
        r->suspects &= ~trial;
        return;
    }
    bool all_else = (r->refused & ~out_of(r) & ~asked->sent) == 0;
    if (r->searching && all_else && (asked->left & r->last) != 0) {
        r->searching = false;
        if (r->step == r->last) {
            convict(r, r->last, now);
        }
    }
}

void refusal_certain(struct server_model *m, enum endpoint endpoint, enum addition one, int status,
                     mono_t now)
{
    struct refusal *r = find_or_make(m, endpoint, now);
    r->doubtful = status >= 500 && status != 501;
    convict(r, (unsigned)one, now);
}

void refusal_stream_read(struct server_model *m, enum endpoint endpoint, bool read, mono_t now)
{
    m->unread_streams = read ? 0 : m->unread_streams + 1;
    if (m->unread_streams >= UNREAD_STREAMS) {
        m->unread_streams = 0;
        refusal_certain(m, endpoint, ADDITION_STREAM, 0, now);
    }
}

/* ---- for display ---- */

static void show(const struct server *s, struct server_model *m, const struct refusal *r,
                 mono_t now, refusal_fn fn, void *ctx)
{
    for (unsigned bit = 0; r != NULL && bit < ADDITIONS; bit++) {
        if ((out_of(r) & 1U << bit) != 0) {
            struct refusal_view v = {.upstream = s->name,
                                     .model = m->name,
                                     .addition = addition_name(1U << bit),
                                     .proven = (r->culprits & 1U << bit) != 0,
                                     .age = mono_diff(now, r->times[bit].since)};
            fn(ctx, &v);
        }
    }
}

void refusal_each(struct servers *all, mono_t now, refusal_fn fn, void *ctx)
{
    for (size_t i = 0; i < all->count; i++) {
        size_t count = all->items[i]->replaced ? 0 : all->items[i]->model_count;
        for (size_t k = 0; k < count; k++) {
            struct server_model *m = all->items[i]->models[k];
            for (size_t e = 0; e < SERVER_ENDPOINTS; e++) {
                show(all->items[i], m, find(m, (enum endpoint)e, now), now, fn, ctx);
            }
        }
    }
}

void refusal_forget(struct servers *all)
{
    for (size_t i = 0; i < all->count; i++) {
        for (size_t k = 0; k < all->items[i]->model_count; k++) {
            refusals_free(all->items[i]->models[k]);
        }
    }
}
