/* fuzz_http_connection.c: any bytes as what a client sends on one connection: heads, bodies, pipelined
 * requests. Input: one byte (how they are cut, and whether the client reads only when it has sent
 * all), then the bytes. However they are cut and read, the handler sees the same requests with the
 * same bodies, and the client reads the same replies, one for each request in order, each whole
 * unless the handler cut it; at last the connection is closed. Where either end leaves amid them,
 * nothing stays open.
 * covers: http/receive.c http/conn.c http/request.c http/chunked.c http/response.c http/output.c http/error.c
 */
#include "support/fake_loop.h"
#include "support/reply_text.h"

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

enum {
    HOLD_MOST = 256,
    LARGE = 20000, /* of a streamed reply; the socket takes a part of it */
    PIECE = 3000,
    HIGH = 8192,
    LOW = 2048,
    REPLIES_MOST = 16 * 1024
};

static struct loop *loop;
static struct http_server *server;
static struct sockaddr_un address = {.sun_family = AF_UNIX};
static socklen_t address_len = sizeof address;

/* What the handler saw on the connection. */
static struct buf trace;
static size_t body_from; /* of the open request, in the trace */
static size_t requests, replies, refused, open_requests;
static bool early;                 /* a reply was made before the body had come: cuts may differ
                      in what is read */
static bool to_head[REPLIES_MOST]; /* the n-th reply is to HEAD */
static size_t cut_replies, allowed;

/* A reply that is being streamed, and a body whose reading was stopped. */
static struct http_conn *streaming, *paused;
static size_t streamed;

/* ---- the handler: the target's first letters say what is done ---- */

static bool asks(const struct http_conn *c, char letter)
{
    struct span target = http_conn_request(c)->target;
    return span_find(target, span_make(&letter, 1), 0) != SIZE_MAX;
}

/* As much as may be sent now. */
static void stream_on(void)
{
    char piece[PIECE];
    bool more = true;
    while (streamed < LARGE && more) {
        size_t n = LARGE - streamed < PIECE ? LARGE - streamed : PIECE;
        for (size_t i = 0; i < n; i++) {
            piece[i] = (char)('a' + (streamed + i) / 7 % 26);
        }
        streamed += n;
        more = streamed / PIECE % 3 == 1 ? http_reply_soon(streaming, span_make(piece, n))
                                         : http_reply_data(streaming, span_make(piece, n));
    }
    if (streamed == LARGE && more) {
        http_reply_end(streaming);
        streaming = NULL;
        open_requests--;
    }
}

static void stream_reply(struct http_conn *c)
{
    int small = 1; /* the kernel's least */
    (void)setsockopt(http_conn_fd(c), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    http_reply_begin(c, 200, SPAN("Fine"), NULL, 0, asks(c, 'n') ? LARGE : -1);
    streaming = c;
    streamed = 0;
    open_requests++; /* until its end */
    stream_on();
}

/* In pieces; with a field that would end the head's line, which is left out. */
static void reply_in_pieces(struct http_conn *c, struct span body)
{
    const struct http_header fields[] = {{SPAN("X-Piece"), SPAN("yes")},
                                         {SPAN("X-Bad"), SPAN("a\r\nX-Evil: b")}};
    http_reply_begin(c, asks(c, '4') ? 204 : 200, SPAN_NONE, fields, 2,
                     asks(c, 'n') ? (int64_t)body.len : -1);
    /* replies before it may wait to be sent */
    (void)(body.len % 2 == 1 ? http_reply_soon : http_reply_data)(c, span_make(body.ptr, 3));
    if (asks(c, 'C')) {
        cut_replies++;
        http_reply_cut(c);
        return;
    }
    (void)http_reply_data(c, span_make(body.ptr + 3, body.len - 3));
    http_reply_end(c);
}

static void reply(struct http_conn *c, const char *how)
{
    const struct http_request *r = http_conn_request(c);
    char body[128];
    snprintf(body, sizeof body, "reply %zu to %.*s: %s", requests,
             (int)(r->method_name.len < 32 ? r->method_name.len : 32), r->method_name.ptr, how);
    require(replies < REPLIES_MOST);
    to_head[replies++] = r->method == HTTP_HEAD;
    open_requests--;
    paused = NULL;
    if (asks(c, 'B')) {
        stream_reply(c);
    } else if (asks(c, 'p')) {
        reply_in_pieces(c, span_of(body));
    } else if (asks(c, 'X')) {
        char line[3000];
        snprintf(line, sizeof line, "X-Long: %0*d\r\n", (int)sizeof line - 16, 7);
        http_reply_full(c, 200, SPAN_NONE, span_of(line), span_of(body));
    } else if (asks(c, 'Q')) {
        replies--;
        cut_replies++;
        http_reply_cut(c); /* closed without one */
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
    require(open_requests == 1 && http_conn_data(c) == NULL && !http_conn_is_loopback(c));
    require(*(size_t *)http_conn_memo(c) == requests - 1); /* zeroed at first, then the handler's */
    *(size_t *)http_conn_memo(c) = requests;
    http_conn_set_data(c, &requests);
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
    (void)ctx;
    require(paused == NULL);
    if (asks(c, 'Z')) {
        paused = c;
        http_body_pause(c);
    }
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
    require(http_body_error(c) == ERR_TOO_LARGE || http_body_error(c) == ERR_NOMEM);
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
    (void)ctx;
    require(open_requests == 1 && http_conn_data(c) == &requests);
    open_requests--;
    cut_replies += streaming != NULL ? 1 : 0;
    streaming = paused = NULL;
    trace.len = body_from; /* of a body that is refused any part may have been seen */
}

static void on_writable(struct http_conn *c, void *ctx)
{
    (void)ctx;
    require(c == streaming);
    stream_on();
}

static bool allows_origin(const struct http_request *r, struct span origin, void *ctx)
{
    (void)r;
    (void)ctx;
    bool good = span_find(origin, SPAN("good"), 0) != SIZE_MAX &&
                span_find(origin, SPAN(" "), 0) == SIZE_MAX;
    allowed += good ? 1 : 0;
    return good;
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
                                            .allows_origin = allows_origin,
                                            .on_refused = on_refused};

/* ---- the client ---- */

static struct http_server *open_server(struct sockaddr_un *at, socklen_t *len)
{
    const struct http_limits limits = {.header_timeout = 10 * USEC_PER_S,
                                       .body_timeout = 20 * USEC_PER_S,
                                       .idle_timeout = 30 * USEC_PER_S,
                                       .send_timeout = 25 * USEC_PER_S,
                                       .max_connections = 4,
                                       .replaces_idle = true,
                                       .max_buffered = 64 * 1024,
                                       .high_water = HIGH,
                                       .low_water = LOW,
                                       .max_body = 2000};
    struct http_server *s = http_server_create(loop, &limits, &handler, NULL);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    *len = sizeof *at;
    require(fd >= 0 && bind(fd, (struct sockaddr *)at, sizeof at->sun_family) == 0);
    require(getsockname(fd, (struct sockaddr *)at, len) == 0);
    require(listen(fd, 4) == 0 && http_server_adopt(s, fd) == ERR_OK);
    return s;
}

static void begin(void)
{
    signal(SIGPIPE, SIG_IGN);
    trace = (struct buf){.max = SIZE_MAX};
    loop = loop_create();
    server = open_server(&address, &address_len);
}

/* The handler reads on where it had stopped. */
static void go_on(void)
{
    while (paused != NULL) {
        struct http_conn *c = paused;
        paused = NULL;
        http_body_resume(c);
        fake_loop_settle(loop);
    }
}

static bool read_some(int fd, struct buf *out)
{
    char piece[8192];
    for (;;) {
        fake_loop_settle(loop);
        go_on();
        ssize_t n = read(fd, piece, sizeof piece);
        if (n <= 0) {
            return n < 0 && errno == EAGAIN;
        }
        require(buf_append(out, piece, (size_t)n) == ERR_OK);
    }
}

static int connect_to(const struct sockaddr_un *at, socklen_t len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    requests = replies = refused = cut_replies = allowed = 0;
    require(fd >= 0 && connect(fd, (const struct sockaddr *)at, len) == 0);
    return fd;
}

/* deaf: nothing is read before all is sent. */
static void talk(struct span bytes, unsigned cut, bool deaf, struct buf *out)
{
    int fd = connect_to(&address, address_len);
    size_t step = cut == 0 ? bytes.len : cut % 7 == 0 ? 1 : cut;
    for (size_t at = 0; at < bytes.len; at += step) {
        size_t n = bytes.len - at < step ? bytes.len - at : step;
        ssize_t sent = write(fd, bytes.ptr + at, n);
        if (sent < 0 && errno == EAGAIN) { /* its peer does not read: no longer deaf */
            deaf = false;
            (void)read_some(fd, out);
            sent = write(fd, bytes.ptr + at, n);
        }
        if (sent < 0) { /* it was closed */
            break;
        }
        require((size_t)sent == n);
        if (deaf) {
            fake_loop_settle(loop);
        } else {
            (void)read_some(fd, out);
        }
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

static void on_drained(void *ctx)
{
    *(bool *)ctx = true;
}

/* The client reads nothing. What was not handed over in pieces is not kept for it for ever. */
static void read_nothing(struct http_server *s, int fd, struct span rest)
{
    ssize_t sent = write(fd, rest.ptr, rest.len);
    (void)sent;
    for (int i = 0; i < 12; i++) {
        fake_loop_advance(loop, 10 * USEC_PER_S);
        go_on();
    }
    require(http_server_counts(s).open == 0 || streaming != NULL);
    close(fd);
    fake_loop_settle(loop);
    go_on();
}

/* As many as there may be are idle: another one takes the place of the first. */
static void fill(struct http_server *s, const struct sockaddr_un *at, socklen_t len)
{
    int fds[4];
    for (int i = 0; i < 4; i++) {
        fds[i] = connect_to(at, len);
        fake_loop_advance(loop, USEC_PER_S);
    }
    fake_loop_advance(loop, USEC_PER_S);
    int fd = connect_to(at, len);
    char byte;
    fake_loop_settle(loop);
    require(http_server_counts(s).open == 4 && read(fds[0], &byte, 1) == 0);
    for (int i = 0; i < 4; i++) {
        close(fds[i]);
    }
    close(fd);
    fake_loop_settle(loop);
}

/* Amid its requests the client leaves or reads no more, or the server is drained, cut or destroyed: nothing is
 * left. */
static void end_amid(struct span bytes, unsigned how)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    socklen_t len = 0;
    struct http_server *s = open_server(&at, &len);
    struct buf out = {.max = SIZE_MAX};
    size_t half = bytes.len / 2;
    bool drained = false;
    if (how == 5) {
        fill(s, &at, len);
    }
    int fd = connect_to(&at, len);
    require(write(fd, bytes.ptr, half) == (ssize_t)half);
    fake_loop_settle(loop);
    if (how == 0) {
        close(fd);
        go_on(); /* what is not read is not seen to end */
    } else if (how == 1) {
        require(shutdown(fd, SHUT_WR) == 0);
    } else if (how == 2) {
        http_server_drain(s, on_drained, &drained);
    } else if (how == 3) {
        uint64_t open = http_server_counts(s).open;
        require(http_server_cut(s) <= open);
    } else if (how == 4) {
        http_server_destroy(s);
        streaming = paused = NULL;
        open_requests = 0;
    } else {
        read_nothing(s, fd, span_make(bytes.ptr + half, bytes.len - half));
    }
    for (int i = 0; i < 12 && how > 0 && how < 4; i++) {
        ssize_t sent = i == 0 ? write(fd, bytes.ptr + half, bytes.len - half) : 0;
        (void)sent;
        (void)read_some(fd, &out);
        fake_loop_advance(loop, 10 * USEC_PER_S);
    }
    fake_loop_settle(loop);
    require(open_requests == 0 && streaming == NULL);
    require(how == 4 || http_server_counts(s).open == 0);
    require(how != 2 || drained);
    close(how == 0 || how == 5 ? -1 : fd);
    http_server_destroy(how != 4 ? s : NULL);
    buf_free(&out);
    buf_clear(&trace);
}

/* Takes the interim answers out: whether one is sent depends on what came
 * together. */
static void without_interim(struct buf *out)
{
    struct span interim = SPAN("HTTP/1.1 100 Continue\r\n\r\n");
    for (size_t at = 0; (at = span_find(buf_span(out), interim, at)) != SIZE_MAX;) {
        out->len -= interim.len;
        memmove(out->data + at, out->data + at + interim.len, out->len - at);
    }
}

/* Takes the refusal off, the last reply: of a head with two faults the one that
 * is seen first is named. */
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

/* Length of the reply at the beginning; 0: it is not whole. */
static size_t reply_len(struct span s, bool no_body)
{
    const struct reply r = reply_at(s, no_body, true);
    if (r.head.ptr != NULL) {
        require(span_find(r.head, SPAN("\r\nX-Evil"), 0) == SIZE_MAX);
        require(reply_field(r.head, "Access-Control-Allow-Origin").ptr == NULL || allowed > 0);
    }
    return r.len;
}

/* Each reply of the handler's and each refusal is there, in order and whole. */
static void check_replies(const struct buf *out)
{
    size_t count = 0;
    struct span rest = buf_span(out);
    for (; rest.len > 0; count++) {
        size_t n = reply_len(rest, count < replies && to_head[count]);
        if (n == 0) {
            require(cut_replies > 0);
            count++;
            break;
        }
        rest = span_make(rest.ptr + n, rest.len - n);
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
    talk(bytes, 0, false, &once);
    without_interim(&once);
    check_replies(&once);
    size_t refusals = without_refusal(&once);
    require(buf_append_span(&seen, buf_span(&trace)) == ERR_OK);
    buf_clear(&trace);
    talk(bytes, data[0] == 0 ? 1 : data[0], data[0] % 5 == 0, &cut);
    without_interim(&cut);
    check_replies(&cut);
    require(early || without_refusal(&cut) == refusals);
    require(early || (span_eq(buf_span(&seen), buf_span(&trace)) &&
                      span_eq(buf_span(&once), buf_span(&cut))));
    buf_free(&once);
    buf_free(&cut);
    buf_free(&seen);
    end_amid(bytes, data[0] % 6);
    return 0;
}
