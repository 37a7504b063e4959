/* os.c: where systems differ. The Linux way first, then what POSIX and the BSDs have, then what macOS
 * alone has. Linux's own calls, and the macros that tell systems apart, stand in this file only
 * (tests/lint/libraries.py).
 */
#include "lull/base/os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum err os_set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        return err_from_errno(errno);
    }
    return ERR_OK;
}

int os_reopen_stderr(void)
{
    struct stat is;
    bool may_block =
        fstat(STDERR_FILENO, &is) == 0 && (S_ISFIFO(is.st_mode) || S_ISCHR(is.st_mode));
    return may_block ? open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC) : -1;
}

void os_fill_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) < 0) {
            (void)open("/", O_RDONLY); /* takes the lowest number */
        }
    }
}

#ifdef __linux__

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/random.h>

static void forbid_looking(void)
{
    (void)prctl(PR_SET_DUMPABLE, 0);
}

int os_accept(int listener)
{
    return accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int os_socket(int domain, int type)
{
    return socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

enum err os_peer_uid(int fd, uid_t *out)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0) {
        return err_from_errno(errno);
    }
    *out = peer.uid;
    return ERR_OK;
}

uint64_t os_received(int fd)
{
    struct tcp_info info = {.tcpi_bytes_received = 0};
    socklen_t len = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 ? info.tcpi_bytes_received : 0;
}

size_t os_unsent(int fd)
{
    int bytes = 0;
    return ioctl(fd, SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

void os_no_new_privileges(void)
{
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

enum err os_random(void *out, size_t len)
{
    size_t have = 0;
    while (have < len) {
        ssize_t n = getrandom((char *)out + have, len - have, 0);
        if (n < 0 && errno != EINTR) {
            return ERR_IO;
        }
        have += n > 0 ? (size_t)n : 0;
    }
    return ERR_OK;
}

bool os_read_text(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, size - 1);
    if (fd >= 0) {
        close(fd);
    }
    out[n > 0 ? n : 0] = '\0';
    return n >= 0;
}

bool os_boot_id(char *out, size_t size)
{
    return os_read_text("/proc/sys/kernel/random/boot_id", out, size) && out[0] != '\0';
}

static uint64_t status_kb(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10) * 1024;
}

void os_rss(uint64_t *anon, uint64_t *file)
{
    char text[4096];
    *anon = 0;
    *file = 0;
    (void)os_read_text("/proc/self/status", text, sizeof text);
    *anon = status_kb(text, "RssAnon:");
    *file = status_kb(text, "RssFile:");
}

/* The size of this folder is the number of open descriptors, since Linux 6.2; before, it is 0 and
 * the entries are counted: ".", ".." and the descriptor that reads the folder are not meant. */
static uint64_t listed_fds(void)
{
    struct stat st;
    if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0) {
        return (uint64_t)st.st_size;
    }
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        return 0;
    }
    uint64_t entries = 0;
    while (readdir(dir) != NULL) {
        entries++;
    }
    closedir(dir);
    return entries > 3 ? entries - 3 : 0;
}

#else

#include <sys/random.h>
static void forbid_looking(void)
{
}

static uint64_t listed_fds(void)
{
    return 0;
}

uint64_t os_received(int fd)
{
    (void)fd;
    return 0;
}

/* The send queue, where a socket tells it (macOS). */
size_t os_unsent(int fd)
{
    int bytes = 0;
#ifdef SO_NWRITE
    socklen_t len = sizeof bytes;
    if (getsockopt(fd, SOL_SOCKET, SO_NWRITE, &bytes, &len) != 0) {
        bytes = 0;
    }
#else
    (void)fd;
#endif
    return bytes > 0 ? (size_t)bytes : 0;
}

static int finish_fd(int fd)
{
    if (fd >= 0 && os_set_nonblocking(fd) != ERR_OK) {
        close(fd);
        return -1;
    }
    return fd;
}

int os_accept(int listener)
{
    return finish_fd(accept(listener, NULL, NULL));
}

int os_socket(int domain, int type)
{
    return finish_fd(socket(domain, type, 0));
}

enum err os_peer_uid(int fd, uid_t *out)
{
    gid_t gid;
    return getpeereid(fd, out, &gid) == 0 ? ERR_OK : err_from_errno(errno);
}

void os_no_new_privileges(void)
{
}

enum err os_random(void *out, size_t len)
{
    enum { AT_ONCE = 256 }; /* what getentropy() gives in one call */
    for (size_t have = 0; have < len; have += AT_ONCE) {
        if (getentropy((char *)out + have, len - have < AT_ONCE ? len - have : AT_ONCE) != 0) {
            return ERR_IO;
        }
    }
    return ERR_OK;
}

#endif

#ifdef __APPLE__

#include <mach/mach.h>
#include <sys/sysctl.h>

bool os_boot_id(char *out, size_t size)
{
    bool known = sysctlbyname("kern.bootsessionuuid", out, &size, NULL, 0) == 0 && size > 1;
    if (!known) {
        out[0] = '\0';
    }
    return known;
}

void os_cond_init(pthread_cond_t *cond)
{
    pthread_cond_init(cond, NULL);
}

bool os_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, mono_t until)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    usec_t left = until.us - ((usec_t)now.tv_sec * USEC_PER_S + now.tv_nsec / 1000);
    struct timespec span = {.tv_sec = left / USEC_PER_S, .tv_nsec = left % USEC_PER_S * 1000};
    return left > 0 && pthread_cond_timedwait_relative_np(cond, mutex, &span) != ETIMEDOUT;
}

const char *os_last_byte(const char *p, char byte, size_t len)
{
    while (len > 0 && p[len - 1] != byte) {
        len--;
    }
    return len > 0 ? p + len - 1 : NULL;
}

void os_rss(uint64_t *anon, uint64_t *file)
{
    struct mach_task_basic_info info;
    mach_msg_type_number_t count = MACH_TASK_BASIC_INFO_COUNT;
    bool known = task_info(mach_task_self(), MACH_TASK_BASIC_INFO, (task_info_t)&info, &count) ==
                 KERN_SUCCESS;
    *anon = known ? info.resident_size : 0;
    *file = 0;
}

#else

const char *os_last_byte(const char *p, char byte, size_t len)
{
    return memrchr(p, byte, len);
}

void os_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

bool os_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, mono_t until)
{
    struct timespec at = {.tv_sec = until.us / USEC_PER_S, .tv_nsec = until.us % USEC_PER_S * 1000};
    return pthread_cond_timedwait(cond, mutex, &at) != ETIMEDOUT;
}

#ifndef __linux__

bool os_boot_id(char *out, size_t size)
{
    out[0] = '\0';
    (void)size;
    return false;
}

void os_rss(uint64_t *anon, uint64_t *file)
{
    *anon = 0;
    *file = 0;
}

#endif
#endif

void os_hide_memory(void)
{
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    forbid_looking();
}

uint64_t os_raise_fd_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return 1024;
    }
    rlim_t soft = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0) {
        soft = limit.rlim_max;
    }
    return (uint64_t)soft;
}

void os_reserve_fds(size_t count)
{
    struct rlimit limit;
    if (count == 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    int fd = open("/", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    size_t most = limit.rlim_cur < INT_MAX ? (size_t)limit.rlim_cur : INT_MAX;
    int high = fcntl(fd, F_DUPFD_CLOEXEC, (int)(count < most ? count : most) - 1);
    if (high >= 0) {
        close(high); /* the table stays as large */
    }
    close(fd);
}

uint64_t os_open_fds(void)
{
    struct rlimit limit;
    uint64_t open_fds = listed_fds();
    if (open_fds > 0) {
        return open_fds;
    }
    int most = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 65536 ? (int)limit.rlim_cur
                                                                               : 65536;
    for (int fd = 0; fd < most; fd++) {
        open_fds += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    }
    return open_fds;
}

#ifdef __GLIBC__

void os_return_large_blocks(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, 256 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
}

uint64_t os_heap(void)
{
#if __GLIBC_PREREQ(2, 33)
    struct mallinfo2 heap = mallinfo2();
    return heap.uordblks + heap.hblkhd;
#else
    return 0;
#endif
}

bool os_return_memory(size_t spare)
{
    uint64_t anon, file;
    uint64_t heap = os_heap();
    os_rss(&anon, &file);
    return heap > 0 && anon > heap + spare && malloc_trim(0) == 1;
}

#else

void os_return_large_blocks(void)
{
}

uint64_t os_heap(void)
{
    return 0;
}

bool os_return_memory(size_t spare)
{
    (void)spare;
    return false;
}

#endif

int64_t os_cpu_us(void)
{
    struct rusage use;
    if (getrusage(RUSAGE_SELF, &use) != 0) {
        return 0;
    }
    return (int64_t)(use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1000000 + use.ru_utime.tv_usec +
           use.ru_stime.tv_usec;
}

static bool is_address(const struct sockaddr *a, int family, const unsigned char *ip)
{
    if (a == NULL || a->sa_family != family) {
        return false;
    }
    return family == AF_INET
               ? memcmp(&((const struct sockaddr_in *)(const void *)a)->sin_addr, ip, 4) == 0
               : memcmp(&((const struct sockaddr_in6 *)(const void *)a)->sin6_addr, ip, 16) == 0;
}

bool os_has_address(int family, const unsigned char *ip)
{
    struct ifaddrs *list = NULL;
    bool found = false;
    if (getifaddrs(&list) != 0) {
        return false;
    }
    for (struct ifaddrs *i = list; i != NULL && !found; i = i->ifa_next) {
        found = is_address(i->ifa_addr, family, ip);
    }
    freeifaddrs(list);
    return found;
}
