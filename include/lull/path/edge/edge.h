/* edge.h: the port: the listeners of [server] listen on one HTTP server, kept in step with the
 * configuration.
 */
#ifndef LULL_PATH_EDGE_EDGE_H
#define LULL_PATH_EDGE_EDGE_H

#include "lull/config/settings.h"
#include "lull/http/server.h"

struct edge;

/* handler and ctx as for http_server_create. Listens nowhere yet. */
struct edge *edge_create(struct loop *loop, const struct settings *settings,
                         const struct http_handler *handler, void *ctx);
void edge_destroy(struct edge *e); /* NULL is fine */

/* Inherited sockets (systemd) are used instead of the list when there are any. Otherwise listens on
 * every address of the list; on failure why gets one sentence and nothing has changed. */
MUST_CHECK enum err edge_open(struct edge *e, const struct settings *settings, char *why,
                              size_t why_size);
/* New settings: opens what is new, then closes what is gone; on failure nothing has changed. */
MUST_CHECK enum err edge_apply(struct edge *e, const struct settings *settings, char *why,
                               size_t why_size);
struct http_server *edge_server(struct edge *e);

#endif
