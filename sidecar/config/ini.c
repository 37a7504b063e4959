/* ini.c: lull.conf as text: sections, keys, comments, quotes. (The packaged inih cuts lines at 200
 * characters, and prompts are longer.)
 *
 * A value is what follows "=" up to the end of the line or to a '#' after a blank, without blanks
 * around it; a '#' between double quotes is part of it, so that JSON can be written plainly. A
 * value that begins with '#' is refused: as a comment it would leave the key empty. A value that
 * begins with a double quote is a quoted one: \n \t \" and \\ are understood, and only a comment
 * may follow it. A line that fits no rule is an error with its number.
 */
#include "config/config_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILE_MAX = 1024 * 1024, PLACE_MAX = 4400 };

struct ini {
    struct assignments *r;
    const char *path;
    size_t line;
    char place[PLACE_MAX];
    bool in_section; /* a known one */
    bool had_section;
    enum section section;
    char *name;
};

static void report_line(struct ini *p, const char *text)
{
    report(p->r->errors, SOURCE_FILE, p->place, "%s", text);
    p->r->unread = true; /* it may have been what is missing then */
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Whether only blanks and a comment are left. */
static bool is_rest_empty(struct span s)
{
    s = span_trim(s);
    return s.len == 0 || s.ptr[0] == '#';
}

static struct span plain_value(struct span s)
{
    bool quoted = false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\\' && quoted) {
            i++;
        } else if (s.ptr[i] == '"') {
            quoted = !quoted;
        } else if (s.ptr[i] == '#' && !quoted && (i == 0 || is_blank(s.ptr[i - 1]))) {
            s.len = i;
        }
    }
    return span_trim(s);
}

static bool unescape_char(char c, char *out)
{
    switch (c) {
    case 'n':
        *out = '\n';
        return true;
    case 't':
        *out = '\t';
        return true;
    case '"':
    case '\\':
        *out = c;
        return true;
    default:
        return false;
    }
}

/* s begins after the opening quote. The text goes to out (as large as s). */
static bool quoted_value(struct ini *p, struct span s, char *out, size_t *len)
{
    *len = 0;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];
        if (c == '"') {
            if (is_rest_empty(span_make(s.ptr + i + 1, s.len - i - 1))) {
                return true;
            }
            report_line(p, "text after the closing quote");
            return false;
        }
        if (c == '\\') {
            if (i + 1 == s.len || !unescape_char(s.ptr[i + 1], &c)) {
                report_line(p, "in quotes, \\ is written \\\\; there are \\n, \\t, \\\" and \\\\");
                return false;
            }
            i++;
        }
        out[(*len)++] = c;
    }
    report_line(p, "the closing quote is missing");
    return false;
}

static void take_value(struct ini *p, struct span key, struct span value)
{
    struct assignment target = {
        .section = p->section, .name = p->name, .source = SOURCE_FILE, .place = p->place};
    value = span_trim(value);
    if (value.len > 0 && value.ptr[0] == '#') {
        report(p->r->errors, SOURCE_FILE, p->place,
               "%.*s: a # here begins a comment; a value with it is quoted: %.*s = \"# ...\"",
               (int)(key.len > WORD_MAX ? WORD_MAX : key.len), key.ptr,
               (int)(key.len > WORD_MAX ? WORD_MAX : key.len), key.ptr);
        return;
    }
    if (value.len == 0 || value.ptr[0] != '"') {
        assignments_add(p->r, &target, key, plain_value(value));
        return;
    }
    char *text = mem_new(value.len);
    size_t len = 0;
    if (quoted_value(p, span_make(value.ptr + 1, value.len - 1), text, &len)) {
        assignments_add(p->r, &target, key, span_make(text, len));
    }
    free(text);
}

/* Whether a blank of the key is none, which looks the same. Reports it. */
static bool has_no_break_space(struct ini *p, struct span key)
{
    bool no_break = span_find(key, SPAN("\xc2\xa0"), 0) != SIZE_MAX;
    if (no_break) {
        report_line(p, "a no-break space (U+00A0) before the =; write an ordinary one");
    }
    return no_break;
}

static void read_key(struct ini *p, struct span line)
{
    size_t equals = span_find(line, SPAN("="), 0);
    if (has_no_break_space(p, span_make(line.ptr, equals == SIZE_MAX ? 0 : equals))) {
        return;
    }
    if (equals == SIZE_MAX) {
        report_line(p, "expected [section], key = value or # comment");
        return;
    }
    if (!p->had_section) {
        report_line(p, "a key before the first [section]");
        return;
    }
    if (p->in_section) {
        take_value(p, span_trim(span_make(line.ptr, equals)),
                   span_make(line.ptr + equals + 1, line.len - equals - 1));
    }
}

static void unknown_section(struct ini *p, struct span word)
{
    static const char *const words[] = {"server", "upstream", "tasks", "task", "cache"};
    char plain[WORD_MAX + 1];
    const char *close = nearest(plain_word(word, plain), words, sizeof words / sizeof words[0]);
    const char *kind = close == NULL ? nearest_kind(word) : NULL;
    bool any = close != NULL || kind != NULL;
    report(
        p->r->errors, SOURCE_FILE, p->place,
        "unknown section [%.*s]%s%s%s%s; there are [server], [upstream NAME], [tasks], [task KIND] "
        "and [cache]",
        (int)(word.len > 64 ? 64 : word.len), word.ptr, any ? ", did you mean [" : "",
        kind != NULL ? "task " : "",
        kind != NULL ? kind
        : any        ? close
                     : "",
        any ? "]?" : "");
}

/* A section's name that is none, or that stands where none may. */
static void wrong_name(struct ini *p, bool named, struct span name)
{
    char plain[WORD_MAX + 1];
    const char *kind =
        p->section == SECTION_TASK || p->section == SECTION_TASKS ? nearest_kind(name) : NULL;
    const char *what =
        named ? "the section needs a name of a-z, 0-9 and _" : "this section has no name";
    struct span other = plain_word(name, plain);
    if (kind != NULL) {
        report(p->r->errors, SOURCE_FILE, p->place, "%s; did you mean [task %s]?", what, kind);
    } else if (named && name.len <= WORD_MAX && is_name(other)) {
        report(p->r->errors, SOURCE_FILE, p->place, "%s; write [%s %s]", what,
               section_word(p->section), plain);
    } else {
        report(p->r->errors, SOURCE_FILE, p->place, "%s%s%s", what, named ? ": " : "",
               !named                       ? ""
               : p->section == SECTION_TASK ? "[task title]"
                                            : "[upstream chat]");
    }
}

static void read_section(struct ini *p, struct span line)
{
    size_t end = span_find(line, SPAN("]"), 0);
    bool unread = p->r->unread;
    p->had_section = true;
    p->in_section = false;
    p->r->unread = true; /* until it is known */
    if (end == SIZE_MAX || !is_rest_empty(span_make(line.ptr + end + 1, line.len - end - 1))) {
        report_line(p, "a section is written [server] or [upstream NAME], alone on its line");
        return;
    }
    struct span inside = span_trim(span_make(line.ptr + 1, end - 1));
    size_t blank = 0;
    while (blank < inside.len && !is_blank(inside.ptr[blank])) {
        blank++;
    }
    struct span word = span_make(inside.ptr, blank);
    struct span name = span_trim(span_make(inside.ptr + blank, inside.len - blank));
    if (!section_parse(word, &p->section)) {
        unknown_section(p, word);
        return;
    }
    bool named = section_is_named(p->section);
    if (named ? !is_name(name) : name.len > 0) {
        wrong_name(p, named, name);
        return;
    }
    p->r->unread = unread;
    free(p->name);
    p->name = mem_strndup(name.len > 0 ? name.ptr : "", name.len);
    p->in_section = true;
    assignments_add_section(p->r, p->section, name, SOURCE_FILE, p->place);
}

static void read_line(struct ini *p, struct span line)
{
    line = span_trim(line);
    snprintf(p->place, sizeof p->place, "%s:%zu", p->path, p->line);
    if (line.len == 0 || line.ptr[0] == '#') {
        return;
    }
    for (size_t i = 0; i < line.len; i++) {
        unsigned char c = (unsigned char)line.ptr[i];
        if ((c < ' ' && c != '\t') || c == 0x7f) {
            report_line(p, c == '\r' ? "a line that ends with a carriage return alone, or has one "
                                       "within it; end lines with a line feed"
                                     : "a control character");
            return;
        }
    }
    if (line.ptr[0] == '[') {
        read_section(p, line);
    } else {
        read_key(p, line);
    }
}

/* UTF-16 with its mark, as an editor of Windows writes it ("Unicode"). */
static bool is_utf16(struct span text)
{
    return span_starts(text, SPAN("\xff\xfe")) || span_starts(text, SPAN("\xfe\xff"));
}

void read_ini(struct assignments *r, const char *path, struct span text)
{
    struct ini p = {.r = r, .path = path, .name = mem_strdup("")};
    if (is_utf16(text)) {
        snprintf(p.place, sizeof p.place, "%s:1", path);
        report_line(&p, "the file is UTF-16; save it as UTF-8");
        free(p.name);
        return;
    }
    if (span_starts(text, SPAN("\xef\xbb\xbf"))) {
        text = span_make(text.ptr + 3, text.len - 3);
    }
    for (struct span line; span_next(&text, '\n', &line);) {
        p.line++;
        read_line(&p, line);
    }
    free(p.name);
}

void read_file(struct assignments *r, const char *path, bool optional)
{
    struct buf text = {.max = FILE_MAX};
    if (optional && !(r->same == NULL ? access(path, F_OK) == 0 : was_read(r, path))) {
        r->missing = path;
        return;
    }
    r->unread = !read_kept_file(r, SOURCE_FILE, path, NULL, path, &text);
    if (!r->unread) {
        read_ini(r, path, buf_span(&text));
    }
    buf_free(&text);
}
