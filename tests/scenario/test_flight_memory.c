/* test_flight_memory.c: calls where memory is gone or max_buffered is used up. */
#include "scenario/titles.h"

#include "support/large_allocations.h"

#include "lull/path/exchange/exchange.h"
#include "path/flight/flight_priv.h"

static void on_failed(void *ctx, struct flight_end *end)
{
    unsigned *failed = ctx;
    assert_int_equal(end->result, FLIGHT_RESULT_FAILED);
    (*failed)++;
}

static void view_without_texts(void *ctx, const struct flight_view *v)
{
    unsigned *seen = ctx;
    assert_int_equal(v->model.len, 0);
    assert_int_equal(v->scope.len, 0);
    (*seen)++;
}

/* Its texts are longer than all memory: nothing of the caller's may be looked at afterwards. */
static void a_flight_without_memory_keeps_nothing_of_the_callers(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct flight_table *t = engine_flights(world_engine(w));
    struct flight_waiter waiter = {.done = on_failed};
    unsigned failed = 0;
    unsigned seen = 0;
    waiter.ctx = &failed;
    {
        char texts[64] = "Fine.";
        struct http_header header = {SPAN("A"), span_of(texts)};
        struct flight_spec spec = {.settings = world_settings(w),
                                   .kind = settings_find_kind(world_settings(w), SPAN("follow_up")),
                                   .body = {texts, (size_t)1 << 62},
                                   .model = span_of(texts),
                                   .scope = span_of(texts),
                                   .headers = &header,
                                   .header_count = 1,
                                   .shared = true,
                                   .join = true,
                                   .fallback = {.upstream = 0, .headers = &header}};
        spec.turn.history = span_of(texts);
        spec.completion.who.one_user = true;
        spec.completion.usable = true;
        spec.completion.who.text = span_of(texts);
        if (!flight_join(t, &spec, &waiter)) {
            flight_begin(t, &spec, &waiter);
            assert_true(flight_debounce(&waiter));
        }
        memset(texts, 'x', sizeof texts);
    }
    struct schedule_conversation whose = {0};
    flight_each(t, view_without_texts, &seen);
    flight_moved_on(t, &whose, NULL);
    flight_chat_sent(t, &(struct flight_sent){.paragraph = SPAN("Fine.")});
    assert_int_equal(seen, 1);
    assert_int_equal(failed, 0);
    world_pass(w, 0);
    assert_int_equal(failed, 1);
    assert_int_equal(flight_count(t), 0);
    world_end(w);
}

/* One event of a streamed answer with 16 KB of text. */
static const char *large_event(void)
{
    static char event[20 * 1024];
    static const char before[] = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"";
    size_t len = sizeof before - 1;
    memcpy(event, before, len);
    memset(event + len, 'a', 16 * 1024);
    len += 16 * 1024;
    snprintf(event + len, sizeof event - len, "\"}}]}\n\n");
    return event;
}

/* Held bodies and answers that are put together count in one bound; one that is over it gets an error
 * of lull's own, which is not the server's fault, and leaves the room to the others. */
static void answers_count_in_max_buffered(void **state)
{
    static const char *const sets[] = {"server.max_buffered=2MB",
                                       "upstream.default.slots=64",
                                       "upstream.default.breaker_failures=1",
                                       "tasks.settle=0",
                                       "tasks.retry_shape=0",
                                       NULL};
    (void)state;
    struct world *w = world_begin(sets);
    for (size_t round = 0; round < 3; round++) { /* what one round took is there for the next */
        char user[32];
        struct client *first = client_open(w), *second = client_open(w);
        snprintf(user, sizeof user, "Question %zu?", round);
        ask(first, user);
        snprintf(user, sizeof user, "Another %zu?", round);
        ask(second, user);
        struct upstream_call *one = model_call(w, 2 * round), *two = model_call(w, 2 * round + 1);
        model_head(one, 200, "text/event-stream");
        model_head(two, 200, "text/event-stream");
        for (int i = 0; i < 50; i++) { /* 800 KB */
            model_data(one, large_event());
        }
        size_t sent = 0;
        while (model_open(two) && sent < 4 * 1024 * 1024) {
            model_data(two, large_event());
            sent += 16 * 1024;
        }
        world_pass(w, 0);
        assert_true(model_aborted(two));
        assert_has(client_reply(second), "HTTP/1.1 503 ");
        assert_has(client_reply(second), "X-Lull-Error: busy\r\n");
        assert_true(model_open(one));
        model_data(
            one, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n");
        model_end(one);
        assert_has(client_reply(first), "HTTP/1.1 200 ");
        assert_string_equal(world_server_state(w, "default"), "up");
        client_close(first);
        client_close(second);
    }
    world_end(w);
}

/* An answer for which there is no memory is given up with an error of lull's own. */
static void an_answer_without_memory_is_not_the_servers_fault(void **state)
{
    static const char *const sets[] = {"upstream.default.breaker_failures=1", "tasks.settle=0",
                                       NULL};
    (void)state;
    struct world *w = world_begin(sets);
    struct flight_table *t = engine_flights(world_engine(w));
    struct client *c = client_open(w);
    ask(c, "How are you?");
    model_head(model_call(w, 0), 200, "application/json");
    model_data(model_call(w, 0), "{");
    struct flight *f = list_item(t->all.next, struct flight, all);
    f->assembler.line.max = SIZE_MAX / 2;
    assembler_feed(&f->assembler, span_make("\"", (size_t)1 << 62)); /* none of it is read */
    model_data(model_call(w, 0), "}");
    assert_true(model_aborted(model_call(w, 0)));
    assert_has(client_reply(c), "HTTP/1.1 503 ");
    assert_has(client_reply(c), "out of memory");
    assert_string_equal(world_server_state(w, "default"), "up");
    client_clear(c);
    ask(c, "And you?");
    assert_int_equal(model_calls(w), 2);
    client_close(c);
    world_end(w);
}

/* Sends 64 KB of an answer's one line so many times. */
static void send_much(struct world *w, struct client *c, struct upstream_call *call, size_t times)
{
    static char text[64 * 1024];
    memset(text, 'a', sizeof text - 1);
    for (size_t i = 0; i < times; i++) {
        model_data(call, text);
        world_pass(w, 0);
        client_clear(c);
    }
}

/* Asks for a title whose answer takes 4 MB while it is put together; returns the reply. */
static const char *ask_large(struct world *w, const char *user, size_t call)
{
    struct client *c = client_open(w);
    ask(c, user);
    model_head(model_call(w, call), 200, "text/event-stream");
    for (size_t i = 0; i < 160 && model_open(model_call(w, call)); i++) { /* 2.5 MB */
        model_data(model_call(w, call), large_event());
    }
    if (model_open(model_call(w, call))) {
        model_data(
            model_call(w, call),
            "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n");
        model_end(model_call(w, call));
    }
    world_pass(w, 0);
    return client_reply(c);
}

/* What lull reads along of a chat's answer counts too; the chat goes on where there is no room. */
static void a_chat_goes_on_where_max_buffered_is_used_up(void **state)
{
    static const char *const sets[] = {"server.max_buffered=6MB", "upstream.default.slots=64",
                                       "tasks.settle=0", "tasks.retry_shape=0", NULL};
    static const char *const turns[] = {"Hello", NULL};
    (void)state;
    struct world *w = world_begin(sets);
    struct client *c = client_open(w);
    client_post(c, "/v1/chat/completions", "", ask_chat(turns));
    model_head(model_call(w, 0), 200, "application/json");
    model_data(model_call(w, 0), "{\"choices\":[{\"message\":{\"content\":\"");
    send_much(w, c, model_call(w, 0), 48); /* 3 MB, in 4 */
    assert_has(ask_large(w, "How are you?", 1), "HTTP/1.1 503 ");
    send_much(w, c, model_call(w, 0), 100); /* over the bound: it holds nothing from here on */
    assert_has(ask_large(w, "And now?", 2), "HTTP/1.1 200 ");
    assert_true(model_open(model_call(w, 0)));
    model_data(model_call(w, 0), "\"},\"finish_reason\":\"stop\"}]}");
    model_end(model_call(w, 0));
    world_pass(w, 0);
    assert_has(client_reply(c), "finish_reason");
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flight_without_memory_keeps_nothing_of_the_callers),
        cmocka_unit_test(answers_count_in_max_buffered),
        cmocka_unit_test(an_answer_without_memory_is_not_the_servers_fault),
        cmocka_unit_test(a_chat_goes_on_where_max_buffered_is_used_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
