/* cache_priv.h: what the files of cache/ share. */
#ifndef PATH_CACHE_CACHE_PRIV_H
#define PATH_CACHE_CACHE_PRIV_H

#include "lull/config/figures.h"
#include "lull/path/cache/cache.h"
#include "lull/path/store/store.h"

enum {
    CACHE_PENDING_MAX = 4096,
    CACHE_PENDING_BYTES = 32 * 1024 * 1024,
    CACHE_PENDING_BUCKETS = 1024,
    CACHE_TOUCHED = 1024, /* entries whose hits wait to be written; others are not counted */
    CACHE_LIST_ROWS = 4096,
};

/* ---- codec.c: the values of records ---- */
struct entry_value {
    wall_t created, fresh; /* fresh: until then it is a hit; the record itself may stay longer */
    usec_t model_time;
    int64_t tokens, cost;
    unsigned flags;
    bool hashed; /* material is a SHA-256 of it */
    struct span kind, scope, model, upstream, material, answer, request;
};
struct alias_value {
    struct hash_key entry;
    int64_t seq;
    bool hashed;
    struct span material, reply;
};
MUST_CHECK enum err entry_encode(const struct entry_value *v, const struct span *more,
                                 struct buf *out);
MUST_CHECK enum err entry_decode(struct span value, struct entry_value *out);
MUST_CHECK enum err alias_encode(const struct alias_value *v, const struct span *more,
                                 struct buf *out);
MUST_CHECK enum err alias_decode(struct span value, struct alias_value *out);
/* store_alias_fn */
bool alias_target(struct span value, struct hash_key *entry, int64_t *seq);
/* Whether the key's material is the stored one. */
bool material_equal(const struct cache_key *key, struct span material, bool hashed);

/* ---- pending.c: writes that no read transaction can see yet ---- */
struct pending {
    struct pending *next;
    struct store_job *job; /* owns the value */
};
struct pending_table {
    struct pending *buckets[CACHE_PENDING_BUCKETS];
    size_t count, bytes;
};
/* The job of the newest pending write of that key; NULL. */
struct store_job *pending_find(const struct pending_table *t, enum store_table table,
                               struct hash_key key);
/* Adds, in place of an older one of the same key. ERR_FULL. */
MUST_CHECK enum err pending_add(struct pending_table *t, struct store_job *job);
/* Forgets that very job, if it is still there. */
void pending_drop(struct pending_table *t, const struct store_job *job);
/* Forgets all that fn says. */
void pending_drop_if(struct pending_table *t,
                     bool (*fn)(const struct store_job *job, const void *ctx), const void *ctx);

struct touched {
    struct hash_key key;
    int64_t seq;
    uint64_t hits;
};

struct cache {
    struct loop *loop;
    char *dir;
    struct cache_settings settings;
    struct hash_secret secret;
    struct store *store; /* NULL: off */
    char state[320];
    struct loop_waker *waker;
    struct loop_timer *retry, *touch;
    uint64_t generation;
    struct pending_table pending;
    struct touched touched[CACHE_TOUCHED];
    struct cache_stats counts; /* inserted, collisions, errors of ours */
    uint64_t expired_before, evicted_before, errors_before; /* of stores closed meanwhile */
    struct figure_times commits;
};

/* admin.c */
void cache_flush_touches(struct cache *c);
void cache_touch(struct cache *c, struct hash_key key, int64_t seq);

#endif
