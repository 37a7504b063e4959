/* decide.c: the rules. Each reads the state and a job, and changes nothing.
 *
 * In the order in which they are asked:
 *   throttle       the server asked for no more tasks until then: a task that has a fallback goes there
 *                  at once, another one waits if max_hold allows that
 *   not counted    upstreams with 0 slots, and foreground kinds, wait for nothing
 *   model          one_model: another model is resident; outside max_hold
 *   hold           max_hold is over: it runs beside the chat, if the server has a slot for it
 *   first turn     a title asked before the first reply waits for its chat to come
 *   interactive    yield = always: none may be open on the machine, and none have been for `settle`
 *                  and what the machine takes to begin an answer
 *   slots          what runs already, and what was aborted and may still be running
 *
 * `settle` is longer on slow machines: the slower one reads prompts, the more a chat loses by a
 * task that began a moment before it. Measured (llama.cpp, one slot, 165 tokens/s, the next message
 * 1 s after the reply): 1 s alone made the session wait 1.6 times as long as without tasks, 2 s 1.0
 * times. Where a server notices no abort while it reads (Ollama), what the task's own prompt takes
 * is added: a message that comes meanwhile would wait for all of it. A person who is typing is about
 * to send: each autocomplete restarts the settle time of that person's tasks.
 *
 * A server that has said how many slots it has (llama.cpp) queues what finds none. A task sent there
 * while chats have them all begins as a reply ends, just before the next message, and no sooner
 * than one that is sent then. So a hold that ends meanwhile is renewed, once, when one of those
 * chats ends. Measured (llama.cpp, one slot, a first message of 5,700 tokens at 67 tokens/s: 86 s
 * to its first token): the title, sent after 60 s, made the second message wait 246 s instead of
 * 3 s.
 *
 * With several slots one is left to chats even while none is open: the next one then keeps the slot
 * that holds its prefix.
 */
#include "path/schedule/schedule_priv.h"

#include "lull/path/server/throttle.h"

enum { YIELD_ALWAYS_UP_TO = 4 }; /* slots: a task on a second one halves the chat's pace */

static int64_t slots_of(const struct server *server, const struct upstream_settings *to)
{
    if (to->slots != SLOTS_AUTO) {
        return to->slots;
    }
    if (to->tls) {
        return 0;
    }
    return server->found_slots > 0 ? server->found_slots : 1;
}

int64_t schedule_slots(const struct schedule *s, const struct upstream_settings *to)
{
    return slots_of(server_of(s->servers, to), to);
}

bool job_is_counted(const struct schedule_job *j)
{
    return slots_of(j->row->server, j->to) > 0;
}

static enum yield_rule yield_with(const struct schedule_job *j, int64_t slots)
{
    if (j->policy->yield != YIELD_AUTO) {
        return j->policy->yield;
    }
    return slots <= YIELD_ALWAYS_UP_TO ? YIELD_ALWAYS : YIELD_WHEN_FULL;
}

static enum yield_rule yield_of(const struct schedule_job *j)
{
    return yield_with(j, slots_of(j->row->server, j->to));
}

static size_t open_interactive(const struct machine *m)
{
    return m->chats + m->foreground;
}

/* How many jobs may run at this upstream, which has so many slots, at once. */
static int64_t job_slots(const struct schedule_job *j, int64_t slots)
{
    int64_t open = (int64_t)open_interactive(j->row->machine);
    switch (yield_with(j, slots)) {
    case YIELD_NEVER:
        return slots;
    case YIELD_WHEN_FULL:
        if (slots - 1 - open > 0) {
            return slots - 1 - open;
        }
        return open == 0 ? 1 : 0;
    default:
        return slots > 1 ? slots - 1 : 1;
    }
}

static void sooner(mono_t *until, mono_t at)
{
    if (until->us == 0 || at.us < until->us) {
        *until = at;
    }
}

/* Counts the aborted calls that may still hold a slot, once for all jobs that are decided now. */
static void count_draining(struct schedule_upstream *row, mono_t now)
{
    if (row->drained.seen.us == now.us) {
        return;
    }
    row->drained.seen = now;
    row->drained.count = 0;
    row->drained.until = (mono_t){0};
    for (size_t i = 0; i < SCHEDULE_DRAINING; i++) {
        if (row->draining[i].us > now.us) {
            row->drained.count++;
            sooner(&row->drained.until, row->draining[i]);
        }
    }
}

static enum schedule_why ask_slots(const struct schedule_job *j, int64_t slots, mono_t now,
                                   mono_t *until)
{
    struct schedule_upstream *row = j->row;
    int64_t taken = (int64_t)row->running_count;
    count_draining(row, now);
    if (row->drained.count > 0 && j->policy->cls != KIND_CLASS_COMPLETION) {
        taken += row->drained.count;
        sooner(until, row->drained.until);
    }
    return taken < job_slots(j, slots) ? SCHEDULE_FREE : SCHEDULE_SLOTS;
}

/* What `settle` is longer by: the usual time to a chat's first token. Found once for all jobs that
 * are decided now. */
static usec_t slowness(const struct schedule *s, struct machine *m, mono_t now)
{
    usec_t slow = 0;
    if (m->slow.seen.us == now.us) {
        return m->slow.usual;
    }
    for (const struct schedule_upstream *row = s->upstreams; row != NULL; row = row->next) {
        slow = row->home == m && row->usual_token > slow ? row->usual_token : slow;
    }
    m->slow.seen = now;
    m->slow.usual = slow < SLOWNESS_MAX ? slow : SLOWNESS_MAX;
    return m->slow.usual;
}

/* When the person of the job was seen typing since the machine is quiet; zero: not since. */
static mono_t typed_at(const struct schedule_job *j)
{
    const struct machine *m = j->row->machine;
    bool typing = j->policy->cls == KIND_CLASS_COMPLETION; /* it is the typing itself */
    if (m->typed_at.us <= m->quiet_since.us) {
        return (mono_t){0};
    }
    for (size_t i = 0; i < SCHEDULE_TYPING && !typing; i++) {
        if (hash_key_eq(m->typing[i].person, j->conversation.person)) {
            return m->typing[i].at;
        }
    }
    return (mono_t){0};
}

static enum schedule_why ask_interactive(const struct schedule *s, const struct schedule_job *j,
                                         mono_t now, mono_t *until)
{
    struct machine *m = j->row->machine;
    if (open_interactive(m) > 0) {
        return m->chats > 0 ? SCHEDULE_FOR_CHAT : SCHEDULE_FOR_FOREGROUND;
    }
    if (m->goes_on_until.us > now.us) {
        sooner(until, m->goes_on_until);
        return SCHEDULE_FOR_CHAT;
    }
    usec_t settle = j->policy->settle;
    mono_t typed = typed_at(j);
    mono_t since = typed.us > m->quiet_since.us ? typed : m->quiet_since;
    usec_t reading = j->reading < READING_MAX ? j->reading : READING_MAX;
    mono_t settled = {since.us + settle + (settle > 0 ? slowness(s, m, now) + reading : 0)};
    if (since.us != 0 && settle > 0 && settled.us > now.us) {
        sooner(until, settled);
        return SCHEDULE_SETTLE;
    }
    return SCHEDULE_FREE;
}

/* one_model: a swap waits until the chats that need the resident one are over for good. */
static enum schedule_why ask_model(const struct schedule_job *j, mono_t now, mono_t *until)
{
    const struct schedule_upstream *row = j->row;
    if (!j->to->one_model || key_is_zero(row->resident) || key_is_zero(j->model) ||
        hash_key_eq(row->resident, j->model)) {
        return SCHEDULE_FREE;
    }
    if (open_interactive(row->machine) > 0 || row->running_count > 0) {
        return SCHEDULE_MODEL;
    }
    mono_t quiet = {row->machine->quiet_since.us + j->to->swap_after};
    if (row->machine->quiet_since.us != 0 && quiet.us > now.us) {
        sooner(until, quiet);
        return SCHEDULE_MODEL;
    }
    return SCHEDULE_FREE;
}

bool waits_for_model(const struct schedule_job *j, mono_t now)
{
    mono_t until = {0};
    return ask_model(j, now, &until) != SCHEDULE_FREE;
}

/* What is left of a job's hold, counted from `since`. */
static usec_t hold_left(const struct schedule *s, const struct schedule_job *j)
{
    usec_t turn = j->beside_reply ? 0 : turn_waited(s, j->turn, j->since);
    usec_t left = j->policy->max_hold + j->renewed - (turn > j->held ? turn : j->held);
    return left > 0 ? left : 0;
}

void set_hold(const struct schedule *s, struct schedule_job *j)
{
    j->hold_ends = (mono_t){j->since.us + hold_left(s, j)};
}

/* What is left of the time that a job may wait for a throttled server. */
static usec_t patience(const struct schedule *s, const struct schedule_job *j)
{
    usec_t left = hold_left(s, j);
    if (j->policy->cls != KIND_CLASS_FOREGROUND) {
        return left;
    }
    usec_t throttle = FOREGROUND_THROTTLE - j->held; /* it waits for nothing else */
    return throttle < left ? throttle : left;
}

/* When a job's server takes it again; zero: now. */
static mono_t throttle_of(const struct schedule_job *j)
{
    bool person = j->policy->cls == KIND_CLASS_FOREGROUND;
    const struct server *server = j->row->server;
    return person ? server->said_until : server->throttled_until;
}

bool leaves_now(const struct schedule_job *j, mono_t now)
{
    return j->leaves_throttled && throttle_is_on(j->row->server, now);
}

bool waits_for_throttle(const struct schedule *s, const struct schedule_job *j, mono_t now)
{
    mono_t open = throttle_of(j);
    mono_t since = j->state == SCHEDULE_WAITING ? j->since : now;
    bool bounded =
        j->policy->cls == KIND_CLASS_COMPLETION; /* by the flight, which answers it empty */
    return open.us > now.us && !j->forced && (bounded || since.us + patience(s, j) >= open.us);
}

/* A completion does not run beside the chat: the flight answers it empty. */
static bool has_hold(const struct schedule_job *j)
{
    return j->policy->cls != KIND_CLASS_COMPLETION && j->state == SCHEDULE_WAITING;
}

bool hold_is_over(const struct schedule_job *j, mono_t now)
{
    return has_hold(j) && j->hold_ends.us <= now.us;
}

bool must_renew_hold(const struct schedule_job *j)
{
    int64_t free_slots = j->to->slots == SLOTS_AUTO ? j->row->server->found_slots : 0;
    if (free_slots == 0 || j->renewed > 0 || yield_of(j) == YIELD_NEVER) {
        return false;
    }
    list_each(node, &j->row->machine->interactive)
    {
        const struct schedule_interactive *f = list_item(node, struct schedule_interactive, node);
        free_slots -= f->row == j->row ? 1 : 0;
        if (free_slots == 0) {
            return true;
        }
    }
    return false;
}

enum schedule_why decide(struct schedule *s, const struct schedule_job *j, mono_t now,
                         mono_t *until)
{
    int64_t slots = slots_of(j->row->server, j->to);
    bool always = yield_with(j, slots) == YIELD_ALWAYS;
    *until = (mono_t){0};
    if (leaves_now(j, now)) {
        return SCHEDULE_FREE;
    }
    if (throttle_of(j).us > now.us && waits_for_throttle(s, j, now)) {
        *until = throttle_of(j);
        return SCHEDULE_THROTTLED;
    }
    if (slots <= 0 || j->policy->cls == KIND_CLASS_FOREGROUND || j->forced) {
        return SCHEDULE_FREE;
    }
    enum schedule_why why = ask_model(j, now, until);
    if (why != SCHEDULE_FREE) {
        return why;
    }
    bool bounded = has_hold(j);
    if (bounded && j->hold_ends.us <= now.us) {
        return must_renew_hold(j) ? SCHEDULE_FOR_CHAT : SCHEDULE_FREE;
    }
    if (j->not_before.us > now.us && always) {
        *until = j->not_before;
        why = SCHEDULE_FIRST_TURN;
    }
    why = why == SCHEDULE_FREE && always ? ask_interactive(s, j, now, until) : why;
    why = why == SCHEDULE_FREE ? ask_slots(j, slots, now, until) : why;
    if (why != SCHEDULE_FREE && bounded) {
        sooner(until, j->hold_ends);
    }
    return why;
}

/* How long its server needs to notice an abort, as far as that was measured; -1: it was not. */
static usec_t abort_takes(const struct schedule_job *j)
{
    usec_t most = j->answering ? ABORT_COST_WRITING : ABORT_COST_MAX;
    return j->row->abort_cost < most ? j->row->abort_cost : most;
}

/* Aborting is worth nothing where the call would be over before the server notices. */
static bool ends_first(const struct schedule_job *j, mono_t now)
{
    usec_t left = j->expected - mono_diff(now, j->since);
    return j->expected >= 0 && left > 0 && left < abort_takes(j);
}

/* Whether a running job yields, however long it still takes. */
static bool yields(const struct schedule_job *j)
{
    if (!job_is_counted(j) || j->policy->cls == KIND_CLASS_FOREGROUND || j->fixed || j->forced ||
        (int64_t)j->requeued >= j->policy->max_requeue) {
        return false;
    }
    switch (yield_of(j)) {
    case YIELD_NEVER:
        return false;
    case YIELD_WHEN_FULL:
        return (int64_t)j->row->running_count > job_slots(j, slots_of(j->row->server, j->to));
    default:
        return true;
    }
}

bool must_preempt(const struct schedule_job *j, mono_t now)
{
    return yields(j) && !ends_first(j, now);
}

mono_t left_until(const struct schedule_job *j, mono_t now)
{
    return (mono_t){yields(j) && ends_first(j, now) ? now.us + abort_takes(j) : 0};
}
