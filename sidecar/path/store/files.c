/* files.c: the files around the database.
 *
 *   data.mdb, lock.mdb  LMDB's own
 *   data.mdb.bad        a damaged file, or one of another format, that was set aside; one is kept
 *   data.mdb.new        a compacted copy that is not renamed to data.mdb yet
 *   lull.lock           held with flock() while the daemon runs, so that two daemons never share a
 *                       directory; its text is the process id
 *   crashed             made by a fatal signal inside the store: the next start sets data.mdb aside
 *   unsynced            durability = os: the boot id. If it is there in another boot, the machine
 *                       went down with pages not on disk: the start sets data.mdb aside
 *   probe               written to find out whether the disk takes data, and removed
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
    log_error("store", "%s: %s is set aside as data.mdb.bad; the cache begins empty", why, from);
    (void)rename(from, to);
    path_of(from, sizeof from, dir, "lock.mdb");
    (void)unlink(from);
}

const char *files_reason(int code)
{
    switch (code) {
    case ENOSPC:
        return "the disk is full";
    case EDQUOT:
        return "the disk quota is used up";
    case EFBIG:
        return "its file is at the limit of file sizes (ulimit -f, LimitFSIZE=)";
    case EMFILE:
        return "the limit of descriptors is reached (ulimit -n, LimitNOFILE=)";
    case EROFS:
        return "the file system is read-only";
    case ENODEV:
        return "its file system has no shared memory maps; put data_dir on a local file system";
    case ENOLCK:
        return "its file system has no locks; put data_dir on a local file system";
    default:
        return mdb_strerror(code);
    }
}

enum err files_explain(const char *dir, int errnum, char *why, size_t why_size)
{
    enum err e = err_from_errno(errnum);
    if (e == ERR_FULL) {
        snprintf(why, why_size, "%s", files_reason(errnum));
    } else if (errnum == EACCES || errnum == EPERM) {
        snprintf(why, why_size, "%s cannot be written (%s); try: chown -R %u %s", dir,
                 strerror(errnum), (unsigned)geteuid(), dir);
    } else {
        snprintf(why, why_size, "%s cannot be written: %s", dir, files_reason(errnum));
    }
    return e;
}

bool store_files_usable(const char *dir, char *why, size_t why_size)
{
    static const char *const names[] = {"data.mdb", "lock.mdb", "lull.lock"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[4200];
        struct stat st;
        path_of(path, sizeof path, dir, names[i]);
        if (stat(path, &st) != 0) {
            continue;
        }
        if (!S_ISREG(st.st_mode)) {
            snprintf(why, why_size, "%s is no file", path);
            return false;
        }
        if (access(path, R_OK | W_OK) != 0) {
            (void)files_explain(dir, errno, why, why_size);
            return false;
        }
    }
    return true;
}

enum err files_lock_failed(const char *dir, int errnum, const char *pid, char *why, size_t why_size)
{
    if (errnum == EWOULDBLOCK) {
        snprintf(why, why_size, "%s is in use by another lulld%s%s; give this one its own data_dir",
                 dir, pid[0] == '\0' ? "" : ", pid ", pid);
        return ERR_BUSY;
    }
    snprintf(why, why_size, "%s cannot be locked (%s); put data_dir on a local file system", dir,
             strerror(errnum));
    return ERR_IO;
}

static enum err take_lock(struct store *s, char *why, size_t why_size)
{
    char path[4200], pid[32] = "";
    path_of(path, sizeof path, s->dir, "lull.lock");
    s->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (s->lock_fd < 0) {
        return files_explain(s->dir, errno, why, why_size);
    }
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        int errnum = errno;
        (void)os_read_text(path, pid, sizeof pid);
        return files_lock_failed(s->dir, errnum, pid, why, why_size);
    }
    int n = snprintf(pid, sizeof pid, "%ld", (long)getpid());
    if (ftruncate(s->lock_fd, 0) == 0) {
        ssize_t written = pwrite(s->lock_fd, pid, (size_t)n, 0);
        (void)written;
    }
    return ERR_OK;
}

/* Sets data.mdb aside if an earlier run left a mark. */
static void apply_marks(const struct store *s)
{
    char path[4200], was[64], now[64];
    path_of(path, sizeof path, s->dir, "crashed");
    if (access(path, F_OK) == 0) {
        files_set_aside(s->dir, "the last run ended with a fatal signal");
        unlink(path);
    }
    path_of(path, sizeof path, s->dir, "unsynced");
    if (os_read_text(path, was, sizeof was)) {
        if (!os_boot_id(now, sizeof now) || strcmp(was, now) != 0) {
            files_set_aside(s->dir, "the machine went down before the cache was on disk");
        }
        unlink(path);
    }
}

enum err files_prepare(struct store *s, char *why, size_t why_size)
{
    struct stat st;
    enum err e = os_mkdirs(s->dir, 0700);
    if (e == ERR_FULL) {
        return files_explain(s->dir, ENOSPC, why, why_size);
    }
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
        apply_marks(s);
    }
    return e;
}

/* Syncs the directory: a new file or name is on the disk then. */
static bool sync_dir(const struct store *s)
{
    int fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

void files_mark_open(const struct store *s)
{
    char path[4200], id[64];
    if (s->options.sync || !os_boot_id(id, sizeof id)) {
        return;
    }
    path_of(path, sizeof path, s->dir, "unsynced");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0) {
        ssize_t n = write(fd, id, strlen(id));
        (void)n;
        (void)fsync(fd);
        close(fd);
        (void)sync_dir(s);
    }
}

void files_mark_closed(const struct store *s)
{
    char path[4200];
    path_of(path, sizeof path, s->dir, "unsynced");
    (void)unlink(path);
}

/* How many of these pages LMDB lists as free: its table 0 has lists of their numbers, each with its
 * length in front. */
static uint64_t count_free(const struct store *s, uint64_t from, uint64_t to)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    MDB_val key, list;
    uint64_t found = 0;
    if (mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn) != 0) {
        return 0;
    }
    int rc = mdb_cursor_open(txn, 0, &cursor);
    while (rc == 0 && (rc = mdb_cursor_get(cursor, &key, &list, MDB_NEXT)) == 0) {
        const size_t *numbers = list.mv_data;
        size_t count = list.mv_size >= sizeof *numbers ? numbers[0] : 0;
        for (size_t i = 1; i <= count && i < list.mv_size / sizeof *numbers; i++) {
            found += numbers[i] >= from && numbers[i] < to ? 1 : 0;
        }
    }
    if (cursor != NULL) {
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return found;
}

/* LMDB does not write pages at the end that the same transaction has freed again: a sound file may
 * lack them. The file is made longer before the lists of free pages are read, since a list may stand
 * in what is missing, and to read that would be a SIGBUS. */
int files_complete_tail(const struct store *s)
{
    char path[4200];
    struct stat st;
    MDB_envinfo info;
    path_of(path, sizeof path, s->dir, "data.mdb");
    if (stat(path, &st) != 0 || mdb_env_info(s->env, &info) != 0) {
        return MDB_CORRUPTED;
    }
    MDB_stat shape;
    size_t page = mdb_env_stat(s->env, &shape) == 0 ? shape.ms_psize : STORE_PAGE;
    uint64_t there = (uint64_t)st.st_size / page, used = (uint64_t)info.me_last_pgno + 1;
    if (there >= used) {
        return 0;
    }
    bool whole =
        truncate(path, (off_t)(used * page)) == 0 && count_free(s, there, used) >= used - there;
    return whole ? 0 : MDB_CORRUPTED;
}

/* LMDB gives lock.mdb a length and no blocks, and writes to it through a map: on a full disk that is a
 * SIGBUS and no error. So the blocks are taken before. A file that has none is new, or was left by
 * such a signal. */
int files_reserve_lock(const struct store *s)
{
    enum { LOCK_BYTES = 8192 }; /* for the 126 readers that LMDB provides for */
    static const char zeros[LOCK_BYTES];
    char path[4200];
    struct stat st;
    path_of(path, sizeof path, s->dir, "lock.mdb");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int errnum = fd < 0 || fstat(fd, &st) != 0 ? errno : 0;
    if (errnum == 0 && st.st_blocks == 0) {
        ssize_t n = pwrite(fd, zeros, sizeof zeros, 0);
        errnum = n < 0 ? errno : n < LOCK_BYTES ? ENOSPC : 0;
    }
    if (fd >= 0) {
        close(fd);
    }
    return errnum;
}

/* ---- data.mdb itself ---- */

int64_t files_size(const struct store *s)
{
    char path[4200];
    struct stat st;
    path_of(path, sizeof path, s->dir, "data.mdb");
    return stat(path, &st) == 0 ? (int64_t)st.st_size : 0;
}

void files_remember(struct store *s)
{
    char path[4200];
    struct stat st;
    path_of(path, sizeof path, s->dir, "data.mdb");
    if (stat(path, &st) == 0) {
        s->file_dev = st.st_dev;
        s->file_ino = st.st_ino;
    }
}

bool files_gone(const struct store *s)
{
    char path[4200];
    struct stat st;
    path_of(path, sizeof path, s->dir, "data.mdb");
    int rc = stat(path, &st);
    return (rc != 0 && (errno == ENOENT || errno == ENOTDIR)) ||
           (rc == 0 && (st.st_dev != s->file_dev || st.st_ino != s->file_ino));
}

void files_unlink(const struct store *s)
{
    char path[4200];
    path_of(path, sizeof path, s->dir, "data.mdb");
    (void)unlink(path);
}

bool files_compact(struct store *s)
{
    char from[4200], to[4200];
    path_of(from, sizeof from, s->dir, "data.mdb.new");
    path_of(to, sizeof to, s->dir, "data.mdb");
    (void)unlink(from); /* of a start that was killed */
    int fd = open(from, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return false;
    }
    bool whole = mdb_env_copyfd2(s->env, fd, MDB_CP_COMPACT) == 0 && fsync(fd) == 0;
    close(fd);
    whole = whole && rename(from, to) == 0 && sync_dir(s);
    if (!whole) {
        (void)unlink(from);
    }
    return whole;
}

int files_probe(const struct store *s, size_t bytes)
{
    static const char zeros[64 * 1024];
    char path[4200];
    path_of(path, sizeof path, s->dir, "probe");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int errnum = fd < 0 ? errno : 0;
    while (errnum == 0 && bytes > 0) {
        ssize_t n = write(fd, zeros, bytes < sizeof zeros ? bytes : sizeof zeros);
        errnum = n < 0 ? errno : n == 0 ? ENOSPC : 0;
        bytes -= n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0) {
        errnum = errnum == 0 && fsync(fd) != 0 ? errno : errnum;
        close(fd);
        (void)unlink(path);
    }
    return errnum;
}

/* ---- the mark of a fatal signal ----
 *
 * The file can cause a signal in two ways: a fault at an address of the map (the file was cut
 * short, or the disk cannot read it), or any of the three signals in a thread that is inside LMDB
 * or reads a record (damaged pages hold pointers to anywhere, and LMDB's assertions abort). A crash
 * elsewhere says nothing about the file: LMDB's commits survive it.
 */

_Thread_local volatile sig_atomic_t store_at_work;

/* For the signal handler. Written once, before the handlers are set. */
static char crash_mark[4200];
/* The map's first address, and the one behind its last; 0 as the second: no address counts, while
 * the first changes. */
static volatile uintptr_t map_from, map_to;

static bool is_caused_by_file(int signo, const siginfo_t *info)
{
    uintptr_t at = (uintptr_t)info->si_addr;
    bool kernel = info->si_code > 0; /* a fault, not a signal that a process sent */
    return store_at_work > 0 || (signo != SIGABRT && kernel && at >= map_from && at < map_to);
}

static void on_fatal(int signo, siginfo_t *info, void *context)
{
    (void)context;
    if (is_caused_by_file(signo, info)) {
        int fd = open(crash_mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        if (fd >= 0) {
            close(fd);
        }
    }
    /* SA_RESETHAND has put the default action back */
    raise(signo);
}

void files_guard_map(uintptr_t map, size_t size)
{
    map_to = 0;
    map_from = map;
    map_to = map == 0 ? 0 : map + size;
}

void files_install_crash_mark(const char *dir)
{
    static const int signals[] = {SIGBUS, SIGSEGV, SIGABRT};
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fatal;
    action.sa_flags = (int)(SA_RESETHAND | SA_NODEFER | SA_SIGINFO);
    path_of(crash_mark, sizeof crash_mark, dir, "crashed");
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        (void)sigaction(signals[i], &action, NULL);
    }
}
