/* history.c: GET /history: the last hour in samples of one minute, for the page's plots.
 *
 * A sample is the difference of the figures' totals over its minute; the number of waiting tasks is
 * the highest of the minute's looks, one every LOOK. First-token times are means over the minute,
 * apart for turns that followed tasks and turns that followed none, so that the plot shows what
 * tasks cost the chat. The ring lives in memory and begins empty at the start of the daemon.
 */
#include "control/control_priv.h"

#include <stdlib.h>

enum { SAMPLES = 60, LOOKS = 6 }; /* minutes kept; looks at the queue in one of them */
static const usec_t LOOK = 10 * USEC_PER_S;

/* Totals since the start of the daemon. */
struct totals {
    int64_t saved_us, spent_us;
    uint64_t requests, without_call;
    struct {
        uint64_t count;
        int64_t sum_us;
    } alone, after_tasks; /* first tokens of turns that continue a conversation */
};

struct sample {
    int64_t at_s; /* end of the minute, Unix time */
    struct totals delta;
    int64_t queued;
};

struct history {
    struct loop *loop;
    const struct figures *figures;
    const struct schedule *schedule;
    struct loop_timer *timer;
    struct totals last;
    struct sample samples[SAMPLES]; /* oldest at `next` once all are used */
    size_t count, next;
    unsigned looks;
    int64_t queued;
};

/* Outcomes for which no model call was made on behalf of the exchange. */
static uint64_t answered_without_call(const struct task_figures *t)
{
    static const enum outcome without[] = {
        OUTCOME_HIT,        OUTCOME_TYPE_THROUGH, OUTCOME_STALE, OUTCOME_COLLAPSED,
        OUTCOME_SUPERSEDED, OUTCOME_DEADLINE,     OUTCOME_BUSY,  OUTCOME_OBSOLETE,
        OUTCOME_SENT,       OUTCOME_SWITCHED_OFF};
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof without / sizeof without[0]; i++) {
        sum += t->outcomes[without[i]];
    }
    return sum;
}

static struct totals totals_of(const struct figures *f)
{
    struct totals now = {0};
    for (size_t i = 0; i < f->task_count; i++) {
        const struct task_figures *t = f->tasks[i];
        now.saved_us += t->saved_us;
        now.spent_us += t->upstream_us;
        now.requests += t->requests;
        now.without_call += answered_without_call(t);
    }
    for (size_t i = 0; i < f->upstream_count; i++) {
        const struct upstream_figures *u = f->upstreams[i];
        now.alone.count += u->token_alone.count;
        now.alone.sum_us += u->token_alone.sum_us;
        now.after_tasks.count += u->token_after_tasks.count;
        now.after_tasks.sum_us += u->token_after_tasks.sum_us;
    }
    return now;
}

static struct totals difference(const struct totals *a, const struct totals *b)
{
    return (struct totals){
        .saved_us = a->saved_us - b->saved_us,
        .spent_us = a->spent_us - b->spent_us,
        .requests = a->requests - b->requests,
        .without_call = a->without_call - b->without_call,
        .alone = {a->alone.count - b->alone.count, a->alone.sum_us - b->alone.sum_us},
        .after_tasks = {a->after_tasks.count - b->after_tasks.count,
                        a->after_tasks.sum_us - b->after_tasks.sum_us},
    };
}

static void add_sample(struct history *h)
{
    struct totals now = totals_of(h->figures);
    h->samples[h->next] = (struct sample){.at_s = loop_wall(h->loop).us / USEC_PER_S,
                                          .delta = difference(&now, &h->last),
                                          .queued = h->queued};
    h->next = (h->next + 1) % SAMPLES;
    h->count += h->count < SAMPLES ? 1 : 0;
    h->last = now;
    h->queued = 0;
}

static void on_look(void *ctx)
{
    struct history *h = ctx;
    int64_t queued = (int64_t)schedule_waiting(h->schedule);
    h->queued = queued > h->queued ? queued : h->queued;
    h->looks++;
    if (h->looks == LOOKS) {
        h->looks = 0;
        add_sample(h);
    }
    loop_timer_start(h->timer, LOOK);
}

struct history *history_create(struct loop *loop, const struct figures *figures,
                               const struct schedule *schedule)
{
    struct history *h = mem_new(sizeof *h);
    h->loop = loop;
    h->figures = figures;
    h->schedule = schedule;
    h->timer = loop_timer_create(loop, on_look, h);
    loop_timer_start(h->timer, LOOK);
    return h;
}

void history_destroy(struct history *h)
{
    if (h != NULL) {
        loop_timer_destroy(h->timer);
        free(h);
    }
}

static cJSON *sample_tree(const struct sample *s)
{
    const struct totals *d = &s->delta;
    cJSON *one = cJSON_CreateObject();
    cJSON_AddNumberToObject(one, "t", (double)s->at_s);
    control_add_seconds(one, "saved_s", d->saved_us);
    control_add_seconds(one, "spent_s", d->spent_us);
    cJSON_AddNumberToObject(one, "requests", (double)d->requests);
    cJSON_AddNumberToObject(one, "without_call", (double)d->without_call);
    control_add_quotient(one, "ttft_alone_ms", (double)d->alone.sum_us,
                         1e3 * (double)d->alone.count, 1);
    control_add_quotient(one, "ttft_after_tasks_ms", (double)d->after_tasks.sum_us,
                         1e3 * (double)d->after_tasks.count, 1);
    cJSON_AddNumberToObject(one, "queued", (double)s->queued);
    return one;
}

cJSON *history_tree(const struct history *h)
{
    cJSON *tree = cJSON_CreateObject();
    cJSON *minutes = cJSON_AddArrayToObject(tree, "minutes");
    for (size_t i = 0; i < h->count; i++) {
        size_t at = (h->next + SAMPLES - h->count + i) % SAMPLES;
        cJSON_AddItemToArray(minutes, sample_tree(&h->samples[at]));
    }
    cJSON_AddArrayToObject(tree, "days");
    return tree;
}
