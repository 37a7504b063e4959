/* figures.c: counters by name, and durations.
 *
 * Percentiles: a value falls into one of 8 buckets per power of two of its microseconds (error
 * below 9 %), in the slice of its half minute; ten slices make five minutes. A slice is cleared
 * when its half minute comes round again. Values below 8 us share the first buckets one by one.
 */
#include "lull/config/figures.h"

#include "lull/base/err.h"

#include <stdlib.h>

static const int64_t SLICE_US = 30 * USEC_PER_S;

const usec_t figure_bounds[FIGURE_BOUNDS] = {
    1000,   2500,    5000,    10000,   25000,    50000,    100000,   250000,
    500000, 1000000, 2500000, 5000000, 10000000, 30000000, 60000000, 300000000};

static size_t bucket_of(usec_t value)
{
    uint64_t v = value < 0 ? 0 : (uint64_t)value;
    if (v < 8) {
        return (size_t)v;
    }
    unsigned power = 63 - (unsigned)__builtin_clzll(v);
    size_t bucket = (size_t)(power - 2) * 8 + (size_t)(v >> (power - 3) & 7);
    return bucket < FIGURE_BUCKETS ? bucket : FIGURE_BUCKETS - 1;
}

/* The middle of a bucket. */
static usec_t bucket_value(size_t bucket)
{
    if (bucket < 8) {
        return (usec_t)bucket;
    }
    unsigned power = (unsigned)(bucket / 8) + 2;
    uint64_t low = (uint64_t)(8 + bucket % 8) << (power - 3);
    return (usec_t)(low + ((uint64_t)1 << (power - 3)) / 2);
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
        *slice = (struct figure_slice){.epoch = epoch};
    }
    uint16_t *bucket = &slice->buckets[bucket_of(value)];
    *bucket = (uint16_t)(*bucket < UINT16_MAX ? *bucket + 1 : UINT16_MAX);
}

static bool is_recent(const struct figure_slice *slice, int64_t epoch)
{
    return slice->epoch > 0 && slice->epoch <= epoch && slice->epoch > epoch - FIGURE_SLICES;
}

usec_t figure_times_percentile(const struct figure_times *t, mono_t now, double p)
{
    uint64_t total = 0;
    uint64_t sums[FIGURE_BUCKETS] = {0};
    int64_t epoch = now.us / SLICE_US + 1;
    for (size_t s = 0; t->slices != NULL && s < FIGURE_SLICES; s++) {
        for (size_t b = 0; is_recent(&t->slices[s], epoch) && b < FIGURE_BUCKETS; b++) {
            sums[b] += t->slices[s].buckets[b];
            total += t->slices[s].buckets[b];
        }
    }
    if (total == 0) {
        return -1;
    }
    uint64_t rank = (uint64_t)(p * (double)(total - 1)) + 1;
    uint64_t seen = 0;
    for (size_t b = 0; b < FIGURE_BUCKETS; b++) {
        seen += sums[b];
        if (seen >= rank) {
            return bucket_value(b);
        }
    }
    return bucket_value(FIGURE_BUCKETS - 1);
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
    free(f);
}

/* Room for one more pointer in an array of count. */
static void *grow(void *array, size_t count)
{
    void *more = realloc(array, (count + 1) * sizeof(void *));
    require(more != NULL);
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
    f->tasks = grow(f->tasks, f->task_count);
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
    f->upstreams = grow(f->upstreams, f->upstream_count);
    f->upstreams[f->upstream_count++] = row;
    return row;
}
