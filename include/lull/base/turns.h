/* turns.h: how long the turns of the loop take, and what CPU they take: the most ever, and the most of
 * the last five minutes. A turn that is long and takes little CPU waited: for a processor that others
 * had, or for a page of a file that was not in memory. Plain values; time is a parameter.
 */
#ifndef LULL_BASE_TURNS_H
#define LULL_BASE_TURNS_H

#include "lull/base/clock.h"

enum { TURNS_SLICES = 10 }; /* of 30 s */

/* Of a turn, or the most of several; not of one and the same turn. */
struct turn_cost {
    usec_t time, cpu;
};

/* All zero at first. */
struct turns {
    struct turn_cost most;
    /* private */
    int64_t epoch; /* of the slice that was written last */
    struct turn_cost slices[TURNS_SLICES];
};

/* A turn that began at `began`, ended at `ended` and took at most so much CPU. */
void turns_add(struct turns *t, mono_t began, mono_t ended, usec_t cpu);
/* The most of turns that ended in the last five minutes, counted in slices of 30 s; 0: none. */
struct turn_cost turns_recent(const struct turns *t, mono_t now);

#endif
