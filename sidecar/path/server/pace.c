/* pace.c: see pace.h. */
#include "lull/path/server/pace.h"

#include <stdlib.h>

/* Makes room for so many. */
static void grow(struct server_model *m, size_t count)
{
    if (count > m->pace_count) {
        struct pace *more = mem_have(realloc(m->paces, count * sizeof *more));
        memset(more + m->pace_count, 0, (count - m->pace_count) * sizeof *more);
        m->paces = more;
        m->pace_count = count;
    }
}

struct pace *pace_of(struct server_model *m, int kind, const char *name)
{
    if (kind < KIND_BUILTIN_COUNT) {
        grow(m, (size_t)kind + 1);
        return &m->paces[kind];
    }
    size_t at = KIND_BUILTIN_COUNT;
    while (at < m->pace_count && strcmp(m->paces[at].kind, name) != 0) {
        at++;
    }
    if (at >= m->pace_count) {
        grow(m, at + 1);
        m->paces[at].kind = mem_strdup(name);
    }
    return &m->paces[at];
}

void paces_free(struct server_model *m)
{
    for (size_t i = 0; i < m->pace_count; i++) {
        free(m->paces[i].kind);
    }
    free(m->paces);
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
