/* fuzz_http_head.c: any bytes as a request's head. Whatever is accepted obeys the strict rules, and
 * a head that drips in byte by byte is judged as one that comes at once.
 * covers: http/request.c http/fields.c
 */
#include "lull/http/request.h"

#include <stdlib.h>

/* Behind a head that is equal but for one byte, and behind itself, it is what it is alone. */
static void check_again(const uint8_t *data, size_t size, enum http_parse alone,
                        const struct http_request *once)
{
    static struct http_request r;
    static struct http_kept_head kept;
    enum http_error error = HTTP_ERROR_NONE;
    char *place = malloc(size);
    require(place != NULL);
    for (size_t round = 0; round < 3; round++) {
        size_t scanned = 0;
        memcpy(place, data, size);
        place[data[0] % size] ^= round == 0 ? 1 : 0;
        enum http_parse got = http_parse_again(&kept, place, size, &scanned, &r, &error);
        require(round == 0 || got == alone);
        if (round > 0 && got == HTTP_PARSE_OK) {
            require(r.content_length == once->content_length && r.head_len == once->head_len);
            require(r.header_count == once->header_count && span_eq(r.target, once->target));
        }
    }
    kept.len = 0; /* `place` is gone */
    free(place);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_accepted(const struct http_request *r, size_t size)
{
    size_t hosts = 0;
    size_t lengths = 0;
    require(r->head_len <= size && r->header_count <= HTTP_MAX_HEADERS);
    require(r->path.len > 0 && r->target.len <= HTTP_MAX_TARGET);
    require(span_find(r->path, SPAN("//"), 0) == SIZE_MAX);
    for (size_t i = 0; i < r->header_count; i++) {
        struct span name = r->headers[i].name;
        struct span value = r->headers[i].value;
        require(name.len > 0);
        for (size_t b = 0; b < name.len; b++) {
            require((unsigned char)name.ptr[b] > ' ' && name.ptr[b] != ':');
        }
        for (size_t b = 0; b < value.len; b++) {
            unsigned char c = (unsigned char)value.ptr[b];
            require(c == '\t' || (c >= ' ' && c != 0x7F));
        }
        hosts += span_eq_nocase(name, SPAN("Host"));
        lengths += span_eq_nocase(name, SPAN("Content-Length"));
    }
    require(hosts == 1 || (hosts == 0 && r->minor == 0));
    require(lengths <= 1 && !(lengths == 1 && r->chunked));
    require((lengths == 1) == (r->content_length >= 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct http_request once, dripped;
    enum http_error error = HTTP_ERROR_NONE, slow_error = HTTP_ERROR_NONE;
    size_t scanned = 0, slow_scanned = 0;
    if (size == 0 || size > HTTP_MAX_HEAD + 64) {
        return 0;
    }
    char *a = malloc(size);
    char *b = malloc(size);
    require(a != NULL && b != NULL);
    memcpy(a, data, size);
    memcpy(b, data, size);
    enum http_parse got = http_parse_head(a, size, &scanned, &once, &error);
    enum http_parse slow = HTTP_PARSE_MORE;
    check_again(data, size, got, &once);
    for (size_t n = 1; n <= size && slow == HTTP_PARSE_MORE; n++) {
        slow = http_parse_head(b, n, &slow_scanned, &dripped, &slow_error);
    }
    require(got == slow);
    if (got == HTTP_PARSE_OK) {
        check_accepted(&once, size);
        require(dripped.head_len == once.head_len && span_eq(dripped.target, once.target));
        require(dripped.header_count == once.header_count);
    } else if (got == HTTP_PARSE_ERROR) {
        require(http_error_status(error) >= 400 && error != HTTP_ERROR_NONE);
    }
    free(a);
    free(b);
    return 0;
}
