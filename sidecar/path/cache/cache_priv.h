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
    CACHE_ALIAS_MIDDLE = 128, /* an alias with more of its own keeps a SHA-256 */
};

/* Places of pending entries in a list are this and their sequence number: over all positions. */
static const int64_t CACHE_PENDING_PLACE = (int64_t)1 << 62;

/* ---- codec.c: the values of records ---- */
struct entry_value {
    wall_t created, fresh; /* fresh: until then it is a hit; the record itself may stay longer */
    usec_t model_time;
    int64_t tokens, cost;
    unsigned flags;
    uint8_t digest[HASH_SHA256_BYTES]; /* SHA-256 of the key material */
    struct span kind, scope, model, upstream, answer, request;
};
struct alias_value {
    struct hash_key entry;
    int64_t seq;
    bool hashed;        /* material is the SHA-256 of it; else its head, and its body is: */
    size_t first;       /* so many bytes of the beginning of the entry's request, */
    struct span middle; /* these, */
    size_t last;        /* and so many of the request's end */
    struct span material, model;
};
MUST_CHECK enum err entry_encode(const struct entry_value *v, struct buf *out);
MUST_CHECK enum err entry_decode(struct span value, struct entry_value *out);
MUST_CHECK enum err alias_encode(const struct alias_value *v, struct buf *out);
MUST_CHECK enum err alias_decode(struct span value, struct alias_value *out);
/* store_target_fn */
bool exact_record_target(struct span value, struct hash_key *entry, int64_t *seq);
void material_digest(const struct cache_key *key, uint8_t out[HASH_SHA256_BYTES]);
/* Whether the key's material is the stored one. */
bool entry_is_of(const struct entry_value *v, const struct cache_key *key);
bool alias_is_of(const struct alias_value *v, const struct entry_value *entry,
                 const struct cache_key *key);
/* Sets what an alias holds beside the request of its entry; the spans point into key. false: they
 * have too little in common. */
bool alias_share(struct alias_value *v, const struct cache_key *key, struct span request);

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

/* The entries among them, in no order, into room for CACHE_PENDING_MAX; returns how many. */
size_t pending_entries(const struct pending_table *t, struct store_job **out);

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
