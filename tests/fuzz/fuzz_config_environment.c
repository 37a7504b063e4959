/* fuzz_config_environment.c: any bytes as the environment, --set and values set live. Input: texts with
 * zero bytes between; those that begin with "--set " and "live " are what they say, the others are
 * variables. Settings or errors, never both; what is printed reads back as the same settings.
 * covers: config/environment.c config/assignments.c config/config.c config/value.c config/value_types.c config/build.c config/policies.c
 */
#include "support/printed.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TEXTS_MOST = 16, VALUES_MOST = 4096 };

struct sets {
    char *items[VALUES_MOST];
    size_t count;
};

static void add_set(void *ctx, const char *name, const char *value)
{
    struct sets *sets = ctx;
    size_t len = strlen(name) + strlen(value) + 2;
    require(sets->count < VALUES_MOST);
    sets->items[sets->count] = mem_new(len);
    snprintf(sets->items[sets->count++], len, "%s=%s", name, value);
}

/* Each printed value that was written, given as --set. */
static void check_printed(const struct config *c)
{
    struct buf errors = {.max = SIZE_MAX}, warnings = {.max = SIZE_MAX};
    struct sets sets = {.count = 0};
    printed_each(c, add_set, &sets);
    struct config_sources sources = {.sets = {sets.items, sets.count}};
    struct config *again = config_read(&sources, &errors, &warnings);
    if (again == NULL) {
        fprintf(stderr, "%.*s", (int)errors.len, errors.data);
    }
    require(again != NULL);
    printed_check(c, again);
    config_destroy(again);
    buf_free(&errors);
    buf_free(&warnings);
    while (sets.count > 0) {
        free(sets.items[--sets.count]);
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
