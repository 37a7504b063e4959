/* json.c: the strict scanner: canonical form and verdicts.
 *
 * One recursive descent over the text (depth at most 512). Canonical output of an object needs its
 * members sorted: each member is written to the output as it comes, with its place remembered, and
 * at the closing brace the members are put in order by a copy of that region. So every byte moves
 * once for each level it is nested in, and the cost stays near linear for the flat documents that
 * requests are.
 *
 * Names are compared decoded: the canonical string form is injective on decoded text, so its bytes
 * are what is sorted and checked for doubles.
 */

#include "lull/path/json/json.h"

#include "lull/base/utf8.h"
#include "lull/path/json/reader.h"

#include <stdlib.h>

enum { JSON_DEPTH = 512 };

struct scan {
    const char *at, *end;
    struct buf *out;
    enum json_verdict verdict;
    int depth;
};

struct member {
    const char *base;           /* of out, when sorting */
    size_t from, name_len, len; /* in out: name, then ':' and value */
};

static bool value(struct scan *s, const struct span *omit, size_t omit_count);

static void worse(struct scan *s, enum json_verdict v)
{
    if (s->verdict == JSON_OK || v == JSON_INVALID) {
        s->verdict = v;
    }
}

static bool invalid(struct scan *s)
{
    worse(s, JSON_INVALID);
    return false;
}

static bool emit(struct scan *s, const void *data, size_t len)
{
    if (buf_append(s->out, data, len) != ERR_OK) {
        worse(s, JSON_TOO_LARGE);
        return false;
    }
    return true;
}

static void skip_blanks(struct scan *s)
{
    s->at = json_blanks(s->at, s->end);
}

/* A \u escape; at stands behind the 'u'. */
static bool unicode_escape(struct scan *s)
{
    char utf8[4];
    int cp = s->end - s->at >= 4 ? json_hex4(s->at) : -1;
    if (cp < 0) {
        return invalid(s);
    }
    s->at += 4;
    if (cp >= 0xD800 && cp < 0xDC00) {
        int low =
            s->end - s->at >= 6 && s->at[0] == '\\' && s->at[1] == 'u' ? json_hex4(s->at + 2) : -1;
        if (low >= 0xDC00 && low < 0xE000) {
            s->at += 6;
            cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
        } else {
            worse(s, JSON_AMBIGUOUS);
            return true;
        }
    } else if ((cp >= 0xDC00 && cp < 0xE000) || cp == 0) {
        worse(s, JSON_AMBIGUOUS);
        return true;
    }
    size_t n = utf8_encode((unsigned)cp, utf8);
    if (cp < 0x80) {
        if (buf_append_json(s->out, span_make(utf8, n)) != ERR_OK) {
            worse(s, JSON_TOO_LARGE);
            return false;
        }
        return true;
    }
    return emit(s, utf8, n);
}

static bool escape(struct scan *s)
{
    static const char names[] = "\"\\/bfnrt";
    static const char means[] = "\"\\/\b\f\n\r\t";
    if (s->at == s->end) {
        return invalid(s);
    }
    char c = *s->at++;
    if (c == 'u') {
        return unicode_escape(s);
    }
    const char *which = c == '\0' ? NULL : strchr(names, c);
    if (which == NULL) {
        return invalid(s);
    }
    if (buf_append_json(s->out, span_make(&means[which - names], 1)) != ERR_OK) {
        worse(s, JSON_TOO_LARGE);
        return false;
    }
    return true;
}

static bool plain_run(struct scan *s)
{
    const char *from = s->at;
    while (s->at < s->end && *s->at != '"' && *s->at != '\\') {
        unsigned char c = (unsigned char)*s->at;
        size_t n = c < 0x80 ? 1 : utf8_length(s->at, (size_t)(s->end - s->at));
        if (c < 0x20) {
            return invalid(s);
        }
        if (n == 0) {
            worse(s, JSON_AMBIGUOUS);
            n = 1;
        }
        s->at += n;
    }
    return emit(s, from, (size_t)(s->at - from));
}

static bool string(struct scan *s)
{
    s->at++;
    if (!emit(s, "\"", 1)) {
        return false;
    }
    while (s->at < s->end && *s->at != '"') {
        bool good = *s->at == '\\' ? (s->at++, escape(s)) : plain_run(s);
        if (!good) {
            return false;
        }
    }
    if (s->at == s->end) {
        return invalid(s);
    }
    s->at++;
    return emit(s, "\"", 1);
}

/* Parsers keep numbers as doubles, or integers exactly: what differs between them is ambiguous. */
static bool is_ambiguous(const char *token, size_t len)
{
    char text[64];
    if (len >= sizeof text) {
        return true;
    }
    memcpy(text, token, len);
    text[len] = '\0';
    double d = strtod(text, NULL);
    return d >= 9007199254740992.0 ||
           d <= -9007199254740992.0; /* 2^53 itself may have been 2^53 + 1 */
}

static bool number(struct scan *s)
{
    const char *from = s->at;
    if (!json_number(&s->at, s->end)) {
        return invalid(s);
    }
    if (is_ambiguous(from, (size_t)(s->at - from))) {
        worse(s, JSON_AMBIGUOUS);
    }
    return emit(s, from, (size_t)(s->at - from));
}

static bool word(struct scan *s, const char *text)
{
    return json_word(&s->at, s->end, text) ? emit(s, text, strlen(text)) : invalid(s);
}

static bool array(struct scan *s)
{
    s->at++;
    skip_blanks(s);
    if (!emit(s, "[", 1)) {
        return false;
    }
    if (s->at < s->end && *s->at == ']') {
        s->at++;
        return emit(s, "]", 1);
    }
    for (;;) {
        if (!value(s, NULL, 0)) {
            return false;
        }
        skip_blanks(s);
        char c = s->at < s->end ? *s->at++ : '\0';
        if (c == ']') {
            return emit(s, "]", 1);
        }
        if (c != ',' || !emit(s, ",", 1)) {
            return c == ',' ? false : invalid(s);
        }
    }
}

/* Places of the members of one object, growing. */
struct members {
    struct member *items;
    size_t count, cap;
    uint64_t omitted; /* a bit for each name left out that was seen */
};

static bool add_member(struct scan *s, struct members *m, struct member item)
{
    if (m->count == m->cap) {
        size_t cap = m->cap == 0 ? 16 : m->cap * 2;
        struct member *items = realloc(m->items, cap * sizeof *items);
        if (items == NULL) {
            worse(s, JSON_TOO_LARGE);
            return false;
        }
        m->items = items;
        m->cap = cap;
    }
    m->items[m->count++] = item;
    return true;
}

static int by_name(const void *a, const void *b)
{
    const struct member *x = a;
    const struct member *y = b;
    size_t n = x->name_len < y->name_len ? x->name_len : y->name_len;
    int d = memcmp(x->base + x->from, y->base + y->from, n);
    return d != 0 ? d : (x->name_len > y->name_len) - (x->name_len < y->name_len);
}

/* Puts the members of one object in order; they are what out holds from `start` on, with a comma
 * behind each. */
static bool sort_members(struct scan *s, struct members *m, size_t start)
{
    struct buf copy = {.max = SIZE_MAX};
    for (size_t i = 0; i < m->count; i++) {
        m->items[i].base = s->out->data;
    }
    bool sorted = true;
    for (size_t i = 1; i < m->count && sorted; i++) {
        sorted = by_name(&m->items[i - 1], &m->items[i]) < 0;
    }
    if (sorted) {
        return true;
    }
    qsort(m->items, m->count, sizeof *m->items, by_name);
    for (size_t i = 1; i < m->count; i++) {
        if (by_name(&m->items[i - 1], &m->items[i]) == 0) {
            worse(s, JSON_AMBIGUOUS); /* one name twice: parsers take the first or the last */
        }
    }
    bool good = buf_append(&copy, s->out->data + start, s->out->len - start) == ERR_OK;
    size_t at = start;
    for (size_t i = 0; good && i < m->count; i++) {
        memcpy(s->out->data + at, copy.data + (m->items[i].from - start), m->items[i].len);
        at += m->items[i].len;
    }
    buf_free(&copy);
    if (!good) {
        worse(s, JSON_TOO_LARGE);
    }
    return good;
}

static bool is_omitted(const struct scan *s, struct member m, const struct span *omit, size_t count,
                       size_t *index)
{
    struct span name = span_make(s->out->data + m.from + 1, m.name_len - 2);
    for (size_t i = 0; i < count; i++) {
        if (span_eq(name, omit[i])) {
            *index = i;
            return true;
        }
    }
    return false;
}

/* One member, with a comma behind it. */
static bool one_member(struct scan *s, struct members *m, const struct span *omit,
                       size_t omit_count)
{
    struct member item = {.from = s->out->len};
    skip_blanks(s);
    if (s->at == s->end || *s->at != '"') {
        return invalid(s);
    }
    if (!string(s)) {
        return false;
    }
    item.name_len = s->out->len - item.from;
    skip_blanks(s);
    if (s->at == s->end || *s->at != ':') {
        return invalid(s);
    }
    s->at++;
    if (!emit(s, ":", 1) || !value(s, NULL, 0) || !emit(s, ",", 1)) {
        return false;
    }
    item.len = s->out->len - item.from;
    size_t index = 0;
    if (is_omitted(s, item, omit, omit_count, &index)) {
        uint64_t bit = (uint64_t)1 << index;
        if ((m->omitted & bit) != 0) {
            worse(s, JSON_AMBIGUOUS); /* twice, as below */
        }
        m->omitted |= bit;
        s->out->len = item.from;
        return true;
    }
    return add_member(s, m, item);
}

static bool members(struct scan *s, struct members *m, const struct span *omit, size_t omit_count)
{
    for (;;) {
        if (!one_member(s, m, omit, omit_count)) {
            return false;
        }
        skip_blanks(s);
        char c = s->at < s->end ? *s->at++ : '\0';
        if (c == '}') {
            return true;
        }
        if (c != ',') {
            return invalid(s);
        }
    }
}

static bool object(struct scan *s, const struct span *omit, size_t omit_count)
{
    struct members m = {0};
    s->at++;
    if (!emit(s, "{", 1)) {
        return false;
    }
    size_t start = s->out->len;
    skip_blanks(s);
    if (s->at < s->end && *s->at == '}') {
        s->at++;
        return emit(s, "}", 1);
    }
    bool good = members(s, &m, omit, omit_count) && sort_members(s, &m, start);
    free(m.items);
    if (!good) {
        return false;
    }
    if (m.count > 0) {
        s->out->len--; /* the last comma */
    }
    return emit(s, "}", 1);
}

static bool value(struct scan *s, const struct span *omit, size_t omit_count)
{
    bool good = false;
    skip_blanks(s);
    if (s->at == s->end) {
        return invalid(s);
    }
    if (s->depth == JSON_DEPTH) {
        worse(s, JSON_AMBIGUOUS);
        return false;
    }
    s->depth++;
    switch (*s->at) {
    case '{':
        good = object(s, omit, omit_count);
        break;
    case '[':
        good = array(s);
        break;
    case '"':
        good = string(s);
        break;
    case 't':
        good = word(s, "true");
        break;
    case 'f':
        good = word(s, "false");
        break;
    case 'n':
        good = word(s, "null");
        break;
    default:
        good = *s->at == '-' || (*s->at >= '0' && *s->at <= '9') ? number(s) : invalid(s);
        break;
    }
    s->depth--;
    return good;
}

enum json_verdict json_canonical(struct span text, const struct span *omit, size_t omit_count,
                                 struct buf *out)
{
    struct buf own = {.max = SIZE_MAX};
    struct scan s = {.at = text.ptr, .end = text.ptr + text.len, .out = out == NULL ? &own : out};
    size_t before = s.out->len;
    require(omit_count <= 64);
    if (text.len == 0) {
        return JSON_INVALID;
    }
    if (value(&s, omit, omit_count)) {
        skip_blanks(&s);
        if (s.at != s.end) {
            s.verdict = JSON_INVALID; /* something stands behind the document */
        }
    }
    if (s.verdict != JSON_OK) {
        s.out->len = before;
    }
    buf_free(&own);
    return s.verdict;
}
