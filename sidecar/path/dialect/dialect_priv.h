/* dialect_priv.h: what the files of dialect/ share. */
#ifndef PATH_DIALECT_DIALECT_PRIV_H
#define PATH_DIALECT_DIALECT_PRIV_H

#include "lull/path/dialect/answer.h"
#include "lull/path/json/json.h"
#include "lull/path/json/tree.h"

#include <cJSON.h>

/* assemble.c hands these one JSON document of a stream, or the whole body. */
void openai_event(struct assembler *a, const cJSON *root, bool streamed);
void ollama_event(struct assembler *a, const cJSON *root);

/* render.c: a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
MUST_CHECK enum err put_string(struct buf *out, struct span s);

/* Append to the answer; note when it grows over its bound. text: a string, null, NULL, or a list of
 * text parts; anything else makes the answer odd. */
void assemble_content(struct assembler *a, const cJSON *text);
void assemble_thinking(struct assembler *a, const cJSON *text);
/* What root says went wrong: its member "error" unless that is empty (null, false, "", 0, {}, []),
 * or root itself where it is an error object of vLLM's; NULL: nothing. */
const cJSON *find_error(const cJSON *root);
/* Takes that error, and the status that it or root names. */
void assemble_error(struct assembler *a, const cJSON *root, const cJSON *error);

/* chat_request.c: the parsed body; NULL: it could not be parsed. Owned by the request. */
const cJSON *dialect_request_root(const struct dialect_request *r);

/* load.c: the options that Ollama loads a model again for. */
enum { LOAD_OPTIONS = 6 };
extern const char *const load_options[LOAD_OPTIONS];

#endif
