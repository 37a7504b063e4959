/* comparison.h: models tried on stored task requests, as plain values: asked over the control
 * socket, done by the data path. Keeps nothing, and is counted in the upstreams' `calls` only.
 */
#ifndef LULL_PATH_EXCHANGE_COMPARISON_H
#define LULL_PATH_EXCHANGE_COMPARISON_H

#include "lull/base/buf.h"
#include "lull/base/clock.h"
#include "lull/config/settings.h"

struct compare; /* a run */

enum { COMPARE_CANDIDATES = 16, COMPARE_LAST_MAX = 1000, COMPARE_LAST_DEFAULT = 50 };

struct compare_candidate {
    struct span text; /* as it is called: "model@upstream" */
    struct span model;
    int upstream; /* into spec.settings; -1: where the answer came from that is stored */
};

struct compare_spec {
    struct settings *settings; /* the run takes a reference */
    int kind;
    const struct compare_candidate *candidates; /* copied */
    size_t count;                               /* 1 to COMPARE_CANDIDATES */
    size_t last;                                /* the newest so many requests */
    bool yes; /* they may be sent to another upstream than the one they were stored from */
};

/* What a run would send elsewhere. */
struct compare_transfer {
    const char *upstream, *host;
    size_t requests, users; /* users: by scope */
};

/* A run does not begin. */
struct compare_refusal {
    const char *why;                          /* when there are no transfers */
    const struct compare_transfer *transfers; /* what `yes` is asked for */
    size_t count;
};

/* One call that has ended; texts are valid during the call. */
struct compare_result {
    const char *id; /* of the entry */
    struct span candidate, model;
    const char *upstream;
    const char *error; /* NULL: it was answered, and what follows holds */
    bool shape;        /* the answer has the kind's form, mended or not */
    usec_t latency;    /* from the start of the call */
    int64_t tokens_in, tokens_out;
    bool estimated;
    int64_t cost; /* in millionths of money */
    struct span answer;
    struct span stored;       /* the answer that is in the cache; also with an error */
    size_t finished, planned; /* calls of the run, this one among the first */
};

struct compare_summary {
    struct span candidate;
    size_t calls, failed, shaped; /* shaped: answers of the right form */
    size_t skipped;               /* requests whose upstream is not configured any more */
    usec_t p50, p95;              /* of answers; -1: there were none */
    int64_t tokens_in, tokens_out, cost;
};

/* Called from the loop; after `refused` or `ended` the run is gone. */
struct compare_events {
    void (*refused)(void *ctx, const struct compare_refusal *refusal);
    /* false: no more until compare goes on */
    bool (*result)(void *ctx, const struct compare_result *result);
    /* One row for each candidate; why: NULL, or why it ended before its end. */
    void (*ended)(void *ctx, const struct compare_summary *rows, size_t count, const char *why);
};

#endif
