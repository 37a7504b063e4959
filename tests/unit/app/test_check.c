/* test_check.c: lulld --check beyond the configuration itself: the data directory, and files that the
 * daemon's user must be able to read. */
#include "support/capture.h"

#include "app/app_priv.h"

#include <stdlib.h>
#include <sys/stat.h>

enum { TEXT_MAX = 4096, OTHER_USER = 12345 };

struct place {
    char folder[64];
    char data[128], key[128];
};

static void place_make(struct place *p)
{
    FILE *f = NULL;
    *p = (struct place){.folder = "/tmp/lull-check-XXXXXX"};
    assert_non_null(mkdtemp(p->folder));
    assert_int_equal(chmod(p->folder, 0755), 0);
    snprintf(p->data, sizeof p->data, "%s/data", p->folder);
    snprintf(p->key, sizeof p->key, "%s/key", p->folder);
    f = fopen(p->key, "w");
    assert_true(f != NULL && fputs("secret\n", f) > 0);
    fclose(f);
    assert_int_equal(chmod(p->key, 0600), 0);
}

static void place_remove(const struct place *p)
{
    rmdir(p->data);
    unlink(p->key);
    assert_int_equal(rmdir(p->folder), 0);
}

/* The exit status; out gets what is written to both streams. */
static int check(const struct place *p, char *out)
{
    char sets[3][256];
    char *items[3] = {sets[0], sets[1], sets[2]};
    struct buf errors = {.max = TEXT_MAX}, warnings = {.max = TEXT_MAX};
    struct capture output, messages;
    snprintf(sets[0], sizeof sets[0], "server.data_dir=%s", p->data);
    snprintf(sets[1], sizeof sets[1], "server.control=%s/control.sock", p->folder);
    snprintf(sets[2], sizeof sets[2], "upstream.default.api_key_file=%s", p->key);
    struct config_sources sources = {.upstream = "http://127.0.0.1:9", .sets = {items, 3}};
    struct config *config = config_read(&sources, &errors, &warnings);
    assert_non_null(config);
    capture_begin(&output, stdout);
    capture_begin(&messages, stderr);
    int status = app_check(config, NULL);
    capture_end(&messages, out, TEXT_MAX);
    size_t len = strlen(out);
    capture_end(&output, out + len, TEXT_MAX - len);
    config_destroy(config);
    buf_free(&errors);
    buf_free(&warnings);
    return status;
}

static void a_folder_that_is_missing_or_empty_is_in_order(void **state)
{
    struct place p;
    char out[TEXT_MAX];
    struct stat st;
    (void)state;
    place_make(&p);
    assert_int_equal(check(&p, out), EXIT_STOPPED);
    assert_string_equal(out, "lulld: ok, upstream default http://127.0.0.1:9\n");
    assert_int_not_equal(stat(p.data, &st), 0); /* nothing is made */
    assert_int_equal(mkdir(p.data, 0700), 0);
    assert_int_equal(check(&p, out), EXIT_STOPPED);
    place_remove(&p);
}

static void a_file_is_no_data_directory(void **state)
{
    struct place p;
    char out[TEXT_MAX], expected[256];
    (void)state;
    place_make(&p);
    snprintf(p.data, sizeof p.data, "%s/key", p.folder);
    assert_int_equal(check(&p, out), EXIT_USAGE);
    snprintf(expected, sizeof expected, "data_dir: %s is not a directory\n", p.data);
    assert_non_null(strstr(out, expected));
    snprintf(p.data, sizeof p.data, "%s/key/below", p.folder);
    assert_int_equal(check(&p, out), EXIT_USAGE);
    snprintf(expected, sizeof expected, "data_dir: %s cannot be used: ", p.data);
    assert_non_null(strstr(out, expected));
    place_remove(&p);
}

static void a_folder_that_cannot_be_written_names_the_remedy(void **state)
{
    struct place p;
    char why[512], expected[256];
    (void)state;
    if (geteuid() == 0) {
        skip(); /* root may write everywhere */
    }
    place_make(&p);
    assert_int_equal(mkdir(p.data, 0500), 0);
    assert_false(app_data_dir_usable(p.data, why, sizeof why));
    snprintf(expected, sizeof expected, "%s cannot be written; try: chown -R ", p.data);
    assert_memory_equal(why, expected, strlen(expected));
    place_remove(&p);
}

static void a_link_that_leads_nowhere_is_no_place(void **state)
{
    static const char *const below[] = {"", "/below"};
    struct place p;
    char link[128], why[512], expected[512];
    (void)state;
    place_make(&p);
    snprintf(link, sizeof link, "%s/link", p.folder);
    assert_int_equal(symlink("nothing", link), 0);
    for (size_t i = 0; i < sizeof below / sizeof below[0]; i++) {
        snprintf(p.data, sizeof p.data, "%s%s", link, below[i]);
        assert_false(app_data_dir_usable(p.data, why, sizeof why));
        snprintf(expected, sizeof expected, "%s cannot be made: %s is a link that leads nowhere",
                 p.data, link);
        assert_string_equal(why, expected);
    }
    assert_int_equal(unlink(link), 0);
    place_remove(&p);
}

/* The daemon was started by another user once, or data.mdb is something else. */
static void files_that_cannot_be_written_are_seen(void **state)
{
    struct place p;
    char file[160], why[512], expected[512];
    (void)state;
    place_make(&p);
    assert_int_equal(mkdir(p.data, 0755), 0);
    snprintf(file, sizeof file, "%s/data.mdb", p.data);
    assert_int_equal(mkdir(file, 0700), 0);
    assert_false(app_data_dir_usable(p.data, why, sizeof why));
    snprintf(expected, sizeof expected, "%s is no file", file);
    assert_string_equal(why, expected);
    assert_int_equal(rmdir(file), 0);
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fclose(f);
    assert_true(app_data_dir_usable(p.data, why, sizeof why));
    if (geteuid() == 0) { /* root may write everywhere; access() asks for the real user */
        assert_int_equal(chown(p.data, OTHER_USER, (gid_t)-1), 0);
        assert_int_equal(chmod(file, 0600), 0);
        assert_int_equal(setreuid(OTHER_USER, 0), 0);
        bool usable = app_data_dir_usable(p.data, why, sizeof why);
        assert_int_equal(setreuid(0, 0), 0);
        assert_false(usable);
        snprintf(expected, sizeof expected, "%s cannot be written (Permission denied); try: chown",
                 p.data);
        assert_memory_equal(why, expected, strlen(expected));
    }
    assert_int_equal(unlink(file), 0);
    place_remove(&p);
}

/* What a start would make, and what it would not; nothing is made. */
static void a_socket_needs_a_folder(void **state)
{
    struct place p;
    char why[512], path[256], expected[512];
    struct stat st;
    (void)state;
    place_make(&p);
    snprintf(path, sizeof path, "%s/run/lull/control.sock", p.folder);
    assert_true(app_socket_usable(path, true, why, sizeof why));
    assert_false(app_socket_usable(path, false, why, sizeof why));
    snprintf(expected, sizeof expected, "the folder %s/run/lull does not exist; make it", p.folder);
    assert_memory_equal(why, expected, strlen(expected));
    snprintf(path, sizeof path, "%s/run", p.folder);
    assert_int_not_equal(stat(path, &st), 0);
    assert_false(app_socket_usable(p.key, true, why, sizeof why));
    snprintf(expected, sizeof expected, "%s is a file that is no socket", p.key);
    assert_memory_equal(why, expected, strlen(expected));
    snprintf(path, sizeof path, "%s/link", p.folder);
    assert_int_equal(symlink("nothing", path), 0);
    assert_false(app_socket_usable(path, true, why, sizeof why));
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/below/control.sock", p.key);
    assert_false(app_socket_usable(path, true, why, sizeof why));
    snprintf(expected, sizeof expected, "the folder %s/below cannot be made: %s is no folder",
             p.key, p.key);
    assert_string_equal(why, expected);
    snprintf(path, sizeof path, "%s/run/", p.folder);
    assert_false(app_socket_usable(path, true, why, sizeof why));
    snprintf(expected, sizeof expected, "%s is a folder; write the path of a socket in it", path);
    assert_string_equal(why, expected);
    assert_false(app_socket_usable(p.folder, true, why, sizeof why));
    assert_non_null(strstr(why, " is a folder"));
    assert_false(app_socket_usable("/proc/self/nothing/c.sock", true, why, sizeof why));
    assert_non_null(strstr(why, "cannot be made"));
    place_remove(&p);
}

static void a_socket_needs_a_folder_that_can_be_written(void **state)
{
    static const char *const words[] = {"written", "made"};
    struct place p;
    char why[512], path[2][256], expected[512];
    (void)state;
    if (geteuid() != 0) {
        skip(); /* only root can become another user and come back */
    }
    place_make(&p);
    snprintf(path[0], sizeof path[0], "%s/control.sock", p.folder);
    snprintf(path[1], sizeof path[1], "%s/run/control.sock", p.folder);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(setreuid(OTHER_USER, 0), 0); /* access() asks for the real user */
        bool usable = app_socket_usable(path[i], true, why, sizeof why);
        assert_int_equal(setreuid(0, 0), 0);
        assert_false(usable);
        snprintf(expected, sizeof expected, "cannot be %s (%s: ", words[i], p.folder);
        assert_non_null(strstr(why, expected));
    }
    assert_int_equal(chmod(p.folder, 0777), 0); /* every user may put a socket there */
    assert_true(app_socket_usable(path[0], false, why, sizeof why));
    assert_false(app_socket_usable(path[0], true, why, sizeof why));
    assert_non_null(strstr(why, "others may write to it"));
    place_remove(&p);
}

/* Root checks a configuration that another user, the owner of data_dir, will run. */
static void a_key_of_another_user_is_a_warning(void **state)
{
    struct place p;
    char out[TEXT_MAX], expected[512];
    (void)state;
    if (geteuid() != 0) {
        skip(); /* only root can give the data directory away */
    }
    place_make(&p);
    assert_int_equal(mkdir(p.data, 0700), 0);
    assert_int_equal(chown(p.data, OTHER_USER, (gid_t)-1), 0);
    assert_int_equal(check(&p, out), EXIT_STOPPED);
    snprintf(expected, sizeof expected, "cannot read %s; try: chown %d %s\n", p.key, OTHER_USER,
             p.key);
    assert_non_null(strstr(out, expected));
    assert_int_equal(chown(p.key, OTHER_USER, (gid_t)-1), 0);
    assert_int_equal(check(&p, out), EXIT_STOPPED);
    assert_null(strstr(out, "cannot read"));
    assert_int_equal(chown(p.key, 0, (gid_t)-1), 0);
    assert_int_equal(chmod(p.key, 0644), 0);
    assert_int_equal(chmod(p.folder, 0700), 0); /* the file is open, its folder is not */
    assert_int_equal(check(&p, out), EXIT_STOPPED);
    assert_non_null(strstr(out, expected));
    place_remove(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_that_is_missing_or_empty_is_in_order),
        cmocka_unit_test(a_file_is_no_data_directory),
        cmocka_unit_test(a_folder_that_cannot_be_written_names_the_remedy),
        cmocka_unit_test(a_link_that_leads_nowhere_is_no_place),
        cmocka_unit_test(files_that_cannot_be_written_are_seen),
        cmocka_unit_test(a_socket_needs_a_folder),
        cmocka_unit_test(a_socket_needs_a_folder_that_can_be_written),
        cmocka_unit_test(a_key_of_another_user_is_a_warning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
