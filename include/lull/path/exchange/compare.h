/* compare.h: tries models on the task requests that are in the cache. The newest requests of a kind
 * go to each candidate, one call at a time, as flights of the lowest priority: they wait for chats
 * and give way to them like any task, after all tasks that somebody waits for. Each is built anew
 * from the stored body, with nothing but the upstream's own key.
 *
 *   start ─▶ collect (a page of the cache a turn) ─┬─▶ refused: nothing there, or `yes` is needed
 *                                                  └─▶ call ▸ result ▸ call ▸ result … ▸ ended
 */
#ifndef LULL_PATH_EXCHANGE_COMPARE_H
#define LULL_PATH_EXCHANGE_COMPARE_H

#include "lull/path/exchange/comparison.h"
#include "lull/path/exchange/exchange.h"

/* Begins a run; NULL: one is under way. Events come later, from the loop. */
struct compare *engine_compare_start(struct engine *e, const struct compare_spec *spec,
                                     const struct compare_events *events, void *ctx);
/* Goes on after `result` returned false. */
void engine_compare_go_on(struct compare *run);
/* Ends it at once: its call is aborted, no event comes any more. Not after its last event. */
void engine_compare_stop(struct compare *run);
/* Ends what runs, if anything does, with the event `ended`. why is static. */
void engine_compare_break(struct engine *e, const char *why);

#endif
