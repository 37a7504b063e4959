/* fuzz_store_records.c: bytes as what is done with a store on a real file, beside a model of what must be
 * there: records of all sizes are put, touched, removed, purged, swept and evicted, and read by their
 * key, by a place, and in the order of age; the file is closed and opened again; bits of it change: in
 * the pieces of a record, in the rows that lead to records, and in what LMDB says of a value's pages.
 *
 * What is read was put under that very key, and is whole. It is what was put last, and it is there,
 * unless its own bits changed, or those of any row; a file that is too small may have evicted it. A
 * store that says that it is damaged is set aside.
 * covers: path/store/record.c path/store/change.c path/store/removal.c
 */
#include "support/choices.h"
#include "support/folder.h"

#include "path/store/store_priv.h"

#include "lull/base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KEYS = 8, EXACTS = 6, NONE = 255, STEPS_MOST = 250, VALUE_MOST = 40000, NOW = 1000 };
enum { LARGE_FILE = 16 * 1024 * 1024, SMALL_FILE = 56 * 1024, OWN_PAGES_HEAD = 16 };

struct kept {
    bool there, sure; /* sure: none of its bits changed */
    enum store_table table;
    unsigned index, number; /* its key; its value */
    size_t len, rest;
    unsigned exact; /* of an answer record: what leads to it; NONE: nothing */
    int64_t seq, expires, position;
    uint64_t hits;
    unsigned to; /* of an exact record: its answer, which had that seq */
    int64_t to_seq;
};

static struct store *store;
static char dir[64], file[96];
static struct kept kept[2][KEYS]; /* answer records; exact records, of which there are EXACTS */
static struct kept written[STEPS_MOST]; /* all puts to this file */
static unsigned written_count;
static unsigned way[EXACTS];   /* the answer that an exact key leads to at once; NONE: to none */
static bool all_sure, changed; /* all_sure: no row changed; changed: anything did */
static bool small, evicts;     /* small: the file; evicts: it is, or was */
static uint64_t removed;
static enum err job_result;

static struct hash_key key_of(enum store_table table, unsigned index)
{
    return (struct hash_key){.hi = 0x9e3779b97f4a7c15ULL * (index + 1), .lo = 100 * table + index};
}

/* ---- values ---- */

static struct span value_of(const struct kept *k)
{
    static char out[VALUE_MOST + 64];
    struct hash_key answer = key_of(STORE_ANSWER, k->to);
    for (size_t at = 0; at < k->len; at += 64) {
        memset(out + at, (int)(k->number * 5 + at / 64), 64);
    }
    if (k->exact == NONE && k->to != NONE) {
        memcpy(out, &answer, sizeof answer);
        memcpy(out + sizeof answer, &k->to_seq, sizeof k->to_seq);
    }
    return span_make(out, k->len);
}

/* store_target_fn */
static bool target_of(struct span value, struct hash_key *answer, int64_t *seq)
{
    if (value.len < sizeof *answer + sizeof *seq) {
        return false;
    }
    memcpy(answer, value.ptr, sizeof *answer);
    memcpy(seq, value.ptr + sizeof *answer, sizeof *seq);
    return true;
}

/* Around the sizes at which a record is cut otherwise. */
static size_t pick_length(void)
{
    static const size_t totals[] = {96 + 24,
                                    STORE_LEAF,
                                    2100,
                                    3 * 1340,
                                    STORE_WHOLE,
                                    STORE_WHOLE + 300,
                                    5 * 1340,
                                    2 * STORE_WHOLE,
                                    2 * STORE_WHOLE + 60,
                                    STORE_RUN,
                                    STORE_RUN - 40,
                                    3 * STORE_WHOLE + 2400,
                                    VALUE_MOST,
                                    9000};
    size_t total = totals[pick(14)], odd = pick(64);
    total = total - 24 >= sizeof(struct record_head) + 24 + odd ? total - odd + pick(32) : total;
    return total - sizeof(struct record_head);
}

/* ---- what must be read ---- */

/* What was put under a key with that sequence number. */
static const struct kept *put_of(enum store_table table, unsigned index, int64_t seq)
{
    unsigned i = written_count;
    while (i > 0 && written[i - 1].seq != seq) {
        i--;
    }
    require(i > 0 && written[i - 1].table == table && written[i - 1].index == index);
    return &written[i - 1];
}

/* now: what is there of that key. whole: it was found by its key, and the end of the value was verified;
 * else at a place where an older one may have stayed whose bits changed. */
static void check_record(struct kept *now, const struct store_record *r, bool whole)
{
    const struct kept *k = put_of(now->table, now->index, r->seq);
    struct span value = value_of(k);
    bool rest_good = store_rest_is_good(r->value, r->rest, r->rest_checksum);
    require(r->table == k->table && hash_key_eq(r->key, key_of(k->table, k->index)));
    require(r->expires.us == k->expires && r->rest == k->rest && r->value.len == value.len);
    require(rest_good || (!whole && changed));
    require(memcmp(r->value.ptr, value.ptr, rest_good ? value.len : value.len - k->rest) == 0);
    require(!all_sure || (now->there && now->seq == r->seq) || (!whole && changed));
    now->position = r->position;
}

static bool must_be_there(const struct kept *k)
{
    return k->there && k->sure && all_sure && !evicts;
}

static struct kept *answer_of(struct hash_key key)
{
    unsigned i = 0;
    while (i < KEYS && !hash_key_eq(key, key_of(STORE_ANSWER, i))) {
        i++;
    }
    require(i < KEYS);
    return &kept[STORE_ANSWER][i];
}

static void check_answer(unsigned index, enum err got, const struct store_record *r, bool whole)
{
    struct kept *k = &kept[STORE_ANSWER][index];
    if (got != ERR_OK) {
        require(!must_be_there(k) && (got == ERR_NOT_FOUND || got == ERR_CORRUPT));
        return;
    }
    check_record(k, r, whole);
    require(!whole || !all_sure || r->hits == k->hits);
}

/* Its own record, or the answer record that it leads to at once. */
static void check_exact(unsigned index, enum err got, const struct store_record *r, bool whole)
{
    struct kept *own = &kept[STORE_EXACT][index];
    struct kept *to = way[index] == NONE ? NULL : &kept[STORE_ANSWER][way[index]];
    to = to != NULL && to->exact == index ? to : NULL;
    if (got != ERR_OK) {
        require(!must_be_there(own) && (to == NULL || !must_be_there(to)));
        return;
    }
    struct kept *k = r->table == STORE_ANSWER ? answer_of(r->key) : own;
    check_record(k, r, whole);
    require(r->table == STORE_EXACT || put_of(k->table, k->index, r->seq)->exact == index);
    require(!all_sure || k == (to == NULL ? own : to));
}

/* Only answer records are asked for by their place: an exact key may lead elsewhere since. */
static void read_one(void)
{
    enum store_table table = (enum store_table)pick(2);
    unsigned index = pick(table == STORE_ANSWER ? KEYS : EXACTS), where = pick(4);
    struct hash_key key = key_of(table, index);
    struct store_record r;
    bool whole = where < 2 || table == STORE_EXACT;
    int64_t position = where == 2 ? kept[table][index].position : (int64_t)pick(32) * STORE_STEP;
    store_read_begin(store);
    enum err got =
        whole ? store_get(store, table, key, &r) : store_get_at(store, table, key, position, &r);
    (table == STORE_ANSWER ? check_answer : check_exact)(index, got, &r, whole);
    require(got != ERR_OK || !whole || store_has(store, table, key));
    store_read_end(store);
}

/* ---- in the order of age ---- */

static int64_t walked_to;
static bool walked[KEYS];

static bool walk_on(void *ctx, struct hash_key key, const struct store_record *r)
{
    size_t *left = ctx;
    struct kept *k = answer_of(key);
    size_t index = (size_t)(k - kept[STORE_ANSWER]);
    require((walked_to == 0 || r->position < walked_to) && !walked[index]);
    walked_to = r->position;
    walked[index] = true;
    check_answer((unsigned)index, ERR_OK, r, true);
    return --*left > 0;
}

static void walk(void)
{
    int64_t before = 0;
    memset(walked, 0, sizeof walked);
    walked_to = 0;
    do {
        size_t left = 1 + pick(4);
        store_read_begin(store);
        before = store_walk(store, before, 1 + pick(8), walk_on, &left);
        store_read_end(store);
    } while (before != 0);
    for (size_t i = 0; i < KEYS; i++) {
        require(walked[i] || !must_be_there(&kept[STORE_ANSWER][i]));
    }
}

/* ---- what is written ---- */

static void forget(struct kept *k)
{
    *k = (struct kept){
        .table = k->table, .index = k->index, .sure = true, .exact = NONE, .to = NONE};
}

/* A file without records. */
static void forget_all(void)
{
    for (unsigned i = 0; i < KEYS; i++) {
        for (unsigned t = 0; t < 2; t++) {
            kept[t][i].table = (enum store_table)t;
            kept[t][i].index = i;
            forget(&kept[t][i]);
        }
    }
    for (size_t i = 0; i < EXACTS; i++) {
        way[i] = NONE;
    }
    written_count = 0;
    all_sure = true;
    changed = false;
}

static void wake(void *ctx)
{
    (void)ctx;
}

static void open_store(void)
{
    struct store_options o = {
        .dir = dir, .max_size = small ? SMALL_FILE : LARGE_FILE, .wake = wake};
    char why[256] = "";
    require(store_open(&o, &store, why, sizeof why) == ERR_OK);
    store_set_target_fn(store, target_of);
    store_hold(store, true);
}

/* The writer does what was submitted. A store that is damaged is none any more. */
static void commit(void)
{
    bool more = false;
    store_hold(store, false);
    store_flush(store);
    store_hold(store, true);
    enum err e = store_collect(store, SIZE_MAX, &more);
    require(!more);
    if (e == ERR_OK) {
        require(!small || !all_sure || store_stats(store).bytes <= SMALL_FILE);
        return;
    }
    require(e == ERR_CORRUPT && changed);
    store_close_damaged(store);
    forget_all();
    open_store();
}

static void on_done(struct store_job *job, enum err result, uint64_t count)
{
    removed = count;
    job_result = result;
    store_job_free(job);
}

static void submit(struct store_job *job)
{
    job->done = on_done;
    store_submit(store, job);
}

/* It is removed, or may be where bits changed. */
static void goes(struct kept *k)
{
    if (!k->sure || !all_sure) {
        k->sure = false;
        return;
    }
    if (k->there && k->exact != NONE && way[k->exact] == k->index) {
        way[k->exact] = NONE;
    }
    forget(k);
}

/* Exact records whose answer is gone go with a removal that found something. */
static void exacts_go(void)
{
    for (unsigned i = 0; i < EXACTS; i++) {
        struct kept *e = &kept[STORE_EXACT][i];
        const struct kept *a = &kept[STORE_ANSWER][e->to % KEYS];
        e->sure = e->sure && (e->to == NONE || !a->there || a->sure);
        if (e->there && (!a->there || a->seq != e->to_seq)) {
            goes(e);
        }
    }
}

static void put(void)
{
    enum store_table table = pick(3) > 0 ? STORE_ANSWER : STORE_EXACT;
    unsigned index = pick(table == STORE_ANSWER ? KEYS : EXACTS);
    struct kept *k = &kept[table][index];
    struct kept fresh = {.there = true,
                         .sure = true,
                         .table = table,
                         .index = index,
                         .number = written_count,
                         .len = pick_length(),
                         .seq = store_next_seq(store),
                         .expires = NOW + pick(3) - 1,
                         .exact = NONE,
                         .to = NONE};
    struct store_job *job = store_job_new(STORE_PUT);
    if (table == STORE_EXACT) {
        fresh.to = pick(KEYS);
        fresh.to_seq = kept[STORE_ANSWER][fresh.to].seq;
        way[index] = NONE;
    } else {
        unsigned rest = pick(3);
        fresh.rest = rest == 0 ? 0 : rest == 1 ? fresh.len : fresh.len / 2;
        fresh.exact = pick(3) == 0 ? NONE : pick(EXACTS);
        goes(k);
    }
    if (fresh.exact != NONE) {
        job->exact = key_of(STORE_EXACT, fresh.exact);
        way[fresh.exact] = index;
        forget(&kept[STORE_EXACT][fresh.exact]);
    }
    *k = written[written_count++] = fresh;
    job->table = table;
    job->key = key_of(table, index);
    job->seq = fresh.seq;
    job->expires.us = fresh.expires;
    job->rest = fresh.rest;
    job->value.max = VALUE_MOST;
    require(buf_append_span(&job->value, value_of(&fresh)) == ERR_OK);
    submit(job);
}

static void touch(void)
{
    struct store_job *job = store_job_new(STORE_TOUCH);
    job->value.max = 4 * sizeof(struct store_touch);
    for (unsigned i = 1 + pick(4); i > 0; i--) {
        unsigned index = pick(KEYS), hits = 1 + pick(3);
        struct kept *k = &kept[STORE_ANSWER][index];
        struct store_touch t = {
            .key = key_of(STORE_ANSWER, index), .seq = k->seq - (pick(8) == 0), .hits = hits};
        k->hits += t.seq == k->seq ? hits : 0;
        require(buf_append(&job->value, &t, sizeof t) == ERR_OK);
    }
    submit(job);
}

/* Submits a removal, or a sweep. Whether it was done. */
static bool is_done(struct store_job *job)
{
    job_result = ERR_IO;
    removed = 0;
    submit(job);
    commit();
    return job_result == ERR_OK;
}

static void remove_one(void)
{
    struct kept *k = &kept[STORE_ANSWER][pick(KEYS)];
    struct store_job *job = store_job_new(STORE_REMOVE);
    job->key = key_of(STORE_ANSWER, k->index);
    commit();
    bool must = must_be_there(k), may = k->there || !all_sure;
    if (is_done(job)) {
        require(removed == 1 ? may : !must);
        goes(k);
        if (removed > 0) {
            exacts_go();
        }
    }
}

/* Values that begin with an even byte. */
static bool is_even(const void *filter, struct span value)
{
    (void)filter;
    return value.len > 0 && (unsigned char)value.ptr[0] % 2 == 0;
}

static void purge(void)
{
    struct store_job *job = store_job_new(STORE_PURGE);
    job->match = is_even;
    if (!is_done(job)) {
        return;
    }
    for (unsigned i = 0; i < KEYS; i++) {
        struct kept *k = &kept[STORE_ANSWER][i];
        if (k->there && (k->number % 2 == 0 || !k->sure)) { /* or it cannot be read */
            goes(k);
        }
    }
    if (removed > 0) {
        exacts_go();
    }
}

static void sweep(void)
{
    struct store_job *job = store_job_new(STORE_SWEEP);
    job->now.us = NOW;
    if (!is_done(job)) {
        return;
    }
    for (unsigned t = 0; t < 2; t++) {
        for (unsigned i = 0; i < KEYS; i++) {
            if (kept[t][i].there && kept[t][i].expires <= NOW) {
                goes(&kept[t][i]);
            }
        }
    }
}

/* ---- what becomes of the file ---- */

static void flip(const char *at, unsigned bit)
{
    int fd = open(file, O_RDWR);
    off_t place = (off_t)((uintptr_t)at - store->map);
    char byte = (char)(*at ^ (1 << bit));
    require(fd >= 0 && pwrite(fd, &byte, 1, place) == 1);
    close(fd);
}

/* Whose piece that is: it need not be found any more, nor what leads to it. */
static void is_hurt(int64_t position)
{
    for (unsigned t = 0; t < 2; t++) {
        for (unsigned i = 0; i < KEYS; i++) {
            struct kept *k = &kept[t][i];
            bool hurt = k->there && k->position == position;
            k->sure = k->sure && !hurt;
            for (unsigned e = 0; e < EXACTS && hurt && t == STORE_ANSWER; e++) {
                kept[STORE_EXACT][e].sure =
                    kept[STORE_EXACT][e].sure && kept[STORE_EXACT][e].to != i;
            }
        }
    }
}

/* Where each record is. */
static void find_places(void)
{
    struct store_record r;
    store_read_begin(store);
    for (unsigned t = 0; t < 2; t++) {
        for (unsigned i = 0; i < (t == STORE_ANSWER ? KEYS : EXACTS); i++) {
            enum err got =
                store_get(store, (enum store_table)t, key_of((enum store_table)t, i), &r);
            (t == STORE_ANSWER ? check_answer : check_exact)(i, got, &r, true);
        }
    }
    store_read_end(store);
}

/* A bit of a piece, mostly in its front, or of what LMDB wrote before it; or of a row. */
static void change_bit(MDB_cursor *cursor, bool of_log)
{
    MDB_val key, value;
    unsigned what = pick(8), skip = pick(32), place = pick(256);
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    for (; rc == 0 && skip > 0; skip--) {
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        rc = rc == MDB_NOTFOUND ? mdb_cursor_get(cursor, &key, &value, MDB_FIRST) : rc;
    }
    if (rc != 0) {
        return;
    }
    const char *at = value.mv_data;
    bool own = ((uintptr_t)at - store->map) % store->page == OWN_PAGES_HEAD;
    if (what == 0 && own) {
        at -= 1 + place % OWN_PAGES_HEAD;
    } else if (what < 5) {
        at += place % (value.mv_size < sizeof(struct record_head) ? value.mv_size
                                                                  : sizeof(struct record_head));
    } else {
        at += place * (value.mv_size / 256 + 1) % value.mv_size;
    }
    flip(at, pick(8));
    changed = true;
    if (of_log) {
        is_hurt(record_position(key));
    } else {
        all_sure = false;
    }
}

static void damage(void)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    bool of_log = pick(8) > 0;
    commit();
    find_places();
    reader_release(store);
    require(mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn) == 0);
    require(mdb_cursor_open(txn, of_log ? store->log : store->tables[pick(2)], &cursor) == 0);
    change_bit(cursor, of_log);
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
}

static void set_size(void)
{
    small = !small;
    evicts = true;
    store_configure(store, small ? SMALL_FILE : LARGE_FILE, pick(2) == 0);
    commit();
}

static void open_again(void)
{
    commit();
    store_close(store);
    open_store();
}

/* ---- one run ---- */

static void step(void)
{
    static void (*const steps[])(void) = {put,   put,    put,        put,      put,      put,
                                          touch, commit, remove_one, purge,    sweep,    damage,
                                          walk,  commit, open_again, read_one, read_one, set_size};
    unsigned which = pick(sizeof steps / sizeof steps[0]);
    if (steps[which] == read_one || steps[which] == walk) {
        commit(); /* what is read is what was committed */
    }
    if (steps[which] != set_size || pick(4) == 0) {
        steps[which]();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
    folder_make(dir, sizeof dir);
    snprintf(file, sizeof file, "%s/data.mdb", dir);
    choices = data;
    choices_left = size;
    small = evicts = pick(4) == 1;
    forget_all();
    open_store();
    for (int i = 0; i < STEPS_MOST && choices_left > 0; i++) {
        step();
    }
    commit();
    find_places();
    walk();
    store_close(store);
    folder_remove(dir);
    return 0;
}
