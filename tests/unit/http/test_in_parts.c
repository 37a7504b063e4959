/* test_in_parts.c: what one connection, or one listener, may do in one call of the loop: what others that
 * are ready wait for. Counted in calls, by descriptors that are ready at every look.
 */
#include "support/check.h"
#include "support/crowd.h"
#include "support/no_events.h"

#include "lull/http/server.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#define GET "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define GET_LATE "GET /late HTTP/1.1\r\nHost: h\r\n\r\n"

/* A few calls of others lie between 16 requests of a pipeline and the next 16, where there would be
 * hundreds without a bound. Listeners are urgent: four times 16 connections may be accepted in a row,
 * where a turn is over after each. */
enum { LATE = 20, BEHIND = 8 };
enum { PIPELINED = 400, IN_A_ROW = 32, CLIENTS = 200, ACCEPTED = 64, LONG = 4 << 20, FEW = 80 };

struct world {
    struct loop *loop;
    struct http_server *server;
    struct crowd crowd;
    struct sockaddr_un address;
    socklen_t len;
    int clients[CLIENTS];
    struct http_conn *conn, *late[LATE];
    size_t late_count;
    bool urgent;
    size_t served, before, most;
    size_t (*count)(struct world *w);
    size_t want;
};

static void on_request(struct http_conn *c, void *ctx)
{
    struct world *w = ctx;
    w->served++;
    w->conn = c;
    if (span_eq(http_conn_request(c)->path, SPAN("/late"))) {
        w->late[w->late_count++] = c;
        return;
    }
    if (w->want != LONG) {
        http_reply_full(c, 200, SPAN_NONE, SPAN_NONE, SPAN_NONE);
        return;
    }
    char *body = mem_new(LONG);
    if (w->urgent) {
        http_conn_set_urgent(c);
    }
    http_reply_begin(c, 200, SPAN_NONE, NULL, 0, LONG);
    assert_false(http_reply_data(c, span_make(body, LONG)));
    free(body);
}

static size_t requests(struct world *w)
{
    return w->served;
}

static size_t connections(struct world *w)
{
    return (size_t)http_server_counts(w->server).accepted;
}

/* What was done since another was called. */
static void another_is_called(void *ctx)
{
    struct world *w = ctx;
    size_t done = w->count(w);
    w->most = done - w->before > w->most ? done - w->before : w->most;
    w->before = done;
    if (done >= w->want) {
        loop_stop(w->loop);
    }
}

static void begin(struct world *w)
{
    static const struct http_handler handler = {.on_request = on_request,
                                                .on_body_end = no_event,
                                                .on_body_too_large = no_event,
                                                .on_gone = no_event,
                                                .on_writable = no_event};
    static const struct http_limits limits = {.header_timeout = 60 * USEC_PER_S,
                                              .body_timeout = 60 * USEC_PER_S,
                                              .idle_timeout = 60 * USEC_PER_S,
                                              .max_connections = CLIENTS,
                                              .max_buffered = LONG * 2};
    w->address = (struct sockaddr_un){.sun_family = AF_UNIX};
    w->len = sizeof w->address;
    w->loop = loop_create();
    w->server = http_server_create(w->loop, &limits, &handler, w);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr *address = (struct sockaddr *)&w->address;
    assert_int_equal(bind(fd, address, sizeof w->address.sun_family), 0);
    assert_int_equal(getsockname(fd, address, &w->len), 0);
    assert_int_equal(listen(fd, CLIENTS), 0);
    assert_int_equal(http_server_adopt(w->server, fd), ERR_OK);
    w->crowd.called = another_is_called;
    w->crowd.ctx = w;
}

static int join(struct world *w)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&w->address, w->len), 0);
    return fd;
}

static void end(struct world *w)
{
    http_server_destroy(w->server);
    crowd_close(&w->crowd);
    loop_destroy(w->loop);
}

/* Once all wait, all are answered in one call. */
static void answer_all(void *ctx)
{
    struct world *w = ctx;
    for (size_t i = 0; i < w->late_count; i++) {
        http_reply_full(w->late[i], 200, SPAN_NONE, SPAN_NONE, SPAN_NONE);
    }
    w->late_count = 0;
}

static void stop_when_all_wait(void *ctx)
{
    struct world *w = ctx;
    if (w->late_count == LATE) {
        loop_stop(w->loop);
    }
}

/* What came behind requests whose replies come late is served in parts as well. */
static void pipelines_behind_late_replies_are_served_in_parts(void **state)
{
    (void)state;
    struct world w = {.count = requests, .want = LATE * (1 + BEHIND)};
    char all[sizeof GET_LATE + BEHIND * (sizeof GET - 1)] = GET_LATE;
    char *end_of_all = all + sizeof GET_LATE - 1;
    int clients[LATE];
    begin(&w);
    w.crowd.called = stop_when_all_wait;
    crowd_open(&w.crowd, w.loop, LATE);
    for (size_t i = 0; i < BEHIND; i++) {
        memcpy(end_of_all + i * (sizeof GET - 1), GET, sizeof GET);
    }
    for (size_t i = 0; i < LATE; i++) {
        clients[i] = join(&w);
        assert_int_equal(send(clients[i], all, sizeof all - 1, 0), sizeof all - 1);
    }
    loop_run(w.loop);
    assert_int_equal(w.served, LATE);
    w.before = w.served;
    w.crowd.called = another_is_called;
    struct loop_deferred work = {.fn = answer_all, .ctx = &w};
    loop_later(w.loop, &work);
    loop_run(w.loop);
    assert_int_equal(w.served, LATE * (1 + BEHIND));
    assert_in_range(w.most, 1, IN_A_ROW);
    for (size_t i = 0; i < LATE; i++) {
        close(clients[i]);
    }
    end(&w);
}

static void a_pipeline_is_served_in_parts(void **state)
{
    (void)state;
    struct world w = {.count = requests, .want = PIPELINED};
    char all[PIPELINED * (sizeof GET - 1) + 1];
    begin(&w);
    crowd_open(&w.crowd, w.loop, 1);
    for (size_t i = 0; i < PIPELINED; i++) {
        memcpy(all + i * (sizeof GET - 1), GET, sizeof GET);
    }
    int client = join(&w);
    assert_int_equal(send(client, all, sizeof all - 1, 0), sizeof all - 1);
    loop_run(w.loop);
    assert_int_equal(w.served, PIPELINED);
    assert_in_range(w.most, 1, IN_A_ROW);
    close(client);
    end(&w);
}

static void connections_are_accepted_in_parts(void **state)
{
    (void)state;
    struct world w = {.count = connections, .want = CLIENTS};
    begin(&w);
    crowd_open(&w.crowd, w.loop, 1);
    for (size_t i = 0; i < CLIENTS; i++) {
        w.clients[i] = join(&w);
    }
    loop_run(w.loop);
    assert_in_range(w.most, 1, ACCEPTED);
    for (size_t i = 0; i < CLIENTS; i++) {
        close(w.clients[i]);
    }
    end(&w);
}

static size_t drain(int fd)
{
    char bytes[65536];
    size_t got = 0;
    ssize_t n = recv(fd, bytes, sizeof bytes, 0);
    while (n > 0) {
        got += (size_t)n;
        n = recv(fd, bytes, sizeof bytes, 0);
    }
    return got;
}

/* The client has room again, and gets the next piece. */
static size_t got_more(struct world *w)
{
    char byte;
    return recv(w->clients[0], &byte, 1, MSG_PEEK) > 0 ? LONG : 0;
}

static void an_urgent_reply_goes_on_before_others(void **state)
{
    (void)state;
    struct world w = {.count = got_more, .want = LONG, .urgent = true};
    begin(&w);
    w.clients[0] = join(&w);
    assert_int_equal(send(w.clients[0], GET, sizeof GET - 1, 0), sizeof GET - 1);
    crowd_open(&w.crowd, w.loop, CROWD_ROOM);
    loop_run(w.loop);
    assert_true(drain(w.clients[0]) > 0);
    w.crowd.calls = 0;
    loop_run(w.loop);
    assert_in_range(w.crowd.calls, 1, FEW);
    close(w.clients[0]);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipeline_is_served_in_parts),
        cmocka_unit_test(pipelines_behind_late_replies_are_served_in_parts),
        cmocka_unit_test(connections_are_accepted_in_parts),
        cmocka_unit_test(an_urgent_reply_goes_on_before_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
