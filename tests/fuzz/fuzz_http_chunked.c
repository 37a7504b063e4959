/* fuzz_http_chunked.c: any bytes as a chunked body: the same body and the same end, however it is
 * cut, and those that a reader of whole lines finds, which is written after RFC 9112, 7.1.
 * covers: http/chunked.c
 */
#include "lull/http/request.h"

#include <stdlib.h>
#include <string.h>

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

/* The next line, without its CRLF, of visible characters, blanks and tabs, of ASCII alone or not. */
static bool line(struct span text, size_t *at, bool ascii, struct span *out)
{
    size_t end = span_find(text, SPAN("\r\n"), *at);
    if (end == SIZE_MAX) {
        return false;
    }
    *out = span_make(text.ptr + *at, end - *at);
    *at = end + 2;
    for (size_t i = 0; i < out->len; i++) {
        unsigned char c = (unsigned char)out->ptr[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f || (ascii && c >= 0x80)) {
            return false;
        }
    }
    return true;
}

static bool is_trailer(struct span field)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789"
                                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t colon = span_find(field, SPAN(":"), 0);
    bool good = colon != SIZE_MAX && colon > 0;
    for (size_t i = 0; good && i < colon; i++) {
        good = field.ptr[i] != '\0' && strchr(token, field.ptr[i]) != NULL;
    }
    return good;
}

/* Whether the text begins with a whole body; *end: behind it. */
static bool read_lines(struct span text, struct buf *body, size_t *end)
{
    static const char hex[] = "0123456789abcdefABCDEF";
    struct span s;
    *end = 0;
    for (size_t size = 1; size > 0;) {
        char digits[20] = "";
        if (!line(text, end, true, &s)) {
            return false;
        }
        size_t n = 0;
        while (n < s.len && n < 17 && s.ptr[n] != '\0' && strchr(hex, s.ptr[n]) != NULL) {
            digits[n] = s.ptr[n];
            n++;
        }
        if (n == 0 || n > 16 || (n < s.len && s.ptr[n] != ';')) {
            return false;
        }
        size = strtoull(digits, NULL, 16);
        if (size > 0 && (size > text.len - *end || text.len - *end - size < 2 ||
                         memcmp(text.ptr + *end + size, "\r\n", 2) != 0)) {
            return false;
        }
        require(buf_append(body, text.ptr + *end, size) == ERR_OK);
        *end += size > 0 ? size + 2 : 0;
    }
    bool good = line(text, end, false, &s);
    while (good && s.len > 0) {
        good = is_trailer(s) && line(text, end, false, &s);
    }
    return good;
}

/* Within the bounds of extensions and trailers, which a short text does not reach, the two agree. */
static void check_lines(struct span text, enum http_chunk got, const struct buf *body, size_t used)
{
    struct buf plain = {.max = SIZE_MAX};
    size_t end = 0;
    bool whole = read_lines(text, &plain, &end);
    require(got != HTTP_CHUNK_END || whole);
    require(!whole || got == HTTP_CHUNK_END || text.len > 1000);
    require(got != HTTP_CHUNK_END || (used == end && span_eq(buf_span(&plain), buf_span(body))));
    buf_free(&plain);
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
    check_lines(span_make(text, size), got, &whole, used);
    buf_free(&whole);
    buf_free(&cut);
    return 0;
}
