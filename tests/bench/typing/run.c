/* run.c: one policy in one cell: people, port and model on one virtual loop, until the last key has
 * been pressed and the last answer has come. Then the figures of the daemon must agree with what
 * the clients and the model have counted.
 */
#include "bench/typing/policies.h"

#include "lull/base/err.h"

#include "support/fake_loop.h"

static const usec_t LONGEST = 24 * 3600 * USEC_PER_S;

/* The equations, from the outside: every request of a client has one outcome, every call one end.
 */
static void check_figures(struct world *w, const struct tally *t, const struct model_figures *model)
{
    const struct task_figures *task = world_task(w, "autocomplete");
    const struct figures *f = world_figures(w);
    uint64_t outcomes = 0;
    size_t answers = 0;
    for (size_t i = 0; i < OUTCOME_COUNT; i++) {
        outcomes += task->outcomes[i];
    }
    for (size_t i = 0; i < HOW_COUNT; i++) {
        answers += t->result.by_how[i];
    }
    require(f->task_count == 1);
    require(answers == t->result.requests);
    require(task->requests == t->result.requests);
    require(task->requests == outcomes);
    require(task->outcomes[OUTCOME_TYPE_THROUGH] == t->result.by_how[HOW_REST]);
    require(task->outcomes[OUTCOME_HIT] == t->result.by_how[HOW_HIT]);
    require(task->outcomes[OUTCOME_SUPERSEDED] + task->outcomes[OUTCOME_DEADLINE] +
                task->outcomes[OUTCOME_BUSY] + task->outcomes[OUTCOME_SENT] ==
            t->result.by_how[HOW_EMPTY]);
    require((size_t)task->upstream_calls == model->calls);
    require((size_t)f->server.chat_requests == t->result.chats);
    require(f->server.chat_open == 0);
    require(f->upstream_count == 1);
    const struct upstream_figures *u = f->upstreams[0];
    require(u->running == 0);
    require(u->calls == u->finished + u->failed + u->aborted);
    require((size_t)u->calls == model->calls + model->chats);
    require((size_t)u->aborted == model->aborted);
}

static void play(struct desk *d)
{
    desk_begin(d);
    while (!desk_done(d) || !model_idle(d->model)) {
        usec_t next = fake_loop_next_timer(d->loop);
        require(next >= 0 && desk_now(d) < LONGEST);
        fake_loop_advance(d->loop, next);
    }
    desk_end(d);
}

static struct result with_lull(const struct run_setup *setup, struct model_setup *model_setup,
                               struct desk *d, const struct policy *policy)
{
    struct tally tally = {0};
    const char *sets[POLICY_SETS + 4] = {"cache.durability=os", "server.idle_timeout=86400s",
                                         "server.log_level=error"};
    for (size_t i = 0; i < POLICY_SETS; i++) {
        sets[3 + i] = policy->sets[i];
    }
    struct world *w = world_begin(sets);
    bench_without(policy->without);
    model_setup->loop = world_loop(w);
    d->model = model_create(model_setup);
    struct model_script script = model_as_upstream(d->model);
    world_script(w, &script);
    d->loop = model_setup->loop;
    d->port = port_lull_create(w, setup->wire, d->cast);
    d->port->tally = &tally;
    d->tally = &tally;
    play(d);
    check_figures(w, &tally, model_figures(d->model));
    d->port->destroy(d->port);
    world_pass(w, 0);
    struct result result = tally_close(&tally, model_figures(d->model));
    model_free(d->model);
    world_end(w);
    return result;
}

static struct result without_lull(struct model_setup *model_setup, struct desk *d, enum way way)
{
    struct tally tally = {0};
    struct loop *loop = loop_create();
    model_setup->loop = loop;
    d->loop = loop;
    d->model = model_create(model_setup);
    d->port = way == WAY_DIRECT ? port_direct_create(loop, d->model, d->cast)
                                : port_oracle_create(loop, d->model, d->cast);
    d->port->tally = &tally;
    d->tally = &tally;
    play(d);
    d->port->destroy(d->port);
    struct result result = tally_close(&tally, model_figures(d->model));
    model_free(d->model);
    fake_loop_settle(loop);
    loop_destroy(loop);
    return result;
}

struct result run_policy(const struct run_setup *setup, const struct cell *cell,
                         const struct policy *policy)
{
    struct cast *cast =
        cast_create(setup->corpus, cell->seed->people, cell->seed->seed, setup->minutes);
    struct paths *paths = paths_create(cast);
    struct model_setup model_setup = {.cast = cast,
                                      .paths = paths,
                                      .wire = setup->wire,
                                      .match = match_rates[cell->seed->match],
                                      .latency = latencies[cell->seed->latency]};
    struct desk d = {.cast = cast, .client = cell->client};
    struct result result = policy->way == WAY_LULL ? with_lull(setup, &model_setup, &d, policy)
                                                   : without_lull(&model_setup, &d, policy->way);
    paths_free(paths);
    cast_free(cast);
    return result;
}
