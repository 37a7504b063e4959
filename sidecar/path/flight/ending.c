/* ending.c: the waiters of a flight, and how it ends.
 *
 * A flight that ends leaves the table first, then calls its waiters: a few at once, the others in
 * later turns of the loop. It is freed at the end of the turn that calls the last: a waiter's callback
 * may submit again, or a client may leave, while the list is walked. Waiters that are answered empty need
 * no flight any more: they wait for their turn at the table, since one message can dismiss those of a
 * thousand flights.
 */
#include "path/flight/flight_priv.h"

#include <stdio.h>

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

void flight_waste_first(struct flight *f)
{
    if (f->has_first) {
        flight_task_figures(f)->wasted_us += f->first->end.model_time; /* 0 where it is used */
        flight_user_figures(f, f->spec.user)->wasted_us += f->first->end.model_time;
        f->first->end.model_time = 0;
    }
}

/* Answers those that are dismissed as far as this turn has time for them. */
static void answer_dismissed(struct flight_table *t)
{
    while (!list_empty(&t->dismissed) && t->answered < FLIGHT_ANSWERED_AT_ONCE) {
        struct flight_waiter *w = list_item(t->dismissed.next, struct flight_waiter, node);
        struct flight_end end = {.result = FLIGHT_RESULT_EMPTY, .outcome = w->outcome};
        t->answered++;
        flight_forget_dismissed(w);
        w->done(w->ctx, &end);
        buf_free(&end.reply);
    }
    if (!list_empty(&t->dismissed)) {
        loop_later(t->parts.loop, &t->dismissal);
    }
}

void flight_answer_rest(void *table)
{
    struct flight_table *t = table;
    t->answered = 0;
    t->turn = loop_now(t->parts.loop);
    answer_dismissed(t);
}

void flight_forget_dismissed(struct flight_waiter *w)
{
    w->dismissed = false;
    list_remove(&w->node);
}

void flight_answer_empty(struct flight *f, struct flight_waiter *w, enum outcome outcome)
{
    struct flight_table *t = f->table;
    mono_t now = loop_now(t->parts.loop);
    flight_remove_waiter(f, w);
    w->dismissed = true;
    w->outcome = outcome;
    list_append(&t->dismissed, &w->node);
    t->answered = t->turn.us == now.us ? t->answered : 0;
    t->turn = now;
    answer_dismissed(t);
}

static void stop_deadline(struct flight *f)
{
    if (f->deadline != NULL) {
        loop_timer_stop(f->deadline);
    }
}

void flight_attach(struct flight *f)
{
    if (f->detached) {
        f->detached = false;
        f->table->detached_count--;
        stop_deadline(f); /* its time alone is no deadline of theirs */
    }
}

/* Takes the flight out of every place where it could be found. */
static void unlink_flight(struct flight *f)
{
    flight_released(f);
    flight_waste_first(f);
    failure_forget_trial(f);
    if (f->leader != NULL) {
        completion_unfollow(f);
    }
    flight_attach(f);
    list_remove(&f->node);
    probe_leave(&f->probe);
    gate_end(f->table->parts.gate, &f->ticket, f->cut);
    loop_timer_stop(f->timer);
    stop_deadline(f);
    completion_release_all(f);
}

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
    loop_defer(f->table->parts.loop, &f->gone);
}

void flight_drop(struct flight *f, enum flight_event event)
{
    struct flight *leader = f->leader;
    abort_and_unlink(f, event);
    if (leader != NULL && flight_is_idle(leader)) { /* it may follow another one at the fallback */
        flight_drop(leader, FLIGHT_EVENT_LEFT);
    }
}

/* The call that failed may be gone before the last waiters have their answer: its phrase is kept. */
static void keep_end(struct flight *f, const struct flight_end *end)
{
    f->end = *end;
    if (end->result == FLIGHT_RESULT_FAILED && end->why != f->why) {
        snprintf(f->why, sizeof f->why, "%s", end->why);
        f->end.why = f->why;
    }
}

struct answer *flight_own_answer(struct flight *f)
{
    assembler_free(&f->assembler);
    f->assembling = false;
    answer_init(&f->assembler.answer);
    f->assembler.answer.finish = FINISH_STOP;
    return &f->assembler.answer;
}

void flight_hand_out_some(void *ctx)
{
    struct flight *f = ctx;
    for (int i = 0; i < FLIGHT_ANSWERED_AT_ONCE && !list_empty(&f->waiters); i++) {
        struct flight_waiter *w = list_item(f->waiters.next, struct flight_waiter, node);
        flight_remove_waiter(f, w);
        w->done(w->ctx, &f->end);
    }
    if (!list_empty(&f->waiters)) {
        loop_later(f->table->parts.loop, &f->rest);
        return;
    }
    buf_free(&f->end.reply);
    loop_defer(f->table->parts.loop, &f->gone);
}

void flight_hand_out(struct flight *f, const struct flight_end *end)
{
    unlink_flight(f);
    keep_end(f, end);
    flight_hand_out_some(f);
}

void flight_finish(struct flight *f, enum flight_event event, const struct flight_end *end)
{
    flight_enter(f, event);
    flight_hand_out(f, end);
}

static void answer_all_empty(struct flight *f, enum outcome outcome)
{
    while (!list_empty(&f->waiters)) {
        flight_answer_empty(f, list_item(f->waiters.next, struct flight_waiter, node), outcome);
    }
}

void flight_finish_empty(struct flight *f, enum outcome outcome)
{
    struct flight *leader = f->leader;
    enum flight_event event = outcome == OUTCOME_SUPERSEDED ? FLIGHT_EVENT_SUPERSEDED
                              : outcome == OUTCOME_SENT     ? FLIGHT_EVENT_SENT
                                                            : FLIGHT_EVENT_BUSY;
    call_abort(f);
    flight_enter(f, event);
    unlink_flight(f);
    answer_all_empty(f, outcome);
    loop_defer(f->table->parts.loop, &f->gone);
    if (leader != NULL && flight_is_idle(leader)) { /* it may follow another one at the fallback */
        flight_drop(leader, FLIGHT_EVENT_LEFT);
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
    t->detached_count += f->detached ? 0 : 1; /* it may be since its deadline */
    f->detached = true;
    f->for_load = true;
    list_remove(&f->node); /* no request joins it */
    stop_deadline(f);
    answer_all_empty(f, outcome);
    return true;
}
