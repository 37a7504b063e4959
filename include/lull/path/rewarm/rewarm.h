/* rewarm.h: brings a chat's prompt cache back after the tasks of its turn have thrown it out.
 *
 * A server with one slot keeps the prompt it read last. A task between two turns costs the next
 * one its prefix: first token 0.44 -> 2.74 s on Ollama, 0.48 s again after one call that reads the
 * conversation anew while nobody waits (model-servers.md §6).
 *
 *   chat ends ──▶ KEPT ──tasks ran, machine idle for a second──▶ RUNNING ──▶ done, for this turn
 *                  └─────────── the next chat, or anything else ──┴──▶ aborted, forgotten
 *
 * The last conversation of each machine is kept, in memory only and bounded, and only where
 * `rewarm` is not off. It yields to everything. Its time is a figure of its own.
 */
#ifndef LULL_PATH_REWARM_REWARM_H
#define LULL_PATH_REWARM_REWARM_H

#include "lull/base/loop.h"
#include "lull/config/figures.h"
#include "lull/path/dialect/chat_request.h"
#include "lull/path/schedule/gate.h"
#include "lull/path/upstream/upstream.h"

struct rewarm;

/* What came between a turn and the one before it, on the same upstream. */
enum turn_gap { TURN_UNKNOWN, TURN_ALONE, TURN_AFTER_TASKS, TURN_AFTER_REWARM };

/* Never NULL; borrowed parts must outlive it. */
struct rewarm *rewarm_create(struct loop *loop, struct upstream_pool *pool,
                             struct schedule *schedule, struct figures *figures);
void rewarm_destroy(struct rewarm *r); /* NULL is fine */

/* A chat begins: whatever runs for its machine is aborted, what was kept is forgotten. Says what
 * came since the turn before, if that was of the same conversation. */
enum turn_gap rewarm_chat_began(struct rewarm *r, const struct upstream_settings *to,
                                const struct schedule_whose *whose, bool first_turn);
/* Its prompt had so many tokens, of which the server had so many cached; -1: it does not say. */
void rewarm_chat_read(struct rewarm *r, const struct upstream_settings *to, enum turn_gap gap,
                      int64_t tokens, int64_t cached);
/* Its first token came after `took`. */
void rewarm_chat_token(struct rewarm *r, const struct upstream_settings *to, enum turn_gap gap,
                       usec_t took);

struct rewarm_chat {
    struct settings *settings;
    int upstream;
    enum endpoint endpoint;
    struct schedule_whose whose;
    struct span target, body;
    struct span reply; /* empty: nothing to bring back, only what comes between is noted */
    const struct http_header *headers;
    size_t header_count;
};
/* It ended well. Everything is copied. */
void rewarm_chat_ended(struct rewarm *r, const struct rewarm_chat *chat);

/* What a machine does has changed: begins where one is idle, aborts where one is not. */
void rewarm_look(void *ctx);

#endif
