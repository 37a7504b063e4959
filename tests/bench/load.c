/* load.c: the client of the benchmarks: asks over kept connections, by TCP or a Unix socket at the
 * same cost, and prints what it measured as one line of JSON, in microseconds.
 *
 * usage: bench_load TARGET BODIES [NAME=VALUE ...]
 *
 *   TARGET         a port of 127.0.0.1, or the path of a Unix socket
 *   BODIES         a file, one body a line: they are asked in turn; the first 00000000 in a body is
 *                  replaced by the number of the request
 *   connections=1  seconds=2  count=0   ends after so many answers; 0: after `seconds`
 *   from=0         number of the first request
 *   distinct=0     the numbers go round after so many; 0: never
 *   shuffled=0     1: in an order that no processor or kernel foresees
 *   rate=0         requests a second; 0: each connection asks again when it has its answer
 *   expect=TEXT    is in the head of every answer
 *   hold=0         1: prints the line, then keeps the connections until its input ends
 *
 * A model server that puts the time (CLOCK_MONOTONIC, ns) into the content of its chunks, as
 * `bench_bare model` does, lets it measure how old a chunk is when it arrives. Trusts its server.
 */
#include "lull/base/buf.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 128 * 1024, EVENTS = 64, STRIDE = 7919, NUMBER = 8 };

static struct {
    uint64_t connections, seconds, count, from, distinct, shuffled, rate, hold;
    const char *expect;
} how = {.connections = 1, .seconds = 2};

struct samples {
    int64_t *ns;
    size_t count, room;
};
static struct samples whole, first, chunk;

struct conn {
    int fd;
    bool busy, begun;
    int64_t asked;
    size_t len, seen; /* bytes of the answer; chunks were looked for up to `seen` */
    char *data;
};
static struct conn *conns;
static struct span *body;
static size_t body_count;
static uint64_t sent, answered, late, unexpected;
static int epoll;

static void fail(const char *what)
{
    fprintf(stderr, "bench_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void add(struct samples *s, int64_t ns)
{
    if (s->count == s->room) {
        s->room = s->room == 0 ? 4096 : 2 * s->room;
        s->ns = mem_have(realloc(s->ns, s->room * sizeof *s->ns));
    }
    s->ns[s->count++] = ns;
}

/* ---- requests ---- */

static void ask(struct conn *c)
{
    static char out[ROOM];
    uint64_t number = how.from + sent++;
    if (how.distinct > 0) {
        number = (how.shuffled != 0 ? number * STRIDE : number) % how.distinct;
    }
    struct span b = body[number % body_count];
    int head = snprintf(out, sizeof out,
                        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                        "Authorization: Bearer k\r\nContent-Type: application/json\r\n"
                        "Accept: */*\r\nAccept-Encoding: gzip, deflate, br\r\n"
                        "User-Agent: Python/3.11 aiohttp/3.14.5\r\nContent-Length: %zu\r\n\r\n",
                        b.len);
    size_t len = (size_t)head + b.len;
    require(len < sizeof out);
    memcpy(out + head, b.ptr, b.len);
    size_t at = span_find(b, SPAN("00000000"), 0);
    if (at != SIZE_MAX) {
        char digits[NUMBER + 1];
        snprintf(digits, sizeof digits, "%08llu", (unsigned long long)(number % 100000000));
        memcpy(out + head + at, digits, NUMBER);
    }
    c->busy = true;
    c->begun = false;
    c->len = c->seen = 0;
    c->asked = now_ns();
    if (send(c->fd, out, len, MSG_NOSIGNAL) != (ssize_t)len) {
        fail("send");
    }
}

/* ---- answers ---- */

static void look_for_chunks(struct conn *c, int64_t now)
{
    static const char MARK[] = "\"content\":\" ";
    struct span all = span_make(c->data, c->len);
    for (;;) {
        size_t at = span_find(all, span_of(MARK), c->seen);
        if (at == SIZE_MAX || at + sizeof MARK + 20 > c->len) {
            return; /* none, or not whole yet */
        }
        int64_t stamp = strtoll(c->data + at + sizeof MARK - 1, NULL, 10);
        if (stamp > 0) {
            add(&chunk, now - stamp);
        }
        c->seen = at + sizeof MARK;
    }
}

/* Whether the answer is whole; 0 for its head: not yet. */
static bool is_whole(const struct conn *c, size_t *head)
{
    struct span all = span_make(c->data, c->len);
    size_t end = span_find(all, SPAN("\r\n\r\n"), 0);
    if (end == SIZE_MAX) {
        *head = 0;
        return false;
    }
    *head = end + 4;
    struct span fields = span_make(c->data, end);
    size_t field = span_find(fields, SPAN("\r\nContent-Length: "), 0);
    field = field == SIZE_MAX ? span_find(fields, SPAN("\r\ncontent-length: "), 0) : field;
    if (field == SIZE_MAX) {
        return c->len >= *head + 5 && memcmp(c->data + c->len - 5, "0\r\n\r\n", 5) == 0;
    }
    return c->len >= *head + strtoul(c->data + field + 18, NULL, 10);
}

static bool is_over(int64_t began)
{
    return how.count > 0 ? sent >= how.count
                         : now_ns() - began >= (int64_t)how.seconds * 1000000000;
}

static void on_readable(struct conn *c, int64_t began)
{
    size_t head = 0;
    ssize_t n = recv(c->fd, c->data + c->len, ROOM - c->len - 1, MSG_DONTWAIT);
    int64_t now = now_ns();
    if (n < 0 && errno == EAGAIN) {
        return;
    }
    if (n <= 0 || !c->busy) {
        fail("the server closed a connection, or sent more than was asked for");
    }
    if (!c->begun) {
        add(&first, now - c->asked);
        c->begun = true;
    }
    c->len += (size_t)n;
    c->data[c->len] = '\0';
    look_for_chunks(c, now);
    if (!is_whole(c, &head)) {
        return;
    }
    if (memcmp(c->data, "HTTP/1.1 200", 12) != 0) {
        fprintf(stderr, "bench_load: %.*s\n", (int)c->len, c->data);
        exit(1);
    }
    add(&whole, now - c->asked);
    answered++;
    unexpected += how.expect != NULL &&
                  span_find(span_make(c->data, head), span_of(how.expect), 0) == SIZE_MAX;
    c->busy = false;
    if (how.rate == 0 && !is_over(began)) {
        ask(c);
    }
}

/* ---- connections ---- */

static int dial(const char *target)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)strtoul(target, NULL, 10)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool is_path = strchr(target, '/') != NULL;
    int on = 1;
    int fd = socket(is_path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (is_path) {
        snprintf(un.sun_path, sizeof un.sun_path, "%s", target);
    } else {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    const void *to = is_path ? (const void *)&un : (const void *)&in;
    if (connect(fd, to, is_path ? sizeof un : sizeof in) != 0) {
        fail(target);
    }
    return fd;
}

static void connect_all(const char *target)
{
    struct rlimit most = {how.connections + 64, how.connections + 64};
    (void)setrlimit(RLIMIT_NOFILE, &most);
    conns = mem_new(how.connections * sizeof *conns);
    for (uint64_t i = 0; i < how.connections; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &conns[i]};
        conns[i].fd = dial(target);
        conns[i].data = mem_new(ROOM);
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, conns[i].fd, &event) != 0) {
            fail("epoll_ctl");
        }
    }
}

/* One request for each tick; one that finds no idle connection is late, and left out. The connections
 * take turns: the server closes one that is idle for long. */
static void on_tick(int timer)
{
    static uint64_t turn;
    uint64_t ticks = 0;
    if (read(timer, &ticks, sizeof ticks) != (ssize_t)sizeof ticks) {
        return;
    }
    for (uint64_t i = 0; i < how.connections && ticks > 0; i++) {
        struct conn *c = &conns[turn++ % how.connections];
        if (!c->busy) {
            ask(c);
            ticks--;
        }
    }
    late += ticks;
}

static int start_ticks(void)
{
    int64_t each = 1000000000 / (int64_t)how.rate;
    struct timespec every = {.tv_sec = each / 1000000000, .tv_nsec = each % 1000000000};
    struct itimerspec when = {.it_interval = every, .it_value = every};
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    timerfd_settime(timer, 0, &when, NULL);
    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event);
    return timer;
}

static void run(int64_t began)
{
    struct epoll_event events[EVENTS];
    int timer = how.rate > 0 ? start_ticks() : -1;
    for (uint64_t i = 0; i < how.connections && how.rate == 0 && !is_over(began); i++) {
        ask(&conns[i]);
    }
    while (!is_over(began) || answered < sent) {
        int n = epoll_wait(epoll, events, EVENTS, 100);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr != NULL) {
                on_readable(events[i].data.ptr, began);
            } else if (!is_over(began)) {
                on_tick(timer);
            } else {
                epoll_ctl(epoll, EPOLL_CTL_DEL, timer, NULL);
            }
        }
    }
}

/* ---- what was measured ---- */

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void print_samples(const char *name, struct samples *s)
{
    static const unsigned PARTS[] = {500, 900, 990, 999, 1000}; /* of a thousand */
    if (s->count == 0) {
        return;
    }
    qsort(s->ns, s->count, sizeof *s->ns, by_value);
    printf(",\"%s\":[", name);
    for (size_t i = 0; i < sizeof PARTS / sizeof PARTS[0]; i++) {
        size_t rank = (s->count * PARTS[i] + 999) / 1000;
        printf("%s%.1f", i > 0 ? "," : "", (double)s->ns[rank > 0 ? rank - 1 : 0] / 1e3);
    }
    printf("]");
}

static void print_all(int64_t began)
{
    printf("{\"requests\":%llu,\"seconds\":%.3f,\"late\":%llu,\"unexpected\":%llu",
           (unsigned long long)answered, (double)(now_ns() - began) / 1e9, (unsigned long long)late,
           (unsigned long long)unexpected);
    print_samples("whole", &whole);
    print_samples("first", &first);
    print_samples("chunk", &chunk);
    printf("}\n");
    fflush(stdout);
}

static void read_bodies(const char *path)
{
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t room = 0;
    ssize_t len = 0;
    if (f == NULL) {
        fail(path);
    }
    while ((len = getline(&line, &room, f)) > 0) {
        size_t keep = (size_t)len - (line[len - 1] == '\n' ? 1 : 0);
        body = mem_have(realloc(body, (body_count + 1) * sizeof *body));
        body[body_count++] = span_make(mem_strndup(line, keep), keep);
    }
    free(line);
    fclose(f);
}

static bool read_option(const char *text)
{
    const struct {
        const char *name;
        uint64_t *value;
    } names[] = {{"connections=", &how.connections},
                 {"seconds=", &how.seconds},
                 {"count=", &how.count},
                 {"from=", &how.from},
                 {"distinct=", &how.distinct},
                 {"shuffled=", &how.shuffled},
                 {"rate=", &how.rate},
                 {"hold=", &how.hold}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t len = strlen(names[i].name);
        if (strncmp(text, names[i].name, len) == 0) {
            *names[i].value = strtoull(text + len, NULL, 10);
            return true;
        }
    }
    how.expect = strncmp(text, "expect=", 7) == 0 ? text + 7 : how.expect;
    return how.expect == text + 7;
}

int main(int argc, char **argv)
{
    bool good = argc >= 3;
    for (int i = 3; i < argc; i++) {
        good = read_option(argv[i]) && good;
    }
    if (!good) {
        fprintf(stderr, "usage: bench_load PORT|SOCKET BODIES [NAME=VALUE ...]\n");
        return 2;
    }
    read_bodies(argv[2]);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    connect_all(argv[1]);
    int64_t began = now_ns();
    run(began);
    print_all(began);
    while (how.hold != 0 && getchar() != EOF) {
    }
    return 0;
}
