/* fake_loop.c: base/loop.h in virtual time; see fake_loop.h.
 *
 * Timers fire in order of their time, then of their start; the running ones are in a heap.
 * Descriptors are polled with a timeout of 0, by epoll where there is one and it takes them: a
 * benchmark has a thousand connections open. Destroyed objects are kept until nothing runs, as in
 * the real loop. What is urgent is not called sooner: test_loop_lanes.c has that.
 */
#include "support/fake_loop.h"

#include "lull/base/list.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/epoll.h>
#endif
#include <unistd.h>

enum source_kind { SOURCE_TIMER, SOURCE_WATCH, SOURCE_SIGNAL, SOURCE_WAKER };
enum { FAKE_MAX_FDS = 8192 };

struct loop_timer {
    struct list node;
    struct loop *loop;
    loop_fn fn;
    void *ctx;
    bool running, dead;
    int64_t due;
    uint64_t order;
    size_t place; /* in the heap, while it runs */
};

struct loop_watch {
    struct list node;
    struct loop *loop;
    loop_watch_fn fn;
    void *ctx;
    int fd, events;
    bool in_epoll, dead, urgent;
};

struct loop_signal {
    struct list node;
    struct loop *loop;
    int signo;
    loop_fn fn;
    void *ctx;
};

struct loop_waker {
    struct list node;
    struct loop_watch *watch;
    int pipe[2];
    loop_fn fn;
    void *ctx;
};

struct work_queue {
    struct loop_deferred *first, *last;
};

struct loop {
    int64_t now, wall_offset;
    uint64_t order;
    bool stop;
    int depth;
    struct list timers, watches, signals;
    struct loop_timer **heap; /* the running timers, the next one first */
    size_t heap_count, heap_room;
    int epoll;         /* -1: none */
    size_t poll_count; /* watches that want events and are not in it */
    bool corpses;
    struct turns turns;
    struct work_queue deferred, later;
};

static const int64_t FAKE_START = 1000 * USEC_PER_S;
static const int64_t FAKE_WALL = 1767225600 * USEC_PER_S; /* 2026-01-01T00:00:00Z */

struct loop *loop_create(void)
{
    struct loop *loop = mem_new(sizeof *loop);
    loop->now = FAKE_START;
    loop->wall_offset = FAKE_WALL - FAKE_START;
    list_init(&loop->timers);
    list_init(&loop->watches);
    list_init(&loop->signals);
#ifdef __linux__
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
#else
    loop->epoll = -1;
#endif
    return loop;
}

static void bury(struct loop *loop)
{
    if (loop->depth > 0 || !loop->corpses) {
        return;
    }
    loop->corpses = false;
    list_each(node, &loop->timers)
    {
        struct loop_timer *t = list_item(node, struct loop_timer, node);
        if (t->dead) {
            list_remove(node);
            free(t);
        }
    }
    list_each(node, &loop->watches)
    {
        struct loop_watch *w = list_item(node, struct loop_watch, node);
        if (w->dead) {
            list_remove(node);
            free(w);
        }
    }
}

void loop_destroy(struct loop *loop)
{
    if (loop == NULL) {
        return;
    }
    bury(loop);
    require(list_empty(&loop->timers) && list_empty(&loop->watches) && list_empty(&loop->signals));
    if (loop->epoll >= 0) {
        close(loop->epoll);
    }
    free(loop->heap);
    free(loop);
}

mono_t loop_now(const struct loop *loop)
{
    return (mono_t){loop->now};
}

wall_t loop_wall(const struct loop *loop)
{
    return (wall_t){loop->now + loop->wall_offset};
}

const struct turns *loop_turns(const struct loop *loop)
{
    return &loop->turns;
}

/* ---- timers ---- */

static bool earlier(const struct loop_timer *a, const struct loop_timer *b)
{
    return a->due < b->due || (a->due == b->due && a->order < b->order);
}

static void put(struct loop *loop, size_t place, struct loop_timer *t)
{
    loop->heap[place] = t;
    t->place = place;
}

/* Moves the timer at that place to where it belongs. */
static void settle_timer(struct loop *loop, size_t place)
{
    struct loop_timer *t = loop->heap[place];
    while (place > 0 && earlier(t, loop->heap[(place - 1) / 2])) {
        put(loop, place, loop->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    for (size_t child = 2 * place + 1; child < loop->heap_count; child = 2 * place + 1) {
        if (child + 1 < loop->heap_count && earlier(loop->heap[child + 1], loop->heap[child])) {
            child++;
        }
        if (!earlier(loop->heap[child], t)) {
            break;
        }
        put(loop, place, loop->heap[child]);
        place = child;
    }
    put(loop, place, t);
}

struct loop_timer *loop_timer_create(struct loop *loop, loop_fn fn, void *ctx)
{
    struct loop_timer *t = mem_new(sizeof *t);
    t->loop = loop;
    t->fn = fn;
    t->ctx = ctx;
    list_append(&loop->timers, &t->node);
    return t;
}

void loop_timer_destroy(struct loop_timer *timer)
{
    if (timer != NULL) {
        loop_timer_stop(timer);
        timer->dead = true;
        timer->loop->corpses = true;
    }
}

void loop_timer_start(struct loop_timer *timer, usec_t delay)
{
    struct loop *loop = timer->loop;
    loop_timer_stop(timer);
    timer->running = true;
    timer->due = loop->now + (delay > 0 ? delay : 0);
    timer->order = ++loop->order;
    if (loop->heap_count == loop->heap_room) {
        loop->heap_room = loop->heap_room == 0 ? 64 : loop->heap_room * 2;
        loop->heap = realloc(loop->heap, loop->heap_room * sizeof(void *));
        require(loop->heap != NULL);
    }
    put(loop, loop->heap_count++, timer);
    settle_timer(loop, timer->place);
}

void loop_timer_stop(struct loop_timer *timer)
{
    struct loop *loop = timer->loop;
    if (!timer->running) {
        return;
    }
    timer->running = false;
    struct loop_timer *last = loop->heap[--loop->heap_count];
    if (last != timer) {
        put(loop, timer->place, last);
        settle_timer(loop, last->place);
    }
}

bool loop_timer_running(const struct loop_timer *timer)
{
    return timer->running;
}

struct loop_watch *loop_watch_create(struct loop *loop, int fd, loop_watch_fn fn, void *ctx)
{
    struct loop_watch *w = mem_new(sizeof *w);
    w->loop = loop;
    w->fd = fd;
    w->fn = fn;
    w->ctx = ctx;
    list_append(&loop->watches, &w->node);
    return w;
}

void loop_watch_destroy(struct loop_watch *watch)
{
    if (watch != NULL) {
        loop_watch_set(watch, 0);
        watch->dead = true;
        watch->loop->corpses = true;
    }
}

/* Whether epoll watches it now; it takes neither files nor one descriptor twice. */
static bool epoll_set(struct loop_watch *watch, int events)
{
#ifdef __linux__
    struct epoll_event event = {.data.ptr = watch};
    event.events = ((events & LOOP_READ) != 0 ? (uint32_t)EPOLLIN : 0U) |
                   ((events & LOOP_WRITE) != 0 ? (uint32_t)EPOLLOUT : 0U);
    int what = events == 0 ? EPOLL_CTL_DEL : watch->in_epoll ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    bool done = epoll_ctl(watch->loop->epoll, what, watch->fd, &event) == 0;
    return done && events != 0;
#else
    (void)watch;
    (void)events;
    return false;
#endif
}

void loop_watch_set(struct loop_watch *watch, int events)
{
    struct loop *loop = watch->loop;
    if (watch->events == events) {
        return;
    }
    loop->poll_count -= watch->events != 0 && !watch->in_epoll ? 1 : 0;
    if (watch->in_epoll || (events != 0 && watch->events == 0)) {
        watch->in_epoll = epoll_set(watch, events);
    }
    watch->events = events;
    loop->poll_count += events != 0 && !watch->in_epoll ? 1 : 0;
}

void loop_watch_set_urgent(struct loop_watch *watch, bool urgent)
{
    watch->urgent = urgent;
}

struct loop_signal *loop_signal_create(struct loop *loop, int signo, loop_fn fn, void *ctx)
{
    struct loop_signal *s = mem_new(sizeof *s);
    s->loop = loop;
    s->signo = signo;
    s->fn = fn;
    s->ctx = ctx;
    list_append(&loop->signals, &s->node);
    return s;
}

void loop_signal_destroy(struct loop_signal *sig)
{
    if (sig != NULL) {
        list_remove(&sig->node);
        free(sig);
    }
}

static void queue_add(struct work_queue *q, struct loop_deferred *work)
{
    work->waiting = true;
    work->later = false;
    work->next = NULL;
    work->prev = q->last;
    *(q->last == NULL ? &q->first : &q->last->next) = work;
    q->last = work;
}

void loop_defer(struct loop *loop, struct loop_deferred *work)
{
    if (!work->waiting) {
        queue_add(&loop->deferred, work);
    }
}

void loop_later(struct loop *loop, struct loop_deferred *work)
{
    if (!work->waiting) {
        queue_add(&loop->later, work);
        work->later = true;
    }
}

void loop_defer_cancel(struct loop *loop, struct loop_deferred *work)
{
    if (!work->waiting) {
        return;
    }
    struct work_queue *q = work->later ? &loop->later : &loop->deferred;
    *(work->prev == NULL ? &q->first : &work->prev->next) = work->next;
    *(work->next == NULL ? &q->last : &work->next->prev) = work->prev;
    work->waiting = false;
}

static void run_deferred(struct loop *loop)
{
    while (loop->deferred.first != NULL) {
        struct loop_deferred *work = loop->deferred.first;
        loop_defer_cancel(loop, work);
        work->fn(work->ctx);
    }
}

/* One piece of work that was put off; whether there was one. */
static bool run_later(struct loop *loop)
{
    struct loop_deferred *work = loop->later.first;
    if (work == NULL) {
        return false;
    }
    loop_defer_cancel(loop, work);
    work->fn(work->ctx);
    return true;
}

static void on_wake(void *ctx, int events)
{
    struct loop_waker *waker = ctx;
    char bytes[64];
    (void)events;
    while (read(waker->pipe[0], bytes, sizeof bytes) > 0) {
    }
    waker->fn(waker->ctx);
}

struct loop_waker *loop_waker_create(struct loop *loop, loop_fn fn, void *ctx)
{
    struct loop_waker *waker = mem_new(sizeof *waker);
    require(pipe(waker->pipe) == 0);
    for (int i = 0; i < 2; i++) {
        require(fcntl(waker->pipe[i], F_SETFL, O_NONBLOCK) == 0);
    }
    waker->fn = fn;
    waker->ctx = ctx;
    waker->watch = loop_watch_create(loop, waker->pipe[0], on_wake, waker);
    loop_watch_set(waker->watch, LOOP_READ);
    return waker;
}

void loop_waker_destroy(struct loop_waker *waker)
{
    if (waker != NULL) {
        loop_watch_destroy(waker->watch);
        close(waker->pipe[0]);
        close(waker->pipe[1]);
        free(waker);
    }
}

void loop_wake(struct loop_waker *waker)
{
    ssize_t n = write(waker->pipe[1], "", 1);
    (void)n;
}

static struct loop_timer *next_timer(const struct loop *loop)
{
    return loop->heap_count == 0 ? NULL : loop->heap[0];
}

usec_t fake_loop_next_timer(const struct loop *loop)
{
    const struct loop_timer *t = next_timer(loop);
    return t == NULL ? -1 : (t->due > loop->now ? t->due - loop->now : 0);
}

/* Calls the watch with those events that it asked for; whether it was called. */
static bool call_watch(struct loop_watch *watch, bool in, bool out, bool bad)
{
    int events = (in || bad ? LOOP_READ : 0) | (out || bad ? LOOP_WRITE : 0);
    events &= watch->events;
    if (watch->dead || events == 0) {
        return false;
    }
    watch->fn(watch->ctx, events);
    return true;
}

/* One round of the descriptors in epoll; whether any was ready. */
static bool run_epoll(struct loop *loop)
{
    bool any = false;
#ifdef __linux__
    struct epoll_event ready[64];
    int n = loop->epoll < 0 ? 0 : epoll_wait(loop->epoll, ready, 64, 0);
    for (int i = 0; i < n; i++) {
        bool bad = (ready[i].events & (uint32_t)(EPOLLERR | EPOLLHUP)) != 0;
        any = call_watch(ready[i].data.ptr, (ready[i].events & (uint32_t)EPOLLIN) != 0,
                         (ready[i].events & (uint32_t)EPOLLOUT) != 0, bad) ||
              any;
    }
#else
    (void)loop;
#endif
    return any;
}

/* One round of the others. */
static bool run_poll(struct loop *loop)
{
    static struct pollfd fds[FAKE_MAX_FDS];
    static struct loop_watch *watches[FAKE_MAX_FDS];
    nfds_t n = 0;
    bool any = false;
    if (loop->poll_count == 0) {
        return false;
    }
    list_each(node, &loop->watches)
    {
        struct loop_watch *w = list_item(node, struct loop_watch, node);
        if (!w->dead && w->events != 0 && !w->in_epoll) {
            require(n < FAKE_MAX_FDS);
            short bits = (short)(((w->events & LOOP_READ) != 0 ? POLLIN : 0) |
                                 ((w->events & LOOP_WRITE) != 0 ? POLLOUT : 0));
            fds[n] = (struct pollfd){.fd = w->fd, .events = bits};
            watches[n++] = w;
        }
    }
    if (poll(fds, n, 0) <= 0) {
        return false;
    }
    for (nfds_t i = 0; i < n; i++) {
        int bits = fds[i].revents;
        bool bad = (bits & (POLLERR | POLLHUP | POLLNVAL)) != 0;
        any = call_watch(watches[i], (bits & POLLIN) != 0, (bits & POLLOUT) != 0, bad) || any;
    }
    return any;
}

static bool run_timer(struct loop *loop)
{
    struct loop_timer *t = next_timer(loop);
    if (t == NULL || t->due > loop->now) {
        return false;
    }
    loop_timer_stop(t);
    t->fn(t->ctx);
    return true;
}

void fake_loop_settle(struct loop *loop)
{
    bool ran = true;
    loop->depth++;
    while (ran && !loop->stop) {
        ran = run_epoll(loop);
        ran = run_poll(loop) || ran;
        run_deferred(loop);
        ran = run_timer(loop) || ran;
        run_deferred(loop);
        ran = run_later(loop) || ran;
        run_deferred(loop);
    }
    loop->depth--;
    bury(loop);
}

void fake_loop_advance(struct loop *loop, usec_t us)
{
    int64_t end = loop->now + us;
    fake_loop_settle(loop);
    for (;;) {
        const struct loop_timer *t = next_timer(loop);
        if (t == NULL || t->due > end) {
            break;
        }
        loop->now = t->due > loop->now ? t->due : loop->now;
        fake_loop_settle(loop);
    }
    loop->now = end;
    fake_loop_settle(loop);
}

void fake_loop_raise(struct loop *loop, int signo)
{
    list_each(node, &loop->signals)
    {
        struct loop_signal *s = list_item(node, struct loop_signal, node);
        if (s->signo == signo) {
            s->fn(s->ctx);
        }
    }
    fake_loop_settle(loop);
}

void fake_loop_set_wall_offset(struct loop *loop, usec_t offset)
{
    loop->wall_offset = FAKE_WALL - FAKE_START + offset;
}

void loop_run(struct loop *loop)
{
    loop->stop = false;
    fake_loop_settle(loop);
    while (!loop->stop && fake_loop_next_timer(loop) >= 0) {
        fake_loop_advance(loop, fake_loop_next_timer(loop));
    }
}

void loop_stop(struct loop *loop)
{
    loop->stop = true;
}
