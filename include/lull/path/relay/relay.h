/* relay.h: pass-through of one exchange: the client's request to an upstream and its answer back,
 * streamed both ways with backpressure, every byte of the body as it came.
 *
 * Kept: method, target, order and case of headers, body bytes, status, reason. Changed: hop-by-hop
 * headers are dropped, Host is the upstream's, framing is made here, a key of the upstream replaces
 * Authorization, a client_token is not forwarded. A failure before the answer's head becomes lull's
 * own 502; one after it cuts the client's connection so that the client can see it. There is no
 * time limit of ours.
 */
#ifndef LULL_PATH_RELAY_RELAY_H
#define LULL_PATH_RELAY_RELAY_H

#include "lull/http/server.h"
#include "lull/path/upstream/upstream.h"

struct relay;

struct relay_result {
    bool client_gone;
    bool whole;        /* the answer was passed on completely */
    int status;        /* of the answer passed on, or of our own error; 0: none was sent */
    bool own_error;    /* the 502 was ours */
    bool unreachable;  /* ... because the upstream could not be reached */
    bool no_memory;    /* not whole, but not by the server: lull had none; the 502 is a 503 then */
    char why[96];      /* of own_error: one phrase; else "" */
    mono_t first_data; /* first piece of the answer's body; 0: none */
};

/* What sees the answer too: called after each piece was passed on, with the ctx of the options. */
struct relay_tap {
    void (*on_head)(void *ctx, int status, const struct http_header *headers, size_t count);
    void (*on_data)(void *ctx, struct span piece);
    /* The answer came whole; the request is still there, its reply has not been ended yet. */
    void (*on_end)(void *ctx);
};

struct relay_options {
    struct http_conn *conn;
    const struct upstream_settings *to;
    struct span target;        /* what to ask for (without /@NAME), e.g. "/v1/models?x=1" */
    bool body_held;            /* the held body of conn is sent; otherwise it is streamed in by
                                  relay_body() */
    struct span extra_headers; /* complete lines put into the answer's head, may be empty: for
                                  tasks. Copied */
    bool task;                 /* the upstream's task_header is sent too */
    bool urgent;               /* a person waits for each piece of the answer */
    bool strip_authorization;  /* it was the client_token */
    enum http_form error_form;
    const struct relay_tap *tap; /* NULL: none; must stay until the end */
    /* Called once, from the loop, after the reply has been handed over or the client is gone; the
     * relay is freed after it returns. */
    void (*on_done)(void *ctx, const struct relay_result *result);
    void *ctx;
};

/* Begins; never NULL. The request of conn must be open. The owner of conn's handler hands what
 * concerns the relay to the functions below; none of them calls back before it returns. */
struct relay *relay_start(struct loop *loop, struct upstream_pool *pool,
                          const struct relay_options *options);
/* A piece of a streamed body (on_body), and its end (on_body_end). Pauses conn where the upstream is
 * slower. */
void relay_body(struct relay *r, struct span piece);
void relay_body_end(struct relay *r);
/* conn can take more of the answer (on_writable). */
void relay_writable(struct relay *r);
/* The client is gone: the upstream call is aborted at once; on_done comes later, from the loop. */
void relay_client_gone(struct relay *r);

#endif
