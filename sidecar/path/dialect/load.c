/* load.c: what a chat has Ollama load its model with (see overrides.h).
 *
 * Ollama loads a model again when one of six options changes, and takes how long it stays from
 * keep_alive. Only plain values are taken: anything else makes Ollama refuse the chat, so no model
 * is loaded with it, and null is the same as nothing. Each value is checked by itself, so what
 * comes out is JSON even where the chat is not.
 */
#include "lull/path/dialect/overrides.h"
#include "lull/path/json/json.h"
#include "path/dialect/dialect_priv.h"

const struct span load_options[LOAD_OPTIONS] = {{"num_ctx", 7},  {"num_batch", 9},
                                                {"num_gpu", 7},  {"main_gpu", 8},
                                                {"use_mmap", 8}, {"num_thread", 10}};

/* A request without input is Ollama's way to load or unload a model. */
static bool is_chat(const struct json_node *body, enum endpoint endpoint)
{
    const struct json_node *prompt = json_get(body, SPAN("prompt"));
    return endpoint == ENDPOINT_OLLAMA_CHAT
               ? json_has_items(json_get(body, SPAN("messages")))
               : endpoint == ENDPOINT_OLLAMA_GENERATE &&
                     ((json_is(prompt, JSON_STRING) && !json_is_text(prompt, SPAN(""))) ||
                      json_has_items(json_get(body, SPAN("images"))));
}

/* Appends a member of the object, if it has a plain value. */
static enum err append_plain(const struct json_node *object, struct span name, struct buf *out)
{
    const struct json_node *value = json_given(object, name);
    struct json_doc doc;
    if (value == NULL || value->type == JSON_ARRAY || value->type == JSON_OBJECT) {
        return ERR_OK;
    }
    bool good = json_read(value->raw, &doc) != NULL && doc.verdict == JSON_OK;
    json_doc_free(&doc);
    if (!good) {
        return ERR_OK;
    }
    enum err e = buf_printf(out, "%s\"%.*s\":", out->len > 1 ? "," : "", (int)name.len, name.ptr);
    return e == ERR_OK ? buf_append_span(out, value->raw) : e;
}

enum err dialect_load_of(const struct json_node *body, enum endpoint endpoint, struct buf *out)
{
    struct buf load = {.max = DIALECT_LOAD_MAX};
    const struct json_node *options = json_get(body, SPAN("options"));
    enum err e = is_chat(body, endpoint) ? buf_append_char(&load, '{') : ERR_NOT_FOUND;
    for (size_t i = 0; e == ERR_OK && i < LOAD_OPTIONS; i++) {
        e = append_plain(options, load_options[i], &load);
    }
    e = e == ERR_OK ? append_plain(body, SPAN("keep_alive"), &load) : e;
    e = e == ERR_OK ? buf_append_char(&load, '}') : e;
    e = e == ERR_OK ? buf_append_span(out, buf_span(&load)) : e;
    buf_free(&load);
    return e;
}
