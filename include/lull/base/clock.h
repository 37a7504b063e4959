/* clock.h: kinds of time. Nothing on the data path reads a clock: loop_now() and loop_wall()
 * (loop.h) hand out one reading per turn of the loop.
 */
#ifndef LULL_BASE_CLOCK_H
#define LULL_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

typedef struct mono {
    int64_t us;
} mono_t; /* monotonic, microseconds from an arbitrary start: delays, latencies */

typedef struct wall {
    int64_t us;
} wall_t; /* microseconds since 1970: expiry, times that are shown */

typedef int64_t usec_t; /* a duration in microseconds */

#define USEC_PER_MS ((usec_t)1000)
#define USEC_PER_S ((usec_t)1000000)

static inline usec_t mono_diff(mono_t later, mono_t earlier)
{
    return later.us - earlier.us;
}

static inline usec_t wall_diff(wall_t later, wall_t earlier)
{
    return later.us - earlier.us;
}

/* Whether what was made then was made by a clock that was ahead and is right again. Steps of a clock that
 * is kept right are far below a minute. */
static inline bool wall_is_ahead(wall_t made, wall_t now)
{
    return wall_diff(made, now) > 60 * USEC_PER_S;
}

#endif
