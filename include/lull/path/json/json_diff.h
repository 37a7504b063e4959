/* json_diff.h: how two JSON documents differ, value by value.
 *
 * Both texts are canonical (json_canonical()). Members of objects are compared by name, elements of
 * arrays by index. A value that is neither an object nor an array on both sides is one value, and
 * so is a value that only one side has. Each byte is read a constant number of times.
 */
#ifndef LULL_PATH_JSON_JSON_DIFF_H
#define LULL_PATH_JSON_JSON_DIFF_H

#include "lull/base/buf.h"

enum {
    JSON_DIFF_LINES = 8,
    JSON_DIFF_EXCERPT = 60, /* code points */
    JSON_DIFF_PATH = 160,   /* bytes; a longer path is cut */
};

struct json_likeness {
    size_t equal; /* values that are equal */
    /* Bytes that the longest string of `mine` and the value in its place share at both ends. */
    size_t common;
};
/* Whether a is nearer than b: more equal values; among equals more in common. */
bool json_likeness_exceeds(const struct json_likeness *a, const struct json_likeness *b);
/* Bytes that two texts share at both ends together; those of a shared beginning are not counted
 * again at the end. */
size_t json_diff_common(struct span a, struct span b);
void json_diff_likeness(struct span mine, struct span stored, struct json_likeness *out);

struct json_difference {
    char path[JSON_DIFF_PATH]; /* "messages[0].content" */
    size_t position;           /* code points before the first difference of two strings; else 0 */
    bool in_mine, in_stored;   /* whether the side has such a value */
    /* At most JSON_DIFF_EXCERPT code points around the position: of strings their text, of other
     * values their JSON. */
    char mine[4 * JSON_DIFF_EXCERPT + 1], stored[4 * JSON_DIFF_EXCERPT + 1];
};
/* The first differences, in the order of `mine`'s canonical text. Returns how many there are; out
 * has the first JSON_DIFF_LINES of them. */
size_t json_diff_lines(struct span mine, struct span stored,
                       struct json_difference out[JSON_DIFF_LINES]);
/* The difference of two plain texts under that path; false: they are equal. */
bool json_difference_of(const char *path, struct span mine, struct span stored,
                        struct json_difference *out);

#endif
