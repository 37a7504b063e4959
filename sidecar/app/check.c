/* check.c: lulld --check, beyond what reading the configuration says: whether the data directory
 * could be used, and whether the user that the daemon runs as can read its files. It only looks: it
 * makes and locks nothing, and a directory that a running lulld holds is in order.
 */
#include "app/app_priv.h"

#include "lull/path/store/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SAID_MAX = 1024 };

/* ---- the data directory ---- */

/* The nearest folder above path that is there, into out. false: out is a link that leads nowhere. */
static bool existing_parent(const char *path, char *out, size_t size)
{
    struct stat st;
    snprintf(out, size, "%s", path);
    while (stat(out, &st) != 0) {
        if (lstat(out, &st) == 0) {
            return false;
        }
        char *slash = strrchr(out, '/');
        if (slash == NULL) {
            snprintf(out, size, ".");
            break;
        }
        slash[slash == out ? 1 : 0] = '\0';
    }
    return true;
}

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
    if (!existing_parent(dir, parent, sizeof parent)) {
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
    fprintf(stderr, "%.*s", (int)said.len, said.len > 0 ? said.data : "");
    buf_free(&said);
    if (!usable) {
        return EXIT_USAGE;
    }
    print_ok(s, file);
    return fflush(stdout) == 0 ? EXIT_STOPPED : EXIT_FAILED;
}
