/* test_server.c: one record per model server: kept by name, found by number, forgotten with its url;
 * its models are bounded; what it amounts to.
 */
#include "support/fake_loop.c"

#include "support/capture.h"

#include "lull/path/server/breaker.h"
#include "lull/path/server/loads.h"
#include "lull/path/server/refusal.h"
#include "lull/path/server/server.h"
#include "lull/path/server/throttle.h"

#include <stdio.h>

static char here[] = "here", there[] = "there", third[] = "third";
static char first_url[] = "http://127.0.0.1:1", other_url[] = "http://127.0.0.1:2";

struct world {
    struct loop *loop;
    struct figures *figures;
    struct servers *all;
};

static void begin(struct world *w)
{
    w->loop = loop_create();
    w->figures = figures_create();
    w->all = servers_create(w->loop, NULL, w->figures);
}

static void end(struct world *w)
{
    servers_destroy(w->all);
    figures_destroy(w->figures);
    loop_destroy(w->loop);
}

static struct upstream_settings upstream(char *name, char *url)
{
    return (struct upstream_settings){
        .name = name, .url = url, .breaker_failures = 2, .breaker_open = 30 * USEC_PER_S};
}

static void records_survive_a_reload_by_name(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    struct upstream_settings before[2] = {upstream(here, first_url), upstream(there, other_url)};
    struct upstream_settings after[3] = {upstream(third, first_url), upstream(there, other_url),
                                         upstream(here, first_url)};
    servers_bind(w.all, before, 2);
    struct server *s = server_of(w.all, &before[0]);
    assert_string_equal(s->name, "here");
    s->found_slots = 4;
    server_model(s, SPAN("m"))->answered = (mono_t){7};
    servers_bind(w.all, after, 3); /* another order, and one more */
    assert_ptr_equal(server_of(w.all, &after[2]), s);
    assert_ptr_equal(server_of(w.all, &before[0]), s); /* requests that began before */
    assert_ptr_not_equal(server_of(w.all, &after[0]), s);
    assert_int_equal(s->found_slots, 4);
    assert_int_equal(server_model_answered_at(s, servers_key(w.all, SPAN("m"))).us, 7);
    assert_ptr_equal(s->figures, figures_upstream(w.figures, "here"));
    assert_string_equal(servers_at(w.all, 2)->name, "third");
    assert_null(servers_at(w.all, 3));
    end(&w);
}

/* Opens its breaker, and throttles it for a second. */
static void shut_out(struct server *s, const struct upstream_settings *to, mono_t now)
{
    breaker_failure(s, to, now);
    breaker_failure(s, to, now);
    throttle_note(s, (mono_t){now.us + USEC_PER_S}, true);
}

static void another_url_is_another_server(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    struct upstream_settings one = upstream(here, first_url);
    mono_t now = loop_now(w.loop);
    servers_bind(w.all, &one, 1);
    const struct upstream_settings before = one; /* of calls that go on */
    struct server *s = server_of(w.all, &one);
    s->figures->calls = 5;
    s->found_slots = 4;
    s->loops = true;
    (void)server_model(s, SPAN("m"));
    server_note_reached(s, &one, false, "refused");
    shut_out(s, &one, now);
    one.url = other_url;
    servers_bind(w.all, &one, 1);
    assert_ptr_equal(server_of(w.all, &before), s);
    assert_int_equal(s->throttled_until.us, 0); /* what waits for it goes on */
    shut_out(s, &before, now);
    s = server_of(w.all, &one);
    assert_int_equal(server_state(s, now), SERVER_STATE_UNTRIED);
    assert_false(breaker_is_open(s, now) || s->loops);
    assert_int_equal(s->throttled_until.us + s->said_until.us + s->found_slots, 0);
    assert_int_equal(s->model_count, 0);
    assert_int_equal(s->figures->calls, 5); /* counters only grow */
    for (int i = 0; i < 20; i++) {          /* there and back */
        one.url = i % 2 == 0 ? first_url : other_url;
        servers_bind(w.all, &one, 1);
        s = server_of(w.all, &one);
        assert_int_equal(server_state(s, now), SERVER_STATE_UNTRIED);
        throttle_note(s, (mono_t){now.us + USEC_PER_S}, true);
        server_note_reached(s, &one, false, "refused");
    }
    assert_null(servers_at(w.all, 2));
    end(&w);
}

/* With another key, proxy or ca_file the same server is asked again at once; what was learnt stays. */
static void another_key_ends_what_failed(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    struct upstream_settings one = upstream(here, first_url);
    mono_t now = loop_now(w.loop);
    char *parts[] = {"", "k", "p", "c"};
    servers_bind(w.all, &one, 1);
    struct server *s = server_of(w.all, &one);
    for (int i = 1; i < 4; i++) {
        s->found_slots = 4;
        server_note_reached(s, &one, false, "refused");
        shut_out(s, &one, now);
        servers_bind(w.all, &one, 1); /* nothing has changed */
        assert_true(breaker_is_open(s, now) && s->throttled_until.us > now.us);
        *(i == 1 ? &one.api_key : i == 2 ? &one.proxy : &one.ca_file) = parts[i];
        servers_bind(w.all, &one, 1);
        assert_ptr_equal(server_of(w.all, &one), s);
        assert_int_equal(server_state(s, now), SERVER_STATE_UNTRIED);
        assert_int_equal(s->throttled_until.us + s->said_until.us, 0);
        assert_int_equal(s->found_slots, 4);
    }
    end(&w);
}

/* A call that began with another key says nothing of those that come with the one in force. */
static void what_another_key_meets_is_not_kept(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    struct upstream_settings before = upstream(here, first_url), after = before;
    mono_t now = loop_now(w.loop);
    servers_bind(w.all, &before, 1);
    after.api_key = "k";
    servers_bind(w.all, &after, 1);
    struct server *s = server_of(w.all, &after);
    assert_true(server_access_is_current(s, &after));
    assert_false(server_access_is_current(s, &before));
    breaker_failure(s, &before, now);
    breaker_failure(s, &before, now);
    server_note_reached(s, &before, false, "refused");
    server_note_failed(
        s, &(struct server_failure){.to = &before, .caller = SERVER_CALLER_CHAT, .status = 401},
        now);
    assert_false(breaker_is_open(s, now));
    assert_int_equal(s->chat_refused, 0);
    assert_int_equal(server_state(s, now), SERVER_STATE_UNTRIED);
    server_note_reached(s, &before, true, "");
    assert_int_equal(server_state(s, now), SERVER_STATE_UP);
    servers_bind(w.all, &before, 1); /* back again */
    server_note_failed(
        s, &(struct server_failure){.to = &before, .caller = SERVER_CALLER_CHAT, .status = 401},
        now);
    assert_int_equal(s->chat_refused, 401);
    end(&w);
}

static void the_least_recently_used_model_makes_room(void **state)
{
    (void)state;
    struct world w;
    char name[32];
    begin(&w);
    struct upstream_settings one = upstream(here, first_url);
    servers_bind(w.all, &one, 1);
    struct server *s = server_of(w.all, &one);
    for (int i = 0; i < SERVER_MODELS; i++) {
        snprintf(name, sizeof name, "m%d", i);
        server_model_answered(s, servers_key(w.all, span_of(name)), (mono_t){i + 1});
        fake_loop_advance(w.loop, USEC_PER_S);
    }
    (void)server_model(s, SPAN("m0")); /* used */
    fake_loop_advance(w.loop, USEC_PER_S);
    (void)server_model(s, SPAN("one more"));
    assert_int_equal(s->model_count, SERVER_MODELS);
    assert_int_equal(server_model_answered_at(s, servers_key(w.all, SPAN("m0"))).us, 1);
    assert_int_equal(server_model_answered_at(s, servers_key(w.all, SPAN("m1"))).us, 0);
    assert_int_equal(server_model_answered_at(s, servers_key(w.all, SPAN("m2"))).us, 3);
    end(&w);
}

static void a_name_is_cut_and_stays_distinct(void **state)
{
    (void)state;
    struct world w;
    char text[SERVER_MODEL_NAME_MAX + 9];
    begin(&w);
    struct upstream_settings one = upstream(here, first_url);
    servers_bind(w.all, &one, 1);
    struct server *s = server_of(w.all, &one);
    memset(text, 'm', sizeof text);
    struct span all = span_make(text, sizeof text);
    struct server_model *longest = server_model(s, all);
    assert_int_equal(strlen(longest->name), SERVER_MODEL_NAME_MAX - 1);
    assert_ptr_equal(server_model(s, all), longest);
    assert_ptr_not_equal(server_model(s, span_make(text, sizeof text - 1)), longest);
    end(&w);
}

static void states_in_order_of_what_is_known(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    struct upstream_settings one = upstream(here, first_url);
    servers_bind(w.all, &one, 1);
    struct server *s = server_of(w.all, &one);
    mono_t now = loop_now(w.loop), later = {now.us + 30 * USEC_PER_S};
    assert_string_equal(server_state_name(server_state(s, now)), "untried");
    server_note_reached(s, &one, true, "");
    assert_string_equal(server_state_name(server_state(s, now)), "up");
    server_note_reached(s, &one, false, "refused");
    assert_string_equal(server_state_name(server_state(s, now)), "down");
    server_note_reached(s, &one, true, "");
    s->loops = true;
    assert_string_equal(server_state_name(server_state(s, now)), "down");
    s->loops = false;
    breaker_failure(s, &one, now);
    assert_string_equal(server_state_name(server_state(s, now)), "up");
    breaker_failure(s, &one, now);
    assert_string_equal(server_state_name(server_state(s, now)), "down");
    assert_string_equal(server_state_name(server_state(s, later)), "probing");
    end(&w);
}

static void a_breaker_lets_one_try(void **state)
{
    (void)state;
    struct world w;
    bool trial = true;
    begin(&w);
    struct upstream_settings one = upstream(here, first_url);
    servers_bind(w.all, &one, 1);
    struct server *s = server_of(w.all, &one);
    mono_t now = loop_now(w.loop), later = {now.us + 30 * USEC_PER_S};
    breaker_failure(s, &one, now);
    breaker_success(s);
    breaker_failure(s, &one, now); /* not in a row */
    assert_true(breaker_admits(s, now, &trial));
    assert_false(trial);
    breaker_failure(s, &one, now);
    assert_true(breaker_is_open(s, now));
    assert_false(breaker_admits(s, now, &trial));
    assert_false(trial);
    assert_true(breaker_admits(s, later, &trial));
    assert_true(trial);
    assert_false(breaker_admits(s, later, &trial)); /* one at a time */
    assert_false(trial);
    breaker_end_trial(s);
    assert_true(breaker_admits(s, later, &trial));
    breaker_failure(s, &one, later);
    assert_true(breaker_is_open(s, later));
    assert_true(breaker_admits(s, (mono_t){later.us + 30 * USEC_PER_S}, &trial));
    breaker_success(s);
    assert_true(breaker_admits(s, later, &trial));
    assert_false(trial);
    assert_true(breaker_counts(500) && breaker_counts(429) && breaker_counts(408));
    assert_false(breaker_counts(404) || breaker_counts(200));
    end(&w);
}

static void a_throttle_is_never_shortened(void **state)
{
    (void)state;
    struct server s = {.name = here};
    throttle_note(&s, (mono_t){9}, false);
    throttle_note(&s, (mono_t){7}, true);
    assert_int_equal(s.throttled_until.us, 9);
    assert_int_equal(s.said_until.us, 7);
    throttle_note(&s, (mono_t){5}, true);
    assert_int_equal(s.said_until.us, 7);
}

static void what_retry_after_says(void **state)
{
    (void)state;
    static const wall_t now = {784111777LL * USEC_PER_S}; /* Sun, 06 Nov 1994 08:49:37 GMT */
    static const struct {
        const char *text;
        usec_t expected;
    } rows[] = {
        {"7", 7 * USEC_PER_S},
        {"0", 0},
        {"1.5", 2 * USEC_PER_S},
        {"1.0", USEC_PER_S},
        {"99999999999999999999", 3600 * USEC_PER_S},
        {"Sun, 06 Nov 1994 08:49:47 GMT", 10 * USEC_PER_S},
        {"Sunday, 06-Nov-94 08:49:47 GMT", 10 * USEC_PER_S},
        {"Sun Nov  6 08:49:47 1994", 10 * USEC_PER_S},
        {"Sun, 06 Nov 1994 08:49:27 GMT", 0},
        {"Wed, 31 Nov 1994 08:49:27 GMT", -1},
        {"Sunday, 06-Nov-9408:49:47 GMT", -1}, /* the year is 94, or 9408 */
        {"Sun, 06 Nov 94 08:49:47 GMT", -1},   /* not of the year 94 */
        {"Sunday, 06-Nov-940:0:1  GMT", -1},
        {"Sun, 06 Nov 1994 8:49:47 GMT", -1},
        {"Sun, 06 Nov 1994  GMT", -1},
        {"", -1},
        {"-1", -1},
        {"1.", -1},
        {"soon", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        usec_t got = throttle_retry_after(span_of(rows[i].text), now);
        if (got != rows[i].expected) {
            fail_msg("%s: %lld", rows[i].text, (long long)got);
        }
    }
}

static void note_load(struct server_model *m, struct span body, enum endpoint endpoint)
{
    struct json_doc doc;
    loads_note(m, json_read(body, &doc), endpoint);
    json_doc_free(&doc);
}

static void loads_are_the_last_chats(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    struct upstream_settings one = upstream(here, first_url);
    servers_bind(w.all, &one, 1);
    struct server_model *m = server_model(server_of(w.all, &one), SPAN("m"));
    assert_int_equal(loads_of(m).len, 0);
    note_load(m,
              SPAN("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],"
                   "\"options\":{\"num_ctx\":8192}}"),
              ENDPOINT_OLLAMA_CHAT);
    assert_true(span_find(loads_of(m), SPAN("8192"), 0) != SIZE_MAX);
    note_load(m, SPAN("{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}"),
              ENDPOINT_CHAT); /* says nothing */
    assert_true(span_find(loads_of(m), SPAN("8192"), 0) != SIZE_MAX);
    end(&w);
}

struct seen {
    size_t count;
    bool proven;
};

static void see(void *ctx, const struct refusal_view *v)
{
    struct seen *seen = ctx;
    seen->count++;
    seen->proven = v->proven;
    assert_string_equal(v->upstream, "here");
    assert_string_equal(v->model, "m");
    assert_string_equal(v->addition, "schema");
}

static void a_refusal_is_one_models_and_ends(void **state)
{
    (void)state;
    struct world w;
    unsigned trial = 0;
    struct seen seen = {0};
    begin(&w);
    struct upstream_settings one = upstream(here, first_url);
    servers_bind(w.all, &one, 1);
    struct server *s = server_of(w.all, &one);
    mono_t now = loop_now(w.loop), later = {now.us + 3601 * USEC_PER_S};
    refusal_certain(server_model(s, SPAN("m")), ENDPOINT_CHAT, ADDITION_SCHEMA, 400, now);
    refusal_each(w.all, now, see, &seen);
    assert_int_equal(seen.count, 1);
    assert_true(seen.proven);
    assert_true(refusal_has(server_model(s, SPAN("m")), ENDPOINT_CHAT, ADDITION_SCHEMA, now));
    assert_false(
        refusal_has(server_model(s, SPAN("m")), ENDPOINT_OLLAMA_CHAT, ADDITION_SCHEMA, now));
    assert_false(refusal_has(server_model(s, SPAN("n")), ENDPOINT_CHAT, ADDITION_SCHEMA, now));
    assert_int_equal(refusal_left_out(server_model(s, SPAN("m")), ENDPOINT_CHAT, now, &trial),
                     ADDITION_SCHEMA);
    assert_int_equal(trial, 0);
    assert_int_equal(refusal_left_out(server_model(s, SPAN("m")), ENDPOINT_CHAT, later, &trial), 0);
    refusal_certain(server_model(s, SPAN("m")), ENDPOINT_CHAT, ADDITION_SCHEMA, 400, now);
    refusal_forget(w.all);
    refusal_each(w.all, now, see, &seen);
    assert_int_equal(seen.count, 1);
    one.url = other_url;
    servers_bind(w.all, &one, 1);
    refusal_certain(server_model(s, SPAN("m")), ENDPOINT_CHAT, ADDITION_SCHEMA, 400, now);
    refusal_each(w.all, now, see, &seen); /* of a call that began at the url before */
    assert_int_equal(seen.count, 1);
    end(&w);
}

static size_t lines_said(struct server *s, const struct upstream_settings *to, int status,
                         mono_t now)
{
    struct capture err;
    char out[1024];
    capture_begin(&err, stderr);
    server_note_failed(
        s,
        &(struct server_failure){
            .to = to, .caller = SERVER_CALLER_TASK, .status = status, .why = "silence"},
        now);
    capture_end(&err, out, sizeof out);
    return out[0] == '\0' ? 0 : strchr(out, '\n') == out + strlen(out) - 1 ? 1 : 2;
}

static void a_failed_call_is_said_once_a_minute(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    struct upstream_settings one = upstream(here, first_url), two = upstream(there, other_url);
    struct upstream_settings both[] = {one, two};
    mono_t now = {100 * USEC_PER_S};
    servers_bind(w.all, both, 2);
    struct server *s = server_of(w.all, &both[0]);
    assert_int_equal(lines_said(s, &both[0], 404, now), 1);
    assert_int_equal(lines_said(s, &both[0], 500, now), 0);
    assert_int_equal(lines_said(server_of(w.all, &both[1]), &both[1], 500, now), 1);
    now.us += 60 * USEC_PER_S - 1;
    assert_int_equal(lines_said(s, &both[0], 0, now), 0);
    now.us++;
    assert_int_equal(lines_said(s, &both[0], 0, now), 1);
    end(&w);
}

static void a_refusal_is_kept_until_the_same_is_served(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    struct upstream_settings one = upstream(here, first_url);
    servers_bind(w.all, &one, 1);
    struct server *s = server_of(w.all, &one);
    mono_t now = {100 * USEC_PER_S};
    struct server_failure task = {
        .to = &one, .caller = SERVER_CALLER_TASK, .status = 404, .model = SPAN("small")};
    struct server_failure chat = {.to = &one, .caller = SERVER_CALLER_CHAT, .status = 401};
    struct capture err;
    char out[1024];
    capture_begin(&err, stderr);
    server_note_failed(s, &task, now);
    server_note_failed(s, &chat, now); /* said within the minute, kept all the same */
    task.status = 500;
    server_note_failed(s, &task, now);
    capture_end(&err, out, sizeof out);
    assert_non_null(strstr(out, "does it have the model small?"));
    server_note_served(s, SERVER_CALLER_TASK, SPAN("another"));
    assert_int_equal(server_model(s, SPAN("small"))->task_refused, 404);
    assert_int_equal(s->chat_refused, 401);
    server_note_served(s, SERVER_CALLER_TASK, SPAN("small"));
    assert_int_equal(server_model(s, SPAN("small"))->task_refused, 0);
    task.status = 404;
    server_note_failed(s, &task, now);
    servers_bind(w.all, &one, 1); /* its tasks may have another model now */
    assert_int_equal(s->chat_refused, 401);
    server_note_served(s, SERVER_CALLER_CHAT, SPAN_NONE);
    assert_int_equal(server_model(s, SPAN("small"))->task_refused, 0);
    assert_int_equal(s->chat_refused, 0);
    server_note_failed(s, &chat, now);
    server_note_reached(s, &one, false, "gone");
    assert_string_equal(s->unreached, "gone");
    one.url = (char *)other_url;
    servers_bind(w.all, &one, 1);
    assert_int_equal(s->chat_refused, 0);
    assert_string_equal(s->unreached, "");
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_survive_a_reload_by_name),
        cmocka_unit_test(another_url_is_another_server),
        cmocka_unit_test(another_key_ends_what_failed),
        cmocka_unit_test(what_another_key_meets_is_not_kept),
        cmocka_unit_test(the_least_recently_used_model_makes_room),
        cmocka_unit_test(a_name_is_cut_and_stays_distinct),
        cmocka_unit_test(states_in_order_of_what_is_known),
        cmocka_unit_test(a_breaker_lets_one_try),
        cmocka_unit_test(a_failed_call_is_said_once_a_minute),
        cmocka_unit_test(a_refusal_is_kept_until_the_same_is_served),
        cmocka_unit_test(a_throttle_is_never_shortened),
        cmocka_unit_test(what_retry_after_says),
        cmocka_unit_test(loads_are_the_last_chats),
        cmocka_unit_test(a_refusal_is_one_models_and_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
