/* test_same_turn.c: what two things do that come in one turn of the loop, or so close that either may
 * come first: a chat and a task's probe, the end of an answer and the next request behind it, a
 * client that leaves and a call that goes on for another one.
 */
#include "scenario/scenario.h"

#include "lull/path/exchange/events.h"
#include "lull/path/exchange/exchange.h"

static const char *const TURN[] = {"Hello", NULL};
static const char T1[] = "How do I write a small daemon";
static const char T2[] = "How do I write a small daemon in C";

static struct client *ask(struct world *w, const char *user)
{
    return post(w, "", ask_title(user, "Fine."));
}

static struct upstream_call *newest(struct world *w)
{
    return model_call(w, model_calls(w) - 1);
}

/* The task that tries for the breaker waits until its server has said what it is. A chat comes then, on
 * the same machine: the task is queued again, and no longer the one that tries. */
static void a_chat_comes_while_the_task_that_tries_waits_for_a_probe(void **state)
{
    static const char *const sets[] = {"upstream.default.breaker_failures=1", "tasks.settle=0",
                                       "upstream.other.url=http://127.0.0.1:2", NULL};
    (void)state;
    struct world *w = world_begin(sets);
    struct client *c = ask(w, "How are you?");
    model_break(newest(w), true);
    model_break(last_call(w), true); /* its second try: the breaker opens */
    assert_string_equal(world_server_state(w, "default"), "down");
    seconds(w, 11);
    world_probes(w, PROBES_MUTE);
    client_clear(c);
    size_t calls = model_calls(w);
    client_post(c, "/v1/chat/completions", "", ask_title("And you?", "Fine."));
    assert_int_equal(model_calls(w), calls); /* it waits for the probe */
    struct client *chat = post_to(w, "/@other/v1/chat/completions", "", ask_chat(TURN));
    model_answer(newest(w), "Hi");
    seconds(w, 30);
    assert_true(client_answered(chat));
    assert_int_equal(model_calls(w), calls + 2); /* the chat, then the task that tries */
    model_answer(newest(w), "{\"title\": \"Greeting\"}");
    assert_has(client_reply(c), "Greeting");
    assert_string_equal(world_server_state(w, "default"), "up");
    world_end(w);
}

static void note_event(void *ctx, const struct exchange_event *e)
{
    char *text = ctx;
    size_t len = strlen(text);
    snprintf(text + len, 256 - len, "%s %d %s|", e->what, e->status, e->outcome);
}

/* The next request on a connection waits for the end of the one before, in all that is said of it. */
static void a_request_behind_a_reply_begins_when_that_exchange_is_over(void **state)
{
    (void)state;
    char said[256] = "", both[8192];
    struct exchange_listener listener = {.fn = note_event, .ctx = said};
    struct world *w = world_begin(NULL);
    struct client *c = client_open(w);
    engine_listen(world_engine(w), &listener);
    const char *body = ask_chat(TURN);
    int n = snprintf(both, sizeof both,
                     "POST /v1/chat/completions HTTP/1.1\r\nHost: lull\r\nContent-Length: %zu\r\n"
                     "\r\n%sGET /v1/models HTTP/1.1\r\nHost: lull\r\n\r\n",
                     strlen(body), body);
    client_send(c, both, (size_t)n);
    world_pass(w, 0);
    model_break(model_call(w, 0), true);
    world_pass(w, 0);
    assert_string_equal(said, "chat 502 failed|");
    model_head(newest(w), 200, "application/json");
    model_data(newest(w), "{}");
    model_end(newest(w));
    world_pass(w, 0);
    assert_string_equal(said, "chat 502 failed|other 200 passed|");
    engine_unlisten(world_engine(w), &listener);
    world_end(w);
}

/* A client asks for the shorter text, and leaves its call to the longer one, which follows it. Returns the
 * client of that. */
static struct client *leave_to_follower(struct world *w, const char *shorter, const char *longer)
{
    struct client *a = post(w, "", ask_autocomplete(shorter));
    ms(w, 100);
    assert_int_equal(model_calls(w), 1);
    struct client *b = post(w, "", ask_autocomplete(longer));
    client_close(a);
    world_pass(w, 0);
    assert_true(model_open(model_call(w, 0)));
    return b;
}

/* The model begins to answer; suggestion: as it stands in the JSON of the event. */
#define BEGIN_ANSWER(call, suggestion)                                                             \
    do {                                                                                           \
        model_head(call, 200, "text/event-stream");                                                \
        model_data(call, "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\","     \
                         "\"content\":\"{\\\"text\\\": \\\"" suggestion "\"}}]}\n\n");             \
    } while (0)

/* A call whose client has left goes on for longer text that follows it. A chat takes its slot: the
 * longer text is asked for itself, and the call that no request waits for is not made again. */
static void a_call_kept_by_a_follower_is_not_queued_again(void **state)
{
    static const char *const sets[] = {"task.autocomplete.debounce=100ms", "tasks.settle=0",
                                       "task.autocomplete.max_hold=20s", NULL};
    (void)state;
    struct world *w = world_begin(sets);
    struct client *b = leave_to_follower(w, T1, T2);
    (void)post(w, "X-OpenWebUI-User-Id: bob\r\n", ask_chat(TURN));
    assert_true(model_aborted(model_call(w, 0)));
    client_close(b); /* and now nothing is left to be asked */
    world_pass(w, 0);
    model_answer(model_call(w, 1), "Hi");
    seconds(w, 19);
    assert_int_equal(model_calls(w), 2);
    world_end(w);
}

/* The same where what has come of the answer does not fit the follower: of texts so short, the two are
 * not taken for one typist, so nothing else ends the older call. */
static void a_call_whose_last_follower_does_not_fit_ends(void **state)
{
    static const char *const sets[] = {"task.autocomplete.debounce=100ms", NULL};
    (void)state;
    struct world *w = world_begin(sets);
    struct client *b = leave_to_follower(w, "How do I", "How do I dr");
    BEGIN_ANSWER(model_call(w, 0), " bake bread");
    assert_true(model_aborted(model_call(w, 0)));
    ms(w, 100);
    assert_int_equal(model_calls(w), 2);
    model_answer(model_call(w, 1), "{\"text\": \"ive a car\"}");
    assert_has(client_reply(b), "ive a car");
    world_end(w);
}

/* A call goes on behind the deadline of its request, since longer text follows it. An equal request that
 * joins it then has a deadline of its own. */
static void what_joins_a_call_that_only_a_follower_keeps_has_its_deadline(void **state)
{
    static const char *const sets[] = {"task.autocomplete.debounce=100ms",
                                       "task.autocomplete.deadline=2s", NULL};
    (void)state;
    struct world *w = world_begin(sets);
    struct client *a = post(w, "", ask_autocomplete(T1));
    seconds(w, 1);
    struct client *b = post(w, "", ask_autocomplete(T2));
    seconds(w, 1);
    assert_has(client_reply(a), "detail=deadline");
    ms(w, 200);
    struct client *c = post(w, "", ask_autocomplete(T1));
    ms(w, 800);
    assert_has(client_reply(b), "detail=deadline");
    assert_true(model_open(model_call(w, 0)));
    assert_false(client_answered(c));
    ms(w, 1200);
    assert_has(client_reply(c), "detail=deadline");
    assert_int_equal(model_calls(w), 1);
    model_answer(model_call(w, 0), "{\"text\": \" in C\"}"); /* it goes on for the cache */
    assert_int_equal(world_task(w, "autocomplete")->stored, 1);
    world_end(w);
}

/* A piece of an answer ends the suggestion and shows that it does not fit its only follower. It goes on
 * to its end for the cache, but nothing is asked again for it: not at the fallback, either. */
static void a_call_that_no_request_waits_for_is_not_made_again(void **state)
{
    static const char *const sets[] = {"task.autocomplete.debounce=100ms", "tasks.fallback=other",
                                       "upstream.default.slots=3",
                                       "upstream.other.url=http://other.test", NULL};
    (void)state;
    struct world *w = world_begin(sets);
    struct client *b = leave_to_follower(w, T1, T2);
    struct upstream_call *call = model_call(w, 0);
    BEGIN_ANSWER(call, " that bakes\\\"}");
    assert_true(model_open(call));
    ms(w, 100);
    assert_int_equal(model_calls(w), 2); /* the follower's own */
    model_break(call, false);
    seconds(w, 1);
    assert_int_equal(model_calls(w), 2);
    model_answer(model_call(w, 1), "{\"text\": \" with libevent\"}");
    assert_has(client_reply(b), "with libevent");
    world_end(w);
}

/* A call that goes on for the cache alone, since its suggestion has ended: 1.2 s have passed. */
static struct upstream_call *kept_for_the_cache(struct world *w)
{
    (void)leave_to_follower(w, T1, T2);
    struct upstream_call *call = model_call(w, 0);
    BEGIN_ANSWER(call, " that bakes\\\"}");
    ms(w, 100);
    model_answer(model_call(w, 1), "{\"text\": \" with libevent\"}");
    seconds(w, 1);
    assert_true(model_open(call));
    return call;
}

static void ends_after_all(struct upstream_call *call)
{
    model_data(call,
               "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
               "data: [DONE]\n\n");
    model_end(call);
}

/* Its 30 s are no deadline of a request that joins it, nor do they end it for one that follows it. */
static void what_comes_to_a_call_that_goes_on_alone_is_not_bounded_by_its_time(void **state)
{
    static const char *const sets[] = {"task.autocomplete.debounce=100ms",
                                       "upstream.default.slots=3", NULL};
    static const char *const texts[] = {T1, "How do I write a small daemon that"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct world *w = world_begin(sets);
        struct upstream_call *call = kept_for_the_cache(w);
        struct client *c = post(w, "", ask_autocomplete(texts[i]));
        seconds(w, 35);
        assert_true(model_open(call));
        assert_false(client_answered(c));
        ends_after_all(call);
        assert_has(client_reply(c), " bakes");
        assert_int_equal(model_calls(w), 2);
        world_end(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chat_comes_while_the_task_that_tries_waits_for_a_probe),
        cmocka_unit_test(a_request_behind_a_reply_begins_when_that_exchange_is_over),
        cmocka_unit_test(a_call_kept_by_a_follower_is_not_queued_again),
        cmocka_unit_test(a_call_whose_last_follower_does_not_fit_ends),
        cmocka_unit_test(what_joins_a_call_that_only_a_follower_keeps_has_its_deadline),
        cmocka_unit_test(a_call_that_no_request_waits_for_is_not_made_again),
        cmocka_unit_test(what_comes_to_a_call_that_goes_on_alone_is_not_bounded_by_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
