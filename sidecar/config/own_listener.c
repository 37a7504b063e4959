/* own_listener.c: whether the url of an upstream is an address that lulld listens on itself: its
 * requests would run in a circle. What cannot be seen here (names of the resolver, proxies,
 * forwarded ports, inherited sockets) is found while running, by the mark of probe.h.
 */
#include "config/config_priv.h"

#include "lull/base/listen_address.h"
#include "lull/base/os.h"

#include <stdlib.h>
#include <sys/stat.h>

/* Where a connection to a wildcard address goes. */
static struct host_address connected_to(struct host_address a)
{
    if (host_is_wildcard(&a)) {
        a.ip[a.family == AF_INET ? 0 : 15] = a.family == AF_INET ? 127 : 1;
        a.ip[3] = a.family == AF_INET ? 1 : 0;
    }
    return a;
}

static bool same_address(const struct host_address *a, const struct host_address *b)
{
    return a->family == b->family && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

/* Whether a name that stands for this machine leads to the address. */
static bool is_localhost(const struct host_address *a)
{
    struct host_address v4 = connected_to((struct host_address){.family = AF_INET});
    struct host_address v6 = connected_to((struct host_address){.family = AF_INET6});
    return same_address(a, &v4) || same_address(a, &v6);
}

/* Whether a connection to `host` arrives at a listener of the same port on that address. */
static bool is_reached_at(const struct host_address *at, struct span host)
{
    struct host_address to;
    bool literal = host_address(host, &to);
    if (!host_is_wildcard(at)) {
        to = literal ? connected_to(to) : to;
        return literal ? same_address(at, &to) : host_is_local(host) && is_localhost(at);
    }
    if (!literal) {
        return host_is_this_machine(host);
    }
    to = connected_to(to);
    bool family = at->family == to.family || at->family == AF_INET6; /* [::] takes both */
    return family && (host_is_loopback(&to) || os_has_address(to.family, to.ip));
}

static bool is_reached_by(const struct listen_address *listen, struct span host)
{
    for (size_t i = 0; i < listen->ip_count; i++) {
        if (is_reached_at(&listen->ip[i], host)) {
            return true;
        }
    }
    struct span name = host_part(span_of(listen->host));
    return listen->ip_count == 0 &&
           (span_eq_nocase(name, host) || (host_is_local(name) && host_is_local(host)));
}

static bool same_file(const char *a, const char *b)
{
    struct stat first;
    struct stat second;
    return strcmp(a, b) == 0 || (stat(a, &first) == 0 && stat(b, &second) == 0 &&
                                 first.st_dev == second.st_dev && first.st_ino == second.st_ino);
}

static bool leads_to(const struct upstream_settings *u, const char *text)
{
    struct listen_address listen;
    if (!listen_address_parse(text, &listen)) {
        return false;
    }
    if (u->unix_socket[0] != '\0' || listen.path != NULL) {
        return u->unix_socket[0] != '\0' && listen.path != NULL &&
               same_file(u->unix_socket, listen.path);
    }
    struct span authority = span_of(u->host);
    unsigned port = host_port(authority);
    return !u->tls && (u->proxy == NULL || u->proxy[0] == '\0') &&
           listen.port == (port == 0 ? 80 : port) && is_reached_by(&listen, host_part(authority));
}

const char *own_listener_of(const struct upstream_settings *u, const struct strings *listen)
{
    for (size_t i = 0; i < listen->count; i++) {
        if (leads_to(u, listen->items[i])) {
            return listen->items[i];
        }
    }
    return NULL;
}
