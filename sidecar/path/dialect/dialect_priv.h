/* dialect_priv.h: what the files of dialect/ share. */
#ifndef PATH_DIALECT_DIALECT_PRIV_H
#define PATH_DIALECT_DIALECT_PRIV_H

#include "lull/path/dialect/answer.h"
#include "lull/path/json/json.h"

/* events.c: one JSON object of a stream, or the whole body. */
void openai_event(struct assembler *a, const struct json_node *root, bool streamed);
void ollama_event(struct assembler *a, const struct json_node *root);

/* assemble.c: appends to a text of the answer; notes when the answer grows over its bound. text: a
 * string, null, NULL, or a list of text parts; anything else makes the answer odd. */
void assemble_text(struct assembler *a, struct buf *to, const struct json_node *text);
/* assemble.c: what root says went wrong: its member "error" unless that is empty (null, false, "",
 * 0, {}, []), or root itself where it is an error object of vLLM's; NULL: nothing. */
const struct json_node *find_error(const struct json_node *root);
/* assemble.c: takes that error, and the status that it or root names. */
void assemble_error(struct assembler *a, const struct json_node *root,
                    const struct json_node *error);

enum { EVENT_FORM_MAX = 2048 };

/* assemble.c: appends a string's text to content or thinking. */
void assemble_string(struct assembler *a, struct buf *to, const struct json_node *text);

/* repeat.c: reads an event that differs from the one before only in its text. false: it is another
 * one, and nothing was read of it. */
bool event_repeats(struct assembler *a, struct span json);
/* repeat.c: keeps the form of an event that has been read; forgets the one before. */
void event_keep_form(struct assembler *a, struct span json, const struct json_node *root);

/* load.c: the options that Ollama loads a model again for. */
enum { LOAD_OPTIONS = 6 };
extern const struct span load_options[LOAD_OPTIONS];

/* behind.c: appends an array of messages with `count` more. ERR_CORRUPT: it is none, or empty. */
struct dialect_message {
    const char *role;
    struct span text;
};
MUST_CHECK enum err dialect_put_longer(const struct json_node *messages,
                                       const struct dialect_message *more, size_t count,
                                       struct buf *out);

/* overrides.c: appends an object as the client gave it, {} where it is none, with these edits. */
MUST_CHECK enum err dialect_edit_given(const struct json_node *object,
                                       const struct json_edit *edits, size_t count,
                                       struct buf *out);

#endif
