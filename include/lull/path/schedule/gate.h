/* gate.h: runs a schedule. Jobs wait at the gate and are started in the order of the schedule; they
 * are preempted when something begins that a person waits for. The gate owns the timer and the
 * deferred work of the loop that this takes.
 */
#ifndef LULL_PATH_SCHEDULE_GATE_H
#define LULL_PATH_SCHEDULE_GATE_H

#include "lull/base/loop.h"
#include "lull/path/schedule/schedule.h"

struct gate;

/* What waits for a place upstream: the caller's, zeroed at first, then job's plain values and the
 * two functions filled in. */
struct gate_ticket {
    struct schedule_job job;
    void (*start)(void *ctx); /* it may start now: from the loop, never from inside gate_wait() */
    /* It is preempted: aborts its call. true: it is to be queued again; false: it has ended. */
    bool (*preempt)(void *ctx);
    void *ctx;
};

/* Borrowed parts must outlive the gate. Never NULL. */
struct gate *gate_create(struct loop *loop, struct schedule *schedule);
void gate_destroy(struct gate *g); /* no ticket may wait or run; NULL is fine */

/* Queues an idle ticket. */
void gate_wait(struct gate *g, struct gate_ticket *t);
/* schedule_requeue_throttled() for a running ticket. */
bool gate_requeue_throttled(struct gate *g, struct gate_ticket *t);
/* It waits or runs no more. aborted: its call was cut off. Does nothing to an idle one. */
void gate_end(struct gate *g, struct gate_ticket *t, bool aborted);

/* The first byte for a running ticket has come; good: of an answer. It may be preempted at the end
 * of the loop iteration. */
void gate_first_byte(struct gate *g, struct gate_ticket *t, bool good);

/* A chat or its like begins or ends; what runs in its way is preempted before this returns. */
void gate_interactive_began(struct gate *g, struct schedule_interactive *f);
void gate_interactive_ended(struct gate *g, struct schedule_interactive *f, bool goes_on);
/* Called after every change, for what is done in idle time; one at most. */
void gate_watch(struct gate *g, void (*fn)(void *ctx), void *ctx);
/* What the schedule knows has changed. */
void gate_changed(struct gate *g);

#endif
