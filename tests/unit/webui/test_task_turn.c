/* test_task_turn.c: the reply that a prompt ends with, and where it is found again. */
#include "task_support.h"

#include "lull/path/webui/chat_history.h"
#include "lull/path/webui/turn.h"

static struct span part(struct span s, size_t from, size_t to)
{
    return span_make(s.ptr + from, to - from);
}

static void text_is(struct span got, const char *wanted)
{
    if (!span_eq(got, span_of(wanted))) {
        fail_msg("'%.*s' instead of '%s'", (int)got.len, got.ptr, wanted);
    }
}

static void the_last_reply_of_the_prompt(void **state)
{
    static const struct {
        const char *history, *reply;
    } rows[] = {
        {"USER: a\nASSISTANT: b", "b"},
        {"USER: a\nASSISTANT: b\nUSER: c\nASSISTANT:  two\nlines ", "two\nlines"},
        {"USER: a\nASSISTANT: b\nUSER: c", "b"},
        {"USER: a\nASSISTANT: ", ""},
        {"USER: a", ""},
        {"USER: a\nASSISTANT: b\nASSISTANT:", ""},
        {"USER: he wrote ASSISTANT: x\nASSISTANT: y", "y"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf prompt = {.max = 4096};
        assert_int_equal(buf_append_span(&prompt, SPAN("### Task:\n<chat_history>\n")), ERR_OK);
        assert_int_equal(buf_append_span(&prompt, span_of(rows[i].history)), ERR_OK);
        assert_int_equal(buf_append_span(&prompt, SPAN("\n</chat_history>")), ERR_OK);
        struct dialect_request r = request_of("");
        r.last_text = buf_span(&prompt);
        struct task_turn t = task_turn_of(&r);
        assert_true(t.known);
        text_is(t.reply, rows[i].reply);
        buf_free(&prompt);
    }
    struct dialect_request none = request_of("no history at all");
    assert_false(task_turn_of(&none).known);
}

static void thinking_and_images_are_left_out(void **state)
{
    static const struct {
        const char *message, *plain;
    } rows[] = {
        {"as it is", "as it is"},
        {"  trimmed \n", "trimmed"},
        {"<think>hm</think>\nyes", "yes"},
        {"<thinking>a</thinking>b<reason>c</reason>d", "bd"},
        {"<details type=\"reasoning\" done=\"true\">\n<summary>Thought</summary>\n</details>\nyes",
         "yes"},
        {"<details><summary>kept</summary></details>",
         "<details><summary>kept</summary></details>"},
        {"<think>never closed", "<think>never closed"},
        {"<think>open <thought>x</thought>y", "<think>open y"},
        {"see ![a cat](http://x/y.png) here", "see  here"},
        {"see [a link](http://x/y) here", "see [a link](http://x/y) here"},
        {"![not closed](http://x", "![not closed](http://x"},
        {"a ! b ![", "a ! b !["},
        {"", ""},
        {" \n ", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out = {.max = 4096};
        assert_int_equal(buf_append_span(&out, SPAN("before|")), ERR_OK);
        assert_int_equal(task_plain(span_of(rows[i].message), &out), ERR_OK);
        text_is(part(buf_span(&out), 7, out.len), rows[i].plain);
        buf_free(&out);
    }
}

static void a_full_buffer_is_said(void **state)
{
    struct buf out = {.max = 4};
    (void)state;
    assert_int_not_equal(task_plain(SPAN("longer than four"), &out), ERR_OK);
    assert_int_not_equal(task_plain(SPAN("longer<think>x</think>"), &out), ERR_OK);
    buf_free(&out);
}

/* A chat of one user message, the assistant's `reply` and another user message. */
static void chat_with(struct buf *body, struct span reply)
{
    assert_int_equal(buf_append_span(body, SPAN("{\"model\":\"m\",\"messages\":[{\"role\":\"user\","
                                                "\"content\":\"q\"},{\"role\":\"assistant\","
                                                "\"content\":\"")),
                     ERR_OK);
    assert_int_equal(buf_append_json(body, reply), ERR_OK);
    assert_int_equal(
        buf_append_span(body, SPAN("\"},{\"role\":\"user\",\"content\":\"and then?\"}]}")), ERR_OK);
}

static bool found(struct span reply, struct span in)
{
    struct buf body = {.max = 64 * 1024};
    struct dialect_request chat;
    chat_with(&body, in);
    assert_true(dialect_request_parse(buf_span(&body), ENDPOINT_CHAT, &chat));
    struct buf history = {.max = 64 * 1024};
    assert_int_equal(buf_append_span(&history, SPAN("USER: q\nASSISTANT: ")), ERR_OK);
    assert_int_equal(reply.len == 0 ? ERR_OK : buf_append_span(&history, reply), ERR_OK);
    struct chat_history_chat next = {.request = &chat};
    bool is = chat_history_goes_on(buf_span(&history), &next);
    chat_history_chat_free(&next);
    buf_free(&history);
    dialect_request_free(&chat);
    buf_free(&body);
    return is;
}

static void a_reply_is_found_whole(void **state)
{
    (void)state;
    assert_true(found(SPAN("twelve chars"), SPAN("twelve chars")));
    assert_true(found(SPAN("twelve chars"), SPAN("<think>hm</think>twelve ![x](y)chars")));
    assert_true(found(SPAN("<think>hm</think>twelve ![x](y)chars"), SPAN("twelve chars")));
    assert_false(found(SPAN("twelve chars"), SPAN("more than twelve chars here")));
    assert_false(found(SPAN("twelve chars"), SPAN("twelve  chars")));
    assert_false(found(SPAN_NONE, SPAN("anything at all here")));
}

/* The last reply, and all of the history before it. */
static void a_chat_goes_on_from_its_last_reply(void **state)
{
    static const struct {
        const char *history;
        bool goes_on;
    } rows[] = {
        {"USER: a\nASSISTANT: one\nUSER: b\nASSISTANT: two", true},
        {"USER: b\nASSISTANT: two", false}, /* the end of many conversations */
        {"USER: a\nUSER: b\nASSISTANT: two", false},
        {"ASSISTANT: two", false},
        {"USER: a\nASSISTANT: one", false},
        {"USER: x\nASSISTANT: two", false},
        {"USER: x\nASSISTANT: one\nUSER: b\nASSISTANT: two", false},
        {"USER: b\nASSISTANT: two\nUSER: c", false},
        {"USER: b\nASSISTANT: two\nUSER: c\nASSISTANT: ", false},
        {"", false},
    };
    struct dialect_request chat, first;
    (void)state;
    assert_true(dialect_request_parse(SPAN("{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{"
                                           "\"role\":\"assistant\",\"content\":"
                                           "\"one\"},{\"role\":\"user\",\"content\":\"b\"},{"
                                           "\"role\":\"assistant\",\"content\":\"two\"},{"
                                           "\"role\":\"user\",\"content\":\"c\"}]}"),
                                      ENDPOINT_CHAT, &chat));
    assert_true(dialect_request_parse(
        SPAN("{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}"), ENDPOINT_CHAT, &first));
    struct chat_history_chat next = {.request = &chat}, other = {.request = &first};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (chat_history_goes_on(span_of(rows[i].history), &next) != rows[i].goes_on) {
            fail_msg("%s", rows[i].history);
        }
        assert_false(chat_history_goes_on(span_of(rows[i].history), &other));
        next.request = other.request = NULL; /* each was read once, however many wait */
    }
    chat_history_chat_free(&next);
    chat_history_chat_free(&other);
    dialect_request_free(&chat);
    dialect_request_free(&first);
}

/* `points` code points of text in which no two neighbourhoods are alike. */
static void long_text(struct buf *out, size_t points)
{
    for (size_t i = 0; i < points; i++) {
        char c = (char)('a' + (i * i / 7 + i) % 26);
        assert_int_equal(
            i % 50 == 49 ? buf_append_span(out, SPAN("\u00e9")) : buf_append_char(out, c), ERR_OK);
    }
}

static size_t bytes_of(struct span text, size_t points)
{
    size_t at = 0;
    for (size_t i = 0; i < points; i++) {
        at += i % 50 == 49 ? 2 : 1;
    }
    assert_true(at <= text.len);
    return at;
}

static void cut(struct buf *out, struct span text, size_t points, size_t head, size_t tail)
{
    size_t from = bytes_of(text, points - tail);
    assert_int_equal(buf_append(out, text.ptr, bytes_of(text, head)), ERR_OK);
    assert_int_equal(buf_append_span(out, SPAN("...")), ERR_OK);
    assert_int_equal(buf_append(out, text.ptr + from, text.len - from), ERR_OK);
}

static void a_reply_that_was_cut_is_found_by_its_ends(void **state)
{
    struct buf text = {.max = 8192};
    struct buf reply = {.max = 8192};
    struct buf other = {.max = 8192};
    (void)state;
    long_text(&text, 1400);
    cut(&reply, buf_span(&text), 1400, 498, 499);
    assert_true(found(buf_span(&reply), buf_span(&text)));
    /* the ends in the wrong order, or one of them only */
    assert_int_equal(
        buf_append_span(&other, part(buf_span(&text), bytes_of(buf_span(&text), 700), text.len)),
        ERR_OK);
    assert_false(found(buf_span(&reply), buf_span(&other)));
    assert_int_equal(
        buf_append_span(&other, part(buf_span(&text), 0, bytes_of(buf_span(&text), 700))), ERR_OK);
    assert_false(found(buf_span(&reply), buf_span(&other)));
    /* cut elsewhere: not what Open WebUI does */
    buf_clear(&reply);
    cut(&reply, buf_span(&text), 1400, 499, 499);
    assert_false(found(buf_span(&reply), buf_span(&text)));
    buf_free(&text);
    buf_free(&reply);
    buf_free(&other);
}

static void where_a_chat_stands(void **state)
{
    static const struct {
        const char *body;
        bool first, tool;
    } rows[] = {
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", true, false},
        {"{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":"
         "\"assistant\"}]}",
         true, false},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":"
         "\"b\"},{\"role\":\"user\",\"content\":\"c\"}]}",
         false, false},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":"
         "\"\",\"tool_calls\":[]},{\"role\":\"tool\",\"content\":\"c\"}]}",
         false, true},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"tool\",\"content\":"
         "\"c\"},{\"role\":\"user\",\"content\":\"d\"}]}",
         true, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct dialect_request chat;
        assert_true(dialect_request_parse(span_of(rows[i].body), ENDPOINT_CHAT, &chat));
        assert_int_equal(!chat.answered, rows[i].first);
        assert_int_equal(chat.after_tool, rows[i].tool);
        dialect_request_free(&chat);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_reply_of_the_prompt),
        cmocka_unit_test(thinking_and_images_are_left_out),
        cmocka_unit_test(a_full_buffer_is_said),
        cmocka_unit_test(a_reply_is_found_whole),
        cmocka_unit_test(a_chat_goes_on_from_its_last_reply),
        cmocka_unit_test(a_reply_that_was_cut_is_found_by_its_ends),
        cmocka_unit_test(where_a_chat_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
