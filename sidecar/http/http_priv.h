/* http_priv.h: what the files of http/ share: the server, a connection, and who does what.
 *
 *   server.c    listeners, accepting, limits, drain
 *   conn.c      a connection's life: events, deadlines, closing
 *   receive.c   from bytes to requests and bodies
 *   reply.c     from replies to bytes
 *   linger.c    the end of a connection whose client still sends
 */
#ifndef HTTP_HTTP_PRIV_H
#define HTTP_HTTP_PRIV_H

#include "lull/base/list.h"
#include "lull/http/server.h"

#include <limits.h>

enum {
    SLOT_BYTES = 48 * 1024,      /* a whole head (32 KB) and room to read a body behind it */
    SLOT_SPARE = 64,             /* kept for reuse */
    OUT_MAX = 256 * 1024 * 1024, /* unsent output; handlers stop at high_water long before */
    HIGH_WATER = 256 * 1024,
    LOW_WATER = 64 * 1024,
    DISCARD_MAX = 256 * 1024, /* of a body nobody wants, before the connection is closed instead */
    REQUESTS_PER_TURN = 16,   /* of one connection's pipeline, then others get their turn */
    ACCEPTS_PER_TURN = 64,
};

/* What a connection needs while a request is being read or answered; an idle one has none. */
struct slot {
    struct slot *next;
    struct http_request request;
    char data[SLOT_BYTES];
};

struct listener {
    struct list node;
    struct http_server *server;
    struct loop_watch *watch;
    int fd;
    char *address;   /* as configured */
    char *actual;    /* as bound */
    char *unix_path; /* NULL: TCP, or not ours to remove */
    bool is_unix;
    bool loopback; /* bound to a loopback address: only this machine reaches it */
};

struct http_server {
    struct loop *loop;
    struct http_limits limits;
    struct http_handler handler;
    void *ctx;
    struct list listeners, conns;
    struct slot *slots;
    size_t slot_count;
    struct http_counts counts;
    size_t buffered;
    bool accepting; /* listeners are being watched */
    struct loop_timer *accept_timer;
    mono_t complained;
    bool draining;
    loop_fn drained;
    void *drained_ctx;
    struct loop_deferred drained_work;
};

enum body_mode { BODY_DISCARD, BODY_HOLD, BODY_STREAM };
enum deadline {
    DEADLINE_NONE,
    DEADLINE_IDLE,
    DEADLINE_HEAD,
    DEADLINE_BODY,
    DEADLINE_LINGER,
    DEADLINE_LINGER_REST
};

struct http_conn {
    struct list node;
    struct http_server *server;
    int fd;
    struct loop_watch *watch;
    struct loop_timer *timer;
    enum deadline deadline;
    mono_t deadline_at, timer_at;
    struct loop_deferred work; /* goes on with the next request, outside all callbacks */
    struct loop_deferred grave;
    bool dead, broken, processing, lingering, close_after;
    bool is_unix, loopback; /* of its listener */
    _Alignas(max_align_t) unsigned char memo[HTTP_CONN_MEMO];

    /* input */
    struct slot *slot;
    size_t in_len;  /* bytes in slot->data */
    size_t body_at; /* in them: the first byte that is not the head's or already used */
    size_t scanned;
    bool paused;

    /* the request */
    bool in_request; /* between on_request and the end of the reply or on_gone */
    void *data;
    enum body_mode mode;
    bool body_ended;   /* every byte of it has come */
    bool end_told;     /* on_body_end was called */
    bool held_in_slot; /* the held body lies behind the head */
    size_t hold_max;
    struct buf held;
    size_t counted; /* of held, in server->buffered */
    int64_t body_left;
    int64_t body_seen;
    struct http_chunked chunked;
    int64_t discarded;

    /* the end */
    mono_t linger_until, linger_second; /* at the latest; since when bytes are counted */
    size_t linger_read;

    /* output */
    struct buf out;
    size_t out_at;
    int reply_status; /* 0: no reply has begun */
    bool reply_begun, reply_done, reply_chunked, reply_bodiless, until_close;
    bool reset_at_end; /* closing must not look like a clean end */
    bool want_writable;
};

/* server.c */
void server_conn_closed(struct http_server *s);
struct slot *server_slot(struct http_server *s);
void server_slot_back(struct http_server *s, struct slot *slot);

/* conn.c */
void conn_open(const struct listener *l, int fd);
/* Closes now; memory goes at the end of the turn. No callback. */
void conn_close(struct http_conn *c);
/* Closes and frees: for the end of the server, when no turn of the loop follows. */
void conn_destroy(struct http_conn *c);
/* The client is gone or the connection broke: on_gone if a request is open, then close. */
void conn_gone(struct http_conn *c);
void conn_set_deadline(struct http_conn *c, enum deadline what, usec_t after);
void conn_update_watch(struct http_conn *c);
bool conn_idle(const struct http_conn *c);
/* All output is out and nothing more is to come: close, or linger where unread input would reset
 * it. */
void conn_finish_output(struct http_conn *c);

/* receive.c */
void receive_readable(struct http_conn *c);
/* Goes on as far as it can: bodies, next requests. */
void receive_process(struct http_conn *c);
/* Makes what is open a request of the server's own, to be answered with an error and closed. */
void receive_orphan(struct http_conn *c);
/* Processes at the end of the turn. */
void receive_later(struct http_conn *c);

/* linger.c */
/* Whether the client has sent, or may be sending, what nobody has read. */
bool linger_is_needed(const struct http_conn *c);
void linger_begin(struct http_conn *c);
void linger_readable(struct http_conn *c);
/* The second in which enough was read is over. */
void linger_go_on(struct http_conn *c);
/* The server drains: no more than a moment longer. */
void linger_drain(struct http_conn *c);

/* reply.c */
void reply_writable(struct http_conn *c);
/* Sends or queues bytes; two spans, so that head and body leave in one call. */
void reply_send(struct http_conn *c, struct span a, struct span b);
void reply_reset(struct http_conn *c);

#endif
