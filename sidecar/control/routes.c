/* routes.c: which requests the control socket and metrics_listen serve, and who may send them.
 *
 * The permission bits of the socket say who may connect. Texts of requests and answers are shown to
 * root and to the daemon's own uid only (SO_PEERCRED): members of the socket's group may read
 * figures without reading what users write. A browser can be made to send requests to sockets that
 * are forwarded to TCP, so a foreign Origin is refused here as on the port, and so is a Host that a
 * public resolver may know: its page would be of the same origin (DNS rebinding).
 */
#include "control/control_priv.h"

#include "lull/base/host.h"
#include "lull/base/os.h"
#include "lull/config/options.h"
#include "lull/http/guard.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    OUT_MAX = 64 * 1024 * 1024,
    EXPLAIN_MAX = CONTROL_BODY_MAX,
    SET_MAX = 64 * 1024,
    COMPARE_MAX = 16 * 1024,
};

/* Whether the other end is root or the daemon's own user. */
static bool is_trusted(struct http_conn *c)
{
    uid_t uid = 0;
    return os_peer_uid(http_conn_fd(c), &uid) == ERR_OK && (uid == 0 || uid == geteuid());
}

/* ---- what is too small for a file of its own ---- */

static void get_stats(struct control *ctl, struct http_conn *c)
{
    struct buf out = {.max = OUT_MAX};
    control_stats_json(&ctl->parts, &out);
    control_reply_buf(c, SPAN("application/json"), &out, OUT_MAX);
    buf_free(&out);
}

static void get_metrics(struct control *ctl, struct http_conn *c)
{
    struct buf out = {.max = OUT_MAX};
    control_metrics(&ctl->parts, &out);
    control_reply_buf(c, SPAN("text/plain; version=0.0.4; charset=utf-8"), &out, OUT_MAX);
    buf_free(&out);
}

static void get_history(struct control *ctl, struct http_conn *c)
{
    cJSON *tree = history_tree(ctl->history);
    cJSON_AddItemToObject(tree, "days", report_history(ctl->ledger));
    control_reply_tree(c, 200, tree);
}

static void get_config(struct control *ctl, struct http_conn *c)
{
    struct buf out = {.max = OUT_MAX};
    config_print_json(*ctl->parts.config, "", &out);
    control_reply_buf(c, SPAN("application/json"), &out, OUT_MAX);
    buf_free(&out);
}

static void get_healthz(struct control *ctl, struct http_conn *c)
{
    (void)ctl;
    control_reply_json(c, 200, SPAN("{\"alive\":true}"));
}

static void get_readyz(struct control *ctl, struct http_conn *c)
{
    const struct settings *s = control_settings(&ctl->parts);
    bool draining = *ctl->parts.draining;
    cJSON *tree = cJSON_CreateObject();
    cJSON_AddBoolToObject(tree, "ready", !draining);
    if (draining) {
        cJSON_AddStringToObject(tree, "error", "the daemon is stopping");
    }
    cJSON_AddStringToObject(tree, "cache", cache_state(ctl->parts.cache));
    cJSON *list = cJSON_AddObjectToObject(tree, "upstreams");
    for (size_t i = 0; i < s->upstream_count; i++) {
        const char *name = s->upstreams[i].name;
        cJSON_AddStringToObject(list, name, control_server_state(&ctl->parts, &s->upstreams[i]));
    }
    control_reply_tree(c, draining ? 503 : 200, tree);
}

/* One name a line into two arrays: those that took effect, those that wait for a restart. */
static void sort_changes(struct span lines, cJSON *changed, cJSON *restart)
{
    for (struct span line; span_next(&lines, '\n', &line);) {
        char *name = mem_strndup(line.ptr, line.len);
        const struct option *o = option_of_name(name);
        cJSON *to = o != NULL && !o->reload ? restart : changed;
        cJSON_AddItemToArray(to, cJSON_CreateString(name));
        free(name);
    }
}

static void post_reload(struct control *ctl, struct http_conn *c)
{
    struct buf text = {.max = 1024 * 1024};
    if (!ctl->parts.reload(ctl->parts.ctx, &text)) {
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
    ctl->parts.drain(ctl->parts.ctx);
}

static void get_flights(struct control *ctl, struct http_conn *c)
{
    control_flights(ctl, c, true);
}

static void get_public_flights(struct control *ctl, struct http_conn *c)
{
    control_flights(ctl, c, false);
}

static struct span entry_id(struct http_conn *c)
{
    struct span path = http_conn_request(c)->path;
    size_t skip = sizeof "/entries/" - 1;
    return span_make(path.ptr + skip, path.len - skip);
}

/* Whether the other end may see the texts of requests and answers. */
static bool may_see_texts(struct control *ctl, struct http_conn *c)
{
    return !control_settings(&ctl->parts)->server.control_private || is_trusted(c);
}

static void get_entry(struct control *ctl, struct http_conn *c)
{
    control_entries_get(ctl, c, entry_id(c), may_see_texts(ctl, c));
}

static void get_doctor(struct control *ctl, struct http_conn *c)
{
    control_doctor(ctl, c, may_see_texts(ctl, c));
}

static void post_explain(struct control *ctl, struct http_conn *c)
{
    control_explain(ctl, c, may_see_texts(ctl, c));
}

static void delete_entry(struct control *ctl, struct http_conn *c)
{
    control_entries_remove(ctl, c, entry_id(c));
}

/* ---- routes ---- */

struct route {
    enum http_method method;
    const char *path; /* with a '/' at its end, but for "/": every path below it */
    void (*serve)(struct control *ctl, struct http_conn *c);
    size_t body_max;  /* 0: no body; else it is held before serve is called */
    const char *deny; /* what other users than root and the daemon's own are answered; NULL: any */
};

/* A user who may set a url or control_private can read what people write. */
static const char DENY_SET[] = "only root and the daemon's own user may change values";
static const char DENY_COMPARE[] = "only root and the daemon's own user may send stored requests";

static const struct route routes[] = {
    {.method = HTTP_GET, .path = "/", .serve = control_page},
    {.method = HTTP_GET, .path = "/stats", .serve = get_stats},
    {.method = HTTP_GET, .path = "/metrics", .serve = get_metrics},
    {.method = HTTP_GET, .path = "/history", .serve = get_history},
    {.method = HTTP_GET, .path = "/report", .serve = control_report},
    {.method = HTTP_GET, .path = "/healthz", .serve = get_healthz},
    {.method = HTTP_GET, .path = "/readyz", .serve = get_readyz},
    {.method = HTTP_GET, .path = "/config", .serve = get_config},
    {.method = HTTP_POST,
     .path = "/config",
     .serve = control_set,
     .body_max = SET_MAX,
     .deny = DENY_SET},
    {.method = HTTP_POST, .path = "/pause", .serve = control_pause},
    {.method = HTTP_POST, .path = "/resume", .serve = control_resume},
    {.method = HTTP_GET, .path = "/flights", .serve = get_flights},
    {.method = HTTP_GET, .path = "/events", .serve = control_events},
    {.method = HTTP_GET, .path = "/doctor", .serve = get_doctor},
    {.method = HTTP_GET, .path = "/entries", .serve = control_entries_list},
    {.method = HTTP_GET, .path = "/entries/", .serve = get_entry},
    {.method = HTTP_DELETE, .path = "/entries/", .serve = delete_entry},
    {.method = HTTP_POST, .path = "/purge", .serve = control_entries_purge},
    {.method = HTTP_POST, .path = "/reload", .serve = post_reload},
    {.method = HTTP_POST, .path = "/drain", .serve = post_drain},
    {.method = HTTP_POST, .path = "/explain", .serve = post_explain, .body_max = EXPLAIN_MAX},
    {.method = HTTP_POST, .path = "/explain/", .serve = post_explain, .body_max = EXPLAIN_MAX},
    {.method = HTTP_POST,
     .path = "/compare",
     .serve = control_compare,
     .body_max = COMPARE_MAX,
     .deny = DENY_COMPARE},
};

/* What metrics_listen serves: nothing of it changes anything, shows a text, a scope or an id. */
static const struct route public_routes[] = {
    {.method = HTTP_GET, .path = "/", .serve = control_page},
    {.method = HTTP_GET, .path = "/stats", .serve = get_stats},
    {.method = HTTP_GET, .path = "/metrics", .serve = get_metrics},
    {.method = HTTP_GET, .path = "/history", .serve = get_history},
    {.method = HTTP_GET, .path = "/healthz", .serve = get_healthz},
    {.method = HTTP_GET, .path = "/readyz", .serve = get_readyz},
    {.method = HTTP_GET, .path = "/flights", .serve = get_public_flights},
};

static bool is_path_of(const struct route *route, struct span path)
{
    struct span own = span_of(route->path);
    bool below = own.len > 1 && own.ptr[own.len - 1] == '/';
    return below ? span_starts(path, own) : span_eq(path, own);
}

/* NULL: there is none. *methods: those that the path has, a bit for each. */
static const struct route *route_find(const struct route *table, size_t count,
                                      const struct http_request *r, unsigned *methods)
{
    *methods = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_path_of(&table[i], r->path)) {
            continue;
        }
        *methods |= 1U << table[i].method;
        if (table[i].method == r->method ||
            (table[i].method == HTTP_GET && r->method == HTTP_HEAD)) {
            return &table[i];
        }
    }
    return NULL;
}

static const struct route *private_route(const struct http_request *r, unsigned *methods)
{
    return route_find(routes, sizeof routes / sizeof routes[0], r, methods);
}

/* lullctl and curl send any name ("lull"); no site has one without a dot. */
static bool host_is_allowed(const struct control *ctl, const struct http_request *r)
{
    struct span name = host_part(r->host);
    return span_find(name, SPAN("."), 0) == SIZE_MAX ||
           guard_host(&control_settings(&ctl->parts)->server, ctl->hostname, r->host);
}

static const char DENY_HOST[] = "this Host is not allowed; see [server] hosts";

static void on_request(struct http_conn *c, void *ctx)
{
    struct control *ctl = ctx;
    const struct http_request *r = http_conn_request(c);
    const struct server_settings *s = &control_settings(&ctl->parts)->server;
    unsigned methods = 0;
    http_conn_set_data(c, NULL);
    control_json_begin();
    if (!guard_origin(s, http_header_get(r, SPAN("Origin")), r->host)) {
        control_reply_error(c, 403, SPAN("this Origin is not allowed"));
        return;
    }
    if (!host_is_allowed(ctl, r)) {
        control_reply_error(c, 403, span_of(DENY_HOST));
        return;
    }
    const struct route *route = private_route(r, &methods);
    if (route == NULL) {
        control_reply_no_route(c, methods, "there is nothing here; see lullctl(1)");
    } else if (route->deny != NULL && !is_trusted(c)) {
        control_reply_error(c, 403, span_of(route->deny));
    } else if (route->body_max > 0) {
        http_body_hold(c, route->body_max);
    } else {
        route->serve(ctl, c);
    }
}

static void on_body_end(struct http_conn *c, void *ctx)
{
    unsigned methods = 0;
    const struct route *route = private_route(http_conn_request(c), &methods);
    require(route != NULL);
    control_json_begin();
    route->serve(ctx, c);
}

/* A request on metrics_listen. A page of another site must not read the figures by DNS rebinding,
 * so a loopback listener checks Host as the port does. */
static void on_public_request(struct http_conn *c, void *ctx)
{
    struct control *ctl = ctx;
    const struct http_request *r = http_conn_request(c);
    const struct server_settings *s = &control_settings(&ctl->parts)->server;
    unsigned methods = 0;
    http_conn_set_data(c, NULL);
    control_json_begin();
    if (http_conn_is_loopback(c) && r->host.len > 0 && !guard_host(s, ctl->hostname, r->host)) {
        control_reply_error(c, 403, span_of(DENY_HOST));
        return;
    }
    const struct route *route =
        route_find(public_routes, sizeof public_routes / sizeof public_routes[0], r, &methods);
    if (route != NULL) {
        route->serve(ctl, c);
    } else {
        control_reply_no_route(
            c, methods,
            "metrics_listen serves /, /stats, /metrics, /history, /flights, /healthz "
            "and /readyz, by GET");
    }
}

static void on_body_too_large(struct http_conn *c, void *ctx)
{
    (void)ctx;
    bool fits = http_body_error(c) == ERR_NOMEM; /* 503 */
    control_reply_error(c, 413, fits ? SPAN_NONE : SPAN("the request is too large"));
}

static void on_gone(struct http_conn *c, void *ctx)
{
    control_compare_gone(ctx, c);
    control_events_gone(ctx, c);
    control_entries_gone(c);
}

static void on_writable(struct http_conn *c, void *ctx)
{
    control_compare_writable(ctx, c);
    control_events_writable(ctx, c);
}

/* No body is streamed. */
static void on_piece(struct http_conn *c, struct span piece, void *ctx)
{
    (void)c;
    (void)piece;
    (void)ctx;
}

const struct http_handler control_handler = {
    .on_request = on_request,
    .on_body_end = on_body_end,
    .on_body_too_large = on_body_too_large,
    .on_body = on_piece,
    .on_gone = on_gone,
    .on_writable = on_writable,
};

/* Replies of metrics_listen are whole: nothing of them is left to do. */
static void on_public_event(struct http_conn *c, void *ctx)
{
    (void)c;
    (void)ctx;
}

const struct http_handler control_public_handler = {
    .on_request = on_public_request,
    .on_body_end = on_public_event,
    .on_body_too_large = on_body_too_large,
    .on_body = on_piece,
    .on_gone = on_public_event,
    .on_writable = on_public_event,
};
