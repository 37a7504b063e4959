/* admin.c: what people do with the cache: delete, purge, list, get, count. */
#include "path/cache/cache_priv.h"

#include <stdlib.h>

/* ---- hits, counted in memory and written now and then ---- */

void cache_touch(struct cache *c, struct hash_key key, int64_t seq)
{
    struct touched *t = &c->touched[key.lo % CACHE_TOUCHED];
    if (t->hits > 0 && !hash_key_eq(t->key, key)) {
        return; /* the place is taken: this hit is not counted */
    }
    t->key = key;
    t->hits = t->seq == seq ? t->hits + 1 : 1;
    t->seq = seq;
}

static void touch_done(struct store_job *job, enum err result, uint64_t count)
{
    (void)result;
    (void)count;
    store_job_free(job);
}

void cache_flush_touches(struct cache *c)
{
    if (c->store == NULL) {
        return;
    }
    for (size_t i = 0; i < CACHE_TOUCHED; i++) {
        struct touched *t = &c->touched[i];
        if (t->hits == 0) {
            continue;
        }
        struct store_job *job = store_job_new(STORE_TOUCH);
        job->table = STORE_ENTRY;
        job->key = t->key;
        job->seq = t->seq;
        job->hits = t->hits;
        job->done = touch_done;
        store_submit(c->store, job);
        t->hits = 0;
    }
    if (cache_stats(c).entries > 0) {
        struct store_job *sweep = store_job_new(STORE_SWEEP);
        sweep->now = loop_wall(c->loop);
        sweep->done = touch_done;
        store_submit(c->store, sweep);
    }
}

/* ---- removals ---- */

struct removal {
    struct cache *cache;
    cache_done_fn done;
    void *ctx;
    struct loop_deferred work;
};

static void tell(struct removal *r, enum err result, uint64_t count)
{
    if (r->done != NULL) {
        r->done(r->ctx, result, count);
    }
    free(r);
}

static void tell_off(void *ctx)
{
    tell(ctx, ERR_IO, 0);
}

static void removal_done(struct store_job *job, enum err result, uint64_t count)
{
    tell(job->ctx, result, count);
    store_job_free(job);
}

static void submit_removal(struct cache *c, struct store_job *job, cache_done_fn done, void *ctx)
{
    struct removal *r = mem_new(sizeof *r);
    r->cache = c;
    r->done = done;
    r->ctx = ctx;
    c->generation++;
    if (c->store == NULL) {
        store_job_free(job);
        r->work = (struct loop_deferred){.fn = tell_off, .ctx = r};
        loop_defer(c->loop, &r->work);
        return;
    }
    job->done = removal_done;
    job->ctx = r;
    store_submit(c->store, job);
}

static bool leads_to(const struct store_job *job, const void *ctx)
{
    const struct hash_key *id = ctx;
    struct alias_value alias;
    if (job->table == STORE_ENTRY) {
        return hash_key_eq(job->key, *id);
    }
    return alias_decode(buf_span(&job->value), &alias) != ERR_OK || hash_key_eq(alias.entry, *id);
}

void cache_remove(struct cache *c, struct hash_key id, cache_done_fn done, void *ctx)
{
    struct store_job *job = store_job_new(STORE_REMOVE);
    job->table = STORE_ENTRY;
    job->key = id;
    pending_drop_if(&c->pending, leads_to, &id);
    submit_removal(c, job, done, ctx);
}

static bool passes(const struct cache_filter *f, const struct entry_value *v)
{
    return (f->kind.len == 0 || span_eq(f->kind, v->kind)) &&
           (f->scope.len == 0 || span_eq(f->scope, v->scope)) &&
           (f->model.len == 0 || span_eq(f->model, v->model)) &&
           (f->older.us == 0 || v->created.us < f->older.us);
}

static bool value_passes(const void *filter, struct span value)
{
    struct entry_value v;
    return entry_decode(value, &v) != ERR_OK || passes(filter, &v);
}

/* Pending aliases go with every purge: they come back by themselves. */
static bool job_passes(const struct store_job *job, const void *filter)
{
    return job->table == STORE_ALIAS || value_passes(filter, buf_span(&job->value));
}

static char *copy_text(char *at, struct span *s)
{
    if (s->len > 0) {
        memcpy(at, s->ptr, s->len);
    }
    s->ptr = at;
    return at + s->len;
}

void cache_purge(struct cache *c, const struct cache_filter *filter, cache_done_fn done, void *ctx)
{
    struct store_job *job = store_job_new(STORE_PURGE);
    struct cache_filter *copy =
        mem_new(sizeof *copy + filter->kind.len + filter->scope.len + filter->model.len);
    *copy = *filter;
    char *at = (char *)(copy + 1);
    at = copy_text(at, &copy->kind);
    at = copy_text(at, &copy->scope);
    (void)copy_text(at, &copy->model);
    job->filter = copy;
    job->match = value_passes;
    pending_drop_if(&c->pending, job_passes, filter);
    submit_removal(c, job, done, ctx);
}

/* ---- looking ---- */

struct lister {
    const struct cache_filter *filter;
    size_t left;
    void (*fn)(void *ctx, const struct cache_info *info);
    void *ctx;
};

static bool info_of(struct hash_key key, const struct store_record *r, struct cache_info *out,
                    struct entry_value *v)
{
    if (entry_decode(r->value, v) != ERR_OK) {
        return false;
    }
    *out = (struct cache_info){.id = key,
                               .seq = r->position,
                               .kind = v->kind,
                               .scope = v->scope,
                               .model = v->model,
                               .upstream = v->upstream,
                               .created = v->created,
                               .expires = v->fresh,
                               .bytes = r->bytes,
                               .hits = r->hits,
                               .flags = v->flags,
                               .request = v->request,
                               .answer = v->answer};
    return true;
}

static bool list_one(void *ctx, struct hash_key key, const struct store_record *r)
{
    struct lister *l = ctx;
    struct cache_info info;
    struct entry_value v;
    if (info_of(key, r, &info, &v) && passes(l->filter, &v)) {
        l->fn(l->ctx, &info);
        l->left--;
    }
    return l->left > 0;
}

void cache_list(struct cache *c, const struct cache_filter *filter, size_t limit, int64_t after,
                void (*fn)(void *ctx, const struct cache_info *info), void *ctx, int64_t *next)
{
    struct lister l = {filter, limit, fn, ctx};
    *next = 0;
    if (c->store == NULL || limit == 0) {
        return;
    }
    store_read_begin(c->store);
    *next = store_walk(c->store, after, CACHE_LIST_ROWS, list_one, &l);
    store_read_end(c->store);
}

enum err cache_get(struct cache *c, struct hash_key id,
                   void (*fn)(void *ctx, const struct cache_info *info), void *ctx)
{
    struct store_record record;
    struct cache_info info;
    struct entry_value v;
    if (c->store == NULL) {
        return ERR_NOT_FOUND;
    }
    store_read_begin(c->store);
    enum err e = store_get(c->store, STORE_ENTRY, id, &record);
    if (e == ERR_OK && info_of(id, &record, &info, &v)) {
        fn(ctx, &info);
    } else {
        e = ERR_NOT_FOUND;
    }
    store_read_end(c->store);
    return e;
}

struct cache_stats cache_stats(const struct cache *c)
{
    struct cache_stats s = c->counts;
    struct store_stats on_disk = {0};
    mono_t now = loop_now(c->loop);
    if (c->store != NULL) {
        on_disk = store_stats(c->store);
    }
    s.entries = on_disk.entries;
    s.bytes = on_disk.bytes;
    s.max_bytes = (uint64_t)c->settings.max_size;
    s.expired = c->expired_before + on_disk.expired;
    s.evicted = c->evicted_before + on_disk.evicted;
    s.errors += c->errors_before + on_disk.errors;
    s.pending_writes = c->pending.count;
    s.commit_p50 = figure_times_percentile(&c->commits, now, 50);
    s.commit_p99 = figure_times_percentile(&c->commits, now, 99);
    return s;
}
