/* transcript.c: see transcript.h. Conversations are few (hundreds), and a task looks for its own among
 * all of them. A chat looks only at those that it may go on, or be a rival of.
 */
#include "path/transcript/transcript_priv.h"

#include "lull/base/utf8.h"
#include "lull/path/webui/turn.h"

#include <stdlib.h>

enum {
    CHANGED_MOST = 2,
    COMPARED_MOST = 4, /* conversations that begin alike and are read, for one chat */
};

static const usec_t IDLE = (usec_t)TRANSCRIPT_IDLE_S * USEC_PER_S;

struct transcripts *transcripts_create(void)
{
    struct transcripts *all = mem_new(sizeof *all);
    list_init(&all->items);
    for (size_t i = 0; i < ROWS; i++) {
        list_init(&all->by_chat.of[i]);
        list_init(&all->by_first.of[i]);
        list_init(&all->by_messages.of[i]);
    }
    return all;
}

struct transcript *transcript_ref(struct transcript *t)
{
    if (t != NULL) {
        t->refs++;
    }
    return t;
}

void transcript_unref(struct transcript *t)
{
    if (t == NULL || --t->refs > 0) {
        return;
    }
    buf_free(&t->memory);
    chat_history_free(&t->history);
    free(t);
}

const uint8_t *transcript_digest(struct transcript *t)
{
    if (!t->digested) {
        const struct span parts[] = {t->body, t->reply};
        hash_sha256(parts, 2, t->digest);
        t->digested = true;
    }
    return t->digest;
}

static bool same_texts(const struct transcript *a, const struct transcript *b)
{
    return span_eq(a->body, b->body) && span_eq(a->reply, b->reply);
}

static struct list *row_of_first(struct transcripts *all, struct span first)
{
    return row_of(&all->by_first, first.len > 0 ? hash_checksum(first.ptr, first.len) : 0);
}

/* Behind all others. */
static void put(struct transcripts *all, struct item *item)
{
    const struct transcript *t = item->t;
    list_append(&all->items, &item->node);
    list_append(row_of(&all->by_chat, t->chat.lo), &item->by_chat);
    list_append(row_of_first(all, chat_history_first(&t->history)), &item->by_first);
    list_append(row_of(&all->by_messages, t->rival.messages), &item->by_messages);
}

static void take(struct item *item)
{
    list_remove(&item->node);
    list_remove(&item->by_chat);
    list_remove(&item->by_first);
    list_remove(&item->by_messages);
}

static void drop(struct transcripts *all, struct item *item)
{
    take(item);
    all->count--;
    all->bytes -= item->t->size;
    transcript_unref(item->t);
    free(item);
}

void transcripts_clear(struct transcripts *all)
{
    list_each(node, &all->items)
    {
        drop(all, list_item(node, struct item, node));
    }
}

void transcripts_destroy(struct transcripts *all)
{
    if (all != NULL) {
        transcripts_clear(all);
        free(all);
    }
}

size_t transcripts_count(const struct transcripts *all, size_t *bytes)
{
    *bytes = all->bytes;
    return all->count;
}

/* From the least recently used on, until the rest fits and none has been idle for too long. */
static void make_room(struct transcripts *all, mono_t now)
{
    list_each(node, &all->items)
    {
        struct item *item = list_item(node, struct item, node);
        bool full = all->bytes > TRANSCRIPTS_MAX || all->count > TRANSCRIPTS_MOST;
        if (!full && mono_diff(now, item->t->used) < IDLE) {
            return;
        }
        drop(all, item);
    }
}

static void use(struct transcripts *all, struct item *item, mono_t now)
{
    item->t->used = now;
    take(item);
    put(all, item);
}

static bool same_place(const struct transcript_place *a, const struct transcript_place *b)
{
    return hash_key_eq(a->person, b->person) && a->server == b->server &&
           a->endpoint == b->endpoint && span_eq(a->target, b->target) &&
           span_eq(a->model, b->model);
}

/* ---- the conversation that a chat goes on ---- */

/* The transcript of the chat's id; NULL: none. */
static struct item *predecessor_by_id(struct transcripts *all, const struct transcript_chat *chat,
                                      enum dialect_sequel *sequel)
{
    list_each(node, row_of(&all->by_chat, chat->chat.lo))
    {
        struct item *item = list_item(node, struct item, by_chat);
        const struct transcript *t = item->t;
        bool repeats = false;
        if (hash_key_eq(t->chat, chat->chat) && same_place(&t->place, &chat->place)) {
            *sequel = dialect_sequel_of(t->body, t->reply, chat->request, &repeats);
            return item;
        }
    }
    return NULL;
}

/* A chat that may go on from a conversation. */
struct sequel {
    const struct transcript_chat *chat;
    const struct json_node **messages;
    size_t count;
    struct span first; /* the person's first message, plain */
};

/* Whether the chat has the transcript's reply where it must stand if it goes on from it. */
static bool may_go_on(const struct sequel *next, const struct transcript *t)
{
    return t->body.len < next->chat->body.len && t->messages < next->count &&
           same_place(&t->place, &next->chat->place) &&
           dialect_repeats(next->messages[t->messages], t->reply) &&
           span_eq(chat_history_first(&t->history), next->first);
}

/* Of the conversations that begin like the chat, the one that it goes on from, else the last used
 * that has all but what stands around the person's messages. */
static struct item *predecessor_by_texts(struct transcripts *all, const struct sequel *next,
                                         enum dialect_sequel *sequel)
{
    struct list *row = row_of_first(all, next->first);
    struct item *found = NULL;
    int compared = 0;
    for (struct list *at = row->prev; at != row && compared < COMPARED_MOST; at = at->prev) {
        struct item *item = list_item(at, struct item, by_first);
        const struct transcript *t = item->t;
        bool repeats = false;
        if (!may_go_on(next, t)) {
            continue;
        }
        compared++;
        enum dialect_sequel s = dialect_sequel_of(t->body, t->reply, next->chat->request, &repeats);
        bool goes_on = s == DIALECT_SEQUEL_CONTINUES;
        bool same = goes_on || (repeats && utf8_count(t->reply) >= TASK_REPLY_MIN);
        if (same && (goes_on || found == NULL)) {
            found = item;
            *sequel = s;
        }
        if (goes_on) {
            break;
        }
    }
    return found;
}

/* The transcript that the chat goes on from, or asks again for; NULL: none. */
static struct item *predecessor(struct transcripts *all, const struct transcript_chat *chat,
                                enum dialect_sequel *sequel)
{
    struct item *found = NULL;
    struct buf first = {.max = TRANSCRIPT_MAX};
    struct sequel next = {.chat = chat};
    if (hash_key_is_set(chat->chat)) {
        return predecessor_by_id(all, chat, sequel);
    }
    next.messages = dialect_messages(chat->request, &next.count);
    if (next.messages != NULL && task_plain(chat->request->first_user, &first) == ERR_OK) {
        next.first = buf_span(&first);
        found = predecessor_by_texts(all, &next, sequel);
    }
    buf_free(&first);
    free(next.messages);
    return found;
}

/* Takes over what is known of the conversation; its earlier transcript is forgotten. */
static void follow_up_on(struct transcripts *all, const struct transcript_chat *chat,
                         struct transcript *t, mono_t now)
{
    enum dialect_sequel sequel = DIALECT_SEQUEL_BRANCHES;
    struct item *before = predecessor(all, chat, &sequel);
    struct place_record *record = rivals_record(all, &chat->place, now);
    if (before == NULL) {
        t->conversation = ++all->conversations;
        t->changes = record->changed >= CHANGED_MOST;
        return;
    }
    t->conversation = before->t->conversation;
    t->changes = before->t->changes;
    if (sequel == DIALECT_SEQUEL_CONTINUES) {
        t->tokens_before = before->t->tokens;
        t->changes = false;
        record->changed = 0;
    } else if (sequel == DIALECT_SEQUEL_CHANGED) {
        t->changes = true;
        record->changed++;
    }
    drop(all, before);
}

/* ---- keeping ---- */

static struct span copy(struct buf *memory, struct span s)
{
    size_t at = memory->len;
    if (s.len > 0) {
        require_ok(buf_append_span(memory, s)); /* reserved */
    }
    return span_make(memory->data + at, s.len);
}

/* Copies the texts. ERR_INVALID: what the next turn begins with is not certain. */
static enum err fill(struct transcript *t, const struct transcript_chat *chat)
{
    struct buf reply = {.max = TRANSCRIPT_MAX};
    const struct transcript_place *p = &chat->place;
    bool ended = chat->request->last_text.len > 0 || chat->request->after_tool;
    bool whole = (p->endpoint == ENDPOINT_CHAT || p->endpoint == ENDPOINT_OLLAMA_CHAT) && ended &&
                 chat->request->json.verdict == JSON_OK && chat->body.len <= TRANSCRIPT_MAX;
    enum err e = whole ? chat_history_repeated_reply(chat->reply, chat->request->streamed, &reply)
                       : ERR_INVALID;
    e = e == ERR_OK && span_trim(buf_span(&reply)).len == 0 ? ERR_INVALID : e;
    e = e == ERR_OK ? chat_history_read(chat->request, buf_span(&reply), &t->history) : e;
    size_t need = p->target.len + p->model.len + chat->body.len + reply.len + 1;
    buf_init(&t->memory, need);
    e = e == ERR_OK ? buf_reserve(&t->memory, need) : e;
    if (e == ERR_OK) {
        t->place = *p;
        t->place.target = copy(&t->memory, p->target);
        t->place.model = copy(&t->memory, p->model);
        t->body = copy(&t->memory, chat->body);
        t->messages = chat->request->message_count;
        t->reply = copy(&t->memory, buf_span(&reply));
        t->thought = chat->thought || reply.len < span_trim(chat->reply).len;
        t->size =
            sizeof *t + need + t->history.texts.len + t->history.count * sizeof *t->history.lines;
        e = t->size <= 2 * (size_t)TRANSCRIPT_MAX ? ERR_OK : ERR_TOO_LARGE;
    }
    buf_free(&reply);
    return e;
}

/* NULL: see fill(). */
static struct transcript *make(const struct transcript_chat *chat, mono_t now)
{
    struct transcript *t = mem_new(sizeof *t);
    t->refs = 1;
    t->chat = chat->chat;
    t->tokens = chat->tokens;
    t->tokens_before = -1;
    t->used = now;
    if (fill(t, chat) != ERR_OK) {
        transcript_unref(t);
        return NULL;
    }
    return t;
}

const struct transcript *transcript_keep(struct transcripts *all,
                                         const struct transcript_chat *chat, mono_t now)
{
    struct transcript before = {.conversation = 0};
    struct transcript *t = make(chat, now);
    follow_up_on(all, chat, t == NULL ? &before : t, now);
    if (t == NULL) {
        return NULL;
    }
    t->turn = ++all->turns;
    t->rival = rivals_of(chat->place.person, chat->request, chat->begun);
    t->changes = t->changes || rivals_began(all, &t->rival);
    struct item *item = mem_new(sizeof *item);
    item->t = t;
    put(all, item);
    all->count++;
    all->bytes += t->size;
    make_room(all, now); /* the newest stays */
    return t;
}

/* ---- finding ---- */

static bool may_be(const struct transcript *t, const struct transcript_place *place,
                   struct hash_key chat)
{
    return same_place(&t->place, place) && (!hash_key_is_set(chat) || hash_key_eq(t->chat, chat));
}

bool transcript_may_be(const struct transcripts *all, const struct transcript_place *place,
                       struct hash_key chat)
{
    list_each(node, &all->items)
    {
        if (may_be(list_item(node, struct item, node)->t, place, chat)) {
            return true;
        }
    }
    return false;
}

enum transcript_found transcript_find(struct transcripts *all, const struct transcript_place *place,
                                      struct hash_key chat, struct span prompt, unsigned forms,
                                      mono_t now, struct transcript **out,
                                      struct chat_history_place *where)
{
    struct item *found = NULL;
    struct chat_history_prompt history;
    struct chat_history_place here;
    bool any = false, certain = false;
    make_room(all, now);
    bool readable = chat_history_find(prompt, forms, &history);
    list_each(node, &all->items)
    {
        struct item *item = list_item(node, struct item, node);
        if (!may_be(item->t, place, chat)) {
            continue;
        }
        any = true;
        if (!readable || !chat_history_fits(&item->t->history, &history, &here)) {
            continue;
        }
        if (found != NULL && !same_texts(found->t, item->t)) {
            return TRANSCRIPT_AMBIGUOUS;
        }
        found = item;
        certain = certain || here.certain || hash_key_is_set(chat);
        *where = here;
    }
    if (found == NULL || !certain) {
        return found != NULL ? TRANSCRIPT_AMBIGUOUS : any ? TRANSCRIPT_DIFFERS : TRANSCRIPT_NONE;
    }
    use(all, found, now);
    *out = found->t;
    return TRANSCRIPT_FOUND;
}

/* ---- earlier turns ---- */

/* How many of the conversation's lines end with the reply that the prompt's history ends with; 0:
 * with none before the last. */
static size_t earlier_lines(const struct transcript *t, const struct chat_history_prompt *prompt,
                            struct chat_history_place *where)
{
    struct chat_history cut = t->history;
    while (cut.count > 1) {
        cut.count--;
        if (strcmp(cut.lines[cut.count - 1].role, "ASSISTANT") == 0 &&
            chat_history_fits(&cut, prompt, where) && where->certain) {
            return cut.count;
        }
    }
    return 0;
}

/* NULL: what the conversation began with then is not certain. */
static struct transcript *earlier(const struct transcript *t, size_t lines, mono_t now)
{
    struct buf body = {.max = TRANSCRIPT_MAX};
    struct buf reply = {.max = TRANSCRIPT_MAX};
    struct dialect_request request;
    struct transcript *cut = NULL;
    size_t message = t->history.lines[lines - 1].message;
    if (dialect_earlier_request(t->body, message, &body, &reply) == ERR_OK &&
        dialect_request_parse(buf_span(&body), t->place.endpoint, &request)) {
        const struct transcript_chat chat = {.place = t->place,
                                             .chat = t->chat,
                                             .request = &request,
                                             .body = buf_span(&body),
                                             .reply = buf_span(&reply),
                                             .thought = t->thought,
                                             .tokens = -1};
        cut = make(&chat, now);
        dialect_request_free(&request);
    }
    if (cut != NULL) {
        cut->conversation = t->conversation;
        cut->changes = t->changes;
    }
    buf_free(&body);
    buf_free(&reply);
    return cut;
}

enum transcript_found transcript_find_earlier(struct transcripts *all,
                                              const struct transcript_place *place,
                                              struct span prompt, unsigned forms, mono_t now,
                                              struct transcript **out,
                                              struct chat_history_place *where)
{
    struct transcript *found = NULL;
    struct chat_history_prompt history;
    bool any = false;
    bool ambiguous = false;
    make_room(all, now);
    bool readable = chat_history_find(prompt, forms, &history);
    list_each(node, &all->items)
    {
        const struct transcript *t = list_item(node, struct item, node)->t;
        struct chat_history_place here;
        bool here_too = readable && same_place(&t->place, place);
        size_t lines = here_too ? earlier_lines(t, &history, &here) : 0;
        struct transcript *cut = lines > 0 ? earlier(t, lines, now) : NULL;
        any = any || same_place(&t->place, place);
        if (cut == NULL) {
            continue;
        }
        ambiguous = ambiguous || (found != NULL && !same_texts(found, cut));
        transcript_unref(found);
        found = cut;
        *where = here;
    }
    if (found == NULL || ambiguous) {
        transcript_unref(found);
        return ambiguous ? TRANSCRIPT_AMBIGUOUS : any ? TRANSCRIPT_DIFFERS : TRANSCRIPT_NONE;
    }
    *out = found;
    return TRANSCRIPT_FOUND;
}

bool transcript_person(const struct transcripts *all, const uint8_t *beginning, size_t len,
                       struct hash_key *person)
{
    bool found = false;
    require(len <= sizeof *person);
    list_each(node, &all->items)
    {
        const struct hash_key *key = &list_item(node, struct item, node)->t->place.person;
        if (memcmp(key, beginning, len) != 0) {
            continue;
        }
        if (found && !hash_key_eq(*key, *person)) {
            return false;
        }
        *person = *key;
        found = true;
    }
    return found;
}
