/* convert.h: a task asked in one dialect, put into the words of the other. docs/dialects.md has the
 * table of what maps to what.
 *
 * Values that are only moved keep every byte (numbers as written). What the other dialect has no
 * word for but does not change what is asked (load options, keep_alive, user, metadata) is left
 * out; what would change the answer (tools, logprobs, several choices, pictures, raw prompts, a
 * member nobody knows) cannot be converted, and the request stays with a server of its own dialect.
 */
#ifndef LULL_PATH_DIALECT_CONVERT_H
#define LULL_PATH_DIALECT_CONVERT_H

#include "lull/path/dialect/chat_request.h"
#include "lull/path/json/json.h"

/* The endpoint that tasks are sent to in a dialect: CHAT or OLLAMA_CHAT; `from` itself where it is
 * of that dialect already. */
enum endpoint dialect_task_endpoint(enum endpoint from, enum dialect dialect);

/* Appends the body in the words of `to` (CHAT or OLLAMA_CHAT, of the other dialect than `from`:
 * CHAT, OLLAMA_CHAT or OLLAMA_GENERATE). The answer is asked for unstreamed.
 * ERR_NOT_FOUND: something in it has no counterpart, or parsers read the text differently; *what
 * names it (static; never NULL then). ERR_INVALID: body is not such a request (no messages: it
 * loads a model). ERR_TOO_LARGE: out is full. out is unchanged then. what may be NULL. */
MUST_CHECK enum err dialect_convert_request(struct span body, enum endpoint from, enum endpoint to,
                                            struct buf *out, const char **what);

/* What a request means, for keys: appends the body in the words of CHAT, if it can be put so, and
 * says true; otherwise appends it as it is and says false (nothing where out has no room for it).
 * Two requests of different dialects that mean the same get the same canonical text
 * (json_canonical) of it, and two that a server of their own dialect could answer differently never
 * do:
 * - Gone: stream, stream_options, user, metadata, and members that are null (content excepted).
 * - CHAT: a content of one text part is its text, a stop text a list of it. Everything else stands
 *   as written, by its own name, also what the conversion leaves out (service_tier, keep_alive,
 *   options, reasoning_content of a message ...), spells in other words (max_completion_tokens and
 *   max_tokens differ, as do think, chat_template_kwargs and reasoning_effort) or changes
 *   (max_tokens 0, the role developer, several text parts).
 * - Ollama: converted. What has no word in CHAT is kept in a member "lull.ollama": load options, a
 *   num_predict below 1, a num_predict at the root. keep_alive stands at the root. /api/generate
 *   equals /api/chat with the same texts. A format equals a json_schema of the name "answer" with
 *   strict true; think a chat_template_kwargs {"enable_thinking"}, and a level a reasoning_effort.
 * A prompt (of one text) stands in it as the JSON string value of a "content". Not valid JSON comes
 * out only where it went in.
 * parsed: the same body, parsed for the same endpoint; NULL: it is parsed here. *verdict is that of
 * body as it came (JSON_INVALID of an empty one); NULL: not wanted. true also means that
 * dialect_convert_request() finds a counterpart for everything in the body. */
bool dialect_request_neutral(struct span body, enum endpoint from,
                             const struct dialect_request *parsed, struct buf *out,
                             enum json_verdict *verdict);

/* A server's error body in the other dialect: {"error": {"message", "type", "code"}} or {"error":
 * "text"}. false: body is no error that could be read; out is unchanged. Works for errors of either
 * form, also {"detail"}, {"message"} and FastAPI's lists. */
bool dialect_convert_error(struct span body, int status, enum dialect to, struct buf *out);

#endif
