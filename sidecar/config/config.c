/* config.c: the configuration as a whole: read, print, compare. See config_priv.h for the parts.
 *
 * All errors of all sources are reported before reading fails, so that one run shows them all.
 */
#include "config/config_priv.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

enum { SHOWN_MAX = 80 /* of a value in a list of changes */ };

struct config *config_read(const struct config_sources *sources, struct buf *errors,
                           struct buf *warnings)
{
    struct config *c = mem_new(sizeof *c);
    struct assignments r = {.errors = errors,
                            .warnings = warnings,
                            .most_connections = sources->most_connections,
                            .config = c,
                            .same = sources->same_files};
    size_t before = errors->len;
    c->settings = mem_new(sizeof *c->settings);
    c->settings->refs = 1;
    if (sources->file != NULL) {
        read_file(&r, sources->file, sources->file_optional);
    }
    read_environment(&r, sources->environment);
    read_arguments(&r, sources);
    build_settings(c, &r);
    assignments_free(&r);
    if (errors->len != before) {
        config_destroy(c);
        return NULL;
    }
    policies_digest(c->settings);
    return c;
}

void config_destroy(struct config *c)
{
    if (c == NULL) {
        return;
    }
    values_free(c);
    settings_unref(c->settings);
    for (size_t i = 0; i < c->file_count; i++) {
        free(c->files[i].path);
        buf_free(&c->files[i].text);
    }
    free(c->files);
    free(c);
}

struct settings *config_settings(const struct config *c)
{
    return c->settings;
}

void config_say(const struct config *c, const char *name, const char *text, struct buf *out)
{
    const struct value *v = value_find(c, name);
    if (v == NULL) {
        report(out, SOURCE_DEFAULT, "", "%s: %s", name, text);
    } else {
        report(out, v->source, v->place, "%s: %s", v->option->key, text);
    }
}

char *config_value(const struct config *c, const char *name)
{
    const struct value *v = value_find(c, name);
    return v == NULL ? NULL : value_shown(v);
}

static void append_span(struct buf *out, struct span s)
{
    enum err e = buf_append_span(out, s);
    if (e != ERR_OK) {
        out->max = out->len;
    }
}

void config_quote(const char *text, struct buf *out)
{
    struct span s = span_of(text);
    bool plain = span_trim(s).len == s.len && strpbrk(text, "\n\t#") == NULL && text[0] != '"';
    if (plain) {
        append_span(out, s);
        return;
    }
    buf_text(out, "\"");
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '\n' || *c == '\t') {
            buf_text(out, *c == '\n' ? "\\n" : "\\t");
        } else {
            buf_text(out, "%s%c", *c == '"' || *c == '\\' ? "\\" : "", *c);
        }
    }
    buf_text(out, "\"");
}

void config_print(const struct config *c, struct buf *out)
{
    for (size_t i = 0; i < c->count; i++) {
        char *shown = value_shown(&c->values[i]);
        buf_text(out, "%s = ", c->values[i].name);
        config_quote(shown, out);
        free(shown);
        buf_text(out, "  (%s)\n", value_place(&c->values[i]));
    }
}

void config_print_json(const struct config *c, const char *section, struct buf *out)
{
    cJSON *all = cJSON_CreateObject();
    for (size_t i = 0; i < c->count; i++) {
        if (!span_starts(span_of(c->values[i].name), span_of(section))) {
            continue;
        }
        cJSON *one = cJSON_AddObjectToObject(all, c->values[i].name + strlen(section));
        char *shown = value_shown(&c->values[i]);
        cJSON_AddStringToObject(one, "value", shown);
        free(shown);
        cJSON_AddStringToObject(one, "origin", value_place(&c->values[i]));
    }
    char *text = cJSON_PrintUnformatted(all);
    if (text == NULL) {
        cJSON_Delete(all);
        return;
    }
    append_span(out, span_of(text));
    cJSON_free(text);
    cJSON_Delete(all);
}

static void append_default(const struct option *o, struct buf *out)
{
    char path[4096];
    if (strcmp(o->def, "@") != 0) {
        buf_text(out, "%s", o->def);
    } else if (o->section == OPTION_SERVER) {
        build_default_path(o, path, sizeof path);
        buf_text(out, "%s", path);
    } else {
        policies_defaults(o, out);
    }
}

void config_help(struct buf *out)
{
    const char *last = "";
    for (size_t i = 0; i < option_count; i++) {
        const struct option *o = &options[i];
        const char *title = option_place(o);
        if (o->absent) {
            continue;
        }
        if (strcmp(title, last) != 0) {
            buf_text(out, "%s%s\n", last[0] != '\0' ? "\n" : "", title);
            last = title;
        }
        buf_text(out, "  %s = ", o->key);
        append_default(o, out);
        buf_text(out, "\n      ");
        option_describe(o, out);
        buf_text(out, "; %s\n      %s\n", o->reload ? "a reload changes it" : "needs a restart",
                 o->help);
    }
}

/* A key file may hold another key while its name is the same. */
static bool keys_differ(const struct config *a, const struct config *b, const char *name)
{
    const char prefix[] = "upstream.";
    struct span s = span_of(name);
    if (!span_starts(s, SPAN("upstream.")) || !span_ends(s, SPAN(".api_key"))) {
        return false;
    }
    struct span own = span_make(name + sizeof prefix - 1, s.len - (sizeof prefix - 1) - 8);
    int in_a = settings_find_upstream(a->settings, own);
    int in_b = settings_find_upstream(b->settings, own);
    return in_a >= 0 && in_b >= 0 &&
           strcmp(a->settings->upstreams[in_a].api_key, b->settings->upstreams[in_b].api_key) != 0;
}

struct diff {
    const struct config *a, *b;
    struct buf *names, *applied, *fixed;
};

static bool has_section(const struct config *c, struct span prefix)
{
    for (size_t i = 0; i < c->count; i++) {
        struct span name = span_of(c->values[i].name);
        if (span_starts(name, prefix) && name.len > prefix.len && name.ptr[prefix.len] == '.') {
            return true;
        }
    }
    return false;
}

/* name: a line of its own in diff.names; false: it is there. */
static bool add_name(const struct diff *d, struct span name)
{
    struct span rest = buf_span(d->names);
    for (struct span line; span_next(&rest, '\n', &line);) {
        if (span_eq(line, name)) {
            return false;
        }
    }
    buf_text(d->names, "%.*s\n", (int)name.len, name.ptr);
    return true;
}

/* The value that [tasks] says for all kinds; NULL: it does not say that key. */
static const char *tasks_say(const struct config *c, const struct option *o)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->values[i].of_tasks && c->values[i].option == o) {
            return c->values[i].text;
        }
    }
    return NULL;
}

/* Whether v changed because a line of [tasks] came, went, or says another value. *gone: it went. */
static bool is_change_of_tasks(const struct diff *d, const struct value *v, bool *gone)
{
    const char *was = tasks_say(d->a, v->option), *now = tasks_say(d->b, v->option);
    *gone = was != NULL && now == NULL && v->source == SOURCE_DEFAULT;
    return *gone || (v->of_tasks && (was == NULL || strcmp(was, now) != 0));
}

/* "NAME = VALUE", or "NAME removed" where v is NULL. */
static void add_value(struct buf *to, struct span name, const struct value *v)
{
    const char *comma = to->len > 0 ? ", " : "";
    if (v == NULL) {
        buf_text(to, "%s%.*s removed", comma, (int)name.len, name.ptr);
    } else {
        char *shown = value_shown(v);
        buf_text(to, "%s%.*s = %.*s", comma, (int)name.len, name.ptr, SHOWN_MAX, shown);
        free(shown);
    }
}

/* v differs from the value of that name on the other side. removed: there it is none any more. */
static void add_change(const struct diff *d, const struct value *v, bool removed)
{
    struct span name = span_of(v->name);
    struct span prefix = span_make(v->name, span_rfind(name, SPAN(".")));
    struct buf *to = v->option->reload ? d->applied : d->fixed;
    const char *comma = to->len > 0 ? ", " : "";
    char all[80];
    if (!has_section(removed ? d->b : d->a, prefix)) {
        if (add_name(d, prefix)) {
            buf_text(to, "%s%.*s %s", comma, (int)prefix.len, prefix.ptr,
                     removed ? "removed" : "added");
        }
        return;
    }
    bool gone = false, of_tasks = is_change_of_tasks(d, v, &gone);
    if (of_tasks) {
        snprintf(all, sizeof all, "tasks.%s", v->option->key);
        name = span_of(all);
    }
    if (add_name(d, name)) {
        add_value(to, name, gone || removed ? NULL : v);
    }
}

void config_diff(const struct config *a, const struct config *b, struct buf *names,
                 struct buf *applied, struct buf *fixed)
{
    struct diff d = {a, b, names, applied, fixed};
    for (size_t i = 0; i < b->count; i++) {
        const struct value *was = value_find(a, b->values[i].name);
        if (was == NULL || strcmp(was->text, b->values[i].text) != 0 ||
            keys_differ(a, b, b->values[i].name)) {
            add_change(&d, &b->values[i], false);
        }
    }
    for (size_t i = 0; i < a->count; i++) {
        if (value_find(b, a->values[i].name) == NULL) {
            add_change(&d, &a->values[i], true);
        }
    }
}

static void replace_text(char **to, const char *text)
{
    free(*to);
    *to = mem_strdup(text);
}

/* The field of an option of [server] that only a restart changes. */
static void copy_field(const struct option *o, const struct server_settings *from,
                       struct server_settings *to)
{
    const void *source = (const char *)from + o->offset;
    void *target = (char *)to + o->offset;
    require(o->section == OPTION_SERVER);
    switch (o->type) {
    case TYPE_PATH:
    case TYPE_TEXT:
        replace_text(target, *(char *const *)source);
        break;
    case TYPE_ADDRESSES:
        strings_free(target);
        *(struct strings *)target = strings_copy(source);
        break;
    default:
        require(o->type == TYPE_MODE);
        memcpy(target, source, sizeof from->control_mode);
        break;
    }
}

void config_keep_fixed(struct config *c, const struct config *running)
{
    for (size_t i = 0; i < c->count; i++) {
        struct value *v = &c->values[i];
        const struct value *was = v->option->reload ? NULL : value_find(running, v->name);
        if (was != NULL) {
            replace_text(&v->text, was->text);
            replace_text(&v->place, was->place);
            v->source = was->source;
            copy_field(v->option, &running->settings->server, &c->settings->server);
        }
    }
}
