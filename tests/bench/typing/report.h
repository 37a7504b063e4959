/* report.h: the figures of all runs, for people and for programs.
 */
#ifndef TESTS_BENCH_TYPING_REPORT_H
#define TESTS_BENCH_TYPING_REPORT_H

#include "bench/typing/policies.h"

#include <stdio.h>

struct grid {
    struct result results[CELLS][POLICIES_MAX];
};

/* One table for each cell that has figures. */
void report_cells(const struct grid *g);
/* Sums over the cells, by client and over both. */
void report_totals(const struct grid *g);
/* One line for each run. */
void report_csv(const struct grid *g, FILE *out);
/* Whether all policies of a cell were given the same pauses; says where not. */
bool report_check(const struct grid *g);
/* The targets, each with its figures and PASS or FAIL; how many failed. */
size_t report_targets(const struct grid *g);

/* Whether the cell belongs to the client; CLIENT_COUNT: any. */
static inline bool of_client(size_t cell, enum client_kind client)
{
    return client == CLIENT_COUNT || cell_at(cell).client == client;
}
void report_cell_name(size_t cell, char *out, size_t size); /* "every-key solo 30% 1s" */

#endif
