/* test_cache_records.c: answers by fingerprint, on a real store: which one a look-up finds, before its commit and after
 * it, by what a request means and by its bytes, and what must never be served. */
#include "unit/cache/cache_answers.h"

static void an_answer_is_there_before_and_after_its_commit(void **state)
{
    int64_t seq = 0;
    (void)state;
    struct cache *c = begin(true);
    cache_hold_writer(c, true);
    expect(c, key(c, "q"), CACHE_MISS, NULL);
    assert_int_equal(store_as(c, key(c, "q"), "title", "a", &seq), ERR_OK);
    expect(c, key(c, "q"), CACHE_PENDING, "a");
    assert_int_equal(store_as(c, key(c, "q"), "title", "b", &seq), ERR_OK);
    expect(c, key(c, "q"), CACHE_PENDING, "b");
    cache_hold_writer(c, false);
    cache_flush(c);
    expect(c, key(c, "q"), CACHE_HIT, "b");
    assert_int_equal(cache_stats(c).pending_writes, 0);
    assert_int_equal(cache_stats(c).entries, 1);
    cache_destroy(c);
    c = begin(true);
    expect(c, key(c, "q"), CACHE_HIT, "b");
    cache_destroy(c);
}

static void expired_answers_are_misses(void **state)
{
    int64_t seq = 0;
    struct cache_hit hit;
    (void)state;
    struct cache *c = begin(true);
    struct cache_key k = key(c, "q");
    assert_int_equal(store_as(c, k, "title", "a", &seq), ERR_OK);
    cache_flush(c);
    assert_int_equal(cache_find_answer(c, &k, LATER, &hit), CACHE_MISS);
    cache_destroy(c);
}

/* Two questions with one hash: the material decides, pending or committed. */
static void a_hash_alone_never_serves_an_answer(void **state)
{
    int64_t seq = 0;
    (void)state;
    for (int keep = 0; keep < 2; keep++) {
        struct cache *c = begin(keep == 1);
        struct cache_key k = key(c, "mine"), forged = key(c, "not mine");
        forged.hash = k.hash;
        assert_int_equal(store_as(c, k, "title", "secret", &seq), ERR_OK);
        expect(c, forged, CACHE_MISS, NULL);
        cache_flush(c);
        expect(c, forged, CACHE_MISS, NULL);
        expect(c, k, CACHE_HIT, "secret");
        assert_int_equal(cache_stats(c).collisions, 2);
        cache_destroy(c);
    }
}

/* The body of a key, as the text of the request that is kept for it. */
static bool means_its_text(struct span request, unsigned flags, struct span body)
{
    return (flags & CACHE_FLAG_OLLAMA) == 0 && span_eq(request, body);
}

/* A record whose request says the body of its material, and has one digest of the head only: head
 * and body count, in turn for two heads, pending and committed, and after a restart. */
static void a_kept_request_says_what_its_key_asks(void **state)
{
    static const struct {
        const char *head, *body, *answer; /* NULL: of no record */
    } asked[] = {
        {"ann ", "the request as people see it", "hers"},
        {"bob ", "the request as people see it", "his"},
        {"eve ", "the request as people see it", NULL},
        {"ann ", "another request", NULL},
        {"ann the ", "request as people see it", NULL},
        {"ann the request as people see it", "", NULL},
    };
    enum { ASKED = sizeof asked / sizeof asked[0], STORED = 2 };
    int64_t seq = 0;
    (void)state;
    for (int again = 0; again < 3; again++) { /* 2: nothing says what a request means */
        struct cache *c = begin(true);
        cache_set_means_fn(c, again == 2 ? NULL : means_its_text);
        uint64_t collisions = 0;
        for (size_t i = 0; i < STORED && again == 0; i++) {
            struct cache_key k = key(c, asked[i].head);
            k.body = span_of(asked[i].body);
            assert_int_equal(store_as(c, k, "title", asked[i].answer, &seq), ERR_OK);
        }
        for (size_t i = 0; i < 2 * STORED * ASKED; i++) { /* the hash of one record */
            size_t of = i % STORED, text = i / STORED % ASKED;
            struct cache_key k = key(c, asked[of].head);
            k.head = span_of(asked[text].head);
            k.body = span_of(asked[text].body);
            bool own = again < 2 && text == of;
            bool pending = again == 0 && i < STORED * ASKED;
            expect(c, k,
                   !own      ? CACHE_MISS
                   : pending ? CACHE_PENDING
                             : CACHE_HIT,
                   asked[text].answer);
            collisions += own ? 0 : 1;
            if (i == STORED * ASKED - 1) {
                cache_flush(c);
            }
        }
        assert_int_equal(cache_stats(c).collisions, collisions);
        cache_destroy(c);
    }
}

/* Nothing of a request's text goes into a record's digest but where nothing else says it. */
static void a_request_is_digested_only_where_it_is_not_kept(void **state)
{
    int64_t seq = 0;
    (void)state;
    for (int keep = 0; keep < 2; keep++) {
        struct cache *c = begin(keep == 1);
        cache_set_means_fn(c, means_its_text);
        struct answer_record v[2];
        struct cache_key k = key(c, "head");
        for (int i = 0; i < 2; i++) {
            k.body = i == 0 ? SPAN("one request") : SPAN("the other one");
            assert_int_equal(store_as(c, k, "title", "a", &seq), ERR_OK);
            const struct store_job *job = pending_find(&c->pending, STORE_ANSWER, k.hash);
            assert_int_equal(answer_record_decode(buf_span(&job->value), &v[i]), ERR_OK);
            assert_int_equal(v[i].by_request, keep);
            assert_int_equal(v[i].flags, 0);
        }
        assert_int_equal(memcmp(v[0].digest, v[1].digest, HASH_SHA256_BYTES) == 0, keep);
        cache_destroy(c);
    }
}

static void an_exact_record_counts_only_with_its_answer(void **state)
{
    int64_t seq = 0, newer = 0;
    struct cache_hit hit;
    (void)state;
    struct cache *c = begin(true);
    struct cache_key entry = key(c, "meaning"), raw = key(c, "raw bytes");
    assert_int_equal(cache_find_exact(c, &raw, NOW, &hit), CACHE_MISS);
    assert_int_equal(store_as(c, entry, "title", "a", &seq), ERR_OK);
    assert_int_equal(
        cache_store_exact(c, &raw, entry.hash, seq, SPAN("as asked"), LATER, cache_generation(c)),
        ERR_OK);
    for (int committed = 0; committed < 2; committed++) {
        assert_int_equal(cache_find_exact(c, &raw, NOW, &hit),
                         committed ? CACHE_HIT : CACHE_PENDING);
        assert_span(hit.model, "as asked");
        assert_span(hit.answer, "a");
        assert_span(hit.kind, "title");
        cache_release(c);
        cache_flush(c);
    }
    assert_int_equal(store_as(c, entry, "title", "b", &newer), ERR_OK);
    assert_int_equal(cache_find_exact(c, &raw, NOW, &hit), CACHE_MISS);
    cache_destroy(c);
}

/* What was seen while observing is counted by observing look-ups and served to none; an ordinary
 * answer takes its place. */
static void observed_answers_are_seen_by_observing_lookups_only(void **state)
{
    int64_t seq = 0;
    struct cache_hit hit;
    (void)state;
    struct cache *c = begin(true);
    struct cache_key plain = key(c, "q"), observing = plain, raw = key(c, "raw bytes");
    struct cache_put put = {.key = plain,
                            .kind = SPAN("title"),
                            .created = NOW,
                            .expires = LATER,
                            .stale = USEC_PER_S,
                            .flags = CACHE_FLAG_OBSERVED,
                            .answer = SPAN("seen")};
    observing.observing = true;
    assert_int_equal(cache_store_answer(c, &put, cache_generation(c), &seq), ERR_OK);
    assert_int_equal(
        cache_store_exact(c, &raw, plain.hash, seq, SPAN("as asked"), LATER, cache_generation(c)),
        ERR_OK);
    for (int committed = 0; committed < 2; committed++) {
        enum cache_result found = committed ? CACHE_HIT : CACHE_PENDING;
        raw.observing = false;
        assert_int_equal(cache_find_answer(c, &plain, NOW, &hit), CACHE_MISS);
        assert_int_equal(cache_peek_answer(c, &plain, NOW, &hit), CACHE_MISS);
        assert_int_equal(cache_find_stale(c, &plain, LATER, &hit), CACHE_MISS);
        assert_int_equal(cache_find_exact(c, &raw, NOW, &hit), CACHE_MISS);
        assert_int_equal(cache_find_answer(c, &observing, NOW, &hit), found);
        assert_int_equal(hit.flags, CACHE_FLAG_OBSERVED);
        cache_release(c);
        raw.observing = true;
        assert_int_equal(cache_find_exact(c, &raw, NOW, &hit), found);
        cache_release(c);
        cache_flush(c);
    }
    assert_int_equal(store_as(c, plain, "title", "served", &seq), ERR_OK);
    expect(c, plain, CACHE_PENDING, "served");
    expect(c, observing, CACHE_PENDING, "served");
    assert_int_equal(cache_stats(c).collisions, 0);
    cache_destroy(c);
}

static void without_requests_nothing_of_them_is_on_disk(void **state)
{
    int64_t seq = 0;
    char command[256];
    (void)state;
    struct cache *c = begin(false);
    assert_int_equal(store_as(c, key(c, "xyzzy material"), "title", "a", &seq), ERR_OK);
    cache_flush(c);
    expect(c, key(c, "xyzzy material"), CACHE_HIT, "a");
    expect(c, key(c, "xyzzy other"), CACHE_MISS, NULL);
    cache_destroy(c);
    snprintf(command, sizeof command, "! grep -aq -e xyzzy -e 'as people see' '%s/data.mdb'", dir);
    assert_int_equal(system(command), 0);
}

/* What stands under an exact key is the answer record itself where both were stored in one go. */
static enum store_table table_of(struct cache *c, struct cache_key raw)
{
    struct store_record r;
    store_read_begin(c->store);
    assert_int_equal(store_get(c->store, STORE_EXACT, raw.hash, &r), ERR_OK);
    store_read_end(c->store);
    return r.table;
}

static void an_answer_and_its_exact_key_are_one_record(void **state)
{
    static const struct {
        bool later;     /* another job comes between the two */
        int64_t before; /* the exact record expires so much before the answer */
        enum store_table table;
    } rows[] = {{false, 0, STORE_ANSWER}, {true, 0, STORE_EXACT}, {false, 1, STORE_EXACT}};
    struct cache_hit hit;
    int64_t seq = 0, other = 0;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cache *c = begin(true);
        struct cache_key entry = key(c, "meaning"), raw = key(c, "raw");
        assert_int_equal(store_as(c, entry, "title", "a", &seq), ERR_OK);
        if (rows[i].later) {
            assert_int_equal(store_as(c, key(c, "other"), "title", "b", &other), ERR_OK);
        }
        wall_t expires = {LATER.us - rows[i].before};
        assert_int_equal(
            cache_store_exact(c, &raw, entry.hash, seq, SPAN("m"), expires, cache_generation(c)),
            ERR_OK);
        cache_flush(c);
        assert_int_equal(cache_find_exact(c, &raw, NOW, &hit), CACHE_HIT);
        assert_int_equal(hit.seq, seq);
        assert_true(hash_key_eq(hit.id, entry.hash));
        cache_release(c);
        assert_int_equal(cache_find_exact(c, &raw, expires, &hit), CACHE_MISS);
        assert_int_equal(table_of(c, raw), rows[i].table);
        assert_int_equal(c->pending.bytes, 0);
        cache_destroy(c);
        assert_int_equal(teardown(NULL) + setup(NULL), 0);
    }
}

/* Before its commit and after it. */
static void an_exact_key_does_not_lead_to_an_answer_that_was_replaced(void **state)
{
    struct cache_hit hit;
    int64_t seq = 0;
    (void)state;
    for (int committed = 0; committed < 2; committed++) {
        struct cache *c = begin(true);
        struct cache_key entry = key(c, "meaning"), first = key(c, "1"), second = key(c, "2");
        cache_hold_writer(c, true);
        for (int i = 0; i < 2; i++) {
            const struct cache_key *raw = i == 0 ? &first : &second;
            assert_int_equal(store_as(c, entry, "title", i == 0 ? "old" : "new", &seq), ERR_OK);
            assert_int_equal(
                cache_store_exact(c, raw, entry.hash, seq, SPAN("m"), LATER, cache_generation(c)),
                ERR_OK);
            if (i == 0 && committed) {
                cache_hold_writer(c, false);
                cache_flush(c);
                cache_hold_writer(c, true);
            }
        }
        assert_int_equal(cache_find_exact(c, &first, NOW, &hit), CACHE_MISS);
        assert_int_equal(cache_find_exact(c, &second, NOW, &hit), CACHE_PENDING);
        assert_span(hit.answer, "new");
        cache_release(c);
        cache_hold_writer(c, false);
        cache_flush(c);
        assert_int_equal(cache_find_exact(c, &first, NOW, &hit), CACHE_MISS);
        assert_int_equal(cache_find_exact(c, &second, NOW, &hit), CACHE_HIT);
        cache_release(c);
        assert_int_equal(cache_stats(c).errors, 0);
        cache_destroy(c);
        assert_int_equal(teardown(NULL) + setup(NULL), 0);
    }
}

/* Exact records whose bytes are nearly, or not at all, those of the stored request. */
static void an_exact_record_stands_for_its_own_bytes_only(void **state)
{
    static const char *const bodies[] = {
        "the request as people see it",
        "the request as PEOPLE see it",
        "the request see it",
        "the request as people see it !",
        "it",
        "",
        "something that has nothing to do with that request, at any place of it, and is longer "
        "than "
        "what an exact record holds beside the request: so it is kept as a digest, and compared as "
        "one"};
    enum { N = sizeof bodies / sizeof bodies[0] };
    (void)state;
    for (size_t turn = 0; turn < 2 * N; turn++) { /* each of them is the one in the answer record */
        struct cache *c = begin(turn % 2 == 1);
        struct cache_key entry = key(c, "meaning");
        int64_t seq = 0;
        assert_int_equal(store_as(c, entry, "title", "a", &seq), ERR_OK);
        for (size_t i = 0; i < N; i++) {
            const char *body = bodies[(i + turn / 2) % N];
            struct cache_key raw = key(c, body);
            raw.head = SPAN("head");
            raw.body = span_of(body);
            assert_int_equal(
                cache_store_exact(c, &raw, entry.hash, seq, SPAN("m"), LATER, cache_generation(c)),
                ERR_OK);
        }
        for (int committed = 0; committed < 2; committed++) {
            for (size_t i = 0; i < N * N; i++) { /* the hash of one, the bytes of another */
                struct cache_hit hit;
                struct cache_key raw = key(c, bodies[i / N]);
                raw.head = SPAN("head");
                raw.body = span_of(bodies[i % N]);
                enum cache_result found = cache_find_exact(c, &raw, NOW, &hit);
                bool same = i / N == i % N;
                assert_int_equal(found != CACHE_MISS, same);
                if (same) {
                    cache_release(c);
                    raw.head = SPAN("HEAD");
                    assert_int_equal(cache_find_exact(c, &raw, NOW, &hit), CACHE_MISS);
                }
            }
            cache_flush(c);
        }
        cache_destroy(c);
    }
}

/* A body that is not the stored request is kept as its SHA-256, however long. */
static void an_exact_record_holds_no_text_of_its_own(void **state)
{
    static char body[8192];
    int64_t seq = 0;
    (void)state;
    struct cache *c = begin(true);
    memset(body, 'b', sizeof body);
    assert_int_equal(store_as(c, key(c, "q"), "title", "a", &seq), ERR_OK);
    size_t before = c->pending.bytes;
    struct cache_key raw = {.hash = {1, 2}, .head = SPAN("h"), .body = {body, sizeof body}};
    assert_int_equal(
        cache_store_exact(c, &raw, key(c, "q").hash, seq, SPAN("m"), LATER, cache_generation(c)),
        ERR_OK);
    assert_true(c->pending.bytes - before < 256);
    cache_destroy(c);
}

static void an_exact_record_without_an_answer_is_not_kept(void **state)
{
    int64_t seq = 0;
    (void)state;
    struct cache *c = begin(true);
    struct cache_key raw = key(c, "raw");
    assert_int_equal(
        cache_store_exact(c, &raw, key(c, "none").hash, 1, SPAN("m"), LATER, cache_generation(c)),
        ERR_NOT_FOUND);
    assert_int_equal(store_as(c, key(c, "q"), "title", "a", &seq), ERR_OK);
    assert_int_equal(cache_store_exact(c, &raw, key(c, "q").hash, seq + 9, SPAN("m"), LATER,
                                       cache_generation(c)),
                     ERR_NOT_FOUND);
    cache_destroy(c);
}

#define CACHE_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CACHE_TEST(an_answer_is_there_before_and_after_its_commit),
        CACHE_TEST(expired_answers_are_misses),
        CACHE_TEST(a_hash_alone_never_serves_an_answer),
        CACHE_TEST(a_kept_request_says_what_its_key_asks),
        CACHE_TEST(a_request_is_digested_only_where_it_is_not_kept),
        CACHE_TEST(an_exact_record_counts_only_with_its_answer),
        CACHE_TEST(observed_answers_are_seen_by_observing_lookups_only),
        CACHE_TEST(without_requests_nothing_of_them_is_on_disk),
        CACHE_TEST(an_answer_and_its_exact_key_are_one_record),
        CACHE_TEST(an_exact_key_does_not_lead_to_an_answer_that_was_replaced),
        CACHE_TEST(an_exact_record_stands_for_its_own_bytes_only),
        CACHE_TEST(an_exact_record_holds_no_text_of_its_own),
        CACHE_TEST(an_exact_record_without_an_answer_is_not_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
