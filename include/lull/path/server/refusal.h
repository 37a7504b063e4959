/* refusal.h: which additions (overrides.h) a model server refuses, per model and endpoint; the
 * rules are explained in refusal.c. A reload of the configuration forgets all.
 */
#ifndef LULL_PATH_SERVER_REFUSAL_H
#define LULL_PATH_SERVER_REFUSAL_H

#include "lull/path/dialect/overrides.h"
#include "lull/path/server/server.h"

/* A changed request that was refused by a status. */
struct refused {
    unsigned sent;  /* the additions it had; 0: there was none such */
    unsigned trial; /* among them: one that came back, see refusal_left_out() */
    unsigned named; /* the one that the error's text names; 0: none */
    int status;
};

/* The additions that the next request leaves out. *trial: the one that comes back with it; 0:
 * none. */
unsigned refusal_left_out(struct server_model *m, enum endpoint endpoint, mono_t now,
                          unsigned *trial);
/* Whether that one is left out. */
bool refusal_has(struct server_model *m, enum endpoint endpoint, enum addition one, mono_t now);
/* A request with those additions was refused, and the same request was answered as the client
 * wrote it. */
void refusal_proven(struct server_model *m, enum endpoint endpoint, const struct refused *what,
                    mono_t now);
/* A request was answered that was sent with these; trial: as refusal_left_out() said for it. */
void refusal_answered(struct server_model *m, enum endpoint endpoint, const struct additions *asked,
                      unsigned trial, mono_t now);
/* That addition alone was the difference between an answered request and one that was refused with
 * that status. */
void refusal_certain(struct server_model *m, enum endpoint endpoint, enum addition one, int status,
                     mono_t now);

/* A streamed answer could be read; or it could not, and the same request was answered as the client
 * wrote it. The second time in a row that it could not, `stream` is left out. */
void refusal_stream_read(struct server_model *m, enum endpoint endpoint, bool read, mono_t now);

/* An addition that tasks are sent without. proven: else it is only suspected. Texts are valid
 * during the call. */
struct refusal_view {
    const char *upstream, *model, *addition;
    bool proven;
    usec_t age; /* since it was first left out */
};
typedef void (*refusal_fn)(void *ctx, const struct refusal_view *v);
/* All of them. Calls fn before it returns. */
void refusal_each(struct servers *all, mono_t now, refusal_fn fn, void *ctx);
/* The configuration has changed: all additions are tried again. */
void refusal_forget(struct servers *all);

#endif
