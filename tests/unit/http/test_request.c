/* test_request.c: the strict head parser: every shape that other parsers disagree about (request
 * smuggling, RFC 9112) is refused with one status, and what clients really send is read right.
 */
#include "support/check.h"

#include "lull/http/request.h"

#include <stdio.h>

static struct http_request req;

/* Parses a copy; HTTP_ERROR_NONE when accepted. The request's spans point into it. */
static enum http_error parse(const char *head, size_t len)
{
    static char data[64 * 1024];
    enum http_error error = HTTP_ERROR_NONE;
    size_t scanned = 0;
    assert_true(len < sizeof data);
    memcpy(data, head, len);
    enum http_parse got = http_parse_head(data, len, &scanned, &req, &error);
    assert_int_not_equal(got, HTTP_PARSE_MORE);
    return got == HTTP_PARSE_OK ? HTTP_ERROR_NONE : error;
}

#define HOST "Host: a\r\n"

static void ambiguous_heads_are_refused(void **state)
{
    static const struct {
        const char *head;
        int status;
    } rows[] = {
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 3, 3\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: +3\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 0x3\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST
         "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
         400},
        {"POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 400},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n", 501},
        {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"GET / HTTP/1.1\r\n" HOST "X-A : 1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST " X-A: 1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "X-A: 1\r\n folded\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "X-A: 1\rX-B: 2\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "X\x01: 1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST ": 1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST "no colon\r\n\r\n", 400},
        {"GET / HTTP/1.1\nHost: a\n\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
        {"GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET  / HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET / HTTP/2.0\r\n" HOST "\r\n", 505},
        {"GET / HTTP/9.9\r\n" HOST "\r\n", 505},
        {"GET x HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET http:///x HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET http://a HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET http://a?b=/x HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET http://h@evil/x HTTP/1.1\r\n" HOST "\r\n", 400},
        {"GET http://evil\\h/x HTTP/1.1\r\n" HOST "\r\n", 400},
        {"CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n", 501},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum http_error e = parse(rows[i].head, strlen(rows[i].head));
        if (e == HTTP_ERROR_NONE || http_error_status(e) != rows[i].status) {
            fail_msg("row %zu: %s: want %d, got %d", i, rows[i].head, rows[i].status,
                     e == HTTP_ERROR_NONE ? 0 : http_error_status(e));
        }
    }
    static const char nul[] = "GET / HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n";
    assert_int_equal(http_error_status(parse(nul, sizeof nul - 1)), 400);
}

/* RFC 3986, 3.2.2: unreserved, sub-delims, percent and what brackets and a port need. */
static void each_byte_of_a_host_is_looked_at(void **state)
{
    static const char valid[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "-._~:[]%!$&'()*+,;=";
    (void)state;
    for (unsigned byte = 0x21; byte < 256; byte++) {
        char head[] = "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n";
        *strchr(head, '?') = (char)byte;
        bool good = strchr(valid, (char)byte) != NULL;
        assert_int_equal(parse(head, sizeof head - 1),
                         good ? HTTP_ERROR_NONE : HTTP_ERROR_BAD_REQUEST);
    }
}

static void what_open_webui_sends_is_read(void **state)
{
    static const char head[] =
        "POST //v1//chat/completions?a=//b HTTP/1.1\r\nHost: lull:11435\r\n"
        "Content-Type: application/json\r\nAuthorization: Bearer sk-1\r\nAccept: */*\r\n"
        "Accept-Encoding: gzip, deflate, br\r\nUser-Agent: Python/3.11 aiohttp/3.14.5\r\n"
        "Content-Length: 2\r\nX-OpenWebUI-Task:\r\n\r\n{}";
    (void)state;
    assert_int_equal(parse(head, sizeof head - 1), HTTP_ERROR_NONE);
    assert_int_equal(req.method, HTTP_POST);
    assert_span(req.path, "/v1/chat/completions");
    assert_span(req.query, "a=//b");
    assert_span(req.host, "lull:11435");
    assert_int_equal(req.content_length, 2);
    assert_true(req.keep_alive);
    assert_int_equal(req.head_len, sizeof head - 3);
    struct span task = http_header_get(&req, SPAN("x-openwebui-task"));
    assert_non_null(task.ptr);
    assert_int_equal(task.len, 0);
    assert_null(http_header_get(&req, SPAN("X-Other")).ptr);
    assert_true(http_header_has_token(&req, SPAN("accept-encoding"), SPAN("BR")));
    assert_false(http_header_has_token(&req, SPAN("accept-encoding"), SPAN("b")));
}

static void versions_and_connections(void **state)
{
    static const char old[] = "GET /x HTTP/1.0\r\n\r\n";
    static const char kept[] = "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    static const char closed[] = "GET /x HTTP/1.1\r\n" HOST "Connection: TE, close\r\n\r\n";
    static const char absolute[] = "GET http://other:1/y?z HTTP/1.1\r\n" HOST "\r\n";
    static const char expect[] =
        "POST / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nTransfer-Encoding: Chunked\r\n\r\n";
    (void)state;
    assert_int_equal(parse(old, sizeof old - 1), HTTP_ERROR_NONE);
    assert_false(req.keep_alive);
    assert_int_equal(req.content_length, -1);
    assert_int_equal(parse(kept, sizeof kept - 1), HTTP_ERROR_NONE);
    assert_true(req.keep_alive);
    assert_int_equal(parse(closed, sizeof closed - 1), HTTP_ERROR_NONE);
    assert_false(req.keep_alive);
    assert_true(http_is_hop_by_hop(&req.connection, SPAN("te")));
    assert_false(http_is_hop_by_hop(&req.connection, SPAN("x-a")));
    assert_int_equal(parse(absolute, sizeof absolute - 1), HTTP_ERROR_NONE);
    assert_span(req.target, "/y?z");
    assert_span(req.host, "other:1"); /* not what Host says: RFC 9112, 3.2.2 */
    assert_int_equal(parse(expect, sizeof expect - 1), HTTP_ERROR_NONE);
    assert_true(req.expect_continue && req.chunked);
}

static void all_connection_lines_count(void **state)
{
    static const char head[] = "GET /x HTTP/1.1\r\n" HOST "Connection: keep-alive\r\nX-A: 1\r\n"
                               "connection: x-b ,X-Hop\r\nUpgrade: h2c\r\n\r\n";
    (void)state;
    assert_int_equal(parse(head, sizeof head - 1), HTTP_ERROR_NONE);
    static const char *const dropped[] = {
        "x-hop",          "X-B",    "Upgrade",    "HTTP2-Settings", "Host", "tE",
        "Content-Length", "expect", "Connection", "Keep-Alive"};
    for (size_t i = 0; i < sizeof dropped / sizeof dropped[0]; i++) {
        assert_false(http_request_forwards(&req, span_of(dropped[i])));
    }
    assert_true(http_request_forwards(&req, SPAN("X-A")));
    assert_true(http_request_forwards(&req, SPAN("X-Ho")));
    assert_true(http_request_forwards(&req, SPAN("")));
}

/* Each field is compared with each name. */
static void connection_lines_have_few_elements(void **state)
{
    char head[512], commas[HTTP_MAX_CONNECTION] = "";
    (void)state;
    memset(commas, ',', HTTP_MAX_CONNECTION - 3); /* behind three elements */
    for (int more = 0; more <= 1; more++) {
        snprintf(head, sizeof head,
                 "GET /x HTTP/1.1\r\n" HOST
                 "Connection: ,x-a\r\nX-A: 1\r\nConnection: te%s%sclose\r\n\r\n",
                 commas, more == 0 ? "" : ",");
        assert_int_equal(parse(head, strlen(head)),
                         more == 0 ? HTTP_ERROR_NONE : HTTP_ERROR_HEADER_TOO_LARGE);
        assert_true(more == 1 || (!req.keep_alive && !http_request_forwards(&req, SPAN("X-A"))));
    }
}

static void limits_have_their_own_status(void **state)
{
    static char head[64 * 1024];
    (void)state;
    size_t n = (size_t)snprintf(head, sizeof head, "GET /");
    memset(head + n, 'a', HTTP_MAX_TARGET + 1);
    n += HTTP_MAX_TARGET + 1;
    n += (size_t)snprintf(head + n, sizeof head - n, " HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(http_error_status(parse(head, n)), 414);
    n = (size_t)snprintf(head, sizeof head, "GET / HTTP/1.1\r\n" HOST);
    for (int i = 0; i < HTTP_MAX_HEADERS; i++) {
        n += (size_t)snprintf(head + n, sizeof head - n, "X-%d: 1\r\n", i);
    }
    n += (size_t)snprintf(head + n, sizeof head - n, "\r\n");
    assert_int_equal(http_error_status(parse(head, n)), 431);
    n = (size_t)snprintf(head, sizeof head, "GET / HTTP/1.1\r\n" HOST "X: ");
    memset(head + n, 'a', HTTP_MAX_HEAD);
    n += HTTP_MAX_HEAD;
    n += (size_t)snprintf(head + n, sizeof head - n, "\r\n\r\n");
    assert_int_equal(http_error_status(parse(head, n)), 431);
}

/* The bytes of a head in one piece, and one by one. */
static enum http_error drip(const char *head, size_t len)
{
    static char data[64 * 1024];
    enum http_error error = HTTP_ERROR_NONE;
    enum http_parse got = HTTP_PARSE_MORE;
    size_t scanned = 0;
    memcpy(data, head, len);
    for (size_t n = 1; n <= len && got == HTTP_PARSE_MORE; n++) {
        got = http_parse_head(data, n, &scanned, &req, &error);
    }
    assert_int_not_equal(got, HTTP_PARSE_MORE);
    return got == HTTP_PARSE_OK ? HTTP_ERROR_NONE : error;
}

static void a_request_line_has_one_limit_however_it_comes(void **state)
{
    static char head[64 * 1024];
    (void)state;
    for (size_t method = 45; method < 70; method++) { /* with the largest target */
        memset(head, 'M', method);
        size_t n = method + (size_t)snprintf(head + method, sizeof head - method, " /");
        memset(head + n, 'a', HTTP_MAX_TARGET - 1);
        n += HTTP_MAX_TARGET - 1;
        n += (size_t)snprintf(head + n, sizeof head - n, " HTTP/1.1\r\n");
        size_t line = n - 2;
        n += (size_t)snprintf(head + n, sizeof head - n, HOST "\r\n");
        enum http_error want =
            line <= HTTP_MAX_TARGET + 64 ? HTTP_ERROR_NONE : HTTP_ERROR_URI_TOO_LONG;
        assert_int_equal(parse(head, n), want);
        assert_int_equal(drip(head, n), want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ambiguous_heads_are_refused),
        cmocka_unit_test(each_byte_of_a_host_is_looked_at),
        cmocka_unit_test(what_open_webui_sends_is_read),
        cmocka_unit_test(versions_and_connections),
        cmocka_unit_test(all_connection_lines_count),
        cmocka_unit_test(connection_lines_have_few_elements),
        cmocka_unit_test(limits_have_their_own_status),
        cmocka_unit_test(a_request_line_has_one_limit_however_it_comes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
