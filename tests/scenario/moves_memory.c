/* moves_memory.c: memory that is gone where a buffer of the daemon grows: in place of base/buf's functions
 * (LINKER:--wrap). */
#include "scenario/moves_priv.h"

#include "lull/base/buf.h"

enum { LARGE = 1024 };

static int left = -1;                /* large ones that still get memory; -1: all do */
static _Thread_local bool in_daemon; /* on the loop's thread */

enum err __real_buf_reserve(struct buf *b, size_t more);
enum err __wrap_buf_reserve(struct buf *b, size_t more);
enum err __real_buf_grow_and_append(struct buf *b, const void *data, size_t len);
enum err __wrap_buf_grow_and_append(struct buf *b, const void *data, size_t len);

void memory_short(unsigned skip)
{
    left = (int)skip;
}

void memory_is_back(void)
{
    left = -1;
}

void daemon_enter(void)
{
    in_daemon = true;
}

void daemon_leave(void)
{
    in_daemon = false;
}

static bool is_gone(const struct buf *b, size_t more)
{
    bool grows = b->len <= b->max && more <= b->max - b->len && b->len + more > b->cap;
    return in_daemon && grows && b->len + more > LARGE && left >= 0 && left-- == 0;
}

enum err __wrap_buf_reserve(struct buf *b, size_t more)
{
    return is_gone(b, more) ? ERR_NOMEM : __real_buf_reserve(b, more);
}

enum err __wrap_buf_grow_and_append(struct buf *b, const void *data, size_t len)
{
    return is_gone(b, len) ? ERR_NOMEM : __real_buf_grow_and_append(b, data, len);
}
