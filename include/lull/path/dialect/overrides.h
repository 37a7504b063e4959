/* overrides.h: what lull adds to a task before it is sent: caps, temperature, thinking off, the
 * kind's schema, the load options of the last chat, and the user's own members.
 */
#ifndef LULL_PATH_DIALECT_OVERRIDES_H
#define LULL_PATH_DIALECT_OVERRIDES_H

#include "lull/config/settings.h"
#include "lull/path/dialect/chat_request.h"

/* What kind of server it is, as far as that is known: they switch thinking off differently. */
enum server_sort {
    SERVER_OPENAI,    /* of OpenAI's type, nothing else known: vLLM, LM Studio, LocalAI ... */
    SERVER_LLAMA_CPP, /* it has /props */
    SERVER_OLLAMA,    /* it has /api/version */
    SERVER_HOSTED,    /* https, not counted as a machine */
};

/* What may be added, in classes that a server knows or does not know as a whole; as bits. The
 * likeliest reason of a refusal first: where a server refuses a request and does not say why, the
 * first that the request has is taken for it. */
enum addition {
    ADDITION_EXTRA = 1,         /* the user's own members */
    ADDITION_SCHEMA = 2,        /* response_format, format */
    ADDITION_SLOT = 4,          /* id_slot */
    ADDITION_LOAD = 8,          /* keep_alive, num_ctx and what else loads a model */
    ADDITION_THINK = 16,        /* think, chat_template_kwargs, reasoning_effort */
    ADDITION_LIMITS = 32,       /* max_tokens, temperature */
    ADDITION_STREAM_USAGE = 64, /* stream_options; only with STREAM */
    ADDITION_STREAM = 128,      /* a streamed answer */
    ADDITION_ALL = 255,
};
enum { ADDITIONS = 8 };
/* "schema", "stream" ... of one bit, for display. */
const char *addition_name(unsigned one);
/* Which addition of the set `among` an error's text names first, by one of its members' names (of
 * `extra`, a JSON object, the members themselves); 0: none. A plain English word such as "stream"
 * counts only where it stands as the name of a member: quoted, or after a word like "field". */
unsigned addition_named(struct span text, unsigned among, struct span extra);

/* Of one request. */
struct additions {
    unsigned sent; /* were added, and changed something */
    unsigned left; /* would have been added, but were to be left out */
};

struct overrides {
    const struct kind_policy *policy; /* max_tokens, temperature, think, json_schema, id_slot,
                                         extra, shape, shape_member, keep_alive, num_ctx */
    enum server_sort sort;
    bool schema;       /* the schema also where json_schema = no: the second try of retry_shape */
    struct span load;  /* dialect_load_of() of the last chat with that model there; empty: none */
    struct span model; /* to ask for; empty: as written */
    const struct json_node *root; /* of the body, if it has been read already; NULL: it is read */
    bool stream;                  /* ask for a streamed answer */
    unsigned without;             /* additions to leave out */
};

/* Appends the body as it is to be sent to `endpoint` (CHAT, OLLAMA_CHAT or OLLAMA_GENERATE; already
 * in that dialect). Every member that is not touched stays as written. Only additions that the
 * request does not itself decide: a client's own response_format/format, think/reasoning_effort/
 * chat_template_kwargs win over `auto` (not over off and on). *added: what a server may refuse; the
 * model is not among it. */
MUST_CHECK enum err dialect_override(struct span body, enum endpoint endpoint,
                                     const struct overrides *how, struct buf *out,
                                     struct additions *added);

/* The JSON schema of a kind's answer, as JSON text; false: the kind has none. No lengths and no
 * constants in it: with them the grammar that a server makes of it is slow. */
bool dialect_schema(const struct kind_policy *policy, struct buf *out);

/* The load options of a chat in Ollama's dialect, as a small JSON object for overrides.load:
 * num_ctx, num_batch, num_gpu, main_gpu, use_mmap, num_thread of its options (a change of one makes
 * Ollama load the model again) and keep_alive, as written; "{}" where it names none. ERR_NOT_FOUND:
 * not a chat of that dialect. Bounded: ERR_TOO_LARGE above DIALECT_LOAD_MAX. */
enum { DIALECT_LOAD_MAX = 512 };
MUST_CHECK enum err dialect_load_of(const struct json_node *body, enum endpoint endpoint,
                                    struct buf *out);

#endif
