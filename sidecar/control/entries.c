/* entries.c: what is in the cache: list, show one, remove, purge.
 *
 * Removing and purging end after the commit, so their requests wait. A client may leave before, and
 * the daemon may stop: a pending keeps the connection only as long as it is there, and is freed by
 * its callback, which always comes.
 *
 * A list is made in parts, in turns of the loop: a thousand entries take 9 ms. It ends where its
 * client leaves.
 */
#include "control/control_priv.h"

#include "lull/path/dialect/answer.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    PART_ENTRIES = 32, /* 10 us each */
    PART_ROWS = 256,   /* 2 us each, where few of them pass the filter */
    LIST_MAX = 16 * 1024 * 1024,
};

struct listing;

struct pending {
    struct list node;       /* in control.pending while conn is there */
    struct http_conn *conn; /* NULL: the client left */
    struct listing *list;   /* NULL: a purge or a removal */
    bool purge;
};

struct listing {
    struct control *ctl;
    struct pending *pending;
    struct control_query q; /* limit and after: of what is not listed yet */
    size_t rows;            /* that may be read still */
    struct buf out;
    bool failed; /* there was no memory */
    struct loop_deferred work;
};

static cJSON *entry_json(const struct cache_info *e)
{
    char id[HASH_KEY_HEX + 1];
    cJSON *o = cJSON_CreateObject();
    hash_key_hex(e->id, id);
    cJSON_AddStringToObject(o, "id", id);
    control_add_span(o, "kind", e->kind);
    control_add_span(o, "scope", e->scope);
    control_add_span(o, "model", e->model);
    control_add_span(o, "upstream", e->upstream);
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
    const struct settings *s = control_settings(&ctl->parts);
    bool ok =
        control_query_parse(q, http_conn_request(c)->query, s, loop_wall(ctl->parts.loop), &why);
    if (!ok) {
        control_reply_error(c, 400, buf_span(&why));
        control_query_free(q);
    }
    buf_free(&why);
    return ok;
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

/* ---- lists ---- */

static void listing_free(struct listing *l)
{
    loop_defer_cancel(l->ctl->parts.loop, &l->work);
    control_query_free(&l->q);
    buf_free(&l->out);
    free(l->pending);
    free(l);
}

static void add_entry(void *ctx, const struct cache_info *e)
{
    struct listing *l = ctx;
    if (l->failed) {
        return;
    }
    cJSON *entry = entry_json(e);
    char *text = cJSON_PrintUnformatted(entry);
    const char *comma = l->out.data[l->out.len - 1] == '[' ? "" : ",";
    l->failed = text == NULL || buf_append_span(&l->out, span_of(comma)) != ERR_OK ||
                buf_append_span(&l->out, span_of(text)) != ERR_OK;
    cJSON_free(text);
    cJSON_Delete(entry);
    l->q.limit--;
}

static void listing_reply(struct listing *l)
{
    struct http_conn *c = l->pending->conn;
    char next[48] = "],\"next\":null}";
    if (l->q.after != 0) {
        snprintf(next, sizeof next, "],\"next\":\"%lld\"}", (long long)l->q.after);
    }
    l->failed = buf_append_span(&l->out, span_of(next)) != ERR_OK || l->failed;
    pending_unlink(l->pending);
    if (l->failed) {
        control_reply_error(c, 503, SPAN_NONE);
    } else {
        control_reply_json(c, 200, buf_span(&l->out));
    }
    listing_free(l);
}

static void list_part(void *ctx)
{
    struct listing *l = ctx;
    size_t before = l->q.limit, entries = before < PART_ENTRIES ? before : PART_ENTRIES;
    control_json_begin();
    cache_list(l->ctl->parts.cache, &l->q.filter, entries, PART_ROWS, l->q.after, add_entry, l,
               &l->q.after);
    l->failed = l->failed || !control_json_whole();
    size_t listed = before - l->q.limit;
    size_t read = listed == entries ? listed : PART_ROWS; /* a full part may have read few */
    l->rows -= read < l->rows ? read : l->rows;
    if (l->q.after != 0 && l->q.limit > 0 && l->rows > 0 && !l->failed) {
        loop_later(l->ctl->parts.loop, &l->work);
    } else {
        listing_reply(l);
    }
}

void control_entries_list(struct control *ctl, struct http_conn *c)
{
    struct control_query q;
    if (!parse_query(ctl, c, &q)) {
        return;
    }
    if (q.all) {
        control_reply_error(c, 400, SPAN("all=yes is for purge"));
        control_query_free(&q);
        return;
    }
    struct listing *l = mem_new(sizeof *l);
    *l = (struct listing){.ctl = ctl,
                          .pending = pending_new(ctl, c, false),
                          .q = q,
                          .rows = CACHE_LIST_ROWS,
                          .work = {.fn = list_part, .ctx = l}};
    l->pending->list = l;
    buf_init(&l->out, LIST_MAX);
    l->failed = buf_append_span(&l->out, SPAN("{\"entries\":[")) != ERR_OK;
    list_part(l);
}

static void pending_gone(struct pending *p)
{
    pending_unlink(p);
    if (p->list != NULL) {
        listing_free(p->list);
    }
}

void control_entries_gone(struct http_conn *c)
{
    struct pending *p = http_conn_data(c);
    if (p != NULL) {
        pending_gone(p);
    }
}

void control_entries_gone_all(struct control *ctl)
{
    list_each(node, &ctl->pending)
    {
        pending_gone(list_item(node, struct pending, node));
    }
}

/* ---- one entry, removals ---- */

struct shown {
    cJSON *tree;
    bool texts;
};

/* The answer is shown as its text instead of its stored form. */
static void show_entry(void *ctx, const struct cache_info *e)
{
    struct shown *shown = ctx;
    struct answer answer;
    shown->tree = entry_json(e);
    if (!shown->texts) {
        return;
    }
    bool decoded = e->answer.len > 0 && answer_decode(e->answer, &answer) == ERR_OK;
    control_add_span(shown->tree, "request", e->request);
    control_add_span(shown->tree, "answer", decoded ? buf_span(&answer.content) : SPAN_NONE);
    if (decoded) {
        answer_free(&answer);
    }
}

void control_entries_get(struct control *ctl, struct http_conn *c, struct span id, bool texts)
{
    struct hash_key key;
    struct shown shown = {NULL, texts};
    if (hash_key_parse(id, &key) == ERR_OK &&
        cache_get(ctl->parts.cache, key, show_entry, &shown) == ERR_OK && shown.tree != NULL) {
        control_reply_tree(c, 200, shown.tree);
    } else {
        control_reply_error(c, 404, SPAN("there is no entry of that id"));
    }
}

static void on_count(void *ctx, enum err result, uint64_t count)
{
    struct pending *p = ctx;
    struct http_conn *c = p->conn;
    char text[64];
    pending_unlink(p);
    if (c == NULL) {
        free(p);
        return;
    }
    if (result != ERR_OK) {
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

void control_entries_remove(struct control *ctl, struct http_conn *c, struct span id)
{
    struct hash_key key;
    if (hash_key_parse(id, &key) != ERR_OK) {
        control_reply_error(c, 404, SPAN("there is no entry of that id"));
        return;
    }
    engine_forget(ctl->parts.engine);
    cache_remove(ctl->parts.cache, key, on_count, pending_new(ctl, c, false));
}

void control_entries_purge(struct control *ctl, struct http_conn *c)
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
        engine_forget(ctl->parts.engine);
        cache_purge(ctl->parts.cache, &q.filter, on_count, pending_new(ctl, c, true));
    }
    control_query_free(&q);
}
