/* writer.c: the one thread that writes.
 *
 * It waits for jobs, then a little longer for company (a commit costs 0.6 ms here for one record
 * and 4 ms for a hundred, and a flush of a real disk ten times that), applies a group in one
 * transaction and commits. A transaction that finds the map full is thrown away, room is made, and
 * it is tried once more.
 *
 * A commit that the disk refuses is trouble: the group is dropped, and so is every put until
 * store_check() finds that as much can be written again. Removals are tried all the while.
 */
#include "path/store/store_writer.h"

#include "lull/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

static bool is_removal(const struct store_job *job)
{
    return job->kind == STORE_REMOVE || job->kind == STORE_PURGE;
}

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
    rc = rc == 0 ? change_evict(&c, (uint64_t)s->options.max_size, SIZE_MAX) : rc;
    if (rc != 0) {
        change_abort(&c);
        return rc;
    }
    rc = change_commit(&c);
    note_commit(s, now_us() - began);
    return rc;
}

/* The map is full: an eighth of what is there goes. */
static int make_room(struct store *s)
{
    uint64_t bytes = store_stats(s).bytes;
    return change_evict_all(s, bytes - bytes / 8);
}

/* LMDB says EIO where a write was cut short by a full disk: what a write of our own says is more
 * exact. */
static int exact_code(struct store *s, int rc)
{
    int found = rc == EIO ? files_probe(s, s->failed_bytes) : 0;
    return found != 0 ? found : rc;
}

/* A group or a removal failed. */
static void complain(struct store *s, int rc, size_t bytes)
{
    s->failed_bytes = bytes + STORE_GROUP_BYTES / 4;
    rc = exact_code(s, rc);
    pthread_mutex_lock(&s->mutex);
    s->stats.errors++;
    s->damaged = s->damaged || store_error(rc) == ERR_CORRUPT;
    snprintf(s->trouble, sizeof s->trouble, "%s", files_reason(rc));
    pthread_mutex_unlock(&s->mutex);
    if (store_error(rc) == ERR_CORRUPT) {
        log_error("store", "%s: answers are not kept: %s", s->dir, mdb_strerror(rc));
    }
}

static size_t group_bytes(const struct store_job *jobs)
{
    size_t bytes = 0;
    for (; jobs != NULL; jobs = jobs->next) {
        bytes += jobs->value.len;
    }
    return bytes;
}

/* false: the files are not where they were. */
static bool still_there(struct store *s)
{
    bool gone = files_gone(s);
    if (gone) {
        pthread_mutex_lock(&s->mutex);
        s->gone = true;
        pthread_mutex_unlock(&s->mutex);
    }
    return !gone;
}

static int write_group(struct store *s, struct store_job *jobs)
{
    if (s->trouble[0] != '\0') { /* only this thread writes it */
        return EIO;
    }
    int rc = try_group(s, jobs);
    if (store_error(rc) == ERR_FULL && rc < 0 && make_room(s) == 0) {
        rc = try_group(s, jobs);
    }
    if (rc != 0) {
        complain(s, rc, group_bytes(jobs));
    }
    return rc;
}

static void run_group(struct store *s, struct store_job *jobs)
{
    int rc = ENOENT;
    store_at_work++;
    if (still_there(s) && is_removal(jobs)) {
        rc = removal_run(s, jobs);
        if (rc != 0) {
            complain(s, rc, 0);
        }
    } else if (!s->gone) {
        rc = write_group(s, jobs);
    }
    store_at_work--;
    for (struct store_job *job = jobs; job != NULL; job = job->next) {
        job->result = store_error(rc);
    }
}

/* ---- other values, and the end of trouble ---- */

/* Waits until the loop thread, which reads the map, has changed its size. The mutex is held. */
static void resize_map(struct store *s, size_t size)
{
    s->want_map = size;
    s->options.wake(s->options.ctx);
    pthread_cond_broadcast(&s->wake_flush);
    while (s->want_map != 0 && !s->stop) {
        pthread_cond_wait(&s->wake_writer, &s->mutex);
    }
    s->want_map = 0;
}

static void configure(struct store *s)
{
    int64_t size = s->want_size;
    bool sync = s->want_sync;
    s->configured = false;
    pthread_mutex_unlock(&s->mutex);
    store_at_work++;
    if (sync != s->options.sync && mdb_env_set_flags(s->env, MDB_NOSYNC, sync ? 0 : 1) == 0) {
        s->options.sync = sync;
        if (!sync) {
            files_mark_open(s);
        } else if (mdb_env_sync(s->env, 1) == 0) {
            files_mark_closed(s);
        }
    }
    s->options.max_size = size;
    int rc = change_evict_all(s, (uint64_t)size);
    if (rc != 0) {
        complain(s, rc, 0);
    }
    store_at_work--;
    pthread_mutex_lock(&s->mutex);
    resize_map(s, open_map_size(size));
}

static void look_again(struct store *s)
{
    s->check = false;
    pthread_mutex_unlock(&s->mutex);
    bool over = still_there(s) && files_probe(s, s->failed_bytes) == 0;
    pthread_mutex_lock(&s->mutex);
    if (over) {
        s->trouble[0] = '\0';
    }
    s->options.wake(s->options.ctx);
}

/* ---- the thread ---- */

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
    while (!s->stop && !s->check && !s->configured && (s->hold || s->first == NULL)) {
        pthread_cond_wait(&s->wake_writer, &s->mutex);
    }
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += STORE_GROUP_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    while (!s->stop && !s->hurry && !s->hold && !s->check && !s->configured &&
           s->queued < STORE_GROUP_JOBS && s->queued_bytes < STORE_GROUP_BYTES) {
        if (pthread_cond_timedwait(&s->wake_writer, &s->mutex, &until) == ETIMEDOUT) {
            break;
        }
    }
    return s->first != NULL || !s->stop;
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
        s->busy = true;
        if (s->configured && !s->stop) {
            configure(s);
        }
        if (s->check && !s->stop) {
            look_again(s);
        }
        s->busy = false;
        if (s->first == NULL || (s->hold && !s->stop)) {
            pthread_cond_broadcast(&s->wake_flush);
            continue;
        }
        struct store_job *group = take_group(s);
        s->busy = true;
        pthread_mutex_unlock(&s->mutex);
        run_group(s, group);
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
