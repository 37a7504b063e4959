/* interactive.c: what a user waits for: chats and foreground tasks; and when each user was last seen
 * typing.
 */
#include "path/schedule/schedule_priv.h"

static bool same_conversation(const struct schedule_conversation *a,
                              const struct schedule_conversation *b)
{
    if (!hash_key_eq(a->person, b->person)) {
        return false;
    }
    return key_is_zero(a->chat) || key_is_zero(b->chat) || hash_key_eq(a->chat, b->chat);
}

bool chat_is_here(const struct schedule *s, const struct schedule_job *j)
{
    for (const struct machine *m = s->machines; m != NULL; m = m->next) {
        list_each(node, &m->interactive)
        {
            const struct schedule_interactive *f =
                list_item(node, struct schedule_interactive, node);
            if (f->kind == SCHEDULE_CHAT && same_conversation(&j->conversation, &f->conversation)) {
                return true;
            }
        }
    }
    return false;
}

/* The title that waits for this chat now yields to it like any other. */
static void chat_has_come(struct schedule_upstream *row, const struct schedule_interactive *f)
{
    list_each(node, &row->waiting)
    {
        struct schedule_job *j = list_item(node, struct schedule_job, node);
        bool named = !key_is_zero(j->conversation.chat) && !key_is_zero(f->conversation.chat);
        if (j->not_before.us != 0 && same_conversation(&j->conversation, &f->conversation) &&
            (named || f->first_turn)) {
            j->not_before = (mono_t){0};
        }
    }
}

void restart_first_turn_wait(struct schedule *s, const struct schedule_conversation *conversation,
                             const struct machine *m, mono_t now)
{
    for (struct schedule_upstream *row = s->upstreams; row != NULL; row = row->next) {
        if (row->machine != m) {
            continue;
        }
        list_each(node, &row->waiting)
        {
            struct schedule_job *j = list_item(node, struct schedule_job, node);
            if (j->not_before.us != 0 && same_conversation(&j->conversation, conversation)) {
                j->not_before = (mono_t){now.us + j->policy->first_turn_wait};
            }
        }
    }
}

static bool anything_runs(const struct schedule *s, const struct machine *m)
{
    for (const struct schedule_upstream *row = s->upstreams; row != NULL; row = row->next) {
        if (row->machine == m && row->running_count > 0) {
            return true;
        }
    }
    return m->chats + m->foreground > 0;
}

static bool has_draining(const struct schedule_upstream *row, mono_t now)
{
    for (size_t i = 0; i < SCHEDULE_DRAINING; i++) {
        if (row->draining[i].us > now.us) {
            return true;
        }
    }
    return false;
}

void schedule_interactive_began(struct schedule *s, struct schedule_interactive *f, mono_t now)
{
    f->row = row_of(s, f->to);
    f->began = now;
    list_init(&f->node);
    if (schedule_slots(s, f->to) == 0) {
        f->row = NULL; /* it runs any number of calls: nothing gives way to it */
        return;
    }
    struct machine *m = f->row->machine;
    f->alone = !anything_runs(s, m) && !has_draining(f->row, now);
    f->had_slot = (int64_t)(m->chats + m->foreground) < schedule_slots(s, f->to);
    /* the calls that it superseded were aborted a moment before */
    f->after_abort = f->row->aborted_at.us == now.us && now.us != 0;
    list_append(&m->interactive, &f->node);
    f->row->interactive_count++;
    m->goes_on_until = (mono_t){0};
    if (f->kind == SCHEDULE_CHAT) {
        m->chatted_at = now;
        m->chats++;
        for (struct schedule_upstream *row = s->upstreams; row != NULL; row = row->next) {
            chat_has_come(row, f);
        }
    } else {
        m->foreground++;
    }
    f->row->interactive_model = f->model;
    if (!key_is_zero(f->model)) {
        f->row->resident = f->model;
    }
}

static void smooth(usec_t *mean, usec_t value)
{
    *mean = *mean < 0 ? value : *mean + (value - *mean) / 4;
}

/* The first token that a request of this size may be expected to have without an abort before it:
 * longer ones take longer. */
static usec_t usual_for(const struct schedule_interactive *f)
{
    const struct schedule_upstream *row = f->row;
    double times = row->usual_size > 0 ? (double)f->size / (double)row->usual_size : 1;
    return times > 1 ? (usec_t)((double)row->usual_token * times) : row->usual_token;
}

usec_t schedule_interactive_token(struct schedule_interactive *f, mono_t now)
{
    usec_t took = mono_diff(now, f->began);
    if (f->row == NULL || f->kind != SCHEDULE_CHAT) {
        return -1;
    }
    if (!key_is_zero(f->model)) {
        server_model_answered(f->row->server, f->model, now);
    }
    if (f->after_abort && !f->had_slot) {
        return -1; /* it also waited for the chat before it, which says nothing about aborts */
    }
    if (f->after_abort && f->row->usual_token >= 0) {
        usec_t usual = usual_for(f);
        usec_t late = took > usual ? took - usual : 0;
        smooth(&f->row->abort_cost, late);
        return late;
    }
    if (f->alone && !f->after_abort) {
        smooth(&f->row->usual_token, took);
        f->row->machine->slow.seen = (mono_t){0};
        smooth(&f->row->usual_size, (int64_t)f->size);
        /* later turns find most of their prompt in the server's cache, and tell too little */
        double pace = f->first_turn && f->size >= PACE_LEAST ? (double)took / (double)f->size : 0;
        bool better = f->row->best_pace == 0 || pace < f->row->best_pace;
        f->row->best_pace = pace > 0 && better ? pace : f->row->best_pace;
    }
    return -1;
}

/* The holds that could not end since chats had all slots begin again. */
static void renew_holds(struct schedule *s, struct schedule_upstream *row, mono_t now)
{
    set_spent_holds(s);
    list_each(node, &row->waiting)
    {
        struct schedule_job *j = list_item(node, struct schedule_job, node);
        if (hold_is_over(j, now) && must_renew_hold(j)) {
            j->renewed = mono_diff(now, j->hold_ends) + j->policy->max_hold;
            set_hold(s, j);
        }
    }
}

void schedule_interactive_ended(struct schedule *s, struct schedule_interactive *f, mono_t now,
                                bool goes_on)
{
    if (f->row == NULL) {
        return;
    }
    struct machine *m = f->row->machine;
    renew_holds(s, f->row, now);
    list_remove(&f->node);
    f->row->interactive_count--;
    m->quiet_since = now;
    m->active = now;
    if (f->kind == SCHEDULE_CHAT) {
        m->chatted_at = now;
        m->chats--;
        m->goes_on_until = (mono_t){goes_on ? now.us + GOES_ON : 0};
    } else {
        m->foreground--;
        restart_first_turn_wait(s, &f->conversation, m, now);
    }
    f->row = NULL;
}

void schedule_typed(struct schedule *s, const struct upstream_settings *to, struct hash_key person,
                    mono_t now)
{
    struct machine *m = row_of(s, to)->machine;
    struct typing *place = &m->typing[0];
    for (size_t i = 0; i < SCHEDULE_TYPING; i++) {
        struct typing *t = &m->typing[i];
        if (hash_key_eq(t->person, person)) {
            place = t;
            break;
        }
        place = t->at.us < place->at.us ? t : place;
    }
    *place = (struct typing){person, now};
    m->typed_at = now;
}
