/* turns.c: one maximum for each slice of 30 s. A slice is cleared when its half minute begins, with
 * all that were skipped since the slice before. */
#include "lull/base/turns.h"

static const usec_t SLICE = 30 * USEC_PER_S;

static int64_t epoch_of(mono_t at)
{
    return at.us / SLICE;
}

void turns_add(struct turns *t, mono_t began, mono_t ended)
{
    usec_t took = mono_diff(ended, began);
    int64_t epoch = epoch_of(ended);
    int64_t passed = epoch - t->epoch;
    for (int64_t i = 0; i < passed && i < TURNS_SLICES; i++) {
        t->slices[(epoch - i) % TURNS_SLICES] = 0;
    }
    t->epoch = epoch;
    usec_t *slice = &t->slices[epoch % TURNS_SLICES];
    *slice = took > *slice ? took : *slice;
    t->longest = took > t->longest ? took : t->longest;
}

usec_t turns_recent(const struct turns *t, mono_t now)
{
    int64_t oldest = epoch_of(now) - TURNS_SLICES + 1;
    usec_t longest = 0;
    for (int64_t e = oldest > 0 ? oldest : 0; e <= t->epoch; e++) {
        usec_t slice = t->slices[e % TURNS_SLICES];
        longest = slice > longest ? slice : longest;
    }
    return longest;
}
