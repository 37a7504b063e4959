/* flight_priv.h: what the files of flight/ share.
 *
 *   FOLLOWING ──the call fits──▶ answered with the rest
 *    │ it does not fit any more
 *    ▼
 *   HELD ──window over──▶ QUEUED ──gate──▶ CALLING ──answer whole──▶ ENDING ──▶ freed at the end
 *    │                       │ ▲              │ │ ▲ └─ once more as the client wrote it    of the
 * turn │                       │ └─a chat came──┘ │ └─superseded, sent, obsolete, busy, all
 * left──────────────────▶ ENDING
 */
#ifndef PATH_FLIGHT_FLIGHT_PRIV_H
#define PATH_FLIGHT_FLIGHT_PRIV_H

#include "lull/path/dialect/suggestion.h"
#include "lull/path/flight/flight.h"

enum flight_state { FLIGHT_HELD, FLIGHT_QUEUED, FLIGHT_FOLLOWING, FLIGHT_CALLING, FLIGHT_ENDING };

enum {
    FLIGHT_TABLE_BUCKETS = 1024,
    FLIGHT_REFUSALS = 64,             /* upstreams remembered as refusing our changes */
    FLIGHT_PACES = 256,               /* upstream, model and kind: how long their calls take */
    FLIGHT_RAW_MAX = 4 * 1024 * 1024, /* of an answer kept as it came */
    FLIGHT_HEAD_MAX = 64 * 1024,
    FLIGHT_ORPHANS = 16, /* calls that go on after everybody was answered at the deadline */
};

struct refusal {
    char *upstream; /* name and url of the upstream */
    enum endpoint endpoint;
    mono_t until;
};

struct pace_row {
    struct hash_key of; /* upstream, model, kind */
    struct pace pace;
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
    struct loop_timer *timer; /* the window, busy_wait, then first_byte_timeout and stall_timeout */
    struct loop_deferred gone;
    struct gate_ticket ticket;
    mono_t begun;
    mono_t held_from; /* since when it has been held back; zero while it is called */

    /* class completion */
    usec_t window; /* it was to be held for this long, counted from `begun` */
    uint64_t run;  /* of keys that it came in; see typist_note() */
    bool settled;
    struct flight *leader; /* FOLLOWING: whose rest it waits for */
    struct list follow;    /* in leader->followers */
    struct list followers;
    struct suggestion_reader reader; /* of the answer so far, while somebody follows */
    struct loop_timer *deadline;     /* NULL: none */
    bool orphan;                     /* goes on without waiters */

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
    bool cut; /* its last call was aborted */
    mono_t started, first_data, last_data;
    usec_t spent; /* model time of an earlier call of this flight that was thrown away */
};

struct flight_table {
    struct loop *loop;
    struct upstream_pool *pool;
    struct schedule *schedule;
    struct gate *gate;
    struct figures *figures;
    struct flight_hooks hooks;
    struct hash_secret secret; /* of the table's own keys */
    struct list buckets[FLIGHT_TABLE_BUCKETS];
    struct list all;
    size_t count, orphans;
    unsigned without;
    struct typist_table *typists;
    struct refusal refusals[FLIGHT_REFUSALS];
    struct pace_row *paces; /* FLIGHT_PACES, made with the first call */
};

/* flight.c */
const struct kind_policy *flight_policy(const struct flight *f);
struct upstream_settings *flight_upstream(const struct flight *f);
struct task_figures *flight_task_figures(const struct flight *f);
struct upstream_figures *flight_upstream_figures(const struct flight *f);
/* Hands the end to every waiter and frees the flight at the end of the turn. Who follows it is
 * released. */
void flight_finish(struct flight *f, struct flight_end *end);
/* Aborts its call, if any, and answers everybody empty. */
void flight_finish_empty(struct flight *f, enum outcome outcome);
/* Aborts and forgets a flight that nobody waits for. */
void flight_drop(struct flight *f);
/* Whether nobody wants the flight's answer any more. */
bool flight_is_idle(const struct flight *f);
/* Begins the call as soon as the gate opens. */
void flight_start(struct flight *f);
struct flight *flight_find_to_join(struct flight_table *t, const struct flight_spec *spec);

/* completion.c: what newer text means for older, windows, followers, deadlines. */
/* The window of a request; verdict of typist_note(). */
usec_t completion_window(struct flight_table *t, const struct flight_spec *spec,
                         const struct typist_verdict *v);
/* A new flight of class completion: supersedes, follows, is held or started. */
void completion_place(struct flight *f);
/* The call under way that the completion could take the rest of; NULL: none. */
struct flight *completion_leader(struct flight_table *t, const struct flight_completion *c);
/* Before a call: whether it is not needed, because another one is under way that fits, or has
 * brought what fits meanwhile. Then f follows, or is answered. */
bool completion_spared(struct flight *f);
/* More of the answer has come: who follows and does not fit any more is released. */
void completion_progress(struct flight *f);
/* The answer is whole: who follows gets the rest, or is released. */
void completion_landed(struct flight *f, const struct flight_end *end);
/* All who follow f go their own way. */
void completion_release_all(struct flight *f);
/* f follows nobody any more. */
void completion_unfollow(struct flight *f);
/* Deadline of the flight's policy: started with its first waiter. */
void completion_arm_deadline(struct flight *f);

/* pace.c: how long calls take. */
struct pace *flight_pace(struct flight_table *t, const struct flight_spec *spec);

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
