/* test_store_faults.c: what a store does when its files are damaged, taken, or its process dies. */
#include "unit/store/store_support.h"

#include "path/store/store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

static const int64_t FAR = INT64_MAX;
enum { SIZE = 16 * 1024 * 1024, RECORDS = 64 };

static void path_in(char *out, size_t size, const char *name)
{
    snprintf(out, size, "%s/%s", store_dir, name);
}

/* The value of every second record is all rest: it has a checksum of its own. */
static void fill(void)
{
    char value[3000];
    struct store *s = store_begin(SIZE);
    for (uint64_t i = 0; i < RECORDS; i++) {
        memset(value, (int)('a' + i % 26), sizeof value);
        put_with_rest(s, STORE_ANSWER, i, span_make(value, sizeof value),
                      i / 2 % 2 == 0 ? 0 : sizeof value, FAR);
    }
    settle(s);
    store_close(s);
}

/* Every record is whole and its own, missing, or reported as corrupt. Returns how many are whole.
 */
static size_t check_all(struct store *s)
{
    size_t whole = 0;
    store_read_begin(s);
    for (uint64_t i = 0; i < RECORDS; i++) {
        struct store_record r;
        if (store_get(s, STORE_ANSWER, key_of(i), &r) == ERR_OK) {
            assert_int_equal(r.value.len, 3000);
            for (size_t b = 0; b < r.value.len; b++) {
                assert_int_equal(r.value.ptr[b], 'a' + (int)(i % 26));
            }
            whole++;
        }
    }
    store_read_end(s);
    return whole;
}

/* A changed byte of a value is never served. The values are found in the file by their bytes. */
static void a_flipped_byte_is_never_served(void **state)
{
    char path[128], run[64];
    (void)state;
    fill();
    path_in(path, sizeof path, "data.mdb");
    memset(run, 'c', sizeof run);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    static char file[8 * 1024 * 1024];
    size_t len = fread(file, 1, sizeof file, f);
    size_t flipped = 0;
    for (size_t at = 0; at + sizeof run < len; at++) {
        if (memcmp(file + at, run, sizeof run) == 0) {
            assert_int_equal(fseek(f, (long)at + 40, SEEK_SET), 0);
            assert_int_equal(fputc('!', f), '!');
            flipped++;
            at += 2999;
        }
    }
    fclose(f);
    assert_true(flipped >= 3); /* records 2, 28 and 54 */
    struct store *s = store_begin(SIZE);
    assert_int_equal(check_all(s), RECORDS - 3);
    struct store_record r;
    store_read_begin(s);
    for (uint64_t n = 2; n <= 54; n += 26) { /* 2 and 54 are all rest, 28 has none */
        assert_int_equal(store_get(s, STORE_ANSWER, key_of(n), &r), ERR_CORRUPT);
        enum err at_its_place =
            store_get_at(s, STORE_ANSWER, key_of(n), (int64_t)(n + 1) * STORE_STEP, &r);
        assert_int_equal(at_its_place, n == 28 ? ERR_CORRUPT : ERR_OK);
        assert_true(n == 28 || !store_rest_is_good(r.value, r.rest, r.rest_checksum));
    }
    store_read_end(s);
    store_close(s);
}

static void damaged_files_are_set_aside_and_made_again(void **state)
{
    static const char garbage[8192] = {1, 2, 3};
    (void)state;
    for (int how = 0; how < 4; how++) {
        char path[128];
        fill();
        path_in(path, sizeof path, "data.mdb");
        int fd = open(path, O_RDWR);
        assert_true(fd >= 0);
        if (how == 0) { /* cut in the middle */
            assert_int_equal(ftruncate(fd, 64 * 1024), 0);
        } else if (how == 1) { /* both meta pages gone */
            assert_int_equal(pwrite(fd, garbage, sizeof garbage, 0), (ssize_t)sizeof garbage);
        } else if (how == 2) { /* something else altogether */
            assert_int_equal(ftruncate(fd, 0), 0);
            assert_int_equal(write(fd, "# not LMDB\n", 11), 11);
        } else { /* the last run died of a fatal signal */
            char mark[128];
            path_in(mark, sizeof mark, "crashed");
            int m = open(mark, O_CREAT | O_WRONLY, 0600);
            assert_true(m >= 0);
            close(m);
        }
        close(fd);
        struct store *s = store_begin(SIZE);
        assert_int_equal(check_all(s), 0);
        assert_true(exists("data.mdb.bad"));
        assert_false(exists("crashed"));
        put(s, STORE_ANSWER, 7, SPAN("new"), FAR);
        settle(s);
        assert_string_equal(get(s, 7), "new");
        store_close(s);
        assert_int_equal(unlink(path), 0);
    }
}

static void an_empty_file_is_a_new_store(void **state)
{
    char path[128];
    (void)state;
    path_in(path, sizeof path, "data.mdb");
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    fill();
    struct store *s = store_begin(SIZE);
    assert_int_equal(check_all(s), RECORDS);
    store_close(s);
}

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

/* In a child: a start as the daemon makes it, without the test framework's signal handlers. */
static void start_and_stop(void)
{
    static const int signals[] = {SIGBUS, SIGSEGV, SIGABRT};
    struct store_options o = {
        .dir = store_dir, .max_size = SIZE, .sync = true, .wake = store_woken, .crash_mark = true};
    struct store *s = NULL;
    char why[256];
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        signal(signals[i], SIG_DFL);
    }
    if (store_open(&o, &s, why, sizeof why) != ERR_OK) {
        _exit(1);
    }
    store_close(s);
    _exit(0);
}

/* Any damage of the pages kills one start at most: the next one begins with a new file. */
static void damage_that_kills_while_opening_kills_once(void **state)
{
    static const unsigned char fills[] = {0xFF, 0x00, 0x5A};
    (void)state;
    for (size_t i = 0; i < sizeof fills; i++) {
        char path[128];
        static char page[4096];
        struct stat st;
        int status = 0;
        fill();
        path_in(path, sizeof path, "data.mdb");
        assert_int_equal(stat(path, &st), 0);
        int fd = open(path, O_RDWR);
        assert_true(fd >= 0);
        memset(page, fills[i], sizeof page);
        for (off_t at = 8192; at < st.st_size; at += 4096) { /* all but the two meta pages */
            assert_int_equal(pwrite(fd, page, sizeof page, at), (ssize_t)sizeof page);
        }
        close(fd);
        for (int start = 0; start < 2; start++) {
            pid_t child = fork();
            if (child == 0) {
                start_and_stop();
            }
            assert_int_equal(waitpid(child, &status, 0), child);
            if (WIFEXITED(status)) {
                break;
            }
        }
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        assert_true(exists("data.mdb.bad"));
        assert_int_equal(unlink(path), 0);
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

/* Found by the bytes of its name and number in the meta table. */
static void a_file_of_another_format_is_set_aside_but_for_its_notes(void **state)
{
    static const uint32_t format = STORE_FORMAT;
    char mark[6 + sizeof format] = "format";
    static char file[8 * 1024 * 1024];
    char path[128];
    size_t changed = 0;
    (void)state;
    memcpy(mark + 6, &format, sizeof format);
    fill();
    struct store *s = store_begin(SIZE);
    note(s, "day/1", SPAN("one"), INT64_MAX, 0);
    note(s, "day/2", SPAN("two"), INT64_MAX, 0);
    store_close(s);
    path_in(path, sizeof path, "data.mdb");
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    size_t len = fread(file, 1, sizeof file, f);
    for (size_t at = 0; at + sizeof mark < len; at++) {
        if (memcmp(file + at, mark, sizeof mark) == 0) {
            assert_int_equal(fseek(f, (long)at + 6, SEEK_SET), 0);
            assert_int_equal(fputc(1, f), 1);
            changed++;
        }
    }
    assert_int_equal(fclose(f), 0);
    assert_true(changed > 0);
    s = store_begin(SIZE);
    assert_int_equal(check_all(s), 0);
    assert_notes(s, 0, "day/1=one;day/2=two;");
    assert_true(exists("data.mdb.bad"));
    store_close(s);
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

/* Sets the first key of each leaf page of the log but the first to 0 in the file, so that keys are out
 * of order: a page has a header of 16 bytes and the places of its nodes; a node 8 bytes, its key, and
 * the record's head, which holds the same position. */
static int break_order(void)
{
    enum { PAGE = 4096, LEAF = 2, FLAGS_AT = 10, NODES_AT = 16, KEY_AT = 8, POSITION_AT = 24 };
    static char file[8 * 1024 * 1024];
    static const char none[sizeof(int64_t)] = {0};
    char path[128];
    int found = 0;
    path_in(path, sizeof path, "data.mdb");
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    size_t len = fread(file, 1, sizeof file, f);
    for (size_t page = 0; page + PAGE <= len; page += PAGE) {
        uint16_t flags, node;
        memcpy(&flags, file + page + FLAGS_AT, sizeof flags);
        memcpy(&node, file + page + NODES_AT, sizeof node);
        const char *key = file + page + node + KEY_AT;
        if (flags != LEAF || node > PAGE - 64 ||
            memcmp(key, key + sizeof none + POSITION_AT, sizeof none) != 0) {
            continue;
        }
        if (found++ > 0) {
            assert_int_equal(fseek(f, key - file, SEEK_SET), 0);
            assert_int_equal(fwrite(none, 1, sizeof none, f), sizeof none);
        }
    }
    fclose(f);
    return found;
}

static bool any_record(void *ctx, struct hash_key key, const struct store_record *r)
{
    int *count = ctx;
    (void)key;
    (void)r;
    (*count)++;
    return true;
}

/* What walks along the log comes to an end, forwards and backwards: the alarm ends the test. */
static void keys_out_of_order_are_no_circle(void **state)
{
    int count = 0;
    (void)state;
    fill();
    struct store *s = store_begin(SIZE);
    for (uint64_t i = 1; i < RECORDS; i += 2) { /* gaps: a search then ends behind a page */
        struct store_job *job = store_job_new(STORE_REMOVE);
        job->key = key_of(i);
        job->done = store_job_done;
        store_submit(s, job);
    }
    settle(s);
    store_close(s);
    assert_true(break_order() > 6);
    s = store_begin(SIZE);
    alarm(20);
    store_read_begin(s);
    int64_t at = 0;
    do {
        at = store_walk(s, at, 4, any_record, &count);
    } while (at != 0);
    store_read_end(s);
    struct store_job *sweep = store_job_new(STORE_SWEEP);
    sweep->now.us = 1;
    sweep->done = store_job_done;
    store_submit(s, sweep);
    store_flush(s);
    assert_int_equal(collect(s), ERR_CORRUPT);
    alarm(0);
    assert_int_equal(store_results[1], 1); /* the sweep says that the file is damaged */
    store_close(s);
}

/* Changes what the first page of each value that has pages of its own says: that it is 2 billion. */
static int break_counts(void)
{
    enum { PAGE = 4096, OWN_PAGES = 4, FLAGS_AT = 10, COUNT_AT = 12 };
    static const uint32_t many = 2000000000;
    char path[128];
    int found = 0;
    uint16_t flags;
    path_in(path, sizeof path, "data.mdb");
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    for (off_t page = 2 * PAGE; pread(fd, &flags, sizeof flags, page + FLAGS_AT) == sizeof flags;) {
        if (flags == OWN_PAGES) {
            assert_int_equal(pwrite(fd, &many, sizeof many, page + COUNT_AT), sizeof many);
            found++;
        }
        page += PAGE;
    }
    close(fd);
    return found;
}

/* LMDB would list 2 billion pages as free, for hours and 16 GB. */
static void pages_that_a_damaged_count_names_are_not_freed(void **state)
{
    static char value[3900];
    (void)state;
    struct store *s = store_begin(SIZE);
    memset(value, 'a', sizeof value);
    put(s, STORE_ANSWER, 1, span_make(value, sizeof value), FAR);
    struct store_job *note = store_job_new(STORE_NOTE);
    snprintf(note->name, sizeof note->name, "large");
    note->expires.us = FAR;
    note->value.max = sizeof value;
    note->done = store_job_done;
    assert_int_equal(buf_append(&note->value, value, sizeof value), ERR_OK);
    store_submit(s, note);
    settle(s);
    store_close(s);
    assert_true(break_counts() >= 2);
    for (int again = 0; again < 2; again++) { /* a record, then a note, that is written again */
        s = store_begin(SIZE);
        alarm(20);
        if (again == 0) {
            put(s, STORE_ANSWER, 1, SPAN("new"), FAR);
        } else {
            note = store_job_new(STORE_NOTE);
            snprintf(note->name, sizeof note->name, "large");
            note->expires.us = FAR;
            note->done = store_job_done;
            store_submit(s, note);
        }
        store_flush(s);
        assert_int_equal(collect(s), ERR_CORRUPT);
        alarm(0);
        store_close(s);
    }
}

static volatile uintptr_t fault;

static void on_fault(int signo, siginfo_t *info, void *context)
{
    const uintptr_t page = 4096; /* a system may leave the rest of the address out */
    (void)signo;
    (void)context;
    _exit((uintptr_t)info->si_addr / page == fault / page ? 0 : 77);
}

static void fault_behind_the_end_of_a_file(void)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    FILE *file = tmpfile();
    const volatile char *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fileno(file), 0);
    fault = (uintptr_t)map;
    sigaction(SIGBUS, &action, NULL);
    _exit(map[0] + 1);
}

/* Whether the system says where a fault was. QEMU 7.2 swaps the halves of the address for s390x. */
static bool is_place_of_a_fault_said(void)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        fault_behind_the_end_of_a_file();
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77);
    return WEXITSTATUS(status) == 0;
}

/* In a child: what is read of a value after it was given out is not there any more. */
static void read_what_was_cut(void)
{
    struct store_options o = {
        .dir = store_dir, .max_size = SIZE, .sync = true, .wake = store_woken, .crash_mark = true};
    struct store *s = NULL;
    struct store_record r;
    char why[256], path[128];
    signal(SIGBUS, SIG_DFL);
    if (store_open(&o, &s, why, sizeof why) != ERR_OK) {
        _exit(1);
    }
    files_install_crash_mark(store_dir);
    store_read_begin(s);
    path_in(path, sizeof path, "data.mdb");
    if (store_get(s, STORE_ANSWER, key_of(1), &r) != ERR_OK || truncate(path, 8192) != 0) {
        _exit(1);
    }
    _exit(((const volatile char *)r.value.ptr)[r.value.len - 1]);
}

static void a_file_that_is_cut_under_a_value_leaves_a_mark(void **state)
{
    static char value[100000];
    int status = 0;
    (void)state;
    if (!is_place_of_a_fault_said()) {
        skip();
    }
    struct store *s = store_begin(SIZE);
    memset(value, 'a', sizeof value);
    put(s, STORE_ANSWER, 1, span_make(value, sizeof value), FAR);
    settle(s);
    store_close(s);
    pid_t child = fork();
    if (child == 0) {
        read_what_was_cut();
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    assert_true(exists("crashed"));
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

static bool any_value(const void *filter, struct span value)
{
    (void)filter;
    (void)value;
    return true;
}

/* Changes a byte of the key in the head of the record that has this value. */
static void break_key(struct span value)
{
    static char bytes[4 * 1024 * 1024];
    char path[128];
    path_in(path, sizeof path, "data.mdb");
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    ssize_t n = pread(fd, bytes, sizeof bytes, 0);
    size_t at = span_find(span_make(bytes, (size_t)n), value, 0);
    assert_true(n > 0 && at != SIZE_MAX);
    at = at - sizeof(struct record_head) + offsetof(struct record_head, key);
    bytes[at] ^= 1;
    assert_int_equal(pwrite(fd, bytes + at, 1, (off_t)at), 1);
    close(fd);
}

/* A purge removes a record whose head has another key by now; the row of its own key stays. After the
 * next start a new record gets its position. */
static void a_row_without_its_record_harms_no_other(void **state)
{
    (void)state;
    struct store *s = store_begin(SIZE);
    put(s, STORE_ANSWER, 1, SPAN("the first record"), FAR);
    settle(s);
    store_close(s);
    break_key(SPAN("the first record"));
    s = store_begin(SIZE);
    struct store_job *purge = store_job_new(STORE_PURGE);
    purge->match = any_value;
    purge->done = store_job_done;
    store_submit(s, purge);
    settle(s);
    assert_int_equal(store_results[2], 1);
    store_close(s);
    s = store_begin(SIZE);
    put(s, STORE_ANSWER, 2, SPAN("the second"), FAR);
    settle(s);
    put(s, STORE_ANSWER, 1, SPAN("the first again"), FAR);
    settle(s);
    assert_string_equal(get(s, 2), "the second");
    assert_string_equal(get(s, 1), "the first again");
    store_close(s);
}

#define FAULT(test) cmocka_unit_test_setup_teardown(test, store_setup, store_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT(a_flipped_byte_is_never_served),
        FAULT(damaged_files_are_set_aside_and_made_again),
        FAULT(an_empty_file_is_a_new_store),
        FAULT(a_directory_in_use_is_refused_by_name),
        FAULT(what_is_no_directory_is_refused),
        FAULT(what_was_committed_survives_kill_9_at_any_moment),
        FAULT(damage_that_kills_while_opening_kills_once),
        FAULT(only_signals_of_the_store_leave_a_mark),
        FAULT(a_file_of_another_format_is_set_aside_but_for_its_notes),
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
        FAULT(keys_out_of_order_are_no_circle),
        FAULT(pages_that_a_damaged_count_names_are_not_freed),
        FAULT(a_file_that_is_cut_under_a_value_leaves_a_mark),
        FAULT(a_row_without_its_record_harms_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
