/* fuzz_dialect_convert.c: a request of any bytes put into the other dialect. Input: one byte
 * (endpoint), the body. What comes out is a request of the other dialect with the same messages
 * that converts back, and is the same from then on; the normalized form is canonical; any
 * bytes as an error.
 * covers: path/dialect/convert.c path/dialect/convert_messages.c path/dialect/convert_ollama.c path/dialect/convert_openai.c path/dialect/errors.c
 */
#include "lull/path/dialect/convert.h"
#include "lull/path/json/json.h"

#include <cJSON.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Role and text of every message, developers as what Ollama calls them. */
static bool note(void *ctx, struct span role, struct span text)
{
    struct buf *all = ctx;
    role = span_eq(role, SPAN("developer")) ? SPAN("system") : role;
    require(buf_append_span(all, role) == ERR_OK);
    require(buf_append_char(all, '\0') == ERR_OK);
    require(buf_append_span(all, text) == ERR_OK);
    require(buf_append_char(all, '\0') == ERR_OK);
    return true;
}

static void check_same(struct span body, enum endpoint from, struct span made, enum endpoint to)
{
    struct dialect_request a;
    struct dialect_request b;
    struct buf a_texts = {.max = SIZE_MAX};
    struct buf b_texts = {.max = SIZE_MAX};
    require(dialect_request_parse(body, from, &a));
    require(dialect_request_parse(made, to, &b));
    require(a.message_count == b.message_count && b.has_input && !b.streamed);
    require(!b.has_tools && !b.plain_only);
    require(span_eq(a.model, b.model) && span_eq(a.last_text, b.last_text));
    require(span_eq(a.system, b.system) && span_eq(a.first_user, b.first_user));
    dialect_request_walk(&a, note, &a_texts);
    dialect_request_walk(&b, note, &b_texts);
    require(from == ENDPOINT_OLLAMA_GENERATE || span_eq(buf_span(&a_texts), buf_span(&b_texts)));
    buf_free(&a_texts);
    buf_free(&b_texts);
    dialect_request_free(&a);
    dialect_request_free(&b);
}

/* What both dialects have by one name, Ollama among its options, has its value in both; a schema that
 * is asked for is strict. */
static void check_samplers(struct span body, enum endpoint from, struct span made)
{
    static const char *const names[] = {
        "temperature",       "top_p",         "top_k", "min_p", "seed", "presence_penalty",
        "frequency_penalty", "repeat_penalty"};
    cJSON *a = cJSON_ParseWithLength(body.ptr, body.len);
    cJSON *b = cJSON_ParseWithLength(made.ptr, made.len);
    bool openai = from == ENDPOINT_CHAT;
    const cJSON *left = openai ? a : cJSON_GetObjectItemCaseSensitive(a, "options");
    const cJSON *right = openai ? cJSON_GetObjectItemCaseSensitive(b, "options") : b;
    for (size_t i = 0; a != NULL && i < sizeof names / sizeof names[0]; i++) {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(left, names[i]);
        const cJSON *same = cJSON_GetObjectItemCaseSensitive(right, names[i]);
        require(!cJSON_IsNumber(value) ||
                (cJSON_IsNumber(same) && same->valuedouble == value->valuedouble));
    }
    const cJSON *format = cJSON_GetObjectItemCaseSensitive(b, "response_format");
    const cJSON *schema = cJSON_GetObjectItemCaseSensitive(format, "json_schema");
    require(openai || schema == NULL ||
            cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(schema, "strict")));
    cJSON_Delete(a);
    cJSON_Delete(b);
}

/* made crosses back; the way there and back again changes nothing more. */
static void check_return(struct span made, enum endpoint from, enum endpoint to)
{
    struct buf back = {.max = SIZE_MAX};
    struct buf again = {.max = SIZE_MAX};
    struct buf back_again = {.max = SIZE_MAX};
    const char *what = NULL;
    enum endpoint home = from == ENDPOINT_CHAT ? ENDPOINT_CHAT : ENDPOINT_OLLAMA_CHAT;
    enum err e = dialect_convert_request(made, to, home, &back, &what);
    /* a schema lies deeper in the other dialect: the limit may be met on the way back only */
    bool deep = e == ERR_NOT_FOUND && span_eq(span_of(what), SPAN("JSON that is nested too deep"));
    require(e == ERR_OK || deep);
    if (e == ERR_OK) {
        check_same(made, to, buf_span(&back), home);
        require(dialect_convert_request(buf_span(&back), home, to, &again, NULL) == ERR_OK);
        require(dialect_convert_request(buf_span(&again), to, home, &back_again, NULL) == ERR_OK);
        require(span_eq(buf_span(&back), buf_span(&back_again)));
    }
    buf_free(&back);
    buf_free(&again);
    buf_free(&back_again);
}

/* The normalized form is canonical, and of an OpenAI body the same again. */
static void check_normalized(struct span body, enum endpoint from, bool converts)
{
    struct buf once = {.max = SIZE_MAX};
    struct buf twice = {.max = SIZE_MAX};
    struct dialect_request r;
    bool converted = false;
    if (!dialect_request_parse(body, from, &r)) {
        require(!converts);
        return;
    }
    enum err e = dialect_normalize(&r, &once, &converted);
    require((e == ERR_OK) == (json_canonical(body, NULL, 0, NULL) == JSON_OK));
    require(converted || !converts || r.model.len == 0); /* without a name it stays in its form */
    dialect_request_free(&r);
    if (e == ERR_OK) {
        require(json_canonical(buf_span(&once), NULL, 0, &twice) == JSON_OK);
        require(span_eq(buf_span(&once), buf_span(&twice)));
    }
    if (converted && from == ENDPOINT_CHAT) {
        buf_clear(&twice);
        require(dialect_request_parse(buf_span(&once), from, &r));
        require(dialect_normalize(&r, &twice, &converted) == ERR_OK && converted);
        require(span_eq(buf_span(&once), buf_span(&twice)));
        dialect_request_free(&r);
    }
    buf_free(&once);
    buf_free(&twice);
}

static void check_error(struct span body)
{
    struct buf openai = {.max = SIZE_MAX};
    struct buf ollama = {.max = SIZE_MAX};
    struct buf again = {.max = SIZE_MAX};
    bool good = dialect_convert_error(body, 400, DIALECT_OPENAI, &openai);
    require(good == dialect_convert_error(body, 400, DIALECT_OLLAMA, &ollama));
    if (good) {
        require(json_canonical(buf_span(&openai), NULL, 0, NULL) == JSON_OK);
        require(json_canonical(buf_span(&ollama), NULL, 0, NULL) == JSON_OK);
        require(dialect_convert_error(buf_span(&ollama), 400, DIALECT_OPENAI, &again));
        require(span_eq(buf_span(&again), buf_span(&openai)));
    }
    buf_free(&openai);
    buf_free(&ollama);
    buf_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum endpoint endpoints[] = {ENDPOINT_CHAT, ENDPOINT_OLLAMA_CHAT,
                                              ENDPOINT_OLLAMA_GENERATE};
    if (size < 1) {
        return 0;
    }
    enum endpoint from = endpoints[data[0] % (sizeof endpoints / sizeof endpoints[0])];
    enum endpoint to = from == ENDPOINT_CHAT ? ENDPOINT_OLLAMA_CHAT : ENDPOINT_CHAT;
    struct span body = span_make((const char *)data + 1, size - 1);
    struct buf out = {.max = SIZE_MAX};
    const char *what = NULL;
    enum err e = dialect_convert_request(body, from, to, &out, &what);
    require((e == ERR_NOT_FOUND) == (what != NULL));
    require(e == ERR_OK || out.len == 0);
    if (e == ERR_OK) {
        require(json_canonical(buf_span(&out), NULL, 0, NULL) == JSON_OK);
        check_same(body, from, buf_span(&out), to);
        check_samplers(body, from, buf_span(&out));
        check_return(buf_span(&out), from, to);
    }
    check_normalized(body, from, e == ERR_OK);
    check_error(body);
    buf_free(&out);
    return 0;
}
