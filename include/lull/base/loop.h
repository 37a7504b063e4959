/* loop.h: the one view of the event library: timers, watched descriptors, signals, work put off to
 * the end of the turn, and the clock. The daemon has one loop, on one thread; everything here is
 * to be called on that thread, but for loop_wake().
 *
 * This contract has two implementations: sidecar/base/loop.c on libevent, and tests/support/
 * fake_loop.c in virtual time. Callbacks are never made from inside the functions declared here,
 * only from loop_run().
 *
 * A turn is one look at what is ready, the calls for it, and the work deferred meanwhile. It is
 * bounded: where more is ready than half a millisecond allows, or 64 calls, the rest is called in the
 * next turns, with what has become ready by then. So a callback should be short too: what takes long
 * is cut into pieces (loop_later()). A watch may be called once after its descriptor has stopped to
 * be ready.
 */
#ifndef LULL_BASE_LOOP_H
#define LULL_BASE_LOOP_H

#include "lull/base/clock.h"
#include "lull/base/err.h"
#include "lull/base/turns.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct loop_timer;
struct loop_watch;
struct loop_signal;
struct loop_waker;

typedef void (*loop_fn)(void *ctx);

/* Never NULL: a process without an event loop is of no use, so failing aborts. */
struct loop *loop_create(void);
/* All timers, watches, signals and wakers must have been destroyed before. NULL is fine. */
void loop_destroy(struct loop *loop);

/* Runs until loop_stop(). Work that was deferred before runs first. */
void loop_run(struct loop *loop);
/* Ends loop_run() after the current turn, deferred work included. */
void loop_stop(struct loop *loop);

/* Time of the current turn: read once when the turn begins. */
mono_t loop_now(const struct loop *loop);
wall_t loop_wall(const struct loop *loop);
/* How long the turns took, from the reading of their clock to the end of their deferred work; the
 * turn that is under way is not in it. Valid as long as the loop. */
const struct turns *loop_turns(const struct loop *loop);

/* One-shot timers. A timer that fires is stopped before its callback runs and may be started
 * again from inside it. Destroying it from inside its own callback is allowed. */
struct loop_timer *loop_timer_create(struct loop *loop, loop_fn fn, void *ctx);
void loop_timer_destroy(struct loop_timer *timer); /* NULL is fine */
/* (Re)starts: fires once, `delay` after now; 0 or less: in the next turn, never at once. */
void loop_timer_start(struct loop_timer *timer, usec_t delay);
void loop_timer_stop(struct loop_timer *timer);
bool loop_timer_running(const struct loop_timer *timer);

/* Watched descriptors, level-triggered. The descriptor stays the caller's. An error or hang-up on
 * it is reported as every direction that is being watched. Destroying a watch from inside any
 * callback is allowed; it makes no call afterwards. */
enum { LOOP_READ = 1, LOOP_WRITE = 2 };
typedef void (*loop_watch_fn)(void *ctx, int events);
struct loop_watch *loop_watch_create(struct loop *loop, int fd, loop_watch_fn fn, void *ctx);
void loop_watch_destroy(struct loop_watch *watch); /* NULL is fine */
/* Sets what is watched: LOOP_READ | LOOP_WRITE, or 0 for nothing (costs no wake-ups). */
void loop_watch_set(struct loop_watch *watch, int events);
/* A person waits for each of its events: where much is ready, it is called behind a few of the others
 * only. The others get their share all the same. Not urgent at first. */
void loop_watch_set_urgent(struct loop_watch *watch, bool urgent);

/* Signals arrive as callbacks of the loop, not in signal context: they may do anything. */
struct loop_signal *loop_signal_create(struct loop *loop, int signo, loop_fn fn, void *ctx);
void loop_signal_destroy(struct loop_signal *sig);

/* Work for the end of this turn, in order of calls: for freeing objects outside their own
 * callbacks. A turn does all of it, so it is short, a few for each callback; the rest is for
 * loop_later(). The struct is the caller's and is not touched after its callback began. Deferring one
 * that is already waiting does nothing; work deferred by deferred work runs in the same turn. */
struct loop_deferred {
    loop_fn fn;
    void *ctx;
    struct loop_deferred *next, *prev; /* private */
    bool waiting, later;               /* private */
    uint64_t put_off;                  /* private */
};
void loop_defer(struct loop *loop, struct loop_deferred *work);
/* The same for a later turn: for the rest of what would make this one long. It is called among what
 * is ready then, in order of calls; the loop does not wait before. Does nothing where it waits
 * already, in either way. */
void loop_later(struct loop *loop, struct loop_deferred *work);
/* Takes it out of either queue, in constant time; does nothing where it is not waiting. */
void loop_defer_cancel(struct loop *loop, struct loop_deferred *work);

/* Wakes the loop from another thread. Several wakes before the loop looks are one callback. */
struct loop_waker *loop_waker_create(struct loop *loop, loop_fn fn, void *ctx);
void loop_waker_destroy(struct loop_waker *waker);
void loop_wake(struct loop_waker *waker); /* thread-safe */

#endif
