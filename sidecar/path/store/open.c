/* open.c: the environment, its tables, and what a start reads of them: the meta table and the last
 * position, whatever the number of records.
 *
 * Never WRITEMAP: a full disk is then an error of a commit and not a SIGBUS, and no stray pointer
 * can write to the file. The map has the size that the file may reach, so that LMDB keeps the file
 * under it: max_size with a quarter and 1,024 pages. That is 4 MB with pages of 4 KB. LMDB makes a
 * file with the system's pages, up to 32 KB, and keeps them wherever the file goes. With larger
 * pages a group of records takes more of them, and so do those that the last commits have freed.
 */
#include "path/store/store_priv.h"

#include "lull/base/log.h"

#include <errno.h>

size_t open_map_size(const struct store *s, int64_t max_size)
{
    enum { SPARE_PAGES = 1024, ROUND = 64 * 1024 }; /* ROUND: no system has larger pages */
    MDB_stat shape;
    size_t page = mdb_env_stat(s->env, &shape) == 0 ? shape.ms_psize : STORE_PAGE;
    return ((size_t)(max_size + max_size / 4) + SPARE_PAGES * page) / ROUND * ROUND;
}

/* The size of the map while the file is opened: a file that is to be shrunk has room for the
 * removals. */
static size_t first_map_size(const struct store *s)
{
    int64_t file = files_size(s);
    size_t size = open_map_size(s, s->options.max_size);
    return file > (int64_t)size ? open_map_size(s, file) : size;
}

static int open_env(struct store *s)
{
    unsigned flags = MDB_NOTLS | MDB_NORDAHEAD | (s->options.sync ? 0 : MDB_NOSYNC);
    int rc = mdb_env_create(&s->env);
    if (rc != 0) {
        return rc;
    }
    mdb_env_set_maxdbs(s->env, 8);
    mdb_env_set_mapsize(s->env, STORE_PAGE); /* LMDB raises it to what the file has */
    rc = files_reserve_lock(s);
    rc = rc == 0 ? mdb_env_open(s->env, s->dir, flags, 0600) : rc;
    return rc == 0 ? mdb_env_set_mapsize(s->env, first_map_size(s)) : rc; /* its pages are known */
}

/* The order of memcmp(), as LMDB's own, in fewer steps: keys of the two tables have 16 bytes. A damaged
 * page can have others. */
static int compare_keys(const MDB_val *a, const MDB_val *b)
{
    struct hash_key x, y;
    if (a->mv_size != sizeof x || b->mv_size != sizeof y) {
        size_t len = a->mv_size < b->mv_size ? a->mv_size : b->mv_size;
        int order = memcmp(a->mv_data, b->mv_data, len);
        return order != 0 ? order : (a->mv_size > b->mv_size) - (a->mv_size < b->mv_size);
    }
    memcpy(&x, a->mv_data, sizeof x);
    memcpy(&y, b->mv_data, sizeof y);
    uint64_t mine = hash_half_order(x.hi != y.hi ? x.hi : x.lo);
    uint64_t theirs = hash_half_order(x.hi != y.hi ? y.hi : y.lo);
    return (mine > theirs) - (mine < theirs);
}

/* The order of the log, as LMDB's own of such keys, in fewer steps. */
static int compare_positions(const MDB_val *a, const MDB_val *b)
{
    uint64_t x = 0, y = 0;
    memcpy(&x, a->mv_data, a->mv_size < sizeof x ? a->mv_size : sizeof x);
    memcpy(&y, b->mv_data, b->mv_size < sizeof y ? b->mv_size : sizeof y);
    return (x > y) - (x < y);
}

/* The names on disk of the two tables of keys are older than those in the code. */
static int open_tables(struct store *s, MDB_txn *txn)
{
    int rc = mdb_dbi_open(txn, "meta", MDB_CREATE, &s->meta);
    rc = rc == 0 ? mdb_dbi_open(txn, "entry", MDB_CREATE, &s->tables[STORE_ANSWER]) : rc;
    rc = rc == 0 ? mdb_dbi_open(txn, "alias", MDB_CREATE, &s->tables[STORE_EXACT]) : rc;
    rc = rc == 0 ? mdb_set_compare(txn, s->tables[STORE_ANSWER], compare_keys) : rc;
    rc = rc == 0 ? mdb_set_compare(txn, s->tables[STORE_EXACT], compare_keys) : rc;
    rc = rc == 0 ? mdb_dbi_open(txn, "note", MDB_CREATE, &s->notes) : rc;
    rc = rc == 0 ? mdb_dbi_open(txn, "log", MDB_CREATE | MDB_INTEGERKEY, &s->log) : rc;
    return rc == 0 ? mdb_set_compare(txn, s->log, compare_positions) : rc;
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

/* Reads format, secret and sequence number; writes the first two into a new file. */
static int read_meta(struct store *s, MDB_txn *txn)
{
    uint32_t format = 0;
    int rc = meta_get(s, txn, "format", &format, sizeof format);
    s->other_format = rc == 0 && format != STORE_FORMAT;
    if (s->other_format) {
        return MDB_VERSION_MISMATCH;
    }
    if (rc == 0) {
        rc = meta_get(s, txn, "secret", &s->secret, sizeof s->secret);
        rc = rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc; /* both were written at once */
    } else if (rc == MDB_NOTFOUND) {
        format = STORE_FORMAT;
        if (hash_secret_generate(&s->secret) != ERR_OK) {
            return EIO;
        }
        rc = meta_put(s, txn, "secret", &s->secret, sizeof s->secret);
        rc = rc == 0 ? meta_put(s, txn, "format", &format, sizeof format) : rc;
    }
    rc = rc == 0 ? meta_get(s, txn, "seq", &s->next_seq, sizeof s->next_seq) : rc;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* The position of the youngest record. */
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

/* Opens the tables in one transaction, since a new file may be without them. */
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

/* How a page of a table begins: LMDB's MDB_page. */
struct page_head {
    uint64_t number; /* in the file */
    uint16_t pad, flags;
    uint16_t lower, upper; /* between them is room; the nodes are behind */
};
enum { LEAF_PAGE = 2, FIRST_PAGE = 2, LEAST_PAGE = 4096 };

/* Where the map is, by a value in the only page of a small table; 0: not known. LMDB names the
 * address of fixed maps only, but a page says its number. A map is aligned to the system's pages,
 * which may be smaller than those of a file from another machine: each place where the page may
 * begin is looked at. All are in the map: two pages are in front of the first one of a table. */
static uintptr_t map_of(MDB_val value, size_t page, size_t map_size)
{
    uintptr_t at = (uintptr_t)value.mv_data;
    for (size_t in_page = at % LEAST_PAGE; in_page < page; in_page += LEAST_PAGE) {
        struct page_head head;
        memcpy(&head, (const char *)value.mv_data - in_page, sizeof head);
        bool is_head = head.number >= FIRST_PAGE && head.number < map_size / page &&
                       head.flags == LEAF_PAGE && head.lower <= head.upper && head.upper <= in_page;
        if (is_head) {
            return at - in_page - head.number * page;
        }
    }
    return 0;
}

int open_note_map(struct store *s)
{
    MDB_envinfo info;
    MDB_stat shape;
    MDB_val format = {6, (void *)(uintptr_t) "format"}, seq = {3, (void *)(uintptr_t) "seq"};
    MDB_val value;
    s->map = 0;
    store_at_work++;
    int rc = mdb_env_info(s->env, &info);
    rc = rc == 0 ? mdb_env_stat(s->env, &shape) : rc;
    bool open = rc == 0 && (rc = mdb_txn_renew(s->reader)) == 0;
    rc = open ? mdb_get(s->reader, s->meta, &format, &value) : rc;
    if (rc == 0) {
        s->page = shape.ms_psize;
        s->map_size = info.me_mapsize;
        s->map = map_of(value, s->page, s->map_size);
        rc = mdb_get(s->reader, s->meta, &seq, &value);
        rc = rc == 0 && !record_is_sound(s, value) ? MDB_CORRUPTED : rc;
    }
    if (open) {
        mdb_txn_reset(s->reader);
    }
    store_at_work--;
    if (s->options.crash_mark) {
        files_guard_map(s->map, s->map_size);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int open_all(struct store *s)
{
    int dead = 0;
    s->next_seq = 0;
    s->other_format = false;
    store_at_work++;
    int rc = open_env(s);
    rc = rc == 0 ? files_complete_tail(s) : rc;
    if (rc == 0) {
        (void)mdb_reader_check(s->env, &dead);
        rc = begin_tables(s);
    }
    rc = rc == 0 ? mdb_txn_begin(s->env, NULL, MDB_RDONLY, &s->reader) : rc;
    rc = rc == 0 ? mdb_cursor_open(s->reader, s->log, &s->read_log) : rc;
    if (rc == 0) {
        mdb_txn_reset(s->reader);
        files_remember(s);
        rc = open_note_map(s);
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
            files_guard_map(0, 0);
        }
        mdb_env_close(s->env);
        s->env = NULL;
    }
}
