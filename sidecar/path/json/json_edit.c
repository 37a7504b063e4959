/* json_edit.c: members and edits of JSON text that is known to be valid: it is walked by its
 * strings and brackets, and every byte that is not edited stays as it is. */
#include "lull/path/json/json.h"

#include "lull/path/json/reader.h"

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
    const char *end = text.ptr + text.len;
    return at < text.len ? (size_t)(json_blanks(text.ptr + at, end) - text.ptr) : at;
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
    struct buf decoded = {.max = raw.len};
    bool same = json_text(raw, &decoded) && span_eq(buf_span(&decoded), name);
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
