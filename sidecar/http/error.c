/* error.c: lull's own errors, from errors.def. */
#include "lull/http/request.h"

struct row {
    int status;
    const char *name, *type, *message;
};

static const struct row rows[] = {
    [HTTP_ERROR_NONE] = {200, "none", "none", "no error"},
#define HTTP_ERROR(id, status, name, type, message)                                                \
    [HTTP_ERROR_##id] = {status, name, type, message},
#include "lull/http/errors.def"
#undef HTTP_ERROR
};

static const struct row *row_of(enum http_error e)
{
    require((size_t)e < sizeof rows / sizeof rows[0]);
    return &rows[e];
}

int http_error_status(enum http_error e)
{
    return row_of(e)->status;
}

const char *http_error_name(enum http_error e)
{
    return row_of(e)->name;
}

void http_error_body(enum http_error e, enum http_form form, struct span detail, struct buf *out)
{
    const struct row *row = row_of(e);
    struct span cut = span_make(detail.ptr, detail.len < 256 ? detail.len : 256);
    bool openai = form == HTTP_FORM_OPENAI;
    /* the caller gave room for it */
    require_ok(
        buf_printf(out, openai ? "{\"error\":{\"message\":\"%s" : "{\"error\":\"%s", row->message));
    if (cut.len > 0) {
        require_ok(buf_append_span(out, SPAN(": ")));
        require_ok(buf_append_json(out, cut));
    }
    if (openai) {
        require_ok(buf_printf(out, "\",\"type\":\"%s\",\"code\":\"%s\"}}", row->type, row->name));
    } else {
        require_ok(buf_append_span(out, SPAN("\"}")));
    }
}
