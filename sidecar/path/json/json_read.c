/* json_read.c: the one reader of JSON: where a value ends, in whose grammar, what is in it, and
 * whether all parsers read it alike.
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
 *   LOOSE       PYTHON, and raw control characters but NUL and escapes that do not exist, which
 *               models write
 *
 * The reader is a loop. The node of an open array or object holds the index of the one around it in
 * `size` until it closes; where there are no nodes, a buffer holds the brackets that are open. The
 * verdict is strict in every grammar. Nodes and the verdict's tests of names cost nothing where
 * only the extent is asked for.
 */
#include "lull/base/ascii.h"
#include "lull/base/scan.h"
#include "lull/base/utf8.h"
#include "path/json/json_priv.h"

#include <stdlib.h>

enum {
    PYTHON_DEPTH = 900,
    PYTHON_DIGITS = 4300,
    SAFE_DIGITS = 15, /* every integer of so many digits is below 2^53 */
};

struct reader {
    const char *at, *end;
    enum json_grammar as;
    size_t depth;         /* open brackets */
    struct buf open;      /* they, where there are no nodes */
    struct json_doc *doc; /* NULL: only the extent is asked for */
    uint32_t top;         /* the node of the innermost open bracket */
    struct span name;     /* of the member whose value comes next */
    bool name_escaped;
    enum json_verdict verdict;
    bool deep; /* given up on: nested too deep */
};

static uint64_t bytes_read;

uint64_t json_bytes_read(void)
{
    return bytes_read;
}

static void worse(struct reader *r, enum json_verdict v)
{
    r->verdict = v > r->verdict ? v : r->verdict;
}

static inline void skip_blanks(struct reader *r)
{
    while (r->at < r->end && (unsigned char)*r->at <= ' ' && ascii_is_blank(*r->at)) {
        r->at++;
    }
}

static bool skip_char(struct reader *r, char c)
{
    bool there = r->at < r->end && *r->at == c;
    r->at += there ? 1 : 0;
    return there;
}

/* ---- tokens ---- */

/* An escape; at stands behind the backslash. */
static bool read_escape(struct reader *r)
{
    const char *next = r->at;
    if (r->at == r->end) {
        return false;
    }
    if (*r->at == 'u' && r->end - r->at >= 5 && json_hex4(r->at + 1) >= 0) {
        if (json_code_point(&next, r->end) == 0) {
            worse(r, JSON_AMBIGUOUS);
            next = r->at + 5;
        }
        r->at = next;
        return true;
    }
    if (json_escaped(*r->at) != 0) {
        r->at++;
        return true;
    }
    if (r->as == JSON_LOOSE) {
        worse(r, JSON_INVALID);
        r->at++;
        return true;
    }
    if (skip_char(r, 'u')) { /* to the first digit that is none */
        while (r->at < r->end && ascii_hex_value(*r->at) >= 0) {
            r->at++;
        }
    }
    return false;
}

/* A string; *escaped: it has a backslash. */
static bool read_string(struct reader *r, bool *escaped)
{
    *escaped = false;
    if (!skip_char(r, '"')) {
        return false;
    }
    for (;;) {
        r->at += scan_json_plain(r->at, (size_t)(r->end - r->at));
        if (r->at == r->end || *r->at == '"') {
            break;
        }
        unsigned char c = (unsigned char)*r->at;
        if (c >= 0x80) {
            size_t n = utf8_length(r->at, (size_t)(r->end - r->at));
            worse(r, n == 0 ? JSON_AMBIGUOUS : JSON_OK);
            r->at += n == 0 ? 1 : n;
            continue;
        }
        if (c < 0x20) {
            if (c == 0 || r->as != JSON_LOOSE) {
                return false;
            }
            worse(r, JSON_INVALID);
        }
        r->at++;
        if (c == '\\') {
            *escaped = true;
            if (!read_escape(r)) {
                return false;
            }
        }
    }
    return skip_char(r, '"');
}

/* Parsers keep numbers as doubles, or integers exactly: what differs between them is ambiguous. */
static bool is_safe_number(struct span token)
{
    char text[64];
    if (token.len >= sizeof text) {
        return false;
    }
    memcpy(text, token.ptr, token.len);
    text[token.len] = '\0';
    double d = strtod(text, NULL);
    return d < 9007199254740992.0 &&
           d > -9007199254740992.0; /* 2^53 itself may have been 2^53 + 1 */
}

static bool read_number(struct reader *r)
{
    const char *from = r->at;
    if (r->as != JSON_JAVASCRIPT && r->end - from > 1 && from[0] == '-' && from[1] == 'I') {
        r->at++;
        worse(r, JSON_INVALID);
        return json_word(&r->at, r->end, "Infinity");
    }
    if (!json_number(&r->at, r->end)) {
        return false;
    }
    struct span token = span_make(from, (size_t)(r->at - from));
    size_t len = token.len - (*from == '-' ? 1 : 0);
    bool integer = memchr(from, '.', token.len) == NULL && memchr(from, 'e', token.len) == NULL &&
                   memchr(from, 'E', token.len) == NULL;
    if (r->as != JSON_JAVASCRIPT && integer && len > PYTHON_DIGITS) {
        worse(r, JSON_AMBIGUOUS);
        r->at = from;
        return false;
    }
    bool short_integer = integer && len <= SAFE_DIGITS;
    worse(r, short_integer || is_safe_number(token) ? JSON_OK : JSON_AMBIGUOUS);
    return true;
}

/* ---- nodes ---- */

/* A node for the value that begins at r->at; false: no memory. */
static bool add_node(struct reader *r, enum json_type type, uint32_t *index)
{
    struct json_doc *doc = r->doc;
    if (doc == NULL) {
        return true;
    }
    if (doc->count == doc->room) {
        enum { FIRST = 20 }; /* below 1 KB: see mem_new() */
        uint32_t room = doc->room == 0 ? FIRST : doc->room * 2;
        struct json_node *nodes =
            doc->room >= UINT32_MAX / 2 ? NULL : realloc(doc->nodes, (size_t)room * sizeof *nodes);
        if (nodes == NULL) {
            worse(r, JSON_TOO_LARGE);
            return false;
        }
        doc->nodes = nodes;
        doc->room = room;
    }
    *index = doc->count++;
    doc->nodes[*index] = (struct json_node){.raw = span_make(r->at, 0),
                                            .name = r->name,
                                            .size = 1,
                                            .type = type,
                                            .name_escaped = r->name_escaped};
    r->name = SPAN_NONE;
    r->name_escaped = false;
    return true;
}

/* A value without others in it. */
static bool read_scalar(struct reader *r)
{
    bool python = r->as != JSON_JAVASCRIPT;
    bool good = false;
    bool escaped = false;
    uint32_t index = 0;
    char c = r->at < r->end ? *r->at : '\0';
    enum json_type type = c == '"'   ? JSON_STRING
                          : c == 't' ? JSON_TRUE
                          : c == 'f' ? JSON_FALSE
                          : c == 'n' ? JSON_NULL
                                     : JSON_NUMBER;
    if (!add_node(r, type, &index)) {
        return false;
    }
    switch (c) {
    case '"':
        good = read_string(r, &escaped);
        break;
    case 't':
        good = json_word(&r->at, r->end, "true");
        break;
    case 'f':
        good = json_word(&r->at, r->end, "false");
        break;
    case 'n':
        good = json_word(&r->at, r->end, "null");
        break;
    case 'N':
        worse(r, JSON_INVALID);
        good = python && json_word(&r->at, r->end, "NaN");
        break;
    case 'I':
        worse(r, JSON_INVALID);
        good = python && json_word(&r->at, r->end, "Infinity");
        break;
    default:
        good = (c == '-' || (c >= '0' && c <= '9')) && read_number(r);
        break;
    }
    if (r->doc != NULL) {
        struct json_node *node = &r->doc->nodes[index];
        node->raw.len = (size_t)(r->at - node->raw.ptr);
        node->escaped = escaped;
    }
    return good;
}

/* The array or object that begins at r->at. */
static bool open_bracket(struct reader *r, char c)
{
    uint32_t index = 0;
    r->deep = r->as != JSON_JAVASCRIPT && r->depth == PYTHON_DEPTH;
    bool kept =
        !r->deep && (r->doc != NULL ? add_node(r, c == '{' ? JSON_OBJECT : JSON_ARRAY, &index)
                                    : buf_append_char(&r->open, c) == ERR_OK);
    if (!kept) {
        return false;
    }
    r->depth++;
    if (r->doc != NULL) {
        r->doc->nodes[index].size = r->top;
        r->top = index;
    }
    r->at++;
    return true;
}

/* Behind the bracket that closes the innermost array or object. */
static void close_bracket(struct reader *r)
{
    r->depth--;
    if (r->doc == NULL) {
        r->open.len--;
        return;
    }
    struct json_node *node = &r->doc->nodes[r->top];
    r->top = node->size;
    node->size = (uint32_t)(&r->doc->nodes[r->doc->count] - node);
    node->raw.len = (size_t)(r->at - node->raw.ptr);
    if (node->type == JSON_OBJECT && json_has_twins(node)) {
        worse(r, JSON_AMBIGUOUS); /* parsers take the first or the last */
    }
}

/* ---- values ---- */

static bool read_name(struct reader *r)
{
    bool escaped = false;
    skip_blanks(r);
    const char *from = r->at;
    if (!read_string(r, &escaped)) {
        return false;
    }
    r->name = span_make(from + 1, (size_t)(r->at - from) - 2);
    r->name_escaped = escaped;
    skip_blanks(r);
    return skip_char(r, ':');
}

/* Behind a value: the brackets that close there; then a comma, and in an object the next name. */
static bool after_value(struct reader *r)
{
    while (r->depth > 0) {
        skip_blanks(r);
        bool object = r->doc != NULL ? r->doc->nodes[r->top].type == JSON_OBJECT
                                     : r->open.data[r->open.len - 1] == '{';
        if (!skip_char(r, object ? '}' : ']')) {
            return skip_char(r, ',') && (!object || read_name(r));
        }
        close_bracket(r);
    }
    return true;
}

/* A value, or the beginning of one that holds others. */
static bool read_value(struct reader *r)
{
    skip_blanks(r);
    char c = r->at < r->end ? *r->at : '\0';
    worse(r, r->depth >= JSON_SAFE_DEPTH ? JSON_AMBIGUOUS : JSON_OK);
    if (c != '{' && c != '[') {
        return read_scalar(r) && after_value(r);
    }
    if (!open_bracket(r, c)) {
        return false;
    }
    skip_blanks(r);
    if (r->at < r->end && *r->at == (c == '{' ? '}' : ']')) {
        return after_value(r);
    }
    return c == '[' || read_name(r);
}

static bool read_all(struct reader *r)
{
    bool good = true;
    do {
        good = read_value(r);
    } while (good && r->depth > 0);
    buf_free(&r->open);
    return good;
}

enum json_extent json_extent(struct span text, enum json_grammar grammar, size_t *looked)
{
    *looked = 0;
    if (text.len == 0) {
        return JSON_CUT; /* text.ptr may be NULL */
    }
    struct reader r = {
        .at = text.ptr, .end = text.ptr + text.len, .as = grammar, .open = {.max = text.len}};
    bool good = read_all(&r);
    *looked = (size_t)(r.at - text.ptr);
    bytes_read += *looked;
    return good ? JSON_ENDS : *looked == text.len ? JSON_CUT : JSON_BROKEN;
}

bool json_is_whole(struct span text, enum json_grammar grammar)
{
    size_t looked = 0;
    return json_extent(text, grammar, &looked) == JSON_ENDS && looked == text.len;
}

static const struct json_node *read_document(struct span text, enum json_grammar grammar,
                                             struct json_doc *doc)
{
    *doc = (struct json_doc){.verdict = JSON_INVALID};
    if (text.len == 0) {
        return NULL; /* text.ptr may be NULL */
    }
    struct reader r = {.at = text.ptr, .end = text.ptr + text.len, .as = grammar, .doc = doc};
    bool good = read_all(&r);
    bytes_read += (size_t)(r.at - text.ptr);
    doc->whole = good && json_blanks(r.at, r.end) == r.end;
    if (!good) {
        doc->count = 0;
    }
    doc->verdict = doc->whole || r.deep || r.verdict == JSON_TOO_LARGE ? r.verdict : JSON_INVALID;
    return good ? doc->nodes : NULL;
}

const struct json_node *json_read(struct span text, struct json_doc *doc)
{
    return read_document(text, JSON_LOOSE, doc);
}

const struct json_node *json_read_exactly(struct span text, enum json_grammar grammar,
                                          struct json_doc *doc)
{
    const struct json_node *root = read_document(text, grammar, doc);
    return root != NULL && root->raw.len == text.len ? root : NULL;
}

void json_doc_free(struct json_doc *doc)
{
    free(doc->nodes);
    *doc = (struct json_doc){.verdict = JSON_INVALID};
}
