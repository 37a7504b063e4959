/* moves_order.c: what must hold of the order in time at each moment: the schedule's counts are those of its
 * lists, a flight's state fits its job, its call and its timers, each call has someone who waits for it,
 * no wait is longer than it may be, and what may start has started.
 */
#include "scenario/moves_priv.h"

#include "path/flight/flight_priv.h"
#include "path/schedule/schedule_priv.h"

#include "lull/path/exchange/exchange.h"

#include <string.h>

static size_t length(const struct list *l)
{
    size_t n = 0;
    list_each(node, l)
    {
        n++;
    }
    return n;
}

/* ---- the schedule ---- */

static bool is_interactive(const struct schedule_job *j)
{
    return j->policy->cls == KIND_CLASS_FOREGROUND && job_is_counted(j);
}

/* The loop has nothing left to do now: none may start, and none has waited for longer than it may. */
static void check_waiting(struct schedule *s, struct schedule_job *j, mono_t now)
{
    mono_t until;
    require(j->state == SCHEDULE_WAITING);
    require(decide(s, j, now, &until) != SCHEDULE_FREE);
    require(until.us == 0 || until.us > now.us);
    bool bounded = j->policy->cls == KIND_CLASS_BACKGROUND && !j->swapping;
    bool throttled = j->why == SCHEDULE_THROTTLED;
    require(!bounded || throttled || !hold_is_over(j, now) || must_renew_hold(j));
    require(j->held <= j->waited && j->waited <= mono_diff(now, j->born));
    require((int64_t)j->requeued <= j->policy->max_requeue);
    struct schedule_job copy = *j;
    set_hold(s, &copy); /* by what its turn has waited by now */
    require(copy.hold_ends.us == j->hold_ends.us);
}

/* A person waits on the machine: what runs there yields no more, loads that person's model, or is over
 * sooner than it would notice an abort. */
static void check_running(const struct schedule_job *j, mono_t now)
{
    bool open = j->row->machine->chats + j->row->machine->foreground > 0;
    bool when_full = j->policy->yield == YIELD_WHEN_FULL || j->to->slots > 4;
    require(j->state == SCHEDULE_RUNNING);
    /* where no one waits any more, nothing looks at it when its time is over */
    require(!open || j->left_until.us == 0 || j->left_until.us > now.us);
    require(!open || when_full || !must_preempt(j, now) || j->spared || j->left_until.us != 0);
}

static void check_row(struct schedule *s, const struct schedule_upstream *row, mono_t now)
{
    size_t foreground = 0, chats = 0, queued = 0;
    list_each(node, &row->waiting)
    {
        struct schedule_job *j = list_item(node, struct schedule_job, node);
        require(j->row == row);
        check_waiting(s, j, now);
        queued += !j->forced && j->policy->queue > 0 && j->policy->cls != KIND_CLASS_COMPLETION;
    }
    list_each(node, &row->running)
    {
        const struct schedule_job *j = list_item(node, struct schedule_job, node);
        require(j->row == row);
        check_running(j, now);
        foreground += is_interactive(j) ? 1 : 0;
    }
    list_each(node, &row->machine->interactive)
    {
        chats += list_item(node, struct schedule_interactive, node)->row == row ? 1 : 0;
    }
    require(row->waiting_count == queued);
    require(row->running_count + foreground == length(&row->running));
    require(row->interactive_count == chats + foreground);
}

static void check_machine(const struct schedule *s, const struct machine *m)
{
    size_t interactive = 0, waiting = 0;
    for (const struct schedule_upstream *row = s->upstreams; row != NULL; row = row->next) {
        interactive += row->machine == m ? row->interactive_count : 0;
        waiting += row->machine == m ? length(&row->waiting) : 0;
    }
    require(m->chats + m->foreground == interactive);
    require(m->chats <= length(&m->interactive));
    size_t places = 0;
    for (const struct schedule_upstream *row = s->upstreams; row != NULL; row = row->next) {
        if (row->machine != m) {
            continue;
        }
        list_each(node, &row->waiting)
        {
            size_t at = schedule_position(s, list_item(node, struct schedule_job, node));
            require(at >= 1 && at <= waiting);
            places += at;
        }
    }
    require(places == waiting * (waiting + 1) / 2); /* each place once */
}

/* ---- flights ---- */

/* What follows a call stays with it where that goes on at the fallback. */
static bool leads(const struct flight *f)
{
    return f->state == FLIGHT_STATE_CALLING || f->fell_back;
}

static void check_state(const struct flight *f)
{
    enum schedule_state job = f->ticket.job.state;
    bool waits_for_probe = f->probe.node.next != NULL && !list_empty(&f->probe.node);
    switch (f->state) {
    case FLIGHT_STATE_HELD:
        require(job == SCHEDULE_IDLE && f->call == NULL && loop_timer_running(f->timer));
        break;
    case FLIGHT_STATE_FOLLOWING:
        require(job == SCHEDULE_IDLE && f->call == NULL);
        require(leads(f->leader));
        break;
    case FLIGHT_STATE_QUEUED:
        require(job == SCHEDULE_WAITING && f->call == NULL);
        require(!flight_is_completion(f) || loop_timer_running(f->timer));
        break;
    case FLIGHT_STATE_CALLING:
        require(job == SCHEDULE_RUNNING);
        require(f->call != NULL ? model_open(f->call) && loop_timer_running(f->timer)
                                : waits_for_probe);
        break;
    case FLIGHT_STATE_ENDING:
    case FLIGHT_STATES:
        require(job == SCHEDULE_IDLE && f->call == NULL);
        break;
    }
    require(!waits_for_probe || f->state == FLIGHT_STATE_CALLING);
}

/* A request waits for it, or it goes on for the cache or a load for a time. */
static void check_wanted(const struct flight *f, mono_t now)
{
    bool detached = f->detached && (f->for_load || loop_timer_running(f->deadline));
    require(!list_empty(&f->waiters) || !list_empty(&f->followers) || detached);
    bool bounded = flight_is_completion(f) && flight_policy(f)->deadline != 0;
    require(!bounded || list_empty(&f->waiters) || loop_timer_running(f->deadline));
    require(!f->detached || (f->call != NULL && flight_is_completion(f)));
    require(!f->for_load || f->detached);
    require(list_empty(&f->followers) || leads(f));
    require(f->state == FLIGHT_STATE_CALLING || f->held_from.us != 0 ||
            f->state == FLIGHT_STATE_FOLLOWING);
    require(f->call == NULL || f->held_from.us == 0);
    require(f->begun.us <= now.us);
    list_each(node, &f->waiters)
    {
        require(list_item(node, struct flight_waiter, node)->flight == f);
    }
}

/* Calls that are open at an upstream are those that count as running there. */
static void check_calls(struct game *g)
{
    const struct figures *figures = world_figures(g->world);
    for (size_t i = 0; i < figures->upstream_count; i++) {
        int64_t open = 0;
        for (size_t k = 0; k < model_calls(g->world); k++) {
            struct upstream_call *call = model_call(g->world, k);
            open +=
                model_open(call) && strcmp(model_upstream(call), figures->upstreams[i]->name) == 0;
        }
        require(figures->upstreams[i]->running == open);
    }
}

void order_check(struct game *g)
{
    struct schedule *s = world_schedule(g->world);
    struct flight_table *t = engine_flights(world_engine(g->world));
    mono_t now = loop_now(world_loop(g->world));
    size_t detached = 0, flights = 0;
    daemon_enter();
    world_pass(g->world, 0);
    daemon_leave();
    for (const struct schedule_upstream *row = s->upstreams; row != NULL; row = row->next) {
        check_row(s, row, now);
    }
    for (const struct machine *m = s->machines; m != NULL; m = m->next) {
        check_machine(s, m);
    }
    list_each(node, &t->all)
    {
        const struct flight *f = list_item(node, struct flight, all);
        flights++;
        check_state(f);
        detached += f->detached ? 1 : 0;
        if (f->state != FLIGHT_STATE_ENDING) {
            check_wanted(f, now);
        }
    }
    require(flights == t->count && detached == t->detached_count);
    check_calls(g);
}

void order_check_end(struct game *g)
{
    const struct schedule *s = world_schedule(g->world);
    for (const struct schedule_upstream *row = s->upstreams; row != NULL; row = row->next) {
        list_each(node, &row->waiting)
        { /* a comparison waits for an hour where a server wants that */
            require(list_item(node, struct schedule_job, node)->policy->queue == 0);
        }
        require(list_empty(&row->running) && row->running_count == 0);
        require(row->waiting_count == 0 && row->interactive_count == 0);
    }
    for (const struct machine *m = s->machines; m != NULL; m = m->next) {
        require(m->chats + m->foreground == 0 && list_empty(&m->interactive));
    }
}
