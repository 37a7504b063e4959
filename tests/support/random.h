/* random.h: choices that look random and are the same each time. One sequence a program. */
#ifndef TESTS_SUPPORT_RANDOM_H
#define TESTS_SUPPORT_RANDOM_H

#include <stdint.h>

static uint64_t random_state = 1; /* a test may begin elsewhere */

/* From 0 to n - 1. */
static inline unsigned pick(unsigned n)
{
    random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)(random_state >> 33) % n;
}

#endif
