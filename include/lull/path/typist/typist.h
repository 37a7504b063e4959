/* typist.h: the typing rate of each user, and the debounce delay derived from it. Decisions over
 * plain values; time is a parameter. Nothing calls back.
 *
 * Two autocompletes are of one typist only if their contexts are equal and one text extends or
 * truncates the other by the rule of task_same_typist(); in doubt they are of two. What only
 * measures (the rhythm of keys, whether a client sends every key) may be looser, since it loses no
 * suggestion: it belongs to a stream, which is all that comes from the scope of one user.
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
struct typist;

/* An empty table. Never NULL. */
struct typist_table *typist_table_create(void);
void typist_table_destroy(struct typist_table *t); /* NULL is fine */

struct typist_arrival {
    struct hash_key context; /* see fingerprint_context() */
    struct hash_key person;  /* the scope by Authorization and user id */
    struct span text;
    bool one_user;      /* a user id is in the scope */
    bool history_empty; /* a new chat */
    mono_t now;
};

struct typist_verdict {
    bool known;    /* related to an earlier arrival */
    bool lone;     /* no recent request from this user: no debounce */
    usec_t rhythm; /* mean interval between the user's keys; 0: not known */
    uint64_t run;  /* id of the run: equal in all its arrivals; 0: not in a run */
    bool settled;  /* TYPIST_RUN keys of the run have come */
};
/* Records an arrival and returns what it is.
 *
 * A run: arrivals of one user (a user id is in the scope), in one context, each less than a second
 * behind the one before and differing from it by a single character at its end. Once TYPIST_RUN of
 * them have come, all texts of the run are of one typist however short they are: without this, a
 * client that sends every key causes a call for each of the first eleven texts of every message,
 * more than for the remainder of it (tests/bench/typing: 86 of 139). */
struct typist_verdict typist_note(struct typist_table *t, const struct typist_arrival *a);

/* What typist_note() would return, but for run and settled; records nothing. */
struct typist_verdict typist_peek(const struct typist_table *t, const struct typist_arrival *a);

/* Whether a and b are of one typist: equal context, related texts. */
bool typist_same(const struct typist_arrival *a, const struct typist_arrival *b);

/* The debounce delay: how long to wait for newer text before a call that takes `latency` (-1: not
 * known) starts. 0 for a lone request; else from the rhythm and the latency (an unneeded call of a
 * slow model costs more), 0 to 1,000 ms, less `waited`. */
usec_t typist_window(const struct typist_verdict *v, usec_t latency, usec_t waited);

#endif
