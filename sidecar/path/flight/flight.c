/* flight.c: the table of flights: joining, beginning, leaving.
 *
 * Flights that others may join are found by their level-2 key, with the whole material compared:
 * two requests share a call only if they are equal to the last byte. A flight owns copies of
 * everything it needs (its spec's bytes lie in one buffer), because the exchange that began it may
 * be gone long before its end.
 */
#include "path/flight/flight_priv.h"

#include <stdlib.h>

static struct list *bucket(struct flight_table *t, struct hash_key key)
{
    return &t->buckets[key.lo % FLIGHT_TABLE_BUCKETS];
}

struct flight_table *flight_table_create(const struct flight_parts *parts,
                                         const struct flight_hooks *hooks)
{
    struct flight_table *t = mem_new(sizeof *t);
    t->parts = *parts;
    t->hooks = *hooks;
    t->typists = typist_table_create();
    t->look = (struct loop_deferred){.fn = behind_look_again, .ctx = t};
    t->dismissal = (struct loop_deferred){.fn = flight_answer_rest, .ctx = t};
    list_init(&t->dismissed);
    list_init(&t->all);
    for (size_t i = 0; i < FLIGHT_TABLE_BUCKETS; i++) {
        list_init(&t->buckets[i]);
    }
    return t;
}

bool flight_count_memory(struct flight *f)
{
    size_t room = assembler_room(&f->assembler) + f->raw_body.cap;
    if (f->has_first) {
        room += f->first->answer.content.cap + f->first->answer.thinking.cap;
    }
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
    if (f->has_first) {
        answer_free(&f->first->answer);
        free(f->first);
    }
    buf_free(&f->end.reply);
    buf_free(&f->shaped);
    buf_free(&f->crossed);
    buf_free(&f->behind);
    buf_free(&f->found);
    transcript_unref(f->spec.behind.transcript);
    buf_free(&f->raw_headers);
    buf_free(&f->raw_body);
    buf_free(&f->memory);
    free(f->nodes);
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
        loop_defer_cancel(t->parts.loop, &f->rest);
        flight_free(f);
    }
    loop_defer_cancel(t->parts.loop, &t->look);
    loop_defer_cancel(t->parts.loop, &t->dismissal);
    typist_table_destroy(t->typists);
    free(t);
}

size_t flight_count(const struct flight_table *t)
{
    return t->count;
}

static void add_waiter(struct flight *f, struct flight_waiter *w, bool joined)
{
    flight_attach(f);
    if (joined && list_empty(&f->waiters)) { /* the last one's deadline is over, or went with it */
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

static struct flight *begin(struct flight_table *t, const struct flight_spec *spec)
{
    struct flight *f = mem_new(sizeof *f);
    f->table = t;
    f->begun = loop_now(t->parts.loop);
    f->held_from = f->begun;
    f->looked = t->replies;
    list_init(&f->node);
    list_init(&f->waiters);
    list_init(&f->followers);
    list_init(&f->follow);
    list_init(&f->all);
    list_append(&t->all, &f->all);
    t->count++;
    f->gone = (struct loop_deferred){.fn = flight_free, .ctx = f};
    f->rest = (struct loop_deferred){.fn = flight_hand_out_some, .ctx = f};
    bool copied = spec_copy(f, spec);
    f->timer = loop_timer_create(t->parts.loop, copied ? flight_timer : on_no_memory, f);
    flight_make_ticket(f);
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
    return out_of_memory || (flight_is_completion(f) && completion_place(f));
}

void flight_enqueue(struct flight_waiter *waiter)
{
    flight_start(waiter->flight);
}

void flight_leave(struct flight_table *t, struct flight_waiter *waiter)
{
    (void)t;
    struct flight *f = waiter->flight;
    if (waiter->dismissed) {
        flight_forget_dismissed(waiter);
    }
    if (f == NULL) {
        return;
    }
    flight_remove_waiter(f, waiter);
    if (flight_is_idle(f)) {
        flight_drop(f, FLIGHT_EVENT_LEFT);
    }
}
