/* policy.c: what a request is, whether its body is held, and what holds for its kind before the
 * cache is asked.
 */
#include "path/exchange/exchange_priv.h"

#include "lull/http/guard.h"

static struct task_decision classify(const struct exchange *x, const struct dialect_request *body)
{
    return task_classify(x->settings, x->head.endpoint, x->head.header, x->head.header_value, body);
}

bool policy_holds_body(const struct exchange *x, const struct http_request *r)
{
    if (x->settings->mode == TASKS_OFF ||
        (!r->chunked && r->content_length > x->settings->server.max_task_body)) {
        return false;
    }
    /* a task in a form that is not assembled is held so that it can wait at the gate */
    return endpoint_assembles(x->head.endpoint) ||
           (x->settings->mode == TASKS_ON && x->head.endpoint != ENDPOINT_OTHER &&
            classify(x, NULL).cls == TASK_CLASS_TASK);
}

const char *policy_unread(const struct exchange *x, bool too_large)
{
    return !endpoint_assembles(x->head.endpoint) ? "not-assembled" : too_large ? "too-large" : NULL;
}

/* What was read of the body stays as long as the request. It counts beside the body where it is longer:
 * of brackets it is up to 24 times as long. */
static bool count_nodes(struct exchange *x)
{
    size_t nodes = json_doc_bytes(&x->request.json), covered = x->body.len;
    return budget_settle(x->engine->parts.memory, &x->nodes_counted,
                         nodes > covered ? nodes - covered : 0);
}

void policy_classify(struct exchange *x)
{
    x->parsed = x->bypass == NULL && dialect_request_parse(x->body, x->head.endpoint, &x->request);
    if (x->parsed && !count_nodes(x)) {
        dialect_request_free(&x->request);
        x->parsed = false;
        x->bypass = "too-large";
    }
    x->decision = classify(x, x->parsed ? &x->request : NULL);
}

bool policy_allows_origin(const struct exchange *x)
{
    return x->settings->mode == TASKS_OBSERVE ||
           guard_origin(&x->settings->server, x->head.origin, x->head.host);
}

enum policy policy_decide(struct exchange *x)
{
    if (x->bypass == NULL && !x->parsed) {
        x->bypass = "ambiguous-json"; /* its header alone says that it is a task */
    } else if (x->bypass == NULL && x->request.streamed) {
        x->bypass = "stream";
    }
    if (x->bypass != NULL) {
        return POLICY_FORWARD;
    }
    bool off = !exchange_policy(x)->enabled && x->settings->mode == TASKS_ON;
    return off ? POLICY_SWITCHED_OFF : POLICY_GO_ON;
}

bool policy_is_paused(const struct exchange *x)
{
    const struct kind_policy *policy = exchange_policy(x);
    return engine_paused(x->engine) > 0 && policy->cls != KIND_CLASS_FOREGROUND &&
           policy->answer != NULL;
}
