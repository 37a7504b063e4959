/* misses.c: the last missed request of each kind, kept in memory for explain.
 *
 * A kept request has what decides its key: the path with its upstream, the task header, the digest
 * of its scope in place of Authorization and user id, and the body. engine_forget(), with a removal or
 * purge in the cache, drops all of them: a user may have purged to remove their texts.
 */
#include "path/exchange/exchange_priv.h"

#include <stdlib.h>

enum { BODY_MAX = 256 * 1024, TOTAL_MAX = 2 * 1024 * 1024, TARGET_MAX = 8 * 1024 + 80 };

struct miss {
    struct list node;
    size_t size; /* of the whole allocation */
    struct explain_miss out;
    struct http_header header;
    struct scope scope;
    struct span kind;
};

struct misses {
    struct list list; /* the oldest first */
    size_t total;
};

struct misses *misses_create(void)
{
    struct misses *m = mem_new(sizeof *m);
    list_init(&m->list);
    return m;
}

static void misses_drop(struct misses *m, struct miss *miss)
{
    list_remove(&miss->node);
    m->total -= miss->size;
    free(miss);
}

void misses_clear(struct misses *m)
{
    while (!list_empty(&m->list)) {
        misses_drop(m, list_item(m->list.next, struct miss, node));
    }
}

void misses_destroy(struct misses *m)
{
    if (m != NULL) {
        misses_clear(m);
        free(m);
    }
}

static struct miss *misses_find(struct misses *m, struct span kind)
{
    list_each(node, &m->list)
    {
        struct miss *miss = list_item(node, struct miss, node);
        if (span_eq(miss->kind, kind)) {
            return miss;
        }
    }
    return NULL;
}

static struct span copy_span(char **at, struct span s)
{
    struct span copy = span_make(*at, s.len);
    if (s.len > 0) {
        memcpy(*at, s.ptr, s.len);
    }
    *at += s.len;
    return copy;
}

static void take_expiry(void *ctx, const struct cache_info *info)
{
    wall_t *expired = ctx;
    *expired = info->expires;
}

/* When the answer that was stored for it expired; 0: there was none. */
static wall_t expiry_of(const struct exchange *x)
{
    wall_t expired = {0};
    enum err e = cache_get(x->engine->parts.cache, x->normalized.hash, take_expiry, &expired);
    bool past = e == ERR_OK && expired.us <= loop_wall(x->engine->parts.loop).us;
    return past ? expired : (wall_t){0};
}

/* The path with its upstream: "/@NAME/v1/chat/completions". */
struct target {
    struct span parts[3];
    size_t len;
};

static struct target target_of(const struct exchange *x)
{
    struct span name = span_of(exchange_upstream(x)->name);
    return (struct target){{SPAN("/@"), name, x->head.path}, 2 + name.len + x->head.path.len};
}

static struct span copy_target(char **at, const struct target *target)
{
    const char *from = *at;
    for (size_t i = 0; i < sizeof target->parts / sizeof target->parts[0]; i++) {
        (void)copy_span(at, target->parts[i]);
    }
    return span_make(from, target->len);
}

/* NULL: no memory for the request's text. */
static struct miss *miss_new(const struct exchange *x, struct span kind,
                             const struct target *target)
{
    struct span name = span_of(x->settings->server.task_header);
    size_t size = sizeof(struct miss) + kind.len + target->len + x->head.query.len + name.len +
                  x->head.header_value.len + x->body.len;
    struct miss *miss = malloc(size);
    if (miss == NULL) {
        return NULL;
    }
    *miss = (struct miss){.size = size};
    char *at = (char *)(miss + 1);
    miss->scope = x->scope;
    miss->kind = copy_span(&at, kind);
    miss->header.name = copy_span(&at, name);
    miss->header.value = copy_span(&at, x->head.header_value);
    miss->out.at = loop_wall(x->engine->parts.loop);
    miss->out.expired = expiry_of(x);
    miss->out.request = (struct explain_request){
        .path = copy_target(&at, target),
        .query = copy_span(&at, x->head.query),
        .headers = &miss->header,
        .header_count = x->head.header == TASK_HEADER_VALUE ? 1 : 0,
        .body = copy_span(&at, x->body),
        .scope = &miss->scope,
    };
    return miss;
}

void misses_keep(struct exchange *x)
{
    struct misses *m = x->engine->misses;
    struct span kind = span_of(exchange_policy(x)->name);
    struct target target = target_of(x);
    if (!x->settings->cache.keep_requests || x->bypass != NULL || x->head.no_cache ||
        x->regenerate) {
        return; /* the cache was not asked */
    }
    struct miss *old = misses_find(m, kind);
    if (old != NULL) {
        misses_drop(m, old);
    }
    if (x->body.len > BODY_MAX || target.len > TARGET_MAX) {
        return;
    }
    struct miss *miss = miss_new(x, kind, &target);
    if (miss == NULL) {
        return; /* explained less, answered all the same */
    }
    list_append(&m->list, &miss->node);
    m->total += miss->size;
    while (m->total > TOTAL_MAX) {
        misses_drop(m, list_item(m->list.next, struct miss, node));
    }
}

bool engine_last_miss(struct engine *e, struct span kind, struct explain_miss *out)
{
    struct miss *miss = misses_find(e->misses, kind);
    if (miss != NULL) {
        *out = miss->out;
    }
    return miss != NULL;
}
