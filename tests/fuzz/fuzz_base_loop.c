/* fuzz_base_loop.c: bytes as what the callbacks of the loop on libevent do: descriptors become ready and
 * stop to be, are watched for one thing or another, are urgent or not; timers start and stop; work
 * is deferred, put off and cancelled; sources are destroyed and made again; another wakes the loop;
 * the kernel refuses to watch; the clock moves. Time is virtual: the loop reads the target's clock,
 * and where it would wait, the clock moves on.
 *
 * What is ready is called, behind so many others at most as the shares of the lanes allow, and
 * nothing else is called. Deferred work runs before the next look and in order, work that was put
 * off after it and in order, a timer not before it is due. A turn is bounded in calls and time. The
 * loop waits only where nothing is to be done, and not for longer than until the next timer.
 * covers: base/loop_turn.c base/loop.c
 */
#include "support/choices.h"

#include "lull/base/err.h"
#include "lull/base/log.h"
#include "lull/base/loop.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    PAIRS = 4,
    WATCHES = 90,
    TIMERS = 6,
    WORKS = 8,
    QUIET = 800 /* calls behind the last byte */
};
enum { CALLS_OF_A_TURN = 64, TIME_OF_CALLS = 500, FDS = 1024, RETRIES = 8 };

/* What is served with a share of its own; its share, of one round. */
enum lane { URGENT, TIMED, PLAIN, LATER, LANES };
static const size_t shares[LANES] = {4, 1, 1, 1};
enum { ROUND = 7 };

static struct loop *loop;
static int64_t clock_us;
static bool running, crowded, idle, not_noted;
static size_t looks, refusals_left;
static uint32_t watched_for[FDS];                /* by the kernel */
static size_t calls, quiet_calls, turn, in_turn; /* turn: the look that it began with */

/* Something that a look has found ready. */
struct waiting {
    bool is;
    size_t since, most; /* calls: made until then, and how many may be made before its own */
};

struct watched {
    struct loop_watch *watch;
    struct waiting waiting;
    int fd, pair, events;
    size_t refused; /* looks during which the kernel would have watched, and was not asked */
    bool urgent;
};

struct timed {
    struct loop_timer *timer;
    struct waiting waiting;
    bool started;
    int64_t from, until; /* it may fire from here on, and a look from here on finds it */
};

struct worked {
    struct loop_deferred work;
    struct waiting waiting;
    enum { IDLE, DEFERRED, PUT_OFF } state;
    size_t number, look;
};

static int pairs[PAIRS][2];
static bool readable[PAIRS];
static struct watched watches[WATCHES];
static struct timed timers[TIMERS];
static struct worked works[WORKS];
static size_t work_number;
static struct loop_waker *waker;
static struct loop_signal *sig;
static struct waiting waker_waits, signal_waits;
static bool woken, raised, raised_again; /* again: since the last look */

/* ---- what must hold ---- */

static size_t members(enum lane lane)
{
    size_t urgent = 0;
    for (size_t i = 0; i < WATCHES; i++) {
        urgent += watches[i].urgent ? 1 : 0;
    }
    return lane == URGENT  ? urgent
           : lane == PLAIN ? WATCHES - urgent
           : lane == TIMED ? TIMERS + 2
                           : WORKS;
}

static void wait(struct waiting *w, enum lane lane)
{
    if (!w->is) {
        size_t rounds = members(lane) / shares[lane] + 2;
        *w = (struct waiting){.is = true, .since = calls, .most = rounds * ROUND};
    }
}

static void check_waiting(const struct waiting *w)
{
    require(!w->is || calls - w->since <= w->most);
}

static void check_all_waiting(void)
{
    for (size_t i = 0; i < WATCHES; i++) {
        check_waiting(&watches[i].waiting);
    }
    for (size_t i = 0; i < TIMERS; i++) {
        check_waiting(&timers[i].waiting);
    }
    for (size_t i = 0; i < WORKS; i++) {
        check_waiting(&works[i].waiting);
    }
    check_waiting(&waker_waits);
    check_waiting(&signal_waits);
}

static bool is_watched(const struct watched *w)
{
    uint32_t want = ((w->events & LOOP_READ) != 0 ? EPOLLIN : 0) |
                    ((w->events & LOOP_WRITE) != 0 ? EPOLLOUT : 0);
    return (watched_for[w->fd] & want) == want;
}

static bool is_ready(const struct watched *w)
{
    return (w->events & LOOP_WRITE) != 0 || ((w->events & LOOP_READ) != 0 && readable[w->pair]);
}

/* A look has found all that is ready. */
static void note_ready(void)
{
    not_noted = false;
    for (size_t i = 0; i < WATCHES; i++) {
        struct watched *w = &watches[i];
        w->refused = is_watched(w) || refusals_left > 0 ? 0 : w->refused + 1;
        require(w->refused < RETRIES);
        if (is_ready(w) && is_watched(w)) {
            wait(&w->waiting, w->urgent ? URGENT : PLAIN);
        }
    }
    for (size_t i = 0; i < TIMERS; i++) {
        if (timers[i].started && clock_us >= timers[i].until) {
            wait(&timers[i].waiting, TIMED);
        }
    }
    for (size_t i = 0; i < WORKS; i++) {
        if (works[i].state == PUT_OFF && works[i].look < looks) {
            wait(&works[i].waiting, LATER);
        }
    }
    if (woken) {
        wait(&waker_waits, TIMED);
    }
    if (raised) {
        wait(&signal_waits, TIMED);
    }
}

/* The loop is about to wait for so many milliseconds; below 0: for ever. */
static void check_idle(int timeout)
{
    for (size_t i = 0; i < WATCHES; i++) {
        require(!watches[i].waiting.is && !is_ready(&watches[i]));
    }
    for (size_t i = 0; i < WORKS; i++) {
        require(works[i].state == IDLE);
    }
    for (size_t i = 0; i < TIMERS; i++) {
        require(!timers[i].started || (!timers[i].waiting.is && timeout >= 0 &&
                                       clock_us + (int64_t)(timeout - 2) * 1000 < timers[i].until));
    }
    require(!woken && !raised);
}

/* ---- the system, as libevent and the loop see it ---- */

int clock_gettime(clockid_t id, struct timespec *out)
{
    if (!running || id == CLOCK_REALTIME) { /* that is the fuzzer's */
        return (int)syscall(SYS_clock_gettime, id, out);
    }
    *out = (struct timespec){.tv_sec = clock_us / 1000000, .tv_nsec = clock_us % 1000000 * 1000};
    return 0;
}

int nanosleep(const struct timespec *length, struct timespec *left)
{
    if (!running) {
        return (int)syscall(SYS_nanosleep, length, left);
    }
    clock_us += length->tv_sec * 1000000 + length->tv_nsec / 1000;
    return 0;
}

int epoll_ctl(int epoll, int op, int fd, struct epoll_event *event)
{
    if (running && op != EPOLL_CTL_DEL && refusals_left > 0) {
        refusals_left--;
        errno = ENOMEM;
        return -1;
    }
    require(fd < FDS);
    watched_for[fd] = op == EPOLL_CTL_DEL ? 0 : event->events;
    return (int)syscall(SYS_epoll_ctl, epoll, op, fd, event);
}

/* A look. */
int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout)
{
    int n = (int)syscall(SYS_epoll_pwait, epoll, events, most, 0, NULL, 8);
    if (!running || n < 0) {
        return n;
    }
    for (size_t i = 0; i < WORKS; i++) {
        require(works[i].state != DEFERRED);
    }
    looks++;
    raised_again = false;
    if (n == 0 && timeout != 0) {
        check_idle(timeout);
        if (timeout < 0) {
            idle = true;
            loop_stop(loop);
            loop_wake(waker); /* else libevent waits on */
            woken = true;
        }
        clock_us += timeout > 0 ? (int64_t)timeout * 1000 : 0;
    }
    not_noted = n == most; /* it may look once more */
    if (!not_noted) {
        note_ready();
    }
    return n;
}

/* ---- what callbacks do ---- */

static void act(void);
static void set_readable(int pair, bool now);
static void set_watch(struct watched *w, int events);

/* Behind the last byte: every descriptor is ready. */
static void crowd(void)
{
    crowded = true;
    for (int i = 0; i < PAIRS; i++) {
        set_readable(i, true);
    }
    for (size_t i = 0; i < WATCHES; i++) {
        set_watch(&watches[i], watches[i].events | LOOP_READ);
    }
}

/* Nothing is ready any more but what runs out by itself. */
static void drain(void)
{
    for (int i = 0; i < PAIRS; i++) {
        set_readable(i, false);
    }
    for (size_t i = 0; i < WATCHES; i++) {
        set_watch(&watches[i], watches[i].events & LOOP_READ);
    }
}

/* At the begin of each call that is not deferred work. */
static void note_call(struct waiting *w)
{
    if (not_noted) {
        note_ready();
    }
    w->is = false;
    calls++;
    in_turn = turn == looks ? in_turn + 1 : 1;
    turn = looks;
    require(in_turn <= CALLS_OF_A_TURN);
    require(in_turn == 1 || clock_us - loop_now(loop).us < TIME_OF_CALLS);
    check_all_waiting();
    quiet_calls += choices_left == 0 ? 1 : 0;
    if (quiet_calls == 1) {
        crowd();
    } else if (quiet_calls == QUIET) {
        drain();
    }
}

static void act_some(void)
{
    for (unsigned n = pick(4); n > 0; n--) {
        act();
    }
}

static void on_watch(void *ctx, int events)
{
    struct watched *w = ctx;
    require(events != 0 && (events & ~w->events) == 0);
    note_call(&w->waiting);
    act_some();
}

static void on_timer(void *ctx)
{
    struct timed *t = ctx;
    require(t->started && loop_now(loop).us >= t->from && !loop_timer_running(t->timer));
    t->started = false;
    note_call(&t->waiting);
    act_some();
}

static void on_work(void *ctx)
{
    struct worked *w = ctx;
    require(w->state != IDLE);
    for (size_t i = 0; i < WORKS; i++) {
        require(works[i].state != w->state || works[i].number >= w->number);
    }
    if (w->state == PUT_OFF) {
        require(w->look < looks);
        note_call(&w->waiting);
    }
    w->state = IDLE;
    act_some();
}

static void on_wake(void *ctx)
{
    (void)ctx;
    require(woken);
    woken = false;
    note_call(&waker_waits);
    act_some();
}

static void on_signal(void *ctx)
{
    (void)ctx;
    require(raised);
    raised = raised_again;
    note_call(&signal_waits);
    act_some();
}

static void set_readable(int pair, bool now)
{
    char byte = 'x';
    if (now != readable[pair]) {
        require((now ? send(pairs[pair][1], &byte, 1, 0) : recv(pairs[pair][0], &byte, 1, 0)) == 1);
        readable[pair] = now;
    }
    for (size_t i = 0; i < WATCHES; i++) { /* it may be called once all the same */
        watches[i].waiting.is = watches[i].waiting.is && is_ready(&watches[i]);
    }
}

static void make_watch(struct watched *w)
{
    w->watch = loop_watch_create(loop, w->fd, on_watch, w);
    w->events = 0;
    w->urgent = w->waiting.is = false;
    w->refused = 0;
}

static void set_watch(struct watched *w, int events)
{
    loop_watch_set(w->watch, events);
    w->waiting.is = w->waiting.is && w->events == events; /* else the next look finds it */
    w->events = events;
}

static void set_urgent(struct watched *w, bool urgent)
{
    loop_watch_set_urgent(w->watch, urgent);
    w->waiting.is = w->waiting.is && w->urgent == urgent; /* it waits behind others again */
    w->urgent = urgent;
}

static void make_timer(struct timed *t)
{
    t->timer = loop_timer_create(loop, on_timer, t);
    t->started = t->waiting.is = false;
}

static void start_timer(struct timed *t)
{
    static const usec_t delays[] = {0, -5, 1, 400, 1000, 2500, 70000, 3600000000};
    usec_t delay = delays[pick(8)];
    loop_timer_start(t->timer, delay);
    require(loop_timer_running(t->timer));
    t->started = true;
    t->waiting.is = false;
    t->from = loop_now(loop).us + (delay > 0 ? delay : 0);
    t->until = clock_us + (delay > 0 ? delay : 0);
}

static void put(struct worked *w, bool later)
{
    (later ? loop_later : loop_defer)(loop, &w->work);
    if (w->state == IDLE) {
        w->state = later ? PUT_OFF : DEFERRED;
        w->number = work_number++;
        w->look = looks;
    }
}

static void cancel(struct worked *w)
{
    loop_defer_cancel(loop, &w->work);
    w->state = IDLE;
    w->waiting.is = false;
}

static void act(void)
{
    static const int64_t steps[] = {1, 100, 499, 500, 2000, 80000, 10, 0};
    struct watched *w = &watches[pick(WATCHES)];
    struct timed *t = &timers[w->fd % TIMERS];
    struct worked *work = &works[w->fd % WORKS];
    switch (pick(20)) {
    case 0:
    case 1:
        set_readable(w->pair, pick(4) != 0);
        break;
    case 2:
    case 3:
        set_watch(w, (int)pick(4));
        break;
    case 4:
        set_urgent(w, pick(2) == 0);
        break;
    case 5:
        start_timer(t);
        break;
    case 6:
        loop_timer_stop(t->timer);
        t->started = t->waiting.is = false;
        break;
    case 7:
    case 8:
        put(work, true);
        break;
    case 9:
    case 10:
        put(work, false);
        break;
    case 11:
        cancel(work);
        break;
    case 12:
        loop_watch_destroy(w->watch);
        make_watch(w);
        break;
    case 13:
        loop_timer_destroy(t->timer);
        make_timer(t);
        break;
    case 14:
        loop_wake(waker);
        woken = true;
        break;
    case 15:
        require(raise(SIGWINCH) == 0);
        raised = raised_again = true;
        break;
    case 16:
        refusals_left = pick(4);
        break;
    case 17:
        loop_stop(loop);
        break;
    default:
        clock_us += steps[pick(8)];
        break;
    }
}

/* ---- one run ---- */

static void begin(void)
{
    loop = loop_create();
    looks = calls = quiet_calls = turn = in_turn = refusals_left = 0;
    waker_waits.is = signal_waits.is = woken = raised = raised_again = crowded = false;
    for (size_t i = 0; i < WATCHES; i++) {
        make_watch(&watches[i]);
        set_watch(&watches[i], i < 8 || pick(2) == 0 ? LOOP_READ : 0);
        set_urgent(&watches[i], i < 8 && pick(2) == 0);
    }
    for (size_t i = 0; i < TIMERS; i++) {
        make_timer(&timers[i]);
    }
    for (size_t i = 0; i < WORKS; i++) {
        works[i] = (struct worked){.work = {.fn = on_work, .ctx = &works[i]}};
    }
    waker = loop_waker_create(loop, on_wake, NULL);
    sig = loop_signal_create(loop, SIGWINCH, on_signal, NULL);
    for (int i = 0; i < 8; i++) {
        act();
    }
}

static void end(void)
{
    for (size_t i = 0; i < WATCHES; i++) {
        loop_watch_destroy(watches[i].watch);
    }
    for (size_t i = 0; i < TIMERS; i++) {
        loop_timer_destroy(timers[i].timer);
    }
    loop_waker_destroy(waker);
    loop_signal_destroy(sig);
    loop_destroy(loop);
    for (int i = 0; i < PAIRS; i++) {
        set_readable(i, false);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (clock_us == 0) {
        log_setup(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
        for (int i = 0; i < PAIRS; i++) {
            require(socketpair(AF_UNIX, SOCK_STREAM, 0, pairs[i]) == 0);
        }
        for (size_t i = 0; i < WATCHES; i++) {
            watches[i].pair = (int)(i % PAIRS);
            watches[i].fd = dup(pairs[i % PAIRS][0]);
        }
        clock_us = 1000000000;
    }
    choices = data;
    choices_left = size < 4096 ? size : 4096;
    running = true;
    begin();
    do { /* again where it was stopped, or had nothing to do */
        idle = false;
        act();
        if (choices_left == 0 && !crowded) {
            crowd();
        }
        loop_run(loop);
    } while (!idle || choices_left > 0 || !crowded);
    end();
    running = false;
    return 0;
}
