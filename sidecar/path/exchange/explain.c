/* explain.c: what would be done with a request: the steps of the engine up to where something would
 * happen. It goes through the same functions as a request, on an exchange without a connection, and
 * looks where they would take.
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
static void look_ahead(struct exchange *x, struct explanation *out)
{
    struct flight_spec spec = {.body = x->body};
    fly_spec(x, &spec);
    struct flight_outlook ahead = flight_outlook(x->engine->flights, &spec);
    out->waits = schedule_why_name(ahead.why);
    out->joins = ahead.joins;
    out->follows = ahead.follows;
    out->window = exchange_policy(x)->cls == KIND_CLASS_COMPLETION ? ahead.window : -1;
    decide(out, "miss", x->bypass != NULL ? x->bypass : x->head.no_cache ? "no-cache" : NULL);
}

static bool look_in_cache(struct exchange *x, struct explanation *out)
{
    struct cache *cache = x->engine->parts.cache;
    wall_t now = loop_wall(x->engine->parts.loop);
    struct cache_key key = {
        .hash = x->meaning.hash, .head = x->meaning.head, .body = x->meaning.body};
    struct cache_hit hit;
    enum cache_result found = cache_peek_answer(cache, &key, now, &hit);
    if (found != CACHE_HIT && found != CACHE_PENDING) {
        return false;
    }
    if (lookup_wants_new(x, &hit)) {
        x->bypass = "regenerate";
    } else {
        out->ttl_s = wall_diff(hit.expires, now) / USEC_PER_S;
        decide(out, found == CACHE_PENDING ? "pending" : "hit", NULL);
    }
    cache_release(cache);
    return x->bypass == NULL;
}

static void look_up(struct exchange *x, struct explanation *out)
{
    enum step next = lookup_prepare(x);
    if (x->meaning.head.len > 0) {
        hash_key_hex(x->meaning.hash, out->fingerprint);
        snprintf(out->scope, sizeof out->scope, "%02x%02x%02x%02x", x->scope.digest[0],
                 x->scope.digest[1], x->scope.digest[2], x->scope.digest[3]);
    }
    copy(out->upstream, sizeof out->upstream, span_of(x->settings->upstreams[x->upstream].name));
    copy(out->model, sizeof out->model, x->model);
    if (next == STEP_RELAY) {
        decide(out, "bypass", x->bypass);
    } else if (next == STEP_THROUGH && look_in_cache(x, out)) {
        return;
    } else if (next == STEP_THROUGH && complete_would_rest(x)) {
        decide(out, "type-through", NULL);
    } else {
        look_ahead(x, out);
    }
}

static void explain_task(struct exchange *x, struct explanation *out)
{
    copy(out->kind, sizeof out->kind, span_of(exchange_policy(x)->name));
    if (!endpoint_assembles(x->head.endpoint)) {
        decide(out, "bypass", "not-assembled");
    } else if (x->body.len > (size_t)x->settings->server.max_task_body) {
        decide(out, "bypass", "too-large");
    } else if (!x->parsed) {
        decide(out, "bypass", "ambiguous-json");
    } else if (x->request.streamed) {
        decide(out, "bypass", "stream");
    } else if (!exchange_policy(x)->enabled && x->settings->mode == TASKS_ON) {
        decide(out, "switched-off", NULL);
    } else {
        look_up(x, out);
    }
}

static void explain(struct exchange *x, const struct http_request *r, struct explanation *out)
{
    static const char *const classes[] = {"other", "chat", "task"};
    enum http_error error = head_read(x, r);
    if (error != HTTP_ERROR_NONE) {
        out->refused = http_error_name(error);
        return;
    }
    copy(out->upstream, sizeof out->upstream,
         span_of(x->settings->upstreams[x->head.upstream].name));
    if (x->settings->mode == TASKS_OFF) {
        out->why = "tasks are switched off: mode = off";
        return;
    }
    x->parsed = endpoint_assembles(x->head.endpoint) &&
                x->body.len <= (size_t)x->settings->server.max_task_body &&
                dialect_request_parse(x->body, x->head.endpoint, &x->request);
    x->decision = task_classify(x->settings, x->head.endpoint, x->head.header, x->head.header_value,
                                x->parsed ? &x->request : NULL);
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
                             .minor = 1,
                             .content_length = (int64_t)in->body.len};
    struct exchange x = {.engine = e,
                         .settings = settings_ref(e->settings),
                         .body = in->body,
                         .decision = {.kind = KIND_NONE}};
    for (size_t i = 0; i < in->header_count && i < HTTP_MAX_HEADERS; i++) {
        r.headers[r.header_count++] = in->headers[i];
    }
    *out = (struct explanation){
        .cls = "other", .why = "", .waits = "", .decision = "pass", .ttl_s = -1, .window = -1};
    explain(&x, &r, out);
    if (x.parsed) {
        dialect_request_free(&x.request);
    }
    fingerprint_free(&x.meaning);
    fingerprint_free(&x.context);
    buf_free(&x.plain);
    settings_unref(x.settings);
}
