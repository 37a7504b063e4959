/* test_cache_room.c: what an answer costs in the data file, with its exact record. */
#include "unit/cache/cache_support.h"

#include <sys/stat.h>

static struct cache *begin(int64_t max_size, bool keep_requests)
{
    struct cache_options o = {.dir = dir,
                              .settings = {.max_size = max_size,
                                           .durability = DURABILITY_OS,
                                           .keep_requests = keep_requests}};
    struct cache *c = cache_create(loop, &o);
    assert_string_equal(cache_state(c), "on");
    return c;
}

static int64_t file_size(void)
{
    struct stat st;
    char path[128];
    snprintf(path, sizeof path, "%s/data.mdb", dir);
    assert_int_equal(stat(path, &st), 0);
    return (int64_t)st.st_size;
}

static const wall_t NOW = {4000000000 * USEC_PER_S};
static const wall_t LATER = {4000001000 * USEC_PER_S};
enum { ANSWER = 100, BODY_MAX = 32 * 1024, HEAD = 200 };

/* Request n of a size, as fingerprint_exact() makes it: a head of about 200 bytes, the body as it
 * came. */
static struct cache_key exact_key(const struct cache *c, char *memory, size_t n, size_t size)
{
    memset(memory, 'h', HEAD);
    char *body = memory + HEAD;
    int len = snprintf(body, BODY_MAX, "{\"model\":\"m\",\"messages\":\"request %zu ", n);
    memset(body + len, 'a' + (int)(n % 26), size - (size_t)len);
    return (struct cache_key){.hash = hash_key_of(cache_secret(c), span_make(memory, HEAD + size)),
                              .head = span_make(memory, HEAD),
                              .body = span_make(body, size)};
}

/* The same as a normalized key: other bytes that mean the same. */
static struct cache_key normalized_key(const struct cache *c, struct cache_key raw)
{
    struct cache_key key = {.head = SPAN("2 the meaning of"), .body = raw.body};
    struct hash_state h;
    hash_begin(&h, cache_secret(c));
    hash_update(&h, key.head.ptr, key.head.len);
    hash_update(&h, key.body.ptr, key.body.len);
    key.hash = hash_end(&h);
    return key;
}

static void keep(struct cache *c, size_t n, size_t size)
{
    static char memory[HEAD + BODY_MAX], answer[ANSWER];
    int64_t seq = 0;
    struct cache_key raw = exact_key(c, memory, n, size), key = normalized_key(c, raw);
    memset(answer, 'A', sizeof answer);
    struct cache_put put = {.key = key,
                            .kind = SPAN("title"),
                            .scope = SPAN("01020304"),
                            .model = SPAN("some-model:3b"),
                            .upstream = SPAN("default"),
                            .created = NOW,
                            .expires = LATER,
                            .answer = span_make(answer, sizeof answer),
                            .request = raw.body};
    assert_int_equal(cache_store_answer(c, &put, cache_generation(c), &seq), ERR_OK);
    assert_int_equal(cache_store_exact(c, &raw, key.hash, seq, SPAN("some-model:3b"), LATER,
                                       cache_generation(c)),
                     ERR_OK);
    if (n % 500 == 499) { /* the writer works while nothing is read: the same pages every time */
        cache_hold_writer(c, false);
        cache_flush(c);
        cache_hold_writer(c, true);
    }
}

static void settle(struct cache *c)
{
    cache_hold_writer(c, false);
    cache_flush(c);
}

static bool is_hit(struct cache *c, size_t n, size_t size)
{
    static char memory[HEAD + BODY_MAX];
    struct cache_hit hit;
    struct cache_key raw = exact_key(c, memory, n, size);
    bool found = cache_find_exact(c, &raw, NOW, &hit) == CACHE_HIT;
    if (found) {
        assert_int_equal(hit.answer.len, ANSWER);
        cache_release(c);
    }
    return found;
}

/* At most 1.3 times request and answer, and 1 KB, for each: the text of a request stands once. */
static void an_answer_costs_little_more_than_its_request(void **state)
{
    static const size_t sizes[] = {400,  700,  1000, 1500,  2048, 3000,
                                   4000, 6000, 8192, 15000, 30000};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t count = sizes[i] < 2500 ? 20000 : 50000000 / sizes[i];
        struct cache *c = begin((int64_t)256 * 1024 * 1024, true);
        int64_t before = file_size();
        for (size_t n = 0; n < count; n++) {
            keep(c, n, sizes[i]);
        }
        settle(c);
        double each = (double)(file_size() - before) / (double)count;
        for (size_t n = 0; n < count; n++) {
            assert_true(is_hit(c, n, sizes[i]));
        }
        double bound = 1.3 * (double)(sizes[i] + ANSWER) + 1024;
        print_message("request %5zu: %6.0f bytes, at most %6.0f\n", sizes[i], each, bound);
        assert_true(each <= bound);
        cache_destroy(c);
        assert_int_equal(teardown(NULL) + setup(NULL), 0);
    }
}

/* 20,000 requests of 2 and 8 KB, 100 MB in all, have room in 256 MB. */
static void what_is_asked_twice_round_is_still_there(void **state)
{
    enum { N = 20000 };
    (void)state;
    struct cache *c = begin((int64_t)256 * 1024 * 1024, true);
    for (size_t n = 0; n < N; n++) {
        keep(c, n, n % 2 == 0 ? 2048 : 8192);
    }
    settle(c);
    for (size_t n = 0; n < N; n++) {
        assert_true(is_hit(c, n, n % 2 == 0 ? 2048 : 8192));
    }
    struct cache_stats stats = cache_stats(c);
    assert_int_equal(stats.entries, N);
    assert_int_equal(stats.evicted, 0);
    print_message("20,000 of 2 and 8 KB: %lld MB\n", (long long)file_size() / 1000000);
    cache_destroy(c);
}

/* Live bytes are what the file holds, whatever comes and goes. */
static void the_file_keeps_its_bound_while_answers_come_and_go(void **state)
{
    enum { MAX = 8 * 1024 * 1024 };
    (void)state;
    struct cache *c = begin(MAX, true);
    unsigned seed = 1;
    for (size_t n = 0; n < 12000; n++) {
        seed = seed * 1103515245 + 12345;
        keep(c, seed / 65536 % 6000, 100 + seed / 7 % 9000);
        assert_true(cache_stats(c).bytes <= MAX + CACHE_PENDING_BYTES);
    }
    settle(c);
    assert_true(cache_stats(c).bytes <= MAX);
    assert_true(cache_stats(c).entries > 500);
    assert_int_equal(cache_stats(c).errors, 0);
    assert_true(file_size() <= MAX + MAX / 4 + 4 * 1024 * 1024);
    cache_destroy(c);
}

#define ROOM_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROOM_TEST(an_answer_costs_little_more_than_its_request),
        ROOM_TEST(what_is_asked_twice_round_is_still_there),
        ROOM_TEST(the_file_keeps_its_bound_while_answers_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
