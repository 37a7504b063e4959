/* test_convert.c: a task asked in one dialect in the words of the other, what a request means, and
 * errors. The captured requests of real Open WebUI releases lie beside the checkout; without them
 * that part is skipped.
 */
#include "support/check.h"

#include "lull/path/dialect/convert.h"
#include "lull/path/json/json.h"

#include <cjson/cJSON.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#define USER "\"messages\":[{\"role\":\"user\",\"content\":\"q\"}]"
#define CHAT ENDPOINT_CHAT
#define OCHAT ENDPOINT_OLLAMA_CHAT
#define GENERATE ENDPOINT_OLLAMA_GENERATE

static enum endpoint other_of(enum endpoint from)
{
    return from == CHAT ? OCHAT : CHAT;
}

static struct buf crossed(const char *body, enum endpoint from)
{
    struct buf out = {.max = SIZE_MAX};
    const char *what = "";
    enum err e = dialect_convert_request(span_of(body), from, other_of(from), &out, &what);
    if (e != ERR_OK) {
        fail_msg("%s: %s (%s)", body, err_name(e), what == NULL ? "" : what);
    }
    assert_null(what);
    assert_int_equal(json_canonical(buf_span(&out), NULL, 0, NULL), JSON_OK);
    return out;
}

/* Whether it is converted for the key. What is not is the body without what says how the answer is
 * sent, and the model's name. */
static bool normalized(struct span body, enum endpoint from, struct buf *out)
{
    static const struct span outside[] = {
        {"stream", 6}, {"stream_options", 14}, {"user", 4}, {"metadata", 8}, {"model", 5}};
    struct dialect_request request;
    bool converted = false;
    struct buf plain = {.max = SIZE_MAX};
    if (!dialect_request_parse(body, from, &request)) {
        return false;
    }
    size_t count = request.model.len > 0 ? 5 : 4;
    enum json_verdict verdict = json_canonical(body, outside, count, &plain);
    assert_int_equal(verdict, request.json.verdict);
    enum err e = dialect_normalize(&request, out, &converted);
    assert_int_equal(e == ERR_INVALID, verdict != JSON_OK);
    if (e == ERR_OK && !converted) {
        assert_true(span_eq(buf_span(out), buf_span(&plain)));
    }
    buf_free(&plain);
    dialect_request_free(&request);
    return e == ERR_OK && converted;
}

/* As the fingerprint makes it. */
static struct buf meaning(struct span body, enum endpoint from, bool *crossable)
{
    struct buf out = {.max = SIZE_MAX};
    struct buf again = {.max = SIZE_MAX};
    struct dialect_request request;
    assert_true(dialect_request_parse(body, from, &request));
    assert_int_equal(dialect_normalize(&request, &out, crossable), ERR_OK);
    assert_int_equal(json_canonical(buf_span(&out), NULL, 0, &again), JSON_OK);
    assert_true(span_eq(buf_span(&out), buf_span(&again))); /* it is canonical already */
    dialect_request_free(&request);
    buf_free(&again);
    return out;
}

struct row {
    const char *body, *wanted;
};

static void check_rows(const struct row *rows, size_t count, enum endpoint from)
{
    for (size_t i = 0; i < count; i++) {
        struct buf out = crossed(rows[i].body, from);
        assert_span(buf_span(&out), rows[i].wanted);
        buf_free(&out);
    }
}

/* Rows that have the same messages: what stands behind them. */
#define O(members) "{" USER members "}"
#define TO(members) "{" USER members ",\"stream\":false}"

static void openai_in_the_words_of_ollama(void **state)
{
    static const struct row rows[] = {
        {"{\"model\":\"m\",\"stream\":true," USER "}",
         "{\"model\":\"m\"," USER ",\"stream\":false}"},
        {" { \"model\" : \"m\\u00e4\" ,\n" USER " } ",
         "{\"model\":\"m\\u00e4\"," USER ",\"stream\":false}"},
        {O(",\"stream_options\":{\"include_usage\":true},\"user\":\"u\",\"metadata\":{\"a\":1},"
           "\"store\":false,\"service_tier\":\"auto\",\"prompt_cache_key\":\"k\","
           "\"safety_identifier\":\"s\",\"options\":{\"num_ctx\":1},\"unknown\":null"),
         TO("")},
        {O(",\"tools\":[],\"functions\":[],\"logit_bias\":{},\"logprobs\":false,\"n\":1,"
           "\"best_of\":1,\"tool_choice\":null,\"top_logprobs\":null"),
         TO("")},
        /* the cap */
        {O(",\"max_tokens\":1000"), TO(",\"options\":{\"num_predict\":1000}")},
        {O(",\"max_completion_tokens\":50"), TO(",\"options\":{\"num_predict\":50}")},
        {O(",\"n_predict\":1e2"), TO(",\"options\":{\"num_predict\":1e2}")},
        {O(",\"max_tokens\":9,\"n_predict\":9"), TO(",\"options\":{\"num_predict\":9}")},
        {O(",\"max_tokens\":0"), TO(",\"options\":{\"num_predict\":1}")},
        {O(",\"max_tokens\":0.5"), TO(",\"options\":{\"num_predict\":1}")},
        {O(",\"max_tokens\":-1"), TO(",\"options\":{\"num_predict\":-1}")},
        /* samplers, as written */
        {O(",\"temperature\":0.10,\"top_p\":1,\"top_k\":40,\"min_p\":5e-2,\"seed\":7,"
           "\"presence_penalty\":0,\"frequency_penalty\":-0.5,\"repeat_penalty\":1.1"),
         TO(",\"options\":{\"temperature\":0.10,\"top_p\":1,\"top_k\":40,\"min_p\":5e-2,\"seed\":7,"
            "\"presence_penalty\":0,\"frequency_penalty\":-0.5,\"repeat_penalty\":1.1}")},
        {O(",\"stop\":\"x\""), TO(",\"options\":{\"stop\":[\"x\"]}")},
        {O(",\"stop\":[\"x\", \"y\"]"), TO(",\"options\":{\"stop\":[\"x\", \"y\"]}")},
        /* the form */
        {O(",\"response_format\":{\"type\":\"text\"}"), TO("")},
        {O(",\"response_format\":{\"type\":\"json_object\"}"), TO(",\"format\":\"json\"")},
        {O(",\"response_format\":{\"type\":\"json_object\",\"schema\":{\"type\":\"object\"}}"),
         TO(",\"format\":{\"type\":\"object\"}")},
        {O(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"a\","
           "\"strict\":true,\"schema\":{ \"type\":\"object\" }}}"),
         TO(",\"format\":{ \"type\":\"object\" }")},
        /* thinking */
        {O(",\"reasoning_effort\":\"none\""), TO(",\"think\":false")},
        {O(",\"reasoning_effort\":\"minimal\""), TO(",\"think\":\"low\"")},
        {O(",\"reasoning_effort\":\"low\""), TO(",\"think\":\"low\"")},
        {O(",\"reasoning_effort\":\"medium\""), TO(",\"think\":\"medium\"")},
        {O(",\"reasoning_effort\":\"high\""), TO(",\"think\":\"high\"")},
        {O(",\"think\":true"), TO(",\"think\":true")},
        {O(",\"think\":\"high\""), TO(",\"think\":\"high\"")},
        {O(",\"chat_template_kwargs\":{\"enable_thinking\":true}"), TO(",\"think\":true")},
        {O(",\"chat_template_kwargs\":{}"), TO("")},
        {O(",\"chat_template_kwargs\":{\"enable_thinking\":true},\"reasoning_effort\":\"low\""),
         TO(",\"think\":\"low\"")},
        {O(",\"think\":false,\"chat_template_kwargs\":{\"enable_thinking\":false}"),
         TO(",\"think\":false,\"options\":{\"chat_template_kwargs\":{\"enable_thinking\":false}}")},
        {O(",\"keep_alive\":\"5m\""), TO(",\"keep_alive\":\"5m\"")},
    };
    (void)state;
    check_rows(rows, sizeof rows / sizeof rows[0], CHAT);
}

static void messages_of_openai(void **state)
{
    static const struct row rows[] = {
        {"{\"messages\":[{\"role\":\"developer\",\"content\":\"s\"},{\"content\":\"q\","
         "\"role\":\"user\",\"name\":\"n\"},{\"role\":\"assistant\",\"content\":null,"
         "\"tool_calls\":[],\"refusal\":null,\"reasoning_content\":\"t\"}]}",
         "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":"
         "\"q\",\"name\":\"n\"},{\"role\":\"assistant\",\"content\":\"\"}],\"stream\":false}"},
        {"{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\\n\\u00e4"
         "\"} , {\"text\":\"b\\\"\",\"type\":\"text\"}]}, {\"role\":\"user\",\"content\":[]},"
         "{\"role\":\"user\"}]}",
         "{\"messages\":[{\"role\":\"user\",\"content\":\"a\\n\\u00e4b\\\"\"},{\"role\":\"user\","
         "\"content\":\"\"},{\"role\":\"user\",\"content\":\"\"}],\"stream\":false}"},
    };
    (void)state;
    check_rows(rows, sizeof rows / sizeof rows[0], CHAT);
}

static void the_first_user_message_is_the_first_even_without_content(void **state)
{
    static const struct {
        const char *messages, *first;
    } rows[] = {
        {"{\"role\":\"user\"},{\"role\":\"user\",\"content\":\"q\"}", ""},
        {"{\"role\":\"user\",\"content\":null},{\"role\":\"user\",\"content\":\"q\"}", ""},
        {"{\"role\":\"system\"},{\"role\":\"user\",\"content\":\"q\"}", "q"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct dialect_request r;
        char body[256];
        snprintf(body, sizeof body, "{\"messages\":[%s]}", rows[i].messages);
        assert_true(dialect_request_parse(span_of(body), ENDPOINT_CHAT, &r));
        assert_true(span_eq(r.first_user, span_of(rows[i].first)));
        dialect_request_free(&r);
    }
}

static void ollama_in_the_words_of_openai(void **state)
{
    static const struct row rows[] = {
        {"{\"model\":\"m:1b\"," USER "}", "{\"model\":\"m:1b\"," USER ",\"stream\":false}"},
        {O(",\"stream\":true,\"keep_alive\":\"5m\",\"num_predict\":50,\"options\":{\"num_ctx\":"
           "4096,"
           "\"num_keep\":1,\"num_gpu\":1,\"main_gpu\":0,\"num_thread\":2,\"num_batch\":64,"
           "\"use_mmap\":true,\"use_mlock\":false,\"low_vram\":false,\"numa\":false,"
           "\"vocab_only\":false,\"f16_kv\":true,\"mirostat\":null}"),
         TO("")},
        {O(",\"options\":null,\"tools\":[],\"format\":\"\",\"think\":null"), TO("")},
        {O(",\"options\":{\"num_predict\":1000,\"temperature\":0.10,\"stop\":[\"x\"]}"),
         TO(",\"max_tokens\":1000,\"temperature\":0.10,\"stop\":[\"x\"]")},
        {O(",\"options\":{\"num_predict\":0}"), TO("")},
        {O(",\"options\":{\"num_predict\":-2}"), TO("")},
        {O(",\"format\":\"json\""), TO(",\"response_format\":{\"type\":\"json_object\"}")},
        {O(",\"format\":{\"type\":\"object\"}"),
         TO(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\","
            "\"strict\":true,\"schema\":{\"type\":\"object\"}}}")},
        {O(",\"think\":false"), TO(",\"chat_template_kwargs\":{\"enable_thinking\":false}")},
        {O(",\"think\":true"), TO(",\"chat_template_kwargs\":{\"enable_thinking\":true}")},
        {O(",\"think\":\"low\""), TO(",\"reasoning_effort\":\"low\"")},
        {O(",\"think\":\"medium\""), TO(",\"reasoning_effort\":\"medium\"")},
        {O(",\"think\":\"high\",\"options\":{\"chat_template_kwargs\":{\"enable_thinking\":true}}"),
         TO(",\"reasoning_effort\":\"high\"")},
        {O(",\"think\":false,\"options\":{\"chat_template_kwargs\":{\"enable_thinking\":false}}"),
         TO(",\"chat_template_kwargs\":{\"enable_thinking\":false},\"think\":false")},
        {O(",\"think\":true,\"options\":{\"chat_template_kwargs\":{\"enable_thinking\":false}}"),
         TO(",\"chat_template_kwargs\":{\"enable_thinking\":true}")},
        {O(",\"options\":{\"chat_template_kwargs\":{\"any\":1}}"), TO("")},
        {"{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"assistant\","
         "\"thinking\":\"t\",\"images\":[],\"tool_calls\":[]}]}",
         "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"assistant\","
         "\"content\":\"\"}],\"stream\":false}"},
    };
    static const struct row generate[] = {
        {"{\"model\":\"m\",\"prompt\":\"q\\u00e4\"}",
         "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"q\\u00e4\"}],\"stream\":"
         "false}"},
        {"{\"prompt\":\"q\",\"system\":\"s\",\"raw\":false,\"images\":[],\"context\":[],\"suffix\":"
         "\"\",\"template\":\"\",\"options\":{\"seed\":1}}",
         "{\"seed\":1,\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\","
         "\"content\":\"q\"}],\"stream\":false}"},
        {"{\"prompt\":\"q\",\"system\":\"\"}", TO("")},
    };
    (void)state;
    check_rows(rows, sizeof rows / sizeof rows[0], OCHAT);
    check_rows(generate, sizeof generate / sizeof generate[0], GENERATE);
}

static void check_refused(const char *body, enum endpoint from, enum err wanted, const char *named)
{
    struct buf out = {.max = SIZE_MAX};
    struct buf same = {.max = SIZE_MAX};
    const char *what = "";
    assert_int_equal(buf_append_span(&out, SPAN("before")), ERR_OK);
    enum err e = dialect_convert_request(span_of(body), from, other_of(from), &out, &what);
    if (e != wanted) {
        fail_msg("%s: %s", body, err_name(e));
    }
    if (named == NULL) {
        assert_null(what);
    } else {
        assert_string_equal(what, named);
    }
    assert_span(buf_span(&out), "before");
    assert_int_equal(dialect_convert_request(span_of(body), from, other_of(from), &out, NULL),
                     wanted);
    assert_false(normalized(span_of(body), from, &same));
    buf_free(&out);
    buf_free(&same);
}

#define M(members) "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"," members "}]}"

static void what_cannot_cross_is_named(void **state)
{
    static const struct {
        enum endpoint from;
        const char *body, *what;
    } rows[] = {
        {CHAT, O(",\"tools\":[{}]"), "tools"},
        {CHAT, O(",\"functions\":[{}]"), "functions"},
        {CHAT, O(",\"tool_choice\":\"none\""), "tool_choice"},
        {CHAT, O(",\"logprobs\":true"), "logprobs"},
        {CHAT, O(",\"top_logprobs\":0"), "top_logprobs"},
        {CHAT, O(",\"n\":2"), "n"},
        {CHAT, O(",\"best_of\":2"), "best_of"},
        {CHAT, O(",\"logit_bias\":{\"1\":1}"), "logit_bias"},
        {CHAT, O(",\"audio\":{}"), "audio"},
        {CHAT, O(",\"modalities\":[\"text\"]"), "modalities"},
        {CHAT, O(",\"prediction\":{}"), "prediction"},
        {CHAT, O(",\"web_search_options\":{}"), "web_search_options"},
        {CHAT, O(",\"grammar\":\"root ::= x\""), "grammar"},
        {CHAT, O(",\"store\":true"), "store"},
        {CHAT, O(",\"mirostat\":1"), "unknown member"},
        {CHAT, O(",\"Model\":\"m\""), "unknown member"},
        {CHAT, O(",\"num_predict\":1"), "unknown member"},
        {CHAT, O(",\"lull.ollama\":{}"), "unknown member"},
        {CHAT, O(",\"temperature\":\"hot\""), "temperature"},
        {CHAT, O(",\"max_tokens\":\"1\""), "max_tokens"},
        {CHAT, O(",\"max_tokens\":1,\"max_completion_tokens\":2"), "max_completion_tokens"},
        {CHAT, O(",\"stop\":1"), "stop"},
        {CHAT, O(",\"stop\":\"\""), "stop"},
        {CHAT, O(",\"stop\":[\"a\",\"\"]"), "stop"},
        {CHAT, O(",\"stop\":[1]"), "stop"},
        {CHAT, O(",\"response_format\":\"json\""), "response_format"},
        {CHAT, O(",\"response_format\":{\"type\":\"grammar\"}"), "response_format"},
        {CHAT, O(",\"response_format\":{\"type\":\"json_schema\"}"), "response_format"},
        {CHAT,
         O(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{},"
           "\"description\":\"d\"}}"),
         "response_format"},
        {CHAT, O(",\"reasoning_effort\":\"xhigh\""), "reasoning_effort"},
        {CHAT, O(",\"think\":\"\""), "think"},
        {CHAT, O(",\"think\":1"), "think"},
        {CHAT, O(",\"chat_template_kwargs\":{\"enable_thinking\":false,\"a\":1}"),
         "chat_template_kwargs"},
        {CHAT, O(",\"chat_template_kwargs\":{\"enable_thinking\":1}"), "chat_template_kwargs"},
        {CHAT, O(",\"chat_template_kwargs\":[]"), "chat_template_kwargs"},
        {CHAT, O(",\"think\":true,\"reasoning_effort\":\"none\""),
         "words about thinking that contradict each other"},
        {CHAT, O(",\"think\":\"low\",\"reasoning_effort\":\"high\""),
         "words about thinking that contradict each other"},
        {CHAT, O(",\"keep_alive\":{}"), "keep_alive"},
        {CHAT, O(",\"seed\":9007199254740993"), "JSON that parsers read differently"},
        {CHAT, M("\"tool_calls\":[{}]"), "tool_calls"},
        {CHAT, M("\"tool_call_id\":\"1\""), "unknown member of a message"},
        {CHAT, M("\"name\":1"), "name"},
        {CHAT, M("\"reasoning_content\":[]"), "reasoning_content"},
        {CHAT, "{\"messages\":[{\"role\":\"tool\",\"content\":\"q\"}]}", "role"},
        {CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":1}]}", "content that is not text"},
        {CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}",
         "content that is not text"},
        {CHAT,
         "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\","
         "\"cache_control\":{}}]}]}",
         "content that is not text"},
        {OCHAT, O(",\"tools\":[{}]"), "tools"},
        {OCHAT, O(",\"logprobs\":true"), "logprobs"},
        {OCHAT, O(",\"format\":\"xml\""), "format"},
        {OCHAT, O(",\"format\":1"), "format"},
        {OCHAT, O(",\"think\":\"max\""), "think"},
        {OCHAT, O(",\"options\":[]"), "options"},
        {OCHAT, O(",\"options\":{\"mirostat\":2}"), "mirostat"},
        {OCHAT, O(",\"options\":{\"mirostat_tau\":2}"), "mirostat_tau"},
        {OCHAT, O(",\"options\":{\"mirostat_eta\":2}"), "mirostat_eta"},
        {OCHAT, O(",\"options\":{\"tfs_z\":1}"), "tfs_z"},
        {OCHAT, O(",\"options\":{\"typical_p\":1}"), "typical_p"},
        {OCHAT, O(",\"options\":{\"repeat_last_n\":1}"), "repeat_last_n"},
        {OCHAT, O(",\"options\":{\"penalize_newline\":true}"), "penalize_newline"},
        {OCHAT, O(",\"options\":{\"num_predict\":\"1\"}"), "num_predict"},
        {OCHAT, O(",\"options\":{\"stop\":\"x\"}"), "stop"},
        {OCHAT, O(",\"options\":{\"top_k\":true}"), "top_k"},
        {OCHAT, O(",\"options\":{\"new\":1}"), "unknown option"},
        {OCHAT, O(",\"max_tokens\":1"), "unknown member"},
        {OCHAT, O(",\"prompt\":\"q\""), "unknown member"},
        {OCHAT, M("\"images\":[\"AA==\"]"), "images"},
        {OCHAT, "{\"messages\":[{\"role\":\"developer\",\"content\":\"q\"}]}", "role"},
        {OCHAT, "{\"messages\":[{\"role\":\"user\",\"content\":[]}]}", "content that is not text"},
        {GENERATE, "{\"prompt\":\"q\",\"images\":[\"AA==\"]}", "images"},
        {GENERATE, "{\"prompt\":\"q\",\"raw\":true}", "raw"},
        {GENERATE, "{\"prompt\":\"q\",\"template\":\"t\"}", "template"},
        {GENERATE, "{\"prompt\":\"q\",\"suffix\":\"s\"}", "suffix"},
        {GENERATE, "{\"prompt\":\"q\",\"context\":[1]}", "context"},
        {GENERATE, "{\"prompt\":\"q\",\"messages\":[]}", "unknown member"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_refused(rows[i].body, rows[i].from, ERR_NOT_FOUND, rows[i].what);
    }
}

static void what_is_no_request_is_refused(void **state)
{
    static const struct {
        enum endpoint from;
        const char *body;
    } rows[] = {
        {CHAT, ""},
        {CHAT, "["},
        {CHAT, "[]"},
        {CHAT, "\"messages\""},
        {CHAT, "{}"},
        {CHAT, "{\"messages\":[]}"},
        {CHAT, "{\"messages\":null}"},
        {CHAT, "{\"messages\":{}}"},
        {CHAT, "{\"messages\":[1]}"},
        {CHAT, "{\"messages\":[{\"content\":\"q\"}]}"},
        {CHAT, "{\"model\":1," USER "}"},
        {CHAT, O("") "x"},
        {OCHAT, "{\"model\":\"m\"}"},
        {OCHAT, "{\"model\":\"m\",\"messages\":[],\"keep_alive\":0}"},
        {GENERATE, "{\"model\":\"m\"}"},
        {GENERATE, "{\"prompt\":\"\",\"keep_alive\":0}"},
        {GENERATE, "{\"prompt\":[\"q\"]}"},
        {GENERATE, "{\"prompt\":\"q\",\"system\":1}"},
        {ENDPOINT_COMPLETIONS, "{\"prompt\":\"q\"}"},
        {ENDPOINT_RESPONSES, "{\"input\":\"q\"}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_refused(rows[i].body, rows[i].from, ERR_INVALID, NULL);
    }
    struct buf out = {.max = SIZE_MAX};
    struct buf full = {.max = 10};
    assert_int_equal(dialect_convert_request(SPAN(O("")), CHAT, CHAT, &out, NULL), ERR_INVALID);
    assert_int_equal(dialect_convert_request(SPAN(O("")), OCHAT, GENERATE, &out, NULL),
                     ERR_INVALID);
    assert_int_equal(dialect_convert_request(SPAN(O("")), CHAT, GENERATE, &out, NULL), ERR_INVALID);
    assert_int_equal(dialect_convert_request(SPAN(O("")), CHAT, OCHAT, &full, NULL), ERR_TOO_LARGE);
    assert_false(normalized(SPAN(O("")), CHAT, &full));
    assert_int_equal(out.len + full.len, 0);
    buf_free(&out);
    buf_free(&full);
}

/* A schema that the other dialect puts deeper than parsers read. */
static void what_would_be_too_deep_cannot_cross(void **state)
{
    struct buf body = {.max = SIZE_MAX};
    struct buf out = {.max = SIZE_MAX};
    const char *what = NULL;
    enum err e = buf_append_span(&body, SPAN("{" USER ",\"format\":"));
    (void)state;
    for (int i = 0; i < 509 && e == ERR_OK; i++) {
        e = buf_append_span(&body, SPAN("{\"a\":"));
    }
    e = e == ERR_OK ? buf_append_span(&body, SPAN("1")) : e;
    for (int i = 0; i < 510 && e == ERR_OK; i++) {
        e = buf_append_char(&body, '}');
    }
    assert_int_equal(e, ERR_OK);
    assert_int_equal(json_canonical(buf_span(&body), NULL, 0, NULL), JSON_OK);
    assert_int_equal(dialect_convert_request(buf_span(&body), OCHAT, CHAT, &out, &what),
                     ERR_NOT_FOUND);
    assert_string_equal(what, "JSON that is nested too deep");
    assert_int_equal(out.len, 0);
    buf_free(&body);
    buf_free(&out);
}

/* ---- meaning ---- */

struct pair {
    enum endpoint a_from;
    const char *a;
    enum endpoint b_from;
    const char *b;
};

static void check_pair(const struct pair *p, bool wanted)
{
    bool a_good = false;
    bool b_good = false;
    struct buf a = meaning(span_of(p->a), p->a_from, &a_good);
    struct buf b = meaning(span_of(p->b), p->b_from, &b_good);
    if (!a_good || !b_good || span_eq(buf_span(&a), buf_span(&b)) != wanted) {
        fail_msg("%s\n%s\n%.*s\n%.*s", p->a, p->b, (int)a.len, a.data, (int)b.len, b.data);
    }
    buf_free(&a);
    buf_free(&b);
}

static void what_means_the_same_is_the_same(void **state)
{
    static const struct pair rows[] = {
        {CHAT, O(",\"stream\":false"), OCHAT, O(",\"stream\":true")},
        /* the key has the model that is asked, beside it */
        {CHAT, O(",\"model\":\"a\""), OCHAT, O(",\"model\":\"b\"")},
        {CHAT, O(",\"stream\":true,\"stream_options\":{},\"user\":\"u\",\"metadata\":{}"), CHAT,
         O(",\"seed\":null")},
        {CHAT, O(",\"max_tokens\":50,\"temperature\":0.1"), OCHAT,
         O(",\"options\":{\"temperature\":0.1,\"num_predict\":50}")},
        {CHAT, O(",\"stop\":\"x\""), OCHAT, O(",\"options\":{\"stop\":[\"\\u0078\"]}")},
        {CHAT, O(",\"response_format\":{\"type\":\"json_object\"}"), OCHAT,
         O(",\"format\":\"json\"")},
        {CHAT,
         O(",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\","
           "\"strict\":true,\"schema\":{\"type\":\"object\"}}}"),
         OCHAT, O(",\"format\":{\"type\":\"object\"}")},
        {CHAT, O(",\"chat_template_kwargs\":{\"enable_thinking\":false}"), OCHAT,
         O(",\"think\":false")},
        {CHAT, O(",\"reasoning_effort\":\"low\""), OCHAT, O(",\"think\":\"low\"")},
        {CHAT, O(",\"think\":false,\"chat_template_kwargs\":{\"enable_thinking\":false}"), OCHAT,
         O(",\"options\":{\"chat_template_kwargs\":{\"enable_thinking\":false}},\"think\":false")},
        {CHAT, O(",\"keep_alive\":\"5m\""), OCHAT, O(",\"keep_alive\":\"5m\"")},
        {CHAT, O(""), OCHAT, O(",\"options\":{},\"format\":\"\"")},
        {CHAT, O(""), CHAT,
         "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"q\"}]}]}"},
        {CHAT, O(""), GENERATE, "{\"prompt\":\"q\",\"system\":\"\"}"},
        {OCHAT,
         "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":"
         "\"q\"}],\"options\":{\"num_ctx\":1}}",
         GENERATE, "{\"prompt\":\"q\",\"system\":\"s\",\"options\":{\"num_ctx\":1}}"},
        {OCHAT, "{\"messages\":[{\"role\":\"user\"}]}", OCHAT,
         "{\"messages\":[{\"role\":\"user\",\"content\":null}]}"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_pair(&rows[i], true);
    }
}

static void what_a_server_could_answer_differently_differs(void **state)
{
    static const struct pair rows[] = {
        {CHAT, O(",\"seed\":1"), CHAT, O(",\"seed\":1.0")},
        {CHAT, O(",\"max_tokens\":9"), CHAT, O(",\"max_completion_tokens\":9")},
        {CHAT, O(",\"max_tokens\":9"), CHAT, O(",\"n_predict\":9")},
        {CHAT, O(",\"max_tokens\":0"), CHAT, O(",\"max_tokens\":1")},
        {CHAT, O(",\"max_tokens\":0"), OCHAT, O(",\"options\":{\"num_predict\":0}")},
        {CHAT, O(",\"max_tokens\":0"), OCHAT, O(",\"options\":{\"num_predict\":1}")},
        {CHAT, O(",\"max_tokens\":-1"), OCHAT, O(",\"options\":{\"num_predict\":-1}")},
        {OCHAT, O(",\"options\":{\"num_predict\":-1}"), OCHAT,
         O(",\"options\":{\"num_predict\":-2}")},
        {OCHAT, O(",\"options\":{\"num_predict\":0}"), OCHAT, O("")},
        {OCHAT, O(",\"num_predict\":50"), OCHAT, O(",\"options\":{\"num_predict\":50}")},
        {OCHAT, O(",\"num_predict\":50"), OCHAT, O("")},
        {OCHAT, O(",\"options\":{\"num_ctx\":1}"), OCHAT, O(",\"options\":{\"num_ctx\":2}")},
        {OCHAT, O(",\"options\":{\"num_ctx\":1}"), OCHAT, O("")},
        {OCHAT, O(",\"options\":{\"num_ctx\":1}"), CHAT, O(",\"options\":{\"num_ctx\":1}")},
        {OCHAT, O(",\"keep_alive\":1"), OCHAT, O("")},
        {CHAT, O(",\"service_tier\":\"flex\""), CHAT, O("")},
        {CHAT, O(",\"store\":false"), CHAT, O("")},
        {CHAT, O(",\"think\":false"), CHAT,
         O(",\"chat_template_kwargs\":{\"enable_thinking\":false}")},
        {CHAT, O(",\"think\":false"), CHAT, O(",\"reasoning_effort\":\"none\"")},
        {CHAT, O(",\"reasoning_effort\":\"low\""), CHAT, O(",\"reasoning_effort\":\"minimal\"")},
        {OCHAT, O(",\"think\":true"), OCHAT, O("")},
        {OCHAT, O(",\"options\":{\"chat_template_kwargs\":{\"enable_thinking\":false}}"), OCHAT,
         O("")},
        {CHAT,
         "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
         "{\"type\":\"text\",\"text\":\"b\"}]}]}",
         CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"ab\"}]}"},
        {CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":[]}]}", CHAT,
         "{\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}"},
        {CHAT, "{\"messages\":[{\"role\":\"user\"}]}", CHAT,
         "{\"messages\":[{\"role\":\"user\",\"content\":null}]}"},
        {CHAT, "{\"messages\":[{\"role\":\"developer\",\"content\":\"q\"}]}", CHAT,
         "{\"messages\":[{\"role\":\"system\",\"content\":\"q\"}]}"},
        {CHAT, M("\"reasoning_content\":\"t\""), CHAT, O("")},
        {OCHAT, M("\"thinking\":\"t\""), OCHAT, O("")},
        {CHAT, M("\"tool_calls\":[]"), CHAT, O("")},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_pair(&rows[i], false);
    }
}

static void the_neutral_form_of_it_is_itself(void **state)
{
    static const char *const rows[] = {
        O(",\"max_completion_tokens\":5,\"stop\":\"x\",\"think\":true,\"options\":{\"a\":1}"),
        "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}, "
        "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":null}]}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf once = {.max = SIZE_MAX};
        struct buf twice = {.max = SIZE_MAX};
        assert_true(normalized(span_of(rows[i]), CHAT, &once));
        assert_true(normalized(buf_span(&once), CHAT, &twice));
        assert_true(span_eq(buf_span(&once), buf_span(&twice)));
        buf_free(&once);
        buf_free(&twice);
    }
    struct buf out = {.max = SIZE_MAX};
    assert_true(normalized(
        SPAN(O(",\"keep_alive\":1,\"num_predict\":2,\"options\":{\"num_ctx\":3,\"seed\":4}")),
        OCHAT, &out));
    assert_span(buf_span(&out), "{\"keep_alive\":1,\"lull.ollama\":{\"num_predict\":2,\"options\":"
                                "{\"num_ctx\":3}},\"messages\":[{\"content\":\"q\",\"role\":"
                                "\"user\"}],\"seed\":4}");
    buf_free(&out);
    assert_int_equal(dialect_task_endpoint(CHAT, DIALECT_OPENAI), CHAT);
    assert_int_equal(dialect_task_endpoint(CHAT, DIALECT_OLLAMA), OCHAT);
    assert_int_equal(dialect_task_endpoint(GENERATE, DIALECT_OLLAMA), GENERATE);
    assert_int_equal(dialect_task_endpoint(GENERATE, DIALECT_OPENAI), CHAT);
}

/* ---- captured requests ---- */

struct captured {
    struct buf canonical, neutral; /* without what says how the answer is sent, and the model */
    enum endpoint from;
};
struct captures {
    struct captured *at;
    size_t count, openai, ollama, pairs;
};

static struct buf key_of(struct span text)
{
    static const struct span outside[] = {
        {"model", 5}, {"stream", 6}, {"stream_options", 14}, {"user", 4}, {"metadata", 8}};
    struct buf out = {.max = SIZE_MAX};
    assert_int_equal(json_canonical(text, outside, sizeof outside / sizeof outside[0], &out),
                     JSON_OK);
    return out;
}

/* There and back: nothing is lost but what only Ollama reads. */
static void check_return(const char *body, enum endpoint from)
{
    struct buf there = crossed(body, from);
    struct buf back = {.max = SIZE_MAX};
    bool good[2] = {false, false};
    assert_int_equal(dialect_convert_request(buf_span(&there), other_of(from), from, &back, NULL),
                     ERR_OK);
    struct buf first = meaning(span_of(body), from, &good[0]);
    struct buf last = meaning(buf_span(&back), from, &good[1]);
    assert_true(good[0] && good[1]);
    if (span_find(buf_span(&first), SPAN("\"lull.ollama\":"), 0) == SIZE_MAX) {
        assert_true(span_eq(buf_span(&first), buf_span(&last)));
    } else {
        assert_int_equal(from, OCHAT);
    }
    buf_free(&there);
    buf_free(&back);
    buf_free(&first);
    buf_free(&last);
}

static void note_capture(struct captures *all, const char *body, enum endpoint from)
{
    struct buf neutral = {.max = SIZE_MAX};
    assert_true(normalized(span_of(body), from, &neutral));
    all->at = realloc(all->at, (all->count + 1) * sizeof *all->at);
    assert_non_null(all->at);
    all->at[all->count++] =
        (struct captured){key_of(span_of(body)), key_of(buf_span(&neutral)), from};
    all->openai += from == CHAT;
    all->ollama += from == OCHAT;
    buf_free(&neutral);
}

static void check_record(const cJSON *record, struct captures *all)
{
    static const char *const chats[] = {"chat", "moa"};
    const char *kind = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(record, "kind"));
    const char *path = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(record, "path"));
    const char *body = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(record, "body"));
    enum endpoint from = endpoint_of(span_of(path));
    if ((from != CHAT && from != OCHAT) || body == NULL || strcmp(kind, chats[0]) == 0 ||
        strcmp(kind, chats[1]) == 0) {
        return;
    }
    check_return(body, from);
    note_capture(all, body, from);
}

static void check_file(const char *path, struct captures *all)
{
    char *line = NULL;
    size_t cap = 0;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (getline(&line, &cap, file) > 0) {
        cJSON *record = cJSON_Parse(line);
        assert_non_null(record);
        check_record(record, all);
        cJSON_Delete(record);
    }
    free(line);
    fclose(file);
}

/* Two of one dialect meet only where they are the same; of two dialects, some do. */
static void check_meetings(struct captures *all)
{
    for (size_t i = 0; i < all->count; i++) {
        bool met = false;
        for (size_t k = 0; k < all->count; k++) {
            struct captured *a = &all->at[i];
            struct captured *b = &all->at[k];
            bool same = span_eq(buf_span(&a->neutral), buf_span(&b->neutral));
            if (a->from == b->from) {
                assert_int_equal(same, span_eq(buf_span(&a->canonical), buf_span(&b->canonical)));
            }
            met = met || (same && a->from == OCHAT && b->from == CHAT);
        }
        all->pairs += met;
    }
}

static void captured_tasks_cross_and_come_back(void **state)
{
    struct captures all = {0};
    glob_t found;
    (void)state;
    if (glob(LULL_SOURCE_DIR "/../shared/traffic/*.jsonl", 0, NULL, &found) != 0) {
        print_message("no captured traffic beside the checkout: skipped\n");
        skip();
    }
    for (size_t i = 0; i < found.gl_pathc; i++) {
        check_file(found.gl_pathv[i], &all);
    }
    globfree(&found);
    check_meetings(&all);
    print_message("%zu tasks of OpenAI type, %zu of Ollama, %zu of these mean what one of those "
                  "means\n",
                  all.openai, all.ollama, all.pairs);
    assert_true(all.openai > 0 && all.ollama > 0 && all.pairs > 0);
    for (size_t i = 0; i < all.count; i++) {
        buf_free(&all.at[i].canonical);
        buf_free(&all.at[i].neutral);
    }
    free(all.at);
}

/* ---- errors ---- */

static void errors_in_either_form(void **state)
{
    static const struct {
        int status;
        const char *body, *openai, *ollama;
    } rows[] = {
        {400, "{\"error\":{\"code\":400,\"message\":\"a \\\"b\\\"\",\"type\":\"t\"}}",
         "{\"error\":{\"message\":\"a "
         "\\\"b\\\"\",\"type\":\"invalid_request_error\",\"code\":400}}",
         "{\"error\":\"a \\\"b\\\"\"}"},
        {404, "{\"error\":\"model 'x' not found\"}\n",
         "{\"error\":{\"message\":\"model 'x' not found\",\"type\":\"invalid_request_error\","
         "\"code\":404}}",
         "{\"error\":\"model 'x' not found\"}"},
        {503, "{\"detail\":\"busy\"}",
         "{\"error\":{\"message\":\"busy\",\"type\":\"server_error\",\"code\":503}}",
         "{\"error\":\"busy\"}"},
        {422, "{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"a\",\"type\":\"t\"},{},{\"msg\":\"b\"}]}",
         "{\"error\":{\"message\":\"a; b\",\"type\":\"invalid_request_error\",\"code\":422}}",
         "{\"error\":\"a; b\"}"},
        {500, "{\"message\":\"m\",\"error\":{\"type\":\"t\"}}",
         "{\"error\":{\"message\":\"m\",\"type\":\"server_error\",\"code\":500}}",
         "{\"error\":\"m\"}"},
        {500, "{\"error\":\"\xff\"}",
         "{\"error\":{\"message\":\"\xEF\xBF\xBD\",\"type\":\"server_error\",\"code\":500}}",
         "{\"error\":\"\xEF\xBF\xBD\"}"},
    };
    static const char *const none[] = {"",
                                       "busy",
                                       "[]",
                                       "{}",
                                       "{\"error\":null}",
                                       "{\"error\":\"\"}",
                                       "{\"error\":{}}",
                                       "{\"detail\":[]}",
                                       "{\"error\":\"a\"} b",
                                       "<html>{\"error\":\"a\"}</html>"};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out = {.max = SIZE_MAX};
        assert_true(
            dialect_convert_error(span_of(rows[i].body), rows[i].status, DIALECT_OPENAI, &out));
        assert_span(buf_span(&out), rows[i].openai);
        buf_clear(&out);
        assert_true(
            dialect_convert_error(span_of(rows[i].body), rows[i].status, DIALECT_OLLAMA, &out));
        assert_span(buf_span(&out), rows[i].ollama);
        buf_free(&out);
    }
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        struct buf out = {.max = SIZE_MAX};
        assert_false(dialect_convert_error(span_of(none[i]), 500, DIALECT_OPENAI, &out));
        assert_int_equal(out.len, 0);
        buf_free(&out);
    }
    struct buf full = {.max = 12};
    assert_false(dialect_convert_error(SPAN("{\"error\":\"abcdef\"}"), 500, DIALECT_OLLAMA, &full));
    assert_int_equal(full.len, 0);
    buf_free(&full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openai_in_the_words_of_ollama),
        cmocka_unit_test(messages_of_openai),
        cmocka_unit_test(the_first_user_message_is_the_first_even_without_content),
        cmocka_unit_test(ollama_in_the_words_of_openai),
        cmocka_unit_test(what_cannot_cross_is_named),
        cmocka_unit_test(what_is_no_request_is_refused),
        cmocka_unit_test(what_would_be_too_deep_cannot_cross),
        cmocka_unit_test(what_means_the_same_is_the_same),
        cmocka_unit_test(what_a_server_could_answer_differently_differs),
        cmocka_unit_test(the_neutral_form_of_it_is_itself),
        cmocka_unit_test(captured_tasks_cross_and_come_back),
        cmocka_unit_test(errors_in_either_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
