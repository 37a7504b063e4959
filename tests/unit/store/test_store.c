/* test_store.c: records in a real LMDB file: written by the writer thread, read here. */
#include "unit/store/store_support.h"

#include "path/store/store_priv.h"

#include <sched.h>

static const int64_t FAR = INT64_MAX;
enum { SIZE = 16 * 1024 * 1024 };

static void what_was_put_is_read_back_after_the_commit_and_after_a_restart(void **state)
{
    (void)state;
    struct store *s = store_begin(SIZE);
    assert_null(get(s, 1));
    put(s, STORE_ANSWER, 1, SPAN("one"), FAR);
    put(s, STORE_ANSWER, 2, SPAN(""), FAR);
    settle(s);
    assert_string_equal(get(s, 1), "one");
    assert_string_equal(get(s, 2), "");
    put(s, STORE_ANSWER, 1, SPAN("uno"), FAR);
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
    put(s, STORE_ANSWER, 3, SPAN("three"), FAR);
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
        put(s, STORE_ANSWER, i, SPAN("queued"), FAR);
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
    put(s, STORE_ANSWER, 1, SPAN("held"), FAR);
    assert_null(get(s, 1));
    assert_int_equal(collect(s), ERR_OK);
    assert_int_equal(store_results[0], 0);
    store_hold(s, false);
    settle(s);
    assert_string_equal(get(s, 1), "held");
    assert_int_equal(store_results[0], 1);
    store_close(s);
}

/* A group of the writer's comes back in parts, each in the order in which it was submitted; what is
 * not taken stays for the next call, with what is finished by then. */
static void finished_jobs_are_taken_a_few_at_a_time(void **state)
{
    enum { JOBS = 100, MOST = 30, LATE = 7 };
    bool more = false;
    (void)state;
    struct store *s = store_begin(SIZE);
    for (uint64_t i = 0; i < JOBS; i++) {
        put(s, STORE_ANSWER, i, SPAN("x"), FAR);
    }
    store_flush(s);
    for (int taken = MOST; taken < JOBS; taken += MOST) {
        assert_int_equal(store_collect(s, MOST, &more), ERR_OK);
        assert_int_equal(store_results[0], taken);
        assert_true(more);
        assert_string_equal(get(s, JOBS - 1), "x"); /* the commit is seen from the first on */
    }
    for (uint64_t i = 0; i < LATE; i++) {
        put(s, STORE_ANSWER, JOBS + i, SPAN("y"), FAR);
    }
    store_flush(s);
    assert_int_equal(store_collect(s, JOBS % MOST, &more), ERR_OK);
    assert_true(more);
    assert_int_equal(store_collect(s, LATE, &more), ERR_OK);
    assert_int_equal(store_results[0], JOBS + LATE);
    assert_false(more);
    assert_string_equal(get(s, JOBS), "y");
    put(s, STORE_ANSWER, 0, SPAN("z"), FAR);
    settle(s);
    assert_int_equal(store_results[0], JOBS + LATE + 1);
    store_close(s);
}

/* Pages that a commit frees are of no use while an older reading is open. */
static void one_commit_at_most_goes_by_under_a_reading(void **state)
{
    (void)state;
    struct store *s = store_begin(SIZE);
    store_hold(s, true);
    for (uint64_t i = 0; i < (uint64_t)10 * STORE_GROUP_JOBS; i++) {
        put(s, STORE_ANSWER, i, SPAN("x"), FAR);
    }
    store_read_begin(s);
    store_hold(s, false);
    while (!atomic_load(&s->reading_awaited) && store_results[0] < 10 * STORE_GROUP_JOBS) {
        assert_int_equal(collect(s), ERR_OK);
        sched_yield();
    }
    assert_int_equal(collect(s), ERR_OK);
    assert_int_equal(store_results[0], STORE_GROUP_JOBS);
    store_read_end(s);
    settle(s);
    assert_int_equal(store_results[0], 10 * STORE_GROUP_JOBS);
    store_close(s);
}

/* Between readings the reader stays open: the writer does not wait for it longer than up to the next
 * store_collect(), and a reading after that sees all that was collected. */
static void a_reader_between_readings_holds_up_one_commit(void **state)
{
    (void)state;
    struct store *s = store_begin(SIZE);
    put(s, STORE_ANSWER, 0, SPAN("first"), FAR);
    settle(s);
    store_hold(s, true);
    for (uint64_t i = 0; i < (uint64_t)4 * STORE_GROUP_JOBS; i++) {
        put(s, STORE_ANSWER, i, SPAN("x"), FAR);
    }
    assert_string_equal(get(s, 0), "first");
    store_hold(s, false);
    while (!atomic_load(&s->reading_awaited)) {
        sched_yield();
    }
    assert_string_equal(get(s, 0), "x"); /* that reading has ended, and the next one begins */
    assert_int_equal(store_results[0], 1);
    while (store_results[0] < 4 * STORE_GROUP_JOBS + 1) {
        assert_int_equal(collect(s), ERR_OK);
        assert_string_equal(get(s, 1), "x");
    }
    put(s, STORE_ANSWER, 1, SPAN("last"), FAR);
    while (store_results[0] == 4 * STORE_GROUP_JOBS + 1) {
        assert_int_equal(collect(s), ERR_OK);
        sched_yield();
    }
    assert_string_equal(get(s, 1), "last");
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
        put(s, STORE_ANSWER, i, span_make(value, sizeof value), FAR);
        if (i % 50 == 0) { /* number 0 is asked for all the time */
            settle(s);
            struct store_record r;
            store_read_begin(s);
            assert_int_equal(store_get(s, STORE_ANSWER, key_of(0), &r), ERR_OK);
            int64_t seq = r.seq;
            store_read_end(s);
            touch_record(s, 0, seq, 1);
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
        put(s, STORE_ANSWER, i, SPAN("x"), i < 60 ? 1000 : FAR);
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

/* An exact record of these tests is one digit, the number of its answer record. */
static bool target_of(struct span value, struct hash_key *answer, int64_t *seq)
{
    assert_int_equal(value.len, 1);
    *answer = key_of((uint64_t)(value.ptr[0] - '0'));
    *seq = 0;
    return true;
}

static void expect_at(struct store *s, int64_t position, struct store_record want)
{
    struct store_record r;
    assert_int_equal(store_get_at(s, STORE_ANSWER, key_of(7), position, &r), ERR_OK);
    assert_int_equal(r.seq, want.seq);
    assert_int_equal(r.position, want.position);
    assert_int_equal(r.value.len, want.value.len);
}

/* A position saves a look-up, and is never believed. */
static void a_record_is_found_at_its_position_and_without_it(void **state)
{
    struct store_record exact, answer;
    (void)state;
    struct store *s = store_begin(SIZE);
    store_set_target_fn(s, target_of);
    put(s, STORE_ANSWER, 6, SPAN("another"), FAR);
    put(s, STORE_ANSWER, 7, SPAN("seven"), FAR);
    put(s, STORE_EXACT, 1, SPAN("7"), FAR);
    put(s, STORE_EXACT, 2, SPAN("8"), FAR);
    settle(s);
    store_read_begin(s);
    assert_int_equal(store_get(s, STORE_EXACT, key_of(2), &exact), ERR_OK);
    assert_int_equal(exact.target, 0); /* there is no answer 8 */
    assert_int_equal(store_get(s, STORE_EXACT, key_of(1), &exact), ERR_OK);
    assert_int_equal(store_get(s, STORE_ANSWER, key_of(7), &answer), ERR_OK);
    assert_int_equal(exact.target, answer.position);
    const int64_t positions[] = {0,
                                 answer.position,
                                 answer.position - STORE_STEP,
                                 answer.position + STORE_STEP,
                                 answer.position + 1,
                                 INT64_MAX};
    for (size_t i = 0; i < sizeof positions / sizeof positions[0]; i++) {
        expect_at(s, positions[i], answer);
    }
    store_read_end(s);
    put(s, STORE_ANSWER, 7, SPAN("again"), FAR); /* it moves */
    settle(s);
    store_read_begin(s);
    assert_int_equal(store_get(s, STORE_ANSWER, key_of(7), &answer), ERR_OK);
    assert_true(answer.position > exact.target);
    expect_at(s, exact.target, answer);
    store_read_end(s);
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
        put(s, STORE_ANSWER, i, i % 2 == 0 ? SPAN("even") : SPAN("odd"), FAR);
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
        put(s, STORE_ANSWER, i, SPAN("w"), FAR);
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

/* Lengths on both sides of every place where the cutting of records changes. */
static void records_of_all_lengths_come_back_whole(void **state)
{
    static const size_t lengths[] = {
        0,    1,    900,  935,  936,  937,  938,  1900,  2014,  2015,  3000,  4015,  4016,  4080,
        4081, 4095, 4144, 5000, 8096, 8160, 8224, 12000, 16000, 16319, 16320, 16321, 20000, 60000};
    enum { N = sizeof lengths / sizeof lengths[0] };
    static char value[64 * 1024];
    (void)state;
    struct store *s = store_begin(SIZE);
    for (size_t i = 0; i < sizeof value; i++) {
        value[i] = (char)('a' + i * 7 % 23);
    }
    for (int round = 0; round < 3; round++) { /* made, written over, read after a restart */
        for (size_t i = 0; i < N && round < 2; i++) {
            put(s, STORE_ANSWER, i, span_make(value + round + i, lengths[i]), FAR);
        }
        settle(s);
        if (round == 2) {
            store_close(s);
            s = store_begin(SIZE);
        }
        for (size_t i = 0; i < N; i++) {
            const char *got = get(s, i);
            assert_non_null(got);
            assert_int_equal(strlen(got), lengths[i]);
            assert_memory_equal(got, value + (round < 2 ? round : 1) + i, lengths[i]);
        }
        assert_int_equal(store_stats(s).entries, N);
    }
    for (uint64_t i = 0; i < N; i++) {
        struct store_job *remove = store_job_new(STORE_REMOVE);
        remove->key = key_of(i);
        remove->done = store_job_done;
        store_submit(s, remove);
    }
    settle(s);
    assert_int_equal(store_stats(s).entries, 0);
    assert_int_equal(store_stats(s).bytes, 0); /* every piece is gone */
    store_close(s);
}

/* A hit is counted beside the record, which is not written again for it. */
/* LMDB gives the last numbers to pages that it frees again in the same transaction, and does not write
 * them: the file ends before them, and is whole. */
static void a_file_without_its_last_free_pages_is_whole(void **state)
{
    static char large[6 * 32 * 1024];
    const size_t page = (size_t)file_page();
    int shorter = 0;
    (void)state;
    struct store *s = store_begin(1 << 22);
    put(s, STORE_ANSWER, 1, SPAN("kept"), INT64_MAX);
    settle(s);
    for (uint64_t round = 1; round <= 12; round++) {
        store_hold(s, true);
        for (uint64_t n = 0; n < 3; n++) { /* the last takes the place of the others */
            put(s, STORE_ANSWER, 2, span_make(large, (6 - n) * page), INT64_MAX);
        }
        store_hold(s, false);
        settle(s);
        int64_t before = file_size();
        store_close(s);
        s = store_begin(1 << 22);
        shorter += file_size() > before ? 1 : 0;
        assert_span(record_of(s, 1).value, "kept");
    }
    assert_true(shorter > 0);
    store_close(s);
}

static void a_file_that_lacks_used_pages_is_set_aside(void **state)
{
    enum { LARGE = 200 * 1024, CUT = 20 * 4096 };
    char path[96], *large = mem_new(LARGE);
    struct store_record r;
    (void)state;
    struct store *s = store_begin(1 << 22);
    for (uint64_t n = 1; n < 8; n++) { /* frees pages that the tables take */
        put(s, STORE_ANSWER, n, SPAN("kept"), INT64_MAX);
        settle(s);
    }
    put(s, STORE_ANSWER, 8, span_make(large, LARGE), INT64_MAX); /* at the end of the file */
    settle(s);
    store_close(s);
    free(large);
    snprintf(path, sizeof path, "%s/data.mdb", store_dir);
    assert_int_equal(truncate(path, (off_t)file_size() - CUT), 0);
    s = store_begin(1 << 22);
    store_read_begin(s);
    assert_int_equal(store_get(s, STORE_ANSWER, key_of(1), &r), ERR_NOT_FOUND);
    store_read_end(s);
    store_close(s);
}

static void hits_are_counted_beside_the_record(void **state)
{
    (void)state;
    struct store *s = store_begin(SIZE);
    for (uint64_t i = 0; i < 10; i++) {
        put(s, STORE_ANSWER, i, SPAN("v"), FAR);
    }
    settle(s);
    int64_t position = record_of(s, 0).position;
    touch(s, 0, 5);
    touch(s, 0, 1);
    store_close(s);
    s = store_begin(SIZE);
    assert_int_equal(record_of(s, 0).hits, 6);
    assert_int_equal(record_of(s, 0).position, position);
    assert_int_equal(record_of(s, 1).hits, 0);
    put(s, STORE_ANSWER, 0, SPAN("w"), FAR); /* another answer: its own count */
    settle(s);
    assert_int_equal(record_of(s, 0).hits, 0);
    store_close(s);
}

/* A touched row takes a page of its commit's memory, and LMDB keeps the memory of its largest commit:
 * so the touches of one are bounded. */
static void touches_are_committed_a_few_at_a_time(void **state)
{
    enum { JOBS = 40, EACH = 512, COMMITS = JOBS * EACH * STORE_PAGE / STORE_GROUP_BYTES };
    usec_t times[STORE_COMMIT_TIMES];
    (void)state;
    struct store *s = store_begin((int64_t)64 * SIZE);
    put(s, STORE_ANSWER, 1, SPAN("v"), FAR);
    settle(s);
    (void)store_commit_times(s, times, STORE_COMMIT_TIMES);
    store_hold(s, true);
    for (int i = 0; i < JOBS; i++) {
        submit_touches(s, (uint64_t)i * EACH, EACH, 1, 1);
    }
    store_hold(s, false);
    settle(s);
    assert_int_equal(store_results[0], JOBS + 1);
    assert_int_equal(store_commit_times(s, times, STORE_COMMIT_TIMES), COMMITS);
    assert_int_equal(record_of(s, 1).hits, 1);
    store_close(s);
}

/* In these tests an alias is the number of its entry. */
static bool number_of_entry(struct span value, struct hash_key *entry, int64_t *seq)
{
    uint64_t n[2];
    if (value.len != sizeof n) {
        return false;
    }
    memcpy(n, value.ptr, sizeof n);
    *entry = key_of(n[0]);
    *seq = (int64_t)n[1];
    return true;
}

/* What was hit is spared once, with its alias; the next time only if it was hit again. */
static void eviction_spares_what_was_hit(void **state)
{
    enum { MAX = 4 * 1024 * 1024, ROUND = 700, ALIAS = 1000000 };
    static char value[6000];
    (void)state;
    struct store *s = store_begin(MAX);
    store_set_target_fn(s, number_of_entry);
    memset(value, 'v', sizeof value);
    for (uint64_t i = 0; i < 6 * ROUND; i++) {
        put(s, STORE_ANSWER, i, span_make(value, sizeof value), FAR);
        if (i == 0) {
            settle(s);
            uint64_t n[2] = {0, (uint64_t)record_of(s, 0).seq};
            put(s, STORE_EXACT, ALIAS, span_make((const char *)n, sizeof n), FAR);
            touch(s, 0, 1);
        }
        if (i == ROUND || i == 6 * ROUND - 1) {
            struct store_record r;
            bool first = i == ROUND;
            settle(s);
            assert_true(store_stats(s).evicted > 0);
            assert_int_equal(get(s, 0) != NULL, first);
            store_read_begin(s);
            assert_int_equal(store_get(s, STORE_EXACT, key_of(ALIAS), &r),
                             first ? ERR_OK : ERR_NOT_FOUND);
            store_read_end(s);
        }
    }
    assert_null(get(s, 1));
    store_close(s);
}

enum { MB = 1024 * 1024, FILL = 11000 };

static struct store *filled(int64_t max_size)
{
    static char value[4000];
    struct store *s = store_begin(max_size);
    for (uint64_t i = 0; i < FILL; i++) {
        memset(value, (int)('a' + i % 26), sizeof value);
        put(s, STORE_ANSWER, i, span_make(value, sizeof value), FAR);
    }
    settle(s);
    assert_int_equal(store_stats(s).entries, FILL);
    return s;
}

static void expect_youngest(struct store *s, int64_t max_size)
{
    assert_true(store_stats(s).bytes <= (uint64_t)max_size);
    assert_true(store_stats(s).entries > (uint64_t)(max_size / 6000));
    assert_null(get(s, 0));
    for (uint64_t i = FILL - (uint64_t)(max_size / 6000); i < FILL; i++) {
        const char *got = get(s, i);
        assert_non_null(got);
        assert_int_equal(strlen(got), 4000);
        assert_int_equal(got[3999], 'a' + (int)(i % 26));
    }
}

/* max_size was lowered while the daemon was not running. */
static void a_file_that_is_too_large_is_compacted_at_the_start(void **state)
{
    (void)state;
    struct store *s = filled(64 * MB);
    struct hash_secret secret = *store_secret(s);
    int64_t seq = store_next_seq(s);
    store_close(s);
    assert_true(file_size() > 30 * MB);
    char path[128]; /* left by a start that was killed on the way */
    snprintf(path, sizeof path, "%s/data.mdb.new", store_dir);
    FILE *f = fopen(path, "w");
    assert_true(f != NULL && fputs("half a copy", f) >= 0 && fclose(f) == 0);
    s = store_begin(8 * MB);
    assert_true(file_size() <= 8 * MB + 8 * MB / 4 + 1024 * file_page());
    expect_youngest(s, 8 * MB);
    assert_memory_equal(&secret, store_secret(s), sizeof secret);
    assert_true(store_next_seq(s) >= seq);
    assert_false(exists("data.mdb.new"));
    assert_false(exists("data.mdb.bad"));
    for (uint64_t i = 0; i < 2000; i++) {
        put(s, STORE_ANSWER, FILL + i, SPAN("on it goes"), FAR);
    }
    settle(s);
    assert_string_equal(get(s, FILL + 1999), "on it goes");
    assert_int_equal(store_stats(s).errors, 0);
    store_close(s);
    assert_true(file_size() <= 8 * MB + 8 * MB / 4 + 1024 * file_page());
}

/* The same while it runs: at once for what is kept, at the next start for the file. */
static void other_sizes_hold_without_opening_again(void **state)
{
    static char value[4000];
    (void)state;
    struct store *s = filled(64 * MB);
    store_configure(s, 8 * MB, true);
    settle(s);
    expect_youngest(s, 8 * MB);
    store_configure(s, 24 * MB, false);
    settle(s);
    memset(value, 'v', sizeof value);
    for (uint64_t i = 0; i < 5000; i++) {
        put(s, STORE_ANSWER, 100000 + i, span_make(value, sizeof value), FAR);
    }
    settle(s);
    assert_true(store_stats(s).entries > 5000);
    assert_int_equal(store_stats(s).errors, 0);
    assert_int_equal(store_results[1], 0);
    assert_true(exists("unsynced"));
    store_configure(s, 24 * MB, true);
    settle(s);
    assert_false(exists("unsynced"));
    store_close(s);
    s = store_begin(24 * MB);
    assert_int_equal(strlen(get(s, 104999)), sizeof value);
    store_close(s);
}

/* ---- notes ---- */

static bool match_all(const void *filter, struct span value)
{
    (void)filter;
    (void)value;
    return true;
}

static void notes_outlive_eviction_purge_sweep_and_restart(void **state)
{
    enum { SMALL = 1024 * 1024 };
    static char block[64 * 1024];
    (void)state;
    struct store *s = store_begin(SMALL);
    note(s, "day/1", SPAN("one"), FAR, 0);
    note(s, "day/2", SPAN("two"), FAR, 0);
    settle(s);
    for (uint64_t i = 0; i < 64; i++) {
        put(s, STORE_ANSWER, i, span_make(block, sizeof block), FAR);
        settle(s);
    }
    assert_true(store_stats(s).evicted > 0);
    assert_notes(s, 1, "day/1=one;day/2=two;");
    struct store_job *sweep = store_job_new(STORE_SWEEP);
    sweep->now.us = FAR;
    sweep->done = store_job_done;
    store_submit(s, sweep);
    struct store_job *purge = store_job_new(STORE_PURGE);
    purge->match = match_all;
    purge->done = store_job_done;
    store_submit(s, purge);
    settle(s);
    assert_int_equal(store_stats(s).entries, 0);
    assert_notes(s, 1, "day/1=one;day/2=two;");
    note(s, "day/1", SPAN("uno"), FAR, 0);
    store_close(s);
    s = store_begin(SMALL / 8); /* compacted */
    assert_notes(s, 1, "day/1=uno;day/2=two;");
    store_close(s);
    assert_int_equal(store_results[1], 0);
}

static void a_note_is_kept_until_it_expires(void **state)
{
    (void)state;
    struct store *s = store_begin(SIZE);
    note(s, "a", SPAN("1"), 100, 0);
    note(s, "b", SPAN(""), 200, 0);
    settle(s);
    assert_notes(s, 99, "a=1;b=;");
    assert_notes(s, 100, "b=;");
    note(s, "c", SPAN("3"), 300, 150);
    settle(s);
    assert_notes(s, 0, "b=;c=3;"); /* removed, not only passed over */
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            what_was_put_is_read_back_after_the_commit_and_after_a_restart, store_setup,
            store_teardown),
        cmocka_unit_test_setup_teardown(records_of_all_lengths_come_back_whole, store_setup,
                                        store_teardown),
        cmocka_unit_test_setup_teardown(hits_are_counted_beside_the_record, store_setup,
                                        store_teardown),
        cmocka_unit_test_setup_teardown(a_file_without_its_last_free_pages_is_whole, store_setup,
                                        store_teardown),
        cmocka_unit_test_setup_teardown(a_file_that_lacks_used_pages_is_set_aside, store_setup,
                                        store_teardown),
        cmocka_unit_test_setup_teardown(touches_are_committed_a_few_at_a_time, store_setup,
                                        store_teardown),
        cmocka_unit_test_setup_teardown(eviction_spares_what_was_hit, store_setup, store_teardown),
        cmocka_unit_test_setup_teardown(a_file_that_is_too_large_is_compacted_at_the_start,
                                        store_setup, store_teardown),
        cmocka_unit_test_setup_teardown(other_sizes_hold_without_opening_again, store_setup,
                                        store_teardown),
        cmocka_unit_test_setup_teardown(notes_outlive_eviction_purge_sweep_and_restart, store_setup,
                                        store_teardown),
        cmocka_unit_test_setup_teardown(a_note_is_kept_until_it_expires, store_setup,
                                        store_teardown),
        cmocka_unit_test_setup_teardown(close_commits_what_is_queued, store_setup, store_teardown),
        cmocka_unit_test_setup_teardown(the_writer_can_be_held, store_setup, store_teardown),
        cmocka_unit_test_setup_teardown(finished_jobs_are_taken_a_few_at_a_time, store_setup,
                                        store_teardown),
        cmocka_unit_test_setup_teardown(one_commit_at_most_goes_by_under_a_reading, store_setup,
                                        store_teardown),
        cmocka_unit_test_setup_teardown(a_reader_between_readings_holds_up_one_commit, store_setup,
                                        store_teardown),
        cmocka_unit_test_setup_teardown(the_bound_is_kept_by_evicting_the_oldest, store_setup,
                                        store_teardown),
        cmocka_unit_test_setup_teardown(sweeping_removes_what_expired, store_setup, store_teardown),
        cmocka_unit_test_setup_teardown(purge_and_remove_count_what_they_removed, store_setup,
                                        store_teardown),
        cmocka_unit_test_setup_teardown(a_record_is_found_at_its_position_and_without_it,
                                        store_setup, store_teardown),
        cmocka_unit_test_setup_teardown(walking_goes_from_the_youngest_and_can_go_on, store_setup,
                                        store_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
