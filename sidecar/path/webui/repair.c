/* repair.c: see mend.h.
 *
 * Thinking is blanked out in a copy with a byte that no JSON may hold, so places in the copy are
 * places in the content and no object reaches across a thought. Then the copy is read once from the
 * front: at each '{' a strict reader of JSON looks whether a whole object begins there; one that
 * does is a candidate and is stepped over, so objects inside of it are none, and braces of prose
 * (LaTeX, code) fail at their first byte. The last candidates are tried from the last to the first,
 * those in the last fence marked as JSON before all others: models that think aloud put the answer
 * last.
 *
 * What the reader looks at in vain is bounded for the whole content: text made to fail late at
 * every brace is given up on.
 */
#include "lull/path/webui/repair.h"

#include "lull/path/json/json.h"

#include <cJSON.h>

enum { CANDIDATES = 16, DEPTH_MAX = 64, BLANK = 0x01, VAIN_MIN = 64 * 1024, VAIN_FACTOR = 2 };

/* ---- thinking ---- */

/* As Open WebUI knows them; `alone`: the closing tag also ends a thought that began in the prompt's
 * template. */
static const struct {
    const char *open, *close;
    bool alone;
} tags[] = {
    {"<think>", "</think>", true},
    {"<thinking>", "</thinking>", true},
    {"<reason>", "</reason>", true},
    {"<reasoning>", "</reasoning>", true},
    {"<thought>", "</thought>", true},
    {"<Thought>", "</Thought>", true},
    {"<|begin_of_thought|>", "<|end_of_thought|>", true},
    {"\xE2\x97\x81think\xE2\x96\xB7", "\xE2\x97\x81/think\xE2\x96\xB7", true},
    {"<details type=\"reasoning\"", "</details>", false},
};

enum { TAGS = sizeof tags / sizeof tags[0] };

/* A text whose thinking is being blanked out. */
struct thinking {
    struct buf *text;
    size_t clean;        /* before it nothing is left: it stood before a closing tag */
    bool no_close[TAGS]; /* closed nowhere ahead, so that each is looked for once */
};

static size_t blank(struct thinking *t, size_t from, size_t to)
{
    memset(t->text->data + from, BLANK, to - from);
    return to;
}

/* The second byte is looked at first, since most of what begins like a tag is none. */
static bool begins(struct span s, const char *tag)
{
    return s.len > 1 && s.ptr[1] == tag[1] && span_starts(s, span_of(tag));
}

/* Blanks the thought that begins, or ended, at `at`; the place behind it. */
static size_t blank_at(struct thinking *t, size_t at)
{
    struct span all = buf_span(t->text);
    struct span rest = span_make(all.ptr + at, all.len - at);
    for (size_t i = 0; i < TAGS; i++) {
        if (tags[i].alone && begins(rest, tags[i].close)) {
            t->clean = blank(t, t->clean, at + strlen(tags[i].close));
            return t->clean;
        }
        if (!t->no_close[i] && begins(rest, tags[i].open)) {
            size_t end = span_find(all, span_of(tags[i].close), at);
            t->no_close[i] = end == SIZE_MAX;
            return end == SIZE_MAX ? at + 1 : blank(t, at, end + strlen(tags[i].close));
        }
    }
    return at + 1;
}

static void blank_thinking(struct buf *text)
{
    struct thinking t = {.text = text};
    size_t at = 0;
    while (at < text->len) {
        char c = text->data[at];
        at = c == '<' || c == '\xE2' ? blank_at(&t, at) : at + 1;
    }
}

/* ---- where an object ends ---- */

/* One object being read. kinds: the open brackets, a bit for each: 1 an object. */
struct reader {
    const char *at, *end;
    uint64_t kinds;
    unsigned depth;
};

static void blanks(struct reader *r)
{
    while (r->at < r->end &&
           (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) {
        r->at++;
    }
}

static bool skip(struct reader *r, char c)
{
    bool there = r->at < r->end && *r->at == c;
    r->at += there ? 1 : 0;
    return there;
}

static bool text_of(struct reader *r)
{
    if (!skip(r, '"')) {
        return false;
    }
    while (r->at < r->end && *r->at != '"') {
        if ((unsigned char)*r->at < 0x20) {
            return false;
        }
        r->at += *r->at == '\\' && r->end - r->at > 1 ? 2 : 1;
    }
    return skip(r, '"');
}

/* A number or a word: only where it ends; what it is, the parser says. */
static bool plain(struct reader *r)
{
    const char *from = r->at;
    while (r->at < r->end &&
           ((*r->at >= '0' && *r->at <= '9') || (*r->at >= 'a' && *r->at <= 'z') || *r->at == '-' ||
            *r->at == '+' || *r->at == '.' || *r->at == 'E')) {
        r->at++;
    }
    return r->at > from;
}

static bool in_object(const struct reader *r)
{
    return (r->kinds & 1) != 0;
}

static bool member_name(struct reader *r)
{
    blanks(r);
    if (!text_of(r)) {
        return false;
    }
    blanks(r);
    return skip(r, ':');
}

static bool opened(struct reader *r, bool object)
{
    if (r->depth == DEPTH_MAX) {
        return false;
    }
    r->at++;
    r->depth++;
    r->kinds = r->kinds << 1 | (object ? 1 : 0);
    return true;
}

/* Behind a value: the brackets that close there; then a comma, and in an object the next name.
 * False: neither. */
static bool after_value(struct reader *r)
{
    for (;;) {
        blanks(r);
        if (r->depth == 0) {
            return true;
        }
        if (skip(r, in_object(r) ? '}' : ']')) {
            r->kinds >>= 1;
            r->depth--;
            if (r->depth == 0) {
                return true;
            }
        } else {
            return skip(r, ',') && (!in_object(r) || member_name(r));
        }
    }
}

/* A value, or the beginning of one that holds others. */
static bool one_value(struct reader *r)
{
    blanks(r);
    char c = r->at < r->end ? *r->at : '\0';
    if (c == '"') {
        return text_of(r) && after_value(r);
    }
    if (c != '{' && c != '[') {
        return plain(r) && after_value(r);
    }
    if (!opened(r, c == '{')) {
        return false;
    }
    blanks(r);
    if (r->at < r->end && *r->at == (c == '{' ? '}' : ']')) {
        return after_value(r);
    }
    return c == '[' || member_name(r);
}

/* Length of the object at the beginning of s; 0: none is whole. looked: bytes read. */
static size_t object_length(struct span s, size_t *looked)
{
    struct reader r = {.at = s.ptr, .end = s.ptr + s.len};
    bool good = one_value(&r);
    while (good && r.depth > 0) {
        good = one_value(&r);
    }
    *looked = (size_t)(r.at - s.ptr);
    return good ? *looked : 0;
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

/* false: given up. */
static bool collect(struct span text, struct candidates *out)
{
    const char *end = text.ptr + text.len;
    size_t vain = VAIN_MIN + VAIN_FACTOR * text.len;
    const char *p = text.ptr;
    while (p < end) {
        size_t looked = 0;
        size_t len =
            may_begin(p, end) ? object_length(span_make(p, (size_t)(end - p)), &looked) : 0;
        if (len > 0) {
            out->items[out->count++ % CANDIDATES] = span_make(p, len);
        } else if (looked > vain) {
            return false;
        } else {
            vain -= looked;
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

/* The text of the content alone, judged; nothing is copied. */
static enum judgement judge_part(const struct answer *a, struct span part,
                                 const struct kind_policy *policy, int kind)
{
    struct answer alone = *a;
    alone.content.data = (char *)(uintptr_t)part.ptr;
    alone.content.len = part.len;
    /* cJSON takes line ends in strings and such, Open WebUI does not */
    return json_canonical(part, NULL, 0, NULL) == JSON_INVALID ? JUDGED_BAD
                                                               : answer_judge(&alone, policy, kind);
}

/* Tries them from the last to the first; best: the first good one, else the first empty one. */
static bool choose(const struct answer *a, const struct candidates *list,
                   const struct kind_policy *policy, int kind, struct span *best)
{
    size_t kept = list->count < CANDIDATES ? list->count : CANDIDATES;
    for (size_t i = 0; i < kept; i++) {
        struct span part = list->items[(list->count - 1 - i) % CANDIDATES];
        enum judgement judged = judge_part(a, part, policy, kind);
        if (judged == JUDGED_GOOD || (judged == JUDGED_EMPTY && best->len == 0)) {
            *best = part;
        }
        if (judged == JUDGED_GOOD) {
            return true;
        }
    }
    return false;
}

static struct span find_object(const struct answer *a, struct span text,
                               const struct kind_policy *policy, int kind)
{
    struct candidates fenced = {.count = 0};
    struct candidates all = {.count = 0};
    struct span best = SPAN_NONE;
    struct span fence = last_fence(text);
    if (fence.len > 0 && collect(fence, &fenced) && choose(a, &fenced, policy, kind, &best)) {
        return best;
    }
    if (collect(text, &all)) {
        (void)choose(a, &all, policy, kind, &best);
    }
    return best;
}

static bool is_mendable(const struct answer *a, const struct kind_policy *policy, int kind)
{
    bool json = policy->shape == KIND_SHAPE_STRING || policy->shape == KIND_SHAPE_STRINGS ||
                policy->shape == KIND_SHAPE_ARRAY || policy->shape == KIND_SHAPE_JSON;
    return json && a->finish != FINISH_OTHER && a->content.len > 0 &&
           answer_judge(a, policy, kind) == JUDGED_BAD;
}

bool answer_mend(struct answer *a, const struct kind_policy *policy, int kind)
{
    struct buf text = {.max = ANSWER_MAX};
    struct span found = SPAN_NONE;
    if (!is_mendable(a, policy, kind)) {
        return false;
    }
    if (buf_append_span(&text, buf_span(&a->content)) == ERR_OK) {
        blank_thinking(&text);
        found = find_object(a, buf_span(&text), policy, kind);
    }
    if (found.len > 0) {
        memmove(a->content.data, a->content.data + (found.ptr - text.data), found.len);
        a->content.len = found.len;
    }
    buf_free(&text);
    return found.len > 0;
}
