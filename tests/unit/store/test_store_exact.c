/* test_store_exact.c: keys of exact records that lead to an answer record at once. */
#include "unit/store/store_support.h"

static const int64_t FAR = INT64_MAX;
enum { SIZE = 16 * 1024 * 1024, EXACT = 1000 };

/* An answer record n with the value, and an exact key that leads to it. */
static void put_both(struct store *s, uint64_t n, uint64_t exact, struct span value)
{
    struct store_job *job = store_job_new(STORE_PUT);
    job->table = STORE_ANSWER;
    job->key = key_of(n);
    job->exact = key_of(exact);
    job->seq = store_next_seq(s);
    job->expires.us = FAR;
    job->value.max = value.len;
    job->done = store_job_done;
    assert_int_equal(buf_append_span(&job->value, value), ERR_OK);
    store_submit(s, job);
}

static void remove_answer(struct store *s, uint64_t n)
{
    struct store_job *job = store_job_new(STORE_REMOVE);
    job->key = key_of(n);
    job->done = store_job_done;
    store_submit(s, job);
    settle(s);
}

/* The number of the record that an exact key leads to; -1: it leads nowhere. An exact record's is its
 * own. */
static int64_t led(struct store *s, uint64_t exact)
{
    struct store_record r;
    store_read_begin(s);
    enum err e = store_get(s, STORE_EXACT, key_of(exact), &r);
    store_read_end(s);
    assert_int_not_equal(e, ERR_CORRUPT);
    assert_true(e != ERR_OK || r.table == (r.key.lo < EXACT ? STORE_ANSWER : STORE_EXACT));
    assert_true(e != ERR_OK || hash_key_eq(r.key, key_of(r.key.lo)));
    return e == ERR_OK ? (int64_t)r.key.lo : -1;
}

static void an_exact_key_leads_to_its_answer_and_goes_with_it(void **state)
{
    struct store_record direct, own;
    (void)state;
    struct store *s = store_begin(SIZE);
    put_both(s, 1, EXACT, SPAN("one"));
    put_both(s, 2, EXACT + 1, SPAN("two"));
    settle(s);
    store_close(s);
    s = store_begin(SIZE);
    store_read_begin(s);
    assert_int_equal(store_get(s, STORE_EXACT, key_of(EXACT), &direct), ERR_OK);
    assert_int_equal(store_get(s, STORE_ANSWER, key_of(1), &own), ERR_OK);
    assert_span(direct.value, "one");
    assert_int_equal(direct.position, own.position);
    assert_int_equal(direct.seq, own.seq);
    assert_int_equal(direct.target, 0);
    store_read_end(s);
    assert_int_equal(led(s, EXACT), 1);
    assert_int_equal(led(s, EXACT + 1), 2);
    remove_answer(s, 1);
    assert_int_equal(led(s, EXACT), -1);
    put(s, STORE_ANSWER, 2, SPAN("again"), FAR); /* another answer: no exact key leads there */
    settle(s);
    assert_int_equal(led(s, EXACT + 1), -1);
    assert_string_equal(get(s, 2), "again");
    store_close(s);
}

static void an_exact_key_goes_with_an_answer_that_expires(void **state)
{
    (void)state;
    struct store *s = store_begin(SIZE);
    put_both(s, 1, EXACT, SPAN("one"));
    settle(s);
    struct store_job *sweep = store_job_new(STORE_SWEEP);
    sweep->now.us = FAR;
    sweep->done = store_job_done;
    store_submit(s, sweep);
    settle(s);
    assert_int_equal(store_stats(s).expired, 1);
    assert_int_equal(led(s, EXACT), -1);
    store_close(s);
}

static void an_exact_key_leads_to_what_was_stored_under_it_last(void **state)
{
    (void)state;
    struct store *s = store_begin(SIZE);
    put_both(s, 1, EXACT, SPAN("one"));
    put_both(s, 2, EXACT, SPAN("two"));
    settle(s);
    assert_int_equal(led(s, EXACT), 2);
    assert_string_equal(get(s, 1), "one");
    remove_answer(s, 1); /* without the key that it has lost */
    assert_int_equal(led(s, EXACT), 2);
    put(s, STORE_EXACT, EXACT, SPAN("2"), FAR);
    settle(s);
    assert_int_equal(led(s, EXACT), EXACT);
    assert_string_equal(get(s, 2), "two");
    put_both(s, 3, EXACT, SPAN("three"));
    settle(s);
    assert_int_equal(led(s, EXACT), 3);
    remove_answer(s, 2);
    remove_answer(s, 3);
    assert_int_equal(led(s, EXACT), -1);
    assert_int_equal(store_stats(s).bytes, 0); /* nor is the exact record left */
    store_close(s);
}

static void an_answer_that_is_spared_keeps_the_exact_key_that_it_has(void **state)
{
    enum { MAX = 4 * 1024 * 1024, ROUND = 700 };
    static char value[6000];
    (void)state;
    struct store *s = store_begin(MAX);
    memset(value, 'v', sizeof value);
    put_both(s, 0, EXACT, span_make(value, sizeof value));
    put_both(s, 1, EXACT + 1, span_make(value, sizeof value));
    put_both(s, 2, EXACT + 1, span_make(value, sizeof value));
    settle(s);
    touch(s, 0, 1);
    touch(s, 1, 1);
    for (uint64_t i = 3; i < ROUND; i++) {
        put(s, STORE_ANSWER, i, span_make(value, sizeof value), FAR);
    }
    settle(s);
    assert_non_null(get(s, 0));
    assert_non_null(get(s, 1));
    assert_null(get(s, 2));
    assert_int_equal(led(s, EXACT), 0);
    assert_int_equal(led(s, EXACT + 1), -1); /* 1 has not taken it back from 2 */
    store_close(s);
}

#define STORE_TEST(test) cmocka_unit_test_setup_teardown(test, store_setup, store_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(an_exact_key_leads_to_its_answer_and_goes_with_it),
        STORE_TEST(an_exact_key_goes_with_an_answer_that_expires),
        STORE_TEST(an_exact_key_leads_to_what_was_stored_under_it_last),
        STORE_TEST(an_answer_that_is_spared_keeps_the_exact_key_that_it_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
