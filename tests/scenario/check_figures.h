/* check_figures.h: the equations of the figures, which hold when nothing runs any more. */
#ifndef TESTS_SCENARIO_CHECK_FIGURES_H
#define TESTS_SCENARIO_CHECK_FIGURES_H

#include "lull/base/err.h"
#include "lull/config/figures.h"

#include <string.h>

/* What is counted of users is what is counted of kinds: every task belongs to one of each. Only where no
 * control server moves the users' sums into days. */
static inline void check_users(const struct figures *f)
{
    static const struct savings zero;
    struct savings remainder = {0};
    for (size_t i = 0; i < f->task_count; i++) {
        struct savings s = figures_savings(f->tasks[i]);
        savings_add(&remainder, &s);
    }
    for (size_t i = 0; i < f->user_count; i++) {
        savings_subtract(&remainder, &f->users[i].sum);
    }
    require(memcmp(&remainder, &zero, sizeof zero) == 0);
}

static inline void check_figures(const struct figures *f)
{
    for (size_t i = 0; i < f->task_count; i++) {
        uint64_t sum = 0;
        for (size_t o = 0; o < OUTCOME_COUNT; o++) {
            sum += f->tasks[i]->outcomes[o];
        }
        require(sum == f->tasks[i]->requests);
    }
    for (size_t i = 0; i < f->upstream_count; i++) {
        const struct upstream_figures *u = f->upstreams[i];
        require(u->calls == u->finished + u->failed + u->aborted + u->running);
    }
}

#endif
