/* repair.c: see repair.h.
 *
 * Thinking is overwritten with NUL in a copy, so places in the copy are places in the content and
 * no object reaches across a thought. Then the copy is read once from the front: at each '{' the
 * reader of JSON, in its loose form, looks whether a whole object begins there; one that does is a
 * candidate and is stepped over, so objects inside of it are none, and braces of prose (LaTeX,
 * code) fail at their first byte. The last candidates are tried from the last to the first, those
 * in the last fence marked as JSON before all others: models that think aloud put the answer last.
 *
 * A candidate is written so that Open WebUI's parsers accept it: raw control characters in its
 * strings are escaped, a backslash that begins no escape is doubled, and what a parser of the kind
 * would cut the text at or replace (braces, quotes) is written as \u. Then it is validated.
 *
 * Where the kind has no member to look for, a part of an object that breaks off would pass: one call
 * of a tool out of a list of calls. Such a text is left as it is.
 *
 * What the reader reads without finding an object is bounded for the whole content: a text that
 * fails late at every brace is left as it is.
 */
#include "lull/path/webui/repair.h"

#include "path/webui/webui_priv.h"

enum { CANDIDATES = 16, WASTE_MIN = 64 * 1024, WASTE_FACTOR = 2 };

/* ---- an object as Open WebUI reads it ---- */

/* The character at the beginning of s, if it is written as \u inside of a kind's strings; n: its
 * bytes. 0: it stays. Queries and image prompts are read from the last '{'; the browser takes each
 * of four quotes in titles and tags for '"'. */
static unsigned to_escape(struct span s, int kind, size_t *n)
{
    char c = s.ptr[0];
    if (validate_reads_last(kind) && (c == '{' || c == '}')) {
        return (unsigned char)c;
    }
    if (kind != KIND_TITLE && kind != KIND_TAGS) {
        return 0;
    }
    bool curved = span_starts(s, SPAN("\xE2\x80\x98")) || span_starts(s, SPAN("\xE2\x80\x99"));
    *n = curved ? 3 : 1;
    return curved                  ? 0x2018U + (s.ptr[2] == '\x99' ? 1U : 0U)
           : c == '\'' || c == '`' ? (unsigned char)c
                                   : 0U;
}

/* Bytes of the escape at the beginning of s; 0: it is none. */
static size_t escape_length(struct span s)
{
    if (s.len >= 6 && s.ptr[1] == 'u' && json_hex4(s.ptr + 2) >= 0) {
        return 6;
    }
    bool known = s.len >= 2 && s.ptr[1] != '\0' && strchr("\"\\/bfnrt", s.ptr[1]) != NULL;
    return known ? 2 : 0;
}

/* One character, or escape, inside of a string; n: its bytes. */
static enum err put_inside(struct span s, int kind, struct buf *out, size_t *n)
{
    *n = 1;
    if (s.ptr[0] == '\\') {
        size_t len = escape_length(s);
        bool quote = s.len >= 2 && s.ptr[1] == '\'';
        *n = len > 0 ? len : 1;
        return len > 0 ? buf_append(out, s.ptr, len)
               : quote ? ERR_OK
                       : buf_append_span(out, SPAN("\\\\"));
    }
    if ((unsigned char)s.ptr[0] < 0x20) {
        return buf_append_json(out, span_make(s.ptr, 1));
    }
    unsigned cp = to_escape(s, kind, n);
    return cp != 0 ? buf_printf(out, "\\u%04x", cp) : buf_append(out, s.ptr, *n);
}

static enum err put_object(struct span object, int kind, struct buf *out)
{
    enum err e = ERR_OK;
    bool inside = false;
    for (size_t at = 0; at < object.len && e == ERR_OK;) {
        struct span rest = span_make(object.ptr + at, object.len - at);
        size_t n = 1;
        if (inside && rest.ptr[0] != '"') {
            e = put_inside(rest, kind, out, &n);
        } else {
            inside = inside != (rest.ptr[0] == '"');
            e = buf_append_char(out, rest.ptr[0]);
        }
        at += n;
    }
    return e;
}

/* ---- candidates ---- */

/* The last objects of a text. */
struct candidates {
    struct span items[CANDIDATES];
    size_t count; /* of all that were seen */
};

/* Whether an object may begin at p. */
static bool may_begin(const char *p, const char *end)
{
    return *p == '{' && end - p > 1 && memchr("\"} \t\n\r", p[1], 6) != NULL;
}

/* Length of the object at the beginning of s; 0: none is whole. looked: bytes read. */
static size_t object_at(struct span s, size_t *looked)
{
    return json_extent(s, JSON_LOOSE, looked) == JSON_ENDS ? *looked : 0;
}

/* false: given up. parts: what stands inside of an object that breaks off is a candidate, too; else
 * there is none in such a text. */
static bool collect(struct span text, bool parts, struct candidates *out)
{
    const char *end = text.ptr + text.len;
    size_t waste = WASTE_MIN + WASTE_FACTOR * text.len;
    const char *p = text.ptr;
    while (p < end) {
        size_t looked = 0;
        size_t len = may_begin(p, end) ? object_at(span_make(p, (size_t)(end - p)), &looked) : 0;
        bool part = !parts && len == 0 && memchr(p, ':', looked) != NULL;
        if (len > 0) {
            out->items[out->count++ % CANDIDATES] = span_make(p, len);
        } else if (part || looked > waste) {
            return false;
        } else {
            waste -= looked;
        }
        p += len > 0 ? len : 1;
    }
    return true;
}

/* What is inside the last fence marked as JSON; it may be open. */
static struct span last_fence(struct span text)
{
    struct span mark = SPAN("```json");
    for (size_t at = text.len; at-- > 0;) {
        struct span rest = span_make(text.ptr + at, text.len - at);
        if (rest.ptr[0] == '`' && span_starts(rest, mark)) {
            struct span inside = span_make(rest.ptr + mark.len, rest.len - mark.len);
            size_t to = span_find(inside, SPAN("```"), 0);
            return to == SIZE_MAX ? inside : span_make(inside.ptr, to);
        }
    }
    return SPAN_NONE;
}

/* Tries them from the last to the first; best: the text of the first good one, else of the first
 * empty one. True: it is good. */
static bool choose(const struct candidates *list, const struct kind_policy *policy, int kind,
                   struct buf *best)
{
    size_t kept = list->count < CANDIDATES ? list->count : CANDIDATES;
    struct buf text = {.max = ANSWER_MAX};
    enum answer_verdict judged = ANSWER_BAD;
    for (size_t i = 0; i < kept && judged != ANSWER_GOOD; i++) {
        buf_clear(&text);
        judged = ANSWER_BAD;
        if (put_object(list->items[(list->count - 1 - i) % CANDIDATES], kind, &text) != ERR_OK) {
            continue;
        }
        struct span slice = answer_slice(buf_span(&text), validate_reads_last(kind));
        judged = slice.len == text.len ? validate_object(slice, policy, kind) : ANSWER_BAD;
        if (judged == ANSWER_GOOD || (judged == ANSWER_EMPTY && best->len == 0)) {
            buf_free(best);
            buf_move(best, &text);
        }
    }
    buf_free(&text);
    return judged == ANSWER_GOOD;
}

static void find_object(struct span text, const struct kind_policy *policy, int kind,
                        struct buf *best)
{
    struct candidates fenced = {.count = 0};
    struct candidates all = {.count = 0};
    struct span fence = last_fence(text);
    bool parts = policy->shape != KIND_SHAPE_JSON; /* any object would do: one of several calls */
    if (fence.len > 0 && collect(fence, parts, &fenced) && choose(&fenced, policy, kind, best)) {
        return;
    }
    if (collect(text, parts, &all)) {
        (void)choose(&all, policy, kind, best);
    }
}

static bool is_repairable(const struct answer *a, const struct kind_policy *policy, int kind)
{
    bool json = policy->shape == KIND_SHAPE_STRING || policy->shape == KIND_SHAPE_STRINGS ||
                policy->shape == KIND_SHAPE_ARRAY || policy->shape == KIND_SHAPE_JSON;
    return json && a->finish != FINISH_OTHER && a->content.len > 0 &&
           answer_validate(a, policy, kind) == ANSWER_BAD;
}

bool answer_repair(struct answer *a, const struct kind_policy *policy, int kind)
{
    struct buf text = {.max = ANSWER_MAX};
    struct buf best = {.max = ANSWER_MAX};
    if (!is_repairable(a, policy, kind)) {
        return false;
    }
    if (buf_append_span(&text, buf_span(&a->content)) == ERR_OK) {
        thoughts_blank(&text);
        find_object(buf_span(&text), policy, kind, &best);
    }
    buf_free(&text);
    bool found = best.len > 0 && best.len + a->thinking.len <= ANSWER_MAX;
    if (found) {
        buf_free(&a->content);
        buf_move(&a->content, &best);
    }
    buf_free(&best);
    return found;
}
