/* cache.c: look-ups and stores. The life of the store behind them is in opening.c.
 *
 * RECORDS. An answered request leaves one record in the store, with two keys:
 *
 *   exact key: the request's bytes ----->  answer record  <----- normalized key: what the request means
 *                                          answer, request as it came, SHA-256 of the normalized key's
 *                                          material (material.c), what the exact key's has beside the
 *                                          request (codec.c)
 *
 * Other bytes that mean the same, and find it by its normalized key, leave an exact record, which
 * holds id and sequence number of the answer record and what these bytes have beside its request:
 *
 *   exact key ---> exact record ---> answer record
 *
 * A hash only finds a record; the key's material is compared as well, byte for byte, by its
 * SHA-256, or by what the kept request means. The text of a request stands once. An exact record is
 * a hit only with the answer record whose sequence number it holds: one whose answer was replaced,
 * removed or evicted is dead. The writer removes dead ones with a purge, or by their age. The exact
 * key of an answer record goes with it.
 *
 * cache_store_answer() keeps the job that writes the record until the end of the turn, or the next
 * job: cache_store_exact(), which follows it at once, adds the exact key.
 *
 * PENDING WRITES. A put is encoded into a job for the store's writer thread, and the job stays in
 * `pending` (pending.c) until it is collected after its commit. A look-up asks `pending` first,
 * then the map: so an answer is found from cache_store_answer() on, without a gap. The table is
 * bounded; when it is full, answers are not kept.
 *
 * GENERATIONS. cache_remove() and cache_purge() drop what matches from `pending`, queue the removal
 * behind the puts, and raise the generation. A put names the generation of its flight's beginning:
 * an answer to a request from before a purge is not stored after it.
 *
 * OBSERVED ANSWERS. `mode = observe` stores what it sees with CACHE_FLAG_OBSERVED. Only a key with
 * `observing` finds such a record: it counts would-be hits and is never served.
 *
 * THE STORE may be closed (no permission, held by another daemon, damaged): then every look-up is
 * CACHE_OFF. Or it may be read and not written (the disk is full): then hits go on and nothing is
 * added. Either is tried again every ten seconds, and every change of state is logged once. None of
 * it fails a request.
 */
#include "path/cache/cache_priv.h"

#include "lull/base/log.h"

#include <stdio.h>

/* ---- look-ups ---- */

/* What stands under a hash. */
struct found {
    enum store_table table; /* STORE_ANSWER under an exact key: it leads there at once */
    struct hash_key key;    /* the record's own */
    struct span value;
    uint64_t rest, rest_checksum;
    int64_t seq, target; /* target: store_record.target */
    wall_t expires;
    bool pending;
};

static void report_damaged(struct cache *c)
{
    c->counts.errors++;
    log_error("cache", "a stored record is damaged; it is not used");
}

/* Reads what stands under a hash, pending or committed; at: where it was committed, 0: not known.
 * */
static bool read_value(struct cache *c, enum store_table table, struct hash_key hash, int64_t at,
                       struct found *f)
{
    const struct store_job *job = pending_find(&c->pending, table, hash);
    struct store_record record;
    if (job != NULL) {
        *f = (struct found){.table = job->table,
                            .key = job->key,
                            .value = buf_span(&job->value),
                            .seq = job->seq,
                            .expires = job->expires,
                            .pending = true};
        return true;
    }
    enum err e = store_get_at(c->store, table, hash, at, &record);
    if (e == ERR_CORRUPT) {
        report_damaged(c);
    }
    if (e != ERR_OK) {
        return false;
    }
    *f = (struct found){.table = record.table,
                        .key = record.key,
                        .value = record.value,
                        .rest = record.rest,
                        .rest_checksum = record.rest_checksum,
                        .seq = record.seq,
                        .target = record.target,
                        .expires = record.expires};
    return true;
}

/* Whether this key may see the answer record that was found: fresh, or kept beyond that (stale), and
 * not of a clock that was ahead, by which it would stay for years. Its material is not compared yet. */
static bool is_seen(const struct cache_key *key, wall_t now, bool stale, const struct found *f,
                    struct answer_record *v)
{
    return f->expires.us > now.us && answer_record_decode(f->value, v) == ERR_OK &&
           (stale || v->fresh.us > now.us) && !wall_is_ahead(v->created, now) &&
           (key->observing || (v->flags & CACHE_FLAG_OBSERVED) == 0);
}

static void fill_hit(struct cache_hit *hit, const struct found *f, const struct answer_record *v)
{
    *hit = (struct cache_hit){.id = f->key,
                              .seq = f->seq,
                              .kind = v->kind,
                              .created = v->created,
                              .expires = v->fresh,
                              .model_time = v->model_time,
                              .tokens = v->tokens,
                              .cost = v->cost,
                              .flags = v->flags,
                              .answer = v->answer};
}

static enum cache_result miss(struct cache *c)
{
    store_read_end(c->store);
    return CACHE_MISS;
}

enum { FIND_STALE = 1, FIND_UNCOUNTED = 2 };

static enum cache_result find_answer(struct cache *c, const struct cache_key *key, wall_t now,
                                     unsigned how, struct cache_hit *hit)
{
    bool counted = (how & FIND_UNCOUNTED) == 0;
    struct found f;
    struct answer_record v;
    if (c->store == NULL) {
        return CACHE_OFF;
    }
    store_read_begin(c->store);
    if (!read_value(c, STORE_ANSWER, key->hash, 0, &f) ||
        !is_seen(key, now, (how & FIND_STALE) != 0, &f, &v)) {
        return miss(c);
    }
    if (!material_matches(c, key, &v)) {
        if (v.by_request && !store_rest_is_good(f.value, f.rest, f.rest_checksum)) {
            report_damaged(c);
        } else {
            c->counts.collisions += counted ? 1 : 0;
        }
        return miss(c);
    }
    fill_hit(hit, &f, &v);
    return f.pending ? CACHE_PENDING : CACHE_HIT;
}

enum cache_result cache_find_answer(struct cache *c, const struct cache_key *key, wall_t now,
                                    struct cache_hit *hit)
{
    return find_answer(c, key, now, 0, hit);
}

enum cache_result cache_peek_answer(struct cache *c, const struct cache_key *key, wall_t now,
                                    struct cache_hit *hit)
{
    return find_answer(c, key, now, FIND_UNCOUNTED, hit);
}

enum cache_result cache_find_stale(struct cache *c, const struct cache_key *key, wall_t now,
                                   struct cache_hit *hit)
{
    return find_answer(c, key, now, FIND_STALE, hit);
}

bool cache_has_answer(struct cache *c, struct hash_key hash)
{
    if (c->store == NULL) {
        return false;
    }
    store_read_begin(c->store);
    bool there = pending_find(&c->pending, STORE_ANSWER, hash) != NULL ||
                 store_has(c->store, STORE_ANSWER, hash);
    store_read_end(c->store);
    return there;
}

/* Whether a newer answer of the same key waits to be written. */
static bool is_replaced(const struct cache *c, const struct found *f)
{
    const struct store_job *job = pending_find(&c->pending, STORE_ANSWER, f->key);
    return job != NULL && job->seq != f->seq;
}

/* An exact record's answer record is read at the position that the record's row names: one look-up
 * less. f is the answer record. */
static bool read_by_exact(struct cache *c, const struct cache_key *key, wall_t now, struct found *f,
                          struct answer_record *v)
{
    struct exact_record exact;
    if (!read_value(c, STORE_EXACT, key->hash, 0, f)) {
        return false;
    }
    if (f->table == STORE_ANSWER) {
        return !is_replaced(c, f) && is_seen(key, now, false, f, v) && v->has_exact;
    }
    if (f->expires.us <= now.us || exact_record_decode(f->value, &exact) != ERR_OK ||
        !read_value(c, STORE_ANSWER, exact.answer, f->target, f) || f->seq != exact.seq ||
        !is_seen(key, now, false, f, v)) {
        return false;
    }
    v->exact = exact.text;
    return true;
}

/* The request needs no checksum: it is compared with the key, byte for byte. */
enum cache_result cache_find_exact(struct cache *c, const struct cache_key *key, wall_t now,
                                   struct cache_hit *hit)
{
    struct found f;
    struct answer_record v;
    if (c->store == NULL) {
        return CACHE_OFF;
    }
    store_read_begin(c->store);
    if (!read_by_exact(c, key, now, &f, &v)) {
        return miss(c);
    }
    if (!exact_text_matches(&v.exact, v.request, key)) {
        if (store_rest_is_good(f.value, f.rest, f.rest_checksum)) {
            c->counts.collisions++;
        } else {
            report_damaged(c);
        }
        return miss(c);
    }
    fill_hit(hit, &f, &v);
    hit->model = v.exact.model;
    return f.pending ? CACHE_PENDING : CACHE_HIT;
}

void cache_count_hit(struct cache *c, const struct cache_hit *hit)
{
    cache_touch(c, hit->id, hit->seq);
}

void cache_release(struct cache *c)
{
    if (c->store != NULL) {
        store_read_end(c->store);
    }
}

/* ---- stores ---- */

void cache_hand_over(void *arg)
{
    struct cache *c = arg;
    if (c->open != NULL) {
        struct store_job *job = c->open;
        c->open = NULL;
        loop_defer_cancel(c->loop, &c->open_work);
        store_submit(c->store, job);
    }
}

void cache_submit(struct cache *c, struct store_job *job)
{
    cache_hand_over(c);
    store_submit(c->store, job);
}

static void put_done(struct store_job *job, enum err result, uint64_t count)
{
    struct cache *c = job->ctx;
    (void)count;
    if (result == ERR_OK && job->table == STORE_ANSWER) {
        c->counts.inserted++;
    }
    pending_drop(&c->pending, job);
    store_job_free(job);
}

static size_t max_value(const struct cache *c)
{
    return (size_t)c->settings.max_size / 64;
}

static enum err submit_put(struct cache *c, struct store_job *job)
{
    enum err e = job->value.len > max_value(c) ? ERR_TOO_LARGE : pending_add(&c->pending, job);
    if (e != ERR_OK) {
        store_job_free(job);
        return e;
    }
    job->done = put_done;
    job->ctx = c;
    cache_hand_over(c);
    if (job->table == STORE_ANSWER) {
        c->open = job;
        loop_defer(c->loop, &c->open_work);
    } else {
        store_submit(c->store, job);
    }
    return ERR_OK;
}

static enum err check_storable(const struct cache *c, uint64_t generation)
{
    if (c->store == NULL) {
        return ERR_IO;
    }
    if (strcmp(c->state, "on") != 0) {
        return ERR_FULL; /* the writer would refuse it */
    }
    return generation == c->generation ? ERR_OK : ERR_BUSY;
}

static struct store_job *new_put(struct cache *c, enum store_table table, struct hash_key key,
                                 wall_t expires)
{
    struct store_job *job = store_job_new(STORE_PUT);
    job->table = table;
    job->key = key;
    job->expires = expires;
    job->seq = store_next_seq(c->store);
    job->value.max = 64 * 1024 * 1024;
    return job;
}

enum err cache_store_answer(struct cache *c, const struct cache_put *put, uint64_t generation,
                            int64_t *seq)
{
    enum err e = check_storable(c, generation);
    if (e != ERR_OK) {
        return e;
    }
    wall_t kept = {put->expires.us + put->stale};
    struct answer_record v = {.created = put->created,
                              .fresh = put->expires,
                              .model_time = put->model_time,
                              .tokens = put->tokens,
                              .cost = put->cost,
                              .flags = put->flags,
                              .kind = put->kind,
                              .scope = put->scope,
                              .model = put->model,
                              .upstream = put->upstream,
                              .answer = put->answer,
                              .request = c->settings.keep_requests ? put->request : SPAN_NONE};
    material_note(c, &put->key, &v);
    struct store_job *job = new_put(c, STORE_ANSWER, put->key.hash, kept);
    e = answer_record_encode(&v, &job->value);
    job->rest = v.request.len;
    if (e != ERR_OK) {
        store_job_free(job);
        return e;
    }
    *seq = job->seq;
    return submit_put(c, job);
}

/* Adds the exact key to the answer that was stored last, which is `answer`. */
static enum err add_exact(struct cache *c, const struct cache_key *key,
                          const struct exact_text *text, struct answer_record *answer)
{
    struct store_job *job = c->open;
    struct buf value = {.max = job->value.max};
    size_t before = job->value.len;
    answer->has_exact = true;
    answer->exact = *text;
    enum err e = answer_record_encode(answer, &value);
    e = e == ERR_OK && value.len > max_value(c) ? ERR_TOO_LARGE : e;
    e = e == ERR_OK ? pending_add_exact(&c->pending, job, key->hash, value.len - before) : e;
    if (e != ERR_OK) {
        buf_free(&value);
        return e;
    }
    buf_free(&job->value);
    job->value = value;
    job->exact = key->hash;
    cache_hand_over(c);
    return ERR_OK;
}

/* Whether the answer record is the one that was stored last, and no exact key leads there yet. */
static bool is_open(const struct cache *c, const struct found *f)
{
    return c->open != NULL && f->pending && c->open->seq == f->seq;
}

static enum err put_exact(struct cache *c, const struct cache_key *key,
                          const struct exact_text *text, const struct found *answer, wall_t expires)
{
    const struct exact_record v = {.answer = answer->key, .seq = answer->seq, .text = *text};
    struct store_job *job = new_put(c, STORE_EXACT, key->hash, expires);
    enum err e = exact_record_encode(&v, &job->value);
    if (e != ERR_OK) {
        store_job_free(job);
        return e;
    }
    return submit_put(c, job);
}

enum err cache_store_exact(struct cache *c, const struct cache_key *key, struct hash_key id,
                           int64_t seq, struct span model, wall_t expires, uint64_t generation)
{
    struct found f;
    struct answer_record answer;
    struct exact_text text;
    uint8_t digest[HASH_SHA256_BYTES];
    enum err e = check_storable(c, generation);
    if (e != ERR_OK) {
        return e;
    }
    store_read_begin(c->store);
    bool there = read_value(c, STORE_ANSWER, id, 0, &f) && f.seq == seq &&
                 answer_record_decode(f.value, &answer) == ERR_OK;
    if (there) {
        exact_text_make(&text, key, model, c->settings.keep_requests ? answer.request : SPAN_NONE,
                        digest);
    }
    store_read_end(c->store);
    if (!there) {
        return ERR_NOT_FOUND;
    }
    bool added = is_open(c, &f) && answer.fresh.us <= expires.us &&
                 add_exact(c, key, &text, &answer) == ERR_OK;
    return added ? ERR_OK : put_exact(c, key, &text, &f, expires);
}

/* ---- notes ---- */

_Static_assert((int)CACHE_NOTE_NAME == STORE_NOTE_NAME && (int)CACHE_NOTE_MAX == STORE_NOTE_MAX,
               "the notes of the cache are those of the store");

void cache_job_done(struct store_job *job, enum err result, uint64_t count)
{
    (void)result;
    (void)count;
    store_job_free(job);
}

enum err cache_store_note(struct cache *c, const char *name, struct span value, wall_t expires)
{
    enum err e = check_storable(c, c->generation);
    if (e != ERR_OK) {
        return e;
    }
    struct store_job *job = store_job_new(STORE_NOTE);
    job->value.max = STORE_NOTE_MAX;
    job->expires = expires;
    job->now = loop_wall(c->loop);
    job->done = cache_job_done;
    int len = snprintf(job->name, sizeof job->name, "%s", name);
    require(len > 0 && (size_t)len < sizeof job->name);
    e = buf_append_span(&job->value, value);
    if (e != ERR_OK) {
        store_job_free(job);
        return e;
    }
    cache_submit(c, job);
    return ERR_OK;
}

void cache_each_note(struct cache *c, void (*fn)(void *ctx, const char *name, struct span value),
                     void *ctx)
{
    if (c->store != NULL) {
        store_read_begin(c->store);
        store_each_note(c->store, loop_wall(c->loop), fn, ctx);
        store_read_end(c->store);
    }
}
