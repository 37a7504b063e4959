/* url.c: the url of an upstream, taken apart once: http://HOST[:PORT][/BASE], https://...,
 * unix:/path.
 *
 * The base path is kept, but for "/v1" at its end: Open WebUI's own setting has
 * it, so it is often written, and requests bring it along. User names, queries and fragments have no
 * meaning here and are refused.
 */
#include "config/config_priv.h"

#include "lull/base/ascii.h"
#include "lull/base/host.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

static bool is_port(struct span s)
{
    unsigned port = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9' || i == 5) {
            return false;
        }
        port = port * 10 + (unsigned)(s.ptr[i] - '0');
    }
    return s.len > 0 && port > 0 && port < 65536;
}

static bool is_v6(struct span s)
{
    char text[64];
    unsigned char ip[16];
    if (s.len < 4 || s.len >= sizeof text || s.ptr[s.len - 1] != ']') {
        return false;
    }
    memcpy(text, s.ptr + 1, s.len - 2);
    text[s.len - 2] = '\0';
    return inet_pton(AF_INET6, text, ip) == 1;
}

/* host, host:port, [v6], [v6]:port */
static bool is_authority(struct span s)
{
    size_t bracket = s.len > 0 && s.ptr[0] == '[' ? span_find(s, SPAN("]"), 0) : SIZE_MAX;
    size_t colon = span_find(s, SPAN(":"), bracket == SIZE_MAX ? 0 : bracket);
    struct span host = span_make(s.ptr, colon == SIZE_MAX ? s.len : colon);
    if (colon != SIZE_MAX && !is_port(span_make(s.ptr + colon + 1, s.len - colon - 1))) {
        return false;
    }
    return bracket == SIZE_MAX ? host_is_name(host) : is_v6(host);
}

bool is_proxy(const char *text)
{
    struct span rest = span_of(text);
    if (!span_starts(rest, SPAN("http://"))) {
        return false;
    }
    size_t at = span_rfind(rest, SPAN("@"));
    size_t host = at == SIZE_MAX ? sizeof "http://" - 1 : at + 1;
    struct span authority = span_make(rest.ptr + host, rest.len - host);
    return strpbrk(text + sizeof "http://" - 1, "/?#") == NULL && is_authority(authority) &&
           host_port(authority) > 0;
}

static struct span without_slashes(struct span path)
{
    while (path.len > 0 && path.ptr[path.len - 1] == '/') {
        path.len--;
    }
    return path;
}

static void set_base_path(struct upstream_settings *u, struct span path)
{
    path = without_slashes(path);
    u->below_v1 = path.len == 0 || span_ends(path, SPAN("/v1"));
    if (path.len > 0 && u->below_v1) {
        path = without_slashes(span_make(path.ptr, path.len - 3));
    }
    u->base_path = mem_strndup(path.len > 0 ? path.ptr : "", path.len);
}

static bool is_path(struct span path)
{
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] <= ' ' || path.ptr[i] > '~' || strchr("?#\\\"<>", path.ptr[i]) != NULL) {
            return false;
        }
    }
    return true;
}

static char *join_text(const char *scheme, struct span authority)
{
    size_t size = strlen(scheme) + authority.len + 1;
    char *out = mem_new(size);
    snprintf(out, size, "%s%.*s", scheme, (int)authority.len, authority.ptr);
    return out;
}

/* Upstreams of one host share yielding unless the configuration says otherwise. */
static void set_machine(struct upstream_settings *u, struct span host)
{
    if (u->machine != NULL && u->machine[0] != '\0') {
        return;
    }
    free(u->machine);
    struct host_address a;
    char text[INET6_ADDRSTRLEN];
    if (host_is_this_machine(host)) {
        u->machine = mem_strdup("localhost");
    } else if (host_address(host, &a) && inet_ntop(a.family, a.ip, text, sizeof text) != NULL) {
        u->machine = mem_strdup(text); /* one spelling of each address */
    } else {
        u->machine = mem_strndup(host.ptr, host.len);
    }
    for (char *c = u->machine; *c != '\0'; c++) {
        *c = ascii_lower(*c);
    }
}

static bool split_unix(struct upstream_settings *u, struct buf *why)
{
    const char *path = u->url + 5;
    if (path[0] != '/' || strlen(path) > 107) {
        return refuse_text(why, "a Unix socket is written unix:/path, at most 107 bytes");
    }
    u->unix_socket = mem_strdup(path);
    u->origin = mem_strdup("http://localhost");
    u->host = mem_strdup("localhost");
    set_base_path(u, SPAN_NONE);
    set_machine(u, SPAN("localhost"));
    return true;
}

/* Endpoints as copied from a curl command. The first ones stand behind any base path. */
static const char *const endpoints[] = {
    "/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages",    "/v1/embeddings",
    "/v1/models",        "/v1/chat",        "/api/chat",     "/api/generate",   "/api/tags",
    "/api/version",      "/api/embed",      "/api/show",     "/api/embeddings", "/api/ps",
};

/* An endpoint at the end of the url: requests bring their own. */
static bool has_endpoint(struct span url, struct buf *why)
{
    url = without_slashes(url);
    for (size_t i = 0; i < sizeof endpoints / sizeof endpoints[0]; i++) {
        struct span end = span_of(endpoints[i]);
        if (span_ends(url, end)) {
            struct span base = without_slashes(span_make(url.ptr, url.len - end.len));
            buf_text(why, "%s is an endpoint, which each request brings along; write %.*s",
                     endpoints[i], (int)base.len, base.ptr);
            return true;
        }
    }
    return false;
}

bool url_is_doubtful(const struct upstream_settings *u, struct buf *why)
{
    struct span url = without_slashes(span_of(u->url));
    if (!span_ends(url, SPAN("/api")) || u->unix_socket[0] != '\0') {
        return false;
    }
    struct span base = span_make(url.ptr, url.len - 4);
    buf_text(why,
             "requests to Ollama bring /api along; for Ollama write %.*s, for an OpenAI server "
             "with this base path %.*s/v1",
             (int)base.len, base.ptr, (int)url.len, url.ptr);
    return true;
}

/* Refuses this part with the text, and names what copying brought along: quotes, blanks, characters beyond
 * ASCII. Some of them cannot be seen. What may be a password is not shown. */
static bool refuse_part(struct span part, const char *text, struct buf *why)
{
    buf_text(why, "%s", text);
    for (size_t i = 0; i < part.len; i++) {
        if (part.ptr[i] == '"' || part.ptr[i] == '\'') {
            return refuse_text(why, ", without quotes");
        }
        if (part.ptr[i] <= ' ' || part.ptr[i] > '~') {
            if (span_find(part, SPAN("@"), 0) == SIZE_MAX) {
                buf_text(why, "; behind \"%.*s\"", (int)i, part.ptr);
            } else {
                buf_text(why, "; in it");
            }
            return refuse_text(why, " there is a blank or another character that no url has");
        }
    }
    return false;
}

bool url_split(struct upstream_settings *u, struct buf *why)
{
    struct span url = span_of(u->url);
    if (span_starts(url, SPAN("unix:"))) {
        return split_unix(u, why);
    }
    struct span scheme = span_make(url.ptr, url.len < 8 ? url.len : 8);
    u->tls = span_eq_nocase(scheme, SPAN("https://"));
    size_t skip = u->tls ? 8 : 7;
    scheme.len = scheme.len < skip ? scheme.len : skip;
    if (!u->tls && !span_eq_nocase(scheme, SPAN("http://"))) {
        return refuse_part(url, "write http://HOST:PORT, https://HOST or unix:/path", why);
    }
    struct span rest = span_make(url.ptr + skip, url.len - skip);
    size_t slash = span_find(rest, SPAN("/"), 0);
    struct span authority = span_make(rest.ptr, slash == SIZE_MAX ? rest.len : slash);
    struct span path = span_make(rest.ptr + authority.len, rest.len - authority.len);
    if (span_find(authority, SPAN("@"), 0) != SIZE_MAX) {
        return refuse_text(why, "no user name or password in the url; a key goes into api_key");
    }
    if (!is_authority(authority)) {
        return refuse_part(span_make(url.ptr, skip + authority.len),
                           "the host or the port is not one; write http://HOST:PORT", why);
    }
    if (!is_path(path)) {
        return refuse_part(url, "the path must be plain, without ? and #", why);
    }
    if (has_endpoint(url, why)) {
        return false;
    }
    u->unix_socket = mem_strdup("");
    u->origin = join_text(u->tls ? "https://" : "http://", authority);
    u->host = join_text("", authority);
    set_base_path(u, path);
    set_machine(u, host_part(authority));
    return true;
}
