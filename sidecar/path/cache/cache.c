/* cache.c: look-ups, stores, and the life of the store behind them.
 *
 * A look-up asks the pending writes first, then the map; the whole material is compared, whatever
 * the hash says. An alias hit costs two reads: the alias, and the entry that it leads to, which
 * must be there with the sequence number that the alias remembers.
 *
 * The store may be gone (no permission, disk full, held by another daemon, damaged): then every
 * look-up is CACHE_OFF, and every ten seconds it is tried again. Nothing here ever fails a request.
 */
#include "path/cache/cache_priv.h"

#include "lull/base/log.h"

#include <stdio.h>
#include <stdlib.h>

static const usec_t RETRY = 10 * USEC_PER_S;
static const usec_t TOUCH = 5 * USEC_PER_S;

static void on_wake_thread(void *ctx)
{
    struct cache *c = ctx;
    loop_wake(c->waker);
}

/* ---- opening and closing ---- */

static void try_open(struct cache *c)
{
    char why[256] = "";
    struct store_options options = {.dir = c->dir,
                                    .max_size = c->settings.max_size,
                                    .sync = c->settings.durability == DURABILITY_GROUP,
                                    .crash_mark = true,
                                    .wake = on_wake_thread,
                                    .ctx = c};
    bool was_off = strncmp(c->state, "off", 3) == 0;
    enum err e = store_open(&options, &c->store, why, sizeof why);
    if (e != ERR_OK) {
        char state[sizeof c->state];
        snprintf(state, sizeof state, "off: %s", why);
        if (strcmp(state, c->state) != 0) {
            log_error("cache", "serving without cache: %s", why);
        }
        memcpy(c->state, state, sizeof state);
        loop_timer_start(c->retry, RETRY);
        return;
    }
    store_set_alias_fn(c->store, alias_target);
    c->secret = *store_secret(c->store);
    snprintf(c->state, sizeof c->state, "on");
    if (was_off) {
        log_info("cache", "the cache is on again: %s", c->dir);
    }
}

static void on_retry(void *ctx)
{
    struct cache *c = ctx;
    if (c->store == NULL) {
        try_open(c);
    }
}

static void keep_counts(struct cache *c)
{
    struct store_stats s = store_stats(c->store);
    c->expired_before += s.expired;
    c->evicted_before += s.evicted;
    c->errors_before += s.errors;
}

/* The files are damaged: set aside, begun anew at once. */
static void replace_store(struct cache *c)
{
    struct store *store = c->store;
    keep_counts(c);
    c->store = NULL;
    store_close_damaged(store);
    try_open(c);
}

static void collect(struct cache *c)
{
    usec_t times[64];
    if (c->store == NULL) {
        return;
    }
    enum err e = store_collect(c->store);
    size_t n = store_commit_times(c->store, times, sizeof times / sizeof times[0]);
    for (size_t i = 0; i < n; i++) {
        figure_times_add(&c->commits, loop_now(c->loop), times[i]);
    }
    if (e == ERR_CORRUPT) {
        replace_store(c);
    }
}

static void on_wake(void *ctx)
{
    collect(ctx);
}

static void on_touch(void *ctx)
{
    struct cache *c = ctx;
    cache_flush_touches(c);
    loop_timer_start(c->touch, TOUCH);
}

struct cache *cache_create(struct loop *loop, const struct cache_options *options)
{
    struct cache *c = mem_new(sizeof *c);
    c->loop = loop;
    c->dir = mem_strdup(options->dir);
    c->settings = options->settings;
    c->waker = loop_waker_create(loop, on_wake, c);
    c->retry = loop_timer_create(loop, on_retry, c);
    c->touch = loop_timer_create(loop, on_touch, c);
    enum err e = hash_secret_generate(&c->secret);
    require(e == ERR_OK);
    try_open(c);
    loop_timer_start(c->touch, TOUCH);
    return c;
}

static bool all_jobs(const struct store_job *job, const void *ctx)
{
    (void)job;
    (void)ctx;
    return true;
}

void cache_destroy(struct cache *c)
{
    if (c == NULL) {
        return;
    }
    cache_flush_touches(c);
    store_close(c->store);
    pending_drop_if(&c->pending, all_jobs, NULL);
    loop_timer_destroy(c->retry);
    loop_timer_destroy(c->touch);
    loop_waker_destroy(c->waker);
    figure_times_free(&c->commits);
    free(c->dir);
    free(c);
}

void cache_configure(struct cache *c, const struct cache_settings *settings)
{
    bool reopen = c->store != NULL && (settings->max_size != c->settings.max_size ||
                                       settings->durability != c->settings.durability);
    c->settings = *settings;
    if (reopen) {
        keep_counts(c);
        store_close(c->store);
        c->store = NULL;
        try_open(c);
    }
}

const struct hash_secret *cache_secret(const struct cache *c)
{
    return &c->secret;
}

const char *cache_state(const struct cache *c)
{
    return c->state;
}

uint64_t cache_generation(const struct cache *c)
{
    return c->generation;
}

/* ---- look-ups ---- */

struct found {
    struct span value;
    int64_t seq;
    wall_t expires;
    bool pending;
};

/* The value under a hash, pending or committed. */
static bool find(struct cache *c, enum store_table table, struct hash_key hash, struct found *f)
{
    const struct store_job *job = pending_find(&c->pending, table, hash);
    struct store_record record;
    if (job != NULL) {
        *f = (struct found){buf_span(&job->value), job->seq, job->expires, true};
        return true;
    }
    enum err e = store_get(c->store, table, hash, &record);
    if (e == ERR_CORRUPT) {
        c->counts.errors++;
        log_error("cache", "a stored record is damaged; it is not used");
    }
    if (e != ERR_OK) {
        return false;
    }
    *f = (struct found){record.value, record.seq, record.expires, false};
    return true;
}

static void fill(struct cache_hit *hit, struct hash_key id, const struct found *f,
                 const struct entry_value *v)
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

static enum cache_result hit_of(struct cache *c, const struct cache_hit *hit, bool pending)
{
    if (!pending) {
        cache_touch(c, hit->id, hit->seq);
    }
    return pending ? CACHE_PENDING : CACHE_HIT;
}

/* The entry under a hash that this key may see; its material is not compared yet. */
static bool find_kept_entry(struct cache *c, const struct cache_key *key, struct hash_key id,
                            wall_t now, struct found *f, struct entry_value *v)
{
    return find(c, STORE_ENTRY, id, f) && f->expires.us > now.us &&
           entry_decode(f->value, v) == ERR_OK &&
           (key->observing || (v->flags & CACHE_FLAG_OBSERVED) == 0);
}

static bool find_live_entry(struct cache *c, const struct cache_key *key, struct hash_key id,
                            wall_t now, struct found *f, struct entry_value *v)
{
    return find_kept_entry(c, key, id, now, f, v) && v->fresh.us > now.us;
}

static enum cache_result miss(struct cache *c)
{
    store_read_end(c->store);
    return CACHE_MISS;
}

enum cache_result cache_find_entry(struct cache *c, const struct cache_key *key, wall_t now,
                                   struct cache_hit *hit)
{
    struct found f;
    struct entry_value v;
    if (c->store == NULL) {
        return CACHE_OFF;
    }
    store_read_begin(c->store);
    if (!find_live_entry(c, key, key->hash, now, &f, &v)) {
        return miss(c);
    }
    if (!material_equal(key, v.material, v.hashed)) {
        c->counts.collisions++;
        return miss(c);
    }
    fill(hit, key->hash, &f, &v);
    return hit_of(c, hit, f.pending);
}

typedef bool (*find_fn)(struct cache *c, const struct cache_key *key, struct hash_key id,
                        wall_t now, struct found *f, struct entry_value *v);

/* What find makes of the key; nothing is counted. */
static enum cache_result look(struct cache *c, find_fn find_entry, const struct cache_key *key,
                              wall_t now, struct cache_hit *hit)
{
    struct found f;
    struct entry_value v;
    if (c->store == NULL) {
        return CACHE_OFF;
    }
    store_read_begin(c->store);
    if (!find_entry(c, key, key->hash, now, &f, &v) || !material_equal(key, v.material, v.hashed)) {
        return miss(c);
    }
    fill(hit, key->hash, &f, &v);
    return f.pending ? CACHE_PENDING : CACHE_HIT;
}

enum cache_result cache_peek_entry(struct cache *c, const struct cache_key *key, wall_t now,
                                   struct cache_hit *hit)
{
    return look(c, find_live_entry, key, now, hit);
}

enum cache_result cache_find_stale(struct cache *c, const struct cache_key *key, wall_t now,
                                   struct cache_hit *hit)
{
    enum cache_result found = look(c, find_kept_entry, key, now, hit);
    return found == CACHE_HIT ? hit_of(c, hit, false) : found;
}

enum cache_result cache_find_alias(struct cache *c, const struct cache_key *key, wall_t now,
                                   struct cache_hit *hit)
{
    struct found f, entry;
    struct alias_value alias;
    struct entry_value v;
    if (c->store == NULL) {
        return CACHE_OFF;
    }
    store_read_begin(c->store);
    if (!find(c, STORE_ALIAS, key->hash, &f) || f.expires.us <= now.us ||
        alias_decode(f.value, &alias) != ERR_OK) {
        return miss(c);
    }
    if (!material_equal(key, alias.material, alias.hashed)) {
        c->counts.collisions++;
        return miss(c);
    }
    if (!find_live_entry(c, key, alias.entry, now, &entry, &v) || entry.seq != alias.seq) {
        return miss(c);
    }
    fill(hit, alias.entry, &entry, &v);
    hit->answer = SPAN_NONE;
    hit->reply = alias.reply;
    return hit_of(c, hit, entry.pending || f.pending);
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
    if (result == ERR_OK && job->table == STORE_ENTRY) {
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

/* The material as it is kept: as it is, or its SHA-256. */
struct kept_material {
    uint8_t digest[HASH_SHA256_BYTES];
    struct span first, more;
    bool hashed;
};

static void keep_material(const struct cache *c, const struct cache_key *key,
                          struct kept_material *m)
{
    m->hashed = !c->settings.keep_requests;
    m->first = key->head;
    m->more = key->body;
    if (m->hashed) {
        const struct span parts[] = {key->head, key->body};
        hash_sha256(parts, 2, m->digest);
        m->first = span_make((const char *)m->digest, sizeof m->digest);
        m->more = SPAN_NONE;
    }
}

static enum err may_store(const struct cache *c, uint64_t generation)
{
    if (c->store == NULL) {
        return ERR_IO;
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

enum err cache_store(struct cache *c, const struct cache_put *put, uint64_t generation,
                     int64_t *seq)
{
    struct kept_material m;
    enum err e = may_store(c, generation);
    if (e != ERR_OK) {
        return e;
    }
    wall_t kept = {put->expires.us + put->stale};
    keep_material(c, &put->key, &m);
    struct entry_value v = {.created = put->created,
                            .fresh = put->expires,
                            .model_time = put->model_time,
                            .tokens = put->tokens,
                            .cost = put->cost,
                            .flags = put->flags,
                            .hashed = m.hashed,
                            .kind = put->kind,
                            .scope = put->scope,
                            .model = put->model,
                            .upstream = put->upstream,
                            .material = m.first,
                            .answer = put->answer,
                            .request = m.hashed ? SPAN_NONE : put->request};
    struct store_job *job = new_put(c, STORE_ENTRY, put->key.hash, kept);
    e = entry_encode(&v, &m.more, &job->value);
    if (e != ERR_OK) {
        store_job_free(job);
        return e;
    }
    *seq = job->seq;
    return submit_put(c, job);
}

enum err cache_store_alias(struct cache *c, const struct cache_key *key, struct hash_key id,
                           int64_t seq, struct span reply, wall_t expires, uint64_t generation)
{
    struct kept_material m;
    enum err e = may_store(c, generation);
    if (e != ERR_OK) {
        return e;
    }
    keep_material(c, key, &m);
    struct alias_value v = {
        .entry = id, .seq = seq, .hashed = m.hashed, .material = m.first, .reply = reply};
    struct store_job *job = new_put(c, STORE_ALIAS, key->hash, expires);
    e = alias_encode(&v, &m.more, &job->value);
    if (e != ERR_OK) {
        store_job_free(job);
        return e;
    }
    return submit_put(c, job);
}

void cache_hold_writer(struct cache *c, bool hold)
{
    if (c->store != NULL) {
        store_hold(c->store, hold);
    }
}

void cache_flush(struct cache *c)
{
    if (c->store != NULL) {
        store_flush(c->store);
    }
    collect(c);
}
