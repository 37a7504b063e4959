/* cross.h: a task asked in one dialect, put into the words of the other. docs/dialects.md has the
 * table of what maps to what.
 *
 * Values that are only moved keep every byte (numbers as written). What the other dialect has no
 * word for but does not change what is asked (load options, keep_alive, user, metadata) is left
 * out; what would change the answer (tools, logprobs, several choices, pictures, raw prompts, a
 * member nobody knows) cannot be crossed, and the request stays with a server of its own dialect.
 */
#ifndef LULL_PATH_DIALECT_CROSS_H
#define LULL_PATH_DIALECT_CROSS_H

#include "lull/path/dialect/request.h"

/* The endpoint that tasks are sent to in a dialect: CHAT or OLLAMA_CHAT; `from` itself where it is
 * of that dialect already. */
enum endpoint dialect_task_endpoint(enum endpoint from, enum dialect dialect);

/* Appends the body in the words of `to` (CHAT or OLLAMA_CHAT, of the other dialect than `from`:
 * CHAT, OLLAMA_CHAT or OLLAMA_GENERATE). The answer is asked for unstreamed.
 * ERR_NOT_FOUND: something in it has no counterpart; *what names it (static; never NULL then).
 * ERR_INVALID: body is not such a request. out is unchanged then. what may be NULL. */
MUST_CHECK enum err dialect_request_cross(struct span body, enum endpoint from, enum endpoint to,
                                          struct buf *out, const char **what);

/* What a request means, for keys: appends the body in the words of CHAT, if it can be put so, and
 * says true; otherwise appends it as it is and says false. Two requests of different dialects that
 * mean the same get the same canonical text (json_canonical) of it. */
bool dialect_request_neutral(struct span body, enum endpoint from, struct buf *out);

/* A server's error body in the other dialect: {"error": {"message", "type", "code"}} or {"error":
 * "text"}. false: body is no error that could be read; out is unchanged. Works for errors of either
 * form, also {"detail"}, {"message"} and FastAPI's lists. */
bool dialect_error_cross(struct span body, int status, enum dialect to, struct buf *out);

#endif
