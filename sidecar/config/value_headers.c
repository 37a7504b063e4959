/* value_headers.c: headers as a value: "NAME: value; NAME: value". */
#include "config/config_priv.h"

#include "lull/base/ascii.h"

#include <stdlib.h>

enum { VALUE_HEADERS_MAX = 2048 };

/* Made for each connection or by an option of its own: a fixed value would break requests. */
static bool is_own_header(struct span name)
{
    static const char *const own[] = {
        "Host",         "Content-Length",    "Content-Type", "Connection",
        "TE",           "Transfer-Encoding", "Upgrade",      "Trailer",
        "Expect",       "Accept-Encoding",   "Via",          "Keep-Alive",
        "Authorization"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (span_eq_nocase(name, span_of(own[i]))) {
            return true;
        }
    }
    return false;
}

/* Appends one "NAME: value" as a line of a head. */
static bool read_header(struct span entry, struct buf *lines, struct buf *why)
{
    size_t colon = span_find(entry, SPAN(":"), 0);
    struct span name = span_make(entry.ptr, colon == SIZE_MAX ? 0 : colon);
    struct span value = colon == SIZE_MAX
                            ? SPAN_NONE
                            : span_trim(span_make(entry.ptr + colon + 1, entry.len - colon - 1));
    bool good = name.len > 0 && value.len > 0;
    for (size_t i = 0; i < name.len; i++) {
        good = good && ascii_is_token(name.ptr[i]);
    }
    for (size_t i = 0; i < value.len; i++) {
        good = good && value.ptr[i] >= ' ' && value.ptr[i] <= '~';
    }
    if (!good) {
        buf_text(why, "write NAME: value, several separated by ;");
        return false;
    }
    if (is_own_header(name)) {
        buf_text(why, "%.*s cannot be set", (int)name.len, name.ptr);
        return false;
    }
    buf_text(lines, "%.*s: %.*s\r\n", (int)name.len, name.ptr, (int)value.len, value.ptr);
    return true;
}

bool value_read_headers(const struct option *o, const char *text, char **out, struct buf *why)
{
    struct buf lines = {.max = 4096};
    struct span rest = span_of(text);
    bool good = rest.len <= VALUE_HEADERS_MAX;
    int64_t count = 0;
    for (struct span entry; good && span_next(&rest, ';', &entry);) {
        entry = span_trim(entry);
        if (entry.len > 0) {
            good = ++count <= o->max && read_header(entry, &lines, why);
        }
    }
    if (!good && why->len == 0) {
        buf_text(why, "at most %lld headers in %d bytes", (long long)o->max, VALUE_HEADERS_MAX);
    }
    *out = mem_strndup(lines.len > 0 ? lines.data : "", lines.len);
    buf_free(&lines);
    return good;
}
