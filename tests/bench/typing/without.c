/* without.c: the one place where the benchmark reaches into the daemon: it switches mechanisms off
 * in order to measure each by itself.
 */
#include "bench/typing/policies.h"

#include "lull/path/exchange/exchange.h"

void bench_without(struct world *w, unsigned mask)
{
    static const struct {
        unsigned mask, part;
    } rows[] = {
        {WITHOUT_JOIN, FLIGHT_PART_FOLLOW}, {WITHOUT_WINDOW, FLIGHT_PART_WINDOW},
        {WITHOUT_SENT, FLIGHT_PART_SENT},   {WITHOUT_ABORT, FLIGHT_PART_ABORT},
        {WITHOUT_EMPTY, FLIGHT_PART_EMPTY}, {WITHOUT_BUSY_WAIT, FLIGHT_PART_BUSY},
    };
    unsigned parts = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        parts |= (mask & rows[i].mask) != 0 ? rows[i].part : 0;
    }
    engine_without(world_engine(w), parts);
}
