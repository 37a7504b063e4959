/* flight.h: one upstream call, any number of waiting exchanges. A flight belongs to the table, not
 * to the client that began it: a waiter that leaves does not affect the others, and the call is
 * aborted when none is left.
 *
 *   join ──▶ a flight of the same key ──────────────────────────────────────▶ wait
 *   begin ─▶ debounce (class completion) ─▶ gate ─▶ call ─▶ completed ─▶ all waiters
 *              │                             ▲        │
 *              │                             └────────┘ preempted by a chat, throttled, fallback
 *              ├▶ newer related text: superseded, answered empty
 *              └▶ a call for a shorter text runs and still fits: follows it, takes the remainder
 *
 * Each waiter of a flight is called exactly once, in the order in which they came, unless it left
 * before: a few at once, where many wait, at one flight or at many that are answered empty, the others in
 * the next turns of the loop. flight_priv.h draws
 * the states.
 */
#ifndef LULL_PATH_FLIGHT_FLIGHT_H
#define LULL_PATH_FLIGHT_FLIGHT_H

#include "lull/base/budget.h"
#include "lull/base/hash.h"
#include "lull/base/list.h"
#include "lull/base/loop.h"
#include "lull/config/figures.h"
#include "lull/config/settings.h"
#include "lull/http/request.h"
#include "lull/path/dialect/answer.h"
#include "lull/path/schedule/gate.h"
#include "lull/path/schedule/schedule.h"
#include "lull/path/server/prefix.h"
#include "lull/path/server/probe.h"
#include "lull/path/transcript/transcript.h"
#include "lull/path/typist/through.h"
#include "lull/path/typist/typist.h"
#include "lull/path/upstream/upstream.h"
#include "lull/path/webui/chat_history.h"

struct flight_table;
struct flight;

enum flight_result {
    FLIGHT_RESULT_ANSWER, /* `answer`, in neutral form */
    FLIGHT_RESULT_EMPTY,  /* answer the kind's harmless content; `outcome` says why */
    FLIGHT_RESULT_RAW, /* what the server sent, as it came: an error of its own, or an odd answer */
    FLIGHT_RESULT_FAILED, /* lull's own error */
};

enum { FLIGHT_BYTES_PER_TOKEN = 4 }; /* where a server does not count tokens */

struct flight_end {
    enum flight_result result;
    bool fell_back;       /* the answer is the fallback's: not kept */
    bool behind;          /* its key holds a conversation: no exact record leads to it */
    bool asked_behind;    /* its last call was asked behind that conversation */
    bool upstream_failed; /* RAW with an error status, or FAILED: counts as `failed` */
    /* EMPTY: why. */
    enum outcome outcome;
    /* ANSWER. Of a call: verdict by answer_validate(), repaired or not; times and tokens. */
    const struct answer *answer;
    enum answer_verdict verdict;
    bool remainder;                /* of a suggestion that another request's call made */
    bool held;                     /* the remainder of a suggestion that was held by then */
    usec_t model_time;             /* of the call that made it, measured; of RAW too */
    usec_t took;                   /* from the start of the call to its end */
    int64_t tokens;                /* in and out, 0 when unknown */
    int64_t tokens_in, tokens_out; /* the same, of this call alone */
    bool estimated;                /* some of them: from the bytes */
    int64_t cost;                  /* of the call, in millionths of money */
    /* RAW. */
    int status;
    enum endpoint raw_endpoint; /* the one that raw_body came from */
    struct span raw_headers;    /* lines "Name: value\r\n", without framing */
    struct span raw_body;
    /* FAILED. */
    enum http_error error;
    const char *why; /* one phrase */
    /* Shared by waiters that are answered alike; set by the hook `completed` (stored) and by
     * waiters. */
    bool stored;
    struct hash_key entry_id;
    int64_t entry_seq;
    wall_t entry_expires;
    struct buf reply; /* the last rendered reply, and the model name it was rendered with */
    size_t reply_len; /* of that reply alone */
    enum endpoint reply_endpoint; /* whose form it has */
    struct hash_key exact_stored; /* key of the last exact record that was stored */
};

/* Counts the tokens of end->answer, as the server said or, where it did not, by the bytes of the
 * request (`asked`) and of the answer, with their cost; fills in end's. up: NULL where only the
 * task counts. */
void flight_count_tokens(size_t asked, const struct upstream_settings *to,
                         struct task_figures *task, struct upstream_figures *up,
                         struct flight_end *end);

/* One waiting exchange. Owned by the exchange; zeroed at first. */
struct flight_waiter {
    struct list node;                                /* private */
    struct flight *flight;                           /* private; NULL when not waiting */
    bool dismissed;                                  /* private; it is answered empty, for that */
    enum outcome outcome;                            /* private */
    bool joined;                                     /* shares a call that another exchange began */
    struct hash_key chat;                            /* its conversation; zero: not known */
    uint32_t user;                                   /* see figures_user() */
    mono_t since;                                    /* private */
    void (*done)(void *ctx, struct flight_end *end); /* called once; end is valid during the call */
    void *ctx;
};

/* Which conversation a task belongs to, and where in it. */
struct flight_turn {
    struct schedule_conversation conversation;
    struct hash_key turn; /* of the after-reply tasks of one reply; zero: none */
    bool beside_reply;    /* a title asked before the first reply */
    bool elsewhere;       /* its chat goes to another machine */
    struct span history;  /* follow-ups without a chat id: the conversation in the prompt, by which
                             it is known again; empty: it is not; copied */
};

/* Of class completion: the text, and its typist. */
struct flight_completion {
    bool usable;                   /* false: related to no other, follows none */
    struct typist_arrival who;     /* text copied; `now` is filled in by flight_debounce */
    struct typist_context context; /* material copied */
};

/* The conversation that a task is asked behind; see transcript.h. */
struct flight_behind {
    bool wanted; /* the kind is to be asked so where that is certain: counted either way */
    bool later;  /* its chat has no reply yet: looked for again when there is one */
    enum prefix_reason why; /* why it is asked as it came; NONE where there is a transcript */
    struct transcript *transcript; /* NULL: none; the flight takes a reference */
    struct span instruction;       /* its message behind the conversation; copied */
};

/* Another upstream that answers when the first cannot. */
struct flight_fallback {
    int upstream;                      /* -1: none */
    const struct http_header *headers; /* copied */
    size_t header_count;
    struct span target;      /* path and query to ask for there; copied */
    struct span body, model; /* with the model to ask for there; copied */
};

struct flight_spec {
    struct settings *settings; /* the flight takes a reference */
    int kind;
    const struct kind_policy *policy; /* NULL: the kind's own; copied, its texts are not */
    int upstream;
    enum endpoint endpoint;
    struct span target;                /* path and query to ask for; copied */
    const struct http_header *headers; /* to send, in order; copied */
    size_t header_count;
    struct span body; /* with the effective model, otherwise as the client wrote it; copied */
    const struct json_doc *read; /* of that body; copied. NULL: not at hand */
    bool may_stream;             /* whether a streamed answer may be asked for instead */
    bool untracked; /* no client's task: counted in the upstream's calls only, not kept, and the
                      breaker neither decides nor learns */
    struct flight_fallback fallback;
    /* Identity: the level-2 key. */
    struct hash_key hash;
    struct span material; /* copied */
    size_t own;           /* struct fingerprint */
    bool shared;          /* others may join it later */
    bool join;            /* may itself join one */
    bool store;           /* a good answer may be kept */
    uint64_t generation;  /* of the cache, at the beginning */
    unsigned flags;       /* for the hook: cache flags of the entry */
    struct span model;    /* effective model; copied */
    struct span scope;    /* scope as it is shown; copied */
    struct flight_completion completion;
    struct flight_turn turn;
    struct flight_behind behind;
    uint32_t user; /* that its calls are counted for: see figures_user() */
};

/* What a flight is, for the hook and for display. */
const struct flight_spec *flight_spec(const struct flight *f);

struct flight_found {
    struct flight_behind behind;
    struct hash_key hash;
    struct span material;
};

struct flight_hooks {
    /* A complete answer has come; called once, before the waiters. May keep it and say so in end.
     */
    void (*completed)(void *ctx, const struct flight *f, struct flight_end *end);
    /* A completion is to be called: whether what is left of a held suggestion answers it by now.
     * true: content is filled, and model_time and tokens of end. */
    bool (*held)(void *ctx, const struct flight_spec *spec, struct buf *content,
                 struct flight_end *end);
    /* The conversation of a flight was not known before (behind.later), and may be by now; all that
     * wait for it are of one chat: looks for it, and for the key of the answer then. Fills in found;
     * its spans are valid until the next call. */
    void (*behind)(void *ctx, const struct flight_spec *spec, struct flight_found *found);
    void *ctx;
};

struct flight_parts {
    struct loop *loop;
    struct upstream_pool *pool;
    struct servers *servers;
    struct schedule *schedule;
    struct gate *gate; /* of that schedule */
    struct figures *figures;
    struct budget *memory; /* that answers count in while they are put together; NULL: no bound */
};

/* Borrowed parts must outlive the table; parts and hooks are copied. Never NULL. */
struct flight_table *flight_table_create(const struct flight_parts *parts,
                                         const struct flight_hooks *hooks);
/* Aborts what runs; waiters are not called. NULL is fine. */
void flight_table_destroy(struct flight_table *t);

/* The way of a waiter into a call, in this order:
 *   flight_join()      true: it waits at a flight of the same key; else
 *   flight_begin()     a flight of its own, then
 *   flight_debounce()  true: it waits for the next key, and goes to the queue by itself; else
 *   flight_enqueue()   at the gate, and from there to its call.
 * flight_enqueue() may call waiter->done before it returns, the others do not. Where memory is
 * short, flight_debounce() holds the flight, which ends with an error from the loop. */
bool flight_join(struct flight_table *t, const struct flight_spec *spec,
                 struct flight_waiter *waiter);
void flight_begin(struct flight_table *t, const struct flight_spec *spec,
                  struct flight_waiter *waiter);
/* Holds an autocomplete in its window, or behind a call for shorter text that still fits. Older
 * autocompletes that it supersedes are answered empty before this returns, where they are many some of
 * them in later turns; so are those of the functions below. */
bool flight_debounce(struct flight_waiter *waiter);
void flight_enqueue(struct flight_waiter *waiter);
/* A conversation has a new reply: flights that wait for it (behind.later) look for it at the
 * end of this turn, a few of them, and in the next turns: it may have gone on by the time they are
 * called. */
void flight_replied(struct flight_table *t);
/* The exchange leaves (its client is gone). Does nothing when it is not waiting. */
void flight_leave(struct flight_table *t, struct flight_waiter *waiter);

/* A chat that was sent. */
struct flight_sent {
    struct hash_key person;
    struct span paragraph; /* the last one of its last message */
    bool first_turn;       /* no reply stands before it */
};
/* Completions of a text that the paragraph equals, or that it goes on from (12 code points at least),
 * are answered empty (`sent`) and their calls aborted; one that loads its model goes on until its
 * first byte, or until the chat turns out to need another. Where no user id tells people apart, texts
 * of 24 code points at least for which one request waits, and only those of a first turn by a first turn,
 * others by others. */
void flight_chat_sent(struct flight_table *t, const struct flight_sent *sent);
/* A chat that goes on from a reply: follow-ups to what came before are answered empty (`obsolete`)
 * unless their kind keeps them, since Open WebUI shows follow-ups only under the last message.
 * chat: the request, NULL where its body is not held. */
void flight_moved_on(struct flight_table *t, const struct schedule_conversation *conversation,
                     const struct dialect_request *chat);
/* What a request like this is known for: its window, by the verdict of typist_note(); how long its
 * call may take, longer requests longer (-1: not known). */
usec_t flight_window(struct flight_table *t, const struct flight_spec *spec,
                     const struct typist_verdict *v);
usec_t flight_expected(struct flight_table *t, const struct flight_spec *spec);
/* A call of such a request has taken that long. */
void flight_took(struct flight_table *t, const struct flight_spec *spec, usec_t took);
/* Whether a follow-up to that turn is obsolete once this chat comes. task_chat: the follow-up's own
 * conversation, zero where it is not known; chat->request: NULL where its body is not held. */
bool flight_turn_is_over(const struct flight_turn *turn, struct hash_key task_chat,
                         const struct schedule_conversation *conversation,
                         struct chat_history_chat *chat);

/* Mechanisms that a benchmark measures by switching each off. */
enum flight_part {
    FLIGHT_PART_FOLLOW = 1, /* longer text waits for a call under way */
    FLIGHT_PART_WINDOW = 2, /* `auto` adapts; without: no window */
    FLIGHT_PART_SENT = 4,   /* a sent message ends what completes it */
    FLIGHT_PART_ABORT = 8,  /* what fits no more is aborted */
    FLIGHT_PART_EMPTY = 16, /* empty suggestions are kept */
    FLIGHT_PART_BUSY = 32,  /* completions wait for chats, at most max_hold */
};
/* Always true. tests/bench/typing links another definition in its place. */
bool flight_has(enum flight_part part);

/* For display: the window that a request like this would be held for now, and whether a call under
 * way would be followed. Changes nothing. */
struct flight_outlook {
    usec_t window;
    enum schedule_why why; /* it would wait for this */
    bool falls_back;       /* its server is throttled or its breaker open: why is that there */
    bool joins;            /* an identical request is being answered */
    bool follows;          /* a call for a shorter text is under way and still fits */
};
struct flight_outlook flight_outlook(struct flight_table *t, const struct flight_spec *spec);

/* A flight as it is shown; texts are valid during the call. */
struct flight_view {
    const char *kind, *upstream, *state, *why; /* why: "" unless it waits for the schedule */
    struct span model, scope;
    usec_t age, waited;
    usec_t left;     /* until its call is expected to end, 0 when it is late; -1: not known */
    size_t position; /* among all that wait for its machine, from 1; 0: it does not wait there */
    size_t waiters;
    unsigned requeued;
    int64_t priority;
};
typedef void (*flight_view_fn)(void *ctx, const struct flight_view *v);
/* All of them, oldest first. */
void flight_each(struct flight_table *t, flight_view_fn fn, void *ctx);

/* Flights that exist, from flight_begin() to the end of the loop iteration in which they ended. */
size_t flight_count(const struct flight_table *t);

#endif
