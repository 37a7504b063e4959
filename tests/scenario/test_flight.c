/* test_flight.c: one call, many waiters: waiters leave, a call fails, each gets the answer in its own form. */
#include "scenario/titles.h"

#include <cJSON.h>

enum { MANY = 200 };

static void many_equal_requests_make_one_call(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *c[MANY];
    for (size_t i = 0; i < MANY; i++) {
        c[i] = client_open(w);
        ask(c[i], "How are you?");
    }
    assert_int_equal(model_calls(w), 1);
    model_answer(model_call(w, 0), "{\"title\": \"Greeting\"}");
    for (size_t i = 0; i < MANY; i++) {
        assert_has(client_reply(c[i]), "Greeting");
        assert_has(client_reply(c[i]), "\"model\":\"m\"");
    }
    assert_int_equal(title(w)->outcomes[OUTCOME_MISS], 1);
    assert_int_equal(title(w)->outcomes[OUTCOME_COLLAPSED], MANY - 1);
    world_end(w);
}

/* ---- many that wait are answered in several turns ---- */

enum { AT_ONCE = 16 };

static uint64_t answered(struct world *w)
{
    const struct task_figures *f = title(w);
    return (uint64_t)(f->outcomes[OUTCOME_MISS] + f->outcomes[OUTCOME_COLLAPSED]);
}

static void ask_all(struct world *w, struct client *c[MANY])
{
    for (size_t i = 0; i < MANY; i++) {
        c[i] = client_open(w);
        ask(c[i], "How are you?");
    }
}

static void an_answer_goes_to_a_few_in_a_turn(void **state)
{
    struct client *c[MANY];
    (void)state;
    struct world *w = world_begin(NULL);
    ask_all(w, c);
    model_answer(model_call(w, 0), "{\"title\": \"Greeting\"}");
    assert_int_equal(answered(w), AT_ONCE);
    struct turn_look look = {.world = w, .count = answered, .seen = AT_ONCE, .all = MANY};
    world_look(&look);
    world_pass(w, 0);
    assert_int_equal(look.most, AT_ONCE);
    for (size_t i = 0; i < MANY; i++) {
        assert_has(client_reply(c[i]), "Greeting");
    }
    assert_int_equal(title(w)->outcomes[OUTCOME_MISS], 1);
    world_end(w);
}

/* The flight has left its table: an equal request is a hit, and who leaves before the answer comes is
 * not waited for. */
static void who_comes_or_leaves_meanwhile_harms_no_other(void **state)
{
    struct client *c[MANY];
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *late = client_open(w);
    ask_all(w, c);
    model_answer(model_call(w, 0), "{\"title\": \"Greeting\"}");
    for (size_t i = MANY / 2; i < MANY; i++) {
        client_close(c[i]);
    }
    ask(late, "How are you?");
    assert_has(client_reply(late), "Cache-Status: lull; hit");
    assert_int_equal(model_calls(w), 1);
    assert_int_equal(answered(w) + (uint64_t)title(w)->outcomes[OUTCOME_ABANDONED], MANY);
    assert_true(title(w)->outcomes[OUTCOME_ABANDONED] > 0);
    for (size_t i = 0; i < MANY / 2; i++) {
        assert_has(client_reply(c[i]), "Greeting");
    }
    world_end(w);
}

/* The last get the phrase that the first got: the call that it is of is gone by then. */
static void an_error_is_the_same_for_the_last(void **state)
{
    struct client *c[MANY];
    (void)state;
    struct world *w = world_begin(NULL);
    ask_all(w, c);
    model_break(model_call(w, 0), true);
    model_break(model_call(w, 1), true);
    for (size_t i = 0; i < MANY; i++) {
        assert_has(client_reply(c[i]), "HTTP/1.1 502 ");
        assert_has(client_reply(c[i]), "connection refused");
    }
    assert_int_equal(title(w)->failed, MANY);
    world_end(w);
}

/* The first client leaves when the call has come to a phase; the second is answered all the same.
 */
static void first_leaves(int phase)
{
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    struct client *b = client_open(w);
    ask(a, "How are you?");
    ask(b, "How are you?");
    struct upstream_call *call = model_call(w, 0);
    if (phase >= 1) {
        model_head(call, 200, "text/event-stream");
    }
    if (phase >= 2) {
        model_data(
            call,
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"{\\\"title\\\":\"}}]}\n\n");
    }
    client_close(a);
    world_pass(w, 0);
    assert_true(model_open(call));
    if (phase < 1) {
        model_head(call, 200, "text/event-stream");
    }
    if (phase < 2) {
        model_data(
            call,
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"{\\\"title\\\":\"}}]}\n\n");
    }
    model_data(call, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" \\\"Hi\\\"}\"},"
                     "\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");
    model_end(call);
    assert_has(client_reply(b), "{\\\"title\\\": \\\"Hi\\\"}");
    assert_int_equal(title(w)->outcomes[OUTCOME_ABANDONED], 1);
    assert_int_equal(title(w)->outcomes[OUTCOME_COLLAPSED], 1);
    world_end(w);
}

static void the_first_leaving_harms_no_other(void **state)
{
    (void)state;
    for (int phase = 0; phase <= 2; phase++) {
        first_leaves(phase);
    }
}

static void the_last_leaving_aborts_the_call(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    struct client *b = client_open(w);
    ask(a, "How are you?");
    ask(b, "How are you?");
    client_close(a);
    world_pass(w, 700 * USEC_PER_MS);
    client_close(b);
    world_pass(w, 0);
    assert_true(model_aborted(model_call(w, 0)));
    assert_int_equal(title(w)->cancelled, 1);
    assert_int_equal(title(w)->wasted_us, 700 * USEC_PER_MS);
    assert_int_equal(title(w)->saved_us, 0);
    /* and a later one begins a call of its own */
    struct client *c = client_open(w);
    ask(c, "How are you?");
    assert_int_equal(model_calls(w), 2);
    model_answer(model_call(w, 1), "{\"title\": \"Greeting\"}");
    world_end(w);
}

static void a_failed_call_fails_all_its_waiters_and_is_not_kept(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    struct client *b = client_open(w);
    ask(a, "How are you?");
    ask(b, "How are you?");
    model_break(model_call(w, 0), true);
    model_break(model_call(w, 1), true);
    assert_has(client_reply(a), "HTTP/1.1 502 ");
    assert_has(client_reply(a), "X-Lull-Error: upstream_unreachable\r\n");
    assert_has(client_reply(b), "HTTP/1.1 502 ");
    assert_int_equal(title(w)->failed, 2);
    client_clear(a);
    ask(a, "How are you?");
    assert_int_equal(model_calls(w), 3);
    model_answer(model_call(w, 2), "{\"title\": \"Greeting\"}");
    assert_has(client_reply(a), "Greeting");
    world_end(w);
}

struct both {
    struct client *openai, *chat, *generate;
};

/* The same request to three endpoints, which share one call. */
static struct both ask_everywhere(struct world *w)
{
    static char prompt[65536];
    struct both b = {client_open(w), client_open(w), client_open(w)};
    const char *body = ask_follow_up("How are you?", "Fine.");
    cJSON *root = cJSON_Parse(body);
    const cJSON *message = cJSON_GetArrayItem(cJSON_GetObjectItem(root, "messages"), 0);
    cJSON *generate = cJSON_CreateObject();
    cJSON_AddStringToObject(generate, "model", "m");
    cJSON_AddStringToObject(generate, "prompt",
                            cJSON_GetStringValue(cJSON_GetObjectItem(message, "content")));
    cJSON_AddFalseToObject(generate, "stream");
    require(cJSON_PrintPreallocated(generate, prompt, sizeof prompt, false));
    cJSON_Delete(generate);
    cJSON_Delete(root);
    client_post(b.openai, "/v1/chat/completions", "", body);
    client_post(b.chat, "/api/chat", "", body);
    client_post(b.generate, "/api/generate", "", prompt);
    return b;
}

static const char *const of_openai[] = {
    "upstream.default.dialect=openai", "upstream.second.url=http://127.0.0.1:9",
    "upstream.second.dialect=openai", "tasks.upstream=second", NULL};

/* Each gets the answer in the form of the endpoint that it asked. */
static void clients_of_both_apis_share_a_call(void **state)
{
    struct world *w = world_begin(of_openai);
    struct both b = ask_everywhere(w);
    (void)state;
    assert_int_equal(model_calls(w), 1);
    model_answer(model_call(w, 0), "{\"follow_ups\": [\"A?\", \"B?\", \"C?\"]}");
    assert_has(client_reply(b.openai), "\"choices\":[{");
    assert_has(client_reply(b.chat), "\"message\":{\"role\":\"assistant\",\"content\":");
    assert_has(client_reply(b.chat), "\"done\":true");
    assert_has(client_reply(b.generate), "\"response\":\"{");
    world_end(w);
}

/* What is no plain answer goes to the clients of its own endpoint only. */
static void what_cannot_be_put_into_the_other_api_is_an_error_there(void **state)
{
    static const char calls[] =
        "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,"
        "\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}]}";
    struct world *w = world_begin(of_openai);
    struct both b = ask_everywhere(w);
    (void)state;
    for (size_t i = 0; i < model_calls(w); i++) { /* once more as it came */
        model_head(model_call(w, i), 200, "application/json");
        model_data(model_call(w, i), calls);
        model_end(model_call(w, i));
    }
    assert_has(client_reply(b.openai), "tool_calls");
    assert_has(client_reply(b.chat), "HTTP/1.1 502 ");
    assert_has(client_reply(b.chat), "cannot be put into the API");
    assert_has(client_reply(b.generate), "HTTP/1.1 502 ");
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_equal_requests_make_one_call),
        cmocka_unit_test(an_answer_goes_to_a_few_in_a_turn),
        cmocka_unit_test(who_comes_or_leaves_meanwhile_harms_no_other),
        cmocka_unit_test(an_error_is_the_same_for_the_last),
        cmocka_unit_test(the_first_leaving_harms_no_other),
        cmocka_unit_test(the_last_leaving_aborts_the_call),
        cmocka_unit_test(a_failed_call_fails_all_its_waiters_and_is_not_kept),
        cmocka_unit_test(clients_of_both_apis_share_a_call),
        cmocka_unit_test(what_cannot_be_put_into_the_other_api_is_an_error_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
