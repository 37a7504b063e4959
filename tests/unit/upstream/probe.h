/* probe.h: a caller of upstream.h that records its callbacks.
 */
#ifndef LULL_TESTS_UNIT_UPSTREAM_PROBE_H
#define LULL_TESTS_UNIT_UPSTREAM_PROBE_H

#include "unit/upstream/scripted.h"

#include "lull/path/upstream/upstream.h"

#include <signal.h>

struct probe {
    struct upstream_pool *pool;
    struct loop *loop;
    struct upstream_call *call;
    int heads, dones, status, rooms;
    struct buf reason, headers, body; /* headers: "Name: value\n" ... */
    int64_t length;
    size_t pieces, taken;
    size_t followed;    /* pieces with upstream_more_follows() */
    bool check_pattern; /* the body is pattern() and not kept */
    size_t hold_after;  /* on_data says false when `taken` reaches it; 0: never */
    bool in_call;       /* inside a function of upstream.h */
    enum upstream_result result;
    bool got_head, close_delimited, no_memory;
    char why[256];
    bool stop_on_done;
    void (*on_head)(struct probe *p);
    void (*on_data)(struct probe *p);
    void (*on_room)(struct probe *p);
    void (*on_done)(struct probe *p);
    void *more;
};

/* How long a test may run before it counts as hung: less than ctest waits, and enough for an emulator
 * on a busy machine. */
#define WORLD_PATIENCE (240 * USEC_PER_S)

struct world {
    struct loop *loop;
    struct upstream_pool *pool;
    struct scripted server;
    struct probe probe;
    struct loop_timer *guard;
};

static inline void probe_head(void *ctx, int status, struct span reason,
                              const struct http_header *headers, size_t count, int64_t length)
{
    struct probe *p = ctx;
    require(!p->in_call);
    require(p->heads == 0 && p->dones == 0);
    p->heads++;
    p->status = status;
    p->length = length;
    require_ok(buf_append_span(&p->reason, reason));
    for (size_t i = 0; i < count; i++) {
        require_ok(buf_append_span(&p->headers, headers[i].name));
        require_ok(buf_append(&p->headers, ": ", 2));
        require_ok(buf_append_span(&p->headers, headers[i].value));
        require_ok(buf_append_char(&p->headers, '\n'));
    }
    if (p->on_head != NULL) {
        p->on_head(p);
    }
}

static inline bool probe_data(void *ctx, struct span piece)
{
    struct probe *p = ctx;
    require(!p->in_call);
    require(p->heads == 1 && p->dones == 0 && piece.len > 0);
    p->pieces++;
    p->followed += upstream_more_follows(p->call) ? 1 : 0;
    if (p->check_pattern) {
        for (size_t i = 0; i < piece.len; i++) {
            require(piece.ptr[i] == pattern(p->taken + i));
        }
    } else {
        require_ok(buf_append_span(&p->body, piece));
    }
    p->taken += piece.len;
    if (p->on_data != NULL) {
        p->on_data(p);
    }
    return p->hold_after == 0 || p->taken < p->hold_after;
}

static inline void probe_room(void *ctx)
{
    struct probe *p = ctx;
    require(!p->in_call);
    p->rooms++;
    if (p->on_room != NULL) {
        p->on_room(p);
    }
}

static inline void probe_done(void *ctx, const struct upstream_report *report)
{
    struct probe *p = ctx;
    require(!p->in_call);
    require(p->dones == 0 && report->got_head == (p->heads == 1));
    p->dones++;
    p->result = report->result;
    p->got_head = report->got_head;
    p->close_delimited = report->close_delimited;
    p->no_memory = report->no_memory;
    snprintf(p->why, sizeof p->why, "%s", report->why);
    if (p->stop_on_done) {
        loop_stop(p->loop);
    }
    if (p->on_done != NULL) {
        p->on_done(p);
    }
    p->call = NULL;
}

static inline const struct upstream_events *probe_events(void)
{
    static const struct upstream_events events = {probe_head, probe_data, probe_room, probe_done};
    return &events;
}

static inline void probe_init(struct probe *p, struct world *w)
{
    *p = (struct probe){.pool = w->pool, .loop = w->loop, .stop_on_done = true};
    buf_init(&p->reason, 1024);
    buf_init(&p->headers, (size_t)1 << 20);
    buf_init(&p->body, (size_t)1 << 24);
}

static inline void probe_free(struct probe *p)
{
    buf_free(&p->reason);
    buf_free(&p->headers);
    buf_free(&p->body);
}

static inline void probe_again(struct world *w)
{
    probe_free(&w->probe);
    probe_init(&w->probe, w);
}

static inline void probe_start(struct probe *p, const struct upstream_request *req)
{
    p->in_call = true;
    p->call = upstream_start(p->pool, req, probe_events(), p);
    p->in_call = false;
}

static inline bool probe_write(struct probe *p, struct span piece)
{
    p->in_call = true;
    bool more = upstream_body_write(p->call, piece);
    p->in_call = false;
    return more;
}

static inline void probe_end_body(struct probe *p)
{
    p->in_call = true;
    upstream_body_end(p->call);
    p->in_call = false;
}

static inline void probe_resume(struct probe *p)
{
    p->in_call = true;
    upstream_resume(p->call);
    p->in_call = false;
}

static inline void probe_abort(struct probe *p)
{
    p->in_call = true;
    upstream_abort(p->call);
    p->in_call = false;
    p->call = NULL;
}

static inline void world_late(void *ctx)
{
    (void)ctx;
    require_failed("the test hangs", __FILE__, __LINE__);
}

static inline void world_tick(void *ctx)
{
    loop_stop(ctx);
}

static inline void world_run(struct world *w)
{
    loop_timer_start(w->guard, WORLD_PATIENCE);
    loop_run(w->loop);
    loop_timer_stop(w->guard);
}

/* Runs the loop for a while: for seeing that something does not happen, or stays as it is. */
static inline void world_run_for(struct world *w, usec_t time)
{
    struct loop_timer *timer = loop_timer_create(w->loop, world_tick, w->loop);
    loop_timer_start(timer, time);
    world_run(w);
    loop_timer_destroy(timer);
}

/* Runs until the server has sent so many bytes in all. */
static inline void world_run_until_sent(struct world *w, size_t bytes)
{
    while (w->server.sent < bytes) {
        world_run_for(w, 5 * USEC_PER_MS);
    }
}

/* Runs until that part of a request has come on the first connection. */
static inline void world_run_until_received(struct world *w, struct span part)
{
    while (span_find(buf_span(&w->server.peers[0].in), part, 0) == SIZE_MAX) {
        world_run_for(w, 5 * USEC_PER_MS);
    }
}

/* Runs until the server has noticed `closed` connections closed by us. */
static inline void world_run_until_closed(struct world *w, int closed)
{
    w->server.on_close = world_tick;
    w->server.ctx = w->loop;
    while (w->server.closed < closed) {
        world_run(w);
    }
    w->server.on_close = NULL;
}

static inline struct world *world_open(const char *unix_path)
{
    struct world *w = mem_new(sizeof *w);
    signal(SIGPIPE, SIG_IGN);
    w->loop = loop_create();
    w->pool = upstream_pool_create(w->loop);
    w->guard = loop_timer_create(w->loop, world_late, NULL);
    scripted_open(&w->server, w->loop, unix_path);
    probe_init(&w->probe, w);
    return w;
}

static inline int world_setup(void **state)
{
    *state = world_open(NULL);
    return 0;
}

static inline int world_teardown(void **state)
{
    struct world *w = *state;
    probe_free(&w->probe);
    upstream_pool_destroy(w->pool);
    scripted_close(&w->server);
    loop_timer_destroy(w->guard);
    loop_destroy(w->loop);
    free(w);
    return 0;
}

/* GET without a body. */
static inline struct upstream_request simple_get(struct world *w)
{
    return (struct upstream_request){.to = &w->server.to,
                                     .method = SPAN("GET"),
                                     .target = SPAN("/v1/models"),
                                     .no_body = true,
                                     .content_length = -1};
}

static inline struct upstream_request held_post(struct world *w, struct span body)
{
    return (struct upstream_request){.to = &w->server.to,
                                     .method = SPAN("POST"),
                                     .target = SPAN("/v1/chat/completions"),
                                     .body = body,
                                     .content_length = -1};
}

static inline struct upstream_request stream_post(struct world *w, int64_t length)
{
    return (struct upstream_request){.to = &w->server.to,
                                     .method = SPAN("POST"),
                                     .target = SPAN("/api/blobs/x"),
                                     .stream_body = true,
                                     .content_length = length};
}

static inline void world_call(struct world *w, const struct upstream_request *req)
{
    probe_start(&w->probe, req);
    world_run(w);
}

#endif
