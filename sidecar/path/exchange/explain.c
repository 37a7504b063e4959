/* explain.c: what would be done with a request: the engine's steps on an exchange without a
 * connection, by the same verbs, up to where a step would count, answer or call.
 */
#include "path/exchange/exchange_priv.h"

#include <stdio.h>

static void copy(char *out, size_t size, struct span s)
{
    snprintf(out, size, "%.*s", (int)(s.len < size ? s.len : size - 1), s.len > 0 ? s.ptr : "");
}

static void decide(struct explanation *out, const char *decision, const char *detail)
{
    out->decision = decision;
    out->detail = detail;
}

/* A miss: what would become of it. */
static void look_ahead(struct exchange *x, const char *detail, struct explanation *out)
{
    struct flight_spec spec = {.body = x->body};
    dispatch_spec(x, &spec);
    dispatch_fallback(x, &spec.fallback);
    struct flight_outlook ahead = flight_outlook(x->engine->flights, &spec);
    out->waits = schedule_why_name(ahead.why);
    out->may_prefix = x->behind.wanted;
    out->prefix_not = behind_outlook(x);
    if (ahead.falls_back) {
        const struct upstream_settings *other = &x->settings->upstreams[spec.fallback.upstream];
        copy(out->fallback, sizeof out->fallback, span_of(other->name));
    }
    out->joins = ahead.joins;
    out->follows = ahead.follows;
    out->window = exchange_policy(x)->cls == KIND_CLASS_COMPLETION ? ahead.window : -1;
    decide(out, "miss", detail);
}

static void explain_key(const struct exchange *x, struct explanation *out)
{
    if (x->normalized.head.len > 0) {
        hash_key_hex(x->normalized.hash, out->fingerprint);
        scope_show(&x->scope, out->scope);
    }
    copy(out->upstream, sizeof out->upstream, span_of(x->settings->upstreams[x->upstream].name));
    copy(out->model, sizeof out->model, x->model);
}

/* From NORMALIZED on. */
static void explain_lookup(struct exchange *x, struct explanation *out)
{
    struct engine *e = x->engine;
    struct lookup_found found;
    struct through_hit remainder;
    enum lookup how = lookup_key(x);
    explain_key(x, out);
    out->endpoint = x->head.endpoint;
    how = how == LOOKUP_MISS ? lookup_answer(x, LOOKUP_LOOK, &found) : how;
    switch (how) {
    case LOOKUP_NO_KEY:
        decide(out, "bypass", x->bypass);
        break;
    case LOOKUP_HIT:
        out->ttl_s = wall_diff(found.hit.expires, loop_wall(e->parts.loop)) / USEC_PER_S;
        decide(out, found.pending ? "pending" : "hit", NULL);
        cache_release(e->parts.cache);
        break;
    case LOOKUP_REFRESH:
        look_ahead(x, "regenerate", out);
        break;
    case LOOKUP_BYPASS:
        look_ahead(x, x->bypass != NULL ? x->bypass : "no-cache", out);
        break;
    case LOOKUP_MISS:
        if (autocomplete_find(x, LOOKUP_LOOK, &remainder)) {
            decide(out, "type-through", NULL);
        } else {
            look_ahead(x, NULL, out);
        }
        break;
    }
}

static void explain_task(struct exchange *x, struct explanation *out)
{
    copy(out->kind, sizeof out->kind, span_of(exchange_policy(x)->name));
    if (!policy_allows_origin(x)) {
        out->refused = http_error_name(HTTP_ERROR_FORBIDDEN_ORIGIN);
        return;
    }
    switch (policy_decide(x)) {
    case POLICY_FORWARD:
        decide(out, "bypass", x->bypass);
        break;
    case POLICY_SWITCHED_OFF:
        decide(out, "switched-off", NULL);
        break;
    case POLICY_GO_ON:
        explain_lookup(x, out);
        break;
    }
}

static void explain(struct exchange *x, const struct http_request *r, struct explanation *out)
{
    static const char *const classes[] = {"other", "chat", "task"};
    enum http_error route = route_read(x, r);
    enum http_error error = route_refuses(x, r);
    error = error == HTTP_ERROR_NONE ? route : error;
    if (error != HTTP_ERROR_NONE) {
        out->refused = http_error_name(error);
        return;
    }
    copy(out->upstream, sizeof out->upstream, span_of(exchange_upstream(x)->name));
    if (x->settings->mode == TASKS_OFF) {
        out->why = "tasks are switched off: mode = off";
        return;
    }
    x->bypass = policy_unread(x, x->body.len > (size_t)x->settings->server.max_task_body);
    policy_classify(x);
    out->cls = classes[x->decision.cls];
    out->why = x->decision.why;
    if (x->decision.cls == TASK_CLASS_TASK) {
        explain_task(x, out);
    } else if (x->parsed) {
        copy(out->model, sizeof out->model, x->request.model);
    }
}

void engine_explain(struct engine *e, const struct explain_request *in, struct explanation *out)
{
    struct http_request r = {.method = HTTP_POST,
                             .method_name = SPAN("POST"),
                             .target = in->path,
                             .path = in->path,
                             .query = in->query,
                             .minor = 1,
                             .content_length = (int64_t)in->body.len};
    struct exchange x = {.engine = e,
                         .settings = settings_ref(e->settings),
                         .body = in->body,
                         .scope_given = in->scope,
                         .decision = {.kind = KIND_NONE}};
    for (size_t i = 0; i < in->header_count && i < HTTP_MAX_HEADERS; i++) {
        r.headers[r.header_count++] = in->headers[i];
    }
    r.host = http_header_get(&r, SPAN("Host"));
    *out = (struct explanation){
        .cls = "other", .why = "", .waits = "", .decision = "pass", .ttl_s = -1, .window = -1};
    explain(&x, &r, out);
    exchange_clear(&x);
    settings_unref(x.settings);
    fingerprint_free(&x.normalized);
    fingerprint_free(&x.context);
}
