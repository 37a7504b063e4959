/* test_upstream_reuse.c: which connections carry a second request: no byte that one request left behind may be
 * taken for the answer of another. */
#include "unit/upstream/answers.h"

#include "path/upstream/upstream_priv.h"

struct late {
    const char *name;
    struct span bytes;
};

static const struct late lates[] = {
    {"a 408", LITERAL("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")},
    {"a whole answer", LITERAL(OTHER)},
    {"stray bytes", LITERAL("xyz")},
    {"one byte", LITERAL("H")},
    {"an empty line", LITERAL("\r\n")},
    {"half a trailer", LITERAL("X-Trail")},
    {"half an answer", LITERAL("HTTP/1.1 200 OK\r\nContent-Le")},
    {"another chunk", LITERAL("5\r\nother\r\n0\r\n\r\n")},
};
enum { LATES = sizeof lates / sizeof lates[0] };

enum {
    MUCH = 14000
}; /* chunks of a byte: more than one read of libcurl's, and than one turn gives */

/* The next two requests get their own answers, from a fresh connection. */
static void assert_not_reused(struct world *w, const char *name)
{
    struct upstream_request req = held_post(w, SPAN("{}"));
    int requests = w->server.requests;
    for (int i = 0; i < 2; i++) {
        probe_again(w);
        world_call(w, &req);
        assert_body(w, "ok");
    }
    if (w->server.accepted < 2 || w->server.requests != requests + 2) {
        fail_msg("%s: %d connections, %d requests", name, w->server.accepted, w->server.requests);
    }
}

struct saying {
    struct world *w;
    struct span bytes;
};

static void say(void *ctx)
{
    struct saying *s = ctx;
    scripted_say(&s->w->server, 0, s->bytes);
}

/* In the turn in which the next request goes out, after the loop has looked at its descriptors: the
 * request goes out with the work that is deferred in it. */
static void assert_not_reused_in_the_same_turn(struct world *w, const struct late *late)
{
    struct saying saying = {w, late->bytes};
    struct loop_deferred work = {.fn = say, .ctx = &saying};
    loop_defer(w->loop, &work);
    assert_not_reused(w, late->name);
}

static void late_bytes_on_an_idle_connection_end_it(void **state)
{
    static const struct answer answers[] = {{.bytes = LITERAL(OK)}, {.bytes = LITERAL(CHUNKED)}};
    (void)state;
    for (size_t i = 0; i < LATES * 4; i++) {
        const struct late *late = &lates[i % LATES];
        struct world *w = world_open(NULL);
        struct upstream_request req = simple_get(w);
        scripted_script(&w->server, &answers[i / LATES % 2], 1);
        world_call(w, &req);
        if (i / LATES / 2 == 0) {
            scripted_say(&w->server, 0, late->bytes);
            world_run_until_closed(w, 1);
            assert_not_reused(w, late->name);
        } else {
            assert_not_reused_in_the_same_turn(w, late);
        }
        void *over = w;
        world_teardown(&over);
    }
}

static void bytes_behind_an_answer_end_the_connection(void **state)
{
    static const struct span heads[] = {
        LITERAL(OK),
        LITERAL(CHUNKED),
        LITERAL("HTTP/1.1 204 No Content\r\n\r\n"),
        LITERAL("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n"),
        LITERAL("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        LITERAL("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")};
    (void)state;
    for (size_t i = 0; i < LATES * 6; i++) {
        char bytes[512];
        const struct late *late = &lates[i % LATES];
        struct span head = heads[i / LATES];
        memcpy(bytes, head.ptr, head.len);
        memcpy(bytes + head.len, late->bytes.ptr, late->bytes.len);
        struct answer answers[] = {{.bytes = span_make(bytes, head.len + late->bytes.len)},
                                   {.bytes = LITERAL(OK)}};
        struct world *w = world_open(NULL);
        struct upstream_request req = simple_get(w);
        scripted_script(&w->server, answers, 2);
        world_call(w, &req);
        assert_int_equal(w->probe.result, UPSTREAM_DONE);
        assert_not_reused(w, late->name);
        void *over = w;
        world_teardown(&over);
    }
}

static void a_head_request_with_a_body_behind_ends_the_connection(void **state)
{
    static const struct answer answers[] = {{.bytes = LITERAL(OTHER)}, {.bytes = LITERAL(OK)}};
    struct world *w = *state;
    struct upstream_request req = simple_get(w);
    req.method = SPAN("HEAD");
    scripted_script(&w->server, answers, 2);
    world_call(w, &req);
    assert_not_reused(w, "HEAD");
}

static void good_answers_keep_the_connection(void **state)
{
    static const struct answer answers[] = {
        {.bytes = LITERAL(OK)},
        {.bytes = LITERAL(CHUNKED)},
        {.bytes = LITERAL("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")},
        {.bytes = LITERAL("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "0002 \r\nok\r\n000;x\r\nTrailer: 1\r\n\r\n")},
        {.bytes = LITERAL("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\n0\n\n")},
        {.bytes = LITERAL(OK)}};
    struct world *w = *state;
    struct upstream_request req = held_post(w, SPAN("{}"));
    scripted_script(&w->server, answers, 6);
    for (int i = 0; i < 6; i++) {
        world_call(w, &req);
        assert_int_equal(w->probe.result, UPSTREAM_DONE);
        assert_int_equal(w->probe.taken, i == 2 ? 0 : 2);
        probe_again(w);
    }
    assert_int_equal(w->server.accepted, 1);
}

/* It begins before the request has left: it was on its way already. */
static void an_answer_that_begins_before_the_request_has_left_is_not_its_answer(void **state)
{
    static const struct answer answers[] = {
        {.bytes = LITERAL(OK)},
        {.bytes = LITERAL(OTHER), .at_head = true, .stop_reading = true},
        {.bytes = LITERAL(OK)}};
    struct world *w = *state;
    size_t size = (size_t)16 << 20;
    char *body = mem_new(size);
    struct upstream_request req = held_post(w, span_make(body, size));
    struct upstream_request get = simple_get(w);
    scripted_script(&w->server, answers, 3);
    world_call(w, &get);
    probe_again(w);
    world_call(w, &req);
    assert_body(w, "ok");
    assert_int_equal(w->server.accepted, 2);
    free(body);
}

static void what_comes_instead_of_an_answer_on_a_reused_connection_is_asked_again_once(void **state)
{
    static const struct span instead[] = {
        LITERAL(
            "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlate"),
        LITERAL("xyz"), LITERAL("0\r\n\r\n"), LITERAL("H?")};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct answer answers[] = {
            {.bytes = LITERAL(OK)}, {.bytes = instead[i]}, {.bytes = LITERAL(OK)}};
        struct world *w = world_open(NULL);
        struct upstream_request req = held_post(w, SPAN("{}"));
        scripted_script(&w->server, answers, 3);
        world_call(w, &req);
        probe_again(w);
        world_call(w, &req);
        assert_body(w, "ok");
        assert_int_equal(w->server.requests, 3);
        assert_int_equal(w->server.accepted, 2);
        void *over = w;
        world_teardown(&over);
    }
}

static void a_408_on_a_fresh_connection_is_the_answer(void **state)
{
    static const struct answer answers[] = {
        {.bytes = LITERAL("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")}};
    struct world *w = *state;
    struct upstream_request req = held_post(w, SPAN("{}"));
    scripted_script(&w->server, answers, 1);
    world_call(w, &req);
    assert_int_equal(w->probe.status, 408);
    assert_int_equal(w->server.requests, 1);
}

/* A whole answer that comes after the next request has arrived looks like its answer. So a
 * server that was seen to do such things gets a connection for each request. */
static void a_server_that_sent_unasked_bytes_is_not_trusted(void **state)
{
    static const struct answer answers[] = {{.bytes = LITERAL(OK)}};
    struct world *w = *state;
    struct upstream_request req = simple_get(w);
    scripted_script(&w->server, answers, 1);
    world_call(w, &req);
    scripted_say(&w->server, 0, SPAN("xyz"));
    world_run_until_closed(w, 1);
    for (int i = 0; i < 3; i++) {
        probe_again(w);
        world_call(w, &req);
    }
    assert_int_equal(w->server.accepted, 4);
}

/* Errors are what servers send unasked. */
static void nothing_follows_an_error_on_its_connection(void **state)
{
    static const struct answer answers[] = {
        {.bytes = LITERAL("HTTP/1.1 400 Bad Request\r\nContent-Length: 5\r\n\r\nother")},
        {.bytes = LITERAL("HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "5\r\nother\r\n0\r\n\r\n")},
        {.bytes = LITERAL(OK)},
        {.bytes = LITERAL("HTTP/1.1 399 Odd\r\nContent-Length: 0\r\n\r\n")},
        {.bytes = LITERAL(OK)}};
    static const int connections[] = {1, 2, 3, 3, 3};
    struct world *w = *state;
    struct upstream_request req = held_post(w, SPAN("{}"));
    scripted_script(&w->server, answers, 5);
    for (int i = 0; i < 5; i++) {
        world_call(w, &req);
        assert_int_equal(w->probe.result, UPSTREAM_DONE);
        assert_int_equal(w->server.accepted, connections[i]);
        probe_again(w);
    }
}

static void distrust(struct probe *p)
{
    upstream_distrust_answer(p->call);
}

/* The answer that was asked for comes behind it, and goes to no request. */
static void nothing_follows_an_answer_that_its_caller_distrusts(void **state)
{
    static const struct answer answers[] = {{.bytes = LITERAL(OK)},
                                            {.bytes = LITERAL(OTHER)},
                                            {.bytes = LITERAL(OK)},
                                            {.bytes = LITERAL(OK)},
                                            {.bytes = LITERAL(OK)}};
    struct world *w = *state;
    struct upstream_request req = held_post(w, SPAN("{}"));
    scripted_script(&w->server, answers, 5);
    world_call(w, &req);
    probe_again(w);
    w->probe.on_done = distrust;
    world_call(w, &req);
    assert_body(w, "other");
    assert_not_reused(w, "distrusted");
    assert_int_equal(w->server.accepted, 2);
}

/* ---- a server that is faster than libcurl ---- */

/* Runs when libcurl has sent something, before it looks for an answer. */
static void (*sent)(void *ctx);
static void *sent_ctx;

ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
    ssize_t n = sendto(fd, bytes, size, flags, NULL, 0);
    void (*now)(void *ctx) = sent;
    sent = NULL;
    if (now != NULL) {
        now(sent_ctx);
    }
    return n;
}

static void answer_first(void *ctx)
{
    scripted_say(&((struct world *)ctx)->server, 0, SPAN(OTHER));
}

/* libcurl has sent and read before it names the descriptor. */
static void nothing_follows_such_an_answer_that_was_read_at_once(void **state)
{
    static const struct answer answers[] = {{.bytes = LITERAL(OK)}};
    struct world *w = *state;
    struct upstream_request req = held_post(w, SPAN("{}"));
    scripted_script(&w->server, answers, 1);
    world_call(w, &req);
    probe_again(w);
    w->probe.on_done = distrust;
    sent = answer_first;
    sent_ctx = w;
    world_call(w, &req);
    assert_body(w, "other");
    while (w->server.requests < 2) { /* the one that was asked is still on its way */
        world_run_for(w, USEC_PER_MS);
    }
    assert_not_reused(w, "distrusted");
    assert_int_equal(w->server.accepted, 2);
}

/* A long answer that has come before libcurl asks for the socket. */
static void answer_much(void *ctx)
{
    struct world *w = ctx;
    struct buf bytes = {.max = (size_t)1 << 20};
    require_ok(
        buf_append_span(&bytes, SPAN("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")));
    for (int i = 0; i < MUCH; i++) {
        require_ok(buf_append_span(&bytes, SPAN("1\r\na\r\n")));
    }
    require_ok(buf_append_span(&bytes, SPAN("0\r\n\r\n")));
    scripted_say(&w->server, 0, buf_span(&bytes));
    buf_free(&bytes);
}

static int lies; /* 1: each of two connections is said to be the other one; 2: to have no port */

/* held: until 20 turns later, the caller has enough of it. */
static void read_much_at_once(const char *path, int lie, bool held)
{
    static const struct answer answers[] = {{.bytes = LITERAL(OK)}, {.bytes = LITERAL("")}};
    struct world *w = world_open(path);
    struct upstream_request req = simple_get(w);
    scripted_script(&w->server, answers, 2);
    lies = lie;
    world_call(w, &req);
    probe_again(w);
    w->probe.hold_after = held ? 1 : 0;
    sent = answer_much;
    sent_ctx = w;
    probe_start(&w->probe, &req);
    for (int turn = 0; turn < 20; turn++) {
        world_run_for(w, USEC_PER_MS);
    }
    w->probe.hold_after = 0;
    if (held) {
        probe_resume(&w->probe);
    }
    while (w->probe.dones == 0) {
        world_run_for(w, USEC_PER_MS);
    }
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    assert_int_equal(w->probe.body.len, MUCH);
    lies = 0;
    void *over = w;
    world_teardown(&over);
}

/* A pause leaves a part of the answer on a connection that libcurl has not asked for yet. It is no idle one
 * with bytes that no request asked for. */
static void an_answer_that_is_paused_at_once_is_whole(void **state)
{
    char path[64];
    (void)state;
    snprintf(path, sizeof path, "/tmp/lull-reuse-%d", (int)getpid());
    read_much_at_once(NULL, 0, true);
    read_much_at_once(NULL, 0, false);
    read_much_at_once(NULL, 2, false);
    read_much_at_once(path, 0, false);
}

static void accept_and_answer(void *ctx)
{
    struct world *w = ctx;
    scripted_accept(&w->server, LOOP_READ);
    scripted_say(&w->server, 0, SPAN(OTHER));
}

/* A Unix socket is connected at once, too: such a connection is looked at like the others. */
static void a_connection_that_libcurl_never_waited_for_is_watched(void **state)
{
    static const struct answer answers[] = {{.bytes = LITERAL(OK), .at_head = true}};
    char path[64];
    (void)state;
    snprintf(path, sizeof path, "/tmp/lull-reuse-%d", (int)getpid());
    struct world *w = world_open(path);
    struct upstream_request req = simple_get(w);
    scripted_script(&w->server, answers, 1);
    sent = accept_and_answer;
    sent_ctx = w;
    world_call(w, &req);
    assert_body(w, "other");
    world_run_until_closed(w, 1);
    for (int i = 0; i < 2; i++) {
        probe_again(w);
        world_call(w, &req);
        assert_body(w, "ok");
    }
    void *over = w;
    world_teardown(&over);
}

static void a_farewell_costs_no_trust(void **state)
{
    static const struct answer answers[] = {{.bytes = LITERAL(OK)}};
    struct world *w = *state;
    struct upstream_request req = simple_get(w);
    scripted_script(&w->server, answers, 1);
    world_call(w, &req);
    scripted_say(&w->server, 0, SPAN("HTTP/1.1 408 Request Timeout\r\n\r\n"));
    world_run_until_closed(w, 1);
    for (int i = 0; i < 3; i++) {
        probe_again(w);
        world_call(w, &req);
    }
    assert_int_equal(w->server.accepted, 2);
}

/* ---- which connection libcurl has picked ---- */

static int ports[8], asked_ports;

int __real_getsockname(int fd, struct sockaddr *address, socklen_t *len);
int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *len);

/* In place of the C library's for lull, not for libcurl. */
int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *len)
{
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)address;
    if (__real_getsockname(fd, address, len) != 0) {
        return -1;
    }
    if (address->sa_family == AF_INET && lies > 0) {
        int port = ntohs(in->sin_port);
        asked_ports++;
        in->sin_port = htons((uint16_t)(lies == 2          ? 0
                                        : port == ports[0] ? ports[1]
                                        : port == ports[1] ? ports[0]
                                                           : port));
    }
    return 0;
}

static void remember_ports(const struct world *w)
{
    for (int i = 0; i < 2; i++) {
        struct sockaddr_in in;
        socklen_t len = sizeof in;
        assert_int_equal(getpeername(w->server.peers[i].fd, (struct sockaddr *)&in, &len), 0);
        ports[i] = ntohs(in.sin_port);
    }
}

/* Two idle connections. */
static void two_connections(struct world *w, struct upstream_request *req)
{
    static const struct answer answers[] = {{.bytes = LITERAL(OK)}};
    struct probe other;
    *req = held_post(w, SPAN("{}"));
    scripted_script(&w->server, answers, 1);
    probe_init(&other, w);
    other.stop_on_done = false;
    probe_start(&other, req);
    world_call(w, req);
    while (other.dones == 0) {
        world_run_for(w, USEC_PER_MS);
    }
    probe_free(&other);
    assert_int_equal(w->server.accepted, 2);
    remember_ports(w);
    probe_again(w);
}

/* libcurl names the connection that it has picked by its port, and the request goes out on another:
 * it is asked once more on a fresh one. */
static void a_request_on_a_connection_that_was_not_looked_at_is_asked_again(void **state)
{
    struct world *w = *state;
    struct upstream_request req;
    two_connections(w, &req);
    lies = 1;
    world_call(w, &req);
    lies = 0;
    assert_body(w, "ok");
    assert_int_equal(w->server.accepted, 3);
}

/* Bytes that come in the turn in which the request goes out: where no port is known, all connections
 * are looked at. */
static void without_ports_all_connections_are_looked_at(void **state)
{
    static const struct answer answers[] = {{.bytes = LITERAL(OK)}};
    (void)state;
    for (size_t i = 0; i < LATES; i++) {
        struct world *w = world_open(NULL);
        struct upstream_request req = simple_get(w);
        scripted_script(&w->server, answers, 1);
        lies = 2;
        world_call(w, &req);
        assert_not_reused_in_the_same_turn(w, &lates[i]);
        assert_true(asked_ports > 0);
        lies = 0;
        void *over = w;
        world_teardown(&over);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(late_bytes_on_an_idle_connection_end_it),
        cmocka_unit_test(bytes_behind_an_answer_end_the_connection),
        T(a_head_request_with_a_body_behind_ends_the_connection),
        T(good_answers_keep_the_connection),
        T(an_answer_that_begins_before_the_request_has_left_is_not_its_answer),
        cmocka_unit_test(
            what_comes_instead_of_an_answer_on_a_reused_connection_is_asked_again_once),
        T(a_408_on_a_fresh_connection_is_the_answer),
        T(a_server_that_sent_unasked_bytes_is_not_trusted),
        T(nothing_follows_an_error_on_its_connection),
        T(nothing_follows_an_answer_that_its_caller_distrusts),
        T(nothing_follows_such_an_answer_that_was_read_at_once),
        cmocka_unit_test(an_answer_that_is_paused_at_once_is_whole),
        cmocka_unit_test(a_connection_that_libcurl_never_waited_for_is_watched),
        T(a_farewell_costs_no_trust),
        T(a_request_on_a_connection_that_was_not_looked_at_is_asked_again),
        cmocka_unit_test(without_ports_all_connections_are_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
