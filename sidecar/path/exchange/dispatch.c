/* dispatch.c: the call for a task that the cache does not answer: what its flight sends, and what is
 * stored of the answer.
 *
 * The client's headers reach only the upstream that it addressed. A task that the configuration
 * sends to another upstream has a new head, with that upstream's own key.
 */
#include "path/exchange/exchange_priv.h"

#include "lull/path/server/probe.h"

#include <stdio.h>

static const usec_t EMPTY_TTL = 30 * USEC_PER_S; /* of an answer that says "nothing" */

size_t dispatch_headers(struct exchange *x, int upstream, struct http_header *out, struct buf *key)
{
    const struct http_request *r = http_conn_request(x->conn);
    const struct upstream_settings *to = &x->settings->upstreams[upstream];
    bool own_key = http_bearer(to->api_key, key);
    size_t n = 0;
    if (upstream != x->head.upstream) {
        out[n++] = (struct http_header){SPAN("Content-Type"), SPAN("application/json")};
    }
    for (size_t i = 0; upstream == x->head.upstream && i < r->header_count; i++) {
        struct span name = r->headers[i].name;
        bool auth = span_eq_nocase(name, SPAN("Authorization"));
        if (!http_request_forwards(r, name) || span_eq_nocase(name, SPAN("Accept-Encoding")) ||
            (auth && (own_key || x->settings->server.client_token[0] != '\0'))) {
            continue;
        }
        out[n++] = r->headers[i];
    }
    if (own_key) {
        out[n++] = (struct http_header){SPAN("Authorization"), buf_span(key)};
    }
    out[n++] =
        (struct http_header){SPAN("Via"), probe_via(server_of(x->engine->parts.servers, to))};
    return n;
}

/* The target of a call to that upstream: the client's own, if the client addressed it. */
static struct span call_target(const struct exchange *x, int upstream)
{
    return upstream == x->head.upstream
               ? x->head.target
               : endpoint_task_path(x->head.endpoint, &x->settings->upstreams[upstream]);
}

/* The API of a request, as a flag of its answer record. */
static unsigned api_of(enum endpoint endpoint)
{
    return endpoint == ENDPOINT_OLLAMA_CHAT       ? CACHE_FLAG_OLLAMA
           : endpoint == ENDPOINT_OLLAMA_GENERATE ? CACHE_FLAG_GENERATE
                                                  : 0;
}

enum endpoint engine_entry_endpoint(unsigned flags)
{
    return (flags & CACHE_FLAG_OLLAMA) != 0     ? ENDPOINT_OLLAMA_CHAT
           : (flags & CACHE_FLAG_GENERATE) != 0 ? ENDPOINT_OLLAMA_GENERATE
                                                : ENDPOINT_CHAT;
}

void dispatch_spec(struct exchange *x, struct flight_spec *spec)
{
    autocomplete_prepare(x);
    event_model(x, x->model);
    spec->settings = x->settings;
    spec->kind = x->decision.kind;
    spec->upstream = x->upstream;
    spec->fallback.upstream = -1;
    spec->endpoint = x->head.endpoint;
    spec->may_stream = !x->request.has_tools && !x->request.plain_only;
    spec->hash = x->normalized.hash;
    spec->material = buf_span(&x->normalized.storage);
    spec->own = x->normalized.own;
    spec->shared = x->bypass == NULL;
    spec->join = x->bypass == NULL && !x->head.no_cache;
    spec->store = x->bypass == NULL;
    spec->generation = cache_generation(x->engine->parts.cache);
    spec->flags = x->decision.kind == KIND_TITLE && task_title_has_reply(&x->request)
                      ? CACHE_FLAG_REPLIED
                      : 0;
    spec->flags |= api_of(x->head.endpoint);
    spec->model = x->model;
    spec->completion = x->completion;
    spec->turn = conversation_turn(x);
    spec->behind = x->behind;
    spec->turn.elsewhere =
        strcmp(x->settings->upstreams[x->upstream].machine, exchange_upstream(x)->machine) != 0;
    scope_show(&x->scope, x->scope_text);
    spec->scope = span_of(x->scope_text);
    x->waiter.chat = spec->turn.conversation.chat;
    x->waiter.user = spec->user = x->user;
}

/* The body with the model that is to be asked. ERR_OK: out holds it, or it is x->body. */
static enum err with_model(struct exchange *x, struct span model, struct buf *out,
                           struct span *body)
{
    bool changed = false;
    *body = x->body;
    if (span_eq(model, x->request.model)) {
        return ERR_OK;
    }
    buf_init(out, x->body.len + model.len * 6 + 256);
    enum err e = dialect_override_model(x->body, x->head.endpoint, model, false, out, &changed);
    *body = buf_span(out);
    return e;
}

/* Memory of the fallback's request. */
struct fallback_parts {
    struct http_header headers[EXCHANGE_HEADERS];
    struct buf key, body;
};

void dispatch_fallback(const struct exchange *x, struct flight_fallback *f)
{
    int index = exchange_policy(x)->fallback_index;
    bool takes = index >= 0 && index != x->upstream && lookup_takes_dialect(x, index);
    f->upstream = takes ? index : -1;
    f->model = !takes ? SPAN_NONE : index == x->head.upstream ? x->request.model : x->model;
}

static void prepare_fallback(struct exchange *x, struct fallback_parts *parts,
                             struct flight_spec *spec)
{
    struct flight_fallback *f = &spec->fallback;
    dispatch_fallback(x, f);
    int index = f->upstream;
    f->upstream = -1;
    if (index >= 0 && with_model(x, f->model, &parts->body, &f->body) == ERR_OK) {
        f->upstream = index;
        f->target = call_target(x, index);
        f->headers = parts->headers;
        f->header_count = dispatch_headers(x, index, parts->headers, &parts->key);
    }
}

enum dispatch dispatch_begin(struct exchange *x)
{
    struct http_header headers[EXCHANGE_HEADERS];
    struct fallback_parts other = {.key = {.max = 8 * 1024}};
    struct buf key = {.max = 8 * 1024};
    struct buf body = {.max = 0};
    struct flight_spec spec = {.headers = headers};
    struct flight_table *flights = x->engine->flights;
    enum dispatch how = DISPATCH_NO_MEMORY;
    if (with_model(x, x->model, &body, &spec.body) == ERR_OK) {
        spec.read = spec.body.ptr == x->body.ptr && x->parsed ? &x->request.json : NULL;
        spec.header_count = dispatch_headers(x, x->upstream, headers, &key);
        spec.target = call_target(x, x->upstream);
        dispatch_spec(x, &spec);
        prepare_fallback(x, &other, &spec);
        x->phase = PHASE_FLIGHT;
        how = flight_join(flights, &spec, &x->waiter) ? DISPATCH_JOINED : DISPATCH_BEGUN;
        if (how == DISPATCH_BEGUN) {
            flight_begin(flights, &spec, &x->waiter);
        }
    }
    buf_free(&other.key);
    buf_free(&other.body);
    buf_free(&key);
    buf_free(&body);
    return how;
}

void dispatch_completed(void *ctx, const struct flight *f, struct flight_end *end)
{
    dispatch_store(ctx, flight_spec(f), end);
}

void dispatch_store(struct engine *e, const struct flight_spec *spec, struct flight_end *end)
{
    const struct kind_policy *policy = &spec->settings->kinds[spec->kind];
    struct task_figures *figures = figures_task(e->parts.figures, policy->name);
    struct buf encoded = {.max = ANSWER_MAX + 1024};
    wall_t now = loop_wall(e->parts.loop);
    usec_t ttl = end->verdict == ANSWER_EMPTY && policy->ttl > EMPTY_TTL ? EMPTY_TTL : policy->ttl;
    end->entry_id = spec->hash;
    end->entry_expires.us = now.us + ttl;
    bool keep = end->verdict == ANSWER_GOOD ||
                (end->verdict == ANSWER_EMPTY && flight_has(FLIGHT_PART_EMPTY));
    bool wanted = spec->store && !end->fell_back;
    if (wanted && keep && answer_encode(end->answer, &encoded) == ERR_OK) {
        struct cache_put put = {
            .key = lookup_normalized_key(spec->hash, spec->material, spec->own),
            .kind = span_of(policy->name),
            .scope = spec->scope,
            .model = spec->model,
            .upstream = span_of(spec->settings->upstreams[spec->upstream].name),
            .created = now,
            .expires = end->entry_expires,
            .model_time = end->model_time,
            .tokens = end->tokens,
            .cost = end->cost,
            .stale = end->verdict == ANSWER_EMPTY ? 0 : policy->stale_if_error,
            .flags = spec->flags | (end->verdict == ANSWER_EMPTY ? (unsigned)CACHE_FLAG_EMPTY : 0U),
            .answer = buf_span(&encoded),
            .request = spec->settings->cache.keep_requests ? spec->body : SPAN_NONE,
        };
        end->stored =
            cache_store_answer(e->parts.cache, &put, spec->generation, &end->entry_seq) == ERR_OK;
    }
    buf_free(&encoded);
    if (end->verdict == ANSWER_GOOD && !end->fell_back) {
        autocomplete_hold_answer(e, spec, end);
    }
    if (end->stored) {
        figures->stored++;
    } else if (wanted || !keep) { /* else it was good, and not to be stored */
        figures->not_stored++;
    }
}
