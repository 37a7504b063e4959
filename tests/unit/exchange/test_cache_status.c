/* test_cache_status.c: every value of Cache-Status, as RFC 9211 has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "path/exchange/cache_status.h"

#include <string.h>

static void every_value(void **state)
{
    (void)state;
    static const struct {
        struct cache_status status;
        const char *text;
    } rows[] = {
        {{.from = CACHE_STATUS_HIT, .ttl_s = 604790}, "lull; hit; ttl=604790"},
        {{.from = CACHE_STATUS_HIT, .ttl_s = 0}, "lull; hit; ttl=0"},
        {{.from = CACHE_STATUS_HIT, .ttl_s = -86400}, "lull; hit; ttl=-86400"},
        {{.from = CACHE_STATUS_HIT, .ttl_s = INT64_MIN}, "lull; hit; ttl=-9223372036854775808"},
        {{.from = CACHE_STATUS_HIT, .ttl_s = 5, .detail = "pending"}, "lull; hit; detail=pending"},
        {{.from = CACHE_STATUS_HIT, .detail = "type-through"}, "lull; hit; detail=type-through"},
        {{.from = CACHE_STATUS_CALL}, "lull; fwd=miss"},
        {{.from = CACHE_STATUS_CALL, .stored = true}, "lull; fwd=miss; stored"},
        {{.from = CACHE_STATUS_CALL, .collapsed = true}, "lull; fwd=miss; collapsed"},
        {{.from = CACHE_STATUS_CALL, .collapsed = true, .detail = "type-through"},
         "lull; fwd=miss; collapsed; detail=type-through"},
        {{.from = CACHE_STATUS_CALL, .fwd = CACHE_STATUS_REQUEST}, "lull; fwd=request"},
        {{.from = CACHE_STATUS_CALL, .fwd = CACHE_STATUS_REQUEST, .stored = true},
         "lull; fwd=request; stored"},
        {{.from = CACHE_STATUS_CALL, .fwd = CACHE_STATUS_BYPASS, .detail = "observe"},
         "lull; fwd=bypass; detail=observe"},
        {{.from = CACHE_STATUS_OWN, .detail = "busy"}, "lull; detail=busy"},
        {{.from = CACHE_STATUS_OWN, .detail = "switched-off"}, "lull; detail=switched-off"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[CACHE_STATUS_MAX];
        assert_int_equal(cache_status_write(&rows[i].status, out), strlen(rows[i].text));
        assert_string_equal(out, rows[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_value)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
