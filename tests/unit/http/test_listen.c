/* test_listen.c: where a server listens, what it says where it cannot, and what is left behind. */
#include "support/check.h"
#include "support/no_events.h"

#include "lull/base/loop.h"
#include "lull/base/os.h"
#include "lull/http/server.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct world {
    struct loop *loop;
    struct http_server *server;
    char folder[64];
};

static struct http_server *new_server(struct loop *loop)
{
    static const struct http_handler handler = {.on_request = no_event,
                                                .on_body_end = no_event,
                                                .on_body_too_large = no_event,
                                                .on_body = no_piece,
                                                .on_gone = no_event,
                                                .on_writable = no_event};
    static const struct http_limits limits = {.header_timeout = USEC_PER_S,
                                              .body_timeout = USEC_PER_S,
                                              .idle_timeout = USEC_PER_S,
                                              .max_connections = 10,
                                              .max_buffered = 1024};
    return http_server_create(loop, &limits, &handler, NULL);
}

static int setup(void **state)
{
    struct world *w = mem_new(sizeof *w);
    snprintf(w->folder, sizeof w->folder, "/tmp/lull-listen-XXXXXX");
    if (mkdtemp(w->folder) == NULL) {
        return -1;
    }
    w->loop = loop_create();
    w->server = new_server(w->loop);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    http_server_destroy(w->server);
    loop_destroy(w->loop);
    int rc = rmdir(w->folder); /* the test that made a file there has removed it */
    free(w);
    return rc;
}

static void assert_refused(struct http_server *s, const char *address, enum err e, const char *part)
{
    char why[256] = "";
    assert_int_equal(http_server_listen(s, address, 0600, why, sizeof why), e);
    if (strstr(why, part) == NULL || strstr(why, address) == NULL) {
        fail_msg("no '%s' in: %s", part, why);
    }
    assert_int_equal(http_server_listen(s, address, 0600, NULL, 0), e);
}

static void addresses_that_are_none_are_refused(void **state)
{
    static const char *const wrong[] = {
        "127.0.0.1",
        "127.0.0.1:",
        ":80",
        "[::1:80",
        "[]:80",
        "[:80",
        "",
        "0123456789012345678901234567890123456789012345678901234567890123456789"
        "0123456789012345678901234567890123456789012345678901234567890123456789"
        "0123456789012345678901234567890123456789012345678901234567890123456789"
        "0123456789012345678901234567890123456789012345678901234567890123456789:1"};
    struct world *w = *state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char why[512] = "";
        assert_int_equal(http_server_listen(w->server, wrong[i], 0, why, sizeof why), ERR_INVALID);
        assert_non_null(strstr(why, ": write HOST:PORT or unix:/path"));
    }
    assert_refused(w->server, "127.0.0.1:port", ERR_INVALID, "cannot listen on ");
    assert_refused(w->server, "127.0.0.256:1", ERR_INVALID, "cannot listen on ");
    assert_refused(w->server, "192.0.2.1:1", ERR_IO,
                   "; no interface of this machine has this address");
    assert_null(http_server_address(w->server, 0));
}

static void a_free_port_is_named_and_taken_once(void **state)
{
    struct world *w = *state;
    assert_int_equal(http_server_listen(w->server, "127.0.0.1:0", 0, NULL, 0), ERR_OK);
    const char *address = http_server_address(w->server, 0);
    assert_int_equal(strncmp(address, "127.0.0.1:", 10), 0);
    assert_int_not_equal(strcmp(address, "127.0.0.1:0"), 0);
    assert_refused(w->server, address, ERR_BUSY,
                   "Address already in use; another program has it: stop that one");
    assert_null(http_server_address(w->server, 1));
    http_server_unlisten(w->server, "127.0.0.1:1");
    assert_non_null(http_server_address(w->server, 0));
    http_server_unlisten(w->server, "127.0.0.1:0");
    assert_null(http_server_address(w->server, 0));
}

/* [::] listens for IPv4 too, unless an IPv4 wildcard has the port. */
static void both_wildcards_may_have_one_port(void **state)
{
    struct world *w = *state;
    char address[64];
    unsigned port = 0;
    assert_int_equal(http_server_listen(w->server, "0.0.0.0:0", 0, NULL, 0), ERR_OK);
    assert_int_equal(sscanf(http_server_address(w->server, 0), "0.0.0.0:%u", &port), 1);
    snprintf(address, sizeof address, "[::]:%u", port);
    if (http_server_listen(w->server, address, 0, NULL, 0) == ERR_IO) {
        skip(); /* a system without IPv6 */
    }
    assert_string_equal(http_server_address(w->server, 1), address);
}

static void a_unix_socket_has_its_mode_and_goes_with_the_server(void **state)
{
    struct world *w = *state;
    char address[128];
    struct stat st;
    snprintf(address, sizeof address, "unix:%s/s", w->folder);
    assert_int_equal(http_server_listen(w->server, address, 0640, NULL, 0), ERR_OK);
    assert_int_equal(stat(address + 5, &st), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_string_equal(http_server_address(w->server, 0), address);
    struct http_server *other = new_server(w->loop);
    assert_refused(other, address, ERR_BUSY, "another process answers there; stop that one");
    http_server_destroy(other);
    assert_int_equal(access(address + 5, F_OK), 0);
    http_server_unlisten(w->server, address);
    assert_int_not_equal(access(address + 5, F_OK), 0);
}

static void a_socket_that_was_left_behind_is_replaced(void **state)
{
    struct world *w = *state;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char address[128];
    snprintf(a.sun_path, sizeof a.sun_path, "%s/s", w->folder);
    snprintf(address, sizeof address, "unix:%s", a.sun_path);
    int fd = os_socket(AF_UNIX, SOCK_STREAM);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    close(fd);
    assert_int_equal(http_server_listen(w->server, address, 0600, NULL, 0), ERR_OK);
}

static void what_is_no_socket_is_left_alone(void **state)
{
    struct world *w = *state;
    char address[128], long_one[200];
    snprintf(address, sizeof address, "unix:%s/file", w->folder);
    FILE *f = fopen(address + 5, "w");
    assert_non_null(f);
    assert_int_equal(fclose(f), 0);
    assert_refused(w->server, address, ERR_INVALID, "a file that is no socket is there");
    assert_int_equal(unlink(address + 5), 0);
    assert_int_equal(mkdir(address + 5, 0700), 0);
    assert_refused(w->server, address, ERR_INVALID, "a folder is there");
    assert_int_equal(rmdir(address + 5), 0);
    assert_refused(w->server, "unix:", ERR_INVALID, "the path must have 1 to 107 bytes");
    memset(long_one, 'x', sizeof long_one - 1);
    long_one[sizeof long_one - 1] = '\0';
    memcpy(long_one, "unix:/", 6);
    long_one[5 + 108] = '\0';
    assert_refused(w->server, long_one, ERR_INVALID, "the path must have 1 to 107 bytes");
    snprintf(address, sizeof address, "unix:%s/none/s", w->folder);
    assert_refused(w->server, address, ERR_NOT_FOUND, "No such file or directory");
}

static void only_a_listening_socket_is_adopted(void **state)
{
    struct world *w = *state;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(http_server_adopt(w->server, fd), ERR_INVALID);
    assert_int_equal(http_server_adopt(w->server, -1), ERR_INVALID);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(http_server_adopt(w->server, fd), ERR_OK);
    assert_int_equal(strncmp(http_server_address(w->server, 0), "127.0.0.1:", 10), 0);
    http_server_destroy(NULL);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(addresses_that_are_none_are_refused),
        T(a_free_port_is_named_and_taken_once),
        T(both_wildcards_may_have_one_port),
        T(a_unix_socket_has_its_mode_and_goes_with_the_server),
        T(a_socket_that_was_left_behind_is_replaced),
        T(what_is_no_socket_is_left_alone),
        T(only_a_listening_socket_is_adopted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
