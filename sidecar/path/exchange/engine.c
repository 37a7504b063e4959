/* engine.c: the engine: an exchange's life from its head to its end, and the table of steps.
 *
 *   head ─▶ guards, route ─▶ held body ─▶ RAW ─▶ CLASSIFY ─▶ POLICY ─▶ MEANING ─▶ FLIGHT ─▶
 * answered │                       hit        └ chat, other ─▶ RELAY ─▶ passed through └ streamed
 * body (too large, other paths) ───────────▶ RELAY
 *
 * Only bodies of forms that can be assembled are held, up to max_task_body. An exchange ends
 * exactly once: by exchange_finish (a task: its outcome is counted there and nowhere else) or
 * exchange_drop. Structs of finished exchanges are kept for reuse, with the storage of their keys,
 * so that a hit allocates nothing.
 */
#include "path/exchange/exchange_priv.h"

#include "lull/http/guard.h"

#include "lull/base/host.h"
#include "lull/base/log.h"

#include <stdio.h>
#include <stdlib.h>

static enum step (*const steps[])(struct exchange *) = {
#define STEP(id, function) [STEP_##id] = function,
#include "lull/path/exchange/steps.def"
#undef STEP
};

static void exchange_free(struct exchange *x)
{
    fingerprint_free(&x->raw);
    fingerprint_free(&x->meaning);
    fingerprint_free(&x->context);
    free(x);
}

struct engine *engine_create(const struct engine_parts *parts, struct settings *settings)
{
    struct engine *e = mem_new(sizeof *e);
    e->parts = *parts;
    e->settings = settings_ref(settings);
    list_init(&e->listeners);
    /* ids of answers differ between runs */
    e->serial = (uint64_t)loop_wall(parts->loop).us;
    struct flight_hooks hooks = {.landed = fly_landed, .held = complete_held, .ctx = e};
    e->flights =
        flight_table_create(parts->loop, parts->pool, parts->schedule, parts->figures, &hooks);
    e->rewarm = rewarm_create(parts->loop, parts->pool, parts->schedule, parts->figures);
    gate_watch(flight_gate(e->flights), rewarm_look, e->rewarm);
    e->through = through_create((size_t)settings->cache.type_through_entries);
    e->observe = observe_create(e);
    host_own_name(e->hostname, sizeof e->hostname);
    return e;
}

void engine_destroy(struct engine *e)
{
    if (e == NULL) {
        return;
    }
    gate_watch(flight_gate(e->flights), NULL, NULL);
    rewarm_destroy(e->rewarm);
    observe_destroy(e->observe);
    flight_table_destroy(e->flights);
    through_destroy(e->through);
    while (e->spare != NULL) {
        struct exchange *x = e->spare;
        e->spare = x->next_spare;
        exchange_free(x);
    }
    settings_unref(e->settings);
    free(e);
}

void engine_configure(struct engine *e, struct settings *settings)
{
    settings_ref(settings);
    settings_unref(e->settings);
    e->settings = settings;
    flight_forget_refusals(e->flights);
    size_t entries =
        settings->cache.type_through ? (size_t)settings->cache.type_through_entries : 0;
    through_resize(e->through, entries);
    through_resize(observe_through(e->observe), entries);
}

void engine_without(struct engine *e, unsigned parts)
{
    flight_without(e->flights, parts);
}

struct flight_table *engine_flights(struct engine *e)
{
    return e->flights;
}

int64_t engine_bad_requests(const struct engine *e)
{
    return e->bad_requests;
}

const char *engine_upstream_state(const struct engine *e, const char *upstream)
{
    const char *state = flight_upstream_state(e->flights, upstream);
    const struct upstream_figures *up = figures_upstream(e->parts.figures, upstream);
    const struct probes *probes = flight_probes(e->flights);
    enum probe_reach reach = probes_reach(probes, upstream);
    if (strcmp(state, "up") != 0) {
        return state;
    }
    if (up->unreachable || probes_loops(probes, upstream)) {
        return "down";
    }
    if (up->finished + up->failed > 0) {
        return "up"; /* the last call reached it */
    }
    return reach == PROBE_REACHED ? "up" : reach == PROBE_UNREACHED ? "down" : "untried";
}

static struct exchange *exchange_new(struct engine *e, struct http_conn *conn)
{
    struct exchange *x = e->spare;
    if (x != NULL) {
        e->spare = x->next_spare;
        e->spare_count--;
        struct fingerprint raw = x->raw;
        struct fingerprint meaning = x->meaning;
        struct fingerprint context = x->context;
        memset(x, 0, sizeof *x);
        x->raw = raw;
        x->meaning = meaning;
        x->context = context;
    } else {
        x = mem_new(sizeof *x);
    }
    x->engine = e;
    x->settings = settings_ref(e->settings);
    x->conn = conn;
    x->begun = loop_now(e->parts.loop);
    x->decision.kind = KIND_NONE;
    http_conn_set_data(conn, x);
    return x;
}

void exchange_drop(struct exchange *x)
{
    struct engine *e = x->engine;
    event_end(x);
    hints_end(x);
    if (x->conn != NULL && http_conn_data(x->conn) == x) {
        http_conn_set_data(x->conn, NULL);
    }
    if (x->parsed) {
        dialect_request_free(&x->request);
    }
    buf_free(&x->reply);
    buf_free(&x->plain);
    settings_unref(x->settings);
    bool large =
        x->meaning.storage.cap + x->raw.storage.cap + x->context.storage.cap > EXCHANGE_KEY_MAX;
    if (e->spare_count < EXCHANGE_SPARE && !large) {
        x->next_spare = e->spare;
        e->spare = x;
        e->spare_count++;
    } else {
        exchange_free(x);
    }
}

const struct kind_policy *exchange_policy(const struct exchange *x)
{
    return &x->settings->kinds[x->decision.kind];
}

struct task_figures *exchange_figures(struct exchange *x, int kind)
{
    return figures_task(x->engine->parts.figures, x->settings->kinds[kind].name);
}

void exchange_finish(struct exchange *x, int kind, enum outcome outcome)
{
    struct task_figures *figures = exchange_figures(x, kind);
    mono_t now = loop_now(x->engine->parts.loop);
    figures->requests++;
    figures->outcomes[outcome]++;
    x->finished = true;
    x->outcome = outcome;
    x->counted = kind;
    if (outcome != OUTCOME_ABANDONED) {
        figure_times_add(&figures->latency, now, mono_diff(now, x->begun));
    }
    exchange_drop(x);
}

/* The step it ends with: STEP_WAIT, or STEP_OVER: x is gone. */
static enum step drive(struct exchange *x, enum step step)
{
    while (step < STEP_WAIT) {
        step = steps[step](x);
    }
    return step;
}

/* Only the head speaks: the body is not held, or of a form that is not read. */
static void pass_by_head(struct exchange *x, const char *bypass)
{
    x->decision =
        task_classify(x->settings, x->head.endpoint, x->head.header, x->head.header_value, NULL);
    hints_begin(x);
    x->bypass = bypass;
    if (x->decision.cls == TASK_CLASS_TASK && policy_origin(x) == STEP_OVER) {
        return;
    }
    if (drive(x, STEP_RELAY) != STEP_OVER && !x->body_held) {
        http_body_stream(x->conn);
    }
}

/* A task in a form that is not assembled is held so that it can wait for its turn. */
static bool may_wait(const struct exchange *x)
{
    if (x->settings->mode != TASKS_ON || x->head.endpoint == ENDPOINT_OTHER) {
        return false;
    }
    struct task_decision d =
        task_classify(x->settings, x->head.endpoint, x->head.header, x->head.header_value, NULL);
    return d.cls == TASK_CLASS_TASK;
}

static bool to_be_held(const struct exchange *x, const struct http_request *r)
{
    return x->settings->mode != TASKS_OFF &&
           (endpoint_assembles(x->head.endpoint) || may_wait(x)) &&
           (r->chunked || r->content_length <= x->settings->server.max_task_body);
}

static void on_request(struct http_conn *c, void *ctx)
{
    struct engine *e = ctx;
    struct exchange *x = exchange_new(e, c);
    const struct http_request *r = http_conn_request(c);
    enum http_error route = head_read(x, r);
    event_begin(x, r);
    enum http_error error = head_is_back(x, r) ? HTTP_ERROR_LOOP : head_admit(x, r);
    error = error == HTTP_ERROR_NONE ? route : error;
    if (error != HTTP_ERROR_NONE) {
        e->bad_requests++;
        x->rejected = true;
        http_reply_error(c, error, x->head.form, SPAN_NONE, SPAN_NONE);
        exchange_drop(x);
        return;
    }
    if (to_be_held(x, r)) {
        x->body_held = true;
        http_body_hold(c, (size_t)x->settings->server.max_task_body);
        return;
    }
    pass_by_head(x, endpoint_assembles(x->head.endpoint) ? "too-large" : "not-assembled");
}

static void on_body_end(struct http_conn *c, void *ctx)
{
    struct engine *e = ctx;
    struct exchange *x = http_conn_data(c);
    if (x == NULL) {
        return;
    }
    if (x->relay != NULL) {
        relay_body_end(x->relay);
        return;
    }
    x->begun = loop_now(e->parts.loop);
    x->body = http_body(c);
    if (endpoint_assembles(x->head.endpoint)) {
        (void)drive(x, STEP_RAW);
    } else {
        pass_by_head(x, "not-assembled");
    }
}

static void on_body_too_large(struct http_conn *c, void *ctx)
{
    (void)ctx;
    struct exchange *x = http_conn_data(c);
    x->body_held = false;
    pass_by_head(x, "too-large");
}

static void on_body(struct http_conn *c, struct span piece, void *ctx)
{
    (void)ctx;
    struct exchange *x = http_conn_data(c);
    if (x != NULL && x->relay != NULL) {
        relay_body(x->relay, piece);
    }
}

static void on_gone(struct http_conn *c, void *ctx)
{
    struct engine *e = ctx;
    struct exchange *x = http_conn_data(c);
    if (x == NULL) {
        return;
    }
    x->status = http_reply_status(c);
    x->conn = NULL;
    if (x->phase == PHASE_RELAY) {
        relay_client_gone(x->relay); /* the exchange ends with the relay */
        return;
    }
    if (x->phase == PHASE_GATE) {
        pass_leave(x);
        return;
    }
    if (x->phase == PHASE_FLIGHT) {
        flight_leave(e->flights, &x->waiter);
        exchange_finish(x, x->decision.kind, OUTCOME_ABANDONED);
        return;
    }
    exchange_drop(x);
}

static void on_writable(struct http_conn *c, void *ctx)
{
    (void)ctx;
    struct exchange *x = http_conn_data(c);
    if (x != NULL && x->relay != NULL) {
        relay_writable(x->relay);
    }
}

/* What is no request has neither method nor path. */
static void on_refused(enum http_error error, void *ctx)
{
    (void)ctx;
    log_debug("request", "- - kind=other outcome=rejected status=%d error=%s",
              http_error_status(error), http_error_name(error));
}

static bool allows_origin(const struct http_request *r, struct span origin, void *ctx)
{
    const struct engine *e = ctx;
    return guard_origin(&e->settings->server, origin, r->host);
}

const struct http_handler engine_handler = {
    .on_request = on_request,
    .on_body_end = on_body_end,
    .on_body_too_large = on_body_too_large,
    .on_body = on_body,
    .on_gone = on_gone,
    .on_writable = on_writable,
    .allows_origin = allows_origin,
    .on_refused = on_refused,
};
