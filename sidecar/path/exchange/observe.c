/* observe.c: `mode = observe`: what would have been done with a task that passes through unchanged.
 *
 *   exact cache ─▶ type-through ─▶ an equal call under way ─▶ window ─▶ gate ─▶ call
 *   would_hit      would_type_     would_collapse             would_     would_wait_s
 *                  through                                    supersede
 *
 * A task that none of these would have answered has a virtual call (struct observed): it waits in
 * its window and at a gate of its own, over a schedule of its own that has the same chats, and
 * then runs for as long as the task's real call took. The real call is under way meanwhile, so the
 * virtual one may outlive the exchange. A good answer that passes is kept in the cache, marked so
 * that only look-ups of this mode find it, and its suggestion in a table of its own. A completion's
 * is kept when its window and its wait are over, since it may be superseded until then.
 *
 * At most OBSERVED_MOST virtual calls exist, with OBSERVED_BYTES of copies: what comes beyond them
 * is looked up and passes, and adds nothing more.
 */
#include "path/exchange/observed.h"

/* Whether the cache would have answered. *real: what it has is served in `mode = on`. */
static enum lookup would_hit(struct exchange *x, bool *real)
{
    struct engine *e = x->engine;
    struct lookup_found found;
    enum lookup how = lookup_answer(x, LOOKUP_OBSERVE, &found);
    *real = how != LOOKUP_MISS && (found.hit.flags & CACHE_FLAG_OBSERVED) == 0;
    if (how != LOOKUP_HIT) {
        return how;
    }
    if (respond_render_stored(x, found.hit.answer, found.model) == ERR_OK) {
        struct task_figures *figures = exchange_figures(x, x->decision.kind);
        autocomplete_hold_hit(x, &found.hit);
        figures->would_hit++;
        figures->would_save_us += found.hit.model_time;
    } else {
        how = LOOKUP_MISS;
    }
    cache_release(e->parts.cache);
    return how;
}

static bool would_type_through(struct exchange *x)
{
    struct task_figures *figures = exchange_figures(x, x->decision.kind);
    struct through_hit hit;
    if (!autocomplete_find(x, LOOKUP_OBSERVE, &hit)) {
        return false;
    }
    figures->would_type_through++;
    figures->would_save_us += hit.model_time;
    return true;
}

void observe_task(struct exchange *x, enum lookup how)
{
    struct flight_spec spec = {.headers = NULL};
    bool real = false;
    x->observing = true;
    if (!exchange_policy(x)->enabled) {
        return; /* would have been answered empty at once */
    }
    how = how == LOOKUP_MISS ? would_hit(x, &real) : how;
    if (how == LOOKUP_HIT || (how == LOOKUP_MISS && would_type_through(x))) {
        return;
    }
    dispatch_spec(x, &spec);
    spec.store = spec.store && !real; /* what is served in `mode = on` stays */
    struct observed *v = spec.join ? observed_find_equal(x->engine->observe, &spec) : NULL;
    if (v != NULL) {
        observed_join(v, x);
        return;
    }
    v = observed_begin(x, &spec);
    if (v == NULL) {
        return;
    }
    observed_join(v, x);
    if (observed_is_completion(v)) {
        observed_debounce(v);
    } else {
        observed_enqueue(v);
    }
}

void observe_passing(struct exchange *x)
{
    bool held = x->body_held || !endpoint_assembles(x->head.endpoint);
    if (x->observing || !held || exchange_policy(x)->cls != KIND_CLASS_BACKGROUND) {
        return;
    }
    struct flight_spec spec = {.settings = x->settings,
                               .kind = x->decision.kind,
                               .upstream = x->head.upstream,
                               .endpoint = x->head.endpoint,
                               .model = x->parsed ? x->request.model : SPAN_NONE,
                               .turn = conversation_turn(x)};
    struct observed *v = observed_begin(x, &spec);
    if (v != NULL) {
        observed_join(v, x);
        observed_enqueue(v);
    }
}

void observe_front_began(struct observe *o, struct exchange *x)
{
    x->observed_front = x->front;
    gate_interactive_began(o->gate, &x->observed_front);
    x->is_observed_front = true;
}

void observe_front_token(struct observe *o, struct exchange *x)
{
    if (x->is_observed_front) {
        (void)schedule_interactive_token(&x->observed_front, observe_now(o));
    }
}

void observe_front_ended(struct observe *o, struct exchange *x)
{
    if (x->is_observed_front) {
        x->is_observed_front = false;
        gate_interactive_ended(o->gate, &x->observed_front, x->watch.goes_on);
    }
}

void observe_moved_on(struct observe *o, const struct schedule_conversation *whose,
                      const struct dialect_request *chat)
{
    struct chat_history_chat read = {.request = chat};
    list_each(node, &o->all)
    {
        struct observed *v = list_item(node, struct observed, node);
        if (v->state == OBSERVED_WAITING && v->spec.kind == KIND_FOLLOW_UP &&
            observed_policy(v)->obsolete == OBSOLETE_EMPTY &&
            flight_turn_is_over(&v->spec.turn, v->spec.turn.conversation.chat, whose, &read)) {
            observed_end(v);
        }
    }
    chat_history_chat_free(&read);
}
