/* test_warmup.c: a chat made into a request that only reads it again, and what a server
 * says about its slots. */
#include "support/check.h"

#include "lull/path/dialect/props.h"
#include "lull/path/dialect/warmup.h"

static void one_message_and_a_cap_are_all_that_changes(void **state)
{
    static const struct {
        enum endpoint endpoint;
        const char *body, *reply, *wanted;
    } rows[] = {
        {ENDPOINT_CHAT, "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]}",
         "a \"b\"\n",
         "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":"
         "\"assistant\",\"content\":\"a \\\"b\\\"\\n\"}],\"max_tokens\":1}"},
        {ENDPOINT_CHAT,
         "{\"messages\": [ {\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"q\"}]} ], "
         "\"max_tokens\": 900, \"stream\": true, \"temperature\": 0.70}",
         "r",
         "{\"messages\": [{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"q\"}]},"
         "{\"role\":\"assistant\",\"content\":\"r\"}], \"max_tokens\": 1, \"stream\": true, "
         "\"temperature\": 0.70}"},
        {ENDPOINT_CHAT,
         "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}],\"max_completion_tokens\":900,"
         "\"n_predict\":900,\"n\":4,\"best_of\":5,\"min_tokens\":90,\"top_k\":2}",
         "r",
         "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},"
         "{\"role\":\"assistant\",\"content\":\"r\"}],\"top_k\":2,\"max_tokens\":1}"},
        {ENDPOINT_OLLAMA_CHAT,
         "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"}],\"options\":"
         "{\"num_ctx\":4096,\"num_predict\":-1}}",
         "",
         "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":"
         "\"assistant\",\"content\":\"\"}],\"options\":{\"num_ctx\":4096,\"num_predict\":1}}"},
        {ENDPOINT_OLLAMA_CHAT,
         "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"}],\"options\":null}",
         "r",
         "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":"
         "\"assistant\",\"content\":\"r\"}],\"options\":{\"num_predict\":1}}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out = {.max = 4096};
        assert_int_equal(dialect_warmup_request(span_of(rows[i].body), rows[i].endpoint,
                                                span_of(rows[i].reply), &out),
                         ERR_OK);
        assert_span(buf_span(&out), rows[i].wanted);
        buf_free(&out);
    }
}

static void what_is_no_chat_is_left_alone(void **state)
{
    static const struct {
        enum endpoint endpoint;
        const char *body;
    } rows[] = {
        {ENDPOINT_CHAT, ""},
        {ENDPOINT_CHAT, "[]"},
        {ENDPOINT_CHAT, "{\"model\":\"m\"}"},
        {ENDPOINT_CHAT, "{\"messages\":[]}"},
        {ENDPOINT_CHAT, "{\"messages\":[ ]}"},
        {ENDPOINT_CHAT, "{\"messages\":\"[x]\"}"},
        {ENDPOINT_CHAT, "{\"messages\":[{\"role\":\"user\"}]"},
        {ENDPOINT_CHAT, "{\"messages\":[{}],\"messages\":[{}]}"},
        {ENDPOINT_OLLAMA_GENERATE, "{\"model\":\"m\",\"messages\":[{}],\"prompt\":\"q\"}"},
        {ENDPOINT_RESPONSES, "{\"model\":\"m\",\"messages\":[{}]}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out = {.max = 4096};
        assert_int_not_equal(
            dialect_warmup_request(span_of(rows[i].body), rows[i].endpoint, SPAN("r"), &out),
            ERR_OK);
        buf_free(&out);
    }
}

static void slots_are_read_from_props(void **state)
{
    static const struct {
        const char *body;
        int64_t slots;
    } rows[] = {
        {"{\"total_slots\":1,\"model_path\":\"/m\"}", 1},
        {"{\"default_generation_settings\":{\"total_slots\":9},\"total_slots\":4}", 4},
        {"{\"total_slots\":0}", 0},
        {"{\"total_slots\":-1}", 0},
        {"{\"total_slots\":1e9}", 0},
        {"{\"total_slots\":\"4\"}", 0},
        {"{\"default_generation_settings\":{\"total_slots\":9}}", 0},
        {"{\"error\":{\"code\":404}}", 0},
        {"[4]", 0},
        {"not found", 0},
        {"", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(dialect_props_slots(span_of(rows[i].body)), rows[i].slots);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_message_and_a_cap_are_all_that_changes),
        cmocka_unit_test(what_is_no_chat_is_left_alone),
        cmocka_unit_test(slots_are_read_from_props),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
