/* fields.h: the fields of a head, of requests and answers: found by name, read, and what becomes of
 * them at a hop. Names and tokens count in any case. Pure functions; spans point into the fields.
 */
#ifndef LULL_HTTP_FIELDS_H
#define LULL_HTTP_FIELDS_H

#include "lull/base/buf.h"

struct http_header {
    struct span name, value; /* value without surrounding blanks */
};

/* Value of the first field of that name: SPAN_NONE (ptr NULL) when absent, ptr not NULL when
 * present and empty. */
struct span http_field(const struct http_header *fields, size_t count, struct span name);
/* Whether one of the fields of that name, a comma-separated list, holds the token. */
bool http_field_has_token(const struct http_header *fields, size_t count, struct span name,
                          struct span token);
/* Whether a comma-separated list holds the token; parameters are not split off. */
bool http_list_has(struct span list, struct span token);

/* What the Connection lines of a message name. Each of its fields is compared with each name, so they
 * have few elements, empty ones too. */
enum { HTTP_MAX_CONNECTION = 64 };
struct http_connection {
    size_t elements, count;
    struct span names[HTTP_MAX_CONNECTION];
};
/* Adds what a Connection line names, to a zeroed struct at first. false: there are too many; what was
 * taken stays. */
bool http_connection_add(struct http_connection *c, struct span list);
/* Whether a line names it. */
bool http_connection_names(const struct http_connection *c, struct span name);

/* Whether the field is hop-by-hop in its message: Connection and what any of its
 * lines names, Keep-Alive, Proxy-Connection, Proxy-Authenticate, Proxy-Authorization, TE, Trailer,
 * Transfer-Encoding, Upgrade, HTTP2-Settings. For requests and answers. */
bool http_is_hop_by_hop(const struct http_connection *c, struct span name);
/* Whether a client's field goes on to the model server: neither hop-by-hop nor one that is written
 * for each connection (Host, Content-Length, Expect). */
bool http_is_forwarded(const struct http_connection *c, struct span name);

/* ---- values ---- */

/* Whether a Content-Type is of that media type ("text/html"); its parameters do not count. */
bool http_is_type(struct span content_type, struct span type);
/* The value of a parameter of a Content-Type, without quotes; SPAN_NONE: it has none of that name. */
struct span http_parameter(struct span content_type, struct span name);
/* The number of a Content-Length: 1 to 18 digits and nothing else; -1: it is none. */
int64_t http_length(struct span value);
/* Appends "Bearer KEY", the Authorization of a model server's key. false: the key is empty, or out
 * has no room for it. */
bool http_bearer(const char *key, struct buf *out);
/* The token of an Authorization "Bearer TOKEN"; SPAN_NONE: it is of another form. */
struct span http_bearer_token(struct span authorization);

/* ---- lines ---- */

/* Whether the text can stand in a line of a head: no CR, LF or NUL. */
bool http_is_one_line(struct span text);
/* Splits a line "Name: value"; the value loses its blanks. false: it has no colon. */
bool http_line_split(struct span line, struct http_header *out);
/* Takes the first of the lines "Name: value\r\n" off. false: none is left. A line without a colon
 * is skipped. */
bool http_lines_next(struct span *lines, struct http_header *out);
/* Value of the first of the lines with that name, as http_field(). */
struct span http_lines_field(struct span lines, struct span name);
/* Appends "Name: value\r\n". false: no room; nothing was added. */
bool http_lines_add(struct buf *lines, const struct http_header *field);

#endif
