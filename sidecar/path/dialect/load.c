/* load.c: what a chat has Ollama load its model with (see shape.h).
 *
 * Ollama loads a model again when one of six options changes, and takes how long it stays from
 * keep_alive. Only plain values are taken: anything else makes Ollama refuse the chat, so no model
 * is loaded with it, and null is the same as nothing. Each value is checked by itself, so what
 * comes out is JSON even where the chat is not.
 */
#include "lull/path/dialect/overrides.h"
#include "lull/path/json/json.h"
#include "path/dialect/dialect_priv.h"

const char *const load_options[LOAD_OPTIONS] = {"num_ctx",  "num_batch", "num_gpu",
                                                "main_gpu", "use_mmap",  "num_thread"};

static bool has_items(struct span body, struct span name)
{
    struct span list = SPAN_NONE;
    return json_member(body, name, &list) && span_starts(list, SPAN("[")) &&
           !span_starts(span_trim(span_make(list.ptr + 1, list.len - 1)), SPAN("]"));
}

static bool has_text(struct span body, struct span name)
{
    struct span text = SPAN_NONE;
    return json_member(body, name, &text) && text.len > 2 && text.ptr[0] == '"';
}

/* A request without input is Ollama's way to load or unload a model. */
static bool is_chat(struct span body, enum endpoint endpoint)
{
    return endpoint == ENDPOINT_OLLAMA_CHAT
               ? has_items(body, SPAN("messages"))
               : endpoint == ENDPOINT_OLLAMA_GENERATE &&
                     (has_text(body, SPAN("prompt")) || has_items(body, SPAN("images")));
}

static bool is_plain(struct span value)
{
    return value.len > 0 && value.ptr[0] != '{' && value.ptr[0] != '[' &&
           !span_eq(value, SPAN("null")) && json_canonical(value, NULL, 0, NULL) == JSON_OK;
}

/* Takes a member over, if the object has it. */
static enum err take(struct span object, const char *name, struct buf *out)
{
    struct span value = SPAN_NONE;
    if (!json_member(object, span_of(name), &value) || !is_plain(value)) {
        return ERR_OK;
    }
    enum err e = buf_printf(out, "%s\"%s\":", out->len > 1 ? "," : "", name);
    return e == ERR_OK ? buf_append_span(out, value) : e;
}

enum err dialect_load_of(struct span body, enum endpoint endpoint, struct buf *out)
{
    struct buf load = {.max = DIALECT_LOAD_MAX};
    struct span options = SPAN_NONE;
    if (!is_chat(body, endpoint)) {
        return ERR_NOT_FOUND;
    }
    bool some = json_member(body, SPAN("options"), &options);
    enum err e = buf_append_char(&load, '{');
    for (size_t i = 0; some && e == ERR_OK && i < LOAD_OPTIONS; i++) {
        e = take(options, load_options[i], &load);
    }
    e = e == ERR_OK ? take(body, "keep_alive", &load) : e;
    e = e == ERR_OK ? buf_append_char(&load, '}') : e;
    e = e == ERR_OK ? buf_append_span(out, buf_span(&load)) : e;
    buf_free(&load);
    return e;
}
