/* lifecycle.c: starting is in daemon.c; here is what happens afterwards: reload and stop.
 *
 * Reload builds a whole new configuration, opens what it needs, and only then swaps it in; any
 * failure leaves the old one in force and says why. Stop: no new connections, idle ones are closed,
 * what is open finishes with Connection: close; after drain_timeout the rest is cut and the log
 * says so. A second signal stops at once.
 */
#include "app/app_priv.h"

#include "lull/base/log.h"
#include "lull/base/os.h"

#include <signal.h>

static void on_drained(void *ctx)
{
    struct daemon *d = ctx;
    loop_timer_stop(d->drain_timer);
    loop_stop(d->loop);
}

static void cut_all(struct daemon *d)
{
    size_t cut = http_server_cut(edge_server(d->edge));
    if (cut > 0) {
        log_warn("app", "%zu open requests were cut", cut);
    }
    loop_stop(d->loop);
}

static void on_drain_timeout(void *ctx)
{
    struct daemon *d = ctx;
    log_warn("app", "drain_timeout is over");
    cut_all(d);
}

void lifecycle_stop(struct daemon *d)
{
    if (d->draining) {
        cut_all(d);
        return;
    }
    d->draining = true;
    os_notify("STOPPING=1");
    log_info("app", "stopping: finishing what is open");
    engine_compare_break(d->engine, "the daemon is stopping");
    loop_timer_start(d->drain_timer, config_settings(d->config)->server.drain_timeout);
    http_server_drain(edge_server(d->edge), on_drained, d);
}

static void swap_in(struct daemon *d, struct config *fresh)
{
    struct settings *s = config_settings(fresh);
    log_setup(s->server.log_level, s->server.log_format);
    cache_configure(d->cache, &s->cache);
    engine_configure(d->engine, s);
    config_destroy(d->config);
    d->config = fresh;
}

bool lifecycle_reload(struct daemon *d, struct buf *text)
{
    struct buf warnings = {.max = 1024 * 1024};
    struct buf fixed = {.max = 1024 * 1024};
    char why[512] = "";
    struct config *fresh = config_read(d->sources, text, &warnings);
    buf_free(&warnings);
    if (fresh == NULL) {
        return false;
    }
    app_fit_connections(config_settings(fresh));
    if (d->draining || edge_apply(d->edge, config_settings(fresh), why, sizeof why) != ERR_OK) {
        config_destroy(fresh);
        enum err e = buf_printf(text, "%s\n", d->draining ? "the daemon is stopping" : why);
        (void)e;
        return false;
    }
    config_diff(d->config, fresh, text, &fixed);
    if (fixed.len > 0) {
        log_warn("app", "these take effect after a restart: %.*s", (int)fixed.len, fixed.data);
    }
    buf_free(&fixed);
    swap_in(d, fresh);
    return true;
}

static void on_reload_signal(void *ctx)
{
    struct daemon *d = ctx;
    struct buf text = {.max = 1024 * 1024};
    os_notify("RELOADING=1");
    if (lifecycle_reload(d, &text)) {
        log_info("app", "reloaded; changed: %.*s", (int)text.len, text.len > 0 ? text.data : "");
    } else {
        log_error("app", "not reloaded, the old configuration stays: %.*s", (int)text.len,
                  text.len > 0 ? text.data : "");
    }
    os_notify("READY=1");
    buf_free(&text);
}

static void on_stop_signal(void *ctx)
{
    lifecycle_stop(ctx);
}

static void on_figures_signal(void *ctx)
{
    struct daemon *d = ctx;
    struct control_hooks hooks = hooks_make(d);
    struct buf out = {.max = 4 * 1024 * 1024};
    control_stats_json(&hooks, loop_now(d->loop), &out);
    log_info("stats", "%.*s", (int)out.len, out.len > 0 ? out.data : "");
    buf_free(&out);
}

void lifecycle_init(struct daemon *d)
{
    d->signals[0] = loop_signal_create(d->loop, SIGTERM, on_stop_signal, d);
    d->signals[1] = loop_signal_create(d->loop, SIGINT, on_stop_signal, d);
    d->signals[2] = loop_signal_create(d->loop, SIGHUP, on_reload_signal, d);
    d->signals[3] = loop_signal_create(d->loop, SIGUSR1, on_figures_signal, d);
    d->drain_timer = loop_timer_create(d->loop, on_drain_timeout, d);
}

void lifecycle_finish(struct daemon *d)
{
    for (size_t i = 0; i < sizeof d->signals / sizeof d->signals[0]; i++) {
        if (d->signals[i] != NULL) {
            loop_signal_destroy(d->signals[i]);
        }
    }
    loop_timer_destroy(d->drain_timer);
}
