/* test_model_time.c: model time that was spent, saved and wasted, and the time requests were held
 * back: what each way of a call adds to them.
 */
#include "scenario/scenario.h"

#include "lull/path/server/breaker.h"

static const char *const PLAIN[] = {"upstream.default.slots=64", "tasks.settle=0",
                                    "upstream.default.breaker_failures=100", NULL};
static const char *const RETRY[] = {"upstream.default.slots=64", "tasks.settle=0",
                                    "task.title.retry_shape=1", NULL};
static const char *const DIVERTED[] = {"upstream.default.slots=1",
                                       "upstream.default.breaker_failures=1",
                                       "upstream.other.url=http://127.0.0.1:2",
                                       "upstream.other.slots=64",
                                       "tasks.settle=0",
                                       "task.title.retry_shape=1",
                                       "task.title.fallback=other",
                                       NULL};
static const char *const DEADLINE[] = {"task.autocomplete.debounce=0",
                                       "task.autocomplete.deadline=2s", NULL};
static const char *const WINDOW[] = {"task.autocomplete.debounce=300ms", NULL};

static const char ANN[] = "X-OpenWebUI-User-Id: ann\r\n";
static const char TITLE[] = "{\"title\": \"Greeting\"}";
static const char SSE_TITLE[] =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"{\\\"title\\\": "
    "\\\"Hi\\\"}\"}}]}\n\n";
static const char SSE_STOP[] =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]%s}\n\n"
    "data: [DONE]\n\n";

static struct client *title(struct world *w, const char *user)
{
    return post(w, ANN, ask_title(user, "Fine."));
}

/* In milliseconds. */
static void assert_times(struct world *w, const char *kind, int64_t spent, int64_t saved,
                         int64_t wasted)
{
    const struct task_figures *t = world_task(w, kind);
    assert_int_equal(t->upstream_us, spent * USEC_PER_MS);
    assert_int_equal(t->saved_us, saved * USEC_PER_MS);
    assert_int_equal(t->wasted_us, wasted * USEC_PER_MS);
}

/* Half a second to the first byte, then some events 10 ms apart; the connection ends later. */
static void stream(struct world *w, struct upstream_call *call, const char *timings)
{
    char stop[512];
    ms(w, 200);
    model_head(call, 200, "text/event-stream");
    ms(w, 300);
    model_data(call, SSE_TITLE);
    for (int i = 0; i < 5; i++) {
        ms(w, 10);
        model_data(call, ": still here\n\n");
    }
    snprintf(stop, sizeof stop, SSE_STOP, timings);
    model_data(call, stop);
    ms(w, 70);
    model_end(call);
    world_pass(w, 0);
}

static void model_time_is_from_the_request_to_the_last_byte(void **state)
{
    (void)state;
    struct world *w = world_begin(PLAIN);
    (void)title(w, "How are you?");
    stream(w, last_call(w), "");
    assert_times(w, "title", 550, 0, 0);
    for (int i = 1; i <= 3; i++) {
        (void)title(w, "How are you?");
        assert_times(w, "title", 550, i * 550, 0);
    }
    world_end(w);
}

static void the_servers_own_durations_hold(void **state)
{
    (void)state;
    struct world *w = world_begin(PLAIN);
    (void)title(w, "How are you?");
    stream(w, last_call(w),
           ",\"timings\":{\"prompt_n\":9,\"prompt_ms\":400,\"predicted_n\":5,"
           "\"predicted_ms\":45.5}");
    (void)title(w, "How are you?");
    assert_int_equal(world_task(w, "title")->upstream_us, 445500);
    assert_int_equal(world_task(w, "title")->saved_us, 445500);
    /* Ollama's; whole without a stream, so that they are known with the last byte only */
    struct client *c = post_to(w, "/api/chat", ANN, ask_title("And you?", "Fine."));
    struct upstream_call *call = last_call(w);
    ms(w, 900);
    model_head(call, 200, "application/json");
    model_data(call, "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":"
                     "\"{\\\"title\\\": \\\"Hi\\\"}\"},\"done\":true,\"done_reason\":\"stop\","
                     "\"total_duration\":800000000,\"prompt_eval_duration\":300000000,"
                     "\"eval_duration\":100000000}");
    model_end(call);
    assert_has(client_reply(c), "Hi");
    assert_int_equal(world_task(w, "title")->upstream_us, 845500);
    world_end(w);
}

/* Some servers fill in their dialect's members with zeros. */
static void durations_of_zero_say_nothing(void **state)
{
    (void)state;
    struct world *w = world_begin(PLAIN);
    (void)title(w, "How are you?");
    stream(w, last_call(w), ",\"timings\":{\"prompt_ms\":0,\"predicted_ms\":0}");
    (void)title(w, "How are you?");
    assert_times(w, "title", 550, 550, 0);
    world_end(w);
}

static void an_aborted_call_is_spent_and_wasted(void **state)
{
    (void)state;
    struct world *w = world_begin(PLAIN);
    struct client *c = title(w, "How are you?");
    (void)last_call(w);
    ms(w, 700);
    client_close(c);
    world_pass(w, 0);
    assert_times(w, "title", 700, 0, 700);
    world_end(w);
}

static void a_failed_call_is_spent_and_wasted(void **state)
{
    (void)state;
    struct world *w = world_begin(PLAIN);
    (void)title(w, "one");
    model_break(last_call(w), true); /* nothing was spent: it was not reached */
    model_break(last_call(w), true);
    assert_times(w, "title", 0, 0, 0);
    (void)title(w, "two");
    ms(w, 400);
    model_break(last_call(w), false); /* no head, and once more */
    ms(w, 100);
    model_head(last_call(w), 200, "text/event-stream");
    ms(w, 100);
    model_break(last_call(w), false);
    assert_times(w, "title", 600, 0, 600);
    (void)title(w, "three");
    ms(w, 50);
    model_refuse(last_call(w), 500, "", "{\"error\":{\"message\":\"no\"}}");
    assert_times(w, "title", 650, 0, 650);
    (void)title(w, "four"); /* an error inside a stream */
    ms(w, 30);
    model_head(last_call(w), 200, "text/event-stream");
    model_data(last_call(w), "data: {\"error\":{\"message\":\"no\",\"code\":500}}\n\n");
    model_end(last_call(w));
    assert_times(w, "title", 680, 0, 680);
    world_end(w);
}

static void of_two_tries_the_used_one_is_not_wasted(void **state)
{
    (void)state;
    struct world *w = world_begin(PLAIN);
    (void)title(w, "one"); /* refused as changed, good as written */
    ms(w, 100);
    model_refuse(last_call(w), 400, "", "{\"error\":{\"message\":\"stream?\"}}");
    ms(w, 300);
    model_answer(last_call(w), TITLE);
    assert_times(w, "title", 400, 0, 100);
    (void)title(w, "one");
    assert_times(w, "title", 400, 300, 100);
    world_end(w);

    w = world_begin(RETRY); /* the first has not the kind's form, the second has */
    (void)title(w, "two");
    ms(w, 1000);
    model_answer(last_call(w), "prose");
    ms(w, 500);
    model_answer(last_call(w), TITLE);
    assert_times(w, "title", 1500, 0, 1000);
    (void)title(w, "three"); /* the second fails: the first is the answer, with all that it cost */
    ms(w, 1000);
    model_answer(last_call(w), "prose");
    ms(w, 500);
    model_break(last_call(w), false);
    assert_times(w, "title", 3000, 0, 1500);
    struct client *c = title(w, "four"); /* left during the second */
    ms(w, 1000);
    model_answer(last_call(w), "prose");
    ms(w, 500);
    client_close(c);
    world_pass(w, 0);
    assert_times(w, "title", 4500, 0, 3000);
    world_end(w);
}

/* A chat aborts the second try, and the breaker opens before it is made again: it falls back, and is
 * asked twice there too. Of the three answers and the aborted call only the last answer is used. */
static void a_first_answer_is_wasted_once_where_the_second_try_falls_back(void **state)
{
    static const char *const turns[] = {"Hello", NULL};
    (void)state;
    struct world *w = world_begin(DIVERTED);
    const struct upstream_settings *to = &world_settings(w)->upstreams[0];
    struct client *c = title(w, "one");
    ms(w, 1000);
    model_answer(last_call(w), "prose");
    ms(w, 500);
    struct upstream_call *second = last_call(w);
    struct client *chat = post(w, "", ask_chat(turns));
    world_pass(w, 0);
    assert_true(model_aborted(second));
    breaker_failure(server_of(world_servers(w), to), to, loop_now(world_loop(w)));
    client_close(chat);
    ms(w, 10000);
    assert_int_equal(model_calls(w), 4);
    int64_t waited = world_task(w, "title")->upstream_us / USEC_PER_MS;
    assert_int_equal(waited, 1500);
    ms(w, 300);
    model_answer(last_call(w), "prose");
    ms(w, 200);
    model_answer(last_call(w), TITLE);
    assert_has(client_reply(c), "detail=fallback");
    assert_int_equal(world_task(w, "title")->wasted_us,
                     world_task(w, "title")->upstream_us - 200 * USEC_PER_MS);
    world_end(w);
}

/* An odd answer is passed on as it is: the requests that share it use it. */
static void an_answer_passed_on_is_used(void **state)
{
    (void)state;
    struct world *w = world_begin(PLAIN);
    (void)title(w, "one");
    (void)title(w, "one");
    ms(w, 100);
    model_refuse(last_call(w), 200, "", "{\"x\":1}"); /* once more, as written */
    ms(w, 200);
    model_refuse(last_call(w), 200, "", "{\"x\":1}");
    assert_times(w, "title", 300, 200, 100);
    assert_int_equal(world_task(w, "title")->outcomes[OUTCOME_COLLAPSED], 1);
    world_end(w);
}

static void an_answer_that_was_not_taken_is_wasted(void **state)
{
    (void)state;
    struct world *w = world_begin(DEADLINE);
    static const char text[] = "How do I write a small daemon";
    struct client *c = post(w, ANN, ask_autocomplete(text));
    ms(w, 2500);
    assert_has(client_reply(c), "detail=deadline");
    model_answer(last_call(w), "{\"text\": \" in C\"}");
    assert_times(w, "autocomplete", 2500, 0, 2500);
    assert_int_equal(world_task(w, "autocomplete")->stored, 1);
    (void)post(w, ANN, ask_autocomplete(text)); /* a hit as any other */
    assert_times(w, "autocomplete", 2500, 2500, 2500);
    world_end(w);
}

/* A request for a new title shares the call that already makes one. */
static void a_new_title_is_shared(void **state)
{
    (void)state;
    struct world *w = world_begin(PLAIN);
    (void)title(w, "one");
    ms(w, 300);
    model_answer(last_call(w), TITLE);
    ms(w, 6000);
    (void)title(w, "one");
    struct client *b = title(w, "one");
    ms(w, 200);
    model_answer(last_call(w), TITLE);
    assert_has(client_reply(b), "Cache-Status: lull; fwd=miss; collapsed\r\n");
    assert_int_equal(model_calls(w), 2);
    assert_int_equal(world_task(w, "title")->outcomes[OUTCOME_MISS], 2);
    assert_times(w, "title", 500, 200, 0);
    world_end(w);
}

/* A task that is passed through, streamed to its client. */
static void tasks_that_pass_count_as_well(void **state)
{
    (void)state;
    const char *sets[] = {"upstream.default.price_out=2", "upstream.default.price_in=1", NULL};
    const char *turns[] = {"Hello", NULL};
    struct world *w = world_begin(sets);
    char body[4096];
    snprintf(body, sizeof body, "%s", ask_title("one", "Fine."));
    char *stop = strstr(body, "\"stream\":false");
    memcpy(stop, "\"stream\":true ", 14);
    static const char as_task[] = "X-OpenWebUI-Task: title_generation\r\n";
    (void)post(w, "", ask_chat(turns));
    struct client *c = post(w, as_task, body);
    ms(w, 3000);
    assert_int_equal(model_calls(w), 1);
    model_answer(model_call(w, 0), "Hi");
    while (model_calls(w) == 1) {
        ms(w, 10);
    }
    int64_t waited = world_task(w, "title")->wait_us;
    assert_true(waited > 3000 * USEC_PER_MS);
    stream(w, last_call(w), "");
    assert_has(client_reply(c), "detail=stream");
    assert_times(w, "title", 550, 0, 0);
    assert_int_equal(world_task(w, "title")->wait_us, waited);
    assert_int_equal(world_task(w, "title")->tokens_in, (int64_t)strlen(body) / 4);
    assert_int_equal(world_task(w, "title")->tokens_out, 3); /* {"title": "Hi"} */
    assert_int_equal(world_task(w, "title")->cost, (int64_t)strlen(body) / 4 + 2 * 3);
    ms(w, 10000);
    c = post(w, as_task, body); /* left */
    ms(w, 10000);
    client_close(c);
    world_pass(w, 0);
    const struct task_figures *t = world_task(w, "title");
    assert_int_equal(t->wasted_us, t->upstream_us - 550 * USEC_PER_MS);
    assert_true(t->wasted_us >= 7000 * USEC_PER_MS);
    world_end(w);
}

static void every_request_that_was_held_counts(void **state)
{
    (void)state;
    struct world *w = world_begin(WINDOW);
    const struct task_figures *t = world_task(w, "autocomplete");
    static const char text[] = "How do I write a small daemon";
    (void)post(w, ANN, ask_autocomplete(text));
    ms(w, 100);
    (void)post(w, ANN, ask_autocomplete("How do I write a small daemon in"));
    assert_int_equal(t->outcomes[OUTCOME_SUPERSEDED], 1);
    assert_int_equal(t->wait_us, 100 * USEC_PER_MS); /* the superseded one was held, too */
    ms(w, 200);
    (void)post(w, ANN, ask_autocomplete("How do I write a small daemon in"));
    ms(w, 100); /* the window is over: 300 ms, and 100 ms of the one that joined */
    assert_int_equal(t->wait_us, 500 * USEC_PER_MS);
    ms(w, 5000);
    model_answer(last_call(w), "{\"text\": \" C\"}");
    assert_int_equal(t->wait_us, 500 * USEC_PER_MS);
    struct client *c = post(w, ANN, ask_autocomplete("Something else, then"));
    ms(w, 120);
    client_close(c); /* left while it was held */
    world_pass(w, 0);
    assert_int_equal(t->wait_us, 620 * USEC_PER_MS);
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model_time_is_from_the_request_to_the_last_byte),
        cmocka_unit_test(the_servers_own_durations_hold),
        cmocka_unit_test(durations_of_zero_say_nothing),
        cmocka_unit_test(an_aborted_call_is_spent_and_wasted),
        cmocka_unit_test(a_failed_call_is_spent_and_wasted),
        cmocka_unit_test(of_two_tries_the_used_one_is_not_wasted),
        cmocka_unit_test(a_first_answer_is_wasted_once_where_the_second_try_falls_back),
        cmocka_unit_test(an_answer_passed_on_is_used),
        cmocka_unit_test(an_answer_that_was_not_taken_is_wasted),
        cmocka_unit_test(a_new_title_is_shared),
        cmocka_unit_test(tasks_that_pass_count_as_well),
        cmocka_unit_test(every_request_that_was_held_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
