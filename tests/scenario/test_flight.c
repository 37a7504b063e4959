/* test_flight.c: one call, many waiters; waiters leave, calls fail, answers are kept. */
#include "scenario/scenario.h"

#include "support/large_allocations.h"
#include <cJSON.h>

#include "lull/path/exchange/exchange.h"
#include "path/flight/flight_priv.h"

enum { MANY = 200 };

static void ask(struct client *c, const char *user)
{
    client_post(c, "/v1/chat/completions", "", ask_title(user, "Fine."));
}

static const struct task_figures *title(struct world *w)
{
    return world_task(w, "title");
}

static void many_equal_requests_make_one_call(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *c[MANY];
    for (size_t i = 0; i < MANY; i++) {
        c[i] = client_open(w);
        ask(c[i], "How are you?");
    }
    assert_int_equal(model_calls(w), 1);
    model_answer(model_call(w, 0), "{\"title\": \"Greeting\"}");
    for (size_t i = 0; i < MANY; i++) {
        assert_has(client_reply(c[i]), "Greeting");
        assert_has(client_reply(c[i]), "\"model\":\"m\"");
    }
    assert_int_equal(title(w)->outcomes[OUTCOME_MISS], 1);
    assert_int_equal(title(w)->outcomes[OUTCOME_COLLAPSED], MANY - 1);
    world_end(w);
}

/* ---- many that wait are answered in several turns ---- */

enum { AT_ONCE = 16 };

static uint64_t answered(struct world *w)
{
    const struct task_figures *f = title(w);
    return (uint64_t)(f->outcomes[OUTCOME_MISS] + f->outcomes[OUTCOME_COLLAPSED]);
}

static void ask_all(struct world *w, struct client *c[MANY])
{
    for (size_t i = 0; i < MANY; i++) {
        c[i] = client_open(w);
        ask(c[i], "How are you?");
    }
}

static void an_answer_goes_to_a_few_in_a_turn(void **state)
{
    struct client *c[MANY];
    (void)state;
    struct world *w = world_begin(NULL);
    ask_all(w, c);
    model_answer(model_call(w, 0), "{\"title\": \"Greeting\"}");
    assert_int_equal(answered(w), AT_ONCE);
    struct turn_look look = {.world = w, .count = answered, .seen = AT_ONCE, .all = MANY};
    world_look(&look);
    world_pass(w, 0);
    assert_int_equal(look.most, AT_ONCE);
    for (size_t i = 0; i < MANY; i++) {
        assert_has(client_reply(c[i]), "Greeting");
    }
    assert_int_equal(title(w)->outcomes[OUTCOME_MISS], 1);
    world_end(w);
}

/* The flight has left its table: an equal request is a hit, and who leaves before the answer comes is
 * not waited for. */
static void who_comes_or_leaves_meanwhile_harms_no_other(void **state)
{
    struct client *c[MANY];
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *late = client_open(w);
    ask_all(w, c);
    model_answer(model_call(w, 0), "{\"title\": \"Greeting\"}");
    for (size_t i = MANY / 2; i < MANY; i++) {
        client_close(c[i]);
    }
    ask(late, "How are you?");
    assert_has(client_reply(late), "Cache-Status: lull; hit");
    assert_int_equal(model_calls(w), 1);
    assert_int_equal(answered(w) + (uint64_t)title(w)->outcomes[OUTCOME_ABANDONED], MANY);
    assert_true(title(w)->outcomes[OUTCOME_ABANDONED] > 0);
    for (size_t i = 0; i < MANY / 2; i++) {
        assert_has(client_reply(c[i]), "Greeting");
    }
    world_end(w);
}

/* The last get the phrase that the first got: the call that it is of is gone by then. */
static void an_error_is_the_same_for_the_last(void **state)
{
    struct client *c[MANY];
    (void)state;
    struct world *w = world_begin(NULL);
    ask_all(w, c);
    model_break(model_call(w, 0), true);
    model_break(model_call(w, 1), true);
    for (size_t i = 0; i < MANY; i++) {
        assert_has(client_reply(c[i]), "HTTP/1.1 502 ");
        assert_has(client_reply(c[i]), "connection refused");
    }
    assert_int_equal(title(w)->failed, MANY);
    world_end(w);
}

/* The first client leaves when the call has come to a phase; the second is answered all the same.
 */
static void first_leaves(int phase)
{
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    struct client *b = client_open(w);
    ask(a, "How are you?");
    ask(b, "How are you?");
    struct upstream_call *call = model_call(w, 0);
    if (phase >= 1) {
        model_head(call, 200, "text/event-stream");
    }
    if (phase >= 2) {
        model_data(
            call,
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"{\\\"title\\\":\"}}]}\n\n");
    }
    client_close(a);
    world_pass(w, 0);
    assert_true(model_open(call));
    if (phase < 1) {
        model_head(call, 200, "text/event-stream");
    }
    if (phase < 2) {
        model_data(
            call,
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"{\\\"title\\\":\"}}]}\n\n");
    }
    model_data(call, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" \\\"Hi\\\"}\"},"
                     "\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n");
    model_end(call);
    assert_has(client_reply(b), "{\\\"title\\\": \\\"Hi\\\"}");
    assert_int_equal(title(w)->outcomes[OUTCOME_ABANDONED], 1);
    assert_int_equal(title(w)->outcomes[OUTCOME_COLLAPSED], 1);
    world_end(w);
}

static void the_first_leaving_harms_no_other(void **state)
{
    (void)state;
    for (int phase = 0; phase <= 2; phase++) {
        first_leaves(phase);
    }
}

static void the_last_leaving_aborts_the_call(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    struct client *b = client_open(w);
    ask(a, "How are you?");
    ask(b, "How are you?");
    client_close(a);
    world_pass(w, 700 * USEC_PER_MS);
    client_close(b);
    world_pass(w, 0);
    assert_true(model_aborted(model_call(w, 0)));
    assert_int_equal(title(w)->cancelled, 1);
    assert_int_equal(title(w)->wasted_us, 700 * USEC_PER_MS);
    assert_int_equal(title(w)->saved_us, 0);
    /* and a later one begins a call of its own */
    struct client *c = client_open(w);
    ask(c, "How are you?");
    assert_int_equal(model_calls(w), 2);
    model_answer(model_call(w, 1), "{\"title\": \"Greeting\"}");
    world_end(w);
}

static void a_failed_call_fails_all_its_waiters_and_is_not_kept(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    struct client *b = client_open(w);
    ask(a, "How are you?");
    ask(b, "How are you?");
    model_break(model_call(w, 0), true);
    model_break(model_call(w, 1), true);
    assert_has(client_reply(a), "HTTP/1.1 502 ");
    assert_has(client_reply(a), "X-Lull-Error: upstream_unreachable\r\n");
    assert_has(client_reply(b), "HTTP/1.1 502 ");
    assert_int_equal(title(w)->failed, 2);
    client_clear(a);
    ask(a, "How are you?");
    assert_int_equal(model_calls(w), 3);
    model_answer(model_call(w, 2), "{\"title\": \"Greeting\"}");
    assert_has(client_reply(a), "Greeting");
    world_end(w);
}

static void silence_ends_with_504(void **state)
{
    (void)state;
    static const char *const sets[] = {"upstream.default.first_byte_timeout=10s",
                                       "upstream.default.stall_timeout=5s", NULL};
    struct world *w = world_begin(sets);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    model_head(model_call(w, 0), 200, "text/event-stream"); /* a head is no progress */
    world_pass(w, 9999 * USEC_PER_MS);
    assert_false(client_answered(a));
    world_pass(w, 1 * USEC_PER_MS);
    assert_has(client_reply(a), "HTTP/1.1 504 ");
    assert_true(model_aborted(model_call(w, 0)));
    client_clear(a);
    ask(a, "How are you?");
    model_head(model_call(w, 1), 200, "text/event-stream");
    model_data(model_call(w, 1),
               "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n");
    world_pass(w, 4999 * USEC_PER_MS);
    assert_false(client_answered(a));
    world_pass(w, 1 * USEC_PER_MS);
    assert_has(client_reply(a), "upstream_timeout");
    world_end(w);
}

static const char PIECE[] = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n";

/* One piece every 50 s, never a silence, until that much time has passed. */
static void drip(struct world *w, struct upstream_call *call, int64_t seconds)
{
    for (int64_t s = 0; s < seconds; s += 50) {
        if (model_open(call)) {
            model_data(call, PIECE);
        }
        world_pass(w, (seconds - s < 50 ? seconds - s : 50) * USEC_PER_S);
    }
}

/* A server that sends a byte now and then is never silent: the whole of a task's answer has a bound
 * as well. A chat has none: its client decides. */
static void an_answer_that_drips_ends_with_504(void **state)
{
    static const char *const turns[] = {"Hello", NULL};
    static const char *const shorter[] = {"upstream.default.answer_timeout=70s", NULL};
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    model_head(model_call(w, 0), 200, "text/event-stream");
    drip(w, model_call(w, 0), 1799);
    assert_false(client_answered(a));
    assert_true(model_open(model_call(w, 0)));
    world_pass(w, USEC_PER_S);
    assert_has(client_reply(a), "HTTP/1.1 504 ");
    assert_has(client_reply(a), "no whole answer within answer_timeout");
    assert_true(model_aborted(model_call(w, 0)));
    assert_int_equal(model_calls(w), 1); /* nor is it asked again */
    assert_int_equal(title(w)->failed, 1);
    world_reload(w, shorter);
    client_clear(a);
    ask(a, "And now?");
    model_head(model_call(w, 1), 200, "text/event-stream");
    drip(w, model_call(w, 1), 70);
    assert_has(client_reply(a), "HTTP/1.1 504 ");
    client_clear(a);
    ask(a, "And without a byte?");
    world_pass(w, 70 * USEC_PER_S);
    assert_has(client_reply(a), "HTTP/1.1 504 ");
    client_post(a, "/v1/chat/completions", "", ask_chat(turns));
    model_head(model_call(w, 3), 200, "text/event-stream");
    drip(w, model_call(w, 3), 4000);
    assert_true(model_open(model_call(w, 3)));
    model_data(model_call(w, 3), "data: [DONE]\n\n");
    model_end(model_call(w, 3));
    world_end(w);
}

static void an_error_of_the_server_passes_through_untouched(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    model_head(model_call(w, 0), 503, "application/json");
    model_data(model_call(w, 0), "{\"error\":{\"message\":\"Loading model\"}}");
    model_end(model_call(w, 0));
    assert_has(client_reply(a), "HTTP/1.1 503 ");
    assert_has(client_reply(a), "{\"error\":{\"message\":\"Loading model\"}}");
    assert_has_not(client_reply(a), "X-Lull-Error");
    assert_int_equal(title(w)->failed, 1);
    assert_int_equal(title(w)->outcomes[OUTCOME_MISS], 1);
    world_end(w);
}

static void an_error_inside_a_good_stream_becomes_a_status(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    model_head(model_call(w, 0), 200, "text/event-stream");
    model_data(model_call(w, 0),
               "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n"
               "data: {\"error\":{\"code\":500,\"message\":\"out of memory\"}}\n\n");
    model_end(model_call(w, 0)); /* the answer has begun: it is not asked once more */
    assert_has(client_reply(a), "HTTP/1.1 500 ");
    assert_has(client_reply(a), "out of memory");
    client_clear(a);
    ask(a, "How are you?");
    assert_int_equal(model_calls(w), 2); /* not kept */
    model_answer(model_call(w, 1), "{\"title\": \"Greeting\"}");
    world_end(w);
}

#define TITLE(rest)                                                                                \
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"{\\\"title\\\": "                   \
    "\\\"Hi\\\"}\"}" rest "}]}\n\n"

/* A body that comes in a reply of that status and type and then ends. */
static void answers(struct world *w, int status, const char *type, const char *body)
{
    struct upstream_call *call = model_call(w, model_calls(w) - 1);
    model_head(call, status, type);
    model_data(call, body);
    model_end(call);
    world_pass(w, 0);
}

static void what_breaks_off_is_no_answer_and_is_not_asked_again(void **state)
{
    static const struct {
        const char *type, *body;
    } rows[] = {
        {"text/event-stream", "data: {\"choices\":[{\"delta\":{\"conte"},
        {"application/json", "{\"choices\":[{\"message\":{\"content\":\"{"},
        {"application/json", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world *w = world_begin(NULL);
        struct client *a = client_open(w);
        ask(a, "How are you?");
        answers(w, 200, rows[i].type, rows[i].body);
        assert_has(client_reply(a), "HTTP/1.1 502 ");
        assert_has(client_reply(a), "upstream_broke");
        assert_int_equal(model_calls(w), 1);
        assert_int_equal(title(w)->failed, 1);
        assert_int_equal(world_figures(w)->upstreams[0]->failed, 1);
        world_end(w);
    }
}

/* Without an end mark an answer has all of itself where it has the kind's form and the transport is
 * whole. */
static void an_answer_in_its_form_needs_no_end_mark(void **state)
{
    (void)state;
    for (int closed = 0; closed < 2; closed++) {
        struct world *w = world_begin(NULL);
        struct client *a = client_open(w);
        ask(a, "How are you?");
        struct upstream_call *call = model_call(w, 0);
        model_head(call, 200, "text/event-stream");
        model_data(call, TITLE(""));
        (closed ? model_close : model_end)(call);
        world_pass(w, 0);
        if (closed) { /* it may be cut: once more as the client wrote it */
            assert_int_equal(model_calls(w), 2);
            assert_null(strstr(model_body(model_call(w, 1)), "\"stream\":true"));
            model_answer(model_call(w, 1), "{\"title\": \"How are you\"}");
        }
        assert_has(client_reply(a), "stored");
        assert_int_equal(model_calls(w), 1 + closed);
        assert_int_equal(world_figures(w)->upstreams[0]->failed, closed);
        world_end(w);
    }
}

#define HALF "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"{\"}}]}\n\n"

static void without_its_form_it_is_asked_for_as_the_client_wrote_it(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    answers(w, 200, "text/event-stream", HALF);
    assert_int_equal(model_calls(w), 2);
    assert_null(strstr(model_body(model_call(w, 1)), "\"stream\":true"));
    answers(w, 200, "text/event-stream", HALF); /* it is what the client would have got */
    assert_has(client_reply(a), "HTTP/1.1 200 ");
    assert_has(client_reply(a), HALF);
    assert_int_equal(title(w)->not_stored, 1);
    world_end(w);
}

static void a_finish_reason_and_an_end_make_an_answer_whole(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    answers(w, 200, "text/event-stream", TITLE(",\"finish_reason\":\"stop\""));
    assert_has(client_reply(a), "HTTP/1.1 200 ");
    assert_has(client_reply(a), "stored");
    world_end(w);
}

/* One second after the reason, whatever else the server sends meanwhile. */
static void silence_after_the_finish_reason_is_the_end(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    struct upstream_call *call = model_call(w, 0);
    model_head(call, 200, "text/event-stream");
    model_data(call, TITLE(",\"finish_reason\":\"stop\""));
    world_pass(w, USEC_PER_S - 1000);
    model_data(call, ": still here\n\n");
    assert_false(client_answered(a));
    world_pass(w, 1000);
    assert_has(client_reply(a), "HTTP/1.1 200 ");
    assert_has(client_reply(a), "stored");
    assert_true(model_aborted(call));
    assert_int_equal(world_figures(w)->upstreams[0]->finished, 1);
    world_end(w);
}

static void an_answer_of_any_good_status_is_put_together(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    answers(w, 201, "text/event-stream", TITLE(",\"finish_reason\":\"stop\""));
    assert_has(client_reply(a), "HTTP/1.1 200 ");
    assert_has(client_reply(a), "Content-Type: application/json\r\n");
    assert_has(client_reply(a), "stored");
    client_clear(a);
    ask(a, "What now?");
    model_refuse(model_call(w, 1), 204, "", "");
    assert_has(client_reply(a), "HTTP/1.1 204 ");
    world_end(w);
}

static void content_that_is_no_text_is_asked_for_as_written(void **state)
{
    (void)state;
    struct world *w = world_begin(NULL);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    answers(w, 200, "text/event-stream",
            "data: {\"choices\":[{\"delta\":{\"content\":66}}]}\n\n" TITLE(
                ",\"finish_reason\":\"stop\""));
    assert_int_equal(model_calls(w), 2);
    assert_string_equal(model_body(model_call(w, 1)), ask_title("How are you?", "Fine."));
    answers(w, 200, "application/json",
            "{\"choices\":[{\"message\":{\"content\":{\"title\":\"Hi\"}},"
            "\"finish_reason\":\"stop\"}]}");
    assert_has(client_reply(a), "{\"title\":\"Hi\"}");
    assert_int_equal(title(w)->stored, 0);
    world_end(w);
}

/* A title whose server charges so much for a million tokens, and says how many the prompt had. */
static struct world *paid_title(const char *price, const char *tokens)
{
    char set[64], events[512];
    const char *const sets[] = {set, NULL};
    snprintf(set, sizeof set, "upstream.default.price_in=%s", price);
    snprintf(events, sizeof events,
             TITLE(",\"finish_reason\":\"stop\"") "data: "
                                                  "{\"choices\":[],\"usage\":{\"prompt_tokens\":%s}"
                                                  "}\n\ndata: [DONE]\n\n",
             tokens);
    struct world *w = world_begin(sets);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    answers(w, 200, "text/event-stream", events);
    assert_has(client_reply(a), "HTTP/1.1 200 ");
    return w;
}

/* What a server says of tokens is bounded before it is multiplied and summed. */
static void no_server_brings_a_figure_near_its_end(void **state)
{
    (void)state;
    struct world *w = paid_title("1000000", "999999999999");
    assert_int_equal(title(w)->tokens_in, 1000000000);
    assert_int_equal(title(w)->cost, 1000000000000000);
    world_end(w);
}

/* Calls of 1.6 millionths each, as of the smallest hosted models. */
static void a_cost_is_rounded_to_the_nearest_millionth(void **state)
{
    (void)state;
    struct world *w = paid_title("0.16", "10");
    assert_int_equal(title(w)->cost, 2);
    world_end(w);
}

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

static void prose_is_served_and_not_kept(void **state)
{
    (void)state;
    static const char *const once[] = {"tasks.retry_shape=0", NULL};
    struct world *w = world_begin(once);
    struct client *a = client_open(w);
    ask(a, "How are you?");
    model_answer(model_call(w, 0), "Sure! Here is a title.");
    assert_has(client_reply(a), "Sure! Here is a title.");
    assert_has(client_reply(a), "Cache-Status: lull; fwd=miss\r\n");
    assert_int_equal(title(w)->not_stored, 1);
    client_clear(a);
    ask(a, "How are you?");
    assert_int_equal(model_calls(w), 2);
    model_answer(model_call(w, 1), "{\"title\": \"Greeting\"}");
    world_end(w);
}

/* What may be an answer that no request asked for: its connection is given up, before the task is asked
 * again. */
static void what_does_not_fit_a_task_costs_its_connection(void **state)
{
    static const struct {
        const char *type, *body;
    } odd[] = {
        {"application/json", "{\"ok\":true}"},
        {"application/json", "{\"error\":{\"message\":\"no\",\"code\":400}}"},
        {"text/html", "<html>busy</html>"},
        {"application/json", ""},
        {"application/json",
         "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hello.\"},"
         "\"finish_reason\":\"stop\"}]}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        struct world *w = world_begin(NULL);
        struct client *c = client_open(w);
        client_post(c, "/v1/chat/completions", "", ask_title("How are you?", "Fine."));
        model_head(model_call(w, 0), 200, odd[i].type);
        model_data(model_call(w, 0), odd[i].body);
        model_end(model_call(w, 0));
        assert_true(model_distrusted(model_call(w, 0)));
        if (model_calls(w) > 1) {
            model_answer(model_call(w, 1), "{\"title\": \"Bread\"}");
            assert_false(model_distrusted(model_call(w, 1)));
        }
        assert_true(client_answered(c));
        world_end(w);
    }
}

struct both {
    struct client *openai, *chat, *generate;
};

/* The same request to three endpoints, which share one call. */
static struct both ask_everywhere(struct world *w)
{
    static char prompt[65536];
    struct both b = {client_open(w), client_open(w), client_open(w)};
    const char *body = ask_follow_up("How are you?", "Fine.");
    cJSON *root = cJSON_Parse(body);
    const cJSON *message = cJSON_GetArrayItem(cJSON_GetObjectItem(root, "messages"), 0);
    cJSON *generate = cJSON_CreateObject();
    cJSON_AddStringToObject(generate, "model", "m");
    cJSON_AddStringToObject(generate, "prompt",
                            cJSON_GetStringValue(cJSON_GetObjectItem(message, "content")));
    cJSON_AddFalseToObject(generate, "stream");
    require(cJSON_PrintPreallocated(generate, prompt, sizeof prompt, false));
    cJSON_Delete(generate);
    cJSON_Delete(root);
    client_post(b.openai, "/v1/chat/completions", "", body);
    client_post(b.chat, "/api/chat", "", body);
    client_post(b.generate, "/api/generate", "", prompt);
    return b;
}

static const char *const of_openai[] = {
    "upstream.default.dialect=openai", "upstream.second.url=http://127.0.0.1:9",
    "upstream.second.dialect=openai", "tasks.upstream=second", NULL};

/* Each gets the answer in the form of the endpoint that it asked. */
static void clients_of_both_apis_share_a_call(void **state)
{
    struct world *w = world_begin(of_openai);
    struct both b = ask_everywhere(w);
    (void)state;
    assert_int_equal(model_calls(w), 1);
    model_answer(model_call(w, 0), "{\"follow_ups\": [\"A?\", \"B?\", \"C?\"]}");
    assert_has(client_reply(b.openai), "\"choices\":[{");
    assert_has(client_reply(b.chat), "\"message\":{\"role\":\"assistant\",\"content\":");
    assert_has(client_reply(b.chat), "\"done\":true");
    assert_has(client_reply(b.generate), "\"response\":\"{");
    world_end(w);
}

/* What is no plain answer goes to the clients of its own endpoint only. */
static void what_cannot_be_put_into_the_other_api_is_an_error_there(void **state)
{
    static const char calls[] =
        "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,"
        "\"tool_calls\":[{\"id\":\"1\",\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}]}";
    struct world *w = world_begin(of_openai);
    struct both b = ask_everywhere(w);
    (void)state;
    for (size_t i = 0; i < model_calls(w); i++) { /* once more as it came */
        model_head(model_call(w, i), 200, "application/json");
        model_data(model_call(w, i), calls);
        model_end(model_call(w, i));
    }
    assert_has(client_reply(b.openai), "tool_calls");
    assert_has(client_reply(b.chat), "HTTP/1.1 502 ");
    assert_has(client_reply(b.chat), "cannot be put into the API");
    assert_has(client_reply(b.generate), "HTTP/1.1 502 ");
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_equal_requests_make_one_call),
        cmocka_unit_test(an_answer_goes_to_a_few_in_a_turn),
        cmocka_unit_test(who_comes_or_leaves_meanwhile_harms_no_other),
        cmocka_unit_test(an_error_is_the_same_for_the_last),
        cmocka_unit_test(the_first_leaving_harms_no_other),
        cmocka_unit_test(the_last_leaving_aborts_the_call),
        cmocka_unit_test(a_failed_call_fails_all_its_waiters_and_is_not_kept),
        cmocka_unit_test(silence_ends_with_504),
        cmocka_unit_test(an_answer_that_drips_ends_with_504),
        cmocka_unit_test(an_error_of_the_server_passes_through_untouched),
        cmocka_unit_test(an_error_inside_a_good_stream_becomes_a_status),
        cmocka_unit_test(what_breaks_off_is_no_answer_and_is_not_asked_again),
        cmocka_unit_test(an_answer_in_its_form_needs_no_end_mark),
        cmocka_unit_test(without_its_form_it_is_asked_for_as_the_client_wrote_it),
        cmocka_unit_test(a_finish_reason_and_an_end_make_an_answer_whole),
        cmocka_unit_test(silence_after_the_finish_reason_is_the_end),
        cmocka_unit_test(an_answer_of_any_good_status_is_put_together),
        cmocka_unit_test(content_that_is_no_text_is_asked_for_as_written),
        cmocka_unit_test(prose_is_served_and_not_kept),
        cmocka_unit_test(no_server_brings_a_figure_near_its_end),
        cmocka_unit_test(a_cost_is_rounded_to_the_nearest_millionth),
        cmocka_unit_test(a_flight_without_memory_keeps_nothing_of_the_callers),
        cmocka_unit_test(answers_count_in_max_buffered),
        cmocka_unit_test(an_answer_without_memory_is_not_the_servers_fault),
        cmocka_unit_test(a_chat_goes_on_where_max_buffered_is_used_up),
        cmocka_unit_test(clients_of_both_apis_share_a_call),
        cmocka_unit_test(what_cannot_be_put_into_the_other_api_is_an_error_there),
        cmocka_unit_test(what_does_not_fit_a_task_costs_its_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
