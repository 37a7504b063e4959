/* transcript.h: the last request of each conversation and the reply to it, kept so that tasks can
 * be asked behind them.
 *
 * A transcript is made when a chat's answer has come whole, and does not change. It replaces the
 * one before of the same conversation. References keep it alive beyond that: a task that waits
 * keeps the conversation that it belongs to, while the conversation goes on.
 *
 * Bounds: TRANSCRIPT_MAX bytes each, TRANSCRIPTS_MAX bytes and TRANSCRIPTS_MOST all together; the
 * least recently used make room. One that was not used for TRANSCRIPT_IDLE is forgotten. Nothing is
 * written to disk.
 */
#ifndef LULL_PATH_TRANSCRIPT_TRANSCRIPT_H
#define LULL_PATH_TRANSCRIPT_TRANSCRIPT_H

#include "lull/base/clock.h"
#include "lull/base/hash.h"
#include "lull/path/dialect/behind.h"
#include "lull/path/webui/chat_history.h"

enum {
    TRANSCRIPT_MAX = 2 * 1024 * 1024,
    TRANSCRIPTS_MAX = 32 * 1024 * 1024,
    TRANSCRIPTS_MOST = 512,
    TRANSCRIPT_IDLE_S = 3600,
};

struct transcripts;

/* Where a conversation takes place, and whose it is. All of it must be equal for a task to be asked
 * behind it: its text goes nowhere that it did not go before. */
struct transcript_place {
    struct hash_key person; /* by Authorization and user id */
    unsigned server;        /* number of the model server's record */
    enum endpoint endpoint;
    struct span target; /* path and query asked for there */
    struct span model;
};

struct transcript {
    struct transcript_place place; /* texts are the transcript's own */
    struct hash_key chat;          /* by the chat header; zero: there was none */
    uint64_t conversation;         /* alike for all turns of one conversation, as far as is known */
    uint64_t turn;                 /* rises with each transcript */
    struct span body;              /* of the chat's last request */
    struct span reply;             /* as the next turn repeats it */
    struct chat_history history;
    int64_t tokens;        /* of its prompt and answer, by the server; -1: it did not say */
    int64_t tokens_before; /* the same of the turn that it goes on from; -1: there is none */
    bool thought;          /* the answer had thinking */
    bool changes;          /* its requests do not begin with the ones before: not certain to be read
                       again */
    /* private */
    struct buf memory;
    struct transcript_rival {
        struct hash_key person;
        uint64_t messages, model; /* checksums */
        mono_t begun;
    } rival;
    mono_t used;
    size_t messages; /* of the body */
    size_t size;
    int refs;
    bool digested;
    uint8_t digest[HASH_SHA256_BYTES];
};

/* Never NULL. */
struct transcripts *transcripts_create(void);
/* Transcripts that are referenced live on. NULL is fine. */
void transcripts_destroy(struct transcripts *all);
/* Forgets all of them. */
void transcripts_clear(struct transcripts *all);
/* How many are kept, and their bytes. */
size_t transcripts_count(const struct transcripts *all, size_t *bytes);

struct transcript_chat {
    struct transcript_place place; /* copied */
    struct hash_key chat;          /* zero: not known */
    const struct dialect_request *request;
    struct span body;  /* copied */
    struct span reply; /* as the server sent it */
    bool thought;      /* the server sent thinking beside it */
    int64_t tokens;
    mono_t begun; /* when it was sent */
};
/* A chat's answer has come whole. Keeps it, unless what the next turn begins with is not certain:
 * an empty reply, thinking inside of it, a request that goes on with an unfinished answer, roles of
 * other APIs; or it is too large. The transcript of that conversation before it is forgotten in any
 * case, after the request was compared with it: where what was taken for certain was not so, the
 * conversation is marked `changes`, and after the second such conversation at a place new ones
 * begin marked, until one goes on as expected. Returns it, not
 * referenced; NULL: it is not kept. */
const struct transcript *transcript_keep(struct transcripts *all,
                                         const struct transcript_chat *chat, mono_t now);

/* A chat begins. Where one of the same messages is sent to another model by the same person, or at
 * the same time (over a connection with another key), the person goes on with one of the two
 * replies, or with both: then neither is certain. */
void transcript_chat_began(struct transcripts *all, struct hash_key person,
                           const struct dialect_request *request, mono_t now);

/* Whether a conversation is kept there that the chat id does not rule out. */
bool transcript_may_be(const struct transcripts *all, const struct transcript_place *place,
                       struct hash_key chat);

enum transcript_found {
    TRANSCRIPT_FOUND,
    TRANSCRIPT_NONE,      /* no conversation of that person is kept there */
    TRANSCRIPT_DIFFERS,   /* the prompt's history is the end of none of them */
    TRANSCRIPT_AMBIGUOUS, /* it is the end of several that begin differently, or may be: it is not
                             `certain`, and no chat id says which one it is */
};
/* The conversation at `place` that a prompt's history is the end of: by chat id where the task and
 * the conversation have one, else by their texts. forms: of chat_history_fits(). *out is not
 * referenced.
 */
enum transcript_found transcript_find(struct transcripts *all, const struct transcript_place *place,
                                      struct hash_key chat, struct span prompt, unsigned forms,
                                      mono_t now, struct transcript **out,
                                      struct chat_history_place *where);

/* The same for a task of an earlier turn: *out is the conversation as it was at the end of that turn.
 * It is kept nowhere: the caller unreferences it. */
enum transcript_found transcript_find_earlier(struct transcripts *all,
                                              const struct transcript_place *place,
                                              struct span prompt, unsigned forms, mono_t now,
                                              struct transcript **out,
                                              struct chat_history_place *where);

/* The only person with conversations here whose key begins with those bytes; false: there is none,
 * or several. */
bool transcript_person(const struct transcripts *all, const uint8_t *beginning, size_t len,
                       struct hash_key *person);

/* SHA-256 of body and reply, which names the conversation in the keys of tasks that are asked behind it.
 * Made when it is asked for first: most chats have no such task. */
const uint8_t *transcript_digest(struct transcript *t);

struct transcript *transcript_ref(struct transcript *t); /* NULL is fine */
void transcript_unref(struct transcript *t);             /* NULL is fine */

#endif
