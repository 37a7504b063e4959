/* test_pool.c: libcurl that asks without end to act at once does not hold up the loop. 8.14 does so
 * while a transfer is paused whose answer has come; here every version does.
 */
#include "unit/upstream/probe.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#undef curl_multi_setopt

enum { TURN_MOST = 100 /* more in one turn is no end */ };

static curl_multi_timer_callback on_timeout;
static void *on_timeout_ctx;
static struct loop *loop;
static bool asks_always;
static mono_t turn;
static int in_turn, most_in_turn;

CURLMcode curl_multi_setopt(CURLM *multi, CURLMoption option, ...)
{
    static CURLMcode (*real)(CURLM *, CURLMoption, ...);
    va_list args;
    va_start(args, option);
    void *value = va_arg(args, void *);
    va_end(args);
    *(void **)&real = dlsym(RTLD_NEXT, "curl_multi_setopt");
    if (option == CURLMOPT_TIMERFUNCTION) {
        memcpy(&on_timeout, &value, sizeof on_timeout);
    }
    on_timeout_ctx = option == CURLMOPT_TIMERDATA ? value : on_timeout_ctx;
    return real(multi, option, value);
}

CURLMcode curl_multi_socket_action(CURLM *multi, curl_socket_t fd, int bits, int *running)
{
    static CURLMcode (*real)(CURLM *, curl_socket_t, int, int *);
    *(void **)&real = dlsym(RTLD_NEXT, "curl_multi_socket_action");
    CURLMcode code = real(multi, fd, bits, running);
    in_turn = loop_now(loop).us == turn.us ? in_turn + 1 : 1;
    turn = loop_now(loop);
    most_in_turn = in_turn > most_in_turn ? in_turn : most_in_turn;
    require(in_turn < TURN_MOST);
    if (asks_always && *running > 0) {
        on_timeout(multi, 0, on_timeout_ctx);
    }
    return code;
}

static void a_turn_ends_though_libcurl_wants_to_act_at_once(void **state)
{
    struct world *w = *state;
    const struct answer answers[] = {
        {.bytes = SPAN("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")}};
    scripted_script(&w->server, answers, 1);
    loop = w->loop;
    asks_always = true;
    struct upstream_request req = simple_get(w);
    world_call(w, &req);
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    assert_int_equal(w->probe.body.len, 2);

    assert_in_range(most_in_turn, 10, TURN_MOST);
    asks_always = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_turn_ends_though_libcurl_wants_to_act_at_once,
                                        world_setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
