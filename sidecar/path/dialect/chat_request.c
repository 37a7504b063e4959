/* chat_request.c: which endpoint a path is, and what a generation request asks for.
 *
 * The body is read once; everything else is looked up in its nodes. Names are compared with their
 * case. The texts that are asked for most are decoded into one buffer, whose size is known before,
 * so that the spans into it stay valid.
 */
#include "lull/path/dialect/chat_request.h"

#include "lull/path/dialect/overrides.h"

enum { JOINED_MAX = 16 * 1024 * 1024 };

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

/* ---- texts ---- */

/* Appends a message's content: a string, or the text parts of a list one after the other. false:
 * out is full, or a text has no UTF-8. */
static bool append_content(const struct json_node *content, struct buf *out)
{
    if (!json_is(content, JSON_ARRAY)) {
        return !json_is(content, JSON_STRING) || json_append_text(content, out);
    }
    JSON_EACH(part, content)
    {
        const struct json_node *type = json_get(part, SPAN("type"));
        const struct json_node *text = json_get(part, SPAN("text"));
        bool is_text = !json_is(type, JSON_STRING) || json_is_text(type, SPAN("")) ||
                       json_is_text(type, SPAN("text")) || json_is_text(type, SPAN("input_text"));
        if (is_text && json_is(text, JSON_STRING) && !json_append_text(text, out)) {
            return false;
        }
    }
    return true;
}

/* The decoded text of a content, in r->texts; empty where it has none. */
static struct span content_text(struct dialect_request *r, const struct json_node *content)
{
    size_t from = r->texts.len;
    if (!append_content(content, &r->texts)) {
        r->texts.len = from;
    }
    return r->texts.len == from ? SPAN_NONE : span_make(r->texts.data + from, r->texts.len - from);
}

/* What a request's texts are taken from; NULL where there is none. */
struct sources {
    const struct json_node *model, *system, *last, *first_user;
};

static bool has_role(const struct json_node *message, struct span role)
{
    return json_is_text(json_get(message, SPAN("role")), role);
}

static void find_in_messages(struct dialect_request *r, struct sources *found)
{
    const struct json_node *first = NULL, *last = NULL; /* the user's */
    const struct json_node *list = json_get(r->json.nodes, SPAN("messages"));
    JSON_EACH(message, list)
    {
        bool user = has_role(message, SPAN("user"));
        if (r->message_count == 0 &&
            (has_role(message, SPAN("system")) || has_role(message, SPAN("developer")))) {
            found->system = json_get(message, SPAN("content"));
        }
        first = first == NULL && user ? message : first;
        last = user ? message : NULL;
        r->answered = r->answered || has_role(message, SPAN("assistant"));
        r->after_tool = has_role(message, SPAN("tool"));
        r->message_count++;
    }
    found->first_user = json_get(first, SPAN("content"));
    found->last = json_get(last, SPAN("content"));
    r->has_input = r->message_count > 0;
}

static void find_prompt(struct dialect_request *r, struct sources *found)
{
    const struct json_node *root = r->json.nodes;
    const struct json_node *prompt = json_get(root, SPAN("prompt"));
    const struct json_node *system = json_get(root, SPAN("system"));
    bool some = json_is(prompt, JSON_STRING) && prompt->raw.len > 2;
    found->last = json_is(prompt, JSON_STRING) ? prompt : NULL;
    found->first_user = found->last;
    found->system = json_is(system, JSON_STRING) ? system : NULL;
    r->message_count = !some ? 0 : found->system != NULL && system->raw.len > 2 ? 2 : 1;
    r->has_input = some || json_first(json_get(root, SPAN("images"))) != NULL;
}

static bool decode_texts(struct dialect_request *r, const struct sources *from)
{
    const struct json_node *const all[] = {from->model, from->system, from->last, from->first_user};
    size_t room = 1;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        room += all[i] == NULL ? 0 : all[i]->raw.len;
    }
    buf_init(&r->texts, room);
    if (buf_reserve(&r->texts, room) != ERR_OK) {
        return false;
    }
    r->model = json_is(from->model, JSON_STRING) ? content_text(r, from->model) : SPAN_NONE;
    r->system = content_text(r, from->system);
    r->last_text = content_text(r, from->last);
    r->first_user =
        from->first_user == from->last ? r->last_text : content_text(r, from->first_user);
    return true;
}

/* ---- flags ---- */

static bool is_streamed(const struct json_node *root, enum endpoint endpoint)
{
    const struct json_node *stream = json_get(root, SPAN("stream"));
    if (endpoint_dialect(endpoint) == DIALECT_OLLAMA) {
        return !json_is(stream, JSON_FALSE);
    }
    /* 1 and "true" are true to some servers: in doubt it is streamed */
    return stream != NULL && stream->type != JSON_FALSE && stream->type != JSON_NULL;
}

static bool is_plain_only(const struct json_node *root)
{
    const struct json_node *logprobs = json_get(root, SPAN("logprobs"));
    return json_is(logprobs, JSON_TRUE) || json_number_of(logprobs) > 0 ||
           json_is(json_get(root, SPAN("top_logprobs")), JSON_NUMBER) ||
           json_number_of(json_get(root, SPAN("n"))) > 1 ||
           json_number_of(json_get(root, SPAN("best_of"))) > 1;
}

bool dialect_request_parse(struct span body, enum endpoint endpoint, struct dialect_request *out)
{
    struct sources found = {.model = NULL};
    *out = (struct dialect_request){.endpoint = endpoint};
    const struct json_node *root = json_read(body, &out->json);
    if (!json_is(root, JSON_OBJECT)) {
        json_doc_free(&out->json);
        return false;
    }
    out->streamed = is_streamed(root, endpoint);
    out->has_tools = json_has_items(json_get(root, SPAN("tools"))) ||
                     json_has_items(json_get(root, SPAN("functions"))) ||
                     json_given(root, SPAN("tool_choice")) != NULL;
    out->plain_only = is_plain_only(root);
    found.model = json_get(root, SPAN("model"));
    if (endpoint == ENDPOINT_OLLAMA_GENERATE || endpoint == ENDPOINT_COMPLETIONS) {
        find_prompt(out, &found);
    } else if (endpoint == ENDPOINT_RESPONSES) {
        out->has_input = true;
    } else {
        find_in_messages(out, &found);
    }
    out->last = json_is(found.last, JSON_STRING) ? found.last : NULL;
    if (!decode_texts(out, &found)) {
        dialect_request_free(out);
        out->endpoint = endpoint;
        return false;
    }
    return true;
}

void dialect_request_free(struct dialect_request *r)
{
    json_doc_free(&r->json);
    buf_free(&r->texts);
    *r = (struct dialect_request){0};
}

void dialect_request_walk(const struct dialect_request *r,
                          bool (*fn)(void *ctx, struct span role, struct span text), void *ctx)
{
    const struct json_node *list =
        r->json.count == 0 ? NULL : json_get(r->json.nodes, SPAN("messages"));
    if (list == NULL && r->last_text.len > 0) {
        (void)fn(ctx, SPAN("user"), r->last_text);
    }
    struct buf role = {.max = JOINED_MAX};
    struct buf text = {.max = JOINED_MAX};
    bool more = true;
    JSON_EACH(message, list)
    {
        const struct json_node *content = json_get(message, SPAN("content"));
        struct span said = json_text_of(content, &text);
        if (json_is(content, JSON_ARRAY) && append_content(content, &text)) {
            said = buf_span(&text);
        }
        more = more && fn(ctx, json_text_of(json_get(message, SPAN("role")), &role), said);
    }
    buf_free(&role);
    buf_free(&text);
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
