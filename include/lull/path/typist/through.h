/* through.h: type-through: suggestions held in memory, found by the shorter text they were made
 * for.
 *
 * Whoever goes on typing what was suggested gets the rest of it, at once and without a call. The
 * table is bounded in entries and bytes; the least recently used one makes room. A suggestion is
 * found only under equal context (scope, model, history, template and every other member of the
 * request: the key material without the completed text, compared byte for byte).
 */
#ifndef LULL_PATH_TYPIST_THROUGH_H
#define LULL_PATH_TYPIST_THROUGH_H

#include "lull/base/clock.h"
#include "lull/base/hash.h"

struct through;

/* What a completion is asked in; see fingerprint_context(). */
struct typist_context {
    struct hash_key hash;
    struct span material;
};

enum { THROUGH_BYTES = 8 * 1024 * 1024 };

/* entries: the most to be held; 0 holds nothing. Allocates the table with the first entry. */
struct through *through_create(size_t entries);
void through_destroy(struct through *t); /* NULL is fine */
/* New bound, after a reload: what is too much goes. */
void through_resize(struct through *t, size_t entries);

struct through_put {
    struct typist_context context;
    struct span text;       /* the completed text it was made for */
    struct span suggestion; /* not blank */
    struct hash_key entry;  /* of the cache's entry it comes from */
    uint64_t generation;    /* of the cache: a delete or purge since then makes it void */
    wall_t expires;
    usec_t model_time; /* what making it cost */
    int64_t tokens, cost;
};
/* Holds a copy, over an older suggestion for the same text. What is too large is not held. */
void through_put(struct through *t, const struct through_put *put);

/* Whether a suggestion that comes from this entry of the cache is held, and not void. */
bool through_knows(const struct through *t, struct hash_key entry, uint64_t generation);

struct through_hit {
    struct span rest; /* what is still ahead; valid until the next put */
    wall_t expires;
    usec_t model_time;
    int64_t tokens, cost;
};
/* Looks for the longest text, equal to `text` or at most TEXT_WALK characters shorter, whose held
 * suggestion goes on as was typed. */
bool through_find(struct through *t, const struct typist_context *context, struct span text,
                  uint64_t generation, wall_t now, struct through_hit *hit);
/* The same, and changes nothing: what is found does not count as used. */
bool through_look(struct through *t, const struct typist_context *context, struct span text,
                  uint64_t generation, wall_t now, struct through_hit *hit);

/* Suggestions held, and the memory that they take. */
size_t through_count(const struct through *t);
size_t through_bytes(const struct through *t);

#endif
