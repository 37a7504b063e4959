/* store_writer.h: what the files of the writer thread share: an open write transaction. */
#ifndef PATH_STORE_STORE_WRITER_H
#define PATH_STORE_STORE_WRITER_H

#include "path/store/store_priv.h"

/* jobs.c */
/* About how many bytes of pages a job writes: the measure of a group. */
size_t store_job_weight(const struct store_job *job);

/* One write transaction, with the counters as they will be once it is committed. */
struct change {
    struct store *s;
    MDB_txn *txn;
    MDB_cursor *log;
    uint64_t expired, evicted;
    int64_t position, seq;
};

/* An LMDB code. Waits for the end of a reading that was open at the last commit. */
int change_begin(struct store *s, struct change *c);
/* Saves sequence number and counters and commits; on an error everything is as before. */
int change_commit(struct change *c);
void change_abort(struct change *c);
/* Sizes as of this transaction: bytes of the pages in use, and how many answer records. */
uint64_t change_bytes(const struct change *c);
uint64_t change_entries(const struct change *c);

/* Each applies one job, and returns an LMDB code. */
int change_put(struct change *c, const struct store_job *job);
int change_touch(struct change *c, const struct store_job *job);
/* The first record at `from` or after: its head, not verified. MDB_NOTFOUND: the end.
 * MDB_CORRUPTED: the page is damaged. */
int change_next(struct change *c, int64_t from, struct record_head *head);
/* Removes a record that change_next() gave, and the row of its key if that leads to it. */
int change_remove(struct change *c, const struct record_head *head);
int change_remove_key(struct change *c, enum store_table table, const struct hash_key *key,
                      bool *found);
/* Removes the oldest records until live bytes are at most `goal`, `most` of them at most. */
int change_evict(struct change *c, uint64_t goal, size_t most);
/* The same in transactions of STORE_BATCH removals each. */
int change_evict_all(struct store *s, uint64_t goal);
int change_sweep(struct change *c, wall_t now);

/* notes.c: applies a STORE_NOTE, and returns an LMDB code. */
int notes_put(struct change *c, const struct store_job *job);

/* removal.c: the jobs that remove, in transactions of their own. */
int removal_run(struct store *s, struct store_job *job);

#endif
