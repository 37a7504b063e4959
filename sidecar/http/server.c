/* server.c: accepting, limits, drain.
 *
 * When descriptors run out, or max_connections is reached, accepting stops: the listeners are not
 * watched any more (a level-triggered listener that is not served is reported again and again), until a
 * connection closes or a timer tries again. Clients wait in the kernel's backlog meanwhile.
 */
#include "http/http_priv.h"

#include "lull/base/log.h"
#include "lull/base/os.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

static const usec_t ACCEPT_RETRY = 100 * USEC_PER_MS;
static const usec_t WARN_EVERY = 10 * USEC_PER_S;
static void set_accepting(struct http_server *s, bool on)
{
    if (s->accepting == on) {
        return;
    }
    s->accepting = on;
    list_each(node, &s->listeners)
    {
        struct listener *l = list_item(node, struct listener, node);
        loop_watch_set(l->watch, on ? LOOP_READ : 0);
    }
}

static void stop_accepting(struct http_server *s, const char *why)
{
    mono_t now = loop_now(s->loop);
    s->counts.refused++;
    set_accepting(s, false);
    loop_timer_start(s->accept_timer, ACCEPT_RETRY);
    if (s->warned.us == 0 || mono_diff(now, s->warned) >= WARN_EVERY) {
        s->warned = now;
        log_warn("http", "no new connections for now: %s", why);
    }
}

/* As far as the limits and the drain go. */
static void accept_again(void *ctx)
{
    struct http_server *s = ctx;
    if (!s->draining) {
        set_accepting(s, s->limits.replaces_idle || s->counts.open < s->limits.max_connections);
    }
}

void server_accept_some(struct listener *l, int most)
{
    struct http_server *s = l->server;
    for (int i = 0; i < most; i++) {
        bool full = s->counts.open >= s->limits.max_connections;
        struct http_conn *idle = full && s->limits.replaces_idle ? conn_longest_idle(s) : NULL;
        if (full && idle == NULL) {
            stop_accepting(s, "max_connections is reached");
            if (!s->limits.replaces_idle) {
                loop_timer_stop(s->accept_timer); /* a connection that closes starts it again */
            }
            return;
        }
        int fd = os_accept(l->fd);
        if (fd >= 0) {
            if (idle != NULL) {
                conn_close(idle);
            }
            conn_open(l, fd);
            continue;
        }
        if (errno == ECONNABORTED || errno == EINTR) {
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            stop_accepting(s, strerror(errno));
        }
        return;
    }
}

void server_accept(void *ctx, int events)
{
    (void)events;
    server_accept_some(ctx, ACCEPTS_PER_TURN);
}

static void set_limits(struct http_server *s, const struct http_limits *limits)
{
    s->limits = *limits;
    s->limits.high_water = limits->high_water == 0 ? HIGH_WATER : limits->high_water;
    s->limits.low_water = limits->low_water == 0 ? LOW_WATER : limits->low_water;
    s->limits.held_cost = limits->held_cost == 0 ? 1 : limits->held_cost;
    s->memory = limits->memory == NULL ? &s->own_memory : limits->memory;
    s->memory->max = limits->max_buffered;
}

struct http_server *http_server_create(struct loop *loop, const struct http_limits *limits,
                                       const struct http_handler *handler, void *ctx)
{
    struct http_server *s = mem_new(sizeof *s);
    s->loop = loop;
    set_limits(s, limits);
    s->handler = *handler;
    s->ctx = ctx;
    s->accepting = true;
    list_init(&s->listeners);
    list_init(&s->conns);
    s->accept_timer = loop_timer_create(loop, accept_again, s);
    return s;
}

void http_server_set_limits(struct http_server *s, const struct http_limits *limits)
{
    set_limits(s, limits);
    accept_again(s);
}

void http_server_destroy(struct http_server *s)
{
    if (s == NULL) {
        return;
    }
    list_each(node, &s->listeners)
    {
        listener_close(list_item(node, struct listener, node));
    }
    list_each(conn_node, &s->conns)
    {
        conn_destroy(list_item(conn_node, struct http_conn, node));
    }
    loop_timer_destroy(s->accept_timer);
    loop_defer_cancel(s->loop, &s->drained_work);
    while (s->slots != NULL) {
        struct slot *slot = s->slots;
        s->slots = slot->next;
        free(slot);
    }
    free(s);
}

/* ---- slots ---- */

struct slot *server_slot(struct http_server *s)
{
    struct slot *slot = s->slots;
    if (slot != NULL) {
        s->slots = slot->next;
        s->slot_count--;
        return slot;
    }
    slot = malloc(sizeof *slot);
    if (slot != NULL) {
        slot->request.header_count = 0;
        slot->request.origin = SPAN_NONE;
        slot->kept.len = 0;
    }
    return slot;
}

void server_slot_back(struct http_server *s, struct slot *slot)
{
    if (s->slot_count >= SLOT_SPARE) {
        free(slot);
        return;
    }
    slot->next = s->slots;
    s->slots = slot;
    s->slot_count++;
}

/* ---- drain ---- */

static void report_drained(void *ctx)
{
    struct http_server *s = ctx;
    loop_fn fn = s->drained;
    s->drained = NULL;
    if (fn != NULL) {
        fn(s->drained_ctx);
    }
}

void server_conn_closed(struct http_server *s)
{
    s->counts.open--;
    if (s->draining && s->counts.open == 0 && s->drained != NULL) {
        loop_defer(s->loop, &s->drained_work);
    }
    if (!s->draining && !s->accepting && !loop_timer_running(s->accept_timer)) {
        loop_timer_start(s->accept_timer, 0);
    }
}

void http_server_drain(struct http_server *s, loop_fn done, void *ctx)
{
    list_each(node, &s->listeners)
    {
        listener_end(list_item(node, struct listener, node));
    }
    s->draining = true;
    s->drained = done;
    s->drained_ctx = ctx;
    s->drained_work = (struct loop_deferred){.fn = report_drained, .ctx = s};
    loop_timer_stop(s->accept_timer);
    list_each(conn_node, &s->conns)
    {
        struct http_conn *c = list_item(conn_node, struct http_conn, node);
        if (conn_idle(c)) {
            conn_drain(c);
        } else if (c->state == CONN_LINGERING) {
            linger_drain(c);
        }
    }
    if (s->counts.open == 0) {
        loop_defer(s->loop, &s->drained_work);
    }
}

size_t http_server_cut(struct http_server *s)
{
    size_t cut = 0;
    list_each(node, &s->conns)
    {
        struct http_conn *c = list_item(node, struct http_conn, node);
        cut += c->state == CONN_REQUEST ? 1 : 0;
        conn_gone(c);
    }
    return cut;
}

struct http_counts http_server_counts(const struct http_server *s)
{
    return s->counts;
}
