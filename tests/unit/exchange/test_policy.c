/* test_policy.c: whether a body is held, and what holds for a task before the cache is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "path/exchange/exchange_priv.h"

struct fixture {
    struct settings settings;
    struct kind_policy kind;
    struct exchange x;
};

static void setup(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    f->kind.enabled = true;
    f->settings.mode = TASKS_ON;
    f->settings.server.max_task_body = 1000;
    f->settings.kinds = &f->kind;
    f->settings.kind_count = 1;
    f->x.settings = &f->settings;
    f->x.head.endpoint = ENDPOINT_CHAT;
    f->x.parsed = true;
    f->x.decision = (struct task_decision){.cls = TASK_CLASS_TASK, .kind = 0};
}

static void why_a_body_is_not_read(void **state)
{
    (void)state;
    struct fixture fixture;
    struct fixture *f = &fixture;
    setup(f);
    assert_null(policy_unread(&f->x, false));
    assert_string_equal(policy_unread(&f->x, true), "too-large");
    f->x.head.endpoint = ENDPOINT_RESPONSES;
    assert_string_equal(policy_unread(&f->x, false), "not-assembled");
    assert_string_equal(policy_unread(&f->x, true), "not-assembled");
}

static void what_is_held(void **state)
{
    (void)state;
    static const struct {
        enum tasks_mode mode;
        enum endpoint endpoint;
        bool chunked;
        int64_t length;
        bool held;
    } rows[] = {
        {TASKS_ON, ENDPOINT_CHAT, false, 1000, true},
        {TASKS_ON, ENDPOINT_CHAT, false, 1001, false},
        {TASKS_ON, ENDPOINT_CHAT, true, 1001, true}, /* its length is not known */
        {TASKS_OBSERVE, ENDPOINT_OLLAMA_GENERATE, false, 10, true},
        {TASKS_OFF, ENDPOINT_CHAT, false, 10, false},
        {TASKS_ON, ENDPOINT_OTHER, false, 10, false},
        {TASKS_ON, ENDPOINT_EMBEDDINGS, false, 10, false},
    };
    struct fixture fixture;
    struct fixture *f = &fixture;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_request r = {.chunked = rows[i].chunked, .content_length = rows[i].length};
        setup(f);
        f->settings.mode = rows[i].mode;
        f->x.head.endpoint = rows[i].endpoint;
        if (policy_holds_body(&f->x, &r) != rows[i].held) {
            fail_msg("row %zu", i);
        }
    }
}

static void what_holds_for_a_task(void **state)
{
    (void)state;
    static const struct {
        const char *bypass;
        bool parsed, streamed, enabled;
        enum tasks_mode mode;
        enum policy expected;
        const char *why;
    } rows[] = {
        {NULL, true, false, true, TASKS_ON, POLICY_GO_ON, NULL},
        {NULL, true, false, false, TASKS_ON, POLICY_SWITCHED_OFF, NULL},
        {NULL, true, false, false, TASKS_OBSERVE, POLICY_GO_ON, NULL},
        {NULL, true, true, true, TASKS_ON, POLICY_FORWARD, "stream"},
        {NULL, true, true, false, TASKS_ON, POLICY_FORWARD, "stream"},
        {NULL, false, false, true, TASKS_ON, POLICY_FORWARD, "ambiguous-json"},
        {"too-large", false, false, true, TASKS_ON, POLICY_FORWARD, "too-large"},
    };
    struct fixture fixture;
    struct fixture *f = &fixture;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        setup(f);
        f->x.bypass = rows[i].bypass;
        f->x.parsed = rows[i].parsed;
        f->x.request.streamed = rows[i].streamed;
        f->kind.enabled = rows[i].enabled;
        f->settings.mode = rows[i].mode;
        enum policy got = policy_decide(&f->x);
        bool same = rows[i].why == NULL
                        ? f->x.bypass == NULL
                        : f->x.bypass != NULL && strcmp(f->x.bypass, rows[i].why) == 0;
        if (got != rows[i].expected || !same) {
            fail_msg("row %zu", i);
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(why_a_body_is_not_read),
        cmocka_unit_test(what_is_held),
        cmocka_unit_test(what_holds_for_a_task),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
