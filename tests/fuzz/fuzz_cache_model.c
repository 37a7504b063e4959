/* fuzz_cache_model.c: bytes as what is done with the cache on a real store, beside a model of what must
 * be there: answers are stored under normalized keys, of which some share a hash, and other requests
 * lead to them by exact keys, of which some share one too; they are looked up, removed, purged and
 * listed; the writer commits or is held, the loop has seen the commit or not yet, hits are written,
 * time passes, requests are kept or not, the file is closed and opened again. A crowd of answers comes
 * and is hit at once: more than the table of hits has room for. Memory is gone where hits are counted.
 *
 * What was stored and is not over is found, before and after its commit and over a restart, with the
 * bytes of the last answer to that very key; nothing else is. Each answer has the hits that were
 * counted. (The file is large enough: nothing is evicted.)
 * covers: path/cache/cache.c path/cache/pending.c path/cache/touches.c path/cache/material.c path/cache/codec.c path/cache/admin.c path/store/record.c path/store/jobs.c
 */
#include "support/choices.h"
#include "support/fake_loop.h"
#include "support/folder.h"
#include "support/short_memory.h"

#include "path/cache/cache_priv.h"
#include "path/store/store_priv.h"

#include "lull/base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    MEANINGS = 6,
    EXACTS = 12,
    HASHES = 5,
    CROWD = 150, /* answers of which each has a hash of its own, and no exact key */
    ALL_HASHES = HASHES + CROWD,
    STEPS_MOST = 400,
    CROWDS_MOST = 2, /* in a run: each takes milliseconds */
    NUMBERS_MOST = STEPS_MOST + CROWDS_MOST * CROWD,
    TEXT_MOST = 20000,
    ANSWER_MOST = 24000
};

/* The hashes of normalized keys, and of exact keys. */
static const unsigned meaning_hash[MEANINGS] = {0, 0, 1, 2, 2, 3};
static const unsigned meaning_body[MEANINGS] = {0, 0, 2, 3, 4, 5}; /* two differ in the head only */
static const unsigned exact_hash[EXACTS] = {0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 0, 1};

/* MAYBE: its removal is on its way; until that is over it may be there, or the one that it took the
 * place of. */
enum there { NO, MAYBE, YES };

struct kept_answer {
    enum there there;
    size_t removal; /* MAYBE: which one */
    unsigned meaning, number, flags;
    int64_t seq;
    wall_t created, fresh, kept;
    uint64_t hits;
};

struct kept_exact {
    bool set, sure; /* not sure: it may have been dropped, and the one before it is there */
    bool committed;
    unsigned exact, to; /* to: the hash of its answer record */
    int64_t seq;
    wall_t expires;
};

static struct loop *loop;
static struct cache *cache;
static char dir[64];
static bool keeps, hits_on_way; /* on_way: the writer has some */
static bool hits_uncounted;     /* the table of hits was full, or did not grow */
static bool table_is_short;     /* where the next hit is counted */
static unsigned crowds;
static unsigned hashes; /* in use: without those of the crowd before it comes */
static struct kept_answer answers[ALL_HASHES];
static struct kept_exact exacts[HASHES];
static unsigned answer_number, meaning_of[NUMBERS_MOST];
static size_t removals, removals_done;

/* short_memory.h: buffers of the test have no bound. */
static bool memory_counts(const struct buf *b, size_t len)
{
    (void)len;
    return b->max != SIZE_MAX;
}

static wall_t now(void)
{
    return loop_wall(loop);
}

/* ---- texts and keys ---- */

/* Bodies of requests of one meaning share most of their text, or nothing. */
static struct span request_text(unsigned exact, char out[TEXT_MOST + 64])
{
    static const size_t lengths[] = {30, 1500, 30, 17000};
    unsigned meaning = exact % MEANINGS;
    size_t fill = lengths[(exact / 2 + exact / MEANINGS) % 4];
    int n = snprintf(out, 64, "m%u; %s", meaning_body[meaning], exact < MEANINGS ? "one" : "other");
    memset(out + n, exact % 3 == 0 ? 'x' : (char)('a' + exact), fill);
    out[(size_t)n + fill] = (char)('A' + exact);
    return span_make(out, (size_t)n + fill + 1);
}

/* cache_means_fn */
static bool means(struct span request, unsigned flags, struct span body)
{
    (void)flags;
    size_t end = span_find(request, SPAN(";"), 0);
    return end != SIZE_MAX && span_eq(span_make(request.ptr, end), body);
}

static struct hash_key hash_of(unsigned index)
{
    return (struct hash_key){.hi = 0x9e3779b97f4a7c15ULL * (index + 1), .lo = index + 5};
}

/* Meanings from MEANINGS on are the crowd's. */
static unsigned hash_of_meaning(unsigned meaning)
{
    return meaning < MEANINGS ? meaning_hash[meaning] : meaning - MEANINGS + HASHES;
}

static struct cache_key normalized_key(unsigned meaning, char text[16])
{
    snprintf(text, 16, "m%u", meaning < MEANINGS ? meaning_body[meaning] : meaning);
    return (struct cache_key){.hash = hash_of(hash_of_meaning(meaning)),
                              .head = meaning % 2 == 0 ? SPAN("even ") : SPAN("odd "),
                              .body = span_of(text)};
}

static struct cache_key exact_key(unsigned exact, char head[32], char text[TEXT_MOST + 64])
{
    snprintf(head, 32, "POST /v1 by %u ", exact / 3);
    return (struct cache_key){.hash = hash_of(exact_hash[exact]),
                              .head = span_of(head),
                              .body = request_text(exact, text)};
}

static struct span answer_text(unsigned number, char out[ANSWER_MOST + 32])
{
    int n = snprintf(out, 32, "answer %u ", number);
    size_t fill = number % 7 == 3 ? 3000 : number % 7 == 5 ? ANSWER_MOST - 32 : number % 11;
    memset(out + n, (char)('0' + number % 10), fill);
    return span_make(out, (size_t)n + fill);
}

static struct span exact_model(unsigned exact, char out[16])
{
    snprintf(out, 16, "model %u", exact);
    return span_of(out);
}

/* ---- what must be found ---- */

static bool is_current(const struct kept_answer *a, bool stale, bool observing)
{
    return a->there != NO && now().us < a->kept.us && (stale || now().us < a->fresh.us) &&
           (observing || (a->flags & CACHE_FLAG_OBSERVED) == 0);
}

static bool must_be_there(const struct kept_answer *a)
{
    return a->there == YES && now().us < a->kept.us;
}

/* While a removal is on its way: whole, and of that hash. */
static void check_old(struct span text, unsigned hash)
{
    char whole[ANSWER_MOST + 32], number_text[32];
    unsigned number = 0;
    snprintf(number_text, sizeof number_text, "%.*s", text.len < 20 ? (int)text.len : 20, text.ptr);
    require(sscanf(number_text, "answer %5u ", &number) == 1 && number < answer_number);
    require(hash_of_meaning(meaning_of[number]) == hash &&
            span_eq(text, answer_text(number, whole)));
}

/* hit: that of an answer record, which is a's. */
static void check_hit(const struct cache_hit *hit, const struct kept_answer *a, unsigned hash)
{
    char text[ANSWER_MOST + 32];
    require(hash_key_eq(hit->id, hash_of(hash)) && hit->seq == a->seq);
    require(hit->created.us == a->created.us && hit->expires.us == a->fresh.us);
    require(hit->flags == a->flags && hit->tokens == a->number);
    require(span_eq(hit->answer, answer_text(a->number, text)));
    require(span_eq(hit->kind, a->number % 2 == 0 ? SPAN("title") : SPAN("tags")));
}

static bool found(enum cache_result got)
{
    require(got != CACHE_OFF);
    return got == CACHE_HIT || got == CACHE_PENDING;
}

/* hash: ALL_HASHES: of any that is there: the exact key may lead to what it led to before. */
static void check_maybe(enum cache_result got, const struct cache_hit *hit, unsigned hash)
{
    unsigned i = 0;
    if (!found(got)) {
        return;
    }
    while (i < hashes && !hash_key_eq(hit->id, hash_of(i))) {
        i++;
    }
    require(i < hashes && (hash == ALL_HASHES || i == hash) && answers[i].there != NO);
    require(answers[i].there == MAYBE || hit->seq == answers[i].seq);
    check_old(hit->answer, i);
    cache_release(cache);
}

/* As a rule what is found is served, and counts; in a crowd always. */
static void serve(const struct cache_hit *hit, struct kept_answer *a)
{
    bool counts = a >= answers + HASHES || pick(4) > 0;
    size_t refused = memory_refused;
    if (counts) {
        table_refused = table_is_short;
        cache_count_hit(cache, hit);
        table_refused = table_is_short = false;
        a->hits++;
        hits_uncounted =
            hits_uncounted || memory_refused > refused || cache->touches.count >= CACHE_TOUCHES_MAX;
    }
    cache_release(cache);
}

/* how: 1 stale, 2 without counting collisions. Returns whether it is a hit. */
static bool look_up(unsigned meaning, unsigned how, bool observing)
{
    char text[16];
    unsigned hash = hash_of_meaning(meaning);
    struct kept_answer *a = &answers[hash];
    struct cache_key key = normalized_key(meaning, text);
    struct cache_hit hit;
    key.observing = observing;
    enum cache_result got = how == 1   ? cache_find_stale(cache, &key, now(), &hit)
                            : how == 2 ? cache_peek_answer(cache, &key, now(), &hit)
                                       : cache_find_answer(cache, &key, now(), &hit);
    bool may = is_current(a, how == 1, observing) && a->meaning == meaning;
    if (a->there == MAYBE) {
        check_maybe(got, &hit, hash);
        return false;
    }
    if (!found(got)) {
        require(!may || !must_be_there(a));
        return false;
    }
    require(may);
    check_hit(&hit, a, hash);
    serve(&hit, a);
    return true;
}

static void look_up_exact(unsigned exact, bool observing)
{
    char head[32], text[TEXT_MOST + 64], model[16];
    const struct kept_exact *e = &exacts[exact_hash[exact]];
    struct kept_answer *a = &answers[e->to];
    struct cache_key key = exact_key(exact, head, text);
    struct cache_hit hit;
    key.observing = observing;
    enum cache_result got = cache_find_exact(cache, &key, now(), &hit);
    bool may = e->set && e->exact == exact && e->seq == a->seq && now().us < e->expires.us &&
               is_current(a, false, observing);
    if (a->there == MAYBE || !e->sure) {
        check_maybe(got, &hit, e->set && e->sure ? e->to : ALL_HASHES);
        return;
    }
    if (!found(got)) {
        require(!may || !must_be_there(a));
        return;
    }
    require(may);
    check_hit(&hit, a, e->to);
    require(span_eq(hit.model, exact_model(exact, model)));
    serve(&hit, a);
}

/* ---- stores ---- */

static void store_exact(unsigned exact, unsigned hash, int64_t seq, wall_t expires)
{
    char head[32], text[TEXT_MOST + 64], model[16];
    struct cache_key key = exact_key(exact, head, text);
    const struct kept_answer *a = &answers[hash];
    bool late = pick(16) == 1;
    uint64_t generation = cache_generation(cache) - (late ? 1 : 0);
    enum err got = cache_store_exact(cache, &key, hash_of(hash), seq, exact_model(exact, model),
                                     expires, generation);
    if (late || got == ERR_NOT_FOUND) {
        require(got == (late ? ERR_BUSY : ERR_NOT_FOUND));
        require(late || a->seq != seq || !must_be_there(a));
        return;
    }
    require(got == ERR_OK && a->there != NO && (a->seq == seq || a->there == MAYBE));
    exacts[exact_hash[exact]] = (struct kept_exact){
        .set = true, .sure = true, .exact = exact, .to = hash, .seq = seq, .expires = expires};
}

/* life, stale: how long it is fresh, and kept beyond that. false: it comes too late. */
static bool put_answer(unsigned meaning, struct span request, usec_t life, usec_t stale,
                       unsigned flags, bool late)
{
    char norm[16], answer[ANSWER_MOST + 32];
    unsigned number = answer_number++, hash = hash_of_meaning(meaning);
    meaning_of[number] = meaning;
    wall_t fresh = {now().us + life};
    struct cache_put put = {.key = normalized_key(meaning, norm),
                            .kind = number % 2 == 0 ? SPAN("title") : SPAN("tags"),
                            .scope = SPAN("01020304"),
                            .model = number % 3 == 0 ? SPAN("small") : SPAN("m"),
                            .upstream = SPAN("default"),
                            .created = now(),
                            .expires = fresh,
                            .stale = stale,
                            .tokens = number,
                            .flags = flags,
                            .answer = answer_text(number, answer),
                            .request = request};
    int64_t seq = 0;
    enum err got = cache_store_answer(cache, &put, cache_generation(cache) - (late ? 1 : 0), &seq);
    require(got == (late ? ERR_BUSY : ERR_OK));
    if (late) {
        return false;
    }
    require(seq > answers[hash].seq);
    answers[hash] = (struct kept_answer){.there = YES,
                                         .meaning = meaning,
                                         .number = number,
                                         .flags = flags,
                                         .seq = seq,
                                         .created = put.created,
                                         .fresh = fresh,
                                         .kept = {fresh.us + stale}};
    return true;
}

static void store_answer(void)
{
    static const usec_t lives[] = {USEC_PER_S, 20 * USEC_PER_S, 3600 * USEC_PER_S};
    char head[32], text[TEXT_MOST + 64];
    unsigned exact = pick(EXACTS), meaning = exact % MEANINGS, hash = hash_of_meaning(meaning);
    bool late = pick(16) == 1;
    usec_t life = lives[pick(3)], stale = pick(3) == 0 ? 30 * USEC_PER_S : 0;
    unsigned flags = pick(6) == 1 ? CACHE_FLAG_OBSERVED : 0;
    if (!put_answer(meaning, exact_key(exact, head, text).body, life, stale, flags, late)) {
        return;
    }
    if (pick(5) > 0) { /* as a rule the request leads there at once */
        wall_t expires = answers[hash].fresh;
        store_exact(pick(6) == 1 ? pick(EXACTS) : exact, hash, answers[hash].seq,
                    pick(4) == 1 ? (wall_t){now().us + lives[pick(3)]} : expires);
    }
}

/* Some of it, from the first on. Each asks again at once, and hits. */
static void crowd_comes(void)
{
    char text[32];
    unsigned count = pick(2) == 0 ? CROWD : pick(CROWD + 1), again = pick(3);
    if (crowds == CROWDS_MOST) {
        return;
    }
    crowds++;
    hashes = ALL_HASHES;
    for (unsigned i = 0; i < count; i++) {
        snprintf(text, sizeof text, "m%u; of many", MEANINGS + i);
        (void)put_answer(MEANINGS + i, span_of(text), 3600 * USEC_PER_S, 0, 0, false);
    }
    for (unsigned i = 0; i < count * again; i++) {
        (void)look_up(MEANINGS + i % count, 0, false);
    }
}

/* ---- removals ---- */

static void on_removed(void *ctx, enum err result, uint64_t count)
{
    size_t number = *(size_t *)ctx;
    (void)count;
    require(result == ERR_OK && number == removals_done + 1);
    removals_done = number;
    for (size_t i = 0; i < hashes; i++) {
        answers[i].there =
            answers[i].there == MAYBE && answers[i].removal == number ? NO : answers[i].there;
    }
    free(ctx);
}

static size_t *begin_removal(void)
{
    size_t *number = mem_new(sizeof *number);
    *number = ++removals;
    return number;
}

static void is_removed(struct kept_answer *a)
{
    if (a->there == YES) {
        a->there = MAYBE;
        a->removal = removals;
    }
}

/* Where it is on its way, it goes with what it leads to. */
static void drop_exact(struct kept_exact *e, bool goes)
{
    e->sure = e->sure && (e->committed || !e->set || !goes);
}

static void remove_one(void)
{
    unsigned hash = pick(HASHES);
    cache_remove(cache, hash_of(hash), on_removed, begin_removal());
    is_removed(&answers[hash]);
    for (size_t i = 0; i < HASHES; i++) {
        drop_exact(&exacts[i], exacts[i].to == hash);
    }
}

static void purge(void)
{
    struct cache_filter f = {.kind = SPAN_NONE};
    unsigned how = pick(4);
    f.kind = how == 1 ? SPAN("title") : SPAN_NONE;
    f.model = how == 2 ? SPAN("small") : SPAN_NONE;
    f.older = how == 3 ? (wall_t){now().us - USEC_PER_S} : f.older;
    cache_purge(cache, &f, on_removed, begin_removal());
    for (size_t i = 0; i < hashes; i++) {
        const struct kept_answer *a = &answers[i];
        if ((how != 1 || a->number % 2 == 0) && (how != 2 || a->number % 3 == 0) &&
            (how != 3 || a->created.us < f.older.us)) {
            is_removed(&answers[i]);
        }
    }
    for (size_t i = 0; i < HASHES; i++) {
        drop_exact(&exacts[i], true);
    }
}

/* ---- the file ---- */

static void open_cache(void)
{
    struct cache_options o = {.dir = dir,
                              .settings = {.max_size = 64 * 1024 * 1024,
                                           .durability = DURABILITY_OS,
                                           .keep_requests = keeps}};
    cache = cache_create(loop, &o);
    require(strcmp(cache_state(cache), "on") == 0);
    cache_set_means_fn(cache, means);
    cache_hold_writer(cache, true);
}

static void check_committed(void)
{
    require(cache_stats(cache).pending_writes == 0 && removals_done == removals);
}

static void all_is_committed(void)
{
    for (size_t i = 0; i < HASHES; i++) {
        exacts[i].committed = true;
    }
}

/* The writer commits; the loop takes the finished jobs back, so that readings see the commit, or does
 * not yet. */
static void commit(bool seen)
{
    cache_hold_writer(cache, false);
    if (seen) {
        cache_flush(cache);
        hits_on_way = false;
        check_committed();
    } else {
        cache_hand_over(cache);
        store_flush(cache->store);
    }
    cache_hold_writer(cache, true);
    all_is_committed();
}

/* The same where nothing waits for it: the writer wakes the loop. */
static void commit_by_itself(void)
{
    struct store *s = cache->store;
    cache_hand_over(cache);
    for (int i = 0; i < 20000 && cache_stats(cache).pending_writes + (removals - removals_done) > 0;
         i++) {
        pthread_mutex_lock(&s->mutex);
        s->hold = false;
        s->hurry = true;
        pthread_cond_signal(&s->wake_writer);
        pthread_mutex_unlock(&s->mutex);
        usleep(20);
        fake_loop_settle(loop);
    }
    cache_hold_writer(cache, true);
    check_committed();
    all_is_committed();
}

static void open_again(void)
{
    cache_destroy(cache);
    require(removals_done == removals);
    all_is_committed();
    hits_on_way = false;
    open_cache();
}

/* Requests of a setting that was changed keep what they have. */
static void toggle_keeping(void)
{
    keeps = !keeps;
    struct cache_settings s = cache->settings;
    s.keep_requests = keeps;
    cache_configure(cache, &s);
}

/* ---- lists ---- */

static bool listed[ALL_HASHES];

static void check_info(void *ctx, const struct cache_info *info)
{
    char text[ANSWER_MOST + 32];
    unsigned hash = 0;
    (void)ctx;
    while (hash < hashes && !hash_key_eq(info->id, hash_of(hash))) {
        hash++;
    }
    require(hash < hashes && !listed[hash]);
    const struct kept_answer *a = &answers[hash];
    listed[hash] = true;
    require(a->there != NO);
    if (a->there == MAYBE) {
        check_old(info->answer, hash);
        return;
    }
    require(info->created.us == a->created.us && info->flags == a->flags);
    require(span_eq(info->answer, answer_text(a->number, text)));
    require(hits_on_way || hits_uncounted ? info->hits <= a->hits : info->hits == a->hits);
}

static void list(void)
{
    int64_t after = 0;
    size_t pages = 0;
    memset(listed, 0, sizeof listed);
    do {
        cache_list(cache, &(struct cache_filter){.kind = SPAN_NONE}, 1 + pick(6) + hashes / 4, 40,
                   after, check_info, NULL, &after);
    } while (after != 0 && ++pages < 1000);
    for (size_t i = 0; i < hashes; i++) {
        require(listed[i] || !must_be_there(&answers[i]));
    }
    for (unsigned i = 0; i < hashes; i++) {
        memset(listed, 0, sizeof listed);
        enum err got = cache_get(cache, hash_of(i), check_info, NULL);
        require(got == ERR_OK ? listed[i] : !must_be_there(&answers[i]));
    }
}

/* ---- one run ---- */

static void let_time_pass(void)
{
    static const usec_t times[] = {0, USEC_PER_S / 2, 6 * USEC_PER_S, 25 * USEC_PER_S,
                                   4000 * USEC_PER_S};
    fake_loop_advance(loop, times[pick(5)]);
    hits_on_way = true; /* every few seconds */
}

static void step(void)
{
    switch (pick(20)) {
    case 0:
    case 1:
    case 2:
    case 3:
        store_answer();
        break;
    case 4:
    case 5: { /* other bytes that mean the same */
        unsigned exact = pick(EXACTS), hash = meaning_hash[exact % MEANINGS];
        if (look_up(exact % MEANINGS, 0, false)) {
            store_exact(exact, hash, answers[hash].seq, answers[hash].fresh);
        }
        break;
    }
    case 6: { /* a record that may be another since */
        unsigned hash = pick(HASHES);
        store_exact(pick(EXACTS), hash, answers[hash].seq - pick(2), answers[hash].fresh);
        break;
    }
    case 7:
    case 8:
        (void)look_up(pick(MEANINGS), pick(3), pick(4) == 0);
        break;
    case 9:
    case 10:
    case 11:
        look_up_exact(pick(EXACTS), pick(4) == 0);
        break;
    case 12:
        remove_one();
        break;
    case 13:
        purge();
        break;
    case 14:
        commit(true);
        break;
    case 15:
        if (pick(2) == 0) {
            commit(false);
        } else {
            commit_by_itself();
        }
        break;
    case 16:
        let_time_pass();
        break;
    case 17:
        list();
        break;
    case 18:
        fake_loop_settle(loop);
        break;
    default:
        if (pick(4) == 0) {
            open_again();
        } else if (pick(4) == 0) {
            toggle_keeping();
        } else if (pick(8) == 1) {
            crowd_comes();
        } else if (pick(6) == 0) {
            table_is_short = true;
        } else {
            memory_left = pick(4) == 0 ? 0 : -1;
            cache_write_touches(cache, SIZE_MAX);
            memory_left = -1;
            hits_on_way = true;
        }
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    folder_make(dir, sizeof dir);
    choices = data;
    choices_left = size;
    keeps = pick(3) != 1;
    memset(answers, 0, sizeof answers);
    memset(exacts, 0, sizeof exacts);
    for (size_t i = 0; i < HASHES; i++) {
        exacts[i].sure = true;
    }
    removals = removals_done = answer_number = 0;
    hits_on_way = hits_uncounted = table_is_short = false;
    hashes = HASHES;
    crowds = 0;
    loop = loop_create();
    open_cache();
    for (int i = 0; i < STEPS_MOST && choices_left > 0; i++) {
        step();
    }
    commit(true);
    for (unsigned i = 0; i < EXACTS; i++) {
        look_up_exact(i, false);
        (void)look_up(i % MEANINGS, 0, false);
    }
    list();
    open_again();
    list();
    cache_destroy(cache);
    loop_destroy(loop);
    folder_remove(dir);
    return 0;
}
