/* suggest.h: what the scripted model answers. The same request always gets the same suggestion: it
 * is decided by a hash of the history and the text before the caret. In `match` of a hundred cases
 * it is what the person goes on to write (one to six words), otherwise other words, sometimes
 * nothing. A model often leaves out the space that was missing at the caret; so does this one.
 *
 * Frozen like the traces.
 */
#ifndef TESTS_BENCH_TYPING_SUGGEST_H
#define TESTS_BENCH_TYPING_SUGGEST_H

#include "bench/typing/trace.h"

enum { SUGGESTION_MAX = 512 };

/* Every text before the caret, of every person of the cast, and the text that the person goes on to
 * write. */
struct paths;

struct paths *paths_create(const struct cast *cast);
void paths_free(struct paths *p);
/* What `text` is the beginning of; ptr NULL: no person goes on from it. Where several people
 * do, the first in the cast's order decides, so that equal requests get equal suggestions. */
struct span paths_goal(const struct paths *p, size_t context, struct span text);

/* The suggestion, terminated; returns its length. */
size_t suggest(const struct paths *p, size_t context, struct span text, unsigned match,
               char out[SUGGESTION_MAX]);

/* Over the suggestions for every key of the cast at that rate. */
uint64_t suggest_digest(const struct paths *p, const struct cast *cast, unsigned match);

#endif
