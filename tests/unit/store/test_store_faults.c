/* test_store_faults.c: what a store does when its files are damaged, taken, or its process dies. */
#include "unit/store/store_support.h"

#include "path/store/store_priv.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

static const int64_t FAR = INT64_MAX;
enum { SIZE = 16 * 1024 * 1024, RECORDS = 64 };

static void path_in(char *out, size_t size, const char *name)
{
    snprintf(out, size, "%s/%s", store_dir, name);
}

static void fill(void)
{
    char value[3000];
    struct store *s = store_begin(SIZE);
    for (uint64_t i = 0; i < RECORDS; i++) {
        memset(value, (int)('a' + i % 26), sizeof value);
        put(s, STORE_ENTRY, i, span_make(value, sizeof value), FAR);
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
        if (store_get(s, STORE_ENTRY, key_of(i), &r) == ERR_OK) {
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
    assert_int_equal(store_get(s, STORE_ENTRY, key_of(2), &r), ERR_CORRUPT);
    store_read_end(s);
    store_close(s);
}

static void damaged_files_are_set_aside_and_begun_anew(void **state)
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
        put(s, STORE_ENTRY, 7, SPAN("anew"), FAR);
        settle(s);
        assert_string_equal(get(s, 7), "anew");
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
        put(s, STORE_ENTRY, n, span_make(value, sizeof value), FAR);
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

/* Whatever is wrong with the pages, at most one start dies of it: the next one begins anew. */
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

static void fatal_signals_leave_a_mark(void **state)
{
    static const int signals[] = {SIGBUS, SIGSEGV, SIGABRT};
    (void)state;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        pid_t child = fork();
        if (child == 0) {
            files_install_crash_mark(store_dir);
            raise(signals[i]);
            _exit(0);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == signals[i]);
        assert_true(exists("crashed"));
        char path[128];
        path_in(path, sizeof path, "crashed");
        assert_int_equal(unlink(path), 0);
    }
}

#define FAULT(test) cmocka_unit_test_setup_teardown(test, store_setup, store_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT(a_flipped_byte_is_never_served),
        FAULT(damaged_files_are_set_aside_and_begun_anew),
        FAULT(an_empty_file_is_a_new_store),
        FAULT(a_directory_in_use_is_refused_by_name),
        FAULT(what_is_no_directory_is_refused),
        FAULT(what_was_committed_survives_kill_9_at_any_moment),
        FAULT(damage_that_kills_while_opening_kills_once),
        FAULT(fatal_signals_leave_a_mark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
