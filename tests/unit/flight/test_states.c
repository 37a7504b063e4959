/* test_states.c: the state machine of a flight: every event in every state, whole lives as sequences
 * of events, and real flights that are led through their states by a model server.
 */
#include "support/fake_loop.c"

#include "path/flight/flight_priv.h"
#include "support/check.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the table ---- */

/* One column per state: held, following, queued, calling, ending. The letter is the state that
 * comes; '.': the event cannot happen there. */
static const char *const expected[FLIGHT_EVENTS] = {
    [FLIGHT_EVENT_NONE] = ".....",
    [FLIGHT_EVENT_LED] = "F.F..",
    [FLIGHT_EVENT_RELEASED] = ".H...",
    [FLIGHT_EVENT_READY] = "Q....",
    [FLIGHT_EVENT_GATE_OPENED] = "..C..",
    [FLIGHT_EVENT_ASKED_AGAIN] = "...C.",
    [FLIGHT_EVENT_PREEMPTED] = "...Q.",
    [FLIGHT_EVENT_THROTTLED] = "...Q.",
    [FLIGHT_EVENT_FELL_BACK] = "Q.QQ.",
    [FLIGHT_EVENT_ANSWERED] = "...E.",
    [FLIGHT_EVENT_LEADER_ANSWERED] = ".E...",
    [FLIGHT_EVENT_REMAINDER] = "E.E..",
    [FLIGHT_EVENT_FAILED] = "E.EE.",
    [FLIGHT_EVENT_BUSY] = "E.E..",
    [FLIGHT_EVENT_SUPERSEDED] = "EEEE.",
    [FLIGHT_EVENT_SENT] = "EEEE.",
    [FLIGHT_EVENT_OBSOLETE] = "EEEE.",
    [FLIGHT_EVENT_DEADLINE] = "EEEE.",
    [FLIGHT_EVENT_LEFT] = "EEEE.",
};

static void every_event_in_every_state(void **state)
{
    (void)state;
    static const char letters[] = "HFQCE.";
    for (int event = 0; event < FLIGHT_EVENTS; event++) {
        for (int from = 0; from < FLIGHT_STATES; from++) {
            enum flight_state to =
                flight_next_state((enum flight_state)from, (enum flight_event)event);
            if (letters[to] != expected[event][from]) {
                fail_msg("event %d in state %d: %c", event, from, letters[to]);
            }
            if (to != FLIGHT_STATES) {
                struct flight f = {.state = (enum flight_state)from};
                flight_enter(&f, (enum flight_event)event);
                assert_int_equal(f.state, to);
            }
        }
    }
}

static void every_state_is_reached_and_left(void **state)
{
    (void)state;
    bool reached[FLIGHT_STATES] = {[FLIGHT_STATE_HELD] = true};
    for (int round = 0; round < FLIGHT_STATES; round++) {
        for (int from = 0; from < FLIGHT_STATES; from++) {
            for (int event = 0; reached[from] && event < FLIGHT_EVENTS; event++) {
                enum flight_state to =
                    flight_next_state((enum flight_state)from, (enum flight_event)event);
                reached[to == FLIGHT_STATES ? from : (int)to] = true;
            }
        }
    }
    for (int at = 0; at < FLIGHT_STATES; at++) {
        assert_true(reached[at]);
        bool ends =
            flight_next_state((enum flight_state)at, FLIGHT_EVENT_LEFT) == FLIGHT_STATE_ENDING;
        assert_int_equal(ends, at != FLIGHT_STATE_ENDING); /* a client may always leave */
    }
}

/* ---- a model server ---- */

enum { CALLS = 16 };

struct upstream_pool {
    struct upstream_call *calls[CALLS];
    size_t count;
};

struct upstream_call {
    const struct upstream_events *events;
    void *ctx;
    const char *upstream;
    bool over, aborted;
};

struct upstream_call *upstream_start(struct upstream_pool *pool, const struct upstream_request *req,
                                     const struct upstream_events *events, void *ctx)
{
    struct upstream_call *c = mem_new(sizeof *c);
    *c = (struct upstream_call){.events = events, .ctx = ctx, .upstream = req->to->name};
    require(pool->count < CALLS);
    pool->calls[pool->count++] = c;
    return c;
}

void upstream_abort(struct upstream_call *call)
{
    call->over = call->aborted = true;
}

void upstream_distrust_answer(struct upstream_call *call)
{
    (void)call;
}

struct world {
    struct loop *loop;
    struct upstream_pool pool;
    struct figures *figures;
    struct servers *servers;
    struct schedule *schedule;
    struct gate *gate;
    struct flight_table *flights;
    struct settings settings;
    struct upstream_settings upstreams[2];
    struct kind_policy kinds[KIND_BUILTIN_COUNT];
    struct flight_waiter waiter;
    struct flight_end end;
    unsigned ended;
    bool held;
};

static void completed(void *ctx, const struct flight *f, struct flight_end *end)
{
    (void)ctx;
    (void)f;
    end->stored = true;
}

/* ctx: whether a held suggestion answers the next completion. */
static bool held_answer(void *ctx, const struct flight_spec *spec, struct buf *content,
                        struct flight_end *end)
{
    const bool *held = ctx;
    (void)spec;
    (void)end;
    return *held && buf_append_span(content, SPAN("{\"text\": \"held\"}")) == ERR_OK;
}

static int looks;

static void look(void *ctx, const struct flight_spec *spec, struct flight_found *found)
{
    (void)ctx;
    (void)spec;
    (void)found;
    looks++;
}

static void on_end(void *ctx, struct flight_end *end)
{
    struct world *w = ctx;
    w->end = *end;
    w->ended++;
}

static struct upstream_settings upstream(char *name, char *url)
{
    static char none[] = "", one[] = "one";
    return (struct upstream_settings){.name = name,
                                      .url = url,
                                      .machine = one,
                                      .api_key = none,
                                      .base_path = none,
                                      .dialect = DIALECT_CHOICE_OPENAI,
                                      .slots = 1,
                                      .first_byte_timeout = 60 * USEC_PER_S,
                                      .stall_timeout = 60 * USEC_PER_S,
                                      .answer_timeout = 60 * USEC_PER_S,
                                      .breaker_failures = 3,
                                      .breaker_open = 30 * USEC_PER_S};
}

static void begin(struct world *w)
{
    static char here[] = "here", there[] = "there", kind[] = "mine", none[] = "";
    static char first_url[] = "http://127.0.0.1:1", other_url[] = "http://127.0.0.1:2";
    *w = (struct world){.loop = loop_create(), .figures = figures_create()};
    w->upstreams[0] = upstream(here, first_url);
    w->upstreams[1] = upstream(there, other_url);
    for (size_t i = 0; i < KIND_BUILTIN_COUNT; i++) {
        w->kinds[i] = (struct kind_policy){.name = kind,
                                           .cls = KIND_CLASS_BACKGROUND,
                                           .max_hold = 20 * USEC_PER_S,
                                           .max_requeue = 2,
                                           .queue = 64,
                                           .max_tokens = UNSET,
                                           .id_slot = UNSET,
                                           .temperature = none,
                                           .extra = none,
                                           .shape = KIND_SHAPE_TEXT,
                                           .shape_member = none,
                                           .think = THINK_AS_ASKED,
                                           .keep_alive = MATCH_AS_ASKED,
                                           .num_ctx = MATCH_AS_ASKED};
    }
    struct kind_policy *completion = &w->kinds[KIND_AUTOCOMPLETE];
    completion->cls = KIND_CLASS_COMPLETION;
    completion->debounce = 500 * USEC_PER_MS;
    completion->max_hold = 300 * USEC_PER_MS;
    w->settings = (struct settings){.upstreams = w->upstreams,
                                    .upstream_count = 2,
                                    .kinds = w->kinds,
                                    .kind_count = KIND_BUILTIN_COUNT,
                                    .refs = 1};
    w->servers = servers_create(w->loop, &w->pool, w->figures);
    servers_bind(w->servers, w->upstreams, 2);
    w->schedule = schedule_create(w->servers);
    w->gate = gate_create(w->loop, w->schedule);
    const struct flight_parts parts = {w->loop, &w->pool,   w->servers, w->schedule,
                                       w->gate, w->figures, NULL};
    const struct flight_hooks hooks = {
        .completed = completed, .held = held_answer, .behind = look, .ctx = &w->held};
    w->flights = flight_table_create(&parts, &hooks);
}

static void end(struct world *w)
{
    assert_int_equal(flight_count(w->flights), 0);
    assert_int_equal(w->ended, 1);
    flight_table_destroy(w->flights);
    gate_destroy(w->gate);
    schedule_destroy(w->schedule);
    servers_destroy(w->servers);
    figures_destroy(w->figures);
    loop_destroy(w->loop);
    assert_int_equal(w->settings.refs, 1);
    for (size_t i = 0; i < w->pool.count; i++) {
        assert_true(w->pool.calls[i]->over);
        free(w->pool.calls[i]);
    }
}

static struct flight_spec spec_of(struct world *w, int kind)
{
    return (struct flight_spec){.settings = &w->settings,
                                .kind = kind,
                                .upstream = 0,
                                .endpoint = ENDPOINT_CHAT,
                                .target = SPAN("/v1/chat/completions"),
                                .body = SPAN("{\"model\":\"m\",\"messages\":[{\"role\":\"user\","
                                             "\"content\":\"x\"}]}"),
                                .model = SPAN("m"),
                                .fallback = {.upstream = -1}};
}

static void send(struct world *w, const struct flight_spec *spec, struct flight_waiter *waiter)
{
    *waiter = (struct flight_waiter){.done = on_end, .ctx = w};
    flight_begin(w->flights, spec, waiter);
    if (!flight_debounce(waiter)) {
        flight_enqueue(waiter);
    }
    fake_loop_advance(w->loop, 0);
}

static void submit(struct world *w, int fallback)
{
    struct flight_spec spec = spec_of(w, KIND_TAGS);
    spec.fallback = (struct flight_fallback){.upstream = fallback,
                                             .target = SPAN("/v1/chat/completions"),
                                             .body = SPAN("{\"model\":\"n\"}"),
                                             .model = SPAN("n")};
    send(w, &spec, &w->waiter);
}

static const struct hash_key ann = {.hi = 1, .lo = 1};

static void type(struct world *w, const char *text, struct flight_waiter *waiter)
{
    struct flight_spec spec = spec_of(w, KIND_AUTOCOMPLETE);
    spec.shared = spec.join = spec.store = true;
    spec.completion.usable = true;
    spec.completion.who =
        (struct typist_arrival){.person = ann, .text = span_of(text), .one_user = true};
    spec.hash = (struct hash_key){.hi = strlen(text), .lo = 7};
    spec.material = span_of(text);
    send(w, &spec, waiter);
}

static void note_state(void *ctx, const struct flight_view *v)
{
    *(const char **)ctx = v->state;
}

static void is_in(struct world *w, const char *state)
{
    const char *now = "none";
    fake_loop_advance(w->loop, 0);
    flight_each(w->flights, note_state, &now);
    assert_string_equal(now, state);
}

static struct upstream_call *last(struct world *w)
{
    assert_true(w->pool.count > 0 && !w->pool.calls[w->pool.count - 1]->over);
    return w->pool.calls[w->pool.count - 1];
}

static void reply(struct world *w, int status, const char *header, const char *value,
                  const char *body)
{
    struct upstream_call *c = last(w);
    struct http_header headers[2] = {{SPAN("Content-Type"), SPAN("application/json")},
                                     {span_of(header), span_of(value)}};
    struct upstream_report report = {.result = UPSTREAM_DONE, .why = "", .got_head = true};
    c->over = true;
    c->events->on_head(c->ctx, status, SPAN("x"), headers, 2, -1);
    (void)c->events->on_data(c->ctx, span_of(body));
    c->events->on_done(c->ctx, &report);
    fake_loop_advance(w->loop, 0);
}

static void answer(struct world *w)
{
    reply(w, 200, "X-Other", "",
          "{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"Fine.\"},"
          "\"finish_reason\":\"stop\"}]}");
}

static void refuse_connection(struct world *w)
{
    struct upstream_call *c = last(w);
    struct upstream_report report = {.result = UPSTREAM_UNREACHABLE, .why = "refused"};
    c->over = true;
    c->events->on_done(c->ctx, &report);
    fake_loop_advance(w->loop, 0);
}

/* ---- real flights ---- */

static void called_and_answered(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    submit(&w, -1);
    is_in(&w, "running");
    answer(&w);
    is_in(&w, "none");
    assert_int_equal(w.end.result, FLIGHT_RESULT_ANSWER);
    assert_true(w.end.stored);
    end(&w);
}

static void preempted_and_called_again(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    submit(&w, -1);
    struct schedule_interactive chat = {.to = &w.upstreams[0], .kind = SCHEDULE_CHAT};
    gate_interactive_began(w.gate, &chat);
    assert_true(w.pool.calls[0]->aborted);
    is_in(&w, "waiting");
    assert_int_equal(w.ended, 0);
    gate_interactive_ended(w.gate, &chat, false);
    is_in(&w, "running");
    answer(&w);
    assert_int_equal(w.pool.count, 2);
    end(&w);
}

static void asked_again_and_failed(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    submit(&w, -1);
    refuse_connection(&w);
    is_in(&w, "running"); /* once more on another connection */
    refuse_connection(&w);
    is_in(&w, "none");
    assert_int_equal(w.end.result, FLIGHT_RESULT_FAILED);
    assert_int_equal(w.end.error, HTTP_ERROR_UPSTREAM_UNREACHABLE);
    end(&w);
}

static void throttled_and_called_later(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    submit(&w, -1);
    reply(&w, 429, "Retry-After", "5", "{}");
    is_in(&w, "waiting");
    fake_loop_advance(w.loop, 5 * USEC_PER_S);
    is_in(&w, "running");
    answer(&w);
    assert_int_equal(w.end.result, FLIGHT_RESULT_ANSWER);
    end(&w);
}

static void fell_back_from_a_call(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    submit(&w, 1);
    refuse_connection(&w);
    refuse_connection(&w);
    is_in(&w, "running");
    assert_string_equal(last(&w)->upstream, "there");
    answer(&w);
    assert_true(w.end.fell_back);
    end(&w);
}

static void fell_back_before_it_was_queued(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    server_of(w.servers, &w.upstreams[0])->throttled_until =
        (mono_t){loop_now(w.loop).us + USEC_PER_S};
    submit(&w, 1);
    assert_string_equal(last(&w)->upstream, "there");
    answer(&w);
    end(&w);
}

static void fell_back_and_failed_in_the_queue(void **state)
{
    (void)state;
    for (int fallback = -1; fallback <= 1; fallback += 2) {
        struct world w;
        begin(&w);
        struct schedule_interactive chat = {.to = &w.upstreams[0], .kind = SCHEDULE_CHAT};
        gate_interactive_began(w.gate, &chat);
        submit(&w, fallback);
        is_in(&w, "waiting");
        for (int i = 0; i < 3; i++) {
            breaker_failure(server_of(w.servers, &w.upstreams[0]), &w.upstreams[0],
                            loop_now(w.loop));
        }
        gate_interactive_ended(w.gate, &chat, false);
        fake_loop_advance(w.loop, 0);
        if (fallback >= 0) {
            assert_string_equal(last(&w)->upstream, "there");
            answer(&w);
        } else {
            assert_int_equal(w.end.result, FLIGHT_RESULT_FAILED);
            assert_int_equal(w.pool.count, 0);
        }
        end(&w);
    }
}

static void left_in_the_queue_and_in_a_call(void **state)
{
    (void)state;
    for (int calling = 0; calling <= 1; calling++) {
        struct world w;
        begin(&w);
        struct schedule_interactive chat = {.to = &w.upstreams[0], .kind = SCHEDULE_CHAT};
        if (!calling) {
            gate_interactive_began(w.gate, &chat);
        }
        submit(&w, -1);
        is_in(&w, calling ? "running" : "waiting");
        flight_leave(w.flights, &w.waiter);
        is_in(&w, "none");
        assert_int_equal(w.pool.count, calling);
        assert_int_equal(w.ended, 0);
        w.ended = 1; /* what end() expects of the others */
        if (!calling) {
            gate_interactive_ended(w.gate, &chat, false);
        }
        end(&w);
    }
}

/* It was answered empty, and no flight is left. */
static void typed_ends(struct world *w, enum outcome outcome)
{
    is_in(w, "none");
    assert_int_equal(w->end.result, FLIGHT_RESULT_EMPTY);
    assert_int_equal(w->end.outcome, outcome);
    end(w);
}

static void held_and_sent(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    type(&w, "How do I write a small daemon", &w.waiter);
    is_in(&w, "held");
    const struct flight_sent sent = {
        .person = ann, .paragraph = SPAN("How do I write a small daemon"), .first_turn = true};
    flight_chat_sent(w.flights, &sent);
    typed_ends(&w, OUTCOME_SENT);
}

static void held_and_superseded(void **state)
{
    (void)state;
    struct world w;
    struct flight_waiter newer;
    begin(&w);
    type(&w, "How do I write", &w.waiter);
    type(&w, "How do I write a", &newer);
    assert_int_equal(w.ended, 1);
    assert_int_equal(w.end.outcome, OUTCOME_SUPERSEDED);
    is_in(&w, "held");
    flight_leave(w.flights, &newer); /* left while it is held */
    is_in(&w, "none");
    end(&w);
}

static void queued_and_busy(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    struct schedule_interactive chat = {.to = &w.upstreams[0], .kind = SCHEDULE_CHAT};
    gate_interactive_began(w.gate, &chat);
    type(&w, "How do I write", &w.waiter);
    fake_loop_advance(w.loop, 500 * USEC_PER_MS);
    is_in(&w, "waiting");
    fake_loop_advance(w.loop, 300 * USEC_PER_MS);
    gate_interactive_ended(w.gate, &chat, false);
    typed_ends(&w, OUTCOME_BUSY);
}

static void held_and_answered_by_a_remainder(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    type(&w, "How do I write", &w.waiter);
    w.held = true;
    fake_loop_advance(w.loop, 500 * USEC_PER_MS);
    is_in(&w, "none");
    assert_int_equal(w.end.result, FLIGHT_RESULT_ANSWER);
    assert_true(w.end.held);
    end(&w);
}

static void called_and_past_the_deadline(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    w.kinds[KIND_AUTOCOMPLETE].deadline = 2 * USEC_PER_S;
    type(&w, "How do I write", &w.waiter);
    fake_loop_advance(w.loop, 600 * USEC_PER_MS);
    is_in(&w, "running");
    fake_loop_advance(w.loop, 2 * USEC_PER_S);
    assert_int_equal(w.ended, 1);
    assert_int_equal(w.end.outcome, OUTCOME_DEADLINE);
    is_in(&w, "running"); /* detached: its answer is kept */
    fake_loop_advance(w.loop, 30 * USEC_PER_S);
    typed_ends(&w, OUTCOME_DEADLINE);
}

/* A call under way, and a longer text that follows it. */
static void lead(struct world *w, struct flight_waiter *follower)
{
    begin(w);
    type(w, "How do I write", &w->waiter);
    fake_loop_advance(w->loop, 500 * USEC_PER_MS);
    is_in(w, "running");
    type(w, "How do I write a", follower);
    is_in(w, "following"); /* the newest */
    assert_int_equal(w->pool.count, 1);
}

#define SUGGESTION(text)                                                                           \
    "{\"choices\":[{\"message\":{\"role\":\"assistant\",\"content\":\"{\\\"text\\\": \\\"" text    \
    "\\\"}\"},\"finish_reason\":\"stop\"}]}"

static void followed_and_answered(void **state)
{
    (void)state;
    struct world w;
    struct flight_waiter follower;
    lead(&w, &follower);
    reply(&w, 200, "X-Other", "", SUGGESTION(" a parser"));
    is_in(&w, "none");
    assert_int_equal(w.ended, 2); /* both */
    w.ended = 1;
    end(&w);
}

static void followed_and_released(void **state)
{
    (void)state;
    struct world w;
    struct flight_waiter follower;
    lead(&w, &follower);
    reply(&w, 200, "X-Other", "", SUGGESTION(" the parser"));
    assert_int_equal(w.ended, 1);
    is_in(&w, "held"); /* the remainder of its own window */
    fake_loop_advance(w.loop, 500 * USEC_PER_MS);
    is_in(&w, "running");
    reply(&w, 200, "X-Other", "", SUGGESTION(" parser"));
    assert_int_equal(w.pool.count, 2);
    assert_int_equal(w.ended, 2);
    w.ended = 1;
    end(&w);
}

static void a_follow_up_is_obsolete(void **state)
{
    (void)state;
    struct world w;
    begin(&w);
    struct flight_spec spec = spec_of(&w, KIND_FOLLOW_UP);
    const struct schedule_conversation chat = {.person = ann, .chat = {.hi = 5, .lo = 5}};
    spec.turn.conversation = chat;
    w.waiter = (struct flight_waiter){.done = on_end, .ctx = &w, .chat = chat.chat};
    flight_begin(w.flights, &spec, &w.waiter);
    flight_enqueue(&w.waiter);
    is_in(&w, "running");
    flight_moved_on(w.flights, &chat, NULL);
    typed_ends(&w, OUTCOME_OBSOLETE);
}

static void note_looks(void *ctx)
{
    *(int *)ctx = looks;
}

/* Each once, and not all of them at once, however many replies a turn has. */
static void a_reply_is_looked_at_for_waiting_tasks_in_parts(void **state)
{
    (void)state;
    enum { WAITING = 40, AT_ONCE = 8 };
    struct world w;
    struct flight_waiter waiters[WAITING];
    begin(&w);
    submit(&w, -1); /* it has the slot */
    struct flight_spec spec = spec_of(&w, KIND_TITLE);
    spec.behind.wanted = spec.behind.later = true;
    for (size_t i = 0; i < WAITING; i++) {
        send(&w, &spec, &waiters[i]);
    }
    int of_turn = 0;
    struct loop_deferred note = {.fn = note_looks, .ctx = &of_turn};
    looks = 0;
    for (size_t i = 0; i < AT_ONCE; i++) {
        flight_replied(w.flights);
    }
    loop_defer(w.loop, &note);
    fake_loop_advance(w.loop, 0);
    assert_in_range(of_turn, 1, AT_ONCE);
    assert_int_equal(looks, WAITING);
    flight_replied(w.flights);
    fake_loop_advance(w.loop, 0);
    assert_int_equal(looks, 2 * WAITING);
    flight_replied(w.flights);
    for (size_t i = 0; i < WAITING; i++) {
        flight_leave(w.flights, &waiters[i]);
    }
    answer(&w);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_in_every_state),
        cmocka_unit_test(every_state_is_reached_and_left),
        cmocka_unit_test(called_and_answered),
        cmocka_unit_test(a_reply_is_looked_at_for_waiting_tasks_in_parts),
        cmocka_unit_test(preempted_and_called_again),
        cmocka_unit_test(asked_again_and_failed),
        cmocka_unit_test(throttled_and_called_later),
        cmocka_unit_test(fell_back_from_a_call),
        cmocka_unit_test(fell_back_before_it_was_queued),
        cmocka_unit_test(fell_back_and_failed_in_the_queue),
        cmocka_unit_test(left_in_the_queue_and_in_a_call),
        cmocka_unit_test(held_and_sent),
        cmocka_unit_test(held_and_superseded),
        cmocka_unit_test(queued_and_busy),
        cmocka_unit_test(held_and_answered_by_a_remainder),
        cmocka_unit_test(called_and_past_the_deadline),
        cmocka_unit_test(followed_and_answered),
        cmocka_unit_test(followed_and_released),
        cmocka_unit_test(a_follow_up_is_obsolete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
