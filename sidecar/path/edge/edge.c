/* edge.c: keeps the listeners in step with [server] listen.
 *
 * A reload opens new addresses before it closes those that left the list: if one cannot be opened,
 * the listeners stay as they were. Inherited sockets (systemd) are used instead of the list and
 * stay for the life of the process, as in nginx.
 */
#include "lull/path/edge/edge.h"

#include "lull/base/log.h"
#include "lull/base/os.h"

#include <stdio.h>
#include <stdlib.h>

struct edge {
    struct http_server *server;
    struct budget *memory;
    bool inherited;
    struct strings listen; /* the open addresses, as configured; empty if inherited */
};

static const mode_t SOCKET_MODE = 0666; /* as open as a TCP port */

/* While its call is under way a task's body is there several times: as it came, as it is compared,
 * in the key of its answer, and as it is asked. What was read of it counts beside these where it is
 * longer (exchange/policy.c). */
enum { HELD_COST = 6 };

enum { OTHER_FDS = 64 }; /* to model servers, and the daemon's own */

static struct http_limits limits_of(const struct settings *settings, struct budget *memory)
{
    const struct server_settings *s = &settings->server;
    return (struct http_limits){
        .header_timeout = s->header_timeout,
        .body_timeout = s->body_timeout,
        .idle_timeout = s->idle_timeout,
        .send_timeout = s->send_timeout,
        .max_connections = (size_t)s->max_connections,
        .max_buffered = (size_t)s->max_buffered,
        .held_cost = HELD_COST,
        .memory = memory,
        .max_body = s->max_body,
    };
}

static bool listed(const struct strings *list, const char *address)
{
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i], address) == 0) {
            return true;
        }
    }
    return false;
}

struct edge *edge_create(struct loop *loop, const struct settings *settings, struct budget *memory,
                         const struct http_handler *handler, void *ctx)
{
    struct edge *e = mem_new(sizeof *e);
    struct http_limits limits = limits_of(settings, memory);
    e->memory = memory;
    os_reserve_fds(limits.max_connections + OTHER_FDS);
    e->server = http_server_create(loop, &limits, handler, ctx);
    return e;
}

void edge_destroy(struct edge *e)
{
    if (e == NULL) {
        return;
    }
    http_server_destroy(e->server);
    strings_free(&e->listen);
    free(e);
}

struct http_server *edge_server(struct edge *e)
{
    return e->server;
}

static enum err adopt_inherited(struct edge *e, int count, char *why, size_t why_size)
{
    for (int i = 0; i < count; i++) {
        enum err err = http_server_adopt(e->server, 3 + i);
        if (err != ERR_OK) {
            snprintf(why, why_size, "inherited descriptor %d is not a listening socket", 3 + i);
            return err;
        }
    }
    e->inherited = true;
    return ERR_OK;
}

enum err edge_open(struct edge *e, const struct settings *settings, char *why, size_t why_size)
{
    int inherited = os_inherited_sockets();
    if (inherited > 0) {
        return adopt_inherited(e, inherited, why, why_size);
    }
    return edge_apply(e, settings, why, why_size);
}

/* Opens the addresses that are not open; on failure closes those it opened. */
static enum err open_new(struct edge *e, const struct strings *list, char *why, size_t why_size)
{
    for (size_t i = 0; i < list->count; i++) {
        if (listed(&e->listen, list->items[i])) {
            continue;
        }
        enum err err = http_server_listen(e->server, list->items[i], SOCKET_MODE, why, why_size);
        if (err != ERR_OK) {
            while (i-- > 0) {
                if (!listed(&e->listen, list->items[i])) {
                    http_server_unlisten(e->server, list->items[i]);
                }
            }
            return err;
        }
    }
    return ERR_OK;
}

enum err edge_apply(struct edge *e, const struct settings *settings, char *why, size_t why_size)
{
    const struct strings *list = &settings->server.listen;
    if (!e->inherited) {
        enum err err = open_new(e, list, why, why_size);
        if (err != ERR_OK) {
            return err;
        }
        for (size_t i = 0; i < e->listen.count; i++) {
            if (!listed(list, e->listen.items[i])) {
                http_server_unlisten(e->server, e->listen.items[i]);
            }
        }
        strings_free(&e->listen);
        e->listen = strings_copy(list);
    }
    struct http_limits limits = limits_of(settings, e->memory);
    os_reserve_fds(limits.max_connections + OTHER_FDS);
    http_server_set_limits(e->server, &limits);
    return ERR_OK;
}
