/* fuzz_config_environment.c: any bytes as the environment, --set and values set live. Input: texts with
 * zero bytes between; those that begin with "--set " and "live " are what they say, the others are
 * variables. Settings or errors, never both; what is printed reads back as the same settings.
 * covers: config/environment.c config/assignments.c config/config.c config/value.c config/value_types.c config/build.c config/policies.c
 */
#include "lull/config/config.h"

#include <cJSON.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXTS_MOST = 16, VALUES_MOST = 4096 };

/* What is shown masked cannot be read back; what a key's file has is both values at once. */
static bool is_readable(const char *name, const char *value)
{
    struct span n = span_of(name);
    return !span_ends(n, SPAN(".api_key_file")) && strstr(value, "***") == NULL;
}

/* Each printed value that was written, given as --set. */
static void check_printed(struct config *c)
{
    struct buf printed = {.max = SIZE_MAX}, errors = {.max = SIZE_MAX},
               warnings = {.max = SIZE_MAX};
    char *sets[VALUES_MOST];
    size_t count = 0;
    config_print_json(c, "", &printed);
    cJSON *all = cJSON_ParseWithLength(printed.data, printed.len);
    const cJSON *one = NULL;
    require(all != NULL);
    cJSON_ArrayForEach(one, all)
    {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(one, "value");
        const cJSON *origin = cJSON_GetObjectItemCaseSensitive(one, "origin");
        if (strcmp(origin->valuestring, "default") != 0 &&
            is_readable(one->string, value->valuestring)) {
            size_t len = strlen(one->string) + strlen(value->valuestring) + 2;
            require(count < VALUES_MOST);
            sets[count] = mem_new(len);
            snprintf(sets[count++], len, "%s=%s", one->string, value->valuestring);
        }
    }
    cJSON_Delete(all);
    struct config_sources sources = {.sets = {sets, count}};
    struct config *again = config_read(&sources, &errors, &warnings);
    if (again == NULL) {
        fprintf(stderr, "%.*s", (int)errors.len, errors.data);
    }
    require(again != NULL);
    struct buf names = {.max = SIZE_MAX}, applied = {.max = SIZE_MAX}, fixed = {.max = SIZE_MAX};
    config_diff(c, again, &names, &applied, &fixed);
    for (size_t at = 0; at < names.len;) {
        size_t end = span_find(buf_span(&names), SPAN("\n"), at);
        struct span name = span_make(names.data + at, end - at);
        char *text = mem_strndup(name.ptr, name.len);
        char *value = config_value(c, text);
        if (value != NULL && is_readable(text, value)) {
            fprintf(stderr, "%s = %s\n", text, value);
        }
        require(value == NULL || !is_readable(text, value));
        free(value);
        free(text);
        at = end + 1;
    }
    config_destroy(again);
    struct buf *const bufs[] = {&printed, &errors, &warnings, &names, &applied, &fixed};
    for (size_t i = 0; i < sizeof bufs / sizeof bufs[0]; i++) {
        buf_free(bufs[i]);
    }
    while (count > 0) {
        free(sets[--count]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *texts = mem_strndup((const char *)data, size);
    char *variables[TEXTS_MOST + 1] = {0}, *sets[TEXTS_MOST], *live[TEXTS_MOST];
    struct config_sources sources = {
        .environment = variables, .sets = {sets, 0}, .live = {live, 0}};
    size_t count = 0;
    for (size_t at = 0; at < size && count < TEXTS_MOST; at += strlen(texts + at) + 1) {
        char *text = texts + at;
        bool read = strstr(text, "FILE=") != NULL || strstr(text, "file=") != NULL ||
                    strstr(text, "File=") != NULL; /* no file of this machine is read */
        if (read) {
            continue;
        }
        if (strncmp(text, "--set ", 6) == 0) {
            sets[sources.sets.count++] = text + 6;
        } else if (strncmp(text, "live ", 5) == 0) {
            live[sources.live.count++] = text + 5;
        } else {
            variables[count] = text;
        }
        count += variables[count] != NULL;
    }
    struct buf errors = {.max = 16 * 1024 * 1024}, warnings = {.max = 16 * 1024 * 1024};
    struct config *c = config_read(&sources, &errors, &warnings);
    require((c == NULL) == (errors.len > 0));
    if (c != NULL) {
        check_printed(c);
    }
    config_destroy(c);
    buf_free(&errors);
    buf_free(&warnings);
    free(texts);
    return 0;
}
