/* test_chat_history.c: whether a task's history is the end of a conversation, and the instruction
 * without it. */
#include "unit/webui/task_support.h"

#include "lull/path/webui/chat_history.h"

#include <string.h>

static struct chat_history read_chat(const char *body, const char *reply)
{
    struct chat_history h;
    struct dialect_request chat;
    assert_true(dialect_request_parse(span_of(body), ENDPOINT_CHAT, &chat));
    assert_int_equal(chat_history_read(&chat, span_of(reply), &h), ERR_OK);
    dialect_request_free(&chat);
    return h;
}

static bool fits_prompt(const struct chat_history *h, const char *prompt, unsigned forms,
                        struct chat_history_place *place)
{
    struct chat_history_prompt read;
    return chat_history_find(span_of(prompt), forms, &read) && chat_history_fits(h, &read, place);
}

static bool fits(const struct chat_history *h, const char *history, unsigned forms)
{
    static char prompt[65536];
    struct chat_history_place place;
    snprintf(prompt, sizeof prompt, "### Task:\nDo.\n<chat_history>\n%s\n</chat_history>", history);
    return fits_prompt(h, prompt, forms, &place);
}

static const char LONG[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},"
    "{\"role\":\"user\",\"content\":\" First \"},{\"role\":\"assistant\",\"content\":\"One\"},"
    "{\"role\":\"user\",\"content\":\"Second\\nUSER: not mine\"},"
    "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{}]},"
    "{\"role\":\"tool\",\"content\":\"42\"},{\"role\":\"assistant\",\"content\":\"Two\"},"
    "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Third\"},"
    "{\"type\":\"image_url\",\"image_url\":{}}]}]}";

static void a_history_is_compared_from_its_end(void **state)
{
    (void)state;
    struct chat_history h = read_chat(LONG, "Three <think>x</think>");
    static const struct {
        const char *history;
        bool fits;
    } cases[] = {
        {"USER: Third\nASSISTANT: Three", true},
        {"ASSISTANT: Three", true},
        {"ASSISTANT: Two\nUSER: Third\nASSISTANT: Three", true},
        {"USER: Second\nUSER: not mine\nASSISTANT: Two\nUSER: Third\nASSISTANT: Three", true},
        {"USER: First\nASSISTANT: One\nUSER: Second\nUSER: not mine\nASSISTANT: Two\nUSER: Third\n"
         "ASSISTANT: Three",
         true},
        {"SYSTEM: Be brief.\nUSER: First\nASSISTANT: One\nUSER: Second\nUSER: not mine\n"
         "ASSISTANT: Two\nUSER: Third\nASSISTANT: Three",
         true},
        /* the first message of the person and the last ones */
        {"USER: First\nASSISTANT: Two\nUSER: Third\nASSISTANT: Three", true},
        {"USER: First\nUSER: Third\nASSISTANT: Three", true},
        {"USER: Fir\nUSER: Third\nASSISTANT: Three", false},
        {"USER: Third\nASSISTANT: Four", false},
        {"USER: Third\nASSISTANT: Thre", false},
        {"USER: third\nASSISTANT: Three", false},
        {"ASSISTANT: Third\nASSISTANT: Three", false},
        {"x\nUSER: Third\nASSISTANT: Three", false},
        {"USER: A Third\nASSISTANT: Three", false},
        {"SYSTEM: Other.\nUSER: First\nASSISTANT: One\nUSER: Second\nUSER: not mine\n"
         "ASSISTANT: Two\nUSER: Third\nASSISTANT: Three",
         false},
        {"USER: Third\nASSISTANT: ", false},
        {"USER: Third\nASSISTANT: Three\nUSER: Next", false},
        {"", false},
        {" \n ", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (fits(&h, cases[i].history, CHAT_HISTORY_END) != cases[i].fits) {
            fail_msg("%zu: %s", i, cases[i].history);
        }
    }
    chat_history_free(&h);
}

static void a_reply_may_be_awaited_and_a_message_new(void **state)
{
    (void)state;
    struct chat_history h = read_chat(LONG, "Three");
    struct chat_history_place place;
    assert_true(fits(&h, "USER: Third\nASSISTANT: ", CHAT_HISTORY_AWAITS_REPLY));
    assert_true(fits(&h, "ASSISTANT: Two\nUSER: Third\nASSISTANT:", CHAT_HISTORY_AWAITS_REPLY));
    assert_false(fits(&h, "USER: Other\nASSISTANT: ", CHAT_HISTORY_AWAITS_REPLY));
    assert_false(fits(&h, "ASSISTANT: ", CHAT_HISTORY_AWAITS_REPLY));
    assert_true(fits(&h, "ASSISTANT: Three\nUSER: And?", CHAT_HISTORY_NEW_MESSAGE));
    assert_false(fits(&h, "USER: And?", CHAT_HISTORY_NEW_MESSAGE)); /* says nothing of this chat */
    assert_false(fits(&h, "ASSISTANT: Four\nUSER: And?", CHAT_HISTORY_NEW_MESSAGE));
    static const char prompt[] = "Ask.\n<chat_history>\nASSISTANT: Three\nUSER: a\nUSER: b\n"
                                 "</chat_history>\n";
    assert_true(fits_prompt(&h, prompt, CHAT_HISTORY_NEW_MESSAGE, &place));
    assert_true(span_eq(place.message, SPAN("USER: a\nUSER: b")));
    chat_history_free(&h);
}

/* So many lines, and no more, are tried: each may end a long conversation nearly. */
static void a_new_message_is_behind_one_of_the_last_lines(void **state)
{
    (void)state;
    struct chat_history h = read_chat(LONG, "Three");
    char history[4096] = "ASSISTANT: Three";
    for (size_t n = 1; n <= CHAT_HISTORY_MESSAGES + 1; n++) {
        size_t len = strlen(history);
        snprintf(history + len, sizeof history - len, "\nUSER: And?");
        assert_int_equal(fits(&h, history, CHAT_HISTORY_NEW_MESSAGE), n <= CHAT_HISTORY_MESSAGES);
    }
    chat_history_free(&h);
}

static void few_blanks_stand_around_a_text(void **state)
{
    (void)state;
    struct chat_history h = read_chat(LONG, "Three");
    char history[4096];
    snprintf(history, sizeof history, "USER: Third\nASSISTANT:%256sThree", "");
    assert_true(fits(&h, history, CHAT_HISTORY_END));
    snprintf(history, sizeof history, "USER: Third\nASSISTANT:%257sThree", "");
    assert_false(fits(&h, history, CHAT_HISTORY_END));
    snprintf(history, sizeof history, "%1000sUSER: Third\nASSISTANT: Three%1000s", "", "");
    assert_true(fits(&h, history, CHAT_HISTORY_END));
    chat_history_free(&h);
}

/* All of a conversation, or as much as Open WebUI takes of a longer one, is of no other one. */
static void few_messages_are_the_end_of_many_conversations(void **state)
{
    (void)state;
    static const char turns[] = "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
                                "{\"role\":\"user\",\"content\":\"u1\"},"
                                "{\"role\":\"assistant\",\"content\":\"a1\"},"
                                "{\"role\":\"user\",\"content\":\"u2\"},"
                                "{\"role\":\"assistant\",\"content\":\"a2\"},"
                                "{\"role\":\"user\",\"content\":\"u3\"},"
                                "{\"role\":\"assistant\",\"content\":\"a3\"},"
                                "{\"role\":\"user\",\"content\":\"u4\"}]}";
    static const struct {
        const char *body, *history;
        unsigned forms;
        bool certain;
    } cases[] = {
        {turns, "USER: u4\nASSISTANT: a4", CHAT_HISTORY_END, false},
        {turns, "USER: u3\nASSISTANT: a3\nUSER: u4\nASSISTANT: a4", CHAT_HISTORY_END, false},
        {turns, "ASSISTANT: a2\nUSER: u3\nASSISTANT: a3\nUSER: u4\nASSISTANT: a4", CHAT_HISTORY_END,
         false},
        {turns, "USER: u2\nASSISTANT: a2\nUSER: u3\nASSISTANT: a3\nUSER: u4\nASSISTANT: a4",
         CHAT_HISTORY_END, true},
        {turns, "USER: u1\nASSISTANT: a3\nUSER: u4\nASSISTANT: a4", CHAT_HISTORY_END, false},
        {turns, "USER: u1\nUSER: u3\nASSISTANT: a3\nUSER: u4\nASSISTANT: a4", CHAT_HISTORY_END,
         true},
        {turns, "USER: u4\nASSISTANT: ", CHAT_HISTORY_AWAITS_REPLY, false},
        {turns, "USER: u3\nASSISTANT: a3\nUSER: u4\nASSISTANT: a4\nUSER: u5",
         CHAT_HISTORY_NEW_MESSAGE, false},
        {turns, "ASSISTANT: a2\nUSER: u3\nASSISTANT: a3\nUSER: u4\nASSISTANT: a4\nUSER: u5",
         CHAT_HISTORY_NEW_MESSAGE, true},
        /* short ones: all of them */
        {"{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},"
         "{\"role\":\"user\",\"content\":\"u4\"}]}",
         "USER: u4\nASSISTANT: a4", CHAT_HISTORY_END, true},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"u4\"}]}",
         "USER: u4\nASSISTANT:", CHAT_HISTORY_AWAITS_REPLY, true},
        {"{\"messages\":[{\"role\":\"user\",\"content\":\"u4\"}]}", "ASSISTANT: a4",
         CHAT_HISTORY_END, false},
        {"{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\"},"
         "{\"role\":\"user\",\"content\":\"u4\"}]}",
         "USER: u4\nASSISTANT: a4", CHAT_HISTORY_END, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct chat_history h = read_chat(cases[i].body, "a4");
        struct chat_history_prompt parts;
        struct chat_history_place place;
        char prompt[512];
        snprintf(prompt, sizeof prompt, "Do.\n<chat_history>\n%s\n</chat_history>",
                 cases[i].history);
        assert_true(chat_history_find(span_of(prompt), cases[i].forms, &parts));
        assert_true(chat_history_fits(&h, &parts, &place));
        if (place.certain != cases[i].certain) {
            fail_msg("%zu: %s", i, cases[i].history);
        }
        chat_history_free(&h);
    }
}

static void long_messages_may_be_cut(void **state)
{
    (void)state;
    static char text[4096], body[8192], history[8192];
    size_t n = 0;
    for (unsigned i = 0; n < 1500; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "%u ", i);
    }
    text[1200] = '\0';
    snprintf(body, sizeof body, "{\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}", text);
    struct chat_history h = read_chat(body, "Yes.");
    snprintf(history, sizeof history, "USER: %.498s...%s\nASSISTANT: Yes.", text,
             text + 1200 - 499);
    assert_true(fits(&h, history, CHAT_HISTORY_END));
    snprintf(history, sizeof history, "USER: %.497s...%s\nASSISTANT: Yes.", text,
             text + 1200 - 499);
    assert_false(fits(&h, history, CHAT_HISTORY_END));
    snprintf(history, sizeof history, "USER: %.498s...%s\nASSISTANT: Yes.", text,
             text + 1200 - 498);
    assert_false(fits(&h, history, CHAT_HISTORY_END));
    chat_history_free(&h);
}

static void the_instruction_has_a_reference_in_place_of_the_history(void **state)
{
    (void)state;
    struct chat_history h = read_chat(LONG, "Three");
    struct chat_history_place place;
    struct buf out = {.max = 4096};
    static const char prompt[] = "### Task:\nDo.\n<chat_history>\nUSER: Third\nASSISTANT: Three\n"
                                 "</chat_history>\nBehind.";
    static const char want[] = "### Task:\nDo.\n<chat_history>\n(the conversation above)\n"
                               "</chat_history>\nBehind.";
    assert_true(fits_prompt(&h, prompt, CHAT_HISTORY_END, &place));
    assert_int_equal(chat_history_instruction(&place, &out), ERR_OK);
    assert_true(span_ends(buf_span(&out), span_of(want)));
    assert_true(span_starts(buf_span(&out), SPAN("This is a separate task")));
    buf_free(&out);
    buf_init(&out, 100);
    assert_int_equal(chat_history_instruction(&place, &out), ERR_TOO_LARGE);
    assert_int_equal(out.len, 0);
    buf_free(&out);
    chat_history_free(&h);
}

static void a_reply_is_repeated_as_open_web_ui_does(void **state)
{
    (void)state;
    static const struct {
        const char *reply, *repeated; /* NULL: not certain */
    } cases[] = {
        {" Yes. \n", "Yes."},
        {"<think>\nHm {x}\n</think>\n\nYes. ![p](http://x/y.png)", "Yes. ![p](http://x/y.png)"},
        {"<reasoning>a</reasoning>Yes.", "Yes."},
        {"Yes, <think>or</think> no.", NULL},
        {"<think>a</think>Yes <think>b</think>", NULL},
        {"<think>never ends", NULL},
        {"so I say</think>Yes.", NULL},
        {"[THINK]a[/THINK]Yes.", NULL},
        {"<|channel|>analysis<|message|>a<|end|>Yes.", NULL},
        {"", ""},
        {"<think>only</think>", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out = {.max = 4096};
        enum err e = chat_history_repeated_reply(span_of(cases[i].reply), true, &out);
        if (cases[i].repeated == NULL) {
            assert_int_equal(e, ERR_INVALID);
        } else {
            assert_int_equal(e, ERR_OK);
            assert_true(span_eq(buf_span(&out), span_of(cases[i].repeated)));
        }
        buf_free(&out);
    }
}

static void a_reply_in_one_piece_is_repeated_as_it_came(void **state)
{
    (void)state;
    struct buf out = {.max = 4096};
    assert_int_equal(chat_history_repeated_reply(SPAN(" Yes. \n"), false, &out), ERR_OK);
    assert_true(span_eq(buf_span(&out), SPAN(" Yes. \n")));
    assert_int_equal(chat_history_repeated_reply(SPAN("<think>a</think>Yes."), false, &out),
                     ERR_INVALID);
    buf_free(&out);
}

static void a_role_of_another_api_is_refused(void **state)
{
    (void)state;
    struct chat_history h;
    struct dialect_request chat;
    assert_true(dialect_request_parse(SPAN("{\"messages\":[{\"role\":\"function\",\"content\":"
                                           "\"x\"},{\"role\":\"user\",\"content\":\"y\"}]}"),
                                      ENDPOINT_CHAT, &chat));
    assert_int_equal(chat_history_read(&chat, SPAN("z"), &h), ERR_INVALID);
    chat_history_free(&h);
    dialect_request_free(&chat);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_history_is_compared_from_its_end),
        cmocka_unit_test(a_reply_may_be_awaited_and_a_message_new),
        cmocka_unit_test(a_new_message_is_behind_one_of_the_last_lines),
        cmocka_unit_test(few_blanks_stand_around_a_text),
        cmocka_unit_test(few_messages_are_the_end_of_many_conversations),
        cmocka_unit_test(long_messages_may_be_cut),
        cmocka_unit_test(the_instruction_has_a_reference_in_place_of_the_history),
        cmocka_unit_test(a_reply_is_repeated_as_open_web_ui_does),
        cmocka_unit_test(a_reply_in_one_piece_is_repeated_as_it_came),
        cmocka_unit_test(a_role_of_another_api_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
