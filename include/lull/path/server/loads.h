/* loads.h: how chats in Ollama's dialect have a model loaded (num_ctx and its like). A task that
 * asks for the same model with other load options makes Ollama load it again, so tasks are sent
 * with the options of the last chat.
 */
#ifndef LULL_PATH_SERVER_LOADS_H
#define LULL_PATH_SERVER_LOADS_H

#include "lull/path/dialect/overrides.h"
#include "lull/path/server/server.h"

/* A chat for that model is sent; body: NULL: it could not be read. Does nothing where it names no load
 * options that can be read. */
void loads_note(struct server_model *m, const struct json_node *body, enum endpoint endpoint);
/* The last chat's, for overrides.load; empty: there was none. Valid as long as the record. */
struct span loads_of(const struct server_model *m);

#endif
