/* json_read.c: where a JSON value ends, as the parsers of Open WebUI read it.
 *
 * Open WebUI's backend reads answers with Python's json.loads, its browser part with JSON.parse.
 * Both take RFC 8259 and no more white space than it has, refuse raw control characters in strings,
 * take \u escapes of half a surrogate pair, and use the last of several members of one name. They
 * differ in:
 *
 *   PYTHON      takes NaN, Infinity and -Infinity (docs.python.org/3/library/json.html, "Infinite
 *               and NaN Number Values"); refuses an integer of more than 4,300 digits
 *               (docs.python.org/3/library/stdtypes.html, "Integer string conversion length
 *               limitation"), and, by its recursion limit of 1,000, what is nested deeper than the
 *               frames of the program leave room for
 *   JAVASCRIPT  takes none of these words (ECMA-262, 25.5.1 JSON.parse), any integer, any depth
 *   LOOSE       for mending: PYTHON, and raw control characters but NUL and escapes that do not
 *               exist, which models write
 *
 * The brackets that are open are kept in a buffer, not on the C stack.
 */
#include "lull/path/json/reader.h"

#include "lull/base/ascii.h"

enum { PYTHON_DEPTH = 900, PYTHON_DIGITS = 4300 };

struct reader {
    const char *at, *end;
    enum json_grammar as;
    struct buf open; /* the open brackets */
};

static void blanks(struct reader *r)
{
    r->at = json_blanks(r->at, r->end);
}

static bool skip(struct reader *r, char c)
{
    bool there = r->at < r->end && *r->at == c;
    r->at += there ? 1 : 0;
    return there;
}

/* An escape; at stands behind the backslash. */
static bool escape(struct reader *r)
{
    if (r->at == r->end) {
        return false;
    }
    if (r->as == JSON_LOOSE) {
        r->at++;
        return true;
    }
    if (!skip(r, 'u')) {
        bool known = *r->at != '\0' && strchr("\"\\/bfnrt", *r->at) != NULL;
        r->at += known ? 1 : 0;
        return known;
    }
    for (int i = 0; i < 4; i++, r->at++) {
        if (r->at == r->end || ascii_hex_value(*r->at) < 0) {
            return false;
        }
    }
    return true;
}

static bool string(struct reader *r)
{
    if (!skip(r, '"')) {
        return false;
    }
    while (r->at < r->end && *r->at != '"') {
        unsigned char c = (unsigned char)*r->at;
        if (c < 0x20 && (c == 0 || r->as != JSON_LOOSE)) {
            return false;
        }
        r->at++;
        if (c == '\\' && !escape(r)) {
            return false;
        }
    }
    return skip(r, '"');
}

static bool number(struct reader *r)
{
    const char *from = r->at;
    if (r->as != JSON_JAVASCRIPT && r->end - from > 1 && from[0] == '-' && from[1] == 'I') {
        r->at++;
        return json_word(&r->at, r->end, "Infinity");
    }
    if (!json_number(&r->at, r->end)) {
        return false;
    }
    size_t len = (size_t)(r->at - from) - (*from == '-' ? 1 : 0);
    bool integer = memchr(from, '.', len) == NULL && memchr(from, 'e', len) == NULL &&
                   memchr(from, 'E', len) == NULL;
    if (r->as != JSON_JAVASCRIPT && integer && len > PYTHON_DIGITS) {
        r->at = from;
        return false;
    }
    return true;
}

static bool plain(struct reader *r)
{
    bool python = r->as != JSON_JAVASCRIPT;
    char c = r->at < r->end ? *r->at : '\0';
    switch (c) {
    case '"':
        return string(r);
    case 't':
        return json_word(&r->at, r->end, "true");
    case 'f':
        return json_word(&r->at, r->end, "false");
    case 'n':
        return json_word(&r->at, r->end, "null");
    case 'N':
        return python && json_word(&r->at, r->end, "NaN");
    case 'I':
        return python && json_word(&r->at, r->end, "Infinity");
    default:
        return (c == '-' || (c >= '0' && c <= '9')) && number(r);
    }
}

static char innermost(const struct reader *r)
{
    return r->open.data[r->open.len - 1];
}

static bool member_name(struct reader *r)
{
    blanks(r);
    if (!string(r)) {
        return false;
    }
    blanks(r);
    return skip(r, ':');
}

/* Behind a value: the brackets that close there; then a comma, and in an object the next name. */
static bool after_value(struct reader *r)
{
    while (r->open.len > 0) {
        blanks(r);
        bool object = innermost(r) == '{';
        if (!skip(r, object ? '}' : ']')) {
            return skip(r, ',') && (!object || member_name(r));
        }
        r->open.len--;
    }
    return true;
}

/* A value, or the beginning of one that holds others. */
static bool one_value(struct reader *r)
{
    blanks(r);
    char c = r->at < r->end ? *r->at : '\0';
    if (c != '{' && c != '[') {
        return plain(r) && after_value(r);
    }
    bool deep = r->as != JSON_JAVASCRIPT && r->open.len == PYTHON_DEPTH;
    if (deep || buf_append_char(&r->open, c) != ERR_OK) {
        return false;
    }
    r->at++;
    blanks(r);
    if (r->at < r->end && *r->at == (c == '{' ? '}' : ']')) {
        return after_value(r);
    }
    return c == '[' || member_name(r);
}

enum json_extent json_extent(struct span text, enum json_grammar grammar, size_t *looked)
{
    *looked = 0;
    if (text.len == 0) {
        return JSON_CUT; /* text.ptr may be NULL */
    }
    struct reader r = {
        .at = text.ptr, .end = text.ptr + text.len, .as = grammar, .open = {.max = text.len}};
    bool good = true;
    do {
        good = one_value(&r);
    } while (good && r.open.len > 0);
    *looked = (size_t)(r.at - text.ptr);
    buf_free(&r.open);
    return good ? JSON_ENDS : *looked == text.len ? JSON_CUT : JSON_BROKEN;
}

bool json_is_whole(struct span text, enum json_grammar grammar)
{
    size_t looked = 0;
    return json_extent(text, grammar, &looked) == JSON_ENDS && looked == text.len;
}
