/* warmup.c: see rewarm.h. A cap above zero: Ollama takes 0 for "no limit" (model-servers.md §1). */
#include "lull/path/dialect/warmup.h"

#include "lull/path/json/json.h"

/* The messages with one more. */
static enum err longer(struct span messages, struct span reply, struct buf *out)
{
    struct span all = span_trim(messages);
    if (all.len < 2 || all.ptr[0] != '[' || all.ptr[all.len - 1] != ']') {
        return ERR_CORRUPT;
    }
    struct span inside = span_trim(span_make(all.ptr + 1, all.len - 2));
    if (inside.len == 0) {
        return ERR_CORRUPT;
    }
    enum err e = buf_append_char(out, '[');
    e = e == ERR_OK ? buf_append_span(out, inside) : e;
    e = e == ERR_OK ? buf_append_span(out, SPAN(",{\"role\":\"assistant\",\"content\":\"")) : e;
    e = e == ERR_OK ? buf_append_json(out, reply) : e;
    return e == ERR_OK ? buf_append_span(out, SPAN("\"}]")) : e;
}

static enum err capped_options(struct span body, struct buf *out)
{
    struct span old = SPAN_NONE;
    const struct json_edit edit = {SPAN("num_predict"), SPAN("1")};
    bool object = json_member(body, SPAN("options"), &old) && old.len > 0 && old.ptr[0] == '{';
    return json_edit(object ? old : SPAN("{}"), &edit, 1, out);
}

enum err dialect_warmup_request(struct span body, enum endpoint endpoint, struct span reply,
                                struct buf *out)
{
    struct span messages = SPAN_NONE;
    struct buf list = {.max = body.len + 6 * reply.len + 64};
    struct buf options = {.max = body.len + 64};
    struct json_edit edits[2];
    enum err e = ERR_CORRUPT;
    struct buf scratch = {.max = 2 * body.len + 64};
    bool chat = endpoint == ENDPOINT_CHAT || endpoint == ENDPOINT_OLLAMA_CHAT;
    if (chat && json_canonical(body, NULL, 0, &scratch) == JSON_OK &&
        json_member(body, SPAN("messages"), &messages)) {
        e = longer(messages, reply, &list);
    }
    buf_free(&scratch);
    edits[0] = (struct json_edit){SPAN("messages"), buf_span(&list)};
    edits[1] = (struct json_edit){SPAN("max_tokens"), SPAN("1")};
    if (e == ERR_OK && endpoint == ENDPOINT_OLLAMA_CHAT) {
        e = capped_options(body, &options);
        edits[1] = (struct json_edit){SPAN("options"), buf_span(&options)};
    }
    e = e == ERR_OK ? json_edit(body, edits, 2, out) : e;
    buf_free(&list);
    buf_free(&options);
    return e;
}
