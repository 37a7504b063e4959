/* fuzz_dialect_overrides.c: a task of any bytes with everything added. Input: three bytes of
 * choices, then four texts with zero bytes between: the user's own members, the model, the last
 * chat, the body. What comes out of JSON is JSON and still the request it was, and asks for that
 * model.
 * covers: path/dialect/overrides.c path/dialect/load.c path/json/json_edit.c
 */
#include "lull/base/utf8.h"
#include "lull/path/dialect/overrides.h"
#include "lull/path/json/json.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The text up to the next zero byte; the rest stays in *all. */
static struct span cut(struct span *all)
{
    size_t split = span_find(*all, SPAN("\0"), 0);
    if (split == SIZE_MAX) {
        return SPAN_NONE;
    }
    struct span first = span_make(all->ptr, split);
    *all = span_make(all->ptr + split + 1, all->len - split - 1);
    return first;
}

static bool is_good(struct span text)
{
    return json_canonical(text, NULL, 0, NULL) == JSON_OK;
}

static bool is_good_model(struct span model)
{
    struct buf name = {.max = SIZE_MAX};
    enum err e = buf_append_char(&name, '"');
    e = e == ERR_OK ? buf_append_json(&name, model) : e;
    e = e == ERR_OK ? buf_append_char(&name, '"') : e;
    bool good = e == ERR_OK && is_good(buf_span(&name));
    for (size_t i = 0, n = 0; good && i < model.len; i += n) { /* else it is repaired */
        n = utf8_length(model.ptr + i, model.len - i);
        good = n > 0;
    }
    buf_free(&name);
    return good;
}

static bool decides(const struct overrides *how, struct span member)
{
    struct span value = SPAN_NONE;
    return (how->without & ADDITION_EXTRA) == 0 &&
           json_member(span_of(how->policy->extra), member, &value);
}

/* What a task asks for in the end. A stream that may not be added stays one that was asked for. */
static bool streams(struct span body, enum endpoint endpoint, const struct overrides *how)
{
    struct dialect_request asked;
    struct span value = SPAN_NONE;
    if (!how->stream || (how->without & ADDITION_STREAM) == 0) {
        return how->stream;
    }
    if (endpoint_dialect(endpoint) == DIALECT_OLLAMA) {
        return json_member(body, SPAN("stream"), &value) && span_eq(value, SPAN("true"));
    }
    require(dialect_request_parse(body, endpoint, &asked));
    bool streamed = asked.streamed;
    dialect_request_free(&asked);
    return streamed;
}

static void check(struct span body, enum endpoint endpoint, const struct overrides *how,
                  struct span made, struct additions added)
{
    struct dialect_request r;
    bool ollama = endpoint_dialect(endpoint) == DIALECT_OLLAMA;
    require(json_canonical(made, NULL, 0, NULL) == JSON_OK);
    require(dialect_request_parse(made, endpoint, &r));
    if (how->model.len > 0 && !decides(how, SPAN("model"))) {
        require(span_eq(r.model, how->model));
    }
    if (endpoint_assembles(endpoint) && (how->stream || ollama) && !decides(how, SPAN("stream"))) {
        require(r.streamed == streams(body, endpoint, how));
    }
    require((added.sent & how->without) == 0 && (added.left & ~how->without) == 0);
    if (how->model.len == 0 && added.sent != 0) {
        require(!span_eq(made, body));
    }
    if (how->model.len == 0 && added.sent == 0 && !ollama) {
        require(span_eq(made, body));
    }
    dialect_request_free(&r);
}

static struct kind_policy policy_of(unsigned a, unsigned b)
{
    static const char *const members[] = {"title", "", "a\"\n"};
    return (struct kind_policy){
        .json_schema = (a & 16) != 0,
        .num_ctx = (a & 32) != 0 ? MATCH_CHAT : MATCH_AS_ASKED,
        .keep_alive = (a & 64) != 0 ? MATCH_CHAT : MATCH_AS_ASKED,
        .think = (enum think_rule)(b & 3),
        .max_tokens = (b & 4) != 0 ? 64 : UNSET,
        .temperature = (b & 8) != 0 ? (char *)(uintptr_t) "0.10" : NULL,
        .id_slot = (b & 16) != 0 ? 2 : UNSET,
        .shape = (enum kind_shape)((b >> 5) % 6),
        .shape_member = (char *)(uintptr_t)members[(b & 15) % 3],
    };
}

/* The same comes out where the body has been read before. */
static void check_read(struct span body, enum endpoint endpoint, const struct overrides *given,
                       enum err want, struct span text)
{
    struct json_doc doc;
    struct buf out = {.max = SIZE_MAX};
    struct additions added;
    struct overrides how = *given;
    how.root = json_read(body, &doc);
    enum err e = dialect_override(body, endpoint, &how, &out, &added);
    require(e == want && span_eq(buf_span(&out), text));
    buf_free(&out);
    json_doc_free(&doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum endpoint endpoints[] = {ENDPOINT_CHAT, ENDPOINT_OLLAMA_CHAT,
                                              ENDPOINT_OLLAMA_GENERATE, ENDPOINT_RESPONSES};
    if (size < 3) {
        return 0;
    }
    enum endpoint endpoint = endpoints[data[0] & 3];
    struct kind_policy policy = policy_of(data[1], data[2]);
    struct overrides how = {.policy = &policy,
                            .sort = (enum server_sort)(data[0] >> 2 & 3),
                            .stream = (data[0] & 16) != 0,
                            .without = (data[1] & 1) != 0 ? 0 : data[2] | (data[0] & 0xE0U),
                            .schema = (data[1] & 2) != 0};
    struct span all = span_make((const char *)data + 3, size - 3);
    struct span extra = cut(&all);
    how.model = cut(&all);
    struct span chat = cut(&all);
    struct buf load = {.max = SIZE_MAX};
    struct buf out = {.max = SIZE_MAX};
    struct additions added = {0};
    struct json_doc doc;
    if (dialect_load_of(json_read(chat, &doc), ENDPOINT_OLLAMA_CHAT, &load) == ERR_OK) {
        require(load.len <= DIALECT_LOAD_MAX && is_good(buf_span(&load)));
        how.load = buf_span(&load);
    }
    json_doc_free(&doc);
    policy.extra = mem_strndup(extra.ptr == NULL ? "" : extra.ptr, extra.len);
    enum err e = dialect_override(all, endpoint, &how, &out, &added);
    check_read(all, endpoint, &how, e, buf_span(&out));
    bool good = is_good(all) && (extra.len == 0 || is_good(extra)) && is_good_model(how.model);
    require(e == ERR_OK || (out.len == 0 && added.sent == 0));
    if (good) {
        require((e == ERR_OK) == span_starts(span_trim(all), SPAN("{")));
    }
    if (good && e == ERR_OK) {
        check(all, endpoint, &how, buf_span(&out), added);
    }
    free(policy.extra);
    buf_free(&load);
    buf_free(&out);
    return 0;
}
