/* check.h: what every unit test includes, in the order cmocka wants. */
#ifndef TESTS_SUPPORT_CHECK_H
#define TESTS_SUPPORT_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lull/base/buf.h"

#define assert_span(got, text)                                                                     \
    do {                                                                                           \
        struct span span_ = (got);                                                                 \
        assert_int_equal(span_.len, strlen(text));                                                 \
        assert_memory_equal(span_.len > 0 ? span_.ptr : "", (text), span_.len);                    \
    } while (0)

#endif
