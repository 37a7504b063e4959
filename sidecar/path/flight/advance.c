/* advance.c: what a flight does at each event: it is queued, called, preempted, answered. */
#include "path/flight/flight_priv.h"

/* A completion that has waited max_hold is answered empty; the schedule bounds the others. */
static void arm_hold(struct flight *f)
{
    if (flight_is_completion(f)) {
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
    event = failure_divert(f);
    flight_apply(f, event == FLIGHT_EVENT_NONE ? FLIGHT_EVENT_GATE_OPENED : event);
}

/* A chat has come. Followers are released; a call without waiters is not made again, nor one that only
 * its followers kept going. */
static bool on_preempt(void *ctx)
{
    struct flight *f = ctx;
    flight_task_figures(f)->preempted++;
    if (!f->detached) {
        flight_apply(f, FLIGHT_EVENT_PREEMPTED);
    }
    bool wanted = !f->detached && !flight_is_idle(f);
    if (!wanted) {
        flight_drop(f, FLIGHT_EVENT_LEFT);
    }
    return wanted;
}

void flight_make_ticket(struct flight *f)
{
    f->ticket = (struct gate_ticket){
        .job = {.to = flight_upstream(f),
                .policy = flight_policy(f),
                .conversation = f->spec.turn.conversation,
                .turn = f->spec.turn.turn,
                .model = servers_key(f->table->parts.servers, flight_way_model(f)),
                .beside_reply = f->spec.turn.beside_reply,
                .elsewhere = f->spec.turn.elsewhere,
                .leaves_throttled = failure_leaves_throttled(f),
                .expected = -1},
        .start = on_gate_open,
        .preempt = on_preempt,
        .ctx = f};
    behind_schedule(f);
}

/* Since when it is held back. */
static void hold_back(struct flight *f)
{
    f->held_from = f->held_from.us == 0 ? loop_now(f->table->parts.loop) : f->held_from;
}

static void queue(struct flight *f)
{
    flight_make_ticket(f);
    hold_back(f);
    arm_hold(f);
    gate_wait(f->table->parts.gate, &f->ticket);
}

static void begin_call(struct flight *f)
{
    int at = f->fell_back ? f->spec.fallback.upstream : f->spec.upstream;
    behind_look(f);
    f->again = f->again || flight_pace(f)->odd >= FLIGHT_ODD;
    f->ticket.job.expected = pace_expected_for(flight_pace(f), f->spec.body.len);
    f->probe.fn = probed;
    f->probe.ctx = f;
    if (!probe_wait(f->table->parts.servers, f->spec.settings, at, wire_authorization(f),
                    &f->probe)) {
        call_start(f);
    }
}

static void preempt(struct flight *f)
{
    call_abort(f);
    failure_forget_trial(f); /* there may be no call yet: it waits for a probe */
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
    flight_hand_out(f, &end);
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
        gate_end(f->table->parts.gate, &f->ticket, f->cut);
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
    if (flight_is_completion(f) && completion_is_futile(f)) {
        flight_finish_empty(f, OUTCOME_BUSY);
        return;
    }
    if (flight_is_completion(f) && !flight_has(FLIGHT_PART_BUSY)) {
        flight_make_ticket(f);
        flight_enter(f, FLIGHT_EVENT_READY);
        flight_enter(f, FLIGHT_EVENT_GATE_OPENED);
        call_start(f);
        return;
    }
    enum flight_event event = failure_certain(f);
    flight_apply(f, event == FLIGHT_EVENT_NONE ? FLIGHT_EVENT_READY : event);
}

void flight_timer(void *ctx)
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
