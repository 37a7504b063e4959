/* json.h: a strict JSON scanner of our own, beside cJSON, for the three things a DOM cannot give:
 * one canonical text per document (level-2 keys), a verdict on documents that parsers read
 * differently (they bypass the cache), and edits that leave every other byte as the client wrote
 * it.
 */
#ifndef LULL_PATH_JSON_JSON_H
#define LULL_PATH_JSON_JSON_H

#include "lull/base/buf.h"

enum json_verdict {
    JSON_OK,
    JSON_AMBIGUOUS, /* well-formed, but parsers differ: \u0000, numbers over 2^53 or not finite,
                       duplicate keys in one object, lone surrogates, invalid UTF-8, depth over 512
                     */
    JSON_INVALID,   /* not one JSON document (trailing garbage included); out is unchanged */
    JSON_TOO_LARGE, /* out is full */
};

/* Scans text; with out not NULL appends its canonical form: no white space, members of every object
 * sorted by their decoded name (bytewise), strings with the shortest escapes in raw UTF-8, numbers
 * as their token. Two documents get the same text only if every parser reads them equal; member
 * order, white space and escapes do not matter. 1 and 1.0 differ. Top-level members named in omit
 * are left out (omit may be NULL). On JSON_AMBIGUOUS out is unspecified beyond its old length. */
enum json_verdict json_canonical(struct span text, const struct span *omit, size_t omit_count,
                                 struct buf *out);

/* Raw text of the value of a top-level member (the last one of that name, as Python and Go read);
 * false when text is not an object or has no such member. text must be valid JSON. */
bool json_member(struct span text, struct span name, struct span *value);

/* Raw text of the next value in an array or object, in the order of the text, which is that of
 * cJSON's children; *at is 0 before the first. false: no more. text must be valid JSON. */
bool json_next(struct span text, size_t *at, struct span *value);

/* One change of a top-level member: value is raw JSON put in place of the old value, or appended as
 * a new last member; value.ptr NULL removes the member. */
struct json_edit {
    struct span name;
    struct span value;
};
/* Appends text with the edits made and every other byte kept. ERR_INVALID when text is not an
 * object. */
MUST_CHECK enum err json_edit(struct span text, const struct json_edit *edits, size_t count,
                              struct buf *out);

#endif
