/* test_upstream_idle.c: an idle connection whose descriptor was ready when the loop looked, and is not any
 * more when its watch is called. */
#include "unit/upstream/probe.h"

#include "support/check.h"

#include "path/upstream/upstream_priv.h"

#include <poll.h>

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

/* Another watch, whose lane comes first: at its first call both become ready, at its second it reads what came
 * on the connection. */
struct reader {
    struct world *w;
    int pipe[2], calls;
    bool reads;
};

/* The descriptor of the only one. */
static int connection(const struct upstream_pool *pool)
{
    size_t fd = 0;
    while (fd < pool->fd_room && pool->by_fd[fd] == NULL) {
        fd++;
    }
    assert_true(fd < pool->fd_room);
    return (int)fd;
}

static void read_first(void *ctx, int events)
{
    struct reader *r = ctx;
    char bytes[64];
    (void)events;
    assert_int_equal(read(r->pipe[0], bytes, sizeof bytes), 1);
    if (++r->calls == 1) {
        struct pollfd idle = {.fd = connection(r->w->pool), .events = POLLIN};
        scripted_say(&r->w->server, 0, SPAN("xyz"));
        assert_int_equal(poll(&idle, 1, -1), 1); /* a busy machine delivers it later */
        assert_int_equal(write(r->pipe[1], "x", 1), 1);
        return;
    }
    if (r->reads) {
        assert_int_equal(recv(connection(r->w->pool), bytes, sizeof bytes, MSG_DONTWAIT), 3);
    }
    loop_stop(r->w->loop);
}

static void both_are_ready(struct reader *r)
{
    assert_int_equal(pipe(r->pipe), 0);
    struct loop_watch *watch = loop_watch_create(r->w->loop, r->pipe[0], read_first, r);
    loop_watch_set_urgent(watch, true);
    loop_watch_set(watch, LOOP_READ);
    assert_int_equal(write(r->pipe[1], "x", 1), 1);
    world_run(r->w); /* without a timer that is due, whose lane would go on with its share */
    assert_int_equal(r->calls, 2);
    world_run_for(r->w, USEC_PER_MS);
    loop_watch_destroy(watch);
    close(r->pipe[0]);
    close(r->pipe[1]);
}

static void readiness_that_is_over_ends_no_idle_connection(void **state)
{
    static const struct answer answers[] = {
        {.bytes = {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", sizeof OK - 1}}};
    (void)state;
    for (int reads = 0; reads < 2; reads++) {
        struct world *w = world_open(NULL);
        struct reader r = {.w = w, .reads = reads == 1};
        struct upstream_request req = simple_get(w);
        scripted_script(&w->server, answers, 1);
        world_call(w, &req);
        both_are_ready(&r);
        probe_again(w);
        world_call(w, &req);
        assert_int_equal(w->probe.result, UPSTREAM_DONE);
        assert_int_equal(w->server.accepted, reads == 1 ? 1 : 2);
        assert_int_equal(w->server.requests, 2);
        void *over = w;
        world_teardown(&over);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readiness_that_is_over_ends_no_idle_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
