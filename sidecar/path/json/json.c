/* json.c: the strict scanner: canonical form, verdicts, edits.
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
    while (s->at < s->end &&
           (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r')) {
        s->at++;
    }
}

static int hex4(const char *p)
{
    int v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int d = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
        if (d < 0) {
            return -1;
        }
        v = v * 16 + d;
    }
    return v;
}

static size_t utf8_encode(unsigned cp, char out[4])
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xC0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xE0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        out[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    out[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

/* Length of the valid UTF-8 sequence at p, 0 when there is none (RFC 3629). */
static size_t utf8_length(const unsigned char *p, size_t left)
{
    static const unsigned char low[] = {0x80, 0xA0, 0x90};
    size_t n = p[0] < 0x80                   ? 1
               : p[0] >= 0xC2 && p[0] < 0xE0 ? 2
               : (p[0] & 0xF0) == 0xE0       ? 3
               : p[0] >= 0xF0 && p[0] < 0xF5 ? 4
                                             : 0;
    if (n == 0 || n > left) {
        return 0;
    }
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    if ((p[0] == 0xE0 && p[1] < low[1]) || (p[0] == 0xF0 && p[1] < low[2]) ||
        (p[0] == 0xED && p[1] > 0x9F) || (p[0] == 0xF4 && p[1] > 0x8F)) {
        return 0;
    }
    return n;
}

/* A \u escape; at stands behind the 'u'. */
static bool unicode_escape(struct scan *s)
{
    char utf8[4];
    int cp = s->end - s->at >= 4 ? hex4(s->at) : -1;
    if (cp < 0) {
        return invalid(s);
    }
    s->at += 4;
    if (cp >= 0xD800 && cp < 0xDC00) {
        int low = s->end - s->at >= 6 && s->at[0] == '\\' && s->at[1] == 'u' ? hex4(s->at + 2) : -1;
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
        size_t n =
            c < 0x80 ? 1 : utf8_length((const unsigned char *)s->at, (size_t)(s->end - s->at));
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

static size_t digits(struct scan *s)
{
    size_t n = 0;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9') {
        s->at++;
        n++;
    }
    return n;
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
    if (*s->at == '-') {
        s->at++;
    }
    const char *first = s->at;
    size_t whole = digits(s);
    if (whole == 0 || (whole > 1 && *first == '0')) {
        return invalid(s);
    }
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        if (digits(s) == 0) {
            return invalid(s);
        }
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-')) {
            s->at++;
        }
        if (digits(s) == 0) {
            return invalid(s);
        }
    }
    if (is_ambiguous(from, (size_t)(s->at - from))) {
        worse(s, JSON_AMBIGUOUS);
    }
    return emit(s, from, (size_t)(s->at - from));
}

static bool word(struct scan *s, const char *text)
{
    size_t len = strlen(text);
    if ((size_t)(s->end - s->at) < len || memcmp(s->at, text, len) != 0) {
        return invalid(s);
    }
    s->at += len;
    return emit(s, text, len);
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

/* ---- members and edits: over text known to be valid ---- */

/* The end of the value that begins at `at`: strings are skipped whole, brackets counted. */
static size_t value_end(struct span text, size_t at)
{
    int depth = 0;
    while (at < text.len) {
        char c = text.ptr[at];
        if (c == '"') {
            at++;
            while (at < text.len && text.ptr[at] != '"') {
                at += text.ptr[at] == '\\' ? 2 : 1;
            }
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']') {
            if (depth == 0) {
                return at;
            }
            depth--;
        } else if (depth == 0 && c == ',') {
            return at;
        }
        at++;
    }
    return at < text.len ? at : text.len;
}

static size_t after_blanks(struct span text, size_t at)
{
    while (at < text.len && strchr(" \t\n\r", text.ptr[at]) != NULL && text.ptr[at] != '\0') {
        at++;
    }
    return at;
}

/* One top-level member. */
struct place {
    size_t from, value,
        end;          /* of the name's quote, of the value, behind the value (blanks trimmed) */
    size_t next;      /* at the comma or the closing brace */
    struct span name; /* raw, without quotes */
};

/* The member at or after `at` (behind '{' or ','); false: none. */
static bool next_place(struct span text, size_t at, struct place *p)
{
    p->from = after_blanks(text, at);
    if (p->from >= text.len || text.ptr[p->from] != '"') {
        return false;
    }
    size_t quote = p->from + 1;
    while (quote < text.len && text.ptr[quote] != '"') {
        quote += text.ptr[quote] == '\\' ? 2 : 1;
    }
    size_t colon = quote < text.len ? after_blanks(text, quote + 1) : text.len;
    if (colon >= text.len || text.ptr[colon] != ':') {
        return false;
    }
    p->name = span_make(text.ptr + p->from + 1, quote - p->from - 1);
    p->value = after_blanks(text, colon + 1);
    p->next = value_end(text, p->value);
    p->end = p->next;
    while (p->end > p->value && strchr(" \t\n\r", text.ptr[p->end - 1]) != NULL) {
        p->end--;
    }
    return true;
}

/* Names are compared decoded, since "mo\u0064el" is "model". */
static bool is_named(struct span raw, struct span name)
{
    if (memchr(raw.ptr, '\\', raw.len) == NULL) {
        return span_eq(raw, name);
    }
    struct buf decoded = {.max = raw.len * 2 + 16};
    struct scan s = {.at = raw.ptr - 1, .end = raw.ptr + raw.len + 1, .out = &decoded};
    bool same = string(&s) && decoded.len == name.len + 2 &&
                memcmp(decoded.data + 1, name.ptr, name.len) == 0;
    buf_free(&decoded);
    return same;
}

static bool open_object(struct span text, size_t *at)
{
    *at = after_blanks(text, 0);
    if (*at >= text.len || text.ptr[*at] != '{') {
        return false;
    }
    (*at)++;
    return true;
}

bool json_member(struct span text, struct span name, struct span *out)
{
    size_t at = 0;
    struct place p;
    bool found = false;
    if (!open_object(text, &at)) {
        return false;
    }
    while (at < text.len && next_place(text, at, &p)) {
        if (is_named(p.name, name)) {
            *out = span_make(text.ptr + p.value, p.end - p.value);
            found = true;
        }
        at = p.next + 1;
    }
    return found;
}

bool json_next(struct span text, size_t *at, struct span *value)
{
    struct place p;
    size_t open = after_blanks(text, 0);
    size_t from = *at == 0 ? open + 1 : *at;
    if (open >= text.len || (text.ptr[open] != '{' && text.ptr[open] != '[')) {
        return false;
    }
    if (text.ptr[open] == '{') {
        if (!next_place(text, from, &p)) {
            return false;
        }
        *value = span_make(text.ptr + p.value, p.end - p.value);
        *at = p.next + 1;
        return true;
    }
    size_t begin = after_blanks(text, from);
    if (begin >= text.len || text.ptr[begin] == ']') {
        return false;
    }
    size_t next = value_end(text, begin);
    *value = span_trim(span_make(text.ptr + begin, next - begin));
    *at = next + 1;
    return true;
}

static const struct json_edit *edit_for(const struct json_edit *edits, size_t count,
                                        struct span name, unsigned *used)
{
    for (size_t i = 0; i < count; i++) {
        if (is_named(name, edits[i].name)) {
            *used |= 1U << i;
            return &edits[i];
        }
    }
    return NULL;
}

static enum err append_new(struct buf *out, const struct json_edit *edit, bool comma)
{
    enum err e = comma ? buf_append_char(out, ',') : ERR_OK;
    e = e == ERR_OK ? buf_append_char(out, '"') : e;
    e = e == ERR_OK ? buf_append_json(out, edit->name) : e;
    e = e == ERR_OK ? buf_append_span(out, SPAN("\":")) : e;
    return e == ERR_OK ? buf_append_span(out, edit->value) : e;
}

/* The members, with replaced values; removed ones take their comma along. Ends at the brace. */
static enum err copy_members(struct span text, size_t at, const struct json_edit *edits,
                             size_t count, struct buf *out, unsigned *used, bool *any)
{
    struct place p;
    enum err e = ERR_OK;
    while (e == ERR_OK && at < text.len && next_place(text, at, &p)) {
        const struct json_edit *edit = edit_for(edits, count, p.name, used);
        bool removed = edit != NULL && edit->value.ptr == NULL;
        if (!removed) {
            e = *any ? buf_append_char(out, ',') : ERR_OK;
            size_t stop = edit == NULL ? p.next : p.value;
            e = e == ERR_OK ? buf_append(out, text.ptr + at, stop - at) : e;
            if (edit != NULL && e == ERR_OK) {
                e = buf_append_span(out, edit->value);
                e = e == ERR_OK ? buf_append(out, text.ptr + p.end, p.next - p.end) : e;
            }
            *any = true;
        }
        at = p.next;
        if (at < text.len && text.ptr[at] == ',') {
            at++;
        }
    }
    return e;
}

enum err json_edit(struct span text, const struct json_edit *edits, size_t count, struct buf *out)
{
    size_t at = 0;
    unsigned used = 0;
    bool any = false;
    size_t before = out->len;
    require(count <= 32);
    size_t brace = span_rfind(text, SPAN("}"));
    if (!open_object(text, &at) || brace == SIZE_MAX || brace < at) {
        return ERR_INVALID;
    }
    enum err e = buf_append(out, text.ptr, at);
    e = e == ERR_OK ? copy_members(span_make(text.ptr, brace), at, edits, count, out, &used, &any)
                    : e;
    if (e == ERR_OK && !any && used == 0) {
        e = buf_append(out, text.ptr + at, brace - at); /* the blanks of an empty object */
    }
    for (size_t i = 0; e == ERR_OK && i < count; i++) {
        if ((used & 1U << i) == 0 && edits[i].value.ptr != NULL) {
            e = append_new(out, &edits[i], any);
            any = true;
        }
    }
    e = e == ERR_OK ? buf_append(out, text.ptr + brace, text.len - brace) : e;
    if (e != ERR_OK) {
        out->len = before;
    }
    return e;
}
