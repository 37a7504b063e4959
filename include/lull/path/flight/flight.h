/* flight.h: one upstream call, any number of waiting exchanges. A flight belongs to the table, not
 * to the first client: whoever leaves takes only his place away; the call is aborted when nobody is
 * left.
 *
 *   submit ──▶ join a flight of the same key ──────────────────────────▶ wait
 *          └─▶ new flight: debounce (class completion) ▸ schedule ▸ call ▸ landed ▸ all waiters
 *                             │ newer related text
 *                             └▶ superseded: its waiters are answered empty at once
 *
 * All waiters of a flight are called in one turn of the loop, each exactly once, in the order in
 * which they came, unless they left before.
 */
#ifndef LULL_PATH_FLIGHT_FLIGHT_H
#define LULL_PATH_FLIGHT_FLIGHT_H

#include "lull/base/figures.h"
#include "lull/base/hash.h"
#include "lull/base/list.h"
#include "lull/base/loop.h"
#include "lull/base/settings.h"
#include "lull/http/request.h"
#include "lull/path/dialect/answer.h"
#include "lull/path/schedule/schedule.h"
#include "lull/path/upstream/upstream.h"

struct flight_table;
struct flight;

enum flight_result {
    FLIGHT_ANSWER, /* `answer`, in neutral form */
    FLIGHT_EMPTY,  /* answer the kind's harmless content; `outcome` says why */
    FLIGHT_RAW,    /* what the server sent, as it came: an error of its own, or an odd answer */
    FLIGHT_FAILED, /* lull's own error */
};

struct flight_end {
    enum flight_result result;
    enum outcome outcome;        /* FLIGHT_EMPTY: which */
    const struct answer *answer; /* FLIGHT_ANSWER */
    int status;                  /* FLIGHT_RAW */
    struct span raw_headers;     /* FLIGHT_RAW: lines "Name: value\r\n", without framing */
    struct span raw_body;
    enum http_error error; /* FLIGHT_FAILED */
    const char *why;       /* FLIGHT_FAILED: one phrase */
    bool upstream_failed;  /* RAW with an error status, or FAILED: counts as `failed` */
    usec_t model_time;     /* FLIGHT_ANSWER: measured model time of the call */
    int64_t tokens;        /* FLIGHT_ANSWER: in and out, 0 when unknown */
    /* For whoever answers several waiters alike; set by the hook `landed` (stored) and by waiters.
     */
    bool stored;
    struct hash_key entry_id;
    int64_t entry_seq;
    wall_t entry_expires;
    struct buf reply;           /* the last rendered reply ... */
    char reply_model[256];      /* ... and the model name it was rendered with; "": none */
    struct hash_key alias_done; /* the last alias that was stored */
};

/* One waiting exchange. Owned by the exchange; zeroed at first. */
struct flight_waiter {
    struct list node;                                /* private */
    struct flight *flight;                           /* private; NULL when not waiting */
    bool joined;                                     /* shares a call that another exchange began */
    void (*done)(void *ctx, struct flight_end *end); /* called once; end is valid during the call */
    void *ctx;
};

struct flight_typist {
    bool usable;           /* false: no debounce by typist */
    struct hash_key scope; /* the scope and the model, hashed */
    struct hash_key around;
    struct span text; /* copied */
    bool one_user, history_empty;
};

struct flight_spec {
    struct settings *settings; /* the flight takes a reference */
    int kind;
    int upstream;
    enum endpoint endpoint;
    struct span target;                /* path and query to ask for; copied */
    const struct http_header *headers; /* to send, in order; copied */
    size_t header_count;
    struct span body; /* with the effective model, otherwise as the client wrote it; copied */
    bool may_stream;  /* whether a streamed answer may be asked for instead */
    /* Identity: the level-2 key. */
    struct hash_key hash;
    struct span material; /* copied */
    bool shared;          /* others may join it later */
    bool join;            /* may itself join one */
    bool store;           /* a good answer may be kept */
    uint64_t generation;  /* of the cache, at the beginning */
    unsigned flags;       /* for the hook: cache flags of the entry */
    struct span model;    /* effective model; copied */
    struct span scope;    /* scope as shown to people; copied */
    struct flight_typist typist;
    usec_t window; /* class completion: debounce of the policy (may be DEBOUNCE_AUTO); else 0 */
};

/* What a flight is, for the hook and for people. */
const struct flight_spec *flight_spec(const struct flight *f);

struct flight_hooks {
    /* A complete answer has come; called once, before the waiters. May keep it and say so in end.
     */
    void (*landed)(void *ctx, const struct flight *f, struct flight_end *end);
    void *ctx;
};

/* Borrowed parts must outlive the table; hooks are copied. Never NULL. */
struct flight_table *flight_table_create(struct loop *loop, struct upstream_pool *pool,
                                         struct schedule *schedule, struct figures *figures,
                                         const struct flight_hooks *hooks);
/* Aborts what runs; waiters are not called. NULL is fine. */
void flight_table_destroy(struct flight_table *t);

/* Joins or begins a flight. waiter->done never comes before this returns. */
void flight_submit(struct flight_table *t, const struct flight_spec *spec,
                   struct flight_waiter *waiter);
/* The exchange leaves (its client is gone). Does nothing when it is not waiting. */
void flight_leave(struct flight_table *t, struct flight_waiter *waiter);

/* Flights that exist, from submit to the end of the turn in which they ended. */
size_t flight_count(const struct flight_table *t);

#endif
