/* convert.h: a task asked in one of the two dialects, converted to the other. docs/dialects.md has
 * the table of what maps to what.
 *
 * Values that are only moved keep every byte (numbers as written). What has no
 * counterpart but does not change what is asked (load options, keep_alive, user, metadata) is left
 * out; what would change the answer (tools, logprobs, several choices, pictures, raw prompts, an
 * unknown member) cannot be converted, and the request stays with a server of its own dialect.
 */
#ifndef LULL_PATH_DIALECT_CONVERT_H
#define LULL_PATH_DIALECT_CONVERT_H

#include "lull/path/dialect/chat_request.h"

/* The endpoint that tasks are sent to in a dialect: CHAT or OLLAMA_CHAT; `from` itself where it is
 * of that dialect already. */
enum endpoint dialect_task_endpoint(enum endpoint from, enum dialect dialect);

/* Reads body and appends it as `to` has it (CHAT or OLLAMA_CHAT, of the other dialect than `from`:
 * CHAT, OLLAMA_CHAT or OLLAMA_GENERATE). The answer is asked for unstreamed.
 * ERR_NOT_FOUND: something in it has no counterpart, or parsers read the text differently; *what
 * names it (static; never NULL then). ERR_INVALID: body is not such a request (no messages: it
 * loads a model). ERR_TOO_LARGE: out is full. out is unchanged then. what may be NULL. */
MUST_CHECK enum err dialect_convert_request(struct span body, enum endpoint from, enum endpoint to,
                                            struct buf *out, const char **what);

/* The normalized form of a request, for keys: appends its canonical text (json.h) as CHAT has it,
 * and sets *converted, if it can be put so; otherwise the canonical text of the body as it is. Two
 * requests of different dialects that ask for the same get the same text, and two that a server of
 * their own dialect could answer differently never do:
 * - Gone: model (the key has the one that is asked), stream, stream_options, user, metadata, and
 *   members that are null (content excepted; not where the body is taken as it is).
 * - CHAT: a content of one text part is its text, a stop text a list of it. Everything else stands
 *   as written, by its own name, also what the conversion leaves out (service_tier, keep_alive,
 *   options, reasoning_content of a message ...), spells otherwise (max_completion_tokens and
 *   max_tokens differ, as do think, chat_template_kwargs and reasoning_effort) or changes
 *   (max_tokens 0, the role developer, several text parts).
 * - Ollama: converted. What has no counterpart in CHAT is kept in a member "lull.ollama": load
 *   options, a num_predict below 1, a num_predict at the root. keep_alive stands at the root.
 *   /api/generate equals /api/chat with the same texts. A format equals a json_schema of the name
 *   "answer" with strict true; think a chat_template_kwargs {"enable_thinking"}, and a level a
 *   reasoning_effort.
 * A prompt (of one text) stands in it as the JSON string value of a "content". *converted also
 * means that dialect_convert_request() finds a counterpart for everything in the body. ERR_INVALID:
 * parsers read the body differently. ERR_TOO_LARGE: out is full. out is unchanged then. */
MUST_CHECK enum err dialect_normalize(const struct dialect_request *request, struct buf *out,
                                      bool *converted);

/* A server's error body in the other dialect: {"error": {"message", "type", "code"}} or {"error":
 * "text"}. false: body is no error that could be read; out is unchanged. Works for errors of either
 * form, also {"detail"}, {"message"} and FastAPI's lists. */
bool dialect_convert_error(struct span body, int status, enum dialect to, struct buf *out);

#endif
