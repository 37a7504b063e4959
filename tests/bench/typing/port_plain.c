/* port_plain.c: what lull is measured against: nothing between the editors and the model
 * (`direct`), and an oracle.
 *
 * The oracle knows when each person presses the next key, and keeps every suggestion as lull may:
 * it answers at once what a kept suggestion holds, waits with the request for a call under way that
 * will hold it, and calls only where the answer, by what the slot has to do before, will be whole
 * in time to be seen in a pause that counts. Everything else it answers empty at once. It does not
 * know what the model will say. It decides request by request, in order of arrival.
 */
#include "bench/typing/port.h"
#include "bench/typing/tally.h"

#include "lull/base/list.h"

#include <stdlib.h>

struct waiting {
    struct list node;
    struct plain_port *port;
    struct asking *asking;
    struct record *source; /* oracle: the call that is waited for; NULL: its own, or none */
    struct answered answered;
    usec_t begun; /* of a chat */
};

struct plain_port {
    struct port port;
    struct loop *loop;
    struct model *model;
    const struct cast *cast;
    struct list ready, waiters;
    struct loop_timer *timer;
    size_t under_way;
};

static void fill(struct answered *out, enum how how, struct span text)
{
    require(text.len < sizeof out->text);
    out->how = how;
    out->len = text.len;
    if (text.len > 0) {
        memcpy(out->text, text.ptr, text.len);
    }
    out->text[text.len] = '\0';
}

static void deliver(struct waiting *w)
{
    w->port->under_way--;
    list_remove(&w->node);
    w->asking->done(w->asking, &w->answered);
    free(w);
}

static void on_ready(void *ctx)
{
    struct plain_port *p = ctx;
    while (!list_empty(&p->ready)) {
        deliver(list_item(p->ready.next, struct waiting, node));
    }
}

static struct waiting *wait_new(struct plain_port *p, struct asking *asking)
{
    struct waiting *w = mem_new(sizeof *w);
    w->port = p;
    w->asking = asking;
    w->begun = loop_now(p->loop).us;
    list_init(&w->node);
    p->under_way++;
    return w;
}

/* Answers the requests that wait for the call that ended with the rest of its suggestion. */
static void answer_waiters(struct plain_port *p, const struct record *source)
{
    list_each(node, &p->waiters)
    {
        struct waiting *w = list_item(node, struct waiting, node);
        if (w->source == source) {
            struct span rest = remainder_of(source->text, source->suggestion, w->asking->text);
            fill(&w->answered, HOW_JOINED, rest);
            deliver(w);
        }
    }
}

static void on_called(void *ctx, struct span suggestion)
{
    struct waiting *w = ctx;
    struct plain_port *p = w->port;
    const struct record *source =
        records_find(model_records(p->model), w->asking->context, w->asking->text);
    fill(&w->answered, suggestion.ptr == NULL ? HOW_FAILED : HOW_CALL, suggestion);
    deliver(w);
    if (source != NULL) {
        answer_waiters(p, source);
    }
}

static void call(struct plain_port *p, struct asking *asking)
{
    model_ask(p->model, asking->context, asking->text, on_called, wait_new(p, asking));
}

static void direct_ask(struct port *port, struct asking *asking)
{
    call((struct plain_port *)port, asking);
}

static void answer_now(struct plain_port *p, struct asking *asking, enum how how, struct span text)
{
    struct waiting *w = wait_new(p, asking);
    fill(&w->answered, how, text);
    list_append(&p->ready, &w->node);
    loop_timer_start(p->timer, 0);
}

static void wait_for(struct plain_port *p, struct asking *asking, struct record *source)
{
    struct waiting *w = wait_new(p, asking);
    w->source = source;
    list_append(&p->waiters, &w->node);
}

static void oracle_ask(struct port *port, struct asking *asking)
{
    struct plain_port *p = (struct plain_port *)port;
    struct records *records = model_records(p->model);
    usec_t now = loop_now(p->loop).us;
    struct record *rec = records_find(records, asking->context, asking->text);
    if (rec != NULL && rec->finished >= 0 && now - rec->finished < SUGGESTION_TTL) {
        answer_now(p, asking, HOW_HIT, rec->suggestion);
        return;
    }
    if (rec != NULL && rec->active > 0) {
        wait_for(p, asking, rec);
        return;
    }
    rec = records_cover(records, asking->context, asking->text, now, false);
    if (rec != NULL) {
        answer_now(p, asking, HOW_REST, remainder_of(rec->text, rec->suggestion, asking->text));
        return;
    }
    rec = records_cover(records, asking->context, asking->text, now, true);
    if (rec != NULL) {
        wait_for(p, asking, rec);
        return;
    }
    if (asking->in_pause &&
        model_free_at(p->model) + model_latency(p->model) + SEEN <= asking->until) {
        call(p, asking);
    } else {
        answer_now(p, asking, HOW_EMPTY, SPAN(""));
    }
}

static void on_chat_piece(void *ctx, struct span piece)
{
    struct waiting *w = ctx;
    struct plain_port *p = w->port;
    if (piece.ptr != NULL) {
        tally_chat(p->port.tally, loop_now(p->loop).us - w->begun);
    } else {
        p->port.tally->result.chats_refused++;
    }
    p->under_way--;
    free(w);
}

static void plain_chat(struct port *port, size_t person, size_t message)
{
    struct plain_port *p = (struct plain_port *)port;
    (void)person;
    (void)message;
    port->tally->result.chats++;
    model_ask_chat(p->model, on_chat_piece, wait_new(p, NULL));
}

static bool plain_busy(const struct port *port)
{
    const struct plain_port *p = (const struct plain_port *)port;
    return p->under_way > 0;
}

static void plain_destroy(struct port *port)
{
    struct plain_port *p = (struct plain_port *)port;
    require(p->under_way == 0);
    loop_timer_destroy(p->timer);
    free(p);
}

static struct port *create(struct loop *loop, struct model *m, const struct cast *cast,
                           void (*ask)(struct port *, struct asking *))
{
    struct plain_port *p = mem_new(sizeof *p);
    p->port = (struct port){ask, plain_chat, plain_destroy, plain_busy, NULL};
    p->loop = loop;
    p->model = m;
    p->cast = cast;
    list_init(&p->ready);
    list_init(&p->waiters);
    p->timer = loop_timer_create(loop, on_ready, p);
    return &p->port;
}

struct port *port_direct_create(struct loop *loop, struct model *m, const struct cast *cast)
{
    return create(loop, m, cast, direct_ask);
}

struct port *port_oracle_create(struct loop *loop, struct model *m, const struct cast *cast)
{
    return create(loop, m, cast, oracle_ask);
}
