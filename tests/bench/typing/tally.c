/* tally.c: see tally.h. */
#include "bench/typing/tally.h"

#include "lull/base/err.h"
#include "lull/config/figures.h"

#include <stdlib.h>

const usec_t PAUSE = USEC_PER_S;
const usec_t SEEN = 250 * USEC_PER_MS;

static usec_t *append(usec_t *list, size_t *count, size_t *room, usec_t value)
{
    if (*count == *room) {
        *room = *room == 0 ? 256 : *room * 2;
        list = realloc(list, *room * sizeof *list);
        require(list != NULL);
    }
    list[(*count)++] = value;
    return list;
}

void tally_wait(struct tally *t, usec_t wait)
{
    t->result.waited += wait;
    t->waits = append(t->waits, &t->wait_count, &t->wait_room, wait);
}

void tally_chat(struct tally *t, usec_t wait)
{
    t->chats = append(t->chats, &t->chat_count, &t->chat_room, wait);
}

static int by_size(const void *a, const void *b)
{
    usec_t x = *(const usec_t *)a;
    usec_t y = *(const usec_t *)b;
    return (x > y) - (x < y);
}

/* -1: there is none. */
static usec_t percentile(const usec_t *sorted, size_t count, unsigned percent)
{
    return count == 0 ? -1 : sorted[figure_rank(count, percent) - 1];
}

struct result tally_close(struct tally *t, const struct model_figures *model)
{
    struct result *r = &t->result;
    if (t->wait_count > 0) {
        qsort(t->waits, t->wait_count, sizeof *t->waits, by_size);
    }
    if (t->chat_count > 0) {
        qsort(t->chats, t->chat_count, sizeof *t->chats, by_size);
    }
    r->to_suggestion_p50 = percentile(t->waits, t->wait_count, 50);
    r->to_suggestion_p95 = percentile(t->waits, t->wait_count, 95);
    r->chat_p50 = percentile(t->chats, t->chat_count, 50);
    r->calls = model->calls;
    r->aborted = model->aborted;
    r->avoidable = model->avoidable;
    r->spent = model->spent;
    r->used = model->used;
    r->ran = true;
    free(t->waits);
    free(t->chats);
    return *r;
}
