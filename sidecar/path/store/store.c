/* store.c: the life of a store, and reading. Jobs for the writer are in jobs.c.
 *
 * FORMAT. One LMDB file, data.mdb, with five tables:
 *
 *   meta    name           -> format, secret, seq
 *   entry   key, 16 bytes  -> index_row: where the answer record of that key is, and its hits
 *   alias   key, 16 bytes  -> index_row: where the answer record is that the exact key leads to, or
 *                             the exact record, and its answer record
 *   log     position       -> a piece of a record of either sort
 *   note    name           -> a note (notes.c); no other table leads to it
 *
 * A position is a number that grows with every record written: so the order of `log` is the order
 * of age. Appending fills its pages, and eviction takes records from its front and frees whole
 * pages. A hit changes the row and not the record; a record that was hit is written again, as the
 * youngest, when eviction comes to it, and so are the exact records that lead to it (change.c).
 *
 * A record is a head (struct record_head) and the value, in up to STORE_STEP pieces at consecutive
 * positions. LMDB gives a piece of more than 2,022 bytes pages of its own and rounds it up to whole
 * ones, which would cost a record of 2.3 KB nearly twice its size. So a record between STORE_LEAF
 * and STORE_RUN is cut: whole pages are filled exactly, and of the smaller pieces three or more
 * share a page. A larger record is one run of pages, which is read without a copy: the rounding is
 * a small part of it.
 *
 * THREADS. The loop thread reads; the writer thread (writer.c) alone writes. They share the queues,
 * the counters and the configured values, under `mutex`, and the count of readings, without it. The
 * loop thread never waits for the disk; only store_flush() and store_close() wait for the writer.
 * The size of the map changes on the loop thread, while nothing is read and the writer waits.
 *
 * WHAT A READING SEES. The last commit before the last store_collect(), or a later one, whole: every
 * job of a group or none. A transaction that writes, moves or removes a record changes row and pieces together: so a
 * row leads to one record and every record in `log` has its row. A job is finished, and collected,
 * after its commit: a reading that begins then sees it. The read transaction stays open for the
 * readings that follow, up to store_collect(), which comes after every commit: to renew it, and to
 * find the tables in it, costs as much as a look-up. A transaction that stays open keeps freed pages
 * from use: so the writer waits before its second commit under one, and wakes the loop.
 *
 * CRASHES. A commit writes new pages and then one of two meta pages, so a process that is killed
 * leaves the last commit, whole. What needs more than one commit:
 *  - Machine down, durability = os: pages may be missing. `unsynced` sets the file aside (files.c).
 *  - A removal: batches. What it has not reached yet is still there; the caller was not answered.
 *  - Compacting at the start: the copy is synced, then renamed over the file.
 *  - Sequence numbers: given by the loop thread, saved with each group. After a crash only numbers
 *    are given again that no committed record has.
 *  - Damaged pages: every record has a checksum; what makes LMDB itself crash leaves a mark, and
 *    the next start sets the file aside (files.c).
 */
#include "path/store/store_writer.h"

#include "lull/base/log.h"
#include "lull/base/os.h"

#include <stdio.h>
#include <stdlib.h>
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

static void store_free(struct store *s)
{
    open_close(s);
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
    pthread_mutex_init(&s->mutex, NULL);
    os_cond_init(&s->wake_writer);
    os_cond_init(&s->wake_flush);
}

/* Opens the file; a damaged one, or one of another format, is set aside and made again, with the
 * notes of the latter. */
static int open_or_replace(struct store *s)
{
    struct buf notes = {.max = 32 * 1024 * 1024};
    int rc = open_all(s);
    if (store_error(rc) == ERR_CORRUPT) {
        if (s->other_format) {
            notes_save(s, &notes);
        }
        open_close(s);
        files_set_aside(s->dir, rc == MDB_VERSION_MISMATCH ? "a file of another version"
                                                           : mdb_strerror(rc));
        rc = open_all(s);
        rc = rc == 0 ? notes_restore(s, &notes) : rc;
    }
    buf_free(&notes);
    return rc;
}

/* Reads the counters of an opened file. */
static int measure(struct store *s, uint64_t *bytes)
{
    struct change c;
    int rc = change_begin(s, &c);
    if (rc == 0) {
        *bytes = s->stats.bytes = change_bytes(&c);
        s->stats.entries = change_entries(&c);
        change_abort(&c);
    }
    return rc;
}

/* Makes a file smaller that is larger than it may be (max_size was lowered). Every step leaves a
 * whole file; one that cannot be compacted is replaced by an empty one. */
static int shrink(struct store *s)
{
    uint64_t bytes = 0;
    int64_t was = files_size(s);
    int rc = measure(s, &bytes);
    if (rc != 0 || was <= (int64_t)open_map_size(s, s->options.max_size)) {
        return rc;
    }
    rc = change_evict_all(s, (uint64_t)s->options.max_size);
    bool done = rc == 0 && files_compact(s);
    open_close(s);
    if (!done) {
        files_unlink(s);
    }
    rc = open_or_replace(s);
    log_info("store", "%s: the data file is larger than max_size allows: %s, %lld to %lld KB",
             s->dir, done ? "compacted" : "begun again empty", (long long)was / 1024,
             (long long)files_size(s) / 1024);
    return rc == 0 ? measure(s, &bytes) : rc;
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
    int rc = open_or_replace(s);
    rc = rc == 0 ? shrink(s) : rc;
    if (rc == 0) {
        files_mark_open(s);
        rc = pthread_create(&s->thread, NULL, writer_main, s);
        s->started = rc == 0;
    }
    if (rc != 0) {
        enum err failed = store_error(rc);
        if (failed == ERR_FULL) {
            snprintf(why, why_size, "%s", files_reason(rc));
        } else if (failed == ERR_PERM) {
            (void)files_explain(s->dir, rc, why, why_size);
        } else {
            snprintf(why, why_size, "%s cannot be used: %s", s->dir, files_reason(rc));
        }
        store_free(s);
        return failed;
    }
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

/* The finished jobs are handed back, and those that the writer has not begun fail. */
static void end_jobs(struct store *s)
{
    bool more = false;
    enum err e = store_collect(s, SIZE_MAX, &more);
    (void)e;
    struct store_job *job = s->first;
    s->first = NULL;
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
    end_jobs(s);
    if (!s->damaged && !s->gone && !s->options.sync && mdb_env_sync(s->env, 1) == 0) {
        files_mark_closed(s);
    }
    store_free(s);
}

void store_close_damaged(struct store *s)
{
    stop_writer(s);
    end_jobs(s);
    open_close(s);
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

void store_set_target_fn(struct store *s, store_target_fn fn)
{
    pthread_mutex_lock(&s->mutex);
    s->target_fn = fn;
    pthread_mutex_unlock(&s->mutex);
}

/* ---- reading ---- */

void reader_release(struct store *s)
{
    if (s->reading || atomic_load(&s->readings) % 2 == 0) {
        return;
    }
    if (s->held) {
        mdb_txn_reset(s->reader);
        s->held = false;
    }
    atomic_fetch_add(&s->readings, 1);
    if (atomic_load(&s->reading_awaited)) {
        pthread_mutex_lock(&s->mutex);
        pthread_cond_signal(&s->wake_writer);
        pthread_mutex_unlock(&s->mutex);
    }
}

void store_read_begin(struct store *s)
{
    require(!s->reading);
    if (s->held && atomic_load(&s->reading_awaited)) {
        reader_release(s);
    }
    if (!s->held) {
        atomic_fetch_add(&s->readings, 1);
        s->held = mdb_txn_renew(s->reader) == 0;
        s->renewed = false;
    }
    s->reading = s->held;
}

void store_read_end(struct store *s)
{
    s->reading = false;
    if (!s->held) {
        reader_release(s); /* it could not be opened */
    }
}

/* Whether a record is the one that a key of a table leads to. */
static bool is_of(const struct record_head *head, enum store_table table,
                  const struct hash_key *key)
{
    return head->table == (uint32_t)table ? hash_key_eq(head->key, *key)
                                          : table == STORE_EXACT && hash_key_eq(head->exact, *key);
}

/* The record of a key at a position, verified but for its rest. ERR_CORRUPT: damaged, or another one
 * is there. */
static enum err read_at(struct store *s, enum store_table table, const struct hash_key *key,
                        int64_t position, struct store_record *out)
{
    struct record_head head;
    if (!s->renewed && mdb_cursor_renew(s->reader, s->read_log) != 0) {
        return ERR_IO;
    }
    s->renewed = true;
    enum err e = record_read(s->read_log, position, s->read_room[table], &head, &out->value);
    if (e == ERR_OK && !is_of(&head, table, key)) {
        e = ERR_CORRUPT;
    }
    out->table = (enum store_table)head.table;
    out->key = head.key;
    out->seq = head.seq;
    out->expires.us = head.expires;
    out->rest = head.rest;
    out->rest_checksum = head.rest_checksum;
    out->position = position;
    out->hits = 0;
    out->target = 0;
    return e;
}

static enum err read_record(struct store *s, enum store_table table, const struct hash_key *key,
                            struct store_record *out)
{
    struct index_row row;
    int rc = s->reading ? record_find(s, s->reader, s->tables[table], key, &row) : MDB_NOTFOUND;
    if (rc != 0) {
        return store_error(rc);
    }
    enum err e = read_at(s, table, key, row.position, out);
    if (table == STORE_ANSWER) {
        out->hits = row.hits;
    } else if (e == ERR_OK && out->table == STORE_EXACT) {
        out->target = row.target;
    }
    return e;
}

static enum err read_whole(struct store *s, enum store_table table, const struct hash_key *key,
                           struct store_record *out)
{
    enum err e = read_record(s, table, key, out);
    return e == ERR_OK && !store_rest_is_good(out->value, out->rest, out->rest_checksum)
               ? ERR_CORRUPT
               : e;
}

enum err store_get(struct store *s, enum store_table table, struct hash_key key,
                   struct store_record *out)
{
    store_at_work++;
    enum err e = read_whole(s, table, &key, out);
    store_at_work--;
    return e;
}

/* A position is trusted for what is found there only: the record may have moved, and after a
 * restart the position may be another record's. Where the right one is there, its key leads to it.
 * */
enum err store_get_at(struct store *s, enum store_table table, struct hash_key key,
                      int64_t position, struct store_record *out)
{
    store_at_work++;
    enum err e = s->reading && position > 0 ? read_at(s, table, &key, position, out) : ERR_CORRUPT;
    e = e == ERR_OK ? e : read_record(s, table, &key, out);
    store_at_work--;
    return e;
}

bool store_has(struct store *s, enum store_table table, struct hash_key key)
{
    struct index_row row;
    store_at_work++;
    bool there = s->reading && record_find(s, s->reader, s->tables[table], &key, &row) == 0;
    store_at_work--;
    return there;
}

/* The last record before a position (0: the last of all), from its first piece on. */
static bool last_before(MDB_cursor *log, int64_t before, int64_t *position)
{
    MDB_val key = {sizeof before, &before};
    MDB_val value;
    int rc = before > 0 ? mdb_cursor_get(log, &key, &value, MDB_SET_RANGE) : MDB_NOTFOUND;
    rc = mdb_cursor_get(log, &key, &value, rc == 0 ? MDB_PREV : MDB_LAST);
    *position = rc == 0 ? record_position(key) : 0;
    if (before > 0 && *position >= before) { /* keys out of order: it would go round for ever */
        *position = 0;
        rc = MDB_CORRUPTED;
    }
    return rc == 0;
}

/* Whether there is an answer record at a position, and its key leads to it. */
static bool is_answer(struct store *s, MDB_cursor *log, int64_t position, struct hash_key *key)
{
    struct record_head head;
    struct index_row row;
    if (record_head(log, position, &head) != 0 || head.table != STORE_ANSWER) {
        return false;
    }
    *key = head.key;
    return record_find(s, s->reader, s->tables[STORE_ANSWER], key, &row) == 0 &&
           row.position == position;
}

int64_t store_walk(struct store *s, int64_t before, size_t most,
                   bool (*fn)(void *ctx, struct hash_key key, const struct store_record *r),
                   void *ctx)
{
    MDB_cursor *log = NULL;
    int64_t at = before;
    bool more = true;
    if (!s->reading || mdb_cursor_open(s->reader, s->log, &log) != 0) {
        return 0;
    }
    store_at_work++;
    for (size_t i = 0; more && last_before(log, at, &at); i++) {
        struct hash_key key;
        struct store_record record;
        if (is_answer(s, log, at, &key) && read_whole(s, STORE_ANSWER, &key, &record) == ERR_OK) {
            more = fn(ctx, key, &record);
        }
        more = more && i + 1 < most;
    }
    store_at_work--;
    mdb_cursor_close(log);
    return more ? 0 : at;
}
