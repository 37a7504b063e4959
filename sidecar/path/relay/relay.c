/* relay.c: one exchange passed through.
 *
 * The client's request goes to the upstream with its headers in order and case, its body as it
 * comes; the answer comes back the same way. Each direction waits for the other end: a client that
 * does not read stops the reading of the upstream, an upstream that does not read stops the reading
 * of the client. So memory stays bounded.
 *
 * A relay ends with its call, at once: the next request on the client's connection begins at the end of
 * the turn, when what is known of this one is gone. Where the client leaves, or lull has no memory to
 * begin, on_done is deferred to the end of the turn.
 *
 *   started ──head──▶ passing ──done──▶ over
 *      └─ no head: our own 502 ──────────▲
 *      └─ client gone: abort ────────────┘
 */
#include "lull/path/relay/relay.h"

#include <stdio.h>
#include <stdlib.h>

enum { RELAY_HEADERS = HTTP_MAX_HEADERS + 2, RELAY_ANSWER_HEADERS = 256, RELAY_EXTRA = 16 };

/* The form of an answer, as far as it shows whether the answer is at its end. */
enum relay_body { RELAY_BODY_ANY, RELAY_BODY_LINES, RELAY_BODY_JSON };

struct relay {
    struct loop *loop;
    struct http_conn *conn;     /* NULL: the client is gone */
    struct upstream_call *call; /* NULL: over */
    const struct upstream_settings *to;
    enum http_form form;
    struct buf extra; /* lines for the answer's head */
    struct buf key;   /* "Bearer ..." */
    struct relay_result result;
    const struct relay_tap *tap;
    void (*on_done)(void *ctx, const struct relay_result *result);
    void *ctx;
    enum relay_body body;
    char first, last; /* bytes of the answer that are not blank; 0: none */
    bool line_ended;  /* the last byte ends a line */
    struct loop_deferred work;
};

static void relay_report(void *arg)
{
    struct relay *r = arg;
    r->on_done(r->ctx, &r->result);
    buf_free(&r->extra);
    buf_free(&r->key);
    free(r);
}

/* ---- the answer ---- */

/* The lines "Name: value\r\n" of extra as headers. */
static size_t add_extra(const struct relay *r, struct http_header *out, size_t max)
{
    struct span lines = buf_span(&r->extra);
    size_t n = 0;
    while (n < max && http_lines_next(&lines, &out[n])) {
        n++;
    }
    return n;
}

static enum relay_body body_of(const struct http_header *headers, size_t count)
{
    struct span type = http_field(headers, count, SPAN("Content-Type"));
    if (http_field(headers, count, SPAN("Content-Encoding")).ptr != NULL) {
        return RELAY_BODY_ANY;
    }
    bool lines = http_is_type(type, SPAN("text/event-stream")) ||
                 http_is_type(type, SPAN("application/x-ndjson"));
    return lines                                          ? RELAY_BODY_LINES
           : http_is_type(type, SPAN("application/json")) ? RELAY_BODY_JSON
                                                          : RELAY_BODY_ANY;
}

static void read_ends(struct relay *r, struct span piece)
{
    if (r->body == RELAY_BODY_ANY || piece.len == 0) {
        return;
    }
    r->line_ended = piece.ptr[piece.len - 1] == '\n';
    struct span text = span_trim(piece);
    if (text.len > 0) {
        r->first = r->first == '\0' ? text.ptr[0] : r->first;
        r->last = text.ptr[text.len - 1];
    }
}

/* Where only the close of the connection ends an answer, it may be cut: amid a line, amid a JSON
 * value. */
static bool looks_cut(const struct relay *r)
{
    bool value_ended = r->last == '}' || r->last == ']';
    switch (r->body) {
    case RELAY_BODY_LINES:
        return r->last != '\0' && !r->line_ended && !value_ended;
    case RELAY_BODY_JSON:
        return r->first == '\0' || ((r->first == '{' || r->first == '[') && !value_ended);
    default:
        return false;
    }
}

static void on_head(void *ctx, int status, struct span reason, const struct http_header *headers,
                    size_t count, int64_t content_length)
{
    struct relay *r = ctx;
    r->body = body_of(headers, count);
    struct http_header out[RELAY_ANSWER_HEADERS + RELAY_EXTRA];
    size_t n = 0;
    for (size_t i = 0; i < count && n < RELAY_ANSWER_HEADERS; i++) {
        if (!span_eq_nocase(headers[i].name, SPAN("Content-Length"))) {
            out[n++] = headers[i];
        }
    }
    n += add_extra(r, out + n, RELAY_EXTRA);
    r->result.status = status;
    http_reply_begin(r->conn, status, reason, out, n, content_length);
    if (r->tap != NULL) {
        r->tap->on_head(r->ctx, status, headers, count);
    }
}

static bool on_data(void *ctx, struct span piece)
{
    struct relay *r = ctx;
    if (r->result.first_data.us == 0) {
        r->result.first_data = loop_now(r->loop);
    }
    read_ends(r, piece);
    bool more = upstream_more_follows(r->call) ? http_reply_soon(r->conn, piece)
                                               : http_reply_data(r->conn, piece);
    if (r->tap != NULL) {
        r->tap->on_data(r->ctx, piece);
    }
    return more;
}

static void on_body_room(void *ctx)
{
    struct relay *r = ctx;
    http_body_resume(r->conn);
}

static void own_error(struct relay *r, const struct upstream_report *report)
{
    char detail[256];
    enum http_error error = report->no_memory ? HTTP_ERROR_BUSY
                            : report->result == UPSTREAM_UNREACHABLE
                                ? HTTP_ERROR_UPSTREAM_UNREACHABLE
                                : HTTP_ERROR_UPSTREAM_BROKE;
    snprintf(detail, sizeof detail, "%s (%s)", r->to->name, report->why);
    r->result.own_error = true;
    snprintf(r->result.why, sizeof r->result.why, "%s", report->why);
    r->result.unreachable = report->result == UPSTREAM_UNREACHABLE;
    r->result.status = http_error_status(error);
    http_reply_error(r->conn, error, r->form, span_of(detail), buf_span(&r->extra));
}

static void on_done(void *ctx, const struct upstream_report *report)
{
    struct relay *r = ctx;
    bool begun = http_reply_begun(r->conn);
    bool cut = report->close_delimited && looks_cut(r);
    r->result.no_memory = report->no_memory;
    if (report->result == UPSTREAM_DONE && begun && !cut) {
        r->result.whole = true;
        if (r->tap != NULL) {
            r->tap->on_end(r->ctx);
        }
        http_reply_end(r->conn);
    } else if (begun) {
        http_reply_cut(r->conn); /* the client must see that this is not the end */
    } else {
        own_error(r, report);
    }
    relay_report(r);
}

static const struct upstream_events events = {
    .on_head = on_head, .on_data = on_data, .on_body_room = on_body_room, .on_done = on_done};

/* ---- the request ---- */

/* The client's headers as they are forwarded; returns their number. */
static size_t forward_headers(struct relay *r, const struct relay_options *o,
                              struct http_header *out)
{
    const struct http_request *request = http_conn_request(o->conn);
    bool key = r->key.len > 0;
    size_t n = 0;
    for (size_t i = 0; i < request->header_count; i++) {
        struct http_header h = request->headers[i];
        if (!http_request_forwards(request, h.name)) {
            continue;
        }
        if (span_eq_nocase(h.name, SPAN("Authorization"))) {
            if (!key && o->strip_authorization) {
                continue;
            }
            if (r->key.len > 0 && !key) {
                continue; /* a second one */
            }
            if (key) {
                h.value = buf_span(&r->key); /* in place of the client's */
                key = false;
            }
        }
        out[n++] = h;
    }
    if (key) {
        out[n++] = (struct http_header){SPAN("Authorization"), buf_span(&r->key)};
    }
    return n;
}

static bool copy_texts(struct relay *r, const struct relay_options *o)
{
    buf_init(&r->extra, o->extra_headers.len + 1);
    buf_init(&r->key, 16 * 1024);
    if (buf_append_span(&r->extra, o->extra_headers) != ERR_OK) {
        return false;
    }
    return o->to->api_key[0] == '\0' || http_bearer(o->to->api_key, &r->key);
}

/* There was no memory to begin. */
static void refuse(void *arg)
{
    struct relay *r = arg;
    const struct upstream_report report = {
        .result = UPSTREAM_BROKE, .why = "out of memory", .no_memory = true};
    r->result.no_memory = true;
    if (r->conn != NULL) {
        own_error(r, &report);
    }
    relay_report(r);
}

struct relay *relay_start(struct loop *loop, struct upstream_pool *pool,
                          const struct relay_options *o)
{
    struct http_header headers[RELAY_HEADERS];
    const struct http_request *request = http_conn_request(o->conn);
    struct relay *r = mem_new(sizeof *r);
    r->loop = loop;
    r->conn = o->conn;
    r->to = o->to;
    r->form = o->error_form;
    r->tap = o->tap;
    r->on_done = o->on_done;
    r->ctx = o->ctx;
    if (!copy_texts(r, o)) {
        r->work = (struct loop_deferred){.fn = refuse, .ctx = r};
        loop_defer(loop, &r->work);
        return r;
    }
    r->work = (struct loop_deferred){.fn = relay_report, .ctx = r};
    bool has_body = request->chunked || request->content_length >= 0;
    struct upstream_request out = {
        .to = o->to,
        .method = request->method_name,
        .target = o->target,
        .headers = headers,
        .header_count = forward_headers(r, o, headers),
        .task = o->task,
        .body = o->body_held ? http_body(o->conn) : SPAN_NONE,
        .chunked = request->chunked,
        .stream_body = has_body && !o->body_held,
        .content_length = request->chunked ? -1 : request->content_length,
        .no_body = !has_body,
        .urgent = o->urgent,
    };
    if (o->urgent) {
        http_conn_set_urgent(r->conn);
    }
    r->call = upstream_start(pool, &out, &events, r);
    return r;
}

void relay_body(struct relay *r, struct span piece)
{
    if (r->call != NULL && !upstream_body_write(r->call, piece)) {
        http_body_pause(r->conn);
    }
}

void relay_body_end(struct relay *r)
{
    if (r->call != NULL) {
        upstream_body_end(r->call);
    }
}

void relay_writable(struct relay *r)
{
    if (r->call != NULL) {
        upstream_resume(r->call);
    }
}

void relay_client_gone(struct relay *r)
{
    r->conn = NULL;
    r->result.client_gone = true;
    if (r->call != NULL) {
        upstream_abort(r->call);
        r->call = NULL;
    }
    loop_defer(r->loop, &r->work);
}
