/* control.h: the control socket: HTTP over a Unix socket, for lullctl, curl and Prometheus, and the
 * listeners of metrics_listen.
 *
 * It reads the parts of the daemon directly. Texts of requests and answers are shown only to root
 * and the daemon's own uid, unless control_private = no.
 */
#ifndef LULL_CONTROL_CONTROL_H
#define LULL_CONTROL_CONTROL_H

#include "lull/base/loop.h"
#include "lull/config/config.h"
#include "lull/config/figures.h"
#include "lull/path/cache/cache.h"
#include "lull/path/compare/compare.h"
#include "lull/path/edge/edge.h"
#include "lull/path/exchange/exchange.h"
#include "lull/path/schedule/schedule.h"

/* What the control socket reads and acts on. All parts are borrowed and outlive it. */
struct control_parts {
    struct loop *loop;
    struct config *const *config; /* the configuration in force; a reload replaces it */
    struct figures *figures;
    struct cache *cache;
    struct engine *engine;
    struct compare *compare;
    struct servers *servers;
    struct schedule *schedule;
    struct edge *edge;
    const bool *draining;       /* the daemon is stopping */
    const struct buf *warnings; /* of the configuration in force, one a line */
    mono_t started;
    /* Reads the configuration again. true: text has the names that changed, one a line; false: it
     * says why nothing changed. */
    bool (*reload)(void *ctx, struct buf *text);
    /* Applies lines "SECTION.KEY=VALUE", all or none; text as above. A reload drops them. */
    bool (*set)(void *ctx, const struct strings *lines, struct buf *text);
    /* Begins to stop the daemon; does nothing when it is stopping already. */
    void (*drain)(void *ctx);
    void *ctx; /* of reload, set and drain */
};

struct control;

/* Listens on [server] control and metrics_listen; copies parts. ERR_BUSY: another daemon answers
 * on the socket. On failure *out is unchanged and why has one sentence. */
MUST_CHECK enum err control_create(const struct control_parts *parts, struct control **out,
                                   char *why, size_t why_size);
/* The last step of a stop, when no comparison is under way: nothing new is accepted, event streams get what
 * waits for them and end, and what is unsent of other replies goes out as their clients read. When
 * nothing is open, done(ctx) is called from the loop; a client that does not read holds it up. */
void control_drain(struct control *ctl, loop_fn done, void *ctx);
/* Open requests are cut; the socket file is removed. NULL is fine. */
void control_destroy(struct control *ctl);

/* Appends the body of GET /stats, and of GET /metrics. Reads the monotonic clock of the loop for
 * percentiles and the uptime, and brings the gauges in `figures` up to date. */
void control_stats_json(const struct control_parts *parts, struct buf *out);
void control_metrics(const struct control_parts *parts, struct buf *out);

#endif
