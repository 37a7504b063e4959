/* store_priv.h: what the files of store/ share. */
#ifndef PATH_STORE_STORE_PRIV_H
#define PATH_STORE_STORE_PRIV_H

#include "lull/path/store/store.h"

#include <lmdb.h>
#include <pthread.h>

enum {
    STORE_GROUP_JOBS = 64,
    STORE_GROUP_BYTES = 4 * 1024 * 1024,
    STORE_GROUP_MS = 200,
    STORE_BATCH = 256,      /* records removed in one transaction */
    STORE_SWEEP_ROWS = 512, /* looked at by one sweep */
    STORE_COMMIT_TIMES = 256,
    STORE_PAGE = 4096,
};

/* The head of a record on disk: 64 bytes, little-endian as written by memcpy (a data directory does
 * not move between machines of different byte order). The checksum covers the head with checksum 0,
 * and the value. */
struct record_head {
    uint32_t format;
    uint32_t table;
    uint64_t checksum;
    int64_t seq;
    int64_t position;
    int64_t expires;
    uint64_t hits;
    uint64_t length; /* of the value */
    uint64_t reserved;
};

/* A row of the order: position → which record. */
struct order_row {
    uint64_t hi, lo;
    uint64_t table;
    int64_t expires;
    uint64_t room;
};

struct store {
    struct store_options options;
    char *dir;
    int lock_fd;
    MDB_env *env;
    MDB_dbi tables[2], order, meta;
    MDB_txn *reader;
    bool reading;
    struct hash_secret secret;
    int64_t next_seq;
    store_alias_fn alias_fn;

    pthread_t thread;
    bool started;
    pthread_mutex_t mutex;
    pthread_cond_t wake_writer, wake_flush;
    /* under the mutex: */
    struct store_job *first, *last; /* queued */
    size_t queued, queued_bytes;
    struct store_job *done_first, *done_last;
    bool stop, hold, hurry, busy, damaged;
    struct store_stats stats;
    usec_t commit_times[STORE_COMMIT_TIMES];
    size_t commit_count;

    /* the writer thread's own: */
    int64_t position;
    int64_t sweep_from;
    uint64_t entries, bytes;
};

/* store.c: the one place where LMDB's codes become ours. */
enum err store_error(int code);
/* record.c */
uint64_t record_checksum(const struct record_head *head, const void *value);
enum err record_check(MDB_val raw, enum store_table table, struct record_head *head,
                      struct span *value);
uint64_t record_room(size_t length);
MDB_val record_key(const struct hash_key *key);
/* writer.c: the thread. */
void *writer_main(void *arg);
/* files.c */
enum err files_prepare(struct store *s, char *why, size_t why_size);
void files_set_aside(const char *dir, const char *why);
/* See store_options.crash_mark. */
void files_install_crash_mark(const char *dir);
void files_mark_open(const struct store *s);
void files_mark_closed(const struct store *s);
bool files_too_short(const struct store *s);

#endif
