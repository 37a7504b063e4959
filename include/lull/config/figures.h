/* figures.h: every counter of the program; the scalar ones are rows of figures.def. Storage and
 * arithmetic only: the control socket renders them as JSON and Prometheus text. Counters only grow
 * and survive reloads: they are kept by name.
 */
#ifndef LULL_CONFIG_FIGURES_H
#define LULL_CONFIG_FIGURES_H

#include "lull/base/clock.h"
#include "lull/config/kinds.h"

#include <stdbool.h>
#include <stdint.h>

/* How a scalar figure is shown. */
enum figure_unit { FIGURE_COUNT, FIGURE_SECONDS, FIGURE_MONEY, FIGURE_GAUGE };

/* Durations: all-time histogram with fixed bounds (for /metrics) and percentiles over the last five
 * minutes (for /stats), in ten slices of 30 s with log-spaced buckets (32 per power of two). */
enum { FIGURE_BOUNDS = 16, FIGURE_SLICES = 10, FIGURE_BUCKETS = 1024 };
extern const usec_t figure_bounds[FIGURE_BOUNDS]; /* upper bounds, rising; the rest is +Inf */

struct figure_times {
    uint64_t count;
    int64_t sum_us;
    uint64_t bounds[FIGURE_BOUNDS];
    struct figure_slice {
        int64_t epoch;
        usec_t least, most;
        uint32_t buckets[FIGURE_BUCKETS];
    } * slices; /* FIGURE_SLICES, made with the first value */
};

/* Adds one duration (0 or more), seen at `now`. */
void figure_times_add(struct figure_times *t, mono_t now, usec_t value);
/* The percentile by nearest rank, percent in 1..100: the least value that so many of all values do
 * not exceed, so that the slowest of ten is p99. Exact for the least and the largest value, within
 * 1.6 % for those between. -1 when nothing was seen in the last five minutes. */
usec_t figure_times_percentile(const struct figure_times *t, mono_t now, unsigned percent);
/* Which value of `count` sorted ones (counted from 1) is that percentile; 0 of none. */
static inline uint64_t figure_rank(uint64_t count, unsigned percent)
{
    return (count * percent + 99) / 100;
}
void figure_times_free(struct figure_times *t);

struct task_figures {
    char *name;
    bool observed; /* a request came in `mode = observe`: the figures would_... mean something */
    uint64_t requests; /* finished exchanges: equals the sum of outcomes at every moment */
    uint64_t outcomes[OUTCOME_COUNT];
    int64_t prefix_not[PREFIX_REASON_COUNT]; /* calls not made behind a conversation, by reason */
#define TASK_FIGURE(field, name, unit, help) int64_t field;
#include "lull/config/figures.def"
    struct figure_times latency;
    struct figure_times window; /* of completions: how long they were to be held; else never used */
};

/* What the report counts of a kind, a user and a day: X(field, "name", UNIT). */
#define SAVINGS_FIGURES(X)                                                                         \
    X(requests, "requests", COUNT)                                                                 \
    X(without_call, "without_call", COUNT)                                                         \
    X(saved_us, "saved_s", SECONDS)                                                                \
    X(spent_us, "spent_s", SECONDS)                                                                \
    X(wasted_us, "wasted_s", SECONDS)                                                              \
    X(wait_us, "wait_s", SECONDS)                                                                  \
    X(saved_tokens, "saved_tokens", COUNT)                                                         \
    X(cost, "cost", MONEY)                                                                         \
    X(saved_cost, "saved_cost", MONEY)
struct savings {
#define SAVINGS_FIELD(field, name, unit) int64_t field;
    SAVINGS_FIGURES(SAVINGS_FIELD)
#undef SAVINGS_FIELD
};
/* Adds, or subtracts, field by field. */
void savings_add(struct savings *to, const struct savings *s);
void savings_subtract(struct savings *from, const struct savings *s);

struct upstream_figures {
    char *name;
#define UPSTREAM_FIGURE(field, name, unit, help) int64_t field;
#include "lull/config/figures.def"
    struct figure_times latency;    /* of task calls that finished */
    struct figure_times abort_cost; /* what a chat's first token was late by after an abort */
    /* first tokens of turns that go on a conversation: what came since the turn before */
    struct figure_times token_alone, token_after_tasks, token_after_rewarm;
};

struct server_figures {
#define SERVER_FIGURE(group, field, name, unit, help) int64_t group##_##field;
#include "lull/config/figures.def"
    struct figure_times chat_ttft;
};

struct figures {
    struct server_figures server;
    struct task_figures **tasks; /* in order of first use */
    size_t task_count;
    struct upstream_figures **upstreams;
    size_t upstream_count;
    struct user_figures *users; /* FIGURE_USERS_MOST and two, made with the first */
    size_t user_count;
};

/* The same for each user, since figures_users_clear(). A user is known by 32 bits of a digest, never
 * by an id. The sums over all users are those over all kinds. */
enum { FIGURE_USERS_MOST = 256 };
#define FIGURE_USER_NONE 0U           /* requests without a user id */
#define FIGURE_USER_OTHERS UINT32_MAX /* users beyond FIGURE_USERS_MOST */
struct user_figures {
    uint32_t user;
    struct savings sum;
};

/* All zero; the caller destroys it with all its rows. */
struct figures *figures_create(void);
void figures_destroy(struct figures *f);
/* The row of that name, made on first use; valid as long as the figures. */
struct task_figures *figures_task(struct figures *f, const char *name);
struct upstream_figures *figures_upstream(struct figures *f, const char *name);
/* The row of that user, or FIGURE_USER_OTHERS' where there is no room; valid as long as the figures,
 * for this user until figures_users_clear(). */
struct savings *figures_user(struct figures *f, uint32_t user);
void figures_users_clear(struct figures *f);
/* Whether an exchange that ends so had no model call made on its behalf. */
bool figures_is_without_call(enum outcome outcome);
/* The totals of a kind since the start. */
struct savings figures_savings(const struct task_figures *t);
/* NULL when never used. */
const struct task_figures *figures_find_task(const struct figures *f, const char *name);

#endif
