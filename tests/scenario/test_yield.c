/* test_yield.c: the chat comes first, through the whole daemon: what waits, what gives way, what is
 * answered because it is obsolete. One slot unless a test says otherwise.
 */
#include "scenario/scenario.h"

#define ANN "X-OpenWebUI-User-Id: ann\r\n"
#define BOB "X-OpenWebUI-User-Id: bob\r\n"
#define CHAT "X-OpenWebUI-Chat-Id: c1\r\n"
#define OTHER_CHAT "X-OpenWebUI-Chat-Id: c2\r\n"
#define REPLY "A daemon is a program without a terminal."
#define EMOJI                                                                                      \
    "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Message: It works!\"}],"      \
    "\"stream\":false,\"max_tokens\":4}"

static const char *const FIRST[] = {"What is a daemon?", NULL};
static const char *const SECOND[] = {"What is a daemon?", REPLY, "And a unit?", NULL};

/* `settle`, and what a slow server adds to it at most. */
static const double SETTLED = 4;

static void answer_chat(struct upstream_call *call)
{
    model_answer(call, REPLY);
}

static uint64_t outcome(struct world *w, const char *kind, enum outcome o)
{
    return world_task(w, kind)->outcomes[o];
}

static void a_first_title_waits_for_its_chat_and_its_reply(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *title = post(w, ANN, ask_title(FIRST[0], ""));
    seconds(w, 0.015);
    assert_int_equal(model_calls(w), 0);
    (void)post(w, ANN, ask_chat(FIRST));
    assert_int_equal(model_calls(w), 1);
    assert_has(model_body(model_call(w, 0)), "What is a daemon?");
    seconds(w, 10);
    assert_int_equal(model_calls(w), 1);
    answer_chat(model_call(w, 0));
    seconds(w, 3.99);
    assert_int_equal(model_calls(w), 1);
    seconds(w, 0.01);
    assert_int_equal(model_calls(w), 2);
    model_answer(model_call(w, 1), "{\"title\": \"Daemons\"}");
    assert_has(client_reply(title), "Daemons");
    assert_int_equal(world_task(w, "title")->wait_us, 14015 * USEC_PER_MS);
    world_end(w);
}

static void a_title_whose_chat_never_comes_goes_after_two_seconds(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    (void)post(w, ANN, ask_title(FIRST[0], ""));
    seconds(w, 1.99);
    assert_int_equal(model_calls(w), 0);
    seconds(w, 0.01);
    assert_int_equal(model_calls(w), 1);
    (void)post(w, ANN,
               ask_title("Other", "with a reply")); /* such a one need not wait for a chat */
    model_answer(model_call(w, 0), "{\"title\": \"Daemons\"}");
    world_pass(w, 0);
    assert_int_equal(model_calls(w), 2);
    model_answer(model_call(w, 1), "{\"title\": \"Other\"}");
    world_end(w);
}

static void a_chat_takes_the_slot_and_the_task_comes_back(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = post(w, ANN CHAT, ask_title("What is a daemon?", REPLY));
    struct client *b = post(w, ANN CHAT, ask_title("What is a daemon?", REPLY));
    assert_int_equal(model_calls(w), 1);
    seconds(w, 3);
    (void)post(w, BOB, ask_chat(FIRST));
    assert_true(model_aborted(model_call(w, 0)));
    assert_int_equal(model_calls(w), 2);
    seconds(w, 5);
    assert_int_equal(model_calls(w), 2); /* never in front of the chat, never beside it */
    answer_chat(model_call(w, 1));
    seconds(w, SETTLED);
    assert_int_equal(model_calls(w), 3);
    model_answer(model_call(w, 2), "{\"title\": \"Daemons\"}");
    assert_has(client_reply(a), "Daemons"); /* all its waiters were kept */
    assert_has(client_reply(b), "Daemons");
    const struct task_figures *t = world_task(w, "title");
    assert_int_equal(t->preempted, 1);
    assert_int_equal(t->upstream_calls, 2);
    assert_int_equal(t->wasted_us, 3 * USEC_PER_S); /* wasted, never saved ... */
    assert_int_equal(t->outcomes[OUTCOME_MISS], 1);
    assert_int_equal(t->outcomes[OUTCOME_COLLAPSED],
                     1); /* ... except for the waiter that joined the second call */
    world_end(w);
}

static void after_max_requeue_it_is_left_to_finish(void **state)
{
    (void)state;
    const char *sets[] = {"tasks.max_requeue=1", NULL};
    struct world *w = world_begin(sets);
    struct client *a = post(w, ANN, ask_title("What is a daemon?", REPLY));
    (void)post(w, BOB, ask_chat(FIRST));
    answer_chat(model_call(w, 1));
    seconds(w, SETTLED);
    (void)post(w, BOB, ask_chat(SECOND));
    assert_true(model_open(model_call(w, 2)));
    model_answer(model_call(w, 2), "{\"title\": \"Daemons\"}");
    assert_has(client_reply(a), "Daemons");
    answer_chat(model_call(w, 3));
    world_end(w);
}

static void a_task_model_on_the_same_machine_yields_too(void **state)
{
    (void)state;
    const char *sets[] = {"upstream.small.url=http://localhost:2", "tasks.upstream=small", NULL};
    struct world *w = world_begin(sets);
    (void)post(w, ANN, ask_title("What is a daemon?", REPLY));
    assert_string_equal(model_upstream(model_call(w, 0)), "small");
    (void)post(w, ANN, ask_chat(FIRST));
    assert_true(model_aborted(model_call(w, 0)));
    answer_chat(model_call(w, 1));
    seconds(w, SETTLED);
    model_answer(model_call(w, 2), "{\"title\": \"Daemons\"}");
    world_end(w);
    const char *apart[] = {"upstream.small.url=http://localhost:2", "upstream.small.machine=gpu2",
                           "tasks.upstream=small", NULL};
    w = world_begin(apart);
    (void)post(w, ANN, ask_title("What is a daemon?", REPLY));
    (void)post(w, ANN, ask_chat(FIRST));
    assert_true(model_open(model_call(w, 0)));
    model_answer(model_call(w, 0), "{\"title\": \"Daemons\"}");
    answer_chat(model_call(w, 1));
    world_end(w);
}

static void a_hosted_model_keeps_no_client_waiting(void **state)
{
    (void)state;
    const char *sets[] = {"upstream.default.slots=0", NULL};
    struct world *w = world_begin(sets);
    (void)post(w, ANN, ask_chat(FIRST));
    (void)post(w, ANN, ask_title("What is a daemon?", ""));
    (void)post(w, ANN, ask_title("What is a unit?", REPLY));
    assert_int_equal(model_calls(w), 3);
    (void)post(w, ANN, ask_chat(SECOND));
    for (size_t i = 0; i < 4; i++) {
        assert_true(model_open(model_call(w, i)));
        model_answer(model_call(w, i), "{\"title\": \"Daemons\"}");
    }
    world_end(w);
}

static void a_reply_with_tool_calls_goes_on(void **state)
{
    (void)state;
    const char *sets[] = {"tasks.settle=0", NULL};
    struct world *w = world_begin(sets);
    (void)post(w, ANN, ask_chat(FIRST));
    (void)post(w, ANN, ask_title("What is a unit?", REPLY));
    struct upstream_call *chat = model_call(w, 0);
    model_head(chat, 200, "text/event-stream");
    model_data(chat, "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,"
                     "\"id\":\"1\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\n\n"
                     "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":"
                     "\"tool_calls\"}]}\n\ndata: [DONE]\n\n");
    model_end(chat);
    seconds(w, 0.02);
    assert_int_equal(model_calls(w), 1);
    (void)post(w, ANN, ask_chat(FIRST));
    answer_chat(model_call(w, 1));
    world_pass(w, 0);
    assert_int_equal(model_calls(w), 3);
    model_answer(model_call(w, 2), "{\"title\": \"Daemons\"}");
    world_end(w);
}

static void a_query_waits_for_no_call_and_background_work_gives_way(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    (void)post(w, ANN, ask_title("What is a unit?", REPLY));
    struct client *query = post(w, ANN, ask_query("weather"));
    assert_true(model_aborted(model_call(w, 0)));
    assert_int_equal(model_calls(w), 2);
    (void)post(w, BOB, ask_chat(FIRST));
    assert_true(model_open(model_call(w, 1)));
    struct client *other = post(w, ANN, ask_query("tides")); /* beside a chat */
    assert_int_equal(model_calls(w), 4);
    model_answer(model_call(w, 1), "{\"queries\": [\"weather\"]}");
    model_answer(model_call(w, 3), "{\"queries\": [\"tides\"]}");
    assert_has(client_reply(query), "weather");
    assert_has(client_reply(other), "tides");
    answer_chat(model_call(w, 2));
    seconds(w, SETTLED);
    model_answer(model_call(w, 4), "{\"title\": \"Units\"}");
    world_end(w);
}

/* Open WebUI speaks a sentence of a voice call when it has the emoji of that sentence. */
static void an_emoji_does_not_wait_for_the_reply_that_is_spoken(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    (void)post(w, ANN CHAT, ask_chat(FIRST));
    struct client *emoji = post(w, ANN "X-OpenWebUI-Task: emoji_generation\r\n", EMOJI);
    assert_int_equal(model_calls(w), 2);
    model_answer(model_call(w, 1), "\xf0\x9f\x98\x8a");
    assert_has(client_reply(emoji), "\xf0\x9f\x98\x8a");
    assert_true(model_open(model_call(w, 0)));
    answer_chat(model_call(w, 0));
    world_end(w);
}

static void embeddings_stand_before_a_reply(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    (void)post(w, ANN, ask_title("What is a unit?", REPLY));
    struct client *c = client_open(w);
    client_post(c, "/v1/embeddings", ANN, "{\"model\":\"e\",\"input\":\"x\"}");
    assert_true(model_aborted(model_call(w, 0)));
    model_head(model_call(w, 1), 200, "application/json");
    model_data(model_call(w, 1), "{}");
    model_end(model_call(w, 1));
    seconds(w, SETTLED);
    model_answer(model_call(w, 2), "{\"title\": \"Units\"}");
    world_end(w);
}

static void follow_ups_that_would_not_be_seen(void **state)
{
    (void)state;
    const struct {
        const char *chat, *follow;
        const char *user, *reply;
        bool obsolete;
    } rows[] = {
        {ANN CHAT, ANN CHAT, "x", "Another text.", true},   /* the same conversation, by its id */
        {ANN OTHER_CHAT, ANN CHAT, FIRST[0], REPLY, false}, /* another, though the text is there */
        {ANN, ANN, FIRST[0], REPLY, true},                  /* by the text */
        {ANN, ANN, FIRST[0], "<think>So?</think>\n" REPLY "\n![x](http://y/z.png)", true},
        {ANN, ANN, FIRST[0], "", false},          /* no text matches nothing */
        {BOB, ANN, FIRST[0], REPLY, false},       /* another user */
        {ANN, ANN, FIRST[0], "terminal.", false}, /* fewer than 12 characters */
        {ANN CHAT, ANN, FIRST[0], REPLY, true},   /* only one of them says an id */
        /* the same reply in another conversation, maybe another person's */
        {"", "", FIRST[0], REPLY, true},
        {"", "", "What is a service?", REPLY, false},
        {"", "", "What is it?\nASSISTANT: This.\nUSER: What is a daemon?", REPLY, false},
        {ANN, ANN, "What is a service?", REPLY, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int running = 0; running < 2; running++) {
            struct world *w = world_begin(NULL);
            struct client *busy = NULL;
            if (!running) {
                busy = post(w, "Authorization: Bearer x\r\n", ask_chat(FIRST));
            }
            struct client *f = post(w, rows[i].follow, ask_follow_up(rows[i].user, rows[i].reply));
            size_t calls = model_calls(w);
            assert_int_equal(calls, 1);
            (void)post(w, rows[i].chat, ask_chat(SECOND));
            if (rows[i].obsolete) {
                assert_has(client_reply(f), "detail=obsolete");
                assert_has(client_reply(f), "{\\\"follow_ups\\\": []}");
                assert_int_equal(outcome(w, "follow_up", OUTCOME_OBSOLETE), 1);
            } else {
                assert_false(client_answered(f));
            }
            for (size_t n = 0; n < model_calls(w); n++) {
                if (model_open(model_call(w, n))) {
                    answer_chat(model_call(w, n));
                }
            }
            seconds(w, 30);
            assert_int_equal(model_calls(w), rows[i].obsolete ? 2 : 3);
            if (!rows[i].obsolete) {
                model_answer(last_call(w), "{\"follow_ups\": [\"Why?\"]}");
                assert_has(client_reply(f), "Why?");
            }
            (void)busy;
            world_end(w);
        }
    }
}

static void a_cut_reply_is_known_again(void **state)
{
    (void)state;
    char reply[1601], cut[1100], body[4000];
    for (size_t i = 0; i < 1600; i++) {
        reply[i] = (char)('a' + (i * 7 + i / 26) % 26);
    }
    reply[1600] = '\0';
    snprintf(cut, sizeof cut, "%.498s...%.499s", reply, reply + 1600 - 499);
    snprintf(body, sizeof body, "%s", reply);
    const char *turns[] = {"x", body, "y", NULL};
    struct world *w = world_begin(NULL);
    struct client *f = post(w, ANN, ask_follow_up("x", cut));
    (void)post(w, ANN, ask_chat(turns));
    assert_has(client_reply(f), "detail=obsolete");
    answer_chat(model_call(w, 1));
    world_end(w);
}

static void follow_ups_are_kept_where_people_keep_them(void **state)
{
    (void)state;
    const char *sets[] = {"task.follow_up.obsolete=keep", NULL};
    struct world *w = world_begin(sets);
    struct client *f = post(w, ANN CHAT, ask_follow_up(FIRST[0], REPLY));
    (void)post(w, ANN CHAT, ask_chat(SECOND));
    assert_false(client_answered(f));
    answer_chat(model_call(w, 1));
    seconds(w, SETTLED);
    model_answer(model_call(w, 2), "{\"follow_ups\": [\"Why?\"]}");
    assert_has(client_reply(f), "Why?");
    world_end(w);
}

/* The chat is the second call; what the other one waits for is the third. */
static void one_of_two_moved_on(struct world *w, struct client *gone, struct client *other)
{
    assert_has(client_reply(gone), "detail=obsolete");
    assert_false(client_answered(other));
    answer_chat(model_call(w, 1));
    seconds(w, SETTLED);
    model_answer(model_call(w, 2), "{\"follow_ups\": [\"Why?\"]}");
    assert_has(client_reply(other), "Why?");
}

static void only_those_waiters_whose_conversation_moved_on(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *mine = post(w, ANN CHAT, ask_follow_up(FIRST[0], REPLY));
    struct client *other = post(w, ANN OTHER_CHAT, ask_follow_up(FIRST[0], REPLY)); /* joins */
    (void)post(w, ANN CHAT, ask_chat(SECOND));
    one_of_two_moved_on(w, mine, other);
    world_end(w);
}

/* The one that leads has no chat id and goes by the text; the other one has another id. */
static void a_waiters_own_id_counts_beside_the_leaders_text(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *leader = post(w, ANN, ask_follow_up(FIRST[0], REPLY));
    struct client *other = post(w, ANN CHAT, ask_follow_up(FIRST[0], REPLY)); /* joins */
    assert_int_equal(model_calls(w), 1);
    (void)post(w, ANN OTHER_CHAT, ask_chat(SECOND));
    one_of_two_moved_on(w, leader, other);
    world_end(w);
}

static void the_tasks_of_one_turn_wait_no_longer_than_max_hold(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *follow = post(w, BOB, ask_chat(FIRST));
    follow = post(w, ANN CHAT, ask_follow_up(FIRST[0], REPLY));
    seconds(w, 19.9);
    assert_int_equal(model_calls(w), 1);
    seconds(w, 0.1);
    assert_int_equal(model_calls(w), 2); /* beside the chat */
    model_answer(model_call(w, 1), "{\"follow_ups\": [\"Why?\"]}");
    assert_has(client_reply(follow), "Why?");
    (void)post(w, ANN CHAT, ask_title("x", REPLY)); /* a task of the same turn: nothing is left */
    seconds(w, 39.9);
    assert_int_equal(model_calls(w), 2); /* but a title has 60 s, of which 20 are gone */
    seconds(w, 0.2);
    assert_int_equal(model_calls(w), 3);
    model_answer(model_call(w, 2), "{\"title\": \"Daemons\"}");
    answer_chat(model_call(w, 0));
    world_end(w);
}

static void a_completion_gives_way_and_is_answered_empty(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *c = post(w, ANN, ask_autocomplete("How do I write a daemon"));
    assert_int_equal(model_calls(w), 1);
    (void)post(w, BOB, ask_chat(FIRST));
    assert_true(model_aborted(model_call(w, 0)));
    seconds(w, 0.29);
    assert_false(client_answered(c));
    seconds(w, 0.01);
    assert_has(client_reply(c), "detail=busy");
    answer_chat(model_call(w, 1));
    world_end(w);
}

static void a_streamed_task_may_only_wait_before_its_first_byte(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    (void)post(w, BOB, ask_chat(FIRST));
    static const char body[] = "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\","
                               "\"content\":\"tags, please\"}]}";
    struct client *t = post(w, ANN "X-OpenWebUI-Task: tags_generation\r\n", body);
    struct client *gone = post(w, ANN "X-OpenWebUI-Task: tags_generation\r\n", body);
    struct client *responses = client_open(w);
    client_post(responses, "/v1/responses", "X-OpenWebUI-Task: tags_generation\r\n",
                "{\"model\":\"m\",\"input\":\"tags\"}");
    assert_int_equal(model_calls(w), 1);
    client_close(gone);
    answer_chat(model_call(w, 0));
    seconds(w, SETTLED);
    assert_int_equal(model_calls(w), 2);
    (void)post(w, BOB, ask_chat(SECOND)); /* it cannot give way */
    assert_true(model_open(model_call(w, 1)));
    model_answer(model_call(w, 1), "{\"tags\": []}");
    assert_has(client_reply(t), "detail=stream");
    answer_chat(model_call(w, 2));
    seconds(w, SETTLED);
    assert_string_equal(model_target(model_call(w, 3)), "/v1/responses");
    model_answer(model_call(w, 3), "x");
    assert_has(client_reply(responses), "detail=not-assembled");
    assert_int_equal(outcome(w, "tags", OUTCOME_BYPASSED), 2);
    assert_int_equal(outcome(w, "tags", OUTCOME_ABANDONED), 1);
    world_end(w);
}

static void llama_cpp_says_how_many_slots_it_has(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    world_props(w, 6);
    struct client *t[5];
    for (size_t i = 0; i < 5; i++) {
        char text[16];
        snprintf(text, sizeof text, "text %zu", i);
        t[i] = post(w, ANN, ask_title(text, REPLY));
    }
    (void)post(w, ANN, ask_chat(FIRST)); /* six slots, one for the chat, one for the next */
    assert_int_equal(model_calls(w), 6);
    assert_true(model_aborted(model_call(w, 4)));
    for (size_t i = 0; i < 6; i++) {
        if (model_open(model_call(w, i))) {
            model_answer(model_call(w, i), "{\"title\": \"Daemons\"}");
        }
    }
    seconds(w, SETTLED);
    model_answer(last_call(w), "{\"title\": \"Daemons\"}");
    assert_has(client_reply(t[4]), "Daemons");
    world_end(w);
}

static void observe_keeps_no_client_waiting(void **state)
{
    (void)state;
    const char *sets[] = {"tasks.mode=observe", NULL};
    struct world *w = world_begin(sets);
    (void)post(w, ANN CHAT, ask_chat(FIRST));
    (void)post(w, ANN CHAT, ask_follow_up(FIRST[0], REPLY));
    (void)post(w, ANN CHAT, ask_chat(SECOND));
    assert_int_equal(model_calls(w), 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(model_open(model_call(w, i)));
        answer_chat(model_call(w, i));
    }
    world_end(w);
}

static void what_waits_keeps_waiting_over_a_reload(void **state)
{
    (void)state;
    const char *sets[] = {"upstream.default.slots=8", "tasks.max_hold=1s", NULL};
    struct world *w = world_begin(NULL);
    (void)post(w, ANN, ask_chat(FIRST));
    struct client *t = post(w, ANN, ask_title("x", REPLY));
    world_reload(w, sets);
    seconds(w, 30);
    assert_int_equal(model_calls(w), 1); /* the values it began with */
    struct client *leaves = post(w, ANN, ask_title("y", REPLY));
    assert_int_equal(model_calls(w), 2); /* the new ones */
    client_close(leaves);
    answer_chat(model_call(w, 0));
    seconds(w, SETTLED);
    model_answer(last_call(w), "{\"title\": \"Daemons\"}");
    assert_has(client_reply(t), "Daemons");
    world_end(w);
}

enum { MANY = 100, AT_ONCE = 16 };

struct crowd {
    struct world *w;
    struct client *clients[MANY], *chat;
};

/* Follow-ups of one conversation that differ, each with a flight of its own, wait for a chat. */
static void gather(struct crowd *m)
{
    static const char *const sets[] = {"tasks.queue=1000", NULL};
    m->w = world_begin(sets);
    (void)post(m->w, BOB, ask_chat(FIRST));
    for (int i = 0; i < MANY; i++) {
        char text[32];
        snprintf(text, sizeof text, "Question %d", i);
        m->clients[i] = post(m->w, ANN CHAT, ask_follow_up(text, REPLY));
    }
    m->chat = client_open(m->w);
    assert_int_equal(model_calls(m->w), 1);
}

static void disperse(struct crowd *m)
{
    answer_chat(model_call(m->w, 0));
    answer_chat(model_call(m->w, 1));
    seconds(m->w, 60);
    assert_int_equal(model_calls(m->w), 2);
    world_end(m->w);
}

static uint64_t obsolete(struct world *w)
{
    return outcome(w, "follow_up", OUTCOME_OBSOLETE);
}

static void many_that_are_obsolete_are_answered_in_turns(void **state)
{
    (void)state;
    struct crowd m;
    gather(&m);
    struct turn_look look = {.world = m.w, .count = obsolete, .all = MANY};
    world_look(&look);
    client_post(m.chat, "/v1/chat/completions", ANN CHAT, ask_chat(SECOND));
    assert_int_equal(look.seen, MANY);
    assert_int_equal(look.most, AT_ONCE);
    for (int i = 0; i < MANY; i++) {
        assert_has(client_reply(m.clients[i]), "detail=obsolete");
    }
    disperse(&m);
}

static struct client *leaves;

/* One client leaves once the first have their answers. */
static uint64_t obsolete_and_one_leaves(struct world *w)
{
    if (leaves != NULL && obsolete(w) > 0) {
        struct client *c = leaves;
        leaves = NULL;
        client_close(c);
    }
    return obsolete(w);
}

static void one_that_leaves_before_it_is_answered_is_abandoned(void **state)
{
    (void)state;
    struct crowd m;
    gather(&m);
    struct turn_look look = {.world = m.w, .count = obsolete_and_one_leaves, .all = MANY - 1};
    leaves = m.clients[MANY - 1];
    world_look(&look);
    client_post(m.chat, "/v1/chat/completions", ANN CHAT, ask_chat(SECOND));
    assert_int_equal(obsolete(m.w), MANY - 1);
    assert_int_equal(outcome(m.w, "follow_up", OUTCOME_ABANDONED), 1);
    disperse(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_first_title_waits_for_its_chat_and_its_reply),
        cmocka_unit_test(a_title_whose_chat_never_comes_goes_after_two_seconds),
        cmocka_unit_test(a_chat_takes_the_slot_and_the_task_comes_back),
        cmocka_unit_test(after_max_requeue_it_is_left_to_finish),
        cmocka_unit_test(a_task_model_on_the_same_machine_yields_too),
        cmocka_unit_test(a_hosted_model_keeps_no_client_waiting),
        cmocka_unit_test(a_reply_with_tool_calls_goes_on),
        cmocka_unit_test(a_query_waits_for_no_call_and_background_work_gives_way),
        cmocka_unit_test(an_emoji_does_not_wait_for_the_reply_that_is_spoken),
        cmocka_unit_test(embeddings_stand_before_a_reply),
        cmocka_unit_test(follow_ups_that_would_not_be_seen),
        cmocka_unit_test(many_that_are_obsolete_are_answered_in_turns),
        cmocka_unit_test(one_that_leaves_before_it_is_answered_is_abandoned),
        cmocka_unit_test(a_cut_reply_is_known_again),
        cmocka_unit_test(follow_ups_are_kept_where_people_keep_them),
        cmocka_unit_test(only_those_waiters_whose_conversation_moved_on),
        cmocka_unit_test(a_waiters_own_id_counts_beside_the_leaders_text),
        cmocka_unit_test(the_tasks_of_one_turn_wait_no_longer_than_max_hold),
        cmocka_unit_test(a_completion_gives_way_and_is_answered_empty),
        cmocka_unit_test(a_streamed_task_may_only_wait_before_its_first_byte),
        cmocka_unit_test(llama_cpp_says_how_many_slots_it_has),
        cmocka_unit_test(observe_keeps_no_client_waiting),
        cmocka_unit_test(what_waits_keeps_waiting_over_a_reload),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
