/* json.c: JSON that is written from a document that was read: its canonical form, and plain JSON
 * from what was read loosely.
 *
 * Both are one recursive descent over the nodes; the reader has bounded their depth.
 */
#include "lull/path/json/json.h"

#include "lull/base/utf8.h"
#include "path/json/json_priv.h"

struct writer {
    struct buf *out;
    bool sorted; /* canonical: members in order */
};

static bool write_value(const struct writer *w, const struct json_node *node,
                        const struct span *omit, size_t omit_count);

/* The escape at *at (its backslash), as briefly as can be. What has no text in UTF-8 becomes
 * U+FFFD; a backslash that begins no escape stands for itself. */
static enum err write_escape(const char **at, const char *end, struct buf *out)
{
    char utf8[4];
    const char *letter = ++*at;
    if (letter == end || (*letter != 'u' && json_escaped(*letter) == 0)) {
        return buf_append_span(out, SPAN("\\\\"));
    }
    unsigned cp = json_code_point(at, end);
    return buf_append_json(out, span_make(utf8, utf8_encode(cp == 0 ? 0xFFFD : cp, utf8)));
}

static const char *next_escape(const char *at, const char *end)
{
    const char *slash = memchr(at, '\\', (size_t)(end - at));
    return slash == NULL ? end : slash;
}

/* The next escape that the canonical form may write otherwise: all but those of one letter, without
 * the slash, which needs none. */
static const char *next_other_escape(const char *at, const char *end)
{
    const char *escape = next_escape(at, end);
    while (end - escape >= 2 && memchr("\"\\bfnrt", escape[1], 7) != NULL) {
        escape = next_escape(escape + 2, end);
    }
    return escape;
}

/* The inside of a string. canonical: of a document that is valid, whose plain text is as it is. */
static bool write_text(const struct json_node *node, bool canonical, struct buf *out)
{
    const char *at = node->raw.ptr + 1;
    const char *end = node->raw.ptr + node->raw.len - 1;
    enum err e = ERR_OK;
    while (at < end && e == ERR_OK) {
        const char *stop = canonical ? next_other_escape(at, end) : next_escape(at, end);
        struct span run = span_make(at, (size_t)(stop - at));
        e = canonical ? buf_append_span(out, run) : buf_append_json(out, run);
        at = stop;
        if (at < end && e == ERR_OK) {
            e = write_escape(&at, end, out);
        }
    }
    return e == ERR_OK;
}

static bool write_string(const struct writer *w, const struct json_node *node)
{
    bool quick = w->sorted && !node->escaped; /* valid as it is */
    return quick ? buf_append_span(w->out, node->raw) == ERR_OK
                 : buf_append_char(w->out, '"') == ERR_OK && write_text(node, w->sorted, w->out) &&
                       buf_append_char(w->out, '"') == ERR_OK;
}

static bool is_left_out(struct span name, const struct span *omit, size_t omit_count)
{
    for (size_t i = 0; i < omit_count; i++) {
        if (span_eq(name, omit[i])) {
            return true;
        }
    }
    return false;
}

static bool write_name(const struct writer *w, const struct json_node *member)
{
    struct json_node name = {.raw = span_make(member->name.ptr - 1, member->name.len + 2),
                             .escaped = member->name_escaped};
    return write_string(w, &name) && buf_append_char(w->out, ':') == ERR_OK;
}

static bool write_sorted(const struct writer *w, const struct json_node *object,
                         const struct span *omit, size_t omit_count)
{
    struct json_sorted members;
    bool good = json_sort(object, &members);
    bool any = false;
    for (size_t i = 0; good && i < members.count; i++) {
        const struct json_node *node = members.items[i].node;
        if (!is_left_out(members.items[i].name, omit, omit_count)) {
            good = (!any || buf_append_char(w->out, ',') == ERR_OK) && write_name(w, node) &&
                   write_value(w, node, NULL, 0);
            any = true;
        }
    }
    json_sorted_free(&members);
    return good;
}

static bool write_values(const struct writer *w, const struct json_node *parent)
{
    bool good = true;
    JSON_EACH(child, parent)
    {
        good = good && (child == parent + 1 || buf_append_char(w->out, ',') == ERR_OK) &&
               (parent->type == JSON_ARRAY || write_name(w, child)) &&
               write_value(w, child, NULL, 0);
    }
    return good;
}

static bool write_value(const struct writer *w, const struct json_node *node,
                        const struct span *omit, size_t omit_count)
{
    struct span raw = node->raw;
    switch (node->type) {
    case JSON_STRING:
        return write_string(w, node);
    case JSON_ARRAY:
    case JSON_OBJECT:
        return buf_append_char(w->out, raw.ptr[0]) == ERR_OK &&
               (w->sorted && node->type == JSON_OBJECT ? write_sorted(w, node, omit, omit_count)
                                                       : write_values(w, node)) &&
               buf_append_char(w->out, raw.ptr[raw.len - 1]) == ERR_OK;
    case JSON_NUMBER:
        if (raw.ptr[0] == 'N' || raw.ptr[0] == 'I' || (raw.len > 1 && raw.ptr[1] == 'I')) {
            raw = SPAN("null");
        }
        break;
    default:
        break;
    }
    return buf_append_span(w->out, raw) == ERR_OK;
}

static bool write_all(const struct json_node *node, bool sorted, const struct span *omit,
                      size_t omit_count, struct buf *out)
{
    struct writer w = {.out = out, .sorted = sorted};
    size_t before = out->len;
    bool good = write_value(&w, node, omit, omit_count);
    out->len = good ? out->len : before;
    return good;
}

bool json_append_canonical(const struct json_node *node, const struct span *omit, size_t omit_count,
                           struct buf *out)
{
    return write_all(node, true, omit, omit_count, out);
}

bool json_append_canonical_text(const struct json_node *node, struct buf *out)
{
    size_t before = out->len;
    bool good = write_text(node, true, out);
    out->len = good ? out->len : before;
    return good;
}

bool json_append_plain(const struct json_node *node, struct buf *out)
{
    return write_all(node, false, NULL, 0, out);
}

enum json_verdict json_canonical(struct span text, const struct span *omit, size_t omit_count,
                                 struct buf *out)
{
    struct json_doc doc;
    const struct json_node *root = json_read(text, &doc);
    enum json_verdict verdict = doc.verdict;
    if (verdict == JSON_OK && out != NULL && !json_append_canonical(root, omit, omit_count, out)) {
        verdict = JSON_TOO_LARGE;
    }
    json_doc_free(&doc);
    return verdict;
}
