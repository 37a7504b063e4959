/* schedule.h: may a task go upstream now, which goes first, and which is preempted? Decisions over
 * plain values: the caller reports what happens and asks; the schedule starts nothing, reads no
 * clock and calls no one back.
 *
 * Upstreams on one machine share yielding. On a machine there are
 *   interactive   a person waits for it: chats, embeddings, foreground tasks that are passed
 *                 through. Never queued.
 *   jobs          tasks that lull answers: they wait here (foreground kinds only for a free slot
 *                 that a server refuses until a time it named), in order of priority and age, until they may
 *                 start, and run in one of their upstream's slots.
 * A job that runs when an interactive request arrives is preempted: its owner aborts it and queues
 * it again. An abort is a request, not a fact: servers notice a closed client late, so the slot
 * counts as taken (draining) for as long as chats were measured to lose by it.
 *
 *   idle ──wait──▶ WAITING ──next──▶ RUNNING ──end──▶ idle
 *            ▲        └───────end────┼───────────▲
 *            └─requeue───────────────┘ (preempted, throttled)
 *
 * Structs are the caller's: plain values in front of the mark `private`, zeroed behind it; they
 * must not move while they are known here. What `to` and `policy` point to must live as long.
 */
#ifndef LULL_PATH_SCHEDULE_SCHEDULE_H
#define LULL_PATH_SCHEDULE_SCHEDULE_H

#include "lull/base/hash.h"
#include "lull/base/list.h"
#include "lull/config/settings.h"
#include "lull/path/server/server.h"

#include <stdbool.h>
#include <stddef.h>

struct schedule;
struct schedule_upstream; /* private: what runs and waits at one */

/* Nothing runs yet. Never NULL; servers must outlive it. All upstreams are bound (servers_bind()).
 * */
struct schedule *schedule_create(const struct servers *servers);
void schedule_destroy(struct schedule *s); /* NULL is fine */
/* Another configuration is in force: what an upstream takes to begin an answer says something about its
 * machine there; of one that is in it no more it says nothing. All are bound. */
void schedule_bind(struct schedule *s, const struct upstream_settings *list, size_t count);

/* The slots in force: as set, as found out (server.h), 0 for https, else 1. */
int64_t schedule_slots(const struct schedule *s, const struct upstream_settings *to);

/* Whose conversation it is. All zero: not known. */
struct schedule_conversation {
    struct hash_key person; /* by Authorization and user id */
    struct hash_key chat;   /* by the chat header; zero: there was none */
};

/* How long at least a request of this size may take there, by the first tokens of the chats of the
 * last ten minutes; -1: no chat says anything. */
usec_t schedule_expects(struct schedule *s, const struct upstream_settings *to, size_t size,
                        mono_t now);
/* How long that machine reads a prompt of so many bytes, by the same; 0: not known. */
usec_t schedule_reads(struct schedule *s, const struct upstream_settings *to, size_t size,
                      mono_t now);
/* Whether a chat was answered on the machine within the last ten minutes. */
bool schedule_chatted(struct schedule *s, const struct upstream_settings *to, mono_t now);

/* The person is typing at that machine and is likely to send soon: the settle time of that
 * person's background work begins again, as after a reply. */
void schedule_typed(struct schedule *s, const struct upstream_settings *to, struct hash_key person,
                    mono_t now);

/* ---- interactive requests ---- */

enum schedule_interactive_kind { SCHEDULE_CHAT, SCHEDULE_FOREGROUND };

struct schedule_interactive {
    const struct upstream_settings *to;
    enum schedule_interactive_kind kind;
    struct schedule_conversation conversation;
    struct hash_key model; /* what will be resident; zero: not known */
    size_t size;           /* bytes of its request; 0: not known */
    bool first_turn;       /* of a chat: nothing was answered in it yet */
    /* private */
    struct list node;
    struct schedule_upstream *row;
    mono_t began;
    bool after_abort, alone;
    bool had_slot; /* no other interactive request was before it in a queue for slots */
};
void schedule_interactive_began(struct schedule *s, struct schedule_interactive *f, mono_t now);
/* The first token came: what it was late by because something had to be aborted for it; -1: it had
 * not, or there is nothing to compare it with. */
usec_t schedule_interactive_token(struct schedule_interactive *f, mono_t now);
/* goes_on: it ended with tool calls, and the next part of the same reply is about to come. */
void schedule_interactive_ended(struct schedule *s, struct schedule_interactive *f, mono_t now,
                                bool goes_on);

/* ---- jobs ---- */

enum schedule_why {
    SCHEDULE_FREE,       /* it may start */
    SCHEDULE_FIRST_TURN, /* waits for the chat it belongs to */
    SCHEDULE_FOR_CHAT,
    SCHEDULE_FOR_FOREGROUND,
    SCHEDULE_SETTLE,    /* a reply has just ended */
    SCHEDULE_SLOTS,     /* all slots are taken */
    SCHEDULE_MODEL,     /* another model is resident */
    SCHEDULE_THROTTLED, /* the upstream takes no tasks for a time: see throttle.h */
};
/* "chat", "slots" ...; "" for SCHEDULE_FREE. */
const char *schedule_why_name(enum schedule_why why);

enum schedule_state { SCHEDULE_IDLE, SCHEDULE_WAITING, SCHEDULE_RUNNING };

struct schedule_job {
    const struct upstream_settings *to;
    const struct kind_policy *policy;
    struct schedule_conversation conversation;
    struct hash_key turn;  /* its waits are summed under it; zero: of no turn */
    struct hash_key model; /* zero: not known */
    bool beside_reply;     /* a title asked before the first reply: a budget of its own */
    bool elsewhere;        /* its chat goes to another machine: not waited for */
    bool fixed;            /* cannot be aborted: its answer goes to the client as it comes */
    bool leaves_throttled; /* goes elsewhere where its server is throttled: starts at once then */
    usec_t expected;       /* how long its call takes; -1: not known */
    bool answering;        /* its answer has begun: the server writes, so it notices an abort */
    bool loads;            /* its server loads a model when it is first asked for it */
    bool behind;           /* asked behind its conversation: see `cost` */
    uint64_t prefix;       /* that conversation, as in prefix.h; 0: none */
    bool keeps_cache;      /* takes nothing of what the server has cached of its conversation */
    usec_t reading; /* its server reads the prompt for so long, and notices no abort before; 0: it
                       notices one at once */
    usec_t cost;    /* of jobs behind one conversation the cheapest goes first; -1: not known */
    /* private */
    struct list node;
    struct schedule_upstream *row;
    enum schedule_state state;
    enum schedule_why why;
    mono_t born, since; /* first queued; it waits, or runs */
    mono_t hold_ends;   /* of a waiting job: max_hold is over */
    mono_t not_before;  /* of a first turn: zero once its chat has come */
    usec_t waited;      /* in earlier waits */
    usec_t held;        /* of that, what counts towards max_hold */
    usec_t renewed;     /* what max_hold is longer by, since it ended while chats had all slots */
    unsigned requeued;
    bool called;     /* since it runs, its request was sent */
    bool first_byte; /* of its answer has come */
    bool spared;     /* it loads the model of an interactive request, so it was not preempted */
    bool forced;     /* waits no more, yields no more */
    bool swapping;   /* waits for a swap of models: outside max_hold */
    /* Not preempted, since it would end before an abort is noticed: it has until then; zero: not so. */
    mono_t left_until;
};

/* Queues an idle job. Where `queue` is full, the oldest waiting task there stops waiting. */
void schedule_wait(struct schedule *s, struct schedule_job *j, mono_t now);
/* The job that is to start now, then RUNNING; NULL: none. Call until it returns NULL: then *due is
 * how long until there may be one, or one of schedule_overdue(), without anything happening (-1: never).
 * due may be NULL. */
struct schedule_job *schedule_next(struct schedule *s, mono_t now, usec_t *due);
/* The request of a running job is sent: from here on it displaces what is cached, and an abort may leave
 * its slot taken for a time. */
void schedule_called(struct schedule_job *j);
/* It waits or runs no more; aborted: its call, if it had one, was cut off. Does nothing to an idle
 * job. */
void schedule_end(struct schedule *s, struct schedule_job *j, mono_t now, bool aborted);
/* A running job to preempt for what has just begun at that upstream: an interactive request, or a
 * foreground job; NULL: no more. A job that loads the model of that request is spared until its
 * first byte: the load serves both, and an abort would begin it again. One that is expected to end
 * sooner than its server notices an abort is left to end. The caller aborts its call, then calls
 * schedule_requeue_preempted() or schedule_end(). */
struct schedule_job *schedule_victim(struct schedule *s, const struct upstream_settings *to,
                                     mono_t now);
/* The first byte for a running job has come; good: of an answer, not of an error. true: it was
 * spared, and schedule_overdue() may name it now. */
bool schedule_first_byte(struct schedule_job *j, bool good, mono_t now);
/* Whether a running job's call is taken to be loading its model: its server loads models, none of
 * its answer has come, and no call for that model has been answered there for minutes. */
bool schedule_is_loading(const struct schedule_job *j, mono_t now);
/* A running job that was not preempted and has to give way now, since an interactive request is open: it
 * was spared for the load, and its server answers; or it was left to end, and did not within the time that
 * an abort takes. NULL: no more. The caller goes on as for schedule_victim(). */
struct schedule_job *schedule_overdue(struct schedule *s, mono_t now);
/* Queues a job again whose server is throttled, if it is worth waiting; its waits
 * go on to be counted. false: it is not, and it runs on. */
bool schedule_requeue_throttled(struct schedule *s, struct schedule_job *j, mono_t now);
/* Queues a victim again. */
void schedule_requeue_preempted(struct schedule *s, struct schedule_job *j, mono_t now);
/* How long it has waited, all in all. */
usec_t schedule_waited(const struct schedule_job *j, mono_t now);
/* The place of a waiting job among all that wait for its machine, in the order in which they would
 * start if all were free to; from 1. 0: it does not wait. */
size_t schedule_position(const struct schedule *s, const struct schedule_job *j);
/* Why a job of these values would wait if it came now. Changes nothing. */
enum schedule_why schedule_look(struct schedule *s, const struct schedule_job *j, mono_t now);

/* ---- for display, and for what is done in idle time ---- */

struct schedule_machine {
    const char *name;
    size_t chats, foreground, running, waiting; /* of all its upstreams */
    usec_t
        quiet; /* since the last interactive request ended; -1: one is open; INT64_MAX: none yet */
    usec_t idle; /* since anything ended; -1: something is open, runs or waits */
};
/* The machine of an upstream. */
struct schedule_machine schedule_look_machine(struct schedule *s,
                                              const struct upstream_settings *to, mono_t now);
struct schedule_counts {
    size_t running, waiting;
    uint64_t started;    /* jobs, ever */
    uint64_t displacing; /* of these: all that were called and do not keep the cache */
};
struct schedule_counts schedule_count(struct schedule *s, const struct upstream_settings *to);
/* Jobs that wait, everywhere. */
size_t schedule_waiting(const struct schedule *s);

#endif
