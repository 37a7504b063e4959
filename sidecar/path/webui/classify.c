/* classify.c: a task, a chat, or something else?
 *
 * Two sources. The task header, where Open WebUI is configured to send it, decides: its values are
 * a closed set, and an empty one means a chat. Without it the text decides (signatures.c), and only
 * where all else agrees: an endpoint whose answers can be assembled, an answer that is not
 * streamed, no tools, one message beside the system's. In doubt a request is a chat: a chat taken
 * for a task can be delayed, answered from the cache or answered empty; a task taken for a chat
 * only costs what lull would have saved.
 *
 * No state and no ownership: all values are borrowed, `why` points to static text.
 *
 * Rejected: believing the text against an empty header (users paste prompts); taking the order of
 * JSON members as a sign (it differs between dialects and clients).
 */
#include "path/webui/webui_priv.h"

/* The one value of Open WebUI's own that is a chat: a merge of several replies, which a person
 * waits for. */
static const char merge_value[] = "moa_response_generation";

/* What the request is when it is no task. */
static enum task_class plain_class(enum endpoint endpoint, const struct dialect_request *request)
{
    switch (endpoint) {
    case ENDPOINT_OTHER:
    case ENDPOINT_EMBEDDINGS:
        return TASK_CLASS_OTHER;
    case ENDPOINT_OLLAMA_CHAT:
    case ENDPOINT_OLLAMA_GENERATE:
        /* without messages or a prompt it loads or unloads a model */
        return request != NULL && !request->has_input ? TASK_CLASS_OTHER : TASK_CLASS_CHAT;
    case ENDPOINT_CHAT:
    case ENDPOINT_DEPLOYMENT:
    case ENDPOINT_COMPLETIONS:
    case ENDPOINT_RESPONSES:
    case ENDPOINT_MESSAGES:
        break;
    }
    return TASK_CLASS_CHAT;
}

static struct task_decision task_of(int kind, const char *why)
{
    return (struct task_decision){.cls = TASK_CLASS_TASK, .kind = kind, .why = why};
}

static int kind_of_header(const struct settings *settings, struct span value)
{
    for (size_t i = 0; i < settings->kind_count; i++) {
        const char *name = i < KIND_BUILTIN_COUNT ? kind_info((enum kind_id)i)->header_value
                                                  : settings->kinds[i].name;
        if (span_eq(value, span_of(name))) {
            return (int)i;
        }
    }
    return KIND_NONE;
}

static struct task_decision by_header(const struct settings *settings, enum task_class plain,
                                      struct span value)
{
    struct task_decision d = {.cls = plain, .kind = KIND_NONE, .by_header = true};
    if (value.len == 0) {
        d.why = "the task header is empty";
        return d;
    }
    if (span_eq(value, span_of(merge_value))) {
        d.why = "the task header names a merge of replies";
        return d;
    }
    int kind = kind_of_header(settings, value);
    if (kind == KIND_NONE) {
        d.by_header = false;
        d.unknown_header = true;
        d.why = "the task header's value is not known";
        return d;
    }
    d = task_of(kind, "the task header names the kind");
    d.by_header = true;
    return d;
}

/* Why the text is not used; NULL where it is. */
static const char *text_objection(enum endpoint endpoint, const struct dialect_request *request)
{
    if (!endpoint_assembles(endpoint)) {
        return "no endpoint of tasks";
    }
    if (request == NULL) {
        return "the body was not held, or is no request";
    }
    if (request->streamed) {
        return "the answer is streamed";
    }
    if (request->has_tools) {
        return "it has tools";
    }
    if (!text_is_single(request)) {
        return "a conversation of several messages";
    }
    return NULL;
}

static struct task_decision by_text(const struct settings *settings, enum endpoint endpoint,
                                    const struct dialect_request *request)
{
    struct task_decision d = {.cls = plain_class(endpoint, request), .kind = KIND_NONE};
    if (d.cls == TASK_CLASS_OTHER) {
        d.why = "not a generation";
        return d;
    }
    d.why = text_objection(endpoint, request);
    if (d.why != NULL) {
        return d;
    }
    int kind = text_match_settings(settings, request);
    if (kind != KIND_NONE) {
        return task_of(kind, "its text matches the configuration");
    }
    switch (text_match_table(request, &kind)) {
    case TEXT_TASK:
        return task_of(kind, "its text is a prompt of Open WebUI's");
    case TEXT_CHAT:
        d.why = "its text is a prompt for chats";
        break;
    case TEXT_LOOKALIKE:
        d.lookalike = true;
        d.why = "it begins like a task and does not go on like one";
        break;
    case TEXT_UNKNOWN:
        d.why = "its text is no known prompt";
        break;
    }
    return d;
}

struct task_decision task_classify(const struct settings *settings, enum endpoint endpoint,
                                   enum task_header header, struct span header_value,
                                   const struct dialect_request *request)
{
    if (settings->mode == TASKS_OFF) {
        return (struct task_decision){.cls = plain_class(endpoint, request),
                                      .kind = KIND_NONE,
                                      .why = "tasks are switched off"};
    }
    if (header == TASK_HEADER_ABSENT) {
        return by_text(settings, endpoint, request);
    }
    struct span value = header == TASK_HEADER_VALUE ? span_trim(header_value) : SPAN_NONE;
    return by_header(settings, plain_class(endpoint, request), value);
}

bool task_class_is_apart(const struct settings *settings, const struct dialect_request *request,
                         const struct task_decision *d, struct span text)
{
    return d->by_header || text_match_is_apart(settings, request, text);
}
