/* test_flight_answers.c: what a model server's answer to a task is taken for: whole, cut, an error, too late, or of the
 * wrong form. */
#include "scenario/titles.h"

static void silence_ends_with_504(void **state)
{
    (void)state;
    static const char *const sets[] = {"upstream.default.first_byte_timeout=10s",
                                       "upstream.default.stall_timeout=5s", NULL};
    struct world *w = world_begin(sets);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    model_head(model_call(w, 0), 200, "text/event-stream"); /* a head is no progress */
    world_pass(w, 9999 * USEC_PER_MS);
    assert_false(client_answered(a));
    world_pass(w, 1 * USEC_PER_MS);
    assert_has(client_reply(a), "HTTP/1.1 504 ");
    assert_true(model_aborted(model_call(w, 0)));
    client_clear(a);
    ask(a, "How are you?");
    model_head(model_call(w, 1), 200, "text/event-stream");
    model_data(model_call(w, 1),
               "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n");
    world_pass(w, 4999 * USEC_PER_MS);
    assert_false(client_answered(a));
    world_pass(w, 1 * USEC_PER_MS);
    assert_has(client_reply(a), "upstream_timeout");
    world_end(w);
}

static const char PIECE[] = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n";

/* One piece every 50 s, never a silence, until that much time has passed. */
static void drip(struct world *w, struct upstream_call *call, int64_t seconds)
{
    for (int64_t s = 0; s < seconds; s += 50) {
        if (model_open(call)) {
            model_data(call, PIECE);
        }
        world_pass(w, (seconds - s < 50 ? seconds - s : 50) * USEC_PER_S);
    }
}

/* A server that sends a byte now and then is never silent: the whole of a task's answer has a bound
 * as well. A chat has none: its client decides. */
static void an_answer_that_drips_ends_with_504(void **state)
{
    static const char *const turns[] = {"Hello", NULL};
    static const char *const shorter[] = {"upstream.default.answer_timeout=70s", NULL};
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    model_head(model_call(w, 0), 200, "text/event-stream");
    drip(w, model_call(w, 0), 1799);
    assert_false(client_answered(a));
    assert_true(model_open(model_call(w, 0)));
    world_pass(w, USEC_PER_S);
    assert_has(client_reply(a), "HTTP/1.1 504 ");
    assert_has(client_reply(a), "no whole answer within answer_timeout");
    assert_true(model_aborted(model_call(w, 0)));
    assert_int_equal(model_calls(w), 1); /* nor is it asked again */
    assert_int_equal(title(w)->failed, 1);
    world_reload(w, shorter);
    client_clear(a);
    ask(a, "And now?");
    model_head(model_call(w, 1), 200, "text/event-stream");
    drip(w, model_call(w, 1), 70);
    assert_has(client_reply(a), "HTTP/1.1 504 ");
    client_clear(a);
    ask(a, "And without a byte?");
    world_pass(w, 70 * USEC_PER_S);
    assert_has(client_reply(a), "HTTP/1.1 504 ");
    client_post(a, "/v1/chat/completions", "", ask_chat(turns));
    model_head(model_call(w, 3), 200, "text/event-stream");
    drip(w, model_call(w, 3), 4000);
    assert_true(model_open(model_call(w, 3)));
    model_data(model_call(w, 3), "data: [DONE]\n\n");
    model_end(model_call(w, 3));
    world_end(w);
}

static void an_error_of_the_server_passes_through_untouched(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    model_head(model_call(w, 0), 503, "application/json");
    model_data(model_call(w, 0), "{\"error\":{\"message\":\"Loading model\"}}");
    model_end(model_call(w, 0));
    assert_has(client_reply(a), "HTTP/1.1 503 ");
    assert_has(client_reply(a), "{\"error\":{\"message\":\"Loading model\"}}");
    assert_has_not(client_reply(a), "X-Lull-Error");
    assert_int_equal(title(w)->failed, 1);
    assert_int_equal(title(w)->outcomes[OUTCOME_MISS], 1);
    world_end(w);
}

static void an_error_inside_a_good_stream_becomes_a_status(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    model_head(model_call(w, 0), 200, "text/event-stream");
    model_data(model_call(w, 0),
               "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n"
               "data: {\"error\":{\"code\":500,\"message\":\"out of memory\"}}\n\n");
    model_end(model_call(w, 0)); /* the answer has begun: it is not asked once more */
    assert_has(client_reply(a), "HTTP/1.1 500 ");
    assert_has(client_reply(a), "out of memory");
    client_clear(a);
    ask(a, "How are you?");
    assert_int_equal(model_calls(w), 2); /* not kept */
    model_answer(model_call(w, 1), "{\"title\": \"Greeting\"}");
    world_end(w);
}

#define TITLE(rest)                                                                                \
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"{\\\"title\\\": "                   \
    "\\\"Hi\\\"}\"}" rest "}]}\n\n"

/* A body that comes in a reply of that status and type and then ends. */
static void answers(struct world *w, int status, const char *type, const char *body)
{
    struct upstream_call *call = model_call(w, model_calls(w) - 1);
    model_head(call, status, type);
    model_data(call, body);
    model_end(call);
    world_pass(w, 0);
}

static void what_breaks_off_is_no_answer_and_is_not_asked_again(void **state)
{
    static const struct {
        const char *type, *body;
    } rows[] = {
        {"text/event-stream", "data: {\"choices\":[{\"delta\":{\"conte"},
        {"application/json", "{\"choices\":[{\"message\":{\"content\":\"{"},
        {"application/json", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world *w = world_begin(NULL);
        struct client *a = client_open(w);
        ask(a, "How are you?");
        answers(w, 200, rows[i].type, rows[i].body);
        assert_has(client_reply(a), "HTTP/1.1 502 ");
        assert_has(client_reply(a), "upstream_broke");
        assert_int_equal(model_calls(w), 1);
        assert_int_equal(title(w)->failed, 1);
        assert_int_equal(world_figures(w)->upstreams[0]->failed, 1);
        world_end(w);
    }
}

/* Without an end mark an answer has all of itself where it has the kind's form and the transport is
 * whole. */
static void an_answer_in_its_form_needs_no_end_mark(void **state)
{
    (void)state;
    for (int closed = 0; closed < 2; closed++) {
        struct world *w = world_begin(NULL);
        struct client *a = client_open(w);
        ask(a, "How are you?");
        struct upstream_call *call = model_call(w, 0);
        model_head(call, 200, "text/event-stream");
        model_data(call, TITLE(""));
        (closed ? model_close : model_end)(call);
        world_pass(w, 0);
        if (closed) { /* it may be cut: once more as the client wrote it */
            assert_int_equal(model_calls(w), 2);
            assert_null(strstr(model_body(model_call(w, 1)), "\"stream\":true"));
            model_answer(model_call(w, 1), "{\"title\": \"How are you\"}");
        }
        assert_has(client_reply(a), "stored");
        assert_int_equal(model_calls(w), 1 + closed);
        assert_int_equal(world_figures(w)->upstreams[0]->failed, closed);
        world_end(w);
    }
}

#define HALF "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"{\"}}]}\n\n"

static void without_its_form_it_is_asked_for_as_the_client_wrote_it(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    answers(w, 200, "text/event-stream", HALF);
    assert_int_equal(model_calls(w), 2);
    assert_null(strstr(model_body(model_call(w, 1)), "\"stream\":true"));
    answers(w, 200, "text/event-stream", HALF); /* it is what the client would have got */
    assert_has(client_reply(a), "HTTP/1.1 200 ");
    assert_has(client_reply(a), HALF);
    assert_int_equal(title(w)->not_stored, 1);
    world_end(w);
}

static void a_finish_reason_and_an_end_make_an_answer_whole(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    answers(w, 200, "text/event-stream", TITLE(",\"finish_reason\":\"stop\""));
    assert_has(client_reply(a), "HTTP/1.1 200 ");
    assert_has(client_reply(a), "stored");
    world_end(w);
}

/* One second after the reason, whatever else the server sends meanwhile. */
static void silence_after_the_finish_reason_is_the_end(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    struct upstream_call *call = model_call(w, 0);
    model_head(call, 200, "text/event-stream");
    model_data(call, TITLE(",\"finish_reason\":\"stop\""));
    world_pass(w, USEC_PER_S - 1000);
    model_data(call, ": still here\n\n");
    assert_false(client_answered(a));
    world_pass(w, 1000);
    assert_has(client_reply(a), "HTTP/1.1 200 ");
    assert_has(client_reply(a), "stored");
    assert_true(model_aborted(call));
    assert_int_equal(world_figures(w)->upstreams[0]->finished, 1);
    world_end(w);
}

#define STOPPED(text)                                                                              \
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text                              \
    "\"},\"finish_reason\":\"stop\"}]}\n\n"

/* A gateway before Gemini says "stop" in every event. The pieces, with that much time before each. */
static void stopped(struct world *w, struct upstream_call *call, usec_t apart)
{
    static const char *const pieces[] = {STOPPED("{\\\"title\\\": "), STOPPED("\\\"How "),
                                         STOPPED("are "), STOPPED("you\\\"}")};
    model_head(call, 200, "text/event-stream");
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0] && model_open(call); i++) {
        model_data(call, pieces[i]);
        world_pass(w, apart);
    }
}

static void a_finish_reason_in_every_event_ends_nothing(void **state)
{
    static const usec_t apart[] = {USEC_PER_S / 2, USEC_PER_S - 1000};
    (void)state;
    for (size_t i = 0; i < sizeof apart / sizeof apart[0]; i++) {
        struct world *w = world_begin(NULL);
        struct client *a = client_open(w);
        ask(a, "How are you?");
        stopped(w, model_call(w, 0), apart[i]);
        assert_false(client_answered(a));
        model_data(model_call(w, 0), "data: [DONE]\n\n");
        model_end(model_call(w, 0));
        world_pass(w, 0);
        assert_has(client_reply(a), "{\\\"title\\\": \\\"How are you\\\"}");
        assert_has(client_reply(a), "stored");
        assert_int_equal(model_calls(w), 1);
        world_end(w);
    }
}

/* Nor is a pause behind the first of them an end: what has come has not the kind's form. */
static void a_pause_behind_a_finish_reason_beside_text_is_no_end(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    stopped(w, model_call(w, 0), 30 * USEC_PER_S);
    assert_has(client_reply(a), "{\\\"title\\\": \\\"How are you\\\"}");
    assert_has(client_reply(a), "stored");
    assert_int_equal(model_calls(w), 1);
    world_end(w);
}

/* It is the end of what never goes on. */
static void a_finish_reason_beside_text_is_an_end_at_last(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    struct upstream_call *call = model_call(w, 0);
    model_head(call, 200, "text/event-stream");
    model_data(call, STOPPED("How are you"));
    world_pass(w, 60 * USEC_PER_S - 1000);
    assert_int_equal(model_calls(w), 1);
    assert_true(model_open(call));
    world_pass(w, 1000);
    assert_true(model_aborted(call));
    assert_int_equal(world_figures(w)->upstreams[0]->finished, 1);
    assert_int_equal(model_calls(w), 2); /* once more for its form */
    model_answer(model_call(w, 1), "{\"title\": \"How are you\"}");
    assert_has(client_reply(a), "stored");
    world_end(w);
}

static void an_answer_of_any_good_status_is_put_together(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    answers(w, 201, "text/event-stream", TITLE(",\"finish_reason\":\"stop\""));
    assert_has(client_reply(a), "HTTP/1.1 200 ");
    assert_has(client_reply(a), "Content-Type: application/json\r\n");
    assert_has(client_reply(a), "stored");
    client_clear(a);
    ask(a, "What now?");
    model_refuse(model_call(w, 1), 204, "", "");
    assert_has(client_reply(a), "HTTP/1.1 204 ");
    world_end(w);
}

static void content_that_is_no_text_is_asked_for_as_written(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    answers(w, 200, "text/event-stream",
            "data: {\"choices\":[{\"delta\":{\"content\":66}}]}\n\n" TITLE(
                ",\"finish_reason\":\"stop\""));
    assert_int_equal(model_calls(w), 2);
    assert_string_equal(model_body(model_call(w, 1)), ask_title("How are you?", "Fine."));
    answers(w, 200, "application/json",
            "{\"choices\":[{\"message\":{\"content\":{\"title\":\"Hi\"}},"
            "\"finish_reason\":\"stop\"}]}");
    assert_has(client_reply(a), "{\"title\":\"Hi\"}");
    assert_int_equal(title(w)->stored, 0);
    world_end(w);
}

/* A title whose server charges so much for a million tokens, and says how many the prompt had. */
static struct world *paid_title(const char *price, const char *tokens)
{
    char set[64], events[512];
    const char *const sets[] = {set, NULL};
    snprintf(set, sizeof set, "upstream.default.price_in=%s", price);
    snprintf(events, sizeof events,
             TITLE(",\"finish_reason\":\"stop\"") "data: "
                                                  "{\"choices\":[],\"usage\":{\"prompt_tokens\":%s}"
                                                  "}\n\ndata: [DONE]\n\n",
             tokens);
    struct world *w = world_begin(sets);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    answers(w, 200, "text/event-stream", events);
    assert_has(client_reply(a), "HTTP/1.1 200 ");
    return w;
}

/* What a server says of tokens is bounded before it is multiplied and summed. */
static void no_server_brings_a_figure_near_its_end(void **state)
{
    (void)state;
    struct world *w = paid_title("1000000", "999999999999");
    assert_int_equal(title(w)->tokens_in, 1000000000);
    assert_int_equal(title(w)->cost, 1000000000000000);
    world_end(w);
}

/* Calls of 1.6 millionths each, as of the smallest hosted models. */
static void a_cost_is_rounded_to_the_nearest_millionth(void **state)
{
    (void)state;
    struct world *w = paid_title("0.16", "10");
    assert_int_equal(title(w)->cost, 2);
    world_end(w);
}

static void prose_is_served_and_not_kept(void **state)
{
    (void)state;
    static const char *const once[] = {"tasks.retry_shape=0", NULL};
    struct world *w = world_begin(once);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    model_answer(model_call(w, 0), "Sure! Here is a title.");
    assert_has(client_reply(a), "Sure! Here is a title.");
    assert_has(client_reply(a), "Cache-Status: lull; fwd=miss\r\n");
    assert_int_equal(title(w)->not_stored, 1);
    client_clear(a);
    ask(a, "How are you?");
    assert_int_equal(model_calls(w), 2);
    model_answer(model_call(w, 1), "{\"title\": \"Greeting\"}");
    world_end(w);
}

/* What may be an answer that no request asked for: its connection is given up, before the task is asked
 * again. */
static void what_does_not_fit_a_task_costs_its_connection(void **state)
{
    static const struct {
        const char *type, *body;
    } odd[] = {
        {"application/json", "{\"ok\":true}"},
        {"application/json", "{\"error\":{\"message\":\"no\",\"code\":400}}"},
        {"text/html", "<html>busy</html>"},
        {"application/json", ""},
        {"application/json",
         "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hello.\"},"
         "\"finish_reason\":\"stop\"}]}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        struct world *w = world_begin(NULL);
        struct client *c = client_open(w);
        client_post(c, "/v1/chat/completions", "", ask_title("How are you?", "Fine."));
        model_head(model_call(w, 0), 200, odd[i].type);
        model_data(model_call(w, 0), odd[i].body);
        model_end(model_call(w, 0));
        assert_true(model_distrusted(model_call(w, 0)));
        if (model_calls(w) > 1) {
            model_answer(model_call(w, 1), "{\"title\": \"Bread\"}");
            assert_false(model_distrusted(model_call(w, 1)));
        }
        assert_true(client_answered(c));
        world_end(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_ends_with_504),
        cmocka_unit_test(an_answer_that_drips_ends_with_504),
        cmocka_unit_test(an_error_of_the_server_passes_through_untouched),
        cmocka_unit_test(an_error_inside_a_good_stream_becomes_a_status),
        cmocka_unit_test(what_breaks_off_is_no_answer_and_is_not_asked_again),
        cmocka_unit_test(an_answer_in_its_form_needs_no_end_mark),
        cmocka_unit_test(without_its_form_it_is_asked_for_as_the_client_wrote_it),
        cmocka_unit_test(a_finish_reason_and_an_end_make_an_answer_whole),
        cmocka_unit_test(silence_after_the_finish_reason_is_the_end),
        cmocka_unit_test(a_finish_reason_in_every_event_ends_nothing),
        cmocka_unit_test(a_pause_behind_a_finish_reason_beside_text_is_no_end),
        cmocka_unit_test(a_finish_reason_beside_text_is_an_end_at_last),
        cmocka_unit_test(an_answer_of_any_good_status_is_put_together),
        cmocka_unit_test(content_that_is_no_text_is_asked_for_as_written),
        cmocka_unit_test(prose_is_served_and_not_kept),
        cmocka_unit_test(no_server_brings_a_figure_near_its_end),
        cmocka_unit_test(a_cost_is_rounded_to_the_nearest_millionth),
        cmocka_unit_test(what_does_not_fit_a_task_costs_its_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
