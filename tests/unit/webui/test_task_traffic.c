/* test_task_traffic.c: captured requests of real Open WebUI releases are taken for what they were,
 * with the task header and without it. The captures lie beside the checkout; without them the test
 * is skipped.
 */
#include "unit/webui/task_support.h"

#include <cjson/cJSON.h>
#include <glob.h>

struct totals {
    size_t posts, tasks, with_header, lookalikes, pasted_lookalikes, typed;
};

static const char *text_of(const cJSON *record, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(record, name));
}

/* lull's word for a captured kind. */
static const char *expected(const char *kind, enum endpoint endpoint)
{
    if (strcmp(kind, "function_calling") == 0) {
        return "tool_selection";
    }
    if (strcmp(kind, "moa") == 0) {
        return "chat";
    }
    if (endpoint == ENDPOINT_OTHER || endpoint == ENDPOINT_EMBEDDINGS) {
        return "other";
    }
    return kind;
}

static const char *header_of(const cJSON *record)
{
    const cJSON *pair;
    cJSON_ArrayForEach(pair, cJSON_GetObjectItemCaseSensitive(record, "headers"))
    {
        if (strcasecmp(cJSON_GetStringValue(cJSON_GetArrayItem(pair, 0)), "X-OpenWebUI-Task") ==
            0) {
            return cJSON_GetStringValue(cJSON_GetArrayItem(pair, 1));
        }
    }
    return NULL;
}

static struct span path_of(const cJSON *record)
{
    const char *path = text_of(record, "path");
    return span_make(path, strcspn(path, "?"));
}

static void expect(const char *file, const cJSON *record, struct task_decision d, const char *want)
{
    struct task_fixture f;
    fixture_init(&f);
    const char *got = decided(&f.settings, d);
    if (strcmp(got, want) != 0) {
        fail_msg("%s, seq %d: %s taken for %s (%s)", file,
                 cJSON_GetObjectItemCaseSensitive(record, "seq")->valueint, want, got, d.why);
    }
}

static void check_completion(const struct dialect_request *request, struct totals *totals)
{
    struct task_completion c = task_completion_of(request);
    assert_true(c.found);
    assert_true(c.text.len > 0);
    assert_true(span_find(request->last_text, c.text, 0) != SIZE_MAX);
    totals->typed++;
}

static void check_post(const char *file, const cJSON *record, struct totals *totals)
{
    struct task_fixture f;
    fixture_init(&f);
    enum endpoint endpoint = endpoint_of(path_of(record));
    const char *want = expected(text_of(record, "kind"), endpoint);
    struct dialect_request request = {0};
    bool parsed = endpoint != ENDPOINT_OTHER && endpoint != ENDPOINT_EMBEDDINGS;
    if (parsed) {
        assert_true(dialect_request_parse(span_of(text_of(record, "body")), endpoint, &request));
    }
    const struct dialect_request *r = parsed ? &request : NULL;
    const char *header = header_of(record);
    if (header != NULL) {
        enum task_header verdict = header[0] == '\0' ? TASK_HEADER_EMPTY : TASK_HEADER_VALUE;
        struct task_decision d = task_classify(&f.settings, endpoint, verdict, span_of(header), r);
        expect(file, record, d, want);
        assert_false(d.unknown_header);
        totals->with_header++;
    }
    struct task_decision d = task_classify(&f.settings, endpoint, TASK_HEADER_ABSENT, SPAN_NONE, r);
    /* the text rule does not read forms that lull cannot assemble */
    expect(file, record, d, endpoint == ENDPOINT_RESPONSES ? "chat" : want);
    totals->posts++;
    totals->tasks += d.cls == TASK_CLASS_TASK;
    totals->lookalikes += d.lookalike;
    totals->pasted_lookalikes += d.lookalike && strstr(file, "pasted") != NULL;
    if (d.kind == KIND_AUTOCOMPLETE) {
        check_completion(r, totals);
    }
    if (parsed) {
        dialect_request_free(&request);
    }
}

static void check_file(const char *path, struct totals *totals)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    for (char *line = next_line(file); line != NULL; line = next_line(file)) {
        cJSON *record = cJSON_Parse(line);
        assert_non_null(record);
        if (strcmp(text_of(record, "method"), "POST") == 0) {
            check_post(path, record, totals);
        }
        cJSON_Delete(record);
        free(line);
    }
    fclose(file);
}

static void test_captured_requests_are_taken_for_what_they_were(void **state)
{
    (void)state;
    glob_t found;
    if (glob(LULL_SOURCE_DIR "/../shared/traffic/*.jsonl", 0, NULL, &found) != 0) {
        print_message("no captured traffic beside the checkout: skipped\n");
        skip();
    }
    struct totals totals = {0};
    for (size_t i = 0; i < found.gl_pathc; i++) {
        check_file(found.gl_pathv[i], &totals);
    }
    globfree(&found);
    print_message(
        "%zu posts, %zu tasks by text, %zu with a header, %zu completions, %zu look-alikes\n",
        totals.posts, totals.tasks, totals.with_header, totals.typed, totals.lookalikes);
    assert_true(totals.tasks > 0 && totals.with_header > 0 && totals.typed > 0);
    assert_int_equal(totals.lookalikes,
                     totals.pasted_lookalikes); /* nothing else looks like a task */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_captured_requests_are_taken_for_what_they_were),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
