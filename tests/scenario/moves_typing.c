/* moves_typing.c: people who type: their texts, several of them at the same one, a message of what was
 * typed, and how they leave.
 */
#include "scenario/moves_priv.h"

#include <stdio.h>
#include <string.h>

static size_t typist_of(const struct ask *a)
{
    return strcmp(a->user, "ann") == 0 ? 1 : strcmp(a->user, "bob") == 0 ? 2 : 0;
}

/* Some more of the same text; or of what the same user typed last over any connection, or another
 * length of it, so that several wait for the same suggestion and some keys are taken back; or another
 * text. */
void typing_go_on(struct game *g, struct person *p, struct ask *a)
{
    size_t who = typist_of(a), fresh = pick(g, 3) == 0 ? 60 : pick(g, 2) == 0 ? 6 : 30;
    unsigned how = pick(g, 8);
    size_t more = pick(g, 3) == 0 ? pick(g, 12) : 1 + pick(g, 3); /* mostly a key or two */
    bool known = g->typing[who].subject != 0;
    if (how > 4 && known) {
        p->text = g->typing[who].subject;
        p->typed = how > 5 ? g->typing[who].typed + more : g->typing[who].began + more;
    } else if (how > 1 && p->text != 0) {
        p->typed += more;
    }
    if (p->text == 0 || p->typed > 80 || how <= 1) {
        p->text = a->subject;
        p->typed = 8 + pick(g, (unsigned)fresh);
        g->typing[who].subject = 0;
    }
    if (g->typing[who].subject != p->text) {
        g->typing[who].began = p->typed;
    }
    a->subject = g->typing[who].subject = p->text;
    a->typed = g->typing[who].typed = p->typed;
}

void typing_chat_text(struct game *g, const struct ask *a, char out[2 * TEXT_SIZE])
{
    char typed[TEXT_SIZE] = "";
    size_t who = typist_of(a);
    unsigned how = g->typing[who].subject != 0 ? pick(g, 4) : 1;
    if (how % 2 == 0) {
        full_text(g->typing[who].subject, a->user, typed);
        typed[how == 0 ? g->typing[who].typed : g->typing[who].began] = '\0';
    }
    snprintf(out, 2 * TEXT_SIZE, "Please tell me of q%dq now%s%s", a->subject,
             typed[0] != '\0' ? "\n\n" : "", typed);
}

struct span with_model(struct span body, char model)
{
    size_t at = span_find(body, SPAN("\"model\":\"m\""), 0);
    if (at != SIZE_MAX) {
        ((char *)(uintptr_t)body.ptr)[at + SPAN("\"model\":\"").len] = model;
    }
    return body;
}

/* One who waits for nothing, and is that user; NULL: there is none. */
static struct person *free_person(struct game *g, const char *user)
{
    for (size_t i = 0; i < PEOPLE; i++) {
        struct person *p = &g->people[i];
        if (p->client != NULL) {
            person_look(g, p);
        }
        if (p->client == NULL) {
            p->client = client_open(g->world);
            snprintf(p->user, sizeof p->user, "%s", user);
        }
        if (p->count == 0 && p->rest.len == 0 && !p->ends && strcmp(p->user, user) == 0) {
            return p;
        }
    }
    return NULL;
}

static void ask_plainly(struct game *g, struct person *p, enum ask_kind kind, struct span body)
{
    struct buf out = {.max = SIZE_MAX};
    struct ask *a = &p->asks[0];
    a->kind = kind;
    a->purges = g->purges[kind];
    a->head = false;
    p->count = 1;
    memcpy(a->user, p->user, sizeof a->user);
    buf_text(&out, "POST /v1/chat/completions HTTP/1.1\r\nHost: lull\r\n");
    if (strcmp(a->user, "none") != 0) {
        buf_text(&out, "X-OpenWebUI-User-Id: %s\r\n", a->user);
    }
    buf_text(&out, "Content-Length: %zu\r\n\r\n", body.len);
    require(buf_append_span(&out, body) == ERR_OK);
    a->len = out.len;
    person_send(p, out.data, out.len);
    buf_free(&out);
}

/* A text from several windows at once: as far as one has typed, and further, or with keys taken back;
 * of a model that may have to be loaded. At last it may be sent as a message. */
void typing_together(struct game *g)
{
    static const char *const users[] = {"none", "none", "ann", "bob"};
    const char *user = users[pick(g, 4)];
    int subject = 1 + (int)pick(g, SUBJECTS);
    size_t began = 8 + pick(g, pick(g, 2) == 0 ? 5 : 30);
    char model = pick(g, 2) == 0 ? 'm' : (char)('n' + pick(g, 6));
    char text[2 * TEXT_SIZE];
    unsigned several = pick(g, 6);
    for (unsigned i = 0; i < 2 + several % 3; i++) {
        struct person *p = free_person(g, user);
        if (p == NULL) {
            return;
        }
        full_text(subject, user, text);
        size_t typed = i > 0 && pick(g, 5) == 0 ? began - pick(g, 4) : began + i * (1 + pick(g, 4));
        text[typed] = '\0';
        p->asks[0] = (struct ask){.subject = subject, .typed = typed};
        ask_plainly(g, p, ASK_AUTOCOMPLETE, with_model(span_of(ask_autocomplete(text)), model));
        if (several >= 3) {
            world_pass(g->world,
                       1200 * USEC_PER_MS); /* so slowly that each is called, or follows */
        }
    }
    struct person *p = pick(g, 3) == 0 ? free_person(g, user) : NULL;
    if (p != NULL) {
        char typed[TEXT_SIZE];
        full_text(subject, user, typed);
        typed[began] = '\0';
        p->asks[0] = (struct ask){.subject = g->next_chat++};
        snprintf(text, sizeof text, "Please tell me of q%dq now\n\n%s", p->asks[0].subject, typed);
        ask_plainly(g, p, ASK_CHAT, span_of(ask_chat((const char *const[]){text, NULL})));
    }
}

/* All who wait for a completion, one after another: those that led others, and their followers. */
void typing_leave(struct game *g)
{
    for (size_t i = 0; i < PEOPLE; i++) {
        struct person *p = &g->people[i];
        if (p->client != NULL && p->count > 0 && p->asks[0].kind == ASK_AUTOCOMPLETE) {
            client_close(p->client);
            person_forget(p);
        }
    }
}
