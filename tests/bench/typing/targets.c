/* targets.c: the targets, as this benchmark defines them.
 *
 * "Dominated" compares a cell's upstream calls, model seconds and median time to suggestion, all
 * three strictly. "Summed cost" is model seconds plus the seconds people waited for what they were
 * shown. What "the oracle could save with the same suggestions" is counted without looking at lull:
 * requests that were answered from a suggestion for a shorter text, against calls that were made
 * although such a suggestion was there or under way. "Without lull" is `direct` in the same cell.
 */
#include "bench/typing/report.h"

static const size_t REUSE_PERCENT = 90, COST_PERCENT = 90;

static bool verdict(bool passed, const char *what)
{
    printf("%s  %s\n", passed ? "PASS" : "FAIL", what);
    return passed;
}

static double s(usec_t us)
{
    return (double)us / 1e6;
}

/* The time that people had no suggestion, whether one came later or not. */
static usec_t without(const struct result *r)
{
    return r->waited + r->in_vain;
}

/* By the median of what was shown, where both showed something; or by the time without. */
static bool dominates(const struct result *a, const struct result *b, bool all)
{
    bool sooner = all ? without(a) < without(b)
                      : a->to_suggestion_p50 >= 0 && a->to_suggestion_p50 < b->to_suggestion_p50;
    return a->ran && b->ran && a->calls < b->calls && a->spent < b->spent && sooner;
}

/* How many windows dominate auto in that cell; says which. */
static size_t dominated_in(const struct grid *g, size_t cell, bool all)
{
    size_t count = 0;
    char name[64];
    report_cell_name(cell, name, sizeof name);
    for (size_t p = 0; p < policy_count; p++) {
        if (policies[p].window &&
            dominates(&g->results[cell][p], &g->results[cell][POLICY_AUTO], all)) {
            if (count == 0) {
                printf("      %s: dominated by", name);
            }
            printf(" %s", policies[p].name);
            count++;
        }
    }
    if (count > 0) {
        printf("\n");
    }
    return count;
}

static size_t count_dominated(const struct grid *g, bool all)
{
    size_t cells = 0;
    for (size_t c = 0; c < CELLS; c++) {
        cells += dominated_in(g, c, all) > 0 ? 1 : 0;
    }
    return cells;
}

static bool target_domination(const struct grid *g, bool all)
{
    char text[160];
    size_t count = count_dominated(g, all);
    snprintf(text, sizeof text, "no fixed window dominates auto (%s): in %zu cells one does",
             all ? "calls, model seconds, time without a suggestion"
                 : "calls, model seconds, median time to a shown suggestion",
             count);
    return verdict(count == 0, text);
}

/* -1: did not run in every cell that auto did. */
static usec_t cost_of(const struct grid *g, size_t policy, bool all)
{
    usec_t sum = 0;
    for (size_t c = 0; c < CELLS; c++) {
        const struct result *r = &g->results[c][policy];
        if (g->results[c][POLICY_AUTO].ran && !r->ran) {
            return -1;
        }
        sum += all ? result_cost_all(r) : result_cost(r);
    }
    return sum;
}

static bool target_cost(const struct grid *g, bool all)
{
    usec_t best = -1;
    const char *name = "-";
    usec_t own = cost_of(g, POLICY_AUTO, all);
    for (size_t p = 0; p < policy_count; p++) {
        usec_t cost = policies[p].window ? cost_of(g, p, all) : -1;
        if (cost >= 0 && (best < 0 || cost < best)) {
            best = cost;
            name = policies[p].name;
        }
    }
    char text[200];
    snprintf(text, sizeof text,
             "summed cost (%s) at least 10 %% below the best fixed window: %.0f s, %s has %.0f s "
             "(%+.1f %%)",
             all ? "model seconds + time without a suggestion" : "model seconds + waited for shown",
             s(own), name, s(best), best > 0 ? 100.0 * (s(own) / s(best) - 1) : 0.0);
    return verdict(best > 0 && own * 100 <= best * (usec_t)COST_PERCENT, text);
}

static bool target_calls(const struct grid *g, bool some_match, size_t most)
{
    size_t calls = 0, requests = 0, cells = 0, over = 0;
    double worst = 0;
    char worst_name[64] = "-", text[256];
    for (size_t c = 0; c < CELLS; c++) {
        const struct result *r = &g->results[c][POLICY_AUTO];
        struct cell cell = cell_at(c);
        if (!r->ran || cell.client != CLIENT_EVERY_KEY ||
            (match_rates[cell.seed->match] > 0) != some_match) {
            continue;
        }
        double share = (double)r->calls / (double)r->requests;
        calls += r->calls;
        requests += r->requests;
        cells++;
        over += r->calls * most > r->requests ? 1 : 0;
        if (share > worst) {
            worst = share;
            report_cell_name(c, worst_name, sizeof worst_name);
        }
    }
    snprintf(text, sizeof text,
             "every key, %s: calls at most 1/%zu of the requests: 1/%.1f together, over it in %zu "
             "of %zu cells, worst 1/%.1f (%s)",
             some_match ? "30 and 60 % right" : "0 % right", most,
             calls == 0 ? 0.0 : (double)requests / (double)calls, over, cells,
             worst > 0 ? 1 / worst : 0.0, worst_name);
    return verdict(over == 0 && cells > 0, text);
}

static bool target_reuse(const struct grid *g, enum client_kind client)
{
    size_t reused = 0, avoidable = 0;
    char text[200];
    for (size_t c = 0; c < CELLS; c++) {
        const struct result *r = &g->results[c][POLICY_AUTO];
        if (r->ran && of_client(c, client)) {
            reused += r->reused;
            avoidable += r->avoidable;
        }
    }
    size_t all = reused + avoidable;
    snprintf(text, sizeof text,
             "%s: type-through and joining realise 90 %% of what could be saved: %zu requests, %zu "
             "calls could have been avoided (%.1f %%)",
             client_name(client), reused, avoidable,
             all == 0 ? 0.0 : 100.0 * (double)reused / (double)all);
    return verdict(all > 0 && reused * 100 >= all * REUSE_PERCENT, text);
}

static bool target_shown(const struct grid *g)
{
    size_t direct = policy_find("direct");
    size_t fewer = 0, cells = 0, own = 0, plain = 0;
    char text[200];
    for (size_t c = 0; c < CELLS; c++) {
        const struct result *a = &g->results[c][POLICY_AUTO];
        const struct result *d = &g->results[c][direct];
        if (!a->ran || !d->ran) {
            continue;
        }
        cells++;
        own += result_served(a);
        plain += result_served(d);
        if (result_served(a) < result_served(d)) {
            char name[64];
            report_cell_name(c, name, sizeof name);
            printf("      %s: %zu, without lull %zu of %zu pauses\n", name, result_served(a),
                   result_served(d), a->pauses);
            fewer++;
        }
    }
    snprintf(text, sizeof text,
             "never fewer suggestions shown than without lull: fewer in %zu of %zu cells (together "
             "%zu, without lull %zu)",
             fewer, cells, own, plain);
    return verdict(fewer == 0 && cells > 0, text);
}

size_t report_targets(const struct grid *g)
{
    size_t failed = 0;
    printf("\nTargets\n");
    failed += target_domination(g, false) ? 0 : 1;
    failed += target_cost(g, false) ? 0 : 1;
    failed += target_calls(g, true, 10) ? 0 : 1;
    failed += target_calls(g, false, 6) ? 0 : 1;
    failed += target_reuse(g, CLIENT_EDITOR) ? 0 : 1;
    failed += target_reuse(g, CLIENT_EVERY_KEY) ? 0 : 1;
    failed += target_shown(g) ? 0 : 1;
    printf("The first two again, with the pauses in which nothing was shown counted in full\n");
    (void)target_domination(g, true);
    (void)target_cost(g, true);
    return failed;
}
