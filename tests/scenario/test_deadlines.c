/* test_deadlines.c: how long a connection may take over a head, over a body and over nothing, in
 * virtual time.
 */
#include "scenario/scenario.h"

#include <stdlib.h>

static const char *const SETS[] = {"server.header_timeout=2s", "server.body_timeout=2s",
                                   "server.send_timeout=2s", "server.idle_timeout=9s", NULL};
enum { MOMENT = USEC_PER_S / 2, MOMENTS = 4 /* of the timeouts above */ };

static void send_text(struct client *c, const char *text)
{
    client_send(c, text, strlen(text));
}

/* Sends a byte and lets a moment pass, that many times; nothing may come back. */
static void drip(struct world *w, struct client *c, int times, usec_t moment)
{
    for (int i = 0; i < times; i++) {
        send_text(c, "x");
        world_pass(w, moment);
        assert_string_equal(client_reply(c), "");
        assert_false(client_closed(c));
    }
}

static void is_given_up(struct client *c)
{
    assert_has(client_reply(c), "HTTP/1.1 408 ");
    assert_has(client_reply(c), "X-Lull-Error: request_timeout\r\n");
    assert_true(client_closed(c));
}

static struct client *upload(struct world *w, size_t size)
{
    char head[128];
    struct client *c = client_open(w);
    snprintf(head, sizeof head,
             "POST /api/blobs/x HTTP/1.1\r\nHost: lull\r\nContent-Length: %zu\r\n\r\n", size);
    send_text(c, head);
    return c;
}

static void a_head_has_one_timeout_however_it_drips(void **state)
{
    (void)state;
    struct world *w = world_begin(SETS);
    struct client *c = client_open(w);
    send_text(c, "GET /v1/models HTTP/1.1\r\nHost: lull\r\nX-Drip: ");
    drip(w, c, MOMENTS - 1, MOMENT);
    send_text(c, "x");
    world_pass(w, MOMENT);
    is_given_up(c);
    world_end(w);
}

static void a_second_head_has_it_too(void **state)
{
    (void)state;
    struct world *w = world_begin(SETS);
    struct client *c = client_open(w);
    client_post(c, "/v1/chat/completions", "", ask_title("Hello", "Hi"));
    model_answer(model_call(w, 0), "{\"title\": \"Greeting\"}");
    assert_true(client_answered(c));
    client_clear(c);
    send_text(c, "GET /v1/mod");
    drip(w, c, MOMENTS - 1, MOMENT);
    world_pass(w, MOMENT);
    is_given_up(c);
    world_end(w);
}

static void a_body_that_is_held_has_one_timeout(void **state)
{
    (void)state;
    struct world *w = world_begin(SETS);
    struct client *c = client_open(w);
    send_text(c, "POST /v1/chat/completions HTTP/1.1\r\nHost: lull\r\nContent-Length: 100\r\n\r\n");
    drip(w, c, MOMENTS - 1, MOMENT);
    send_text(c, "x");
    world_pass(w, MOMENT);
    is_given_up(c);
    assert_int_equal(model_calls(w), 0);
    world_end(w);
}

static void a_body_that_is_handed_on_has_it_between_two_pieces(void **state)
{
    (void)state;
    struct world *w = world_begin(SETS);
    struct client *c = upload(w, 10);
    drip(w, c, 9, 2 * USEC_PER_S - 1);
    send_text(c, "x");
    assert_int_equal(model_calls(w), 1);
    world_pass(w, 60 * USEC_PER_S); /* the server's time */
    model_refuse(model_call(w, 0), 201, "", "{}");
    assert_has(client_reply(c), "HTTP/1.1 201 ");
    client_clear(c);
    world_end(w);
}

static void a_body_that_stops_is_given_up_at_the_server_too(void **state)
{
    (void)state;
    struct world *w = world_begin(SETS);
    struct client *c = upload(w, 10);
    drip(w, c, 3, USEC_PER_S);
    struct upstream_call *call = model_call(w, 0);
    assert_true(model_open(call));
    world_pass(w, USEC_PER_S);
    assert_true(model_aborted(call));
    is_given_up(c);
    world_end(w);
}

static void a_connection_without_a_request_is_closed(void **state)
{
    (void)state;
    struct world *w = world_begin(SETS);
    struct client *unused = client_open(w);
    struct client *used = client_open(w);
    world_pass(w, USEC_PER_S);
    client_post(used, "/v1/chat/completions", "", ask_title("Hello", "Hi"));
    model_answer(model_call(w, 0), "{\"title\": \"Greeting\"}");
    assert_true(client_answered(used));
    world_pass(w, 8 * USEC_PER_S - 1);
    assert_false(client_closed(unused));
    world_pass(w, 1);
    assert_true(client_closed(unused));
    world_pass(w, USEC_PER_S - 1);
    assert_false(client_closed(used));
    world_pass(w, 1);
    assert_true(client_closed(used));
    assert_string_equal(client_reply(unused), "");
    world_end(w);
}

/* A title, and an answer of a title of 3 MB. */
static struct client *ask_for_much(struct world *w, const char *headers)
{
    enum { MUCH = 3 << 20 };
    static const char before[] = "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                                 "\"content\":\"{\\\"title\\\": \\\"",
                      behind[] = "\\\"}\"},\"finish_reason\":\"stop\"}]}";
    char *answer = mem_new(sizeof before + MUCH + sizeof behind);
    memcpy(answer, before, sizeof before - 1);
    memset(answer + sizeof before - 1, 'x', MUCH);
    memcpy(answer + sizeof before - 1 + MUCH, behind, sizeof behind);
    struct client *c = post(w, headers, ask_title("Hello", "Hi"));
    model_refuse(last_call(w), 200, "", answer);
    free(answer);
    return c;
}

/* One that takes a piece in time gets all of it; then the connection waits for the next request. */
static void a_slow_client_gets_a_long_answer(void **state)
{
    (void)state;
    struct world *w = world_begin(SETS);
    struct client *c = ask_for_much(w, "");
    for (int pieces = 0; pieces < 10; pieces++) { /* longer than idle_timeout */
        world_pass(w, 2 * USEC_PER_S - 1);
        assert_true(client_take(c) > 0);
    }
    assert_true(client_answered(c));
    world_pass(w, 9 * USEC_PER_S - 1);
    assert_false(client_closed(c));
    world_pass(w, 1);
    assert_true(client_closed(c));
    world_end(w);
}

static void a_client_that_takes_nothing_is_left(void **state)
{
    (void)state;
    static const char *const headers[] = {"", "Connection: close\r\n"};
    for (size_t i = 0; i < 2; i++) {
        struct world *w = world_begin(SETS);
        struct client *early = ask_for_much(w, headers[i]);
        world_pass(w, 2 * USEC_PER_S - 1);
        assert_true(client_take(early) > 0);
        world_pass(w, 4 * USEC_PER_S); /* it takes no other piece */
        assert_false(client_answered(early));
        assert_true(client_closed(early));
        world_end(w);
    }
}

/* The rest of a chat waits as long as its client, when the model server has long ended it. */
static void the_end_of_a_chat_waits_for_its_client(void **state)
{
    (void)state;
    static const char *const turns[] = {"Hello", NULL};
    enum { MUCH = 200 * 1024, PIECES = 3 };
    char *piece = mem_new(MUCH + 1);
    struct world *w = world_begin(SETS);
    struct client *c = post(w, "", ask_chat(turns));
    struct upstream_call *call = last_call(w);
    memset(piece, 'x', MUCH);
    model_head(call, 200, "text/plain");
    for (int i = 0; i < PIECES && !model_held(call); i++) {
        model_data(call, piece);
    }
    model_end(call);
    seconds(w, 3600);
    for (int i = 0; i < 10; i++) {
        (void)client_reply(c);
        world_pass(w, 0);
    }
    assert_has(client_reply(c), "\r\n0\r\n\r\n");
    seconds(w, 8);
    assert_false(client_closed(c));
    seconds(w, 1);
    assert_true(client_closed(c));
    free(piece);
    world_end(w);
}

static void ask_health(struct client *c)
{
    send_text(c, "GET /healthz HTTP/1.1\r\nHost: lull\r\n\r\n");
}

/* Connections that are kept open and idle do not lock out who comes then. */
static void an_idle_control_connection_gives_way(void **state)
{
    (void)state;
    enum { MOST = 64 };
    struct client *kept[MOST];
    struct world *w = world_begin(SETS);
    world_control(w);
    for (size_t i = 0; i < MOST; i++) {
        kept[i] = client_open_at(w, world_control_path(w));
        ask_health(kept[i]);
        world_pass(w, 1);
        assert_true(client_answered(kept[i]));
    }
    ask_health(kept[0]); /* the first is not the one that has been idle longest */
    struct client *next = client_open_at(w, world_control_path(w));
    ask_health(next);
    world_pass(w, USEC_PER_S / 2);
    assert_string_equal(client_reply(next), "");
    world_pass(w, USEC_PER_S);
    assert_true(client_answered(next));
    for (size_t i = 0; i < MOST; i++) {
        assert_true(client_closed(kept[i]) == (i == 1));
    }
    world_end(w);
}

static size_t offer_all(struct client *c)
{
    static char piece[1 << 20];
    size_t taken = 0, now = sizeof piece;
    while (now == sizeof piece) {
        now = client_offer(c, piece, sizeof piece);
        taken += now;
    }
    return taken;
}

/* A client that has its answer and goes on sending is read for a while, up to 128 MB a second. */
static void what_is_dropped_behind_an_answer_has_a_bound(void **state)
{
    (void)state;
    const size_t second = (size_t)128 << 20, socket = (size_t)4 << 20;
    struct world *w = world_begin(SETS);
    struct client *c = client_open(w);
    send_text(c, "POST /@nowhere/x HTTP/1.1\r\nHost: lull\r\nContent-Length: 1000000000\r\n\r\n");
    assert_has(client_reply(c), "HTTP/1.1 404 ");
    for (int i = 0; i < 2; i++) {
        assert_in_range(offer_all(c), second - socket, second + socket);
        world_pass(w, USEC_PER_S - 1);
        assert_int_equal(offer_all(c), 0);
        world_pass(w, 1);
    }
    world_pass(w, 5 * USEC_PER_S); /* of silence */
    assert_int_equal(offer_all(c), 0);
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_has_one_timeout_however_it_drips),
        cmocka_unit_test(a_second_head_has_it_too),
        cmocka_unit_test(a_body_that_is_held_has_one_timeout),
        cmocka_unit_test(a_body_that_is_handed_on_has_it_between_two_pieces),
        cmocka_unit_test(a_body_that_stops_is_given_up_at_the_server_too),
        cmocka_unit_test(a_connection_without_a_request_is_closed),
        cmocka_unit_test(a_slow_client_gets_a_long_answer),
        cmocka_unit_test(a_client_that_takes_nothing_is_left),
        cmocka_unit_test(the_end_of_a_chat_waits_for_its_client),
        cmocka_unit_test(an_idle_control_connection_gives_way),
        cmocka_unit_test(what_is_dropped_behind_an_answer_has_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
