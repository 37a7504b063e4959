/* breaker.c: see breaker.h. */
#include "lull/path/server/breaker.h"

#include "lull/base/log.h"

bool breaker_counts(int status)
{
    return status >= 500 || status == 408 || status == 429;
}

void breaker_success(struct server *s)
{
    if (s->breaker.open_until.us != 0) {
        log_info("upstream", "%s answers again: the breaker closes, tasks are sent there", s->name);
    }
    s->breaker = (struct breaker){.failures = 0};
}

void breaker_failure(struct server *s, const struct upstream_settings *to, mono_t now)
{
    struct breaker *b = &s->breaker;
    if (!server_access_is_current(s, to)) {
        return;
    }
    b->failures++;
    b->half_open = false;
    if (b->failures >= to->breaker_failures) {
        if (b->open_until.us == 0) {
            log_warn("upstream",
                     "%s failed %lld times in a row: the breaker opens, tasks are kept away",
                     s->name, (long long)b->failures);
        }
        b->open_until = (mono_t){now.us + to->breaker_open};
    }
}

bool breaker_is_open(const struct server *s, mono_t now)
{
    return s->breaker.open_until.us > now.us;
}

bool breaker_admits(struct server *s, mono_t now, bool *trial)
{
    struct breaker *b = &s->breaker;
    *trial = b->open_until.us != 0 && !b->half_open && now.us >= b->open_until.us;
    b->half_open = b->half_open || *trial;
    return b->open_until.us == 0 || *trial;
}

void breaker_end_trial(struct server *s)
{
    s->breaker.half_open = false;
}
