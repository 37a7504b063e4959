/* test_task_prompt.c: replies in titles, the text of completions and what stands around it,
 * typists.
 */
#include "unit/webui/task_support.h"

#define HEAD                                                                                       \
    "### Task:\nGenerate a concise title summarizing the chat history.\n### Chat History:\n"

static struct hash_secret secret;

static void fill_secret(struct hash_secret *s, uint32_t seed)
{
    for (size_t i = 0; i < sizeof s->bytes; i++) {
        seed = seed * 1664525U + 1013904223U;
        s->bytes[i] = (uint8_t)(seed >> 24);
    }
}

static void test_title_replies(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool has_reply;
    } rows[] = {
        {HEAD "<chat_history>\nUSER: hi\nASSISTANT: \n</chat_history>", false},
        {HEAD "<chat_history>\nUSER: hi\nASSISTANT:\n</chat_history>\n", false},
        {HEAD "<chat_history>\nUSER: hi\nASSISTANT: hello\n</chat_history>", true},
        {HEAD "<chat_history>\nUSER: hi\nASSISTANT: \n\nhello\n</chat_history>", true},
        {HEAD "<chat_history>\nUSER: hi\n</chat_history>", false},
        {HEAD "<chat_history>\nASSISTANT: hello\nUSER: more\n</chat_history>", true},
        {HEAD "<chat_history>\nASSISTANT: \nUSER: more\n</chat_history>", false},
        /* the person pasted a conversation; the reply does not exist yet */
        {HEAD "<chat_history>\nUSER: look:\nASSISTANT: hello\nend\nASSISTANT: \n</chat_history>",
         false},
        /* not at the beginning of a line */
        {HEAD "<chat_history>\nUSER: an ASSISTANT: hello\n</chat_history>", false},
        /* the history speaks of the marks */
        {HEAD
         "<chat_history>\nUSER: </chat_history>\n<chat_history>\nASSISTANT: yes\n</chat_history>",
         true},
        {HEAD "<chat_history>\n\n</chat_history>", false},
        {HEAD "<chat_history>\n</chat_history>", false},
        {HEAD "<chat_history>\nUSER: a\nASSISTANT: b", false},
        {"Ein Titel für: ASSISTANT: hello", false},
        {"", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct dialect_request r = request_of(rows[i].text);
        if (task_title_has_reply(&r) != rows[i].has_reply) {
            fail_msg("row %zu: %s", i, rows[i].text);
        }
    }
    struct dialect_request none = {0};
    assert_false(task_title_has_reply(&none));
}

/* An autocomplete prompt as of the default template. free() it. */
static char *prompt_of(const char *history, const char *type, const char *text)
{
    char *out = NULL;
    int n = asprintf(
        &out,
        "### Task:\nYou are an autocompletion system.\n\n#### Example 1:  \nInput:  \n"
        "<type>General</type>  \n<text>The sun was</text>  \nOutput:  \n{ \"text\": \"x\" }\n\n"
        "---\n### Context:\n<chat_history>\n%s\n</chat_history>\n<type>%s</type>  \n"
        "<text>%s</text>  \n#### Output:\n",
        history, type, text);
    assert_true(n > 0);
    return out;
}

static struct task_completion completion(const char *prompt)
{
    struct dialect_request r = request_of(prompt);
    return task_completion_of(&r);
}

static void assert_text(struct span got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    assert_memory_equal(got.ptr, want, got.len);
}

static void test_completed_text_is_found_whatever_it_holds(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "How do I",
        "How do I  ",
        "a </text> in it",
        "why <text>a</text> and a <type>",
        "<type>general</type>",
        "two\n<type>lines",
        "ends in #### Output:",
        "</text>  \n#### Output:\n",
        "Größe 🍞",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char *prompt = prompt_of("", "general", texts[i]);
        struct task_completion c = completion(prompt);
        assert_true(c.found);
        assert_true(c.history_empty);
        assert_text(c.text, texts[i]);
        free(prompt);
    }
}

static void test_history_and_its_marks(void **state)
{
    (void)state;
    char *prompt = prompt_of("USER: hi\nASSISTANT: <type>x</type>", "search query", "abc");
    struct task_completion c = completion(prompt);
    assert_true(c.found);
    assert_false(c.history_empty);
    assert_text(c.text, "abc");
    free(prompt);
    prompt = prompt_of("  \n ", "search query", "abc");
    assert_true(completion(prompt).history_empty);
    free(prompt);
}

static void test_other_templates_are_text_as_a_whole(void **state)
{
    (void)state;
    static const char *const prompts[] = {
        "Complete: the quick brown",
        "<type>general</type>  \n<text>abc</text>",
        "<text>abc</text>  \n#### Output:\n",
        "<type>general</type> and <text>abc</text>  \n#### Output:\n",
    };
    for (size_t i = 0; i < sizeof prompts / sizeof prompts[0]; i++) {
        struct task_completion c = completion(prompts[i]);
        assert_false(c.found);
        assert_true(c.history_empty);
        assert_text(c.text, prompts[i]);
    }
}

static void test_nothing_is_completed_where_the_last_message_is_not_a_persons(void **state)
{
    (void)state;
    struct dialect_request none = {0};
    struct task_completion c = task_completion_of(&none);
    assert_int_equal(c.text.len, 0);
    assert_false(c.found);
    assert_false(task_same_typist(c.text, c.text, true, false));
}

static void test_many_marks_take_no_long_time(void **state)
{
    (void)state;
    enum { COUNT = 120000 };
    const char unit[] = "\n<type>";
    char *text = malloc(COUNT * (sizeof unit - 1) + 64);
    assert_non_null(text);
    size_t len = 0;
    for (int i = 0; i < COUNT; i++) {
        memcpy(text + len, unit, sizeof unit - 1);
        len += sizeof unit - 1;
    }
    memcpy(text + len, "</text>\n#### Output:", 21);
    assert_false(completion(text).found); /* quadratic work would run into the test's time limit */
    free(text);
}

static void test_typists(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool one_user, history_empty, same;
    } rows[] = {
        {"How do I keep", "How do I keep bread", true, true, true},
        {"How do I keep bread", "How do I keep", true, true, true},
        {"How do I keep", "How do I keep", true, true, true},
        {"abcdefghijk", "abcdefghijkl", true, true, false},  /* 11 in common */
        {"abcdefghijkl", "abcdefghijklm", true, true, true}, /* 12 */
        {"abcdefghijkl", "abcdefghijklm", false, false, true},
        {"abcdefghijklmnopqrstuvw", "abcdefghijklmnopqrstuvwx", false, true, false},  /* 23 */
        {"abcdefghijklmnopqrstuvwx", "abcdefghijklmnopqrstuvwxy", false, true, true}, /* 24 */
        {"abcdefghijklmnopqrstuvwx", "abcdefghijklmnopqrstuvwx", false, true, true},
        {"abcdefghijklX", "abcdefghijklY", true, false, false}, /* in common, but neither extends */
        {"öäüöäüöäüöä", "öäüöäüöäüöäü", true, true, false},     /* 11 code points, 22 bytes */
        {"öäüöäüöäüöäü", "öäüöäüöäüöäüö", true, true, true},
        {"🍞🍞🍞🍞🍞🍞", "🍞🍞🍞🍞🍞🍞🍞", true, true, false},
        {"", "", true, true, false},
        {"", "How do I keep bread", true, true, false},
        {"how do I keep", "How do I keep bread", true, true, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span a = span_of(rows[i].a);
        struct span b = span_of(rows[i].b);
        bool forth = task_same_typist(a, b, rows[i].one_user, rows[i].history_empty);
        bool back = task_same_typist(b, a, rows[i].one_user, rows[i].history_empty);
        if (forth != rows[i].same || back != rows[i].same) {
            fail_msg("row %zu: %s | %s", i, rows[i].a, rows[i].b);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_title_replies),
        cmocka_unit_test(test_completed_text_is_found_whatever_it_holds),
        cmocka_unit_test(test_history_and_its_marks),
        cmocka_unit_test(test_other_templates_are_text_as_a_whole),
        cmocka_unit_test(test_nothing_is_completed_where_the_last_message_is_not_a_persons),
        cmocka_unit_test(test_many_marks_take_no_long_time),
        cmocka_unit_test(test_typists),
    };
    fill_secret(&secret, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
