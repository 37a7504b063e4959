/* probe.c: see probe.h. One row per upstream name; its answer goes to the schedule. */
#include "path/probe.h"

#include "lull/path/dialect/props.h"

#include <stdlib.h>

static const usec_t PROBE_PAUSE = 10 * USEC_PER_S;
enum { PROBE_BODY_MAX = 256 * 1024, PROBE_KEY_MAX = 8192 };

struct probe {
    struct probe *next;
    struct probes *all;
    char *name;
    bool known, asked;
    mono_t asked_at;
    struct upstream_call *call; /* NULL: nothing is being asked */
    struct settings *settings;  /* of the call */
    const struct upstream_settings *to;
    int status;
    struct buf body, key;
};

struct probes {
    struct loop *loop;
    struct upstream_pool *pool;
    struct schedule *schedule;
    struct probe *rows;
};

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
    settings_unref(row->settings);
    row->settings = NULL;
}

void probes_destroy(struct probes *p)
{
    while (p != NULL && p->rows != NULL) {
        struct probe *row = p->rows;
        p->rows = row->next;
        if (row->call != NULL) {
            upstream_abort(row->call);
            call_over(row);
        }
        free(row->name);
        free(row);
    }
    free(p);
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

static void on_done(void *ctx, const struct upstream_report *report)
{
    struct probe *row = ctx;
    bool answered = report->result == UPSTREAM_DONE && row->status != 503; /* loading a model */
    if (answered) {
        int64_t slots = row->status == 200 ? dialect_props_slots(buf_span(&row->body)) : 0;
        row->known = true;
        schedule_found_slots(row->all->schedule, row->to, slots);
    }
    call_over(row);
}

static const struct upstream_events events = {
    .on_head = on_head, .on_data = on_data, .on_body_room = NULL, .on_done = on_done};

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
        p->rows = row;
    }
    return row;
}

static void ask(struct probe *row, struct settings *settings, const struct upstream_settings *to)
{
    struct http_header headers[2] = {{SPAN("User-Agent"), SPAN("lulld/" LULL_VERSION)}};
    size_t count = 1;
    row->settings = settings_ref(settings);
    row->to = to;
    row->status = 0;
    buf_init(&row->body, PROBE_BODY_MAX);
    buf_init(&row->key, PROBE_KEY_MAX);
    if (to->api_key[0] != '\0' && buf_append_span(&row->key, SPAN("Bearer ")) == ERR_OK &&
        buf_append_span(&row->key, span_of(to->api_key)) == ERR_OK) {
        headers[count++] = (struct http_header){SPAN("Authorization"), buf_span(&row->key)};
    }
    struct upstream_request request = {.to = to,
                                       .method = SPAN("GET"),
                                       .target = SPAN("/props"),
                                       .headers = headers,
                                       .header_count = count,
                                       .content_length = -1,
                                       .no_body = true};
    row->call = upstream_start(row->all->pool, &request, &events, row);
}

void probes_use(struct probes *p, struct settings *settings, int upstream)
{
    const struct upstream_settings *to = &settings->upstreams[upstream];
    mono_t now = loop_now(p->loop);
    if (to->slots != SLOTS_AUTO || to->tls) {
        return;
    }
    struct probe *row = row_of(p, to->name);
    bool rested = !row->asked || mono_diff(now, row->asked_at) >= PROBE_PAUSE;
    if (row->known || row->call != NULL || !rested) {
        return;
    }
    row->asked = true;
    row->asked_at = now;
    ask(row, settings, to);
}

void probes_forget(struct probes *p, const char *upstream)
{
    row_of(p, upstream)->known = false;
}
