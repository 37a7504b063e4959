/* exchange.c: the exchange object: made with the head of a request, counted, and dropped once.
 *
 * A task ends with exchange_finish(), the only place that counts outcomes; everything else with
 * exchange_drop(). Dropped structs are kept for reuse, with the storage of their keys, so that a hit
 * allocates nothing; and a hit neither uses nor clears what the steps behind EXACT need.
 */
#include "path/exchange/exchange_priv.h"

#include <stdlib.h>

enum { SPARE_MAX = 32, SPARE_KEYS_MAX = 64 * 1024, REPLY_KEPT = 64 * 1024 };
/* Where the parts of an exchange begin that every request uses, and that only the steps behind EXACT
 * use. A spare one has the second part cleared. */
enum {
    FIRST_PART = offsetof(struct exchange, next_spare),
    SECOND_PART = offsetof(struct exchange, request),
};

struct exchange *exchange_new(struct engine *e, struct http_conn *conn)
{
    struct exchange *x = e->spare;
    if (x != NULL) {
        e->spare = x->next_spare;
        e->spare_count--;
        memset((char *)x + FIRST_PART, 0, SECOND_PART - FIRST_PART);
    } else {
        x = mem_new(sizeof *x);
    }
    x->engine = e;
    x->settings = settings_ref(e->settings);
    x->conn = conn;
    x->begun = loop_now(e->parts.loop);
    x->decision.kind = KIND_NONE;
    x->upstream = -1;
    http_conn_set_data(conn, x);
    return x;
}

void exchange_clear(struct exchange *x)
{
    if (x->parsed) {
        dialect_request_free(&x->request);
        (void)budget_settle(x->engine->parts.memory, &x->nodes_counted, 0);
    }
    behind_forget(x);
}

void exchange_free(struct exchange *x)
{
    fingerprint_free(&x->exact);
    fingerprint_free(&x->normalized);
    fingerprint_free(&x->context);
    free(x);
}

void exchange_drop(struct exchange *x)
{
    struct engine *e = x->engine;
    event_end(x);
    hints_end(x);
    observe_left(x);
    if (x->conn != NULL && http_conn_data(x->conn) == x) {
        http_conn_set_data(x->conn, NULL);
    }
    settings_unref(x->settings);
    if (x->went_on) {
        exchange_clear(x);
        memset((char *)x + SECOND_PART, 0, sizeof *x - SECOND_PART);
    }
    if (e->reply.cap > REPLY_KEPT) {
        buf_free(&e->reply);
    }
    size_t keys = x->normalized.storage.cap + x->exact.storage.cap + x->context.storage.cap;
    if (e->spare_count < SPARE_MAX && keys <= SPARE_KEYS_MAX) {
        x->next_spare = e->spare;
        e->spare = x;
        e->spare_count++;
    } else {
        exchange_free(x);
    }
}

void exchange_free_spare(struct engine *e)
{
    while (e->spare != NULL) {
        struct exchange *x = e->spare;
        e->spare = x->next_spare;
        exchange_free(x);
    }
}

const struct kind_policy *exchange_policy(const struct exchange *x)
{
    return &x->settings->kinds[x->decision.kind];
}

struct task_figures *exchange_figures(struct exchange *x, int kind)
{
    struct engine *e = x->engine;
    const char *name = x->settings->kinds[kind].name;
    if (e->counted.name != name) {
        e->counted.name = name;
        e->counted.figures = figures_task(e->parts.figures, name);
    }
    return e->counted.figures;
}

const struct scope *exchange_person(struct exchange *x)
{
    if (!x->person_made) {
        struct scope_memo *memo = x->conn == NULL ? NULL : http_conn_memo(x->conn);
        x->person = scope_of(SCOPE_AUTO, x->head.credential, x->head.user, memo);
        x->person_made = true;
    }
    return &x->person;
}

struct savings *exchange_user_figures(struct exchange *x)
{
    return figures_user(x->engine->parts.figures, x->user);
}

void exchange_count_saved(struct exchange *x, int kind, usec_t model_time, int64_t tokens,
                          int64_t cost)
{
    struct task_figures *figures = exchange_figures(x, kind);
    figures->saved_us += model_time;
    figures->saved_tokens += tokens;
    figures->saved_cost += cost;
    struct savings *user = exchange_user_figures(x);
    user->saved_us += model_time;
    user->saved_tokens += tokens;
    user->saved_cost += cost;
}

void exchange_finish(struct exchange *x, int kind, enum outcome outcome)
{
    struct task_figures *figures = exchange_figures(x, kind);
    mono_t now = loop_now(x->engine->parts.loop);
    figures->requests++;
    figures->outcomes[outcome]++;
    struct savings *user = exchange_user_figures(x);
    user->requests++;
    user->without_call += figures_is_without_call(outcome) ? 1 : 0;
    x->finished = true;
    x->outcome = outcome;
    x->counted = kind;
    if (outcome != OUTCOME_ABANDONED) {
        figure_times_add(&figures->latency, now, mono_diff(now, x->begun));
    }
    exchange_drop(x);
}
