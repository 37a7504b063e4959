/* comparison.h: a comparison as plain values: what is asked for, and what its events say. It stores
 * nothing, and is counted in the upstreams' `calls` only.
 */
#ifndef LULL_PATH_COMPARE_COMPARISON_H
#define LULL_PATH_COMPARE_COMPARISON_H

#include "lull/base/buf.h"
#include "lull/base/clock.h"
#include "lull/config/kinds.h"
#include "lull/config/settings.h"

struct compare_run;

enum { COMPARE_CANDIDATES = 16, COMPARE_LAST_MAX = 1000, COMPARE_LAST_DEFAULT = 50 };

struct compare_candidate {
    struct span text; /* its name in results: "model@upstream" */
    struct span model;
    int upstream; /* into spec.settings; -1: the upstream that gave the stored answer */
};

struct compare_spec {
    struct settings *settings;
    int kind;
    bool prefix; /* both forms of the model that was asked, in place of candidates */
    const struct compare_candidate *candidates;
    size_t count; /* 1 to COMPARE_CANDIDATES; with prefix 0 */
    size_t last;  /* at most so many requests, the newest; 1 to COMPARE_LAST_MAX */
    bool yes;     /* requests may be sent to another upstream than the one they were stored from */
};

/* What a run would send to another upstream. */
struct compare_transfer {
    const char *upstream, *host;
    size_t requests, users; /* users: by scope */
};

/* Why a run does not begin. */
struct compare_refusal {
    const char *why;                          /* when count is 0 */
    const struct compare_transfer *transfers; /* what needs `yes` */
    size_t count;
};

/* One call that has ended. Texts are valid during the event. */
struct compare_result {
    const char *id; /* of the cache entry */
    struct span candidate, model;
    const char *upstream;
    const char *error; /* NULL: answered, and the members up to `answer` hold */
    bool shape;        /* the answer has the kind's form, as it came or repaired */
    usec_t latency;    /* from the start of the call */
    int64_t tokens_in, tokens_out;
    bool estimated;      /* the tokens */
    int64_t tokens_read; /* of tokens_in, those that were not cached; -1: the server did not say */
    usec_t prompt_time;  /* for reading them; -1: the server did not say */
    int64_t cost;        /* in millionths of the currency unit */
    struct span answer;
    struct span stored;       /* the answer in the cache; also with an error */
    size_t finished, planned; /* calls of the run; this one is counted in finished */
};

/* One candidate's row at the end of a run. */
struct compare_summary {
    struct span candidate;
    size_t calls, failed, shaped; /* shaped: answers of the right form */
    size_t skipped;               /* requests whose upstream is no longer configured */
    usec_t p50, p90, p95;         /* of the answers' latency; -1: no answers */
    int64_t tokens_in, tokens_out, cost;
    struct compare_sum {
        int64_t total;
        size_t answers; /* that said it */
    } tokens_read, prompt_time;
};

/* How a run has ended. */
struct compare_ending {
    const struct compare_summary *rows; /* one of each candidate, or form */
    size_t count;
    const char *why; /* NULL, or why it ended early; static text */
    bool prefix;
    size_t prefix_not[PREFIX_REASON_COUNT]; /* requests that were left out, by reason */
};

/* Called from the loop. After `refused` or `ended` the run is gone. Each may call compare_stop(). */
struct compare_events {
    void (*refused)(void *ctx, const struct compare_refusal *refusal);
    /* false: pause until compare_resume() */
    bool (*result)(void *ctx, const struct compare_result *result);
    void (*ended)(void *ctx, const struct compare_ending *ending);
};

#endif
