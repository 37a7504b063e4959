/* assignments.c: the list of assignments that all sources fill, and the words for what is wrong. */
#include "config/config_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MESSAGE_MAX = 1024, ASSIGNMENTS_MAX = 20000 };

static void say_list(struct buf *to, enum source source, const char *place, const char *fmt,
                     va_list args)
{
    char text[MESSAGE_MAX];
    vsnprintf(text, sizeof text, fmt, args);
    for (char *c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            *c = '?';
        }
    }
    const char *word = source == SOURCE_ENVIRONMENT ? "environment "
                       : source == SOURCE_ARGUMENT  ? "argument "
                                                    : "";
    if (place[0] == '\0') {
        buf_text(to, "lulld: %s\n", text);
    } else {
        buf_text(to, "%s%s: %s\n", word, place, text);
    }
}

void say(struct buf *to, enum source source, const char *place, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say_list(to, source, place, fmt, args);
    va_end(args);
}

void say_about(struct reading *r, const struct assignment *a, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say_list(r->errors, a == NULL ? SOURCE_DEFAULT : a->source, a == NULL ? "" : a->place, fmt,
             args);
    va_end(args);
}

static void keep(struct reading *r, const struct assignment *a)
{
    if (r->count == ASSIGNMENTS_MAX) {
        say(r->errors, a->source, a->place, "more than %d settings", ASSIGNMENTS_MAX);
        return;
    }
    if (r->count == r->capacity) {
        r->capacity = r->capacity == 0 ? 64 : r->capacity * 2;
        r->items = realloc(r->items, r->capacity * sizeof *r->items);
        require(r->items != NULL);
    }
    r->items[r->count++] = *a;
}

void reading_head(struct reading *r, enum section section, struct span name, enum source source,
                  const char *place)
{
    struct assignment a = {.section = section,
                           .name = mem_strndup(name.len > 0 ? name.ptr : "", name.len),
                           .text = mem_strdup(""),
                           .source = source,
                           .place = mem_strdup(place)};
    keep(r, &a);
}

static const char *nearest_key(enum section section, struct span key)
{
    const char *keys[128];
    size_t count = 0;
    for (size_t i = 0; i < option_count && count < sizeof keys / sizeof keys[0]; i++) {
        if (section_has(section, &options[i]) && !options[i].absent) {
            keys[count++] = options[i].key;
        }
    }
    return nearest(key, keys, count);
}

static void unknown_key(struct reading *r, const struct assignment *target, struct span key)
{
    const char *close = nearest_key(target->section, key);
    say(r->errors, target->source, target->place, "unknown key '%.*s' in [%s%s%s]%s%s%s",
        (int)(key.len > 64 ? 64 : key.len), key.ptr, section_word(target->section),
        target->name[0] != '\0' ? " " : "", target->name, close != NULL ? "; did you mean '" : "",
        close != NULL ? close : "", close != NULL ? "'?" : "; lulld --help-config lists all keys");
}

/* A key given twice in one file. */
static bool is_repeated(struct reading *r, const struct assignment *target, const struct option *o)
{
    const struct assignment *before = reading_find(r, target->section, target->name, o);
    if (target->source != SOURCE_FILE || before == NULL || before->source != SOURCE_FILE) {
        return false;
    }
    say(r->errors, target->source, target->place, "%s is already set at %s", o->key, before->place);
    return true;
}

void reading_assign(struct reading *r, const struct assignment *target, struct span key,
                    struct span text)
{
    const struct option *o = option_find(target->section, key);
    if (o == NULL) {
        unknown_key(r, target, key);
        return;
    }
    if (o->absent) {
        say(r->errors, target->source, target->place,
            o->instead != NULL ? "%s is called %s now" : "%s is not supported in this version",
            o->key, o->instead);
        return;
    }
    if (is_repeated(r, target, o)) {
        return;
    }
    struct assignment a = {.section = target->section,
                           .name = mem_strdup(target->name),
                           .option = o,
                           .text = mem_strndup(text.len > 0 ? text.ptr : "", text.len),
                           .source = target->source,
                           .place = mem_strdup(target->place)};
    keep(r, &a);
}

const struct assignment *reading_find(const struct reading *r, enum section section,
                                      const char *name, const struct option *o)
{
    for (size_t i = r->count; i > 0; i--) {
        const struct assignment *a = &r->items[i - 1];
        if (a->section == section && a->option == o && strcmp(a->name, name) == 0) {
            return a;
        }
    }
    return NULL;
}

void reading_free(struct reading *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free(r->items[i].name);
        free(r->items[i].text);
        free(r->items[i].place);
    }
    free(r->items);
}

/* Descriptor to buffer; errno and false on failure. */
static bool read_all(int fd, struct buf *out)
{
    for (;;) {
        if (buf_reserve(out, 4096) != ERR_OK) {
            errno = EFBIG;
            return false;
        }
        ssize_t n = read(fd, out->data + out->len, out->cap - out->len);
        if (n < 0 && errno != EINTR) {
            return false;
        }
        if (n == 0) {
            return true;
        }
        out->len += n > 0 ? (size_t)n : 0;
    }
}

bool slurp(struct reading *r, enum source source, const char *place, const char *path,
           struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool ok = fd >= 0 && read_all(fd, out);
    if (!ok) {
        int errnum = errno;
        if (source == SOURCE_FILE) {
            say(r->errors, source, place, "cannot be read: %s", strerror(errnum));
        } else {
            say(r->errors, source, place, "%s cannot be read: %s", path, strerror(errnum));
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}
