/* respond.c: answers to tasks. Every one carries X-Lull-Task and Cache-Status (RFC 9211).
 */
#include "path/exchange/exchange_priv.h"

size_t reply_task_lines(struct exchange *x, int kind, const struct cache_status *status, char *out,
                        size_t size)
{
    char value[CACHE_STATUS_MAX];
    (void)cache_status_write(status, value);
    event_cache_status(x, value);
    const char *const parts[] = {"X-Lull-Task: ", x->settings->kinds[kind].name,
                                 "\r\nCache-Status: ", value, "\r\n"};
    size_t len = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        size_t n = strlen(parts[i]);
        require(len + n < size); /* names are bounded by the configuration */
        memcpy(out + len, parts[i], n);
        len += n;
    }
    return len;
}

void reply_task(struct exchange *x, int kind, const struct cache_status *status, struct span body)
{
    char lines[512];
    size_t len = reply_task_lines(x, kind, status, lines, sizeof lines);
    http_reply_full(x->conn, 200, SPAN("application/json"), span_make(lines, len), body);
}

struct cache_status reply_call_status(const struct exchange *x, bool collapsed)
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

enum err reply_render(struct exchange *x, const struct answer *answer)
{
    buf_free(&x->reply);
    buf_init(&x->reply, EXCHANGE_REPLY_MAX);
    return answer_render(answer, x->head.endpoint, x->request.model,
                         loop_wall(x->engine->parts.loop), ++x->engine->serial, &x->reply);
}

enum err reply_stored(struct exchange *x, struct span answer, struct span model)
{
    buf_free(&x->reply);
    buf_init(&x->reply, EXCHANGE_REPLY_MAX);
    return answer_render_stored(answer, x->head.endpoint, model, loop_wall(x->engine->parts.loop),
                                ++x->engine->serial, &x->reply);
}

void reply_error(struct exchange *x, enum outcome outcome, enum http_error error,
                 const char *detail)
{
    char lines[512];
    struct cache_status status = reply_call_status(x, outcome == OUTCOME_COLLAPSED);
    if (outcome == OUTCOME_REJECTED || error == HTTP_ERROR_BUSY) {
        status = (struct cache_status){
            .from = CACHE_STATUS_OWN,
            .detail = outcome == OUTCOME_REJECTED ? "rejected" : http_error_name(error)};
    }
    size_t len = reply_task_lines(x, x->decision.kind, &status, lines, sizeof lines);
    http_reply_error(x->conn, error, x->head.form, span_of(detail), span_make(lines, len));
}

enum step reply_failure(struct exchange *x, enum outcome outcome, enum http_error error,
                        const char *detail)
{
    int kind = x->decision.kind;
    exchange_figures(x, kind)->failed++;
    reply_error(x, outcome, error, detail);
    exchange_finish(x, kind, outcome);
    return STEP_OVER;
}

enum step reply_empty(struct exchange *x, enum outcome outcome, const char *reason)
{
    int kind = x->decision.kind;
    struct cache_status status = {.from = CACHE_STATUS_OWN, .detail = reason};
    struct answer empty;
    answer_init(&empty);
    empty.finish = FINISH_STOP;
    enum err e = answer_empty_content(&x->settings->kinds[kind], kind,
                                      x->parsed ? &x->request : NULL, &empty.content);
    if (e == ERR_OK) {
        e = reply_render(x, &empty);
    }
    answer_free(&empty);
    if (e != ERR_OK) {
        return reply_failure(x, outcome, HTTP_ERROR_BUSY, err_name(e));
    }
    reply_task(x, kind, &status, buf_span(&x->reply));
    exchange_finish(x, kind, outcome);
    return STEP_OVER;
}
