/* tree.h: cJSON where a document is built or walked as a tree. */
#ifndef LULL_PATH_JSON_TREE_H
#define LULL_PATH_JSON_TREE_H

#include "lull/base/buf.h"

struct cJSON;

/* The one JSON document that text is; white space around it does not count. NULL when text is not
 * JSON or something follows the document: cJSON alone stops behind the first one. The caller
 * deletes it. */
struct cJSON *json_tree_parse(struct span text);

#endif
