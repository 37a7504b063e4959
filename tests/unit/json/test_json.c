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

static void escapes_are_the_shortest(void **state)
{
    (void)state;
    static const char want[] = "\"\\\"\\\\\\b\\f\\n\\r\\t/A\\u0001\"";
    expect_canonical(want, want);
    expect_canonical("\"\\\"\\\\\\b\\f\\n\\r\\t\\/\\u0041\\u0001\"", want);
    expect_canonical("\"\\u0022\\u005C\\u0008\\u000c\\u000a\\u000D\\u0009/A\\u0001\"", want);
    /* a backslash, and then plain text */
    expect_canonical("\"\\\\u0041\\\\/\\n\\\\\"", "\"\\\\u0041\\\\/\\n\\\\\"");
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

/* What stands where in a document, from one reading. */
static void nodes_say_where_everything_stands(void **state)
{
    (void)state;
    struct span text = SPAN(" {\"a\": [1, {\"b\": \"x\\ny\"}, []] ,\"\\u006d\":null,\"a\":2} ");
    struct json_doc doc;
    struct buf scratch = {.max = 64};
    const struct json_node *root = json_read(text, &doc);
    assert_true(json_is(root, JSON_OBJECT) && doc.whole);
    assert_int_equal(doc.verdict, JSON_AMBIGUOUS); /* a stands twice */
    assert_int_equal(root->size, doc.count);
    const struct json_node *a = json_first(root);
    assert_span(a->name, "a");
    assert_span(a->raw, "[1, {\"b\": \"x\\ny\"}, []]");
    assert_int_equal(json_depth(root), 3);
    const struct json_node *one = json_first(a);
    const struct json_node *object = json_after(a, one);
    const struct json_node *empty = json_after(a, object);
    assert_true(json_number_of(one) == 1);
    assert_span(json_text_of(json_get(object, SPAN("b")), &scratch), "x\ny");
    assert_null(json_first(empty));
    assert_null(json_after(a, empty));
    assert_span(json_get(root, SPAN("a"))->raw, "2"); /* the last one */
    assert_non_null(json_get(root, SPAN("m")));
    assert_null(json_given(root, SPAN("m")));
    assert_null(json_get(a, SPAN("b")));
    assert_null(json_get(NULL, SPAN("b")));
    buf_free(&scratch);
    json_doc_free(&doc);
}

/* Read as a model or a server writes it, and written so that every parser takes it. */
static void what_is_read_loosely_is_written_plainly(void **state)
{
    static const struct {
        const char *text, *plain; /* NULL: it cannot be read */
    } rows[] = {
        {" { \"b\" : 1 , \"a\" : [ ] } ", "{\"b\":1,\"a\":[]}"},
        {"{\"a\":\"x\ny\"}", "{\"a\":\"x\\ny\"}"},
        {"[NaN,-Infinity,\"\\ud800\",\"\xFF\",\"\\q\"]",
         "[null,null,\"\xEF\xBF\xBD\",\"\xEF\xBF\xBD\",\"\\\\q\"]"},
        {"{\"a\":1} x", "{\"a\":1}"},
        {"{\"a\":1", NULL},
        {"", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct json_doc doc;
        struct buf out = {.max = 256};
        const struct json_node *root = json_read(span_of(rows[i].text), &doc);
        assert_int_equal(root != NULL, rows[i].plain != NULL);
        if (root != NULL) {
            assert_true(json_append_plain(root, &out));
            assert_span(buf_span(&out), rows[i].plain);
        }
        buf_free(&out);
        json_doc_free(&doc);
    }
}

/* 512 arrays may stand around nothing; a value inside of so many is one that parsers may refuse. */
static void depth_is_bounded(void **state)
{
    static const struct {
        int depth;
        const char *inside;
        enum json_verdict verdict;
    } rows[] = {{512, "", JSON_OK},
                {511, "1", JSON_OK},
                {512, "1", JSON_AMBIGUOUS},
                {513, "", JSON_AMBIGUOUS},
                {5000, "", JSON_AMBIGUOUS}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf text = {.max = 16384};
        for (int n = 0; n < 2 * rows[i].depth; n++) {
            if (n == rows[i].depth) {
                assert_int_equal(buf_append_span(&text, span_of(rows[i].inside)), ERR_OK);
            }
            assert_int_equal(buf_append_char(&text, n < rows[i].depth ? '[' : ']'), ERR_OK);
        }
        assert_int_equal(json_canonical(buf_span(&text), NULL, 0, NULL), rows[i].verdict);
        buf_free(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(style_does_not_matter),
        cmocka_unit_test(escapes_are_the_shortest),
        cmocka_unit_test(numbers_are_their_token),
        cmocka_unit_test(verdicts),
        cmocka_unit_test(members_are_left_out_at_the_top_only),
        cmocka_unit_test(edits_keep_every_other_byte),
        cmocka_unit_test(nodes_say_where_everything_stands),
        cmocka_unit_test(what_is_read_loosely_is_written_plainly),
        cmocka_unit_test(depth_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
