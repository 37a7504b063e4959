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
    assert_int_equal(figure_times_percentile(&t, at(1), 50), -1);
    for (usec_t v = 1; v <= 1000; v++) {
        figure_times_add(&t, at(1000), v * 1000);
    }
    for (unsigned p = 10; p <= 99; p += 10) {
        double got = (double)figure_times_percentile(&t, at(1000), p);
        double want = p * 10 * 1000.0;
        assert_true(got > want * 0.98 && got < want * 1.02);
    }
    assert_int_equal(t.count, 1000);
    assert_int_equal(t.sum_us, 500500 * 1000);
    figure_times_free(&t);
}

/* p of the values as a reference: sorted, the rank rounded up. */
static void percentiles_are_by_nearest_rank(void **state)
{
    (void)state;
    static const struct {
        usec_t values[10];
        size_t count;
        usec_t p50, p90, p99;
    } rows[] = {
        {{10000000, 0}, 2, 0, 10000000, 10000000},
        {{3}, 1, 3, 3, 3},
        {{30, 10, 20}, 3, 20, 30, 30},
        {{1, 2, 3, 4, 5, 6, 7, 8, 9, 31000000}, 10, 5, 9, 31000000},
        {{12345678, 12345678}, 2, 12345678, 12345678, 12345678},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct figure_times t = {0};
        for (size_t v = 0; v < rows[i].count; v++) {
            figure_times_add(&t, at(5 + (int64_t)v * 29), rows[i].values[v]);
        }
        assert_int_equal(figure_times_percentile(&t, at(270), 50), rows[i].p50);
        assert_int_equal(figure_times_percentile(&t, at(270), 90), rows[i].p90);
        assert_int_equal(figure_times_percentile(&t, at(270), 99), rows[i].p99);
        figure_times_free(&t);
    }
}

/* More values of one size than 16 bits count: the few others keep their rank. */
static void many_values_do_not_bend_the_ranks(void **state)
{
    (void)state;
    struct figure_times t = {0};
    for (int i = 0; i < 300000; i++) {
        figure_times_add(&t, at(5), i % 10 < 9 ? 5 : 1000);
    }
    assert_int_equal(figure_times_percentile(&t, at(5), 90), 5);
    assert_int_equal(figure_times_percentile(&t, at(5), 99) > 980, true);
    figure_times_free(&t);
}

static void values_of_every_size_have_a_bucket(void **state)
{
    (void)state;
    for (usec_t v = 1; v < 4LL * 3600 * USEC_PER_S; v *= 3) {
        struct figure_times t = {0};
        figure_times_add(&t, at(5), v);
        double got = (double)figure_times_percentile(&t, at(5), 50);
        assert_true(got >= (double)v * 0.98 && got <= (double)v * 1.02);
        figure_times_add(&t, at(5), v / 2);
        figure_times_add(&t, at(5), v * 2);
        got =
            (double)figure_times_percentile(&t, at(5), 50); /* neither the least nor the largest */
        assert_true(got >= (double)v * 0.98 && got <= (double)v * 1.02);
        figure_times_free(&t);
    }
}

static void five_minutes_are_remembered(void **state)
{
    (void)state;
    struct figure_times t = {0};
    figure_times_add(&t, at(600), 5000);
    assert_true(figure_times_percentile(&t, at(600 + 269), 50) > 0);
    assert_int_equal(figure_times_percentile(&t, at(600 + 301), 50), -1);
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
        cmocka_unit_test(percentiles_are_by_nearest_rank),
        cmocka_unit_test(many_values_do_not_bend_the_ranks),
        cmocka_unit_test(values_of_every_size_have_a_bucket),
        cmocka_unit_test(five_minutes_are_remembered),
        cmocka_unit_test(rows_are_kept_by_name),
        cmocka_unit_test(tables_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
