/* test_refusal.c: servers that refuse what lull adds to a task: asked once more as the client wrote
 * it, whatever the error; and what of it is remembered, for how long, and for which model.
 */
#include "scenario/scenario.h"

#include "lull/path/dialect/overrides.h"
#include "lull/path/exchange/exchange.h"
#include "lull/path/flight/flight.h"
#include "lull/path/server/refusal.h"

#define OPENAI "/v1/chat/completions"

/* With all that may be added. */
static const char *const all[] = {"upstream.default.slots=64",
                                  "tasks.settle=0",
                                  "tasks.json_schema=yes",
                                  "tasks.temperature=0.1",
                                  "tasks.id_slot=1",
                                  "tasks.extra={\"top_k\": 5}",
                                  NULL};
static const char *const plain[] = {"upstream.default.slots=64", "tasks.settle=0", NULL};

/* By which text in a body each addition is known. */
static const char *const marks[ADDITIONS] = {
    "top_k",       "response_format", "id_slot",        "keep_alive", "chat_template_kwargs",
    "temperature", "stream_options",  "\"stream\":true"};

/* What a server refuses, how, and what it says. */
struct strict {
    unsigned refuses; /* additions */
    int status;
    bool in_band, as_text; /* inside a stream of status 200; the code as a string */
    bool names;            /* the error names the first that is refused, of the most suspicious */
    size_t calls, refused;
};

static unsigned additions_in(const char *body)
{
    unsigned set = 0;
    for (size_t i = 0; i < ADDITIONS; i++) {
        set |= strstr(body, marks[i]) != NULL ? 1U << i : 0;
    }
    return set;
}

static void refuse(const struct strict *s, struct upstream_call *call, unsigned bad)
{
    char text[256];
    unsigned first = 0;
    while ((bad & 1U << first) == 0) {
        first++;
    }
    const char *name = !s->names ? "bad request" : first == 7 ? "stream" : marks[first];
    snprintf(text, sizeof text, "{\"error\":{\"message\":\"no '%s'\",\"code\":%s%d%s}}", name,
             s->as_text ? "\"" : "", s->status, s->as_text ? "\"" : "");
    if (!s->in_band) {
        model_refuse(call, s->status, "", text);
        return;
    }
    char line[512];
    snprintf(line, sizeof line, "data: %s\n\n", text);
    model_head(call, 200, "text/event-stream");
    model_data(call, line);
    model_end(call);
}

/* Answers the task of client c; returns how many calls it took. */
static size_t serve(struct world *w, struct client *c, struct strict *s)
{
    size_t before = model_calls(w);
    for (size_t i = before - 1; !client_answered(c); i++) {
        struct upstream_call *call = model_call(w, i);
        unsigned bad = additions_in(model_body(call)) & s->refuses;
        s->calls++;
        if (bad != 0) {
            s->refused++;
            refuse(s, call, bad);
        } else {
            model_answer(call, "{\"title\": \"Good\"}");
        }
    }
    assert_has(client_reply(c), "HTTP/1.1 200 ");
    return model_calls(w) - before + 1;
}

/* One title through the server. */
static size_t title(struct world *w, struct strict *s)
{
    static unsigned n;
    char user[32];
    struct client *c = client_open(w);
    snprintf(user, sizeof user, "Question %u?", n++);
    client_post(c, OPENAI, "", ask_title(user, "Fine."));
    size_t calls = serve(w, c, s);
    client_close(c);
    world_pass(w, 0);
    return calls;
}

/* The additions of the last call. */
static unsigned last_had(struct world *w)
{
    return additions_in(model_body(model_call(w, model_calls(w) - 1)));
}

static unsigned every(struct world *w)
{
    struct strict tolerant = {0};
    title(w, &tolerant);
    return last_had(w);
}

struct seen {
    size_t count;
    char text[512];
};

static void note(void *ctx, const struct refusal_view *v)
{
    struct seen *s = ctx;
    size_t used = strlen(s->text);
    s->count++;
    snprintf(s->text + used, sizeof s->text - used, "%s %s %s %s,", v->upstream, v->model,
             v->addition, v->proven ? "proven" : "suspected");
}

static struct seen seen(struct world *w)
{
    struct seen s = {0};
    refusal_each(world_servers(w), loop_now(world_loop(w)), note, &s);
    return s;
}

/* Titles until nothing is left to find out; how many had more than one call. */
static size_t settle(struct world *w, struct strict *s)
{
    size_t more = 0;
    for (size_t calls = 2; calls > 1 || strstr(seen(w).text, "suspected") != NULL;) {
        calls = title(w, s);
        assert_in_range(calls, 1, 2); /* never more than one more */
        more += calls - 1;
        assert_true(more <= 2 * ADDITIONS);
    }
    return more;
}

static void once_more_as_written_whatever_the_error(void **state)
{
    static const int statuses[] = {400, 402, 404, 405, 406, 409, 413, 415, 418,
                                   422, 424, 451, 500, 501, 502, 507, 520, 599};
    (void)state;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        for (int form = 0; form < 3; form++) {
            struct world *w = world_begin(plain);
            struct client *c = client_open(w);
            struct strict s = {.refuses = ADDITION_ALL,
                               .status = statuses[i],
                               .in_band = form > 0,
                               .as_text = form == 2};
            client_post(c, OPENAI, "", ask_title("How are you?", "Fine."));
            assert_int_equal(serve(w, c, &s), 2);
            assert_string_equal(model_body(model_call(w, 1)), ask_title("How are you?", "Fine."));
            assert_int_equal(world_task(w, "title")->failed, 0);
            world_end(w);
        }
    }
}

static void not_where_the_error_is_about_something_else(void **state)
{
    static const int statuses[] = {401, 403, 408, 429, 503, 504, 522, 524, 529};
    (void)state;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        for (int form = 0; form < 3; form++) {
            static const char *const sets[] = {"upstream.default.slots=64", "tasks.max_hold=0",
                                               "task.title.max_hold=0", NULL};
            struct world *w = world_begin(sets);
            struct client *c = client_open(w);
            struct strict s = {.status = statuses[i], .in_band = form > 0, .as_text = form == 2};
            char status[32];
            client_post(c, OPENAI, "", ask_title("How are you?", "Fine."));
            refuse(&s, model_call(w, 0), ADDITION_ALL);
            snprintf(status, sizeof status, "HTTP/1.1 %d ", statuses[i]);
            assert_has(client_reply(c), status);
            assert_int_equal(model_calls(w), 1);
            world_end(w);
        }
    }
}

/* What the first call of a title brings; then good ones. */
struct odd {
    const char *type, *body;
    bool breaks;
    size_t calls; /* of that title */
};

static void play(struct upstream_call *call, const struct odd *odd)
{
    if (odd->type != NULL) {
        model_head(call, 200, odd->type);
        model_data(call, odd->body);
    }
    if (odd->breaks) {
        model_break(call, false);
    } else {
        model_end(call);
    }
}

/* Pages, empty bodies, cut streams: asked once more where no token had come, and nothing is
 * remembered: the next title has all additions. */
static void what_is_no_refusal_teaches_nothing(void **state)
{
    static const struct odd rows[] = {
        {"text/html", "<html>busy</html>", false, 2},
        {"text/html; charset=utf-8", "<html>", true, 2},
        {"text/event-stream", "", false, 1}, /* empty: a broken answer */
        {"text/event-stream", "", true, 2},
        {"application/json", "", false, 1},
        {"text/event-stream", ": ping\n\n", false, 2},
        {"application/json", "null", false, 2},
        {"application/json", "{\"ok\":true}", false, 2},
        {"text/event-stream", ": ping\n\n", true, 2},
        {"text/event-stream",
         "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n", true, 2},
        {"text/event-stream", "data: {\"error\":{\"message\":\"the runner has died\"}}\n\n", false,
         2},
        {NULL, "", true, 2},
        /* the answer has begun */
        {"text/event-stream",
         "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"{\"}}]}\n\n", true, 1},
        {"text/event-stream",
         "data: {\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"so\"}}]}\n\n", true,
         1},
        {"text/event-stream", "data: {\"choices\":[{\"index\":0,\"del", true, 1},
        {"application/json", "{\"choices\":[{\"index\":0,\"mess", true, 1},
        {"text/event-stream",
         "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"{\"}}]}\n\n"
         "data: {\"error\":{\"code\":400}}\n\n",
         false, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct world *w = world_begin(all);
        struct client *c = client_open(w);
        unsigned whole = every(w);
        size_t before = model_calls(w);
        client_post(c, OPENAI, "", ask_title("How are you?", "Fine."));
        play(model_call(w, before), &rows[i]);
        if (model_calls(w) != before + rows[i].calls) {
            fail_msg("%s: %zu calls", rows[i].body, model_calls(w) - before);
        }
        if (rows[i].calls == 2) {
            assert_string_equal(model_body(model_call(w, before + 1)),
                                ask_title("How are you?", "Fine."));
            model_answer(model_call(w, before + 1), "{\"title\": \"Good\"}");
            assert_has(client_reply(c), "HTTP/1.1 200 ");
        } else {
            assert_true(client_answered(c));
        }
        assert_int_equal(every(w), whole);
        assert_int_equal(seen(w).count, 0);
        world_end(w);
    }
}

/* One title of a server whose streams cannot be read, and whose plain answers can; returns its
 * calls. */
static size_t unread(struct world *w, const char *type, const char *body)
{
    struct client *c = client_open(w);
    size_t before = model_calls(w);
    static unsigned n;
    char user[32];
    snprintf(user, sizeof user, "Strange %u?", n++);
    client_post(c, OPENAI, "", ask_title(user, "Fine."));
    struct upstream_call *call = model_call(w, before);
    if ((additions_in(model_body(call)) & ADDITION_STREAM) != 0) {
        model_head(call, 200, type);
        model_data(call, body);
        model_end(call);
        call = model_call(w, before + 1);
    }
    model_answer(call, "{\"title\": \"Good\"}");
    assert_has(client_reply(c), "HTTP/1.1 200 ");
    client_close(c);
    world_pass(w, 0);
    return model_calls(w) - before;
}

static const char strange[] = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":7}}]}\n\n";
static const char unmarked[] =
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Sure: \"}}]}\n\n";

/* Each task would be asked twice for as long as the server runs. */
static void a_stream_that_cannot_be_read_twice_in_a_row_is_left_out(void **state)
{
    static const char *const bodies[] = {strange, unmarked};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct world *w = world_begin(all);
        assert_int_equal(unread(w, "text/event-stream", bodies[i]), 2);
        every(w); /* one that is read */
        assert_int_equal(unread(w, "text/event-stream", bodies[i]), 2);
        assert_int_equal(seen(w).count, 0);
        assert_int_equal(unread(w, "text/event-stream", bodies[i]), 2);
        assert_string_equal(seen(w).text, "default m stream proven,");
        assert_int_equal(unread(w, "text/event-stream", bodies[i]), 1);
        world_end(w);
    }
    struct world *w = world_begin(all);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(unread(w, "text/html", "<html>busy</html>"), 2);
    }
    assert_int_equal(seen(w).count, 0);
    world_end(w);
}

/* One title, of a model that answers so however it is asked; returns its calls. */
static size_t always(struct world *w, const char *streamed, const char *whole, const char *reply)
{
    struct client *c = client_open(w);
    size_t before = model_calls(w);
    static unsigned n;
    char user[32];
    snprintf(user, sizeof user, "Odd %u?", n++);
    client_post(c, OPENAI, "", ask_title(user, "Fine."));
    for (size_t i = before; i < model_calls(w); i++) {
        struct upstream_call *call = model_call(w, i);
        bool stream = (additions_in(model_body(call)) & ADDITION_STREAM) != 0;
        model_head(call, 200, stream ? "text/event-stream" : "application/json");
        model_data(call, stream ? streamed : whole);
        model_end(call);
    }
    assert_has(client_reply(c), reply);
    client_close(c);
    world_pass(w, 0);
    return model_calls(w) - before;
}

/* A model that calls a tool in answer to each title would be asked twice each time. */
static void what_is_odd_either_way_is_asked_for_as_written_at_once(void **state)
{
    static const char streamed[] =
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\","
        "\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\n\n"
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n"
        "data: [DONE]\n\n";
    static const char called[] =
        "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":null,"
        "\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"arguments\":\"{}\"}}]},\"finish_reason\":\"tool_calls\"}]}";
    static const char good[] =
        "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
        "\"{\\\"title\\\": \\\"Good\\\"}\"},\"finish_reason\":\"stop\"}]}";
    (void)state;
    struct world *w = world_begin(all);
    assert_int_equal(always(w, streamed, called, "tool_calls"), 2);
    assert_int_equal(unread(w, "text/event-stream", streamed), 2); /* not either way */
    assert_int_equal(always(w, streamed, called, "tool_calls"), 2);
    unsigned had = every(w);
    assert_int_equal(always(w, streamed, called, "tool_calls"), 2);
    assert_int_equal(always(w, streamed, called, "tool_calls"), 2);
    assert_int_equal(always(w, streamed, called, "tool_calls"), 1);
    assert_int_equal(always(w, streamed, called, "tool_calls"), 1);
    assert_int_equal(every(w), 0); /* it was plain */
    assert_int_equal(every(w), had);
    assert_int_equal(always(w, streamed, good, "Good"), 2);
    world_end(w);
}

/* Each addition refused alone costs that addition only, whether the error names it or not. */
static void a_refused_addition_costs_that_one_only(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < ADDITIONS; bit++) {
        for (int names = 0; names < 2; names++) {
            struct world *w = world_begin(all);
            unsigned whole = every(w);
            if ((whole & 1U << bit) == 0) {
                world_end(w);
                continue; /* not in this dialect */
            }
            struct strict s = {.refuses = 1U << bit, .status = 400, .names = names != 0};
            size_t more = settle(w, &s);
            unsigned gone = bit == 7 ? ADDITION_STREAM | ADDITION_STREAM_USAGE : 1U << bit;
            assert_int_equal(last_had(w), whole & ~gone);
            if (names != 0 && bit != 7) {
                assert_int_equal(more, 1); /* the name is all that it takes */
            }
            world_end(w);
        }
    }
}

static void a_refused_schema_is_the_first_suspect(void **state)
{
    static const char *const schema[] = {"upstream.default.slots=64", "tasks.settle=0",
                                         "tasks.json_schema=yes", NULL};
    static const int statuses[] = {400, 405, 415, 422, 500, 501};
    (void)state;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        struct world *w = world_begin(schema);
        struct strict s = {.refuses = ADDITION_SCHEMA, .status = statuses[i]};
        assert_int_equal(title(w, &s), 2);
        assert_int_equal(title(w, &s), 1);
        unsigned had = last_had(w);
        assert_int_equal(had & ADDITION_SCHEMA, 0);
        assert_int_equal(had & ADDITION_STREAM, ADDITION_STREAM);
        assert_int_equal(had & ADDITION_THINK, ADDITION_THINK);
        world_end(w);
    }
}

/* Any set may be refused: what is left is exactly what is taken. */
static void any_set_is_found_out(void **state)
{
    enum { STRIDE = 7 }; /* prime to 256: all bits meet */
    (void)state;
    for (unsigned set = 1; set < ADDITION_ALL; set += STRIDE) {
        struct world *w = world_begin(all);
        unsigned whole = every(w);
        struct strict s = {.refuses = set, .status = 400, .names = set % 3 == 0};
        settle(w, &s);
        unsigned left = whole & ~set;
        left &= (set & ADDITION_STREAM) != 0 ? ~(unsigned)ADDITION_STREAM_USAGE : ~0U;
        if (last_had(w) != left) {
            fail_msg("refused %x: left %x, not %x", set, last_had(w), left);
        }
        world_end(w);
    }
}

static void a_server_that_does_not_know_stream_gets_the_next_one_bare(void **state)
{
    (void)state;
    struct world *w = world_begin(plain);
    struct strict s = {.refuses = ADDITION_ALL, .status = 400, .names = true};
    /* the names come in the order of the body there */
    struct client *c = client_open(w);
    client_post(c, OPENAI, "", ask_title("How are you?", "Fine."));
    model_refuse(model_call(w, 0), 400, "", "{\"error\":{\"message\":\"unknown field stream\"}}");
    model_answer(model_call(w, 1), "{\"title\": \"Good\"}");
    assert_int_equal(title(w, &s), 1);
    assert_int_equal(last_had(w), 0);
    world_end(w);
}

static void it_is_forgotten_after_an_hour_and_with_a_reload(void **state)
{
    static const char *const changed[] = {"upstream.default.slots=64", "tasks.settle=0",
                                          "tasks.json_schema=yes", "task.title.ttl=1h", NULL};
    (void)state;
    struct world *w = world_begin(all);
    unsigned whole = every(w);
    struct strict s = {.refuses = ADDITION_THINK, .status = 400, .names = true};
    settle(w, &s);
    struct seen before = seen(w);
    assert_string_equal(before.text, "default m think proven,");
    world_pass(w, 3590 * USEC_PER_S);
    assert_int_equal(title(w, &s), 1);
    world_pass(w, 20 * USEC_PER_S);
    assert_int_equal(title(w, &s), 2); /* tried again, refused again */
    assert_int_equal(title(w, &s), 1);
    world_pass(w, 3700 * USEC_PER_S);
    assert_int_equal(every(w), whole);
    settle(w, &s);
    assert_int_equal(seen(w).count, 1);
    world_reload(w, changed);
    assert_int_equal(seen(w).count, 0);
    assert_int_equal(every(w) & ADDITION_THINK, ADDITION_THINK);
    world_end(w);
}

/* A 500 may have been a coincidence: it costs what was suspected for five minutes. */
static void a_500_is_doubted(void **state)
{
    (void)state;
    struct world *w = world_begin(plain);
    unsigned whole = every(w);
    struct strict once = {.refuses = ADDITION_ALL, .status = 500};
    struct strict never = {0};
    assert_int_equal(title(w, &once), 2);
    assert_int_equal(title(w, &never), 1);
    assert_int_equal(last_had(w), whole & ~(unsigned)ADDITION_THINK);
    assert_int_equal(title(w, &never), 1);
    world_pass(w, 299 * USEC_PER_S);
    title(w, &never);
    assert_int_equal(last_had(w), whole & ~(unsigned)ADDITION_THINK);
    world_pass(w, 2 * USEC_PER_S);
    assert_int_equal(every(w), whole);
    assert_int_equal(seen(w).count, 0);
    world_end(w);
}

static void it_holds_for_that_model_and_that_server(void **state)
{
    static const char *const two[] = {"upstream.default.slots=64", "tasks.settle=0",
                                      "upstream.other.url=http://other.test",
                                      "upstream.other.slots=64", NULL};
    (void)state;
    struct world *w = world_begin(two);
    struct strict s = {.refuses = ADDITION_THINK, .status = 400, .names = true};
    settle(w, &s);
    struct client *c = client_open(w);
    client_post(c, "/@other" OPENAI, "", ask_title("There?", "Fine."));
    assert_int_equal(last_had(w) & ADDITION_THINK, ADDITION_THINK);
    struct strict tolerant = {0};
    serve(w, c, &tolerant);
    char body[2048];
    snprintf(body, sizeof body, "{\"model\":\"another\",%s",
             strchr(ask_title("A?", "Fine."), ',') + 1);
    client_clear(c);
    client_post(c, OPENAI, "", body);
    assert_int_equal(last_had(w) & ADDITION_THINK, ADDITION_THINK);
    serve(w, c, &tolerant);
    assert_int_equal(title(w, &s), 1); /* still known there */
    world_end(w);
}

/* A request that was refused both ways says nothing about additions. */
static void an_error_that_stays_teaches_nothing(void **state)
{
    (void)state;
    struct world *w = world_begin(all);
    unsigned whole = every(w);
    struct client *c = client_open(w);
    size_t before = model_calls(w);
    client_post(c, OPENAI, "", ask_title("How are you?", "Fine."));
    model_refuse(model_call(w, before), 400, "", "{\"error\":{\"message\":\"too long\"}}");
    model_refuse(model_call(w, before + 1), 400, "", "{\"error\":{\"message\":\"too long\"}}");
    assert_has(client_reply(c), "too long");
    assert_int_equal(model_calls(w), before + 2);
    assert_int_equal(every(w), whole);
    world_end(w);
}

/* A kind without the suspected addition proves nothing by being answered. */
static void another_kind_proves_nothing(void **state)
{
    static const char *const sets[] = {"upstream.default.slots=64", "tasks.settle=0",
                                       "task.title.json_schema=yes", NULL};
    (void)state;
    struct world *w = world_begin(sets);
    struct strict s = {.refuses = ADDITION_THINK, .status = 400};
    assert_int_equal(title(w, &s), 2); /* the schema is suspected first */
    struct client *c = client_open(w);
    client_post(c, OPENAI, "", ask_follow_up("How are you?", "Fine, and you?"));
    model_answer(model_call(w, model_calls(w) - 1), "{\"follow_ups\": [\"Why?\"]}");
    assert_string_equal(seen(w).text, "default m schema suspected,");
    settle(w, &s);
    assert_string_equal(seen(w).text, "default m think proven,");
    world_end(w);
}

/* The schema of a second try for an answer's form is refused: the first answer is the answer, and
 * the schema alone is remembered. */
static void a_second_try_that_is_refused_costs_the_schema(void **state)
{
    (void)state;
    for (int in_band = 0; in_band < 2; in_band++) {
        struct world *w = world_begin(plain);
        struct client *c = client_open(w);
        struct strict s = {.refuses = ADDITION_SCHEMA, .status = 422, .in_band = in_band != 0};
        client_post(c, OPENAI, "", ask_title("How are you?", "Fine."));
        model_answer(model_call(w, 0), "plain words");
        refuse(&s, model_call(w, 1), ADDITION_SCHEMA);
        assert_has(client_reply(c), "plain words");
        assert_string_equal(seen(w).text, "default m schema proven,");
        client_clear(c);
        client_post(c, OPENAI, "", ask_title("And now?", "Fine."));
        assert_int_equal(last_had(w) & ADDITION_STREAM, ADDITION_STREAM);
        model_answer(model_call(w, 2), "plain words again");
        assert_int_equal(model_calls(w), 3); /* not asked for by a schema */
        world_end(w);
    }
}

static void ollama_too(void **state)
{
    (void)state;
    static const char *const sets[] = {"upstream.default.slots=64",
                                       "upstream.default.dialect=ollama", "tasks.settle=0", NULL};
    struct world *w = world_begin(sets);
    struct client *c = client_open(w);
    const char *body = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],"
                       "\"stream\":false}";
    const char *header = "X-OpenWebUI-Task: title_generation\r\n";
    client_post(c, "/api/chat", header, body);
    assert_has(model_body(model_call(w, 0)), "\"stream\":true");
    assert_has(model_body(model_call(w, 0)), "\"think\":false");
    model_head(model_call(w, 0), 200, "application/x-ndjson");
    model_data(model_call(w, 0),
               "{\"error\":\"\\\"m\\\" does not support thinking\",\"code\":400}\n");
    model_end(model_call(w, 0));
    assert_string_equal(model_body(model_call(w, 1)), body);
    model_answer(model_call(w, 1), "{\"title\": \"Good\"}");
    assert_has(client_reply(c), "HTTP/1.1 200 ");
    client_clear(c);
    client_post(c, "/api/chat", header,
                "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"y\"}],"
                "\"stream\":false}");
    assert_has(model_body(model_call(w, 2)), "\"stream\":true");
    assert_has_not(model_body(model_call(w, 2)), "think");
    model_answer(model_call(w, 2), "{\"title\": \"Good\"}");
    assert_string_equal(seen(w).text, "default m think proven,");
    world_end(w);
}

/* Two tasks are under way with the same additions: one lesson. */
static void calls_that_began_before_the_lesson_teach_it_once(void **state)
{
    (void)state;
    struct world *w = world_begin(plain);
    struct client *a = client_open(w);
    struct client *b = client_open(w);
    client_post(a, OPENAI, "", ask_title("One?", "Fine."));
    client_post(b, OPENAI, "", ask_title("Two?", "Fine."));
    for (size_t i = 0; i < 2; i++) {
        const char *why = i == 0 ? "{\"error\":\"stream_options?\"}" : "{\"error\":\"no\"}";
        model_refuse(model_call(w, i), 400, "", why);
        model_answer(model_call(w, i + 2), "{\"title\": \"Good\"}");
    }
    assert_string_equal(seen(w).text, "default m stream_options suspected,");
    world_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(once_more_as_written_whatever_the_error),
        cmocka_unit_test(not_where_the_error_is_about_something_else),
        cmocka_unit_test(what_is_no_refusal_teaches_nothing),
        cmocka_unit_test(a_stream_that_cannot_be_read_twice_in_a_row_is_left_out),
        cmocka_unit_test(what_is_odd_either_way_is_asked_for_as_written_at_once),
        cmocka_unit_test(a_refused_addition_costs_that_one_only),
        cmocka_unit_test(a_refused_schema_is_the_first_suspect),
        cmocka_unit_test(any_set_is_found_out),
        cmocka_unit_test(a_server_that_does_not_know_stream_gets_the_next_one_bare),
        cmocka_unit_test(it_is_forgotten_after_an_hour_and_with_a_reload),
        cmocka_unit_test(a_500_is_doubted),
        cmocka_unit_test(it_holds_for_that_model_and_that_server),
        cmocka_unit_test(an_error_that_stays_teaches_nothing),
        cmocka_unit_test(another_kind_proves_nothing),
        cmocka_unit_test(a_second_try_that_is_refused_costs_the_schema),
        cmocka_unit_test(ollama_too),
        cmocka_unit_test(calls_that_began_before_the_lesson_teach_it_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
