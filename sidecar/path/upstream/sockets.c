/* sockets.c: the descriptors of libcurl's connections, and which connection may carry a request.
 *
 * Why this file exists. libcurl picks the connection of a request from its cache. An HTTP/1.1 answer
 * does not say which request it is for: the bytes after a request are its answer. Bytes that were on
 * a connection before the request would be taken for the answer, and one client would read what is
 * meant for another. libcurl does not prevent it: 7.88 takes unread bytes on an idle connection for
 * a sign that it is alive, and drops what lies behind the last chunk of an answer. So a pooled
 * connection must be silent, and that is checked at each of its stages:
 *
 *   stage      check                                                       where
 *   answered   nothing came behind the answer, in the same read; where     transfer.c: end_is_seen,
 *              that cannot be seen, the connection is not kept             give_chunks
 *   idle       the socket is watched: a byte, or the end, retires it       on_watch
 *   picked     it is looked at once more, right before the request is      sockets_are_silent, from
 *              written; one with bytes: the call retries. libcurl says     transfer_send; sockets_wanted
 *              which it has picked by its local port: where that names
 *              none, all idle ones are looked at, and where the request
 *              turns out to be on another one, the call retries
 *   writing    an answer that begins before the request has left is not    answer_is_late
 *              its answer: the call retries
 *   reading    what is not HTTP, or is a 408, on a reused connection is    transfer.c:
 *              not its answer: the call retries                            is_of_no_request,
 *                                                                          upstream.c: may_retry_fresh
 *   judged     behind an error, or an answer that does not fit its         transfer.c: may_be_kept,
 *              request, no other one goes out                              sockets_distrust_answer
 *
 * To retire: its bytes are read and dropped and both directions are shut down. libcurl then finds it
 * dead; nothing can be sent on it even where libcurl does not. To retry: the same request once more,
 * with CURLOPT_FRESH_CONNECT. A body that cannot be sent twice never goes out on a pooled connection
 * (setup.c: set_reuse). Nor does any request follow a probe on its connection: it would go out in the
 * turn of the probe's answer, before what lies behind that can be seen.
 *
 * One case stays: a whole answer that was not asked for, arrives after the next request and fits it,
 * looks like its answer. So a server that was seen to send unasked bytes gets no pooled connections
 * for ten minutes (origin.c).
 */
#include "path/upstream/upstream_priv.h"

#include "lull/base/os.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* One descriptor of libcurl's. */
struct sock {
    struct list node;
    struct list used;    /* in call->socks */
    struct list by_port; /* in pool->unasked or in the row of its port, once it has been idle */
    struct upstream_pool *pool;
    struct upstream_call *call; /* the transfer that uses it; NULL: none */
    struct origin *origin;      /* of the last call */
    curl_socket_t fd;
    struct loop_watch *watch;
    uint64_t received; /* bytes, before the request went out on it */
    int port;          /* local; 0: not asked for, or it has none */
    bool connection;   /* has carried a request. libcurl does not report the close of others */
    bool tls;
    bool idle;
    bool retired;
};

/* A server may end an idle connection with a 408 (RFC 9110, 15.5.9). */
static bool is_farewell(struct span bytes)
{
    return span_starts(bytes, SPAN("HTTP/1.1 408")) || span_starts(bytes, SPAN("HTTP/1.0 408"));
}

static void sock_retire(struct sock *sock)
{
    enum { READS = 64 };
    char bytes[16 * 1024];
    ssize_t n = recv(sock->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n > 0 && !sock->tls && !is_farewell(span_make(bytes, (size_t)n))) {
        origin_distrust(sock->pool, sock->origin);
    }
    for (int i = 0; i < READS && n > 0; i++) {
        n = recv(sock->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    }
    (void)shutdown(sock->fd, SHUT_RDWR);
    loop_watch_set(sock->watch, 0);
    sock->retired = true;
}

/* TLS has records of its own (a close_notify, a session ticket). They retire the connection too. */
static bool has_bytes_or_ended(const struct sock *sock)
{
    char byte;
    ssize_t n = recv(sock->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n >= 0 || (errno != EAGAIN && errno != EINTR);
}

/* Looks at a batch of idle sockets, and retires those that are not silent. */
static bool batch_is_silent(struct sock *const *batch, struct pollfd *fds, size_t count)
{
    bool silent = true;
    if (count == 0 || poll(fds, (nfds_t)count, 0) == 0) {
        return true;
    }
    for (size_t i = 0; i < count; i++) {
        if (has_bytes_or_ended(batch[i])) {
            sock_retire(batch[i]);
            silent = false;
        }
    }
    return silent;
}

static bool all_are_silent(struct upstream_pool *pool)
{
    enum { BATCH = 64 };
    struct sock *batch[BATCH];
    struct pollfd fds[BATCH];
    size_t count = 0;
    bool silent = true;
    list_each(node, &pool->socks)
    {
        struct sock *sock = list_item(node, struct sock, node);
        if (!sock->idle || sock->retired) {
            continue;
        }
        batch[count] = sock;
        fds[count++] = (struct pollfd){.fd = sock->fd, .events = POLLIN};
        if (count == BATCH) {
            silent = batch_is_silent(batch, fds, count) && silent;
            count = 0;
        }
    }
    return batch_is_silent(batch, fds, count) && silent;
}

static int local_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_storage room;
    } a = {.any.sa_family = AF_UNSPEC};
    socklen_t len = sizeof a;
    if (getsockname(fd, &a.any, &len) != 0) {
        return 0;
    }
    return a.any.sa_family == AF_INET    ? ntohs(a.v4.sin_port)
           : a.any.sa_family == AF_INET6 ? ntohs(a.v6.sin6_port)
                                         : 0;
}

static struct list *row_of_port(struct upstream_pool *pool, int port)
{
    return &pool->by_port[port % UPSTREAM_PORT_ROWS];
}

/* Of connections that are or were idle. */
static void ask_ports(struct upstream_pool *pool)
{
    list_each(node, &pool->unasked)
    {
        struct sock *sock = list_item(node, struct sock, by_port);
        sock->port = local_port(sock->fd);
        list_remove(&sock->by_port);
        list_append(row_of_port(pool, sock->port), &sock->by_port);
    }
}

/* The idle socket that has that local port; NULL: none, or several, which go to different servers. */
static struct sock *idle_on_port(struct upstream_pool *pool, int port)
{
    struct sock *found = NULL;
    ask_ports(pool);
    list_each(node, row_of_port(pool, port))
    {
        struct sock *sock = list_item(node, struct sock, by_port);
        if (!sock->idle || sock->retired || sock->port != port) {
            continue;
        }
        if (found != NULL) {
            return NULL;
        }
        found = sock;
    }
    return found;
}

/* Whether the first bytes on a reused connection came before the request had left; waiting: bytes
 * that can be read. Notes that an answer has begun: libcurl sends a request again where a reused
 * connection ends without one complete header line, and does not see a broken line as an answer. On
 * TLS the bytes themselves say nothing. */
static bool answer_is_late(const struct sock *sock, size_t waiting)
{
    struct upstream_call *call = sock->call;
    if (!call->reused || call->answer_begun || waiting == 0) {
        return false;
    }
    bool taken_whole = call->drop_body || call->taken >= call->stream_length;
    bool sending = (call->what & CURL_POLL_OUT) != 0 || !taken_whole || os_unsent(sock->fd) > 0;
    call->answer_begun = !sock->tls && !sending;
    return sending;
}

/* 0 at the end of the input. */
static size_t bytes_waiting(const struct sock *sock)
{
    int waiting = 0;
    return ioctl(sock->fd, FIONREAD, &waiting) == 0 ? (size_t)waiting : 0;
}

/* A server may answer and close before the request has been written. The next write then fails, and
 * libcurl gives the answer up with it: what has come is read before more is written. */
static bool answer_comes_first(const struct sock *sock, int events)
{
    char byte;
    return (events & LOOP_WRITE) != 0 && sock->call != NULL && sock->connection &&
           (sock->call->what & CURL_POLL_IN) != 0 && !sock->call->head.final &&
           recv(sock->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static void on_watch(void *ctx, int events)
{
    struct sock *sock = ctx;
    if (sock->idle) {
        if (has_bytes_or_ended(sock)) { /* else it was ready before, and was read otherwise */
            sock_retire(sock);
        }
        return;
    }
    if (answer_comes_first(sock, events)) {
        events = LOOP_READ;
    }
    if ((events & LOOP_READ) != 0 && sock->call != NULL && !sock->call->head.final) {
        size_t waiting = bytes_waiting(sock);
        if (answer_is_late(sock, waiting)) {
            sock->pool->events->late(sock->call);
            return;
        }
        sock->call->head_came += waiting;
    }
    pool_action(sock->pool, sock->fd,
                ((events & LOOP_READ) != 0 ? CURL_CSELECT_IN : 0) |
                    ((events & LOOP_WRITE) != 0 ? CURL_CSELECT_OUT : 0));
}

static struct sock *sock_find(const struct upstream_pool *pool, curl_socket_t fd)
{
    return (size_t)fd < pool->fd_room ? pool->by_fd[fd] : NULL;
}

static struct sock **row_of_fd(struct upstream_pool *pool, curl_socket_t fd)
{
    enum { STEP = 64 };
    if ((size_t)fd >= pool->fd_room) {
        size_t room = ((size_t)fd / STEP + 1) * STEP;
        pool->by_fd = mem_have(realloc(pool->by_fd, room * sizeof *pool->by_fd));
        memset(pool->by_fd + pool->fd_room, 0, (room - pool->fd_room) * sizeof *pool->by_fd);
        pool->fd_room = room;
    }
    return &pool->by_fd[fd];
}

/* call: NULL: no transfer uses it any more. */
static void sock_give(struct sock *sock, struct upstream_call *call)
{
    if (sock->call == call) {
        return;
    }
    list_remove(&sock->used);
    if (call != NULL) {
        list_append(&call->socks, &sock->used);
    }
    sock->call = call;
    loop_watch_set_urgent(sock->watch, call != NULL && call->urgent);
}

bool sockets_are_silent(struct upstream_call *call, int port)
{
    struct sock *picked = port > 0 ? idle_on_port(call->pool, port) : NULL;
    call->picked = picked == NULL ? CURL_SOCKET_BAD : picked->fd;
    if (picked == NULL) {
        return all_are_silent(call->pool);
    }
    if (has_bytes_or_ended(picked)) {
        sock_retire(picked);
        return false;
    }
    /* the answer may come, and be paused, before libcurl asks for the socket */
    picked->idle = false;
    sock_give(picked, call);
    loop_watch_set(picked->watch, 0);
    picked->received = os_received(picked->fd);
    return true;
}

bool sockets_are_known(const struct upstream_call *call)
{
    return !call->reused || !list_empty(&call->socks);
}

static struct sock *sock_add(struct upstream_pool *pool, curl_socket_t fd)
{
    struct sock *sock = mem_new(sizeof *sock);
    sock->pool = pool;
    sock->fd = fd;
    sock->watch = loop_watch_create(pool->loop, fd, on_watch, sock);
    list_init(&sock->used);
    list_init(&sock->by_port);
    list_append(&pool->socks, &sock->node);
    *row_of_fd(pool, fd) = sock;
    return sock;
}

static void sock_remove(struct sock *sock)
{
    loop_watch_destroy(sock->watch);
    list_remove(&sock->node);
    list_remove(&sock->used);
    list_remove(&sock->by_port);
    sock->pool->by_fd[sock->fd] = NULL;
    free(sock);
}

/* The server may have answered and reset while the request was being written. The answer is still on
 * the socket then. */
static void keep_unread_answer(const struct sock *sock)
{
    struct upstream_call *call = sock->call;
    char bytes[16 * 1024];
    if (call == NULL || sock->tls || !sock->connection || call->reused || call->aborted ||
        call->head.final || call->head_came > 0 || call->unread.len > 0) {
        return;
    }
    buf_init(&call->unread, UPSTREAM_MAX_UNREAD);
    ssize_t n = recv(sock->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    while (n > 0 && buf_append(&call->unread, bytes, (size_t)n) == ERR_OK) {
        n = recv(sock->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    }
}

/* Nothing is noted of the descriptor yet: libcurl 7.88 closes one that is still connecting without a
 * call of sockets_closed(). */
curl_socket_t sockets_open(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct upstream_call *call = ctx;
    (void)purpose;
    int fd = os_socket(address->family, address->socktype);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
        call->no_socket = true;
    }
    return fd < 0 ? CURL_SOCKET_BAD : fd;
}

/* libcurl may read much in one call, and only what waited before it was counted. */
static void count_received(const struct sock *sock)
{
    struct upstream_call *call = sock->call;
    if (call != NULL && sock->connection && !call->head.final) {
        uint64_t all = os_received(sock->fd);
        size_t came = all > sock->received ? (size_t)(all - sock->received) : 0;
        call->head_came = came > call->head_came ? came : call->head_came;
    }
}

int sockets_closed(void *ctx, curl_socket_t fd)
{
    struct sock *sock = sock_find(ctx, fd);
    if (sock != NULL) {
        keep_unread_answer(sock);
        count_received(sock);
        sock_remove(sock);
    }
    return close(fd);
}

static void sock_set_idle(struct sock *sock)
{
    if (list_empty(&sock->by_port)) {
        list_append(&sock->pool->unasked, &sock->by_port);
    }
    sock->idle = true;
    loop_watch_set(sock->watch, sock->retired ? 0 : LOOP_READ);
}

/* libcurl does not wait for the descriptor any more: the transfer is over, or paused. */
static void sock_unwanted(struct sock *sock, const struct upstream_call *call)
{
    bool paused = call != NULL && (call->recv_paused || call->send_paused);
    if (!sock->connection) {
        sock_remove(sock);
    } else if (call == NULL || (call->head.final && !paused)) {
        sock_set_idle(sock);
    } else {
        loop_watch_set(sock->watch, 0);
    }
}

bool sockets_answer_is_early(const struct upstream_call *call)
{
    bool reading = call->recv_paused || (call->what & CURL_POLL_IN) != 0;
    bool sending = call->send_paused || (call->what & CURL_POLL_OUT) != 0;
    return call->head.final && !call->finished && !reading && sending;
}

int sockets_wanted(CURL *easy, curl_socket_t fd, int what, void *userp, void *socketp)
{
    struct upstream_pool *pool = userp;
    struct sock *sock = sock_find(pool, fd);
    struct upstream_call *call = NULL;
    (void)socketp;
    if (easy != NULL) {
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&call);
    }
    if (call != NULL) {
        call->what = what == CURL_POLL_REMOVE ? CURL_POLL_NONE : what;
        if (sockets_answer_is_early(call)) {
            call_defer(call);
        }
    }
    if (what == CURL_POLL_REMOVE) {
        if (sock != NULL) {
            sock_unwanted(sock, call);
        }
        return 0;
    }
    if (sock == NULL) {
        sock = sock_add(pool, fd);
    }
    sock->idle = false;
    sock_give(sock, call);
    if (call != NULL && call->reused && call->picked != CURL_SOCKET_BAD && call->picked != fd) {
        call->late = true; /* not the one that was looked at */
        call_defer(call);
    }
    if (call != NULL) {
        sock->origin = call->origin;
        sock->tls = call->to->tls;
        sock->connection = sock->connection || call->first_on;
        call->first_on = false;
    }
    loop_watch_set(sock->watch, ((what & CURL_POLL_IN) != 0 ? LOOP_READ : 0) |
                                    ((what & CURL_POLL_OUT) != 0 ? LOOP_WRITE : 0));
    return 0;
}

curl_socket_t sockets_connection(struct upstream_call *call)
{
    curl_socket_t fd = CURL_SOCKET_BAD;
    curl_easy_getinfo(call->easy, CURLINFO_ACTIVESOCKET, &fd);
    if (fd != CURL_SOCKET_BAD && sock_find(call->pool, fd) == NULL) {
        struct sock *sock = sock_add(call->pool, fd);
        sock->origin = call->origin;
        sock->tls = call->to->tls;
        sock->connection = true;
        sock_set_idle(sock);
    }
    return fd;
}

void sockets_distrust_answer(struct upstream_pool *pool, curl_socket_t fd)
{
    struct sock *sock = fd == CURL_SOCKET_BAD ? NULL : sock_find(pool, fd);
    if (sock != NULL && sock->idle) { /* else libcurl has not kept it */
        sock_retire(sock);
    }
}

void sockets_release(struct upstream_call *call)
{
    while (!list_empty(&call->socks)) {
        struct sock *sock = list_item(call->socks.next, struct sock, used);
        sock_give(sock, NULL);
        if (sock->connection) {
            sock_set_idle(sock);
        }
    }
}
