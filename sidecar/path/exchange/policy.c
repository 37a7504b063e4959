/* policy.c: what a request is, and what holds for its kind before the cache is asked.
 */
#include "path/exchange/exchange_priv.h"

#include "lull/http/guard.h"

enum step step_classify(struct exchange *x)
{
    x->parsed = dialect_request_parse(x->body, x->head.endpoint, &x->request);
    x->decision = task_classify(x->settings, x->head.endpoint, x->head.header, x->head.header_value,
                                x->parsed ? &x->request : NULL);
    hints_begin(x);
    return x->decision.cls == TASK_CLASS_TASK ? STEP_POLICY : STEP_RELAY;
}

enum step policy_origin(struct exchange *x)
{
    if (x->settings->mode != TASKS_OBSERVE &&
        !guard_origin(&x->settings->server, x->head.origin, http_conn_request(x->conn)->host)) {
        int kind = x->decision.kind;
        reply_error(x, OUTCOME_REJECTED, HTTP_ERROR_FORBIDDEN_ORIGIN, "");
        exchange_finish(x, kind, OUTCOME_REJECTED);
        return STEP_OVER;
    }
    return STEP_POLICY;
}

enum step step_policy(struct exchange *x)
{
    const struct kind_policy *policy = exchange_policy(x);
    if (policy_origin(x) == STEP_OVER) {
        return STEP_OVER;
    }
    if (!x->parsed) {
        x->bypass = "ambiguous-json"; /* only the header says that it is a task */
        return STEP_RELAY;
    }
    if (x->request.streamed) {
        x->bypass = "stream";
        return STEP_RELAY;
    }
    if (!policy->enabled && x->settings->mode == TASKS_ON) {
        return reply_empty(x, OUTCOME_SWITCHED_OFF, "switched-off");
    }
    return STEP_MEANING;
}
