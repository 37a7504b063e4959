/* cache_status.c: see cache_status.h. */
#include "path/exchange/cache_status.h"

#include "lull/base/ascii.h"
#include "lull/base/err.h"

#include <stdio.h>

static const char *const fwd_names[] = {
    [CACHE_STATUS_MISS] = "miss",
    [CACHE_STATUS_REQUEST] = "request",
    [CACHE_STATUS_BYPASS] = "bypass",
};

/* As printf would: every hit has this line. */
static int write_hit(int64_t ttl_s, char *out)
{
    static const char hit[] = "lull; hit; ttl=-";
    char digits[ASCII_DECIMAL_MAX];
    bool negative = ttl_s < 0;
    size_t at = ascii_decimal(negative ? 0 - (uint64_t)ttl_s : (uint64_t)ttl_s, digits);
    size_t len = sizeof hit - (negative ? 1 : 2);
    memcpy(out, hit, len);
    memcpy(out + len, digits + at, sizeof digits - at);
    len += sizeof digits - at;
    out[len] = '\0';
    return (int)len;
}

size_t cache_status_write(const struct cache_status *s, char *out)
{
    const char *detail = s->detail == NULL ? "" : s->detail;
    const char *separator = s->detail == NULL ? "" : "; detail=";
    int n = 0;
    switch (s->from) {
    case CACHE_STATUS_OWN:
        n = snprintf(out, CACHE_STATUS_MAX, "lull; detail=%s", detail);
        break;
    case CACHE_STATUS_HIT:
        n = s->detail == NULL ? write_hit(s->ttl_s, out)
                              : snprintf(out, CACHE_STATUS_MAX, "lull; hit; detail=%s", detail);
        break;
    case CACHE_STATUS_CALL:
        n = snprintf(out, CACHE_STATUS_MAX, "lull; fwd=%s%s%s%s%s", fwd_names[s->fwd],
                     s->stored ? "; stored" : "", s->collapsed ? "; collapsed" : "", separator,
                     detail);
        break;
    }
    require(n > 0 && n < CACHE_STATUS_MAX); /* details are short tokens of the program */
    return (size_t)n;
}
