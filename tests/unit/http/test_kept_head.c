/* test_kept_head.c: a head that is compared with the one before it says what a parse of it says. */
#include "support/check.h"

#include "lull/http/request.h"

#include <stdio.h>

static char data[4096];
static struct http_request req;
static struct http_kept_head kept;

/* The head at the place of the one before it; true: it was parsed or known to be right. */
static bool again(const char *head)
{
    enum http_error error = HTTP_ERROR_NONE;
    size_t scanned = 0;
    memcpy(data, head, strlen(head));
    return http_parse_again(&kept, data, strlen(head), &scanned, &req, &error) == HTTP_PARSE_OK;
}

static void assert_as_parsed(const char *head, bool parsed)
{
    static char place[sizeof data];
    static struct http_request fresh;
    enum http_error error = HTTP_ERROR_NONE;
    size_t scanned = 0;
    memcpy(place, head, strlen(head));
    bool good = http_parse_head(place, strlen(head), &scanned, &fresh, &error) == HTTP_PARSE_OK;
    assert_int_equal(parsed, good);
    if (!good) {
        return;
    }
    assert_int_equal(req.method, fresh.method);
    assert_int_equal(req.head_len, fresh.head_len);
    assert_int_equal(req.content_length, fresh.content_length);
    assert_int_equal(req.chunked, fresh.chunked);
    assert_int_equal(req.header_count, fresh.header_count);
    assert_true(span_eq(req.path, fresh.path) && span_eq(req.query, fresh.query));
    for (size_t i = 0; i < fresh.header_count; i++) {
        assert_true(span_eq(req.headers[i].name, fresh.headers[i].name));
        assert_true(span_eq(req.headers[i].value, fresh.headers[i].value));
    }
}

#define HEAD(target, length, more)                                                                 \
    "POST " target " HTTP/1.1\r\nHost: a\r\n" length "X-A: 1\r\n" more "\r\n"

static void each_head_says_what_its_bytes_say(void **state)
{
    static const char *const heads[] = {
        HEAD("/x", "Content-Length: 100\r\n", ""),
        HEAD("/x", "Content-Length: 299\r\n", ""),
        HEAD("/x", "Content-Length: 2x9\r\n", ""),
        HEAD("/x", "Content-Length: 29\r\n", ""),
        HEAD("/x", "Content-Length: 29\r\n", "X-B: 2\r\n"),
        HEAD("/x", "Content-Length: +9\r\n", "X-B: 2\r\n"),
        HEAD("/x", "Content-Length:  9\r\n", "X-B: 2\r\n"),
        HEAD("/x?a", "Content-Length: 00\r\n", ""),
        HEAD("/y?a", "Content-Length: 07\r\n", ""),
        HEAD("/y?a", "Content-Length: 07\r\n", "X: 1\r\n"),
        HEAD("//y", "Content-Length: 7\r\n", ""),
        HEAD("/y", "", ""),
        HEAD("/y", "", "Transfer-Encoding: chunked\r\n"),
        HEAD("/y", "Content-Length: 1\r\n", "Transfer-Encoding: chunked\r\n"),
    };
    enum { COUNT = sizeof heads / sizeof heads[0] };
    (void)state;
    for (size_t a = 0; a < COUNT; a++) {
        for (size_t b = 0; b < COUNT; b++) {
            (void)again(heads[a]);
            assert_as_parsed(heads[b], again(heads[b]));
            assert_as_parsed(heads[b], again(heads[b]));
        }
    }
}

static void equal_heads_have_one_number(void **state)
{
    (void)state;
    assert_true(again(HEAD("/x", "Content-Length: 100\r\n", "")));
    uint64_t first = req.same;
    assert_int_not_equal(first, 0);
    assert_true(again(HEAD("/x", "Content-Length: 101\r\n", "")));
    assert_int_equal(req.same, first);
    assert_true(again(HEAD("/y", "Content-Length: 101\r\n", "")));
    assert_int_not_equal(req.same, first);
    assert_true(again(HEAD("/x", "Content-Length: 100\r\n", "")));
    assert_int_not_equal(req.same, first);
    assert_true(again(HEAD("//x", "Content-Length: 100\r\n", "")));
    assert_int_equal(req.same, 0); /* changed in place */
}

static void a_part_of_a_head_is_not_the_head(void **state)
{
    static const char head[] = HEAD("/x", "Content-Length: 100\r\n", "");
    enum http_error error = HTTP_ERROR_NONE;
    size_t scanned = 0;
    (void)state;
    assert_true(again(head));
    for (size_t n = 1; n < sizeof head - 1; n++) {
        assert_int_equal(http_parse_again(&kept, data, n, &scanned, &req, &error), HTTP_PARSE_MORE);
        assert_int_equal(req.header_count, 0);
    }
    assert_as_parsed(head, again(head));
}

static void a_request_that_was_changed_is_parsed(void **state)
{
    static const char head[] = HEAD("/x", "Content-Length: 100\r\n", "");
    (void)state;
    assert_true(again(head));
    req.method = HTTP_METHOD_OTHER;
    kept.len = 0;
    assert_as_parsed(head, again(head));
}

static void a_head_that_is_too_long_to_keep_is_parsed(void **state)
{
    static char head[3000];
    (void)state;
    snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: a\r\nX: %01500d\r\n\r\n", 1);
    assert_true(again(head));
    assert_int_equal(req.same, 0);
    assert_as_parsed(head, again(head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_head_says_what_its_bytes_say),
        cmocka_unit_test(equal_heads_have_one_number),
        cmocka_unit_test(a_part_of_a_head_is_not_the_head),
        cmocka_unit_test(a_request_that_was_changed_is_parsed),
        cmocka_unit_test(a_head_that_is_too_long_to_keep_is_parsed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
