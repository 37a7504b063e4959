/* probe.h: what is asked of model servers themselves: GET /props where slots are `auto`. Asked when
 * the upstream is first used, and again after it could not be reached (it may be another one now);
 * never more than once in PROBE_PAUSE, since each answer postpones llama.cpp's look at clients that
 * left (model-servers.md §4). Not counted among the calls.
 */
#ifndef PATH_PROBE_H
#define PATH_PROBE_H

#include "lull/base/loop.h"
#include "lull/path/schedule/schedule.h"
#include "lull/path/upstream/upstream.h"

struct probes;

struct probes *probes_create(struct loop *loop, struct upstream_pool *pool,
                             struct schedule *schedule);
/* Aborts what is being asked. NULL is fine. */
void probes_destroy(struct probes *p);
/* The upstream is about to be used: asks it where something is not known. */
void probes_use(struct probes *p, struct settings *settings, int upstream);
/* A call did not reach it. */
void probes_forget(struct probes *p, const char *upstream);

#endif
