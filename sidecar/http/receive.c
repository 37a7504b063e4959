/* receive.c: from bytes to requests and bodies.
 *
 * Input goes into a slot of fixed size: a whole head, and room behind it. Nothing in it moves while
 * a request is open, since the request's spans point into it. A held body that arrived together
 * with its head stays there (no copy, the common case); any other held body is gathered in a buffer
 * of its own; a streamed one is handed on piece by piece and its bytes in the slot are used again.
 *
 * receive_process() is the only place that calls a handler about requests and bodies. It runs from
 * events and from deferred work, never inside http_body_* or http_reply_*.
 */
#include "http/http_priv.h"

#include <errno.h>
#include <sys/socket.h>

static const char CONTINUE[] = "HTTP/1.1 100 Continue\r\n\r\n";

void receive_later(struct http_conn *c)
{
    if (!c->processing && !c->dead) {
        loop_defer(c->server->loop, &c->work);
    }
}

/* Where no request was understood, or it is not the handler's any more: enough of one for a reply.
 */
void receive_orphan(struct http_conn *c)
{
    struct http_request *r = &c->slot->request;
    r->method = HTTP_METHOD_OTHER;
    r->minor = 1;
    r->chunked = false;
    r->keep_alive = false;
    r->expect_continue = false;
    r->head_len = c->in_len;
    c->body_at = c->in_len;
    c->mode = BODY_DISCARD;
    c->body_ended = false;
    c->end_told = true;
    c->in_request = true;
    c->close_after = true;
    reply_reset(c);
}

static void refuse(struct http_conn *c, enum http_error error)
{
    struct http_server *s = c->server;
    s->counts.bad_requests++;
    if (s->handler.on_refused != NULL) {
        s->handler.on_refused(error, s->ctx);
    }
    struct span path = c->slot->request.path;
    enum http_form form =
        path.ptr != NULL && span_starts(path, SPAN("/api/")) ? HTTP_FORM_OLLAMA : HTTP_FORM_OPENAI;
    receive_orphan(c);
    http_reply_error(c, error, form, SPAN_NONE, SPAN_NONE);
}

static void begin_request(struct http_conn *c)
{
    struct http_server *s = c->server;
    const struct http_request *r = &c->slot->request;
    c->in_request = true;
    c->data = NULL;
    c->mode = BODY_DISCARD;
    c->end_told = false;
    c->held_in_slot = false;
    c->body_at = r->head_len;
    c->body_left = r->content_length > 0 ? r->content_length : 0;
    c->body_ended = !r->chunked && c->body_left == 0;
    c->body_seen = 0;
    c->discarded = 0;
    c->chunked = (struct http_chunked){0};
    reply_reset(c);
    c->close_after = !r->keep_alive || s->draining;
    conn_set_deadline(c, DEADLINE_NONE, 0);
    if (s->limits.max_body > 0 && r->content_length > s->limits.max_body) {
        refuse(c, HTTP_ERROR_TOO_LARGE);
        return;
    }
    s->handler.on_request(c, s->ctx);
    if (!c->dead && !c->body_ended && !c->reply_done) {
        conn_set_deadline(c, DEADLINE_BODY, s->limits.body_timeout);
    }
}

/* false: nothing more can be done now. */
static bool try_head(struct http_conn *c)
{
    struct http_server *s = c->server;
    enum http_error error = HTTP_ERROR_NONE;
    if (c->in_len == 0) {
        return false;
    }
    c->slot->request.path = SPAN_NONE;
    c->slot->request.header_count = 0;
    switch (http_parse_head(c->slot->data, c->in_len, &c->scanned, &c->slot->request, &error)) {
    case HTTP_PARSE_OK:
        begin_request(c);
        return true;
    case HTTP_PARSE_ERROR:
        refuse(c, error);
        return true;
    case HTTP_PARSE_MORE:
        break;
    }
    if (c->deadline != DEADLINE_HEAD) {
        conn_set_deadline(c, DEADLINE_HEAD, s->limits.header_timeout);
    }
    return false;
}

/* The next piece of the body in the slot; false: none there. */
static bool next_piece(struct http_conn *c, struct span *piece)
{
    char *from = c->slot->data + c->body_at;
    size_t have = c->in_len - c->body_at;
    *piece = SPAN_NONE;
    if (c->slot->request.chunked) {
        size_t used = 0;
        enum http_chunk got = http_chunked_feed(&c->chunked, from, have, &used, piece);
        c->body_at += used;
        if (got == HTTP_CHUNK_ERROR) {
            c->broken = true;
        }
        c->body_ended = got == HTTP_CHUNK_END;
        return got == HTTP_CHUNK_DATA;
    }
    size_t n = have < (uint64_t)c->body_left ? have : (size_t)c->body_left;
    *piece = span_make(from, n);
    c->body_at += n;
    c->body_left -= (int64_t)n;
    c->body_ended = c->body_left == 0;
    return n > 0;
}

/* Used body bytes in the slot make room; what lies behind the body (the next request) stays. */
static void compact(struct http_conn *c)
{
    size_t keep_from = c->in_request ? c->slot->request.head_len : 0;
    if (c->held_in_slot || c->body_at <= keep_from) {
        return;
    }
    size_t rest = c->in_len - c->body_at;
    memmove(c->slot->data + keep_from, c->slot->data + c->body_at, rest);
    c->in_len = keep_from + rest;
    c->body_at = keep_from;
}

static bool over_max_body(struct http_conn *c, size_t more)
{
    c->body_seen += (int64_t)more;
    return c->server->limits.max_body > 0 && c->body_seen > c->server->limits.max_body;
}

static void body_over(struct http_conn *c, enum http_error error)
{
    struct http_server *s = c->server;
    bool begun = c->reply_begun;
    if (!c->reply_done) {
        c->in_request = false;
        s->handler.on_gone(c, s->ctx);
    }
    if (c->dead) {
        return;
    }
    if (begun || c->reply_done) {
        conn_close(c);
    } else {
        refuse(c, error);
    }
}

static void too_large(struct http_conn *c)
{
    struct http_server *s = c->server;
    s->handler.on_body_too_large(c, s->ctx);
}

/* Adds to the held body. false: over a limit, nothing was added. */
static bool hold_piece(struct http_conn *c, struct span piece)
{
    struct http_server *s = c->server;
    if (piece.len > c->hold_max - c->held.len || s->buffered + piece.len > s->limits.max_buffered ||
        buf_append_span(&c->held, piece) != ERR_OK) {
        return false;
    }
    c->counted += piece.len;
    s->buffered += piece.len;
    return true;
}

/* What was held goes to the stream first. */
static void flush_held(struct http_conn *c)
{
    struct http_server *s = c->server;
    struct buf held;
    if (c->held.len == 0 || c->mode != BODY_STREAM) {
        return;
    }
    buf_move(&held, &c->held);
    s->buffered -= c->counted;
    c->counted = 0;
    s->handler.on_body(c, buf_span(&held), s->ctx);
    buf_free(&held);
}

static void use_piece(struct http_conn *c, struct span piece)
{
    struct http_server *s = c->server;
    if (over_max_body(c, piece.len)) {
        body_over(c, HTTP_ERROR_TOO_LARGE);
        return;
    }
    if (c->reply_done) {
        c->mode = BODY_DISCARD; /* the answer is out: nobody wants the rest */
    }
    if (c->mode == BODY_HOLD && !hold_piece(c, piece)) {
        too_large(c);
        flush_held(c);
    }
    if (c->dead || c->mode == BODY_HOLD) {
        return;
    }
    if (c->mode == BODY_STREAM && !c->reply_done) {
        if (!c->paused) {
            conn_set_deadline(c, DEADLINE_BODY, s->limits.body_timeout);
        }
        s->handler.on_body(c, piece, s->ctx);
        return;
    }
    c->discarded += (int64_t)piece.len;
    if (c->discarded > DISCARD_MAX) {
        c->close_after = true;
    }
}

/* A held body that came whole behind its head stays where it is. */
static bool held_at_once(struct http_conn *c)
{
    const struct http_request *r = &c->slot->request;
    if (c->mode != BODY_HOLD || r->chunked || c->body_at != r->head_len || c->held.len > 0 ||
        c->body_left == 0 || (uint64_t)c->body_left > c->in_len - c->body_at ||
        (uint64_t)c->body_left > c->hold_max ||
        c->server->buffered + (uint64_t)c->body_left > c->server->limits.max_buffered) {
        return false;
    }
    c->counted += (size_t)c->body_left;
    c->server->buffered += (size_t)c->body_left;
    c->held_in_slot = true;
    c->body_at += (size_t)c->body_left;
    c->body_left = 0;
    c->body_ended = true;
    return true;
}

/* Takes what is there of the body; false: nothing more can be done now. */
static bool take_body(struct http_conn *c)
{
    struct http_server *s = c->server;
    struct span piece;
    flush_held(c);
    if (!held_at_once(c)) {
        while (!c->dead && !c->body_ended && !c->broken && !c->paused && next_piece(c, &piece)) {
            use_piece(c, piece);
            flush_held(c);
        }
    }
    if (c->dead) {
        return false;
    }
    if (c->broken) {
        c->broken = false;
        body_over(c, HTTP_ERROR_BAD_REQUEST); /* malformed chunks */
        return !c->dead;
    }
    compact(c);
    if (c->body_ended && !c->end_told && !c->reply_done && c->mode != BODY_DISCARD) {
        c->end_told = true;
        conn_set_deadline(c, DEADLINE_NONE, 0);
        s->handler.on_body_end(c, s->ctx);
        return true;
    }
    return false;
}

static void end_request(struct http_conn *c)
{
    struct http_server *s = c->server;
    size_t used = c->body_at;
    c->in_request = false;
    s->buffered -= c->counted;
    c->counted = 0;
    buf_free(&c->held);
    c->held_in_slot = false;
    c->in_len -= used;
    memmove(c->slot->data, c->slot->data + used, c->in_len);
    c->body_at = 0;
    c->scanned = 0;
    c->paused = false;
    if (c->in_len == 0) {
        server_slot_back(s, c->slot);
        c->slot = NULL;
    }
    conn_set_deadline(c, DEADLINE_IDLE, s->limits.idle_timeout);
}

/* The reply has been handed over; can the connection go on? */
static bool request_over(struct http_conn *c)
{
    if (!c->reply_done) {
        return false;
    }
    if (c->close_after || c->until_close) {
        if (c->out.len == 0) {
            conn_finish_output(c);
        }
        return false;
    }
    if (!c->body_ended) {
        conn_set_deadline(c, DEADLINE_BODY, c->server->limits.body_timeout);
        return false; /* the rest of it is read and dropped first */
    }
    end_request(c);
    return true;
}

void receive_process(struct http_conn *c)
{
    c->processing = true;
    int requests = 0;
    bool more = true;
    while (!c->dead && more && !c->lingering) {
        if (c->broken) {
            conn_gone(c);
            break;
        }
        if (!c->in_request) {
            if (c->close_after && c->out.len == 0) {
                conn_finish_output(c);
                break;
            }
            if (c->server->draining && conn_idle(c)) {
                conn_close(c);
                break;
            }
            more = c->slot != NULL && c->out.len < HIGH_WATER && requests < REQUESTS_PER_TURN &&
                   try_head(c);
            requests += more ? 1 : 0;
            if (!more && requests == REQUESTS_PER_TURN) {
                c->processing = false;
                receive_later(c);
            }
            continue;
        }
        more = !c->end_told && take_body(c);
        if (!c->dead && c->in_request) {
            more = request_over(c) || more;
        }
    }
    c->processing = false;
    conn_update_watch(c);
}

static ssize_t receive_some(struct http_conn *c)
{
    bool into_held = c->in_request && c->mode == BODY_HOLD && !c->held_in_slot && !c->body_ended &&
                     !c->slot->request.chunked && c->body_at == c->in_len && c->held.len > 0;
    if (!into_held) {
        return recv(c->fd, c->slot->data + c->in_len, SLOT_BYTES - c->in_len, 0);
    }
    size_t want = (uint64_t)c->body_left < 65536 ? (size_t)c->body_left : 65536;
    struct http_server *s = c->server;
    if (want > c->hold_max - c->held.len || s->buffered + want > s->limits.max_buffered ||
        buf_reserve(&c->held, want) != ERR_OK) {
        return recv(c->fd, c->slot->data + c->in_len, SLOT_BYTES - c->in_len, 0);
    }
    ssize_t n = recv(c->fd, c->held.data + c->held.len, want, 0);
    if (n > 0) {
        c->held.len += (size_t)n;
        c->counted += (size_t)n;
        s->buffered += (size_t)n;
        c->body_left -= n;
        c->body_seen += n;
        c->body_ended = c->body_left == 0;
        return -2; /* taken already */
    }
    return n;
}

void receive_readable(struct http_conn *c)
{
    if (c->lingering) {
        linger_readable(c);
        return;
    }
    if (c->slot == NULL) {
        c->slot = server_slot(c->server);
        c->in_len = 0;
        c->body_at = 0;
        c->scanned = 0;
    }
    ssize_t n = receive_some(c);
    if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR)) {
        conn_gone(c);
        return;
    }
    if (n == -1) {
        return;
    }
    if (n > 0) {
        c->in_len += (size_t)n;
    }
    receive_process(c);
}

/* ---- what handlers ask ---- */

static void say_continue(struct http_conn *c)
{
    const struct http_request *r = &c->slot->request;
    if (r->expect_continue && !c->body_ended && c->in_len == r->head_len && !c->reply_begun) {
        reply_send(c, span_make(CONTINUE, sizeof CONTINUE - 1), SPAN_NONE);
    }
}

void http_body_hold(struct http_conn *c, size_t max)
{
    c->mode = BODY_HOLD;
    c->hold_max = max;
    buf_init(&c->held, max);
    say_continue(c);
    receive_later(c);
}

void http_body_stream(struct http_conn *c)
{
    bool first = c->mode == BODY_DISCARD;
    c->mode = BODY_STREAM;
    if (first) {
        say_continue(c);
    }
    receive_later(c);
}

struct span http_body(const struct http_conn *c)
{
    if (!c->held_in_slot) {
        return buf_span(&c->held);
    }
    const struct http_request *r = &c->slot->request;
    return span_make(c->slot->data + r->head_len, (size_t)r->content_length);
}

void http_body_pause(struct http_conn *c)
{
    c->paused = true;
    if (c->deadline == DEADLINE_BODY) {
        conn_set_deadline(c, DEADLINE_NONE, 0);
    }
    conn_update_watch(c);
}

void http_body_resume(struct http_conn *c)
{
    c->paused = false;
    if (!c->body_ended) {
        conn_set_deadline(c, DEADLINE_BODY, c->server->limits.body_timeout);
    }
    receive_later(c);
    conn_update_watch(c);
}
