/* test_pace.c: how long calls take: of a model, of a kind, of a request's size. */
#include "support/check.h"

#include "lull/path/server/pace.h"

#include <stdlib.h>

static void the_pace_of_a_model(void **state)
{
    (void)state;
    struct pace p = {0};
    assert_int_equal(pace_expected(&p), -1);
    assert_int_equal(pace_deadline(&p), -1);
    assert_false(pace_nearly_done(&p, USEC_PER_S));
    for (int i = 0; i < 50; i++) {
        pace_add(&p, 2 * USEC_PER_S, 1000);
    }
    assert_int_equal(pace_expected(&p), 2 * USEC_PER_S);
    assert_in_range(pace_deadline(&p), 2 * USEC_PER_S, 2 * USEC_PER_S + 100);
    assert_false(pace_nearly_done(&p, 1800 * USEC_PER_MS));
    assert_true(pace_nearly_done(&p, 1900 * USEC_PER_MS));
    assert_false(pace_nearly_done(&p, 2100 * USEC_PER_MS)); /* late: its end is unknown */
    for (int i = 0; i < 8; i++) {
        pace_add(&p, 10 * USEC_PER_S, 1000);
    }
    assert_true(pace_expected(&p) > 5 * USEC_PER_S); /* follows a change */
    assert_true(pace_deadline(&p) > pace_expected(&p));
}

static void longer_requests_take_longer(void **state)
{
    (void)state;
    struct pace p = {0};
    assert_int_equal(pace_expected_for(&p, 5000), -1);
    pace_add(&p, 2 * USEC_PER_S, 1000);
    assert_int_equal(pace_expected_for(&p, 3000), 6 * USEC_PER_S);
    assert_int_equal(pace_expected_for(&p, 500), 2 * USEC_PER_S); /* what every request costs */
}

static void kinds_have_a_pace_each(void **state)
{
    (void)state;
    struct server_model m = {.name = "m"};
    pace_add(pace_of(&m, 3, ""), USEC_PER_S, 1);
    pace_add(pace_of(&m, 9, ""), 5 * USEC_PER_S, 1); /* the table grows */
    assert_int_equal(pace_expected(pace_of(&m, 3, "")), USEC_PER_S);
    assert_int_equal(pace_expected(pace_of(&m, 9, "")), 5 * USEC_PER_S);
    assert_int_equal(pace_expected(pace_of(&m, 0, "")), -1);
    paces_free(&m);
}

/* Another configuration may have another kind of its own at that place. */
static void an_own_kind_is_known_by_its_name(void **state)
{
    (void)state;
    struct server_model m = {.name = "m"};
    const int first = KIND_BUILTIN_COUNT, second = KIND_BUILTIN_COUNT + 1;
    pace_add(pace_of(&m, second, "beta"), 5 * USEC_PER_S, 1);
    pace_add(pace_of(&m, first, "alpha"), USEC_PER_S, 1);
    assert_int_equal(pace_expected(pace_of(&m, first, "beta")), 5 * USEC_PER_S);
    assert_int_equal(pace_expected(pace_of(&m, second, "alpha")), USEC_PER_S);
    assert_int_equal(pace_expected(pace_of(&m, first, "gamma")), -1);
    paces_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pace_of_a_model),
        cmocka_unit_test(longer_requests_take_longer),
        cmocka_unit_test(kinds_have_a_pace_each),
        cmocka_unit_test(an_own_kind_is_known_by_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
