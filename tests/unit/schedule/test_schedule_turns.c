/* test_schedule_turns.c: what the tasks of one turn wait together. */
#include "schedule_support.h"

static char here[] = "here", one[] = "one";

/* A turn's key: all in one chain of the table, or each in its own. */
static struct hash_key turn_key(uint64_t n, bool one_chain)
{
    return (struct hash_key){.hi = n + 1, .lo = one_chain ? n * 4096 + 5 : n + 1};
}

/* A task of that turn waits from then on, for so many seconds; how long it might have. */
static double waits_of_turn(struct schedule *s, struct schedule_job *j, double from, double seconds)
{
    usec_t due = -1;
    schedule_wait(s, j, at(from));
    assert_null(schedule_next(s, at(from), &due));
    schedule_end(s, j, at(from + seconds), false);
    return (double)due / 1e6;
}

/* What each of 600 turns has waited is known of the last 512, however their keys lie. */
static void the_latest_turns_are_remembered(void **state)
{
    (void)state;
    for (int one_chain = 0; one_chain < 2; one_chain++) {
        struct schedule *s = begin();
        struct upstream_settings a = upstream(here, one, 1);
        struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
        struct schedule_interactive open = chat(&a);
        schedule_interactive_began(s, &open, at(0));
        for (uint64_t n = 0; n < 600; n++) {
            struct schedule_job j = job(&a, &tags);
            j.turn = turn_key(n, one_chain == 1);
            assert_true(waits_of_turn(s, &j, (double)n / 2, 0.25) == 20);
        }
        for (uint64_t n = 600; n-- > 88;) {
            struct schedule_job j = job(&a, &tags);
            j.turn = turn_key(n, one_chain == 1);
            assert_true(waits_of_turn(s, &j, 300 + (double)(600 - n) / 16, 0) == 19.75);
        }
        struct schedule_job forgotten = job(&a, &tags);
        forgotten.turn = turn_key(87, one_chain == 1);
        assert_true(waits_of_turn(s, &forgotten, 333, 0) == 20);
        schedule_interactive_ended(s, &open, at(334), false);
        end(s);
    }
}

static void a_wait_of_a_turn_ends_the_holds_of_its_others(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job j = job(&a, &tags), k = j, last = j;
    struct schedule_interactive f = chat(&a);
    j.turn = k.turn = key(5);
    last.turn = key(6);
    schedule_interactive_began(s, &f, at(0));
    schedule_wait(s, &j, at(0));
    schedule_wait(s, &k, at(0));
    schedule_wait(s, &last, at(0));
    due_in(s, 12, 8);
    schedule_end(s, &j, at(12), false);
    next_is(s, 12, &k); /* 12 s of 20 were spent, and 12 s are over */
    schedule_end(s, &k, at(13), false);
    due_in(s, 13, 7);
    schedule_end(s, &last, at(14), false);
    schedule_interactive_ended(s, &f, at(14), false);
    end(s);
}

/* Another chat begins with the same reply minutes later: its tasks wait for chats as those of the first did. */
static void a_later_turn_of_the_same_words_has_spent_nothing(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job j = job(&a, &tags), k = j, later = j, last = j;
    struct schedule_interactive f = chat(&a);
    j.turn = k.turn = later.turn = last.turn = key(5);
    schedule_interactive_began(s, &f, at(0));
    schedule_wait(s, &j, at(0));
    next_is(s, 20, &j);
    schedule_end(s, &j, at(21), false);
    schedule_wait(s, &k, at(319)); /* the same turn, after slow calls */
    next_is(s, 319, &k);
    schedule_end(s, &k, at(319), false);
    schedule_wait(s, &later, at(320));
    waits(s, 320, &later, SCHEDULE_FOR_CHAT);
    due_in(s, 320, 20);
    schedule_end(s, &later, at(332), false);
    schedule_wait(s, &last, at(332)); /* the waits of that one are summed, too */
    due_in(s, 332, 8);
    schedule_end(s, &last, at(333), false);
    schedule_interactive_ended(s, &f, at(334), false);
    end(s);
}

/* A call that takes minutes gives way: what its task waited before counts. */
static void a_long_call_gives_a_task_no_new_budget(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job j = job(&a, &tags);
    struct schedule_interactive f = chat(&a), g = chat(&a);
    tags.settle = 0;
    j.turn = key(5);
    schedule_interactive_began(s, &f, at(0));
    schedule_wait(s, &j, at(0));
    schedule_interactive_ended(s, &f, at(15), false);
    next_is(s, 15, &j);
    schedule_interactive_began(s, &g, at(400));
    assert_ptr_equal(schedule_victim(s, &a, at(400)), &j);
    schedule_requeue_preempted(s, &j, at(400));
    due_in(s, 400, 5);
    schedule_end(s, &j, at(401), false);
    schedule_interactive_ended(s, &g, at(401), false);
    end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_latest_turns_are_remembered),
        cmocka_unit_test(a_wait_of_a_turn_ends_the_holds_of_its_others),
        cmocka_unit_test(a_later_turn_of_the_same_words_has_spent_nothing),
        cmocka_unit_test(a_long_call_gives_a_task_no_new_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
