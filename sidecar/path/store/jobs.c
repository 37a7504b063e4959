/* jobs.c: jobs on their way to the writer and back, and what is asked of the writer. */
#include "path/store/store_writer.h"

#include "lull/base/log.h"

#include <stdio.h>
#include <stdlib.h>

struct store_job *store_job_new(enum store_job_kind kind)
{
    struct store_job *job = mem_new(sizeof *job);
    job->kind = kind;
    return job;
}

void store_job_free(struct store_job *job)
{
    buf_free(&job->value);
    free(job->filter);
    free(job);
}

/* A touched row is in a page of its own, most often: that is what its commit holds in memory. */
size_t store_job_weight(const struct store_job *job)
{
    return job->kind == STORE_TOUCH ? job->value.len / sizeof(struct store_touch) * STORE_PAGE
                                    : job->value.len;
}

/* Whether the writer has something to do that it would not find at the end of its wait: the first
 * job, a group that is full, or one that a client waits for. */
static bool must_wake_writer(const struct store *s)
{
    return s->queued == 1 || s->hurry || s->queued == STORE_GROUP_JOBS ||
           s->queued_bytes >= STORE_GROUP_BYTES;
}

void store_submit(struct store *s, struct store_job *job)
{
    pthread_mutex_lock(&s->mutex);
    job->next = NULL;
    if (s->last == NULL) {
        s->first = job;
    } else {
        s->last->next = job;
    }
    s->last = job;
    s->queued++;
    s->queued_bytes += store_job_weight(job);
    /* a client of the control socket waits for a removal */
    s->hurry = s->hurry || job->kind == STORE_REMOVE || job->kind == STORE_PURGE;
    bool wake = must_wake_writer(s);
    pthread_mutex_unlock(&s->mutex);
    if (wake) {
        pthread_cond_signal(&s->wake_writer);
    }
}

/* On the loop thread. The map may move: not while it is read. The mutex is held. */
static void resize_if_wanted(struct store *s)
{
    if (s->want_map == 0 || s->reading) {
        return;
    }
    int rc = mdb_env_set_mapsize(s->env, s->want_map);
    if (rc != 0) {
        log_error("store", "%s: the size of the map cannot be changed: %s", s->dir,
                  files_reason(rc));
    } else {
        (void)open_note_map(s); /* a damaged one was found when it was opened */
    }
    s->want_map = 0;
    pthread_cond_signal(&s->wake_writer);
}

/* Takes the first of the finished jobs, `most` at most. The mutex is held. */
static struct store_job *take_done(struct store *s, size_t most)
{
    struct store_job *first = s->done_first, **end = &first;
    for (size_t i = 0; i < most && *end != NULL; i++) {
        end = &(*end)->next;
    }
    s->done_first = *end;
    s->done_last = *end == NULL ? NULL : s->done_last;
    *end = NULL;
    return first;
}

enum err store_collect(struct store *s, size_t most, bool *more)
{
    reader_release(s);
    pthread_mutex_lock(&s->mutex);
    struct store_job *job = take_done(s, most);
    bool damaged = s->damaged, gone = s->gone;
    *more = s->done_first != NULL;
    resize_if_wanted(s);
    pthread_mutex_unlock(&s->mutex);
    while (job != NULL) {
        struct store_job *next = job->next;
        job->done(job, job->result, job->count);
        job = next;
    }
    return damaged ? ERR_CORRUPT : gone ? ERR_NOT_FOUND : ERR_OK;
}

void store_flush(struct store *s)
{
    require(!s->reading); /* the writer may wait for the end of the reading */
    reader_release(s);
    pthread_mutex_lock(&s->mutex);
    while ((s->first != NULL || s->busy || s->configured || s->check || s->want_map != 0) &&
           !s->hold) {
        resize_if_wanted(s);
        s->hurry = s->first != NULL;
        pthread_cond_signal(&s->wake_writer);
        pthread_cond_wait(&s->wake_flush, &s->mutex);
    }
    pthread_mutex_unlock(&s->mutex);
}

void store_hold(struct store *s, bool hold)
{
    pthread_mutex_lock(&s->mutex);
    s->hold = hold;
    pthread_cond_signal(&s->wake_writer);
    pthread_mutex_unlock(&s->mutex);
}

void store_configure(struct store *s, int64_t max_size, bool sync)
{
    pthread_mutex_lock(&s->mutex);
    s->want_size = max_size;
    s->want_sync = sync;
    s->configured = true;
    pthread_cond_signal(&s->wake_writer);
    pthread_mutex_unlock(&s->mutex);
}

bool store_trouble(struct store *s, char *why, size_t why_size)
{
    pthread_mutex_lock(&s->mutex);
    bool trouble = s->trouble[0] != '\0';
    snprintf(why, why_size, "%s", s->trouble);
    pthread_mutex_unlock(&s->mutex);
    return trouble;
}

void store_check(struct store *s)
{
    pthread_mutex_lock(&s->mutex);
    s->check = s->trouble[0] != '\0';
    pthread_cond_signal(&s->wake_writer);
    pthread_mutex_unlock(&s->mutex);
}

struct store_stats store_stats(struct store *s)
{
    pthread_mutex_lock(&s->mutex);
    struct store_stats stats = s->stats;
    pthread_mutex_unlock(&s->mutex);
    return stats;
}

size_t store_commit_times(struct store *s, usec_t *out, size_t most)
{
    pthread_mutex_lock(&s->mutex);
    size_t n = s->commit_count < most ? s->commit_count : most;
    memcpy(out, s->commit_times, n * sizeof *out);
    s->commit_count = 0;
    pthread_mutex_unlock(&s->mutex);
    return n;
}
