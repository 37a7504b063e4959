/* upstream_priv.h: what the files of this folder share: the pool, one call, and the answer's head.
 * Each file calls those above it only; what happens below comes up through struct pool_events.
 *
 *   response_head.c  the head of an answer, line by line
 *   origin.c         what is remembered of a server's address
 *   why.c            libcurl's codes as results and phrases
 *   pool.c           libcurl's multi interface on our loop
 *   sockets.c        libcurl's descriptors, and which connection may carry a request: read this first
 *   transfer.c       what libcurl calls back during one transfer
 *   setup.c          one request as options of an easy handle
 *   upstream.c       the life of a call
 */
#ifndef PATH_UPSTREAM_UPSTREAM_PRIV_H
#define PATH_UPSTREAM_UPSTREAM_PRIV_H

#include "lull/base/buf.h"
#include "lull/base/list.h"
#include "lull/path/upstream/upstream.h"

#include <curl/curl.h>

enum {
    UPSTREAM_MAX_HEADERS = 200,
    UPSTREAM_MAX_HEAD = 300 * 1024,
    UPSTREAM_QUEUE_HIGH = 256 * 1024, /* upstream_body_write says false above this ... */
    UPSTREAM_QUEUE_LOW = 128 * 1024,  /* ... and on_body_room comes at or below this */
    UPSTREAM_MAX_UNREAD =
        256 * 1024,                 /* of an answer that came while the request was being written */
    UPSTREAM_KEPT_BODY = 64 * 1024, /* streamed bodies up to this can be sent again */
    UPSTREAM_IDLE_EASIES = 16,
    UPSTREAM_PORT_ROWS = 64,
    UPSTREAM_MAX_DECODED = 16 * 1024 * 1024, /* of an answer that came compressed */
    UPSTREAM_ORIGINS = 16,
    UPSTREAM_DNS_SECONDS = 30, /* libcurl remembers addresses that long */
};

/* ---- origin.c ---- */

/* A URL that is read already. libcurl reads it again where a request is sent again: each call keeps
 * it, also where its origin's row went to another one. */
struct origin_url {
    CURLU *parsed; /* NULL: libcurl could not read it */
    size_t uses;
};

struct origin {
    char *name;             /* the upstream's, for the log */
    char *origin, *socket;  /* NULL: a free row */
    struct origin_url *url; /* NULL: not used yet */
    mono_t used, resolved, distrusted_until, plain_until;
};

/* What upstream.c does when something happens to a call. Not from inside libcurl. */
struct pool_events {
    /* libcurl says that the transfer is over. Frees the call, or begins it again. */
    void (*over)(struct upstream_call *call, CURLcode code);
    /* What came on its connection is not its answer: the request goes out on a fresh one. */
    void (*late)(struct upstream_call *call);
};

struct upstream_pool {
    struct loop *loop;
    const struct pool_events *events;
    CURLM *multi;
    bool system_file;          /* of certificates: it can be read */
    struct loop_timer *timer;  /* when libcurl wants to act, unless nothing happens before */
    struct loop_deferred soon; /* the same, at the end of this turn */
    int in_curl;               /* depth of calls into libcurl that may call us back */
    bool in_timeout;           /* inside its handling of a moment that has come */
    int at_once;               /* times in a row that it asked there to act again at once */
    size_t calls;
    CURL *idle[UPSTREAM_IDLE_EASIES];
    size_t idle_count;
    struct list socks; /* sockets.c: all descriptors of libcurl's */
    /* connections by their local port, and those whose port was not asked for */
    struct list by_port[UPSTREAM_PORT_ROWS], unasked;
    struct sock **by_fd;
    size_t fd_room;
    struct origin origins[UPSTREAM_ORIGINS];
};

/* The row of the server, made where there is none. Stays in place. */
struct origin *origin_of(struct upstream_pool *pool, const struct upstream_settings *to);
/* It sent bytes that no request asked for: its connections are not reused for ten minutes. */
void origin_distrust(struct upstream_pool *pool, struct origin *row);
bool origin_is_distrusted(const struct upstream_pool *pool, const struct origin *row);
/* plain: it named an encoding that does not exist, and its answers are not decoded for ten minutes. */
void origin_take_plain(struct upstream_pool *pool, struct origin *row, bool plain);
bool origin_is_plain(const struct upstream_pool *pool, const struct origin *row);
/* Whether libcurl will connect to an address that it remembers. Counts a look-up where not. */
bool origin_is_remembered(struct upstream_pool *pool, struct origin *row,
                          const struct upstream_settings *to);
/* The URL of an origin, kept until it is given back (NULL is fine). */
struct origin_url *origin_url_take(struct origin *row);
void origin_url_give(struct origin_url *url);
void origins_free(struct upstream_pool *pool);

/* ---- response_head.c ---- */

enum head_step {
    HEAD_MORE,
    HEAD_FINAL,  /* the line was the empty one of the final head */
    HEAD_REFUSE, /* too large, too many headers */
    HEAD_SHORT,  /* no memory for it */
    HEAD_SWITCH, /* the line was the empty one of a 101, after which no HTTP comes */
};

/* Names and values are places in `text`, which moves while it grows. */
struct head_field {
    size_t name, name_len, value, value_len;
};

struct answer_head {
    struct buf text;
    struct head_field *fields;
    size_t count, room, folds;
    size_t reason, reason_len;
    int status;
    bool final; /* the final head was complete: what comes later are trailers */
    bool chunked;
    bool coded;             /* a transfer coding beside chunked */
    bool length;            /* there was a Content-Length ... */
    int64_t content_length; /* ... and what it says; -1: no number */
    bool encoded;           /* there was a Content-Encoding other than identity ... */
    bool unknown;           /* ... that libcurl does not know */
};

void head_begin(struct answer_head *h);
void head_free(struct answer_head *h);
/* One line with its line end. */
enum head_step head_line(struct answer_head *h, struct span line);
/* The headers without hop-by-hop ones, and without those of the encoding where the body is decoded;
 * out has room for UPSTREAM_MAX_HEADERS. The spans are valid until the next head_line. */
size_t head_fields(const struct answer_head *h, bool decoded, struct http_header *out);

/* ---- a call ---- */

struct upstream_call {
    struct upstream_pool *pool;
    const struct upstream_events *events;
    void *ctx;
    const struct upstream_settings *to;
    struct origin *origin;
    struct origin_url *url;
    CURL *easy;
    bool attached; /* the easy handle is in the multi handle */
    struct loop_deferred work;

    /* the request: what the easy handle points into */
    struct buf text;
    struct curl_slist *lines;
    size_t line_count;
    struct span body;
    bool stream;
    bool drop_body;        /* a HEAD request: what is written is not sent */
    int64_t stream_length; /* -1: chunked */
    bool keeps_body;       /* what was sent of the stream stays in `queue`: it can be sent again */

    /* a streamed body */
    struct buf queue;
    size_t queue_at; /* bytes before it have been given to libcurl */
    int64_t taken;   /* bytes that libcurl has taken in all */
    bool body_ended;
    bool want_room; /* upstream_body_write said false */
    bool send_paused;

    /* the answer */
    struct answer_head head;
    bool held;         /* on_data said false */
    bool recv_paused;  /* libcurl keeps a piece for us */
    size_t given_work; /* what giving cost since reading went on: see READ_MOST */
    struct buf unread; /* what lay on the socket when libcurl closed it */
    int64_t length;    /* of its body; -1: not said */
    int64_t got;       /* bytes of its body that came */
    bool decode;       /* libcurl is asked to decode it ... */
    bool no_encoding;  /* ... since the caller wants it without a Content-Encoding */
    bool decoding;     /* it came with one: libcurl decodes */
    size_t decoded;    /* bytes of it */
    bool unchunking;   /* we take the chunks off, so that we see what lies behind the last */
    bool unchunked;    /* the last chunk has come */
    bool follows;      /* upstream_more_follows() */
    struct http_chunked chunks;
    size_t taken_of_piece; /* of the piece that libcurl keeps and gives again */
    size_t head_came;      /* bytes that waited on the socket while the head was being read ... */
    size_t head_used;      /* ... and bytes of header lines */

    /* the connection */
    int attempts;      /* how often a request went out, libcurl's own retries included */
    bool first_on;     /* ... just now, on a new connection: the next descriptor named by libcurl */
    bool reused;       /* the present attempt is on a reused connection */
    bool urgent;       /* as in upstream_request */
    bool apart;        /* the same */
    bool answer_begun; /* a byte of an answer has come */
    bool late;         /* what came on a reused connection is not the answer */
    bool given;        /* the caller has the head */
    bool misjudged;    /* the answer is to be decoded and is not, or the other way round */
    int judged;        /* how often that was found */
    bool again;        /* sent once more on a fresh connection by us */
    bool remembered;   /* the address was not looked up for this call */
    int what;          /* what libcurl last asked to be watched for on its socket */
    struct list socks; /* sockets.c: the descriptors that it uses */
    curl_socket_t picked;   /* reused: the one that was looked at; CURL_SOCKET_BAD: all were */
    curl_socket_t answered; /* the answer is over: the connection that it came on */

    /* the end */
    bool aborted;
    bool finished;
    const char *failed; /* ended by us: why */
    bool no_memory;     /* that is why */
    bool no_socket;     /* the system has none left: of that kind */
    bool not_set;       /* libcurl did not take an option */
    bool broke;         /* libcurl reported an error: after one for want of memory, 7.88 leaves a
                         * buffer in the handle and refuses options for ever */
    char error[CURL_ERROR_SIZE];
    char why[CURL_ERROR_SIZE];
};

/* `work` runs at the end of the turn: upstream.c goes on with the call, outside libcurl. */
static inline void call_defer(struct upstream_call *call)
{
    loop_defer(call->pool->loop, &call->work);
}

/* Whether the whole request can be sent again. */
static inline bool call_is_repeatable(const struct upstream_call *call)
{
    return !call->stream || call->keeps_body;
}

/* Whether the answer ends with its head. */
static inline bool call_has_no_body(const struct upstream_call *call)
{
    return call->drop_body || call->head.status == 204 || call->head.status == 304;
}

/* ---- setup.c ---- */

/* Sets every option of the easy handle. false: no memory for the headers. */
bool call_setup(struct upstream_call *call, const struct upstream_request *req);

/* ---- transfer.c: libcurl's callbacks of one transfer ---- */

size_t transfer_header(char *data, size_t size, size_t count, void *arg);
size_t transfer_data(char *data, size_t size, size_t count, void *arg);
size_t transfer_read(char *out, size_t size, size_t count, void *arg);
int transfer_seek(void *arg, curl_off_t offset, int origin);
int transfer_send(void *arg, char *to_ip, char *from_ip, int to_port, int from_port);
/* Gives the answer that lies in `unread`, as far as it came. Not inside libcurl. */
void transfer_unread(struct upstream_call *call);

/* ---- pool.c ---- */

/* The pool without its events; `wanted` is libcurl's CURLMOPT_SOCKETFUNCTION. */
struct upstream_pool *pool_create(struct loop *loop, curl_socket_callback wanted,
                                  const struct pool_events *events);
void pool_destroy(struct upstream_pool *pool);
/* An easy handle without options; the caller gives it back, and says whether it may be used again. */
CURL *pool_take_easy(struct upstream_pool *pool);
void pool_give_easy(struct upstream_pool *pool, CURL *easy, bool reusable);
/* Something happened on the descriptor: libcurl goes on. Calls pool_events. */
void pool_action(struct upstream_pool *pool, curl_socket_t fd, int bits);

/* ---- sockets.c: which connections may carry a request ---- */

/* Before a request goes out on a reused connection, whose local port libcurl says (0: none): retires
 * it if it has unread bytes or has ended, else it is the call's. Where no idle one has that port, all
 * are looked at, and which one is the call's is not known yet. false: there was one to retire. */
bool sockets_are_silent(struct upstream_call *call, int port);
/* Whether no connection that counts as idle may be that of the call. */
bool sockets_are_known(const struct upstream_call *call);
/* Whether libcurl reads no more of an answer although the request has not left yet; see transfer.c. */
bool sockets_answer_is_early(const struct upstream_call *call);
/* The connection of a call that is over; CURL_SOCKET_BAD: libcurl does not keep it. It is known from
 * here on, also where all of the answer was read at once and libcurl did not wait for it. */
curl_socket_t sockets_connection(struct upstream_call *call);
/* What was read there as the answer of a call that is over does not fit it: retires it. */
void sockets_distrust_answer(struct upstream_pool *pool, curl_socket_t fd);
/* The call does not use its connection any more: it is watched as an idle one. */
void sockets_release(struct upstream_call *call);
/* libcurl's callbacks: CURLOPT_OPENSOCKETFUNCTION, CURLOPT_CLOSESOCKETFUNCTION, CURLMOPT_SOCKETFUNCTION. */
curl_socket_t sockets_open(void *ctx, curlsocktype purpose, struct curl_sockaddr *address);
int sockets_closed(void *ctx, curl_socket_t fd);
int sockets_wanted(CURL *easy, curl_socket_t fd, int what, void *userp, void *socketp);

/* ---- why.c ---- */

/* Result of a failed transfer, and its phrase in call->why. */
enum upstream_result why_failed(struct upstream_call *call, CURLcode code);

#endif
