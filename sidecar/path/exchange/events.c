/* events.c: see events.h. An exchange fills in its event step by step, because its request is gone
 * when it ends. */
#include "path/exchange/exchange_priv.h"

#include <stdio.h>
#include <stdlib.h>

void engine_listen(struct engine *e, struct exchange_listener *l)
{
    list_append(&e->listeners, &l->node);
}

void engine_unlisten(struct engine *e, struct exchange_listener *l)
{
    (void)e;
    if (l->node.next != NULL) {
        list_remove(&l->node);
    }
}

static void copy_span(char *out, size_t size, struct span s)
{
    size_t len = s.len < size - 1 ? s.len : size - 1;
    memcpy(out, s.len > 0 ? s.ptr : "", len);
    out[len] = '\0';
}

void event_begin(struct exchange *x, const struct http_request *r)
{
    if (list_empty(&x->engine->listeners)) {
        return;
    }
    struct exchange_event *e = mem_new(sizeof *e);
    e->id = ++x->engine->events;
    copy_span(e->method, sizeof e->method, r->method_name);
    copy_span(e->path, sizeof e->path, r->path);
    copy_span(e->request_id, sizeof e->request_id, http_header_get(r, SPAN("X-Request-Id")));
    e->first_token = e->held = e->model_time = -1;
    e->tokens_in = e->tokens_out = -1;
    x->event = e;
}

void event_cache_status(struct exchange *x, const char *value)
{
    if (x->event != NULL) {
        snprintf(x->event->cache_status, sizeof x->event->cache_status, "%s", value);
    }
}

void event_model(struct exchange *x, struct span model)
{
    if (x->event != NULL) {
        copy_span(x->event->model, sizeof x->event->model, model);
    }
}

void event_call(struct exchange *x, const struct flight_end *end)
{
    struct exchange_event *e = x->event;
    if (e == NULL || end->result != FLIGHT_RESULT_ANSWER) {
        return;
    }
    e->model_time = end->model_time;
    if (!x->waiter.joined && !end->remainder) {
        mono_t now = loop_now(x->engine->parts.loop);
        e->held = mono_diff(now, x->begun) - end->took;
        e->tokens_in = end->tokens_in;
        e->tokens_out = end->tokens_out;
    }
}

void event_first_token(struct exchange *x, usec_t after)
{
    if (x->event != NULL) {
        x->event->first_token = after;
    }
}

/* The result of an exchange that is not a task. */
static const char *result_of(const struct exchange *x, int status)
{
    if (x->rejected) {
        return outcome_name(OUTCOME_REJECTED);
    }
    return x->conn == NULL ? outcome_name(OUTCOME_ABANDONED) : status >= 400 ? "failed" : "passed";
}

void event_end(struct exchange *x)
{
    struct engine *engine = x->engine;
    struct exchange_event *e = x->event;
    if (e == NULL) {
        return;
    }
    x->event = NULL;
    int kind = x->finished ? x->counted : KIND_NONE;
    int upstream = x->finished && x->upstream >= 0 ? x->upstream : x->head.upstream;
    e->status = x->conn != NULL ? http_reply_status(x->conn) : x->status;
    e->at = loop_wall(engine->parts.loop);
    e->took = mono_diff(loop_now(engine->parts.loop), x->begun);
    e->what = x->finished ? "task" : x->decision.cls == TASK_CLASS_CHAT ? "chat" : "other";
    e->kind = x->finished ? x->settings->kinds[kind].name : "";
    e->why = x->decision.why != NULL ? x->decision.why
             : x->finished           ? "equal to a stored request"
                                     : "";
    e->outcome = x->finished ? outcome_name(x->outcome) : result_of(x, e->status);
    e->upstream = upstream >= 0 ? x->settings->upstreams[upstream].name : "";
    for (struct list *at = engine->listeners.next, *next; at != &engine->listeners; at = next) {
        struct exchange_listener *l = list_item(at, struct exchange_listener, node);
        next = at->next;
        l->fn(l->ctx, e);
    }
    free(e);
}
