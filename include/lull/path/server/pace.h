/* pace.h: how long the calls of one kind for one model take there: mean and mean deviation,
 * smoothed as RFC 6298 does for round trips.
 */
#ifndef LULL_PATH_SERVER_PACE_H
#define LULL_PATH_SERVER_PACE_H

#include "lull/path/server/server.h"

/* The record of a kind, made on first use; valid until the next call for that model. kind: an index
 * into settings.kinds; it says which of the built-in ones. An own one is known by its name, since
 * another configuration may have another at that place. */
struct pace *pace_of(struct server_model *m, int kind, const char *name);
/* Frees the records of a model, which is freed next. */
void paces_free(struct server_model *m);
/* A call for a request of `size` bytes has taken that long. */
void pace_add(struct pace *p, usec_t took, size_t size);
/* How long a call usually takes; -1: not known. */
usec_t pace_expected(const struct pace *p);
/* The same for a request of that size: longer ones take longer. */
usec_t pace_expected_for(const struct pace *p, size_t size);
/* Whether a call that has been running for `elapsed` is nearly done: less than a sixteenth of
 * the expected time is left. false when nothing is known or it is late already. */
bool pace_nearly_done(const struct pace *p, usec_t elapsed);
/* The deadline that `auto` stands for: what nearly all calls keep; -1: not known. */
usec_t pace_deadline(const struct pace *p);

#endif
