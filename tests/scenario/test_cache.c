/* test_cache.c: what is answered from the cache, when, and for whom. */
#include "scenario/scenario.h"

#include "support/fake_loop.h"

#include "lull/path/exchange/events.h"
#include "lull/path/exchange/exchange.h"
#include "lull/path/json/json.h"

/* These are not about slots. */
static const char *const MANY[] = {"upstream.default.slots=64", NULL};

static void ask_with(struct client *c, const char *headers, const char *user, const char *reply)
{
    client_post(c, "/v1/chat/completions", headers, ask_title(user, reply));
}

static const struct task_figures *title(struct world *w)
{
    return world_task(w, "title");
}

static void read_your_writes_with_the_writer_held(void **state)
{
    (void)state;
    static const usec_t waits[] = {0, 1 * USEC_PER_MS, 50 * USEC_PER_MS};
    struct world *w = world_begin(MANY);
    cache_hold_writer(world_cache(w), true);
    for (size_t i = 0; i < 3; i++) {
        char user[32];
        struct client *a = client_open(w);
        snprintf(user, sizeof user, "Question %zu", i);
        ask_with(a, "", user, "");
        model_answer(model_call(w, i), "{\"title\": \"Greeting\"}");
        assert_has(client_reply(a), "stored");
        client_clear(a);
        world_pass(w, waits[i]);
        ask_with(a, "", user, "");
        assert_has(client_reply(a), "lull; hit; detail=pending");
    }
    assert_int_equal(model_calls(w), 3);
    cache_hold_writer(world_cache(w), false);
    world_end(w);
}

static void hits_survive_a_restart(void **state)
{
    (void)state;
    struct world *w = world_begin(MANY);
    struct client *a = client_open(w);
    ask_with(a, "", "How are you?", "");
    model_answer(model_call(w, 0), "{\"title\": \"Greeting\"}");
    world_restart(w);
    a = client_open(w);
    uint64_t before = json_bytes_read();
    ask_with(a, "", "How are you?", "");
    assert_has(client_reply(a), "lull; hit; ttl=");
    assert_int_equal(json_bytes_read(), before); /* found by its bytes */
    assert_has(client_reply(a), "Greeting");
    assert_int_equal(model_calls(w), 0);
    world_end(w);
}

static void an_expired_answer_is_asked_for_again(void **state)
{
    (void)state;
    static const char *const sets[] = {"task.title.ttl=10s", "upstream.default.slots=64", NULL};
    struct world *w = world_begin(sets);
    struct client *a = client_open(w);
    ask_with(a, "", "How are you?", "");
    model_answer(model_call(w, 0), "{\"title\": \"Greeting\"}");
    cache_flush(world_cache(w));
    world_pass(w, 9 * USEC_PER_S);
    client_clear(a);
    ask_with(a, "", "How are you?", "");
    assert_has(client_reply(a), "hit; ttl=1\r\n");
    world_pass(w, 1 * USEC_PER_S);
    ask_with(a, "", "How are you?", "");
    assert_int_equal(model_calls(w), 2);
    model_answer(model_call(w, 1), "{\"title\": \"Greeting\"}");
    world_end(w);
}

/* The clock is ahead by years while an answer is made, and is set right. */
static void an_answer_of_a_clock_that_was_ahead_is_asked_for_again(void **state)
{
    static const char *const sets[] = {"task.title.ttl=10s", "upstream.default.slots=64", NULL};
    const usec_t ahead[] = {50 * USEC_PER_S, 3650 * 86400 * USEC_PER_S};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct world *w = world_begin(sets);
        struct client *a = client_open(w);
        fake_loop_set_wall_offset(world_loop(w), ahead[i / 2]);
        ask_with(a, "", "How are you?", "");
        model_answer(model_call(w, 0), "{\"title\": \"Greeting\"}");
        if (i % 2 == 0) {
            cache_flush(world_cache(w));
        }
        fake_loop_set_wall_offset(world_loop(w), 0);
        ask_with(a, "", "How are you?", "");
        assert_int_equal(model_calls(w), i < 2 ? 1 : 2); /* a clock may step a little */
        if (i >= 2) {
            model_answer(model_call(w, 1), "{\"title\": \"Greeting\"}");
        }
        world_end(w);
    }
}

static void many_that_find_an_answer_expired_make_one_call(void **state)
{
    static const char *const sets[] = {"task.title.ttl=10s", "upstream.default.slots=64", NULL};
    struct client *c[20];
    const size_t count = sizeof c / sizeof c[0];
    (void)state;
    struct world *w = world_begin(sets);
    struct client *first = client_open(w);
    ask_with(first, "", "How are you?", "");
    model_answer(model_call(w, 0), "{\"title\": \"Greeting\"}");
    cache_flush(world_cache(w));
    world_pass(w, 10 * USEC_PER_S);
    for (size_t i = 0; i < count; i++) {
        c[i] = client_open(w);
        ask_with(c[i], "", "How are you?", "");
    }
    assert_int_equal(model_calls(w), 2);
    model_answer(model_call(w, 1), "{\"title\": \"Welcome\"}");
    for (size_t i = 0; i < count; i++) {
        assert_has(client_reply(c[i]), "Welcome");
    }
    assert_int_equal(model_calls(w), 2);
    world_end(w);
}

static void a_title_asked_again_after_a_reply_is_a_new_one(void **state)
{
    (void)state;
    struct world *w = world_begin(MANY);
    struct client *a = client_open(w);
    ask_with(a, "", "How are you?", "I am fine.");
    model_answer(model_call(w, 0), "{\"title\": \"First\"}");
    client_clear(a);
    world_pass(w, 4 * USEC_PER_S);
    ask_with(a, "", "How are you?", "I am fine.");
    assert_has(client_reply(a), "First"); /* a repeat, not a wish */
    client_clear(a);
    world_pass(w, 2 * USEC_PER_S);
    ask_with(a, "", "How are you?", "I am fine.");
    assert_int_equal(model_calls(w), 2);
    model_answer(model_call(w, 1), "{\"title\": \"Second\"}");
    assert_has(client_reply(a), "Second");
    assert_has(client_reply(a), "fwd=bypass; detail=regenerate");
    assert_int_equal(title(w)->regenerated, 1);
    client_clear(a);
    ask_with(a, "", "How are you?", "I am fine.");
    assert_has(client_reply(a), "Second"); /* stored over the old */
    assert_int_equal(model_calls(w), 2);
    client_clear(a);
    ask_with(a, "", "And you?", ""); /* in the memory that the request above has left */
    model_answer(model_call(w, 2), "{\"title\": \"Other\"}");
    assert_has(client_reply(a), "fwd=miss; stored");
    assert_int_equal(title(w)->regenerated, 1);
    /* set back: it is not known when that one was made */
    fake_loop_set_wall_offset(world_loop(w), -30 * USEC_PER_S);
    client_clear(a);
    ask_with(a, "", "How are you?", "I am fine.");
    assert_int_equal(title(w)->regenerated, 2);
    model_answer(model_call(w, 3), "{\"title\": \"Third\"}");
    world_end(w);
}

/* An answer that is found and not served keeps its count, and its place in the order of eviction. */
static void only_an_answer_that_is_served_counts_as_hit(void **state)
{
    (void)state;
    struct world *w = world_begin(MANY);
    struct client *a = client_open(w);
    ask_with(a, "", "How are you?", "I am fine.");
    model_answer(model_call(w, 0), "{\"title\": \"First\"}");
    world_pass(w, 6 * USEC_PER_S);
    ask_with(a, "", "How are you?", "I am fine."); /* found by its bytes: a new title is wanted */
    assert_int_equal(model_calls(w), 2);
    assert_int_equal(world_entry_hits(w), 0);
    model_answer(model_call(w, 1), "{\"title\": \"Second\"}");
    ask_with(a, "", "How are you?", "I am fine.");
    assert_int_equal(world_entry_hits(w), 1);
    world_end(w);
}

/* What explain says of it, and what then happens, are decided by the same facts. */
static void explain_joins_the_call_for_a_new_title(void **state)
{
    (void)state;
    struct world *w = world_begin(MANY);
    struct client *a = client_open(w);
    struct client *b = client_open(w);
    struct explanation out;
    ask_with(a, "", "How are you?", "I am fine.");
    model_answer(model_call(w, 0), "{\"title\": \"First\"}");
    world_pass(w, 6 * USEC_PER_S);
    struct explain_request in = {.path = SPAN("/v1/chat/completions"),
                                 .body = span_of(ask_title("How are you?", "I am fine."))};
    engine_explain(world_engine(w), &in, &out);
    assert_string_equal(out.decision, "miss");
    assert_string_equal(out.detail, "regenerate");
    assert_false(out.joins);
    client_clear(a);
    ask_with(a, "", "How are you?", "I am fine.");
    in.body = span_of(ask_title("How are you?", "I am fine."));
    engine_explain(world_engine(w), &in, &out);
    assert_string_equal(out.detail, "regenerate");
    assert_true(out.joins);
    ask_with(b, "", "How are you?", "I am fine.");
    assert_int_equal(model_calls(w), 2);
    model_answer(model_call(w, 1), "{\"title\": \"Second\"}");
    assert_has(client_reply(b), "collapsed");
    world_end(w);
}

/* The answer is on disk or not, whichever key leads there: what explain says, the reply says. */
static void explain_and_the_reply_agree_on_what_is_pending(void **state)
{
    (void)state;
    struct world *w = world_begin(MANY);
    struct client *a = client_open(w);
    char other[8192]; /* means the same, in other bytes */
    struct explain_request in = {.path = SPAN("/v1/chat/completions")};
    struct explanation out;
    cache_hold_writer(world_cache(w), true);
    ask_with(a, "", "How are you?", "");
    model_answer(model_call(w, 0), "{\"title\": \"Greeting\"}");
    snprintf(other, sizeof other, " %s", ask_title("How are you?", ""));
    in.body = span_of(other);
    for (int asked = 0; asked < 2; asked++) { /* found by its normalized key, then by its bytes */
        engine_explain(world_engine(w), &in, &out);
        assert_string_equal(out.decision, "pending");
        client_clear(a);
        client_post(a, "/v1/chat/completions", "", other);
        assert_has(client_reply(a), "lull; hit; detail=pending");
    }
    cache_hold_writer(world_cache(w), false);
    cache_flush(world_cache(w));
    cache_hold_writer(world_cache(w), true);
    other[0] = '\n';
    for (int asked = 0; asked < 2; asked++) { /* then its exact record waits to be written */
        engine_explain(world_engine(w), &in, &out);
        assert_string_equal(out.decision, "hit");
        client_clear(a);
        client_post(a, "/v1/chat/completions", "", other);
        assert_has(client_reply(a), "lull; hit; ttl=");
    }
    cache_hold_writer(world_cache(w), false);
    world_end(w);
}

static void a_title_without_a_reply_stays_a_hit(void **state)
{
    (void)state;
    struct world *w = world_begin(MANY);
    struct client *a = client_open(w);
    ask_with(a, "", "How are you?", "");
    model_answer(model_call(w, 0), "{\"title\": \"First\"}");
    client_clear(a);
    world_pass(w, 60 * USEC_PER_S);
    ask_with(a, "", "How are you?", "");
    assert_has(client_reply(a), "First");
    assert_int_equal(model_calls(w), 1);
    world_end(w);
}

static void people_do_not_share_where_they_are_known(void **state)
{
    (void)state;
    struct world *w = world_begin(MANY);
    struct client *a = client_open(w);
    static const char *const who[] = {"X-OpenWebUI-User-Id: ann\r\n",
                                      "X-OpenWebUI-User-Id: bob\r\n",
                                      "Authorization: Bearer k1\r\n",
                                      "Authorization: Bearer k2\r\n",
                                      "Api-Key: k1\r\n",
                                      "x-api-key: k2\r\n",
                                      "X-Goog-Api-Key: k3\r\n",
                                      "Ocp-Apim-Subscription-Key: k5\r\n",
                                      "Cookie: session=k4\r\nx-auth-token: k6\r\n",
                                      "Cookie: session=k4\r\n",
                                      ""};
    enum { WHO = sizeof who / sizeof who[0] };
    for (size_t i = 0; i < WHO; i++) {
        ask_with(a, who[i], "How are you?", "");
        assert_int_equal(model_calls(w), i + 1);
        model_answer(model_call(w, i), "{\"title\": \"Greeting\"}");
        client_clear(a);
    }
    for (size_t i = 0; i < WHO; i++) {
        ask_with(a, who[i], "How are you?", "");
        assert_has(client_reply(a), "lull; hit");
        client_clear(a);
    }
    /* with an Authorization, a cookie or a key that changes tells no clients apart */
    ask_with(a, "Authorization: Bearer k1\r\nCookie: b=1\r\n", "How are you?", "");
    assert_has(client_reply(a), "lull; hit");
    client_clear(a);
    ask_with(a, "X-Job-Key: 1\r\nAuthorization: Bearer k1\r\n", "How are you?", "");
    assert_has(client_reply(a), "lull; hit");
    /* nor do these */
    static const char *const nobodys[] = {"Idempotency-Key: 1\r\n", "X-Idempotency-Key: 3\r\n",
                                          "X-CSRF-Token: 2\r\n", "X-OpenWebUI-Auth-Type: jwt\r\n"};
    for (size_t i = 0; i < sizeof nobodys / sizeof nobodys[0]; i++) {
        client_clear(a);
        ask_with(a, nobodys[i], "How are you?", "");
        assert_has(client_reply(a), "lull; hit");
    }
    assert_int_equal(model_calls(w), WHO);
    world_end(w);
}

/* Though its name is that of a key. */
static void a_chats_header_tells_no_clients_apart(void **state)
{
    (void)state;
    static const char *const sets[] = {"server.chat_header=X-Chat-Token",
                                       "upstream.default.slots=64", NULL};
    struct world *w = world_begin(sets);
    struct client *a = client_open(w);
    ask_with(a, "X-Chat-Token: c1\r\n", "How are you?", "");
    model_answer(last_call(w), "{\"title\": \"Greeting\"}");
    client_clear(a);
    ask_with(a, "X-Chat-Token: c2\r\n", "How are you?", "");
    assert_has(client_reply(a), "lull; hit");
    world_end(w);
}

static void user_scope_without_a_user_bypasses(void **state)
{
    (void)state;
    static const char *const sets[] = {"task.title.scope=user", "upstream.default.slots=64", NULL};
    struct world *w = world_begin(sets);
    struct client *a = client_open(w);
    for (size_t i = 0; i < 2; i++) {
        client_clear(a);
        ask_with(a, "", "How are you?", "");
        assert_int_equal(model_calls(w), i + 1);
        model_answer(model_call(w, i), "{\"title\": \"Greeting\"}");
        assert_has(client_reply(a), "fwd=bypass; detail=no-user");
    }
    assert_int_equal(title(w)->outcomes[OUTCOME_BYPASSED], 2);
    world_end(w);
}

/* Over one connection: the head decides, whatever the one before it said. */
static void each_kind_has_its_scope(void **state)
{
    (void)state;
    static const struct {
        const char *set;
        bool other_user, other_key; /* get the same answer */
    } rows[] = {
        {"task.title.scope=auto", false, false},
        {"task.title.scope=user", false, false},
        {"task.title.scope=auth", true, false},
        {"task.title.scope=shared", true, true},
    };
    static const char ann[] = "Authorization: Bearer k1\r\nX-OpenWebUI-User-Id: ann\r\n";
    static const char bob[] = "Authorization: Bearer k1\r\nX-OpenWebUI-User-Id: bob\r\n";
    static const char key[] = "Authorization: Bearer k2\r\nX-OpenWebUI-User-Id: ann\r\n";
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const sets[] = {rows[i].set, "upstream.default.slots=64", NULL};
        const char *const heads[] = {ann, bob, key, ann, bob, key};
        const bool hit[] = {false, rows[i].other_user, rows[i].other_key, true, true, true};
        struct world *w = world_begin(sets);
        struct client *a = client_open(w);
        for (size_t n = 0; n < 6; n++) {
            size_t calls = model_calls(w);
            client_clear(a);
            ask_with(a, heads[n], "How are you?", "");
            assert_int_equal(model_calls(w), calls + (hit[n] ? 0 : 1));
            if (!hit[n]) {
                model_answer(model_call(w, calls), "{\"title\": \"Greeting\"}");
            }
        }
        world_end(w);
    }
}

static void no_store_and_no_cache(void **state)
{
    (void)state;
    struct world *w = world_begin(MANY);
    struct client *a = client_open(w);
    struct client *b = client_open(w);
    ask_with(a, "Cache-Control: no-store\r\n", "How are you?", "");
    ask_with(b, "Cache-Control: no-store\r\n", "How are you?", "");
    assert_int_equal(model_calls(w), 2); /* not shared */
    model_answer(model_call(w, 0), "{\"title\": \"One\"}");
    model_answer(model_call(w, 1), "{\"title\": \"Two\"}");
    assert_has(client_reply(a), "detail=no-store");
    assert_int_equal(world_task(w, "title")->not_stored, 0); /* counts answers in a wrong form */
    client_clear(a);
    ask_with(a, "", "How are you?", "");
    assert_int_equal(model_calls(w), 3); /* not stored */
    model_answer(model_call(w, 2), "{\"title\": \"Three\"}");
    client_clear(a);
    ask_with(a, "Cache-Control: no-cache\r\n", "How are you?", "");
    assert_int_equal(model_calls(w), 4); /* not read */
    model_answer(model_call(w, 3), "{\"title\": \"Four\"}");
    client_clear(a);
    ask_with(a, "", "How are you?", "");
    assert_has(client_reply(a), "Four"); /* stored */
    client_clear(a);
    ask_with(a, "Cache-Control: no-store\r\n", "And now?", "");
    model_answer(model_call(w, 4), "I will not.");
    model_answer(model_call(w, 5), "I will not."); /* asked again for its form */
    assert_int_equal(world_task(w, "title")->not_stored, 1);
    world_end(w);
}

static void a_purge_in_between_keeps_the_answer_out(void **state)
{
    (void)state;
    struct world *w = world_begin(MANY);
    struct client *a = client_open(w);
    struct cache_filter all = {.kind = SPAN("title")};
    ask_with(a, "", "How are you?", "");
    cache_purge(world_cache(w), &all, NULL, NULL);
    model_answer(model_call(w, 0), "{\"title\": \"Greeting\"}");
    assert_has(client_reply(a), "Greeting");
    cache_flush(world_cache(w));
    client_clear(a);
    ask_with(a, "", "How are you?", "");
    assert_int_equal(model_calls(w), 2);
    model_answer(model_call(w, 1), "{\"title\": \"Greeting\"}");
    world_end(w);
}

static void the_model_of_the_policy_is_asked_and_the_one_asked_for_is_named(void **state)
{
    (void)state;
    static const char *const sets[] = {"upstream.small.url=http://127.0.0.1:2",
                                       "task.title.upstream=small", "task.title.model=tiny",
                                       "upstream.small.slots=64", NULL};
    struct world *w = world_begin(sets);
    struct client *a = client_open(w);
    ask_with(a,
             "Authorization: Bearer secret\r\nCookie: a=secret\r\nX-OpenWebUI-User-Id: secret\r\n",
             "How are you?", "");
    assert_string_equal(model_upstream(model_call(w, 0)), "small");
    assert_has(model_body(model_call(w, 0)), "\"model\":\"tiny\"");
    assert_has_not(model_headers(model_call(w, 0)), "secret");
    model_answer(model_call(w, 0), "{\"title\": \"Greeting\"}");
    assert_has(client_reply(a), "\"model\":\"m\"");
    world_end(w);
}

static void a_kind_switched_off_makes_no_call(void **state)
{
    (void)state;
    static const char *const sets[] = {"task.title.enabled=no", "upstream.default.slots=64", NULL};
    struct world *w = world_begin(sets);
    struct client *a = client_open(w);
    ask_with(a, "", "How are you?", "");
    assert_has(client_reply(a), "{\\\"title\\\": \\\"\\\"}");
    assert_has(client_reply(a), "detail=switched-off");
    assert_int_equal(model_calls(w), 0);
    assert_int_equal(title(w)->outcomes[OUTCOME_SWITCHED_OFF], 1);
    world_end(w);
}

static void switching_off_by_reload_counts_for_known_requests_too(void **state)
{
    (void)state;
    static const char *const off[] = {"task.title.enabled=no", NULL};
    struct world *w = world_begin(MANY);
    struct client *a = client_open(w);
    ask_with(a, "", "How are you?", "");
    model_answer(model_call(w, 0), "{\"title\": \"Greeting\"}");
    world_reload(w, off);
    client_clear(a);
    ask_with(a, "", "How are you?", "");
    assert_has(client_reply(a), "detail=switched-off");
    world_reload(w, NULL);
    client_clear(a);
    ask_with(a, "", "How are you?", "");
    assert_has(client_reply(a), "Greeting");
    assert_int_equal(model_calls(w), 1);
    world_end(w);
}

static void keep_upstream(void *ctx, const struct exchange_event *e)
{
    snprintf(ctx, 32, "%s %s", e->outcome, e->upstream);
}

/* Exchanges are used again: what an earlier one was meant for is not said of a hit. */
static void the_event_of_a_hit_names_its_upstream(void **state)
{
    (void)state;
    static const char *const sets[] = {"upstream.default.slots=64",
                                       "upstream.other.url=http://127.0.0.1:2",
                                       "upstream.other.slots=64", NULL};
    char said[32] = "";
    struct exchange_listener listener = {.fn = keep_upstream, .ctx = said};
    struct world *w = world_begin(sets);
    struct client *a = client_open(w);
    engine_listen(world_engine(w), &listener);
    client_post(a, "/@other/v1/chat/completions", "", ask_title("How are you?", ""));
    model_answer(model_call(w, 0), "{\"title\": \"Greeting\"}");
    assert_string_equal(said, "misses other");
    client_clear(a);
    client_post(a, "/@other/v1/chat/completions", "", ask_title("How are you?", ""));
    assert_string_equal(said, "hits other");
    engine_unlisten(world_engine(w), &listener);
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_your_writes_with_the_writer_held),
        cmocka_unit_test(hits_survive_a_restart),
        cmocka_unit_test(an_expired_answer_is_asked_for_again),
        cmocka_unit_test(an_answer_of_a_clock_that_was_ahead_is_asked_for_again),
        cmocka_unit_test(many_that_find_an_answer_expired_make_one_call),
        cmocka_unit_test(a_title_asked_again_after_a_reply_is_a_new_one),
        cmocka_unit_test(only_an_answer_that_is_served_counts_as_hit),
        cmocka_unit_test(explain_joins_the_call_for_a_new_title),
        cmocka_unit_test(explain_and_the_reply_agree_on_what_is_pending),
        cmocka_unit_test(a_title_without_a_reply_stays_a_hit),
        cmocka_unit_test(people_do_not_share_where_they_are_known),
        cmocka_unit_test(a_chats_header_tells_no_clients_apart),
        cmocka_unit_test(user_scope_without_a_user_bypasses),
        cmocka_unit_test(each_kind_has_its_scope),
        cmocka_unit_test(no_store_and_no_cache),
        cmocka_unit_test(a_purge_in_between_keeps_the_answer_out),
        cmocka_unit_test(the_model_of_the_policy_is_asked_and_the_one_asked_for_is_named),
        cmocka_unit_test(a_kind_switched_off_makes_no_call),
        cmocka_unit_test(switching_off_by_reload_counts_for_known_requests_too),
        cmocka_unit_test(the_event_of_a_hit_names_its_upstream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
