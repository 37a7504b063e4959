/* response.c: from replies to bytes, which output.c sends.
 *
 * The head is assembled in a buffer on the stack without printf(), which would cost a cache hit more than
 * the rest.
 */
#include "http/http_priv.h"

#include "lull/base/ascii.h"

#include <sys/socket.h>

enum { HEAD_MAX = 64 * 1024, SMALL_HEAD = 2048 };

/* The status line of a known status; empty for others. */
static struct span status_line_of(int status)
{
#define LINE(status, reason)                                                                       \
    {                                                                                              \
        status,                                                                                    \
        {                                                                                          \
            "HTTP/1.1 " #status " " reason "\r\n", sizeof(#status reason) + 11                     \
        }                                                                                          \
    }
    static const struct {
        int status;
        struct span line;
    } lines[] = {LINE(200, "OK"),
                 LINE(201, "Created"),
                 LINE(202, "Accepted"),
                 LINE(204, "No Content"),
                 LINE(301, "Moved Permanently"),
                 LINE(302, "Found"),
                 LINE(304, "Not Modified"),
                 LINE(307, "Temporary Redirect"),
                 LINE(400, "Bad Request"),
                 LINE(401, "Unauthorized"),
                 LINE(403, "Forbidden"),
                 LINE(404, "Not Found"),
                 LINE(405, "Method Not Allowed"),
                 LINE(408, "Request Timeout"),
                 LINE(409, "Conflict"),
                 LINE(413, "Content Too Large"),
                 LINE(414, "URI Too Long"),
                 LINE(422, "Unprocessable Content"),
                 LINE(429, "Too Many Requests"),
                 LINE(431, "Request Header Fields Too Large"),
                 LINE(500, "Internal Server Error"),
                 LINE(501, "Not Implemented"),
                 LINE(502, "Bad Gateway"),
                 LINE(503, "Service Unavailable"),
                 LINE(504, "Gateway Timeout"),
                 LINE(505, "HTTP Version Not Supported"),
                 LINE(508, "Loop Detected")};
#undef LINE
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        if (lines[i].status == status) {
            return lines[i].line;
        }
    }
    return SPAN_NONE;
}

void reply_reset(struct http_conn *c)
{
    c->reply_status = 0;
    c->framing = FRAMING_LENGTH;
    c->reset_at_end = false;
    c->want_writable = false;
}

struct head {
    char *at, *end;
    bool over;
};

static void head_put(struct head *h, struct span s)
{
    if (s.len == 0) {
        return;
    }
    if (s.len > (size_t)(h->end - h->at)) {
        h->over = true;
        return;
    }
    memcpy(h->at, s.ptr, s.len);
    h->at += s.len;
}

static void head_put_number(struct head *h, uint64_t n)
{
    char digits[ASCII_DECIMAL_MAX];
    size_t at = ascii_decimal(n, digits);
    head_put(h, span_make(digits + at, sizeof digits - at));
}

static void head_put_status(struct head *h, int status, struct span reason)
{
    struct span line = reason.len > 0 ? SPAN_NONE : status_line_of(status);
    if (line.len > 0) {
        head_put(h, line);
        return;
    }
    head_put(h, SPAN("HTTP/1.1 "));
    head_put_number(h, (uint64_t)status);
    head_put(h, SPAN(" "));
    head_put(h, reason.len > 0 ? reason : SPAN("Status"));
    head_put(h, SPAN("\r\n"));
}

static void head_put_length(struct head *h, uint64_t n)
{
    head_put(h, SPAN("Content-Length: "));
    head_put_number(h, n);
    head_put(h, SPAN("\r\n"));
}

static void head_put_end(struct http_conn *c, struct head *h)
{
    const struct http_request *r = &c->slot->request;
    c->close_after = c->close_after || c->server->draining;
    if (c->close_after) {
        head_put(h, SPAN("Connection: close\r\n"));
    } else if (r->minor == 0) {
        head_put(h, SPAN("Connection: keep-alive\r\n"));
    }
    head_put(h, SPAN("\r\n"));
}

static bool no_body_status(int status)
{
    return status == 204 || status == 304 || status < 200;
}

static void hand_over(struct http_conn *c)
{
    c->state = CONN_REPLIED;
    receive_later(c);
}

/* A reply that begins before the request has ended: small rests are read and dropped, else the
 * connection is closed after the reply, which its head must say. */
static void decide_close(struct http_conn *c)
{
    const struct http_request *r = &c->slot->request;
    bool large = r->chunked || c->body_left > DISCARD_MAX;
    /* the client may or may not send it: only closing is unambiguous */
    bool held_back = r->expect_continue && c->mode == BODY_DISCARD;
    c->close_after = c->close_after || (!c->body_ended && (large || held_back));
}

/* A page may read what lull answers where the origin may ask. What the model server answered carries
 * what the model server says. */
static void head_put_cors(const struct http_conn *c, struct head *h, struct span extra)
{
    const struct http_server *s = c->server;
    struct span origin = c->slot->request.origin;
    if (origin.len == 0 || s->handler.allows_origin == NULL ||
        !s->handler.allows_origin(&c->slot->request, origin, s->ctx) ||
        http_lines_field(extra, SPAN("Access-Control-Allow-Origin")).ptr != NULL) {
        return;
    }
    head_put(h, SPAN("Access-Control-Allow-Origin: "));
    head_put(h, origin);
    head_put(h, SPAN("\r\nVary: Origin\r\n"));
}

static void send_full(struct http_conn *c, struct head *h, int status, struct span content_type,
                      struct span extra, struct span body)
{
    bool bodiless = c->slot->request.method == HTTP_HEAD || no_body_status(status);
    const char *start = h->at;
    head_put_status(h, status, SPAN_NONE);
    if (content_type.len > 0) {
        head_put(h, SPAN("Content-Type: "));
        head_put(h, content_type);
        head_put(h, SPAN("\r\n"));
    }
    if (!no_body_status(status)) {
        head_put_length(h, body.len);
    }
    head_put(h, extra);
    head_put_cors(c, h, extra);
    head_put_end(c, h);
    if (h->over) {
        output_broke(c);
        return;
    }
    const struct span parts[] = {span_make(start, (size_t)(h->at - start)), body};
    output_send(c, parts, bodiless ? 1 : 2);
}

void http_reply_full(struct http_conn *c, int status, struct span content_type, struct span extra,
                     struct span body)
{
    char small[SMALL_HEAD];
    size_t room = 256 + c->slot->request.origin.len;
    require(c->state == CONN_REQUEST && c->reply_status == 0);
    c->reply_status = status;
    decide_close(c);
    c->paused = false;
    if (extra.len + content_type.len + room <= sizeof small) {
        struct head h = {small, small + sizeof small, false};
        send_full(c, &h, status, content_type, extra, body);
    } else {
        struct buf large = {.max = extra.len + content_type.len + room + 1024};
        if (buf_reserve(&large, large.max) == ERR_OK) {
            struct head h = {large.data, large.data + large.max, false};
            send_full(c, &h, status, content_type, extra, body);
        } else {
            output_broke(c);
        }
        buf_free(&large);
    }
    hand_over(c);
}

void http_reply_error(struct http_conn *c, enum http_error e, enum http_form form,
                      struct span detail, struct span extra)
{
    struct buf body = {.max = 8 * 1024};
    char lines[640];
    struct head h = {lines, lines + sizeof lines, false};
    int status = http_error_status(e);
    http_error_body(e, form, detail, &body);
    head_put(&h, SPAN("X-Lull-Error: "));
    head_put(&h, span_of(http_error_name(e)));
    head_put(&h, status == 503 ? SPAN("\r\nRetry-After: 1\r\n") : SPAN("\r\n"));
    head_put(&h, extra);
    if (status == 400 || status == 408 || status == 413 || status == 414 || status == 431 ||
        status == 501 || status == 505) {
        c->close_after = true;
    }
    http_reply_full(c, status, SPAN("application/json"), span_make(lines, (size_t)(h.at - lines)),
                    buf_span(&body));
    buf_free(&body);
}

/* How the body will be framed. */
static void choose_framing(struct http_conn *c, int status, int64_t content_length)
{
    const struct http_request *r = &c->slot->request;
    bool no_body = r->method == HTTP_HEAD || no_body_status(status);
    c->framing = no_body               ? FRAMING_NO_BODY
                 : content_length >= 0 ? FRAMING_LENGTH
                 : r->minor >= 1       ? FRAMING_CHUNKED
                                       : FRAMING_CLOSE;
    c->close_after = c->close_after || c->framing == FRAMING_CLOSE;
}

void http_reply_begin(struct http_conn *c, int status, struct span reason,
                      const struct http_header *headers, size_t count, int64_t content_length)
{
    struct buf head = {.max = HEAD_MAX * 8};
    size_t need = reason.len + 512;
    require(c->state == CONN_REQUEST && c->reply_status == 0);
    decide_close(c);
    c->reply_status = status;
    c->out_passed = true;
    choose_framing(c, status, content_length);
    for (size_t i = 0; i < count; i++) {
        need += headers[i].name.len + headers[i].value.len + 4;
    }
    if (buf_reserve(&head, need) != ERR_OK) {
        output_broke(c);
        return;
    }
    struct head h = {head.data, head.data + need, false};
    head_put_status(&h, status, http_is_one_line(reason) ? reason : SPAN_NONE);
    for (size_t i = 0; i < count; i++) {
        if (http_is_one_line(headers[i].name) && http_is_one_line(headers[i].value)) {
            head_put(&h, headers[i].name);
            head_put(&h, SPAN(": "));
            head_put(&h, headers[i].value);
            head_put(&h, SPAN("\r\n"));
        }
    }
    if (content_length >= 0 && status != 204 && status >= 200) {
        head_put_length(&h, (uint64_t)content_length);
    }
    if (c->framing == FRAMING_CHUNKED) {
        head_put(&h, SPAN("Transfer-Encoding: chunked\r\n"));
    }
    head_put_end(c, &h);
    if (h.over) {
        output_broke(c);
        buf_free(&head);
        return;
    }
    head.len = (size_t)(h.at - head.data);
    output_hold_head(c, &head);
}

static bool reply_piece(struct http_conn *c, struct span piece, bool soon)
{
    char size[20];
    size_t at = sizeof size - 2;
    if (piece.len == 0 || c->framing == FRAMING_NO_BODY || c->broken) {
        return true;
    }
    memcpy(size + at, "\r\n", 2);
    for (uint64_t n = piece.len; n > 0; n >>= 4) {
        size[--at] = ascii_hex_digit((unsigned)n);
    }
    const struct span chunk[] = {span_make(size + at, sizeof size - at), piece, SPAN("\r\n")};
    bool chunked = c->framing == FRAMING_CHUNKED;
    const struct span *parts = chunked ? chunk : &piece;
    size_t count = chunked ? 3 : 1;
    if (!soon || !output_hold(c, parts, count)) {
        output_send(c, parts, count);
    }
    if (!c->out_waits && output_unsent(c) > c->server->limits.high_water) {
        c->want_writable = true;
        return false;
    }
    return true;
}

bool http_reply_data(struct http_conn *c, struct span piece)
{
    return reply_piece(c, piece, false);
}

bool http_reply_soon(struct http_conn *c, struct span piece)
{
    return reply_piece(c, piece, true);
}

void http_reply_end(struct http_conn *c)
{
    require(c->state == CONN_REQUEST && c->reply_status != 0);
    if (c->framing == FRAMING_CHUNKED) {
        const struct span last = SPAN("0\r\n\r\n");
        output_send(c, &last, 1);
    }
    output_send_waiting(c);
    c->paused = false;
    c->want_writable = false;
    hand_over(c);
}

void reply_cut(struct http_conn *c)
{
    c->want_writable = false;
    output_send_waiting(c);
    if (c->framing == FRAMING_CLOSE || c->reply_status == 0) {
        /* closing would look like a clean end: reset instead */
        struct linger hard = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        c->reset_at_end = true;
    }
    /* what was sent before the cut still goes out; then the connection is closed without its end
     * mark */
    c->close_after = true;
    c->body_ended = true;
    c->out_passed = false;
    hand_over(c);
}

void http_reply_cut(struct http_conn *c)
{
    require(c->state == CONN_REQUEST);
    reply_cut(c);
}

int http_reply_status(const struct http_conn *c)
{
    return c->reply_status;
}

bool http_reply_begun(const struct http_conn *c)
{
    return c->reply_status != 0;
}
