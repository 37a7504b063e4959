/* notes.c: notes: small values under a name, in a table of their own that nothing else walks. */
#include "path/store/store_writer.h"

#include <stdlib.h>

/* Before the value. The checksum covers the name, the expiry and the value. */
struct note_head {
    uint64_t checksum;
    int64_t expires;
};

static uint64_t note_checksum(MDB_val name, int64_t expires, struct span value)
{
    uint64_t sums[3] = {hash_checksum(name.mv_data, name.mv_size), (uint64_t)expires,
                        hash_checksum(value.ptr, value.len)};
    return hash_checksum(sums, sizeof sums);
}

static bool note_head_read(MDB_val data, struct note_head *head)
{
    bool whole = data.mv_size >= sizeof *head;
    if (whole) {
        memcpy(head, data.mv_data, sizeof *head);
    }
    return whole;
}

static int remove_expired(struct change *c, wall_t now)
{
    MDB_cursor *cursor = NULL;
    MDB_val name, data;
    int rc = mdb_cursor_open(c->txn, c->s->notes, &cursor);
    if (rc != 0) {
        return rc;
    }
    while (rc == 0 && (rc = mdb_cursor_get(cursor, &name, &data, MDB_NEXT)) == 0) {
        struct note_head head;
        if (!record_is_sound(c->s, data)) { /* also of what is about to be replaced */
            rc = MDB_CORRUPTED;
        } else if (!note_head_read(data, &head) || head.expires <= now.us) {
            rc = mdb_cursor_del(cursor, 0);
        }
    }
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int notes_put(struct change *c, const struct store_job *job)
{
    struct span value = buf_span(&job->value);
    MDB_val name = {strlen(job->name), (void *)(uintptr_t)job->name};
    struct note_head head = {note_checksum(name, job->expires.us, value), job->expires.us};
    MDB_val data = {sizeof head + value.len, NULL};
    int rc = remove_expired(c, job->now);
    rc = rc == 0 ? mdb_put(c->txn, c->s->notes, &name, &data, MDB_RESERVE) : rc;
    if (rc == 0) {
        memcpy(data.mv_data, &head, sizeof head);
        memcpy((char *)data.mv_data + sizeof head, value.len > 0 ? value.ptr : "", value.len);
    }
    return rc;
}

void store_each_note(struct store *s, wall_t now,
                     void (*fn)(void *ctx, const char *name, struct span value), void *ctx)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, data;
    if (!s->reading || mdb_cursor_open(s->reader, s->notes, &cursor) != 0) {
        return;
    }
    store_at_work++;
    while (mdb_cursor_get(cursor, &key, &data, MDB_NEXT) == 0) {
        struct note_head head;
        if (!note_head_read(data, &head) || head.expires <= now.us ||
            key.mv_size >= STORE_NOTE_NAME) {
            continue;
        }
        struct span value =
            span_make((const char *)data.mv_data + sizeof head, data.mv_size - sizeof head);
        if (head.checksum == note_checksum(key, head.expires, value)) {
            char *name = mem_strndup(key.mv_data, key.mv_size);
            fn(ctx, name, value);
            free(name);
        }
    }
    store_at_work--;
    mdb_cursor_close(cursor);
}

/* ---- from a file of another format ---- */

struct saved_note {
    size_t name, data; /* lengths; both follow */
};

void notes_save(struct store *s, struct buf *out)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    MDB_dbi notes;
    MDB_val name, data;
    if (mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn) != 0) {
        return;
    }
    if (mdb_dbi_open(txn, "note", 0, &notes) == 0 && mdb_cursor_open(txn, notes, &cursor) == 0) {
        while (mdb_cursor_get(cursor, &name, &data, MDB_NEXT) == 0) {
            struct saved_note one = {name.mv_size, data.mv_size};
            if (buf_reserve(out, sizeof one + one.name + one.data) == ERR_OK) {
                require_ok(buf_append(out, &one, sizeof one));
                require_ok(buf_append(out, name.mv_data, one.name));
                require_ok(buf_append(out, data.mv_data, one.data));
            }
        }
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
}

int notes_restore(struct store *s, const struct buf *saved)
{
    MDB_txn *txn = NULL;
    int rc = saved->len > 0 ? mdb_txn_begin(s->env, NULL, 0, &txn) : 0;
    for (size_t at = 0; rc == 0 && at < saved->len;) {
        struct saved_note one;
        memcpy(&one, saved->data + at, sizeof one);
        at += sizeof one;
        MDB_val name = {one.name, saved->data + at};
        MDB_val data = {one.data, saved->data + at + one.name};
        rc = mdb_put(txn, s->notes, &name, &data, 0);
        at += one.name + one.data;
    }
    if (txn != NULL && rc != 0) {
        mdb_txn_abort(txn);
    } else if (txn != NULL) {
        rc = mdb_txn_commit(txn);
    }
    return rc;
}
