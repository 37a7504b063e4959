/* test_scan.c: every byte at every place of a run, beside a loop over single bytes. */
#include "support/check.h"

#include "lull/base/ascii.h"
#include "lull/base/scan.h"

#include <string.h>

enum { LONGEST = 40 };

static bool is_json_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

static bool is_ascii(unsigned char c)
{
    return c < 0x80;
}

static bool is_token(unsigned char c)
{
    return ascii_is_token((char)c);
}

static bool is_field_value(unsigned char c)
{
    return (c >= 0x20 || c == '\t') && c != 0x7F;
}

static size_t scan_to_marks(const char *p, size_t len)
{
    return scan_to_mark(p, len, "<[\xE2");
}

static bool is_no_mark(unsigned char c)
{
    return c != '<' && c != '[' && c != 0xE2;
}

static void every_byte_ends_its_runs_at_every_place(void **state)
{
    static const struct {
        size_t (*scan)(const char *p, size_t len);
        bool (*goes_on)(unsigned char c);
    } rows[] = {{scan_json_plain, is_json_plain},
                {scan_to_marks, is_no_mark},
                {scan_ascii, is_ascii},
                {scan_token, is_token},
                {scan_field_value, is_field_value}};
    char text[LONGEST];
    (void)state;
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        assert_int_equal(rows[r].scan(NULL, 0), 0);
        for (size_t at = 0; at < LONGEST; at++) {
            for (unsigned byte = 0; byte < 256; byte++) {
                memset(text, 'a', sizeof text);
                text[at] = (char)byte;
                size_t end = rows[r].goes_on((unsigned char)byte) ? LONGEST : at;
                assert_int_equal(rows[r].scan(text, LONGEST), end);
                assert_int_equal(rows[r].scan(text, at), at); /* not read beyond the end */
            }
        }
    }
}

static void common_bytes_end_at_the_first_difference(void **state)
{
    char a[LONGEST], b[LONGEST];
    (void)state;
    assert_int_equal(scan_common(NULL, NULL, 0), 0);
    assert_int_equal(scan_common_back(NULL, NULL, 0), 0);
    for (size_t len = 1; len <= LONGEST; len++) {
        memset(a, 'a', sizeof a);
        memset(b, 'a', sizeof b);
        assert_int_equal(scan_common(a, b, len), len);
        assert_int_equal(scan_common_back(a + len, b + len, len), len);
        for (size_t at = 0; at < len; at++) {
            b[at] ^= (char)0x80;
            assert_int_equal(scan_common(a, b, len), at);
            assert_int_equal(scan_common_back(a + len, b + len, len), len - at - 1);
            b[at] ^= (char)0x80;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_ends_its_runs_at_every_place),
        cmocka_unit_test(common_bytes_end_at_the_first_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
