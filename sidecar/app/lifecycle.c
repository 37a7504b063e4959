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
#include <stdlib.h>

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

/* First call: stop listening and finish what is open; second: now. */
static void stop_daemon(struct daemon *d)
{
    if (d->draining) {
        cut_all(d);
        return;
    }
    d->draining = true;
    os_notify("STOPPING=1");
    log_info("app", "stopping: finishing what is open");
    compare_break(d->compare, "the daemon is stopping");
    loop_timer_start(d->drain_timer, config_settings(d->config)->server.drain_timeout);
    http_server_drain(edge_server(d->edge), on_drained, d);
}

static void warn_of(struct daemon *d, struct buf *warnings)
{
    struct span all = buf_span(warnings);
    bool known = span_eq(all, buf_span(&d->warned));
    for (size_t at = 0; at < all.len && !known;) {
        size_t end = span_find(all, SPAN("\n"), at);
        end = end == SIZE_MAX ? all.len : end;
        log_warn("config", "%.*s", (int)(end - at), all.ptr + at);
        at = end + 1;
    }
    buf_free(&d->warned);
    buf_move(&d->warned, warnings);
}

struct config *lifecycle_read(struct daemon *d, struct buf *errors)
{
    struct buf warnings = {.max = 1024 * 1024};
    struct config *config = config_read(d->sources, errors, &warnings);
    if (config == NULL) {
        buf_free(&warnings);
        return NULL;
    }
    const struct server_settings *s = &config_settings(config)->server;
    if (d->config == NULL) {
        log_setup(s->log_level, s->log_format);
    }
    warn_of(d, &warnings);
    return config;
}

static void swap_in(struct daemon *d, struct config *fresh)
{
    struct settings *s = config_settings(fresh);
    log_setup(s->server.log_level, s->server.log_format);
    access_log_setup(d);
    cache_configure(d->cache, &s->cache);
    engine_configure(d->engine, s);
    config_destroy(d->config);
    d->config = fresh;
}

/* Errors are lines; the log has one. */
static bool refused(struct buf *text)
{
    struct span all = span_trim(buf_span(text));
    char *line = mem_strndup(all.len > 0 ? all.ptr : "", all.len);
    for (char *c = line; *c != '\0'; c++) {
        *c = *c == '\n' ? ';' : *c;
    }
    log_error("app", "not reloaded, the old configuration stays: %s", line);
    free(line);
    return false;
}

static void say_reloaded(const struct buf *applied, const struct buf *fixed)
{
    bool any = applied->len > 0;
    bool waits = fixed->len > 0;
    log_line(waits ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "app", "reloaded; %s%.*s%s%.*s",
             any     ? "changed: "
             : waits ? ""
                     : "nothing changed",
             (int)applied->len, any ? applied->data : "",
             waits ? (any ? "; after a restart: " : "after a restart: ") : "", (int)fixed->len,
             waits ? fixed->data : "");
}

/* Reads the configuration again and swaps it in whole, or not at all; text gets the names of what
 * changed, one a line, or why nothing did. One line in the log says the same. */
static bool reload_config(void *ctx, struct buf *text)
{
    struct daemon *d = ctx;
    struct buf applied = {.max = 4096};
    struct buf fixed = {.max = 2048};
    char why[512] = "";
    struct config *fresh = lifecycle_read(d, text);
    if (fresh == NULL) {
        return refused(text);
    }
    if (d->draining || edge_apply(d->edge, config_settings(fresh), why, sizeof why) != ERR_OK) {
        config_destroy(fresh);
        enum err e = buf_printf(text, "%s\n", d->draining ? "the daemon is stopping" : why);
        (void)e;
        return refused(text);
    }
    config_diff(d->config, fresh, text, &applied, &fixed);
    swap_in(d, fresh);
    say_reloaded(&applied, &fixed);
    buf_free(&applied);
    buf_free(&fixed);
    return true;
}

static void on_reload_signal(void *ctx)
{
    struct buf text = {.max = 1024 * 1024};
    os_notify("RELOADING=1");
    (void)reload_config(ctx, &text);
    os_notify("READY=1");
    buf_free(&text);
}

static void on_stop_signal(void *ctx)
{
    stop_daemon(ctx);
}

/* POST /drain: unlike a second signal, a second request cuts nothing. */
static void drain_daemon(void *ctx)
{
    struct daemon *d = ctx;
    if (!d->draining) {
        stop_daemon(d);
    }
}

struct control_parts lifecycle_parts(struct daemon *d)
{
    return (struct control_parts){.loop = d->loop,
                                  .config = &d->config,
                                  .figures = d->figures,
                                  .cache = d->cache,
                                  .engine = d->engine,
                                  .compare = d->compare,
                                  .schedule = d->schedule,
                                  .edge = d->edge,
                                  .draining = &d->draining,
                                  .started = d->started,
                                  .reload = reload_config,
                                  .drain = drain_daemon,
                                  .ctx = d};
}

static void on_figures_signal(void *ctx)
{
    struct control_parts parts = lifecycle_parts(ctx);
    struct buf out = {.max = 4 * 1024 * 1024};
    control_stats_json(&parts, &out);
    log_text(LOG_LEVEL_INFO, "stats", buf_span(&out));
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
