/* gate.c: starts are deferred to the end of the loop iteration, so that all jobs that arrive in one
 * iteration are ordered before one starts, and no callback runs inside gate_wait(). Preemption is
 * not deferred: it must happen before the chat's own request is sent. Where many may start at once
 * (a throttled server takes tasks again, their holds end), a turn of the loop starts a few of them.
 */
#include "lull/path/schedule/gate.h"

#include <stdlib.h>

enum { STARTS_OF_A_TURN = 8 }; /* a call that begins takes about 0.1 ms */

struct gate {
    struct loop *loop;
    struct schedule *schedule;
    struct loop_timer *timer;
    struct loop_deferred work;
    struct loop_deferred rest; /* in a later turn: more may start than one has time for */
    mono_t turn;               /* when jobs were started last ... */
    int started;               /* ... and how many in that turn */
    void (*watch)(void *ctx);  /* NULL: none */
    void *watch_ctx;
};

static struct gate_ticket *ticket_of(struct schedule_job *j)
{
    return list_item(j, struct gate_ticket, job);
}

static void preempt(struct gate *g, struct schedule_job *j)
{
    struct gate_ticket *t = ticket_of(j);
    if (t->preempt(t->ctx)) {
        schedule_requeue_preempted(g->schedule, j, loop_now(g->loop));
    }
    gate_changed(g);
}

static void preempt_for(struct gate *g, const struct upstream_settings *to)
{
    struct schedule_job *j = NULL;
    while ((j = schedule_victim(g->schedule, to, loop_now(g->loop))) != NULL) {
        preempt(g, j);
    }
}

static void start_all(void *ctx)
{
    struct gate *g = ctx;
    mono_t now = loop_now(g->loop);
    struct schedule_job *j = NULL;
    usec_t due = -1;
    while ((j = schedule_overdue(g->schedule, now)) != NULL) {
        preempt(g, j);
    }
    if (g->turn.us != now.us) {
        g->turn = now;
        g->started = 0;
    }
    while (g->started < STARTS_OF_A_TURN && (j = schedule_next(g->schedule, now, &due)) != NULL) {
        struct gate_ticket *t = ticket_of(j);
        if (j->policy->cls == KIND_CLASS_FOREGROUND) {
            preempt_for(g, j->to);
        }
        t->start(t->ctx);
        g->started++;
    }
    if (g->started == STARTS_OF_A_TURN) {
        loop_later(g->loop, &g->rest);
    } else if (due >= 0) {
        loop_timer_start(g->timer, due);
    } else {
        loop_timer_stop(g->timer);
    }
    if (g->watch != NULL) {
        g->watch(g->watch_ctx);
    }
}

static void start_rest(void *ctx)
{
    struct gate *g = ctx;
    g->started = 0;
    start_all(g);
}

void gate_watch(struct gate *g, void (*fn)(void *ctx), void *ctx)
{
    g->watch = fn;
    g->watch_ctx = ctx;
}

struct gate *gate_create(struct loop *loop, struct schedule *schedule)
{
    struct gate *g = mem_new(sizeof *g);
    g->loop = loop;
    g->schedule = schedule;
    g->work = (struct loop_deferred){.fn = start_all, .ctx = g};
    g->rest = (struct loop_deferred){.fn = start_rest, .ctx = g};
    g->timer = loop_timer_create(loop, start_all, g);
    return g;
}

void gate_destroy(struct gate *g)
{
    if (g == NULL) {
        return;
    }
    loop_timer_destroy(g->timer);
    loop_defer_cancel(g->loop, &g->work);
    loop_defer_cancel(g->loop, &g->rest);
    free(g);
}

void gate_changed(struct gate *g)
{
    loop_defer(g->loop, &g->work);
}

void gate_wait(struct gate *g, struct gate_ticket *t)
{
    schedule_wait(g->schedule, &t->job, loop_now(g->loop));
    gate_changed(g);
}

bool gate_requeue_throttled(struct gate *g, struct gate_ticket *t)
{
    bool waits = schedule_requeue_throttled(g->schedule, &t->job, loop_now(g->loop));
    if (waits) {
        gate_changed(g);
    }
    return waits;
}

void gate_end(struct gate *g, struct gate_ticket *t, bool aborted)
{
    if (t->job.state != SCHEDULE_IDLE) {
        schedule_end(g->schedule, &t->job, loop_now(g->loop), aborted);
        gate_changed(g);
    }
}

void gate_first_byte(struct gate *g, struct gate_ticket *t, bool good)
{
    if (schedule_first_byte(&t->job, good, loop_now(g->loop))) {
        gate_changed(g);
    }
}

void gate_interactive_began(struct gate *g, struct schedule_interactive *f)
{
    schedule_interactive_began(g->schedule, f, loop_now(g->loop));
    preempt_for(g, f->to);
    gate_changed(g);
}

void gate_interactive_ended(struct gate *g, struct schedule_interactive *f, bool goes_on)
{
    schedule_interactive_ended(g->schedule, f, loop_now(g->loop), goes_on);
    gate_changed(g);
}
