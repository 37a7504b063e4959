/* observed.c: the virtual calls of `mode = observe`: how each waits, runs and ends. */
#include "path/exchange/observed.h"

#include "lull/path/webui/repair.h"

#include <stdlib.h>

enum { OBSERVED_MOST = 1024, OBSERVED_BYTES = 32 * 1024 * 1024 };

mono_t observe_now(const struct observe *o)
{
    return loop_now(o->engine->parts.loop);
}

const struct kind_policy *observed_policy(const struct observed *v)
{
    return &v->spec.settings->kinds[v->spec.kind];
}

static struct task_figures *figures_of(const struct observed *v)
{
    return figures_task(v->of->engine->parts.figures, observed_policy(v)->name);
}

/* Without a key its answer is forwarded unread in every mode. */
static bool has_key(const struct observed *v)
{
    return v->spec.material.len > 0;
}

bool observed_is_completion(const struct observed *v)
{
    return observed_policy(v)->cls == KIND_CLASS_COMPLETION;
}

struct observe *observe_create(struct engine *e)
{
    struct observe *o = mem_new(sizeof *o);
    o->engine = e;
    o->schedule = schedule_create(e->parts.servers);
    o->gate = gate_create(e->parts.loop, o->schedule);
    o->through = through_create((size_t)e->settings->cache.type_through_entries);
    o->typists = typist_table_create();
    list_init(&o->all);
    return o;
}

static void observed_free(void *ctx)
{
    struct observed *v = ctx;
    v->of->count--;
    v->of->bytes -= v->memory.len;
    list_remove(&v->node);
    loop_timer_destroy(v->timer);
    answer_free(&v->answer);
    buf_free(&v->memory);
    settings_unref(v->spec.settings);
    free(v);
}

void observe_destroy(struct observe *o)
{
    list_each(node, &o->all)
    {
        struct observed *v = list_item(node, struct observed, node);
        gate_end(o->gate, &v->ticket, false);
        if (v->gone.waiting) {
            loop_defer_cancel(o->engine->parts.loop, &v->gone);
        }
        observed_free(v);
    }
    gate_destroy(o->gate);
    schedule_destroy(o->schedule);
    through_destroy(o->through);
    typist_table_destroy(o->typists);
    free(o);
}

struct through *observe_through(struct observe *o)
{
    return o->through;
}

void observe_bind(struct observe *o, const struct settings *settings)
{
    schedule_bind(o->schedule, settings->upstreams, settings->upstream_count);
}

void observe_look(struct observe *o)
{
    gate_changed(o->gate);
}

/* ---- the wait ---- */

/* Counts the wait of its members, which ends. */
static void stop_waiting(struct observed *v)
{
    if (v->state != OBSERVED_RUNNING) {
        figures_of(v)->would_wait_us += (int64_t)v->members * observe_now(v->of).us - v->arrived;
    }
}

static void leave_call(struct exchange *x)
{
    list_remove(&x->observed_node);
    x->observed = NULL;
}

void observed_end(struct observed *v)
{
    if (v->state == OBSERVED_OVER) {
        return;
    }
    stop_waiting(v);
    while (!list_empty(&v->exchanges)) {
        leave_call(list_item(v->exchanges.next, struct exchange, observed_node));
    }
    v->state = OBSERVED_OVER;
    loop_timer_stop(v->timer);
    gate_end(v->of->gate, &v->ticket, false);
    loop_defer(v->of->engine->parts.loop, &v->gone);
}

/* Stores the answer, once: later look-ups of this mode find it. */
static void store_answer(struct observed *v)
{
    const struct kind_policy *policy = observed_policy(v);
    if (!v->answered) {
        return;
    }
    v->answered = false;
    v->end.answer = &v->answer;
    v->end.verdict = answer_validate(&v->answer, policy, v->spec.kind);
    if (v->end.verdict == ANSWER_BAD && answer_repair(&v->answer, policy, v->spec.kind)) {
        v->end.verdict = answer_validate(&v->answer, policy, v->spec.kind);
    }
    dispatch_store(v->of->engine, &v->spec, &v->end);
    answer_free(&v->answer);
}

/* Runs for as long as the real call took. */
static void run_remainder(struct observed *v)
{
    usec_t left = v->took - mono_diff(observe_now(v->of), v->started);
    if (left > 0) {
        loop_timer_start(v->timer, left);
    } else {
        observed_end(v);
    }
}

static void on_gate_open(void *ctx)
{
    struct observed *v = ctx;
    loop_timer_stop(v->timer);
    stop_waiting(v);
    v->state = OBSERVED_RUNNING;
    v->started = observe_now(v->of);
    store_answer(v);
    if (v->completed) {
        run_remainder(v);
    }
}

static void arm_max_hold(struct observed *v)
{
    v->state = OBSERVED_WAITING;
    if (observed_is_completion(v)) {
        loop_timer_start(v->timer, observed_policy(v)->max_hold);
    }
}

/* A chat would have preempted it: aborted, and queued again. */
static bool on_preempted(void *ctx)
{
    struct observed *v = ctx;
    v->queued = observe_now(v->of);
    v->arrived = (int64_t)v->members * v->queued.us;
    loop_timer_stop(v->timer);
    arm_max_hold(v);
    return true;
}

void observed_enqueue(struct observed *v)
{
    struct observe *o = v->of;
    const struct upstream_settings *to = &v->spec.settings->upstreams[v->spec.upstream];
    v->ticket =
        (struct gate_ticket){.job = {.to = to,
                                     .policy = observed_policy(v),
                                     .conversation = v->spec.turn.conversation,
                                     .turn = v->spec.turn.turn,
                                     .model = servers_key(o->engine->parts.servers, v->spec.model),
                                     .beside_reply = v->spec.turn.beside_reply,
                                     .elsewhere = v->spec.turn.elsewhere,
                                     .fixed = !has_key(v),
                                     .expected = flight_expected(o->engine->flights, &v->spec)},
                             .start = on_gate_open,
                             .preempt = on_preempted,
                             .ctx = v};
    arm_max_hold(v);
    gate_wait(o->gate, &v->ticket);
}

static void on_timer(void *ctx)
{
    struct observed *v = ctx;
    if (v->state == OBSERVED_WINDOW) {
        observed_enqueue(v);
    } else {
        observed_end(
            v); /* a completion that would have been answered empty, or a call that has ended */
    }
}

/* ---- a task comes ---- */

static struct span copy_text(struct buf *memory, struct span s)
{
    size_t at = memory->len;
    if (s.len == 0 || buf_append_span(memory, s) != ERR_OK) {
        return SPAN_NONE;
    }
    return span_make(memory->data + at, s.len);
}

struct observed *observed_begin(struct exchange *x, const struct flight_spec *spec)
{
    struct observe *o = x->engine->observe;
    size_t need = spec->material.len + spec->model.len + spec->scope.len + spec->turn.history.len +
                  spec->completion.who.text.len + spec->completion.context.material.len;
    struct buf memory;
    buf_init(&memory, need + 1);
    if (o->count >= OBSERVED_MOST || o->bytes + need > OBSERVED_BYTES ||
        buf_reserve(&memory, need + 1) != ERR_OK) {
        buf_free(&memory);
        return NULL;
    }
    struct observed *v = mem_new(sizeof *v);
    v->of = o;
    v->memory = memory;
    v->spec = *spec;
    v->spec.settings = settings_ref(spec->settings);
    v->spec.flags |= CACHE_FLAG_OBSERVED;
    v->spec.material = copy_text(&v->memory, spec->material);
    v->spec.model = copy_text(&v->memory, spec->model);
    v->spec.scope = copy_text(&v->memory, spec->scope);
    v->spec.turn.history = copy_text(&v->memory, spec->turn.history);
    v->spec.completion.who.text = copy_text(&v->memory, spec->completion.who.text);
    v->spec.completion.context.material = copy_text(&v->memory, spec->completion.context.material);
    answer_init(&v->answer);
    list_init(&v->exchanges);
    list_append(&o->all, &v->node);
    o->count++;
    o->bytes += v->memory.len;
    v->gone = (struct loop_deferred){.fn = observed_free, .ctx = v};
    v->timer = loop_timer_create(o->engine->parts.loop, on_timer, v);
    return v;
}

void observed_join(struct observed *v, struct exchange *x)
{
    list_append(&v->exchanges, &x->observed_node);
    x->observed = v;
    v->members++;
    v->arrived += observe_now(v->of).us;
}

struct observed *observed_find_equal(struct observe *o, const struct flight_spec *spec)
{
    list_each(node, &o->all)
    {
        struct observed *v = list_item(node, struct observed, node);
        bool open = v->state != OBSERVED_OVER && (!v->completed || v->answered);
        if (open && v->spec.shared && hash_key_eq(v->spec.hash, spec->hash) &&
            span_eq(v->spec.material, spec->material)) {
            return v;
        }
    }
    return NULL;
}

static bool is_superseded(const struct observed *v, const struct observed *newer)
{
    bool held = v->state == OBSERVED_WINDOW || v->state == OBSERVED_WAITING;
    bool run =
        newer->settled && v->run == newer->run && observed_policy(newer)->debounce == WINDOW_AUTO;
    return v != newer && held && v->spec.completion.usable &&
           (run || typist_same(&v->spec.completion.who, &newer->spec.completion.who));
}

void observed_debounce(struct observed *v)
{
    struct observe *o = v->of;
    struct flight_completion *c = &v->spec.completion;
    struct typist_verdict verdict = {.lone = true};
    c->who.now = observe_now(o);
    schedule_typed(o->schedule, &v->spec.settings->upstreams[v->spec.upstream],
                   v->spec.turn.conversation.person, c->who.now);
    if (c->usable) {
        verdict = typist_note(o->typists, &c->who);
    }
    v->run = verdict.run;
    v->settled = verdict.settled;
    list_each(node, &o->all)
    {
        struct observed *older = list_item(node, struct observed, node);
        if (c->usable && observed_policy(v)->debounce != WINDOW_OFF && is_superseded(older, v)) {
            figures_of(older)->would_supersede += (int64_t)(older->members - older->shared);
            observed_end(older);
        }
    }
    usec_t window = flight_window(o->engine->flights, &v->spec, &verdict);
    v->state = OBSERVED_WINDOW;
    if (window > 0) {
        loop_timer_start(v->timer, window);
    } else {
        observed_enqueue(v);
    }
}

/* ---- its real answer ---- */

static void count_shared(struct observed *v, usec_t saved)
{
    v->shared++;
    figures_of(v)->would_collapse++;
    figures_of(v)->would_save_us += saved;
}

/* The real call has ended: the virtual one takes as long. */
static void complete_call(struct observed *v, usec_t took)
{
    v->completed = true;
    v->took = took;
    if (v->state == OBSERVED_RUNNING || !observed_is_completion(v)) {
        store_answer(v);
    }
    if (v->state == OBSERVED_RUNNING) {
        run_remainder(v);
    }
}

void observe_answered(struct exchange *x, const struct flight_end *end)
{
    struct observed *v = x->observed;
    struct flight_spec spec;
    if (v == NULL) {
        return;
    }
    spec = v->spec;
    spec.body = x->body; /* for its size */
    flight_took(x->engine->flights, &spec, end->took);
    if (v->exchanges.next != &x->observed_node || v->completed) {
        count_shared(v, v->completed ? v->end.model_time : end->model_time);
        leave_call(x);
        return;
    }
    leave_call(x);
    while (!list_empty(&v->exchanges)) { /* the others would have been answered now */
        leave_call(list_item(v->exchanges.next, struct exchange, observed_node));
        count_shared(v, end->model_time);
    }
    answer_free(&v->answer);
    struct answer *passed = &x->watch.answer.answer;
    v->answer = *passed; /* its texts are moved, what it says of the call stays */
    buf_init(&passed->content, ANSWER_MAX);
    buf_init(&passed->thinking, ANSWER_MAX);
    v->answered = has_key(v);
    v->end = *end;
    complete_call(v, end->took);
}

static bool makes_answer(const struct exchange *x)
{
    const struct observed *v = x->observed;
    return v->exchanges.next == &x->observed_node && !v->completed;
}

void observe_left(struct exchange *x)
{
    struct observed *v = x->observed;
    if (v == NULL) {
        return;
    }
    bool first = makes_answer(x);
    mono_t since = x->begun.us > v->queued.us ? x->begun : v->queued;
    bool held = v->state != OBSERVED_RUNNING;
    figures_of(v)->would_wait_us += held ? mono_diff(observe_now(v->of), since) : 0;
    v->arrived -= since.us;
    v->members--;
    leave_call(x);
    if (first && list_empty(&v->exchanges)) {
        observed_end(v);
    }
}

void observe_ended(struct exchange *x, const struct relay_result *r)
{
    struct observed *v = x->observed;
    if (v == NULL || r->client_gone) {
        observe_left(x);
        return;
    }
    bool first = makes_answer(x);
    leave_call(x);
    if (!first) {
        count_shared(v, 0); /* of a call that failed */
    } else if (list_empty(&v->exchanges)) {
        complete_call(v, mono_diff(observe_now(v->of), x->watch.called));
    }
}
