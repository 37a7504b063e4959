/* os_paths.c: what the service manager says, folders, and whether others can reach them. Nothing here
 * differs between systems.
 */
#include "lull/base/os.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* The queue of the service manager may be full for a moment, where many services start at once: without
 * READY=1 it would end this one. */
static bool send_state(int fd, const char *text, bool waits)
{
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    for (int left = waits ? 10 : 0;; left--) {
        if (send(fd, text, strlen(text), MSG_NOSIGNAL) >= 0) {
            return true;
        }
        if (errno != EAGAIN || left == 0) {
            return false;
        }
        (void)poll(&room, 1, 100);
    }
}

bool os_notify(const char *state, bool waits)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    bool sent = false;
    if (path == NULL || path[0] == '\0' || strlen(path) >= sizeof to.sun_path) {
        return false;
    }
    size_t len = strlen(path);
    memcpy(to.sun_path, path, len);
    if (path[0] == '@') {
        to.sun_path[0] = '\0'; /* the abstract namespace */
    }
    int fd = os_socket(AF_UNIX, SOCK_DGRAM);
    if (fd >= 0) {
        socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
        sent = connect(fd, (struct sockaddr *)&to, size) == 0 && send_state(fd, state, waits);
        close(fd);
    }
    return sent;
}

int os_inherited_sockets(void)
{
    const char *pid = getenv("LISTEN_PID");
    const char *count = getenv("LISTEN_FDS");
    if (pid == NULL || count == NULL || strtol(pid, NULL, 10) != (long)getpid()) {
        return 0;
    }
    long n = strtol(count, NULL, 10);
    return n > 0 && n < 64 ? (int)n : 0;
}

const char *os_service_directory(const char *variable)
{
    const char *given = getenv(variable);
    return given != NULL && given[0] == '/' && strchr(given, ':') == NULL ? given : NULL;
}

void os_default_control(char *out, size_t size)
{
    const char *given = os_service_directory("RUNTIME_DIRECTORY");
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (given != NULL) {
        snprintf(out, size, "%s/control.sock", given);
    } else if (geteuid() == 0) {
        snprintf(out, size, "%s", OS_SYSTEM_CONTROL);
    } else if (runtime != NULL && runtime[0] == '/') {
        snprintf(out, size, "%s/lull/control.sock", runtime);
    } else {
        snprintf(out, size, "/tmp/lull-%u/control.sock", (unsigned)geteuid());
    }
}

static bool is_private(const char *folder)
{
    struct stat st;
    return lstat(folder, &st) == 0 && S_ISDIR(st.st_mode) &&
           (st.st_uid == geteuid() || st.st_uid == 0) && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static bool is_for_all(const char *folder)
{
    struct stat st;
    return stat(folder, &st) == 0 && (st.st_mode & S_ISVTX) != 0 && (st.st_mode & S_IWOTH) != 0;
}

bool os_is_out_of_reach(const char *path)
{
    char folder[4096];
    bool below = false;
    for (size_t i = 1; i < sizeof folder && path[0] != '\0' && path[i] != '\0'; i++) {
        if (path[i] != '/' || path[i - 1] == '/') {
            continue;
        }
        memcpy(folder, path, i);
        folder[i] = '\0';
        if (below && !is_private(folder)) {
            return false;
        }
        below = below || is_for_all(folder);
    }
    return true;
}

bool os_existing_parent(const char *path, char *out, size_t size)
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

enum err os_mkdirs(const char *path, mode_t mode)
{
    char part[4096];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part) {
        return ERR_INVALID;
    }
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        memcpy(part, path, i);
        part[i] = '\0';
        mode_t wanted = i == len ? mode : 0755;
        if (mkdir(part, wanted) == 0) {
            (void)chmod(part, wanted); /* the umask took bits away */
        } else if (errno != EEXIST) {
            /* a parent that exists may be on a read-only file system */
            struct stat st;
            int mkdir_errno = errno;
            if (stat(part, &st) != 0) {
                return err_from_errno(mkdir_errno);
            }
        }
    }
    return ERR_OK;
}
