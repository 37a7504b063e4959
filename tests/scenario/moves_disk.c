/* moves_disk.c: what happens to the disk: it is full and has room again, it stands still, bytes of stored
 * answers change, the data file is removed, the directory cannot be used. Nothing of it fails a
 * request, and no damaged answer is served. */
#include "scenario/moves_priv.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_bool full;

/* While it stands, the thread that writes waits; the loop's never does. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t goes_on = PTHREAD_COND_INITIALIZER;
static bool stands;
static pthread_t loop_thread;

static void wait_for_disk(void)
{
    pthread_mutex_lock(&mutex);
    while (stands && !pthread_equal(pthread_self(), loop_thread)) {
        pthread_cond_wait(&goes_on, &mutex);
    }
    pthread_mutex_unlock(&mutex);
}

bool disk_stands(void)
{
    return stands;
}

static void set_standing(bool now)
{
    pthread_mutex_lock(&mutex);
    stands = now;
    loop_thread = pthread_self();
    pthread_cond_broadcast(&goes_on);
    pthread_mutex_unlock(&mutex);
}

void disk_go_on(void)
{
    set_standing(false);
}

/* Of a file: sockets have all the room that they need. */
static bool is_refused(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return false;
    }
    wait_for_disk();
    if (!atomic_load(&full)) {
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

/* Bits of records on disk change, from the nth place where one names its subject on: one, or each. They
 * are of an answer, or of the request that led to it. */
static void damage_file(struct game *g, int fd, struct span all)
{
    unsigned skip = pick(g, 16), behind = pick(g, 10), bit = pick(g, 8);
    bool each = pick(g, 3) == 0;
    for (size_t at = 0; (at = span_find(all, SPAN(" of q"), at)) != SIZE_MAX; at++) {
        if (skip-- == 0 && at + behind < all.len) {
            char byte = (char)(all.ptr[at + behind] ^ (1 << bit));
            ssize_t n = pwrite(fd, &byte, 1, (off_t)(at + behind));
            if (n < 1 || !each) { /* a full disk takes nothing */
                return;
            }
            skip = 0;
        }
    }
}

static void damage(struct game *g)
{
    char path[256];
    struct stat st;
    path_of(g, "/data.mdb", path);
    if (!stands) {
        cache_flush(world_cache(g->world)); /* what was answered is on disk, not only on its way */
    }
    int fd = open(path, O_RDWR);
    if (fd < 0) {
        return;
    }
    require(fstat(fd, &st) == 0);
    char *bytes = mem_new((size_t)st.st_size + 1);
    ssize_t n = pread(fd, bytes, (size_t)st.st_size, 0);
    damage_file(g, fd, span_make(bytes, n > 0 ? (size_t)n : 0));
    free(bytes);
    close(fd);
}

void disk_move(struct game *g)
{
    char file[256];
    switch (pick(g, 12)) {
    case 6:
    case 7:
    case 8:
        damage(g);
        break;
    case 9:
    case 10:
        set_standing(true);
        break;
    case 11:
        disk_go_on();
        break;
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
    disk_go_on();
    if (g->blocked) {
        unblock(g);
    }
}
