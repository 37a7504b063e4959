/* control_priv.h: what the files of the control socket share. control.c opens and ends it, routes.c hands
 * each request to the function that serves it; the other files have these functions, and use only reply.c,
 * query.c and one another's values.
 */
#ifndef CONTROL_CONTROL_PRIV_H
#define CONTROL_CONTROL_PRIV_H

#include "control/days.h"
#include "lull/base/list.h"
#include "lull/control/control.h"
#include "lull/http/server.h"
#include "lull/path/exchange/events.h"

#include <cjson/cJSON.h>

struct history;
struct ledger;
struct learnt;

struct control {
    struct control_parts parts;
    struct http_server *server;
    struct http_server *public_server; /* of metrics_listen */
    struct history *history;
    struct ledger *ledger;
    struct learnt *learnt;
    char hostname[256];
    struct list tails; /* clients of /events */
    size_t tail_count;
    struct list pending; /* of struct pending: purges and removals under way */
    int servers_open;    /* of a drain */
    loop_fn drained;
    void *drained_ctx;
    struct {
        struct compare_run *run;
        struct http_conn *conn; /* of its client; NULL: none is under way */
    } compare;
};

/* The settings in force. */
static inline struct settings *control_settings(const struct control_parts *parts)
{
    return config_settings(*parts->config);
}

/* ---- routes.c: which requests are served, and who may send them; ctx is the struct control ---- */

enum { CONTROL_BODY_MAX = 1024 * 1024 }; /* of the longest request */
extern const struct http_handler control_handler;
extern const struct http_handler control_public_handler; /* of metrics_listen */

/* ---- reply.c: whole replies, and members of the JSON in them ---- */

/* Every allocation of cJSON is watched from now on: */
void control_json_watch(void);
/* begins a reply; whether none has failed since. The replies below check it and answer 503 instead. */
void control_json_begin(void);
bool control_json_whole(void);
/* Replies 200 with the contents of a buffer that was made with that max; 503 where something did not
 * fit or found no memory. */
void control_reply_buf(struct http_conn *c, struct span type, const struct buf *out, size_t max);
/* Replies with a JSON body. */
void control_reply_json(struct http_conn *c, int status, struct span json);
/* The same from a tree, which is freed. */
void control_reply_tree(struct http_conn *c, int status, cJSON *tree);
/* {"error": text}; 503 where there was no memory for a text. */
void control_reply_error(struct http_conn *c, int status, struct span text);
/* No handler for a request: 405 with the methods that its path has (a bit for each enum http_method), or
 * 404 with `missing` where there are none. */
void control_reply_no_route(struct http_conn *c, unsigned methods, const char *missing);

/* Add a member of that name to an object: a text, */
void control_add_span(cJSON *to, const char *name, struct span s);
/* a time such as "2026-11-28T21:00:00Z", */
void control_add_time(cJSON *to, const char *name, wall_t t);
/* milliseconds with two decimals (null for a negative value), seconds with three, */
void control_add_ms(cJSON *to, const char *name, usec_t us);
void control_add_seconds(cJSON *to, const char *name, usec_t us);
/* a figure by its unit: seconds and money of millionths, */
void control_add_figure(cJSON *to, const char *name, enum figure_unit unit, int64_t value);
/* or a quotient rounded to that many decimals; null where the divisor is 0. */
void control_add_quotient(cJSON *to, const char *name, double value, double divisor, int decimals);

/* ---- query.c: the query of a request ---- */

struct control_query {
    struct cache_filter filter;
    size_t limit;
    int64_t after;
    bool all;        /* all=yes */
    bool page;       /* limit or after was given */
    bool any;        /* at least one condition was given */
    struct buf text; /* what the spans above point into */
};
/* settings: the kinds there are; now: for older=7d. false: why says what is wrong with it. The
 * caller frees q with control_query_free either way. */
bool control_query_parse(struct control_query *q, struct span query,
                         const struct settings *settings, wall_t now, struct buf *why);
void control_query_free(struct control_query *q);
/* Calls take for each NAME=VALUE of a query until it returns false. Values are decoded into text,
 * whose bytes stay, and terminated. false: take returned false; or the query has another form: then
 * why says so; or there is no memory: then why stays as it was. */
bool control_query_walk(struct span query, struct buf *text,
                        bool (*take)(void *ctx, struct span name, struct span value), void *ctx,
                        struct buf *why);
/* Whether there is such a kind; otherwise why says so, with the nearest one. */
bool control_query_kind(const struct settings *settings, struct span name, struct buf *why);
/* A duration as the configuration writes it, from least to most. false: why says what is wrong. */
bool control_query_duration(struct span name, struct span value, usec_t least, usec_t most,
                            usec_t *out, struct buf *why);
/* A whole number from 0 to max. */
bool control_query_number(struct span s, int64_t max, int64_t *out);

/* ---- entries.c: GET /entries, GET and DELETE /entries/ID, POST /purge ---- */

void control_entries_list(struct control *ctl, struct http_conn *c);
/* texts: with those of the request and the answer. */
void control_entries_get(struct control *ctl, struct http_conn *c, struct span id, bool texts);
void control_entries_remove(struct control *ctl, struct http_conn *c, struct span id);
void control_entries_purge(struct control *ctl, struct http_conn *c);
/* The client left; its purge or removal goes on without a reply. */
void control_entries_gone(struct http_conn *c);
void control_entries_gone_all(struct control *ctl);

/* ---- flights.c: GET /flights; scopes: shown as well ---- */

void control_flights(struct control *ctl, struct http_conn *c, bool scopes);

/* ---- explain_reply.c: POST /explain and what is below it; the body is held first ---- */

/* trusted: may ask about the last missed request, and sees texts of stored ones. */
void control_explain(struct control *ctl, struct http_conn *c, bool trusted);

/* ---- nearest_entry.c: the stored request that is most like one that was missed ---- */

struct control_nearest {
    const struct explanation *about; /* has kind, scope, model, upstream and endpoint */
    struct span body;
    wall_t before; /* a miss in the past: entries stored since do not count; 0: it is one of now */
    bool texts;    /* shows excerpts */
};
enum { CONTROL_NEAREST_BODY = 256 * 1024 }; /* larger requests are not compared */
/* Looks at the newest 512 entries of that kind and scope, within the bounds that nearest_entry.c
 * has. The caller deletes the tree; NULL: there is none. */
cJSON *control_nearest(struct control *ctl, const struct control_nearest *in);

/* ---- steer.c: POST /config (the body is held first), /pause, /resume ---- */

void control_set(struct control *ctl, struct http_conn *c);
void control_pause(struct control *ctl, struct http_conn *c);
void control_resume(struct control *ctl, struct http_conn *c);

/* ---- doctor.c: GET /doctor; texts: with the beginnings of chats ---- */

void control_doctor(struct control *ctl, struct http_conn *c, bool texts);

/* ---- event_stream.c: GET /events ---- */

void control_events(struct control *ctl, struct http_conn *c);
/* The client reads again; it is gone; all are. Other connections are ignored. */
void control_events_writable(struct control *ctl, struct http_conn *c);
void control_events_gone(struct control *ctl, const struct http_conn *c);
void control_events_gone_all(struct control *ctl);
/* The daemon ends: each gets what waits for it, and its reply is cut. */
void control_events_end_all(struct control *ctl);
/* Appends one event as server-sent event. */
void control_events_render(struct buf *out, const struct exchange_event *e);

/* ---- history.c: GET /history ---- */

/* Takes samples from now on. The parts outlive it. */
struct history *history_create(struct loop *loop, const struct figures *figures,
                               const struct schedule *schedule);
void history_destroy(struct history *h); /* NULL is fine */
/* The body of GET /history, without its days; the caller deletes it. */
cJSON *history_tree(const struct history *h);

/* ---- ledger.c: the savings of each day ---- */

/* Counts from now on, with what the cache has kept. The parts outlive it. */
struct ledger *ledger_create(struct loop *loop, struct figures *figures, struct cache *cache);
/* Stores what is not stored yet; the cache commits it. NULL is fine. */
void ledger_destroy(struct ledger *l);
/* The last `days` days (1 to DAYS_KEPT) that have a record, oldest first; the last one is today,
 * brought up to date. Valid until the next call for the ledger, or the next turn of the loop. */
struct day *const *ledger_days(struct ledger *l, int days, size_t *count);

/* ---- learnt.c: what was learnt of tasks behind their conversation ---- */

/* Reads what the cache has kept, and keeps what is learnt from now on. The parts outlive it. */
struct learnt *learnt_create(struct loop *loop, struct servers *servers, struct cache *cache);
/* Stores what is not stored yet; the cache commits it. NULL is fine. */
void learnt_destroy(struct learnt *l);
/* Adds one object for each model to the array. */
void learnt_show(struct servers *servers, cJSON *to);

/* ---- report_reply.c: GET /report ---- */

void control_report(struct control *ctl, struct http_conn *c);
/* Its body as JSON, which the caller deletes, */
cJSON *report_tree(struct ledger *l, int days, bool by_user);
/* and as CSV, appended to out. */
void report_csv(struct ledger *l, int days, bool by_user, struct buf *out);
/* The days of GET /history; the caller deletes them. */
cJSON *report_history(struct ledger *l);

/* ---- stats.c ---- */

/* The state of an upstream of the configuration in force as a word. */
const char *control_server_state(const struct control_parts *parts,
                                 const struct upstream_settings *to);
/* The figures, with the gauges of connections and queues brought up to date. */
struct figures *control_figures(const struct control_parts *parts);

/* ---- page.c: GET / ---- */

void control_page(struct control *ctl, struct http_conn *c);

/* ---- compare_stream.c: POST /compare; the body is held first ---- */

void control_compare(struct control *ctl, struct http_conn *c);
/* The client reads again. */
void control_compare_writable(struct control *ctl, struct http_conn *c);
/* The client left; NULL: any client. */
void control_compare_gone(struct control *ctl, const struct http_conn *c);

#endif
