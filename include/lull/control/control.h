/* control.h: the control socket: HTTP over a Unix socket, for lullctl, curl and Prometheus.
 *
 * It sees the daemon only through the hooks below, which app supplies. Request and answer texts are
 * shown only to root and the daemon's own uid, unless control_private = no.
 */
#ifndef LULL_CONTROL_CONTROL_H
#define LULL_CONTROL_CONTROL_H

#include "lull/base/loop.h"
#include "lull/config/config.h"
#include "lull/config/figures.h"
#include "lull/config/settings.h"
#include "lull/path/compare/comparison.h"
#include "lull/path/exchange/events.h"
#include "lull/path/exchange/explain.h"

#include <stdint.h>

struct control_cache_stats {
    char state[256];
    uint64_t entries, bytes, max_bytes, inserted, expired, evicted, collisions, errors,
        pending_writes;
    usec_t commit_p50, commit_p99; /* -1: none */
};

struct control_upstream {
    const char *name, *dialect; /* "openai", "ollama", "auto" (not yet asked) */
    const char *state;          /* "up" or "down" (the last call did not reach it) */
    int64_t slots;              /* in force; 0: not counted */
};

struct control_entry {
    char id[33];
    int64_t seq;
    struct span kind, scope, model, upstream;
    wall_t created, expires;
    uint64_t bytes, hits;
    struct span request, answer; /* answer: the neutral answer's content as text */
};
/* A task that runs or waits; texts are valid during the call. */
struct control_flight {
    const char *kind, *upstream, *state, *why; /* why: "" unless it waits for its turn */
    struct span model, scope;
    usec_t age, waited;
    size_t waiters;
    unsigned requeued;
    int64_t priority;
};
typedef void (*control_flight_fn)(void *ctx, const struct control_flight *f);
/* An addition that tasks to that upstream and model are sent without, since the server refused it. */
struct control_left_out {
    const char *upstream, *model, *addition;
    bool proven; /* else only suspected */
    wall_t since;
};
typedef void (*control_left_out_fn)(void *ctx, const struct control_left_out *one);
struct control_machine {
    const char *name;
    size_t chats, foreground, running, waiting;
    usec_t quiet; /* since the last chat or its like; -1: one is open; INT64_MAX: none yet */
};

struct control_filter {
    struct span kind, scope, model;
    wall_t older;
};
typedef void (*control_entry_fn)(void *ctx, const struct control_entry *e);
typedef void (*control_count_fn)(void *ctx, bool ok, uint64_t count);

struct control_hooks {
    const struct config *(*config)(void *ctx);
    struct figures *(*figures)(void *ctx); /* connections.* are up to date after this call */
    void (*cache_stats)(void *ctx, struct control_cache_stats *out);
    size_t (*upstreams)(void *ctx, struct control_upstream *out, size_t max);
    bool (*draining)(void *ctx);
    /* entries: fn is called during the call; *next 0 = no more */
    void (*list)(void *ctx, const struct control_filter *f, size_t limit, int64_t after,
                 control_entry_fn fn, void *fn_ctx, int64_t *next);
    bool (*get)(void *ctx, struct span id, control_entry_fn fn, void *fn_ctx);
    /* asynchronous: done comes from the loop, once; false: id is not one (404) */
    bool (*remove)(void *ctx, struct span id, control_count_fn done, void *done_ctx);
    void (*purge)(void *ctx, const struct control_filter *f, control_count_fn done, void *done_ctx);
    /* Reload: true and what changed (a line each), or false and why not. */
    bool (*reload)(void *ctx, struct buf *text);
    void (*drain)(void *ctx);
    void (*flights)(void *ctx, control_flight_fn fn, void *fn_ctx);
    void (*left_out)(void *ctx, control_left_out_fn fn, void *fn_ctx);
    size_t (*machines)(void *ctx, struct control_machine *out, size_t max);
    void (*explain)(void *ctx, const struct explain_request *in, struct explanation *out);
    /* models tried on stored requests; NULL: one runs already */
    struct compare_run *(*compare_start)(void *ctx, const struct compare_spec *spec,
                                         const struct compare_events *events, void *events_ctx);
    void (*compare_go_on)(void *ctx, struct compare_run *run);
    void (*compare_stop)(void *ctx, struct compare_run *run);
    /* events of finished exchanges */
    void (*listen)(void *ctx, struct exchange_listener *l);
    void (*unlisten)(void *ctx, struct exchange_listener *l);
    void *ctx;
    mono_t started;
};

struct control;

/* Listens on settings.server.control. ERR_BUSY: another daemon answers there. why gets one
 * sentence. */
MUST_CHECK enum err control_create(struct loop *loop, const struct settings *settings,
                                   const struct control_hooks *hooks, struct control **out,
                                   char *why, size_t why_size);
/* Open requests are cut; the socket file is removed. NULL is fine. */
void control_destroy(struct control *c);

/* The body of GET /stats and of GET /metrics, also for SIGUSR1. now: monotonic, for percentiles. */
void control_stats_json(const struct control_hooks *hooks, mono_t now, struct buf *out);
void control_metrics(const struct control_hooks *hooks, mono_t now, struct buf *out);

#endif
