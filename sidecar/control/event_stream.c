/* event_stream.c: GET /events: server-sent events, one for each finished exchange.
 *
 *   data: {"time":…,"id":…,"method":…,…}      one exchange
 *   event: lost\ndata: {"lost":N}             N events were dropped before the next one
 *   : (a comment)                             every KEEPALIVE, so that a client notices a dead end
 *
 * Filters: kind, outcome, slow (a duration). A client that does not read loses events: while more
 * than the connection's high-water mark waits for it, events are counted and dropped; the count is
 * sent once it reads again. The data path is not slowed down by it.
 */
#include "control/control_priv.h"

#include "lull/base/ascii.h"

#include <inttypes.h>
#include <stdlib.h>

enum { TAILS_MAX = 16, EVENT_MAX = 4096, OUT_MAX = 64 * 1024 };
static const usec_t KEEPALIVE = 15 * USEC_PER_S;
static const usec_t FLUSH_DELAY = 50 * USEC_PER_MS;

/* One client of /events. */
struct tail {
    struct list node;
    struct control *ctl;
    struct http_conn *conn;
    struct exchange_listener listener;
    struct loop_timer *keepalive;
    struct loop_timer *flush; /* of `out`: events are sent together, FLUSH_DELAY after the first */
    struct buf out;
    char kind[65], outcome[32]; /* "": all */
    usec_t slow;                /* 0: all */
    bool blocked;               /* until the client reads again */
    uint64_t lost;
};

/* An event is far below EVENT_MAX; what does not fit is left out. Nothing here is formatted by
 * printf: an attached reader is to cost a cache hit little. */
static void put(struct buf *out, struct span s)
{
    if (s.len <= out->cap - out->len) { /* control_events_render() has made room */
        memcpy(out->data + out->len, s.ptr, s.len);
        out->len += s.len;
    }
}

static void put_number(struct buf *out, uint64_t n)
{
    char digits[ASCII_DECIMAL_MAX];
    size_t at = ascii_decimal(n, digits);
    put(out, span_make(digits + at, sizeof digits - at));
}

/* n thousandths, with three decimals. */
static void put_thousandths(struct buf *out, uint64_t n)
{
    unsigned fraction = (unsigned)(n % 1000);
    char decimals[4] = {'.', (char)('0' + fraction / 100), (char)('0' + fraction / 10 % 10),
                        (char)('0' + fraction % 10)};
    put_number(out, n / 1000);
    put(out, span_make(decimals, sizeof decimals));
}

/* before: the comma, the name and the colon. Negative values are left out. */
static void add_ms(struct buf *out, struct span before, usec_t us)
{
    if (us >= 0) {
        put(out, before);
        put_thousandths(out, (uint64_t)us);
    }
}

static void add_number(struct buf *out, struct span before, int64_t n)
{
    if (n >= 0) {
        put(out, before);
        put_number(out, (uint64_t)n);
    }
}

/* A word of lull's own, with nothing to escape. Empty ones are left out. */
static void add_word(struct buf *out, struct span before, const char *word)
{
    if (word[0] != '\0') {
        put(out, before);
        put(out, SPAN("\""));
        put(out, span_of(word));
        put(out, SPAN("\""));
    }
}

/* Empty texts are left out. */
static void add_text(struct buf *out, struct span before, const char *text)
{
    if (text[0] != '\0') {
        put(out, before);
        put(out, SPAN("\""));
        enum err e = buf_append_json(out, span_of(text));
        (void)e;
        put(out, SPAN("\""));
    }
}

/* Members that do not apply to the exchange are left out. */
void control_events_render(struct buf *out, const struct exchange_event *e)
{
    if (buf_reserve(out, EVENT_MAX) != ERR_OK) {
        return;
    }
    put(out, SPAN("data: {\"time\":"));
    put_thousandths(out, (uint64_t)(e->at.us / 1000));
    put(out, SPAN(",\"id\":"));
    put_number(out, e->id);
    add_word(out, SPAN(",\"what\":"), e->what);
    add_word(out, SPAN(",\"kind\":"), e->kind);
    add_text(out, SPAN(",\"why\":"), e->why);
    add_word(out, SPAN(",\"outcome\":"), e->outcome);
    add_text(out, SPAN(",\"method\":"), e->method);
    add_text(out, SPAN(",\"path\":"), e->path);
    add_number(out, SPAN(",\"status\":"), e->status);
    add_ms(out, SPAN(",\"ms\":"), e->took);
    add_ms(out, SPAN(",\"held_ms\":"), e->held);
    add_ms(out, SPAN(",\"model_ms\":"), e->model_time);
    add_ms(out, SPAN(",\"first_token_ms\":"), e->first_token);
    add_number(out, SPAN(",\"tokens_in\":"), e->tokens_in);
    add_number(out, SPAN(",\"tokens_out\":"), e->tokens_out);
    add_word(out, SPAN(",\"upstream\":"), e->upstream);
    add_text(out, SPAN(",\"model\":"), e->model);
    add_word(out, SPAN(",\"cache_status\":"), e->cache_status);
    add_text(out, SPAN(",\"request_id\":"), e->request_id);
    put(out, SPAN("}\n\n"));
}

static bool is_wanted(const struct tail *t, const struct exchange_event *e)
{
    return (t->kind[0] == '\0' || strcmp(t->kind, e->kind) == 0) &&
           (t->outcome[0] == '\0' || strcmp(t->outcome, e->outcome) == 0) && e->took >= t->slow;
}

static void tail_send(struct tail *t, struct span piece)
{
    t->blocked = !http_reply_data(t->conn, piece);
}

static void say_lost(struct tail *t)
{
    if (t->lost > 0) {
        struct buf out = {.max = EVENT_MAX};
        buf_text(&out, "event: lost\ndata: {\"lost\":%" PRIu64 "}\n\n", t->lost);
        t->lost = 0;
        tail_send(t, buf_span(&out));
        buf_free(&out);
    }
}

static void on_flush(void *ctx)
{
    struct tail *t = ctx;
    tail_send(t, buf_span(&t->out));
    buf_clear(&t->out);
    if (!t->blocked) {
        say_lost(t); /* there was no room in `out` */
    }
}

static void on_event(void *ctx, const struct exchange_event *e)
{
    struct tail *t = ctx;
    if (!is_wanted(t, e)) {
        return;
    }
    if (t->blocked || t->out.len + EVENT_MAX > t->out.max) {
        t->lost++;
        return;
    }
    if (t->out.len == 0) {
        loop_timer_start(t->flush, FLUSH_DELAY);
    }
    control_events_render(&t->out, e);
}

static void on_keepalive(void *ctx)
{
    struct tail *t = ctx;
    loop_timer_start(t->keepalive, KEEPALIVE);
    if (!t->blocked) {
        tail_send(t, SPAN(": \n\n"));
    }
}

static struct tail *tail_of(struct control *ctl, const struct http_conn *c)
{
    for (struct list *at = ctl->tails.next; at != &ctl->tails; at = at->next) {
        struct tail *t = list_item(at, struct tail, node);
        if (t->conn == c) {
            return t;
        }
    }
    return NULL;
}

static void tail_free(struct tail *t)
{
    engine_unlisten(t->ctl->parts.engine, &t->listener);
    list_remove(&t->node);
    t->ctl->tail_count--;
    loop_timer_destroy(t->keepalive);
    loop_timer_destroy(t->flush);
    buf_free(&t->out);
    free(t);
}

void control_events_writable(struct control *ctl, struct http_conn *c)
{
    struct tail *t = tail_of(ctl, c);
    if (t != NULL) {
        t->blocked = false;
        say_lost(t);
    }
}

void control_events_gone(struct control *ctl, const struct http_conn *c)
{
    struct tail *t = tail_of(ctl, c);
    if (t != NULL) {
        tail_free(t);
    }
}

void control_events_gone_all(struct control *ctl)
{
    while (!list_empty(&ctl->tails)) {
        tail_free(list_item(ctl->tails.next, struct tail, node));
    }
}

void control_events_end_all(struct control *ctl)
{
    while (!list_empty(&ctl->tails)) {
        struct tail *t = list_item(ctl->tails.next, struct tail, node);
        struct http_conn *c = t->conn;
        tail_send(t, buf_span(&t->out));
        say_lost(t);
        tail_free(t);
        http_reply_cut(c); /* its client sees that the daemon has ended, not the stream */
    }
}

/* ---- the request ---- */

struct filters {
    struct tail *t;
    const struct settings *settings;
    struct buf *why;
};

static bool is_outcome(struct span name)
{
    for (int i = 0; i < OUTCOME_COUNT; i++) {
        if (span_eq(name, span_of(outcome_name((enum outcome)i)))) {
            return true;
        }
    }
    return false;
}

/* Copies the value, which is terminated and was checked to be one of a closed set. */
static bool take_filter(void *ctx, struct span name, struct span value)
{
    struct filters *f = ctx;
    if (span_eq(name, SPAN("kind"))) {
        bool ok = control_query_kind(f->settings, value, f->why) && value.len < sizeof f->t->kind;
        memcpy(f->t->kind, value.ptr, ok ? value.len : 0);
        return ok;
    }
    if (span_eq(name, SPAN("outcome"))) {
        bool ok = is_outcome(value) && value.len < sizeof f->t->outcome;
        memcpy(f->t->outcome, value.ptr, ok ? value.len : 0);
        if (!ok) {
            buf_text(f->why, "there is no outcome %.*s", (int)(value.len < 64 ? value.len : 64),
                     value.ptr);
        }
        return ok;
    }
    if (span_eq(name, SPAN("slow"))) {
        return control_query_duration(name, value, 0, INT64_MAX, &f->t->slow, f->why);
    }
    buf_text(f->why, "%.*s is no condition of events: kind, outcome and slow are",
             (int)(name.len < 64 ? name.len : 64), name.ptr);
    return false;
}

static void reply_begin(struct http_conn *c)
{
    const struct http_header headers[] = {{SPAN("Content-Type"), SPAN("text/event-stream")},
                                          {SPAN("Cache-Control"), SPAN("no-store")}};
    http_reply_begin(c, 200, SPAN_NONE, headers, sizeof headers / sizeof headers[0], -1);
}

static void tail_begin(struct tail *t)
{
    t->listener = (struct exchange_listener){.fn = on_event, .ctx = t};
    buf_init(&t->out, OUT_MAX);
    t->flush = loop_timer_create(t->ctl->parts.loop, on_flush, t);
    t->keepalive = loop_timer_create(t->ctl->parts.loop, on_keepalive, t);
    loop_timer_start(t->keepalive, KEEPALIVE);
    list_append(&t->ctl->tails, &t->node);
    t->ctl->tail_count++;
    reply_begin(t->conn);
    tail_send(t, SPAN(": \n\n"));
    engine_listen(t->ctl->parts.engine, &t->listener);
}

void control_events(struct control *ctl, struct http_conn *c)
{
    struct buf why = {.max = 1024};
    struct buf text = {.max = 4096};
    struct tail *t = mem_new(sizeof *t);
    struct filters f = {t, control_settings(&ctl->parts), &why};
    *t = (struct tail){.ctl = ctl, .conn = c};
    if (!control_query_walk(http_conn_request(c)->query, &text, take_filter, &f, &why)) {
        control_reply_error(c, 400, buf_span(&why));
        free(t);
    } else if (http_conn_request(c)->method == HTTP_HEAD) { /* has no body, so it ends */
        reply_begin(c);
        http_reply_end(c);
        free(t);
    } else if (ctl->tail_count == TAILS_MAX) {
        control_reply_error(c, 503, SPAN("16 clients read the events already"));
        free(t);
    } else {
        tail_begin(t);
    }
    buf_free(&why);
    buf_free(&text);
}
