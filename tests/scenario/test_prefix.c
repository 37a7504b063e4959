/* test_prefix.c: tasks that are asked behind their conversation: what is sent, which answers they
 * share, where they are asked as they came instead, and what is learnt of it. */
#include "scenario/scenario.h"

#include "lull/path/server/prefix.h"

#define ANN "X-OpenWebUI-User-Id: ann\r\nAuthorization: Bearer k\r\n"
#define BOB "X-OpenWebUI-User-Id: bob\r\nAuthorization: Bearer k\r\n"
#define CHAT_1 ANN "X-OpenWebUI-Chat-Id: one\r\n"
#define CHAT_2 ANN "X-OpenWebUI-Chat-Id: two\r\n"
#define PATH "/v1/chat/completions"

static const char USER[] = "What is a daemon?";
static const char REPLY[] = "A daemon is a program without a \"terminal\".";
static const char FOLLOW_UPS[] = "{\"follow_ups\": [\"Why?\"]}";
static const char *const CHAT[] = {"tasks.prefix=chat", NULL};
static const char *const AUTO[] = {"tasks.prefix=auto", NULL};
static const char *const FIRST[] = {USER, NULL};

/* What a chat's messages and its reply are for the server, up to the next message. */
static const char BEGINNING[] =
    "\"messages\":[{\"role\":\"user\",\"content\":\"What is a daemon?\"},"
    "{\"role\":\"assistant\",\"content\":\"A daemon is a program without a \\\"terminal\\\".\"},";

/* A turn's chat, answered. */
static void chat(struct world *w, const char *headers, const char *const *turns, const char *reply)
{
    (void)post_to(w, PATH, headers, ask_chat(turns));
    seconds(w, 0.2);
    model_answer_cached(last_call(w), reply, 500, -1);
    seconds(w, 3); /* settle */
}

/* A task after it: its call, or NULL where it was answered without one. */
static struct upstream_call *task(struct world *w, const char *headers, const char *body)
{
    size_t before = model_calls(w);
    (void)post_to(w, PATH, headers, body);
    seconds(w, 3);
    return model_calls(w) > before ? last_call(w) : NULL;
}

static const char *ask_tags(const char *user, const char *reply)
{
    static char body[4096];
    snprintf(
        body, sizeof body,
        "{\"model\":\"m\",\"stream\":false,\"messages\":[{\"role\":\"user\",\"content\":\"### "
        "Task:\\nGenerate 1-3 broad tags categorizing the main themes of the chat history, along "
        "with 1-3 more specific subtopic tags.\\nJSON format: { \\\"tags\\\": [\\\"tag1\\\", "
        "\\\"tag2\\\", \\\"tag3\\\"] }\\n### Chat History:\\n<chat_history>\\nUSER: "
        "%s\\nASSISTANT: %s\\n</chat_history>\"}]}",
        user, reply);
    return body;
}

static int64_t used(struct world *w, const char *kind)
{
    const struct task_figures *t = world_task(w, kind);
    return t == NULL ? 0 : t->prefix_used;
}

static int64_t not_used(struct world *w, const char *kind, enum prefix_reason why)
{
    const struct task_figures *t = world_task(w, kind);
    return t == NULL ? 0 : t->prefix_not[why];
}

/* The first follow-up that is asked as it came, for that reason. */
static void asked_as_it_came(struct world *w, const char *headers, const char *body,
                             enum prefix_reason why)
{
    struct upstream_call *call = task(w, headers, body);
    assert_has_not(model_body(call), BEGINNING);
    model_answer_cached(call, FOLLOW_UPS, 800, 0);
    assert_int_equal(not_used(w, "follow_up", why), 1);
}

static void a_task_is_asked_behind_its_conversation(void **state)
{
    (void)state;
    struct world *w = world_begin(CHAT);
    chat(w, CHAT_1, FIRST, REPLY);
    struct upstream_call *call = task(w, CHAT_1, ask_follow_up(USER, REPLY));
    assert_has(model_body(call), BEGINNING);
    assert_has(model_body(call), "{\"role\":\"user\",\"content\":\"This is a separate task");
    assert_has(model_body(call), "<chat_history>\\n(the conversation above)\\n</chat_history>\"}]");
    assert_has_not(model_body(call), "USER: What");
    assert_has(model_headers(call), "Authorization: Bearer k");
    model_answer_cached(call, FOLLOW_UPS, 800, 500);
    assert_int_equal(used(w, "follow_up"), 1);
    assert_int_equal(world_task(w, "follow_up")->stored, 1);
    /* again: from the cache, by its conversation */
    assert_null(task(w, CHAT_1, ask_follow_up(USER, REPLY)));
    assert_int_equal(world_task(w, "follow_up")->outcomes[OUTCOME_HIT], 1);
    world_end(w);
}

static void other_kinds_are_asked_as_they_came(void **state)
{
    (void)state;
    struct world *w = world_begin(CHAT);
    chat(w, CHAT_1, FIRST, REPLY);
    struct upstream_call *call = task(w, CHAT_1, ask_autocomplete("What is a unit and a"));
    assert_has_not(model_body(call), BEGINNING);
    assert_int_equal(used(w, "autocomplete"), 0);
    for (int why = 0; why < PREFIX_REASON_COUNT; why++) {
        assert_int_equal(not_used(w, "autocomplete", (enum prefix_reason)why), 0);
    }
    model_answer(call, "{\"text\": \"x\"}");
    world_end(w);
}

static void the_conversation_is_part_of_the_key(void **state)
{
    (void)state;
    struct world *w = world_begin(CHAT);
    static const char *const longer[] = {"Hello", "Hi.", USER, NULL};
    chat(w, CHAT_1, FIRST, REPLY);
    model_answer_cached(task(w, CHAT_1, ask_follow_up(USER, REPLY)), FOLLOW_UPS, 800, 500);
    /* the same request of another chat, whose conversation begins otherwise */
    chat(w, CHAT_2, longer, REPLY);
    struct upstream_call *call = task(w, CHAT_2, ask_follow_up(USER, REPLY));
    assert_non_null(call);
    assert_has(model_body(call), "\"content\":\"Hello\"");
    model_answer_cached(call, "{\"follow_ups\": [\"Other?\"]}", 800, 500);
    /* each finds its own, and a chat that is not held none */
    struct client *a = post_to(w, PATH, CHAT_1, ask_follow_up(USER, REPLY));
    struct client *b = post_to(w, PATH, CHAT_2, ask_follow_up(USER, REPLY));
    seconds(w, 0.1);
    assert_has(client_reply(a), "Why?");
    assert_has(client_reply(b), "Other?");
    asked_as_it_came(w, ANN "X-OpenWebUI-Chat-Id: three\r\n", ask_follow_up(USER, REPLY),
                     PREFIX_REASON_NOT_HELD);
    world_end(w);
}

static void equal_tasks_of_two_conversations_share_no_call(void **state)
{
    (void)state;
    struct world *w = world_begin(CHAT);
    static const char *const longer[] = {"Hello", "Hi.", USER, NULL};
    chat(w, CHAT_1, FIRST, REPLY);
    chat(w, CHAT_2, longer, REPLY);
    size_t before = model_calls(w);
    struct client *a = post_to(w, PATH, CHAT_1, ask_follow_up(USER, REPLY));
    struct client *b = post_to(w, PATH, CHAT_2, ask_follow_up(USER, REPLY));
    seconds(w, 3);
    model_answer_cached(last_call(w), "{\"follow_ups\": [\"First?\"]}", 800, 500);
    seconds(w, 3);
    assert_int_equal(model_calls(w), before + 2);
    model_answer_cached(last_call(w), "{\"follow_ups\": [\"Second?\"]}", 800, 500);
    seconds(w, 0.1);
    assert_has(client_reply(a), "First?");
    assert_has(client_reply(b), "Second?");
    world_end(w);
}

static void no_other_user_gets_behind_it(void **state)
{
    (void)state;
    struct world *w = world_begin(CHAT);
    chat(w, ANN, FIRST, REPLY);
    asked_as_it_came(w, BOB, ask_follow_up(USER, REPLY), PREFIX_REASON_NOT_HELD);
    world_end(w);
}

static void without_chat_ids_it_is_found_by_its_texts(void **state)
{
    (void)state;
    struct world *w = world_begin(CHAT);
    static const char *const other[] = {"Something else", NULL};
    chat(w, ANN, FIRST, REPLY);
    chat(w, ANN, other, "Other reply.");
    struct upstream_call *call = task(w, ANN, ask_follow_up(USER, REPLY));
    assert_has(model_body(call), BEGINNING);
    model_answer_cached(call, FOLLOW_UPS, 800, 500);
    /* two conversations that end alike and begin differently: neither is certain */
    static const char *const longer[] = {"Hello", "Hi.", USER, NULL};
    chat(w, ANN, longer, REPLY);
    asked_as_it_came(w, ANN, ask_follow_up(USER, REPLY), PREFIX_REASON_AMBIGUOUS);
    world_end(w);
}

static void a_purge_forgets_conversations(void **state)
{
    (void)state;
    struct world *w = world_begin(CHAT);
    chat(w, CHAT_1, FIRST, REPLY);
    const struct cache_filter titles = {.kind = SPAN("title")};
    cache_purge(world_cache(w), &titles, NULL, NULL);
    asked_as_it_came(w, CHAT_1, ask_follow_up(USER, REPLY), PREFIX_REASON_NOT_HELD);
    world_end(w);
}

static void the_history_must_be_the_end_of_the_conversation(void **state)
{
    (void)state;
    struct world *w = world_begin(CHAT);
    chat(w, CHAT_1, FIRST, REPLY);
    asked_as_it_came(w, CHAT_1, ask_follow_up(USER, "Another reply."), PREFIX_REASON_DIFFERS);
    world_end(w);
}

static void a_title_before_the_reply_is_asked_behind_it(void **state)
{
    (void)state;
    struct world *w = world_begin(CHAT);
    struct client *title = post_to(w, PATH, CHAT_1, ask_title(USER, ""));
    seconds(w, 0.01);
    (void)post_to(w, PATH, CHAT_1, ask_chat(FIRST));
    assert_int_equal(model_calls(w), 1);
    seconds(w, 2);
    model_answer_cached(last_call(w), REPLY, 500, -1);
    seconds(w, 6);
    assert_int_equal(model_calls(w), 2);
    assert_has(model_body(last_call(w)), BEGINNING);
    model_answer_cached(last_call(w), "{\"title\": \"Daemons\"}", 800, 500);
    seconds(w, 0.1);
    assert_has(client_reply(title), "Daemons");
    assert_int_equal(used(w, "title"), 1);
    struct client *again = post_to(w, PATH, CHAT_1, ask_title(USER, ""));
    seconds(w, 0.01);
    assert_has(client_reply(again), "lull; hit");
    /* the same first message in another chat gets no title of this one */
    struct upstream_call *call = task(w, CHAT_2, ask_title(USER, ""));
    assert_non_null(call);
    model_answer_cached(call, "{\"title\": \"Others\"}", 300, 0);
    world_end(w);
}

static void a_title_is_behind_its_first_turn_however_late_it_comes(void **state)
{
    (void)state;
    static const char *const second[] = {USER, REPLY, "And a unit?", NULL};
    struct world *w = world_begin(CHAT);
    struct client *title = post_to(w, PATH, CHAT_1, ask_title(USER, ""));
    (void)post_to(w, PATH, CHAT_1, ask_chat(FIRST));
    seconds(w, 1);
    model_answer_cached(last_call(w), REPLY, 500, -1);
    seconds(w, 0.5);
    (void)post_to(w, PATH, CHAT_1, ask_chat(second));
    seconds(w, 1);
    assert_int_equal(model_calls(w), 2);
    model_answer_cached(last_call(w), "A unit is a file.", 600, -1);
    seconds(w, 6);
    assert_int_equal(model_calls(w), 3);
    assert_has(model_body(last_call(w)), BEGINNING);
    assert_has_not(model_body(last_call(w)), "And a unit?");
    model_answer_cached(last_call(w), "{\"title\": \"Daemons\"}", 800, 500);
    seconds(w, 0.1);
    assert_has(client_reply(title), "Daemons");
    world_end(w);
}

static void titles_of_two_chats_that_wait_together_are_asked_as_they_came(void **state)
{
    (void)state;
    struct world *w = world_begin(CHAT);
    struct client *a = post_to(w, PATH, CHAT_1, ask_title(USER, ""));
    (void)post_to(w, PATH, CHAT_1, ask_chat(FIRST));
    struct client *b = post_to(w, PATH, CHAT_2, ask_title(USER, ""));
    seconds(w, 1);
    model_answer_cached(last_call(w), REPLY, 500, -1);
    seconds(w, 6);
    assert_int_equal(model_calls(w), 2);
    assert_has_not(model_body(last_call(w)), BEGINNING);
    model_answer_cached(last_call(w), "{\"title\": \"Daemons\"}", 800, 0);
    seconds(w, 0.1);
    assert_has(client_reply(a), "Daemons");
    assert_has(client_reply(b), "Daemons");
    assert_int_equal(not_used(w, "title", PREFIX_REASON_AMBIGUOUS), 1);
    world_end(w);
}

static void a_query_is_asked_behind_the_earlier_turns(void **state)
{
    (void)state;
    struct world *w = world_begin(CHAT);
    chat(w, CHAT_1, FIRST, REPLY);
    struct upstream_call *call =
        task(w, CHAT_1,
             ask_query("What is a daemon?\nASSISTANT: A daemon is a program without a "
                       "\"terminal\".\nUSER: And who wrote the first one?"));
    assert_has(model_body(call), BEGINNING);
    assert_has(model_body(call),
               "(the conversation above)\\nUSER: And who wrote the first one?\\n");
    model_answer_cached(call, "{\"queries\": [\"first daemon\"]}", 800, 500);
    world_end(w);
}

static void a_refused_conversation_is_left_out_first(void **state)
{
    (void)state;
    struct world *w = world_begin(CHAT);
    chat(w, CHAT_1, FIRST, REPLY);
    (void)post_to(w, PATH, CHAT_1, ask_follow_up(USER, REPLY));
    seconds(w, 3);
    assert_has(model_body(last_call(w)), BEGINNING);
    model_refuse(last_call(w), 400, "", "{\"error\":{\"message\":\"too long\"}}");
    assert_has_not(model_body(last_call(w)), BEGINNING);
    assert_has(model_body(last_call(w)), "\"stream\":true"); /* the other additions stay */
    model_answer_cached(last_call(w), FOLLOW_UPS, 300, 0);
    assert_int_equal(world_task(w, "follow_up")->stored, 1);
    assert_int_equal(used(w, "follow_up"), 1);
    world_end(w);
}

static void the_prompt_stays_laid_out_as_the_chat_s(void **state)
{
    (void)state;
    struct world *w = world_begin(CHAT);
    static const char body[] =
        "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},"
        "{\"role\":\"user\",\"content\":\"What is a daemon?\"}],\"stream\":true,"
        "\"temperature\":1.5,\"max_tokens\":9,\"tools\":[{\"type\":\"function\"}],\"odd\":7}";
    (void)post_to(w, PATH, CHAT_1, body);
    seconds(w, 0.2);
    model_answer_cached(last_call(w), REPLY, 500, -1);
    seconds(w, 3);
    struct upstream_call *call = task(w, CHAT_1, ask_follow_up(USER, REPLY));
    assert_has(model_body(call), "{\"role\":\"system\",\"content\":\"Be brief.\"}");
    assert_has(model_body(call), "\"tools\":[{\"type\":\"function\"}]");
    assert_has(model_body(call), "\"odd\":7");
    assert_has_not(model_body(call), "temperature");
    assert_has_not(model_body(call), "\"max_tokens\":9");
    assert_has_not(model_body(call), "enable_thinking");
    model_answer_cached(call, FOLLOW_UPS, 800, 500);
    world_end(w);
}

/* ---- what is learnt ---- */

static void turn(struct world *w, unsigned n, int prompt, int cached, const char *content)
{
    char user[32], reply[64];
    const char *turns[] = {user, NULL};
    char headers[160];
    snprintf(user, sizeof user, "Question %u", n);
    snprintf(reply, sizeof reply, "The answer to that is number %u.", n);
    snprintf(headers, sizeof headers, ANN "X-OpenWebUI-Chat-Id: c%u\r\n", n);
    chat(w, headers, turns, reply);
    struct upstream_call *call = task(w, headers, ask_follow_up(user, reply));
    assert_non_null(call);
    model_answer_cached(call, content, prompt, cached);
    seconds(w, 1);
}

static void without_a_gain_it_is_off_for_a_day(void **state)
{
    (void)state;
    struct world *w = world_begin(AUTO);
    for (unsigned i = 0; i < 4; i++) {
        turn(w, i, 900, 0, FOLLOW_UPS);
    }
    assert_int_equal(used(w, "follow_up"), 2);
    assert_int_equal(not_used(w, "follow_up", PREFIX_REASON_NO_GAIN), 2);
    seconds(w, 86400);
    turn(w, 10, 900, 0, FOLLOW_UPS); /* one try */
    turn(w, 11, 900, 0, FOLLOW_UPS);
    assert_int_equal(used(w, "follow_up"), 3);
    seconds(w, 86400);
    turn(w, 12, 900, 600, FOLLOW_UPS);
    turn(w, 13, 900, 600, FOLLOW_UPS);
    assert_int_equal(used(w, "follow_up"), 5);
    world_end(w);
}

static void a_server_without_figures_is_asked_as_it_came(void **state)
{
    (void)state;
    struct world *w = world_begin(AUTO);
    for (unsigned i = 0; i < 5; i++) {
        turn(w, i, 900, -1, FOLLOW_UPS);
    }
    assert_int_equal(used(w, "follow_up"), 3);
    assert_int_equal(not_used(w, "follow_up", PREFIX_REASON_NO_FIGURES), 2);
    world_end(w);
}

static void two_wrong_forms_in_a_row_switch_it_off(void **state)
{
    (void)state;
    static const char *const sets[] = {"tasks.prefix=auto", "tasks.retry_shape=0", NULL};
    struct world *w = world_begin(sets);
    turn(w, 0, 900, 600, FOLLOW_UPS);
    turn(w, 1, 900, 600, "Arr, matey!");
    turn(w, 2, 900, 600, FOLLOW_UPS);
    turn(w, 3, 900, 600, "Arr, matey!");
    turn(w, 4, 900, 600, "Arr, matey!");
    turn(w, 5, 900, 0, FOLLOW_UPS);
    assert_int_equal(used(w, "follow_up"), 5);
    assert_int_equal(not_used(w, "follow_up", PREFIX_REASON_FORM), 1);
    world_end(w);
}

static void a_server_that_cannot_go_back_gets_one_task_a_turn(void **state)
{
    (void)state;
    struct world *w = world_begin(AUTO);
    for (unsigned i = 0; i < 4; i++) {
        char user[32], reply[64], headers[160];
        const char *turns[] = {user, NULL};
        snprintf(user, sizeof user, "Question %u", i);
        snprintf(reply, sizeof reply, "The answer to that is number %u.", i);
        snprintf(headers, sizeof headers, ANN "X-OpenWebUI-Chat-Id: c%u\r\n", i);
        chat(w, headers, turns, reply);
        model_answer_cached(task(w, headers, ask_title(user, reply)), "{\"title\": \"T\"}", 900,
                            600);
        model_answer_cached(task(w, headers, ask_follow_up(user, reply)), FOLLOW_UPS, 900, 0);
        seconds(w, 1);
    }
    assert_int_equal(used(w, "title"), 4);
    assert_int_equal(used(w, "follow_up"), 2);
    assert_int_equal(not_used(w, "follow_up", PREFIX_REASON_NO_GAIN), 2);
    world_end(w);
}

/* A task that is called while a chat is answered is read after it: its own conversation was the last
 * by the time of the call, and is not any more. */
static void what_the_cache_holds_is_known_when_an_answer_begins(void **state)
{
    (void)state;
    static const char *const sets[] = {"tasks.prefix=auto", "tasks.max_hold=1s", NULL};
    struct world *w = world_begin(sets);
    for (unsigned i = 0; i < 2; i++) {
        char user[32], reply[64], headers[160];
        const char *turns[] = {user, NULL};
        snprintf(user, sizeof user, "Question %u", i);
        snprintf(reply, sizeof reply, "The answer to that is number %u.", i);
        snprintf(headers, sizeof headers, ANN "X-OpenWebUI-Chat-Id: c%u\r\n", i);
        chat(w, headers, turns, reply);
        (void)post_to(w, PATH, BOB, ask_chat(FIRST)); /* another chat is being answered */
        struct upstream_call *bob = last_call(w);
        (void)post_to(w, PATH, headers, ask_follow_up(user, reply));
        seconds(w, 2); /* max_hold is over: it is called beside the chat */
        struct upstream_call *call = last_call(w);
        assert_has(model_body(call), user);
        model_answer_cached(bob, "Yes indeed, it is.", 500, -1);
        model_answer_cached(call, FOLLOW_UPS, 900, 0);
        seconds(w, 3);
    }
    turn(w, 5, 900, 600, FOLLOW_UPS);
    assert_int_equal(used(w, "follow_up"), 3); /* what was found out is not about `first` */
    world_end(w);
}

static void an_older_turn_says_nothing_of_the_newest(void **state)
{
    (void)state;
    struct world *w = world_begin(AUTO);
    for (unsigned i = 0; i < 2; i++) {
        char user[32], reply[64], headers[160];
        snprintf(user, sizeof user, "Question %u", i);
        snprintf(reply, sizeof reply, "The answer to that is number %u.", i);
        snprintf(headers, sizeof headers, ANN "X-OpenWebUI-Chat-Id: c%u\r\n", i);
        const char *turns[] = {user, reply, "And more?", NULL};
        const char *first[] = {user, NULL};
        (void)post_to(w, PATH, headers, ask_chat(first));
        seconds(w, 0.2);
        model_answer_cached(last_call(w), reply, 500, -1);
        (void)post_to(w, PATH, headers, ask_tags(user, reply));
        seconds(w, 0.5);
        chat(w, headers, turns, "No more than that.");
        struct upstream_call *call = last_call(w);
        assert_has(model_body(call), "broad tags");
        model_answer_cached(call, "{\"tags\": [\"a\"]}", 900, 0);
        seconds(w, 3);
    }
    turn(w, 5, 900, 600, FOLLOW_UPS);
    assert_int_equal(used(w, "tags"), 2);
    assert_int_equal(used(w, "follow_up"), 1);
    world_end(w);
}

static void a_title_is_bound_though_another_state_is_off(void **state)
{
    (void)state;
    struct world *w = world_begin(AUTO);
    for (unsigned i = 0; i < 2; i++) { /* behind other conversations nothing is gained */
        char user[32], reply[64], headers[160];
        const char *turns[] = {user, NULL};
        snprintf(user, sizeof user, "Question %u", i);
        snprintf(reply, sizeof reply, "The answer to that is number %u.", i);
        snprintf(headers, sizeof headers, ANN "X-OpenWebUI-Chat-Id: c%u\r\n", i);
        chat(w, headers, turns, reply);
        chat(w, BOB, FIRST, REPLY);
        model_answer_cached(task(w, headers, ask_follow_up(user, reply)), FOLLOW_UPS, 900, 0);
        seconds(w, 1);
    }
    (void)post_to(w, PATH, CHAT_1, ask_title(USER, ""));
    (void)post_to(w, PATH, CHAT_1, ask_chat(FIRST));
    seconds(w, 1);
    model_answer_cached(last_call(w), REPLY, 500, -1);
    seconds(w, 6);
    assert_has(model_body(last_call(w)), BEGINNING);
    model_answer_cached(last_call(w), "{\"title\": \"Daemons\"}", 800, 500);
    assert_int_equal(used(w, "title"), 1);
    world_end(w);
}

static void a_prompt_s_time_tells_as_well(void **state)
{
    (void)state;
    static const char *const sets[] = {"tasks.prefix=auto", "upstream.default.dialect=ollama",
                                       NULL};
    struct world *w = world_begin(sets);
    static const char plain[] =
        "{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"%s\"},\"done\":true,"
        "\"done_reason\":\"stop\",\"prompt_eval_count\":%d,\"prompt_eval_duration\":%d000000,"
        "\"eval_count\":20,\"eval_duration\":100000000}\n";
    static char line[1024];
    const int times[] = {8000, 3000, 3000, 8000, 8000, 8000}; /* 1,000 tokens take 8 s */
    for (unsigned i = 0; i < 6; i++) {
        char user[32], reply[64], headers[160];
        const char *turns[] = {user, NULL};
        snprintf(user, sizeof user, "Question %u", i);
        snprintf(reply, sizeof reply, "The answer to that is number %u.", i);
        snprintf(headers, sizeof headers, ANN "X-OpenWebUI-Chat-Id: c%u\r\n", i);
        (void)post_to(w, "/api/chat", headers, ask_chat(turns));
        seconds(w, 0.2);
        model_head(last_call(w), 200, "application/x-ndjson");
        snprintf(line, sizeof line, plain, reply, 700, 100);
        model_data(last_call(w), line);
        model_end(last_call(w));
        seconds(w, 3);
        /* the first is of a chat that is not held: it tells how long a token takes */
        (void)post_to(w, "/api/chat", i == 0 ? ANN "X-OpenWebUI-Chat-Id: no\r\n" : headers,
                      ask_follow_up(user, reply));
        seconds(w, 3);
        model_head(last_call(w), 200, "application/x-ndjson");
        snprintf(line, sizeof line, plain, "{\\\"follow_ups\\\": [\\\"Why?\\\"]}", 1000, times[i]);
        model_data(last_call(w), line);
        model_end(last_call(w));
        seconds(w, 1);
    }
    assert_int_equal(used(w, "follow_up"), 4);
    assert_int_equal(not_used(w, "follow_up", PREFIX_REASON_NO_GAIN), 1);
    world_end(w);
}

static void chats_that_begin_otherwise_are_not_certain(void **state)
{
    (void)state;
    struct world *w = world_begin(CHAT);
    static const char form[] =
        "{\"model\":\"m\",\"messages\":[{\"role\":\"system\",\"content\":\"It is %u o'clock.\"},"
        "{\"role\":\"user\",\"content\":\"What is a daemon?\"}%s],\"stream\":true}";
    static const char more[] = ",{\"role\":\"assistant\",\"content\":\"A daemon is a program "
                               "without a \\\"terminal\\\".\"},{\"role\":\"user\",\"content\":"
                               "\"And?\"}";
    static const char headers[] = ANN "X-OpenWebUI-Chat-Id: c%u\r\n";
    char head[160], body[1024], because[32];
    for (unsigned i = 0; i < 3; i++) {
        snprintf(head, sizeof head, headers, i);
        snprintf(body, sizeof body, form, 2 * i, "");
        (void)post_to(w, PATH, head, body);
        seconds(w, 0.2);
        model_answer_cached(last_call(w), REPLY, 500, -1);
        seconds(w, 3);
        struct upstream_call *call = task(w, head, ask_follow_up(USER, REPLY));
        /* two conversations have shown it: the third is not tried */
        assert_int_equal(strstr(model_body(call), "o'clock") != NULL, i < 2);
        model_answer_cached(call, FOLLOW_UPS, 800, 500);
        snprintf(body, sizeof body, form, 2 * i + 1, more);
        (void)post_to(w, PATH, head, body);
        seconds(w, 0.2);
        snprintf(because, sizeof because, "Because of %u.", i);
        model_answer_cached(last_call(w), because, 500, -1);
        seconds(w, 3);
        call = task(w, head, ask_follow_up("And?", because));
        assert_has_not(model_body(call), "o'clock");
        model_answer_cached(call, FOLLOW_UPS, 800, 0);
        seconds(w, 1);
    }
    assert_int_equal(not_used(w, "follow_up", PREFIX_REASON_CHANGES), 4);
    world_end(w);
}

static void what_would_not_fit_the_context_is_asked_as_it_came(void **state)
{
    (void)state;
    struct world *w = world_begin(CHAT);
    (void)post_to(w, PATH, CHAT_1, ask_chat(FIRST));
    seconds(w, 0.2);
    model_answer_cached(last_call(w), REPLY, 2000, -1); /* 2,020 tokens are known to fit: 2,048 */
    seconds(w, 3);
    asked_as_it_came(w, CHAT_1, ask_follow_up(USER, REPLY), PREFIX_REASON_CONTEXT);
    world_end(w);
}

static void rewarm_has_nothing_to_bring_back(void **state)
{
    (void)state;
    static const char *const sets[] = {"tasks.prefix=auto", "upstream.default.rewarm=on", NULL};
    struct world *w = world_begin(sets);
    chat(w, CHAT_1, FIRST, REPLY);
    model_answer_cached(task(w, CHAT_1, ask_title(USER, REPLY)), "{\"title\": \"T\"}", 900, 600);
    model_answer_cached(task(w, CHAT_1, ask_follow_up(USER, REPLY)), FOLLOW_UPS, 900, 600);
    seconds(w, 2);
    model_answer(last_call(w), "x"); /* the server is not known to go back yet */
    assert_int_equal(world_figures(w)->upstreams[0]->rewarms, 1);
    static const char *const other[] = {"What is a unit?", NULL};
    chat(w, CHAT_2, other, REPLY);
    model_answer_cached(task(w, CHAT_2, ask_follow_up(other[0], REPLY)), FOLLOW_UPS, 900, 600);
    seconds(w, 60);
    assert_int_equal(world_figures(w)->upstreams[0]->rewarms, 1);
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_task_is_asked_behind_its_conversation),
        cmocka_unit_test(other_kinds_are_asked_as_they_came),
        cmocka_unit_test(the_conversation_is_part_of_the_key),
        cmocka_unit_test(equal_tasks_of_two_conversations_share_no_call),
        cmocka_unit_test(no_other_user_gets_behind_it),
        cmocka_unit_test(without_chat_ids_it_is_found_by_its_texts),
        cmocka_unit_test(a_purge_forgets_conversations),
        cmocka_unit_test(the_history_must_be_the_end_of_the_conversation),
        cmocka_unit_test(a_title_before_the_reply_is_asked_behind_it),
        cmocka_unit_test(a_title_is_behind_its_first_turn_however_late_it_comes),
        cmocka_unit_test(titles_of_two_chats_that_wait_together_are_asked_as_they_came),
        cmocka_unit_test(a_query_is_asked_behind_the_earlier_turns),
        cmocka_unit_test(a_refused_conversation_is_left_out_first),
        cmocka_unit_test(the_prompt_stays_laid_out_as_the_chat_s),
        cmocka_unit_test(without_a_gain_it_is_off_for_a_day),
        cmocka_unit_test(a_server_without_figures_is_asked_as_it_came),
        cmocka_unit_test(two_wrong_forms_in_a_row_switch_it_off),
        cmocka_unit_test(a_server_that_cannot_go_back_gets_one_task_a_turn),
        cmocka_unit_test(what_the_cache_holds_is_known_when_an_answer_begins),
        cmocka_unit_test(an_older_turn_says_nothing_of_the_newest),
        cmocka_unit_test(a_title_is_bound_though_another_state_is_off),
        cmocka_unit_test(a_prompt_s_time_tells_as_well),
        cmocka_unit_test(chats_that_begin_otherwise_are_not_certain),
        cmocka_unit_test(what_would_not_fit_the_context_is_asked_as_it_came),
        cmocka_unit_test(rewarm_has_nothing_to_bring_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
