/* json_members.c: what is in a document that was read: values, members by name and in order. */
#include "lull/base/utf8.h"
#include "path/json/json_priv.h"

#include <stdlib.h>

size_t json_depth(const struct json_node *node)
{
    size_t deepest = 0;
    JSON_EACH(child, node)
    {
        size_t depth = 1 + json_depth(child);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest;
}

bool json_named_decoded(const struct json_node *member, struct span name)
{
    const char *at = member->name.ptr, *end = at + member->name.len;
    size_t done = 0;
    while (at < end) {
        char utf8[4];
        const char *piece = at++;
        size_t n = 1;
        if (*piece == '\\') {
            unsigned cp = json_code_point(&at, end);
            n = cp == 0 ? 0 : utf8_encode(cp, utf8);
            piece = utf8;
        }
        if (n == 0 || n > name.len - done || memcmp(name.ptr + done, piece, n) != 0) {
            return false;
        }
        done += n;
    }
    return done == name.len;
}

const struct json_node *json_get(const struct json_node *object, struct span name)
{
    const struct json_node *found = NULL;
    if (!json_is(object, JSON_OBJECT)) {
        return NULL;
    }
    JSON_EACH(member, object)
    {
        found = json_named(member, name) ? member : found;
    }
    return found;
}

const struct json_node *json_given(const struct json_node *object, struct span name)
{
    const struct json_node *member = json_get(object, name);
    return json_is(member, JSON_NULL) ? NULL : member;
}

bool json_is_text(const struct json_node *node, struct span text)
{
    if (!json_is(node, JSON_STRING)) {
        return false;
    }
    if (!node->escaped) {
        return span_eq(span_make(node->raw.ptr + 1, node->raw.len - 2), text);
    }
    struct buf decoded = {.max = node->raw.len};
    bool same = json_text(node->raw, &decoded) && span_eq(buf_span(&decoded), text);
    buf_free(&decoded);
    return same;
}

bool json_append_text(const struct json_node *node, struct buf *out)
{
    return json_is(node, JSON_STRING) && json_text(node->raw, out);
}

struct span json_text_of(const struct json_node *node, struct buf *scratch)
{
    buf_clear(scratch);
    if (json_is(node, JSON_STRING) && !node->escaped) {
        return span_make(node->raw.ptr + 1, node->raw.len - 2);
    }
    return json_append_text(node, scratch) ? buf_span(scratch) : SPAN_NONE;
}

double json_number_of(const struct json_node *node)
{
    char text[64];
    if (!json_is(node, JSON_NUMBER)) {
        return 0;
    }
    size_t n = node->raw.len < sizeof text ? node->raw.len : sizeof text - 1;
    memcpy(text, node->raw.ptr, n);
    text[n] = '\0';
    return strtod(text, NULL);
}

static int by_name(const void *a, const void *b)
{
    struct span x = ((const struct json_sorted_member *)a)->name;
    struct span y = ((const struct json_sorted_member *)b)->name;
    size_t n = x.len < y.len ? x.len : y.len;
    int d = n == 0 ? 0 : memcmp(x.ptr, y.ptr, n);
    return d != 0 ? d : (x.len > y.len) - (x.len < y.len);
}

/* Room for the decoded names, in one piece, since the sorted members point into it. */
static bool make_room(const struct json_node *object, struct json_sorted *out)
{
    size_t names = 0;
    JSON_EACH(member, object)
    {
        out->count++;
        names += member->name_escaped ? member->name.len : 0;
    }
    out->items = out->count <= sizeof out->few / sizeof out->few[0]
                     ? out->few
                     : malloc(out->count * sizeof *out->items);
    buf_init(&out->names, names);
    return out->items != NULL && buf_reserve(&out->names, names) == ERR_OK;
}

bool json_sort(const struct json_node *object, struct json_sorted *out)
{
    out->count = 0;
    if (!make_room(object, out)) {
        return false;
    }
    size_t i = 0;
    bool sorted = true;
    JSON_EACH(member, object)
    {
        struct span name = member->name;
        size_t from = out->names.len;
        if (member->name_escaped && json_text(name, &out->names)) {
            name = span_make(out->names.data + from, out->names.len - from);
        }
        out->items[i] = (struct json_sorted_member){member, name};
        sorted = sorted && (i == 0 || by_name(&out->items[i - 1], &out->items[i]) < 0);
        i++;
    }
    if (!sorted) {
        qsort(out->items, out->count, sizeof *out->items, by_name);
    }
    return true;
}

void json_sorted_free(struct json_sorted *s)
{
    if (s->items != s->few) {
        free(s->items);
    }
    buf_free(&s->names);
}

/* Whether no name has escapes, and there are few: then each pair is compared. */
static bool has_few_plain_names(const struct json_node *object)
{
    enum { FEW = 12 };
    size_t count = 0;
    bool plain = true;
    JSON_EACH(member, object)
    {
        plain = plain && !member->name_escaped;
        count++;
    }
    return plain && count <= FEW;
}

static bool has_plain_twins(const struct json_node *object)
{
    JSON_EACH(a, object)
    {
        for (const struct json_node *b = json_after(object, a); b != NULL;
             b = json_after(object, b)) {
            if (span_eq(a->name, b->name)) {
                return true;
            }
        }
    }
    return false;
}

bool json_has_twins(const struct json_node *object)
{
    struct json_sorted members;
    if (has_few_plain_names(object)) {
        return has_plain_twins(object);
    }
    bool twins = !json_sort(object, &members); /* no memory: not known to be plain */
    for (size_t i = 1; !twins && i < members.count; i++) {
        twins = by_name(&members.items[i - 1], &members.items[i]) == 0;
    }
    json_sorted_free(&members);
    return twins;
}
