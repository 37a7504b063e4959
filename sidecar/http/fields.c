/* fields.c: how the fields of a head are read: by name, as lists, as values, as lines. */
#include "lull/http/fields.h"

#include "lull/base/ascii.h"
#include "lull/base/scan.h"

struct span http_field(const struct http_header *fields, size_t count, struct span name)
{
    for (size_t i = 0; i < count; i++) {
        if (span_eq_nocase(fields[i].name, name)) {
            return fields[i].value;
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

bool http_field_has_token(const struct http_header *fields, size_t count, struct span name,
                          struct span token)
{
    for (size_t i = 0; i < count; i++) {
        if (span_eq_nocase(fields[i].name, name) && http_list_has(fields[i].value, token)) {
            return true;
        }
    }
    return false;
}

static bool is_one_of(struct span name, const struct span *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (span_eq_nocase(name, names[i])) {
            return true;
        }
    }
    return false;
}

bool http_connection_add(struct http_connection *c, struct span list)
{
    for (struct span one; span_next(&list, ',', &one);) {
        if (c->elements++ == HTTP_MAX_CONNECTION) {
            return false;
        }
        one = span_trim(one);
        if (one.len > 0) {
            c->names[c->count++] = one;
        }
    }
    return true;
}

bool http_connection_names(const struct http_connection *c, struct span name)
{
    return is_one_of(name, c->names, c->count);
}

bool http_is_hop_by_hop(const struct http_connection *c, struct span name)
{
    static const struct span names[] = {{"Connection", 10},
                                        {"Keep-Alive", 10},
                                        {"Proxy-Connection", 16},
                                        {"Proxy-Authenticate", 18},
                                        {"Proxy-Authorization", 19},
                                        {"TE", 2},
                                        {"Trailer", 7},
                                        {"Transfer-Encoding", 17},
                                        {"Upgrade", 7},
                                        {"HTTP2-Settings", 14}};
    return is_one_of(name, names, sizeof names / sizeof names[0]) || http_connection_names(c, name);
}

bool http_is_forwarded(const struct http_connection *c, struct span name)
{
    static const struct span written_here[] = {{"Host", 4}, {"Content-Length", 14}, {"Expect", 6}};
    return !is_one_of(name, written_here, sizeof written_here / sizeof written_here[0]) &&
           !http_is_hop_by_hop(c, name);
}

/* ---- values ---- */

static bool starts_nocase(struct span s, struct span prefix)
{
    return s.len >= prefix.len && span_eq_nocase(span_make(s.ptr, prefix.len), prefix);
}

bool http_is_type(struct span content_type, struct span type)
{
    struct span s = span_trim(content_type);
    return starts_nocase(s, type) &&
           (s.len == type.len || s.ptr[type.len] == ';' || ascii_is_blank(s.ptr[type.len]));
}

static struct span without_quotes(struct span s)
{
    bool quoted = s.len >= 2 && s.ptr[0] == '"' && s.ptr[s.len - 1] == '"';
    return quoted ? span_make(s.ptr + 1, s.len - 2) : s;
}

struct span http_parameter(struct span content_type, struct span name)
{
    for (struct span part; span_next(&content_type, ';', &part);) {
        size_t equals = span_find(part, SPAN("="), 0);
        if (equals != SIZE_MAX && span_eq_nocase(span_trim(span_make(part.ptr, equals)), name)) {
            return without_quotes(
                span_trim(span_make(part.ptr + equals + 1, part.len - equals - 1)));
        }
    }
    return SPAN_NONE;
}

int64_t http_length(struct span value)
{
    enum { MOST_DIGITS = 18 };
    int64_t n = 0;
    if (value.len == 0 || value.len > MOST_DIGITS) {
        return -1;
    }
    for (size_t i = 0; i < value.len; i++) {
        if (!ascii_is_digit(value.ptr[i])) {
            return -1;
        }
        n = n * 10 + (value.ptr[i] - '0');
    }
    return n;
}

static const struct span bearer = {"Bearer ", sizeof "Bearer " - 1};

bool http_bearer(const char *key, struct buf *out)
{
    size_t before = out->len;
    if (key[0] == '\0') {
        return false;
    }
    if (buf_append_span(out, bearer) != ERR_OK || buf_append_span(out, span_of(key)) != ERR_OK) {
        out->len = before;
        return false;
    }
    return true;
}

struct span http_bearer_token(struct span authorization)
{
    return starts_nocase(authorization, bearer)
               ? span_trim(
                     span_make(authorization.ptr + bearer.len, authorization.len - bearer.len))
               : SPAN_NONE;
}

/* ---- lines ---- */

bool http_is_one_line(struct span text)
{
    for (size_t i = scan_field_value(text.ptr, text.len); i < text.len; i++) {
        if (text.ptr[i] == '\r' || text.ptr[i] == '\n' || text.ptr[i] == '\0') {
            return false;
        }
    }
    return true;
}

bool http_line_split(struct span line, struct http_header *out)
{
    size_t colon = span_find(line, SPAN(":"), 0);
    if (colon == SIZE_MAX) {
        return false;
    }
    out->name = span_trim(span_make(line.ptr, colon));
    out->value = span_trim(span_make(line.ptr + colon + 1, line.len - colon - 1));
    return true;
}

bool http_lines_next(struct span *lines, struct http_header *out)
{
    while (lines->len > 0) {
        size_t end = span_find(*lines, SPAN("\r\n"), 0);
        size_t next = end == SIZE_MAX ? lines->len : end + 2;
        struct span line = span_make(lines->ptr, end == SIZE_MAX ? lines->len : end);
        *lines = span_make(lines->ptr + next, lines->len - next);
        if (http_line_split(line, out)) {
            return true;
        }
    }
    return false;
}

struct span http_lines_field(struct span lines, struct span name)
{
    struct http_header field;
    while (http_lines_next(&lines, &field)) {
        if (span_eq_nocase(field.name, name)) {
            return field.value;
        }
    }
    return SPAN_NONE;
}

bool http_lines_add(struct buf *lines, const struct http_header *field)
{
    size_t before = lines->len;
    const struct span parts[] = {field->name, SPAN(": "), field->value, SPAN("\r\n")};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (buf_append_span(lines, parts[i]) != ERR_OK) {
            lines->len = before;
            return false;
        }
    }
    return true;
}
