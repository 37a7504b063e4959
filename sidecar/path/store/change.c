/* change.c: what a write transaction does: puts, removals, eviction, with counters that are only
 * believed once the transaction is committed.
 */
#include "path/store/store_writer.h"

int change_begin(struct store *s, struct change *c)
{
    *c = (struct change){.s = s, .entries = s->entries, .bytes = s->bytes, .position = s->position};
    return mdb_txn_begin(s->env, NULL, 0, &c->txn);
}

static int save(struct change *c, const char *name, const void *data)
{
    MDB_val key = {strlen(name), (void *)(uintptr_t)name};
    MDB_val value = {sizeof(uint64_t), (void *)(uintptr_t)data};
    return mdb_put(c->txn, c->s->meta, &key, &value, 0);
}

int change_commit(struct change *c)
{
    struct store *s = c->s;
    int rc = save(c, "entries", &c->entries);
    rc = rc == 0 ? save(c, "bytes", &c->bytes) : rc;
    rc = rc == 0 && c->seq > 0 ? save(c, "seq", &c->seq) : rc;
    if (rc != 0) {
        change_abort(c);
        return rc;
    }
    rc = mdb_txn_commit(c->txn);
    c->txn = NULL;
    if (rc == 0) {
        s->entries = c->entries;
        s->bytes = c->bytes;
        s->position = c->position;
        pthread_mutex_lock(&s->mutex);
        s->stats.entries = c->entries;
        s->stats.bytes = c->bytes;
        s->stats.expired += c->expired;
        s->stats.evicted += c->evicted;
        pthread_mutex_unlock(&s->mutex);
    }
    return rc;
}

void change_abort(struct change *c)
{
    if (c->txn != NULL) {
        mdb_txn_abort(c->txn);
        c->txn = NULL;
    }
}

bool change_row(MDB_val key, MDB_val value, int64_t *position, struct order_row *row)
{
    if (key.mv_size != sizeof *position || value.mv_size != sizeof *row) {
        return false;
    }
    memcpy(position, key.mv_data, sizeof *position);
    memcpy(row, value.mv_data, sizeof *row);
    return row->table <= STORE_ALIAS;
}

static void forget(struct change *c, uint64_t table, uint64_t room)
{
    c->bytes -= room < c->bytes ? room : c->bytes;
    if (table == STORE_ENTRY && c->entries > 0) {
        c->entries--;
    }
}

/* Removes whatever stands under the key, and its order row. MDB_NOTFOUND when nothing does. */
static int drop_old(struct change *c, enum store_table table, const struct hash_key *key)
{
    struct record_head head;
    MDB_val k = record_key(key);
    MDB_val raw;
    int rc = mdb_get(c->txn, c->s->tables[table], &k, &raw);
    if (rc != 0) {
        return rc;
    }
    bool readable = raw.mv_size >= sizeof head;
    if (readable) {
        memcpy(&head, raw.mv_data, sizeof head);
        forget(c, table, record_room(raw.mv_size - sizeof head));
    }
    rc = mdb_del(c->txn, c->s->tables[table], &k, NULL);
    if (rc == 0 && readable) {
        MDB_val position = {sizeof head.position, &head.position};
        rc = mdb_del(c->txn, c->s->order, &position, NULL);
        rc = rc == MDB_NOTFOUND ? 0 : rc;
    }
    return rc;
}

/* The record's bytes, into the room that was reserved for them. */
static void fill(const MDB_val *room, const struct record_head *head, const void *value)
{
    memcpy(room->mv_data, head, sizeof *head);
    if (head->length > 0) {
        memcpy((char *)room->mv_data + sizeof *head, value, head->length);
    }
}

/* Writes a record as the youngest. */
static int write_new(struct change *c, const struct hash_key *key, struct record_head *head,
                     const void *value)
{
    MDB_val k = record_key(key);
    MDB_val room = {sizeof *head + head->length, NULL};
    struct order_row row = {.hi = key->hi,
                            .lo = key->lo,
                            .table = head->table,
                            .expires = head->expires,
                            .room = record_room((size_t)head->length)};
    head->position = ++c->position;
    head->checksum = record_checksum(head, value);
    int rc = mdb_put(c->txn, c->s->tables[head->table], &k, &room, MDB_RESERVE);
    if (rc != 0) {
        return rc;
    }
    fill(&room, head, value);
    MDB_val position = {sizeof head->position, &head->position};
    MDB_val v = {sizeof row, &row};
    rc = mdb_put(c->txn, c->s->order, &position, &v, MDB_APPEND);
    if (rc == 0) {
        c->bytes += row.room;
        c->entries += head->table == STORE_ENTRY ? 1 : 0;
    }
    return rc;
}

int change_put(struct change *c, const struct store_job *job)
{
    struct record_head head = {.format = STORE_FORMAT,
                               .table = (uint32_t)job->table,
                               .seq = job->seq,
                               .expires = job->expires.us,
                               .length = job->value.len};
    int rc = drop_old(c, job->table, &job->key);
    if (rc != 0 && rc != MDB_NOTFOUND) {
        return rc;
    }
    c->seq = job->seq > c->seq ? job->seq : c->seq;
    return write_new(c, &job->key, &head, job->value.data);
}

static int64_t oldest(struct change *c)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    int64_t position = c->position;
    if (mdb_cursor_open(c->txn, c->s->order, &cursor) == 0) {
        if (mdb_cursor_get(cursor, &key, &value, MDB_FIRST) == 0 &&
            key.mv_size == sizeof position) {
            memcpy(&position, key.mv_data, sizeof position);
        }
        mdb_cursor_close(cursor);
    }
    return position;
}

int change_touch(struct change *c, const struct store_job *job)
{
    struct record_head head;
    struct span value;
    struct buf copy = {.max = SIZE_MAX};
    MDB_val k = record_key(&job->key);
    MDB_val raw;
    int rc = mdb_get(c->txn, c->s->tables[job->table], &k, &raw);
    if (rc != 0 || record_check(raw, job->table, &head, &value) != ERR_OK || head.seq != job->seq) {
        return rc == MDB_NOTFOUND ? 0 : rc; /* gone meanwhile, or another one */
    }
    if (buf_append_span(&copy, value) != ERR_OK) {
        return 0;
    }
    head.hits += job->hits;
    if (head.position < oldest(c) + (c->position - oldest(c)) / 2) {
        rc = drop_old(c, job->table, &job->key);
        rc = rc == 0 ? write_new(c, &job->key, &head, copy.data) : rc;
    } else {
        MDB_val room = {sizeof head + head.length, NULL};
        head.checksum = record_checksum(&head, copy.data);
        rc = mdb_put(c->txn, c->s->tables[job->table], &k, &room, MDB_RESERVE);
        if (rc == 0) {
            fill(&room, &head, copy.data);
        }
    }
    buf_free(&copy);
    return rc;
}

int change_remove_at(struct change *c, MDB_cursor *cursor, const struct order_row *row,
                     int64_t position)
{
    struct hash_key key = {.hi = row->hi, .lo = row->lo};
    struct record_head head;
    MDB_val k = record_key(&key);
    MDB_val raw;
    int rc = mdb_get(c->txn, c->s->tables[row->table], &k, &raw);
    bool own = false;
    if (rc == 0 && raw.mv_size >= sizeof head) {
        memcpy(&head, raw.mv_data, sizeof head);
        own = head.position == position;
    }
    if (own) {
        rc = mdb_del(c->txn, c->s->tables[row->table], &k, NULL);
    }
    if (rc != 0 && rc != MDB_NOTFOUND) {
        return rc;
    }
    forget(c, own ? row->table : STORE_ALIAS, row->room);
    return mdb_cursor_del(cursor, 0);
}

int change_remove_key(struct change *c, enum store_table table, const struct hash_key *key,
                      bool *found)
{
    int rc = drop_old(c, table, key);
    *found = rc == 0;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int change_evict(struct change *c, uint64_t goal, size_t most)
{
    MDB_cursor *cursor = NULL;
    int rc = mdb_cursor_open(c->txn, c->s->order, &cursor);
    for (size_t i = 0; rc == 0 && c->bytes > goal && i < most; i++) {
        MDB_val key, value;
        int64_t position = 0;
        struct order_row row;
        rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
        if (rc == 0) {
            rc = change_row(key, value, &position, &row)
                     ? change_remove_at(c, cursor, &row, position)
                     : MDB_CORRUPTED;
            c->evicted++;
        }
    }
    if (cursor != NULL) {
        mdb_cursor_close(cursor);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int change_sweep(struct change *c, wall_t now)
{
    MDB_cursor *cursor = NULL;
    MDB_val key = {sizeof c->s->sweep_from, &c->s->sweep_from};
    MDB_val value;
    int rc = mdb_cursor_open(c->txn, c->s->order, &cursor);
    if (rc != 0) {
        return rc;
    }
    rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
    int64_t position = 0;
    for (size_t i = 0; rc == 0 && i < STORE_SWEEP_ROWS; i++) {
        struct order_row row;
        if (!change_row(key, value, &position, &row)) {
            rc = MDB_CORRUPTED;
            break;
        }
        if (row.expires <= now.us) {
            rc = change_remove_at(c, cursor, &row, position);
            c->expired++;
        }
        rc = rc == 0 ? mdb_cursor_get(cursor, &key, &value, MDB_NEXT) : rc;
    }
    c->s->sweep_from = rc == MDB_NOTFOUND ? 0 : position;
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}
