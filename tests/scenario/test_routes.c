/* test_routes.c: where requests go: under the client's own path at the upstream it addressed, under
 * the url's path at another one; and what the head says about who asks.
 */
#include "scenario/scenario.h"

#include "lull/path/compare/compare.h"
#include "lull/path/exchange/exchange.h"

#include "path/server/server_priv.h"

#include <stdlib.h>

/* The whole path of a call, as the server sees it. */
static const char *path_of(struct world *w, struct upstream_call *call)
{
    static char path[512];
    struct settings *s = world_settings(w);
    int at = settings_find_upstream(s, span_of(model_upstream(call)));
    assert_true(at >= 0);
    snprintf(path, sizeof path, "%s%s", s->upstreams[at].base_path, model_target(call));
    return path;
}

static const char *url_set(const char *upstream, const char *url)
{
    static char sets[2][256];
    static size_t next;
    char *out = sets[next++ % 2];
    snprintf(out, sizeof sets[0], "upstream.%s.url=%s", upstream, url);
    return out;
}

static void a_chat_and_a_task_go_under_the_clients_own_path(void **state)
{
    static const struct {
        const char *url, *path, *goes_to;
    } rows[] = {
        {"http://h.test", "/v1/chat/completions", "/v1/chat/completions"},
        {"http://h.test/v1", "/v1/chat/completions", "/v1/chat/completions"},
        {"http://h.test/v1/", "/v1//chat///completions", "/v1/chat/completions"},
        {"http://h.test", "/chat/completions", "/chat/completions"},
        {"http://h.test/v1beta/openai", "/chat/completions", "/v1beta/openai/chat/completions"},
        {"http://h.test/openai/v1", "/v1/chat/completions", "/openai/v1/chat/completions"},
        {"http://h.test", "/openai/v1/chat/completions", "/openai/v1/chat/completions"},
        {"http://h.test/api/v1", "/v1/chat/completions?a=1&b", "/api/v1/chat/completions?a=1&b"},
        {"http://h.test", "/api/v1/chat/completions", "/api/v1/chat/completions"},
        {"http://h.test", "/api/v0/chat/completions", "/api/v0/chat/completions"},
        {"http://h.test", "/@default/api/v1/chat/completions?x", "/api/v1/chat/completions?x"},
        {"http://h.test/base", "/@default/v1/chat/completions", "/base/v1/chat/completions"},
        {"http://h.test", "/v1/chat/completions/", "/v1/chat/completions/"},
        {"http://h.test", "/api/chat", "/api/chat"},
        {"http://h.test", "/ollama/api/chat?y=2", "/ollama/api/chat?y=2"},
        {"http://h.test/ollama", "//api///chat", "/ollama/api/chat"},
    };
    static const char *const hello[] = {"Hello", NULL};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const sets[] = {url_set("default", rows[i].url), "tasks.settle=0", NULL};
        struct world *w = world_begin(sets);
        struct client *c = client_open(w);
        client_post(c, rows[i].path, "", ask_title("How are you?", "Fine."));
        assert_string_equal(path_of(w, last_call(w)), rows[i].goes_to);
        model_answer(last_call(w), "{\"title\": \"Greeting\"}");
        assert_has(client_reply(c),
                   "X-Lull-Task: title\r\nCache-Status: lull; fwd=miss; stored\r\n");
        client_clear(c);
        client_post(c, rows[i].path, "", ask_title("How are you?", "Fine."));
        assert_has(client_reply(c), "Cache-Status: lull; hit; ");
        client_clear(c);
        client_post(c, rows[i].path, "", ask_chat(hello));
        assert_string_equal(path_of(w, last_call(w)), rows[i].goes_to);
        assert_int_equal(world_figures(w)->server.chat_requests, 1);
        model_answer(last_call(w), "Hi");
        world_end(w);
    }
}

static const struct {
    const char *url, *openai, *ollama;
} elsewhere[] = {
    {"http://o.test", "/v1/chat/completions", "/api/chat"},
    {"http://o.test/", "/v1/chat/completions", "/api/chat"},
    {"http://o.test/v1", "/v1/chat/completions", "/api/chat"},
    {"http://o.test/v1beta/openai", "/v1beta/openai/chat/completions", "/v1beta/openai/api/chat"},
    {"http://o.test/openai/v1/", "/openai/v1/chat/completions", "/openai/api/chat"},
    {"http://o.test/api/v1", "/api/v1/chat/completions", "/api/api/chat"},
    {"http://o.test/base", "/base/chat/completions", "/base/api/chat"},
    {"unix:/tmp/o.sock", "/v1/chat/completions", "/api/chat"},
};

static void a_task_sent_elsewhere_goes_under_the_urls_path(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++) {
        for (int ollama = 0; ollama < 2; ollama++) {
            const char *const sets[] = {url_set("other", elsewhere[i].url),
                                        ollama ? "upstream.other.dialect=ollama"
                                               : "upstream.other.dialect=openai",
                                        "task.title.upstream=other", "tasks.settle=0", NULL};
            const char *want = ollama ? elsewhere[i].ollama : elsewhere[i].openai;
            struct world *w = world_begin(sets);
            struct client *c = client_open(w);
            client_post(c, "/openai/v1/chat/completions?secret=1", "",
                        ask_title("How are you?", "Fine."));
            assert_string_equal(path_of(w, last_call(w)), want);
            model_answer(last_call(w), "{\"title\": \"Greeting\"}");
            assert_has(client_reply(c), "stored");
            world_end(w);
        }
    }
}

static void a_fallback_goes_under_the_path_of_its_own_upstream(void **state)
{
    const char *const away[] = {"upstream.other.url=http://o.test/v1beta/openai",
                                "upstream.other.dialect=openai", "task.title.fallback=other",
                                "tasks.settle=0", NULL};
    const char *const home[] = {"upstream.other.url=http://o.test/v1beta/openai",
                                "upstream.other.dialect=openai",
                                "task.title.upstream=other",
                                "task.title.fallback=default",
                                "upstream.default.dialect=openai",
                                "tasks.settle=0",
                                NULL};
    static const char path[] = "/groq/openai/v1/chat/completions?q=1";
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct world *w = world_begin(i == 0 ? away : home);
        struct client *c = client_open(w);
        client_post(c, path, "", ask_title("How are you?", "Fine."));
        model_break(last_call(w), true);
        model_break(last_call(w), true);
        world_pass(w, 0);
        assert_string_equal(path_of(w, last_call(w)),
                            i == 0 ? "/v1beta/openai/chat/completions" : path);
        model_answer(last_call(w), "{\"title\": \"Greeting\"}");
        assert_has(client_reply(c), "detail=fallback");
        world_end(w);
    }
}

static bool take_result(void *ctx, const struct compare_result *r)
{
    (void)ctx;
    (void)r;
    return true;
}

static void take_refusal(void *ctx, const struct compare_refusal *r)
{
    (void)ctx;
    fail_msg("refused: %s", r->why);
}

static void take_end(void *ctx, const struct compare_ending *ending)
{
    (void)ending;
    *(bool *)ctx = true;
}

static void a_comparison_goes_under_the_urls_path(void **state)
{
    static const struct compare_events events = {
        .refused = take_refusal, .result = take_result, .ended = take_end};
    const char *const sets[] = {"upstream.other.url=http://o.test/v1beta/openai",
                                "upstream.other.dialect=openai", "tasks.settle=0", NULL};
    (void)state;
    struct world *w = world_begin(sets);
    struct client *c = client_open(w);
    bool ended = false;
    client_post(c, "/v1/chat/completions", "", ask_title("How are you?", "Fine."));
    model_answer(last_call(w), "{\"title\": \"Greeting\"}");
    world_pass(w, 0);
    cache_flush(world_cache(w));
    world_pass(w, 0);
    const struct compare_candidate candidate = {
        SPAN("small@other"), SPAN("small"),
        settings_find_upstream(world_settings(w), SPAN("other"))};
    struct compare_spec spec = {.settings = world_settings(w),
                                .kind = KIND_TITLE,
                                .candidates = &candidate,
                                .count = 1,
                                .last = COMPARE_LAST_DEFAULT,
                                .yes = true};
    assert_non_null(compare_start(world_compare(w), &spec, &events, &ended));
    world_pass(w, 0);
    assert_string_equal(path_of(w, last_call(w)), "/v1beta/openai/chat/completions");
    model_answer(last_call(w), "{\"title\": \"Greeting\"}");
    world_pass(w, 0);
    assert_true(ended);
    world_end(w);
}

static void a_rewarm_goes_where_its_chat_went(void **state)
{
    static const char *const hello[] = {"What is a daemon?", NULL};
    static const char path[] = "/openai/v1/chat/completions?q=1";
    const char *const sets[] = {"upstream.default.rewarm=on",
                                "upstream.default.url=http://h.test/base", NULL};
    (void)state;
    struct world *w = world_begin(sets);
    struct client *chat = client_open(w);
    struct client *task = client_open(w);
    client_post(chat, path, "", ask_chat(hello));
    model_answer(last_call(w), "A daemon is a program without a terminal.");
    client_post(task, path, "", ask_follow_up(hello[0], "A daemon is a program."));
    world_pass(w, 4 * USEC_PER_S);
    model_answer(last_call(w), "{\"follow_ups\": [\"Why?\"]}");
    world_pass(w, 2 * USEC_PER_S);
    assert_int_equal(model_calls(w), 3);
    assert_has(model_body(last_call(w)), "\"max_tokens\":1");
    assert_string_equal(path_of(w, last_call(w)), "/base/openai/v1/chat/completions?q=1");
    model_answer(last_call(w), "x");
    world_end(w);
}

/* A gateway may have one model server behind each base, and a query may choose one. */
static void another_base_or_query_is_another_request(void **state)
{
    static const char *const paths[] = {"/v1/chat/completions",      "/gpu1/v1/chat/completions",
                                        "/gpu2/v1/chat/completions", "/v1/chat/completions?a=1",
                                        "/v1/chat/completions?a=2",  "/gpu1/chat/completions?a=1"};
    enum { PATHS = sizeof paths / sizeof paths[0] };
    const char *const sets[] = {"tasks.settle=0", "upstream.default.slots=64", NULL};
    (void)state;
    struct world *w = world_begin(sets);
    for (size_t i = 0; i < PATHS; i++) {
        struct client *c = client_open(w);
        client_post(c, paths[i], "", ask_title("How are you?", "Fine."));
        assert_int_equal(model_calls(w), i + 1);
    }
    struct client *same = client_open(w); /* the usual spellings share */
    client_post(same, "/chat/completions", "", ask_title("How are you?", "Fine."));
    assert_int_equal(model_calls(w), PATHS);
    for (size_t i = 0; i < PATHS; i++) {
        model_answer(model_call(w, i), "{\"title\": \"Greeting\"}");
    }
    assert_has(client_reply(same), "collapsed");
    world_end(w);
}

static void a_deployment_of_azure_is_passed_on(void **state)
{
    static const char path[] = "/openai/deployments/gpt/chat/completions?api-version=1";
    static const char *const hello[] = {"Hello", NULL};
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *c = client_open(w);
    client_post(c, path, "X-OpenWebUI-Task: title_generation\r\n",
                ask_title("How are you?", "Fine."));
    world_pass(w, 30 * USEC_PER_S);
    assert_string_equal(path_of(w, last_call(w)), path);
    assert_string_equal(model_body(last_call(w)), ask_title("How are you?", "Fine."));
    model_answer(last_call(w), "{\"title\": \"Greeting\"}");
    assert_has(client_reply(c), "Cache-Status: lull; fwd=bypass; detail=not-assembled\r\n");
    client_clear(c);
    client_post(c, path, "", ask_chat(hello));
    assert_int_equal(world_figures(w)->server.chat_requests, 1);
    model_answer(last_call(w), "Hi");
    world_end(w);
}

static void a_header_that_is_still_a_template_is_absent(void **state)
{
    static const char literal[] =
        "X-OpenWebUI-Task: {{TASK}}\r\nX-OpenWebUI-User-Id: {{USER_ID}}\r\n"
        "X-OpenWebUI-Chat-Id: {{CHAT_ID}}\r\n";
    const char *const sets[] = {"tasks.settle=0", "tasks.scope=user", NULL};
    (void)state;
    struct world *w = world_begin(sets);
    struct client *c = client_open(w);
    client_post(c, "/v1/chat/completions", literal, ask_title("How are you?", "Fine."));
    model_answer(last_call(w), "{\"title\": \"Greeting\"}");
    assert_has(client_reply(c), "X-Lull-Task: title\r\n"); /* by its text */
    assert_has(client_reply(c), "detail=no-user");
    assert_has(model_headers(last_call(w)), "X-OpenWebUI-User-Id: {{USER_ID}}\n"); /* passed on */
    client_clear(c);
    client_post(c, "/v1/chat/completions",
                "X-OpenWebUI-User-Id:  u-{{ USER_ID }} \r\nX-OpenWebUI-User-Id: ann\r\n",
                ask_title("How are you?", "Fine."));
    model_answer(last_call(w), "{\"title\": \"Greeting\"}");
    assert_has(client_reply(c), "fwd=miss; stored"); /* the second line has a value */
    client_clear(c);
    client_post(c, "/v1/chat/completions", "X-OpenWebUI-User-Id: {{a}\r\n",
                ask_title("How are you?", "Fine."));
    model_answer(last_call(w), "{\"title\": \"Greeting\"}");
    assert_has(client_reply(c), "fwd=miss; stored"); /* an id like any other */
    world_end(w);
}

/* Two people's conversations are not one because both chat ids are the same template. */
static void a_template_is_no_conversation(void **state)
{
    static const char both[] =
        "X-OpenWebUI-Chat-Id: {{CHAT_ID}}\r\nX-OpenWebUI-User-Id: {{USER_ID}}\r\n";
    static const char *const other[] = {"Another question", "An answer to something else", "Go on",
                                        NULL};
    const char *const sets[] = {"tasks.settle=0", NULL};
    (void)state;
    struct world *w = world_begin(sets);
    struct client *task = client_open(w);
    struct client *chat = client_open(w);
    client_post(task, "/v1/chat/completions", both,
                ask_follow_up("How are you?", "Fine, and how are you today, my dear friend?"));
    client_post(chat, "/v1/chat/completions", both, ask_chat(other));
    assert_false(client_answered(task)); /* not obsolete */
    client_close(task);
    client_close(chat);
    world_end(w);
}

/* A template of the administrator's own that ends in the text. */
static const char *typed(const char *text)
{
    static char body[512];
    snprintf(body, sizeof body,
             "{\"model\":\"m\",\"stream\":false,\"messages\":[{\"role\":\"user\",\"content\":"
             "\"Go on with this. Text: %s\"}]}",
             text);
    return body;
}

static void without_the_text_there_is_no_typist(void **state)
{
    static const char header[] = "X-OpenWebUI-Task: autocomplete_generation\r\n";
    static const char *const windows[] = {"task.autocomplete.debounce=auto",
                                          "task.autocomplete.debounce=250ms"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const char *const sets[] = {windows[i], "upstream.default.slots=64", NULL};
        struct world *w = world_begin(sets);
        struct client *a = client_open(w);
        struct client *b = client_open(w);
        struct client *same = client_open(w);
        client_post(a, "/v1/chat/completions", header, typed("How do I write a letter"));
        client_post(b, "/v1/chat/completions", header, typed("How do I write a letter to my"));
        client_post(same, "/v1/chat/completions", header, typed("How do I write a letter"));
        world_pass(w, 300 * USEC_PER_MS);
        assert_int_equal(model_calls(w), 2); /* neither supersedes nor follows; equal ones share */
        model_answer(model_call(w, 0), "{\"text\": \" to my aunt\"}");
        model_answer(model_call(w, 1), "{\"text\": \" landlord\"}");
        assert_has(client_reply(a), "to my aunt");
        assert_has(client_reply(b), "landlord");
        assert_has(client_reply(same), "fwd=miss; collapsed\r\n");
        struct client *c = client_open(w); /* nor is a rest taken */
        client_post(c, "/v1/chat/completions", header, typed("How do I write a letter to"));
        world_pass(w, 300 * USEC_PER_MS);
        assert_int_equal(model_calls(w), 3);
        client_close(c);
        world_end(w);
    }
}

/* The head of the second request is the first one's, byte for byte. */
static void a_repeated_head_is_read_by_the_new_settings(void **state)
{
    static const char *const closed[] = {"server.client_token=other", "tasks.settle=0", NULL};
    static const char *const open[] = {"tasks.settle=0", NULL};
    static const char headers[] = "Authorization: Bearer k\r\n";
    (void)state;
    struct world *w = world_begin(open);
    struct client *c = client_open(w);
    const char *body = ask_title("How are you?", "Fine.");
    client_post(c, "/v1/chat/completions", headers, body);
    model_answer(last_call(w), "{\"title\": \"Greeting\"}");
    client_clear(c);
    client_post(c, "/v1/chat/completions", headers, body);
    assert_has(client_reply(c), "Cache-Status: lull; hit; ");
    world_reload(w, closed);
    client_clear(c);
    client_post(c, "/v1/chat/completions", headers, body);
    assert_has(client_reply(c), "HTTP/1.1 401 ");
    world_reload(w, open);
    client_clear(c);
    client_post(c, "/v1/chat/completions", headers, body);
    assert_has(client_reply(c), "Cache-Status: lull; hit; ");
    world_end(w);
}

/* Whether the cache has the request by its bytes, under the secret that it has now. */
static bool is_stored_exactly(struct world *w, const char *body)
{
    struct scope scope = scope_of(SCOPE_AUTO, SPAN_NONE, SPAN_NONE, NULL);
    struct fingerprint_exact in = {.settings = world_settings(w),
                                   .method = SPAN("POST"),
                                   .path = SPAN("/v1/chat/completions"),
                                   .scope = &scope,
                                   .body = span_of(body)};
    struct fingerprint f = {0};
    struct cache_hit hit;
    struct cache *cache = world_cache(w);
    assert_int_equal(fingerprint_exact(&in, cache_secret(cache), &f), ERR_OK);
    struct cache_key key = {.hash = f.hash, .head = f.head, .body = f.body};
    enum cache_result found = cache_find_exact(cache, &key, loop_wall(world_loop(w)), &hit);
    fingerprint_free(&f);
    if (found == CACHE_HIT || found == CACHE_PENDING) {
        cache_release(cache);
        return true;
    }
    return false;
}

static void asked_and_stored(struct world *w, struct client *c, const char *body)
{
    client_clear(c);
    client_post(c, "/v1/chat/completions", "", body);
    model_answer(last_call(w), "{\"title\": \"Greeting\"}");
    assert_has(client_reply(c), "fwd=miss; stored\r\n");
    assert_true(is_stored_exactly(w, body));
}

/* What is known of a head does not outlive the secret of the cache's files. */
static void a_repeated_head_goes_on_with_another_cache(void **state)
{
    static const char *const sets[] = {"tasks.settle=0", NULL};
    char command[256];
    (void)state;
    struct world *w = world_begin(sets);
    struct client *c = client_open(w);
    const char *body = ask_title("How are you?", "Fine.");
    asked_and_stored(w, c, body);
    cache_flush(world_cache(w));
    const struct hash_secret before = *cache_secret(world_cache(w));
    snprintf(command, sizeof command, "rm -r '%s'", world_settings(w)->server.data_dir);
    assert_int_equal(system(command), 0);
    asked_and_stored(w, c, ask_title("What is due?", "The rent."));
    cache_flush(world_cache(w));
    assert_memory_not_equal(&before, cache_secret(world_cache(w)), sizeof before);
    asked_and_stored(w, c, body);
    world_end(w);
}

/* What Via says is asked each time: its mark is of another lulld at first, and of this one then. */
static void a_repeated_via_is_read_each_time(void **state)
{
    static const char *const sets[] = {"tasks.settle=0", NULL};
    char headers[64];
    (void)state;
    struct world *w = world_begin(sets);
    struct client *c = client_open(w);
    const char *body = ask_title("How are you?", "Fine.");
    snprintf(headers, sizeof headers, "Via: 1.1 lull-0123.1\r\n");
    client_post(c, "/v1/chat/completions", headers, body);
    model_answer(last_call(w), "{\"title\": \"Greeting\"}");
    client_clear(c);
    client_post(c, "/v1/chat/completions", headers, body);
    assert_has(client_reply(c), "Cache-Status: lull; hit; ");
    snprintf(world_servers(w)->id, SERVER_ID_MAX, "lull-0123");
    client_clear(c);
    client_post(c, "/v1/chat/completions", headers, body);
    assert_has(client_reply(c), "HTTP/1.1 508 ");
    world_end(w);
}

/* The page of another site: its head is let in, and with a key of lull's it is not, however often. */
static void a_repeated_head_of_a_page_gets_no_key(void **state)
{
    static const char *const lent[] = {"upstream.default.api_key=sk", "tasks.settle=0", NULL};
    static const char *const open[] = {"tasks.settle=0", NULL};
    static const char headers[] = "Origin: http://evil.example\r\n";
    static const char *const hello[] = {"Hello", NULL};
    (void)state;
    struct world *w = world_begin(open);
    struct client *c = client_open(w);
    for (size_t i = 0; i < 2; i++) {
        client_clear(c);
        client_post(c, "/v1/chat/completions", headers, ask_chat(hello));
        model_answer(last_call(w), "Hi");
        assert_has(client_reply(c), "HTTP/1.1 200 ");
    }
    world_reload(w, lent);
    for (size_t i = 0; i < 3; i++) {
        client_clear(c);
        client_post(c, "/v1/chat/completions", headers, ask_chat(hello));
        assert_has(client_reply(c), "HTTP/1.1 403 ");
    }
    assert_int_equal(model_calls(w), 2);
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chat_and_a_task_go_under_the_clients_own_path),
        cmocka_unit_test(a_task_sent_elsewhere_goes_under_the_urls_path),
        cmocka_unit_test(a_fallback_goes_under_the_path_of_its_own_upstream),
        cmocka_unit_test(a_comparison_goes_under_the_urls_path),
        cmocka_unit_test(a_rewarm_goes_where_its_chat_went),
        cmocka_unit_test(another_base_or_query_is_another_request),
        cmocka_unit_test(a_deployment_of_azure_is_passed_on),
        cmocka_unit_test(a_header_that_is_still_a_template_is_absent),
        cmocka_unit_test(a_template_is_no_conversation),
        cmocka_unit_test(without_the_text_there_is_no_typist),
        cmocka_unit_test(a_repeated_head_is_read_by_the_new_settings),
        cmocka_unit_test(a_repeated_head_goes_on_with_another_cache),
        cmocka_unit_test(a_repeated_via_is_read_each_time),
        cmocka_unit_test(a_repeated_head_of_a_page_gets_no_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
