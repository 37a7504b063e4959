/* test_utf8.c: which bytes are UTF-8, and code points there and back. */
#include "support/check.h"

#include "lull/base/utf8.h"

static void only_whole_shortest_sequences_are_valid(void **state)
{
    static const struct {
        const char *text;
        size_t length;
    } rows[] = {
        {"a", 1},
        {"\xC3\xA9", 2},
        {"\xE2\x82\xAC", 3},
        {"\xF0\x9F\x98\x80", 4},
        {"\xF4\x8F\xBF\xBF", 4},
        {"\xC3", 0},             /* cut */
        {"\xE2\x82", 0},         /* cut */
        {"\xC0\xAF", 0},         /* longer than needed */
        {"\xE0\x80\xAF", 0},     /* longer than needed */
        {"\xF0\x80\x80\xAF", 0}, /* longer than needed */
        {"\xED\xA0\x80", 0},     /* half of a surrogate pair */
        {"\xF4\x90\x80\x80", 0}, /* above U+10FFFF */
        {"\x80", 0},             /* no beginning */
        {"\xFF", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct span s = span_of(rows[i].text);
        assert_int_equal(utf8_length(s.ptr, s.len), rows[i].length);
        assert_int_equal(utf8_valid(s), rows[i].length > 0);
    }
}

static void every_code_point_comes_back(void **state)
{
    (void)state;
    for (unsigned cp = 0; cp < 0x110000; cp++) {
        char text[4];
        size_t n = utf8_encode(cp, text);
        assert_int_equal(utf8_decode(text, n), cp);
        assert_int_equal(utf8_length(text, n), cp >= 0xD800 && cp < 0xE000 ? 0 : n);
    }
}

static void a_first_byte_says_how_many_follow(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        size_t n = byte < 0x80 ? 1 : byte < 0xC2 ? 0 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
        assert_int_equal(utf8_expected((char)byte), byte < 0xF5 ? n : 0);
        assert_int_equal(utf8_continues((char)byte), byte >= 0x80 && byte < 0xC0);
    }
}

static void code_points_are_counted(void **state)
{
    (void)state;
    assert_int_equal(utf8_count(SPAN("")), 0);
    assert_int_equal(utf8_count(SPAN("ab")), 2);
    assert_int_equal(utf8_count(SPAN("a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80")), 4);
}

static void what_is_no_text_is_replaced(void **state)
{
    static const struct {
        struct span text, repaired;
    } rows[] = {
        {{"a\xC3\xA9", 3}, {"a\xC3\xA9", 3}},
        {{"a\xC3", 2}, {"a\xEF\xBF\xBD", 4}},
        {{"\xFF\xFE b", 4}, {"\xEF\xBF\xBD\xEF\xBF\xBD b", 8}},
        {{"", 0}, {"", 0}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out = {.max = 64};
        assert_int_equal(utf8_repair(rows[i].text, &out), ERR_OK);
        assert_true(span_eq(buf_span(&out), rows[i].repaired));
        buf_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_whole_shortest_sequences_are_valid),
        cmocka_unit_test(every_code_point_comes_back),
        cmocka_unit_test(a_first_byte_says_how_many_follow),
        cmocka_unit_test(code_points_are_counted),
        cmocka_unit_test(what_is_no_text_is_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
