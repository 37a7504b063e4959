/* autocomplete.c: the engine's part in autocompletes: whose text it is and in what context, the
 * rest of a suggestion that is held, what is held, and the chat that makes them pointless.
 *
 * A suggestion is held in memory under its context (everything of the request but the text) from
 * two sources: calls that land, and the cache. A level-1 hit is not looked into, so an entry that
 * is not held yet (after a restart, or after it made room) is read once by its meaning instead;
 * from then on it is known. A delete or purge in the cache makes all that is held void by its
 * generation.
 */
#include "path/exchange/exchange_priv.h"

#include "lull/path/webui/suggestion.h"

static bool is_completion(const struct exchange *x)
{
    return exchange_policy(x)->cls == KIND_CLASS_COMPLETION;
}

void complete_prepare(struct exchange *x)
{
    const struct hash_secret *secret = cache_secret(x->engine->parts.cache);
    struct flight_completion *c = &x->completion;
    if (x->completion_made || !is_completion(x)) {
        return;
    }
    x->completion_made = true;
    struct task_completion found = task_completion_of(&x->request);
    /* Without the template's marks the whole prompt would count as the text: two people's prompts
     * extend each other wherever the template ends in the text. */
    c->usable =
        found.found && found.text.len > 0 &&
        fingerprint_context(&x->meaning, x->request.last_text, found.text, secret, &x->context);
    if (!c->usable) {
        return;
    }
    c->context = (struct typist_context){.hash = x->context.hash, .material = x->context.head};
    c->who = (struct typist_arrival){.context = x->context.hash,
                                     .person = turn_person(x),
                                     .text = found.text,
                                     .one_user = x->scope.one_user,
                                     .history_empty = found.history_empty};
}

static bool type_through(const struct exchange *x)
{
    return x->settings->cache.type_through && exchange_policy(x)->cache;
}

/* Answers with the rest; ERR_OK: the exchange is over. */
static enum err answer_rest(struct exchange *x, const struct through_hit *hit)
{
    int kind = x->decision.kind;
    struct task_figures *figures = exchange_figures(x, kind);
    struct cache_status status = {.from = CACHE_STATUS_HIT, .detail = "type-through"};
    struct answer answer;
    answer_init(&answer);
    answer.finish = FINISH_STOP;
    enum err e = suggestion_write(hit->rest, &answer.content);
    e = e == ERR_OK ? reply_render(x, &answer) : e;
    answer_free(&answer);
    if (e == ERR_OK) {
        figures->saved_us += hit->model_time;
        figures->saved_tokens += hit->tokens;
        figures->saved_cost += hit->cost;
        reply_task(x, kind, &status, buf_span(&x->reply));
        exchange_finish(x, kind, OUTCOME_TYPE_THROUGH);
    }
    return e;
}

bool complete_held(void *ctx, const struct flight_spec *spec, struct buf *content,
                   struct flight_end *end)
{
    struct engine *e = ctx;
    const struct flight_completion *c = &spec->completion;
    struct through_hit hit;
    if (!spec->settings->cache.type_through || !spec->store ||
        !through_find(e->through, &c->context, c->who.text, cache_generation(e->parts.cache),
                      loop_wall(e->parts.loop), &hit) ||
        suggestion_write(hit.rest, content) != ERR_OK) {
        return false;
    }
    end->model_time = hit.model_time;
    end->tokens = hit.tokens;
    end->cost = hit.cost;
    return true;
}

bool complete_would_rest(struct exchange *x)
{
    struct engine *e = x->engine;
    struct through_hit hit;
    complete_prepare(x);
    return x->completion.usable && type_through(x) &&
           through_look(e->through, &x->completion.context, x->completion.who.text,
                        cache_generation(e->parts.cache), loop_wall(e->parts.loop), &hit);
}

enum step step_through(struct exchange *x)
{
    struct engine *e = x->engine;
    struct through_hit hit;
    if (!is_completion(x)) {
        return STEP_FLIGHT;
    }
    complete_prepare(x);
    bool found = x->completion.usable && type_through(x) &&
                 through_find(e->through, &x->completion.context, x->completion.who.text,
                              cache_generation(e->parts.cache), loop_wall(e->parts.loop), &hit);
    return found && answer_rest(x, &hit) == ERR_OK ? STEP_OVER : STEP_FLIGHT;
}

bool complete_is_held(struct exchange *x, int kind, const struct cache_hit *hit)
{
    const struct kind_policy *policy = &x->settings->kinds[kind];
    bool wanted = policy->cls == KIND_CLASS_COMPLETION && x->settings->cache.type_through &&
                  x->settings->cache.type_through_entries > 0 &&
                  (hit->flags & CACHE_FLAG_EMPTY) == 0;
    return !wanted ||
           through_knows(x->engine->through, hit->id, cache_generation(x->engine->parts.cache));
}

bool complete_observe_rest(struct exchange *x, struct through_hit *hit)
{
    struct engine *e = x->engine;
    uint64_t generation = cache_generation(e->parts.cache);
    wall_t now = loop_wall(e->parts.loop);
    if (!is_completion(x) || !type_through(x)) {
        return false;
    }
    complete_prepare(x);
    const struct flight_completion *c = &x->completion;
    return c->usable && (through_look(e->through, &c->context, c->who.text, generation, now, hit) ||
                         through_find(observe_through(e->observe), &c->context, c->who.text,
                                      generation, now, hit));
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

void complete_hit(struct exchange *x, const struct cache_hit *hit, const struct answer *answer)
{
    if (!is_completion(x) || !type_through(x)) {
        return;
    }
    complete_prepare(x);
    if (x->completion.usable) {
        struct through_put put = {.context = x->completion.context,
                                  .text = x->completion.who.text,
                                  .entry = hit->id,
                                  .generation = cache_generation(x->engine->parts.cache),
                                  .expires = hit->expires,
                                  .model_time = hit->model_time,
                                  .tokens = hit->tokens,
                                  .cost = hit->cost};
        hold(x->settings->mode == TASKS_OBSERVE ? observe_through(x->engine->observe)
                                                : x->engine->through,
             buf_span(&answer->content), &put);
    }
}

void complete_landed(struct engine *e, const struct flight_spec *spec, const struct flight_end *end)
{
    const struct flight_completion *c = &spec->completion;
    if (c->usable && spec->store && spec->settings->cache.type_through) {
        struct through_put put = {.context = c->context,
                                  .text = c->who.text,
                                  .entry = spec->hash,
                                  .generation = spec->generation,
                                  .expires = end->entry_expires,
                                  .model_time = end->model_time,
                                  .tokens = end->tokens,
                                  .cost = end->cost};
        bool observed = (spec->flags & CACHE_FLAG_OBSERVED) != 0;
        hold(observed ? observe_through(e->observe) : e->through, buf_span(&end->answer->content),
             &put);
    }
}

void complete_chat(struct exchange *x)
{
    if (x->parsed && flight_count(x->engine->flights) > 0) {
        flight_chat_sent(x->engine->flights, turn_person(x),
                         text_last_paragraph(x->request.last_text));
    }
}
