/* probe.h: what is asked of model servers themselves: GET /api/version (is it Ollama?), else GET
 * /props (is it llama.cpp, and how many slots has it?). Asked when the upstream is first used, and
 * again after it could not be reached (it may be another one now); never more than once in ten
 * seconds, since each answer postpones llama.cpp's look at clients that left (model-servers.md §4).
 * Over https nothing is asked. Not counted among the calls.
 */
#ifndef LULL_PATH_SERVER_PROBE_H
#define LULL_PATH_SERVER_PROBE_H

#include "lull/base/list.h"
#include "lull/base/loop.h"
#include "lull/path/dialect/overrides.h"
#include "lull/path/schedule/schedule.h"
#include "lull/path/upstream/upstream.h"

struct probes;

/* Borrowed parts must outlive it. Slots found are told to the schedule. */
struct probes *probes_create(struct loop *loop, struct upstream_pool *pool,
                             struct schedule *schedule);
/* Aborts what is being asked; nobody may wait. NULL is fine. */
void probes_destroy(struct probes *p);
/* The upstream is about to be used: asks it where something is not known. */
void probes_use(struct probes *p, struct settings *settings, int upstream);
/* A call did not reach it. */
void probes_forget(struct probes *p, const char *upstream);
/* What answers there; SERVER_OPENAI as long as nothing else is known. */
enum server_sort probes_sort(struct probes *p, const struct upstream_settings *to);

/* Whether it has said what it is. Over https it is never asked, and never known. */
bool probes_known(struct probes *p, const struct upstream_settings *to);

/* The caller's; zeroed at first. */
struct probe_waiter {
    struct list node; /* private; linked while it waits */
    void (*fn)(void *ctx);
    void *ctx;
};
/* probes_use(), and true if an answer is under way that has not been waited for: then fn is called
 * from the loop when it is there, or after two seconds. */
bool probes_wait(struct probes *p, struct settings *settings, int upstream, struct probe_waiter *w);
/* Waits no more. Does nothing if it does not wait. */
void probes_leave(struct probe_waiter *w);

#endif
