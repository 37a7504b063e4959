/* writer.c: the one thread that writes.
 *
 * It waits for a job, then up to STORE_GROUP_MS for more (a commit costs 0.6 ms here for one record
 * and 4 ms for a hundred, and a flush of a real disk ten times that), applies a group in one
 * transaction and commits. A transaction that finds the map full is aborted, room is made, and the
 * group is tried once more.
 *
 * Trouble: the disk refuses a commit. The group fails, and so does every put until store_check()
 * finds that as much can be written again. Removals are tried all the same.
 *
 * The end: files that are damaged, or no longer in the directory, are not written any more, even where
 * they come back. The loop thread opens others in their place and waits for this thread: so nothing
 * here may wait for the disk then.
 */
#include "path/store/store_writer.h"

#include "lull/base/log.h"
#include "lull/base/os.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

/* Only this thread sets them. */
static bool is_over(const struct store *s)
{
    return s->gone || s->damaged;
}

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

static int apply_job(struct change *c, struct store_job *job)
{
    switch (job->kind) {
    case STORE_PUT:
        return change_put(c, job);
    case STORE_TOUCH:
        return change_touch(c, job);
    case STORE_SWEEP:
        return change_sweep(c, job->now);
    case STORE_NOTE:
        return notes_put(c, job);
    case STORE_REMOVE:
    case STORE_PURGE:
        break;
    }
    return EINVAL;
}

/* All jobs in one transaction; an LMDB code. */
static int try_group(struct store *s, struct store_job *jobs)
{
    struct change c;
    int rc = change_begin(s, &c);
    if (rc != 0) {
        return rc;
    }
    int64_t began = now_us();
    for (struct store_job *job = jobs; rc == 0 && job != NULL; job = job->next) {
        rc = apply_job(&c, job);
    }
    rc = rc == 0 ? change_evict(&c, (uint64_t)s->options.max_size, SIZE_MAX) : rc;
    if (rc != 0) {
        change_abort(&c);
        return rc;
    }
    rc = change_commit(&c);
    pthread_mutex_lock(&s->mutex);
    if (s->commit_count < STORE_COMMIT_TIMES) {
        s->commit_times[s->commit_count++] = now_us() - began;
    }
    pthread_mutex_unlock(&s->mutex);
    return rc;
}

/* After a group of so many bytes, or a removal, failed. LMDB reports EIO where a full disk cut a
 * write short; the error of a write of our own is more exact. */
static void begin_trouble(struct store *s, int rc, size_t bytes)
{
    s->failed_bytes = bytes + STORE_GROUP_BYTES / 4;
    int probed = rc == EIO ? files_probe(s, s->failed_bytes) : 0;
    rc = probed != 0 ? probed : rc;
    pthread_mutex_lock(&s->mutex);
    s->stats.errors++;
    s->damaged = s->damaged || store_error(rc) == ERR_CORRUPT;
    snprintf(s->trouble, sizeof s->trouble, "%s", files_reason(rc));
    pthread_mutex_unlock(&s->mutex);
    if (store_error(rc) == ERR_CORRUPT) {
        log_error("store", "%s: answers are not kept: %s", s->dir, mdb_strerror(rc));
    }
}

/* false: the files are no longer in the directory. */
static bool check_files(struct store *s)
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
    if (store_error(rc) == ERR_FULL && rc < 0) { /* the map, not the disk: an eighth is evicted */
        uint64_t bytes = store_stats(s).bytes;
        if (change_evict_all(s, bytes - bytes / 8) == 0) {
            rc = try_group(s, jobs);
        }
    }
    if (rc != 0) {
        size_t bytes = 0;
        for (const struct store_job *job = jobs; job != NULL; job = job->next) {
            bytes += job->value.len;
        }
        begin_trouble(s, rc, bytes);
    }
    return rc;
}

static void run_group(struct store *s, struct store_job *jobs)
{
    int rc = ENOENT;
    store_at_work++;
    bool writes = !is_over(s) && check_files(s);
    if (writes && is_removal(jobs)) {
        rc = removal_run(s, jobs);
        if (rc != 0) {
            begin_trouble(s, rc, 0);
        }
    } else if (writes) {
        rc = write_group(s, jobs);
    }
    store_at_work--;
    for (struct store_job *job = jobs; job != NULL; job = job->next) {
        job->result = store_error(rc);
    }
}

/* ---- changed options, and the end of trouble ---- */

/* Waits until the loop thread has changed the size of the map. The mutex is held. */
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

static void apply_options(struct store *s)
{
    int64_t size = s->want_size;
    bool sync = s->want_sync;
    s->configured = false;
    if (is_over(s)) {
        return;
    }
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
        begin_trouble(s, rc, 0);
    }
    store_at_work--;
    pthread_mutex_lock(&s->mutex);
    resize_map(s, open_map_size(s, size));
}

static void check_trouble(struct store *s)
{
    s->check = false;
    if (is_over(s)) {
        return;
    }
    pthread_mutex_unlock(&s->mutex);
    bool over = check_files(s) && files_probe(s, s->failed_bytes) == 0;
    pthread_mutex_lock(&s->mutex);
    if (over) {
        s->trouble[0] = '\0';
    }
    s->options.wake(s->options.ctx);
}

/* ---- the thread ---- */

/* The bytes of one group: an eighth of a small cache. So the pages that the last commits have freed,
 * and which the next one cannot use yet, are few beside the room that the map has over max_size. */
static size_t group_bytes(const struct store *s)
{
    int64_t part = s->options.max_size / 8;
    return part < STORE_GROUP_BYTES ? (size_t)part : STORE_GROUP_BYTES;
}

/* Takes the next group off the queue: one removal, or the jobs of one transaction. */
static struct store_job *dequeue_group(struct store *s)
{
    struct store_job *group = s->first;
    struct store_job *last = group;
    size_t count = 1;
    size_t bytes = store_job_weight(group);
    while (!is_removal(group) && last->next != NULL && !is_removal(last->next) &&
           count < STORE_GROUP_JOBS && bytes < group_bytes(s)) {
        last = last->next;
        bytes += store_job_weight(last);
        count++;
    }
    s->first = last->next;
    s->last = s->first == NULL ? NULL : s->last;
    s->queued -= count;
    s->queued_bytes -= bytes;
    last->next = NULL;
    return group;
}

/* Waits for a job, then for more of its group. false: the store stops, and no job is left. */
static bool wait_for_group(struct store *s)
{
    while (!s->stop && !s->check && !s->configured && (s->hold || s->first == NULL)) {
        pthread_cond_wait(&s->wake_writer, &s->mutex);
    }
    mono_t until = {now_us() + STORE_GROUP_MS * USEC_PER_MS};
    while (!s->stop && !s->hurry && !s->hold && !s->check && !s->configured &&
           s->queued < STORE_GROUP_JOBS && s->queued_bytes < group_bytes(s)) {
        if (!os_cond_wait_until(&s->wake_writer, &s->mutex, until)) {
            break;
        }
    }
    return s->first != NULL || !s->stop;
}

static void append_done(struct store *s, struct store_job *group)
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
            apply_options(s);
        }
        if (s->check && !s->stop) {
            check_trouble(s);
        }
        s->busy = false;
        if (s->first == NULL || (s->hold && !s->stop)) {
            pthread_cond_broadcast(&s->wake_flush);
            continue;
        }
        struct store_job *group = dequeue_group(s);
        s->busy = true;
        pthread_mutex_unlock(&s->mutex);
        run_group(s, group);
        pthread_mutex_lock(&s->mutex);
        append_done(s, group);
        s->busy = false;
        s->hurry = s->hurry && s->first != NULL;
        pthread_cond_broadcast(&s->wake_flush);
        s->options.wake(s->options.ctx);
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}
