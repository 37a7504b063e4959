/* turns.h: how long the turns of the loop take: the longest ever, and the longest of the last five
 * minutes. Plain values; time is a parameter.
 */
#ifndef LULL_BASE_TURNS_H
#define LULL_BASE_TURNS_H

#include "lull/base/clock.h"

enum { TURNS_SLICES = 10 }; /* of 30 s */

/* All zero at first. */
struct turns {
    usec_t longest;
    /* private */
    int64_t epoch; /* of the slice that was written last */
    usec_t slices[TURNS_SLICES];
};

/* A turn that began at `began` and ended at `ended`. */
void turns_add(struct turns *t, mono_t began, mono_t ended);
/* The longest turn that ended in the last five minutes, counted in slices of 30 s; 0: none. */
usec_t turns_recent(const struct turns *t, mono_t now);

#endif
