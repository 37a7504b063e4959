/* breaker.h: keeps tasks away from a server that fails again and again.
 *
 *   CLOSED ──breaker_failures in a row──▶ OPEN ──breaker_open is over──▶ HALF OPEN: one task tries
 *     ▲                                    ▲                              │ it fails
 *     │                                    └──────────────────────────────┘
 *     └──────────────── a task or a chat is answered ─────────────────────┘
 *
 * Calls of tasks and of chats count. Chats are always tried. Statuses below 500 do not count, except
 * 408 and 429.
 */
#ifndef LULL_PATH_SERVER_BREAKER_H
#define LULL_PATH_SERVER_BREAKER_H

#include "lull/path/server/server.h"

/* Whether an answer of that status says that the server is in trouble. */
bool breaker_counts(int status);
/* A call was answered: closes the breaker. */
void breaker_success(struct server *s);
/* A call with these settings failed. Opens the breaker when there were too many in a row; a call with
 * another key, proxy or ca_file than those in force does not count. */
void breaker_failure(struct server *s, const struct upstream_settings *to, mono_t now);
/* Whether a task is kept away for some time to come. */
bool breaker_is_open(const struct server *s, mono_t now);
/* Whether a task may be sent there now. *trial: it is the one that tries; its owner says how it
 * went, by breaker_success(), breaker_failure() or breaker_end_trial(). */
bool breaker_admits(struct server *s, mono_t now, bool *trial);
/* The task that tried was cut off before it could say anything: the next one tries. */
void breaker_end_trial(struct server *s);

#endif
