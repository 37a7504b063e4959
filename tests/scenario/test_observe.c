/* test_observe.c: `mode = observe` says what lull would have done, and changes nothing: what the same
 * requests give in `mode = on` is the reference.
 */
#include "scenario/scenario.h"

#include "lull/base/buf.h"

static const char ANN[] = "X-OpenWebUI-User-Id: ann\r\n";
static const char CHAT_C[] = "X-OpenWebUI-User-Id: ann\r\nX-OpenWebUI-Chat-Id: c\r\n";
static const char T1[] = "How do I write a small daemon";
static const char T2[] = "How do I write a small daemon in C";
static const char TITLE[] = "{\"title\": \"Greeting\"}";
static const char OBSERVED[] = "Cache-Status: lull; fwd=bypass; detail=observe\r\n";
static const char *const FIRST[] = {"What is a daemon?", NULL};
static const char REPLY[] = "A daemon is a program that runs in the background.";
static const char *const PATHS[] = {"/v1/chat/completions", "/api/chat"};

static const char *observe_sets[] = {"tasks.mode=observe", "upstream.default.slots=1",
                                     "task.autocomplete.debounce=300ms", NULL};
static const char *on_sets[] = {"tasks.mode=on", "upstream.default.slots=1",
                                "task.autocomplete.debounce=300ms", NULL};

static struct client *complete(struct world *w, const char *text)
{
    return post_to(w, PATHS[0], ANN, ask_autocomplete(text));
}

static void answer_after(struct world *w, struct upstream_call *call, int64_t took,
                         const char *text)
{
    ms(w, took);
    model_answer(call, text);
    world_pass(w, 0);
}

static void a_repeat_would_be_a_hit(void **state)
{
    (void)state;
    for (size_t d = 0; d < 2; d++) {
        struct world *w = world_begin(observe_sets);
        const struct task_figures *t = world_task(w, "title");
        for (int i = 0; i < 3; i++) {
            struct client *c = post_to(w, PATHS[d], ANN, ask_title("Hello", "Fine."));
            assert_int_equal(model_calls(w), i + 1);
            assert_string_equal(model_body(last_call(w)), ask_title("Hello", "Fine."));
            answer_after(w, last_call(w), 2000 + 500 * i, TITLE);
            assert_has(client_reply(c), OBSERVED);
            assert_has(client_reply(c), "X-Lull-Task: title\r\n");
        }
        assert_int_equal(t->would_hit, 2);
        assert_int_equal(t->would_save_us,
                         4000 * USEC_PER_MS); /* by the call that made the answer */
        assert_int_equal(t->upstream_us, 7500 * USEC_PER_MS);
        assert_int_equal(t->saved_us + t->wasted_us, 0);
        assert_int_equal(t->stored, 1);
        assert_int_equal(t->outcomes[OUTCOME_BYPASSED], 3);
        world_end(w);
    }
}

/* An answer that a server streams though none asked it to: passed on as it is, and kept. */
static void a_streamed_answer_is_put_together(void **state)
{
    (void)state;
    static const char stream[] =
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"{\\\"title\\\": \"}}]}\n\n"
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\\\"Hi\\\"}\"},"
        "\"finish_reason\":\"stop\"}],\"timings\":{\"prompt_ms\":700,\"predicted_ms\":50}}\n\n"
        "data: [DONE]\n\n";
    struct world *w = world_begin(observe_sets);
    struct client *c = post_to(w, PATHS[0], ANN, ask_title("Hello", "Fine."));
    struct upstream_call *call = last_call(w);
    model_head(call, 200, "text/event-stream");
    for (size_t i = 0; i < strlen(stream); i += 7) {
        char piece[8] = "";
        memcpy(piece, stream + i, strlen(stream) - i < 7 ? strlen(stream) - i : 7);
        model_data(call, piece);
        ms(w, 40);
    }
    model_end(call);
    assert_has(client_reply(c), "[DON");
    (void)post_to(w, PATHS[0], ANN, ask_title("Hello", "Fine."));
    assert_int_equal(world_task(w, "title")->would_hit, 1);
    assert_int_equal(world_task(w, "title")->would_save_us, 750 * USEC_PER_MS);
    assert_int_equal(world_task(w, "title")->upstream_us, 750 * USEC_PER_MS);
    model_answer(last_call(w), TITLE);
    world_end(w);
}

static void what_was_seen_is_never_served(void **state)
{
    (void)state;
    struct world *w = world_begin(observe_sets);
    (void)post_to(w, PATHS[0], ANN, ask_title("Hello", "Fine."));
    answer_after(w, last_call(w), 2000, TITLE);
    (void)complete(w, T1);
    answer_after(w, last_call(w), 1000, "{\"text\": \" in C with libevent\"}");
    ms(w, 3000);
    world_reload(w, on_sets);
    struct client *c = post_to(w, PATHS[0], ANN, ask_title("Hello", "Fine."));
    assert_int_equal(model_calls(w), 3);
    answer_after(w, last_call(w), 1000, "{\"title\": \"Again\"}");
    assert_has(client_reply(c), "fwd=miss; stored");
    c = complete(w, T2);
    ms(w, 300);
    assert_int_equal(model_calls(w), 4);
    answer_after(w, last_call(w), 1000, "{\"text\": \"++\"}");
    assert_has(client_reply(c), "fwd=miss; stored");
    c = post_to(w, PATHS[0], ANN, ask_title("Hello", "Fine."));
    assert_has(client_reply(c), "Again");
    world_reload(w, observe_sets); /* what is served in `on` would be a hit, and stays */
    c = post_to(w, PATHS[0], ANN, ask_title("Hello", "Fine."));
    assert_int_equal(world_task(w, "title")->would_hit, 1);
    ms(w, 6000);
    c = post_to(w, PATHS[0], ANN, ask_title("Hello", "Fine.")); /* now it would be a miss */
    assert_int_equal(world_task(w, "title")->would_hit, 1);
    answer_after(w, last_call(w), 1000, "{\"title\": \"Seen\"}");
    model_answer(model_call(w, 4), "{\"title\": \"Seen\"}");
    world_reload(w, on_sets);
    world_restart(w);
    (void)post_to(w, PATHS[0], ANN, ask_title("Hello", "Fine."));
    assert_int_equal(world_task(w, "title")->regenerated, 1); /* "Again" is still there */
    model_answer(last_call(w), TITLE);
    world_end(w);
}

static void a_bad_answer_would_not_be_kept(void **state)
{
    (void)state;
    struct world *w = world_begin(observe_sets);
    for (int i = 0; i < 2; i++) {
        (void)post_to(w, PATHS[0], ANN, ask_title("Hello", "Fine."));
        answer_after(w, last_call(w), 100, "prose");
        (void)post_to(w, PATHS[0], ANN, ask_title("And you?", "Fine."));
        model_refuse(last_call(w), 500, "", "{\"error\":{\"message\":\"no\"}}");
        world_pass(w, 0);
    }
    assert_int_equal(world_task(w, "title")->would_hit, 0);
    assert_int_equal(world_task(w, "title")->stored, 0);
    assert_int_equal(world_task(w, "title")->failed, 2);
    (void)post_to(w, PATHS[0], ANN, ask_title("Why?", "Fine.")); /* mended as it would be */
    answer_after(w, last_call(w), 100, "Sure! ```json\n{\"title\": \"So\"}\n```");
    (void)post_to(w, PATHS[0], ANN, ask_title("Why?", "Fine."));
    assert_int_equal(world_task(w, "title")->would_hit, 1);
    model_answer(last_call(w), TITLE);
    world_end(w);
}

static void equal_requests_would_share_a_call(void **state)
{
    (void)state;
    struct world *w = world_begin(observe_sets);
    const struct task_figures *t = world_task(w, "title");
    struct client *c[4];
    for (int i = 0; i < 4; i++) {
        c[i] = post_to(w, PATHS[0], ANN, ask_title("Hello", "Fine."));
    }
    assert_int_equal(model_calls(w), 4);
    client_close(c[3]); /* counts as abandoned, not as shared */
    answer_after(w, model_call(w, 1), 500, TITLE);
    answer_after(w, model_call(w, 0), 500, TITLE);
    answer_after(w, model_call(w, 2), 500, TITLE);
    assert_int_equal(t->would_collapse, 2);
    assert_int_equal(t->would_save_us, 1500 * USEC_PER_MS); /* one ended before the first, 0.5 s */
    assert_int_equal(t->stored, 1);
    ms(w, 1500);
    /* the first leaves: the next one's call makes the answer */
    struct client *a = post_to(w, PATHS[0], ANN, ask_title("Bye", "Fine."));
    (void)post_to(w, PATHS[0], ANN, ask_title("Bye", "Fine."));
    (void)post_to(w, PATHS[0], ANN, ask_title("Bye", "Fine."));
    client_close(a);
    answer_after(w, model_call(w, 5), 700, TITLE);
    model_answer(model_call(w, 6), TITLE);
    assert_int_equal(t->would_collapse, 3);
    assert_int_equal(t->would_save_us, 2200 * USEC_PER_MS);
    (void)post_to(w, PATHS[0], ANN, ask_title("Bye", "Fine."));
    assert_int_equal(t->would_hit, 1);
    model_answer(last_call(w), TITLE);
    world_end(w);
}

static void newer_text_would_supersede(void **state)
{
    (void)state;
    struct world *w = world_begin(observe_sets);
    const struct task_figures *t = world_task(w, "autocomplete");
    (void)complete(w, T1);
    answer_after(w, last_call(w), 50, "{\"text\": \" in C with libevent\"}");
    ms(w, 50);
    (void)complete(w, T2); /* inside the window: no type-through, the first was never called */
    assert_int_equal(model_calls(w), 2);
    assert_int_equal(t->would_supersede, 1);
    assert_int_equal(t->would_type_through, 0);
    answer_after(w, last_call(w), 400, "{\"text\": \" with libevent\"}");
    assert_int_equal(t->stored, 1);
    ms(w, 5000);
    (void)complete(w, T1); /* its answer is not kept */
    assert_int_equal(t->would_hit, 0);
    model_answer(last_call(w), "{\"text\": \" in Rust\"}");
    ms(w, 5000);
    (void)complete(w, T2);
    assert_int_equal(t->would_hit, 1);
    model_answer(last_call(w), "{\"text\": \" x\"}");
    (void)complete(w, "How do I write a small daemon in C with");
    assert_int_equal(t->would_type_through, 1);
    assert_int_equal(t->would_save_us, 800 * USEC_PER_MS);
    model_answer(last_call(w), "{\"text\": \" x\"}");
    world_end(w);
}

/* A conversation with a chat, its tasks and a second chat: what waits in `on`, and for how long. */
static int64_t conversation(const char *const *sets, bool observing)
{
    const char *second[] = {"What is a daemon?", REPLY, "And in C?", NULL};
    struct world *w = world_begin(sets);
    int64_t begun[16] = {0};
    (void)post_to(w, PATHS[0], CHAT_C, ask_title(FIRST[0], ""));
    ms(w, 20);
    (void)post_to(w, PATHS[0], CHAT_C, ask_chat(FIRST));
    assert_int_equal(model_calls(w), observing ? 2 : 1);
    ms(w, 4000);
    model_answer(model_call(w, observing ? 1 : 0), REPLY);
    ms(w, 30);
    (void)post_to(w, PATHS[0], CHAT_C, ask_follow_up("What is a daemon?", REPLY));
    for (int64_t t = 0; t < 20000; t += 10) { /* each task takes 1.5 s, the second chat 3 s */
        ms(w, 10);
        if (t == 5000) {
            (void)post_to(w, PATHS[0], CHAT_C, ask_chat(second));
        }
        for (size_t i = 0; i < model_calls(w); i++) {
            struct upstream_call *call = model_call(w, i);
            if (!model_open(call)) {
                continue;
            }
            begun[i] = begun[i] == 0 ? t + 1 : begun[i];
            bool chat = strstr(model_body(call), "And in C?") != NULL &&
                        strstr(model_body(call), "### Task") == NULL;
            if (t - begun[i] >= (chat ? 3000 : 1500)) {
                model_answer(call, strstr(model_body(call), "follow_ups") != NULL
                                       ? "{\"follow_ups\": [\"a\"]}"
                                       : TITLE);
            }
        }
    }
    int64_t sum = 0;
    const char *kinds[] = {"title", "follow_up"};
    for (size_t i = 0; i < 2; i++) {
        const struct task_figures *t = world_task(w, kinds[i]);
        sum += observing ? t->would_wait_us : t->wait_us;
        assert_int_equal(observing ? t->wait_us : t->would_wait_us, 0);
        assert_int_equal(t->requests, 1);
    }
    world_end(w);
    return sum;
}

static void a_task_would_wait_as_it_waits(void **state)
{
    (void)state;
    int64_t waited = conversation(on_sets, false);
    int64_t would = conversation(observe_sets, true);
    assert_true(waited > 6000 * USEC_PER_MS);
    if (would < waited * 98 / 100 || would > waited * 102 / 100) {
        fail_msg("would wait %lld, waits %lld", (long long)would, (long long)waited);
    }
}

/* A task whose answer is streamed to its client waits before its first byte, in `on`. */
static void a_streamed_task_would_wait(void **state)
{
    (void)state;
    struct world *w = world_begin(observe_sets);
    char body[4096];
    snprintf(body, sizeof body, "%s", ask_title("one", "Fine."));
    memcpy(strstr(body, "\"stream\":false"), "\"stream\":true ", 14);
    (void)post_to(w, PATHS[0], ANN, ask_chat(FIRST));
    struct client *c = post_to(w, PATHS[0], "X-OpenWebUI-Task: title_generation\r\n", body);
    assert_int_equal(model_calls(w), 2);
    model_answer(last_call(w), TITLE);
    assert_has(client_reply(c), OBSERVED);
    ms(w, 5000);
    model_answer(model_call(w, 0), REPLY);
    ms(w, 20000);
    assert_true(world_task(w, "title")->would_wait_us > 5000 * USEC_PER_MS);
    assert_int_equal(world_task(w, "title")->wait_us, 0);
    assert_int_equal(world_task(w, "title")->stored + world_task(w, "title")->would_hit, 0);
    world_end(w);
}

/* More tasks than virtual calls are kept for: all pass, and nothing grows. */
static void what_is_beyond_the_bounds_passes(void **state)
{
    (void)state;
    enum { MANY = 1500 };
    const char *sets[] = {"tasks.mode=observe", "tasks.queue=4096", "upstream.default.slots=1",
                          NULL};
    struct world *w = world_begin(sets);
    struct client *chat = post_to(w, PATHS[0], ANN, ask_chat(FIRST));
    struct client *c = client_open(w);
    char user[32];
    for (int i = 0; i < MANY; i++) {
        snprintf(user, sizeof user, "Question %d?", i);
        client_clear(c);
        client_post(c, PATHS[0], ANN, ask_title(user, "Fine."));
        model_answer(last_call(w), TITLE);
        assert_has(client_reply(c), OBSERVED);
    }
    assert_int_equal(world_task(w, "title")->requests, MANY);
    assert_int_equal(world_task(w, "title")->stored, 1024);
    client_close(chat);
    ms(w, 100000);
    world_end(w);
}

static void an_answer_that_is_too_long_is_not_kept(void **state)
{
    (void)state;
    struct world *w = world_begin(observe_sets);
    for (int i = 0; i < 2; i++) {
        struct client *c = post_to(w, PATHS[0], ANN, ask_title("Hello", "Fine."));
        struct upstream_call *call = last_call(w);
        static char piece[65536];
        memset(piece, ' ', sizeof piece - 1);
        model_head(call, 200, "application/json");
        model_data(call, "{");
        for (int n = 0; n < 20; n++) {
            model_data(call, piece);
        }
        model_data(call, "\"choices\":[{\"index\":0,\"message\":{\"content\":"
                         "\"{\\\"title\\\": \\\"Hi\\\"}\"},\"finish_reason\":\"stop\"}]}");
        model_end(call);
        assert_true(strlen(client_reply(c)) > 20 * 65535);
    }
    assert_int_equal(world_task(w, "title")->would_hit, 0);
    world_end(w);
}

/* It ends without a call of its own: nothing of it stays in its virtual call, which others share. */
static void a_task_that_would_come_back_leaves_its_virtual_call(void **state)
{
    (void)state;
    static const char part[] = "POST /v1/chat/completions HTTP/1.1\r\nHost: lull\r\n"
                               "Content-Length: 9\r\n\r\n{";
    const char *sets[] = {"tasks.mode=observe", "task.autocomplete.debounce=300ms", NULL};
    struct world *w = world_begin(sets);
    world_probes(w, PROBES_LOOP);
    struct client *title = post_to(w, PATHS[0], ANN, ask_title("Hello", "Fine."));
    struct client *first = complete(w, T1);
    assert_has(client_reply(first), " 508 ");
    assert_has(client_reply(first),
               "Cache-Status: lull; detail=upstream_loop\r\n"); /* no call was made */
    client_send(client_open(w), part, sizeof part - 1); /* takes the memory of that exchange */
    assert_has(client_reply(complete(w, T2)), " 508 "); /* newer text */
    model_answer(model_call(w, 0), TITLE);
    assert_has(client_reply(title), "Greeting");
    assert_int_equal(world_task(w, "autocomplete")->would_supersede, 0);
    assert_int_equal(world_task(w, "autocomplete")->outcomes[OUTCOME_BYPASSED], 2);
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_repeat_would_be_a_hit),
        cmocka_unit_test(a_streamed_answer_is_put_together),
        cmocka_unit_test(what_was_seen_is_never_served),
        cmocka_unit_test(a_bad_answer_would_not_be_kept),
        cmocka_unit_test(equal_requests_would_share_a_call),
        cmocka_unit_test(newer_text_would_supersede),
        cmocka_unit_test(a_task_would_wait_as_it_waits),
        cmocka_unit_test(a_streamed_task_would_wait),
        cmocka_unit_test(what_is_beyond_the_bounds_passes),
        cmocka_unit_test(an_answer_that_is_too_long_is_not_kept),
        cmocka_unit_test(a_task_that_would_come_back_leaves_its_virtual_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
