/* host.c: see host.h. */
#include "lull/base/host.h"

#include "lull/base/ascii.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

static struct span without_dot(struct span name)
{
    return name.len > 1 && name.ptr[name.len - 1] == '.' ? span_make(name.ptr, name.len - 1) : name;
}

struct span host_part(struct span authority)
{
    if (authority.len > 0 && authority.ptr[0] == '[') {
        size_t end = span_find(authority, SPAN("]"), 0);
        return end == SIZE_MAX ? SPAN_NONE : span_make(authority.ptr + 1, end - 1);
    }
    size_t colon = span_find(authority, SPAN(":"), 0);
    return without_dot(colon == SIZE_MAX ? authority : span_make(authority.ptr, colon));
}

unsigned host_port(struct span authority)
{
    size_t colon = span_rfind(authority, SPAN(":"));
    size_t bracket = span_rfind(authority, SPAN("]"));
    unsigned port = 0;
    if (colon == SIZE_MAX || (bracket != SIZE_MAX && colon < bracket)) {
        return 0;
    }
    for (size_t i = colon + 1; i < authority.len; i++) {
        port = port * 10 + (unsigned)(authority.ptr[i] - '0');
    }
    return port;
}

bool host_is_name(struct span host)
{
    for (size_t i = 0; i < host.len; i++) {
        char c = host.ptr[i];
        if (!ascii_is_alnum(c) && c != '.' && c != '-' && c != '_') {
            return false;
        }
    }
    return host.len > 0 && host.len < 254;
}

static void unmap(struct host_address *a)
{
    static const unsigned char mapped[12] = {[10] = 0xFF, [11] = 0xFF};
    if (a->family == AF_INET6 && memcmp(a->ip, mapped, sizeof mapped) == 0) {
        a->family = AF_INET;
        memmove(a->ip, a->ip + sizeof mapped, 4);
        memset(a->ip + 4, 0, sizeof a->ip - 4);
    }
}

bool host_address(struct span host, struct host_address *out)
{
    char text[64];
    struct host_address a = {.family = AF_INET};
    if (host.len == 0 || host.len >= sizeof text) {
        return false;
    }
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    if (inet_pton(AF_INET, text, a.ip) != 1) {
        a.family = AF_INET6;
        if (inet_pton(AF_INET6, text, a.ip) != 1) {
            return false;
        }
    }
    unmap(&a);
    if (out != NULL) {
        *out = a;
    }
    return true;
}

bool host_address_of(const struct sockaddr *from, struct host_address *out)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    *out = (struct host_address){.family = from->sa_family};
    if (from->sa_family == AF_INET) {
        memcpy(&v4, from, sizeof v4);
        memcpy(out->ip, &v4.sin_addr, sizeof v4.sin_addr);
    } else if (from->sa_family == AF_INET6) {
        memcpy(&v6, from, sizeof v6);
        memcpy(out->ip, &v6.sin6_addr, sizeof v6.sin6_addr);
    }
    unmap(out);
    return from->sa_family == AF_INET || from->sa_family == AF_INET6;
}

bool host_is_wildcard(const struct host_address *a)
{
    static const unsigned char zero[16];
    return memcmp(a->ip, zero, sizeof zero) == 0;
}

bool host_is_loopback(const struct host_address *a)
{
    static const unsigned char v6_loopback[16] = {[15] = 1};
    return a->family == AF_INET ? a->ip[0] == 127
                                : memcmp(a->ip, v6_loopback, sizeof v6_loopback) == 0;
}

bool host_is_below(struct span host, const char *domain)
{
    struct span name = without_dot(host);
    struct span end = span_of(domain);
    if (name.len < end.len + 2 || name.ptr[name.len - end.len - 1] != '.') {
        return false;
    }
    return span_eq_nocase(span_make(name.ptr + name.len - end.len, end.len), end);
}

bool host_is_local(struct span host)
{
    struct host_address a;
    if (host_address(host, &a)) {
        return host_is_loopback(&a) || host_is_wildcard(&a);
    }
    return host_is_below(host, "localhost") || span_eq_nocase(without_dot(host), SPAN("localhost"));
}

static struct span without_local(struct span host)
{
    struct span name = without_dot(host);
    return host_is_below(name, "local") ? span_make(name.ptr, name.len - sizeof ".local" + 1)
                                        : name;
}

bool host_is_named(struct span host, struct span name)
{
    return name.len > 0 && span_eq_nocase(without_local(host), without_local(name));
}

void host_own_name(char *out, size_t size)
{
    if (gethostname(out, size - 1) != 0) {
        out[0] = '\0';
    }
    out[size - 1] = '\0';
}

bool host_is_this_machine(struct span host)
{
    char own[256];
    host_own_name(own, sizeof own);
    return host_is_local(host) || host_is_named(host, span_of(own));
}
