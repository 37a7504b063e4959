/* buf.c: spans and bounded growing buffers. Growth doubles, and small ones grow
 * by four, so that appending n bytes costs O(n).
 */
#include "lull/base/buf.h"

#include "lull/base/ascii.h"
#include "lull/base/os.h"
#include "lull/base/scan.h"
#include "lull/base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const size_t BUF_FIRST = 64, BUF_SMALL = 1024;

bool ascii_same(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (a[i] != b[i] && ascii_lower(a[i]) != ascii_lower(b[i])) {
            return false;
        }
    }
    return true;
}

bool span_starts(struct span s, struct span prefix)
{
    return s.len >= prefix.len && span_eq(span_make(s.ptr, prefix.len), prefix);
}

bool span_ends(struct span s, struct span suffix)
{
    return s.len >= suffix.len &&
           span_eq(span_make(s.ptr + (s.len - suffix.len), suffix.len), suffix);
}

/* memmem() reads all of a long needle several times before it looks at the hay. Most are found, or
 * not, by how they begin; what has many such places is left to memmem(), whose time is linear. */
static const char *find(const char *hay, size_t len, struct span needle)
{
    enum { LONG = 128, FRONT = 32, TRIES = 16 };
    const char *end = hay + len;
    for (int tried = 0; needle.len > LONG && tried < TRIES; tried++) {
        size_t left = (size_t)(end - hay);
        hay =
            left < needle.len ? NULL : memmem(hay, left - (needle.len - FRONT), needle.ptr, FRONT);
        if (hay == NULL || memcmp(hay, needle.ptr, needle.len) == 0) {
            return hay;
        }
        hay++;
    }
    return memmem(hay, (size_t)(end - hay), needle.ptr, needle.len);
}

size_t span_find(struct span hay, struct span needle, size_t from)
{
    if (from > hay.len || needle.len > hay.len - from) {
        return SIZE_MAX;
    }
    if (needle.len == 0) {
        return from;
    }
    const char *at = needle.len == 1 ? memchr(hay.ptr + from, needle.ptr[0], hay.len - from)
                                     : find(hay.ptr + from, hay.len - from, needle);
    return at == NULL ? SIZE_MAX : (size_t)(at - hay.ptr);
}

size_t span_rfind(struct span hay, struct span needle)
{
    if (needle.len > hay.len) {
        return SIZE_MAX;
    }
    if (needle.len == 0) {
        return hay.len;
    }
    for (size_t end = hay.len - needle.len + 1; end > 0;) {
        const char *at = os_last_byte(hay.ptr, needle.ptr[0], end);
        if (at == NULL) {
            break;
        }
        if (memcmp(at, needle.ptr, needle.len) == 0) {
            return (size_t)(at - hay.ptr);
        }
        end = (size_t)(at - hay.ptr);
    }
    return SIZE_MAX;
}

bool span_next(struct span *rest, char separator, struct span *part)
{
    if (rest->len == 0) {
        return false;
    }
    const char *end = memchr(rest->ptr, separator, rest->len);
    size_t len = end == NULL ? rest->len : (size_t)(end - rest->ptr);
    size_t used = end == NULL ? len : len + 1;
    *part = span_make(rest->ptr, len);
    *rest = span_make(rest->ptr + used, rest->len - used);
    return true;
}

struct span span_trim(struct span s)
{
    while (s.len > 0 && ascii_is_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && ascii_is_blank(s.ptr[s.len - 1])) {
        s.len--;
    }
    return s;
}

size_t text_join(const char *const *parts, size_t count, char *out, size_t size)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(parts[i]);
        require(n < size - len);
        memcpy(out + len, parts[i], n);
        len += n;
    }
    out[len] = '\0';
    return len;
}

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

void buf_free(struct buf *b)
{
    if (b->data != NULL) { /* most are empty */
        free(b->data);
        *b = (struct buf){.max = b->max};
    }
}

void buf_clear(struct buf *b)
{
    b->len = 0;
}

enum err buf_reserve(struct buf *b, size_t more)
{
    if (b->len > b->max || more > b->max - b->len) {
        return ERR_TOO_LARGE;
    }
    size_t need = b->len + more;
    if (need <= b->cap) {
        return ERR_OK;
    }
    size_t cap = b->cap < BUF_FIRST ? BUF_FIRST : b->cap;
    while (cap < need) {
        size_t times = cap < BUF_SMALL ? 4 : 2;
        cap = cap > b->max / times ? b->max : cap * times;
    }
    if (cap > b->max) {
        cap = b->max;
    }
    char *data = realloc(b->data, cap);
    if (data == NULL) {
        return ERR_NOMEM;
    }
    b->data = data;
    b->cap = cap;
    return ERR_OK;
}

void buf_expect(struct buf *b, size_t more)
{
    size_t left = b->max > b->len ? b->max - b->len : 0;
    enum err e = buf_reserve(b, more < left ? more : left);
    (void)e; /* what is appended finds out */
}

enum err buf_grow_and_append(struct buf *b, const void *data, size_t len)
{
    enum err e = buf_reserve(b, len);
    if (e == ERR_OK && len > 0) {
        memcpy(b->data + b->len, data, len);
        b->len += len;
    }
    return e;
}

static enum err vprintf_into(struct buf *b, const char *fmt, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n < 0) {
        return ERR_INVALID;
    }
    /* vsnprintf wants a terminator: it may need one byte more than max allows the caller */
    char *text = malloc((size_t)n + 1);
    if (text == NULL) {
        return ERR_NOMEM;
    }
    vsnprintf(text, (size_t)n + 1, fmt, args);
    enum err e = buf_append(b, text, (size_t)n);
    free(text);
    return e;
}

enum err buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    enum err e = vprintf_into(b, fmt, args);
    va_end(args);
    return e;
}

void buf_text(struct buf *b, const char *fmt, ...)
{
    char text[4096];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (buf_append(b, text, strlen(text)) != ERR_OK) {
        b->max = b->len;
    }
}

enum { JSON_WIDEST = 6 }; /* what a byte can become */

static const char named_escapes[] = {
    ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};

/* Whether an ASCII character is escaped by one letter. */
static bool has_short_escape(unsigned char c)
{
    return c >= 0x20 || (c < sizeof named_escapes && named_escapes[c] != 0);
}

/* The character at p, where a run of plain ones ends, in bytes; *room: bytes that json_write() makes
 * of it. */
static size_t json_char(const char *p, size_t left, size_t *room)
{
    enum { REPLACEMENT = 3, SHORT = 2 };
    size_t n = (unsigned char)*p < 0x80 ? 1 : utf8_length(p, left);
    *room = n == 0  ? REPLACEMENT
            : n > 1 ? n
                    : (has_short_escape((unsigned char)*p) ? SHORT : JSON_WIDEST);
    return n == 0 ? 1 : n;
}

size_t json_room(struct span s)
{
    enum { SHORT = 256 };
    if (s.len <= SHORT) {
        return JSON_WIDEST * s.len; /* short: this bound will do */
    }
    size_t room = 0;
    for (size_t i = 0; i < s.len;) {
        size_t run = scan_json_plain(s.ptr + i, s.len - i);
        size_t more = 0;
        i += run;
        i += i < s.len ? json_char(s.ptr + i, s.len - i, &more) : 0;
        room += run + more;
    }
    return room;
}

static char *write_escape(char *at, unsigned char c)
{
    *at++ = '\\';
    if (c >= 0x20) { /* a quote or a backslash */
        *at++ = (char)c;
    } else if (has_short_escape(c)) {
        *at++ = named_escapes[c];
    } else {
        memcpy(at, "u00", 3);
        at[3] = ascii_hex_digit(c >> 4);
        at[4] = ascii_hex_digit(c);
        at += 5;
    }
    return at;
}

/* The character at p, of n bytes; n = 0: a byte that is not UTF-8. */
static char *write_char(char *at, const char *p, size_t n)
{
    if (n == 1) {
        return write_escape(at, (unsigned char)*p);
    }
    if (n == 0) {
        memcpy(at, "\xEF\xBF\xBD", 3);
        return at + 3;
    }
    memcpy(at, p, n);
    return at + n;
}

char *json_write(char *at, struct span s)
{
    for (size_t i = 0; i < s.len;) {
        size_t run = scan_json_plain(s.ptr + i, s.len - i);
        memcpy(at, s.ptr + i, run);
        at += run;
        i += run;
        if (i < s.len) {
            bool ascii = (unsigned char)s.ptr[i] < 0x80;
            size_t n = ascii ? 1 : utf8_length(s.ptr + i, s.len - i);
            at = write_char(at, s.ptr + i, n);
            i += n == 0 ? 1 : n;
        }
    }
    return at;
}

/* The next run of plain characters, and the character behind it; *at moves behind both. */
static enum err append_run(struct buf *b, struct span s, size_t *at)
{
    char piece[JSON_WIDEST];
    size_t run = scan_json_plain(s.ptr + *at, s.len - *at);
    enum err e = buf_append(b, s.ptr + *at, run);
    *at += run;
    if (e == ERR_OK && *at < s.len) {
        size_t more = 0;
        size_t n = json_char(s.ptr + *at, s.len - *at, &more);
        e = buf_append(b, piece, (size_t)(json_write(piece, span_make(s.ptr + *at, n)) - piece));
        *at += n;
    }
    return e;
}

enum err buf_append_json(struct buf *b, struct span s)
{
    size_t old = b->len;
    enum err e = buf_reserve(b, s.len); /* no result is shorter */
    for (size_t at = 0; e == ERR_OK && at < s.len;) {
        e = append_run(b, s, &at);
    }
    if (e != ERR_OK) {
        b->len = old;
    }
    return e;
}

enum err buf_append_json_string(struct buf *b, struct span s)
{
    size_t old = b->len;
    enum err e = buf_append_char(b, '"');
    e = e == ERR_OK ? buf_append_json(b, s) : e;
    e = e == ERR_OK ? buf_append_char(b, '"') : e;
    if (e != ERR_OK) {
        b->len = old;
    }
    return e;
}

void buf_consume(struct buf *b, size_t n)
{
    require(n <= b->len);
    b->len -= n;
    if (b->len > 0 && n > 0) {
        memmove(b->data, b->data + n, b->len);
    }
}

void buf_move(struct buf *dst, struct buf *src)
{
    *dst = *src;
    *src = (struct buf){.max = dst->max};
}
