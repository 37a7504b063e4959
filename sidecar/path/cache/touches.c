/* touches.c: hits of answer records, counted in memory and written every few seconds: one change of a
 * record's row for all hits of those seconds. The rows are those of the jobs (struct store_touch), in
 * a table with open addressing; a row without hits is free. At its largest size a full table is
 * written at once.
 */
#include "path/cache/cache_priv.h"

#include <stdlib.h>

enum { FIRST_ROOM = 256, JOB_ROWS = 1024 };

/* The row of a record, or the free one that it would take. */
static struct store_touch *row_of(const struct touches *t, struct hash_key key, int64_t seq)
{
    size_t at = key.lo & (t->room - 1);
    while (t->rows[at].hits > 0 && !(hash_key_eq(t->rows[at].key, key) && t->rows[at].seq == seq)) {
        at = (at + 1) & (t->room - 1);
    }
    return &t->rows[at];
}

/* false: no memory, and nothing has changed. */
static bool touches_grow(struct touches *t)
{
    struct touches new = {.room = t->room == 0 ? FIRST_ROOM : 2 * t->room, .count = t->count};
    new.rows = calloc(new.room, sizeof *new.rows);
    if (new.rows == NULL) {
        return false;
    }
    for (size_t i = 0; i < t->room; i++) {
        if (t->rows[i].hits > 0) {
            *row_of(&new, t->rows[i].key, t->rows[i].seq) = t->rows[i];
        }
    }
    free(t->rows);
    *t = new;
    return true;
}

void touches_free(struct touches *t)
{
    free(t->rows);
    *t = (struct touches){0};
}

static void free_job(struct store_job *job, enum err result, uint64_t count)
{
    (void)result;
    (void)count;
    store_job_free(job);
}

static void submit(struct cache *c, struct store_job *job)
{
    job->done = free_job;
    store_submit(c->store, job);
}

/* A job with the next rows with hits, from *at on; NULL: no memory. */
static struct store_job *next_job(const struct touches *t, size_t *at)
{
    struct store_job *job = store_job_new(STORE_TOUCH);
    job->value.max = (t->count < JOB_ROWS ? t->count : JOB_ROWS) * sizeof *t->rows;
    if (buf_reserve(&job->value, job->value.max) != ERR_OK) {
        store_job_free(job);
        return NULL;
    }
    for (; *at < t->room && job->value.len < job->value.max; (*at)++) {
        if (t->rows[*at].hits > 0) {
            require_ok(buf_append(&job->value, &t->rows[*at], sizeof *t->rows));
        }
    }
    return job;
}

/* What there is no memory for is not counted. */
static void write_touches(struct cache *c)
{
    struct touches *t = &c->touches;
    struct store_job *job = NULL;
    size_t at = 0;
    while (t->count > 0 && c->store != NULL && (job = next_job(t, &at)) != NULL) {
        t->count -= job->value.len / sizeof *t->rows;
        submit(c, job);
    }
    touches_free(t);
}

static bool is_full(const struct touches *t)
{
    return t->count >= t->room / 4 * 3;
}

void cache_touch(struct cache *c, struct hash_key key, int64_t seq)
{
    struct touches *t = &c->touches;
    if (is_full(t) && (t->room == CACHE_TOUCHES_MAX || !touches_grow(t))) {
        write_touches(c);
    }
    if (t->room == 0 && !touches_grow(t)) {
        return;
    }
    struct store_touch *row = row_of(t, key, seq);
    if (row->hits == 0) {
        *row = (struct store_touch){.key = key, .seq = seq};
        t->count++;
    }
    row->hits++;
}

uint64_t cache_touched_hits(const struct cache *c, struct hash_key key, int64_t seq)
{
    return c->touches.room == 0 ? 0 : row_of(&c->touches, key, seq)->hits;
}

void cache_flush_touches(struct cache *c)
{
    write_touches(c);
    if (c->store != NULL && store_stats(c->store).entries > 0) {
        struct store_job *sweep = store_job_new(STORE_SWEEP);
        sweep->now = loop_wall(c->loop);
        submit(c, sweep);
    }
}
