/* listen_address.h: an address to listen on, as it is configured (HOST:PORT, [v6]:PORT, unix:/path),
 * and which of them exclude each other. Names other than localhost are not resolved: reading a
 * configuration asks no server. No function calls back.
 */
#ifndef LULL_BASE_LISTEN_ADDRESS_H
#define LULL_BASE_LISTEN_ADDRESS_H

#include "lull/base/host.h"

struct listen_address {
    const char *path;          /* of a Unix socket, a part of the text; NULL: TCP */
    char host[256];            /* without brackets */
    unsigned port;             /* 0: the system chooses one */
    struct host_address ip[2]; /* what the host stands for: one of each family at most */
    size_t ip_count;           /* 0: a name, which is resolved when it is opened */
};

/* false: the text is no such address; then *out is undefined. */
bool listen_address_parse(const char *text, struct listen_address *out);
/* Whether it is 0.0.0.0 (AF_INET) or :: (AF_INET6), however it is written. */
bool listen_address_is_wildcard(const struct listen_address *a, int family);
/* Whether it is the Unix socket of that path, with any number of slashes between its parts. */
bool listen_address_has_path(const struct listen_address *a, const char *path);
/* Whether the system lets only one of them be open: one address, or one takes in the other. [::] takes
 * in IPv4, unless it is opened by a server that has 0.0.0.0 already (http/server.h). */
bool listen_addresses_overlap(const struct listen_address *a, const struct listen_address *b);

#endif
