/* fuzz_config_file.c: any bytes as lull.conf, and as what a reload finds in its place: behind a line
 * "====". Settings, or errors; never both and never neither. What is printed, written as a file,
 * reads back as the same settings; so does the file as it was read, once it is gone. The difference of the two names each change once, and is the
 * same both ways; without one they have one digest. No key is shown.
 * covers: config/ini.c config/assignments.c config/config.c config/build.c config/policies.c
 */
#include "support/printed.h"

#include "lull/config/options.h"

#include <stdint.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct config *read_sources(const struct config_sources *sources)
{
    struct buf errors = {.max = 16 * 1024 * 1024}, warnings = {.max = 16 * 1024 * 1024};
    struct config *c = config_read(sources, &errors, &warnings);
    require((c == NULL) == (errors.len > 0));
    buf_free(&errors);
    buf_free(&warnings);
    return c;
}

static const char *text_path(void)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/lull-fuzz-%ld.conf", (long)getpid());
    return path;
}

static struct config *read_text(struct span text)
{
    const char *path = text_path();
    FILE *f = fopen(path, "wb");
    require(f != NULL && fwrite(text.ptr, 1, text.len, f) == text.len && fclose(f) == 0);
    struct config_sources sources = {.file = path};
    struct config *c = read_sources(&sources);
    unlink(path);
    return c;
}

static void check_same_file(const struct config *c)
{
    const struct config_sources sources = {.file = text_path(), .same_files = c};
    struct config *again = read_sources(&sources);
    require(again != NULL);
    printed_check(c, again);
    config_destroy(again);
}

/* ---- what is printed ---- */

static void write_line(void *ctx, const char *name, const char *value)
{
    struct buf *text = ctx;
    struct span all = span_of(name);
    size_t dot = span_find(all, SPAN("."), 0), last = span_rfind(all, SPAN("."));
    buf_text(text, "[%.*s", (int)dot, name);
    if (last > dot) {
        buf_text(text, " %.*s", (int)(last - dot - 1), name + dot + 1);
    }
    buf_text(text, "]\n%s = ", name + last + 1);
    config_quote(value, text);
    buf_text(text, "\n");
}

static void check_printed(const struct config *c)
{
    struct buf text = {.max = SIZE_MAX}, out = {.max = SIZE_MAX};
    const struct settings *s = config_settings(c);
    config_print(c, &out);
    require(out.len > 0);
    printed_each(c, write_line, &text);
    struct config *again = read_text(buf_span(&text));
    if (again == NULL) {
        fprintf(stderr, "%.*s", (int)text.len, text.data);
    }
    require(again != NULL);
    printed_check(c, again);
    config_destroy(again);
    for (size_t i = 0; i < s->upstream_count; i++) {
        char name[128];
        snprintf(name, sizeof name, "upstream.%s.api_key", s->upstreams[i].name);
        char *shown = config_value(c, name);
        require(shown != NULL && (shown[0] == '\0' || strcmp(shown, "***") == 0));
        free(shown);
        buf_clear(&out);
        config_say(c, name, "a message", &out);
        require(span_find(buf_span(&out), SPAN("api_key: a message\n"), 0) != SIZE_MAX);
    }
    buf_free(&text);
    buf_free(&out);
}

/* ---- what a reload changes ---- */

/* Whether the line stands in lines exactly once. */
static bool is_once(struct span lines, struct span line)
{
    size_t count = 0;
    for (size_t at = 0; at < lines.len;) {
        size_t end = span_find(lines, SPAN("\n"), at);
        count += span_eq(span_make(lines.ptr + at, end - at), line) ? 1 : 0;
        at = end + 1;
    }
    return count == 1;
}

static void check_names(struct span names, struct span other)
{
    for (size_t at = 0; at < names.len;) {
        size_t end = span_find(names, SPAN("\n"), at);
        struct span name = span_make(names.ptr + at, end - at);
        require(is_once(names, name) && is_once(other, name));
        at = end + 1;
    }
}

/* Whether upstreams and kinds are named alike, in the same order. */
static bool same_order(const struct settings *a, const struct settings *b)
{
    bool same = a->upstream_count == b->upstream_count && a->kind_count == b->kind_count;
    for (size_t i = 0; same && i < a->upstream_count; i++) {
        same = strcmp(a->upstreams[i].name, b->upstreams[i].name) == 0;
    }
    for (size_t i = 0; same && i < a->kind_count; i++) {
        same = strcmp(a->kinds[i].name, b->kinds[i].name) == 0;
    }
    return same;
}

static void check_reload(const struct config *a, const struct config *b)
{
    struct buf names = {.max = SIZE_MAX}, back = {.max = SIZE_MAX}, applied = {.max = SIZE_MAX},
               fixed = {.max = SIZE_MAX};
    const struct settings *old = config_settings(a), *new = config_settings(b);
    config_diff(b, a, &back, &applied, &fixed);
    buf_clear(&applied);
    buf_clear(&fixed);
    config_diff(a, b, &names, &applied, &fixed);
    check_names(buf_span(&names), buf_span(&back));
    check_names(buf_span(&back), buf_span(&names));
    require((names.len > 0) == (applied.len + fixed.len > 0));
    require(names.len > 0 || !same_order(old, new) ||
            memcmp(old->policy_digest, new->policy_digest, sizeof old->policy_digest) == 0);
    buf_free(&names);
    buf_free(&back);
    buf_free(&applied);
    buf_free(&fixed);
}

/* What only a restart changes is shown as it was, where both have it. */
static void check_kept(const struct config *running, struct config *fresh)
{
    struct buf names = {.max = SIZE_MAX}, applied = {.max = SIZE_MAX}, fixed = {.max = SIZE_MAX};
    const struct settings *old = config_settings(running), *new = config_settings(fresh);
    bool same = same_order(old, new);
    config_keep_fixed(fresh, running);
    config_diff(running, fresh, &names, &applied, &fixed);
    require(!same || fixed.len == 0);
    buf_free(&names);
    buf_free(&applied);
    buf_free(&fixed);
}

/* Each key has a line in the help. */
static void check_help(void)
{
    struct buf help = {.max = SIZE_MAX};
    config_help(&help);
    for (size_t i = 0; i < option_count; i++) {
        char line[80];
        snprintf(line, sizeof line, "\n  %s = ", options[i].key);
        require(options[i].absent || span_find(buf_span(&help), span_of(line), 0) != SIZE_MAX);
    }
    buf_free(&help);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool begun;
    struct span all = span_make((const char *)data, size), next = SPAN_NONE;
    size_t at = span_find(all, SPAN("\n====\n"), 0);
    if (!begun) {
        check_help();
        begun = true;
    }
    if (at != SIZE_MAX) {
        next = span_make(all.ptr + at + 6, all.len - at - 6);
        all.len = at + 1;
    }
    struct config *c = read_text(all), *fresh = at == SIZE_MAX ? NULL : read_text(next);
    if (c != NULL) {
        check_printed(c);
        check_same_file(c);
        check_reload(c, fresh == NULL ? c : fresh);
    }
    if (c != NULL && fresh != NULL) {
        check_kept(c, fresh);
    }
    config_destroy(c);
    config_destroy(fresh);
    return 0;
}
