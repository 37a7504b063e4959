/* refusal.c: who does not want our changes.
 *
 * lull asks for a streamed answer where the client did not, since servers notice a closed client
 * only when they write, and adds what else the configuration says (shape.h). A server that refuses
 * such a request (400, 404, 422) is asked once more as the client wrote it; if that is taken, the
 * change was the trouble, and for an hour nobody pays for finding it out again. The table is small
 * and fixed; when it is full the oldest row makes room.
 */
#include "path/flight/flight_priv.h"

#include <stdlib.h>
#include <string.h>

static const usec_t REMEMBERED = 3600 * USEC_PER_S;

static const struct refusal *find(const struct flight_table *t, const struct flight *f)
{
    const char *url = flight_upstream(f)->url;
    struct hash_key model = flight_key_of(t, flight_way_model(f));
    for (size_t i = 0; i < FLIGHT_REFUSALS; i++) {
        const struct refusal *r = &t->refusals[i];
        if (r->upstream != NULL && r->endpoint == f->wire && hash_key_eq(r->model, model) &&
            strcmp(r->upstream, url) == 0) {
            return r;
        }
    }
    return NULL;
}

bool refusal_known(const struct flight_table *t, const struct flight *f, mono_t now)
{
    const struct refusal *r = find(t, f);
    return r != NULL && now.us < r->until.us;
}

void refusal_remember(struct flight_table *t, const struct flight *f, mono_t now)
{
    const struct refusal *known = find(t, f);
    size_t place = 0;
    if (known != NULL) {
        place = (size_t)(known - t->refusals);
    } else {
        for (size_t i = 0; i < FLIGHT_REFUSALS; i++) {
            if (t->refusals[i].upstream == NULL) {
                place = i;
                break;
            }
            if (t->refusals[i].until.us < t->refusals[place].until.us) {
                place = i;
            }
        }
        free(t->refusals[place].upstream);
        t->refusals[place].upstream = mem_strdup(flight_upstream(f)->url);
        t->refusals[place].endpoint = f->wire;
        t->refusals[place].model = flight_key_of(t, flight_way_model(f));
    }
    t->refusals[place].until.us = now.us + REMEMBERED;
}

void refusal_free_all(struct flight_table *t)
{
    for (size_t i = 0; i < FLIGHT_REFUSALS; i++) {
        free(t->refusals[i].upstream);
    }
}
