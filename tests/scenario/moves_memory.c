/* moves_memory.c: memory that is gone where a buffer of the daemon grows: a large one, and any where a
 * call is passed on. */
#include "scenario/moves_priv.h"
#include "support/short_memory.h"

#include "lull/path/relay/relay.h"

enum { LARGE = 1024 };

static _Thread_local bool in_daemon; /* on the loop's thread */
static bool in_relay;

static bool memory_counts(const struct buf *b, size_t len)
{
    (void)b;
    return in_daemon && (len > LARGE || in_relay);
}

struct relay *__real_relay_start(struct loop *loop, struct upstream_pool *pool,
                                 const struct relay_options *o);
struct relay *__wrap_relay_start(struct loop *loop, struct upstream_pool *pool,
                                 const struct relay_options *o);

struct relay *__wrap_relay_start(struct loop *loop, struct upstream_pool *pool,
                                 const struct relay_options *o)
{
    in_relay = true;
    struct relay *relay = __real_relay_start(loop, pool, o);
    in_relay = false;
    return relay;
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
