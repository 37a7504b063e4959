/* warmup.c: see warmup.h. A cap above zero: Ollama takes 0 for "no limit". Of several caps llama.cpp
 * goes by n_predict and vLLM by max_completion_tokens: only one is left. */
#include "lull/path/dialect/warmup.h"

#include "lull/path/json/json.h"
#include "path/dialect/dialect_priv.h"

/* What would make the answer longer than its cap, or more than one. */
static const struct span longer[] = {
    {"max_completion_tokens", 21}, {"n_predict", 9}, {"n", 1}, {"best_of", 7}, {"min_tokens", 10}};
enum { LONGER = sizeof longer / sizeof longer[0], OWN = 2 };

enum err dialect_warmup_request(struct span body, enum endpoint endpoint, struct span reply,
                                struct buf *out)
{
    const struct dialect_message more = {"assistant", reply};
    struct buf list = {.max = body.len + 6 * reply.len + 64};
    struct buf options = {.max = body.len + 64};
    struct json_doc doc;
    const struct json_node *root = json_read(body, &doc);
    bool chat = endpoint == ENDPOINT_CHAT || endpoint == ENDPOINT_OLLAMA_CHAT;
    enum err e = chat && doc.verdict == JSON_OK
                     ? dialect_put_longer(json_get(root, SPAN("messages")), &more, 1, &list)
                     : ERR_CORRUPT;
    struct json_edit edits[OWN + LONGER] = {{SPAN("messages"), buf_span(&list)},
                                            {SPAN("max_tokens"), SPAN("1")}};
    for (size_t i = 0; i < LONGER; i++) {
        edits[OWN + i] = (struct json_edit){longer[i], SPAN_NONE};
    }
    if (e == ERR_OK && endpoint == ENDPOINT_OLLAMA_CHAT) {
        const struct json_edit cap = {SPAN("num_predict"), SPAN("1")};
        e = dialect_edit_given(json_get(root, SPAN("options")), &cap, 1, &options);
        edits[1] = (struct json_edit){SPAN("options"), buf_span(&options)};
    }
    e = e == ERR_OK ? json_edit_root(body, root, edits, OWN + LONGER, out) : e;
    buf_free(&list);
    buf_free(&options);
    json_doc_free(&doc);
    return e;
}
