/* compare_priv.h: what the files of a comparison share: the requests that were collected, and the
 * run over them.
 */
#ifndef PATH_EXCHANGE_COMPARE_PRIV_H
#define PATH_EXCHANGE_COMPARE_PRIV_H

#include "lull/path/exchange/compare.h"
#include "path/exchange/exchange_priv.h"

/* A stored request. */
struct compare_item {
    char id[HASH_KEY_HEX + 1];
    char scope[16];
    int upstream; /* that it was stored from; -1: it is not configured any more */
    enum endpoint endpoint;
    struct buf memory; /* owns the two */
    struct span body, answer;
};

/* The requests of a run. */
struct compare_items {
    const struct settings *settings;
    struct span kind;
    struct compare_item *list;
    size_t count, most;
    size_t bytes;
    int64_t after; /* where the next page begins; 0: there is none */
    bool full;     /* the sum of all is at its bound */
};

/* compare_items.c */
void compare_items_init(struct compare_items *items, const struct settings *settings, int kind,
                        size_t most);
void compare_items_free(struct compare_items *items);
/* Takes what the next page of the cache has; false: that was the last. */
bool compare_items_page(struct compare_items *items, struct cache *cache);
/* What a candidate at `upstream` (-1: at each one's own) would take elsewhere. */
struct compare_transfer compare_items_moved(const struct compare_items *items, int upstream);
/* The upstream that is to answer; -1: none. */
int compare_item_upstream(const struct compare_item *item, const struct compare_candidate *c);

#endif
