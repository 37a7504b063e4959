/* Which connections carry a second request: no byte that one request left behind may be taken for
 * the answer of another. The name's look-up is replaced here, too. */
#include "unit/upstream/probe.h"

#include "path/upstream/upstream_priv.h"

#include <netdb.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define LITERAL(text)                                                                              \
    {                                                                                              \
        (text), sizeof(text) - 1                                                                   \
    }
#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
#define OTHER "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother"

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

static void assert_body(struct world *w, const char *text)
{
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    assert_int_equal(w->probe.status, 200);
    assert_int_equal(w->probe.body.len, strlen(text));
    assert_memory_equal(w->probe.body.data, text, strlen(text));
}

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

static void stop_loop(struct probe *p)
{
    loop_stop(p->loop);
}

/* Many chunks in one read, and chunk lines in two. */
static void chunks_may_lie_in_any_way(void **state)
{
    static const struct answer answers[] = {
        {.bytes = LITERAL("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                          "1\r\na\r\n2\r\nbc\r\n1\r\nd\r\n3")}};
    struct world *w = *state;
    struct upstream_request req = simple_get(w);
    scripted_script(&w->server, answers, 1);
    probe_start(&w->probe, &req);
    static const struct span rest[] = {LITERAL("\r"),       LITERAL("\nef"),   LITERAL("g\r\n0"),
                                       LITERAL("\r\nA: b"), LITERAL("\r\n\r"), LITERAL("\n")};
    world_run_until_sent(w, answers[0].bytes.len); /* the rest is said behind it */
    for (size_t i = 0; i < 6; i++) {
        world_run_for(w, 5 * USEC_PER_MS);
        assert_int_equal(w->probe.dones, 0);
        scripted_say(&w->server, 0, rest[i]);
    }
    world_run(w);
    assert_body(w, "abcdefg");
    probe_again(w);
    static const struct answer cut[] = {
        {.bytes = LITERAL("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n"),
         .after = CLOSE}};
    scripted_script(&w->server, cut, 1);
    world_call(w, &req);
    assert_int_equal(w->probe.result, UPSTREAM_BROKE);
}

/* What comes behind a piece in one read follows in the same turn. */
static void a_piece_says_whether_more_follows(void **state)
{
    static const struct {
        struct answer answer;
        size_t pieces, followed;
    } rows[] = {
        {{.bytes = LITERAL(CHUNKED)}, 1, 1},
        {{.bytes = LITERAL("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                           "1\r\na\r\n2\r\nbc\r\n")},
         2,
         1},
        {{.bytes = LITERAL("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")},
         1,
         0},
        {{.bytes = LITERAL("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nok")}, 1, 0},
        {{.bytes = LITERAL("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")}, 1, 0},
    };
    struct world *w = *state;
    struct upstream_request req = simple_get(w);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer answer = rows[i].answer;
        answer.after = CLOSE;
        scripted_script(&w->server, &answer, 1);
        world_call(w, &req);
        assert_int_equal(w->probe.pieces, rows[i].pieces);
        assert_int_equal(w->probe.followed, rows[i].followed);
        probe_again(w);
    }
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

/* The caller has enough after each chunk: what libcurl keeps comes again, and each byte once. */
static void a_caller_may_stop_at_each_chunk(void **state)
{
    struct world *w = *state;
    struct buf bytes = {.max = 1 << 20};
    require_ok(buf_printf(&bytes, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"));
    for (size_t i = 0; i < 20000; i++) {
        require_ok(buf_printf(&bytes, "3\r\n%c%c%c\r\n", pattern(3 * i), pattern(3 * i + 1),
                              pattern(3 * i + 2)));
    }
    require_ok(buf_printf(&bytes, "0\r\n\r\n"));
    const struct answer answers[] = {{.bytes = buf_span(&bytes)}};
    struct upstream_request req = simple_get(w);
    scripted_script(&w->server, answers, 1);
    w->probe.check_pattern = true;
    w->probe.hold_after = 1;
    probe_start(&w->probe, &req);
    w->probe.on_data = stop_loop;
    for (size_t i = 1; i <= 2000; i++) {
        world_run(w);
        assert_int_equal(w->probe.pieces, i);
        assert_int_equal(w->probe.taken, 3 * i);
        probe_resume(&w->probe);
    }
    w->probe.on_data = NULL;
    w->probe.hold_after = 0;
    world_run(w);
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    assert_int_equal(w->probe.taken, 60000);
    assert_int_equal(w->probe.pieces, 20000);
    probe_again(w);
    world_call(w, &req);
    assert_int_equal(w->server.accepted, 1);
    buf_free(&bytes);
}

/* The caller has enough of the answer, and takes the rest of it some turns of the loop later. */
static void pause_and_go_on(struct world *w, const struct answer *answer)
{
    struct upstream_request req = simple_get(w);
    scripted_script(&w->server, answer, 1);
    w->probe.check_pattern = true;
    w->probe.hold_after = 1;
    probe_start(&w->probe, &req);
    while (w->probe.taken == 0) {
        world_run_for(w, USEC_PER_MS);
    }
    for (int turn = 0; turn < 20; turn++) {
        world_run_for(w, USEC_PER_MS);
    }
    assert_int_equal(w->probe.dones, 0);
    w->probe.hold_after = 0;
    probe_resume(&w->probe);
    world_run(w);
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    assert_int_equal(w->probe.taken, answer->generate);
}

/* A paused transfer's socket is not an idle connection. */
static void a_paused_answer_goes_on(void **state)
{
    static const struct answer answers[] = {
        {.bytes = LITERAL("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n"),
         .generate = 3000000}};
    pause_and_go_on(*state, answers);
}

/* libcurl 8.14 asks without end to act at once then: the loop goes on all the same. */
static void a_paused_answer_that_has_ended_holds_up_nothing(void **state)
{
    static const struct answer answers[] = {
        {.bytes = LITERAL("HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n"),
         .generate = 20000,
         .after = CLOSE}};
    pause_and_go_on(*state, answers);
}

/* ---- encodings ---- */

static const char packed[] = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\xcf\x06\x00\x47\xdd\xdc"
                             "\x79\x02\x00\x00\x00"; /* "ok" */

static void answer_packed(struct world *w, struct answer *a, char *bytes, size_t size, bool chunked)
{
    size_t n = sizeof packed - 1;
    int head = snprintf(bytes, size,
                        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nX: 1\r\n%s%zu\r\n\r\n%s",
                        chunked ? "Transfer-Encoding: chunked\r\nY: " : "Content-Length: ", n,
                        chunked ? "16\r\n" : "");
    memcpy(bytes + head, packed, n);
    memcpy(bytes + head + n, "\r\n0\r\n\r\n", 7);
    *a = (struct answer){.bytes = span_make(bytes, (size_t)head + n + (chunked ? 7 : 0))};
    scripted_script(&w->server, a, 1);
}

static void encoded_answers_are_decoded_where_asked(void **state)
{
    struct world *w = *state;
    struct answer answer;
    char bytes[512];
    for (int i = 0; i < 4; i++) {
        struct upstream_request req = held_post(w, SPAN("{}"));
        req.decode = i < 2;
        answer_packed(w, &answer, bytes, sizeof bytes, i % 2 == 1);
        buf_clear(&w->server.seen);
        probe_again(w);
        world_call(w, &req);
        assert_int_equal(w->probe.result, UPSTREAM_DONE);
        bool kept = span_find(buf_span(&w->probe.headers), SPAN("Content-Encoding"), 0) != SIZE_MAX;
        bool asked = span_find(buf_span(&w->server.seen), SPAN("\r\nAccept-Encoding: identity\r\n"),
                               0) != SIZE_MAX;
        assert_int_equal(asked, req.decode);
        assert_int_equal(kept, !req.decode);
        assert_int_equal(w->probe.taken, req.decode ? 2 : sizeof packed - 1);
        assert_int_equal(w->probe.length, !req.decode && i == 2 ? (int)sizeof packed - 1 : -1);
    }
}

/* Clients take such a body as it is, most often since the server has mistaken it for a charset. */
static void a_body_of_an_unknown_encoding_is_taken_as_it_is(void **state)
{
    static const struct answer answers[] = {
        {.bytes = LITERAL("HTTP/1.1 200 OK\r\nContent-Encoding: gzip, utf-8\r\n"
                          "Content-Length: 2\r\n\r\n{}")}};
    struct world *w = *state;
    struct upstream_request req = held_post(w, SPAN("{}"));
    req.decode = true;
    for (int i = 0; i < 2; i++) {
        scripted_script(&w->server, answers, 1);
        probe_again(w);
        world_call(w, &req);
        assert_int_equal(w->probe.result, UPSTREAM_DONE);
        assert_int_equal(w->probe.taken, 2);
        /* once more when it is first seen, and then the server is known */
        assert_int_equal(w->server.requests, 2 + i);
    }
    /* an answer of another of its parts is packed all the same */
    struct answer packed_one;
    char bytes[512];
    for (int i = 0; i < 2; i++) {
        answer_packed(w, &packed_one, bytes, sizeof bytes, i == 1);
        probe_again(w);
        world_call(w, &req);
        assert_int_equal(w->probe.result, UPSTREAM_DONE);
        assert_int_equal(w->probe.taken, 2);
        assert_int_equal(w->server.requests, 5 + i);
    }
}

/* The first part of the body would be missing. */
static void a_body_that_is_gone_is_not_sent_again_for_an_encoding(void **state)
{
    static const struct answer answers[] = {
        {.bytes = LITERAL("HTTP/1.1 200 OK\r\nContent-Encoding: utf-8\r\n"
                          "Content-Length: 2\r\n\r\n{}")}};
    struct world *w = *state;
    struct upstream_request req = stream_post(w, -1);
    req.decode = true;
    scripted_script(&w->server, answers, 1);
    probe_again(w);
    probe_start(&w->probe, &req);
    assert_true(probe_write(&w->probe, SPAN("{}")));
    probe_end_body(&w->probe);
    world_run(w);
    assert_int_equal(w->probe.result, UPSTREAM_BROKE);
    assert_int_equal(w->server.requests, 1);
}

/* ---- which connection libcurl has picked ---- */

static int ports[8], asked_ports;
static int lies; /* 1: each of two connections is said to be the other one; 2: to have no port */

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

/* ---- names ---- */

static int look_ups;
static in_addr_t moved_to; /* network order; 0: the loopback address */

/* In place of the C library's, also for libcurl. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    struct {
        struct addrinfo info;
        struct sockaddr_in in;
    } *answer = mem_new(sizeof *answer);
    (void)node;
    (void)hints;
    look_ups++;
    answer->in.sin_family = AF_INET;
    answer->in.sin_port = htons((uint16_t)strtoul(service, NULL, 10));
    answer->in.sin_addr.s_addr = moved_to == 0 ? htonl(INADDR_LOOPBACK) : moved_to;
    answer->info = (struct addrinfo){.ai_family = AF_INET,
                                     .ai_socktype = SOCK_STREAM,
                                     .ai_addrlen = sizeof answer->in,
                                     .ai_addr = (struct sockaddr *)&answer->in};
    *out = &answer->info;
    return 0;
}

void freeaddrinfo(struct addrinfo *info)
{
    free(info);
}

static void name_the_server(struct world *w)
{
    const char *port = strchr(w->server.host, ':');
    char host[64];
    snprintf(host, sizeof host, "model.test%s", port);
    memcpy(w->server.host, host, sizeof host);
    snprintf(w->server.origin, sizeof w->server.origin, "http://%.40s", host);
    look_ups = 0;
}

static void a_name_that_moved_is_looked_up_again_at_once(void **state)
{
    static const struct answer answers[] = {{.bytes = LITERAL(OK), .after = CLOSE}};
    struct world *w = *state;
    struct upstream_request req = held_post(w, SPAN("{}"));
    scripted_script(&w->server, answers, 1);
    name_the_server(w);
    moved_to = inet_addr("127.0.0.9"); /* it refuses */
    world_call(w, &req);
    assert_int_equal(w->probe.result, UPSTREAM_UNREACHABLE);
    int first = look_ups; /* just looked up: once */
    moved_to = 0;
    for (int i = 0; i < 4; i++) {
        probe_again(w);
        world_call(w, &req);
        assert_body(w, "ok");
    }
    assert_int_equal(look_ups, 3 * first); /* again, at the next call, then remembered */
}

/* libcurl asks a name again on its own where a kept connection ended. It does not report the close of its
 * resolver's descriptor, only that it is not waited for any more: nothing may be left of it, for the
 * next descriptor with that number is of another connection, perhaps of a client's. */
static void a_descriptor_of_the_resolver_is_no_connection(void **state)
{
    struct world *w = *state;
    struct upstream_request req = simple_get(w);
    struct upstream_call call = {.pool = w->pool, .easy = curl_easy_init(), .attempts = 1};
    call.to = req.to;
    list_init(&call.socks);
    int pair[2];
    assert_non_null(call.easy);
    curl_easy_setopt(call.easy, CURLOPT_PRIVATE, &call);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    (void)sockets_wanted(call.easy, pair[0], CURL_POLL_IN, w->pool, NULL);
    assert_false(list_empty(&w->pool->socks));
    (void)sockets_wanted(call.easy, pair[0], CURL_POLL_REMOVE, w->pool, NULL);
    assert_true(list_empty(&w->pool->socks));
    sockets_release(&call);
    curl_easy_cleanup(call.easy);
    close(pair[0]);
    close(pair[1]);
}

/* More servers than there are rows for, while the call to the first is about to connect. */
static void an_address_stays_as_long_as_its_call(void **state)
{
    enum { SERVERS = 64 };
    static const struct answer answers[] = {{.bytes = LITERAL(OK)}};
    static char origins[SERVERS][32];
    struct world *w = *state;
    struct upstream_request req = simple_get(w);
    scripted_script(&w->server, answers, 1);
    probe_start(&w->probe, &req);
    for (int i = 0; i < SERVERS; i++) {
        struct upstream_settings to = w->server.to;
        struct probe other;
        snprintf(origins[i], sizeof origins[i], "http://127.0.0.1:%d", i + 1);
        to.origin = origins[i];
        req.to = &to;
        probe_init(&other, w);
        probe_start(&other, &req);
        probe_abort(&other);
        probe_free(&other);
    }
    world_run(w);
    assert_body(w, "ok");
}

static void one_that_stays_away_is_tried_twice(void **state)
{
    struct world *w = *state;
    struct upstream_request req = held_post(w, SPAN("{}"));
    name_the_server(w);
    moved_to = inet_addr("127.0.0.9");
    int first = 0;
    for (int i = 1; i <= 3; i++) {
        probe_again(w);
        world_call(w, &req);
        assert_int_equal(w->probe.result, UPSTREAM_UNREACHABLE);
        assert_string_equal(w->probe.why, "connection refused");
        first = i == 1 ? look_ups : first;
        assert_int_equal(look_ups, i * first);
    }
    moved_to = 0;
}

#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(late_bytes_on_an_idle_connection_end_it),
        cmocka_unit_test(bytes_behind_an_answer_end_the_connection),
        T(a_head_request_with_a_body_behind_ends_the_connection),
        T(good_answers_keep_the_connection),
        T(chunks_may_lie_in_any_way),
        T(a_piece_says_whether_more_follows),
        T(an_answer_that_begins_before_the_request_has_left_is_not_its_answer),
        cmocka_unit_test(
            what_comes_instead_of_an_answer_on_a_reused_connection_is_asked_again_once),
        T(a_408_on_a_fresh_connection_is_the_answer),
        T(a_server_that_sent_unasked_bytes_is_not_trusted),
        T(nothing_follows_an_error_on_its_connection),
        T(nothing_follows_an_answer_that_its_caller_distrusts),
        T(nothing_follows_such_an_answer_that_was_read_at_once),
        cmocka_unit_test(a_connection_that_libcurl_never_waited_for_is_watched),
        T(a_farewell_costs_no_trust),
        T(a_caller_may_stop_at_each_chunk),
        T(a_paused_answer_goes_on),
        T(a_paused_answer_that_has_ended_holds_up_nothing),
        T(encoded_answers_are_decoded_where_asked),
        T(a_body_of_an_unknown_encoding_is_taken_as_it_is),
        T(a_body_that_is_gone_is_not_sent_again_for_an_encoding),
        T(a_request_on_a_connection_that_was_not_looked_at_is_asked_again),
        cmocka_unit_test(without_ports_all_connections_are_looked_at),
        T(a_name_that_moved_is_looked_up_again_at_once),
        T(a_descriptor_of_the_resolver_is_no_connection),
        T(one_that_stays_away_is_tried_twice),
        T(an_address_stays_as_long_as_its_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
