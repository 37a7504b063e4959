/* doctor_socket.c: lullctl doctor without a daemon: what can be seen of its socket from outside. */
#include "ctl/ctl.h"

#include "lull/base/os.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Whether a process listens there, whatever it is. */
static bool accepts(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = os_socket(AF_UNIX, SOCK_STREAM);
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    bool accepted = fd >= 0 && (connect(fd, (struct sockaddr *)&to, sizeof to) == 0 ||
                                errno == EAGAIN); /* its backlog is full */
    if (fd >= 0) {
        close(fd);
    }
    return accepted;
}

const char *ctl_doctor_socket(const char *path, char *text, size_t size)
{
    static const char not_allowed[] = "Run it as root, or as a member of [server] control_group.";
    struct stat st;
    if (stat(path, &st) != 0) {
        bool denied = errno == EACCES;
        snprintf(text, size, "No daemon: %s: %s.", path, strerror(errno));
        return denied ? not_allowed : "Start lulld, or name its socket with --socket.";
    }
    if (!S_ISSOCK(st.st_mode)) {
        snprintf(text, size, "%s is no socket.", path);
        return "Name lulld's control socket with --socket.";
    }
    if (access(path, W_OK) != 0) {
        snprintf(text, size, "You may not use the control socket %s.", path);
        return not_allowed;
    }
    if (accepts(path)) {
        snprintf(text, size, "What listens on %s does not answer as lulld does.", path);
        return "Restart lulld, or name another socket with --socket.";
    }
    snprintf(text, size, "No daemon answers on %s.", path);
    return "Start lulld: the socket is left over from one that has ended.";
}
