/* open.c: the environment, its tables, and what is read of them at a start: the meta table and the
 * last position, whatever the number of records.
 *
 * Never WRITEMAP: a full disk is then an error of a commit and not a SIGBUS, and no stray pointer
 * of ours can reach the file. The map has the size that the file may reach, max_size with a quarter
 * and 4 MB, so that LMDB itself keeps the file under it.
 */
#include "path/store/store_priv.h"

#include "lull/base/log.h"

#include <errno.h>

size_t open_map_size(int64_t max_size)
{
    return (size_t)(max_size + max_size / 4 + (int64_t)4 * 1024 * 1024) / STORE_PAGE * STORE_PAGE;
}

static int open_env(struct store *s)
{
    unsigned flags = MDB_NOTLS | MDB_NORDAHEAD | (s->options.sync ? 0 : MDB_NOSYNC);
    size_t size = open_map_size(s->options.max_size);
    int64_t file = files_size(s);
    if (file > (int64_t)size) { /* to be shrunk: room for the removals */
        size = open_map_size(file);
    }
    int rc = mdb_env_create(&s->env);
    if (rc != 0) {
        return rc;
    }
    mdb_env_set_maxdbs(s->env, 8);
    mdb_env_set_mapsize(s->env, size);
    return mdb_env_open(s->env, s->dir, flags, 0600);
}

static int open_tables(struct store *s, MDB_txn *txn)
{
    int rc = mdb_dbi_open(txn, "meta", MDB_CREATE, &s->meta);
    rc = rc == 0 ? mdb_dbi_open(txn, "entry", MDB_CREATE, &s->tables[STORE_ANSWER]) : rc;
    rc = rc == 0 ? mdb_dbi_open(txn, "alias", MDB_CREATE, &s->tables[STORE_EXACT]) : rc;
    return rc == 0 ? mdb_dbi_open(txn, "log", MDB_CREATE | MDB_INTEGERKEY, &s->log) : rc;
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
    rc = rc == 0 ? meta_get(s, txn, "seq", &s->next_seq, sizeof s->next_seq) : rc;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* The youngest position, without a look at anything else. */
static int read_position(struct store *s, MDB_txn *txn)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, s->log, &cursor);
    if (rc != 0) {
        return rc;
    }
    rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
    s->position = rc == 0 ? record_position(key) : 0;
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int open_reader(struct store *s)
{
    int rc = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &s->reader);
    rc = rc == 0 ? mdb_cursor_open(s->reader, s->log, &s->read_log) : rc;
    if (rc == 0) {
        mdb_txn_reset(s->reader);
    }
    return rc;
}

static int begin_tables(struct store *s)
{
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(s->env, NULL, 0, &txn);
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
    return mdb_txn_commit(txn);
}

int open_all(struct store *s)
{
    MDB_envinfo info;
    int dead = 0;
    s->next_seq = 0;
    store_at_work++;
    int rc = open_env(s);
    rc = rc == 0 && files_too_short(s) ? MDB_CORRUPTED : rc;
    if (rc == 0) {
        (void)mdb_reader_check(s->env, &dead);
        rc = begin_tables(s);
    }
    rc = rc == 0 ? open_reader(s) : rc;
    if (rc == 0 && mdb_env_info(s->env, &info) == 0) {
        files_remember(s);
        if (s->options.crash_mark) {
            files_guard_map(info.me_mapaddr, info.me_mapsize);
        }
    }
    store_at_work--;
    return rc;
}

void open_close(struct store *s)
{
    if (s->read_log != NULL) {
        mdb_cursor_close(s->read_log);
        s->read_log = NULL;
    }
    if (s->reader != NULL) {
        mdb_txn_abort(s->reader);
        s->reader = NULL;
    }
    if (s->env != NULL) {
        if (s->options.crash_mark) {
            files_guard_map(NULL, 0);
        }
        mdb_env_close(s->env);
        s->env = NULL;
    }
}
