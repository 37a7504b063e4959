/* test_config_keys.c: keys of lull.conf: where each may stand, what it is called, what it defaults
 * to for each kind.
 */
#include "unit/config/config_support.h"

static void max_hold_of_a_completion_is_short(void **state)
{
    (void)state;
    assert_taken(NULL, "\ntask.title.max_hold = 1m  (default)\n");
    assert_taken(NULL, "\ntask.tags.max_hold = 20s  (default)\n");
    assert_taken(NULL, "\ntask.query.max_hold = 20s  (default)\n");
    assert_taken(NULL, "\ntask.autocomplete.max_hold = 300ms  (default)\n");
    assert_taken("[task mine]\nmatch = Complete this\nclass = completion\n",
                 "\ntask.mine.max_hold = 300ms  (default)\n");
    assert_taken("[task autocomplete]\nmax_hold = 2s\n", "\ntask.autocomplete.max_hold = 2s  (/");
}

static void max_hold_of_tasks_makes_no_completion_wait_longer(void **state)
{
    (void)state;
    assert_taken("[tasks]\nmax_hold = 30s\n", "\ntask.autocomplete.max_hold = 300ms  (default)\n");
    assert_taken("[tasks]\nmax_hold = 30s\n", "\ntask.title.max_hold = 30s  (/");
    assert_taken("[tasks]\nmax_hold = 100ms\n", "\ntask.autocomplete.max_hold = 100ms  (/");
    assert_taken("[tasks]\nmax_hold = 30s\n[task autocomplete]\nmax_hold = 1s\n",
                 "\ntask.autocomplete.max_hold = 1s  (/");
}

static void a_renamed_key_names_the_new_one(void **state)
{
    (void)state;
    static const char *const variables[] = {"LULL_TASK_AUTOCOMPLETE_BUSY_WAIT=1s", NULL};
    static const char *const sets[] = {"task.autocomplete.busy_wait=1s", NULL};
    assert_refused("[task autocomplete]\nbusy_wait = 1s\n",
                   ":2: busy_wait is called max_hold now\n");
    assert_refused("[tasks]\nbusy_wait = 1s\n", ":2: busy_wait is called max_hold now\n");
    struct tried t = try_config(NULL, variables, NULL);
    assert_says(&t.errors, "LULL_TASK_AUTOCOMPLETE_BUSY_WAIT: busy_wait is called max_hold now");
    tried_free(&t);
    t = try_config(NULL, NULL, sets);
    assert_says(&t.errors, "busy_wait is called max_hold now");
    tried_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(max_hold_of_a_completion_is_short),
        cmocka_unit_test(max_hold_of_tasks_makes_no_completion_wait_longer),
        cmocka_unit_test(a_renamed_key_names_the_new_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
