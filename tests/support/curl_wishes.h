/* curl_wishes.h: when libcurl wants to act, and whether it does: in place of two of its functions. It can
 * be made to want it again and again, as 8.14 does while a transfer is paused whose answer has come.
 */
#ifndef TESTS_SUPPORT_CURL_WISHES_H
#define TESTS_SUPPORT_CURL_WISHES_H

#include "lull/base/err.h"
#include "lull/base/loop.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <string.h>

#undef curl_multi_setopt

enum { WISHES_AT_ONCE = 16 /* in a row, that are served in the same turn */ };

static curl_multi_timer_callback wishes_told; /* the pool's */
static void *wishes_ctx;
static struct loop *wishes_loop;
static size_t wishes_forced; /* so many actions more are followed by a wish to act at once */
static bool wishes_in_timeout;
static size_t wishes_in_a_row;
static int64_t wishes_due = -1; /* when it wants to act; -1: not */

static int wishes_note(CURLM *multi, long ms, void *ctx)
{
    int64_t now = loop_now(wishes_loop).us;
    wishes_in_a_row = wishes_in_timeout ? wishes_in_a_row + (ms == 0 ? 1 : 0) : 0;
    bool late = ms == 0 && wishes_in_a_row > WISHES_AT_ONCE;
    wishes_due = ms < 0 ? -1 : now + (late ? USEC_PER_MS : ms * USEC_PER_MS);
    return wishes_told(multi, ms, ctx);
}

/* After the loop has done what is ready: libcurl has acted, where it was time. */
static inline void wishes_check(void)
{
    require(wishes_due < 0 || loop_now(wishes_loop).us < wishes_due);
}

CURLMcode curl_multi_setopt(CURLM *multi, CURLMoption option, ...)
{
    static CURLMcode (*real)(CURLM *, CURLMoption, ...);
    va_list args;
    va_start(args, option);
    void *value = va_arg(args, void *);
    va_end(args);
    *(void **)&real = dlsym(RTLD_NEXT, "curl_multi_setopt");
    if (option == CURLMOPT_TIMERFUNCTION) {
        memcpy(&wishes_told, &value, sizeof wishes_told);
        return real(multi, option, wishes_note);
    }
    if (option == CURLMOPT_TIMERDATA) {
        wishes_ctx = value;
        wishes_due = -1;
    }
    return real(multi, option, value);
}

CURLMcode curl_multi_socket_action(CURLM *multi, curl_socket_t fd, int bits, int *running)
{
    static CURLMcode (*real)(CURLM *, curl_socket_t, int, int *);
    *(void **)&real = dlsym(RTLD_NEXT, "curl_multi_socket_action");
    wishes_in_timeout = fd == CURL_SOCKET_TIMEOUT;
    if (wishes_in_timeout) {
        require(wishes_due < 0 || loop_now(wishes_loop).us >= wishes_due); /* not before */
        wishes_due = -1;
    }
    CURLMcode code = real(multi, fd, bits, running);
    if (wishes_forced > 0 && *running > 0) {
        wishes_forced--;
        (void)wishes_note(multi, 0, wishes_ctx);
    }
    wishes_in_timeout = false;
    return code;
}

#endif
