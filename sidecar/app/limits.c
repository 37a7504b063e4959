/* limits.c: what the process allows itself, and whether its surroundings allow what it wants. */
#include "app/app_priv.h"

#include "lull/base/log.h"
#include "lull/base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

static const uint64_t SPARE_FDS = 64; /* listeners, LMDB, control, logs, upstream connections */

void app_harden(void)
{
    umask(077);
    signal(SIGPIPE, SIG_IGN);
#ifdef __linux__
    /* request bodies and keys are in memory: no core dumps, no ptrace by others */
    (void)prctl(PR_SET_DUMPABLE, 0);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
#endif
}

void app_fit_connections(struct settings *settings)
{
    uint64_t fds = os_raise_fd_limit();
    /* each connection may need another one to a model server */
    uint64_t spare = fds / 2 < SPARE_FDS ? fds / 2 : SPARE_FDS;
    uint64_t most = fds > 4 ? (fds - spare) / 2 : 1;
    if ((uint64_t)settings->server.max_connections > most) {
        log_warn("app", "max_connections lowered from %lld to %llu: the limit is %llu descriptors",
                 (long long)settings->server.max_connections, (unsigned long long)most,
                 (unsigned long long)fds);
        settings->server.max_connections = (int64_t)most;
    }
}

/* Whether another daemon holds the directory's lock file (path/store takes it). */
static bool is_locked(const char *dir, char *why, size_t why_size)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/lull.lock", dir);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool locked = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0;
    if (fd >= 0) {
        close(fd);
    }
    if (locked) {
        snprintf(why, why_size, "data_dir %s is in use by another lulld; give this one its own",
                 dir);
    }
    return locked;
}

bool app_data_dir_usable(const char *dir, char *why, size_t why_size)
{
    struct stat st;
    if (os_mkdirs(dir, 0700) != ERR_OK && errno != EEXIST) {
        snprintf(why, why_size, "data_dir %s cannot be made; try: mkdir -p %s && chown %u %s", dir,
                 dir, (unsigned)geteuid(), dir);
        return false;
    }
    if (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode)) {
        snprintf(why, why_size, "data_dir %s is not a directory", dir);
        return false;
    }
    if (access(dir, R_OK | W_OK | X_OK) != 0) {
        snprintf(why, why_size, "data_dir %s cannot be written; try: chown -R %u %s", dir,
                 (unsigned)geteuid(), dir);
        return false;
    }
    return !is_locked(dir, why, why_size);
}
