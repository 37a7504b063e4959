/* test_futile.c: autocompletes that would take too long where people chat are not begun. */
#include "scenario/scenario.h"

#define ANN "X-OpenWebUI-User-Id: ann\r\n"

/* long enough to say how fast prompts are read */
#define LINE "What is a daemon, and how does it differ from a program that a user starts and ends? "
static const char *const CHAT[] = {LINE LINE LINE LINE LINE LINE "Or so?", NULL};

static struct client *complete(struct world *w, const char *text)
{
    struct client *c = client_open(w);
    client_post(c, "/v1/chat/completions", ANN, ask_autocomplete(text));
    return c;
}

/* A chat whose first token takes that long: the server reads some hundred bytes in that time. */
static void chat(struct world *w, double token)
{
    struct client *c = client_open(w);
    client_post(c, "/v1/chat/completions", ANN, ask_chat(CHAT));
    seconds(w, token);
    model_answer(last_call(w), "A program.");
    world_pass(w, 0);
}

static void a_slow_server_is_left_to_the_chat(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    chat(w, 6);
    struct client *c = complete(w, "How do I write a small daemon");
    assert_int_equal(model_calls(w), 1);
    assert_has(client_reply(c), "{\\\"text\\\": \\\"\\\"}");
    assert_has(client_reply(c), "Cache-Status: lull; detail=busy\r\n");
    assert_int_equal(world_task(w, "autocomplete")->outcomes[OUTCOME_BUSY], 1);
    seconds(w, 61); /* once a minute one is tried */
    c = complete(w, "How do I write a large daemon");
    assert_int_equal(model_calls(w), 2);
    seconds(w, 8);
    model_answer(last_call(w), "{\"text\": \" in C\"}");
    assert_has(client_reply(c), " in C");
    c = complete(w, "Which of them is the better one"); /* it took 8 s, as predicted */
    assert_int_equal(model_calls(w), 2);
    seconds(w, 600); /* no chats any more */
    c = complete(w, "Which of them is the worse one");
    assert_int_equal(model_calls(w), 3);
    model_answer(last_call(w), "{\"text\": \"?\"}");
    world_end(w);
}

/* No server notices an abort while it reads: a message would wait for the completion's prompt. */
static void a_prompt_that_holds_up_a_message_is_not_begun(void **state)
{
    (void)state;
    static const char *const sets[][3] = {
        {"upstream.default.dialect=ollama", NULL},
        {"upstream.default.dialect=openai", NULL},
        {"upstream.default.dialect=ollama", "task.autocomplete.max_expected=0", NULL},
    };
    for (int i = 0; i < 3; i++) {
        struct world *w = world_begin(sets[i]);
        chat(w, 1.5); /* a completion is read in more than 1 s, and takes less than 6 */
        (void)complete(w, "How do I write a small daemon");
        assert_int_equal(model_calls(w), i == 2 ? 2 : 1);
        if (i == 2) {
            model_answer(last_call(w), "{\"text\": \" in C\"}");
        }
        seconds(w, 61); /* once a minute one is tried, where the abort of it comes soon */
        (void)complete(w, "How do I write a large daemon");
        assert_int_equal(model_calls(w), i == 0 ? 1 : i == 1 ? 2 : 3);
        if (i > 0) {
            model_answer(last_call(w), "{\"text\": \" in C\"}");
        }
        world_end(w);
    }
}

/* A chat's next turn: of a prompt of 2,000 tokens, so many were cached. */
static void go_on(struct world *w, const char *const *turns, double token, int cached)
{
    struct client *c = client_open(w);
    client_post(c, "/v1/chat/completions", ANN "X-OpenWebUI-Chat-Id: one\r\n", ask_chat(turns));
    seconds(w, token);
    model_answer_cached(last_call(w), "A program.", 2000, cached);
    seconds(w, 3);
}

static bool is_called(struct world *w, const char *text)
{
    size_t before = model_calls(w);
    (void)complete(w, text);
    bool called = model_calls(w) > before;
    if (called) {
        model_answer_cached(last_call(w), "{\"text\": \" in C\"}", 200, 0);
    }
    return called;
}

/* Where the only slot loses a conversation that takes 4 s to read, completions leave it there. */
static void a_conversation_is_left_in_the_only_slot(void **state)
{
    static char long_message[8192];
    static const char *const more[] = {"upstream.default.slots=2", NULL};
    static const char *const unlimited[] = {"task.autocomplete.max_expected=0", NULL};
    static const char *const *const sets[] = {NULL, NULL, more, unlimited};
    const char *turns[] = {long_message, NULL, "And then?", NULL, "Why?", NULL, "So?", NULL};
    (void)state;
    memset(long_message, 'x', sizeof long_message - 1);
    for (int i = 0; i < 4; i++) {
        struct world *w = world_begin(sets[i]);
        int cached = i == 1 ? 2000 : 0; /* of the conversation, after other prompts */
        turns[1] = turns[3] = turns[5] = NULL;
        go_on(w, turns, 4, 0);
        assert_true(is_called(w, "How do I write a small daemon"));
        turns[1] = "A program.";
        go_on(w, turns, 4, cached);
        assert_true(is_called(w, "How do I write a large daemon"));
        turns[3] = "A program.";
        go_on(w, turns, 4, cached);
        assert_int_equal(is_called(w, "Which of them is the better one"), i > 0);
        turns[5] = "A program.";
        go_on(w, turns, 4, 2000); /* after no other prompt: says nothing about those */
        seconds(w, 61);           /* a try would cost it, too */
        assert_int_equal(is_called(w, "Which of them is the worse one"), i > 0);
        world_end(w);
    }
}

static void what_was_measured_counts_more_than_what_was_guessed(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    (void)complete(w, "How do I write a small daemon");
    seconds(w, 0.5);
    model_answer(last_call(w), "{\"text\": \" in C\"}");
    chat(w, 5);
    (void)complete(w, "Which of them is the better one");
    assert_int_equal(model_calls(w), 3);
    model_answer(last_call(w), "{\"text\": \"?\"}");
    world_end(w);
}

static void a_call_that_was_given_up_says_how_slow_they_are(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    chat(w, 0.1);
    (void)complete(w, "What is a daemon");
    assert_int_equal(model_calls(w), 2);
    seconds(w, 7);
    chat(w, 0.1); /* sends it */
    assert_true(model_aborted(model_call(w, 1)));
    (void)complete(w, "Which of them is the worse one");
    assert_int_equal(model_calls(w), 3);
    world_end(w);
}

static void a_fast_server_and_no_limit(void **state)
{
    (void)state;
    static const char *const none[] = {"task.autocomplete.max_expected=0", NULL};
    static const char *const hosted[] = {"upstream.default.slots=0", NULL};
    static const char *const *const sets[] = {NULL, none, hosted};
    for (int i = 0; i < 3; i++) {
        struct world *w = world_begin(sets[i]);
        chat(w, i == 0 ? 0.2 : 6);
        (void)complete(w, "How do I write a small daemon");
        assert_int_equal(model_calls(w), 2);
        model_answer(last_call(w), "{\"text\": \" in C\"}");
        world_end(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_server_is_left_to_the_chat),
        cmocka_unit_test(a_prompt_that_holds_up_a_message_is_not_begun),
        cmocka_unit_test(a_conversation_is_left_in_the_only_slot),
        cmocka_unit_test(what_was_measured_counts_more_than_what_was_guessed),
        cmocka_unit_test(a_call_that_was_given_up_says_how_slow_they_are),
        cmocka_unit_test(a_fast_server_and_no_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
