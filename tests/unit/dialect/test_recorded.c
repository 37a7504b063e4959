/* test_recorded.c: answers of real model servers, cut at every byte: never whole before their end,
 * and at their end what the server said. The recordings lie beside the checkout; without them that
 * test is skipped, and the answers written here stand for them.
 */
#include "support/check.h"

#include "lull/path/dialect/answer.h"

#include <cJSON.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

enum { RECORD_MAX = 256 * 1024 };

struct reply {
    int status;
    char type[128];
    struct buf body;
};

/* Takes a recorded reply apart: head, then the body without its chunks. */
static bool take_reply(struct span bytes, struct reply *r)
{
    size_t end = span_find(bytes, SPAN("\r\n\r\n"), 0);
    if (end == SIZE_MAX || sscanf(bytes.ptr, "HTTP/1.%*d %d", &r->status) != 1) {
        return false;
    }
    struct span head = span_make(bytes.ptr, end + 2);
    size_t type = span_find(head, SPAN("Content-Type: "), 0);
    r->type[0] = '\0';
    if (type != SIZE_MAX) {
        sscanf(head.ptr + type + 14, "%127[^\r]", r->type);
    }
    struct span rest = span_make(bytes.ptr + end + 4, bytes.len - end - 4);
    buf_init(&r->body, RECORD_MAX);
    if (span_find(head, SPAN("chunked"), 0) == SIZE_MAX) {
        return buf_append_span(&r->body, rest) == ERR_OK;
    }
    while (rest.len > 0) {
        char *after = NULL;
        size_t n = strtoul(rest.ptr, &after, 16);
        size_t at = (size_t)(after - rest.ptr) + 2;
        if (n == 0 || at + n > rest.len) {
            return n == 0;
        }
        assert_int_equal(buf_append(&r->body, rest.ptr + at, n), ERR_OK);
        rest = span_make(rest.ptr + at + n + 2, rest.len - at - n - 2);
    }
    return true;
}

static enum assembled assemble(struct assembler *a, enum endpoint endpoint, const struct reply *r,
                               size_t len, bool whole)
{
    assembler_init(a, endpoint, span_of(r->type));
    assembler_feed(a, span_make(r->body.data, len));
    return assembler_finish(a, whole);
}

/* Cuts the answer everywhere. A cut is whole only where nothing of the answer is missing: behind
 * the finish reason or the end mark; what is missing then are figures, and white space. */
static void cut_everywhere(const char *name, enum endpoint endpoint, const struct reply *r)
{
    struct assembler all, a;
    enum assembled want = assemble(&all, endpoint, r, r->body.len, true);
    for (size_t n = 0; n < r->body.len; n++) {
        enum assembled got = assemble(&a, endpoint, r, n, true);
        bool same = a.answer.finish == all.answer.finish &&
                    span_eq(buf_span(&a.answer.content), buf_span(&all.answer.content)) &&
                    span_eq(buf_span(&a.answer.thinking), buf_span(&all.answer.thinking));
        if (got == ASSEMBLED_WHOLE
                ? !same
                : got != ASSEMBLED_INCOMPLETE && got != ASSEMBLED_UNMARKED && got != want) {
            fail_msg("%s: %d after %zu of %zu bytes", name, (int)got, n, r->body.len);
        }
        assembler_free(&a);
        assert_int_not_equal(assemble(&a, endpoint, r, n, false), ASSEMBLED_WHOLE);
        assembler_free(&a);
    }
    if (want == ASSEMBLED_WHOLE) {
        assert_int_not_equal(all.answer.finish, FINISH_NONE);
    }
    assembler_free(&all);
}

static bool read_record(const char *path, struct span *request, struct span *response)
{
    static char data[RECORD_MAX];
    FILE *f = fopen(path, "rb");
    size_t len = f == NULL ? 0 : fread(data, 1, sizeof data - 1, f);
    if (f != NULL) {
        fclose(f);
    }
    data[len] = '\0';
    char *line = memchr(data, '\n', len);
    if (line == NULL) {
        return false;
    }
    *line = '\0';
    cJSON *head = cJSON_Parse(data);
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(head, "request_bytes");
    size_t bytes = cJSON_IsNumber(n) ? (size_t)n->valuedouble : 0;
    bool complete = strcmp(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(head, "end")),
                           "complete") == 0;
    cJSON_Delete(head);
    *request = span_make(line + 1, bytes);
    *response = span_make(line + 1 + bytes, len - (size_t)(line + 1 - data) - bytes);
    return bytes > 0 && complete;
}

static enum endpoint endpoint_asked(struct span request)
{
    struct span path = span_make(request.ptr + 5, strcspn(request.ptr + 5, " "));
    return span_starts(request, SPAN("POST ")) ? endpoint_of(path) : ENDPOINT_OTHER;
}

static void recorded_answers_are_never_whole_before_their_end(void **state)
{
    glob_t g;
    size_t seen = 0;
    (void)state;
    if (glob(LULL_SOURCE_DIR "/../shared/traffic/model-servers/*.rec", 0, NULL, &g) != 0) {
        print_message("skipped: no recorded traffic of model servers\n");
        skip();
    }
    for (size_t i = 0; i < g.gl_pathc; i++) {
        struct span request, response;
        struct reply r = {0};
        if (!read_record(g.gl_pathv[i], &request, &response)) {
            continue;
        }
        enum endpoint endpoint = endpoint_asked(request);
        if (endpoint_assembles(endpoint) && take_reply(response, &r) && r.status == 200) {
            cut_everywhere(g.gl_pathv[i], endpoint, &r);
            seen++;
        }
        buf_free(&r.body);
    }
    globfree(&g);
    print_message("%zu recorded answers\n", seen);
    assert_true(seen > 30);
}

static void written(enum endpoint endpoint, const char *type, const char *body, enum assembled want,
                    const char *content)
{
    struct reply r = {.status = 200};
    struct assembler a;
    snprintf(r.type, sizeof r.type, "%s", type);
    buf_init(&r.body, RECORD_MAX);
    assert_int_equal(buf_append_span(&r.body, span_of(body)), ERR_OK);
    cut_everywhere(body, endpoint, &r);
    assert_int_equal(assemble(&a, endpoint, &r, r.body.len, true), want);
    if (want == ASSEMBLED_WHOLE) {
        assert_span(buf_span(&a.answer.content), content);
    }
    assembler_free(&a);
    buf_free(&r.body);
}

static void answers_of_every_form(void **state)
{
    (void)state;
    written(ENDPOINT_CHAT, "text/event-stream",
            "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":null}}]}\n\n"
            ": comment\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\\u00fc\"}}]}\r\n\r\n"
            "data: {\"choices\":[{\"delta\":{\"content\":\"b\"},\"finish_reason\":\"stop\"}]}\n\n"
            "data: [DONE]\n\n",
            ASSEMBLED_WHOLE,
            "a\xC3\xBC"
            "b");
    written(ENDPOINT_OLLAMA_CHAT, "application/x-ndjson",
            "{\"message\":{\"content\":\"a\"},\"done\":false}\n"
            "{\"message\":{\"content\":\"b\"},\"done\":true,\"done_reason\":\"stop\"}\n",
            ASSEMBLED_WHOLE, "ab");
    written(ENDPOINT_OLLAMA_GENERATE, "application/json",
            "{\"response\":\"ab\",\"done\":true,\"done_reason\":\"stop\"}", ASSEMBLED_WHOLE, "ab");
    written(ENDPOINT_CHAT, "application/json",
            "{\"choices\":[{\"message\":{\"content\":\"ab\"},\"finish_reason\":\"stop\"}]}",
            ASSEMBLED_WHOLE, "ab");
    written(ENDPOINT_CHAT, "text/event-stream",
            "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"
            "data: {\"error\":{\"code\":503,\"message\":\"no\"}}\n\ndata: [DONE]\n\n",
            ASSEMBLED_ERROR, NULL);
    written(ENDPOINT_OLLAMA_CHAT, "application/x-ndjson",
            "{\"message\":{\"content\":\"a\"},\"done\":false}\n{\"error\":\"died\"}\n",
            ASSEMBLED_ERROR, NULL);
    written(ENDPOINT_CHAT, "application/json",
            "{\"choices\":[{\"message\":{\"content\":null,\"tool_calls\":[{\"id\":\"1\"}]},"
            "\"finish_reason\":\"tool_calls\"}]}",
            ASSEMBLED_ODD, NULL);
    written(ENDPOINT_CHAT, "text/html", "<html>busy</html>", ASSEMBLED_ODD, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_answers_are_never_whole_before_their_end),
        cmocka_unit_test(answers_of_every_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
