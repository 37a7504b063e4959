/* prng.h: random numbers of the typing benchmark: integers only, so that a seed gives the same
 * trace with every compiler, libc and machine.
 */
#ifndef TESTS_BENCH_TYPING_PRNG_H
#define TESTS_BENCH_TYPING_PRNG_H

#include "lull/base/buf.h"

#include <stdint.h>

struct prng {
    uint64_t state;
};

/* The finish of splitmix64: every bit of x moves every bit of the result. */
static inline uint64_t prng_mix(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xBF58476D1CE4E5B9ULL;
    x ^= x >> 27;
    x *= 0x94D049BB133111EBULL;
    x ^= x >> 31;
    return x;
}

static inline uint64_t prng_next(struct prng *p)
{
    p->state += 0x9E3779B97F4A7C15ULL;
    return prng_mix(p->state);
}

/* 0 .. n-1; the bias of the remainder is below 2^-32 for the n used here. */
static inline unsigned prng_below(struct prng *p, unsigned n)
{
    return (unsigned)((prng_next(p) >> 16) % n);
}

/* True in `thousandths` of a thousand cases. */
static inline bool prng_chance(struct prng *p, unsigned thousandths)
{
    return prng_below(p, 1000) < thousandths;
}

/* FNV-1a over the bytes, going on from h (PRNG_HASH at first); to be finished with prng_mix. */
#define PRNG_HASH 14695981039346656037ULL
static inline uint64_t prng_hash(uint64_t h, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        h = (h ^ (unsigned char)s.ptr[i]) * 1099511628211ULL;
    }
    return h;
}

#endif
