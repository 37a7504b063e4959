/* policies.h: what is compared, and the cells in which it is.
 */
#ifndef TESTS_BENCH_TYPING_POLICIES_H
#define TESTS_BENCH_TYPING_POLICIES_H

#include "bench/typing/desk.h"
#include "bench/typing/seeds.h"

enum way { WAY_LULL, WAY_DIRECT, WAY_ORACLE };

/* Mechanisms that bench_without can switch off; type-through has a key of its own. */
enum without {
    WITHOUT_JOIN = 1 << 0,      /* longer text does not wait for a call under way */
    WITHOUT_WINDOW = 1 << 1,    /* the window is not adapted */
    WITHOUT_SENT = 1 << 2,      /* a sent message ends nothing */
    WITHOUT_ABORT = 1 << 3,     /* what no longer fits is not aborted */
    WITHOUT_EMPTY = 1 << 4,     /* empty suggestions are not kept */
    WITHOUT_BUSY_WAIT = 1 << 5, /* autocompletes queue behind a chat */
};

enum { POLICY_SETS = 3 };
struct policy {
    const char *name;
    enum way way;
    const char *sets[POLICY_SETS]; /* SECTION.KEY=VALUE */
    unsigned without;
    bool window; /* a fixed window: one that auto is compared with */
};
extern const struct policy policies[];
extern const size_t policy_count;
enum { POLICY_AUTO = 0, POLICIES_MAX = 32 };
size_t policy_find(const char *name); /* SIZE_MAX: unknown */

/* Switches the mechanisms in the mask off in that daemon. */
void bench_without(unsigned mask);
/* Whether this daemon has the keys that the policy sets; ends nothing. */
bool policy_possible(const struct policy *policy);

struct cell {
    enum client_kind client;
    const struct seed *seed;
};
enum { CELLS = CLIENT_COUNT * SEEDS };
struct cell cell_at(size_t i);
const char *client_name(enum client_kind client); /* "editor", "every-key" */

/* One run. */
struct run_setup {
    struct corpus *corpus;
    struct wire *wire;
    unsigned minutes;
};
struct result run_policy(const struct run_setup *setup, const struct cell *cell,
                         const struct policy *policy);

#endif
