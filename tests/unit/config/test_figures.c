/* test_figures.c: counters by name, percentiles, kinds and outcomes. */
#include "support/check.h"

#include "lull/config/figures.h"

#include <stdio.h>

static mono_t at(int64_t seconds)
{
    return (mono_t){seconds * USEC_PER_S};
}

static void percentiles_are_close(void **state)
{
    (void)state;
    struct figure_times t = {0};
    assert_int_equal(figure_times_percentile(&t, at(1), 0.5), -1);
    for (usec_t v = 1; v <= 1000; v++) {
        figure_times_add(&t, at(1000), v * 1000);
    }
    for (int p = 10; p <= 99; p += 10) {
        double got = (double)figure_times_percentile(&t, at(1000), p / 100.0);
        double want = p * 10 * 1000.0;
        assert_true(got > want * 0.9 && got < want * 1.1);
    }
    assert_int_equal(t.count, 1000);
    assert_int_equal(t.sum_us, 500500 * 1000);
    figure_times_free(&t);
}

static void values_of_every_size_have_a_bucket(void **state)
{
    (void)state;
    for (usec_t v = 1; v < 4LL * 3600 * USEC_PER_S; v *= 3) {
        struct figure_times t = {0};
        figure_times_add(&t, at(5), v);
        double got = (double)figure_times_percentile(&t, at(5), 0.5);
        assert_true(got >= (double)v * 0.9 && got <= (double)v * 1.1);
        figure_times_free(&t);
    }
}

static void five_minutes_are_remembered(void **state)
{
    (void)state;
    struct figure_times t = {0};
    figure_times_add(&t, at(600), 5000);
    assert_true(figure_times_percentile(&t, at(600 + 269), 0.5) > 0);
    assert_int_equal(figure_times_percentile(&t, at(600 + 301), 0.5), -1);
    assert_int_equal(t.count, 1); /* all time goes on */
    figure_times_free(&t);
}

static void rows_are_kept_by_name(void **state)
{
    (void)state;
    struct figures *f = figures_create();
    assert_null(figures_find_task(f, "title"));
    struct task_figures *title = figures_task(f, "title");
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "kind%d", i);
        figures_task(f, name)->stored++;
        figures_upstream(f, name)->calls++;
    }
    title->failed++;
    assert_ptr_equal(figures_task(f, "title"), title);
    assert_ptr_equal(figures_find_task(f, "title"), title);
    assert_int_equal(f->task_count, 101);
    assert_int_equal(f->upstream_count, 100);
    figures_destroy(f);
}

static void tables_have_names(void **state)
{
    (void)state;
    assert_string_equal(kind_info(KIND_TITLE)->name, "title");
    assert_string_equal(kind_info(KIND_TOOL_SELECTION)->header_value, "function_calling");
    assert_string_equal(outcome_name(OUTCOME_HIT), "hits");
    for (int i = 0; i < OUTCOME_COUNT; i++) {
        assert_true(strlen(outcome_name((enum outcome)i)) > 0);
        assert_true(strlen(outcome_help((enum outcome)i)) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(percentiles_are_close),
        cmocka_unit_test(values_of_every_size_have_a_bucket),
        cmocka_unit_test(five_minutes_are_remembered),
        cmocka_unit_test(rows_are_kept_by_name),
        cmocka_unit_test(tables_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
