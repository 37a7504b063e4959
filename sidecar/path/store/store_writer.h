/* store_writer.h: what the writer's two files share: a transaction under way. */
#ifndef PATH_STORE_STORE_WRITER_H
#define PATH_STORE_STORE_WRITER_H

#include "path/store/store_priv.h"

/* One write transaction, with the counters as they will be once it is committed. */
struct change {
    struct store *s;
    MDB_txn *txn;
    uint64_t entries, bytes, expired, evicted;
    int64_t position, seq;
};

int change_begin(struct store *s, struct change *c);
/* Saves the counters and commits; on an error everything is as before. */
int change_commit(struct change *c);
void change_abort(struct change *c);

/* Each returns an LMDB code. */
int change_put(struct change *c, const struct store_job *job);
int change_touch(struct change *c, const struct store_job *job);
/* Removes the record of an order row at the cursor, and the row. */
int change_remove_at(struct change *c, MDB_cursor *cursor, const struct order_row *row,
                     int64_t position);
int change_remove_key(struct change *c, enum store_table table, const struct hash_key *key,
                      bool *found);
/* Removes the oldest records until live bytes are at most `goal`, `most` of them at most. */
int change_evict(struct change *c, uint64_t goal, size_t most);
int change_sweep(struct change *c, wall_t now);
/* Position and row at the cursor. */
bool change_row(MDB_val key, MDB_val value, int64_t *position, struct order_row *row);

#endif
