/* response_head.c: collects the head of an answer from libcurl's header lines.
 *
 * libcurl hands out every line, those of 1xx heads and trailers too. Each status line restarts,
 * and the first empty line after a status of 200 or more ends the head. Names, order, case and
 * values stay as they came; only what HTTP reserves for one connection is left out, and a folded
 * line is joined to the one before it, as a proxy must. Lines that are no header (no colon, bytes
 * that cannot be in a name) are dropped: they could not be passed on.
 */
#include "path/upstream/upstream_priv.h"

#include "lull/base/ascii.h"
#include "lull/base/scan.h"

#include <stdlib.h>

static void restart(struct answer_head *h)
{
    buf_clear(&h->text);
    h->count = 0;
    h->folds = 0;
    h->status = 0;
    h->reason_len = 0;
    h->chunked = false;
    h->coded = false;
    h->length = false;
    h->content_length = -1;
    h->encoded = false;
    h->unknown = false;
}

void head_begin(struct answer_head *h)
{
    buf_init(&h->text, UPSTREAM_MAX_HEAD);
    restart(h);
    h->final = false;
}

void head_free(struct answer_head *h)
{
    buf_free(&h->text);
    free(h->fields);
    h->fields = NULL;
    h->count = h->room = 0;
}

/* Room for one field more; ERR_TOO_LARGE: there are too many. */
static enum err make_room(struct answer_head *h)
{
    enum { FIRST = 16 };
    if (h->count < h->room) {
        return ERR_OK;
    }
    if (h->room == UPSTREAM_MAX_HEADERS) {
        return ERR_TOO_LARGE;
    }
    size_t room = h->room == 0 ? FIRST : 2 * h->room;
    room = room < UPSTREAM_MAX_HEADERS ? room : UPSTREAM_MAX_HEADERS;
    struct head_field *fields = realloc(h->fields, room * sizeof *fields);
    if (fields == NULL) {
        return ERR_NOMEM;
    }
    h->fields = fields;
    h->room = room;
    return ERR_OK;
}

static enum head_step step_of(enum err e)
{
    return e == ERR_OK ? HEAD_MORE : e == ERR_NOMEM ? HEAD_SHORT : HEAD_REFUSE;
}

/* Both behind what is there. */
static enum err add_texts(struct answer_head *h, struct span a, struct span b)
{
    enum err e = buf_append_span(&h->text, a);
    return e == ERR_OK ? buf_append_span(&h->text, b) : e;
}

/* "HTTP/1.1 200 Fine": the number, and the rest of the line as it is. */
static enum head_step status_line(struct answer_head *h, struct span line)
{
    restart(h);
    size_t at = span_find(line, SPAN(" "), 0);
    for (; at < line.len && line.ptr[at] == ' '; at++) {
    }
    for (; at < line.len && ascii_is_digit(line.ptr[at]) && h->status < 1000; at++) {
        h->status = h->status * 10 + (line.ptr[at] - '0');
    }
    if (at < line.len) {
        struct span reason = span_trim(span_make(line.ptr + at, line.len - at));
        h->reason = h->text.len;
        h->reason_len = reason.len;
        return step_of(buf_append_span(&h->text, reason));
    }
    return HEAD_MORE;
}

static bool is_name(struct span name)
{
    return name.len > 0 && scan_token(name.ptr, name.len) == name.len;
}

/* Whether each encoding of a list is one that libcurl decodes. */
static bool are_known(struct span list)
{
    static const struct span names[] = {{"identity", 8}, {"none", 4}, {"gzip", 4}, {"x-gzip", 6},
                                        {"deflate", 7},  {"br", 2},   {"zstd", 4}, {"", 0}};
    for (struct span one; span_next(&list, ',', &one);) {
        size_t i = 0;
        while (i < sizeof names / sizeof names[0] && !span_eq_nocase(span_trim(one), names[i])) {
            i++;
        }
        if (i == sizeof names / sizeof names[0]) {
            return false;
        }
    }
    return true;
}

static void read_framing(struct answer_head *h, const struct http_header *field)
{
    const struct span name = field->name, value = field->value;
    if (span_eq_nocase(name, SPAN("Transfer-Encoding"))) {
        h->chunked = h->chunked || http_list_has(value, SPAN("chunked"));
        h->coded = h->coded || !span_eq_nocase(value, SPAN("chunked"));
    } else if (span_eq_nocase(name, SPAN("Content-Length"))) {
        h->length = true;
        h->content_length = http_length(value);
    } else if (span_eq_nocase(name, SPAN("Content-Encoding"))) {
        h->encoded = h->encoded || !span_eq_nocase(value, SPAN("identity"));
        h->unknown = h->unknown || !are_known(value);
    }
}

static enum head_step header_line(struct answer_head *h, struct span line)
{
    struct http_header field;
    if (!http_line_split(line, &field) || !is_name(field.name) || !http_is_one_line(field.value)) {
        return HEAD_MORE;
    }
    size_t at = h->text.len;
    enum err e = make_room(h);
    e = e == ERR_OK ? add_texts(h, field.name, field.value) : e;
    if (e != ERR_OK) {
        return step_of(e);
    }
    read_framing(h, &field);
    h->fields[h->count++] = (struct head_field){.name = at,
                                                .name_len = field.name.len,
                                                .value = at + field.name.len,
                                                .value_len = field.value.len};
    return HEAD_MORE;
}

/* obs-fold: the value goes on; it is the last thing in `text`. */
static enum head_step folded_line(struct answer_head *h, struct span line)
{
    struct span more = span_trim(line);
    if (h->folds++ == UPSTREAM_MAX_HEADERS) {
        return HEAD_REFUSE; /* libcurl moves the whole value for each */
    }
    if (h->count == 0 || more.len == 0 || !http_is_one_line(more)) {
        return HEAD_MORE;
    }
    struct head_field *field = &h->fields[h->count - 1];
    struct span blank = field->value_len > 0 ? SPAN(" ") : SPAN("");
    enum err e = add_texts(h, blank, more);
    if (e != ERR_OK) {
        return step_of(e);
    }
    field->value_len += blank.len + more.len;
    return HEAD_MORE;
}

static struct http_header field_at(const struct answer_head *h, size_t i)
{
    const struct head_field *f = &h->fields[i];
    return (struct http_header){span_make(h->text.data + f->name, f->name_len),
                                span_make(h->text.data + f->value, f->value_len)};
}

/* false: the Connection lines have too many elements. */
static bool connection_of(const struct answer_head *h, struct http_connection *out)
{
    out->elements = out->count = 0;
    for (size_t i = 0; i < h->count; i++) {
        struct http_header field = field_at(h, i);
        if (span_eq_nocase(field.name, SPAN("Connection")) &&
            !http_connection_add(out, field.value)) {
            return false;
        }
    }
    return true;
}

enum head_step head_line(struct answer_head *h, struct span line)
{
    if (h->final) {
        return HEAD_MORE;
    }
    while (line.len > 0 && (line.ptr[line.len - 1] == '\n' || line.ptr[line.len - 1] == '\r')) {
        line.len--;
    }
    if (line.len == 0) {
        struct http_connection named;
        if (h->status < 200) {
            return h->status == 101 ? HEAD_SWITCH : HEAD_MORE;
        }
        h->final = connection_of(h, &named);
        return h->final ? HEAD_FINAL : HEAD_REFUSE;
    }
    if (span_starts(line, SPAN("HTTP/"))) {
        return status_line(h, line);
    }
    if (ascii_is_blank(line.ptr[0])) {
        return folded_line(h, line);
    }
    return header_line(h, line);
}

size_t head_fields(const struct answer_head *h, bool decoded, struct http_header *out)
{
    struct http_connection named;
    size_t kept = 0;
    (void)connection_of(h, &named); /* a head with too many is refused */
    for (size_t i = 0; i < h->count; i++) {
        struct http_header field = field_at(h, i);
        bool encoding = span_eq_nocase(field.name, SPAN("Content-Encoding")) ||
                        span_eq_nocase(field.name, SPAN("Content-Length"));
        if (!http_is_hop_by_hop(&named, field.name) && !(decoded && encoding)) {
            out[kept++] = field;
        }
    }
    return kept;
}
