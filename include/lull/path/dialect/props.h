/* props.h: what a model server says about itself. */
#ifndef LULL_PATH_DIALECT_PROPS_H
#define LULL_PATH_DIALECT_PROPS_H

#include "lull/base/buf.h"

#include <stdint.h>

/* llama.cpp's total_slots in the body of GET /props; 0: it is not such a body. */
int64_t dialect_props_slots(struct span body);
/* Tokens of a slot's context, by the same; 0: it does not say. */
int64_t dialect_props_context(struct span body);
/* Whether body is what Ollama answers to GET /api/version. */
bool dialect_is_version(struct span body);

#endif
