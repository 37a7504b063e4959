/* props.c: what a model server says about itself, as far as lull asks. */
#include "lull/path/dialect/props.h"

#include "lull/path/json/json.h"

static const double SLOTS_MOST = 1024;
static const double CONTEXT_MOST = 1 << 30;

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

int64_t dialect_props_context(struct span body)
{
    struct json_doc doc;
    const struct json_node *root = json_read(body, &doc);
    const struct json_node *defaults = json_get(root, SPAN("default_generation_settings"));
    double context = json_number_of(json_get(defaults, SPAN("n_ctx")));
    json_doc_free(&doc);
    return context >= 1 && context <= CONTEXT_MOST ? (int64_t)context : 0;
}
