/* test_turns.c: base/turns.h, and what the loop on libevent reports in it. */
#include "support/check.h"

#include "lull/base/loop.h"

#include <time.h>

static const mono_t START = {990 * USEC_PER_S}; /* a slice begins */

static mono_t after(usec_t us)
{
    return (mono_t){START.us + us};
}

static void turn(struct turns *t, usec_t at, usec_t took)
{
    turns_add(t, after(at - took), after(at), took / 2);
}

static void the_longest_turn_stays_and_the_recent_one_is_forgotten(void **state)
{
    struct turns t = {0};
    (void)state;
    assert_int_equal(turns_recent(&t, START).time, 0);
    turn(&t, 0, 300);
    turn(&t, 1000, 7000);
    turn(&t, 2000, 20);
    assert_int_equal(t.most.time, 7000);
    assert_int_equal(turns_recent(&t, after(2000)).time, 7000);
    turn(&t, 150 * USEC_PER_S, 900);
    assert_int_equal(turns_recent(&t, after(270 * USEC_PER_S)).time, 7000);
    assert_int_equal(turns_recent(&t, after(300 * USEC_PER_S)).time, 900);
    assert_int_equal(turns_recent(&t, after(450 * USEC_PER_S)).time, 0);
    assert_int_equal(t.most.time, 7000);
    assert_int_equal(t.most.cpu, 3500);
    assert_int_equal(turns_recent(&t, after(300 * USEC_PER_S)).cpu, 450);
}

/* The turn that takes most CPU need not be the longest. */
static void time_and_cpu_are_counted_apart(void **state)
{
    struct turns t = {0};
    (void)state;
    turns_add(&t, after(0), after(9000), 100);
    turns_add(&t, after(9000), after(13000), 3900);
    assert_int_equal(t.most.time, 9000);
    assert_int_equal(t.most.cpu, 3900);
    assert_int_equal(turns_recent(&t, after(13000)).cpu, 3900);
}

/* The slice of a turn is used again after five minutes, and after any longer silence. */
static void an_old_slice_does_not_come_back(void **state)
{
    (void)state;
    for (usec_t silence = 290; silence <= 1230; silence += 10) {
        struct turns t = {0};
        turn(&t, 0, 7000);
        turn(&t, silence * USEC_PER_S, 20);
        usec_t recent = turns_recent(&t, after(silence * USEC_PER_S)).time;
        assert_int_equal(recent, silence < 300 ? 7000 : 20);
        assert_int_equal(turns_recent(&t, after((silence + 269) * USEC_PER_S)).time, 20);
    }
}

/* ---- the loop ---- */

struct scene {
    struct loop *loop;
    struct loop_deferred work;
    mono_t began;
};

static mono_t clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (mono_t){(int64_t)t.tv_sec * USEC_PER_S + t.tv_nsec / 1000};
}

static void spend(usec_t us)
{
    mono_t from = clock_now();
    while (mono_diff(clock_now(), from) < us) {
    }
}

static void spends_and_stops(void *ctx)
{
    struct scene *s = ctx;
    spend(2 * USEC_PER_MS);
    loop_stop(s->loop);
}

static void spends_and_defers(void *ctx)
{
    struct scene *s = ctx;
    s->began = loop_now(s->loop);
    spend(2 * USEC_PER_MS);
    loop_defer(s->loop, &s->work);
}

/* Waiting for the timer is no part of the turn; its deferred work is. */
static void a_turn_lasts_from_its_clock_to_the_end_of_its_deferred_work(void **state)
{
    (void)state;
    struct scene s = {.loop = loop_create()};
    s.work = (struct loop_deferred){.fn = spends_and_stops, .ctx = &s};
    struct loop_timer *timer = loop_timer_create(s.loop, spends_and_defers, &s);
    assert_int_equal(loop_turns(s.loop)->most.time, 0);
    loop_timer_start(timer, 30 * USEC_PER_MS);
    loop_run(s.loop);
    usec_t longest = loop_turns(s.loop)->most.time;
    assert_true(longest >= 4 * USEC_PER_MS);
    assert_true(longest <= mono_diff(clock_now(), s.began));
    assert_true(loop_turns(s.loop)->most.cpu > 0 && loop_turns(s.loop)->most.cpu <= longest);
    assert_int_equal(turns_recent(loop_turns(s.loop), loop_now(s.loop)).time, longest);
    loop_timer_destroy(timer);
    loop_destroy(s.loop);
}

static void take_cpu(usec_t us)
{
    struct timespec t = {0};
    while (t.tv_sec == 0 && t.tv_nsec / 1000 < us) {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    }
}

static void sleeps_and_stops(void *ctx)
{
    struct scene *s = ctx;
    const struct timespec time = {.tv_nsec = 30 * 1000000L};
    nanosleep(&time, NULL);
    loop_stop(s->loop);
}

/* What a turn waits for is no CPU, nor is what was taken before it. */
static void a_turn_that_waits_takes_little_cpu(void **state)
{
    (void)state;
    struct scene s = {.loop = loop_create()};
    struct loop_timer *timer = loop_timer_create(s.loop, sleeps_and_stops, &s);
    take_cpu(60 * USEC_PER_MS);
    loop_timer_start(timer, 0);
    loop_run(s.loop);
    assert_true(loop_turns(s.loop)->most.time >= 30 * USEC_PER_MS);
    assert_true(loop_turns(s.loop)->most.cpu < 30 * USEC_PER_MS);
    loop_timer_destroy(timer);
    loop_destroy(s.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_turn_stays_and_the_recent_one_is_forgotten),
        cmocka_unit_test(an_old_slice_does_not_come_back),
        cmocka_unit_test(time_and_cpu_are_counted_apart),
        cmocka_unit_test(a_turn_that_waits_takes_little_cpu),
        cmocka_unit_test(a_turn_lasts_from_its_clock_to_the_end_of_its_deferred_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
