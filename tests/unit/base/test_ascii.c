/* test_ascii.c: each byte is sorted as C's own locale "C" sorts it. */
#include "support/check.h"

#include "lull/base/ascii.h"

#include <ctype.h>
#include <stdlib.h>

static void every_byte_is_sorted_as_in_c(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char c = (char)byte;
        bool ascii = byte < 0x80;
        assert_int_equal(ascii_is_digit(c), ascii && isdigit(byte) != 0);
        assert_int_equal(ascii_is_alnum(c), ascii && isalnum(byte) != 0);
        assert_int_equal((unsigned char)ascii_lower(c), ascii ? tolower(byte) : byte);
        assert_int_equal(ascii_is_blank(c), c == ' ' || c == '\t' || c == '\n' || c == '\r');
        char text[2] = {c, '\0'};
        bool hex = ascii && isxdigit(byte) != 0;
        assert_int_equal(ascii_hex_value(c), hex ? strtol(text, NULL, 16) : -1);
    }
}

static void numbers_are_written_in_decimal(void **state)
{
    static const struct {
        uint64_t n;
        const char *text;
    } rows[] = {
        {0, "0"}, {9, "9"}, {10, "10"}, {1234567, "1234567"}, {UINT64_MAX, "18446744073709551615"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char digits[ASCII_DECIMAL_MAX];
        size_t at = ascii_decimal(rows[i].n, digits);
        assert_span(span_make(digits + at, sizeof digits - at), rows[i].text);
    }
}

static void hex_digits_go_there_and_back(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 256; n++) {
        assert_int_equal(ascii_hex_value(ascii_hex_digit(n)), n & 15);
        assert_int_equal(ascii_hex_digit(n), ascii_lower(ascii_hex_digit(n)));
    }
}

static void tokens_have_no_separators(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        bool separator = byte <= ' ' || byte >= 0x7F || strchr("\"(),/:;<=>?@[\\]{}", byte) != NULL;
        assert_int_equal(ascii_is_token((char)byte), !separator);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_is_sorted_as_in_c),
        cmocka_unit_test(hex_digits_go_there_and_back),
        cmocka_unit_test(numbers_are_written_in_decimal),
        cmocka_unit_test(tokens_have_no_separators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
