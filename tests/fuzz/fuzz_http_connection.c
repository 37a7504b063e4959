/* fuzz_http_connection.c: any bytes as what a client sends on one connection: heads, bodies, pipelined
 * requests. Input: one byte (how they are cut), then the bytes. However they are cut, the handler
 * sees the same requests with the same bodies, and the client reads the same replies, one for each
 * request in order; at last the connection is closed.
 * covers: http/receive.c http/conn.c http/request.c http/chunked.c http/response.c http/error.c
 */
#include "support/fake_loop.h"

#include "lull/http/server.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HOLD_MOST = 256 };

static struct loop *loop;
static struct http_server *server;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static socklen_t address_len = sizeof address;

/* What the handler saw on the connection. */
static struct buf trace;
static size_t body_from; /* of the open request, in the trace */
static size_t requests, replies, refused, open_requests;
static bool early; /* a reply was made before the body had come: cuts may differ in what is read */

/* ---- the handler: the target's first letters say what is done ---- */

static bool asks(const struct http_conn *c, char letter)
{
    struct span target = http_conn_request(c)->target;
    return span_find(target, span_make(&letter, 1), 0) != SIZE_MAX;
}

static void reply(struct http_conn *c, const char *how)
{
    const struct http_request *r = http_conn_request(c);
    char body[128];
    snprintf(body, sizeof body, "reply %zu to %.*s: %s", requests,
             (int)(r->method_name.len < 32 ? r->method_name.len : 32), r->method_name.ptr, how);
    replies++;
    open_requests--;
    if (asks(c, 'p')) {
        const struct http_header field = {SPAN("X-Piece"), SPAN("yes")};
        http_reply_begin(c, 200, SPAN_NONE, &field, 1, asks(c, 'n') ? (int64_t)strlen(body) : -1);
        require(http_reply_data(c, span_make(body, 3)));
        require(http_reply_data(c, span_of(body + 3)));
        http_reply_end(c);
    } else if (asks(c, 'e')) {
        http_reply_error(c, HTTP_ERROR_BUSY, HTTP_FORM_OPENAI, SPAN("x"), SPAN_NONE);
    } else {
        http_reply_full(c, 200, SPAN("text/plain"), SPAN_NONE, span_of(body));
    }
}

static void on_request(struct http_conn *c, void *ctx)
{
    const struct http_request *r = http_conn_request(c);
    (void)ctx;
    requests++;
    open_requests++;
    require(open_requests == 1);
    buf_text(&trace, "\n[%.*s %.*s %zu:", (int)r->method_name.len, r->method_name.ptr,
             (int)r->target.len, r->target.ptr, r->header_count);
    body_from = trace.len;
    if (asks(c, 'h')) {
        http_body_hold(c, HOLD_MOST);
    } else if (asks(c, 's')) {
        http_body_stream(c);
    } else {
        early = early || r->chunked || r->content_length > 0;
        reply(c, "at once");
    }
}

static void on_body(struct http_conn *c, struct span piece, void *ctx)
{
    (void)c;
    (void)ctx;
    require(piece.len > 0 && open_requests == 1);
    require(buf_append_span(&trace, piece) == ERR_OK);
}

static void on_body_end(struct http_conn *c, void *ctx)
{
    (void)ctx;
    require(open_requests == 1);
    require(buf_append_span(&trace, http_body(c)) == ERR_OK);
    buf_text(&trace, "]");
    reply(c, "at the end");
}

static void on_body_too_large(struct http_conn *c, void *ctx)
{
    (void)ctx;
    require(http_body(c).len <= HOLD_MOST + 64 * 1024);
    if (asks(c, 't')) {
        buf_text(&trace, " too large ");
        http_body_stream(c);
    } else {
        early = true;
        reply(c, "too large");
    }
}

static void on_gone(struct http_conn *c, void *ctx)
{
    (void)c;
    (void)ctx;
    require(open_requests == 1);
    open_requests--;
    trace.len = body_from; /* of a body that is refused any part may have been seen */
}

static void on_writable(struct http_conn *c, void *ctx)
{
    (void)c;
    (void)ctx;
}

static void on_refused(enum http_error e, void *ctx)
{
    (void)ctx;
    require(e != HTTP_ERROR_NONE);
    refused++;
}

static const struct http_handler handler = {.on_request = on_request,
                                            .on_body_end = on_body_end,
                                            .on_body_too_large = on_body_too_large,
                                            .on_body = on_body,
                                            .on_gone = on_gone,
                                            .on_writable = on_writable,
                                            .on_refused = on_refused};

/* ---- the client ---- */

static void begin(void)
{
    const struct http_limits limits = {.header_timeout = 10 * USEC_PER_S,
                                       .body_timeout = 20 * USEC_PER_S,
                                       .idle_timeout = 30 * USEC_PER_S,
                                       .max_connections = 4,
                                       .max_buffered = 64 * 1024,
                                       .max_body = 2000};
    signal(SIGPIPE, SIG_IGN);
    trace = (struct buf){.max = SIZE_MAX};
    loop = loop_create();
    server = http_server_create(loop, &limits, &handler, NULL);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    require(fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address.sun_family) == 0);
    require(getsockname(fd, (struct sockaddr *)&address, &address_len) == 0);
    require(listen(fd, 4) == 0 && http_server_adopt(server, fd) == ERR_OK);
}

static bool read_some(int fd, struct buf *out)
{
    char piece[8192];
    for (;;) {
        fake_loop_settle(loop);
        ssize_t n = read(fd, piece, sizeof piece);
        if (n <= 0) {
            return n < 0 && errno == EAGAIN;
        }
        require(buf_append(out, piece, (size_t)n) == ERR_OK);
    }
}

static void talk(struct span bytes, unsigned cut, struct buf *out)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    requests = replies = refused = 0;
    require(fd >= 0 && connect(fd, (struct sockaddr *)&address, address_len) == 0);
    size_t step = cut == 0 ? bytes.len : cut % 7 == 0 ? 1 : cut;
    for (size_t at = 0; at < bytes.len; at += step) {
        size_t n = bytes.len - at < step ? bytes.len - at : step;
        ssize_t sent = write(fd, bytes.ptr + at, n);
        if (sent < 0) { /* it was closed */
            break;
        }
        require((size_t)sent == n);
        (void)read_some(fd, out);
    }
    (void)read_some(fd, out);
    for (int i = 0; i < 12; i++) { /* no state lasts for ever */
        fake_loop_advance(loop, 10 * USEC_PER_S);
        (void)read_some(fd, out);
    }
    require(!read_some(fd, out));
    close(fd);
    fake_loop_settle(loop);
    require(open_requests == 0 && http_server_counts(server).open == 0);
}

/* Takes the interim answers out: whether one is sent depends on what came together. */
static void without_interim(struct buf *out)
{
    struct span interim = SPAN("HTTP/1.1 100 Continue\r\n\r\n");
    for (size_t at = 0; (at = span_find(buf_span(out), interim, at)) != SIZE_MAX;) {
        out->len -= interim.len;
        memmove(out->data + at, out->data + at + interim.len, out->len - at);
    }
}

/* Takes the refusal off, the last reply: of a head with two faults the one that is seen first is
 * named. */
static size_t without_refusal(struct buf *out)
{
    if (refused > 0) {
        size_t client = span_rfind(buf_span(out), SPAN("HTTP/1.1 4"));
        size_t other = span_rfind(buf_span(out), SPAN("HTTP/1.1 5"));
        bool later = client == SIZE_MAX || (other != SIZE_MAX && other > client);
        require(refused == 1 && (client != SIZE_MAX || other != SIZE_MAX));
        out->len = later ? other : client;
    }
    return refused;
}

/* Each reply of the handler's and each refusal is there, in order. */
static void check_replies(const struct buf *out)
{
    size_t count = 0, at = 0;
    struct span all = buf_span(out);
    while ((at = span_find(all, SPAN("HTTP/1.1 "), at)) != SIZE_MAX) {
        count++;
        at++;
    }
    require(count <= replies + refused + 1); /* one more: 408 */
    require(count >= replies);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (loop == NULL) {
        begin();
    }
    if (size < 2 || size > 16 * 1024) {
        return 0;
    }
    struct span bytes = span_make((const char *)data + 1, size - 1);
    struct buf once = {.max = SIZE_MAX}, cut = {.max = SIZE_MAX}, seen = {.max = SIZE_MAX};
    early = false;
    buf_clear(&trace);
    talk(bytes, 0, &once);
    without_interim(&once);
    check_replies(&once);
    size_t refusals = without_refusal(&once);
    require(buf_append_span(&seen, buf_span(&trace)) == ERR_OK);
    buf_clear(&trace);
    talk(bytes, data[0] == 0 ? 1 : data[0], &cut);
    without_interim(&cut);
    check_replies(&cut);
    require(early || without_refusal(&cut) == refusals);
    require(early || (span_eq(buf_span(&seen), buf_span(&trace)) &&
                      span_eq(buf_span(&once), buf_span(&cut))));
    buf_free(&once);
    buf_free(&cut);
    buf_free(&seen);
    return 0;
}
