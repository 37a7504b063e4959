/* test_schedule.c: every rule of the schedule, one test each. */
#include "schedule_support.h"

#include "lull/path/server/prefix.h"

static char here[] = "here", there[] = "there", one[] = "one", two[] = "two";

static void a_job_starts_where_nothing_is_in_its_way(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, SLOTS_AUTO);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job j = job(&a, &tags);
    schedule_wait(s, &j, at(0));
    next_is(s, 0, &j);
    next_is(s, 0, NULL);
    assert_int_equal(schedule_count(s, &a).running, 1);
    schedule_end(s, &j, at(1), false);
    schedule_end(s, &j, at(1), false); /* an idle one: nothing */
    assert_int_equal(schedule_count(s, &a).running, 0);
    struct upstream_settings unused = upstream(there, one, 1);
    assert_int_equal(schedule_count(s, &unused).waiting, 0);
    end(s);
    schedule_destroy(NULL);
}

static void slots_are_what_is_set_found_or_known(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, SLOTS_AUTO);
    struct upstream_settings hosted = upstream(there, two, SLOTS_AUTO);
    hosted.tls = true;
    assert_int_equal(schedule_slots(s, &a), 1);
    assert_int_equal(schedule_slots(s, &hosted), 0);
    found_slots(&a, 4);
    found_slots(&hosted, 4);
    assert_int_equal(schedule_slots(s, &a), 4);
    assert_int_equal(schedule_slots(s, &hosted), 0);
    a.slots = 2;
    hosted.slots = 3;
    assert_int_equal(schedule_slots(s, &a), 2);
    assert_int_equal(schedule_slots(s, &hosted), 3);
    end(s);
}

static void one_slot_runs_one_job(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1), b = upstream(there, one, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job x = job(&a, &tags), y = job(&a, &tags), z = job(&b, &tags);
    schedule_wait(s, &x, at(0));
    schedule_wait(s, &y, at(1));
    schedule_wait(s, &z, at(2));
    next_is(s, 2, &x);
    next_is(s, 2, &z); /* slots are the upstream's, not the machine's */
    waits(s, 2, &y, SCHEDULE_SLOTS);
    schedule_end(s, &x, at(3), false);
    next_is(s, 3, &y);
    schedule_end(s, &y, at(4), false);
    schedule_end(s, &z, at(4), false);
    end(s);
}

static void several_slots_leave_one_to_the_chat(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 3);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job j[3] = {job(&a, &tags), job(&a, &tags), job(&a, &tags)};
    for (size_t i = 0; i < 3; i++) {
        schedule_wait(s, &j[i], at((double)i));
    }
    next_is(s, 3, &j[0]);
    next_is(s, 3, &j[1]);
    waits(s, 3, &j[2], SCHEDULE_SLOTS);
    for (size_t i = 0; i < 3; i++) {
        schedule_end(s, &j[i], at(4), false);
    }
    end(s);
}

static void what_cannot_be_aborted_while_it_is_read_waits_as_long_more(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_interactive f = chat(&a);
    struct schedule_job j = job(&a, &tags), k = job(&a, &tags);
    j.reading = 2 * USEC_PER_S;
    k.reading = 3600 * USEC_PER_S;
    schedule_interactive_began(s, &f, at(0));
    schedule_wait(s, &j, at(1));
    schedule_wait(s, &k, at(1));
    schedule_interactive_ended(s, &f, at(5), false);
    waits(s, 7.9, &j, SCHEDULE_SETTLE);
    next_is(s, 8, &j); /* settle is 1 s */
    schedule_end(s, &j, at(8.5), false);
    waits(s, 13.9, &k, SCHEDULE_SETTLE);
    next_is(s, 14, &k); /* 8 s at most */
    schedule_end(s, &k, at(15), false);
    end(s);
}

static void behind_one_conversation_the_cheapest_goes_first(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy follow_up = kind(KIND_CLASS_BACKGROUND, 4);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job x = job(&a, &follow_up), y = job(&a, &tags), z = job(&a, &tags);
    x.turn = y.turn = z.turn = (struct hash_key){7, 7};
    x.behind = y.behind = z.behind = true;
    x.prefix = y.prefix = z.prefix = 7;
    x.cost = 3 * USEC_PER_S;
    y.cost = USEC_PER_S;
    z.cost = -1; /* not known: by priority and age */
    schedule_wait(s, &x, at(0));
    schedule_wait(s, &z, at(0.5));
    schedule_wait(s, &y, at(1));
    next_is(s, 1, &y);
    schedule_end(s, &y, at(2), false);
    next_is(s, 2, &x);
    schedule_end(s, &x, at(3), false);
    next_is(s, 3, &z);
    schedule_end(s, &z, at(4), false);
    /* where a server cannot go back behind a task, the one that has waited longest */
    x.cost = y.cost = 0;
    schedule_wait(s, &y, at(5));
    schedule_wait(s, &x, at(6));
    next_is(s, 6, &y);
    schedule_end(s, &y, at(7), false);
    next_is(s, 7, &x);
    schedule_end(s, &x, at(8), false);
    assert_int_equal(schedule_count(s, &a).displacing, 5);
    x.keeps_cache = true;
    schedule_wait(s, &x, at(9));
    next_is(s, 9, &x);
    schedule_end(s, &x, at(10), false);
    assert_int_equal(schedule_count(s, &a).displacing, 5);
    x.keeps_cache = false;
    schedule_wait(s, &x, at(11));
    assert_ptr_equal(schedule_next(s, at(11), NULL), &x);
    x.keeps_cache = true; /* found out late, before it is called */
    schedule_called(&x);
    assert_int_equal(schedule_count(s, &a).displacing, 5);
    schedule_end(s, &x, at(12), false);
    x.keeps_cache = false;
    schedule_wait(s, &x, at(13));
    assert_ptr_equal(schedule_next(s, at(13), NULL), &x);
    schedule_end(s, &x, at(14), false); /* it was never called */
    assert_int_equal(schedule_count(s, &a).displacing, 5);
    schedule_wait(s, &x, at(15));
    next_is(s, 15, &x);
    schedule_called(&x); /* once more, as where an answer has the wrong form */
    assert_int_equal(schedule_count(s, &a).displacing, 6);
    schedule_end(s, &x, at(16), false);
    end(s);
}

static void an_older_turn_of_a_conversation_goes_first(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy follow_up = kind(KIND_CLASS_BACKGROUND, 4);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job x = job(&a, &tags), y = job(&a, &follow_up);
    x.behind = y.behind = true;
    x.prefix = y.prefix = 7;
    x.turn = (struct hash_key){1, 1};
    y.turn = (struct hash_key){2, 2};
    x.cost = y.cost = USEC_PER_S;
    schedule_wait(s, &x, at(0));
    schedule_wait(s, &y, at(1));
    next_is(s, 1, &x);
    schedule_end(s, &x, at(2), false);
    next_is(s, 2, &y);
    schedule_end(s, &y, at(3), false);
    end(s);
}

static void what_the_server_has_cached_goes_first(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job x = job(&a, &tags), y = job(&a, &tags);
    const struct hash_key key = {4, 4};
    x.behind = y.behind = true;
    x.prefix = 1;
    y.prefix = 2;
    x.model = y.model = key;
    server_model_answered(server_of(servers, &a), key, at(0));
    const struct server_model *m = server_find_model(server_of(servers, &a), key);
    prefix_read_chat((struct server_model *)(uintptr_t)m, 1, (struct prefix_place){2, 1, 0});
    schedule_wait(s, &x, at(0));
    schedule_wait(s, &y, at(1));
    next_is(s, 1, &y);
    schedule_end(s, &y, at(2), false);
    next_is(s, 2, &x);
    schedule_end(s, &x, at(3), false);
    end(s);
}

static void a_chat_on_the_machine_holds_background_work(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1), b = upstream(there, one, 1);
    char other[] = "other", three[] = "three";
    struct upstream_settings c = upstream(other, three, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct kind_policy complete = kind(KIND_CLASS_COMPLETION, 2);
    struct schedule_interactive f = chat(&a);
    struct schedule_job j = job(&b, &tags), k = job(&b, &complete), l = job(&c, &tags);
    schedule_interactive_began(s, &f, at(0));
    schedule_wait(s, &j, at(1));
    schedule_wait(s, &k, at(1));
    schedule_wait(s, &l, at(1));
    next_is(s, 1, &l); /* another machine */
    waits(s, 1, &j, SCHEDULE_FOR_CHAT);
    assert_int_equal(k.why, SCHEDULE_FOR_CHAT);
    schedule_interactive_ended(s, &f, at(5), false);
    next_is(s, 5, &k); /* completions do not settle */
    schedule_end(s, &k, at(5.1), false);
    waits(s, 5.1, &j, SCHEDULE_SETTLE);
    due_in(s, 5.1, 0.9);
    next_is(s, 6, &j);
    schedule_end(s, &j, at(7), false);
    schedule_end(s, &l, at(7), false);
    end(s);
}

static void a_reply_that_calls_tools_goes_on(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_interactive f = chat(&a), g = chat(&a);
    struct schedule_job j = job(&a, &tags);
    tags.settle = 0;
    schedule_interactive_began(s, &f, at(0));
    schedule_wait(s, &j, at(0));
    schedule_interactive_ended(s, &f, at(1), true);
    waits(s, 1, &j, SCHEDULE_FOR_CHAT);
    due_in(s, 1, 5);
    schedule_interactive_began(s, &g, at(1.02));
    schedule_interactive_ended(s, &g, at(2), false);
    next_is(s, 2, &j);
    schedule_end(s, &j, at(3), false);
    end(s);
}

static void yield_rules(void **state)
{
    (void)state;
    static const struct {
        enum yield_rule rule;
        int64_t slots;
        size_t chats, running;
        enum schedule_why why;
    } rows[] = {
        {YIELD_AUTO, 4, 1, 0, SCHEDULE_FOR_CHAT},   {YIELD_AUTO, 5, 1, 0, SCHEDULE_FREE},
        {YIELD_AUTO, 5, 1, 2, SCHEDULE_FREE},       {YIELD_AUTO, 5, 1, 3, SCHEDULE_SLOTS},
        {YIELD_AUTO, 5, 4, 0, SCHEDULE_SLOTS},      {YIELD_AUTO, 0, 9, 9, SCHEDULE_FREE},
        {YIELD_ALWAYS, 8, 1, 0, SCHEDULE_FOR_CHAT}, {YIELD_WHEN_FULL, 2, 0, 0, SCHEDULE_FREE},
        {YIELD_WHEN_FULL, 1, 0, 0, SCHEDULE_FREE},  {YIELD_WHEN_FULL, 1, 1, 0, SCHEDULE_SLOTS},
        {YIELD_NEVER, 1, 3, 0, SCHEDULE_FREE},      {YIELD_NEVER, 1, 0, 1, SCHEDULE_SLOTS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct schedule *s = begin();
        struct upstream_settings a = upstream(here, one, rows[i].slots);
        struct kind_policy policy = kind(KIND_CLASS_BACKGROUND, 5);
        struct kind_policy careless = kind(KIND_CLASS_BACKGROUND, 5);
        struct schedule_interactive fronts[9];
        struct schedule_job running[9], j = job(&a, &policy);
        policy.yield = rows[i].rule;
        careless.yield = YIELD_NEVER;
        for (size_t n = 0; n < rows[i].running; n++) {
            running[n] = job(&a, &careless);
            schedule_wait(s, &running[n], at(0));
            next_is(s, 0, &running[n]);
        }
        for (size_t n = 0; n < rows[i].chats; n++) {
            fronts[n] = chat(&a);
            schedule_interactive_began(s, &fronts[n], at(1));
        }
        assert_int_equal(schedule_look(s, &j, at(2)), rows[i].why);
        schedule_wait(s, &j, at(2));
        if (rows[i].why == SCHEDULE_FREE) {
            next_is(s, 2, &j);
        } else {
            waits(s, 2, &j, rows[i].why);
        }
        end(s);
    }
}

static void a_chat_preempts_what_runs(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1), b = upstream(there, one, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job j = job(&b, &tags);
    schedule_wait(s, &j, at(0));
    next_is(s, 0, &j);
    for (int turn = 0; turn < 2; turn++) {
        struct schedule_interactive f = chat(&a);
        double t = 10.0 * turn;
        schedule_interactive_began(s, &f, at(t + 1));
        assert_ptr_equal(schedule_victim(s, &a, at(t + 1)), &j);
        schedule_requeue_preempted(s, &j, at(t + 1));
        assert_null(schedule_victim(s, &a, at(t + 1)));
        waits(s, t + 1, &j, SCHEDULE_FOR_CHAT);
        schedule_interactive_ended(s, &f, at(t + 2), false);
        next_is(s, t + 3, &j);
    }
    struct schedule_interactive f = chat(&a); /* the third time it is left to finish */
    schedule_interactive_began(s, &f, at(30));
    assert_null(schedule_victim(s, &a, at(30)));
    schedule_interactive_ended(s, &f, at(31), false);
    schedule_end(s, &j, at(32), false);
    end(s);
}

static void what_gives_way_to_no_request(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1), hosted = upstream(there, two, 0);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct kind_policy never = kind(KIND_CLASS_BACKGROUND, 5);
    struct kind_policy query = kind(KIND_CLASS_FOREGROUND, 1);
    never.yield = YIELD_NEVER;
    struct schedule_job j[4] = {job(&a, &never), job(&a, &query), job(&hosted, &tags),
                                job(&a, &tags)};
    j[3].fixed = true;
    for (size_t i = 0; i < 3; i++) {
        schedule_wait(s, &j[i], at(0));
        assert_non_null(schedule_next(s, at(0), NULL));
    }
    struct schedule_interactive f = chat(&a), g = chat(&hosted);
    schedule_interactive_began(s, &f, at(1));
    schedule_interactive_began(s, &g, at(1));
    assert_null(schedule_victim(s, &a, at(1)));
    assert_null(schedule_victim(s, &hosted, at(1)));
    schedule_interactive_ended(s, &f, at(2), false);
    schedule_interactive_ended(s, &g, at(2), false);
    schedule_end(s, &j[0], at(2), false);
    schedule_end(s, &j[1], at(2), false);
    schedule_wait(s, &j[3], at(4));
    next_is(s, 4, &j[3]);
    schedule_interactive_began(s, &f, at(5));
    assert_null(schedule_victim(s, &a, at(5)));
    end(s);
}

static void when_full_only_as_many_give_way_as_needed(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 5);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job j[4];
    for (size_t i = 0; i < 4; i++) {
        j[i] = job(&a, &tags);
        schedule_wait(s, &j[i], at(0));
        next_is(s, 0, &j[i]);
    }
    struct schedule_interactive f = chat(&a);
    schedule_interactive_began(s, &f, at(1));
    struct schedule_job *v = schedule_victim(s, &a, at(1));
    assert_ptr_equal(v, &j[3]); /* the youngest */
    schedule_requeue_preempted(s, v, at(1));
    assert_null(schedule_victim(s, &a, at(1)));
    end(s);
}

static void foreground_work_counts_as_what_a_person_waits_for(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct kind_policy query = kind(KIND_CLASS_FOREGROUND, 1);
    struct schedule_job j = job(&a, &tags), q = job(&a, &query), later = job(&a, &query);
    struct schedule_interactive f = chat(&a);
    schedule_wait(s, &j, at(0));
    next_is(s, 0, &j);
    schedule_wait(s, &q, at(1));
    next_is(s, 1, &q); /* never waits for a slot */
    assert_ptr_equal(schedule_victim(s, &a, at(1)), &j);
    schedule_requeue_preempted(s, &j, at(1));
    waits(s, 1, &j, SCHEDULE_FOR_FOREGROUND);
    schedule_interactive_began(s, &f, at(2));
    schedule_wait(s, &later, at(2)); /* never waits for a chat */
    next_is(s, 2, &later);
    schedule_end(s, &q, at(3), false);
    schedule_end(s, &later, at(3), false);
    schedule_interactive_ended(s, &f, at(3), false);
    waits(s, 3, &j, SCHEDULE_SETTLE);
    next_is(s, 4, &j);
    schedule_end(s, &j, at(5), false);
    end(s);
}

static void a_chat_behind_a_chat_does_not_measure_aborts(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    tags.settle = 0;
    struct schedule_job j = job(&a, &tags);
    struct schedule_interactive f = chat(&a), g = chat(&a);
    schedule_interactive_began(s, &f, at(0));
    assert_int_equal(schedule_interactive_token(&f, at(0.5)), -1);
    schedule_interactive_ended(s, &f, at(1), false);
    schedule_wait(s, &j, at(2));
    next_is(s, 2, &j);
    f = chat(&a);
    schedule_interactive_began(s, &f, at(3)); /* the job is left to end, and does not */
    schedule_interactive_began(s, &g, at(4));
    schedule_requeue_preempted(s, &j, at(4));
    assert_int_equal(schedule_interactive_token(&f, at(5)), -1);
    schedule_interactive_ended(s, &f, at(13), false);
    assert_int_equal(schedule_interactive_token(&g, at(14)), -1); /* 9 s of it were f's reply */
    schedule_interactive_ended(s, &g, at(15), false);
    next_is(s, 16, &j);
    j.expected = 5 * USEC_PER_S;
    assert_ptr_equal(schedule_victim(s, &a, at(20)), &j); /* an abort is not known to cost much */
    schedule_end(s, &j, at(20), true);
    end(s);
}

static void an_answer_that_is_being_written_notices_at_once(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    tags.settle = 0;
    struct schedule_job j = job(&a, &tags);
    struct schedule_interactive f = chat(&a);
    f.size = 1000;
    schedule_interactive_began(s, &f, at(0));
    assert_int_equal(schedule_interactive_token(&f, at(0.5)), -1);
    schedule_interactive_ended(s, &f, at(1), false);
    schedule_wait(s, &j, at(2));
    next_is(s, 2, &j);
    f = chat(&a);
    f.size = 4000; /* four times the prompt: 2 s of the 5 s are its own */
    schedule_interactive_began(s, &f, at(3));
    schedule_requeue_preempted(s, &j, at(3));
    assert_int_equal(schedule_interactive_token(&f, at(8)), 3 * USEC_PER_S);
    schedule_interactive_ended(s, &f, at(9), false);
    next_is(s, 13, &j);
    j.expected = 5 * USEC_PER_S;
    assert_null(schedule_victim(s, &a, at(16))); /* 2 s to go, noticed after 3 */
    j.answering = true;
    assert_ptr_equal(schedule_victim(s, &a, at(16)), &j);
    assert_null(schedule_victim(s, &a, at(17.9)));
    schedule_end(s, &j, at(18), false);
    end(s);
}

static void an_abort_is_a_request_not_a_fact(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    tags.settle = 0;
    struct schedule_job j = job(&a, &tags), k = job(&a, &tags);
    struct schedule_interactive f = chat(&a);
    schedule_interactive_began(s, &f, at(0));
    assert_int_equal(schedule_interactive_token(&f, at(0.5)), -1); /* this is what is usual */
    schedule_interactive_ended(s, &f, at(1), false);
    schedule_wait(s, &j, at(2));
    next_is(s, 2, &j);
    f = chat(&a);
    schedule_interactive_began(s, &f, at(3));
    schedule_requeue_preempted(s, &j, at(3));
    assert_int_equal(schedule_interactive_token(&f, at(5.5)), 2 * USEC_PER_S);
    schedule_interactive_ended(s, &f, at(6), false);
    next_is(s, 7, &j);
    schedule_end(s, &j, at(8), true); /* its client left: the server may be busy for 2 s */
    schedule_wait(s, &k, at(8));
    waits(s, 8, &k, SCHEDULE_SLOTS);
    due_in(s, 8, 2);
    next_is(s, 10, &k);
    k.expected = 5 * USEC_PER_S;
    assert_ptr_equal(schedule_victim(s, &a, at(12)), &k); /* 3 s to go: worth it */
    assert_null(schedule_victim(s, &a, at(14)));          /* over before it would be noticed */
    assert_ptr_equal(schedule_victim(s, &a, at(16)), &k); /* late: its end is unknown */
    schedule_end(s, &k, at(16), false);
    end(s);
}

static void a_slow_server_is_left_alone_for_longer(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job j = job(&a, &tags);
    struct schedule_interactive f = chat(&a);
    schedule_interactive_began(s, &f, at(0));
    (void)schedule_interactive_token(&f, at(1.5));
    schedule_wait(s, &j, at(2));
    schedule_interactive_ended(s, &f, at(3), false);
    waits(s, 4, &j, SCHEDULE_SETTLE); /* 1 s, and the 1.5 s of a first token */
    due_in(s, 4, 1.5);
    next_is(s, 5.5, &j);
    schedule_end(s, &j, at(6), false);
    f = chat(&a);
    schedule_interactive_began(s, &f, at(7));
    (void)schedule_interactive_token(&f, at(107)); /* one very long prompt is not what is usual */
    schedule_wait(s, &j, at(108));
    schedule_interactive_ended(s, &f, at(110), false);
    due_in(s, 110, 4);
    next_is(s, 114, &j);
    schedule_end(s, &j, at(115), false);
    end(s);
}

static void a_first_title_waits_for_its_chat(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy title = kind(KIND_CLASS_BACKGROUND, 3);
    struct kind_policy query = kind(KIND_CLASS_FOREGROUND, 1);
    struct schedule_conversation me = {key(1), key(7)}, you = {key(2), key(8)};
    struct schedule_job j = job(&a, &title), q = job(&a, &query);
    j.beside_reply = true;
    j.conversation = me;
    q.conversation = me;
    schedule_wait(s, &j, at(0));
    waits(s, 0, &j, SCHEDULE_FIRST_TURN);
    due_in(s, 0, 2);
    struct schedule_interactive other = chat(&a);
    other.conversation = you;
    other.first_turn = true;
    schedule_interactive_began(s, &other, at(0.1));
    schedule_interactive_ended(s, &other, at(0.2), false);
    waits(s, 1.3, &j, SCHEDULE_FIRST_TURN); /* another conversation's */
    schedule_wait(s, &q, at(1.3));
    next_is(s, 1.3, &q);
    schedule_end(s, &q, at(3), false); /* the wait restarts here */
    waits(s, 3, &j, SCHEDULE_FIRST_TURN);
    due_in(s, 3, 2);
    struct schedule_interactive f = chat(&a);
    f.conversation = me;
    schedule_interactive_began(s, &f, at(3.5));
    waits(s, 3.5, &j, SCHEDULE_FOR_CHAT);
    schedule_interactive_ended(s, &f, at(9), false);
    next_is(s, 10, &j);
    schedule_end(s, &j, at(11), false);
    /* without its chat it goes after first_turn_wait */
    schedule_wait(s, &j, at(20));
    waits(s, 21.9, &j, SCHEDULE_FIRST_TURN);
    next_is(s, 22, &j);
    schedule_end(s, &j, at(23), false);
    /* and where the chat is there already, it does not wait for another one */
    schedule_interactive_began(s, &f, at(30));
    schedule_wait(s, &j, at(30));
    waits(s, 30, &j, SCHEDULE_FOR_CHAT);
    schedule_interactive_ended(s, &f, at(30.5), false);
    next_is(s, 31.5, &j);
    schedule_end(s, &j, at(32), false);
    end(s);
}

static void max_hold_bounds_the_waits_of_a_turn(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy policy = kind(KIND_CLASS_BACKGROUND, 4);
    struct kind_policy title = kind(KIND_CLASS_BACKGROUND, 3);
    title.max_hold = 60 * USEC_PER_S;
    struct schedule_job follow = job(&a, &policy), tags = job(&a, &policy),
                        other = job(&a, &policy), beside = job(&a, &title);
    struct schedule_interactive f = chat(&a);
    follow.turn = tags.turn = key(1);
    other.turn = key(2);
    beside.beside_reply = true;
    schedule_wait(s, &follow, at(0));
    next_is(s, 0, &follow);
    schedule_interactive_began(s, &f, at(1));
    schedule_requeue_preempted(s, &follow, at(1));
    schedule_wait(s, &beside, at(1));
    waits(s, 20.9, &follow, SCHEDULE_FOR_CHAT);
    due_in(s, 20.9, 0.1);
    next_is(s, 21, &follow);                     /* 20 s: it runs beside the chat ... */
    assert_null(schedule_victim(s, &a, at(22))); /* ... and is left alone */
    schedule_end(s, &follow, at(25), false);
    schedule_wait(s, &tags, at(25)); /* of the same turn: the budget is spent */
    schedule_wait(s, &other, at(25));
    next_is(s, 25, &tags);
    waits(s, 44.9, &other, SCHEDULE_FOR_CHAT); /* of another one: has its own */
    next_is(s, 45, &other);
    waits(s, 60.9, &beside, SCHEDULE_FOR_CHAT);
    next_is(s, 61, &beside);
    assert_int_equal(schedule_waited(&beside, at(61)), 60 * USEC_PER_S);
    end(s);
}

static void what_goes_first(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy first = kind(KIND_CLASS_BACKGROUND, 3),
                       last = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job old = job(&a, &last), young = job(&a, &last), title = job(&a, &first);
    struct schedule_interactive f = chat(&a);
    schedule_wait(s, &old, at(0));
    next_is(s, 0, &old);
    schedule_interactive_began(s, &f, at(1));
    schedule_requeue_preempted(s, &old, at(1)); /* keeps its age */
    schedule_wait(s, &young, at(0.5));
    schedule_wait(s, &title, at(3));
    schedule_interactive_ended(s, &f, at(4), false);
    struct schedule_job *const order[] = {&title, &old, &young};
    for (size_t i = 0; i < 3; i++) {
        next_is(s, 6 + (double)i, order[i]);
        schedule_end(s, order[i], at(6.5 + (double)i), false);
    }
    end(s);
}

static void a_full_queue_lets_the_oldest_go(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy policy = kind(KIND_CLASS_BACKGROUND, 5);
    struct kind_policy complete = kind(KIND_CLASS_COMPLETION, 2);
    struct schedule_job j[4], k = job(&a, &complete);
    struct schedule_interactive f = chat(&a);
    policy.queue = 3;
    schedule_interactive_began(s, &f, at(0));
    schedule_wait(s, &k, at(0)); /* completions are never queued, so they take no place */
    for (size_t i = 0; i < 3; i++) {
        j[i] = job(&a, &policy);
        schedule_wait(s, &j[i], at((double)i));
    }
    waits(s, 3, &j[0], SCHEDULE_FOR_CHAT);
    j[3] = job(&a, &policy);
    schedule_wait(s, &j[3], at(3));
    next_is(s, 3, &j[0]);
    next_is(s, 3, NULL);
    assert_int_equal(schedule_count(s, &a).waiting, 4);
    end(s);
}

static void one_model_at_a_time(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy title = kind(KIND_CLASS_BACKGROUND, 3),
                       tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job big = job(&a, &tags), small = job(&a, &title), more = job(&a, &tags);
    struct schedule_interactive f = chat(&a);
    a.one_model = true;
    f.model = big.model = key(1);
    small.model = more.model = key(2);
    schedule_interactive_began(s, &f, at(0));
    schedule_wait(s, &big, at(0));
    schedule_wait(s, &small, at(0));
    schedule_wait(s, &more, at(0));
    schedule_interactive_ended(s, &f, at(5), false);
    next_is(s, 6, &big); /* the resident model's, whatever the priority */
    schedule_end(s, &big, at(7), false);
    waits(s, 64.9, &small, SCHEDULE_MODEL); /* long after max_hold */
    due_in(s, 64.9, 0.1);
    next_is(s, 65, &small);
    assert_false(small.forced);
    schedule_end(s, &small, at(66), false);
    next_is(s, 66, &more); /* and together */
    schedule_end(s, &more, at(67), false);
    end(s);
}

static void for_people(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1), b = upstream(there, one, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job j = job(&b, &tags);
    struct schedule_interactive f = chat(&a);
    assert_int_equal(schedule_look_machine(s, &a, at(0)).idle, INT64_MAX);
    schedule_interactive_began(s, &f, at(0));
    schedule_wait(s, &j, at(0));
    struct schedule_machine m = schedule_look_machine(s, &b, at(1));
    assert_string_equal(m.name, "one");
    assert_int_equal(m.chats, 1);
    assert_int_equal(m.waiting, 1);
    assert_int_equal(m.quiet, -1);
    assert_int_equal(m.idle, -1);
    schedule_interactive_ended(s, &f, at(2), false);
    assert_int_equal(schedule_look_machine(s, &b, at(3)).quiet, USEC_PER_S);
    next_is(s, 3, &j);
    schedule_end(s, &j, at(4), false);
    assert_int_equal(schedule_look_machine(s, &a, at(4.5)).idle, USEC_PER_S / 2);
    assert_int_equal(schedule_count(s, &b).started, 1);
    end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_starts_where_nothing_is_in_its_way),
        cmocka_unit_test(slots_are_what_is_set_found_or_known),
        cmocka_unit_test(one_slot_runs_one_job),
        cmocka_unit_test(several_slots_leave_one_to_the_chat),
        cmocka_unit_test(what_cannot_be_aborted_while_it_is_read_waits_as_long_more),
        cmocka_unit_test(behind_one_conversation_the_cheapest_goes_first),
        cmocka_unit_test(an_older_turn_of_a_conversation_goes_first),
        cmocka_unit_test(what_the_server_has_cached_goes_first),
        cmocka_unit_test(a_chat_on_the_machine_holds_background_work),
        cmocka_unit_test(a_reply_that_calls_tools_goes_on),
        cmocka_unit_test(yield_rules),
        cmocka_unit_test(a_chat_preempts_what_runs),
        cmocka_unit_test(what_gives_way_to_no_request),
        cmocka_unit_test(when_full_only_as_many_give_way_as_needed),
        cmocka_unit_test(foreground_work_counts_as_what_a_person_waits_for),
        cmocka_unit_test(an_abort_is_a_request_not_a_fact),
        cmocka_unit_test(a_chat_behind_a_chat_does_not_measure_aborts),
        cmocka_unit_test(an_answer_that_is_being_written_notices_at_once),
        cmocka_unit_test(a_slow_server_is_left_alone_for_longer),
        cmocka_unit_test(a_first_title_waits_for_its_chat),
        cmocka_unit_test(max_hold_bounds_the_waits_of_a_turn),
        cmocka_unit_test(what_goes_first),
        cmocka_unit_test(a_full_queue_lets_the_oldest_go),
        cmocka_unit_test(one_model_at_a_time),
        cmocka_unit_test(for_people),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
