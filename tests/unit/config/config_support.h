/* config_support.h: reads a configuration given as text, variables and --set, and compares what is
 * said about it.
 */
#ifndef TESTS_CONFIG_SUPPORT_H
#define TESTS_CONFIG_SUPPORT_H

#include "support/check.h"

#include "lull/config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct tried {
    struct config *config; /* NULL: there are errors */
    struct buf errors, warnings, printed;
};

/* file: text of lull.conf, or NULL; environment, sets: lists that end with NULL, or NULL. An
 * upstream is there unless the text has one. */
static inline struct tried try_config(const char *file, const char *const *environment,
                                      const char *const *sets)
{
    struct tried t = {
        .errors = {.max = 65536}, .warnings = {.max = 65536}, .printed = {.max = 1024 * 1024}};
    struct config_sources sources = {.environment = (char **)(uintptr_t)environment};
    char path[] = "/tmp/lull-config-XXXXXX";
    if (file == NULL || strstr(file, "[upstream") == NULL) {
        sources.upstream = "http://127.0.0.1:11434";
    }
    while (sets != NULL && sets[sources.sets.count] != NULL) {
        sources.sets.count++;
    }
    sources.sets.items = (char **)(uintptr_t)sets;
    if (file != NULL) {
        int fd = mkstemp(path);
        assert_true(fd >= 0 && write(fd, file, strlen(file)) == (ssize_t)strlen(file));
        close(fd);
        sources.file = path;
    }
    t.config = config_read(&sources, &t.errors, &t.warnings);
    if (file != NULL) {
        unlink(path);
    }
    if (t.config != NULL) {
        config_print(t.config, &t.printed);
    }
    assert_int_equal(buf_append_char(&t.errors, '\0'), ERR_OK);
    assert_int_equal(buf_append_char(&t.warnings, '\0'), ERR_OK);
    assert_int_equal(buf_append_char(&t.printed, '\0'), ERR_OK);
    return t;
}

static inline void tried_free(struct tried *t)
{
    config_destroy(t->config);
    buf_free(&t->errors);
    buf_free(&t->warnings);
    buf_free(&t->printed);
}

static inline size_t lines_in(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++) {
        n += *text == '\n' ? 1 : 0;
    }
    return n;
}

static inline void assert_says(const struct buf *text, const char *part)
{
    if (strstr(text->data, part) == NULL) {
        fail_msg("no '%s' in: %s", part, text->data);
    }
}

/* The file is refused with one line, which has `part`. */
static inline void assert_refused(const char *file, const char *part)
{
    struct tried t = try_config(file, NULL, NULL);
    assert_says(&t.errors, part);
    assert_int_equal(lines_in(t.errors.data), 1);
    assert_null(t.config);
    tried_free(&t);
}

/* The file is taken, and --print-config has `part`. */
static inline void assert_taken(const char *file, const char *part)
{
    struct tried t = try_config(file, NULL, NULL);
    assert_string_equal(t.errors.data, "");
    assert_says(&t.printed, part);
    tried_free(&t);
}

#endif
