/* fields.c: what header fields say, in requests and in answers alike. A field may stand on several
 * lines: all of them count, as if they were one list (RFC 9110, 5.3).
 */
#include "lull/http/request.h"

struct span http_header_get(const struct http_request *r, struct span name)
{
    for (size_t i = 0; i < r->header_count; i++) {
        if (span_eq_nocase(r->headers[i].name, name)) {
            return r->headers[i].value;
        }
    }
    return SPAN_NONE;
}

bool http_list_has(struct span list, struct span token)
{
    size_t at = 0;
    while (at <= list.len) {
        size_t comma = span_find(list, SPAN(","), at);
        size_t end = comma == SIZE_MAX ? list.len : comma;
        if (span_eq_nocase(span_trim(span_make(list.ptr + at, end - at)), token)) {
            return true;
        }
        at = end + 1;
    }
    return false;
}

static bool fields_have_token(const struct http_header *fields, size_t count, struct span name,
                              struct span token)
{
    for (size_t i = 0; i < count; i++) {
        if (span_eq_nocase(fields[i].name, name) && http_list_has(fields[i].value, token)) {
            return true;
        }
    }
    return false;
}

bool http_header_has_token(const struct http_request *r, struct span name, struct span token)
{
    return fields_have_token(r->headers, r->header_count, name, token);
}

static bool is_one_of(struct span name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (span_eq_nocase(name, span_of(names[i]))) {
            return true;
        }
    }
    return false;
}

bool http_is_hop_by_hop(const struct http_header *fields, size_t count, struct span name)
{
    static const char *const names[] = {"Connection",
                                        "Keep-Alive",
                                        "Proxy-Connection",
                                        "Proxy-Authenticate",
                                        "Proxy-Authorization",
                                        "TE",
                                        "Trailer",
                                        "Transfer-Encoding",
                                        "Upgrade",
                                        "HTTP2-Settings"};
    return is_one_of(name, names, sizeof names / sizeof names[0]) ||
           fields_have_token(fields, count, SPAN("Connection"), name);
}

bool http_request_passes(const struct http_request *r, struct span name)
{
    static const char *const made_anew[] = {"Host", "Content-Length", "Expect"};
    return !is_one_of(name, made_anew, sizeof made_anew / sizeof made_anew[0]) &&
           !http_is_hop_by_hop(r->headers, r->header_count, name);
}
