/* value.c: each value of the configuration with its origin, for --print-config and reloads. */
#include "config/config_priv.h"

#include <stdio.h>
#include <stdlib.h>

enum { VALUE_NAME_MAX = 192 };

static void record(struct config *c, const char *prefix, const struct option *o,
                   const struct assignment *a, const char *text)
{
    char name[VALUE_NAME_MAX];
    if (c->count == c->capacity) {
        c->capacity = c->capacity == 0 ? 256 : c->capacity * 2;
        c->values = mem_have(realloc(c->values, c->capacity * sizeof *c->values));
    }
    snprintf(name, sizeof name, "%s.%s", prefix, o->key);
    c->values[c->count++] = (struct value){.name = mem_strdup(name),
                                           .option = o,
                                           .text = mem_strdup(text),
                                           .source = a == NULL ? SOURCE_DEFAULT : a->source,
                                           .place = mem_strdup(a == NULL ? "" : a->place),
                                           .of_tasks = a != NULL && o->section != OPTION_TASKS &&
                                                       a->section == SECTION_TASKS};
}

void value_add(struct config *c, struct assignments *r, const char *prefix, const struct option *o,
               const struct assignment *a, const char *def, void *base)
{
    struct buf why = {.max = 1024};
    const char *text = a != NULL ? a->text : def;
    bool empty_default = a == NULL && text[0] == '\0' && o->type == TYPE_URL;
    if (!empty_default && !value_read(o, text, base, &why)) {
        report_error(r, a, "%s: %.*s", o->key, (int)why.len, why.len > 0 ? why.data : "");
    }
    record(c, prefix, o, a, text);
    buf_free(&why);
}

const struct value *value_find(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->count; i++) {
        if (strcmp(c->values[i].name, name) == 0) {
            return &c->values[i];
        }
    }
    return NULL;
}

const char *value_place(const struct value *v)
{
    switch (v->source) {
    case SOURCE_FILE:
        return v->place;
    case SOURCE_ENVIRONMENT:
        return "environment";
    case SOURCE_ARGUMENT:
        return "argument";
    case SOURCE_LIVE:
        return "control socket";
    default:
        return "default";
    }
}

bool settings_is_key_header(struct span name)
{
    static const char *const words[] = {"key", "auth", "token", "secret", "cookie", "pass"};
    bool secret = false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        struct span word = span_of(words[i]);
        for (size_t at = 0; at + word.len <= name.len; at++) {
            secret = secret || span_eq_nocase(span_make(name.ptr + at, word.len), word);
        }
    }
    return secret;
}

/* "NAME: value; NAME: value", the values that may be keys masked. */
static void mask_headers(struct span all, struct buf *out)
{
    for (size_t at = 0; at < all.len;) {
        size_t semicolon = span_find(all, SPAN(";"), at);
        size_t end = semicolon == SIZE_MAX ? all.len : semicolon + 1;
        struct span entry = span_make(all.ptr + at, end - at);
        size_t colon = span_find(entry, SPAN(":"), 0);
        if (colon != SIZE_MAX && settings_is_key_header(span_make(entry.ptr, colon))) {
            buf_text(out, "%.*s: ***%s", (int)colon, entry.ptr, semicolon == SIZE_MAX ? "" : ";");
        } else {
            buf_text(out, "%.*s", (int)entry.len, entry.ptr);
        }
        at = end;
    }
}

char *value_shown(const struct value *v)
{
    enum option_type type = v->option->type;
    const char *at = type == TYPE_PROXY ? strrchr(v->text, '@') : NULL;
    struct buf masked = {.max = 4096};
    if (at != NULL) {
        buf_text(&masked, "http://***%s", at);
    } else if (type == TYPE_SECRET && v->text[0] != '\0') {
        buf_text(&masked, "***");
    } else if (type == TYPE_HEADERS) {
        mask_headers(span_of(v->text), &masked);
    } else {
        return mem_strdup(v->text);
    }
    char *shown = mem_strndup(masked.len > 0 ? masked.data : "", masked.len);
    buf_free(&masked);
    return shown;
}

void values_free(struct config *c)
{
    for (size_t i = 0; i < c->count; i++) {
        free(c->values[i].name);
        free(c->values[i].text);
        free(c->values[i].place);
    }
    free(c->values);
}
