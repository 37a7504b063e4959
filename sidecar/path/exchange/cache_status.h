/* cache_status.h: the value of Cache-Status (RFC 9211) on the answer to a task. The only place that
 * writes it.
 *
 *   hit; ttl=N               from the cache; N seconds are left, negative: the entry has expired
 *   hit; detail=…            from memory: type-through, pending (the answer is not yet on disk)
 *   fwd=miss; stored         a call; its answer is kept
 *   fwd=miss; collapsed      the call of another request
 *   fwd=request; stored      a call, since the client sent Cache-Control: no-cache
 *   fwd=bypass; detail=…     a call that did not use the cache
 *   detail=…                 lull's own answer: nothing was forwarded
 *
 * A POST is keyed by its body, hence "miss" and not "uri-miss".
 */
#ifndef PATH_EXCHANGE_CACHE_STATUS_H
#define PATH_EXCHANGE_CACHE_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cache_status_from { CACHE_STATUS_OWN, CACHE_STATUS_HIT, CACHE_STATUS_CALL };
enum cache_status_fwd { CACHE_STATUS_MISS, CACHE_STATUS_REQUEST, CACHE_STATUS_BYPASS };
enum { CACHE_STATUS_MAX = 128 }; /* bytes that a value may take, with the final NUL */

struct cache_status {
    enum cache_status_from from;
    enum cache_status_fwd fwd; /* of a call */
    bool stored, collapsed;    /* of a call */
    int64_t ttl_s;             /* of a hit without detail */
    const char *detail;        /* a token; NULL: none. Required of OWN and BYPASS */
};

/* Writes the value, with the final NUL, into out, which has room for CACHE_STATUS_MAX bytes;
 * returns its length. */
size_t cache_status_write(const struct cache_status *s, char *out);

#endif
