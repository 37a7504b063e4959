/* test_store_machines.c: a data directory on machines with other pages, and of another byte order.
 * LMDB asks sysconf() for the size of a page, and mmap() for the map, and gets both from this program:
 * the map begins 4 KB behind a boundary of 64 KB, as it may on a machine with pages of 4 KB.
 */
#include "path/store/store_priv.h"
#include "unit/store/store_support.h"

#include <dlfcn.h>
#include <sys/auxv.h>
#include <sys/mman.h>

#ifdef __SANITIZE_THREAD__

int main(void)
{
    puts("skipped: TSan calls sysconf() and mmap() before it is ready for those of a program");
    return 77;
}

#else

enum { MB = 1024 * 1024, MAX = 4 * MB };
static const int64_t FAR = 4000000000 * USEC_PER_S;

static long page_size; /* 0: the system's */

long sysconf(int name)
{
    static long (*others)(int);
    if (name == _SC_PAGESIZE) {
        return page_size > 0 ? page_size : (long)getauxval(AT_PAGESZ);
    }
    if (others == NULL) {
        void *found = dlsym(RTLD_NEXT, "sysconf");
        memcpy(&others, &found, sizeof others);
    }
    return others(name);
}

static uintptr_t mapped_at; /* the last map of a file */

static void *real_mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    static void *(*real)(void *, size_t, int, int, int, off_t);
    if (real == NULL) {
        void *found = dlsym(RTLD_NEXT, "mmap");
        memcpy(&real, &found, sizeof real);
    }
    return real(at, length, protection, flags, fd, offset);
}

/* A free place of that length that begins 4 KB behind a boundary of 64 KB. */
static char *free_place(size_t length)
{
    enum { BOUNDARY = 65536, PAGE = 4096 };
    size_t room = length + 2 * BOUNDARY;
    char *found = real_mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (found == MAP_FAILED) {
        return NULL;
    }
    munmap(found, room);
    return found + (BOUNDARY - (uintptr_t)found % BOUNDARY) + PAGE;
}

void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    bool of_file = fd >= 0 && at == NULL && length >= MB && (flags & MAP_SHARED) != 0;
    char *place = of_file ? free_place(length) : at;
    int how = of_file && place != NULL ? flags | MAP_FIXED_NOREPLACE : flags;
    void *map = real_mmap(place, length, protection, how, fd, offset);
    mapped_at = of_file ? (uintptr_t)map : mapped_at;
    return map;
}

/* What Debian's LMDB calls. */
void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t offset)
{
    return mmap(at, length, protection, flags, fd, offset);
}

static int setup(void **state)
{
    page_size = 0;
    return store_setup(state);
}

/* A file of that page size that holds the records 0 to 9. */
static void write_ten(long page)
{
    page_size = page;
    struct store *s = store_begin(MAX);
    for (uint64_t i = 0; i < 10; i++) {
        put(s, STORE_ANSWER, i, SPAN("ten"), FAR);
    }
    settle(s);
    store_close(s);
}

/* Groups of as many bytes as a group may have, again and again, in the smallest cache: nothing is
 * refused, and the file stays under its bound. */
static void overwrite(long page, size_t length)
{
    static char value[MAX / 64];
    memset(value, 'v', sizeof value);
    struct store *s = store_begin(MAX);
    for (uint64_t n = 0; n < 8 * MAX / length; n++) {
        put(s, STORE_ANSWER, 1000 + n, span_make(value, length), FAR);
    }
    settle(s);
    struct store_stats stats = store_stats(s);
    assert_int_equal(stats.errors, 0);
    assert_int_equal(store_results[1], 0);
    assert_true(stats.bytes <= MAX && stats.bytes > MAX / 2);
    assert_int_equal(mapped_at % 65536, 4096);
    assert_true(s->map == mapped_at);
    assert_string_equal(get(s, 1000 + 8 * MAX / length - 1) == NULL ? "lost" : "there", "there");
    store_close(s);
    assert_true(file_size() <= MAX + MAX / 4 + 1024 * page);
}

static void every_page_size_keeps_its_bound(void **state)
{
    static const long pages[] = {4096, 16384, 65536};
    static const size_t lengths[] = {300, 4000, 16500, 33000, 65000};
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        for (size_t k = 0; k < sizeof lengths / sizeof lengths[0]; k++) {
            page_size = pages[i];
            overwrite(pages[i], lengths[k]);
            assert_int_equal(store_teardown(state) + store_setup(state), 0);
        }
    }
}

/* A file keeps the pages that it was made with. */
static void a_directory_moves_to_a_machine_with_other_pages(void **state)
{
    static const long moves[][2] = {{4096, 16384}, {4096, 65536}, {16384, 4096}, {65536, 4096}};
    for (size_t i = 0; i < sizeof moves / sizeof moves[0]; i++) {
        write_ten(moves[i][0]);
        page_size = moves[i][1];
        struct store *s = store_begin(MAX);
        assert_int_equal(store_stats(s).entries, 10);
        for (uint64_t n = 0; n < 10; n++) {
            assert_string_equal(get(s, n), "ten");
        }
        store_close(s);
        overwrite(moves[i][0], 33000);
        assert_false(exists("data.mdb.bad"));
        assert_int_equal(store_teardown(state) + store_setup(state), 0);
    }
}

/* Turns the bytes of a number in the file around. */
static void turn_around(FILE *f, long at, size_t size)
{
    unsigned char bytes[8], turned[8];
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    assert_int_equal(fread(bytes, 1, size, f), size);
    for (size_t i = 0; i < size; i++) {
        turned[i] = bytes[size - 1 - i];
    }
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    assert_int_equal(fwrite(turned, 1, size, f), size);
}

/* What a start reads first: in both meta pages of LMDB the flags of the page, the magic number and
 * the version. */
static void a_directory_of_another_byte_order_is_set_aside(void **state)
{
    enum { PAGE = 4096, FLAGS_AT = 10, MAGIC_AT = 16, VERSION_AT = 20 };
    char path[128];
    (void)state;
    write_ten(PAGE);
    snprintf(path, sizeof path, "%s/data.mdb", store_dir);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    for (long page = 0; page < 2; page++) {
        turn_around(f, page * PAGE + FLAGS_AT, 2);
        turn_around(f, page * PAGE + MAGIC_AT, 4);
        turn_around(f, page * PAGE + VERSION_AT, 4);
    }
    assert_int_equal(fclose(f), 0);
    struct store *s = store_begin(MAX);
    assert_true(exists("data.mdb.bad"));
    assert_int_equal(store_stats(s).entries, 0);
    assert_null(get(s, 1));
    put(s, STORE_ANSWER, 1, SPAN("again"), FAR);
    settle(s);
    assert_string_equal(get(s, 1), "again");
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_page_size_keeps_its_bound, setup, store_teardown),
        cmocka_unit_test_setup_teardown(a_directory_moves_to_a_machine_with_other_pages, setup,
                                        store_teardown),
        cmocka_unit_test_setup_teardown(a_directory_of_another_byte_order_is_set_aside, setup,
                                        store_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
