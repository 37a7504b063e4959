/* titles.h: clients that ask for a title, and the figures of titles. */
#ifndef TESTS_SCENARIO_TITLES_H
#define TESTS_SCENARIO_TITLES_H

#include "scenario/scenario.h"

static inline void ask(struct client *c, const char *user)
{
    client_post(c, "/v1/chat/completions", "", ask_title(user, "Fine."));
}

static inline const struct task_figures *title(struct world *w)
{
    return world_task(w, "title");
}

#endif
