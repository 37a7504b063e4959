/* host.h: what the text of a host says by itself: names and addresses, without asking a resolver.
 * Names count in any case and with or without the dot of the root at their end.
 */
#ifndef LULL_BASE_HOST_H
#define LULL_BASE_HOST_H

#include "lull/base/buf.h"

struct sockaddr;

/* An address, in network byte order. IPv4 mapped into IPv6 is IPv4. */
struct host_address {
    int family; /* AF_INET or AF_INET6 */
    unsigned char ip[16];
};

/* The host of "host", "host:port", "[v6]" or "[v6]:port": without port, brackets and final dot.
 * Empty where a bracket is not closed. A part of `authority`. */
struct span host_part(struct span authority);
/* The port of it; 0 where it has none. Not bounded: the digits are the caller's to check. */
unsigned host_port(struct span authority);
/* Whether it is written as a name or an IPv4 address: letters, digits, "." "-" "_", 1 to 253 bytes. */
bool host_is_name(struct span host);
/* Whether host is an IP literal; out may be NULL. */
bool host_address(struct span host, struct host_address *out);
/* That of a socket; false: it is of another family. */
bool host_address_of(const struct sockaddr *from, struct host_address *out);
/* 0.0.0.0 or ::, which connect to this machine and listen on all its addresses. */
bool host_is_wildcard(const struct host_address *a);
/* 127.0.0.0/8, ::1. */
bool host_is_loopback(const struct host_address *a);
/* localhost, *.localhost, a loopback or wildcard address. */
bool host_is_local(struct span host);
/* Whether the name is `name` or `name` with ".local" behind it; an empty name names no host. */
bool host_is_named(struct span host, struct span name);
/* Whether host is a name below the domain ("internal"): "a.internal", not "internal". */
bool host_is_below(struct span host, const char *domain);
/* host_is_local(), or the name of this host. */
bool host_is_this_machine(struct span host);
/* The name of this host, as the system has it; "" where it has none. */
void host_own_name(char *out, size_t size);

#endif
