/* throttle.h: a server that asks for no more tasks for some time: status 429, or 503 with
 * Retry-After. The times are in its record (server.h); the schedule has tasks wait for them.
 */
#ifndef LULL_PATH_SERVER_THROTTLE_H
#define LULL_PATH_SERVER_THROTTLE_H

#include "lull/path/server/server.h"

/* The server takes no more tasks before `until`. said: it named the time itself. Never shortens a
 * time. */
void throttle_note(struct server *s, mono_t until, bool said);
/* Whether it takes no tasks now. */
bool throttle_is_on(const struct server *s, mono_t now);
/* How long a value of Retry-After asks to wait, an hour at most: seconds (a fraction, which some
 * gateways send, counts as one more), or a date in one of the three forms of RFC 9110 5.6.7. -1: it
 * is empty, or nothing that can be read. */
usec_t throttle_retry_after(struct span value, wall_t now);

#endif
