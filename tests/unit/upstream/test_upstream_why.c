/* What a failed call says: the phrase that stands in the log, in the 502 and in lullctl. */
#include "path/upstream/upstream_priv.h"
#include "unit/upstream/probe.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <sys/resource.h>
#include <sys/stat.h>

static void assert_why(CURLcode code, bool head_came, enum upstream_result result, const char *why)
{
    struct upstream_call call = {.easy = curl_easy_init(), .head.final = head_came};
    assert_non_null(call.easy);
    assert_int_equal(why_failed(&call, code), result);
    assert_string_equal(call.why, why);
    curl_easy_cleanup(call.easy);
}

static void no_connection_differs_from_a_broken_one(void **state)
{
    static const struct {
        CURLcode code;
        const char *why;
    } unreachable[] =
        {
            {CURLE_COULDNT_RESOLVE_HOST, "name not found"},
            {CURLE_COULDNT_RESOLVE_PROXY, "name not found"},
            {CURLE_COULDNT_CONNECT, "no connection"},
            {CURLE_OPERATION_TIMEDOUT, "no connection within connect_timeout"},
            {CURLE_SSL_CACERT_BADFILE, "ca_file cannot be read"},
            {CURLE_SSL_CONNECT_ERROR, "TLS refused: no common ground"},
            {CURLE_URL_MALFORMAT, "the url cannot be used"},
        },
      broken[] = {
          {CURLE_GOT_NOTHING, "the connection was closed without an answer"},
          {CURLE_PARTIAL_FILE, "the answer was cut off"},
          {CURLE_RECV_ERROR, "the connection broke"},
          {CURLE_SEND_ERROR, "the connection broke while the request was being sent"},
          {CURLE_WEIRD_SERVER_REPLY, "the answer is not HTTP"},
          {CURLE_BAD_CONTENT_ENCODING, "the answer has an unknown transfer encoding"},
          {CURLE_OUT_OF_MEMORY, "out of memory"},
      };
    (void)state;
    for (size_t i = 0; i < sizeof unreachable / sizeof unreachable[0]; i++) {
        assert_why(unreachable[i].code, false, UPSTREAM_UNREACHABLE, unreachable[i].why);
    }
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        assert_why(broken[i].code, false, UPSTREAM_BROKE, broken[i].why);
        assert_why(broken[i].code, true, UPSTREAM_BROKE, broken[i].why);
    }
    assert_why(CURLE_HTTP2, false, UPSTREAM_BROKE, curl_easy_strerror(CURLE_HTTP2));
}

/* libcurl before 8.6 has one code for want of memory and for a line of a head over its bound. */
static void a_head_that_is_too_large_is_no_want_of_memory(void **state)
{
    const CURLcode too_large = (CURLcode)100; /* CURLE_TOO_LARGE of libcurl 8.6 */
    (void)state;
    assert_why(too_large, false, UPSTREAM_BROKE, "the head of the answer is too large");
    assert_why(too_large, true, UPSTREAM_BROKE, curl_easy_strerror(too_large));
    static const size_t came[] = {0, 1000, 101 * 1024};
    for (int row = 0; row < 6; row++) {
        bool final = row % 2 != 0;
        struct upstream_call call = {
            .easy = curl_easy_init(), .head.final = final, .head_came = came[row / 2]};
        bool large = row == 4;
        assert_int_equal(why_failed(&call, CURLE_OUT_OF_MEMORY), UPSTREAM_BROKE);
        assert_string_equal(call.why,
                            large ? "the head of the answer is too large" : "out of memory");
        assert_int_equal(call.no_memory, !large);
        curl_easy_cleanup(call.easy);
    }
}

/* A URL that libcurl has read cannot be wrong later: it found no memory to write it out. */
static void a_url_that_was_read_is_no_wrong_one(void **state)
{
    struct origin_url url = {.parsed = curl_url()};
    struct upstream_call call = {.easy = curl_easy_init(), .url = &url};
    (void)state;
    assert_int_equal(why_failed(&call, CURLE_URL_MALFORMAT), UPSTREAM_BROKE);
    assert_string_equal(call.why, "out of memory");
    assert_true(call.no_memory);
    curl_easy_cleanup(call.easy);
    curl_url_cleanup(url.parsed);
}

/* Behind the head of an answer the server was there, whatever libcurl calls it: it broke. */
static void a_server_that_began_to_answer_was_reachable(void **state)
{
    (void)state;
    assert_why(CURLE_OPERATION_TIMEDOUT, true, UPSTREAM_BROKE,
               curl_easy_strerror(CURLE_OPERATION_TIMEDOUT));
    assert_why(CURLE_COULDNT_CONNECT, true, UPSTREAM_BROKE,
               curl_easy_strerror(CURLE_COULDNT_CONNECT));
}

static void assert_call_fails(struct world *w, enum upstream_result result, const char *why)
{
    struct upstream_request req = simple_get(w);
    probe_again(w);
    world_call(w, &req);
    assert_int_equal(w->probe.dones, 1);
    assert_int_equal(w->probe.result, result);
    assert_string_equal(w->probe.why, why);
}

/* The file of a socket without a listener. */
static void leave_socket(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = os_socket(AF_UNIX, SOCK_STREAM);
    snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
    close(fd);
}

static void a_socket_that_cannot_be_used_says_why(void **state)
{
    char folder[] = "/tmp/lull-why-XXXXXX", path[64], left[64];
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/s", folder);
    snprintf(left, sizeof left, "%s/left", folder);
    struct world *w = world_open(path);
    void *held = w;
    w->server.to.unix_socket = left;
    assert_call_fails(w, UPSTREAM_UNREACHABLE, "the socket does not exist");
    leave_socket(left);
    assert_call_fails(w, UPSTREAM_UNREACHABLE, "connection refused");
    if (geteuid() == 0) {
        w->server.to.unix_socket = path;
        assert_int_equal(chmod(path, 0600) + chmod(folder, 0755), 0);
        assert_int_equal(seteuid(65534), 0);
        assert_call_fails(w, UPSTREAM_UNREACHABLE, "permission denied");
        assert_int_equal(seteuid(0), 0);
    }
    world_teardown(&held);
    unlink(left);
    rmdir(folder);
}

static void want_of_descriptors_is_not_the_servers_fault(void **state)
{
    struct world *w = *state;
    const struct answer answers[] = {{.bytes = SPAN("HTTP/1.1 204 No Content\r\n\r\n")}};
    struct upstream_request req = simple_get(w);
    struct rlimit limit, none;
    scripted_script(&w->server, answers, 1);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = (struct rlimit){0, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    world_call(w, &req);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(w->probe.result, UPSTREAM_BROKE);
    assert_true(w->probe.no_memory);
    assert_string_equal(w->probe.why, "no descriptor for the connection");
    probe_again(w);
    world_call(w, &req);
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_connection_differs_from_a_broken_one),
        cmocka_unit_test(a_server_that_began_to_answer_was_reachable),
        cmocka_unit_test(a_head_that_is_too_large_is_no_want_of_memory),
        cmocka_unit_test(a_url_that_was_read_is_no_wrong_one),
        cmocka_unit_test(a_socket_that_cannot_be_used_says_why),
        cmocka_unit_test_setup_teardown(want_of_descriptors_is_not_the_servers_fault, world_setup,
                                        world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
