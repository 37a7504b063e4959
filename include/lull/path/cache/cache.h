/* cache.h: task answers by fingerprint: pending writes first, then LMDB. Read on the loop thread,
 * written by the store's writer thread.
 *
 * Two sorts of records. An answer record, under the normalized key of a request, holds the answer,
 * the request, and a SHA-256: of the key's material, or of its head where the request says the
 * rest. An exact record, under the exact key, leads to an answer record; it is a hit only while
 * that record is there and unchanged (same sequence number). It has no text of its own where the
 * answer record's request is that text: the text of a request stands once. From
 * cache_store_answer() until a reading sees the commit, look-ups are answered from a bounded table
 * of pending writes. The control socket calls answer records entries.
 *
 * A data directory that cannot be used stops nothing: every look-up is then CACHE_OFF, every store
 * ERR_IO, and opening is tried again every 10 s. Where the disk takes no more data (full, over
 * quota, read-only, failing), stored answers are still found, and nothing is added until it takes
 * data again, which is tried every 10 s.
 *
 * All functions are for the loop thread.
 */
#ifndef LULL_PATH_CACHE_CACHE_H
#define LULL_PATH_CACHE_CACHE_H

#include "lull/base/hash.h"
#include "lull/base/loop.h"
#include "lull/config/settings.h"

#include <stdint.h>

struct cache;
struct figure_times;

struct cache_options {
    const char *dir;
    struct cache_settings settings;
    bool crash_mark; /* as in struct store_options; false: signal handlers stay as they are */
};

/* Opens (or starts trying to open) the data directory. Never fails for a reason on disk: see
 * cache_state(). Reads the hashing secret from the directory, or makes one (in the directory; in
 * memory while that cannot be used). options are copied. */
struct cache *cache_create(struct loop *loop, const struct cache_options *options);
/* Commits what is pending and closes. NULL is fine. */
void cache_destroy(struct cache *c);
/* New values after a reload (the directory cannot change). Does not wait for the disk. */
void cache_configure(struct cache *c, const struct cache_settings *settings);

/* Whether a kept request, of the API that flags name, has `body` as the body of its key. Pure. */
typedef bool (*cache_means_fn)(struct span request, unsigned flags, struct span body);
/* Before the first store. Without it every answer record has the SHA-256 of its whole material. */
void cache_set_means_fn(struct cache *c, cache_means_fn fn);

/* That of the data file; of the process where there has been none. Valid as long as the cache. */
const struct hash_secret *cache_secret(const struct cache *c);
/* "on", or "off: why" with the command that helps. */
const char *cache_state(const struct cache *c);

/* Key of a look-up: the material is head followed by body. Of an answer record: where body is not
 * empty, the kept request alone decides it (cache_means_fn); head is the same in many keys, so that its
 * digest is made once for them. */
struct cache_key {
    struct hash_key hash;
    struct span head, body;
    bool observing; /* a look-up of `mode = observe`: answers seen while observing are hits too */
};

enum cache_result {
    CACHE_MISS,
    CACHE_HIT,
    CACHE_PENDING, /* a hit; the answer is not yet written, whatever key led to it */
    CACHE_OFF
};

enum {
    CACHE_FLAG_REPLIED = 1, /* title of a conversation that has a reply */
    CACHE_FLAG_EMPTY = 2,   /* an empty suggestion */
    /* The API of the kept request; neither: OpenAI's. */
    CACHE_FLAG_OLLAMA = 4,   /* /api/chat */
    CACHE_FLAG_GENERATE = 8, /* /api/generate */
    /* Seen while observing: kept to count would-be hits, and never served. Only a look-up whose key
     * has `observing` finds it; for every other look-up it is not there, and the next ordinary
     * cache_store_answer() writes over it. */
    CACHE_FLAG_OBSERVED = 16,
};

struct cache_hit {
    struct hash_key id; /* of the answer record (its normalized hash) */
    int64_t seq;        /* of the answer record */
    struct span kind;   /* name of the kind */
    wall_t created, expires;
    usec_t model_time; /* measured model time of the call that made it */
    int64_t tokens;    /* in and out; 0 when unknown */
    int64_t cost;      /* of that call, in millionths of money */
    unsigned flags;
    struct span answer; /* encoded (dialect/answer.h) */
    struct span model;  /* cache_find_exact(): as that request names it; else empty */
};

/* Look-ups compare the whole material, by its bytes, by its SHA-256, or by what the kept request
 * means; a record whose hash is equal and whose material is not is a miss (counted as collision).
 * Expired records are misses. On a hit the spans point into the map or the pending table: valid
 * until cache_release(), which must be called in the same callback, and only after a hit. */
enum cache_result cache_find_exact(struct cache *c, const struct cache_key *key, wall_t now,
                                   struct cache_hit *hit);
enum cache_result cache_find_answer(struct cache *c, const struct cache_key *key, wall_t now,
                                    struct cache_hit *hit);
/* As cache_find_answer(); collisions are not counted. */
enum cache_result cache_peek_answer(struct cache *c, const struct cache_key *key, wall_t now,
                                    struct cache_hit *hit);
/* As cache_find_answer(); finds an answer that has expired and may still stand in for an error. */
enum cache_result cache_find_stale(struct cache *c, const struct cache_key *key, wall_t now,
                                   struct cache_hit *hit);
/* Whether an answer stands under the hash of a normalized key, of whatever material, fresh or not. */
bool cache_has_answer(struct cache *c, struct hash_key hash);
/* The answer that was found is served: it counts towards the record's `hits`, and is spared at its
 * next round of eviction (in memory; written with a later commit). Before cache_release() or after. */
void cache_count_hit(struct cache *c, const struct cache_hit *hit);
void cache_release(struct cache *c);

/* Bumped by every delete and purge, and by another data file. A flight remembers it when it begins. */
uint64_t cache_generation(const struct cache *c);

struct cache_put {
    struct cache_key key;
    struct span kind, scope /* 8 hex digits for display and filters */, model, upstream;
    wall_t created, expires;
    usec_t stale; /* how long after `expires` it may still stand in for an error */
    usec_t model_time;
    int64_t tokens, cost;
    unsigned flags;
    struct span answer;
    /* As the client wrote it; kept where keep_requests = yes: for exact records, `get` and
     * `compare`. */
    struct span request;
};
/* Stores an answer record, over an old one of the same key; all bytes are copied. generation: of
 * the flight's beginning. ERR_FULL: the table of pending writes is full (the answer is not kept);
 * ERR_BUSY: a delete or purge came in between; ERR_TOO_LARGE: larger than a 64th of max_size;
 * ERR_IO: cache off. *seq: for cache_store_exact. */
MUST_CHECK enum err cache_store_answer(struct cache *c, const struct cache_put *put,
                                       uint64_t generation, int64_t *seq);
/* Stores an exact record that leads to an answer record (id, seq as stored or found). model: as
 * this request names it, given back on a hit. Not between a hit and cache_release(). ERR_NOT_FOUND:
 * there is no such answer record; else as cache_store_answer(). */
MUST_CHECK enum err cache_store_exact(struct cache *c, const struct cache_key *key,
                                      struct hash_key id, int64_t seq, struct span model,
                                      wall_t expires, uint64_t generation);

/* Removes one answer record, or all that match. done, which may be NULL, is called from the loop
 * after the commit (ERR_IO: the cache is off), never before the call returns. filter is copied. */
typedef void (*cache_done_fn)(void *ctx, enum err result, uint64_t count);
struct cache_filter {
    struct span kind, scope, model; /* empty = any */
    wall_t older;                   /* created before; 0 = any */
};
void cache_remove(struct cache *c, struct hash_key id, cache_done_fn done, void *ctx);
void cache_purge(struct cache *c, const struct cache_filter *filter, cache_done_fn done, void *ctx);

/* Lists answer records, newest first; those that wait to be committed come before all others. fn is
 * called before it returns. after: `*next` of the call before, 0 = from the newest. Reads `rows`
 * committed records at most, of either sort, up to 2 us each; *next: where to go on, 0 = no more. */
enum { CACHE_LIST_ROWS = 4096 }; /* of a page that a client asks for */
struct cache_info {
    struct hash_key id;
    int64_t seq; /* where it stands in the list */
    struct span kind, scope, model, upstream;
    wall_t created, expires;
    uint64_t bytes, hits;
    unsigned flags;
    struct span request, answer; /* request: empty when not kept */
};
void cache_list(struct cache *c, const struct cache_filter *filter, size_t limit, size_t rows,
                int64_t after, void (*fn)(void *ctx, const struct cache_info *info), void *ctx,
                int64_t *next);
/* One answer record; ERR_NOT_FOUND. fn is called before it returns. */
MUST_CHECK enum err cache_get(struct cache *c, struct hash_key id,
                              void (*fn)(void *ctx, const struct cache_info *info), void *ctx);

/* Notes: small values that are no answers, in the same file. Eviction, removals and purges leave
 * them. Stores a note over one of that name, and removes those that have expired; name (shorter than
 * CACHE_NOTE_NAME) and value are copied. ERR_IO: the cache is off; ERR_FULL: the disk takes no data;
 * ERR_TOO_LARGE: larger than CACHE_NOTE_MAX. A commit that fails later turns the cache off. */
enum { CACHE_NOTE_NAME = 32, CACHE_NOTE_MAX = 256 * 1024 };
MUST_CHECK enum err cache_store_note(struct cache *c, const char *name, struct span value,
                                     wall_t expires);
/* Calls fn for each committed note that has not expired, before it returns; for none while the
 * data directory cannot be used. fn must not call the cache. */
void cache_each_note(struct cache *c, void (*fn)(void *ctx, const char *name, struct span value),
                     void *ctx);
/* How often the cache came on, at its creation or later; 0: never. What was stored before may be
 * lost when it rises: store notes again then. */
uint64_t cache_openings(const struct cache *c);

/* entries and bytes: with those that wait to be committed. */
struct cache_stats {
    uint64_t entries, bytes, max_bytes, inserted, expired, evicted, collisions, errors,
        pending_writes;
    usec_t commit_p50, commit_p99; /* last five minutes; -1: none */
};
struct cache_stats cache_stats(struct cache *c);

/* Durations of the commits, for the histogram. Valid as long as the cache. */
const struct figure_times *cache_commit_times(const struct cache *c);

/* For tests: holds the writer thread between two commits until released. */
void cache_hold_writer(struct cache *c, bool hold);
/* Waits until everything given so far is committed and visible. Used at shutdown and in tests. */
void cache_flush(struct cache *c);

#endif
