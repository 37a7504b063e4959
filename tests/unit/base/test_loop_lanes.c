/* test_loop_lanes.c: a turn of the loop is bounded, what is urgent is behind few others, and nothing
 * waits for ever (base/loop.h on libevent). Counted in calls, not in time.
 */
#include "support/check.h"

#include "lull/base/loop.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { CROWD = 300, CALLS_OF_A_TURN = 64, FEW = 8, TOO_MANY = 20000 };

struct crowd;

/* What a look takes, in seconds: between the first that it finds, with which the loop reads both clocks,
 * and the first call. */
static time_t look_takes, looked;

int clock_gettime(clockid_t id, struct timespec *out)
{
    int failed = (int)syscall(SYS_clock_gettime, id, out);
    looked += id == CLOCK_REALTIME ? look_takes : 0;
    out->tv_sec += id == CLOCK_MONOTONIC ? looked : 0;
    return failed;
}

/* A descriptor of the crowd: one end of a pipe that has a byte to read, so that it is ready. */
struct member {
    struct crowd *crowd;
    struct loop_watch *watch;
    int fd;
};

struct crowd {
    struct loop *loop;
    struct member members[CROWD];
    int full[2], other[2]; /* pipes: one is readable, one not yet */
    struct loop_watch *one;
    struct loop_timer *timer;
    struct loop_deferred turn_ends, later, other_later;
    int calls, seen_at, in_turn, most_in_turn;
    int timer_at, later_at;
    int write_at; /* the call that makes `other` readable */
    void (*each)(struct crowd *c);
};

static void turn_ends(void *ctx)
{
    struct crowd *c = ctx;
    c->most_in_turn = c->in_turn > c->most_in_turn ? c->in_turn : c->most_in_turn;
    c->in_turn = 0;
}

/* Of the crowd, once each. */
static void on_member(void *ctx, int events)
{
    struct member *m = ctx;
    struct crowd *c = m->crowd;
    (void)events;
    c->calls++;
    c->in_turn++;
    loop_defer(c->loop, &c->turn_ends);
    loop_watch_set(m->watch, 0);
    if (c->calls == c->write_at) {
        assert_int_equal(write(c->other[1], "x", 1), 1);
    }
    if (c->each != NULL) {
        c->each(c);
    }
    if (c->calls == CROWD) {
        loop_stop(c->loop);
    }
}

/* As above, and stays ready. */
static void on_endless_member(void *ctx, int events)
{
    struct member *m = ctx;
    (void)events;
    if (++m->crowd->calls > TOO_MANY) {
        loop_stop(m->crowd->loop);
    }
}

static void stop_if_all_were_called(struct crowd *c)
{
    if (c->seen_at >= 0 && c->timer_at >= 0 && c->later_at >= 0) {
        loop_stop(c->loop);
    }
}

static void on_one(void *ctx, int events)
{
    struct crowd *c = ctx;
    (void)events;
    c->seen_at = c->calls;
    loop_watch_set(c->one, 0);
    stop_if_all_were_called(c);
}

static void on_timer(void *ctx)
{
    struct crowd *c = ctx;
    c->timer_at = c->calls;
    stop_if_all_were_called(c);
}

static void on_later(void *ctx)
{
    struct crowd *c = ctx;
    c->later_at = c->calls;
    stop_if_all_were_called(c);
}

static struct crowd *crowd_open(loop_watch_fn fn, bool urgent)
{
    struct crowd *c = mem_new(sizeof *c);
    c->loop = loop_create();
    c->seen_at = c->timer_at = c->later_at = -1;
    assert_int_equal(pipe(c->full), 0);
    assert_int_equal(pipe(c->other), 0);
    assert_int_equal(write(c->full[1], "x", 1), 1);
    for (size_t i = 0; i < CROWD; i++) {
        struct member *m = &c->members[i];
        m->crowd = c;
        m->fd = dup(c->full[0]);
        assert_true(m->fd >= 0);
        m->watch = loop_watch_create(c->loop, m->fd, fn, m);
        loop_watch_set_urgent(m->watch, urgent);
        loop_watch_set(m->watch, LOOP_READ);
    }
    c->turn_ends = (struct loop_deferred){.fn = turn_ends, .ctx = c};
    c->later = (struct loop_deferred){.fn = on_later, .ctx = c};
    c->timer = loop_timer_create(c->loop, on_timer, c);
    c->one = loop_watch_create(c->loop, c->other[0], on_one, c);
    loop_watch_set(c->one, LOOP_READ);
    return c;
}

static void crowd_close(struct crowd *c)
{
    for (size_t i = 0; i < CROWD; i++) {
        loop_watch_destroy(c->members[i].watch);
        close(c->members[i].fd);
    }
    loop_timer_destroy(c->timer);
    loop_watch_destroy(c->one);
    loop_defer_cancel(c->loop, &c->later);
    loop_destroy(c->loop);
    for (size_t i = 0; i < 2; i++) {
        close(c->full[i]);
        close(c->other[i]);
    }
    free(c);
}

static void a_turn_makes_so_many_calls_at_most(void **state)
{
    (void)state;
    struct crowd *c = crowd_open(on_member, false);
    loop_run(c->loop);
    assert_int_equal(c->calls, CROWD);
    assert_in_range(c->most_in_turn, 1, CALLS_OF_A_TURN);
    crowd_close(c);
}

static int64_t clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * USEC_PER_S + t.tv_nsec / 1000;
}

/* A millisecond more than the turn took so far, by the clock itself: as long on any machine. */
static void takes_long(struct crowd *c)
{
    int64_t began = clock_now(), before = began - loop_now(c->loop).us;
    while (clock_now() - began < before + USEC_PER_MS) {
    }
}

static void a_call_that_takes_long_ends_the_turn(void **state)
{
    (void)state;
    struct crowd *c = crowd_open(on_member, false);
    c->each = takes_long;
    loop_run(c->loop);
    assert_int_equal(c->calls, CROWD);
    assert_int_equal(c->most_in_turn, 1);
    crowd_close(c);
}

/* Where the look alone takes longer than calls may, a turn has more than one call all the same: else each
 * call of thousands would cost a look at all of them. */
static void a_look_that_takes_long_is_worth_its_time(void **state)
{
    (void)state;
    look_takes = 10;
    struct crowd *c = crowd_open(on_member, false);
    loop_run(c->loop);
    look_takes = 0;
    assert_int_equal(c->calls, CROWD);
    assert_int_equal(c->most_in_turn, CALLS_OF_A_TURN);
    crowd_close(c);
}

/* It becomes ready while hundreds are. */
static void what_is_urgent_is_behind_few_others(void **state)
{
    (void)state;
    for (int urgent = 0; urgent < 2; urgent++) {
        struct crowd *c = crowd_open(on_member, false);
        loop_watch_set_urgent(c->one, urgent == 1);
        c->write_at = 5;
        loop_run(c->loop);
        if (urgent == 1) { /* the look at the end of this turn sees it */
            assert_in_range(c->seen_at, 5, CALLS_OF_A_TURN + FEW);
        } else {
            assert_true(c->seen_at < 0 || c->seen_at == CROWD); /* first come, first served */
        }
        crowd_close(c);
    }
}

/* Also where it was ready, and waited, before it was said to be urgent. */
static void makes_it_urgent(struct crowd *c)
{
    if (c->calls == 100) {
        loop_watch_set_urgent(c->one, true);
    }
}

static void what_becomes_urgent_goes_on_before_others(void **state)
{
    (void)state;
    struct crowd *c = crowd_open(on_member, false);
    c->write_at = 5;
    c->each = makes_it_urgent;
    loop_run(c->loop);
    assert_in_range(c->seen_at, 100, 100 + FEW);
    crowd_close(c);
}

/* Hundreds of one lane are ready in each turn, for ever: the other lanes are served. */
static void nothing_waits_for_ever(void **state)
{
    (void)state;
    for (int urgent = 0; urgent < 2; urgent++) {
        struct crowd *c = crowd_open(on_endless_member, urgent == 1);
        loop_watch_set_urgent(c->one, urgent == 0);
        assert_int_equal(write(c->other[1], "x", 1), 1);
        loop_timer_start(c->timer, 0);
        loop_later(c->loop, &c->later);
        loop_run(c->loop);
        assert_in_range(c->calls, 1, TOO_MANY);
        assert_in_range(c->seen_at, 0, 2 * CALLS_OF_A_TURN);
        assert_in_range(c->later_at, 0, 2 * CALLS_OF_A_TURN);
        assert_true(c->timer_at >= 0);
        crowd_close(c);
    }
}

/* Among those that are always ready, too. */
static void each_of_a_lane_has_its_turn(void **state)
{
    (void)state;
    struct crowd *c = crowd_open(on_endless_member, false);
    assert_int_equal(write(c->other[1], "x", 1), 1);
    loop_timer_start(c->timer, 0);
    loop_later(c->loop, &c->later);
    loop_run(c->loop);
    assert_in_range(c->seen_at, 0, CROWD + 2 * CALLS_OF_A_TURN);
    crowd_close(c);
}

static void stops_watching_the_others(struct crowd *c)
{
    for (size_t i = 0; i < CROWD; i++) {
        loop_watch_set(c->members[i].watch, 0);
    }
    loop_stop(c->loop);
}

static void what_is_not_watched_any_more_is_not_called(void **state)
{
    (void)state;
    struct crowd *c = crowd_open(on_member, false);
    c->each = stops_watching_the_others;
    loop_run(c->loop);
    loop_timer_start(c->timer, 0);
    c->seen_at = c->later_at = 1; /* the timer ends it */
    loop_run(c->loop);
    assert_int_equal(c->calls, 1);
    crowd_close(c);
}

static void puts_itself_off(void *ctx)
{
    struct crowd *c = ctx;
    c->in_turn++;
    loop_defer(c->loop, &c->turn_ends);
    loop_later(c->loop, &c->later);
    loop_later(c->loop, &c->other_later);
    if (++c->calls == CROWD) {
        loop_stop(c->loop);
    }
}

static void work_that_puts_itself_off_runs_once_in_a_turn(void **state)
{
    (void)state;
    struct crowd *c = crowd_open(on_member, false);
    stops_watching_the_others(c);
    c->later.fn = puts_itself_off;
    c->other_later = (struct loop_deferred){.fn = puts_itself_off, .ctx = c};
    loop_later(c->loop, &c->later);
    loop_run(c->loop);
    assert_in_range(c->most_in_turn, 1, 2);
    loop_defer_cancel(c->loop, &c->other_later);
    crowd_close(c);
}

enum { FIRST = 20, SEEN_AT_ONCE = 32 /* by the first look of all */ };

static void stops_behind_the_first(struct crowd *c)
{
    if (c->calls == FIRST) {
        loop_stop(c->loop);
    }
}

static void nothing(void *ctx)
{
    (void)ctx;
}

static void raise_signals(int count)
{
    for (int i = 0; i < count; i++) {
        assert_int_equal(raise(SIGUSR1), 0);
    }
}

static void watch_members(struct crowd *c, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        loop_watch_set(c->members[i].watch, LOOP_READ);
    }
}

/* A look finds so many descriptors at most. A waker and signals are taken for one descriptor each, no
 * less and no more: where there may be others, it is looked again. */
static void what_wakes_the_loop_hides_nothing_urgent(void **state)
{
    static const struct {
        int before; /* signals, among FIRST descriptors of an earlier look */
        bool waker;
        int signals;
        size_t members;
    } rows[] = {
        {0, true, 0, SEEN_AT_ONCE - 1}, {0, false, 2, SEEN_AT_ONCE - 1}, {13, false, 0, 40}};
    (void)state;
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct crowd *c = crowd_open(on_member, false);
        struct loop_waker *waker = loop_waker_create(c->loop, nothing, NULL);
        struct loop_signal *sig = loop_signal_create(c->loop, SIGUSR1, nothing, NULL);
        stops_watching_the_others(c);
        c->each = stops_behind_the_first;
        watch_members(c, 0, FIRST);
        raise_signals(rows[row].before);
        loop_run(c->loop);
        watch_members(c, FIRST, FIRST + rows[row].members);
        if (rows[row].waker) {
            loop_wake(waker);
        }
        raise_signals(rows[row].signals);
        loop_watch_set_urgent(c->one, true);
        assert_int_equal(write(c->other[1], "x", 1), 1); /* behind the others */
        c->timer_at = c->later_at = 1;                   /* it ends the loop */
        loop_run(c->loop);
        assert_in_range(c->seen_at, FIRST, FIRST + FEW);
        loop_waker_destroy(waker);
        loop_signal_destroy(sig);
        crowd_close(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_makes_so_many_calls_at_most),
        cmocka_unit_test(a_call_that_takes_long_ends_the_turn),
        cmocka_unit_test(a_look_that_takes_long_is_worth_its_time),
        cmocka_unit_test(what_is_urgent_is_behind_few_others),
        cmocka_unit_test(what_becomes_urgent_goes_on_before_others),
        cmocka_unit_test(nothing_waits_for_ever),
        cmocka_unit_test(work_that_puts_itself_off_runs_once_in_a_turn),
        cmocka_unit_test(each_of_a_lane_has_its_turn),
        cmocka_unit_test(what_is_not_watched_any_more_is_not_called),
        cmocka_unit_test(what_wakes_the_loop_hides_nothing_urgent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
