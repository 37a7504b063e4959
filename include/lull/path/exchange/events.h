/* events.h: one event per finished exchange, for lullctl tail and the debug log.
 *
 * Without a listener nothing is recorded: an exchange that began before the first listener was added
 * has no event.
 */
#ifndef LULL_PATH_EXCHANGE_EVENTS_H
#define LULL_PATH_EXCHANGE_EVENTS_H

#include "lull/base/clock.h"
#include "lull/base/list.h"

#include <stdint.h>

struct engine;

enum {
    EVENT_METHOD_MAX = 24,
    EVENT_PATH_MAX = 160,
    EVENT_ID_MAX = 64,
    EVENT_MODEL_MAX = 128,
    EVENT_STATUS_MAX = 128
};

/* Texts never hold a query, a body, a header value of the client or a scope. Pointers are valid
 * during the call. Durations and tokens: -1 where they are not known. */
struct exchange_event {
    uint64_t id; /* rises by one per recorded exchange */
    wall_t at;   /* its end */
    char method[EVENT_METHOD_MAX];
    char path[EVENT_PATH_MAX];           /* cut where it is longer */
    const char *what;                    /* "task", "chat" or "other" */
    const char *kind;                    /* of a task; else "" */
    const char *why;                     /* why it counts as that; "" where nothing decided */
    const char *outcome;                 /* else: passed, failed, rejected or abandoned */
    int status;                          /* of the reply; 0: none was sent */
    char cache_status[EVENT_STATUS_MAX]; /* of a task; else "" */
    char request_id[EVENT_ID_MAX];       /* the client's X-Request-Id, cut; "": none */
    const char *upstream;                /* that was addressed, or that a task was meant for */
    char model[EVENT_MODEL_MAX];         /* as asked for upstream; "": not known */
    usec_t took;        /* from the whole request (without a held body: its head) to the end */
    usec_t first_token; /* of a chat: from the same moment to its first token */
    usec_t held;        /* of a task: until its call began; -1: no call of its own */
    usec_t model_time;  /* of the call whose answer this is */
    int64_t tokens_in, tokens_out;
};

/* Owned by the caller. fn is called at the end of each exchange, from inside the engine: it must not
 * call the engine, except to remove this listener. */
struct exchange_listener {
    struct list node;
    void (*fn)(void *ctx, const struct exchange_event *e);
    void *ctx;
};

/* Calls l->fn for every exchange that begins from now on, until engine_unlisten(). Calls nothing
 * before it returns. */
void engine_listen(struct engine *e, struct exchange_listener *l);
/* Removes the listener; does nothing where it was not added. */
void engine_unlisten(struct engine *e, struct exchange_listener *l);

#endif
