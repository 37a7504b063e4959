/* test_schedule_bounds.c: where the schedule's rules end: no slots beside some, whose budget it is,
 * which model goes on, whose chat is waited for, when an abort counts.
 */
#include "schedule_support.h"

static char here[] = "here", hosted[] = "hosted", one[] = "one";
static char distant[] = "distant", other[] = "other";

static void no_slots_on_a_machine_with_some(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1), b = upstream(hosted, one, 0);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job j = job(&a, &tags), k = job(&b, &tags), later = job(&a, &tags);
    struct schedule_interactive there = chat(&b), f = chat(&a);
    schedule_wait(s, &j, at(0));
    schedule_wait(s, &k, at(0));
    assert_non_null(schedule_next(s, at(0), NULL));
    assert_non_null(schedule_next(s, at(0), NULL));
    schedule_interactive_began(s, &there, at(1)); /* nothing gives way to it ... */
    assert_null(schedule_victim(s, &b, at(1)));
    schedule_end(s, &j, at(2), false);
    schedule_wait(s, &later, at(2)); /* ... nor waits for it */
    next_is(s, 2, &later);
    schedule_interactive_began(s, &f, at(3));
    assert_ptr_equal(schedule_victim(s, &a, at(3)), &later);
    schedule_requeue_preempted(s, &later, at(3));
    assert_null(schedule_victim(s, &a, at(3))); /* k: slots = 0, so it delays no chat */
    schedule_interactive_ended(s, &there, at(3.5), false);
    schedule_interactive_ended(s, &f, at(4), false);
    next_is(s, 5, &later);
    schedule_end(s, &later, at(6), false);
    schedule_end(s, &k, at(6), false);
    end(s);
}

static void a_title_beside_the_reply_shares_no_budget(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy policy = kind(KIND_CLASS_BACKGROUND, 4);
    struct schedule_job title = job(&a, &policy), tags = job(&a, &policy), more = job(&a, &policy);
    struct schedule_interactive f = chat(&a);
    title.turn = tags.turn = more.turn = key(1);
    title.beside_reply = true;
    schedule_interactive_began(s, &f, at(0));
    schedule_wait(s, &title, at(0));
    next_is(s, 20, &title);
    schedule_end(s, &title, at(20), false);
    schedule_wait(s, &tags, at(20)); /* it has spent nothing of the turn's */
    waits(s, 39.9, &tags, SCHEDULE_FOR_CHAT);
    next_is(s, 40, &tags);
    schedule_end(s, &tags, at(40), false);
    schedule_wait(s, &title, at(40)); /* and the turn nothing of its own */
    waits(s, 59.9, &title, SCHEDULE_FOR_CHAT);
    next_is(s, 60, &title);
    schedule_end(s, &title, at(60), false);
    schedule_wait(s, &more, at(60));
    next_is(s, 60, &more);
    end(s);
}

static void a_hold_is_renewed_once_where_chats_have_all_slots(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, SLOTS_AUTO);
    struct kind_policy policy = kind(KIND_CLASS_BACKGROUND, 4);
    struct schedule_job tags = job(&a, &policy);
    struct schedule_interactive f = chat(&a), g = chat(&a);
    found_slots(&a, 1);
    schedule_interactive_began(s, &f, at(0));
    schedule_wait(s, &tags, at(0));
    due_in(s, 19.9, 0.1);
    due_in(s, 20, -1);
    waits(s, 85, &tags, SCHEDULE_FOR_CHAT); /* the server would queue it */
    schedule_interactive_ended(s, &f, at(86), false);
    waits(s, 86, &tags, SCHEDULE_SETTLE); /* it may give way again ... */
    schedule_interactive_began(s, &g, at(86.5));
    due_in(s, 86.5, 19.5); /* ... but waits no longer than max_hold from there */
    next_is(s, 106, &tags);
    assert_null(schedule_victim(s, &a, at(106)));
    schedule_end(s, &tags, at(107), false);
    schedule_wait(s, &tags, at(107)); /* another one begins with nothing renewed */
    waits(s, 130, &tags, SCHEDULE_FOR_CHAT);
    schedule_interactive_ended(s, &g, at(140), false);
    next_is(s, 141, &tags);
    schedule_end(s, &tags, at(142), false);
    end(s);
}

/* One chat is open, the hold is over after 20 s: what becomes of the task then. */
static const struct schedule_job *after_hold(int64_t set, int64_t found, enum yield_rule yield,
                                             bool elsewhere)
{
    static struct schedule_job tags;
    struct schedule *s = begin();
    struct upstream_settings both[] = {{.name = here, .machine = one, .slots = set},
                                       {.name = other, .machine = one, .slots = SLOTS_AUTO}};
    struct kind_policy policy = kind(KIND_CLASS_BACKGROUND, 4);
    struct schedule_interactive f = chat(&both[elsewhere ? 1 : 0]);
    servers_bind(servers, both, 2);
    policy.yield = yield;
    tags = job(&both[0], &policy);
    found_slots(&both[0], found);
    schedule_interactive_began(s, &f, at(0));
    schedule_wait(s, &tags, at(0));
    const struct schedule_job *started = schedule_next(s, at(20), NULL);
    schedule_end(s, &tags, at(21), false);
    schedule_interactive_ended(s, &f, at(21), false);
    end(s);
    return started;
}

static void a_hold_ends_beside_the_chat_elsewhere(void **state)
{
    (void)state;
    assert_null(after_hold(SLOTS_AUTO, 1, YIELD_AUTO, false));
    assert_non_null(after_hold(SLOTS_AUTO, 2, YIELD_AUTO, false)); /* one is free */
    assert_non_null(after_hold(SLOTS_AUTO, 0, YIELD_AUTO, false)); /* not known */
    assert_non_null(after_hold(1, 1, YIELD_AUTO, false));          /* set by the user */
    assert_non_null(after_hold(SLOTS_AUTO, 1, YIELD_AUTO, true));  /* at another server */
    assert_non_null(after_hold(SLOTS_AUTO, 1, YIELD_NEVER, false));
}

/* The second of two decisions of one turn of the loop knows what was aborted between them. */
static void an_abort_counts_at_once(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    tags.settle = 0;
    struct schedule_job x = job(&a, &tags), y = job(&a, &tags);
    struct schedule_interactive first = chat(&a), second = chat(&a);
    schedule_interactive_began(s, &first, at(0)); /* a first token takes 1 s */
    schedule_interactive_token(&first, at(1));
    schedule_interactive_ended(s, &first, at(2), false);
    schedule_wait(s, &x, at(10));
    next_is(s, 10, &x);
    schedule_interactive_began(s, &second, at(11)); /* and 5 s after an abort */
    assert_ptr_equal(schedule_victim(s, &a, at(11)), &x);
    schedule_requeue_preempted(s, &x, at(11));
    schedule_interactive_token(&second, at(16));
    schedule_interactive_ended(s, &second, at(17), false);
    next_is(s, 30, &x);
    schedule_wait(s, &y, at(30));
    waits(s, 30, &y, SCHEDULE_SLOTS);
    schedule_end(s, &x, at(30), true);
    waits(s, 30, &y, SCHEDULE_SLOTS);
    due_in(s, 30, 4);
    schedule_end(s, &y, at(31), false);
    end(s);
}

/* How slow a machine is, is found once for all jobs of a decision: it may change within that time. */
static void a_machine_is_as_slow_as_its_last_first_token(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1), b = upstream(other, one, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job j = job(&b, &tags);
    struct schedule_interactive f = chat(&a);
    schedule_interactive_began(s, &f, at(0));
    (void)schedule_interactive_token(&f, at(2));
    schedule_wait(s, &j, at(2));
    schedule_interactive_ended(s, &f, at(3), false);
    due_in(s, 3, 3);
    f = chat(&a);
    schedule_interactive_began(s, &f, at(3));
    (void)schedule_interactive_token(&f, at(3));
    schedule_interactive_ended(s, &f, at(3), false);
    due_in(s, 3, 2.5);
    a.machine = other; /* it was moved */
    schedule_bind(s, (struct upstream_settings[]){a, b}, 2);
    due_in(s, 3, 1);
    schedule_end(s, &j, at(4), false);
    end(s);
}

static void a_requeued_task_goes_on_with_its_budget(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy policy = kind(KIND_CLASS_BACKGROUND, 4);
    struct schedule_job j = job(&a, &policy);
    struct schedule_interactive f = chat(&a);
    schedule_interactive_began(s, &f, at(0));
    schedule_wait(s, &j, at(0));
    schedule_interactive_ended(s, &f, at(11), false);
    next_is(s, 12, &j);
    f = chat(&a);
    schedule_interactive_began(s, &f, at(13));
    schedule_requeue_preempted(s, &j, at(13));
    waits(s, 20.9, &j, SCHEDULE_FOR_CHAT); /* 12 s are gone, by whichever turn */
    next_is(s, 21, &j);
    end(s);
}

static void the_resident_models_tasks_go_together(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy first = kind(KIND_CLASS_BACKGROUND, 3),
                       last = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job big[2] = {job(&a, &first), job(&a, &first)};
    struct schedule_job small[2] = {job(&a, &last), job(&a, &last)};
    a.one_model = true;
    for (size_t i = 0; i < 2; i++) {
        big[i].model = key(1);
        small[i].model = key(2);
    }
    schedule_wait(s, &small[0], at(0));
    next_is(s, 0, &small[0]);
    schedule_wait(s, &big[0], at(1));
    schedule_wait(s, &big[1], at(1));
    schedule_wait(s, &small[1], at(2));
    waits(s, 2, &big[0], SCHEDULE_MODEL);
    schedule_end(s, &small[0], at(3), false);
    struct schedule_job *const order[] = {&small[1], &big[0], &big[1]};
    for (size_t i = 0; i < 3; i++) {
        next_is(s, 3 + (double)i, order[i]); /* later and of less weight, but without a swap */
        schedule_end(s, order[i], at(3.5 + (double)i), false);
    }
    end(s);
}

/* A task that goes to its fallback since its server is throttled loads nothing on its way. */
static void what_leaves_for_its_fallback_swaps_no_model(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job resident = job(&a, &tags), away = job(&a, &tags), more = job(&a, &tags);
    struct schedule_interactive f = chat(&a);
    a.one_model = true;
    f.model = resident.model = key(1);
    away.model = more.model = key(2);
    away.leaves_throttled = true;
    schedule_interactive_began(s, &f, at(0));
    schedule_wait(s, &away, at(0));
    waits(s, 1, &away, SCHEDULE_MODEL);
    server_of(servers, &a)->throttled_until = at(3);
    next_is(s, 2, &away);
    schedule_end(s, &away, at(2), false);
    schedule_wait(s, &resident, at(3));
    schedule_wait(s, &more, at(3));
    schedule_interactive_ended(s, &f, at(5), false);
    next_is(s, 6, &resident);
    schedule_end(s, &resident, at(7), false);
    waits(s, 64.9, &more, SCHEDULE_MODEL);
    schedule_end(s, &more, at(64.9), false);
    end(s);
}

static void an_abort_in_one_of_several_slots(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 2);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job j = job(&a, &tags);
    struct schedule_interactive f = chat(&a);
    tags.settle = 0;
    schedule_interactive_began(s, &f, at(0));
    assert_int_equal(schedule_interactive_token(&f, at(0.5)), -1);
    schedule_interactive_ended(s, &f, at(1), false);
    schedule_wait(s, &j, at(1));
    next_is(s, 1, &j);
    f = chat(&a);
    schedule_interactive_began(s, &f, at(2));
    assert_int_equal(schedule_interactive_token(&f, at(9)), -1); /* not alone: says nothing */
    schedule_interactive_ended(s, &f, at(10), false);
    f = chat(&a);
    schedule_interactive_began(s, &f, at(11));
    schedule_requeue_preempted(s, &j, at(11));
    assert_int_equal(schedule_interactive_token(&f, at(14.5)), 3 * USEC_PER_S);
    schedule_interactive_ended(s, &f, at(15), false);
    next_is(s, 15, &j);
    f = chat(&a);
    schedule_interactive_began(s, &f, at(16));
    schedule_requeue_preempted(s, &j, at(16));
    schedule_interactive_ended(s, &f, at(16.5),
                               false); /* a short reply: the slot is not free yet */
    waits(s, 16.5, &j, SCHEDULE_SLOTS);
    due_in(s, 16.5, 2.5);
    f = chat(&a);
    schedule_interactive_began(s, &f, at(17)); /* nor is this one alone */
    assert_int_equal(schedule_interactive_token(&f, at(25)), -1);
    schedule_interactive_ended(s, &f, at(25), false);
    next_is(s, 25, &j);
    f = chat(&a);
    schedule_interactive_began(s, &f, at(26));
    schedule_requeue_preempted(s, &j, at(26));
    assert_int_equal(schedule_interactive_token(&f, at(27.5)),
                     USEC_PER_S); /* still against 0.5 s */
    end(s);
}

static void another_users_query_says_nothing_of_my_title(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy title = kind(KIND_CLASS_BACKGROUND, 3);
    struct kind_policy query = kind(KIND_CLASS_FOREGROUND, 1);
    struct schedule_job j = job(&a, &title), q = job(&a, &query);
    j.beside_reply = true;
    j.conversation = (struct schedule_conversation){key(1), key(7)};
    q.conversation = (struct schedule_conversation){key(1), key(8)};
    schedule_wait(s, &j, at(0));
    schedule_wait(s, &q, at(0.4));
    next_is(s, 0.4, &q);
    schedule_end(s, &q, at(0.5), false);
    waits(s, 1.9, &j, SCHEDULE_FIRST_TURN);
    next_is(s, 2, &j);
    end(s);
}

static void what_is_queued_says_why_at_once(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job j = job(&a, &tags), title = job(&a, &tags);
    struct schedule_interactive f = chat(&a);
    title.beside_reply = true;
    title.conversation.person = key(1);
    schedule_wait(s, &title, at(0));
    assert_int_equal(title.why, SCHEDULE_FIRST_TURN);
    schedule_wait(s, &j, at(0));
    assert_int_equal(j.why, SCHEDULE_FREE);
    next_is(s, 0, &j);
    schedule_interactive_began(s, &f, at(1));
    schedule_requeue_preempted(s, &j, at(1));
    assert_int_equal(j.why, SCHEDULE_FOR_CHAT);
    end(s);
}

static void what_a_chat_makes_pointless_is_an_abort_too(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy completion = kind(KIND_CLASS_COMPLETION, 2);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    tags.settle = 0;
    struct schedule_job j = job(&a, &completion), k = job(&a, &tags);
    struct schedule_interactive f = chat(&a);
    schedule_interactive_began(s, &f, at(1));
    assert_int_equal(schedule_interactive_token(&f, at(1.5)), -1);
    schedule_interactive_ended(s, &f, at(2), false);
    schedule_wait(s, &j, at(3));
    next_is(s, 3, &j);
    schedule_end(s, &j, at(5), true); /* its text was sent ... */
    f = chat(&a);
    schedule_interactive_began(s, &f, at(5)); /* ... by this chat */
    assert_int_equal(schedule_interactive_token(&f, at(7.5)), 2 * USEC_PER_S);
    schedule_interactive_ended(s, &f, at(8), false);
    schedule_wait(s, &k, at(8));
    next_is(s, 8, &k);
    schedule_end(s, &k, at(9), true);
    schedule_wait(s, &k, at(9));
    waits(s, 9, &k, SCHEDULE_SLOTS);
    due_in(s, 9, 2);
    schedule_end(s, &k, at(9), false);
    end(s);
}

/* Nothing was sent: there is nothing that a server could still be busy with, and no chat was late by
 * it. */
static void what_was_not_called_leaves_its_slot_at_once(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    tags.settle = 0;
    struct schedule_job j = job(&a, &tags);
    struct schedule_interactive f = chat(&a);
    schedule_interactive_began(s, &f, at(0));
    assert_int_equal(schedule_interactive_token(&f, at(0.5)), -1);
    schedule_interactive_ended(s, &f, at(1), false);
    schedule_wait(s, &j, at(1));
    next_is(s, 1, &j);
    f = chat(&a);
    schedule_interactive_began(s, &f, at(2));
    schedule_requeue_preempted(s, &j, at(2));
    assert_int_equal(schedule_interactive_token(&f, at(5.5)), 3 * USEC_PER_S); /* so long */
    schedule_interactive_ended(s, &f, at(6), false);
    assert_ptr_equal(schedule_next(s, at(6), NULL), &j); /* it waits for a probe */
    f = chat(&a);
    schedule_interactive_began(s, &f, at(6.5));
    schedule_requeue_preempted(s, &j, at(6.5));
    assert_int_equal(schedule_interactive_token(&f, at(6.9)), -1);
    schedule_interactive_ended(s, &f, at(7), false);
    assert_ptr_equal(schedule_next(s, at(7), NULL), &j);
    schedule_end(s, &j, at(7.5), true);
    schedule_wait(s, &j, at(7.5));
    next_is(s, 7.5, &j);
    schedule_end(s, &j, at(8), false);
    end(s);
}

/* A wait for another model is outside max_hold; the waits for chats before and after it are not, taken
 * together. */
static void a_swap_in_between_forgets_no_wait(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    a.one_model = true;
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job j = job(&a, &tags);
    struct schedule_interactive f = chat(&a), g = chat(&a), h = chat(&a);
    j.model = f.model = h.model = key(1);
    g.model = key(2);
    schedule_interactive_began(s, &f, at(0));
    schedule_wait(s, &j, at(0));
    waits(s, 0, &j, SCHEDULE_FOR_CHAT);
    schedule_interactive_ended(s, &f, at(15), false);
    schedule_interactive_began(s, &g, at(15));
    waits(s, 15, &j, SCHEDULE_MODEL);
    schedule_interactive_ended(s, &g, at(100), false);
    schedule_interactive_began(s, &h, at(100));
    waits(s, 100, &j, SCHEDULE_FOR_CHAT);
    due_in(s, 100, 5);
    assert_int_equal(schedule_waited(&j, at(104)), 104 * USEC_PER_S);
    next_is(s, 105, &j);
    schedule_end(s, &j, at(106), false);
    schedule_interactive_ended(s, &h, at(106), false);
    end(s);
}

/* A comparison's call is the last, also where it is asked behind the conversation of a task, and has
 * waited longer. */
static void what_no_client_waits_for_is_the_last(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 9);
    struct kind_policy compare = kind(KIND_CLASS_BACKGROUND, 10);
    compare.queue = 0;
    struct schedule_job c = job(&a, &compare), j = job(&a, &tags);
    c.behind = j.behind = true;
    c.prefix = j.prefix = 7;
    c.turn = key(1);
    j.turn = key(2);
    schedule_wait(s, &c, at(0));
    schedule_wait(s, &j, at(1));
    assert_int_equal(schedule_position(s, &j), 1);
    assert_int_equal(schedule_position(s, &c), 2);
    next_is(s, 1, &j);
    schedule_end(s, &j, at(2), false);
    next_is(s, 2, &c);
    schedule_end(s, &c, at(3), false);
    end(s);
}

/* A reload gives an upstream a machine of its own: the chats of the machine that it had stay where they
 * are, and hold nothing of it up any more. */
static void a_machine_of_its_own_does_not_wait_for_the_old_ones_chats(void **state)
{
    (void)state;
    static char there[] = "there", two[] = "two";
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1), b = upstream(there, one, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_interactive f = chat(&a), g = chat(&b);
    struct schedule_job j = job(&b, &tags);
    schedule_interactive_began(s, &f, at(0));
    schedule_interactive_began(s, &g, at(0));
    b.machine = two;
    assert_string_equal(schedule_look_machine(s, &b, at(1)).name, "one"); /* a chat of its own */
    schedule_interactive_ended(s, &g, at(1), false);
    schedule_wait(s, &j, at(2));
    next_is(s, 2, &j);
    assert_string_equal(schedule_look_machine(s, &b, at(2)).name, "two");
    schedule_end(s, &j, at(3), false);
    schedule_interactive_ended(s, &f, at(4), false);
    end(s);
}

/* A slow server that a reload moves to a machine of its own, or takes away, lengthens no `settle` of the
 * machine it was on. */
static void a_server_that_left_slows_nothing_down(void **state)
{
    (void)state;
    static char there[] = "there", two[] = "two";
    for (int gone = 0; gone < 2; gone++) {
        struct schedule *s = begin();
        struct upstream_settings a = upstream(here, one, 1), b = upstream(there, one, 1);
        struct upstream_settings list[] = {a, b};
        struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
        struct schedule_interactive f = chat(&b), g = chat(&a);
        struct schedule_job j = job(&a, &tags);
        tags.settle = USEC_PER_S;
        schedule_interactive_began(s, &f, at(0));
        (void)schedule_interactive_token(&f, at(2));
        schedule_interactive_ended(s, &f, at(2), false);
        schedule_interactive_began(s, &g, at(10));
        schedule_interactive_ended(s, &g, at(10), false);
        schedule_wait(s, &j, at(10));
        due_in(s, 10, 3);
        list[1].machine = two;
        schedule_bind(s, list, gone == 0 ? 2 : 1);
        (void)schedule_look_machine(s, &b, at(10)); /* by what began before */
        due_in(s, 10, 1);
        schedule_end(s, &j, at(10), false);
        end(s);
    }
}

/* A chat that waited for its body while a reload gave its upstream another url: it is the first there. */
static void a_server_that_was_replaced_slows_nothing_down(void **state)
{
    (void)state;
    static char before[] = "http://127.0.0.1:1", now[] = "http://127.0.0.1:2";
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1), b = a;
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job j = job(&b, &tags);
    struct schedule_interactive f = chat(&a);
    a.url = before;
    b.url = now;
    servers_bind(servers, &a, 1);
    servers_bind(servers, &b, 1);
    schedule_bind(s, &b, 1);
    schedule_interactive_began(s, &f, at(0));
    (void)schedule_interactive_token(&f, at(2));
    schedule_interactive_ended(s, &f, at(2), false);
    schedule_wait(s, &j, at(2));
    due_in(s, 2, 1);
    schedule_end(s, &j, at(2), false);
    end(s);
}

/* What a task waited before a swap is its turn's: the hold of another task of the turn may be over with that,
 * though it was looked at before. */
static void a_swap_ends_the_hold_of_its_turns_other_task(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1), b = a;
    b.one_model = true; /* after a reload */
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job j = job(&a, &tags), k = job(&b, &tags);
    struct schedule_interactive f = chat(&a), g = chat(&a);
    j.turn = k.turn = key(7);
    k.model = f.model = key(1);
    g.model = key(2);
    schedule_interactive_began(s, &f, at(0));
    schedule_wait(s, &j, at(0));
    schedule_wait(s, &k, at(1));
    due_in(s, 1, 19);
    schedule_interactive_began(s, &g, at(11)); /* k is for another model than that */
    next_is(s, 11, &j);
    schedule_end(s, &j, at(12), false);
    schedule_end(s, &k, at(12), false);
    schedule_interactive_ended(s, &f, at(12), false);
    schedule_interactive_ended(s, &g, at(12), false);
    end(s);
}

/* Many leave at once: the holds of the tasks of each of their turns end sooner, with the next decision. */
static void tasks_of_several_turns_leave_at_once(void **state)
{
    enum { TURNS = 3 };
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job leaves[TURNS], stays[TURNS];
    struct schedule_interactive f = chat(&a);
    schedule_interactive_began(s, &f, at(0));
    for (unsigned i = 0; i < TURNS; i++) { /* the last is of no turn */
        leaves[i] = stays[i] = job(&a, &tags);
        leaves[i].turn = stays[i].turn = key(i + 1 < TURNS ? 7 + i : 0);
        schedule_wait(s, &leaves[i], at(0));
    }
    for (unsigned i = 0; i < TURNS; i++) {
        schedule_wait(s, &stays[i], at(5));
    }
    due_in(s, 5, 15);
    for (unsigned i = 0; i < TURNS; i++) {
        schedule_end(s, &leaves[i], at(5 + i), false); /* 5 and 6 s of their turns */
    }
    due_in(s, 7, 12); /* 5 + 20 - 6 */
    next_is(s, 19, &stays[1]);
    next_is(s, 20, &stays[0]);
    next_is(s, 24.9, NULL);
    next_is(s, 25, &stays[2]);
    for (unsigned i = 0; i < TURNS; i++) {
        schedule_end(s, &stays[i], at(26), false);
    }
    schedule_interactive_ended(s, &f, at(26), false);
    end(s);
}

static void a_title_does_not_wait_for_a_chat_elsewhere(void **state)
{
    (void)state;
    struct schedule *s = begin();
    static char there[] = "there", two[] = "two";
    struct upstream_settings a = upstream(here, one, 1), b = upstream(two, there, 1);
    struct kind_policy title = kind(KIND_CLASS_BACKGROUND, 3);
    struct schedule_job j = job(&b, &title), k = job(&b, &title);
    struct schedule_interactive f = chat(&a);
    title.first_turn_wait = 2 * USEC_PER_S;
    j.beside_reply = true;
    j.elsewhere = true;
    schedule_wait(s, &j, at(1));
    next_is(s, 1, &j);
    schedule_end(s, &j, at(2), false);
    schedule_interactive_began(s, &f, at(3)); /* it is here, on another machine */
    k.beside_reply = true;
    schedule_wait(s, &k, at(3));
    next_is(s, 3, &k);
    schedule_end(s, &k, at(4), false);
    schedule_interactive_ended(s, &f, at(5), false);
    end(s);
}

static void a_typing_user_is_about_to_send(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct schedule_job j = job(&a, &tags), k = job(&a, &tags);
    struct hash_key ann = {.hi = 1, .lo = 2}, bob = {.hi = 3, .lo = 4};
    j.conversation.person = ann;
    k.conversation.person = bob;
    schedule_typed(s, &a, ann, at(10));
    schedule_wait(s, &j, at(10.5));
    waits(s, 10.5, &j, SCHEDULE_SETTLE);
    due_in(s, 10.5, 0.5);
    schedule_typed(s, &a, ann, at(10.9));
    waits(s, 11, &j, SCHEDULE_SETTLE);
    schedule_wait(s, &k, at(11)); /* another user's */
    next_is(s, 11, &k);
    schedule_end(s, &k, at(11.5), false);
    next_is(s, 11.9, &j);
    schedule_end(s, &j, at(12), false);
    struct kind_policy completion = kind(KIND_CLASS_COMPLETION, 2);
    completion.settle = USEC_PER_S; /* set for all kinds */
    struct schedule_job c = job(&a, &completion);
    c.conversation.person = ann;
    schedule_typed(s, &a, ann, at(12.5));
    schedule_wait(s, &c, at(12.5)); /* the typing itself */
    next_is(s, 12.5, &c);
    schedule_end(s, &c, at(12.8), false);
    tags.settle = 0;
    schedule_typed(s, &a, ann, at(13));
    schedule_wait(s, &j, at(13));
    next_is(s, 13, &j);
    schedule_end(s, &j, at(14), false);
    end(s);
}

static void a_waiting_job_has_a_position(void **state)
{
    (void)state;
    struct schedule *s = begin();
    struct upstream_settings a = upstream(here, one, 1), b = upstream(hosted, one, 1);
    struct upstream_settings far = upstream(distant, other, 1);
    struct kind_policy tags = kind(KIND_CLASS_BACKGROUND, 5);
    struct kind_policy title = kind(KIND_CLASS_BACKGROUND, 3);
    struct schedule_interactive f = chat(&a);
    struct schedule_job j[5] = {job(&a, &tags), job(&b, &tags), job(&a, &tags), job(&b, &title),
                                job(&far, &title)};
    schedule_interactive_began(s, &f, at(0));
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(schedule_position(s, &j[i]), 0);
        schedule_wait(s, &j[i], at(i == 0 ? 0 : 1)); /* j[2] is as old as j[1] */
    }
    assert_int_equal(schedule_position(s, &j[3]), 1);
    assert_int_equal(schedule_position(s, &j[0]), 2);
    assert_int_equal(schedule_position(s, &j[1]) + schedule_position(s, &j[2]), 3 + 4);
    assert_int_equal(schedule_position(s, &j[4]), 1); /* another machine */
    next_is(s, 2, &j[4]);
    assert_int_equal(schedule_position(s, &j[4]), 0); /* it runs */
    schedule_interactive_ended(s, &f, at(3), false);
    /* they start in the order of their places */
    size_t second = schedule_position(s, &j[1]) < schedule_position(s, &j[2]) ? 1 : 2;
    struct schedule_job *order[4] = {&j[3], &j[0], &j[second], &j[3 - second]};
    for (size_t i = 0; i < 4; i++) {
        double when = 10 + (double)i;
        assert_int_equal(schedule_position(s, order[i]), 1);
        assert_ptr_equal(schedule_next(s, at(when), NULL), order[i]);
        schedule_end(s, order[i], at(when), false);
    }
    schedule_end(s, &j[4], at(20), false);
    end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_typing_user_is_about_to_send),
        cmocka_unit_test(what_was_not_called_leaves_its_slot_at_once),
        cmocka_unit_test(a_swap_in_between_forgets_no_wait),
        cmocka_unit_test(tasks_of_several_turns_leave_at_once),
        cmocka_unit_test(a_swap_ends_the_hold_of_its_turns_other_task),
        cmocka_unit_test(what_no_client_waits_for_is_the_last),
        cmocka_unit_test(a_machine_of_its_own_does_not_wait_for_the_old_ones_chats),
        cmocka_unit_test(a_server_that_left_slows_nothing_down),
        cmocka_unit_test(a_server_that_was_replaced_slows_nothing_down),
        cmocka_unit_test(a_title_does_not_wait_for_a_chat_elsewhere),
        cmocka_unit_test(what_a_chat_makes_pointless_is_an_abort_too),
        cmocka_unit_test(no_slots_on_a_machine_with_some),
        cmocka_unit_test(a_title_beside_the_reply_shares_no_budget),
        cmocka_unit_test(a_hold_is_renewed_once_where_chats_have_all_slots),
        cmocka_unit_test(a_hold_ends_beside_the_chat_elsewhere),
        cmocka_unit_test(an_abort_counts_at_once),
        cmocka_unit_test(a_machine_is_as_slow_as_its_last_first_token),
        cmocka_unit_test(a_requeued_task_goes_on_with_its_budget),
        cmocka_unit_test(the_resident_models_tasks_go_together),
        cmocka_unit_test(what_leaves_for_its_fallback_swaps_no_model),
        cmocka_unit_test(another_users_query_says_nothing_of_my_title),
        cmocka_unit_test(what_is_queued_says_why_at_once),
        cmocka_unit_test(an_abort_in_one_of_several_slots),
        cmocka_unit_test(a_waiting_job_has_a_position),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
