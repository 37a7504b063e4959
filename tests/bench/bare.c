/* bare.c: what a benchmark needs beside lull, in one thread over epoll.
 *
 * usage: bench_bare table AT [SLOTS]
 *                               the limit of a cache: a body is hashed, looked up, compared, and
 *                               its answer is sent. Nothing is parsed but the length; a body that
 *                               is not there is put in. More SLOTS than bodies; else 262144.
 *        bench_bare turns AT    the same, eight requests between two looks at what is ready; at SIGTERM
 *                               it prints the longest time, and the most CPU, between two looks, in
 *                               microseconds: what the machine does to a loop that does next to
 *                               nothing.
 *        bench_bare model AT    a model server: a task is answered at once, whole or as events as
 *                               it asks; a chat by CHUNKS chunks, one a millisecond. The content of
 *                               a chunk is the time at which it is sent (CLOCK_MONOTONIC, ns).
 *
 * AT: a port of 127.0.0.1, or the path of a Unix socket. Trusts its client: this is no server.
 */
#include "lull/base/hash.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { CONNS = 1024, ROOM = 64 * 1024, CHUNKS = 40, EVENTS = 64, FEW = 8, LOOK_MS = 100 };

struct conn {
    int chunks; /* of a chat that are still to be sent */
    size_t len;
    char data[ROOM];
};

struct row {
    struct hash_key key;
    size_t len;
    char *body; /* NULL: free */
};

static struct conn *conns[CONNS];
static struct row *rows;
static size_t slots = 1 << 18;
static struct hash_secret secret;
static int streams;
static bool is_model;

#define ANSWER                                                                                     \
    "{\"id\":\"c\",\"object\":\"chat.completion\",\"model\":\"m\",\"choices\":[{\"index\":0,"      \
    "\"message\":{\"role\":\"assistant\",\"content\":\"{\\\"title\\\": \\\"A title\\\"}\"},"       \
    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":9,"         \
    "\"total_tokens\":18}}"
#define EVENT(delta, finish)                                                                       \
    "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":["       \
    "{\"index\":0,\"delta\":{" delta "},\"finish_reason\":" finish "}]}\n\n"
#define ANSWER_EVENTS(content)                                                                     \
    EVENT("\"role\":\"assistant\",\"content\":\"\"", "null")                                       \
    EVENT("\"content\":\"" content "\"", "null")                                                   \
    EVENT("", "\"stop\"") "data: [DONE]\n\n"
#define TITLE_EVENTS ANSWER_EVENTS("{\\\"title\\\": \\\"A title\\\"}")
/* SUGGESTION in rows/bodies.py */
#define SUGGESTION_EVENTS                                                                          \
    ANSWER_EVENTS(                                                                                 \
        "{\\\"text\\\": \\\" and then all of us went down to the river to see the boats "          \
        "come in before the sun was gone\\\"}")
static const char HEAD_OF_STREAM[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                                     "Transfer-Encoding: chunked\r\n\r\n";

static void send_all(int fd, const char *data, size_t len)
{
    ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
    if (n >= 0 && (size_t)n != len) {
        fprintf(stderr, "a client does not read\n");
        exit(1);
    }
}

static void send_answer(int fd, const char *status, const char *type, const char *body)
{
    char out[2048];
    int n = snprintf(out, sizeof out,
                     "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n%s", status,
                     type, strlen(body), body);
    send_all(fd, out, (size_t)n);
}

static void send_chunk(int fd, const char *event)
{
    char out[1024];
    int n = snprintf(out, sizeof out, "%zx\r\n%s\r\n", strlen(event), event);
    send_all(fd, out, (size_t)n);
}

/* ---- the two roles ---- */

/* Finds the body, or puts it in. */
static void look_up(struct span body)
{
    struct hash_key key = hash_key_of(&secret, body);
    size_t at = key.lo % slots;
    while (rows[at].body != NULL && !(hash_key_eq(rows[at].key, key) &&
                                      span_eq(span_make(rows[at].body, rows[at].len), body))) {
        at = (at + 1) % slots;
    }
    if (rows[at].body == NULL) {
        rows[at] = (struct row){key, body.len, mem_new(body.len)};
        memcpy(rows[at].body, body.ptr, body.len);
    }
}

static void answer_as_model(int fd, struct span head, struct span body)
{
    bool streamed = span_find(body, SPAN("\"stream\":true"), 0) != SIZE_MAX;
    if (!span_starts(head, SPAN("POST "))) {
        send_answer(fd, "404 Not Found", "application/json", "{}");
    } else if (!streamed) {
        send_answer(fd, "200 OK", "application/json", ANSWER);
    } else if (span_find(body, SPAN("### Task"), 0) != SIZE_MAX) {
        bool completes = span_find(body, SPAN("autocompletion system"), 0) != SIZE_MAX;
        send_answer(fd, "200 OK", "text/event-stream",
                    completes ? SUGGESTION_EVENTS : TITLE_EVENTS);
    } else {
        send_all(fd, HEAD_OF_STREAM, sizeof HEAD_OF_STREAM - 1);
        conns[fd]->chunks = CHUNKS;
        streams++;
    }
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void next_chunk(int fd)
{
    struct conn *c = conns[fd];
    if (--c->chunks > 0) {
        char event[512];
        snprintf(event, sizeof event, EVENT("\"content\":\" %lld\"", "null"), (long long)now_ns());
        send_chunk(fd, event);
        return;
    }
    send_chunk(fd, EVENT("", "\"stop\"") "data: [DONE]\n\n");
    send_all(fd, "0\r\n\r\n", 5);
    streams--;
}

/* ---- connections ---- */

/* The first request in the connection's bytes; false: it is not whole. */
static bool take_request(int fd)
{
    struct conn *c = conns[fd];
    struct span all = span_make(c->data, c->len);
    size_t end = span_find(all, SPAN("\r\n\r\n"), 0);
    if (end == SIZE_MAX) {
        return false;
    }
    struct span head = span_make(c->data, end);
    size_t field = span_find(head, SPAN("\r\nContent-Length: "), 0);
    field = field == SIZE_MAX ? span_find(head, SPAN("\r\ncontent-length: "), 0) : field;
    size_t length = field == SIZE_MAX ? 0 : strtoul(c->data + field + 18, NULL, 10);
    size_t whole = end + 4 + length;
    if (c->len < whole) {
        return false;
    }
    struct span body = span_make(c->data + end + 4, length);
    if (is_model) {
        answer_as_model(fd, head, body);
    } else {
        look_up(body);
        send_answer(fd, "200 OK", "application/json", ANSWER);
    }
    c->len -= whole;
    memmove(c->data, c->data + whole, c->len);
    return true;
}

static void drop(int fd)
{
    streams -= conns[fd]->chunks > 0 ? 1 : 0;
    free(conns[fd]);
    conns[fd] = NULL;
    close(fd);
}

static void on_readable(int fd)
{
    struct conn *c = conns[fd];
    ssize_t n = recv(fd, c->data + c->len, ROOM - c->len, 0);
    if (n <= 0) {
        drop(fd);
        return;
    }
    c->len += (size_t)n;
    while (c->len > 0 && take_request(fd)) {
    }
}

static void take_connection(int epoll, int listener)
{
    int on = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (fd < 0 || fd >= CONNS) {
        fprintf(stderr, "too many connections\n");
        exit(1);
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    conns[fd] = mem_new(sizeof **conns);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void stream_on(int64_t *last)
{
    int64_t now = now_ns() / 1000000;
    if (streams == 0 || now == *last) {
        return;
    }
    *last = now;
    for (int fd = 0; fd < CONNS; fd++) {
        if (conns[fd] != NULL && conns[fd]->chunks > 0) {
            next_chunk(fd);
        }
    }
}

static int listen_on(const char *at)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(at, NULL, 10)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool is_path = strchr(at, '/') != NULL;
    int on = 1;
    int fd = socket(is_path ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
    snprintf(un.sun_path, sizeof un.sun_path, "%s", is_path ? at : "");
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const void *address = is_path ? (const void *)&un : (const void *)&in;
    if (bind(fd, address, is_path ? sizeof un : sizeof in) != 0 || listen(fd, 512) != 0) {
        perror("bench_bare");
        exit(1);
    }
    return fd;
}

/* ---- turns ---- */

static volatile sig_atomic_t over;
static struct {
    int64_t time, cpu;
} longest;

static void on_term(int signo)
{
    (void)signo;
    over = 1;
}

static int64_t now_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void note_turn(int64_t began, int64_t cpu_before)
{
    int64_t time = now_us(CLOCK_MONOTONIC) - began;
    int64_t cpu = now_us(CLOCK_THREAD_CPUTIME_ID) - cpu_before;
    longest.time = time > longest.time ? time : longest.time;
    longest.cpu = cpu > longest.cpu ? cpu : longest.cpu;
}

static void serve(int epoll, int listener, const struct epoll_event *events, int count)
{
    for (int i = 0; i < count; i++) {
        int fd = events[i].data.fd;
        if (fd == listener) {
            take_connection(epoll, listener);
        } else {
            on_readable(fd);
        }
    }
}

/* Looks now and then without an event: SIGTERM may come just before a look. */
static void run_turns(int epoll, int listener)
{
    struct epoll_event events[FEW];
    signal(SIGTERM, on_term);
    while (!over) {
        int n = epoll_wait(epoll, events, FEW, LOOK_MS);
        int64_t began = now_us(CLOCK_MONOTONIC), cpu = now_us(CLOCK_THREAD_CPUTIME_ID);
        serve(epoll, listener, events, n);
        note_turn(began, cpu);
    }
    printf("%lld %lld\n", (long long)longest.time, (long long)longest.cpu);
}

int main(int argc, char **argv)
{
    struct epoll_event events[EVENTS];
    int64_t last = 0;
    slots = argc == 4 ? strtoul(argv[3], NULL, 10) : slots;
    if (argc < 3 || argc > 4 || slots == 0 ||
        (strcmp(argv[1], "table") != 0 && strcmp(argv[1], "turns") != 0 &&
         strcmp(argv[1], "model") != 0)) {
        fprintf(stderr, "usage: bench_bare table|turns|model PORT|SOCKET [SLOTS]\n");
        return 2;
    }
    is_model = strcmp(argv[1], "model") == 0;
    rows = mem_new(slots * sizeof *rows);
    require_ok(hash_secret_generate(&secret));
    int listener = listen_on(argv[2]);
    int epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    if (strcmp(argv[1], "turns") == 0) {
        run_turns(epoll, listener);
        return 0;
    }
    for (;;) {
        serve(epoll, listener, events, epoll_wait(epoll, events, EVENTS, streams > 0 ? 1 : -1));
        stream_on(&last);
    }
}
