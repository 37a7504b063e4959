/* kept_head.c: a client repeats its head: only the digits of Content-Length differ from request to
 * request. Such a head is compared with the one that was parsed before it, and not parsed: the
 * spans of that request point to the same places. The parser is a function of the bytes alone, and
 * digits in place of as many digits change nothing but the number.
 */
#include "lull/http/request.h"

static uint64_t serial;

/* Content-Length of a head of equal bytes but for these digits; -1: not digits only. */
static int64_t number_in(const struct http_kept_head *k, const char *data)
{
    return http_length(span_make(data + k->number_at, k->number_len));
}

static bool is_equal(const struct http_kept_head *k, const char *data, size_t len)
{
    size_t behind = k->number_at + k->number_len;
    return k->len > 0 && len >= k->len && memcmp(k->bytes, data, k->number_at) == 0 &&
           memcmp(k->bytes + behind, data + behind, k->len - behind) == 0;
}

/* A head whose target was changed in place is not what it was parsed from. */
static void keep(struct http_kept_head *k, const char *data, struct http_request *r)
{
    if (memcmp(k->bytes, data, r->head_len) != 0) {
        return;
    }
    struct span number = http_header_get(r, SPAN("Content-Length"));
    k->len = r->head_len;
    k->number_at = number.ptr == NULL ? r->head_len : (size_t)(number.ptr - data);
    k->number_len = number.len;
    r->same = ++serial;
}

enum http_parse http_parse_again(struct http_kept_head *k, char *data, size_t len, size_t *scanned,
                                 struct http_request *r, enum http_error *error)
{
    if (is_equal(k, data, len)) {
        int64_t number = k->number_len > 0 ? number_in(k, data) : -1;
        if (number >= 0 || k->number_len == 0) {
            r->content_length = number;
            return HTTP_PARSE_OK;
        }
    }
    size_t most = len < sizeof k->bytes ? len : sizeof k->bytes;
    memcpy(k->bytes, data, most);
    k->len = 0;
    r->path = SPAN_NONE;
    r->header_count = 0;
    r->origin = SPAN_NONE;
    enum http_parse got = http_parse_head(data, len, scanned, r, error);
    if (got == HTTP_PARSE_OK && r->head_len <= most) {
        keep(k, data, r);
    }
    return got;
}
