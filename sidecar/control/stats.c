/* stats.c: GET /stats: all figures as one JSON object. Names come from figures.def and
 * outcomes.def, so a new figure appears by itself. Durations are shown in seconds or milliseconds,
 * percentiles are null where nothing happened in the last five minutes. */
#include "control/control_priv.h"

#include "lull/base/os.h"
#include "lull/config/options.h"

#include <math.h>
#include <unistd.h>

static void add_times(cJSON *to, const char *name, const struct figure_times *t, mono_t now)
{
    cJSON *o = cJSON_AddObjectToObject(to, name);
    control_add_ms(o, "p50", figure_times_percentile(t, now, 50));
    control_add_ms(o, "p90", figure_times_percentile(t, now, 90));
    control_add_ms(o, "p99", figure_times_percentile(t, now, 99));
}

static void add_task(cJSON *to, const struct task_figures *t, mono_t now)
{
    cJSON *o = cJSON_AddObjectToObject(to, t->name);
    cJSON_AddNumberToObject(o, "requests", (double)t->requests);
    for (int i = 0; i < OUTCOME_COUNT; i++) {
        cJSON_AddNumberToObject(o, outcome_name((enum outcome)i), (double)t->outcomes[i]);
    }
#define TASK_FIGURE(field, name, unit, help)                                                       \
    if (t->observed || strncmp(name, "would_", strlen("would_")) != 0) {                           \
        control_add_figure(o, name, FIGURE_##unit, t->field);                                      \
    }
#include "lull/config/figures.def"
    cJSON *not = cJSON_AddObjectToObject(o, "prefix_not");
    for (int i = PREFIX_REASON_NONE + 1; i < PREFIX_REASON_COUNT; i++) {
        if (t->prefix_not[i] > 0) {
            cJSON_AddNumberToObject(not, prefix_reason_name((enum prefix_reason)i),
                                    (double)t->prefix_not[i]);
        }
    }
    add_times(o, "latency_ms", &t->latency, now);
    if (t->window.count > 0) {
        add_times(o, "window_ms", &t->window, now);
    }
}

const char *control_server_state(const struct control_parts *parts,
                                 const struct upstream_settings *to)
{
    return server_state_name(server_state(server_of(parts->servers, to), loop_now(parts->loop)));
}

static void add_upstream(cJSON *to, const struct control_parts *parts,
                         const struct upstream_settings *up, mono_t now)
{
    const struct upstream_figures *u = figures_upstream(parts->figures, up->name);
    cJSON *o = cJSON_AddObjectToObject(to, up->name);
    cJSON_AddStringToObject(o, "state", control_server_state(parts, up));
    cJSON_AddStringToObject(o, "dialect", choice_word(TYPE_DIALECT, (int)up->dialect));
    cJSON_AddNumberToObject(o, "slots", (double)schedule_slots(parts->schedule, up));
#define UPSTREAM_FIGURE(field, name, unit, help)                                                   \
    control_add_figure(o, name, FIGURE_##unit, u->field);
#include "lull/config/figures.def"
    add_times(o, "latency_ms", &u->latency, now);
    add_times(o, "abort_cost_ms", &u->abort_cost, now);
    cJSON *turns = cJSON_AddObjectToObject(o, "turn_ttft_ms");
    add_times(turns, "alone", &u->token_alone, now);
    add_times(turns, "after_tasks", &u->token_after_tasks, now);
    add_times(turns, "after_rewarm", &u->token_after_rewarm, now);
}

/* The groups of SERVER_FIGURE become objects; a group that exists already is added to, but for
 * tasks, which belong to the top. */
static void add_server(cJSON *root, const struct server_figures *s)
{
    static const char tasks_group[] = "tasks";
#define SERVER_FIGURE(group, field, name, unit, help)                                              \
    {                                                                                              \
        cJSON *to = cJSON_GetObjectItemCaseSensitive(root, #group);                                \
        bool top = strcmp(#group, tasks_group) == 0;                                               \
        if (to == NULL && !top) {                                                                  \
            to = cJSON_AddObjectToObject(root, #group);                                            \
        }                                                                                          \
        control_add_figure(top ? root : to, name, FIGURE_##unit, s->group##_##field);              \
    }
#include "lull/config/figures.def"
}

static void add_cache(cJSON *root, struct cache *cache)
{
    struct cache_stats c = cache_stats(cache);
    cJSON *o = cJSON_AddObjectToObject(root, "cache");
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"entries", c.entries},       {"bytes", c.bytes},     {"max_bytes", c.max_bytes},
        {"inserted", c.inserted},     {"expired", c.expired}, {"evicted", c.evicted},
        {"collisions", c.collisions}, {"errors", c.errors},   {"pending_writes", c.pending_writes},
    };
    cJSON_AddStringToObject(o, "state", cache_state(cache));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cJSON_AddNumberToObject(o, rows[i].name, (double)rows[i].value);
    }
    cJSON *commit = cJSON_AddObjectToObject(o, "commit_ms");
    control_add_ms(commit, "p50", c.commit_p50);
    control_add_ms(commit, "p99", c.commit_p99);
}

static void add_process(cJSON *root, const struct loop *loop)
{
    uint64_t anon = 0;
    uint64_t file = 0;
    cJSON *o = cJSON_AddObjectToObject(root, "process");
    os_rss(&anon, &file);
    cJSON_AddNumberToObject(o, "rss_anon_bytes", (double)anon);
    cJSON_AddNumberToObject(o, "rss_file_bytes", (double)file);
    cJSON_AddNumberToObject(o, "heap_bytes", (double)os_heap());
    cJSON_AddNumberToObject(o, "cpu_s", (double)os_cpu_us() / 1e6);
    cJSON_AddNumberToObject(o, "fds", (double)os_open_fds());
    struct turn_cost most = loop_turns(loop)->most;
    struct turn_cost recent = turns_recent(loop_turns(loop), loop_now(loop));
    control_add_ms(o, "loop_longest_turn_ms", most.time);
    control_add_ms(o, "loop_longest_turn_cpu_ms", most.cpu);
    control_add_ms(o, "loop_recent_turn_ms", recent.time);
    control_add_ms(o, "loop_recent_turn_cpu_ms", recent.cpu);
}

struct figures *control_figures(const struct control_parts *parts)
{
    struct figures *f = parts->figures;
    struct http_counts counts = http_server_counts(edge_server(parts->edge));
    f->server.connections_open = (int64_t)counts.open;
    f->server.connections_accepted = (int64_t)counts.accepted;
    f->server.connections_refused = (int64_t)counts.refused;
    f->server.connections_bad_requests =
        (int64_t)counts.bad_requests + engine_bad_requests(parts->engine);
    const struct settings *s = control_settings(parts);
    for (size_t i = 0; i < s->upstream_count; i++) {
        const struct upstream_settings *up = &s->upstreams[i];
        server_of(parts->servers, up)->figures->queued =
            (int64_t)schedule_count(parts->schedule, up).waiting;
    }
    return f;
}

void control_stats_json(const struct control_parts *parts, struct buf *out)
{
    const struct settings *s = control_settings(parts);
    struct figures *f = control_figures(parts);
    mono_t now = loop_now(parts->loop);
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "version", LULL_VERSION);
    cJSON_AddNumberToObject(root, "pid", (double)getpid());
    cJSON_AddNumberToObject(root, "uptime_s", floor((double)mono_diff(now, parts->started) / 1e6));
    cJSON_AddStringToObject(root, "mode", choice_word(TYPE_TASKS_MODE, (int)s->mode));
    cJSON *tasks = cJSON_AddObjectToObject(root, "tasks");
    for (size_t i = 0; i < f->task_count; i++) {
        add_task(tasks, f->tasks[i], now);
    }
    add_server(root, &f->server);
    add_times(cJSON_GetObjectItemCaseSensitive(root, "chat"), "ttft_ms", &f->server.chat_ttft, now);
    cJSON *upstreams = cJSON_AddObjectToObject(root, "upstreams");
    for (size_t i = 0; i < s->upstream_count; i++) {
        add_upstream(upstreams, parts, &s->upstreams[i], now);
    }
    add_cache(root, parts->cache);
    add_process(root, parts->loop);
    char *text = cJSON_PrintUnformatted(root);
    if (text == NULL || buf_append_span(out, span_of(text)) != ERR_OK) {
        buf_clear(out);
    }
    cJSON_free(text);
    cJSON_Delete(root);
}
