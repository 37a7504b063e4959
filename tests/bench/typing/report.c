/* report.c: tables of figures. See README.md for what the columns mean. */
#include "bench/typing/report.h"

static double s(usec_t us)
{
    return (double)us / 1e6;
}

static double percent(size_t part, size_t whole)
{
    return whole == 0 ? 0 : 100.0 * (double)part / (double)whole;
}

void report_cell_name(size_t cell, char *out, size_t size)
{
    struct cell c = cell_at(cell);
    snprintf(out, size, "%s %s %u%% %gs", client_name(c.client), people_name(c.seed->people),
             match_rates[c.seed->match], s(latencies[c.seed->latency]));
}

/* A duration in ms, or a dash. */
static const char *ms(usec_t us, char out[24])
{
    if (us < 0) {
        return "-";
    }
    snprintf(out, 24, "%lld", (long long)(us / USEC_PER_MS));
    return out;
}

static void print_columns(const char *first)
{
    printf("  %-18s %8s %6s %9s %9s %6s %6s %6s %6s %9s %9s %7s %8s\n", first, "requests", "calls",
           "model_s", "wasted_s", "shown%", "tab%", "p50ms", "p95ms", "waited_s", "cost_s",
           "reused%", "chat_ms");
}

static void print_row(const char *name, const struct result *r)
{
    char p50[24], p95[24], chat[24], reused[24] = "-";
    if (r->reused + r->avoidable > 0) {
        snprintf(reused, sizeof reused, "%.1f", percent(r->reused, r->reused + r->avoidable));
    }
    printf("  %-18s %8zu %6zu %9.1f %9.1f %6.1f %6.1f %6s %6s %9.1f %9.1f %7s %8s\n", name,
           r->requests, r->calls, s(r->spent), s(r->spent - r->used), percent(r->shown, r->pauses),
           percent(r->by_tab, r->pauses), ms(r->to_suggestion_p50, p50),
           ms(r->to_suggestion_p95, p95), s(r->waited), s(result_cost(r)), reused,
           ms(r->chat_p50, chat));
}

void report_cells(const struct grid *g)
{
    for (size_t c = 0; c < CELLS; c++) {
        char name[64];
        bool headed = false;
        report_cell_name(c, name, sizeof name);
        for (size_t p = 0; p < policy_count; p++) {
            const struct result *r = &g->results[c][p];
            if (!r->ran) {
                continue;
            }
            if (!headed) {
                printf("\n%s: %zu pauses\n", name, r->pauses);
                print_columns("policy");
                headed = true;
            }
            print_row(policies[p].name, r);
        }
    }
}

static void add(struct result *sum, const struct result *r)
{
    sum->ran = true;
    sum->requests += r->requests;
    sum->calls += r->calls;
    sum->spent += r->spent;
    sum->used += r->used;
    sum->pauses += r->pauses;
    sum->shown += r->shown;
    sum->by_tab += r->by_tab;
    sum->waited += r->waited;
    sum->in_vain += r->in_vain;
    sum->reused += r->reused;
    sum->avoidable += r->avoidable;
}

static void print_totals(const struct grid *g, enum client_kind client)
{
    static const char *const titles[] = {"all cells, editor", "all cells, every key", "all cells"};
    printf("\n%s (cost_all: also the pauses in which nothing was shown)\n", titles[client]);
    printf("  %-18s %9s %8s %10s %10s %6s %6s %10s %10s %10s %7s\n", "policy", "requests", "calls",
           "model_s", "wasted_s", "shown%", "tab%", "waited_s", "cost_s", "cost_all", "reused%");
    for (size_t p = 0; p < policy_count; p++) {
        struct result t = {0};
        for (size_t c = 0; c < CELLS; c++) {
            if (of_client(c, client) && g->results[c][p].ran) {
                add(&t, &g->results[c][p]);
            }
        }
        if (t.ran) {
            printf("  %-18s %9zu %8zu %10.0f %10.0f %6.2f %6.2f %10.0f %10.0f %10.0f %7.2f\n",
                   policies[p].name, t.requests, t.calls, s(t.spent), s(t.spent - t.used),
                   percent(t.shown, t.pauses), percent(t.by_tab, t.pauses), s(t.waited),
                   s(result_cost(&t)), s(result_cost_all(&t)),
                   percent(t.reused, t.reused + t.avoidable));
        }
    }
}

void report_totals(const struct grid *g)
{
    print_totals(g, CLIENT_EDITOR);
    print_totals(g, CLIENT_EVERY_KEY);
    print_totals(g, CLIENT_COUNT);
}

bool report_check(const struct grid *g)
{
    bool good = true;
    for (size_t c = 0; c < CELLS; c++) {
        size_t pauses = SIZE_MAX;
        for (size_t p = 0; p < policy_count; p++) {
            const struct result *r = &g->results[c][p];
            if (r->ran && pauses != SIZE_MAX && r->pauses != pauses) {
                char name[64];
                report_cell_name(c, name, sizeof name);
                printf("%s: %s was given other pauses\n", name, policies[p].name);
                good = false;
            }
            pauses = r->ran ? r->pauses : pauses;
        }
    }
    return good;
}

void report_csv(const struct grid *g, FILE *out)
{
    fprintf(out, "client,people,match_percent,latency_s,policy,requests,by_call,by_hit,by_rest,"
                 "by_joining,empty,failed,calls,aborted,avoidable,reused,model_s,wasted_s,pauses,"
                 "shown,by_tab,waited_s,in_vain_s,p50_ms,p95_ms,cost_s,chats,chats_refused,"
                 "chat_p50_ms\n");
    for (size_t i = 0; i < CELLS * policy_count; i++) {
        const struct cell c = cell_at(i / policy_count);
        const struct result *r = &g->results[i / policy_count][i % policy_count];
        if (!r->ran) {
            continue;
        }
        fprintf(out, "%s,%s,%u,%g,%s,%zu", client_name(c.client), people_name(c.seed->people),
                match_rates[c.seed->match], s(latencies[c.seed->latency]),
                policies[i % policy_count].name, r->requests);
        for (size_t h = 0; h < HOW_COUNT; h++) {
            fprintf(out, ",%zu", r->by_how[h]);
        }
        fprintf(out,
                ",%zu,%zu,%zu,%zu,%.3f,%.3f,%zu,%zu,%zu,%.3f,%.3f,%lld,%lld,%.3f,%zu,%zu,%lld\n",
                r->calls, r->aborted, r->avoidable, r->reused, s(r->spent), s(r->spent - r->used),
                r->pauses, r->shown, r->by_tab, s(r->waited), s(r->in_vain),
                (long long)(r->to_suggestion_p50 / 1000), (long long)(r->to_suggestion_p95 / 1000),
                s(result_cost(r)), r->chats, r->chats_refused, (long long)(r->chat_p50 / 1000));
    }
}
