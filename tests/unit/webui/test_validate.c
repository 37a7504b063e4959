/* test_validate.c: which answers are worth keeping: what Open WebUI's own parser of the kind finds.
 */
#include "support/check.h"

#include "lull/path/dialect/answer.h"

static enum judgement judge(enum kind_id kind, const char *content, enum finish finish)
{
    const struct kind_info *info = kind_info(kind);
    struct kind_policy policy = {.shape = info->shape,
                                 .shape_member = (char *)(uintptr_t)info->member};
    struct answer a;
    answer_init(&a);
    a.finish = finish;
    assert_int_equal(buf_append_span(&a.content, span_of(content)), ERR_OK);
    enum judgement j = answer_judge(&a, &policy, (int)kind);
    answer_free(&a);
    return j;
}

static void answers_are_judged_as_open_webui_reads_them(void **state)
{
    static const struct {
        enum kind_id kind;
        const char *content;
        enum judgement judged;
    } rows[] = {
        {KIND_TITLE, "{\"title\": \"A\"}", JUDGED_GOOD},
        {KIND_TITLE, "```json\n{\"title\": \"A\"}\n```", JUDGED_GOOD},
        {KIND_TITLE, "Here you are: {\"title\": \"A\"} Enjoy!", JUDGED_GOOD},
        {KIND_TITLE, "<think>hm</think>{\"title\": \"A\"}", JUDGED_GOOD},
        {KIND_TITLE, "<think>a {brace}</think>{\"title\": \"A\"}", JUDGED_BAD},
        {KIND_TITLE, "A plain title", JUDGED_BAD},
        {KIND_TITLE, "{\"title\": 1}", JUDGED_BAD},
        {KIND_TITLE, "{\"Title\": \"A\"}", JUDGED_BAD},
        {KIND_TITLE, "{\"title\": \"A", JUDGED_BAD},
        {KIND_TITLE, "", JUDGED_BAD},
        {KIND_TITLE, "{\"title\": \"a\nb\"}", JUDGED_BAD},
        {KIND_TITLE, "{\"title\": \"a\tb\"}", JUDGED_BAD},
        {KIND_TITLE, "{\"title\": \"A\",}", JUDGED_BAD},
        {KIND_TITLE, "{\"title\": \"\\x\"}", JUDGED_BAD},
        {KIND_TITLE, "{\"title\": \"\\ud83d\"}", JUDGED_GOOD},
        {KIND_TITLE, "{\"title\": \"A\", \"p\": [NaN, -Infinity]}", JUDGED_GOOD},
        {KIND_TITLE, "{\"title\": \"A\", \"title\": 1}", JUDGED_BAD},
        {KIND_TITLE, "{\"title\": 1, \"ti\\u0074le\": \"A\"}", JUDGED_GOOD},
        {KIND_TITLE, "{\"title\": \"\\u3000\u00a0\"}", JUDGED_EMPTY},
        {KIND_TITLE, "{\"title\": \"\xff\"}", JUDGED_BAD},
        {KIND_TITLE, "<think>Maybe {\"title\": \"Draft\"} or", JUDGED_BAD},
        {KIND_TITLE, "<reasoning>{\"title\": \"Draft\"}", JUDGED_BAD},
        {KIND_TITLE, "<details type=\"reasoning\">{\"title\": \"Draft\"}", JUDGED_BAD},
        {KIND_TITLE, "{\"title\": \"A <think> tag\"}", JUDGED_GOOD},
        {KIND_TITLE, "{\"title\": \"A\"} <think>", JUDGED_GOOD},
        {KIND_TAGS, "{\"tags\": [\"a\", 1]}", JUDGED_BAD},
        {KIND_QUERY, "{\"queries\": [\"a {b}\"]}", JUDGED_BAD},
        {KIND_QUERY, "{\"queries\": [1]}", JUDGED_BAD},
        {KIND_IMAGE_PROMPT, "{x} {\"prompt\": \"a cat\"}", JUDGED_GOOD},
        {KIND_AUTOCOMPLETE, "{\"text\": \"a\", \"p\": NaN}", JUDGED_BAD},
        {KIND_AUTOCOMPLETE, "{\"text\": \"\\ud83d\"}", JUDGED_GOOD},
        {KIND_EMOJI, "\u25C6", JUDGED_BAD},
        {KIND_EMOJI, "1\uFE0F", JUDGED_BAD},
        {KIND_EMOJI, "\u2639 \u2764\uFE0F", JUDGED_GOOD},
        {KIND_EMOJI, "<think>\xF0\x9F\x98\x80", JUDGED_BAD},
        {KIND_CONTEXT_COMPACTION, "<think>a summary", JUDGED_BAD},
        {KIND_TAGS, "{\"tags\": [\"a\", \"b\"]}", JUDGED_GOOD},
        {KIND_TAGS, "{\"tags\": []}", JUDGED_EMPTY},
        {KIND_TAGS, "{\"tags\": \"a\"}", JUDGED_BAD},
        {KIND_FOLLOW_UP, "{\"follow_ups\": [\"a?\"]}", JUDGED_GOOD},
        {KIND_FOLLOW_UP, "{\"follow_ups\": [\"a?\", 1]}", JUDGED_BAD},
        {KIND_QUERY, "{\"queries\": [\"a\"]}", JUDGED_GOOD},
        {KIND_QUERY, "{\"a\": 1} {\"queries\": [\"a\"]}", JUDGED_GOOD},
        {KIND_QUERY, "what to search", JUDGED_BAD},
        {KIND_AUTOCOMPLETE, "{\"text\": \" go on\"}", JUDGED_GOOD},
        {KIND_AUTOCOMPLETE, "{\"text\": \"\"}", JUDGED_EMPTY},
        {KIND_AUTOCOMPLETE, "{\"text\": \"a\"} {\"text\": \"b\"}", JUDGED_BAD},
        {KIND_AUTOCOMPLETE, "plain words", JUDGED_BAD},
        {KIND_IMAGE_PROMPT, "{\"prompt\": \"a cat\"}", JUDGED_GOOD},
        {KIND_EMOJI, "\xF0\x9F\x98\x80", JUDGED_GOOD},
        {KIND_EMOJI, "happy", JUDGED_BAD},
        {KIND_CONTEXT_COMPACTION, "a summary", JUDGED_GOOD},
        {KIND_CONTEXT_COMPACTION, " \n", JUDGED_BAD},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum judgement j = judge(rows[i].kind, rows[i].content, FINISH_STOP);
        if (j != rows[i].judged) {
            fail_msg("%s %s: judged %d, not %d", kind_info(rows[i].kind)->name, rows[i].content,
                     (int)j, (int)rows[i].judged);
        }
    }
}

static void finish_reasons_count(void **state)
{
    (void)state;
    assert_int_equal(judge(KIND_TITLE, "{\"title\": \"A\"}", FINISH_LENGTH), JUDGED_GOOD);
    assert_int_equal(judge(KIND_TITLE, "{\"title\": \"A", FINISH_LENGTH), JUDGED_BAD);
    assert_int_equal(judge(KIND_EMOJI, "\xF0\x9F\x98\x80", FINISH_LENGTH), JUDGED_GOOD);
    assert_int_equal(judge(KIND_CONTEXT_COMPACTION, "half a summ", FINISH_LENGTH), JUDGED_BAD);
    assert_int_equal(judge(KIND_TITLE, "{\"title\": \"A\"}", FINISH_NONE), JUDGED_GOOD);
    assert_int_equal(judge(KIND_TITLE, "{\"title\": \"A\"}", FINISH_OTHER), JUDGED_BAD);
}

/* Open WebUI reads the thinking where the content of these kinds is empty. */
static void thinking_stands_in_for_empty_content(void **state)
{
    static const struct {
        enum kind_id kind;
        const char *content, *thinking;
        enum finish finish;
        enum judgement judged;
    } rows[] = {
        {KIND_TITLE, "", "So {\"title\": \"A\"}", FINISH_STOP, JUDGED_GOOD},
        {KIND_TITLE, "", "So {\"title\": \"A\"}", FINISH_NONE, JUDGED_GOOD},
        {KIND_TITLE, "", "So {\"title\": \"A\"}", FINISH_LENGTH, JUDGED_BAD},
        {KIND_TITLE, " ", "So {\"title\": \"A\"}", FINISH_STOP, JUDGED_BAD},
        {KIND_TAGS, "", "{\"tags\": []}", FINISH_STOP, JUDGED_EMPTY},
        {KIND_FOLLOW_UP, "", "{\"follow_ups\": [\"a?\"]}", FINISH_STOP, JUDGED_GOOD},
        {KIND_QUERY, "", "{\"queries\": [\"a\"]}", FINISH_STOP, JUDGED_BAD},
        {KIND_AUTOCOMPLETE, "", "{\"text\": \"a\"}", FINISH_STOP, JUDGED_BAD},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct kind_info *info = kind_info(rows[i].kind);
        struct kind_policy policy = {.shape = info->shape,
                                     .shape_member = (char *)(uintptr_t)info->member};
        struct answer a;
        answer_init(&a);
        a.finish = rows[i].finish;
        assert_int_equal(buf_append_span(&a.content, span_of(rows[i].content)), ERR_OK);
        assert_int_equal(buf_append_span(&a.thinking, span_of(rows[i].thinking)), ERR_OK);
        assert_int_equal(answer_judge(&a, &policy, (int)rows[i].kind), rows[i].judged);
        answer_free(&a);
    }
}

static void a_query_switched_off_asks_for_the_last_message(void **state)
{
    struct kind_policy policy = {.answer = (char *)(uintptr_t)kind_info(KIND_QUERY)->empty};
    struct dialect_request r = {
        .last_text = SPAN("### Task:\n...\n<chat_history>\nUSER: one\nASSISTANT: two\n"
                          "USER: what \"is\" three?\n</chat_history>\n")};
    struct buf out = {.max = 1024};
    (void)state;
    assert_int_equal(answer_empty_content(&policy, KIND_QUERY, &r, &out), ERR_OK);
    assert_span(buf_span(&out), "{\"queries\": [\"what \\\"is\\\" three?\"]}");
    buf_clear(&out);
    assert_int_equal(answer_empty_content(&policy, KIND_QUERY, NULL, &out), ERR_OK);
    assert_span(buf_span(&out), "{\"queries\": []}");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_judged_as_open_webui_reads_them),
        cmocka_unit_test(finish_reasons_count),
        cmocka_unit_test(thinking_stands_in_for_empty_content),
        cmocka_unit_test(a_query_switched_off_asks_for_the_last_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
