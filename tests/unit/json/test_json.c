/* test_json.c: one canonical text per document, verdicts on documents that parsers read
 * differently, edits that leave every other byte alone. */
#include "support/check.h"

#include "lull/path/json/json.h"

static void expect_canonical(const char *text, const char *want)
{
    struct buf out = {.max = 1 << 20};
    assert_int_equal(json_canonical(span_of(text), NULL, 0, &out), JSON_OK);
    assert_span(buf_span(&out), want);
    buf_free(&out);
}

static void style_does_not_matter(void **state)
{
    (void)state;
    static const char want[] = "{\"a\":[1,true,null],\"b\":\"\xC3\xBC/\\n\xF0\x9F\xA4\x94\"}";
    expect_canonical("{\"b\":\"\xC3\xBC/\\n\xF0\x9F\xA4\x94\",\"a\":[1,true,null]}", want);
    expect_canonical(
        " { \"a\" : [ 1 , true , null ] ,\n\"b\":\"\\u00fc\\/\\u000A\\ud83e\\udd14\" } ", want);
    expect_canonical("{\"\\u0061\":[1,true,null],\"b\":\"\\u00FC/\\n\\uD83E\\uDD14\"}", want);
    expect_canonical("{\"b\":{\"z\":1,\"y\":{\"q\":1,\"p\":2}},\"a\":{}}",
                     "{\"a\":{},\"b\":{\"y\":{\"p\":2,\"q\":1},\"z\":1}}");
}

static void numbers_are_their_token(void **state)
{
    (void)state;
    expect_canonical("[1,1.0,1e0,0.1,-0,9007199254740991]", "[1,1.0,1e0,0.1,-0,9007199254740991]");
}

static void verdicts(void **state)
{
    static const struct {
        const char *text;
        enum json_verdict verdict;
    } rows[] = {
        {"{\"a\":\"x\\u0000y\"}", JSON_AMBIGUOUS},
        {"{\"a\":9007199254740993}", JSON_AMBIGUOUS},
        {"{\"a\":1e400}", JSON_AMBIGUOUS},
        {"{\"a\":1,\"a\":2}", JSON_AMBIGUOUS},
        {"{\"a\":1,\"\\u0061\":2}", JSON_AMBIGUOUS},
        {"{\"b\":{\"a\":1,\"a\":1}}", JSON_AMBIGUOUS},
        {"{\"a\":\"\\ud800\"}", JSON_AMBIGUOUS},
        {"{\"a\":\"\\udc00\\ud800\"}", JSON_AMBIGUOUS},
        {"{\"a\":\"\xFF\"}", JSON_AMBIGUOUS},
        {"{\"a\":\"\xC0\x80\"}", JSON_AMBIGUOUS},
        {"{\"a\":1} x", JSON_INVALID},
        {"{\"a\":1}{}", JSON_INVALID},
        {"{\"a\":01}", JSON_INVALID},
        {"{\"a\":1.}", JSON_INVALID},
        {"{\"a\":+1}", JSON_INVALID},
        {"{\"a\":NaN}", JSON_INVALID},
        {"{\"a\":1,}", JSON_INVALID},
        {"{a:1}", JSON_INVALID},
        {"{\"a\":\"\n\"}", JSON_INVALID},
        {"{\"a\":\"\\x\"}", JSON_INVALID},
        {"[1,2", JSON_INVALID},
        {"", JSON_INVALID},
        {"[]", JSON_OK},
        {"\"a\"", JSON_OK},
        {" null ", JSON_OK},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out = {.max = 1 << 20};
        enum json_verdict v = json_canonical(span_of(rows[i].text), NULL, 0, &out);
        if (v != rows[i].verdict) {
            fail_msg("%s: verdict %d, not %d", rows[i].text, (int)v, (int)rows[i].verdict);
        }
        buf_free(&out);
    }
}

static void members_are_left_out_at_the_top_only(void **state)
{
    (void)state;
    static const struct span omit[] = {{"user", 4}, {"stream", 6}};
    struct buf out = {.max = 1 << 20};
    assert_int_equal(json_canonical(SPAN("{\"stream\":true,\"m\":{\"user\":1},\"\\u0075ser\":2}"),
                                    omit, 2, &out),
                     JSON_OK);
    assert_span(buf_span(&out), "{\"m\":{\"user\":1}}");
    buf_free(&out);
}

static void edit(const char *text, struct json_edit change, const char *want)
{
    struct buf out = {.max = 1 << 20};
    assert_int_equal(json_edit(span_of(text), &change, 1, &out), ERR_OK);
    assert_span(buf_span(&out), want);
    buf_free(&out);
}

static void edits_keep_every_other_byte(void **state)
{
    (void)state;
    struct json_edit set = {SPAN("stream"), SPAN("true")};
    struct json_edit unset = {SPAN("stream"), SPAN_NONE};
    edit("{ \"a\" : 1 ,\"stream\" :  false }", set, "{ \"a\" : 1 ,\"stream\" :  true }");
    edit("{\"a\":{\"stream\":0}}", set, "{\"a\":{\"stream\":0},\"stream\":true}");
    edit("{}", set, "{\"stream\":true}");
    edit("{ }\n", set, "{ \"stream\":true}\n");
    edit("{\"stream\":false,\"a\":1}", unset, "{\"a\":1}");
    struct buf out = {.max = 1024};
    assert_int_equal(json_edit(SPAN("[1]"), &set, 1, &out), ERR_INVALID);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(style_does_not_matter),
        cmocka_unit_test(numbers_are_their_token),
        cmocka_unit_test(verdicts),
        cmocka_unit_test(members_are_left_out_at_the_top_only),
        cmocka_unit_test(edits_keep_every_other_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
