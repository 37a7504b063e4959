/* store_priv.h: what the files of store/ share. The format and the threads: see store.c.
 */
#ifndef PATH_STORE_STORE_PRIV_H
#define PATH_STORE_STORE_PRIV_H

#include "lull/path/store/store.h"

#include <lmdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/types.h>

enum {
    STORE_GROUP_JOBS = 1024,
    STORE_GROUP_BYTES = 4 * 1024 * 1024,
    STORE_GROUP_MS = 200,
    STORE_BATCH = 256,      /* records removed in one transaction */
    STORE_SWEEP_ROWS = 512, /* records that one sweep reads */
    STORE_COMMIT_TIMES = 256,
    STORE_PAGE = 4096,
    STORE_LEAF = 1340,     /* largest piece that shares a page: three fit */
    STORE_WHOLE = 4080,    /* fills a page of its own, beside LMDB's 16 bytes */
    STORE_RUN = 16 * 1024, /* from here on a record is one piece */
    STORE_STEP = 16,       /* positions of one record */
    STORE_SPARED = 256,    /* records that one eviction may spare before it spares none */
};

/* The head of a record: 96 bytes, in the byte order of the machine (a data directory does not move
 * to a machine of another one). The checksum covers what follows it in the head, and the value but
 * for its last `rest` bytes; these have their own. */
struct record_head {
    uint64_t checksum;
    uint32_t format;
    uint32_t table;
    int64_t seq;
    int64_t position;
    int64_t expires;
    struct hash_key key;
    struct hash_key exact; /* of an answer record: the exact key that leads to it; 0, 0: none */
    uint64_t length;       /* of the value */
    uint64_t rest, rest_checksum;
};

/* The value of a key in the two tables of keys. */
struct index_row {
    int64_t position;
    union {
        struct { /* of an answer record */
            uint32_t hits;
            uint32_t chance; /* hit since it was written: eviction spares it once */
        };
        int64_t
            target; /* of an exact key: store_record.target, where it leads to an exact record */
    };
};

struct store {
    struct store_options options; /* max_size and sync: as the writer has applied them */
    char *dir;
    int lock_fd;
    dev_t file_dev; /* of data.mdb as opened */
    ino_t file_ino;
    MDB_env *env;
    uintptr_t map; /* where the file is mapped; 0: not known */
    size_t map_size, page;
    MDB_dbi tables[2], log, meta, notes;
    MDB_txn *reader;
    MDB_cursor *read_log;
    bool reading;
    bool held;                   /* `reader` is open: in a reading, or for the next one */
    bool renewed;                /* read_log belongs to `reader` as it is open now */
    _Atomic uint64_t readings;   /* opened and released, both counted: odd while `reader` is open */
    atomic_bool reading_awaited; /* the writer waits for its release */
    char read_room[2][STORE_RUN];
    struct hash_secret secret;
    int64_t next_seq;
    bool other_format; /* open_all() failed at records of another STORE_FORMAT */
    store_target_fn target_fn;

    pthread_t thread;
    bool started;
    pthread_mutex_t mutex;
    pthread_cond_t wake_writer, wake_flush;
    /* under the mutex: */
    struct store_job *first, *last; /* queued */
    size_t queued, queued_bytes;
    struct store_job *done_first, *done_last;
    bool stop, hold, hurry, busy, damaged, gone, check, configured;
    int64_t want_size; /* configured */
    bool want_sync;
    size_t want_map; /* not 0: the writer waits for the loop thread to change the size of the map */
    char trouble[128]; /* empty: records are written */
    struct store_stats stats;
    usec_t commit_times[STORE_COMMIT_TIMES];
    size_t commit_count;

    /* used by the writer thread only: */
    int64_t position;    /* of the youngest record */
    int64_t sweep_from;  /* where the next sweep begins */
    uint64_t outlasted;  /* `readings` after the last commit */
    size_t failed_bytes; /* of the group that could not be written */
    char write_room[STORE_RUN];
};

/* store.c */
/* What a code of LMDB, or an errno, is as ours. */
enum err store_error(int code);
/* The next reading begins at the last commit; the pages that were freed since may be used again. */
void reader_release(struct store *s);

/* open.c. open_all() opens or makes the environment and its tables and reads secret, sequence
 * number and last position: an LMDB code. open_close() undoes it, whole or in part. */
int open_all(struct store *s);
void open_close(struct store *s);
/* Notes where the file is mapped, and guards it; after open_all(), and when the map has moved. No
 * reading is open. MDB_CORRUPTED: the table of single values is damaged. */
int open_note_map(struct store *s);
/* Size of the map, and largest size of the file; the environment is open. */
size_t open_map_size(const struct store *s, int64_t max_size);

/* notes.c: take the notes of a file whose records have another format into the next one. save after
 * open_all() set other_format, before open_close(); restore after the next open_all(): an LMDB code,
 * 0 where nothing was saved. */
void notes_save(struct store *s, struct buf *out);
int notes_restore(struct store *s, const struct buf *saved);

/* record.c */
MDB_val record_key(const struct hash_key *key);
/* Whether a value that has pages of its own has as many as its size needs, where the file says so.
 * LMDB frees the pages that the first of them names, up to 4 billion where it is damaged: what is not
 * sound must not be deleted or replaced. */
bool record_is_sound(const struct store *s, MDB_val value);
/* Reads the row of a key, which may be deleted or replaced then: an LMDB code. */
int record_find(const struct store *s, MDB_txn *txn, MDB_dbi index, const struct hash_key *key,
                struct index_row *out);
/* The head alone, not verified; `log` then stands at the record. MDB_CORRUPTED: it is none. */
int record_head(MDB_cursor *log, int64_t position, struct record_head *head);
/* The record, verified but for the rest of its value. The value is in the map or in room (STORE_RUN
 * bytes). */
enum err record_read(MDB_cursor *log, int64_t position, char *room, struct record_head *head,
                     struct span *value);
/* The same, all of it verified. */
enum err record_read_whole(MDB_cursor *log, int64_t position, char *room, struct record_head *head,
                           struct span *value);
uint64_t record_checksum(const struct record_head *head, const void *value);
/* Sizes of the pieces of a record; returns how many. */
size_t record_pieces(size_t total, size_t sizes[STORE_STEP]);
/* The position of the record that a log key belongs to. */
int64_t record_position(MDB_val key);

/* writer.c: the writer thread; arg: the store. Returns when `stop` is set and the queue is empty.
 * */
void *writer_main(void *arg);

/* files.c */
/* Makes and locks the directory, and sets data.mdb aside where a mark of an earlier run says that
 * it may be damaged. On an error why has one sentence. */
enum err files_prepare(struct store *s, char *why, size_t why_size);
/* Renames data.mdb to data.mdb.bad (over an older one) and logs why. */
void files_set_aside(const char *dir, const char *why);
/* files_remember() notes which file data.mdb is; files_gone(): another one or none has its name. */
void files_remember(struct store *s);
bool files_gone(const struct store *s);
/* Of data.mdb; 0: there is none. */
int64_t files_size(const struct store *s);
/* Copies the live pages into a new file and renames it to data.mdb: whole or not at all. The
 * environment still maps the old file: close it. false: the old file is still in place. */
bool files_compact(struct store *s);
void files_unlink(const struct store *s);
/* Writes `bytes` to a file in dir and removes it: 0, or the errno of what failed. */
int files_probe(const struct store *s, size_t bytes);
/* Why flock() failed: in use (pid: of the other daemon, may be empty), or not possible there. */
enum err files_lock_failed(const char *dir, int errnum, const char *pid, char *why,
                           size_t why_size);
/* A sentence for a code of LMDB or an errno. */
const char *files_reason(int code);
/* Writes into why that the directory cannot be written, and what helps. */
enum err files_explain(const char *dir, int errnum, char *why, size_t why_size);
/* See store_options.crash_mark. */
void files_install_crash_mark(const char *dir);
/* The address of the map whose faults leave a mark; 0: none. */
void files_guard_map(uintptr_t map, size_t size);
/* The file `unsynced` (see the head of files.c): written unless every commit is synced; removed. */
void files_mark_open(const struct store *s);
void files_mark_closed(const struct store *s);
/* Gives lock.mdb the blocks that LMDB writes to, before it is opened; an errno. */
int files_reserve_lock(const struct store *s);
/* Makes data.mdb as long as LMDB takes it to be. 0: it was, or only free pages were missing;
 * MDB_CORRUPTED: others were. */
int files_complete_tail(const struct store *s);

/* Above 0: this thread is in code of the store, whose fatal signals leave a mark. */
extern _Thread_local volatile sig_atomic_t store_at_work;

#endif
