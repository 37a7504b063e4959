/* fuzz_dialect_request.c: any bytes as a generation request. Input: one byte (endpoint), then the
 * body. What is shaped for a call stays JSON, and asks for what it was to ask for.
 * covers: path/dialect/chat_request.c
 */
#include "lull/path/dialect/chat_request.h"
#include "lull/path/json/json.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_shaped(struct span body, enum endpoint endpoint)
{
    struct buf out = {.max = SIZE_MAX};
    bool changed = false;
    if (dialect_override_model(body, endpoint, SPAN("other\"model"), true, &out, &changed) ==
        ERR_OK) {
        struct dialect_request r;
        require(json_canonical(buf_span(&out), NULL, 0, NULL) != JSON_INVALID);
        require(dialect_request_parse(buf_span(&out), endpoint, &r));
        require(span_eq(r.model, SPAN("other\"model")));
        require(!endpoint_assembles(endpoint) || r.streamed);
        dialect_request_free(&r);
    }
    buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum endpoint endpoints[] = {
        ENDPOINT_CHAT,        ENDPOINT_OLLAMA_CHAT, ENDPOINT_OLLAMA_GENERATE,
        ENDPOINT_COMPLETIONS, ENDPOINT_RESPONSES,   ENDPOINT_MESSAGES};
    struct dialect_request r;
    if (size < 1) {
        return 0;
    }
    enum endpoint endpoint = endpoints[data[0] % (sizeof endpoints / sizeof endpoints[0])];
    struct span body = span_make((const char *)data + 1, size - 1);
    bool parsed = dialect_request_parse(body, endpoint, &r);
    require(parsed || r.json.nodes == NULL);
    dialect_request_free(&r);
    if (parsed && json_canonical(body, NULL, 0, NULL) == JSON_OK) {
        check_shaped(body, endpoint);
    }
    return 0;
}
