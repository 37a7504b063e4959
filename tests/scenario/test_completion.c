/* test_completion.c: autocompletes that keep up with the typist, in virtual time: type-through,
 * joining and dropping calls under way, the chat that was sent, the deadline, waiting for chats.
 */
#include "scenario/scenario.h"

static const char *const FIXED[] = {"task.autocomplete.debounce=100ms", NULL};
static const char *const AUTO[] = {"task.autocomplete.debounce=auto", NULL};
static const char *const DEADLINE[] = {"task.autocomplete.debounce=100ms",
                                       "task.autocomplete.deadline=2s", NULL};

static const char ANN[] = "X-OpenWebUI-User-Id: ann\r\n";
static const char BOB[] = "X-OpenWebUI-User-Id: bob\r\n";
static const char T1[] = "How do I write a small daemon";
static const char T2[] = "How do I write a small daemon in C";
static const char T3[] = "How do I write a small daemon in C with";
static const char OTHER[] = "How do I write a small daemon for a bakery";

static struct client *complete(struct world *w, const char *headers, const char *text)
{
    struct client *c = client_open(w);
    client_post(c, "/v1/chat/completions", headers, ask_autocomplete(text));
    return c;
}

static uint64_t outcome(struct world *w, enum outcome o)
{
    return world_task(w, "autocomplete")->outcomes[o];
}

/* The call of a text, begun after its window. */
static struct upstream_call *called(struct world *w, size_t number, const char *text)
{
    world_pass(w, 100 * USEC_PER_MS);
    assert_int_equal(model_calls(w), number + 1);
    assert_has(model_body(model_call(w, number)), text);
    return model_call(w, number);
}

/* The beginning of a streamed answer. */
static void begins(struct upstream_call *call, const char *content)
{
    char piece[512];
    model_head(call, 200, "text/event-stream");
    snprintf(
        piece, sizeof piece,
        "data: "
        "{\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"%s\"}}]}\n\n",
        content);
    model_data(call, piece);
}

static void goes_on(struct upstream_call *call, const char *content)
{
    char piece[512];
    snprintf(piece, sizeof piece,
             "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"%s\"}}]}\n\n", content);
    model_data(call, piece);
}

static void ends(struct upstream_call *call)
{
    model_data(call,
               "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
               "data: [DONE]\n\n");
    model_end(call);
}

static struct client *send_chat(struct world *w, const char *headers, const char *text)
{
    char body[1024];
    struct client *c = client_open(w);
    snprintf(
        body, sizeof body,
        "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}",
        text);
    client_post(c, "/v1/chat/completions", headers, body);
    return c;
}

static void a_held_suggestion_answers_longer_text(void **state)
{
    (void)state;
    struct world *w = world_begin(FIXED);
    struct client *a = complete(w, ANN, T1);
    model_answer(called(w, 0, T1), "{\"text\": \" in C with libevent\"}");
    struct client *b = complete(w, ANN, T2);
    assert_has(client_reply(b), "Cache-Status: lull; hit; detail=type-through\r\n");
    assert_has(client_reply(b), "{\\\"text\\\": \\\" with libevent\\\"}");
    struct client *c = client_open(w); /* in the caller's dialect, not the first request's */
    client_post(c, "/api/chat", ANN, ask_autocomplete(T3));
    assert_has(client_reply(c), "\"done\":true");
    assert_has(client_reply(c), "{\\\"text\\\": \\\" libevent\\\"}");
    assert_int_equal(outcome(w, OUTCOME_TYPE_THROUGH), 2);
    assert_int_equal(model_calls(w), 1);
    (void)a;
    world_end(w);
}

static void no_other_users_suggestion_is_given(void **state)
{
    (void)state;
    const char *sets[] = {"task.autocomplete.debounce=100ms", "upstream.default.slots=64", NULL};
    struct world *w = world_begin(sets);
    (void)complete(w, ANN, T1);
    model_answer(called(w, 0, T1), "{\"text\": \" in C with libevent\"}");
    struct client *bob = complete(w, BOB, T2);
    struct client *unnamed = complete(w, "", T2);
    struct client *key = complete(w, "X-OpenWebUI-User-Id: ann\r\nAuthorization: Bearer k\r\n", T2);
    world_pass(w, 100 * USEC_PER_MS);
    assert_int_equal(model_calls(w), 4);
    for (size_t i = 1; i < 4; i++) {
        model_answer(model_call(w, i), "{\"text\": \" own\"}");
    }
    assert_has(client_reply(bob), " own");
    assert_has(client_reply(unnamed), " own");
    assert_has(client_reply(key), " own");
    world_end(w);
}

/* The suggestion to T1 is on the disk only: no start holds one. */
static struct world *begin_with_suggestion_on_disk(void)
{
    struct world *w = world_begin(FIXED);
    (void)complete(w, ANN, T1);
    model_answer(called(w, 0, T1), "{\"text\": \" in C with libevent\"}");
    cache_flush(world_cache(w));
    world_restart(w);
    return w;
}

static void suggestions_are_held_again_after_a_restart_and_not_after_a_purge(void **state)
{
    (void)state;
    struct world *w = begin_with_suggestion_on_disk();
    struct client *b = complete(w, ANN, T1); /* from LMDB: and held from then on */
    assert_has(client_reply(b), "lull; hit");
    assert_int_equal(cache_stats(world_cache(w)).pending_writes, 0); /* nothing is written again */
    assert_int_equal(world_entry_hits(w), 1); /* found by its bytes, and then by what it asks */
    b = complete(w, ANN, T2);
    assert_has(client_reply(b), "hit; detail=type-through");
    struct cache_filter all = {.kind = SPAN_NONE};
    cache_purge(world_cache(w), &all, NULL, NULL);
    cache_flush(world_cache(w));
    world_pass(w, 0);
    struct client *c = complete(w, ANN, T2);
    world_pass(w, 100 * USEC_PER_MS);
    assert_int_equal(model_calls(w), 1);
    model_answer(model_call(w, 0), "{\"text\": \" new\"}");
    assert_has(client_reply(c), "fwd=miss");
    world_end(w);
}

static void a_suggestion_that_is_held_by_the_end_of_the_window_needs_no_call(void **state)
{
    (void)state;
    struct world *w = begin_with_suggestion_on_disk();
    struct client *b = complete(w, ANN, T2); /* in its window */
    assert_false(client_answered(b));
    struct client *a = complete(w, ANN, T1);
    assert_has(client_reply(a), "lull; hit");
    assert_false(client_answered(b));
    world_pass(w, 100 * USEC_PER_MS);
    assert_has(client_reply(b), "Cache-Status: lull; hit; detail=type-through\r\n");
    assert_has(client_reply(b), "{\\\"text\\\": \\\" with libevent\\\"}");
    assert_int_equal(outcome(w, OUTCOME_TYPE_THROUGH), 1);
    assert_int_equal(model_calls(w), 0);
    world_end(w);
}

static void deleting_back_to_a_known_text_is_a_hit(void **state)
{
    (void)state;
    struct world *w = world_begin(FIXED);
    (void)complete(w, ANN, T1);
    model_answer(called(w, 0, T1), "{\"text\": \" in Go\"}");
    (void)complete(w, ANN, T2);
    model_answer(called(w, 1, T2), "{\"text\": \" please\"}");
    struct client *c = complete(w, ANN, T1);
    assert_has(client_reply(c), "Cache-Status: lull; hit; ");
    assert_has(client_reply(c), " in Go");
    world_end(w);
}

static void a_call_that_still_fits_is_followed(void **state)
{
    (void)state;
    struct world *w = world_begin(FIXED);
    struct client *a = complete(w, ANN, T1);
    struct upstream_call *call = called(w, 0, T1);
    begins(call, "{\\\"text\\\": \\\" in");
    struct client *b = complete(w, ANN, T2);
    struct client *c = complete(w, ANN, T3);
    assert_has(client_reply(b), "superseded"); /* the newest follows in its place */
    world_pass(w, USEC_PER_S);
    assert_int_equal(model_calls(w), 1);
    goes_on(call, " C with libevent\\\"}");
    ends(call);
    assert_has(client_reply(a), "fwd=miss; stored");
    assert_has(client_reply(c), "Cache-Status: lull; fwd=miss; collapsed; detail=type-through\r\n");
    assert_has(client_reply(c), "{\\\"text\\\": \\\" libevent\\\"}");
    assert_int_equal(model_calls(w), 1);
    assert_int_equal(outcome(w, OUTCOME_COLLAPSED), 1);
    world_end(w);
}

enum { MANY = 40, AT_ONCE = 16 };

/* Equal requests share a follower; the last of them get the remainder in a later turn. */
static void many_that_follow_get_the_remainder(void **state)
{
    (void)state;
    struct world *w = world_begin(FIXED);
    struct client *c[MANY];
    (void)complete(w, ANN, T1);
    struct upstream_call *call = called(w, 0, T1);
    begins(call, "{\\\"text\\\": \\\" in");
    for (size_t i = 0; i < MANY; i++) {
        c[i] = complete(w, ANN, T2);
    }
    goes_on(call, " C with libevent\\\"}");
    ends(call);
    assert_int_equal(outcome(w, OUTCOME_COLLAPSED), AT_ONCE);
    for (size_t i = 0; i < MANY; i++) {
        assert_has(client_reply(c[i]), "{\\\"text\\\": \\\" with libevent\\\"}");
    }
    assert_int_equal(model_calls(w), 1);
    world_end(w);
}

static void what_stops_fitting_is_dropped_on_the_token(void **state)
{
    (void)state;
    struct world *w = world_begin(FIXED);
    struct client *a = complete(w, ANN, T1);
    struct upstream_call *call = called(w, 0, T1);
    begins(call, "{\\\"text\\\": \\\"");
    struct client *b = complete(w, ANN, T2);
    world_pass(w, USEC_PER_S);
    assert_int_equal(model_calls(w), 1);
    goes_on(call, " with"); /* not " in C" */
    world_pass(w, 0);
    assert_true(model_aborted(call));
    assert_int_equal(model_calls(w), 2); /* its window is long over */
    assert_has(client_reply(a), "superseded");
    model_answer(model_call(w, 1), "{\"text\": \" please\"}");
    assert_has(client_reply(b), " please");
    assert_true(world_task(w, "autocomplete")->wasted_us >= USEC_PER_S);
    world_end(w);
}

static void what_cannot_fit_is_aborted_at_once(void **state)
{
    (void)state;
    struct world *w = world_begin(FIXED);
    struct client *a = complete(w, ANN, T2);
    struct upstream_call *call = called(w, 0, T2);
    struct client *b = complete(w, ANN, T1); /* deleted */
    assert_true(model_aborted(call));
    assert_has(client_reply(a), "superseded");
    model_answer(called(w, 1, T1), "{\"text\": \" at all\"}");
    assert_has(client_reply(b), " at all");
    world_end(w);
}

static void a_call_that_is_nearly_done_is_not_aborted(void **state)
{
    (void)state;
    struct world *w = world_begin(FIXED);
    (void)complete(w, ANN, "something else first");
    struct upstream_call *call = called(w, 0, "something else first");
    world_pass(w, USEC_PER_S);
    model_answer(call, "{\"text\": \" fine\"}"); /* calls take a second here */
    struct client *a = complete(w, ANN, T2);
    call = called(w, 1, T2);
    world_pass(w, 960 * USEC_PER_MS);
    struct client *b = complete(w, ANN, T1);
    assert_false(model_aborted(call));
    model_answer(call, "{\"text\": \" kept\"}");
    assert_has(client_reply(a), " kept");
    model_answer(called(w, 2, T1), "{\"text\": \" too\"}");
    assert_has(client_reply(b), " too");
    world_end(w);
}

static void two_people_who_share_a_call_both_keep_it(void **state)
{
    (void)state;
    struct world *w = world_begin(FIXED);
    struct client *a = complete(w, "", T1);
    struct client *b = complete(w, "", T1);
    struct upstream_call *call = called(w, 0, T1);
    struct client *c = complete(w, "", "How do I write a small d"); /* one of them deletes */
    assert_false(model_aborted(call));
    model_answer(call, "{\"text\": \" kept\"}");
    assert_has(client_reply(a), " kept");
    assert_has(client_reply(b), " kept");
    model_answer(called(w, 1, "small d"), "{\"text\": \"emon\"}");
    assert_has(client_reply(c), "emon");
    world_end(w);
}

static void followers_of_a_call_that_fails_make_their_own(void **state)
{
    (void)state;
    struct world *w = world_begin(FIXED);
    struct client *a = complete(w, ANN, T1);
    struct upstream_call *call = called(w, 0, T1);
    struct client *b = complete(w, ANN, T2);
    model_break(call, false);
    model_break(called(w, 1, T1), false); /* tried twice */
    assert_has(client_reply(a), "HTTP/1.1 502");
    model_answer(called(w, 2, T2), "{\"text\": \" after all\"}");
    assert_has(client_reply(b), " after all");
    world_end(w);
}

static void an_answer_that_is_no_suggestion_frees_the_followers(void **state)
{
    (void)state;
    static const char *const answers[] = {"prose", "{\"text\": \"\"}", "{\"text\": 5}"};
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct world *w = world_begin(FIXED);
        (void)complete(w, ANN, T1);
        struct upstream_call *call = called(w, 0, T1);
        struct client *b = complete(w, ANN, T2);
        model_answer(call, answers[i]);
        model_answer(called(w, 1, T2), "{\"text\": \" good\"}");
        assert_has(client_reply(b), " good");
        world_end(w);
    }
}

static void a_leader_whose_client_left_goes_on_for_its_follower(void **state)
{
    (void)state;
    struct world *w = world_begin(FIXED);
    struct client *a = complete(w, ANN, T1);
    struct upstream_call *call = called(w, 0, T1);
    struct client *b = complete(w, ANN, T2);
    client_close(a);
    assert_true(model_open(call));
    struct client *c = complete(w, ANN, T3); /* takes b's place: the call must live on */
    assert_true(model_open(call));
    assert_has(client_reply(b), "superseded");
    client_close(c);
    assert_true(model_aborted(call));
    world_end(w);
}

static void what_was_sent_is_answered_empty(void **state)
{
    (void)state;
    struct world *w = world_begin(FIXED);
    struct client *running = complete(w, ANN, T1);
    struct upstream_call *call = called(w, 0, T1);
    struct client *held = complete(w, ANN, OTHER);
    struct client *bobs = complete(w, BOB, T1);
    struct client *chat =
        send_chat(w, ANN, "First a line.\\n\\nHow do I write a small daemon for a bakery");
    assert_has(client_reply(held), "Cache-Status: lull; detail=sent\r\n");
    assert_has(client_reply(held), "{\\\"text\\\": \\\"\\\"}");
    assert_has(client_reply(running), "detail=sent"); /* the message goes on from its text */
    assert_true(model_aborted(call));
    assert_false(client_answered(bobs)); /* another person's */
    assert_int_equal(outcome(w, OUTCOME_SENT), 2);
    client_close(chat);
    client_close(bobs);
    world_end(w);
}

static void other_messages_end_nothing(void **state)
{
    (void)state;
    struct world *w = world_begin(FIXED);
    struct client *a = complete(w, ANN, T1);
    struct client *b = complete(w, ANN, "Why");
    struct client *one = send_chat(w, ANN, "How do I write"); /* shorter than what is typed */
    struct client *two =
        send_chat(w, ANN, "Why is that so"); /* starts with it, but that is short */
    assert_false(client_answered(a));
    assert_false(client_answered(b));
    struct client *three = send_chat(w, ANN, "Why"); /* equal, however short */
    assert_has(client_reply(b), "detail=sent");
    client_close(one);
    client_close(two);
    client_close(three);
    client_close(a);
    world_end(w);
}

/* Without a user id another person may have sent the same. */
static void what_another_person_may_have_sent_ends_little(void **state)
{
    (void)state;
    struct world *w = world_begin(FIXED);
    struct client *longer = complete(w, "", T1);
    struct client *shorter = complete(w, "", "How do I write a small");
    struct client *sent[] = {send_chat(w, "", "How do I write a small"),
                             send_chat(w, "", "How do I write a small bakery")};
    assert_false(client_answered(shorter)); /* 22 characters, of many messages */
    struct client *reply = client_open(w);
    client_post(reply, "/v1/chat/completions", "",
                ask_chat((const char *const[]){"x", "y", T1, NULL}));
    assert_false(client_answered(longer)); /* in a conversation; this one begins one */
    struct client *begun = send_chat(w, "", T2);
    assert_has(client_reply(longer), "detail=sent");
    struct client *both[] = {complete(w, "", OTHER), complete(w, "", OTHER)};
    struct client *one = send_chat(w, "", OTHER);
    assert_false(client_answered(both[0]) || client_answered(both[1])); /* it was one of the two */
    struct client *all[] = {shorter, sent[0], sent[1], reply, begun, longer, both[0], both[1], one};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        client_close(all[i]);
    }
    world_end(w);
}

static void behind_a_chat_for_its_max_hold(void **state)
{
    (void)state;
    const char *const sets[] = {"task.autocomplete.max_hold=1s", NULL};
    struct world *w = world_begin(sets);
    struct client *chat = send_chat(w, ANN, "Tell me a story");
    struct client *a = complete(w, ANN, T1);
    world_pass(w, 999 * USEC_PER_MS);
    assert_false(client_answered(a));
    world_pass(w, 1 * USEC_PER_MS);
    assert_has(client_reply(a), "detail=busy");
    client_close(chat);
    world_end(w);
}

static void never_behind_a_chat_for_long(void **state)
{
    (void)state;
    struct world *w = world_begin(AUTO);
    struct client *chat = send_chat(w, ANN, "Tell me a story");
    struct client *a = complete(w, ANN, T1);
    world_pass(w, 299 * USEC_PER_MS);
    assert_false(client_answered(a));
    world_pass(w, 1 * USEC_PER_MS);
    assert_has(client_reply(a), "Cache-Status: lull; detail=busy\r\n");
    world_pass(w, 2 * USEC_PER_S);
    struct client *b = complete(w, ANN, T2);
    world_pass(w, 100 * USEC_PER_MS);
    model_head(model_call(w, 0), 200, "text/event-stream");
    model_data(model_call(w, 0), "data: [DONE]\n\n");
    model_end(model_call(w, 0));
    world_pass(w, 0);
    assert_int_equal(model_calls(w), 2); /* the chat is over: at once */
    model_answer(model_call(w, 1), "{\"text\": \" now\"}");
    assert_has(client_reply(b), " now");
    assert_int_equal(outcome(w, OUTCOME_BUSY), 1);
    (void)chat;
    world_end(w);
}

static uint64_t answered_at_the_deadline(struct world *w)
{
    return outcome(w, OUTCOME_DEADLINE);
}

static void begins_to_look(void *look)
{
    world_look(look);
}

static void at_the_deadline_a_few_are_answered_in_a_turn(void **state)
{
    (void)state;
    struct world *w = world_begin(DEADLINE);
    struct turn_look look = {.world = w, .count = answered_at_the_deadline, .all = MANY};
    struct loop_timer *timer = loop_timer_create(world_loop(w), begins_to_look, &look);
    loop_timer_start(timer, 2 * USEC_PER_S); /* before the deadline, which it begins with */
    for (size_t i = 0; i < MANY; i++) {
        (void)complete(w, ANN, T1);
    }
    struct upstream_call *call = called(w, 0, T1);
    world_pass(w, 2 * USEC_PER_S);
    assert_int_equal(look.seen, MANY);
    assert_int_equal(look.most, AT_ONCE);
    assert_true(model_open(call)); /* it goes on for the cache */
    model_answer(call, "{\"text\": \" in C\"}");
    loop_timer_destroy(timer);
    world_end(w);
}

static void at_the_deadline_it_is_empty_and_the_next_pause_is_a_hit(void **state)
{
    (void)state;
    struct world *w = world_begin(DEADLINE);
    struct client *a = complete(w, ANN, T1);
    struct upstream_call *call = called(w, 0, T1);
    world_pass(w, 1899 * USEC_PER_MS);
    assert_false(client_answered(a));
    world_pass(w, 1 * USEC_PER_MS);
    assert_has(client_reply(a), "Cache-Status: lull; detail=deadline\r\n");
    assert_true(model_open(call)); /* it goes on, for the cache */
    world_pass(w, 3 * USEC_PER_S);
    model_answer(call, "{\"text\": \" in time for the next\"}");
    struct client *b = complete(w, ANN, T1);
    assert_has(client_reply(b), "lull; hit");
    assert_has(client_reply(b), " in time for the next");
    assert_int_equal(outcome(w, OUTCOME_DEADLINE), 1);
    world_end(w);
}

static void a_call_that_goes_on_alone_is_bounded(void **state)
{
    (void)state;
    struct world *w = world_begin(DEADLINE);
    struct client *a = complete(w, ANN, T1);
    struct upstream_call *call = called(w, 0, T1);
    world_pass(w, 2 * USEC_PER_S);
    assert_true(client_answered(a));
    world_pass(w, 29 * USEC_PER_S);
    assert_true(model_open(call));
    world_pass(w, 2 * USEC_PER_S);
    assert_true(model_aborted(call));
    world_end(w);
}

static void a_request_for_what_goes_on_alone_joins_it(void **state)
{
    (void)state;
    struct world *w = world_begin(DEADLINE);
    (void)complete(w, ANN, T1);
    struct upstream_call *call = called(w, 0, T1);
    world_pass(w, 2 * USEC_PER_S);
    struct client *b = complete(w, ANN, T1);
    struct client *c = complete(w, ANN, T2);
    world_pass(w, USEC_PER_S);
    model_answer(call, "{\"text\": \" in C\"}");
    assert_has(client_reply(b), "collapsed");
    assert_has(client_reply(b), " in C");
    world_pass(w, 100 * USEC_PER_MS);
    assert_int_equal(model_calls(w), 2); /* nothing was left for c */
    model_answer(model_call(w, 1), "{\"text\": \" please\"}");
    assert_has(client_reply(c), " please");
    world_end(w);
}

static void the_last_wish_of_two_in_one_burst_is_spared_a_call(void **state)
{
    (void)state;
    struct world *w = world_begin(FIXED);
    struct client *a = complete(w, "", "Hello");    /* too short to attribute to a user */
    struct client *b = complete(w, "", "Hello wo"); /* held beside it */
    model_answer(called(w, 0, "Hello"), "{\"text\": \" world\"}");
    assert_has(client_reply(a), " world");
    assert_has(client_reply(b), "detail=type-through");
    assert_has(client_reply(b), "{\\\"text\\\": \\\"rld\\\"}");
    assert_int_equal(model_calls(w), 1);
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_held_suggestion_answers_longer_text),
        cmocka_unit_test(no_other_users_suggestion_is_given),
        cmocka_unit_test(suggestions_are_held_again_after_a_restart_and_not_after_a_purge),
        cmocka_unit_test(a_suggestion_that_is_held_by_the_end_of_the_window_needs_no_call),
        cmocka_unit_test(deleting_back_to_a_known_text_is_a_hit),
        cmocka_unit_test(a_call_that_still_fits_is_followed),
        cmocka_unit_test(many_that_follow_get_the_remainder),
        cmocka_unit_test(what_stops_fitting_is_dropped_on_the_token),
        cmocka_unit_test(what_cannot_fit_is_aborted_at_once),
        cmocka_unit_test(a_call_that_is_nearly_done_is_not_aborted),
        cmocka_unit_test(two_people_who_share_a_call_both_keep_it),
        cmocka_unit_test(followers_of_a_call_that_fails_make_their_own),
        cmocka_unit_test(an_answer_that_is_no_suggestion_frees_the_followers),
        cmocka_unit_test(a_leader_whose_client_left_goes_on_for_its_follower),
        cmocka_unit_test(what_was_sent_is_answered_empty),
        cmocka_unit_test(what_another_person_may_have_sent_ends_little),
        cmocka_unit_test(other_messages_end_nothing),
        cmocka_unit_test(behind_a_chat_for_its_max_hold),
        cmocka_unit_test(never_behind_a_chat_for_long),
        cmocka_unit_test(at_the_deadline_a_few_are_answered_in_a_turn),
        cmocka_unit_test(at_the_deadline_it_is_empty_and_the_next_pause_is_a_hit),
        cmocka_unit_test(a_call_that_goes_on_alone_is_bounded),
        cmocka_unit_test(a_request_for_what_goes_on_alone_joins_it),
        cmocka_unit_test(the_last_wish_of_two_in_one_burst_is_spared_a_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
