/* through.h: type-through: suggestions in memory, found by the shorter text they were made for.
 *
 * A user who types what was suggested gets the remainder of the suggestion, at once and without a
 * call. The table is bounded in entries and bytes; the least recently used one is dropped. A
 * suggestion is found only under an equal context (scope, model, history, template and every other
 * member of the request: the key material without the completed text, compared byte for byte).
 *
 * For the loop thread; nothing calls back.
 */
#ifndef LULL_PATH_TYPIST_THROUGH_H
#define LULL_PATH_TYPIST_THROUGH_H

#include "lull/base/clock.h"
#include "lull/base/hash.h"

struct through;

/* The context of a completed text; see fingerprint_context(). */
struct typist_context {
    struct hash_key hash;
    struct span material;
};

enum { THROUGH_BYTES = 8 * 1024 * 1024 };

/* entries: the bound; 0: nothing is kept. The table is allocated with the first entry. */
struct through *through_create(size_t entries);
void through_destroy(struct through *t); /* NULL is fine */
/* A new bound, after a reload: drops what is over it. */
void through_resize(struct through *t, size_t entries);

struct through_put {
    struct typist_context context;
    struct span text;       /* the completed text it was made for */
    struct span suggestion; /* not blank */
    struct hash_key answer; /* id of the cache's answer record that it comes from */
    uint64_t generation;    /* of the cache: a delete or purge since then makes it void */
    wall_t made, expires;
    usec_t model_time; /* of the call that made it; its tokens and cost too */
    int64_t tokens, cost;
};
/* Keeps a copy, over an older suggestion for the same text. What is too large is not kept. */
void through_put(struct through *t, const struct through_put *put);

/* Whether a suggestion that comes from this answer record is kept, and not void. */
bool through_has(const struct through *t, struct hash_key answer, uint64_t generation);

struct through_hit {
    struct span remainder; /* what is left to type; valid until the next put */
    wall_t expires;
    usec_t model_time;
    int64_t tokens, cost;
};
/* Finds the longest text, equal to `text` or at most TEXT_WALK characters shorter, with a
 * suggestion that begins with what was typed since. A void or expired suggestion is dropped. */
bool through_find(struct through *t, const struct typist_context *context, struct span text,
                  uint64_t generation, wall_t now, struct through_hit *hit);
/* The same, and changes nothing: nothing is dropped, and what is found does not count as used. */
bool through_peek(struct through *t, const struct typist_context *context, struct span text,
                  uint64_t generation, wall_t now, struct through_hit *hit);

/* A form: a request as it came but for its completed text. Later requests of that form differ in
 * nothing but their text: their context is known without reading them. It is dropped with the last
 * suggestion of its context. */
enum { THROUGH_FORMS = 8 }; /* of one context; the oldest makes room */
struct through_form {
    struct span head;          /* what decides beside the body */
    struct span before, after; /* the body's bytes around the text */
    struct span note;          /* what the caller knows of requests of this form */
};
/* Keeps a copy. Not in a context without a suggestion, and not what is too large. May drop
 * suggestions. */
void through_keep_form(struct through *t, const struct typist_context *context,
                       const struct through_form *form);

/* What is known of a request of a form; valid until the next change of the table. */
struct through_known {
    struct typist_context context;
    struct span note;
    struct context *in; /* private */
};
bool through_find_form(const struct through *t, struct span head, struct span before,
                       struct span after, struct through_known *out);
/* through_find() in that context. */
bool through_find_known(struct through *t, const struct through_known *known, struct span text,
                        uint64_t generation, wall_t now, struct through_hit *hit);
/* Drops all forms: what is known of requests has changed. */
void through_forget_forms(struct through *t);

/* How many suggestions are kept, and the memory that they take. */
size_t through_count(const struct through *t);
size_t through_bytes(const struct through *t);

#endif
