/* route.c: what the head of a request says: the upstream addressed, the endpoint, the headers that
 * the engine uses, and whether the client may use the port.
 */
#include "path/exchange/exchange_priv.h"

#include "lull/path/server/probe.h"

#include "lull/http/guard.h"

/* Open WebUI up to 0.9 sends templates in custom headers without filling them in: the same value for
 * all users and chats, which identifies none. */
static bool is_template(struct span value)
{
    size_t open = span_find(value, SPAN("{{"), 0);
    return open != SIZE_MAX && span_find(value, SPAN("}}"), open + 2) != SIZE_MAX;
}

/* Value of the first field of that configured name that is no template. */
static struct span named_value(const struct http_request *r, const char *name)
{
    const struct span wanted = span_of(name);
    for (size_t i = 0; i < r->header_count; i++) {
        if (span_eq_nocase(r->headers[i].name, wanted) && !is_template(r->headers[i].value)) {
            return r->headers[i].value;
        }
    }
    return SPAN_NONE;
}

/* Whether a header of that name may say who the client is: one with a key, but for those that differ
 * with each request, that say how a person signed in to Open WebUI, or that are read as something
 * else: `chat_header = X-Chat-Token` would make a client of each conversation. */
static bool is_credential(const struct server_settings *s, struct span name)
{
    const struct span named[] = {span_of(s->task_header), span_of(s->user_header),
                                 span_of(s->chat_header)};
    static const struct span others[] = {
        {"Idempotency-Key", 15},
        {"X-Idempotency-Key", 17},
        {"X-CSRF-Token", 12},
        {"X-XSRF-Token", 12},
        {"Cookie", 6},
        {"Content-Type", 12},
        {"Content-Length", 14},
        {"Accept", 6},
        {"Accept-Encoding", 15},
        {"User-Agent", 10},
        {"Host", 4}}; /* the last ones only save the look at their letters */
    const struct span own = SPAN("X-OpenWebUI-");
    bool other = name.len >= own.len && span_eq_nocase(span_make(name.ptr, own.len), own);
    for (size_t i = 0; i < sizeof others / sizeof others[0] && !other; i++) {
        other = span_eq_nocase(name, others[i]);
    }
    for (size_t i = 0; i < sizeof named / sizeof named[0] && !other; i++) {
        other = span_eq_nocase(name, named[i]);
    }
    return !other && settings_is_key_header(name);
}

/* A client without Authorization may show who it is in another way: in a header of the model server's
 * or of a gateway's (Api-Key, Ocp-Apim-Subscription-Key, X-Auth-Token), else by a session. */
static struct span other_credential(const struct server_settings *s, const struct http_request *r)
{
    for (size_t i = 0; i < r->header_count; i++) {
        if (is_credential(s, r->headers[i].name)) {
            return r->headers[i].value;
        }
    }
    return http_header_get(r, SPAN("Cookie"));
}

/* Left out where it is longer than REQUEST_ID_MAX or not visible ASCII. */
static struct span request_id(const struct http_request *r)
{
    enum { REQUEST_ID_MAX = 128 };
    struct span id = http_header_get(r, SPAN("X-Request-Id"));
    bool good = id.len <= REQUEST_ID_MAX;
    for (size_t i = 0; i < id.len && good; i++) {
        good = id.ptr[i] > ' ' && id.ptr[i] < 127;
    }
    return good ? id : SPAN_NONE;
}

static void read_headers(struct exchange *x, const struct http_request *r)
{
    const struct server_settings *s = &x->settings->server;
    struct exchange_head *h = &x->head;
    struct span task = named_value(r, s->task_header);
    h->auth = http_header_get(r, SPAN("Authorization"));
    h->credential = h->auth.ptr != NULL ? h->auth : other_credential(s, r);
    h->origin = http_header_get(r, SPAN("Origin"));
    h->host = r->host;
    h->request_id = request_id(r);
    h->no_store = http_header_has_token(r, SPAN("Cache-Control"), SPAN("no-store"));
    h->no_cache = http_header_has_token(r, SPAN("Cache-Control"), SPAN("no-cache"));
    h->user = named_value(r, s->user_header);
    h->chat = named_value(r, s->chat_header);
    if (h->user.len == 0) {
        h->user = SPAN_NONE; /* Open WebUI sends an empty value where there is no user */
    }
    if (task.ptr != NULL) {
        h->header_value = span_trim(task);
        h->header = h->header_value.len == 0 ? TASK_HEADER_EMPTY : TASK_HEADER_VALUE;
    }
}

/* "/@NAME/rest": the upstream, and the rest as path. */
static enum http_error read_route(struct exchange *x, const struct http_request *r)
{
    struct exchange_head *h = &x->head;
    h->upstream = x->settings->default_upstream;
    h->path = r->path;
    h->query = r->query;
    h->target = r->target;
    if (!span_starts(r->path, SPAN("/@"))) {
        return HTTP_ERROR_NONE;
    }
    size_t slash = span_find(r->path, SPAN("/"), 2);
    size_t end = slash == SIZE_MAX ? r->path.len : slash;
    h->upstream = settings_find_upstream(x->settings, span_make(r->path.ptr + 2, end - 2));
    h->path = SPAN("/");
    h->target = h->path;
    if (slash != SIZE_MAX) {
        h->path = span_make(r->path.ptr + end, r->path.len - end);
        h->target = span_make(r->target.ptr + end, r->target.len - end);
    }
    return h->upstream < 0 ? HTTP_ERROR_NO_SUCH_UPSTREAM : HTTP_ERROR_NONE;
}

enum http_error route_read(struct exchange *x, const struct http_request *r)
{
    read_headers(x, r);
    enum http_error e = read_route(x, r);
    x->head.form = endpoint_error_dialect(x->head.path) == DIALECT_OLLAMA ? HTTP_FORM_OLLAMA
                                                                          : HTTP_FORM_OPENAI;
    x->head.endpoint = r->method == HTTP_POST ? endpoint_of(x->head.path) : ENDPOINT_OTHER;
    return e;
}

/* Whether this lulld sent the request, and an upstream leads back here. */
static bool is_back(const struct exchange *x, const struct http_request *r)
{
    bool back = false;
    for (size_t i = 0; i < r->header_count && !back; i++) {
        back = span_eq_nocase(r->headers[i].name, SPAN("Via")) &&
               probe_is_back(x->engine->parts.servers, r->headers[i].value);
    }
    return back;
}

/* A page of another site may send requests that it cannot read the answers of. With the client's own
 * key, or none, that is the model server's business; a key that lull adds must not work for such a
 * page. */
static bool lends_key(const struct exchange *x)
{
    return x->head.upstream >= 0 && exchange_upstream(x)->api_key[0] != '\0';
}

enum http_error route_refuses(const struct exchange *x, const struct http_request *r)
{
    if (is_back(x, r)) {
        return HTTP_ERROR_LOOP;
    }
    bool foreign = !guard_origin(&x->settings->server, x->head.origin, x->head.host);
    return lends_key(x) && foreign ? HTTP_ERROR_FORBIDDEN_ORIGIN : HTTP_ERROR_NONE;
}

/* Whether the client may use the port, by Host and client_token; after route_read(). */
static enum http_error admit(const struct exchange *x, const struct http_request *r)
{
    const struct server_settings *s = &x->settings->server;
    if (http_conn_is_loopback(x->conn) && r->host.len > 0 &&
        !guard_host(s, x->engine->hostname, r->host)) {
        return HTTP_ERROR_FORBIDDEN_HOST;
    }
    /* browsers send no Authorization with a preflight request */
    bool preflight = r->method == HTTP_OPTIONS &&
                     http_header_get(r, SPAN("Access-Control-Request-Method")).len > 0 &&
                     guard_origin(s, x->head.origin, r->host);
    bool known = preflight || guard_token(s->client_token, x->head.auth);
    return known ? HTTP_ERROR_NONE : HTTP_ERROR_UNAUTHORIZED;
}

struct known_head *route_known(struct engine *e, const struct http_request *r)
{
    return r->same != 0 && e->known.same == r->same ? &e->known : NULL;
}

void route_forget(struct engine *e)
{
    fingerprint_free(&e->known.exact);
    e->known.same = 0;
}

/* Not a head with Via: is_back() asks the servers about it, which are no part of the settings. */
static void keep(const struct exchange *x, const struct http_request *r)
{
    struct known_head *known = &x->engine->known;
    if (http_header_get(r, SPAN("Via")).ptr != NULL) {
        return;
    }
    known->same = r->same;
    known->loopback = http_conn_is_loopback(x->conn);
    known->head = x->head;
    known->user = x->user;
    known->exact_made = false;
}

enum http_error route_begin(struct exchange *x, const struct http_request *r)
{
    const struct known_head *known = route_known(x->engine, r);
    if (known != NULL && known->loopback == http_conn_is_loopback(x->conn)) {
        x->head = known->head;
        x->user = known->user;
        return HTTP_ERROR_NONE;
    }
    enum http_error route = route_read(x, r);
    x->user = conversation_user(x);
    enum http_error error = route_refuses(x, r);
    error = error == HTTP_ERROR_NONE ? admit(x, r) : error;
    error = error == HTTP_ERROR_NONE ? route : error;
    if (error == HTTP_ERROR_NONE) {
        keep(x, r);
    }
    return error;
}
