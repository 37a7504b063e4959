/* test_query.c: the query of a control request: decoding, closed sets of names, messages. */
#include "support/check.h"
#include "support/large_allocations.h"

#include "control/control_priv.h"

static struct kind_policy kinds[] = {{.name = (char *)"title"}, {.name = (char *)"tags"}};
static const struct settings settings = {.kinds = kinds, .kind_count = 2};
static const wall_t now = {1000 * USEC_PER_S};

static void conditions_are_decoded(void **state)
{
    struct control_query q;
    struct buf why = {.max = 1024};
    (void)state;
    assert_true(control_query_parse(
        &q, SPAN("kind=title&model=a%2Fb+c%3D&scope=%66f&older=10s&&limit=5&after=7"), &settings,
        now, &why));
    assert_span(q.filter.kind, "title");
    assert_span(q.filter.model, "a/b c=");
    assert_span(q.filter.scope, "ff");
    assert_int_equal(q.filter.older.us, 990 * USEC_PER_S);
    assert_true(q.limit == 5 && q.after == 7 && q.page && q.any && !q.all);
    control_query_free(&q);
    assert_true(control_query_parse(&q, SPAN(""), &settings, now, &why));
    assert_true(q.limit == 100 && q.after == 0 && !q.page && !q.any && !q.all);
    control_query_free(&q);
    assert_true(control_query_parse(&q, SPAN("all=yes&limit=1000000"), &settings, now, &why));
    assert_true(q.all && !q.any && q.limit == 1000);
    control_query_free(&q);
    assert_int_equal(why.len, 0);
    buf_free(&why);
}

/* An age beyond 1970 means "of any age that there is", never "no condition" (0). */
static void an_age_is_never_no_condition(void **state)
{
    struct control_query q;
    struct buf why = {.max = 1024};
    (void)state;
    assert_true(control_query_parse(&q, SPAN("older=9000d"), &settings, now, &why));
    assert_int_equal(q.filter.older.us, 1);
    control_query_free(&q);
    buf_free(&why);
}

static void what_is_wrong_is_said(void **state)
{
    static const struct {
        const char *query, *why;
    } cases[] = {
        {"kind", "not NAME=VALUE: kind"},
        {"kind=%4", "not NAME=VALUE: kind=%4"},
        {"model=%zz", "not NAME=VALUE: model=%zz"},
        {"model=a%00b", "not NAME=VALUE: model=a%00b"},
        {"model=", "empty condition: model"},
        {"kind=titel", "there is no kind 'titel'; did you mean 'title'?"},
        {"kind=xyzzy", "there is no kind 'xyzzy'; there are title, tags"},
        {"older=7", "older: a duration is a whole number with its unit: 150ms, 2s, 5m, 12h, 7d"},
        {"limit=-1", "limit is a number, not -1"},
        {"limit=5x", "limit is a number, not 5x"},
        {"after=99999999999999999999", "after is a number, not 99999999999999999999"},
        {"all=no", "write all=yes, not no"},
        {"colour=red", "there are kind, scope, model, older, limit, after and all; not colour"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct control_query q;
        struct buf why = {.max = 1024};
        assert_false(control_query_parse(&q, span_of(cases[i].query), &settings, now, &why));
        assert_span(buf_span(&why), cases[i].why);
        control_query_free(&q);
        buf_free(&why);
    }
}

static void no_memory_is_no_long_query(void **state)
{
    struct span query = span_make("", SIZE_MAX / 8); /* of which nothing is read */
    struct buf text = {.max = SIZE_MAX / 2}, why = {.max = 1024};
    (void)state;
    assert_false(control_query_walk(query, &text, NULL, NULL, &why));
    assert_int_equal(why.len, 0);
    text.max = 1024;
    assert_false(control_query_walk(query, &text, NULL, NULL, &why));
    assert_span(buf_span(&why), "the query is too long");
    buf_free(&why);
}

static void numbers_have_no_sign_and_a_maximum(void **state)
{
    int64_t n = 0;
    (void)state;
    assert_true(control_query_number(SPAN("0"), 10, &n) && n == 0);
    assert_true(control_query_number(SPAN("10"), 10, &n) && n == 10);
    assert_false(control_query_number(SPAN("11"), 10, &n));
    assert_false(control_query_number(SPAN("+1"), 10, &n));
    assert_false(control_query_number(SPAN(" 1"), 10, &n));
    assert_false(control_query_number(SPAN(""), 10, &n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions_are_decoded),
        cmocka_unit_test(an_age_is_never_no_condition),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(no_memory_is_no_long_query),
        cmocka_unit_test(numbers_have_no_sign_and_a_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
