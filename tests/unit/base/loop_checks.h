/* loop_checks.h: what base/loop.h promises, checked on both implementations: test_loop.c (libevent)
 * and test_fake_loop.c (virtual time).
 */
#include "support/check.h"
#include "support/speed.h"

#include "lull/base/loop.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct trace {
    struct loop_timer *last; /* NULL: none */
    struct loop *loop;
    char text[64];
    struct loop_timer *timer, *other;
    struct loop_watch *watch;
    struct loop_deferred work, *put_off;
    mono_t due;
    int64_t fired;
    int fds[2];
};

static void note(struct trace *t, const char *what)
{
    strncat(t->text, what, sizeof t->text - strlen(t->text) - 1);
}

static void stop(void *ctx)
{
    struct trace *t = ctx;
    note(t, "stop ");
    loop_stop(t->loop);
}

static void first(void *ctx)
{
    note(ctx, "first ");
}

static void deferred(void *ctx)
{
    struct trace *t = ctx;
    note(t, "deferred ");
    if (t->last != NULL) {
        loop_timer_start(t->last, 10 * USEC_PER_MS);
    }
}

static void defers(void *ctx)
{
    struct trace *t = ctx;
    note(t, "defers ");
    loop_defer(t->loop, &t->work);
    loop_defer(t->loop, &t->work); /* once is enough */
}

static void must_not_be_run(void *ctx)
{
    note(ctx, "cancelled ");
}

static void timers_fire_in_order_and_deferred_work_ends_the_turn(void **state)
{
    (void)state;
    struct trace t = {.loop = loop_create()};
    t.work = (struct loop_deferred){.fn = deferred, .ctx = &t};
    struct loop_timer *c = loop_timer_create(t.loop, stop, &t);
    struct loop_timer *b = loop_timer_create(t.loop, defers, &t);
    struct loop_timer *a = loop_timer_create(t.loop, first, &t);
    struct loop_timer *never = loop_timer_create(t.loop, first, &t);
    t.last =
        c; /* started by the deferred work: however late this process runs, it comes after it */
    loop_timer_start(a, 1 * USEC_PER_MS); /* before b: however late, a is due first */
    loop_timer_start(b, 15 * USEC_PER_MS);
    loop_timer_start(never, 5 * USEC_PER_MS);
    loop_timer_stop(never);
    assert_true(loop_timer_running(a));
    mono_t before = loop_now(t.loop);
    loop_run(t.loop);
    assert_string_equal(t.text, "first defers deferred stop ");
    assert_false(loop_timer_running(a));
    assert_true(mono_diff(loop_now(t.loop), before) >= 24 * USEC_PER_MS);
    loop_timer_destroy(a);
    loop_timer_destroy(b);
    loop_timer_destroy(c);
    loop_timer_destroy(never);
    loop_destroy(t.loop);
}

static void checks_its_time(void *ctx)
{
    struct trace *t = ctx;
    assert_true(mono_diff(loop_now(t->loop), t->due) >= 0);
    t->due.us = loop_now(t->loop).us + ++t->fired * USEC_PER_MS / 4;
    if (t->fired < 50) {
        loop_timer_start(t->timer, mono_diff(t->due, loop_now(t->loop)));
    } else {
        loop_stop(t->loop);
    }
}

static void starts_again(void *ctx)
{
    struct trace *t = ctx;
    loop_timer_start(t->other, USEC_PER_MS / 10);
}

/* The event library's clock may be coarser than a delay, and another event wakes the loop. */
static void a_timer_is_never_early(void **state)
{
    (void)state;
    struct trace t = {.loop = loop_create()};
    t.timer = loop_timer_create(t.loop, checks_its_time, &t);
    t.other = loop_timer_create(t.loop, starts_again, &t);
    loop_timer_start(t.timer, 0);
    loop_timer_start(t.other, 0);
    loop_run(t.loop);
    assert_int_equal(t.fired, 50);
    loop_timer_destroy(t.timer);
    loop_timer_destroy(t.other);
    loop_destroy(t.loop);
}

static void read_one(void *ctx, int events)
{
    struct trace *t = ctx;
    char byte;
    assert_int_equal(events, LOOP_READ);
    assert_int_equal(read(t->fds[0], &byte, 1), 1);
    note(t, "read ");
    if (byte == 'z') {
        loop_watch_destroy(t->watch); /* from inside its own callback */
        loop_stop(t->loop);
    }
}

static void watches_are_level_triggered(void **state)
{
    (void)state;
    struct trace t = {.loop = loop_create()};
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, t.fds), 0);
    t.watch = loop_watch_create(t.loop, t.fds[0], read_one, &t);
    loop_watch_set(t.watch, LOOP_READ);
    assert_int_equal(write(t.fds[1], "abz", 3), 3);
    loop_run(t.loop);
    assert_string_equal(t.text, "read read read ");
    close(t.fds[0]);
    close(t.fds[1]);
    loop_destroy(t.loop);
}

static void destroys_the_other(void *ctx, int events)
{
    struct trace *t = ctx;
    (void)events;
    if (t->watch == NULL) {
        return; /* still ready in later turns */
    }
    note(t, "one ");
    loop_watch_destroy(t->watch);
    t->watch = NULL;
    loop_timer_start(t->timer, 0);
}

static void must_not_run(void *ctx, int events)
{
    (void)events;
    note(ctx, "both ");
}

static void a_destroyed_watch_makes_no_call(void **state)
{
    (void)state;
    struct trace t = {.loop = loop_create()};
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    t.timer = loop_timer_create(t.loop, stop, &t);
    struct loop_watch *one = loop_watch_create(t.loop, fds[0], destroys_the_other, &t);
    t.watch = loop_watch_create(t.loop, fds[1], must_not_run, &t);
    loop_watch_set(one, LOOP_WRITE); /* both are ready in the same turn */
    loop_watch_set(t.watch, LOOP_WRITE);
    loop_run(t.loop);
    /* whichever came first, the destroyed one was not called after it */
    const char *one_at = strstr(t.text, "one ");
    assert_non_null(one_at);
    assert_null(strstr(one_at, "both "));
    loop_watch_destroy(one);
    loop_timer_destroy(t.timer);
    close(fds[0]);
    close(fds[1]);
    loop_destroy(t.loop);
}

static void a_waker_wakes(void **state)
{
    (void)state;
    struct trace t = {.loop = loop_create()};
    struct loop_waker *waker = loop_waker_create(t.loop, stop, &t);
    loop_wake(waker);
    loop_wake(waker);
    loop_run(t.loop);
    assert_string_equal(t.text, "stop ");
    loop_waker_destroy(waker);
    loop_destroy(t.loop);
}

static void cancelled_work_does_not_run(void **state)
{
    (void)state;
    struct trace t = {.loop = loop_create()};
    struct loop_deferred a = {.fn = first, .ctx = &t}, b = {.fn = deferred, .ctx = &t};
    loop_defer(t.loop, &a);
    loop_defer(t.loop, &b);
    loop_defer_cancel(t.loop, &b);
    loop_defer(t.loop, &b);
    loop_defer_cancel(t.loop, &a);
    t.timer = loop_timer_create(t.loop, stop, &t);
    loop_timer_start(t.timer, 0);
    loop_run(t.loop);
    assert_null(strstr(t.text, "first "));
    assert_non_null(strstr(t.text, "deferred "));
    loop_timer_destroy(t.timer);
    loop_destroy(t.loop);
}

/* Without a timer or a descriptor that would begin a turn. */
static void work_deferred_before_the_loop_runs_is_done(void **state)
{
    (void)state;
    struct trace t = {.loop = loop_create()};
    struct loop_deferred work = {.fn = stop, .ctx = &t};
    loop_defer(t.loop, &work);
    loop_run(t.loop);
    assert_string_equal(t.text, "stop ");
    loop_destroy(t.loop);
}

static void ends_a_turn(void *ctx)
{
    note(ctx, "| ");
}

static void puts_itself_off(void *ctx)
{
    struct trace *t = ctx;
    note(t, "later ");
    loop_defer(t->loop, &t->work);
    if (++t->fired < 3) {
        loop_later(t->loop, t->put_off);
        loop_later(t->loop, t->put_off); /* once is enough */
    } else {
        loop_stop(t->loop);
    }
}

/* Each time in a turn of its own, though nothing else is ready. */
static void work_that_is_put_off_runs_in_a_later_turn(void **state)
{
    (void)state;
    struct trace t = {.loop = loop_create()};
    struct loop_deferred work = {.fn = puts_itself_off, .ctx = &t};
    struct loop_deferred not_run = {.fn = must_not_be_run, .ctx = &t};
    t.put_off = &work;
    t.work = (struct loop_deferred){.fn = ends_a_turn, .ctx = &t};
    loop_later(t.loop, &not_run);
    loop_later(t.loop, &work);
    loop_defer_cancel(t.loop, &not_run);
    loop_run(t.loop);
    assert_string_equal(t.text, "later | later | later | ");
    loop_destroy(t.loop);
}

/* A queue that is walked for each cancel needs minutes for these. */
static void cancelling_does_not_depend_on_the_length_of_the_queue(void **state)
{
    (void)state;
    enum { MANY = 200000 };
    struct trace t = {.loop = loop_create()};
    struct loop_deferred *all = mem_new(MANY * sizeof *all);
    for (size_t i = 0; i < MANY; i++) {
        all[i] = (struct loop_deferred){.fn = must_not_be_run, .ctx = &t};
        loop_defer(t.loop, &all[i]);
    }
    clock_t began = clock();
    for (size_t i = MANY; i-- > 0;) {
        loop_defer_cancel(t.loop, &all[i]);
    }
    assert_true(speed_seconds(began) < 1);
    t.timer = loop_timer_create(t.loop, stop, &t);
    loop_timer_start(t.timer, 0);
    loop_run(t.loop);
    assert_string_equal(t.text, "stop ");
    loop_timer_destroy(t.timer);
    free(all);
    loop_destroy(t.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order_and_deferred_work_ends_the_turn),
        cmocka_unit_test(cancelling_does_not_depend_on_the_length_of_the_queue),
        cmocka_unit_test(a_timer_is_never_early),
        cmocka_unit_test(work_that_is_put_off_runs_in_a_later_turn),
        cmocka_unit_test(watches_are_level_triggered),
        cmocka_unit_test(a_destroyed_watch_makes_no_call),
        cmocka_unit_test(a_waker_wakes),
        cmocka_unit_test(cancelled_work_does_not_run),
        cmocka_unit_test(work_deferred_before_the_loop_runs_is_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
