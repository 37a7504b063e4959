/* desk.c: plays the traces. A key is pressed at its time; if a right suggestion is shown and the
 * person takes such ones, it is Tab, and the keys that it saves are left out. Every pause is judged
 * when the key that ends it comes.
 */
#include "bench/typing/desk.h"

#include "lull/base/err.h"

#include <stdlib.h>

usec_t desk_now(const struct desk *d)
{
    return loop_now(d->loop).us - d->begun;
}

/* ---- pauses ---- */

/* Whether the person pauses after key i. */
static bool is_pause(const struct person *p, size_t i)
{
    const struct key *key = &p->keys[i];
    return i + 1 < p->count && key[1].tab == key->tab && key->kind != KEY_SEND && key->at_end &&
           span_trim(key->before).len > 0 && key[1].at - key->at >= PAUSE;
}

static bool is_seen(const struct editor *e)
{
    return e->ghost_len > 0 && desk_now(e->desk) - e->shown_at >= SEEN;
}

/* Key i comes: what was there to see before it? */
static void judge(struct typist *t, size_t i)
{
    const struct key *last = &t->person->keys[i - 1];
    struct editor *e = &t->editors[last->tab];
    struct desk *d = e->desk;
    bool seen = is_seen(e);
    if (seen) {
        model_seen(d->model, d->cast->messages[last->message].context, e->before,
                   span_make(e->ghost, e->ghost_len));
    }
    if (!is_pause(t->person, i - 1)) {
        return;
    }
    d->tally->result.pauses++;
    if (seen) {
        d->tally->result.shown++;
        tally_wait(d->tally, e->shown_at > last->at ? e->shown_at - last->at : 0);
    } else {
        d->tally->result.in_vain += last[1].at - last->at;
    }
}

/* ---- keys ---- */

/* The key after which the text is what Tab makes of it; SIZE_MAX: the suggestion is not right. */
static size_t saves_until(const struct typist *t, size_t i, const struct editor *e)
{
    const struct person *p = t->person;
    const struct key *now = &p->keys[i];
    struct span ghost = span_make(e->ghost, e->ghost_len);
    for (; i < p->count && p->keys[i].message == now->message && p->keys[i].tab == now->tab; i++) {
        const struct key *k = &p->keys[i];
        if (k->kind == KEY_SEND) {
            break;
        }
        if ((k->kind == KEY_TEXT || k->kind == KEY_PASTE) && k->at_end &&
            k->before.len == e->before.len + ghost.len && span_starts(k->before, e->before) &&
            span_ends(k->before, ghost)) {
            return i;
        }
    }
    return SIZE_MAX;
}

/* Takes what is shown in place of key i; false: does not. */
static bool take(struct typist *t, size_t i)
{
    const struct key *key = &t->person->keys[i];
    struct editor *e = &t->editors[key->tab];
    if (!key->takes || !is_seen(e) || e->message != key->message || !e->at_end) {
        return false;
    }
    size_t last = saves_until(t, i, e);
    if (last == SIZE_MAX) {
        return false;
    }
    for (size_t k = i; k <= last; k++) {
        bool pause = is_pause(t->person, k);
        e->desk->tally->result.pauses += pause ? 1 : 0;
        e->desk->tally->result.by_tab += pause ? 1 : 0;
    }
    t->next = last + 1;
    t->judged = true;
    editor_tab(e, &t->person->keys[last]);
    return true;
}

static void set_timer(struct typist *t, const struct desk *d)
{
    if (t->next < t->person->count) {
        loop_timer_start(t->timer, t->person->keys[t->next].at - desk_now(d));
    }
}

static void on_key(void *ctx)
{
    struct typist *t = ctx;
    size_t i = t->next;
    const struct key *key = &t->person->keys[i];
    struct editor *e = &t->editors[key->tab];
    struct desk *d = e->desk;
    if (i > 0 && !t->judged) {
        judge(t, i);
    }
    t->judged = false;
    if (!take(t, i)) {
        t->next = i + 1;
        editor_key(e, key);
        if (key->kind == KEY_SEND) {
            d->port->chat(d->port, e->person, key->message);
        }
    }
    set_timer(t, d);
}

/* ---- requests ---- */

static void on_answered(struct asking *asking, const struct answered *answered)
{
    struct editor *e = asking->owner;
    struct result *r = &e->desk->tally->result;
    r->by_how[answered->how]++;
    if (asking->reusable && answered->len > 0 &&
        (answered->how == HOW_REST || answered->how == HOW_JOINED)) {
        r->reused++;
    }
    e->desk->under_way--;
    editor_answer(e, asking, answered);
    free(asking);
}

static bool known(const struct record *rec, usec_t now)
{
    return rec != NULL &&
           (rec->active > 0 || (rec->finished >= 0 && now - rec->finished < SUGGESTION_TTL));
}

void desk_ask(struct editor *e)
{
    struct desk *d = e->desk;
    const struct typist *t = &d->typists[e->person];
    struct asking *asking = mem_new(sizeof *asking);
    usec_t now = loop_now(d->loop).us;
    struct records *records = model_records(d->model);
    asking->person = e->person;
    asking->message = e->message;
    asking->context = d->cast->messages[e->message].context;
    asking->text = e->before;
    asking->until = t->next < t->person->count ? t->person->keys[t->next].at : INT64_MAX / 2;
    asking->until += d->begun;
    asking->in_pause = t->next > 0 && e == &t->editors[t->person->keys[t->next - 1].tab] &&
                       is_pause(t->person, t->next - 1);
    asking->done = on_answered;
    asking->owner = e;
    asking->serial = ++d->serial;
    asking->reusable = !known(records_find(records, asking->context, asking->text), now) &&
                       records_cover(records, asking->context, asking->text, now, true) != NULL;
    d->tally->result.requests++;
    d->under_way++;
    d->port->ask(d->port, asking);
}

/* ---- life ---- */

void desk_begin(struct desk *d)
{
    d->begun = loop_now(d->loop).us;
    for (size_t i = 0; i < d->cast->person_count; i++) {
        struct typist *t = &d->typists[i];
        t->person = &d->cast->persons[i];
        t->timer = loop_timer_create(d->loop, on_key, t);
        for (size_t tab = 0; tab < TABS_MAX; tab++) {
            t->editors[tab].desk = d;
            t->editors[tab].person = i;
            editor_begin(&t->editors[tab]);
        }
        set_timer(t, d);
    }
}

bool desk_done(const struct desk *d)
{
    bool done = d->under_way == 0 && !d->port->busy(d->port);
    for (size_t i = 0; i < d->cast->person_count; i++) {
        const struct typist *t = &d->typists[i];
        done = done && t->next == t->person->count;
        for (size_t tab = 0; tab < TABS_MAX; tab++) {
            done = done && !loop_timer_running(t->editors[tab].timer);
        }
    }
    return done;
}

void desk_end(struct desk *d)
{
    for (size_t i = 0; i < d->cast->person_count; i++) {
        loop_timer_destroy(d->typists[i].timer);
        for (size_t tab = 0; tab < TABS_MAX; tab++) {
            editor_end(&d->typists[i].editors[tab]);
        }
    }
}
