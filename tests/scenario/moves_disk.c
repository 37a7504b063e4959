/* moves_disk.c: what happens to the disk: it is full and has room again, the data file is removed, the
 * directory cannot be used. Nothing of it fails a request. */
#include "scenario/moves_priv.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_bool full;

/* Of a file: sockets have all the room that they need. */
static bool is_refused(int fd)
{
    struct stat st;
    if (!atomic_load(&full) || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return false;
    }
    errno = ENOSPC;
    return true;
}

/* In place of the C library's, also for LMDB. */
#define WRITES(type, name, parameters, ...)                                                        \
    type name parameters                                                                           \
    {                                                                                              \
        type(*real) parameters;                                                                    \
        void *symbol = dlsym(RTLD_NEXT, #name);                                                    \
        memcpy(&real, &symbol, sizeof real);                                                       \
        return is_refused(fd) ? -1 : real(__VA_ARGS__);                                            \
    }

WRITES(ssize_t, pwrite, (int fd, const void *data, size_t size, off_t at), fd, data, size, at)
WRITES(ssize_t, writev, (int fd, const struct iovec *parts, int count), fd, parts, count)
WRITES(int, fdatasync, (int fd), fd)

static void path_of(struct game *g, const char *suffix, char out[256])
{
    int n = snprintf(out, 256, "%s%s", world_settings(g->world)->server.data_dir, suffix);
    require(n > 0 && n < 256);
}

/* A file stands where the directory was. */
static void block(struct game *g)
{
    char dir[256], away[256];
    path_of(g, "", dir);
    path_of(g, ".away", away);
    g->blocked = rename(dir, away) == 0;
    FILE *f = g->blocked ? fopen(dir, "wb") : NULL;
    require(f == NULL || fclose(f) == 0);
}

static void unblock(struct game *g)
{
    char dir[256], away[256];
    path_of(g, "", dir);
    path_of(g, ".away", away);
    require(unlink(dir) == 0 && rename(away, dir) == 0);
    g->blocked = false;
}

void disk_move(struct game *g)
{
    char file[256];
    switch (pick(g, 6)) {
    case 0:
    case 1:
        atomic_store(&full, true);
        break;
    case 2:
    case 3:
        atomic_store(&full, false);
        break;
    case 4:
        path_of(g, "/data.mdb", file);
        (void)unlink(file);
        break;
    default:
        if (g->blocked) {
            unblock(g);
        } else {
            block(g);
        }
        break;
    }
    world_pass(g->world, pick(g, 3) == 0 ? 11 * USEC_PER_S : 0); /* it is looked at every 10 s */
}

void disk_end(struct game *g)
{
    atomic_store(&full, false);
    if (g->blocked) {
        unblock(g);
    }
}
