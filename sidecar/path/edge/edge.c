/* edge.c: keeps the listeners in step with [server] listen.
 *
 * A reload opens new addresses before it closes those that left the list: if one cannot be opened,
 * the listeners stay as they were. Where the system allows only one of two (127.0.0.1:P and 0.0.0.0:P),
 * the old one is closed right before, and opened again if the new one cannot be. Inherited sockets
 * (systemd) are used instead of the list and stay for the life of the process, as in nginx.
 */
#include "lull/path/edge/edge.h"

#include "lull/base/listen_address.h"
#include "lull/base/log.h"
#include "lull/base/os.h"

#include <netinet/in.h>
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

/* ---- from one list to another ---- */

struct change {
    struct edge *e;
    const struct strings *list; /* the new one */
    bool *closed;               /* of the open addresses: those that were closed */
};

/* 0 of a Unix socket, and where it is another port each time. */
static unsigned port_of(const char *address)
{
    struct listen_address a;
    return listen_address_parse(address, &a) ? a.port : 0;
}

static bool is_wildcard(const char *address, int family)
{
    struct listen_address a;
    return listen_address_parse(address, &a) && listen_address_is_wildcard(&a, family);
}

static bool lists_ipv4_wildcard(const struct strings *list, unsigned port)
{
    for (size_t i = 0; i < list->count; i++) {
        if (is_wildcard(list->items[i], AF_INET) && port_of(list->items[i]) == port) {
            return true;
        }
    }
    return false;
}

/* Whether it is [::], and is to take IPv4 from now on, or to leave it to 0.0.0.0: that is decided when it
 * is opened, by what is open then. */
static bool takes_others(const struct change *c, const char *address)
{
    unsigned port = port_of(address);
    return is_wildcard(address, AF_INET6) && port != 0 &&
           lists_ipv4_wildcard(&c->e->listen, port) != lists_ipv4_wildcard(c->list, port);
}

/* Whether an open address stays open. */
static bool is_kept(const struct change *c, const char *address)
{
    return listed(&c->e->listen, address) && listed(c->list, address) && !takes_others(c, address);
}

/* Closes the open addresses of that port that are not kept. false: there are none. */
static bool close_port(struct change *c, unsigned port)
{
    const struct strings *open = &c->e->listen;
    bool any = false;
    for (size_t i = 0; i < open->count && port != 0; i++) {
        if (!c->closed[i] && !is_kept(c, open->items[i]) && port_of(open->items[i]) == port) {
            http_server_unlisten(c->e->server, open->items[i]);
            c->closed[i] = any = true;
        }
    }
    return any;
}

static enum err open_address(struct change *c, const char *address, char *why, size_t why_size)
{
    struct http_server *server = c->e->server;
    if (takes_others(c, address)) {
        (void)close_port(c, port_of(address));
    }
    enum err err = http_server_listen(server, address, SOCKET_MODE, why, why_size);
    if (err == ERR_BUSY && close_port(c, port_of(address))) {
        why[0] = '\0';
        err = http_server_listen(server, address, SOCKET_MODE, why, why_size);
    }
    return err;
}

/* Closes the first `count` addresses of the new list, and opens again what was closed for them. */
static void go_back(struct change *c, size_t count)
{
    const struct strings *open = &c->e->listen;
    char why[256];
    for (size_t i = 0; i < count; i++) {
        if (!is_kept(c, c->list->items[i])) {
            http_server_unlisten(c->e->server, c->list->items[i]);
        }
    }
    for (size_t i = 0; i < open->count; i++) {
        if (c->closed[i] && http_server_listen(c->e->server, open->items[i], SOCKET_MODE, why,
                                               sizeof why) != ERR_OK) {
            log_error("edge", "%s", why);
            open->items[i][0] = '\0'; /* not open any more: no address of a list is empty */
        }
    }
}

static enum err change_list(struct change *c, char *why, size_t why_size)
{
    const struct strings *open = &c->e->listen;
    for (size_t i = 0; i < c->list->count; i++) {
        const char *address = c->list->items[i];
        enum err err = is_kept(c, address) ? ERR_OK : open_address(c, address, why, why_size);
        if (err != ERR_OK) {
            go_back(c, i);
            return err;
        }
    }
    for (size_t i = 0; i < open->count; i++) {
        if (!c->closed[i] && !is_kept(c, open->items[i])) {
            http_server_unlisten(c->e->server, open->items[i]);
        }
    }
    return ERR_OK;
}

enum err edge_apply(struct edge *e, const struct settings *settings, char *why, size_t why_size)
{
    const struct strings *list = &settings->server.listen;
    if (!e->inherited) {
        struct change c = {e, list, mem_new((e->listen.count + 1) * sizeof *c.closed)};
        enum err err = change_list(&c, why, why_size);
        free(c.closed);
        if (err != ERR_OK) {
            return err;
        }
        strings_free(&e->listen);
        e->listen = strings_copy(list);
    }
    struct http_limits limits = limits_of(settings, e->memory);
    os_reserve_fds(limits.max_connections + OTHER_FDS);
    http_server_set_limits(e->server, &limits);
    return ERR_OK;
}
