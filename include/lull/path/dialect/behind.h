/* behind.h: a task's request behind a conversation: the chat's last request with its reply and the
 * task's instruction as two more messages. A server that has the conversation in its prompt cache
 * reads the instruction only.
 */
#ifndef LULL_PATH_DIALECT_BEHIND_H
#define LULL_PATH_DIALECT_BEHIND_H

#include "lull/path/dialect/chat_request.h"

struct dialect_behind {
    enum endpoint endpoint;  /* of both: CHAT or OLLAMA_CHAT */
    struct span chat, task;  /* the bodies */
    struct span reply;       /* as the next turn repeats it */
    struct span instruction; /* of the task; its own messages are not used */
};
/* Appends the request. Members that lay out the prompt are the chat's (tools, template, thinking,
 * load options, and all that are not known); members that say how to answer are the task's
 * (sampling, limits, format, stream). ERR_INVALID: a body is no readable chat, or the task has a
 * member of neither sort that the chat does not have alike. out is unchanged then. */
MUST_CHECK enum err dialect_behind_request(const struct dialect_behind *in, struct buf *out);

/* An earlier turn of the conversation: appends the chat's request as it was before message `reply`
 * (from 0, an assistant's), and that message's text. ERR_INVALID: there is no such message before
 * which others stand, or its content is no plain text. out and text may be left with a part. */
MUST_CHECK enum err dialect_earlier_request(struct span chat, size_t reply, struct buf *out,
                                            struct buf *text);

/* The messages of a request by their number; *count of them. NULL: no memory. free() it. */
const struct json_node **dialect_messages(const struct dialect_request *request, size_t *count);
/* Whether a message repeats a reply: an assistant's, and its content that text. */
bool dialect_repeats(const struct json_node *message, struct span reply);

/* How a request goes on from the conversation that ended with `reply`. */
enum dialect_sequel {
    DIALECT_SEQUEL_CONTINUES, /* it begins with all of it, as dialect_behind_request() takes it */
    DIALECT_SEQUEL_BRANCHES,  /* another message of the person stands where one was: edited, or an
                                 answer asked for again */
    DIALECT_SEQUEL_CHANGED,   /* the person's messages are the same and what stands around them is
                                 not: it does not begin so */
};
/* chat: the body before; next: the request, parsed. *repeats: the reply stands where it is
 * expected. */
enum dialect_sequel dialect_sequel_of(struct span chat, struct span reply,
                                      const struct dialect_request *next, bool *repeats);

#endif
