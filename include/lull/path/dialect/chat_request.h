/* chat_request.h: what a generation request asks, in neutral words.
 */
#ifndef LULL_PATH_DIALECT_CHAT_REQUEST_H
#define LULL_PATH_DIALECT_CHAT_REQUEST_H

#include "lull/config/kinds.h"

enum endpoint {
    ENDPOINT_OTHER,           /* not a generation (embeddings, model lists, anything) */
    ENDPOINT_EMBEDDINGS,      /* counts as foreground later; passes through */
    ENDPOINT_CHAT,            /* POST /v1/chat/completions, /chat/completions */
    ENDPOINT_COMPLETIONS,     /* POST /v1/completions, /completions */
    ENDPOINT_RESPONSES,       /* POST /v1/responses, /responses */
    ENDPOINT_MESSAGES,        /* POST /v1/messages, /messages */
    ENDPOINT_OLLAMA_CHAT,     /* POST /api/chat */
    ENDPOINT_OLLAMA_GENERATE, /* POST /api/generate */
};

/* The endpoint a path belongs to (slashes already merged, no query, no /@NAME). Only POST
 * generates: call it for POST only. */
enum endpoint endpoint_of(struct span path);
enum dialect endpoint_dialect(enum endpoint e);
/* Dialect of an error for a path: Ollama for /api/..., else OpenAI. */
enum dialect endpoint_error_dialect(struct span path);
/* The path that tasks of an endpoint are sent to: that of chats where it has none of its own. */
struct span endpoint_task_path(enum endpoint e);
/* Whether tasks on it can be assembled and cached: chat, ollama chat, ollama generate. */
bool endpoint_assembles(enum endpoint e);

struct dialect_request {
    enum endpoint endpoint;
    struct span model; /* decoded; empty when absent or not a string */
    bool streamed;  /* the answer will be a stream: openai stream true, ollama stream not false */
    bool has_tools; /* a non-empty tools or functions array, or tool_choice */
    bool
        plain_only; /* logprobs, top_logprobs, n over 1, best_of: must not be changed to a stream */
    bool has_input; /* messages with at least one entry, or a non-empty prompt: else it is a load or
                       unload call of Ollama, which is not a chat */
    size_t message_count;
    struct span system;     /* text of the leading system (or developer) message; empty without */
    struct span last_text;  /* text of the last message, if its role is user; text parts joined by
                               nothing; /api/generate: the prompt */
    struct span first_user; /* text of the first user message */
    void *doc;              /* private: owns all texts */
};

/* Parses body. false: not a JSON object that such a request could be (out is zeroed but endpoint);
 * the request is passed on as it is. Works for every endpoint but OTHER and EMBEDDINGS; for
 * COMPLETIONS the prompt counts as last_text, for RESPONSES only model and streamed are filled,
 * has_input true. */
bool dialect_request_parse(struct span body, enum endpoint endpoint, struct dialect_request *out);
void dialect_request_free(struct dialect_request *r);

/* Calls fn for every message, first to last, until it returns false. text: its text parts joined by
 * nothing; both spans are valid during the call. /api/generate: the prompt, as role user. */
void dialect_request_walk(const struct dialect_request *r,
                          bool (*fn)(void *ctx, struct span role, struct span text), void *ctx);

/* The body to send upstream: model replaced (unless empty), and with stream true a streamed answer
 * asked for (openai: stream_options.include_usage too, kept if the client gave stream_options with
 * other members). Every other byte stays as written. changed tells whether it differs from body at
 * all. */
MUST_CHECK enum err dialect_request_shape(struct span body, enum endpoint endpoint,
                                          struct span model, bool stream, struct buf *out,
                                          bool *changed);

#endif
