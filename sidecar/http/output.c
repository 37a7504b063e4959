/* output.c: bytes of replies, to the socket.
 *
 * A whole reply is one sendmsg() of head and body, straight from where they are; only what the
 * socket does not take is copied.
 */
#include "http/http_priv.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { HELD_MOST = 16 * 1024 };

size_t output_unsent(const struct http_conn *c)
{
    return c->out.len - c->out_at;
}

void output_broke(struct http_conn *c)
{
    c->broken = true;
    receive_later(c);
}

/* Counts so many unsent bytes: what is over OUT_FREE. false: there is no room for them. */
static bool count_output(struct http_conn *c, size_t len)
{
    return budget_settle(c->server->memory, &c->out_counted, len > OUT_FREE ? len - OUT_FREE : 0);
}

static void queue_output(struct http_conn *c, struct span s)
{
    if (c->out_at > 0 && c->out_at == c->out.len) {
        buf_clear(&c->out);
        c->out_at = 0;
    }
    if (s.len > 0 &&
        (!count_output(c, output_unsent(c) + s.len) || buf_append_span(&c->out, s) != ERR_OK)) {
        output_broke(c);
    }
}

/* Writes as much as the socket takes; returns how much, or -1. */
static ssize_t write_socket(struct http_conn *c, const struct span *parts, size_t count)
{
    struct iovec iov[1 + REPLY_PARTS];
    struct msghdr msg = {.msg_iov = iov};
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len > 0) {
            iov[msg.msg_iovlen++] = (struct iovec){(void *)(uintptr_t)parts[i].ptr, parts[i].len};
        }
    }
    ssize_t n = sendmsg(c->fd, &msg, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    return n;
}

/* Queues what is behind the first `sent` bytes of the parts. */
static void queue_rest(struct http_conn *c, const struct span *parts, size_t count, size_t sent)
{
    for (size_t i = 0; i < count; i++) {
        size_t gone = sent < parts[i].len ? sent : parts[i].len;
        if (gone < parts[i].len) {
            queue_output(c, span_make(parts[i].ptr + gone, parts[i].len - gone));
        }
        sent -= gone;
    }
}

void output_send(struct http_conn *c, const struct span *parts, size_t count)
{
    struct span all[1 + REPLY_PARTS] = {SPAN_NONE};
    size_t sent = 0, len = 0, waiting = c->out_waits ? output_unsent(c) : 0;
    require(count <= REPLY_PARTS);
    if (c->broken || c->state == CONN_CLOSED) {
        return;
    }
    if (waiting > 0) {
        all[0] = span_make(c->out.data + c->out_at, waiting);
    }
    for (size_t i = 0; i < count; i++) {
        all[1 + i] = parts[i];
        len += parts[i].len;
    }
    bool blocked = output_unsent(c) > waiting; /* output that the socket has not taken */
    c->out_waits = false;
    loop_defer_cancel(c->server->loop, &c->out_work);
    if (!blocked && waiting + len > 0) {
        ssize_t n = write_socket(c, all, 1 + count);
        if (n < 0) {
            output_broke(c);
            return;
        }
        sent = (size_t)n;
    }
    size_t of_waiting = sent < waiting ? sent : waiting;
    c->out_at += of_waiting;
    if (waiting > 0 && of_waiting == waiting) {
        buf_free(&c->out);
        c->out_at = 0;
    }
    if (sent < waiting + len) {
        queue_rest(c, parts, count, sent - of_waiting);
        conn_update_watch(c);
    }
}

void output_send_waiting(void *arg)
{
    struct http_conn *c = arg;
    if (c->out_waits) {
        output_send(c, NULL, 0);
    }
}

static void wait_for_more(struct http_conn *c)
{
    c->out_waits = true;
    loop_defer(c->server->loop, &c->out_work);
}

void output_hold_head(struct http_conn *c, struct buf *head)
{
    if (output_unsent(c) > 0) {
        const struct span all = buf_span(head);
        output_send(c, &all, 1);
        buf_free(head);
        return;
    }
    buf_free(&c->out);
    c->out = *head;
    c->out.max = OUT_MAX;
    c->out_at = 0;
    wait_for_more(c);
}

bool output_hold(struct http_conn *c, const struct span *parts, size_t count)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++) {
        len += parts[i].len;
    }
    bool blocked = output_unsent(c) > 0 && !c->out_waits;
    if (blocked || output_unsent(c) + len > HELD_MOST || buf_reserve(&c->out, len) != ERR_OK) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        require_ok(buf_append_span(&c->out, parts[i]));
    }
    wait_for_more(c);
    return true;
}

void output_writable(struct http_conn *c)
{
    struct http_server *s = c->server;
    if (output_unsent(c) > 0) {
        const struct span rest = span_make(c->out.data + c->out_at, output_unsent(c));
        ssize_t n = write_socket(c, &rest, 1);
        if (n < 0) {
            conn_gone(c);
            return;
        }
        c->out_at += (size_t)n;
        (void)count_output(c, output_unsent(c)); /* less than before */
    }
    if (output_unsent(c) == 0) {
        buf_free(&c->out);
        c->out_at = 0;
    } else if (c->out_at > HIGH_WATER) {
        buf_consume(&c->out, c->out_at);
        c->out_at = 0;
    }
    bool all_sent = output_unsent(c) == 0 && c->state == CONN_WAITING;
    if (c->deadline == DEADLINE_SEND || (all_sent && c->deadline == DEADLINE_NONE)) {
        conn_await_client(c);
    }
    conn_update_watch(c);
    if (c->want_writable && output_unsent(c) <= s->limits.low_water) {
        c->want_writable = false;
        s->handler.on_writable(c, s->ctx);
    }
    if (c->state != CONN_CLOSED && output_unsent(c) == 0) {
        receive_process(c, REQUESTS_PER_CALL); /* the next request, or the end */
    }
}
