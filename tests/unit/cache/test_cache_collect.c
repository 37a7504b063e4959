/* test_cache_collect.c: how the cache takes back what the writer has finished: a few in a turn of the
 * loop, and nothing is missed meanwhile.
 */
#include "support/check.h"

#include "path/cache/cache_priv.h"

#include <stdio.h>
#include <stdlib.h>

enum { ANSWERS = 5 * CACHE_COLLECT_JOBS + 7 };

struct scene {
    char dir[64];
    struct loop *loop;
    struct cache *cache;
    struct loop_deferred look;
    uint64_t inserted; /* at the look before */
    int looks, stop_at;
};

static const wall_t NOW = {4000000000 * USEC_PER_S}; /* beyond every sweep */
static const wall_t LATER = {4000001000 * USEC_PER_S};

static int setup(void **state)
{
    struct scene *s = mem_new(sizeof *s);
    *state = s;
    snprintf(s->dir, sizeof s->dir, "/tmp/lull-collect-XXXXXX");
    if (mkdtemp(s->dir) == NULL) {
        return -1;
    }
    s->loop = loop_create();
    const struct cache_options o = {.dir = s->dir,
                                    .settings = {.max_size = 16 * 1024 * 1024,
                                                 .durability = DURABILITY_GROUP,
                                                 .keep_requests = true}};
    s->cache = cache_create(s->loop, &o);
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;
    char command[128];
    loop_destroy(s->loop);
    snprintf(command, sizeof command, "rm -rf '%s'", s->dir);
    free(s);
    return system(command) == 0 ? 0 : -1;
}

/* The key of the n-th answer, which points into text. */
static struct cache_key key_of(const struct scene *s, int n, char text[16])
{
    snprintf(text, 16, "q%d", n);
    return (struct cache_key){.hash = hash_key_of(cache_secret(s->cache), span_of(text)),
                              .head = span_of(text),
                              .body = SPAN_NONE};
}

/* All is committed, and the loop is woken and does not know it yet. */
static void commit_all(struct scene *s)
{
    char text[16];
    int64_t seq = 0;
    for (int i = 0; i < ANSWERS; i++) {
        const struct cache_put put = {.key = key_of(s, i, text),
                                      .kind = SPAN("title"),
                                      .scope = SPAN("01020304"),
                                      .model = SPAN("m"),
                                      .upstream = SPAN("default"),
                                      .created = NOW,
                                      .expires = LATER,
                                      .answer = SPAN("a"),
                                      .request = span_of(text)};
        assert_int_equal(cache_store_answer(s->cache, &put, cache_generation(s->cache), &seq),
                         ERR_OK);
    }
    cache_hand_over(s->cache);
    store_flush(s->cache->store);
    assert_int_equal(cache_stats(s->cache).pending_writes, ANSWERS);
}

static void expect_found(struct scene *s, int n)
{
    char text[16];
    struct cache_hit hit;
    const struct cache_key key = key_of(s, n, text);
    enum cache_result found = cache_find_answer(s->cache, &key, NOW, &hit);
    assert_true(found == CACHE_HIT || found == CACHE_PENDING);
    assert_span(hit.answer, "a");
    cache_release(s->cache);
}

/* Once in each turn: what was taken back since the look before. */
static void look(void *ctx)
{
    struct scene *s = ctx;
    uint64_t inserted = cache_stats(s->cache).inserted;
    assert_true(inserted - s->inserted <= CACHE_COLLECT_JOBS);
    assert_int_equal(cache_stats(s->cache).pending_writes, ANSWERS - inserted);
    expect_found(s, 0);
    expect_found(s, ANSWERS - 1);
    s->inserted = inserted;
    s->looks++;
    assert_true(s->looks <= ANSWERS); /* something comes with each */
    if (inserted == ANSWERS || s->looks == s->stop_at) {
        loop_stop(s->loop);
    } else {
        loop_later(s->loop, &s->look);
    }
}

static void run_looks(struct scene *s, int stop_at)
{
    s->look = (struct loop_deferred){.fn = look, .ctx = s};
    s->stop_at = stop_at;
    loop_later(s->loop, &s->look);
    loop_run(s->loop);
}

static void a_group_comes_back_in_several_turns(void **state)
{
    struct scene *s = *state;
    commit_all(s);
    run_looks(s, -1);
    assert_true(s->looks >= ANSWERS / CACHE_COLLECT_JOBS);
    assert_int_equal(s->cache->pending.count, 0);
    assert_int_equal(s->cache->pending.bytes, 0);
    cache_destroy(s->cache);
}

/* What the writer finishes meanwhile comes behind it; a flush takes all at once. */
static void a_flush_takes_the_rest(void **state)
{
    struct scene *s = *state;
    commit_all(s);
    run_looks(s, 2);
    assert_true(s->inserted < ANSWERS);
    cache_flush(s->cache);
    assert_int_equal(cache_stats(s->cache).inserted, ANSWERS);
    assert_int_equal(cache_stats(s->cache).pending_writes, 0);
    cache_destroy(s->cache);
}

static void stops(void *ctx)
{
    loop_stop(ctx);
}

/* The turns that go on after the end of the cache call nothing of it. */
static void the_rest_ends_with_the_cache(void **state)
{
    struct scene *s = *state;
    commit_all(s);
    run_looks(s, 2);
    assert_true(s->inserted < ANSWERS);
    cache_destroy(s->cache);
    struct loop_deferred end = {.fn = stops, .ctx = s->loop};
    loop_later(s->loop, &end);
    loop_run(s->loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_group_comes_back_in_several_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(a_flush_takes_the_rest, setup, teardown),
        cmocka_unit_test_setup_teardown(the_rest_ends_with_the_cache, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
