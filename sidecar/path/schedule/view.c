/* view.c: what is shown of the schedule, and whether a machine has nothing to do. */
#include "path/schedule/schedule_priv.h"

const char *schedule_why_name(enum schedule_why why)
{
    static const char *const names[] = {
        [SCHEDULE_FREE] = "",         [SCHEDULE_FIRST_TURN] = "first-turn",
        [SCHEDULE_FOR_CHAT] = "chat", [SCHEDULE_FOR_FOREGROUND] = "foreground",
        [SCHEDULE_SETTLE] = "settle", [SCHEDULE_SLOTS] = "slots",
        [SCHEDULE_MODEL] = "model",   [SCHEDULE_THROTTLED] = "retry-after"};
    return names[why];
}

struct schedule_machine schedule_look_machine(struct schedule *s,
                                              const struct upstream_settings *to, mono_t now)
{
    const struct machine *m = row_of(s, to)->machine;
    struct schedule_machine out = {
        .name = m->name, .chats = m->chats, .foreground = m->foreground, .quiet = -1};
    for (const struct schedule_upstream *row = s->upstreams; row != NULL; row = row->next) {
        if (row->machine != m) {
            continue;
        }
        out.running += row->running_count;
        list_each(node, &row->waiting)
        {
            out.waiting++;
        }
    }
    if (m->chats + m->foreground == 0 && m->goes_on_until.us <= now.us) {
        out.quiet = m->quiet_since.us == 0 ? INT64_MAX : mono_diff(now, m->quiet_since);
    }
    bool still = out.quiet >= 0 && out.running == 0 && out.waiting == 0;
    out.idle = !still ? -1 : m->active.us == 0 ? INT64_MAX : mono_diff(now, m->active);
    return out;
}

bool schedule_chatted(struct schedule *s, const struct upstream_settings *to, mono_t now)
{
    mono_t last = row_of(s, to)->machine->chatted_at;
    return last.us != 0 && mono_diff(now, last) < CHATTING;
}

usec_t schedule_expects(struct schedule *s, const struct upstream_settings *to, size_t size,
                        mono_t now)
{
    const struct schedule_upstream *row = row_of(s, to);
    bool known = row->best_pace > 0 && schedule_chatted(s, to, now);
    return known ? (usec_t)(row->best_pace * (double)size * ANSWER_TOO) : -1;
}

usec_t schedule_reads(struct schedule *s, const struct upstream_settings *to, size_t size,
                      mono_t now)
{
    const struct schedule_upstream *row = row_of(s, to);
    return schedule_chatted(s, to, now) ? (usec_t)(row->best_pace * (double)size) : 0;
}

struct schedule_counts schedule_count(struct schedule *s, const struct upstream_settings *to)
{
    const struct schedule_upstream *row = row_of(s, to);
    struct schedule_counts out = {
        .running = row->running_count, .started = row->started, .displacing = row->displacing};
    list_each(node, &row->waiting)
    {
        out.waiting++;
    }
    return out;
}

size_t schedule_waiting(const struct schedule *s)
{
    size_t waiting = 0;
    for (const struct schedule_upstream *row = s->upstreams; row != NULL; row = row->next) {
        list_each(node, &row->waiting)
        {
            waiting++;
        }
    }
    return waiting;
}
