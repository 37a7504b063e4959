/* suggestion.h: the text of an autocomplete inside a model's content: {"text": "..."}. Read while
 * it is still being written, and written for another request.
 */
#ifndef LULL_PATH_WEBUI_SUGGESTION_H
#define LULL_PATH_WEBUI_SUGGESTION_H

#include "lull/base/buf.h"

enum { SUGGESTION_MAX = 64 * 1024 };

/* Reads the string member `text` of the first object in a content that grows. Zeroed at first. */
struct suggestion_reader {
    struct buf text;  /* the suggestion so far, decoded; whole code points only */
    bool begun;       /* the member's value has begun */
    bool closed;      /* ... and ended: `text` is all of it */
    bool lost;        /* this is no such object: nothing is known before the end */
    size_t at;        /* private: bytes of the content that were read */
    int state, depth; /* private */
    unsigned high;    /* private: first half of a surrogate pair */
    bool in_key, is_text;
    struct buf token; /* private: an unfinished escape or name */
};

/* content: everything that has come so far; it must begin with what was given before. Stops
 * reading (lost) at a suggestion larger than SUGGESTION_MAX. */
void suggestion_read(struct suggestion_reader *r, struct span content);
void suggestion_reader_free(struct suggestion_reader *r); /* zeroed struct is fine */

/* The text member of a whole answer's content, read as Open WebUI reads it (from the first '{' to
 * the last '}'), appended to out. false: there is none, or it is blank; out is unchanged. */
bool suggestion_of(struct span content, struct buf *out);

/* Appends {"text": "..."}. */
MUST_CHECK enum err suggestion_write(struct span text, struct buf *out);

#endif
