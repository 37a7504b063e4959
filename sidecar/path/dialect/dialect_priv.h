/* dialect_priv.h: what the files of dialect/ share. */
#ifndef PATH_DIALECT_DIALECT_PRIV_H
#define PATH_DIALECT_DIALECT_PRIV_H

#include "lull/path/dialect/answer.h"

#include <cJSON.h>

/* assemble.c: the one JSON document that text is (white space around it does not count); NULL when
 * it is none or something follows it: cJSON alone would stop behind the first document. The caller
 * deletes it. */
cJSON *parse_whole(struct span text);

/* assemble.c hands these one JSON document of a stream, or the whole body. */
void openai_event(struct assembler *a, const cJSON *root, bool streamed);
void ollama_event(struct assembler *a, const cJSON *root);

/* Appends to the answer; notes when it grows over its bound. */
void assemble_content(struct assembler *a, const cJSON *text);
void assemble_thinking(struct assembler *a, const cJSON *text);
/* Takes an error object: root has a member "error". */
void assemble_error(struct assembler *a, const cJSON *root);

#endif
