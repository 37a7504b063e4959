/* fuzz_dialect_assembler.c: any bytes as a model server's answer. Input: one byte (dialect and
 * content type), then the body. However the body is cut, and whether each event is read as JSON or
 * compared with the one before, the answer is the same; and it is never whole where the transport was
 * not.
 * covers: path/dialect/assemble.c path/dialect/events.c path/dialect/repeat.c
 */
#include "lull/path/dialect/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* step 0: line by line, and no event is compared with the one before. */
static enum assembled assemble(struct assembler *a, uint8_t flags, struct span body, size_t step,
                               bool whole)
{
    static const char *const types[] = {"text/event-stream", "application/x-ndjson",
                                        "application/json; charset=utf-8", ""};
    static const enum endpoint endpoints[] = {ENDPOINT_CHAT, ENDPOINT_OLLAMA_CHAT,
                                              ENDPOINT_OLLAMA_GENERATE, ENDPOINT_CHAT};
    assembler_init(a, endpoints[flags & 3], span_of(types[flags >> 2 & 3]));
    for (size_t at = 0, n = 0; at < body.len; at += n) {
        const char *lf = memchr(body.ptr + at, '\n', body.len - at);
        size_t line = lf == NULL ? body.len - at : (size_t)(lf - body.ptr) + 1 - at;
        n = step == 0 ? line : body.len - at < step ? body.len - at : step;
        assembler_feed(a, span_make(body.ptr + at, n));
        if (step == 0) {
            buf_clear(&a->form.json);
        }
    }
    return assembler_finish(a, whole);
}

/* What is stored of a text has U+FFFD for each byte that is not UTF-8. */
static bool is_stored_as(const struct buf *text, const struct buf *back)
{
    struct buf mine = {.max = SIZE_MAX}, stored = {.max = SIZE_MAX};
    require(buf_append_json(&mine, buf_span(text)) == ERR_OK);
    require(buf_append_json(&stored, buf_span(back)) == ERR_OK);
    bool same = span_eq(buf_span(&mine), buf_span(&stored));
    buf_free(&mine);
    buf_free(&stored);
    return same;
}

static void check_answer(const struct answer *a)
{
    struct buf bytes = {.max = SIZE_MAX};
    struct answer back;
    require(answer_encode(a, &bytes) == ERR_OK);
    require(answer_decode(buf_span(&bytes), &back) == ERR_OK);
    require(is_stored_as(&a->content, &back.content));
    require(is_stored_as(&a->thinking, &back.thinking));
    require(back.finish == a->finish && back.tokens_out == a->tokens_out);
    answer_free(&back);
    buf_free(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct assembler whole, cut;
    if (size < 1) {
        return 0;
    }
    struct span body = span_make((const char *)data + 1, size - 1);
    enum assembled got = assemble(&whole, data[0], body, body.len + 1, true);
    for (size_t step = 1; step <= 9; step += 4) {
        require(assemble(&cut, data[0], body, step, true) == got);
        if (got == ASSEMBLED_WHOLE) {
            require(span_eq(buf_span(&cut.answer.content), buf_span(&whole.answer.content)));
            require(cut.answer.finish == whole.answer.finish);
        }
        assembler_free(&cut);
    }
    require(assemble(&cut, data[0], body, 0, true) == got && cut.odd == whole.odd);
    require(span_eq(buf_span(&cut.answer.content), buf_span(&whole.answer.content)));
    require(span_eq(buf_span(&cut.answer.thinking), buf_span(&whole.answer.thinking)));
    assembler_free(&cut);
    require(assemble(&cut, data[0], body, 5, false) != ASSEMBLED_WHOLE);
    assembler_free(&cut);
    if (got == ASSEMBLED_WHOLE) {
        check_answer(&whole.answer);
    } else if (got == ASSEMBLED_ERROR) {
        require(whole.error_status >= 400 && whole.error_status < 600 && whole.error.len > 0);
    }
    assembler_free(&whole);
    return 0;
}
