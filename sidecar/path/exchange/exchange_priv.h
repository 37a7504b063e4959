/* exchange_priv.h: what the files of the data path's engine share.
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
    STEP_WAIT, /* something else will go on: the body, a flight, the relay */
    STEP_OVER, /* answered; the exchange is gone */
};

/* The headers of a call: all of the client's, Content-Type or Authorization, Via. */
enum { EXCHANGE_HEADERS = HTTP_MAX_HEADERS + 3 };
enum { EXCHANGE_SPARE = 32, EXCHANGE_REPLY_MAX = 16 * 1024 * 1024, EXCHANGE_KEY_MAX = 64 * 1024 };

/* What the head says that matters to us. Spans point into the head. */
struct exchange_head {
    struct span auth, user, chat, origin;
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

/* What is seen of an answer as it passes: chat.c, watch.c (tasks). */
struct answer_watch {
    struct assembler answer;
    bool watching, keep; /* keep: the reply is wanted */
    bool goes_on;        /* it ended in tool calls */
    bool failed;         /* an error inside a stream of status 200 */
    mono_t called, first_token, last_data;
    enum turn_gap gap;
};

struct exchange {
    struct exchange *next_spare;
    struct engine *engine;
    struct settings *settings;
    struct http_conn *conn;
    enum exchange_phase phase;
    mono_t begun; /* the request was complete (or, streamed through, its head) */
    struct exchange_head head;
    bool body_held;
    struct span body; /* held and whole; empty before */

    struct dialect_request request;
    bool parsed;
    struct task_decision decision;
    const char *bypass; /* a reason of Cache-Status; NULL: none */
    bool regenerate;    /* a title asked again: not read, stored over the old */

    struct scope scope;
    char scope_text[9];     /* as people see it */
    struct fingerprint raw; /* level 1; empty hash parts until step_raw ran */
    bool raw_made;
    struct fingerprint meaning;          /* level 2 */
    int upstream;                        /* the one that will answer */
    struct span model;                   /* the one that will be asked */
    struct fingerprint context;          /* class completion: the key without the text */
    struct flight_completion completion; /* the same; points into context and request */
    bool completion_made;

    struct flight_waiter waiter;
    struct relay *relay;
    struct gate_ticket ticket;   /* of a task that passes through */
    struct schedule_front front; /* of a chat, or another request that a person waits for */
    bool is_front;
    struct answer_watch watch;
    int status;    /* of the reply, once the client has gone; 0: none */
    bool finished; /* a task whose outcome is counted */
    bool rejected; /* answered before it was anything */
    enum outcome outcome;
    int counted; /* the kind that it was counted for */
    /* mode = observe */
    bool observing;            /* it was judged as a task that may be answered */
    struct observed *observed; /* its virtual call; NULL: none, or over */
    struct list observed_node;
    struct schedule_front observed_front;
    bool is_observed_front;
    struct buf plain;             /* turn.c: the reply that a task's prompt ends with */
    struct buf reply;             /* scratch: rendered bodies */
    struct exchange_event *event; /* NULL: no listener */
    bool counted_without_user;    /* hints.c */
};

struct observe;
struct observed;

struct engine {
    struct engine_parts parts;
    struct settings *settings;
    struct flight_table *flights;
    struct through *through;
    struct rewarm *rewarm;
    struct observe *observe;
    size_t watched; /* answers to tasks that are put together as they pass */
    struct exchange *spare;
    size_t spare_count;
    int64_t bad_requests;
    uint64_t serial; /* of answers, for their ids */
    struct list listeners;
    uint64_t events; /* ids given to events */
    struct hints hints;
    char hostname[256];
};

/* head.c: reads the head; HTTP_ERROR_NONE, or the error to answer. */
enum http_error head_read(struct exchange *x, const struct http_request *r);
/* Whether lulld itself sent the request, and it has come back over an upstream. */
bool head_is_back(const struct exchange *x, const struct http_request *r);
/* Whether the request may speak to us at all, by Host and client_token; after head_read. */
enum http_error head_admit(const struct exchange *x, const struct http_request *r);

/* exchange.c */
const struct kind_policy *exchange_policy(const struct exchange *x);
struct task_figures *exchange_figures(struct exchange *x, int kind);
/* Counts the exchange of a task and gives it back; the reply has been handed over before. */
void exchange_finish(struct exchange *x, int kind, enum outcome outcome);
/* Gives back an exchange that is no task. */
void exchange_drop(struct exchange *x);

/* lookup.c, policy.c, complete.c, fly.c, pass.c */
enum step step_raw(struct exchange *x);
enum step step_classify(struct exchange *x);
enum step step_policy(struct exchange *x);
enum step step_meaning(struct exchange *x);
enum step step_through(struct exchange *x);
enum step step_flight(struct exchange *x);
enum step step_relay(struct exchange *x);
/* Refuses a task whose Origin is not allowed (STEP_OVER); otherwise STEP_POLICY. */
enum step policy_origin(struct exchange *x);
/* flight_hooks.landed, with the engine as ctx. */
void fly_landed(void *ctx, const struct flight *f, struct flight_end *end);
/* Keeps an answer if it is good, and counts whether it did; fills in what end says of the entry. */
void fly_keep(struct engine *e, const struct flight_spec *spec, struct flight_end *end);

/* lookup.c: makes the level-2 key: STEP_THROUGH: to be looked up, else the next step. */
enum step lookup_prepare(struct exchange *x);
/* Whether the hit is a title that is to be made anew. */
bool lookup_wants_new(const struct exchange *x, const struct cache_hit *hit);
/* lookup.c: answers a task whose call has failed with an answer that has expired, where its kind
 * allows that; true: the exchange is over. */
bool lookup_stale(struct exchange *x);
/* fly.c: headers for a call to that upstream; returns their number. out has room for all of the
 * client's and three more (EXCHANGE_HEADERS); key holds the upstream's own, as long as they are used. */
size_t fly_headers(struct exchange *x, int upstream, struct http_header *out, struct buf *key);
/* What a flight of this exchange is, but for what is sent. */
void fly_spec(struct exchange *x, struct flight_spec *spec);

/* complete.c */
/* Fills x->completion, once; needs the request and its level-2 key. Does nothing for other kinds.
 */
void complete_prepare(struct exchange *x);
/* Whether the rest of a held suggestion would answer it; uses nothing. */
bool complete_would_rest(struct exchange *x);
/* The rest of a suggestion that is held, or was seen while observing. */
bool complete_observe_rest(struct exchange *x, struct through_hit *hit);
/* Whether type-through has nothing to gain from reading the entry behind a level-1 hit. */
bool complete_is_held(struct exchange *x, int kind, const struct cache_hit *hit);
/* flight_hooks.held, with the engine as ctx. */
bool complete_held(void *ctx, const struct flight_spec *spec, struct buf *content,
                   struct flight_end *end);
/* Holds what was found in the cache, or what a call brought. */
void complete_hit(struct exchange *x, const struct cache_hit *hit, const struct answer *answer);
void complete_landed(struct engine *e, const struct flight_spec *spec,
                     const struct flight_end *end);
/* A chat of this exchange begins: autocompletes of the text it sends are over. */
void complete_chat(struct exchange *x);

/* turn.c */
/* The person behind the connection, whatever scope the kind's answers are shared in: always by key
 * and user id. */
struct hash_key turn_person(struct exchange *x);
/* The conversation, as far as the head says. */
struct schedule_whose turn_whose(struct exchange *x);
/* Which turn of it a task belongs to; the reply lies in x->plain. */
struct flight_turn turn_of(struct exchange *x);

/* chat.c: what a person waits for, from before its request is sent to the end of its answer. */
/* Begins: what runs in its way gives way, what it makes pointless is answered. */
void chat_begin(struct exchange *x);
void chat_end(struct exchange *x);
/* Looks at a chat's answer as it passes. */
extern const struct relay_tap chat_tap;
/* The tap's part that begins to put the answer together, where it can be. */
void watch_head(void *ctx, int status, const struct http_header *headers, size_t count);

/* observe.c: what would have been done with a task that passes through unchanged; only in
 * `mode = observe`. */
struct observe *observe_create(struct engine *e);
void observe_destroy(struct observe *o);
/* The suggestions that were seen. */
struct through *observe_through(struct observe *o);
/* A task with its level-2 key: looks it up, and begins its virtual call where nothing answers it. */
void observe_task(struct exchange *x);
/* Any task that is about to pass: what would have waited before it passed waits virtually. */
void observe_passing(struct exchange *x);
/* Its answer has come whole: x->watch's, whose texts are moved away, and what end says of it. */
void observe_landed(struct exchange *x, const struct flight_end *end);
/* Its call is over, however. */
void observe_ended(struct exchange *x, const struct relay_result *r);
/* The same front as x->front, for virtual calls. */
void observe_front_began(struct observe *o, struct exchange *x);
void observe_front_token(struct observe *o, struct exchange *x);
void observe_front_ended(struct observe *o, struct exchange *x);
/* A chat goes on from a reply: see flight_moved_on(). */
void observe_moved_on(struct observe *o, const struct schedule_whose *whose,
                      const struct dialect_request *chat);

/* watch.c: looks at a task's answer as it passes. */
extern const struct relay_tap task_tap;
/* The task's call is over: counts its model time. Before chat_end(). */
void watch_ended(struct exchange *x, const struct relay_result *r);

/* pass.c: the client of a task that waits before it passes is gone. */
void pass_leave(struct exchange *x);

/* hints.c: counts how Open WebUI is set up; once an exchange is classified, and at its end. */
void hints_begin(struct exchange *x);
void hints_end(struct exchange *x);

/* events.c: what the event of an exchange says; each does nothing without a listener. */
/* Once its head is read. */
void event_begin(struct exchange *x, const struct http_request *r);
void event_cache_status(struct exchange *x, const char *value);
/* The model that is asked; copied. */
void event_model(struct exchange *x, struct span model);
void event_call(struct exchange *x, const struct flight_end *end);
void event_first_token(struct exchange *x, usec_t after);
/* Hands it to the listeners; the exchange is about to be dropped. */
void event_end(struct exchange *x);

/* reply.c: the answer to a task: 200, JSON, with X-Lull-Task and Cache-Status. */
void reply_task(struct exchange *x, int kind, const struct cache_status *status, struct span body);
/* The lines for it: "X-Lull-Task: ...\r\nCache-Status: lull; ...\r\n"; returns the length. */
size_t reply_task_lines(struct exchange *x, int kind, const struct cache_status *status, char *out,
                        size_t size);
/* How the call of this exchange is described; collapsed: it is the call of another one. */
struct cache_status reply_call_status(const struct exchange *x, bool collapsed);
/* An error of lull's own to a task, with both headers; the exchange goes on. */
void reply_error(struct exchange *x, enum outcome outcome, enum http_error error,
                 const char *detail);
/* Renders an answer for this exchange's endpoint and model asked, into x->reply. */
enum err reply_render(struct exchange *x, const struct answer *answer);
/* The same for a stored answer (answer_encode), without decoding it. */
enum err reply_stored(struct exchange *x, struct span answer, struct span model);
/* The kind's harmless answer, and the end of the exchange. */
enum step reply_empty(struct exchange *x, enum outcome outcome, const char *reason);
/* An error of lull's own to a task, and the end of the exchange. */
enum step reply_failure(struct exchange *x, enum outcome outcome, enum http_error error,
                        const char *detail);

#endif
