/* loop_turn.c: the turns of the loop.
 *
 * A turn: look at what is ready (one epoll_wait), call some of it, do the deferred work. Whatever
 * becomes ready meanwhile is seen at the next look, so a turn is bounded: by the number of its calls
 * and by their time. What was ready and not called stays in its lane, and the next look does not
 * wait. The bounds are those of the calls; one that takes longer, and the deferred work, come on top.
 *
 * The lanes are served in turn, each with a share of calls in a row, and go on in the next turn where
 * they were left. So what is urgent is behind few others however many of these are ready, and no
 * lane waits for ever however much of another is ready. Within a lane the first comes first.
 * (Rejected: the priorities of libevent, of which the lower waits as long as anything of the higher
 * is ready, and event_config_set_max_dispatch_interval(), which looks again from inside one
 * event_base_loop(): no deferred work between, and what is urgent is the last of the queue.)
 *
 * One clock for a turn: loop_now() is read with the first that is ready. The length of a turn, for
 * which another connection may have waited, is measured from there to a second reading at its end.
 * The thread's CPU time is a system call: it is read at the end of a turn, at most once each
 * CPU_EVERY, so always after a longer turn. The CPU that a turn took is then at most what was taken
 * since the reading before.
 */
#include "base/loop_priv.h"

#include "lull/base/log.h"

#include <time.h>

enum { CALLS_OF_A_TURN = 64 };
static const usec_t TIME_OF_CALLS = USEC_PER_MS / 2;
static const usec_t CPU_EVERY = USEC_PER_MS / 2;

/* Calls in a row, while others wait. */
static const unsigned SHARES[LANES] = {
    [LANE_URGENT] = 4, [LANE_TIMER] = 1, [LANE_WATCH] = 1, [LANE_LATER] = 1};

void turn_init(struct loop *loop)
{
    for (size_t i = 0; i < LANE_LATER; i++) {
        list_init(&loop->lanes[i]);
    }
    loop->lane = LANE_URGENT;
    loop->share = SHARES[LANE_URGENT];
}

/* ---- clocks ---- */

static int64_t read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void turn_read_clocks(struct loop *loop)
{
    loop->now.us = read_clock(CLOCK_MONOTONIC);
    loop->wall.us = read_clock(CLOCK_REALTIME);
    loop->clock_read = true;
}

mono_t loop_now(const struct loop *loop)
{
    return loop->now;
}

wall_t loop_wall(const struct loop *loop)
{
    return loop->wall;
}

const struct turns *loop_turns(const struct loop *loop)
{
    return &loop->turns;
}

/* The CPU that was taken since the reading before. */
static usec_t read_cpu(struct loop *loop, mono_t now)
{
    usec_t before = loop->cpu;
    loop->cpu = read_clock(CLOCK_THREAD_CPUTIME_ID);
    loop->cpu_read = now;
    return loop->cpu - before;
}

/* A turn without a callback took no time. */
static void end_turn(struct loop *loop)
{
    if (!loop->clock_read) {
        return;
    }
    mono_t now = {read_clock(CLOCK_MONOTONIC)};
    usec_t took = mono_diff(now, loop->now), cpu = took;
    if (mono_diff(now, loop->cpu_read) >= CPU_EVERY) {
        usec_t most = read_cpu(loop, now);
        cpu = most < took ? most : took;
    }
    turns_add(&loop->turns, loop->now, now, cpu);
    loop->clock_read = false;
}

/* ---- queues of work: doubly linked, since thousands of connections that close in one turn cancel
 * theirs ---- */

static void queue_add(struct work_queue *q, struct loop_deferred *work)
{
    work->waiting = true;
    work->next = NULL;
    work->prev = q->last;
    *(q->last == NULL ? &q->first : &q->last->next) = work;
    q->last = work;
}

static void queue_remove(struct work_queue *q, struct loop_deferred *work)
{
    *(work->prev == NULL ? &q->first : &work->prev->next) = work->next;
    *(work->next == NULL ? &q->last : &work->next->prev) = work->prev;
    work->waiting = false;
}

void loop_defer(struct loop *loop, struct loop_deferred *work)
{
    if (!work->waiting) {
        work->later = false;
        queue_add(&loop->deferred, work);
    }
}

void loop_later(struct loop *loop, struct loop_deferred *work)
{
    if (!work->waiting) {
        work->later = true;
        work->put_off = loop->looks;
        queue_add(&loop->later, work);
    }
}

/* Of the work that was put off, what was so since the last look waits for the next. */
static void note_later(struct loop *loop)
{
    const struct loop_deferred *work = loop->later.first;
    bool waits = work != NULL && work->put_off != loop->looks;
    loop->waiting = (loop->waiting & ~(1U << LANE_LATER)) | (waits ? 1U << LANE_LATER : 0);
}

void loop_defer_cancel(struct loop *loop, struct loop_deferred *work)
{
    if (work->waiting) {
        queue_remove(work->later ? &loop->later : &loop->deferred, work);
        note_later(loop);
    }
}

/* All of it, without a bound of its own: a call defers a few pieces at most, 64 calls are a turn, and each
 * piece is short. What may take longer, or is for thousands at once, is put off instead: requests
 * behind a reply, answers that many wait for, calls that begin. What defers itself again counts how
 * often: libcurl's timer 16 times, the gate 8 starts. */
static void run_deferred(struct loop *loop)
{
    while (loop->deferred.first != NULL) {
        struct loop_deferred *work = loop->deferred.first;
        queue_remove(&loop->deferred, work);
        work->fn(work->ctx);
    }
}

/* ---- what is ready ---- */

void turn_unready(struct source *source)
{
    struct loop *loop = source->loop;
    if (source->is_ready) {
        source->is_ready = false;
        list_remove(&source->ready);
        if (list_empty(&loop->lanes[source->lane])) {
            loop->waiting &= ~(1U << source->lane);
        }
    }
}

/* The lane that is served next; one has something to be called. */
static unsigned next_lane(struct loop *loop)
{
    while (loop->share == 0 || (loop->waiting & (1U << loop->lane)) == 0) {
        loop->lane = (loop->lane + 1) % LANES;
        loop->share = SHARES[loop->lane];
    }
    /* alone it needs no share */
    loop->share -= loop->waiting != 1U << loop->lane ? 1 : 0;
    return loop->lane;
}

static void call_next(struct loop *loop)
{
    unsigned lane = next_lane(loop);
    if (lane == LANE_LATER) {
        struct loop_deferred *work = loop->later.first;
        loop_defer_cancel(loop, work);
        work->fn(work->ctx);
        return;
    }
    struct list *first = loop->lanes[lane].next;
    struct source *source = list_item(first, struct source, ready);
    list_remove(first);
    source->is_ready = false;
    loop->waiting ^= list_empty(&loop->lanes[lane]) ? 1U << lane : 0;
    source->call(source);
}

/* A look at thousands that are ready takes long itself, and sees again each that was not called: the
 * calls of a turn then have as much time as the look took. */
static void call_ready(struct loop *loop)
{
    int64_t began = loop->now.us;
    usec_t most = TIME_OF_CALLS;
    if (loop->seen > CALLS_OF_A_TURN) {
        began = read_clock(CLOCK_MONOTONIC);
        usec_t looked = began - loop->now.us;
        most = looked > most ? looked : most;
    }
    for (int calls = 0; calls < CALLS_OF_A_TURN && loop->waiting != 0 && !loop->stop; calls++) {
        if (calls > 0 && read_clock(CLOCK_MONOTONIC) - began >= most) {
            return;
        }
        call_next(loop);
    }
}

void loop_run(struct loop *loop)
{
    loop->stop = false;
    run_deferred(loop); /* of what was done before */
    (void)read_cpu(loop, (mono_t){read_clock(CLOCK_MONOTONIC)});
    loop->clock_read = false;
    while (!loop->stop) {
        if (!events_look(loop, loop->waiting != 0 || loop->later.first != NULL)) {
            log_error("loop", "the event loop failed");
            break;
        }
        loop->looks++;
        if (loop->later.first != NULL) {
            note_later(loop);
        }
        if (loop->waiting != 0) {
            turn_begin(loop);
            call_ready(loop);
        }
        run_deferred(loop);
        events_tidy(loop);
        end_turn(loop);
    }
    run_deferred(loop);
    events_tidy(loop);
}

void loop_stop(struct loop *loop)
{
    loop->stop = true;
}
