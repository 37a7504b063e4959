/* answers.h: answers that a scripted server gives, and what a test expects of one. */
#ifndef TESTS_UNIT_UPSTREAM_ANSWERS_H
#define TESTS_UNIT_UPSTREAM_ANSWERS_H

#include "unit/upstream/probe.h"

#include "support/check.h"

#define OK "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
#define OTHER "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother"

static inline void assert_body(struct world *w, const char *text)
{
    assert_int_equal(w->probe.result, UPSTREAM_DONE);
    assert_int_equal(w->probe.status, 200);
    assert_int_equal(w->probe.body.len, strlen(text));
    assert_memory_equal(w->probe.body.data, text, strlen(text));
}

#define T(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

#endif
