/* fatal_handlers.h: what becomes of a signal that ends a process. The store's handlers mark its file as one
 * that kills, and let the process end. Those of before, which a fuzzer needs to keep its input, are
 * put back.
 */
#ifndef TESTS_SUPPORT_FATAL_HANDLERS_H
#define TESTS_SUPPORT_FATAL_HANDLERS_H

#include "lull/base/err.h"

#include <signal.h>
#include <stddef.h>

static const int fatal_signals[] = {SIGBUS, SIGSEGV, SIGABRT};
static struct sigaction fatal_handlers[3];

/* Before a store is opened for the first time. */
static inline void fatal_handlers_keep(void)
{
    for (size_t i = 0; i < 3; i++) {
        require(sigaction(fatal_signals[i], NULL, &fatal_handlers[i]) == 0);
    }
}

/* After each opening. */
static inline void fatal_handlers_put_back(void)
{
    for (size_t i = 0; i < 3; i++) {
        require(sigaction(fatal_signals[i], &fatal_handlers[i], NULL) == 0);
    }
}

#endif
