/* metrics.c: GET /metrics: the same figures in Prometheus' text format
 * (https://prometheus.io/docs/instrumenting/exposition_formats/): one family after the other,
 * counters end in _total, times are seconds, histograms hold all time.
 *
 * Label values are names of kinds and upstreams, which the configuration keeps to a-z, 0-9 and _:
 * nothing has to be escaped.
 */
#include "control/control_priv.h"

#include "lull/base/os.h"

#include <stdio.h>

enum { NAME_MAX_BYTES = 128 };

struct family {
    char name[NAME_MAX_BYTES];
    enum figure_unit unit;
};

static struct family family_begin(struct buf *out, const char *group, const char *figure,
                                  enum figure_unit unit, const char *help)
{
    struct family f = {.unit = unit};
    size_t len = strlen(figure);
    bool seconds = unit == FIGURE_SECONDS && len > 2 && strcmp(figure + len - 2, "_s") == 0;
    snprintf(f.name, sizeof f.name, "lull_%s%s%.*s%s%s", group, group[0] != '\0' ? "_" : "",
             (int)(seconds ? len - 2 : len), figure, seconds ? "_seconds" : "",
             unit == FIGURE_GAUGE ? "" : "_total");
    buf_text(out, "# HELP %s %s\n# TYPE %s %s\n", f.name, help, f.name,
             unit == FIGURE_GAUGE ? "gauge" : "counter");
    return f;
}

static void family_sample(struct buf *out, const struct family *f, const char *labels,
                          int64_t value)
{
    if (f->unit == FIGURE_SECONDS || f->unit == FIGURE_MONEY) {
        buf_text(out, "%s%s %.6f\n", f->name, labels, (double)value / 1e6);
    } else {
        buf_text(out, "%s%s %lld\n", f->name, labels, (long long)value);
    }
}

/* label: "kind=\"title\"" or empty. */
static void put_histogram(struct buf *out, const char *name, const char *label,
                          const struct figure_times *t)
{
    const char *comma = label[0] != '\0' ? "," : "";
    uint64_t sum = 0;
    for (size_t i = 0; i < FIGURE_BOUNDS; i++) {
        sum += t->bounds[i];
        buf_text(out, "%s_bucket{%s%sle=\"%g\"} %llu\n", name, label, comma,
                 (double)figure_bounds[i] / 1e6, (unsigned long long)sum);
    }
    buf_text(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", name, label, comma,
             (unsigned long long)t->count);
    const char *open = label[0] != '\0' ? "{" : "";
    const char *close = label[0] != '\0' ? "}" : "";
    buf_text(out, "%s_sum%s%s%s %.6f\n", name, open, label, close, (double)t->sum_us / 1e6);
    buf_text(out, "%s_count%s%s%s %llu\n", name, open, label, close, (unsigned long long)t->count);
}

static void put_histogram_head(struct buf *out, const char *name, const char *help)
{
    buf_text(out, "# HELP %s %s\n# TYPE %s histogram\n", name, help, name);
}

static void task_figure(struct buf *out, const struct figures *f, size_t offset, const char *name,
                        enum figure_unit unit, const char *help)
{
    struct family family = family_begin(out, "task", name, unit, help);
    for (size_t i = 0; i < f->task_count; i++) {
        char labels[NAME_MAX_BYTES];
        int64_t value = 0;
        memcpy(&value, (const char *)f->tasks[i] + offset, sizeof value);
        snprintf(labels, sizeof labels, "{kind=\"%s\"}", f->tasks[i]->name);
        family_sample(out, &family, labels, value);
    }
}

static void put_tasks(struct buf *out, const struct figures *f)
{
    char labels[NAME_MAX_BYTES];
    task_figure(out, f, offsetof(struct task_figures, requests), "requests", FIGURE_COUNT,
                "finished requests of a kind");
    struct family family =
        family_begin(out, "task", "outcomes", FIGURE_COUNT, "how requests ended");
    for (size_t i = 0; i < f->task_count; i++) {
        for (int o = 0; o < OUTCOME_COUNT; o++) {
            snprintf(labels, sizeof labels, "{kind=\"%s\",outcome=\"%s\"}", f->tasks[i]->name,
                     outcome_name((enum outcome)o));
            family_sample(out, &family, labels, (int64_t)f->tasks[i]->outcomes[o]);
        }
    }
    family = family_begin(out, "task", "prefix_not", FIGURE_COUNT,
                          "calls that were not made behind their conversation, by reason");
    for (size_t i = 0; i < f->task_count; i++) {
        for (int r = PREFIX_REASON_NONE + 1; r < PREFIX_REASON_COUNT; r++) {
            snprintf(labels, sizeof labels, "{kind=\"%s\",reason=\"%s\"}", f->tasks[i]->name,
                     prefix_reason_name((enum prefix_reason)r));
            if (f->tasks[i]->prefix_not[r] > 0) {
                family_sample(out, &family, labels, f->tasks[i]->prefix_not[r]);
            }
        }
    }
#define TASK_FIGURE(field, name, unit, help)                                                       \
    task_figure(out, f, offsetof(struct task_figures, field), name, FIGURE_##unit, help);
#include "lull/config/figures.def"
    put_histogram_head(out, "lull_task_latency_seconds", "time to answer a request of a kind");
    for (size_t i = 0; i < f->task_count; i++) {
        snprintf(labels, sizeof labels, "kind=\"%s\"", f->tasks[i]->name);
        put_histogram(out, "lull_task_latency_seconds", labels, &f->tasks[i]->latency);
    }
    put_histogram_head(out, "lull_task_window_seconds",
                       "debounce window that completions were given");
    for (size_t i = 0; i < f->task_count; i++) {
        snprintf(labels, sizeof labels, "kind=\"%s\"", f->tasks[i]->name);
        if (f->tasks[i]->window.count > 0) {
            put_histogram(out, "lull_task_window_seconds", labels, &f->tasks[i]->window);
        }
    }
}

static void upstream_figure(struct buf *out, struct figures *f, const struct settings *s,
                            size_t offset, const char *name, enum figure_unit unit,
                            const char *help)
{
    struct family family = family_begin(out, "upstream", name, unit, help);
    for (size_t i = 0; i < s->upstream_count; i++) {
        char labels[NAME_MAX_BYTES];
        int64_t value = 0;
        const struct upstream_figures *u = figures_upstream(f, s->upstreams[i].name);
        memcpy(&value, (const char *)u + offset, sizeof value);
        snprintf(labels, sizeof labels, "{upstream=\"%s\"}", s->upstreams[i].name);
        family_sample(out, &family, labels, value);
    }
}

static void upstream_histogram(struct buf *out, struct figures *f, const struct settings *s,
                               size_t offset, const char *name, const char *help)
{
    put_histogram_head(out, name, help);
    for (size_t i = 0; i < s->upstream_count; i++) {
        char labels[NAME_MAX_BYTES];
        const struct upstream_figures *u = figures_upstream(f, s->upstreams[i].name);
        snprintf(labels, sizeof labels, "upstream=\"%s\"", u->name);
        put_histogram(out, name, labels,
                      (const struct figure_times *)(const void *)((const char *)u + offset));
    }
}

/* First tokens of turns that continue a conversation, by what ran between it and the turn before. */
static void turn_histograms(struct buf *out, struct figures *f, const struct settings *s)
{
    static const char NAME[] = "lull_upstream_turn_ttft_seconds";
    put_histogram_head(out, NAME, "first token of turns that continue a conversation");
    for (size_t i = 0; i < s->upstream_count; i++) {
        const struct upstream_figures *u = figures_upstream(f, s->upstreams[i].name);
        const struct {
            const char *after;
            const struct figure_times *times;
        } turns[] = {{"alone", &u->token_alone},
                     {"tasks", &u->token_after_tasks},
                     {"rewarm", &u->token_after_rewarm}};
        for (size_t k = 0; k < sizeof turns / sizeof turns[0]; k++) {
            char labels[NAME_MAX_BYTES];
            snprintf(labels, sizeof labels, "upstream=\"%s\",after=\"%s\"", u->name,
                     turns[k].after);
            put_histogram(out, NAME, labels, turns[k].times);
        }
    }
}

static void put_upstreams(struct buf *out, const struct control_parts *parts)
{
    const struct settings *s = control_settings(parts);
    struct figures *f = parts->figures;
    struct family up = family_begin(out, "upstream", "up", FIGURE_GAUGE,
                                    "0: the last call did not reach it, or tasks are kept away");
    for (size_t i = 0; i < s->upstream_count; i++) {
        char labels[NAME_MAX_BYTES];
        const char *state = control_server_state(parts, &s->upstreams[i]);
        snprintf(labels, sizeof labels, "{upstream=\"%s\"}", s->upstreams[i].name);
        family_sample(out, &up, labels, strcmp(state, "up") == 0 || strcmp(state, "untried") == 0);
    }
    struct family slots = family_begin(out, "upstream", "slots", FIGURE_GAUGE,
                                       "generations it runs at a time; 0: nothing waits for it");
    for (size_t i = 0; i < s->upstream_count; i++) {
        char labels[NAME_MAX_BYTES];
        snprintf(labels, sizeof labels, "{upstream=\"%s\"}", s->upstreams[i].name);
        family_sample(out, &slots, labels, schedule_slots(parts->schedule, &s->upstreams[i]));
    }
#define UPSTREAM_FIGURE(field, name, unit, help)                                                   \
    upstream_figure(out, f, s, offsetof(struct upstream_figures, field), name, FIGURE_##unit, help);
#include "lull/config/figures.def"
    upstream_histogram(out, f, s, offsetof(struct upstream_figures, latency),
                       "lull_upstream_latency_seconds", "length of task calls that finished");
    upstream_histogram(out, f, s, offsetof(struct upstream_figures, abort_cost),
                       "lull_upstream_abort_cost_seconds",
                       "what the first token of a chat was late by after an abort");
    turn_histograms(out, f, s);
}

static void put_one(struct buf *out, const char *group, const char *name, enum figure_unit unit,
                    const char *help, int64_t value)
{
    struct family family = family_begin(out, group, name, unit, help);
    family_sample(out, &family, "", value);
}

static void put_server(struct buf *out, const struct server_figures *s)
{
#define SERVER_FIGURE(group, field, name, unit, help)                                              \
    put_one(out, #group, name, FIGURE_##unit, help, s->group##_##field);
#include "lull/config/figures.def"
    put_histogram_head(out, "lull_chat_ttft_seconds", "time to the first byte of a chat's answer");
    put_histogram(out, "lull_chat_ttft_seconds", "", &s->chat_ttft);
}

static void put_cache(struct buf *out, struct cache *cache)
{
    struct cache_stats c = cache_stats(cache);
    put_one(out, "cache", "on", FIGURE_GAUGE, "1: the cache works",
            strcmp(cache_state(cache), "on") == 0);
    put_one(out, "cache", "entries", FIGURE_GAUGE, "answers kept", (int64_t)c.entries);
    put_one(out, "cache", "bytes", FIGURE_GAUGE, "live bytes", (int64_t)c.bytes);
    put_one(out, "cache", "max_bytes", FIGURE_GAUGE, "max_size", (int64_t)c.max_bytes);
    put_one(out, "cache", "pending_writes", FIGURE_GAUGE, "not yet committed",
            (int64_t)c.pending_writes);
    put_one(out, "cache", "inserted", FIGURE_COUNT, "answers put in", (int64_t)c.inserted);
    put_one(out, "cache", "expired", FIGURE_COUNT, "removed by age", (int64_t)c.expired);
    put_one(out, "cache", "evicted", FIGURE_COUNT, "removed for room", (int64_t)c.evicted);
    put_one(out, "cache", "collisions", FIGURE_COUNT, "same hash, other request",
            (int64_t)c.collisions);
    put_histogram_head(out, "lull_cache_commit_seconds", "duration of commits to disk");
    put_histogram(out, "lull_cache_commit_seconds", "", cache_commit_times(cache));
    put_one(out, "cache", "errors", FIGURE_COUNT, "failed reads and writes", (int64_t)c.errors);
}

/* The longest of them, as gauges in seconds. */
static void put_turns(struct buf *out, const struct loop *loop)
{
    struct turn_cost most = loop_turns(loop)->most;
    struct turn_cost recent = turns_recent(loop_turns(loop), loop_now(loop));
    const struct {
        const char *name, *help;
        usec_t value;
    } rows[] = {
        {"longest_turn", "longest turn of the loop since the start", most.time},
        {"longest_turn_cpu", "most CPU of a turn of the loop since the start", most.cpu},
        {"recent_turn", "longest turn of the loop in the last five minutes", recent.time},
        {"recent_turn_cpu", "most CPU of a turn of the loop in the last five minutes", recent.cpu},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        buf_text(out,
                 "# HELP lull_process_loop_%s_seconds %s\n"
                 "# TYPE lull_process_loop_%s_seconds gauge\n"
                 "lull_process_loop_%s_seconds %.6f\n",
                 rows[i].name, rows[i].help, rows[i].name, rows[i].name,
                 (double)rows[i].value / 1e6);
    }
}

void control_metrics(const struct control_parts *parts, struct buf *out)
{
    struct figures *f = control_figures(parts);
    uint64_t anon = 0;
    uint64_t file = 0;
    os_rss(&anon, &file);
    buf_text(out, "# HELP lull_info version\n# TYPE lull_info gauge\nlull_info{version=\"%s\"} 1\n",
             LULL_VERSION);
    put_one(out, "", "uptime_seconds", FIGURE_GAUGE, "since the start",
            mono_diff(loop_now(parts->loop), parts->started) / USEC_PER_S);
    put_tasks(out, f);
    put_server(out, &f->server);
    put_upstreams(out, parts);
    put_cache(out, parts->cache);
    put_one(out, "process", "rss_anon_bytes", FIGURE_GAUGE, "own memory", (int64_t)anon);
    put_one(out, "process", "rss_file_bytes", FIGURE_GAUGE, "memory mapped from files",
            (int64_t)file);
    put_one(out, "process", "heap_bytes", FIGURE_GAUGE, "own memory in use", (int64_t)os_heap());
    put_one(out, "process", "cpu_s", FIGURE_SECONDS, "CPU time", os_cpu_us());
    put_one(out, "process", "fds", FIGURE_GAUGE, "open descriptors", (int64_t)os_open_fds());
    put_turns(out, parts->loop);
}
