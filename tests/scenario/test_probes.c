/* test_probes.c: what is asked of model servers themselves: never long, not where nothing is to be
 * found out, and what is known of a server that was not used yet.
 */
#include "scenario/scenario.h"

#include "lull/path/exchange/exchange.h"
#include "lull/path/flight/flight.h"
#include "lull/path/server/probe.h"

static const char *const PLAIN[] = {"tasks.settle=0", NULL};
static const char *const SET[] = {"upstream.default.dialect=openai", "upstream.default.slots=64",
                                  "tasks.settle=0", NULL};

static void ask(struct world *w, struct client *c, int i)
{
    char user[32];
    (void)w;
    snprintf(user, sizeof user, "Question %d?", i);
    client_clear(c);
    client_post(c, "/v1/chat/completions", "", ask_title(user, "Fine."));
}

static void answer(struct world *w)
{
    model_answer(model_call(w, model_calls(w) - 1), "{\"title\": \"Greeting\"}");
    world_pass(w, 0);
}

static const char *state(struct world *w)
{
    return world_server_state(w, "default");
}

static void a_mute_server_is_waited_for_once(void **ignored)
{
    (void)ignored;
    struct world *w = world_begin(PLAIN);
    struct client *c = client_open(w);
    struct client *late = client_open(w);
    world_probes(w, PROBES_MUTE);
    ask(w, c, 0);
    world_pass(w, 1500 * USEC_PER_MS);
    ask(w, late, 1);
    assert_int_equal(model_calls(w), 0);
    world_pass(w, 499 * USEC_PER_MS);
    assert_int_equal(model_calls(w), 0);
    world_pass(w, USEC_PER_MS); /* two seconds after the probe began, for all that wait */
    assert_int_equal(world_probe_count(w), 1);
    while (model_calls(w) < 2) {
        answer(w);
    }
    answer(w);
    assert_true(client_answered(c) && client_answered(late));
    for (int i = 2; i < 40; i++) { /* asked again later, and no request waits for it */
        world_pass(w, USEC_PER_S);
        ask(w, c, i);
        assert_int_equal(model_calls(w), i + 1);
        answer(w);
        assert_true(client_answered(c));
    }
    assert_in_range(world_probe_count(w), 4, 5); /* every ten seconds, one step each */
    world_probes(w, PROBES_ANSWERED);
    world_props(w, 4);
    world_pass(w, 11 * USEC_PER_S);
    ask(w, c, 50);
    world_pass(w, 0);
    answer(w);
    world_pass(w, 0);
    assert_int_equal(probe_sort(world_server(w, "default"), &world_settings(w)->upstreams[0]),
                     SERVER_LLAMA_CPP);
    world_end(w);
}

/* ---- many that wait begin in several turns ---- */

enum { WAIT = 50, AT_ONCE = 8 };

static uint64_t calls(struct world *w)
{
    return (uint64_t)model_calls(w);
}

static void looks_from_the_first_call_on(void *ctx, struct upstream_call *call)
{
    struct turn_look *look = ctx;
    (void)call;
    if (!look->work.waiting && look->seen == 0) {
        world_look(look);
    }
}

static void not_all_that_waited_begin_in_one_turn(void **ignored)
{
    static const char *const any_number[] = {"upstream.default.slots=0", "tasks.settle=0", NULL};
    (void)ignored;
    struct world *w = world_begin(any_number);
    struct turn_look look = {.world = w, .count = calls, .all = WAIT};
    const struct model_script script = {.began = looks_from_the_first_call_on, .ctx = &look};
    world_script(w, &script);
    world_probes(w, PROBES_MUTE);
    for (int i = 0; i < WAIT; i++) {
        ask(w, client_open(w), i);
    }
    assert_int_equal(model_calls(w), 0);
    world_pass(w, 2 * USEC_PER_S);
    assert_int_equal(model_calls(w), WAIT);
    assert_int_equal(look.most, AT_ONCE);
    while (model_calls(w) > 0) {
        struct upstream_call *call = model_call(w, 0);
        model_answer(call, "{\"title\": \"Greeting\"}");
        model_forget(call);
    }
    world_end(w);
}

static void a_probe_that_hangs_holds_no_connection(void **ignored)
{
    static const char *const hello[] = {"Hello", NULL};
    (void)ignored;
    struct world *w = world_begin(PLAIN);
    struct client *c = client_open(w);
    world_probes(w, PROBES_MUTE);
    client_post(c, "/v1/chat/completions", "", ask_chat(hello)); /* a chat never waits */
    assert_int_equal(model_calls(w), 1);
    world_pass(w, 3 * USEC_PER_S); /* the probe is over: nothing of it is left at the end */
    model_answer(model_call(w, 0), "Hi");
    world_end(w);
}

static void nothing_is_asked_where_all_is_set(void **ignored)
{
    static const char *const hello[] = {"Hello", NULL};
    static const char *const half[][3] = {
        {"upstream.default.dialect=openai", "tasks.settle=0", NULL},
        {"upstream.default.slots=64", "tasks.settle=0", NULL}};
    (void)ignored;
    struct world *w = world_begin(SET);
    struct client *c = client_open(w);
    world_probes(w, PROBES_MUTE);
    ask(w, c, 0);
    answer(w);
    client_clear(c);
    client_post(c, "/v1/chat/completions", "", ask_chat(hello));
    answer(w);
    assert_int_equal(world_probe_count(w), 0);
    world_end(w);
    for (size_t i = 0; i < 2; i++) {
        w = world_begin(half[i]);
        c = client_open(w);
        ask(w, c, 0);
        world_pass(w, 0);
        answer(w);
        assert_int_equal(world_probe_count(w), 2);
        world_end(w);
    }
}

/* Ollama that is set and not asked is asked as Ollama. */
static void a_set_dialect_says_what_the_server_is(void **ignored)
{
    static const char *const sets[] = {"upstream.default.dialect=ollama",
                                       "upstream.default.slots=1", NULL};
    (void)ignored;
    struct world *w = world_begin(sets);
    assert_int_equal(probe_sort(world_server(w, "default"), &world_settings(w)->upstreams[0]),
                     SERVER_OLLAMA);
    world_end(w);
}

static void another_url_is_another_server(void **ignored)
{
    static const char *const moved[] = {"tasks.settle=0", "upstream.default.url=http://new.test",
                                        NULL};
    (void)ignored;
    struct world *w = world_begin(PLAIN);
    struct client *c = client_open(w);
    world_props(w, 4);
    ask(w, c, 0);
    world_pass(w, 0);
    answer(w);
    size_t before = world_probe_count(w);
    ask(w, c, 1);
    answer(w);
    assert_int_equal(world_probe_count(w), before);
    world_reload(w, moved);
    world_props(w, 0);
    ask(w, c, 2);
    world_pass(w, 0);
    answer(w);
    assert_int_equal(world_probe_count(w), before + 2);
    assert_int_equal(probe_sort(world_server(w, "default"), &world_settings(w)->upstreams[0]),
                     SERVER_OPENAI);
    world_end(w);
}

static void what_was_not_tried_is_not_up(void **ignored)
{
    (void)ignored;
    struct world *w = world_begin(SET);
    struct client *c = client_open(w);
    assert_string_equal(state(w), "untried");
    ask(w, c, 0);
    answer(w);
    assert_string_equal(state(w), "up");
    world_end(w);
    w = world_begin(SET);
    c = client_open(w);
    ask(w, c, 0);
    model_break(model_call(w, 0), true);
    model_break(model_call(w, 1), true);
    assert_string_equal(state(w), "down");
    world_end(w);
}

static void a_probe_says_whether_it_is_up(void **ignored)
{
    static const enum world_probes how[] = {PROBES_ANSWERED, PROBES_REFUSED, PROBES_MUTE};
    static const char *const says[] = {"up", "down", "untried"};
    static const char *const hello[] = {"Hello", NULL};
    (void)ignored;
    for (size_t i = 0; i < 3; i++) {
        struct world *w = world_begin(PLAIN);
        struct client *c = client_open(w);
        world_probes(w, how[i]);
        client_post(c, "/v1/chat/completions", "", ask_chat(hello));
        world_pass(w, 3 * USEC_PER_S); /* the chat has no answer yet */
        assert_string_equal(state(w), says[i]);
        answer(w);
        assert_string_equal(state(w), "up"); /* its call reached it */
        world_end(w);
    }
}

/* ---- servers of Ollama's API that do not say so ---- */

#define GOOD "{\"follow_ups\": [\"And then?\"]}"
#define KEY "Authorization: Bearer k\r\n"

static enum server_sort sort(struct world *w)
{
    return probe_sort(world_server(w, "default"), &world_settings(w)->upstreams[0]);
}

/* Follow-ups; their first call. */
static struct upstream_call *follow_up_of(struct world *w, const char *path, const char *headers)
{
    static int n;
    char user[32];
    size_t before = model_calls(w);
    snprintf(user, sizeof user, "Which one, %d?", n++);
    client_post(client_open(w), path, headers, ask_follow_up(user, "Fine."));
    world_pass(w, 0);
    assert_int_equal(model_calls(w), before + 1);
    return model_call(w, before);
}

/* The same, answered; where it was sent. */
static const char *path_of(struct world *w, const char *path, const char *headers)
{
    struct upstream_call *call = follow_up_of(w, path, headers);
    model_answer(call, GOOD);
    world_pass(w, 0);
    return model_target(call);
}

/* In the other API a task would lose num_ctx, and make Ollama load the model again. */
static void a_gateways_status_does_not_say_what_the_server_is(void **ignored)
{
    static const enum world_probes how[] = {PROBES_KEY, PROBES_GATEWAY};
    (void)ignored;
    for (size_t i = 0; i < 2; i++) {
        struct world *w = world_begin(PLAIN);
        world_probes(w, how[i]);
        struct upstream_call *call = follow_up_of(w, "/api/chat", "");
        assert_int_equal(world_probe_count(w), 1);
        assert_int_equal(sort(w), SERVER_OPENAI);
        assert_string_equal(model_target(call), "/api/chat");
        assert_has(model_body(call), "\"think\":false");
        model_answer(call, GOOD);
        world_pass(w, 11 * USEC_PER_S);
        world_probes(w, PROBES_OLLAMA); /* what is behind the gateway answers */
        assert_string_equal(path_of(w, "/api/chat", ""), "/api/chat");
        assert_int_equal(world_probe_count(w), how[i] == PROBES_KEY ? 1 : 2);
        world_end(w);
    }
}

/* A gateway may ask for the key that clients have. */
static void a_probe_has_the_clients_key(void **ignored)
{
    static const char *const guarded[] = {"server.client_token=k", "tasks.settle=0", NULL};
    static const char *const hello[] = {"Hello", NULL};
    (void)ignored;
    struct world *w = world_begin(PLAIN);
    world_probes(w, PROBES_KEY);
    assert_string_equal(path_of(w, "/v1/chat/completions", ""), "/v1/chat/completions");
    assert_int_equal(sort(w), SERVER_OPENAI);
    world_pass(w, 11 * USEC_PER_S);
    (void)path_of(w, "/v1/chat/completions", "");
    assert_int_equal(world_probe_count(w), 1); /* without a key it would be refused again */
    struct upstream_call *call = follow_up_of(w, "/v1/chat/completions", KEY);
    assert_int_equal(world_probe_count(w), 2);
    assert_int_equal(sort(w), SERVER_OLLAMA);
    assert_has(model_body(call), "\"reasoning_effort\":\"none\"");
    model_answer(call, GOOD);
    world_end(w);
    w = world_begin(guarded); /* that key is for lull */
    world_probes(w, PROBES_KEY);
    (void)path_of(w, "/v1/chat/completions", KEY);
    assert_int_equal(world_probe_count(w), 1);
    assert_int_equal(sort(w), SERVER_OPENAI);
    world_end(w);
    w = world_begin(guarded);
    world_probes(w, PROBES_KEY);
    client_post(client_open(w), "/v1/chat/completions", KEY, ask_chat(hello));
    world_pass(w, 0);
    assert_int_equal(sort(w), SERVER_OPENAI);
    answer(w);
    world_end(w);
}

static void a_chat_beside_it_probes_with_the_clients_key(void **ignored)
{
    static const char *const hello[] = {"Hello", NULL};
    (void)ignored;
    struct world *w = world_begin(PLAIN);
    world_probes(w, PROBES_KEY);
    client_post(client_open(w), "/v1/chat/completions", KEY, ask_chat(hello));
    world_pass(w, 0);
    assert_int_equal(sort(w), SERVER_OLLAMA);
    answer(w);
    world_end(w);
}

/* Gateways ban clients that are refused too often. */
static void a_refused_key_is_not_tried_again_soon(void **ignored)
{
    (void)ignored;
    struct world *w = world_begin(PLAIN);
    world_probes(w, PROBES_KEY);
    (void)path_of(w, "/v1/chat/completions", "");
    for (int i = 0; i < 9; i++) {
        world_pass(w, 60 * USEC_PER_S);
        (void)path_of(w, "/v1/chat/completions", "");
    }
    assert_int_equal(world_probe_count(w), 1);
    world_pass(w, 61 * USEC_PER_S);
    (void)path_of(w, "/v1/chat/completions", "");
    assert_int_equal(world_probe_count(w), 2);
    world_end(w);
}

static void an_api_that_the_server_has_not_is_left_for_the_clients(void **ignored)
{
    static const int statuses[] = {404, 405, 501, 400};
    (void)ignored;
    for (size_t i = 0; i < 4; i++) {
        bool missing = statuses[i] != 400;
        struct world *w = world_begin(PLAIN);
        struct upstream_call *call = follow_up_of(w, "/api/chat", "");
        assert_string_equal(model_target(call), "/v1/chat/completions");
        model_refuse(call, statuses[i], "", "{\"error\":\"no\"}");
        world_pass(w, 0);
        call = model_call(w, 1);
        assert_string_equal(model_target(call), missing ? "/api/chat" : "/v1/chat/completions");
        assert_null(strstr(model_body(call), "think"));
        model_answer(call, GOOD);
        world_pass(w, 0);
        call = follow_up_of(w, "/api/chat", "");
        assert_string_equal(model_target(call), missing ? "/api/chat" : "/v1/chat/completions");
        assert_int_equal(strstr(model_body(call), "\"think\":false") != NULL, missing);
        model_answer(call, GOOD);
        world_end(w);
    }
}

/* An answer shows which API a server has. */
static void a_chat_in_ollamas_api_says_that_the_server_has_it(void **ignored)
{
    static const char *const hello[] = {"Hello", NULL};
    static const char *const https[] = {"upstream.default.url=https://far.test", NULL};
    static const char *const *const sets[] = {PLAIN, https};
    (void)ignored;
    for (size_t i = 0; i < 2; i++) {
        struct world *w = world_begin(sets[i]);
        assert_string_equal(path_of(w, "/api/chat", ""), "/v1/chat/completions");
        client_post(client_open(w), "/api/chat", "", ask_chat(hello));
        answer(w);
        world_pass(w, 30 * USEC_PER_S);
        assert_string_equal(path_of(w, "/api/chat", ""), "/api/chat");
        world_end(w);
    }
}

/* The second task waits for the one slot that every server has. A probe that some other request brings
 * about finds more: it begins. */
static void slots_that_are_found_are_used_at_once(void **ignored)
{
    static const char *const sets[] = {"tasks.settle=0", NULL};
    (void)ignored;
    struct world *w = world_begin(sets);
    world_probes(w, PROBES_MUTE);
    (void)post(w, "", ask_follow_up("How are you?", "Fine."));
    seconds(w, 3);
    (void)post(w, "", ask_follow_up("How is she?", "Well."));
    seconds(w, 9);
    assert_int_equal(model_calls(w), 1);
    world_probes(w, PROBES_ANSWERED);
    world_props(w, 4);
    struct client *c = client_open(w);
    client_send(c, "GET /v1/models HTTP/1.1\r\nHost: lull\r\n\r\n", 39);
    seconds(w, 0);
    assert_int_equal(model_calls(w), 3);
    model_answer(model_call(w, 0), "{\"follow_ups\": [\"Why?\"]}");
    model_answer(model_call(w, 1), "[]");
    model_answer(model_call(w, 2), "{\"follow_ups\": [\"Why?\"]}");
    world_end(w);
}

/* A throttle is forgotten with the server that asked for it. */
static void a_task_that_waits_for_a_server_that_is_replaced_goes_on(void **ignored)
{
    static const char *const other[] = {"upstream.default.url=http://127.0.0.1:2", NULL};
    (void)ignored;
    struct world *w = world_begin(NULL);
    struct client *c = post(w, "", ask_follow_up("How are you?", "Fine."));
    model_refuse(last_call(w), 429, "Retry-After: 10\r\n", "{}");
    seconds(w, 1);
    assert_int_equal(model_calls(w), 1);
    world_reload(w, other);
    seconds(w, 0);
    assert_int_equal(model_calls(w), 2);
    model_answer(last_call(w), "{\"follow_ups\": [\"Why?\"]}");
    assert_true(client_answered(c));
    world_end(w);
}

/* The number of slots was set, and is not any more: what the server said meanwhile counts. */
static void slots_that_were_found_before_a_reload_count(void **ignored)
{
    static const char *const set[] = {"tasks.settle=0", "upstream.default.slots=1", NULL};
    (void)ignored;
    struct world *w = world_begin(set);
    world_props(w, 4);
    (void)post(w, "", ask_follow_up("How are you?", "Fine."));
    (void)post(w, "", ask_follow_up("How is she?", "Well."));
    seconds(w, 0);
    assert_int_equal(model_calls(w), 1);
    model_answer(last_call(w), "{\"follow_ups\": [\"Why?\"]}");
    seconds(w, 0);
    model_answer(last_call(w), "{\"follow_ups\": [\"Why?\"]}");
    world_reload(w, PLAIN);
    for (int i = 0; i < 3; i++) {
        char user[32];
        snprintf(user, sizeof user, "Question %d?", i);
        (void)post(w, "", ask_follow_up(user, "Fine."));
    }
    seconds(w, 0);
    assert_int_equal(model_calls(w), 5);
    for (size_t i = 2; i < 5; i++) {
        model_answer(model_call(w, i), "{\"follow_ups\": [\"Why?\"]}");
    }
    world_end(w);
}

/* What the key before had used up does not hold tasks back. */
static void another_key_is_tried_at_once(void **ignored)
{
    static const char *const used_up[] = {"upstream.default.api_key=one", NULL};
    static const char *const fresh[] = {"upstream.default.api_key=two", NULL};
    (void)ignored;
    struct world *w = world_begin(used_up);
    struct client *c = post(w, "", ask_follow_up("How are you?", "Fine."));
    model_refuse(last_call(w), 429, "Retry-After: 10\r\n", "{}");
    seconds(w, 1);
    world_reload(w, used_up);
    seconds(w, 0);
    assert_int_equal(model_calls(w), 1);
    world_reload(w, fresh);
    seconds(w, 0);
    assert_int_equal(model_calls(w), 2);
    model_answer(last_call(w), "{\"follow_ups\": [\"Why?\"]}");
    assert_true(client_answered(c));
    world_end(w);
}

/* A server that refused a probe is asked again with another key at once, not after a pause. */
static void another_key_is_probed_with_at_once(void **ignored)
{
    static const char *const keyed[] = {"tasks.settle=0", "upstream.default.api_key=one", NULL};
    (void)ignored;
    struct world *w = world_begin(PLAIN);
    world_probes(w, PROBES_KEY);
    (void)post(w, "", ask_follow_up("How are you?", "Fine."));
    model_answer(last_call(w), "{\"follow_ups\": [\"Why?\"]}");
    size_t before = world_probe_count(w);
    seconds(w, 1);
    world_reload(w, keyed);
    (void)post(w, "", ask_follow_up("How is she?", "Well."));
    model_answer(last_call(w), "{\"follow_ups\": [\"Why?\"]}");
    assert_int_equal(world_probe_count(w), before + 1);
    assert_int_equal(probe_sort(world_server(w, "default"), &world_settings(w)->upstreams[0]),
                     SERVER_OLLAMA);
    world_end(w);
}

/* Calls that began at the url before fail: the server that took its place is not held responsible. */
static void the_end_of_a_replaced_server_is_its_own(void **ignored)
{
    static const char *const first[] = {"tasks.settle=0", "upstream.default.slots=0",
                                        "upstream.default.dialect=openai",
                                        "upstream.default.breaker_failures=2", NULL};
    static const char *const second[] = {"tasks.settle=0",
                                         "upstream.default.slots=0",
                                         "upstream.default.dialect=openai",
                                         "upstream.default.breaker_failures=2",
                                         "upstream.default.url=http://127.0.0.1:2",
                                         NULL};
    (void)ignored;
    struct world *w = world_begin(first);
    for (int i = 0; i < 3; i++) {
        char user[32];
        snprintf(user, sizeof user, "Question %d?", i);
        (void)post(w, "", ask_follow_up(user, "Fine."));
    }
    seconds(w, 0);
    assert_int_equal(model_calls(w), 3);
    world_reload(w, second);
    model_refuse(model_call(w, 0), 429, "Retry-After: 3600\r\n", "{}");
    for (size_t i = 1; i < model_calls(w); i++) {
        if (model_open(model_call(w, i))) {
            model_refuse(model_call(w, i), 500, "", "{}");
        }
    }
    assert_string_equal(state(w), "untried");
    size_t before = model_calls(w);
    struct client *c = post(w, "", ask_follow_up("How is she?", "Well."));
    seconds(w, 0);
    assert_int_equal(model_calls(w), before + 1);
    model_answer(last_call(w), "{\"follow_ups\": [\"Why?\"]}");
    assert_true(client_answered(c));
    assert_string_equal(state(w), "up");
    for (size_t i = 0; i < model_calls(w); i++) {
        if (model_open(model_call(w, i))) {
            model_answer(model_call(w, i), "{\"follow_ups\": [\"Why?\"]}");
        }
    }
    world_end(w);
}

/* A call that has begun may end for the cache; one that still waits for a probe does not begin. */
static void no_call_begins_behind_its_deadline(void **ignored)
{
    static const char *const sets[] = {"task.autocomplete.deadline=500ms", NULL};
    (void)ignored;
    struct world *w = world_begin(sets);
    world_probes(w, PROBES_MUTE);
    struct client *c = post(w, "", ask_autocomplete("How do I write a small daemon"));
    ms(w, 500);
    assert_has(client_reply(c), "detail=deadline");
    seconds(w, 5);
    assert_int_equal(model_calls(w), 0);
    world_end(w);
}

static enum server_sort sort_of(struct world *w, const char *upstream)
{
    const struct settings *s = world_settings(w);
    int at = settings_find_upstream(s, span_of(upstream));
    return probe_sort(world_server(w, upstream), &s->upstreams[at]);
}

/* The one that could not be reached may be another server when it is back, whether the fallback has
 * answered in its place or it is the fallback itself. */
static void a_server_that_was_not_reached_is_asked_again(void **ignored)
{
    static const char *const sets[] = {"tasks.settle=0", "tasks.fallback=other",
                                       "upstream.other.url=http://other.test", NULL};
    (void)ignored;
    for (int of_fallback = 0; of_fallback < 2; of_fallback++) {
        const char *name = of_fallback ? "other" : "default";
        struct world *w = world_begin(sets);
        struct client *c = client_open(w);
        world_props(w, 4);
        for (int i = 0; i < 2; i++) {
            ask(w, c, i);
            if (of_fallback) {
                model_refuse(last_call(w), 503, "", "{}");
            }
            if (i == 1) {
                assert_int_equal(sort_of(w, name), SERVER_LLAMA_CPP);
                model_break(last_call(w), true);
                model_break(last_call(w), true);
            }
            if (i == 0 || !of_fallback) {
                model_answer(last_call(w), "{\"title\": \"Greeting\"}");
            }
            assert_true(client_answered(c));
            seconds(w, 11);
        }
        world_probes(w, PROBES_OLLAMA);
        ask(w, c, 2);
        if (of_fallback) {
            model_refuse(last_call(w), 503, "", "{}");
        }
        model_answer(last_call(w), "{\"title\": \"Greeting\"}");
        assert_true(client_answered(c));
        assert_int_equal(sort_of(w, name), SERVER_OLLAMA);
        world_end(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slots_that_are_found_are_used_at_once),
        cmocka_unit_test(a_task_that_waits_for_a_server_that_is_replaced_goes_on),
        cmocka_unit_test(slots_that_were_found_before_a_reload_count),
        cmocka_unit_test(another_key_is_tried_at_once),
        cmocka_unit_test(another_key_is_probed_with_at_once),
        cmocka_unit_test(the_end_of_a_replaced_server_is_its_own),
        cmocka_unit_test(no_call_begins_behind_its_deadline),
        cmocka_unit_test(a_server_that_was_not_reached_is_asked_again),
        cmocka_unit_test(a_mute_server_is_waited_for_once),
        cmocka_unit_test(not_all_that_waited_begin_in_one_turn),
        cmocka_unit_test(a_probe_that_hangs_holds_no_connection),
        cmocka_unit_test(nothing_is_asked_where_all_is_set),
        cmocka_unit_test(a_set_dialect_says_what_the_server_is),
        cmocka_unit_test(another_url_is_another_server),
        cmocka_unit_test(what_was_not_tried_is_not_up),
        cmocka_unit_test(a_probe_says_whether_it_is_up),
        cmocka_unit_test(a_gateways_status_does_not_say_what_the_server_is),
        cmocka_unit_test(a_probe_has_the_clients_key),
        cmocka_unit_test(a_chat_beside_it_probes_with_the_clients_key),
        cmocka_unit_test(a_refused_key_is_not_tried_again_soon),
        cmocka_unit_test(an_api_that_the_server_has_not_is_left_for_the_clients),
        cmocka_unit_test(a_chat_in_ollamas_api_says_that_the_server_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
