/* test_upstream_memory.c: libcurl finds no memory once, at each of its allocations during a call in turn.
 * The call ends, without memory or with its answer, and its server is blamed for nothing; or the process
 * ends for want of a small object, and says so.
 */
#include "unit/upstream/probe.h"

#include <curl/curl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>

#include <cmocka.h>

#include "support/child.h"

enum { ENOUGH = 3 /* exit status: the call makes fewer allocations */ };

struct trial {
    size_t allocation; /* that fails */
    bool reused;       /* the connection */
};

/* Allocations until one fails; SIZE_MAX: none will. libcurl's look-up of names has a thread. */
static atomic_size_t left = SIZE_MAX;

static bool fails(void)
{
    size_t now = left;
    while (now != SIZE_MAX &&
           !atomic_compare_exchange_weak(&left, &now, now == 0 ? SIZE_MAX : now - 1)) {
    }
    return now == 0;
}

static void *scarce_malloc(size_t size)
{
    return fails() ? NULL : malloc(size);
}

static void *scarce_calloc(size_t count, size_t size)
{
    return fails() ? NULL : calloc(count, size);
}

static void *scarce_realloc(void *old, size_t size)
{
    return fails() ? NULL : realloc(old, size);
}

static char *scarce_strdup(const char *text)
{
    return fails() ? NULL : strdup(text);
}

static void call_is_answered(struct world *w, const struct upstream_request *req)
{
    probe_again(w);
    world_call(w, req);
    require(w->probe.result == UPSTREAM_DONE);
}

/* libcurl 7.88 calls it a name that is not found where it cannot keep an address. */
static bool is_without_memory(const struct probe *p)
{
    return p->no_memory || strcmp(p->why, "name not found") == 0;
}

/* false: it made fewer allocations than that. */
static bool call_fails_at(struct world *w, const struct upstream_request *req, size_t allocation)
{
    probe_again(w);
    probe_start(&w->probe, req);
    left = allocation;
    world_run(w);
    bool failed = left == SIZE_MAX;
    left = SIZE_MAX;
    require(w->probe.dones == 1);
    require(w->probe.result == UPSTREAM_DONE || is_without_memory(&w->probe));
    return failed;
}

/* In a process of its own. Its exit status. */
static int without_memory(size_t allocation, bool reused)
{
    struct answer answers[] = {
        {.bytes = SPAN("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: b\r\n\r\nok")}};
    struct world *w = world_open(NULL);
    void *held = w;
    struct upstream_request req = simple_get(w);
    scripted_script(&w->server, answers, 1);
    if (reused) {
        call_is_answered(w, &req);
    }
    bool failed = call_fails_at(w, &req, allocation);
    call_is_answered(w, &req);
    int accepted = w->server.accepted;
    call_is_answered(w, &req);
    require(w->server.accepted == accepted); /* its connections are reused */
    world_teardown(&held);
    return failed ? 0 : ENOUGH;
}

static int run_trial(void *arg)
{
    const struct trial *t = arg;
    return without_memory(t->allocation, t->reused);
}

static int run_without_memory(size_t allocation, bool reused)
{
    char said[4096];
    struct trial t = {allocation, reused};
    int status = child_run(run_trial, &t, said, sizeof said);
    bool small = strstr(said, "memory for a small allocation") != NULL;
    if (!WIFEXITED(status) && !(child_aborted(status) && small)) {
        fail_msg("allocation %zu, reused %d: status %x, %s", allocation, reused, status, said);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}

static void test_calls(bool reused)
{
    size_t allocation = 0;
    int status = 0;
    while (status != ENOUGH) {
        assert_in_range(status, 0, 0);
        assert_in_range(allocation, 0, 400);
        status = run_without_memory(allocation++, reused);
    }
    assert_in_range(allocation, 20, 400);
}

static void a_call_without_memory_blames_no_server(void **state)
{
    (void)state;
    test_calls(false);
    test_calls(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_without_memory_blames_no_server),
    };
    curl_global_init_mem(CURL_GLOBAL_DEFAULT, scarce_malloc, free, scarce_realloc, scarce_strdup,
                         scarce_calloc);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
