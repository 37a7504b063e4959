/* store.h: records on disk, in LMDB; the only home of that library.
 *
 * Two tables of records by 128-bit key (entries and aliases, see cache/cache.h), in one order of
 * age. What a record holds is the caller's; the store keeps its sequence number, its expiry, its
 * hits, and a checksum over all of it that is verified on every read.
 *
 * The loop thread only reads. Everything that writes is a job for the one writer thread, which
 * commits jobs in groups: after 200 ms, 64 jobs or 4 MB, whichever comes first. Finished jobs are
 * handed back on the loop thread by store_collect(), after the `wake` function was called (from the
 * writer thread).
 *
 * A commit that fails because of the disk stops the writing of records: puts fail at once, reading
 * and removals go on. store_trouble() says why; store_check() makes the writer look again.
 */
#ifndef LULL_PATH_STORE_STORE_H
#define LULL_PATH_STORE_STORE_H

#include "lull/base/clock.h"
#include "lull/base/hash.h"

#include <stdbool.h>
#include <stdint.h>

struct store;

enum store_table { STORE_ANSWER, STORE_EXACT };
enum { STORE_FORMAT = 3 };

struct store_options {
    const char *dir;
    int64_t max_size; /* live bytes; the file may be a quarter larger */
    bool sync;        /* durability = group; false: the system writes when it likes */
    /* Handlers for SIGBUS, SIGSEGV and SIGABRT, set before the file is looked at. They leave a mark
     * in dir where the signal came of the file: the faulting address lies in the map, or the thread
     * is at work inside the store (LMDB's own assertions too). Then they let the signal do its
     * work: damaged pages kill once, and the next start sets the file aside. A crash elsewhere
     * leaves no mark. One directory per process. */
    bool crash_mark;
    void (*wake)(
        void *ctx); /* from the writer thread, when jobs are finished or the store failed */
    void *ctx;
};

/* Opens or makes the files in dir (0700, files 0600). ERR_BUSY: another process has it; ERR_PERM,
 * ERR_FULL, ERR_IO: why says what and what helps. A damaged or foreign file and one of another
 * format is set aside as data.mdb.bad (one is kept) and replaced by an empty one; so is one whose
 * process left a fatal-signal mark. A file larger than max_size, a quarter and 4 MB is compacted,
 * after its oldest records are evicted down to max_size; where that fails it is replaced. */
MUST_CHECK enum err store_open(const struct store_options *options, struct store **out, char *why,
                               size_t why_size);
/* Commits what is queued and closes; jobs not collected are handed back first. NULL is fine. */
void store_close(struct store *s);
/* As store_close, then sets the files aside: for a store that failed. Queued jobs are lost. */
void store_close_damaged(struct store *s);

/* Other values from now on. Does not wait: the writer evicts down to max_size and changes the size
 * of the map before its next group; the file itself shrinks at the next store_open(). */
void store_configure(struct store *s, int64_t max_size, bool sync);

/* Constant while the store is open: random at first, then read back. */
const struct hash_secret *store_secret(const struct store *s);
/* A sequence number larger than all given before, over restarts too. */
int64_t store_next_seq(struct store *s);

/* Reading. Between begin and end the values stay valid; keep it within one callback. */
struct store_record {
    int64_t seq;
    wall_t expires;
    uint64_t hits;
    int64_t position;  /* in the order of age: larger is younger */
    int64_t target;    /* of an exact record: where its answer record was when it was written; 0:
                          not known */
    struct span value; /* in the map, or put together in memory of the store's (two pieces or
                          more): until the next record of that table is read */
};
void store_read_begin(struct store *s);
/* ERR_NOT_FOUND; ERR_CORRUPT: there is one and its checksum is wrong. */
MUST_CHECK enum err store_get(struct store *s, enum store_table table, struct hash_key key,
                              struct store_record *out);
/* The same for a record that was at `position` once (0: not known): where it still is there, the
 * look-up of its key is saved, and hits is 0. */
MUST_CHECK enum err store_get_at(struct store *s, enum store_table table, struct hash_key key,
                                 int64_t position, struct store_record *out);
/* About what a record with a value of that length takes in the file, its key's row included. */
uint64_t store_room(size_t length);
/* Whether there is a record, read or not. */
bool store_has(struct store *s, enum store_table table, struct hash_key key);
/* Walks the entries from the youngest older than `before` (0: all) down; fn returns false to stop.
 * Looks at `most` rows at most; returns the position where to go on, 0 at the end. */
int64_t store_walk(struct store *s, int64_t before, size_t most,
                   bool (*fn)(void *ctx, struct hash_key key, const struct store_record *r),
                   void *ctx);
void store_read_end(struct store *s);

/* Jobs. */
enum store_job_kind {
    STORE_PUT,    /* value over whatever is there */
    STORE_REMOVE, /* one entry, and the aliases that lead to it */
    STORE_PURGE,  /* all entries that `match` says, and aliases that lead nowhere then */
    STORE_TOUCH,  /* adds hits: eviction spares the record once */
    STORE_SWEEP,  /* removes some of what expired before `now` */
};
struct store_job {
    enum store_job_kind kind;
    enum store_table table;
    struct hash_key key;
    int64_t seq;
    wall_t expires, now;
    uint64_t hits;
    struct buf value; /* STORE_PUT: owned by the job */
    /* STORE_PURGE: called on the writer thread with the values of entries; must be pure. */
    bool (*match)(const void *filter, struct span value);
    void *filter;
    /* Called by store_collect. result: ERR_OK, or why it was not done; count: records removed.
     * Frees the job (store_job_free) or keeps it. */
    void (*done)(struct store_job *job, enum err result, uint64_t count);
    void *ctx;
    enum err result;        /* private */
    uint64_t count;         /* private */
    struct store_job *next; /* private */
};
struct store_job *store_job_new(enum store_job_kind kind);
void store_job_free(struct store_job *job);
/* Hands the job over. Never blocks on the disk. */
void store_submit(struct store *s, struct store_job *job);
/* Calls `done` of the finished jobs. ERR_CORRUPT: the files are damaged: close with
 * store_close_damaged. ERR_NOT_FOUND: the files are no longer in dir: close and open again. */
MUST_CHECK enum err store_collect(struct store *s);
/* Why records are not written, as of the last commit; false: they are. */
bool store_trouble(struct store *s, char *why, size_t why_size);
/* While there is trouble: has the writer find out whether it is over (it writes a file of the size
 * of the group that failed, and removes it). `wake` is called when it is. Does not wait. */
void store_check(struct store *s);
/* Waits until everything submitted is finished (not yet collected). */
void store_flush(struct store *s);
/* For tests: the writer pauses before its next group. */
void store_hold(struct store *s, bool hold);

/* Tells what stands in an alias: the entry it leads to. Needed to find aliases that lead nowhere;
 * pure. */
typedef bool (*store_target_fn)(struct span value, struct hash_key *entry, int64_t *seq);
void store_set_target_fn(struct store *s, store_target_fn fn);

struct store_stats {
    uint64_t entries, expired, evicted, errors;
    uint64_t bytes; /* of pages in use by records and their keys */
};
/* A copy of the counters, as of the last commit. Any thread. */
struct store_stats store_stats(struct store *s);
/* Durations of the commits since the last call: up to `most`, in microseconds; returns how many. */
size_t store_commit_times(struct store *s, usec_t *out, size_t most);

#endif
