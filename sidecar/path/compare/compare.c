/* compare.c: see compare.h. All calls of one candidate come before those of the next, so that a
 * machine that holds one model at a time loads each of them once.
 *
 * A call is a flight with the kind's policy except: the lowest priority, an hour in the queue, and
 * no second call for an answer in the wrong form, since the first answer is what is compared.
 */
#include "path/compare/compare_priv.h"

#include "lull/path/dialect/answer.h"
#include "lull/path/dialect/overrides.h"

#include "lull/path/server/probe.h"

#include <stdio.h>
#include <stdlib.h>

static const usec_t MAX_HOLD = 3600 * USEC_PER_S;
enum { PRIORITY = 10 /* the configuration's end at 9 */, MAX_REQUEUE = 100, ERROR_TEXT = 200 };

/* ---- life ---- */

static void run_free(void *ctx)
{
    struct compare_run *run = ctx;
    run->owner->run = NULL;
    for (size_t i = 0; i < run->count; i++) {
        free(run->candidates[i].text);
        free(run->candidates[i].took);
    }
    compare_items_free(&run->items);
    compare_forms_release(run);
    loop_timer_destroy(run->timer);
    settings_unref(run->settings);
    free(run);
}

/* No event follows. The run is freed at the end of the loop iteration. */
static void run_over(struct compare_run *run)
{
    run->state = OVER;
    loop_timer_stop(run->timer);
    flight_leave(engine_flights(run->owner->engine), &run->waiter);
    loop_defer(run->owner->loop, &run->gone);
}

void compare_stop(struct compare_run *run)
{
    if (run->state != OVER) {
        run_over(run);
    }
}

struct compare *compare_create(struct loop *loop, struct cache *cache, struct servers *servers,
                               struct engine *engine)
{
    struct compare *c = mem_new(sizeof *c);
    *c = (struct compare){.loop = loop, .cache = cache, .servers = servers, .engine = engine};
    return c;
}

void compare_destroy(struct compare *c)
{
    if (c == NULL) {
        return;
    }
    if (c->run != NULL) {
        compare_stop(c->run);
        loop_defer_cancel(c->loop, &c->run->gone);
        run_free(c->run);
    }
    free(c);
}

/* ---- the end ---- */

static int by_size(const void *a, const void *b)
{
    const usec_t *x = a;
    const usec_t *y = b;
    return (*x > *y) - (*x < *y);
}

/* Of the sorted list. */
static usec_t percentile(const struct candidate *c, unsigned percent)
{
    return c->answers == 0 ? -1 : c->took[figure_rank(c->answers, percent) - 1];
}

void compare_run_end(struct compare_run *run, const char *why)
{
    struct compare_summary rows[COMPARE_CANDIDATES];
    for (size_t i = 0; i < run->count; i++) {
        struct candidate *c = &run->candidates[i];
        if (c->answers > 0) {
            qsort(c->took, c->answers, sizeof *c->took, by_size);
        }
        c->sum.candidate = c->c.text;
        c->sum.p50 = percentile(c, 50);
        c->sum.p90 = percentile(c, 90);
        c->sum.p95 = percentile(c, 95);
        rows[i] = c->sum;
    }
    struct compare_ending ending = {
        .rows = rows, .count = run->count, .why = why, .prefix = run->forms.on};
    memcpy(ending.prefix_not, run->forms.prefix_not, sizeof ending.prefix_not);
    run_over(run);
    run->events.ended(run->ctx, &ending);
}

void compare_break(struct compare *c, const char *why)
{
    if (c->run != NULL && c->run->state != OVER) {
        compare_run_end(c->run, why);
    }
}

/* ---- a call ---- */

static void add(struct compare_sum *sum, int64_t value)
{
    sum->total += value >= 0 ? value : 0;
    sum->answers += value >= 0 ? 1 : 0;
}

bool compare_report(struct compare_run *run, struct compare_result *r)
{
    struct candidate *c = run->asked;
    c->sum.calls++;
    if (r->error != NULL) {
        c->sum.failed++;
    } else {
        c->sum.shaped += r->shape ? 1 : 0;
        c->sum.tokens_in += r->tokens_in;
        c->sum.tokens_out += r->tokens_out;
        c->sum.cost += r->cost;
        add(&c->sum.tokens_read, r->tokens_read);
        add(&c->sum.prompt_time, r->prompt_time);
        c->took[c->answers++] = r->latency;
    }
    r->id = run->item->id;
    r->candidate = c->c.text;
    r->model = run->forms.on ? run->item->model : c->c.model;
    r->upstream = run->settings->upstreams[run->upstream].name;
    r->stored = run->item->answer;
    r->finished = ++run->finished;
    r->planned = run->planned;
    if (!run->events.result(run->ctx, r) && run->state != OVER) {
        run->state = PAUSED;
    }
    return run->state == CALLING;
}

/* Status and body as one line of printable characters. */
static void write_status(const struct flight_end *end, char *out, size_t size)
{
    int n = snprintf(out, size, "the model server answered %d: ", end->status);
    size_t at = n < 0 ? 0 : (size_t)n;
    for (size_t i = 0; i < end->raw_body.len && i < ERROR_TEXT && at + 1 < size; i++) {
        char c = end->raw_body.ptr[i];
        out[at++] = c >= ' ' && c <= '~' ? c : ' ';
    }
    out[at] = '\0';
}

static struct compare_result result_of(const struct flight_end *end)
{
    const struct answer *a = end->answer;
    bool counted = a->tokens_in >= 0 && a->cached_tokens >= 0 && a->cached_tokens <= a->tokens_in;
    return (struct compare_result){.shape = end->verdict != ANSWER_BAD,
                                   .latency = end->took,
                                   .tokens_in = end->tokens_in,
                                   .tokens_out = end->tokens_out,
                                   .estimated = end->estimated,
                                   .tokens_read = counted ? a->tokens_in - a->cached_tokens : -1,
                                   .prompt_time = a->prompt_time,
                                   .cost = end->cost,
                                   .answer = buf_span(&a->content)};
}

void compare_on_end(void *ctx, struct flight_end *end)
{
    struct compare_run *run = ctx;
    char error[ERROR_TEXT + 64];
    struct compare_result r = {.error = error};
    const char *wrong = compare_forms_wrong(run, end);
    switch (end->result) {
    case FLIGHT_RESULT_ANSWER:
        r = wrong == NULL ? result_of(end) : (struct compare_result){.error = wrong};
        break;
    case FLIGHT_RESULT_RAW:
        write_status(end, error, sizeof error);
        break;
    case FLIGHT_RESULT_FAILED:
        snprintf(error, sizeof error, "%s", end->why);
        break;
    case FLIGHT_RESULT_EMPTY:
        snprintf(error, sizeof error, "not asked");
        break;
    }
    if (compare_report(run, &r)) {
        loop_timer_start(run->timer, 0);
    }
}

bool compare_may_stream(const struct compare_item *item)
{
    struct dialect_request request;
    if (!dialect_request_parse(item->body, item->endpoint, &request)) {
        return false;
    }
    bool may = !request.has_tools && !request.plain_only;
    dialect_request_free(&request);
    return may;
}

void compare_submit(struct compare_run *run, struct flight_spec *spec,
                    void (*done)(void *ctx, struct flight_end *end))
{
    struct compare *owner = run->owner;
    const struct upstream_settings *to = &run->settings->upstreams[run->upstream];
    struct http_header headers[3] = {{SPAN("Content-Type"), SPAN("application/json")},
                                     {SPAN("Via"), probe_via(server_of(owner->servers, to))}};
    struct buf key = {.max = 8 * 1024};
    spec->settings = run->settings;
    spec->kind = run->kind;
    spec->policy = spec->policy == NULL ? &run->policy : spec->policy;
    spec->upstream = run->upstream;
    spec->endpoint = run->item->endpoint;
    spec->target = endpoint_task_path(run->item->endpoint, to);
    spec->headers = headers;
    spec->header_count = 1;
    spec->untracked = true;
    spec->fallback.upstream = -1;
    spec->scope = SPAN("compare");
    if (http_bearer(to->api_key, &key)) {
        headers[spec->header_count++] = (struct http_header){SPAN("Authorization"), buf_span(&key)};
    }
    run->waiter = (struct flight_waiter){.done = done, .ctx = run};
    flight_begin(engine_flights(owner->engine), spec, &run->waiter);
    if (!flight_debounce(&run->waiter)) {
        flight_enqueue(&run->waiter);
    }
    buf_free(&key);
}

/* Sends the stored request with the candidate's model. false: it cannot be rebuilt. */
static bool call_candidate(struct compare_run *run)
{
    struct span model = run->asked->c.model;
    struct buf body = {.max = run->item->body.len + model.len * 6 + 256};
    bool changed = false;
    bool made = dialect_override_model(run->item->body, run->item->endpoint, model, false, &body,
                                       &changed) == ERR_OK;
    if (made) {
        struct flight_spec spec = {
            .body = buf_span(&body), .model = model, .may_stream = compare_may_stream(run->item)};
        compare_submit(run, &spec, compare_on_end);
    }
    buf_free(&body);
    return made;
}

/* Moves to the next call; false: all are done. */
static bool advance(struct compare_run *run)
{
    while (run->at_candidate < run->count) {
        if (run->at_item == run->items.count) {
            run->at_item = 0;
            run->at_candidate++;
            continue;
        }
        run->asked = &run->candidates[run->at_candidate];
        run->item = &run->items.list[run->at_item++];
        run->upstream = compare_item_upstream(run->item, &run->asked->c);
        if (run->upstream >= 0) {
            return true;
        }
        run->asked->sum.skipped++;
    }
    return false;
}

static void next_call(struct compare_run *run)
{
    struct compare_result r = {.error = "the stored request cannot be rebuilt"};
    if (run->forms.on) {
        compare_forms_next(run);
    } else if (!advance(run)) {
        compare_run_end(run, NULL);
    } else if (!call_candidate(run) && compare_report(run, &r)) {
        loop_timer_start(run->timer, 0);
    }
}

void compare_resume(struct compare_run *run)
{
    if (run->state == PAUSED) {
        run->state = CALLING;
        loop_timer_start(run->timer, 0);
    }
}

/* ---- the beginning ---- */

void compare_refuse(struct compare_run *run, const struct compare_refusal *refusal)
{
    run_over(run);
    run->events.refused(run->ctx, refusal);
}

/* Refuses a run that would send requests to another upstream without `yes`. */
static bool refuse_transfer(struct compare_run *run)
{
    struct compare_transfer transfers[COMPARE_CANDIDATES];
    struct compare_refusal refusal = {.transfers = transfers};
    for (size_t i = 0; i < run->count && !run->yes; i++) {
        struct compare_transfer t = compare_items_moved(&run->items, run->candidates[i].c.upstream);
        bool known = t.requests == 0;
        for (size_t k = 0; k < refusal.count; k++) {
            known = known || transfers[k].upstream == t.upstream;
        }
        if (!known) {
            transfers[refusal.count++] = t;
        }
    }
    if (refusal.count > 0) {
        compare_refuse(run, &refusal);
    }
    return refusal.count > 0;
}

static void begin_calls(struct compare_run *run)
{
    if (run->items.count == 0) {
        struct compare_refusal refusal = {
            .why = run->settings->cache.keep_requests
                       ? "nothing to send: no requests of that kind are stored"
                       : "nothing to send: [cache] keep_requests = no"};
        compare_refuse(run, &refusal);
        return;
    }
    if (refuse_transfer(run)) {
        return;
    }
    for (size_t i = 0; i < run->count; i++) {
        struct candidate *c = &run->candidates[i];
        c->took = mem_new(run->items.count * sizeof *c->took);
        for (size_t k = 0; k < run->items.count; k++) {
            bool asks = run->forms.on || compare_item_upstream(&run->items.list[k], &c->c) >= 0;
            run->planned += asks ? 1 : 0;
        }
    }
    run->state = CALLING;
    next_call(run);
}

static void on_timer(void *ctx)
{
    struct compare_run *run = ctx;
    if (run->state == CALLING) {
        next_call(run);
    } else if (run->settings->cache.keep_requests &&
               compare_items_page(&run->items, run->owner->cache)) {
        loop_timer_start(run->timer, 0);
    } else {
        begin_calls(run);
    }
}

/* The kind's policy at background priority. */
static struct kind_policy policy_of(const struct kind_policy *kind)
{
    struct kind_policy p = *kind;
    p.cls = KIND_CLASS_BACKGROUND;
    p.yield = YIELD_AUTO;
    p.priority = PRIORITY;
    p.queue = 0;
    p.max_hold = MAX_HOLD;
    p.max_requeue = MAX_REQUEUE;
    p.first_turn_wait = 0;
    p.retry_shape = 0;
    p.obsolete = OBSOLETE_KEEP;
    p.prefix = PREFIX_CHAT; /* whatever the figures say */
    return p;
}

static void copy_candidate(struct candidate *to, const struct compare_candidate *from)
{
    size_t len = from->text.len;
    to->text = mem_new(len + from->model.len + 1);
    memcpy(to->text, from->text.ptr, len);
    memcpy(to->text + len, from->model.ptr, from->model.len);
    to->c = (struct compare_candidate){.text = span_make(to->text, len),
                                       .model = span_make(to->text + len, from->model.len),
                                       .upstream = from->upstream};
}

struct compare_run *compare_start(struct compare *c, const struct compare_spec *spec,
                                  const struct compare_events *events, void *ctx)
{
    if (c->run != NULL) {
        return NULL;
    }
    require(spec->prefix || (spec->count >= 1 && spec->count <= COMPARE_CANDIDATES));
    const struct compare_candidate forms[FORMS] = {
        [FORM_AS_ASKED] = {SPAN("as asked"), SPAN(""), -1},
        [FORM_BEHIND] = {SPAN("behind the chat"), SPAN(""), -1}};
    require(spec->last >= 1 && spec->last <= COMPARE_LAST_MAX);
    struct compare_run *run = mem_new(sizeof *run);
    run->owner = c;
    run->settings = settings_ref(spec->settings);
    run->kind = spec->kind;
    run->yes = spec->yes;
    run->policy = policy_of(&run->settings->kinds[spec->kind]);
    run->events = *events;
    run->ctx = ctx;
    run->forms.on = spec->prefix;
    run->count = spec->prefix ? FORMS : spec->count;
    for (size_t i = 0; i < run->count; i++) {
        copy_candidate(&run->candidates[i], spec->prefix ? &forms[i] : &spec->candidates[i]);
    }
    compare_items_init(&run->items, run->settings, spec->kind, spec->last);
    run->gone = (struct loop_deferred){.fn = run_free, .ctx = run};
    run->timer = loop_timer_create(c->loop, on_timer, run);
    loop_timer_start(run->timer, 0);
    c->run = run;
    return run;
}
