/* tree.c: see tree.h. */
#include "lull/path/json/tree.h"

#include <cJSON.h>

cJSON *json_tree_parse(struct span text)
{
    const char *end = NULL;
    cJSON *root = cJSON_ParseWithLengthOpts(text.ptr, text.len, &end, false);
    size_t used = root == NULL ? 0 : (size_t)(end - text.ptr);
    if (root != NULL && span_trim(span_make(text.ptr + used, text.len - used)).len != 0) {
        cJSON_Delete(root);
        root = NULL;
    }
    return root;
}
