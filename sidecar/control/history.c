/* history.c: GET /history: the last hour in samples of one minute, for the page's plots.
 *
 * A sample is the difference of the figures' totals over its minute; the number of waiting tasks is
 * the highest of the minute's looks, one every LOOK. First-token times are means over the minute,
 * apart for turns that followed tasks and turns that followed none, so that the plot shows what
 * tasks cost the chat. The ring lives in memory and begins empty at the start of the daemon. The
 * days beside it are ledger.c's.
 */
#include "control/control_priv.h"

#include <stdlib.h>

enum { SAMPLES = 60, LOOKS = 6 }; /* minutes kept; looks at the queue in one of them */
static const usec_t LOOK = 10 * USEC_PER_S;

/* Totals since the start of the daemon. */
struct totals {
    struct savings tasks;
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

static struct totals totals_of(const struct figures *f)
{
    struct totals now = {0};
    for (size_t i = 0; i < f->task_count; i++) {
        struct savings s = figures_savings(f->tasks[i]);
        savings_add(&now.tasks, &s);
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
    struct totals d = *a;
    savings_subtract(&d.tasks, &b->tasks);
    d.alone.count -= b->alone.count;
    d.alone.sum_us -= b->alone.sum_us;
    d.after_tasks.count -= b->after_tasks.count;
    d.after_tasks.sum_us -= b->after_tasks.sum_us;
    return d;
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
    control_add_seconds(one, "saved_s", d->tasks.saved_us);
    control_add_seconds(one, "spent_s", d->tasks.spent_us);
    cJSON_AddNumberToObject(one, "requests", (double)d->tasks.requests);
    cJSON_AddNumberToObject(one, "without_call", (double)d->tasks.without_call);
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
    return tree;
}
