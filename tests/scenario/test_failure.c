/* test_failure.c: model servers that fail: tried again, left alone, replaced by another one, stood
 * in for by an old answer; and never a reason for a chat to fail.
 */
#include "scenario/scenario.h"

#include "lull/path/exchange/exchange.h"

#include <time.h>

static const char *const one[] = {"upstream.default.slots=64", "tasks.settle=0", NULL};
static const char *const two[] = {"upstream.default.slots=64",
                                  "tasks.settle=0",
                                  "upstream.other.url=http://other.test",
                                  "upstream.other.slots=64",
                                  "task.title.fallback=other",
                                  NULL};

static void ask(struct client *c, const char *user)
{
    client_clear(c);
    client_post(c, "/v1/chat/completions", "", ask_title(user, "Fine."));
}

static void follow(struct client *c)
{
    client_clear(c);
    client_post(c, "/v1/chat/completions", "", ask_follow_up("How are you?", "Fine, and you?"));
}

static void chat(struct world *w, struct client *c, int status)
{
    static const char *const turns[] = {"Hello", NULL};
    client_clear(c);
    client_post(c, "/v1/chat/completions", "", ask_chat(turns));
    struct upstream_call *call = model_call(w, model_calls(w) - 1);
    if (status == 0) {
        model_break(call, true);
    } else if (status == 200) {
        model_answer(call, "Hi");
    } else {
        model_refuse(call, status, "", "{\"error\":{\"message\":\"no\"}}");
    }
    world_pass(w, 0);
}

/* The task is refused as lull asks it, and as the client wrote it. */
static void refuse(struct world *w, int status, const char *body)
{
    model_refuse(last_call(w), status, "", body);
    model_refuse(last_call(w), status, "", body);
}

static const struct task_figures *title(struct world *w)
{
    return world_task(w, "title");
}

static void once_more_when_not_one_byte_came(void **state)
{
    (void)state;
    struct world *w = world_begin(one);
    struct client *c = client_open(w);
    ask(c, "How are you?");
    model_break(model_call(w, 0),
                true); /* it was not reached: nothing that was asked is to blame */
    assert_int_equal(model_calls(w), 2);
    assert_string_equal(model_body(model_call(w, 1)), model_body(model_call(w, 0)));
    model_answer(model_call(w, 1), "{\"title\": \"Greeting\"}");
    assert_has(client_reply(c), "Greeting");
    assert_has(client_reply(c), "stored");
    ask(c, "And you?"); /* it was: once more, as the client wrote it */
    model_break(model_call(w, 2), false);
    assert_int_equal(model_calls(w), 4);
    assert_string_equal(model_body(model_call(w, 3)), ask_title("And you?", "Fine."));
    model_break(model_call(w, 3), false);
    assert_int_equal(model_calls(w), 4);
    assert_has(client_reply(c), "HTTP/1.1 502 ");
    ask(c, "Then?"); /* a head is something received */
    model_head(model_call(w, 4), 200, "text/event-stream");
    model_break(model_call(w, 4), false);
    model_head(model_call(w, 5), 200, "application/json");
    model_break(model_call(w, 5), false);
    assert_has(client_reply(c), "HTTP/1.1 502 ");
    assert_int_equal(title(w)->upstream_calls, 6);
    world_end(w);
}

static void never_more_than_once(void **state)
{
    (void)state;
    struct world *w = world_begin(one);
    struct client *c = client_open(w);
    ask(c, "How are you?");
    model_break(model_call(w, 0), true);
    model_break(model_call(w, 1), true);
    assert_int_equal(model_calls(w), 2);
    assert_has(client_reply(c), "X-Lull-Error: upstream_unreachable\r\n");
    assert_int_equal(title(w)->failed, 1);
    world_end(w);
}

/* Makes the upstream fail n tasks. */
static void fails(struct world *w, struct client *c, int n, int status)
{
    char user[32];
    for (int i = 0; i < n; i++) {
        snprintf(user, sizeof user, "Question %d?", i);
        ask(c, user);
        refuse(w, status, "{\"error\":{\"message\":\"no\"}}");
        assert_true(client_answered(c));
    }
}

static void tasks_are_kept_away_from_what_fails(void **state)
{
    (void)state;
    struct world *w = world_begin(one);
    struct client *c = client_open(w);
    fails(w, c, 5, 500);
    assert_string_equal(world_server_state(w, "default"), "down");
    size_t calls = model_calls(w);
    ask(c, "One more?");
    assert_int_equal(model_calls(w), calls);
    assert_has(client_reply(c), "HTTP/1.1 502 ");
    assert_has(client_reply(c), "upstream_unreachable");
    /* a chat is always tried; that it fails changes nothing */
    chat(w, c, 503);
    assert_has(client_reply(c), "HTTP/1.1 503 ");
    world_pass(w, 11 * USEC_PER_S);
    assert_string_equal(world_server_state(w, "default"), "probing");
    /* one real task tries; others do not meanwhile */
    struct client *d = client_open(w);
    ask(c, "Now?");
    calls = model_calls(w);
    ask(d, "And now?");
    assert_int_equal(model_calls(w), calls);
    assert_has(client_reply(d), "HTTP/1.1 502 ");
    model_answer(last_call(w), "{\"title\": \"Again\"}");
    assert_has(client_reply(c), "Again");
    assert_string_equal(world_server_state(w, "default"), "up");
    ask(d, "Then?");
    model_answer(last_call(w), "{\"title\": \"Up\"}");
    assert_has(client_reply(d), "Up");
    world_end(w);
}

static void the_task_that_tries_may_fail_or_leave(void **state)
{
    (void)state;
    struct world *w = world_begin(one);
    struct client *c = client_open(w);
    struct client *d = client_open(w);
    fails(w, c, 5, 500);
    world_pass(w, 10 * USEC_PER_S);
    ask(c, "Now?");
    refuse(w, 500, "{}");
    size_t calls = model_calls(w);
    ask(c, "And now?"); /* it is down for another while */
    assert_int_equal(model_calls(w), calls);
    world_pass(w, 10 * USEC_PER_S);
    ask(d, "Who tries?");
    assert_int_equal(model_calls(w), calls + 1);
    client_close(d);
    world_pass(w, 0);
    assert_true(model_aborted(last_call(w)));
    ask(c, "Who else?"); /* no result: the next request is the trial */
    assert_int_equal(model_calls(w), calls + 2);
    model_answer(last_call(w), "{\"title\": \"Good\"}");
    assert_has(client_reply(c), "Good");
    world_end(w);
}

static void a_chat_that_is_answered_ends_it(void **state)
{
    (void)state;
    struct world *w = world_begin(one);
    struct client *c = client_open(w);
    fails(w, c, 3, 500);
    chat(w, c, 0); /* chats count too */
    chat(w, c, 502);
    assert_string_equal(world_server_state(w, "default"), "down");
    chat(w, c, 200);
    assert_string_equal(world_server_state(w, "default"), "up");
    world_pass(w, 2 * USEC_PER_S);
    ask(c, "Now?");
    model_answer(last_call(w), "{\"title\": \"Good\"}");
    assert_has(client_reply(c), "Good");
    world_end(w);
}

/* lull had no memory: a task is asked once more, a chat gets an error, and the server is not blamed. */
static void want_of_memory_is_not_the_servers_fault(void **state)
{
    static const char *const sets[] = {"upstream.default.slots=64", "tasks.settle=0",
                                       "upstream.default.breaker_failures=1", NULL};
    static const char *const turns[] = {"Hello", NULL};
    (void)state;
    struct world *w = world_begin(sets);
    struct client *c = client_open(w);
    ask(c, "How are you?");
    model_short(model_call(w, 0));
    assert_int_equal(model_calls(w), 2);
    model_short(model_call(w, 1));
    assert_has(client_reply(c), "HTTP/1.1 503 ");
    assert_has(client_reply(c), "X-Lull-Error: busy\r\n");
    assert_has(client_reply(c), "out of memory");
    client_clear(c);
    client_post(c, "/v1/chat/completions", "", ask_chat(turns));
    model_short(model_call(w, 2));
    world_pass(w, 0);
    assert_has(client_reply(c), "HTTP/1.1 503 ");
    assert_has(client_reply(c), "out of memory");
    assert_string_equal(world_server_state(w, "default"), "up");
    ask(c, "And you?");
    assert_int_equal(model_calls(w), 4);
    model_answer(model_call(w, 3), "{\"title\": \"Greeting\"}");
    assert_has(client_reply(c), "Greeting");
    client_close(c);
    world_end(w);
}

static void what_the_client_did_wrong_does_not_count(void **state)
{
    (void)state;
    struct world *w = world_begin(one);
    struct client *c = client_open(w);
    for (int i = 0; i < 8; i++) {
        char user[32];
        snprintf(user, sizeof user, "Question %d?", i);
        ask(c, user);
        model_refuse(last_call(w), 401, "", "{\"error\":{\"message\":\"key\"}}");
        assert_has(client_reply(c), "HTTP/1.1 401 ");
    }
    assert_string_equal(world_server_state(w, "default"), "up");
    world_end(w);
}

static void another_upstream_answers(void **state)
{
    (void)state;
    struct world *w = world_begin(two);
    struct client *c = client_open(w);
    client_post(c, "/v1/chat/completions", "Authorization: Bearer mine\r\n",
                ask_title("How are you?", "Fine."));
    assert_string_equal(model_upstream(last_call(w)), "default");
    assert_has(model_headers(last_call(w)), "Bearer mine");
    refuse(w, 500, "{}");
    assert_string_equal(model_upstream(last_call(w)), "other");
    assert_has_not(model_headers(last_call(w)), "mine"); /* the client's headers stay at home */
    model_answer(last_call(w), "{\"title\": \"Elsewhere\"}");
    assert_has(client_reply(c), "Elsewhere");
    assert_has(client_reply(c), "Cache-Status: lull; fwd=bypass; detail=fallback\r\n");
    assert_int_equal(title(w)->stored, 0);
    ask(c, "How are you?"); /* it was not kept */
    assert_string_equal(model_upstream(last_call(w)), "default");
    model_break(last_call(w), true);
    model_break(last_call(w), true);
    assert_string_equal(model_upstream(last_call(w)), "other");
    refuse(w, 500, "{\"error\":{\"message\":\"also here\"}}");
    assert_has(client_reply(c), "also here");
    assert_has(client_reply(c), "HTTP/1.1 500 ");
    world_end(w);
}

/* A request that has no counterpart in the fallback's API, such as one with max_tokens to /api/chat, is
 * not sent there. */
static void a_fallback_of_the_other_api_is_asked_what_it_can_read(void **state)
{
    static const char *const sets[] = {"upstream.default.dialect=ollama",
                                       "upstream.default.slots=64",
                                       "tasks.settle=0",
                                       "upstream.other.url=http://127.0.0.1:9",
                                       "upstream.other.dialect=openai",
                                       "task.title.fallback=other",
                                       "task.follow_up.fallback=other",
                                       NULL};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world *w = world_begin(sets);
        struct client *c = client_open(w);
        client_post(c, "/api/chat", "",
                    i == 0 ? ask_title("How are you?", "Fine.") : ask_follow_up("How?", "Fine."));
        refuse(w, 502, "{\"error\":\"no\"}");
        if (i == 0) {
            assert_has(client_reply(c), "HTTP/1.1 502 ");
        } else {
            assert_string_equal(model_target(last_call(w)), "/v1/chat/completions");
        }
        assert_string_equal(model_upstream(last_call(w)), i == 0 ? "default" : "other");
        world_end(w);
    }
}

/* Open WebUI follows no redirect and finds nothing in a 204. */
static void a_status_without_an_answer_is_a_failure(void **state)
{
    static const int statuses[] = {204, 205, 301, 304, 307};
    (void)state;
    struct world *w = world_begin(two);
    struct client *c = client_open(w);
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        char user[32];
        snprintf(user, sizeof user, "Where, %d?", statuses[i]);
        ask(c, user);
        model_refuse(last_call(w), statuses[i], "Location: /elsewhere", "");
        assert_string_equal(model_upstream(last_call(w)), "other");
        model_answer(last_call(w), "{\"title\": \"Elsewhere\"}");
        assert_has(client_reply(c), "Elsewhere");
    }
    assert_string_equal(world_server_state(w, "default"), "up"); /* it answers */
    assert_int_equal(title(w)->failed, 0);
    world_end(w);
}

static void the_fallback_answers_at_once_while_the_first_is_down(void **state)
{
    (void)state;
    struct world *w = world_begin(two);
    struct client *c = client_open(w);
    for (int i = 0; i < 5; i++) {
        char user[32];
        snprintf(user, sizeof user, "Question %d?", i);
        ask(c, user);
        refuse(w, 500, "{}");
        model_answer(last_call(w), "{\"title\": \"Elsewhere\"}");
    }
    ask(c, "Now?");
    assert_string_equal(model_upstream(last_call(w)), "other");
    model_answer(last_call(w), "{\"title\": \"At once\"}");
    assert_has(client_reply(c), "At once");
    world_end(w);
}

static void an_error_says_how_the_request_was_forwarded(void **state)
{
    static const struct {
        const char *headers, *status;
    } rows[] = {
        {"", "Cache-Status: lull; fwd=miss\r\n"},
        {"Cache-Control: no-cache\r\n", "Cache-Status: lull; fwd=request\r\n"},
        {"Cache-Control: no-store\r\n", "Cache-Status: lull; fwd=bypass; detail=no-store\r\n"},
    };
    (void)state;
    struct world *w = world_begin(one);
    struct client *c = client_open(w);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        client_clear(c);
        client_post(c, "/v1/chat/completions", rows[i].headers, ask_title("How are you?", "Fine."));
        refuse(w, 404, "{\"error\":{\"message\":\"no such model\"}}");
        assert_has(client_reply(c), "HTTP/1.1 404 "); /* the server's own */
        assert_has(client_reply(c), rows[i].status);
        client_clear(c);
        client_post(c, "/v1/chat/completions", rows[i].headers, ask_title("How are you?", "Fine."));
        model_break(last_call(w), true);
        model_break(last_call(w), true);
        assert_has(client_reply(c), "X-Lull-Error: upstream_unreachable\r\n"); /* lull's own */
        assert_has(client_reply(c), rows[i].status);
    }
    client_clear(c);
    client_post(c, "/v1/chat/completions", "Origin: http://evil.example\r\n",
                ask_title("How are you?", "Fine."));
    assert_has(client_reply(c), "Cache-Status: lull; detail=rejected\r\n"); /* not forwarded */
    world_end(w);
}

static void an_old_answer_stands_in_for_an_error(void **state)
{
    static const char *const sets[] = {"upstream.default.slots=64", "tasks.settle=0",
                                       "task.follow_up.ttl=10s",
                                       "task.follow_up.stale_if_error=30s", NULL};
    (void)state;
    struct world *w = world_begin(sets);
    struct client *c = client_open(w);
    follow(c);
    model_answer(last_call(w), "{\"follow_ups\": [\"Old\"]}");
    world_pass(w, 11 * USEC_PER_S);
    follow(c);
    assert_int_equal(model_calls(w), 2);
    refuse(w, 500, "{}");
    assert_has(client_reply(c), "Old");
    assert_has(client_reply(c), "Cache-Status: lull; hit; ttl=-1\r\n");
    assert_int_equal(world_task(w, "follow_up")->outcomes[OUTCOME_STALE], 1);
    follow(c); /* each request asks the model server again */
    assert_int_equal(model_calls(w), 4);
    model_answer(last_call(w), "{\"follow_ups\": [\"New\"]}");
    assert_has(client_reply(c), "New");
    world_pass(w, 50 * USEC_PER_S);
    follow(c);
    refuse(w, 500, "{\"error\":{\"message\":\"too old\"}}");
    assert_has(client_reply(c), "too old");
    world_end(w);
}

static void a_closed_door_is_waited_for(void **state)
{
    (void)state;
    struct world *w = world_begin(one);
    struct client *c = client_open(w);
    struct client *d = client_open(w);
    ask(c, "How are you?");
    model_refuse(last_call(w), 429, "Retry-After: 5\r\n",
                 "{\"error\":{\"message\":\"slow down\"}}");
    ask(d, "And you?"); /* others wait too */
    assert_int_equal(model_calls(w), 1);
    world_pass(w, 4 * USEC_PER_S);
    assert_int_equal(model_calls(w), 1);
    world_pass(w, 2 * USEC_PER_S);
    assert_int_equal(model_calls(w), 3);
    model_answer(model_call(w, 1), "{\"title\": \"First\"}");
    assert_has(client_reply(c), "First");
    model_answer(model_call(w, 2), "{\"title\": \"Second\"}");
    assert_has(client_reply(d), "Second");
    assert_int_equal(title(w)->failed, 0);
    world_end(w);
}

static void a_door_that_opens_too_late_is_not_waited_for(void **state)
{
    static const char *const sets[] = {"upstream.default.slots=0", NULL};
    (void)state;
    struct world *w = world_begin(sets);
    struct client *c = client_open(w);
    client_post(c, "/v1/chat/completions", "", ask_query("What is new?"));
    model_refuse(last_call(w), 429, "Retry-After: 3600\r\n",
                 "{\"error\":{\"message\":\"tomorrow\"}}");
    assert_has(client_reply(c), "tomorrow"); /* max_hold is 20 s */
    assert_has(client_reply(c), "HTTP/1.1 429 ");
    world_end(w);
}

/* A title refused with that Retry-After ("": none) is asked again after `wait`. */
static void waits(struct world *w, const char *value, usec_t wait)
{
    struct client *c = client_open(w);
    char user[128];
    char line[128] = "";
    size_t calls = model_calls(w);
    snprintf(user, sizeof user, "Retry-After '%s'?", value);
    if (value[0] != '\0') {
        snprintf(line, sizeof line, "Retry-After: %s\r\n", value);
    }
    ask(c, user);
    model_refuse(last_call(w), 429, line, "{\"error\":{\"message\":\"slow down\"}}");
    world_pass(w, wait - USEC_PER_MS);
    if (model_calls(w) != calls + 1 || client_answered(c)) {
        fail_msg("Retry-After: %s: asked again too soon, or answered", value);
    }
    world_pass(w, 2 * USEC_PER_MS);
    if (model_calls(w) != calls + 2) {
        fail_msg("Retry-After: %s: not asked again after %lld us", value, (long long)wait);
    }
    model_answer(last_call(w), "{\"title\": \"Good\"}");
    client_close(c);
    world_pass(w, 0);
}

static void what_retry_after_says(void **state)
{
    enum { USUAL = 2 * USEC_PER_S, AT_ONCE = 500 * USEC_PER_MS };
    static const struct {
        const char *value;
        usec_t wait;
    } rows[] = {
        {"", USUAL},
        {"7", 7 * USEC_PER_S},
        {"0", AT_ONCE},
        {"0.5", USEC_PER_S}, /* fractions round up */
        {"3.0", 3 * USEC_PER_S},
        {"2.001", 3 * USEC_PER_S},
        {"  4 ", 4 * USEC_PER_S},
        {"007", 7 * USEC_PER_S},
        {"30s", USUAL}, /* what cannot be read counts as absent */
        {"1m", USUAL},
        {"soon", USUAL},
        {"-5", USUAL},
        {"+5", USUAL},
        {"5.", USUAL},
        {".5", USUAL},
        {"1e1", USUAL},
        {"5, 6", USUAL},
        {"Wed, 21 Oct 2015 07:28:00 GMT", AT_ONCE}, /* the past */
        {"Sunday, 06-Nov-94 08:49:37 GMT", AT_ONCE},
        {"Sun Nov  6 08:49:37 1994", AT_ONCE},
        {"Wed, 21 Oct 2015", USUAL},
        {"Wed, 41 Oct 2015 07:28:00 GMT", USUAL},
        {"Mon, 31 Feb 2039 07:28:00 GMT", USUAL},
        {"Wed, 21 Oct 2015 07:28:00 CEST", USUAL},
        {"2015-10-21T07:28:00Z", USUAL},
    };
    (void)state;
    struct world *w = world_begin(one);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        waits(w, rows[i].value, rows[i].wait);
    }
    world_end(w);
}

static void dates_of_all_three_forms(void **state)
{
    static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                        "%a %b %e %H:%M:%S %Y"};
    (void)state;
    struct world *w = world_begin(one);
    for (size_t i = 0; i < 3; i++) {
        char value[64];
        world_pass(w, USEC_PER_S - loop_wall(world_loop(w)).us % USEC_PER_S);
        time_t at = (time_t)(loop_wall(world_loop(w)).us / USEC_PER_S) + 9;
        require(strftime(value, sizeof value, forms[i], gmtime(&at)) > 0);
        waits(w, value, 9 * USEC_PER_S);
    }
    world_end(w);
}

static void a_door_is_never_closed_for_longer_than_an_hour(void **state)
{
    static const char *const far[] = {"4000", "99999999999999999999", "3600.5",
                                      "Fri, 21 Oct 2095 07:28:00 GMT"};
    static const char *const sets[] = {"upstream.default.slots=64", "tasks.settle=0",
                                       "task.title.max_hold=1h", NULL};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct world *w = world_begin(sets);
        waits(w, far[i], 3600 * USEC_PER_S);
        world_end(w);
    }
}

/* One foreground task, refused each time with that line, until it is answered; how many calls. */
static size_t asked_while_a_person_waits(struct world *w, const char *user, const char *line,
                                         usec_t most)
{
    struct client *c = client_open(w);
    size_t before = model_calls(w);
    mono_t began = loop_now(world_loop(w));
    client_post(c, "/v1/chat/completions", "", ask_query(user));
    while (!client_answered(c)) {
        if (model_calls(w) > before && model_open(last_call(w))) {
            model_refuse(last_call(w), 429, line, "{\"error\":{\"message\":\"slow down\"}}");
        }
        if (!client_answered(c)) {
            world_pass(w, 100 * USEC_PER_MS);
        }
        assert_true(mono_diff(loop_now(world_loop(w)), began) <= most);
    }
    assert_has(client_reply(c), "HTTP/1.1 429 ");
    client_close(c);
    world_pass(w, 0);
    return model_calls(w) - before;
}

static void a_person_waits_for_a_time_that_was_said_and_not_for_long(void **state)
{
    (void)state;
    struct world *w = world_begin(one);
    assert_int_equal(asked_while_a_person_waits(w, "One?", "", 0), 1);
    /* nor at a door that is closed for background tasks without a time that was said */
    struct client *c = client_open(w);
    size_t calls = model_calls(w);
    client_post(c, "/v1/chat/completions", "", ask_query("Two?"));
    assert_int_equal(model_calls(w), calls + 1);
    model_answer(last_call(w), "{\"queries\": [\"two\"]}");
    world_pass(w, 10 * USEC_PER_S);
    assert_int_equal(asked_while_a_person_waits(w, "Three?", "Retry-After: 4\r\n", 0), 1);
    world_pass(w, 10 * USEC_PER_S);
    assert_int_equal(asked_while_a_person_waits(w, "Four?", "Retry-After: 2\r\n", 3 * USEC_PER_S),
                     2);
    world_pass(w, 10 * USEC_PER_S);
    assert_in_range(asked_while_a_person_waits(w, "Five?", "Retry-After: 0\r\n", 3 * USEC_PER_S), 2,
                    3);
    world_pass(w, 10 * USEC_PER_S);
    /* a time that was said is waited for, also by one that comes later */
    ask(c, "A title?");
    model_refuse(last_call(w), 429, "Retry-After: 3\r\n", "{}");
    struct client *d = client_open(w);
    client_post(d, "/v1/chat/completions", "", ask_query("Six?"));
    calls = model_calls(w);
    world_pass(w, 2900 * USEC_PER_MS);
    assert_int_equal(model_calls(w), calls);
    world_pass(w, 200 * USEC_PER_MS);
    assert_int_equal(model_calls(w), calls + 2);
    model_answer(model_call(w, calls), "{\"queries\": [\"six\"]}");
    model_answer(model_call(w, calls + 1), "{\"title\": \"A title\"}");
    assert_has(client_reply(d), "HTTP/1.1 200 ");
    world_end(w);
}

static void a_wrong_form_is_asked_for_once_more(void **state)
{
    (void)state;
    struct world *w = world_begin(one);
    struct client *c = client_open(w);
    ask(c, "How are you?");
    assert_has_not(model_body(last_call(w)), "json_schema");
    model_answer(last_call(w), "Here is a title: Greeting");
    assert_int_equal(model_calls(w), 2);
    assert_has(model_body(last_call(w)), "\"json_schema\"");
    model_answer(last_call(w), "{\"title\": \"Greeting\"}");
    assert_has(client_reply(c), "{\\\"title\\\": \\\"Greeting\\\"}");
    assert_int_equal(title(w)->stored, 1);
    ask(c, "And you?"); /* the second one is served whatever it is */
    model_answer(last_call(w), "no");
    model_answer(last_call(w), "no again");
    assert_has(client_reply(c), "no again");
    assert_int_equal(model_calls(w), 4);
    ask(c, "And then?"); /* a server without schemas: no second call */
    model_answer(last_call(w), "plain words");
    model_refuse(last_call(w), 400, "", "{\"error\":{\"message\":\"unknown field\"}}");
    assert_has(client_reply(c), "plain words");
    assert_has(client_reply(c), "HTTP/1.1 200 ");
    world_end(w);
}

static void a_model_that_never_gets_it_is_not_asked_twice_for_ever(void **state)
{
    (void)state;
    struct world *w = world_begin(one);
    struct client *c = client_open(w);
    char user[32];
    for (int i = 0; i < 5; i++) {
        snprintf(user, sizeof user, "Question %d?", i);
        ask(c, user);
        model_answer(last_call(w), "no");
        if (i < 3) {
            model_answer(last_call(w), "no");
        }
        assert_true(client_answered(c));
    }
    assert_int_equal(model_calls(w), 8);
    world_end(w);
}

/* The server that was silent may go on with what was cut off, also where another one answers. */
static void a_call_that_was_given_up_holds_its_slot_for_a_time(void **state)
{
    static const char *const sets[] = {"upstream.default.slots=1",
                                       "upstream.default.first_byte_timeout=5s",
                                       "tasks.settle=0",
                                       "upstream.other.url=http://other.test",
                                       "task.title.fallback=other",
                                       NULL};
    static const char *const turns[] = {"Hello", NULL};
    (void)state;
    struct world *w = world_begin(sets);
    struct client *c = client_open(w), *chats = client_open(w);
    client_post(chats, "/v1/chat/completions", "", ask_chat(turns));
    seconds(w, 0.5);
    model_answer(last_call(w), "Hi"); /* this is usual */
    follow(c);
    seconds(w, 1);
    client_clear(chats);
    client_post(chats, "/v1/chat/completions", "", ask_chat(turns));
    assert_true(model_aborted(model_call(w, 1)));
    seconds(w, 3.5);
    model_answer(last_call(w), "Hi"); /* 3 s late by the abort */
    seconds(w, 4);
    assert_int_equal(model_calls(w), 4);
    model_answer(last_call(w), "{\"follow_ups\": [\"a\"]}");
    assert_true(client_answered(c));
    size_t before = model_calls(w);
    ask(c, "What is it?");
    seconds(w, 5);
    assert_true(model_aborted(model_call(w, before)));
    assert_string_equal(model_upstream(last_call(w)), "other");
    struct client *d = client_open(w);
    client_post(d, "/v1/chat/completions", "", ask_follow_up("And now?", "Well."));
    seconds(w, 2.9);
    assert_int_equal(model_calls(w), before + 2);
    seconds(w, 0.1);
    assert_int_equal(model_calls(w), before + 3);
    model_answer(model_call(w, before + 1), "{\"title\": \"T\"}");
    model_answer(last_call(w), "{\"follow_ups\": [\"a\"]}");
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(once_more_when_not_one_byte_came),
        cmocka_unit_test(never_more_than_once),
        cmocka_unit_test(tasks_are_kept_away_from_what_fails),
        cmocka_unit_test(the_task_that_tries_may_fail_or_leave),
        cmocka_unit_test(a_chat_that_is_answered_ends_it),
        cmocka_unit_test(want_of_memory_is_not_the_servers_fault),
        cmocka_unit_test(what_the_client_did_wrong_does_not_count),
        cmocka_unit_test(another_upstream_answers),
        cmocka_unit_test(a_fallback_of_the_other_api_is_asked_what_it_can_read),
        cmocka_unit_test(a_status_without_an_answer_is_a_failure),
        cmocka_unit_test(a_call_that_was_given_up_holds_its_slot_for_a_time),
        cmocka_unit_test(the_fallback_answers_at_once_while_the_first_is_down),
        cmocka_unit_test(an_error_says_how_the_request_was_forwarded),
        cmocka_unit_test(an_old_answer_stands_in_for_an_error),
        cmocka_unit_test(a_closed_door_is_waited_for),
        cmocka_unit_test(a_door_that_opens_too_late_is_not_waited_for),
        cmocka_unit_test(what_retry_after_says),
        cmocka_unit_test(dates_of_all_three_forms),
        cmocka_unit_test(a_door_is_never_closed_for_longer_than_an_hour),
        cmocka_unit_test(a_person_waits_for_a_time_that_was_said_and_not_for_long),
        cmocka_unit_test(a_wrong_form_is_asked_for_once_more),
        cmocka_unit_test(a_model_that_never_gets_it_is_not_asked_twice_for_ever),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
