/* fuzz_control_moves.c: bytes as what happens to a whole daemon in virtual time; see
 * scenario/moves.h, which says what must hold.
 * covers: path/exchange/engine.c path/exchange/dispatch.c path/exchange/forward.c path/exchange/lookup.c path/exchange/respond.c path/flight/flight.c path/flight/advance.c path/flight/ending.c path/flight/call.c path/flight/call_result.c path/flight/failure.c path/schedule/schedule.c path/schedule/interactive.c path/schedule/decide.c path/relay/relay.c path/cache/cache.c
 */
#include "scenario/moves.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    moves_play(data, size < 16384 ? size : 16384);
    return 0;
}
