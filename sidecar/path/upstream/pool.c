/* pool.c: libcurl's multi interface on our loop.
 *
 * libcurl says which descriptors and which moment it waits for; the loop watches them and hands
 * back what happened (curl_multi_socket_action). After every such call the messages are drained:
 * libcurl reports the end of a transfer nowhere else. libcurl must not be entered again from inside
 * its own callbacks: `in_curl` counts the calls we are inside of, and where it is not 0 the work is
 * deferred to the end of the turn.
 *
 * libcurl can ask again and again to act at once: 8.14 does while a transfer is paused whose answer
 * has come and whose connection the server has closed. Deferred work that defers itself would be a
 * turn without end, in which the client whose slowness the pause is cannot be served. So after
 * AT_ONCE times in a row the next one is a millisecond later.
 *
 * The pool owns the multi handle, the watches, and a few idle easy handles. The connections are
 * libcurl's; they are kept per multi handle, so all calls share them.
 *
 * Rejected: CURLMOPT_MAX_HOST_CONNECTIONS as a limit (time in its queue is invisible; the schedule
 * decides who may call), and one thread per call.
 */
#include "path/upstream/upstream_priv.h"

#include <stdlib.h>
#include <unistd.h>

static const long MAX_IDLE_CONNECTIONS = 64;
static const int AT_ONCE = 16; /* the state machine of a request takes two or three */

static void report_ended(struct upstream_pool *pool)
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
        pool->events->over(call, code);
    }
}

/* Aborts where libcurl has no memory for a row of its table of sockets, of fixed size as our struct sock.
 * Its transfer would wait for nothing: what comes lies on a descriptor that nothing reads, or that counts
 * as an idle one. And a row without its table of transfers stays where the connection is not made yet:
 * 7.88 divides by zero when the next connection has the same descriptor. */
void pool_action(struct upstream_pool *pool, curl_socket_t fd, int bits)
{
    int running = 0;
    pool->in_curl++;
    pool->in_timeout = fd == CURL_SOCKET_TIMEOUT;
    CURLMcode code = curl_multi_socket_action(pool->multi, fd, bits, &running);
    pool->in_timeout = false;
    pool->in_curl--;
    if (code == CURLM_OUT_OF_MEMORY) {
        (void)mem_have(NULL);
    }
    report_ended(pool);
}

static void on_timer(void *ctx)
{
    pool_action(ctx, CURL_SOCKET_TIMEOUT, 0);
}

/* Never acts at once: that would enter libcurl from its own callback. 0, as at the begin of every
 * transfer, is the end of this turn of the loop: a timer would be a turn of its own. */
static int on_timeout(CURLM *multi, long ms, void *userp)
{
    struct upstream_pool *pool = userp;
    (void)multi;
    loop_timer_stop(pool->timer);
    loop_defer_cancel(pool->loop, &pool->soon);
    pool->at_once = pool->in_timeout ? pool->at_once + (ms == 0 ? 1 : 0) : 0;
    if (ms > 0 || pool->at_once > AT_ONCE) {
        loop_timer_start(pool->timer, ms > 0 ? (usec_t)ms * USEC_PER_MS : USEC_PER_MS);
    } else if (ms == 0) {
        loop_defer(pool->loop, &pool->soon);
    }
    return 0;
}

/* Whether libcurl has a file of the system's certificates. */
static bool has_system_file(void)
{
    const curl_version_info_data *built = curl_version_info(CURLVERSION_NOW);
    return built->cainfo != NULL && access(built->cainfo, R_OK) == 0;
}

struct upstream_pool *pool_create(struct loop *loop, curl_socket_callback wanted,
                                  const struct pool_events *events)
{
    struct upstream_pool *pool = mem_new(sizeof *pool);
    CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
    require(ready == CURLE_OK);
    pool->loop = loop;
    pool->events = events;
    pool->system_file = has_system_file();
    list_init(&pool->socks);
    list_init(&pool->unasked);
    for (size_t i = 0; i < UPSTREAM_PORT_ROWS; i++) {
        list_init(&pool->by_port[i]);
    }
    pool->timer = loop_timer_create(loop, on_timer, pool);
    pool->soon = (struct loop_deferred){.fn = on_timer, .ctx = pool};
    pool->multi = curl_multi_init();
    (void)mem_have(pool->multi);
    curl_multi_setopt(pool->multi, CURLMOPT_SOCKETFUNCTION, wanted);
    curl_multi_setopt(pool->multi, CURLMOPT_SOCKETDATA, pool);
    curl_multi_setopt(pool->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    curl_multi_setopt(pool->multi, CURLMOPT_TIMERDATA, pool);
    curl_multi_setopt(pool->multi, CURLMOPT_MAXCONNECTS, MAX_IDLE_CONNECTIONS);
    curl_multi_setopt(pool->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    return pool;
}

void pool_destroy(struct upstream_pool *pool)
{
    require(pool->calls == 0);
    while (pool->idle_count > 0) {
        curl_easy_cleanup(pool->idle[--pool->idle_count]);
    }
    curl_multi_cleanup(pool->multi); /* closes what is idle */
    require(list_empty(&pool->socks));
    origins_free(pool);
    free(pool->by_fd);
    loop_timer_destroy(pool->timer);
    loop_defer_cancel(pool->loop, &pool->soon);
    free(pool);
    curl_global_cleanup();
}

CURL *pool_take_easy(struct upstream_pool *pool)
{
    if (pool->idle_count > 0) {
        return pool->idle[--pool->idle_count];
    }
    return mem_have(curl_easy_init());
}

void pool_give_easy(struct upstream_pool *pool, CURL *easy, bool reusable)
{
    if (!reusable || pool->idle_count == UPSTREAM_IDLE_EASIES) {
        curl_easy_cleanup(easy);
        return;
    }
    curl_easy_reset(easy); /* forgets keys and bodies */
    pool->idle[pool->idle_count++] = easy;
}
