/* flight_priv.h: what the files of flight/ share, and the one state machine of a flight.
 *
 *   FOLLOWING ◀──LED──── HELD ───READY──▶ QUEUED ───GATE_OPENED──▶ CALLING ──▶ ENDING
 *    │      │             ▲                │   ▲                   │  │  ▲
 *    │      └──RELEASED───┘                │   ├─────PREEMPTED─────┤  └──┘ ASKED_AGAIN
 *    │                                     │   └─────THROTTLED─────┘
 *    │ ◀────────────────LED────────────────┘
 *    ▼
 *   ENDING
 *
 *   FELL_BACK        HELD, QUEUED, CALLING ──▶ QUEUED, at the gate of the fallback
 *   ANSWERED         CALLING   ──▶ ENDING
 *   LEADER_ANSWERED  FOLLOWING ──▶ ENDING, with the remainder of the leader's suggestion
 *   REMAINDER        HELD, QUEUED ──▶ ENDING: a held suggestion answers it by now
 *   BUSY             HELD, QUEUED ──▶ ENDING: max_hold is over, or a call would take too long
 *   FAILED           HELD, QUEUED, CALLING ──▶ ENDING
 *   SUPERSEDED, SENT, OBSOLETE, DEADLINE, LEFT: from each of the four ──▶ ENDING
 *
 * flight_enter() is the only place that changes the state, by flight_next_state(). call_result.c,
 * completion.c and failure.c decide what has happened and return it as an event; flight_apply()
 * enters the next state and does what it takes. A flight that is ENDING has left the table, and is
 * freed at the end of the turn in which its last waiter is called.
 */
#ifndef PATH_FLIGHT_FLIGHT_PRIV_H
#define PATH_FLIGHT_FLIGHT_PRIV_H

#include "lull/path/dialect/overrides.h"
#include "lull/path/flight/flight.h"
#include "lull/path/server/breaker.h"
#include "lull/path/server/loads.h"
#include "lull/path/server/pace.h"
#include "lull/path/server/refusal.h"
#include "lull/path/webui/repair.h"
#include "lull/path/webui/suggestion.h"

enum flight_state {
    FLIGHT_STATE_HELD, /* within its window, or about to be queued */
    FLIGHT_STATE_FOLLOWING,
    FLIGHT_STATE_QUEUED,
    FLIGHT_STATE_CALLING, /* or about to, when it is known what the server is */
    FLIGHT_STATE_ENDING,
    FLIGHT_STATES
};

enum flight_event {
    FLIGHT_EVENT_NONE, /* nothing has happened yet: it goes on as it is */
    FLIGHT_EVENT_LED,
    FLIGHT_EVENT_RELEASED, /* what it follows does not fit any more, or is over */
    FLIGHT_EVENT_READY,    /* its window is over, and nothing else answers it */
    FLIGHT_EVENT_GATE_OPENED,
    FLIGHT_EVENT_ASKED_AGAIN,
    FLIGHT_EVENT_PREEMPTED,
    FLIGHT_EVENT_THROTTLED,
    FLIGHT_EVENT_FELL_BACK,
    FLIGHT_EVENT_ANSWERED,
    FLIGHT_EVENT_LEADER_ANSWERED,
    FLIGHT_EVENT_REMAINDER,
    FLIGHT_EVENT_FAILED,
    FLIGHT_EVENT_BUSY,
    FLIGHT_EVENT_SUPERSEDED,
    FLIGHT_EVENT_SENT,
    FLIGHT_EVENT_OBSOLETE,
    FLIGHT_EVENT_DEADLINE,
    FLIGHT_EVENT_LEFT, /* no request waits for it any more */
    FLIGHT_EVENTS
};
/* The state after the event; FLIGHT_STATES: it cannot happen in that state. */
enum flight_state flight_next_state(enum flight_state state, enum flight_event event);

enum {
    FLIGHT_TABLE_BUCKETS = 1024,
    FLIGHT_SHAPE_LOST = 3, /* second tries without success; then there are none */
    FLIGHT_ODD = 2, /* the same of answers that are no plain ones; then there are no first ones */
    FLIGHT_RAW_MAX = 4 * 1024 * 1024, /* of an answer kept as it came */
    FLIGHT_HEAD_MAX = 64 * 1024,
    FLIGHT_ANSWERED_AT_ONCE = 16, /* waiters of a flight, or dismissed, in a turn: 10 us each */
    FLIGHT_WHY = 256,             /* the phrase of a call that failed */
    FLIGHT_DETACHED = 16, /* calls that go on without waiters: for the cache, or for a load */
};

/* The first answer of a flight that is asked once more for the kind's form. */
struct first_try {
    struct answer answer;
    struct flight_end end; /* what it cost */
    unsigned sent;         /* what its call had */
};

struct flight {
    struct list node; /* in a bucket of the table, while others may join; else linked to itself */
    struct list all;  /* in table->all */
    struct flight_table *table;
    enum flight_state state;
    struct flight_spec spec; /* all spans point into `memory` */
    struct buf memory;
    struct json_node *nodes; /* of spec.body; NULL: it is read again */
    struct http_header *headers, *fallback_headers;
    struct kind_policy *own_policy; /* NULL: the kind's */
    struct list waiters;
    struct loop_timer *timer; /* the window, max_hold, then the timeouts of the call */
    struct loop_deferred gone;
    struct loop_deferred rest; /* ENDING: the waiters that are called in a later turn */
    struct gate_ticket ticket;
    mono_t begun;
    uint64_t looked;  /* the last of table->replies that its conversation was looked for after */
    mono_t held_from; /* since when it has been held back; zero while it is called */
    mono_t followed;  /* FOLLOWING: since when */

    /* class completion */
    usec_t window;         /* it was to be held for this long, counted from `begun` */
    uint64_t run;          /* of keys that it came in; see typist_note() */
    struct flight *leader; /* FOLLOWING: it waits for the remainder of its suggestion */
    struct list follow;    /* in leader->followers */
    struct list followers;
    struct suggestion_reader reader; /* of the answer so far, while another flight follows */
    struct loop_timer *deadline;     /* NULL: none */
    bool settled;
    bool detached; /* goes on without waiters */
    bool for_load; /* until its first byte: for the load of its model */

    /* the call */
    struct upstream_call *call;
    struct buf shaped;      /* the body that asks for a stream; empty: as written */
    struct additions asked; /* what the call under way adds, which a server may refuse */
    unsigned trial;         /* the addition that comes back with it; see refusal.c */
    struct refused refused; /* what a call of this flight had that was refused before */
    bool again;             /* it is as the client wrote it: the second one, or see FLIGHT_ODD */
    bool api_refused;       /* the server has not the API that it was put into: the client's own */
    bool unread;            /* after a stream that could not be read as an answer */
    enum endpoint wire;     /* that it asks for */
    struct buf crossed;     /* the body in the words of `wire` */
    struct buf behind;      /* the body behind the conversation */
    bool is_behind;         /* the call under way is asked so, in state `when` */
    bool behind_refused;    /* such a call failed: asked as it came */
    enum prefix_when when;
    enum prefix_reason why_not; /* of a call that is not */
    struct buf found;           /* texts of a conversation that was found later */
    struct probe_waiter probe;  /* what the server is, is being asked */
    bool fell_back;             /* it goes to the fallback */
    bool retried;               /* after a call of which not one byte came */
    bool shape_retried;         /* asked once more for the kind's form */
    bool has_first;             /* `first` is the answer before that */
    bool trial_call;            /* it is the task that tries for the breaker */
    struct first_try *first;    /* NULL: none */
    unsigned throttle_waits;
    int status;
    struct buf raw_headers, raw_body;
    size_t counted; /* for answers, in parts.memory */
    struct assembler assembler;
    bool raw_over;
    bool assembling;
    bool fits;         /* at the end of a call: a whole answer, in the kind's form */
    bool answer_begun; /* at the end of a call: part of an answer had come */
    bool cut;          /* its last call was aborted */
    bool ending;       /* all that the answer needs has come; the end of the body is waited for */
    mono_t started, first_data, last_data;
    usec_t took; /* model time of the call that ended last, until it is known whether it was used */
    /* ENDING, and before it of ANSWERED and FAILED: what the waiters get; what it points to is the
     * flight's, or outlasts it. */
    struct flight_end end;
    char why[FLIGHT_WHY]; /* ENDING: end.why */
};

struct flight_table {
    struct flight_parts parts;
    struct flight_hooks hooks;
    struct list buckets[FLIGHT_TABLE_BUCKETS];
    struct list all;
    size_t count, detached_count;
    uint64_t replies;          /* flight_replied() */
    struct loop_deferred look; /* behind_look_again(), a few flights in a turn */
    struct list dismissed;     /* waiters that are to be answered empty */
    struct loop_deferred dismissal;
    mono_t turn;  /* the last in which some were answered ... */
    int answered; /* ... and how many */
    struct typist_table *typists;
    struct task_figures untracked; /* of flights that are not counted: never shown */
    struct savings untracked_user;
};

/* flight.c */
struct flight *flight_find_to_join(struct flight_table *t, const struct flight_spec *spec);
/* Gives it another key; its material is set before. */
void flight_set_key(struct flight *f, struct hash_key hash);
/* Counts what is held of its answers now. false: there is no room for it. */
bool flight_count_memory(struct flight *f);

/* spec.c */
/* Copies the spec. false: there is no memory for its texts, and the flight has none: it is listed
 * until it is answered, when the caller's memory is long gone. */
bool spec_copy(struct flight *f, const struct flight_spec *spec);
const struct kind_policy *flight_policy(const struct flight *f);
bool flight_is_completion(const struct flight *f);
struct upstream_settings *flight_upstream(const struct flight *f);
/* The record of the server that it goes to now, and of the model that is asked for there. */
struct server *flight_server(const struct flight *f);
struct server_model *flight_model(const struct flight *f);
struct task_figures *flight_task_figures(const struct flight *f);
/* The row of a user, of the one that its calls are counted for or of one that waits. */
struct savings *flight_user_figures(const struct flight *f, uint32_t user);

/* outlook.c */
/* How long calls like the spec's take, and like the flight's now. */
struct pace *flight_pace_of(const struct flight_table *t, const struct flight_spec *spec);
struct pace *flight_pace(const struct flight *f);

/* state.c */
/* Enters the state after the event, which must be possible. Nothing else happens. */
void flight_enter(struct flight *f, enum flight_event event);

/* advance.c */
/* Enters the state after the event and does what it takes: begins the next call, queues the flight,
 * or hands f->end to the waiters. */
void flight_apply(struct flight *f, enum flight_event event);
/* Its window is over: queues it, unless it is answered or led otherwise. */
void flight_start(struct flight *f);
/* Fills in what the gate and the schedule decide by. */
void flight_make_ticket(struct flight *f);
/* f->timer, with the flight as ctx: its window, max_hold or a timeout of its call is over. */
void flight_timer(void *ctx);

/* ending.c */
/* It goes on for what waits for it, or ends: no more for the cache or a load alone. */
void flight_attach(struct flight *f);
/* Hands the end to every waiter, where many wait to the last of them in later turns, and frees the
 * flight then. Flights that follow it are released. `end` is copied; its answer and its raw spans are
 * the flight's own. */
void flight_finish(struct flight *f, enum flight_event event, const struct flight_end *end);
/* The same for a flight that is ENDING already. */
void flight_hand_out(struct flight *f, const struct flight_end *end);
/* f->rest, with the flight as ctx: hands f->end to the next waiters. */
void flight_hand_out_some(void *ctx);
/* An empty answer of the flight's own, in place of what is left of a call before. */
struct answer *flight_own_answer(struct flight *f);
/* Aborts its call, if any, and answers all waiters empty. */
void flight_finish_empty(struct flight *f, enum outcome outcome);
/* Answers all waiters empty, and leaves the call to itself until its first byte: it loads the model
 * of what comes after it. What follows it goes on to follow, and keeps it going. false: it does not, or
 * another such call does; nothing was done. */
bool flight_leave_loading(struct flight *f, enum outcome outcome);
/* Aborts and forgets a flight that no request waits for. */
void flight_drop(struct flight *f, enum flight_event event);
/* The flight is held back no longer: what its waiters waited is counted. */
void flight_released(struct flight *f);
/* Counts the first answer, if it was of no use. */
void flight_waste_first(struct flight *f);
/* Takes a waiter off its flight, and counts how long it was held back. */
void flight_remove_waiter(struct flight *f, struct flight_waiter *w);
/* The same, and answers it empty, in a later turn where this one has answered many. The flight goes
 * on. */
void flight_answer_empty(struct flight *f, struct flight_waiter *w, enum outcome outcome);
/* t->dismissal, with the table as ctx: answers the next of them. */
void flight_answer_rest(void *table);
/* It is not answered any more. */
void flight_forget_dismissed(struct flight_waiter *w);
/* Whether no request wants the flight's answer any more. */
bool flight_is_idle(const struct flight *f);

/* completion.c: what newer text means for older, windows, followers, deadlines. */
/* Whether a completion gets no call now: it would take too long, and users chat on the machine. */
bool completion_is_futile(struct flight *f);
/* A new flight of class completion: supersedes, follows, is held or started. */
bool completion_place(struct flight *f);
/* The call under way that the completion could take the rest of; NULL: none. */
struct flight *completion_leader(struct flight_table *t, const struct flight_completion *c);
/* Before a call: REMAINDER when a held suggestion has answered f by now, LED when another call
 * under way fits, NONE when f needs a call of its own. Both are done when it returns. */
enum flight_event completion_try_join(struct flight *f);
/* More of the answer has come: followers that do not fit any more are released. */
void completion_progress(struct flight *f);
/* The answer is whole: what follows gets the remainder, or is released. Whether a follower got
 * one. */
bool completion_completed(struct flight *f, const struct flight_end *end);
/* Releases all followers of f. */
void completion_release_all(struct flight *f);
/* f does not follow any more. */
void completion_unfollow(struct flight *f);
/* Deadline of the flight's policy: started with its first waiter, and with one that joins it where none
 * waits. */
void completion_arm_deadline(struct flight *f);

/* wire.c: what is sent. */
/* Fills req, and of f: shaped, crossed, behind, is_behind, when, why_not, wire, asked, trial. */
void wire_make(struct flight *f, struct upstream_request *req);
/* The Authorization of its calls; SPAN_NONE: they have none. */
struct span wire_authorization(const struct flight *f);
/* The model that is asked for now. */
struct span flight_way_model(const struct flight *f);

/* prefix_call.c: tasks that are asked behind their conversation. */
/* Before a flight is called: looks for its conversation, if that was not known before. */
void behind_look(struct flight *f);
/* The same for the flights that wait, after replies: t->look, with the table as ctx. */
void behind_look_again(void *table);
/* The body behind the conversation; SPAN_NONE: it is asked as it came, f->why_not says why. Sets
 * is_behind and when. */
struct span behind_body(struct flight *f);
/* A call begins: counts how it is asked. */
void behind_called(struct flight *f);
/* The first of its answer has come, or it is aborted: notes what the server's cache holds now. */
void behind_read(struct flight *f);
/* A call was answered, in the right form or not. */
void behind_answered(struct flight *f, bool wrong_form);
/* A call behind the conversation failed: it is asked again as it came. broken: the connection was,
 * which is not the conversation's fault. */
void behind_failed(struct flight *f, bool broken);
/* Whether its server notices an abort only when it has read the prompt (Ollama). */
bool behind_aborts_late(const struct flight *f);
/* Of a flight that is about to be queued: job's behind, prefix, keeps_cache, reading
 * and cost. */
void behind_schedule(struct flight *f);

/* failure.c */
/* Before a call: FELL_BACK or FAILED (f->end) when the breaker, or a throttle where there is a fallback,
 * keeps the flight from its upstream. It may become the one that tries for the breaker. */
enum flight_event failure_divert(struct flight *f);
/* The same before it is queued, where that is certain: it tries for no breaker. */
enum flight_event failure_certain(struct flight *f);
/* Whether it goes to its fallback where its server is throttled. */
bool failure_leaves_throttled(const struct flight *f);
/* Whether a server takes no tasks now: it is throttled, or its breaker is open. */
bool failure_keeps_away(const struct server *s, mono_t now);
/* Whether what came is an HTML page: a proxy's, not the model server's. */
bool failure_is_page(const struct flight *f);
/* A call was answered. */
void failure_success(struct flight *f);
/* A call has failed as f->end says; received: a byte of the answer came. ASKED_AGAIN, THROTTLED,
 * FELL_BACK, ANSWERED by the answer before it, or FAILED. */
enum flight_event failure_next(struct flight *f, bool received);
/* The flight's call was cut off: it says nothing about the upstream. */
void failure_forget_trial(struct flight *f);

/* call.c */
void call_start(struct flight *f);
/* Ends the call under way, if any, and counts it as aborted and its time as wasted. */
void call_abort(struct flight *f);
/* The model time of its last call was of no use. */
void call_wasted(struct flight *f);
/* The timer of a call: what comes of it. */
enum flight_event call_timer(struct flight *f);

/* call_result.c: the event that a call ends in; f->end is set for those that end the flight. */
/* The transport ended well. how: what the assembler says of the answer, if it was assembled; broke:
 * why that is no whole one, or NULL. */
enum flight_event call_result(struct flight *f, enum assembled how, const char *broke);
/* The connection broke, or was never made. */
enum flight_event call_broken(struct flight *f, const struct upstream_report *report);
/* The call has failed for that reason, a constant or the report's: its time is wasted. */
enum flight_event call_fail(struct flight *f, enum http_error error, const char *why);
/* Whether what was assembled has the kind's JSON form as it is. */
bool call_has_form(const struct flight *f);
/* The second try failed: the first answer becomes f->end. */
enum flight_event call_use_first(struct flight *f);

#endif
