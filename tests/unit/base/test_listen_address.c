/* test_listen_address.c: addresses to listen on, and which of them exclude each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lull/base/listen_address.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static struct listen_address parsed(const char *text)
{
    struct listen_address a;
    if (!listen_address_parse(text, &a)) {
        fail_msg("'%s' is refused", text);
    }
    return a;
}

static void texts_that_are_no_address(void **state)
{
    static const char *const rows[] = {
        "",         "nowhere",        ":80",       "127.0.0.1", "127.0.0.1:",     "a:65536",
        "a:100080", "a:80x",          "a:-1",      "a b:80",    "[]:80",          "[:80",
        "[::1:80",  "[127.0.0.1]:80", "[a]:80",    "::1:80",    "[fe80::1%lo]:1", "unix:",
        "unix:a",   "h\xc3\xb6st:80", "http://a:1"};
    char path[5 + 108 + 1] = "unix:/";
    struct listen_address a;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (listen_address_parse(rows[i], &a)) {
            fail_msg("'%s' is taken", rows[i]);
        }
    }
    memset(path + 6, 'a', 106);
    assert_true(listen_address_parse(path, &a)); /* 107 bytes */
    path[112] = 'a';
    assert_false(listen_address_parse(path, &a));
}

static void an_address_is_read_as_the_system_does(void **state)
{
    static const struct {
        const char *text, *host;
        unsigned port;
        const char *ip; /* NULL: a name */
    } rows[] = {
        {"127.0.0.1:80", "127.0.0.1", 80, "127.0.0.1"},
        {"127.1:0000080", "127.1", 80, "127.0.0.1"},
        {"0:1", "0", 1, "0.0.0.0"},
        {"[::1]:65535", "::1", 65535, "::1"},
        {"[0::0]:0", "0::0", 0, "::"},
        {"[::ffff:10.0.0.1]:1", "::ffff:10.0.0.1", 1, "10.0.0.1"},
        {"host.test:1", "host.test", 1, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct listen_address a = parsed(rows[i].text);
        char ip[INET6_ADDRSTRLEN] = "";
        assert_null(a.path);
        assert_string_equal(a.host, rows[i].host);
        assert_int_equal(a.port, rows[i].port);
        assert_int_equal(a.ip_count, rows[i].ip == NULL ? 0 : 1);
        if (rows[i].ip != NULL) {
            assert_non_null(inet_ntop(a.ip[0].family, a.ip[0].ip, ip, sizeof ip));
            assert_string_equal(ip, rows[i].ip);
        }
    }
    struct listen_address local = parsed("LocalHost:1");
    assert_in_range(local.ip_count, 1, 2);
    for (size_t i = 0; i < local.ip_count; i++) {
        assert_true(host_is_loopback(&local.ip[i]));
    }
    assert_string_equal(parsed("unix:/a/b").path, "/a/b");
}

static void wildcards(void **state)
{
    (void)state;
    struct listen_address v4 = parsed("0:1"), v6 = parsed("[::]:1"), one = parsed("127.0.0.1:1"),
                          path = parsed("unix:/a"), name = parsed("a.test:1");
    assert_true(listen_address_is_wildcard(&v4, AF_INET));
    assert_false(listen_address_is_wildcard(&v4, AF_INET6));
    assert_true(listen_address_is_wildcard(&v6, AF_INET6));
    assert_false(listen_address_is_wildcard(&v6, AF_INET));
    assert_false(listen_address_is_wildcard(&one, AF_INET));
    assert_false(listen_address_is_wildcard(&path, AF_INET));
    assert_false(listen_address_is_wildcard(&name, AF_INET));
}

static void paths_are_compared_by_their_parts(void **state)
{
    (void)state;
    struct listen_address a = parsed("unix:/run//lull/a"), tcp = parsed("a:1");
    assert_true(listen_address_has_path(&a, "/run/lull/a"));
    assert_true(listen_address_has_path(&a, "//run/lull///a"));
    assert_false(listen_address_has_path(&a, "/run/lull/ab"));
    assert_false(listen_address_has_path(&a, "/run/lull/"));
    assert_false(listen_address_has_path(&a, "/runlull/a"));
    assert_false(listen_address_has_path(&a, ""));
    assert_false(listen_address_has_path(&tcp, ""));
}

static void overlaps_hold_both_ways(void **state)
{
    static const struct {
        const char *a, *b;
        bool overlap;
    } rows[] = {
        {"127.0.0.1:1", "127.1:01", true},
        {"127.0.0.1:1", "127.0.0.1:2", false},
        {"127.0.0.1:1", "127.0.0.2:1", false},
        {"127.0.0.1:0", "127.0.0.1:0", false},
        {"0:1", "127.0.0.1:1", true},
        {"0:1", "[::]:1", true},
        {"0:1", "[::1]:1", false},
        {"[::]:1", "127.0.0.1:1", true},
        {"[::]:1", "[::1]:1", true},
        {"[::1]:1", "127.0.0.1:1", false},
        {"[::1]:1", "[::2]:1", false},
        {"[::ffff:127.0.0.1]:1", "127.0.0.1:1", true},
        {"localhost:1", "0:1", true},
        {"localhost:1", "10.0.0.1:1", false},
        {"a.test:1", "A.test:1", true},
        {"a.test:1", "b.test:1", false},
        {"a.test:1", "127.0.0.1:1", false},
        {"unix:/a", "unix://a", true},
        {"unix:/a", "unix:/b", false},
        {"unix:/a", "127.0.0.1:1", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct listen_address a = parsed(rows[i].a), b = parsed(rows[i].b);
        if (listen_addresses_overlap(&a, &b) != rows[i].overlap ||
            listen_addresses_overlap(&b, &a) != rows[i].overlap) {
            fail_msg("%s and %s", rows[i].a, rows[i].b);
        }
    }
    /* as localhost is where it has both families */
    struct listen_address both = parsed("127.0.0.1:1"), v6 = parsed("[::1]:1");
    both.ip[both.ip_count++] = v6.ip[0];
    assert_true(listen_addresses_overlap(&both, &v6));
    assert_true(listen_addresses_overlap(&v6, &both));
    assert_false(listen_address_is_wildcard(&both, AF_INET));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_that_are_no_address),
        cmocka_unit_test(an_address_is_read_as_the_system_does),
        cmocka_unit_test(wildcards),
        cmocka_unit_test(paths_are_compared_by_their_parts),
        cmocka_unit_test(overlaps_hold_both_ways),
    };
    return cmocka_run_group_tests_name("listen_address", tests, NULL, NULL);
}
