/* test_load.c: what a chat has Ollama load its model with. */
#include "support/check.h"

#include "lull/path/dialect/overrides.h"

enum { CHAT = ENDPOINT_CHAT, OCHAT = ENDPOINT_OLLAMA_CHAT, GENERATE = ENDPOINT_OLLAMA_GENERATE };

static enum err load_of(struct span body, enum endpoint endpoint, struct buf *out)
{
    struct json_doc doc;
    enum err e = dialect_load_of(json_read(body, &doc), endpoint, out);
    json_doc_free(&doc);
    return e;
}

static void loads_are_read_from_chats(void **state)
{
    static const struct {
        int endpoint;
        const char *body, *load; /* NULL: not a chat */
    } rows[] = {
        {OCHAT, "{\"messages\":[{}]}", "{}"},
        {OCHAT, "{\"messages\":[{}],\"options\":null,\"keep_alive\":null}", "{}"},
        {OCHAT,
         "{\"keep_alive\": \"5m\", \"options\": {\"num_thread\": 4, \"seed\": 7, \"num_ctx\": 8192,"
         "\"num_batch\":512,\"num_gpu\":-1,\"main_gpu\":0,\"use_mmap\":false}, "
         "\"messages\":[ {\"role\":\"user\"} ]}",
         "{\"num_ctx\":8192,\"num_batch\":512,\"num_gpu\":-1,\"main_gpu\":0,\"use_mmap\":false,"
         "\"num_thread\":4,\"keep_alive\":\"5m\"}"},
        {OCHAT,
         "{\"messages\":[{}],\"options\":{\"num_ctx\":null,\"num_gpu\":{},\"num_batch\":[1]}}",
         "{}"},
        {OCHAT, "{\"messages\":[{}],\"options\":{\"num_ctx\":4 5}}", NULL},
        {OCHAT, "{\"messages\":[{}],\"options\":{\"num_ctx\":9007199254740993}}", "{}"},
        {OCHAT, "{\"messages\":[{}],\"num_ctx\":1}", "{}"},
        {OCHAT, "{\"messages\":[ ],\"keep_alive\":0}", NULL},
        {OCHAT, "{\"keep_alive\":0}", NULL},
        {OCHAT, "{\"prompt\":\"p\"}", NULL},
        {OCHAT, "[]", NULL},
        {OCHAT, "", NULL},
        {GENERATE, "{\"prompt\":\"p\",\"keep_alive\":300}", "{\"keep_alive\":300}"},
        {GENERATE, "{\"prompt\":\"\",\"images\":[\"x\"]}", "{}"},
        {GENERATE, "{\"prompt\":\"\",\"keep_alive\":0}", NULL},
        {GENERATE, "{\"messages\":[{}]}", NULL},
        {CHAT, "{\"messages\":[{}],\"options\":{\"num_ctx\":1}}", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out = {.max = 4096};
        enum err e = load_of(span_of(rows[i].body), (enum endpoint)rows[i].endpoint, &out);
        assert_int_equal(e, rows[i].load == NULL ? ERR_NOT_FOUND : ERR_OK);
        assert_span(buf_span(&out), rows[i].load == NULL ? "" : rows[i].load);
        buf_free(&out);
    }
}

static void long_loads_are_refused(void **state)
{
    struct buf body = {.max = 4096};
    struct buf out = {.max = 4096};
    (void)state;
    assert_int_equal(buf_printf(&body, "{\"messages\":[{}],\"keep_alive\":\"%0600d\"}", 1), ERR_OK);
    assert_int_equal(load_of(buf_span(&body), ENDPOINT_OLLAMA_CHAT, &out), ERR_TOO_LARGE);
    assert_int_equal(out.len, 0);
    buf_free(&body);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_are_read_from_chats),
        cmocka_unit_test(long_loads_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
