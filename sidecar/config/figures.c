/* figures.c: counters by name, and durations.
 *
 * Percentiles: a value falls into one of 32 buckets per power of two of its microseconds, in the
 * slice of its half minute; ten slices make five minutes. A slice is cleared when its half minute
 * comes round again. Values below 32 us have a bucket each. The middle of a bucket stands for its
 * values (error below 1.6 %); the least and the largest value are kept as they are.
 */
#include "lull/config/figures.h"

#include "lull/base/err.h"

#include <stdlib.h>

static const int64_t SLICE_US = 30 * USEC_PER_S;
enum { STEP_BITS = 5, STEPS = 1 << STEP_BITS };

const usec_t figure_bounds[FIGURE_BOUNDS] = {
    1000,   2500,    5000,    10000,   25000,    50000,    100000,   250000,
    500000, 1000000, 2500000, 5000000, 10000000, 30000000, 60000000, 300000000};

static size_t bucket_of(usec_t value)
{
    uint64_t v = value < 0 ? 0 : (uint64_t)value;
    if (v < STEPS) {
        return (size_t)v;
    }
    unsigned power = 63 - (unsigned)__builtin_clzll(v) - STEP_BITS;
    size_t bucket = (size_t)(power + 1) * STEPS + (size_t)(v >> power & (STEPS - 1));
    return bucket < FIGURE_BUCKETS ? bucket : FIGURE_BUCKETS - 1;
}

/* The middle of a bucket. */
static usec_t bucket_value(size_t bucket)
{
    if (bucket < STEPS) {
        return (usec_t)bucket;
    }
    unsigned power = (unsigned)(bucket / STEPS) - 1;
    uint64_t low = (uint64_t)(STEPS + bucket % STEPS) << power;
    return (usec_t)(low + ((uint64_t)1 << power) / 2);
}

void figure_times_add(struct figure_times *t, mono_t now, usec_t value)
{
    t->count++;
    t->sum_us += value;
    for (size_t i = 0; i < FIGURE_BOUNDS; i++) {
        if (value <= figure_bounds[i]) {
            t->bounds[i]++;
            break;
        }
    }
    if (t->slices == NULL) {
        t->slices = mem_new(FIGURE_SLICES * sizeof *t->slices);
    }
    int64_t epoch = now.us / SLICE_US + 1; /* 0 marks a slice that was never used */
    struct figure_slice *slice = &t->slices[epoch % FIGURE_SLICES];
    if (slice->epoch != epoch) {
        *slice = (struct figure_slice){.epoch = epoch, .least = value, .most = value};
    }
    slice->least = value < slice->least ? value : slice->least;
    slice->most = value > slice->most ? value : slice->most;
    uint32_t *bucket = &slice->buckets[bucket_of(value)];
    *bucket += *bucket < UINT32_MAX;
}

static bool is_recent(const struct figure_slice *slice, int64_t epoch)
{
    return slice->epoch > 0 && slice->epoch <= epoch && slice->epoch > epoch - FIGURE_SLICES;
}

usec_t figure_times_percentile(const struct figure_times *t, mono_t now, unsigned percent)
{
    uint64_t total = 0;
    uint64_t sums[FIGURE_BUCKETS] = {0};
    usec_t least = INT64_MAX;
    usec_t most = 0;
    int64_t epoch = now.us / SLICE_US + 1;
    for (size_t s = 0; t->slices != NULL && s < FIGURE_SLICES; s++) {
        const struct figure_slice *slice = &t->slices[s];
        if (!is_recent(slice, epoch)) {
            continue;
        }
        least = slice->least < least ? slice->least : least;
        most = slice->most > most ? slice->most : most;
        for (size_t b = 0; b < FIGURE_BUCKETS; b++) {
            sums[b] += slice->buckets[b];
            total += slice->buckets[b];
        }
    }
    uint64_t rank = figure_rank(total, percent);
    if (rank <= 1 || rank == total) {
        return total == 0 ? -1 : rank == total ? most : least;
    }
    size_t b = 0;
    for (uint64_t seen = sums[0]; seen < rank; seen += sums[b]) {
        b++;
    }
    return bucket_value(b);
}

void figure_times_free(struct figure_times *t)
{
    free(t->slices);
    *t = (struct figure_times){0};
}

struct figures *figures_create(void)
{
    return mem_new(sizeof(struct figures));
}

void figures_destroy(struct figures *f)
{
    if (f == NULL) {
        return;
    }
    for (size_t i = 0; i < f->task_count; i++) {
        figure_times_free(&f->tasks[i]->latency);
        figure_times_free(&f->tasks[i]->window);
        free(f->tasks[i]->name);
        free(f->tasks[i]);
    }
    for (size_t i = 0; i < f->upstream_count; i++) {
        figure_times_free(&f->upstreams[i]->latency);
        figure_times_free(&f->upstreams[i]->abort_cost);
        figure_times_free(&f->upstreams[i]->token_alone);
        figure_times_free(&f->upstreams[i]->token_after_tasks);
        figure_times_free(&f->upstreams[i]->token_after_rewarm);
        free(f->upstreams[i]->name);
        free(f->upstreams[i]);
    }
    figure_times_free(&f->server.chat_ttft);
    free(f->tasks);
    free(f->upstreams);
    free(f->users);
    free(f);
}

/* Room for one more pointer in an array of count. */
static void *array_grow(void *array, size_t count)
{
    void *more = mem_have(realloc(array, (count + 1) * sizeof(void *)));
    return more;
}

const struct task_figures *figures_find_task(const struct figures *f, const char *name)
{
    for (size_t i = 0; i < f->task_count; i++) {
        if (strcmp(f->tasks[i]->name, name) == 0) {
            return f->tasks[i];
        }
    }
    return NULL;
}

struct task_figures *figures_task(struct figures *f, const char *name)
{
    for (size_t i = 0; i < f->task_count; i++) {
        if (strcmp(f->tasks[i]->name, name) == 0) {
            return f->tasks[i];
        }
    }
    struct task_figures *row = mem_new(sizeof *row);
    row->name = mem_strdup(name);
    f->tasks = array_grow(f->tasks, f->task_count);
    f->tasks[f->task_count++] = row;
    return row;
}

struct upstream_figures *figures_upstream(struct figures *f, const char *name)
{
    for (size_t i = 0; i < f->upstream_count; i++) {
        if (strcmp(f->upstreams[i]->name, name) == 0) {
            return f->upstreams[i];
        }
    }
    struct upstream_figures *row = mem_new(sizeof *row);
    row->name = mem_strdup(name);
    f->upstreams = array_grow(f->upstreams, f->upstream_count);
    f->upstreams[f->upstream_count++] = row;
    return row;
}

void savings_add(struct savings *to, const struct savings *s)
{
#define SAVINGS_ADD(field, name, unit) to->field += s->field;
    SAVINGS_FIGURES(SAVINGS_ADD)
#undef SAVINGS_ADD
}

void savings_subtract(struct savings *from, const struct savings *s)
{
#define SAVINGS_SUBTRACT(field, name, unit) from->field -= s->field;
    SAVINGS_FIGURES(SAVINGS_SUBTRACT)
#undef SAVINGS_SUBTRACT
}

bool figures_is_without_call(enum outcome outcome)
{
    static const bool without[] = {
#define OUTCOME(id, name, without_call, help) [OUTCOME_##id] = (without_call),
#include "lull/config/outcomes.def"
    };
    return without[outcome];
}

struct savings figures_savings(const struct task_figures *t)
{
    struct savings s = {.requests = (int64_t)t->requests,
                        .saved_us = t->saved_us,
                        .spent_us = t->upstream_us,
                        .wasted_us = t->wasted_us,
                        .wait_us = t->wait_us,
                        .saved_tokens = t->saved_tokens,
                        .cost = t->cost,
                        .saved_cost = t->saved_cost};
    for (int i = 0; i < OUTCOME_COUNT; i++) {
        s.without_call += figures_is_without_call((enum outcome)i) ? (int64_t)t->outcomes[i] : 0;
    }
    return s;
}

struct savings *figures_user(struct figures *f, uint32_t user)
{
    for (size_t i = 0; i < f->user_count; i++) {
        if (f->users[i].user == user) {
            return &f->users[i].sum;
        }
    }
    if (f->user_count >= FIGURE_USERS_MOST && user != FIGURE_USER_NONE &&
        user != FIGURE_USER_OTHERS) {
        return figures_user(f, FIGURE_USER_OTHERS);
    }
    if (f->users == NULL) {
        f->users = mem_new((FIGURE_USERS_MOST + 2) * sizeof *f->users);
    }
    struct user_figures *row = &f->users[f->user_count++];
    *row = (struct user_figures){.user = user};
    return &row->sum;
}

void figures_users_clear(struct figures *f)
{
    f->user_count = 0;
}
