/* test_err.c: what stops the program: a broken invariant and a small allocation without memory. */
#include "support/child.h"

#include "lull/base/err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* An emulator can say more of a signal behind it. */
static void assert_begins(const char *said, const char *line)
{
    if (strncmp(said, line, strlen(line)) != 0) {
        fail_msg("\"%s\" instead of \"%s\"", said, line);
    }
}

static int require_something_false(void *unused)
{
    (void)unused;
    require_failed("1 == 2", "some/file.c", 4070);
    return 0;
}

static int require_at_line_0(void *unused)
{
    (void)unused;
    require_failed("x", "f", 0);
    return 0;
}

static int require_an_error_to_be_none(void *unused)
{
    (void)unused;
    require_ok(ERR_FULL);
    return 0;
}

static int have_nothing(void *unused)
{
    (void)unused;
    (void)mem_have(NULL);
    return 0;
}

static void assert_aborts(int (*run)(void *unused), char *out, size_t size)
{
    assert_true(child_aborted(child_run(run, NULL, out, size)));
}

static void what_must_hold_is_said_with_its_place(void **state)
{
    char said[256];
    (void)state;
    assert_aborts(require_something_false, said, sizeof said);
    assert_begins(said, "lull: broken invariant: 1 == 2 at some/file.c:4070\n");
    assert_aborts(require_at_line_0, said, sizeof said);
    assert_begins(said, "lull: broken invariant: x at f:0\n");
    assert_aborts(require_an_error_to_be_none, said, sizeof said);
    assert_non_null(strstr(said, "broken invariant: ERR_FULL at "));
    assert_aborts(have_nothing, said, sizeof said);
    assert_non_null(strstr(said, "broken invariant: memory for a small allocation at "));
}

static void small_allocations_are_zeroed_at_every_size(void **state)
{
    (void)state;
    for (size_t size = 0; size < 5000; size += size < 1100 ? 1 : 97) {
        unsigned char *p = mem_new(size);
        assert_non_null(p);
        for (size_t i = 0; i < size; i++) {
            assert_int_equal(p[i], 0);
        }
        memset(p, 0xa5, size);
        free(p);
    }
}

static void every_errno_has_a_code(void **state)
{
    static const struct {
        int errnum;
        enum err e;
    } rows[] = {{ENOMEM, ERR_NOMEM},   {ENOSPC, ERR_FULL},      {EDQUOT, ERR_FULL},
                {EFBIG, ERR_FULL},     {EACCES, ERR_PERM},      {EPERM, ERR_PERM},
                {EINVAL, ERR_INVALID}, {ENOENT, ERR_NOT_FOUND}, {EIO, ERR_IO}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(err_from_errno(rows[i].errnum), rows[i].e);
    }
    assert_string_equal(err_name((enum err)1000), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_must_hold_is_said_with_its_place),
        cmocka_unit_test(small_allocations_are_zeroed_at_every_size),
        cmocka_unit_test(every_errno_has_a_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
