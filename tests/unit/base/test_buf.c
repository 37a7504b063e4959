/* test_buf.c: spans and bounded buffers. */
#include "support/check.h"

#include <errno.h>

static void spans_compare_and_search(void **state)
{
    (void)state;
    assert_true(span_eq(SPAN_NONE, SPAN("")));
    assert_false(span_eq(SPAN("a"), SPAN("b")));
    assert_true(span_eq_nocase(SPAN("Content-TYPE"), SPAN("content-type")));
    assert_false(span_eq_nocase(SPAN("a"), SPAN("ab")));
    assert_false(span_eq_nocase(SPAN("["), SPAN("{"))); /* only letters have cases */
    assert_true(span_starts(SPAN("abc"), SPAN("ab")));
    assert_false(span_starts(SPAN("a"), SPAN("ab")));
    assert_true(span_ends(SPAN("abc"), SPAN("bc")));
    assert_false(span_ends(SPAN("c"), SPAN("bc")));
    assert_int_equal(span_find(SPAN("abcabc"), SPAN("bc"), 0), 1);
    assert_int_equal(span_find(SPAN("abcabc"), SPAN("bc"), 2), 4);
    assert_true(span_find(SPAN("abc"), SPAN("x"), 0) == SIZE_MAX);
    assert_true(span_find(SPAN("abc"), SPAN("a"), 9) == SIZE_MAX);
    assert_int_equal(span_find(SPAN("abc"), SPAN(""), 3), 3);
    assert_int_equal(span_rfind(SPAN("abcabc"), SPAN("bc")), 4);
    assert_true(span_rfind(SPAN("bc"), SPAN("abc")) == SIZE_MAX);
    assert_int_equal(span_rfind(SPAN("abacab"), SPAN("ac")), 2);
    assert_int_equal(span_rfind(SPAN("abc"), SPAN("")), 3);
    assert_int_equal(span_rfind(SPAN("ab"), SPAN("ab")), 0);
    assert_true(span_rfind(SPAN("bbb"), SPAN("a")) == SIZE_MAX);
    assert_true(span_rfind(SPAN_NONE, SPAN("a")) == SIZE_MAX);
    assert_span(span_trim(SPAN(" \t a b\r\n")), "a b");
    assert_span(span_trim(SPAN("  ")), "");
}

static void parts_end_at_their_separator(void **state)
{
    static const char *const texts[] = {"a;;b", "a;;b;"};
    static const char *const parts[] = {"a", "", "b"};
    struct span rest = SPAN_NONE, part;
    (void)state;
    assert_false(span_next(&rest, ';', &part));
    for (size_t i = 0; i < 2; i++) {
        rest = span_of(texts[i]);
        for (size_t k = 0; k < 3; k++) {
            assert_true(span_next(&rest, ';', &part));
            assert_true(span_eq(part, span_of(parts[k])));
        }
        assert_false(span_next(&rest, ';', &part));
    }
}

static void a_full_buffer_refuses_and_changes_nothing(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 10);
    assert_int_equal(buf_append_span(&b, SPAN("12345678")), ERR_OK);
    assert_int_equal(buf_append_span(&b, SPAN("abc")), ERR_TOO_LARGE);
    assert_int_equal(buf_printf(&b, "%d", 123), ERR_TOO_LARGE);
    assert_int_equal(buf_append_json(&b, SPAN("\"\"")), ERR_TOO_LARGE);
    assert_int_equal(buf_reserve(&b, SIZE_MAX), ERR_TOO_LARGE);
    assert_span(buf_span(&b), "12345678");
    assert_int_equal(buf_append_span(&b, SPAN("90")), ERR_OK);
    assert_int_equal(buf_append_char(&b, 'x'), ERR_TOO_LARGE);
    assert_span(buf_span(&b), "1234567890");
    buf_free(&b);
    assert_int_equal(b.max, 10);
    /* a maximum that is lowered counts, whatever room there is */
    buf_init(&b, 100);
    assert_int_equal(buf_append_span(&b, SPAN("12345678")), ERR_OK);
    b.max = 9;
    assert_int_equal(buf_append_span(&b, SPAN("ab")), ERR_TOO_LARGE);
    assert_int_equal(buf_append_json(&b, SPAN("ab")), ERR_TOO_LARGE);
    assert_int_equal(buf_append_char(&b, 'a'), ERR_OK);
    b.max = 1;
    assert_int_equal(buf_append_char(&b, 'b'), ERR_TOO_LARGE);
    assert_int_equal(buf_append_json(&b, SPAN("b")), ERR_TOO_LARGE);
    assert_span(buf_span(&b), "12345678a");
    buf_free(&b);
}

static void json_is_escaped(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 1000);
    assert_int_equal(buf_append_json(&b, SPAN("a\"b\\c\n\t\x01\x1f/\xc3\xa9")), ERR_OK);
    assert_span(buf_span(&b), "a\\\"b\\\\c\\n\\t\\u0001\\u001f/\xc3\xa9");
    buf_clear(&b);
    assert_int_equal(buf_append_json(&b, span_make("\0", 1)), ERR_OK);
    assert_span(buf_span(&b), "\\u0000");
    buf_clear(&b);
    assert_int_equal(buf_append_json_string(&b, SPAN("a\xff\xc3\x7f")), ERR_OK);
    assert_span(buf_span(&b), "\"a\xEF\xBF\xBD\xEF\xBF\xBD\x7f\"");
    buf_free(&b);
    /* where the room is scarce, what fits is not refused */
    buf_init(&b, 8);
    assert_int_equal(buf_append_json(&b, SPAN("1234\xff")), ERR_OK);
    assert_span(buf_span(&b), "1234\xEF\xBF\xBD");
    assert_int_equal(buf_append_json(&b, SPAN("\n")), ERR_TOO_LARGE);
    assert_int_equal(b.len, 7);
    buf_free(&b);
}

static void consume_and_move(void **state)
{
    (void)state;
    struct buf a, b;
    buf_init(&a, 100);
    assert_int_equal(buf_printf(&a, "%s-%d", "hello", 7), ERR_OK);
    buf_consume(&a, 6);
    assert_span(buf_span(&a), "7");
    buf_consume(&a, 1);
    assert_int_equal(a.len, 0);
    assert_int_equal(buf_append_span(&a, SPAN("x")), ERR_OK);
    buf_move(&b, &a);
    assert_span(buf_span(&b), "x");
    assert_int_equal(a.len, 0);
    assert_int_equal(a.max, 100);
    buf_free(&a);
    buf_free(&b);
}

/* Against memmem(): many places begin as the needle does, few go on so. */
static void long_texts_are_found(void **state)
{
    (void)state;
    static char hay[6000], needle[700];
    uint32_t seed = 1;
    for (int round = 0; round < 3000; round++) {
        seed = seed * 1664525U + 1013904223U;
        size_t period = 1 + (seed >> 24) % 60, len = 100 + (seed >> 8) % 600;
        size_t room = len - 50 + (seed >> 4) % 5000;
        for (size_t i = 0; i < sizeof hay; i++) {
            hay[i] = (char)('a' + i % period);
        }
        seed = seed * 1664525U + 1013904223U;
        hay[(seed >> 8) % room] = '!';
        size_t from = (seed >> 16) % 300;
        memcpy(needle, hay + (seed >> 12) % 1000 + from, len);
        needle[len - 1] = (seed >> 5) % 4 == 0 ? '?' : needle[len - 1];
        size_t got = span_find(span_make(hay, room), span_make(needle, len), from);
        const char *at = from > room ? NULL : memmem(hay + from, room - from, needle, len);
        assert_true(got == (at == NULL ? SIZE_MAX : (size_t)(at - hay)));
    }
}

static void texts_are_joined(void **state)
{
    (void)state;
    const char *const parts[] = {"a", "", "bcd"};
    char out[5];
    assert_int_equal(text_join(parts, 3, out, sizeof out), 4);
    assert_string_equal(out, "abcd");
    assert_int_equal(text_join(parts, 0, out, sizeof out), 0);
    assert_string_equal(out, "");
}

static void errors_have_names(void **state)
{
    (void)state;
    for (int e = ERR_OK; e <= ERR_IO; e++) {
        assert_true(strlen(err_name((enum err)e)) > 0);
    }
    assert_int_equal(err_from_errno(ENOSPC), ERR_FULL);
    assert_int_equal(err_from_errno(EACCES), ERR_PERM);
    assert_int_equal(err_from_errno(0), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_compare_and_search),
        cmocka_unit_test(parts_end_at_their_separator),
        cmocka_unit_test(a_full_buffer_refuses_and_changes_nothing),
        cmocka_unit_test(json_is_escaped),
        cmocka_unit_test(consume_and_move),
        cmocka_unit_test(long_texts_are_found),
        cmocka_unit_test(texts_are_joined),
        cmocka_unit_test(errors_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
