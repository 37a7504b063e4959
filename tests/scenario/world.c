/* world.c: see world.h. */
#include "scenario/world.h"
#include "scenario/check_figures.h"

#include "support/fake_loop.h"

#include "lull/config/config.h"
#include "lull/path/compare/compare.h"
#include "lull/path/edge/edge.h"
#include "lull/path/exchange/exchange.h"

#include <cJSON.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAX_CLIENTS = 1024, MAX_CALLS = 4096 };

struct client {
    struct world *world;
    int fd;
    struct buf in;
    bool closed;
};

struct upstream_call {
    struct upstream_pool *pool;
    const struct upstream_events *events;
    void *ctx;
    char *method, *target, *headers, *body, *upstream;
    bool head, over, aborted;
    struct loop_deferred probe; /* it asks what the server is: answered by the world */
};

struct upstream_pool {
    struct loop *loop;
    struct upstream_call *calls[MAX_CALLS];
    size_t count;
    struct model_script script;
    int slots; /* what /props says; 0: 404 */
    enum world_probes probes;
    size_t probe_count;
};

struct world {
    char dir[64], socket[128];
    char *default_set, *listen_set, *data_set;
    struct config *config;
    struct loop *loop;
    struct figures *figures;
    struct cache *cache;
    struct upstream_pool *pool;
    struct model_script script;
    struct servers *servers;
    struct schedule *schedule;
    struct engine *engine;
    struct compare *compare;
    struct edge *edge;
    struct client *clients[MAX_CLIENTS];
    size_t client_count;
};

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

static void answer_probe(void *ctx)
{
    struct upstream_call *c = ctx;
    char body[64];
    snprintf(body, sizeof body, "{\"total_slots\":%d}", c->pool->slots);
    struct upstream_report report = {.result = UPSTREAM_DONE, .why = "", .got_head = true};
    if (c->pool->probes == PROBES_REFUSED) {
        report = (struct upstream_report){.result = UPSTREAM_UNREACHABLE, .why = "refused"};
        c->over = true;
        c->events->on_done(c->ctx, &report);
        call_free(c);
        return;
    }
    bool knows = c->pool->slots > 0 && strcmp(c->target, "/props") == 0;
    c->events->on_head(c->ctx, knows ? 200 : 404, SPAN("x"), NULL, 0, -1);
    (void)c->events->on_data(c->ctx, span_of(body));
    c->over = true;
    c->events->on_done(c->ctx, &report);
    call_free(c);
}

struct upstream_call *upstream_start(struct upstream_pool *pool, const struct upstream_request *req,
                                     const struct upstream_events *events, void *ctx)
{
    struct upstream_call *c = mem_new(sizeof *c);
    struct buf lines = {.max = 1024 * 1024};
    c->pool = pool;
    c->events = events;
    c->ctx = ctx;
    c->method = mem_strndup(req->method.ptr, req->method.len);
    c->target = mem_strndup(req->target.ptr, req->target.len);
    c->body = mem_strndup(req->body.len > 0 ? req->body.ptr : "", req->body.len);
    c->upstream = mem_strdup(req->to->name);
    for (size_t i = 0; i < req->header_count; i++) {
        const struct http_header *h = &req->headers[i];
        require(buf_printf(&lines, "%.*s: %.*s\n", (int)h->name.len, h->name.ptr, (int)h->value.len,
                           h->value.ptr) == ERR_OK);
    }
    c->headers = mem_strndup(lines.len > 0 ? lines.data : "", lines.len);
    buf_free(&lines);
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
    (void)call;
}

bool upstream_body_write(struct upstream_call *call, struct span piece)
{
    size_t old = strlen(call->body);
    char *body = mem_new(old + piece.len + 1);
    memcpy(body, call->body, old);
    memcpy(body + old, piece.ptr, piece.len);
    free(call->body);
    call->body = body;
    return true;
}

void upstream_body_end(struct upstream_call *call)
{
    (void)call;
}

/* ---- the model, as the test plays it ---- */

size_t model_calls(struct world *w)
{
    return w->pool->count;
}

struct upstream_call *model_call(struct world *w, size_t i)
{
    require(i < w->pool->count);
    return w->pool->calls[i];
}

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
        (void)call->events->on_data(call->ctx, span_of(bytes));
    }
}

void model_end(struct upstream_call *call)
{
    struct upstream_report report = {.result = UPSTREAM_DONE, .why = "", .got_head = true};
    require(!call->over);
    call->over = true;
    call->events->on_done(call->ctx, &report);
}

void model_break(struct upstream_call *call, bool unreachable)
{
    struct upstream_report report = {.result = unreachable ? UPSTREAM_UNREACHABLE : UPSTREAM_BROKE,
                                     .why = unreachable ? "connection refused"
                                                        : "the connection broke",
                                     .got_head = !unreachable};
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

/* ---- the daemon ---- */

static struct config *read_config(struct world *w, const char *const *sets)
{
    char *items[64];
    size_t n = 0;
    items[n++] = w->default_set;
    items[n++] = w->listen_set;
    items[n++] = w->data_set;
    for (size_t i = 0; sets != NULL && sets[i] != NULL; i++) {
        require(n < 64);
        items[n++] = mem_strdup(sets[i]);
    }
    struct config_sources sources = {.sets = {items, n}};
    struct buf errors = {.max = 65536};
    struct buf warnings = {.max = 65536};
    struct config *config = config_read(&sources, &errors, &warnings);
    if (config == NULL) {
        fprintf(stderr, "%.*s", (int)errors.len, errors.data);
    }
    require(config != NULL);
    buf_free(&errors);
    buf_free(&warnings);
    while (n > 3) {
        free(items[--n]);
    }
    return config;
}

static void daemon_up(struct world *w)
{
    struct settings *s = config_settings(w->config);
    struct cache_options cache = {.dir = s->server.data_dir, .settings = s->cache};
    char why[256] = "";
    w->figures = figures_create();
    w->cache = cache_create(w->loop, &cache);
    w->pool = upstream_pool_create(w->loop);
    w->pool->script = w->script;
    w->servers = servers_create(w->loop, w->pool, w->figures);
    w->schedule = schedule_create(w->servers);
    struct engine_parts parts = {w->loop, w->cache, w->pool, w->servers, w->schedule, w->figures};
    w->engine = engine_create(&parts, s);
    w->compare = compare_create(w->loop, w->cache, w->servers, w->engine);
    w->edge = edge_create(w->loop, s, &engine_handler, w->engine);
    require(edge_open(w->edge, s, why, sizeof why) == ERR_OK);
    world_pass(w, 0);
}

static void daemon_down(struct world *w)
{
    edge_destroy(w->edge);
    compare_destroy(w->compare);
    engine_destroy(w->engine);
    schedule_destroy(w->schedule);
    servers_destroy(w->servers);
    upstream_pool_destroy(w->pool);
    cache_destroy(w->cache);
    figures_destroy(w->figures);
}

struct world *world_begin(const char *const *sets)
{
    struct world *w = mem_new(sizeof *w);
    char text[256];
    snprintf(w->dir, sizeof w->dir, "/tmp/lull-world-XXXXXX");
    require(mkdtemp(w->dir) != NULL);
    snprintf(w->socket, sizeof w->socket, "%s/port.sock", w->dir);
    w->default_set = mem_strdup("upstream.default.url=http://127.0.0.1:1");
    snprintf(text, sizeof text, "server.listen=unix:%s", w->socket);
    w->listen_set = mem_strdup(text);
    snprintf(text, sizeof text, "server.data_dir=%s/data", w->dir);
    w->data_set = mem_strdup(text);
    w->config = read_config(w, sets);
    w->loop = loop_create();
    daemon_up(w);
    return w;
}

void world_reload(struct world *w, const char *const *sets)
{
    struct config *fresh = read_config(w, sets);
    cache_configure(w->cache, &config_settings(fresh)->cache);
    engine_configure(w->engine, config_settings(fresh));
    config_destroy(w->config);
    w->config = fresh;
}

static void forget_clients(struct world *w)
{
    for (size_t i = 0; i < w->client_count; i++) {
        struct client *c = w->clients[i];
        if (c->fd >= 0) {
            close(c->fd);
        }
        buf_free(&c->in);
        free(c);
    }
    w->client_count = 0;
}

void world_restart(struct world *w)
{
    check_figures(w->figures);
    forget_clients(w);
    world_pass(w, 0);
    daemon_down(w);
    daemon_up(w);
}

void world_end(struct world *w)
{
    char command[128];
    world_pass(w, 0);
    check_figures(w->figures);
    forget_clients(w);
    world_pass(w, 0);
    check_figures(w->figures);
    for (size_t i = 0; i < w->figures->upstream_count; i++) {
        require(w->figures->upstreams[i]->running == 0); /* no client waits, so no call runs */
    }
    daemon_down(w);
    config_destroy(w->config);
    loop_destroy(w->loop);
    free(w->default_set);
    free(w->listen_set);
    free(w->data_set);
    snprintf(command, sizeof command, "rm -rf '%s'", w->dir);
    require(system(command) == 0);
    free(w);
}

void world_pass(struct world *w, usec_t us)
{
    fake_loop_settle(w->loop);
    if (us > 0) {
        fake_loop_advance(w->loop, us);
    }
}

struct cache *world_cache(struct world *w)
{
    return w->cache;
}

void world_script(struct world *w, const struct model_script *script)
{
    w->script = script == NULL ? (struct model_script){0} : *script;
    w->pool->script = w->script;
}

void world_props(struct world *w, int slots)
{
    w->pool->slots = slots;
}

void world_probes(struct world *w, enum world_probes how)
{
    w->pool->probes = how;
}

struct servers *world_servers(struct world *w)
{
    return w->servers;
}

struct server *world_server(struct world *w, const char *upstream)
{
    const struct settings *s = config_settings(w->config);
    int at = settings_find_upstream(s, span_of(upstream));
    require(at >= 0);
    return server_of(w->servers, &s->upstreams[at]);
}

const char *world_server_state(struct world *w, const char *upstream)
{
    return server_state_name(server_state(world_server(w, upstream), loop_now(w->loop)));
}

size_t world_probe_count(const struct world *w)
{
    return w->pool->probe_count;
}

struct loop *world_loop(struct world *w)
{
    return w->loop;
}

const char *world_port(const struct world *w)
{
    return w->socket;
}

struct engine *world_engine(struct world *w)
{
    return w->engine;
}

struct compare *world_compare(struct world *w)
{
    return w->compare;
}

struct settings *world_settings(struct world *w)
{
    return config_settings(w->config);
}

const struct figures *world_figures(struct world *w)
{
    return w->figures;
}

const struct task_figures *world_task(struct world *w, const char *kind)
{
    return figures_task(w->figures, kind);
}

/* ---- clients ---- */

struct client *client_open(struct world *w)
{
    struct client *c = mem_new(sizeof *c);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    c->world = w;
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    size_t len = strlen(w->socket);
    require(len < sizeof address.sun_path);
    memcpy(address.sun_path, w->socket, len);
    require(c->fd >= 0);
    require(connect(c->fd, (struct sockaddr *)&address, sizeof address) == 0);
    buf_init(&c->in, 64 * 1024 * 1024);
    require(w->client_count < MAX_CLIENTS);
    w->clients[w->client_count++] = c;
    fake_loop_settle(w->loop);
    return c;
}

void client_send(struct client *c, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(c->fd, bytes, len);
        if (n < 0) {
            require(errno == EAGAIN);
            fake_loop_settle(c->world->loop);
            continue;
        }
        bytes += n;
        len -= (size_t)n;
    }
    fake_loop_settle(c->world->loop);
}

void client_post(struct client *c, const char *path, const char *headers, const char *body)
{
    struct buf out = {.max = 16 * 1024 * 1024};
    require(buf_printf(&out,
                       "POST %s HTTP/1.1\r\nHost: lull\r\nContent-Type: application/json\r\n"
                       "%sContent-Length: %zu\r\n\r\n",
                       path, headers, strlen(body)) == ERR_OK);
    require(buf_append_span(&out, span_of(body)) == ERR_OK);
    client_send(c, out.data, out.len);
    buf_free(&out);
}

static void read_all(struct client *c)
{
    char piece[65536];
    fake_loop_settle(c->world->loop);
    while (!c->closed && c->fd >= 0) {
        ssize_t n = read(c->fd, piece, sizeof piece);
        if (n > 0) {
            require(buf_append(&c->in, piece, (size_t)n) == ERR_OK);
            fake_loop_settle(c->world->loop);
        } else if (n < 0 && errno == EAGAIN) {
            return;
        } else {
            c->closed = true;
        }
    }
}

const char *client_reply(struct client *c)
{
    read_all(c);
    require(buf_append_char(&c->in, '\0') == ERR_OK);
    c->in.len--;
    return c->in.data;
}

bool client_answered(struct client *c)
{
    const char *reply = client_reply(c);
    const char *end = strstr(reply, "\r\n\r\n");
    const char *length = strstr(reply, "Content-Length: ");
    if (end == NULL) {
        return false;
    }
    size_t body = c->in.len - (size_t)(end + 4 - reply);
    return length == NULL || length > end || body >= strtoul(length + 16, NULL, 10);
}

bool client_closed(struct client *c)
{
    read_all(c);
    return c->closed;
}

void client_clear(struct client *c)
{
    read_all(c);
    buf_clear(&c->in);
}

void client_close(struct client *c)
{
    close(c->fd);
    c->fd = -1;
    fake_loop_settle(c->world->loop);
}

/* ---- requests ---- */

static const char *ask(const char *prompt, bool cap)
{
    static char out[262144];
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "model", "m");
    cJSON *message = cJSON_CreateObject();
    cJSON_AddStringToObject(message, "role", "user");
    cJSON_AddStringToObject(message, "content", prompt);
    cJSON_AddItemToArray(cJSON_AddArrayToObject(root, "messages"), message);
    cJSON_AddFalseToObject(root, "stream");
    if (cap) {
        cJSON_AddNumberToObject(root, "max_tokens", 1000);
    }
    char *text = cJSON_PrintUnformatted(root);
    snprintf(out, sizeof out, "%s", text);
    cJSON_free(text);
    cJSON_Delete(root);
    return out;
}

const char *ask_autocomplete(const char *text)
{
    static char prompt[131072];
    snprintf(
        prompt, sizeof prompt,
        "### Task:\nYou are an autocompletion system. Continue the text in `<text>` based on the "
        "**completion type** in `<type>` and the given language.  \n\n"
        "### **Examples**:\n<type>general</type>  \n<text>The sun was setting</text>  \n"
        "---\n### Context:\n<chat_history>\n\n</chat_history>\n<type>general</type>  \n"
        "<text>%s</text>  \n#### Output:\n",
        text);
    return ask(prompt, false);
}

const char *ask_follow_up(const char *user, const char *reply)
{
    static char prompt[131072];
    snprintf(prompt, sizeof prompt,
             "### Task:\nSuggest 3-5 relevant follow-up questions or prompts that the user might "
             "naturally ask next in this conversation as a **user**, based on the chat history, to "
             "help continue or deepen the discussion.\n### Output:\nJSON format: { "
             "\"follow_ups\": [\"Question 1?\", \"Question 2?\", \"Question 3?\"] }\n"
             "### Chat History:\n<chat_history>\nUSER: %s\nASSISTANT: %s\n</chat_history>",
             user, reply);
    return ask(prompt, false);
}

const char *ask_query(const char *user)
{
    static char prompt[131072];
    snprintf(prompt, sizeof prompt,
             "### Task:\nAnalyze the chat history to determine the necessity of generating search "
             "queries.\n### Output:\nStrictly return in JSON format:\n{\"queries\": []}\n"
             "### Chat History:\n<chat_history>\nUSER: %s\n</chat_history>\n",
             user);
    return ask(prompt, false);
}

const char *ask_chat(const char *const *turns)
{
    static char out[262144];
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "model", "m");
    cJSON *list = cJSON_AddArrayToObject(root, "messages");
    for (size_t i = 0; turns[i] != NULL; i++) {
        cJSON *message = cJSON_CreateObject();
        cJSON_AddStringToObject(message, "role", i % 2 == 0 ? "user" : "assistant");
        cJSON_AddStringToObject(message, "content", turns[i]);
        cJSON_AddItemToArray(list, message);
    }
    cJSON_AddTrueToObject(root, "stream");
    char *text = cJSON_PrintUnformatted(root);
    snprintf(out, sizeof out, "%s", text);
    cJSON_free(text);
    cJSON_Delete(root);
    return out;
}

const char *ask_title(const char *user, const char *reply)
{
    static char prompt[131072];
    snprintf(prompt, sizeof prompt,
             "### Task:\nGenerate a concise title summarizing the chat history.\n"
             "### Output:\nJSON format: { \"title\": \"your concise title here\" }\n"
             "### Chat History:\n<chat_history>\nUSER: %s\nASSISTANT: %s\n</chat_history>",
             user, reply);
    return ask(prompt, true);
}
