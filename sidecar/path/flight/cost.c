/* cost.c: tokens and money of a call: as the server says, else estimated from the bytes. */
#include "path/flight/flight_priv.h"

/* Figures are sums: no single call may bring them near the end of their range, whatever a server
 * says. */
enum { TOKENS_MOST = 1000 * 1000 * 1000 };
static const double COST_MOST = 1e15; /* in millionths of money */

static int64_t tokens_said(int64_t said, int64_t guess)
{
    int64_t n = said < 0 ? guess : said;
    return n < TOKENS_MOST ? n : TOKENS_MOST;
}

/* A price is for a million tokens: the product is in millionths. A call often costs a few of them: rounded
 * down, a sum of calls would be too low by a share that can be seen. */
static int64_t cost_of(const struct upstream_settings *to, int64_t in, int64_t out)
{
    double cost = (double)in * to->price_in + (double)out * to->price_out;
    return cost < COST_MOST ? (int64_t)(cost + 0.5) : (int64_t)COST_MOST;
}

void flight_count_tokens(size_t asked, const struct upstream_settings *to,
                         struct task_figures *task, struct upstream_figures *up,
                         struct flight_end *end)
{
    const struct answer *a = end->answer;
    int64_t in = (int64_t)asked / FLIGHT_BYTES_PER_TOKEN;
    int64_t out = (int64_t)(a->content.len + a->thinking.len) / FLIGHT_BYTES_PER_TOKEN;
    int64_t guessed = (a->tokens_in < 0 ? in : 0) + (a->tokens_out < 0 ? out : 0);
    in = tokens_said(a->tokens_in, in);
    out = tokens_said(a->tokens_out, out);
    end->cost = cost_of(to, in, out);
    end->tokens = in + out;
    end->tokens_in = in;
    end->tokens_out = out;
    end->estimated = guessed > 0;
    task->tokens_in += in;
    task->tokens_out += out;
    task->tokens_estimated += guessed;
    task->cost += end->cost;
    if (up != NULL) {
        up->tokens_in += in;
        up->tokens_out += out;
        up->tokens_estimated += guessed;
        up->cost += end->cost;
    }
}
