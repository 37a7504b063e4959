/* test_os.c: base/os.h: what the system is asked. */
#include "support/check.h"
#include "support/speed.h"

#include "lull/base/os.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void open_descriptors_are_counted(void **state)
{
    (void)state;
    int fds[10];
    uint64_t before = os_open_fds();
    assert_true(before >= 3);
    for (size_t i = 0; i < 10; i++) {
        fds[i] = open("/dev/null", O_RDONLY);
        assert_true(fds[i] >= 0);
    }
    assert_int_equal(os_open_fds(), before + 10);
    for (size_t i = 0; i < 10; i++) {
        close(fds[i]);
    }
    assert_int_equal(os_open_fds(), before);
}

/* What the kernel's table has room for; 0: it does not say. */
static long table_size(void)
{
    char line[256];
    long size = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && fgets(line, sizeof line, status) != NULL) {
        size = strncmp(line, "FDSize:", 7) == 0 ? strtol(line + 7, NULL, 10) : size;
    }
    if (status != NULL) {
        fclose(status);
    }
    return size;
}

static void room_for_descriptors_is_made_before_they_come(void **state)
{
    (void)state;
    enum { MANY = 900 };
    uint64_t before = os_open_fds();
    if (os_raise_fd_limit() < MANY || table_size() == 0 || table_size() >= MANY) {
        skip();
    }
    os_reserve_fds(MANY);
    assert_true(table_size() >= MANY);
    assert_int_equal(os_open_fds(), before);
    os_reserve_fds(0);
    assert_int_equal(os_open_fds(), before);
}

/* One fcntl() for each descriptor that the limit allows makes 20 million of them here. */
static void counting_does_not_depend_on_the_limit(void **state)
{
    (void)state;
    if (os_raise_fd_limit() < 20000 || access("/proc/self/fd", R_OK) != 0) {
        skip();
    }
    clock_t began = clock();
    for (size_t i = 0; i < 1000; i++) {
        assert_true(os_open_fds() >= 3);
    }
    assert_true(speed_seconds(began) < 1);
}

/* Where the kernel counts them, the count opens nothing and walks over nothing: descriptors above a
 * lowered limit are counted, and no free one is needed. */
static void descriptors_are_counted_where_none_is_left(void **state)
{
    struct rlimit limit, low;
    struct stat st;
    int fds[100];
    (void)state;
    if (stat("/proc/self/fd", &st) != 0 || st.st_size == 0) {
        skip();
    }
    for (size_t i = 0; i < 100; i++) {
        fds[i] = open("/dev/null", O_RDONLY);
        assert_true(fds[i] >= 0);
    }
    uint64_t before = os_open_fds();
    assert_true(before >= 103);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    uint64_t counted = os_open_fds();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(counted, before);
    for (size_t i = 0; i < 100; i++) {
        close(fds[i]);
    }
}

/* Sets a variable, or unsets it where the value is NULL. */
static void set(const char *name, const char *value)
{
    assert_int_equal(value == NULL ? unsetenv(name) : setenv(name, value, 1), 0);
}

static void the_control_socket_is_below_what_the_user_may_write(void **state)
{
    static const struct {
        const char *service, *runtime, *path;
    } rows[] = {
        {"/run/lull-2", "/run/user/5", "/run/lull-2/control.sock"},
        {"relative", "/run/user/5", "/run/user/5/lull/control.sock"},
        {"/run/a:/run/b", "/run/user/5", "/run/user/5/lull/control.sock"},
        {NULL, "relative", "/tmp/lull-65534/control.sock"},
        {NULL, NULL, "/tmp/lull-65534/control.sock"},
    };
    char path[256];
    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    set("RUNTIME_DIRECTORY", NULL);
    set("XDG_RUNTIME_DIR", "/run/user/0");
    os_default_control(path, sizeof path);
    assert_string_equal(path, OS_SYSTEM_CONTROL);
    assert_int_equal(seteuid(65534), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        set("RUNTIME_DIRECTORY", rows[i].service);
        set("XDG_RUNTIME_DIR", rows[i].runtime);
        os_default_control(path, sizeof path);
        assert_string_equal(path, rows[i].path);
    }
    assert_int_equal(seteuid(0), 0);
    set("RUNTIME_DIRECTORY", NULL);
    set("XDG_RUNTIME_DIR", NULL);
}

static void sockets_are_inherited_by_the_process_they_are_for(void **state)
{
    char me[32], other[32];
    (void)state;
    snprintf(me, sizeof me, "%ld", (long)getpid());
    snprintf(other, sizeof other, "%ld", (long)getppid());
    const struct {
        const char *pid, *count;
        int sockets;
    } rows[] = {{me, "2", 2}, {other, "2", 0}, {me, NULL, 0}, {NULL, "2", 0}, {me, "-1", 0},
                {me, "0", 0}, {me, "63", 63},  {me, "64", 0}, {me, "two", 0}, {"", "1", 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        set("LISTEN_PID", rows[i].pid);
        set("LISTEN_FDS", rows[i].count);
        assert_int_equal(os_inherited_sockets(), rows[i].sockets);
    }
    set("LISTEN_PID", NULL);
    set("LISTEN_FDS", NULL);
}

static void assert_notified(const char *variable, const struct sockaddr_un *a, size_t len)
{
    char text[64];
    int fd = os_socket(AF_UNIX, SOCK_DGRAM);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)a,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)),
                     0);
    set("NOTIFY_SOCKET", variable);
    assert_true(os_notify("READY=1", false));
    ssize_t n = recv(fd, text, sizeof text, 0);
    assert_int_equal(n, 7);
    assert_memory_equal(text, "READY=1", 7);
    close(fd);
}

static void the_service_manager_is_notified_by_a_path_or_an_abstract_name(void **state)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char name[64], folder[] = "/tmp/lull-os-XXXXXX", too_long[200];
    (void)state;
    int len = snprintf(name, sizeof name, "@lull-test-%ld", (long)getpid());
    memcpy(a.sun_path + 1, name + 1, (size_t)len - 1);
    assert_notified(name, &a, (size_t)len);
    assert_non_null(mkdtemp(folder));
    snprintf(a.sun_path, sizeof a.sun_path, "%s/notify", folder);
    assert_notified(a.sun_path, &a, strlen(a.sun_path) + 1);
    assert_int_equal(unlink(a.sun_path), 0);
    assert_int_equal(rmdir(folder), 0);
    memset(too_long, 'x', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    uint64_t open_fds = os_open_fds();
    const char *const unusable[] = {too_long, "", NULL};
    for (size_t i = 0; i < 3; i++) { /* nothing to tell: no socket is made or left */
        set("NOTIFY_SOCKET", unusable[i]);
        assert_false(os_notify("READY=1", true));
    }
    assert_int_equal(os_open_fds(), open_fds);
}

static int queue_fd, returned[2];
static bool seen_ready;

/* Reads what the queue has once the message is lost, or waits for room. */
static void *read_queue(void *arg)
{
    struct pollfd lost = {.fd = returned[0], .events = POLLIN};
    char text[64];
    ssize_t n;
    (void)poll(&lost, 1, 50);
    while (!seen_ready &&
           (n = recv(queue_fd, text, sizeof text, lost.revents == 0 ? 0 : MSG_DONTWAIT)) > 0) {
        seen_ready = n == 7 && memcmp(text, "READY=1", 7) == 0;
    }
    return arg;
}

/* How often this process gave up the processor of itself, as where it waits. */
static long waits(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_nvcsw;
}

static void a_message_waits_for_room_in_the_queue(void **state)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char name[64];
    pthread_t reader;
    (void)state;
    int len = snprintf(name, sizeof name, "@lull-test-%ld", (long)getpid());
    memcpy(a.sun_path + 1, name + 1, (size_t)len - 1);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len);
    queue_fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(bind(queue_fd, (struct sockaddr *)&a, size), 0);
    int filler = os_socket(AF_UNIX, SOCK_DGRAM);
    while (sendto(filler, "x", 1, 0, (struct sockaddr *)&a, size) == 1) {
    }
    assert_int_equal(errno, EAGAIN);
    set("NOTIFY_SOCKET", name);
    long before = waits();
    assert_false(os_notify("STOPPING=1", false)); /* replies are under way */
    assert_in_range(waits() - before, 0, 5);
    assert_int_equal(pipe(returned), 0);
    assert_int_equal(pthread_create(&reader, NULL, read_queue, NULL), 0);
    assert_true(os_notify("READY=1", true));
    assert_int_equal(write(returned[1], "", 1), 1);
    assert_int_equal(pthread_join(reader, NULL), 0);
    assert_true(seen_ready);
    set("NOTIFY_SOCKET", NULL);
    close(filler);
    close(queue_fd);
    close(returned[0]);
    close(returned[1]);
}

static void directories_are_made_with_their_parents(void **state)
{
    char folder[] = "/tmp/lull-os-XXXXXX", path[128], parent[128], too_long[5000];
    struct stat st;
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(parent, sizeof parent, "%s/a", folder);
    snprintf(path, sizeof path, "%s/a/b", folder);
    assert_int_equal(os_mkdirs(path, 0700), ERR_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(os_mkdirs(path, 0700), ERR_OK);
    assert_int_equal(os_mkdirs("/proc", 0700), ERR_OK); /* there, on what cannot be written */
    assert_int_not_equal(os_mkdirs("/proc/lull/x", 0700), ERR_OK);
    assert_int_equal(os_mkdirs("", 0700), ERR_INVALID);
    memset(too_long, 'x', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    assert_int_equal(os_mkdirs(too_long, 0700), ERR_INVALID);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(parent), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void a_descriptor_that_is_none_is_an_error(void **state)
{
    uid_t uid = 0;
    int pair[2];
    (void)state;
    assert_int_equal(os_set_nonblocking(-1), ERR_IO);
    assert_int_equal(os_peer_uid(-1, &uid), ERR_IO);
    assert_int_equal(os_unsent(-1), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(os_set_nonblocking(pair[0]), ERR_OK);
    assert_true((fcntl(pair[0], F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(pair[0], F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(os_peer_uid(pair[0], &uid), ERR_OK);
    assert_int_equal(uid, geteuid());
    close(pair[0]);
    close(pair[1]);
}

/* Blocks that are freed between blocks in use are holes in the heap. */
static void holes_in_the_heap_go_back(void **state)
{
#ifdef __SANITIZE_ADDRESS__
    (void)state;
    skip();
#else
    enum { HOLES = 2000, HOLE = 20000 };
    static void *holes[HOLES], *kept[HOLES];
    uint64_t full, anon, file;
    (void)state;
    os_return_large_blocks();
    for (size_t i = 0; i < HOLES; i++) {
        holes[i] = mem_new(HOLE);
        memset(holes[i], 1, HOLE);
        kept[i] = mem_new(100);
    }
    os_rss(&full, &file);
    uint64_t used = os_heap();
    for (size_t i = 0; i < HOLES; i++) {
        free(holes[i]);
    }
    assert_true(used == 0 || os_heap() + HOLES * (uint64_t)HOLE <= used);
    if (!os_return_memory(HOLES * (size_t)HOLE / 2)) {
        skip(); /* the C library cannot */
    }
    os_rss(&anon, &file);
    assert_true(anon + HOLES * (uint64_t)HOLE * 3 / 4 < full);
    assert_false(os_return_memory(HOLES * (size_t)HOLE / 2));
    for (size_t i = 0; i < HOLES; i++) {
        free(kept[i]);
    }
#endif
}

/* More bytes than one call of any system gives; every byte is written in some of the rounds. */
static void random_bytes_fill_the_whole_place(void **state)
{
    enum { LEN = 1000 };
    unsigned char bytes[LEN + 1], seen[LEN] = {0};
    (void)state;
    memset(bytes, 0, sizeof bytes);
    for (int round = 0; round < 8; round++) {
        assert_int_equal(os_random(bytes, LEN), ERR_OK);
        for (size_t i = 0; i < LEN; i++) {
            seen[i] |= bytes[i];
        }
    }
    for (size_t i = 0; i < LEN; i++) {
        assert_int_not_equal(seen[i], 0);
    }
    assert_int_equal(bytes[LEN], 0);
}

static void a_boot_has_one_id(void **state)
{
    char first[64], again[64], small[9];
    (void)state;
    if (!os_boot_id(first, sizeof first)) {
        skip();
    }
    assert_true(strlen(first) >= 16);
    assert_true(os_boot_id(again, sizeof again));
    assert_string_equal(first, again);
    assert_true(os_boot_id(small, sizeof small));
    assert_int_equal(strlen(small), 8);
    assert_memory_equal(first, small, 8);
}

static void a_text_is_read_from_its_beginning(void **state)
{
    char path[] = "/tmp/lull-text-XXXXXX", text[8] = "before";
    (void)state;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_true(os_read_text(path, text, sizeof text)); /* an empty file can be read */
    assert_string_equal(text, "");
    assert_int_equal(write(fd, "0123456789", 10), 10);
    assert_true(os_read_text(path, text, sizeof text));
    assert_string_equal(text, "0123456");
    close(fd);
    unlink(path);
    assert_false(os_read_text(path, text, sizeof text));
    assert_string_equal(text, "");
}

/* In a child: it cannot be taken back. */
static void a_hardened_process_hides_its_memory(void **state)
{
    int status = 0;
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        os_hide_memory();
        os_no_new_privileges();
        _exit(prctl(PR_GET_DUMPABLE) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

struct signalled {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    bool done;
};

static void *signal_it(void *ctx)
{
    struct signalled *s = ctx;
    pthread_mutex_lock(&s->mutex);
    s->done = true;
    pthread_cond_signal(&s->cond);
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

static mono_t in_a_while(usec_t while_us)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (mono_t){(usec_t)now.tv_sec * USEC_PER_S + now.tv_nsec / 1000 + while_us};
}

static void a_wait_ends_by_the_signal_or_at_its_time(void **state)
{
    struct signalled s = {.mutex = PTHREAD_MUTEX_INITIALIZER};
    pthread_t thread;
    (void)state;
    os_cond_init(&s.cond);
    pthread_mutex_lock(&s.mutex);
    mono_t until = in_a_while(20 * USEC_PER_MS);
    bool in_time = true;
    while (in_time) { /* a wait may end without a cause */
        in_time = os_cond_wait_until(&s.cond, &s.mutex, until);
    }
    assert_true(in_a_while(0).us >= until.us);
    assert_false(os_cond_wait_until(&s.cond, &s.mutex, (mono_t){0}));
    assert_int_equal(pthread_create(&thread, NULL, signal_it, &s), 0);
    until = in_a_while(60 * USEC_PER_S);
    while (!s.done) {
        assert_true(os_cond_wait_until(&s.cond, &s.mutex, until));
    }
    pthread_mutex_unlock(&s.mutex);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pthread_cond_destroy(&s.cond);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_descriptors_are_counted),
        cmocka_unit_test(room_for_descriptors_is_made_before_they_come),
        cmocka_unit_test(counting_does_not_depend_on_the_limit),
        cmocka_unit_test(descriptors_are_counted_where_none_is_left),
        cmocka_unit_test(the_control_socket_is_below_what_the_user_may_write),
        cmocka_unit_test(sockets_are_inherited_by_the_process_they_are_for),
        cmocka_unit_test(the_service_manager_is_notified_by_a_path_or_an_abstract_name),
        cmocka_unit_test(a_message_waits_for_room_in_the_queue),
        cmocka_unit_test(directories_are_made_with_their_parents),
        cmocka_unit_test(a_descriptor_that_is_none_is_an_error),
        cmocka_unit_test(holes_in_the_heap_go_back),
        cmocka_unit_test(random_bytes_fill_the_whole_place),
        cmocka_unit_test(a_boot_has_one_id),
        cmocka_unit_test(a_text_is_read_from_its_beginning),
        cmocka_unit_test(a_hardened_process_hides_its_memory),
        cmocka_unit_test(a_wait_ends_by_the_signal_or_at_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
