/* short_memory.h: memory that is gone where a buffer grows, or a table: in place of base/buf's functions and
 * of calloc() (LINKER:--wrap). The file that includes it says which buffers count.
 */
#ifndef TESTS_SUPPORT_SHORT_MEMORY_H
#define TESTS_SUPPORT_SHORT_MEMORY_H

#include "lull/base/buf.h"

static bool memory_counts(const struct buf *b, size_t len);

static int memory_left = -1;  /* times that one still grows before one does not; -1: all do */
static size_t memory_refused; /* times that one did not */

static bool table_refused; /* the next calloc() finds none */

void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
enum err __real_buf_reserve(struct buf *b, size_t more);
enum err __wrap_buf_reserve(struct buf *b, size_t more);
enum err __real_buf_grow_and_append(struct buf *b, const void *data, size_t len);
enum err __wrap_buf_grow_and_append(struct buf *b, const void *data, size_t len);

static bool memory_is_gone(const struct buf *b, size_t more)
{
    bool grows = b->len <= b->max && more <= b->max - b->len && b->len + more > b->cap;
    if (!grows || memory_left < 0 || !memory_counts(b, b->len + more)) {
        return false;
    }
    bool gone = memory_left-- == 0;
    memory_refused += gone ? 1 : 0;
    return gone;
}

void *__wrap_calloc(size_t count, size_t size)
{
    bool refused = table_refused;
    table_refused = false;
    memory_refused += refused ? 1 : 0;
    return refused ? NULL : __real_calloc(count, size);
}

enum err __wrap_buf_reserve(struct buf *b, size_t more)
{
    return memory_is_gone(b, more) ? ERR_NOMEM : __real_buf_reserve(b, more);
}

enum err __wrap_buf_grow_and_append(struct buf *b, const void *data, size_t len)
{
    return memory_is_gone(b, len) ? ERR_NOMEM : __real_buf_grow_and_append(b, data, len);
}

#endif
