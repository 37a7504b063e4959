/* without.c: the one place where the benchmark reaches into the daemon: it switches mechanisms off
 * in order to measure each by itself. Its flight_has() is linked instead of the daemon's. Runs of one
 * process follow one another, so one mask is enough.
 */
#include "bench/typing/policies.h"

#include "lull/path/flight/flight.h"

static unsigned off; /* enum flight_part, as bits */

bool flight_has(enum flight_part part)
{
    return (off & (unsigned)part) == 0;
}

void bench_without(unsigned mask)
{
    static const struct {
        unsigned mask, part;
    } rows[] = {
        {WITHOUT_JOIN, FLIGHT_PART_FOLLOW}, {WITHOUT_WINDOW, FLIGHT_PART_WINDOW},
        {WITHOUT_SENT, FLIGHT_PART_SENT},   {WITHOUT_ABORT, FLIGHT_PART_ABORT},
        {WITHOUT_EMPTY, FLIGHT_PART_EMPTY}, {WITHOUT_BUSY_WAIT, FLIGHT_PART_BUSY},
    };
    off = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        off |= (mask & rows[i].mask) != 0 ? rows[i].part : 0;
    }
}
