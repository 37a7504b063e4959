/* control_priv.h: what the files of the control socket share. */
#ifndef CONTROL_CONTROL_PRIV_H
#define CONTROL_CONTROL_PRIV_H

#include "lull/base/list.h"
#include "lull/control/control.h"
#include "lull/http/server.h"

#include <cjson/cJSON.h>

struct history;

struct control {
    struct loop *loop;
    struct control_hooks hooks;
    struct http_server *server;
    struct http_server *public_server; /* of metrics_listen */
    struct history *history;
    char hostname[256];
    struct list tails; /* clients of /events */
    size_t tail_count;
    struct list pending; /* of struct pending: purges and removals under way */
    struct {
        struct compare_run *run;
        struct http_conn *conn; /* whose it is; NULL: none is under way */
    } compare;
};

/* One request, taken apart. */
struct control_query {
    struct control_filter filter;
    size_t limit;
    int64_t after;
    bool all;        /* all=yes */
    bool page;       /* limit or after was given */
    bool any;        /* at least one condition was given */
    struct buf text; /* what the spans above point into */
};
/* settings: the kinds there are; now: for older=7d. false: why says what is wrong with it. Free
 * with control_query_free. */
bool control_query_parse(struct control_query *q, struct span query,
                         const struct settings *settings, wall_t now, struct buf *why);
/* Whether there is such a kind; otherwise why says so, with the nearest one. */
bool control_query_kind(const struct settings *settings, struct span name, struct buf *why);
void control_query_free(struct control_query *q);
/* NAME=VALUE for NAME=VALUE of a query, decoded into text, whose bytes stay (values are
 * terminated), until take says no. false: take said no, or it is no such query: then why says so.
 */
bool control_query_walk(struct span query, struct buf *text,
                        bool (*take)(void *ctx, struct span name, struct span value), void *ctx,
                        struct buf *why);
/* A whole number from 0 to max. */
bool control_query_number(struct span s, int64_t max, int64_t *out);

/* Whole reply with a JSON body. */
void control_reply_json(struct http_conn *c, int status, struct span json);
/* The same from a tree, which is freed. */
void control_reply_tree(struct http_conn *c, int status, cJSON *tree);
/* {"error": text} */
void control_reply_error(struct http_conn *c, int status, struct span text);

/* entries.c */
void control_list(struct control *ctl, struct http_conn *c);
void control_get(struct control *ctl, struct http_conn *c, struct span id, bool texts);
void control_remove(struct control *ctl, struct http_conn *c, struct span id);
void control_purge(struct control *ctl, struct http_conn *c);
/* The client left while its purge runs. */
void control_forget(struct http_conn *c);
void control_forget_all(struct control *ctl);

/* explain.c: POST /explain and what is below it; the body is held first. */
/* scopes: shown as well. */
/* "2026-11-28T21:00:00Z", as a member of that name. entries.c */
void control_add_time(struct cJSON *to, const char *name, wall_t t);
void control_flights(struct control *ctl, struct http_conn *c, bool scopes);
bool control_is_explain(const struct http_request *r);
void control_explain(struct control *ctl, struct http_conn *c);

/* event_stream.c */
void control_events(struct control *ctl, struct http_conn *c);
/* The client reads again. Does nothing for other connections; so does gone. */
void control_events_writable(struct control *ctl, struct http_conn *c);
void control_events_gone(struct control *ctl, const struct http_conn *c);
void control_events_gone_all(struct control *ctl);

/* history.c: hooks must outlive it. */
struct history *history_create(struct loop *loop, const struct control_hooks *hooks);
void history_destroy(struct history *h); /* NULL is fine */
/* The body of GET /history; the caller deletes it. */
cJSON *history_tree(const struct history *h);
void control_history(struct control *ctl, struct http_conn *c);

/* page.c */
void control_page(struct control *ctl, struct http_conn *c);

/* compare_stream.c */
bool control_is_compare(const struct http_request *r);
void control_compare(struct control *ctl, struct http_conn *c);
/* The client reads again. */
void control_compare_writable(struct control *ctl, struct http_conn *c);
/* The client left; NULL: whoever it is. */
void control_compare_gone(struct control *ctl, const struct http_conn *c);

#endif
