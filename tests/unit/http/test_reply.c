/* test_reply.c: in which calls a reply in pieces leaves, and why a body is not held. Over a socket of
 * packets each call of the server is one packet to the client; over a stream with little room heads and
 * pieces leave in parts.
 */
#include "support/check.h"
#include "support/no_events.h"

#include "lull/base/loop.h"
#include "lull/http/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define GET "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define HEAD(framing) "HTTP/1.1 200 OK\r\n" framing "\r\n\r\n"
#define CHUNKED HEAD("Transfer-Encoding: chunked")

enum { MAX_BUFFERED = 1024 };
enum what {
    NOTHING,
    PIECE,
    END,
    PIECE_AND_END,
    CUT,
    TWO_PIECES,
    SOON,
    SOON_AND_PIECE,
    SOON_AND_END,
    SOON_AND_CUT,
    LONG_SOON, /* longer than what waits */
};

static const char LONG[20000];

struct world {
    struct loop *loop;
    struct loop_timer *timer;
    struct http_server *server;
    struct http_conn *conn;
    int client;
    enum what what;    /* is done in the turn of the head */
    enum what later;   /* the same of the requests behind the first */
    int64_t length;    /* of the reply */
    size_t blank;      /* bytes of a header of the reply; 0: it has none */
    size_t high_water; /* 0: enough for all */
    unsigned called;   /* on_request */
    unsigned gone;     /* on_gone */
    int64_t max_body;
    size_t hold; /* bytes of a body; 0: none is held */
    struct budget memory;
    enum err why; /* it was not */
};

static void act(struct world *w, enum what what)
{
    if (what == PIECE || what == PIECE_AND_END || what == TWO_PIECES) {
        assert_true(http_reply_data(w->conn, SPAN("piece")));
    } else if (what >= SOON) {
        assert_true(http_reply_soon(w->conn, SPAN("piece")));
    }
    if (what == TWO_PIECES || what == SOON_AND_PIECE) {
        assert_true(http_reply_data(w->conn, SPAN("more")));
    } else if (what == LONG_SOON) {
        assert_true(http_reply_soon(w->conn, span_make(LONG, sizeof LONG)));
    }
    if (what == END || what == PIECE_AND_END || what == SOON_AND_END) {
        http_reply_end(w->conn);
    } else if (what == CUT || what == SOON_AND_CUT) {
        http_reply_cut(w->conn);
    }
}

static void on_request(struct http_conn *c, void *ctx)
{
    struct world *w = ctx;
    if (w->hold > 0) {
        http_body_hold(c, w->hold);
        return;
    }
    char *blank = mem_new(w->blank + 1);
    memset(blank, 'x', w->blank);
    const struct http_header field = {SPAN("X-Long"), span_make(blank, w->blank)};
    w->conn = c;
    w->called++;
    http_reply_begin(c, 200, SPAN_NONE, &field, w->blank > 0 ? 1 : 0, w->length);
    free(blank);
    act(w, w->called == 1 ? w->what : w->later);
}

static void on_gone(struct http_conn *c, void *ctx)
{
    struct world *w = ctx;
    (void)c;
    w->gone++;
}

static void on_body_too_large(struct http_conn *c, void *ctx)
{
    struct world *w = ctx;
    w->why = http_body_error(c);
    http_reply_full(c, 503, SPAN_NONE, SPAN_NONE, SPAN_NONE);
}

static void stop(void *ctx)
{
    loop_stop(ctx);
}

/* Turns of the loop for a millisecond. */
static void run(struct world *w)
{
    loop_timer_start(w->timer, USEC_PER_MS);
    loop_run(w->loop);
}

/* What comes next; turns of the loop until it does, or for ten seconds. 0: the end. */
static ssize_t receive(struct world *w, char *to, size_t room)
{
    ssize_t n = recv(w->client, to, room, 0);
    for (int i = 0; n < 0 && i < 10000; i++) {
        run(w);
        n = recv(w->client, to, room, 0);
    }
    return n;
}

static void begin(struct world *w, int type)
{
    static const struct http_handler handler = {.on_request = on_request,
                                                .on_body_end = no_event,
                                                .on_body_too_large = on_body_too_large,
                                                .on_body = no_piece,
                                                .on_gone = on_gone,
                                                .on_writable = no_event};
    const struct http_limits limits = {.header_timeout = USEC_PER_S,
                                       .body_timeout = USEC_PER_S,
                                       .idle_timeout = USEC_PER_S,
                                       .max_connections = 10,
                                       .max_buffered = MAX_BUFFERED,
                                       .high_water = w->high_water > 0 ? w->high_water : 1 << 20,
                                       .low_water = 1 << 10,
                                       .memory = &w->memory,
                                       .max_body = w->max_body};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t len = sizeof address;
    w->loop = loop_create();
    w->timer = loop_timer_create(w->loop, stop, w->loop);
    w->server = http_server_create(w->loop, &limits, &handler, w);
    int fd = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address.sun_family), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(listen(fd, 4), 0);
    assert_int_equal(http_server_adopt(w->server, fd), ERR_OK);
    w->client = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(w->client, (struct sockaddr *)&address, len), 0);
}

static void end(struct world *w)
{
    close(w->client);
    run(w);
    http_server_destroy(w->server);
    loop_timer_destroy(w->timer);
    loop_destroy(w->loop);
}

static void ask(struct world *w)
{
    assert_int_equal(send(w->client, GET, sizeof GET - 1, 0), sizeof GET - 1);
    run(w);
}

/* NULL: none has come. "": the end. */
static void expect_packet(struct world *w, const char *want)
{
    char bytes[512];
    if (want == NULL) {
        run(w);
        assert_true(recv(w->client, bytes, sizeof bytes, 0) < 0);
        return;
    }
    assert_int_equal(receive(w, bytes, sizeof bytes), strlen(want));
    assert_memory_equal(bytes, want, strlen(want));
}

static void a_head_leaves_with_what_follows_in_its_turn(void **state)
{
    static const struct {
        enum what what;
        int64_t length;
        const char *first, *second;
    } rows[] = {
        {PIECE, -1, CHUNKED "5\r\npiece\r\n", NULL},
        {PIECE_AND_END, -1, CHUNKED "5\r\npiece\r\n", "0\r\n\r\n"},
        {TWO_PIECES, -1, CHUNKED "5\r\npiece\r\n", "4\r\nmore\r\n"},
        {END, -1, CHUNKED "0\r\n\r\n", NULL},
        {PIECE_AND_END, 5, HEAD("Content-Length: 5") "piece", NULL},
        {END, 0, HEAD("Content-Length: 0"), NULL},
        {NOTHING, -1, CHUNKED, NULL},
        {CUT, -1, CHUNKED, ""},
        {SOON, -1, CHUNKED "5\r\npiece\r\n", NULL},
        {SOON_AND_PIECE, -1, CHUNKED "5\r\npiece\r\n4\r\nmore\r\n", NULL},
        {SOON_AND_END, -1, CHUNKED "5\r\npiece\r\n0\r\n\r\n", NULL},
        {SOON_AND_END, 5, HEAD("Content-Length: 5") "piece", NULL},
        {SOON_AND_CUT, -1, CHUNKED "5\r\npiece\r\n", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w = {.what = rows[i].what, .length = rows[i].length};
        begin(&w, SOCK_SEQPACKET);
        ask(&w);
        expect_packet(&w, rows[i].first);
        expect_packet(&w, rows[i].second);
        end(&w);
    }
}

static void a_head_alone_leaves_at_the_end_of_the_turn(void **state)
{
    struct world w = {.what = NOTHING, .length = -1};
    (void)state;
    begin(&w, SOCK_SEQPACKET);
    ask(&w);
    expect_packet(&w, CHUNKED);
    act(&w, PIECE_AND_END);
    expect_packet(&w, "5\r\npiece\r\n");
    expect_packet(&w, "0\r\n\r\n");
    ask(&w); /* the next request of the connection */
    expect_packet(&w, CHUNKED);
    assert_int_equal(w.called, 2);
    end(&w);
}

/* Behind a head that has left already. What waits counts as sent: no on_writable would come for it. */
static void a_piece_waits_for_what_follows_in_its_turn(void **state)
{
    struct world w = {.what = NOTHING, .length = -1, .high_water = 4};
    (void)state;
    begin(&w, SOCK_SEQPACKET);
    ask(&w);
    expect_packet(&w, CHUNKED);
    act(&w, SOON);
    assert_true(recv(w.client, (char[1]){0}, 1, MSG_PEEK) < 0);
    expect_packet(&w, "5\r\npiece\r\n"); /* nothing followed */
    act(&w, SOON_AND_PIECE);
    expect_packet(&w, "5\r\npiece\r\n4\r\nmore\r\n");
    act(&w, SOON);
    act(&w, SOON_AND_END);
    expect_packet(&w, "5\r\npiece\r\n5\r\npiece\r\n0\r\n\r\n");
    end(&w);
}

/* What waits stays little. */
static void a_long_piece_does_not_wait(void **state)
{
    struct world w = {.what = NOTHING, .length = -1};
    char bytes[2 * sizeof LONG];
    (void)state;
    begin(&w, SOCK_SEQPACKET);
    ask(&w);
    expect_packet(&w, CHUNKED);
    act(&w, LONG_SOON);
    assert_int_equal(recv(w.client, bytes, sizeof bytes, 0), strlen("5\r\npiece\r\n"
                                                                    "4e20\r\n\r\n") +
                                                                 sizeof LONG);
    act(&w, END);
    expect_packet(&w, "0\r\n\r\n");
    end(&w);
}

static void a_reply_without_a_body_ends_its_connection(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    struct world w = {.what = END, .length = 0};
    (void)state;
    begin(&w, SOCK_SEQPACKET);
    assert_int_equal(send(w.client, request, sizeof request - 1, 0), sizeof request - 1);
    run(&w);
    expect_packet(&w, HEAD("Content-Length: 0\r\nConnection: close"));
    expect_packet(&w, "");
    end(&w);
}

/* Reads so many bytes, and lets the server go on. */
static void read_bytes(struct world *w, size_t count, struct buf *out)
{
    char bytes[700];
    for (size_t left = count; left > 0;) {
        ssize_t n = receive(w, bytes, left < sizeof bytes ? left : sizeof bytes);
        assert_true(n > 0);
        require_ok(buf_append(out, bytes, (size_t)n));
        left -= (size_t)n;
    }
}

/* A large head, of which the socket takes only the beginning. */
static void a_head_in_parts_stays_before_its_body(void **state)
{
    (void)state;
    for (size_t blank = 200 * 1024; blank < 400 * 1024; blank += 37 * 1024) {
        struct world w = {.what = TWO_PIECES, .length = -1, .blank = blank};
        struct buf got = {.max = SIZE_MAX}, want = {.max = SIZE_MAX};
        begin(&w, SOCK_STREAM);
        char *x = mem_new(blank);
        memset(x, 'x', blank);
        require_ok(buf_append_span(&want, SPAN("HTTP/1.1 200 OK\r\nX-Long: ")));
        require_ok(buf_append(&want, x, blank));
        free(x);
        require_ok(buf_append_span(&want, SPAN("\r\nTransfer-Encoding: chunked\r\n\r\n"
                                               "5\r\npiece\r\n4\r\nmore\r\n0\r\n\r\n")));
        w.what = TWO_PIECES;
        ask(&w);
        read_bytes(&w, want.len - 5, &got); /* all but the last chunk */
        act(&w, END);
        read_bytes(&w, 5, &got);
        expect_packet(&w, NULL);
        assert_memory_equal(got.data, want.data, want.len);
        buf_free(&got);
        buf_free(&want);
        end(&w);
    }
}

/* A body that is malformed or too long behind a reply that was made, or begun, early: the client reads
 * all that was sent, that of the request before too. */
static void replies_that_wait_are_sent_before_a_body_that_fails_ends_the_connection(void **state)
{
    enum { BLANK = 250 * 1024 };
    static const char post[] = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    static const char *const bodies[] = {"zz\r\n", "9999\r\n"};
    (void)state;
    for (size_t row = 0; row < 4; row++) {
        bool whole = row % 2 == 0;
        struct world w = {.what = PIECE_AND_END,
                          .later = whole ? PIECE_AND_END : PIECE,
                          .length = -1,
                          .blank = BLANK,
                          .max_body = 1000};
        struct buf got = {.max = SIZE_MAX}, all = {.max = SIZE_MAX};
        begin(&w, SOCK_STREAM);
        require_ok(buf_printf(&all, "%s%s%s%2000s", GET, post, bodies[row / 2], ""));
        assert_int_equal(send(w.client, all.data, all.len, 0), all.len);
        for (int i = 0; i < 1000 && w.called < 2; i++) { /* one lasts a millisecond */
            run(&w);
        }
        assert_int_equal(w.called, 2);
        size_t heads = strlen("HTTP/1.1 200 OK\r\nX-Long: \r\nTransfer-Encoding: chunked\r\n\r\n");
        size_t closes = strlen("Connection: close\r\n");
        size_t pieces = strlen("5\r\npiece\r\n"), end_mark = strlen("0\r\n\r\n");
        read_bytes(&w, 2 * (heads + BLANK + pieces) + closes + end_mark * (whole ? 2 : 1), &got);
        expect_packet(&w, "");
        assert_span(span_make(got.data + got.len - 10, 10),
                    whole ? "ece\r\n0\r\n\r\n" : "5\r\npiece\r\n");
        assert_int_equal(w.gone, whole ? 0 : 1);
        buf_free(&got);
        buf_free(&all);
        end(&w);
    }
}

/* A reply that comes before its request has ended: a client may send the rest before it reads. */
static void the_rest_of_a_body_may_come_after_the_reply(void **state)
{
    static const char rest[1000];
    char got[200] = "";
    struct world w = {.what = PIECE_AND_END, .length = 5};
    (void)state;
    begin(&w, SOCK_STREAM);
    dprintf(w.client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n");
    for (int i = 0; i < 10000 && recv(w.client, got, 1, MSG_PEEK) < 1; i++) {
        run(&w);
    }
    run(&w);
    assert_int_equal(send(w.client, rest, sizeof rest, MSG_NOSIGNAL), sizeof rest);
    run(&w);
    assert_int_equal(send(w.client, rest, sizeof rest, MSG_NOSIGNAL), sizeof rest);
    assert_true(receive(&w, got, sizeof got - 1) > 0);
    assert_non_null(strstr(got, "200 OK"));
    assert_non_null(strstr(got, "piece"));
    end(&w);
}

static void a_body_that_is_not_held_is_too_long_or_finds_no_memory(void **state)
{
    static const struct {
        size_t max, size;
        enum err why;
    } rows[] = {{100, 101, ERR_TOO_LARGE}, {4096, MAX_BUFFERED + 1, ERR_NOMEM}};
    char body[MAX_BUFFERED + 1] = "";
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world w = {.hold = rows[i].max};
        begin(&w, SOCK_STREAM);
        dprintf(w.client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
                rows[i].size);
        run(&w);
        assert_int_equal(w.why, ERR_OK);
        assert_int_equal(send(w.client, body, rows[i].size, 0), rows[i].size);
        assert_true(receive(&w, body, sizeof body) > 0);
        assert_int_equal(w.why, rows[i].why);
        end(&w);
    }
}

/* The client still sends what is dropped: what came before does not take the room of other bodies. */
static void a_body_that_was_answered_is_not_held_until_its_client_ends(void **state)
{
    struct world w = {.hold = 100};
    char got[512] = "";
    (void)state;
    begin(&w, SOCK_STREAM);
    dprintf(w.client, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\n%80s", "");
    for (int i = 0; i < 10000 && w.memory.used == 0; i++) {
        run(&w);
    }
    assert_int_equal(w.memory.used, 80);
    dprintf(w.client, "%80s", "");
    while (receive(&w, got, sizeof got) > 0) { /* to its end */
    }
    assert_int_equal(w.why, ERR_TOO_LARGE);
    assert_int_equal(http_server_counts(w.server).open, 1);
    assert_int_equal(w.memory.used, 0);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_leaves_with_what_follows_in_its_turn),
        cmocka_unit_test(a_head_alone_leaves_at_the_end_of_the_turn),
        cmocka_unit_test(a_piece_waits_for_what_follows_in_its_turn),
        cmocka_unit_test(a_long_piece_does_not_wait),
        cmocka_unit_test(a_reply_without_a_body_ends_its_connection),
        cmocka_unit_test(a_head_in_parts_stays_before_its_body),
        cmocka_unit_test(replies_that_wait_are_sent_before_a_body_that_fails_ends_the_connection),
        cmocka_unit_test(the_rest_of_a_body_may_come_after_the_reply),
        cmocka_unit_test(a_body_that_is_not_held_is_too_long_or_finds_no_memory),
        cmocka_unit_test(a_body_that_was_answered_is_not_held_until_its_client_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
