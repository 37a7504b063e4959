/* What the server gets, and what we make of what it sends, byte for byte. */
#include "unit/upstream/probe.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

static const struct answer ok[] = {{.bytes = LITERAL(OK)}};

static void assert_buf(const struct buf *b, const char *text)
{
    assert_int_equal(b->len, strlen(text));
    assert_memory_equal(b->len == 0 ? "" : b->data, text, b->len);
}

static void assert_seen(struct world *w, const char *fmt)
{
    char want[2048];
    const char *host = w->server.host;
    const char *at = strstr(fmt, "%h");
    snprintf(want, sizeof want, "%.*s%s%s", (int)(at - fmt), fmt, host, at + 2);
    assert_buf(&w->server.seen, want);
}

static void request_goes_out_in_order_and_case_and_nothing_is_added(void **state)
{
    struct world *w = *state;
    scripted_script(&w->server, ok, 1);
    const struct http_header headers[] = {{SPAN("x-lower"), SPAN("1")},
                                          {SPAN("X-Empty"), SPAN("")},
                                          {SPAN("X-UPPER"), SPAN("a;b: c")},
                                          {SPAN("Accept-Encoding"), SPAN("gzip, br")},
                                          {SPAN("x-lower"), SPAN("2")},
                                          {SPAN("Cookie"), SPAN("a=b")},
                                          {SPAN("Authorization"), SPAN("Bearer k")},
                                          {SPAN("Range"), SPAN("bytes=0-")},
                                          {SPAN("Content-type"), SPAN("application/json")}};
    struct upstream_request req = held_post(w, SPAN("{\"a\":1}"));
    req.headers = headers;
    req.header_count = 9;
    req.target = SPAN("/v1/../a/./b%20c?x=1&&y=#z");
    w->server.to.base_path = (char *)"/base";
    world_call(w, &req);
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    assert_seen(w, "POST /base/v1/../a/./b%20c?x=1&&y=#z HTTP/1.1\r\nHost: %h\r\nx-lower: 1\r\n"
                   "X-Empty:\r\nX-UPPER: a;b: c\r\nAccept-Encoding: gzip, br\r\nx-lower: 2\r\n"
                   "Cookie: a=b\r\nAuthorization: Bearer k\r\nRange: bytes=0-\r\n"
                   "Content-type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
}

static void headers_that_would_break_the_line_are_not_sent(void **state)
{
    struct world *w = *state;
    scripted_script(&w->server, ok, 1);
    const struct http_header headers[] = {
        {SPAN("A"), SPAN("1\r\nEvil: 1")}, {SPAN("B\n"), SPAN("1")}, {SPAN("C"), SPAN("1")}};
    struct upstream_request req = simple_get(w);
    req.headers = headers;
    req.header_count = 3;
    world_call(w, &req);
    assert_seen(w, "GET /v1/models HTTP/1.1\r\nHost: %h\r\nC: 1\r\n\r\n");
}

static void empty_held_body_has_length_zero(void **state)
{
    struct world *w = *state;
    scripted_script(&w->server, ok, 1);
    struct upstream_request req = held_post(w, SPAN_NONE);
    world_call(w, &req);
    assert_seen(w, "POST /v1/chat/completions HTTP/1.1\r\nHost: %h\r\nContent-Length: 0\r\n\r\n");
}

static void no_body_has_no_length_whatever_the_method(void **state)
{
    struct world *w = *state;
    scripted_script(&w->server, ok, 1);
    struct upstream_request req = simple_get(w);
    req.method = SPAN("POST");
    world_call(w, &req);
    assert_seen(w, "POST /v1/models HTTP/1.1\r\nHost: %h\r\n\r\n");
}

static void delete_carries_its_body(void **state)
{
    struct world *w = *state;
    scripted_script(&w->server, ok, 1);
    struct upstream_request req = held_post(w, SPAN("{}"));
    req.method = SPAN("DELETE");
    req.target = SPAN("/api/delete");
    world_call(w, &req);
    assert_seen(w, "DELETE /api/delete HTTP/1.1\r\nHost: %h\r\nContent-Length: 2\r\n\r\n{}");
}

static void unknown_length_goes_out_chunked(void **state)
{
    struct world *w = *state;
    scripted_script(&w->server, ok, 1);
    struct upstream_request req = stream_post(w, -1);
    probe_start(&w->probe, &req);
    probe_write(&w->probe, SPAN("hello"));
    world_run_until_received(w, SPAN("hello")); /* now it waits for more */
    probe_write(&w->probe, SPAN("world!"));
    probe_end_body(&w->probe);
    world_run(w);
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    assert_seen(w, "POST /api/blobs/x HTTP/1.1\r\nHost: %h\r\nTransfer-Encoding: chunked\r\n\r\n"
                   "5\r\nhello\r\n6\r\nworld!\r\n0\r\n\r\n");
}

static void empty_stream_of_unknown_length_is_an_empty_chunked_body(void **state)
{
    struct world *w = *state;
    scripted_script(&w->server, ok, 1);
    struct upstream_request req = stream_post(w, -1);
    probe_start(&w->probe, &req);
    probe_end_body(&w->probe);
    world_run(w);
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    assert_seen(w, "POST /api/blobs/x HTTP/1.1\r\nHost: %h\r\nTransfer-Encoding: chunked\r\n\r\n"
                   "0\r\n\r\n");
}

static void known_length_goes_out_as_given_and_never_longer(void **state)
{
    struct world *w = *state;
    scripted_script(&w->server, ok, 1);
    struct upstream_request req = stream_post(w, 10);
    probe_start(&w->probe, &req);
    probe_write(&w->probe, SPAN("01234"));
    world_run_until_received(w, SPAN("01234"));
    probe_write(&w->probe, SPAN("56789too long"));
    world_run(w);
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    assert_seen(w,
                "POST /api/blobs/x HTTP/1.1\r\nHost: %h\r\nContent-Length: 10\r\n\r\n0123456789");
}

static void stream_that_ends_short_breaks_and_closes(void **state)
{
    struct world *w = *state;
    scripted_script(&w->server, ok, 1);
    struct upstream_request req = stream_post(w, 10);
    probe_start(&w->probe, &req);
    probe_write(&w->probe, SPAN("01234"));
    probe_end_body(&w->probe);
    world_run(w);
    assert_int_equal(w->probe.result, UPSTREAM_BROKE);
    assert_int_equal(w->server.requests, 0);
    world_run_until_closed(w, 1);
}

static void answer_head_comes_in_order_without_hop_by_hop(void **state)
{
    static const struct answer one[] = {
        {.bytes = LITERAL(
             "HTTP/1.1 203 Quite  Fine\r\nb-lower:1\r\nX-A:  two  \r\nX-Empty:\r\n"
             "Connection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nx-hop: no\r\n"
             "Content-Encoding: gzip\r\nX-A: again\r\nX-Fold: a\r\n   b\r\n"
             "X-Late:\r\n\tvalue\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x01")}};
    struct world *w = *state;
    scripted_script(&w->server, one, 1);
    struct upstream_request req = simple_get(w);
    world_call(w, &req);
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    assert_int_equal(w->probe.status, 203);
    assert_buf(&w->probe.reason, "Quite  Fine");
    assert_buf(&w->probe.headers, "b-lower: 1\nX-A: two\nX-Empty: \nContent-Encoding: gzip\n"
                                  "X-A: again\nX-Fold: a b\nX-Late: value\nContent-Length: 3\n");
    assert_int_equal(w->probe.length, 3);
    assert_buf(&w->probe.body, "\x1f\x8b\x01"); /* never decoded */
    assert_false(w->probe.close_delimited);
}

static void chunks_are_unwrapped_and_trailers_dropped(void **state)
{
    static const struct answer one[] = {
        {.bytes = LITERAL("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
                          "3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n")}};
    struct world *w = *state;
    scripted_script(&w->server, one, 1);
    struct upstream_request req = simple_get(w);
    world_call(w, &req);
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    assert_int_equal(w->probe.length, -1);
    assert_buf(&w->probe.headers, "");
    assert_buf(&w->probe.body, "abcde");
    assert_false(w->probe.close_delimited);
}

static void interim_heads_are_skipped(void **state)
{
    static const struct answer one[] = {
        {.bytes = LITERAL("HTTP/1.1 100 Continue\r\nX-No: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\n"
                          "Link: x\r\n\r\n" OK)}};
    struct world *w = *state;
    scripted_script(&w->server, one, 1);
    struct upstream_request req = held_post(w, SPAN("{}"));
    world_call(w, &req);
    assert_int_equal(w->probe.heads, 1);
    assert_int_equal(w->probe.status, 200);
    assert_buf(&w->probe.headers, "Content-Length: 2\n");
    assert_buf(&w->probe.body, "ok");
}

/* What follows a 101 is of another protocol: it must not reach a client, whose next bytes are the
 * server's to choose then. */
static void a_switch_of_protocols_is_no_answer(void **state)
{
    static const struct answer rest[] = {
        {.bytes = LITERAL("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n"
                          "Connection: Upgrade\r\n\r\nHTTP/1.1 200 OK\r\n\r\nbytes")}};
    static const struct answer silence[] = {
        {.bytes = LITERAL("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n")}};
    const struct answer *const answers[] = {rest, silence};
    struct world *w = *state;
    for (int i = 0; i < 2; i++) {
        probe_again(w);
        scripted_script(&w->server, answers[i], 1);
        struct upstream_request req = held_post(w, SPAN("{}"));
        world_call(w, &req);
        assert_int_equal(w->probe.result, UPSTREAM_BROKE);
        assert_int_equal(w->probe.heads, 0);
        assert_buf(&w->probe.body, "");
    }
}

static void head_request_has_a_length_and_no_body(void **state)
{
    static const struct answer two[] = {
        {.bytes = LITERAL("HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n")},
        {.bytes = LITERAL(OK)}};
    struct world *w = *state;
    scripted_script(&w->server, two, 2);
    struct upstream_request req = simple_get(w);
    req.method = SPAN("HEAD");
    world_call(w, &req);
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    assert_int_equal(w->probe.length, 77);
    assert_int_equal(w->probe.taken, 0);
    assert_seen(w, "HEAD /v1/models HTTP/1.1\r\nHost: %h\r\n\r\n");
    probe_again(w);
    req.method = SPAN("GET");
    world_call(w, &req);
    assert_buf(&w->probe.body, "ok");
    assert_int_equal(w->server.accepted, 1);
}

static void no_content_and_not_modified_end_with_their_head(void **state)
{
    static const struct answer two[] = {
        {.bytes = LITERAL("HTTP/1.1 204 No Content\r\n\r\n")},
        {.bytes = LITERAL("HTTP/1.1 304 Not Modified\r\nETag: 1\r\n\r\n")}};
    struct world *w = *state;
    scripted_script(&w->server, two, 2);
    struct upstream_request req = simple_get(w);
    world_call(w, &req);
    assert_int_equal(w->probe.status, 204);
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    assert_false(w->probe.close_delimited);
    probe_again(w);
    world_call(w, &req);
    assert_int_equal(w->probe.status, 304);
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    assert_int_equal(w->server.accepted, 1);
}

static void an_end_by_close_is_reported(void **state)
{
    static const struct answer one[] = {
        {.bytes = LITERAL("HTTP/1.0 200 OK\r\nX: 1\r\n\r\nsome"), .after = CLOSE}};
    struct world *w = *state;
    scripted_script(&w->server, one, 1);
    struct upstream_request req = simple_get(w);
    world_call(w, &req);
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    assert_true(w->probe.close_delimited);
    assert_int_equal(w->probe.length, -1);
    assert_buf(&w->probe.body, "some");
}

/* Until the body has that many bytes. */
static void run_until_body(struct world *w, size_t len)
{
    for (int i = 0; i < 1000 && w->probe.body.len < len; i++) {
        world_run_for(w, 10 * USEC_PER_MS);
    }
}

static void each_piece_is_handed_on_when_it_comes(void **state)
{
    static const struct answer one[] = {
        {.bytes = LITERAL("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")}};
    struct world *w = *state;
    scripted_script(&w->server, one, 1);
    struct upstream_request req = simple_get(w);
    probe_start(&w->probe, &req);
    run_until_body(w, 3);
    assert_buf(&w->probe.body, "abc");
    scripted_say(&w->server, 0, SPAN("2\r\nde\r\n"));
    run_until_body(w, 5);
    assert_buf(&w->probe.body, "abcde");
    scripted_say(&w->server, 0, SPAN("0\r\n\r\n"));
    world_run(w);
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
}

/* Pieces of an answer in one turn of the loop. */
struct turn {
    struct loop_deferred end;
    struct loop *loop;
    size_t pieces, most;
};

static void turn_ends(void *ctx)
{
    struct turn *turn = ctx;
    turn->most = turn->pieces > turn->most ? turn->pieces : turn->most;
    turn->pieces = 0;
}

static void count_piece(struct probe *p)
{
    struct turn *turn = p->more;
    turn->pieces++;
    loop_defer(turn->loop, &turn->end);
}

/* A server that is fast does not hold up the others: by small pieces, or by what stands around them. */
static void read_in_parts(struct world *w, const char *chunk, size_t chunks, size_t most)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    struct turn turn = {.end = {.fn = turn_ends, .ctx = &turn}, .loop = w->loop};
    struct buf bytes = {.max = (size_t)1 << 20};
    require_ok(buf_append_span(&bytes, SPAN(head)));
    for (size_t i = 0; i < chunks; i++) {
        require_ok(buf_append_span(&bytes, span_of(chunk)));
    }
    require_ok(buf_append_span(&bytes, SPAN("0\r\n\r\n")));
    const struct answer one[] = {{.bytes = buf_span(&bytes)}};
    scripted_script(&w->server, one, 1);
    probe_again(w);
    w->probe.on_data = count_piece;
    w->probe.more = &turn;
    struct upstream_request req = simple_get(w);
    world_call(w, &req);
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    assert_int_equal(w->probe.pieces, chunks);
    assert_in_range(turn.most, 1, most);
    loop_defer_cancel(w->loop, &turn.end);
    buf_free(&bytes);
}

static void an_answer_is_read_in_parts(void **state)
{
    enum { MOST = 256 * 1024, PIECE = 128, EXTENSION = 1000 };
    char chunk[EXTENSION + 16];
    read_in_parts(*state, "1\r\na\r\n", 8000, MOST / PIECE);
    snprintf(chunk, sizeof chunk, "1;%0*d\r\na\r\n", EXTENSION, 0);
    read_in_parts(*state, chunk, 900, MOST / (PIECE + EXTENSION));
}

static void big_head(struct buf *b, size_t lines, size_t value)
{
    buf_init(b, (size_t)1 << 20);
    require_ok(buf_append_span(b, SPAN("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n")));
    for (size_t i = 0; i < lines; i++) {
        require_ok(buf_printf(b, "X-%zu: ", i));
        for (size_t k = 0; k < value; k++) {
            require_ok(buf_append_char(b, 'v'));
        }
        require_ok(buf_append(b, "\r\n", 2));
    }
    require_ok(buf_append(b, "\r\n", 2));
}

static void try_head(struct world *w, size_t lines, size_t value)
{
    struct buf head;
    big_head(&head, lines, value);
    const struct answer one[] = {{.bytes = buf_span(&head)}};
    scripted_script(&w->server, one, 1);
    probe_again(w);
    struct upstream_request req = simple_get(w);
    world_call(w, &req);
    buf_free(&head);
}

static void heads_are_bounded(void **state)
{
    struct world *w = *state;
    try_head(w, 2, 90000);
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    assert_true(w->probe.headers.len > 180000);
    try_head(w, 199, 10);
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    try_head(w, 200, 10);
    assert_int_equal(w->probe.result, UPSTREAM_BROKE);
    assert_string_equal(w->probe.why, "the head of the answer is too large");
    assert_false(w->probe.got_head);
    try_head(w, 1, 120000);
    assert_int_equal(w->probe.result, UPSTREAM_BROKE);
    assert_string_equal(w->probe.why, "the head of the answer is too large");
    try_head(w, 10, 90000);
    assert_int_equal(w->probe.result, UPSTREAM_BROKE);
}

/* Each field is compared with each name; a folded line goes on with the list. */
static void connection_lines_have_few_elements(void **state)
{
    struct world *w = *state;
    for (size_t more = 62; more <= 63; more++) {
        char head[512], commas[64] = "";
        memset(commas, ',', more); /* between three elements */
        snprintf(head, sizeof head,
                 "HTTP/1.1 200 OK\r\nX-Gone: 1\r\nConnection: a,X-Gone\r\n %sb\r\n"
                 "X-Stays: 1\r\nContent-Length: 0\r\n\r\n",
                 commas);
        const struct answer one[] = {{.bytes = span_of(head)}};
        scripted_script(&w->server, one, 1);
        probe_again(w);
        struct upstream_request req = simple_get(w);
        world_call(w, &req);
        assert_int_equal(w->probe.result, more == 62 ? UPSTREAM_DONE : UPSTREAM_BROKE);
        if (more == 62) {
            assert_int_equal(span_find(buf_span(&w->probe.headers), SPAN("X-Gone"), 0), SIZE_MAX);
            assert_int_not_equal(span_find(buf_span(&w->probe.headers), SPAN("X-Stays"), 0),
                                 SIZE_MAX);
        }
    }
}

static void lines_that_are_folded_are_bounded(void **state)
{
    struct world *w = *state;
    for (size_t folds = 200; folds <= 201; folds++) {
        struct buf head = {.max = 4096};
        require_ok(buf_append_span(&head, SPAN("HTTP/1.1 200 OK\r\nA: b\r\n")));
        for (size_t i = 0; i < folds; i++) {
            require_ok(buf_append_span(&head, SPAN(" c\r\n")));
        }
        require_ok(buf_append_span(&head, SPAN("Content-Length: 0\r\n\r\n")));
        const struct answer one[] = {{.bytes = buf_span(&head)}};
        scripted_script(&w->server, one, 1);
        probe_again(w);
        struct upstream_request req = simple_get(w);
        world_call(w, &req);
        assert_int_equal(w->probe.result, folds == 200 ? UPSTREAM_DONE : UPSTREAM_BROKE);
        buf_free(&head);
    }
}

static void environment_proxies_are_ignored(void **state)
{
    struct world *w = *state;
    scripted_script(&w->server, ok, 1);
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    struct upstream_request req = simple_get(w);
    world_call(w, &req);
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    assert_seen(w, "GET /v1/models HTTP/1.1\r\nHost: %h\r\n\r\n");
}

static void unix_sockets_work_and_are_kept(void **state)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/lull-upstream-%d.sock", (int)getpid());
    struct world *w = world_open(path);
    (void)state;
    scripted_script(&w->server, ok, 1);
    struct upstream_request req = simple_get(w);
    world_call(w, &req);
    assert_seen(w, "GET /v1/models HTTP/1.1\r\nHost: %h\r\n\r\n");
    probe_again(w);
    world_call(w, &req);
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    assert_int_equal(w->server.accepted, 1);
    void *again = w;
    world_teardown(&again);
}

static void connections_are_reused_only_while_young(void **state)
{
    struct world *w = *state;
    scripted_script(&w->server, ok, 1);
    w->server.to.keepalive = USEC_PER_S;
    struct upstream_request req = simple_get(w);
    world_call(w, &req);
    probe_again(w);
    world_call(w, &req);
    assert_int_equal(w->server.accepted, 1);
    world_run_for(w, 1050 * USEC_PER_MS);
    probe_again(w);
    world_call(w, &req);
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    assert_int_equal(w->server.accepted, 2);
}

static void keepalive_below_a_second_closes_after_the_answer(void **state)
{
    struct world *w = *state;
    scripted_script(&w->server, ok, 1);
    w->server.to.keepalive = 500 * USEC_PER_MS;
    struct upstream_request req = simple_get(w);
    world_call(w, &req);
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    world_run_until_closed(w, 1);
}

/* The server answers and resets while libcurl has a piece of the body in hand: what it writes next
 * fails, and the answer lies on the socket unread. */
struct resetting {
    struct world *w;
    int peer;
    struct span bytes;
};

static void answer_and_reset(struct probe *p)
{
    struct linger hard = {1, 0};
    struct resetting *r = p->more;
    struct peer *peer = &r->w->server.peers[r->peer];
    p->on_room = NULL;
    scripted_say(&r->w->server, r->peer, r->bytes);
    setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    peer_drop(peer);
}

/* at_head, at_data: what the caller does then; NULL: nothing. */
static void call_that_is_reset(struct world *w, struct span bytes, bool decode,
                               void (*at_head)(struct probe *p), void (*at_data)(struct probe *p))
{
    static char body[512 * 1024];
    struct upstream_request req = stream_post(w, 2 * (int64_t)sizeof body);
    struct resetting r = {w, w->server.accepted, bytes};
    req.decode = decode;
    probe_again(w);
    scripted_script(&w->server, ok, 1);
    w->server.discard = true;
    w->probe.on_room = answer_and_reset;
    w->probe.on_head = at_head;
    w->probe.on_data = at_data;
    w->probe.more = &r;
    probe_start(&w->probe, &req);
    assert_false(probe_write(&w->probe, span_make(body, sizeof body)));
    world_run(w);
    assert_int_equal(w->probe.rooms, 1);
}

static void an_answer_before_a_reset_is_read(void **state)
{
    static const struct {
        struct span bytes;
        bool decode;
        enum upstream_result result;
        int status; /* 0: no head */
        const char *body;
    } rows[] = {
        {LITERAL("HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge"), false, UPSTREAM_DONE,
         413, "large"},
        {LITERAL("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno more"), false,
         UPSTREAM_DONE, 413, "no"},
        {LITERAL("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"), true, UPSTREAM_DONE, 401, ""},
        {LITERAL("HTTP/1.1 400 Bad\r\nTransfer-Encoding: "
                 "chunked\r\n\r\n2\r\nba\r\n1\r\nd\r\n0\r\n\r\n"),
         false, UPSTREAM_DONE, 400, "bad"},
        {LITERAL(
             "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nok"),
         false, UPSTREAM_DONE, 413, "ok"},
        {LITERAL("HTTP/1.1 413 Too Large\r\nContent-Length: 9\r\n\r\nlarge"), false, UPSTREAM_BROKE,
         413, "large"},
        {LITERAL("HTTP/1.1 413 Too Large\r\nContent-Le"), false, UPSTREAM_BROKE, 0, ""},
        {LITERAL("HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nbad"), false,
         UPSTREAM_BROKE, 400, "ba"},
        {LITERAL("HTTP/1.1 413 X\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nno"), true,
         UPSTREAM_BROKE, 0, ""},
    };
    struct world *w = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        call_that_is_reset(w, rows[i].bytes, rows[i].decode, NULL, NULL);
        assert_int_equal(w->probe.dones, 1);
        if (w->probe.result != rows[i].result || w->probe.status != rows[i].status) {
            fail_msg("row %zu: result %d, status %d, %s", i, (int)w->probe.result, w->probe.status,
                     w->probe.why);
        }
        assert_buf(&w->probe.body, rows[i].body);
    }
}

static void leave(struct probe *p)
{
    upstream_abort(p->call);
    p->call = NULL;
    loop_stop(p->loop);
}

static void a_caller_may_leave_at_an_answer_before_a_reset(void **state)
{
    static const struct span answers[] = {
        LITERAL("HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge"),
        LITERAL("HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nba\r\n1\r\nd\r\n")};
    struct world *w = *state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        call_that_is_reset(w, answers[i], false, leave, NULL);
        assert_int_equal(w->probe.heads, 1);
        call_that_is_reset(w, answers[i], false, NULL, leave);
        assert_int_equal(w->probe.pieces, 1);
        assert_int_equal(w->probe.dones, 0);
    }
}

/* The server answers while the request is being sent, and closes: what came is the whole answer, or a
 * part of it. */
static void an_answer_that_ends_before_its_request_is_whole_or_cut_off(void **state)
{
    static const struct {
        struct answer answer;
        const char *body, *cut; /* cut: why; NULL: whole */
    } rows[] = {
        {{.bytes = LITERAL("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")},
         "ok",
         "the answer was cut off"},
        {{.bytes = LITERAL("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
                           "0\r\n\r\n")},
         "ok",
         NULL},
        {{.bytes = LITERAL("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok")},
         "ok",
         "the answer was cut off"},
        {{.bytes = LITERAL(OK)}, "ok", NULL},
        {{.bytes = LITERAL("HTTP/1.1 200 OK\r\n\r\nok")}, "ok", NULL},
        {{.bytes = LITERAL("HTTP/1.1 204 No Content\r\n\r\n")}, "", NULL},
    };
    struct world *w = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer answer = rows[i].answer;
        struct upstream_request req = stream_post(w, -1);
        answer.at_head = true;
        answer.after = CLOSE;
        scripted_script(&w->server, &answer, 1);
        probe_again(w);
        probe_start(&w->probe, &req);
        world_run(w);
        assert_string_equal(w->probe.why, rows[i].cut == NULL ? "done" : rows[i].cut);
        assert_buf(&w->probe.body, rows[i].body);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(request_goes_out_in_order_and_case_and_nothing_is_added),
        T(headers_that_would_break_the_line_are_not_sent),
        T(empty_held_body_has_length_zero),
        T(no_body_has_no_length_whatever_the_method),
        T(delete_carries_its_body),
        T(unknown_length_goes_out_chunked),
        T(empty_stream_of_unknown_length_is_an_empty_chunked_body),
        T(known_length_goes_out_as_given_and_never_longer),
        T(stream_that_ends_short_breaks_and_closes),
        T(an_answer_before_a_reset_is_read),
        T(a_caller_may_leave_at_an_answer_before_a_reset),
        T(an_answer_that_ends_before_its_request_is_whole_or_cut_off),
        T(answer_head_comes_in_order_without_hop_by_hop),
        T(chunks_are_unwrapped_and_trailers_dropped),
        T(interim_heads_are_skipped),
        T(a_switch_of_protocols_is_no_answer),
        T(head_request_has_a_length_and_no_body),
        T(no_content_and_not_modified_end_with_their_head),
        T(an_end_by_close_is_reported),
        T(each_piece_is_handed_on_when_it_comes),
        T(an_answer_is_read_in_parts),
        T(heads_are_bounded),
        T(lines_that_are_folded_are_bounded),
        T(connection_lines_have_few_elements),
        T(environment_proxies_are_ignored),
        cmocka_unit_test(unix_sockets_work_and_are_kept),
        T(connections_are_reused_only_while_young),
        T(keepalive_below_a_second_closes_after_the_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
