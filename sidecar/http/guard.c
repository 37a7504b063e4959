/* guard.c: the rules by which a request may use the port. All of them look at one header value
 * and the settings; none of them knows a connection.
 */
#include "lull/http/guard.h"

#include "lull/base/host.h"
#include "lull/http/fields.h"

static bool is_listed(const struct server_settings *s, struct span host)
{
    for (size_t i = 0; i < s->hosts.count; i++) {
        if (span_eq_nocase(host_part(span_of(s->hosts.items[i])), host)) {
            return true;
        }
    }
    return false;
}

bool guard_host(const struct server_settings *s, const char *hostname, struct span host)
{
    struct span name = host_part(host);
    return host_address(name, NULL) || host_is_local(name) || host_is_below(name, "local") ||
           host_is_below(name, "internal") || host_is_named(name, span_of(hostname)) ||
           is_listed(s, name);
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
    return (host.len > 0 && span_eq_nocase(theirs, host)) || host_is_local(name) ||
           is_listed(s, name);
}

bool guard_token(const char *token, struct span authorization)
{
    struct span want = span_of(token);
    struct span got = http_bearer_token(authorization);
    if (want.len == 0) {
        return true;
    }
    unsigned difference = got.len == want.len ? 0 : 1;
    for (size_t i = 0; i < got.len; i++) {
        difference |= (unsigned char)got.ptr[i] ^ (unsigned char)want.ptr[i % want.len];
    }
    return difference == 0;
}
