/* buf.h: byte spans, and growing buffers that cannot be made without a maximum.
 */
#ifndef LULL_BASE_BUF_H
#define LULL_BASE_BUF_H

#include "lull/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Borrowed bytes: valid as long as their owner says. Not terminated. */
struct span {
    const char *ptr;
    size_t len;
};

#define SPAN_NONE ((struct span){NULL, 0})
/* The span of a string literal. */
#define SPAN(lit) ((struct span){(lit), sizeof(lit) - 1})

static inline struct span span_of(const char *s)
{
    return (struct span){s, s == NULL ? 0 : strlen(s)};
}

static inline struct span span_make(const char *ptr, size_t len)
{
    return (struct span){ptr, len};
}

static inline bool span_eq(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* Whether n bytes are the same but for the case of ASCII letters. */
bool ascii_same(const char *a, const char *b, size_t n);

/* ASCII only. */
static inline bool span_eq_nocase(struct span a, struct span b)
{
    return a.len == b.len && ascii_same(a.ptr, b.ptr, a.len);
}

/* Whether s begins, or ends, with those bytes. */
bool span_starts(struct span s, struct span prefix);
bool span_ends(struct span s, struct span suffix);
/* First place of needle in hay at or after `from`; SIZE_MAX when absent. */
size_t span_find(struct span hay, struct span needle, size_t from);
/* Last place of needle in hay; SIZE_MAX when absent. */
size_t span_rfind(struct span hay, struct span needle);
/* Takes the next part of *rest, up to the separator or to the end; *rest is what is behind it. false:
 * *rest is empty. So "a\n\nb" and "a\n\nb\n" have three lines: "a", "" and "b". */
bool span_next(struct span *rest, char separator, struct span *part);
/* Without leading and trailing space, tab, CR, LF. */
struct span span_trim(struct span s);

/* Writes the parts one behind the other, with a final NUL, into out, which must have room; returns
 * the length. For hot paths, where printf costs more than the rest. */
size_t text_join(const char *const *parts, size_t count, char *out, size_t size);

/* A growing buffer. `data` may be NULL while `len` is 0. Never holds more than `max` bytes. */
struct buf {
    char *data;
    size_t len;
    size_t cap;
    size_t max;
};

/* Sets an empty buffer that may grow to max bytes; allocates nothing. */
void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b);  /* leaves an empty buffer with the same max; zeroed struct is fine */
void buf_clear(struct buf *b); /* len = 0, keeps the memory */

/* All fail with ERR_TOO_LARGE (over max) or ERR_NOMEM and then change nothing. */
MUST_CHECK enum err buf_reserve(struct buf *b, size_t more);
/* Takes room for about so many bytes at once, as far as max and the memory allow. */
void buf_expect(struct buf *b, size_t more);
/* As buf_append() where cap has no room: grows, and appends. */
MUST_CHECK enum err buf_grow_and_append(struct buf *b, const void *data, size_t len);

/* len bytes, another buffer's, or one byte. */
MUST_CHECK static inline enum err buf_append(struct buf *b, const void *data, size_t len)
{
    size_t most = b->cap < b->max ? b->cap : b->max; /* max may have been lowered */
    if (len == 0 || b->len > most || len > most - b->len) {
        return buf_grow_and_append(b, data, len);
    }
    memcpy(b->data + b->len, data, len);
    b->len += len;
    return ERR_OK;
}

MUST_CHECK static inline enum err buf_append_span(struct buf *b, struct span s)
{
    return buf_append(b, s.ptr, s.len);
}

MUST_CHECK static inline enum err buf_append_char(struct buf *b, char c)
{
    return buf_append(b, &c, 1);
}

MUST_CHECK enum err buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Appends at most 4 KB of text; what does not fit is left out, and so is all that follows. For
 * messages and listings whose reader needs no error. */
void buf_text(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Appends s as the inside of a JSON string (no quotes): `"`, `\` and controls escaped; a byte that
 * is not UTF-8 becomes U+FFFD. The other one adds the quotes. */
MUST_CHECK enum err buf_append_json(struct buf *b, struct span s);
MUST_CHECK enum err buf_append_json_string(struct buf *b, struct span s);
/* The same for a writer that has reserved its room: json_room(s) bytes, which are enough; returns
 * what is behind those that it has written. */
size_t json_room(struct span s);
char *json_write(char *at, struct span s);

/* Drops n bytes from the front; n must be <= len. */
void buf_consume(struct buf *b, size_t n);
/* Moves the contents: dst (not yet initialised) gets them, src is left empty with its max. */
void buf_move(struct buf *dst, struct buf *src);

static inline struct span buf_span(const struct buf *b)
{
    return (struct span){b->data, b->len};
}

#endif
