/* test_cache_records.c: answers by fingerprint, on a real store: what is pending, what is
 * committed, and what must never be served.
 */
#include "unit/cache/cache_support.h"

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

static struct cache *begin_with(int64_t max_size)
{
    struct cache_options o = {.dir = dir,
                              .settings = {.max_size = max_size, .keep_requests = true}};
    return cache_create(loop, &o);
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

static void expect_twice_hit(struct cache *c, struct cache_key k)
{
    for (int i = 0; i < 2; i++) {
        struct cache_hit hit;
        assert_int_equal(cache_find_answer(c, &k, NOW, &hit), CACHE_PENDING);
        cache_count_hit(c, &hit);
        cache_release(c);
    }
}

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
        assert_int_equal(teardown(NULL) + setup_counts(NULL), 0);
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
        assert_int_equal(teardown(NULL) + setup_counts(NULL), 0);
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
        CACHE_TEST(an_answer_is_there_before_and_after_its_commit),
        CACHE_TEST(expired_answers_are_misses),
        CACHE_TEST(a_hash_alone_never_serves_an_answer),
        CACHE_TEST(a_kept_request_says_what_its_key_asks),
        CACHE_TEST(a_request_is_digested_only_where_it_is_not_kept),
        CACHE_TEST(an_exact_record_counts_only_with_its_answer),
        CACHE_TEST(observed_answers_are_seen_by_observing_lookups_only),
        CACHE_TEST(a_purge_is_final),
        CACHE_TEST(without_requests_nothing_of_them_is_on_disk),
        CACHE_TEST(what_is_pending_has_a_bound),
        CACHE_TEST(other_sizes_take_effect_and_nothing_pending_is_lost),
        CACHE_TEST(pending_answers_are_listed_and_counted),
        CACHE_TEST(hits_of_many_records_are_counted),
        CACHE_TEST(the_table_of_hits_is_bounded),
        CACHE_TEST(an_answer_and_its_exact_key_are_one_record),
        CACHE_TEST(an_exact_key_does_not_lead_to_an_answer_that_was_replaced),
        CACHE_TEST(an_exact_record_stands_for_its_own_bytes_only),
        CACHE_TEST(an_exact_record_holds_no_text_of_its_own),
        CACHE_TEST(an_exact_record_without_an_answer_is_not_kept),
        CACHE_TEST(the_state_follows_the_disk_both_ways),
        CACHE_TEST(a_directory_that_is_removed_is_made_again),
        CACHE_TEST(a_directory_in_use_means_no_cache_and_no_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
