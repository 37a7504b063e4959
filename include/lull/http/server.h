/* server.h: listeners and client connections: reads requests, hands them to a handler, writes its
 * replies. One request at a time per connection; pipelined bytes wait in the input buffer (at most
 * 48 KB, then reading stops until the reply is done).
 *
 * A request goes through: on_request (head complete) → the handler says what to do with the body
 * (http_body_hold or http_body_stream, once; without either a body is discarded) → body callbacks →
 * the handler replies, at any moment, also before the body has ended (then a small rest of the body is
 * read and dropped; for a larger one the reply's head says Connection: close, and what still comes
 * is read and dropped for up to 30 s, so that the client reads the reply).
 * The client's leaving is noticed at once while its reply is pending: reading stays armed.
 *
 * Callbacks come from the loop; http_body_* and http_reply_* never call back before they return.
 * The request, its head and its held body stay valid and in place until the reply has been handed
 * over completely (http_reply_full / _end / _cut returned) or on_gone was called.
 */
#ifndef LULL_HTTP_SERVER_H
#define LULL_HTTP_SERVER_H

#include "lull/base/budget.h"
#include "lull/base/loop.h"
#include "lull/http/request.h"

#include <sys/types.h>

struct http_server;
struct http_conn;

struct http_handler {
    /* A complete head. */
    void (*on_request)(struct http_conn *c, void *ctx);
    /* hold: the whole body is there (also called for requests without a body: http_body() is
     * empty). stream: the body has ended. Called after on_request has returned, at the earliest in
     * the same turn. Not called for discarded bodies. */
    void (*on_body_end)(struct http_conn *c, void *ctx);
    /* hold: the body grew over the maximum given or over the server's max_buffered, or there is no
     * memory for it; http_body_error() says which. Nothing is lost: the handler now calls
     * http_body_stream (what was held is delivered first) or replies. */
    void (*on_body_too_large)(struct http_conn *c, void *ctx);
    /* stream: a piece of the body, valid during the call. */
    void (*on_body)(struct http_conn *c, struct span piece, void *ctx);
    /* The connection broke or the client closed (a half-close counts) before the reply was handed
     * over completely. Last call for this request; the handler forgets c. Also called where a
     * timeout of ours (the server itself replies 408 then) or the drain deadline ended the request. */
    void (*on_gone)(struct http_conn *c, void *ctx);
    /* Unsent output fell below http_limits.low_water after http_reply_data had returned false. */
    void (*on_writable)(struct http_conn *c, void *ctx);
    /* Whether pages of that origin may read our answers. Asked for whole replies to requests with an
     * Origin: they then gain Access-Control-Allow-Origin and Vary, unless `extra` has the former.
     * May be NULL: no page may. */
    bool (*allows_origin)(const struct http_request *r, struct span origin, void *ctx);
    /* A request refused before on_request (bad head, timeout), for counting only. May be NULL. */
    void (*on_refused)(enum http_error e, void *ctx);
};

struct http_limits {
    usec_t header_timeout; /* for the whole head, from its first byte */
    usec_t body_timeout;   /* streamed body: between two pieces; held body: as a whole */
    usec_t idle_timeout;   /* between requests, from the time when the last reply has left */
    usec_t send_timeout; /* between two pieces that the client takes of whole replies, and of those
                              that were cut; 0 = none. What is passed on in pieces has none */
    size_t max_connections;
    bool
        replaces_idle; /* at max_connections, the connection that has been idle longest, a second at
                           least, is closed for a new one */
    size_t max_buffered; /* sum of all held bodies, over all connections, and of what others hold in
                            the same budget */
    size_t held_cost;    /* what a byte of a held body counts: the handler copies it; 0 = 1 */
    struct budget *memory;        /* whose max becomes max_buffered; NULL = the server's own */
    size_t high_water, low_water; /* unsent output per connection; 0 = 256 KB and 64 KB */
    bool urgent;                  /* all its connections are, see http_conn_set_urgent() */
    int64_t max_body; /* 0 = none; a larger Content-Length is answered 413 by the server, and a
                         chunked body that grows over it too (or cut, if a reply has begun) */
};

struct http_counts {
    uint64_t open, accepted, refused /* times accepting was stopped */, bad_requests;
};

/* ctx is handed to every callback. The limits are copied; http_server_set_limits replaces them for
 * what begins later. */
struct http_server *http_server_create(struct loop *loop, const struct http_limits *limits,
                                       const struct http_handler *handler, void *ctx);
void http_server_set_limits(struct http_server *s, const struct http_limits *limits);
/* Closes everything at once, without callbacks. NULL is fine. */
void http_server_destroy(struct http_server *s);

/* Addresses: "127.0.0.1:11435", "[::]:11435", "localhost:8080", "0.0.0.0:0" (any free port),
 * "unix:/path". A name is listened on at its first address of each family, where the machine has it.
 * Sockets: SO_REUSEADDR; [::] listens on IPv6 only if an IPv4 wildcard of the same
 * port is listened on already, otherwise on both. A stale socket file (connect is refused) is replaced; one
 * that answers is ERR_BUSY. mode: permission bits of a Unix socket, set between bind() and
 * listen(). On failure `why` (when given) gets one sentence that names the address. */
MUST_CHECK enum err http_server_listen(struct http_server *s, const char *address, mode_t mode,
                                       char *why, size_t why_size);
/* Takes over a bound, listening descriptor (socket activation). */
MUST_CHECK enum err http_server_adopt(struct http_server *s, int fd);
/* Closes the listener of that address text, if there is one; its Unix socket file is removed. Clients
 * that have connected by then are served. */
void http_server_unlisten(struct http_server *s, const char *address);
/* Actual "ip:port" or "unix:/path" of the i-th listener, NULL past the end. Valid until changed. */
const char *http_server_address(const struct http_server *s, size_t i);

/* Drain: stops listening, closes idle connections, and from now on every reply says Connection:
 * close. A request that has arrived and was not read is answered, on a connection that was not
 * accepted yet, too; on one that is new it may come within a second. When no connection is left,
 * done(ctx) is called from the loop (also if none was there). */
void http_server_drain(struct http_server *s, loop_fn done, void *ctx);
/* Cuts what is left: on_gone for open requests, then close. Returns how many were cut. */
size_t http_server_cut(struct http_server *s);

/* Counters since the server was created; `open` is now. */
struct http_counts http_server_counts(const struct http_server *s);

/* ---- connection ---- */

/* One pointer for the handler's use; NULL when a request begins. The server does not free it. */
void http_conn_set_data(struct http_conn *c, void *data);
void *http_conn_data(const struct http_conn *c);
/* The open request; it belongs to the connection. */
const struct http_request *http_conn_request(const struct http_conn *c);
/* Whether its listener is bound to a loopback address (false for Unix sockets, and for a wildcard
 * listener that was reached over loopback). */
bool http_conn_is_loopback(const struct http_conn *c);
int http_conn_fd(const struct http_conn *c); /* for peer credentials only */
/* A small memo of the handler's that lives as long as the connection: HTTP_CONN_MEMO bytes, zeroed
 * at accept, aligned for any type. */
enum { HTTP_CONN_MEMO = 384 };
void *http_conn_memo(struct http_conn *c);
/* A person waits for each piece of the open request's reply: until its end the connection goes before
 * those that are not urgent, where much is ready (loop_watch_set_urgent()). */
void http_conn_set_urgent(struct http_conn *c);

/* ---- body ---- */

/* Gathers the body, at most max bytes of it: then on_body_end, or on_body_too_large. */
void http_body_hold(struct http_conn *c, size_t max);
/* Inside on_body_too_large: ERR_TOO_LARGE, the body is longer than the maximum given; ERR_NOMEM,
 * max_buffered is used up, or there is no memory. */
enum err http_body_error(const struct http_conn *c);
/* Hands on the body in pieces: on_body, then on_body_end. */
void http_body_stream(struct http_conn *c);
/* The held body so far, contiguous. It belongs to the connection. */
struct span http_body(const struct http_conn *c);
/* Stops and resumes reading a streamed body (backpressure towards the client). While it is stopped
 * the client's leaving may be noticed late. */
void http_body_pause(struct http_conn *c);
void http_body_resume(struct http_conn *c);

/* ---- reply ----
 * Connection: close is added where needed, and nothing else unless said here. Header values
 * are checked for CR, LF and NUL: such a header is dropped. */

/* Whole reply at once: "HTTP/1.1 STATUS reason", Content-Type (unless empty), Content-Length,
 * `extra` (complete lines "Name: value\r\n", may be empty), body. The body is written straight from
 * the caller's memory as far as the socket takes it; only the rest is copied. HEAD: no body is
 * sent. */
void http_reply_full(struct http_conn *c, int status, struct span content_type, struct span extra,
                     struct span body);
/* lull's own error: http_error_body, X-Lull-Error, Retry-After: 1 with 503; extra as above, at most
 * 512 bytes. Closes the connection
 * after 400, 408, 413, 414, 431, 501, 505. */
void http_reply_error(struct http_conn *c, enum http_error e, enum http_form form,
                      struct span detail, struct span extra);

/* In pieces. status line and headers as given (no hop-by-hop ones, no Content-Length,
 * no Transfer-Encoding: those are made here). content_length -1: unknown: chunked on HTTP/1.1,
 * until close on 1.0. reason may be empty (the standard one is used). Replies to HEAD and with
 * status 204 and 304 carry no body; for HEAD a known content_length is still sent as a header. The
 * head leaves with the first piece, at the latest at the end of the turn. */
void http_reply_begin(struct http_conn *c, int status, struct span reason,
                      const struct http_header *headers, size_t count, int64_t content_length);
/* Sends or queues a piece, at once. false: more than high_water is waiting: stop until on_writable
 * (what was given is queued nevertheless). */
bool http_reply_data(struct http_conn *c, struct span piece);
/* The same for a piece behind which another one, or the end, follows in this turn: they leave in one call
 * and wake the client once. At the latest it leaves at the end of the turn. */
bool http_reply_soon(struct http_conn *c, struct span piece);
/* The reply is complete: the connection goes on to its next request. */
void http_reply_end(struct http_conn *c);
/* The reply broke: the connection is closed so that the client cannot take it for complete (no
 * final chunk; RST where the framing is until-close). Without a begun reply: just closes. */
void http_reply_cut(struct http_conn *c);
/* Whether http_reply_begin was called for the current request. */
bool http_reply_begun(const struct http_conn *c);
/* Status of the reply to the current request, until the next one begins; 0: there is none. */
int http_reply_status(const struct http_conn *c);

#endif
