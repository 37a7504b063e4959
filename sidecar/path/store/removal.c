/* removal.c: the jobs that remove, each in transactions of its own: in batches of STORE_BATCH,
 * since the pages that a transaction frees cannot be used before its commit.
 */
#include "path/store/store_writer.h"

/* Whether a record is to be removed. */
typedef bool (*record_test)(struct change *c, const struct record_head *head,
                            const struct store_job *job);

static bool answer_matches(struct change *c, const struct record_head *at,
                           const struct store_job *job)
{
    struct record_head head;
    struct span value;
    if (at->table != STORE_ANSWER) {
        return false;
    }
    return record_read(c->log, at->position, c->s->write_room, &head, &value) != ERR_OK ||
           job->match(job->filter, value);
}

/* An exact record whose answer record is removed or replaced. */
static bool has_no_answer(struct change *c, const struct record_head *at,
                          const struct store_job *job)
{
    struct hash_key answer;
    struct record_head head;
    struct index_row row;
    struct span value;
    int64_t seq = 0;
    (void)job;
    if (at->table != STORE_EXACT || c->s->target_fn == NULL) {
        return false;
    }
    return record_read(c->log, at->position, c->s->write_room, &head, &value) != ERR_OK ||
           !c->s->target_fn(value, &answer, &seq) ||
           record_find(c->s, c->txn, c->s->tables[STORE_ANSWER], &answer, &row) != 0 ||
           record_head(c->log, row.position, &head) != 0 || head.seq != seq;
}

/* One transaction, over the records from position *from on; *from: where to go on, 0 at the end. */
static int remove_batch(struct store *s, const struct store_job *job, record_test test,
                        int64_t *from, uint64_t *count)
{
    struct change c;
    uint64_t removed = 0;
    int rc = change_begin(s, &c);
    if (rc != 0) {
        return rc;
    }
    for (size_t i = 0; rc == 0 && i < 16 * STORE_BATCH && removed < STORE_BATCH; i++) {
        struct record_head head;
        rc = change_next(&c, *from, &head);
        if (rc == 0) {
            *from = head.position + STORE_STEP;
            if (test(&c, &head, job)) {
                rc = change_remove(&c, &head);
                removed++;
            }
        }
    }
    bool end = rc == MDB_NOTFOUND;
    if (rc != 0 && !end) {
        change_abort(&c);
        return rc;
    }
    rc = change_commit(&c);
    *count += rc == 0 ? removed : 0;
    *from = end ? 0 : *from;
    return rc;
}

static int remove_all(struct store *s, const struct store_job *job, record_test test,
                      uint64_t *count)
{
    int64_t from = 1;
    int rc = 0;
    do {
        rc = remove_batch(s, job, test, &from, count);
    } while (rc == 0 && from != 0);
    return rc;
}

static int remove_one(struct store *s, struct store_job *job)
{
    struct change c;
    bool found = false;
    int rc = change_begin(s, &c);
    if (rc != 0) {
        return rc;
    }
    rc = change_remove_key(&c, STORE_ANSWER, &job->key, &found);
    if (rc != 0) {
        change_abort(&c);
        return rc;
    }
    job->count = found ? 1 : 0;
    return change_commit(&c);
}

int removal_run(struct store *s, struct store_job *job)
{
    uint64_t exact = 0;
    int rc = job->kind == STORE_REMOVE ? remove_one(s, job)
                                       : remove_all(s, job, answer_matches, &job->count);
    return rc == 0 && job->count > 0 ? remove_all(s, job, has_no_answer, &exact) : rc;
}
