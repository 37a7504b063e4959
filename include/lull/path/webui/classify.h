/* classify.h: is this request a task of Open WebUI's, a chat, or something else? In doubt: a chat.
 */
#ifndef LULL_PATH_WEBUI_CLASSIFY_H
#define LULL_PATH_WEBUI_CLASSIFY_H

#include "lull/base/hash.h"
#include "lull/config/settings.h"
#include "lull/path/dialect/chat_request.h"

/* Bumped whenever signatures.def changes: part of every level-1 key (level 2 holds the kind
 * itself). */
enum { TASK_SIGNATURES_VERSION = 2 };

enum task_class { TASK_CLASS_OTHER, TASK_CLASS_CHAT, TASK_CLASS_TASK };

enum task_header {
    TASK_HEADER_ABSENT,
    TASK_HEADER_EMPTY,
    TASK_HEADER_VALUE,
};

struct task_decision {
    enum task_class cls;
    int kind;            /* index into settings.kinds, or KIND_NONE */
    bool by_header;      /* the header named the kind */
    bool unknown_header; /* a header value that is not known: a chat, counted */
    bool lookalike;      /* a chat that looks like a task: counted */
    const char *why;     /* one phrase for explain and debug, static */
};

/* The task header decides; without it the text does, in doubt it is a chat (classify.c). endpoint:
 * of a POST (ENDPOINT_OTHER otherwise). request: parsed body, NULL where the body is not held or
 * not JSON (then only the header decides). header value is compared exactly, after trimming.
 * moa_response_generation is a chat. A known header value on a POST makes a task whatever the
 * endpoint (forms that cannot be assembled are passed on by the caller). */
struct task_decision task_classify(const struct settings *settings, enum endpoint endpoint,
                                   enum task_header header, struct span header_value,
                                   const struct dialect_request *request);

/* For titles: whether the conversation in the prompt already has a reply (a non-blank ASSISTANT
 * line in its history); false where the prompt has no history. */
bool task_title_has_reply(const struct dialect_request *request);

/* For kinds of class completion: the text being completed. Where the default template is not found
 * the whole last message is the text. */
struct task_completion {
    struct span text;   /* points into the request's last_text; empty when there is none */
    bool history_empty; /* no chat history in the prompt, or none that was found */
    bool found;         /* the default template's form was found */
};
struct task_completion task_completion_of(const struct dialect_request *request);

/* Where the completed text stands in a body as it came, if it is of the default template's form and
 * the text has no '<'. A guess by the bytes alone: what stands around it has to be compared with a
 * request that was read. Whatever text without '<' stands there instead, task_completion_of() finds
 * it there. false: there is no such place. */
struct task_typed {
    struct span before, text, after;
};
bool task_typed_of(struct span body, struct task_typed *out);

/* Whether a request is classified as it was (d) whatever stands in place of `text`, a part of its last
 * text. In doubt false. */
bool task_class_is_apart(const struct settings *settings, const struct dialect_request *request,
                         const struct task_decision *d, struct span text);

/* Whether two completions of equal context come from one typist: one text
 * extends or truncates the other with at least 12 code points in common; 24 where the scope is not
 * one user's and the history is empty. Equal texts are related when long enough. */
bool task_same_typist(struct span a, struct span b, bool one_user, bool history_empty);

#endif
