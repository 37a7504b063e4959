/* turn.h: where in a conversation a task stands, by the reply that its prompt ends with.
 */
#ifndef LULL_PATH_WEBUI_TURN_H
#define LULL_PATH_WEBUI_TURN_H

#include "lull/base/buf.h"
#include "lull/path/dialect/chat_request.h"

enum { TASK_REPLY_MIN = 12 }; /* code points: shorter replies stand in many conversations */

struct task_turn {
    bool known;          /* the prompt has a history */
    struct span history; /* points into the request, like the reply */
    struct span reply;   /* its last ASSISTANT text, trimmed; empty: there is none yet */
};
struct task_turn task_turn_of(const struct dialect_request *request);

/* A message as Open WebUI puts it into task prompts: without thinking and markdown images, trimmed.
 * Appended to out. */
MUST_CHECK enum err task_plain(struct span message, struct buf *out);

#endif
