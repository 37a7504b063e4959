/* loop.c: the loop on libevent's event_base.
 *
 * One clock per turn: loop_now() is read when the first callback of a turn runs, and forgotten when
 * libevent goes back to wait. A turn is one event_base_loop(EVLOOP_ONCE); its deferred work runs at
 * its end. Its length, which is what another connection may have waited for, is measured from that
 * reading to a second one at its end. The thread's CPU time is a system call: it is read at the end of
 * a turn, at most once each CPU_EVERY, so always after a longer turn. The CPU that a turn took is then
 * at most what was taken since the reading before.
 *
 * libevent may still deliver an event that was active when another callback deleted it in the same
 * turn, and freeing it then would be a use after free. So objects are only marked dead and
 * unlinked from libevent when they are destroyed; their memory is given back at the end of the
 * turn.
 *
 * The kernel can refuse to watch a descriptor (ENOMEM, ENOSPC: fs.epoll.max_user_watches), and
 * libevent can have no memory for an event. A source that was refused is tried again after each
 * turn; until all are taken the loop does not wait for longer than RETRY_MS. A connection that is
 * not watched would hang, and so would a listener, for ever.
 *
 * Each waker is a non-blocking pipe: one byte wakes, all bytes are read at once. (eventfd would
 * save a descriptor, and is Linux only.)
 */
#include "lull/base/loop.h"

#include "lull/base/list.h"
#include "lull/base/log.h"
#include "lull/base/os.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { RETRY_MS = 5 };
static const usec_t CPU_EVERY = USEC_PER_MS / 2;
static const usec_t WARN_EVERY = 10 * USEC_PER_S;

/* The head of everything that libevent calls back. */
struct source {
    struct loop *loop;
    struct event *event;
    bool dead;
    struct source *next_dead;
    struct list refused; /* in loop->refused while `is_refused` */
    bool is_refused;
    struct timeval delay; /* of a timer that was refused */
};

struct loop {
    struct event_base *base;
    bool stop;
    bool clock_read;
    mono_t now;
    wall_t wall;
    struct loop_deferred *first, *last;
    struct source *dead;
    struct list refused; /* sources to be added once more */
    mono_t warned;
    struct turns turns;
    mono_t cpu_read; /* when the thread's CPU time was read last ... */
    usec_t cpu;      /* ... and what it was */
};

struct loop_timer {
    struct source source;
    loop_fn fn;
    void *ctx;
    bool running;
    mono_t due;
};

struct loop_watch {
    struct source source;
    loop_watch_fn fn;
    void *ctx;
    int fd;
    int events;
};

struct loop_signal {
    struct source source;
    loop_fn fn;
    void *ctx;
};

struct loop_waker {
    struct source source;
    loop_fn fn;
    void *ctx;
    int pipe[2];
};

static int64_t read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void read_clocks(struct loop *loop)
{
    loop->now.us = read_clock(CLOCK_MONOTONIC);
    loop->wall.us = read_clock(CLOCK_REALTIME);
    loop->clock_read = true;
}

/* Its warnings come with every attempt to add a source; source_add() says the same once. */
static void from_libevent(int severity, const char *message)
{
    log_line(severity >= EVENT_LOG_ERR ? LOG_LEVEL_ERROR : LOG_LEVEL_DEBUG, "libevent", "%s",
             message);
}

struct loop *loop_create(void)
{
    struct loop *loop = mem_new(sizeof *loop);
    event_set_log_callback(from_libevent);
    struct event_config *config = mem_have(event_config_new());
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    loop->base = mem_have(event_base_new_with_config(config));
    event_config_free(config);
    list_init(&loop->refused);
    read_clocks(loop);
    return loop;
}

static void free_dead(struct loop *loop)
{
    while (loop->dead != NULL) {
        struct source *source = loop->dead;
        loop->dead = source->next_dead;
        event_free(source->event);
        free(source);
    }
}

/* ---- sources that were refused ---- */

/* delay: of a timer; NULL otherwise. */
static void source_add(struct source *source, const struct timeval *delay)
{
    struct loop *loop = source->loop;
    if (event_add(source->event, delay) == 0) {
        return;
    }
    source->delay = delay == NULL ? (struct timeval){0} : *delay;
    if (!source->is_refused) {
        source->is_refused = true;
        list_append(&loop->refused, &source->refused);
    }
    if (loop->warned.us == 0 || mono_diff(loop->now, loop->warned) >= WARN_EVERY) {
        loop->warned = loop->now;
        log_warn("loop", "the system refuses to watch a descriptor or a timer: trying again");
    }
}

static void source_del(struct source *source)
{
    event_del(source->event);
    if (source->is_refused) {
        source->is_refused = false;
        list_remove(&source->refused);
    }
}

/* Each one once: those that are refused again wait for the next turn. */
static void retry_refused(struct loop *loop)
{
    struct list again;
    list_init(&again);
    while (!list_empty(&loop->refused)) {
        struct source *source = list_item(loop->refused.next, struct source, refused);
        bool timer = event_get_fd(source->event) < 0;
        list_remove(&source->refused);
        if (event_add(source->event, timer ? &source->delay : NULL) == 0) {
            source->is_refused = false;
        } else {
            list_append(&again, &source->refused);
        }
    }
    while (!list_empty(&again)) {
        struct list *node = again.next;
        list_remove(node);
        list_append(&loop->refused, node);
    }
}

static void kill_source(struct source *source)
{
    source_del(source);
    source->dead = true;
    source->next_dead = source->loop->dead;
    source->loop->dead = source;
}

void loop_destroy(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    free_dead(loop);
    event_base_free(loop->base);
    free(loop);
}

static void run_deferred(struct loop *loop)
{
    while (loop->first != NULL) {
        struct loop_deferred *work = loop->first;
        loop_defer_cancel(loop, work);
        work->fn(work->ctx);
    }
}

/* Needs no memory, unlike a timer. */
static void pause_for_memory(void)
{
    struct timespec t = {.tv_nsec = RETRY_MS * 1000000L};
    nanosleep(&t, NULL);
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

void loop_run(struct loop *loop)
{
    loop->stop = false;
    run_deferred(loop); /* of what was done before */
    (void)read_cpu(loop, (mono_t){read_clock(CLOCK_MONOTONIC)});
    loop->clock_read = false;
    while (!loop->stop) {
        int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY;
        if (!list_empty(&loop->refused)) {
            pause_for_memory();
            flags = EVLOOP_NONBLOCK | EVLOOP_NO_EXIT_ON_EMPTY;
        }
        if (event_base_loop(loop->base, flags) < 0) {
            log_error("loop", "the event loop failed");
            break;
        }
        run_deferred(loop);
        free_dead(loop);
        retry_refused(loop);
        end_turn(loop);
    }
    run_deferred(loop);
    free_dead(loop);
}

void loop_stop(struct loop *loop)
{
    loop->stop = true;
    event_base_loopbreak(loop->base);
}

/* The first callback of a turn reads the clock. */
static void begin_turn(struct loop *loop)
{
    if (!loop->clock_read) {
        read_clocks(loop);
    }
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

/* ---- timers ---- */

static void timer_add(struct loop_timer *timer, usec_t us)
{
    struct timeval tv = {.tv_sec = (time_t)(us / USEC_PER_S),
                         .tv_usec = (suseconds_t)(us % USEC_PER_S)};
    source_add(&timer->source, &tv);
}

/* libevent's clock is as coarse as the system's tick: what it calls early waits for the rest. */
static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct loop_timer *timer = arg;
    (void)fd;
    (void)what;
    if (timer->source.dead || !timer->running) {
        return;
    }
    begin_turn(timer->source.loop);
    usec_t early = mono_diff(timer->due, timer->source.loop->now);
    if (early > 0) {
        timer_add(timer, early);
        return;
    }
    timer->running = false;
    timer->fn(timer->ctx);
}

static void source_init(struct source *source, struct loop *loop, struct event *event)
{
    source->loop = loop;
    source->event = mem_have(event);
}

struct loop_timer *loop_timer_create(struct loop *loop, loop_fn fn, void *ctx)
{
    struct loop_timer *timer = mem_new(sizeof *timer);
    timer->fn = fn;
    timer->ctx = ctx;
    source_init(&timer->source, loop, event_new(loop->base, -1, 0, on_timer, timer));
    return timer;
}

void loop_timer_destroy(struct loop_timer *timer)
{
    if (timer != NULL) {
        timer->running = false;
        kill_source(&timer->source);
    }
}

void loop_timer_start(struct loop_timer *timer, usec_t delay)
{
    usec_t us = delay > 0 ? delay : 0;
    timer->running = true;
    timer->due.us = timer->source.loop->now.us + us;
    timer_add(timer, us);
}

void loop_timer_stop(struct loop_timer *timer)
{
    if (timer->running) {
        timer->running = false;
        source_del(&timer->source);
    }
}

bool loop_timer_running(const struct loop_timer *timer)
{
    return timer->running;
}

/* ---- descriptors ---- */

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
    struct loop_watch *watch = arg;
    (void)fd;
    int events =
        ((what & EV_READ) != 0 ? LOOP_READ : 0) | ((what & EV_WRITE) != 0 ? LOOP_WRITE : 0);
    events &= watch->events;
    if (!watch->source.dead && events != 0) {
        begin_turn(watch->source.loop);
        watch->fn(watch->ctx, events);
    }
}

struct loop_watch *loop_watch_create(struct loop *loop, int fd, loop_watch_fn fn, void *ctx)
{
    struct loop_watch *watch = mem_new(sizeof *watch);
    watch->fn = fn;
    watch->ctx = ctx;
    watch->fd = fd;
    source_init(&watch->source, loop, event_new(loop->base, fd, EV_PERSIST, on_watch, watch));
    return watch;
}

void loop_watch_destroy(struct loop_watch *watch)
{
    if (watch != NULL) {
        watch->events = 0;
        kill_source(&watch->source);
    }
}

void loop_watch_set(struct loop_watch *watch, int events)
{
    if (watch->events == events) {
        return;
    }
    short bits = EV_PERSIST;
    bits = (short)(bits | ((events & LOOP_READ) != 0 ? EV_READ : 0));
    bits = (short)(bits | ((events & LOOP_WRITE) != 0 ? EV_WRITE : 0));
    if (watch->events != 0) {
        source_del(&watch->source);
    }
    watch->events = events;
    if (events != 0) {
        event_assign(watch->source.event, watch->source.loop->base, watch->fd, bits, on_watch,
                     watch);
        source_add(&watch->source, NULL);
    }
}

/* ---- signals ---- */

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
    struct loop_signal *sig = arg;
    (void)signo;
    (void)what;
    if (!sig->source.dead) {
        begin_turn(sig->source.loop);
        sig->fn(sig->ctx);
    }
}

struct loop_signal *loop_signal_create(struct loop *loop, int signo, loop_fn fn, void *ctx)
{
    struct loop_signal *sig = mem_new(sizeof *sig);
    sig->fn = fn;
    sig->ctx = ctx;
    source_init(&sig->source, loop,
                event_new(loop->base, signo, EV_SIGNAL | EV_PERSIST, on_signal, sig));
    source_add(&sig->source, NULL);
    return sig;
}

void loop_signal_destroy(struct loop_signal *sig)
{
    if (sig != NULL) {
        kill_source(&sig->source);
    }
}

/* ---- deferred work ---- */

void loop_defer(struct loop *loop, struct loop_deferred *work)
{
    if (work->waiting) {
        return;
    }
    work->waiting = true;
    work->next = NULL;
    work->prev = loop->last;
    *(loop->last == NULL ? &loop->first : &loop->last->next) = work;
    loop->last = work;
}

/* The queue is doubly linked: thousands of connections that close in one turn cancel their work. */
void loop_defer_cancel(struct loop *loop, struct loop_deferred *work)
{
    if (!work->waiting) {
        return;
    }
    *(work->prev == NULL ? &loop->first : &work->prev->next) = work->next;
    *(work->next == NULL ? &loop->last : &work->next->prev) = work->prev;
    work->waiting = false;
}

/* ---- wakers ---- */

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct loop_waker *waker = arg;
    char bytes[64];
    (void)what;
    if (waker->source.dead) {
        return;
    }
    while (read((int)fd, bytes, sizeof bytes) > 0) {
    }
    begin_turn(waker->source.loop);
    waker->fn(waker->ctx);
}

struct loop_waker *loop_waker_create(struct loop *loop, loop_fn fn, void *ctx)
{
    struct loop_waker *waker = mem_new(sizeof *waker);
    waker->fn = fn;
    waker->ctx = ctx;
    int made = pipe(waker->pipe);
    require(made == 0);
    require_ok(os_set_nonblocking(waker->pipe[0]));
    require_ok(os_set_nonblocking(waker->pipe[1]));
    source_init(&waker->source, loop,
                event_new(loop->base, waker->pipe[0], EV_READ | EV_PERSIST, on_wake, waker));
    source_add(&waker->source, NULL);
    return waker;
}

void loop_waker_destroy(struct loop_waker *waker)
{
    if (waker != NULL) {
        kill_source(&waker->source);
        close(waker->pipe[0]);
        close(waker->pipe[1]);
    }
}

void loop_wake(struct loop_waker *waker)
{
    while (write(waker->pipe[1], "", 1) < 0 && errno == EINTR) {
    } /* a full pipe has woken it already */
}
