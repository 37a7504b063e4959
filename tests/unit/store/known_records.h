/* known_records.h: a store of records whose values say their number, so that a test sees of each whether it is
 * whole. */
#ifndef TESTS_UNIT_STORE_KNOWN_RECORDS_H
#define TESTS_UNIT_STORE_KNOWN_RECORDS_H

#include "unit/store/store_support.h"

static const int64_t FAR = INT64_MAX;
enum { SIZE = 16 * 1024 * 1024, RECORDS = 64 };

static inline void path_in(char *out, size_t size, const char *name)
{
    snprintf(out, size, "%s/%s", store_dir, name);
}

/* The value of every second record is all rest: it has a checksum of its own. */
static inline void fill(void)
{
    char value[3000];
    struct store *s = store_begin(SIZE);
    for (uint64_t i = 0; i < RECORDS; i++) {
        memset(value, (int)('a' + i % 26), sizeof value);
        put_with_rest(s, STORE_ANSWER, i, span_make(value, sizeof value),
                      i / 2 % 2 == 0 ? 0 : sizeof value, FAR);
    }
    settle(s);
    store_close(s);
}

/* Every record is whole and its own, missing, or reported as corrupt. Returns how many are whole.
 */
static inline size_t check_all(struct store *s)
{
    size_t whole = 0;
    store_read_begin(s);
    for (uint64_t i = 0; i < RECORDS; i++) {
        struct store_record r;
        if (store_get(s, STORE_ANSWER, key_of(i), &r) == ERR_OK) {
            assert_int_equal(r.value.len, 3000);
            for (size_t b = 0; b < r.value.len; b++) {
                assert_int_equal(r.value.ptr[b], 'a' + (int)(i % 26));
            }
            whole++;
        }
    }
    store_read_end(s);
    return whole;
}

#define FAULT(test) cmocka_unit_test_setup_teardown(test, store_setup, store_teardown)

#endif
