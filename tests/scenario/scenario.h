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

/* Time passes. */
static inline void ms(struct world *w, int64_t n)
{
    world_pass(w, n * USEC_PER_MS);
}

static inline void seconds(struct world *w, double s)
{
    world_pass(w, (usec_t)(s * 1e6));
}

static inline struct upstream_call *last_call(struct world *w)
{
    world_pass(w, 0);
    return model_call(w, model_calls(w) - 1);
}

/* POSTs a body from a client of its own. */
static inline struct client *post_to(struct world *w, const char *path, const char *headers,
                                     const char *body)
{
    struct client *c = client_open(w);
    client_post(c, path, headers, body);
    return c;
}

/* The same, to the endpoint that Open WebUI uses most. */
static inline struct client *post(struct world *w, const char *headers, const char *body)
{
    return post_to(w, "/v1/chat/completions", headers, body);
}

#endif
