/* flight.c: the table of flights: joining, beginning, leaving, ending; and the state machine, which
 * flight_priv.h draws.
 *
 * Flights that others may join are found by their level-2 key, with the whole material compared:
 * two requests share a call only if they are equal to the last byte. A flight owns copies of
 * everything it needs (its spec's bytes lie in one buffer), because the exchange that began it may
 * be gone long before its end.
 *
 * A flight that ends leaves the table first, then calls its waiters, and is freed at the end of the
 * turn: a waiter's callback may submit again, or a client may leave, while the list is walked.
 */
#include "path/flight/flight_priv.h"

#include <stdlib.h>

/* ---- the states ---- */

enum flight_state flight_next_state(enum flight_state state, enum flight_event event)
{
    enum {
        HELD = 1 << FLIGHT_STATE_HELD,
        FOLLOWING = 1 << FLIGHT_STATE_FOLLOWING,
        QUEUED = 1 << FLIGHT_STATE_QUEUED,
        CALLING = 1 << FLIGHT_STATE_CALLING,
        ANY = HELD | FOLLOWING | QUEUED | CALLING,
    };
    static const struct {
        unsigned from;
        enum flight_state to;
    } rows[FLIGHT_EVENTS] = {
        [FLIGHT_EVENT_LED] = {HELD | QUEUED, FLIGHT_STATE_FOLLOWING},
        [FLIGHT_EVENT_RELEASED] = {FOLLOWING, FLIGHT_STATE_HELD},
        [FLIGHT_EVENT_READY] = {HELD, FLIGHT_STATE_QUEUED},
        [FLIGHT_EVENT_GATE_OPENED] = {QUEUED, FLIGHT_STATE_CALLING},
        [FLIGHT_EVENT_ASKED_AGAIN] = {CALLING, FLIGHT_STATE_CALLING},
        [FLIGHT_EVENT_PREEMPTED] = {CALLING, FLIGHT_STATE_QUEUED},
        [FLIGHT_EVENT_THROTTLED] = {CALLING, FLIGHT_STATE_QUEUED},
        [FLIGHT_EVENT_FELL_BACK] = {HELD | QUEUED | CALLING, FLIGHT_STATE_QUEUED},
        [FLIGHT_EVENT_ANSWERED] = {CALLING, FLIGHT_STATE_ENDING},
        [FLIGHT_EVENT_LEADER_ANSWERED] = {FOLLOWING, FLIGHT_STATE_ENDING},
        [FLIGHT_EVENT_REMAINDER] = {HELD | QUEUED, FLIGHT_STATE_ENDING},
        [FLIGHT_EVENT_FAILED] = {HELD | QUEUED | CALLING, FLIGHT_STATE_ENDING},
        [FLIGHT_EVENT_BUSY] = {HELD | QUEUED, FLIGHT_STATE_ENDING},
        [FLIGHT_EVENT_SUPERSEDED] = {ANY, FLIGHT_STATE_ENDING},
        [FLIGHT_EVENT_SENT] = {ANY, FLIGHT_STATE_ENDING},
        [FLIGHT_EVENT_OBSOLETE] = {ANY, FLIGHT_STATE_ENDING},
        [FLIGHT_EVENT_DEADLINE] = {ANY, FLIGHT_STATE_ENDING},
        [FLIGHT_EVENT_LEFT] = {ANY, FLIGHT_STATE_ENDING},
    };
    bool possible = (rows[event].from & 1U << state) != 0;
    return possible ? rows[event].to : FLIGHT_STATES;
}

void flight_enter(struct flight *f, enum flight_event event)
{
    enum flight_state next = flight_next_state(f->state, event);
    require(next != FLIGHT_STATES);
    f->state = next;
}

/* ---- what a flight has ---- */

static struct list *bucket(struct flight_table *t, struct hash_key key)
{
    return &t->buckets[key.lo % FLIGHT_TABLE_BUCKETS];
}

const struct flight_spec *flight_spec(const struct flight *f)
{
    return &f->spec;
}

const struct kind_policy *flight_policy(const struct flight *f)
{
    return f->own_policy != NULL ? f->own_policy : &f->spec.settings->kinds[f->spec.kind];
}

struct upstream_settings *flight_upstream(const struct flight *f)
{
    int at = f->fell_back ? f->spec.fallback.upstream : f->spec.upstream;
    return &f->spec.settings->upstreams[at];
}

struct server *flight_server(const struct flight *f)
{
    return server_of(f->table->parts.servers, flight_upstream(f));
}

struct server_model *flight_model(const struct flight *f)
{
    return server_model(flight_server(f), flight_way_model(f));
}

struct task_figures *flight_task_figures(const struct flight *f)
{
    return f->spec.untracked ? &f->table->untracked
                             : figures_task(f->table->parts.figures, flight_policy(f)->name);
}

struct savings *flight_user_figures(const struct flight *f, uint32_t user)
{
    return f->spec.untracked ? &f->table->untracked_user
                             : figures_user(f->table->parts.figures, user);
}

struct flight_table *flight_table_create(const struct flight_parts *parts,
                                         const struct flight_hooks *hooks)
{
    struct flight_table *t = mem_new(sizeof *t);
    t->parts = *parts;
    t->hooks = *hooks;
    t->typists = typist_table_create();
    list_init(&t->all);
    for (size_t i = 0; i < FLIGHT_TABLE_BUCKETS; i++) {
        list_init(&t->buckets[i]);
    }
    return t;
}

bool flight_count_memory(struct flight *f)
{
    size_t room = assembler_room(&f->assembler) + f->first.content.cap + f->first.thinking.cap +
                  f->raw_body.cap;
    return budget_settle(f->table->parts.memory, &f->counted, room);
}

static void flight_free(void *ctx)
{
    struct flight *f = ctx;
    (void)budget_settle(f->table->parts.memory, &f->counted, 0);
    f->table->count--;
    list_remove(&f->all);
    loop_timer_destroy(f->timer);
    loop_timer_destroy(f->deadline);
    suggestion_reader_free(&f->reader);
    assembler_free(&f->assembler);
    answer_free(&f->first);
    buf_free(&f->shaped);
    buf_free(&f->crossed);
    buf_free(&f->behind);
    buf_free(&f->found);
    transcript_unref(f->spec.behind.transcript);
    buf_free(&f->raw_headers);
    buf_free(&f->raw_body);
    buf_free(&f->memory);
    free(f->headers);
    free(f->fallback_headers);
    free(f->own_policy);
    settings_unref(f->spec.settings);
    free(f);
}

void flight_table_destroy(struct flight_table *t)
{
    if (t == NULL) {
        return;
    }
    list_each(node, &t->all)
    {
        struct flight *f = list_item(node, struct flight, all);
        call_abort(f);
        probe_leave(&f->probe);
        gate_end(t->parts.gate, &f->ticket, true);
        loop_defer_cancel(t->parts.loop, &f->gone);
        flight_free(f);
    }
    typist_table_destroy(t->typists);
    free(t);
}

size_t flight_count(const struct flight_table *t)
{
    return t->count;
}

/* How long a waiter has been held back since the flight is. Sharing a call that is under way is no
 * holding back. */
static usec_t held_for(const struct flight *f, const struct flight_waiter *w)
{
    mono_t from = w->since.us > f->held_from.us ? w->since : f->held_from;
    mono_t end = f->leader != NULL ? f->followed : loop_now(f->table->parts.loop);
    return f->held_from.us != 0 && end.us > from.us ? mono_diff(end, from) : 0;
}

static void count_wait(const struct flight *f, const struct flight_waiter *w)
{
    usec_t waited = held_for(f, w);
    flight_task_figures(f)->wait_us += waited;
    flight_user_figures(f, w->user)->wait_us += waited;
}

void flight_released(struct flight *f)
{
    list_each(node, &f->waiters)
    {
        count_wait(f, list_item(node, struct flight_waiter, node));
    }
    f->held_from = (mono_t){0};
}

void flight_remove_waiter(struct flight *f, struct flight_waiter *w)
{
    count_wait(f, w);
    list_remove(&w->node);
    w->flight = NULL;
}

/* Takes the flight out of every place where it could be found. */
static void unlink_flight(struct flight *f)
{
    flight_released(f);
    flight_task_figures(f)->wasted_us += f->first_end.model_time; /* 0 where it is used */
    flight_user_figures(f, f->spec.user)->wasted_us += f->first_end.model_time;
    f->first_end.model_time = 0;
    failure_forget_trial(f);
    if (f->leader != NULL) {
        completion_unfollow(f);
    }
    if (f->detached) {
        f->detached = false;
        f->table->detached_count--;
    }
    list_remove(&f->node);
    probe_leave(&f->probe);
    gate_end(f->table->parts.gate, &f->ticket, f->cut);
    loop_timer_stop(f->timer);
    if (f->deadline != NULL) {
        loop_timer_stop(f->deadline);
    }
    completion_release_all(f);
    loop_defer(f->table->parts.loop, &f->gone);
}

/* Whether no request wants the flight's answer any more. */
bool flight_is_idle(const struct flight *f)
{
    return f->state != FLIGHT_STATE_ENDING && list_empty(&f->waiters) &&
           list_empty(&f->followers) && !f->detached;
}

static void abort_and_unlink(struct flight *f, enum flight_event event)
{
    if (f->call != NULL) {
        flight_task_figures(f)->cancelled++;
    }
    call_abort(f);
    flight_enter(f, event);
    unlink_flight(f);
}

void flight_drop(struct flight *f, enum flight_event event)
{
    struct flight *leader = f->leader;
    abort_and_unlink(f, event);
    if (leader != NULL && flight_is_idle(leader)) {
        abort_and_unlink(leader, FLIGHT_EVENT_LEFT);
    }
}

/* Of a flight that is ENDING. */
static void finish(struct flight *f, struct flight_end *end)
{
    unlink_flight(f);
    while (!list_empty(&f->waiters)) {
        struct flight_waiter *w = list_item(f->waiters.next, struct flight_waiter, node);
        flight_remove_waiter(f, w);
        w->done(w->ctx, end);
    }
    buf_free(&end->reply);
}

void flight_finish(struct flight *f, enum flight_event event, struct flight_end *end)
{
    flight_enter(f, event);
    finish(f, end);
}

void flight_finish_empty(struct flight *f, enum outcome outcome)
{
    struct flight_end end = {.result = FLIGHT_RESULT_EMPTY, .outcome = outcome};
    struct flight *leader = f->leader;
    enum flight_event event = outcome == OUTCOME_SUPERSEDED ? FLIGHT_EVENT_SUPERSEDED
                              : outcome == OUTCOME_SENT     ? FLIGHT_EVENT_SENT
                                                            : FLIGHT_EVENT_BUSY;
    call_abort(f);
    flight_finish(f, event, &end);
    if (leader != NULL && flight_is_idle(leader)) {
        abort_and_unlink(leader, FLIGHT_EVENT_LEFT);
    }
}

/* Whether another call is left to load the same model there. */
static bool is_loaded_for(const struct flight *f)
{
    list_each(node, &f->table->all)
    {
        const struct flight *o = list_item(node, struct flight, all);
        if (o != f && o->detached && o->for_load && flight_upstream(o) == flight_upstream(f) &&
            hash_key_eq(o->ticket.job.model, f->ticket.job.model)) {
            return true;
        }
    }
    return false;
}

bool flight_leave_loading(struct flight *f, enum outcome outcome)
{
    struct flight_table *t = f->table;
    if (f->detached && f->for_load) {
        return true;
    }
    if (f->call == NULL || t->detached_count >= FLIGHT_DETACHED || is_loaded_for(f) ||
        !schedule_is_loading(&f->ticket.job, loop_now(t->parts.loop))) {
        return false;
    }
    f->detached = true;
    f->for_load = true;
    t->detached_count++;
    list_remove(&f->node); /* no request joins it */
    if (f->deadline != NULL) {
        loop_timer_stop(f->deadline);
    }
    completion_release_all(f);
    while (!list_empty(&f->waiters)) {
        struct flight_waiter *w = list_item(f->waiters.next, struct flight_waiter, node);
        struct flight_end end = {.result = FLIGHT_RESULT_EMPTY, .outcome = outcome};
        flight_remove_waiter(f, w);
        w->done(w->ctx, &end);
        buf_free(&end.reply);
    }
    return true;
}

static void add_waiter(struct flight *f, struct flight_waiter *w, bool joined)
{
    if (f->detached) {
        f->detached = false;
        f->table->detached_count--;
        completion_arm_deadline(f);
    }
    w->flight = f;
    w->joined = joined;
    w->since = loop_now(f->table->parts.loop);
    list_init(&w->node);
    list_append(&f->waiters, &w->node);
}

struct flight *flight_find_to_join(struct flight_table *t, const struct flight_spec *spec)
{
    list_each(node, bucket(t, spec->hash))
    {
        struct flight *f = list_item(node, struct flight, node);
        if (hash_key_eq(f->spec.hash, spec->hash) && span_eq(f->spec.material, spec->material)) {
            return f;
        }
    }
    return NULL;
}

void flight_set_key(struct flight *f, struct hash_key hash)
{
    bool listed = !list_empty(&f->node);
    f->spec.hash = hash;
    if (listed) {
        list_remove(&f->node);
        list_append(bucket(f->table, hash), &f->node);
    }
}

static bool is_completion(const struct flight *f)
{
    return flight_policy(f)->cls == KIND_CLASS_COMPLETION;
}

/* A completion that has waited max_hold is answered empty; the schedule bounds the others. */
static void arm_hold(struct flight *f)
{
    if (is_completion(f)) {
        loop_timer_start(f->timer, flight_policy(f)->max_hold);
    }
}

/* What the server is, is known, or will not be in time. */
static void probed(void *ctx)
{
    call_start(ctx);
}

/* The gate is open. */
static void on_gate_open(void *ctx)
{
    struct flight *f = ctx;
    loop_timer_stop(f->timer);
    enum flight_event event = completion_try_join(f);
    if (event == FLIGHT_EVENT_LED) {
        gate_end(f->table->parts.gate, &f->ticket, false);
    }
    if (event != FLIGHT_EVENT_NONE) {
        return;
    }
    event = breaker_divert(f);
    flight_apply(f, event == FLIGHT_EVENT_NONE ? FLIGHT_EVENT_GATE_OPENED : event);
}

/* A chat has come. What follows goes its own way; a call without waiters is not made again. */
static bool on_preempt(void *ctx)
{
    struct flight *f = ctx;
    flight_task_figures(f)->preempted++;
    if (f->detached) {
        flight_drop(f, FLIGHT_EVENT_LEFT);
        return false;
    }
    flight_apply(f, FLIGHT_EVENT_PREEMPTED);
    return true;
}

static void make_ticket(struct flight *f);

/* Since when it is held back. */
static void hold_back(struct flight *f)
{
    f->held_from = f->held_from.us == 0 ? loop_now(f->table->parts.loop) : f->held_from;
}

static void queue(struct flight *f)
{
    make_ticket(f);
    hold_back(f);
    arm_hold(f);
    gate_wait(f->table->parts.gate, &f->ticket);
}

static void begin_call(struct flight *f)
{
    int at = f->fell_back ? f->spec.fallback.upstream : f->spec.upstream;
    behind_look(f);
    f->ticket.job.expected = pace_expected_for(flight_pace(f), f->spec.body.len);
    f->probe.fn = probed;
    f->probe.ctx = f;
    if (!probe_wait(f->table->parts.servers, f->spec.settings, at, &f->probe)) {
        call_start(f);
    }
}

static void preempt(struct flight *f)
{
    call_abort(f);
    probe_leave(&f->probe);
    flight_enter(f, FLIGHT_EVENT_PREEMPTED);
    hold_back(f);
    completion_release_all(f);
    arm_hold(f);
}

/* Hands the answer out: to the cache first, then to what follows, then to its own waiters. */
static void deliver(struct flight *f)
{
    struct flight_end end = f->end;
    end.behind = f->spec.behind.transcript != NULL;
    end.asked_behind = f->is_behind;
    end.fell_back = f->fell_back && end.result == FLIGHT_RESULT_ANSWER;
    if (end.result == FLIGHT_RESULT_ANSWER && !f->spec.untracked) {
        f->table->hooks.completed(f->table->hooks.ctx, f, &end);
    }
    flight_enter(f, FLIGHT_EVENT_ANSWERED); /* from here on it leads no other */
    if (end.result == FLIGHT_RESULT_ANSWER) {
        bool followed = completion_completed(f, &end);
        if (!followed && list_empty(&f->waiters)) {
            flight_task_figures(f)->wasted_us += end.model_time;
            flight_user_figures(f, f->spec.user)->wasted_us += end.model_time;
        }
    }
    finish(f, &end);
}

void flight_apply(struct flight *f, enum flight_event event)
{
    switch (event) {
    case FLIGHT_EVENT_READY:
        flight_enter(f, event);
        queue(f);
        return;
    case FLIGHT_EVENT_GATE_OPENED:
        flight_enter(f, event);
        begin_call(f);
        return;
    case FLIGHT_EVENT_ASKED_AGAIN:
        flight_enter(f, event);
        call_start(f);
        return;
    case FLIGHT_EVENT_PREEMPTED:
        preempt(f);
        return;
    case FLIGHT_EVENT_THROTTLED: /* its ticket waits again already */
        flight_enter(f, event);
        hold_back(f);
        return;
    case FLIGHT_EVENT_FELL_BACK:
        gate_end(f->table->parts.gate, &f->ticket, false);
        flight_enter(f, event);
        queue(f);
        return;
    case FLIGHT_EVENT_ANSWERED:
        deliver(f);
        return;
    case FLIGHT_EVENT_FAILED:
        flight_finish(f, event, &f->end);
        return;
    default:
        return; /* NONE, or done where it was found out */
    }
}

void flight_start(struct flight *f)
{
    if (completion_try_join(f) != FLIGHT_EVENT_NONE) {
        return;
    }
    if (is_completion(f) && completion_is_futile(f)) {
        flight_finish_empty(f, OUTCOME_BUSY);
        return;
    }
    if (is_completion(f) && !flight_has(FLIGHT_PART_BUSY)) {
        make_ticket(f);
        flight_enter(f, FLIGHT_EVENT_READY);
        flight_enter(f, FLIGHT_EVENT_GATE_OPENED);
        call_start(f);
        return;
    }
    enum flight_event event = failure_certain(f);
    flight_apply(f, event == FLIGHT_EVENT_NONE ? FLIGHT_EVENT_READY : event);
}

static void on_timer(void *ctx)
{
    struct flight *f = ctx;
    if (f->state == FLIGHT_STATE_HELD) {
        flight_start(f);
    } else if (f->state == FLIGHT_STATE_QUEUED) {
        flight_finish_empty(f, OUTCOME_BUSY);
    } else if (f->state == FLIGHT_STATE_CALLING) {
        flight_apply(f, call_timer(f));
    }
}

/* Memory for the copies is gone: the waiter gets an error, from the loop. */
static void on_no_memory(void *ctx)
{
    struct flight *f = ctx;
    f->end = (struct flight_end){.result = FLIGHT_RESULT_FAILED,
                                 .error = HTTP_ERROR_BUSY,
                                 .why = "out of memory",
                                 .upstream_failed = true};
    flight_apply(f, FLIGHT_EVENT_FAILED);
}

static void make_ticket(struct flight *f)
{
    f->ticket = (struct gate_ticket){
        .job = {.to = flight_upstream(f),
                .policy = flight_policy(f),
                .conversation = f->spec.turn.conversation,
                .turn = f->spec.turn.turn,
                .model = servers_key(f->table->parts.servers, flight_way_model(f)),
                .beside_reply = f->spec.turn.beside_reply,
                .elsewhere = f->spec.turn.elsewhere,
                .expected = -1},
        .start = on_gate_open,
        .preempt = on_preempt,
        .ctx = f};
    behind_schedule(f);
}

static struct flight *begin(struct flight_table *t, const struct flight_spec *spec)
{
    struct flight *f = mem_new(sizeof *f);
    f->table = t;
    f->begun = loop_now(t->parts.loop);
    f->held_from = f->begun;
    list_init(&f->node);
    list_init(&f->waiters);
    list_init(&f->followers);
    list_init(&f->follow);
    list_init(&f->all);
    list_append(&t->all, &f->all);
    t->count++;
    f->gone.fn = flight_free;
    f->gone.ctx = f;
    bool copied = spec_copy(f, spec);
    f->timer = loop_timer_create(t->parts.loop, copied ? on_timer : on_no_memory, f);
    make_ticket(f);
    if (!copied) {
        loop_timer_start(f->timer, 0);
    }
    return f;
}

bool flight_join(struct flight_table *t, const struct flight_spec *spec,
                 struct flight_waiter *waiter)
{
    struct flight *f = spec->join ? flight_find_to_join(t, spec) : NULL;
    if (f != NULL) {
        add_waiter(f, waiter, true);
    }
    return f != NULL;
}

void flight_begin(struct flight_table *t, const struct flight_spec *spec,
                  struct flight_waiter *waiter)
{
    struct flight *f = begin(t, spec);
    add_waiter(f, waiter, false);
    if (spec->shared && !loop_timer_running(f->timer)) {
        list_append(bucket(t, spec->hash), &f->node);
    }
}

bool flight_debounce(struct flight_waiter *waiter)
{
    struct flight *f = waiter->flight;
    bool out_of_memory = loop_timer_running(f->timer);
    return out_of_memory || (is_completion(f) && completion_place(f));
}

void flight_enqueue(struct flight_waiter *waiter)
{
    flight_start(waiter->flight);
}

void flight_leave(struct flight_table *t, struct flight_waiter *waiter)
{
    (void)t;
    struct flight *f = waiter->flight;
    if (f == NULL) {
        return;
    }
    flight_remove_waiter(f, waiter);
    if (flight_is_idle(f)) {
        flight_drop(f, FLIGHT_EVENT_LEFT);
    }
}
