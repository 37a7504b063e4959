/* listen_address.c: see listen_address.h. */
#include "lull/base/listen_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

static const struct span UNIX_PREFIX = {"unix:", 5};

static bool read_port(const char *text, unsigned *out)
{
    size_t zeros = strspn(text, "0");
    size_t digits = strspn(text + zeros, "0123456789");
    if (zeros + digits == 0 || digits > 5 || text[zeros + digits] != '\0') {
        return false;
    }
    *out = (unsigned)strtoul(text, NULL, 10);
    return *out <= 65535;
}

/* HOST and PORT, with brackets around an IPv6 address only. */
static bool split_host_port(const char *text, struct listen_address *a)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon == NULL ? 0 : (size_t)(colon - text);
    bool brackets = text[0] == '[';
    unsigned char ip[16];
    if (len == 0 || len >= sizeof a->host || (brackets && (len < 3 || text[len - 1] != ']'))) {
        return false;
    }
    memcpy(a->host, text + (brackets ? 1 : 0), brackets ? len - 2 : len);
    a->host[brackets ? len - 2 : len] = '\0';
    bool valid = brackets ? inet_pton(AF_INET6, a->host, ip) == 1 : host_is_name(span_of(a->host));
    return valid && read_port(colon + 1, &a->port);
}

static void add_ip(struct listen_address *a, const struct host_address *ip)
{
    if (a->ip_count == 0 || (a->ip_count == 1 && a->ip[0].family != ip->family)) {
        a->ip[a->ip_count++] = *ip;
    }
}

/* As the server opens it: "127.1" and "0" are addresses, too; localhost may be two. */
static void resolve_host(struct listen_address *a)
{
    bool local = span_eq_nocase(span_of(a->host), SPAN("localhost"));
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | (local ? 0 : AI_NUMERICHOST),
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (getaddrinfo(a->host, NULL, &hints, &found) != 0) {
        return;
    }
    for (const struct addrinfo *info = found; info != NULL; info = info->ai_next) {
        struct host_address ip;
        if (host_address_of(info->ai_addr, &ip)) {
            add_ip(a, &ip);
        }
    }
    freeaddrinfo(found);
}

bool listen_address_parse(const char *text, struct listen_address *out)
{
    struct sockaddr_un un;
    *out = (struct listen_address){0};
    if (span_starts(span_of(text), UNIX_PREFIX)) {
        out->path = text + UNIX_PREFIX.len;
        return out->path[0] == '/' && strlen(out->path) < sizeof un.sun_path;
    }
    if (!split_host_port(text, out)) {
        return false;
    }
    resolve_host(out);
    return true;
}

bool listen_address_is_wildcard(const struct listen_address *a, int family)
{
    return a->ip_count == 1 && a->ip[0].family == family && host_is_wildcard(&a->ip[0]);
}

bool listen_address_has_path(const struct listen_address *address, const char *path)
{
    const char *a = address->path == NULL ? "" : address->path;
    while (*a != '\0' && *a == *path) {
        bool slash = *a == '/';
        a += slash ? strspn(a, "/") : 1;
        path += slash ? strspn(path, "/") : 1;
    }
    return address->path != NULL && *a == *path;
}

static bool one_takes_in_the_other(const struct host_address *a, const struct host_address *b)
{
    if (a->family != b->family) {
        return host_is_wildcard(a->family == AF_INET6 ? a : b);
    }
    return host_is_wildcard(a) || host_is_wildcard(b) || memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

bool listen_addresses_overlap(const struct listen_address *a, const struct listen_address *b)
{
    if (a->path != NULL || b->path != NULL) {
        return b->path != NULL && listen_address_has_path(a, b->path);
    }
    if (a->port != b->port || a->port == 0) {
        return false;
    }
    for (size_t i = 0; i < a->ip_count; i++) {
        for (size_t k = 0; k < b->ip_count; k++) {
            if (one_takes_in_the_other(&a->ip[i], &b->ip[k])) {
                return true;
            }
        }
    }
    return a->ip_count == 0 && b->ip_count == 0 &&
           span_eq_nocase(span_of(a->host), span_of(b->host));
}
