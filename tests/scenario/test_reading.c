/* test_reading.c: how often a plain miss reads its body and its answer. The linker replaces the readers
 * by these, which count and go on (scenario.cmake). */
#include "scenario/scenario.h"

#include "lull/path/json/json.h"

#include <cJSON.h>

static struct {
    size_t least; /* texts of that many bytes count as a whole body */
    int parses, scans, edits, members;
} seen;

cJSON *__real_cJSON_ParseWithLength(const char *text, size_t len);
cJSON *__wrap_cJSON_ParseWithLength(const char *text, size_t len);
enum json_verdict __real_json_canonical(struct span text, const struct span *omit, size_t count,
                                        struct buf *out);
enum json_verdict __wrap_json_canonical(struct span text, const struct span *omit, size_t count,
                                        struct buf *out);
enum err __real_json_edit(struct span text, const struct json_edit *edits, size_t count,
                          struct buf *out);
enum err __wrap_json_edit(struct span text, const struct json_edit *edits, size_t count,
                          struct buf *out);
bool __real_json_member(struct span text, struct span name, struct span *value);
bool __wrap_json_member(struct span text, struct span name, struct span *value);

cJSON *__wrap_cJSON_ParseWithLength(const char *text, size_t len)
{
    seen.parses += len >= seen.least;
    return __real_cJSON_ParseWithLength(text, len);
}

enum json_verdict __wrap_json_canonical(struct span text, const struct span *omit, size_t count,
                                        struct buf *out)
{
    seen.scans += text.len >= seen.least;
    return __real_json_canonical(text, omit, count, out);
}

enum err __wrap_json_edit(struct span text, const struct json_edit *edits, size_t count,
                          struct buf *out)
{
    seen.edits += text.len >= seen.least;
    return __real_json_edit(text, edits, count, out);
}

bool __wrap_json_member(struct span text, struct span name, struct span *value)
{
    seen.members += text.len >= seen.least;
    return __real_json_member(text, name, value);
}

/* A miss in the dialect of its server: one parse, the scan for what parsers read differently, the
 * scan for the key, and two edits for what is sent. */
static void a_miss_parses_its_body_once(void **state)
{
    (void)state;
    char question[8192];
    static const char *const sets[] = {"upstream.default.slots=64", NULL};
    struct world *w = world_begin(sets);
    struct client *a = client_open(w);
    memset(question, 'q', sizeof question);
    question[sizeof question - 1] = '\0';
    seen.least = sizeof question - 1;
    client_post(a, "/v1/chat/completions", "", ask_title(question, ""));
    assert_int_equal(model_calls(w), 1);
    assert_int_equal(seen.parses, 1);
    assert_int_equal(seen.scans, 2);
    assert_int_equal(seen.edits, 2);
    assert_int_equal(seen.members, 0);
    model_answer(model_call(w, 0), "{\"title\": \"Greeting\"}");
    assert_has(client_reply(a), "stored");
    world_end(w);
}

/* A task that the configuration sends to a server of the other dialect is not converted before its
 * call only to learn whether it can be. */
static void a_conversion_is_made_once(void **state)
{
    (void)state;
    static const char *const sets[] = {"upstream.other.url=http://127.0.0.1:2",
                                       "upstream.other.dialect=ollama", "upstream.other.slots=64",
                                       "task.title.upstream=other", NULL};
    char question[8192];
    struct world *w = world_begin(sets);
    struct client *a = client_open(w);
    memset(question, 'q', sizeof question);
    question[sizeof question - 1] = '\0';
    seen.parses = 0;
    seen.least = sizeof question - 1;
    client_post(a, "/v1/chat/completions", "", ask_title(question, ""));
    assert_int_equal(model_calls(w), 1);
    assert_int_equal(seen.parses, 2); /* the request, and the conversion of its call */
    world_end(w);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_miss_parses_its_body_once),
        cmocka_unit_test(a_conversion_is_made_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
