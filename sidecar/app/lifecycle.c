/* lifecycle.c: starting is in daemon.c; here is what happens afterwards: reload and stop.
 *
 * Reload builds a whole new configuration, opens what it needs, and only then swaps it in; any
 * failure leaves the old one in force and says why. Stop: no new connections, idle ones are closed,
 * what is open finishes with Connection: close; after drain_timeout the rest is cut and the log
 * says so. Then clients of the control socket have LAST_REPLIES to read what is sent to them: the
 * summary of a comparison, the last events. A second signal stops at once.
 */
#include "app/app_priv.h"

#include "lull/base/log.h"
#include "lull/base/os.h"
#include "lull/config/options.h"

#include <signal.h>
#include <stdlib.h>

enum { MEMORY_SPARE = 8 * 1024 * 1024, LIST_MAX = 1024 * 1024 /* of what changes */ };
static const usec_t MEMORY_EVERY = 60 * USEC_PER_S;
static const usec_t LAST_REPLIES =
    2 * USEC_PER_S; /* for clients of the control socket to read them */

static void on_control_drained(void *ctx)
{
    struct daemon *d = ctx;
    loop_stop(d->loop);
}

/* Nothing is open on the port. */
static void on_drained(void *ctx)
{
    struct daemon *d = ctx;
    d->ending = true;
    loop_timer_start(d->drain_timer, LAST_REPLIES);
    control_drain(d->control, on_control_drained, d);
}

static void cut_all(struct daemon *d)
{
    size_t cut = http_server_cut(edge_server(d->edge));
    if (cut > 0) {
        log_warn("app", "%zu open requests were cut", cut);
    }
}

static void on_drain_timeout(void *ctx)
{
    struct daemon *d = ctx;
    if (d->ending) {
        loop_stop(d->loop);
        return;
    }
    log_warn("app", "drain_timeout is over");
    cut_all(d);
}

/* First call: stop listening and finish what is open; second: now. */
static void stop_daemon(struct daemon *d)
{
    if (d->draining) {
        cut_all(d);
        loop_stop(d->loop);
        return;
    }
    d->draining = true;
    (void)os_notify("STOPPING=1", false); /* open replies go on meanwhile */
    log_info("app", "stopping: finishing what is open");
    compare_break(d->compare, "the daemon is stopping");
    loop_timer_start(d->drain_timer, config_settings(d->config)->server.drain_timeout);
    http_server_drain(edge_server(d->edge), on_drained, d);
}

static void report_warnings(const struct daemon *d, const struct buf *warnings)
{
    struct span rest = buf_span(warnings);
    bool known = span_eq(rest, buf_span(&d->warned));
    for (struct span line; !known && span_next(&rest, '\n', &line);) {
        log_warn("config", "%.*s", (int)line.len, line.ptr);
    }
}

struct reading lifecycle_read(struct daemon *d, const struct config *same_files, struct buf *errors)
{
    struct reading r = {.warnings = {.max = 1024 * 1024}};
    struct config_sources sources = *d->sources;
    sources.live = d->live;
    sources.same_files = same_files;
    r.config = config_read(&sources, errors, &r.warnings);
    if (r.config == NULL) {
        buf_free(&r.warnings);
        return r;
    }
    const struct server_settings *s = &config_settings(r.config)->server;
    if (d->config == NULL) {
        log_setup(s->log_level, s->log_format);
    }
    report_warnings(d, &r.warnings);
    return r;
}

static void reading_free(struct reading *r)
{
    config_destroy(r->config);
    buf_free(&r->warnings);
}

static void use_reading(struct daemon *d, struct reading *fresh)
{
    struct settings *s = config_settings(fresh->config);
    log_setup(s->server.log_level, s->server.log_format);
    access_log_setup(d);
    cache_configure(d->cache, &s->cache);
    engine_configure(d->engine, s);
    config_destroy(d->config);
    d->config = fresh->config;
    buf_free(&d->warned);
    buf_move(&d->warned, &fresh->warnings);
}

/* Memory that runs out leaves the list out. */
static void append_list(struct buf *line, const struct buf *list)
{
    enum err e = buf_append_span(line, buf_span(list));
    (void)e;
}

/* Errors are lines; the log has one, with the first of many. */
static bool report_refused(const char *what, struct buf *text)
{
    struct span all = span_trim(buf_span(text));
    char line[4096];
    size_t len = all.len < sizeof line ? all.len : sizeof line;
    for (size_t i = 0; i < len; i++) {
        line[i] = all.ptr[i];
        if (line[i] == '\n') {
            line[i] = ';';
        }
    }
    log_error("app", "not %s, the old configuration stays: %.*s", what, (int)len, line);
    return false;
}

/* One line with all of them, however many: log_line() would cut it. */
static void report_applied(const char *what, const struct buf *applied, const struct buf *fixed)
{
    bool any = applied->len > 0;
    bool waits = fixed->len > 0;
    struct buf line = {.max = 2 * LIST_MAX + 256};
    buf_text(&line, "%s; %s", what, any ? "changed: " : waits ? "" : "nothing changed");
    append_list(&line, applied);
    if (waits) {
        buf_text(&line, any ? "; after a restart: " : "after a restart: ");
        append_list(&line, fixed);
    }
    log_text(waits ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "app", buf_span(&line));
    buf_free(&line);
}

/* Swaps a configuration in whole, or not at all; text gets the names of what changed, one a line, or
 * why nothing did. One line in the log says the same; what: "reloaded" or "set". */
static bool apply_reading(struct daemon *d, const char *what, struct reading *fresh,
                          struct buf *text)
{
    struct buf applied = {.max = LIST_MAX};
    struct buf fixed = {.max = LIST_MAX};
    char why[512] = "";
    if (d->draining ||
        edge_apply(d->edge, config_settings(fresh->config), why, sizeof why) != ERR_OK) {
        reading_free(fresh);
        enum err e = buf_printf(text, "%s\n", d->draining ? "the daemon is stopping" : why);
        (void)e;
        return report_refused(what, text);
    }
    config_diff(d->config, fresh->config, text, &applied, &fixed);
    config_keep_fixed(fresh->config, d->config);
    use_reading(d, fresh);
    report_applied(what, &applied, &fixed);
    buf_free(&applied);
    buf_free(&fixed);
    return true;
}

/* What was set over the control socket and is not any more. */
static void say_dropped(const struct strings *live)
{
    struct buf line = {.max = LIST_MAX};
    buf_text(&line, "the reload dropped what was set live: ");
    for (size_t i = 0; i < live->count; i++) {
        buf_text(&line, "%s%.*s", i > 0 ? ", " : "", (int)strcspn(live->items[i], "="),
                 live->items[i]);
    }
    if (live->count > 0) {
        log_text(LOG_LEVEL_INFO, "app", buf_span(&line));
    }
    buf_free(&line);
}

/* Reads the sources again. What was set over the control socket is dropped. */
static bool reload_config(void *ctx, struct buf *text)
{
    struct daemon *d = ctx;
    struct strings live = d->live;
    d->live = (struct strings){0};
    struct reading fresh = lifecycle_read(d, NULL, text);
    bool done = fresh.config != NULL ? apply_reading(d, "reloaded", &fresh, text)
                                     : report_refused("reloaded", text);
    if (done) {
        say_dropped(&live);
        strings_free(&live);
    } else {
        d->live = live;
    }
    return done;
}

/* The name of "SECTION.KEY=VALUE". */
static struct span set_name(const char *text)
{
    return span_make(text, strcspn(text, "="));
}

/* The list with these lines added; a line of the same name is replaced. */
static struct strings live_with(const struct strings *old, const struct strings *lines)
{
    struct strings all = {mem_new((old->count + lines->count + 1) * sizeof *all.items), 0};
    for (size_t i = 0; i < old->count; i++) {
        bool again = false;
        for (size_t k = 0; k < lines->count; k++) {
            again = again || span_eq(set_name(old->items[i]), set_name(lines->items[k]));
        }
        if (!again) {
            all.items[all.count++] = mem_strdup(old->items[i]);
        }
    }
    for (size_t i = 0; i < lines->count; i++) {
        all.items[all.count++] = mem_strdup(lines->items[i]);
    }
    return all;
}

/* "NAME = VALUE" of a line, where only a restart changes that value, and it is another one. */
static void add_fixed(struct daemon *d, const struct config *fresh, const char *line,
                      struct buf *to)
{
    struct span set = set_name(line);
    char *name = mem_strndup(set.ptr, set.len);
    const struct option *o = option_of_name(name);
    char *was = config_value(d->config, name), *now = config_value(fresh, name);
    if (o != NULL && !o->reload && was != NULL && now != NULL && strcmp(was, now) != 0) {
        buf_text(to, "%s%s = %s", to->len > 0 ? ", " : "", name, now);
    }
    free(was);
    free(now);
    free(name);
}

/* Whether one of the lines waits for a restart; then text says so. */
static bool needs_restart(struct daemon *d, const struct config *fresh, const struct strings *lines,
                          struct buf *text)
{
    struct buf fixed = {.max = LIST_MAX};
    for (size_t i = 0; i < lines->count; i++) {
        add_fixed(d, fresh, lines->items[i], &fixed);
    }
    bool waits = fixed.len > 0;
    if (waits) {
        buf_text(text, "only a restart changes this, so write it into the file: ");
        append_list(text, &fixed);
        buf_text(text, "\n");
    }
    buf_free(&fixed);
    return waits;
}

/* Sets values over the control socket: all lines or none, and nothing else: an edited file waits for a
 * reload. */
static bool set_live(void *ctx, const struct strings *lines, struct buf *text)
{
    struct daemon *d = ctx;
    struct strings old = d->live;
    d->live = live_with(&old, lines);
    struct reading fresh = lifecycle_read(d, d->config, text);
    bool done = false;
    if (fresh.config == NULL) {
        (void)report_refused("set", text);
    } else if (needs_restart(d, fresh.config, lines, text)) {
        reading_free(&fresh);
        (void)report_refused("set", text);
    } else {
        done = apply_reading(d, "set", &fresh, text);
    }
    if (done) {
        strings_free(&old);
    } else {
        strings_free(&d->live);
        d->live = old;
    }
    return done;
}

static void on_reload_signal(void *ctx)
{
    struct buf text = {.max = 1024 * 1024};
    bool waited_for = os_notify("RELOADING=1", false);
    (void)reload_config(ctx, &text);
    if (waited_for) { /* it had room just now */
        (void)os_notify("READY=1", true);
    }
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
                                  .servers = d->servers,
                                  .schedule = d->schedule,
                                  .edge = d->edge,
                                  .draining = &d->draining,
                                  .warnings = &d->warned,
                                  .started = d->started,
                                  .reload = reload_config,
                                  .set = set_live,
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

/* Requests of all sizes leave holes in the heap, which would only grow. */
static void on_memory_timer(void *ctx)
{
    struct daemon *d = ctx;
    (void)os_return_memory(MEMORY_SPARE);
    loop_timer_start(d->memory_timer, MEMORY_EVERY);
}

void lifecycle_init(struct daemon *d)
{
    d->signals[0] = loop_signal_create(d->loop, SIGTERM, on_stop_signal, d);
    d->signals[1] = loop_signal_create(d->loop, SIGINT, on_stop_signal, d);
    d->signals[2] = loop_signal_create(d->loop, SIGHUP, on_reload_signal, d);
    d->signals[3] = loop_signal_create(d->loop, SIGUSR1, on_figures_signal, d);
    d->drain_timer = loop_timer_create(d->loop, on_drain_timeout, d);
    d->memory_timer = loop_timer_create(d->loop, on_memory_timer, d);
    loop_timer_start(d->memory_timer, MEMORY_EVERY);
    app_take_signals();
}

void lifecycle_finish(struct daemon *d)
{
    for (size_t i = 0; i < sizeof d->signals / sizeof d->signals[0]; i++) {
        if (d->signals[i] != NULL) {
            loop_signal_destroy(d->signals[i]);
        }
    }
    loop_timer_destroy(d->drain_timer);
    loop_timer_destroy(d->memory_timer);
}
