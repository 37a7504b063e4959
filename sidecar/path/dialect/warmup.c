/* warmup.c: see warmup.h. A cap above zero: Ollama takes 0 for "no limit". */
#include "lull/path/dialect/warmup.h"

#include "lull/path/json/json.h"
#include "path/dialect/dialect_priv.h"

/* The messages with one more. */
static enum err put_longer(const struct json_node *messages, struct span reply, struct buf *out)
{
    if (!json_is(messages, JSON_ARRAY) || json_first(messages) == NULL) {
        return ERR_CORRUPT;
    }
    struct span inside = span_trim(span_make(messages->raw.ptr + 1, messages->raw.len - 2));
    enum err e = buf_append_char(out, '[');
    e = e == ERR_OK ? buf_append_span(out, inside) : e;
    e = e == ERR_OK ? buf_append_span(out, SPAN(",{\"role\":\"assistant\",\"content\":")) : e;
    e = e == ERR_OK ? buf_append_json_string(out, reply) : e;
    return e == ERR_OK ? buf_append_span(out, SPAN("}]")) : e;
}

enum err dialect_warmup_request(struct span body, enum endpoint endpoint, struct span reply,
                                struct buf *out)
{
    struct buf list = {.max = body.len + 6 * reply.len + 64};
    struct buf options = {.max = body.len + 64};
    struct json_doc doc;
    const struct json_node *root = json_read(body, &doc);
    bool chat = endpoint == ENDPOINT_CHAT || endpoint == ENDPOINT_OLLAMA_CHAT;
    enum err e = chat && doc.verdict == JSON_OK
                     ? put_longer(json_get(root, SPAN("messages")), reply, &list)
                     : ERR_CORRUPT;
    struct json_edit edits[] = {{SPAN("messages"), buf_span(&list)},
                                {SPAN("max_tokens"), SPAN("1")}};
    if (e == ERR_OK && endpoint == ENDPOINT_OLLAMA_CHAT) {
        const struct json_edit cap = {SPAN("num_predict"), SPAN("1")};
        e = dialect_edit_given(json_get(root, SPAN("options")), &cap, 1, &options);
        edits[1] = (struct json_edit){SPAN("options"), buf_span(&options)};
    }
    e = e == ERR_OK ? json_edit_root(body, root, edits, 2, out) : e;
    buf_free(&list);
    buf_free(&options);
    json_doc_free(&doc);
    return e;
}
