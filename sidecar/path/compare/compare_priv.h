/* compare_priv.h: the stored requests that a comparison sends; see compare_items.c. */
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
    struct buf memory; /* owns both spans */
    struct span body, answer;
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

#endif
