/* schedule.c: counts, per upstream, what runs, and answers whether a flight may start.
 *
 * Upstreams are known by name, so that counts survive a reload; their number is bounded by the
 * configurations that were ever in force. In this version the answer is always "now": what waits,
 * waits in the model server. The counts are real all the same, and are what the answer will be made
 * of.
 */
#include "lull/path/schedule/schedule.h"

#include <stdlib.h>
#include <string.h>

struct row {
    struct row *next;
    char *upstream;
    size_t running;
    size_t chats;
};

struct schedule {
    struct row *rows;
};

static struct row *find(const struct schedule *s, const char *upstream)
{
    struct row *row = s->rows;
    while (row != NULL && strcmp(row->upstream, upstream) != 0) {
        row = row->next;
    }
    return row;
}

static struct row *find_or_add(struct schedule *s, const char *upstream)
{
    struct row *row = find(s, upstream);
    if (row == NULL) {
        row = mem_new(sizeof *row);
        row->upstream = mem_strdup(upstream);
        row->next = s->rows;
        s->rows = row;
    }
    return row;
}

struct schedule *schedule_create(void)
{
    return mem_new(sizeof(struct schedule));
}

void schedule_destroy(struct schedule *s)
{
    if (s == NULL) {
        return;
    }
    while (s->rows != NULL) {
        struct row *row = s->rows;
        s->rows = row->next;
        free(row->upstream);
        free(row);
    }
    free(s);
}

enum schedule_answer schedule_ask(const struct schedule *s, const struct upstream_settings *to,
                                  enum kind_class cls)
{
    bool waits = cls == KIND_CLASS_COMPLETION && !to->tls && schedule_chats(s, to->name) > 0;
    return waits ? SCHEDULE_WAIT : SCHEDULE_START;
}

void schedule_flight_began(struct schedule *s, const char *upstream)
{
    find_or_add(s, upstream)->running++;
}

void schedule_flight_ended(struct schedule *s, const char *upstream)
{
    struct row *row = find(s, upstream);
    require(row != NULL && row->running > 0);
    row->running--;
}

void schedule_chat_began(struct schedule *s, const char *upstream)
{
    find_or_add(s, upstream)->chats++;
}

void schedule_chat_ended(struct schedule *s, const char *upstream)
{
    struct row *row = find(s, upstream);
    require(row != NULL && row->chats > 0);
    row->chats--;
}

size_t schedule_running(const struct schedule *s, const char *upstream)
{
    const struct row *row = find(s, upstream);
    return row == NULL ? 0 : row->running;
}

size_t schedule_chats(const struct schedule *s, const char *upstream)
{
    const struct row *row = find(s, upstream);
    return row == NULL ? 0 : row->chats;
}
