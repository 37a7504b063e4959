/* heads.c: what http/request.h makes of requests, for differential.py. Reads from standard input
 * pieces, each a length (4 bytes, the first byte the highest) and so many bytes of one connection;
 * writes one line for each: every request that is read from it, as
 *
 *   METHOD TARGET-IN-HEX MINOR FIELDS BODY-LENGTH BODY-CHECKSUM
 *
 * separated by " ; ", and at the end "more", "end" or "error STATUS".
 */
#include "lull/http/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { INPUT_MAX = 1 << 20 };

/* FNV-1a, which the JavaScript side computes as well. */
static void checksum(uint32_t *sum, struct span piece)
{
    for (size_t i = 0; i < piece.len; i++) {
        *sum = (*sum ^ (unsigned char)piece.ptr[i]) * 16777619U;
    }
}

/* Reads the body behind a head: bytes used, or SIZE_MAX: not whole, with *broken where it never can
 * be. */
static size_t read_body(const struct http_request *r, const char *data, size_t len, uint32_t *sum,
                        uint64_t *body_len, bool *broken)
{
    struct http_chunked chunked = {.lenient = false};
    size_t at = 0;
    if (!r->chunked) {
        size_t want = r->content_length > 0 ? (size_t)r->content_length : 0;
        if (want > len) {
            return SIZE_MAX;
        }
        checksum(sum, span_make(data, want));
        *body_len = want;
        return want;
    }
    for (;;) {
        size_t used = 0;
        struct span piece = SPAN_NONE;
        enum http_chunk got = http_chunked_feed(&chunked, data + at, len - at, &used, &piece);
        at += used;
        if (got == HTTP_CHUNK_DATA) {
            checksum(sum, piece);
            *body_len += piece.len;
        } else if (got == HTTP_CHUNK_END) {
            return at;
        } else {
            *broken = got == HTTP_CHUNK_ERROR;
            return SIZE_MAX;
        }
    }
}

static void print_request(const struct http_request *r, uint64_t body_len, uint32_t sum)
{
    printf("%.*s ", (int)r->method_name.len, r->method_name.ptr);
    for (size_t i = 0; i < r->target.len; i++) {
        printf("%02x", (unsigned char)r->target.ptr[i]);
    }
    printf(" %d %zu %" PRIu64 " %" PRIu32 " ; ", r->minor, r->header_count, body_len, sum);
}

static void read_connection(char *data, size_t len)
{
    static struct http_request r;
    enum http_error error = HTTP_ERROR_NONE;
    while (len > 0) {
        size_t scanned = 0;
        uint32_t sum = 2166136261U;
        uint64_t body_len = 0;
        bool broken = false;
        enum http_parse got = http_parse_head(data, len, &scanned, &r, &error);
        if (got != HTTP_PARSE_OK) {
            if (got == HTTP_PARSE_MORE) {
                puts("more");
            } else {
                printf("error %d\n", http_error_status(error));
            }
            return;
        }
        size_t used = read_body(&r, data + r.head_len, len - r.head_len, &sum, &body_len, &broken);
        if (used == SIZE_MAX) {
            puts(broken ? "error 400" : "more");
            return;
        }
        print_request(&r, body_len, sum);
        data += r.head_len + used;
        len -= r.head_len + used;
        if (!r.keep_alive) {
            puts("end");
            return;
        }
    }
    puts("end");
}

int main(void)
{
    unsigned char length[4];
    char *data = malloc(INPUT_MAX);
    require(data != NULL);
    while (fread(length, 1, sizeof length, stdin) == sizeof length) {
        size_t len = (size_t)length[0] << 24 | (size_t)length[1] << 16 | (size_t)length[2] << 8 |
                     (size_t)length[3];
        require(len <= INPUT_MAX && fread(data, 1, len, stdin) == len);
        read_connection(data, len);
    }
    free(data);
    return 0;
}
