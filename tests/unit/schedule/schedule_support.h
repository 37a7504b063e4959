/* schedule_support.h: upstreams, kinds and jobs of the schedule's tests, in seconds. */
#ifndef TESTS_UNIT_SCHEDULE_SUPPORT_H
#define TESTS_UNIT_SCHEDULE_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lull/path/schedule/schedule.h"

static inline mono_t at(double s)
{
    return (mono_t){1000 * USEC_PER_S + (usec_t)(s * 1e6)};
}

static inline struct hash_key key(uint64_t n)
{
    return (struct hash_key){.hi = n, .lo = n};
}

static struct servers *servers;
static struct figures *figures;

/* A schedule with servers of its own. */
static inline struct schedule *begin(void)
{
    figures = figures_create();
    servers = servers_create(NULL, NULL, figures);
    return schedule_create(servers);
}

static inline void end(struct schedule *s)
{
    schedule_destroy(s);
    servers_destroy(servers);
    figures_destroy(figures);
}

static inline struct upstream_settings upstream(char *name, char *machine, int64_t slots)
{
    struct upstream_settings one = {
        .name = name, .machine = machine, .slots = slots, .swap_after = 60 * USEC_PER_S};
    servers_bind(servers, &one, 1);
    return one;
}

/* A server says how many slots it has. */
static inline void found_slots(const struct upstream_settings *to, int64_t slots)
{
    server_of(servers, to)->found_slots = slots;
}

static inline struct kind_policy kind(enum kind_class cls, int64_t priority)
{
    static char name[] = "kind";
    return (struct kind_policy){.name = name,
                                .cls = cls,
                                .yield = YIELD_AUTO,
                                .max_hold = 20 * USEC_PER_S,
                                .settle = cls == KIND_CLASS_COMPLETION ? 0 : USEC_PER_S,
                                .first_turn_wait = 2 * USEC_PER_S,
                                .max_requeue = 2,
                                .priority = priority,
                                .queue = 64};
}

static inline struct schedule_job job(const struct upstream_settings *to,
                                      const struct kind_policy *policy)
{
    return (struct schedule_job){.to = to, .policy = policy, .expected = -1};
}

static inline struct schedule_interactive chat(const struct upstream_settings *to)
{
    return (struct schedule_interactive){.to = to, .kind = SCHEDULE_CHAT};
}

/* The only job that may start at that time is j (NULL: none may); it is called. */
static inline void next_is(struct schedule *s, double when, const struct schedule_job *j)
{
    struct schedule_job *next = schedule_next(s, at(when), NULL);
    assert_ptr_equal(next, j);
    if (next != NULL) {
        assert_int_equal(next->state, SCHEDULE_RUNNING);
        schedule_called(next);
    }
}

static inline void waits(struct schedule *s, double when, const struct schedule_job *j,
                         enum schedule_why why)
{
    assert_null(schedule_next(s, at(when), NULL));
    assert_string_equal(schedule_why_name(j->why), schedule_why_name(why));
}

/* No job may start at that time, and none before so many seconds later (-1: none at all). */
static inline void due_in(struct schedule *s, double when, double seconds)
{
    usec_t due = -1;
    assert_null(schedule_next(s, at(when), &due));
    assert_int_equal(due, seconds < 0 ? -1 : (usec_t)(seconds * 1e6));
}

#endif
