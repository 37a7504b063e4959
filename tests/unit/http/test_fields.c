/* test_fields.c: fields found by name, the values of some, and lines of a head. */
#include "support/check.h"

#include "lull/http/fields.h"

static void a_field_is_found_by_its_name(void **state)
{
    const struct http_header fields[] = {
        {SPAN("Accept"), SPAN("")}, {SPAN("X-A"), SPAN("1")}, {SPAN("x-a"), SPAN("2")}};
    (void)state;
    assert_span(http_field(fields, 3, SPAN("x-A")), "1");
    assert_non_null(http_field(fields, 3, SPAN("accept")).ptr);
    assert_int_equal(http_field(fields, 3, SPAN("accept")).len, 0);
    assert_null(http_field(fields, 3, SPAN("X")).ptr);
    assert_null(http_field(fields, 0, SPAN("X-A")).ptr);
}

static void every_line_of_a_list_counts(void **state)
{
    const struct http_header fields[] = {{SPAN("Vary"), SPAN("a , b")},
                                         {SPAN("vary"), SPAN("c;q=1")}};
    (void)state;
    assert_true(http_field_has_token(fields, 2, SPAN("VARY"), SPAN("B")));
    assert_true(http_field_has_token(fields, 2, SPAN("vary"), SPAN("c;q=1")));
    assert_false(http_field_has_token(fields, 2, SPAN("vary"), SPAN("c")));
    assert_false(http_field_has_token(fields, 1, SPAN("vary"), SPAN("c;q=1")));
}

static void a_media_type_ends_where_its_parameters_begin(void **state)
{
    (void)state;
    assert_true(http_is_type(SPAN("application/json"), SPAN("application/json")));
    assert_true(http_is_type(SPAN("Application/JSON; charset=utf-8"), SPAN("application/json")));
    assert_true(http_is_type(SPAN(" application/json ;a=b"), SPAN("application/json")));
    assert_false(http_is_type(SPAN("application/json-seq"), SPAN("application/json")));
    assert_false(http_is_type(SPAN("application/jso"), SPAN("application/json")));
    assert_false(http_is_type(SPAN_NONE, SPAN("text/html")));
}

static void parameters_of_media_types(void **state)
{
    const struct span charset = SPAN("charset");
    (void)state;
    assert_true(
        span_eq(http_parameter(SPAN("a/b; x=y ; Charset = \"UTF-8\" "), charset), SPAN("UTF-8")));
    assert_true(span_eq(http_parameter(SPAN("a/b;charset="), charset), SPAN("")));
    assert_null(http_parameter(SPAN("a/charset=b;charset;xcharset=c"), charset).ptr);
    assert_null(http_parameter(SPAN_NONE, charset).ptr);
}

static void a_length_is_digits_only(void **state)
{
    static const char *const none[] = {"", "+1", "-1", "1 ", "0x1", "1,1", "1234567890123456789"};
    (void)state;
    assert_int_equal(http_length(SPAN("0")), 0);
    assert_int_equal(http_length(SPAN("007")), 7);
    assert_true(http_length(SPAN("123456789012345678")) == 123456789012345678);
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_int_equal(http_length(span_of(none[i])), -1);
    }
}

static void a_bearer_token_goes_there_and_back(void **state)
{
    struct buf out = {.max = 12};
    (void)state;
    assert_false(http_bearer("", &out));
    assert_false(http_bearer("longer", &out));
    assert_int_equal(out.len, 0);
    assert_true(http_bearer("abc", &out));
    assert_span(buf_span(&out), "Bearer abc");
    assert_span(http_bearer_token(buf_span(&out)), "abc");
    assert_span(http_bearer_token(SPAN("bearer  x y ")), "x y");
    assert_null(http_bearer_token(SPAN("Basic abc")).ptr);
    assert_null(http_bearer_token(SPAN("Bearer")).ptr);
    buf_free(&out);
}

static void lines_are_read_one_by_one(void **state)
{
    struct span lines = SPAN("A: 1\r\nno colon\r\nB:\r\nC :  3 ");
    struct http_header field;
    (void)state;
    assert_span(http_lines_field(lines, SPAN("a")), "1");
    assert_span(http_lines_field(lines, SPAN("C")), "3");
    assert_non_null(http_lines_field(lines, SPAN("B")).ptr);
    assert_null(http_lines_field(lines, SPAN("no colon")).ptr);
    assert_true(http_lines_next(&lines, &field));
    assert_span(field.name, "A");
    assert_true(http_lines_next(&lines, &field));
    assert_span(field.name, "B");
    assert_span(field.value, "");
    assert_true(http_lines_next(&lines, &field));
    assert_span(field.value, "3");
    assert_false(http_lines_next(&lines, &field));
}

static void a_line_is_added_whole_or_not_at_all(void **state)
{
    const struct http_header field = {SPAN("Name"), SPAN("value")};
    struct buf lines = {.max = 20};
    (void)state;
    assert_true(http_lines_add(&lines, &field));
    assert_false(http_lines_add(&lines, &field));
    assert_span(buf_span(&lines), "Name: value\r\n");
    buf_free(&lines);
}

static void what_ends_a_line_is_not_in_one(void **state)
{
    (void)state;
    assert_true(http_is_one_line(SPAN("a\tb \xC3\xA9")));
    assert_true(http_is_one_line(SPAN_NONE));
    assert_false(http_is_one_line(SPAN("a\nb")));
    assert_false(http_is_one_line(SPAN("a\r")));
    assert_false(http_is_one_line(SPAN("\0")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_field_is_found_by_its_name),
        cmocka_unit_test(every_line_of_a_list_counts),
        cmocka_unit_test(a_media_type_ends_where_its_parameters_begin),
        cmocka_unit_test(parameters_of_media_types),
        cmocka_unit_test(a_length_is_digits_only),
        cmocka_unit_test(a_bearer_token_goes_there_and_back),
        cmocka_unit_test(lines_are_read_one_by_one),
        cmocka_unit_test(a_line_is_added_whole_or_not_at_all),
        cmocka_unit_test(what_ends_a_line_is_not_in_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
