/* port_lull.c: the editors' requests through lull: real HTTP over its Unix socket, on connections
 * that are used again, as Open WebUI's pool does it.
 */
#include "bench/typing/port.h"
#include "bench/typing/tally.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FLUSH_EVERY = 64, REPLY_MAX = 1024 * 1024 };

struct conn {
    struct conn *next_all, *next_idle;
    struct lull_port *port;
    int fd;
    struct loop_watch *watch;
    struct buf in;
    struct asking *asking; /* NULL while a chat is under way */
    bool used, first_piece;
    usec_t sent_at;
};

struct lull_port {
    struct port port;
    struct world *world;
    const struct wire *wire;
    const struct cast *cast;
    struct conn *all, *idle;
    struct buf request;
    size_t under_way, calls;
};

static usec_t now_of(const struct lull_port *p)
{
    return loop_now(world_loop(p->world)).us;
}

static void conn_idle(struct conn *c)
{
    struct lull_port *p = c->port;
    loop_watch_set(c->watch, 0);
    buf_clear(&c->in);
    c->used = false;
    c->asking = NULL;
    c->next_idle = p->idle;
    p->idle = c;
    p->under_way--;
}

/* Length of the head with its empty line; 0: not there yet. Terminates what was read. */
static size_t head_length(struct conn *c)
{
    enum err e = buf_append_char(&c->in, '\0');
    require(e == ERR_OK);
    c->in.len--;
    const char *end = c->in.len == 0 ? NULL : strstr(c->in.data, "\r\n\r\n");
    return end == NULL ? 0 : (size_t)(end - c->in.data) + 4;
}

static bool is_whole(struct conn *c, size_t head)
{
    const char *length = strstr(c->in.data, "Content-Length: ");
    if (length != NULL && length < c->in.data + head) {
        return c->in.len >= head + strtoul(length + 16, NULL, 10);
    }
    return c->in.len >= head + 5 && memcmp(c->in.data + c->in.len - 5, "0\r\n\r\n", 5) == 0;
}

static void chat_moves(struct conn *c, size_t head)
{
    struct lull_port *p = c->port;
    if (!c->first_piece && strstr(c->in.data + head, "data: ") != NULL) {
        c->first_piece = true;
        tally_chat(p->port.tally, now_of(p) - c->sent_at);
    }
    if (is_whole(c, head)) {
        p->port.tally->result.chats_refused += c->first_piece ? 0 : 1;
        conn_idle(c);
    }
}

static void answer(struct conn *c)
{
    struct answered answered;
    struct asking *asking = c->asking;
    struct lull_port *p = c->port;
    wire_read_reply(c->in.data, c->in.len, &answered);
    conn_idle(c);
    /* Time is virtual, the cache's writer is not: it must not fall behind by more than it would. */
    if (answered.how == HOW_CALL && ++p->calls % FLUSH_EVERY == 0) {
        cache_flush(world_cache(p->world));
    }
    asking->done(asking, &answered);
}

static void on_readable(void *ctx, int events)
{
    struct conn *c = ctx;
    char piece[65536];
    (void)events;
    ssize_t n = read(c->fd, piece, sizeof piece);
    require(n > 0 || (n < 0 && errno == EAGAIN));
    if (n < 0) {
        return;
    }
    enum err e = buf_append(&c->in, piece, (size_t)n);
    require(e == ERR_OK);
    size_t head = head_length(c);
    if (head == 0) {
        return;
    }
    if (c->asking == NULL) {
        chat_moves(c, head);
    } else if (is_whole(c, head)) {
        answer(c);
    }
}

static struct conn *conn_new(struct lull_port *p)
{
    struct conn *c = mem_new(sizeof *c);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = strlen(world_port(p->world));
    require(len < sizeof address.sun_path);
    memcpy(address.sun_path, world_port(p->world), len);
    c->port = p;
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    require(c->fd >= 0);
    require(connect(c->fd, (struct sockaddr *)&address, sizeof address) == 0);
    c->watch = loop_watch_create(world_loop(p->world), c->fd, on_readable, c);
    buf_init(&c->in, REPLY_MAX);
    c->next_all = p->all;
    p->all = c;
    return c;
}

/* Sends what is in p->request. */
static void conn_send(struct lull_port *p, struct asking *asking)
{
    struct conn *c = p->idle;
    if (c == NULL) {
        c = conn_new(p);
    } else {
        p->idle = c->next_idle;
    }
    c->used = true;
    c->first_piece = false;
    c->asking = asking;
    c->sent_at = now_of(p);
    ssize_t n = write(c->fd, p->request.data, p->request.len);
    require(n == (ssize_t)p->request.len);
    loop_watch_set(c->watch, LOOP_READ);
    p->under_way++;
}

static void lull_ask(struct port *port, struct asking *asking)
{
    struct lull_port *p = (struct lull_port *)port;
    buf_clear(&p->request);
    wire_autocomplete(p->wire, p->cast, asking->person, asking->context, asking->text, &p->request);
    conn_send(p, asking);
}

static void lull_chat(struct port *port, size_t person, size_t message)
{
    struct lull_port *p = (struct lull_port *)port;
    buf_clear(&p->request);
    wire_chat(p->wire, p->cast, person, message, &p->request);
    port->tally->result.chats++;
    conn_send(p, NULL);
}

static bool lull_busy(const struct port *port)
{
    return ((const struct lull_port *)port)->under_way > 0;
}

static void lull_destroy(struct port *port)
{
    struct lull_port *p = (struct lull_port *)port;
    require(p->under_way == 0);
    while (p->all != NULL) {
        struct conn *c = p->all;
        p->all = c->next_all;
        loop_watch_destroy(c->watch);
        close(c->fd);
        buf_free(&c->in);
        free(c);
    }
    buf_free(&p->request);
    free(p);
}

struct port *port_lull_create(struct world *w, const struct wire *wire, const struct cast *cast)
{
    struct lull_port *p = mem_new(sizeof *p);
    p->port = (struct port){lull_ask, lull_chat, lull_destroy, lull_busy, NULL};
    p->world = w;
    p->wire = wire;
    p->cast = cast;
    buf_init(&p->request, REPLY_MAX);
    return &p->port;
}
