/* app_priv.h: what the files of the composition root share. */
#ifndef APP_APP_PRIV_H
#define APP_APP_PRIV_H

#include "lull/app/daemon.h"
#include "lull/control/control.h"
#include "lull/path/cache/cache.h"
#include "lull/path/compare/compare.h"
#include "lull/path/edge/edge.h"
#include "lull/path/exchange/events.h"
#include "lull/path/exchange/exchange.h"

struct daemon {
    struct config *config;
    const struct config_sources *sources;
    struct strings live; /* set over the control socket; a reload drops them */
    struct buf warned;   /* what reading the configuration in force warned of, one a line */
    struct loop *loop;
    struct figures *figures;
    struct cache *cache;
    struct upstream_pool *pool;
    struct servers *servers;
    struct schedule *schedule;
    struct engine *engine;
    struct budget memory; /* max_buffered */
    struct compare *compare;
    struct edge *edge;
    struct control *control;
    struct exchange_listener access_log;
    struct loop_signal *signals[4];
    struct loop_timer *drain_timer, *memory_timer;
    mono_t started;
    bool draining;
    bool
        ending; /* nothing is open on the port; clients of the control socket read what they asked for */
};

/* access_log.c: begins or ends it, by the log level that is set. */
void access_log_setup(struct daemon *d);

/* limits.c */
/* Sets the umask, and that no program which is run gets privileges. Of the signals that would end or stop
 * the process for a write that fails, none does any more. SIGHUP and SIGUSR1 wait until app_take_signals(),
 * and are ignored after lifecycle_finish(); what the parent had blocked is not. */
void app_harden(void);
/* The handlers are there: what came meanwhile is delivered. */
void app_take_signals(void);
/* Raises the soft limit of descriptors to the hard one; returns how many client connections that allows. */
int64_t app_most_connections(void);

/* check.c */
/* Whether the data directory could be used; why gets one sentence with the remedy. Makes nothing.
 */
bool app_data_dir_usable(const char *dir, char *why, size_t why_size);
/* Whether a Unix socket could be made there; why gets one sentence. makes_folder: its folder may be
 * missing, and must be out of other users' reach. A socket that is there is in order. Makes nothing. */
bool app_socket_usable(const char *path, bool makes_folder, char *why, size_t why_size);
/* lulld --check of a configuration that could be read: says what is wrong with its surroundings, or
 * that all is well. file: lull.conf, if there is one. Returns the exit status. */
int app_check(const struct config *config, const char *file);

/* lifecycle.c: signals, drain, reload. */
/* What was read, and what reading it warned of. */
struct reading {
    struct config *config; /* NULL: it cannot be used */
    struct buf warnings;
};
/* Reads the sources; warnings go into the log, unless reading the configuration in force gave the same.
 * same_files: as in config_sources. Where config is NULL, errors says why and there are no warnings; else
 * the caller frees or uses both. */
struct reading lifecycle_read(struct daemon *d, const struct config *same_files,
                              struct buf *errors);
void lifecycle_init(struct daemon *d);
void lifecycle_finish(struct daemon *d);
/* What the control socket and SIGUSR1 read of the daemon, whose parts are all made. */
struct control_parts lifecycle_parts(struct daemon *d);

#endif
