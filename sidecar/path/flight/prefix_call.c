/* prefix_call.c: tasks that are asked behind their conversation: whether a call is, what it then sends,
 * and what its answer says about the server.
 *
 * The conversation belongs to the flight's key, so it is fixed when the flight is made. A title
 * that comes before the first reply is the exception: its conversation is looked for when a reply
 * has come and when its call begins, and it gets the key then; no other request joins it by its old
 * one from there on.
 */
#include "path/flight/flight_priv.h"

#include "lull/path/dialect/behind.h"

enum { LOOKS_OF_A_TURN = 8 };

static struct prefix_place place_of(const struct flight *f)
{
    const struct transcript *t = f->spec.behind.transcript;
    return (struct prefix_place){t->conversation, t->turn, t->body.len + t->reply.len};
}

static bool is_wanted(const struct flight *f)
{
    return f->spec.behind.wanted && !f->fell_back;
}

/* ---- a conversation that is known only now ---- */

static bool waits_for_one_chat(const struct flight *f)
{
    size_t count = 0;
    list_each(node, &f->waiters)
    {
        const struct flight_waiter *w = list_item(node, struct flight_waiter, node);
        bool same = hash_key_eq(w->chat, f->spec.turn.conversation.chat);
        bool named = hash_key_is_set(w->chat);
        if (!same || (!named && count > 0)) {
            return false;
        }
        count++;
    }
    return true;
}

static struct span keep(struct buf *memory, struct span s)
{
    size_t at = memory->len;
    require_ok(buf_append_span(memory, s)); /* reserved */
    return span_make(memory->data + at, s.len);
}

/* Takes what was found. Without memory for it the flight is asked as it came. */
static void take(struct flight *f, const struct flight_found *found)
{
    struct flight_behind *behind = &f->spec.behind;
    size_t need = found->material.len + found->behind.instruction.len;
    buf_init(&f->found, need);
    if (found->behind.transcript == NULL || buf_reserve(&f->found, need) != ERR_OK) {
        behind->why = found->behind.why;
        return;
    }
    *behind = found->behind; /* not `later` any more */
    behind->transcript = transcript_ref(found->behind.transcript);
    behind->instruction = keep(&f->found, found->behind.instruction);
    f->spec.material = keep(&f->found, found->material);
    f->spec.own = 0;
    flight_set_key(f, found->hash);
    behind_schedule(f);
}

void behind_look(struct flight *f)
{
    struct flight_found found = {.hash = {0, 0}};
    if (!is_wanted(f) || !f->spec.behind.later || f->table->hooks.behind == NULL) {
        return;
    }
    if (!waits_for_one_chat(f)) {
        f->spec.behind.why = PREFIX_REASON_AMBIGUOUS;
        return;
    }
    f->table->hooks.behind(f->table->hooks.ctx, &f->spec, &found);
    take(f, &found);
}

static bool must_look(const struct flight *f)
{
    bool waits = f->state == FLIGHT_STATE_HELD || f->state == FLIGHT_STATE_QUEUED;
    return waits && is_wanted(f) && f->spec.behind.later && f->looked != f->table->replies;
}

/* A look takes up to 0.1 ms: a few in a turn of the loop. A call that begins first looks itself. */
void behind_look_again(void *table)
{
    struct flight_table *t = table;
    int looked = 0;
    list_each(node, &t->all)
    {
        struct flight *f = list_item(node, struct flight, all);
        if (!must_look(f)) {
            continue;
        }
        if (looked == LOOKS_OF_A_TURN) {
            loop_later(t->parts.loop, &t->look);
            return;
        }
        f->looked = t->replies;
        behind_look(f);
        looked++;
    }
}

void flight_replied(struct flight_table *t)
{
    t->replies++;
    loop_defer(t->parts.loop, &t->look); /* once for all replies of a turn */
}

/* ---- a call ---- */

/* What the server has read once the call under way is answered. */
static struct prefix_place read_place(const struct flight *f)
{
    return f->is_behind ? place_of(f) : (struct prefix_place){.conversation = 0};
}

static int64_t slots(const struct flight *f)
{
    return schedule_slots(f->table->parts.schedule, flight_upstream(f));
}

/* Why this call is not asked so; NONE: it is, if its body can be made. */
static enum prefix_reason reason(struct flight *f)
{
    const struct transcript *t = f->spec.behind.transcript;
    struct server_model *model = flight_model(f);
    if (t == NULL) {
        return f->spec.behind.why;
    }
    if (f->wire != f->spec.endpoint) {
        return PREFIX_REASON_DIALECT;
    }
    f->when = prefix_when_of(model, place_of(f));
    return prefix_look(model, f->spec.kind, f->when, flight_policy(f)->prefix,
                       loop_wall(f->table->parts.loop));
}

struct span behind_body(struct flight *f)
{
    const struct transcript *t = f->spec.behind.transcript;
    f->is_behind = false;
    buf_free(&f->behind);
    if (!is_wanted(f) || f->again || f->behind_refused) {
        return SPAN_NONE;
    }
    f->why_not = reason(f);
    if (f->why_not != PREFIX_REASON_NONE) {
        return SPAN_NONE;
    }
    const struct dialect_behind in = {.endpoint = f->wire,
                                      .chat = t->body,
                                      .task = f->spec.body,
                                      .reply = t->reply,
                                      .instruction = f->spec.behind.instruction};
    buf_init(&f->behind,
             t->body.len + f->spec.body.len + 6 * (t->reply.len + in.instruction.len) + 4096);
    f->is_behind = dialect_behind_request(&in, &f->behind) == ERR_OK;
    f->why_not = f->is_behind ? PREFIX_REASON_NONE : PREFIX_REASON_MEMBERS;
    return f->is_behind ? buf_span(&f->behind) : SPAN_NONE;
}

void behind_called(struct flight *f)
{
    struct task_figures *figures = flight_task_figures(f);
    if (f->is_behind) {
        figures->prefix_used++;
    } else if (is_wanted(f) && !f->again && !f->behind_refused && !f->shape_retried) {
        figures->prefix_not[f->why_not]++;
    }
}

/* It may have waited at the server behind a chat: only now its state is known. */
void behind_read(struct flight *f)
{
    struct server_model *model = flight_model(f);
    if (f->is_behind) {
        f->when = prefix_when_of(model, place_of(f));
    }
    prefix_read_task(model, slots(f), read_place(f));
}

/* Tokens of the conversation: as the server counted them, else estimated from its bytes. */
static int64_t tokens_of(const struct transcript *t)
{
    return t->tokens > 0 ? t->tokens
                         : (int64_t)(t->body.len + t->reply.len) / FLIGHT_BYTES_PER_TOKEN;
}

static void note(struct flight *f, const struct answer *a, bool wrong_form)
{
    const struct transcript *t = f->spec.behind.transcript;
    const struct prefix_call call = {.kind = f->spec.kind,
                                     .behind = f->is_behind,
                                     .when = f->when,
                                     .conversation = f->is_behind ? tokens_of(t) : 0,
                                     .wrong_form = wrong_form,
                                     .tokens_in = a == NULL ? -1 : a->tokens_in,
                                     .cached = a == NULL ? -1 : a->cached_tokens,
                                     .prompt_time = a == NULL ? -1 : a->prompt_time};
    if (is_wanted(f) && !f->spec.untracked) {
        prefix_note(flight_model(f), &call, loop_wall(f->table->parts.loop));
    }
}

void behind_answered(struct flight *f, bool wrong_form)
{
    const struct answer *a = &f->assembler.answer;
    note(f, a, wrong_form);
    if (a->tokens_in > 0 && a->tokens_out > 0 && !f->spec.untracked) {
        prefix_note_size(flight_model(f), a->tokens_in + a->tokens_out);
    }
}

void behind_failed(struct flight *f, bool broken)
{
    if (!broken) {
        note(f, NULL, true);
    }
    f->behind_refused = true;
}

bool behind_aborts_late(const struct flight *f)
{
    const struct upstream_settings *to = flight_upstream(f);
    return to->dialect == DIALECT_CHOICE_OLLAMA ||
           probe_sort(flight_server(f), to) == SERVER_OLLAMA;
}

void behind_schedule(struct flight *f)
{
    struct flight_table *t = f->table;
    struct schedule_job *job = &f->ticket.job;
    const struct server_model *model = flight_model(f);
    job->behind = is_wanted(f) && f->spec.behind.transcript != NULL;
    job->keeps_cache = job->behind && prefix_goes_back(model);
    job->prefix = job->behind ? f->spec.behind.transcript->conversation : 0;
    job->cost = job->keeps_cache ? pace_expected(flight_pace(f)) : 0;
    size_t unread = job->behind ? f->spec.behind.instruction.len : f->spec.body.len;
    job->reading = behind_aborts_late(f) ? schedule_reads(t->parts.schedule, flight_upstream(f),
                                                          unread, loop_now(t->parts.loop))
                                         : 0;
}
