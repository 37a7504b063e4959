/* loads.c: see loads.h. */
#include "lull/path/server/loads.h"

void loads_note(struct server_model *m, const struct json_node *body, enum endpoint endpoint)
{
    struct buf text = {.max = DIALECT_LOAD_MAX};
    if (dialect_load_of(body, endpoint, &text) == ERR_OK) {
        buf_free(&m->loads);
        buf_move(&m->loads, &text);
    }
    buf_free(&text);
}

struct span loads_of(const struct server_model *m)
{
    return buf_span(&m->loads);
}
