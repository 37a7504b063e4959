/* admin.c: what the control socket does with the cache: delete, purge, list, get, count.
 */
#include "path/cache/cache_priv.h"

#include <stdlib.h>

/* ---- removals ---- */

struct removal {
    struct cache *cache;
    cache_done_fn done;
    void *ctx;
    struct loop_deferred work;
};

static void finish_removal(struct removal *r, enum err result, uint64_t count)
{
    if (r->done != NULL) {
        r->done(r->ctx, result, count);
    }
    free(r);
}

/* Deferred, so that `done` is never called before cache_remove() returns. */
static void fail_removal(void *ctx)
{
    finish_removal(ctx, ERR_IO, 0);
}

static void removal_done(struct store_job *job, enum err result, uint64_t count)
{
    finish_removal(job->ctx, result, count);
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
        r->work = (struct loop_deferred){.fn = fail_removal, .ctx = r};
        loop_defer(c->loop, &r->work);
        return;
    }
    job->done = removal_done;
    job->ctx = r;
    cache_submit(c, job);
}

/* Whether a job writes that answer record, or an exact record that leads to it. */
static bool leads_to(const struct store_job *job, const void *ctx)
{
    const struct hash_key *id = ctx;
    struct exact_record exact;
    if (job->table == STORE_ANSWER) {
        return hash_key_eq(job->key, *id);
    }
    return exact_record_decode(buf_span(&job->value), &exact) != ERR_OK ||
           hash_key_eq(exact.answer, *id);
}

void cache_remove(struct cache *c, struct hash_key id, cache_done_fn done, void *ctx)
{
    struct store_job *job = store_job_new(STORE_REMOVE);
    job->table = STORE_ANSWER;
    job->key = id;
    pending_drop_if(&c->pending, leads_to, &id);
    submit_removal(c, job, done, ctx);
}

static bool filter_passes(const struct cache_filter *f, const struct answer_record *v)
{
    return (f->kind.len == 0 || span_eq(f->kind, v->kind)) &&
           (f->scope.len == 0 || span_eq(f->scope, v->scope)) &&
           (f->model.len == 0 || span_eq(f->model, v->model)) &&
           (f->older.us == 0 || v->created.us < f->older.us);
}

static bool value_passes(const void *filter, struct span value)
{
    struct answer_record v;
    return answer_record_decode(value, &v) != ERR_OK || filter_passes(filter, &v);
}

/* A purge drops every pending exact record: the next repeat of its request stores it again. */
static bool job_passes(const struct store_job *job, const void *filter)
{
    return job->table == STORE_EXACT || value_passes(filter, buf_span(&job->value));
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

/* ---- lists ---- */

struct lister {
    struct cache *cache;
    const struct cache_filter *filter;
    int64_t from; /* pending answers of lower sequence numbers only; 0: any */
    size_t left;
    void (*fn)(void *ctx, const struct cache_info *info);
    void *ctx;
};

static bool info_of(const struct cache *c, struct hash_key key, const struct store_record *r,
                    struct cache_info *out, struct answer_record *v)
{
    if (answer_record_decode(r->value, v) != ERR_OK) {
        return false;
    }
    *out = (struct cache_info){
        .id = key,
        .seq = r->position,
        .kind = v->kind,
        .scope = v->scope,
        .model = v->model,
        .upstream = v->upstream,
        .created = v->created,
        .expires = v->fresh,
        .bytes = r->position > CACHE_PENDING_PLACE ? r->value.len : store_room(r->value.len),
        .hits = r->hits + cache_touched_hits(c, key, r->seq),
        .flags = v->flags,
        .request = v->request,
        .answer = v->answer};
    return true;
}

/* A pending answer as a record: its place in the list is before all positions of the store. */
static struct store_record record_of(const struct store_job *job)
{
    return (struct store_record){.seq = job->seq,
                                 .expires = job->expires,
                                 .position = CACHE_PENDING_PLACE + job->seq,
                                 .value = buf_span(&job->value)};
}

static void list_record(struct lister *l, struct hash_key key, const struct store_record *r)
{
    struct cache_info info;
    struct answer_record v;
    if (info_of(l->cache, key, r, &info, &v) && filter_passes(l->filter, &v)) {
        l->fn(l->ctx, &info);
        l->left--;
    }
}

/* Lists committed answers, except those with a newer one pending, and those that an earlier page
 * listed as pending. */
static bool list_committed(void *ctx, struct hash_key key, const struct store_record *r)
{
    struct lister *l = ctx;
    bool shown = pending_find(&l->cache->pending, STORE_ANSWER, key) != NULL ||
                 (l->from > 0 && r->seq >= l->from);
    if (!shown) {
        list_record(l, key, r);
    }
    return l->left > 0;
}

static int newest_first(const void *a, const void *b)
{
    const struct store_job *const *x = a, *const *y = b;
    return ((*x)->seq < (*y)->seq) - ((*x)->seq > (*y)->seq);
}

/* Returns where to go on among the pending ones, 0: all are listed. */
static int64_t list_pending(struct lister *l)
{
    struct store_job **jobs = mem_new(CACHE_PENDING_MAX * sizeof(struct store_job *));
    size_t n = pending_answers(&l->cache->pending, jobs);
    int64_t next = 0;
    qsort(jobs, n, sizeof(struct store_job *), newest_first);
    for (size_t i = 0; i < n && next == 0; i++) {
        if (l->from > 0 && jobs[i]->seq >= l->from) {
            continue;
        }
        struct store_record record = record_of(jobs[i]);
        list_record(l, jobs[i]->key, &record);
        next = l->left == 0 ? record.position : 0;
    }
    free(jobs);
    return next;
}

void cache_list(struct cache *c, const struct cache_filter *filter, size_t limit, size_t rows,
                int64_t after, void (*fn)(void *ctx, const struct cache_info *info), void *ctx,
                int64_t *next)
{
    bool in_pending = after > CACHE_PENDING_PLACE;
    struct lister l = {c, filter, in_pending ? after - CACHE_PENDING_PLACE : 0, limit, fn, ctx};
    *next = 0;
    if (c->store == NULL || limit == 0) {
        return;
    }
    *next = after == 0 || in_pending ? list_pending(&l) : 0;
    if (*next == 0) {
        store_read_begin(c->store);
        *next = store_walk(c->store, in_pending ? 0 : after, rows, list_committed, &l);
        store_read_end(c->store);
    }
}

enum err cache_get(struct cache *c, struct hash_key id,
                   void (*fn)(void *ctx, const struct cache_info *info), void *ctx)
{
    struct store_record record;
    struct cache_info info;
    struct answer_record v;
    if (c->store == NULL) {
        return ERR_NOT_FOUND;
    }
    const struct store_job *job = pending_find(&c->pending, STORE_ANSWER, id);
    store_read_begin(c->store);
    enum err e = job == NULL ? store_get(c->store, STORE_ANSWER, id, &record) : ERR_OK;
    if (job != NULL) {
        record = record_of(job);
    }
    if (e == ERR_OK && info_of(c, id, &record, &info, &v)) {
        fn(ctx, &info);
    } else {
        e = ERR_NOT_FOUND;
    }
    store_read_end(c->store);
    return e;
}

/* Counts the pending answers that do not replace a committed one. */
static uint64_t count_new(struct cache *c)
{
    struct store_job **jobs = mem_new(CACHE_PENDING_MAX * sizeof(struct store_job *));
    size_t n = pending_answers(&c->pending, jobs);
    uint64_t found = 0;
    store_read_begin(c->store);
    for (size_t i = 0; i < n; i++) {
        found += store_has(c->store, STORE_ANSWER, jobs[i]->key) ? 0 : 1;
    }
    store_read_end(c->store);
    free(jobs);
    return found;
}

struct cache_stats cache_stats(struct cache *c)
{
    struct cache_stats s = c->counts;
    struct store_stats on_disk = {0};
    mono_t now = loop_now(c->loop);
    if (c->store != NULL) {
        on_disk = store_stats(c->store);
        s.entries = on_disk.entries + (c->pending.count > 0 ? count_new(c) : 0);
        s.bytes = on_disk.bytes + c->pending.bytes;
    }
    s.max_bytes = (uint64_t)c->settings.max_size;
    s.expired = c->expired_before + on_disk.expired;
    s.evicted = c->evicted_before + on_disk.evicted;
    s.errors += c->errors_before + on_disk.errors;
    s.pending_writes = c->pending.count;
    s.commit_p50 = figure_times_percentile(&c->commits, now, 50);
    s.commit_p99 = figure_times_percentile(&c->commits, now, 99);
    return s;
}

const struct figure_times *cache_commit_times(const struct cache *c)
{
    return &c->commits;
}
