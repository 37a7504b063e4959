/* fault.c: a library that is preloaded into lulld and makes one call fail.
 *
 * The test and the daemon share a page (the file in TORTURE_PAGE). The test writes which call fails,
 * how many calls pass before it, and how it fails; the library counts every call, and writes what
 * the failed one was: its size, its callers, the port of the peer of its socket. One call fails for
 * each time that the test arms it.
 *
 * Beside that, TORTURE_FILESYSTEM (any of: maps flock records) names what no file system has.
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* In the order of CALLS in torture.py. */
enum call {
    CALL_MALLOC,
    CALL_RECV,
    CALL_READ,
    CALL_SEND,
    CALL_WRITE,
    CALL_ACCEPT,
    CALL_EPOLL_CTL,
    CALL_EPOLL_WAIT,
    CALL_CONNECT,
    CALL_OPEN,
    CALL_SYNC,
    CALL_PWRITE,
    CALL_MMAP,
    CALL_THREAD,
    CALL_SOCKET,
    CALL_CLOSE,
    CALL_TRUNCATE,
    CALLS
};
enum { CALLERS = 24, AS_SHORT = -1 };

struct page {
    _Atomic int32_t armed; /* the call, or -1 */
    _Atomic int32_t how;   /* an errno, or AS_SHORT: one byte of what was asked */
    _Atomic int64_t skip;  /* calls that pass first */
    _Atomic int32_t hits;
    _Atomic int32_t watching; /* count calls */
    _Atomic int64_t counts[CALLS];
    _Atomic int64_t size; /* of the failed allocation */
    _Atomic int32_t local_port, peer_port;
    _Atomic int32_t callers;
    int32_t unused;
    _Atomic uint64_t caller[CALLERS];
};

static struct page *page;
static __thread int inside __attribute__((tls_model("initial-exec")));

__attribute__((constructor)) static void attach(void)
{
    void *frames[2];
    const char *path = getenv("TORTURE_PAGE");
    inside++;
    (void)backtrace(frames, 2); /* loads what it needs */
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0) {
        void *at = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        page = at == MAP_FAILED ? NULL : at;
        close(fd);
    }
    inside--;
}

static int port_of(int fd, int (*ask)(int, struct sockaddr *, socklen_t *))
{
    struct sockaddr_in a = {0};
    socklen_t len = sizeof a;
    return ask(fd, (struct sockaddr *)&a, &len) == 0 && a.sin_family == AF_INET ? ntohs(a.sin_port)
                                                                                : 0;
}

static void describe(int fd, size_t size)
{
    void *frames[CALLERS];
    int n = backtrace(frames, CALLERS);
    for (int i = 0; i < n; i++) {
        page->caller[i] = (uint64_t)(uintptr_t)frames[i];
    }
    page->callers = n;
    page->size = (int64_t)size;
    page->local_port = fd < 0 ? 0 : port_of(fd, getsockname);
    page->peer_port = fd < 0 ? 0 : port_of(fd, getpeername);
}

/* Whether that errno can come from that descriptor. */
static int fits(int how, int fd)
{
    struct stat st;
    int known = fd >= 0 && fstat(fd, &st) == 0;
    int is_socket = known && S_ISSOCK(st.st_mode);
    if (how == EAGAIN) {
        return !known || !S_ISREG(st.st_mode);
    }
    if (how == ECONNRESET || how == EPIPE || how == ETIMEDOUT) {
        return is_socket;
    }
    return how != ENOSPC && how != EIO ? 1 : !is_socket;
}

/* 0: the call goes on; an errno, or AS_SHORT. fd: -1 where the call has none; always: the errno
 * suits every descriptor. */
static int fault(enum call call, int fd, size_t size, int always)
{
    if (page == NULL || inside > 0) {
        return 0;
    }
    if (page->watching != 0) {
        page->counts[call]++;
    }
    if (page->armed != (int32_t)call) {
        return 0;
    }
    int how = page->how;
    int result = 0;
    int saved = errno;
    inside++;
    if ((always || fits(how, fd)) && atomic_fetch_sub(&page->skip, 1) == 0) {
        page->armed = -1;
        describe(fd, size);
        page->hits++;
        result = how;
    }
    inside--;
    errno = saved;
    return result;
}

/* The next definition of a name; asked for once. */
#define REAL(name)                                                                                 \
    static __typeof__(&name) real;                                                                 \
    if (real == NULL) {                                                                            \
        inside++;                                                                                  \
        void *found = dlsym(RTLD_NEXT, #name);                                                     \
        memcpy(&real, &found, sizeof real);                                                        \
        inside--;                                                                                  \
    }

/* Returns -1 with the errno; AS_SHORT falls through. */
#define FAIL(how)                                                                                  \
    if ((how) > 0) {                                                                               \
        errno = (how);                                                                             \
        return -1;                                                                                 \
    }

/* Whether the file systems are to be without that: TORTURE_FILESYSTEM names what they lack. */
static int lacks(const char *what)
{
    const char *named = getenv("TORTURE_FILESYSTEM");
    return named != NULL && strstr(named, what) != NULL;
}

/* ---- memory ---- */

void *malloc(size_t size)
{
    REAL(malloc)
    if (fault(CALL_MALLOC, -1, size, 1) != 0) {
        errno = ENOMEM;
        return NULL;
    }
    return real(size);
}

void *calloc(size_t count, size_t size)
{
    REAL(calloc)
    if (fault(CALL_MALLOC, -1, count * size, 1) != 0) {
        errno = ENOMEM;
        return NULL;
    }
    return real(count, size);
}

void *realloc(void *old, size_t size)
{
    REAL(realloc)
    if (size > 0 && fault(CALL_MALLOC, -1, size, 1) != 0) {
        errno = ENOMEM;
        return NULL;
    }
    return real(old, size);
}

void *mmap(void *at, size_t size, int prot, int flags, int fd, off_t offset)
{
    REAL(mmap)
    if (inside == 0 && fd >= 0 && (flags & MAP_SHARED) != 0 && lacks("maps")) {
        errno = ENODEV;
        return MAP_FAILED;
    }
    int how = fault(CALL_MMAP, -1, size, 1);
    if (how != 0) {
        errno = how;
        return MAP_FAILED;
    }
    return real(at, size, prot, flags, fd, offset);
}

/* ---- sockets ---- */

ssize_t recv(int fd, void *data, size_t size, int flags)
{
    REAL(recv)
    int how = fault(CALL_RECV, fd, size, 0);
    FAIL(how)
    return real(fd, data, how == AS_SHORT && size > 1 ? 1 : size, flags);
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    REAL(send)
    int how = fault(CALL_SEND, fd, size, 0);
    FAIL(how)
    return real(fd, data, how == AS_SHORT && size > 1 ? 1 : size, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(sendmsg)
    int how = fault(CALL_SEND, fd, message->msg_iovlen, 0);
    FAIL(how)
    if (how == AS_SHORT && message->msg_iovlen > 0 && message->msg_iov[0].iov_len > 0) {
        struct iovec one = {message->msg_iov[0].iov_base, 1};
        struct msghdr less = *message;
        less.msg_iov = &one;
        less.msg_iovlen = 1;
        return real(fd, &less, flags);
    }
    return real(fd, message, flags);
}

int accept4(int fd, struct sockaddr *restrict peer, socklen_t *restrict len, int flags)
{
    REAL(accept4)
    int how = fault(CALL_ACCEPT, fd, 0, 1);
    FAIL(how)
    return real(fd, peer, len, flags);
}

int connect(int fd, const struct sockaddr *peer, socklen_t len)
{
    REAL(connect)
    int how = fault(CALL_CONNECT, fd, 0, 1);
    FAIL(how)
    return real(fd, peer, len);
}

int socket(int domain, int type, int protocol)
{
    REAL(socket)
    int how = fault(CALL_SOCKET, -1, 0, 1);
    FAIL(how)
    return real(domain, type, protocol);
}

int epoll_ctl(int fd, int operation, int target, struct epoll_event *event)
{
    REAL(epoll_ctl)
    if (operation == EPOLL_CTL_ADD) { /* the others need no memory */
        int how = fault(CALL_EPOLL_CTL, target, 0, 1);
        FAIL(how)
    }
    return real(fd, operation, target, event);
}

int epoll_wait(int fd, struct epoll_event *events, int most, int timeout)
{
    REAL(epoll_wait)
    int how = fault(CALL_EPOLL_WAIT, -1, 0, 1);
    FAIL(how)
    return real(fd, events, most, timeout);
}

/* ---- files ---- */

ssize_t read(int fd, void *data, size_t size)
{
    REAL(read)
    int how = fault(CALL_READ, fd, size, 0);
    FAIL(how)
    return real(fd, data, how == AS_SHORT && size > 1 ? 1 : size);
}

ssize_t write(int fd, const void *data, size_t size)
{
    REAL(write)
    int how = fd == STDERR_FILENO ? 0 : fault(CALL_WRITE, fd, size, 0);
    FAIL(how)
    return real(fd, data, how == AS_SHORT && size > 1 ? 1 : size);
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    REAL(writev)
    int how = fault(CALL_PWRITE, fd, (size_t)count, 0);
    FAIL(how)
    if (how == AS_SHORT && count > 0 && pieces[0].iov_len > 0) {
        struct iovec one = {pieces[0].iov_base, 1};
        return real(fd, &one, 1);
    }
    return real(fd, pieces, count);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    REAL(pwrite)
    int how = fault(CALL_PWRITE, fd, size, 0);
    FAIL(how)
    return real(fd, data, how == AS_SHORT && size > 1 ? 1 : size, offset);
}

int open(const char *path, int flags, ...)
{
    REAL(open)
    mode_t mode = 0;
    if ((flags & O_CREAT) != 0) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    int how = fault(CALL_OPEN, -1, 0, 1);
    FAIL(how)
    return real(path, flags, mode);
}

int fdatasync(int fd)
{
    REAL(fdatasync)
    int how = fault(CALL_SYNC, fd, 0, 1);
    FAIL(how)
    return real(fd);
}

int fsync(int fd)
{
    REAL(fsync)
    int how = fault(CALL_SYNC, fd, 0, 1);
    FAIL(how)
    return real(fd);
}

int msync(void *at, size_t size, int flags)
{
    REAL(msync)
    int how = fault(CALL_SYNC, -1, size, 1);
    FAIL(how)
    return real(at, size, flags);
}

int ftruncate(int fd, off_t size)
{
    REAL(ftruncate)
    int how = fault(CALL_TRUNCATE, fd, (size_t)size, 1);
    FAIL(how)
    return real(fd, size);
}

int flock(int fd, int operation)
{
    REAL(flock)
    if (lacks("flock")) {
        errno = ENOLCK;
        return -1;
    }
    return real(fd, operation);
}

static int lock_is_refused(int command)
{
    return (command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK) &&
           lacks("records");
}

/* The third argument is a number or a pointer, in the same register. */
#define FCNTL(name)                                                                                \
    int name(int fd, int command, ...)                                                             \
    {                                                                                              \
        REAL(name)                                                                                 \
        va_list args;                                                                              \
        va_start(args, command);                                                                   \
        void *more = va_arg(args, void *);                                                         \
        va_end(args);                                                                              \
        if (lock_is_refused(command)) {                                                            \
            errno = ENOLCK;                                                                        \
            return -1;                                                                             \
        }                                                                                          \
        return real(fd, command, more);                                                            \
    }
FCNTL(fcntl)
FCNTL(fcntl64)

/* The descriptor is closed all the same, as Linux does. */
int close(int fd)
{
    REAL(close)
    int how = fault(CALL_CLOSE, fd, 0, 1);
    int result = real(fd);
    FAIL(how)
    return result;
}

/* ---- threads ---- */

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *),
                   void *ctx)
{
    REAL(pthread_create)
    int how = fault(CALL_THREAD, -1, 0, 1);
    return how > 0 ? how : real(thread, attributes, fn, ctx);
}
