/* test_debounce.c: the window of autocomplete, in virtual time. */
#include "scenario/scenario.h"
#include "support/random.h"

static const char *const FIXED[] = {"task.autocomplete.debounce=300ms", "upstream.default.slots=64",
                                    NULL};
static const char *const OFF[] = {"task.autocomplete.debounce=off", "upstream.default.slots=64",
                                  NULL};
static const char *const AUTO[] = {"task.autocomplete.debounce=auto", "upstream.default.slots=64",
                                   NULL};

static const char T1[] = "How do I write a small daemon";
static const char T2[] = "How do I write a small daemon in C";
static const char T3[] = "How do I write a small daemon in C with libevent";

static void complete(struct client *c, const char *headers, const char *text)
{
    client_post(c, "/v1/chat/completions", headers, ask_autocomplete(text));
}

static void newest_in_the_window_wins_and_the_older_are_answered_at_once(void **state)
{
    (void)state;
    struct world *w = world_begin(FIXED);
    struct client *a = client_open(w);
    struct client *b = client_open(w);
    struct client *c = client_open(w);
    complete(a, "", T1);
    world_pass(w, 100 * USEC_PER_MS);
    assert_false(client_answered(a));
    complete(b, "", T2);
    assert_has(client_reply(a), "HTTP/1.1 200 OK\r\n");
    assert_has(client_reply(a), "{\\\"text\\\": \\\"\\\"}");
    assert_has(client_reply(a), "Cache-Status: lull; detail=superseded\r\n");
    assert_has(client_reply(a), "X-Lull-Task: autocomplete\r\n");
    world_pass(w, 250 * USEC_PER_MS);
    complete(c, "", T3); /* each newer one restarts the window */
    assert_true(client_answered(b));
    world_pass(w, 299 * USEC_PER_MS);
    assert_int_equal(model_calls(w), 0);
    world_pass(w, 1 * USEC_PER_MS);
    assert_int_equal(model_calls(w), 1);
    assert_has(model_body(model_call(w, 0)), T3);
    model_answer(model_call(w, 0), "{\"text\": \" and curl\"}");
    assert_has(client_reply(c), "and curl");
    assert_int_equal(world_task(w, "autocomplete")->outcomes[OUTCOME_SUPERSEDED], 2);
    assert_int_equal(world_task(w, "autocomplete")->outcomes[OUTCOME_MISS], 1);
    assert_int_equal(world_task(w, "autocomplete")->upstream_calls, 1);
    world_end(w);
}

/* A request at every key, as a client without a debounce of its own sends them: keys at 60 to 200 ms, and
 * pauses behind some of the words. What reaches the model are the pauses. */
static void typing_reaches_the_model_where_it_pauses(void **state)
{
    (void)state;
    static const char said[] =
        "What is the best way to store small records in a memory mapped file?";
    struct world *w = world_begin(FIXED);
    size_t pauses = 0, keys = 0;
    char text[sizeof said];
    random_state = 7;
    for (size_t n = 12; n < sizeof said; n++, keys++) {
        bool long_one = n == sizeof said - 1 || (said[n - 1] == ' ' && pick(5) < 2);
        snprintf(text, sizeof text, "%.*s", (int)n, said);
        struct client *c = post(w, "X-OpenWebUI-User-Id: ann\r\n", ask_autocomplete(text));
        world_pass(w, (long_one ? 600 : 60 + pick(141)) * USEC_PER_MS);
        pauses += long_one ? 1 : 0;
        assert_int_equal(model_calls(w), pauses);
        if (long_one) {
            assert_has(model_body(model_call(w, pauses - 1)), text);
            model_answer(model_call(w, pauses - 1), "{\"text\": \" and so on\"}");
            assert_has(client_reply(c), " and so on");
        }
    }
    assert_in_range(pauses, 3, 10);
    assert_int_equal(world_task(w, "autocomplete")->outcomes[OUTCOME_SUPERSEDED], keys - pauses);
    assert_int_equal(world_task(w, "autocomplete")->outcomes[OUTCOME_MISS], pauses);
    world_end(w);
}

static void ollama_gets_the_empty_completion_of_its_own_dialect(void **state)
{
    (void)state;
    struct world *w = world_begin(FIXED);
    struct client *a = client_open(w);
    struct client *b = client_open(w);
    client_post(a, "/api/chat", "", ask_autocomplete(T1));
    client_post(b, "/api/chat", "", ask_autocomplete(T2));
    assert_has(client_reply(a), "\"done\":true");
    assert_has(client_reply(a),
               "\"message\":{\"role\":\"assistant\",\"content\":\"{\\\"text\\\": \\\"\\\"}\"");
    client_close(b);
    world_end(w);
}

static void off_sends_at_once(void **state)
{
    (void)state;
    struct world *w = world_begin(OFF);
    struct client *a = client_open(w);
    struct client *b = client_open(w);
    complete(a, "", T1);
    assert_int_equal(model_calls(w), 1);
    complete(b, "", T2);
    assert_int_equal(model_calls(w), 2);
    model_answer(model_call(w, 0), "{\"text\": \" one\"}");
    model_answer(model_call(w, 1), "{\"text\": \" two\"}");
    assert_has(client_reply(a), "one");
    assert_has(client_reply(b), "two");
    world_end(w);
}

static void auto_does_not_hold_a_lone_request_and_holds_keys(void **state)
{
    (void)state;
    static const char text[] = "Please explain this";
    struct world *w = world_begin(AUTO);
    struct client *keys[8];
    struct client *a = client_open(w);
    complete(a, "", T1);
    assert_int_equal(model_calls(w), 1);
    model_answer(model_call(w, 0), "{\"text\": \"\"}");
    for (size_t i = 0; i < 4; i++) { /* another text, a key every 100 ms */
        char part[32];
        snprintf(part, sizeof part, "%.*s", (int)(sizeof text - 4 + i), text);
        keys[i] = client_open(w);
        complete(keys[i], "X-OpenWebUI-User-Id: ann\r\n", part);
        world_pass(w, 100 * USEC_PER_MS);
    }
    assert_int_equal(model_calls(w), 2); /* the first of them was alone */
    model_answer(model_call(w, 1), "{\"text\": \" fits nothing\"}");
    world_pass(w, 0);
    assert_int_equal(model_calls(w), 2);
    world_pass(w, 600 * USEC_PER_MS); /* no key for six mean intervals at the most */
    assert_int_equal(model_calls(w), 3);
    assert_has(model_body(model_call(w, 2)), text);
    model_answer(model_call(w, 2), "{\"text\": \" to me\"}");
    assert_has(client_reply(keys[1]), "superseded");
    assert_has(client_reply(keys[2]), "superseded");
    assert_has(client_reply(keys[3]), " to me");
    world_end(w);
}

static void a_hit_never_waits(void **state)
{
    (void)state;
    struct world *w = world_begin(FIXED);
    struct client *a = client_open(w);
    complete(a, "", T1);
    world_pass(w, 300 * USEC_PER_MS);
    model_answer(model_call(w, 0), "{\"text\": \" here\"}");
    client_clear(a);
    complete(a, "", T1);
    assert_has(client_reply(a), "Cache-Status: lull; hit");
    assert_has(client_reply(a), " here");
    assert_int_equal(model_calls(w), 1);
    world_end(w);
}

static void equal_texts_join(void **state)
{
    (void)state;
    struct world *w = world_begin(FIXED);
    struct client *a = client_open(w);
    struct client *b = client_open(w);
    complete(a, "", T1);
    complete(b, "", T1);
    world_pass(w, 300 * USEC_PER_MS);
    assert_int_equal(model_calls(w), 1);
    model_answer(model_call(w, 0), "{\"text\": \" x\"}");
    assert_has(client_reply(a), "fwd=miss; stored");
    assert_has(client_reply(b), "fwd=miss; collapsed");
    world_end(w);
}

static void other_people_and_short_texts_are_not_superseded(void **state)
{
    (void)state;
    struct world *w = world_begin(FIXED);
    struct client *a = client_open(w);
    struct client *b = client_open(w);
    struct client *c = client_open(w);
    struct client *d = client_open(w);
    complete(a, "X-OpenWebUI-User-Id: ann\r\n", T1);
    complete(b, "X-OpenWebUI-User-Id: bob\r\n", T2);
    complete(c, "", "Hello");
    complete(d, "", "Hello wor");
    assert_false(client_answered(a));
    assert_false(client_answered(c));
    world_pass(w, 300 * USEC_PER_MS);
    assert_int_equal(model_calls(w), 3); /* the last one waits for what comes of "Hello" */
    for (size_t i = 0; i < 3; i++) {
        model_answer(model_call(w, i), "{\"text\": \" y\"}");
    }
    world_pass(w, 0);
    assert_int_equal(model_calls(w), 4); /* it does not fit */
    model_answer(model_call(w, 3), "{\"text\": \" y\"}");
    assert_int_equal(world_task(w, "autocomplete")->outcomes[OUTCOME_MISS], 4);
    world_end(w);
}

static void the_only_client_leaving_in_the_window_makes_no_call(void **state)
{
    (void)state;
    struct world *w = world_begin(FIXED);
    struct client *a = client_open(w);
    complete(a, "", T1);
    client_close(a);
    world_pass(w, USEC_PER_S);
    assert_int_equal(model_calls(w), 0);
    assert_int_equal(world_task(w, "autocomplete")->outcomes[OUTCOME_ABANDONED], 1);
    world_end(w);
}

static void an_empty_suggestion_is_kept_for_thirty_seconds(void **state)
{
    (void)state;
    struct world *w = world_begin(OFF);
    struct client *a = client_open(w);
    complete(a, "", T1);
    model_answer(model_call(w, 0), "{\"text\": \"\"}");
    world_pass(w, 29 * USEC_PER_S);
    client_clear(a);
    complete(a, "", T1);
    assert_has(client_reply(a), "lull; hit");
    world_pass(w, 2 * USEC_PER_S);
    complete(a, "", T1);
    assert_int_equal(model_calls(w), 2);
    model_answer(model_call(w, 1), "{\"text\": \"\"}");
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newest_in_the_window_wins_and_the_older_are_answered_at_once),
        cmocka_unit_test(typing_reaches_the_model_where_it_pauses),
        cmocka_unit_test(ollama_gets_the_empty_completion_of_its_own_dialect),
        cmocka_unit_test(off_sends_at_once),
        cmocka_unit_test(auto_does_not_hold_a_lone_request_and_holds_keys),
        cmocka_unit_test(a_hit_never_waits),
        cmocka_unit_test(equal_texts_join),
        cmocka_unit_test(other_people_and_short_texts_are_not_superseded),
        cmocka_unit_test(the_only_client_leaving_in_the_window_makes_no_call),
        cmocka_unit_test(an_empty_suggestion_is_kept_for_thirty_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
