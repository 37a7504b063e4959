/* address.c: addresses to listen on: HOST:PORT, [v6]:PORT, unix:/path; which of them exclude each
 * other. Names other than localhost are not resolved: reading the configuration asks no server.
 */
#include "config/config_priv.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { HOST_MAX = 256 };

/* One address taken apart; port 0: the system chooses one. */
struct address {
    const char *path; /* NULL: TCP */
    char host[HOST_MAX];
    unsigned port;
    int family; /* AF_INET, AF_INET6, or AF_UNSPEC: a name */
    unsigned char ip[16];
};

/* HOST and PORT, without brackets; false: not of that form. */
static bool split_host_port(const char *text, struct address *a)
{
    const char *colon = strrchr(text, ':');
    size_t digits = colon == NULL ? 0 : strspn(colon + 1, "0123456789");
    size_t len = colon == NULL ? 0 : (size_t)(colon - text);
    if (len == 0 || len >= sizeof a->host || digits == 0 || digits > 5 ||
        colon[1 + digits] != '\0') {
        return false;
    }
    a->port = (unsigned)strtoul(colon + 1, NULL, 10);
    bool brackets = text[0] == '[';
    if (brackets && (len < 3 || text[len - 1] != ']')) {
        return false;
    }
    memcpy(a->host, text + (brackets ? 1 : 0), brackets ? len - 2 : len);
    a->host[brackets ? len - 2 : len] = '\0';
    a->family = brackets ? AF_INET6 : AF_UNSPEC;
    return a->port <= 65535;
}

bool is_address(const char *text)
{
    struct address a = {0};
    unsigned char ip[16];
    if (strncmp(text, "unix:", 5) == 0) {
        return text[5] == '/' && strlen(text) < 5 + 108;
    }
    if (!split_host_port(text, &a)) {
        return false;
    }
    return a.family == AF_INET6
               ? inet_pton(AF_INET6, a.host, ip) == 1
               : strspn(a.host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789.-_") == strlen(a.host);
}

static void set_ip(struct address *a, const struct sockaddr *from)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    a->family = from->sa_family;
    if (from->sa_family == AF_INET) {
        memcpy(&v4, from, sizeof v4);
        memcpy(a->ip, &v4.sin_addr, 4);
    } else {
        memcpy(&v6, from, sizeof v6);
        memcpy(a->ip, &v6.sin6_addr, 16);
    }
    if (a->family == AF_INET6 && memcmp(a->ip, mapped, sizeof mapped) == 0) {
        a->family = AF_INET;
        memmove(a->ip, a->ip + 12, 4);
    }
}

/* As the listener will read it: "127.1" and "localhost" are addresses, too. */
static void resolve_host(struct address *a)
{
    bool local = span_eq_nocase(span_of(a->host), SPAN("localhost"));
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | (local ? 0 : AI_NUMERICHOST),
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (getaddrinfo(a->host, NULL, &hints, &found) == 0) {
        set_ip(a, found->ai_addr);
        freeaddrinfo(found);
    } else {
        a->family = AF_UNSPEC;
    }
}

static struct address parse_address(const char *text)
{
    struct address a = {0};
    if (strncmp(text, "unix:", 5) == 0) {
        a.path = text + 5;
    } else if (split_host_port(text, &a)) {
        resolve_host(&a);
    }
    return a;
}

bool is_same_path(const char *a, const char *b)
{
    while (*a != '\0' && *b != '\0') {
        if (*a != *b) {
            return false;
        }
        bool slash = *a == '/';
        a += slash ? strspn(a, "/") : 1;
        b += slash ? strspn(b, "/") : 1;
    }
    return *a == *b;
}

static bool is_wildcard(const struct address *a)
{
    static const unsigned char zeros[16] = {0};
    return a->family != AF_UNSPEC && memcmp(a->ip, zeros, a->family == AF_INET ? 4 : 16) == 0;
}

/* a stands before b. [::] takes IPv4 as well, unless 0.0.0.0 is listened on before it. */
static bool exclude_each_other(const struct address *a, const struct address *b)
{
    if (a->path != NULL || b->path != NULL) {
        return a->path != NULL && b->path != NULL && is_same_path(a->path, b->path);
    }
    if (a->port != b->port || a->port == 0) {
        return false;
    }
    if (a->family == AF_UNSPEC || b->family == AF_UNSPEC) {
        return a->family == b->family && span_eq_nocase(span_of(a->host), span_of(b->host));
    }
    if (a->family == b->family) {
        return is_wildcard(a) || is_wildcard(b) ||
               memcmp(a->ip, b->ip, a->family == AF_INET ? 4 : 16) == 0;
    }
    bool apart = a->family == AF_INET && is_wildcard(a) && is_wildcard(b);
    return !apart && is_wildcard(a->family == AF_INET6 ? a : b);
}

bool addresses_collide(const struct strings *list, struct buf *why)
{
    for (size_t i = 0; i < list->count; i++) {
        struct address b = parse_address(list->items[i]);
        for (size_t k = 0; k < i; k++) {
            struct address a = parse_address(list->items[k]);
            if (!exclude_each_other(&a, &b)) {
                continue;
            }
            if (strcmp(list->items[i], list->items[k]) == 0) {
                buf_text(why, "%.150s is given twice", list->items[i]);
            } else {
                buf_text(why, "%.150s and %.150s are the same address, or one takes in the other",
                         list->items[k], list->items[i]);
            }
            return true;
        }
    }
    return false;
}
