/* http_priv.h: what the files of http/ share: the server, and the state machine of a connection.
 *
 *   server.c    accepting, limits, drain
 *   listen.c    the addresses of a server
 *   conn.c      events, deadlines, closing
 *   receive.c   from bytes to requests and bodies
 *   response.c  from replies to bytes
 *   output.c    bytes of replies, to the socket
 *   linger.c    the end of a connection whose client still sends
 *
 * A connection:
 *
 *        accept
 *          │
 *          ▼      a head is complete: on_request     the handler has handed over the reply
 *   CONN_WAITING ───────────────────────▶ CONN_REQUEST ─────────────────────▶ CONN_REPLIED
 *     │      ▲    a head is refused: the server       │ the client left, the     │     │
 *     │      │    replies itself, then close_after    │ connection broke, the    │     │
 *     │      │                                        │ body is malformed or     │     │
 *     │      │                                        │ late, the drain cuts:    │     │
 *     │      │                                        │ on_gone (conn_abandon)   │     │
 *     │      └── the body is read or dropped, not close_after (end_request) ─────┘     │
 *     │                                               │                                │
 *     │ idle_timeout, left,                           │          close_after, and all  │
 *     │ idle while draining                           │          output is sent        │
 *     │                                               │            │              │
 *     │                                               │      input is unread      none is,
 *     │                                               │            ▼          or it must reset
 *     │                                               │     CONN_LINGERING        │
 *     │                                               │            │ time, silence, end of input
 *     ▼                                               ▼            ▼              ▼
 *   CONN_CLOSED ◀─────────────────────────────────────────────────────────────────┘
 *
 * Who may close: conn_close() from the loop only, never from inside http_body_* or http_reply_*:
 * these set `broken` or `close_after`, and receive_process() acts at the end of the turn. A closed
 * connection has left the server; its memory goes at the end of the turn too, so that a caller may
 * look at `state` after any callback. on_gone comes exactly for requests that leave CONN_REQUEST
 * without a reply.
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
    OUT_FREE = 512 * 1024,       /* of it, that does not count in server->memory */
    HIGH_WATER = 256 * 1024,
    LOW_WATER = 64 * 1024,
    DISCARD_MAX = 256 * 1024, /* read and dropped of a body; for more, the connection is closed */
    REQUESTS_PER_CALL = 16,   /* of one connection's pipeline, then others get their turn */
    ACCEPTS_PER_TURN = 16,    /* of one listener */
};

/* What a connection needs while a request is being read or answered; an idle one has none. */
struct slot {
    struct slot *next;
    struct http_request request;
    struct http_kept_head kept; /* of `request`, unless that was changed */
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
    dev_t unix_dev;  /* of the file that was made there */
    ino_t unix_ino;
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
    struct budget own_memory, *memory; /* of held bodies and long replies */
    bool accepting;                    /* listeners are being watched */
    struct loop_timer *accept_timer;
    mono_t warned;
    bool draining;
    loop_fn drained;
    void *drained_ctx;
    struct loop_deferred drained_work;
};

enum conn_state {
    CONN_WAITING,   /* between requests: nothing has come, or a part of a head */
    CONN_REQUEST,   /* the handler owes a reply */
    CONN_REPLIED,   /* the reply is handed over; output, or the body, is still under way */
    CONN_LINGERING, /* our side is shut down; what comes is dropped */
    CONN_CLOSED
};
enum reply_framing { FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_CLOSE, FRAMING_NO_BODY };
enum body_mode { BODY_DISCARD, BODY_HOLD, BODY_STREAM };
enum deadline {
    DEADLINE_NONE,
    DEADLINE_IDLE,
    DEADLINE_HEAD,
    DEADLINE_BODY,
    DEADLINE_SEND,
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
    struct loop_deferred work;    /* receive_process(), outside all callbacks */
    bool put_off;                 /* `work` waits for a later turn, with further requests */
    struct loop_deferred freeing; /* of a closed one */
    enum conn_state state;
    bool broken;      /* writing failed, or a chunk is malformed: acted on by receive_process() */
    bool close_after; /* no further request on this connection */
    bool processing;  /* inside receive_process() */
    bool used;        /* has carried a request */
    bool is_unix, loopback; /* of its listener */
    bool urgent;            /* until the end of the reply */
    _Alignas(max_align_t) unsigned char memo[HTTP_CONN_MEMO];

    /* input */
    struct slot *slot;
    size_t in_len;  /* bytes in slot->data */
    size_t body_at; /* in them: the first byte that is not the head's or already used */
    size_t scanned;
    bool paused;

    /* the request */
    void *data; /* the handler's */
    enum body_mode mode;
    bool body_ended;   /* every byte of it has come */
    bool end_reported; /* on_body_end was called */
    bool held_in_slot; /* the held body lies behind the head */
    size_t hold_max;
    enum err hold_error; /* why it is not held */
    struct buf held;
    size_t counted; /* for `held`, in server->memory */
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
    size_t out_counted; /* for `out`, in server->memory */
    int out_queued;     /* bytes that the kernel had not sent when the client was waited for */
    bool out_passed;    /* some of it was handed over in pieces: it waits as long as its client */
    int reply_status;   /* 0: no reply has begun */
    enum reply_framing framing;
    bool out_waits; /* `out` is a head or pieces, which leave with what follows ... */
    struct loop_deferred out_work; /* ... or at the end of the turn */
    bool reset_at_end;             /* closing must not look like a clean end */
    bool want_writable;            /* http_reply_data() returned false */
};

/* server.c */
/* A listener is readable; ctx: the struct listener. */
void server_accept(void *ctx, int events);
/* Accepts what waits at the listener, at most so many. */
void server_accept_some(struct listener *l, int most);
void server_conn_closed(struct http_server *s);
struct slot *server_slot(struct http_server *s); /* NULL: no memory */
void server_slot_back(struct http_server *s, struct slot *slot);

/* conn.c */
void conn_open(const struct listener *l, int fd);
/* Closes now; memory goes at the end of the turn. No callback. */
void conn_close(struct http_conn *c);
/* Closes and frees: for the end of the server, when no turn of the loop follows. */
void conn_destroy(struct http_conn *c);
/* CONN_REQUEST → CONN_WAITING with on_gone: the request gets no reply of the handler's. In other
 * states nothing. The caller closes, or replies by itself. */
void conn_abandon(struct http_conn *c);
/* The client is gone or the connection broke: conn_abandon, conn_close. */
void conn_gone(struct http_conn *c);
void conn_set_deadline(struct http_conn *c, enum deadline what, usec_t after);
/* Nothing but the client is waited for: until it takes what is unsent, else until its next request. */
void conn_await_client(struct http_conn *c);
/* The connection that has been idle longest, at least for a second; NULL: there is none. */
struct http_conn *conn_longest_idle(struct http_server *s);
void conn_update_watch(struct http_conn *c);
bool conn_idle(const struct http_conn *c);
/* The server drains: an idle connection is closed, unless a request on it is unread. One that is new
 * gets a second for its first request, which its client is about to send. */
void conn_drain(struct http_conn *c);
/* All output is sent and none follows: closes, or lingers where closing would reset the connection. */
void conn_finish_output(struct http_conn *c);

/* listen.c */
/* Closes and frees; removes the file of a Unix socket, where it still is the one that was made. */
void listener_close(struct listener *l);
/* The same where the server goes on: connections that the kernel has taken, and would reset now, are
 * accepted first. */
void listener_end(struct listener *l);

/* receive.c */
void receive_readable(struct http_conn *c);
/* Goes on as far as it can: bodies, and up to so many next requests; the others in later turns. */
void receive_process(struct http_conn *c, int requests);
/* → CONN_REQUEST with a request of the server's own, which it answers with an error and
 * closes. */
void receive_own_request(struct http_conn *c);
/* The request is answered: its held body goes. */
void receive_drop_held(struct http_conn *c);
/* Processes at the end of the turn. */
void receive_later(struct http_conn *c);

/* linger.c */
/* Whether the client has sent bytes that are not read. */
bool linger_has_unread(const struct http_conn *c);
/* Whether the client has sent, or may be sending, bytes that are not read. */
bool linger_is_needed(const struct http_conn *c);
void linger_begin(struct http_conn *c);
void linger_readable(struct http_conn *c);
/* Reads again after the second in which enough was read. */
void linger_resume(struct http_conn *c);
/* The server drains: shortens the time. */
void linger_drain(struct http_conn *c);

/* response.c */
void reply_reset(struct http_conn *c);
/* As http_reply_cut(), in any state: of the reply nothing more comes. */
void reply_cut(struct http_conn *c);

/* output.c */
void output_writable(struct http_conn *c);
/* Bytes of replies that the socket has not taken yet. */
size_t output_unsent(const struct http_conn *c);
/* Writing failed: the handler learns it from the loop, not from inside a function it called. */
void output_broke(struct http_conn *c);
/* Takes over the head. It waits for the first piece of the body, which mostly follows in the same
 * turn: both leave in one call, and wake the client once. */
void output_hold_head(struct http_conn *c, struct buf *head);
/* The same for parts of a reply behind which more follows in this turn. false: there is no room, and
 * nothing is taken. */
bool output_hold(struct http_conn *c, const struct span *parts, size_t count);
/* Sends output that waits for what follows; arg is the connection. */
void output_send_waiting(void *arg);
/* Sends or queues bytes, behind output that waits. At most REPLY_PARTS spans, so that a head and its
 * body, or a chunk and its frame, leave in one call: each call is a packet of its own to a client. */
enum { REPLY_PARTS = 3 };
void output_send(struct http_conn *c, const struct span *parts, size_t count);

#endif
