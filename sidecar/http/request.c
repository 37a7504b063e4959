/* request.c: the strict head parser.
 *
 * Everything that two parsers could read differently is refused, since lull and the model server
 * behind it must never disagree about where a request ends: one Host, one Content-Length of digits
 * only, Transfer-Encoding only as "chunked" and never beside a Content-Length, no line folding, no
 * blank before a colon, no bare CR or LF, no control bytes. The head is parsed when its empty line
 * is there; until then only what can already be said is checked (size, version, control bytes in
 * the first line).
 */
#include "lull/http/request.h"

#include "lull/base/ascii.h"
#include "lull/base/scan.h"

#include <stddef.h>

enum {
    MAX_LEADING_EMPTY = 2,
    LINE_MOST = HTTP_MAX_TARGET + 64, /* the request line, without its CR LF */
};

struct parser {
    char *data;
    size_t end; /* of the head, the final empty line not included */
    struct http_request *out;
    struct span authority; /* of a target in absolute form; else empty */
    bool has_host;
};

static enum http_parse parse_fails(enum http_error *error, enum http_error which)
{
    *error = which;
    return HTTP_PARSE_ERROR;
}

static enum http_method method_of(struct span name)
{
    static const struct {
        struct span name;
        enum http_method method;
    } methods[] = {{{"GET", 3}, HTTP_GET},        {{"HEAD", 4}, HTTP_HEAD},
                   {{"POST", 4}, HTTP_POST},      {{"PUT", 3}, HTTP_PUT},
                   {{"DELETE", 6}, HTTP_DELETE},  {{"PATCH", 5}, HTTP_PATCH},
                   {{"OPTIONS", 7}, HTTP_OPTIONS}};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (span_eq(name, methods[i].name)) {
            return methods[i].method;
        }
    }
    return HTTP_METHOD_OTHER;
}

static bool host_is_valid(struct span host);

/* Origin form out of the target: absolute form is reduced to its path and query. *authority: the
 * host that it names; it counts in place of the field (RFC 9112, 3.2.2), so one that the guard
 * would not let pass must not hide behind a Host that it does. */
static enum http_error reduce_target(struct span *target, enum http_method method,
                                     struct span *authority)
{
    if (target->ptr[0] == '/') {
        return HTTP_ERROR_NONE;
    }
    if (target->len == 1 && target->ptr[0] == '*') {
        return method == HTTP_OPTIONS ? HTTP_ERROR_NONE : HTTP_ERROR_BAD_REQUEST;
    }
    size_t scheme = 0;
    if (target->len > 7 && span_eq_nocase(span_make(target->ptr, 7), SPAN("http://"))) {
        scheme = 7;
    } else if (target->len > 8 && span_eq_nocase(span_make(target->ptr, 8), SPAN("https://"))) {
        scheme = 8;
    } else {
        return HTTP_ERROR_BAD_REQUEST;
    }
    size_t slash = span_find(*target, SPAN("/"), scheme);
    if (slash == SIZE_MAX || slash == scheme) {
        return HTTP_ERROR_BAD_REQUEST; /* no path, or no host */
    }
    *authority = span_make(target->ptr + scheme, slash - scheme);
    *target = span_make(target->ptr + slash, target->len - slash);
    return host_is_valid(*authority) ? HTTP_ERROR_NONE : HTTP_ERROR_BAD_REQUEST;
}

/* Merges runs of slashes in the path, in place; the query moves up. */
static void merge_slashes(char *target, size_t *len)
{
    size_t to = 0;
    bool query = false;
    while (to + 1 < *len && !(target[to] == '/' && target[to + 1] == '/')) {
        query = query || target[to] == '?';
        to++;
    }
    for (size_t from = to; from < *len; from++) {
        query = query || target[from] == '?';
        if (!query && target[from] == '/' && to > 0 && target[to - 1] == '/') {
            continue;
        }
        target[to++] = target[from];
    }
    *len = to;
}

static enum http_error check_target(struct span target)
{
    if (target.len == 0) {
        return HTTP_ERROR_BAD_REQUEST;
    }
    if (target.len > HTTP_MAX_TARGET) {
        return HTTP_ERROR_URI_TOO_LONG;
    }
    for (size_t i = 0; i < target.len; i++) {
        unsigned char c = (unsigned char)target.ptr[i];
        if (c <= 0x20 || c >= 0x7f || c == '#') {
            return HTTP_ERROR_BAD_REQUEST;
        }
    }
    return HTTP_ERROR_NONE;
}

static enum http_error parse_version(struct span version, int *minor)
{
    if (span_eq(version, SPAN("HTTP/1.1"))) {
        *minor = 1;
        return HTTP_ERROR_NONE;
    }
    if (span_eq(version, SPAN("HTTP/1.0"))) {
        *minor = 0;
        return HTTP_ERROR_NONE;
    }
    bool shaped = version.len == 8 && span_starts(version, SPAN("HTTP/")) &&
                  ascii_is_digit(version.ptr[5]) && version.ptr[6] == '.' &&
                  ascii_is_digit(version.ptr[7]);
    return shaped ? HTTP_ERROR_HTTP_VERSION : HTTP_ERROR_BAD_REQUEST;
}

static enum http_error parse_line(struct parser *p, char *line, size_t len)
{
    struct http_request *r = p->out;
    struct span all = span_make(line, len);
    size_t first = span_find(all, SPAN(" "), 0);
    if (len > LINE_MOST) {
        return HTTP_ERROR_URI_TOO_LONG;
    }
    if (first == SIZE_MAX || first == 0) {
        return HTTP_ERROR_BAD_REQUEST;
    }
    size_t last = len - 1;
    while (line[last] != ' ') {
        last--;
    }
    if (last == first) {
        return HTTP_ERROR_BAD_REQUEST;
    }
    if (scan_token(line, first) < first) {
        return HTTP_ERROR_BAD_REQUEST;
    }
    r->method_name = span_make(line, first);
    r->method = method_of(r->method_name);
    struct span target = span_make(line + first + 1, last - first - 1);
    enum http_error e = check_target(target);
    if (e == HTTP_ERROR_NONE) {
        e = parse_version(span_make(line + last + 1, len - last - 1), &r->minor);
    }
    if (e == HTTP_ERROR_NONE && span_eq(r->method_name, SPAN("CONNECT"))) {
        e = HTTP_ERROR_NOT_SUPPORTED;
    }
    if (e == HTTP_ERROR_NONE) {
        e = reduce_target(&target, r->method, &p->authority);
    }
    if (e != HTTP_ERROR_NONE) {
        return e;
    }
    char *start = line + (target.ptr - line);
    size_t size = target.len;
    merge_slashes(start, &size);
    r->target = span_make(start, size);
    size_t question = span_find(r->target, SPAN("?"), 0);
    r->path = span_make(start, question == SIZE_MAX ? size : question);
    r->query =
        question == SIZE_MAX ? SPAN("") : span_make(start + question + 1, size - question - 1);
    return HTTP_ERROR_NONE;
}

/* Letters, digits and -._~:[]%!$&'()*+,;= as one bit a byte. */
static bool host_is_valid(struct span host)
{
    static const uint64_t valid[4] = {0x2fff7ff200000000, 0x47fffffeaffffffe, 0, 0};
    for (size_t i = 0; i < host.len; i++) {
        unsigned char c = (unsigned char)host.ptr[i];
        if ((valid[c >> 6] >> (c & 63) & 1) == 0) {
            return false;
        }
    }
    return true;
}

/* Headers that decide about the framing, the host and 100-continue; and Origin, which every reply
 * asks for. */
static enum http_error read_framing(struct parser *p, struct span name, struct span value)
{
    struct http_request *r = p->out;
    switch (name.len) {
    case 4:
        if (span_eq_nocase(name, SPAN("Host"))) {
            if (p->has_host || !host_is_valid(value)) {
                return HTTP_ERROR_BAD_REQUEST;
            }
            p->has_host = true;
            r->host = value;
        }
        break;
    case 6:
        if (r->origin.ptr == NULL && span_eq_nocase(name, SPAN("Origin"))) {
            r->origin = value;
        }
        r->expect_continue = r->expect_continue || (span_eq_nocase(name, SPAN("Expect")) &&
                                                    span_eq_nocase(value, SPAN("100-continue")));
        break;
    case 10:
        if (span_eq_nocase(name, SPAN("Connection")) &&
            !http_connection_add(&r->connection, value)) {
            return HTTP_ERROR_HEADER_TOO_LARGE;
        }
        break;
    case 14:
        if (span_eq_nocase(name, SPAN("Content-Length"))) {
            if (r->content_length >= 0) {
                return HTTP_ERROR_BAD_REQUEST;
            }
            r->content_length = http_length(value);
            return r->content_length < 0 ? HTTP_ERROR_BAD_REQUEST : HTTP_ERROR_NONE;
        }
        break;
    case 17:
        if (span_eq_nocase(name, SPAN("Transfer-Encoding"))) {
            if (r->chunked) {
                return HTTP_ERROR_BAD_REQUEST;
            }
            if (!span_eq_nocase(value, SPAN("chunked"))) {
                return value.len == 0 ? HTTP_ERROR_BAD_REQUEST : HTTP_ERROR_NOT_SUPPORTED;
            }
            r->chunked = true;
        }
        break;
    default:
        break;
    }
    return HTTP_ERROR_NONE;
}

/* The field whose line begins at *at, which moves behind it. A line ends at CR LF; any other control
 * byte, CR or LF is refused. */
static enum http_error parse_field(struct parser *p, size_t *at)
{
    struct http_request *r = p->out;
    const char *line = p->data + *at;
    size_t left = p->end - *at;
    size_t colon = scan_token(line, left);
    if (colon == 0 || colon == left || line[colon] != ':') {
        return HTTP_ERROR_BAD_REQUEST; /* folding, a blank before the colon, no name */
    }
    if (r->header_count == HTTP_MAX_HEADERS) {
        return HTTP_ERROR_HEADER_TOO_LARGE;
    }
    const char *value = line + colon + 1;
    size_t size = scan_field_value(value, left - colon - 1);
    if (left - colon - 1 - size < 2 || value[size] != '\r' || value[size + 1] != '\n') {
        return HTTP_ERROR_BAD_REQUEST;
    }
    struct http_header *h = &r->headers[r->header_count++];
    h->name = span_make(line, colon);
    h->value = span_trim(span_make(value, size));
    *at += colon + 1 + size + 2;
    return read_framing(p, h->name, h->value);
}

static enum http_error finish_head(struct parser *p)
{
    struct http_request *r = p->out;
    if (!p->has_host && r->minor == 1) {
        return HTTP_ERROR_BAD_REQUEST;
    }
    if (r->chunked && (r->content_length >= 0 || r->minor == 0)) {
        return HTTP_ERROR_BAD_REQUEST;
    }
    r->host = p->authority.len > 0 ? p->authority : r->host;
    r->keep_alive = !http_connection_names(&r->connection, SPAN("close")) &&
                    (r->minor == 1 || http_connection_names(&r->connection, SPAN("keep-alive")));
    r->expect_continue = r->expect_continue && r->minor == 1;
    return HTTP_ERROR_NONE;
}

/* The whole head is there: data[start..end), end at the final empty line. */
static enum http_error parse_whole(struct parser *p, size_t start)
{
    char *line = p->data + start;
    char *lf = memchr(line, '\n', p->end - start);
    require(lf != NULL);
    if (lf == line || lf[-1] != '\r') {
        return HTTP_ERROR_BAD_REQUEST;
    }
    size_t len = (size_t)(lf - line) - 1;
    if (memchr(line, '\r', len) != NULL) {
        return HTTP_ERROR_BAD_REQUEST;
    }
    enum http_error e = parse_line(p, line, len);
    size_t at = start + len + 2;
    while (e == HTTP_ERROR_NONE && at < p->end) {
        e = parse_field(p, &at);
    }
    return e == HTTP_ERROR_NONE ? finish_head(p) : e;
}

/* Where the CR LF CR LF at the end of a head begins, at or after `from`; SIZE_MAX: not there. */
static size_t find_end(const char *data, size_t len, size_t from)
{
    static const char before[3] = {'\r', '\n', '\r'}; /* the last LF */
    size_t at = from + sizeof before;
    while (at < len) {
        const char *lf = memchr(data + at, '\n', len - at);
        if (lf == NULL) {
            return SIZE_MAX;
        }
        if (memcmp(lf - sizeof before, before, sizeof before) == 0) {
            return (size_t)(lf - data) - sizeof before;
        }
        at = (size_t)(lf - data) + 1;
    }
    return SIZE_MAX;
}

/* Whether an LF from `from` on has no CR before it. */
static bool has_bare_lf(const char *data, size_t from, size_t len)
{
    const char *end = data + len;
    for (const char *lf = memchr(data + from, '\n', len - from); lf != NULL;
         lf = memchr(lf + 1, '\n', (size_t)(end - lf) - 1)) {
        if (lf == data || lf[-1] != '\r') {
            return true;
        }
    }
    return false;
}

/* What can be said of a head that is not complete; bytes before `seen` were looked at. */
static enum http_error check_early(const char *data, size_t start, size_t seen, size_t len)
{
    size_t from = seen > start ? seen : start;
    const char *lf = memchr(data + start, '\n', len - start);
    size_t line = lf == NULL ? len - start : (size_t)(lf - data) - start;
    for (size_t i = from > start ? from - 1 : start; i < start + line; i++) {
        unsigned char c = (unsigned char)data[i];
        if ((c < 0x20 && !(c == '\r' && i + 1 >= start + line)) || c == 0x7f) {
            return HTTP_ERROR_BAD_REQUEST;
        }
    }
    if (has_bare_lf(data + start, from - start, len - start)) {
        return HTTP_ERROR_BAD_REQUEST;
    }
    if (line > LINE_MOST + 1) { /* with its CR */
        return HTTP_ERROR_URI_TOO_LONG;
    }
    return len - start >= HTTP_MAX_HEAD ? HTTP_ERROR_HEADER_TOO_LARGE : HTTP_ERROR_NONE;
}

enum http_parse http_parse_head(char *data, size_t len, size_t *scanned, struct http_request *out,
                                enum http_error *error)
{
    size_t start = 0;
    for (int i = 0; i < MAX_LEADING_EMPTY && len - start >= 2 && data[start] == '\r' &&
                    data[start + 1] == '\n';
         i++) {
        start += 2;
    }
    if (len == start || (len - start == 1 && data[start] == '\r' && start < 4)) {
        return HTTP_PARSE_MORE;
    }
    size_t from = *scanned > start + 3 ? *scanned - 3 : start;
    size_t end = find_end(data, len, from);
    if (end == SIZE_MAX) {
        enum http_error e = check_early(data, start, *scanned, len);
        *scanned = len;
        return e == HTTP_ERROR_NONE ? HTTP_PARSE_MORE : parse_fails(error, e);
    }
    if (end + 4 - start > HTTP_MAX_HEAD) {
        return parse_fails(error, HTTP_ERROR_HEADER_TOO_LARGE);
    }
    memset(out, 0, offsetof(struct http_request, headers));
    out->connection.elements = out->connection.count = 0;
    out->content_length = -1;
    out->head_len = end + 4;
    struct parser p = {.data = data, .end = end + 2, .out = out};
    enum http_error e = parse_whole(&p, start);
    return e == HTTP_ERROR_NONE ? HTTP_PARSE_OK : parse_fails(error, e);
}
