/* test_suggestion.c: the suggestion inside a content, whole and while it is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lull/path/webui/suggestion.h"

#include <string.h>

static const struct {
    const char *content, *text; /* text NULL: the reader gives up or never begins */
} rows[] = {
    {"{\"text\": \" and so on\"}", " and so on"},
    {"{\"text\":\"\"}", ""},
    {"```json\n{\"text\": \"x\"}\n```", "x"},
    {"Sure! {\"text\": \"a \\\"b\\\" \\\\ \\n \\u00e4 \\ud83c\\udf5e\"} there",
     "a \"b\" \\ \n \xc3\xa4 \xf0\x9f\x8d\x9e"},
    {"{\"note\": \"{\\\"text\\\": 1}\", \"list\": [1, {\"text\": \"no\"}, \"]\"], \"text\": "
     "\"yes\"}",
     "yes"},
    {"{\"n\": 1.5, \"o\": null, \"text\": \"\xc3\xb1\"}", "\xc3\xb1"},
    {"{\"text\": 5}", NULL},
    {"{\"texts\": \"no\"}", NULL},
    {"prose", NULL},
    {"{\"text\": \"\\ud83c\"}", NULL},
    {"{\"text\": \"\\x\"}", NULL},
    {"[{\"text\": \"in an array\"}]", "in an array"},
};

static void in_pieces_of_every_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span content = span_of(rows[i].content);
        for (size_t step = 1; step <= content.len; step++) {
            struct suggestion_reader r = {0};
            size_t before = 0;
            for (size_t at = step; at < content.len + step; at += step) {
                size_t len = at < content.len ? at : content.len;
                suggestion_read(&r, span_make(content.ptr, len));
                assert_true(r.text.len >= before); /* it only grows */
                before = r.text.len;
                assert_true(r.text.len == 0 || (r.text.data[r.text.len - 1] & 0xC0) != 0xC0);
            }
            if (rows[i].text == NULL) {
                assert_false(r.closed);
            } else {
                assert_true(r.begun && r.closed && !r.lost);
                assert_true(span_eq(buf_span(&r.text), span_of(rows[i].text)));
            }
            suggestion_reader_free(&r);
        }
    }
}

static void a_beginning_is_there_early(void **state)
{
    (void)state;
    struct suggestion_reader r = {0};
    suggestion_read(&r, SPAN("{\"text\": \" and s"));
    assert_true(r.begun && !r.closed && !r.lost);
    assert_true(span_eq(buf_span(&r.text), SPAN(" and s")));
    suggestion_read(&r, SPAN("{\"text\": \" and s\\u00")); /* an escape that is not whole waits */
    assert_true(span_eq(buf_span(&r.text), SPAN(" and s")));
    suggestion_read(&r, SPAN("{\"text\": \" and s\\u00e4"));
    assert_true(span_eq(buf_span(&r.text), SPAN(" and s\xc3\xa4")));
    suggestion_reader_free(&r);
}

static void of_a_whole_answer(void **state)
{
    (void)state;
    static const struct {
        const char *content, *text;
    } whole[] = {
        {"{\"text\": \" and so on\"}", " and so on"},
        {"x {\"text\": \"a\"} y", "a"},
        {"{\"text\": \"\"}", NULL},
        {"{\"text\": \"  \"}", NULL},
        {"{\"text\": 1}", NULL},
        {"{\"text\": \"a\"} {\"text\": \"b\"}", NULL}, /* two objects are none to Open WebUI */
        {"{\"text\": \"a\nb\"}", NULL},                /* nor are raw line feeds */
        {"{\"text\": \"a\\nb \\ud83d\\ude00\"}", "a\nb \xF0\x9F\x98\x80"},
        {"{\"text\": \"\\u3000\"}", NULL},
        {"{\"text\": \"\\ud83d\"}", NULL}, /* half a pair has no text in UTF-8 */
        {"<think>{\"text\": \"draft\"} or", NULL},
        {"}{", NULL},
        {"prose", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        struct buf out = {.max = 1024};
        bool good = suggestion_of(span_of(whole[i].content), &out);
        assert_int_equal(good, whole[i].text != NULL);
        assert_true(!good || span_eq(buf_span(&out), span_of(whole[i].text)));
        assert_true(good || out.len == 0);
        buf_free(&out);
    }
}

static void what_is_written_is_read_again(void **state)
{
    (void)state;
    static const char *const texts[] = {"a", " \"quoted\" \\ \n\t\x01", "\xf0\x9f\x8d\x9e",
                                        "</text>"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct buf content = {.max = 1024}, back = {.max = 1024};
        assert_int_equal(suggestion_write(span_of(texts[i]), &content), ERR_OK);
        assert_true(suggestion_of(buf_span(&content), &back));
        assert_true(span_eq(buf_span(&back), span_of(texts[i])));
        buf_free(&content);
        buf_free(&back);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_pieces_of_every_size),
        cmocka_unit_test(a_beginning_is_there_early),
        cmocka_unit_test(of_a_whole_answer),
        cmocka_unit_test(what_is_written_is_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
