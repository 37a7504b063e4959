/* flight_priv.h: what the files of flight/ share.
 *
 *   HELD ──window over──▶ CALLING ──answer whole──▶ ENDING ──▶ freed at the end of the turn
 *    │                      │  ▲ └─ once more as the client wrote it
 *    └─superseded, all left─┴──┴──────────────────▶ ENDING
 */
#ifndef PATH_FLIGHT_FLIGHT_PRIV_H
#define PATH_FLIGHT_FLIGHT_PRIV_H

#include "lull/path/flight/flight.h"

enum flight_state { FLIGHT_HELD, FLIGHT_CALLING, FLIGHT_ENDING };

enum {
    FLIGHT_TABLE_BUCKETS = 1024,
    FLIGHT_TYPISTS = 256,           /* streams of autocompletes remembered; the oldest makes room */
    FLIGHT_TYPIST_TEXT = 16 * 1024, /* longer texts are never related */
    FLIGHT_REFUSALS = 64,           /* upstreams remembered as refusing our changes */
    FLIGHT_RAW_MAX = 4 * 1024 * 1024, /* of an answer kept as it came */
    FLIGHT_HEAD_MAX = 64 * 1024,
};

struct typist {
    bool used;
    struct hash_key scope, around;
    bool one_user, history_empty;
    struct buf text;
    mono_t seen;
    struct flight *held; /* its flight that waits in its window; NULL: none */
};

struct refusal {
    char *upstream; /* name and url of the upstream */
    enum endpoint endpoint;
    mono_t until;
};

struct flight {
    struct list node; /* in a bucket of the table, while others may join; else linked to itself */
    struct list all;  /* in table->all */
    struct flight_table *table;
    enum flight_state state;
    struct flight_spec spec; /* all spans point into `memory` */
    struct buf memory;
    struct http_header *headers;
    struct list waiters;
    struct typist *typist;    /* where this flight is its held one */
    struct loop_timer *timer; /* the window, then first_byte_timeout and stall_timeout */
    struct loop_deferred gone;
    mono_t begun;

    /* the call */
    struct upstream_call *call;
    struct buf shaped;  /* the body that asks for a stream; empty: as written */
    bool asked_changed; /* the call under way sent `shaped` */
    bool again;         /* it is the second one, as the client wrote it */
    int status;
    struct buf raw_headers, raw_body;
    bool raw_over;
    struct assembler assembler;
    bool assembling;
    bool timed_out;
    mono_t started, first_data, last_data;
    usec_t spent; /* model time of an earlier call of this flight that was thrown away */
};

struct flight_table {
    struct loop *loop;
    struct upstream_pool *pool;
    struct schedule *schedule;
    struct figures *figures;
    struct flight_hooks hooks;
    struct list buckets[FLIGHT_TABLE_BUCKETS];
    struct list all;
    size_t count;
    struct typist typists[FLIGHT_TYPISTS];
    struct refusal refusals[FLIGHT_REFUSALS];
};

/* flight.c */
const struct kind_policy *flight_policy(const struct flight *f);
struct upstream_settings *flight_upstream(const struct flight *f);
struct task_figures *flight_task_figures(const struct flight *f);
struct upstream_figures *flight_upstream_figures(const struct flight *f);
/* Hands the end to every waiter and frees the flight at the end of the turn. */
void flight_finish(struct flight *f, struct flight_end *end);

/* debounce.c: finds the typist of a new flight, supersedes what waits in his window, and says how
 * long the new flight is held. */
usec_t debounce_place(struct flight_table *t, struct flight *f);
/* The flight is not waiting in a window any more. */
void debounce_forget(struct flight *f);

/* call.c */
void call_start(struct flight *f);
/* Ends the call under way, if any, and counts it as aborted. */
void call_abort(struct flight *f);
void call_timer(struct flight *f);

/* refusal.c: upstreams that answered 400, 404 or 422 to a request we changed and then took it as
 * the client wrote it: for an hour they are asked as written at once. */
bool refusal_known(const struct flight_table *t, const struct flight *f, mono_t now);
void refusal_remember(struct flight_table *t, const struct flight *f, mono_t now);
void refusal_free_all(struct flight_table *t);

#endif
