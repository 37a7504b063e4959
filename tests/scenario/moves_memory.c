/* moves_memory.c: memory that is gone where a buffer of the daemon grows. */
#include "scenario/moves_priv.h"
#include "support/short_memory.h"

enum { LARGE = 1024 };

static _Thread_local bool in_daemon; /* on the loop's thread */

static bool memory_counts(const struct buf *b, size_t len)
{
    (void)b;
    return in_daemon && len > LARGE;
}

void memory_short(unsigned skip)
{
    memory_left = (int)skip;
}

void memory_is_back(void)
{
    memory_left = -1;
}

bool memory_is_short(void)
{
    return memory_left >= 0;
}

void daemon_enter(void)
{
    in_daemon = true;
}

void daemon_leave(void)
{
    in_daemon = false;
}
