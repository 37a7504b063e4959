/* fuzz_http_chunked.c: any bytes as a chunked body: the same body and the same end, however it is
 * cut.
 * covers: http/chunked.c
 */
#include "lull/http/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Decodes in pieces of `step` bytes; *used: bytes up to the end or the error. */
static enum http_chunk decode(const char *data, size_t size, size_t step, struct buf *body,
                              size_t *used)
{
    struct http_chunked c = {0};
    size_t at = 0;
    size_t reach = 0;
    enum http_chunk got = HTTP_CHUNK_MORE;
    while (reach < size) {
        reach = reach + step < size ? reach + step : size;
        do {
            size_t n = 0;
            struct span piece = SPAN_NONE;
            got = http_chunked_feed(&c, data + at, reach - at, &n, &piece);
            require(n <= reach - at);
            at += n;
            if (got == HTTP_CHUNK_DATA) {
                require(piece.len > 0 && buf_append_span(body, piece) == ERR_OK);
            }
        } while (got == HTTP_CHUNK_DATA);
        if (got != HTTP_CHUNK_MORE) {
            break;
        }
    }
    *used = at;
    return got;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct buf whole = {.max = SIZE_MAX}, cut = {.max = SIZE_MAX};
    size_t used = 0, cut_used = 0;
    enum http_chunk got = decode(text, size, size == 0 ? 1 : size, &whole, &used);
    for (size_t step = 1; step <= 7; step += 3) {
        buf_clear(&cut);
        require(decode(text, size, step, &cut, &cut_used) == got);
        require(got == HTTP_CHUNK_ERROR || cut_used == used);
        require(got == HTTP_CHUNK_ERROR || span_eq(buf_span(&cut), buf_span(&whole)));
    }
    require(whole.len <= size);
    buf_free(&whole);
    buf_free(&cut);
    return 0;
}
