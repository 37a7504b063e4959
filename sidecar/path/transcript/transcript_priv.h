/* transcript_priv.h: the conversations that are kept, and how they are found. */
#ifndef PATH_TRANSCRIPT_TRANSCRIPT_PRIV_H
#define PATH_TRANSCRIPT_TRANSCRIPT_PRIV_H

#include "lull/path/transcript/transcript.h"

#include "lull/base/list.h"

enum { PLACES = 64, BEGUN = 64, ROWS = 256 };

struct item {
    struct list node;
    struct list by_chat, by_first, by_messages; /* in the rows of their keys */
    struct transcript *t;
};

/* Conversations by a key; others may stand in its row. */
struct rows {
    struct list of[ROWS];
};

static inline struct list *row_of(struct rows *rows, uint64_t key)
{
    return &rows->of[key % ROWS];
}

/* How many conversations in a row did not go on as expected, of one person with one model. */
struct place_record {
    uint64_t key; /* 0: free */
    unsigned changed;
    mono_t used;
};

struct transcripts {
    struct transcript_rival begun[BEGUN]; /* the last chats, in a ring */
    size_t begun_next;
    struct list items; /* the most recently used last, in the rows too */
    struct rows by_chat, by_first, by_messages;
    size_t count, bytes;
    uint64_t conversations, turns;
    struct place_record places[PLACES];
};

/* ---- rivals.c: whether conversations go on as expected ---- */

/* The record of the place, made where there is none. */
struct place_record *rivals_record(struct transcripts *all, const struct transcript_place *place,
                                   mono_t now);
struct transcript_rival rivals_of(struct hash_key person, const struct dialect_request *request,
                                  mono_t begun);
/* Whether one of the last chats that began is a rival of it. */
bool rivals_began(const struct transcripts *all, const struct transcript_rival *own);

#endif
