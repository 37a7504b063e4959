/* schedule.c: jobs: they wait, start, are aborted, end. Interactive requests are in interactive.c,
 * the rules in decide.c, machines and upstreams in rows.c.
 *
 * Upstreams are known by their server's number and machines by name, so that what was learnt
 * survives a reload; their number is bounded by the configurations that were ever in force.
 * Waiting jobs are few (`queue` per upstream, and completions for max_hold), so the next one is
 * found by looking at all of them.
 *
 * Rejected: a queue sorted by priority with a pointer to its head. What may start depends on the
 * kind's own yield rule, the model and the turn, so the first in order is often not the first that
 * may go.
 */
#include "path/schedule/schedule_priv.h"

#include "lull/path/server/prefix.h"

/* A queue of 0 is that of jobs that no client waits for: a comparison's. */
static bool has_client(const struct schedule_job *j)
{
    return j->policy->queue > 0;
}

/* Whether it counts towards `queue`. */
static bool is_queued(const struct schedule_job *j)
{
    return !j->forced && has_client(j) && j->policy->cls != KIND_CLASS_COMPLETION;
}

/* The oldest waiting task stops waiting. */
static void make_room(struct schedule_upstream *row)
{
    struct schedule_job *oldest = NULL;
    list_each(node, &row->waiting)
    {
        struct schedule_job *j = list_item(node, struct schedule_job, node);
        if (is_queued(j) && (oldest == NULL || j->born.us < oldest->born.us)) {
            oldest = j;
        }
    }
    if (oldest != NULL) {
        oldest->forced = true;
        row->waiting_count--;
    }
}

static void enqueue(struct schedule *s, struct schedule_job *j, mono_t now)
{
    j->row = row_of(s, j->to);
    j->state = SCHEDULE_WAITING;
    j->since = now;
    list_init(&j->node);
    if (is_queued(j)) {
        if (j->row->waiting_count >= (size_t)j->policy->queue) {
            make_room(j->row);
        }
        j->row->waiting_count++;
    }
    list_append(&j->row->waiting, &j->node);
    set_hold(s, j);
}

/* For a display before the next schedule_next(). */
static void note_why(struct schedule *s, struct schedule_job *j, mono_t now)
{
    mono_t until;
    j->why = decide(s, j, now, &until);
}

void schedule_wait(struct schedule *s, struct schedule_job *j, mono_t now)
{
    require(j->state == SCHEDULE_IDLE);
    j->born = now;
    j->waited = 0;
    j->held = 0;
    j->renewed = 0;
    j->requeued = 0;
    j->forced = false;
    j->swapping = false;
    j->not_before = (mono_t){0};
    enqueue(s, j, now);
    if (j->beside_reply && !j->elsewhere && !chat_is_here(s, j)) {
        j->not_before = (mono_t){now.us + j->policy->first_turn_wait};
    }
    note_why(s, j, now);
}

/* A wait was added to a turn: the holds of its other jobs end sooner. They are set when they are looked at
 * next, once for all of the thousand that may leave the queue at once. */
static void note_spent(struct schedule *s, struct hash_key turn)
{
    if (key_is_zero(turn)) {
        return; /* each job of none has a hold of its own */
    }
    bool other = !key_is_zero(s->spent.turn) && !hash_key_eq(s->spent.turn, turn);
    s->spent.several = s->spent.several || other;
    s->spent.turn = turn;
}

void set_spent_holds(struct schedule *s)
{
    if (key_is_zero(s->spent.turn)) {
        return;
    }
    for (struct schedule_upstream *row = s->upstreams; row != NULL; row = row->next) {
        list_each(node, &row->waiting)
        {
            struct schedule_job *j = list_item(node, struct schedule_job, node);
            if (s->spent.several || hash_key_eq(j->turn, s->spent.turn)) {
                set_hold(s, j);
            }
        }
    }
    s->spent.turn = (struct hash_key){0};
    s->spent.several = false;
}

/* Counts what a job has waited since `since`, which is now then. What it waited for a swap of models
 * does not count towards its hold. */
static void count_wait(struct schedule *s, struct schedule_job *j, mono_t now)
{
    usec_t waited = mono_diff(now, j->since);
    j->since = now;
    j->waited += waited;
    j->held += j->swapping ? 0 : waited;
    if (!j->beside_reply && j->policy->cls == KIND_CLASS_BACKGROUND && !j->swapping) {
        turn_add(s, j->turn, waited, now);
        note_spent(s, j->turn);
    }
}

static void leave_queue(struct schedule *s, struct schedule_job *j, mono_t now)
{
    list_remove(&j->node);
    if (is_queued(j)) {
        j->row->waiting_count--;
    }
    count_wait(s, j, now);
}

static void start(struct schedule *s, struct schedule_job *j, mono_t now)
{
    bool over = hold_is_over(j, now);
    leave_queue(s, j, now);
    j->forced = j->forced || over; /* to give way again would gain nothing */
    j->why = SCHEDULE_FREE;
    j->state = SCHEDULE_RUNNING;
    j->answering = false;
    j->first_byte = false;
    j->spared = false;
    j->left_until = (mono_t){0};
    j->since = now;
    list_append(&j->row->running, &j->node);
    j->called = false;
    j->row->started++;
    if (j->policy->cls == KIND_CLASS_FOREGROUND && job_is_counted(j)) {
        j->row->machine->foreground++;
        j->row->interactive_count++;
        j->row->interactive_model = j->model;
    } else {
        j->row->running_count++;
    }
    if (!key_is_zero(j->model) && !leaves_now(j, now)) {
        j->row->resident = j->model;
    }
}

void schedule_called(struct schedule_job *j)
{
    if (j->state == SCHEDULE_RUNNING && !j->called) {
        j->called = true;
        j->row->displacing += j->keeps_cache ? 0 : 1;
    }
}

static bool is_behind_same(const struct schedule_job *a, const struct schedule_job *b)
{
    return a->behind && b->behind && a->prefix == b->prefix;
}

/* Of two jobs behind one conversation: an older turn goes first, so that the server goes back in it
 * once; of one turn the cheapest, where the costs are known. Of costs alike (0 where a server cannot
 * go back behind a task, so that only the first one finds the conversation cached) the older. 0:
 * something else decides. */
static int order_behind(const struct schedule_job *a, const struct schedule_job *b)
{
    bool alike = hash_key_eq(a->turn, b->turn);
    if (!is_behind_same(a, b) || (alike && (a->cost < 0 || b->cost < 0))) {
        return 0;
    }
    if (alike && a->cost != b->cost) {
        return a->cost < b->cost ? -1 : 1;
    }
    return a->born.us < b->born.us ? -1 : a->born.us > b->born.us ? 1 : 0;
}

/* Whether the server still has the conversation of a job, and another job would take it away. */
static bool is_held(const struct schedule_job *j)
{
    return j->behind && prefix_is_held(j->row->server, j->model, j->prefix);
}

/* Whether a goes before b: what a client waits for, then the resident model where there is only one, then
 * priority, then what finds its conversation in the server's cache, then age. */
static bool before(const struct schedule_job *a, const struct schedule_job *b)
{
    if (has_client(a) != has_client(b)) {
        return has_client(a);
    }
    bool swap_a = a->to->one_model && !hash_key_eq(a->model, a->row->resident);
    bool swap_b = b->to->one_model && !hash_key_eq(b->model, b->row->resident);
    if (swap_a != swap_b) {
        return swap_b;
    }
    int behind = order_behind(a, b);
    if (behind != 0) {
        return behind < 0;
    }
    if (a->policy->priority != b->policy->priority) {
        return a->policy->priority < b->policy->priority;
    }
    bool held_a = is_held(a);
    bool held_b = is_held(b);
    return held_a != held_b ? held_a : a->born.us < b->born.us;
}

size_t schedule_position(const struct schedule *s, const struct schedule_job *j)
{
    size_t position = 1;
    bool passed = false; /* of two alike, the one that schedule_next() sees first goes first */
    if (j->state != SCHEDULE_WAITING) {
        return 0;
    }
    for (struct schedule_upstream *row = s->upstreams; row != NULL; row = row->next) {
        if (row->machine != j->row->machine) {
            continue;
        }
        list_each(node, &row->waiting)
        {
            const struct schedule_job *other = list_item(node, struct schedule_job, node);
            passed = passed || other == j;
            position += before(other, j) || (!passed && !before(j, other)) ? 1 : 0;
        }
    }
    return position;
}

/* It begins to wait for a swap of models, or for something else again. */
static void note_swap(struct schedule *s, struct schedule_job *j, mono_t now)
{
    bool swapping = j->to->one_model && waits_for_model(j, now);
    if (swapping != j->swapping) {
        count_wait(s, j, now);
        j->swapping = swapping;
        set_hold(s, j);
    }
}

static void note_due(usec_t *soonest, mono_t at, mono_t now)
{
    usec_t left = mono_diff(at, now);
    if (at.us != 0 && left >= 0 && (*soonest < 0 || left < *soonest)) {
        *soonest = left;
    }
}

/* When one that was left to end has to give way: see schedule_overdue(). */
static void look_at_running(const struct schedule_upstream *row, mono_t now, usec_t *soonest)
{
    if (row->machine->chats + row->machine->foreground == 0) {
        return;
    }
    list_each(node, &row->running)
    {
        note_due(soonest, list_item(node, struct schedule_job, node)->left_until, now);
    }
}

/* Decides all that waits: the first that may start, and when that may change at the soonest, or a running
 * one has to give way. */
static struct schedule_job *decide_all(struct schedule *s, mono_t now, usec_t *soonest)
{
    struct schedule_job *best = NULL;
    *soonest = -1;
    set_spent_holds(s);
    for (struct schedule_upstream *row = s->upstreams; row != NULL; row = row->next) {
        look_at_running(row, now, soonest);
        list_each(node, &row->waiting)
        {
            struct schedule_job *j = list_item(node, struct schedule_job, node);
            mono_t until;
            note_swap(s, j, now);
            j->why = decide(s, j, now, &until);
            if (j->why == SCHEDULE_FREE) {
                best = best == NULL || before(j, best) ? j : best;
            } else {
                note_due(soonest, until, now);
            }
        }
    }
    return best;
}

struct schedule_job *schedule_next(struct schedule *s, mono_t now, usec_t *due)
{
    usec_t soonest = -1;
    struct schedule_job *best = decide_all(s, now, &soonest);
    if (best == NULL && !key_is_zero(s->spent.turn)) {
        best = decide_all(s, now, &soonest); /* a swap ended holds that were looked at before */
    }
    if (best != NULL) {
        start(s, best, now);
    } else if (due != NULL) {
        *due = soonest;
    }
    return best;
}

static void add_draining(struct schedule_upstream *row, mono_t now)
{
    size_t oldest = 0;
    row->aborted_at = now;
    for (size_t i = 1; i < SCHEDULE_DRAINING; i++) {
        oldest = row->draining[i].us < row->draining[oldest].us ? i : oldest;
    }
    usec_t cost = row->abort_cost < ABORT_COST_MAX ? row->abort_cost : ABORT_COST_MAX;
    row->draining[oldest] = (mono_t){now.us + (cost > 0 ? cost : 0)};
    row->drained.seen = (mono_t){0};
}

static void leave_slot(struct schedule *s, struct schedule_job *j, mono_t now, bool aborted)
{
    struct machine *m = j->row->machine;
    list_remove(&j->node);
    m->active = now;
    if (j->policy->cls == KIND_CLASS_FOREGROUND && job_is_counted(j)) {
        m->foreground--;
        j->row->interactive_count--;
        m->quiet_since = now;
        restart_first_turn_wait(s, &j->conversation, m, now);
    } else {
        j->row->running_count--;
    }
    if (aborted && j->called) {
        add_draining(j->row, now);
    }
}

void schedule_end(struct schedule *s, struct schedule_job *j, mono_t now, bool aborted)
{
    if (j->state == SCHEDULE_WAITING) {
        leave_queue(s, j, now);
    } else if (j->state == SCHEDULE_RUNNING) {
        leave_slot(s, j, now, aborted);
    }
    j->state = SCHEDULE_IDLE;
}

struct schedule_job *schedule_victim(struct schedule *s, const struct upstream_settings *to,
                                     mono_t now)
{
    const struct schedule_upstream *origin = row_of(s, to);
    const struct machine *m = origin->machine;
    for (struct schedule_upstream *row = s->upstreams; row != NULL; row = row->next) {
        if (row->machine != m || schedule_slots(s, to) == 0) {
            continue;
        }
        for (struct list *n = row->running.prev; n != &row->running; n = n->prev) {
            struct schedule_job *j = list_item(n, struct schedule_job, node);
            bool must = must_preempt(j, now);
            bool spared = must && loads_for(origin, j, now);
            j->spared = j->spared || spared;
            if (j->left_until.us == 0) {
                j->left_until = left_until(j, now);
            }
            if (must && !spared) {
                return j;
            }
        }
    }
    return NULL;
}

/* Whether it is to be looked at again, and no longer counts as spared, or left to end. */
static bool is_due(struct schedule_job *j, mono_t now)
{
    bool answers = j->spared && j->first_byte;
    bool late = j->left_until.us != 0 && j->left_until.us <= now.us;
    j->spared = j->spared && !answers;
    j->left_until = late ? (mono_t){0} : j->left_until;
    return answers || late;
}

struct schedule_job *schedule_overdue(struct schedule *s, mono_t now)
{
    for (struct schedule_upstream *row = s->upstreams; row != NULL; row = row->next) {
        list_each(node, &row->running)
        {
            struct schedule_job *j = list_item(node, struct schedule_job, node);
            if (!is_due(j, now) || row->machine->chats + row->machine->foreground == 0 ||
                !must_preempt(j, now)) {
                continue;
            }
            j->spared = loads_for(row, j, now);
            if (!j->spared) {
                return j;
            }
        }
    }
    return NULL;
}

bool schedule_requeue_throttled(struct schedule *s, struct schedule_job *j, mono_t now)
{
    require(j->state == SCHEDULE_RUNNING);
    if (!waits_for_throttle(s, j, now)) {
        return false;
    }
    leave_slot(s, j, now, false);
    enqueue(s, j, now);
    note_why(s, j, now);
    return true;
}

void schedule_requeue_preempted(struct schedule *s, struct schedule_job *j, mono_t now)
{
    require(j->state == SCHEDULE_RUNNING);
    leave_slot(s, j, now, true);
    list_each(node, &j->row->machine->interactive)
    {
        struct schedule_interactive *f = list_item(node, struct schedule_interactive, node);
        f->after_abort = f->after_abort || (j->called && f->began.us == now.us);
    }
    j->requeued++;
    enqueue(s, j, now);
    note_why(s, j, now);
}

usec_t schedule_waited(const struct schedule_job *j, mono_t now)
{
    return j->waited + (j->state == SCHEDULE_WAITING ? mono_diff(now, j->since) : 0);
}

enum schedule_why schedule_look(struct schedule *s, const struct schedule_job *j, mono_t now)
{
    mono_t until;
    struct schedule_job probe = *j;
    probe.state = SCHEDULE_WAITING; /* so that what its turn has spent counts */
    probe.row = row_of(s, j->to);
    probe.since = now;
    set_hold(s, &probe);
    probe.not_before = (mono_t){0};
    if (probe.beside_reply && !probe.elsewhere && !chat_is_here(s, &probe)) {
        probe.not_before = (mono_t){now.us + j->policy->first_turn_wait};
    }
    return decide(s, &probe, now, &until);
}
