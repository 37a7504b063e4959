/* cache_answers.h: a cache in a folder of its own, and answers that are stored and looked up in one call. */
#ifndef TESTS_UNIT_CACHE_CACHE_ANSWERS_H
#define TESTS_UNIT_CACHE_CACHE_ANSWERS_H

#include "unit/cache/cache_support.h"

static struct cache *begin(bool keep_requests)
{
    struct cache_options o = {.dir = dir,
                              .settings = {.max_size = 8 * 1024 * 1024,
                                           .durability = DURABILITY_GROUP,
                                           .keep_requests = keep_requests}};
    struct cache *c = cache_create(loop, &o);
    assert_string_equal(cache_state(c), "on");
    return c;
}

static const wall_t NOW = {4000000000 * USEC_PER_S}; /* beyond every sweep */
static const wall_t LATER = {4000001000 * USEC_PER_S};

static struct cache_key key(const struct cache *c, const char *material)
{
    struct span s = span_of(material);
    return (struct cache_key){
        .hash = hash_key_of(cache_secret(c), s), .head = s, .body = SPAN_NONE};
}

static enum err store_as(struct cache *c, struct cache_key k, const char *kind, const char *answer,
                         int64_t *seq)
{
    struct cache_put put = {.key = k,
                            .kind = span_of(kind),
                            .scope = SPAN("01020304"),
                            .model = SPAN("m"),
                            .upstream = SPAN("default"),
                            .created = NOW,
                            .expires = LATER,
                            .stale = USEC_PER_S,
                            .model_time = 7,
                            .tokens = 11,
                            .answer = span_of(answer),
                            .request = SPAN("the request as people see it")};
    return cache_store_answer(c, &put, cache_generation(c), seq);
}

static void expect(struct cache *c, struct cache_key k, enum cache_result want, const char *answer)
{
    struct cache_hit hit;
    enum cache_result got = cache_find_answer(c, &k, NOW, &hit);
    assert_int_equal(got, want);
    if (got == CACHE_HIT || got == CACHE_PENDING) {
        assert_span(hit.answer, answer);
        assert_int_equal(hit.model_time, 7);
        assert_int_equal(hit.tokens, 11);
        cache_count_hit(c, &hit);
        cache_release(c);
    }
}

#endif
