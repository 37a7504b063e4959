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

/* ---- addresses of which the system allows one ---- */

/* -1: it is refused. */
static int connect_to_port(const char *ip, const char *port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtol(port, NULL, 10))};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = v4.sin_port};
    bool is_v4 = inet_pton(AF_INET, ip, &v4.sin_addr) == 1;
    assert_true(is_v4 || inet_pton(AF_INET6, ip, &v6.sin6_addr) == 1);
    int fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_STREAM, 0);
    int failed = is_v4 ? connect(fd, (struct sockaddr *)&v4, sizeof v4)
                       : connect(fd, (struct sockaddr *)&v6, sizeof v6);
    if (failed != 0) {
        close(fd);
    }
    return failed == 0 ? fd : -1;
}

static bool answers_on(const char *ip, const char *port)
{
    int fd = connect_to_port(ip, port);
    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

/* A port that was free just now. */
static const char *free_port(void)
{
    static char port[8];
    struct sockaddr_in6 to = {.sin6_family = AF_INET6};
    socklen_t size = sizeof to;
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&to, &size), 0);
    close(fd);
    snprintf(port, sizeof port, "%u", ntohs(to.sin6_port));
    return port;
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&to, sizeof to) == 0;
    close(fd);
    return has;
}

/* From each list to each other: what the new one names answers, as after a start. */
static void addresses_that_exclude_each_other_are_exchanged(void **state)
{
    static const char *const hosts[][2] = {{"127.0.0.1", NULL}, {"0.0.0.0", NULL}, {"[::]", NULL},
                                           {"0.0.0.0", "[::]"}, {"[::1]", NULL},   {"0", NULL},
                                           {"0", "[0::0]"}};
    static const bool v4[] = {true, true, true, true, false, true, true};
    static const bool v6[] = {false, false, true, true, true, false, true};
    enum { LISTS = sizeof hosts / sizeof hosts[0] };
    char texts[LISTS][2][32], why[256];
    const char *port = free_port();
    (void)state;
    if (!has_ipv6()) {
        skip();
    }
    for (size_t step = 0; step < (size_t)LISTS * LISTS; step++) {
        size_t order[2] = {step / LISTS, step % LISTS};
        struct settings settings[2];
        char *lists[2][2];
        for (size_t i = 0; i < 2; i++) {
            size_t count = hosts[order[i]][1] == NULL ? 1 : 2;
            for (size_t k = 0; k < count; k++) {
                lists[i][k] = texts[order[i]][k];
                snprintf(lists[i][k], sizeof texts[0][0], "%s:%s", hosts[order[i]][k], port);
            }
            settings[i] = listening(lists[i], count);
        }
        struct edge *e = opened(&settings[0]);
        int waiting = connect_to_port(v4[order[0]] ? "127.0.0.1" : "::1", port);
        reload(e, &settings[1], ERR_OK, why, sizeof why);
        assert_int_equal(listener_count(e), settings[1].server.listen.count);
        assert_int_equal(answers_on("127.0.0.1", port), v4[order[1]]);
        assert_int_equal(answers_on("::1", port), v6[order[1]]);
        assert_int_equal(write(waiting, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27), 27);
        loop_run(loop); /* a client in the backlog of the old one is served */
        close(waiting);
        edge_destroy(e);
    }
    assert_int_equal(requests, LISTS * LISTS);
}

/* [::]:0 is open on a port of its own: 0.0.0.0:0 does not take it. A port may be written with zeros. */
static void addresses_are_compared_by_the_port_that_they_mean(void **state)
{
    char first[32], second[32], kept[64], why[256];
    const char *port = free_port();
    (void)state;
    snprintf(first, sizeof first, "127.0.0.1:0%s", port);
    snprintf(second, sizeof second, "0.0.0.0:%s", port);
    char *before[] = {first, "[::]:0"}, *after[] = {second, "0.0.0.0:0", "[::]:0"};
    struct settings was = listening(before, has_ipv6() ? 2 : 1),
                    is = listening(after, has_ipv6() ? 3 : 2);
    struct edge *e = opened(&was);
    if (has_ipv6()) {
        snprintf(kept, sizeof kept, "%s", http_server_address(edge_server(e), 1));
    }
    reload(e, &is, ERR_OK, why, sizeof why);
    assert_int_equal(listener_count(e), is.server.listen.count);
    if (has_ipv6()) {
        assert_string_equal(http_server_address(edge_server(e), 0), kept);
    }
    edge_destroy(e);
}

/* Another program has a second address of the new list: the first list is open again. */
static void an_exchange_that_fails_is_taken_back(void **state)
{
    char first[32], second[32], taken[32], why[256];
    const char *port = free_port();
    (void)state;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof to;
    assert_int_equal(bind(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&to, &size), 0);
    snprintf(first, sizeof first, "127.0.0.1:%s", port);
    snprintf(second, sizeof second, "0.0.0.0:%s", port);
    snprintf(taken, sizeof taken, "127.0.0.1:%u", ntohs(to.sin_port));
    char *before[] = {first}, *after[] = {second, taken};
    struct settings settings = listening(before, 1), bad = listening(after, 2);
    struct edge *e = opened(&settings);
    for (int i = 0; i < 2; i++) {
        reload(e, &bad, ERR_BUSY, why, sizeof why);
        assert_non_null(strstr(why, taken));
        assert_int_equal(listener_count(e), 1);
        assert_string_equal(http_server_address(edge_server(e), 0), first);
        assert_true(answers_on("127.0.0.1", port));
    }
    close(fd);
    reload(e, &bad, ERR_OK, why, sizeof why);
    assert_int_equal(listener_count(e), 2);
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
        EDGE_TEST(addresses_that_exclude_each_other_are_exchanged),
        EDGE_TEST(addresses_are_compared_by_the_port_that_they_mean),
        EDGE_TEST(an_exchange_that_fails_is_taken_back),
        EDGE_TEST(inherited_sockets_are_used_instead_of_the_list),
        EDGE_TEST(an_inherited_descriptor_must_listen),
    };
    if (!reserve_inherited()) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
