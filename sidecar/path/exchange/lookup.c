/* lookup.c: the two levels of the cache.
 *
 * Level 1 comes before any parse: a repeat of a request that was answered before, byte for byte, by
 * the same client, is found by its raw bytes; its reply is written from the stored answer.
 * Level 2 is found by what the request means. A title asked again for a conversation that already
 * has a reply, more than REGENERATE after it was answered, is a wish for a new title: it is not
 * read.
 */
#include "path/exchange/exchange_priv.h"

#include "lull/http/guard.h"

static const usec_t REGENERATE = 5 * USEC_PER_S;

bool lookup_wants_new(const struct exchange *x, const struct cache_hit *hit)
{
    return (hit->flags & CACHE_FLAG_REPLIED) != 0 &&
           wall_diff(loop_wall(x->engine->parts.loop), hit->created) > REGENERATE;
}

static struct cache_key key_of(const struct fingerprint *f)
{
    return (struct cache_key){.hash = f->hash, .head = f->head, .body = f->body};
}

/* Whole seconds, rounded down; negative for every entry that has expired. */
static int64_t seconds_left(usec_t left)
{
    if (left > 0) {
        return left / USEC_PER_S;
    }
    int64_t over = (USEC_PER_S - 1 - left) / USEC_PER_S;
    return over > 0 ? -over : -1;
}

/* The reply of a hit, and the end of the exchange. */
static void answer_hit(struct exchange *x, int kind, const struct cache_hit *hit, bool pending,
                       struct span body)
{
    usec_t left = wall_diff(hit->expires, loop_wall(x->engine->parts.loop));
    struct cache_status status = {.from = CACHE_STATUS_HIT,
                                  .ttl_s = seconds_left(left),
                                  .detail = pending && left > 0 ? "pending" : NULL};
    struct task_figures *figures = exchange_figures(x, kind);
    figures->saved_us += hit->model_time;
    figures->saved_tokens += hit->tokens;
    figures->saved_cost += hit->cost;
    reply_task(x, kind, &status, body);
}

enum step step_raw(struct exchange *x)
{
    struct engine *e = x->engine;
    const struct exchange_head *h = &x->head;
    if (x->settings->mode != TASKS_ON || h->no_cache || h->no_store ||
        h->header == TASK_HEADER_EMPTY) {
        return STEP_CLASSIFY;
    }
    const struct http_request *r = http_conn_request(x->conn);
    const struct hash_secret *secret = cache_secret(e->parts.cache);
    x->scope = scope_of(SCOPE_AUTO, h->auth, h->user, secret, http_conn_memo(x->conn));
    struct fingerprint_exact in = {.settings = x->settings,
                                   .upstream = h->upstream,
                                   .header = h->header,
                                   .header_value = h->header_value,
                                   .method = r->method_name,
                                   .path = h->path,
                                   .query = h->query,
                                   .scope = &x->scope,
                                   .body = x->body};
    fingerprint_exact(&in, secret, &x->raw);
    x->raw_made = true;
    struct cache_key key = key_of(&x->raw);
    struct cache_hit hit;
    enum cache_result found =
        cache_find_exact(e->parts.cache, &key, loop_wall(e->parts.loop), &hit);
    if (found != CACHE_HIT && found != CACHE_PENDING) {
        return STEP_CLASSIFY;
    }
    int kind = settings_find_kind(x->settings, hit.kind);
    bool good = kind != KIND_NONE && x->settings->kinds[kind].enabled &&
                x->settings->kinds[kind].cache && !lookup_wants_new(x, &hit) &&
                guard_origin(&x->settings->server, h->origin, r->host) &&
                complete_is_held(x, kind, &hit) && reply_stored(x, hit.answer, hit.model) == ERR_OK;
    if (good) {
        answer_hit(x, kind, &hit, found == CACHE_PENDING, buf_span(&x->reply));
    }
    cache_release(e->parts.cache);
    if (!good) {
        return STEP_CLASSIFY;
    }
    exchange_finish(x, kind, OUTCOME_HIT);
    return STEP_OVER;
}

/* Makes the same request, byte for byte, a hit without a parse the next time. */
static void keep_alias(struct exchange *x, const struct cache_hit *hit, wall_t expires)
{
    struct cache *cache = x->engine->parts.cache;
    if (!x->raw_made) {
        return;
    }
    struct cache_key key = key_of(&x->raw);
    enum err e = cache_store_exact(cache, &key, hit->id, hit->seq, x->request.model, expires,
                                   cache_generation(cache));
    (void)e; /* without it the next time is found by its meaning */
}

/* Renders what was found. ERR_CORRUPT: it cannot be read; then it is no hit. */
static enum err render_hit(struct exchange *x, const struct cache_hit *hit)
{
    struct answer answer;
    enum err e = answer_decode(hit->answer, &answer);
    if (e == ERR_OK) {
        e = reply_render(x, &answer);
        if (e == ERR_OK) {
            complete_hit(x, hit, &answer);
        }
        answer_free(&answer);
    }
    return e;
}

bool lookup_stale(struct exchange *x)
{
    struct engine *e = x->engine;
    int kind = x->decision.kind;
    struct cache_key key = key_of(&x->meaning);
    struct cache_hit hit;
    if (exchange_policy(x)->stale_if_error == 0 || x->bypass != NULL || x->head.no_cache) {
        return false;
    }
    enum cache_result found =
        cache_find_stale(e->parts.cache, &key, loop_wall(e->parts.loop), &hit);
    if (found != CACHE_HIT && found != CACHE_PENDING) {
        return false;
    }
    bool rendered = render_hit(x, &hit) == ERR_OK;
    cache_release(e->parts.cache);
    if (rendered) {
        /* an answer that was only to be made anew may not have expired yet */
        bool expired = wall_diff(hit.expires, loop_wall(e->parts.loop)) <= 0;
        exchange_figures(x, kind)->failed++;
        answer_hit(x, kind, &hit, found == CACHE_PENDING, buf_span(&x->reply));
        exchange_finish(x, kind, expired ? OUTCOME_STALE : OUTCOME_HIT);
    }
    return rendered;
}

static enum step look_up(struct exchange *x)
{
    struct engine *e = x->engine;
    int kind = x->decision.kind;
    struct cache_key key = key_of(&x->meaning);
    struct cache_hit hit;
    enum cache_result found =
        cache_find_answer(e->parts.cache, &key, loop_wall(e->parts.loop), &hit);
    if (found != CACHE_HIT && found != CACHE_PENDING) {
        return STEP_THROUGH;
    }
    if (lookup_wants_new(x, &hit)) {
        x->regenerate = true;
        exchange_figures(x, kind)->regenerated++;
        cache_release(e->parts.cache);
        return STEP_FLIGHT;
    }
    if (render_hit(x, &hit) != ERR_OK) {
        cache_release(e->parts.cache);
        return STEP_THROUGH;
    }
    cache_release(e->parts.cache); /* from here on only the hit's values are used */
    keep_alias(x, &hit, hit.expires);
    answer_hit(x, kind, &hit, found == CACHE_PENDING, buf_span(&x->reply));
    exchange_finish(x, kind, OUTCOME_HIT);
    return STEP_OVER;
}

/* Whether the server that the configuration names understands the request, or can be made to. */
static bool understands(const struct exchange *x, const struct normalized_body *body)
{
    const struct upstream_settings *to = &x->settings->upstreams[x->upstream];
    enum dialect asked = endpoint_dialect(x->head.endpoint);
    bool other = to->dialect == DIALECT_CHOICE_AUTO
                     ? asked == DIALECT_OLLAMA &&
                           probes_sort(flight_probes(x->engine->flights), to) != SERVER_OLLAMA
                     : (to->dialect == DIALECT_CHOICE_OLLAMA) != (asked == DIALECT_OLLAMA);
    return !other || x->upstream == x->head.upstream || body->converts;
}

enum step lookup_prepare(struct exchange *x)
{
    const struct kind_policy *policy = exchange_policy(x);
    const struct hash_secret *secret = cache_secret(x->engine->parts.cache);
    x->upstream = policy->upstream_index >= 0 ? policy->upstream_index : x->head.upstream;
    x->model = policy->model[0] != '\0' ? span_of(policy->model) : x->request.model;
    x->scope = scope_of(policy->scope, x->head.auth, x->head.user, secret, NULL);
    struct normalized_body body = {0};
    normalized_body_read(x->body, &x->request, &body);
    bool understood = understands(x, &body);
    if (!understood) {
        x->upstream = x->head.upstream;
        x->model = x->request.model;
    }
    bool own = x->upstream == x->head.upstream;
    struct fingerprint_normalized in = {.settings = x->settings,
                                        .kind = x->decision.kind,
                                        .endpoint = x->head.endpoint,
                                        .upstream = x->upstream,
                                        .model = x->model,
                                        .base = own ? endpoint_base(x->head.path) : SPAN_NONE,
                                        .query = own ? x->head.query : SPAN_NONE,
                                        .scope = &x->scope,
                                        .body = &body};
    enum json_verdict verdict = fingerprint_normalized(&in, secret, &x->meaning);
    normalized_body_free(&body);
    if (verdict != JSON_OK) {
        x->bypass = "ambiguous-json";
        return STEP_RELAY;
    }
    if (!understood) {
        x->bypass = "dialect";
    } else if (x->head.no_store) {
        x->bypass = "no-store";
    } else if (!x->scope.usable) {
        x->bypass = "no-user";
    } else if (!policy->cache) {
        x->bypass = "cache-off";
    }
    return x->bypass != NULL || x->head.no_cache ? STEP_FLIGHT : STEP_THROUGH;
}

enum step step_meaning(struct exchange *x)
{
    enum step next = lookup_prepare(x);
    if (x->settings->mode == TASKS_OBSERVE) {
        if (next != STEP_RELAY) {
            observe_task(x);
        }
        return STEP_RELAY;
    }
    return next == STEP_THROUGH ? look_up(x) : next;
}
