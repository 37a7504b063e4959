/* kinds.h: the closed sets that most of the program uses: kinds, outcomes, dialects.
 */
#ifndef LULL_CONFIG_KINDS_H
#define LULL_CONFIG_KINDS_H

#include "lull/base/buf.h"

#include <stdbool.h>

/* Ids of the built-in kinds. Own kinds of the configuration follow from KIND_BUILTIN_COUNT on; an
 * id is an index into settings.kinds. */
enum kind_id {
#define KIND(id, name, header, cls, cached, ttl, stale, shape, member, empty) KIND_##id,
#include "lull/config/kinds.def"
    KIND_BUILTIN_COUNT
};
enum { KIND_NONE = -1 };

enum kind_class { KIND_CLASS_BACKGROUND, KIND_CLASS_FOREGROUND, KIND_CLASS_COMPLETION };

enum kind_shape {
    KIND_SHAPE_STRING,  /* object with a string member */
    KIND_SHAPE_STRINGS, /* object with an array of strings */
    KIND_SHAPE_ARRAY,   /* object with an array */
    KIND_SHAPE_JSON,    /* any object */
    KIND_SHAPE_TEXT,    /* any text that is not blank */
    KIND_SHAPE_EMOJI,   /* a pictographic character */
};

struct kind_info {
    const char *name;
    const char *header_value; /* of the {{TASK}} header */
    enum kind_class cls;
    bool cached;
    int ttl_s, stale_s;
    enum kind_shape shape;
    const char *member;
    const char *empty; /* NULL: none */
};

/* Row of a built-in kind. */
const struct kind_info *kind_info(enum kind_id id);

enum outcome {
#define OUTCOME(id, name, without_call, help) OUTCOME_##id,
#include "lull/config/outcomes.def"
    OUTCOME_COUNT
};
/* Name as in /stats, and one sentence about it. Static, never NULL. */
const char *outcome_name(enum outcome o);
const char *outcome_help(enum outcome o);

/* Why a task was not asked behind its conversation. */
enum prefix_reason {
    PREFIX_REASON_NONE, /* it was */
#define PREFIX_REASON(id, name, help) PREFIX_REASON_##id,
#include "lull/config/prefix_reasons.def"
    PREFIX_REASON_COUNT
};
/* Name as in /stats. Static, never NULL; "" for NONE. */
const char *prefix_reason_name(enum prefix_reason r);

enum dialect { DIALECT_OPENAI, DIALECT_OLLAMA };

#endif
