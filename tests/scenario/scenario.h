/* scenario.h: what every scenario test includes. */
#ifndef TESTS_SCENARIO_SCENARIO_H
#define TESTS_SCENARIO_SCENARIO_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "scenario/world.h"

#include <stdio.h>
#include <string.h>

/* Fails and shows both when text does not contain part. */
#define assert_has(text, part)                                                                     \
    do {                                                                                           \
        const char *text_ = (text);                                                                \
        if (strstr(text_, (part)) == NULL) {                                                       \
            fail_msg("no \"%s\" in:\n%s", (part), text_);                                          \
        }                                                                                          \
    } while (0)

#define assert_has_not(text, part)                                                                 \
    do {                                                                                           \
        const char *text_ = (text);                                                                \
        if (strstr(text_, (part)) != NULL) {                                                       \
            fail_msg("\"%s\" in:\n%s", (part), text_);                                             \
        }                                                                                          \
    } while (0)

#endif
