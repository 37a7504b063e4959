/* crowd.h: many descriptors that are ready at every look of the loop, for tests of its turns: what is
 * counted is their calls, not time.
 */
#ifndef TESTS_SUPPORT_CROWD_H
#define TESTS_SUPPORT_CROWD_H

#include "lull/base/err.h"
#include "lull/base/loop.h"

#include <stdlib.h>
#include <unistd.h>

enum { CROWD_ROOM = 300 };

struct crowd {
    struct loop *loop;
    struct loop_watch *watches[CROWD_ROOM];
    int fds[CROWD_ROOM], pipe[2];
    size_t count;
    int calls;                 /* of all of them */
    void (*called)(void *ctx); /* after each; may be NULL */
    void *ctx;
};

static inline void crowd_call(void *ctx, int events)
{
    struct crowd *c = ctx;
    (void)events;
    c->calls++;
    if (c->called != NULL) {
        c->called(c->ctx);
    }
}

/* count of them; they are ready for ever. */
static inline void crowd_open(struct crowd *c, struct loop *loop, size_t count)
{
    c->loop = loop;
    c->count = count;
    require(count <= CROWD_ROOM && pipe(c->pipe) == 0 && write(c->pipe[1], "x", 1) == 1);
    for (size_t i = 0; i < count; i++) {
        c->fds[i] = dup(c->pipe[0]);
        require(c->fds[i] >= 0);
        c->watches[i] = loop_watch_create(loop, c->fds[i], crowd_call, c);
        loop_watch_set(c->watches[i], LOOP_READ);
    }
}

static inline void crowd_close(struct crowd *c)
{
    for (size_t i = 0; i < c->count; i++) {
        loop_watch_destroy(c->watches[i]);
        close(c->fds[i]);
    }
    close(c->pipe[0]);
    close(c->pipe[1]);
}

#endif
