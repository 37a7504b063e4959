/* test_pool.c: libcurl that asks without end to act at once does not hold up the loop. 8.14 does so
 * while a transfer is paused whose answer has come; here every version does.
 */
#include "support/curl_wishes.h"
#include "unit/upstream/probe.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void a_turn_ends_though_libcurl_wants_to_act_at_once(void **state)
{
    struct world *w = *state;
    const struct answer answers[] = {
        {.bytes = SPAN("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")}};
    scripted_script(&w->server, answers, 1);
    wishes_loop = w->loop;
    wishes_forced = SIZE_MAX;
    struct upstream_request req = simple_get(w);
    world_call(w, &req);
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    assert_int_equal(w->probe.body.len, 2);
    assert_true(wishes_forced < SIZE_MAX - WISHES_AT_ONCE);
    wishes_forced = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_turn_ends_though_libcurl_wants_to_act_at_once,
                                        world_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
