/* rewarm.h: reads a chat's prompt into the server's prompt cache again, after tasks have evicted it.
 *
 * A server with one slot caches the prompt that it read last. A task between two turns evicts the
 * conversation: measured on Ollama, the first token of the next turn took 2.74 s instead of 0.44 s,
 * and 0.48 s after one call that had read the conversation again in idle time.
 *
 *   chat ends ──▶ KEPT ──tasks ran, machine idle for 1 s──▶ RUNNING ──▶ done, for this turn
 *                  └────────── the next chat, or any other job ──┴──▶ aborted, forgotten
 *
 * The last conversation of each machine is kept, in memory only and bounded, and only where `rewarm`
 * is not off. A rewarm call yields to every other job. Its time is counted in `rewarm_s`. No function
 * calls back before it returns.
 */
#ifndef LULL_PATH_REWARM_REWARM_H
#define LULL_PATH_REWARM_REWARM_H

#include "lull/base/loop.h"
#include "lull/config/figures.h"
#include "lull/path/dialect/chat_request.h"
#include "lull/path/schedule/gate.h"
#include "lull/path/server/prefix.h"
#include "lull/path/upstream/upstream.h"

struct rewarm;

/* What came between a turn and the turn before it, on the same upstream. */
enum turn_gap { TURN_UNKNOWN, TURN_ALONE, TURN_AFTER_TASKS, TURN_AFTER_REWARM };

/* Never NULL. Borrowed parts must outlive it. */
struct rewarm *rewarm_create(struct loop *loop, struct upstream_pool *pool,
                             struct schedule *schedule, struct figures *figures);
/* Aborts what runs. NULL is fine. */
void rewarm_destroy(struct rewarm *r);

/* A chat begins: a call to its machine is aborted, and the kept conversation is forgotten. Returns
 * what came since the turn before; TURN_UNKNOWN: that was of another conversation. */
enum turn_gap rewarm_chat_began(struct rewarm *r, const struct upstream_settings *to,
                                const struct schedule_conversation *whose, bool first_turn);
/* Its prompt had `tokens`, of which `cached` were in the server's cache; -1: not reported. */
void rewarm_chat_read(struct rewarm *r, const struct upstream_settings *to, enum turn_gap gap,
                      int64_t tokens, int64_t cached);
/* Its first token came after `took`. */
void rewarm_chat_token(struct rewarm *r, const struct upstream_settings *to, enum turn_gap gap,
                       usec_t took);

struct rewarm_chat {
    struct settings *settings;
    int upstream;
    enum endpoint endpoint;
    struct schedule_conversation conversation;
    struct server *server; /* of the upstream; lives longer than the rewarm */
    struct span model;
    struct prefix_place place; /* what its slot has read */
    struct span target, body;
    struct span reply; /* empty: not rewarmed; the gap to the next turn is measured all the same */
    const struct http_header *headers;
    size_t header_count;
};
/* A chat ended well. Everything is copied. */
void rewarm_chat_ended(struct rewarm *r, const struct rewarm_chat *chat);

/* For gate_watch(), with the rewarm as ctx: the state of a machine has changed. Begins a call where one
 * is due, aborts one where its machine is not idle. */
void rewarm_look(void *ctx);

#endif
