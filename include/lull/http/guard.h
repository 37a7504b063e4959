/* guard.h: which requests may use the port: the Host, Origin and client_token rules. Pure functions.
 *
 * Host: a page in a browser can make its own name resolve to 127.0.0.1 (DNS rebinding) and then
 * talk to whatever listens there. Model servers refuse foreign Host names for that reason; lull
 * sends them their own Host, so it must keep the guard itself.
 */
#ifndef LULL_HTTP_GUARD_H
#define LULL_HTTP_GUARD_H

#include "lull/config/settings.h"

/* On a loopback listener: an IP literal, localhost, this host's name (`hostname`), one listed in
 * [server] hosts, or a name that no public resolver knows: *.localhost, *.local, *.internal
 * (host.docker.internal). host: value of the Host header, with or without port and final dot. */
bool guard_host(const struct server_settings *s, const char *hostname, struct span host);

/* origin: value of the Origin header; ptr NULL: absent, allowed. Allowed too: the request's own
 * host, a loopback or wildcard address or localhost, and hosts listed. "null" is not. */
bool guard_origin(const struct server_settings *s, struct span origin, struct span host);

/* Whether authorization is "Bearer TOKEN"; compared in constant time. An empty token allows all. */
bool guard_token(const char *token, struct span authorization);

#endif
