/* test_rendering.c: the bodies of GET /stats and /metrics, the events of GET /events, and what the
 * page knows of outcomes. */
#include "support/check.h"

#include "control/control_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* All parts of a daemon that listens nowhere. */
struct world {
    struct config *config;
    struct control_parts parts;
    struct upstream_pool *pool;
    char folder[32];
    bool draining;
};

static void world_begin(struct world *w)
{
    char *sets[] = {(char *)"upstream.big.url=http://127.0.0.1:9",
                    (char *)"upstream.big.dialect=ollama", (char *)"upstream.big.slots=3",
                    (char *)"upstream.small.url=http://127.0.0.1:10",
                    (char *)"server.default_upstream=big"};
    struct config_sources sources = {.sets = {sets, sizeof sets / sizeof sets[0]}};
    struct buf errors = {.max = 4096}, warnings = {.max = 4096};
    *w = (struct world){.folder = "/tmp/lull-render-XXXXXX"};
    assert_non_null(mkdtemp(w->folder));
    w->config = config_read(&sources, &errors, &warnings);
    assert_non_null(w->config);
    struct settings *s = config_settings(w->config);
    struct control_parts *p = &w->parts;
    struct cache_options cache = {.dir = w->folder, .settings = s->cache};
    p->loop = loop_create();
    p->config = &w->config;
    p->figures = figures_create();
    p->cache = cache_create(p->loop, &cache);
    w->pool = upstream_pool_create(p->loop);
    p->servers = servers_create(p->loop, w->pool, p->figures);
    p->schedule = schedule_create(p->servers);
    struct engine_parts parts = {.loop = p->loop,
                                 .cache = p->cache,
                                 .pool = w->pool,
                                 .servers = p->servers,
                                 .schedule = p->schedule,
                                 .figures = p->figures};
    p->engine = engine_create(&parts, s);
    p->edge = edge_create(p->loop, s, NULL, &engine_handler, p->engine);
    p->draining = &w->draining;
    p->started = loop_now(p->loop);
    buf_free(&errors);
    buf_free(&warnings);
}

static void world_end(struct world *w)
{
    char command[64];
    edge_destroy(w->parts.edge);
    engine_destroy(w->parts.engine);
    schedule_destroy(w->parts.schedule);
    servers_destroy(w->parts.servers);
    upstream_pool_destroy(w->pool);
    cache_destroy(w->parts.cache);
    figures_destroy(w->parts.figures);
    loop_destroy(w->parts.loop);
    config_destroy(w->config);
    snprintf(command, sizeof command, "rm -r %s", w->folder);
    assert_int_equal(system(command), 0);
}

static cJSON *stats(struct world *w)
{
    struct buf out = {.max = 1024 * 1024};
    control_stats_json(&w->parts, &out);
    cJSON *tree = cJSON_ParseWithLength(out.data, out.len);
    assert_non_null(tree);
    buf_free(&out);
    return tree;
}

static const cJSON *at(const cJSON *o, const char *first, const char *second)
{
    return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(o, first), second);
}

static double number(const cJSON *o, const char *name)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(o, name);
    assert_true(cJSON_IsNumber(member));
    return member->valuedouble;
}

static void stats_have_each_figure_in_its_group(void **state)
{
    struct world w;
    (void)state;
    world_begin(&w);
    struct task_figures *t = figures_task(w.parts.figures, "title");
    t->requests = 7;
    t->outcomes[OUTCOME_HIT] = 4;
    t->saved_us = 2500000;
    t->cost = 1500000;
    w.parts.figures->server.chat_failed = 2;
    w.parts.figures->server.tasks_unrecognised = 3;
    cJSON *root = stats(&w);
    const cJSON *title = at(root, "tasks", "title");
    assert_true(number(title, "requests") == 7 && number(title, "hits") == 4);
    assert_true(number(title, "saved_s") == 2.5 && number(title, "cost") == 1.5);
    assert_true(number(cJSON_GetObjectItem(root, "chat"), "failed") == 2);
    assert_true(number(root, "unrecognised") == 3);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(root, "mode")), "on");
    assert_string_equal(cJSON_GetStringValue(at(root, "cache", "state")), "on");
    assert_true(cJSON_IsNull(at(title, "latency_ms", "p50")));
    for (int i = 0; i < OUTCOME_COUNT; i++) {
        assert_true(cJSON_HasObjectItem(title, outcome_name((enum outcome)i)));
    }
    cJSON_Delete(root);
    world_end(&w);
}

/* would_... mean nothing for a kind that was never observed. */
static void figures_of_observing_are_left_out_elsewhere(void **state)
{
    struct world w;
    (void)state;
    world_begin(&w);
    (void)figures_task(w.parts.figures, "title");
    figures_task(w.parts.figures, "tags")->observed = true;
    cJSON *root = stats(&w);
    assert_false(cJSON_HasObjectItem(at(root, "tasks", "title"), "would_hit"));
    assert_true(cJSON_HasObjectItem(at(root, "tasks", "tags"), "would_hit"));
    cJSON_Delete(root);
    world_end(&w);
}

static void upstreams_show_what_is_in_force(void **state)
{
    struct world w;
    (void)state;
    world_begin(&w);
    cJSON *root = stats(&w);
    const cJSON *big = at(root, "upstreams", "big");
    const cJSON *small = at(root, "upstreams", "small");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(big, "dialect")), "ollama");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(small, "dialect")), "auto");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItem(small, "state")), "untried");
    assert_true(number(big, "slots") == 3 && number(small, "slots") == 1);
    cJSON_Delete(root);
    world_end(&w);
}

static void gauges_are_read_when_they_are_asked_for(void **state)
{
    struct schedule_job job = {.expected = -1};
    struct world w;
    (void)state;
    world_begin(&w);
    const struct settings *s = config_settings(w.config);
    job.to = &s->upstreams[0];
    job.policy = &s->kinds[KIND_TITLE];
    schedule_wait(w.parts.schedule, &job, loop_now(w.parts.loop));
    (void)figures_upstream(w.parts.figures, "big");
    cJSON *root = stats(&w);
    assert_true(number(at(root, "upstreams", "big"), "queued") == 1);
    cJSON_Delete(root);
    schedule_end(w.parts.schedule, &job, loop_now(w.parts.loop), false);
    root = stats(&w);
    assert_true(number(at(root, "upstreams", "big"), "queued") == 0);
    cJSON_Delete(root);
    world_end(&w);
}

static void sleep_and_stop(void *ctx)
{
    const struct timespec time = {.tv_nsec = 20 * 1000000L};
    nanosleep(&time, NULL);
    loop_stop(ctx);
}

/* Without a turn all are 0. What a turn waits for is no CPU. */
static void the_longest_turns_are_shown(void **state)
{
    struct world w;
    (void)state;
    world_begin(&w);
    cJSON *root = stats(&w);
    assert_true(number(cJSON_GetObjectItem(root, "process"), "loop_longest_turn_ms") == 0);
    assert_true(number(cJSON_GetObjectItem(root, "process"), "loop_recent_turn_ms") == 0);
    cJSON_Delete(root);
    struct loop_timer *timer = loop_timer_create(w.parts.loop, sleep_and_stop, w.parts.loop);
    loop_timer_start(timer, 0);
    loop_run(w.parts.loop);
    root = stats(&w);
    const cJSON *process = cJSON_GetObjectItem(root, "process");
    assert_true(number(process, "loop_longest_turn_ms") >= 20);
    assert_true(number(process, "loop_longest_turn_cpu_ms") < 20);
    assert_true(number(process, "loop_recent_turn_ms") >= 20);
    assert_true(number(process, "loop_recent_turn_cpu_ms") < 20);
    loop_timer_destroy(timer);
    cJSON_Delete(root);
    world_end(&w);
}

static bool has_line(const struct buf *out, const char *line)
{
    struct span all = buf_span(out);
    for (size_t from = 0; from < all.len;) {
        size_t end = span_find(all, SPAN("\n"), from);
        end = end == SIZE_MAX ? all.len : end;
        if (span_eq(span_make(all.ptr + from, end - from), span_of(line))) {
            return true;
        }
        from = end + 1;
    }
    return false;
}

static void metrics_have_units_types_and_labels(void **state)
{
    struct world w;
    struct buf out = {.max = 1024 * 1024};
    (void)state;
    world_begin(&w);
    struct task_figures *t = figures_task(w.parts.figures, "title");
    t->requests = 7;
    t->saved_us = 2500000;
    figure_times_add(&t->latency, loop_now(w.parts.loop), 20000);
    figure_times_add(&t->latency, loop_now(w.parts.loop), 400000000);
    control_metrics(&w.parts, &out);
    assert_true(has_line(&out, "# TYPE lull_task_requests_total counter"));
    assert_true(has_line(&out, "lull_task_requests_total{kind=\"title\"} 7"));
    assert_true(has_line(&out, "lull_task_saved_seconds_total{kind=\"title\"} 2.500000"));
    assert_true(has_line(&out, "# TYPE lull_upstream_running gauge"));
    assert_true(has_line(&out, "lull_upstream_up{upstream=\"small\"} 1"));
    assert_true(has_line(&out, "# TYPE lull_task_latency_seconds histogram"));
    assert_true(has_line(&out, "lull_task_latency_seconds_bucket{kind=\"title\",le=\"0.01\"} 0"));
    assert_true(has_line(&out, "lull_task_latency_seconds_bucket{kind=\"title\",le=\"0.025\"} 1"));
    assert_true(has_line(&out, "lull_task_latency_seconds_bucket{kind=\"title\",le=\"+Inf\"} 2"));
    assert_true(has_line(&out, "lull_task_latency_seconds_sum{kind=\"title\"} 400.020000"));
    assert_true(has_line(&out, "lull_cache_on 1"));
    assert_true(has_line(&out, "# TYPE lull_process_loop_longest_turn_seconds gauge"));
    assert_true(has_line(&out, "lull_process_loop_recent_turn_seconds 0.000000"));
    assert_true(has_line(&out, "lull_process_loop_longest_turn_cpu_seconds 0.000000"));
    buf_free(&out);
    world_end(&w);
}

/* ---- events ---- */

static void an_event_has_the_members_that_apply(void **state)
{
    struct exchange_event e = {.id = 7,
                               .at = {1500000},
                               .method = "POST",
                               .path = "/v1/\"x\"",
                               .what = "task",
                               .kind = "title",
                               .why = "",
                               .outcome = "hits",
                               .status = 200,
                               .upstream = "big",
                               .took = 2500,
                               .first_token = -1,
                               .held = -1,
                               .model_time = 0,
                               .tokens_in = 3,
                               .tokens_out = -1};
    struct buf out = {.max = 4096};
    (void)state;
    control_events_render(&out, &e);
    assert_span(buf_span(&out),
                "data: {\"time\":1.500,\"id\":7,\"what\":\"task\",\"kind\":\"title\","
                "\"outcome\":\"hits\",\"method\":\"POST\",\"path\":\"/v1/\\\"x\\\"\","
                "\"status\":200,\"ms\":2.500,\"model_ms\":0.000,\"tokens_in\":3,"
                "\"upstream\":\"big\"}\n\n");
    buf_free(&out);
}

/* A line feed in a text would end the event early. */
static void an_event_is_one_line(void **state)
{
    struct exchange_event e = {.method = "GET",
                               .path = "/a\nevent: lost",
                               .what = "other",
                               .kind = "",
                               .why = "",
                               .outcome = "passed",
                               .upstream = "big",
                               .model = "m\r\n\n"};
    struct buf out = {.max = 4096};
    (void)state;
    control_events_render(&out, &e);
    assert_int_equal(span_find(buf_span(&out), SPAN("\n"), 0), out.len - 2);
    assert_int_equal(span_find(buf_span(&out), SPAN("\r"), 0), SIZE_MAX);
    buf_free(&out);
}

extern const unsigned char page_html[];
extern const size_t page_html_len;

/* The page adds up the outcomes that needed no call of their own: the same as lull does. */
static void the_page_knows_the_outcomes_without_a_call(void **state)
{
    struct span html = span_make((const char *)page_html, page_html_len);
    size_t start = span_find(html, SPAN("const WITHOUT_CALL = ["), 0);
    (void)state;
    assert_true(start != SIZE_MAX);
    struct span list = span_make(html.ptr + start, span_find(html, SPAN("];"), start) - start);
    for (int i = 0; i < OUTCOME_COUNT; i++) {
        char word[64];
        snprintf(word, sizeof word, "\"%s\"", outcome_name((enum outcome)i));
        bool listed = span_find(list, span_of(word), 0) != SIZE_MAX;
        assert_int_equal(listed, figures_is_without_call((enum outcome)i));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_knows_the_outcomes_without_a_call),
        cmocka_unit_test(stats_have_each_figure_in_its_group),
        cmocka_unit_test(figures_of_observing_are_left_out_elsewhere),
        cmocka_unit_test(upstreams_show_what_is_in_force),
        cmocka_unit_test(gauges_are_read_when_they_are_asked_for),
        cmocka_unit_test(the_longest_turns_are_shown),
        cmocka_unit_test(metrics_have_units_types_and_labels),
        cmocka_unit_test(an_event_has_the_members_that_apply),
        cmocka_unit_test(an_event_is_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
