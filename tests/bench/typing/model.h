/* model.h: a model server with one slot, in virtual time. It serves calls in order of arrival; an
 * answer takes `latency` from the slot to its end: three tenths for the prompt, the rest for its
 * tokens, one after the other at an even pace. The head of a stream goes out at once, as
 * llama-server's does. A caller that closes is noticed when the next token is written, in the
 * prompt phase not before the first token; one that closes while it waits costs nothing. A call
 * that was not asked for as a stream is made to its end, even if its caller has left. The queue is
 * bounded (Ollama's 512): what comes then gets a 503.
 *
 * Two interfaces: the upstream of a world (lull's calls), and functions for clients without lull.
 */
#ifndef TESTS_BENCH_TYPING_MODEL_H
#define TESTS_BENCH_TYPING_MODEL_H

#include "bench/typing/record.h"
#include "bench/typing/wire.h"

#include "lull/base/loop.h"

#include "scenario/world.h"

enum { MODEL_QUEUE = 512 };

struct model;

struct model_setup {
    struct loop *loop;
    const struct cast *cast;
    const struct paths *paths;
    const struct wire *wire; /* NULL: lull cannot call it */
    unsigned match;
    usec_t latency;
};

/* What the model did. Chats count apart. */
struct model_figures {
    size_t calls, refused, aborted, chats;
    usec_t spent;     /* of the slot, by autocompletes; aborted ones until that was noticed */
    usec_t used;      /* of whole answers that were shown */
    size_t avoidable; /* calls whose answer was there, or was being made, in a suggestion for a
                         shorter text */
};

struct model *model_create(const struct model_setup *setup);
void model_free(struct model *m);
struct model_script model_as_upstream(struct model *m);
struct records *model_records(struct model *m);
const struct model_figures *model_figures(const struct model *m);
/* Nothing waits or runs, nothing that was closed has still to be noticed. */
bool model_idle(const struct model *m);
usec_t model_latency(const struct model *m);
/* When the slot would be free for a call that came now. */
usec_t model_free_at(const struct model *m);

/* Without lull. done is called from the loop, not before return; suggestion.ptr NULL: refused. */
typedef void (*model_done_fn)(void *ctx, struct span suggestion);
void model_ask(struct model *m, size_t context, struct span text, model_done_fn done, void *ctx);
/* done at the first token of the reply; ptr NULL: refused. */
void model_ask_chat(struct model *m, model_done_fn done, void *ctx);

/* This suggestion was shown with that text before the caret. */
void model_seen(struct model *m, size_t context, struct span text, struct span shown);

#endif
