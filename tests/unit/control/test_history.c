/* test_history.c: the samples of GET /history, in virtual time. */
#include "support/fake_loop.c"

#include "control/control_priv.h"
#include "support/check.h"

struct world {
    struct loop *loop;
    struct figures *figures;
    struct servers *servers;
    struct schedule *schedule;
    struct history *history;
};

static void begin(struct world *w)
{
    w->loop = loop_create();
    w->figures = figures_create();
    w->servers = servers_create(w->loop, NULL, w->figures);
    w->schedule = schedule_create(w->servers);
    w->history = history_create(w->loop, w->figures, w->schedule);
}

static void end(struct world *w)
{
    history_destroy(w->history);
    schedule_destroy(w->schedule);
    servers_destroy(w->servers);
    figures_destroy(w->figures);
    loop_destroy(w->loop);
}

static double number(const cJSON *one, const char *name)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(one, name);
    assert_true(cJSON_IsNumber(member));
    return member->valuedouble;
}

static void a_sample_is_what_its_minute_added(void **state)
{
    struct world w;
    (void)state;
    begin(&w);
    struct task_figures *t = figures_task(w.figures, "title");
    struct upstream_figures *u = figures_upstream(w.figures, "default");
    t->saved_us = 1500000;
    t->upstream_us = 250000;
    t->requests = 4;
    t->outcomes[OUTCOME_HIT] = 1;
    t->outcomes[OUTCOME_BUSY] = 1;
    t->outcomes[OUTCOME_MISS] = 2;
    figure_times_add(&u->token_alone, loop_now(w.loop), 100000);
    figure_times_add(&u->token_alone, loop_now(w.loop), 300000);
    fake_loop_advance(w.loop, 60 * USEC_PER_S);
    t->saved_us += 500000;
    figure_times_add(&u->token_after_tasks, loop_now(w.loop), 900000);
    fake_loop_advance(w.loop, 60 * USEC_PER_S);
    cJSON *tree = history_tree(w.history);
    const cJSON *minutes = cJSON_GetObjectItem(tree, "minutes");
    assert_int_equal(cJSON_GetArraySize(minutes), 2);
    const cJSON *first = cJSON_GetArrayItem(minutes, 0);
    const cJSON *second = cJSON_GetArrayItem(minutes, 1);
    assert_true(number(first, "saved_s") == 1.5 && number(first, "spent_s") == 0.25);
    assert_true(number(first, "requests") == 4 && number(first, "without_call") == 2);
    assert_true(number(first, "ttft_alone_ms") == 200);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(first, "ttft_after_tasks_ms")));
    assert_true(number(second, "saved_s") == 0.5 && number(second, "spent_s") == 0);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(second, "ttft_alone_ms")));
    assert_true(number(second, "ttft_after_tasks_ms") == 900);
    assert_true(number(second, "t") == number(first, "t") + 60);
    cJSON_Delete(tree);
    end(&w);
}

enum { JOBS = 5 };

static void the_longest_queue_of_a_minute_is_kept(void **state)
{
    struct upstream_settings a = {.name = "a", .machine = "a", .slots = 1};
    struct upstream_settings b = {.name = "b", .machine = "b", .slots = 1};
    struct kind_policy policy = {.cls = KIND_CLASS_BACKGROUND, .queue = JOBS};
    struct schedule_job jobs[JOBS] = {{0}};
    struct world w;
    (void)state;
    begin(&w);
    servers_bind(w.servers, &a, 1);
    servers_bind(w.servers, &b, 1);
    for (size_t i = 0; i < JOBS; i++) {
        jobs[i] = (struct schedule_job){.to = i < 2 ? &a : &b, .policy = &policy, .expected = -1};
        schedule_wait(w.schedule, &jobs[i], loop_now(w.loop));
    }
    fake_loop_advance(w.loop, 20 * USEC_PER_S);
    schedule_end(w.schedule, &jobs[0], loop_now(w.loop), false);
    schedule_end(w.schedule, &jobs[1], loop_now(w.loop), false);
    fake_loop_advance(w.loop, 40 * USEC_PER_S);
    schedule_end(w.schedule, &jobs[2], loop_now(w.loop), false);
    schedule_end(w.schedule, &jobs[3], loop_now(w.loop), false);
    fake_loop_advance(w.loop, 60 * USEC_PER_S);
    cJSON *tree = history_tree(w.history);
    const cJSON *minutes = cJSON_GetObjectItem(tree, "minutes");
    assert_true(number(cJSON_GetArrayItem(minutes, 0), "queued") == 5);
    assert_true(number(cJSON_GetArrayItem(minutes, 1), "queued") == 1);
    cJSON_Delete(tree);
    schedule_end(w.schedule, &jobs[4], loop_now(w.loop), false);
    end(&w);
}

static void an_hour_is_kept_oldest_first(void **state)
{
    struct world w;
    (void)state;
    begin(&w);
    struct task_figures *t = figures_task(w.figures, "tags");
    for (uint64_t minute = 1; minute <= 75; minute++) {
        t->requests += minute;
        fake_loop_advance(w.loop, 60 * USEC_PER_S);
    }
    cJSON *tree = history_tree(w.history);
    const cJSON *minutes = cJSON_GetObjectItem(tree, "minutes");
    assert_int_equal(cJSON_GetArraySize(minutes), 60);
    for (int i = 0; i < 60; i++) {
        assert_true(number(cJSON_GetArrayItem(minutes, i), "requests") == 16 + i);
    }
    cJSON_Delete(tree);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sample_is_what_its_minute_added),
        cmocka_unit_test(the_longest_queue_of_a_minute_is_kept),
        cmocka_unit_test(an_hour_is_kept_oldest_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
