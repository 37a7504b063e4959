/* flight.c: the table of flights: joining, beginning, leaving, ending.
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
    return &f->spec.settings->kinds[f->spec.kind];
}

struct upstream_settings *flight_upstream(const struct flight *f)
{
    return &f->spec.settings->upstreams[f->spec.upstream];
}

struct task_figures *flight_task_figures(const struct flight *f)
{
    return figures_task(f->table->figures, flight_policy(f)->name);
}

struct upstream_figures *flight_upstream_figures(const struct flight *f)
{
    return figures_upstream(f->table->figures, flight_upstream(f)->name);
}

struct flight_table *flight_table_create(struct loop *loop, struct upstream_pool *pool,
                                         struct schedule *schedule, struct figures *figures,
                                         const struct flight_hooks *hooks)
{
    struct flight_table *t = mem_new(sizeof *t);
    t->loop = loop;
    t->pool = pool;
    t->schedule = schedule;
    t->figures = figures;
    t->hooks = *hooks;
    list_init(&t->all);
    for (size_t i = 0; i < FLIGHT_TABLE_BUCKETS; i++) {
        list_init(&t->buckets[i]);
    }
    return t;
}

static void flight_free(void *ctx)
{
    struct flight *f = ctx;
    f->table->count--;
    list_remove(&f->all);
    loop_timer_destroy(f->timer);
    assembler_free(&f->assembler);
    buf_free(&f->shaped);
    buf_free(&f->raw_headers);
    buf_free(&f->raw_body);
    buf_free(&f->memory);
    free(f->headers);
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
        loop_defer_cancel(t->loop, &f->gone);
        flight_free(f);
    }
    for (size_t i = 0; i < FLIGHT_TYPISTS; i++) {
        buf_free(&t->typists[i].text);
    }
    refusal_free_all(t);
    free(t);
}

size_t flight_count(const struct flight_table *t)
{
    return t->count;
}

/* Takes the flight out of every place where it could be found. */
static void unlink_flight(struct flight *f)
{
    debounce_forget(f);
    list_remove(&f->node);
    loop_timer_stop(f->timer);
    f->state = FLIGHT_ENDING;
    loop_defer(f->table->loop, &f->gone);
}

void flight_finish(struct flight *f, struct flight_end *end)
{
    unlink_flight(f);
    while (!list_empty(&f->waiters)) {
        struct flight_waiter *w = list_item(f->waiters.next, struct flight_waiter, node);
        list_remove(&w->node);
        w->flight = NULL;
        w->done(w->ctx, end);
    }
    buf_free(&end->reply);
}

static void add_waiter(struct flight *f, struct flight_waiter *w, bool joined)
{
    w->flight = f;
    w->joined = joined;
    list_init(&w->node);
    list_append(&f->waiters, &w->node);
}

static struct flight *find_to_join(struct flight_table *t, const struct flight_spec *spec)
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

/* Copies s into the flight's memory, whose size was reserved before: the buffer must not move. */
static struct span keep(struct flight *f, struct span s)
{
    size_t at = f->memory.len;
    if (s.len == 0 || buf_append_span(&f->memory, s) != ERR_OK) {
        return (struct span){"", 0};
    }
    return span_make(f->memory.data + at, s.len);
}

static bool copy_spec(struct flight *f, const struct flight_spec *spec)
{
    size_t need = spec->target.len + spec->body.len + spec->material.len + spec->model.len +
                  spec->scope.len + spec->typist.text.len;
    for (size_t i = 0; i < spec->header_count; i++) {
        need += spec->headers[i].name.len + spec->headers[i].value.len;
    }
    buf_init(&f->memory, need + 1);
    if (buf_reserve(&f->memory, need + 1) != ERR_OK) {
        return false;
    }
    f->spec = *spec;
    f->spec.settings = settings_ref(spec->settings);
    f->spec.target = keep(f, spec->target);
    f->spec.body = keep(f, spec->body);
    f->spec.material = keep(f, spec->material);
    f->spec.model = keep(f, spec->model);
    f->spec.scope = keep(f, spec->scope);
    f->spec.typist.text = keep(f, spec->typist.text);
    f->headers = mem_new((spec->header_count + 1) * sizeof *f->headers);
    for (size_t i = 0; i < spec->header_count; i++) {
        f->headers[i].name = keep(f, spec->headers[i].name);
        f->headers[i].value = keep(f, spec->headers[i].value);
    }
    f->spec.headers = f->headers;
    return true;
}

/* Out of its window: the schedule says when. */
static void schedule_flight(struct flight *f)
{
    switch (schedule_ask(f->table->schedule, flight_upstream(f)->name)) {
    case SCHEDULE_START:
        call_start(f);
        return;
    }
}

static void on_timer(void *ctx)
{
    struct flight *f = ctx;
    if (f->state == FLIGHT_HELD) {
        debounce_forget(f);
        schedule_flight(f);
    } else if (f->state == FLIGHT_CALLING) {
        call_timer(f);
    }
}

/* Memory for the copies is gone: the waiter gets an error, from the loop. */
static void on_no_memory(void *ctx)
{
    struct flight *f = ctx;
    struct flight_end end = {.result = FLIGHT_FAILED,
                             .error = HTTP_ERROR_BUSY,
                             .why = "out of memory",
                             .upstream_failed = true};
    flight_finish(f, &end);
}

static struct flight *begin(struct flight_table *t, const struct flight_spec *spec)
{
    struct flight *f = mem_new(sizeof *f);
    f->table = t;
    f->begun = loop_now(t->loop);
    list_init(&f->node);
    list_init(&f->waiters);
    list_init(&f->all);
    list_append(&t->all, &f->all);
    t->count++;
    f->gone.fn = flight_free;
    f->gone.ctx = f;
    bool copied = copy_spec(f, spec);
    f->timer = loop_timer_create(t->loop, copied ? on_timer : on_no_memory, f);
    if (!copied) {
        f->spec = *spec;
        f->spec.settings = settings_ref(spec->settings);
        loop_timer_start(f->timer, 0);
    }
    return f;
}

void flight_submit(struct flight_table *t, const struct flight_spec *spec,
                   struct flight_waiter *waiter)
{
    struct flight *f = spec->join ? find_to_join(t, spec) : NULL;
    if (f != NULL) {
        add_waiter(f, waiter, true);
        return;
    }
    f = begin(t, spec);
    add_waiter(f, waiter, false);
    if (loop_timer_running(f->timer)) {
        return;
    }
    if (spec->shared) {
        list_append(bucket(t, spec->hash), &f->node);
    }
    f->state = FLIGHT_HELD;
    usec_t window = debounce_place(t, f);
    if (window > 0) {
        loop_timer_start(f->timer, window);
    } else {
        schedule_flight(f);
    }
}

void flight_leave(struct flight_table *t, struct flight_waiter *waiter)
{
    (void)t;
    struct flight *f = waiter->flight;
    if (f == NULL) {
        return;
    }
    waiter->flight = NULL;
    list_remove(&waiter->node);
    if (!list_empty(&f->waiters) || f->state == FLIGHT_ENDING) {
        return;
    }
    if (f->call != NULL) {
        flight_task_figures(f)->cancelled++;
    }
    call_abort(f);
    unlink_flight(f);
}
