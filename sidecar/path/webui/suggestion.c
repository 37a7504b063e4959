/* suggestion.c: a small reader of {"text": "..."} as it grows.
 *
 * While a model writes, lull wants to know whether what has come still fits what the person types
 * meanwhile. So the reader follows the content byte by byte, from its first '{', and hands out the
 * value of the top-level member `text` as far as it is there: escapes that are not complete yet,
 * and UTF-8 sequences that are cut, wait for their rest. It is a guess for a decision that may be
 * wrong (an object that goes on differently, thinking with a brace in it): what is served at the
 * end is read by suggestion_of(), from the whole content, as Open WebUI reads it.
 */
#include "lull/path/webui/suggestion.h"

#include "lull/base/utf8.h"
#include "lull/path/json/json.h"
#include "path/webui/webui_priv.h"

enum state { BEFORE, NAME_OR_END, NAME, COLON, VALUE, TEXT, SKIP_STRING, SKIP, OVER };
enum { NAME_MAX_BYTES = 64 };

static void lose(struct suggestion_reader *r)
{
    r->lost = true;
    r->state = OVER;
}

static void put(struct suggestion_reader *r, const char *bytes, size_t n)
{
    if (buf_append(&r->text, bytes, n) != ERR_OK) {
        lose(r);
    }
}

static void unicode(struct suggestion_reader *r, const char *digits)
{
    char utf8[4];
    int hex = json_hex4(digits);
    if (hex < 0) {
        lose(r);
        return;
    }
    unsigned cp = (unsigned)hex;
    bool low = cp >= 0xDC00 && cp < 0xE000;
    if ((r->high != 0) != low) {
        lose(r); /* half a pair */
    } else if (cp >= 0xD800 && cp < 0xDC00) {
        r->high = cp;
    } else {
        cp = low ? 0x10000 + ((r->high - 0xD800) << 10) + (cp - 0xDC00) : cp;
        put(r, utf8, utf8_encode(cp, utf8));
        r->high = 0;
    }
}

/* Bytes of the escape or UTF-8 sequence at s, 0: not complete yet. */
static size_t unit(struct span s)
{
    unsigned char c = (unsigned char)s.ptr[0];
    size_t n = 1;
    if (c == '\\') {
        n = s.len < 2 ? 0 : s.ptr[1] == 'u' ? 6 : 2;
    } else if (utf8_expected(s.ptr[0]) > 1) {
        n = utf8_expected(s.ptr[0]);
    }
    return n > s.len ? 0 : n;
}

/* One unit inside the wanted string. */
static void take_unit(struct suggestion_reader *r, struct span u)
{
    if (u.ptr[0] != '\\') {
        if (r->high != 0) {
            lose(r);
        } else {
            put(r, u.ptr, u.len);
        }
        return;
    }
    if (u.len == 6) {
        unicode(r, u.ptr + 2);
        return;
    }
    char escaped = json_escaped(u.ptr[1]);
    if (escaped == '\0' || r->high != 0) {
        lose(r);
        return;
    }
    put(r, &escaped, 1);
}

static void name_ended(struct suggestion_reader *r)
{
    r->is_text = span_eq(buf_span(&r->token), SPAN("text"));
    r->state = COLON;
}

/* The first character of a member's value. */
static void value_begins(struct suggestion_reader *r, char c)
{
    r->depth = c == '{' || c == '[' ? 1 : 0;
    if (r->is_text && c != '"') {
        lose(r);
    } else if (c == '"') {
        r->begun = r->is_text;
        r->state = r->is_text ? TEXT : SKIP_STRING;
    } else {
        r->state = SKIP;
    }
}

/* Inside a value that is not wanted, outside of its strings. */
static void skip(struct suggestion_reader *r, char c)
{
    if (c == '"') {
        r->state = SKIP_STRING;
    } else if (c == '{' || c == '[') {
        r->depth++;
    } else if ((c == '}' || c == ']') && r->depth > 0) {
        r->depth--;
    } else if (r->depth == 0 && c == ',') {
        r->state = NAME_OR_END;
    } else if (r->depth == 0 && c == '}') {
        lose(r); /* the object ended without the member */
    }
}

/* One character outside of strings. */
static void structure(struct suggestion_reader *r, char c)
{
    if (r->state == BEFORE) {
        r->state = c == '{' ? NAME_OR_END : BEFORE;
    } else if (json_blanks(&c, &c + 1) != &c) {
        return;
    } else if (r->state == NAME_OR_END && c == '"') {
        buf_clear(&r->token);
        r->state = NAME;
    } else if (r->state == COLON && c == ':') {
        r->state = VALUE;
    } else if (r->state == VALUE) {
        value_begins(r, c);
    } else if (r->state == SKIP) {
        skip(r, c);
    } else {
        lose(r);
    }
}

/* One unit inside a string. */
static void inside(struct suggestion_reader *r, struct span u)
{
    bool end = u.ptr[0] == '"';
    if (r->state == NAME) {
        if (end) {
            name_ended(r);
        } else if (buf_append_span(&r->token, u) != ERR_OK) {
            lose(r);
        }
    } else if (r->state == SKIP_STRING) {
        r->state = end ? SKIP : SKIP_STRING;
    } else if (!end) {
        take_unit(r, u);
    } else if (r->high != 0) {
        lose(r);
    } else {
        r->closed = true;
        r->state = OVER;
    }
}

void suggestion_read(struct suggestion_reader *r, struct span content)
{
    r->text.max = SUGGESTION_MAX;
    r->token.max = NAME_MAX_BYTES;
    while (r->at < content.len && r->state != OVER) {
        struct span rest = span_make(content.ptr + r->at, content.len - r->at);
        bool string = r->state == NAME || r->state == TEXT || r->state == SKIP_STRING;
        size_t n = string ? unit(rest) : 1;
        if (n == 0) {
            return;
        }
        r->at += n;
        if (string) {
            inside(r, span_make(rest.ptr, n));
        } else {
            structure(r, rest.ptr[0]);
        }
    }
}

void suggestion_reader_free(struct suggestion_reader *r)
{
    buf_free(&r->text);
    buf_free(&r->token);
    *r = (struct suggestion_reader){0};
}

bool suggestion_of(struct span content, struct buf *out)
{
    struct json_doc doc;
    size_t before = out->len;
    struct span json = answer_slice(content, false);
    bool thought = json.len > 0 && (size_t)(json.ptr - content.ptr) > thoughts_unended(content);
    const struct json_node *root = json_read_exactly(json, JSON_JAVASCRIPT, &doc);
    bool good = !thought && json_append_text(json_get(root, SPAN("text")), out);
    if (good && (out->len == before ||
                 validate_is_blank(span_make(out->data + before, out->len - before)))) {
        out->len = before;
        good = false;
    }
    json_doc_free(&doc);
    return good;
}

enum err suggestion_write(struct span text, struct buf *out)
{
    enum err e = buf_append_span(out, SPAN("{\"text\": \""));
    e = e == ERR_OK ? buf_append_json(out, text) : e;
    return e == ERR_OK ? buf_append_span(out, SPAN("\"}")) : e;
}
