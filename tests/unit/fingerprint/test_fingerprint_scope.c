/* test_fingerprint_scope.c: which requests share answers under which rule, and that the memo never
 * answers for another.
 */
#include "lull/path/fingerprint/fingerprint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static struct scope plain(enum scope_rule rule, struct span auth, struct span user)
{
    return scope_of(rule, auth, user, NULL);
}

static bool shares(enum scope_rule rule, struct span auth1, struct span user1, struct span auth2,
                   struct span user2)
{
    struct scope a = plain(rule, auth1, user1);
    struct scope b = plain(rule, auth2, user2);
    return memcmp(a.digest, b.digest, sizeof a.digest) == 0;
}

#define KEY SPAN("Bearer k")
#define OTHER_KEY SPAN("Bearer l")
#define ADA SPAN("ada")
#define BOB SPAN("bob")
#define EMPTY span_make("", 0)

static void test_auto_is_authorization_and_user(void **state)
{
    (void)state;
    assert_true(shares(SCOPE_AUTO, KEY, ADA, KEY, ADA));
    assert_false(shares(SCOPE_AUTO, KEY, ADA, KEY, BOB));
    assert_false(shares(SCOPE_AUTO, KEY, ADA, OTHER_KEY, ADA));
    assert_false(shares(SCOPE_AUTO, KEY, ADA, KEY, SPAN_NONE));
    assert_true(shares(SCOPE_AUTO, KEY, SPAN_NONE, KEY, EMPTY)); /* a header without a value */
    assert_false(shares(SCOPE_AUTO, SPAN_NONE, SPAN_NONE, EMPTY, SPAN_NONE));
    assert_true(plain(SCOPE_AUTO, KEY, ADA).one_user);
    assert_false(plain(SCOPE_AUTO, KEY, SPAN_NONE).one_user);
    assert_false(plain(SCOPE_AUTO, KEY, EMPTY).one_user);
    assert_true(plain(SCOPE_AUTO, KEY, SPAN_NONE).usable);
    assert_true(plain(SCOPE_AUTO, SPAN_NONE, SPAN_NONE).usable);
}

static void test_user_needs_a_user(void **state)
{
    (void)state;
    assert_true(plain(SCOPE_USER, KEY, ADA).usable);
    assert_true(plain(SCOPE_USER, KEY, ADA).one_user);
    assert_false(plain(SCOPE_USER, KEY, SPAN_NONE).usable);
    assert_false(plain(SCOPE_USER, KEY, EMPTY).usable);
    assert_false(shares(SCOPE_USER, KEY, ADA, KEY, BOB));
    assert_false(shares(SCOPE_USER, KEY, ADA, OTHER_KEY, ADA));
}

static void test_auth_and_shared(void **state)
{
    (void)state;
    assert_true(shares(SCOPE_AUTH, KEY, ADA, KEY, BOB));
    assert_false(shares(SCOPE_AUTH, KEY, ADA, OTHER_KEY, ADA));
    assert_false(plain(SCOPE_AUTH, KEY, ADA).one_user);
    assert_true(shares(SCOPE_SHARED, KEY, ADA, OTHER_KEY, BOB));
    assert_true(shares(SCOPE_SHARED, KEY, ADA, SPAN_NONE, SPAN_NONE));
    assert_false(plain(SCOPE_SHARED, KEY, ADA).one_user);
    assert_true(plain(SCOPE_SHARED, SPAN_NONE, SPAN_NONE).usable);
}

static void test_parts_cannot_be_shifted(void **state)
{
    (void)state;
    assert_false(shares(SCOPE_AUTO, SPAN("ab"), SPAN("c"), SPAN("a"), SPAN("bc")));
    assert_false(shares(SCOPE_AUTO, SPAN("ab"), SPAN_NONE, SPAN("a"), SPAN("b")));
}

static void test_rules_do_not_share(void **state)
{
    (void)state;
    static const enum scope_rule rules[] = {SCOPE_AUTO, SCOPE_USER, SCOPE_AUTH, SCOPE_SHARED};
    for (int i = 0; i < 4; i++) {
        for (int j = i + 1; j < 4; j++) {
            struct scope a = plain(rules[i], KEY, ADA);
            struct scope b = plain(rules[j], KEY, ADA);
            assert_memory_not_equal(a.digest, b.digest, sizeof a.digest);
        }
    }
}

static void test_memo_never_answers_for_another(void **state)
{
    (void)state;
    const struct span auths[] = {SPAN_NONE,         EMPTY, KEY, OTHER_KEY, SPAN("Bearer ka"),
                                 SPAN("Bearer kad")};
    const struct span users[] = {SPAN_NONE, EMPTY, ADA, BOB, SPAN("da"), SPAN("a")};
    static const enum scope_rule rules[] = {SCOPE_AUTO, SCOPE_USER, SCOPE_AUTH, SCOPE_SHARED};
    struct scope_memo memo = {0};
    for (int round = 0; round < 2; round++) {
        for (size_t n = 0; n < 6 * 6 * 4; n++) {
            enum scope_rule rule = rules[n % 4];
            struct span auth = auths[n / 4 % 6];
            struct span user = users[n / 24];
            for (int repeat = 0; repeat < 2; repeat++) {
                struct scope got = scope_of(rule, auth, user, &memo);
                struct scope want = plain(rule, auth, user);
                assert_memory_equal(got.digest, want.digest, sizeof got.digest);
                assert_int_equal(got.one_user, want.one_user);
                assert_int_equal(got.usable, want.usable);
            }
        }
    }
}

/* Of every length around what a memo holds: values that differ in their last byte only. */
static void test_memo_of_long_values(void **state)
{
    (void)state;
    char auth[2][SCOPE_MEMO_TEXT + 8], user[2][8];
    memset(auth, 'a', sizeof auth);
    memset(user, 'u', sizeof user);
    struct scope_memo memo = {0};
    for (size_t len = SCOPE_MEMO_TEXT - 8; len < SCOPE_MEMO_TEXT + 8; len++) {
        for (size_t more = 1; more < sizeof user[0]; more++) {
            auth[1][len - 1] = 'b';
            user[1][more - 1] = 'v';
            for (int i = 0; i < 4; i++) { /* one of them changes */
                struct span a = span_make(auth[(i + 1) / 2 % 2], len),
                            u = span_make(user[i / 2], more);
                struct scope got = scope_of(SCOPE_AUTO, a, u, &memo);
                struct scope want = plain(SCOPE_AUTO, a, u);
                assert_memory_equal(got.digest, want.digest, sizeof got.digest);
            }
            auth[1][len - 1] = 'a';
            user[1][more - 1] = 'u';
        }
    }
}

static void test_scope_is_shown_by_its_first_bytes(void **state)
{
    (void)state;
    struct scope scope = {.digest = {0x01, 0xfe, 0x90, 0x0a, 0x55}};
    char out[SCOPE_SHOWN + 1];
    scope_show(&scope, out);
    assert_string_equal(out, "01fe900a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_auto_is_authorization_and_user),
        cmocka_unit_test(test_user_needs_a_user),
        cmocka_unit_test(test_auth_and_shared),
        cmocka_unit_test(test_parts_cannot_be_shifted),
        cmocka_unit_test(test_rules_do_not_share),
        cmocka_unit_test(test_memo_never_answers_for_another),
        cmocka_unit_test(test_memo_of_long_values),
        cmocka_unit_test(test_scope_is_shown_by_its_first_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
