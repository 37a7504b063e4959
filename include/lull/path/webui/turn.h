/* turn.h: where in a conversation a task stands: the reply that its prompt ends with, and whether a
 * chat goes on from it.
 */
#ifndef LULL_PATH_WEBUI_TURN_H
#define LULL_PATH_WEBUI_TURN_H

#include "lull/base/buf.h"
#include "lull/path/dialect/chat_request.h"

enum { TASK_REPLY_MIN = 12 }; /* code points: shorter replies stand in many conversations */

struct task_turn {
    bool known;        /* the prompt has a history */
    struct span reply; /* its last ASSISTANT text, trimmed; empty: there is none yet. Points into
                          the request */
};
struct task_turn task_turn_of(const struct dialect_request *request);

/* A message as Open WebUI puts it into task prompts: without thinking and markdown images, trimmed.
 * Appended to out. */
MUST_CHECK enum err task_plain(struct span message, struct buf *out);

/* Whether a reply (by task_plain) is found in a message of the chat: whole, or as its first 498 and
 * last 499 characters with "..." between, which is how Open WebUI cuts messages over 1,000
 * characters. A reply of fewer than TASK_REPLY_MIN matches nothing. */
bool task_reply_is_in(struct span reply, const struct dialect_request *chat);

#endif
