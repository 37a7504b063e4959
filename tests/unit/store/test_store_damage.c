/* test_store_damage.c: what a store does when bytes of its data file are damaged, missing, or of another format. */
#include "unit/store/known_records.h"

#include "path/store/store_priv.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

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

/* Found by the bytes of its name and number in the meta table. */
/* Overwrites one byte of the data file wherever a mark stands in it; returns how often it does. */
static size_t overwrite(const char *mark, size_t len, size_t at, char byte)
{
    static char file[8 * 1024 * 1024];
    char path[128];
    size_t changed = 0;
    path_in(path, sizeof path, "data.mdb");
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    size_t size = fread(file, 1, sizeof file, f);
    for (size_t from = 0; from + len < size; from++) {
        if (memcmp(file + from, mark, len) == 0) {
            assert_int_equal(fseek(f, (long)(from + at), SEEK_SET), 0);
            assert_int_equal(fputc(byte, f), byte);
            changed++;
        }
    }
    assert_int_equal(fclose(f), 0);
    return changed;
}

static void a_file_of_another_format_is_set_aside_but_for_its_notes(void **state)
{
    static const uint32_t format = STORE_FORMAT;
    char mark[6 + sizeof format] = "format";
    (void)state;
    memcpy(mark + 6, &format, sizeof format);
    fill();
    struct store *s = store_begin(SIZE);
    note(s, "day/1", SPAN("one"), INT64_MAX, 0);
    note(s, "day/2", SPAN("two"), INT64_MAX, 0);
    store_close(s);
    assert_true(overwrite(mark, sizeof mark, 6, 1) > 0);
    s = store_begin(SIZE);
    assert_int_equal(check_all(s), 0);
    assert_notes(s, 0, "day/1=one;day/2=two;");
    assert_true(exists("data.mdb.bad"));
    store_close(s);
}

/* The records of a file without its secret are found by nothing; and a secret of zeros is none. */
static void a_file_without_its_secret_is_set_aside(void **state)
{
    static const struct hash_secret zeros = {0};
    (void)state;
    fill();
    assert_true(overwrite("secret", 6, 5, 's') > 0);
    struct store *s = store_begin(SIZE);
    assert_true(exists("data.mdb.bad"));
    assert_int_equal(store_stats(s).entries, 0);
    assert_memory_not_equal(store_secret(s), &zeros, sizeof zeros);
    store_close(s);
}

/* The damage is done to what such pages hold. */
static void needs_pages_of_4_kb(void)
{
    if (file_page() != 4096) {
        skip();
    }
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
    needs_pages_of_4_kb();
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
    needs_pages_of_4_kb();
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT(a_flipped_byte_is_never_served),
        FAULT(damaged_files_are_set_aside_and_made_again),
        FAULT(an_empty_file_is_a_new_store),
        FAULT(damage_that_kills_while_opening_kills_once),
        FAULT(a_file_of_another_format_is_set_aside_but_for_its_notes),
        FAULT(a_file_without_its_secret_is_set_aside),
        FAULT(keys_out_of_order_are_no_circle),
        FAULT(pages_that_a_damaged_count_names_are_not_freed),
        FAULT(a_file_that_is_cut_under_a_value_leaves_a_mark),
        FAULT(a_row_without_its_record_harms_no_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
