/* test_task_classify.c: the header rule, the classes of requests that are no task, own kinds, and
 * what a text must have, on requests made by hand.
 */
#include "unit/webui/task_support.h"

static const char title[] =
    "### Task:\nGenerate a concise title summarizing the chat history.\n### Output:\n"
    "### Chat History:\n<chat_history>\nUSER: hi\nASSISTANT: \n</chat_history>";
static const char emoji[] =
    "Your task is to reflect the speaker's likely facial expression through a fitting emoji.\n\n"
    "Message: ```hi```";

static struct task_decision by_header(const char *value, enum endpoint endpoint,
                                      const struct dialect_request *r)
{
    struct task_fixture f;
    fixture_init(&f);
    fixture_add_kind(&f, (char *)(uintptr_t) "commit");
    enum task_header header = value[0] == '\0' ? TASK_HEADER_EMPTY : TASK_HEADER_VALUE;
    return task_classify(&f.settings, endpoint, header, span_of(value), r);
}

static struct task_decision by_text(struct dialect_request r)
{
    struct task_fixture f;
    fixture_init(&f);
    return task_classify(&f.settings, r.endpoint, TASK_HEADER_ABSENT, SPAN_NONE, &r);
}

static void assert_chat(struct task_decision d, bool lookalike)
{
    assert_int_equal(d.cls, TASK_CLASS_CHAT);
    assert_int_equal(d.kind, KIND_NONE);
    assert_int_equal(d.lookalike, lookalike);
    assert_non_null(d.why);
}

static void assert_task(struct task_decision d, int kind)
{
    assert_int_equal(d.cls, TASK_CLASS_TASK);
    assert_int_equal(d.kind, kind);
    assert_false(d.lookalike);
    assert_false(d.unknown_header);
    assert_non_null(d.why);
}

static void test_every_header_value_names_its_kind(void **state)
{
    (void)state;
    struct dialect_request r = request_of("anything");
    for (int i = 0; i < KIND_BUILTIN_COUNT; i++) {
        struct task_decision d =
            by_header(kind_info((enum kind_id)i)->header_value, ENDPOINT_CHAT, &r);
        assert_task(d, i);
        assert_true(d.by_header);
    }
    assert_task(by_header("commit", ENDPOINT_CHAT, &r), KIND_BUILTIN_COUNT);
    assert_task(by_header(" \ttitle_generation ", ENDPOINT_CHAT, &r), KIND_TITLE);
}

static void test_header_beats_endpoint_stream_and_missing_body(void **state)
{
    (void)state;
    struct dialect_request r = request_of("hello");
    r.streamed = true;
    assert_task(by_header("title_generation", ENDPOINT_CHAT, &r), KIND_TITLE);
    assert_task(by_header("tags_generation", ENDPOINT_RESPONSES, NULL), KIND_TAGS);
    assert_task(by_header("tags_generation", ENDPOINT_OTHER, NULL), KIND_TAGS);
}

static void test_empty_header_is_a_chat_whatever_the_text(void **state)
{
    (void)state;
    struct dialect_request r = request_of(title);
    struct task_decision d = by_header("", ENDPOINT_CHAT, &r);
    assert_chat(d, false);
    assert_true(d.by_header);
    d = by_header("  ", ENDPOINT_CHAT, &r);
    assert_chat(d, false);
    assert_false(d.unknown_header);
}

static void test_unknown_header_value_is_a_counted_chat(void **state)
{
    (void)state;
    static const char *const values[] = {"voice_generation", "title", "TITLE_GENERATION",
                                         "title_generation2", "title_generation,tags_generation"};
    struct dialect_request r = request_of(title);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        struct task_decision d = by_header(values[i], ENDPOINT_CHAT, &r);
        assert_chat(d, false);
        assert_true(d.unknown_header);
    }
    assert_int_equal(by_header("voice_generation", ENDPOINT_EMBEDDINGS, NULL).cls,
                     TASK_CLASS_OTHER);
}

static void test_merge_is_a_known_chat(void **state)
{
    (void)state;
    struct dialect_request r = request_of("hello");
    struct task_decision d = by_header("moa_response_generation", ENDPOINT_CHAT, &r);
    assert_chat(d, false);
    assert_false(d.unknown_header);
}

static void test_tasks_off_means_no_tasks(void **state)
{
    (void)state;
    struct task_fixture f;
    fixture_init(&f);
    f.settings.mode = TASKS_OFF;
    struct dialect_request r = request_of(title);
    assert_chat(
        task_classify(&f.settings, ENDPOINT_CHAT, TASK_HEADER_VALUE, SPAN("title_generation"), &r),
        false);
    assert_chat(task_classify(&f.settings, ENDPOINT_CHAT, TASK_HEADER_ABSENT, SPAN_NONE, &r),
                false);
    assert_int_equal(
        task_classify(&f.settings, ENDPOINT_OTHER, TASK_HEADER_ABSENT, SPAN_NONE, NULL).cls,
        TASK_CLASS_OTHER);
}

static void test_classes_of_endpoints(void **state)
{
    (void)state;
    struct task_fixture f;
    fixture_init(&f);
    static const struct {
        enum endpoint endpoint;
        enum task_class cls;
    } rows[] = {
        {ENDPOINT_OTHER, TASK_CLASS_OTHER},      {ENDPOINT_EMBEDDINGS, TASK_CLASS_OTHER},
        {ENDPOINT_CHAT, TASK_CLASS_CHAT},        {ENDPOINT_COMPLETIONS, TASK_CLASS_CHAT},
        {ENDPOINT_RESPONSES, TASK_CLASS_CHAT},   {ENDPOINT_MESSAGES, TASK_CLASS_CHAT},
        {ENDPOINT_OLLAMA_CHAT, TASK_CLASS_CHAT}, {ENDPOINT_OLLAMA_GENERATE, TASK_CLASS_CHAT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct task_decision d =
            task_classify(&f.settings, rows[i].endpoint, TASK_HEADER_ABSENT, SPAN_NONE, NULL);
        assert_int_equal(d.cls, rows[i].cls);
        assert_int_equal(d.kind, KIND_NONE);
    }
    struct dialect_request load = {.endpoint = ENDPOINT_OLLAMA_GENERATE};
    assert_int_equal(by_text(load).cls, TASK_CLASS_OTHER);
    load.endpoint = ENDPOINT_OLLAMA_CHAT;
    assert_int_equal(by_text(load).cls, TASK_CLASS_OTHER);
    load.endpoint = ENDPOINT_CHAT;
    assert_int_equal(by_text(load).cls, TASK_CLASS_CHAT);
}

static void test_text_rule_needs_every_other_sign(void **state)
{
    (void)state;
    struct dialect_request r = request_of(title);
    assert_task(by_text(r), KIND_TITLE);
    r.endpoint = ENDPOINT_OLLAMA_CHAT;
    assert_task(by_text(r), KIND_TITLE);
    r = request_of(title);
    r.streamed = true;
    assert_chat(by_text(r), false);
    r = request_of(title);
    r.has_tools = true;
    assert_chat(by_text(r), false);
    r = request_of(title);
    r.message_count = 3;
    assert_chat(by_text(r), false);
    r = request_of(title);
    r.message_count = 2; /* and no system message: another message of the person's */
    assert_chat(by_text(r), false);
    r = request_of(title);
    r.endpoint = ENDPOINT_COMPLETIONS;
    assert_chat(by_text(r), false);
    assert_task(by_text(request_with_system("Answer briefly.", title)), KIND_TITLE);
}

static void test_beginning_and_ending_are_both_needed(void **state)
{
    (void)state;
    char text[512];
    snprintf(text, sizeof text, "%s\n", title);
    assert_task(by_text(request_of(text)), KIND_TITLE);
    snprintf(text, sizeof text, "\n %s \r\n", title);
    assert_task(by_text(request_of(text)), KIND_TITLE);
    snprintf(text, sizeof text, "%s Is this a good prompt?", title);
    assert_chat(by_text(request_of(text)), true);
    snprintf(text, sizeof text, "Is this a good prompt? %s", title);
    assert_chat(by_text(request_of(text)), false);
    snprintf(text, sizeof text, "%.*s", (int)strlen(title) - 1, title);
    assert_chat(by_text(request_of(text)), true);
    assert_chat(
        by_text(request_of("### Task:\nGenerate a concise title summarizing the chat history.")),
        true);
    /* an ending that only the beginning's own bytes could make */
    assert_task(by_text(request_of(emoji)), KIND_EMOJI);
    snprintf(text, sizeof text, "%.*s", (int)strlen(emoji) - 5, emoji);
    assert_chat(by_text(request_of(text)), true);
}

static void test_unknown_task_headings_are_lookalikes_and_rag_is_not(void **state)
{
    (void)state;
    assert_chat(by_text(request_of("### Task:\nWrite a haiku.")), true);
    assert_chat(by_text(request_of("### Tasks for today")), false);
    assert_chat(
        by_text(request_of("### Task:\nRespond to the user query using the provided context, x")),
        false);
    assert_chat(
        by_text(request_of("You have been provided with a set of responses from various models to "
                           "the latest user query: \"a\"")),
        false);
    assert_chat(by_text(request_of("### Task:\nGenerate a concise title summarizing the content in "
                                   "the content's primary language.\n### Guidelines:\n- Short.\n"
                                   "### Content:\n<content>\nA note\n</content>")),
                false);
    assert_chat(by_text(request_of("### Task:\nGenerate a concise, 3-5 word title with an emoji "
                                   "summarizing the content in the content's primary language.\n")),
                false);
    assert_chat(by_text(request_of("hello")), false);
    assert_chat(by_text(request_of("")), false);
    assert_chat(by_text(request_with_system("Available Tools: []", "hello")), true);
}

static void test_system_prompts_are_found_at_a_line_start_only(void **state)
{
    (void)state;
    const char tools[] =
        "Available Tools: [{}]\n\nYour task is to choose and return the correct tool(s) from the "
        "list of available tools based on the query. Follow";
    char saved[512];
    assert_task(by_text(request_with_system(tools, "Query: a")), KIND_TOOL_SELECTION);
    assert_task(by_text(request_with_system(tools, "History:\nUSER: \"\"\"a\"\"\"\nQuery: b")),
                KIND_TOOL_SELECTION);
    assert_chat(by_text(request_with_system(tools, "What is this?")), true);
    assert_chat(by_text(request_of("Query: a")), false);
    snprintf(saved, sizeof saved, "Be brief.\n%s", tools);
    assert_task(by_text(request_with_system(saved, "Query: a")), KIND_TOOL_SELECTION);
    snprintf(saved, sizeof saved, "He said: %s", tools);
    assert_chat(by_text(request_with_system(saved, "Query: a")), false);
}

static void test_compaction_needs_both_marks_in_order(void **state)
{
    (void)state;
    const char head[] =
        "### Task:\nSummarize the conversation history that will be compacted out of the active "
        "chat context.\n";
    char text[512];
    snprintf(text, sizeof text, "%s### Previous Summary:\n\n### Messages Being Compacted:\nUSER: a",
             head);
    assert_task(by_text(request_of(text)), KIND_CONTEXT_COMPACTION);
    snprintf(text, sizeof text, "%s### Messages Being Compacted:\n\n### Previous Summary:\nUSER: a",
             head);
    assert_chat(by_text(request_of(text)), true);
    snprintf(text, sizeof text, "%s### Previous Summary:\n", head);
    assert_chat(by_text(request_of(text)), true);
}

static void test_texts_of_the_configuration(void **state)
{
    (void)state;
    struct task_fixture f;
    fixture_init(&f);
    f.kinds[KIND_TITLE].match = (char *)(uintptr_t) "Erzeuge einen kurzen Titel";
    struct kind_policy *commit = fixture_add_kind(&f, (char *)(uintptr_t) "commit");
    commit->match = (char *)(uintptr_t) "Write a commit message";
    commit->system_match = (char *)(uintptr_t) "You write commits";
    struct kind_policy *patch = fixture_add_kind(&f, (char *)(uintptr_t) "patch");
    patch->match = (char *)(uintptr_t) "Write a commit message for this patch";

    struct dialect_request german = request_of("Erzeuge einen kurzen Titel für den Verlauf.");
    struct dialect_request both =
        request_with_system("You write commits.", "Write a commit message: x");
    struct dialect_request half = request_of("Write a commit message: x");
    struct dialect_request longer = request_of("Write a commit message for this patch: x");
    const struct settings *s = &f.settings;
    assert_task(task_classify(s, ENDPOINT_CHAT, TASK_HEADER_ABSENT, SPAN_NONE, &german),
                KIND_TITLE);
    assert_string_equal(
        decided(s, task_classify(s, ENDPOINT_CHAT, TASK_HEADER_ABSENT, SPAN_NONE, &both)),
        "commit");
    assert_chat(task_classify(s, ENDPOINT_CHAT, TASK_HEADER_ABSENT, SPAN_NONE, &half), false);
    assert_string_equal(
        decided(s, task_classify(s, ENDPOINT_CHAT, TASK_HEADER_ABSENT, SPAN_NONE, &longer)),
        "patch");
    german.streamed = true;
    assert_chat(task_classify(s, ENDPOINT_CHAT, TASK_HEADER_ABSENT, SPAN_NONE, &german), false);
    german.streamed = false;
    assert_chat(task_classify(s, ENDPOINT_CHAT, TASK_HEADER_EMPTY, SPAN_NONE, &german), false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_header_value_names_its_kind),
        cmocka_unit_test(test_header_beats_endpoint_stream_and_missing_body),
        cmocka_unit_test(test_empty_header_is_a_chat_whatever_the_text),
        cmocka_unit_test(test_unknown_header_value_is_a_counted_chat),
        cmocka_unit_test(test_merge_is_a_known_chat),
        cmocka_unit_test(test_tasks_off_means_no_tasks),
        cmocka_unit_test(test_classes_of_endpoints),
        cmocka_unit_test(test_text_rule_needs_every_other_sign),
        cmocka_unit_test(test_beginning_and_ending_are_both_needed),
        cmocka_unit_test(test_unknown_task_headings_are_lookalikes_and_rag_is_not),
        cmocka_unit_test(test_system_prompts_are_found_at_a_line_start_only),
        cmocka_unit_test(test_compaction_needs_both_marks_in_order),
        cmocka_unit_test(test_texts_of_the_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
