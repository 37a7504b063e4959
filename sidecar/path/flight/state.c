/* state.c: which state of a flight follows which event; flight_priv.h draws it. */
#include "path/flight/flight_priv.h"

enum flight_state flight_next_state(enum flight_state state, enum flight_event event)
{
    enum {
        HELD = 1 << FLIGHT_STATE_HELD,
        FOLLOWING = 1 << FLIGHT_STATE_FOLLOWING,
        QUEUED = 1 << FLIGHT_STATE_QUEUED,
        CALLING = 1 << FLIGHT_STATE_CALLING,
        ANY = HELD | FOLLOWING | QUEUED | CALLING,
    };
    static const struct {
        unsigned from;
        enum flight_state to;
    } rows[FLIGHT_EVENTS] = {
        [FLIGHT_EVENT_LED] = {HELD | QUEUED, FLIGHT_STATE_FOLLOWING},
        [FLIGHT_EVENT_RELEASED] = {FOLLOWING, FLIGHT_STATE_HELD},
        [FLIGHT_EVENT_READY] = {HELD, FLIGHT_STATE_QUEUED},
        [FLIGHT_EVENT_GATE_OPENED] = {QUEUED, FLIGHT_STATE_CALLING},
        [FLIGHT_EVENT_ASKED_AGAIN] = {CALLING, FLIGHT_STATE_CALLING},
        [FLIGHT_EVENT_PREEMPTED] = {CALLING, FLIGHT_STATE_QUEUED},
        [FLIGHT_EVENT_THROTTLED] = {CALLING, FLIGHT_STATE_QUEUED},
        [FLIGHT_EVENT_FELL_BACK] = {HELD | QUEUED | CALLING, FLIGHT_STATE_QUEUED},
        [FLIGHT_EVENT_ANSWERED] = {CALLING, FLIGHT_STATE_ENDING},
        [FLIGHT_EVENT_LEADER_ANSWERED] = {FOLLOWING, FLIGHT_STATE_ENDING},
        [FLIGHT_EVENT_REMAINDER] = {HELD | QUEUED, FLIGHT_STATE_ENDING},
        [FLIGHT_EVENT_FAILED] = {HELD | QUEUED | CALLING, FLIGHT_STATE_ENDING},
        [FLIGHT_EVENT_BUSY] = {HELD | QUEUED, FLIGHT_STATE_ENDING},
        [FLIGHT_EVENT_SUPERSEDED] = {ANY, FLIGHT_STATE_ENDING},
        [FLIGHT_EVENT_SENT] = {ANY, FLIGHT_STATE_ENDING},
        [FLIGHT_EVENT_OBSOLETE] = {ANY, FLIGHT_STATE_ENDING},
        [FLIGHT_EVENT_DEADLINE] = {ANY, FLIGHT_STATE_ENDING},
        [FLIGHT_EVENT_LEFT] = {ANY, FLIGHT_STATE_ENDING},
    };
    bool possible = (rows[event].from & 1U << state) != 0;
    return possible ? rows[event].to : FLIGHT_STATES;
}

void flight_enter(struct flight *f, enum flight_event event)
{
    enum flight_state next = flight_next_state(f->state, event);
    require(next != FLIGHT_STATES);
    f->state = next;
}
