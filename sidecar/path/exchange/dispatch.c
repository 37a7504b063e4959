/* dispatch.c: a task that the cache could not answer: what its flight sends, what happens when it
 * lands, and how each waiting exchange is answered.
 *
 * Whose headers go where: the client's headers reach only the upstream it addressed. A task that
 * the configuration sends elsewhere is built anew, with that upstream's own key.
 */
#include "path/exchange/exchange_priv.h"

#include "lull/path/dialect/convert.h"

#include <stdio.h>

static const usec_t EMPTY_TTL = 30 * USEC_PER_S; /* "nothing" is an answer, for a short time */

size_t fly_headers(struct exchange *x, int upstream, struct http_header *out, struct buf *key)
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
    out[n++] = (struct http_header){SPAN("Via"), probes_via(flight_probes(x->engine->flights), to)};
    return n;
}

/* Where a call to that upstream goes: under the client's own path, if the client addressed it. */
static struct span call_target(const struct exchange *x, int upstream)
{
    return upstream == x->head.upstream
               ? x->head.target
               : endpoint_task_path(x->head.endpoint, &x->settings->upstreams[upstream]);
}

static void on_flight_end(void *ctx, struct flight_end *end);

/* Whose words a request is in, as a flag of its entry. */
static unsigned api_of(enum endpoint endpoint)
{
    return endpoint == ENDPOINT_OLLAMA_CHAT       ? CACHE_FLAG_OLLAMA
           : endpoint == ENDPOINT_OLLAMA_GENERATE ? CACHE_FLAG_GENERATE
                                                  : 0;
}

void fly_spec(struct exchange *x, struct flight_spec *spec)
{
    complete_prepare(x);
    event_model(x, x->model);
    spec->settings = x->settings;
    spec->kind = x->decision.kind;
    spec->upstream = x->upstream;
    spec->fallback.upstream = -1;
    spec->endpoint = x->head.endpoint;
    spec->may_stream = !x->request.has_tools && !x->request.plain_only;
    spec->hash = x->meaning.hash;
    spec->material = buf_span(&x->meaning.storage);
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
    spec->turn = turn_of(x);
    spec->turn.elsewhere = strcmp(x->settings->upstreams[x->upstream].machine,
                                  x->settings->upstreams[x->head.upstream].machine) != 0;
    snprintf(x->scope_text, sizeof x->scope_text, "%02x%02x%02x%02x", x->scope.digest[0],
             x->scope.digest[1], x->scope.digest[2], x->scope.digest[3]);
    spec->scope = span_of(x->scope_text);
    x->waiter.chat = spec->turn.whose.chat;
}

static void submit(struct exchange *x, struct flight_spec *spec)
{
    x->waiter.done = on_flight_end;
    x->waiter.ctx = x;
    x->phase = PHASE_FLIGHT;
    flight_submit(x->engine->flights, spec, &x->waiter);
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

/* What the fallback is sent. The upstream that the client addressed gets what the client wrote. */
struct fallback_parts {
    struct http_header headers[EXCHANGE_HEADERS];
    struct buf key, body;
};

static void prepare_fallback(struct exchange *x, struct fallback_parts *parts,
                             struct flight_spec *spec)
{
    struct flight_fallback *f = &spec->fallback;
    int index = exchange_policy(x)->fallback_index;
    if (index < 0 || index == x->upstream) {
        return;
    }
    f->model = index == x->head.upstream ? x->request.model : x->model;
    if (with_model(x, f->model, &parts->body, &f->body) == ERR_OK) {
        f->upstream = index;
        f->target = call_target(x, index);
        f->headers = parts->headers;
        f->header_count = fly_headers(x, index, parts->headers, &parts->key);
    }
}

enum step step_flight(struct exchange *x)
{
    struct http_header headers[EXCHANGE_HEADERS];
    struct fallback_parts other = {.key = {.max = 8 * 1024}};
    struct buf key = {.max = 8 * 1024};
    struct buf body = {.max = 0};
    struct flight_spec spec = {.headers = headers};
    enum step next = STEP_WAIT;
    if (with_model(x, x->model, &body, &spec.body) == ERR_OK) {
        spec.header_count = fly_headers(x, x->upstream, headers, &key);
        spec.target = call_target(x, x->upstream);
        fly_spec(x, &spec);
        prepare_fallback(x, &other, &spec);
        submit(x, &spec);
    } else {
        next = reply_failure(x, OUTCOME_MISS, HTTP_ERROR_BUSY, "out of memory");
    }
    buf_free(&other.key);
    buf_free(&other.body);
    buf_free(&key);
    buf_free(&body);
    return next;
}

void fly_landed(void *ctx, const struct flight *f, struct flight_end *end)
{
    fly_keep(ctx, flight_spec(f), end);
}

/* Only good answers are kept. */
void fly_keep(struct engine *e, const struct flight_spec *spec, struct flight_end *end)
{
    const struct kind_policy *policy = &spec->settings->kinds[spec->kind];
    struct task_figures *figures = figures_task(e->parts.figures, policy->name);
    struct buf encoded = {.max = ANSWER_MAX + 1024};
    wall_t now = loop_wall(e->parts.loop);
    usec_t ttl = end->verdict == ANSWER_EMPTY && policy->ttl > EMPTY_TTL ? EMPTY_TTL : policy->ttl;
    end->entry_id = spec->hash;
    end->entry_expires.us = now.us + ttl;
    bool keep = end->verdict == ANSWER_GOOD ||
                (end->verdict == ANSWER_EMPTY && flight_has(e->flights, FLIGHT_PART_EMPTY));
    if (spec->store && keep && !end->fell_back && answer_encode(end->answer, &encoded) == ERR_OK) {
        struct cache_put put = {
            .key = {.hash = spec->hash, .head = spec->material},
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
        complete_landed(e, spec, end);
    }
    if (end->stored) {
        figures->stored++;
    } else {
        figures->not_stored++;
    }
}

/* The reply body for this exchange, rendered once for all waiters that asked for the same model. */
static enum err shared_reply(struct exchange *x, struct flight_end *end, struct span *body)
{
    struct span model = x->request.model;
    if (end->reply.len > 0 && span_eq(span_of(end->reply_model), model)) {
        *body = buf_span(&end->reply);
        return ERR_OK;
    }
    enum err e = reply_render(x, end->answer);
    if (e != ERR_OK) {
        return e;
    }
    *body = buf_span(&x->reply);
    if (model.len > 0 && model.len < sizeof end->reply_model) {
        buf_free(&end->reply);
        buf_move(&end->reply, &x->reply);
        memcpy(end->reply_model, model.ptr, model.len);
        end->reply_model[model.len] = '\0';
        *body = buf_span(&end->reply);
    }
    return ERR_OK;
}

static void keep_alias(struct exchange *x, struct flight_end *end)
{
    struct cache *cache = x->engine->parts.cache;
    if (!end->stored || !x->raw_made || hash_key_eq(end->alias_done, x->raw.hash)) {
        return;
    }
    struct cache_key key = {.hash = x->raw.hash, .head = x->raw.head, .body = x->raw.body};
    enum err e = cache_store_exact(cache, &key, end->entry_id, end->entry_seq, x->request.model,
                                   end->entry_expires, cache_generation(cache));
    (void)e; /* without it the next time is found by its meaning */
    end->alias_done = x->raw.hash;
}

/* Whether another exchange's call answers this one. */
static bool shares(const struct exchange *x, const struct flight_end *end)
{
    return x->waiter.joined || end->rest;
}

static void answer_waiter(struct exchange *x, struct flight_end *end)
{
    int kind = x->decision.kind;
    struct task_figures *figures = exchange_figures(x, kind);
    struct span body;
    struct cache_status status = reply_call_status(x, false);
    enum outcome outcome = OUTCOME_MISS;
    enum err e = shared_reply(x, end, &body);
    if (e != ERR_OK) {
        (void)reply_failure(x, outcome, HTTP_ERROR_UPSTREAM_BROKE, err_name(e));
        return;
    }
    if (x->bypass != NULL || (x->regenerate && !x->waiter.joined)) {
        bool uncached_kind = x->bypass != NULL && strcmp(x->bypass, "cache-off") == 0;
        outcome = x->regenerate || uncached_kind ? OUTCOME_MISS : OUTCOME_BYPASSED;
    } else if (end->fell_back) {
        status.fwd = CACHE_STATUS_BYPASS;
        status.detail = "fallback";
        outcome = x->waiter.joined ? OUTCOME_COLLAPSED : OUTCOME_MISS;
    } else if (end->held) {
        status = (struct cache_status){.from = CACHE_STATUS_HIT, .detail = "type-through"};
        outcome = OUTCOME_TYPE_THROUGH;
    } else if (shares(x, end)) {
        outcome = OUTCOME_COLLAPSED;
        status.collapsed = true;
        status.detail = end->rest ? "type-through" : NULL;
    } else {
        status.stored = end->stored;
    }
    if (outcome == OUTCOME_COLLAPSED || outcome == OUTCOME_TYPE_THROUGH) {
        figures->saved_us += end->model_time;
        figures->saved_tokens += end->tokens;
        figures->saved_cost += end->cost;
    }
    keep_alias(x, end); /* before the reply: afterwards the request is not ours any more */
    reply_task(x, kind, &status, body);
    exchange_finish(x, kind, outcome);
}

/* An error in the words of the exchange's own dialect. */
static void cross_error(struct exchange *x, struct flight_end *end, struct buf *body)
{
    enum dialect mine = endpoint_dialect(x->head.endpoint);
    if (mine != end->raw_dialect && dialect_convert_error(end->raw_body, end->status, mine, body)) {
        end->raw_headers = SPAN("Content-Type: application/json\r\n");
        end->raw_body = buf_span(body);
        end->raw_dialect = mine;
    }
}

/* What the model server said, as it came, with our two headers. */
static void pass_raw(struct exchange *x, struct flight_end *given, enum outcome outcome)
{
    int kind = x->decision.kind;
    struct flight_end copy = *given;
    struct flight_end *end = &copy;
    struct buf crossed = {.max = 64 * 1024};
    cross_error(x, end, &crossed);
    struct buf lines = {.max = end->raw_headers.len + 512};
    char own[512];
    struct cache_status status = reply_call_status(x, outcome == OUTCOME_COLLAPSED);
    size_t own_len = reply_task_lines(x, kind, &status, own, sizeof own);
    if (buf_append_span(&lines, end->raw_headers) == ERR_OK &&
        buf_append(&lines, own, own_len) == ERR_OK) {
        http_reply_full(x->conn, end->status, SPAN_NONE, buf_span(&lines), end->raw_body);
    } else {
        reply_error(x, outcome, HTTP_ERROR_UPSTREAM_BROKE, "");
    }
    buf_free(&lines);
    buf_free(&crossed);
    if (end->upstream_failed) {
        exchange_figures(x, kind)->failed++;
    } else if (outcome == OUTCOME_COLLAPSED) {
        exchange_figures(x, kind)->saved_us += end->model_time;
    }
    exchange_finish(x, kind, outcome);
}

/* What the call of a waiter counts as, where it brought no answer to be cached. */
static enum outcome call_outcome(const struct exchange *x)
{
    if (x->waiter.joined) {
        return OUTCOME_COLLAPSED;
    }
    bool bypassed = x->bypass != NULL && strcmp(x->bypass, "cache-off") != 0;
    return bypassed ? OUTCOME_BYPASSED : OUTCOME_MISS;
}

static void on_flight_end(void *ctx, struct flight_end *end)
{
    struct exchange *x = ctx;
    event_call(x, end);
    switch (end->result) {
    case FLIGHT_ANSWER:
        answer_waiter(x, end);
        return;
    case FLIGHT_EMPTY:
        (void)reply_empty(x, end->outcome, outcome_name(end->outcome));
        return;
    case FLIGHT_RAW:
        if (!end->upstream_failed || !lookup_stale(x)) {
            pass_raw(x, end, call_outcome(x));
        }
        return;
    case FLIGHT_FAILED:
        if (end->error == HTTP_ERROR_UPSTREAM_UNREACHABLE) {
            probes_forget(flight_probes(x->engine->flights),
                          x->settings->upstreams[x->upstream].name);
        }
        if (!lookup_stale(x)) {
            (void)reply_failure(x, call_outcome(x), end->error, end->why);
        }
        return;
    }
}
