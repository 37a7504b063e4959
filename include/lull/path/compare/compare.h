/* compare.h: tries models on the task requests that are in the cache (lullctl compare), or both forms
 * in which their own model can be asked: as asked, and behind the conversation (--prefix).
 *
 *   start ─▶ collect, one page of the cache per loop iteration ─┬─▶ refused: nothing stored, or
 *                                                               │            `yes` is missing
 *                                                               └─▶ call ▸ result ▸ call … ▸ ended
 *
 * The newest requests of a kind go to each candidate, one call at a time, as untracked flights of
 * the lowest priority: they wait for chats and are preempted by them like any task, and start after
 * all tasks that a client waits for. Each call is built from the stored body. No header of the
 * client is stored, so a call carries nothing but the upstream's own key.
 *
 * Of the two forms, each request is asked in one after the other. Behind its conversation it is
 * asked after a call that reads the conversation, as the chat has done where a task comes: that
 * call is counted in no result. Requests whose conversation is not held are left out.
 */
#ifndef LULL_PATH_COMPARE_COMPARE_H
#define LULL_PATH_COMPARE_COMPARE_H

#include "lull/base/loop.h"
#include "lull/path/cache/cache.h"
#include "lull/path/compare/comparison.h"
#include "lull/path/exchange/exchange.h"

struct compare; /* runs comparisons, at most one at a time */

/* Never NULL. Borrowed parts must outlive it. */
struct compare *compare_create(struct loop *loop, struct cache *cache, struct servers *servers,
                               struct engine *engine);
/* Ends a run without an event. NULL is fine. */
void compare_destroy(struct compare *c);

/* Begins a run; NULL: one is under way. Copies events, spec and its texts, and takes a reference to
 * spec->settings. Calls no event before it returns; the run is valid until its last event. */
struct compare_run *compare_start(struct compare *c, const struct compare_spec *spec,
                                  const struct compare_events *events, void *ctx);
/* Continues after `result` returned false. Calls no event before it returns. */
void compare_resume(struct compare_run *run);
/* Ends a run at once: its call is aborted, and no event follows. Not after its last event. */
void compare_stop(struct compare_run *run);
/* Ends the run, if there is one: calls `ended` with why (static text) before it returns. */
void compare_break(struct compare *c, const char *why);

#endif
