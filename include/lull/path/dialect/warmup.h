/* warmup.h: a chat's request, made into one that only reads its conversation again.
 */
#ifndef LULL_PATH_DIALECT_WARMUP_H
#define LULL_PATH_DIALECT_WARMUP_H

#include "lull/path/dialect/chat_request.h"

/* The chat's body with the reply appended as the assistant's message and a cap of one token: what a
 * server has read for it is the beginning of the next turn's prompt. Everything else stays as
 * written. ERR_CORRUPT: the body is not a readable chat. */
MUST_CHECK enum err dialect_warmup_request(struct span body, enum endpoint endpoint,
                                           struct span reply, struct buf *out);

#endif
