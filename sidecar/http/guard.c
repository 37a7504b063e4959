/* guard.c: the rules by which a request may speak to the port. All of them look at one header value
 * and the settings; none of them knows a connection.
 */
#include "lull/http/guard.h"

#include <arpa/inet.h>

/* The host part of "host", "host:port", "[v6]" and "[v6]:port". */
static struct span host_part(struct span host)
{
    if (host.len > 0 && host.ptr[0] == '[') {
        size_t end = span_find(host, SPAN("]"), 0);
        return end == SIZE_MAX ? SPAN_NONE : span_make(host.ptr + 1, end - 1);
    }
    size_t colon = span_find(host, SPAN(":"), 0);
    return colon == SIZE_MAX ? host : span_make(host.ptr, colon);
}

/* The address in binary form; its family, or 0 when it is not an IP literal. */
static int ip_literal(struct span host, unsigned char out[16])
{
    char text[64];
    if (host.len == 0 || host.len >= sizeof text) {
        return 0;
    }
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    if (inet_pton(AF_INET, text, out) == 1) {
        return AF_INET;
    }
    return inet_pton(AF_INET6, text, out) == 1 ? AF_INET6 : 0;
}

static bool is_local_name(struct span host)
{
    struct span suffix = SPAN(".localhost");
    if (host.len > suffix.len) {
        struct span tail = span_make(host.ptr + host.len - suffix.len, suffix.len);
        if (span_eq_nocase(tail, suffix)) {
            return true;
        }
    }
    return span_eq_nocase(host, SPAN("localhost"));
}

static bool is_listed(const struct server_settings *s, struct span host)
{
    for (size_t i = 0; i < s->hosts.count; i++) {
        if (span_eq_nocase(span_of(s->hosts.items[i]), host)) {
            return true;
        }
    }
    return false;
}

static bool is_loopback(struct span host)
{
    unsigned char ip[16];
    static const unsigned char v6_loopback[16] = {[15] = 1};
    switch (ip_literal(host, ip)) {
    case AF_INET:
        return ip[0] == 127;
    case AF_INET6:
        return memcmp(ip, v6_loopback, sizeof v6_loopback) == 0;
    default:
        return is_local_name(host);
    }
}

bool guard_host(const struct server_settings *s, const char *hostname, struct span host)
{
    unsigned char ip[16];
    struct span name = host_part(host);
    return ip_literal(name, ip) != 0 || is_local_name(name) ||
           (hostname[0] != '\0' && span_eq_nocase(name, span_of(hostname))) || is_listed(s, name);
}

bool guard_origin(const struct server_settings *s, struct span origin, struct span host)
{
    if (origin.ptr == NULL) {
        return true;
    }
    size_t scheme = span_find(origin, SPAN("://"), 0);
    if (scheme == SIZE_MAX) {
        return false; /* "null", or not an origin at all */
    }
    struct span theirs = span_make(origin.ptr + scheme + 3, origin.len - scheme - 3);
    if (theirs.len == 0) {
        return false;
    }
    struct span name = host_part(theirs);
    return (host.len > 0 && span_eq_nocase(theirs, host)) || is_loopback(name) ||
           is_listed(s, name);
}

bool guard_token(const char *token, struct span authorization)
{
    struct span want = span_of(token);
    struct span scheme = SPAN("Bearer ");
    if (want.len == 0) {
        return true;
    }
    if (authorization.len < scheme.len ||
        !span_eq_nocase(span_make(authorization.ptr, scheme.len), scheme)) {
        return false;
    }
    struct span got =
        span_trim(span_make(authorization.ptr + scheme.len, authorization.len - scheme.len));
    unsigned difference = got.len == want.len ? 0 : 1;
    for (size_t i = 0; i < got.len; i++) {
        difference |= (unsigned char)got.ptr[i] ^ (unsigned char)want.ptr[i % want.len];
    }
    return difference == 0;
}
