/* pace.c: how long the calls of an upstream, model and kind take. A fixed table, one row by hash: a
 * newcomer takes the row over, and what is forgotten is learnt again with the next call.
 */
#include "path/flight/flight_priv.h"

#include <stdlib.h>

struct hash_key flight_key_of(const struct flight_table *t, struct span text)
{
    return text.len == 0 ? (struct hash_key){0} : hash_key_of(&t->secret, text);
}

struct pace_row *flight_pace_row(struct flight_table *t, const struct flight_spec *spec)
{
    const struct upstream_settings *to = &spec->settings->upstreams[spec->upstream];
    struct hash_state state;
    uint64_t lengths[2] = {strlen(to->url), spec->model.len};
    if (t->paces == NULL) {
        t->paces = mem_new(FLIGHT_PACES * sizeof *t->paces);
    }
    hash_begin(&state, &t->secret);
    hash_update(&state, lengths, sizeof lengths);
    hash_update(&state, to->url, lengths[0]);
    hash_update(&state, spec->model.ptr, spec->model.len);
    hash_update(&state, &spec->kind, sizeof spec->kind);
    struct hash_key of = hash_end(&state);
    struct pace_row *row = &t->paces[of.lo % FLIGHT_PACES];
    if (!hash_key_eq(row->of, of)) {
        *row = (struct pace_row){.of = of};
    }
    return row;
}

void flight_took(struct flight_table *t, const struct flight_spec *spec, usec_t took)
{
    struct pace_row *row = flight_pace_row(t, spec);
    int64_t size = (int64_t)spec->body.len;
    row->size = row->pace.count == 0 ? size : row->size + (size - row->size) / 8;
    pace_add(&row->pace, took);
}

usec_t flight_expected(struct flight_table *t, const struct flight_spec *spec)
{
    const struct pace_row *row = flight_pace_row(t, spec);
    usec_t usual = pace_expected(&row->pace);
    double times = row->size > 0 ? (double)spec->body.len / (double)row->size : 1;
    return usual > 0 && times > 1 ? (usec_t)((double)usual * times) : usual;
}

struct pace *flight_pace(struct flight_table *t, const struct flight_spec *spec)
{
    return &flight_pace_row(t, spec)->pace;
}
