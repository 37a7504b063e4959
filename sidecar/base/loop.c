/* loop.c: libevent's event_base behind base/loop.h: timers, descriptors, signals, wakers.
 *
 * libevent only collects: its callbacks put what is ready into the lane of the source, and the turn
 * calls it from there, outside of event_base_loop() (loop_turn.c). A descriptor that is ready and was
 * not called yet is reported again by each look: the source is in its lane once.
 *
 * What is destroyed makes no call any more, and its memory is given back at the end of the turn: it
 * may be destroyed from inside its own callback.
 *
 * The kernel can refuse to watch a descriptor (ENOMEM, ENOSPC: fs.epoll.max_user_watches), and
 * libevent can have no memory for an event. A source that was refused is tried again after each
 * turn; until all are taken the loop does not wait for longer than RETRY_MS. A connection that is
 * not watched would hang, and so would a listener, for ever.
 *
 * Each waker is a non-blocking pipe: one byte wakes, all bytes are read at once. (eventfd would
 * save a descriptor, and is Linux only.)
 */
#include "base/loop_priv.h"

#include "lull/base/log.h"
#include "lull/base/os.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { RETRY_MS = 5, SEEN_FIRST = 32, SEEN_MOST = 4096 };
static const usec_t WARN_EVERY = 10 * USEC_PER_S;

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
    int events, came; /* what is watched; of that, what is ready and was not called */
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
    loop->room = SEEN_FIRST;
    turn_init(loop);
    turn_read_clocks(loop);
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
    bool added = event_add(source->event, delay) == 0;
    if (added && source->is_refused) { /* a timer that is started again */
        source->is_refused = false;
        list_remove(&source->refused);
    }
    if (added) {
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

/* Those that are refused again wait for the next turn. */
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

void events_end_turn(struct loop *loop)
{
    free_dead(loop);
    retry_refused(loop);
}

static void kill_source(struct source *source)
{
    source_del(source);
    turn_unready(source);
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

/* Needs no memory, unlike a timer. */
static void pause_for_memory(void)
{
    struct timespec t = {.tv_nsec = RETRY_MS * 1000000L};
    nanosleep(&t, NULL);
}

/* What one look of libevent's can see begins with SEEN_FIRST descriptors, and is doubled where all
 * were ready. Until it is enough the look is repeated: the rest may be urgent. */
bool events_look(struct loop *loop, bool at_once)
{
    if (!list_empty(&loop->refused)) {
        pause_for_memory();
        at_once = true;
    }
    for (;;) {
        /* EVLOOP_NONBLOCK alone would look again and again, since nothing is read in between */
        int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY | (at_once ? EVLOOP_NONBLOCK : 0);
        loop->seen = 0;
        loop->signalled = false;
        if (event_base_loop(loop->base, flags) < 0) {
            return false;
        }
        if (loop->seen < loop->room || loop->room == SEEN_MOST) {
            return true;
        }
        loop->room *= 2;
        at_once = true;
    }
}

static void source_init(struct source *source, struct loop *loop, enum lane lane,
                        void (*call)(struct source *source), struct event *event)
{
    source->loop = loop;
    source->lane = lane;
    source->call = call;
    source->event = mem_have(event);
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
    turn_begin(timer->source.loop);
    usec_t early = mono_diff(timer->due, timer->source.loop->now);
    if (early > 0) {
        timer_add(timer, early);
        return;
    }
    turn_ready(&timer->source);
}

static void call_timer(struct source *source)
{
    struct loop_timer *timer = list_item(source, struct loop_timer, source);
    timer->running = false;
    timer->fn(timer->ctx);
}

struct loop_timer *loop_timer_create(struct loop *loop, loop_fn fn, void *ctx)
{
    struct loop_timer *timer = mem_new(sizeof *timer);
    timer->fn = fn;
    timer->ctx = ctx;
    source_init(&timer->source, loop, LANE_TIMER, call_timer,
                event_new(loop->base, -1, 0, on_timer, timer));
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
    turn_unready(&timer->source);
    timer_add(timer, us);
}

void loop_timer_stop(struct loop_timer *timer)
{
    if (timer->running) {
        timer->running = false;
        source_del(&timer->source);
        turn_unready(&timer->source);
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
    watch->source.loop->seen++;
    watch->came |= (what & EV_READ) != 0 ? LOOP_READ : 0;
    watch->came |= (what & EV_WRITE) != 0 ? LOOP_WRITE : 0;
    turn_ready(&watch->source);
}

static void call_watch(struct source *source)
{
    struct loop_watch *watch = list_item(source, struct loop_watch, source);
    int events = watch->came & watch->events;
    watch->came = 0;
    if (events != 0) {
        watch->fn(watch->ctx, events);
    }
}

struct loop_watch *loop_watch_create(struct loop *loop, int fd, loop_watch_fn fn, void *ctx)
{
    struct loop_watch *watch = mem_new(sizeof *watch);
    watch->fn = fn;
    watch->ctx = ctx;
    watch->fd = fd;
    source_init(&watch->source, loop, LANE_WATCH, call_watch,
                event_new(loop->base, fd, EV_PERSIST, on_watch, watch));
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

void loop_watch_set_urgent(struct loop_watch *watch, bool urgent)
{
    enum lane lane = urgent ? LANE_URGENT : LANE_WATCH;
    if (watch->source.lane != lane) {
        turn_unready(&watch->source);
        watch->source.lane = lane;
        if (watch->came != 0) {
            turn_ready(&watch->source);
        }
    }
}

/* ---- signals ---- */

/* libevent sees all signals by one descriptor of its own. */
static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    struct source *source = arg;
    (void)fd;
    (void)what;
    source->loop->seen += source->loop->signalled ? 0 : 1;
    source->loop->signalled = true;
    turn_ready(source);
}

static void call_signal(struct source *source)
{
    struct loop_signal *sig = list_item(source, struct loop_signal, source);
    sig->fn(sig->ctx);
}

struct loop_signal *loop_signal_create(struct loop *loop, int signo, loop_fn fn, void *ctx)
{
    struct loop_signal *sig = mem_new(sizeof *sig);
    sig->fn = fn;
    sig->ctx = ctx;
    source_init(&sig->source, loop, LANE_TIMER, call_signal,
                event_new(loop->base, signo, EV_SIGNAL | EV_PERSIST, on_signal, &sig->source));
    source_add(&sig->source, NULL);
    return sig;
}

void loop_signal_destroy(struct loop_signal *sig)
{
    if (sig != NULL) {
        kill_source(&sig->source);
    }
}

/* ---- wakers ---- */

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct source *source = arg;
    (void)fd;
    (void)what;
    source->loop->seen++;
    turn_ready(source);
}

static void call_waker(struct source *source)
{
    struct loop_waker *waker = list_item(source, struct loop_waker, source);
    char bytes[64];
    while (read(waker->pipe[0], bytes, sizeof bytes) > 0) {
    }
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
    source_init(
        &waker->source, loop, LANE_TIMER, call_waker,
        event_new(loop->base, waker->pipe[0], EV_READ | EV_PERSIST, on_wake, &waker->source));
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
