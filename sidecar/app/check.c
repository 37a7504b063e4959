/* check.c: lulld --check, beyond what reading the configuration says: whether the data directory and the
 * places of sockets could be used, and whether the user that the daemon runs as can read its files. It
 * only looks: it makes, locks and connects to nothing, and what a running lulld holds is in order.
 */
#include "app/app_priv.h"

#include "lull/base/listen_address.h"
#include "lull/base/os.h"
#include "lull/path/store/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SAID_MAX = 1024 };

/* ---- the data directory ---- */

bool app_data_dir_usable(const char *dir, char *why, size_t why_size)
{
    struct stat st;
    char parent[4096];
    int status = stat(dir, &st);
    if (status != 0 && errno != ENOENT) {
        snprintf(why, why_size, "%s cannot be used: %s", dir, strerror(errno));
        return false;
    }
    if (status == 0 && !S_ISDIR(st.st_mode)) {
        snprintf(why, why_size, "%s is not a directory", dir);
        return false;
    }
    if (status == 0 && access(dir, R_OK | W_OK | X_OK) != 0) {
        snprintf(why, why_size, "%s cannot be written; try: chown -R %u %s", dir,
                 (unsigned)geteuid(), dir);
        return false;
    }
    if (status == 0) {
        return store_files_usable(dir, why, why_size);
    }
    if (!os_existing_parent(dir, parent, sizeof parent)) {
        snprintf(why, why_size, "%s cannot be made: %s is a link that leads nowhere", dir, parent);
        return false;
    }
    if (access(parent, W_OK | X_OK) != 0) {
        snprintf(why, why_size, "%s cannot be made; try: mkdir -p %s && chown %u %s", dir, dir,
                 (unsigned)geteuid(), dir);
        return false;
    }
    return true;
}

/* ---- the places of sockets ---- */

/* The folder of a path, into out. */
static void folder_of(const char *path, char *out, size_t size)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
    snprintf(out, size, "%.*s", slash == NULL ? 1 : (int)len, slash == NULL ? "." : path);
}

bool app_socket_usable(const char *path, bool makes_folder, char *why, size_t why_size)
{
    struct stat st;
    char folder[4096], there[4096], below[4096 + 2];
    folder_of(path, folder, sizeof folder);
    bool found = os_existing_parent(folder, there, sizeof there);
    bool missing = !found || strcmp(there, folder) != 0;
    if (path[strlen(path) - 1] == '/' || (stat(path, &st) == 0 && S_ISDIR(st.st_mode))) {
        snprintf(why, why_size, "%s is a folder; write the path of a socket in it", path);
    } else if (lstat(path, &st) == 0 && (stat(path, &st) != 0 || !S_ISSOCK(st.st_mode))) {
        snprintf(why, why_size, "%s is a file that is no socket; remove it, or choose another path",
                 path);
    } else if (missing && !makes_folder) {
        snprintf(why, why_size, "the folder %s does not exist; make it, or choose another path",
                 folder);
    } else if (!found || stat(there, &st) != 0 || !S_ISDIR(st.st_mode)) {
        snprintf(why, why_size, "the folder %s cannot be made: %s is no folder", folder, there);
    } else if (access(there, W_OK | X_OK) != 0) {
        snprintf(why, why_size, "the folder %s cannot be %s (%s: %s); choose another path", folder,
                 missing ? "made" : "written", there, strerror(errno));
    } else {
        snprintf(below, sizeof below, "%s/.", there);
        if (!makes_folder || os_is_out_of_reach(below)) {
            return true;
        }
        snprintf(why, why_size, "the folder %s is another user's, or others may write to it",
                 there);
    }
    return false;
}

/* The Unix sockets of a list. The folder of the control socket is made at the start, others are not. */
static bool check_list(const struct config *c, const char *name, const struct strings *list,
                       struct buf *out)
{
    bool usable = true;
    char why[SAID_MAX];
    char folder[4096], made[4096];
    folder_of(config_settings(c)->server.control, made, sizeof made);
    for (size_t i = 0; i < list->count; i++) {
        struct listen_address a;
        if (!listen_address_parse(list->items[i], &a) || a.path == NULL) {
            continue;
        }
        folder_of(a.path, folder, sizeof folder);
        if (!app_socket_usable(a.path, strcmp(folder, made) == 0, why, sizeof why)) {
            config_say(c, name, why, out);
            usable = false;
        }
    }
    return usable;
}

static bool check_sockets(const struct config *c, struct buf *out)
{
    const struct server_settings *s = &config_settings(c)->server;
    char why[SAID_MAX];
    bool usable = app_socket_usable(s->control, s->control[0] == '/', why, sizeof why);
    if (!usable) {
        config_say(c, "server.control", why, out);
    }
    usable = check_list(c, "server.listen", &s->listen, out) && usable;
    return check_list(c, "server.metrics_listen", &s->metrics_listen, out) && usable;
}

/* ---- files that the daemon's user has to read ---- */

static bool is_permitted(const struct stat *st, uid_t uid, mode_t owner, mode_t group, mode_t other)
{
    if (st->st_uid == uid) {
        return (st->st_mode & owner) != 0;
    }
    /* a group other than root's was given on purpose, most likely to the daemon */
    return (st->st_mode & other) != 0 || (st->st_gid != 0 && (st->st_mode & group) != 0);
}

/* Whether the user can open the file, and every folder above it. */
static bool can_read(const char *path, uid_t uid)
{
    char part[4096];
    struct stat st;
    snprintf(part, sizeof part, "%s", path);
    bool ok = stat(part, &st) != 0 || is_permitted(&st, uid, S_IRUSR, S_IRGRP, S_IROTH);
    for (char *slash = NULL; ok && (slash = strrchr(part, '/')) != NULL && slash != part;) {
        *slash = '\0';
        ok = stat(part, &st) != 0 || is_permitted(&st, uid, S_IXUSR, S_IXGRP, S_IXOTH);
    }
    return ok;
}

/* The daemon's user, seen by root: the owner of its data, once there are some. */
static bool runs_as_another(const struct server_settings *s, uid_t *uid)
{
    struct stat st;
    if (geteuid() != 0 || stat(s->data_dir, &st) != 0) {
        return false; /* what this user cannot read is said already */
    }
    *uid = st.st_uid;
    return st.st_uid != 0;
}

static void warn_unreadable(const struct config *c, const char *name, const char *path,
                            struct buf *out)
{
    uid_t uid = 0;
    char text[SAID_MAX];
    if (path[0] == '\0' || !runs_as_another(&config_settings(c)->server, &uid) ||
        can_read(path, uid)) {
        return;
    }
    snprintf(text, sizeof text,
             "the user of data_dir, as which lulld runs, cannot read %s; try: chown %lu %s", path,
             (unsigned long)uid, path);
    config_say(c, name, text, out);
}

static void check_files(const struct config *c, struct buf *out)
{
    const struct settings *s = config_settings(c);
    for (size_t i = 0; i < s->upstream_count; i++) {
        const struct upstream_settings *u = &s->upstreams[i];
        char name[192];
        snprintf(name, sizeof name, "upstream.%s.api_key_file", u->name);
        warn_unreadable(c, name, u->api_key_file, out);
        snprintf(name, sizeof name, "upstream.%s.ca_file", u->name);
        warn_unreadable(c, name, u->ca_file, out);
    }
}

static void print_ok(const struct settings *s, const char *file)
{
    printf("%s: ok", file != NULL && access(file, F_OK) == 0 ? file : "lulld");
    for (size_t i = 0; i < s->upstream_count; i++) {
        printf(", upstream %s %s", s->upstreams[i].name, s->upstreams[i].url);
    }
    printf("\n");
}

int app_check(const struct config *config, const char *file)
{
    const struct settings *s = config_settings(config);
    struct buf said = {.max = 65536};
    char why[SAID_MAX];
    bool usable = app_data_dir_usable(s->server.data_dir, why, sizeof why);
    check_files(config, &said);
    if (!usable) {
        config_say(config, "server.data_dir", why, &said);
    }
    usable = check_sockets(config, &said) && usable;
    fprintf(stderr, "%.*s", (int)said.len, said.len > 0 ? said.data : "");
    buf_free(&said);
    if (!usable) {
        return EXIT_USAGE;
    }
    print_ok(s, file);
    return fflush(stdout) == 0 ? EXIT_STOPPED : EXIT_FAILED;
}
