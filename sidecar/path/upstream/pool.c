/* pool.c: libcurl's multi interface on our loop.
 *
 * libcurl says which descriptors and which moment it waits for; the loop watches them and hands
 * back what happened (curl_multi_socket_action). After every such call the messages are drained: a
 * transfer that ended is told of nowhere else. libcurl must not be entered again from inside its
 * own callbacks; `in_curl` knows when we are inside, and whoever finds it set puts his work off to
 * the end of the turn.
 *
 * The pool owns the multi handle, the watches, and a few idle easy handles. The connections are
 * libcurl's; they are kept per multi handle, so all calls share them.
 *
 * Rejected: CURLMOPT_MAX_HOST_CONNECTIONS as a limit (time in its queue is invisible; the schedule
 * decides who may call), and one thread per call.
 */
#include "path/upstream/upstream_priv.h"

#include <stdlib.h>
#include <sys/socket.h>

static const long MAX_IDLE_CONNECTIONS = 64;

/* One descriptor of libcurl's. */
struct sock {
    struct upstream_pool *pool;
    struct upstream_call *call;
    curl_socket_t fd;
    struct loop_watch *watch;
};

static void drain(struct upstream_pool *pool)
{
    int left = 0;
    for (;;) {
        CURLMsg *msg = curl_multi_info_read(pool->multi, &left);
        if (msg == NULL) {
            return;
        }
        if (msg->msg != CURLMSG_DONE) {
            continue;
        }
        /* the message dies with remove_handle */
        CURLcode code = msg->data.result;
        struct upstream_call *call = NULL;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        require(call != NULL);
        call_over(call, code);
    }
}

static void action(struct upstream_pool *pool, curl_socket_t fd, int bits)
{
    int running = 0;
    pool->in_curl++;
    CURLMcode code = curl_multi_socket_action(pool->multi, fd, bits, &running);
    pool->in_curl--;
    require(code == CURLM_OK || code == CURLM_BAD_SOCKET);
    drain(pool);
}

/* libcurl sends a request again where a reused connection ends without one complete header line;
 * it does not see a broken line as an answer. We do, so the first byte is looked at here. On TLS
 * it says nothing (a farewell is a byte, too). */
static void note_first_byte(struct upstream_call *call, curl_socket_t fd)
{
    char byte;
    if (call->reused && !call->answer_begun) {
        call->answer_begun = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
    }
}

static void on_watch(void *ctx, int events)
{
    struct sock *sock = ctx;
    int bits = 0;
    if ((events & LOOP_READ) != 0) {
        bits |= CURL_CSELECT_IN;
        if (sock->call != NULL) {
            note_first_byte(sock->call, sock->fd);
        }
    }
    if ((events & LOOP_WRITE) != 0) {
        bits |= CURL_CSELECT_OUT;
    }
    action(sock->pool, sock->fd, bits);
}

static void on_timer(void *ctx)
{
    action(ctx, CURL_SOCKET_TIMEOUT, 0);
}

static void forget_sock(struct upstream_pool *pool, struct sock *sock)
{
    if (sock != NULL) {
        curl_multi_assign(pool->multi, sock->fd, NULL);
        loop_watch_destroy(sock->watch);
        free(sock);
    }
}

static struct sock *new_sock(struct upstream_pool *pool, curl_socket_t fd)
{
    struct sock *sock = mem_new(sizeof *sock);
    sock->pool = pool;
    sock->fd = fd;
    sock->watch = loop_watch_create(pool->loop, fd, on_watch, sock);
    curl_multi_assign(pool->multi, fd, sock);
    return sock;
}

static struct upstream_call *call_of(CURL *easy)
{
    struct upstream_call *call = NULL;
    if (easy != NULL) {
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&call);
    }
    return call;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *userp, void *socketp)
{
    struct upstream_pool *pool = userp;
    struct sock *sock = socketp;
    struct upstream_call *call = call_of(easy);
    if (call != NULL) {
        call->what = what == CURL_POLL_REMOVE ? CURL_POLL_NONE : what;
        if (transfer_is_early(call)) {
            call_defer(call);
        }
    }
    if (what == CURL_POLL_REMOVE) {
        forget_sock(pool, sock);
        return 0;
    }
    if (sock == NULL) {
        sock = new_sock(pool, fd);
    }
    sock->call = call;
    loop_watch_set(sock->watch, ((what & CURL_POLL_IN) != 0 ? LOOP_READ : 0) |
                                    ((what & CURL_POLL_OUT) != 0 ? LOOP_WRITE : 0));
    return 0;
}

/* Never acts at once, even for 0: that would enter libcurl from its own callback. */
static int on_timeout(CURLM *multi, long ms, void *userp)
{
    struct upstream_pool *pool = userp;
    (void)multi;
    if (ms < 0) {
        loop_timer_stop(pool->timer);
    } else {
        loop_timer_start(pool->timer, (usec_t)ms * USEC_PER_MS);
    }
    return 0;
}

struct upstream_pool *upstream_pool_create(struct loop *loop)
{
    struct upstream_pool *pool = mem_new(sizeof *pool);
    CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
    require(ready == CURLE_OK);
    pool->loop = loop;
    pool->timer = loop_timer_create(loop, on_timer, pool);
    pool->multi = curl_multi_init();
    require(pool->multi != NULL);
    curl_multi_setopt(pool->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(pool->multi, CURLMOPT_SOCKETDATA, pool);
    curl_multi_setopt(pool->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    curl_multi_setopt(pool->multi, CURLMOPT_TIMERDATA, pool);
    curl_multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS, MAX_IDLE_CONNECTIONS);
    curl_multi_setopt(pool->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    return pool;
}

void upstream_pool_destroy(struct upstream_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    require(pool->calls == 0);
    while (pool->idle_count > 0) {
        curl_easy_cleanup(pool->idle[--pool->idle_count]);
    }
    curl_multi_cleanup(pool->multi);
    loop_timer_destroy(pool->timer);
    free(pool);
    curl_global_cleanup();
}

CURL *pool_take_easy(struct upstream_pool *pool)
{
    if (pool->idle_count > 0) {
        return pool->idle[--pool->idle_count];
    }
    CURL *easy = curl_easy_init();
    require(easy != NULL);
    return easy;
}

void pool_give_easy(struct upstream_pool *pool, CURL *easy)
{
    if (pool->idle_count == UPSTREAM_IDLE_EASIES) {
        curl_easy_cleanup(easy);
        return;
    }
    curl_easy_reset(easy); /* forgets keys and bodies */
    pool->idle[pool->idle_count++] = easy;
}
