/* test_yield_bounds.c: where the rules of test_yield.c end: what just counts and what just does
 * not, what is measured on the way, and what people are shown of it.
 */
#include "scenario/scenario.h"

#include "lull/path/exchange/exchange.h"
#include "lull/path/flight/flight.h"

#define ANN "X-OpenWebUI-User-Id: ann\r\n"
#define BOB "X-OpenWebUI-User-Id: bob\r\n"
#define CHAT "X-OpenWebUI-Chat-Id: c1\r\n"
#define REPLY "A daemon is a program without a terminal."
#define STREAMED_QUERY                                                                             \
    "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"weather?\"}]" \
    "}"

static const char *const FIRST[] = {"What is a daemon?", NULL};
static const char *const SECOND[] = {"What is a daemon?", REPLY, "And a unit?", NULL};

static void answer(struct world *w)
{
    model_answer(last_call(w), "{\"title\": \"Daemons\", \"queries\": [], \"follow_ups\": []}");
    world_pass(w, 0);
}

/* A chat that nothing delays: its first token comes after half a second. */
static void usual_chat(struct world *w)
{
    (void)post(w, BOB, ask_chat(FIRST));
    seconds(w, 0.5);
    answer(w);
    seconds(w, 1.5); /* settle, and what the server takes to begin */
}

/* ---- aborts take time ---- */

static void what_an_abort_costs_is_measured_and_used(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    usual_chat(w);
    (void)post(w, ANN, ask_title("one", REPLY));
    (void)post(w, BOB, ask_chat(FIRST));
    assert_true(model_aborted(model_call(w, 1)));
    seconds(w, 2.5); /* the server had to notice first: 2 s */
    answer(w);
    assert_int_equal(world_figures(w)->upstreams[0]->abort_cost.count, 1);
    seconds(w, 1);
    seconds(w, 5); /* the title takes 5 s */
    answer(w);
    assert_int_equal(model_calls(w), 4);
    struct client *leaves = post(w, ANN, ask_title("two", REPLY));
    assert_int_equal(model_calls(w), 5);
    client_close(leaves);
    seconds(w, 0.1);
    assert_true(model_aborted(model_call(w, 4)));
    (void)post(w, ANN, ask_title("three", REPLY));
    seconds(w, 1.89); /* its slot may still be taken */
    assert_int_equal(model_calls(w), 5);
    seconds(w, 0.02);
    assert_int_equal(model_calls(w), 6);
    seconds(w, 4);
    (void)post(w, BOB, ask_chat(FIRST)); /* 1 s to go: over before an abort were noticed */
    assert_true(model_open(model_call(w, 5)));
    answer(w);
    model_answer(model_call(w, 5), "{\"title\": \"Daemons\"}");
    assert_int_equal(world_task(w, "title")->preempted, 1);
    world_end(w);
}

/* A title that would end in 1.5 s, where an abort is noticed after 2 s, is left to end. Its model writes
 * on: the chat waits no longer than it would have for the abort. */
static void one_that_is_left_to_end_has_as_long_as_an_abort_takes(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    usual_chat(w);
    (void)post(w, ANN, ask_title("one", REPLY));
    (void)post(w, BOB, ask_chat(FIRST));
    seconds(w, 2.5); /* 2 s more than usual */
    answer(w);
    seconds(w, 1);
    seconds(w, 5); /* the title takes 5 s */
    answer(w);
    struct client *title = post(w, ANN, ask_title("two", REPLY));
    struct upstream_call *left = last_call(w);
    seconds(w, 3.5);
    struct client *chat = post(w, BOB, ask_chat(FIRST));
    assert_true(model_open(left));
    seconds(w, 1.99);
    assert_true(model_open(left));
    seconds(w, 0.02);
    assert_true(model_aborted(left));
    answer(w);
    assert_true(client_answered(chat));
    seconds(w, 10);
    answer(w);
    assert_has(client_reply(title), "Daemons");
    world_end(w);
}

/* ---- obsolete ---- */

static void what_just_counts_as_the_same_reply(void **state)
{
    (void)state;
    char reply[1601], cut[1100], other[1100];
    for (size_t i = 0; i < 1600; i++) {
        reply[i] = (char)('a' + (i * 7 + i / 26) % 26);
    }
    reply[1600] = '\0';
    snprintf(cut, sizeof cut, "%.498s...%.499s", reply, reply + 1600 - 499);
    snprintf(other, sizeof other, "%.498s...%.498sX", reply, reply + 1600 - 499);
    const struct {
        const char *chat, *follow;
        bool obsolete;
    } rows[] = {
        {"Twelve chars", "Twelve chars", true},
        {"Eleven char", "Eleven char", false},
        {"größer größ", "größer größ", false}, /* 11, though 15 bytes */
        {"größer größe", "größer größe", true},
        {"A daemon is <think>So?</think>a program.", "A daemon is a program.", true},
        {"See ![x](http://y/z.png)the picture.", "See the picture.", true},
        {reply, cut, true},
        {reply, other, false}, /* begins alike */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *turns[] = {"x", rows[i].chat, "y", NULL};
        struct world *w = world_begin(NULL);
        struct client *f = post(w, ANN, ask_follow_up("x", rows[i].follow));
        (void)post(w, ANN, ask_chat(turns));
        if (client_answered(f) != rows[i].obsolete) {
            fail_msg("row %zu", i);
        }
        answer(w);
        if (!rows[i].obsolete) {
            seconds(w, 1);
            answer(w);
        }
        world_end(w);
    }
}

static void only_follow_ups_and_only_by_a_new_turn(void **state)
{
    (void)state;
    static const char tools[] =
        "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"x\"},"
        "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":\"1\",\"type\":"
        "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"1\",\"content\":\"7\"}]}";
    struct world *w = world_begin(NULL);
    struct client *title = post(w, ANN CHAT, ask_title("x", REPLY));
    struct client *follow = post(w, ANN CHAT, ask_follow_up("x", REPLY));
    (void)post(w, ANN CHAT, tools); /* the same turn goes on */
    assert_false(client_answered(follow));
    answer(w);
    (void)post(w, ANN CHAT, ask_chat(SECOND));
    assert_has(client_reply(follow), "detail=obsolete");
    assert_false(client_answered(title));
    answer(w);
    seconds(w, 1);
    answer(w);
    assert_has(client_reply(title), "Daemons");
    world_end(w);
}

/* ---- the first turn, foreground tasks ---- */

static void a_foreground_task_that_passes_through(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    (void)post(w, ANN, ask_title("What is a unit?", REPLY));
    (void)post(w, ANN "X-OpenWebUI-Task: query_generation\r\n", STREAMED_QUERY);
    assert_int_equal(model_calls(w), 2);
    assert_true(model_aborted(model_call(w, 0)));
    answer(w);
    seconds(w, 1);
    answer(w);
    (void)post(w, ANN, ask_title(FIRST[0], "")); /* beside its reply, which is not asked for yet */
    seconds(w, 1.5);
    (void)post(w, ANN "X-OpenWebUI-Task: query_generation\r\n", STREAMED_QUERY);
    seconds(w, 1);
    answer(w);
    assert_int_equal(model_calls(w), 4);
    seconds(w, 1.9); /* the wait has restarted */
    assert_int_equal(model_calls(w), 4);
    seconds(w, 0.1);
    assert_int_equal(model_calls(w), 5);
    answer(w);
    world_end(w);
}

static void another_conversation_is_not_the_titles_chat(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    (void)post(w, ANN, ask_title("What is a unit?", ""));
    (void)post(w, ANN, ask_chat(SECOND)); /* goes on: not the first turn */
    answer(w);
    seconds(w, 1.9);
    assert_int_equal(model_calls(w), 1);
    (void)post(w, ANN, ask_chat(FIRST));
    seconds(w, 3);
    assert_int_equal(model_calls(w), 2);
    answer(w);
    seconds(w, 4);
    assert_int_equal(model_calls(w), 3);
    answer(w);
    world_end(w);
}

/* ---- bounds ---- */

static void a_late_joiner_has_waited_as_long_as_the_first(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    (void)post(w, BOB, ask_chat(FIRST));
    struct client *a = post(w, ANN CHAT, ask_follow_up("x", REPLY));
    seconds(w, 15);
    struct client *b = post(w, ANN CHAT, ask_follow_up("x", REPLY));
    seconds(w, 4.9);
    assert_int_equal(model_calls(w), 1);
    seconds(w, 0.1);
    assert_int_equal(model_calls(w), 2);
    answer(w);
    assert_true(client_answered(a));
    assert_true(client_answered(b));
    a = post(w, ANN, ask_title("x", "")); /* of no turn whose waits are summed */
    seconds(w, 45);
    b = post(w, ANN, ask_title("x", ""));
    seconds(w, 14.9);
    assert_int_equal(model_calls(w), 2);
    seconds(w, 0.1);
    assert_int_equal(model_calls(w), 3);
    answer(w);
    assert_true(client_answered(a));
    assert_true(client_answered(b));
    model_answer(model_call(w, 0), REPLY);
    world_end(w);
}

/* Templates keep different lengths of a reply: what they all keep of it names the turn. */
static void the_tasks_of_a_turn_need_not_agree_on_its_reply(void **state)
{
    (void)state;
    char reply[1601], cut[1100];
    memset(reply, 'x', 1600);
    reply[1600] = '\0';
    snprintf(cut, sizeof cut, "%.498s...%.499s", reply, reply);
    struct world *w = world_begin(NULL);
    (void)post(w, BOB, ask_chat(FIRST));
    (void)post(w, ANN CHAT, ask_title("x", cut));
    seconds(w, 60);
    assert_int_equal(model_calls(w), 2);
    answer(w);
    (void)post(w, ANN CHAT, ask_follow_up("x", reply)); /* nothing is left */
    assert_int_equal(model_calls(w), 3);
    answer(w);
    (void)post(w, ANN CHAT, ask_follow_up("x", "Another reply.")); /* another turn */
    assert_int_equal(model_calls(w), 3);
    seconds(w, 20);
    answer(w);
    model_answer(model_call(w, 0), REPLY);
    world_end(w);
}

static void another_model_waits_for_a_quiet_minute(void **state)
{
    (void)state;
    for (int holds_one = 0; holds_one < 2; holds_one++) {
        const char *sets[] = {"task.title.model=small", "task.tags.model=small",
                              holds_one ? "upstream.default.one_model=yes" : NULL, NULL};
        struct world *w = world_begin(sets);
        (void)post(w, ANN, ask_chat(FIRST));
        (void)post(w, ANN, ask_title("x", REPLY));
        (void)post(w, ANN, ask_title("y", REPLY));
        answer(w);
        seconds(w, holds_one ? 59.9 : 0.9); /* longer than max_hold */
        assert_int_equal(model_calls(w), 1);
        (void)post(w, ANN, ask_follow_up("x", REPLY)); /* of the chat's model */
        if (holds_one) {
            assert_int_equal(model_calls(w), 2);
            answer(w);
        }
        size_t calls = model_calls(w);
        seconds(w, 0.1);
        for (int i = 0; i < (holds_one ? 2 : 3); i++) {
            assert_int_equal(model_calls(w), ++calls); /* together */
            answer(w);
        }
        world_end(w);
    }
}

/* ---- what people see ---- */

struct seen {
    size_t count, waiters;
    char state[16], why[16];
    usec_t waited, left;
    size_t position;
    unsigned requeued;
};

static void see(void *ctx, const struct flight_view *v)
{
    struct seen *s = ctx;
    s->count++;
    s->waiters = v->waiters;
    s->waited = v->waited;
    s->left = v->left;
    s->position = v->position;
    s->requeued = v->requeued;
    snprintf(s->state, sizeof s->state, "%s", v->state);
    snprintf(s->why, sizeof s->why, "%s", v->why);
}

static void shown(struct world *w, const char *state, const char *why, double waited,
                  unsigned requeued)
{
    struct seen s = {0};
    flight_each(engine_flights(world_engine(w)), see, &s);
    assert_int_equal(s.count, 1);
    assert_int_equal(s.waiters, 2);
    assert_string_equal(s.state, state);
    assert_string_equal(s.why, why);
    assert_int_equal(s.waited, (usec_t)(waited * 1e6));
    assert_int_equal(s.requeued, requeued);
    assert_int_equal(s.position, strcmp(state, "waiting") == 0 ? 1 : 0);
}

/* left: -1: not known */
static void expected_to_last(struct world *w, double left)
{
    struct seen s = {0};
    flight_each(engine_flights(world_engine(w)), see, &s);
    assert_int_equal(s.left, left < 0 ? -1 : (usec_t)(left * 1e6));
}

static void a_call_says_how_long_it_is_expected_to_last(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    for (unsigned i = 0; i < 3; i++) {
        (void)post(w, ANN, ask_title(i == 0 ? "a" : i == 1 ? "b" : "c", REPLY));
        seconds(w, 1);
        expected_to_last(w, i == 0 ? -1 : 1); /* each took 2 s */
        seconds(w, 1);
        expected_to_last(w, i == 0 ? -1 : 0);
        answer(w);
    }
    (void)post(w, ANN, ask_title("d", REPLY));
    seconds(w, 5);
    expected_to_last(w, 0); /* late */
    answer(w);
    world_end(w);
}

static void explained(struct world *w, const char *body, const char *waits)
{
    struct explain_request in = {.path = SPAN("/v1/chat/completions"), .body = span_of(body)};
    struct explanation out;
    engine_explain(world_engine(w), &in, &out);
    assert_string_equal(out.decision, "miss");
    assert_string_equal(out.waits, waits);
}

static void what_waits_says_why(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    explained(w, ask_follow_up("x", REPLY), "");
    explained(w, ask_title("x", ""), "first-turn");
    (void)post(w, BOB, ask_chat(FIRST));
    explained(w, ask_follow_up("x", REPLY), "chat");
    explained(w, ask_autocomplete("How do I write"), "chat");
    explained(w, ask_query("weather"), "");
    (void)post(w, ANN, ask_title("y", REPLY));
    (void)post(w, ANN, ask_title("y", REPLY));
    seconds(w, 3);
    shown(w, "waiting", "chat", 3, 0);
    answer(w);
    seconds(w, 0.4);
    shown(w, "waiting", "settle", 3.4, 0);
    explained(w, ask_follow_up("x", REPLY), "settle");
    seconds(w, 3.6); /* settle is longer by the 3 s that the first token took */
    shown(w, "running", "", 7, 0);
    explained(w, ask_follow_up("x", REPLY), "slots");
    (void)post(w, BOB, ask_chat(SECOND));
    seconds(w, 2);
    shown(w, "waiting", "chat", 9, 1);
    answer(w);
    (void)post(w, ANN, ask_query("weather"));
    assert_int_equal(world_figures(w)->upstreams[0]->calls, 4);
    answer(w);
    seconds(w, 4);
    shown(w, "running", "", 13, 1);
    answer(w);
    world_end(w);
}

static void explain_knows_what_the_turn_has_spent(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    (void)post(w, BOB, ask_chat(FIRST));
    (void)post(w, "", ask_follow_up("x", REPLY));
    explained(w, ask_follow_up("y", REPLY), "chat");
    seconds(w, 20);
    answer(w);
    explained(w, ask_follow_up("y", REPLY), ""); /* it would run beside the chat */
    explained(w, ask_follow_up("y", "Another reply."), "chat");
    model_answer(model_call(w, 0), REPLY);
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_an_abort_costs_is_measured_and_used),
        cmocka_unit_test(one_that_is_left_to_end_has_as_long_as_an_abort_takes),
        cmocka_unit_test(what_just_counts_as_the_same_reply),
        cmocka_unit_test(only_follow_ups_and_only_by_a_new_turn),
        cmocka_unit_test(a_foreground_task_that_passes_through),
        cmocka_unit_test(another_conversation_is_not_the_titles_chat),
        cmocka_unit_test(a_late_joiner_has_waited_as_long_as_the_first),
        cmocka_unit_test(the_tasks_of_a_turn_need_not_agree_on_its_reply),
        cmocka_unit_test(another_model_waits_for_a_quiet_minute),
        cmocka_unit_test(what_waits_says_why),
        cmocka_unit_test(a_call_says_how_long_it_is_expected_to_last),
        cmocka_unit_test(explain_knows_what_the_turn_has_spent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
