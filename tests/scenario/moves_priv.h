/* moves_priv.h: what the moves share: the choices, the people (moves_people.c), what they get
 * (moves_replies.c), and the model servers (moves_models.c). */
#ifndef TESTS_SCENARIO_MOVES_PRIV_H
#define TESTS_SCENARIO_MOVES_PRIV_H

#include "scenario/world.h"
#include "support/reply_text.h"

#include "lull/base/buf.h"
#include "lull/path/exchange/explain.h"

#include <stdint.h>

enum {
    PEOPLE = 8,
    PIPELINE = 6,
    SUBJECTS = 2,
    FIRST_CHAT = 100,
    TEXT_SIZE = 256,
    SAID_MOST = 4096,
    USERS = 3,
    TALLY_KINDS = 32
};

/* What is asked; the rows of kinds[] in moves_people.c are in this order. */
enum ask_kind {
    ASK_TITLE,
    ASK_FOLLOW_UP,
    ASK_QUERY,
    ASK_AUTOCOMPLETE,
    ASK_TAGS,
    ASK_EMOJI,
    ASK_IMAGE_PROMPT,
    ASK_TOOL_SELECTION,
    ASK_MEMORY_REVIEW,
    ASK_CONTEXT_COMPACTION,
    ASK_MOA,
    ASK_CHAT,
    ASK_KINDS,
    ASK_OTHER = ASK_KINDS, /* no generation: any reply */
    ASK_BAD,               /* refused, and the connection ends */
};

/* An answer, by the number that it says ("s12s"). */
struct said {
    const struct upstream_call *call; /* whose it is; NULL: that daemon has ended */
    enum ask_kind kind;
    size_t purges; /* of its kind, before it began */
    bool whole;    /* it came to a good end: it may be kept */
};

/* What clients saw of a kind of tasks, since the daemon started. */
struct tally_kind {
    char name[64];
    uint64_t seen;                    /* replies */
    uint64_t said[OUTCOME_COUNT + 1]; /* of these, by outcome; the last: may be one of several */
    uint64_t stored, called, failed;  /* that said so */
};

struct tally {
    struct tally_kind kinds[TALLY_KINDS];
    size_t count;
    uint64_t unnamed; /* replies that may be to any of them */
};

struct game {
    struct world *world;
    const uint8_t *bytes;
    size_t len, at;
    struct person *people;
    int next_chat;
    int64_t wall; /* offset of the wall clock */
    bool blocked; /* a file stands where the data directory was */
    bool slow;    /* servers may not have taken all bodies */
    struct said said[SAID_MOST];
    size_t said_count;
    size_t purges[ASK_KINDS]; /* that were answered */
    char asked[8192];         /* the body of the last request */
    struct tally tally;
    struct {
        int subject;         /* 0: nothing */
        size_t typed, began; /* began: with so much */
    } typing[USERS];         /* what each user typed last, over whichever connection */
};

/* A choice from 0 to n - 1; 0 where the bytes are used up. */
unsigned pick(struct game *g, unsigned n);

/* The word by which answers name a kind: "title" ... */
const char *kind_word(enum ask_kind kind);
/* The kind that a call's body asks for. */
enum ask_kind kind_of_body(const char *body);
/* All that a person may type about a subject. */
void full_text(int subject, const char *user, char out[TEXT_SIZE]);

/* ---- moves_people.c ---- */

/* A request whose reply has not come. */
struct ask {
    enum ask_kind kind;
    int subject;
    size_t typed;  /* of a completion */
    size_t len;    /* of the request's bytes */
    size_t purges; /* of its kind, when it was written */
    bool head;     /* HEAD: the reply has no body */
    char user[16];
};

struct person {
    struct client *client; /* NULL: not connected */
    struct ask asks[PIPELINE];
    size_t count;
    uint64_t lost, left; /* requests of connections that ended: answered or not; not answered */
    struct buf rest;     /* of a request of which a part was sent */
    bool ends;           /* a reply said so, or broke */
    int chat;            /* the subject of the last chat; 0: none */
    char said[2 * TEXT_SIZE]; /* what that chat said; empty: nothing yet, or it is too long */
    int text; /* the subject of the text in the input field, and how much of it is typed */
    size_t typed;
    char user[16];
    struct ask last_ask; /* which is asked again, byte for byte */
    struct buf last;
};

/* Takes whole replies off what came, and checks them. */
void person_look(struct game *g, struct person *p);
void person_forget(struct person *p);
void person_send(struct person *p, const char *bytes, size_t len);
struct person *people_create(struct game *g);
void people_destroy(struct person *people);
/* One of them asks, goes on sending, or leaves. */
void people_ask(struct game *g);
void people_send_on(struct game *g);
void people_leave(struct game *g);
/* Reads all replies and checks them. */
void people_look(struct game *g);
/* Everything is over: nothing may be open. */
void people_check_end(struct game *g);
/* The daemon is started again: all connections are gone. */
void people_forget(struct game *g);

/* ---- moves_typing.c ---- */

/* Chooses what the next completion is asked about: a.subject and a.typed. */
void typing_go_on(struct game *g, struct person *p, struct ask *a);
/* The text of a chat; now and then it ends in what was typed. */
void typing_chat_text(struct game *g, const struct ask *a, char out[2 * TEXT_SIZE]);
/* Several ask about the same text, or a part of it. */
void typing_together(struct game *g);
void typing_leave(struct game *g);
/* The body with another model, in place. */
struct span with_model(struct span body, char model);

/* ---- moves_replies.c ---- */

/* Aborts where it cannot be the reply to a; reply_fail does, and says what was asked. */
void reply_check(const struct game *g, const struct ask *a, const struct reply *r);
/* What a chat's reply says, as text; empty where it does not fit. */
void reply_said(const struct reply *r, char *out, size_t size);
/* A body without its chunks, where the head says that it has some. */
void body_unchunk(struct span head, struct span rest, struct buf *out);
_Noreturn void reply_fail(const struct ask *a, const struct reply *r, const char *what);

/* ---- moves_chats.c ---- */

/* The only request of p, a chat, was sent whole when there were so many calls. */
void chats_check_sent(struct game *g, const struct person *p, size_t calls);
/* The client that waits for this answer of a chat, with nothing before it; NULL: it is not known, or takes
 * no more now. */
struct person *chats_client(struct game *g, const struct upstream_call *call);
/* Its server has said that just now; has ended it. p may be NULL. */
void chats_check_said(struct game *g, struct person *p, const char *text);
void chats_check_over(struct game *g, struct person *p);

/* ---- moves_tally.c ---- */

/* A reply has come to a client. */
void tally_reply(struct game *g, const struct reply *r);
/* All clients have read what came: the figures are what they saw. */
void tally_check(struct game *g);
/* At any time: what is open by the figures and by the list of flights is open at a client. */
void tally_check_open(const struct game *g);
/* The daemon is started again: it counts from 0. */
void tally_forget(struct game *g);

/* ---- moves_explain.c ---- */

/* Asks what would be done with a whole request. false: it is none that explain speaks of. */
bool explain_ask(struct game *g, struct span request, struct explanation *out);
/* Aborts where another thing was done with it at once. */
void explain_check(struct game *g, const struct ask *a, const struct explanation *said,
                   const char *came);

/* ---- moves_models.c ---- */

/* Something happens to one of the open calls. */
void models_move(struct game *g);
/* Servers answer all that is asked from here on: each request has its reply in time. */
void models_answer_all(struct game *g);
/* Ends what is open, and what begins on the way. */
void models_end_all(struct game *g);
/* The daemon is started again: its calls are gone. */
void models_forget(struct game *g);

/* ---- moves_disk.c ---- */

/* The disk is full or has room again, or stands still; a record is damaged; the data file, or its
 * directory, goes or comes back. */
void disk_move(struct game *g);
/* Whether it stands still: nothing is written until it goes on. */
bool disk_stands(void);
/* It goes on. Before what waits for the writer: the daemon's end. */
void disk_go_on(void);
/* All is well with it again. */
void disk_end(struct game *g);

/* ---- moves_order.c ---- */

/* After a move: what the schedule and the flights say of themselves holds, and no task that may start
 * waits. */
void order_check(struct game *g);
/* Everything is over: no machine has anything open, running or waiting. */
void order_check_end(struct game *g);

/* ---- moves_control.c ---- */

/* A request on the control socket, whole, and its reply. */
void control_ask(struct game *g);

/* ---- moves_memory.c ---- */

/* One of the next large allocations of a buffer gets no memory: the one that `skip` others come
 * before. Small ones end the process by design. */
void memory_short(unsigned skip);
/* All get memory again. */
void memory_is_back(void);
/* Whether one will not. */
bool memory_is_short(void);
/* The daemon runs between these two; outside them it is the test that allocates. */
void daemon_enter(void);
void daemon_leave(void);

#endif
