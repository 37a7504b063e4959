/* assignments.c: the list of assignments that all sources fill, and the messages about them. */
#include "config/config_priv.h"

#include "lull/base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MESSAGE_MAX = 1024, ASSIGNMENTS_MAX = 20000 };

/* Whether that line is there already. */
static bool has_line(const struct buf *to, struct span line)
{
    struct span all = buf_span(to);
    size_t at = span_find(all, line, 0);
    while (at != SIZE_MAX && at > 0 && all.ptr[at - 1] != '\n') {
        at = span_find(all, line, at + 1);
    }
    return at != SIZE_MAX;
}

static void append_line(struct buf *to, bool once, enum source source, const char *place,
                        const char *fmt, va_list args)
{
    char text[MESSAGE_MAX];
    struct buf line = {.max = 4 * MESSAGE_MAX};
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
        buf_text(&line, "lulld: %s\n", text);
    } else {
        buf_text(&line, "%s%s: %s\n", word, place, text);
    }
    if (!once || !has_line(to, buf_span(&line))) {
        buf_text(to, "%.*s", (int)line.len, line.data);
    }
    buf_free(&line);
}

void report(struct buf *to, enum source source, const char *place, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    append_line(to, false, source, place, fmt, args);
    va_end(args);
}

void report_error(struct assignments *r, const struct assignment *a, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    append_line(r->errors, true, a == NULL ? SOURCE_DEFAULT : a->source, a == NULL ? "" : a->place,
                fmt, args);
    va_end(args);
}

void report_warning(struct assignments *r, const struct assignment *a, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    append_line(r->warnings, true, a == NULL ? SOURCE_DEFAULT : a->source,
                a == NULL ? "" : a->place, fmt, args);
    va_end(args);
}

static void append_item(struct assignments *r, const struct assignment *a)
{
    if (r->count == ASSIGNMENTS_MAX) {
        report(r->errors, a->source, a->place, "more than %d settings", ASSIGNMENTS_MAX);
        return;
    }
    if (r->count == r->capacity) {
        r->capacity = r->capacity == 0 ? 64 : r->capacity * 2;
        r->items = mem_have(realloc(r->items, r->capacity * sizeof *r->items));
    }
    r->items[r->count++] = *a;
}

void assignments_add_section(struct assignments *r, enum section section, struct span name,
                             enum source source, const char *place)
{
    struct assignment a = {.section = section,
                           .name = mem_strndup(name.len > 0 ? name.ptr : "", name.len),
                           .text = mem_strdup(""),
                           .source = source,
                           .place = mem_strdup(place)};
    append_item(r, &a);
}

static void unknown_key(struct assignments *r, const struct assignment *target, struct span key)
{
    struct buf hint = {.max = 2048};
    suggest_key(target->section, key, &hint);
    report(r->errors, target->source, target->place, "unknown key '%.*s' in [%s%s%s]%.*s",
           (int)(key.len > WORD_MAX ? WORD_MAX : key.len), key.ptr, section_word(target->section),
           target->name[0] != '\0' ? " " : "", target->name, (int)hint.len,
           hint.len > 0 ? hint.data : "");
    buf_free(&hint);
}

/* A key given twice in one file, or two values of it by two variables (LULL_UPSTREAM and
 * LULL_UPSTREAM_DEFAULT_URL, X and X_FILE), which have no order. */
static bool is_repeated(struct assignments *r, const struct assignment *target,
                        const struct option *o, struct span text)
{
    const struct assignment *before = assignments_find(r, target->section, target->name, o);
    bool twice = before != NULL && before->source == target->source;
    bool of_files = target->source == SOURCE_FILE;
    bool of_variables =
        target->source == SOURCE_ENVIRONMENT && twice && !span_eq(span_of(before->text), text);
    if (!twice || (!of_files && !of_variables)) {
        return false;
    }
    report(r->errors, target->source, target->place, "%s is already set at %s", o->key,
           before->place);
    return true;
}

/* In a file a line has none, and quotes give line feeds and tabs. */
static bool has_control_character(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if ((c < ' ' && c != '\n' && c != '\t') || c == 0x7f) {
            return true;
        }
    }
    return false;
}

void assignments_add(struct assignments *r, const struct assignment *target, struct span key,
                     struct span text)
{
    const struct option *o = option_find(target->section, key);
    if (o == NULL) {
        unknown_key(r, target, key);
        return;
    }
    if (o->absent) {
        report(r->errors, target->source, target->place,
               o->instead != NULL ? "%s is called %s now" : "%s is not supported in this version",
               o->key, o->instead);
        return;
    }
    if (is_repeated(r, target, o, text)) {
        return;
    }
    if (has_control_character(text)) {
        report(r->errors, target->source, target->place, "%s: a control character", o->key);
        return;
    }
    if (o->type != TYPE_PATH && !utf8_valid(text)) {
        report(r->errors, target->source, target->place, "%s: the text is not UTF-8%s", o->key,
               target->source == SOURCE_FILE ? "; save the file as UTF-8" : "");
        return;
    }
    struct assignment a = {.section = target->section,
                           .name = mem_strdup(target->name),
                           .option = o,
                           .text = mem_strndup(text.len > 0 ? text.ptr : "", text.len),
                           .source = target->source,
                           .place = mem_strdup(target->place)};
    append_item(r, &a);
}

const struct assignment *assignments_find(const struct assignments *r, enum section section,
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

const struct assignment *assignments_find_key(const struct assignments *r, enum section section,
                                              const char *name, const char *key)
{
    return assignments_find(r, section, name, option_find(section, span_of(key)));
}

void assignments_free(struct assignments *r)
{
    for (size_t i = 0; i < r->count; i++) {
        free(r->items[i].name);
        free(r->items[i].text);
        free(r->items[i].place);
    }
    free(r->items);
}

/* Descriptor to buffer; errno and false on failure. A pipe can be read once: a reload would find nothing in it,
 * and its writer may be late. */
static bool read_all(int fd, struct buf *out)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode)) {
        errno = ESPIPE;
        return false;
    }
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

bool read_whole_file(struct assignments *r, enum source source, const char *place, const char *key,
                     const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool ok = fd >= 0 && read_all(fd, out);
    if (!ok) {
        const char *text =
            errno == ESPIPE ? "a pipe, which a reload could not read again" : strerror(errno);
        if (key == NULL) {
            report(r->errors, source, place, "cannot be read: %s", text);
        } else {
            report(r->errors, source, place, "%s: %s cannot be read: %s", key, path, text);
        }
    }
    if (ok && key != NULL && out->len > 0 && memchr(out->data, '\0', out->len) != NULL) {
        report(r->errors, source, place, "%s: %s holds a NUL byte, so it is no text", key, path);
        ok = false; /* the value would end there */
    }
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

static const struct file_text *kept_text(const struct config *c, const char *path)
{
    for (size_t i = 0; c != NULL && i < c->file_count; i++) {
        if (strcmp(c->files[i].path, path) == 0) {
            return &c->files[i];
        }
    }
    return NULL;
}

bool was_read(const struct assignments *r, const char *path)
{
    return kept_text(r->same, path) != NULL;
}

/* Two assignments may name the same file. */
static bool keep_text(struct config *c, const char *path, struct span text)
{
    struct buf copy = {.max = text.len + 1};
    if (kept_text(c, path) != NULL) {
        return true;
    }
    if (buf_append_span(&copy, text) != ERR_OK) {
        return false;
    }
    c->files = mem_have(realloc(c->files, (c->file_count + 1) * sizeof *c->files));
    c->files[c->file_count++] = (struct file_text){mem_strdup(path), copy};
    return true;
}

bool read_kept_file(struct assignments *r, enum source source, const char *place, const char *key,
                    const char *path, struct buf *out)
{
    const struct file_text *before = kept_text(r->same, path);
    if (before == NULL && !read_whole_file(r, source, place, key, path, out)) {
        return false;
    }
    bool ok = (before == NULL || buf_append_span(out, buf_span(&before->text)) == ERR_OK) &&
              keep_text(r->config, path, buf_span(out));
    if (!ok) {
        report(r->errors, source, place, "%s cannot be read: no memory", path);
    }
    return ok;
}
