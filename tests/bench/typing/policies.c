/* policies.c: the table of what is compared. */
#include "bench/typing/policies.h"

#include "lull/base/err.h"
#include "lull/config/config.h"

#include <stdlib.h>

#define WINDOW(ms)                                                                                 \
    {                                                                                              \
        .name = #ms "ms", .sets = {"task.autocomplete.debounce=" #ms "ms"}, .window = true         \
    }
#define AUTO "task.autocomplete.debounce=auto"

const struct policy policies[] = {
    {.name = "auto", .sets = {AUTO}},
    WINDOW(100),
    WINDOW(150),
    WINDOW(200),
    WINDOW(250),
    WINDOW(300),
    WINDOW(400),
    WINDOW(500),
    WINDOW(700),
    WINDOW(1000),
    {.name = "off", .sets = {"task.autocomplete.debounce=off"}},
    {.name = "direct", .way = WAY_DIRECT},
    {.name = "oracle", .way = WAY_ORACLE},
    /* auto with one thing changed */
    {.name = "auto-type-through", .sets = {AUTO, "cache.type_through=no"}},
    {.name = "auto-joining", .sets = {AUTO}, .without = WITHOUT_JOIN},
    {.name = "auto-reuse", .sets = {AUTO, "cache.type_through=no"}, .without = WITHOUT_JOIN},
    {.name = "auto-window", .sets = {AUTO}, .without = WITHOUT_WINDOW},
    {.name = "auto-abort", .sets = {AUTO}, .without = WITHOUT_ABORT},
    {.name = "auto-sent", .sets = {AUTO}, .without = WITHOUT_SENT},
    {.name = "auto-empty", .sets = {AUTO}, .without = WITHOUT_EMPTY},
    {.name = "auto-busy-wait", .sets = {AUTO}, .without = WITHOUT_BUSY_WAIT},
    {.name = "auto+deadline", .sets = {AUTO, "task.autocomplete.deadline=auto"}},
    {.name = "auto+deadline=2s", .sets = {AUTO, "task.autocomplete.deadline=2s"}},
};
const size_t policy_count = sizeof policies / sizeof policies[0];
_Static_assert(sizeof policies / sizeof policies[0] <= POLICIES_MAX, "room for all policies");

size_t policy_find(const char *name)
{
    for (size_t i = 0; i < policy_count; i++) {
        if (strcmp(policies[i].name, name) == 0) {
            return i;
        }
    }
    return SIZE_MAX;
}

bool policy_possible(const struct policy *policy)
{
    char *items[POLICY_SETS + 1];
    size_t n = 0;
    if (policy->way != WAY_LULL) {
        return true;
    }
    items[n++] = mem_strdup("upstream.default.url=http://127.0.0.1:1");
    for (size_t i = 0; i < POLICY_SETS && policy->sets[i] != NULL; i++) {
        items[n++] = mem_strdup(policy->sets[i]);
    }
    struct config_sources sources = {.sets = {items, n}};
    struct buf errors = {.max = 65536};
    struct buf warnings = {.max = 65536};
    struct config *config = config_read(&sources, &errors, &warnings);
    bool possible = config != NULL;
    config_destroy(config);
    buf_free(&errors);
    buf_free(&warnings);
    while (n > 0) {
        free(items[--n]);
    }
    return possible;
}

struct cell cell_at(size_t i)
{
    return (struct cell){(enum client_kind)(i / SEEDS), &seeds[i % SEEDS]};
}

const char *client_name(enum client_kind client)
{
    return client == CLIENT_EDITOR ? "editor" : "every-key";
}
