/* server.c: listeners, accepting, limits, drain.
 *
 * When descriptors run out, or max_connections is reached, accepting stops: the listeners are not
 * watched any more (a level-triggered listener that cannot be served would spin), until a
 * connection closes or a timer tries again. Clients wait in the kernel's backlog meanwhile.
 */
#include "http/http_priv.h"

#include "lull/base/host.h"
#include "lull/base/log.h"
#include "lull/base/os.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const usec_t ACCEPT_RETRY = 100 * USEC_PER_MS;
static const usec_t WARN_EVERY = 10 * USEC_PER_S;
enum { BACKLOG = 1024 };

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
};

static void set_accepting(struct http_server *s, bool on)
{
    if (s->accepting == on) {
        return;
    }
    s->accepting = on;
    list_each(node, &s->listeners)
    {
        struct listener *l = list_item(node, struct listener, node);
        loop_watch_set(l->watch, on ? LOOP_READ : 0);
    }
}

static void stop_accepting(struct http_server *s, const char *why)
{
    mono_t now = loop_now(s->loop);
    s->counts.refused++;
    set_accepting(s, false);
    loop_timer_start(s->accept_timer, ACCEPT_RETRY);
    if (s->warned.us == 0 || mono_diff(now, s->warned) >= WARN_EVERY) {
        s->warned = now;
        log_warn("http", "no new connections for now: %s", why);
    }
}

static void on_accept_retry(void *ctx)
{
    struct http_server *s = ctx;
    if (!s->draining) {
        set_accepting(s, s->counts.open < s->limits.max_connections);
    }
}

static void on_accept(void *ctx, int events)
{
    struct listener *l = ctx;
    struct http_server *s = l->server;
    (void)events;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        if (s->counts.open >= s->limits.max_connections) {
            stop_accepting(s, "max_connections is reached");
            loop_timer_stop(s->accept_timer); /* a connection that closes starts it again */
            return;
        }
        int fd = os_accept(l->fd);
        if (fd >= 0) {
            conn_open(l, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            stop_accepting(s, strerror(errno));
        }
        if (errno != ECONNABORTED && errno != EINTR) {
            return;
        }
    }
}

static void set_limits(struct http_server *s, const struct http_limits *limits)
{
    s->limits = *limits;
    s->limits.high_water = limits->high_water == 0 ? HIGH_WATER : limits->high_water;
    s->limits.low_water = limits->low_water == 0 ? LOW_WATER : limits->low_water;
    s->limits.held_cost = limits->held_cost == 0 ? 1 : limits->held_cost;
    s->memory = limits->memory == NULL ? &s->own_memory : limits->memory;
    s->memory->max = limits->max_buffered;
}

struct http_server *http_server_create(struct loop *loop, const struct http_limits *limits,
                                       const struct http_handler *handler, void *ctx)
{
    struct http_server *s = mem_new(sizeof *s);
    s->loop = loop;
    set_limits(s, limits);
    s->handler = *handler;
    s->ctx = ctx;
    s->accepting = true;
    list_init(&s->listeners);
    list_init(&s->conns);
    s->accept_timer = loop_timer_create(loop, on_accept_retry, s);
    return s;
}

void http_server_set_limits(struct http_server *s, const struct http_limits *limits)
{
    set_limits(s, limits);
    if (!s->draining) {
        set_accepting(s, s->counts.open < s->limits.max_connections);
    }
}

static void listener_close(struct listener *l)
{
    loop_watch_destroy(l->watch);
    close(l->fd);
    if (l->unix_path != NULL) {
        unlink(l->unix_path);
    }
    list_remove(&l->node);
    free(l->address);
    free(l->actual);
    free(l->unix_path);
    free(l);
}

void http_server_destroy(struct http_server *s)
{
    if (s == NULL) {
        return;
    }
    list_each(node, &s->listeners)
    {
        listener_close(list_item(node, struct listener, node));
    }
    list_each(conn_node, &s->conns)
    {
        conn_destroy(list_item(conn_node, struct http_conn, node));
    }
    loop_timer_destroy(s->accept_timer);
    loop_defer_cancel(s->loop, &s->drained_work);
    while (s->slots != NULL) {
        struct slot *slot = s->slots;
        s->slots = slot->next;
        free(slot);
    }
    free(s);
}

/* ---- slots ---- */

struct slot *server_slot(struct http_server *s)
{
    struct slot *slot = s->slots;
    if (slot != NULL) {
        s->slots = slot->next;
        s->slot_count--;
        return slot;
    }
    slot = malloc(sizeof *slot);
    if (slot != NULL) {
        slot->request.header_count = 0;
        slot->request.origin = SPAN_NONE;
        slot->kept.len = 0;
    }
    return slot;
}

void server_slot_back(struct http_server *s, struct slot *slot)
{
    if (s->slot_count >= SLOT_SPARE) {
        free(slot);
        return;
    }
    slot->next = s->slots;
    s->slots = slot;
    s->slot_count++;
}

/* ---- listening ---- */

static char *actual_address(int fd)
{
    union address a;
    socklen_t len = sizeof a;
    char host[INET6_ADDRSTRLEN] = "?";
    char text[INET6_ADDRSTRLEN + 128];
    memset(&a, 0, sizeof a);
    if (getsockname(fd, &a.any, &len) != 0) {
        return mem_strdup("?");
    }
    if (a.any.sa_family == AF_UNIX) {
        snprintf(text, sizeof text, "unix:%.107s", a.un.sun_path);
    } else if (a.any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &a.v6.sin6_addr, host, sizeof host);
        snprintf(text, sizeof text, "[%s]:%u", host, ntohs(a.v6.sin6_port));
    } else {
        inet_ntop(AF_INET, &a.v4.sin_addr, host, sizeof host);
        snprintf(text, sizeof text, "%s:%u", host, ntohs(a.v4.sin_port));
    }
    return mem_strdup(text);
}

static void add_listener(struct http_server *s, int fd, const char *address, const char *unix_path)
{
    struct listener *l = mem_new(sizeof *l);
    l->server = s;
    l->fd = fd;
    l->actual = actual_address(fd);
    l->address = mem_strdup(address == NULL ? l->actual : address);
    l->unix_path = unix_path == NULL ? NULL : mem_strdup(unix_path);
    l->is_unix = strncmp(l->actual, "unix:", 5) == 0;
    struct host_address a;
    l->loopback =
        !l->is_unix && host_address(host_part(span_of(l->actual)), &a) && host_is_loopback(&a);
    l->watch = loop_watch_create(s->loop, fd, on_accept, l);
    loop_watch_set_urgent(l->watch, true); /* who comes is not known yet */
    list_append(&s->listeners, &l->node);
    loop_watch_set(l->watch, s->accepting ? LOOP_READ : 0);
}

/* Whether a process answers at the socket. */
static bool unix_socket_answers(const struct sockaddr_un *a)
{
    int fd = os_socket(AF_UNIX, SOCK_STREAM);
    if (fd < 0) {
        return false;
    }
    bool live = connect(fd, (const struct sockaddr *)a, sizeof *a) == 0 || errno == EAGAIN;
    close(fd);
    return live;
}

static enum err refuse_address(char *why, size_t size, const char *address, int errnum)
{
    snprintf(why, size, "cannot listen on %s: %s", address, strerror(errnum));
    return err_from_errno(errnum);
}

static enum err listen_unix(struct http_server *s, const char *address, mode_t mode, char *why,
                            size_t why_size)
{
    const char *path = address + 5;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct stat st;
    if (path[0] == '\0' || strlen(path) >= sizeof a.sun_path) {
        snprintf(why, why_size, "cannot listen on %s: the path must have 1 to %zu bytes", address,
                 sizeof a.sun_path - 1);
        return ERR_INVALID;
    }
    memcpy(a.sun_path, path, strlen(path));
    if (stat(path, &st) == 0) {
        if (!S_ISSOCK(st.st_mode)) {
            snprintf(why, why_size, "cannot listen on %s: a file that is no socket is there",
                     address);
            return ERR_INVALID;
        }
        if (unix_socket_answers(&a)) {
            snprintf(why, why_size, "cannot listen on %s: another process answers there", address);
            return ERR_BUSY;
        }
        unlink(path);
    }
    int fd = os_socket(AF_UNIX, SOCK_STREAM);
    if (fd < 0) {
        return refuse_address(why, why_size, address, errno);
    }
    /* connecting fails until listen(): no client gets in before the mode is set */
    if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || chmod(path, mode) != 0 ||
        listen(fd, BACKLOG) != 0) {
        enum err e = refuse_address(why, why_size, address, errno);
        close(fd);
        return e;
    }
    add_listener(s, fd, address, path);
    return ERR_OK;
}

/* "host:port" and "[v6]:port". */
static bool split_address(const char *address, char *host, size_t host_size, const char **port)
{
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon[1] == '\0') {
        return false;
    }
    const char *from = address;
    size_t len = (size_t)(colon - address);
    if (address[0] == '[') {
        if (len < 2 || colon[-1] != ']') {
            return false;
        }
        from++;
        len -= 2;
    }
    if (len == 0 || len >= host_size) {
        return false;
    }
    memcpy(host, from, len);
    host[len] = '\0';
    *port = colon + 1;
    return true;
}

/* Whether an IPv4 wildcard of that port is listened on already. */
static bool has_v4_wildcard(const struct http_server *s, uint16_t port)
{
    char text[32];
    snprintf(text, sizeof text, "0.0.0.0:%u", port);
    list_each(node, &s->listeners)
    {
        if (strcmp(list_item(node, struct listener, node)->actual, text) == 0) {
            return true;
        }
    }
    return false;
}

static int bind_one(const struct http_server *s, const struct addrinfo *info)
{
    int on = 1;
    int fd = os_socket(info->ai_family, SOCK_STREAM);
    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (info->ai_family == AF_INET6) {
        uint16_t port =
            ntohs(((const struct sockaddr_in6 *)(const void *)info->ai_addr)->sin6_port);
        int only = port != 0 && has_v4_wildcard(s, port) ? 1 : 0;
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
    }
    if (bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0) {
        int errnum = errno;
        close(fd);
        errno = errnum;
        return -1;
    }
    return fd;
}

static enum err listen_tcp(struct http_server *s, const char *address, char *why, size_t why_size)
{
    char host[256];
    const char *port = NULL;
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *infos = NULL;
    if (!split_address(address, host, sizeof host, &port)) {
        snprintf(why, why_size, "cannot listen on %s: write HOST:PORT or unix:/path", address);
        return ERR_INVALID;
    }
    int gai = getaddrinfo(host, port, &hints, &infos);
    if (gai != 0) {
        snprintf(why, why_size, "cannot listen on %s: %s", address, gai_strerror(gai));
        return ERR_INVALID;
    }
    int fd = bind_one(s, infos);
    int errnum = errno;
    freeaddrinfo(infos);
    if (fd < 0) {
        return refuse_address(why, why_size, address, errnum);
    }
    add_listener(s, fd, address, NULL);
    return ERR_OK;
}

enum err http_server_listen(struct http_server *s, const char *address, mode_t mode, char *why,
                            size_t why_size)
{
    char unused[8];
    if (why == NULL) {
        why = unused;
        why_size = sizeof unused;
    }
    return strncmp(address, "unix:", 5) == 0 ? listen_unix(s, address, mode, why, why_size)
                                             : listen_tcp(s, address, why, why_size);
}

enum err http_server_adopt(struct http_server *s, int fd)
{
    int listening = 0;
    socklen_t len = sizeof listening;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) != 0 || listening == 0) {
        return ERR_INVALID;
    }
    enum err e = os_set_nonblocking(fd);
    if (e == ERR_OK) {
        add_listener(s, fd, NULL, NULL);
    }
    return e;
}

static struct listener *find_listener(const struct http_server *s, const char *address)
{
    list_each(node, &s->listeners)
    {
        struct listener *l = list_item(node, struct listener, node);
        if (strcmp(l->address, address) == 0) {
            return l;
        }
    }
    return NULL;
}

void http_server_unlisten(struct http_server *s, const char *address)
{
    struct listener *l = find_listener(s, address);
    if (l != NULL) {
        listener_close(l);
    }
}

const char *http_server_address(const struct http_server *s, size_t i)
{
    list_each(node, &s->listeners)
    {
        if (i-- == 0) {
            return list_item(node, struct listener, node)->actual;
        }
    }
    return NULL;
}

/* ---- drain ---- */

static void report_drained(void *ctx)
{
    struct http_server *s = ctx;
    loop_fn fn = s->drained;
    s->drained = NULL;
    if (fn != NULL) {
        fn(s->drained_ctx);
    }
}

void server_conn_closed(struct http_server *s)
{
    s->counts.open--;
    if (s->draining && s->counts.open == 0 && s->drained != NULL) {
        loop_defer(s->loop, &s->drained_work);
    }
    if (!s->draining && !s->accepting && !loop_timer_running(s->accept_timer)) {
        loop_timer_start(s->accept_timer, 0);
    }
}

void http_server_drain(struct http_server *s, loop_fn done, void *ctx)
{
    s->draining = true;
    s->drained = done;
    s->drained_ctx = ctx;
    s->drained_work = (struct loop_deferred){.fn = report_drained, .ctx = s};
    loop_timer_stop(s->accept_timer);
    list_each(node, &s->listeners)
    {
        listener_close(list_item(node, struct listener, node));
    }
    list_each(conn_node, &s->conns)
    {
        struct http_conn *c = list_item(conn_node, struct http_conn, node);
        if (conn_idle(c)) {
            conn_close(c);
        } else if (c->state == CONN_LINGERING) {
            linger_drain(c);
        }
    }
    if (s->counts.open == 0) {
        loop_defer(s->loop, &s->drained_work);
    }
}

size_t http_server_cut(struct http_server *s)
{
    size_t cut = 0;
    list_each(node, &s->conns)
    {
        struct http_conn *c = list_item(node, struct http_conn, node);
        cut += c->state == CONN_REQUEST ? 1 : 0;
        conn_gone(c);
    }
    return cut;
}

struct http_counts http_server_counts(const struct http_server *s)
{
    return s->counts;
}
