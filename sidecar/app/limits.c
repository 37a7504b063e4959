/* limits.c: what the process allows itself, and how many connections its surroundings allow. */
#include "app/app_priv.h"

#include "lull/base/os.h"

#include <signal.h>
#include <sys/stat.h>

static const uint64_t SPARE_FDS = 64; /* listeners, LMDB, control, logs, upstream connections */

/* A log that cannot be written, a file at its limit (RLIMIT_FSIZE) and a terminal that stops background
 * jobs which write (stty tostop) are errors of that write, and no end. */
static const int ignored[] = {SIGPIPE, SIGXFSZ, SIGTTOU, SIGHUP, SIGUSR1};

void app_harden(void)
{
    sigset_t later;
    umask(077);
    os_no_new_privileges();
    for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++) {
        signal(ignored[i], SIG_IGN); /* the last two: before the loop has its handlers, and after */
    }
    sigemptyset(&later);
    sigaddset(&later, SIGHUP);
    sigaddset(&later, SIGUSR1);
    sigprocmask(SIG_SETMASK, &later, NULL);
}

void app_take_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

int64_t app_most_connections(void)
{
    uint64_t fds = os_raise_fd_limit();
    /* each connection may need another one to a model server */
    uint64_t spare = fds / 2 < SPARE_FDS ? fds / 2 : SPARE_FDS;
    uint64_t most = fds > 4 ? (fds - spare) / 2 : 1;
    return most < INT64_MAX ? (int64_t)most : INT64_MAX;
}
