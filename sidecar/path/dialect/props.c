/* props.c: what a model server says about itself, as far as lull asks. */
#include "lull/path/dialect/props.h"

#include "lull/path/json/json.h"

static const double SLOTS_MOST = 1024;

bool dialect_is_version(struct span body)
{
    struct json_doc doc;
    bool is = json_is(json_get(json_read(body, &doc), SPAN("version")), JSON_STRING);
    json_doc_free(&doc);
    return is;
}

int64_t dialect_props_slots(struct span body)
{
    struct json_doc doc;
    double slots = json_number_of(json_get(json_read(body, &doc), SPAN("total_slots")));
    json_doc_free(&doc);
    return slots >= 1 && slots <= SLOTS_MOST ? (int64_t)slots : 0;
}
