/* control.c: the control socket: the same HTTP server as the port, on a Unix socket, with a table
 * of routes.
 *
 * Who may connect is said by the permission bits of the socket. Texts of requests and answers are
 * shown to root and to the daemon's own uid only (SO_PEERCRED), since members of the socket's group
 * may look at figures without reading what other people write. A browser can be made to send
 * requests to sockets that are forwarded to TCP, so a foreign Origin is refused here as on the
 * port.
 */
#include "control/control_priv.h"

#include "lull/config/options.h"

#include "lull/base/os.h"
#include "lull/http/guard.h"

#include <cjson/cJSON.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    OUT_MAX = 64 * 1024 * 1024,
    CONNECTIONS_MAX = 64,
    EXPLAIN_MAX = 1024 * 1024,
    COMPARE_MAX = 16 * 1024,
};

void control_reply_json(struct http_conn *c, int status, struct span json)
{
    http_reply_full(c, status, SPAN("application/json"), SPAN_NONE, json);
}

void control_reply_tree(struct http_conn *c, int status, cJSON *tree)
{
    char *text = cJSON_PrintUnformatted(tree);
    require(text != NULL);
    control_reply_json(c, status, span_of(text));
    cJSON_free(text);
    cJSON_Delete(tree);
}

void control_reply_error(struct http_conn *c, int status, struct span text)
{
    struct buf out = {.max = 1024 * 1024};
    buf_text(&out, "{\"error\":\"");
    enum err e = buf_append_json(&out, text);
    buf_text(&out, "\"}");
    control_reply_json(c, status, e == ERR_OK ? buf_span(&out) : SPAN("{\"error\":\"failed\"}"));
    buf_free(&out);
}

static void get_stats(struct control *ctl, struct http_conn *c)
{
    struct buf out = {.max = OUT_MAX};
    control_stats_json(&ctl->hooks, loop_now(ctl->loop), &out);
    control_reply_json(c, 200, buf_span(&out));
    buf_free(&out);
}

static void get_metrics(struct control *ctl, struct http_conn *c)
{
    struct buf out = {.max = OUT_MAX};
    control_metrics(&ctl->hooks, loop_now(ctl->loop), &out);
    http_reply_full(c, 200, SPAN("text/plain; version=0.0.4; charset=utf-8"), SPAN_NONE,
                    buf_span(&out));
    buf_free(&out);
}

static void get_config(struct control *ctl, struct http_conn *c)
{
    struct buf out = {.max = OUT_MAX};
    config_print_json(ctl->hooks.config(ctl->hooks.ctx), "", &out);
    control_reply_json(c, 200, buf_span(&out));
    buf_free(&out);
}

static void get_healthz(struct control *ctl, struct http_conn *c)
{
    (void)ctl;
    control_reply_json(c, 200, SPAN("{\"alive\":true}"));
}

static void get_readyz(struct control *ctl, struct http_conn *c)
{
    struct control_cache_stats cache = {.state = ""};
    struct control_upstream ups[64];
    bool draining = ctl->hooks.draining(ctl->hooks.ctx);
    ctl->hooks.cache_stats(ctl->hooks.ctx, &cache);
    size_t count = ctl->hooks.upstreams(ctl->hooks.ctx, ups, sizeof ups / sizeof ups[0]);
    cJSON *tree = cJSON_CreateObject();
    cJSON_AddBoolToObject(tree, "ready", !draining);
    cJSON_AddStringToObject(tree, "cache", cache.state);
    cJSON *list = cJSON_AddObjectToObject(tree, "upstreams");
    for (size_t i = 0; i < count; i++) {
        cJSON_AddStringToObject(list, ups[i].name, ups[i].state);
    }
    control_reply_tree(c, draining ? 503 : 200, tree);
}

/* One name a line into two arrays: those that took effect, those that wait for a restart. */
static void sort_changes(struct span lines, cJSON *changed, cJSON *restart)
{
    for (size_t at = 0; at < lines.len;) {
        size_t end = span_find(lines, SPAN("\n"), at);
        end = end == SIZE_MAX ? lines.len : end;
        char *name = mem_strndup(lines.ptr + at, end - at);
        const struct option *o = option_of_name(name);
        cJSON *to = o != NULL && !o->reload ? restart : changed;
        cJSON_AddItemToArray(to, cJSON_CreateString(name));
        free(name);
        at = end + 1;
    }
}

static void post_reload(struct control *ctl, struct http_conn *c)
{
    struct buf text = {.max = 1024 * 1024};
    if (!ctl->hooks.reload(ctl->hooks.ctx, &text)) {
        control_reply_error(c, 409, span_trim(buf_span(&text)));
    } else {
        cJSON *tree = cJSON_CreateObject();
        cJSON *changed = cJSON_AddArrayToObject(tree, "changed");
        cJSON *restart = cJSON_AddArrayToObject(tree, "restart");
        sort_changes(buf_span(&text), changed, restart);
        control_reply_tree(c, 200, tree);
    }
    buf_free(&text);
}

static void post_drain(struct control *ctl, struct http_conn *c)
{
    control_reply_json(c, 200, SPAN("{\"draining\":true}"));
    ctl->hooks.drain(ctl->hooks.ctx);
}

static void get_flights(struct control *ctl, struct http_conn *c)
{
    control_flights(ctl, c, true);
}

/* The same without scopes. */
static void get_public_flights(struct control *ctl, struct http_conn *c)
{
    control_flights(ctl, c, false);
}

struct route {
    enum http_method method;
    const char *path;
    void (*serve)(struct control *ctl, struct http_conn *c);
};

static const struct route routes[] = {
    {HTTP_GET, "/", control_page},        {HTTP_GET, "/stats", get_stats},
    {HTTP_GET, "/metrics", get_metrics},  {HTTP_GET, "/history", control_history},
    {HTTP_GET, "/healthz", get_healthz},  {HTTP_GET, "/readyz", get_readyz},
    {HTTP_GET, "/entries", control_list}, {HTTP_GET, "/config", get_config},
    {HTTP_GET, "/flights", get_flights},  {HTTP_GET, "/events", control_events},
    {HTTP_POST, "/purge", control_purge}, {HTTP_POST, "/reload", post_reload},
    {HTTP_POST, "/drain", post_drain},
};

/* What metrics_listen serves: nothing of it changes anything, shows a text, a scope or an id. */
static const struct route public_routes[] = {
    {HTTP_GET, "/", control_page},
    {HTTP_GET, "/stats", get_stats},
    {HTTP_GET, "/metrics", get_metrics},
    {HTTP_GET, "/history", control_history},
    {HTTP_GET, "/healthz", get_healthz},
    {HTTP_GET, "/readyz", get_readyz},
    {HTTP_GET, "/flights", get_public_flights},
};

/* Whether the other end is root or the daemon's own user. */
static bool is_trusted(struct http_conn *c)
{
    uid_t uid = 0;
    return os_peer_uid(http_conn_fd(c), &uid) == ERR_OK && (uid == 0 || uid == geteuid());
}

/* Whether the other end may see what people wrote. */
static bool may_see_texts(struct control *ctl, struct http_conn *c)
{
    return !config_settings(ctl->hooks.config(ctl->hooks.ctx))->server.control_private ||
           is_trusted(c);
}

static bool serve_entry(struct control *ctl, struct http_conn *c, const struct http_request *r)
{
    struct span prefix = SPAN("/entries/");
    if (!span_starts(r->path, prefix)) {
        return false;
    }
    struct span id = span_make(r->path.ptr + prefix.len, r->path.len - prefix.len);
    if (r->method == HTTP_GET) {
        control_get(ctl, c, id, may_see_texts(ctl, c));
    } else if (r->method == HTTP_DELETE) {
        control_remove(ctl, c, id);
    } else {
        control_reply_error(c, 405, SPAN("GET or DELETE"));
    }
    return true;
}

enum found { FOUND_SERVED, FOUND_PATH, FOUND_NOTHING };

/* Serves the request if the table has it. FOUND_PATH: with another method only. */
static enum found serve_route(struct control *ctl, struct http_conn *c,
                              const struct http_request *r, const struct route *table, size_t count)
{
    enum found found = FOUND_NOTHING;
    for (size_t i = 0; i < count; i++) {
        if (!span_eq(r->path, span_of(table[i].path))) {
            continue;
        }
        if (table[i].method == r->method ||
            (table[i].method == HTTP_GET && r->method == HTTP_HEAD)) {
            table[i].serve(ctl, c);
            return FOUND_SERVED;
        }
        found = FOUND_PATH;
    }
    return found;
}

static void serve(struct control *ctl, struct http_conn *c, const struct http_request *r)
{
    enum found found = serve_route(ctl, c, r, routes, sizeof routes / sizeof routes[0]);
    if (found == FOUND_PATH ||
        (found == FOUND_NOTHING && (control_is_explain(r) || control_is_compare(r)))) {
        control_reply_error(c, 405, SPAN("this path has another method"));
    } else if (found == FOUND_NOTHING && !serve_entry(ctl, c, r)) {
        control_reply_error(c, 404, SPAN("there is nothing here; see lullctl(1)"));
    }
}

/* A request on metrics_listen. A page of another site must not read the figures by DNS rebinding,
 * so a loopback listener checks Host as the port does. */
static void on_public_request(struct http_conn *c, void *ctx)
{
    struct control *ctl = ctx;
    const struct http_request *r = http_conn_request(c);
    const struct server_settings *s = &config_settings(ctl->hooks.config(ctl->hooks.ctx))->server;
    http_conn_set_data(c, NULL);
    if (http_conn_is_loopback(c) && r->host.len > 0 && !guard_host(s, ctl->hostname, r->host)) {
        control_reply_error(c, 403, SPAN("this Host is not allowed; see [server] hosts"));
        return;
    }
    enum found found =
        serve_route(ctl, c, r, public_routes, sizeof public_routes / sizeof public_routes[0]);
    if (found != FOUND_SERVED) {
        control_reply_error(c, found == FOUND_PATH ? 405 : 404,
                            SPAN("metrics_listen serves /, /stats, /metrics, /history, /flights, "
                                 "/healthz and /readyz, by GET"));
    }
}

static void on_request(struct http_conn *c, void *ctx)
{
    struct control *ctl = ctx;
    const struct http_request *r = http_conn_request(c);
    const struct settings *s = config_settings(ctl->hooks.config(ctl->hooks.ctx));
    http_conn_set_data(c, NULL);
    if (!guard_origin(&s->server, http_header_get(r, SPAN("Origin")), r->host)) {
        control_reply_error(c, 403, SPAN("this Origin is not allowed"));
        return;
    }
    if (r->method == HTTP_POST && control_is_explain(r)) {
        http_body_hold(c, EXPLAIN_MAX);
        return;
    }
    if (r->method == HTTP_POST && control_is_compare(r)) {
        if (is_trusted(c)) {
            http_body_hold(c, COMPARE_MAX);
        } else {
            control_reply_error(
                c, 403, SPAN("only root and the daemon's own user may send stored requests"));
        }
        return;
    }
    serve(ctl, c, r);
}

static void on_body_end(struct http_conn *c, void *ctx)
{
    if (control_is_explain(http_conn_request(c))) {
        control_explain(ctx, c);
    } else if (control_is_compare(http_conn_request(c))) {
        control_compare(ctx, c);
    }
}

static void on_body_too_large(struct http_conn *c, void *ctx)
{
    (void)ctx;
    control_reply_error(c, 413, SPAN("the request is too large"));
}

static void on_gone(struct http_conn *c, void *ctx)
{
    control_compare_gone(ctx, c);
    control_events_gone(ctx, c);
    control_forget(c);
}

static void on_writable(struct http_conn *c, void *ctx)
{
    control_compare_writable(ctx, c);
    control_events_writable(ctx, c);
}

static void on_piece(struct http_conn *c, struct span piece, void *ctx)
{
    (void)c;
    (void)piece;
    (void)ctx;
}

static const struct http_handler handler = {
    .on_request = on_request,
    .on_body_end = on_body_end,
    .on_body_too_large = on_body_too_large,
    .on_body = on_piece,
    .on_gone = on_gone,
    .on_writable = on_writable,
};

static void on_public_gone(struct http_conn *c, void *ctx)
{
    (void)c;
    (void)ctx;
}

static void on_public_end(struct http_conn *c, void *ctx)
{
    (void)c;
    (void)ctx;
}

static const struct http_handler public_handler = {
    .on_request = on_public_request,
    .on_body_end = on_public_end,
    .on_body_too_large = on_body_too_large,
    .on_body = on_piece,
    .on_gone = on_public_gone,
    .on_writable = on_public_gone,
};

/* The folder is made where it is missing; only for its owner unless others are to get in. */
static enum err make_folder(const struct server_settings *s, char *why, size_t why_size)
{
    const char *slash = strrchr(s->control, '/');
    if (s->control[0] != '/' || slash == s->control) {
        return ERR_OK; /* relative, or in "/": it is there */
    }
    char *folder = mem_strndup(s->control, (size_t)(slash - s->control));
    bool private_folder = strncmp(folder, "/tmp/", 5) == 0;
    enum err e =
        access(folder, F_OK) == 0 ? ERR_OK : os_mkdirs(folder, private_folder ? 0700 : 0755);
    if (e != ERR_OK) {
        snprintf(why, why_size,
                 "the folder of the control socket, %s, cannot be made (%s); set "
                 "[server] control or make it",
                 folder, err_name(e));
    }
    free(folder);
    return e;
}

static enum err set_group(const struct server_settings *s, char *why, size_t why_size)
{
    if (s->control_group[0] == '\0') {
        return ERR_OK;
    }
    const struct group *g = getgrnam(s->control_group);
    if (g == NULL || chown(s->control, (uid_t)-1, g->gr_gid) != 0) {
        snprintf(why, why_size, "the control socket cannot be given to the group %s",
                 s->control_group);
        return ERR_PERM;
    }
    return ERR_OK;
}

enum err control_create(struct loop *loop, const struct settings *settings,
                        const struct control_hooks *hooks, struct control **out, char *why,
                        size_t why_size)
{
    const struct server_settings *s = &settings->server;
    struct http_limits limits = {.header_timeout = 10 * USEC_PER_S,
                                 .body_timeout = 10 * USEC_PER_S,
                                 .idle_timeout = 75 * USEC_PER_S,
                                 .max_connections = CONNECTIONS_MAX,
                                 .max_buffered = 4 * EXPLAIN_MAX,
                                 .max_body = 4 * EXPLAIN_MAX};
    struct control *ctl = mem_new(sizeof *ctl);
    char address[512];
    ctl->loop = loop;
    ctl->hooks = *hooks;
    list_init(&ctl->pending);
    list_init(&ctl->tails);
    ctl->server = http_server_create(loop, &limits, &handler, ctl);
    ctl->public_server = http_server_create(loop, &limits, &public_handler, ctl);
    ctl->history = history_create(loop, &ctl->hooks);
    if (gethostname(ctl->hostname, sizeof ctl->hostname - 1) != 0) {
        ctl->hostname[0] = '\0';
    }
    snprintf(address, sizeof address, "unix:%s", s->control);
    enum err e = make_folder(s, why, why_size);
    if (e == ERR_OK) {
        e = http_server_listen(ctl->server, address, (mode_t)s->control_mode, why, why_size);
    }
    if (e == ERR_OK) {
        e = set_group(s, why, why_size);
    }
    for (size_t i = 0; i < s->metrics_listen.count && e == ERR_OK; i++) {
        e = http_server_listen(ctl->public_server, s->metrics_listen.items[i], 0666, why, why_size);
    }
    if (e != ERR_OK) {
        control_destroy(ctl);
        return e;
    }
    *out = ctl;
    return ERR_OK;
}

void control_destroy(struct control *c)
{
    if (c == NULL) {
        return;
    }
    control_compare_gone(c, NULL);
    control_forget_all(c);
    control_events_gone_all(c);
    http_server_destroy(c->server);
    http_server_destroy(c->public_server);
    history_destroy(c->history);
    free(c);
}
