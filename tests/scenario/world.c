/* world.c: see world.h. */
#include "scenario/world.h"
#include "scenario/check_figures.h"
#include "scenario/world_priv.h"

#include "support/fake_loop.h"

#include "lull/config/config.h"
#include "lull/control/control.h"
#include "lull/path/compare/compare.h"
#include "lull/path/edge/edge.h"
#include "lull/path/exchange/exchange.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAX_CLIENTS = 1024, MAX_SETS = 128 };

struct client {
    struct world *world;
    int fd;
    struct buf in;
    bool closed;
};

struct world {
    char dir[64], socket[128];
    char *default_set, *listen_set, *data_set, *control_set;
    struct config *config;
    struct strings sets,
        live; /* of the last world_begin or world_reload; over the control socket */
    struct buf warned;
    struct loop *loop;
    struct figures *figures;
    struct cache *cache;
    struct upstream_pool *pool;
    struct model_script script;
    struct servers *servers;
    struct schedule *schedule;
    struct engine *engine;
    struct budget memory;
    struct compare *compare;
    struct edge *edge;
    struct control *control;
    bool has_control, draining, drained;
    struct client *clients[MAX_CLIENTS];
    size_t client_count;
};

/* ---- the daemon ---- */

/* NULL: errors says why. */
static struct config *read_config(struct world *w, struct buf *errors)
{
    char *items[MAX_SETS];
    char *const own[] = {w->default_set, w->listen_set, w->data_set, w->control_set};
    size_t n = sizeof own / sizeof own[0];
    memcpy(items, own, sizeof own);
    for (size_t i = 0; i < w->sets.count; i++) {
        items[n++] = w->sets.items[i];
    }
    struct config_sources sources = {.sets = {items, n}, .live = w->live};
    buf_clear(&w->warned);
    return config_read(&sources, errors, &w->warned);
}

static void keep_sets(struct world *w, const char *const *sets)
{
    char *items[MAX_SETS];
    size_t n = 0;
    for (; sets != NULL && sets[n] != NULL; n++) {
        require(n + 4 < MAX_SETS);
        items[n] = (char *)(uintptr_t)sets[n];
    }
    const struct strings given = {items, n};
    strings_free(&w->sets);
    w->sets = strings_copy(&given);
}

static struct config *read_good_config(struct world *w)
{
    struct buf errors = {.max = 65536};
    struct config *config = read_config(w, &errors);
    if (config == NULL) {
        fprintf(stderr, "%.*s", (int)errors.len, errors.data);
    }
    require(config != NULL);
    buf_free(&errors);
    return config;
}

/* As sidecar/app/lifecycle.c swaps it in. */
static void use_config(struct world *w, struct config *fresh)
{
    char why[256] = "";
    require(edge_apply(w->edge, config_settings(fresh), why, sizeof why) == ERR_OK);
    cache_configure(w->cache, &config_settings(fresh)->cache);
    engine_configure(w->engine, config_settings(fresh));
    config_destroy(w->config);
    w->config = fresh;
}

/* ---- what the control socket asks for ---- */

static bool try_config(struct world *w, struct buf *text)
{
    struct config *fresh = read_config(w, text);
    struct buf applied = {.max = 4096}, fixed = {.max = 4096};
    if (fresh == NULL) {
        return false;
    }
    if (w->draining) {
        config_destroy(fresh);
        return false;
    }
    config_diff(w->config, fresh, text, &applied, &fixed);
    if (fixed.len > 0) {
        config_destroy(fresh);
    } else {
        use_config(w, fresh);
    }
    bool done = fixed.len == 0;
    buf_free(&applied);
    buf_free(&fixed);
    return done;
}

static bool on_reload(void *ctx, struct buf *text)
{
    struct world *w = ctx;
    struct strings live = w->live;
    w->live = (struct strings){0};
    bool done = try_config(w, text);
    if (done) {
        strings_free(&live);
    } else {
        w->live = live;
    }
    return done;
}

static bool on_set(void *ctx, const struct strings *lines, struct buf *text)
{
    struct world *w = ctx;
    struct strings old = w->live;
    w->live = (struct strings){mem_new((old.count + lines->count + 1) * sizeof(char *)), 0};
    for (size_t i = 0; i < old.count + lines->count; i++) {
        char *line = i < old.count ? old.items[i] : lines->items[i - old.count];
        w->live.items[w->live.count++] = mem_strdup(line);
    }
    bool done = w->live.count < MAX_SETS && try_config(w, text);
    if (done) {
        strings_free(&old);
    } else {
        strings_free(&w->live);
        w->live = old;
    }
    return done;
}

static void on_drained(void *ctx)
{
    struct world *w = ctx;
    w->drained = true;
}

static void on_drain(void *ctx)
{
    struct world *w = ctx;
    if (!w->draining) {
        w->draining = true;
        compare_break(w->compare, "the daemon is stopping");
        http_server_drain(edge_server(w->edge), on_drained, w);
    }
}

static void control_up(struct world *w)
{
    struct control_parts parts = {.loop = w->loop,
                                  .config = &w->config,
                                  .figures = w->figures,
                                  .cache = w->cache,
                                  .engine = w->engine,
                                  .compare = w->compare,
                                  .servers = w->servers,
                                  .schedule = w->schedule,
                                  .edge = w->edge,
                                  .draining = &w->draining,
                                  .warnings = &w->warned,
                                  .started = loop_now(w->loop),
                                  .reload = on_reload,
                                  .set = on_set,
                                  .drain = on_drain,
                                  .ctx = w};
    char why[256] = "";
    require(control_create(&parts, &w->control, why, sizeof why) == ERR_OK);
}

void world_control(struct world *w)
{
    if (!w->has_control) {
        w->has_control = true;
        control_up(w);
    }
}

const char *world_control_path(const struct world *w)
{
    return config_settings(w->config)->server.control;
}

struct control *world_control_of(const struct world *w)
{
    return w->control;
}

bool world_draining(const struct world *w)
{
    return w->draining;
}

static void daemon_up(struct world *w)
{
    struct settings *s = config_settings(w->config);
    struct cache_options cache = {.dir = s->server.data_dir, .settings = s->cache};
    char why[256] = "";
    w->figures = figures_create();
    w->cache = cache_create(w->loop, &cache);
    w->pool = upstream_pool_create(w->loop);
    w->pool->script = w->script;
    w->pool->port = w->socket;
    w->servers = servers_create(w->loop, w->pool, w->figures);
    w->schedule = schedule_create(w->servers);
    struct engine_parts parts = {w->loop,     w->cache,   w->pool,   w->servers,
                                 w->schedule, w->figures, &w->memory};
    w->engine = engine_create(&parts, s);
    w->compare = compare_create(w->loop, w->cache, w->servers, w->engine);
    w->edge = edge_create(w->loop, s, &w->memory, &engine_handler, w->engine);
    require(edge_open(w->edge, s, why, sizeof why) == ERR_OK);
    if (w->has_control) {
        control_up(w);
    }
    world_pass(w, 0);
}

static void daemon_down(struct world *w)
{
    (void)http_server_cut(edge_server(w->edge)); /* as where drain_timeout is over */
    world_pass(w, 0);
    control_destroy(w->control);
    w->control = NULL;
    edge_destroy(w->edge);
    compare_destroy(w->compare);
    engine_destroy(w->engine);
    schedule_destroy(w->schedule);
    servers_destroy(w->servers);
    upstream_pool_destroy(w->pool);
    cache_destroy(w->cache);
    figures_destroy(w->figures);
}

struct world *world_begin(const char *const *sets)
{
    struct world *w = mem_new(sizeof *w);
    char text[256];
    const char *base = getenv("TMPDIR");
    int n = snprintf(w->dir, sizeof w->dir, "%s/lull-world-XXXXXX", base != NULL ? base : "/tmp");
    require(n < (int)sizeof w->dir);
    require(mkdtemp(w->dir) != NULL);
    snprintf(w->socket, sizeof w->socket, "%s/port.sock", w->dir);
    w->default_set = mem_strdup("upstream.default.url=http://127.0.0.1:1");
    snprintf(text, sizeof text, "server.listen=unix:%s", w->socket);
    w->listen_set = mem_strdup(text);
    snprintf(text, sizeof text, "server.data_dir=%s/data", w->dir);
    w->data_set = mem_strdup(text);
    snprintf(text, sizeof text, "server.control=%s/control.sock", w->dir);
    w->control_set = mem_strdup(text);
    w->warned = (struct buf){.max = 65536};
    keep_sets(w, sets);
    w->config = read_good_config(w);
    w->loop = loop_create();
    daemon_up(w);
    return w;
}

void world_reload(struct world *w, const char *const *sets)
{
    keep_sets(w, sets);
    use_config(w, read_good_config(w));
}

static void forget_clients(struct world *w)
{
    for (size_t i = 0; i < w->client_count; i++) {
        struct client *c = w->clients[i];
        if (c->fd >= 0) {
            close(c->fd);
        }
        buf_free(&c->in);
        free(c);
    }
    w->client_count = 0;
}

static void check_counts(const struct world *w)
{
    check_figures(w->figures);
    if (!w->has_control) {
        check_users(w->figures);
    }
}

void world_restart(struct world *w)
{
    check_counts(w);
    forget_clients(w);
    world_pass(w, 0);
    daemon_down(w);
    w->draining = w->drained = false;
    daemon_up(w);
}

void world_end(struct world *w)
{
    char command[128];
    world_pass(w, 0);
    check_counts(w);
    forget_clients(w);
    world_pass(w, 0);
    check_counts(w);
    for (size_t i = 0; i < w->figures->upstream_count; i++) {
        require(w->figures->upstreams[i]->running == 0); /* no client waits, so no call runs */
    }
    daemon_down(w);
    config_destroy(w->config);
    loop_destroy(w->loop);
    free(w->default_set);
    free(w->listen_set);
    free(w->data_set);
    free(w->control_set);
    strings_free(&w->sets);
    strings_free(&w->live);
    buf_free(&w->warned);
    snprintf(command, sizeof command, "rm -rf '%s'", w->dir);
    require(system(command) == 0);
    free(w);
}

void world_pass(struct world *w, usec_t us)
{
    fake_loop_settle(w->loop);
    if (us > 0) {
        fake_loop_advance(w->loop, us);
    }
}

enum { LOOKS_MOST = 1000 }; /* then it does not come */

static void on_look(void *ctx)
{
    struct turn_look *look = ctx;
    uint64_t now = look->count(look->world);
    look->most = now - look->seen > look->most ? now - look->seen : look->most;
    look->seen = now;
    if (now < look->all && look->looks++ < LOOKS_MOST) {
        loop_later(look->world->loop, &look->work);
    }
}

void world_look(struct turn_look *look)
{
    look->work = (struct loop_deferred){.fn = on_look, .ctx = look};
    loop_later(look->world->loop, &look->work);
}

struct cache *world_cache(struct world *w)
{
    return w->cache;
}

static void add_hits(void *ctx, const struct cache_info *info)
{
    uint64_t *hits = ctx;
    *hits += info->hits;
}

uint64_t world_entry_hits(struct world *w)
{
    struct cache_filter all = {.older = {0}};
    uint64_t hits = 0;
    int64_t next = 0;
    cache_list(world_cache(w), &all, 50, 4096, 0, add_hits, &hits, &next);
    require(next == 0);
    return hits;
}

void world_script(struct world *w, const struct model_script *script)
{
    w->script = script == NULL ? (struct model_script){0} : *script;
    w->pool->script = w->script;
}

void world_props(struct world *w, int slots)
{
    w->pool->slots = slots;
}

void world_probes(struct world *w, enum world_probes how)
{
    w->pool->probes = how;
}

struct upstream_pool *world_pool(struct world *w)
{
    return w->pool;
}

struct servers *world_servers(struct world *w)
{
    return w->servers;
}

struct server *world_server(struct world *w, const char *upstream)
{
    const struct settings *s = config_settings(w->config);
    int at = settings_find_upstream(s, span_of(upstream));
    require(at >= 0);
    return server_of(w->servers, &s->upstreams[at]);
}

const char *world_server_state(struct world *w, const char *upstream)
{
    return server_state_name(server_state(world_server(w, upstream), loop_now(w->loop)));
}

size_t world_probe_count(const struct world *w)
{
    return w->pool->probe_count;
}

struct loop *world_loop(struct world *w)
{
    return w->loop;
}

struct schedule *world_schedule(struct world *w)
{
    return w->schedule;
}

const char *world_port(const struct world *w)
{
    return w->socket;
}

struct engine *world_engine(struct world *w)
{
    return w->engine;
}

struct compare *world_compare(struct world *w)
{
    return w->compare;
}

struct settings *world_settings(struct world *w)
{
    return config_settings(w->config);
}

const struct figures *world_figures(struct world *w)
{
    return w->figures;
}

const struct task_figures *world_task(struct world *w, const char *kind)
{
    return figures_task(w->figures, kind);
}

/* ---- clients ---- */

struct client *client_open(struct world *w)
{
    return client_open_at(w, w->socket);
}

struct client *client_open_at(struct world *w, const char *path)
{
    struct client *c = mem_new(sizeof *c);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    c->world = w;
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    size_t len = strlen(path);
    require(len < sizeof address.sun_path);
    memcpy(address.sun_path, path, len);
    require(c->fd >= 0);
    require(connect(c->fd, (struct sockaddr *)&address, sizeof address) == 0);
    buf_init(&c->in, 64 * 1024 * 1024);
    require(w->client_count < MAX_CLIENTS);
    w->clients[w->client_count++] = c;
    fake_loop_settle(w->loop);
    return c;
}

void client_send(struct client *c, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(c->fd, bytes, len);
        if (n < 0) {
            require(errno == EAGAIN);
            fake_loop_settle(c->world->loop);
            continue;
        }
        bytes += n;
        len -= (size_t)n;
    }
    fake_loop_settle(c->world->loop);
}

void client_try_send(struct client *c, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(c->fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN) {
            break;
        }
        bytes += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
        fake_loop_settle(c->world->loop);
    }
    fake_loop_settle(c->world->loop);
}

size_t client_offer(struct client *c, const char *bytes, size_t len)
{
    size_t taken = 0;
    bool again = true;
    while (taken < len && again) {
        ssize_t n = send(c->fd, bytes + taken, len - taken, MSG_NOSIGNAL);
        again = n > 0;
        taken += n > 0 ? (size_t)n : 0;
        fake_loop_settle(c->world->loop);
    }
    return taken;
}

void client_unread(struct client *c, struct span bytes)
{
    struct buf all = {.max = c->in.max};
    require(buf_append_span(&all, bytes) == ERR_OK);
    require(buf_append_span(&all, buf_span(&c->in)) == ERR_OK);
    buf_free(&c->in);
    buf_move(&c->in, &all);
}

void client_post(struct client *c, const char *path, const char *headers, const char *body)
{
    struct buf out = {.max = 16 * 1024 * 1024};
    require(buf_printf(&out,
                       "POST %s HTTP/1.1\r\nHost: lull\r\nContent-Type: application/json\r\n"
                       "%sContent-Length: %zu\r\n\r\n",
                       path, headers, strlen(body)) == ERR_OK);
    require(buf_append_span(&out, span_of(body)) == ERR_OK);
    client_send(c, out.data, out.len);
    buf_free(&out);
}

size_t client_take(struct client *c)
{
    char piece[65536];
    ssize_t n = c->closed || c->fd < 0 ? 0 : read(c->fd, piece, sizeof piece);
    if (n > 0) {
        require(buf_append(&c->in, piece, (size_t)n) == ERR_OK);
        fake_loop_settle(c->world->loop);
    } else {
        c->closed = c->closed || n == 0 || errno != EAGAIN;
    }
    return n > 0 ? (size_t)n : 0;
}

static void read_all(struct client *c)
{
    fake_loop_settle(c->world->loop);
    while (client_take(c) > 0) {
    }
}

const char *client_reply(struct client *c)
{
    read_all(c);
    require(buf_append_char(&c->in, '\0') == ERR_OK);
    c->in.len--;
    return c->in.data;
}

bool client_answered(struct client *c)
{
    const char *reply = client_reply(c);
    const char *end = strstr(reply, "\r\n\r\n");
    const char *length = strstr(reply, "Content-Length: ");
    if (end == NULL) {
        return false;
    }
    size_t body = c->in.len - (size_t)(end + 4 - reply);
    return length == NULL || length > end || body >= strtoul(length + 16, NULL, 10);
}

bool client_closed(struct client *c)
{
    read_all(c);
    return c->closed;
}

void client_clear(struct client *c)
{
    read_all(c);
    buf_clear(&c->in);
}

void client_close(struct client *c)
{
    close(c->fd);
    c->fd = -1;
    fake_loop_settle(c->world->loop);
}

size_t model_calls(struct world *w)
{
    return w->pool->count;
}

struct upstream_call *model_call(struct world *w, size_t i)
{
    require(i < w->pool->count);
    return w->pool->calls[i];
}
