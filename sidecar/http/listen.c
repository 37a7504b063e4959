/* listen.c: the addresses of a server: TCP and Unix sockets, and those that were inherited.
 *
 * The file of a Unix socket is removed only where no process has it (the connection is refused), and at
 * the end only where it still is the one that was made here.
 */
#include "http/http_priv.h"

#include "lull/base/listen_address.h"
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

enum { BACKLOG = 1024 };

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
};

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

static struct listener *add_listener(struct http_server *s, int fd, const char *address)
{
    struct listener *l = mem_new(sizeof *l);
    struct host_address a;
    l->server = s;
    l->fd = fd;
    l->actual = actual_address(fd);
    l->address = mem_strdup(address == NULL ? l->actual : address);
    l->is_unix = strncmp(l->actual, "unix:", 5) == 0;
    l->loopback =
        !l->is_unix && host_address(host_part(span_of(l->actual)), &a) && host_is_loopback(&a);
    l->watch = loop_watch_create(s->loop, fd, server_accept, l);
    loop_watch_set_urgent(l->watch, true); /* who comes is not known yet */
    list_append(&s->listeners, &l->node);
    loop_watch_set(l->watch, s->accepting ? LOOP_READ : 0);
    return l;
}

/* The file is the one that bind() made: another process may have put its own there since. */
static bool is_own_file(const struct listener *l)
{
    struct stat st;
    return lstat(l->unix_path, &st) == 0 && st.st_dev == l->unix_dev && st.st_ino == l->unix_ino;
}

void listener_close(struct listener *l)
{
    loop_watch_destroy(l->watch);
    if (l->unix_path != NULL && is_own_file(l)) {
        unlink(l->unix_path);
    }
    close(l->fd); /* until now no other file could get its inode */
    list_remove(&l->node);
    free(l->address);
    free(l->actual);
    free(l->unix_path);
    free(l);
}

void listener_end(struct listener *l)
{
    server_accept_some(l, BACKLOG);
    listener_close(l);
}

/* What to do about it; "" where the system's words must do. */
static const char *remedy(bool is_unix, int errnum)
{
    switch (errnum) {
    case EADDRINUSE:
        return "; another program has it: stop that one, or choose another address";
    case EADDRNOTAVAIL:
        return "; no interface of this machine has this address";
    case EACCES:
        return is_unix ? "; this user may not write to its folder"
                       : "; a port below 1024 takes root or CAP_NET_BIND_SERVICE";
    case ENOENT:
        return is_unix ? "; make its folder, or choose another path" : "";
    default:
        return "";
    }
}

static enum err refuse_address(char *why, size_t size, const char *address, int errnum)
{
    snprintf(why, size, "cannot listen on %s: %s%s", address, strerror(errnum),
             remedy(strncmp(address, "unix:", 5) == 0, errnum));
    return err_from_errno(errnum);
}

/* 0: no process has the socket, its file is a leftover. Else the errno of connect(), or EADDRINUSE. */
static int whose_socket(const struct sockaddr_un *a)
{
    int fd = os_socket(AF_UNIX, SOCK_STREAM);
    if (fd < 0) {
        return errno;
    }
    int errnum = connect(fd, (const struct sockaddr *)a, sizeof *a) == 0 ? EADDRINUSE : errno;
    close(fd);
    /* EAGAIN: its backlog is full */
    return errnum == ECONNREFUSED || errnum == ENOENT ? 0 : errnum == EAGAIN ? EADDRINUSE : errnum;
}

/* Removes what an earlier process left at the path. */
static enum err make_room(const struct sockaddr_un *a, const char *address, char *why,
                          size_t why_size)
{
    struct stat st;
    if (stat(a->sun_path, &st) != 0) {
        return ERR_OK;
    }
    if (!S_ISSOCK(st.st_mode)) {
        snprintf(why, why_size,
                 "cannot listen on %s: %s is there; remove it, or choose another path", address,
                 S_ISDIR(st.st_mode) ? "a folder" : "a file that is no socket");
        return ERR_INVALID;
    }
    int errnum = whose_socket(a);
    if (errnum == EADDRINUSE) {
        snprintf(why, why_size,
                 "cannot listen on %s: another process answers there; stop that one, or choose "
                 "another path",
                 address);
        return ERR_BUSY;
    }
    if (errnum != 0) {
        snprintf(why, why_size, "cannot listen on %s: a socket is there (%s)", address,
                 strerror(errnum));
        return err_from_errno(errnum);
    }
    unlink(a->sun_path);
    return ERR_OK;
}

static void own_file(struct listener *l, const char *path)
{
    struct stat st;
    if (lstat(path, &st) == 0) {
        l->unix_path = mem_strdup(path);
        l->unix_dev = st.st_dev;
        l->unix_ino = st.st_ino;
    }
}

static enum err listen_unix(struct http_server *s, const char *address, mode_t mode, char *why,
                            size_t why_size)
{
    const char *path = address + 5;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (path[0] == '\0' || strlen(path) >= sizeof a.sun_path) {
        snprintf(why, why_size, "cannot listen on %s: the path must have 1 to %zu bytes", address,
                 sizeof a.sun_path - 1);
        return ERR_INVALID;
    }
    memcpy(a.sun_path, path, strlen(path));
    enum err e = make_room(&a, address, why, why_size);
    if (e != ERR_OK) {
        return e;
    }
    int fd = os_socket(AF_UNIX, SOCK_STREAM);
    if (fd < 0) {
        return refuse_address(why, why_size, address, errno);
    }
    /* connecting fails until listen(): no client gets in before the mode is set */
    if (bind(fd, (struct sockaddr *)&a, sizeof a) != 0 || chmod(path, mode) != 0 ||
        listen(fd, BACKLOG) != 0) {
        e = refuse_address(why, why_size, address, errno);
        close(fd);
        return e;
    }
    own_file(add_listener(s, fd, address), path);
    return ERR_OK;
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

/* Closes the listeners that were added behind `last`. */
static void unlisten_behind(struct http_server *s, const struct list *last)
{
    while (s->listeners.prev != last) {
        listener_end(list_item(s->listeners.prev, struct listener, node));
    }
}

/* The first address of each family that a name has: localhost is 127.0.0.1 and ::1, and clients take
 * either. A family that this machine does not have is left out. 0, or the errno of what failed: then
 * nothing listens there. */
static int bind_families(struct http_server *s, const struct addrinfo *infos, const char *address)
{
    const struct list *last = s->listeners.prev;
    bool had[2] = {false, false};
    bool any = false;
    int missing = 0;
    for (; infos != NULL; infos = infos->ai_next) {
        bool *this_one = &had[infos->ai_family == AF_INET6 ? 1 : 0];
        int fd = *this_one ? -1 : bind_one(s, infos);
        if (fd >= 0) {
            add_listener(s, fd, address);
            any = true;
        } else if (!*this_one && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL)) {
            missing = errno;
        } else if (!*this_one) {
            int errnum = errno;
            unlisten_behind(s, last);
            return errnum;
        }
        *this_one = true;
    }
    return any ? 0 : missing;
}

static enum err listen_tcp(struct http_server *s, const char *address, char *why, size_t why_size)
{
    struct listen_address a;
    char port[8];
    struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *infos = NULL;
    if (!listen_address_parse(address, &a)) {
        snprintf(why, why_size, "cannot listen on %s: write HOST:PORT or unix:/path", address);
        return ERR_INVALID;
    }
    snprintf(port, sizeof port, "%u", a.port);
    int gai = getaddrinfo(a.host, port, &hints, &infos);
    if (gai != 0) {
        snprintf(why, why_size, "cannot listen on %s: %s", address, gai_strerror(gai));
        return ERR_INVALID;
    }
    int errnum = bind_families(s, infos, address);
    freeaddrinfo(infos);
    return errnum == 0 ? ERR_OK : refuse_address(why, why_size, address, errnum);
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
        add_listener(s, fd, NULL);
    }
    return e;
}

void http_server_unlisten(struct http_server *s, const char *address)
{
    list_each(node, &s->listeners)
    {
        struct listener *l = list_item(node, struct listener, node);
        if (strcmp(l->address, address) == 0) {
            listener_end(l);
        }
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
