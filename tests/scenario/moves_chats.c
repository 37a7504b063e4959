/* moves_chats.c: the chat first, whatever else goes on: a chat is at its model server in the instant in
 * which the last byte of its request has come, each piece of the answer is at its client in the instant
 * in which the server says it, and so is the end. No task, throttle, breaker, pause, reload or want of
 * disk may add to that.
 */
#include "scenario/moves_priv.h"

#include <stdio.h>
#include <string.h>

enum { LOOKS = 64 }; /* at a client's socket, which takes a part of a long reply at a time */

static bool is_about(const struct upstream_call *call, const struct ask *a)
{
    char mark[16];
    snprintf(mark, sizeof mark, "q%dq", a->subject);
    return kind_of_body(model_body(call)) == ASK_CHAT && strstr(model_body(call), mark) != NULL;
}

/* Whether its reply has begun, which may be an error of lull's own, or will never. */
static bool is_answered(struct client *c)
{
    return client_reply(c)[0] != '\0' || client_closed(c);
}

void chats_check_sent(struct game *g, const struct person *p, size_t calls)
{
    const struct ask *a = &p->asks[0];
    bool sent = g->slow || world_draining(g->world) || is_answered(p->client);
    for (size_t i = calls; i < model_calls(g->world) && !sent; i++) {
        sent = is_about(model_call(g->world, i), a);
    }
    if (!sent) {
        reply_fail(a, &(struct reply){0}, "a chat waits");
    }
}

static bool asks_about(const struct person *p, const struct upstream_call *call)
{
    return p->client != NULL && p->count > 0 && !p->ends && p->asks[0].kind == ASK_CHAT &&
           is_about(call, &p->asks[0]);
}

/* The client whose oldest request is what the call is about; NULL: none, or that is not certain. A chat
 * whose reply is whole waits no more: the call is one that warms its server up for the next turn. */
static struct person *client_of(struct game *g, const struct upstream_call *call)
{
    struct person *found = NULL;
    for (size_t i = 0; i < PEOPLE; i++) {
        struct person *p = &g->people[i];
        if (asks_about(p, call)) {
            person_look(g, p);
        }
        bool waits = asks_about(p, call);
        if (waits && found != NULL) {
            return NULL;
        }
        found = waits ? p : found;
    }
    size_t calls = 0;
    for (size_t i = 0; i < model_calls(g->world) && found != NULL; i++) {
        calls += model_open(model_call(g->world, i)) &&
                 is_about(model_call(g->world, i), &found->asks[0]);
    }
    return calls > 1 || memory_is_short() ? NULL : found;
}

struct person *chats_client(struct game *g, const struct upstream_call *call)
{
    struct person *p = model_held(call) ? NULL : client_of(g, call);
    if (p != NULL) {
        (void)client_reply(p->client); /* so that there is room */
        world_pass(g->world, 0);
    }
    return p;
}

static bool has_said(const struct person *p, const char *text)
{
    return strstr(client_reply(p->client), text) != NULL;
}

/* The first reply that is not a 1xx has come to its end. */
static bool is_over(struct person *p, const char *unused)
{
    bool closed = client_closed(p->client);
    struct span text = span_of(client_reply(p->client));
    struct reply r = reply_at(text, false, closed);
    (void)unused;
    while (r.len > 0 && r.status < 200) {
        text = span_make(text.ptr + r.len, text.len - r.len);
        r = reply_at(text, false, closed);
    }
    return closed || r.len > 0;
}

static void check(struct game *g, struct person *p, bool (*holds)(struct person *, const char *),
                  const char *text, const char *what)
{
    int looks = 0;
    while (p != NULL && !holds(p, text) && looks++ < LOOKS) {
        world_pass(g->world, 0);
    }
    if (looks > LOOKS) {
        reply_fail(&p->asks[0], &(struct reply){.head = span_of(client_reply(p->client))}, what);
    }
}

static bool said_or_closed(struct person *p, const char *text)
{
    return client_closed(p->client) || has_said(p, text);
}

void chats_check_said(struct game *g, struct person *p, const char *text)
{
    check(g, p, said_or_closed, text, "a piece of a chat waits");
}

void chats_check_over(struct game *g, struct person *p)
{
    check(g, p, is_over, "", "the end of a chat waits");
}
