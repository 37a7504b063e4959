/* engine.c: the way of a request. Read this file first.
 *
 *   on_request      the head: guards, route, and whether the body is held
 *   EXACT           a repeat, byte for byte ────────────────────────────────▶ hit
 *   TYPED_ON        an autocomplete in the form of an earlier one ───────────▶ type-through
 *   CLASSIFY        task, chat or other ── chat, other ──────────────────────▶ FORWARD
 *   POLICY          Origin ──────────────────────────────────────────────────▶ rejected
 *                   kind switched off ───────────────────────────────────────▶ switched off
 *                   streamed, not readable, body not held ───────────────────▶ FORWARD
 *   NORMALIZED      the same content, written otherwise ─────────────────────────────────▶ hit
 *                   no key, `mode = observe` ────────────────────────────────▶ FORWARD
 *                   cache not to be read, title asked again ─▶ JOIN
 *   TYPE_THROUGH    remainder of a suggestion ───────────────────────────────▶ type-through
 *   JOIN            paused (lullctl pause) ──────────────────────────────────▶ switched off
 *                   an equal call is under way: waits for it ────────────────▶ collapsed
 *   DEBOUNCE        an autocomplete waits for the next key; newer text ──────▶ superseded
 *   QUEUE           waits at the gate until no chat is in its way, then the call:
 *                   on_flight_end ─────▶ miss, stale, busy, deadline, sent, obsolete
 *   FORWARD         passed through both ways unchanged ──────────────────────▶ bypassed, or a chat
 *
 * A step is one function. It returns the next step, STEP_WAIT (a callback continues: the flight's or
 * the relay's end), or STEP_OVER (answered; the exchange is gone). What it decides by are facts, from
 * the files one floor below: route, policy, lookup, autocomplete, dispatch, respond, forward, chat.
 * explain.c and observe.c ask the same files, so that no rule stands twice.
 *
 * Only bodies in forms that can be assembled are held, up to max_task_body. Every other request goes
 * from its head to CLASSIFY with x->bypass set, and its body is streamed. An exchange ends once
 * (exchange.c). A client that leaves ends it in on_gone: abandoned.
 */
#include "path/exchange/exchange_priv.h"

#include "lull/path/server/refusal.h"

#include "lull/http/guard.h"

#include "lull/base/host.h"
#include "lull/base/log.h"

#include <stdlib.h>

#define STEP(id, function) static enum step function(struct exchange *x);
#include "lull/path/exchange/steps.def"
#undef STEP

static enum step (*const steps[])(struct exchange *) = {
#define STEP(id, function) [STEP_##id] = function,
#include "lull/path/exchange/steps.def"
#undef STEP
};

static void on_flight_end(void *ctx, struct flight_end *end);

static enum step drive(struct exchange *x, enum step step)
{
    while (step < STEP_WAIT) {
        x->went_on = step != STEP_EXACT;
        step = steps[step](x);
    }
    return step;
}

/* ---- the steps, in order ---- */

static enum step step_exact(struct exchange *x)
{
    struct lookup_found found;
    bool answered = lookup_exact(x, &found) == LOOKUP_HIT && respond_hit(x, &found);
    return answered ? STEP_OVER : STEP_TYPED_ON;
}

static enum step step_typed_on(struct exchange *x)
{
    struct through_hit hit;
    if (!typed_on_find(x, &hit)) {
        return STEP_CLASSIFY;
    }
    hints_begin(x);
    enum err e = respond_remainder(x, &hit);
    if (e != ERR_OK) {
        respond_failure(x, OUTCOME_MISS, HTTP_ERROR_BUSY, err_name(e));
    }
    return STEP_OVER;
}

static enum step step_classify(struct exchange *x)
{
    policy_classify(x);
    hints_begin(x);
    return x->decision.cls == TASK_CLASS_TASK ? STEP_POLICY : STEP_FORWARD;
}

static enum step step_policy(struct exchange *x)
{
    if (!policy_allows_origin(x)) {
        respond_rejected(x, HTTP_ERROR_FORBIDDEN_ORIGIN);
        return STEP_OVER;
    }
    switch (policy_decide(x)) {
    case POLICY_FORWARD:
        return STEP_FORWARD;
    case POLICY_SWITCHED_OFF:
        respond_empty(x, OUTCOME_SWITCHED_OFF, "switched-off");
        return STEP_OVER;
    case POLICY_GO_ON:
        break;
    }
    return STEP_NORMALIZED;
}

static enum step step_normalized(struct exchange *x)
{
    struct lookup_found found;
    enum lookup how = lookup_key(x);
    if (how == LOOKUP_NO_KEY) {
        return STEP_FORWARD;
    }
    if (x->settings->mode == TASKS_OBSERVE) {
        observe_task(x, how);
        return STEP_FORWARD;
    }
    how = how == LOOKUP_MISS ? lookup_answer(x, LOOKUP_SERVE, &found) : how;
    if (how == LOOKUP_HIT && respond_hit(x, &found)) {
        return STEP_OVER;
    }
    if (how == LOOKUP_REFRESH) {
        x->regenerate = true;
        exchange_figures(x, x->decision.kind)->regenerated++;
    }
    return how == LOOKUP_REFRESH || how == LOOKUP_BYPASS ? STEP_JOIN : STEP_TYPE_THROUGH;
}

static enum step step_type_through(struct exchange *x)
{
    struct through_hit hit;
    bool answered =
        autocomplete_find(x, LOOKUP_SERVE, &hit) && respond_remainder(x, &hit) == ERR_OK;
    return answered ? STEP_OVER : STEP_JOIN;
}

static enum step step_join(struct exchange *x)
{
    if (policy_is_paused(x)) {
        respond_empty(x, OUTCOME_SWITCHED_OFF, "paused");
        return STEP_OVER;
    }
    x->waiter.done = on_flight_end;
    x->waiter.ctx = x;
    switch (dispatch_begin(x)) {
    case DISPATCH_JOINED:
        return STEP_WAIT;
    case DISPATCH_BEGUN:
        misses_keep(x);
        return STEP_DEBOUNCE;
    case DISPATCH_NO_MEMORY:
        break;
    }
    respond_failure(x, OUTCOME_MISS, HTTP_ERROR_BUSY, "out of memory");
    return STEP_OVER;
}

/* A flight that is held goes to the queue by itself. */
static enum step step_debounce(struct exchange *x)
{
    return flight_debounce(&x->waiter) ? STEP_WAIT : STEP_QUEUE;
}

static enum step step_queue(struct exchange *x)
{
    flight_enqueue(&x->waiter); /* may answer at once: x is not used any more */
    return STEP_WAIT;
}

static enum step step_forward(struct exchange *x)
{
    if (forward_is_loop(x)) {
        respond_loop(x);
        return STEP_OVER;
    }
    if (x->settings->mode == TASKS_OBSERVE && x->decision.cls == TASK_CLASS_TASK) {
        observe_passing(x);
        x->bypass = "observe";
    }
    forward_begin(x);
    return STEP_WAIT;
}

/* The call that the exchange waits for has ended, its own or one that it joined. */
static void on_flight_end(void *ctx, struct flight_end *end)
{
    struct exchange *x = ctx;
    event_call(x, end);
    switch (end->result) {
    case FLIGHT_RESULT_ANSWER:
        respond_answer(x, end);
        return;
    case FLIGHT_RESULT_EMPTY:
        respond_empty(x, end->outcome, outcome_name(end->outcome));
        return;
    case FLIGHT_RESULT_RAW:
        if (!end->upstream_failed || !respond_stale(x)) {
            respond_raw(x, end);
        }
        return;
    case FLIGHT_RESULT_FAILED:
        if (!respond_stale(x)) {
            respond_failure(x, respond_call_outcome(x), end->error, end->why);
        }
        return;
    }
}

/* ---- the HTTP server's events ---- */

/* The body is not read; bypass says why. */
static void begin_unread(struct exchange *x, const char *bypass)
{
    x->bypass = bypass;
    if (drive(x, STEP_CLASSIFY) != STEP_OVER && !x->body_held) {
        http_body_stream(x->conn);
    }
}

static void on_request(struct http_conn *c, void *ctx)
{
    struct engine *e = ctx;
    struct exchange *x = exchange_new(e, c);
    const struct http_request *r = http_conn_request(c);
    enum http_error error = route_begin(x, r);
    event_begin(x, r);
    if (error != HTTP_ERROR_NONE) {
        x->rejected = true;
        respond_refused(x, error);
        return;
    }
    if (policy_holds_body(x, r)) {
        x->body_held = true;
        http_body_hold(c, (size_t)x->settings->server.max_task_body);
        return;
    }
    begin_unread(x, policy_unread(x, true));
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
    const char *unread = policy_unread(x, false);
    if (unread == NULL) {
        (void)drive(x, STEP_EXACT);
    } else {
        begin_unread(x, unread);
    }
}

static void on_body_too_large(struct http_conn *c, void *ctx)
{
    (void)ctx;
    struct exchange *x = http_conn_data(c);
    x->body_held = false;
    begin_unread(x, "too-large");
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
        forward_leave(x);
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

/* ---- the engine ---- */

/* More of what waits may start, also in `mode = observe`. */
static void on_slots(void *ctx)
{
    struct engine *e = ctx;
    gate_changed(e->gate);
    observe_look(e->observe);
}

struct engine *engine_create(const struct engine_parts *parts, struct settings *settings)
{
    struct engine *e = mem_new(sizeof *e);
    e->parts = *parts;
    e->settings = settings_ref(settings);
    list_init(&e->listeners);
    /* ids of answers differ between runs */
    e->serial = (uint64_t)loop_wall(parts->loop).us;
    struct flight_hooks hooks = {.completed = dispatch_completed,
                                 .held = autocomplete_held,
                                 .behind = behind_found_later,
                                 .ctx = e};
    cache_set_means_fn(parts->cache, lookup_means);
    servers_bind(parts->servers, settings->upstreams, settings->upstream_count);
    e->gate = gate_create(parts->loop, parts->schedule);
    const struct flight_parts flight_parts = {parts->loop,     parts->pool, parts->servers,
                                              parts->schedule, e->gate,     parts->figures,
                                              parts->memory};
    e->flights = flight_table_create(&flight_parts, &hooks);
    e->rewarm = rewarm_create(parts->loop, parts->pool, parts->schedule, parts->figures);
    gate_watch(e->gate, rewarm_look, e->rewarm);
    servers_watch(parts->servers, on_slots, e);
    e->through = through_create((size_t)settings->cache.type_through_entries);
    e->transcripts = transcripts_create();
    e->observe = observe_create(e);
    e->misses = misses_create();
    host_own_name(e->hostname, sizeof e->hostname);
    return e;
}

void engine_destroy(struct engine *e)
{
    if (e == NULL) {
        return;
    }
    gate_watch(e->gate, NULL, NULL);
    servers_watch(e->parts.servers, NULL, NULL);
    rewarm_destroy(e->rewarm);
    transcripts_destroy(e->transcripts);
    fingerprint_free(&e->later_key);
    buf_free(&e->later_instruction);
    observe_destroy(e->observe);
    misses_destroy(e->misses);
    flight_table_destroy(e->flights);
    gate_destroy(e->gate);
    through_destroy(e->through);
    exchange_free_spare(e);
    buf_free(&e->reply);
    route_forget(e);
    settings_unref(e->settings);
    free(e);
}

/* Gives the held suggestions the room that the settings say. */
static void fit_suggestions(struct engine *e)
{
    const struct cache_settings *cache = &e->settings->cache;
    size_t entries = cache->type_through ? (size_t)cache->type_through_entries : 0;
    through_resize(e->through, entries);
    through_resize(observe_through(e->observe), entries);
}

void engine_configure(struct engine *e, struct settings *settings)
{
    settings_ref(settings);
    settings_unref(e->settings);
    e->settings = settings;
    route_forget(e);
    e->counted.name = NULL; /* new settings may have another name there */
    through_forget_forms(e->through);
    servers_bind(e->parts.servers, settings->upstreams, settings->upstream_count);
    schedule_bind(e->parts.schedule, settings->upstreams, settings->upstream_count);
    observe_bind(e->observe, settings);
    refusal_forget(e->parts.servers);
    on_slots(e); /* another url or key forgets slots and throttles */
    if (!behind_keeps_chats(settings)) {
        transcripts_clear(e->transcripts);
    }
    if (!settings->cache.keep_requests) {
        misses_clear(e->misses);
    }
    fit_suggestions(e);
}

void engine_forget(struct engine *e)
{
    transcripts_clear(e->transcripts);
    misses_clear(e->misses);
    through_resize(e->through, 0);
    through_resize(observe_through(e->observe), 0);
    fit_suggestions(e);
}

struct flight_table *engine_flights(struct engine *e)
{
    return e->flights;
}

int64_t engine_bad_requests(const struct engine *e)
{
    return e->bad_requests;
}

const struct upstream_settings *exchange_upstream(const struct exchange *x)
{
    return &x->settings->upstreams[x->head.upstream];
}

struct server *exchange_server(const struct exchange *x)
{
    return server_of(x->engine->parts.servers, exchange_upstream(x));
}

void engine_pause(struct engine *e, usec_t duration)
{
    mono_t now = loop_now(e->parts.loop);
    e->paused_until.us = duration > 0 ? now.us + duration : 0;
}

usec_t engine_paused(const struct engine *e)
{
    usec_t left = e->paused_until.us - loop_now(e->parts.loop).us;
    return e->paused_until.us != 0 && left > 0 ? left : 0;
}
