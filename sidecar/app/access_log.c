/* access_log.c: log_level = debug: one line for each finished exchange: method, path without its
 * query, what it was, how it ended, status, milliseconds. */
#include "app/app_priv.h"

#include "lull/base/log.h"

static void on_exchange(void *ctx, const struct exchange_event *e)
{
    (void)ctx;
    log_debug("request", "%s %s kind=%s outcome=%s status=%d ms=%.1f", e->method, e->path,
              e->kind[0] != '\0' ? e->kind : e->what, e->outcome, e->status, (double)e->took / 1e3);
}

void access_log_setup(struct daemon *d)
{
    engine_unlisten(d->engine, &d->access_log);
    if (log_enabled(LOG_LEVEL_DEBUG)) {
        d->access_log = (struct exchange_listener){.fn = on_exchange};
        engine_listen(d->engine, &d->access_log);
    }
}
