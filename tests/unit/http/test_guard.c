/* test_guard.c: who may speak to the port. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

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

static char *hidden; /* a page that cannot be read before its first fault */
static size_t page;
static volatile sig_atomic_t looked_at;

static void on_fault(int signo, siginfo_t *info, void *context)
{
    uintptr_t at = (uintptr_t)info->si_addr, from = (uintptr_t)hidden;
    (void)signo;
    (void)context;
    if (at < from || at - from >= page || mprotect(hidden, page, PROT_READ) != 0) {
        _exit(1);
    }
    looked_at = 1;
}

/* A token of another length, or with a wrong first byte, is read to its end: its middle page faults. */
static void a_wrong_token_is_compared_to_its_end(void **state)
{
    static char want[3 * 65536 + 1];
    struct sigaction sees = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, before;
    (void)state;
    page = (size_t)sysconf(_SC_PAGESIZE);
    size_t len = 3 * page - sizeof "Bearer " + 1;
    assert_true(page <= 65536);
    memset(want, 'k', len);
    char *got = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(got, MAP_FAILED);
    memcpy(got, "Bearer ", sizeof "Bearer " - 1);
    memset(got + sizeof "Bearer " - 1, 'k', len);
    got[sizeof "Bearer " - 1] = 'x';
    hidden = got + page;
    sigemptyset(&sees.sa_mask);
    assert_int_equal(sigaction(SIGSEGV, &sees, &before), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(mprotect(hidden, page, PROT_NONE), 0);
        looked_at = 0;
        assert_false(guard_token(i == 0 ? want : "kk", span_make(got, 3 * page)));
        assert_int_equal(looked_at, 1);
    }
    assert_int_equal(sigaction(SIGSEGV, &before, NULL), 0);
    munmap(got, 3 * page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_on_a_loopback_listener),
        cmocka_unit_test(origin_of_a_task),
        cmocka_unit_test(token),
        cmocka_unit_test(a_wrong_token_is_compared_to_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
