/* probe.c: see probe.h. One row per upstream name, asked step by step:
 *
 *   IDLE ──use──▶ VERSION ──it is Ollama──▶ KNOWN
 *     ▲              └─else──▶ PROPS ──answered──▶ KNOWN
 *     └──not reached, 503 (loading a model), forgotten──┘
 */
#include "lull/path/server/probe.h"

#include "lull/path/dialect/props.h"

#include <stdlib.h>

static const usec_t PROBE_PAUSE = 10 * USEC_PER_S;
static const usec_t PROBE_WAIT = 2 * USEC_PER_S;
enum { PROBE_BODY_MAX = 256 * 1024, PROBE_KEY_MAX = 8192 };

enum probe_state { PROBE_IDLE, PROBE_VERSION, PROBE_PROPS, PROBE_KNOWN };

struct probe {
    struct probe *next;
    struct probes *all;
    char *name;
    enum probe_state state;
    enum server_sort sort;
    bool asked;
    mono_t asked_at;
    struct upstream_call *call; /* NULL: nothing is being asked */
    struct settings *settings;  /* of the call */
    const struct upstream_settings *to;
    int status;
    struct buf body, key;
    struct list waiters;
    struct loop_timer *patience; /* of the waiters */
    struct loop_deferred next_step;
};

struct probes {
    struct loop *loop;
    struct upstream_pool *pool;
    struct schedule *schedule;
    struct probe *rows;
};

static void ask(struct probe *row, struct span target);

struct probes *probes_create(struct loop *loop, struct upstream_pool *pool,
                             struct schedule *schedule)
{
    struct probes *p = mem_new(sizeof *p);
    p->loop = loop;
    p->pool = pool;
    p->schedule = schedule;
    return p;
}

static void call_over(struct probe *row)
{
    row->call = NULL;
    buf_free(&row->body);
    buf_free(&row->key);
}

static void asked_enough(struct probe *row)
{
    settings_unref(row->settings);
    row->settings = NULL;
    row->to = NULL;
}

void probes_destroy(struct probes *p)
{
    while (p != NULL && p->rows != NULL) {
        struct probe *row = p->rows;
        p->rows = row->next;
        require(list_empty(&row->waiters));
        if (row->call != NULL) {
            upstream_abort(row->call);
            call_over(row);
        }
        if (row->next_step.waiting) {
            loop_defer_cancel(p->loop, &row->next_step);
        }
        asked_enough(row);
        loop_timer_destroy(row->patience);
        free(row->name);
        free(row);
    }
    free(p);
}

/* Nobody waits any longer. */
static void wake(void *ctx)
{
    struct probe *row = ctx;
    loop_timer_stop(row->patience);
    while (!list_empty(&row->waiters)) {
        struct probe_waiter *w = list_item(row->waiters.next, struct probe_waiter, node);
        list_remove(&w->node);
        w->fn(w->ctx);
    }
}

static void on_head(void *ctx, int status, struct span reason, const struct http_header *headers,
                    size_t count, int64_t content_length)
{
    struct probe *row = ctx;
    (void)reason;
    (void)headers;
    (void)count;
    (void)content_length;
    row->status = status;
}

static bool on_data(void *ctx, struct span piece)
{
    struct probe *row = ctx;
    enum err e = buf_append_span(&row->body, piece);
    if (e != ERR_OK) {
        row->status = 0; /* longer than any such answer */
    }
    return true;
}

static void known(struct probe *row, enum server_sort sort, int64_t slots)
{
    row->state = PROBE_KNOWN;
    row->sort = sort;
    if (row->to->slots == SLOTS_AUTO) {
        schedule_found_slots(row->all->schedule, row->to, slots);
    }
}

static void on_done(void *ctx, const struct upstream_report *report)
{
    struct probe *row = ctx;
    bool answered = report->result == UPSTREAM_DONE && row->status != 503; /* loading a model */
    struct span body = row->status == 200 ? buf_span(&row->body) : SPAN_NONE;
    if (!answered) {
        row->state = PROBE_IDLE;
    } else if (row->state == PROBE_VERSION && dialect_is_version(body)) {
        known(row, SERVER_OLLAMA, 0);
    } else if (row->state == PROBE_VERSION) {
        call_over(row);
        row->state = PROBE_PROPS;
        loop_defer(row->all->loop, &row->next_step);
        return;
    } else {
        int64_t slots = dialect_props_slots(body);
        known(row, slots > 0 ? SERVER_LLAMA_CPP : SERVER_OPENAI, slots);
    }
    call_over(row);
    asked_enough(row);
    wake(row);
}

static const struct upstream_events events = {
    .on_head = on_head, .on_data = on_data, .on_body_room = NULL, .on_done = on_done};

static void ask(struct probe *row, struct span target)
{
    struct http_header headers[2] = {{SPAN("User-Agent"), SPAN("lulld/" LULL_VERSION)}};
    const struct upstream_settings *to = row->to;
    size_t count = 1;
    row->status = 0;
    buf_init(&row->body, PROBE_BODY_MAX);
    buf_init(&row->key, PROBE_KEY_MAX);
    if (to->api_key[0] != '\0' && buf_append_span(&row->key, SPAN("Bearer ")) == ERR_OK &&
        buf_append_span(&row->key, span_of(to->api_key)) == ERR_OK) {
        headers[count++] = (struct http_header){SPAN("Authorization"), buf_span(&row->key)};
    }
    struct upstream_request request = {.to = to,
                                       .method = SPAN("GET"),
                                       .target = target,
                                       .headers = headers,
                                       .header_count = count,
                                       .content_length = -1,
                                       .no_body = true,
                                       .decode = true};
    row->call = upstream_start(row->all->pool, &request, &events, row);
}

/* From the loop: a call may not begin inside the end of another. */
static void ask_props(void *ctx)
{
    ask(ctx, SPAN("/props"));
}

static struct probe *row_of(struct probes *p, const char *name)
{
    struct probe *row = p->rows;
    while (row != NULL && strcmp(row->name, name) != 0) {
        row = row->next;
    }
    if (row == NULL) {
        row = mem_new(sizeof *row);
        row->all = p;
        row->name = mem_strdup(name);
        row->next = p->rows;
        list_init(&row->waiters);
        row->patience = loop_timer_create(p->loop, wake, row);
        row->next_step = (struct loop_deferred){.fn = ask_props, .ctx = row};
        p->rows = row;
    }
    return row;
}

void probes_use(struct probes *p, struct settings *settings, int upstream)
{
    const struct upstream_settings *to = &settings->upstreams[upstream];
    mono_t now = loop_now(p->loop);
    struct probe *row = row_of(p, to->name);
    bool rested = !row->asked || mono_diff(now, row->asked_at) >= PROBE_PAUSE;
    if (to->tls || row->state != PROBE_IDLE || !rested) {
        return;
    }
    row->asked = true;
    row->asked_at = now;
    row->state = PROBE_VERSION;
    row->settings = settings_ref(settings);
    row->to = to;
    ask(row, SPAN("/api/version"));
}

void probes_forget(struct probes *p, const char *upstream)
{
    struct probe *row = row_of(p, upstream);
    if (row->state == PROBE_KNOWN) {
        row->state = PROBE_IDLE;
    }
}

enum server_sort probes_sort(struct probes *p, const struct upstream_settings *to)
{
    return to->tls ? SERVER_HOSTED : row_of(p, to->name)->sort;
}

bool probes_known(struct probes *p, const struct upstream_settings *to)
{
    return !to->tls && row_of(p, to->name)->state == PROBE_KNOWN;
}

bool probes_wait(struct probes *p, struct settings *settings, int upstream, struct probe_waiter *w)
{
    probes_use(p, settings, upstream);
    struct probe *row = row_of(p, settings->upstreams[upstream].name);
    if (row->state != PROBE_VERSION && row->state != PROBE_PROPS) {
        return false;
    }
    if (list_empty(&row->waiters)) {
        loop_timer_start(row->patience, PROBE_WAIT);
    }
    list_init(&w->node);
    list_append(&row->waiters, &w->node);
    return true;
}

void probes_leave(struct probe_waiter *w)
{
    if (w->node.next != NULL) {
        list_remove(&w->node);
    }
}
