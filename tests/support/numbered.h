/* numbered.h: a model server on Unix sockets that does anything in any order, of fuzz_upstream_call.c.
 *
 * Each request has a number, in its target and in every byte of its body and of its answer: the server
 * compares what it gets, and the caller what comes back. A peer is one connection to the server; it
 * knows whose request it has, and how far the answer is.
 */
#ifndef TESTS_SUPPORT_NUMBERED_H
#define TESTS_SUPPORT_NUMBERED_H

#include "support/choices.h"
#include "support/fake_loop.h"

#include "path/upstream/upstream_priv.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CALLS_MOST = 24,
    PEERS_MOST = 64,
    BODY_LARGE = 300 * 1024, /* more than a socket and libcurl take */
    ANSWER_LARGE = 50 * 1024
};

static struct loop *loop;
static int listener, named = -1; /* named: the same server by its name, over TCP */

/* What the bodies of all numbers are cut from, each with its own beginning. */
enum { PERIOD = 550, PATTERN = PERIOD + 16 * 1024 };
static char pattern[PATTERN];

/* As much of the body of that number as there is in one piece. */
static struct span pattern_at(size_t id, size_t from, size_t n)
{
    size_t at = (id * 77 + from) % PERIOD;
    return span_make(pattern + at, n < PATTERN - at ? n : PATTERN - at);
}

static void fill(char *out, size_t id, size_t from, size_t n)
{
    for (size_t at = 0; at < n;) {
        struct span piece = pattern_at(id, from + at, n - at);
        memcpy(out + at, piece.ptr, piece.len);
        at += piece.len;
    }
}

static bool is_of(size_t id, size_t from, struct span bytes)
{
    bool same = true;
    for (size_t at = 0; same && at < bytes.len;) {
        struct span piece = pattern_at(id, from + at, bytes.len - at);
        same = memcmp(bytes.ptr + at, piece.ptr, piece.len) == 0;
        at += piece.len;
    }
    return same;
}

/* ---- the calls, as the server knows them ---- */

enum body { BODY_NONE, BODY_HELD, BODY_LONG, BODY_LENGTH, BODY_CHUNKED, BODY_HEAD, BODIES };
/* Framing of an answer. LARGE: compressed, and more than a call takes once it is not. */
enum framing { BY_LENGTH, BY_CHUNKS, BY_CLOSE, EMPTY, PACKED, LARGE, FRAMINGS };

struct call {
    struct upstream_call *call; /* NULL: over */
    enum body body;
    size_t length, written; /* of the body */
    bool by_name;           /* asked by the server's name */
    bool ended, full;       /* full: wait for room */
    bool decode, hold, abort_at_head, abort_at_data, more_at_head, reset_at_room, abort_at_room;
    bool refused;      /* memory for its start, or for its body */
    bool abort_others; /* where it gets its head */
    size_t odd;        /* answers to it that named an encoding that does not exist */
    size_t at;         /* which connection it was last seen on */
    int heads, dones, arrivals;
    size_t got;
    int64_t announced;
    struct upstream_report report;
    enum framing framing; /* of the answer that is being sent */
    size_t answer;        /* its length, as far as it is known */
    bool sent_whole;      /* the server sent it to its end */
    char *held;           /* its body, where that is held */
};

static struct call calls[CALLS_MOST];
static bool large_sent; /* in this run: it takes long */
static bool odd_sent;   /* in this run: an encoding that does not exist */
static size_t call_count;

static size_t number_of(const struct call *c)
{
    return (size_t)(c - calls);
}

/* ---- the server ---- */

struct peer {
    int fd; /* -1: none */
    struct buf in, out;
    struct call *of;     /* whose request came; NULL: none */
    bool chunked, whole; /* the request; whole: it came to its end */
    size_t body_length, body_got;
    struct http_chunked chunks;
    bool head_sent, answered;
    size_t appended; /* of the answer's body */
    size_t number;   /* connections are numbered as they come */
    bool tcp;        /* what was sent first may arrive behind what was sent later the other way */
    bool stale;      /* its request came again on a later one */
    bool doomed;     /* it sent what no request asked for: no request may come any
                      more */
};

static struct peer peers[PEERS_MOST];
static size_t accepted;

/* Its request is, or was, on another connection as well: nothing is answered here any more. */
static void set_stale(struct peer *p)
{
    p->of = NULL;
    p->stale = p->doomed = true;
}

static void peer_close(struct peer *p)
{
    if (p->of != NULL && p->head_sent && p->of->framing == BY_CLOSE) {
        p->of->answer -= p->out.len < p->of->answer ? p->out.len : p->of->answer;
    }
    close(p->fd);
    buf_free(&p->in);
    buf_free(&p->out);
    *p = (struct peer){.fd = -1};
}

static void accept_all(void)
{
    for (size_t i = 0; i < PEERS_MOST; i++) {
        if (peers[i].fd < 0) {
            int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            bool tcp = fd < 0;
            fd = tcp ? accept4(named, NULL, NULL, SOCK_NONBLOCK) : fd;
            if (fd < 0) {
                return;
            }
            peers[i] = (struct peer){.fd = fd,
                                     .tcp = tcp,
                                     .number = ++accepted,
                                     .in = {.max = SIZE_MAX},
                                     .out = {.max = SIZE_MAX}};
        }
    }
}

static void peer_flush(struct peer *p)
{
    if (p->out.len > 0) {
        ssize_t n = send(p->fd, p->out.data, p->out.len, MSG_NOSIGNAL);
        buf_consume(&p->out, n > 0 ? (size_t)n : 0);
    }
}

/* Compares a piece of the body. */
static void take_body(struct peer *p, struct span piece)
{
    require(is_of(number_of(p->of), p->body_got, piece));
    p->body_got += piece.len;
}

/* Reads what is there of the body, and takes it off. */
static void read_body(struct peer *p)
{
    struct span left = buf_span(&p->in), piece;
    bool more = true;
    while (more && !p->whole) {
        size_t used = 0;
        enum http_chunk what = HTTP_CHUNK_DATA;
        if (p->chunked) {
            what = http_chunked_feed(&p->chunks, p->in.data + (p->in.len - left.len), left.len,
                                     &used, &piece);
            require(what != HTTP_CHUNK_ERROR);
        } else {
            size_t rest = p->body_length - p->body_got;
            used = left.len < rest ? left.len : rest;
            piece = span_make(left.ptr, used);
        }
        if (what == HTTP_CHUNK_DATA) {
            take_body(p, piece);
        }
        left = span_make(left.ptr + used, left.len - used);
        p->whole = p->chunked ? what == HTTP_CHUNK_END : p->body_got == p->body_length;
        more = used > 0;
    }
    buf_consume(&p->in, p->in.len - left.len);
    require(p->body_got <= p->of->length);
    require(!p->whole || p->of->body <= BODY_NONE || p->of->body == BODY_HEAD ||
            p->body_got == p->of->length || (p->of->body == BODY_CHUNKED && p->of->ended));
}

/* The head has come: whose request it is. */
static void read_head(struct peer *p, struct span head)
{
    int number = -1;
    char line[64];
    snprintf(line, sizeof line, "%.*s", (int)(head.len < 40 ? head.len : 40), head.ptr);
    require(sscanf(line, "%*4[A-Z] /call/%d HTTP/1.1\r\n", &number) == 1);
    require(number >= 0 && (size_t)number < call_count && !p->doomed);
    struct call *c = &calls[number];
    require(
        span_find(head,
                  c->by_name ? SPAN("\r\nHost: server.test\r\n") : SPAN("\r\nHost: localhost\r\n"),
                  0) != SIZE_MAX);
    snprintf(line, sizeof line, "\r\nX-Number: /call/%d\r\n", number);
    require(span_find(head, span_of(line), 0) != SIZE_MAX);
    require(span_starts(head, SPAN("HEAD ")) == (c->body == BODY_HEAD));
    bool once = c->body == BODY_CHUNKED ||
                (c->body == BODY_LENGTH && c->length > (size_t)UPSTREAM_KEPT_BODY);
    c->arrivals++;
    require(c->arrivals <= (once ? 1 : c->decode ? 6 : 4));
    for (size_t i = 0; i < PEERS_MOST; i++) {
        if (peers[i].of == c && peers[i].number < p->number) {
            set_stale(&peers[i]);
        }
    }
    if (p->number < c->at) {
        set_stale(p);
        return;
    }
    c->at = p->number;
    size_t at = span_find(head, SPAN("\r\nContent-Length: "), 0);
    p->of = c;
    p->chunked = span_find(head, SPAN("\r\nTransfer-Encoding: chunked\r\n"), 0) != SIZE_MAX;
    p->chunks = (struct http_chunked){0};
    p->body_length = at == SIZE_MAX ? 0 : strtoul(head.ptr + at + 18, NULL, 10);
    p->body_got = 0;
    require(at == SIZE_MAX || p->body_length == c->length);
    p->head_sent = p->answered = p->whole = false;
    p->appended = 0;
}

/* The next request is there only when the one before it was answered. */
static void read_requests(struct peer *p)
{
    bool more = !p->stale;
    while (more) {
        size_t end = span_find(buf_span(&p->in), SPAN("\r\n\r\n"), 0);
        if (p->of == NULL && end != SIZE_MAX) {
            read_head(p, span_make(p->in.data, end + 4));
            buf_consume(&p->in, end + 4);
        }
        if (p->of != NULL) {
            read_body(p);
        }
        more = p->of != NULL && p->whole && p->answered && !p->stale;
        p->of = more ? NULL : p->of;
        require(p->of == NULL || !p->whole || p->in.len == 0);
    }
}

static void peer_read(struct peer *p, size_t most)
{
    while (most > 0) {
        char bytes[16 * 1024];
        ssize_t n = recv(p->fd, bytes, most < sizeof bytes ? most : sizeof bytes, 0);
        if (n <= 0) {
            if (n == 0) {
                peer_close(p);
            }
            break;
        }
        require(buf_append(&p->in, bytes, (size_t)n) == ERR_OK);
        most -= (size_t)n;
        fake_loop_settle(loop);
    }
    if (p->fd >= 0) {
        read_requests(p);
    }
}

static void say(struct peer *p, struct span bytes)
{
    require(buf_append_span(&p->out, bytes) == ERR_OK);
}

static void answer_piece(struct peer *p, size_t n)
{
    struct call *c = p->of;
    char *bytes = mem_new(n + 1);
    fill(bytes, number_of(c), p->appended, n);
    if (c->framing == BY_CHUNKS && n > 0) {
        buf_text(&p->out, "%zx\r\n", n);
    }
    say(p, span_make(bytes, n));
    if (c->framing == BY_CHUNKS && n > 0) {
        say(p, SPAN("\r\n"));
    }
    p->appended += n;
    free(bytes);
}

/* 17 MB of the same byte in 107 KB: a literal, then copies of 258 bytes, 13 bits each. */
static struct span large_body(void)
{
    enum { COPIES = 68 * 1024 };
    static char body[COPIES * 13 / 8 + 64];
    static size_t len;
    static const char head[] = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03";
    size_t bit = 0;
    if (len == 0) {
        memcpy(body, head, len = sizeof head - 1);
        /* bits as they go out: last block, fixed codes, 0; length 258, distance 1 */
        for (size_t i = 0; i <= COPIES; i++) {
            for (const char *b = i == 0 ? "11000110000" : "1100010100000"; *b != '\0'; b++, bit++) {
                body[len + bit / 8] = (char)(body[len + bit / 8] | (*b == '1' ? 1 << bit % 8 : 0));
            }
        }
        len += bit / 8;
    }
    return span_make(body, len);
}

static void answer_head(struct peer *p)
{
    static const size_t lengths[] = {0, 3, 5000, ANSWER_LARGE};
    static const char packed[] = "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb"
                                 "\xcf\x06\x00\x47\xdd\xdc\x79\x02\x00\x00\x00";
    struct call *c = p->of;
    c->framing = (enum framing)pick(large_sent ? LARGE : FRAMINGS);
    c->framing = odd_sent && pick(3) == 0 ? PACKED : c->framing; /* of another part of the server */
    c->answer = c->framing == BY_CLOSE ? 0 : lengths[pick(4)];
    c->sent_whole = false;
    p->head_sent = true;
    say(p, c->framing == EMPTY ? SPAN("HTTP/1.1 204 No Content\r\n") : SPAN("HTTP/1.1 200 OK\r\n"));
    if (c->framing == BY_LENGTH) {
        buf_text(&p->out, "Content-Length: %zu\r\n", c->answer);
    } else if (c->framing == BY_CHUNKS) {
        say(p, SPAN("Transfer-Encoding: chunked\r\n"));
    } else if (c->framing == PACKED) {
        c->answer = sizeof packed - 1;
        buf_text(&p->out, "Content-Encoding: gzip\r\nContent-Length: %zu\r\n", c->answer);
    } else if (c->framing == LARGE) {
        c->answer = large_body().len;
        buf_text(&p->out, "Content-Encoding: gzip\r\nContent-Length: %zu\r\n", c->answer);
        large_sent = true;
    }
    if (c->framing <= BY_CLOSE && pick(3) == 0) { /* clients take it as it is */
        static const char *const names[] = {"utf-8", "UTF-8, gzip", "x-odd"};
        buf_text(&p->out, "Content-Encoding: %s\r\n", names[pick(3)]);
        c->odd++;
        odd_sent = true;
    }
    say(p, SPAN("X-Field: a\r\n\r\n"));
    p->answered =
        c->body == BODY_HEAD || c->framing == EMPTY || (c->framing == BY_LENGTH && c->answer == 0);
    if ((c->framing == PACKED || c->framing == LARGE) && !p->answered) {
        say(p, c->framing == LARGE ? large_body() : span_make(packed, sizeof packed - 1));
        p->answered = true;
    }
    c->sent_whole = p->answered;
}

static void answer_more(struct peer *p)
{
    struct call *c = p->of;
    size_t left = c->framing == BY_CLOSE ? 3000 : c->answer - p->appended;
    bool all = pick(2) == 0;
    answer_piece(p, all ? left : left * pick(256) / 256);
    if (c->framing == BY_CLOSE) {
        c->answer = p->appended;
    } else if (all) {
        say(p, c->framing == BY_CHUNKS ? SPAN("0\r\n\r\n") : SPAN_NONE);
        if (p->out.len < 4096 && pick(8) == 0) { /* goes out in one piece */
            say(p, SPAN("behind"));
            p->doomed = true;
        }
        c->sent_whole = p->answered = true;
    }
}

/* An answer that cannot be read, or that is of no request where the connection carried one before. */
static void refuse_answer(struct peer *p)
{
    unsigned how = pick(4);
    p->of->framing = BY_LENGTH;
    p->of->answer = how == 3 ? 0 : SIZE_MAX;
    p->of->sent_whole = how == 3;
    p->head_sent = p->answered = true;
    p->doomed = how < 3;
    if (how == 2) {
        say(p, SPAN("HTTP/1.1 200 OK\r\n"));
        for (int i = 0; i <= UPSTREAM_MAX_HEADERS; i++) {
            say(p, SPAN("A: b\r\n"));
        }
    }
    say(p, how == 0   ? SPAN("HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n")
           : how == 1 ? SPAN("garbage\r\n\r\n")
           : how == 2 ? SPAN("\r\n")
                      : SPAN("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"));
}

/* What is no answer. */
static void misbehave(struct peer *p)
{
    static const char *const stray[] = {"xyz", "HTTP/1.1 408 Request Timeout\r\n\r\n",
                                        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno", "\r\n",
                                        "H"};
    bool in_answer = p->of != NULL && p->head_sent && !p->answered;
    int waiting = 0;
    (void)ioctl(p->fd, FIONREAD, &waiting);
    if (!p->tcp && p->of == NULL && waiting == 0 && p->out.len == 0 && p->in.len == 0 &&
        !p->stale) {
        say(p, span_of(stray[pick(5)])); /* nothing was asked */
        p->doomed = true;
    } else if (in_answer && p->of->framing == BY_CHUNKS) {
        say(p, SPAN("zz\r\n"));
        p->of->framing = BY_LENGTH; /* no end of it counts */
        p->of->answer = SIZE_MAX;
        p->answered = p->doomed = true;
    } else if (p->of != NULL && !p->head_sent) {
        refuse_answer(p);
    }
}

/* Work of the turn in which a request goes out, behind the loop's look at its descriptors: an idle
 * connection gets bytes that nothing asked for. */
static void stray_now(void *ctx)
{
    (void)ctx;
    for (size_t i = 0; i < PEERS_MOST; i++) {
        if (peers[i].fd >= 0 && peers[i].of == NULL && !peers[i].doomed) {
            misbehave(&peers[i]);
            peer_flush(&peers[i]);
            return;
        }
    }
}

/* While libcurl has a piece of the request in hand: what it writes next fails. */
static void answer_and_leave(struct call *c)
{
    for (size_t i = 0; i < PEERS_MOST; i++) {
        struct peer *p = &peers[i];
        if (p->fd >= 0 && p->of == c && !p->head_sent) {
            if (pick(8) == 0) { /* not even its head */
                say(p, SPAN("HTTP/1.1 200 OK\r\nContent-Le"));
                c->framing = BY_LENGTH;
                c->answer = SIZE_MAX;
                p->head_sent = p->answered = true;
            } else {
                answer_head(p);
            }
            while (!p->answered && c->framing != BY_CLOSE && pick(4) > 0) {
                answer_more(p);
            }
            peer_flush(p);
            peer_close(p);
        }
    }
}

static void move_peer(void)
{
    static const size_t reads[] = {1, 100, 20000, SIZE_MAX, SIZE_MAX, SIZE_MAX};
    size_t from = pick(8), i = 0;
    accept_all();
    while (i < PEERS_MOST && peers[(from + i) % PEERS_MOST].fd < 0) {
        i++;
    }
    if (i == PEERS_MOST) {
        return;
    }
    struct peer *p = &peers[(from + i) % PEERS_MOST];
    unsigned what = pick(12);
    if (what < 5) {
        peer_read(p, reads[pick(6)]);
    } else if (what < 8 && p->of != NULL && !p->answered) {
        (p->head_sent ? answer_more : answer_head)(p);
    } else if (what == 8 && p->of != NULL && !p->head_sent) {
        say(p, SPAN("HTTP/1.1 100 Continue\r\n\r\n"));
    } else if (what == 9 && pick(2) == 0) {
        misbehave(p);
    } else if (what == 11 && pick(3) == 0) {
        peer_close(p);
    }
    if (p->fd >= 0) {
        peer_flush(p);
        fake_loop_settle(loop);
        read_requests(p);
    }
}

#endif
