/* test_validate.c: which answers are worth keeping: what Open WebUI's own parser of the kind finds.
 */
#include "support/check.h"

#include "lull/path/dialect/answer.h"

static enum answer_verdict judge(enum kind_id kind, const char *content, enum finish finish)
{
    const struct kind_info *info = kind_info(kind);
    struct kind_policy policy = {.shape = info->shape,
                                 .shape_member = (char *)(uintptr_t)info->member};
    struct answer a;
    answer_init(&a);
    a.finish = finish;
    assert_int_equal(buf_append_span(&a.content, span_of(content)), ERR_OK);
    enum answer_verdict j = answer_validate(&a, &policy, (int)kind);
    answer_free(&a);
    return j;
}

static void answers_are_judged_as_open_webui_reads_them(void **state)
{
    static const struct {
        enum kind_id kind;
        const char *content;
        enum answer_verdict judged;
    } rows[] = {
        {KIND_TITLE, "{\"title\": \"A\"}", ANSWER_GOOD},
        {KIND_TITLE, "```json\n{\"title\": \"A\"}\n```", ANSWER_GOOD},
        {KIND_TITLE, "Here you are: {\"title\": \"A\"} Enjoy!", ANSWER_GOOD},
        {KIND_TITLE, "<think>hm</think>{\"title\": \"A\"}", ANSWER_GOOD},
        {KIND_TITLE, "<think>a {brace}</think>{\"title\": \"A\"}", ANSWER_BAD},
        {KIND_TITLE, "A plain title", ANSWER_BAD},
        {KIND_TITLE, "{\"title\": 1}", ANSWER_BAD},
        {KIND_TITLE, "{\"Title\": \"A\"}", ANSWER_BAD},
        {KIND_TITLE, "{\"title\": \"A", ANSWER_BAD},
        {KIND_TITLE, "", ANSWER_BAD},
        {KIND_TITLE, "{\"title\": \"a\nb\"}", ANSWER_BAD},
        {KIND_TITLE, "{\"title\": \"a\tb\"}", ANSWER_BAD},
        {KIND_TITLE, "{\"title\": \"A\",}", ANSWER_BAD},
        {KIND_TITLE, "{\"title\": \"\\x\"}", ANSWER_BAD},
        {KIND_TITLE, "{\"title\": \"\\ud83d\"}", ANSWER_GOOD},
        {KIND_TITLE, "{\"title\": \"A\", \"p\": [NaN, -Infinity]}", ANSWER_GOOD},
        {KIND_TITLE, "{\"title\": \"A\", \"title\": 1}", ANSWER_BAD},
        {KIND_TITLE, "{\"title\": 1, \"ti\\u0074le\": \"A\"}", ANSWER_GOOD},
        {KIND_TITLE, "{\"title\": \"\\u3000\u00a0\"}", ANSWER_EMPTY},
        {KIND_TITLE, "{\"title\": \"\xff\"}", ANSWER_BAD},
        {KIND_TITLE, "<think>Maybe {\"title\": \"Draft\"} or", ANSWER_BAD},
        {KIND_TITLE, "<reasoning>{\"title\": \"Draft\"}", ANSWER_BAD},
        {KIND_TITLE, "<details type=\"reasoning\">{\"title\": \"Draft\"}", ANSWER_BAD},
        {KIND_TITLE, "[THINK]Maybe {\"title\": \"Draft\"}", ANSWER_BAD},
        {KIND_TITLE, "<seed:think>{\"title\": \"Draft\"} or", ANSWER_BAD},
        {KIND_TITLE, "<|channel|>analysis<|message|>{\"title\": \"Draft\"}", ANSWER_BAD},
        {KIND_TITLE, "[THINK]hm[/THINK]{\"title\": \"A\"}", ANSWER_GOOD},
        {KIND_TITLE, "{\"title\": \"A [THINK] tag\"}", ANSWER_GOOD},
        {KIND_TITLE, "{\"title\": \"A <think> tag\"}", ANSWER_GOOD},
        {KIND_TITLE, "{\"title\": \"A\"} <think>", ANSWER_GOOD},
        {KIND_TAGS, "{\"tags\": [\"a\", 1]}", ANSWER_BAD},
        {KIND_QUERY, "{\"queries\": [\"a {b}\"]}", ANSWER_BAD},
        {KIND_QUERY, "{\"queries\": [1]}", ANSWER_BAD},
        {KIND_IMAGE_PROMPT, "{x} {\"prompt\": \"a cat\"}", ANSWER_GOOD},
        {KIND_AUTOCOMPLETE, "{\"text\": \"a\", \"p\": NaN}", ANSWER_BAD},
        {KIND_AUTOCOMPLETE, "{\"text\": \"\\ud83d\"}", ANSWER_GOOD},
        {KIND_EMOJI, "\u25C6", ANSWER_BAD},
        {KIND_EMOJI, "1\uFE0F", ANSWER_BAD},
        {KIND_EMOJI, "\u2639 \u2764\uFE0F", ANSWER_GOOD},
        {KIND_EMOJI, "<think>\xF0\x9F\x98\x80", ANSWER_BAD},
        {KIND_CONTEXT_COMPACTION, "<think>a summary", ANSWER_BAD},
        {KIND_TAGS, "{\"tags\": [\"a\", \"b\"]}", ANSWER_GOOD},
        {KIND_TAGS, "{\"tags\": []}", ANSWER_EMPTY},
        {KIND_TAGS, "{\"tags\": \"a\"}", ANSWER_BAD},
        {KIND_FOLLOW_UP, "{\"follow_ups\": [\"a?\"]}", ANSWER_GOOD},
        {KIND_FOLLOW_UP, "{\"follow_ups\": [\"a?\", 1]}", ANSWER_BAD},
        {KIND_QUERY, "{\"queries\": [\"a\"]}", ANSWER_GOOD},
        {KIND_QUERY, "{\"a\": 1} {\"queries\": [\"a\"]}", ANSWER_GOOD},
        {KIND_QUERY, "what to search", ANSWER_BAD},
        {KIND_AUTOCOMPLETE, "{\"text\": \" go on\"}", ANSWER_GOOD},
        {KIND_AUTOCOMPLETE, "{\"text\": \"\"}", ANSWER_EMPTY},
        {KIND_AUTOCOMPLETE, "{\"text\": \"a\"} {\"text\": \"b\"}", ANSWER_BAD},
        {KIND_AUTOCOMPLETE, "plain words", ANSWER_BAD},
        {KIND_IMAGE_PROMPT, "{\"prompt\": \"a cat\"}", ANSWER_GOOD},
        {KIND_EMOJI, "\xF0\x9F\x98\x80", ANSWER_GOOD},
        {KIND_EMOJI, "happy", ANSWER_BAD},
        {KIND_CONTEXT_COMPACTION, "a summary", ANSWER_GOOD},
        {KIND_CONTEXT_COMPACTION, " \n", ANSWER_BAD},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum answer_verdict j = judge(rows[i].kind, rows[i].content, FINISH_STOP);
        if (j != rows[i].judged) {
            fail_msg("%s %s: judged %d, not %d", kind_info(rows[i].kind)->name, rows[i].content,
                     (int)j, (int)rows[i].judged);
        }
    }
}

static void finish_reasons_count(void **state)
{
    (void)state;
    assert_int_equal(judge(KIND_TITLE, "{\"title\": \"A\"}", FINISH_LENGTH), ANSWER_GOOD);
    assert_int_equal(judge(KIND_TITLE, "{\"title\": \"A", FINISH_LENGTH), ANSWER_BAD);
    assert_int_equal(judge(KIND_EMOJI, "\xF0\x9F\x98\x80", FINISH_LENGTH), ANSWER_GOOD);
    assert_int_equal(judge(KIND_CONTEXT_COMPACTION, "half a summ", FINISH_LENGTH), ANSWER_BAD);
    assert_int_equal(judge(KIND_TITLE, "{\"title\": \"A\"}", FINISH_NONE), ANSWER_GOOD);
    assert_int_equal(judge(KIND_TITLE, "{\"title\": \"A\"}", FINISH_OTHER), ANSWER_BAD);
}

/* Open WebUI reads the thinking where the content of these kinds is empty. */
static void thinking_stands_in_for_empty_content(void **state)
{
    static const struct {
        enum kind_id kind;
        const char *content, *thinking;
        enum finish finish;
        enum answer_verdict judged;
    } rows[] = {
        {KIND_TITLE, "", "So {\"title\": \"A\"}", FINISH_STOP, ANSWER_GOOD},
        {KIND_TITLE, "", "So {\"title\": \"A\"}", FINISH_NONE, ANSWER_GOOD},
        {KIND_TITLE, "", "So {\"title\": \"A\"}", FINISH_LENGTH, ANSWER_BAD},
        {KIND_TITLE, " ", "So {\"title\": \"A\"}", FINISH_STOP, ANSWER_BAD},
        {KIND_TAGS, "", "{\"tags\": []}", FINISH_STOP, ANSWER_EMPTY},
        {KIND_FOLLOW_UP, "", "{\"follow_ups\": [\"a?\"]}", FINISH_STOP, ANSWER_GOOD},
        {KIND_QUERY, "", "{\"queries\": [\"a\"]}", FINISH_STOP, ANSWER_BAD},
        {KIND_AUTOCOMPLETE, "", "{\"text\": \"a\"}", FINISH_STOP, ANSWER_BAD},
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
        assert_int_equal(answer_validate(&a, &policy, (int)rows[i].kind), rows[i].judged);
        a.is_reasoning = true; /* it does not look for thinking under that name */
        assert_int_equal(answer_validate(&a, &policy, (int)rows[i].kind), ANSWER_BAD);
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
