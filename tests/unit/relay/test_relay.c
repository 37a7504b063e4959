/* test_relay.c: a real client and a scripted model server with the relay between them: what passes,
 * what each side's slowness does to the other, and how ends that are none reach the client.
 */
#include "support/crowd.h"
#include "unit/upstream/probe.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "lull/path/relay/relay.h"

enum { LARGE = 64 * 1024 * 1024, BOUND = 56 * 1024 * 1024 }; /* the kernel's buffers are below */

struct fixture {
    struct world *w;
    struct http_server *http;
    struct relay *relay;
    struct relay_options options;
    bool hold; /* the handler holds the body */
    struct relay_result result;
    int dones;
    /* the client */
    int fd;
    struct loop_watch *watch;
    bool reading, closed;
    struct buf in;     /* what it read, without a body that is pattern() */
    size_t body_bytes; /* of that body */
    size_t reads;
    bool discard;         /* the body is pattern() */
    size_t to_send, sent; /* bytes of a generated body */
};

static void on_relay_done(void *ctx, const struct relay_result *result)
{
    struct fixture *f = ctx;
    f->relay = NULL;
    f->result = *result;
    f->dones++;
    if (f->fd < 0) {
        loop_stop(f->w->loop);
    }
}

static void start(struct fixture *f, struct http_conn *c)
{
    f->options.conn = c;
    f->options.to = &f->w->server.to;
    f->options.target = http_conn_request(c)->target;
    f->options.body_held = f->hold;
    f->options.on_done = on_relay_done;
    f->options.ctx = f;
    f->relay = relay_start(f->w->loop, f->w->pool, &f->options);
}

static void on_request(struct http_conn *c, void *ctx)
{
    struct fixture *f = ctx;
    if (f->hold) {
        http_body_hold(c, 1024);
    } else {
        http_body_stream(c);
        start(f, c);
    }
}

static void on_body_end(struct http_conn *c, void *ctx)
{
    struct fixture *f = ctx;
    if (f->hold) {
        start(f, c);
    } else if (f->relay != NULL) {
        relay_body_end(f->relay);
    }
}

static void on_body(struct http_conn *c, struct span piece, void *ctx)
{
    struct fixture *f = ctx;
    (void)c;
    if (f->relay != NULL) {
        relay_body(f->relay, piece);
    }
}

static void on_gone(struct http_conn *c, void *ctx)
{
    struct fixture *f = ctx;
    (void)c;
    if (f->relay != NULL) {
        relay_client_gone(f->relay);
    }
}

static void on_writable(struct http_conn *c, void *ctx)
{
    struct fixture *f = ctx;
    (void)c;
    if (f->relay != NULL) {
        relay_writable(f->relay);
    }
}

/* ---- the client ---- */

static void client_watch(struct fixture *f)
{
    loop_watch_set(f->watch,
                   (f->reading ? LOOP_READ : 0) | (f->sent < f->to_send ? LOOP_WRITE : 0));
}

static void client_close(struct fixture *f)
{
    if (f->fd >= 0) {
        loop_watch_destroy(f->watch);
        close(f->fd);
        f->fd = -1;
    }
}

/* Keeps the head; of a body that is pattern() only the count. */
static void client_keep(struct fixture *f, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (f->discard && span_ends(buf_span(&f->in), SPAN("\r\n\r\n"))) {
            require(bytes[i] == pattern(f->body_bytes));
            f->body_bytes++;
        } else {
            require_ok(buf_append_char(&f->in, bytes[i]));
        }
    }
}

static void client_event(void *ctx, int events)
{
    struct fixture *f = ctx;
    char bytes[65536];
    if ((events & LOOP_WRITE) != 0) {
        size_t n = f->to_send - f->sent < sizeof bytes ? f->to_send - f->sent : sizeof bytes;
        for (size_t i = 0; i < n; i++) {
            bytes[i] = pattern(f->sent + i);
        }
        ssize_t done = send(f->fd, bytes, n, MSG_NOSIGNAL);
        f->sent += done > 0 ? (size_t)done : 0;
    }
    if ((events & LOOP_READ) != 0 && f->reading) {
        ssize_t n = recv(f->fd, bytes, sizeof bytes, 0);
        if (n > 0) {
            f->reads++;
            client_keep(f, bytes, (size_t)n);
        } else if (n == 0 || errno != EAGAIN) {
            f->closed = true;
            client_close(f);
            loop_stop(f->w->loop);
            return;
        }
    }
    client_watch(f);
}

static void client_send(struct fixture *f, const char *head, size_t body)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *address = http_server_address(f->http, 0);
    to.sin_port = htons((uint16_t)strtoul(strrchr(address, ':') + 1, NULL, 10));
    f->fd = socket(AF_INET, SOCK_STREAM, 0);
    require(f->fd >= 0);
    int connected = connect(f->fd, (struct sockaddr *)&to, sizeof to);
    ssize_t sent = send(f->fd, head, strlen(head), MSG_NOSIGNAL);
    require(connected == 0 && sent == (ssize_t)strlen(head));
    require_ok(os_set_nonblocking(f->fd));
    f->watch = loop_watch_create(f->w->loop, f->fd, client_event, f);
    f->to_send = body;
    client_watch(f);
}

/* The same over a socket of packets: each call of the server is a read of its own. */
static void client_send_packets(struct fixture *f, struct span head)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t len = sizeof address;
    int server = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(server, (struct sockaddr *)&address, sizeof address.sun_family), 0);
    assert_int_equal(getsockname(server, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(listen(server, 1), 0);
    require_ok(http_server_adopt(f->http, server));
    f->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(f->fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(send(f->fd, head.ptr, head.len, 0), head.len);
    f->watch = loop_watch_create(f->w->loop, f->fd, client_event, f);
}

/* Runs until the connection of the client has ended. */
static void run_to_end(struct fixture *f)
{
    f->reading = true;
    client_watch(f);
    world_run(f->w);
    assert_true(f->closed);
    assert_int_equal(f->dones, 1);
}

static int setup(void **state)
{
    static const struct http_handler handler = {.on_request = on_request,
                                                .on_body_end = on_body_end,
                                                .on_body = on_body,
                                                .on_gone = on_gone,
                                                .on_writable = on_writable};
    const struct http_limits limits = {.header_timeout = 60 * USEC_PER_S,
                                       .body_timeout = 60 * USEC_PER_S,
                                       .idle_timeout = 60 * USEC_PER_S,
                                       .max_connections = 8,
                                       .max_buffered = 1 << 20};
    struct fixture *f = mem_new(sizeof *f);
    f->w = world_open(NULL);
    f->http = http_server_create(f->w->loop, &limits, &handler, f);
    f->fd = -1;
    f->reading = true;
    buf_init(&f->in, (size_t)1 << 20);
    require_ok(http_server_listen(f->http, "127.0.0.1:0", 0, NULL, 0));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    void *w = f->w;
    client_close(f);
    http_server_destroy(f->http);
    buf_free(&f->in);
    free(f);
    return world_teardown(&w);
}

static void assert_in(const struct fixture *f, const char *text)
{
    assert_true(span_find(buf_span(&f->in), span_of(text), 0) != SIZE_MAX);
}

static void assert_not_in(const struct buf *b, const char *text)
{
    assert_true(span_find(buf_span(b), span_of(text), 0) == SIZE_MAX);
}

/* ---- among others that are ready ---- */

static void looks_for_a_piece(void *ctx)
{
    struct fixture *f = ctx;
    char byte;
    if (recv(f->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0) {
        loop_stop(f->w->loop);
    }
}

/* What is urgent for the relay is so for both of its connections. */
static void a_piece_is_passed_on_before_others_are_called(void **state)
{
    struct fixture *f = *state;
    static const struct answer answer[] = {
        {.bytes = LITERAL("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")}};
    struct crowd crowd = {.called = looks_for_a_piece, .ctx = f};
    f->options.urgent = true;
    scripted_script(&f->w->server, answer, 1);
    client_send(f, "GET / HTTP/1.1\r\nHost: lull\r\nConnection: close\r\n\r\n", 0);
    while (!span_ends(buf_span(&f->in), SPAN("first"))) {
        world_run_for(f->w, USEC_PER_MS);
    }
    f->reading = false; /* the crowd looks */
    client_watch(f);
    crowd_open(&crowd, f->w->loop, CROWD_ROOM);
    scripted_say(&f->w->server, 0, SPAN("piece"));
    world_run(f->w);
    assert_in_range(crowd.calls, 1, 80);
    crowd_close(&crowd);
    run_to_end(f);
    assert_in(f, "firstpiece");
}

/* Chunks that came together leave together, with the end behind them. */
static void what_one_read_brings_leaves_in_one_call(void **state)
{
    struct fixture *f = *state;
    static const struct answer answers[] = {
        {.bytes = LITERAL("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")}};
    scripted_script(&f->w->server, answers, 1);
    client_send_packets(f, SPAN("GET / HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n"));
    run_to_end(f);
    assert_in(f, "\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
    assert_int_equal(f->reads, 1);
    assert_true(f->result.whole);
}

/* ---- what passes ---- */

static void fields_pass_but_those_of_one_hop(void **state)
{
    struct fixture *f = *state;
    static const struct answer answer[] = {
        {.bytes = LITERAL("HTTP/1.1 203 Fine\r\nx-B: 2\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
                          "Keep-Alive: 5\r\nContent-Length: 2\r\nX-a: 1\r\n\r\nok")}};
    char want[512];
    scripted_script(&f->w->server, answer, 1);
    client_send(f,
                "GET /v1/models?x=1 HTTP/1.1\r\nHost: lull\r\nx-One: 1\r\nTE: trailers\r\n"
                "Connection: close, X-Mine\r\nX-Mine: 1\r\nExpect: x\r\nX-Two: 2\r\n\r\n",
                0);
    run_to_end(f);
    snprintf(want, sizeof want,
             "GET /v1/models?x=1 HTTP/1.1\r\nHost: %s\r\nx-One: 1\r\nX-Two: 2\r\n\r\n",
             f->w->server.host);
    assert_int_equal(f->w->server.seen.len, strlen(want));
    assert_memory_equal(f->w->server.seen.data, want, strlen(want));
    const char *reply = "HTTP/1.1 203 Fine\r\nx-B: 2\r\nX-a: 1\r\nContent-Length: 2\r\n"
                        "Connection: close\r\n\r\nok";
    assert_int_equal(f->in.len, strlen(reply));
    assert_memory_equal(f->in.data, reply, strlen(reply));
    assert_true(f->result.whole);
    assert_int_equal(f->result.status, 203);
}

static const struct answer ok[] = {
    {.bytes = LITERAL("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")}};

static void the_key_of_the_server_replaces_the_first_authorization(void **state)
{
    struct fixture *f = *state;
    scripted_script(&f->w->server, ok, 1);
    f->w->server.to.api_key = (char *)"key";
    f->options.extra_headers = SPAN("X-Lull-Task: title\r\nA: b\r\n");
    client_send(f,
                "GET / HTTP/1.1\r\nHost: l\r\nA: 1\r\nAuthorization: Bearer mine\r\nB: 2\r\n"
                "Authorization: Basic x\r\nConnection: close\r\n\r\n",
                0);
    run_to_end(f);
    assert_true(span_find(buf_span(&f->w->server.seen),
                          SPAN("A: 1\r\nAuthorization: Bearer key\r\nB: 2\r\n\r\n"),
                          0) != SIZE_MAX);
    assert_in(f, "X-Lull-Task: title\r\nA: b\r\n");
}

static void a_client_token_does_not_pass(void **state)
{
    struct fixture *f = *state;
    scripted_script(&f->w->server, ok, 1);
    f->options.strip_authorization = true;
    client_send(
        f, "GET / HTTP/1.1\r\nHost: l\r\nAuthorization: Bearer t\r\nConnection: close\r\n\r\n", 0);
    run_to_end(f);
    assert_not_in(&f->w->server.seen, "Authorization");
    assert_true(f->result.whole);
}

static void a_held_body_is_sent(void **state)
{
    struct fixture *f = *state;
    scripted_script(&f->w->server, ok, 1);
    f->hold = true;
    client_send(
        f, "POST /x HTTP/1.1\r\nHost: l\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody", 0);
    run_to_end(f);
    assert_true(span_ends(buf_span(&f->w->server.seen), SPAN("\r\n\r\nbody")));
    assert_true(f->result.whole && f->result.first_data.us > 0);
}

/* ---- backpressure ---- */

/* Runs until so many bytes, which one side sends, stay as they are over some turns of the loop. */
static void run_until_still(struct fixture *f, const size_t *sent)
{
    enum { TURNS = 50 };
    size_t before = SIZE_MAX;
    for (int still = 0; still < TURNS; still++) {
        still = *sent == before ? still : 0;
        before = *sent;
        world_run_for(f->w, USEC_PER_MS);
    }
}

static void a_client_that_does_not_read_stops_the_server(void **state)
{
    struct fixture *f = *state;
    char head[128];
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", LARGE);
    const struct answer answer[] = {{.bytes = span_of(head), .generate = LARGE}};
    scripted_script(&f->w->server, answer, 1);
    f->reading = false;
    f->discard = true;
    client_send(f, "GET / HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n", 0);
    run_until_still(f, &f->w->server.sent);
    assert_int_equal(f->w->server.requests, 1);
    assert_true(f->w->server.sent < BOUND);
    assert_int_equal(f->dones, 0);
    run_to_end(f);
    assert_int_equal(f->body_bytes, LARGE);
    assert_true(f->result.whole);
}

static void a_server_that_does_not_read_stops_the_client(void **state)
{
    struct fixture *f = *state;
    static const struct answer answer[] = {
        {.bytes = LITERAL("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), .stop_reading = true}};
    char head[128];
    scripted_script(&f->w->server, answer, 1);
    f->w->server.discard = true;
    snprintf(head, sizeof head,
             "POST / HTTP/1.1\r\nHost: l\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
             LARGE);
    client_send(f, head, LARGE);
    run_until_still(f, &f->sent);
    assert_true(f->sent < BOUND);
    scripted_script(&f->w->server, ok, 1); /* does not stop reading again */
    scripted_read_on(&f->w->server);
    run_to_end(f);
    assert_int_equal(f->sent, LARGE);
    assert_true(f->w->server.received > LARGE);
    assert_true(f->result.whole);
}

/* ---- ends ---- */

static void an_answer_before_the_end_of_the_request_passes(void **state)
{
    struct fixture *f = *state;
    static const struct answer answer[] = {
        {.bytes = LITERAL("HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno"), .at_head = true}};
    scripted_script(&f->w->server, answer, 1);
    f->w->server.discard = true;
    client_send(f, "POST / HTTP/1.1\r\nHost: l\r\nContent-Length: 1000000\r\n\r\n", 100);
    world_run_for(f->w, 0);
    while (span_find(buf_span(&f->in), SPAN("\r\n\r\nno"), 0) == SIZE_MAX) {
        world_run_for(f->w, USEC_PER_MS);
    }
    assert_in(f, "HTTP/1.1 413 No\r\n");
    assert_in(f, "Connection: close\r\n");
    assert_int_equal(f->dones, 1);
    assert_true(f->result.whole);
}

static void a_cut_answer_is_a_cut_one_for_the_client(void **state)
{
    struct fixture *f = *state;
    static const struct answer answer[] = {
        {.bytes = LITERAL("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
         .after = CLOSE}};
    scripted_script(&f->w->server, answer, 1);
    client_send(f, "GET / HTTP/1.1\r\nHost: l\r\n\r\n", 0);
    run_to_end(f);
    assert_in(f, "3\r\nabc\r\n");
    assert_not_in(&f->in, "\r\n0\r\n");
    assert_false(f->result.whole);
    assert_false(f->result.own_error);
    assert_int_equal(f->result.status, 200);
}

static void relay_close_delimited(struct fixture *f, struct span answer_bytes)
{
    const struct answer answer[] = {{.bytes = answer_bytes, .after = CLOSE}};
    scripted_script(&f->w->server, answer, 1);
    client_send(f, "GET / HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n", 0);
    run_to_end(f);
}

static void json_that_only_the_close_ends_is_whole_at_its_end(void **state)
{
    struct fixture *f = *state;
    relay_close_delimited(
        f, SPAN("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"a\":1} \n"));
    assert_true(f->result.whole);
    assert_true(span_ends(buf_span(&f->in), SPAN("\r\n0\r\n\r\n")));
}

static void json_that_the_close_cuts_is_a_cut_one(void **state)
{
    struct fixture *f = *state;
    relay_close_delimited(f,
                          SPAN("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"a\":"));
    assert_false(f->result.whole);
    assert_not_in(&f->in, "\r\n0\r\n");
}

static void a_line_that_the_close_cuts_is_a_cut_one(void **state)
{
    struct fixture *f = *state;
    relay_close_delimited(
        f, SPAN("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\ndata: "));
    assert_false(f->result.whole);
    assert_not_in(&f->in, "\r\n0\r\n");
}

static void a_server_that_is_not_there_is_our_own_502(void **state)
{
    struct fixture *f = *state;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    int bound = socket(AF_INET, SOCK_STREAM, 0); /* bound and not listening: it refuses */
    assert_int_equal(bind(bound, (struct sockaddr *)&in, len), 0);
    assert_int_equal(getsockname(bound, (struct sockaddr *)&in, &len), 0);
    snprintf(f->w->server.origin, sizeof f->w->server.origin, "http://127.0.0.1:%d",
             ntohs(in.sin_port));
    f->options.extra_headers = SPAN("X-Lull-Task: title\r\n");
    client_send(f, "GET / HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n", 0);
    run_to_end(f);
    assert_in(f, "HTTP/1.1 502 Bad Gateway\r\n");
    assert_in(f, "X-Lull-Task: title\r\n");
    close(bound);
    assert_in(f, "scripted (connection refused)");
    assert_true(f->result.own_error && f->result.unreachable && !f->result.whole);
    assert_string_equal(f->result.why, "connection refused");
    assert_int_equal(f->result.status, 502);
}

static void a_client_that_leaves_ends_the_call(void **state)
{
    struct fixture *f = *state;
    static const struct answer answer[] = {
        {.bytes = LITERAL("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")}};
    scripted_script(&f->w->server, answer, 1);
    client_send(f, "GET / HTTP/1.1\r\nHost: l\r\n\r\n", 0);
    while (span_find(buf_span(&f->in), SPAN("abc"), 0) == SIZE_MAX) {
        world_run_for(f->w, USEC_PER_MS);
    }
    client_close(f);
    world_run_until_closed(f->w, 1);
    assert_int_equal(f->dones, 1);
    assert_true(f->result.client_gone);
    assert_false(f->result.whole);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(fields_pass_but_those_of_one_hop),
        TEST(a_piece_is_passed_on_before_others_are_called),
        TEST(what_one_read_brings_leaves_in_one_call),
        TEST(the_key_of_the_server_replaces_the_first_authorization),
        TEST(a_client_token_does_not_pass),
        TEST(a_held_body_is_sent),
        TEST(a_client_that_does_not_read_stops_the_server),
        TEST(a_server_that_does_not_read_stops_the_client),
        TEST(an_answer_before_the_end_of_the_request_passes),
        TEST(a_cut_answer_is_a_cut_one_for_the_client),
        TEST(json_that_only_the_close_ends_is_whole_at_its_end),
        TEST(json_that_the_close_cuts_is_a_cut_one),
        TEST(a_line_that_the_close_cuts_is_a_cut_one),
        TEST(a_server_that_is_not_there_is_our_own_502),
        TEST(a_client_that_leaves_ends_the_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
