/* app_priv.h: what the files of the composition root share. */
#ifndef APP_APP_PRIV_H
#define APP_APP_PRIV_H

#include "lull/app/daemon.h"
#include "lull/control/control.h"
#include "lull/path/cache/cache.h"
#include "lull/path/edge/edge.h"
#include "lull/path/exchange/compare.h"
#include "lull/path/exchange/exchange.h"

struct daemon {
    struct config *config;
    const struct config_sources *sources;
    struct loop *loop;
    struct figures *figures;
    struct cache *cache;
    struct upstream_pool *pool;
    struct schedule *schedule;
    struct engine *engine;
    struct edge *edge;
    struct control *control;
    struct loop_signal *signals[4];
    struct loop_timer *drain_timer;
    bool draining;
    int status;
};

/* limits.c: umask, core dumps off, no new privileges, SIGPIPE ignored; the descriptor limit. */
void app_harden(void);
/* Lowers max_connections when the descriptor limit cannot hold it; warns. */
void app_fit_connections(struct settings *settings);
/* Whether the data directory could be used; why gets one sentence with the remedy. */
bool app_data_dir_usable(const char *dir, char *why, size_t why_size);

/* lifecycle.c: signals, drain, reload. */
void lifecycle_init(struct daemon *d);
void lifecycle_finish(struct daemon *d);
/* First call: stop listening and finish what is open; second: now. */
void lifecycle_stop(struct daemon *d);
/* Reads the configuration anew and swaps it in whole, or not at all; text says what changed or why
 * not. */
bool lifecycle_reload(struct daemon *d, struct buf *text);

/* hooks.c: what the control socket sees of the daemon. */
struct control_hooks hooks_make(struct daemon *d);

#endif
