/* os.h: what differs between systems, and calls that have no better home. Linux-only calls live
 * here, with a plain fallback.
 */
#ifndef LULL_BASE_OS_H
#define LULL_BASE_OS_H

#include "lull/base/clock.h"
#include "lull/base/err.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* accept() with close-on-exec and non-blocking set. -1 and errno as accept(). */
int os_accept(int listener);
/* socket() with close-on-exec and non-blocking set. -1 and errno. */
int os_socket(int domain, int type);
MUST_CHECK enum err os_set_nonblocking(int fd);

/* Bytes written to the socket that the other end has not yet acknowledged (TCP) or read (Unix
 * sockets); 0 where the system cannot tell. */
size_t os_unsent(int fd);
/* Bytes that a TCP connection has received, ever; 0: the system does not say. */
uint64_t os_received(int fd);

/* uid of the process at the other end of a Unix socket. ERR_IO where the system cannot tell. */
MUST_CHECK enum err os_peer_uid(int fd, uid_t *out);

/* Fills descriptors 0, 1 and 2 where the parent closed them, with one that can neither be read nor
 * written: else the next socket or file gets the number, and with it what is printed. First in main(). */
void os_fill_standard_descriptors(void);

/* Opens standard error again, with O_NONBLOCK of its own, where it is a terminal, another device or a pipe;
 * else, or where that may not be, -1. The caller closes it. */
int os_reopen_stderr(void);

/* Raises the soft fd limit to the hard one and returns it. */
uint64_t os_raise_fd_limit(void);
/* Has the kernel make its table of the process's descriptors large enough for so many at once, as far as
 * the limit allows. Where it grows later, Linux holds the thread up for 10 ms or more each time, since
 * the process has several. */
void os_reserve_fds(size_t count);
/* Number of open descriptors. On Linux the cost does not depend on the fd limit. */
uint64_t os_open_fds(void);

/* Keeps the memory of the process, which holds keys and what people write, from other processes of
 * the user: no core dump, whatever the limit, no ptrace, and /proc/PID/environ is root's. */
void os_hide_memory(void);
/* No new privileges by exec(), where the system has that. */
void os_no_new_privileges(void);
/* Fills out with random bytes of the system. ERR_IO. */
MUST_CHECK enum err os_random(void *out, size_t len);
/* Reads the first size - 1 bytes of a file as a text into out, which is terminated. false: it cannot
 * be read, and the text is empty. */
bool os_read_text(const char *path, char *out, size_t size);
/* The id of this boot of the machine, as a terminated text of less than size bytes (64 are enough).
 * false: the system has none. */
bool os_boot_id(char *out, size_t size);

/* A condition for os_cond_wait_until(); ended with pthread_cond_destroy(). */
void os_cond_init(pthread_cond_t *cond);
/* pthread_cond_timedwait() by the clock of CLOCK_MONOTONIC, in microseconds. false: `until` has
 * passed. */
bool os_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, mono_t until);

/* Resident memory in bytes, anonymous and file-backed; 0 where the system cannot tell. */
void os_rss(uint64_t *anon, uint64_t *file);
/* Bytes that malloc has given out, its own overhead included; 0 where it does not say (another C library than
 * glibc 2.33 or later, a sanitizer). What os_rss() has beside it is freed memory between blocks in use. */
uint64_t os_heap(void);
/* From here on blocks of 256 KB and more go back to the system when they are freed, and of the heap
 * what is over 1 MB at its end. glibc by itself takes the size of the largest block that was freed, 32
 * MB at most, for the limit of both. */
void os_return_large_blocks(void);
/* Gives freed memory between blocks in use back to the system, where more than `spare` bytes of it are
 * resident. Takes some milliseconds for 50 MB. true: it did. */
bool os_return_memory(size_t spare);
/* The last place of a byte in the `len` bytes from p on; NULL: it is not there. */
const char *os_last_byte(const char *p, char byte, size_t len);
/* CPU time of the process, user and system, in microseconds. */
int64_t os_cpu_us(void);

/* Whether an interface of this machine has the address; ip: 4 bytes of AF_INET, 16 of AF_INET6. */
bool os_has_address(int family, const unsigned char *ip);

/* Tells systemd ("READY=1" ...) when NOTIFY_SOCKET is set; otherwise does nothing. Where its queue is full,
 * `waits` says whether it waits for room, for a second at most. true: it is sent. */
bool os_notify(const char *state, bool waits);
/* Inherited listening sockets (LISTEN_FDS, LISTEN_PID): how many, starting at descriptor 3. */
int os_inherited_sockets(void);

/* The one folder that the service manager has made for us (systemd: RuntimeDirectory= in
 * RUNTIME_DIRECTORY, StateDirectory= in STATE_DIRECTORY). NULL: none, or several, or no absolute
 * path. Belongs to the environment. */
const char *os_service_directory(const char *variable);
#define OS_SYSTEM_CONTROL "/run/lull/control.sock"
/* Where the control socket is when nothing is said: in the service manager's runtime directory,
 * else for root OS_SYSTEM_CONTROL, else below $XDG_RUNTIME_DIR, else below /tmp. The daemon listens
 * there and lullctl asks there. */
void os_default_control(char *out, size_t size);

/* The nearest folder of a path that is there, or the path itself, into out. false: out is a link that
 * leads nowhere. */
bool os_existing_parent(const char *path, char *out, size_t size);

/* Whether no other user can put a file in the place of that one. Asked of what is below a folder in
 * which every user may make folders (/tmp): they must be this user's or root's, no links, and not
 * writable for others. */
bool os_is_out_of_reach(const char *path);

/* Creates the directory and its parents (mode for the last one, 0755 for the rest; the umask does
 * not count). An existing directory is fine, and left as it is. */
MUST_CHECK enum err os_mkdirs(const char *path, mode_t mode);

#endif
