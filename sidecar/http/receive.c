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
    if (!c->processing && c->state != CONN_CLOSED) {
        loop_defer(c->server->loop, &c->work);
    }
}

void receive_own_request(struct http_conn *c)
{
    struct http_request *r = &c->slot->request;
    c->slot->kept.len = 0;
    r->method = HTTP_METHOD_OTHER;
    r->minor = 1;
    r->chunked = false;
    r->keep_alive = false;
    r->expect_continue = false;
    r->head_len = c->in_len;
    c->body_at = c->in_len;
    c->mode = BODY_DISCARD;
    c->body_ended = false;
    c->end_reported = true;
    c->state = CONN_REQUEST;
    c->close_after = true;
    reply_reset(c);
}

static void refuse_request(struct http_conn *c, enum http_error error)
{
    struct http_server *s = c->server;
    s->counts.bad_requests++;
    if (s->handler.on_refused != NULL) {
        s->handler.on_refused(error, s->ctx);
    }
    struct span path = c->slot->request.path;
    enum http_form form =
        path.ptr != NULL && span_starts(path, SPAN("/api/")) ? HTTP_FORM_OLLAMA : HTTP_FORM_OPENAI;
    receive_own_request(c);
    http_reply_error(c, error, form, SPAN_NONE, SPAN_NONE);
}

static void begin_request(struct http_conn *c)
{
    struct http_server *s = c->server;
    const struct http_request *r = &c->slot->request;
    c->state = CONN_REQUEST;
    c->used = true;
    c->data = NULL;
    c->mode = BODY_DISCARD;
    c->end_reported = false;
    c->held_in_slot = false;
    c->body_at = r->head_len;
    c->body_left = r->content_length > 0 ? r->content_length : 0;
    c->body_ended = !r->chunked && c->body_left == 0;
    c->body_seen = 0;
    c->discarded = 0;
    c->chunked = (struct http_chunked){0};
    reply_reset(c);
    c->out_passed = c->out_passed && output_unsent(c) > 0;
    c->close_after = !r->keep_alive || s->draining;
    conn_set_deadline(c, DEADLINE_NONE, 0);
    if (s->limits.max_body > 0 && r->content_length > s->limits.max_body) {
        refuse_request(c, HTTP_ERROR_TOO_LARGE);
        return;
    }
    s->handler.on_request(c, s->ctx);
    if (c->state == CONN_REQUEST && !c->body_ended) {
        conn_set_deadline(c, DEADLINE_BODY, s->limits.body_timeout);
    }
}

/* Reads the head of the next request. false: nothing more can be done now. */
static bool read_head(struct http_conn *c)
{
    struct http_server *s = c->server;
    enum http_error error = HTTP_ERROR_NONE;
    if (c->in_len == 0) {
        return false;
    }
    switch (http_parse_again(&c->slot->kept, c->slot->data, c->in_len, &c->scanned,
                             &c->slot->request, &error)) {
    case HTTP_PARSE_OK:
        begin_request(c);
        return true;
    case HTTP_PARSE_ERROR:
        refuse_request(c, error);
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
static void compact_slot(struct http_conn *c)
{
    size_t keep_from = c->state == CONN_WAITING ? 0 : c->slot->request.head_len;
    if (c->held_in_slot || c->body_at <= keep_from) {
        return;
    }
    size_t rest = c->in_len - c->body_at;
    memmove(c->slot->data + keep_from, c->slot->data + c->body_at, rest);
    c->in_len = keep_from + rest;
    c->body_at = keep_from;
}

/* The body cannot be read to its end: the server says why where no reply has begun. Else what was
 * sent goes out, the replies to earlier requests too, and the connection ends. */
static void body_fails(struct http_conn *c, enum http_error error)
{
    bool open = c->state == CONN_REQUEST;
    conn_abandon(c);
    if (c->state == CONN_CLOSED) {
        return;
    }
    if (open && c->reply_status == 0) {
        refuse_request(c, error);
        return;
    }
    if (open) {
        reply_cut(c);
    }
    c->close_after = true;
    c->mode = BODY_DISCARD;
    c->body_at = c->in_len;
    c->body_ended = false; /* the client may still be sending it */
    c->end_reported = true;
    conn_set_deadline(c, DEADLINE_BODY, c->server->limits.body_timeout);
}

/* Counts so many bytes more of the held body. false: there is no room for them. */
static bool count_held(struct http_conn *c, size_t more)
{
    struct http_server *s = c->server;
    return budget_settle(s->memory, &c->counted, c->counted + more * s->limits.held_cost);
}

/* Adds to the held body. Where that fails nothing was added. */
static enum err hold_piece(struct http_conn *c, struct span piece)
{
    struct http_server *s = c->server;
    size_t before = c->counted;
    if (piece.len > c->hold_max - c->held.len) {
        return ERR_TOO_LARGE;
    }
    if (!count_held(c, piece.len)) {
        return ERR_NOMEM;
    }
    enum err e = buf_append_span(&c->held, piece);
    if (e != ERR_OK) {
        (void)budget_settle(s->memory, &c->counted, before);
    }
    return e;
}

/* What was held goes to the stream first. */
static void stream_held(struct http_conn *c)
{
    struct http_server *s = c->server;
    struct buf held;
    if (c->held.len == 0 || c->mode != BODY_STREAM) {
        return;
    }
    buf_move(&held, &c->held);
    (void)budget_settle(s->memory, &c->counted, 0);
    s->handler.on_body(c, buf_span(&held), s->ctx);
    buf_free(&held);
}

static void use_piece(struct http_conn *c, struct span piece)
{
    struct http_server *s = c->server;
    c->body_seen += (int64_t)piece.len;
    if (s->limits.max_body > 0 && c->body_seen > s->limits.max_body) {
        body_fails(c, HTTP_ERROR_TOO_LARGE);
        return;
    }
    if (c->state == CONN_REPLIED) {
        c->mode = BODY_DISCARD;
    }
    c->hold_error = c->mode == BODY_HOLD ? hold_piece(c, piece) : ERR_OK;
    if (c->hold_error != ERR_OK) {
        s->handler.on_body_too_large(c, s->ctx);
        c->mode = c->mode == BODY_HOLD ? BODY_DISCARD : c->mode; /* it replies, maybe in pieces */
        stream_held(c);
    }
    if (c->state == CONN_CLOSED || c->mode == BODY_HOLD) {
        return;
    }
    if (c->mode == BODY_STREAM && c->state == CONN_REQUEST) {
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
static bool hold_in_slot(struct http_conn *c)
{
    const struct http_request *r = &c->slot->request;
    if (c->mode != BODY_HOLD || r->chunked || c->body_at != r->head_len || c->held.len > 0 ||
        c->body_left == 0 || (uint64_t)c->body_left > c->in_len - c->body_at ||
        (uint64_t)c->body_left > c->hold_max || !count_held(c, (size_t)c->body_left)) {
        return false;
    }
    c->held_in_slot = true;
    c->body_at += (size_t)c->body_left;
    c->body_left = 0;
    c->body_ended = true;
    return true;
}

/* Reads what is there of the body. false: nothing more can be done now. */
static bool read_body(struct http_conn *c)
{
    struct http_server *s = c->server;
    struct span piece;
    stream_held(c);
    if (!hold_in_slot(c)) {
        while (c->state != CONN_CLOSED && !c->body_ended && !c->broken && !c->paused &&
               !c->end_reported && next_piece(c, &piece)) {
            use_piece(c, piece);
            stream_held(c);
        }
    }
    if (c->state == CONN_CLOSED) {
        return false;
    }
    if (c->broken) {
        c->broken = false;
        body_fails(c, HTTP_ERROR_BAD_REQUEST); /* malformed chunks */
        return c->state != CONN_CLOSED;
    }
    compact_slot(c);
    if (c->body_ended && !c->end_reported && c->state == CONN_REQUEST && c->mode != BODY_DISCARD) {
        c->end_reported = true;
        conn_set_deadline(c, DEADLINE_NONE, 0);
        s->handler.on_body_end(c, s->ctx);
        return true;
    }
    return false;
}

void receive_drop_held(struct http_conn *c)
{
    (void)budget_settle(c->server->memory, &c->counted, 0);
    buf_free(&c->held);
    c->held_in_slot = false;
}

static void end_request(struct http_conn *c)
{
    struct http_server *s = c->server;
    size_t used = c->body_at;
    c->state = CONN_WAITING;
    receive_drop_held(c);
    c->in_len -= used;
    memmove(c->slot->data, c->slot->data + used, c->in_len);
    c->body_at = 0;
    c->scanned = 0;
    c->paused = false;
    if (c->urgent) {
        c->urgent = false;
        loop_watch_set_urgent(c->watch, s->limits.urgent);
    }
    if (c->in_len == 0) {
        server_slot_back(s, c->slot);
        c->slot = NULL;
    }
    conn_await_client(c);
}

/* Goes on behind a reply, or ends the connection. false: nothing more can be done now. */
static bool try_next(struct http_conn *c)
{
    if (c->state != CONN_REPLIED) {
        return false;
    }
    if (c->close_after) {
        if (c->out.len == 0) {
            conn_finish_output(c);
        } else if (c->deadline != DEADLINE_SEND) {
            conn_await_client(c);
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

/* Goes on in a later turn. */
static void put_off(struct http_conn *c)
{
    struct loop *loop = c->server->loop;
    loop_defer_cancel(loop, &c->work);
    c->put_off = true;
    loop_later(loop, &c->work);
}

void receive_process(struct http_conn *c, int requests)
{
    c->processing = true;
    bool more = true;
    while (more && c->state < CONN_LINGERING) {
        if (c->broken) {
            conn_gone(c);
            break;
        }
        if (c->state == CONN_WAITING) {
            if (c->close_after && c->out.len == 0) {
                conn_finish_output(c);
                break;
            }
            if (c->server->draining && conn_idle(c)) {
                conn_drain(c);
                break;
            }
            bool may = c->slot != NULL && c->out.len < HIGH_WATER;
            if (may && requests == 0) {
                put_off(c);
            }
            more = may && requests-- > 0 && read_head(c);
            continue;
        }
        more = !c->end_reported && read_body(c);
        more = try_next(c) || more;
    }
    c->processing = false;
    conn_update_watch(c);
}

/* Reads from the socket: into the held body where all of it goes there, else into the slot. Returns
 * what recv() returns. */
static ssize_t read_socket(struct http_conn *c)
{
    bool into_held = c->state != CONN_WAITING && c->mode == BODY_HOLD && !c->held_in_slot &&
                     !c->body_ended && !c->slot->request.chunked && c->body_at == c->in_len &&
                     c->held.len > 0;
    size_t want = (uint64_t)c->body_left < 65536 ? (size_t)c->body_left : 65536;
    size_t before = c->counted;
    bool counted = into_held && want <= c->hold_max - c->held.len && count_held(c, want);
    if (!counted || buf_reserve(&c->held, want) != ERR_OK) {
        (void)budget_settle(c->server->memory, &c->counted, before);
        ssize_t read = recv(c->fd, c->slot->data + c->in_len, SLOT_BYTES - c->in_len, 0);
        c->in_len += read > 0 ? (size_t)read : 0;
        return read;
    }
    ssize_t n = recv(c->fd, c->held.data + c->held.len, want, 0);
    (void)budget_settle(c->server->memory, &c->counted, before);
    if (n > 0) {
        (void)count_held(c, (size_t)n); /* less than there was room for */
        c->held.len += (size_t)n;
        c->body_left -= n;
        c->body_seen += n;
        c->body_ended = c->body_left == 0;
    }
    return n;
}

void receive_readable(struct http_conn *c)
{
    if (c->state == CONN_LINGERING) {
        linger_readable(c);
        return;
    }
    if (c->slot == NULL) {
        c->slot = server_slot(c->server);
        if (c->slot == NULL) {
            conn_gone(c); /* as where descriptors run out: no request was read */
            return;
        }
        c->in_len = 0;
        c->body_at = 0;
        c->scanned = 0;
    }
    ssize_t n = read_socket(c);
    if (n > 0) {
        receive_process(c, REQUESTS_PER_CALL);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        conn_gone(c);
    }
}

/* ---- what handlers ask ---- */

static void send_continue(struct http_conn *c)
{
    const struct http_request *r = &c->slot->request;
    if (r->expect_continue && !c->body_ended && c->in_len == r->head_len && c->reply_status == 0) {
        const struct span line = span_make(CONTINUE, sizeof CONTINUE - 1);
        output_send(c, &line, 1);
    }
}

void http_body_hold(struct http_conn *c, size_t max)
{
    c->mode = BODY_HOLD;
    c->hold_max = max;
    buf_init(&c->held, max);
    send_continue(c);
    receive_later(c);
}

enum err http_body_error(const struct http_conn *c)
{
    return c->hold_error;
}

void http_body_stream(struct http_conn *c)
{
    bool first = c->mode == BODY_DISCARD;
    c->mode = BODY_STREAM;
    if (first) {
        send_continue(c);
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
