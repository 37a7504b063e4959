/* test_upstream_body.c: the bytes of an answer's body, however its chunks lie, its caller pauses, or it is encoded. */
#include "unit/upstream/answers.h"

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

static void stop_loop(struct probe *p)
{
    loop_stop(p->loop);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(chunks_may_lie_in_any_way),
        T(a_piece_says_whether_more_follows),
        T(a_caller_may_stop_at_each_chunk),
        T(a_paused_answer_goes_on),
        T(a_paused_answer_that_has_ended_holds_up_nothing),
        T(encoded_answers_are_decoded_where_asked),
        T(a_body_of_an_unknown_encoding_is_taken_as_it_is),
        T(a_body_that_is_gone_is_not_sent_again_for_an_encoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
