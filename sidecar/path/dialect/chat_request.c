/* chat_request.c: what a generation request asks, in neutral words.
 *
 * cJSON reads the fields; names are compared with their case (cJSON_GetObjectItem would take
 * "Stream" for "stream"). Documents that cJSON and the scanner disagree about never get here as
 * tasks: the scanner's verdict decides about keys. The parsed tree owns all texts; texts made of
 * several parts are kept beside it.
 */
#include "lull/path/dialect/chat_request.h"

#include "lull/path/dialect/overrides.h"
#include "path/dialect/dialect_priv.h"

#include <stdlib.h>

enum { JOINED_MAX = 16 * 1024 * 1024, OWN_TEXTS = 3 };

struct request_doc {
    cJSON *root;
    char *own[OWN_TEXTS];
    size_t own_count;
};

/* ---- endpoints ---- */

/* The first row whose end the path has counts: longer ends stand before shorter ones. */
static const struct {
    struct span end;
    enum endpoint endpoint;
} ends[] = {
    {{"/chat/completions", 17}, ENDPOINT_CHAT}, {{"/completions", 12}, ENDPOINT_COMPLETIONS},
    {{"/responses", 10}, ENDPOINT_RESPONSES},   {{"/messages", 9}, ENDPOINT_MESSAGES},
    {{"/api/chat", 9}, ENDPOINT_OLLAMA_CHAT},   {{"/api/generate", 13}, ENDPOINT_OLLAMA_GENERATE},
    {{"/api/embed", 10}, ENDPOINT_EMBEDDINGS},  {{"/embeddings", 11}, ENDPOINT_EMBEDDINGS},
};

/* Whether the model stands in the path: ".../deployments/NAME", as Azure has it. */
static bool is_deployment(struct span base)
{
    struct span mark = SPAN("/deployments/");
    size_t at = span_rfind(base, mark);
    size_t name = at + mark.len;
    return at != SIZE_MAX && name < base.len &&
           memchr(base.ptr + name, '/', base.len - name) == NULL;
}

static struct span without_slash(struct span path)
{
    return path.len > 0 && path.ptr[path.len - 1] == '/' ? span_make(path.ptr, path.len - 1) : path;
}

/* The row of the path's end; NULL: none. */
static const struct span *end_of(struct span path, enum endpoint *endpoint)
{
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (span_ends(path, ends[i].end)) {
            *endpoint = ends[i].endpoint;
            return &ends[i].end;
        }
    }
    return NULL;
}

enum endpoint endpoint_of(struct span path)
{
    enum endpoint endpoint = ENDPOINT_OTHER;
    struct span clean = without_slash(path);
    const struct span *end = end_of(clean, &endpoint);
    bool deployment =
        endpoint == ENDPOINT_CHAT && is_deployment(span_make(clean.ptr, clean.len - end->len));
    return deployment ? ENDPOINT_DEPLOYMENT : endpoint;
}

struct span endpoint_base(struct span path)
{
    enum endpoint endpoint = ENDPOINT_OTHER;
    struct span base = without_slash(path);
    const struct span *end = end_of(base, &endpoint);
    base.len -= end == NULL ? 0 : end->len;
    bool v1 = endpoint_dialect(endpoint) == DIALECT_OPENAI && span_ends(base, SPAN("/v1"));
    return span_make(base.ptr, base.len - (v1 ? 3 : 0));
}

enum dialect endpoint_dialect(enum endpoint e)
{
    return e == ENDPOINT_OLLAMA_CHAT || e == ENDPOINT_OLLAMA_GENERATE ? DIALECT_OLLAMA
                                                                      : DIALECT_OPENAI;
}

enum dialect endpoint_error_dialect(struct span path)
{
    enum endpoint endpoint = endpoint_of(path);
    struct span api = SPAN("/api/");
    size_t at = span_rfind(path, api);
    if (at == SIZE_MAX || (endpoint != ENDPOINT_OTHER && endpoint != ENDPOINT_EMBEDDINGS)) {
        return endpoint_dialect(endpoint);
    }
    /* "/api/v1/models" is OpenAI's below a base */
    size_t rest = at + api.len;
    bool version = rest + 1 < path.len && path.ptr[rest] == 'v' && path.ptr[rest + 1] >= '0' &&
                   path.ptr[rest + 1] <= '9';
    return version ? DIALECT_OPENAI : DIALECT_OLLAMA;
}

struct span endpoint_task_path(enum endpoint e, const struct upstream_settings *to)
{
    return e == ENDPOINT_OLLAMA_CHAT       ? SPAN("/api/chat")
           : e == ENDPOINT_OLLAMA_GENERATE ? SPAN("/api/generate")
           : to->below_v1                  ? SPAN("/v1/chat/completions")
                                           : SPAN("/chat/completions");
}

bool endpoint_assembles(enum endpoint e)
{
    return e == ENDPOINT_CHAT || e == ENDPOINT_OLLAMA_CHAT || e == ENDPOINT_OLLAMA_GENERATE;
}

const cJSON *dialect_request_root(const struct dialect_request *r)
{
    const struct request_doc *doc = r->doc;
    return doc == NULL ? NULL : doc->root;
}

/* ---- texts ---- */

static const cJSON *get(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static struct span text_value(const cJSON *item)
{
    return cJSON_IsString(item) ? span_of(item->valuestring) : SPAN_NONE;
}

/* The text parts of a content array, one after the other. */
static enum err join_parts(const cJSON *parts, struct buf *out)
{
    const cJSON *part = NULL;
    cJSON_ArrayForEach(part, parts)
    {
        struct span type = text_value(get(part, "type"));
        struct span piece = text_value(get(part, "text"));
        if (type.len > 0 && !span_eq(type, SPAN("text")) && !span_eq(type, SPAN("input_text"))) {
            continue;
        }
        enum err e = buf_append_span(out, piece);
        if (e != ERR_OK) {
            return e;
        }
    }
    return ERR_OK;
}

static struct span joined_parts(struct request_doc *doc, const cJSON *parts)
{
    struct buf text = {.max = JOINED_MAX};
    if (join_parts(parts, &text) != ERR_OK || doc->own_count == OWN_TEXTS || text.len == 0) {
        buf_free(&text);
        return SPAN_NONE;
    }
    doc->own[doc->own_count++] = text.data;
    return buf_span(&text);
}

static struct span content_of(struct request_doc *doc, const cJSON *message)
{
    const cJSON *content = get(message, "content");
    return cJSON_IsArray(content) ? joined_parts(doc, content) : text_value(content);
}

static bool has_role(const cJSON *message, const char *role)
{
    return span_eq(text_value(get(message, "role")), span_of(role));
}

static void read_messages(struct dialect_request *r, struct request_doc *doc, const cJSON *list)
{
    const cJSON *message = NULL;
    const cJSON *first_user = NULL;
    const cJSON *last = NULL;
    cJSON_ArrayForEach(message, list)
    {
        bool system = has_role(message, "system") || has_role(message, "developer");
        if (r->message_count == 0 && system) {
            r->system = content_of(doc, message);
        }
        if (first_user == NULL && has_role(message, "user")) {
            first_user = message;
        }
        last = message;
        r->message_count++;
    }
    if (last != NULL && has_role(last, "user")) {
        r->last_text = content_of(doc, last);
    }
    if (first_user != NULL) {
        r->first_user = first_user == last ? r->last_text : content_of(doc, first_user);
    }
    r->has_input = r->message_count > 0;
}

static void read_prompt(struct dialect_request *r, const cJSON *root)
{
    r->last_text = text_value(get(root, "prompt"));
    r->first_user = r->last_text;
    r->system = text_value(get(root, "system"));
    r->message_count = r->last_text.len > 0 ? 1 : 0;
    r->message_count += r->system.len > 0 && r->last_text.len > 0 ? 1 : 0;
    const cJSON *images = get(root, "images");
    r->has_input = r->last_text.len > 0 || cJSON_GetArraySize(images) > 0;
}

/* ---- flags ---- */

static bool is_streamed(const cJSON *root, enum endpoint endpoint)
{
    const cJSON *stream = get(root, "stream");
    if (endpoint_dialect(endpoint) == DIALECT_OLLAMA) {
        return !cJSON_IsFalse(stream);
    }
    /* 1 and "true" are true to some servers: in doubt it is streamed */
    return stream != NULL && !cJSON_IsFalse(stream) && !cJSON_IsNull(stream);
}

static bool has_items(const cJSON *root, const char *name)
{
    const cJSON *list = get(root, name);
    return cJSON_IsArray(list) && cJSON_GetArraySize(list) > 0;
}

static bool above_one(const cJSON *root, const char *name)
{
    const cJSON *n = get(root, name);
    return cJSON_IsNumber(n) && n->valuedouble > 1;
}

static bool is_plain_only(const cJSON *root)
{
    const cJSON *logprobs = get(root, "logprobs");
    bool wanted = cJSON_IsTrue(logprobs) || (cJSON_IsNumber(logprobs) && logprobs->valuedouble > 0);
    return wanted || cJSON_IsNumber(get(root, "top_logprobs")) || above_one(root, "n") ||
           above_one(root, "best_of");
}

static bool has_tools(const cJSON *root)
{
    const cJSON *choice = get(root, "tool_choice");
    return has_items(root, "tools") || has_items(root, "functions") ||
           (choice != NULL && !cJSON_IsNull(choice));
}

bool dialect_request_parse(struct span body, enum endpoint endpoint, struct dialect_request *out)
{
    *out = (struct dialect_request){.endpoint = endpoint};
    cJSON *root = body.len == 0 ? NULL : cJSON_ParseWithLength(body.ptr, body.len);
    if (!cJSON_IsObject(root)) {
        cJSON_Delete(root);
        return false;
    }
    struct request_doc *doc = mem_new(sizeof *doc);
    doc->root = root;
    out->doc = doc;
    out->model = text_value(get(root, "model"));
    out->streamed = is_streamed(root, endpoint);
    out->has_tools = has_tools(root);
    out->plain_only = is_plain_only(root);
    if (endpoint == ENDPOINT_OLLAMA_GENERATE || endpoint == ENDPOINT_COMPLETIONS) {
        read_prompt(out, root);
    } else if (endpoint == ENDPOINT_RESPONSES) {
        out->has_input = true;
    } else {
        read_messages(out, doc, get(root, "messages"));
    }
    return true;
}

void dialect_request_free(struct dialect_request *r)
{
    struct request_doc *doc = r->doc;
    if (doc != NULL) {
        for (size_t i = 0; i < doc->own_count; i++) {
            free(doc->own[i]);
        }
        cJSON_Delete(doc->root);
        free(doc);
    }
    *r = (struct dialect_request){0};
}

static bool walk_message(const cJSON *message,
                         bool (*fn)(void *ctx, struct span role, struct span text), void *ctx)
{
    const cJSON *content = get(message, "content");
    struct span role = text_value(get(message, "role"));
    struct buf joined = {.max = JOINED_MAX};
    if (!cJSON_IsArray(content)) {
        return fn(ctx, role, text_value(content));
    }
    enum err e = join_parts(content, &joined);
    bool more = fn(ctx, role, e == ERR_OK ? buf_span(&joined) : SPAN_NONE);
    buf_free(&joined);
    return more;
}

void dialect_request_walk(const struct dialect_request *r,
                          bool (*fn)(void *ctx, struct span role, struct span text), void *ctx)
{
    const struct request_doc *doc = r->doc;
    const cJSON *message = NULL;
    if (doc == NULL) {
        return;
    }
    const cJSON *list = get(doc->root, "messages");
    if (list == NULL && r->last_text.len > 0) {
        (void)fn(ctx, SPAN("user"), r->last_text);
    }
    cJSON_ArrayForEach(message, list)
    {
        if (!walk_message(message, fn, ctx)) {
            return;
        }
    }
}

/* ---- overrides ---- */

enum err dialect_override_model(struct span body, enum endpoint endpoint, struct span model,
                                bool stream, struct buf *out, bool *changed)
{
    struct overrides how = {.model = model, .stream = stream};
    size_t before = out->len;
    struct additions added;
    /* where no stream is asked for, Ollama's too stays as written */
    enum endpoint as = stream ? endpoint : ENDPOINT_CHAT;
    enum err e = dialect_override(body, as, &how, out, &added);
    *changed = e == ERR_OK && !span_eq(span_make(out->data + before, out->len - before), body);
    return e;
}
