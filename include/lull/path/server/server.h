/* server.h: what is known of a model server: one record each, and one for each model in it.
 *
 * Who asks what:
 *   may a task be sent there?      breaker.h (it failed too often), throttle.h (it answered 429)
 *   what is it, does it answer?    probe.h; server_state() joins all of that into one word
 *   how many calls at once?        found_slots, which the schedule reads
 *   what does it refuse?           refusal.h, per model and endpoint
 *   how long do its calls take?    pace.h, per model and kind
 *   how did chats load the model?  loads.h, per model
 *
 * A record belongs to an upstream's name and url, so what was learnt survives a reload of the
 * configuration. servers_bind() writes its number into the settings, and server_of() reads it: no
 * look-up by name happens while requests are served. An upstream that keeps its name and gets
 * another url is another server: only its counters go on. Calls that began with the url before
 * still lead to the record of that one. With another key, proxy or ca_file the server is the same;
 * that it refused or failed calls before is forgotten.
 *
 * Bounds: records are as many as there were pairs of name and url in the configurations in force so
 * far; a record keeps SERVER_MODELS models, and the least recently used one makes room.
 */
#ifndef LULL_PATH_SERVER_SERVER_H
#define LULL_PATH_SERVER_SERVER_H

#include "lull/base/buf.h"
#include "lull/base/hash.h"
#include "lull/base/loop.h"
#include "lull/config/figures.h"
#include "lull/config/settings.h"
#include "lull/path/upstream/upstream.h"

enum {
    SERVER_MODELS = 64,
    SERVER_MODEL_NAME_MAX = 256, /* of a model's name as it is shown */
    SERVER_ENDPOINTS = 16,       /* enum endpoint fits */
};

struct servers;
struct server_model;
struct refusal;
struct probe;
struct prefix;

/* Whose call it was. */
enum server_caller { SERVER_CALLER_CHAT, SERVER_CALLER_TASK };

/* Whether it answers. */
enum server_reach { SERVER_REACH_UNTRIED, SERVER_REACH_REACHED, SERVER_REACH_UNREACHED };

struct server {
    struct servers *all;
    char *name, *url;
    bool replaced;                    /* its name has another url now */
    struct hash_key access;           /* of key, proxy and ca_file in force */
    unsigned access_number;           /* how often they changed, as in upstream_settings.access */
    unsigned number;                  /* from 1, as in upstream_settings.server */
    struct upstream_figures *figures; /* its counters, of the figures given to servers_create() */
    enum server_reach called;         /* what its last call said */
    char unreached[200];              /* why, where that was UNREACHED: one phrase */
    int chat_refused; /* the status of its last chat, where that is of the set-up: 401, 403, 404; else 0 */
    struct breaker {
        int64_t failures;  /* in a row */
        mono_t open_until; /* zero: closed */
        bool half_open;    /* open, and one task tries */
    } breaker;
    mono_t throttled_until; /* it asks for no more tasks before (429); zero: it did not */
    mono_t said_until;      /* the same, where it named the time itself */
    int64_t found_slots;    /* by llama.cpp's /props; 0: not known */
    int64_t found_context;  /* tokens of a slot's context, by the same; 0: not known */
    struct probe *probe;    /* NULL: never asked */
    bool speaks_ollama;     /* a whole answer in Ollama's API has come from it */
    bool loops;             /* its url leads back to this lulld */
    mono_t failure_said;    /* the log named a failed call; zero: never */
    struct server_model *models[SERVER_MODELS];
    size_t model_count;
};

/* How long the calls of one kind for one model take; see pace.h. Zeroed: nothing is known. */
struct pace {
    char *kind; /* name of an own one; NULL: built in */
    usec_t mean, deviation;
    uint64_t count;
    int64_t size;        /* bytes of the requests behind it, smoothed */
    mono_t tried_at;     /* a call last began, or was first not worth beginning; zero: never */
    unsigned shape_lost; /* second tries for the form of an answer that did not help, in a row */
    unsigned
        odd; /* requests as the client wrote them whose answers were no plain ones either, in a row */
};

struct server_model {
    struct hash_key key;
    char name[SERVER_MODEL_NAME_MAX]; /* cut; "": only its key is known */
    mono_t used;
    mono_t answered;         /* last gave a first byte; zero: never */
    int task_refused;        /* as server.chat_refused, of its last task */
    struct buf loads;        /* how the last chat had it loaded; see loads.h */
    unsigned unread_streams; /* in a row; see refusal_stream_read() */
    struct pace *paces;      /* pace_count of them; the first are the built-in kinds */
    size_t pace_count;
    struct prefix *prefix;                      /* NULL: nothing is learnt; see prefix.h */
    struct refusal *refusals[SERVER_ENDPOINTS]; /* NULL: nothing is refused there */
};

/* No record yet. Never NULL; borrowed parts must outlive it. loop and pool may be NULL where
 * probe.h is not used. */
struct servers *servers_create(struct loop *loop, struct upstream_pool *pool,
                               struct figures *figures);
/* Aborts probes under way; nothing may wait for one. NULL is fine. */
void servers_destroy(struct servers *all);

/* Finds or makes the record of each upstream and writes its number into it. Called once for
 * settings, before anything uses them. */
void servers_bind(struct servers *all, struct upstream_settings *list, size_t count);
/* fn is called when a server is found to run another number of generations at once; NULL: none is. */
void servers_watch(struct servers *all, void (*fn)(void *ctx), void *ctx);
/* The record of a bound upstream; valid as long as `all`. Never NULL. */
struct server *server_of(const struct servers *all, const struct upstream_settings *to);
/* Whether the key, proxy and ca_file of these settings are those in force: what another key was answered
 * says nothing about the server. `to` is bound to s. */
bool server_access_is_current(const struct server *s, const struct upstream_settings *to);
/* The records, in the order in which they were made; NULL: there are not so many. */
struct server *servers_at(const struct servers *all, size_t i);

/* A text (a model, a chat id) as a key; zero for an empty one. Keys differ between processes. */
struct hash_key servers_key(const struct servers *all, struct span text);
/* The record of a model, found or made; valid until the next call for that server. */
struct server_model *server_model(struct server *s, struct span name);
/* The same by its key; NULL: there is none. */
const struct server_model *server_find_model(const struct server *s, struct hash_key model);
/* A model has answered (given a first byte) now. */
void server_model_answered(struct server *s, struct hash_key model, mono_t now);
/* When it last answered; zero: never, or that is forgotten. */
mono_t server_model_answered_at(const struct server *s, struct hash_key model);

/* Whether the server answers and tasks are sent there. */
enum server_state {
    SERVER_STATE_UNTRIED,
    SERVER_STATE_UP,
    SERVER_STATE_HALF_OPEN, /* it failed too often; one task tries, or may try */
    SERVER_STATE_DOWN,      /* not reached, or tasks are kept away */
};
enum server_state server_state(const struct server *s, mono_t now);
/* "untried", "up", "probing" or "down", as it is shown. */
const char *server_state_name(enum server_state state);

/* A call with these settings reached the server, or did not (why: one phrase). A change is logged. */
void server_note_reached(struct server *s, const struct upstream_settings *to, bool reached,
                         const char *why);
/* How a call failed. */
struct server_failure {
    const struct upstream_settings *to; /* with which it was called */
    enum server_caller caller;
    int status;        /* of its answer; below 300: why says it */
    const char *why;   /* one phrase; may be NULL with a status */
    struct span model; /* that a task asked for; else none */
};
/* A call failed. Logged, at most once a minute for each server; a status that comes of the set-up in force is
 * kept in chat_refused or task_refused until server_note_served(), and servers_bind() of task_refused. */
void server_note_failed(struct server *s, const struct server_failure *failure, mono_t now);
/* A call was answered well; model as in struct server_failure. */
void server_note_served(struct server *s, enum server_caller caller, struct span model);
#endif
