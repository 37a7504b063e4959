/* test_host.c: what the text of a host says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lull/base/host.h"

#include <string.h>
#include <sys/socket.h>

static void parts(void **state)
{
    static const char *const rows[][2] = {
        {"a", "a"},       {"a:1", "a"},        {"a.:1", "a"},
        {"[::1]", "::1"}, {"[::1]:80", "::1"}, {"[::1", ""},
        {"", ""},         {":80", ""},         {"127.0.0.1:1", "127.0.0.1"},
        {"a.b.", "a.b"},  {".", "."},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span host = host_part(span_of(rows[i][0]));
        if (!span_eq(host, span_of(rows[i][1]))) {
            fail_msg("'%s': '%.*s'", rows[i][0], (int)host.len, host.ptr);
        }
    }
}

static void ports(void **state)
{
    static const struct {
        const char *authority;
        unsigned port;
    } rows[] = {{"a", 0},     {"a:1", 1},       {"a:0080", 80},
                {"[::1]", 0}, {"[::1]:80", 80}, {"10.0.0.1:65535", 65535}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(host_port(span_of(rows[i].authority)), rows[i].port);
    }
}

static void what_is_written_as_a_name(void **state)
{
    static const char *const no[] = {"", "a b", "a:1", "[::1]", "a/b", "h\xc3\xb6st"};
    char name[255] = "";
    (void)state;
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        assert_false(host_is_name(span_of(no[i])));
    }
    assert_true(host_is_name(SPAN("my_host-1.Example")));
    assert_true(host_is_name(SPAN("10.0.0.1")));
    memset(name, 'a', 254);
    assert_false(host_is_name(span_of(name)));
    assert_true(host_is_name(span_make(name, 253)));
}

static void local_hosts(void **state)
{
    static const struct {
        const char *host;
        bool local;
    } rows[] = {
        {"localhost", true},
        {"LocalHost.", true},
        {"a.localhost", true},
        {"127.0.0.1", true},
        {"127.9.9.9", true},
        {"0.0.0.0", true},
        {"::", true},
        {"::1", true},
        {"0:0:0:0:0:0:0:1", true},
        {"::ffff:127.0.0.1", true},
        {"::ffff:0.0.0.0", true},
        {"::ffff:7f00:1", true},
        {"10.0.0.1", false},
        {"::2", false},
        {"::ffff:10.0.0.1", false},
        {"127.evil.example", false},
        {"localhost.evil", false},
        {"", false},
        {"notlocalhost", false},
        {"128.0.0.1", false},
        {"127.0.0.1.", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (host_is_local(span_of(rows[i].host)) != rows[i].local) {
            fail_msg("'%s'", rows[i].host);
        }
    }
}

static void names(void **state)
{
    (void)state;
    assert_true(host_is_named(SPAN("Box"), SPAN("box")));
    assert_true(host_is_named(SPAN("box.local."), SPAN("box")));
    assert_true(host_is_named(SPAN("box"), SPAN("box.local")));
    assert_false(host_is_named(SPAN("box.lan"), SPAN("box")));
    assert_false(host_is_named(SPAN(""), SPAN("")));
    assert_false(host_is_named(SPAN(".local"), SPAN("")));
    assert_true(host_is_below(SPAN("a.b.internal"), "internal"));
    assert_false(host_is_below(SPAN("internal"), "internal"));
    assert_false(host_is_below(SPAN(".internal"), "internal"));
    assert_false(host_is_below(SPAN("ainternal"), "internal"));
    char own[256];
    host_own_name(own, sizeof own);
    assert_true(strlen(own) < sizeof own);
}

static void addresses(void **state)
{
    struct host_address a;
    (void)state;
    assert_true(host_address(SPAN("::ffff:10.1.2.3"), &a));
    assert_int_equal(a.family, AF_INET);
    assert_memory_equal(a.ip, "\x0a\x01\x02\x03\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    assert_true(host_address(SPAN("fe80::1"), &a));
    assert_int_equal(a.family, AF_INET6);
    assert_false(host_is_loopback(&a));
    assert_false(host_is_wildcard(&a));
    assert_false(host_address(SPAN("1"), NULL));
    assert_false(host_address(SPAN("[::1]"), NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts),
        cmocka_unit_test(ports),
        cmocka_unit_test(what_is_written_as_a_name),
        cmocka_unit_test(local_hosts),
        cmocka_unit_test(names),
        cmocka_unit_test(addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
