/* limits.c: what the process allows itself, and how many connections its surroundings allow. */
#include "app/app_priv.h"

#include "lull/base/os.h"

#include <signal.h>
#include <sys/stat.h>

static const uint64_t SPARE_FDS = 64; /* listeners, LMDB, control, logs, upstream connections */

void app_harden(void)
{
    umask(077);
    signal(SIGPIPE, SIG_IGN);
    os_no_new_privileges();
}

int64_t app_most_connections(void)
{
    uint64_t fds = os_raise_fd_limit();
    /* each connection may need another one to a model server */
    uint64_t spare = fds / 2 < SPARE_FDS ? fds / 2 : SPARE_FDS;
    uint64_t most = fds > 4 ? (fds - spare) / 2 : 1;
    return most < INT64_MAX ? (int64_t)most : INT64_MAX;
}
