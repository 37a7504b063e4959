/* respond.c: answers to tasks. Every one carries X-Lull-Task and Cache-Status (RFC 9211).
 */
#include "path/exchange/exchange_priv.h"

#include "lull/path/dialect/convert.h"
#include "lull/path/webui/suggestion.h"

#include <stdio.h>

static char *put(char *at, struct span s)
{
    memcpy(at, s.ptr, s.len);
    return at + s.len;
}

/* Every hit has these lines. */
size_t respond_lines(struct exchange *x, int kind, const struct cache_status *status, char *out,
                     size_t size)
{
    enum { FIXED = 64 };
    struct span name = span_of(x->settings->kinds[kind].name); /* bounded by the configuration */
    require(name.len + CACHE_STATUS_MAX + FIXED <= size);
    char *value = put(put(put(out, SPAN("X-Lull-Task: ")), name), SPAN("\r\nCache-Status: "));
    size_t len = cache_status_write(status, value);
    event_cache_status(x, value);
    char *end = put(value + len, SPAN("\r\n"));
    *end = '\0';
    return (size_t)(end - out);
}

/* Appends the client's X-Request-Id, so that its log and lull's can be compared; returns the new
 * length. */
static size_t append_request_id(const struct exchange *x, char *lines, size_t len, size_t size)
{
    struct span id = x->head.request_id;
    int more = id.len > 0 ? snprintf(lines + len, size - len, "X-Request-Id: %.*s\r\n", (int)id.len,
                                     id.ptr)
                          : 0;
    return more > 0 && (size_t)more < size - len ? len + (size_t)more : len;
}

void respond_task(struct exchange *x, int kind, const struct cache_status *status, struct span body)
{
    char lines[512];
    size_t len = respond_lines(x, kind, status, lines, sizeof lines);
    len = append_request_id(x, lines, len, sizeof lines);
    http_reply_full(x->conn, 200, SPAN("application/json"), span_make(lines, len), body);
}

struct cache_status respond_call_status(const struct exchange *x, bool collapsed)
{
    struct cache_status s = {.from = CACHE_STATUS_CALL, .collapsed = collapsed};
    if (x->bypass != NULL || (x->regenerate && !x->waiter.joined)) {
        s.fwd = CACHE_STATUS_BYPASS;
        s.detail = x->regenerate ? "regenerate" : x->bypass;
    } else if (x->head.no_cache) {
        s.fwd = CACHE_STATUS_REQUEST;
    }
    return s;
}

/* Room for one more rendered body, in place of the one before. */
static struct buf *new_reply(struct exchange *x)
{
    struct buf *reply = &x->engine->reply;
    buf_clear(reply);
    reply->max = EXCHANGE_REPLY_MAX;
    return reply;
}

enum err respond_render(struct exchange *x, const struct answer *answer)
{
    return answer_render(answer, x->head.endpoint, x->request.model,
                         loop_wall(x->engine->parts.loop), ++x->engine->serial, new_reply(x));
}

enum err respond_render_stored(struct exchange *x, struct span answer, struct span model)
{
    return answer_render_stored(answer, x->head.endpoint, model, loop_wall(x->engine->parts.loop),
                                ++x->engine->serial, new_reply(x));
}

void respond_error(struct exchange *x, enum outcome outcome, enum http_error error,
                   const char *detail)
{
    char lines[512];
    struct cache_status status = respond_call_status(x, outcome == OUTCOME_COLLAPSED);
    if (outcome == OUTCOME_REJECTED || error == HTTP_ERROR_BUSY || error == HTTP_ERROR_LOOP) {
        status = (struct cache_status){
            .from = CACHE_STATUS_OWN,
            .detail = outcome == OUTCOME_REJECTED ? "rejected" : http_error_name(error)};
    }
    size_t len = respond_lines(x, x->decision.kind, &status, lines, sizeof lines);
    len = append_request_id(x, lines, len, sizeof lines);
    http_reply_error(x->conn, error, x->head.form, span_of(detail), span_make(lines, len));
}

void respond_failure(struct exchange *x, enum outcome outcome, enum http_error error,
                     const char *detail)
{
    int kind = x->decision.kind;
    exchange_figures(x, kind)->failed++;
    respond_error(x, outcome, error, detail);
    exchange_finish(x, kind, outcome);
}

/* For lullctl doctor. */
static void note_refused(struct exchange *x, enum http_error error)
{
    x->engine->hints.refused[error].count++;
    x->engine->hints.refused[error].at = loop_now(x->engine->parts.loop);
}

void respond_rejected(struct exchange *x, enum http_error error)
{
    note_refused(x, error);
    respond_error(x, OUTCOME_REJECTED, error, "");
    exchange_finish(x, x->decision.kind, OUTCOME_REJECTED);
}

void respond_refused(struct exchange *x, enum http_error error)
{
    x->engine->bad_requests++;
    note_refused(x, error);
    http_reply_error(x->conn, error, x->head.form, SPAN_NONE, SPAN_NONE);
    exchange_drop(x);
}

void respond_loop(struct exchange *x)
{
    if (x->decision.cls == TASK_CLASS_TASK) {
        respond_failure(x, OUTCOME_BYPASSED, HTTP_ERROR_LOOP, "");
    } else {
        respond_refused(x, HTTP_ERROR_LOOP);
    }
}

void respond_empty(struct exchange *x, enum outcome outcome, const char *reason)
{
    int kind = x->decision.kind;
    struct cache_status status = {.from = CACHE_STATUS_OWN, .detail = reason};
    struct answer empty;
    answer_init(&empty);
    empty.finish = FINISH_STOP;
    enum err e = answer_empty_content(&x->settings->kinds[kind], kind,
                                      x->parsed ? &x->request : NULL, &empty.content);
    if (e == ERR_OK) {
        e = respond_render(x, &empty);
    }
    answer_free(&empty);
    if (e != ERR_OK) {
        respond_failure(x, outcome, HTTP_ERROR_BUSY, err_name(e));
        return;
    }
    respond_task(x, kind, &status, buf_span(&x->engine->reply));
    exchange_finish(x, kind, outcome);
}

/* Whole seconds, rounded down; negative for every entry that has expired. */
static int64_t seconds_left(usec_t left)
{
    if (left > 0) {
        return left / USEC_PER_S;
    }
    int64_t over = (USEC_PER_S - 1 - left) / USEC_PER_S;
    return over > 0 ? -over : -1;
}

bool respond_hit(struct exchange *x, const struct lookup_found *found)
{
    struct engine *e = x->engine;
    const struct cache_hit *hit = &found->hit;
    usec_t left = wall_diff(hit->expires, loop_wall(e->parts.loop));
    bool rendered = respond_render_stored(x, hit->answer, found->model) == ERR_OK;
    if (rendered && x->parsed) {
        autocomplete_hold_hit(x, hit);
    }
    cache_release(e->parts.cache); /* from here on only the hit's values are used */
    if (!rendered) {
        return false;
    }
    if (found->exact_wanted) {
        lookup_store_exact(x, hit->id, hit->seq, hit->expires);
    }
    struct cache_status status = {.from = CACHE_STATUS_HIT,
                                  .ttl_s = seconds_left(left),
                                  .detail = found->pending && left > 0 ? "pending" : NULL};
    exchange_count_saved(x, found->kind, hit->model_time, hit->tokens, hit->cost);
    respond_task(x, found->kind, &status, buf_span(&x->engine->reply));
    exchange_finish(x, found->kind, left > 0 ? OUTCOME_HIT : OUTCOME_STALE);
    return true;
}

bool respond_stale(struct exchange *x)
{
    struct task_figures *figures = exchange_figures(x, x->decision.kind);
    struct lookup_found found;
    bool answered = lookup_stale(x, &found) == LOOKUP_HIT && respond_hit(x, &found);
    figures->failed += answered ? 1 : 0;
    return answered;
}

enum err respond_remainder(struct exchange *x, const struct through_hit *hit)
{
    int kind = x->decision.kind;
    struct cache_status status = {.from = CACHE_STATUS_HIT, .detail = "type-through"};
    struct answer answer;
    answer_init(&answer);
    answer.finish = FINISH_STOP;
    enum err e = suggestion_write(hit->remainder, &answer.content);
    if (x->parsed) {
        typed_on_keep(x);
    }
    e = e == ERR_OK ? respond_render(x, &answer) : e;
    answer_free(&answer);
    if (e == ERR_OK) {
        exchange_count_saved(x, kind, hit->model_time, hit->tokens, hit->cost);
        respond_task(x, kind, &status, buf_span(&x->engine->reply));
        exchange_finish(x, kind, OUTCOME_TYPE_THROUGH);
    }
    return e;
}

/* ---- the end of a call ---- */

static bool has_reply(const struct exchange *x, const struct flight_end *end)
{
    struct span model = x->request.model;
    size_t len = end->reply_len;
    return end->reply.len > len && end->reply_endpoint == x->head.endpoint &&
           span_eq(span_make(end->reply.data + len, end->reply.len - len), model);
}

/* The reply body for this exchange, rendered once for all waiters that asked the same endpoint for the
 * same model: requests of both APIs share a call. */
static enum err shared_reply(struct exchange *x, struct flight_end *end, struct span *body)
{
    struct span model = x->request.model;
    if (has_reply(x, end)) {
        *body = span_make(end->reply.data, end->reply_len);
        return ERR_OK;
    }
    enum err e = respond_render(x, end->answer);
    if (e != ERR_OK) {
        return e;
    }
    *body = buf_span(&x->engine->reply);
    if (model.len > 0) {
        buf_free(&end->reply);
        buf_move(&end->reply, &x->engine->reply);
        end->reply_len = end->reply.len;
        end->reply_endpoint = x->head.endpoint;
        e = buf_append_span(&end->reply, model); /* without it the next waiter has its own */
        *body = span_make(end->reply.data, end->reply_len);
    }
    return ERR_OK;
}

/* How the answer of a call counts for this waiter; fills in its Cache-Status. */
static enum outcome outcome_of_answer(const struct exchange *x, const struct flight_end *end,
                                      struct cache_status *status)
{
    if (x->bypass != NULL || (x->regenerate && !x->waiter.joined)) {
        bool uncached_kind = x->bypass != NULL && strcmp(x->bypass, "cache-off") == 0;
        return x->regenerate || uncached_kind ? OUTCOME_MISS : OUTCOME_BYPASSED;
    }
    if (end->fell_back) {
        status->fwd = CACHE_STATUS_BYPASS;
        status->detail = "fallback";
        return x->waiter.joined ? OUTCOME_COLLAPSED : OUTCOME_MISS;
    }
    if (end->held) {
        *status = (struct cache_status){.from = CACHE_STATUS_HIT, .detail = "type-through"};
        return OUTCOME_TYPE_THROUGH;
    }
    if (x->waiter.joined || end->remainder) {
        status->collapsed = true;
        status->detail = end->remainder ? "type-through" : NULL;
        return OUTCOME_COLLAPSED;
    }
    status->stored = end->stored;
    return OUTCOME_MISS;
}

void respond_answer(struct exchange *x, struct flight_end *end)
{
    int kind = x->decision.kind;
    struct span body;
    struct cache_status status = respond_call_status(x, false);
    enum err e = shared_reply(x, end, &body);
    if (e != ERR_OK) {
        respond_failure(x, respond_call_outcome(x), HTTP_ERROR_UPSTREAM_BROKE, err_name(e));
        return;
    }
    enum outcome outcome = outcome_of_answer(x, end, &status);
    if (outcome == OUTCOME_COLLAPSED || outcome == OUTCOME_TYPE_THROUGH) {
        exchange_count_saved(x, kind, end->model_time, end->tokens, end->cost);
    }
    if (end->stored && !end->behind && !hash_key_eq(end->exact_stored, x->exact.hash)) {
        /* before the reply, which ends the life of the request */
        lookup_store_exact(x, end->entry_id, end->entry_seq, end->entry_expires);
        end->exact_stored = x->exact.hash;
    }
    respond_task(x, kind, &status, body);
    exchange_finish(x, kind, outcome);
}

enum outcome respond_call_outcome(const struct exchange *x)
{
    if (x->waiter.joined) {
        return OUTCOME_COLLAPSED;
    }
    bool bypassed = x->bypass != NULL && strcmp(x->bypass, "cache-off") != 0;
    return bypassed ? OUTCOME_BYPASSED : OUTCOME_MISS;
}

/* Puts an error of the other API into the client's, where it can be read. false: what came is the answer
 * of another endpoint than the client asked, and no error. */
static bool take_raw(const struct exchange *x, struct flight_end *end, struct buf *body)
{
    enum dialect mine = endpoint_dialect(x->head.endpoint);
    if (end->raw_endpoint == x->head.endpoint) {
        return true;
    }
    if (mine != endpoint_dialect(end->raw_endpoint) &&
        dialect_convert_error(end->raw_body, end->status, mine, body)) {
        end->raw_headers = SPAN("Content-Type: application/json\r\n");
        end->raw_body = buf_span(body);
        return true;
    }
    return end->status >= 400;
}

/* Passes on what the model server sent. */
static void reply_raw(struct exchange *x, const struct flight_end *end, enum outcome outcome)
{
    struct buf lines = {.max = end->raw_headers.len + 512};
    char own[512];
    struct cache_status status = respond_call_status(x, outcome == OUTCOME_COLLAPSED);
    size_t own_len = respond_lines(x, x->decision.kind, &status, own, sizeof own);
    if (buf_append_span(&lines, end->raw_headers) == ERR_OK &&
        buf_append(&lines, own, own_len) == ERR_OK) {
        http_reply_full(x->conn, end->status, SPAN_NONE, buf_span(&lines), end->raw_body);
    } else {
        respond_error(x, outcome, HTTP_ERROR_UPSTREAM_BROKE, "");
    }
    buf_free(&lines);
}

void respond_raw(struct exchange *x, const struct flight_end *given)
{
    int kind = x->decision.kind;
    enum outcome outcome = respond_call_outcome(x);
    struct flight_end end = *given;
    struct buf converted = {.max = 64 * 1024};
    bool taken = take_raw(x, &end, &converted);
    if (taken) {
        reply_raw(x, &end, outcome);
    } else {
        respond_error(x, outcome, HTTP_ERROR_UPSTREAM_BROKE,
                      "the answer cannot be put into the API that was asked");
    }
    buf_free(&converted);
    if (end.upstream_failed || !taken) {
        exchange_figures(x, kind)->failed++;
    } else if (outcome == OUTCOME_COLLAPSED) {
        exchange_count_saved(x, kind, end.model_time, 0, 0);
    }
    exchange_finish(x, kind, outcome);
}
