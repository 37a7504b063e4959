/* change.c: what a write transaction does: puts, removals, eviction.
 *
 * Live bytes are LMDB's count of the pages in use, read within the transaction: eviction compares
 * the bound with what the file really holds. Eviction goes by age, and a record that was hit since
 * it was written gets another round (CLOCK): a hit costs one small row, and the record moves once a
 * round at most. An exact record gets another round if its answer record got one.
 */
#include "path/store/store_writer.h"

/* A read transaction that is open over several commits keeps the pages that they free from use, and
 * the file grows by them. So one commit at most goes by under it: the next one waits for its release,
 * by the loop thread, which is woken. */
static void wait_for_reading(struct store *s)
{
    if (s->outlasted % 2 == 0 || atomic_load(&s->readings) != s->outlasted) {
        return;
    }
    pthread_mutex_lock(&s->mutex);
    atomic_store(&s->reading_awaited, true);
    s->options.wake(s->options.ctx);
    while (atomic_load(&s->readings) == s->outlasted && !s->stop) {
        pthread_cond_wait(&s->wake_writer, &s->mutex);
    }
    atomic_store(&s->reading_awaited, false);
    pthread_mutex_unlock(&s->mutex);
}

int change_begin(struct store *s, struct change *c)
{
    wait_for_reading(s);
    *c = (struct change){.s = s, .position = s->position};
    int rc = mdb_txn_begin(s->env, NULL, 0, &c->txn);
    if (rc == 0) {
        rc = mdb_cursor_open(c->txn, s->log, &c->log);
        if (rc != 0) {
            change_abort(c);
        }
    }
    return rc;
}

static uint64_t pages_of(const struct change *c, MDB_dbi dbi, uint64_t *page, uint64_t *rows)
{
    MDB_stat stat;
    if (mdb_stat(c->txn, dbi, &stat) != 0) {
        *rows = 0;
        return 0;
    }
    *page = stat.ms_psize;
    *rows = stat.ms_entries;
    return stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
}

uint64_t change_bytes(const struct change *c)
{
    uint64_t page = STORE_PAGE, rows = 0;
    uint64_t pages = pages_of(c, c->s->log, &page, &rows);
    pages += pages_of(c, c->s->tables[STORE_ANSWER], &page, &rows);
    pages += pages_of(c, c->s->tables[STORE_EXACT], &page, &rows);
    return pages * page;
}

uint64_t change_entries(const struct change *c)
{
    uint64_t page = STORE_PAGE, rows = 0;
    (void)pages_of(c, c->s->tables[STORE_ANSWER], &page, &rows);
    return rows;
}

int change_commit(struct change *c)
{
    struct store *s = c->s;
    uint64_t bytes = change_bytes(c), entries = change_entries(c);
    MDB_val key = {3, (void *)(uintptr_t) "seq"};
    MDB_val value = {sizeof c->seq, &c->seq};
    int rc = c->seq > 0 ? mdb_put(c->txn, s->meta, &key, &value, 0) : 0;
    if (rc != 0) {
        change_abort(c);
        return rc;
    }
    mdb_cursor_close(c->log);
    c->log = NULL;
    rc = mdb_txn_commit(c->txn);
    c->txn = NULL;
    s->outlasted = atomic_load(&s->readings);
    if (rc == 0) {
        s->position = c->position;
        pthread_mutex_lock(&s->mutex);
        s->stats.entries = entries;
        s->stats.bytes = bytes;
        s->stats.expired += c->expired;
        s->stats.evicted += c->evicted;
        pthread_mutex_unlock(&s->mutex);
    }
    return rc;
}

void change_abort(struct change *c)
{
    if (c->log != NULL) {
        mdb_cursor_close(c->log);
        c->log = NULL;
    }
    if (c->txn != NULL) {
        mdb_txn_abort(c->txn);
        c->txn = NULL;
    }
}

/* Deletes the pieces at a record's positions; MDB_NOTFOUND: there are none. */
static int delete_pieces(struct change *c, int64_t position)
{
    int rc = 0;
    int64_t i = 0;
    for (; rc == 0 && i < STORE_STEP; i++) {
        int64_t at = position + i;
        MDB_val key = {sizeof at, &at};
        MDB_val piece;
        rc = mdb_get(c->txn, c->s->log, &key, &piece);
        if (rc == 0) {
            rc = record_is_sound(c->s, piece) ? mdb_del(c->txn, c->s->log, &key, NULL)
                                              : MDB_CORRUPTED;
        }
    }
    return rc == MDB_NOTFOUND && i > 1 ? 0 : rc;
}

static int delete_row(struct change *c, uint64_t table, const struct hash_key *key)
{
    MDB_val k = record_key(key);
    return mdb_del(c->txn, c->s->tables[table], &k, NULL);
}

static bool has_exact(const struct record_head *head)
{
    return head->table == STORE_ANSWER && hash_key_is_set(head->exact);
}

/* Whether the exact key of an answer record still leads there: it may have been given to another
 * record since. */
static bool leads_here(struct change *c, const struct record_head *head)
{
    struct index_row row;
    return has_exact(head) &&
           record_find(c->s, c->txn, c->s->tables[STORE_EXACT], &head->exact, &row) == 0 &&
           row.position == head->position;
}

/* Deletes what leads to a record beside its own key. */
static int delete_exact(struct change *c, const struct record_head *head)
{
    return leads_here(c, head) ? delete_row(c, STORE_EXACT, &head->exact) : 0;
}

/* An exact key leads to an answer record, which has a key of its own; and where a record's head was
 * damaged as it was removed, its row stays, and leads to whichever record gets its position. */
static bool is_own(const struct record_head *head, enum store_table table,
                   const struct hash_key *key)
{
    return head->table == (uint32_t)table && hash_key_eq(head->key, *key);
}

int change_remove_key(struct change *c, enum store_table table, const struct hash_key *key,
                      bool *found)
{
    struct record_head head;
    struct index_row row;
    int rc = record_find(c->s, c->txn, c->s->tables[table], key, &row);
    *found = rc == 0;
    if (rc != 0) {
        return rc == MDB_NOTFOUND ? 0 : rc;
    }
    bool known = record_head(c->log, row.position, &head) == 0;
    if (known && !is_own(&head, table, key)) {
        return delete_row(c, table, key); /* the record stays, with its own key */
    }
    rc = known ? delete_exact(c, &head) : 0;
    rc = rc == 0 ? delete_pieces(c, row.position) : rc;
    return rc == 0 || rc == MDB_NOTFOUND ? delete_row(c, table, key) : rc;
}

/* Copies the next `size` bytes of head and value, from `at` on. */
static void copy_piece(char *to, size_t size, size_t at, const struct record_head *head,
                       const char *value)
{
    size_t in_head = at < sizeof *head ? sizeof *head - at : 0;
    in_head = in_head < size ? in_head : size;
    if (in_head > 0) {
        memcpy(to, (const char *)head + at, in_head);
    }
    if (size > in_head) {
        memcpy(to + in_head, value + (at + in_head - sizeof *head), size - in_head);
    }
}

/* Where the answer record is that an exact record leads to; 0: there is none. */
static int64_t find_target(struct change *c, struct span value)
{
    struct hash_key answer;
    struct index_row row;
    int64_t seq = 0;
    return c->s->target_fn != NULL && c->s->target_fn(value, &answer, &seq) &&
                   record_find(c->s, c->txn, c->s->tables[STORE_ANSWER], &answer, &row) == 0
               ? row.position
               : 0;
}

static int put_row(struct change *c, uint64_t table, const struct hash_key *key,
                   struct index_row row)
{
    MDB_val k = record_key(key);
    MDB_val v = {sizeof row, &row};
    return mdb_put(c->txn, c->s->tables[table], &k, &v, 0);
}

/* Writes a record as the youngest, under keys that have none. */
static int write_new(struct change *c, struct record_head *head, const void *value, uint32_t hits)
{
    size_t sizes[STORE_STEP];
    c->position += STORE_STEP;
    head->position = c->position;
    const char *rest = (const char *)value + (head->length - head->rest);
    head->rest_checksum = head->rest > 0 ? hash_checksum(rest, (size_t)head->rest) : 0;
    head->checksum = record_checksum(head, value);
    size_t count = record_pieces(sizeof *head + (size_t)head->length, sizes);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t position = c->position + (int64_t)i;
        MDB_val k = {sizeof position, &position};
        MDB_val room = {sizes[i], NULL};
        int rc = mdb_put(c->txn, c->s->log, &k, &room, MDB_RESERVE | MDB_APPEND);
        if (rc != 0) {
            return rc;
        }
        copy_piece(room.mv_data, sizes[i], at, head, value);
        at += sizes[i];
    }
    struct index_row row = {.position = c->position};
    if (head->table == STORE_EXACT) {
        row.target = find_target(c, span_make(value, (size_t)head->length));
    } else {
        row.hits = hits;
    }
    int rc = put_row(c, head->table, &head->key, row);
    const struct index_row direct = {.position = c->position};
    return rc == 0 && has_exact(head) ? put_row(c, STORE_EXACT, &head->exact, direct) : rc;
}

int change_put(struct change *c, const struct store_job *job)
{
    struct record_head head = {.format = STORE_FORMAT,
                               .table = (uint32_t)job->table,
                               .seq = job->seq,
                               .expires = job->expires.us,
                               .key = job->key,
                               .exact = job->exact,
                               .length = job->value.len,
                               .rest = job->rest};
    bool found = false;
    int rc = change_remove_key(c, job->table, &job->key, &found);
    if (rc == 0 && store_job_has_exact(job)) {
        rc = change_remove_key(c, STORE_EXACT, &job->exact, &found);
    }
    if (rc != 0) {
        return rc;
    }
    c->seq = job->seq > c->seq ? job->seq : c->seq;
    return write_new(c, &head, job->value.data, 0);
}

static int touch_record(struct change *c, const struct store_touch *t)
{
    struct record_head head;
    struct index_row row;
    int rc = record_find(c->s, c->txn, c->s->tables[STORE_ANSWER], &t->key, &row);
    if (rc != 0 || record_head(c->log, row.position, &head) != 0 || head.seq != t->seq) {
        return rc == MDB_NOTFOUND ? 0 : rc; /* removed since, or replaced */
    }
    uint64_t hits = row.hits + t->hits;
    row.hits = hits < UINT32_MAX ? (uint32_t)hits : UINT32_MAX;
    row.chance = 1;
    return put_row(c, STORE_ANSWER, &t->key, row);
}

int change_touch(struct change *c, const struct store_job *job)
{
    struct store_touch touch;
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < job->value.len; at += sizeof touch) {
        memcpy(&touch, job->value.data + at, sizeof touch);
        rc = touch_record(c, &touch);
    }
    return rc;
}

int change_next(struct change *c, int64_t from, struct record_head *head)
{
    MDB_val key = {sizeof from, &from};
    MDB_val value;
    int rc = mdb_cursor_get(c->log, &key, &value, MDB_SET_RANGE);
    if (rc != 0) {
        return rc;
    }
    /* A head that is wrong, or a key below the one asked for, is a damaged page. Nothing is deleted
     * there: LMDB believes what a page says of itself, such as how many pages a value has. */
    int64_t position = record_position(key);
    bool whole = position >= from / STORE_STEP * STORE_STEP &&
                 record_head(c->log, position, head) == 0 && head->table <= STORE_EXACT;
    return whole ? 0 : MDB_CORRUPTED;
}

int change_remove(struct change *c, const struct record_head *head)
{
    struct index_row row;
    int rc = record_find(c->s, c->txn, c->s->tables[head->table], &head->key, &row);
    if (rc == 0 && row.position == head->position) {
        rc = delete_row(c, head->table, &head->key);
    }
    rc = rc == MDB_NOTFOUND ? 0 : rc;
    rc = rc == 0 ? delete_exact(c, head) : rc;
    return rc == 0 ? delete_pieces(c, head->position) : rc;
}

/* Whether the answer record of an exact record at a position is younger: eviction spared it. */
static bool leads_to_younger(struct change *c, int64_t position, struct span value)
{
    struct hash_key answer;
    struct record_head head;
    struct index_row row;
    int64_t seq = 0;
    return c->s->target_fn != NULL && c->s->target_fn(value, &answer, &seq) &&
           record_find(c->s, c->txn, c->s->tables[STORE_ANSWER], &answer, &row) == 0 &&
           row.position > position && record_head(c->log, row.position, &head) == 0 &&
           head.seq == seq;
}

/* Writes the oldest record again, as the youngest, if it is to have another round; *spared. */
static int spare_oldest(struct change *c, const struct record_head *at, bool *spared)
{
    struct record_head head;
    struct index_row row;
    struct span value;
    struct buf copy = {.max = SIZE_MAX};
    *spared = record_find(c->s, c->txn, c->s->tables[at->table], &at->key, &row) == 0 &&
              row.position == at->position && (at->table == STORE_EXACT || row.chance != 0) &&
              record_read_whole(c->log, at->position, c->s->write_room, &head, &value) == ERR_OK &&
              (at->table == STORE_ANSWER || leads_to_younger(c, at->position, value)) &&
              buf_append_span(&copy, value) == ERR_OK;
    int rc = 0;
    if (*spared) {
        bool found = false;
        if (!leads_here(c, &head)) {
            head.exact = (struct hash_key){0, 0};
        }
        rc = change_remove_key(c, (enum store_table)at->table, &at->key, &found);
        rc = rc == 0 ? write_new(c, &head, copy.data, row.hits) : rc;
    }
    buf_free(&copy);
    return rc;
}

int change_evict(struct change *c, uint64_t goal, size_t most)
{
    size_t spared = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < most && change_bytes(c) > goal;) {
        struct record_head head;
        bool spare_it = false;
        rc = change_next(c, 0, &head);
        if (rc == 0 && spared < STORE_SPARED) {
            rc = spare_oldest(c, &head, &spare_it);
        }
        if (rc == 0 && spare_it) {
            spared++;
        } else if (rc == 0) {
            rc = change_remove(c, &head);
            c->evicted++;
            i++;
        }
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int change_evict_all(struct store *s, uint64_t goal)
{
    bool more = true;
    int rc = 0;
    while (rc == 0 && more) {
        struct change c;
        rc = change_begin(s, &c);
        if (rc != 0) {
            break;
        }
        rc = change_evict(&c, goal, STORE_BATCH);
        more = rc == 0 && c.evicted > 0 && change_bytes(&c) > goal;
        if (rc == 0) {
            rc = change_commit(&c);
        } else {
            change_abort(&c);
        }
    }
    return rc;
}

int change_sweep(struct change *c, wall_t now)
{
    int64_t from = c->s->sweep_from;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < STORE_SWEEP_ROWS; i++) {
        struct record_head head;
        rc = change_next(c, from, &head);
        if (rc == 0) {
            from = head.position + STORE_STEP;
            if (head.expires <= now.us) {
                rc = change_remove(c, &head);
                c->expired++;
            }
        }
    }
    c->s->sweep_from = rc == MDB_NOTFOUND ? 0 : from;
    return rc == MDB_NOTFOUND ? 0 : rc;
}
