/* seeds.h: the seeds of all traces, and what they must come to. See seeds.c.
 */
#ifndef TESTS_BENCH_TYPING_SEEDS_H
#define TESTS_BENCH_TYPING_SEEDS_H

#include "bench/typing/trace.h"

enum { MATCH_RATES = 3, LATENCIES = 3 };
extern const unsigned match_rates[MATCH_RATES]; /* in a hundred */
extern const usec_t latencies[LATENCIES];       /* of one answer */

struct seed {
    enum people people;
    size_t match, latency; /* indexes */
    uint64_t seed;
    uint64_t trace, suggestions; /* cast_digest and suggest_digest of TRACE_MINUTES minutes */
};
enum { SEEDS = PEOPLE_COUNT * MATCH_RATES * LATENCIES };
extern const struct seed seeds[SEEDS];

#endif
