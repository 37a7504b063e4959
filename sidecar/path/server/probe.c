/* probe.c: see probe.h. One row per upstream name, asked step by step:
 *
 *   IDLE ──use──▶ VERSION ──it is Ollama──▶ KNOWN
 *     ▲              └─else──▶ PROPS ──answered──▶ KNOWN
 *     └──not reached, mute, 503 (loading a model), forgotten, the url changed
 */
#include "lull/path/server/probe.h"

#include "lull/base/log.h"
#include "lull/path/dialect/props.h"

#include <stdio.h>
#include <stdlib.h>

static const usec_t PROBE_PAUSE = 10 * USEC_PER_S;
static const usec_t PROBE_LIMIT = 2 * USEC_PER_S;
enum {
    PROBE_BODY_MAX = 256 * 1024,
    PROBE_KEY_MAX = 8192,
    PROBE_SUSPECT = 64, /* requests in a row that began and did not end: perhaps a circle */
    PROBE_ID_MAX = 40,
    PROBE_VIA_MAX = 64
};

enum probe_state { PROBE_IDLE, PROBE_VERSION, PROBE_PROPS, PROBE_KNOWN };

struct probe {
    struct probe *next;
    struct probes *all;
    unsigned number; /* in its mark */
    char *name, *url;
    enum probe_state state;
    enum server_sort sort;
    enum probe_reach reach;
    bool asked, mute;
    mono_t asked_at;
    bool loops, came_back;      /* came_back: the mark was seen since the probe began */
    int64_t ended, streak;      /* of requests that passed through: see probes_pass */
    struct upstream_call *call; /* NULL: nothing is being asked */
    struct settings *settings;  /* of the call */
    const struct upstream_settings *to;
    int status;
    struct buf body, key;
    char via[PROBE_VIA_MAX];
    struct list waiters;
    struct loop_timer *limit; /* of the probe */
    struct loop_deferred next_step;
};

struct probes {
    struct loop *loop;
    struct upstream_pool *pool;
    struct schedule *schedule;
    struct probe *rows;
    unsigned count;
    char id[PROBE_ID_MAX]; /* "lull-" and 128 random bits in hex */
};

static void ask(struct probe *row, struct span target);

static void make_id(struct probes *p)
{
    struct hash_secret random;
    enum err e = hash_secret_generate(&random);
    size_t len = (size_t)snprintf(p->id, sizeof p->id, "lull-");
    require(e == ERR_OK);
    for (size_t i = 0; i < 16; i++) {
        len += (size_t)snprintf(p->id + len, sizeof p->id - len, "%02x", random.bytes[i]);
    }
}

struct probes *probes_create(struct loop *loop, struct upstream_pool *pool,
                             struct schedule *schedule)
{
    struct probes *p = mem_new(sizeof *p);
    p->loop = loop;
    p->pool = pool;
    p->schedule = schedule;
    make_id(p);
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
    loop_timer_stop(row->limit);
    settings_unref(row->settings);
    row->settings = NULL;
    row->to = NULL;
}

static bool is_asking(const struct probe *row)
{
    return row->state == PROBE_VERSION || row->state == PROBE_PROPS;
}

/* Ends the probe, wherever it is. */
static void stop_asking(struct probe *row)
{
    if (row->call != NULL) {
        upstream_abort(row->call);
        call_over(row);
    }
    if (row->next_step.waiting) {
        loop_defer_cancel(row->all->loop, &row->next_step);
    }
    row->state = is_asking(row) ? PROBE_IDLE : row->state;
    asked_enough(row);
}

void probes_destroy(struct probes *p)
{
    while (p != NULL && p->rows != NULL) {
        struct probe *row = p->rows;
        p->rows = row->next;
        require(list_empty(&row->waiters));
        stop_asking(row);
        loop_timer_destroy(row->limit);
        free(row->name);
        free(row->url);
        free(row);
    }
    free(p);
}

/* Nothing is waited for any longer. */
static void wake(struct probe *row)
{
    while (!list_empty(&row->waiters)) {
        struct probe_waiter *w = list_item(row->waiters.next, struct probe_waiter, node);
        list_remove(&w->node);
        w->fn(w->ctx);
    }
}

static void too_slow(void *ctx)
{
    struct probe *row = ctx;
    row->mute = is_asking(row);
    stop_asking(row);
    wake(row);
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
    row->mute = false;
    row->reach = report->result == UPSTREAM_UNREACHABLE ? PROBE_UNREACHED : PROBE_REACHED;
    if (row->loops && !row->came_back) {
        log_info("upstream", "[upstream %s] does not lead back any more", row->name);
    }
    row->loops = row->came_back;
    if (!answered || row->loops) {
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
    struct http_header headers[3] = {{SPAN("User-Agent"), SPAN("lulld/" LULL_VERSION)},
                                     {SPAN("Via"), span_of(row->via)}};
    const struct upstream_settings *to = row->to;
    size_t count = 2;
    row->status = 0;
    buf_init(&row->body, PROBE_BODY_MAX);
    buf_init(&row->key, PROBE_KEY_MAX);
    if (http_bearer(to->api_key, &row->key)) {
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

/* NULL: never used. */
static struct probe *row_find(const struct probes *p, const char *name)
{
    struct probe *row = p->rows;
    while (row != NULL && strcmp(row->name, name) != 0) {
        row = row->next;
    }
    return row;
}

static struct probe *row_of(struct probes *p, const char *name)
{
    struct probe *row = row_find(p, name);
    if (row == NULL) {
        row = mem_new(sizeof *row);
        row->all = p;
        row->name = mem_strdup(name);
        row->next = p->rows;
        list_init(&row->waiters);
        row->limit = loop_timer_create(p->loop, too_slow, row);
        row->number = p->count++;
        snprintf(row->via, sizeof row->via, "1.1 %s.%u", p->id, row->number);
        row->next_step = (struct loop_deferred){.fn = ask_props, .ctx = row};
        p->rows = row;
    }
    return row;
}

/* The row of an upstream that is about to be used; one whose url has changed is another server. */
static struct probe *row_in_use(struct probes *p, const struct upstream_settings *to)
{
    struct probe *row = row_of(p, to->name);
    if (row->url == NULL || strcmp(row->url, to->url) != 0) {
        stop_asking(row);
        if (!list_empty(&row->waiters)) {
            loop_timer_start(row->limit, 0); /* they go on from the loop */
        }
        free(row->url);
        row->url = mem_strdup(to->url);
        row->state = PROBE_IDLE;
        row->sort = SERVER_OPENAI;
        row->reach = PROBE_UNTRIED;
        row->asked = row->mute = row->loops = row->came_back = false;
    }
    return row;
}

static void begin(struct probe *row, struct settings *settings, const struct upstream_settings *to)
{
    row->asked = true;
    row->asked_at = loop_now(row->all->loop);
    row->state = PROBE_VERSION;
    row->came_back = false;
    row->streak = 0;
    row->settings = settings_ref(settings);
    row->to = to;
    loop_timer_start(row->limit, PROBE_LIMIT);
    ask(row, SPAN("/api/version"));
}

static bool has_rested(const struct probe *row)
{
    return !row->asked || mono_diff(loop_now(row->all->loop), row->asked_at) >= PROBE_PAUSE;
}

/* Whether there is anything to find out. */
static bool is_of_use(const struct probe *row, const struct upstream_settings *to)
{
    bool set = to->dialect != DIALECT_CHOICE_AUTO && to->slots != SLOTS_AUTO;
    return row->loops || (!to->tls && !set);
}

void probes_use(struct probes *p, struct settings *settings, int upstream)
{
    const struct upstream_settings *to = &settings->upstreams[upstream];
    struct probe *row = row_in_use(p, to);
    if (row->state == PROBE_IDLE && has_rested(row) && is_of_use(row, to)) {
        begin(row, settings, to);
    }
}

void probes_pass(struct probes *p, struct settings *settings, int upstream, int64_t ended)
{
    const struct upstream_settings *to = &settings->upstreams[upstream];
    struct probe *row = row_in_use(p, to);
    if (to->slots == SLOTS_AUTO || row->loops) { /* a request that passes needs to know no more */
        probes_use(p, settings, upstream);
    }
    row->streak = row->ended == ended ? row->streak + 1 : 0;
    row->ended = ended;
    if (row->streak >= PROBE_SUSPECT && !is_asking(row) && has_rested(row)) {
        begin(row, settings, to);
    }
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
    const struct probe *row = row_find(p, to->name);
    if (to->tls) {
        return SERVER_HOSTED;
    }
    bool said = row != NULL && row->sort != SERVER_OPENAI;
    return said ? row->sort : to->dialect == DIALECT_CHOICE_OLLAMA ? SERVER_OLLAMA : SERVER_OPENAI;
}

bool probes_known(struct probes *p, const struct upstream_settings *to)
{
    const struct probe *row = row_find(p, to->name);
    return !to->tls && row != NULL && row->state == PROBE_KNOWN;
}

enum probe_reach probes_reach(const struct probes *p, const char *upstream)
{
    const struct probe *row = row_find(p, upstream);
    return row == NULL ? PROBE_UNTRIED : row->reach;
}

/* ---- the mark ---- */

struct span probes_via(struct probes *p, const struct upstream_settings *to)
{
    return span_of(row_of(p, to->name)->via);
}

static void note_loop(struct probe *row)
{
    row->came_back = true;
    if (!row->loops) {
        row->loops = true;
        log_error("upstream",
                  "[upstream %s] leads back to this lulld: what is sent there is answered 508; its "
                  "url must be that of the model server",
                  row->name);
    }
}

bool probes_is_back(struct probes *p, struct span via)
{
    struct span id = span_of(p->id);
    size_t at = span_find(via, id, 0);
    if (at == SIZE_MAX || at + id.len >= via.len || via.ptr[at + id.len] != '.') {
        return false;
    }
    unsigned number = 0;
    for (size_t i = at + id.len + 1; i < via.len && via.ptr[i] >= '0' && via.ptr[i] <= '9'; i++) {
        number = number * 10 + (unsigned)(via.ptr[i] - '0');
    }
    for (struct probe *row = p->rows; row != NULL; row = row->next) {
        if (row->number == number) {
            note_loop(row);
        }
    }
    return true;
}

bool probes_loops(const struct probes *p, const char *upstream)
{
    const struct probe *row = row_find(p, upstream);
    return row != NULL && row->loops;
}

bool probes_wait(struct probes *p, struct settings *settings, int upstream, struct probe_waiter *w)
{
    probes_use(p, settings, upstream);
    struct probe *row = row_of(p, settings->upstreams[upstream].name);
    if (row->mute || !is_asking(row)) {
        return false;
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
