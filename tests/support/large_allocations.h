/* large_allocations.h: under the sanitizers an allocation that is too large fails as it does without. */
#ifndef TESTS_SUPPORT_LARGE_ALLOCATIONS_H
#define TESTS_SUPPORT_LARGE_ALLOCATIONS_H

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

#endif
