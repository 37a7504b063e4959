/* model.c: see model.h. One timer moves the call that has the slot from token to token; another
 * takes in what has arrived, because nothing may be answered from inside upstream_start.
 */
#include "bench/typing/model.h"

#include "lull/base/list.h"

#include <stdio.h>
#include <stdlib.h>

enum { TOKENS_MAX = 256, CONTENT_MAX = 4 * SUGGESTION_MAX, CHAT_TOKENS = 12, TOKEN_BYTES = 6 };

struct job {
    struct list node;
    bool looked_at, chat, stream, gone;
    struct record *record;      /* of an autocomplete, once it has arrived */
    struct upstream_call *call; /* NULL: it came through model_ask() */
    model_done_fn done;
    void *ctx;
    size_t context;
    char *text;
    char content[CONTENT_MAX];
    size_t ends[TOKENS_MAX]; /* of the tokens in content */
    size_t count, sent;
    usec_t begun;
};

struct model {
    struct model_setup setup;
    struct model_figures figures;
    struct records *records;
    struct list fresh, queue; /* not looked at yet, or to be freed; waiting for the slot */
    size_t waiting;
    struct job *running;
    struct loop_timer *arrive, *step;
    struct buf room;
};

static void on_arrive(void *ctx);
static void on_step(void *ctx);

struct model *model_create(const struct model_setup *setup)
{
    struct model *m = mem_new(sizeof *m);
    m->setup = *setup;
    m->records = records_create();
    list_init(&m->fresh);
    list_init(&m->queue);
    m->arrive = loop_timer_create(setup->loop, on_arrive, m);
    m->step = loop_timer_create(setup->loop, on_step, m);
    buf_init(&m->room, 65536);
    return m;
}

static void job_free(struct job *job)
{
    list_remove(&job->node);
    if (job->call != NULL) {
        model_forget(job->call);
    }
    free(job->text);
    free(job);
}

void model_free(struct model *m)
{
    require(model_idle(m));
    loop_timer_destroy(m->arrive);
    loop_timer_destroy(m->step);
    records_free(m->records);
    buf_free(&m->room);
    free(m);
}

struct records *model_records(struct model *m)
{
    return m->records;
}

const struct model_figures *model_figures(const struct model *m)
{
    return &m->figures;
}

bool model_idle(const struct model *m)
{
    return m->running == NULL && list_empty(&m->queue) && list_empty(&m->fresh);
}

static usec_t now_of(const struct model *m)
{
    return loop_now(m->setup.loop).us;
}

usec_t model_latency(const struct model *m)
{
    return m->setup.latency;
}

/* How long an answer takes from the slot to its end. */
static usec_t length_of(const struct model *m, const struct job *job)
{
    return job->chat ? USEC_PER_S + m->setup.latency / 2 : m->setup.latency;
}

usec_t model_free_at(const struct model *m)
{
    usec_t at = now_of(m);
    if (m->running != NULL) {
        at = m->running->begun + length_of(m, m->running);
    }
    for (const struct list *n = m->queue.next; n != &m->queue; n = n->next) {
        at += length_of(m, list_item(n, struct job, node));
    }
    for (const struct list *n = m->fresh.next; n != &m->fresh; n = n->next) {
        const struct job *job = list_item(n, struct job, node);
        at += job->gone ? 0 : length_of(m, job);
    }
    return at;
}

void model_seen(struct model *m, size_t context, struct span text, struct span shown)
{
    struct record *rec = records_source(m->records, context, text, shown);
    if (rec != NULL) {
        m->figures.used += rec->unseen;
        rec->unseen = 0;
    }
}

/* ---- tokens ---- */

static void add_token(struct job *job, struct span s)
{
    size_t from = job->count == 0 ? 0 : job->ends[job->count - 1];
    require(job->count < TOKENS_MAX && from + s.len < sizeof job->content);
    memcpy(job->content + from, s.ptr, s.len);
    job->ends[job->count++] = from + s.len;
}

/* {"text": "..."} as a model writes it: the frame in four tokens, words in pieces of a few bytes.
 */
static void write_suggestion(struct job *job, struct span suggestion)
{
    struct buf inside = {.max = CONTENT_MAX};
    enum err e = buf_append_json(&inside, suggestion);
    require(e == ERR_OK);
    add_token(job, SPAN("{\""));
    add_token(job, SPAN("text"));
    add_token(job, SPAN("\":"));
    add_token(job, SPAN(" \""));
    for (size_t at = 0; at < inside.len;) {
        size_t to = at;
        do {
            to += inside.data[to] == '\\' ? 2 : text_unit(buf_span(&inside), to);
        } while (to < inside.len && inside.data[to] != ' ' && to - at < TOKEN_BYTES);
        add_token(job, span_make(inside.data + at, to - at));
        at = to;
    }
    add_token(job, SPAN("\"}"));
    buf_free(&inside);
}

static void write_chat(struct job *job)
{
    for (size_t i = 0; i < CHAT_TOKENS; i++) {
        add_token(job, SPAN("word "));
    }
}

/* ---- arrival ---- */

static struct job *job_new(struct model *m, model_done_fn done, void *ctx)
{
    struct job *job = mem_new(sizeof *job);
    job->done = done;
    job->ctx = ctx;
    list_init(&job->node);
    list_append(&m->fresh, &job->node);
    loop_timer_start(m->arrive, 0);
    return job;
}

void model_ask(struct model *m, size_t context, struct span text, model_done_fn done, void *ctx)
{
    struct job *job = job_new(m, done, ctx);
    job->context = context;
    job->text = mem_strndup(text.ptr, text.len);
}

void model_ask_chat(struct model *m, model_done_fn done, void *ctx)
{
    job_new(m, done, ctx)->chat = true;
}

static void on_began(void *ctx, struct upstream_call *call)
{
    job_new(ctx, NULL, NULL)->call = call;
}

static struct job *job_in(struct list *list, const struct upstream_call *call)
{
    list_each(node, list)
    {
        struct job *job = list_item(node, struct job, node);
        if (job->call == call) {
            return job;
        }
    }
    return NULL;
}

static void on_aborted(void *ctx, struct upstream_call *call)
{
    struct model *m = ctx;
    struct job *job = m->running != NULL && m->running->call == call ? m->running : NULL;
    if (job != NULL || (job = job_in(&m->fresh, call)) != NULL) {
        job->gone = true;
        return;
    }
    job = job_in(&m->queue, call); /* dropped without a cost */
    require(job != NULL);
    job->gone = true;
    m->waiting--;
    list_remove(&job->node);
    list_append(&m->fresh, &job->node);
    loop_timer_start(m->arrive, 0);
}

struct model_script model_as_upstream(struct model *m)
{
    return (struct model_script){on_began, on_aborted, m};
}

static void refuse(struct model *m, struct job *job)
{
    m->figures.refused++;
    if (job->call != NULL) {
        model_head(job->call, 503, "application/json");
        model_data(job->call, "{\"error\":{\"message\":\"server busy\",\"code\":503}}");
        if (model_open(job->call)) {
            model_end(job->call);
        }
    } else {
        job->done(job->ctx, SPAN_NONE);
    }
    job_free(job);
}

/* Fills in what is asked for. */
static void read_call(struct model *m, struct job *job)
{
    struct asked asked = {0};
    if (job->call == NULL) {
        return;
    }
    wire_read_call(m->setup.wire, m->setup.cast, model_body(job->call), &asked, &m->room);
    job->chat = asked.chat;
    job->stream = asked.stream;
    job->context = asked.context;
    job->text = asked.chat ? NULL : mem_strndup(asked.text.ptr, asked.text.len);
}

static void begin_record(struct model *m, struct job *job)
{
    char suggestion[SUGGESTION_MAX];
    struct span text = span_of(job->text);
    size_t len = suggest(m->setup.paths, job->context, text, m->setup.match, suggestion);
    struct record *rec = records_of(m->records, job->context, text, span_make(suggestion, len));
    bool known =
        rec->active > 0 || (rec->finished >= 0 && now_of(m) - rec->finished < SUGGESTION_TTL);
    if (!known && records_cover(m->records, job->context, text, now_of(m), true) != NULL) {
        m->figures.avoidable++;
    }
    rec->active++;
    job->record = rec;
    write_suggestion(job, rec->suggestion);
}

static void begin_next(struct model *m)
{
    if (m->running != NULL || list_empty(&m->queue)) {
        return;
    }
    struct job *job = list_item(m->queue.next, struct job, node);
    list_remove(&job->node);
    m->waiting--;
    m->running = job;
    job->begun = now_of(m);
    usec_t prompt = length_of(m, job) * 3 / 10;
    loop_timer_start(m->step, prompt + (length_of(m, job) - prompt) / (usec_t)job->count);
}

static void drop(struct model *m, struct job *job)
{
    m->figures.aborted++;
    if (job->record != NULL) {
        job->record->active--;
    }
    job_free(job);
}

static void take_in(struct model *m, struct job *job)
{
    if (!job->looked_at) {
        job->looked_at = true;
        read_call(m, job);
        m->figures.chats += job->chat ? 1 : 0;
        m->figures.calls += job->chat ? 0 : 1;
    }
    if (job->gone) { /* closed before it was looked at, or while it waited */
        drop(m, job);
        return;
    }
    if (m->waiting >= MODEL_QUEUE) {
        refuse(m, job);
        return;
    }
    list_remove(&job->node);
    list_append(&m->queue, &job->node);
    m->waiting++;
    if (job->chat) {
        write_chat(job);
    } else {
        begin_record(m, job);
    }
    if (job->call != NULL && job->stream) {
        model_head(job->call, 200, "text/event-stream");
    }
}

static void on_arrive(void *ctx)
{
    struct model *m = ctx;
    while (!list_empty(&m->fresh)) {
        take_in(m, list_item(m->fresh.next, struct job, node));
    }
    begin_next(m);
}

/* ---- answers ---- */

static void send_token(struct job *job)
{
    size_t from = job->sent == 0 ? 0 : job->ends[job->sent - 1];
    struct span token = span_make(job->content + from, job->ends[job->sent] - from);
    struct buf out = {.max = 65536};
    enum err e = buf_append_span(
        &out, SPAN("data: {\"choices\":[{\"finish_reason\":null,\"index\":0,\"delta\":"
                   "{\"content\":\""));
    require(e == ERR_OK);
    e = buf_append_json(&out, token);
    require(e == ERR_OK);
    e = buf_append(&out, "\"}}]}\n\n", sizeof "\"}}]}\n\n"); /* with its end */
    require(e == ERR_OK);
    model_data(job->call, out.data);
    buf_free(&out);
}

/* The end of a stream, or a whole answer, as llama-server writes it. */
static void send_end(const struct model *m, struct job *job)
{
    char out[CONTENT_MAX + 1024];
    double prompt = (double)length_of(m, job) * 0.3 / 1000;
    double predicted = (double)length_of(m, job) * 0.7 / 1000;
    if (job->stream) {
        snprintf(out, sizeof out,
                 "data: {\"choices\":[{\"finish_reason\":\"stop\",\"index\":0,\"delta\":{}}],"
                 "\"timings\":{\"prompt_ms\":%.1f,\"predicted_ms\":%.1f}}\n\n"
                 "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":420,"
                 "\"completion_tokens\":%zu}}\n\ndata: [DONE]\n\n",
                 prompt, predicted, job->count);
        model_data(job->call, out);
    } else {
        struct buf content = {.max = sizeof out};
        enum err e = buf_append_json(&content, span_make(job->content, job->ends[job->count - 1]));
        require(e == ERR_OK);
        snprintf(out, sizeof out,
                 "{\"choices\":[{\"index\":0,\"finish_reason\":\"stop\",\"message\":"
                 "{\"role\":\"assistant\",\"content\":\"%.*s\"}}],\"usage\":{\"prompt_tokens\":"
                 "420,\"completion_tokens\":%zu},\"timings\":{\"prompt_ms\":%.1f,"
                 "\"predicted_ms\":%.1f}}",
                 (int)content.len, content.data, job->count, prompt, predicted);
        buf_free(&content);
        model_head(job->call, 200, "application/json");
        model_data(job->call, out);
    }
    if (model_open(job->call)) {
        model_end(job->call);
    }
}

/* The slot is free again; whole: the answer was made to its end and was taken. */
static void leave_slot(struct model *m, struct job *job, bool whole)
{
    usec_t spent = now_of(m) - job->begun;
    m->running = NULL;
    m->figures.aborted += whole ? 0 : 1;
    if (job->record != NULL) {
        m->figures.spent += spent;
        job->record->active--;
        if (whole) {
            job->record->finished = now_of(m);
            job->record->unseen = spent;
        }
    }
}

static void on_step(void *ctx)
{
    struct model *m = ctx;
    struct job *job = m->running;
    if (job->call != NULL && job->stream && !job->gone) {
        send_token(job);
    } else if (job->gone && job->stream) {
        leave_slot(m, job, false); /* the write fails: noticed */
        job_free(job);
        begin_next(m);
        return;
    }
    if (job->chat && job->sent == 0 && job->done != NULL) {
        job->done(job->ctx, SPAN("word"));
    }
    job->sent++;
    if (job->sent < job->count) {
        usec_t length = length_of(m, job);
        usec_t prompt = length * 3 / 10;
        usec_t due =
            job->begun + prompt + (length - prompt) * (usec_t)(job->sent + 1) / (usec_t)job->count;
        loop_timer_start(m->step, due - now_of(m));
        return;
    }
    leave_slot(m, job, !job->gone);
    if (job->call != NULL && !job->gone) {
        send_end(m, job);
    } else if (job->done != NULL && !job->chat) {
        job->done(job->ctx, job->record->suggestion);
    }
    job_free(job);
    begin_next(m);
}
