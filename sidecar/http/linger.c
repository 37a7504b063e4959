/* linger.c: the end of a connection on which the client may still be sending.
 *
 * Closing a socket with unread input resets the connection, and a reset discards the reply that
 * the client has not read yet. So our side is shut down, which ends the reply, and what comes is
 * read and dropped until the client closes. This also serves clients that read a reply only after
 * they have sent the whole request. Bounds: time, silence, and bytes per second.
 */
#include "http/http_priv.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static const usec_t LINGER_TIME = 30 * USEC_PER_S;
static const usec_t LINGER_SILENCE = 5 * USEC_PER_S;
static const usec_t LINGER_DRAINING = 2 * USEC_PER_S;
enum { LINGER_READ = 64 * 1024, LINGER_PER_SECOND = 128 * 1024 * 1024 };

bool linger_has_unread(const struct http_conn *c)
{
    int waiting = 0;
    return ioctl(c->fd, FIONREAD, &waiting) == 0 && waiting > 0;
}

bool linger_is_needed(const struct http_conn *c)
{
    bool behind = c->slot != NULL && c->in_len > c->body_at;
    return !c->body_ended || behind || linger_has_unread(c);
}

static void linger_wait(struct http_conn *c)
{
    usec_t left = mono_diff(c->linger_until, loop_now(c->server->loop));
    conn_set_deadline(c, DEADLINE_LINGER, left < LINGER_SILENCE ? left : LINGER_SILENCE);
    conn_update_watch(c);
}

static void begin_second(struct http_conn *c)
{
    c->paused = false;
    c->linger_read = 0;
    c->linger_second = loop_now(c->server->loop);
}

void linger_begin(struct http_conn *c)
{
    bool draining = c->server->draining;
    c->state = CONN_LINGERING;
    if (c->slot != NULL) {
        server_slot_back(c->server, c->slot);
        c->slot = NULL;
    }
    receive_drop_held(c);
    c->in_len = 0;
    c->linger_until = loop_now(c->server->loop);
    c->linger_until.us += draining ? LINGER_DRAINING : LINGER_TIME;
    begin_second(c);
    (void)shutdown(c->fd, SHUT_WR);
    linger_wait(c);
}

void linger_drain(struct http_conn *c)
{
    mono_t now = loop_now(c->server->loop);
    if (mono_diff(c->linger_until, now) > LINGER_DRAINING) {
        c->linger_until.us = now.us + LINGER_DRAINING;
        linger_wait(c);
    }
}

void linger_resume(struct http_conn *c)
{
    begin_second(c);
    linger_wait(c);
}

void linger_readable(struct http_conn *c)
{
    char dropped[LINGER_READ];
    ssize_t n = recv(c->fd, dropped, sizeof dropped, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    mono_t now = loop_now(c->server->loop);
    if (n <= 0 || mono_diff(c->linger_until, now) <= 0) {
        conn_close(c);
        return;
    }
    usec_t passed = mono_diff(now, c->linger_second);
    if (passed >= USEC_PER_S) {
        begin_second(c);
        passed = 0;
    }
    c->linger_read += (size_t)n;
    if (c->linger_read < LINGER_PER_SECOND) {
        linger_wait(c);
        return;
    }
    c->paused = true;
    conn_set_deadline(c, DEADLINE_LINGER_REST, USEC_PER_S - passed);
    conn_update_watch(c);
}
