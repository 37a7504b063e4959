/* debounce.c: the window in which the newest autocomplete of a typist wins.
 *
 * A typist is one stream of autocompletes: equal scope and model, equal surroundings (history and
 * template), and a text that extends or truncates the last one (task_same_typist). In doubt they
 * are two people: an extra call is cheaper than a stranger's lost suggestion.
 *
 * Each new flight of a typist restarts his window; the flight that was waiting in it is superseded
 * and its waiters are answered empty at once, never dropped: Open WebUI's editor keeps one request
 * in flight and stays locked until it is answered. What already runs is left alone. `auto` holds
 * nothing that comes alone: only a second request within LONE of the first is held, for AUTO_WINDOW
 * (Continue's constant, 350 ms).
 *
 * The table of typists is fixed in size; the least recently seen one makes room.
 */
#include "path/flight/flight_priv.h"

#include "lull/path/task/classify.h"

static const usec_t AUTO_WINDOW = 350 * USEC_PER_MS;
static const usec_t LONE = USEC_PER_S;

static bool related(const struct typist *t, const struct flight_typist *s)
{
    return t->used && hash_key_eq(t->scope, s->scope) && hash_key_eq(t->around, s->around) &&
           task_same_typist(buf_span(&t->text), s->text, s->one_user, s->history_empty);
}

/* The typist's row: his own, else a free one, else the least recently seen. */
static struct typist *find_row(struct flight_table *t, const struct flight_typist *s, bool *known)
{
    struct typist *own = NULL;
    struct typist *unused = NULL;
    struct typist *oldest = NULL;
    for (size_t i = 0; i < FLIGHT_TYPISTS; i++) {
        struct typist *row = &t->typists[i];
        if (!row->used) {
            unused = unused == NULL ? row : unused;
            continue;
        }
        if (oldest == NULL || row->seen.us < oldest->seen.us) {
            oldest = row;
        }
        if (related(row, s) && (own == NULL || row->seen.us > own->seen.us)) {
            own = row;
        }
    }
    *known = own != NULL;
    if (own != NULL) {
        return own;
    }
    return unused != NULL ? unused : oldest;
}

static void supersede(struct flight *f)
{
    struct flight_end end = {.result = FLIGHT_EMPTY, .outcome = OUTCOME_SUPERSEDED};
    flight_finish(f, &end);
}

usec_t debounce_place(struct flight_table *t, struct flight *f)
{
    const struct flight_typist *s = &f->spec.typist;
    usec_t window = f->spec.window;
    if (!s->usable || s->text.len > FLIGHT_TYPIST_TEXT) {
        return window == DEBOUNCE_AUTO ? 0 : window;
    }
    mono_t now = loop_now(t->loop);
    bool known = false;
    struct typist *row = find_row(t, s, &known);
    bool lone = !known || mono_diff(now, row->seen) > LONE;
    if (row->held != NULL) {
        struct flight *older = row->held;
        debounce_forget(older);
        if (known) {
            supersede(older);
        }
    }
    row->used = true;
    row->scope = s->scope;
    row->around = s->around;
    row->one_user = s->one_user;
    row->history_empty = s->history_empty;
    row->seen = now;
    buf_clear(&row->text);
    row->text.max = FLIGHT_TYPIST_TEXT;
    if (buf_append_span(&row->text, s->text) != ERR_OK) {
        row->used = false;
    }
    if (window == DEBOUNCE_AUTO) {
        window = lone ? 0 : AUTO_WINDOW;
    }
    if (window > 0) {
        row->held = f;
        f->typist = row;
    }
    return window;
}

void debounce_forget(struct flight *f)
{
    if (f->typist != NULL) {
        f->typist->held = NULL;
        f->typist = NULL;
    }
}
