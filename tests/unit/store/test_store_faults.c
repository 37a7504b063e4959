/* test_store_faults.c: what a store does when its files are taken or removed, the disk refuses them, or its process
 * dies. */
#include "unit/store/known_records.h"

#include "path/store/store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void a_directory_in_use_is_refused_by_name(void **state)
{
    char why[256] = "";
    (void)state;
    struct store *s = store_begin(SIZE);
    struct store_options o = {.dir = store_dir, .max_size = SIZE, .wake = store_woken};
    struct store *second = NULL;
    assert_int_equal(store_open(&o, &second, why, sizeof why), ERR_BUSY);
    assert_non_null(strstr(why, "in use by another lulld"));
    assert_non_null(strstr(why, store_dir));
    store_close(s);
    s = store_begin(SIZE);
    store_close(s);
}

static void what_is_no_directory_is_refused(void **state)
{
    char path[128], why[256] = "";
    (void)state;
    path_in(path, sizeof path, "file");
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    close(fd);
    struct store_options o = {.dir = path, .max_size = SIZE, .wake = store_woken};
    struct store *s = NULL;
    assert_int_not_equal(store_open(&o, &s, why, sizeof why), ERR_OK);
    assert_non_null(strstr(why, path));
}

/* The child writes and tells over a pipe what was committed, until it is killed. */
static void write_until_killed(int out)
{
    struct store *s = store_begin(SIZE);
    char value[3000];
    for (uint64_t round = 0;; round++) {
        uint64_t n = round % RECORDS;
        memset(value, (int)('a' + n % 26), sizeof value);
        put(s, STORE_ANSWER, n, span_make(value, sizeof value), FAR);
        settle(s);
        if (write(out, &round, sizeof round) != (ssize_t)sizeof round) {
            _exit(3);
        }
    }
}

static void what_was_committed_survives_kill_9_at_any_moment(void **state)
{
    (void)state;
    for (unsigned life = 0; life < 8; life++) {
        int pipes[2];
        uint64_t round = 0, last = 0;
        assert_int_equal(pipe(pipes), 0);
        pid_t child = fork();
        if (child == 0) {
            close(pipes[0]);
            write_until_killed(pipes[1]);
        }
        close(pipes[1]);
        for (unsigned seen = 0; seen < 20 + 13 * life; seen++) {
            assert_int_equal(read(pipes[0], &round, sizeof round), (ssize_t)sizeof round);
            last = round;
        }
        assert_int_equal(kill(child, SIGKILL), 0);
        while (read(pipes[0], &round, sizeof round) == (ssize_t)sizeof round) {
            last = round;
        }
        close(pipes[0]);
        assert_int_equal(waitpid(child, NULL, 0), child);
        struct store *s = store_begin(SIZE);
        size_t whole = check_all(s);
        assert_true(whole >= (last + 1 < RECORDS ? last + 1 : RECORDS));
        assert_false(exists("data.mdb.bad"));
        store_close(s);
    }
}

/* Ways in which a process ends by a fatal signal, and whether the data file is to blame. */
static void crash_elsewhere(int signo)
{
    raise(signo);
}

static void crash_at_work(int signo)
{
    store_at_work++;
    raise(signo);
}

/* A page of the map that is not there: what a file that was cut short looks like. */
static void crash_in_the_map(int signo)
{
    char *map = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)signo;
    files_guard_map((uintptr_t)map, 8192);
    _exit(*(volatile char *)(map + 4096));
}

static void crash_beside_the_map(int signo)
{
    char *map = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    (void)signo;
    files_guard_map((uintptr_t)map, 4096);
    _exit(*(volatile char *)(map + 4096));
}

static void only_signals_of_the_store_leave_a_mark(void **state)
{
    static const struct {
        void (*crash)(int signo);
        int signo;
        bool mark;
    } cases[] = {{crash_elsewhere, SIGABRT, false}, {crash_elsewhere, SIGSEGV, false},
                 {crash_elsewhere, SIGBUS, false},  {crash_at_work, SIGABRT, true},
                 {crash_at_work, SIGSEGV, true},    {crash_at_work, SIGBUS, true},
                 {crash_in_the_map, SIGSEGV, true}, {crash_beside_the_map, SIGSEGV, false}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pid_t child = fork();
        if (child == 0) {
            files_install_crash_mark(store_dir);
            cases[i].crash(cases[i].signo);
            _exit(0);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == cases[i].signo);
        assert_int_equal(exists("crashed"), cases[i].mark);
        char path[128];
        path_in(path, sizeof path, "crashed");
        (void)unlink(path);
    }
}

static struct store *begin_unsynced(void)
{
    struct store_options o = {.dir = store_dir, .max_size = SIZE, .wake = store_woken};
    struct store *s = NULL;
    char why[256] = "";
    assert_int_equal(store_open(&o, &s, why, sizeof why), ERR_OK);
    return s;
}

static void write_file(const char *name, const char *text, size_t len)
{
    char path[128];
    path_in(path, sizeof path, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

/* With durability = os, pages that were not written yet are lost with the machine, in any order. */
static void a_file_that_was_not_on_the_disk_is_set_aside_after_another_boot(void **state)
{
    static const char before[] = "00000000-0000-0000-0000-000000000000\n";
    char mark[64], path[128];
    (void)state;
    fill();
    struct store *s = begin_unsynced();
    assert_int_equal(check_all(s), RECORDS);
    assert_true(exists("unsynced"));
    path_in(path, sizeof path, "unsynced");
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t len = fread(mark, 1, sizeof mark, f);
    assert_int_equal(fclose(f), 0);
    if (len == 0) {
        store_close(s);
        skip(); /* a system that does not number its boots */
    }
    store_close(s);
    assert_false(exists("unsynced"));

    write_file("unsynced", mark, len); /* killed, in this boot: the system has every page */
    s = store_begin(SIZE);
    assert_int_equal(check_all(s), RECORDS);
    assert_false(exists("unsynced") || exists("data.mdb.bad"));
    store_close(s);

    write_file("unsynced", before, sizeof before - 1);
    s = begin_unsynced();
    assert_int_equal(check_all(s), 0);
    assert_true(exists("data.mdb.bad"));
    assert_true(exists("unsynced")); /* of this run */
    store_configure(s, SIZE, true);
    put(s, STORE_ANSWER, 1, SPAN("x"), FAR); /* options are applied before a group */
    settle(s);
    assert_false(exists("unsynced"));
    store_close(s);
}

static void a_lock_that_cannot_be_had_is_not_one_that_is_taken(void **state)
{
    char why[256];
    (void)state;
    assert_int_equal(files_lock_failed("/d", EWOULDBLOCK, "12", why, sizeof why), ERR_BUSY);
    assert_string_equal(why,
                        "/d is in use by another lulld, pid 12; give this one its own data_dir");
    assert_int_equal(files_lock_failed("/d", ENOLCK, "12", why, sizeof why), ERR_IO);
    assert_null(strstr(why, "in use"));
    assert_non_null(strstr(why, "local file system"));
}

/* Limits the size of every file, so that writes fail as on a full disk. */
static void limit_files(rlim_t size)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = size;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void put_large(struct store *s, uint64_t n)
{
    static char value[200000];
    memset(value, (int)('a' + n % 26), sizeof value);
    put(s, STORE_ANSWER, n, span_make(value, sizeof value), FAR);
    settle(s);
}

static void expect_trouble(struct store *s, const char *want)
{
    char why[128];
    assert_int_equal(store_trouble(s, why, sizeof why), want != NULL);
    assert_string_equal(why, want == NULL ? "" : want);
}

static void what_the_disk_refuses_is_trouble_until_it_takes_data_again(void **state)
{
    struct store_record r;
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    struct store *s = store_begin(SIZE);
    put_large(s, 1);
    expect_trouble(s, NULL);
    limit_files(300000);
    put_large(s, 2);
    expect_trouble(s, files_reason(EFBIG));
    assert_int_equal(store_results[1], 1);
    store_read_begin(s);
    assert_int_equal(store_get(s, STORE_ANSWER, key_of(1), &r), ERR_OK);
    assert_int_equal(store_get(s, STORE_ANSWER, key_of(2), &r), ERR_NOT_FOUND);
    store_read_end(s);
    store_check(s);
    settle(s);
    expect_trouble(s, files_reason(EFBIG)); /* as much as failed cannot be written yet */
    limit_files(RLIM_INFINITY);
    put(s, STORE_ANSWER, 3, SPAN("not tried"), FAR);
    settle(s);
    assert_int_equal(store_results[1], 2);
    assert_int_equal(store_stats(s).errors, 1);
    store_check(s);
    settle(s);
    expect_trouble(s, NULL);
    put_large(s, 2);
    assert_int_equal(store_results[1], 2);
    assert_false(exists("probe"));
    store_close(s);
}

/* The real thing, where a file system can be mounted. */
static void a_full_disk_is_called_so(void **state)
{
    (void)state;
    if (mount("lull-test", store_dir, "tmpfs", 0, "size=3m") != 0) {
        print_message("skipped: a tmpfs cannot be mounted here (%s)\n", strerror(errno));
        skip();
    }
    struct store *s = store_begin(SIZE);
    char why[128];
    for (uint64_t i = 0; i < 100 && !store_trouble(s, why, sizeof why); i++) {
        put_large(s, i);
    }
    expect_trouble(s, "the disk is full");
    store_check(s);
    settle(s);
    expect_trouble(s, "the disk is full");
    struct store_job *purge = store_job_new(STORE_REMOVE); /* removals are tried all the same */
    purge->key = key_of(0);
    purge->done = store_job_done;
    store_submit(s, purge);
    settle(s);
    assert_int_equal(mount("lull-test", store_dir, "tmpfs", MS_REMOUNT, "size=32m"), 0);
    store_check(s);
    settle(s);
    expect_trouble(s, NULL);
    put_large(s, 7);
    store_close(s);
}

/* The lock file is written to through a map: a block that the disk does not have would be a SIGBUS. */
static void a_start_on_a_full_disk_is_refused(void **state)
{
    struct store_options o = {
        .dir = store_dir, .max_size = SIZE, .sync = true, .wake = store_woken};
    struct store *s = NULL;
    char why[256] = "";
    (void)state;
    if (mount("lull-test", store_dir, "tmpfs", 0, "size=4k") != 0) {
        print_message("skipped: a tmpfs cannot be mounted here (%s)\n", strerror(errno));
        skip();
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(store_open(&o, &s, why, sizeof why), ERR_FULL);
        assert_string_equal(why, "the disk is full");
    }
    assert_int_equal(mount("lull-test", store_dir, "tmpfs", MS_REMOUNT, "size=32m"), 0);
    s = store_begin(SIZE);
    put_large(s, 7);
    assert_int_equal(store_results[1], 0);
    store_close(s);
}

/* How long the lock file is before its first hole. */
static off_t lock_without_hole(const char *path)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    off_t at = lseek(fd, 0, SEEK_HOLE);
    close(fd);
    return at;
}

static void the_lock_file_has_its_blocks(void **state)
{
    enum { WRITTEN = 8192 };
    char path[128];
    (void)state;
    path_in(path, sizeof path, "lock.mdb");
    store_close(store_begin(SIZE));
    assert_true(lock_without_hole(path) >= WRITTEN);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(truncate(path, WRITTEN), 0); /* as such a signal leaves it: no blocks */
    store_close(store_begin(SIZE));
    assert_true(lock_without_hole(path) >= WRITTEN);
}

static int unmount_and_teardown(void **state)
{
    (void)umount2(store_dir, MNT_DETACH);
    return store_teardown(state);
}

static void files_that_are_removed_are_missed(void **state)
{
    char command[256];
    (void)state;
    struct store *s = store_begin(SIZE);
    put(s, STORE_ANSWER, 1, SPAN("one"), FAR);
    settle(s);
    snprintf(command, sizeof command, "rm -r '%s'", store_dir);
    assert_int_equal(system(command), 0);
    put(s, STORE_ANSWER, 2, SPAN("two"), FAR);
    store_flush(s);
    assert_int_equal(collect(s), ERR_NOT_FOUND);
    assert_int_equal(store_results[1], 1);
    store_close(s);
    s = store_begin(SIZE);
    assert_null(get(s, 1));
    store_close(s);
}

/* The loop opens others in their place, and does not wait for a disk on the way. */
static void files_that_come_back_are_not_written_any_more(void **state)
{
    char file[96], away[96];
    (void)state;
    snprintf(file, sizeof file, "%s/data.mdb", store_dir);
    snprintf(away, sizeof away, "%s/away", store_dir);
    struct store *s = store_begin(SIZE);
    put(s, STORE_ANSWER, 1, SPAN("one"), FAR);
    settle(s);
    assert_int_equal(rename(file, away), 0);
    put(s, STORE_ANSWER, 2, SPAN("two"), FAR);
    store_flush(s);
    assert_int_equal(rename(away, file), 0);
    struct store_job *remove = store_job_new(STORE_REMOVE);
    remove->key = key_of(1);
    remove->done = store_job_done;
    store_submit(s, remove);
    put(s, STORE_ANSWER, 3, SPAN("three"), FAR);
    store_check(s);
    store_configure(s, SIZE / 2, false);
    store_flush(s);
    assert_int_equal(collect(s), ERR_NOT_FOUND);
    assert_int_equal(store_results[1], 3);
    store_close(s);
    s = store_begin(SIZE);
    assert_string_equal(get(s, 1), "one");
    assert_null(get(s, 3));
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT(a_directory_in_use_is_refused_by_name),
        FAULT(what_is_no_directory_is_refused),
        FAULT(what_was_committed_survives_kill_9_at_any_moment),
        FAULT(only_signals_of_the_store_leave_a_mark),
        FAULT(a_file_that_was_not_on_the_disk_is_set_aside_after_another_boot),
        FAULT(a_lock_that_cannot_be_had_is_not_one_that_is_taken),
        FAULT(what_the_disk_refuses_is_trouble_until_it_takes_data_again),
        cmocka_unit_test_setup_teardown(a_full_disk_is_called_so, store_setup,
                                        unmount_and_teardown),
        cmocka_unit_test_setup_teardown(a_start_on_a_full_disk_is_refused, store_setup,
                                        unmount_and_teardown),
        FAULT(the_lock_file_has_its_blocks),
        FAULT(files_that_are_removed_are_missed),
        FAULT(files_that_come_back_are_not_written_any_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
