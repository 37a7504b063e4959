/* fuzz_dialect_warmup.c: a chat of any bytes brought back. Input: one byte (endpoint), the reply, a
 * zero byte, the body. What comes out is JSON whose last message is the reply, with a cap of one
 * token; and any bytes as the body of /props.
 * covers: path/dialect/warmup.c path/dialect/props.c
 */
#include "lull/path/dialect/props.h"
#include "lull/path/dialect/warmup.h"
#include "lull/path/json/json.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct count {
    size_t messages, last;
};

static bool note(void *ctx, struct span role, struct span text)
{
    struct count *c = ctx;
    c->messages++;
    c->last = span_eq(role, SPAN("assistant")) ? text.len : SIZE_MAX;
    return true;
}

static struct count walk(struct span body, enum endpoint endpoint)
{
    struct dialect_request r;
    struct count c = {0, SIZE_MAX};
    if (dialect_request_parse(body, endpoint, &r)) {
        dialect_request_walk(&r, note, &c);
    }
    dialect_request_free(&r);
    return c;
}

static void check(struct span body, enum endpoint endpoint, struct span reply, struct span made)
{
    struct count before = walk(body, endpoint);
    struct count after = walk(made, endpoint);
    struct span cap = SPAN_NONE;
    struct span options = SPAN_NONE;
    require(json_canonical(made, NULL, 0, NULL) != JSON_INVALID);
    if (before.messages > 0) {
        require(after.messages == before.messages + 1);
        require(after.last != SIZE_MAX && (after.last > 0 || reply.len == 0));
    }
    if (endpoint == ENDPOINT_CHAT) {
        require(json_member(made, SPAN("max_tokens"), &cap));
    } else {
        require(json_member(made, SPAN("options"), &options));
        require(json_member(options, SPAN("num_predict"), &cap));
    }
    require(span_eq(cap, SPAN("1")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum endpoint endpoints[] = {ENDPOINT_CHAT, ENDPOINT_OLLAMA_CHAT,
                                              ENDPOINT_OLLAMA_GENERATE};
    if (size < 1) {
        return 0;
    }
    enum endpoint endpoint = endpoints[data[0] % (sizeof endpoints / sizeof endpoints[0])];
    struct span all = span_make((const char *)data + 1, size - 1);
    size_t split = span_find(all, SPAN("\0"), 0);
    struct span reply = split == SIZE_MAX ? SPAN_NONE : span_make(all.ptr, split);
    struct span body =
        split == SIZE_MAX ? all : span_make(all.ptr + split + 1, all.len - split - 1);
    struct buf out = {.max = SIZE_MAX};
    if (dialect_warmup_request(body, endpoint, reply, &out) == ERR_OK) {
        check(body, endpoint, reply, buf_span(&out));
    }
    buf_free(&out);
    int64_t slots = dialect_props_slots(body);
    require(slots >= 0 && slots <= 1024);
    return 0;
}
