/* test_assemble.c: forms of answers and errors that servers have, one row for each: what is
 * content, what ends an answer, what is an error and of which status, which figures are taken.
 */
#include "support/check.h"
#include "support/large_allocations.h"

#include "lull/path/dialect/answer.h"

#include <stdio.h>
#include <string.h>

static const char *const SSE = "text/event-stream";
static const char *const NDJSON = "application/x-ndjson";
static const char *const JSON = "application/json";

static enum assembled assemble(struct assembler *a, enum endpoint endpoint, const char *type,
                               struct span body, size_t step)
{
    assembler_init(a, endpoint, span_of(type));
    for (size_t at = 0; at < body.len; at += step) {
        size_t n = body.len - at < step ? body.len - at : step;
        assembler_feed(a, span_make(body.ptr + at, n));
    }
    return assembler_finish(a, true);
}

struct row {
    enum endpoint endpoint;
    const char *const *type;
    const char *body;
    enum assembled want;
    const char *content; /* of a whole answer */
};

static void check(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct span body = span_of(rows[i].body);
        for (size_t step = 1; step <= body.len + 2; step += body.len + 1) {
            struct assembler a;
            enum assembled got = assemble(&a, rows[i].endpoint, *rows[i].type, body, step);
            struct span content = buf_span(&a.answer.content);
            bool same = rows[i].content == NULL || span_eq(content, span_of(rows[i].content));
            if (got != rows[i].want || !same) {
                fail_msg("%s: %d, content %.*s", rows[i].body, (int)got, (int)content.len,
                         content.ptr);
            }
            assembler_free(&a);
        }
    }
}

#define DELTA(content) "data: {\"choices\":[{\"delta\":{\"content\":" content "}}]}\n\n"
#define STOP "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define DONE "data: [DONE]\n\n"
#define WHOLE(content)                                                                             \
    "{\"choices\":[{\"message\":{\"content\":" content "},\"finish_reason\":\"stop\"}]}"
#define CHAT(content) "{\"message\":{\"content\":" content "},\"done\":true}\n"
#define SAID(response) "{\"response\":" response ",\"done\":true}\n"
#define BOM "\xEF\xBB\xBF"

static void content_is_text(void **state)
{
    static const struct row rows[] = {
        {ENDPOINT_CHAT, &SSE, DELTA("\"a\"") DELTA("null") DELTA("\"b\"") STOP DONE, 0, "ab"},
        {ENDPOINT_CHAT, &SSE, DELTA("[{\"type\":\"text\",\"text\":\"a\"},{\"text\":\"b\"}]") STOP,
         0, "ab"},
        {ENDPOINT_CHAT, &SSE, DELTA("[{\"type\":\"output_text\",\"text\":\"a\"}]") STOP, 0, "a"},
        {ENDPOINT_CHAT, &SSE, DELTA("[]") DELTA("\"a\"") STOP, 0, "a"},
        {ENDPOINT_CHAT, &SSE,
         "data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: "
         "{\"choices\":[{\"text\":\"b\"}]}\n\n" STOP,
         0, "ab"},
        {ENDPOINT_CHAT, &SSE, "data: {\"choices\":[{\"text\":7}]}\n\n" STOP, ASSEMBLED_ODD, 0},
        {ENDPOINT_CHAT, &SSE, "data: " WHOLE("\"a\"") "\n\n" DONE, 0, "a"},
        {ENDPOINT_CHAT, &SSE, DELTA("\"a\"") "data: " WHOLE("\"a\"") "\n\n" DONE, 0, "a"},
        {ENDPOINT_OLLAMA_CHAT, &NDJSON, "\n" CHAT("\"a\""), 0, "a"},
        {ENDPOINT_CHAT, &SSE, "data: {}\n\ndata: {\"type\":\"ping\"}\n\n" DELTA("\"a\"") STOP DONE,
         0, "a"},
        {ENDPOINT_CHAT, &SSE,
         DELTA("\"a\"") STOP "data: {\"choices\":null,\"usage\":{\"prompt_tokens\":1}}\n\n" DONE, 0,
         "a"},
        {ENDPOINT_CHAT, &SSE,
         DELTA("\"a\"") STOP "data: {\"usage\":{\"prompt_tokens\":1}}\n\n" DONE, 0, "a"},
        {ENDPOINT_CHAT, &SSE, DELTA("\"a\"") "data: {\"usage\":7}\n\n" STOP, ASSEMBLED_ODD, 0},
        {ENDPOINT_CHAT, &JSON, "{\"usage\":{\"prompt_tokens\":1}}", ASSEMBLED_ODD, 0},
        {ENDPOINT_CHAT, &SSE,
         "data: {\"error\":null}\n\ndata: {\"error\":{}}\n\n" DELTA("\"a\"") STOP DONE, 0, "a"},
        {ENDPOINT_CHAT, &SSE, "data: {\"error\":null,\"text\":\"b\"}\n\n" DELTA("\"a\"") STOP,
         ASSEMBLED_ODD, 0},
        {ENDPOINT_OLLAMA_CHAT, &NDJSON, "{}\n{\"error\":\"\"}\n" CHAT("\"a\""), 0, "a"},
        {ENDPOINT_OLLAMA_CHAT, &NDJSON, "{}\n", ASSEMBLED_INCOMPLETE, 0},
        {ENDPOINT_CHAT, &JSON, "{\"choices\":null}", ASSEMBLED_ODD, 0},
        {ENDPOINT_CHAT, &JSON, "{}", ASSEMBLED_ODD, 0},
        {ENDPOINT_CHAT, &SSE, "data: {\"detail\":\"x\"}\n\n" DONE, ASSEMBLED_ODD, 0},
        {ENDPOINT_OLLAMA_CHAT, &JSON,
         "{\n \"message\": {\n  \"content\": \"a\"\n },\n \"done\": true\n}\n", 0, "a"},
        {ENDPOINT_OLLAMA_CHAT, &NDJSON, "{\n \"message\":\n {\"content\": \"a\"}, \"done\": true}",
         0, "a"},
        {ENDPOINT_OLLAMA_CHAT, &JSON, "{\n \"message\": {\n  \"content\": \"a\"\n",
         ASSEMBLED_INCOMPLETE, 0},
        {ENDPOINT_OLLAMA_CHAT, &NDJSON, "{\"message\": {\"content\": \"a\"}}\n{\n\"done\": true}\n",
         ASSEMBLED_ODD, 0},
        {ENDPOINT_CHAT, &SSE, DELTA("\"a\"") DELTA("66") DELTA("\"b\"") STOP DONE, ASSEMBLED_ODD,
         0},
        {ENDPOINT_CHAT, &SSE, DELTA("\"a\"") DELTA("true") STOP DONE, ASSEMBLED_ODD, 0},
        {ENDPOINT_CHAT, &SSE, DELTA("\"a\"") DELTA("{\"title\":\"A\"}") STOP, ASSEMBLED_ODD, 0},
        {ENDPOINT_CHAT, &SSE, DELTA("[{\"type\":\"image_url\"}]") STOP, ASSEMBLED_ODD, 0},
        {ENDPOINT_CHAT, &SSE, DELTA("[\"a\"]") STOP, ASSEMBLED_ODD, 0},
        {ENDPOINT_CHAT, &SSE, DELTA("\"a\\u0000b\"") STOP DONE, ASSEMBLED_ODD, 0},
        {ENDPOINT_CHAT, &SSE, DELTA("\"a\\\\\\u0000b\"") STOP DONE, ASSEMBLED_ODD, 0},
        {ENDPOINT_CHAT, &SSE, DELTA("\"a\\\\u0000b\"") STOP DONE, 0, "a\\u0000b"},
        {ENDPOINT_CHAT, &SSE, "data: {\"choices\":[{\"delta\":\"a\"}]}\n\n" STOP, ASSEMBLED_ODD, 0},
        {ENDPOINT_CHAT, &SSE, "data: {\"choices\":[\"a\"]}\n\n" STOP, ASSEMBLED_ODD, 0},
        {ENDPOINT_CHAT, &SSE,
         "data: {\"choices\":[{\"delta\":{\"reasoning_content\":7}}]}\n\n" DELTA("\"a\"") STOP,
         ASSEMBLED_ODD, 0},
        {ENDPOINT_CHAT, &SSE,
         "data: {\"choices\":[{\"delta\":{\"reasoning\":{}}}]}\n\n" DELTA("\"a\"") STOP,
         ASSEMBLED_ODD, 0},
        {ENDPOINT_CHAT, &JSON, WHOLE("\"a\""), 0, "a"},
        {ENDPOINT_CHAT, &JSON, WHOLE("null"), 0, ""},
        {ENDPOINT_CHAT, &JSON, WHOLE("[{\"type\":\"text\",\"text\":\"a\"}]"), 0, "a"},
        {ENDPOINT_CHAT, &JSON, WHOLE("{\"title\":\"A\"}"), ASSEMBLED_ODD, 0},
        {ENDPOINT_CHAT, &JSON, WHOLE("66"), ASSEMBLED_ODD, 0},
        {ENDPOINT_CHAT, &JSON, WHOLE("\"a\\u0000\""), ASSEMBLED_ODD, 0},
        {ENDPOINT_OLLAMA_CHAT, &NDJSON, CHAT("\"a\""), 0, "a"},
        {ENDPOINT_OLLAMA_CHAT, &NDJSON, CHAT("66"), ASSEMBLED_ODD, 0},
        {ENDPOINT_OLLAMA_CHAT, &NDJSON, CHAT("{\"title\":\"A\"}"), ASSEMBLED_ODD, 0},
        {ENDPOINT_OLLAMA_CHAT, &NDJSON, CHAT("\"a\\u0000\""), ASSEMBLED_ODD, 0},
        {ENDPOINT_OLLAMA_CHAT, &NDJSON, "{\"message\":\"a\",\"done\":true}\n", ASSEMBLED_ODD, 0},
        {ENDPOINT_OLLAMA_CHAT, &NDJSON,
         "{\"message\":{\"content\":\"a\",\"thinking\":1},\"done\":true}\n", ASSEMBLED_ODD, 0},
        {ENDPOINT_OLLAMA_GENERATE, &NDJSON, SAID("\"a\""), 0, "a"},
        {ENDPOINT_OLLAMA_GENERATE, &NDJSON, SAID("66"), ASSEMBLED_ODD, 0},
        {ENDPOINT_OLLAMA_GENERATE, &NDJSON, SAID("{\"title\":\"A\"}"), ASSEMBLED_ODD, 0},
        {ENDPOINT_OLLAMA_GENERATE, &NDJSON, "{\"response\":\"a\",\"thinking\":[1],\"done\":true}\n",
         ASSEMBLED_ODD, 0},
        /* a byte order mark */
        {ENDPOINT_CHAT, &SSE, BOM DELTA("\"a\"") STOP DONE, 0, "a"},
        {ENDPOINT_CHAT, &JSON, BOM WHOLE("\"a\""), 0, "a"},
        {ENDPOINT_OLLAMA_CHAT, &NDJSON, BOM CHAT("\"a\""), 0, "a"},
    };
    (void)state;
    check(rows, sizeof rows / sizeof rows[0]);
}

/* The client reads the answer by its charset: what is not ASCII is left to it. */
static void a_charset_that_is_not_utf_8_is_the_clients(void **state)
{
    static const char *const latin = "application/json; charset=ISO-8859-1";
    static const char *const utf8 = "application/json; charset=\"Utf-8\"";
    static const char *const stream = "text/event-stream; charset=iso-8859-1";
    static const char *const wide = "application/json; charset=utf-16";
    static const struct row rows[] = {
        {ENDPOINT_CHAT, &latin, WHOLE("\"a\""), 0, "a"},
        {ENDPOINT_CHAT, &latin, WHOLE("\"a\xE9\""), ASSEMBLED_ODD, 0},
        {ENDPOINT_CHAT, &latin, WHOLE("\"a\xC3\xA9\""), ASSEMBLED_ODD, 0},
        {ENDPOINT_OLLAMA_CHAT, &latin, CHAT("\"a\xE9\""), ASSEMBLED_ODD, 0},
        {ENDPOINT_CHAT, &utf8, WHOLE("\"a\xC3\xA9\""), 0, "a\xC3\xA9"},
        {ENDPOINT_CHAT, &stream, DELTA("\"a\xC3\xA9\"") STOP DONE, 0, "a\xC3\xA9"},
        {ENDPOINT_CHAT, &wide, "\xFF\xFE{", ASSEMBLED_ODD, 0},
    };
    (void)state;
    check(rows, sizeof rows / sizeof rows[0]);
}

static void an_answer_ends_with_a_mark_or_a_reason(void **state)
{
    static const struct row rows[] = {
        {ENDPOINT_CHAT, &SSE, DELTA("\"a\"") STOP, 0, "a"},
        {ENDPOINT_CHAT, &SSE, DELTA("\"a\"") DONE, 0, "a"},
        {ENDPOINT_CHAT, &SSE, DELTA("\"a\""), ASSEMBLED_UNMARKED, 0},
        {ENDPOINT_CHAT, &SSE, STOP DELTA("\"a\""), ASSEMBLED_UNMARKED, 0},
        {ENDPOINT_CHAT, &SSE, DELTA("\"\""), ASSEMBLED_INCOMPLETE, 0},
        {ENDPOINT_CHAT, &SSE,
         "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"null\"}]}\n\n",
         ASSEMBLED_UNMARKED, 0},
        {ENDPOINT_CHAT, &SSE,
         "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"\"}]}\n\n",
         ASSEMBLED_UNMARKED, 0},
        {ENDPOINT_CHAT, &SSE, DELTA("\"a\"") STOP "data: {\"choices\":[],\"usa", 0, "a"},
        {ENDPOINT_OLLAMA_CHAT, &NDJSON, CHAT("\"a\""), 0, "a"},
        {ENDPOINT_OLLAMA_CHAT, &NDJSON, "{\"message\":{\"content\":\"a\"}}\n{\"done\":true}\n", 0,
         "a"},
        {ENDPOINT_OLLAMA_CHAT, &NDJSON,
         "{\"message\":{\"content\":\"a\"}}\n{\"message\":null,\"done\":true}\n", 0, "a"},
        {ENDPOINT_OLLAMA_CHAT, &NDJSON, "{\"message\":{\"content\":\"a\"}}\n{\"done\":false}\n",
         ASSEMBLED_ODD, 0},
        {ENDPOINT_OLLAMA_CHAT, &NDJSON, "{\"message\":\"a\",\"done\":true}\n", ASSEMBLED_ODD, 0},
        {ENDPOINT_OLLAMA_CHAT, &JSON, "{\"message\":{\"content\":\"a\"}}", ASSEMBLED_UNMARKED, 0},
        /* cut */
        {ENDPOINT_CHAT, &SSE, DELTA("\"a\"") "data: {\"choices\":[{\"del", ASSEMBLED_INCOMPLETE, 0},
        {ENDPOINT_CHAT, &SSE, DELTA("\"a\"") "data: [DON", ASSEMBLED_INCOMPLETE, 0},
        {ENDPOINT_CHAT, &SSE, DELTA("\"a\"") "dat", ASSEMBLED_INCOMPLETE, 0},
        {ENDPOINT_CHAT, &SSE, "error: {\"code\":4", ASSEMBLED_INCOMPLETE, 0},
        {ENDPOINT_CHAT, &JSON, "{\"choices\":[{\"message\":{\"content\":\"a", ASSEMBLED_INCOMPLETE,
         0},
        {ENDPOINT_CHAT, &JSON, "{\"choices\":[{\"message\":{\"content\":\"a\\",
         ASSEMBLED_INCOMPLETE, 0},
        {ENDPOINT_OLLAMA_CHAT, &NDJSON, "{\"message\":{\"content\":\"a\"},\"done\":tr",
         ASSEMBLED_INCOMPLETE, 0},
        {ENDPOINT_OLLAMA_GENERATE, &JSON, "{\"response\":\"a\",\"done\":-", ASSEMBLED_INCOMPLETE,
         0},
        {ENDPOINT_CHAT, &JSON, "", ASSEMBLED_INCOMPLETE, 0},
        {ENDPOINT_CHAT, &SSE, " \r\n", ASSEMBLED_INCOMPLETE, 0},
        {ENDPOINT_OLLAMA_CHAT, &NDJSON, "", ASSEMBLED_INCOMPLETE, 0},
        /* no half of anything */
        {ENDPOINT_CHAT, &JSON, "{\"choices\":[}]", ASSEMBLED_ODD, 0},
        {ENDPOINT_CHAT, &JSON, "{\"answer\":\"a\"}", ASSEMBLED_ODD, 0},
        {ENDPOINT_CHAT, &JSON, "<html>", ASSEMBLED_ODD, 0},
    };
    (void)state;
    check(rows, sizeof rows / sizeof rows[0]);
}

static void servers_say_errors_in_many_ways(void **state)
{
    static const struct {
        enum endpoint endpoint;
        const char *body;
        int status; /* 0: it is no error */
    } rows[] = {
        {ENDPOINT_CHAT, "{\"error\":{\"code\":429}}", 429},
        {ENDPOINT_CHAT, "{\"error\":{\"code\":\"429\"}}", 429},
        {ENDPOINT_CHAT, "{\"error\":{\"code\":\" 400 \"}}", 400},
        {ENDPOINT_CHAT, "{\"error\":{\"code\":\"4000\"}}", 500},
        {ENDPOINT_CHAT, "{\"error\":{\"code\":\"rate_limit\",\"status\":429}}", 429},
        {ENDPOINT_CHAT, "{\"error\":{\"code\":200,\"status\":\"NOT_FOUND\"}}", 500},
        {ENDPOINT_CHAT, "{\"error\":{\"error\":{\"code\":\"404\"}}}", 404},
        {ENDPOINT_CHAT, "{\"error\":\"no\",\"status\":503}", 503},
        {ENDPOINT_CHAT, "{\"error\":\"no\",\"status_code\":\"503\"}", 503},
        {ENDPOINT_CHAT, "{\"error\":{\"code\":1e300}}", 500},
        {ENDPOINT_CHAT, "{\"object\":\"error\",\"message\":\"no\",\"code\":400}", 400},
        {ENDPOINT_CHAT, "{\"error\":\"no\"}", 500},
        {ENDPOINT_CHAT, "{\"error\":null,\"choices\":[{\"message\":{\"content\":\"a\"}}]}", 0},
        {ENDPOINT_CHAT, "{\"error\":false,\"choices\":[{\"message\":{\"content\":\"a\"}}]}", 0},
        {ENDPOINT_CHAT, "{\"error\":\"\",\"choices\":[{\"message\":{\"content\":\"a\"}}]}", 0},
        {ENDPOINT_CHAT, "{\"error\":{},\"choices\":[{\"message\":{\"content\":\"a\"}}]}", 0},
        {ENDPOINT_CHAT,
         "{\"choices\":[{\"message\":{\"content\":\"\"},\"error\":{\"code\":502},"
         "\"finish_reason\":\"error\"}]}",
         502},
        {ENDPOINT_CHAT, "{\"choices\":[{\"message\":{\"content\":\"a\"},\"error\":null}]}", 0},
        {ENDPOINT_OLLAMA_CHAT, "{\"error\":\"no\"}", 500},
        {ENDPOINT_OLLAMA_CHAT, "{\"error\":null,\"message\":{\"content\":\"a\"},\"done\":true}", 0},
        {ENDPOINT_OLLAMA_CHAT, "{\"error\":false,\"message\":{\"content\":\"a\"},\"done\":true}",
         0},
        {ENDPOINT_OLLAMA_GENERATE, "{\"error\":\"\",\"response\":\"a\",\"done\":true}", 0},
        {ENDPOINT_OLLAMA_GENERATE, "{\"error\":{},\"response\":\"a\",\"done\":true}", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct assembler a;
        enum assembled got = assemble(&a, rows[i].endpoint, JSON, span_of(rows[i].body), 7);
        enum assembled want = rows[i].status == 0 ? ASSEMBLED_WHOLE : ASSEMBLED_ERROR;
        if (got != want || a.error_status != rows[i].status) {
            fail_msg("%s: %d, status %d", rows[i].body, (int)got, a.error_status);
        }
        assembler_free(&a);
    }
}

/* Mistral's models that think give a list of parts, streamed or not. */
static void parts_that_are_thinking_are_no_text(void **state)
{
    static const char *const lists[] = {
        "[{\"type\":\"thinking\",\"thinking\":\"hm\"},{\"type\":\"text\",\"text\":\"a\"}]",
        "[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"h\"},{\"text\":\"m\"}]"
        "},"
        "{\"text\":\"a\"}]"};
    static const char *const odd[] = {"[{\"type\":\"thinking\",\"thinking\":{\"text\":\"hm\"}}]",
                                      "[{\"type\":\"thinking\",\"thinking\":[\"hm\"]}]",
                                      "[{\"type\":\"thinking\"}]"};
    (void)state;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        for (int streamed = 0; streamed < 2; streamed++) {
            char body[512];
            struct assembler a;
            snprintf(body, sizeof body, streamed ? DELTA("%s") STOP : WHOLE("%s"), lists[i]);
            assert_int_equal(assemble(&a, ENDPOINT_CHAT, streamed ? SSE : JSON, span_of(body), 7),
                             ASSEMBLED_WHOLE);
            assert_true(span_eq(buf_span(&a.answer.content), SPAN("a")));
            assert_true(span_eq(buf_span(&a.answer.thinking), SPAN("hm")));
            assembler_free(&a);
        }
    }
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        char body[512];
        struct assembler a;
        snprintf(body, sizeof body, DELTA("%s") STOP, odd[i]);
        assert_int_equal(assemble(&a, ENDPOINT_CHAT, SSE, span_of(body), 7), ASSEMBLED_ODD);
        assembler_free(&a);
    }
}

static void finish_reasons_are_distinguished(void **state)
{
    static const struct {
        const char *reason;
        enum finish finish;
    } rows[] = {
        {"\"stop\"", FINISH_STOP},
        {"\"eos_token\"", FINISH_STOP},
        {"\"STOP\"", FINISH_STOP},
        {"null", FINISH_NONE},
        {"\"\"", FINISH_NONE},
        {"7", FINISH_NONE},
        {"\"done_i_think\"", FINISH_NONE},
        {"\"length\"", FINISH_LENGTH},
        {"\"MAX_TOKENS\"", FINISH_LENGTH},
        {"\"content_filter\"", FINISH_OTHER},
        {"\"tool_calls\"", FINISH_OTHER},
        {"\"abort\"", FINISH_OTHER},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char body[256];
        struct assembler a;
        snprintf(
            body, sizeof body,
            "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":%s}]}\n" DONE,
            rows[i].reason);
        assert_int_equal(assemble(&a, ENDPOINT_CHAT, SSE, span_of(body), 7), ASSEMBLED_WHOLE);
        assert_int_equal(a.answer.finish, rows[i].finish);
        assembler_free(&a);
        snprintf(body, sizeof body,
                 "{\"message\":{\"content\":\"a\"},\"done\":true,\"done_reason\":%s}\n",
                 rows[i].reason);
        assert_int_equal(assemble(&a, ENDPOINT_OLLAMA_CHAT, NDJSON, span_of(body), 7),
                         ASSEMBLED_WHOLE);
        assert_int_equal(a.answer.finish, rows[i].finish);
        assembler_free(&a);
    }
}

/* Open WebUI reads only one of the two names. */
static void thinking_keeps_its_name(void **state)
{
    static const struct {
        const char *members, *thinking, *name;
    } rows[] = {
        {"\"reasoning_content\":\"hm\"", "hm", "reasoning_content"},
        {"\"reasoning\":\"hm\"", "hm", "reasoning"},
        {"\"reasoning\":\"hm\",\"reasoning_content\":\"hm\"", "hm", "reasoning_content"},
        {"\"reasoning\":\"hm\",\"reasoning_content\":null", "hm", "reasoning"},
        {"\"reasoning\":\"hm\",\"reasoning_content\":\"\"", "hm", "reasoning"},
        {"\"reasoning\":null,\"reasoning_content\":\"hm\"", "hm", "reasoning_content"},
    };
    (void)state;
    for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
        char body[256], want[64];
        struct assembler a;
        struct buf out = {.max = 4096};
        bool streamed = i % 2 != 0;
        snprintf(body, sizeof body,
                 streamed ? "data: {\"choices\":[{\"delta\":{%s}}]}\n\n" STOP
                          : "{\"choices\":[{\"message\":{\"content\":null,%s}}]}",
                 rows[i / 2].members);
        snprintf(want, sizeof want, "\"%s\":\"%s\"}", rows[i / 2].name, rows[i / 2].thinking);
        assert_int_equal(assemble(&a, ENDPOINT_CHAT, streamed ? SSE : JSON, span_of(body), 7),
                         ASSEMBLED_WHOLE);
        assert_int_equal(answer_render(&a.answer, ENDPOINT_CHAT, SPAN("m"), (wall_t){0}, 1, &out),
                         ERR_OK);
        assert_true(span_find(buf_span(&out), span_of(want), 0) != SIZE_MAX);
        assembler_free(&a);
        buf_free(&out);
    }
}

/* A finish reason beside text ends an answer, but not where each event with text has one. */
static void a_finish_reason_in_every_event_is_no_end_mark(void **state)
{
#define STOPPED                                                                                    \
    "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"stop\"}]}\n\n"
    static const struct {
        const char *body;
        enum assembled how;
    } rows[] = {
        {STOPPED, ASSEMBLED_WHOLE},
        {DELTA("\"a\"") STOPPED, ASSEMBLED_WHOLE},
        {STOPPED STOPPED, ASSEMBLED_UNMARKED},
        {STOPPED DELTA("\"a\""), ASSEMBLED_UNMARKED},
        {STOPPED STOPPED STOP, ASSEMBLED_WHOLE},
        {STOPPED STOPPED DONE, ASSEMBLED_WHOLE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct assembler a;
        assert_int_equal(assemble(&a, ENDPOINT_CHAT, SSE, span_of(rows[i].body), 7), rows[i].how);
        assert_int_equal(a.answer.finish, FINISH_STOP);
        assembler_free(&a);
    }
#undef STOPPED
}

static void the_end_is_known_before_the_transport_ends(void **state)
{
    static const char *const bodies[] = {STOP, DONE, "data: {\"error\":\"no\"}\n"};
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct assembler a;
        assembler_init(&a, ENDPOINT_CHAT, span_of(SSE));
        assembler_feed(&a, SPAN(DELTA("\"a\"")));
        assert_false(assembler_finished(&a));
        assembler_feed(&a, span_of(bodies[i]));
        assert_true(assembler_finished(&a));
        assembler_free(&a);
    }
}

static void figures_are_taken_within_bounds(void **state)
{
    static const struct {
        enum endpoint endpoint;
        const char *figures;
        int64_t tokens_out, model_time;
    } rows[] = {
        {ENDPOINT_CHAT, "\"usage\":{\"completion_tokens\":7}", 7, -1},
        {ENDPOINT_CHAT, "\"usage\":{\"completion_tokens\":1e300}", -1, -1},
        {ENDPOINT_CHAT, "\"usage\":{\"completion_tokens\":-1}", -1, -1},
        {ENDPOINT_CHAT, "\"timings\":{\"prompt_ms\":1.5,\"predicted_ms\":2}", -1, 3500},
        {ENDPOINT_CHAT, "\"timings\":{\"prompt_ms\":1e300,\"predicted_ms\":2}", -1, -1},
        {ENDPOINT_CHAT, "\"timings\":{\"prompt_ms\":-1e300,\"predicted_ms\":2}", -1, -1},
        {ENDPOINT_OLLAMA_CHAT, "\"eval_count\":7,\"eval_duration\":2000,\"load_duration\":1000", 7,
         3},
        {ENDPOINT_OLLAMA_CHAT, "\"eval_count\":1e19,\"eval_duration\":1e300", -1, -1},
        {ENDPOINT_OLLAMA_CHAT, "\"total_duration\":5000", -1, 5},
        {ENDPOINT_OLLAMA_CHAT, "\"total_duration\":-5e18", -1, -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char body[256];
        struct assembler a;
        bool chat = rows[i].endpoint == ENDPOINT_CHAT;
        snprintf(body, sizeof body, "{%s,%s}", rows[i].figures,
                 chat ? "\"choices\":[{\"message\":{\"content\":\"a\"}}]"
                      : "\"message\":{\"content\":\"a\"},\"done\":true");
        assert_int_equal(assemble(&a, rows[i].endpoint, JSON, span_of(body), 7), ASSEMBLED_WHOLE);
        if (a.answer.tokens_out != rows[i].tokens_out ||
            a.answer.model_time != rows[i].model_time) {
            fail_msg("%s: %lld tokens, %lld us", rows[i].figures, (long long)a.answer.tokens_out,
                     (long long)a.answer.model_time);
        }
        assembler_free(&a);
    }
}

/* ---- events that differ from the one before only in their text ---- */

/* Feeds line by line. reads: every event is read as JSON, whatever was before it. Returns how many
 * were not. */
static int feed_by_line(struct assembler *a, const struct row *row, bool reads)
{
    int compared = 0;
    assembler_init(a, row->endpoint, span_of(*row->type));
    for (const char *at = row->body; *at != '\0';) {
        size_t n = strcspn(at, "\n") + 1;
        a->said.count = 99; /* reading an event counts its texts from 0 */
        assembler_feed(a, span_make(at, n));
        bool event = at[n - 2] == '}' && !a->failed && !a->ended;
        compared += event && a->said.count >= 99 ? 1 : 0;
        if (reads) {
            buf_clear(&a->form.json);
        }
        at += n;
    }
    return compared;
}

#define SAYS(text) "{\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{" text "}}]}"
#define EVENT(text) "data: " SAYS(text) "\n\n"
#define TEXT(text) EVENT("\"content\":\"" text "\"")
#define THOUGHT(text) EVENT("\"reasoning_content\":\"" text "\"")
#define OLLAMA(time, text)                                                                         \
    "{\"model\":\"m\",\"created_at\":" time ",\"message\":{\"content\":\"" text                    \
    "\"},\"done\":false}\n"
#define OLLAMA_END "{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\"}\n"

static const struct repeated {
    struct row row;
    int compared;
} repeated[] = {
    {{ENDPOINT_CHAT, &SSE, TEXT("a") TEXT("bcd") TEXT("") TEXT("e") STOP DONE, 0, "abcde"}, 3},
    {{ENDPOINT_CHAT, &SSE,
      TEXT("a") TEXT("\\n\\\"") TEXT("\xC3\xA9") TEXT("\\u00e9\\ud83d\\ude00") STOP, 0,
      "a\n\"\xC3\xA9\xC3\xA9\xF0\x9F\x98\x80"},
     3},
    {{ENDPOINT_CHAT, &SSE, TEXT("a") ": comment\n\n" TEXT("b") STOP, 0, "ab"}, 1},
    {{ENDPOINT_CHAT, &SSE, THOUGHT("a") THOUGHT("b") TEXT("c") TEXT("d") STOP, 0, "cd"}, 2},
    {{ENDPOINT_OLLAMA_CHAT, &NDJSON,
      OLLAMA("\"10:00:00.1\"", "a") OLLAMA("\"10:00:00.12\"", "b") OLLAMA("\"\"", "c") OLLAMA_END,
      0, "abc"},
     2},
    {{ENDPOINT_OLLAMA_CHAT, &NDJSON, OLLAMA("1", "a") OLLAMA("1", "b") OLLAMA("2", "c") OLLAMA_END,
      0, "abc"},
     1},
    {{ENDPOINT_OLLAMA_GENERATE, &NDJSON,
      "{\"response\":\"a\",\"created_at\":\"1\"}\n{\"response\":\"bb\",\"created_at\":\"22\"}\n"
      "{\"response\":\"\",\"done\":true}\n",
      0, "abb"},
     1},
    /* what has another effect is read */
    {{ENDPOINT_CHAT, &SSE, TEXT("\\ud83d") TEXT("a") STOP, ASSEMBLED_ODD, NULL}, 0},
    {{ENDPOINT_CHAT, &SSE, TEXT("a") TEXT("\\u0000") TEXT("b") STOP, ASSEMBLED_ODD, NULL}, 2},
    {{ENDPOINT_CHAT, &SSE, TEXT("a") TEXT("b\\x") STOP, ASSEMBLED_ODD, NULL}, 0},
    {{ENDPOINT_CHAT, &SSE, TEXT("a") TEXT("b\001") STOP, 0, "ab\001"}, 0},
    {{ENDPOINT_CHAT, &SSE, TEXT("a") "data: " SAYS("\"content\":\"b\"") " x\n\n" STOP,
      ASSEMBLED_ODD, NULL},
     0},
    {{ENDPOINT_CHAT, &SSE,
      TEXT("a") EVENT("\"content\":\"b\",\"tool_calls\":[{\"id\":\"1\"}]") STOP, ASSEMBLED_ODD,
      NULL},
     0},
    {{ENDPOINT_CHAT, &SSE,
      TEXT("a") TEXT("b") "data: "
                          "{\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"c\"}"
                          ",\"finish_reason\":\"stop\"}]}\n\n" DONE,
      0, "abc"},
     1},
    {{ENDPOINT_CHAT, &SSE,
      EVENT("\"content\":\"a\",\"reasoning\":\"x\"") EVENT("\"content\":\"a\",\"reasoning\":\"y\"")
          STOP,
      0, "aa"},
     0},
    {{ENDPOINT_CHAT, &SSE, "data: " WHOLE("\"a\"") "\n\ndata: " WHOLE("\"b\"") "\n\n" DONE, 0, "a"},
     0},
    {{ENDPOINT_CHAT, &SSE,
      "data: {\"choices\":[{\"message\":{\"content\":\"a\"}}]}\n\n"
      "data: {\"choices\":[{\"message\":{\"content\":\"b\"}}]}\n\n" DONE,
      0, "a"},
     0},
    {{ENDPOINT_CHAT, &SSE, TEXT("a") DONE TEXT("b"), 0, "a"}, 0},
    {{ENDPOINT_CHAT, &SSE, TEXT("a") "data: {\"error\":\"x\"}\n\n" TEXT("b"), ASSEMBLED_ERROR,
      NULL},
     0},
};

static void a_repeated_event_has_the_effect_of_one_that_is_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof repeated / sizeof repeated[0]; i++) {
        const struct row *row = &repeated[i].row;
        struct assembler fast, slow;
        int compared = feed_by_line(&fast, row, false);
        assert_int_equal(feed_by_line(&slow, row, true), 0);
        enum assembled got = assembler_finish(&fast, true);
        struct span content = buf_span(&fast.answer.content);
        bool same = assembler_finish(&slow, true) == got && fast.odd == slow.odd &&
                    span_eq(content, buf_span(&slow.answer.content)) &&
                    span_eq(buf_span(&fast.answer.thinking), buf_span(&slow.answer.thinking)) &&
                    fast.answer.finish == slow.answer.finish &&
                    fast.answer.tokens_out == slow.answer.tokens_out;
        bool right =
            got == row->want && (row->content == NULL || span_eq(content, span_of(row->content)));
        if (!same || !right || compared != repeated[i].compared) {
            fail_msg("%s: %d, content %.*s, %d compared", row->body, (int)got, (int)content.len,
                     content.ptr, compared);
        }
        assembler_free(&fast);
        assembler_free(&slow);
    }
}

static void want_of_memory_is_not_an_answer_that_is_too_large(void **state)
{
    (void)state;
    for (int large = 0; large < 2; large++) {
        struct assembler a;
        assembler_init(&a, ENDPOINT_CHAT, span_of(JSON));
        assembler_feed(&a, SPAN("{"));
        a.line.max = large ? a.line.max : SIZE_MAX / 2;
        assembler_feed(&a, span_make("{", (size_t)1 << 62)); /* none of it is read */
        assert_int_equal(a.no_memory, !large);
        assert_int_equal(assembler_finish(&a, true), ASSEMBLED_TOO_LARGE);
        assembler_free(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_is_text),
        cmocka_unit_test(a_charset_that_is_not_utf_8_is_the_clients),
        cmocka_unit_test(an_answer_ends_with_a_mark_or_a_reason),
        cmocka_unit_test(servers_say_errors_in_many_ways),
        cmocka_unit_test(parts_that_are_thinking_are_no_text),
        cmocka_unit_test(finish_reasons_are_distinguished),
        cmocka_unit_test(a_finish_reason_in_every_event_is_no_end_mark),
        cmocka_unit_test(thinking_keeps_its_name),
        cmocka_unit_test(the_end_is_known_before_the_transport_ends),
        cmocka_unit_test(figures_are_taken_within_bounds),
        cmocka_unit_test(a_repeated_event_has_the_effect_of_one_that_is_read),
        cmocka_unit_test(want_of_memory_is_not_an_answer_that_is_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
