/* overrides.h: what lull adds to a task before it is sent: caps, temperature, thinking off, the
 * kind's schema, the load options of the last chat, and the user's own members.
 */
#ifndef LULL_PATH_DIALECT_OVERRIDES_H
#define LULL_PATH_DIALECT_OVERRIDES_H

#include "lull/config/settings.h"
#include "lull/path/dialect/chat_request.h"

/* What answers there, as far as it is known: how it is told not to think differs. */
enum server_sort {
    SERVER_OPENAI,    /* of OpenAI's type, nothing else known: vLLM, LM Studio, LocalAI ... */
    SERVER_LLAMA_CPP, /* it has /props */
    SERVER_OLLAMA,    /* it has /api/version */
    SERVER_HOSTED,    /* https, not counted as a machine */
};

struct shaping {
    const struct kind_policy *policy; /* max_tokens, temperature, think, json_schema, id_slot,
                                         extra, shape, shape_member, keep_alive, num_ctx */
    enum server_sort sort;
    bool schema;       /* the schema also where json_schema = no: the second try of retry_shape */
    struct span load;  /* dialect_load_of() of the last chat with that model there; empty: none */
    struct span model; /* to ask for; empty: as written */
    bool stream;       /* ask for a streamed answer */
    bool additions;    /* false: only model and stream */
};

/* Appends the body as it is to be sent to `endpoint` (CHAT, OLLAMA_CHAT or OLLAMA_GENERATE; already
 * in that dialect). Every member that is not touched stays as written. Only additions that the
 * request does not itself decide: a client's own response_format/format, think/reasoning_effort/
 * chat_template_kwargs win over `auto` (not over off and on). *added: something beyond the model
 * was changed, so a server may refuse it. */
MUST_CHECK enum err dialect_shape(struct span body, enum endpoint endpoint,
                                  const struct shaping *how, struct buf *out, bool *added);

/* The JSON schema of a kind's answer, as JSON text; false: the kind has none. No lengths and no
 * constants in it: they make grammars crawl (model-servers.md §3). */
bool dialect_schema(const struct kind_policy *policy, struct buf *out);

/* The load options of a chat in Ollama's dialect, as a small JSON object for shaping.load:
 * num_ctx, num_batch, num_gpu, main_gpu, use_mmap, num_thread of its options (a change of one makes
 * Ollama load the model again) and keep_alive, as written; "{}" where it names none. ERR_NOT_FOUND:
 * not a chat of that dialect. Bounded: ERR_TOO_LARGE above DIALECT_LOAD_MAX. */
enum { DIALECT_LOAD_MAX = 512 };
MUST_CHECK enum err dialect_load_of(struct span body, enum endpoint endpoint, struct buf *out);

#endif
