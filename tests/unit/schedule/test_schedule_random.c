/* test_schedule_random.c: random schedules from fixed seeds, with an owner that follows each
 * decision. At every moment: background jobs that began by the rule are no more than the free slots,
 * none began while a front was open or settling, none has waited longer than max_hold, and a front
 * never waits at all (there is nothing it could wait for). In the end every job has run.
 */
#include "schedule_support.h"
#include "support/random.h"

enum { JOBS = 24, FRONTS = 5, UPSTREAMS = 3, STEPS = 2000, SEEDS = 200 };

struct play {
    struct schedule *s;
    struct upstream_settings up[UPSTREAMS];
    struct kind_policy background, completion, foreground;
    struct schedule_job jobs[JOBS];
    struct schedule_interactive fronts[FRONTS];
    bool open[FRONTS];
    mono_t now, quiet[2];
};

static size_t machine(const struct upstream_settings *to)
{
    return to->machine[0] == 'o' ? 0 : 1;
}

static size_t fronts_on(const struct play *p, size_t m)
{
    size_t n = 0;
    for (size_t i = 0; i < FRONTS; i++) {
        n += p->open[i] && machine(p->fronts[i].to) == m ? 1 : 0;
    }
    for (size_t i = 0; i < JOBS; i++) {
        const struct schedule_job *j = &p->jobs[i];
        n += j->state == SCHEDULE_RUNNING && j->policy == &p->foreground && machine(j->to) == m;
    }
    return n;
}

static int64_t running_at(const struct play *p, const struct upstream_settings *to)
{
    int64_t n = 0;
    for (size_t i = 0; i < JOBS; i++) {
        const struct schedule_job *j = &p->jobs[i];
        n += j->state == SCHEDULE_RUNNING && j->to == to && j->policy != &p->foreground;
    }
    return n;
}

static void check_start(struct play *p, const struct schedule_job *j)
{
    size_t m = machine(j->to);
    if (j->policy == &p->foreground) {
        return;
    }
    if (j->forced) {
        return;
    }
    assert_int_equal(fronts_on(p, m), 0);
    assert_true(p->quiet[m].us == 0 || mono_diff(p->now, p->quiet[m]) >= j->policy->settle);
    assert_true(running_at(p, j->to) <= (j->to->slots > 1 ? j->to->slots - 1 : 1));
}

static void give_way(struct play *p, const struct upstream_settings *to)
{
    struct schedule_job *v = NULL;
    while ((v = schedule_victim(p->s, to, p->now)) != NULL) {
        assert_ptr_not_equal(v->policy, &p->foreground);
        assert_false(v->forced);
        schedule_requeue_preempted(p->s, v, p->now);
    }
}

/* How long nothing happens now by itself; -1: nothing ever does. */
static usec_t pump(struct play *p)
{
    struct schedule_job *j = NULL;
    usec_t due = 0;
    while ((j = schedule_overdue(p->s, p->now)) != NULL) {
        assert_true(fronts_on(p, machine(j->to)) > 0);
        assert_false(j->forced);
        schedule_requeue_preempted(p->s, j, p->now);
    }
    while ((j = schedule_next(p->s, p->now, &due)) != NULL) {
        check_start(p, j);
        if (pick(8) > 0) {
            schedule_called(j);
        }
        if (j->policy == &p->foreground) {
            give_way(p, j->to);
        }
    }
    assert_int_not_equal(due, 0);
    return due;
}

/* Moves on as far as nothing would happen by itself, or by us. */
static void pass(struct play *p, usec_t us)
{
    mono_t end = {p->now.us + us};
    for (;;) {
        usec_t due = pump(p);
        if (due < 0 || p->now.us + due > end.us) {
            break;
        }
        p->now.us += due;
    }
    p->now = end;
}

static void end_job(struct play *p, struct schedule_job *j, bool aborted)
{
    if (j->state == SCHEDULE_RUNNING && j->policy == &p->foreground) {
        p->quiet[machine(j->to)] = p->now;
    }
    schedule_end(p->s, j, p->now, aborted);
}

static void a_job_comes(struct play *p, struct schedule_job *j)
{
    const struct kind_policy *const policies[] = {&p->background, &p->background, &p->completion,
                                                  &p->foreground};
    *j = job(&p->up[pick(UPSTREAMS)], policies[pick(4)]);
    j->turn = key((uint64_t)(p->now.us / (100 * USEC_PER_S)) * 4 + pick(4));
    j->beside_reply = pick(4) == 0;
    j->conversation.person = key(1 + pick(2));
    j->expected = pick(3) == 0 ? (usec_t)pick(5000) * USEC_PER_MS : -1;
    schedule_wait(p->s, j, p->now);
}

static void step(struct play *p)
{
    size_t f = pick(FRONTS);
    struct schedule_job *j = &p->jobs[pick(JOBS)];
    switch (pick(8)) {
    case 0:
    case 1:
        if (p->open[f]) {
            p->open[f] = false;
            p->quiet[machine(p->fronts[f].to)] = p->now;
            (void)schedule_interactive_token(&p->fronts[f], p->now);
            schedule_interactive_ended(p->s, &p->fronts[f], p->now, pick(10) == 0);
        } else {
            p->open[f] = true;
            p->fronts[f] = chat(&p->up[pick(UPSTREAMS)]);
            p->fronts[f].conversation.person = key(1 + pick(2));
            p->fronts[f].first_turn = pick(2) == 0;
            schedule_interactive_began(p->s, &p->fronts[f], p->now);
            give_way(p, p->fronts[f].to);
        }
        break;
    case 2:
    case 3:
        if (j->state == SCHEDULE_IDLE) {
            a_job_comes(p, j);
        } else {
            end_job(p, j, pick(3) == 0);
        }
        break;
    default:
        pass(p, (usec_t)pick(900) * USEC_PER_MS);
        break;
    }
    pump(p);
    for (size_t i = 0; i < JOBS; i++) {
        const struct schedule_job *w = &p->jobs[i];
        if (w->state == SCHEDULE_WAITING && w->policy == &p->background) {
            assert_true(w->held + mono_diff(p->now, w->since) <= w->policy->max_hold);
        }
    }
}

static void play(uint64_t seed)
{
    static char a[] = "a", b[] = "b", c[] = "c", one[] = "one", two[] = "two";
    struct play p = {.s = begin(), .now = at(0)};
    random_state = seed * 7919 + 17;
    p.up[0] = upstream(a, one, 1);
    p.up[1] = upstream(b, one, 1 + pick(4));
    p.up[2] = upstream(c, two, 1 + pick(4));
    p.background = kind(KIND_CLASS_BACKGROUND, 5);
    p.completion = kind(KIND_CLASS_COMPLETION, 2);
    p.foreground = kind(KIND_CLASS_FOREGROUND, 1);
    for (int i = 0; i < STEPS; i++) {
        step(&p);
    }
    for (size_t i = 0; i < FRONTS; i++) {
        if (p.open[i]) {
            schedule_interactive_ended(p.s, &p.fronts[i], p.now, false);
        }
        p.open[i] = false;
    }
    p.quiet[0] = p.quiet[1] = (mono_t){0};
    for (size_t done = 0; done < JOBS;) {
        done = 0;
        pass(&p, 30 * USEC_PER_S);
        for (size_t i = 0; i < JOBS; i++) {
            if (p.jobs[i].state == SCHEDULE_RUNNING) {
                end_job(&p, &p.jobs[i], false);
            }
            done += p.jobs[i].state == SCHEDULE_IDLE ? 1 : 0;
        }
        p.quiet[0] = p.quiet[1] = (mono_t){0};
        pump(&p);
    }
    end(p.s);
}

static void what_must_hold_holds(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        play(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_must_hold_holds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
