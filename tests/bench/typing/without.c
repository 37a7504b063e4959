/* without.c: the one place where the benchmark reaches into the daemon: it switches mechanisms off
 * in order to measure each by itself. This daemon has no such switch.
 */
#include "bench/typing/policies.h"

bool bench_without(unsigned mask)
{
    return mask == 0;
}
