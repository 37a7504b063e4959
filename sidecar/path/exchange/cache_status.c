/* cache_status.c: see cache_status.h. */
#include "path/exchange/cache_status.h"

#include "lull/base/ascii.h"
#include "lull/base/buf.h"

static const char *const fwd_texts[] = {
    [CACHE_STATUS_MISS] = "; fwd=miss",
    [CACHE_STATUS_REQUEST] = "; fwd=request",
    [CACHE_STATUS_BYPASS] = "; fwd=bypass",
};

/* As printf would: every hit has this line. */
static size_t write_hit(int64_t ttl_s, char *out)
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
    return len;
}

size_t cache_status_write(const struct cache_status *s, char *out)
{
    const char *detail = s->detail == NULL ? "" : s->detail;
    const char *separator = s->detail == NULL ? "" : "; detail=";
    const char *parts[] = {"lull", "", "", "", separator, detail};
    switch (s->from) {
    case CACHE_STATUS_OWN:
        break;
    case CACHE_STATUS_HIT:
        if (s->detail == NULL) {
            return write_hit(s->ttl_s, out);
        }
        parts[1] = "; hit";
        break;
    case CACHE_STATUS_CALL:
        parts[1] = fwd_texts[s->fwd];
        parts[2] = s->stored ? "; stored" : "";
        parts[3] = s->collapsed ? "; collapsed" : "";
        break;
    }
    /* details are short tokens of the program */
    return text_join(parts, sizeof parts / sizeof parts[0], out, CACHE_STATUS_MAX);
}
