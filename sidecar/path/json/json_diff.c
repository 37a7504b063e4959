/* json_diff.c: how two canonical JSON texts differ.
 *
 * One walk over both texts with a cursor in each. Canonical objects have their members in the order
 * of their names, so two objects are merged like sorted lists.
 */
#include "lull/path/json/json_diff.h"

#include "lull/base/utf8.h"
#include "lull/path/json/reader.h"

#include <stdio.h>

enum { EXCERPT_BEFORE = 20 }; /* code points of an excerpt that stand before the position */

struct cursor {
    const char *at, *end;
};

struct walk {
    struct cursor mine, stored;
    size_t equal;
    struct span longest, counterpart; /* tokens */
    struct json_difference *lines;    /* NULL: they are not wanted */
    size_t count;
    char path[JSON_DIFF_PATH];
    size_t path_len;
};

static void walk_value(struct walk *w);

static bool is_at(const struct cursor *c, char want)
{
    return c->at < c->end && *c->at == want;
}

/* The value at the cursor, which moves behind it. */
static struct span take_value(struct cursor *c)
{
    size_t len = 0;
    struct span left = span_make(c->at, (size_t)(c->end - c->at));
    if (json_extent(left, JSON_PYTHON, &len) != JSON_ENDS) {
        len = left.len; /* not JSON: the rest is one value */
    }
    c->at += len;
    return span_make(left.ptr, len);
}

static bool is_string(struct span token)
{
    return token.len >= 2 && token.ptr[0] == '"';
}

/* ---- paths ---- */

static size_t path_push(struct walk *w, const char *before, struct span name, const char *after)
{
    size_t old = w->path_len;
    size_t room = sizeof w->path - 1 - old;
    size_t fits = name.len + strlen(before) + strlen(after) <= room ? name.len : 0;
    int n = fits < name.len
                ? 0
                : snprintf(w->path + old, room + 1, "%s%.*s%s",
                           old == 0 && before[0] == '.' ? "" : before, (int)fits, name.ptr, after);
    w->path_len += n > 0 ? (size_t)n : 0;
    return old;
}

static void path_pop(struct walk *w, size_t old)
{
    w->path_len = old;
    w->path[old] = '\0';
}

static size_t path_push_index(struct walk *w, size_t index)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%zu", index);
    return path_push(w, "[", span_make(text, (size_t)n), "]");
}

/* ---- differences ---- */

/* Bytes that both begin with, up to the beginning of a code point. */
static size_t common_prefix(struct span a, struct span b)
{
    size_t n = 0;
    while (n < a.len && n < b.len && a.ptr[n] == b.ptr[n]) {
        n++;
    }
    while (n > 0 &&
           ((n < a.len && utf8_continues(a.ptr[n])) || (n < b.len && utf8_continues(b.ptr[n])))) {
        n--;
    }
    return n;
}

size_t json_diff_common(struct span a, struct span b)
{
    size_t prefix = common_prefix(a, b);
    size_t n = 0;
    size_t most = (a.len < b.len ? a.len : b.len) - prefix;
    while (n < most && a.ptr[a.len - 1 - n] == b.ptr[b.len - 1 - n]) {
        n++;
    }
    return prefix + n;
}

/* The code points around byte `at` of text, terminated. */
static void copy_excerpt(struct span text, size_t at, char out[4 * JSON_DIFF_EXCERPT + 1])
{
    size_t from = at < text.len ? at : text.len;
    for (size_t i = 0; i < EXCERPT_BEFORE && from > 0; i++) {
        do {
            from--;
        } while (from > 0 && utf8_continues(text.ptr[from]));
    }
    size_t to = from;
    for (size_t i = 0; i < JSON_DIFF_EXCERPT && to < text.len; i++) {
        size_t n = utf8_length(text.ptr + to, text.len - to);
        to += n > 0 ? n : 1;
    }
    if (to > from) {
        memcpy(out, text.ptr + from, to - from);
    }
    out[to - from] = '\0';
}

static void describe(struct json_difference *line, struct span mine, struct span stored)
{
    size_t at = common_prefix(mine, stored);
    line->position = utf8_count(span_make(mine.ptr, at));
    copy_excerpt(mine, at, line->mine);
    copy_excerpt(stored, at, line->stored);
}

/* The text of a string, the token of any other value. text holds it. */
static struct span shown_value(struct span token, struct buf *text)
{
    buf_init(text, token.len);
    return is_string(token) && json_text(token, text) ? buf_span(text) : token;
}

/* A value that differs. ptr NULL: that side has none. */
static void add_difference(struct walk *w, struct span mine, struct span stored)
{
    if (w->lines != NULL && w->count < JSON_DIFF_LINES) {
        struct json_difference *line = &w->lines[w->count];
        struct buf texts[2];
        struct span a = shown_value(mine, &texts[0]);
        struct span b = shown_value(stored, &texts[1]);
        snprintf(line->path, sizeof line->path, "%s", w->path);
        line->in_mine = mine.ptr != NULL;
        line->in_stored = stored.ptr != NULL;
        describe(line, a, b);
        if (!is_string(mine) || !is_string(stored)) {
            line->position = 0;
            copy_excerpt(a, 0, line->mine);
            copy_excerpt(b, 0, line->stored);
        }
        buf_free(&texts[0]);
        buf_free(&texts[1]);
    }
    w->count++;
}

/* ---- the walk ---- */

static void walk_leaf(struct walk *w)
{
    struct span mine = take_value(&w->mine);
    struct span stored = take_value(&w->stored);
    if (is_string(mine) && mine.len > w->longest.len) {
        w->longest = mine;
        w->counterpart = stored;
    }
    if (span_eq(mine, stored)) {
        w->equal++;
    } else {
        add_difference(w, mine, stored);
    }
}

/* A value that one side has and the other has not. */
static void walk_alone(struct walk *w, bool in_mine)
{
    struct span value = take_value(in_mine ? &w->mine : &w->stored);
    if (in_mine && is_string(value) && value.len > w->longest.len) {
        w->longest = value;
        w->counterpart = SPAN_NONE;
    }
    add_difference(w, in_mine ? value : SPAN_NONE, in_mine ? SPAN_NONE : value);
}

static void skip(struct cursor *c, char what)
{
    c->at += is_at(c, what) ? 1 : 0;
}

/* The inside of the name at a cursor, which stays; ptr NULL: the object ends there. */
static struct span peek_name(const struct cursor *c)
{
    struct cursor ahead = *c;
    skip(&ahead, ',');
    struct span token = is_at(&ahead, '"') ? take_value(&ahead) : SPAN_NONE;
    return is_string(token) ? span_make(token.ptr + 1, token.len - 2) : SPAN_NONE;
}

static void skip_name(struct cursor *c, struct span name)
{
    c->at = name.ptr + name.len + 1;
    skip(c, ':');
}

/* Below 0: a's name comes first. A name that is not there comes last. */
static int name_order(struct span a, struct span b)
{
    if (a.ptr == NULL || b.ptr == NULL) {
        return a.ptr == b.ptr ? 0 : a.ptr != NULL ? -1 : 1;
    }
    int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static void walk_object(struct walk *w)
{
    skip(&w->mine, '{');
    skip(&w->stored, '{');
    for (;;) {
        struct span a = peek_name(&w->mine);
        struct span b = peek_name(&w->stored);
        int order = name_order(a, b);
        if (a.ptr == NULL && b.ptr == NULL) {
            break;
        }
        size_t old = path_push(w, ".", order <= 0 ? a : b, "");
        if (order <= 0) {
            skip_name(&w->mine, a);
        }
        if (order >= 0) {
            skip_name(&w->stored, b);
        }
        if (order == 0) {
            walk_value(w);
        } else {
            walk_alone(w, order < 0);
        }
        path_pop(w, old);
    }
    skip(&w->mine, '}');
    skip(&w->stored, '}');
}

/* Whether the array at a cursor has another element, to which the cursor moves. */
static bool has_element(struct cursor *c)
{
    skip(c, ',');
    return c->at < c->end && *c->at != ']';
}

static void walk_array(struct walk *w)
{
    skip(&w->mine, '[');
    skip(&w->stored, '[');
    for (size_t i = 0;; i++) {
        bool a = has_element(&w->mine);
        bool b = has_element(&w->stored);
        if (!a && !b) {
            break;
        }
        size_t old = path_push_index(w, i);
        if (a && b) {
            walk_value(w);
        } else {
            walk_alone(w, a);
        }
        path_pop(w, old);
    }
    skip(&w->mine, ']');
    skip(&w->stored, ']');
}

/* json_canonical() bounds the depth. */
static void walk_value(struct walk *w)
{
    if (is_at(&w->mine, '{') && is_at(&w->stored, '{')) {
        walk_object(w);
    } else if (is_at(&w->mine, '[') && is_at(&w->stored, '[')) {
        walk_array(w);
    } else {
        walk_leaf(w);
    }
}

static void walk_begin(struct walk *w, struct span mine, struct span stored)
{
    *w = (struct walk){.mine = {mine.ptr, mine.ptr + mine.len},
                       .stored = {stored.ptr, stored.ptr + stored.len}};
}

bool json_likeness_exceeds(const struct json_likeness *a, const struct json_likeness *b)
{
    return a->equal != b->equal ? a->equal > b->equal : a->common > b->common;
}

void json_diff_likeness(struct span mine, struct span stored, struct json_likeness *out)
{
    struct walk w;
    walk_begin(&w, mine, stored);
    walk_value(&w);
    out->equal = w.equal;
    out->common = json_diff_common(w.longest, w.counterpart);
}

size_t json_diff_lines(struct span mine, struct span stored,
                       struct json_difference out[JSON_DIFF_LINES])
{
    struct walk w;
    walk_begin(&w, mine, stored);
    w.lines = out;
    walk_value(&w);
    return w.count;
}

bool json_difference_of(const char *path, struct span mine, struct span stored,
                        struct json_difference *out)
{
    *out = (struct json_difference){.in_mine = true, .in_stored = true};
    snprintf(out->path, sizeof out->path, "%s", path);
    describe(out, mine, stored);
    return !span_eq(mine, stored);
}
