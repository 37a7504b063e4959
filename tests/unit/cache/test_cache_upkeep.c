/* test_cache_upkeep.c: what a cache does beside look-ups: what is removed, listed, counted and bounded, and its state
 * while its disk or its folder is taken. */
#include "unit/cache/cache_answers.h"

#include <signal.h>
#include <sys/resource.h>

static uint64_t removed;
static int dones;

static int setup_counts(void **state)
{
    removed = 0;
    dones = 0;
    return setup(state);
}

static struct cache *begin_with(int64_t max_size)
{
    struct cache_options o = {.dir = dir,
                              .settings = {.max_size = max_size, .keep_requests = true}};
    return cache_create(loop, &o);
}

static void expect_twice_hit(struct cache *c, struct cache_key k)
{
    for (int i = 0; i < 2; i++) {
        struct cache_hit hit;
        assert_int_equal(cache_find_answer(c, &k, NOW, &hit), CACHE_PENDING);
        cache_count_hit(c, &hit);
        cache_release(c);
    }
}

static void on_removed(void *ctx, enum err result, uint64_t count)
{
    (void)ctx;
    assert_int_equal(result, ERR_OK);
    removed = count;
    dones++;
}

/* Deletes reach what is pending, and what was begun before them is not stored. */
static void a_purge_is_final(void **state)
{
    int64_t seq = 0;
    (void)state;
    struct cache *c = begin(true);
    for (int i = 0; i < 20; i++) {
        char text[16];
        snprintf(text, sizeof text, "q%d", i);
        assert_int_equal(store_as(c, key(c, text), i < 15 ? "title" : "tags", "a", &seq), ERR_OK);
        if (i == 9) {
            cache_flush(c);
            cache_hold_writer(c, true); /* the others are pending */
        }
    }
    uint64_t before = cache_generation(c);
    struct cache_filter titles = {.kind = SPAN("title")};
    cache_purge(c, &titles, on_removed, NULL);
    expect(c, key(c, "q14"), CACHE_MISS, NULL);
    expect(c, key(c, "q19"), CACHE_PENDING, "a");
    assert_int_not_equal(cache_generation(c), before);
    struct cache_put late = {.key = key(c, "q0"), .kind = SPAN("title"), .expires = LATER};
    assert_int_equal(cache_store_answer(c, &late, before, &seq), ERR_BUSY);
    cache_hold_writer(c, false);
    cache_flush(c);
    cache_flush(c);
    assert_int_equal(dones, 1);
    assert_int_equal(removed, 15);
    expect(c, key(c, "q0"), CACHE_MISS, NULL);
    expect(c, key(c, "q19"), CACHE_HIT, "a");
    cache_remove(c, key(c, "q19").hash, on_removed, NULL);
    cache_flush(c);
    cache_flush(c);
    assert_int_equal(dones, 2);
    assert_int_equal(removed, 1);
    expect(c, key(c, "q19"), CACHE_MISS, NULL);
    assert_int_equal(cache_stats(c).entries, 4);
    cache_destroy(c);
}

static void what_is_pending_has_a_bound(void **state)
{
    int64_t seq = 0;
    enum err e = ERR_OK;
    size_t kept = 0;
    static char answer[32 * 1024];
    (void)state;
    struct cache *c = begin(true);
    cache_hold_writer(c, true);
    memset(answer, 'a', sizeof answer - 1);
    while (e == ERR_OK && kept < 100000) {
        char text[16];
        snprintf(text, sizeof text, "q%zu", kept);
        e = store_as(c, key(c, text), "title", answer, &seq);
        kept += e == ERR_OK;
    }
    assert_int_equal(e, ERR_FULL);
    assert_true(kept * sizeof answer <= CACHE_PENDING_BYTES && kept > 900);
    expect(c, key(c, "q0"), CACHE_PENDING, answer);
    cache_hold_writer(c, false);
    cache_flush(c);
    assert_int_equal(store_as(c, key(c, "again"), "title", "a", &seq), ERR_OK);
    cache_destroy(c);
}

static void other_sizes_take_effect_and_nothing_pending_is_lost(void **state)
{
    int64_t seq = 0;
    (void)state;
    struct cache *c = begin(true);
    cache_hold_writer(c, true);
    assert_int_equal(store_as(c, key(c, "q"), "title", "a", &seq), ERR_OK);
    struct cache_settings bigger = {.max_size = 16 * 1024 * 1024, .keep_requests = true};
    cache_configure(c, &bigger);
    assert_string_equal(cache_state(c), "on");
    expect(c, key(c, "q"), CACHE_PENDING, "a");
    cache_hold_writer(c, false);
    cache_flush(c);
    expect(c, key(c, "q"), CACHE_HIT, "a");
    assert_int_equal(cache_stats(c).max_bytes, 16 * 1024 * 1024);
    assert_int_equal(cache_stats(c).inserted, 1);
    cache_destroy(c);
}

struct listed {
    size_t count;
    uint64_t hits;
    int64_t last;
    char kinds[64];
};

static void on_listed(void *ctx, const struct cache_info *info)
{
    struct listed *l = ctx;
    assert_true(l->count == 0 || info->seq < l->last);
    l->last = info->seq;
    l->hits += info->hits;
    l->kinds[l->count++] = info->kind.ptr[0];
    assert_span(info->request, "the request as people see it");
}

/* The control socket sees what is not committed yet: listed, shown, counted, its hits as well. */
static void pending_answers_are_listed_and_counted(void **state)
{
    static const char *const kinds[] = {"a", "b", "c", "d", "e", "f"};
    struct cache_filter all = {.older = {0}};
    int64_t seq = 0;
    (void)state;
    struct cache *c = begin(true);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(store_as(c, key(c, kinds[i]), kinds[i], "x", &seq), ERR_OK);
    }
    cache_flush(c);
    cache_hold_writer(c, true);
    for (int i = 2; i < 6; i++) { /* c: once more, over the committed one */
        assert_int_equal(store_as(c, key(c, kinds[i]), kinds[i], "y", &seq), ERR_OK);
    }
    expect_twice_hit(c, key(c, "e"));
    assert_int_equal(cache_stats(c).entries, 6);
    assert_int_equal(cache_stats(c).pending_writes, 4);
    for (size_t limit = 1; limit < 8; limit++) { /* pages of every size show the same */
        struct listed l = {.count = 0};
        int64_t next = 0;
        do {
            cache_list(c, &all, limit, 4096, next, on_listed, &l, &next);
        } while (next != 0);
        assert_string_equal(l.kinds, "fedcba");
        assert_int_equal(l.hits, 2);
    }
    struct listed one = {.count = 0};
    assert_int_equal(cache_get(c, key(c, "e").hash, on_listed, &one), ERR_OK);
    assert_int_equal(one.hits, 2);
    cache_remove(c, key(c, "f").hash, on_removed, NULL);
    assert_int_equal(cache_get(c, key(c, "f").hash, on_listed, &one), ERR_NOT_FOUND);
    cache_write_touches(c, SIZE_MAX);
    cache_hold_writer(c, false);
    cache_flush(c);
    cache_flush(c);
    assert_int_equal(removed, 1);
    assert_int_equal(cache_stats(c).entries, 5);
    struct listed done = {.count = 0};
    int64_t next = 0;
    cache_list(c, &all, 50, 4096, 0, on_listed, &done, &next);
    assert_string_equal(done.kinds, "edcba");
    assert_int_equal(done.hits, 2);
    cache_destroy(c);
}

static void on_counted(void *ctx, const struct cache_info *info)
{
    uint64_t *each = ctx;
    assert_true(*each == 0 || info->hits == *each);
    *each = info->hits;
}

static uint64_t hits_of_each(struct cache *c)
{
    struct cache_filter all = {.older = {0}};
    uint64_t each = 0;
    int64_t next = 0;
    do {
        cache_list(c, &all, 500, 4096, next, on_counted, &each, &next);
    } while (next != 0);
    return each;
}

/* More records than the table of hits has room for at first, hit in turn, and more than one job
 * writes. */
static void hits_of_many_records_are_counted(void **state)
{
    enum { N = 3000, ROUNDS = 3 };
    char name[16];
    int64_t seq = 0;
    (void)state;
    struct cache *c = begin(false);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "%d", i);
        assert_int_equal(store_as(c, key(c, name), "title", "a", &seq), ERR_OK);
    }
    cache_flush(c);
    for (int i = 0; i < N * ROUNDS; i++) {
        snprintf(name, sizeof name, "%d", i % N);
        expect(c, key(c, name), CACHE_HIT, "a");
    }
    assert_int_equal(hits_of_each(c), ROUNDS);
    size_t left = N;
    while (left > 0) {
        assert_int_equal(c->touches.count, left);
        cache_write_touches(c, 1);
        cache_flush(c);
        assert_int_equal(hits_of_each(c), ROUNDS);
        left -= left < CACHE_TOUCHES_JOB ? left : CACHE_TOUCHES_JOB;
    }
    assert_null(c->touches.rows);
    cache_destroy(c);
}

/* Key n of many, spread as hashes are. */
static struct hash_key nth_key(uint64_t n)
{
    return (struct hash_key){.hi = n * 0x9E3779B97F4A7C15U, .lo = n};
}

static void expect_all_rows_found(const struct cache *c)
{
    for (size_t i = 0; i < c->touches.room; i++) {
        const struct store_touch *row = &c->touches.rows[i];
        if (row->hits > 0) {
            assert_int_equal(cache_touched_hits(c, row->key, row->seq), row->hits);
        }
    }
}

/* Hits of more records than the table has rows for: those in it are counted, and each is written in
 * its turn, whatever comes in between. */
static void the_table_of_hits_is_bounded(void **state)
{
    enum { TURNS = 3 * CACHE_TOUCHES_MAX / CACHE_TOUCHES_JOB }; /* a circle is twice the table */
    (void)state;
    struct cache *c = begin(false);
    for (uint64_t n = 0; n < (uint64_t)2 * CACHE_TOUCHES_MAX; n++) {
        cache_touch(c, nth_key(n), 1);
        cache_touch(c, nth_key(0), 1);
    }
    assert_int_equal(c->touches.room, CACHE_TOUCHES_ROOM);
    assert_int_equal(c->touches.count, CACHE_TOUCHES_MAX);
    assert_int_equal(cache_touched_hits(c, nth_key(0), 1), 2 * CACHE_TOUCHES_MAX + 1);
    assert_int_equal(cache_touched_hits(c, nth_key(CACHE_TOUCHES_MAX - 1), 1), 1);
    assert_int_equal(cache_touched_hits(c, nth_key(CACHE_TOUCHES_MAX), 1), 0);
    for (uint64_t turn = 0; turn < TURNS; turn++) {
        cache_write_touches(c, CACHE_TOUCHES_JOB);
        assert_int_equal(c->touches.count, CACHE_TOUCHES_MAX - CACHE_TOUCHES_JOB);
        expect_all_rows_found(c);
        for (uint64_t n = 0; n < CACHE_TOUCHES_JOB; n++) {
            cache_touch(c, nth_key((turn + 10) * CACHE_TOUCHES_MAX + n), 1);
        }
        assert_int_equal(c->touches.count, CACHE_TOUCHES_MAX);
    }
    for (uint64_t n = 0; n < CACHE_TOUCHES_MAX; n++) {
        assert_int_equal(cache_touched_hits(c, nth_key(n), 1), 0);
    }
    cache_write_touches(c, SIZE_MAX);
    assert_null(c->touches.rows);
    cache_destroy(c);
}

/* Off while the disk takes nothing: hits go on, nothing is added; then on again. */
static void the_state_follows_the_disk_both_ways(void **state)
{
    static char answer[300000];
    struct rlimit limit, none;
    int64_t seq = 0;
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &none), 0);
    memset(answer, 'a', sizeof answer - 1);
    struct cache *c = begin_with((int64_t)64 * 1024 * 1024);
    assert_int_equal(store_as(c, key(c, "q"), "title", "a", &seq), ERR_OK);
    cache_flush(c);
    for (int round = 0; round < 2; round++) {
        limit = none;
        limit.rlim_cur = 200000;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(store_as(c, key(c, "large"), "title", answer, &seq), ERR_OK);
        expect(c, key(c, "large"), CACHE_PENDING, answer);
        cache_flush(c);
        assert_non_null(strstr(cache_state(c), "off: its file is at the limit of file sizes"));
        expect(c, key(c, "q"), CACHE_HIT, "a");
        expect(c, key(c, "large"), CACHE_MISS, NULL);
        assert_int_equal(store_as(c, key(c, "r"), "title", "a", &seq), ERR_FULL);
        assert_true(loop_timer_running(c->retry));
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
        store_check(c->store); /* what the timer does */
        cache_flush(c);
        assert_string_equal(cache_state(c), "on");
    }
    assert_int_equal(store_as(c, key(c, "large"), "title", answer, &seq), ERR_OK);
    cache_flush(c);
    expect(c, key(c, "large"), CACHE_HIT, answer);
    cache_destroy(c);
}

static void a_directory_that_is_removed_is_made_again(void **state)
{
    char command[256];
    int64_t seq = 0;
    (void)state;
    struct cache *c = begin(true);
    assert_int_equal(store_as(c, key(c, "q"), "title", "a", &seq), ERR_OK);
    cache_flush(c);
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    assert_int_equal(system(command), 0);
    assert_int_equal(store_as(c, key(c, "r"), "title", "a", &seq), ERR_OK);
    cache_flush(c);
    assert_string_equal(cache_state(c), "on");
    expect(c, key(c, "q"), CACHE_MISS, NULL);
    assert_int_equal(store_as(c, key(c, "q"), "title", "b", &seq), ERR_OK);
    cache_flush(c);
    expect(c, key(c, "q"), CACHE_HIT, "b");
    cache_destroy(c);
}

static void a_directory_in_use_means_no_cache_and_no_failure(void **state)
{
    int64_t seq = 0;
    struct cache_hit hit;
    (void)state;
    struct cache *first = begin(true);
    struct cache_options o = {.dir = dir, .settings = {.max_size = 8 * 1024 * 1024}};
    struct cache *c = cache_create(loop, &o);
    assert_int_equal(strncmp(cache_state(c), "off: ", 5), 0);
    assert_non_null(strstr(cache_state(c), "in use by another lulld"));
    struct cache_key k = key(c, "q");
    assert_int_equal(cache_find_answer(c, &k, NOW, &hit), CACHE_OFF);
    assert_int_equal(cache_find_exact(c, &k, NOW, &hit), CACHE_OFF);
    assert_int_equal(store_as(c, k, "title", "a", &seq), ERR_IO);
    cache_destroy(c);
    cache_destroy(first);
}

#define CACHE_TEST(test) cmocka_unit_test_setup_teardown(test, setup_counts, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CACHE_TEST(a_purge_is_final),
        CACHE_TEST(what_is_pending_has_a_bound),
        CACHE_TEST(other_sizes_take_effect_and_nothing_pending_is_lost),
        CACHE_TEST(pending_answers_are_listed_and_counted),
        CACHE_TEST(hits_of_many_records_are_counted),
        CACHE_TEST(the_table_of_hits_is_bounded),
        CACHE_TEST(the_state_follows_the_disk_both_ways),
        CACHE_TEST(a_directory_that_is_removed_is_made_again),
        CACHE_TEST(a_directory_in_use_means_no_cache_and_no_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
