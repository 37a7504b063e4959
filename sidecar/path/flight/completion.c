/* completion.c: autocompletes: what newer text means for older, in every state it may be in.
 *
 * When a request comes for text T, whatever the same typist asked before is older:
 *
 *   held in its window, queued   superseded: answered empty at once, never dropped, since Open
 *   or following                 WebUI's editor has one request in flight and is locked until it is
 *                                answered
 *   being called                 kept while T begins with its text and what has come of its answer
 *                                still fits what was typed since: T follows it, and takes the
 *                                remainder when it is complete. Else it is aborted and answered
 *                                empty, unless it is nearly done, or others may wait for it too
 *
 * Following needs no typist: the remainder of an answer is right for any request under the same
 * context, as an exact hit would be. Superseding and aborting take something away and need one. A
 * follower that stops fitting (decided on the streamed tokens) goes back to what is left of its
 * window, at once where nothing is.
 *
 * Before a call: where users chat and completions are slow (max_expected), none is begun. Measured
 * with llama.cpp and Ollama at 165 tokens/s of prompt: a person's one autocomplete took 7 to 15 s,
 * could only be thrown away, and the message that followed had its first token 1 to 5 s late, since
 * no server notices an abort while it reads a prompt. Once a minute one is tried all the same, so
 * that a server that has become faster is found out. None is tried that would take the conversation
 * out of a server's only slot, where that was seen to lose it and needs long to read it again.
 *
 * `debounce = off` switches all of this off but the deadline: every request is called at once.
 */
#include "path/flight/flight_priv.h"

#include "lull/path/typist/typed_text.h"
#include "lull/path/webui/classify.h"

static const usec_t FUTILE_PAUSE = 60 * USEC_PER_S;
enum { DELAY_SHARE = 6 }; /* of max_expected: what a completion may delay the next message */
static const usec_t DETACHED_MAX = 30 * USEC_PER_S;
static const usec_t DEADLINE_MIN = USEC_PER_S; /* of `auto`: shorter waits are not given up */
static const usec_t DEADLINE_MAX = 5 * USEC_PER_S;

static void on_deadline(void *ctx);

static bool is_off(const struct flight_spec *spec)
{
    return spec->settings->kinds[spec->kind].debounce == WINDOW_OFF;
}

usec_t flight_window(struct flight_table *t, const struct flight_spec *spec,
                     const struct typist_verdict *v)
{
    usec_t window = spec->settings->kinds[spec->kind].debounce;
    if (window != WINDOW_AUTO || !flight_has(FLIGHT_PART_WINDOW)) {
        return window == WINDOW_AUTO ? 0 : window;
    }
    return typist_window(v, pace_expected(flight_pace_of(t, spec)), 0);
}

static struct span typed_since(const struct flight *leader, const struct flight_completion *c)
{
    size_t len = leader->spec.completion.who.text.len;
    return span_make(c->who.text.ptr + len, c->who.text.len - len);
}

/* Whether what has come of the leader's answer may still be right for c. */
static bool may_fit(struct flight *leader, const struct flight_completion *c)
{
    struct suggestion_reader *r = &leader->reader;
    struct span text = leader->spec.completion.who.text;
    struct span typed = typed_since(leader, c);
    struct span rest;
    if (leader->assembling) {
        suggestion_read(r, buf_span(&leader->assembler.answer.content));
    }
    if (!r->begun || r->lost) {
        return true; /* nothing is known yet */
    }
    return r->closed ? text_remainder(text, buf_span(&r->text), typed, &rest)
                     : text_may_fit(text, buf_span(&r->text), typed);
}

static bool can_lead(struct flight *f, const struct flight_completion *c)
{
    const struct flight_completion *own = &f->spec.completion;
    return f->state == FLIGHT_STATE_CALLING && f->spec.shared && own->usable &&
           own->who.text.len < c->who.text.len && span_starts(c->who.text, own->who.text) &&
           hash_key_eq(own->context.hash, c->context.hash) &&
           span_eq(own->context.material, c->context.material) && may_fit(f, c);
}

struct flight *completion_leader(struct flight_table *t, const struct flight_completion *c)
{
    struct flight *best = NULL;
    if (!flight_has(FLIGHT_PART_FOLLOW)) {
        return NULL;
    }
    list_each(node, &t->all)
    {
        struct flight *f = list_item(node, struct flight, all);
        size_t len = best == NULL ? 0 : best->spec.completion.who.text.len;
        if (can_lead(f, c) && f->spec.completion.who.text.len > len) {
            best = f;
        }
    }
    return best;
}

/* ---- older and newer ---- */

/* Whether more than one person may wait for it: several requests, and no user id. */
static bool is_for_several(const struct flight *f)
{
    return !f->spec.completion.who.one_user && f->waiters.next != f->waiters.prev;
}

/* A call for older text that does not fit the newer one. */
static void abandon(struct flight *f)
{
    usec_t elapsed = mono_diff(loop_now(f->table->parts.loop), f->started);
    if (is_for_several(f) || f->reader.closed || !list_empty(&f->followers) ||
        !flight_has(FLIGHT_PART_ABORT) || pace_nearly_done(flight_pace(f), elapsed)) {
        return;
    }
    if (!flight_leave_loading(f, OUTCOME_SUPERSEDED)) { /* the newer one needs the model, too */
        flight_finish_empty(f, OUTCOME_SUPERSEDED);
    }
}

/* Whether newer comes from the typist that f came from. */
static bool is_of_typist(const struct flight *f, const struct flight *newer)
{
    bool run =
        newer->settled && f->run == newer->run && flight_policy(newer)->debounce == WINDOW_AUTO;
    return run || typist_same(&f->spec.completion.who, &newer->spec.completion.who);
}

static bool is_older(const struct flight *f, const struct flight *newer)
{
    return f != newer && f->state != FLIGHT_STATE_ENDING && f->spec.completion.usable &&
           is_of_typist(f, newer);
}

static void supersede_older(struct flight *newer, const struct flight *leader)
{
    /* what only waits ends first: it may be what keeps a call going */
    list_each(node, &newer->table->all)
    {
        struct flight *f = list_item(node, struct flight, all);
        if (is_older(f, newer) && f->state != FLIGHT_STATE_CALLING) {
            flight_finish_empty(f, OUTCOME_SUPERSEDED);
        }
    }
    list_each(calling, &newer->table->all)
    {
        struct flight *f = list_item(calling, struct flight, all);
        if (f != leader && is_older(f, newer) && f->state == FLIGHT_STATE_CALLING) {
            abandon(f);
        }
    }
}

/* ---- following ---- */

static void follow(struct flight *f, struct flight *leader)
{
    flight_enter(f, FLIGHT_EVENT_LED);
    f->followed = loop_now(f->table->parts.loop);
    f->leader = leader;
    list_append(&leader->followers, &f->follow);
}

void completion_unfollow(struct flight *f)
{
    f->leader = NULL;
    list_remove(&f->follow);
}

/* The longest time that the next message may be delayed: 1 s by default, a pause between two words. */
static usec_t delay_most(const struct flight *f)
{
    return flight_policy(f)->max_expected / DELAY_SHARE;
}

/* Whether the next message would wait for the prompt of this completion: no server notices an abort
 * while it reads (llama.cpp within a batch of 2,048 tokens, Ollama at all). taken: how long such
 * calls take as a whole; -1: not known. */
static bool holds_up_a_message(const struct flight *f, usec_t taken)
{
    struct flight_table *t = f->table;
    usec_t reading = schedule_reads(t->parts.schedule, flight_upstream(f), f->spec.body.len,
                                    loop_now(t->parts.loop));
    return reading > delay_most(f) && (taken < 0 || taken > delay_most(f));
}

/* Whether it would take the conversation out of the only slot of a server that keeps it nowhere
 * else, and the next message would wait until that is read again. */
static bool costs_the_conversation(const struct flight *f)
{
    struct schedule *s = f->table->parts.schedule;
    const struct upstream_settings *to = flight_upstream(f);
    size_t lost = prefix_displaces(flight_model(f), schedule_slots(s, to));
    return schedule_reads(s, to, lost, loop_now(f->table->parts.loop)) > delay_most(f);
}

bool completion_is_futile(struct flight *f)
{
    struct flight_table *t = f->table;
    struct pace *pace = flight_pace(f);
    const struct upstream_settings *to = flight_upstream(f);
    usec_t limit = flight_policy(f)->max_expected;
    mono_t now = loop_now(t->parts.loop);
    if (limit == 0 || !flight_has(FLIGHT_PART_BUSY) || schedule_slots(t->parts.schedule, to) == 0 ||
        !schedule_chatted(t->parts.schedule, to, now)) {
        return false;
    }
    usec_t expected = flight_expected(f->table, &f->spec);
    bool costs = costs_the_conversation(f);
    bool holds_up = holds_up_a_message(f, expected);
    expected =
        expected >= 0 ? expected : schedule_expects(t->parts.schedule, to, f->spec.body.len, now);
    /* where a whole prompt is read to its end, a try would cost the next message all of it */
    bool rested = pace->tried_at.us != 0 && mono_diff(now, pace->tried_at) >= FUTILE_PAUSE &&
                  !costs && !(holds_up && behind_aborts_late(f));
    if ((expected <= limit && !holds_up && !costs) || rested) {
        return false;
    }
    pace->tried_at = pace->tried_at.us == 0 ? now : pace->tried_at;
    return true;
}

/* Holds it for the remainder of its window; false: the window is over. */
static bool hold(struct flight *f)
{
    usec_t waited = mono_diff(loop_now(f->table->parts.loop), f->begun);
    if (f->window > waited) {
        loop_timer_start(f->timer, f->window - waited);
    }
    return f->window > waited;
}

static void hold_or_start(struct flight *f)
{
    if (!hold(f)) {
        flight_start(f);
    }
}

enum flight_event completion_try_join(struct flight *f)
{
    struct flight_table *t = f->table;
    const struct flight_completion *c = &f->spec.completion;
    if (!c->usable || !f->spec.join || is_off(&f->spec)) {
        return FLIGHT_EVENT_NONE;
    }
    struct answer *answer = flight_own_answer(f);
    struct flight_end end = {.result = FLIGHT_RESULT_ANSWER, .answer = answer, .held = true};
    if (t->hooks.held(t->hooks.ctx, &f->spec, &answer->content, &end)) {
        flight_finish(f, FLIGHT_EVENT_REMAINDER, &end);
        return FLIGHT_EVENT_REMAINDER;
    }
    struct flight *leader = completion_leader(t, c);
    if (leader == NULL) {
        return FLIGHT_EVENT_NONE;
    }
    follow(f, leader);
    return FLIGHT_EVENT_LED;
}

static void release(struct flight *f)
{
    completion_unfollow(f);
    flight_enter(f, FLIGHT_EVENT_RELEASED);
    hold_or_start(f);
}

void completion_release_all(struct flight *f)
{
    while (!list_empty(&f->followers)) {
        release(list_item(f->followers.next, struct flight, follow));
    }
}

/* Its timer of the deadline, whatever it is used for. */
static void start_deadline(struct flight *f, usec_t after)
{
    if (f->deadline == NULL) {
        f->deadline = loop_timer_create(f->table->parts.loop, on_deadline, f);
    }
    loop_timer_start(f->deadline, after);
}

/* Its call goes on for a time without a request, for the cache. false: it does not. */
static bool leave_for_cache(struct flight *f)
{
    struct flight_table *t = f->table;
    if (f->call == NULL || !f->spec.store || t->detached_count >= FLIGHT_DETACHED) {
        return false;
    }
    f->detached = true;
    t->detached_count++;
    start_deadline(f, DETACHED_MAX);
    return true;
}

void completion_progress(struct flight *f)
{
    bool released = false;
    if (list_empty(&f->followers)) {
        return;
    }
    list_each(node, &f->followers)
    {
        struct flight *follower = list_item(node, struct flight, follow);
        if (!may_fit(f, &follower->spec.completion)) {
            released = released || is_of_typist(f, follower);
            usec_t waited = mono_diff(loop_now(f->table->parts.loop), follower->begun);
            completion_unfollow(follower);
            flight_enter(follower, FLIGHT_EVENT_RELEASED);
            /* through the timer: not from inside the call's own callback */
            loop_timer_start(follower->timer, follower->window - waited);
        }
    }
    if (released) {
        abandon(f);
    }
    if (flight_is_idle(f) && !(released && leave_for_cache(f))) {
        flight_drop(f, FLIGHT_EVENT_LEFT); /* only they kept it going */
    }
}

/* Answers a follower with the remainder alone. false: it is released. */
static bool answer_follower(struct flight *f, struct span rest, const struct flight_end *from)
{
    struct answer *answer = flight_own_answer(f);
    struct flight_end end = {.result = FLIGHT_RESULT_ANSWER,
                             .answer = answer,
                             .model_time = from->model_time,
                             .tokens = from->tokens,
                             .cost = from->cost,
                             .remainder = true};
    bool written = suggestion_write(rest, &answer->content) == ERR_OK;
    if (written) {
        flight_finish(f, FLIGHT_EVENT_LEADER_ANSWERED, &end);
    } else {
        release(f);
    }
    return written;
}

bool completion_completed(struct flight *f, const struct flight_end *end)
{
    struct buf suggestion = {.max = ANSWER_MAX};
    if (list_empty(&f->followers)) {
        return false; /* the answer is read for them only */
    }
    bool good = suggestion_of(buf_span(&end->answer->content), &suggestion);
    bool taken = false;
    while (!list_empty(&f->followers)) {
        struct flight *follower = list_item(f->followers.next, struct flight, follow);
        struct span typed = typed_since(f, &follower->spec.completion);
        struct span rest;
        if (good &&
            text_remainder(f->spec.completion.who.text, buf_span(&suggestion), typed, &rest)) {
            taken = answer_follower(follower, rest, end) || taken;
        } else {
            release(follower);
        }
    }
    buf_free(&suggestion);
    return taken;
}

/* ---- placing ---- */

bool completion_place(struct flight *f)
{
    struct flight_table *t = f->table;
    struct flight_completion *c = &f->spec.completion;
    struct flight *leader = NULL;
    c->who.now = loop_now(t->parts.loop);
    schedule_typed(t->parts.schedule, flight_upstream(f), f->spec.turn.conversation.person,
                   c->who.now);
    struct typist_verdict v = {.lone = true};
    if (c->usable) {
        v = typist_note(t->typists, &c->who);
    }
    f->run = v.run;
    f->settled = v.settled;
    f->window = flight_window(t, &f->spec, &v);
    figure_times_add(&flight_task_figures(f)->window, c->who.now, f->window);
    completion_arm_deadline(f);
    if (c->usable && !is_off(&f->spec)) {
        leader = f->spec.join ? completion_leader(t, c) : NULL;
        if (leader != NULL) {
            follow(f, leader); /* first: an older one may be all that keeps the leader going */
        }
        supersede_older(f, leader);
    }
    return leader != NULL || hold(f);
}

/* ---- the chat was sent ---- */

/* Without a user id another person may have sent it: then equal texts have to be as long as those of
 * one typist, at the same place of a conversation, and no second request waits. */
static bool was_sent(const struct flight *f, const struct flight_sent *sent)
{
    const struct flight_completion *c = &f->spec.completion;
    struct span text = span_trim(c->who.text);
    if (f->state == FLIGHT_STATE_ENDING || !c->usable || is_for_several(f) ||
        !hash_key_eq(c->who.person, sent->person)) {
        return false;
    }
    bool begins = text.len <= sent->paragraph.len &&
                  task_same_typist(text, sent->paragraph, c->who.one_user, true);
    return c->who.one_user ? begins || span_eq(text, sent->paragraph)
                           : begins && c->who.history_empty == sent->first_turn;
}

void flight_chat_sent(struct flight_table *t, const struct flight_sent *sent)
{
    if (sent->paragraph.len == 0 || !flight_has(FLIGHT_PART_SENT)) {
        return;
    }
    /* what only waits ends first: it must not begin a call when the one it follows ends */
    list_each(node, &t->all)
    {
        struct flight *f = list_item(node, struct flight, all);
        if (f->state != FLIGHT_STATE_CALLING && was_sent(f, sent)) {
            flight_finish_empty(f, OUTCOME_SENT);
        }
    }
    list_each(calling, &t->all)
    {
        struct flight *f = list_item(calling, struct flight, all);
        if (was_sent(f, sent) && !flight_leave_loading(f, OUTCOME_SENT)) {
            flight_finish_empty(f, OUTCOME_SENT);
        }
    }
}

/* ---- the deadline ---- */

static usec_t deadline_of(struct flight *f)
{
    usec_t deadline = flight_policy(f)->deadline;
    if (deadline != WINDOW_AUTO) {
        return deadline;
    }
    usec_t usual = pace_deadline(flight_pace(f));
    if (usual < 0) {
        return DEADLINE_MAX;
    }
    return usual < DEADLINE_MIN ? DEADLINE_MIN : usual > DEADLINE_MAX ? DEADLINE_MAX : usual;
}

/* Answers waiters that have waited for `deadline`; returns how long until the next, -1: none is left. */
static usec_t answer_due(struct flight *f, usec_t deadline)
{
    mono_t now = loop_now(f->table->parts.loop);
    while (!list_empty(&f->waiters)) {
        struct flight_waiter *w = list_item(f->waiters.next, struct flight_waiter, node);
        usec_t left = deadline - mono_diff(now, w->since);
        if (left > 0) {
            return left;
        }
        flight_answer_empty(f, w, OUTCOME_DEADLINE);
    }
    return -1;
}

static void on_deadline(void *ctx)
{
    struct flight *f = ctx;
    if (f->state == FLIGHT_STATE_ENDING) {
        return;
    }
    if (f->detached && list_empty(&f->followers)) {
        flight_drop(f, FLIGHT_EVENT_DEADLINE); /* it had its time */
        return;
    }
    flight_attach(f);
    usec_t next = answer_due(f, deadline_of(f));
    if (f->state == FLIGHT_STATE_ENDING) {
        return; /* ended by what a client sent next */
    }
    if (next > 0) {
        loop_timer_start(f->deadline, next);
    } else if (!list_empty(&f->followers)) {
        return; /* they keep it going */
    } else if (!leave_for_cache(f)) {
        flight_drop(f, FLIGHT_EVENT_DEADLINE);
    }
}

void completion_arm_deadline(struct flight *f)
{
    usec_t deadline = deadline_of(f);
    if (deadline > 0) {
        start_deadline(f, deadline);
    }
}
