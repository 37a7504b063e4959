/* scripted.h: a model server out of a script, on raw sockets and the test's own loop. The n-th
 * complete request (over all connections) gets the n-th answer, the last answer again and again.
 * Everything it received is kept, so that tests can look at the very bytes. Used by the tests of
 * upstream and relay.
 */
#ifndef LULL_TESTS_UNIT_UPSTREAM_SCRIPTED_H
#define LULL_TESTS_UNIT_UPSTREAM_SCRIPTED_H

#include "support/upstream_at.h"

#include "lull/base/buf.h"
#include "lull/base/loop.h"
#include "lull/base/os.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A span as a constant expression: SPAN() is a compound literal. */
#define LITERAL(text)                                                                              \
    {                                                                                              \
        (text), sizeof(text) - 1                                                                   \
    }

enum after { KEEP, CLOSE, RESET };

struct answer {
    struct span bytes;
    size_t generate;  /* so many bytes of pattern() after them */
    struct span tail; /* after those */
    enum after after;
    bool at_head;      /* answer (and count the request) when its head is there */
    bool stop_reading; /* from the head on, nothing is read until scripted_read_on */
};

enum { MAX_PEERS = 32 };

struct peer {
    struct scripted *server;
    int fd;
    struct loop_watch *watch;
    struct buf in;
    size_t body_seen; /* where bodies are discarded */
    char last[8];
    bool answered_at_head;
    bool reading;
    const struct answer *answer; /* being written */
    size_t sent;
};

struct scripted {
    struct loop *loop;
    int fd;
    struct loop_watch *watch;
    struct peer peers[MAX_PEERS];
    int accepted, requests, closed; /* closed: by the other side, seen by us */
    struct buf seen;                /* all complete requests, one after the other */
    size_t sent, received;          /* in all, heads included */
    const struct answer *answers;
    int answer_count;
    bool discard;                /* bodies are counted, not kept */
    void (*on_close)(void *ctx); /* a peer went away */
    void *ctx;
    struct upstream_settings to;
    char origin[64], host[64], path[108];
};

static inline char pattern(size_t i)
{
    return (char)('A' + (int)((i * 7 + (i >> 9)) % 50));
}

static inline void peer_drop(struct peer *p)
{
    if (p->fd >= 0) {
        loop_watch_destroy(p->watch);
        close(p->fd);
        buf_free(&p->in);
        p->fd = -1;
    }
}

static inline void peer_watch(struct peer *p)
{
    loop_watch_set(p->watch, (p->reading ? LOOP_READ : 0) | (p->answer != NULL ? LOOP_WRITE : 0));
}

static inline void peer_end(struct peer *p)
{
    enum after after = p->answer->after;
    p->answer = NULL;
    p->sent = 0;
    if (after == RESET) {
        struct linger hard = {1, 0};
        setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    }
    if (after != KEEP) {
        peer_drop(p);
    } else {
        peer_watch(p);
    }
}

static inline size_t peer_fill(const struct peer *p, char *out, size_t room)
{
    const struct answer *a = p->answer;
    size_t n = 0;
    for (size_t i = p->sent; n < room; i++, n++) {
        if (i < a->bytes.len) {
            out[n] = a->bytes.ptr[i];
        } else if (i < a->bytes.len + a->generate) {
            out[n] = pattern(i - a->bytes.len);
        } else if (i < a->bytes.len + a->generate + a->tail.len) {
            out[n] = a->tail.ptr[i - a->bytes.len - a->generate];
        } else {
            break;
        }
    }
    return n;
}

static inline void peer_write(struct peer *p)
{
    char bytes[65536];
    size_t n = peer_fill(p, bytes, sizeof bytes);
    while (n > 0) {
        ssize_t done = send(p->fd, bytes, n, MSG_NOSIGNAL);
        if (done < 0) {
            if (errno != EAGAIN) {
                p->server->closed++;
                peer_drop(p);
                if (p->server->on_close != NULL) {
                    p->server->on_close(p->server->ctx);
                }
            }
            return;
        }
        p->sent += (size_t)done;
        p->server->sent += (size_t)done;
        n = peer_fill(p, bytes, sizeof bytes);
    }
    peer_end(p);
}

static inline void peer_answer(struct peer *p)
{
    struct scripted *s = p->server;
    int i = s->requests < s->answer_count ? s->requests : s->answer_count - 1;
    s->requests++;
    p->answer = &s->answers[i];
    peer_watch(p);
    peer_write(p);
}

static inline size_t head_end(struct span in)
{
    size_t at = span_find(in, SPAN("\r\n\r\n"), 0);
    return at == SIZE_MAX ? SIZE_MAX : at + 4;
}

/* Bytes of the body announced; SIZE_MAX: chunked. */
static inline size_t announced(struct span head)
{
    size_t at = span_find(head, SPAN("\r\nContent-Length: "), 0);
    if (at != SIZE_MAX) {
        return (size_t)strtoull(head.ptr + at + 18, NULL, 10);
    }
    return span_find(head, SPAN("\r\nTransfer-Encoding: chunked"), 0) == SIZE_MAX ? 0 : SIZE_MAX;
}

static inline bool peer_complete(const struct peer *p)
{
    struct span in = buf_span(&p->in);
    size_t end = head_end(in);
    if (end == SIZE_MAX) {
        return false;
    }
    size_t want = announced(span_make(in.ptr, end));
    size_t have = p->server->discard ? p->body_seen : in.len - end;
    if (want != SIZE_MAX) {
        return have >= want;
    }
    return p->server->discard ? memcmp(p->last, "\r\n0\r\n\r\n", 7) == 0
                              : span_ends(in, SPAN("0\r\n\r\n"));
}

static inline void peer_discard(struct peer *p)
{
    size_t end = head_end(buf_span(&p->in));
    if (!p->server->discard || end == SIZE_MAX) {
        return;
    }
    size_t body = p->in.len - end;
    if (body >= 7) {
        memcpy(p->last, p->in.data + p->in.len - 7, 7);
    } else if (body > 0) {
        memmove(p->last, p->last + body, 7 - body);
        memcpy(p->last + 7 - body, p->in.data + end, body);
    }
    p->body_seen += body;
    p->in.len = end;
}

static inline void peer_requests(struct peer *p)
{
    struct scripted *s = p->server;
    const struct answer *next =
        &s->answers[s->requests < s->answer_count ? s->requests : s->answer_count - 1];
    bool head = head_end(buf_span(&p->in)) != SIZE_MAX;
    if (head && !p->answered_at_head && next->stop_reading && p->reading) {
        p->reading = false;
        peer_watch(p);
    }
    if (head && !p->answered_at_head && next->at_head) {
        p->answered_at_head = true;
        peer_answer(p);
    } else if (!p->answered_at_head && p->answer == NULL && peer_complete(p)) {
        require_ok(buf_append_span(&s->seen, buf_span(&p->in)));
        buf_clear(&p->in);
        p->body_seen = 0;
        peer_answer(p);
    }
}

static inline void peer_read(struct peer *p)
{
    char bytes[65536];
    ssize_t n = recv(p->fd, bytes, sizeof bytes, 0);
    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n <= 0) {
        p->server->closed++;
        peer_drop(p);
        if (p->server->on_close != NULL) {
            p->server->on_close(p->server->ctx);
        }
        return;
    }
    p->server->received += (size_t)n;
    require_ok(buf_append(&p->in, bytes, (size_t)n));
    peer_discard(p);
    peer_requests(p);
}

static inline void peer_event(void *ctx, int events)
{
    struct peer *p = ctx;
    if ((events & LOOP_WRITE) != 0 && p->fd >= 0 && p->answer != NULL) {
        peer_write(p);
    }
    if ((events & LOOP_READ) != 0 && p->fd >= 0 && p->reading) {
        peer_read(p);
    }
}

static inline void scripted_accept(void *ctx, int events)
{
    struct scripted *s = ctx;
    (void)events;
    int fd = os_accept(s->fd);
    if (fd < 0) {
        return;
    }
    require(s->accepted < MAX_PEERS);
    struct peer *p = &s->peers[s->accepted++];
    *p = (struct peer){.server = s, .fd = fd, .reading = true};
    buf_init(&p->in, (size_t)128 << 20);
    p->watch = loop_watch_create(s->loop, fd, peer_event, p);
    peer_watch(p);
}

static inline void scripted_listen(struct scripted *s, struct sockaddr *sa, socklen_t len)
{
    s->fd = os_socket(sa->sa_family, SOCK_STREAM);
    require(s->fd >= 0);
    require(bind(s->fd, sa, len) == 0);
    require(listen(s->fd, 64) == 0);
    s->watch = loop_watch_create(s->loop, s->fd, scripted_accept, s);
    loop_watch_set(s->watch, LOOP_READ);
}

/* path: NULL for TCP, otherwise of a Unix socket. */
static inline void scripted_open(struct scripted *s, struct loop *loop, const char *path)
{
    *s = (struct scripted){.loop = loop};
    buf_init(&s->seen, (size_t)256 << 20);
    for (int i = 0; i < MAX_PEERS; i++) {
        s->peers[i].fd = -1;
    }
    if (path != NULL) {
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        snprintf(un.sun_path, sizeof un.sun_path, "%s", path);
        snprintf(s->path, sizeof s->path, "%s", path);
        snprintf(s->origin, sizeof s->origin, "http://localhost");
        snprintf(s->host, sizeof s->host, "localhost");
        unlink(path);
        scripted_listen(s, (struct sockaddr *)&un, sizeof un);
    } else {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        scripted_listen(s, (struct sockaddr *)&in, sizeof in);
        socklen_t len = sizeof in;
        require(getsockname(s->fd, (struct sockaddr *)&in, &len) == 0);
        snprintf(s->host, sizeof s->host, "127.0.0.1:%d", ntohs(in.sin_port));
        snprintf(s->origin, sizeof s->origin, "http://127.0.0.1:%d", ntohs(in.sin_port));
    }
    s->to = upstream_at(s->origin, s->host, s->path);
    s->to.name = (char *)"scripted";
}

static inline void scripted_script(struct scripted *s, const struct answer *answers, int count)
{
    s->answers = answers;
    s->answer_count = count;
}

static inline void scripted_read_on(struct scripted *s)
{
    for (int i = 0; i < s->accepted; i++) {
        if (s->peers[i].fd >= 0) {
            s->peers[i].reading = true;
            peer_watch(&s->peers[i]);
        }
    }
}

static inline int scripted_open_peers(const struct scripted *s)
{
    int open = 0;
    for (int i = 0; i < s->accepted; i++) {
        open += s->peers[i].fd >= 0 ? 1 : 0;
    }
    return open;
}

/* Sends raw bytes on a connection, whatever the script says. */
static inline void scripted_say(struct scripted *s, int peer, struct span bytes)
{
    require(send(s->peers[peer].fd, bytes.ptr, bytes.len, MSG_NOSIGNAL) == (ssize_t)bytes.len);
}

static inline void scripted_close(struct scripted *s)
{
    for (int i = 0; i < s->accepted; i++) {
        peer_drop(&s->peers[i]);
    }
    loop_watch_destroy(s->watch);
    close(s->fd);
    buf_free(&s->seen);
    if (s->path[0] != '\0') {
        unlink(s->path);
    }
}

#endif
