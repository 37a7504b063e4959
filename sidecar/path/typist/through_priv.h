/* through_priv.h: the table of suggestions, which its files share: through.c has the suggestions and
 * their contexts, forms.c the forms that lead to a context.
 */
#ifndef PATH_TYPIST_THROUGH_PRIV_H
#define PATH_TYPIST_THROUGH_PRIV_H

#include "lull/base/list.h"
#include "lull/path/typist/through.h"

enum {
    BUCKETS = 4096,
    FEW_BUCKETS = 512,
    ALL_BUCKETS = 2 * BUCKETS + 2 * FEW_BUCKETS,
    ROOM_ENTRY = 256,
    ROOM_CONTEXT = 512,
    ROOM_FORM = 256,
    LENGTHS = 128,
};

_Static_assert(THROUGH_BYTES / ROOM_ENTRY < UINT16_MAX,
               "a context counts its suggestions in 16 bits");

struct context {
    struct list node; /* in a bucket by its hash */
    struct hash_key hash;
    struct buf material;
    size_t refs;
    struct list forms; /* the oldest first */
    size_t form_count;
    uint16_t lengths[LENGTHS]; /* suggestions by the length of their text, modulo LENGTHS */
};

struct entry {
    struct list node; /* in a bucket */
    struct list age;  /* in table->ages: the least recently used first */
    struct list id;   /* in a bucket by answer */
    struct context *context;
    struct hash_key key, answer;
    uint64_t generation;
    wall_t made, expires;
    usec_t model_time;
    int64_t tokens, cost;
    size_t text_len;
    struct buf bytes; /* the text, then the suggestion */
};

struct through {
    struct hash_secret secret;
    size_t max, count, bytes;
    /* BUCKETS each of suggestions by key and by answer, FEW_BUCKETS each of contexts and of forms; NULL
     * before the first put */
    struct list *buckets;
    struct list ages;
};

/* ---- through.c ---- */
/* NULL: the table has no suggestion in that context. */
struct context *through_context(const struct through *t, const struct typist_context *wanted);
/* Drops the least recently used suggestions until there are no more than `most`, in `bytes`. */
void through_make_room(struct through *t, size_t most, size_t bytes);

/* ---- forms.c ---- */
/* Drops the forms of a context. */
void forms_drop(struct through *t, struct context *c);

#endif
