/* test_reading.c: how often a plain miss reads its body and its answer: in bytes that go through the
 * reader of JSON (json.h), and in calls that would read a whole body once more. The linker replaces
 * these by functions that count and go on (scenario.cmake). */
#include "scenario/scenario.h"

#include "lull/path/json/json.h"

#include <cJSON.h>

enum { LONG = 8191 };

static const char ANSWER[] = "{\"title\": \"Greeting\"}";

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

/* A title's prompt, long beside everything else that is read. */
static const char *long_task(void)
{
    static char question[LONG + 1];
    memset(question, 'q', sizeof question - 1);
    return ask_title(question, "");
}

/* The bytes that are read until its one call goes out, by the one reader. */
static uint64_t read_for_a_call(struct world *w, struct client *a, const char *body)
{
    uint64_t before = json_bytes_read();
    memset(&seen, 0, sizeof seen);
    seen.least = LONG;
    client_post(a, "/v1/chat/completions", "", body);
    assert_int_equal(model_calls(w), 1);
    assert_int_equal(seen.parses + seen.scans + seen.edits + seen.members, 0);
    return json_bytes_read() - before;
}

/* A miss in the dialect of its server: the body is read once, for all that comes before the call and
 * for what the call sends; a repeat reads nothing. Of the answer each event is read once, and the
 * object in its content once. */
static void a_miss_reads_its_body_and_its_answer_once(void **state)
{
    (void)state;
    static const char *const sets[] = {"upstream.default.slots=64", NULL};
    struct world *w = world_begin(sets);
    struct client *a = client_open(w);
    const char *body = long_task();
    assert_int_equal(read_for_a_call(w, a, body), strlen(body));
    assert_has(model_body(model_call(w, 0)), "\"stream_options\":{\"include_usage\":true}");
    uint64_t before = json_bytes_read();
    model_answer(model_call(w, 0), ANSWER);
    assert_has(client_reply(a), "stored");
    /* two events, of at most 128 bytes beside their content */
    assert_in_range(json_bytes_read() - before, 2 * strlen(ANSWER), 256 + 3 * strlen(ANSWER));
    client_clear(a);
    before = json_bytes_read();
    client_post(a, "/v1/chat/completions", "", body);
    assert_has(client_reply(a), "lull; hit");
    assert_int_equal(json_bytes_read(), before);
    world_end(w);
}

/* A task that the configuration sends to a server of the other dialect is converted once, and what
 * came of it is read once more for what is added to it. */
static void a_conversion_is_made_once(void **state)
{
    (void)state;
    static const char *const sets[] = {"upstream.other.url=http://127.0.0.1:2",
                                       "upstream.other.dialect=ollama", "upstream.other.slots=64",
                                       "task.title.upstream=other", NULL};
    struct world *w = world_begin(sets);
    struct client *a = client_open(w);
    const char *body = long_task();
    assert_in_range(read_for_a_call(w, a, body), 2 * strlen(body), 3 * strlen(body) + 256);
    assert_has(model_body(model_call(w, 0)), "\"think\":false");
    world_end(w);
}

/* A title whose body has a list of so many empty lists, or of as many bytes of text. */
static struct client *ask_with_list(struct world *w, size_t count, bool text)
{
    static char body[64 * 1024];
    static int number;
    char user[32];
    snprintf(user, sizeof user, "Question %d?", number++);
    const char *plain = ask_title(user, "");
    int len = snprintf(body, sizeof body, "%.*s,\"x\":[%s", (int)strlen(plain) - 1, plain,
                       text ? "\"" : "");
    for (size_t i = 0; i < count; i++) {
        len += snprintf(body + len, sizeof body - (size_t)len, text ? "..." : "[],");
    }
    snprintf(body + len, sizeof body - (size_t)len, text ? "\"]}" : "0]}");
    return post(w, "X-OpenWebUI-Task: title_generation\r\n", body);
}

static bool is_too_large(struct client *c)
{
    return strstr(client_reply(c), "fwd=bypass; detail=too-large") != NULL;
}

/* What was read of brackets is far longer than they are. */
static void what_was_read_counts_in_max_buffered(void **state)
{
    static const char *const sets[] = {"server.max_buffered=256KB", "upstream.default.slots=64",
                                       "tasks.settle=0", NULL};
    (void)state;
    struct world *w = world_begin(sets);
    for (int text = 0; text < 2; text++) { /* 24 KB; of brackets 384 KB are read */
        struct client *c = ask_with_list(w, 8000, text == 1);
        model_answer(last_call(w), ANSWER);
        world_pass(w, 0);
        assert_int_equal(is_too_large(c), text == 0);
    }
    for (int round = 0; round < 3; round++) { /* what one took is there for the next */
        struct client *first = ask_with_list(w, 3000, false);
        struct upstream_call *call = last_call(w);
        struct client *second = ask_with_list(w, 3000, false);
        model_answer(last_call(w), ANSWER);
        world_pass(w, 0);
        assert_true(is_too_large(second));
        model_answer(call, ANSWER);
        world_pass(w, 0);
        assert_false(is_too_large(first));
    }
    world_end(w);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_miss_reads_its_body_and_its_answer_once),
        cmocka_unit_test(a_conversion_is_made_once),
        cmocka_unit_test(what_was_read_counts_in_max_buffered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
