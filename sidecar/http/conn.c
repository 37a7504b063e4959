/* conn.c: a connection's events, deadlines and end (its states: http_priv.h).
 *
 * Reading stays armed while a reply is pending, so that a client that leaves is noticed at once
 * (recv() == 0, also for a half-close); it stops only where there is no room for what the client
 * sends: a level-triggered descriptor that is watched and not read is reported again and again.
 *
 * There is one timer for a connection, started lazily: a deadline is only written down, and the
 * timer, when it fires early, is started again for what is left. A hit therefore touches no timer.
 */
#include "http/http_priv.h"

#include "lull/base/os.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static const usec_t DRAIN_NEW = USEC_PER_S;

static void on_event(void *ctx, int events)
{
    struct http_conn *c = ctx;
    if ((events & LOOP_WRITE) != 0) {
        output_writable(c);
    }
    if (c->state != CONN_CLOSED && (events & LOOP_READ) != 0) {
        receive_readable(c);
    }
}

static void conn_free(void *ctx)
{
    struct http_conn *c = ctx;
    buf_free(&c->held);
    buf_free(&c->out);
    free(c);
}

void conn_close(struct http_conn *c)
{
    struct http_server *s = c->server;
    if (c->state == CONN_CLOSED) {
        return;
    }
    c->state = CONN_CLOSED;
    loop_watch_destroy(c->watch);
    loop_timer_destroy(c->timer);
    loop_defer_cancel(s->loop, &c->work);
    loop_defer_cancel(s->loop, &c->out_work);
    close(c->fd);
    list_remove(&c->node);
    (void)budget_settle(s->memory, &c->counted, 0);
    (void)budget_settle(s->memory, &c->out_counted, 0);
    if (c->slot != NULL) {
        server_slot_back(s, c->slot);
        c->slot = NULL;
    }
    loop_defer(s->loop, &c->freeing);
    server_conn_closed(s);
}

void conn_destroy(struct http_conn *c)
{
    struct loop *loop = c->server->loop;
    conn_close(c);
    loop_defer_cancel(loop, &c->freeing);
    conn_free(c);
}

void conn_abandon(struct http_conn *c)
{
    struct http_server *s = c->server;
    if (c->state == CONN_REQUEST) {
        c->state = CONN_WAITING;
        s->handler.on_gone(c, s->ctx);
    }
}

void conn_gone(struct http_conn *c)
{
    conn_abandon(c);
    conn_close(c);
}

bool conn_idle(const struct http_conn *c)
{
    return c->state == CONN_WAITING && c->in_len == 0 && c->out.len == 0;
}

void conn_drain(struct http_conn *c)
{
    usec_t most = c->server->limits.idle_timeout;
    if (linger_has_unread(c)) {
        return; /* it is about to be read */
    }
    if (c->used) {
        conn_close(c);
    } else {
        conn_set_deadline(c, DEADLINE_IDLE, most < DRAIN_NEW ? most : DRAIN_NEW);
    }
}

/* Bytes that the client has not taken from the kernel. The socket becomes writable when much of its
 * room is free, which a slow client may not reach in time. */
static int queued_bytes(const struct http_conn *c)
{
    int queued = 0;
    return ioctl(c->fd, TIOCOUTQ, &queued) == 0 ? queued : 0;
}

static void deadline_expired(struct http_conn *c)
{
    struct http_server *s = c->server;
    enum deadline what = c->deadline;
    c->deadline = DEADLINE_NONE;
    if (what == DEADLINE_LINGER_REST) {
        linger_resume(c);
        return;
    }
    if (what == DEADLINE_SEND && queued_bytes(c) < c->out_queued) {
        conn_await_client(c);
        return;
    }
    if (what == DEADLINE_HEAD) {
        s->counts.bad_requests++;
        if (s->handler.on_refused != NULL) {
            s->handler.on_refused(HTTP_ERROR_REQUEST_TIMEOUT, s->ctx);
        }
    }
    bool unanswered = what == DEADLINE_HEAD || (what == DEADLINE_BODY && c->reply_status == 0);
    if (what == DEADLINE_BODY) {
        conn_abandon(c);
    }
    if (unanswered && c->state != CONN_CLOSED) {
        receive_own_request(c);
        http_reply_error(c, HTTP_ERROR_REQUEST_TIMEOUT, HTTP_FORM_OPENAI, SPAN_NONE, SPAN_NONE);
        receive_process(c, REQUESTS_PER_CALL);
        return;
    }
    conn_close(c);
}

static void on_timer(void *ctx)
{
    struct http_conn *c = ctx;
    mono_t now = loop_now(c->server->loop);
    c->timer_at.us = 0;
    if (c->deadline == DEADLINE_NONE) {
        return;
    }
    if (now.us >= c->deadline_at.us) {
        deadline_expired(c);
        return;
    }
    c->timer_at = c->deadline_at;
    loop_timer_start(c->timer, mono_diff(c->deadline_at, now));
}

void conn_set_deadline(struct http_conn *c, enum deadline what, usec_t after)
{
    struct loop *loop = c->server->loop;
    c->deadline = what;
    if (what == DEADLINE_NONE) {
        return;
    }
    c->deadline_at.us = loop_now(loop).us + after;
    if (c->timer_at.us == 0 || c->timer_at.us > c->deadline_at.us) {
        c->timer_at = c->deadline_at;
        loop_timer_start(c->timer, after);
    }
}

void conn_await_client(struct http_conn *c)
{
    const struct http_limits *limits = &c->server->limits;
    bool unsent = output_unsent(c) > 0;
    if (!unsent) {
        conn_set_deadline(c, DEADLINE_IDLE, limits->idle_timeout);
    } else if (c->out_passed || limits->send_timeout == 0) {
        conn_set_deadline(c, DEADLINE_NONE, 0);
    } else {
        c->out_queued = queued_bytes(c);
        conn_set_deadline(c, DEADLINE_SEND, limits->send_timeout);
    }
}

struct http_conn *conn_longest_idle(struct http_server *s)
{
    mono_t since = {loop_now(s->loop).us - USEC_PER_S + s->limits.idle_timeout};
    struct http_conn *longest = NULL;
    list_each(node, &s->conns)
    {
        struct http_conn *c = list_item(node, struct http_conn, node);
        if (conn_idle(c) && c->deadline_at.us <= since.us && !linger_has_unread(c)) {
            since = c->deadline_at;
            longest = c;
        }
    }
    return longest;
}

void conn_update_watch(struct http_conn *c)
{
    if (c->state == CONN_CLOSED) {
        return;
    }
    bool into_held = (c->state == CONN_REQUEST || c->state == CONN_REPLIED) &&
                     c->mode == BODY_HOLD && !c->held_in_slot && !c->body_ended;
    bool has_room = c->slot == NULL || c->in_len < SLOT_BYTES || into_held;
    bool read = !c->paused && has_room;
    bool write = c->out.len > c->out_at && !c->out_waits;
    loop_watch_set(c->watch, (read ? LOOP_READ : 0) | (write ? LOOP_WRITE : 0));
}

void conn_finish_output(struct http_conn *c)
{
    if (c->state == CONN_LINGERING) {
        return;
    }
    if (linger_is_needed(c) && !c->reset_at_end) {
        linger_begin(c);
    } else {
        conn_close(c);
    }
}

/* At the end of a turn it ends a request only: what all connections do there is done before others get
 * their turn. */
static void on_work(void *ctx)
{
    struct http_conn *c = ctx;
    int requests = c->put_off ? REQUESTS_PER_CALL : 0;
    c->put_off = false;
    if (c->broken) {
        conn_gone(c);
    } else {
        receive_process(c, requests);
    }
}

void conn_open(const struct listener *l, int fd)
{
    struct http_server *s = l->server;
    struct http_conn *c = mem_new(sizeof *c);
    int on = 1;
    c->server = s;
    c->fd = fd;
    c->is_unix = l->is_unix;
    c->loopback = l->loopback;
    c->work = (struct loop_deferred){.fn = on_work, .ctx = c};
    c->out_work = (struct loop_deferred){.fn = output_send_waiting, .ctx = c};
    c->freeing = (struct loop_deferred){.fn = conn_free, .ctx = c};
    buf_init(&c->out, OUT_MAX);
    c->watch = loop_watch_create(s->loop, fd, on_event, c);
    c->timer = loop_timer_create(s->loop, on_timer, c);
    list_append(&s->conns, &c->node);
    if (!c->is_unix) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
#ifdef SO_NOSIGPIPE
    (void)setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
#endif
    s->counts.open++;
    s->counts.accepted++;
    conn_set_deadline(c, DEADLINE_IDLE, s->limits.idle_timeout);
    loop_watch_set_urgent(c->watch, s->limits.urgent);
    loop_watch_set(c->watch, LOOP_READ);
}

/* ---- what handlers ask ---- */

void http_conn_set_data(struct http_conn *c, void *data)
{
    c->data = data;
}

void *http_conn_data(const struct http_conn *c)
{
    return c->data;
}

const struct http_request *http_conn_request(const struct http_conn *c)
{
    return &c->slot->request;
}

int http_conn_fd(const struct http_conn *c)
{
    return c->fd;
}

void http_conn_set_urgent(struct http_conn *c)
{
    c->urgent = true;
    loop_watch_set_urgent(c->watch, true);
}

void *http_conn_memo(struct http_conn *c)
{
    return c->memo;
}

bool http_conn_is_loopback(const struct http_conn *c)
{
    return c->loopback;
}
