/* writer.c: the one thread that writes.
 *
 * It waits for jobs, then a little longer for company (a commit costs 0.6 ms here for one record
 * and 4 ms for a hundred, and a flush of a real disk ten times that), applies a group in one
 * transaction and commits. A transaction that finds the map full is thrown away, room is made, and
 * it is tried once more; a group that fails then is dropped and counted: a cache may forget.
 * Removals run in transactions of their own, in batches, since long ones hurt readers' freed pages.
 */
#include "path/store/store_writer.h"

#include "lull/base/log.h"

#include <errno.h>
#include <time.h>

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int apply(struct change *c, struct store_job *job)
{
    switch (job->kind) {
    case STORE_PUT:
        return change_put(c, job);
    case STORE_TOUCH:
        return change_touch(c, job);
    case STORE_SWEEP:
        return change_sweep(c, job->now);
    case STORE_REMOVE:
    case STORE_PURGE:
        break;
    }
    return EINVAL;
}

static void note_commit(struct store *s, usec_t took)
{
    pthread_mutex_lock(&s->mutex);
    if (s->commit_count < STORE_COMMIT_TIMES) {
        s->commit_times[s->commit_count++] = took;
    }
    pthread_mutex_unlock(&s->mutex);
}

/* All jobs in one transaction; an LMDB code. */
static int try_group(struct store *s, struct store_job *jobs)
{
    struct change c;
    int64_t began = now_us();
    int rc = change_begin(s, &c);
    if (rc != 0) {
        return rc;
    }
    for (struct store_job *job = jobs; rc == 0 && job != NULL; job = job->next) {
        rc = apply(&c, job);
    }
    uint64_t goal = (uint64_t)s->options.max_size;
    rc = rc == 0 && c.bytes > goal ? change_evict(&c, goal, SIZE_MAX) : rc;
    if (rc != 0) {
        change_abort(&c);
        return rc;
    }
    rc = change_commit(&c);
    note_commit(s, now_us() - began);
    return rc;
}

/* The map or the disk is full: an eighth of what is there goes, in small transactions. */
static int make_room(struct store *s)
{
    uint64_t goal = s->bytes - s->bytes / 8;
    int rc = 0;
    while (rc == 0 && s->bytes > goal) {
        struct change c;
        uint64_t before = s->bytes;
        rc = change_begin(s, &c);
        if (rc == 0) {
            rc = change_evict(&c, goal, STORE_BATCH);
            if (rc == 0) {
                rc = change_commit(&c);
            } else {
                change_abort(&c);
            }
        }
        if (s->bytes >= before) {
            break;
        }
    }
    return rc;
}

static void complain(struct store *s, int rc)
{
    pthread_mutex_lock(&s->mutex);
    bool first = s->stats.errors++ == 0;
    s->damaged = s->damaged || store_error(rc) == ERR_CORRUPT;
    pthread_mutex_unlock(&s->mutex);
    if (first || store_error(rc) == ERR_CORRUPT) {
        log_error("store", "%s: answers are not kept: %s", s->dir, mdb_strerror(rc));
    }
}

static void run_group(struct store *s, struct store_job *jobs)
{
    int rc = try_group(s, jobs);
    if (store_error(rc) == ERR_FULL && make_room(s) == 0) {
        rc = try_group(s, jobs);
    }
    if (rc != 0) {
        complain(s, rc);
    }
    for (struct store_job *job = jobs; job != NULL; job = job->next) {
        job->result = store_error(rc);
    }
}

/* ---- removals ---- */

/* Whether a row is to be removed. */
typedef bool (*row_test)(struct change *c, const struct order_row *row,
                         const struct store_job *job);

static bool entry_matches(struct change *c, const struct order_row *row,
                          const struct store_job *job)
{
    struct hash_key key = {.hi = row->hi, .lo = row->lo};
    struct record_head head;
    struct span value;
    MDB_val k = record_key(&key);
    MDB_val raw;
    if (row->table != STORE_ENTRY || mdb_get(c->txn, c->s->tables[STORE_ENTRY], &k, &raw) != 0) {
        return false;
    }
    return record_check(raw, STORE_ENTRY, &head, &value) != ERR_OK ||
           job->match(job->filter, value);
}

/* An alias whose entry is gone or another one. */
static bool leads_nowhere(struct change *c, const struct order_row *row,
                          const struct store_job *job)
{
    struct hash_key key = {.hi = row->hi, .lo = row->lo}, entry;
    struct record_head head;
    struct span value;
    int64_t seq = 0;
    MDB_val k = record_key(&key);
    MDB_val raw;
    (void)job;
    if (row->table != STORE_ALIAS || c->s->alias_fn == NULL ||
        mdb_get(c->txn, c->s->tables[STORE_ALIAS], &k, &raw) != 0) {
        return false;
    }
    if (record_check(raw, STORE_ALIAS, &head, &value) != ERR_OK ||
        !c->s->alias_fn(value, &entry, &seq)) {
        return true;
    }
    k = record_key(&entry);
    if (mdb_get(c->txn, c->s->tables[STORE_ENTRY], &k, &raw) != 0 || raw.mv_size < sizeof head) {
        return true;
    }
    memcpy(&head, raw.mv_data, sizeof head);
    return head.seq != seq;
}

/* One transaction's worth of rows from *from on; *from: where to go on, 0 at the end. */
static int remove_batch(struct store *s, const struct store_job *job, row_test test, int64_t *from,
                        uint64_t *count)
{
    struct change c;
    MDB_cursor *cursor = NULL;
    MDB_val key = {sizeof *from, from};
    MDB_val value;
    uint64_t removed = 0;
    int rc = change_begin(s, &c);
    if (rc != 0) {
        return rc;
    }
    rc = mdb_cursor_open(c.txn, s->order, &cursor);
    rc = rc == 0 ? mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE) : rc;
    for (size_t i = 0; rc == 0 && i < 16 * STORE_BATCH && removed < STORE_BATCH; i++) {
        int64_t position = 0;
        struct order_row row;
        if (!change_row(key, value, &position, &row)) {
            rc = MDB_CORRUPTED;
            break;
        }
        *from = position + 1;
        if (test(&c, &row, job)) {
            rc = change_remove_at(&c, cursor, &row, position);
            removed++;
        }
        rc = rc == 0 ? mdb_cursor_get(cursor, &key, &value, MDB_NEXT) : rc;
    }
    if (cursor != NULL) {
        mdb_cursor_close(cursor);
    }
    bool end = rc == MDB_NOTFOUND;
    if (rc != 0 && !end) {
        change_abort(&c);
        return rc;
    }
    rc = change_commit(&c);
    *count += rc == 0 ? removed : 0;
    *from = end ? 0 : *from;
    return rc;
}

static int remove_all(struct store *s, const struct store_job *job, row_test test, uint64_t *count)
{
    int64_t from = 1;
    int rc = 0;
    do {
        rc = remove_batch(s, job, test, &from, count);
    } while (rc == 0 && from != 0);
    return rc;
}

static int remove_one(struct store *s, struct store_job *job)
{
    struct change c;
    bool found = false;
    int rc = change_begin(s, &c);
    if (rc != 0) {
        return rc;
    }
    rc = change_remove_key(&c, STORE_ENTRY, &job->key, &found);
    if (rc != 0) {
        change_abort(&c);
        return rc;
    }
    job->count = found ? 1 : 0;
    return change_commit(&c);
}

static void run_removal(struct store *s, struct store_job *job)
{
    uint64_t aliases = 0;
    int rc = job->kind == STORE_REMOVE ? remove_one(s, job)
                                       : remove_all(s, job, entry_matches, &job->count);
    if (rc == 0 && job->count > 0) {
        rc = remove_all(s, job, leads_nowhere, &aliases);
    }
    if (rc != 0) {
        complain(s, rc);
    }
    job->result = store_error(rc);
}

/* ---- the thread ---- */

static bool is_removal(const struct store_job *job)
{
    return job->kind == STORE_REMOVE || job->kind == STORE_PURGE;
}

/* Takes the next group off the queue: one removal, or what goes into one transaction. */
static struct store_job *take_group(struct store *s)
{
    struct store_job *group = s->first;
    struct store_job *last = group;
    size_t count = 1;
    size_t bytes = group->value.len;
    while (!is_removal(group) && last->next != NULL && !is_removal(last->next) &&
           count < STORE_GROUP_JOBS && bytes < STORE_GROUP_BYTES) {
        last = last->next;
        bytes += last->value.len;
        count++;
    }
    s->first = last->next;
    s->last = s->first == NULL ? NULL : s->last;
    s->queued -= count;
    s->queued_bytes -= bytes;
    last->next = NULL;
    return group;
}

/* Waits for jobs, then for company. false: told to stop, and nothing is left. */
static bool wait_for_group(struct store *s)
{
    while (!s->stop && (s->hold || s->first == NULL)) {
        pthread_cond_wait(&s->wake_writer, &s->mutex);
    }
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += STORE_GROUP_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    while (!s->stop && !s->hurry && !s->hold && s->queued < STORE_GROUP_JOBS &&
           s->queued_bytes < STORE_GROUP_BYTES) {
        if (pthread_cond_timedwait(&s->wake_writer, &s->mutex, &until) == ETIMEDOUT) {
            break;
        }
    }
    return s->first != NULL;
}

static void hand_back(struct store *s, struct store_job *group)
{
    struct store_job *last = group;
    while (last->next != NULL) {
        last = last->next;
    }
    if (s->done_last == NULL) {
        s->done_first = group;
    } else {
        s->done_last->next = group;
    }
    s->done_last = last;
}

void *writer_main(void *arg)
{
    struct store *s = arg;
    pthread_mutex_lock(&s->mutex);
    while (wait_for_group(s)) {
        if (s->hold && !s->stop) {
            continue;
        }
        struct store_job *group = take_group(s);
        s->busy = true;
        pthread_mutex_unlock(&s->mutex);
        if (is_removal(group)) {
            run_removal(s, group);
        } else {
            run_group(s, group);
        }
        pthread_mutex_lock(&s->mutex);
        hand_back(s, group);
        s->busy = false;
        s->hurry = s->hurry && s->first != NULL;
        pthread_cond_broadcast(&s->wake_flush);
        s->options.wake(s->options.ctx);
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}
