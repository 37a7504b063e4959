/* printed.h: what a configuration prints, read again: the values that were written somewhere, and
 * whether another configuration has the same ones. Of the fuzz targets.
 */
#ifndef TESTS_SUPPORT_PRINTED_H
#define TESTS_SUPPORT_PRINTED_H

#include "lull/config/config.h"

#include <cJSON.h>
#include <stdio.h>
#include <stdlib.h>

/* What is shown masked cannot be read back; what a key's file has is both values at once. */
static inline bool printed_is_readable(const char *name, const char *value)
{
    return !span_ends(span_of(name), SPAN(".api_key_file")) && strstr(value, "***") == NULL;
}

/* Calls back for each value that was written and can be read back. */
static inline void printed_each(const struct config *c,
                                void (*fn)(void *ctx, const char *name, const char *value),
                                void *ctx)
{
    struct buf printed = {.max = SIZE_MAX};
    config_print_json(c, "", &printed);
    cJSON *all = cJSON_ParseWithLength(printed.data, printed.len);
    const cJSON *one = NULL;
    require(all != NULL);
    cJSON_ArrayForEach(one, all)
    {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(one, "value");
        const cJSON *origin = cJSON_GetObjectItemCaseSensitive(one, "origin");
        if (strcmp(origin->valuestring, "default") != 0 &&
            printed_is_readable(one->string, value->valuestring)) {
            fn(ctx, one->string, value->valuestring);
        }
    }
    cJSON_Delete(all);
    buf_free(&printed);
}

/* `again` was read from what c printed: nothing that can be read back differs. */
static inline void printed_check(const struct config *c, const struct config *again)
{
    struct buf names = {.max = SIZE_MAX}, applied = {.max = SIZE_MAX}, fixed = {.max = SIZE_MAX};
    config_diff(c, again, &names, &applied, &fixed);
    for (size_t at = 0; at < names.len;) {
        size_t end = span_find(buf_span(&names), SPAN("\n"), at);
        char *name = mem_strndup(names.data + at, end - at);
        char *value = config_value(c, name);
        if (value != NULL && printed_is_readable(name, value)) {
            fprintf(stderr, "%s = %s\n", name, value);
        }
        require(value == NULL || !printed_is_readable(name, value));
        free(value);
        free(name);
        at = end + 1;
    }
    buf_free(&names);
    buf_free(&applied);
    buf_free(&fixed);
}

#endif
