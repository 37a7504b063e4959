/* fake_loop.h: virtual time for tests: what the fake implementation of base/loop.h offers beside
 * that contract. Real descriptors work in it (they are polled without waiting), so socket pairs and
 * Unix sockets can be used within one process.
 */
#ifndef TESTS_SUPPORT_FAKE_LOOP_H
#define TESTS_SUPPORT_FAKE_LOOP_H

#include "lull/base/loop.h"

/* Runs what is ready (descriptors, wakers, timers due now, deferred work) until nothing is, without
 * moving time. */
void fake_loop_settle(struct loop *loop);
/* Settles, then moves time forward by us, stopping at every timer that comes due on the way. */
void fake_loop_advance(struct loop *loop, usec_t us);
/* Delay until the next timer; -1: none. */
usec_t fake_loop_next_timer(const struct loop *loop);
/* Delivers a signal to its watchers. */
void fake_loop_raise(struct loop *loop, int signo);
/* Jumps the wall clock; the monotonic one goes on. */
void fake_loop_set_wall_offset(struct loop *loop, usec_t offset);

#endif
