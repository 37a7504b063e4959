/* compare_priv.h: what the files of a comparison share: the run (compare.c), the stored requests that
 * it sends (compare_items.c), and the two forms of one (compare_forms.c). */
#ifndef PATH_COMPARE_COMPARE_PRIV_H
#define PATH_COMPARE_COMPARE_PRIV_H

#include "lull/path/compare/compare.h"
#include "lull/path/dialect/chat_request.h"
#include "lull/path/exchange/exchange.h"

/* A stored request. */
struct compare_item {
    char id[HASH_KEY_HEX + 1];
    char scope[16];
    int upstream; /* that it was stored from; -1: no longer configured */
    enum endpoint endpoint;
    struct buf memory; /* owns the spans */
    struct span body, answer;
    struct span model; /* that gave the answer */
};

/* The requests of a run. */
struct compare_items {
    const struct settings *settings;
    struct span kind;
    struct compare_item *list;
    size_t count, most;
    size_t bytes;
    int64_t after; /* where the next page of the cache begins; 0: none */
    bool full;     /* the bytes are at their maximum */
};

/* settings is borrowed; at most `most` requests are collected. */
void compare_items_init(struct compare_items *items, const struct settings *settings, int kind,
                        size_t most);
void compare_items_free(struct compare_items *items);
/* Collects from the next page of the cache; false: there is no further page to read. */
bool compare_items_page(struct compare_items *items, struct cache *cache);
/* The requests that a candidate at `upstream` would send to another upstream than their own; -1:
 * none. */
struct compare_transfer compare_items_moved(const struct compare_items *items, int upstream);
/* The upstream that a candidate's call of this request goes to; -1: no longer configured. */
int compare_item_upstream(const struct compare_item *item, const struct compare_candidate *c);

struct candidate {
    struct compare_candidate c;
    char *text; /* owns c's texts */
    struct compare_summary sum;
    usec_t *took; /* of its answers */
    size_t answers;
};

enum compare_state { COLLECTING, CALLING, PAUSED, OVER };

struct compare {
    struct loop *loop;
    struct cache *cache;
    struct servers *servers;
    struct engine *engine;
    struct compare_run *run; /* NULL: none */
};

/* The candidates of a run of both forms. */
enum compare_form { FORM_AS_ASKED, FORM_BEHIND, FORMS };

struct compare_run {
    struct compare *owner;
    struct settings *settings;
    int kind;
    bool yes;
    struct kind_policy policy;
    struct compare_events events;
    void *ctx;
    enum compare_state state;
    struct compare_items items;
    struct candidate candidates[COMPARE_CANDIDATES];
    size_t count;
    size_t at_candidate, at_item; /* of the next call */
    size_t finished, planned;
    const struct compare_item *item; /* of the current call, as are asked and upstream */
    struct candidate *asked;
    int upstream;
    struct compare_forms {
        bool on;
        size_t prefix_not[PREFIX_REASON_COUNT]; /* requests that were left out */
        struct flight_behind behind; /* of the current request; the reference is the run's */
        struct buf instruction;
        bool reads; /* the next call, or the one under way, reads the conversation */
    } forms;
    struct flight_waiter waiter;
    struct loop_timer *timer; /* for the next page or the next call */
    struct loop_deferred gone;
};

/* ---- compare.c ---- */

/* Sends body for run->item to run->upstream; what the flight is asked behind, if anything, is in
 * spec; done is called once, unless the run ends before. */
void compare_submit(struct compare_run *run, struct flight_spec *spec,
                    void (*done)(void *ctx, struct flight_end *end));
/* Whether the request's answer may be asked for as a stream. */
bool compare_may_stream(const struct compare_item *item);
/* Counts the result and reports it. false: the listener has paused or stopped the run. */
bool compare_report(struct compare_run *run, struct compare_result *r);
/* The result of a call that has ended. */
void compare_on_end(void *ctx, struct flight_end *end);
void compare_refuse(struct compare_run *run, const struct compare_refusal *refusal);
void compare_run_end(struct compare_run *run, const char *why);

/* ---- compare_forms.c ---- */

/* The next call of a run of both forms, or its end. */
void compare_forms_next(struct compare_run *run);
/* Forgets the current request's conversation. */
void compare_forms_release(struct compare_run *run);
/* Whether the call that has ended was asked in the current form; else what to report. */
const char *compare_forms_wrong(const struct compare_run *run, const struct flight_end *end);

#endif
