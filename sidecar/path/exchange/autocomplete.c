/* autocomplete.c: what the engine does for autocompletes: whose text it is and in what context, the
 * remainder of a held suggestion, what is held, and the chat that ends them.
 *
 * A suggestion is held in memory under its context (everything of the request but the text). It
 * comes from a call or from the cache. An exact hit is served without a parse, so an entry whose
 * suggestion is not held (after a restart, or when it made room) is served by its normalized key
 * once, and held from then on. A delete or purge changes the cache's generation, which drops all
 * that is held.
 */
#include "path/exchange/exchange_priv.h"

#include "lull/path/webui/suggestion.h"

static bool is_completion(const struct exchange *x)
{
    return exchange_policy(x)->cls == KIND_CLASS_COMPLETION;
}

void autocomplete_prepare(struct exchange *x)
{
    const struct hash_secret *secret = cache_secret(x->engine->parts.cache);
    struct flight_completion *c = &x->completion;
    if (x->completion_made || !is_completion(x)) {
        return;
    }
    x->completion_made = true;
    struct task_completion found = task_completion_of(&x->request);
    /* Without the template's marks the whole prompt would count as the text: two users' prompts
     * extend each other wherever the template ends in the text. */
    c->usable =
        found.found && found.text.len > 0 &&
        fingerprint_context(&x->normalized, x->request.last_text, found.text, secret, &x->context);
    if (!c->usable) {
        return;
    }
    c->context = (struct typist_context){.hash = x->context.hash, .material = x->context.head};
    c->who = (struct typist_arrival){.context = x->context.hash,
                                     .person = conversation_person(x),
                                     .text = found.text,
                                     .one_user = x->scope.one_user,
                                     .history_empty = found.history_empty};
}

static bool type_through(const struct exchange *x)
{
    return x->settings->cache.type_through && exchange_policy(x)->cache;
}

bool autocomplete_held(void *ctx, const struct flight_spec *spec, struct buf *content,
                       struct flight_end *end)
{
    struct engine *e = ctx;
    const struct flight_completion *c = &spec->completion;
    struct through_hit hit;
    if (!spec->settings->cache.type_through || !spec->store ||
        !through_find(e->through, &c->context, c->who.text, cache_generation(e->parts.cache),
                      loop_wall(e->parts.loop), &hit) ||
        suggestion_write(hit.remainder, content) != ERR_OK) {
        return false;
    }
    end->model_time = hit.model_time;
    end->tokens = hit.tokens;
    end->cost = hit.cost;
    return true;
}

bool autocomplete_find(struct exchange *x, enum lookup_use use, struct through_hit *hit)
{
    struct engine *e = x->engine;
    uint64_t generation = cache_generation(e->parts.cache);
    wall_t now = loop_wall(e->parts.loop);
    if (!is_completion(x) || !type_through(x)) {
        return false;
    }
    autocomplete_prepare(x);
    const struct flight_completion *c = &x->completion;
    if (!c->usable) {
        return false;
    }
    if (use == LOOKUP_SERVE) {
        return through_find(e->through, &c->context, c->who.text, generation, now, hit);
    }
    return through_peek(e->through, &c->context, c->who.text, generation, now, hit) ||
           (use == LOOKUP_OBSERVE && through_find(observe_through(e->observe), &c->context,
                                                  c->who.text, generation, now, hit));
}

bool autocomplete_is_known(struct exchange *x, int kind, const struct cache_hit *hit)
{
    const struct kind_policy *policy = &x->settings->kinds[kind];
    bool wanted = policy->cls == KIND_CLASS_COMPLETION && x->settings->cache.type_through &&
                  x->settings->cache.type_through_entries > 0 &&
                  (hit->flags & CACHE_FLAG_EMPTY) == 0;
    return !wanted ||
           through_has(x->engine->through, hit->id, cache_generation(x->engine->parts.cache));
}

static void hold(struct through *to, struct span content, struct through_put *put)
{
    struct buf suggestion = {.max = SUGGESTION_MAX};
    if (suggestion_of(content, &suggestion)) {
        put->suggestion = buf_span(&suggestion);
        through_put(to, put);
    }
    buf_free(&suggestion);
}

void autocomplete_hold_hit(struct exchange *x, const struct cache_hit *hit)
{
    struct engine *e = x->engine;
    struct answer answer;
    if (!is_completion(x) || !type_through(x)) {
        return;
    }
    autocomplete_prepare(x);
    if (x->completion.usable && answer_decode(hit->answer, &answer) == ERR_OK) {
        struct through_put put = {.context = x->completion.context,
                                  .text = x->completion.who.text,
                                  .answer = hit->id,
                                  .generation = cache_generation(e->parts.cache),
                                  .made = hit->created,
                                  .expires = hit->expires,
                                  .model_time = hit->model_time,
                                  .tokens = hit->tokens,
                                  .cost = hit->cost};
        bool observing = x->settings->mode == TASKS_OBSERVE;
        hold(observing ? observe_through(e->observe) : e->through, buf_span(&answer.content), &put);
        answer_free(&answer);
    }
}

void autocomplete_hold_answer(struct engine *e, const struct flight_spec *spec,
                              const struct flight_end *end)
{
    const struct flight_completion *c = &spec->completion;
    if (c->usable && spec->store && spec->settings->cache.type_through) {
        struct through_put put = {.context = c->context,
                                  .text = c->who.text,
                                  .answer = spec->hash,
                                  .generation = spec->generation,
                                  .made = loop_wall(e->parts.loop),
                                  .expires = end->entry_expires,
                                  .model_time = end->model_time,
                                  .tokens = end->tokens,
                                  .cost = end->cost};
        bool observed = (spec->flags & CACHE_FLAG_OBSERVED) != 0;
        hold(observed ? observe_through(e->observe) : e->through, buf_span(&end->answer->content),
             &put);
    }
}

void autocomplete_chat_sent(struct exchange *x)
{
    if (x->parsed && flight_count(x->engine->flights) > 0) {
        const struct flight_sent sent = {.person = conversation_person(x),
                                         .paragraph = text_last_paragraph(x->request.last_text),
                                         .first_turn = !x->request.answered};
        flight_chat_sent(x->engine->flights, &sent);
    }
}
