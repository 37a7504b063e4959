/* child.h: runs code that may abort in a process of its own. */
#ifndef TESTS_SUPPORT_CHILD_H
#define TESTS_SUPPORT_CHILD_H

#include "support/check.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Returns its status, as waitpid() has it; it exits with what run returns. out gets what it wrote to
 * standard error, terminated and cut at size. */
static inline int child_run(int (*run)(void *arg), void *arg, char *out, size_t size)
{
    int said[2], status = 0;
    size_t len = 0;
    assert_int_equal(pipe(said), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        signal(SIGABRT, SIG_DFL);
        dup2(said[1], STDERR_FILENO);
        _exit(run(arg));
    }
    close(said[1]);
    for (ssize_t n = 1; n > 0 && len + 1 < size; len += n > 0 ? (size_t)n : 0) {
        n = read(said[0], out + len, size - 1 - len);
    }
    out[len] = '\0';
    close(said[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static inline bool child_aborted(int status)
{
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

#endif
