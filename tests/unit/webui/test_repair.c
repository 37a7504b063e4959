/* test_repair.c: answers that Open WebUI could not read, made readable; and which are left alone.
 */
#include "support/check.h"
#include "support/speed.h"

#include "lull/path/webui/repair.h"

#include <stdio.h>

static struct kind_policy policy_of(enum kind_id kind)
{
    const struct kind_info *info = kind_info(kind);
    return (struct kind_policy){.shape = info->shape,
                                .shape_member = (char *)(uintptr_t)info->member};
}

/* content NULL: it must stay as it is. */
static void mended(enum kind_id kind, const char *content, enum finish finish, const char *wanted)
{
    struct kind_policy policy = policy_of(kind);
    struct answer a;
    answer_init(&a);
    a.finish = finish;
    assert_int_equal(buf_append_span(&a.content, span_of(content)), ERR_OK);
    bool was_bad = answer_validate(&a, &policy, (int)kind) == ANSWER_BAD;
    bool changed = answer_repair(&a, &policy, (int)kind);
    struct span now = buf_span(&a.content);
    if (changed != (wanted != NULL) || !span_eq(now, span_of(wanted == NULL ? content : wanted))) {
        fail_msg("%s: %s became %.*s", kind_info(kind)->name, content, (int)now.len, now.ptr);
    }
    assert_int_equal(a.finish, finish);
    if (changed) {
        assert_true(was_bad);
        assert_int_not_equal(answer_validate(&a, &policy, (int)kind), ANSWER_BAD);
        assert_false(answer_repair(&a, &policy, (int)kind));
    }
    answer_free(&a);
}

#define T(x) "{\"title\": \"" x "\"}"

static const struct {
    enum kind_id kind;
    const char *content, *wanted;
} rows[] = {
    /* readable already */
    {KIND_TITLE, T("A"), NULL},
    {KIND_TITLE, "<think>hm</think>" T("A"), NULL},
    {KIND_TITLE, "```json\n" T("A") "\n```", NULL},
    {KIND_TITLE, T(""), NULL},
    /* thinking with a brace */
    {KIND_TITLE, "<think>a {brace}</think>\n" T("A"), T("A")},
    {KIND_TITLE, "<thinking>a {</thinking>" T("A"), T("A")},
    {KIND_TITLE, "<reason>a {</reason>" T("A"), T("A")},
    {KIND_TITLE, "<reasoning>a {</reasoning>" T("A"), T("A")},
    {KIND_TITLE, "<thought>a {</thought>" T("A"), T("A")},
    {KIND_TITLE, "<Thought>a {</Thought>" T("A"), T("A")},
    {KIND_TITLE, "<|begin_of_thought|>{<|end_of_thought|>" T("A"), T("A")},
    {KIND_TITLE, "\u25C1think\u25B7{\u25C1/think\u25B7" T("A"), T("A")},
    {KIND_TITLE, "<details type=\"reasoning\" done=\"true\">{</details>" T("A"), T("A")},
    {KIND_TITLE, "[THINK]a {[/THINK]" T("A"), T("A")},
    {KIND_TITLE, "<seed:think>a {</seed:think>" T("A"), T("A")},
    {KIND_TITLE, "<|channel|>analysis<|message|>{<|end|><|start|>assistant" T("A"), T("A")},
    {KIND_TITLE, "<think>{</think>x<think>{</think> " T("A") " <think>}</think>", T("A")},
    {KIND_TITLE, "<think>{<think>{</think>{</think>" T("A"), T("A")},
    {KIND_TITLE, "a thought {\n</think>\n" T("A"), T("A")},
    {KIND_TITLE, T("draft") "</think>" T("A") " {", T("A")},
    {KIND_TITLE, "<think>" T("draft") "</think>" T("A") " {x}", T("A")},
    {KIND_TITLE, "<think>" T("draft") "</think> {no answer}", NULL},
    {KIND_TITLE, T("draft") " {</think> no answer", NULL},
    {KIND_TITLE, "<think>{x} " T("A"), NULL},
    {KIND_TITLE, "{x} " T("A") " <think>{", T("A")},
    {KIND_TITLE, "{\"title\": <think>{</think>\"A\"}", NULL},
    {KIND_TITLE, "</details>{x}" T("A"), T("A")},
    {KIND_TITLE, "{x}</details>" T("A"), T("A")},
    {KIND_TITLE, "{x} " T("of </b> and <i>"), T("of </b> and <i>")},
    /* fences */
    {KIND_TITLE, "{x}\n```json\n" T("A") "\n```", T("A")},
    {KIND_TITLE, "```json\n" T("A") "\n```\nor\n```json\n" T("B") "\n```", T("B")},
    {KIND_TITLE, "```json\n" T("A") "\n```\nor " T("B"), T("A")},
    {KIND_TITLE, "{x}\n```json\n" T("A") "\n{\n", T("A")},
    {KIND_TITLE, "```json\n{\"a\": 1}\n```\nor " T("B"), T("B")},
    {KIND_TITLE, "```json\n" T("") "\n```\nor " T("B"), T("B")},
    {KIND_TITLE, "```json\n" T("") "\n```\nor {x}", T("")},
    {KIND_TITLE, "```\n" T("A") "\n```\n{x}", T("A")},
    {KIND_TITLE, "<think>```json\n" T("draft") "\n```</think>{}" T("A"), T("A")},
    /* chatter */
    {KIND_TITLE, "Of \\frac{a}{b}: " T("A") " {ok}", T("A")},
    {KIND_TITLE, T("A") "\n" T("B"), T("B")},
    {KIND_TITLE, T("A") "\n" T(""), T("A")},
    {KIND_TITLE, T("A") "\n{\"note\": " T("B") "}", T("A")},
    {KIND_TITLE, T("A") T("B"), T("B")},
    {KIND_TITLE, "{\"title\": \"cut\n" T("A"), T("A")},
    {KIND_TITLE, "{ " T("A {b} \\\"c\\\" \\\\") "}", T("A {b} \\\"c\\\" \\\\")},
    {KIND_TITLE, "{x} {\"title\": \"two\nlines\"}", T("two\\nlines")},
    {KIND_TITLE, T("two\nlines"), T("two\\nlines")},
    {KIND_TITLE, T("a\tb\x01"), T("a\\tb\\u0001")},
    {KIND_TITLE, T("the \\alpha \\u12 \\\\x"), T("the \\\\alpha \\\\u12 \\\\x")},
    {KIND_TITLE, T("It\\'s"), T("It\\u0027s")},
    {KIND_TITLE, "{x}" T("It's \u2018it\u2019"), T("It\\u0027s \\u2018it\\u2019")},
    {KIND_FOLLOW_UP, "{\"follow_ups\": [\"what's\nup?\"]}", "{\"follow_ups\": [\"what's\\nup?\"]}"},
    {KIND_TITLE, "{\"a\": \"1\n\", \"title\": <think>{</think>\"A\"}", NULL},
    {KIND_AUTOCOMPLETE, "{\"text\": \" a\nb\"}", "{\"text\": \" a\\nb\"}"},
    {KIND_AUTOCOMPLETE, "{\"text\": \"a\", \"p\": NaN}", NULL},
    {KIND_TITLE, "{x} {\"a\":[1,-2.5e3,true,null,[],{},{\"b\":[{}]}], \"title\" : \"A\" }",
     "{\"a\":[1,-2.5e3,true,null,[],{},{\"b\":[{}]}], \"title\" : \"A\" }"},
    {KIND_TITLE, "{x} {\"title\": \"A\",}", NULL},
    {KIND_TITLE, "{x} {\"title\": nil}", NULL},
    {KIND_TITLE, "{x} {\"title\": 1}", NULL},
    {KIND_TITLE, "{x} {'title': 'A'}", NULL},
    {KIND_TITLE, "{x} {\"title\": \"A", NULL},
    {KIND_TITLE, "{x} {\"title\": \"A\\", NULL},
    {KIND_TITLE, "A plain title", NULL},
    {KIND_TITLE, "", NULL},
    {KIND_TITLE, "{", NULL},
    {KIND_TITLE, "}{", NULL},
    /* the other kinds */
    {KIND_TAGS, "{x} {\"tags\": [\"a\"]}", "{\"tags\": [\"a\"]}"},
    {KIND_TAGS, "{x} {\"tags\": []}", "{\"tags\": []}"},
    {KIND_FOLLOW_UP, "{\"follow_ups\": [\"a?\"]} {\"follow_ups\": [1]}",
     "{\"follow_ups\": [\"a?\"]}"},
    {KIND_QUERY, "{\"queries\": [\"a\"]} {x}", "{\"queries\": [\"a\"]}"},
    {KIND_QUERY, "{\"queries\": [\"a {b}\"]}", "{\"queries\": [\"a \\u007bb\\u007d\"]}"},
    {KIND_QUERY, "{\"queries\": [\"a\"], \"b\": {\"c\": 1}}", NULL},
    {KIND_IMAGE_PROMPT, "{\"prompt\": \"a {cat\"}", "{\"prompt\": \"a \\u007bcat\"}"},
    {KIND_QUERY, "x {\"queries\": [\"a\"]}", NULL},
    {KIND_AUTOCOMPLETE, "<think>{</think>{\"text\": \" on\"}", "{\"text\": \" on\"}"},
    {KIND_AUTOCOMPLETE, "{\"text\": \"a\"} {\"text\": \"b\"}", "{\"text\": \"b\"}"},
    {KIND_IMAGE_PROMPT, "{x}{\"prompt\": \"a cat\"}", NULL},
    {KIND_IMAGE_PROMPT, "{\"prompt\": \"a cat\"}{x}", "{\"prompt\": \"a cat\"}"},
    {KIND_TOOL_SELECTION, "<think>{</think>{\"tool_calls\": []}", "{\"tool_calls\": []}"},
    {KIND_EMOJI, "<think>{</think>{\"title\": \"A\"}", NULL},
    {KIND_CONTEXT_COMPACTION, "", NULL},
};

/* Of a kind without a member any object is an answer: a part of one that breaks off is another answer,
 * such as one call of a tool out of several. */
static void a_part_of_an_object_is_no_answer(void **state)
{
    (void)state;
    static const char call[] = "{\"name\": \"a\", \"parameters\": {\"b\": 1}}";
    static const struct {
        const char *before, *behind;
    } around[] = {{"{\"tool_calls\": [", ""},
                  {"{\"tool_calls\": [", ", "},
                  {"{\"tool_calls\": [", " {}]}"}, /* no comma */
                  {"x {\"tool_calls\": [{\"name\": \"z\"}, ", "\n```"},
                  {"```json\n{\"tool_calls\": [", "\n```\nIt is {done}."},
                  {"{\"tool_calls\": []} {\"tool_calls\": [", ""}};
    char content[256];
    for (size_t i = 0; i < sizeof around / sizeof around[0]; i++) {
        snprintf(content, sizeof content, "%s%s%s", around[i].before, call, around[i].behind);
        mended(KIND_TOOL_SELECTION, content, FINISH_STOP, NULL);
        mended(KIND_MEMORY_REVIEW, content, FINISH_STOP, NULL);
    }
    snprintf(content, sizeof content, "One of { these }, {x}: %s and {so on}", call);
    mended(KIND_TOOL_SELECTION, content, FINISH_STOP, call);
    /* where a member says which object it is, a part may be it */
    mended(KIND_TITLE, "{\"result\": " T("A"), FINISH_STOP, T("A"));
}

static void only_the_object_is_left(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        mended(rows[i].kind, rows[i].content, FINISH_STOP, rows[i].wanted);
    }
}

static void the_finish_reason_counts(void **state)
{
    (void)state;
    mended(KIND_TITLE, "{x}" T("A"), FINISH_LENGTH, T("A"));
    mended(KIND_TITLE, "{x}" T("A"), FINISH_NONE, T("A"));
    mended(KIND_TITLE, "{x}" T("A"), FINISH_OTHER, NULL);
    mended(KIND_TITLE, T("A"), FINISH_OTHER, NULL);
}

static void only_the_last_candidates_are_tried(void **state)
{
    struct buf content = {.max = 4096};
    (void)state;
    assert_int_equal(buf_append_span(&content, SPAN(T("A"))), ERR_OK);
    for (int i = 0; i < 15; i++) {
        assert_int_equal(buf_append_span(&content, SPAN("{\"a\":1}")), ERR_OK);
    }
    assert_int_equal(buf_append(&content, "", 1), ERR_OK);
    mended(KIND_TITLE, content.data, FINISH_STOP, T("A"));
    content.len--;
    assert_int_equal(buf_append(&content, "{\"a\":1}", 8), ERR_OK);
    mended(KIND_TITLE, content.data, FINISH_STOP, NULL);
    buf_free(&content);
}

static void no_text_takes_long(void **state)
{
    static const char *const pieces[] = {
        "{",           "{\"a\":",      "{\"a\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,",
        "{\"",         "{\"a\":{},",   "</think>",
        "<think>",     "{}",           "<think>{",
        "```json",     "\xE2\x97\x81", "\"{\\",
        "[{\"a\":[[[", "{\"a\":\"\\{", "{\"title\":\"\"}",
        "}",
    };
    enum { SIZE = 4 * 1024 * 1024 - 64 };
    struct kind_policy policy = policy_of(KIND_TITLE);
    (void)state;
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct answer a;
        answer_init(&a);
        a.finish = FINISH_STOP;
        while (a.content.len < SIZE) {
            assert_int_equal(buf_append_span(&a.content, span_of(pieces[i])), ERR_OK);
        }
        clock_t before = clock();
        (void)answer_repair(&a, &policy, KIND_TITLE);
        double took = speed_seconds(before);
        print_message("4 MB of %s: %.0f ms\n", pieces[i], took * 1000);
        assert_true(took < 5); /* quadratic: minutes */
        answer_free(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_object_is_left),
        cmocka_unit_test(a_part_of_an_object_is_no_answer),
        cmocka_unit_test(the_finish_reason_counts),
        cmocka_unit_test(only_the_last_candidates_are_tried),
        cmocka_unit_test(no_text_takes_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
