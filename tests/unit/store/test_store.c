/* test_store.c: records in a real LMDB file: written by the writer thread, read here. */
#include "unit/store/store_support.h"

static const int64_t FAR = INT64_MAX;
enum { SIZE = 16 * 1024 * 1024 };

static void what_was_put_is_read_back_after_the_commit_and_after_a_restart(void **state)
{
    (void)state;
    struct store *s = store_begin(SIZE);
    assert_null(get(s, 1));
    put(s, STORE_ENTRY, 1, SPAN("one"), FAR);
    put(s, STORE_ENTRY, 2, SPAN(""), FAR);
    settle(s);
    assert_string_equal(get(s, 1), "one");
    assert_string_equal(get(s, 2), "");
    put(s, STORE_ENTRY, 1, SPAN("uno"), FAR);
    settle(s);
    assert_string_equal(get(s, 1), "uno");
    assert_int_equal(store_stats(s).entries, 2);
    struct hash_secret secret = *store_secret(s);
    int64_t seq = store_next_seq(s);
    store_close(s);
    s = store_begin(SIZE);
    assert_string_equal(get(s, 1), "uno");
    assert_int_equal(store_stats(s).entries, 2);
    assert_memory_equal(&secret, store_secret(s), sizeof secret);
    put(s, STORE_ENTRY, 3, SPAN("three"), FAR);
    assert_true(store_next_seq(s) >= seq);
    store_close(s);
    assert_int_equal(store_results[0], 4);
    assert_int_equal(store_results[1], 0);
}

static void close_commits_what_is_queued(void **state)
{
    (void)state;
    struct store *s = store_begin(SIZE);
    for (uint64_t i = 0; i < 500; i++) {
        put(s, STORE_ENTRY, i, SPAN("queued"), FAR);
    }
    store_close(s);
    assert_int_equal(store_results[0], 500);
    s = store_begin(SIZE);
    assert_int_equal(store_stats(s).entries, 500);
    assert_string_equal(get(s, 499), "queued");
    store_close(s);
}

static void the_writer_can_be_held(void **state)
{
    (void)state;
    struct store *s = store_begin(SIZE);
    store_hold(s, true);
    put(s, STORE_ENTRY, 1, SPAN("held"), FAR);
    assert_null(get(s, 1));
    assert_int_equal(store_collect(s), ERR_OK);
    assert_int_equal(store_results[0], 0);
    store_hold(s, false);
    settle(s);
    assert_string_equal(get(s, 1), "held");
    assert_int_equal(store_results[0], 1);
    store_close(s);
}

/* Live bytes stay under the bound, the oldest go first, and what was touched stays. */
static void the_bound_is_kept_by_evicting_the_oldest(void **state)
{
    enum { MAX = 4 * 1024 * 1024, N = 3000 };
    static char value[4000];
    (void)state;
    struct store *s = store_begin(MAX);
    memset(value, 'v', sizeof value);
    for (uint64_t i = 0; i < N; i++) {
        put(s, STORE_ENTRY, i, span_make(value, sizeof value), FAR);
        if (i % 50 == 0) { /* number 0 is asked for all the time */
            settle(s);
            struct store_record r;
            store_read_begin(s);
            assert_int_equal(store_get(s, STORE_ENTRY, key_of(0), &r), ERR_OK);
            int64_t seq = r.seq;
            store_read_end(s);
            struct store_job *touch = store_job_new(STORE_TOUCH);
            touch->key = key_of(0);
            touch->seq = seq;
            touch->hits = 1;
            touch->done = store_job_done;
            store_submit(s, touch);
            settle(s);
            assert_true(store_stats(s).bytes <= MAX);
        }
    }
    settle(s);
    struct store_stats stats = store_stats(s);
    assert_true(stats.bytes <= MAX);
    assert_true(stats.evicted > N / 2);
    assert_int_equal(stats.entries + stats.evicted, N);
    assert_int_equal(stats.errors, 0);
    assert_non_null(get(s, 0));
    assert_null(get(s, 1));
    assert_non_null(get(s, N - 1));
    store_close(s);
    struct stat st;
    char path[128];
    snprintf(path, sizeof path, "%s/data.mdb", store_dir);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size <= MAX + MAX / 4 + 4 * 1024 * 1024);
}

static void sweeping_removes_what_expired(void **state)
{
    (void)state;
    struct store *s = store_begin(SIZE);
    for (uint64_t i = 0; i < 100; i++) {
        put(s, STORE_ENTRY, i, SPAN("x"), i < 60 ? 1000 : FAR);
    }
    settle(s);
    struct store_job *sweep = store_job_new(STORE_SWEEP);
    sweep->now.us = 2000;
    sweep->done = store_job_done;
    store_submit(s, sweep);
    settle(s);
    assert_int_equal(store_stats(s).entries, 40);
    assert_int_equal(store_stats(s).expired, 60);
    assert_null(get(s, 0));
    assert_non_null(get(s, 99));
    store_close(s);
}

static bool is_even(const void *filter, struct span value)
{
    (void)filter;
    return value.len == 4;
}

static void purge_and_remove_count_what_they_removed(void **state)
{
    (void)state;
    struct store *s = store_begin(SIZE);
    for (uint64_t i = 0; i < 1000; i++) {
        put(s, STORE_ENTRY, i, i % 2 == 0 ? SPAN("even") : SPAN("odd"), FAR);
    }
    settle(s);
    struct store_job *purge = store_job_new(STORE_PURGE);
    purge->match = is_even;
    purge->done = store_job_done;
    store_submit(s, purge);
    settle(s);
    assert_int_equal(store_results[2], 500);
    assert_int_equal(store_stats(s).entries, 500);
    for (int again = 0; again < 2; again++) {
        struct store_job *remove = store_job_new(STORE_REMOVE);
        remove->key = key_of(1);
        remove->done = store_job_done;
        store_submit(s, remove);
        settle(s);
        assert_int_equal(store_results[2], 501);
    }
    assert_null(get(s, 1));
    assert_non_null(get(s, 3));
    store_close(s);
}

struct walked {
    size_t count, most;
    uint64_t last;
};

static bool on_record(void *ctx, struct hash_key key, const struct store_record *r)
{
    struct walked *w = ctx;
    assert_int_equal(r->value.len, 1);
    assert_true(w->count == 0 || key.lo + 1 == w->last);
    w->last = key.lo;
    return ++w->count < w->most;
}

static void walking_goes_from_the_youngest_and_can_go_on(void **state)
{
    (void)state;
    struct store *s = store_begin(SIZE);
    for (uint64_t i = 0; i < 100; i++) {
        put(s, STORE_ENTRY, i, SPAN("w"), FAR);
    }
    settle(s);
    struct walked w = {.most = 30};
    int64_t next = 0;
    store_read_begin(s);
    for (int part = 1; part <= 4; part++) {
        w.most = (size_t)part * 30;
        next = store_walk(s, next, 1000, on_record, &w);
    }
    store_read_end(s);
    assert_int_equal(next, 0);
    assert_int_equal(w.count, 100);
    assert_int_equal(w.last, 0);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            what_was_put_is_read_back_after_the_commit_and_after_a_restart, store_setup,
            store_teardown),
        cmocka_unit_test_setup_teardown(close_commits_what_is_queued, store_setup, store_teardown),
        cmocka_unit_test_setup_teardown(the_writer_can_be_held, store_setup, store_teardown),
        cmocka_unit_test_setup_teardown(the_bound_is_kept_by_evicting_the_oldest, store_setup,
                                        store_teardown),
        cmocka_unit_test_setup_teardown(sweeping_removes_what_expired, store_setup, store_teardown),
        cmocka_unit_test_setup_teardown(purge_and_remove_count_what_they_removed, store_setup,
                                        store_teardown),
        cmocka_unit_test_setup_teardown(walking_goes_from_the_youngest_and_can_go_on, store_setup,
                                        store_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
