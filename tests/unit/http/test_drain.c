/* test_drain.c: a drain beside what clients do in the same instant: each request that has arrived by
 * then is answered, wherever the kernel has it, and what is idle ends.
 */
#include "support/check.h"
#include "support/no_events.h"

#include "lull/base/loop.h"
#include "lull/http/server.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define GET "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

struct world {
    struct loop *loop;
    struct loop_timer *timer;
    struct http_server *server;
    bool drained;
};

static void on_request(struct http_conn *c, void *ctx)
{
    (void)ctx;
    http_reply_full(c, 200, SPAN_NONE, SPAN_NONE, SPAN("whole"));
}

static void stop(void *ctx)
{
    loop_stop(ctx);
}

static void on_drained(void *ctx)
{
    struct world *w = ctx;
    w->drained = true;
}

static int setup(void **state)
{
    static const struct http_handler handler = {.on_request = on_request,
                                                .on_body_end = no_event,
                                                .on_body_too_large = no_event,
                                                .on_body = no_piece,
                                                .on_gone = no_event,
                                                .on_writable = no_event};
    static const struct http_limits limits = {.header_timeout = 60 * USEC_PER_S,
                                              .body_timeout = 60 * USEC_PER_S,
                                              .idle_timeout = 60 * USEC_PER_S,
                                              .max_connections = 10,
                                              .max_buffered = 1024};
    struct world *w = mem_new(sizeof *w);
    w->loop = loop_create();
    w->timer = loop_timer_create(w->loop, stop, w->loop);
    w->server = http_server_create(w->loop, &limits, &handler, NULL);
    *state = w;
    return http_server_listen(w->server, "127.0.0.1:0", 0, NULL, 0) == ERR_OK ? 0 : -1;
}

static int teardown(void **state)
{
    struct world *w = *state;
    http_server_destroy(w->server);
    loop_timer_destroy(w->timer);
    loop_destroy(w->loop);
    free(w);
    return 0;
}

/* Connected, and not accepted yet. */
static int client(struct world *w)
{
    unsigned port = 0;
    assert_int_equal(sscanf(http_server_address(w->server, 0), "127.0.0.1:%u", &port), 1);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void send_request(int fd)
{
    assert_int_equal(send(fd, GET, strlen(GET), MSG_NOSIGNAL), strlen(GET));
}

/* What comes up to the end of the connection, or until a whole reply is there. Turns of the loop until
 * then. */
static const char *receive(struct world *w, int fd, bool to_the_end)
{
    static char text[1024];
    size_t len = 0;
    text[0] = '\0';
    while (to_the_end || strstr(text, "whole") == NULL) {
        ssize_t n = recv(fd, text + len, sizeof text - 1 - len, MSG_DONTWAIT);
        if (n == 0) {
            break;
        }
        if (n < 0 && errno != EAGAIN) {
            fail_msg("the connection was reset behind: %s", text);
        }
        len += n > 0 ? (size_t)n : 0;
        text[len] = '\0';
        loop_timer_start(w->timer, USEC_PER_MS);
        loop_run(w->loop);
    }
    return text;
}

static void drain(struct world *w)
{
    http_server_drain(w->server, on_drained, w);
}

static void assert_last_reply(struct world *w, int fd)
{
    const char *text = receive(w, fd, true);
    assert_non_null(strstr(text, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(text, "Connection: close\r\n"));
    close(fd);
}

static void assert_drains(struct world *w)
{
    while (!w->drained) {
        loop_timer_start(w->timer, USEC_PER_MS);
        loop_run(w->loop);
    }
}

static void a_request_on_a_connection_that_was_not_accepted_is_answered(void **state)
{
    struct world *w = *state;
    int fd = client(w);
    send_request(fd);
    drain(w);
    assert_last_reply(w, fd);
    assert_drains(w);
}

static void the_first_request_of_a_connection_may_come_after_it(void **state)
{
    struct world *w = *state;
    int fd = client(w);
    drain(w);
    send_request(fd);
    assert_last_reply(w, fd);
    assert_drains(w);
}

static void a_request_that_was_not_read_on_a_kept_connection_is_answered(void **state)
{
    struct world *w = *state;
    int fd = client(w);
    send_request(fd);
    assert_null(strstr(receive(w, fd, false), "Connection: close"));
    send_request(fd);
    drain(w);
    assert_last_reply(w, fd);
    assert_drains(w);
}

static void what_is_idle_ends(void **state)
{
    struct world *w = *state;
    int kept = client(w), fresh = client(w);
    send_request(kept);
    (void)receive(w, kept, false);
    drain(w);
    assert_string_equal(receive(w, kept, true), "");
    assert_drains(w); /* the other one a second later */
    assert_string_equal(receive(w, fresh, true), "");
    close(kept);
    close(fresh);
}

static void an_address_that_is_given_up_loses_no_request(void **state)
{
    struct world *w = *state;
    int fd = client(w);
    send_request(fd);
    http_server_unlisten(w->server, "127.0.0.1:0");
    assert_non_null(strstr(receive(w, fd, false), "HTTP/1.1 200 OK\r\n"));
    close(fd);
}

int main(void)
{
#define DRAIN_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        DRAIN_TEST(a_request_on_a_connection_that_was_not_accepted_is_answered),
        DRAIN_TEST(the_first_request_of_a_connection_may_come_after_it),
        DRAIN_TEST(a_request_that_was_not_read_on_a_kept_connection_is_answered),
        DRAIN_TEST(what_is_idle_ends),
        DRAIN_TEST(an_address_that_is_given_up_loses_no_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
