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
    CACHE_TOUCHES_ROOM = 8 * 1024, /* for answer records whose hits wait to be written: 256 KB, */
    CACHE_TOUCHES_MAX = CACHE_TOUCHES_ROOM / 2, /* of which so many rows are taken */
    CACHE_TOUCHES_JOB = 512,                    /* rows that are written at a time */
    CACHE_COLLECT_JOBS = 64,  /* finished jobs that are taken back in a call: 1 us each, most of it
                              * for memory that is not in the processor's cache */
    CACHE_EXACT_MIDDLE = 128, /* an exact record with more text of its own has a SHA-256 */
};

/* The place of a pending answer in a list is this plus its sequence number: above all positions. */
static const int64_t CACHE_PENDING_PLACE = (int64_t)1 << 62;

/* ---- codec.c: the values of records ---- */
/* What an exact key's material has beside the request of its answer record. */
struct exact_text {
    bool hashed;          /* material is the SHA-256 of the key's material */
    struct span material; /* else its head, and its body is: */
    size_t first;         /* so many bytes of the beginning of the answer record's request, */
    struct span middle;   /* these bytes, */
    size_t last;          /* and so many bytes of the request's end */
    struct span model;    /* as the request names it */
};
struct answer_record {
    wall_t created, fresh; /* fresh: until then it is a hit; the record may be kept longer */
    usec_t model_time;
    int64_t tokens, cost;
    unsigned flags;
    bool by_request; /* digest is of the material's head alone; `request` says what its body is */
    uint8_t digest[HASH_SHA256_BYTES]; /* SHA-256 of the key material */
    struct span kind, scope, model, upstream, answer, request;
    bool has_exact; /* the exact key of the record's job leads here, and has: */
    struct exact_text exact;
};
struct exact_record {
    struct hash_key answer; /* key and sequence number of the answer record */
    int64_t seq;
    struct exact_text text;
};
/* Append the value of a record to out; cut one into its parts, which point into it. ERR_CORRUPT: it
 * is none. */
MUST_CHECK enum err answer_record_encode(const struct answer_record *v, struct buf *out);
MUST_CHECK enum err answer_record_decode(struct span value, struct answer_record *out);
MUST_CHECK enum err exact_record_encode(const struct exact_record *v, struct buf *out);
MUST_CHECK enum err exact_record_decode(struct span value, struct exact_record *out);
/* store_target_fn */
bool exact_record_target(struct span value, struct hash_key *answer, int64_t *seq);
void material_digest(const struct cache_key *key, uint8_t out[HASH_SHA256_BYTES]);
bool material_has_digest(const struct cache_key *key, struct span digest);
/* Whether the text, with the request of its answer record, is the material of that key. */
bool exact_text_matches(const struct exact_text *t, struct span request,
                        const struct cache_key *key);
/* Fills in what a key's material has beside a request, its SHA-256 where the two have too little in
 * common; the spans point into key and digest. model: as the key's request names it. */
void exact_text_make(struct exact_text *t, const struct cache_key *key, struct span model,
                     struct span request, uint8_t digest[HASH_SHA256_BYTES]);

/* ---- material.c: the material of answer records ---- */

/* The last head, and its SHA-256: one person's tasks of one kind have the same. */
struct head_memo {
    struct buf head;
    uint8_t digest[HASH_SHA256_BYTES];
};
struct cache;
/* Fills in by_request and digest; v->request is set. */
void material_note(struct cache *c, const struct cache_key *key, struct answer_record *v);
/* Whether the record is of that key: compares the material. */
bool material_matches(struct cache *c, const struct cache_key *key, const struct answer_record *v);

/* ---- pending.c: writes that no reading sees yet ---- */
struct pending {
    struct pending *next;
    struct store_job *job; /* owned by the store */
    enum store_table table;
    struct hash_key key; /* of the job, or the exact key that leads to its answer record */
    size_t bytes;
};
struct pending_table {
    struct pending *buckets[CACHE_PENDING_BUCKETS];
    size_t count, bytes;
};
/* The job of the newest pending write of that key; NULL. */
struct store_job *pending_find(const struct pending_table *t, enum store_table table,
                               struct hash_key key);
/* Adds a job, in place of an older one of the same key. ERR_FULL. */
MUST_CHECK enum err pending_add(struct pending_table *t, struct store_job *job);
/* The same for the exact key that leads to the job's answer record, whose value is `more` longer for
 * it. Before job->exact is set. */
MUST_CHECK enum err pending_add_exact(struct pending_table *t, struct store_job *job,
                                      struct hash_key key, size_t more);
/* Drops that very job, as far as it is still there; the job is not freed. */
void pending_drop(struct pending_table *t, const struct store_job *job);
/* Drops all for which fn is true. */
void pending_drop_if(struct pending_table *t,
                     bool (*fn)(const struct store_job *job, const void *ctx), const void *ctx);

/* Copies the puts of answer records, in no order; out has room for CACHE_PENDING_MAX. Returns how
 * many. */
size_t pending_answers(const struct pending_table *t, struct store_job **out);

/* Hits of answer records that are not written yet. */
struct touches {
    struct store_touch *rows; /* NULL while room is 0 */
    size_t room, count;       /* room: a power of two */
    size_t next;              /* where the next job begins */
};

struct cache {
    struct loop *loop;
    char *dir;
    struct cache_settings settings;
    bool crash_mark;
    struct hash_secret secret;
    struct store *store; /* NULL: off */
    char state[320];
    struct loop_waker *waker;
    struct loop_timer *retry, *touch;
    uint64_t generation, openings;
    cache_means_fn means; /* NULL: none */
    struct head_memo memo;
    struct pending_table pending;
    struct store_job *open; /* the answer that was stored last; NULL: the store has it */
    struct loop_deferred open_work;
    struct loop_deferred rest; /* finished jobs that are taken back in a later turn */
    struct touches touches;
    struct cache_stats counts; /* inserted, collisions, and errors found by reading */
    uint64_t expired_before, evicted_before, errors_before; /* of stores closed since */
    struct figure_times commits;
};

/* ---- cache.c ---- */
/* For jobs whose result changes nothing. */
void cache_job_done(struct store_job *job, enum err result, uint64_t count);
/* Gives a job to the store, behind the answer that was stored last. */
void cache_submit(struct cache *c, struct store_job *job);
/* The store gets the answer that was stored last; arg is the cache. */
void cache_hand_over(void *arg);

/* ---- touches.c ---- */
/* Queues the hits of at most so many records. */
void cache_write_touches(struct cache *c, size_t most);
/* Counts a hit of an answer record, in memory. With CACHE_TOUCHES_MAX records waiting, another one's
 * is not counted. */
void cache_touch(struct cache *c, struct hash_key key, int64_t seq);
/* Its hits that are not written yet. */
uint64_t cache_touched_hits(const struct cache *c, struct hash_key key, int64_t seq);
void touches_free(struct touches *t);

#endif
