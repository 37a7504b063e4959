/* model.c: path/upstream as a model server that does what the test says; see world.h. */
#include "scenario/world_priv.h"

#include "support/fake_loop.h"

#include "lull/path/dialect/chat_request.h"

#include <cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- the upstream contract, replaced ---- */

struct upstream_pool *upstream_pool_create(struct loop *loop)
{
    struct upstream_pool *pool = mem_new(sizeof *pool);
    pool->loop = loop;
    return pool;
}

static void call_free(struct upstream_call *c)
{
    free(c->method);
    free(c->target);
    free(c->headers);
    free(c->body);
    free(c->upstream);
    free(c);
}

void upstream_pool_destroy(struct upstream_pool *pool)
{
    for (size_t i = 0; pool != NULL && i < pool->count; i++) {
        call_free(pool->calls[i]);
    }
    free(pool);
}

/* The request of a probe, at the daemon's own port, and what it says to that. */
static void come_back(const struct upstream_call *c)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char text[512];
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", c->pool->port);
    const char *via = strstr(c->headers, "Via: ");
    int n = snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: lull\r\n%.*s\r\n\r\n", c->target,
                     via == NULL ? 0 : (int)strcspn(via, "\n"), via);
    require(fd >= 0 && n > 0 && n < (int)sizeof text);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) { /* else it stops */
        require(write(fd, text, (size_t)n) == n);
        fake_loop_settle(c->pool->loop);
    }
    close(fd);
}

static bool is_ollama(const struct upstream_call *c)
{
    bool key = strstr(c->headers, "Authorization: ") != NULL;
    return c->pool->probes == PROBES_OLLAMA || (c->pool->probes == PROBES_KEY && key);
}

static void answer_probe(void *ctx)
{
    struct upstream_call *c = ctx;
    char body[64];
    bool asks_version = strcmp(c->target, "/api/version") == 0;
    bool ollama = asks_version && is_ollama(c);
    snprintf(body, sizeof body, ollama ? "{\"version\":\"0.6.%d\"}" : "{\"total_slots\":%d}",
             c->pool->slots);
    if (c->pool->probes == PROBES_LOOP) {
        come_back(c);
    }
    struct upstream_report report = {.result = UPSTREAM_DONE, .why = "", .got_head = true};
    if (c->pool->probes == PROBES_REFUSED) {
        report = (struct upstream_report){.result = UPSTREAM_UNREACHABLE, .why = "refused"};
        c->over = true;
        c->events->on_done(c->ctx, &report);
        call_free(c);
        return;
    }
    bool knows = ollama || (c->pool->slots > 0 && !asks_version);
    int status = knows                               ? 200
                 : c->pool->probes == PROBES_GATEWAY ? 502
                 : c->pool->probes == PROBES_KEY     ? 401
                                                     : 404;
    c->events->on_head(c->ctx, status, SPAN("x"), NULL, 0, -1);
    (void)c->events->on_data(c->ctx, span_of(body));
    c->over = true;
    c->events->on_done(c->ctx, &report);
    call_free(c);
}

/* No buffer: they are what may get no memory (moves_memory.c). */
static char *lines_of(const struct http_header *headers, size_t count)
{
    size_t size = 1, at = 0;
    for (size_t i = 0; i < count; i++) {
        size += headers[i].name.len + headers[i].value.len + 3;
    }
    char *lines = mem_new(size);
    for (size_t i = 0; i < count; i++) {
        const struct http_header *h = &headers[i];
        at += (size_t)snprintf(lines + at, size - at, "%.*s: %.*s\n", (int)h->name.len, h->name.ptr,
                               (int)h->value.len, h->value.ptr);
    }
    return lines;
}

struct upstream_call *upstream_start(struct upstream_pool *pool, const struct upstream_request *req,
                                     const struct upstream_events *events, void *ctx)
{
    struct upstream_call *c = mem_new(sizeof *c);
    c->pool = pool;
    c->events = events;
    c->ctx = ctx;
    c->method = mem_strndup(req->method.ptr, req->method.len);
    c->target = mem_strndup(req->target.ptr, req->target.len);
    c->body = mem_strndup(req->body.len > 0 ? req->body.ptr : "", req->body.len);
    c->upstream = mem_strdup(req->to->name);
    c->headers = lines_of(req->headers, req->header_count);
    bool asks = strcmp(c->target, "/props") == 0 || strcmp(c->target, "/api/version") == 0;
    if (asks && strcmp(c->method, "GET") == 0) {
        c->probe = (struct loop_deferred){.fn = answer_probe, .ctx = c};
        pool->probe_count++;
        if (pool->probes != PROBES_MUTE) {
            loop_defer(pool->loop, &c->probe);
        }
        return c;
    }
    require(pool->count < MAX_CALLS);
    pool->calls[pool->count++] = c;
    if (pool->script.began != NULL) {
        pool->script.began(pool->script.ctx, c);
    }
    return c;
}

void upstream_abort(struct upstream_call *call)
{
    require(!call->over);
    if (call->probe.fn != NULL) {
        loop_defer_cancel(call->pool->loop, &call->probe);
        call_free(call);
        return;
    }
    call->over = true;
    call->aborted = true;
    if (call->pool->script.aborted != NULL) {
        call->pool->script.aborted(call->pool->script.ctx, call);
    }
}

void upstream_resume(struct upstream_call *call)
{
    call->held = false;
}

bool upstream_body_write(struct upstream_call *call, struct span piece)
{
    size_t old = strlen(call->body);
    char *body = mem_new(old + piece.len + 1);
    memcpy(body, call->body, old);
    memcpy(body + old, piece.ptr, piece.len);
    free(call->body);
    call->body = body;
    call->waits = call->pool->slow;
    return !call->waits;
}

void upstream_distrust_answer(struct upstream_call *call)
{
    call->distrusted = true;
}

bool upstream_more_follows(const struct upstream_call *call)
{
    (void)call;
    return false;
}

void upstream_body_end(struct upstream_call *call)
{
    (void)call;
}

/* ---- the model, as the test plays it ---- */

void model_forget(struct upstream_call *call)
{
    struct upstream_pool *pool = call->pool;
    size_t i = 0;
    require(call->over);
    while (pool->calls[i] != call) {
        i++;
    }
    pool->count--;
    memmove(&pool->calls[i], &pool->calls[i + 1], (pool->count - i) * sizeof(void *));
    call_free(call);
}

bool model_open(const struct upstream_call *call)
{
    return !call->over;
}

bool model_aborted(const struct upstream_call *call)
{
    return call->aborted;
}

bool model_distrusted(const struct upstream_call *call)
{
    return call->distrusted;
}

const char *model_body(const struct upstream_call *call)
{
    return call->body;
}

const char *model_headers(const struct upstream_call *call)
{
    return call->headers;
}

const char *model_target(const struct upstream_call *call)
{
    return call->target;
}

const char *model_upstream(const struct upstream_call *call)
{
    return call->upstream;
}

void model_head(struct upstream_call *call, int status, const char *content_type)
{
    struct http_header header = {SPAN("Content-Type"), span_of(content_type)};
    require(!call->over);
    if (call->head) {
        return; /* it was sent before */
    }
    call->head = true;
    call->events->on_head(call->ctx, status, SPAN("OK"), &header, 1, -1);
}

bool model_has_head(const struct upstream_call *call)
{
    return call->head;
}

void model_data(struct upstream_call *call, const char *bytes)
{
    if (!call->over) {
        call->held = !call->events->on_data(call->ctx, span_of(bytes));
    }
}

bool model_held(const struct upstream_call *call)
{
    return call->held;
}

void world_slow(struct world *w, bool slow)
{
    world_pool(w)->slow = slow;
}

void model_take(struct upstream_call *call)
{
    if (!call->over && call->waits && call->events->on_body_room != NULL) {
        call->waits = false;
        call->events->on_body_room(call->ctx);
    }
}

void model_end(struct upstream_call *call)
{
    struct upstream_report report = {.result = UPSTREAM_DONE, .why = "", .got_head = true};
    require(!call->over);
    call->over = true;
    call->events->on_done(call->ctx, &report);
}

void model_close(struct upstream_call *call)
{
    struct upstream_report report = {
        .result = UPSTREAM_DONE, .why = "", .got_head = true, .close_delimited = true};
    require(!call->over);
    call->over = true;
    call->events->on_done(call->ctx, &report);
}

void model_break(struct upstream_call *call, bool unreachable)
{
    char why[] = "the connection broke";
    if (unreachable) {
        snprintf(why, sizeof why, "connection refused");
    }
    struct upstream_report report = {.result = unreachable ? UPSTREAM_UNREACHABLE : UPSTREAM_BROKE,
                                     .why = why,
                                     .got_head = !unreachable};
    require(!call->over);
    call->over = true;
    call->events->on_done(call->ctx, &report);
    memset(why, '?', sizeof why - 1); /* it is the call's: gone with it */
}

void model_short(struct upstream_call *call)
{
    struct upstream_report report = {
        .result = UPSTREAM_BROKE, .why = "out of memory", .no_memory = true};
    require(!call->over);
    call->over = true;
    call->events->on_done(call->ctx, &report);
}

static void answer_openai(struct upstream_call *call, const char *text, bool stream,
                          const char *usage)
{
    char line[16384];
    if (stream) {
        model_head(call, 200, "text/event-stream");
        snprintf(
            line, sizeof line,
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":%s}}]}"
            "\n\ndata: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
            "data: {\"choices\":[],\"usage\":{%s}}\n\ndata: [DONE]\n\n",
            text, usage);
    } else {
        model_head(call, 200, "application/json");
        snprintf(line, sizeof line,
                 "{\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":%s},"
                 "\"finish_reason\":\"stop\"}],"
                 "\"usage\":{%s}}",
                 text, usage);
    }
    model_data(call, line);
}

static void answer_ollama(struct upstream_call *call, const char *text, bool stream)
{
    bool generate = strstr(call->target, "/api/generate") != NULL;
    const char *before =
        generate ? "\"response\":" : "\"message\":{\"role\":\"assistant\",\"content\":";
    const char *after = generate ? "" : "}";
    char line[8192];
    model_head(call, 200, stream ? "application/x-ndjson" : "application/json");
    if (stream) {
        snprintf(line, sizeof line, "{\"model\":\"m\",%s%s%s,\"done\":false}\n", before, text,
                 after);
        model_data(call, line);
        text = "\"\"";
    }
    snprintf(line, sizeof line,
             "{\"model\":\"m\",%s%s%s,\"done\":true,\"done_reason\":\"stop\","
             "\"prompt_eval_count\":100,\"eval_count\":7}\n",
             before, text, after);
    model_data(call, line);
}

static void answer_whole(struct upstream_call *call, const char *content, const char *usage)
{
    cJSON *s = cJSON_CreateString(content);
    char *text = cJSON_PrintUnformatted(s);
    bool stream = strstr(call->body, "\"stream\":true") != NULL ||
                  strstr(call->body, "\"stream\": true") != NULL;
    struct span path = span_make(call->target, strcspn(call->target, "?"));
    if (endpoint_dialect(endpoint_of(path)) == DIALECT_OLLAMA) {
        answer_ollama(call, text, stream);
    } else {
        answer_openai(call, text, stream, usage);
    }
    cJSON_free(text);
    cJSON_Delete(s);
    if (!call->over) {
        model_end(call);
    }
}

void model_answer(struct upstream_call *call, const char *content)
{
    answer_whole(call, content, "\"prompt_tokens\":100,\"completion_tokens\":7");
}

void model_answer_cached(struct upstream_call *call, const char *content, int prompt, int cached)
{
    char usage[160], details[64] = "";
    if (cached >= 0) {
        snprintf(details, sizeof details, ",\"prompt_tokens_details\":{\"cached_tokens\":%d}",
                 cached);
    }
    snprintf(usage, sizeof usage, "\"prompt_tokens\":%d,\"completion_tokens\":20%s", prompt,
             details);
    answer_whole(call, content, usage);
}

void model_refuse(struct upstream_call *call, int status, const char *line, const char *body)
{
    struct span rest = span_of(line);
    size_t colon = span_find(rest, SPAN(":"), 0);
    struct http_header headers[2] = {{SPAN("Content-Type"), SPAN("application/json")}};
    size_t count = 1;
    if (colon != SIZE_MAX) {
        struct span value = span_trim(span_make(line + colon + 1, rest.len - colon - 1));
        headers[count++] = (struct http_header){span_make(line, colon), value};
    }
    require(!call->over && !call->head);
    call->head = true;
    call->events->on_head(call->ctx, status, SPAN("No"), headers, count, -1);
    model_data(call, body);
    if (!call->over) { /* its first byte may have been all that it was kept for */
        model_end(call);
    }
}
