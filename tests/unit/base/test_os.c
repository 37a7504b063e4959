/* test_os.c: base/os.h: what the system is asked. */
#include "support/check.h"

#include "lull/base/os.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static void open_descriptors_are_counted(void **state)
{
    (void)state;
    int fds[10];
    uint64_t before = os_open_fds();
    assert_true(before >= 3);
    for (size_t i = 0; i < 10; i++) {
        fds[i] = open("/dev/null", O_RDONLY);
        assert_true(fds[i] >= 0);
    }
    assert_int_equal(os_open_fds(), before + 10);
    for (size_t i = 0; i < 10; i++) {
        close(fds[i]);
    }
    assert_int_equal(os_open_fds(), before);
}

/* One fcntl() for each descriptor that the limit allows makes 20 million of them here. */
static void counting_does_not_depend_on_the_limit(void **state)
{
    (void)state;
    if (os_raise_fd_limit() < 20000 || access("/proc/self/fd", R_OK) != 0) {
        skip();
    }
    clock_t began = clock();
    for (size_t i = 0; i < 1000; i++) {
        assert_true(os_open_fds() >= 3);
    }
    assert_true(clock() - began < CLOCKS_PER_SEC);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_descriptors_are_counted),
        cmocka_unit_test(counting_does_not_depend_on_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
