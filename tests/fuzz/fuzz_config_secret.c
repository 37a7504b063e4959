/* fuzz_config_secret.c: any bytes as the file of a key or of certificates, and any value for any key of
 * the table. Input: NAME=text, where NAME is an option with its section, as in server.client_token, or
 * KEY_FILE or CA_FILE. What is taken as a key can stand in a head's line; a value is taken or refused
 * with a reason.
 * covers: config/value_types.c config/value_headers.c config/choices.c config/build.c
 */
#include "config/config_priv.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_key(const char *key, struct span file)
{
    struct span text = span_trim(file);
    require(span_eq(span_of(key), text) && text.len > 0);
    for (size_t i = 0; i < text.len; i++) {
        require((unsigned char)text.ptr[i] > ' ' && (unsigned char)text.ptr[i] != 0x7F);
    }
}

/* The text as the file that `key` of the upstream names (no text: there is no file); beside: one more
 * set, or NULL. */
static struct config *read_file_of(const char *key, char *beside, struct span text,
                                   struct buf *errors)
{
    char path[64], set[128];
    snprintf(path, sizeof path, "/tmp/lull-fuzz-%ld.key", (long)getpid());
    snprintf(set, sizeof set, "upstream.default.%s=%s", key, path);
    FILE *f = fopen(path, "wb");
    require(f != NULL && fwrite(text.ptr, 1, text.len, f) == text.len && fclose(f) == 0);
    if (text.len == 0) {
        unlink(path);
    }
    char url[] = "upstream.default.url=http://127.0.0.1:1";
    char *sets[] = {url, set, beside};
    struct config_sources sources = {.sets = {sets, beside == NULL ? 2 : 3}};
    struct buf warnings = {.max = 1024 * 1024};
    struct config *c = config_read(&sources, errors, &warnings);
    require((c == NULL) == (errors->len > 0));
    require(c == NULL || text.len > 0);
    buf_free(&warnings);
    unlink(path);
    return c;
}

static void read_key_file(struct span text)
{
    struct buf errors = {.max = 1024 * 1024};
    struct config *c = read_file_of("api_key_file", NULL, text, &errors);
    if (c != NULL) {
        check_key(config_settings(c)->upstreams[0].api_key, text);
    } else {
        /* a message does not show the key */
        struct span key = span_trim(text);
        require(key.len < 24 || span_find(buf_span(&errors), key, 0) == SIZE_MAX);
    }
    config_destroy(c);
    buf_free(&errors);
    char key[] = "upstream.default.api_key=k"; /* one key only */
    require(read_file_of("api_key_file", key, text, &errors) == NULL);
    buf_free(&errors);
}

/* It has a certificate in it, or it is refused. */
static void read_certificates(struct span text)
{
    struct buf errors = {.max = 1024 * 1024};
    struct config *c = read_file_of("ca_file", NULL, text, &errors);
    bool good = span_find(text, SPAN("CERTIFICATE-----"), 0) != SIZE_MAX &&
                span_find(text, SPAN("\0"), 0) == SIZE_MAX;
    require((c != NULL) == good);
    config_destroy(c);
    buf_free(&errors);
}

/* "SECTION.KEY", or with the name of an upstream or a kind that has such a key. */
static char *full_name(const struct option *o)
{
    static const char sections[][16] = {
        [OPTION_SERVER] = "server.",    [OPTION_UPSTREAM] = "upstream.u.",
        [OPTION_TASKS] = "tasks.",      [OPTION_KIND] = "task.tags.",
        [OPTION_OWN] = "task.own.",     [OPTION_COMPLETION] = "task.own.",
        [OPTION_TITLE] = "task.title.", [OPTION_FOLLOW_UP] = "task.follow_up.",
        [OPTION_PREFIX] = "task.tags.", [OPTION_CACHE] = "cache."};
    size_t size = sizeof sections[0] + strlen(o->key) + 8;
    char *name = mem_new(size);
    snprintf(name, size, "%s%s", sections[o->section], o->key);
    return name;
}

/* NULL: there is none of that name. */
static const struct option *option_named(struct span wanted)
{
    const struct option *found = NULL;
    for (size_t i = 0; i < option_count; i++) {
        char *name = full_name(&options[i]);
        found = span_eq(wanted, span_of(name)) ? &options[i] : found;
        free(name);
    }
    return found;
}

/* Reads it as the value of that option. */
static void read_value(const struct option *o, const char *text)
{
    char *name = full_name(o);
    size_t len = strlen(name) + strlen(text) + 2;
    char url[] = "upstream.u.url=http://127.0.0.1:1", match[] = "task.own.match=Write",
         cls[] = "task.own.class=completion";
    char *sets[] = {url, match, cls, mem_new(len)};
    snprintf(sets[3], len, "%s=%s", name, text);
    struct config_sources sources = {.sets = {sets, 4}};
    struct buf errors = {.max = 1024 * 1024}, warnings = {.max = 1024 * 1024};
    struct config *c = config_read(&sources, &errors, &warnings);
    require((c == NULL) == (errors.len > 0));
    config_destroy(c);
    buf_free(&errors);
    buf_free(&warnings);
    free(sets[3]);
    free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span all = span_make((const char *)data, size);
    size_t equals = span_find(all, SPAN("="), 0);
    if (equals == SIZE_MAX) {
        return 0;
    }
    struct span name = span_make(all.ptr, equals);
    struct span text = span_make(all.ptr + equals + 1, all.len - equals - 1);
    if (span_eq(name, SPAN("KEY_FILE"))) {
        read_key_file(text);
        return 0;
    }
    if (span_eq(name, SPAN("CA_FILE"))) {
        read_certificates(text);
        return 0;
    }
    const struct option *o = option_named(name);
    char *value = mem_strndup(text.len > 0 ? text.ptr : "", text.len);
    if (o != NULL && strlen(value) == text.len && !o->absent &&
        strcmp(o->key, "api_key_file") != 0 && o->type != TYPE_PATH) {
        read_value(o, value);
    }
    free(value);
    return 0;
}
