/* test_guard.c: who may speak to the port. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lull/http/guard.h"

static struct server_settings with_hosts(char **hosts, size_t count)
{
    struct server_settings s = {.hosts = {hosts, count}};
    return s;
}

struct row {
    const char *text;
    bool allowed;
};

static void host_on_a_loopback_listener(void **state)
{
    (void)state;
    static char listed[] = "lull.lan";
    static char with_port[] = "with.port:11435";
    char *hosts[] = {listed, with_port};
    struct server_settings s = with_hosts(hosts, 2);
    static const struct row rows[] = {
        {"localhost", true},
        {"LOCALHOST:11435", true},
        {"a.localhost:1", true},
        {"127.0.0.1:11435", true},
        {"10.1.2.3", true},
        {"[::1]:11435", true},
        {"[::1]", true},
        {"box", true},
        {"BOX:80", true},
        {"lull.lan", true},
        {"lull.lan:11435", true},
        {"LULL.lan.", true},
        {"lull.lan.:1", true},
        {"with.port", true},
        {"localhost.", true},
        {"localhost.:11435", true},
        {"a.localhost.", true},
        {"0.0.0.0:11435", true},
        {"[::ffff:127.0.0.1]:11435", true},
        {"[2001:db8::1]:80", true},
        {"host.docker.internal:11435", true},
        {"Host.Containers.Internal", true},
        {"macbook.local", true},
        {"macbook.local.:11435", true},
        {"box.local", true},
        {"box.", true},
        {"internal", false},
        {"local:11435", false},
        {".internal", false},
        {"..", false},
        {".", false},
        {"internal.evil.example", false},
        {"evil.internals", false},
        {"xlocal", false},
        {"[evil.internal]x", true}, /* what stands in brackets is the host */
        {"evil.example", false},
        {"localhost.evil", false},
        {"evillocalhost", false},
        {".localhost", false},
        {"", false},
        {"[::1", false},
        {"127.0.0.1.evil.example", false},
        {"box.evil.example", false},
        {"1", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (guard_host(&s, "box", span_of(rows[i].text)) != rows[i].allowed) {
            fail_msg("Host '%s'", rows[i].text);
        }
    }
    assert_false(guard_host(&s, "", SPAN("")));
}

static void origin_of_a_task(void **state)
{
    (void)state;
    static char listed[] = "ui.example";
    char *hosts[] = {listed};
    struct server_settings s = with_hosts(hosts, 1);
    static const struct row rows[] = {
        {"http://localhost:3000", true},
        {"http://127.0.0.1", true},
        {"https://[::1]:8443", true},
        {"http://0.0.0.0:3000", true},
        {"http://localhost.:3000", true},
        {"http://[::ffff:127.0.0.1]:3000", true},
        {"http://macbook.local", false}, /* another machine's page */
        {"http://host.docker.internal", false},
        {"http://lull:11435", true},
        {"https://ui.example", true},
        {"https://ui.example:8443", true},
        {"null", false},
        {"", false},
        {"http://", false},
        {"http://evil.example", false},
        {"http://10.0.0.9", false},
        {"http://lull:1", false},
        {"ui.example", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (guard_origin(&s, span_of(rows[i].text), SPAN("lull:11435")) != rows[i].allowed) {
            fail_msg("Origin '%s'", rows[i].text);
        }
    }
    assert_true(guard_origin(&s, SPAN_NONE, SPAN("lull:11435")));
}

static void token(void **state)
{
    (void)state;
    assert_true(guard_token("", SPAN_NONE));
    assert_true(guard_token("secret", SPAN("Bearer secret")));
    assert_true(guard_token("secret", SPAN("bearer  secret ")));
    assert_false(guard_token("secret", SPAN_NONE));
    assert_false(guard_token("secret", SPAN("Bearer ")));
    assert_false(guard_token("secret", SPAN("Bearer secre")));
    assert_false(guard_token("secret", SPAN("Bearer secretsecret")));
    assert_false(guard_token("secret", SPAN("Bearer secreT")));
    assert_false(guard_token("secret", SPAN("Basic secret")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_on_a_loopback_listener),
        cmocka_unit_test(origin_of_a_task),
        cmocka_unit_test(token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
