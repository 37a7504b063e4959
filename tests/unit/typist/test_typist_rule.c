/* test_typist_rule.c: which requests are of one typist, as a table; when one is debounced, and for
 * how long; runs of keys.
 */
#include "support/check.h"

#include "lull/path/typist/typist.h"

#include <stdio.h>

enum who { ANN, BOB, SHARED_KEY };

/* One arrival after another: the second is one typist's with the first, or not. */
struct story {
    const char *name;
    enum who first_who, then_who;
    int first_chat, then_chat; /* context: template, history, model; 0 is a new chat */
    const char *first, *then;
    bool same;
};

static struct typist_arrival arrival(enum who who, int chat, const char *text, usec_t now)
{
    return (struct typist_arrival){
        .context = {(uint64_t)who + 1, (uint64_t)chat}, /* the scope is a part of the context */
        .person = {0, (uint64_t)who},
        .text = span_of(text),
        .one_user = who != SHARED_KEY,
        .history_empty = chat == 0,
        .now = {now},
    };
}

static void stories(void **state)
{
    (void)state;
    static const char text[] = "How do I write a daemon";
    static const char longer[] = "How do I write a daemon in C";
    static const struct story rows[] = {
        {"typing on", ANN, ANN, 1, 1, text, longer, true},
        {"deleting", ANN, ANN, 1, 1, longer, text, true},
        {"the same again", ANN, ANN, 1, 1, text, text, true},
        {"two tabs, two chats", ANN, ANN, 1, 2, text, longer, false},
        {"two tabs, new chats, other words", ANN, ANN, 0, 0, text, "What is the weather like",
         false},
        {"two tabs, new chats, the same words", ANN, ANN, 0, 0, text, longer, true},
        {"two people", ANN, BOB, 0, 0, text, longer, false},
        {"two people without user headers in new chats, 23 in common", SHARED_KEY, SHARED_KEY, 0, 0,
         "How do I write a daemon", "How do I write a daemon in C", false},
        {"... 24 in common", SHARED_KEY, SHARED_KEY, 0, 0, "How do I write a daemon ",
         "How do I write a daemon in C", true},
        {"... in one chat with a history, 12 in common", SHARED_KEY, SHARED_KEY, 1, 1,
         "How do I wri", "How do I write a daemon", true},
        {"phone and laptop, one chat", ANN, ANN, 1, 1, text, longer, true},
        {"phone and laptop, other texts", ANN, ANN, 1, 1, text, "Why", false},
        {"pasted behind the text", ANN, ANN, 1, 1, text,
         "How do I write a daemon that listens on a socket and answers in time?", true},
        {"pasted over the text", ANN, ANN, 1, 1, text, "A pasted text that is quite another",
         false},
        {"an edit in the middle", ANN, ANN, 1, 1, "How do I write a demon", longer, false},
        {"11 in common", ANN, ANN, 1, 1, "How do I wr", "How do I write", false},
        {"deleted down to 11", ANN, ANN, 1, 1, text, "How do I wr", false},
        {"12 code points of two bytes", ANN, ANN, 1, 1, "ñandúñandúñá", "ñandúñandúñá!", true},
        {"11 code points of two bytes", ANN, ANN, 1, 1, "ñandúñandúñ", "ñandúñandúñá!", false},
        {"nothing yet", ANN, ANN, 1, 1, "", text, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct story *r = &rows[i];
        struct typist_arrival a = arrival(r->first_who, r->first_chat, r->first, 0);
        struct typist_arrival b = arrival(r->then_who, r->then_chat, r->then, 5 * USEC_PER_S);
        struct typist_table *t = typist_table_create();
        struct typist_verdict v = typist_note(t, &a);
        bool new_comer = !v.known && v.lone;
        v = typist_note(t, &b);
        if (!new_comer || v.known != r->same || typist_same(&a, &b) != r->same ||
            typist_same(&b, &a) != r->same) {
            fail_msg("%s", r->name);
        }
        typist_table_destroy(t);
    }
    typist_table_destroy(NULL);
}

/* Types text key by key, every 150 ms, from `from` code points on; returns the last verdict. */
static struct typist_verdict type(struct typist_table *t, enum who who, const char *text,
                                  size_t from, usec_t *now)
{
    struct typist_verdict v = {0};
    for (size_t len = from; len <= strlen(text); len++) {
        char part[256];
        memcpy(part, text, len);
        part[len] = '\0';
        struct typist_arrival a = arrival(who, 1, part, *now);
        v = typist_note(t, &a);
        *now += 150 * USEC_PER_MS;
    }
    return v;
}

static void keys_are_held_and_a_lone_request_is_not(void **state)
{
    (void)state;
    struct typist_table *t = typist_table_create();
    usec_t now = USEC_PER_S;
    struct typist_verdict v = type(t, ANN, "H", 1, &now);
    assert_true(v.lone);
    assert_int_equal(typist_window(&v, USEC_PER_S, 0), 0);
    v = type(t, ANN, "Hello", 2, &now);
    assert_false(v.lone);
    assert_int_equal(v.rhythm, 150 * USEC_PER_MS);
    now += 5 * USEC_PER_S; /* a pause: the next key is held again */
    v = type(t, ANN, "Hello a", 7, &now);
    assert_false(v.lone);
    now += 11 * USEC_PER_S; /* forgotten: alone again */
    v = type(t, ANN, "Hello and", 9, &now);
    assert_true(v.lone);
    typist_table_destroy(t);
}

static void an_editor_that_waits_a_second_is_never_held(void **state)
{
    (void)state;
    struct typist_table *t = typist_table_create();
    static const char *const texts[] = {"How", "How do I", "How do I make", "How do I make bread"};
    for (size_t i = 0; i < 4; i++) {
        struct typist_arrival a = arrival(ANN, 0, texts[i], (usec_t)(i + 1) * 1200 * USEC_PER_MS);
        struct typist_verdict v = typist_note(t, &a);
        assert_true(v.lone);
    }
    typist_table_destroy(t);
}

static void the_window_grows_with_the_latency(void **state)
{
    (void)state;
    struct typist_verdict v = {.rhythm = 100 * USEC_PER_MS};
    usec_t before = typist_window(&v, 0, 0);
    assert_int_equal(before, 160 * USEC_PER_MS);
    for (usec_t latency = 100 * USEC_PER_MS; latency < 100 * USEC_PER_S; latency *= 2) {
        usec_t window = typist_window(&v, latency, 0);
        assert_true(window >= before && window <= 600 * USEC_PER_MS);
        before = window;
    }
    assert_true(before >= 590 * USEC_PER_MS);
    assert_int_equal(typist_window(&v, 100 * USEC_PER_S, 590 * USEC_PER_MS) / 10000, 0);
    assert_int_equal(typist_window(&v, USEC_PER_S, USEC_PER_S), 0);
    v.rhythm = 900 * USEC_PER_MS;
    assert_int_equal(typist_window(&v, 10 * USEC_PER_S, 0), USEC_PER_S); /* the bound */
    v.rhythm = 0;
    assert_true(typist_window(&v, -1, 0) > 0); /* nothing known: something in the middle */
}

static void a_run_of_keys_is_one_typists(void **state)
{
    (void)state;
    struct typist_table *t = typist_table_create();
    usec_t now = USEC_PER_S;
    struct typist_verdict first = type(t, ANN, "T", 1, &now);
    assert_int_not_equal(first.run, 0);
    struct typist_verdict v = type(t, ANN, "Tel", 2, &now);
    assert_false(v.settled); /* two keys more are not enough */
    v = type(t, ANN, "Tell", 4, &now);
    assert_true(v.settled);
    assert_int_equal(v.run, first.run);
    v = type(t, ANN, "Tel", 3, &now); /* a deletion belongs to it */
    assert_true(v.settled);
    v = type(t, ANN, "Tell me", 7, &now); /* a jump does not */
    assert_false(v.settled);
    assert_int_not_equal(v.run, first.run);
    now += USEC_PER_S; /* nor does what comes after a pause */
    uint64_t run = v.run;
    v = type(t, ANN, "Tell me ", 8, &now);
    assert_int_not_equal(v.run, run);
    v = type(t, SHARED_KEY, "Tell me more", 1, &now); /* a shared key: of several users perhaps */
    assert_int_equal(v.run, 0);
    assert_false(v.settled);
    typist_table_destroy(t);
}

static void another_persons_key_in_between_breaks_no_run(void **state)
{
    (void)state;
    struct typist_table *t = typist_table_create();
    struct typist_verdict ann = {0};
    for (size_t len = 1; len <= 6; len++) {
        static const char a[] = "abcdef", b[] = "uvwxyz";
        struct typist_arrival x = arrival(ANN, 1, a, (usec_t)len * 200000);
        struct typist_arrival y = arrival(BOB, 1, b, (usec_t)len * 200000 + 50000);
        x.text.len = y.text.len = len;
        ann = typist_note(t, &x);
        struct typist_verdict bob = typist_note(t, &y);
        assert_int_not_equal(ann.run, bob.run);
    }
    assert_true(ann.settled);
    typist_table_destroy(t);
}

static void looking_changes_nothing(void **state)
{
    (void)state;
    struct typist_table *t = typist_table_create();
    struct typist_arrival a = arrival(ANN, 1, "How do I write a daemon", USEC_PER_S);
    for (int i = 0; i < 3; i++) {
        assert_false(typist_peek(t, &a).known);
    }
    (void)typist_note(t, &a);
    assert_true(typist_peek(t, &a).known);
    typist_table_destroy(t);
}

static void more_people_than_rows_are_bounded(void **state)
{
    (void)state;
    struct typist_table *t = typist_table_create();
    char text[64];
    struct typist_arrival a;
    for (int i = 0; i < 2 * TYPISTS; i++) {
        snprintf(text, sizeof text, "a text of typist number %d", i + 1000);
        a = arrival(ANN, 1, text, (usec_t)(i + 1) * 1000);
        a.person.hi = (uint64_t)i;
        assert_false(typist_note(t, &a).known);
    }
    assert_true(typist_peek(t, &a).known); /* the newest is remembered */
    a.text = SPAN("a text of typist number 1000");
    assert_false(typist_peek(t, &a).known); /* the oldest made room */
    typist_table_destroy(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stories),
        cmocka_unit_test(keys_are_held_and_a_lone_request_is_not),
        cmocka_unit_test(an_editor_that_waits_a_second_is_never_held),
        cmocka_unit_test(the_window_grows_with_the_latency),
        cmocka_unit_test(a_run_of_keys_is_one_typists),
        cmocka_unit_test(another_persons_key_in_between_breaks_no_run),
        cmocka_unit_test(looking_changes_nothing),
        cmocka_unit_test(more_people_than_rows_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
