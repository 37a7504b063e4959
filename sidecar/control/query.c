/* query.c: the query of a control request: names are checked, values decoded once into one buffer.
 */
#include "control/control_priv.h"

#include "lull/base/ascii.h"
#include "lull/config/options.h"

enum { LIMIT_DEFAULT = 100, LIMIT_MAX = 1000, DECODED_MAX = 16 * 1024 };

/* Percent-decoding, "+" is a blank. Bytes stay in text, whose memory was reserved before. */
static bool decode_value(struct buf *text, struct span s, struct span *out)
{
    size_t start = text->len;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i] == '+' ? ' ' : s.ptr[i];
        if (c == '%') {
            int high = i + 2 < s.len ? ascii_hex_value(s.ptr[i + 1]) : -1;
            int low = i + 2 < s.len ? ascii_hex_value(s.ptr[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            c = (char)(high << 4 | low);
            i += 2;
        }
        text->data[text->len++] = c;
    }
    *out = span_make(text->data + start, text->len - start);
    text->data[text->len++] = '\0';
    return strlen(out->ptr) == out->len;
}

bool control_query_number(struct span s, int64_t max, int64_t *out)
{
    int64_t n = 0;
    bool good = s.len > 0 && s.len < 19; /* of that many digits, none overflows */
    for (size_t i = 0; i < s.len && good; i++) {
        good = ascii_is_digit(s.ptr[i]);
        n = 10 * n + (s.ptr[i] - '0');
    }
    *out = good ? n : -1;
    return good && n <= max;
}

static bool refuse_word(struct buf *why, const char *text, struct span word)
{
    buf_text(why, "%s%.*s", text, (int)(word.len < 64 ? word.len : 64), word.ptr);
    return false;
}

bool control_query_duration(struct span name, struct span value, usec_t least, usec_t most,
                            usec_t *out, struct buf *why)
{
    const struct option duration = {.type = TYPE_DURATION, .min = least, .max = most};
    struct buf text = {.max = 256};
    bool good = value_read(&duration, value.ptr, out, &text);
    if (!good) {
        buf_text(why, "%.*s: %.*s", (int)name.len, name.ptr, (int)text.len, text.data);
    }
    buf_free(&text);
    return good;
}

bool control_query_kind(const struct settings *settings, struct span name, struct buf *why)
{
    const char *names[256];
    size_t count = 0;
    if (settings_find_kind(settings, name) != KIND_NONE) {
        return true;
    }
    while (count < settings->kind_count && count < sizeof names / sizeof names[0]) {
        names[count] = settings->kinds[count].name;
        count++;
    }
    const char *close = nearest_kind(name);
    close = close == NULL ? nearest(name, names, count) : close;
    buf_text(why, "there is no kind '%.*s'", (int)(name.len < 64 ? name.len : 64), name.ptr);
    buf_text(why, close != NULL ? "; did you mean '%s'?" : "; there are ", close);
    for (size_t i = 0; close == NULL && i < count; i++) {
        buf_text(why, "%s%s", i == 0 ? "" : ", ", names[i]);
    }
    return false;
}

struct taking {
    struct control_query *q;
    const struct settings *settings;
    wall_t now;
    struct buf *why;
};

static bool take_parameter(void *ctx, struct span name, struct span value)
{
    struct taking *r = ctx;
    struct control_query *q = r->q;
    struct buf *why = r->why;
    int64_t n = 0;
    if (span_eq(name, SPAN("limit"))) {
        bool ok = control_query_number(value, INT32_MAX, &n);
        q->page = true;
        q->limit = n > LIMIT_MAX ? LIMIT_MAX : (size_t)(ok ? n : 0);
        return ok || refuse_word(why, "limit is a number, not ", value);
    }
    if (span_eq(name, SPAN("after"))) {
        q->page = true;
        return control_query_number(value, INT64_MAX, &q->after) ||
               refuse_word(why, "after is a number, not ", value);
    }
    if (span_eq(name, SPAN("all"))) {
        q->all = span_eq(value, SPAN("yes"));
        return q->all || refuse_word(why, "write all=yes, not ", value);
    }
    q->any = true;
    if (value.len == 0) {
        return refuse_word(why, "empty condition: ", name);
    }
    if (span_eq(name, SPAN("older"))) {
        bool ok = control_query_duration(name, value, 0, INT64_MAX, &n, why);
        q->filter.older.us = r->now.us > n ? r->now.us - n : 1;
        return ok;
    }
    if (span_eq(name, SPAN("kind")) && !control_query_kind(r->settings, value, why)) {
        return false;
    }
    struct span *field = span_eq(name, SPAN("kind"))    ? &q->filter.kind
                         : span_eq(name, SPAN("scope")) ? &q->filter.scope
                         : span_eq(name, SPAN("model")) ? &q->filter.model
                                                        : NULL;
    if (field == NULL) {
        return refuse_word(why, "there are kind, scope, model, older, limit, after and all; not ",
                           name);
    }
    *field = value;
    return true;
}

/* Whether a parameter of that name stands in the query before. */
static bool is_repeated(struct span before, struct span name)
{
    for (struct span part; span_next(&before, '&', &part);) {
        size_t equals = span_find(part, SPAN("="), 0);
        if (equals != SIZE_MAX && span_eq(span_make(part.ptr, equals), name)) {
            return true;
        }
    }
    return false;
}

bool control_query_walk(struct span query, struct buf *text,
                        bool (*take)(void *ctx, struct span name, struct span value), void *ctx,
                        struct buf *why)
{
    const char *start = query.ptr;
    enum err e = buf_reserve(text, query.len * 2 + 16);
    if (e != ERR_OK) {
        return e == ERR_NOMEM ? false : refuse_word(why, "the query is too long", SPAN(""));
    }
    for (struct span part; span_next(&query, '&', &part);) {
        size_t equals = span_find(part, SPAN("="), 0);
        struct span value;
        if (part.len == 0) {
            continue;
        }
        if (equals == SIZE_MAX ||
            !decode_value(text, span_make(part.ptr + equals + 1, part.len - equals - 1), &value)) {
            return refuse_word(why, "not NAME=VALUE: ", part);
        }
        struct span name = span_make(part.ptr, equals);
        if (is_repeated(span_make(start, (size_t)(part.ptr - start)), name)) {
            return refuse_word(why, "given twice: ", name);
        }
        if (!take(ctx, name, value)) {
            return false;
        }
    }
    return true;
}

bool control_query_parse(struct control_query *q, struct span query,
                         const struct settings *settings, wall_t now, struct buf *why)
{
    struct taking r = {q, settings, now, why};
    *q = (struct control_query){.limit = LIMIT_DEFAULT, .text = {.max = DECODED_MAX}};
    return control_query_walk(query, &q->text, take_parameter, &r, why);
}

void control_query_free(struct control_query *q)
{
    buf_free(&q->text);
}
