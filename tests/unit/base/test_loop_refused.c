/* test_loop_refused.c: a descriptor that the system refuses to watch is tried again (base/loop.c). A
 * regular file is refused by epoll; a pipe that takes its number is not. */
#include "support/check.h"

#include "lull/base/loop.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct scene {
    struct loop *loop;
    int fd, pipe[2];
    int seen;
    bool late;
};

static void begin(struct scene *s)
{
    *s = (struct scene){.loop = loop_create()};
    FILE *file = tmpfile();
    assert_non_null(file);
    s->fd = dup(fileno(file));
    fclose(file);
    assert_true(s->fd >= 0);
    assert_int_equal(pipe(s->pipe), 0);
    assert_int_equal(write(s->pipe[1], "x", 1), 1);
}

static void end(struct scene *s)
{
    loop_destroy(s->loop);
    close(s->pipe[0]);
    close(s->pipe[1]);
    close(s->fd);
}

static void becomes_a_pipe(void *ctx)
{
    struct scene *s = ctx;
    assert_int_equal(dup2(s->pipe[0], s->fd), s->fd);
}

static void readable(void *ctx, int events)
{
    struct scene *s = ctx;
    s->seen = events;
    loop_stop(s->loop);
}

static void too_late(void *ctx)
{
    struct scene *s = ctx;
    s->late = true;
    loop_stop(s->loop);
}

static void a_refused_descriptor_is_tried_again(void **state)
{
    struct scene s;
    (void)state;
    begin(&s);
    struct loop_watch *watch = loop_watch_create(s.loop, s.fd, readable, &s);
    struct loop_timer *change = loop_timer_create(s.loop, becomes_a_pipe, &s);
    struct loop_timer *limit = loop_timer_create(s.loop, too_late, &s);
    loop_watch_set(watch, LOOP_READ);
    loop_timer_start(change, 20 * USEC_PER_MS);
    loop_timer_start(limit, 20 * USEC_PER_S);
    loop_run(s.loop);
    assert_false(s.late);
    assert_int_equal(s.seen, LOOP_READ);
    loop_watch_destroy(watch);
    loop_timer_destroy(change);
    loop_timer_destroy(limit);
    end(&s);
}

/* What is not wanted any more, or destroyed, is not tried again. */
static void a_refused_descriptor_is_given_up(void **state)
{
    struct scene s;
    (void)state;
    begin(&s);
    struct loop_watch *watch = loop_watch_create(s.loop, s.fd, readable, &s);
    struct loop_watch *gone = loop_watch_create(s.loop, s.fd, readable, &s);
    struct loop_timer *change = loop_timer_create(s.loop, becomes_a_pipe, &s);
    struct loop_timer *limit = loop_timer_create(s.loop, too_late, &s);
    loop_watch_set(watch, LOOP_READ);
    loop_watch_set(gone, LOOP_READ);
    loop_watch_set(watch, 0);
    loop_watch_destroy(gone);
    loop_timer_start(change, 0);
    loop_timer_start(limit, 50 * USEC_PER_MS);
    loop_run(s.loop);
    assert_true(s.late);
    assert_int_equal(s.seen, 0);
    loop_watch_destroy(watch);
    loop_timer_destroy(change);
    loop_timer_destroy(limit);
    end(&s);
}

static bool no_memory;

static void *short_realloc(void *p, size_t size)
{
    return no_memory ? NULL : realloc(p, size);
}

/* The delay of the start that was refused is not the one that counts. */
static void a_refused_timer_that_is_started_again_has_its_new_delay(void **state)
{
    struct scene s;
    (void)state;
    begin(&s);
    struct loop_timer *timer = loop_timer_create(s.loop, becomes_a_pipe, &s);
    struct loop_timer *limit = loop_timer_create(s.loop, too_late, &s);
    struct loop_watch *watch = loop_watch_create(s.loop, s.fd, readable, &s);
    no_memory = true;
    loop_timer_start(timer, 3600 * USEC_PER_S);
    no_memory = false;
    loop_timer_start(timer, 100 * USEC_PER_MS);
    loop_watch_set(watch, LOOP_READ);
    loop_timer_start(limit, 20 * USEC_PER_S);
    loop_run(s.loop);
    assert_false(s.late);
    loop_watch_destroy(watch);
    loop_timer_destroy(timer);
    loop_timer_destroy(limit);
    end(&s);
}

int main(void)
{
    event_set_mem_functions(malloc, short_realloc, free);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refused_descriptor_is_tried_again),
        cmocka_unit_test(a_refused_descriptor_is_given_up),
        cmocka_unit_test(a_refused_timer_that_is_started_again_has_its_new_delay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
