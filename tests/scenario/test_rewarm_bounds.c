/* test_rewarm_bounds.c: what rewarm must not do: begin beside something, stand in front of a chat,
 * go on for ever, count as a task.
 */
#include "scenario/scenario.h"

#define ANN "X-OpenWebUI-User-Id: ann\r\n"
#define REPLY "A daemon is a program without a terminal."

static const char *const FIRST[] = {"What is a daemon?", NULL};
static const char *const SECOND[] = {"What is a daemon?", REPLY, "And a unit?", NULL};
static const char *const ON[] = {"tasks.retry_shape=0", "upstream.default.rewarm=on", NULL};

static void answer(struct world *w, size_t i)
{
    model_answer(model_call(w, i), REPLY);
    world_pass(w, 0);
}

/* A world in which call 2 is a rewarm's, just begun. */
static struct world *warm_world(void)
{
    struct world *w = world_begin(ON);
    (void)post(w, ANN, ask_chat(FIRST));
    answer(w, 0);
    (void)post(w, ANN, ask_follow_up("x", REPLY));
    seconds(w, 1);
    answer(w, 1);
    seconds(w, 1);
    assert_int_equal(model_calls(w), 3);
    return w;
}

static void not_beside_what_runs_or_waits(void **state)
{
    (void)state;
    struct world *w = world_begin(ON);
    (void)post(w, ANN, ask_chat(FIRST));
    answer(w, 0);
    (void)post(w, ANN, ask_follow_up("x", REPLY));
    (void)post(w, ANN, ask_title("x", REPLY));
    seconds(w, 5);
    assert_int_equal(model_calls(w), 2);
    answer(w, 1);
    assert_int_equal(model_calls(w), 3);
    assert_int_equal(world_figures(w)->upstreams[0]->rewarms, 0);
    seconds(w, 5);
    answer(w, 2);
    assert_int_equal(model_calls(w), 3);
    seconds(w, 1);
    assert_int_equal(model_calls(w), 4);
    assert_int_equal(world_figures(w)->upstreams[0]->rewarms, 1);
    answer(w, 3);
    world_end(w);
}

static void note_abort(void *ctx, struct upstream_call *call)
{
    size_t *order = ctx;
    (void)call;
    order[0] = ++order[2];
}

static void note_begin(void *ctx, struct upstream_call *call)
{
    size_t *order = ctx;
    (void)call;
    order[1] = ++order[2];
}

static void it_is_aborted_before_the_chat_is_sent(void **state)
{
    (void)state;
    size_t order[3] = {0}; /* when it was aborted, when a call began, how many were noted */
    struct world *w = warm_world();
    world_script(w, &(struct model_script){note_begin, note_abort, order});
    (void)post(w, ANN, ask_chat(SECOND));
    world_script(w, NULL);
    assert_int_equal(order[0], 1);
    assert_int_equal(order[1], 2);
    answer(w, 3);
    world_end(w);
}

static void it_takes_two_minutes_at_most(void **state)
{
    (void)state;
    struct world *w = warm_world();
    seconds(w, 119.9);
    assert_true(model_open(model_call(w, 2)));
    seconds(w, 0.1);
    assert_true(model_aborted(model_call(w, 2)));
    assert_int_equal(world_figures(w)->upstreams[0]->rewarm_us, 120 * USEC_PER_S);
    seconds(w, 600);
    assert_int_equal(model_calls(w), 3);
    world_end(w);
}

static void it_counts_as_nothing_else(void **state)
{
    (void)state;
    struct world *w = warm_world();
    const struct task_figures *after = world_task(w, "follow_up");
    const struct task_figures before = *after;
    const struct server_figures server = world_figures(w)->server;
    assert_int_equal(before.upstream_calls, 1);
    seconds(w, 3);
    answer(w, 2);
    assert_int_equal(world_figures(w)->upstreams[0]->rewarm_us, 3 * USEC_PER_S);
#define TASK_FIGURE(field, name, type, text) assert_int_equal(after->field, before.field);
#define SERVER_FIGURE(group, field, name, type, text)                                              \
    assert_int_equal(world_figures(w)->server.group##_##field, server.group##_##field);
#include "lull/config/figures.def"
    assert_int_equal(world_figures(w)->task_count, 1);
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(not_beside_what_runs_or_waits),
        cmocka_unit_test(it_is_aborted_before_the_chat_is_sent),
        cmocka_unit_test(it_takes_two_minutes_at_most),
        cmocka_unit_test(it_counts_as_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
