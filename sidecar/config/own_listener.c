/* own_listener.c: whether the url of an upstream is an address that lulld listens on itself: its
 * requests would run in a circle. What cannot be seen here (names of the resolver, proxies,
 * forwarded ports, inherited sockets) is found while running, by the mark of probe.h.
 */
#include "config/config_priv.h"

#include "lull/base/host.h"
#include "lull/base/os.h"

#include <stdlib.h>
#include <sys/stat.h>

/* The port of "host:port" and "[v6]:port"; 80 without one, as for a url. */
static unsigned port_of(struct span authority)
{
    size_t colon = span_rfind(authority, SPAN(":"));
    size_t bracket = span_rfind(authority, SPAN("]"));
    unsigned port = 0;
    if (colon == SIZE_MAX || (bracket != SIZE_MAX && colon < bracket)) {
        return 80;
    }
    for (size_t i = colon + 1; i < authority.len; i++) {
        port = port * 10 + (unsigned)(authority.ptr[i] - '0');
    }
    return port;
}

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

/* Whether a connection to `host` arrives at a listener of the same port on `listen`. */
static bool is_reached_by(struct span listen, struct span host)
{
    struct host_address at;
    struct host_address to;
    bool by_address = host_address(listen, &at);
    bool literal = host_address(host, &to);
    to = literal ? connected_to(to) : to;
    bool localhost = literal ? is_localhost(&to) : host_is_local(host);
    if (!by_address) {
        return span_eq_nocase(listen, host) || (host_is_local(listen) && localhost);
    }
    if (!host_is_wildcard(&at)) {
        return literal ? same_address(&at, &to) : localhost && is_localhost(&at);
    }
    if (!literal) {
        return host_is_this_machine(host);
    }
    bool family = at.family == to.family || at.family == AF_INET6; /* [::] takes both */
    return family && (host_is_loopback(&to) || os_has_address(to.family, to.ip));
}

static bool same_file(const char *a, const char *b)
{
    struct stat first;
    struct stat second;
    return strcmp(a, b) == 0 || (stat(a, &first) == 0 && stat(b, &second) == 0 &&
                                 first.st_dev == second.st_dev && first.st_ino == second.st_ino);
}

static bool leads_to(const struct upstream_settings *u, const char *listen)
{
    struct span address = span_of(listen);
    bool is_unix = span_starts(address, SPAN("unix:"));
    if (u->unix_socket[0] != '\0' || is_unix) {
        return u->unix_socket[0] != '\0' && is_unix && same_file(u->unix_socket, listen + 5);
    }
    struct span authority = span_of(u->host);
    return !u->tls && (u->proxy == NULL || u->proxy[0] == '\0') &&
           port_of(address) == port_of(authority) &&
           is_reached_by(host_part(address), host_part(authority));
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
