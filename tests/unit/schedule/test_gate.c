/* test_gate.c: many tasks that may start at once are started a few in a turn of the loop. Counted by a
 * descriptor that is ready at every look.
 */
#include "schedule_support.h"
#include "support/crowd.h"

#include "lull/path/schedule/gate.h"

enum { TASKS = 60, IN_A_ROW = 16 };

static char hosted[] = "hosted";

struct world {
    struct loop *loop;
    struct gate *gate;
    struct crowd crowd;
    struct gate_ticket tickets[TASKS];
    int started, before, most;
    bool changes; /* each start changes what the schedule knows, as one that fails at once does */
};

static void on_start(void *ctx)
{
    struct world *w = ctx;
    w->started++;
    if (w->changes) {
        gate_changed(w->gate);
    }
}

static bool on_preempt(void *ctx)
{
    (void)ctx;
    return false;
}

static void another_is_called(void *ctx)
{
    struct world *w = ctx;
    int more = w->started - w->before;
    w->most = more > w->most ? more : w->most;
    w->before = w->started;
    if (w->started == TASKS) {
        loop_stop(w->loop);
    }
}

static void many_tasks_are_started_in_parts(void **state)
{
    (void)state;
    for (int changes = 0; changes < 2; changes++) {
        struct world w = {.loop = loop_create(), .changes = changes == 1};
        struct schedule *s = begin();
        struct upstream_settings to = upstream(hosted, hosted, 0);
        struct kind_policy policy = kind(KIND_CLASS_BACKGROUND, 4);
        policy.queue = TASKS;
        w.gate = gate_create(w.loop, s);
        w.crowd.called = another_is_called;
        w.crowd.ctx = &w;
        crowd_open(&w.crowd, w.loop, 1);
        for (size_t i = 0; i < TASKS; i++) {
            w.tickets[i] = (struct gate_ticket){
                .job = job(&to, &policy), .start = on_start, .preempt = on_preempt, .ctx = &w};
            gate_wait(w.gate, &w.tickets[i]);
        }
        loop_run(w.loop);
        assert_int_equal(w.started, TASKS);
        assert_in_range(w.most, 1, IN_A_ROW);
        for (size_t i = 0; i < TASKS; i++) {
            gate_end(w.gate, &w.tickets[i], false);
        }
        gate_destroy(w.gate);
        crowd_close(&w.crowd);
        end(s);
        loop_destroy(w.loop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(many_tasks_are_started_in_parts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
