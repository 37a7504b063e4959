/* environment.c: LULL_SECTION_KEY, and the command line's settings.
 *
 * A variable's name is read from both ends: the section first, then the longest known key at its
 * end; what lies between is the name of the upstream or kind ("LULL_TASK_FOLLOW_UP_TTL"). "_FILE"
 * at the end means "the value is in that file", and is tried last, because api_key_file is itself a
 * key.
 *
 * An empty value counts as unset: compose files pass ${X:-}.
 *
 * Container platforms put variables of their own there for services whose names begin with lull
 * (Docker links, Kubernetes service links). Those forms are ignored, with one line for all of them;
 * any other unknown name is an error, since it is most likely a setting that was meant to count.
 */
#include "config/config_priv.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAME_MAX_BYTES = 200, SECRET_FILE_MAX = 64 * 1024 };

struct target {
    enum section section;
    struct span name;
    const struct option *option;
};

/* rest: what follows the section's word, lower case. */
static bool find_key(enum section section, struct span rest, struct target *out)
{
    out->option = NULL;
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &options[i];
        struct span key = span_of(o->key);
        if (!section_has(section, o) || !span_ends(rest, key)) {
            continue;
        }
        struct span name = span_make(rest.ptr, rest.len - key.len);
        if (section_is_named(section)) {
            /* "chat_" */
            if (name.len < 2 || name.ptr[name.len - 1] != '_') {
                continue;
            }
            name.len--;
        } else if (name.len != 0) {
            continue;
        }
        if (is_name(name) == section_is_named(section) &&
            (out->option == NULL || key.len > strlen(out->option->key))) {
            *out = (struct target){section, name, o};
        }
    }
    return out->option != NULL;
}

static bool find_target(struct span lower, struct target *out)
{
    for (int i = 0; i <= (int)SECTION_CACHE; i++) {
        struct span word = span_of(section_word((enum section)i));
        if (span_starts(lower, word) && lower.len > word.len && lower.ptr[word.len] == '_' &&
            find_key((enum section)i, span_make(lower.ptr + word.len + 1, lower.len - word.len - 1),
                     out)) {
            return true;
        }
    }
    return false;
}

/* name: after "LULL_". Docker's and Kubernetes' links, for the service lull and for lull-x: PORT,
 * PORT_*, SERVICE_*, *_PORT, *_PORT_*, *_SERVICE_*. */
static bool is_injected(struct span name)
{
    return span_eq(name, SPAN("PORT")) || span_starts(name, SPAN("PORT_")) ||
           span_starts(name, SPAN("SERVICE_")) || span_ends(name, SPAN("_PORT")) ||
           span_find(name, SPAN("_PORT_"), 0) != SIZE_MAX ||
           span_find(name, SPAN("_SERVICE_"), 0) != SIZE_MAX;
}

/* ---- what an unknown name was meant to be ---- */

static void append_upper(struct buf *out, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        buf_text(out, "%c", toupper((unsigned char)s.ptr[i]));
    }
}

/* The variable of an option; kind: "" where the option is not of one kind. */
static void append_variable(const struct option *o, const char *kind, struct buf *out)
{
    static const char *const sections[] = {
        [OPTION_SERVER] = "server_",     [OPTION_UPSTREAM] = "upstream_default_",
        [OPTION_TASKS] = "tasks_",       [OPTION_KIND] = "tasks_",
        [OPTION_OWN] = "task_title_",    [OPTION_COMPLETION] = "task_autocomplete_",
        [OPTION_TITLE] = "task_title_",  [OPTION_FOLLOW_UP] = "task_follow_up_",
        [OPTION_PREFIX] = "task_title_", [OPTION_CACHE] = "cache_",
    };
    buf_clear(out);
    buf_text(out, "LULL_");
    if (kind[0] != '\0' && (o->section == OPTION_KIND || o->section == OPTION_OWN)) {
        buf_text(out, "TASK_");
        append_upper(out, span_of(kind));
        buf_text(out, "_");
    } else {
        append_upper(out, span_of(sections[o->section]));
    }
    append_upper(out, span_of(o->key));
}

/* The longest key that the name ends with, or is. */
static const struct option *key_at_end(struct span lower)
{
    const struct option *found = NULL;
    for (size_t i = 0; i < option_count; i++) {
        struct span key = span_of(options[i].key);
        bool ends = span_ends(lower, key) &&
                    (lower.len == key.len || lower.ptr[lower.len - key.len - 1] == '_');
        if (ends && !options[i].absent && (found == NULL || key.len > strlen(found->key))) {
            found = &options[i];
        }
    }
    return found;
}

/* The built-in kind that the name has before its key; "" if none. */
static const char *kind_before(struct span lower, const struct option *o)
{
    size_t key = strlen(o->key);
    struct span before = span_make(lower.ptr, lower.len > key ? lower.len - key - 1 : 0);
    for (size_t i = 0; i < KIND_BUILTIN_COUNT; i++) {
        const char *name = kind_info((enum kind_id)i)->name;
        if (span_ends(before, span_of(name))) {
            return name;
        }
    }
    return "";
}

/* The nearest of all variables, at most two edits away; false: none. */
static bool nearest_variable(struct span lower, struct buf *out)
{
    struct buf name = {.max = 256}, full = {.max = 256};
    size_t best = 3;
    buf_text(&full, "LULL_");
    append_upper(&full, lower);
    if (word_distance(buf_span(&full), SPAN("LULL_UPSTREAM")) < best) {
        best = word_distance(buf_span(&full), SPAN("LULL_UPSTREAM"));
        buf_text(out, "LULL_UPSTREAM");
    }
    for (size_t i = 0; i < option_count; i++) {
        for (int k = -1; k < KIND_BUILTIN_COUNT && !options[i].absent; k++) {
            append_variable(&options[i], k < 0 ? "" : kind_info((enum kind_id)k)->name, &name);
            size_t d = word_distance(buf_span(&full), buf_span(&name));
            if (d < best) {
                best = d;
                buf_clear(out);
                buf_text(out, "%.*s", (int)name.len, name.data);
            }
        }
    }
    buf_free(&name);
    buf_free(&full);
    return best < 3;
}

static void report_unknown_variable(struct assignments *r, const char *place, struct span lower)
{
    struct buf meant = {.max = 256};
    struct span bare =
        span_ends(lower, SPAN("_file")) ? span_make(lower.ptr, lower.len - 5) : lower;
    const struct option *o = key_at_end(lower);
    bool of_file = o == NULL && bare.len < lower.len;
    lower = of_file ? bare : lower;
    o = of_file ? key_at_end(lower) : o;
    if (o != NULL) {
        append_variable(o, kind_before(lower, o), &meant);
    }
    if (o != NULL || nearest_variable(lower, &meant)) {
        report(r->errors, SOURCE_ENVIRONMENT, place, "unknown name; did you mean %.*s%s?",
               (int)meant.len, meant.data, of_file ? "_FILE" : "");
    } else {
        report(r->errors, SOURCE_ENVIRONMENT, place,
               "unknown name; write LULL_SECTION_KEY, as in LULL_SERVER_IDLE_TIMEOUT, "
               "LULL_UPSTREAM_CHAT_URL or LULL_TASK_TITLE_TTL; lulld --help-config lists all keys");
    }
    buf_free(&meant);
}

static void assign_text(struct assignments *r, const struct target *t, enum source source,
                        const char *place, struct span text)
{
    char *name = mem_strndup(t->name.len > 0 ? t->name.ptr : "", t->name.len);
    struct assignment a = {.section = t->section, .name = name, .source = source};
    a.place = mem_strdup(place);
    assignments_add(r, &a, span_of(t->option->key), text);
    free(a.place);
    free(name);
}

static void assign_file(struct assignments *r, const struct target *t, const char *place,
                        const char *path)
{
    struct buf text = {.max = SECRET_FILE_MAX};
    if (read_kept_file(r, SOURCE_ENVIRONMENT, place, t->option->key, path, &text)) {
        struct span value = span_trim(buf_span(&text));
        if (value.len > 0) {
            assign_text(r, t, SOURCE_ENVIRONMENT, place, value);
        } else if (t->option->type == TYPE_SECRET) {
            report(r->errors, SOURCE_ENVIRONMENT, place, "%s: %s is empty", t->option->key, path);
        }
    }
    buf_free(&text);
}

static void assign_default_upstream(struct assignments *r, enum source source, const char *place,
                                    const char *url)
{
    struct target t = {SECTION_UPSTREAM, SPAN("default"),
                       option_find(SECTION_UPSTREAM, SPAN("url"))};
    assign_text(r, &t, source, place, span_of(url));
}

/* injected: gets the names that container platforms set. */
static void read_variable(struct assignments *r, const char *place, struct span name,
                          const char *value, struct buf *injected)
{
    char lower[NAME_MAX_BYTES];
    struct target t;
    if (span_eq(name, SPAN("UPSTREAM"))) {
        assign_default_upstream(r, SOURCE_ENVIRONMENT, place, value);
        return;
    }
    size_t len = name.len < sizeof lower ? name.len : 0;
    for (size_t i = 0; i < len; i++) {
        lower[i] = (char)tolower((unsigned char)name.ptr[i]);
    }
    struct span text = span_make(lower, len);
    struct span bare = span_make(lower, len < 5 ? 0 : len - 5);
    if (find_target(text, &t)) {
        assign_text(r, &t, SOURCE_ENVIRONMENT, place, span_of(value));
    } else if (span_ends(text, SPAN("_file")) && find_target(bare, &t)) {
        assign_file(r, &t, place, value);
    } else if (is_injected(name)) {
        buf_text(injected, "%s%s", injected->len > 0 ? " " : "", place);
    } else {
        report_unknown_variable(r, place, text);
    }
}

void read_environment(struct assignments *r, char **environment)
{
    struct buf injected = {.max = 400}; /* more names are not shown */
    for (char **item = environment; item != NULL && *item != NULL; item++) {
        struct span all = span_of(*item);
        size_t equals = span_find(all, SPAN("="), 0);
        if (!span_starts(all, SPAN("LULL_")) || equals == SIZE_MAX ||
            span_trim(span_make(*item + equals + 1, all.len - equals - 1)).len == 0) {
            continue;
        }
        char *place = mem_strndup(*item, equals < NAME_MAX_BYTES ? equals : NAME_MAX_BYTES);
        read_variable(r, place, span_make(*item + 5, equals - 5), *item + equals + 1, &injected);
        free(place);
    }
    if (injected.len > 0) {
        report(r->warnings, SOURCE_DEFAULT, "environment",
               "ignored, set by the container platform: %.*s", (int)injected.len, injected.data);
    }
    buf_free(&injected);
}

/* SECTION.KEY=VALUE or SECTION.NAME.KEY=VALUE */
static void read_set(struct assignments *r, const char *text, enum source source)
{
    struct span all = span_of(text);
    size_t equals = span_find(all, SPAN("="), 0);
    struct span left = span_make(text, equals == SIZE_MAX ? 0 : equals);
    size_t first = span_find(left, SPAN("."), 0);
    size_t last = span_rfind(left, SPAN("."));
    char place[NAME_MAX_BYTES];
    size_t shown = equals == SIZE_MAX ? all.len : equals;
    snprintf(place, sizeof place, "%s%.*s", source == SOURCE_ARGUMENT ? "--set " : "",
             (int)(shown < 150 ? shown : 150), text);
    enum section section = SECTION_SERVER;
    if (first == SIZE_MAX || !section_parse(span_make(text, first), &section)) {
        report(
            r->errors, source, place,
            "write SECTION.KEY=VALUE, as in server.log_level=debug, upstream.chat.url=http://host "
            "or task.title.ttl=2d");
        return;
    }
    struct span name = last > first ? span_make(text + first + 1, last - first - 1) : SPAN_NONE;
    if (section_is_named(section) ? !is_name(name) : name.len > 0) {
        report(r->errors, source, place, "%s",
               section_is_named(section) ? "the section needs a name: task.title.ttl=2d"
                                         : "this section has no name: SECTION.KEY=VALUE");
        return;
    }
    char *owned = mem_strndup(name.len > 0 ? name.ptr : "", name.len);
    struct assignment a = {.section = section, .name = owned, .source = source};
    a.place = place;
    assignments_add(r, &a, span_make(text + last + 1, equals - last - 1),
                    span_make(text + equals + 1, all.len - equals - 1));
    free(owned);
}

static void assign_server(struct assignments *r, const char *key, const char *place,
                          const char *text)
{
    struct target t = {SECTION_SERVER, SPAN_NONE, option_find(SECTION_SERVER, span_of(key))};
    if (text != NULL) {
        assign_text(r, &t, SOURCE_ARGUMENT, place, span_of(text));
    }
}

void read_arguments(struct assignments *r, const struct config_sources *s)
{
    struct buf listen = {.max = 64 * 1024};
    for (size_t i = 0; i < s->listen.count; i++) {
        buf_text(&listen, "%s%s", i > 0 ? " " : "", s->listen.items[i]);
    }
    enum err e = buf_append_char(&listen, '\0');
    if (s->listen.count > 0 && e == ERR_OK) {
        assign_server(r, "listen", "--listen", listen.data);
    }
    buf_free(&listen);
    if (s->upstream != NULL) {
        assign_default_upstream(r, SOURCE_ARGUMENT, "--upstream", s->upstream);
    }
    assign_server(r, "data_dir", "--data-dir", s->data_dir);
    assign_server(r, "control", "--control", s->control);
    for (size_t i = 0; i < s->sets.count; i++) {
        read_set(r, s->sets.items[i], SOURCE_ARGUMENT);
    }
    for (size_t i = 0; i < s->live.count; i++) {
        read_set(r, s->live.items[i], SOURCE_LIVE);
    }
}
