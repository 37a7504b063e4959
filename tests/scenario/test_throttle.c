/* test_throttle.c: a server that asks for no more tasks for a time, and what waits for it by then.
 */
#include "scenario/scenario.h"

#include "lull/path/exchange/exchange.h"

static struct client *ask(struct world *w, const char *user)
{
    return post(w, "", ask_title(user, "Fine."));
}

/* The answer to the first of three tasks says "in half a minute". None of them waits for that where
 * another server answers: neither the two in the queue, nor the next. */
static void what_has_a_fallback_waits_for_no_throttle(void **state)
{
    static const char *const sets[] = {
        "tasks.settle=0",           "upstream.other.url=http://other.test",
        "tasks.fallback=other",     "upstream.other.slots=64",
        "upstream.default.slots=1", NULL};
    struct client *c[4];
    (void)state;
    struct world *w = world_begin(sets);
    c[0] = ask(w, "One?");
    c[1] = ask(w, "Two?");
    c[2] = ask(w, "Three?");
    assert_int_equal(model_calls(w), 1);
    model_refuse(model_call(w, 0), 429, "Retry-After: 30\r\n", "{}");
    c[3] = ask(w, "Four?");
    assert_int_equal(model_calls(w), 5);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(model_upstream(model_call(w, i + 1)), "other");
        model_answer(model_call(w, i + 1), "{\"title\": \"Elsewhere\"}");
        assert_has(client_reply(c[i]), "Elsewhere");
    }
    seconds(w, 31);
    (void)ask(w, "Five?");
    assert_string_equal(model_upstream(last_call(w)), "default");
    model_answer(last_call(w), "{\"title\": \"Here\"}");
    world_end(w);
}

/* Nor beside a chat: the fallback is on a machine of its own. */
static void nor_for_the_chat_there(void **state)
{
    static const char *const turn[] = {"Hello", NULL};
    static const char *const sets[] = {
        "tasks.settle=0",           "upstream.other.url=http://other.test",
        "tasks.fallback=other",     "upstream.other.slots=64",
        "upstream.default.slots=1", NULL};
    (void)state;
    struct world *w = world_begin(sets);
    struct client *a = ask(w, "One?");
    model_refuse(model_call(w, 0), 429, "Retry-After: 30\r\n", "{}");
    (void)post(w, "", ask_chat(turn));
    struct client *b = ask(w, "Two?");
    assert_int_equal(model_calls(w), 4);
    model_answer(model_call(w, 1), "{\"title\": \"Elsewhere\"}");
    model_answer(model_call(w, 2), "Hi");
    model_answer(model_call(w, 3), "{\"title\": \"Elsewhere\"}");
    assert_has(client_reply(a), "Elsewhere");
    assert_has(client_reply(b), "Elsewhere");
    world_end(w);
}

static struct explanation explain_title(struct world *w, const char *user)
{
    struct explanation out;
    struct explain_request in = {.path = SPAN("/v1/chat/completions"),
                                 .body = span_of(ask_title(user, "Fine."))};
    engine_explain(world_engine(w), &in, &out);
    return out;
}

/* explain says where the task goes, and what it waits for there. */
static void explain_names_the_fallback(void **state)
{
    static const char *const turn[] = {"Hello", NULL};
    static const char *const sets[] = {
        "tasks.settle=0",           "upstream.other.url=http://other.test",
        "tasks.fallback=other",     "upstream.other.slots=1",
        "upstream.default.slots=1", NULL};
    (void)state;
    struct world *w = world_begin(sets);
    (void)ask(w, "One?");
    struct explanation e = explain_title(w, "Two?");
    assert_string_equal(e.fallback, "");
    model_refuse(model_call(w, 0), 429, "Retry-After: 30\r\n", "{}");
    model_answer(last_call(w), "{\"title\": \"Elsewhere\"}");
    e = explain_title(w, "Two?");
    assert_string_equal(e.upstream, "default");
    assert_string_equal(e.fallback, "other");
    assert_string_equal(e.waits, "");
    (void)post_to(w, "/@other/v1/chat/completions", "", ask_chat(turn));
    e = explain_title(w, "Two?");
    assert_string_equal(e.fallback, "other");
    assert_string_equal(e.waits, "chat");
    model_answer(last_call(w), "Hi");
    seconds(w, 31);
    e = explain_title(w, "Two?");
    assert_string_equal(e.fallback, "");
    world_end(w);
}

/* A call that began with the key before is answered "in 5 s": that says nothing of those with the new
 * one. */
static void what_the_key_before_is_answered_throttles_nothing(void **state)
{
    static const char *const before[] = {"upstream.default.api_key=a", NULL};
    static const char *const after[] = {"upstream.default.api_key=b", NULL};
    (void)state;
    struct world *w = world_begin(before);
    struct client *a = ask(w, "One?");
    world_reload(w, after);
    model_refuse(model_call(w, 0), 429, "Retry-After: 5\r\n", "{}");
    assert_has(client_reply(a), "HTTP/1.1 429");
    struct client *b = ask(w, "Two?");
    assert_int_equal(model_calls(w), 2);
    model_answer(last_call(w), "{\"title\": \"At once\"}");
    assert_has(client_reply(b), "At once");
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_a_fallback_waits_for_no_throttle),
        cmocka_unit_test(nor_for_the_chat_there),
        cmocka_unit_test(explain_names_the_fallback),
        cmocka_unit_test(what_the_key_before_is_answered_throttles_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
