/* typist_support.h: what the tests of typist/ share. */
#ifndef TESTS_UNIT_TYPIST_SUPPORT_H
#define TESTS_UNIT_TYPIST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lull/base/clock.h"
#include "lull/base/hash.h"

static uint64_t random_state = 1;

static inline unsigned pick(unsigned n)
{
    random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)(random_state >> 33) % n;
}

#endif
