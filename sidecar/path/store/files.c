/* files.c: the files around the database: the lock, the marks, setting aside.
 *
 *   data.mdb, lock.mdb   LMDB's own
 *   lull.lock            held with flock() while the daemon lives: two daemons never share a
 * directory crashed              left by a fatal signal: the next open sets data.mdb aside unsynced
 * durability = os: the boot id; if it is still there in another boot, the machine went down while
 * pages were not on disk: data.mdb is set aside
 */
#include "path/store/store_priv.h"

#include "lull/base/log.h"
#include "lull/base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static void path_of(char *out, size_t size, const char *dir, const char *name)
{
    snprintf(out, size, "%s/%s", dir, name);
}

void files_set_aside(const char *dir, const char *why)
{
    char from[4200], to[4200];
    path_of(from, sizeof from, dir, "data.mdb");
    path_of(to, sizeof to, dir, "data.mdb.bad");
    log_error("store", "%s: %s is set aside as data.mdb.bad; the cache begins anew", why, from);
    (void)rename(from, to);
    path_of(from, sizeof from, dir, "lock.mdb");
    (void)unlink(from);
}

static bool read_boot_id(char *out, size_t size)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);
    if (fd >= 0) {
        close(fd);
    }
    out[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static bool read_small(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);
    if (fd >= 0) {
        close(fd);
    }
    out[n > 0 ? n : 0] = '\0';
    return n >= 0;
}

static enum err take_lock(struct store *s, char *why, size_t why_size)
{
    char path[4200], pid[32] = "";
    path_of(path, sizeof path, s->dir, "lull.lock");
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0) {
        int errnum = errno;
        snprintf(why, why_size, "%s cannot be written (%s); try: chown -R %u %s", s->dir,
                 strerror(errnum), (unsigned)geteuid(), s->dir);
        return err_from_errno(errnum);
    }
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        (void)read_small(path, pid, sizeof pid);
        snprintf(why, why_size, "%s is in use by another lulld%s%s; give this one its own data_dir",
                 s->dir, pid[0] == '\0' ? "" : ", pid ", pid);
        return ERR_BUSY;
    }
    int n = snprintf(pid, sizeof pid, "%ld", (long)getpid());
    if (ftruncate(s->lock_fd, 0) == 0) {
        ssize_t written = pwrite(s->lock_fd, pid, (size_t)n, 0);
        (void)written;
    }
    return ERR_OK;
}

static void heed_marks(const struct store *s)
{
    char path[4200], was[64], now[64];
    path_of(path, sizeof path, s->dir, "crashed");
    if (access(path, F_OK) == 0) {
        files_set_aside(s->dir, "the last run ended with a fatal signal");
        unlink(path);
    }
    path_of(path, sizeof path, s->dir, "unsynced");
    if (read_small(path, was, sizeof was)) {
        if (!read_boot_id(now, sizeof now) || strcmp(was, now) != 0) {
            files_set_aside(s->dir, "the machine went down before the cache was on disk");
        }
        unlink(path);
    }
}

enum err files_prepare(struct store *s, char *why, size_t why_size)
{
    struct stat st;
    enum err e = os_mkdirs(s->dir, 0700);
    if (e != ERR_OK) {
        snprintf(why, why_size, "%s cannot be made (%s); try: mkdir -p %s && chown %u %s", s->dir,
                 err_name(e), s->dir, (unsigned)geteuid(), s->dir);
        return e;
    }
    if (stat(s->dir, &st) != 0 || !S_ISDIR(st.st_mode)) {
        snprintf(why, why_size, "%s is not a directory", s->dir);
        return ERR_IO;
    }
    e = take_lock(s, why, why_size);
    if (e == ERR_OK) {
        heed_marks(s);
    }
    return e;
}

void files_mark_open(const struct store *s)
{
    char path[4200], id[64];
    if (s->options.sync || !read_boot_id(id, sizeof id)) {
        return;
    }
    path_of(path, sizeof path, s->dir, "unsynced");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0) {
        ssize_t n = write(fd, id, strlen(id));
        (void)n;
        (void)fsync(fd);
        close(fd);
    }
}

void files_mark_closed(const struct store *s)
{
    char path[4200];
    path_of(path, sizeof path, s->dir, "unsynced");
    (void)unlink(path);
}

bool files_too_short(const struct store *s)
{
    char path[4200];
    struct stat st;
    MDB_envinfo info;
    path_of(path, sizeof path, s->dir, "data.mdb");
    if (stat(path, &st) != 0 || mdb_env_info(s->env, &info) != 0) {
        return true;
    }
    MDB_stat shape;
    size_t page = mdb_env_stat(s->env, &shape) == 0 ? shape.ms_psize : STORE_PAGE;
    return (uint64_t)st.st_size < ((uint64_t)info.me_last_pgno + 1) * page;
}

/* ---- the mark of a fatal signal ---- */

/* A signal handler knows nothing but what is static. Written once, before the handlers are set. */
static char crash_mark[4200];

static void on_fatal(int signo)
{
    int fd = open(crash_mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0) {
        close(fd);
    }
    /* SA_RESETHAND has put the default action back */
    raise(signo);
}

void files_install_crash_mark(const char *dir)
{
    static const int signals[] = {SIGBUS, SIGSEGV, SIGABRT};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_fatal;
    action.sa_flags = (int)(SA_RESETHAND | SA_NODEFER);
    path_of(crash_mark, sizeof crash_mark, dir, "crashed");
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        (void)sigaction(signals[i], &action, NULL);
    }
}
