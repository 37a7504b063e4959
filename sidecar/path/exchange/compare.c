/* compare.c: see include/lull/path/exchange/compare.h. All of one candidate's calls come before the
 * next one's, so that a machine that holds one model at a time loads each of them once.
 *
 * A call is a flight like any other, but for its policy: the kind's way of asking, the lowest
 * priority, an hour of patience, and no second try for the form, since the first answer is what is
 * looked at. Nothing of the client that asked first is there to be sent: the cache keeps bodies.
 */
#include "path/exchange/compare_priv.h"

#include <stdio.h>
#include <stdlib.h>

static const usec_t PATIENCE = 3600 * USEC_PER_S;
enum { PRIORITY = 10, GIVES_WAY = 100, ERROR_TEXT = 200 }; /* the configuration's end at 9 */

struct candidate {
    struct compare_candidate c;
    char *text; /* owns c's texts */
    struct compare_summary sum;
    usec_t *took; /* of its answers */
    size_t answers;
};

enum state { COLLECTING, CALLING, PAUSED, OVER };

struct compare {
    struct engine *engine;
    struct settings *settings;
    int kind;
    bool yes;
    struct kind_policy policy;
    struct compare_events events;
    void *ctx;
    enum state state;
    struct compare_items items;
    struct candidate candidates[COMPARE_CANDIDATES];
    size_t count;
    size_t at_candidate, at_item; /* of the next call */
    size_t finished, planned;
    const struct compare_item *item; /* that is being asked */
    struct candidate *asked;
    int upstream;
    struct flight_waiter waiter;
    struct loop_timer *timer; /* the next page, the next call */
    struct loop_deferred gone;
};

/* ---- life ---- */

static void run_free(void *ctx)
{
    struct compare *run = ctx;
    run->engine->compare = NULL;
    for (size_t i = 0; i < run->count; i++) {
        free(run->candidates[i].text);
        free(run->candidates[i].took);
    }
    compare_items_free(&run->items);
    loop_timer_destroy(run->timer);
    settings_unref(run->settings);
    free(run);
}

/* No event comes any more; it is freed at the end of the turn. */
static void run_over(struct compare *run)
{
    run->state = OVER;
    loop_timer_stop(run->timer);
    flight_leave(run->engine->flights, &run->waiter);
    loop_defer(run->engine->parts.loop, &run->gone);
}

void engine_compare_stop(struct compare *run)
{
    if (run->state != OVER) {
        run_over(run);
    }
}

void compare_destroy(struct engine *e)
{
    if (e->compare != NULL) {
        engine_compare_stop(e->compare);
        loop_defer_cancel(e->parts.loop, &e->compare->gone);
        run_free(e->compare);
    }
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

static void run_end(struct compare *run, const char *why)
{
    struct compare_summary rows[COMPARE_CANDIDATES];
    for (size_t i = 0; i < run->count; i++) {
        struct candidate *c = &run->candidates[i];
        if (c->answers > 0) {
            qsort(c->took, c->answers, sizeof *c->took, by_size);
        }
        c->sum.candidate = c->c.text;
        c->sum.p50 = percentile(c, 50);
        c->sum.p95 = percentile(c, 95);
        rows[i] = c->sum;
    }
    run_over(run);
    run->events.ended(run->ctx, rows, run->count, why);
}

void engine_compare_break(struct engine *e, const char *why)
{
    if (e->compare != NULL && e->compare->state != OVER) {
        run_end(e->compare, why);
    }
}

/* ---- a call ---- */

/* Counts it and tells; false: the run is paused, or was ended by whoever was told. */
static bool tell(struct compare *run, struct compare_result *r)
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
        c->took[c->answers++] = r->latency;
    }
    r->id = run->item->id;
    r->candidate = c->c.text;
    r->model = c->c.model;
    r->upstream = run->settings->upstreams[run->upstream].name;
    r->stored = run->item->answer;
    r->finished = ++run->finished;
    r->planned = run->planned;
    if (!run->events.result(run->ctx, r) && run->state != OVER) {
        run->state = PAUSED;
    }
    return run->state == CALLING;
}

/* What the server said, in one line of plain characters. */
static void say_status(const struct flight_end *end, char *out, size_t size)
{
    int n = snprintf(out, size, "the model server answered %d: ", end->status);
    size_t at = n < 0 ? 0 : (size_t)n;
    for (size_t i = 0; i < end->raw_body.len && i < ERROR_TEXT && at + 1 < size; i++) {
        char c = end->raw_body.ptr[i];
        out[at++] = c >= ' ' && c <= '~' ? c : ' ';
    }
    out[at] = '\0';
}

static void on_end(void *ctx, struct flight_end *end)
{
    struct compare *run = ctx;
    char error[ERROR_TEXT + 64];
    struct compare_result r = {.error = error};
    switch (end->result) {
    case FLIGHT_ANSWER:
        r = (struct compare_result){
            .shape = answer_validate(end->answer, &run->policy, run->kind) != ANSWER_BAD,
            .latency = end->took,
            .tokens_in = end->tokens_in,
            .tokens_out = end->tokens_out,
            .estimated = end->estimated,
            .cost = end->cost,
            .answer = buf_span(&end->answer->content)};
        break;
    case FLIGHT_RAW:
        say_status(end, error, sizeof error);
        break;
    case FLIGHT_FAILED:
        snprintf(error, sizeof error, "%s", end->why);
        break;
    case FLIGHT_EMPTY:
        snprintf(error, sizeof error, "not asked");
        break;
    }
    if (tell(run, &r)) {
        loop_timer_start(run->timer, 0);
    }
}

/* Whether the answer may be asked for as a stream. */
static bool may_stream(const struct compare_item *item)
{
    struct dialect_request request;
    if (!dialect_request_parse(item->body, item->endpoint, &request)) {
        return false;
    }
    bool may = !request.has_tools && !request.plain_only;
    dialect_request_free(&request);
    return may;
}

static void submit(struct compare *run, struct span body)
{
    const struct upstream_settings *to = &run->settings->upstreams[run->upstream];
    struct http_header headers[3] = {
        {SPAN("Content-Type"), SPAN("application/json")},
        {SPAN("Via"), probes_via(flight_probes(run->engine->flights), to)}};
    struct buf key = {.max = 8 * 1024};
    const char *own = to->api_key;
    struct flight_spec spec = {.settings = run->settings,
                               .kind = run->kind,
                               .policy = &run->policy,
                               .upstream = run->upstream,
                               .endpoint = run->item->endpoint,
                               .target = endpoint_task_path(run->item->endpoint, to),
                               .headers = headers,
                               .header_count = 1,
                               .body = body,
                               .may_stream = may_stream(run->item),
                               .aside = true,
                               .fallback = {.upstream = -1},
                               .model = run->asked->c.model,
                               .scope = SPAN("compare")};
    if (own[0] != '\0' && buf_append_span(&key, SPAN("Bearer ")) == ERR_OK &&
        buf_append_span(&key, span_of(own)) == ERR_OK) {
        headers[spec.header_count++] = (struct http_header){SPAN("Authorization"), buf_span(&key)};
    }
    run->waiter = (struct flight_waiter){.done = on_end, .ctx = run};
    flight_submit(run->engine->flights, &spec, &run->waiter);
    buf_free(&key);
}

/* Sends the request, with the candidate's model; false: that cannot be done. */
static bool ask(struct compare *run)
{
    struct span model = run->asked->c.model;
    struct buf body = {.max = run->item->body.len + model.len * 6 + 256};
    bool changed = false;
    bool made = dialect_override_model(run->item->body, run->item->endpoint, model, false, &body,
                                       &changed) == ERR_OK;
    if (made) {
        submit(run, buf_span(&body));
    }
    buf_free(&body);
    return made;
}

/* Sets what is to be asked next; false: there is nothing. */
static bool advance(struct compare *run)
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

static void next_call(struct compare *run)
{
    struct compare_result r = {.error = "the stored request cannot be built anew"};
    if (!advance(run)) {
        run_end(run, NULL);
    } else if (!ask(run) && tell(run, &r)) {
        loop_timer_start(run->timer, 0);
    }
}

void engine_compare_go_on(struct compare *run)
{
    if (run->state == PAUSED) {
        run->state = CALLING;
        loop_timer_start(run->timer, 0);
    }
}

/* ---- the beginning ---- */

static void refuse(struct compare *run, const struct compare_refusal *refusal)
{
    run_over(run);
    run->events.refused(run->ctx, refusal);
}

/* Whether it is refused because requests would leave their upstream. */
static bool must_ask(struct compare *run)
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
        refuse(run, &refusal);
    }
    return refusal.count > 0;
}

static void begin(struct compare *run)
{
    if (run->items.count == 0) {
        struct compare_refusal refusal = {
            .why = run->settings->cache.keep_requests
                       ? "nothing to send: no requests of that kind are stored"
                       : "nothing to send: [cache] keep_requests = no"};
        refuse(run, &refusal);
        return;
    }
    if (must_ask(run)) {
        return;
    }
    for (size_t i = 0; i < run->count; i++) {
        struct candidate *c = &run->candidates[i];
        c->took = mem_new(run->items.count * sizeof *c->took);
        for (size_t k = 0; k < run->items.count; k++) {
            run->planned += compare_item_upstream(&run->items.list[k], &c->c) >= 0 ? 1 : 0;
        }
    }
    run->state = CALLING;
    next_call(run);
}

static void on_timer(void *ctx)
{
    struct compare *run = ctx;
    if (run->state == CALLING) {
        next_call(run);
    } else if (run->settings->cache.keep_requests &&
               compare_items_page(&run->items, run->engine->parts.cache)) {
        loop_timer_start(run->timer, 0);
    } else {
        begin(run);
    }
}

/* The kind's way of asking, with the manners of somebody whom nobody waits for. */
static struct kind_policy policy_of(const struct kind_policy *kind)
{
    struct kind_policy p = *kind;
    p.cls = KIND_CLASS_BACKGROUND;
    p.yield = YIELD_AUTO;
    p.priority = PRIORITY;
    p.queue = 0;
    p.max_hold = PATIENCE;
    p.max_requeue = GIVES_WAY;
    p.first_turn_wait = 0;
    p.retry_shape = 0;
    p.obsolete = OBSOLETE_KEEP;
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

struct compare *engine_compare_start(struct engine *e, const struct compare_spec *spec,
                                     const struct compare_events *events, void *ctx)
{
    if (e->compare != NULL) {
        return NULL;
    }
    require(spec->count >= 1 && spec->count <= COMPARE_CANDIDATES);
    require(spec->last >= 1 && spec->last <= COMPARE_LAST_MAX);
    struct compare *run = mem_new(sizeof *run);
    run->engine = e;
    run->settings = settings_ref(spec->settings);
    run->kind = spec->kind;
    run->yes = spec->yes;
    run->policy = policy_of(&run->settings->kinds[spec->kind]);
    run->events = *events;
    run->ctx = ctx;
    run->count = spec->count;
    for (size_t i = 0; i < spec->count; i++) {
        copy_candidate(&run->candidates[i], &spec->candidates[i]);
    }
    compare_items_init(&run->items, run->settings, spec->kind, spec->last);
    run->gone = (struct loop_deferred){.fn = run_free, .ctx = run};
    run->timer = loop_timer_create(e->parts.loop, on_timer, run);
    loop_timer_start(run->timer, 0);
    e->compare = run;
    return run;
}
