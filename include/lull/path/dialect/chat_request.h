/* chat_request.h: the neutral request: what a generation request asks for, whichever API it is
 * written in.
 *
 * dialect_request_parse() reads a body once. What most of lull asks for is in the fields; the rest
 * (the key's normalized form, conversion, the messages) is looked up in the nodes that the reading
 * left. Three owners:
 * - The body is the caller's. The nodes point into it, so it must stay as it is until
 *   dialect_request_free().
 * - The request owns its nodes and the decoded texts. `model`, `system`, `last_text` and
 *   `first_user` point to memory of the request, not into the body, and are valid until
 *   dialect_request_free().
 * - The struct may be copied or moved; one copy is freed.
 */
#ifndef LULL_PATH_DIALECT_CHAT_REQUEST_H
#define LULL_PATH_DIALECT_CHAT_REQUEST_H

#include "lull/config/kinds.h"
#include "lull/config/settings.h"
#include "lull/path/json/json.h"

enum endpoint {
    ENDPOINT_OTHER,           /* not a generation (model lists, anything) */
    ENDPOINT_EMBEDDINGS,      /* .../embeddings, .../api/embed: foreground; passes through */
    ENDPOINT_CHAT,            /* .../chat/completions */
    ENDPOINT_DEPLOYMENT,      /* .../deployments/NAME/chat/completions: Azure; not assembled */
    ENDPOINT_COMPLETIONS,     /* .../completions */
    ENDPOINT_RESPONSES,       /* .../responses */
    ENDPOINT_MESSAGES,        /* .../messages */
    ENDPOINT_OLLAMA_CHAT,     /* .../api/chat */
    ENDPOINT_OLLAMA_GENERATE, /* .../api/generate */
};

/* The endpoint a path belongs to (slashes already merged, no query, no /@NAME): known by the path's
 * end, whatever base stands before it, since servers and gateways have their own ("/openai/v1",
 * "/api/v1", "/v1beta/openai"). One slash behind it makes no difference. Names count with their
 * case and as they stand: a percent-encoded one is another path. Only POST generates: call it for
 * POST only. */
enum endpoint endpoint_of(struct span path);
/* What stands before an endpoint, without "/v1" at its end: empty for the usual paths. */
struct span endpoint_base(struct span path);
enum dialect endpoint_dialect(enum endpoint e);
/* Dialect of an error for a path: that of its endpoint; else Ollama for .../api/NAME, but not for
 * .../api/v1/NAME, which is OpenAI's below a base. */
enum dialect endpoint_error_dialect(struct span path);
/* The path below the upstream's base_path that tasks of an endpoint are sent to where the client's
 * own does not lead there: that of chats where the endpoint has none of its own. */
struct span endpoint_task_path(enum endpoint e, const struct upstream_settings *to);
/* Whether tasks on it can be assembled and cached: CHAT, OLLAMA_CHAT, OLLAMA_GENERATE. */
bool endpoint_assembles(enum endpoint e);

struct dialect_request {
    enum endpoint endpoint;
    struct span model; /* decoded; empty when absent or not a string */
    bool streamed;     /* the answer will be a stream: openai stream not false, null or absent;
                       ollama stream not false */
    bool has_tools;    /* a non-empty tools or functions array, or tool_choice */
    bool
        plain_only; /* logprobs, top_logprobs, n over 1, best_of: must not be changed to a stream */
    bool has_input; /* messages with at least one entry, or a non-empty prompt: else it is a load or
                          unload call of Ollama, which is not a chat */
    bool answered;  /* a message of the assistant is in it: not the first turn */
    bool after_tool; /* the last message is a tool's: the chat goes on within a reply */
    size_t message_count;
    struct span system;     /* text of the leading system (or developer) message; empty without */
    struct span last_text;  /* text of the last message, if its role is user; text parts joined by
                               nothing; /api/generate: the prompt */
    struct span first_user; /* text of the first user message */
    /* the string that last_text is the text of; NULL: it has none, or is of several parts */
    const struct json_node *last;
    struct json_doc json; /* the body's nodes, and whether parsers read it alike */
    struct buf texts;     /* private: what the spans above point to */
};

/* Reads body. false: not a JSON object that such a request could be (out is zeroed but endpoint,
 * and need not be freed); the request is passed on as it is. Works for every endpoint but OTHER and
 * EMBEDDINGS; for COMPLETIONS the prompt counts as last_text, for RESPONSES only model and streamed
 * are filled, has_input true. */
bool dialect_request_parse(struct span body, enum endpoint endpoint, struct dialect_request *out);
void dialect_request_free(struct dialect_request *r); /* zeroed struct is fine */

/* Calls fn for every message, first to last, until it returns false. text: its text parts joined by
 * nothing; both spans are valid during the call. /api/generate: the prompt, as role user. */
void dialect_request_walk(const struct dialect_request *r,
                          bool (*fn)(void *ctx, struct span role, struct span text), void *ctx);

/* The body to send upstream: model replaced (unless empty), and with stream true a streamed answer
 * asked for (openai: stream_options.include_usage too, kept if the client gave stream_options with
 * other members). Every other byte stays as written. changed tells whether it differs from body at
 * all. */
MUST_CHECK enum err dialect_override_model(struct span body, enum endpoint endpoint,
                                           struct span model, bool stream, struct buf *out,
                                           bool *changed);

#endif
