/* edge.h: the addresses of [server] listen on one HTTP server, kept in step with the configuration.
 * All functions are for the loop thread; none calls back before it returns.
 */
#ifndef LULL_PATH_EDGE_EDGE_H
#define LULL_PATH_EDGE_EDGE_H

#include "lull/config/settings.h"
#include "lull/http/server.h"

struct edge;

/* handler and ctx as for http_server_create(). memory: bounds held bodies and what else counts in it;
 * its max becomes max_buffered; borrowed; NULL: the server's own. No listener is open yet. Owns the
 * HTTP server. */
struct edge *edge_create(struct loop *loop, const struct settings *settings, struct budget *memory,
                         const struct http_handler *handler, void *ctx);
void edge_destroy(struct edge *e); /* NULL is fine */

/* Listens on every address of the list; on failure why gets one sentence and no listener is open.
 * Inherited sockets (systemd), where there are any, are used instead of the list; ERR_INVALID: one
 * of them is no listening socket (those before it stay open). */
MUST_CHECK enum err edge_open(struct edge *e, const struct settings *settings, char *why,
                              size_t why_size);
/* New settings after a reload: opens addresses that are new, then closes those that left the list,
 * and sets the limits. An address that cannot be open beside one of the same port that leaves takes its
 * place: a client that connects between the two calls of the system is refused. On failure why gets one
 * sentence and nothing has changed, but for such an address that another program took meanwhile (one
 * line in the log). */
MUST_CHECK enum err edge_apply(struct edge *e, const struct settings *settings, char *why,
                               size_t why_size);
struct http_server *edge_server(struct edge *e);

#endif
