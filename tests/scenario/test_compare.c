/* test_compare.c: models tried on stored requests: they wait for chats and for tasks with a
 * waiter, give way and are queued again, and only the upstream's calls count them.
 */
#include "scenario/scenario.h"

#include "lull/control/control.h"
#include "lull/path/compare/compare.h"
#include "lull/path/exchange/exchange.h"
#include "lull/path/schedule/schedule.h"
#include "lull/path/server/prefix.h"

#define ANN "Authorization: Bearer SECRET\r\nCookie: SECRET\r\nX-OpenWebUI-User-Id: ann-SECRET\r\n"
#define BOB "Authorization: Bearer SECRET\r\nX-OpenWebUI-User-Id: bob-SECRET\r\n"

static const char *const HELLO[] = {"Hello", NULL};
static const char *const ONE[] = {"tasks.settle=0", NULL};
static const char *const TWO[] = {"tasks.settle=0",
                                  "upstream.other.url=http://other.test",
                                  "upstream.other.machine=far",
                                  "upstream.other.api_key=sk-other",
                                  "upstream.other.price_in=2",
                                  "upstream.other.price_out=10",
                                  NULL};

/* What the run has reported so far. */
struct seen {
    struct world *world;
    struct compare_run *run;
    char why[128], upstream[16], host[64], answer[64], stored[64], error[128];
    size_t results, ok, shaped, requests, users, transfers;
    bool refused, ended, pause;
    struct compare_summary rows[COMPARE_CANDIDATES];
    size_t prefix_not[PREFIX_REASON_COUNT];
    size_t count;
};

static void copy(char *out, size_t size, struct span s)
{
    snprintf(out, size, "%.*s", (int)s.len, s.len > 0 ? s.ptr : "");
}

static void on_refused(void *ctx, const struct compare_refusal *r)
{
    struct seen *t = ctx;
    t->refused = true;
    t->transfers = r->count;
    if (r->count == 0) {
        copy(t->why, sizeof t->why, span_of(r->why));
        return;
    }
    t->requests = r->transfers[0].requests;
    t->users = r->transfers[0].users;
    copy(t->upstream, sizeof t->upstream, span_of(r->transfers[0].upstream));
    copy(t->host, sizeof t->host, span_of(r->transfers[0].host));
}

static bool on_result(void *ctx, const struct compare_result *r)
{
    struct seen *t = ctx;
    t->results++;
    t->ok += r->error == NULL ? 1 : 0;
    t->shaped += r->error == NULL && r->shape ? 1 : 0;
    copy(t->answer, sizeof t->answer, r->answer);
    copy(t->stored, sizeof t->stored, r->stored);
    copy(t->error, sizeof t->error, span_of(r->error == NULL ? "" : r->error));
    copy(t->upstream, sizeof t->upstream, span_of(r->upstream));
    return !t->pause;
}

static void on_ended(void *ctx, const struct compare_ending *end)
{
    struct seen *t = ctx;
    t->ended = true;
    copy(t->why, sizeof t->why, span_of(end->why == NULL ? "" : end->why));
    memcpy(t->rows, end->rows, end->count * sizeof *end->rows);
    memcpy(t->prefix_not, end->prefix_not, sizeof t->prefix_not);
    t->count = end->count;
}

static const struct compare_events EVENTS = {
    .refused = on_refused, .result = on_result, .ended = on_ended};

static struct compare_run *begin(struct world *w, int kind, struct seen *t,
                                 const struct compare_candidate *candidates, size_t count, bool yes)
{
    struct compare_spec spec = {.settings = world_settings(w),
                                .kind = kind,
                                .candidates = candidates,
                                .count = count,
                                .last = COMPARE_LAST_DEFAULT,
                                .yes = yes};
    *t = (struct seen){.world = w};
    t->run = compare_start(world_compare(w), &spec, &EVENTS, t);
    if (t->run != NULL) {
        world_pass(w, 0);
    }
    return t->run;
}

/* One candidate, where the requests were stored from. */
static struct compare_run *begin_one(struct world *w, struct seen *t)
{
    const struct compare_candidate c = {SPAN("small"), SPAN("small"), -1};
    return begin(w, KIND_TITLE, t, &c, 1, false);
}

/* Stores that many titles of each person; returns the number of calls. */
static size_t fill(struct world *w, size_t n)
{
    char user[32];
    for (size_t i = 0; i < 2 * n; i++) {
        snprintf(user, sizeof user, "Question %zu?", i / 2);
        (void)post(w, i % 2 == 0 ? ANN : BOB, ask_title(user, "Fine."));
        world_pass(w, 0);
        model_answer(last_call(w), "{\"title\": \"Kept\"}");
        world_pass(w, 0);
    }
    cache_flush(world_cache(w));
    world_pass(w, 0);
    assert_int_equal(cache_stats(world_cache(w)).entries, 2 * n);
    return model_calls(w);
}

static void each_request_goes_to_each_model_and_leaves_no_trace(void **state)
{
    (void)state;
    struct world *w = world_begin(ONE);
    struct seen t;
    size_t calls = fill(w, 2);
    const struct task_figures before = *world_task(w, "title");
    const struct compare_candidate c[] = {{SPAN("a"), SPAN("a"), -1}, {SPAN("b@"), SPAN("b"), 0}};
    struct upstream_figures *up = figures_upstream((struct figures *)world_figures(w), "default");
    int64_t tokens = up->tokens_in;
    uint64_t timed = up->latency.count;
    assert_non_null(begin(w, KIND_TITLE, &t, c, 2, false));
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(model_calls(w), calls + i + 1); /* one at a time */
        assert_has(model_body(last_call(w)), i < 4 ? "\"model\":\"a\"" : "\"model\":\"b\"");
        assert_has(model_body(last_call(w)), "\"stream\":true");
        assert_has_not(model_headers(last_call(w)), "SECRET");
        assert_has_not(model_headers(last_call(w)), "Authorization");
        world_pass(w, (usec_t)(i + 1) * USEC_PER_S);
        model_answer(last_call(w),
                     i % 2 == 0 ? "```\n{\"title\": \"New\"}\n```" : "No title at all");
        world_pass(w, 0);
        assert_int_equal(t.results, i + 1);
        assert_string_equal(t.stored, "{\"title\": \"Kept\"}");
    }
    assert_true(t.ended);
    assert_string_equal(t.why, "");
    assert_int_equal(t.ok, 8);
    assert_int_equal(t.shaped, 4);
    assert_int_equal(t.count, 2);
    assert_int_equal(t.rows[0].calls, 4);
    assert_int_equal(t.rows[1].shaped, 2);
    assert_int_equal(t.rows[0].p50, 2 * USEC_PER_S);
    assert_int_equal(t.rows[0].p95, 4 * USEC_PER_S);
    assert_int_equal(t.rows[1].p50, 6 * USEC_PER_S);
    assert_int_equal(t.rows[1].tokens_in, 400);
    assert_int_equal(t.rows[1].tokens_out, 28);
    assert_int_equal(model_calls(w), calls + 8); /* no second try for the form */
    cache_flush(world_cache(w));
    assert_int_equal(cache_stats(world_cache(w)).entries, 4);
    assert_memory_equal(world_task(w, "title"), &before, sizeof before);
    assert_int_equal(up->calls, (int64_t)(calls + 8));
    assert_int_equal(up->finished, up->calls);
    assert_int_equal(up->tokens_in, tokens);
    assert_int_equal(up->latency.count, timed);
    assert_non_null(begin_one(w, &t)); /* what is kept is what was kept */
    model_answer(last_call(w), "{\"title\": \"New\"}");
    assert_string_equal(t.stored, "{\"title\": \"Kept\"}");
    compare_stop(t.run);
    world_end(w);
}

static void the_chat_and_all_tasks_go_first(void **state)
{
    (void)state;
    struct world *w = world_begin(ONE);
    struct seen t;
    size_t calls = fill(w, 1);
    (void)post(w, ANN, ask_chat(HELLO));
    assert_non_null(begin_one(w, &t));
    assert_int_equal(model_calls(w), calls + 1); /* the chat's */
    struct client *tags = post(w, ANN, ask_follow_up("Hello", "Hi"));
    world_pass(w, 70 * USEC_PER_S); /* beyond the max_hold of both kinds */
    assert_int_equal(model_calls(w), calls + 2);
    model_answer(last_call(w), "{\"follow_ups\": [\"And then?\"]}");
    assert_true(client_answered(tags));
    struct client *later = post(w, BOB, ask_follow_up("Hello", "Hello"));
    model_answer(model_call(w, calls), "Hi");
    world_pass(w, 10 * USEC_PER_S);
    assert_has(model_body(last_call(w)), "follow_ups"); /* it has a waiter */
    model_answer(last_call(w), "{\"follow_ups\": []}");
    world_pass(w, 10 * USEC_PER_S);
    assert_true(client_answered(later));
    assert_has(model_body(last_call(w)), "small");
    world_pass(w, 5 * USEC_PER_S);
    (void)post(w, ANN, ask_chat(HELLO)); /* gives way, and comes back */
    assert_true(model_aborted(model_call(w, model_calls(w) - 2)));
    assert_int_equal(t.results, 0);
    model_answer(last_call(w), "Hi");
    world_pass(w, 10 * USEC_PER_S);
    for (size_t i = 0; i < 2; i++) {
        assert_has(model_body(last_call(w)), "small");
        world_pass(w, 50 * USEC_PER_MS);
        model_answer(last_call(w), "{\"title\": \"New\"}");
        world_pass(w, 0);
    }
    assert_true(t.ended);
    assert_int_equal(t.rows[0].p50, 50 * USEC_PER_MS);
    assert_int_equal(t.rows[0].p95, 10050 * USEC_PER_MS); /* of the call that counts */
    assert_int_equal(world_task(w, "title")->preempted, 0);
    world_end(w);
}

static void a_full_queue_does_not_push_it_forward(void **state)
{
    static const char *const sets[] = {"tasks.settle=0", "tasks.queue=2", NULL};
    (void)state;
    struct world *w = world_begin(sets);
    struct seen t;
    size_t calls = fill(w, 1);
    (void)post(w, ANN, ask_chat(HELLO));
    assert_non_null(begin_one(w, &t));
    for (int i = 0; i < 3; i++) {
        char user[32];
        snprintf(user, sizeof user, "Hello %d", i);
        (void)post(w, BOB, ask_follow_up(user, "Hi"));
    }
    world_pass(w, 0);
    assert_int_equal(model_calls(w), calls + 2); /* the oldest task that has a waiter */
    assert_has(model_body(last_call(w)), "Hello 0");
    compare_stop(t.run);
    world_end(w);
}

static void to_another_upstream_only_with_yes(void **state)
{
    (void)state;
    struct world *w = world_begin(TWO);
    struct seen t;
    size_t calls = fill(w, 3);
    int other = settings_find_upstream(world_settings(w), SPAN("other"));
    const struct compare_candidate c[] = {{SPAN("a"), SPAN("a"), -1},
                                          {SPAN("b@other"), SPAN("b"), other},
                                          {SPAN("c@other"), SPAN("c"), other}};
    assert_non_null(begin(w, KIND_TITLE, &t, c, 3, false));
    assert_true(t.refused);
    assert_int_equal(t.transfers, 1);
    assert_int_equal(t.requests, 6);
    assert_int_equal(t.users, 2);
    assert_string_equal(t.upstream, "other");
    assert_string_equal(t.host, "other.test");
    assert_int_equal(model_calls(w), calls);
    assert_non_null(begin(w, KIND_TITLE, &t, c + 1, 1, true));
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(model_upstream(last_call(w)), "other");
        assert_string_equal(model_headers(last_call(w)),
                            "Content-Type: application/json\nAuthorization: Bearer sk-other\n");
        assert_has_not(model_body(last_call(w)), "SECRET");
        model_answer(last_call(w), "{\"title\": \"There\"}");
        world_pass(w, 0);
    }
    assert_true(t.ended);
    assert_int_equal(t.rows[0].cost, 6 * (100 * 2 + 7 * 10));
    assert_int_equal(figures_upstream((struct figures *)world_figures(w), "other")->cost, 0);
    assert_int_equal(world_task(w, "title")->cost, 0);
    world_end(w);
}

static void errors_are_results_and_close_nothing(void **state)
{
    (void)state;
    struct world *w = world_begin(ONE);
    struct seen t;
    fill(w, 4);
    assert_non_null(begin_one(w, &t));
    for (size_t i = 0; i < 7; i++) {
        model_refuse(last_call(w), 500, "", "{\"error\":{\"message\":\"no such model\"}}");
        model_refuse(last_call(w), 500, "",
                     "{\"error\":{\"message\":\"no such model\"}}"); /* as written */
        world_pass(w, 0);
    }
    assert_has(t.error,
               "the model server answered 500: {\"error\":{\"message\":\"no such model\"}}");
    assert_string_equal(t.stored, "{\"title\": \"Kept\"}");
    assert_string_equal(world_server_state(w, "default"), "up");
    model_break(last_call(w), true);
    model_break(last_call(w), true);
    world_pass(w, 0);
    assert_true(t.ended);
    assert_string_equal(t.error, "connection refused");
    assert_int_equal(t.rows[0].failed, 8);
    assert_int_equal(t.rows[0].p50, -1);
    assert_int_equal(world_task(w, "title")->failed, 0);
    struct client *c = post(w, ANN, ask_title("Is it up?", "Yes."));
    world_pass(w, 0);
    model_answer(last_call(w), "{\"title\": \"Up\"}");
    assert_has(client_reply(c), "Up");
    world_end(w);
}

static void one_run_at_a_time_and_it_can_be_ended(void **state)
{
    (void)state;
    struct world *w = world_begin(ONE);
    struct seen t;
    struct seen second;
    size_t calls = fill(w, 2);
    assert_non_null(begin_one(w, &t));
    assert_null(begin_one(w, &second));
    compare_stop(t.run);
    assert_true(model_aborted(last_call(w)));
    world_pass(w, 10 * USEC_PER_S);
    assert_false(t.ended);
    assert_int_equal(model_calls(w), calls + 1);
    assert_non_null(begin_one(w, &t));
    t.pause = true; /* the client is slow to read */
    model_answer(last_call(w), "{\"title\": \"New\"}");
    world_pass(w, 10 * USEC_PER_S);
    assert_int_equal(t.results, 1);
    assert_int_equal(model_calls(w), calls + 2);
    compare_resume(t.run);
    world_pass(w, 0);
    assert_int_equal(model_calls(w), calls + 3);
    compare_break(world_compare(w), "enough");
    assert_true(t.ended);
    assert_string_equal(t.why, "enough");
    assert_int_equal(t.rows[0].calls, 1);
    assert_true(model_aborted(last_call(w)));
    world_pass(w, 0);
    compare_break(world_compare(w), "again"); /* nothing runs */
    assert_string_equal(t.why, "enough");
    assert_non_null(begin_one(w, &t)); /* the daemon ends with a run under way */
    world_restart(w);
    assert_false(t.ended);
    world_end(w);
}

static void with_nothing_to_send_it_says_so(void **state)
{
    static const char *const none[] = {"cache.keep_requests=no", NULL};
    (void)state;
    struct world *w = world_begin(ONE);
    struct seen t;
    const struct compare_candidate c = {SPAN("a"), SPAN("a"), -1};
    fill(w, 1);
    assert_non_null(begin(w, KIND_TAGS, &t, &c, 1, true));
    assert_true(t.refused);
    assert_string_equal(t.why, "nothing to send: no requests of that kind are stored");
    world_reload(w, none);
    assert_non_null(begin(w, KIND_TITLE, &t, &c, 1, true));
    assert_string_equal(t.why, "nothing to send: [cache] keep_requests = no");
    world_end(w);
}

static void a_reload_does_not_change_a_run(void **state)
{
    static const char *const hurried[] = {"tasks.settle=0", "upstream.default.url=http://new.test",
                                          NULL};
    (void)state;
    struct world *w = world_begin(TWO);
    struct seen t;
    fill(w, 1);
    int other = settings_find_upstream(world_settings(w), SPAN("other"));
    const struct compare_candidate c = {SPAN("b@other"), SPAN("b"), other};
    assert_non_null(begin(w, KIND_TITLE, &t, &c, 1, true));
    world_reload(w, hurried); /* "other" is gone */
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(model_upstream(last_call(w)), "other");
        model_answer(last_call(w), "{\"title\": \"There\"}");
        world_pass(w, 0);
    }
    assert_true(t.ended);
    assert_int_equal(t.ok, 2);
    world_end(w);
}

static void what_came_from_an_upstream_that_is_gone_is_skipped(void **state)
{
    static const char *const sets[] = {"tasks.settle=0", "tasks.upstream=other",
                                       "upstream.other.url=http://other.test", NULL};
    (void)state;
    struct world *w = world_begin(sets);
    struct seen t;
    size_t calls = fill(w, 1);
    world_reload(w, ONE);
    assert_non_null(begin_one(w, &t));
    assert_true(t.ended);
    assert_int_equal(t.rows[0].skipped, 2);
    assert_int_equal(t.rows[0].calls, 0);
    assert_int_equal(model_calls(w), calls);
    const struct compare_candidate c = {SPAN("a@default"), SPAN("a"), 0};
    assert_non_null(begin(w, KIND_TITLE, &t, &c, 1, false)); /* it leaves where it came from */
    assert_int_equal(t.requests, 2);
    world_end(w);
}

#define PROMPT(user)                                                                               \
    "### Task:\\nGenerate a concise title summarizing the chat history.\\n### Chat History:\\n"    \
    "<chat_history>\\nUSER: " user "\\nASSISTANT: y\\n</chat_history>"

static void requests_in_ollamas_words(void **state)
{
    static const char *const openai[] = {"tasks.settle=0", "upstream.default.dialect=openai", NULL};
    static const char *const ollama[] = {"tasks.settle=0", "upstream.default.dialect=ollama", NULL};
    static const char *const paths[] = {"/api/chat", "/api/generate"};
    static const char *const bodies[] = {
        "{\"model\":\"m\",\"stream\":false,\"messages\":[{\"role\":\"user\",\"content\":\"" PROMPT(
            "x") "\"}]}",
        "{\"model\":\"m\",\"stream\":false,\"prompt\":\"" PROMPT("y") "\"}"};
    (void)state;
    struct world *w = world_begin(ollama);
    struct seen t;
    struct client *c = client_open(w);
    for (size_t i = 0; i < 2; i++) {
        client_clear(c);
        client_post(c, paths[i], ANN, bodies[i]);
        world_pass(w, 0);
        model_answer(last_call(w), "{\"title\": \"Kept\"}");
    }
    cache_flush(world_cache(w));
    world_pass(w, 0);
    size_t calls = model_calls(w);
    for (size_t i = 0; i < 4; i++) {
        bool crossed = i >= 2; /* to a server with only OpenAI's API */
        if (i % 2 == 0) {
            world_reload(w, crossed ? openai : ollama);
            assert_non_null(begin_one(w, &t));
        }
        assert_string_equal(model_target(last_call(w)), crossed      ? "/v1/chat/completions"
                                                        : i % 2 == 0 ? "/api/generate"
                                                                     : "/api/chat");
        assert_has(model_body(last_call(w)), crossed || i % 2 == 1 ? "\"messages\"" : "\"prompt\"");
        assert_has(model_body(last_call(w)), "small");
        model_answer(last_call(w), "{\"title\": \"New\"}");
        world_pass(w, 0);
    }
    assert_int_equal(model_calls(w), calls + 4);
    assert_int_equal(t.ok, 2);
    world_end(w);
}

static void autocompletes_are_asked_like_everything_else(void **state)
{
    (void)state;
    struct world *w = world_begin(ONE);
    struct seen t;
    struct client *c = post(w, ANN, ask_autocomplete("The quick brown fox jumps"));
    world_pass(w, USEC_PER_S);
    model_answer(last_call(w), "{\"text\": \" over\"}");
    assert_true(client_answered(c));
    cache_flush(world_cache(w));
    world_pass(w, 0);
    const struct compare_candidate one = {SPAN("a"), SPAN("a"), -1};
    assert_non_null(begin(w, KIND_AUTOCOMPLETE, &t, &one, 1, false));
    struct upstream_call *call = last_call(w);
    assert_has(model_body(call), "\"model\":\"a\"");
    /* longer text neither follows it nor ends it */
    c = post(w, ANN, ask_autocomplete("The quick brown fox jumps so high that"));
    world_pass(w, 0);
    assert_true(model_open(call));
    model_answer(call, "{\"text\": \" high\"}");
    world_pass(w, USEC_PER_S);
    assert_true(t.ended);
    if (!client_answered(c)) {
        model_answer(last_call(w), "{\"text\": \" it\"}");
    }
    assert_true(client_answered(c));
    assert_has_not(client_reply(c), " high\\\"");
    world_end(w);
}

/* ---- both forms ---- */

static const char *const KEPT[] = {"tasks.settle=0", "tasks.prefix=as-asked",
                                   "task.tags.prefix=chat", NULL};
static const char *const FIRST[] = {"What is a daemon?", NULL};
static const char REPLY[] = "A daemon is a program without a terminal.";
static const char TURN_1[] =
    "\"messages\":[{\"role\":\"user\",\"content\":\"What is a daemon?\"},"
    "{\"role\":\"assistant\",\"content\":\"A daemon is a program without a terminal.\"}";

static void answered_chat(struct world *w, const char *headers, const char *const *turns,
                          const char *reply)
{
    (void)post(w, headers, ask_chat(turns));
    world_pass(w, 0);
    model_answer(last_call(w), reply);
    world_pass(w, USEC_PER_S);
}

static void stored_title(struct world *w, const char *headers, const char *body)
{
    (void)post(w, headers, body);
    world_pass(w, USEC_PER_S);
    model_answer(last_call(w), "{\"title\": \"Kept\"}");
    world_pass(w, USEC_PER_S);
    cache_flush(world_cache(w));
    world_pass(w, 0);
}

static struct compare_run *begin_forms(struct world *w, struct seen *t)
{
    struct compare_spec spec = {.settings = world_settings(w),
                                .kind = KIND_TITLE,
                                .prefix = true,
                                .last = COMPARE_LAST_DEFAULT};
    *t = (struct seen){.world = w};
    t->run = compare_start(world_compare(w), &spec, &EVENTS, t);
    world_pass(w, 0);
    return t->run;
}

/* An answer of a server that says what it had cached. */
static void answer_cached(struct upstream_call *call, int cached)
{
    model_answer_cached(call, "{\"title\": \"New\"}", 800, cached);
}

/* The most tokens that the server's one model was seen to take. */
static void note_shown(void *ctx, const struct prefix_view *v)
{
    *(int64_t *)ctx = v->learnt->shown;
}

static void each_request_is_asked_in_both_forms_and_nothing_is_learnt(void **state)
{
    (void)state;
    struct world *w = world_begin(KEPT);
    struct seen t;
    answered_chat(w, ANN, FIRST, REPLY);
    stored_title(w, ANN, ask_title(FIRST[0], REPLY));
    const struct task_figures before = *world_task(w, "title");
    uint64_t learnt = prefix_changes(world_servers(w));
    int64_t shown[2] = {-1, -1};
    prefix_each(world_servers(w), note_shown, &shown[0]);
    size_t calls = model_calls(w);
    assert_non_null(begin_forms(w, &t));
    assert_has_not(model_body(last_call(w)), TURN_1);
    assert_has(model_body(last_call(w)), "USER: What is a daemon?");
    answer_cached(last_call(w), 0);
    world_pass(w, 0);
    assert_int_equal(t.results, 1);
    assert_has(model_body(last_call(w)), TURN_1); /* it has the conversation read */
    assert_has(model_body(last_call(w)), "\"max_tokens\":1");
    assert_has_not(model_body(last_call(w)), "separate task");
    answer_cached(last_call(w), 0);
    world_pass(w, 0);
    assert_int_equal(t.results, 1);
    assert_has(model_body(last_call(w)), TURN_1);
    assert_has(model_body(last_call(w)), "separate task");
    answer_cached(last_call(w), 600);
    world_pass(w, 0);
    for (size_t i = calls; i < model_calls(w); i++) {
        assert_has_not(model_headers(model_call(w, i)), "SECRET");
    }
    assert_true(t.ended);
    assert_int_equal(model_calls(w), calls + 3);
    assert_int_equal(t.count, 2);
    assert_int_equal(t.ok, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(t.rows[i].calls, 1);
        assert_int_equal(t.rows[i].shaped, 1);
        assert_int_equal(t.rows[i].tokens_read.answers, 1);
        assert_int_equal(t.rows[i].tokens_read.total, i == 0 ? 800 : 200);
    }
    assert_memory_equal(world_task(w, "title"), &before, sizeof before);
    assert_int_equal(prefix_changes(world_servers(w)), learnt);
    prefix_each(world_servers(w), note_shown, &shown[1]);
    assert_true(shown[0] > 0);
    assert_int_equal(shown[1], shown[0]);
    cache_flush(world_cache(w));
    assert_int_equal(cache_stats(world_cache(w)).entries, 1);
    world_end(w);
}

static void a_conversation_that_went_on_is_taken_as_it_was(void **state)
{
    static const char *const second[] = {"What is a daemon?",
                                         "A daemon is a program without a terminal.", "Why?", NULL};
    (void)state;
    struct world *w = world_begin(KEPT);
    struct seen t;
    answered_chat(w, ANN, FIRST, REPLY);
    stored_title(w, ANN, ask_title(FIRST[0], REPLY));
    answered_chat(w, ANN, second, "Because it runs in the background.");
    stored_title(w, ANN, ask_title(FIRST[0], "A reply that was never given."));
    assert_non_null(begin_forms(w, &t));
    for (size_t i = 0; i < 2; i++) {
        answer_cached(last_call(w), 0);
        world_pass(w, 0);
    }
    assert_has(model_body(last_call(w)), TURN_1);
    assert_has(model_body(last_call(w)), "separate task");
    assert_has_not(model_body(last_call(w)), "Why?");
    assert_has_not(model_body(last_call(w)), "background");
    answer_cached(last_call(w), 0);
    world_pass(w, 0);
    assert_true(t.ended);
    assert_int_equal(t.rows[1].calls, 1);
    assert_int_equal(t.prefix_not[PREFIX_REASON_DIFFERS], 1);
    world_end(w);
}

static void no_request_is_put_behind_another_persons_conversation(void **state)
{
    static const char *const by_key[] = {"tasks.settle=0", "tasks.prefix=as-asked",
                                         "task.tags.prefix=chat", "task.title.scope=auth", NULL};
    static const char none[] =
        "lull can ask none of the 1 stored requests behind its conversation (not_held 1)";
    (void)state;
    struct seen t;
    struct world *w = world_begin(KEPT);
    answered_chat(w, BOB, FIRST, REPLY);
    stored_title(w, ANN, ask_title(FIRST[0], REPLY));
    size_t calls = model_calls(w);
    assert_non_null(begin_forms(w, &t));
    world_pass(w, USEC_PER_S);
    assert_true(t.refused);
    assert_string_equal(t.why, none);
    assert_int_equal(model_calls(w), calls);
    world_end(w);
    w = world_begin(by_key); /* the scope does not say whose it is */
    answered_chat(w, ANN, FIRST, REPLY);
    stored_title(w, ANN, ask_title(FIRST[0], REPLY));
    assert_non_null(begin_forms(w, &t));
    world_pass(w, USEC_PER_S);
    assert_string_equal(t.why, none);
    world_end(w);
}

static void an_answer_to_the_other_form_is_an_error(void **state)
{
    (void)state;
    struct world *w = world_begin(KEPT);
    struct seen t;
    answered_chat(w, ANN, FIRST, REPLY);
    stored_title(w, ANN, ask_title(FIRST[0], REPLY));
    assert_non_null(begin_forms(w, &t));
    answer_cached(last_call(w), 0);
    world_pass(w, 0);
    model_refuse(last_call(w), 400, "", "{}"); /* the conversation is not read: as written, again */
    world_pass(w, 0);
    while (t.results == 1 && strstr(model_body(last_call(w)), "separate task") == NULL) {
        model_refuse(last_call(w), 400, "", "{}");
        world_pass(w, 0);
    }
    model_refuse(last_call(w), 400, "", "{\"error\":{\"message\":\"too long\"}}");
    world_pass(w, 0);
    answer_cached(last_call(w), 0); /* as it came */
    world_pass(w, 0);
    assert_true(t.ended);
    assert_int_equal(t.rows[1].failed, 1);
    assert_string_equal(t.error, "it could not be asked behind its conversation");
    world_end(w);
}

static void on_control_drained(void *ctx)
{
    bool *drained = ctx;
    *drained = true;
}

static void a_stop_waits_for_what_a_slow_client_has_not_read(void **state)
{
    static const char REQUEST[] = "POST /compare?kind=title HTTP/1.1\r\nHost: lull\r\n"
                                  "Content-Length: 2\r\n\r\na\n";
    enum { LONG = 15 * 1024, ANSWERS = 50 }; /* together more than lull and a socket hold */
    (void)state;
    struct world *w = world_begin(ONE);
    static char long_text[LONG];
    bool drained = false;
    world_control(w);
    (void)fill(w, ANSWERS / 2);
    struct client *c = client_open_at(w, world_control_path(w));
    struct client *idle = client_open_at(w, world_control_path(w));
    client_send(c, REQUEST, sizeof REQUEST - 1);
    world_pass(w, USEC_PER_S);
    memset(long_text, 'x', LONG - 1);
    for (int i = 0; i < ANSWERS && model_open(last_call(w)); i++) {
        model_answer(last_call(w), long_text);
        world_pass(w, 0);
    }
    compare_break(world_compare(w), "the daemon is stopping");
    control_drain(world_control_of(w), on_control_drained, &drained);
    world_pass(w, 10 * USEC_PER_S);
    assert_true(client_closed(idle));
    assert_false(drained);
    for (int i = 0; i < 100 && !drained; i++) {
        (void)client_reply(c);
        world_pass(w, 0);
    }
    assert_true(drained);
    assert_has(client_reply(c), "{\"error\":\"the daemon is stopping\",\"summary\":[");
    assert_has(client_reply(c), "\r\n0\r\n\r\n");
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stop_waits_for_what_a_slow_client_has_not_read),
        cmocka_unit_test(each_request_goes_to_each_model_and_leaves_no_trace),
        cmocka_unit_test(the_chat_and_all_tasks_go_first),
        cmocka_unit_test(a_full_queue_does_not_push_it_forward),
        cmocka_unit_test(to_another_upstream_only_with_yes),
        cmocka_unit_test(errors_are_results_and_close_nothing),
        cmocka_unit_test(one_run_at_a_time_and_it_can_be_ended),
        cmocka_unit_test(with_nothing_to_send_it_says_so),
        cmocka_unit_test(a_reload_does_not_change_a_run),
        cmocka_unit_test(what_came_from_an_upstream_that_is_gone_is_skipped),
        cmocka_unit_test(requests_in_ollamas_words),
        cmocka_unit_test(autocompletes_are_asked_like_everything_else),
        cmocka_unit_test(each_request_is_asked_in_both_forms_and_nothing_is_learnt),
        cmocka_unit_test(a_conversation_that_went_on_is_taken_as_it_was),
        cmocka_unit_test(no_request_is_put_behind_another_persons_conversation),
        cmocka_unit_test(an_answer_to_the_other_form_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
