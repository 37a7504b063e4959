/* store.h: records on disk, in LMDB; the only folder that uses that library.
 *
 * Two tables of records by 128-bit key (answer records and exact records, see cache.h), in one
 * order of age. A key of the table of exact records may lead to an answer record at once: it goes
 * with that record. The caller encodes the value of a record; the store keeps its sequence number, its
 * expiry, its hits, and a checksum over all of it that is verified on every read (of a part that the
 * caller compares itself, where it says so).
 *
 * The loop thread only reads. Every write is a job for the one writer thread, which commits jobs in
 * groups: after 200 ms, 1,024 jobs or 4 MB, whichever comes first. Then it calls `wake`, and the loop
 * thread takes the finished jobs back with store_collect().
 *
 * A commit that fails because of the disk stops the writing of records: puts fail at once, reading
 * and removals go on. store_trouble() says why; store_check() makes the writer look again.
 *
 * All functions are for the loop thread but where they say otherwise; none calls back before it
 * returns but where it says so.
 */
#ifndef LULL_PATH_STORE_STORE_H
#define LULL_PATH_STORE_STORE_H

#include "lull/base/clock.h"
#include "lull/base/hash.h"

#include <stdbool.h>
#include <stdint.h>

struct store;

enum store_table { STORE_ANSWER, STORE_EXACT };
enum { STORE_FORMAT = 5 };

struct store_options {
    const char *dir;
    int64_t max_size; /* live bytes; the file may be a quarter and 1,024 pages larger */
    bool sync;        /* durability = group; false: the system decides when it writes */
    /* Installs handlers for SIGBUS, SIGSEGV and SIGABRT before the file is opened. They leave a
     * mark in dir if the file caused the signal: the faulting address lies in the map, or the
     * thread is inside the store (LMDB's assertions too). Then the signal takes its default action:
     * damaged pages kill the process once, and the next start sets the file aside. A crash
     * elsewhere leaves no mark. One directory per process. */
    bool crash_mark;
    /* Called from the writer thread when jobs are finished or the store failed. */
    void (*wake)(void *ctx);
    void *ctx;
};

/* Opens or makes the files in dir (0700, files 0600). ERR_BUSY: another process has it; ERR_PERM,
 * ERR_FULL, ERR_IO: why says what and what helps. A damaged or foreign file and one of another
 * format is set aside as data.mdb.bad (one is kept) and replaced by an empty one; so is one whose
 * process left a fatal-signal mark. A file larger than max_size, a quarter and 1,024 pages
 * (4 MB with pages of 4 KB) is compacted, after its oldest records are evicted down to max_size;
 * where that fails it is replaced. */
MUST_CHECK enum err store_open(const struct store_options *options, struct store **out, char *why,
                               size_t why_size);
/* Whether this user may write the store's files in dir, as far as they are there. It opens none: the
 * store may be in use. false: why says what helps. */
bool store_files_usable(const char *dir, char *why, size_t why_size);
/* Commits the queued jobs, calls their `done`, and closes. NULL is fine. */
void store_close(struct store *s);
/* For a store that failed: closes and sets the files aside. Queued jobs fail with ERR_IO. */
void store_close_damaged(struct store *s);

/* Changes the options. Does not wait: the writer evicts down to max_size and changes the size of
 * the map before its next group; the file itself shrinks at the next store_open(). */
void store_configure(struct store *s, int64_t max_size, bool sync);

/* Constant while the store is open: random in a new file, else read from it. */
const struct hash_secret *store_secret(const struct store *s);
/* A sequence number larger than that of every record, over restarts too. */
int64_t store_next_seq(struct store *s);

/* A reading sees the last commit before the store_collect() before its begin, or a later one. Values
 * are valid until its end, which comes in the same callback of the loop: the writer commits once at
 * most under an open reading. */
struct store_record {
    /* Of the record itself, which for a key of STORE_EXACT may be an answer record. */
    enum store_table table;
    struct hash_key key;
    int64_t seq;
    wall_t expires;
    uint64_t hits;    /* as far as they are written */
    int64_t position; /* in the order of age: larger is younger */
    /* Of an exact record: where its answer record was when it was written; 0: not known. */
    int64_t target;
    /* In the map; a record of several pieces: in memory of the store, valid until the next record
     * of that table is read. */
    struct span value;
    uint64_t rest, rest_checksum; /* for store_rest_is_good() */
};
void store_read_begin(struct store *s);
/* Reads a record. ERR_NOT_FOUND; ERR_CORRUPT: its checksum is wrong. */
MUST_CHECK enum err store_get(struct store *s, enum store_table table, struct hash_key key,
                              struct store_record *out);
/* The same for a record that was at `position` once (0: not known). If it is still there, its key
 * is not looked up, and hits is 0. The rest of its value (struct store_job) is not verified. */
MUST_CHECK enum err store_get_at(struct store *s, enum store_table table, struct hash_key key,
                                 int64_t position, struct store_record *out);
/* Whether the rest of a record's value is as it was written. */
bool store_rest_is_good(struct span value, uint64_t rest, uint64_t checksum);
/* About what a record with a value of that length takes in the file, its key's row included. */
uint64_t store_room(size_t length);
/* Whether there is a record; it is not read. */
bool store_has(struct store *s, enum store_table table, struct hash_key key);
/* Calls fn for the answer records from the youngest older than position `before` (0: of all) down,
 * before it returns; fn returns false to stop. Reads `most` records at most. Returns the position
 * to go on from, 0 at the end. */
int64_t store_walk(struct store *s, int64_t before, size_t most,
                   bool (*fn)(void *ctx, struct hash_key key, const struct store_record *r),
                   void *ctx);
/* Calls fn for every note that has not expired, in the order of their names, before it returns. One
 * whose checksum is wrong is passed over. name and value are valid during the call. */
void store_each_note(struct store *s, wall_t now,
                     void (*fn)(void *ctx, const char *name, struct span value), void *ctx);
void store_read_end(struct store *s);

/* Jobs for the writer thread. */
enum store_job_kind {
    STORE_PUT,    /* writes a record, over one of the same key */
    STORE_REMOVE, /* removes an answer record, and what leads to it */
    STORE_PURGE,  /* removes the answer records that match, and exact records without an answer */
    STORE_TOUCH,  /* adds hits to answer records: eviction spares each once */
    STORE_SWEEP,  /* removes some of what expired before `now` */
    STORE_NOTE,   /* writes the note `name`, over one of that name, and removes what notes expired
                     before `now` */
};
/* A note is a small value under a name, for what is no answer. It is in no order of age and counts
 * for no size: eviction, purges and sweeps leave it, and so does another STORE_FORMAT. It is lost
 * with a damaged file only. */
enum { STORE_NOTE_NAME = 32, STORE_NOTE_MAX = 256 * 1024 };
/* Hits of the answer record that has this key and this sequence number. */
struct store_touch {
    struct hash_key key;
    int64_t seq;
    uint64_t hits;
};
struct store_job {
    enum store_job_kind kind;
    enum store_table table;
    struct hash_key key;
    /* STORE_PUT of an answer record: a key of STORE_EXACT that leads to it, over what that key led
     * to; 0, 0: none. */
    struct hash_key exact;
    int64_t seq;
    wall_t expires, now;
    /* STORE_PUT, STORE_NOTE: the value; STORE_TOUCH: the touches, one after the other. Owned by the
     * job. */
    struct buf value;
    /* STORE_PUT: so many bytes at the end of the value have a checksum of their own: a reader that
     * compares them with what it has needs none. */
    size_t rest;
    char name[STORE_NOTE_NAME]; /* STORE_NOTE: terminated, not empty */
    /* STORE_PURGE: called on the writer thread with the values of answer records; pure. */
    bool (*match)(const void *filter, struct span value);
    void *filter;
    /* Called by store_collect() and at the close. result: ERR_OK, or why it was not done; count:
     * answer records removed. Owns the job from here on. */
    void (*done)(struct store_job *job, enum err result, uint64_t count);
    void *ctx;
    enum err result;        /* private */
    uint64_t count;         /* private */
    struct store_job *next; /* private */
};
/* All zero but its kind. store_job_free() frees value and filter too. */
struct store_job *store_job_new(enum store_job_kind kind);
void store_job_free(struct store_job *job);
static inline bool store_job_has_exact(const struct store_job *job)
{
    return hash_key_is_set(job->exact);
}
/* Hands the job over to the writer. Never waits for the disk. */
void store_submit(struct store *s, struct store_job *job);
/* Calls `done` of the finished jobs, of `most` at most, in the order in which they were submitted,
 * before it returns. *more: others are finished, and `wake` is not called for them again: the caller
 * comes back. ERR_CORRUPT: the files are damaged: close with store_close_damaged. ERR_NOT_FOUND: the
 * files are no longer in dir: close and open again. */
MUST_CHECK enum err store_collect(struct store *s, size_t most, bool *more);
/* Whether records cannot be written, as of the last commit; then why has the reason. */
bool store_trouble(struct store *s, char *why, size_t why_size);
/* While there is trouble: the writer tries to write a file of the size of the group that failed,
 * and removes it. `wake` is called after the try. Does not wait. */
void store_check(struct store *s);
/* Waits until every submitted job is finished (not yet collected). Not while a reading is open. */
void store_flush(struct store *s);
/* For tests: the writer pauses before its next group. */
void store_hold(struct store *s, bool hold);

/* Decodes the value of an exact record: key and sequence number of its answer record. false: it
 * cannot be read. Called on the writer thread; pure. */
typedef bool (*store_target_fn)(struct span value, struct hash_key *answer, int64_t *seq);
void store_set_target_fn(struct store *s, store_target_fn fn);

struct store_stats {
    uint64_t entries; /* answer records */
    uint64_t expired, evicted, errors;
    uint64_t bytes; /* of pages in use by records and their keys */
};
/* A copy of the counters, as of the last commit. Any thread. */
struct store_stats store_stats(struct store *s);
/* Durations of the commits since the last call: up to `most`, in microseconds; returns how many. */
size_t store_commit_times(struct store *s, usec_t *out, size_t most);

#endif
