/* budget.h: a bound on memory that several owners share: what clients and model servers send, as far
 * as it is held.
 */
#ifndef LULL_BASE_BUDGET_H
#define LULL_BASE_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

struct budget {
    size_t used, max; /* in bytes; max may be lowered below used */
};

/* An owner holds `now` bytes from here on instead of *counted, which is updated. false: that does
 * not fit, and nothing changes. Less always fits. b may be NULL: no bound. */
static inline bool budget_settle(struct budget *b, size_t *counted, size_t now)
{
    if (b == NULL) {
        return true;
    }
    size_t others = b->used - *counted;
    if (now > *counted && (others > b->max || now > b->max - others)) {
        return false;
    }
    b->used = others + now;
    *counted = now;
    return true;
}

#endif
