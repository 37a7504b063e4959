/* store_support.h: a real store in a folder of its own, and jobs in one call. */
#ifndef TESTS_UNIT_STORE_SUPPORT_H
#define TESTS_UNIT_STORE_SUPPORT_H

#include "support/check.h"

#include "lull/path/store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char store_dir[64];
static int store_results[3]; /* jobs done, jobs failed, records removed */

static inline int store_setup(void **state)
{
    (void)state;
    snprintf(store_dir, sizeof store_dir, "/tmp/lull-store-XXXXXX");
    memset(store_results, 0, sizeof store_results);
    return mkdtemp(store_dir) == NULL;
}

/* Of the data file. */
static inline int64_t file_size(void)
{
    struct stat st;
    char path[128];
    snprintf(path, sizeof path, "%s/data.mdb", store_dir);
    assert_int_equal(stat(path, &st), 0);
    return (int64_t)st.st_size;
}

/* The size of a page of a file that LMDB makes here. */
static inline int64_t file_page(void)
{
    enum { MOST = 32 * 1024 };
    long page = sysconf(_SC_PAGESIZE);
    return page < MOST ? page : MOST;
}

static inline int store_teardown(void **state)
{
    char command[256];
    (void)state;
    snprintf(command, sizeof command, "chmod -R u+w '%s'; rm -rf '%s'", store_dir, store_dir);
    return system(command) == 0 ? 0 : -1;
}

static inline void store_woken(void *ctx)
{
    (void)ctx;
}

static inline struct store *store_begin(int64_t max_size)
{
    struct store_options o = {
        .dir = store_dir, .max_size = max_size, .sync = true, .wake = store_woken};
    struct store *s = NULL;
    char why[256] = "";
    enum err e = store_open(&o, &s, why, sizeof why);
    if (e != ERR_OK) {
        fprintf(stderr, "%s\n", why);
    }
    assert_int_equal(e, ERR_OK);
    return s;
}

static inline void store_job_done(struct store_job *job, enum err result, uint64_t count)
{
    store_results[0]++;
    store_results[1] += result != ERR_OK;
    store_results[2] += (int)count;
    store_job_free(job);
}

static inline struct hash_key key_of(uint64_t n)
{
    return (struct hash_key){.hi = n * 0x9E3779B97F4A7C15ULL, .lo = n};
}

static inline void put_with_rest(struct store *s, enum store_table table, uint64_t n,
                                 struct span value, size_t rest, int64_t expires)
{
    struct store_job *job = store_job_new(STORE_PUT);
    job->table = table;
    job->key = key_of(n);
    job->seq = store_next_seq(s);
    job->expires.us = expires;
    job->value.max = 1 << 24;
    job->rest = rest;
    job->done = store_job_done;
    assert_int_equal(buf_append_span(&job->value, value), ERR_OK);
    store_submit(s, job);
}

static inline void put(struct store *s, enum store_table table, uint64_t n, struct span value,
                       int64_t expires)
{
    put_with_rest(s, table, n, value, 0, expires);
}

static inline enum err collect(struct store *s)
{
    bool more = false;
    return store_collect(s, SIZE_MAX, &more);
}

static inline void settle(struct store *s)
{
    store_flush(s);
    assert_int_equal(collect(s), ERR_OK);
}

static inline struct store_record record_of(struct store *s, uint64_t n)
{
    struct store_record r;
    store_read_begin(s);
    assert_int_equal(store_get(s, STORE_ANSWER, key_of(n), &r), ERR_OK);
    store_read_end(s);
    return r;
}

/* Hits of `count` records from n on. */
static inline void submit_touches(struct store *s, uint64_t n, size_t count, int64_t seq,
                                  uint64_t hits)
{
    struct store_job *job = store_job_new(STORE_TOUCH);
    job->value.max = count * sizeof(struct store_touch);
    for (uint64_t i = n; i < n + count; i++) {
        struct store_touch touch = {.key = key_of(i), .seq = seq, .hits = hits};
        assert_int_equal(buf_append(&job->value, &touch, sizeof touch), ERR_OK);
    }
    job->done = store_job_done;
    store_submit(s, job);
}

static inline void touch_record(struct store *s, uint64_t n, int64_t seq, uint64_t hits)
{
    submit_touches(s, n, 1, seq, hits);
    settle(s);
}

static inline void touch(struct store *s, uint64_t n, uint64_t hits)
{
    touch_record(s, n, record_of(s, n).seq, hits);
}

/* The value of an entry as a string; NULL: none. */
static inline const char *get(struct store *s, uint64_t n)
{
    static char text[65536];
    struct store_record r;
    store_read_begin(s);
    enum err e = store_get(s, STORE_ANSWER, key_of(n), &r);
    if (e == ERR_OK) {
        assert_true(r.value.len < sizeof text);
        memcpy(text, r.value.ptr, r.value.len);
        text[r.value.len] = '\0';
    }
    store_read_end(s);
    assert_int_not_equal(e, ERR_CORRUPT);
    return e == ERR_OK ? text : NULL;
}

static inline void note(struct store *s, const char *name, struct span value, int64_t expires,
                        int64_t now)
{
    struct store_job *job = store_job_new(STORE_NOTE);
    snprintf(job->name, sizeof job->name, "%s", name);
    job->expires.us = expires;
    job->now.us = now;
    job->value.max = STORE_NOTE_MAX;
    job->done = store_job_done;
    assert_int_equal(buf_append_span(&job->value, value), ERR_OK);
    store_submit(s, job);
}

static inline void append_note(void *ctx, const char *name, struct span value)
{
    buf_text(ctx, "%s=%.*s;", name, (int)value.len, value.ptr);
}

/* Compares the notes, as "name=value;" each. */
static inline void assert_notes(struct store *s, int64_t now, const char *expected)
{
    struct buf out = {.max = 4096};
    store_read_begin(s);
    store_each_note(s, (wall_t){now}, append_note, &out);
    store_read_end(s);
    assert_int_equal(buf_append_char(&out, '\0'), ERR_OK);
    assert_string_equal(out.data, expected);
    buf_free(&out);
}

static inline bool exists(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", store_dir, name);
    return access(path, F_OK) == 0;
}

#endif
