/* test_task_fixtures.c: every request of tests/fixtures/requests is taken for what it is: with its
 * headers, without the task header, and in the other JSON style (escaped instead of raw UTF-8).
 */
#include "unit/webui/task_support.h"

#include <cjson/cJSON.h>

struct seen {
    size_t records, tasks, chats, others, lookalikes, kinds[KIND_BUILTIN_COUNT];
};

static const char *member(const cJSON *record, const char *name)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(record, name));
    assert_non_null(text);
    return text;
}

/* Value of the task header; NULL when the record has none. */
static const char *task_header(const cJSON *record)
{
    const cJSON *pair;
    cJSON_ArrayForEach(pair, cJSON_GetObjectItemCaseSensitive(record, "headers"))
    {
        if (strcmp(cJSON_GetStringValue(cJSON_GetArrayItem(pair, 0)), "X-OpenWebUI-Task") == 0) {
            return cJSON_GetStringValue(cJSON_GetArrayItem(pair, 1));
        }
    }
    return NULL;
}

static struct task_decision classify(const cJSON *record, const char *body, const char *header)
{
    struct task_fixture f;
    fixture_init(&f);
    bool post = strcmp(member(record, "method"), "POST") == 0;
    enum endpoint endpoint = post ? endpoint_of(span_of(member(record, "path"))) : ENDPOINT_OTHER;
    struct dialect_request request = {0};
    bool parsed = endpoint != ENDPOINT_OTHER && endpoint != ENDPOINT_EMBEDDINGS &&
                  dialect_request_parse(span_of(body), endpoint, &request);
    enum task_header verdict = header == NULL      ? TASK_HEADER_ABSENT
                               : header[0] == '\0' ? TASK_HEADER_EMPTY
                                                   : TASK_HEADER_VALUE;
    struct task_decision d =
        task_classify(&f.settings, endpoint, verdict, span_of(header), parsed ? &request : NULL);
    if (parsed) {
        dialect_request_free(&request);
    }
    return d;
}

static void check(const cJSON *record, const char *body, const char *header, struct seen *seen)
{
    struct task_fixture f;
    fixture_init(&f);
    struct task_decision d = classify(record, body, header);
    const char *got = decided(&f.settings, d);
    if (strcmp(got, member(record, "kind")) != 0) {
        fail_msg("%s (%s, header %s): taken for %s, %s", member(record, "kind"),
                 member(record, "note"), header == NULL ? "absent" : header, got, d.why);
    }
    bool lookalike = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(record, "lookalike"));
    assert_int_equal(d.lookalike, header == NULL && lookalike);
    assert_false(d.unknown_header);
    seen->tasks += d.cls == TASK_CLASS_TASK;
    seen->chats += d.cls == TASK_CLASS_CHAT;
    seen->others += d.cls == TASK_CLASS_OTHER;
    seen->lookalikes += d.lookalike;
    if (d.cls == TASK_CLASS_TASK) {
        seen->kinds[d.kind]++;
    }
}

static unsigned code_point_at(const unsigned char *p, size_t *len)
{
    *len = *p >= 0xF0 ? 4 : *p >= 0xE0 ? 3 : 2;
    unsigned cp = *p & (0x3FU >> (*len - 1));
    for (size_t i = 1; i < *len; i++) {
        cp = cp << 6 | (p[i] & 0x3FU);
    }
    return cp;
}

/* The JSON text with every character beyond ASCII escaped. free() it. */
static char *escaped(const char *json)
{
    char *out = malloc(strlen(json) * 6 + 1);
    assert_non_null(out);
    size_t len = 0;
    for (const unsigned char *p = (const unsigned char *)json; *p != '\0';) {
        if (*p < 0x80) {
            out[len++] = (char)*p++;
            continue;
        }
        size_t used;
        unsigned cp = code_point_at(p, &used);
        p += used;
        if (cp < 0x10000) {
            len += (size_t)snprintf(out + len, 7, "\\u%04x", cp);
        } else {
            cp -= 0x10000;
            len += (size_t)snprintf(out + len, 13, "\\u%04x\\u%04x", 0xD800 + (cp >> 10),
                                    0xDC00 + (cp & 0x3FF));
        }
    }
    out[len] = '\0';
    return out;
}

static void check_record(const cJSON *record, struct seen *seen)
{
    const char *body = member(record, "body");
    const char *header = task_header(record);
    check(record, body, header, seen);
    check(record, body, NULL, seen);
    char *ascii = escaped(body);
    check(record, ascii, NULL, seen);
    free(ascii);
    cJSON *parsed = cJSON_Parse(body);
    if (parsed != NULL) {
        char *compact = cJSON_PrintUnformatted(parsed);
        assert_non_null(compact);
        check(record, compact, NULL, seen);
        cJSON_free(compact);
        cJSON_Delete(parsed);
    }
}

static void test_every_request_is_taken_for_what_it_is(void **state)
{
    (void)state;
    FILE *file = fopen(LULL_SOURCE_DIR "/tests/fixtures/requests/open-webui.jsonl", "r");
    assert_non_null(file);
    struct seen seen = {0};
    for (char *line = next_line(file); line != NULL; line = next_line(file)) {
        cJSON *record = cJSON_Parse(line);
        assert_non_null(record);
        check_record(record, &seen);
        seen.records++;
        cJSON_Delete(record);
        free(line);
    }
    fclose(file);
    assert_true(seen.records >= 60);
    assert_true(seen.tasks > 0 && seen.chats > 0 && seen.others > 0 && seen.lookalikes > 0);
    for (int i = 0; i < KIND_BUILTIN_COUNT; i++) {
        assert_true(seen.kinds[i] > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_request_is_taken_for_what_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
