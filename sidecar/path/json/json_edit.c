/* json_edit.c: edits of an object's members; every byte that is not edited stays as it is. */
#include "lull/path/json/json.h"

#include "lull/path/json/reader.h"

static const struct json_edit *edit_for(const struct json_edit *edits, size_t count,
                                        const struct json_node *member)
{
    for (size_t i = 0; i < count; i++) {
        if (json_named(member, edits[i].name)) {
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

/* The members, each from the comma before it to the comma behind it, with replaced values; a
 * removed one takes its comma along. *any: a member was copied. */
static enum err copy_members(const struct json_node *object, const struct json_edit *edits,
                             size_t count, struct buf *out, bool *any)
{
    const char *brace = object->raw.ptr + object->raw.len - 1;
    const char *from = object->raw.ptr + 1;
    enum err e = ERR_OK;
    JSON_EACH(member, object)
    {
        const struct json_edit *edit = edit_for(edits, count, member);
        const char *end = member->raw.ptr + member->raw.len;
        const char *comma = json_blanks(end, brace); /* or the brace */
        if (e == ERR_OK && (edit == NULL || edit->value.ptr != NULL)) {
            const char *stop = edit == NULL ? comma : member->raw.ptr;
            e = *any ? buf_append_char(out, ',') : ERR_OK;
            e = e == ERR_OK ? buf_append(out, from, (size_t)(stop - from)) : e;
            if (edit != NULL) {
                e = e == ERR_OK ? buf_append_span(out, edit->value) : e;
                e = e == ERR_OK ? buf_append(out, end, (size_t)(comma - end)) : e;
            }
            *any = true;
        }
        from = comma < brace ? comma + 1 : brace;
    }
    if (object->size == 1) { /* the blanks of an empty object */
        e = buf_append(out, from, (size_t)(brace - from));
    }
    return e;
}

enum err json_edit_object(const struct json_node *object, const struct json_edit *edits,
                          size_t count, struct buf *out)
{
    bool any = false;
    size_t before = out->len;
    if (!json_is(object, JSON_OBJECT)) {
        return ERR_INVALID;
    }
    enum err e = buf_append_char(out, '{');
    e = e == ERR_OK ? copy_members(object, edits, count, out, &any) : e;
    for (size_t i = 0; e == ERR_OK && i < count; i++) {
        if (edits[i].value.ptr != NULL && json_get(object, edits[i].name) == NULL) {
            e = append_new(out, &edits[i], any);
            any = true;
        }
    }
    e = e == ERR_OK ? buf_append_char(out, '}') : e;
    if (e != ERR_OK) {
        out->len = before;
    }
    return e;
}

enum err json_edit_root(struct span text, const struct json_node *root,
                        const struct json_edit *edits, size_t count, struct buf *out)
{
    size_t before = out->len, more = 0;
    size_t front = root == NULL ? 0 : (size_t)(root->raw.ptr - text.ptr);
    for (size_t i = 0; i < count; i++) {
        more += edits[i].name.len + edits[i].value.len + 4;
    }
    buf_expect(out, text.len + more);
    enum err e = buf_append(out, text.ptr, front);
    e = e == ERR_OK ? json_edit_object(root, edits, count, out) : e;
    if (e == ERR_OK) {
        size_t end = front + root->raw.len;
        e = buf_append(out, text.ptr + end, text.len - end);
    }
    if (e != ERR_OK) {
        out->len = before;
    }
    return e;
}

enum err json_edit(struct span text, const struct json_edit *edits, size_t count, struct buf *out)
{
    struct json_doc doc;
    enum err e = json_edit_root(text, json_read(text, &doc), edits, count, out);
    json_doc_free(&doc);
    return e;
}

bool json_member(struct span text, struct span name, struct span *value)
{
    struct json_doc doc;
    const struct json_node *member = json_get(json_read(text, &doc), name);
    bool found = member != NULL;
    *value = found ? member->raw : *value; /* points into text, not into the nodes */
    json_doc_free(&doc);
    return found;
}
