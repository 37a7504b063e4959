/* json.h: a JSON document that is read once. The nodes of a struct json_doc say where every value
 * stands in the text, what it is and what is in it; looking up members, canonical text (keys),
 * edits that leave every other byte alone and conversions all work on the nodes and never read the
 * text again. The text is borrowed: it must stay as it is until json_doc_free().
 */
#ifndef LULL_PATH_JSON_JSON_H
#define LULL_PATH_JSON_JSON_H

#include "lull/base/buf.h"

#include <stdint.h>

enum json_type {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

/* One value. The values in an array or object follow it in the order of the text. */
struct json_node {
    struct span raw;  /* as written; strings with their quotes */
    struct span name; /* of a member: its name as written, without the quotes */
    uint32_t size;    /* nodes of this value, itself included */
    enum json_type type;
    bool escaped; /* a string with a backslash in it */
    bool name_escaped;
};

enum json_verdict {
    JSON_OK,
    JSON_AMBIGUOUS, /* well-formed, but parsers differ: \u0000, numbers of 2^53 and more or not
                       finite, one name twice in an object, half of a surrogate pair, invalid UTF-8,
                       depth over 512 */
    JSON_INVALID,   /* not one document of RFC 8259 */
    JSON_TOO_LARGE, /* no memory, or the buffer to write to is full */
};

struct json_doc {
    struct json_node *nodes; /* nodes[0] is the root */
    uint32_t count;          /* 0: no value could be read */
    uint32_t room;           /* private */
    bool whole;              /* nothing but white space follows the root */
    enum json_verdict verdict;
};

/* Reads text. It is read loosely, as reader.h's JSON_LOOSE says, so that a document of which a
 * server or a client makes something has nodes here too; the verdict is strict. Returns the root,
 * which the doc owns; NULL: no value stands at the beginning of text. doc is overwritten; free it
 * in every case. */
const struct json_node *json_read(struct span text, struct json_doc *doc);
void json_doc_free(struct json_doc *doc); /* zeroed struct is fine */
/* What the nodes take. */
static inline size_t json_doc_bytes(const struct json_doc *doc)
{
    return (size_t)doc->count * sizeof *doc->nodes;
}
/* Bytes that this process has read so: tests count how often a body or an answer is read. */
uint64_t json_bytes_read(void);

/* The first value in an array or object, and the one behind `child`; NULL: there is none. parent
 * may be NULL. */
static inline const struct json_node *json_first(const struct json_node *parent)
{
    return parent != NULL && parent->size > 1 ? parent + 1 : NULL;
}

static inline const struct json_node *json_after(const struct json_node *parent,
                                                 const struct json_node *child)
{
    const struct json_node *next = child + child->size;
    return next < parent + parent->size ? next : NULL;
}

#define JSON_EACH(child, parent)                                                                   \
    for (const struct json_node *child = json_first(parent); child != NULL;                        \
         child = json_after((parent), child))

/* How many arrays and objects are inside of one another below it: 0 for a value without others. */
size_t json_depth(const struct json_node *node);
/* A reader may refuse a value that stands inside of that many. */
enum { JSON_SAFE_DEPTH = 512 };

/* The member of an object (the last one of that name, as Python and Go read); NULL: none, or it is
 * no object, or NULL. */
const struct json_node *json_get(const struct json_node *object, struct span name);
/* The same, but a member that is null counts as none. */
const struct json_node *json_given(const struct json_node *object, struct span name);
/* Whether a member's name, which has escapes, is that. */
bool json_named_decoded(const struct json_node *member, struct span name);

/* Whether a member has that name, decoded: "mo\u0064el" is "model". */
static inline bool json_named(const struct json_node *member, struct span name)
{
    return member->name_escaped ? json_named_decoded(member, name) : span_eq(member->name, name);
}

/* The type of a node; false for NULL. */
static inline bool json_is(const struct json_node *node, enum json_type type)
{
    return node != NULL && node->type == type;
}

/* Whether it is an array with at least one value in it. */
static inline bool json_has_items(const struct json_node *node)
{
    return json_is(node, JSON_ARRAY) && json_first(node) != NULL;
}

/* Whether it is a string of that text. */
bool json_is_text(const struct json_node *node, struct span text);
/* Appends a string's text, decoded. false, and out is unchanged: it is no string, has no text in
 * UTF-8 (half of a surrogate pair, U+0000), or out is full. */
bool json_append_text(const struct json_node *node, struct buf *out);
/* A string's text: where it has no escapes as it stands in the document, else decoded into scratch
 * (cleared first). SPAN_NONE: as above. */
struct span json_text_of(const struct json_node *node, struct buf *scratch);
/* The value of a number; 0 for anything else. */
double json_number_of(const struct json_node *node);

/* Appends the canonical form: no white space, members of every object sorted by their decoded name
 * (bytewise), strings with the shortest escapes in raw UTF-8, numbers as written. Two values get
 * the same text only if every parser reads them equal; member order, white space and escapes do not
 * matter. 1 and 1.0 differ. Members of the root named in omit are left out (omit may be NULL). The
 * node's document must have the verdict JSON_OK. false: out is full, and unchanged. */
bool json_append_canonical(const struct json_node *node, const struct span *omit, size_t omit_count,
                           struct buf *out);
/* The same for the inside of a string node, without quotes. */
bool json_append_canonical_text(const struct json_node *node, struct buf *out);
/* Appends a value that was read loosely as JSON that every parser takes: no white space, members in
 * their order, NaN and infinities as null, strings repaired. false: out is full, and unchanged. */
bool json_append_plain(const struct json_node *node, struct buf *out);

/* Reads text and appends its canonical form; out may be NULL for the verdict alone. out is
 * unchanged unless the verdict is JSON_OK. */
enum json_verdict json_canonical(struct span text, const struct span *omit, size_t omit_count,
                                 struct buf *out);

/* Reads text and gives the raw value of a member of its root. */
bool json_member(struct span text, struct span name, struct span *value);

/* One change of a member: value is raw JSON put in place of the old value, or appended as a new
 * last member; value.ptr NULL removes the member. No name stands twice among edits. */
struct json_edit {
    struct span name;
    struct span value;
};
/* Appends an object's text with the edits made and every other byte kept. ERR_INVALID when it is no
 * object (NULL too). */
MUST_CHECK enum err json_edit_object(const struct json_node *object, const struct json_edit *edits,
                                     size_t count, struct buf *out);
/* The same of a document's root: appends all of text, also what stands around the root. */
MUST_CHECK enum err json_edit_root(struct span text, const struct json_node *root,
                                   const struct json_edit *edits, size_t count, struct buf *out);
/* Reads text and does that. */
MUST_CHECK enum err json_edit(struct span text, const struct json_edit *edits, size_t count,
                              struct buf *out);

#endif
