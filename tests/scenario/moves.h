/* moves.h: a daemon to which anything may happen, in virtual time: people who ask, cut, pipeline and
 * leave; model servers that answer, flood, stop reading, break and refuse; reloads, purges, pauses,
 * drains, restarts, disks that fail, clocks that jump, requests on the control socket. Bytes choose what happens next, so that a fuzzer
 * can guide it (fuzz/fuzz_control_moves.c).
 *
 * What must hold, whatever happens:
 *   - each reply on a connection belongs to its next request: it names the kind, the subject and
 *     the person that were asked about, and no other; a completion goes on as its person typed
 *   - each request is answered once, or its connection ended with a reply that says so or that broke
 *   - the figures add up (world_end), nothing runs when all is over, control replies are JSON
 */
#ifndef TESTS_SCENARIO_MOVES_H
#define TESTS_SCENARIO_MOVES_H

#include <stddef.h>
#include <stdint.h>

/* Plays until the bytes are used up, then ends all calls, and checks. Aborts where something does not
 * hold. */
void moves_play(const uint8_t *bytes, size_t len);
/* Which moves were made so far, as text; static. For a failure's message. */
const char *moves_counted(void);

#endif
