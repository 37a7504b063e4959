/* moves_people.c: the clients: what they ask, and what their replies must be. */
#include "scenario/moves.h"
#include "scenario/moves_priv.h"

#include "lull/base/ascii.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *word, *mark; /* in answers; in the prompt */
    const char *header;      /* a prompt of its own, known by this header; NULL: by its text */
} kinds[ASK_KINDS] = {
    [ASK_TITLE] = {"title", "concise title", NULL},
    [ASK_FOLLOW_UP] = {"follow_up", "follow-up questions", NULL},
    [ASK_QUERY] = {"query", "search queries", NULL},
    [ASK_AUTOCOMPLETE] = {"autocomplete", "autocompletion system", NULL},
    [ASK_TAGS] = {"tags", "tags_generation", "tags_generation"},
    [ASK_EMOJI] = {"emoji", "emoji_generation", "emoji_generation"},
    [ASK_IMAGE_PROMPT] = {"image_prompt", "image_prompt_generation", "image_prompt_generation"},
    [ASK_TOOL_SELECTION] = {"tool_selection", "function_calling", "function_calling"},
    [ASK_MEMORY_REVIEW] = {"memory_review", "memory_review:", "memory_review"},
    [ASK_CONTEXT_COMPACTION] = {"context_compaction", "context_compaction:", "context_compaction"},
    [ASK_MOA] = {"moa", "moa_response_generation", "moa_response_generation"},
    [ASK_CHAT] = {"chat", "", NULL},
};

const char *kind_word(enum ask_kind kind)
{
    return kinds[kind].word;
}

enum ask_kind kind_of_body(const char *body)
{
    int kind = 0;
    while (kind < ASK_CHAT && strstr(body, kinds[kind].mark) == NULL) {
        kind++;
    }
    return (enum ask_kind)kind;
}

/* The beginning is the same for all people; how it goes on is each one's own. */
void full_text(int subject, const char *user, char out[TEXT_SIZE])
{
    snprintf(
        out, TEXT_SIZE,
        "q%dq How do I write a small daemon for %s q%dq with libevent q%dq in C and so on q%dq",
        subject, user, subject, subject, subject);
}

/* ---- connections ---- */

void person_forget(struct person *p)
{
    p->client = NULL;
    p->lost += p->count;
    p->count = 0;
    p->ends = false;
    buf_clear(&p->rest);
}

/* Nothing was sent of what is open: the daemon may take the connection for idle. */
static bool is_unasked(const struct person *p)
{
    size_t len = 0;
    for (size_t i = 0; i < p->count; i++) {
        len += p->asks[i].len;
    }
    return p->rest.len >= len;
}

/* Takes whole replies off what came. */
void person_look(struct game *g, struct person *p)
{
    bool closed = client_closed(p->client);
    struct span text = span_of(client_reply(p->client));
    while (text.len > 0 && !p->ends) {
        const struct ask *a = &p->asks[0];
        struct reply r = reply_at(text, p->count > 0 && a->head, closed);
        if (r.len == 0) {
            break;
        }
        text = span_make(text.ptr + r.len, text.len - r.len);
        if (r.status >= 200) {
            require(p->count > 0 || p->rest.len > 0 || r.status == 408);
            struct ask partial = {.kind = ASK_OTHER, .user = "none"};
            reply_check(g, p->count > 0 ? a : &partial, &r);
            tally_reply(g, &r);
            if (p->count > 0 && a->kind == ASK_CHAT && a->subject == p->chat) {
                reply_said(&r, p->said, sizeof p->said);
            }
            p->ends = span_eq_nocase(reply_field(r.head, "Connection"), SPAN("close"));
            p->count -= p->count > 0 ? 1 : 0;
            memmove(&p->asks[0], &p->asks[1], p->count * sizeof p->asks[0]);
        }
    }
    bool cut = closed && text.len > 0; /* a reply that broke in its middle */
    if (p->ends) {
        require(text.len == 0 || cut);
    }
    p->ends = p->ends || cut;
    struct buf left = {.max = SIZE_MAX};
    require(buf_append_span(&left, text) == ERR_OK);
    client_clear(p->client);
    client_unread(p->client, buf_span(&left));
    buf_free(&left);
    if (closed) {
        if (!is_unasked(p) && !p->ends) {
            fprintf(stderr, "%zu open, %zu bytes unsent, %s\n", p->count, p->rest.len,
                    moves_counted());
            reply_fail(&p->asks[0], &(struct reply){0}, "closed without a reason");
        }
        client_close(p->client);
        person_forget(p);
    }
}

/* ---- requests ---- */

static struct span body_of(struct game *g, struct person *p, struct ask *a)
{
    static char text[4096];
    char user_text[2 * TEXT_SIZE], reply[2 * TEXT_SIZE];
    bool of_chat = p->chat != 0 && pick(g, 4) == 0;
    a->subject = of_chat ? p->chat : 1 + (int)pick(g, SUBJECTS);
    snprintf(user_text, sizeof user_text, "Please tell me of q%dq now", a->subject);
    snprintf(reply, sizeof reply, "chat of q%dq by %s.", a->subject, a->user);
    if (of_chat && p->said[0] != '\0' && strcmp(p->user, a->user) == 0) { /* as it was */
        memcpy(reply, p->said, sizeof reply);
    }
    switch (a->kind) {
    case ASK_TITLE:
        return span_of(ask_title(user_text, pick(g, 2) == 0 ? reply : ""));
    case ASK_FOLLOW_UP:
        return span_of(ask_follow_up(user_text, reply));
    case ASK_QUERY:
        return span_of(ask_query(user_text));
    case ASK_AUTOCOMPLETE:
        typing_go_on(g, p, a);
        full_text(a->subject, a->user, text);
        text[a->typed] = '\0';
        return span_of(ask_autocomplete(text));
    case ASK_CHAT: {
        const char *const goes_on[] = {"Please begin", "Well.", user_text, NULL};
        const char *const begins[] = {user_text, NULL};
        a->subject = p->chat = g->next_chat++;
        p->said[0] = '\0';
        typing_chat_text(g, a, user_text);
        return span_of(ask_chat(pick(g, 3) == 0 ? goes_on : begins));
    }
    default: {
        const char *model = pick(g, 8) == 0 ? "n" : "m";
        const char *stream = pick(g, 8) == 0 ? "true" : "false";
        int blanks = pick(g, 8) == 0 ? 1500 : 0; /* more than a small max_task_body */
        snprintf(text, sizeof text,
                 "{\"model\":\"%s\",%*s\"stream\":%s,\"messages\":[{\"role\":\"user\",\"content\":"
                 "\"%s: of q%dq\"}]}",
                 model, blanks, "", stream, kinds[a->kind].mark, a->subject);
        return span_of(text);
    }
    }
}

/* Names its model twice: readers differ in which one counts. */
static struct span ambiguous(struct span body)
{
    static char text[8192];
    int n = snprintf(text, sizeof text, "{\"model\":\"m\",%.*s", (int)body.len - 1, body.ptr + 1);
    require(n > 0 && n < (int)sizeof text);
    return span_make(text, (size_t)n);
}

/* Asks for another model, which is loaded first. */
static struct span of_other_model(struct game *g, struct span body)
{
    return with_model(body, (char)('n' + pick(g, 6)));
}

static void add_headers(struct game *g, const struct ask *a, struct buf *out)
{
    static const char *const controls[] = {
        "Cache-Control: no-cache\r\n", "Cache-Control: no-store\r\n",
        "X-OpenWebUI-Chat-Id: c\r\n",  "Authorization: Bearer abc\r\n",
        "Expect: 100-continue\r\n",    "Origin: http://evil.test\r\n",
        "X-Request-Id: abc\r\n",       "Via: 1.1 lull\r\n"};
    if (strcmp(a->user, "none") != 0) {
        buf_text(out, "X-OpenWebUI-User-Id: %s\r\n", a->user);
    }
    if (a->kind < ASK_KINDS && kinds[a->kind].header != NULL) {
        buf_text(out, "X-OpenWebUI-Task: %s\r\n", kinds[a->kind].header);
    }
    if (pick(g, 5) == 0) {
        buf_text(out, "%s", controls[pick(g, 8)]);
    }
}

static void add_body(struct game *g, struct span body, struct buf *out)
{
    if (pick(g, 6) > 0) {
        buf_text(out, "Content-Length: %zu\r\n\r\n", body.len);
        require(buf_append_span(out, body) == ERR_OK);
        return;
    }
    buf_text(out, "Transfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0; at < body.len;) {
        size_t n = 1 + pick(g, 250) * 4;
        n = body.len - at < n ? body.len - at : n;
        buf_text(out, "%zx\r\n", n);
        require(buf_append(out, body.ptr + at, n) == ERR_OK);
        buf_text(out, "\r\n");
        at += n;
    }
    buf_text(out, "0\r\n\r\n");
}

/* What is no generation. */
static void add_other(struct game *g, struct ask *a, struct buf *out)
{
    static const char *const lines[] = {"GET /v1/models", "HEAD /api/tags", "GET /@other/v1/models",
                                        "DELETE /api/delete", "GET /@unknown/v1/models"};
    unsigned which = pick(g, 7);
    if (which < 5) {
        a->head = which == 1;
        buf_text(out, "%s HTTP/1.1\r\nHost: lull\r\n\r\n", lines[which]);
        return;
    }
    struct buf body = {.max = SIZE_MAX};
    buf_text(out, "POST %s HTTP/1.1\r\nHost: lull\r\n",
             which == 5 ? "/v1/embeddings" : "/v1/chat/completions");
    buf_text(&body, which == 5 ? "{\"model\":\"m\",\"input\":\"%*s\"}" : "{\"model\":%*s",
             pick(g, 4) == 0 ? 20000 : 1, "");
    add_body(g, buf_span(&body), out);
    buf_free(&body);
}

/* One in four in Ollama's API; now and then a chat at the other upstream. */
static const char *path_of(unsigned which, const struct ask *a)
{
    if (which == 15 && a->kind == ASK_CHAT) {
        return "/@other/v1/chat/completions";
    }
    return which % 4 != 0 ? "/v1/chat/completions" : "/api/chat";
}

static void add_one(struct game *g, struct person *p, struct buf *out)
{
    static const char *const bad[] = {
        "GET\r\n\r\n", "GET / HTTP/3.0\r\nHost: lull\r\n\r\n",
        "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 1\r\n\r\nx",
        "POST /api/chat HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"};
    unsigned what = pick(g, ASK_KINDS + 8);
    struct ask *a = &p->asks[p->count];
    *a = (struct ask){.kind = what < ASK_KINDS       ? (enum ask_kind)what
                              : what < ASK_KINDS + 4 ? ASK_CHAT
                              : what < ASK_KINDS + 6 ? ASK_AUTOCOMPLETE
                              : what < ASK_KINDS + 7 ? ASK_OTHER
                                                     : ASK_BAD};
    memcpy(a->user, p->user, sizeof a->user);
    a->purges = a->kind < ASK_KINDS ? g->purges[a->kind] : 0;
    p->count++;
    if (a->kind == ASK_BAD) {
        unsigned which = pick(g, 4);
        a->kind = which < 3 ? ASK_BAD : ASK_OTHER; /* a reply may come before its body */
        buf_text(out, "%s", bad[which]);
        return;
    }
    if (a->kind == ASK_OTHER) {
        add_other(g, a, out);
        return;
    }
    struct span body = body_of(g, p, a);
    unsigned odd = pick(g, 12);
    body = odd < 2 ? of_other_model(g, body) : odd == 2 && pick(g, 4) == 0 ? ambiguous(body) : body;
    snprintf(g->asked, sizeof g->asked, "%.*s", (int)body.len, body.ptr);
    buf_text(out, "POST %s HTTP/1.1\r\nHost: lull\r\nContent-Type: application/json\r\n",
             path_of(pick(g, 16), a));
    add_headers(g, a, out);
    add_body(g, body, out);
}

static void add_request(struct game *g, struct person *p, struct buf *out)
{
    size_t before = out->len;
    struct ask *a = &p->asks[p->count];
    bool typed = p->last_ask.kind == ASK_AUTOCOMPLETE; /* whose answer may come too late */
    if (pick(g, typed ? 2 : 5) == 0 && p->last.len > 0 && strcmp(p->last_ask.user, p->user) == 0) {
        *a = p->last_ask;
        a->purges = a->kind < ASK_KINDS ? g->purges[a->kind] : 0;
        p->count++;
        require(buf_append_span(out, buf_span(&p->last)) == ERR_OK);
        return;
    }
    add_one(g, p, out);
    a->len = out->len - before;
    p->last_ask = *a;
    buf_clear(&p->last);
    require(buf_append(&p->last, out->data + before, a->len) == ERR_OK);
}

void person_send(struct person *p, const char *bytes, size_t len)
{
    daemon_enter();
    client_try_send(p->client, bytes, len);
    daemon_leave();
}

/* Explain is asked before, where all of one request is sent and its client waits for no other. */
static void send_explained(struct game *g, struct person *p, struct span bytes)
{
    struct explanation said;
    size_t calls = model_calls(g->world);
    bool alone = p->count == 1 && p->rest.len == 0 && p->asks[0].kind < ASK_KINDS;
    alone = alone && client_reply(p->client)[0] == '\0';
    bool explained = alone && explain_ask(g, bytes, &said);
    person_send(p, bytes.ptr, bytes.len);
    if (alone && p->asks[0].kind == ASK_CHAT) {
        chats_check_sent(g, p, calls);
    }
    if (explained) {
        explain_check(g, &p->asks[0], &said, client_reply(p->client));
    }
}

static struct person *one(struct game *g)
{
    return &g->people[pick(g, PEOPLE)];
}

static void arrive(struct game *g, struct person *p)
{
    static const char *const users[] = {"none", "ann", "bob", "ann"};
    if (p->client != NULL) {
        person_look(g, p);
    }
    if (p->client == NULL) {
        p->client = client_open(g->world);
        snprintf(p->user, sizeof p->user, "%s", users[pick(g, 4)]);
    }
}

/* Mostly one who waits for nothing. */
static struct person *next_to_ask(struct game *g)
{
    struct person *p = one(g);
    for (int tries = 0; tries < 3 && p->count > 0 && pick(g, 4) > 0; tries++) {
        person_look(g, p);
        p = p->count > 0 ? one(g) : p;
    }
    return p;
}

void people_ask(struct game *g)
{
    if (pick(g, 12) == 0 && !world_draining(g->world)) {
        typing_together(g);
        return;
    }
    struct person *p = next_to_ask(g);
    if (world_draining(g->world)) {
        return;
    }
    arrive(g, p);
    struct buf out = {.max = SIZE_MAX};
    size_t wanted = pick(g, 5) == 0 ? 1 + pick(g, 3) : 1;
    bool waits = p->count > 0 && pick(g, 3) > 0;
    while (!waits && !p->ends && p->rest.len == 0 && wanted-- > 0 && p->count < PIPELINE) {
        add_request(g, p, &out);
    }
    size_t now = pick(g, 16) == 0 ? pick(g, (unsigned)out.len + 1) : out.len;
    if (out.len > 0) {
        require(buf_append(&p->rest, out.data + now, out.len - now) == ERR_OK);
        send_explained(g, p, span_make(out.data, now));
    }
    buf_free(&out);
}

void people_send_on(struct game *g)
{
    struct person *p = one(g);
    for (size_t i = 0; i < PEOPLE && p->rest.len == 0; i++) { /* the next who has something left */
        p = p + 1 < g->people + PEOPLE ? p + 1 : g->people;
    }
    if (p->client != NULL) {
        person_look(g, p); /* it may be closed */
    }
    if (p->client != NULL && p->rest.len > 0) {
        size_t n = pick(g, 2) == 0 ? p->rest.len : pick(g, (unsigned)p->rest.len + 1);
        person_send(p, p->rest.data, n);
        buf_consume(&p->rest, n);
    }
}

void people_leave(struct game *g)
{
    struct person *p = one(g);
    if (pick(g, 4) == 0) {
        typing_leave(g);
        return;
    }
    if (p->client == NULL) {
        return;
    }
    if (pick(g, 3) == 0) {
        person_look(g, p); /* what came before is right */
        bool partial = p->client != NULL && client_reply(p->client)[0] != '\0';
        if (!partial) { /* what it leaves was not answered */
            p->left += p->count;
            p->count = 0;
        }
    }
    if (p->client != NULL) {
        client_close(p->client);
        person_forget(p);
    }
}

void people_look(struct game *g)
{
    for (size_t i = 0; i < PEOPLE; i++) {
        if (g->people[i].client != NULL) {
            person_look(g, &g->people[i]);
        }
    }
    tally_check(g);
}

void people_check_end(struct game *g)
{
    for (size_t i = 0; i < PEOPLE; i++) {
        struct person *p = &g->people[i];
        if (p->client != NULL && p->count > 0 && p->rest.len == 0) {
            fprintf(stderr,
                    "person %zu has %zu requests without a reply; the first is of kind %d\n", i,
                    p->count, (int)p->asks[0].kind);
            require(p->count == 0);
        }
    }
}

void people_forget(struct game *g)
{
    for (size_t i = 0; i < PEOPLE; i++) {
        person_forget(&g->people[i]);
    }
    tally_forget(g);
}

struct person *people_create(struct game *g)
{
    struct person *people = mem_new(PEOPLE * sizeof *people);
    (void)g;
    for (size_t i = 0; i < PEOPLE; i++) {
        buf_init(&people[i].rest, 64 * 1024 * 1024);
        buf_init(&people[i].last, 64 * 1024 * 1024);
    }
    return people;
}

void people_destroy(struct person *people)
{
    for (size_t i = 0; i < PEOPLE; i++) {
        buf_free(&people[i].rest);
        buf_free(&people[i].last);
    }
    free(people);
}
