/* lookup.c: the two levels of the cache.
 *
 * Exact: before any parse, a repeat of an answered request, byte for byte and by the same client, is
 * found by its bytes. Normalized: found by the canonical form of what it asks. The cache stays
 * pinned from LOOKUP_HIT to cache_release(), in the same callback.
 */
#include "path/exchange/exchange_priv.h"

#include "lull/path/server/probe.h"

static const usec_t REFRESH_AFTER = 5 * USEC_PER_S;

/* A title asked again for a conversation that already has a reply: the user wants a new title. Where
 * the clock was set back, how long ago it was made is not known. */
static bool asks_refresh(const struct exchange *x, const struct cache_hit *hit)
{
    usec_t age = wall_diff(loop_wall(x->engine->parts.loop), hit->created);
    return (hit->flags & CACHE_FLAG_REPLIED) != 0 && (age > REFRESH_AFTER || age < 0);
}

static struct cache_key key_of(const struct fingerprint *f)
{
    return (struct cache_key){.hash = f->hash, .head = f->head, .body = f->body};
}

struct cache_key lookup_normalized_key(struct hash_key hash, struct span material, size_t own)
{
    size_t head = own > 0 ? own : material.len;
    return (struct cache_key){.hash = hash,
                              .head = span_make(material.ptr, head),
                              .body = span_make(material.ptr + head, material.len - head)};
}

static struct cache_key normalized_key(const struct exchange *x)
{
    const struct fingerprint *f = &x->normalized;
    return lookup_normalized_key(f->hash, buf_span(&f->storage), f->own);
}

bool lookup_means(struct span request, unsigned flags, struct span own)
{
    struct dialect_request read;
    if (!dialect_request_parse(request, engine_entry_endpoint(flags), &read)) {
        return false;
    }
    bool means = fingerprint_is_own(request, &read, own);
    dialect_request_free(&read);
    return means;
}

static bool is_found(enum cache_result result)
{
    return result == CACHE_HIT || result == CACHE_PENDING;
}

/* The key with what is known of the head. false: there is no memory for it. */
static bool make_known_key(struct exchange *x, const struct known_head *known)
{
    const struct hash_secret *secret = cache_secret(x->engine->parts.cache);
    x->scope = x->person = known->scope;
    x->person_made = true;
    x->exact_made = fingerprint_exact_again(&known->exact, x->body, secret, &x->exact) == ERR_OK;
    return x->exact_made;
}

static void keep_key(struct known_head *known, const struct exchange *x)
{
    const struct hash_secret *secret = cache_secret(x->engine->parts.cache);
    known->scope = x->scope;
    known->exact_made =
        fingerprint_exact_again(&x->exact, SPAN_NONE, secret, &known->exact) == ERR_OK;
}

/* false: there is no memory for it. */
static bool make_exact_key(struct exchange *x)
{
    const struct http_request *r = http_conn_request(x->conn);
    const struct hash_secret *secret = cache_secret(x->engine->parts.cache);
    const struct exchange_head *h = &x->head;
    struct known_head *known = route_known(x->engine, r);
    if (known != NULL && known->exact_made) {
        return make_known_key(x, known);
    }
    x->scope = *exchange_person(x);
    struct fingerprint_exact in = {.settings = x->settings,
                                   .upstream = h->upstream,
                                   .header = h->header,
                                   .header_value = h->header_value,
                                   .method = r->method_name,
                                   .path = h->path,
                                   .query = h->query,
                                   .scope = &x->scope,
                                   .body = x->body};
    x->exact_made = fingerprint_exact(&in, secret, &x->exact) == ERR_OK;
    if (known != NULL && x->exact_made) {
        keep_key(known, x);
    }
    return x->exact_made;
}

enum lookup lookup_exact(struct exchange *x, struct lookup_found *found)
{
    struct engine *e = x->engine;
    if (x->settings->mode != TASKS_ON || x->head.no_cache || x->head.no_store ||
        x->head.header == TASK_HEADER_EMPTY) {
        return LOOKUP_BYPASS;
    }
    if (!make_exact_key(x)) {
        return LOOKUP_BYPASS;
    }
    struct cache_key key = key_of(&x->exact);
    *found = (struct lookup_found){.kind = KIND_NONE};
    enum cache_result result =
        cache_find_exact(e->parts.cache, &key, loop_wall(e->parts.loop), &found->hit);
    if (!is_found(result)) {
        return LOOKUP_MISS;
    }
    int kind = settings_find_kind(x->settings, found->hit.kind);
    const struct kind_policy *policy = kind == KIND_NONE ? NULL : &x->settings->kinds[kind];
    found->kind = kind;
    found->pending = result == CACHE_PENDING;
    found->model = found->hit.model;
    if (policy == NULL || !policy->enabled || !policy->cache || asks_refresh(x, &found->hit) ||
        !policy_allows_origin(x) || !autocomplete_is_known(x, kind, &found->hit)) {
        x->known_id = found->hit.id;
        x->known_seq = found->hit.seq;
        cache_release(e->parts.cache);
        return LOOKUP_MISS; /* the steps that follow decide */
    }
    cache_count_hit(e->parts.cache, &found->hit);
    return LOOKUP_HIT;
}

bool lookup_takes_dialect(const struct exchange *x, int upstream)
{
    const struct upstream_settings *to = &x->settings->upstreams[upstream];
    enum dialect asked = endpoint_dialect(x->head.endpoint);
    bool other = to->dialect == DIALECT_CHOICE_AUTO
                     ? asked == DIALECT_OLLAMA &&
                           probe_sort(server_of(x->engine->parts.servers, to), to) != SERVER_OLLAMA
                     : (to->dialect == DIALECT_CHOICE_OLLAMA) != (asked == DIALECT_OLLAMA);
    return !other || upstream == x->head.upstream || x->converts;
}

bool lookup_upstream(struct exchange *x)
{
    const struct kind_policy *policy = exchange_policy(x);
    x->upstream = policy->upstream_index >= 0 ? policy->upstream_index : x->head.upstream;
    x->model = policy->model[0] != '\0' ? span_of(policy->model) : x->request.model;
    bool taken = lookup_takes_dialect(x, x->upstream);
    if (!taken) {
        x->upstream = x->head.upstream;
        x->model = x->request.model;
    }
    return taken;
}

static enum json_verdict make_normalized_key(struct exchange *x, const struct normalized_body *body)
{
    bool own = x->upstream == x->head.upstream;
    struct fingerprint_normalized in = {.settings = x->settings,
                                        .kind = x->decision.kind,
                                        .endpoint = x->head.endpoint,
                                        .upstream = x->upstream,
                                        .model = x->model,
                                        .base = own ? endpoint_base(x->head.path) : SPAN_NONE,
                                        .query = own ? x->head.query : SPAN_NONE,
                                        .scope = &x->scope,
                                        .body = body};
    return fingerprint_normalized(&in, cache_secret(x->engine->parts.cache), &x->normalized);
}

static struct scope scope_by(struct exchange *x, enum scope_rule rule)
{
    return x->scope_given != NULL ? *x->scope_given
           : rule == SCOPE_AUTO   ? *exchange_person(x)
                                  : scope_of(rule, x->head.credential, x->head.user, NULL);
}

enum lookup lookup_key(struct exchange *x)
{
    const struct kind_policy *policy = exchange_policy(x);
    struct normalized_body body = {0};
    x->scope = scope_by(x, policy->scope);
    normalized_body_read(x->body, &x->request, &body);
    x->converts = body.converts;
    bool taken = lookup_upstream(x);
    enum json_verdict verdict = make_normalized_key(x, &body);
    normalized_body_free(&body);
    if (verdict != JSON_OK) {
        x->bypass = "ambiguous-json";
        return LOOKUP_NO_KEY;
    }
    behind_find(x);
    x->bypass = !taken             ? "dialect"
                : x->head.no_store ? "no-store"
                : !x->scope.usable ? "no-user"
                : !policy->cache   ? "cache-off"
                                   : NULL;
    return x->bypass != NULL || x->head.no_cache ? LOOKUP_BYPASS : LOOKUP_MISS;
}

enum lookup lookup_answer(struct exchange *x, enum lookup_use use, struct lookup_found *found)
{
    struct cache *cache = x->engine->parts.cache;
    wall_t now = loop_wall(x->engine->parts.loop);
    struct cache_key key = normalized_key(x);
    key.observing = use == LOOKUP_OBSERVE;
    *found = (struct lookup_found){.kind = x->decision.kind, .model = x->request.model};
    enum cache_result result = use == LOOKUP_SERVE
                                   ? cache_find_answer(cache, &key, now, &found->hit)
                                   : cache_peek_answer(cache, &key, now, &found->hit);
    if (!is_found(result)) {
        return LOOKUP_MISS;
    }
    found->pending = result == CACHE_PENDING;
    found->exact_wanted = x->behind.transcript == NULL;
    if (asks_refresh(x, &found->hit)) {
        cache_release(cache);
        return LOOKUP_REFRESH;
    }
    if (use == LOOKUP_SERVE) {
        cache_count_hit(cache, &found->hit);
    }
    return LOOKUP_HIT;
}

enum lookup lookup_stale(struct exchange *x, struct lookup_found *found)
{
    struct engine *e = x->engine;
    struct cache_key key = normalized_key(x);
    *found = (struct lookup_found){.kind = x->decision.kind, .model = x->request.model};
    if (exchange_policy(x)->stale_if_error == 0 || x->bypass != NULL || x->head.no_cache) {
        return LOOKUP_BYPASS;
    }
    enum cache_result result =
        cache_find_stale(e->parts.cache, &key, loop_wall(e->parts.loop), &found->hit);
    if (!is_found(result)) {
        return LOOKUP_MISS;
    }
    found->pending = result == CACHE_PENDING;
    cache_count_hit(e->parts.cache, &found->hit);
    return LOOKUP_HIT;
}

void lookup_store_exact(struct exchange *x, struct hash_key id, int64_t seq, wall_t expires)
{
    struct cache *cache = x->engine->parts.cache;
    bool stands = seq == x->known_seq && hash_key_eq(id, x->known_id);
    if (x->exact_made && !stands) {
        struct cache_key key = key_of(&x->exact);
        enum err e = cache_store_exact(cache, &key, id, seq, x->request.model, expires,
                                       cache_generation(cache));
        (void)e; /* without it the next repeat is found by its normalized key */
    }
}
