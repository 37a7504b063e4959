/* resolver_threads.h: the threads on which libcurl looks names up, run by the test when it says so. Threads of
 * others are what they are.
 *
 * libcurl lets the thread of a call that ends go, and reads the thread's record once more after it has let
 * go of its lock: libcurl 7.88's lib/asyn-thread.c, destroy_async_data(). A thread that ends between the two
 * has freed the record by then. That is as rare as a call that ends while its name is being found, and
 * common in a test that does nothing else.
 */
#ifndef TESTS_SUPPORT_RESOLVER_THREADS_H
#define TESTS_SUPPORT_RESOLVER_THREADS_H

#include "lull/base/err.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

enum { RESOLVERS = 64 };

/* Its pthread_t is its place, from 1 on, which is no address of a thread. */
static struct {
    void *(*fn)(void *arg);
    void *arg;
    bool taken, ran, detached;
} resolvers[RESOLVERS];

static void resolver_run(size_t i)
{
    if (!resolvers[i].ran) {
        resolvers[i].ran = true;
        (void)resolvers[i].fn(resolvers[i].arg);
    }
    resolvers[i].taken = resolvers[i].taken && !resolvers[i].detached;
}

/* Runs the threads that did not run yet. */
static void resolvers_run(void)
{
    for (size_t i = 0; i < RESOLVERS; i++) {
        if (resolvers[i].taken) {
            resolver_run(i);
        }
    }
}

static bool resolver_is(pthread_t thread, size_t *place)
{
    *place = (size_t)thread - 1;
    return *place < RESOLVERS;
}

/* real_FN(): what FN is without this file: a sanitizer's that is linked in, which must know of every
 * thread, else the library's. */
#define RESOLVER_REAL(fn)                                                                          \
    extern __typeof__(fn) sanitizer_##fn __asm__("__interceptor_" #fn) __attribute__((weak));      \
    static __typeof__(&fn) real_##fn(void)                                                         \
    {                                                                                              \
        __typeof__(&fn) real = sanitizer_##fn;                                                     \
        if (real == NULL) {                                                                        \
            void *symbol = dlsym(RTLD_NEXT, #fn);                                                  \
            memcpy(&real, &symbol, sizeof real);                                                   \
        }                                                                                          \
        return real;                                                                               \
    }
RESOLVER_REAL(pthread_create)
RESOLVER_REAL(pthread_join)
RESOLVER_REAL(pthread_detach)

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *arg), void *arg)
{
    void *address;
    Dl_info of;
    memcpy(&address, &fn, sizeof address);
    if (dladdr(address, &of) == 0 || strstr(of.dli_fname, "libcurl") == NULL) {
        return real_pthread_create()(thread, attr, fn, arg);
    }
    size_t i = 0;
    while (i < RESOLVERS && resolvers[i].taken) {
        i++;
    }
    require(i < RESOLVERS);
    resolvers[i].fn = fn;
    resolvers[i].arg = arg;
    resolvers[i].taken = true;
    resolvers[i].ran = resolvers[i].detached = false;
    *thread = (pthread_t)(i + 1);
    return 0;
}

int pthread_join(pthread_t thread, void **result)
{
    size_t i;
    if (!resolver_is(thread, &i)) {
        return real_pthread_join()(thread, result);
    }
    resolver_run(i);
    resolvers[i].taken = false;
    return 0;
}

int pthread_detach(pthread_t thread)
{
    size_t i;
    if (!resolver_is(thread, &i)) {
        return real_pthread_detach()(thread);
    }
    resolvers[i].detached = true;
    resolvers[i].taken = !resolvers[i].ran;
    return 0;
}

#endif
