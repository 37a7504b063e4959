/* tally.h: what one run came to: plain values, so that a process can hand them to another.
 */
#ifndef TESTS_BENCH_TYPING_TALLY_H
#define TESTS_BENCH_TYPING_TALLY_H

#include "bench/typing/model.h"

/* A pause: the person touches neither keyboard nor mouse for at least PAUSE while there is text in
 * the box and the caret is at its end. A suggestion that is not visible for at least SEEN before
 * the next key does not count as seen. */
extern const usec_t PAUSE, SEEN;

struct result {
    bool ran;
    size_t requests, by_how[HOW_COUNT];
    size_t calls, aborted, avoidable; /* upstream, autocompletes only */
    size_t reused;                    /* requests answered from a suggestion for a shorter text */
    usec_t spent, used;               /* model time; the rest of spent was wasted */
    size_t pauses, shown, by_tab;     /* by_tab: lay in text that had been taken with Tab */
    usec_t waited;  /* for shown suggestions, from the last key before the pause */
    usec_t in_vain; /* length of the pauses in which nothing was shown */
    usec_t to_suggestion_p50, to_suggestion_p95; /* of the shown ones */
    size_t chats, chats_refused;
    usec_t chat_p50; /* from Enter to the first piece of the reply */
};

/* While a run is under way. */
struct tally {
    struct result result;
    usec_t *waits, *chats;
    size_t wait_count, wait_room, chat_count, chat_room;
};

void tally_wait(struct tally *t, usec_t wait);
void tally_chat(struct tally *t, usec_t wait);
/* Fills in the percentiles and what the model did, and frees the lists. */
struct result tally_close(struct tally *t, const struct model_figures *model);

/* The pauses in which the person had a suggestion, or text that came by Tab. */
static inline size_t result_served(const struct result *r)
{
    return r->shown + r->by_tab;
}

/* Model time and the time that people waited for what they were shown. A policy that shows less
 * looks cheaper by this; result_cost_all counts the pauses in which nothing was shown in full. */
static inline usec_t result_cost(const struct result *r)
{
    return r->spent + r->waited;
}

static inline usec_t result_cost_all(const struct result *r)
{
    return r->spent + r->waited + r->in_vain;
}

#endif
