/* pace.c: see pace.h. */
#include "lull/path/server/pace.h"

#include <stdlib.h>

struct pace *pace_of(struct server_model *m, int kind)
{
    size_t at = (size_t)kind;
    if (at >= m->pace_count) {
        struct pace *more = mem_have(realloc(m->paces, (at + 1) * sizeof *more));
        memset(more + m->pace_count, 0, (at + 1 - m->pace_count) * sizeof *more);
        m->paces = more;
        m->pace_count = at + 1;
    }
    return &m->paces[at];
}

void pace_add(struct pace *p, usec_t took, size_t size)
{
    int64_t bytes = (int64_t)size;
    if (p->count++ == 0) {
        p->mean = took;
        p->deviation = took / 2;
        p->size = bytes;
        return;
    }
    usec_t off = took > p->mean ? took - p->mean : p->mean - took;
    p->deviation += (off - p->deviation) / 4;
    p->mean += (took - p->mean) / 8;
    p->size += (bytes - p->size) / 8;
}

usec_t pace_expected(const struct pace *p)
{
    return p->count == 0 ? -1 : p->mean;
}

usec_t pace_expected_for(const struct pace *p, size_t size)
{
    usec_t usual = pace_expected(p);
    double times = p->size > 0 ? (double)size / (double)p->size : 1;
    return usual > 0 && times > 1 ? (usec_t)((double)usual * times) : usual;
}

bool pace_nearly_done(const struct pace *p, usec_t elapsed)
{
    return p->count > 0 && elapsed < p->mean && p->mean - elapsed < p->mean / 16;
}

usec_t pace_deadline(const struct pace *p)
{
    return p->count == 0 ? -1 : p->mean + 4 * p->deviation;
}
