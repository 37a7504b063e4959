/* record.h: every text that the model was asked to continue in a run, what came of it, and whether
 * it was shown. Two questions are answered by looking at the texts themselves, whatever lull
 * says: which call a shown suggestion comes from, and whether a call was avoidable because a
 * suggestion that was there (or was being made) holds the answer.
 */
#ifndef TESTS_BENCH_TYPING_RECORD_H
#define TESTS_BENCH_TYPING_RECORD_H

#include "bench/typing/suggest.h"

enum { WALK_BACK = 128 }; /* characters a text may have beyond the text of a reused suggestion */
extern const usec_t SUGGESTION_TTL;

struct record {
    uint64_t hash;
    size_t context;
    struct span text;       /* lives as long as the register */
    struct span suggestion; /* what the model says to it, always the same */
    usec_t finished;        /* when an answer was last whole; -1: never */
    size_t active;          /* calls for it that wait or run */
    usec_t unseen;          /* model time of its last whole answer, until that is seen */
};

struct records;

struct records *records_create(void);
void records_free(struct records *r);
/* The record of that text, made on first use; valid as long as the register. */
struct record *records_of(struct records *r, size_t context, struct span text,
                          struct span suggestion);
/* NULL: no call asked for it. */
struct record *records_find(const struct records *r, size_t context, struct span text);

/* What is left of a suggestion for `shorter` when `longer` is before the caret; ptr NULL: it does
 * not fit, or only blank is left. The one space that was missing at the old caret may have been
 * typed. */
struct span remainder_of(struct span shorter, struct span suggestion, struct span longer);

/* The record of a shorter text whose suggestion holds the answer to `text` now: whole and not
 * expired, or (running) still to come. The longest such text; NULL: none. */
struct record *records_cover(const struct records *r, size_t context, struct span text, usec_t now,
                             bool running);
/* The record that `shown`, seen at `text`, comes from; NULL: none. */
struct record *records_source(const struct records *r, size_t context, struct span text,
                              struct span shown);

#endif
