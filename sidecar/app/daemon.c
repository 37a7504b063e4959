/* daemon.c: the order in which the parts of the daemon are made, and destroyed in reverse.
 *
 * The control socket comes before the port, since a live one belongs to another daemon and ends
 * this one; readiness is reported last. daemon_finish destroys
 * in reverse what has been made, however far starting got: every destroy accepts NULL.
 */
#include "app/app_priv.h"

#include "lull/base/log.h"
#include "lull/base/os.h"

#include <stdio.h>

static enum err daemon_init(struct daemon *d, char *why, size_t why_size)
{
    struct settings *s = config_settings(d->config);
    struct cache_options cache = {
        .dir = s->server.data_dir, .settings = s->cache, .crash_mark = true};
    os_return_large_blocks();
    d->loop = loop_create();
    d->started = loop_now(d->loop);
    d->figures = figures_create();
    lifecycle_init(d);
    d->cache = cache_create(d->loop, &cache);
    d->pool = upstream_pool_create(d->loop);
    d->servers = servers_create(d->loop, d->pool, d->figures);
    d->schedule = schedule_create(d->servers);
    struct engine_parts parts = {d->loop,     d->cache,   d->pool,   d->servers,
                                 d->schedule, d->figures, &d->memory};
    d->engine = engine_create(&parts, s);
    d->compare = compare_create(d->loop, d->cache, d->servers, d->engine);
    access_log_setup(d);
    d->edge = edge_create(d->loop, s, &d->memory, &engine_handler, d->engine);
    struct control_parts control = lifecycle_parts(d);
    enum err e = control_create(&control, &d->control, why, why_size);
    if (e == ERR_OK) {
        e = edge_open(d->edge, s, why, why_size);
    }
    return e;
}

static void daemon_finish(struct daemon *d)
{
    control_destroy(d->control);
    edge_destroy(d->edge);
    compare_destroy(d->compare);
    engine_destroy(d->engine);
    schedule_destroy(d->schedule);
    servers_destroy(d->servers);
    upstream_pool_destroy(d->pool);
    cache_destroy(d->cache);
    lifecycle_finish(d);
    figures_destroy(d->figures);
    loop_destroy(d->loop);
    config_destroy(d->config);
    buf_free(&d->warned);
    strings_free(&d->live);
}

static void say_ready(const struct daemon *d)
{
    const struct settings *s = config_settings(d->config);
    const char *address = NULL;
    for (size_t i = 0; (address = http_server_address(edge_server(d->edge), i)) != NULL; i++) {
        log_info("app", "listening on %s", address);
    }
    log_info("app", "lulld " LULL_VERSION ": upstream %s at %s, control socket %s, cache %s",
             s->upstreams[s->default_upstream].name, s->upstreams[s->default_upstream].url,
             s->server.control, cache_state(d->cache));
    (void)os_notify("READY=1", true);
}

int daemon_run(struct config_sources *sources)
{
    struct daemon d = {.sources = sources};
    struct buf errors = {.max = 1024 * 1024};
    char why[512] = "";
    app_harden();
    log_open_again();
    sources->most_connections = app_most_connections();
    struct reading first = lifecycle_read(&d, NULL, &errors);
    d.config = first.config;
    d.warned = first.warnings;
    if (d.config == NULL) {
        fprintf(stderr, "%.*s", (int)errors.len, errors.data);
        buf_free(&errors);
        return EXIT_USAGE;
    }
    buf_free(&errors);
    if (daemon_init(&d, why, sizeof why) != ERR_OK) {
        log_error("app", "cannot start: %s", why);
        daemon_finish(&d);
        return EXIT_FAILED;
    }
    say_ready(&d);
    loop_run(d.loop);
    bool asked = d.draining; /* else the loop failed, and said so */
    log_info("app", "stopped");
    daemon_finish(&d);
    return asked ? EXIT_STOPPED : EXIT_FAILED;
}
