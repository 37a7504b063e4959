/* fuzz_dialect_answer.c: any bytes as a stored answer: decoded or refused, and what is decoded can
 * be rendered as one JSON object of every dialect.
 * covers: path/dialect/render.c
 */
#include "lull/path/dialect/answer.h"
#include "lull/path/json/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum endpoint endpoints[] = {ENDPOINT_CHAT, ENDPOINT_OLLAMA_CHAT,
                                              ENDPOINT_OLLAMA_GENERATE};
    struct answer a;
    if (answer_decode(span_make((const char *)data, size), &a) != ERR_OK) {
        return 0;
    }
    for (size_t i = 0; i < sizeof endpoints / sizeof endpoints[0]; i++) {
        struct buf out = {.max = SIZE_MAX};
        require(answer_render(&a, endpoints[i], SPAN("m\"\\"), (wall_t){1700000000000000}, 7,
                              &out) == ERR_OK);
        require(json_canonical(buf_span(&out), NULL, 0, NULL) != JSON_INVALID);
        buf_free(&out);
    }
    answer_free(&a);
    return 0;
}
