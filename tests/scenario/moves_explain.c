/* moves_explain.c: what explain says of a request, beside what becomes of it in the same instant. */
#include "scenario/moves_priv.h"

#include "lull/path/cache/cache.h"
#include "lull/path/exchange/exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The lines between the request's own and the empty one; Host is lull's. */
static size_t read_headers(struct span lines, struct http_header *out)
{
    size_t count = 0;
    for (size_t at = 0; at < lines.len && count < HTTP_MAX_HEADERS;) {
        size_t end = span_find(lines, SPAN("\r\n"), at);
        end = end == SIZE_MAX ? lines.len : end;
        struct span line = span_make(lines.ptr + at, end - at);
        size_t colon = span_find(line, SPAN(": "), 0);
        require(colon != SIZE_MAX);
        out[count].name = span_make(line.ptr, colon);
        out[count++].value = span_make(line.ptr + colon + 2, line.len - colon - 2);
        at = end + 2;
    }
    return count;
}

bool explain_ask(struct game *g, struct span request, struct explanation *out)
{
    struct http_header headers[HTTP_MAX_HEADERS];
    size_t head = span_find(request, SPAN("\r\n\r\n"), 0);
    size_t line = span_find(request, SPAN("\r\n"), 0);
    struct buf body = {.max = SIZE_MAX};
    const struct settings *s = world_settings(g->world);
    bool expects = span_find(request, SPAN("Expect: "), 0) != SIZE_MAX;
    bool short_of_room = memory_is_short() || s->server.max_buffered < 1024 * 1024;
    if (s->mode != TASKS_ON || expects || short_of_room || head == line ||
        !span_starts(request, SPAN("POST "))) {
        return false;
    }
    struct span target = span_make(request.ptr + 5, line - 5 - SPAN(" HTTP/1.1").len);
    struct explain_request in = {.path = target, .headers = headers, .query = SPAN("")};
    in.header_count = read_headers(span_make(request.ptr + line + 2, head - line - 2), headers);
    body_unchunk(span_make(request.ptr, head + 2),
                 span_make(request.ptr + head + 4, request.len - head - 4), &body);
    in.body = buf_span(&body);
    engine_explain(world_engine(g->world), &in, out);
    buf_free(&body);
    return true;
}

/* A stored answer whose time is over, in place of an error. */
static bool is_stale(struct span status)
{
    return span_find(status, SPAN("ttl=-"), 0) != SIZE_MAX;
}

/* An answer on its way to a disk that failed in between: the writer has a thread of its own. */
static bool is_lost(struct game *g, const struct explanation *said)
{
    return strcmp(said->decision, "pending") == 0 &&
           strcmp(cache_state(world_cache(g->world)), "on") != 0;
}

void explain_check(struct game *g, const struct ask *a, const struct explanation *said,
                   const char *came)
{
    static const char *const stored[] = {"hit", "pending", "type-through"};
    struct reply r = reply_at(span_of(came), false, false);
    struct span status = reply_field(r.head, "Cache-Status");
    bool hit = r.len > 0 && span_find(status, SPAN("; hit"), 0) != SIZE_MAX && !is_stale(status);
    bool foretold = false;
    for (size_t i = 0; i < 3; i++) {
        foretold = foretold || strcmp(said->decision, stored[i]) == 0;
    }
    if ((foretold != hit && !is_lost(g, said)) ||
        (said->refused != NULL) != (r.len > 0 && r.status >= 400 && r.status < 500)) {
        fprintf(stderr, "explain said %s, %s\n", said->decision,
                said->refused == NULL ? "served" : said->refused);
        reply_fail(a, &r, "explain said otherwise");
    }
}
