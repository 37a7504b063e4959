/* test_edge.c: the listeners kept in step with [server] listen, on real sockets. */
#include "support/check.h"

#include "lull/path/edge/edge.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { INHERITED = 3 }; /* the first descriptor of socket activation */

static char dir[64];
static struct loop *loop;
static int requests, refused;

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/lull-edge-XXXXXX");
    loop = loop_create();
    requests = refused = 0;
    return mkdtemp(dir) == NULL;
}

static int teardown(void **state)
{
    char command[128];
    (void)state;
    loop_destroy(loop);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command) == 0 ? 0 : -1;
}

/* "unix:" and a path in the test's folder; valid until four more are made. */
static char *at(const char *name)
{
    static char addresses[4][128];
    static size_t next;
    char *address = addresses[next++ % 4];
    snprintf(address, sizeof addresses[0], "unix:%s/%s", dir, name);
    return address;
}

static const char *file_of(const char *address)
{
    return address + strlen("unix:");
}

static void on_request(struct http_conn *c, void *ctx)
{
    (void)ctx;
    requests++;
    http_reply_full(c, 200, SPAN("text/plain"), SPAN_NONE, SPAN("ok"));
    loop_stop(loop);
}

static void on_refused(enum http_error e, void *ctx)
{
    (void)e;
    (void)ctx;
    refused++;
    loop_stop(loop);
}

static void on_gone(struct http_conn *c, void *ctx)
{
    (void)c;
    (void)ctx;
}

static const struct http_handler handler = {
    .on_request = on_request, .on_gone = on_gone, .on_refused = on_refused};

static struct settings listening(char **items, size_t count)
{
    return (struct settings){
        .server = {.listen = {items, count},
                   .header_timeout = 60 * USEC_PER_S,
                   .body_timeout = 60 * USEC_PER_S,
                   .idle_timeout = 60 * USEC_PER_S,
                   .max_connections = 100,
                   .max_buffered = 1 << 20},
    };
}

static struct edge *opened(const struct settings *settings)
{
    char why[256] = "";
    struct edge *e = edge_create(loop, settings, NULL, &handler, NULL);
    assert_int_equal(edge_open(e, settings, why, sizeof why), ERR_OK);
    return e;
}

static void reload(struct edge *e, const struct settings *settings, enum err want, char *why,
                   size_t why_size)
{
    why[0] = '\0';
    assert_int_equal(edge_apply(e, settings, why, why_size), want);
    assert_int_equal(why[0] == '\0', want == ERR_OK);
}

/* A connection to a Unix socket; -1: it is refused. */
static int connect_to(const char *address)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    snprintf(to.sun_path, sizeof to.sun_path, "%s", file_of(address));
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool answers(const char *address)
{
    int fd = connect_to(address);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

static size_t listener_count(struct edge *e)
{
    size_t n = 0;
    while (http_server_address(edge_server(e), n) != NULL) {
        n++;
    }
    return n;
}

static void every_address_of_the_list_is_listened_on(void **state)
{
    char *list[] = {at("a"), "127.0.0.1:0", at("b")};
    (void)state;
    struct settings settings = listening(list, 3);
    struct edge *e = edge_create(loop, &settings, NULL, &handler, NULL);
    assert_int_equal(listener_count(e), 0);
    edge_destroy(e);
    e = opened(&settings);
    assert_int_equal(listener_count(e), 3);
    assert_true(answers(list[0]));
    assert_true(answers(list[2]));
    edge_destroy(e);
    assert_false(answers(list[0]));
    assert_int_equal(access(file_of(list[0]), F_OK), -1);
}

static void a_start_that_fails_listens_nowhere(void **state)
{
    char *list[] = {at("a"), at("no/such/folder")};
    char why[256] = "";
    (void)state;
    struct settings settings = listening(list, 2);
    struct edge *e = edge_create(loop, &settings, NULL, &handler, NULL);
    assert_int_not_equal(edge_open(e, &settings, why, sizeof why), ERR_OK);
    assert_non_null(strstr(why, "no/such/folder"));
    assert_int_equal(listener_count(e), 0);
    assert_false(answers(list[0]));
    edge_destroy(e);
}

/* One that stays is not closed for a moment: a connection that waits in its backlog is served. */
static void a_reload_opens_closes_and_keeps(void **state)
{
    char *before[] = {at("gone"), at("stays")};
    char *after[] = {before[1], at("new")};
    char why[256];
    struct stat was, is;
    (void)state;
    struct settings settings = listening(before, 2);
    struct edge *e = opened(&settings);
    assert_int_equal(stat(file_of(before[1]), &was), 0);
    int waiting = connect_to(before[1]);
    assert_int_equal(write(waiting, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27), 27);
    settings = listening(after, 2);
    reload(e, &settings, ERR_OK, why, sizeof why);
    assert_int_equal(listener_count(e), 2);
    assert_false(answers(before[0]));
    assert_int_equal(access(file_of(before[0]), F_OK), -1);
    assert_true(answers(after[1]));
    assert_int_equal(stat(file_of(before[1]), &is), 0);
    assert_int_equal(was.st_ino, is.st_ino);
    loop_run(loop);
    assert_int_equal(requests, 1);
    close(waiting);
    edge_destroy(e);
}

/* What is new is opened before anything is closed. */
static void a_reload_that_fails_changes_nothing(void **state)
{
    char *before[] = {at("old"), at("stays")};
    char *after[] = {at("new"), before[1], at("no/such/folder")};
    char why[256];
    (void)state;
    struct settings settings = listening(before, 2), bad = listening(after, 3);
    struct edge *e = opened(&settings);
    for (int i = 0; i < 2; i++) {
        reload(e, &bad, ERR_NOT_FOUND, why, sizeof why);
        assert_non_null(strstr(why, "no/such/folder"));
        assert_int_equal(listener_count(e), 2);
        assert_true(answers(before[0]));
        assert_true(answers(before[1]));
        assert_false(answers(after[0]));
        assert_int_equal(access(file_of(after[0]), F_OK), -1);
    }
    bad.server.listen.count = 2; /* mended */
    reload(e, &bad, ERR_OK, why, sizeof why);
    assert_true(answers(after[0]));
    assert_false(answers(before[0]));
    edge_destroy(e);
}

static void a_list_that_stays_keeps_its_ports(void **state)
{
    char *list[] = {"127.0.0.1:0"};
    char port[64], why[256];
    (void)state;
    struct settings settings = listening(list, 1);
    struct edge *e = opened(&settings);
    snprintf(port, sizeof port, "%s", http_server_address(edge_server(e), 0));
    reload(e, &settings, ERR_OK, why, sizeof why);
    assert_int_equal(listener_count(e), 1);
    assert_string_equal(http_server_address(edge_server(e), 0), port);
    edge_destroy(e);
}

static void post(const char *address, size_t length)
{
    char request[128];
    int fd = connect_to(address);
    int n = snprintf(request, sizeof request,
                     "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n", length);
    assert_int_equal(write(fd, request, (size_t)n), n);
    loop_run(loop);
    close(fd);
}

static void a_reload_sets_the_limits(void **state)
{
    char *list[] = {at("a")};
    char why[256];
    (void)state;
    struct settings settings = listening(list, 1);
    settings.server.max_body = 10;
    struct edge *e = opened(&settings);
    post(list[0], 20);
    assert_int_equal(refused, 1);
    settings.server.max_body = 100;
    reload(e, &settings, ERR_OK, why, sizeof why);
    post(list[0], 20);
    assert_int_equal(refused, 1);
    assert_int_equal(requests, 1);
    edge_destroy(e);
}

/* Keeps the descriptor of socket activation from the loop and the sockets of the tests. */
static bool reserve_inherited(void)
{
    int fd = open("/dev/null", O_RDONLY);
    return fd >= 0 && (fd == INHERITED || dup2(fd, INHERITED) == INHERITED);
}

/* Puts fd where the service manager puts the first socket. */
static void inherit(int fd)
{
    char pid[32];
    assert_int_equal(dup2(fd, INHERITED), INHERITED);
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", "1", 1);
    close(fd);
}

static void inherited_sockets_are_used_instead_of_the_list(void **state)
{
    char *list[] = {at("listed")}, *other[] = {at("other")};
    char why[256];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof to;
    (void)state;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(listen(fd, 10), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&to, &size), 0);
    inherit(fd);
    struct settings settings = listening(list, 1);
    struct edge *e = opened(&settings);
    settings = listening(other, 1);
    reload(e, &settings, ERR_OK, why, sizeof why); /* the list does not count any more */
    assert_int_equal(listener_count(e), 1);
    assert_false(answers(list[0]));
    assert_false(answers(other[0]));
    int client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof to), 0);
    close(client);
    edge_destroy(e); /* closes the inherited descriptor */
    assert_true(reserve_inherited());
}

static void an_inherited_descriptor_must_listen(void **state)
{
    char *list[] = {at("listed")};
    char why[256] = "";
    (void)state;
    inherit(socket(AF_INET, SOCK_STREAM, 0));
    struct settings settings = listening(list, 1);
    struct edge *e = edge_create(loop, &settings, NULL, &handler, NULL);
    assert_int_equal(edge_open(e, &settings, why, sizeof why), ERR_INVALID);
    assert_string_equal(why, "inherited descriptor 3 is not a listening socket");
    assert_int_equal(listener_count(e), 0);
    edge_destroy(e);
}

#define EDGE_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EDGE_TEST(every_address_of_the_list_is_listened_on),
        EDGE_TEST(a_start_that_fails_listens_nowhere),
        EDGE_TEST(a_reload_opens_closes_and_keeps),
        EDGE_TEST(a_reload_that_fails_changes_nothing),
        EDGE_TEST(a_list_that_stays_keeps_its_ports),
        EDGE_TEST(a_reload_sets_the_limits),
        EDGE_TEST(inherited_sockets_are_used_instead_of_the_list),
        EDGE_TEST(an_inherited_descriptor_must_listen),
    };
    if (!reserve_inherited()) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
