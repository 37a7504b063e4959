/* props.c: what a model server says about itself, as far as lull asks. */
#include "lull/path/dialect/props.h"

#include <cJSON.h>

static const double SLOTS_MOST = 1024;

bool dialect_is_version(struct span body)
{
    cJSON *root = body.len == 0 ? NULL : cJSON_ParseWithLength(body.ptr, body.len);
    bool is = cJSON_IsString(cJSON_GetObjectItemCaseSensitive(root, "version"));
    cJSON_Delete(root);
    return is;
}

int64_t dialect_props_slots(struct span body)
{
    cJSON *root = body.len == 0 ? NULL : cJSON_ParseWithLength(body.ptr, body.len);
    const cJSON *slots = cJSON_GetObjectItemCaseSensitive(root, "total_slots");
    bool good =
        cJSON_IsNumber(slots) && slots->valuedouble >= 1 && slots->valuedouble <= SLOTS_MOST;
    int64_t n = good ? (int64_t)slots->valuedouble : 0;
    cJSON_Delete(root);
    return n;
}
