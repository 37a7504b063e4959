/* probe.c: see probe.h. A server is asked step by step:
 *
 *   IDLE ──use──▶ VERSION ──it is Ollama──▶ KNOWN
 *     ▲              └─else──▶ PROPS ──answered──▶ KNOWN
 *     └──not reached, mute, forgotten, the url changed, or a status that another may have given: a
 *        gateway that wants a key, or that waits for the server
 */
#include "lull/path/server/probe.h"

#include "path/server/server_priv.h"

#include "lull/base/log.h"
#include "lull/path/dialect/props.h"

#include <stdio.h>
#include <stdlib.h>

static const usec_t PROBE_PAUSE = 10 * USEC_PER_S;
static const usec_t PROBE_REFUSED_PAUSE =
    600 * USEC_PER_S; /* gateways ban clients that are refused too often */
static const usec_t PROBE_LIMIT = 2 * USEC_PER_S;
enum {
    PROBE_BODY_MAX = 256 * 1024,
    PROBE_KEY_MAX = 8192,
    PROBE_SUSPECT = 64, /* requests in a row that began and did not end: perhaps a circle */
    PROBE_VIA_MAX = 64,
    PROBE_WAKES = 8, /* waiters that are called in a turn: each may begin a call, about 0.1 ms */
};

enum probe_state { PROBE_IDLE, PROBE_VERSION, PROBE_PROPS, PROBE_KNOWN };

struct probe {
    struct server *server;
    enum probe_state state;
    enum server_sort sort;
    enum server_reach reach;
    bool asked, mute;
    bool refused;    /* 401 or 403 came of the last probe */
    bool had_key;    /* it had an Authorization */
    struct buf auth; /* of the probe: the client's Authorization; empty: none */
    mono_t asked_at;
    bool came_back;             /* the mark was seen since the probe began */
    int64_t ended, streak;      /* of requests that passed through: see probe_pass */
    struct upstream_call *call; /* NULL: nothing is being asked */
    struct settings *settings;  /* of the call */
    const struct upstream_settings *to;
    int status;
    struct buf body, key;
    char via[PROBE_VIA_MAX]; /* its mark */
    struct list waiters;
    struct loop_timer *limit; /* of the probe */
    struct loop_deferred next_step;
    struct loop_deferred rest; /* of the waiters, in a later turn */
};

static void ask(struct probe *row, struct span target);

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
    buf_free(&row->auth);
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
    loop_defer_cancel(row->server->all->loop, &row->next_step);
    row->state = is_asking(row) ? PROBE_IDLE : row->state;
    asked_enough(row);
}

void probe_destroy(struct probe *p)
{
    if (p != NULL) {
        require(list_empty(&p->waiters));
        stop_asking(p);
        loop_defer_cancel(p->server->all->loop, &p->rest);
        loop_timer_destroy(p->limit);
        free(p);
    }
}

void probe_retry(struct probe *p)
{
    if (p != NULL) {
        p->reach = SERVER_REACH_UNTRIED;
        p->asked = p->mute = p->refused = false;
    }
}

void probe_reset(struct probe *p)
{
    if (p == NULL) {
        return;
    }
    stop_asking(p);
    if (!list_empty(&p->waiters)) {
        loop_timer_start(p->limit, 0); /* they go on from the loop */
    }
    p->state = PROBE_IDLE;
    p->sort = SERVER_OPENAI;
    p->came_back = false;
    probe_retry(p);
}

/* Nothing is waited for any longer: calls the first of the waiters, and the others in later turns. */
static void wake(struct probe *row)
{
    for (int i = 0; i < PROBE_WAKES && !list_empty(&row->waiters); i++) {
        struct probe_waiter *w = list_item(row->waiters.next, struct probe_waiter, node);
        list_remove(&w->node);
        w->fn(w->ctx);
    }
    if (!list_empty(&row->waiters)) {
        loop_later(row->server->all->loop, &row->rest);
    }
}

/* Where the server is being asked again, the others wait for the end of that. */
static void wake_rest(void *ctx)
{
    struct probe *row = ctx;
    if (!is_asking(row)) {
        wake(row);
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
    server_found_slots(row->server, slots); /* a reload may make use of them */
}

/* Whether a status says what the server is: 404 does, what a gateway in front of it may say does not.
 * llama.cpp says 503 while it loads a model. */
static bool tells(int status)
{
    bool client = status == 401 || status == 403 || status == 407 || status == 408 || status == 429;
    return !client && (status < 500 || status == 501);
}

static void on_done(void *ctx, const struct upstream_report *report)
{
    struct probe *row = ctx;
    bool answered = report->result == UPSTREAM_DONE && tells(row->status);
    struct span body = row->status == 200 ? buf_span(&row->body) : SPAN_NONE;
    row->mute = false;
    row->refused = report->result == UPSTREAM_DONE && (row->status == 401 || row->status == 403);
    if (!report->no_memory) {
        row->reach =
            report->result == UPSTREAM_UNREACHABLE ? SERVER_REACH_UNREACHED : SERVER_REACH_REACHED;
    }
    if (row->server->loops && !row->came_back) {
        log_info("upstream", "[upstream %s] does not lead back any more", row->server->name);
    }
    row->server->loops = row->came_back;
    if (!answered || row->server->loops) {
        row->state = PROBE_IDLE;
    } else if (row->state == PROBE_VERSION && dialect_is_version(body)) {
        known(row, SERVER_OLLAMA, 0);
    } else if (row->state == PROBE_VERSION) {
        call_over(row);
        row->state = PROBE_PROPS;
        loop_defer(row->server->all->loop, &row->next_step);
        return;
    } else {
        int64_t slots = dialect_props_slots(body);
        row->server->found_context = dialect_props_context(body);
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
    } else if (row->auth.len > 0) {
        headers[count++] = (struct http_header){SPAN("Authorization"), buf_span(&row->auth)};
    }
    row->had_key = count > 2;
    struct upstream_request request = {.to = to,
                                       .method = SPAN("GET"),
                                       .target = target,
                                       .headers = headers,
                                       .header_count = count,
                                       .content_length = -1,
                                       .no_body = true,
                                       .apart = true,
                                       .decode = true};
    row->call = upstream_start(row->server->all->pool, &request, &events, row);
}

/* From the loop: a call may not begin inside the end of another. */
static void ask_props(void *ctx)
{
    ask(ctx, SPAN("/props"));
}

/* Made when the server is first used. */
static struct probe *probe_of(struct server *s)
{
    struct probe *row = s->probe;
    if (row == NULL) {
        row = s->probe = mem_new(sizeof *row);
        row->server = s;
        list_init(&row->waiters);
        row->limit = loop_timer_create(s->all->loop, too_slow, row);
        snprintf(row->via, sizeof row->via, "1.1 %s.%u", s->all->id, s->number);
        row->next_step = (struct loop_deferred){.fn = ask_props, .ctx = row};
        row->rest = (struct loop_deferred){.fn = wake_rest, .ctx = row};
    }
    return row;
}

static void begin(struct probe *row, struct settings *settings, const struct upstream_settings *to,
                  struct span auth)
{
    buf_init(&row->auth, PROBE_KEY_MAX);
    enum err e = buf_append_span(&row->auth, auth);
    (void)e; /* without it the server may not say */
    row->asked = true;
    row->asked_at = loop_now(row->server->all->loop);
    row->state = PROBE_VERSION;
    row->came_back = false;
    row->streak = 0;
    row->settings = settings_ref(settings);
    row->to = to;
    loop_timer_start(row->limit, PROBE_LIMIT);
    ask(row, SPAN("/api/version"));
}

static bool has_rested(const struct probe *row, struct span auth)
{
    bool again = row->refused && (row->had_key || auth.len == 0); /* as before */
    usec_t pause = again ? PROBE_REFUSED_PAUSE : PROBE_PAUSE;
    return !row->asked || mono_diff(loop_now(row->server->all->loop), row->asked_at) >= pause;
}

/* Whether there is anything to find out. */
static bool is_of_use(const struct probe *row, const struct upstream_settings *to)
{
    bool set = to->dialect != DIALECT_CHOICE_AUTO && to->slots != SLOTS_AUTO;
    return row->server->loops || (!to->tls && !set);
}

void probe_use(struct servers *all, struct settings *settings, int upstream, struct span auth)
{
    const struct upstream_settings *to = &settings->upstreams[upstream];
    struct probe *row = probe_of(server_of(all, to));
    if (row->state == PROBE_IDLE && has_rested(row, auth) && is_of_use(row, to)) {
        begin(row, settings, to, auth);
    }
}

void probe_pass(struct servers *all, struct settings *settings, int upstream, struct span auth)
{
    const struct upstream_settings *to = &settings->upstreams[upstream];
    struct server *s = server_of(all, to);
    struct probe *row = probe_of(s);
    int64_t ended = s->figures->finished + s->figures->failed + s->figures->aborted;
    if (to->slots == SLOTS_AUTO || s->loops) { /* a request that passes needs to know no more */
        probe_use(all, settings, upstream, auth);
    }
    row->streak = row->ended == ended ? row->streak + 1 : 0;
    row->ended = ended;
    if (row->streak >= PROBE_SUSPECT && !is_asking(row) && has_rested(row, auth)) {
        begin(row, settings, to, auth);
    }
}

void probe_forget(struct server *s)
{
    struct probe *row = probe_of(s);
    if (row->state == PROBE_KNOWN) {
        row->state = PROBE_IDLE;
    }
    row->refused = false;
    s->speaks_ollama = false;
}

enum server_sort probe_sort(const struct server *s, const struct upstream_settings *to)
{
    const struct probe *row = s->probe;
    if (to->tls) {
        return SERVER_HOSTED;
    }
    bool said = row != NULL && row->sort != SERVER_OPENAI;
    bool ollama = to->dialect == DIALECT_CHOICE_OLLAMA || s->speaks_ollama;
    return said ? row->sort : ollama ? SERVER_OLLAMA : SERVER_OPENAI;
}

bool probe_known(const struct server *s, const struct upstream_settings *to)
{
    return !to->tls && s->probe != NULL && s->probe->state == PROBE_KNOWN;
}

enum server_reach probe_reach(const struct server *s)
{
    return s->probe == NULL ? SERVER_REACH_UNTRIED : s->probe->reach;
}

/* ---- the mark ---- */

struct span probe_via(struct server *s)
{
    return span_of(probe_of(s)->via);
}

static void note_loop(struct server *s)
{
    probe_of(s)->came_back = true;
    if (!s->loops) {
        s->loops = true;
        log_error("upstream",
                  "[upstream %s] leads back to this lulld: what is sent there is answered 508; its "
                  "url must be that of the model server",
                  s->name);
    }
}

bool probe_is_back(struct servers *all, struct span via)
{
    struct span id = span_of(all->id);
    size_t at = span_find(via, id, 0);
    if (at == SIZE_MAX || at + id.len >= via.len || via.ptr[at + id.len] != '.') {
        return false;
    }
    size_t number = 0;
    for (size_t i = at + id.len + 1; i < via.len && via.ptr[i] >= '0' && via.ptr[i] <= '9'; i++) {
        number = number <= all->count ? number * 10 + (size_t)(via.ptr[i] - '0') : number;
    }
    if (number > 0 && number <= all->count) {
        note_loop(all->items[number - 1]);
    }
    return true;
}

bool probe_wait(struct servers *all, struct settings *settings, int upstream, struct span auth,
                struct probe_waiter *w)
{
    probe_use(all, settings, upstream, auth);
    struct probe *row = probe_of(server_of(all, &settings->upstreams[upstream]));
    if (row->mute || !is_asking(row)) {
        return false;
    }
    list_init(&w->node);
    list_append(&row->waiters, &w->node);
    return true;
}

void probe_leave(struct probe_waiter *w)
{
    if (w->node.next != NULL) {
        list_remove(&w->node);
    }
}
