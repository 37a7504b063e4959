/* cache.c: look-ups and stores. The life of the store behind them is in opening.c.
 *
 * RECORDS. An answered request leaves two records in the store:
 *
 *   exact key: the request's bytes         normalized key: what the request means
 *        |                                      |
 *   exact record ---- id, seq ---------->  answer record
 *   what the bytes have beside the         answer, request as it came, SHA-256 of the key's
 *   answer record's request                material (material.c)
 *
 * A hash only finds a record; the key's material is compared as well, byte for byte, by its
 * SHA-256, or by what the kept request means. The text of a request stands once: an exact record
 * has its key's material where the request of its answer record is not that text (codec.c). Several
 * exact records may lead to one answer record: other bytes that mean the same. An exact record is a
 * hit only with the answer record whose sequence number it holds: one whose answer was replaced,
 * removed or evicted is dead. The writer removes dead ones with a purge, or by their age.
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
        *f = (struct found){.value = buf_span(&job->value),
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
    *f = (struct found){.value = record.value,
                        .rest = record.rest,
                        .rest_checksum = record.rest_checksum,
                        .seq = record.seq,
                        .target = record.target,
                        .expires = record.expires};
    return true;
}

/* Reads an answer record that this key may see: fresh, or kept beyond that (stale). Its material is
 * not compared yet. */
static bool read_answer(struct cache *c, const struct cache_key *key, struct hash_key id,
                        int64_t at, wall_t now, bool stale, struct found *f,
                        struct answer_record *v)
{
    return read_value(c, STORE_ANSWER, id, at, f) && f->expires.us > now.us &&
           answer_record_decode(f->value, v) == ERR_OK && (stale || v->fresh.us > now.us) &&
           (key->observing || (v->flags & CACHE_FLAG_OBSERVED) == 0);
}

static void fill_hit(struct cache_hit *hit, struct hash_key id, const struct found *f,
                     const struct answer_record *v)
{
    *hit = (struct cache_hit){.id = id,
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
    if (!read_answer(c, key, key->hash, 0, now, (how & FIND_STALE) != 0, &f, &v)) {
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
    fill_hit(hit, key->hash, &f, &v);
    if (counted) {
        cache_touch(c, hit->id, hit->seq);
    }
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

/* The answer record is read at the position that the exact record's row names: one look-up less. Its
 * request needs no checksum: it is compared with the key, byte for byte. */
enum cache_result cache_find_exact(struct cache *c, const struct cache_key *key, wall_t now,
                                   struct cache_hit *hit)
{
    struct found f, answer;
    struct exact_record exact;
    struct answer_record v;
    if (c->store == NULL) {
        return CACHE_OFF;
    }
    store_read_begin(c->store);
    if (!read_value(c, STORE_EXACT, key->hash, 0, &f) || f.expires.us <= now.us ||
        exact_record_decode(f.value, &exact) != ERR_OK) {
        return miss(c);
    }
    if (!read_answer(c, key, exact.answer, f.target, now, false, &answer, &v) ||
        answer.seq != exact.seq) {
        return miss(c);
    }
    if (!exact_record_matches(&exact, &v, key)) {
        if (store_rest_is_good(answer.value, answer.rest, answer.rest_checksum)) {
            c->counts.collisions++;
        } else {
            report_damaged(c);
        }
        return miss(c);
    }
    fill_hit(hit, exact.answer, &answer, &v);
    hit->model = exact.model;
    cache_touch(c, hit->id, hit->seq);
    return answer.pending || f.pending ? CACHE_PENDING : CACHE_HIT;
}

void cache_release(struct cache *c)
{
    if (c->store != NULL) {
        store_read_end(c->store);
    }
}

/* ---- stores ---- */

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

static enum err submit_put(struct cache *c, struct store_job *job)
{
    enum err e = job->value.len > (uint64_t)c->settings.max_size / 64
                     ? ERR_TOO_LARGE
                     : pending_add(&c->pending, job);
    if (e != ERR_OK) {
        store_job_free(job);
        return e;
    }
    job->done = put_done;
    job->ctx = c;
    store_submit(c->store, job);
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

enum err cache_store_exact(struct cache *c, const struct cache_key *key, struct hash_key id,
                           int64_t seq, struct span model, wall_t expires, uint64_t generation)
{
    struct found f;
    struct answer_record answer;
    uint8_t digest[HASH_SHA256_BYTES];
    enum err e = check_storable(c, generation);
    if (e != ERR_OK) {
        return e;
    }
    struct exact_record v = {.answer = id, .seq = seq, .model = model};
    store_read_begin(c->store);
    bool there = read_value(c, STORE_ANSWER, id, 0, &f) && f.seq == seq &&
                 answer_record_decode(f.value, &answer) == ERR_OK;
    bool shares = there && c->settings.keep_requests && exact_record_share(&v, key, answer.request);
    store_read_end(c->store);
    if (!there) {
        return ERR_NOT_FOUND;
    }
    if (!shares) {
        material_digest(key, digest);
        v.hashed = true;
        v.material = span_make((const char *)digest, sizeof digest);
        v.first = v.last = 0;
        v.middle = SPAN_NONE;
    }
    struct store_job *job = new_put(c, STORE_EXACT, key->hash, expires);
    e = exact_record_encode(&v, &job->value);
    if (e != ERR_OK) {
        store_job_free(job);
        return e;
    }
    return submit_put(c, job);
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
    store_submit(c->store, job);
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
