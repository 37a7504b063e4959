/* world_priv.h: the scripted model server (model.c) as the world sees it. */
#ifndef TESTS_SCENARIO_WORLD_PRIV_H
#define TESTS_SCENARIO_WORLD_PRIV_H

#include "scenario/world.h"

#include "lull/base/loop.h"
#include "lull/path/upstream/upstream.h"

enum { MAX_CALLS = 4096 };

struct upstream_call {
    struct upstream_pool *pool;
    const struct upstream_events *events;
    void *ctx;
    char *method, *target, *headers, *body, *upstream;
    bool head, over, aborted, distrusted;
    bool held;                  /* the caller has enough of the answer for now */
    bool waits;                 /* the queue of its request's body is full */
    struct loop_deferred probe; /* it asks what the server is: answered by the world */
};

struct upstream_pool *world_pool(struct world *w);

struct upstream_pool {
    struct loop *loop;
    struct upstream_call *calls[MAX_CALLS];
    size_t count;
    struct model_script script;
    bool slow; /* requests' bodies are not taken at once */
    int slots; /* what /props says; 0: 404 */
    enum world_probes probes;
    size_t probe_count;
    const char *port; /* path of the daemon's socket */
};

#endif
