/* test_loading.c: a server that loads a model when it is first asked for it (Ollama, or one_model),
 * played by a script: a load takes LOAD, begins with a call for the model, ends at once when the
 * last call for it is closed, and then every open call is answered token by token. A chat that comes
 * while a task loads its model must not have the load begin again.
 */
#include "scenario/scenario.h"

#include "lull/base/loop.h"

enum { TOKENS = 5 };
static const usec_t LOAD = 3 * USEC_PER_S;
static const usec_t TOKEN = 100 * USEC_PER_MS;

struct loader {
    struct world *w;
    struct loop_timer *timer;
    bool loaded, loading;
    mono_t ready;
    size_t loads;
    int sent; /* tokens of the call that is being answered: the first that is open */
};

static struct upstream_call *first_open(struct loader *l)
{
    for (size_t i = 0; i < model_calls(l->w); i++) {
        if (model_open(model_call(l->w, i))) {
            return model_call(l->w, i);
        }
    }
    return NULL;
}

static void line(struct upstream_call *call, bool done)
{
    model_head(call, 200, "application/x-ndjson");
    model_data(call, done ? "{\"model\":\"m\",\"message\":{\"content\":\"\"},\"done\":true,"
                            "\"done_reason\":\"stop\"}\n"
                          : "{\"model\":\"m\",\"message\":{\"content\":\"x\"},\"done\":false}\n");
    if (done && model_open(call)) {
        model_end(call);
    }
}

static void goes_on(void *ctx)
{
    struct loader *l = ctx;
    l->loaded = true;
    l->loading = false;
    struct upstream_call *call = first_open(l);
    if (call == NULL) {
        return;
    }
    l->sent = model_has_head(call) ? l->sent + 1 : 1;
    line(call, l->sent > TOKENS);
    loop_timer_start(l->timer, TOKEN);
}

static void began(void *ctx, struct upstream_call *call)
{
    struct loader *l = ctx;
    (void)call;
    if (!l->loaded && !l->loading) {
        l->loading = true;
        l->loads++;
        loop_timer_start(l->timer, LOAD);
    } else if (l->loaded && !loop_timer_running(l->timer)) {
        loop_timer_start(l->timer, TOKEN);
    }
}

static void aborted(void *ctx, struct upstream_call *call)
{
    struct loader *l = ctx;
    (void)call;
    if (l->loading && first_open(l) == NULL) {
        l->loading = false; /* no call for the model is open */
        loop_timer_stop(l->timer);
    }
}

static void begin(struct loader *l, const char *const *sets)
{
    *l = (struct loader){.w = world_begin(sets)};
    struct model_script script = {began, aborted, l};
    l->timer = loop_timer_create(world_loop(l->w), goes_on, l);
    world_script(l->w, &script);
}

static void end(struct loader *l)
{
    loop_timer_destroy(l->timer);
    world_script(l->w, NULL);
    world_end(l->w);
}

static const char *const ollama[] = {
    "upstream.default.dialect=ollama", "upstream.default.slots=1", "tasks.settle=0",
    "task.title.first_turn_wait=0",    "tasks.retry_shape=0",      NULL};

static void task(struct client *c, const char *kind, const char *model)
{
    char header[128];
    char body[256];
    snprintf(header, sizeof header, "X-OpenWebUI-Task: %s\r\nX-OpenWebUI-User-Id: ann\r\n", kind);
    snprintf(body, sizeof body,
             "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}],"
             "\"stream\":false}",
             model, kind);
    client_post(c, "/api/chat", header, body);
}

static void chat(struct client *c, const char *model, const char *text)
{
    char body[256];
    snprintf(body, sizeof body,
             "{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}],"
             "\"stream\":true}",
             model, text);
    client_post(c, "/api/chat", "X-OpenWebUI-User-Id: ann\r\n", body);
}

/* How long until the first byte of the chat. */
static usec_t first_byte(struct world *w, struct client *c)
{
    mono_t from = loop_now(world_loop(w));
    while (strstr(client_reply(c), "HTTP/1.1 200") == NULL) {
        world_pass(w, 50 * USEC_PER_MS);
        assert_true(mono_diff(loop_now(world_loop(w)), from) < 10 * USEC_PER_S);
    }
    return mono_diff(loop_now(world_loop(w)), from);
}

static void the_load_is_the_chats_too(void **state)
{
    static const char *const kinds[] = {"title_generation", "tags_generation",
                                        "autocomplete_generation"};
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct loader l;
        begin(&l, ollama);
        struct client *a = client_open(l.w);
        struct client *c = client_open(l.w);
        task(a, kinds[i], "m");
        world_pass(l.w, 2 * USEC_PER_S);
        assert_int_equal(model_calls(l.w), 1);
        chat(c, "m", "Hello, how are you?");
        assert_true(model_open(model_call(l.w, 0)));
        /* one second of the load is left; then the task gives way with its first token */
        assert_true(first_byte(l.w, c) <= USEC_PER_S + 3 * TOKEN);
        assert_int_equal(l.loads, 1);
        assert_true(model_aborted(model_call(l.w, 0)));
        world_pass(l.w, 5 * USEC_PER_S);
        assert_true(client_answered(a));
        assert_int_equal(l.loads, 1);
        end(&l);
    }
}

/* The model has answered a minute ago: the task gives way at once, as ever. */
static void a_loaded_model_is_not_waited_for(void **state)
{
    (void)state;
    for (int minutes = 1; minutes < 9; minutes += 3) {
        struct loader l;
        begin(&l, ollama);
        struct client *a = client_open(l.w);
        struct client *c = client_open(l.w);
        chat(c, "m", "Hello?");
        world_pass(l.w, 5 * USEC_PER_S);
        client_close(c);
        world_pass(l.w, minutes * 60 * USEC_PER_S);
        client_close(a);
        a = client_open(l.w);
        c = client_open(l.w);
        if (minutes > 5) {
            l.loaded = false; /* Ollama has unloaded it */
        }
        task(a, "tags_generation", "m");
        world_pass(l.w, 50 * USEC_PER_MS);
        chat(c, "m", "And now?");
        assert_int_equal(model_aborted(model_call(l.w, 1)), minutes < 5);
        world_pass(l.w, 10 * USEC_PER_S);
        assert_true(client_answered(a));
        end(&l);
    }
}

/* Another model's load is in the chat's way. */
static void another_models_load_gives_way(void **state)
{
    (void)state;
    struct loader l;
    begin(&l, ollama);
    struct client *a = client_open(l.w);
    struct client *c = client_open(l.w);
    task(a, "tags_generation", "small");
    world_pass(l.w, USEC_PER_S);
    chat(c, "m", "Hello?");
    assert_true(model_aborted(model_call(l.w, 0)));
    world_pass(l.w, 20 * USEC_PER_S);
    end(&l);
}

/* Nor is anything spared where models are not loaded on demand. */
static void a_server_that_holds_its_model_is_none(void **state)
{
    static const char *const plain[] = {"upstream.default.slots=1", "tasks.settle=0",
                                        "upstream.default.dialect=openai", NULL};
    static const char *const swaps[] = {"upstream.default.slots=1", "tasks.settle=0",
                                        "upstream.default.dialect=openai",
                                        "upstream.default.one_model=yes", NULL};
    static const char *const turns[] = {"Hello?", NULL};
    (void)state;
    for (int one_model = 0; one_model < 2; one_model++) {
        struct world *w = world_begin(one_model != 0 ? swaps : plain);
        struct client *a = client_open(w);
        struct client *c = client_open(w);
        client_post(a, "/v1/chat/completions", "", ask_follow_up("How are you?", "Fine."));
        world_pass(w, USEC_PER_S);
        client_post(c, "/v1/chat/completions", "", ask_chat(turns));
        assert_int_equal(model_aborted(model_call(w, 0)), one_model == 0);
        model_answer(model_call(w, 1), "Hi");
        world_end(w);
    }
}

/* An autocomplete of the very text that is sent is answered at once; its call goes on until its
 * first byte. */
static void an_autocomplete_that_was_sent_leaves_its_load(void **state)
{
    (void)state;
    for (int other = 0; other < 2; other++) {
        struct loader l;
        begin(&l, ollama);
        struct client *a = client_open(l.w);
        struct client *c = client_open(l.w);
        char body[4096];
        snprintf(body, sizeof body, "%s", ask_autocomplete("How do I bake a loaf of bread"));
        client_post(a, "/api/chat", "X-OpenWebUI-User-Id: ann\r\n", body);
        world_pass(l.w, 2 * USEC_PER_S);
        assert_int_equal(model_calls(l.w), 1);
        assert_false(client_answered(a));
        chat(c, other != 0 ? "big" : "m", "How do I bake a loaf of bread");
        assert_has(client_reply(a), "detail=sent");
        assert_int_equal(model_aborted(model_call(l.w, 0)), other);
        if (other == 0) {
            assert_true(first_byte(l.w, c) <= USEC_PER_S + 3 * TOKEN);
            assert_true(model_aborted(model_call(l.w, 0)));
            assert_int_equal(l.loads, 1);
        }
        world_pass(l.w, 10 * USEC_PER_S);
        end(&l);
    }
}

/* Typing on while the model is loading: the load goes on under the newer text. */
static void typing_does_not_begin_the_load_again(void **state)
{
    static const char *const texts[] = {"How do I bake a loaf of bread", "How do I bake a loaf of ",
                                        "How do I bake a loaf of rye",
                                        "How do I bake a loaf of rye a"};
    (void)state;
    struct loader l;
    begin(&l, ollama);
    struct client *c[4];
    for (size_t i = 0; i < 4; i++) {
        char body[4096];
        c[i] = client_open(l.w);
        snprintf(body, sizeof body, "%s", ask_autocomplete(texts[i]));
        client_post(c[i], "/api/chat", "X-OpenWebUI-User-Id: ann\r\n", body);
        world_pass(l.w, 600 * USEC_PER_MS);
    }
    world_pass(l.w, 10 * USEC_PER_S);
    for (size_t i = 0; i < 4; i++) {
        assert_true(client_answered(c[i]));
    }
    assert_int_equal(l.loads, 1);
    assert_true(model_aborted(model_call(l.w, 0))); /* it was kept for the load only */
    end(&l);
}

/* Several who type the same: the message is what the first of them waits for, and not what goes on from
 * it. The load goes on, with the other behind it. */
static void what_follows_a_load_goes_on_following(void **state)
{
    (void)state;
    struct loader l;
    begin(&l, ollama);
    struct client *a = client_open(l.w);
    struct client *b = client_open(l.w);
    struct client *c = client_open(l.w);
    char body[4096];
    snprintf(body, sizeof body, "%s", ask_autocomplete("How do I bake a loaf"));
    client_post(a, "/api/chat", "X-OpenWebUI-User-Id: ann\r\n", body);
    world_pass(l.w, USEC_PER_S / 2);
    snprintf(body, sizeof body, "%s", ask_autocomplete("How do I bake a loaf of rye"));
    client_post(b, "/api/chat", "X-OpenWebUI-User-Id: ann\r\n", body);
    world_pass(l.w, 2 * USEC_PER_S);
    assert_int_equal(model_calls(l.w), 1);
    chat(c, "m", "How do I bake a loaf");
    assert_has(client_reply(a), "detail=sent");
    world_pass(l.w, 20 * USEC_PER_S);
    assert_true(client_answered(b));
    assert_int_equal(l.loads, 1);
    end(&l);
}

/* A call goes on for the cache after its deadline, then for the load of the message's model: it is one
 * call of the few that go on without waiters. */
static void a_call_that_goes_on_for_two_reasons_counts_once(void **state)
{
    static const char *const sets[] = {"upstream.default.dialect=ollama",
                                       "upstream.default.slots=1", "tasks.settle=0",
                                       "task.autocomplete.deadline=500ms", NULL};
    enum { ROUNDS = 16 };
    (void)state;
    struct world *w = world_begin(sets);
    for (int i = 0; i <= ROUNDS; i++) {
        char text[64], body[4096], model[16];
        snprintf(text, sizeof text, "How do I bake bread of kind %c", 'a' + i);
        snprintf(model, sizeof model, "%c", 'a' + i);
        snprintf(body, sizeof body, "%s", ask_autocomplete(text));
        strstr(body, "\"m\"")[1] = model[0]; /* one of its own */
        struct client *a = post_to(w, "/api/chat", "X-OpenWebUI-User-Id: ann\r\n", body);
        struct upstream_call *call = last_call(w);
        ms(w, 500);
        assert_has(client_reply(a), "detail=deadline");
        assert_true(model_open(call));
        if (i < ROUNDS) {
            struct client *c = client_open(w);
            chat(c, model, text);
            assert_true(model_open(call));
            line(call, false);
            assert_true(model_aborted(call)); /* the model is loaded */
            line(last_call(w), true);
        }
    }
    line(last_call(w), true);
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_load_is_the_chats_too),
        cmocka_unit_test(a_loaded_model_is_not_waited_for),
        cmocka_unit_test(another_models_load_gives_way),
        cmocka_unit_test(a_server_that_holds_its_model_is_none),
        cmocka_unit_test(an_autocomplete_that_was_sent_leaves_its_load),
        cmocka_unit_test(typing_does_not_begin_the_load_again),
        cmocka_unit_test(what_follows_a_load_goes_on_following),
        cmocka_unit_test(a_call_that_goes_on_for_two_reasons_counts_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
