/* entries.c: what is in the cache: list, look at one, remove, purge.
 *
 * Removing and purging end after the commit, so their requests wait. A client may leave before, and
 * the daemon may stop: a pending keeps the connection only as long as it is there, and is freed by
 * its callback, which always comes.
 */
#include "control/control_priv.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct pending {
    struct list node;       /* in control.pending while conn is there */
    struct http_conn *conn; /* NULL: the client left */
    bool purge;
};

static void add_span(cJSON *to, const char *name, struct span s)
{
    char *text = mem_strndup(s.len > 0 ? s.ptr : "", s.len);
    require(cJSON_AddStringToObject(to, name, text) != NULL);
    free(text);
}

void control_add_time(cJSON *to, const char *name, wall_t t)
{
    char text[32];
    struct tm tm;
    time_t seconds = (time_t)(t.us / USEC_PER_S);
    if (gmtime_r(&seconds, &tm) == NULL ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        snprintf(text, sizeof text, "?");
    }
    cJSON_AddStringToObject(to, name, text);
}

static cJSON *entry_json(const struct control_entry *e)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "id", e->id);
    add_span(o, "kind", e->kind);
    add_span(o, "scope", e->scope);
    add_span(o, "model", e->model);
    add_span(o, "upstream", e->upstream);
    control_add_time(o, "created", e->created);
    control_add_time(o, "expires", e->expires);
    cJSON_AddNumberToObject(o, "bytes", (double)e->bytes);
    cJSON_AddNumberToObject(o, "hits", (double)e->hits);
    return o;
}

/* What a request asks for; false: the reply says what is wrong with it. */
static bool parse_query(struct control *ctl, struct http_conn *c, struct control_query *q)
{
    struct buf why = {.max = 1024};
    const struct settings *s = config_settings(ctl->hooks.config(ctl->hooks.ctx));
    bool ok = control_query_parse(q, http_conn_request(c)->query, s, loop_wall(ctl->loop), &why);
    if (!ok) {
        control_reply_error(c, 400, buf_span(&why));
        control_query_free(q);
    }
    buf_free(&why);
    return ok;
}

static void list_one(void *ctx, const struct control_entry *e)
{
    cJSON *array = ctx;
    cJSON_AddItemToArray(array, entry_json(e));
}

void control_list(struct control *ctl, struct http_conn *c)
{
    struct control_query q;
    int64_t next = 0;
    if (!parse_query(ctl, c, &q)) {
        return;
    }
    if (q.all) {
        control_reply_error(c, 400, SPAN("all=yes is for purge"));
        control_query_free(&q);
        return;
    }
    cJSON *tree = cJSON_CreateObject();
    cJSON *array = cJSON_AddArrayToObject(tree, "entries");
    ctl->hooks.list(ctl->hooks.ctx, &q.filter, q.limit, q.after, list_one, array, &next);
    if (next == 0) {
        cJSON_AddNullToObject(tree, "next");
    } else {
        char text[32];
        snprintf(text, sizeof text, "%lld", (long long)next);
        cJSON_AddStringToObject(tree, "next", text);
    }
    control_reply_tree(c, 200, tree);
    control_query_free(&q);
}

struct one {
    cJSON *tree;
    bool texts;
};

static void take_one(void *ctx, const struct control_entry *e)
{
    struct one *one = ctx;
    one->tree = entry_json(e);
    if (one->texts) {
        add_span(one->tree, "request", e->request);
        add_span(one->tree, "answer", e->answer);
    }
}

void control_get(struct control *ctl, struct http_conn *c, struct span id, bool texts)
{
    struct one one = {NULL, texts};
    if (!ctl->hooks.get(ctl->hooks.ctx, id, take_one, &one) || one.tree == NULL) {
        control_reply_error(c, 404, SPAN("there is no entry of that id"));
        return;
    }
    control_reply_tree(c, 200, one.tree);
}

static struct pending *pending_new(struct control *ctl, struct http_conn *c, bool purge)
{
    struct pending *p = mem_new(sizeof *p);
    p->conn = c;
    p->purge = purge;
    http_conn_set_data(c, p);
    list_append(&ctl->pending, &p->node);
    return p;
}

static void pending_unlink(struct pending *p)
{
    if (p->conn != NULL) {
        http_conn_set_data(p->conn, NULL);
        list_remove(&p->node);
        p->conn = NULL;
    }
}

void control_forget(struct http_conn *c)
{
    struct pending *p = http_conn_data(c);
    if (p != NULL) {
        pending_unlink(p);
    }
}

void control_forget_all(struct control *ctl)
{
    list_each(node, &ctl->pending)
    {
        pending_unlink(list_item(node, struct pending, node));
    }
}

static void on_count(void *ctx, bool ok, uint64_t count)
{
    struct pending *p = ctx;
    struct http_conn *c = p->conn;
    char text[64];
    pending_unlink(p);
    if (c == NULL) {
        free(p);
        return;
    }
    if (!ok) {
        control_reply_error(c, 503, SPAN("the cache is not available"));
    } else if (p->purge) {
        snprintf(text, sizeof text, "{\"purged\":%llu}", (unsigned long long)count);
        control_reply_json(c, 200, span_of(text));
    } else if (count == 0) {
        control_reply_error(c, 404, SPAN("there is no entry of that id"));
    } else {
        http_reply_full(c, 204, SPAN_NONE, SPAN_NONE, SPAN_NONE);
    }
    free(p);
}

void control_remove(struct control *ctl, struct http_conn *c, struct span id)
{
    struct pending *p = pending_new(ctl, c, false);
    if (!ctl->hooks.remove(ctl->hooks.ctx, id, on_count, p)) {
        pending_unlink(p);
        free(p);
        control_reply_error(c, 404, SPAN("there is no entry of that id"));
    }
}

void control_purge(struct control *ctl, struct http_conn *c)
{
    struct control_query q;
    if (!parse_query(ctl, c, &q)) {
        return;
    }
    if (q.page) {
        control_reply_error(c, 400, SPAN("limit and after are for listing, not for purge"));
    } else if (!q.any && !q.all) {
        control_reply_error(
            c, 400, SPAN("say what: kind=, scope=, model=, older=, or all=yes for everything"));
    } else {
        ctl->hooks.purge(ctl->hooks.ctx, &q.filter, on_count, pending_new(ctl, c, true));
    }
    control_query_free(&q);
}
