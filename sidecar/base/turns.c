/* turns.c: one maximum for each slice of 30 s. A slice is cleared when its half minute begins, with
 * all that were skipped since the slice before. */
#include "lull/base/turns.h"

static const usec_t SLICE = 30 * USEC_PER_S;

static int64_t epoch_of(mono_t at)
{
    return at.us / SLICE;
}

static void take_most(struct turn_cost *to, struct turn_cost cost)
{
    to->time = cost.time > to->time ? cost.time : to->time;
    to->cpu = cost.cpu > to->cpu ? cost.cpu : to->cpu;
}

void turns_add(struct turns *t, mono_t began, mono_t ended, usec_t cpu)
{
    struct turn_cost cost = {mono_diff(ended, began), cpu};
    int64_t epoch = epoch_of(ended);
    int64_t passed = epoch - t->epoch;
    for (int64_t i = 0; i < passed && i < TURNS_SLICES; i++) {
        t->slices[(epoch - i) % TURNS_SLICES] = (struct turn_cost){0};
    }
    t->epoch = epoch;
    take_most(&t->slices[epoch % TURNS_SLICES], cost);
    take_most(&t->most, cost);
}

struct turn_cost turns_recent(const struct turns *t, mono_t now)
{
    int64_t oldest = epoch_of(now) - TURNS_SLICES + 1;
    struct turn_cost most = {0};
    for (int64_t e = oldest > 0 ? oldest : 0; e <= t->epoch; e++) {
        take_most(&most, t->slices[e % TURNS_SLICES]);
    }
    return most;
}
