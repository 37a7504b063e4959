/* no_events.h: callbacks of an http_handler that does nothing. */
#ifndef TESTS_SUPPORT_NO_EVENTS_H
#define TESTS_SUPPORT_NO_EVENTS_H

#include "lull/http/server.h"

static inline void no_event(struct http_conn *c, void *ctx)
{
    (void)c;
    (void)ctx;
}

static inline void no_piece(struct http_conn *c, struct span piece, void *ctx)
{
    (void)c;
    (void)piece;
    (void)ctx;
}

#endif
