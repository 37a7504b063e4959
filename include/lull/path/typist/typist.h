/* typist.h: who types, how fast, and how long it is worth waiting for his next key. Decisions over
 * plain values; time is a parameter.
 *
 * Two autocompletes belong to one typist only where their context is equal and one text extends or
 * truncates the other by the rule of task_same_typist(). In doubt they are two people. What only
 * measures (the rhythm of keys, whether a front end sends every key) may be looser, since it can
 * lose nobody's suggestion: it belongs to a stream, all that comes from one person's scope.
 */
#ifndef LULL_PATH_TYPIST_TYPIST_H
#define LULL_PATH_TYPIST_TYPIST_H

#include "lull/base/clock.h"
#include "lull/base/hash.h"

#include <stdbool.h>

enum {
    TYPISTS = 256,       /* remembered; the least recently seen one makes room */
    TYPIST_STREAMS = 64, /* the same */
    TYPIST_RUN = 3,
    TYPIST_TEXT_MAX = 16 * 1024, /* longer texts are never related */
};

struct typist_table;
struct typist; /* one row; valid until the next typist_note() */

/* Nobody is known yet. Never NULL. */
struct typist_table *typist_table_create(void);
void typist_table_destroy(struct typist_table *t); /* NULL is fine */

struct typist_arrival {
    struct hash_key context; /* everything but the text: see fingerprint_context() */
    struct hash_key person;  /* the scope by Authorization and user id */
    struct span text;
    bool one_user;      /* a user id is in the scope */
    bool history_empty; /* a new chat */
    mono_t now;
};

struct typist_verdict {
    bool known;    /* related to what this typist asked before */
    bool lone;     /* nothing of his came lately: not to be held */
    usec_t rhythm; /* mean interval between his keys; 0: not known */
    uint64_t run; /* one person's keys, one by one: equal in all arrivals of a run; 0: not in one */
    bool settled; /* ... and that is beyond doubt: TYPIST_RUN keys have come so */
};
/* Notes an arrival and says what it is.
 *
 * A run: arrivals of one user (a user id is in the scope), in one context, each less than a second
 * behind the one before and differing from it by a single character at its end. Once TYPIST_RUN of
 * them have come, all texts of the run are one typist's however short they are: without this, a
 * front end that sends every key has each of the first eleven texts of every message called, more
 * calls than for all the rest (tests/bench/typing, design.md's rule alone: 86 of 139). */
struct typist_verdict typist_note(struct typist_table *t, const struct typist_arrival *a);

/* What typist_note() would say; notes nothing. */
struct typist_verdict typist_look(const struct typist_table *t, const struct typist_arrival *a);

/* Whether a and b are one typist's: equal context, related texts. */
bool typist_same(const struct typist_arrival *a, const struct typist_arrival *b);

/* The adaptive window: how long to wait for newer text before a call that takes `latency` (-1: not
 * known) is begun. 0 for a lone request; else from the rhythm and the latency (a mistake on a slow
 * model costs more), 0 to 1,000 ms, less what was waited already. */
usec_t typist_window(const struct typist_verdict *v, usec_t latency, usec_t waited);

#endif
