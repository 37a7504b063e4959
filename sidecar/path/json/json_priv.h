/* json_priv.h: what the files of json/ share. */
#ifndef PATH_JSON_JSON_PRIV_H
#define PATH_JSON_JSON_PRIV_H

#include "lull/path/json/json.h"
#include "lull/path/json/reader.h"

/* json_members.c: the members of an object, sorted by their decoded names. */
struct json_sorted_member {
    const struct json_node *node;
    struct span name; /* decoded */
};
struct json_sorted {
    struct json_sorted_member *items;
    size_t count;
    struct json_sorted_member few[32]; /* private, like the rest */
    struct buf names;
};
/* false: no memory. Free it in every case. */
bool json_sort(const struct json_node *object, struct json_sorted *out);
void json_sorted_free(struct json_sorted *s);

/* json_members.c: whether two members of an object have one name. */
bool json_has_twins(const struct json_node *object);

#endif
