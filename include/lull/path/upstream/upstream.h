/* upstream.h: HTTP calls to model servers (libcurl multi on our loop). Used by flights (tasks) and
 * by the relay (everything else). Tests replace this contract by a scripted model.
 *
 * Connections are reused, and only while younger than the upstream's `keepalive` in idle time, and
 * never once bytes came on them that no request asked for, nor behind an answer of status 400 or
 * more. Where a reused connection turns out dead before one byte of an answer came, or what comes
 * cannot be the answer (it begins before the request has left, it is not HTTP, it is a 408), the
 * request is sent again on a fresh one. After a refused or timed-out connect to a remembered address
 * the name is resolved again and tried once more. Nothing is ever taken from the environment (proxies). TLS verification is always on.
 */
#ifndef LULL_PATH_UPSTREAM_UPSTREAM_H
#define LULL_PATH_UPSTREAM_UPSTREAM_H

#include "lull/base/loop.h"
#include "lull/config/settings.h"
#include "lull/http/request.h"

struct upstream_pool;
struct upstream_call;

enum upstream_result {
    UPSTREAM_DONE,        /* a whole answer, as far as the transport can tell */
    UPSTREAM_UNREACHABLE, /* not connected: refused, name not found, connect_timeout, TLS refused */
    UPSTREAM_BROKE,       /* the connection broke before the answer was whole */
};

struct upstream_report {
    enum upstream_result result;
    const char *why;      /* one phrase; for logs and error messages: "connection refused" */
    bool got_head;        /* on_head was called */
    bool no_memory;       /* BROKE, but not by the server: lull had none, or no descriptor */
    bool close_delimited; /* only the close says where the answer ends: it may be cut */
};

struct upstream_request {
    const struct upstream_settings *to; /* the caller keeps it alive until the end of the call */
    struct span method;
    struct span target; /* path and query; the upstream's base path is put in front of it */
    const struct http_header *headers; /* sent in this order after Host; no hop-by-hop ones, no
                                          Host, no Content-Length. Copied */
    size_t header_count;
    bool task; /* the headers of task_header are sent too, in place of others of those names */
    struct span body;       /* held body: borrowed until the end of the call */
    bool chunked;           /* that body goes in chunks all the same */
    bool stream_body;       /* instead: the body comes through upstream_body_write */
    int64_t content_length; /* of a streamed body; -1: chunked */
    bool no_body;           /* neither: send no Content-Length at all */
    bool urgent;            /* a person waits for each piece: see loop_watch_set_urgent() */
    bool apart;             /* on a connection that no other request uses, before or after */
    bool decode; /* ask for no Content-Encoding (headers must not have Accept-Encoding), and decode
                    the answer where it has one all the same; at most 16 MB of it */
};

/* All callbacks come from the loop, never from inside a function of this header. on_head is called
 * once, for the final head (not for 1xx). After on_done, or after upstream_abort, nothing comes. */
struct upstream_events {
    /* headers: as received, in order, hop-by-hop ones removed; valid during the call.
     * content_length -1 when the answer is chunked or ends with the connection. */
    void (*on_head)(void *ctx, int status, struct span reason, const struct http_header *headers,
                    size_t count, int64_t content_length);
    /* A piece of the answer's body (no framing). false: give no more until upstream_resume; this
     * piece counts as taken. */
    bool (*on_data)(void *ctx, struct span piece);
    /* The queue of a streamed body has room again after upstream_body_write returned false. May be
     * NULL. */
    void (*on_body_room)(void *ctx);
    void (*on_done)(void *ctx, const struct upstream_report *report);
};

/* Opens no connection yet; the loop must outlive it. Never NULL. */
struct upstream_pool *upstream_pool_create(struct loop *loop);
/* All calls must have ended. */
void upstream_pool_destroy(struct upstream_pool *pool);

/* Begins a call. events and ctx must stay until its end. Never NULL; what goes wrong comes as
 * on_done. */
struct upstream_call *upstream_start(struct upstream_pool *pool, const struct upstream_request *req,
                                     const struct upstream_events *events, void *ctx);
/* Ends it at once, without on_done: the connection is closed, so that the server can notice. No
 * callback comes afterwards; the body is not needed any more. Allowed from inside its own
 * callbacks. */
void upstream_abort(struct upstream_call *call);

/* Inside on_done: what came does not fit the request. An answer that no request asked for looks like
 * that, and the one that was asked for may still come: no other request goes out on the connection. */
void upstream_distrust_answer(struct upstream_call *call);
/* Inside on_data: more of the answer, or its end, has come with this piece and follows in this turn. */
bool upstream_more_follows(const struct upstream_call *call);
/* Answer's backpressure: goes on after on_data returned false. */
void upstream_resume(struct upstream_call *call);
/* Streamed body: copies the piece into a queue; false: the queue is over 256 KB, wait for
 * on_body_room (the piece was taken). */
bool upstream_body_write(struct upstream_call *call, struct span piece);
/* The streamed body is complete. */
void upstream_body_end(struct upstream_call *call);

#endif
