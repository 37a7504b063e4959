/* test_schedule.c: what the schedule counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lull/path/schedule/schedule.h"

static void counts_by_upstream(void **state)
{
    (void)state;
    struct schedule *s = schedule_create();
    assert_int_equal(schedule_running(s, "a"), 0);
    schedule_flight_began(s, "a");
    schedule_flight_began(s, "a");
    schedule_chat_began(s, "b");
    assert_int_equal(schedule_running(s, "a"), 2);
    assert_int_equal(schedule_running(s, "b"), 0);
    assert_int_equal(schedule_chats(s, "a"), 0);
    assert_int_equal(schedule_chats(s, "b"), 1);
    schedule_flight_ended(s, "a");
    schedule_chat_ended(s, "b");
    assert_int_equal(schedule_running(s, "a"), 1);
    assert_int_equal(schedule_chats(s, "b"), 0);
    schedule_destroy(s);
}

static void only_completions_wait_for_a_chat(void **state)
{
    (void)state;
    char here[] = "a", there[] = "b", hosted[] = "h";
    struct upstream_settings a = {.name = here}, b = {.name = there},
                             h = {.name = hosted, .tls = true};
    struct schedule *s = schedule_create();
    for (int i = 0; i < 100; i++) {
        assert_int_equal(schedule_ask(s, &a, KIND_CLASS_COMPLETION), SCHEDULE_START);
        schedule_flight_began(s, "a");
    }
    schedule_chat_began(s, "a");
    schedule_chat_began(s, "h");
    assert_int_equal(schedule_ask(s, &a, KIND_CLASS_COMPLETION), SCHEDULE_WAIT);
    assert_int_equal(schedule_ask(s, &a, KIND_CLASS_BACKGROUND), SCHEDULE_START);
    assert_int_equal(schedule_ask(s, &a, KIND_CLASS_FOREGROUND), SCHEDULE_START);
    assert_int_equal(schedule_ask(s, &b, KIND_CLASS_COMPLETION), SCHEDULE_START);
    assert_int_equal(schedule_ask(s, &h, KIND_CLASS_COMPLETION), SCHEDULE_START);
    schedule_chat_ended(s, "a");
    assert_int_equal(schedule_ask(s, &a, KIND_CLASS_COMPLETION), SCHEDULE_START);
    schedule_destroy(s);
    schedule_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_by_upstream),
        cmocka_unit_test(only_completions_wait_for_a_chat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
