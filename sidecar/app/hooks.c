/* hooks.c: joins the control socket to the parts of the daemon; plain translation, no decisions. */
#include "app/app_priv.h"

#include "lull/path/dialect/answer.h"

#include <stdio.h>
#include <stdlib.h>

static const struct config *hook_config(void *ctx)
{
    const struct daemon *d = ctx;
    return d->config;
}

static struct figures *hook_figures(void *ctx)
{
    struct daemon *d = ctx;
    struct server_figures *s = &d->figures->server;
    struct http_counts counts = http_server_counts(edge_server(d->edge));
    s->connections_open = (int64_t)counts.open;
    s->connections_accepted = (int64_t)counts.accepted;
    s->connections_refused = (int64_t)counts.refused;
    for (size_t i = 0; i < d->figures->upstream_count; i++) {
        struct upstream_figures *up = d->figures->upstreams[i];
        up->queued = (int64_t)schedule_count(d->schedule, up->name).waiting;
    }
    s->connections_bad_requests = (int64_t)counts.bad_requests + engine_bad_requests(d->engine);
    return d->figures;
}

static void hook_cache_stats(void *ctx, struct control_cache_stats *out)
{
    const struct daemon *d = ctx;
    struct cache_stats s = cache_stats(d->cache);
    *out = (struct control_cache_stats){
        .entries = s.entries,
        .bytes = s.bytes,
        .max_bytes = s.max_bytes,
        .inserted = s.inserted,
        .expired = s.expired,
        .evicted = s.evicted,
        .collisions = s.collisions,
        .errors = s.errors,
        .pending_writes = s.pending_writes,
        .commit_p50 = s.commit_p50,
        .commit_p99 = s.commit_p99,
    };
    snprintf(out->state, sizeof out->state, "%s", cache_state(d->cache));
}

static size_t hook_upstreams(void *ctx, struct control_upstream *out, size_t max)
{
    static const char *const dialects[] = {"auto", "openai", "ollama"};
    const struct daemon *d = ctx;
    const struct settings *s = config_settings(d->config);
    size_t n = 0;
    for (size_t i = 0; i < s->upstream_count && n < max; i++, n++) {
        out[n] = (struct control_upstream){
            .name = s->upstreams[i].name,
            .dialect = dialects[s->upstreams[i].dialect],
            .state = engine_upstream_state(d->engine, s->upstreams[i].name),
            .slots = schedule_slots(d->schedule, &s->upstreams[i]),
        };
    }
    return n;
}

static bool hook_draining(void *ctx)
{
    const struct daemon *d = ctx;
    return d->draining;
}

struct entry_out {
    control_entry_fn fn;
    void *ctx;
};

/* An entry as people see it: the answer's text instead of its stored form. */
static void give_entry(void *ctx, const struct cache_info *info)
{
    struct entry_out *out = ctx;
    struct control_entry e = {
        .seq = info->seq,
        .kind = info->kind,
        .scope = info->scope,
        .model = info->model,
        .upstream = info->upstream,
        .created = info->created,
        .expires = info->expires,
        .bytes = info->bytes,
        .hits = info->hits,
        .request = info->request,
    };
    struct answer answer;
    bool decoded = info->answer.len > 0 && answer_decode(info->answer, &answer) == ERR_OK;
    hash_key_hex(info->id, e.id);
    e.answer = decoded ? buf_span(&answer.content) : SPAN_NONE;
    out->fn(out->ctx, &e);
    if (decoded) {
        answer_free(&answer);
    }
}

static struct cache_filter filter_of(const struct control_filter *f)
{
    return (struct cache_filter){
        .kind = f->kind, .scope = f->scope, .model = f->model, .older = f->older};
}

static void hook_list(void *ctx, const struct control_filter *f, size_t limit, int64_t after,
                      control_entry_fn fn, void *fn_ctx, int64_t *next)
{
    const struct daemon *d = ctx;
    struct cache_filter filter = filter_of(f);
    struct entry_out out = {fn, fn_ctx};
    cache_list(d->cache, &filter, limit, after, give_entry, &out, next);
}

static bool hook_get(void *ctx, struct span id, control_entry_fn fn, void *fn_ctx)
{
    const struct daemon *d = ctx;
    struct hash_key key;
    struct entry_out out = {fn, fn_ctx};
    return hash_key_parse(id, &key) == ERR_OK &&
           cache_get(d->cache, key, give_entry, &out) == ERR_OK;
}

struct count_out {
    control_count_fn done;
    void *ctx;
};

static void give_count(void *ctx, enum err result, uint64_t count)
{
    struct count_out *out = ctx;
    out->done(out->ctx, result == ERR_OK, count);
    free(out);
}

static struct count_out *count_out_new(control_count_fn done, void *ctx)
{
    struct count_out *out = mem_new(sizeof *out);
    out->done = done;
    out->ctx = ctx;
    return out;
}

static bool hook_remove(void *ctx, struct span id, control_count_fn done, void *done_ctx)
{
    const struct daemon *d = ctx;
    struct hash_key key;
    if (hash_key_parse(id, &key) != ERR_OK) {
        return false;
    }
    cache_remove(d->cache, key, give_count, count_out_new(done, done_ctx));
    return true;
}

static void hook_purge(void *ctx, const struct control_filter *f, control_count_fn done,
                       void *done_ctx)
{
    const struct daemon *d = ctx;
    struct cache_filter filter = filter_of(f);
    cache_purge(d->cache, &filter, give_count, count_out_new(done, done_ctx));
}

static bool hook_reload(void *ctx, struct buf *text)
{
    return lifecycle_reload(ctx, text);
}

static void hook_drain(void *ctx)
{
    struct daemon *d = ctx;
    if (!d->draining) {
        lifecycle_stop(d);
    }
}

struct flight_out {
    control_flight_fn fn;
    void *ctx;
};

static void give_flight(void *ctx, const struct flight_view *v)
{
    struct flight_out *out = ctx;
    struct control_flight f = {.kind = v->kind,
                               .upstream = v->upstream,
                               .state = v->state,
                               .why = v->why,
                               .model = v->model,
                               .scope = v->scope,
                               .age = v->age,
                               .waited = v->waited,
                               .waiters = v->waiters,
                               .requeued = v->requeued,
                               .priority = v->priority};
    out->fn(out->ctx, &f);
}

static void hook_flights(void *ctx, control_flight_fn fn, void *fn_ctx)
{
    struct daemon *d = ctx;
    struct flight_out out = {fn, fn_ctx};
    flight_each(engine_flights(d->engine), give_flight, &out);
}

struct left_out {
    control_left_out_fn fn;
    void *ctx;
    wall_t now;
};

static void give_left_out(void *ctx, const struct flight_refusal_view *v)
{
    struct left_out *out = ctx;
    struct control_left_out one = {.upstream = v->upstream,
                                   .model = v->model,
                                   .addition = v->addition,
                                   .proven = v->proven,
                                   .since = {out->now.us - v->age}};
    out->fn(out->ctx, &one);
}

static void hook_left_out(void *ctx, control_left_out_fn fn, void *fn_ctx)
{
    struct daemon *d = ctx;
    struct left_out out = {fn, fn_ctx, loop_wall(d->loop)};
    flight_refusals(engine_flights(d->engine), give_left_out, &out);
}

static size_t hook_machines(void *ctx, struct control_machine *out, size_t max)
{
    struct daemon *d = ctx;
    const struct settings *s = config_settings(d->config);
    size_t n = 0;
    for (size_t i = 0; i < s->upstream_count && n < max; i++) {
        struct schedule_machine m =
            schedule_look_machine(d->schedule, &s->upstreams[i], loop_now(d->loop));
        bool known = false;
        for (size_t k = 0; k < n; k++) {
            known = known || strcmp(out[k].name, m.name) == 0;
        }
        if (!known) {
            out[n++] = (struct control_machine){.name = m.name,
                                                .chats = m.chats,
                                                .foreground = m.foreground,
                                                .running = m.running,
                                                .waiting = m.waiting,
                                                .quiet = m.quiet};
        }
    }
    return n;
}

static void hook_explain(void *ctx, const struct explain_request *in, struct explanation *out)
{
    struct daemon *d = ctx;
    engine_explain(d->engine, in, out);
}

static struct compare_run *hook_compare_start(void *ctx, const struct compare_spec *spec,
                                              const struct compare_events *events, void *events_ctx)
{
    struct daemon *d = ctx;
    return compare_start(d->compare, spec, events, events_ctx);
}

static void hook_compare_go_on(void *ctx, struct compare_run *run)
{
    (void)ctx;
    compare_resume(run);
}

static void hook_compare_stop(void *ctx, struct compare_run *run)
{
    (void)ctx;
    compare_stop(run);
}

static void hook_listen(void *ctx, struct exchange_listener *l)
{
    struct daemon *d = ctx;
    engine_listen(d->engine, l);
}

static void hook_unlisten(void *ctx, struct exchange_listener *l)
{
    struct daemon *d = ctx;
    engine_unlisten(d->engine, l);
}

struct control_hooks hooks_make(struct daemon *d)
{
    return (struct control_hooks){
        .config = hook_config,
        .figures = hook_figures,
        .cache_stats = hook_cache_stats,
        .upstreams = hook_upstreams,
        .draining = hook_draining,
        .list = hook_list,
        .get = hook_get,
        .remove = hook_remove,
        .purge = hook_purge,
        .reload = hook_reload,
        .drain = hook_drain,
        .flights = hook_flights,
        .left_out = hook_left_out,
        .machines = hook_machines,
        .explain = hook_explain,
        .compare_start = hook_compare_start,
        .compare_go_on = hook_compare_go_on,
        .compare_stop = hook_compare_stop,
        .listen = hook_listen,
        .unlisten = hook_unlisten,
        .ctx = d,
        .started = d->started,
    };
}
