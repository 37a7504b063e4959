/* touches.c: hits of answer records, counted in memory and written a few at a time: one change of a
 * record's row for all hits since the last one. The rows are those of the jobs (struct store_touch),
 * in a table with open addressing; a row without hits is free.
 *
 * A written row costs the writer a page of the file, and a client can hit as many records as there
 * are. So every few seconds one job is written, and what comes beyond the full table is not counted:
 * eviction then knows a part of what was hit, most likely what is hit most. The rows stand in the
 * order of the keys on disk, and a job takes the next ones in that order: the fuller the table, the
 * fewer pages have the rows of one job.
 */
#include "path/cache/cache_priv.h"

#include <stdlib.h>

enum { FIRST_ROOM = 256 };

/* Where the row of a key is if no other took its place; room is a power of two. */
static size_t home_of(struct hash_key key, size_t room)
{
    return (size_t)(hash_half_order(key.hi) >> 32) * room >> 32;
}

/* The row of a record, or the free one that it would take. */
static struct store_touch *row_of(const struct touches *t, struct hash_key key, int64_t seq)
{
    size_t at = home_of(key, t->room);
    while (t->rows[at].hits > 0 && !(hash_key_eq(t->rows[at].key, key) && t->rows[at].seq == seq)) {
        at = (at + 1) & (t->room - 1);
    }
    return &t->rows[at];
}

/* false: no memory, and nothing has changed. */
static bool touches_grow(struct touches *t)
{
    struct touches new = {
        .room = t->room == 0 ? FIRST_ROOM : 2 * t->room, .count = t->count, .next = 2 * t->next};
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

/* Puts the rows from a freed one on, up to the next free one, where a look-up finds them. */
static void close_gap(struct touches *t, size_t at)
{
    for (; t->rows[at].hits > 0; at = (at + 1) & (t->room - 1)) {
        struct store_touch row = t->rows[at];
        t->rows[at].hits = 0;
        *row_of(t, row.key, row.seq) = row;
    }
}

/* Takes the next rows out of the table, `count` of them, which there are. NULL: no memory. */
static struct store_job *take_job(struct touches *t, size_t count)
{
    struct store_job *job = store_job_new(STORE_TOUCH);
    job->value.max = count * sizeof *t->rows;
    if (buf_reserve(&job->value, job->value.max) != ERR_OK) {
        store_job_free(job);
        return NULL;
    }
    while (job->value.len < job->value.max) {
        struct store_touch *row = &t->rows[t->next];
        t->next = (t->next + 1) & (t->room - 1);
        if (row->hits > 0) {
            require_ok(buf_append(&job->value, row, sizeof *row));
            row->hits = 0;
        }
    }
    close_gap(t, t->next);
    t->count -= count;
    return job;
}

void cache_write_touches(struct cache *c, size_t most)
{
    struct touches *t = &c->touches;
    struct store_job *job = NULL;
    for (size_t taken = 0; c->store != NULL && t->count > 0 && taken < most;
         taken += CACHE_TOUCHES_JOB) {
        job = take_job(t, t->count < CACHE_TOUCHES_JOB ? t->count : CACHE_TOUCHES_JOB);
        if (job == NULL) {
            break;
        }
        job->done = cache_job_done;
        cache_submit(c, job);
    }
    if (c->store == NULL || t->count == 0) {
        touches_free(t);
    }
}

static bool is_full(const struct touches *t)
{
    return t->count >= t->room / 2;
}

void cache_touch(struct cache *c, struct hash_key key, int64_t seq)
{
    struct touches *t = &c->touches;
    if (is_full(t) && t->room < CACHE_TOUCHES_ROOM && !touches_grow(t) && t->room == 0) {
        return;
    }
    struct store_touch *row = row_of(t, key, seq);
    if (row->hits == 0 && is_full(t)) {
        return;
    }
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
