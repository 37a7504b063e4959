/* exchange_priv.h: the exchange and the engine, and the verbs that the files of this folder share.
 * engine.c says in which order they are called.
 */
#ifndef PATH_EXCHANGE_EXCHANGE_PRIV_H
#define PATH_EXCHANGE_EXCHANGE_PRIV_H

#include "lull/path/exchange/events.h"
#include "lull/path/exchange/exchange.h"
#include "lull/path/exchange/hints.h"
#include "lull/path/fingerprint/fingerprint.h"
#include "lull/path/relay/relay.h"
#include "lull/path/rewarm/rewarm.h"
#include "lull/path/typist/through.h"
#include "lull/path/typist/typed_text.h"
#include "lull/path/webui/classify.h"
#include "path/exchange/cache_status.h"

enum step {
#define STEP(id, function) STEP_##id,
#include "lull/path/exchange/steps.def"
#undef STEP
    STEP_WAIT, /* a callback continues: the body's, the flight's, the relay's */
    STEP_OVER, /* answered; the exchange is gone */
};

/* The headers of a call: all of the client's, Content-Type or Authorization, Via. */
enum { EXCHANGE_HEADERS = HTTP_MAX_HEADERS + 3 };
enum { EXCHANGE_REPLY_MAX = 16 * 1024 * 1024 };

/* What the request's head says. Spans point into the head. */
struct exchange_head {
    struct span auth, user, chat, origin, host;
    struct span request_id; /* to be said again; empty: none, or not fit for it */
    struct span credential; /* what tells clients apart: auth, else another header with a key */
    enum task_header header;
    struct span header_value;
    bool no_cache, no_store;
    int upstream;            /* the one addressed */
    struct span path, query; /* without /@NAME */
    struct span target;
    enum endpoint endpoint;
    enum http_form form;
};

enum exchange_phase { PHASE_BODY, PHASE_FLIGHT, PHASE_GATE, PHASE_RELAY };

/* What is seen of an answer while it is passed on: chat.c, watch.c (tasks). */
struct answer_watch {
    struct assembler answer;
    size_t counted;      /* of a chat: for `answer`, in parts.memory */
    bool watching, keep; /* keep: the text of the reply is needed */
    bool goes_on;        /* it ended in tool calls */
    bool noted;          /* of a chat: what its slot has read is known */
    bool whole;          /* of a chat: a whole answer has come */
    bool thought;        /* thinking came beside the answer */
    bool failed;         /* an error inside a stream of status 200 */
    mono_t called, first_token, last_data;
    enum turn_gap gap;
};

struct exchange {
    /* their storage is kept for the next exchange: */
    struct fingerprint exact, normalized;
    struct fingerprint context; /* of class completion: the normalized key without the text */
    /* All else begins with 0. First what every request uses: */
    struct exchange *next_spare;
    struct engine *engine;
    struct settings *settings;
    struct http_conn *conn; /* NULL: the client is gone */
    enum exchange_phase phase;
    int upstream; /* that a call goes to; -1: not known yet */
    mono_t begun; /* the request was complete (or, with a streamed body, its head) */
    struct exchange_head head;
    uint32_t user; /* conversation_user() */
    bool body_held;
    bool parsed;
    bool went_on;     /* past EXACT: what only later steps use may not be 0 any more */
    struct span body; /* held and whole; empty before */
    struct task_decision decision;
    const char *bypass; /* why the cache is not used, for Cache-Status; NULL: it is */

    /* EXACT */
    const struct scope *scope_given; /* of explain, for a kept request; NULL: the head decides */
    struct scope scope;
    struct scope person; /* exchange_person() */
    bool person_made;
    bool exact_made;
    struct hash_key known_id; /* the answer to which its exact record leads */
    int64_t known_seq;        /* 0: none */

    /* the end */
    bool finished;             /* a task whose outcome is counted */
    bool rejected;             /* refused for its head alone */
    bool counted_without_user; /* hints.c */
    int status;                /* of the reply, once the client is gone; 0: none */
    enum outcome outcome;
    int counted;                  /* the kind that it was counted for */
    struct exchange_event *event; /* NULL: no listener */

    /* Then what only the steps behind EXACT use. CLASSIFY, POLICY */
    struct dialect_request request;
    size_t nodes_counted; /* for its nodes, in parts.memory */
    bool regenerate;      /* LOOKUP_REFRESH: the stored answer is not served, and is replaced */

    /* NORMALIZED */
    char scope_text[SCOPE_SHOWN + 1]; /* as it is shown */
    bool converts;                    /* the body, to the other dialect */
    struct span model;                /* that it asks for */
    struct flight_behind behind;      /* the conversation that it is asked behind */
    struct buf instruction;           /* its message there */

    /* TYPE_THROUGH; of class completion */
    struct flight_completion completion; /* points into context and request */
    bool completion_made;

    /* JOIN, DEBOUNCE, QUEUE */
    struct flight_waiter waiter;

    /* FORWARD */
    struct relay *relay;
    struct gate_ticket ticket;         /* of a task that is forwarded */
    struct schedule_interactive front; /* of a chat, or another request that a client waits for */
    bool is_front;
    struct answer_watch watch;

    /* mode = observe */
    bool observing;            /* a task that could have been answered */
    struct observed *observed; /* its virtual call; NULL: none, or over */
    struct list observed_node;
    struct schedule_interactive observed_front;
    bool is_observed_front;
};

/* What a head said that was let in. A client repeats its head, which says the same again: its requests
 * have the same number (http_request.same). Belongs to the engine's settings. */
struct known_head {
    uint64_t same; /* 0: none */
    bool loopback; /* of its connection */
    struct exchange_head head;
    uint32_t user;
    bool exact_made; /* scope and exact are set; the body of `exact` is another one */
    struct scope scope;
    struct fingerprint exact;
};

struct observe;
struct observed;
struct misses;

struct engine {
    struct engine_parts parts;
    struct settings *settings;
    struct gate *gate; /* of parts.schedule */
    struct flight_table *flights;
    struct through *through;
    struct rewarm *rewarm;
    struct transcripts *transcripts;
    uint64_t held_since;          /* generation of the cache that they belong to */
    struct fingerprint later_key; /* behind_found_later() */
    struct buf later_instruction;
    struct observe *observe;
    struct misses *misses;
    size_t watched; /* forwarded tasks whose answers are being assembled */
    struct exchange *spare;
    size_t spare_count;
    int64_t bad_requests;
    struct known_head known;
    uint64_t serial;  /* of answers, for their ids */
    struct buf reply; /* the body that was rendered last */
    struct {
        const char *name; /* of the settings; NULL: none */
        struct task_figures *figures;
    } counted; /* the kind that was counted last */
    struct list listeners;
    uint64_t events; /* ids given to events */
    struct hints hints;
    mono_t paused_until; /* zero: not paused */
    char hostname[256];
};

/* ---- exchange.c ---- */

struct exchange *exchange_new(struct engine *e, struct http_conn *conn);
/* Frees what the steps behind EXACT hold, but the storage of the keys. */
void exchange_clear(struct exchange *x);
void exchange_free(struct exchange *x);
void exchange_free_spare(struct engine *e);
/* Ends the exchange of a task: counts it and drops it. After its reply. */
void exchange_finish(struct exchange *x, int kind, enum outcome outcome);
/* Ends any other exchange. */
void exchange_drop(struct exchange *x);
const struct kind_policy *exchange_policy(const struct exchange *x);
/* The server that the client addressed, and its record. */
const struct upstream_settings *exchange_upstream(const struct exchange *x);
struct server *exchange_server(const struct exchange *x);
struct task_figures *exchange_figures(struct exchange *x, int kind);
/* The scope `auto` of its head, whatever scope the kind's answers are shared in: made once. */
const struct scope *exchange_person(struct exchange *x);
/* The row of its user. */
struct savings *exchange_user_figures(struct exchange *x);
/* Counts what an answer without a call of its own has saved. */
void exchange_count_saved(struct exchange *x, int kind, usec_t model_time, int64_t tokens,
                          int64_t cost);

/* ---- route.c ---- */

/* Reads the head into x->head and x->user; HTTP_ERROR_NONE: the client may use the port, or the error
 * to answer. */
enum http_error route_begin(struct exchange *x, const struct http_request *r);
/* What is known of the head of a request; NULL: nothing. */
struct known_head *route_known(struct engine *e, const struct http_request *r);
/* The settings have changed, or the engine ends. */
void route_forget(struct engine *e);
/* Reads the head into x->head, and nothing else. */
enum http_error route_read(struct exchange *x, const struct http_request *r);
/* After that: why no client may send this head; HTTP_ERROR_NONE: some may. */
enum http_error route_refuses(const struct exchange *x, const struct http_request *r);

/* ---- policy.c ---- */

/* Whether the body is to be held before CLASSIFY. */
bool policy_holds_body(const struct exchange *x, const struct http_request *r);
/* Why the body is not read, as x->bypass; NULL: it is. */
const char *policy_unread(const struct exchange *x, bool too_large);
/* Parses the body unless x->bypass is set, and sets x->decision. */
void policy_classify(struct exchange *x);
/* Whether pages of the request's Origin may have tasks answered. */
bool policy_allows_origin(const struct exchange *x);
enum policy {
    POLICY_GO_ON,
    POLICY_FORWARD, /* x->bypass says why */
    POLICY_SWITCHED_OFF,
};
/* Of a task, after policy_classify(). */
enum policy policy_decide(struct exchange *x);
/* Whether a pause keeps the task from the model: background kinds and completions that have an empty
 * answer. */
bool policy_is_paused(const struct exchange *x);

/* ---- lookup.c ---- */

enum lookup {
    LOOKUP_MISS,    /* not stored; of lookup_key(): to be looked up */
    LOOKUP_HIT,     /* stored: `found` is filled, and the cache pinned until cache_release() */
    LOOKUP_REFRESH, /* stored, but asked again for a new answer: a title */
    LOOKUP_BYPASS,  /* the cache is not read: x->bypass says why, or `no-cache` */
    LOOKUP_NO_KEY,  /* JSON that parsers read differently: x->bypass is set */
};
enum lookup_use {
    LOOKUP_SERVE,   /* to answer: counts as a use */
    LOOKUP_LOOK,    /* explain: changes nothing */
    LOOKUP_OBSERVE, /* the same, and finds what was stored while observing */
};
struct lookup_found {
    struct cache_hit hit;
    struct span model; /* to name in the reply */
    int kind;
    bool pending;      /* the answer is not yet on disk */
    bool exact_wanted; /* an exact record is to be stored for the request */
};
/* By the bytes of the request. MISS and BYPASS: the steps that follow decide. */
enum lookup lookup_exact(struct exchange *x, struct lookup_found *found);
/* Whether that upstream takes the client's API, or the one that x->converts to. */
bool lookup_takes_dialect(const struct exchange *x, int upstream);
/* Sets upstream and model from its kind and x->converts; false: the kind's upstream does not take the
 * client's dialect, and they are the client's own. */
bool lookup_upstream(struct exchange *x);
/* Sets upstream, model, scope and the normalized key: MISS, BYPASS or NO_KEY. */
enum lookup lookup_key(struct exchange *x);
/* By the normalized key, after lookup_key() returned MISS: MISS, HIT or REFRESH (found->hit has the
 * entry's values, without its texts). */
enum lookup lookup_answer(struct exchange *x, enum lookup_use use, struct lookup_found *found);
/* An expired answer that may stand in for an error of the upstream: MISS, HIT or BYPASS. */
enum lookup lookup_stale(struct exchange *x, struct lookup_found *found);
/* The key with that material; own: struct fingerprint. */
struct cache_key lookup_normalized_key(struct hash_key hash, struct span material, size_t own);
/* cache_means_fn: whether a kept request has the own part of a key. */
bool lookup_means(struct span request, unsigned flags, struct span own);
/* Stores the exact record that leads from the request's bytes to that entry, where lookup_exact()
 * has not found it. */
void lookup_store_exact(struct exchange *x, struct hash_key id, int64_t seq, wall_t expires);

/* ---- prefix_choice.c ---- */

/* Whether any kind is asked behind its conversation, so that chats are kept. */
bool behind_keeps_chats(const struct settings *s);
/* A chat is about to be sent. */
void behind_chat_began(struct exchange *x);
/* A chat's answer came, and the request is still there; whole: the answer is in x->watch. Returns
 * what the slot has read. */
struct prefix_place behind_chat_ended(struct exchange *x, bool whole);
/* A chat broke off, or a task was passed through: a slot has read something else. The request may
 * be gone. */
void behind_read_other(struct exchange *x);
/* Sets x->behind of a task and, where that has a transcript, the normalized key; after both were
 * made as asked. */
void behind_find(struct exchange *x);
/* Why it would be asked as it came if it were called now; NONE: it would not. */
enum prefix_reason behind_outlook(const struct exchange *x);
/* Frees what behind_find() has set. */
void behind_forget(struct exchange *x);
/* flight_hooks.behind, with the engine as ctx. */
void behind_found_later(void *ctx, const struct flight_spec *spec, struct flight_found *found);

/* ---- autocomplete.c ---- */

/* Fills in x->completion, once; needs the request and its normalized key. Does nothing for other
 * classes. */
void autocomplete_prepare(struct exchange *x);
/* Whether the remainder of a held suggestion answers it. */
bool autocomplete_find(struct exchange *x, enum lookup_use use, struct through_hit *hit);
/* Whether the suggestion behind an exact hit is held already, or is none. */
bool autocomplete_is_known(struct exchange *x, int kind, const struct cache_hit *hit);
/* flight_hooks.held, with the engine as ctx. */
bool autocomplete_held(void *ctx, const struct flight_spec *spec, struct buf *content,
                       struct flight_end *end);
/* Hold the suggestion of a cache entry, or of a call's answer. */
void autocomplete_hold_hit(struct exchange *x, const struct cache_hit *hit);
void autocomplete_hold_answer(struct engine *e, const struct flight_spec *spec,
                              const struct flight_end *end);
/* A chat begins: autocompletes of the text that it sends end. */
void autocomplete_chat_sent(struct exchange *x);

/* ---- typed_on.c: an autocomplete in the form of an earlier one, without reading it ---- */

/* Whether the remainder of a held suggestion answers it; then what the answer needs to know is set. After
 * lookup_exact() found nothing. */
bool typed_on_find(struct exchange *x, struct through_hit *hit);
/* Keeps the form of an autocomplete that a held suggestion answers. May drop suggestions. */
void typed_on_keep(struct exchange *x);

/* ---- dispatch.c ---- */

enum dispatch {
    DISPATCH_JOINED, /* shares a flight of the same key */
    DISPATCH_BEGUN,  /* has a flight of its own, which is neither debounced nor queued yet */
    DISPATCH_NO_MEMORY,
};
/* x->waiter.done is set by the caller. */
enum dispatch dispatch_begin(struct exchange *x);
/* What the flight of this exchange is, without what it sends. */
void dispatch_spec(struct exchange *x, struct flight_spec *spec);
/* The upstream (-1: none) and the model of its fallback, without what would be sent there. */
void dispatch_fallback(const struct exchange *x, struct flight_fallback *f);
/* The headers of a call to that upstream; returns their number. out has room for EXCHANGE_HEADERS;
 * key holds the upstream's own key for as long as they are used. */
size_t dispatch_headers(struct exchange *x, int upstream, struct http_header *out, struct buf *key);
/* flight_hooks.completed, with the engine as ctx. */
void dispatch_completed(void *ctx, const struct flight *f, struct flight_end *end);
/* Stores an answer if it is good, counts whether it did, and fills in end's entry. */
void dispatch_store(struct engine *e, const struct flight_spec *spec, struct flight_end *end);

/* ---- respond.c: replies to tasks, with X-Lull-Task and Cache-Status ---- */

/* Status 200 with a JSON body. The exchange goes on. */
void respond_task(struct exchange *x, int kind, const struct cache_status *status,
                  struct span body);
/* Writes the two header lines; returns their length. */
size_t respond_lines(struct exchange *x, int kind, const struct cache_status *status, char *out,
                     size_t size);
/* How the call of this exchange is described; collapsed: it is another exchange's call. */
struct cache_status respond_call_status(const struct exchange *x, bool collapsed);
/* The outcome of a call that brought no answer to store. */
enum outcome respond_call_outcome(const struct exchange *x);
/* Render an answer, decoded or as stored, for the client's endpoint, into the engine's `reply`,
 * which it is until the exchange ends. */
MUST_CHECK enum err respond_render(struct exchange *x, const struct answer *answer);
MUST_CHECK enum err respond_render_stored(struct exchange *x, struct span answer,
                                          struct span model);
/* An error of lull's own. The exchange goes on. */
void respond_error(struct exchange *x, enum outcome outcome, enum http_error error,
                   const char *detail);

/* These end the exchange. */
/* Releases the cache. false: the entry cannot be read, and the exchange goes on. */
bool respond_hit(struct exchange *x, const struct lookup_found *found);
/* After a failed call, by an expired answer; false: there is none, and the exchange goes on. */
bool respond_stale(struct exchange *x);
/* The remainder of a suggestion; not ERR_OK: the exchange goes on. */
MUST_CHECK enum err respond_remainder(struct exchange *x, const struct through_hit *hit);
/* FLIGHT_RESULT_ANSWER and FLIGHT_RESULT_RAW. */
void respond_answer(struct exchange *x, struct flight_end *end);
void respond_raw(struct exchange *x, const struct flight_end *given);
/* The kind's harmless answer. reason: detail of Cache-Status. */
void respond_empty(struct exchange *x, enum outcome outcome, const char *reason);
/* An error of lull's own, counted as `failed`. */
void respond_failure(struct exchange *x, enum outcome outcome, enum http_error error,
                     const char *detail);
void respond_rejected(struct exchange *x, enum http_error error);
/* Of a request that is not a task, or not classified. */
void respond_refused(struct exchange *x, enum http_error error);
/* The upstream leads back to this lulld. */
void respond_loop(struct exchange *x);

/* ---- conversation.c ---- */

/* The user, by key and user id, whatever scope the kind's answers are shared in. */
struct hash_key conversation_person(struct exchange *x);
/* The user for the report: the first 32 bits of the scope `auto`, as `lullctl ls` shows it; or
 * FIGURE_USER_NONE where the head has no user id. */
uint32_t conversation_user(struct exchange *x);
/* The conversation, as far as the head names it. */
struct schedule_conversation conversation_of(struct exchange *x);
/* Which turn of it a task belongs to; its history points into x->request. */
struct flight_turn conversation_turn(struct exchange *x);

/* ---- chat.c: what a client waits for, from before its request is sent to the end of its answer ---- */

/* Preempts what is in its way, and answers tasks that it makes obsolete. */
void chat_begin(struct exchange *x);
void chat_end(struct exchange *x);
/* Watches a chat's answer. */
extern const struct relay_tap chat_tap;
/* Of a tap: begins to assemble the answer, where that is possible. */
void watch_head(void *ctx, int status, const struct http_header *headers, size_t count);

/* ---- forward.c ---- */

/* Whether the upstream leads back to this lulld, as far as probes and failures tell. */
bool forward_is_loop(struct exchange *x);
/* Passes the request on, or waits at the gate first. */
void forward_begin(struct exchange *x);
/* The client of a task that waits at the gate is gone. Ends the exchange. */
void forward_leave(struct exchange *x);

/* ---- watch.c: a task's answer while it is passed on ---- */

extern const struct relay_tap watch_tap;
/* The task's call is over: counts its model time. Before chat_end(). */
void watch_ended(struct exchange *x, const struct relay_result *r);

/* ---- observe.c, observed.c: `mode = observe`: what would be done with a task that is forwarded ---- */

struct observe *observe_create(struct engine *e);
void observe_destroy(struct observe *o);
/* The suggestions that were seen. */
struct through *observe_through(struct observe *o);
/* The settings have changed. */
void observe_bind(struct observe *o, const struct settings *settings);
/* More of the virtual calls may start: slots were found, or the settings have changed. */
void observe_look(struct observe *o);
/* A task, with what lookup_key() returned for it: looks it up, and begins its virtual call where
 * nothing answers it. */
void observe_task(struct exchange *x, enum lookup how);
/* Any task before it is forwarded: one that would have waited first waits virtually. */
void observe_passing(struct exchange *x);
/* Its answer has come whole: the texts of x->watch's are moved away. */
void observe_answered(struct exchange *x, const struct flight_end *end);
/* The exchange ends, however: it leaves its virtual call, where it is in one. */
void observe_left(struct exchange *x);
/* Its call has ended, with or without an answer. */
void observe_ended(struct exchange *x, const struct relay_result *r);
/* The same front as x->front, for virtual calls. */
void observe_front_began(struct observe *o, struct exchange *x);
void observe_front_token(struct observe *o, struct exchange *x);
void observe_front_ended(struct observe *o, struct exchange *x);
/* A chat goes on from a reply: see flight_moved_on(). */
void observe_moved_on(struct observe *o, const struct schedule_conversation *whose,
                      const struct dialect_request *chat);

/* ---- misses.c: the last missed request of each kind, for explain ---- */

struct misses *misses_create(void);
void misses_destroy(struct misses *m);
/* A task that the cache was asked for and did not answer: keeps it, over an earlier one of its kind. */
void misses_keep(struct exchange *x);
/* Forgets all of them. */
void misses_clear(struct misses *m);

/* ---- hints.c: how Open WebUI is set up; after CLASSIFY, and at the end ---- */

void hints_begin(struct exchange *x);
void hints_end(struct exchange *x);

/* ---- events.c: the event of an exchange; each does nothing without a listener ---- */

/* After its head is read. */
void event_begin(struct exchange *x, const struct http_request *r);
void event_cache_status(struct exchange *x, const char *value);
/* The model that is asked; copied. */
void event_model(struct exchange *x, struct span model);
void event_call(struct exchange *x, const struct flight_end *end);
void event_first_token(struct exchange *x, usec_t after);
/* Calls the listeners; the exchange is about to be dropped. */
void event_end(struct exchange *x);

#endif
