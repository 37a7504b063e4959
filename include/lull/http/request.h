/* request.h: the strict HTTP/1.x request parser. Requests only, from one complete head in memory;
 * everything ambiguous is refused (rules: RFC 9112; the limits are below). Used by the port and by
 * the control socket. No I/O, no allocation.
 */
#ifndef LULL_HTTP_REQUEST_H
#define LULL_HTTP_REQUEST_H

#include "lull/http/fields.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    HTTP_MAX_HEAD = 32 * 1024,
    HTTP_MAX_HEADERS = 100,
    HTTP_MAX_TARGET = 8 * 1024,
};

enum http_error {
    HTTP_ERROR_NONE = 0,
#define HTTP_ERROR(id, status, name, type, message) HTTP_ERROR_##id,
#include "lull/http/errors.def"
#undef HTTP_ERROR
    HTTP_ERROR_COUNT
};
/* Row of errors.def: status code, X-Lull-Error name. Static text. */
int http_error_status(enum http_error e);
const char *http_error_name(enum http_error e);

enum http_form { HTTP_FORM_OPENAI, HTTP_FORM_OLLAMA };
/* Appends the JSON body of an error: {"error":{"message","type","code"}} or {"error":"..."}.
 * detail: appended to the message after ": " when not empty (its first 256 bytes, escaped here). out
 * must have room for 2 KB. */
void http_error_body(enum http_error e, enum http_form form, struct span detail, struct buf *out);

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_POST,
    HTTP_PUT,
    HTTP_DELETE,
    HTTP_PATCH,
    HTTP_OPTIONS,
    HTTP_METHOD_OTHER, /* any other token; CONNECT is refused */
};

/* A parsed head. All spans point into the parsed bytes. */
struct http_request {
    enum http_method method;
    struct span method_name;
    struct span target; /* origin form: path and query. Absolute form is reduced to it; runs of
                           slashes in the path are merged (in place) */
    struct span path;   /* target up to '?' */
    struct span query;  /* after '?', without it; empty when there is none */
    struct span host;   /* of a target in absolute form, else the value of Host; empty on HTTP/1.0
                           without one */
    struct span origin; /* value of the first Origin; ptr NULL: there is none */
    int minor;          /* 0 or 1 */
    bool keep_alive;
    bool expect_continue;
    bool chunked;
    int64_t content_length; /* -1: no Content-Length. A request with neither has no body */
    size_t head_len;        /* bytes of the head, final empty line included */
    uint64_t
        same; /* requests with equal numbers differ in nothing but content_length; 0: unknown */
    size_t header_count;
    struct http_header headers[HTTP_MAX_HEADERS]; /* in order, names as sent */
    struct http_connection connection;
};

enum http_parse {
    HTTP_PARSE_OK,
    HTTP_PARSE_MORE,  /* not complete yet */
    HTTP_PARSE_ERROR, /* *error says which */
};

/* Parses one head. data may be changed (merged slashes); the bytes after the head are not touched.
 * Empty lines before the request line are skipped (counted in head_len), at most two. `scanned`
 * (in, out; start with 0) remembers how far earlier calls looked, so that a head that arrives in many
 * pieces is not scanned again from its beginning. A head that cannot become valid any more (too large, bad
 * version, control bytes in the request line) is refused as early as it is seen. */
enum http_parse http_parse_head(char *data, size_t len, size_t *scanned, struct http_request *out,
                                enum http_error *error);

/* The head that a request was parsed from. */
struct http_kept_head {
    size_t len;                   /* 0: none */
    size_t number_at, number_len; /* the value of Content-Length */
    char bytes[1024];
};

/* The same for heads that come one after the other to one place, `data`, and are parsed into one
 * request: one that is equal to the head before it, but for the digits of Content-Length, is only
 * compared with it. k: zeroed at first; k->len = 0 once the request was changed. A
 * request that is not HTTP_PARSE_OK has no path and no headers. */
enum http_parse http_parse_again(struct http_kept_head *k, char *data, size_t len, size_t *scanned,
                                 struct http_request *r, enum http_error *error);

/* http_field(), http_field_has_token() and http_is_forwarded() of the request's fields. */
static inline struct span http_header_get(const struct http_request *r, struct span name)
{
    return http_field(r->headers, r->header_count, name);
}

static inline bool http_header_has_token(const struct http_request *r, struct span name,
                                         struct span token)
{
    return http_field_has_token(r->headers, r->header_count, name, token);
}

static inline bool http_request_forwards(const struct http_request *r, struct span name)
{
    return http_is_forwarded(&r->connection, name);
}

/* Chunked bodies. Start with a zeroed struct. */
struct http_chunked {
    bool lenient;  /* for answers: a bare LF ends a line, and whatever follows a size is skipped */
    int state;     /* private */
    uint64_t left; /* private: data bytes left in this chunk */
    size_t line_len; /* private: length of the size line or of all trailers so far */
};
enum http_chunk { HTTP_CHUNK_MORE, HTTP_CHUNK_DATA, HTTP_CHUNK_END, HTTP_CHUNK_ERROR };
/* Looks at data[0..len): *used bytes are done with; on HTTP_CHUNK_DATA *body is a piece of the body
 * (inside data, part of the used bytes); on HTTP_CHUNK_END the body is complete. Sizes are 1-16 hex
 * digits (below 2^62), extensions are skipped up to 1 KB a line, CRLF must follow the data,
 * trailers are read and dropped up to 8 KB. */
enum http_chunk http_chunked_feed(struct http_chunked *c, const char *data, size_t len,
                                  size_t *used, struct span *body);

#endif
