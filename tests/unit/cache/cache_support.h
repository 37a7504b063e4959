/* cache_support.h: a folder for a cache, and a loop. */
#ifndef TESTS_UNIT_CACHE_CACHE_SUPPORT_H
#define TESTS_UNIT_CACHE_CACHE_SUPPORT_H

#include "support/check.h"

#include "path/cache/cache_priv.h"

#include <stdio.h>
#include <stdlib.h>

static char dir[64];
static struct loop *loop;

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/lull-cache-XXXXXX");
    loop = loop_create();
    return mkdtemp(dir) == NULL;
}

static int teardown(void **state)
{
    char command[256];
    (void)state;
    loop_destroy(loop);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command) == 0 ? 0 : -1;
}

#endif
