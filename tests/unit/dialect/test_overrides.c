/* test_overrides.c: what is added to a task on its way to the server, and that nothing else moves.
 */
#include "support/check.h"

#include "lull/path/dialect/overrides.h"
#include "lull/path/json/json.h"

#include <stdio.h>

enum { CHAT = ENDPOINT_CHAT, OCHAT = ENDPOINT_OLLAMA_CHAT, GENERATE = ENDPOINT_OLLAMA_GENERATE };

static struct kind_policy plain_policy(void)
{
    return (struct kind_policy){
        .max_tokens = UNSET,
        .id_slot = UNSET,
        .think = THINK_AS_ASKED,
        .keep_alive = MATCH_AS_ASKED,
        .num_ctx = MATCH_AS_ASKED,
        .shape = KIND_SHAPE_STRING,
        .shape_member = (char *)(uintptr_t) "title",
    };
}

static char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}

static void shaped(int endpoint, const struct overrides *how, const char *body, const char *wanted)
{
    struct buf out = {.max = 1 << 20};
    struct additions added = {0};
    assert_int_equal(buf_append_span(&out, SPAN("before")), ERR_OK);
    assert_int_equal(dialect_override(span_of(body), (enum endpoint)endpoint, how, &out, &added),
                     ERR_OK);
    struct span got = span_make(out.data + 6, out.len - 6);
    if (!span_eq(got, span_of(wanted))) {
        fail_msg("%s\nbecame %.*s\n   not %s", body, (int)got.len, got.ptr, wanted);
    }
    assert_int_equal(json_canonical(got, NULL, 0, NULL), JSON_OK);
    bool same = span_eq(got, span_of(body));
    bool quiet = !how->stream && endpoint_dialect((enum endpoint)endpoint) == DIALECT_OLLAMA;
    if (how->model.len == 0 && (added.sent != 0) == same && !(quiet && added.sent == 0)) {
        fail_msg("%s: added is %x", body, added.sent);
    }
    buf_free(&out);
}

static void model_and_stream(void **state)
{
    static const struct {
        int endpoint;
        const char *model;
        bool stream;
        const char *body, *wanted;
        bool added;
    } rows[] = {
        {CHAT, "", false, "{ \"model\" : \"m\" }", "{ \"model\" : \"m\" }", false},
        {CHAT, "n", false, "{ \"model\" : \"m\" }", "{ \"model\" : \"n\" }", false},
        {CHAT, "n", false, "{}", "{\"model\":\"n\"}", false},
        {CHAT, "q\"", false, "{\"a\":1.50}", "{\"a\":1.50,\"model\":\"q\\\"\"}", false},
        {CHAT, "", false, "{\"stream\": true}", "{\"stream\": true}", false},
        {CHAT, "", false, "{\"stream\": false}", "{\"stream\": false}", false},
        {CHAT, "", true, "{\"stream\": false}",
         "{\"stream\": true,\"stream_options\":{\"include_usage\":true}}", true},
        {CHAT, "n", true, "{\"model\":\"m\",\"stream_options\":{\"x\": 1}}",
         "{\"model\":\"n\",\"stream_options\":{\"x\": 1,\"include_usage\":true},\"stream\":true}",
         true},
        {CHAT, "", true, "{\"stream_options\":null}",
         "{\"stream_options\":{\"include_usage\":true},\"stream\":true}", true},
        {CHAT, "", true, "{\"stream\":true}", "{\"stream\":true}", false},
        {OCHAT, "", true, "{\"stream\":false}", "{\"stream\":true}", true},
        {OCHAT, "", true, "{}", "{\"stream\":true}", true},
        {OCHAT, "", false, "{}", "{\"stream\":false}", false},
        {OCHAT, "n", false, "{\"stream\":false}", "{\"stream\":false,\"model\":\"n\"}", false},
        {GENERATE, "", false, "{\"stream\":true}", "{\"stream\":false}", false},
        {ENDPOINT_RESPONSES, "n", true, "{\"model\":\"m\"}", "{\"model\":\"n\"}", false},
    };
    struct kind_policy policy = plain_policy();
    (void)state;
    policy.max_tokens = 9;
    policy.think = THINK_OFF;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct overrides how = {.policy = &policy,
                                .model = span_of(rows[i].model),
                                .stream = rows[i].stream,
                                .without = ADDITION_ALL &
                                           ~(unsigned)(ADDITION_STREAM | ADDITION_STREAM_USAGE)};
        struct buf out = {.max = 4096};
        struct additions added = {0};
        shaped(rows[i].endpoint, &how, rows[i].body, rows[i].wanted);
        assert_int_equal(dialect_override(span_of(rows[i].body), (enum endpoint)rows[i].endpoint,
                                          &how, &out, &added),
                         ERR_OK);
        if ((added.sent != 0) != rows[i].added) {
            fail_msg("%s: added is %x", rows[i].body, added.sent);
        }
        buf_free(&out);
    }
}

static void the_old_function_leaves_what_is_streamed_as_written(void **state)
{
    static const char *const bodies[] = {"{\"model\":\"m\"}", "{\"model\":\"m\",\"stream\":true}"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct buf out = {.max = 4096};
        bool changed = true;
        assert_int_equal(dialect_override_model(span_of(bodies[i]), ENDPOINT_OLLAMA_CHAT, SPAN_NONE,
                                                false, &out, &changed),
                         ERR_OK);
        assert_span(buf_span(&out), bodies[i]);
        assert_false(changed);
        buf_clear(&out);
        assert_int_equal(dialect_override_model(span_of(bodies[i]), ENDPOINT_OLLAMA_CHAT, SPAN("n"),
                                                false, &out, &changed),
                         ERR_OK);
        assert_true(changed);
        buf_free(&out);
    }
}

static void limits(void **state)
{
    static const struct {
        int endpoint;
        enum server_sort sort;
        int64_t cap;
        const char *temperature;
        int64_t slot;
        const char *body, *wanted;
    } rows[] = {
        {CHAT, SERVER_OPENAI, UNSET, "", UNSET, "{\"max_tokens\":7}", "{\"max_tokens\":7}"},
        {CHAT, SERVER_OPENAI, 0, NULL, UNSET, "{}", "{}"},
        {CHAT, SERVER_OPENAI, 64, "", UNSET, "{}", "{\"max_tokens\":64}"},
        {CHAT, SERVER_OPENAI, 64, "", UNSET, "{\"max_tokens\":7}", "{\"max_tokens\":64}"},
        {CHAT, SERVER_OPENAI, 64, "", UNSET, "{\"max_completion_tokens\":7}",
         "{\"max_completion_tokens\":64}"},
        {CHAT, SERVER_OPENAI, 64, "", UNSET, "{\"max_completion_tokens\":7,\"max_tokens\":9}",
         "{\"max_completion_tokens\":64,\"max_tokens\":64}"},
        {CHAT, SERVER_LLAMA_CPP, 64, "", UNSET, "{\"n_predict\":7}",
         "{\"n_predict\":64,\"max_tokens\":64}"},
        {CHAT, SERVER_OPENAI, 64, "", UNSET, "{\"max_completion_tokens\":null}",
         "{\"max_completion_tokens\":null,\"max_tokens\":64}"},
        {CHAT, SERVER_OLLAMA, 64, "", UNSET, "{\"max_completion_tokens\":7}",
         "{\"max_completion_tokens\":64,\"max_tokens\":64}"},
        {OCHAT, SERVER_OLLAMA, 64, "", UNSET, "{\"stream\":false,\"max_tokens\":7}",
         "{\"stream\":false,\"max_tokens\":7,\"options\":{\"num_predict\":64}}"},
        {GENERATE, SERVER_OLLAMA, 64, "0.10", UNSET,
         "{\"stream\":false,\"options\": {\"seed\": 1, \"num_predict\": -1}}",
         "{\"stream\":false,\"options\": {\"seed\": 1, \"num_predict\": 64,\"temperature\":0.10}}"},
        {OCHAT, SERVER_OLLAMA, 64, "", UNSET, "{\"stream\":false,\"options\":null}",
         "{\"stream\":false,\"options\":{\"num_predict\":64}}"},
        {CHAT, SERVER_OPENAI, UNSET, "0.10", UNSET, "{\"temperature\":1}",
         "{\"temperature\":0.10}"},
        {CHAT, SERVER_OPENAI, UNSET, "warm", UNSET, "{}", "{}"},
        {CHAT, SERVER_OPENAI, UNSET, "{}", UNSET, "{}", "{}"},
        {CHAT, SERVER_LLAMA_CPP, UNSET, "", 0, "{}", "{\"id_slot\":0}"},
        {CHAT, SERVER_OPENAI, UNSET, "", 3, "{\"id_slot\":1}", "{\"id_slot\":3}"},
        {CHAT, SERVER_OLLAMA, UNSET, "", 3, "{}", "{}"},
        {CHAT, SERVER_HOSTED, UNSET, "", 3, "{}", "{}"},
        {OCHAT, SERVER_LLAMA_CPP, UNSET, "", 3, "{\"stream\":false}", "{\"stream\":false}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct kind_policy policy = plain_policy();
        policy.max_tokens = rows[i].cap;
        policy.temperature = text(rows[i].temperature);
        policy.id_slot = rows[i].slot;
        struct overrides how = {.policy = &policy, .sort = rows[i].sort};
        shaped(rows[i].endpoint, &how, rows[i].body, rows[i].wanted);
    }
}

static void thinking(void **state)
{
    static const struct {
        int endpoint;
        enum server_sort sort;
        enum think_rule think;
        const char *body, *wanted;
    } rows[] = {
        {CHAT, SERVER_OPENAI, THINK_AS_ASKED, "{}", "{}"},
        {CHAT, SERVER_OPENAI, THINK_AUTO, "{}",
         "{\"chat_template_kwargs\":{\"enable_thinking\":false}}"},
        {CHAT, SERVER_LLAMA_CPP, THINK_AUTO, "{\"chat_template_kwargs\": {\"x\": 1} }",
         "{\"chat_template_kwargs\": {\"x\": 1,\"enable_thinking\":false} }"},
        {CHAT, SERVER_LLAMA_CPP, THINK_OFF, "{\"chat_template_kwargs\":{\"enable_thinking\":true}}",
         "{\"chat_template_kwargs\":{\"enable_thinking\":false}}"},
        {CHAT, SERVER_LLAMA_CPP, THINK_ON, "{\"reasoning_effort\":null}",
         "{\"reasoning_effort\":null,\"chat_template_kwargs\":{\"enable_thinking\":true}}"},
        {CHAT, SERVER_OLLAMA, THINK_AUTO, "{}", "{\"reasoning_effort\":\"none\"}"},
        {CHAT, SERVER_OLLAMA, THINK_OFF, "{\"reasoning_effort\":\"high\"}",
         "{\"reasoning_effort\":\"none\"}"},
        {CHAT, SERVER_OLLAMA, THINK_OFF, "{\"reasoning\":{\"effort\":\"high\"}}",
         "{\"reasoning_effort\":\"none\"}"},
        {CHAT, SERVER_OLLAMA, THINK_ON, "{}", "{\"reasoning_effort\":\"medium\"}"},
        {CHAT, SERVER_HOSTED, THINK_AUTO, "{}", "{\"reasoning_effort\":\"low\"}"},
        {CHAT, SERVER_HOSTED, THINK_OFF, "{\"reasoning_effort\":\"high\"}",
         "{\"reasoning_effort\":\"low\"}"},
        {CHAT, SERVER_HOSTED, THINK_OFF, "{\"reasoning_effort\":\"minimal\"}",
         "{\"reasoning_effort\":\"minimal\"}"},
        {CHAT, SERVER_HOSTED, THINK_ON, "{}", "{}"},
        {OCHAT, SERVER_OLLAMA, THINK_AUTO, "{\"stream\":false}",
         "{\"stream\":false,\"think\":false}"},
        {GENERATE, SERVER_OLLAMA, THINK_OFF, "{\"stream\":false,\"think\":\"high\"}",
         "{\"stream\":false,\"think\":false}"},
        {OCHAT, SERVER_OLLAMA, THINK_ON, "{\"stream\":false,\"think\":false}",
         "{\"stream\":false,\"think\":true}"},
        {OCHAT, SERVER_OLLAMA, THINK_AUTO, "{\"stream\":false,\"think\":null}",
         "{\"stream\":false,\"think\":false}"},
    };
    static const char *const own[] = {
        "{\"think\":true}",
        "{\"think\":false}",
        "{\"reasoning_effort\":\"high\"}",
        "{\"reasoning\":{\"effort\":\"low\"}}",
        "{\"enable_thinking\":true}",
        "{\"thinking\":{\"type\":\"enabled\"}}",
        "{\"thinking_budget\":9}",
        "{\"chat_template_kwargs\":{\"enable_thinking\":true}}",
        "{\"chat_template_kwargs\":{\"thinking\":true}}",
        "{\"chat_template_kwargs\":{\"thinking_budget\":9}}",
        "{\"chat_template_kwargs\":{\"reasoning_effort\":\"low\"}}",
    };
    struct kind_policy policy = plain_policy();
    struct overrides how = {.policy = &policy};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        policy.think = rows[i].think;
        how.sort = rows[i].sort;
        shaped(rows[i].endpoint, &how, rows[i].body, rows[i].wanted);
    }
    policy.think = THINK_AUTO;
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        how.sort = (enum server_sort)(i % 4);
        shaped(CHAT, &how, own[i], own[i]);
    }
}

#define TITLE_SCHEMA                                                                               \
    "{\"type\":\"object\",\"properties\":{\"title\":{\"type\":\"string\"}},\"required\":"          \
    "[\"title\"],\"additionalProperties\":false}"
#define TITLE_FORMAT                                                                               \
    "{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\",\"strict\":true,\"schema\":"   \
    "" TITLE_SCHEMA "}}"

static void schemas(void **state)
{
    static const struct {
        enum kind_shape shape;
        const char *member, *schema;
    } rows[] = {
        {KIND_SHAPE_STRING, "title", TITLE_SCHEMA},
        {KIND_SHAPE_STRINGS, "a\"b",
         "{\"type\":\"object\",\"properties\":{\"a\\\"b\":{\"type\":\"array\",\"items\":{\"type\":"
         "\"string\"}}},\"required\":[\"a\\\"b\"],\"additionalProperties\":false}"},
        {KIND_SHAPE_ARRAY, "tags",
         "{\"type\":\"object\",\"properties\":{\"tags\":{\"type\":\"array\",\"items\":{\"type\":"
         "\"string\"}}},\"required\":[\"tags\"],\"additionalProperties\":false}"},
        {KIND_SHAPE_STRING, "", NULL},
        {KIND_SHAPE_STRING, NULL, NULL},
        {KIND_SHAPE_JSON, "x", NULL},
        {KIND_SHAPE_TEXT, "x", NULL},
        {KIND_SHAPE_EMOJI, "x", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct kind_policy policy = {.shape = rows[i].shape, .shape_member = text(rows[i].member)};
        struct buf out = {.max = 4096};
        assert_int_equal(dialect_schema(&policy, &out), rows[i].schema != NULL);
        assert_span(buf_span(&out), rows[i].schema == NULL ? "" : rows[i].schema);
        buf_free(&out);
        struct buf tight = {.max = 40};
        assert_false(dialect_schema(&policy, &tight));
        assert_int_equal(tight.len, 0);
        buf_free(&tight);
    }
}

static void schema_members(void **state)
{
    static const struct {
        int endpoint;
        bool of_policy, second;
        enum kind_shape shape;
        const char *body, *wanted;
    } rows[] = {
        {CHAT, false, false, KIND_SHAPE_STRING, "{}", "{}"},
        {CHAT, true, false, KIND_SHAPE_STRING, "{}", "{\"response_format\":" TITLE_FORMAT "}"},
        {CHAT, false, true, KIND_SHAPE_STRING, "{\"response_format\":null}",
         "{\"response_format\":" TITLE_FORMAT "}"},
        {CHAT, true, true, KIND_SHAPE_STRING, "{\"response_format\":{\"type\":\"text\"}}",
         "{\"response_format\":{\"type\":\"text\"}}"},
        {CHAT, true, true, KIND_SHAPE_STRING, "{\"format\":\"json\"}", "{\"format\":\"json\"}"},
        {CHAT, true, true, KIND_SHAPE_EMOJI, "{}", "{}"},
        {OCHAT, true, false, KIND_SHAPE_STRING, "{\"stream\":false}",
         "{\"stream\":false,\"format\":" TITLE_SCHEMA "}"},
        {GENERATE, false, true, KIND_SHAPE_STRING, "{\"stream\":false,\"format\":\"json\"}",
         "{\"stream\":false,\"format\":\"json\"}"},
        {OCHAT, true, true, KIND_SHAPE_JSON, "{\"stream\":false}", "{\"stream\":false}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct kind_policy policy = plain_policy();
        policy.json_schema = rows[i].of_policy;
        policy.shape = rows[i].shape;
        struct overrides how = {.policy = &policy, .schema = rows[i].second};
        shaped(rows[i].endpoint, &how, rows[i].body, rows[i].wanted);
    }
}

static void load_options_of_the_chat(void **state)
{
    static const struct {
        int endpoint;
        enum match_rule num_ctx, keep_alive;
        const char *load, *body, *wanted;
    } rows[] = {
        {OCHAT, MATCH_CHAT, MATCH_CHAT, "", "{\"stream\":false,\"options\":{\"num_ctx\":1}}",
         "{\"stream\":false,\"options\":{\"num_ctx\":1}}"},
        {OCHAT, MATCH_CHAT, MATCH_CHAT, "{}",
         "{\"stream\":false,\"options\":{\"num_ctx\":1,\"seed\":2,\"use_mmap\":true},"
         "\"keep_alive\":\"1m\"}",
         "{\"stream\":false,\"options\":{\"seed\":2},\"keep_alive\":\"1m\"}"},
        {OCHAT, MATCH_CHAT, MATCH_CHAT, "{}", "{\"stream\":false}", "{\"stream\":false}"},
        {OCHAT, MATCH_CHAT, MATCH_CHAT, "{}", "{\"stream\":false,\"options\":null}",
         "{\"stream\":false,\"options\":null}"},
        {OCHAT, MATCH_CHAT, MATCH_CHAT, "{\"num_ctx\":8192,\"use_mmap\":false,\"keep_alive\":-1}",
         "{\"stream\":false,\"keep_alive\":\"1m\"}",
         "{\"stream\":false,\"keep_alive\":-1,\"options\":{\"num_ctx\":8192,\"use_mmap\":false}}"},
        {OCHAT, MATCH_AS_ASKED, MATCH_CHAT, "{\"num_ctx\":8192,\"keep_alive\":\"9m\"}",
         "{\"stream\":false}", "{\"stream\":false,\"keep_alive\":\"9m\"}"},
        {GENERATE, MATCH_CHAT, MATCH_AS_ASKED, "{\"num_ctx\":8192,\"keep_alive\":\"9m\"}",
         "{\"stream\":false}", "{\"stream\":false,\"options\":{\"num_ctx\":8192}}"},
        {CHAT, MATCH_CHAT, MATCH_CHAT, "{\"num_ctx\":8192,\"keep_alive\":\"9m\"}", "{}", "{}"},
        {OCHAT, MATCH_CHAT, MATCH_CHAT, "not JSON",
         "{\"stream\":false,\"options\":{\"num_gpu\":1}}",
         "{\"stream\":false,\"options\":{\"num_gpu\":1}}"},
        {OCHAT, MATCH_VALUE, MATCH_VALUE, "", "{\"stream\":false,\"options\":{\"seed\":2}}",
         "{\"stream\":false,\"options\":{\"seed\":2,\"num_ctx\":4096},\"keep_alive\":\"30m\"}"},
        {GENERATE, MATCH_VALUE, MATCH_CHAT, "{\"num_ctx\":8192,\"keep_alive\":\"9m\"}",
         "{\"stream\":false,\"options\":{\"num_ctx\":1}}",
         "{\"stream\":false,\"options\":{\"num_ctx\":4096},\"keep_alive\":\"9m\"}"},
        {OCHAT, MATCH_CHAT, MATCH_VALUE, "{\"num_ctx\":8192,\"keep_alive\":\"9m\"}",
         "{\"stream\":false,\"keep_alive\":0}",
         "{\"stream\":false,\"keep_alive\":\"30m\",\"options\":{\"num_ctx\":8192}}"},
        {CHAT, MATCH_VALUE, MATCH_VALUE, "", "{}", "{}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct kind_policy policy = plain_policy();
        policy.num_ctx = rows[i].num_ctx;
        policy.keep_alive = rows[i].keep_alive;
        policy.num_ctx_value = "4096";
        policy.keep_alive_value = "\"30m\"";
        struct overrides how = {.policy = &policy, .load = span_of(rows[i].load)};
        shaped(rows[i].endpoint, &how, rows[i].body, rows[i].wanted);
    }
}

static void the_users_own_members_win(void **state)
{
    static const struct {
        int endpoint;
        const char *extra, *body, *wanted;
    } rows[] = {
        {CHAT, "", "{\"a\":1}", "{\"a\":1,\"max_tokens\":64}"},
        {CHAT, NULL, "{\"a\":1}", "{\"a\":1,\"max_tokens\":64}"},
        {CHAT, "not JSON", "{\"a\":1}", "{\"a\":1,\"max_tokens\":64}"},
        {CHAT, "[1]", "{\"a\":1}", "{\"a\":1,\"max_tokens\":64}"},
        {CHAT, "{}", "{\"a\":1}", "{\"a\":1,\"max_tokens\":64}"},
        {CHAT, "{\"max_tokens\": 5, \"a\": null, \"b\": [1.50, {}]}", "{\"a\":1, \"c\" : 2}",
         "{ \"c\" : 2,\"max_tokens\":5,\"b\":[1.50, {}]}"},
        {CHAT, "{\"max_tokens\":null}", "{\"a\":1}", "{\"a\":1}"},
        {CHAT, "{\"options\":{\"x\":1}}", "{\"options\":{\"y\":1}}",
         "{\"options\":{\"x\":1},\"max_tokens\":64}"},
        {OCHAT, "{\"think\":\"low\",\"options\":{\"x\":1,\"num_predict\":5,\"y\":null}}",
         "{\"stream\":false,\"options\":{\"y\":1,\"z\":0.10}}",
         "{\"stream\":false,\"options\":{\"z\":0.10,\"num_predict\":5,\"x\":1},\"think\":\"low\"}"},
        {OCHAT, "{\"options\":{\"num_predict\":null}}", "{\"stream\":false}",
         "{\"stream\":false,\"options\":{}}"},
        {OCHAT, "{\"options\":null}", "{\"stream\":false,\"options\":{\"y\":1}}",
         "{\"stream\":false}"},
        {OCHAT, "{\"options\":7}", "{\"stream\":false}", "{\"stream\":false,\"options\":7}"},
        {CHAT, "{\"a\\u0062\":1}", "{\"ab\":0}", "{\"ab\":1,\"max_tokens\":64}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct kind_policy policy = plain_policy();
        policy.max_tokens = 64;
        policy.extra = text(rows[i].extra);
        struct overrides how = {.policy = &policy};
        shaped(rows[i].endpoint, &how, rows[i].body, rows[i].wanted);
    }
}

static void many_own_members_are_all_set(void **state)
{
    struct buf extra = {.max = 4096};
    struct buf out = {.max = 4096};
    struct kind_policy policy = plain_policy();
    struct additions added = {0};
    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(buf_printf(&extra, "%s\"m%d\":%d", i == 0 ? "{" : ",", i, i), ERR_OK);
    }
    assert_int_equal(buf_append(&extra, "}", 2), ERR_OK);
    policy.extra = extra.data;
    struct overrides how = {.policy = &policy};
    assert_int_equal(dialect_override(SPAN("{\"m50\":0}"), ENDPOINT_CHAT, &how, &out, &added),
                     ERR_OK);
    assert_int_equal(added.sent, ADDITION_EXTRA);
    assert_int_equal(json_canonical(buf_span(&out), NULL, 0, NULL), JSON_OK);
    for (int i = 0; i < 100; i++) {
        char name[16];
        struct span value = SPAN_NONE;
        snprintf(name, sizeof name, "m%d", i);
        assert_true(json_member(buf_span(&out), span_of(name), &value));
        assert_span(value, name + 1);
    }
    buf_free(&extra);
    buf_free(&out);
}

static void everything_at_once(void **state)
{
    struct kind_policy policy = plain_policy();
    struct overrides how = {.policy = &policy,
                            .sort = SERVER_OLLAMA,
                            .load = SPAN("{\"num_ctx\":8192,\"keep_alive\":\"30m\"}"),
                            .model = SPAN("small"),
                            .stream = true};
    (void)state;
    policy.max_tokens = 200;
    policy.temperature = text("0.1");
    policy.think = THINK_AUTO;
    policy.json_schema = true;
    policy.keep_alive = MATCH_CHAT;
    policy.num_ctx = MATCH_CHAT;
    policy.extra = text("{\"truncate\":true,\"options\":{\"top_k\":5}}");
    shaped(OCHAT, &how,
           "{ \"model\": \"big\", \"stream\": false,\n \"messages\": [ {\"role\": \"user\", "
           "\"content\": \"{\\\"model\\\": \\u00e4}\"} ], \"options\": {\"seed\": 1} }\n",
           "{ \"model\": \"small\", \"stream\": true,\n \"messages\": [ {\"role\": \"user\", "
           "\"content\": \"{\\\"model\\\": \\u00e4}\"} ], \"options\": {\"seed\": 1,"
           "\"num_predict\":200,\"temperature\":0.1,\"num_ctx\":8192,\"top_k\":5} ,\"think\":false,"
           "\"format\":" TITLE_SCHEMA ",\"keep_alive\":\"30m\",\"truncate\":true}\n");
}

/* Every addition by itself, sent and left out. */
static void additions_are_distinguished(void **state)
{
    static const struct {
        int endpoint;
        enum server_sort sort;
        unsigned all; /* what such a request has */
    } rows[] = {
        {CHAT, SERVER_LLAMA_CPP, ADDITION_ALL & ~(unsigned)ADDITION_LOAD},
        {CHAT, SERVER_OLLAMA, ADDITION_ALL & ~(unsigned)(ADDITION_LOAD | ADDITION_SLOT)},
        {OCHAT, SERVER_OLLAMA, ADDITION_ALL & ~(unsigned)(ADDITION_SLOT | ADDITION_STREAM_USAGE)},
    };
    struct kind_policy policy = plain_policy();
    struct overrides how = {
        .policy = &policy, .load = SPAN("{\"num_ctx\":8192,\"keep_alive\":1}"), .stream = true};
    (void)state;
    policy.max_tokens = 200;
    policy.temperature = text("0.1");
    policy.think = THINK_OFF;
    policy.json_schema = true;
    policy.id_slot = 1;
    policy.keep_alive = MATCH_CHAT;
    policy.num_ctx = MATCH_CHAT;
    policy.extra = text("{\"top_k\":5}");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        how.sort = rows[i].sort;
        for (unsigned bit = 0; bit <= ADDITIONS; bit++) {
            struct buf out = {.max = 4096};
            struct additions made;
            unsigned left = rows[i].all & (bit < ADDITIONS ? 1U << bit : 0U);
            how.without = bit < ADDITIONS ? 1U << bit : 0;
            assert_int_equal(dialect_override(SPAN("{\"stream\":false}"),
                                              (enum endpoint)rows[i].endpoint, &how, &out, &made),
                             ERR_OK);
            unsigned sent = rows[i].all & ~left;
            sent &= left == ADDITION_STREAM ? ~(unsigned)ADDITION_STREAM_USAGE : ~0U;
            assert_int_equal(made.sent, sent);
            assert_int_equal(made.left, left);
            buf_free(&out);
        }
        struct buf out = {.max = 4096};
        struct additions made;
        how.without = ADDITION_ALL;
        assert_int_equal(dialect_override(SPAN("{\"stream\":false}"),
                                          (enum endpoint)rows[i].endpoint, &how, &out, &made),
                         ERR_OK);
        assert_span(buf_span(&out), "{\"stream\":false}");
        assert_int_equal(made.sent, 0);
        buf_free(&out);
    }
}

static void an_error_may_name_what_it_does_not_want(void **state)
{
    enum { EVERY = ADDITION_ALL };
    static const struct {
        const char *text;
        unsigned among, named;
    } rows[] = {
        {"{\"error\":{\"message\":\"unknown field stream\"}}", EVERY, ADDITION_STREAM},
        {"unknown field \"stream_options\"", EVERY, ADDITION_STREAM_USAGE},
        {"{\"error\":\"`stream` is not supported\"}", EVERY, ADDITION_STREAM},
        {"json: unknown field \\\"think\\\"", EVERY, ADDITION_THINK},
        {"streaming is not supported for this model", EVERY, ADDITION_STREAM},
        {"\"gemma3\" does not support thinking", EVERY, ADDITION_THINK},
        {"Unsupported parameter: 'reasoning_effort'", EVERY, ADDITION_THINK},
        {"chat_template_kwargs: extra inputs are not permitted", EVERY, ADDITION_THINK},
        {"{\"detail\":[{\"loc\":[\"body\",\"response_format\"],\"input\":{\"stream\":true}}]}",
         EVERY, ADDITION_SCHEMA},
        {"invalid parameter max_tokens", EVERY, ADDITION_LIMITS},
        {"id_slot out of range", EVERY, ADDITION_SLOT},
        {"time: invalid duration in keep_alive", EVERY, ADDITION_LOAD},
        {"no such member: top_k", EVERY, ADDITION_EXTRA},
        {"no such member: 'mine'", EVERY, ADDITION_EXTRA},
        {"all mine", EVERY, 0},
        /* words of English, and longer names */
        {"error while reading the stream", EVERY, 0},
        {"I think that the format is wrong", EVERY, 0},
        {"unknown field streams", EVERY, 0},
        {"my_stream_options_2", EVERY, 0},
        {"", EVERY, 0},
        /* only what was sent; the first one */
        {"unknown field stream", ADDITION_THINK, 0},
        {"'think' or 'stream'", EVERY, ADDITION_THINK},
        {"'stream' or 'think'", EVERY, ADDITION_STREAM},
        {"'stream' or 'think'", ADDITION_THINK, ADDITION_THINK},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned named = addition_named(span_of(rows[i].text), rows[i].among,
                                        SPAN("{\"top_k\": {\"a\": 1}, \"mine\": 5}"));
        if (named != rows[i].named) {
            fail_msg("%s: named is %x", rows[i].text, named);
        }
    }
    assert_int_equal(addition_named(SPAN("'a'"), EVERY, SPAN("")), 0);
}

static void what_cannot_be_done_changes_nothing(void **state)
{
    static const char *const bodies[] = {"", "[]", "text", "\"{}\"", "{"};
    struct kind_policy policy = plain_policy();
    struct overrides how = {.policy = &policy, .stream = true};
    struct buf tight = {.max = 20};
    struct additions added = {.sent = 1};
    (void)state;
    policy.max_tokens = 64;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct buf out = {.max = 4096};
        assert_int_equal(dialect_override(span_of(bodies[i]), ENDPOINT_CHAT, &how, &out, &added),
                         ERR_INVALID);
        assert_int_equal(out.len, 0);
        assert_int_equal(added.sent, 0);
        buf_free(&out);
    }
    for (int i = 0; i < 2; i++) {
        policy.extra = text(i == 0 ? "" : "{\"a\":1}");
        assert_int_equal(
            dialect_override(SPAN("{\"model\":\"m\"}"), ENDPOINT_CHAT, &how, &tight, &added),
            ERR_TOO_LARGE);
        assert_int_equal(tight.len, 0);
        assert_int_equal(added.sent, 0);
    }
    how.policy = NULL;
    shaped(OCHAT, &how, "{}", "{\"stream\":true}");
    buf_free(&tight);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model_and_stream),
        cmocka_unit_test(the_old_function_leaves_what_is_streamed_as_written),
        cmocka_unit_test(limits),
        cmocka_unit_test(thinking),
        cmocka_unit_test(schemas),
        cmocka_unit_test(schema_members),
        cmocka_unit_test(load_options_of_the_chat),
        cmocka_unit_test(the_users_own_members_win),
        cmocka_unit_test(many_own_members_are_all_set),
        cmocka_unit_test(everything_at_once),
        cmocka_unit_test(additions_are_distinguished),
        cmocka_unit_test(an_error_may_name_what_it_does_not_want),
        cmocka_unit_test(what_cannot_be_done_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
