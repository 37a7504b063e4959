/* store.c: opening, reading, handing jobs to the writer.
 *
 * Never WRITEMAP: a full disk is then an error of a commit and not a SIGBUS, and no stray pointer
 * of ours can reach the file. The map's size is set once, to max_size and a quarter, and never
 * grows: it costs address space only, and growing would pull the map from under readers. The loop's
 * read transaction is reset after every look-up and renewed for the next (0.03 us), since a long
 * one would keep every freed page from being used again.
 */
#include "path/store/store_priv.h"

#include "lull/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum err store_error(int code)
{
    switch (code) {
    case MDB_SUCCESS:
        return ERR_OK;
    case MDB_NOTFOUND:
        return ERR_NOT_FOUND;
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
        return ERR_FULL;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_PANIC:
    case MDB_VERSION_MISMATCH:
    case MDB_INVALID:
    case MDB_INCOMPATIBLE:
    case MDB_BAD_DBI:
        return ERR_CORRUPT;
    default:
        return code > 0 ? err_from_errno(code) : ERR_IO;
    }
}

static int open_env(struct store *s)
{
    unsigned flags = MDB_NOTLS | MDB_NORDAHEAD | (s->options.sync ? 0 : MDB_NOSYNC);
    int64_t size = s->options.max_size + s->options.max_size / 4 + (int64_t)4 * 1024 * 1024;
    int rc = mdb_env_create(&s->env);
    if (rc != 0) {
        return rc;
    }
    mdb_env_set_maxdbs(s->env, 8);
    mdb_env_set_mapsize(s->env, (size_t)size / STORE_PAGE * STORE_PAGE);
    return mdb_env_open(s->env, s->dir, flags, 0600);
}

static int open_tables(struct store *s, MDB_txn *txn)
{
    int rc = mdb_dbi_open(txn, "entry", MDB_CREATE, &s->tables[STORE_ENTRY]);
    rc = rc == 0 ? mdb_dbi_open(txn, "alias", MDB_CREATE, &s->tables[STORE_ALIAS]) : rc;
    rc = rc == 0 ? mdb_dbi_open(txn, "order", MDB_CREATE | MDB_INTEGERKEY, &s->order) : rc;
    return rc == 0 ? mdb_dbi_open(txn, "meta", MDB_CREATE, &s->meta) : rc;
}

static int meta_get(struct store *s, MDB_txn *txn, const char *name, void *out, size_t size)
{
    MDB_val key = {strlen(name), (void *)(uintptr_t)name};
    MDB_val value;
    int rc = mdb_get(txn, s->meta, &key, &value);
    if (rc == 0 && value.mv_size != size) {
        return MDB_CORRUPTED;
    }
    if (rc == 0) {
        memcpy(out, value.mv_data, size);
    }
    return rc;
}

static int meta_put(struct store *s, MDB_txn *txn, const char *name, const void *data, size_t size)
{
    MDB_val key = {strlen(name), (void *)(uintptr_t)name};
    MDB_val value = {size, (void *)(uintptr_t)data};
    return mdb_put(txn, s->meta, &key, &value, 0);
}

/* A file that was just made gets its format and secret. */
static int begin_file(struct store *s, MDB_txn *txn)
{
    uint32_t format = STORE_FORMAT;
    if (hash_secret_generate(&s->secret) != ERR_OK) {
        return EIO;
    }
    int rc = meta_put(s, txn, "secret", &s->secret, sizeof s->secret);
    return rc == 0 ? meta_put(s, txn, "format", &format, sizeof format) : rc;
}

static int read_meta(struct store *s, MDB_txn *txn)
{
    uint32_t format = 0;
    int rc = meta_get(s, txn, "format", &format, sizeof format);
    if (rc == MDB_NOTFOUND) {
        rc = begin_file(s, txn);
    } else if (rc == 0 && format != STORE_FORMAT) {
        return MDB_VERSION_MISMATCH;
    } else if (rc == 0) {
        rc = meta_get(s, txn, "secret", &s->secret, sizeof s->secret);
    }
    if (rc != 0) {
        return rc;
    }
    rc = meta_get(s, txn, "entries", &s->entries, sizeof s->entries);
    rc = rc == 0 ? meta_get(s, txn, "bytes", &s->bytes, sizeof s->bytes) : rc;
    rc = rc == 0 ? meta_get(s, txn, "seq", &s->next_seq, sizeof s->next_seq) : rc;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* The youngest position, without a look at anything else. */
static int read_position(struct store *s, MDB_txn *txn)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, s->order, &cursor);
    if (rc != 0) {
        return rc;
    }
    rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
    if (rc == 0 && key.mv_size == sizeof s->position) {
        memcpy(&s->position, key.mv_data, sizeof s->position);
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int open_all(struct store *s)
{
    MDB_txn *txn = NULL;
    int dead = 0;
    int rc = open_env(s);
    if (rc == 0 && files_too_short(s)) {
        rc = MDB_CORRUPTED;
    }
    if (rc == 0) {
        (void)mdb_reader_check(s->env, &dead);
        rc = mdb_txn_begin(s->env, NULL, 0, &txn);
    }
    if (rc != 0) {
        return rc;
    }
    rc = open_tables(s, txn);
    rc = rc == 0 ? read_meta(s, txn) : rc;
    rc = rc == 0 ? read_position(s, txn) : rc;
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    rc = mdb_txn_commit(txn);
    if (rc == 0) {
        rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &s->reader);
    }
    if (rc == 0) {
        mdb_txn_reset(s->reader);
    }
    return rc;
}

static void close_env(struct store *s)
{
    if (s->reader != NULL) {
        mdb_txn_abort(s->reader);
        s->reader = NULL;
    }
    if (s->env != NULL) {
        mdb_env_close(s->env);
        s->env = NULL;
    }
}

static void store_free(struct store *s)
{
    close_env(s);
    if (s->lock_fd >= 0) {
        close(s->lock_fd);
    }
    pthread_mutex_destroy(&s->mutex);
    pthread_cond_destroy(&s->wake_writer);
    pthread_cond_destroy(&s->wake_flush);
    free(s->dir);
    free(s);
}

static void init_sync(struct store *s)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->wake_writer, &attr);
    pthread_cond_init(&s->wake_flush, &attr);
    pthread_condattr_destroy(&attr);
}

enum err store_open(const struct store_options *options, struct store **out, char *why,
                    size_t why_size)
{
    struct store *s = mem_new(sizeof *s);
    s->options = *options;
    s->dir = mem_strdup(options->dir);
    s->lock_fd = -1;
    init_sync(s);
    enum err e = files_prepare(s, why, why_size);
    if (e != ERR_OK) {
        store_free(s);
        return e;
    }
    if (options->crash_mark) {
        files_install_crash_mark(s->dir);
    }
    int rc = open_all(s);
    if (store_error(rc) == ERR_CORRUPT) {
        close_env(s);
        files_set_aside(s->dir, mdb_strerror(rc));
        s->entries = 0;
        s->bytes = 0;
        rc = open_all(s);
    }
    if (rc == 0) {
        files_mark_open(s);
        rc = pthread_create(&s->thread, NULL, writer_main, s);
        s->started = rc == 0;
    }
    if (rc != 0) {
        snprintf(why, why_size, "%s cannot be used: %s", s->dir, mdb_strerror(rc));
        store_free(s);
        return store_error(rc);
    }
    s->stats.entries = s->entries;
    s->stats.bytes = s->bytes;
    *out = s;
    return ERR_OK;
}

static void stop_writer(struct store *s)
{
    pthread_mutex_lock(&s->mutex);
    s->stop = true;
    s->hold = false;
    pthread_cond_signal(&s->wake_writer);
    pthread_mutex_unlock(&s->mutex);
    pthread_join(s->thread, NULL);
}

static void fail_all(struct store_job *job)
{
    while (job != NULL) {
        struct store_job *next = job->next;
        job->done(job, ERR_IO, 0);
        job = next;
    }
}

void store_close(struct store *s)
{
    if (s == NULL) {
        return;
    }
    stop_writer(s);
    enum err e = store_collect(s);
    (void)e;
    fail_all(s->first);
    if (!s->damaged && !s->options.sync && mdb_env_sync(s->env, 1) == 0) {
        files_mark_closed(s);
    }
    store_free(s);
}

void store_close_damaged(struct store *s)
{
    stop_writer(s);
    enum err e = store_collect(s);
    (void)e;
    fail_all(s->first);
    s->first = NULL;
    close_env(s);
    files_set_aside(s->dir, "the data file is damaged");
    files_mark_closed(s);
    store_free(s);
}

const struct hash_secret *store_secret(const struct store *s)
{
    return &s->secret;
}

int64_t store_next_seq(struct store *s)
{
    return ++s->next_seq;
}

void store_set_alias_fn(struct store *s, store_alias_fn fn)
{
    pthread_mutex_lock(&s->mutex);
    s->alias_fn = fn;
    pthread_mutex_unlock(&s->mutex);
}

/* ---- reading ---- */

void store_read_begin(struct store *s)
{
    require(!s->reading);
    s->reading = mdb_txn_renew(s->reader) == 0;
}

void store_read_end(struct store *s)
{
    if (s->reading) {
        mdb_txn_reset(s->reader);
        s->reading = false;
    }
}

static enum err read_record(struct store *s, enum store_table table, const struct hash_key *key,
                            struct store_record *out)
{
    struct record_head head;
    MDB_val k = record_key(key);
    MDB_val raw;
    int rc = s->reading ? mdb_get(s->reader, s->tables[table], &k, &raw) : MDB_NOTFOUND;
    if (rc != 0) {
        return store_error(rc);
    }
    enum err e = record_check(raw, table, &head, &out->value);
    out->seq = head.seq;
    out->expires.us = head.expires;
    out->hits = head.hits;
    out->position = head.position;
    out->bytes = record_room((size_t)head.length);
    return e;
}

enum err store_get(struct store *s, enum store_table table, struct hash_key key,
                   struct store_record *out)
{
    return read_record(s, table, &key, out);
}

static int first_before(MDB_cursor *cursor, int64_t before, MDB_val *key, MDB_val *value)
{
    if (before <= 0) {
        return mdb_cursor_get(cursor, key, value, MDB_LAST);
    }
    *key = (MDB_val){sizeof before, &before};
    int rc = mdb_cursor_get(cursor, key, value, MDB_SET_RANGE);
    return mdb_cursor_get(cursor, key, value, rc == 0 ? MDB_PREV : MDB_LAST);
}

int64_t store_walk(struct store *s, int64_t before, size_t most,
                   bool (*fn)(void *ctx, struct hash_key key, const struct store_record *r),
                   void *ctx)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    int64_t next = 0;
    bool more = true;
    if (!s->reading || mdb_cursor_open(s->reader, s->order, &cursor) != 0) {
        return 0;
    }
    int rc = first_before(cursor, before, &key, &value);
    for (size_t i = 0; rc == 0 && more && value.mv_size == sizeof(struct order_row); i++) {
        struct order_row row;
        struct store_record record;
        memcpy(&row, value.mv_data, sizeof row);
        memcpy(&next, key.mv_data, sizeof next);
        struct hash_key id = {.hi = row.hi, .lo = row.lo};
        if (row.table == STORE_ENTRY && read_record(s, STORE_ENTRY, &id, &record) == ERR_OK) {
            more = fn(ctx, id, &record);
        }
        more = more && i + 1 < most;
        if (more) {
            rc = mdb_cursor_get(cursor, &key, &value, MDB_PREV);
        }
    }
    mdb_cursor_close(cursor);
    return more ? 0 : next;
}

/* ---- jobs ---- */

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
    s->queued_bytes += job->value.len;
    /* people wait for a removal */
    s->hurry = s->hurry || job->kind == STORE_REMOVE || job->kind == STORE_PURGE;
    pthread_cond_signal(&s->wake_writer);
    pthread_mutex_unlock(&s->mutex);
}

enum err store_collect(struct store *s)
{
    pthread_mutex_lock(&s->mutex);
    struct store_job *job = s->done_first;
    bool damaged = s->damaged;
    s->done_first = NULL;
    s->done_last = NULL;
    pthread_mutex_unlock(&s->mutex);
    while (job != NULL) {
        struct store_job *next = job->next;
        job->done(job, job->result, job->count);
        job = next;
    }
    return damaged ? ERR_CORRUPT : ERR_OK;
}

void store_flush(struct store *s)
{
    pthread_mutex_lock(&s->mutex);
    while ((s->first != NULL || s->busy) && !s->hold) {
        s->hurry = true;
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
