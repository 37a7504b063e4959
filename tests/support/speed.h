/* speed.h: bounds of CPU time in tests. They tell what is linear from what is quadratic, so they are
 * wide; Valgrind and the sanitizers make a process slower than they are wide.
 */
#ifndef TESTS_SUPPORT_SPEED_H
#define TESTS_SUPPORT_SPEED_H

#include <time.h>

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND 0
#endif
#if defined(__has_feature)
#define SPEED_HAS(feature) __has_feature(feature)
#else
#define SPEED_HAS(feature) 0
#endif

/* How many times slower than usual this process may be. */
static inline int speed_divisor(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return 10;
#else
    return RUNNING_ON_VALGRIND != 0                                                ? 100
           : SPEED_HAS(address_sanitizer) != 0 || SPEED_HAS(thread_sanitizer) != 0 ? 10
                                                                                   : 1;
#endif
}

/* CPU seconds since `began`, as clock() said it, of a process at its usual speed. */
static inline double speed_seconds(clock_t began)
{
    return (double)(clock() - began) / CLOCKS_PER_SEC / speed_divisor();
}

#endif
