/* test_behind.c: a task's request behind a conversation: which members are whose; and whether the
 * next request begins with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lull/path/dialect/behind.h"

#include <stdio.h>
#include <string.h>

static char made[8192];

/* The request, terminated; NULL: none is made. */
static const char *make(enum endpoint endpoint, const char *chat, const char *task)
{
    struct buf out = {.max = sizeof made};
    const struct dialect_behind in = {endpoint, span_of(chat), span_of(task), SPAN("Re\"ply"),
                                      SPAN("Do it.")};
    enum err e = dialect_behind_request(&in, &out);
    if (e != ERR_OK) {
        assert_int_equal(out.len, 0);
        buf_free(&out);
        return NULL;
    }
    memcpy(made, out.data, out.len);
    made[out.len] = '\0';
    buf_free(&out);
    return made;
}

#define TASK "\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Do\"}]"
#define CHAT "\"model\":\"m\",\"messages\":[ {\"role\":\"user\",\"content\":\"Hi\"} ]"
#define BEHIND                                                                                     \
    "\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":"    \
    "\"Re\\\"ply\"},{\"role\":\"user\",\"content\":\"Do it.\"}]"

static void members_are_the_chat_s_or_the_task_s(void **state)
{
    (void)state;
    static const struct {
        const char *chat, *task, *want;
    } cases[] = {
        {"{" CHAT "}", "{" TASK ",\"stream\":false}",
         "{\"model\":\"m\"," BEHIND ",\"stream\":false}"},
        {"{" CHAT ",\"stream\":true,\"temperature\":1,\"max_tokens\":5}",
         "{" TASK ",\"max_tokens\":1000}", "{\"model\":\"m\"," BEHIND ",\"max_tokens\":1000}"},
        {"{" CHAT ",\"tools\":[1],\"chat_template_kwargs\":{\"a\":1},\"odd\":2}",
         "{" TASK ",\"chat_template_kwargs\":{\"a\":2},\"think\":false,\"tools\":[]}",
         "{\"model\":\"m\"," BEHIND ",\"tools\":[1],\"chat_template_kwargs\":{\"a\":1},\"odd\":2}"},
        {"{" CHAT ",\"odd\":2}", "{" TASK ",\"odd\":2}", "{\"model\":\"m\"," BEHIND ",\"odd\":2}"},
        {"{" CHAT ",\"odd\":2}", "{" TASK ",\"odd\":3}", NULL},
        {"{" CHAT ",\"continue_final_message\":true,\"add_generation_prompt\":false}", "{" TASK "}",
         "{\"model\":\"m\"," BEHIND "}"},
        {"{" CHAT ",\"min_tokens\":90,\"guided_json\":{\"type\":\"object\"}}", "{" TASK "}",
         "{\"model\":\"m\"," BEHIND "}"},
        {"{" CHAT "}", "{" TASK ",\"strange\":3}", NULL},
        {"{\"model\":\"m\",\"messages\":[]}", "{" TASK "}", NULL},
        {"{\"model\":\"m\",\"messages\":\"x\"}", "{" TASK "}", NULL},
        {"{" CHAT ",\"a\":1,\"a\":2}", "{" TASK "}", NULL},
        {"{" CHAT "}", "[]", NULL},
        {"nothing", "{" TASK "}", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *got = make(ENDPOINT_CHAT, cases[i].chat, cases[i].task);
        if (cases[i].want == NULL) {
            assert_null(got);
        } else {
            assert_non_null(got);
            assert_string_equal(got, cases[i].want);
        }
    }
    assert_null(make(ENDPOINT_OLLAMA_GENERATE, "{" CHAT "}", "{" TASK "}"));
}

/* Each member of a sort that is not known is looked for among all of the chat's. */
static void few_members_of_no_known_sort_are_compared(void **state)
{
    (void)state;
    char more[1024] = "", chat[2048], task[2048];
    for (size_t n = 1; n <= 33; n++) {
        snprintf(more + strlen(more), sizeof more - strlen(more), ",\"x%zu\":1", n);
        snprintf(chat, sizeof chat, "{" CHAT "%s}", more);
        snprintf(task, sizeof task, "{" TASK "%s}", more);
        assert_true((make(ENDPOINT_CHAT, chat, task) != NULL) == (n <= 32));
    }
}

static void ollama_s_options_are_joined(void **state)
{
    (void)state;
    assert_string_equal(
        make(ENDPOINT_OLLAMA_CHAT,
             "{" CHAT ",\"options\":{\"num_ctx\":8192,\"temperature\":1,\"x\":1}}",
             "{" TASK ",\"options\":{\"num_predict\":50,\"num_ctx\":2048},\"format\":\"json\"}"),
        "{\"model\":\"m\"," BEHIND
        ",\"options\":{\"num_ctx\":8192,\"x\":1,\"num_predict\":50},\"format\":\"json\"}");
    assert_string_equal(
        make(ENDPOINT_OLLAMA_CHAT, "{" CHAT "}", "{" TASK ",\"options\":{\"num_predict\":50}}"),
        "{\"model\":\"m\"," BEHIND ",\"options\":{\"num_predict\":50}}");
    assert_string_equal(
        make(ENDPOINT_OLLAMA_CHAT, "{" CHAT ",\"options\":{\"seed\":4}}", "{" TASK "}"),
        "{\"model\":\"m\"," BEHIND ",\"options\":{}}");
    assert_null(make(ENDPOINT_OLLAMA_CHAT, "{" CHAT "}", "{" TASK ",\"options\":{\"new\":1}}"));
    assert_null(make(ENDPOINT_OLLAMA_CHAT, "{" CHAT ",\"options\":7}",
                     "{" TASK ",\"options\":{\"seed\":1}}"));
}

static enum dialect_sequel sequel(const char *chat, const char *next, bool *repeats)
{
    struct dialect_request request;
    assert_true(dialect_request_parse(span_of(next), ENDPOINT_CHAT, &request));
    enum dialect_sequel s = dialect_sequel_of(span_of(chat), SPAN("Re\"ply"), &request, repeats);
    dialect_request_free(&request);
    return s;
}

#define U(text) "{\"role\":\"user\",\"content\":\"" text "\"}"
#define S(text) "{\"role\":\"system\",\"content\":\"" text "\"}"
#define A(text) "{\"role\":\"assistant\",\"content\":\"" text "\"}"

static void sampling_does_not_lay_out_a_prompt(void **state)
{
    (void)state;
    static const char chat[] = "{\"messages\":[" U("a") "],\"options\":{\"num_ctx\":9,\"seed\":1}}";
    bool repeats = false;
#define NEXT                                                                                       \
    "{\"messages\":[" U("a") "," A("Re\\\"ply") "," U("b") "],\"temperature\":1,\"options\":"
    assert_int_equal(sequel(chat, NEXT "{\"num_ctx\":9,\"seed\":2}}", &repeats),
                     DIALECT_SEQUEL_CONTINUES);
    assert_int_equal(sequel(chat, NEXT "{\"num_ctx\":8}}", &repeats), DIALECT_SEQUEL_CHANGED);
    assert_int_equal(sequel(chat, NEXT "null}", &repeats), DIALECT_SEQUEL_CHANGED);
}

static void the_next_request_is_compared(void **state)
{
    (void)state;
    static const char chat[] =
        "{\"model\":\"m\",\"messages\":[" S("s") "," U("a") "],\"tools\":[1]}";
    static const struct {
        const char *next;
        enum dialect_sequel sequel;
        bool repeats;
    } cases[] = {
        {"{\"model\":\"m\",\"messages\":[" S("s") "," U("a") "," A("Re\\u0022ply") "," U(
             "b") "],"
                  "\"tools\":[ 1 ],\"stream\":true}",
         DIALECT_SEQUEL_CONTINUES, true},
        {"{\"model\":\"m\",\"messages\":[" S("s") "," U("a") "," A("Other") "," U(
             "b") "],"
                  "\"tools\":[1]}",
         DIALECT_SEQUEL_CHANGED, false},
        {"{\"model\":\"m\",\"messages\":[" S("t") "," U("a") "," A("Re\\\"ply") "," U(
             "b") "],"
                  "\"tools\":[1]}",
         DIALECT_SEQUEL_CHANGED, true},
        {"{\"model\":\"m\",\"messages\":[" S("s") "," U("a") "," A("Re\\\"ply") "," U("b") "]}",
         DIALECT_SEQUEL_CHANGED, true},
        {"{\"model\":\"m\",\"messages\":[" S("s") "," U("edited") "],\"tools\":[1]}",
         DIALECT_SEQUEL_BRANCHES, false},
        {"{\"model\":\"m\",\"messages\":[" S("s") "," U("a") "],\"tools\":[1]}",
         DIALECT_SEQUEL_BRANCHES, false},
        {"{\"model\":\"m\",\"messages\":[]}", DIALECT_SEQUEL_BRANCHES, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bool repeats = false;
        assert_int_equal(sequel(chat, cases[i].next, &repeats), cases[i].sequel);
        assert_int_equal(repeats, cases[i].repeats);
    }
}

static void an_earlier_request_ends_before_a_reply(void **state)
{
    (void)state;
    static const char chat[] = "{\"model\":\"m\",\"messages\":[ " S("s") " ,\n" U("a") " , " A(
        "Re\\\"ply") "," U("b") "," A("Two") "," U("c") " ],\"tools\":[1]}";
    static const struct {
        size_t reply;
        const char *body, *text; /* NULL: there is none */
    } cases[] = {
        {2, "{\"model\":\"m\",\"messages\":[ " S("s") " ,\n" U("a") " ],\"tools\":[1]}", "Re\"ply"},
        {4,
         "{\"model\":\"m\",\"messages\":[ " S("s") " ,\n" U("a") " , " A("Re\\\"ply") "," U(
             "b") "],\"tools\":[1]}",
         "Two"},
        {0, NULL, NULL},
        {1, NULL, NULL}, /* no reply */
        {6, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf body = {.max = 4096};
        struct buf text = {.max = 4096};
        enum err e = dialect_earlier_request(span_of(chat), cases[i].reply, &body, &text);
        assert_int_equal(e, cases[i].body == NULL ? ERR_INVALID : ERR_OK);
        if (e == ERR_OK) {
            assert_true(span_eq(buf_span(&body), span_of(cases[i].body)));
            assert_true(span_eq(buf_span(&text), span_of(cases[i].text)));
        }
        buf_free(&body);
        buf_free(&text);
    }
    static const char *const odd[] = {
        "{\"messages\":[" A("first") "]}",
        "{\"messages\":[" U("a") ",{\"role\":\"assistant\",\"content\":[]}]}",
        "{\"messages\":[" U("a") ",{\"role\":\"assistant\"}]}",
        "{\"messages\":\"a\"}",
        "{}",
        "nothing",
    };
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        struct buf body = {.max = 4096};
        struct buf text = {.max = 4096};
        assert_int_equal(dialect_earlier_request(span_of(odd[i]), i == 0 ? 0 : 1, &body, &text),
                         ERR_INVALID);
        buf_free(&body);
        buf_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_the_chat_s_or_the_task_s),
        cmocka_unit_test(few_members_of_no_known_sort_are_compared),
        cmocka_unit_test(ollama_s_options_are_joined),
        cmocka_unit_test(sampling_does_not_lay_out_a_prompt),
        cmocka_unit_test(the_next_request_is_compared),
        cmocka_unit_test(an_earlier_request_ends_before_a_reply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
