/* test_rewarm.c: the chat's prompt cache is brought back after the tasks of its turn, once, in idle
 * time, and gives way to everything. */
#include "scenario/scenario.h"

#include "lull/path/server/prefix.h"

#define ANN "X-OpenWebUI-User-Id: ann\r\nAuthorization: Bearer k\r\n"
#define BOB "X-OpenWebUI-User-Id: bob\r\n"
#define TAGS "X-OpenWebUI-Task: tags_generation\r\n"
/* Passes through. */
#define STREAMED_TAGS                                                                              \
    "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"tags?\"}]}"
#define REPLY "A daemon is a program without a \"terminal\"."

static const char *const FIRST[] = {"What is a daemon?", NULL};
static const char *const SECOND[] = {"What is a daemon?", REPLY, "And a unit?", NULL};
static const char *const ON[] = {"upstream.default.rewarm=on", NULL};
static const char *const AUTO[] = {"upstream.default.rewarm=auto", NULL};

static const struct upstream_figures *up(struct world *w)
{
    return world_figures(w)->upstreams[0];
}

/* A turn with its chat and a task after it. */
static void turn(struct world *w, const char *path, const char *const *texts, double token)
{
    static unsigned serial;
    char reply[32];
    snprintf(reply, sizeof reply, "Reply number %u", ++serial);
    (void)post_to(w, path, ANN, ask_chat(texts));
    seconds(w, token);
    model_answer(last_call(w), REPLY);
    (void)post_to(w, path, ANN, ask_follow_up(texts[0], reply));
    seconds(w, 4); /* settle, and what a slow server adds to it */
    assert_has(model_body(last_call(w)), "follow-up");
    model_answer(last_call(w), "{\"follow_ups\": [\"Why?\"]}");
}

static void after_the_tasks_the_conversation_is_read_once_more(void **state)
{
    (void)state;
    struct world *w = world_begin(ON);
    turn(w, "/v1/chat/completions", FIRST, 0.5);
    assert_int_equal(model_calls(w), 2);
    seconds(w, 0.99);
    assert_int_equal(model_calls(w), 2);
    seconds(w, 0.01);
    assert_int_equal(model_calls(w), 3);
    struct upstream_call *warm = model_call(w, 2);
    assert_string_equal(model_target(warm), "/v1/chat/completions");
    assert_has(model_headers(warm), "Authorization: Bearer k");
    assert_has(model_body(warm), "{\"role\":\"user\",\"content\":\"What is a daemon?\"},"
                                 "{\"role\":\"assistant\",\"content\":\"A daemon is a program "
                                 "without a \\\"terminal\\\".\"}]");
    assert_has(model_body(warm), "\"max_tokens\":1");
    seconds(w, 3);
    model_answer(warm, "x");
    seconds(w, 600);
    assert_int_equal(model_calls(w), 3); /* once */
    assert_int_equal(up(w)->rewarms, 1);
    assert_int_equal(up(w)->rewarm_us, 3 * USEC_PER_S);
    assert_int_equal(world_task(w, "follow_up")->stored, 1);
    turn(w, "/v1/chat/completions", SECOND, 0.5);
    assert_int_equal(up(w)->token_after_rewarm.count, 1);
    seconds(w, 1);
    model_answer(last_call(w), "x");
    world_end(w);
}

/* A reload in the idle time: the url before is asked for nothing more. */
static void a_server_that_was_replaced_is_not_rewarmed(void **state)
{
    static const char *const moved[] = {"upstream.default.rewarm=on",
                                        "upstream.default.url=http://127.0.0.1:2", NULL};
    (void)state;
    for (int other = 0; other < 2; other++) {
        struct world *w = world_begin(ON);
        turn(w, "/v1/chat/completions", FIRST, 0.5);
        seconds(w, 0.5);
        world_reload(w, other ? moved : ON);
        seconds(w, 2);
        assert_int_equal(up(w)->rewarms, other ? 0 : 1);
        if (!other) {
            model_answer(last_call(w), "x");
        }
        world_end(w);
    }
}

static void ollama_is_asked_in_its_own_words(void **state)
{
    (void)state;
    struct world *w = world_begin(ON);
    turn(w, "/api/chat", FIRST, 0.5);
    seconds(w, 1);
    assert_string_equal(model_target(model_call(w, 2)), "/api/chat");
    assert_has(model_body(model_call(w, 2)), "\"options\":{\"num_predict\":1}");
    model_answer(model_call(w, 2), "x");
    world_end(w);
}

/* What slots hold is followed: after a rewarm the slot holds the conversation again. */
static void it_brings_the_conversation_back_to_its_slot(void **state)
{
    (void)state;
    for (int ends = 0; ends < 2; ends++) {
        struct world *w = world_begin(ON);
        turn(w, "/v1/chat/completions", FIRST, 0.5);
        seconds(w, 1);
        struct server *server = servers_at(world_servers(w), 0);
        struct hash_key model = servers_key(world_servers(w), SPAN("m"));
        assert_int_equal(up(w)->rewarms, 1);
        assert_false(prefix_is_held(server, model, 1)); /* follow-ups were asked as they came */
        if (ends) {
            model_answer(last_call(w), "x");
        } else {
            (void)post(w, ANN, ask_query("weather"));
            assert_true(model_aborted(model_call(w, 2)));
        }
        assert_int_equal(prefix_is_held(server, model, 1), ends);
        world_end(w);
    }
}

/* An error says that the server has not read it: the next turn follows the tasks. */
static void what_the_server_refuses_is_no_rewarm(void **state)
{
    (void)state;
    struct world *w = world_begin(ON);
    turn(w, "/v1/chat/completions", FIRST, 0.5);
    seconds(w, 1);
    model_refuse(last_call(w), 503, "", "{\"error\":{\"message\":\"loading the model\"}}");
    struct server *server = servers_at(world_servers(w), 0);
    assert_false(prefix_is_held(server, servers_key(world_servers(w), SPAN("m")), 1));
    seconds(w, 600);
    assert_int_equal(up(w)->rewarms, 1); /* once a turn all the same */
    turn(w, "/v1/chat/completions", SECOND, 0.5);
    assert_int_equal(up(w)->token_after_rewarm.count, 0);
    assert_int_equal(up(w)->token_after_tasks.count, 1);
    seconds(w, 1);
    model_answer(last_call(w), "x");
    world_end(w);
}

/* A chat, or a task, that its server refuses or that does not reach it, takes nothing out of a slot. */
static void what_is_refused_takes_no_slot(void **state)
{
    static const char *const sets[] = {"tasks.prefix=chat", "tasks.settle=0", NULL};
    static const char *const bodies[] = {"{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":"
                                         "\"user\",\"content\":\"Hello\"}]}",
                                         NULL, STREAMED_TAGS};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct world *w = world_begin(sets);
        (void)post(w, ANN, ask_chat(FIRST));
        model_answer(last_call(w), REPLY);
        seconds(w, 3);
        struct server *server = servers_at(world_servers(w), 0);
        struct hash_key model = servers_key(world_servers(w), SPAN("m"));
        const char *const body = bodies[i] == NULL ? ask_query("weather") : bodies[i];
        const int statuses[] = {404, 0, 500};
        for (size_t k = 0; k < 3; k++) {
            assert_true(prefix_is_held(server, model, 1));
            (void)post(w, i == 2 ? BOB TAGS : BOB, body);
            for (int tries = 0; tries < 2 && model_open(last_call(w)); tries++) {
                if (statuses[k] == 0) {
                    model_break(last_call(w), true);
                } else {
                    model_refuse(last_call(w), statuses[k], "", "{}");
                }
            }
        }
        assert_false(prefix_is_held(server, model, 1)); /* who knows what failed */
        world_end(w);
    }
}

static void it_gives_way_to_everything(void **state)
{
    (void)state;
    for (int what = 0; what < 3; what++) {
        struct world *w = world_begin(ON);
        turn(w, "/v1/chat/completions", FIRST, 0.5);
        seconds(w, 1);
        struct upstream_call *warm = model_call(w, 2);
        assert_true(model_open(warm));
        seconds(w, 1);
        (void)post(w, ANN,
                   what == 0   ? ask_chat(SECOND)
                   : what == 1 ? ask_title("Something", "else")
                               : ask_query("weather"));
        assert_true(model_aborted(warm));
        assert_int_equal(model_calls(w), 4);
        assert_int_equal(up(w)->rewarm_us, USEC_PER_S);
        model_answer(last_call(w), "{\"title\": \"x\", \"queries\": []}");
        seconds(w, 10);
        /* a chat begins a turn of its own; after a task it is tried once more, and not again */
        assert_int_equal(model_calls(w), what == 0 ? 4 : 5);
        if (what > 0) {
            assert_has(model_body(last_call(w)), "\"max_tokens\":1}");
            (void)post(w, ANN, ask_title("Another", "one"));
            assert_true(model_aborted(model_call(w, 4)));
            model_answer(last_call(w), "{\"title\": \"x\"}");
            seconds(w, 600);
            assert_int_equal(model_calls(w), 6);
        }
        world_end(w);
    }
}

/* llama.cpp says with the last event how much of a prompt it had read before. */
static void answer_with_timings(struct upstream_call *call, int read, int cached)
{
    char line[256];
    snprintf(line, sizeof line,
             "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],"
             "\"timings\":{\"cache_n\":%d,\"prompt_n\":%d,\"predicted_n\":2}}\n\n",
             cached, read);
    model_head(call, 200, "text/event-stream");
    model_data(call, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n");
    model_data(call, line);
    model_data(call, "data: [DONE]\n\n");
    model_end(call);
}

static void what_tasks_cost_the_next_turn_is_counted(void **state)
{
    (void)state;
    static const char *const sets[] = {"tasks.settle=0", NULL};
    struct world *w = world_begin(sets);
    (void)post(w, ANN, ask_chat(FIRST));
    answer_with_timings(last_call(w), 100, 0);
    seconds(w, 5);
    (void)post(w, ANN, ask_chat(SECOND));
    answer_with_timings(last_call(w), 20, 180);
    assert_int_equal(up(w)->turn_tokens_alone, 200);
    assert_int_equal(up(w)->turn_cached_alone, 180);
    seconds(w, 5);
    (void)post(w, ANN, ask_follow_up("x", "Another reply here"));
    seconds(w, 1);
    model_answer(last_call(w), "{\"follow_ups\": [\"Why?\"]}");
    seconds(w, 5);
    (void)post(w, ANN, ask_chat(SECOND));
    answer_with_timings(last_call(w), 299, 1);
    assert_int_equal(up(w)->turn_tokens_after_tasks, 300);
    assert_int_equal(up(w)->turn_cached_after_tasks, 1);
    assert_int_equal(up(w)->turn_tokens_alone, 200);
    world_end(w);
}

static void without_tasks_there_is_nothing_to_bring_back(void **state)
{
    (void)state;
    struct world *w = world_begin(ON);
    (void)post(w, ANN, ask_chat(FIRST));
    model_answer(last_call(w), REPLY);
    seconds(w, 600);
    assert_int_equal(model_calls(w), 1);
    (void)post(w, ANN, ask_chat(SECOND));
    seconds(w, 0.2);
    model_answer(last_call(w), REPLY);
    assert_int_equal(up(w)->token_alone.count, 1);
    world_end(w);
    w = world_begin(NULL); /* off, the default: measured all the same */
    turn(w, "/v1/chat/completions", FIRST, 0.5);
    seconds(w, 600);
    assert_int_equal(model_calls(w), 2);
    turn(w, "/v1/chat/completions", SECOND, 3);
    assert_int_equal(up(w)->token_after_tasks.count, 1);
    world_end(w);
}

static void auto_begins_where_a_loss_was_measured(void **state)
{
    (void)state;
    for (int lossy = 0; lossy < 2; lossy++) {
        struct world *w = world_begin(AUTO);
        turn(w, "/v1/chat/completions", FIRST, 0.5);
        seconds(w, 60);
        turn(w, "/v1/chat/completions", SECOND, lossy ? 3 : 0.5);
        seconds(w, 60);
        assert_int_equal(up(w)->rewarms, 0);
        turn(w, "/v1/chat/completions", SECOND, lossy ? 3 : 0.5);
        seconds(w, 1);
        assert_int_equal(up(w)->rewarms, 1); /* a trial */
        model_answer(last_call(w), "x");
        turn(w, "/v1/chat/completions", SECOND, 0.5);
        seconds(w, 1);
        assert_int_equal(up(w)->rewarms, lossy ? 2 : 1);
        if (lossy) {
            model_answer(last_call(w), "x");
        }
        world_end(w);
    }
}

/* A task that passes through takes the conversation's place, too. */
static void so_it_is_after_a_task_that_passes(void **state)
{
    (void)state;
    struct world *w = world_begin(ON);
    (void)post(w, ANN, ask_chat(FIRST));
    seconds(w, 0.5);
    model_answer(last_call(w), REPLY);
    (void)post(w, ANN "X-OpenWebUI-Task: tags_generation\r\n", ask_chat(FIRST));
    seconds(w, 4);
    assert_int_equal(model_calls(w), 2);
    model_answer(last_call(w), "{\"tags\": [\"a\"]}");
    seconds(w, 1);
    assert_int_equal(model_calls(w), 3);
    assert_has(model_body(model_call(w, 2)), "\"max_tokens\":1");
    model_answer(model_call(w, 2), "x");
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(so_it_is_after_a_task_that_passes),
        cmocka_unit_test(after_the_tasks_the_conversation_is_read_once_more),
        cmocka_unit_test(a_server_that_was_replaced_is_not_rewarmed),
        cmocka_unit_test(ollama_is_asked_in_its_own_words),
        cmocka_unit_test(it_brings_the_conversation_back_to_its_slot),
        cmocka_unit_test(what_the_server_refuses_is_no_rewarm),
        cmocka_unit_test(what_is_refused_takes_no_slot),
        cmocka_unit_test(it_gives_way_to_everything),
        cmocka_unit_test(what_tasks_cost_the_next_turn_is_counted),
        cmocka_unit_test(without_tasks_there_is_nothing_to_bring_back),
        cmocka_unit_test(auto_begins_where_a_loss_was_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
