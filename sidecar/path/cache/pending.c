/* pending.c: puts that the writer has and no reading sees yet. Bounded in number and bytes: when
 * the table is full, answers are not kept. The values belong to the jobs, which outlive their rows
 * here: rows are dropped before their job is freed. A job that writes an answer record to which an
 * exact key leads has two rows.
 */
#include "path/cache/cache_priv.h"

#include <stdlib.h>

static struct pending **bucket(struct pending_table *t, struct hash_key key)
{
    return &t->buckets[key.lo % CACHE_PENDING_BUCKETS];
}

static bool is_row(const struct pending *p, enum store_table table, struct hash_key key)
{
    return p->table == table && hash_key_eq(p->key, key);
}

struct store_job *pending_find(const struct pending_table *t, enum store_table table,
                               struct hash_key key)
{
    struct pending *p = t->buckets[key.lo % CACHE_PENDING_BUCKETS];
    for (; p != NULL; p = p->next) {
        if (is_row(p, table, key)) {
            return p->job;
        }
    }
    return NULL;
}

static void unlink_row(struct pending_table *t, struct pending **link)
{
    struct pending *p = *link;
    *link = p->next;
    t->count--;
    t->bytes -= p->bytes;
    free(p);
}

/* Adds a row, in place of an older one of the same key. */
static enum err add_row(struct pending_table *t, const struct pending *row)
{
    if (t->count >= CACHE_PENDING_MAX || t->bytes + row->bytes > CACHE_PENDING_BYTES) {
        return ERR_FULL;
    }
    struct pending **link = bucket(t, row->key);
    while (*link != NULL && !is_row(*link, row->table, row->key)) {
        link = &(*link)->next;
    }
    if (*link != NULL) {
        unlink_row(t, link);
    }
    struct pending *p = mem_new(sizeof *p);
    *p = *row;
    link = bucket(t, row->key);
    p->next = *link;
    *link = p;
    t->count++;
    t->bytes += p->bytes;
    return ERR_OK;
}

enum err pending_add(struct pending_table *t, struct store_job *job)
{
    const struct pending row = {
        .job = job, .table = job->table, .key = job->key, .bytes = job->value.len};
    return add_row(t, &row);
}

enum err pending_add_exact(struct pending_table *t, struct store_job *job, struct hash_key key,
                           size_t more)
{
    const struct pending row = {.job = job, .table = STORE_EXACT, .key = key, .bytes = more};
    return add_row(t, &row);
}

static void drop_row(struct pending_table *t, const struct store_job *job, struct hash_key key)
{
    struct pending **link = bucket(t, key);
    while (*link != NULL && (*link)->job != job) {
        link = &(*link)->next;
    }
    if (*link != NULL) {
        unlink_row(t, link);
    }
}

void pending_drop(struct pending_table *t, const struct store_job *job)
{
    drop_row(t, job, job->key);
    if (store_job_has_exact(job)) {
        drop_row(t, job, job->exact);
    }
}

void pending_drop_if(struct pending_table *t,
                     bool (*fn)(const struct store_job *job, const void *ctx), const void *ctx)
{
    for (size_t i = 0; i < CACHE_PENDING_BUCKETS; i++) {
        struct pending **link = &t->buckets[i];
        while (*link != NULL) {
            if (fn((*link)->job, ctx)) {
                unlink_row(t, link);
            } else {
                link = &(*link)->next;
            }
        }
    }
}

size_t pending_answers(const struct pending_table *t, struct store_job **out)
{
    size_t n = 0;
    for (size_t i = 0; i < CACHE_PENDING_BUCKETS; i++) {
        for (struct pending *p = t->buckets[i]; p != NULL; p = p->next) {
            if (p->table == STORE_ANSWER) {
                out[n++] = p->job;
            }
        }
    }
    return n;
}
