/* prefix.h: whether it helps to ask a model's tasks behind their conversation, learnt from the
 * server's own figures; what the server has in its prompt cache, as far as that is known from here;
 * and how long a prompt its context takes.
 *
 * Three states of the cache are distinguished, since servers differ in them:
 *   FIRST         the conversation was the last that a slot read: every cache helps
 *   AFTER_OWN     tasks behind the same conversation came in between: the server must go back to
 *                 where they began, which a model with sliding-window attention cannot
 *   AFTER_OTHERS  something else came in between: the server must have kept the conversation
 *                 elsewhere (llama.cpp keeps idle slots in host memory)
 *
 * In each state the first calls are tries. Two in a row without a gain switch it off, and a day
 * later one call tries again. Forms are counted per kind: where more are wrong than of tasks as
 * asked, two in a row, or a share of the last 50 that is 5 points larger, switch the kind off for a
 * day, or until tasks as asked turn out no better.
 */
#ifndef LULL_PATH_SERVER_PREFIX_H
#define LULL_PATH_SERVER_PREFIX_H

#include "lull/path/server/server.h"

enum prefix_when { PREFIX_FIRST, PREFIX_AFTER_OWN, PREFIX_AFTER_OTHERS, PREFIX_WHENS };

/* Counters of one kind of answers. */
struct prefix_forms {
    uint64_t wrong; /* of the last 50, as bits; the newest is the lowest */
    uint32_t count; /* at most 50 */
};

/* What is learnt of one model; plain values, kept over restarts as they are. */
struct prefix_learnt {
    struct prefix_gain {
        bool on, off;             /* neither: still trying */
        uint8_t without, unknown; /* calls in a row without a gain, and without a measure of it */
        int64_t calls, tokens, tokens_read; /* of all calls behind a conversation */
        wall_t off_since;
    } gain[PREFIX_WHENS];
    struct prefix_kind {
        struct prefix_forms behind, asked;
        wall_t off_since; /* zero: on */
    } kinds[KIND_BUILTIN_COUNT];
    double token_us; /* time to read a token that is not cached; 0: not known */
    int64_t shown;   /* the most tokens of a prompt and its answer together */
};

/* Whether a task of the kind (a built-in one) is worth asking behind its conversation in that state;
 * PREFIX_REASON_NONE: it is, or it is time to try. rule CHAT: always. */
enum prefix_reason prefix_look(const struct server_model *m, int kind, enum prefix_when when,
                               enum prefix_rule rule, wall_t now);
/* The same for a task whose call is not near, so that its state is not known: NONE unless no state
 * is worth it. */
enum prefix_reason prefix_may(const struct server_model *m, int kind, enum prefix_rule rule,
                              wall_t now);

/* A call of a built-in kind has ended with an answer. */
struct prefix_call {
    int kind;
    bool behind; /* it was asked behind its conversation, in state `when` */
    enum prefix_when when;
    int64_t conversation; /* tokens of that, estimated where the server did not say */
    bool wrong_form;
    int64_t tokens_in, cached; /* -1: the server did not say */
    usec_t prompt_time;        /* the same */
};
void prefix_note(struct server_model *m, const struct prefix_call *call, wall_t now);
/* A chat went on from a turn of `conversation` tokens that no slot held any more (state
 * AFTER_OTHERS), and was answered: whether the server had kept it. kind, behind, wrong_form are not
 * read. */
void prefix_note_chat(struct server_model *m, const struct prefix_call *call, wall_t now);
/* A prompt and its answer of so many tokens were taken; 0 or less: not known. */
void prefix_note_size(struct server_model *m, int64_t tokens);
/* Tokens that the context takes, by what was stated (0: nothing) or shown. */
int64_t prefix_context(const struct server_model *m, int64_t stated);

/* Whether the server was seen to go back behind a task: then tasks behind a conversation take
 * nothing of its cache. */
bool prefix_goes_back(const struct server_model *m);

/* ---- what slots read last ---- */

/* A conversation up to one of its turns; conversation 0: what none could go back to. size: bytes of
 * its request and reply. */
struct prefix_place {
    uint64_t conversation, turn;
    size_t size;
};
/* Whether a server that answers with that status has read the prompt: one that refuses a request (4xx) has
 * not, and what its slots hold stays. */
static inline bool prefix_is_read(int status)
{
    return status / 100 != 4;
}
/* A chat's answer has ended, or a rewarm. slots: of the server. */
void prefix_read_chat(struct server_model *m, int64_t slots, struct prefix_place what);
/* A task's answer has begun, or it was aborted: behind that conversation, or as asked. */
void prefix_read_task(struct server_model *m, int64_t slots, struct prefix_place what);
/* The state for a task behind it. A slot that holds another turn of the same conversation has to go
 * back as after a task. */
enum prefix_when prefix_when_of(const struct server_model *m, struct prefix_place what);
/* Bytes of the conversation that a call as asked takes out of the server's prompt cache. 0: nothing
 * is held, or it has several slots, or it was not seen to lose a conversation so. */
size_t prefix_displaces(const struct server_model *m, int64_t slots);
/* Whether a slot of that server holds the conversation, for a model's key. */
bool prefix_is_held(const struct server *s, struct hash_key model, uint64_t conversation);

/* ---- for display, and over restarts ---- */

struct prefix_view {
    const char *upstream, *model;
    const struct prefix_learnt *learnt;
};
/* Models of which something is learnt. Calls fn before it returns. */
void prefix_each(struct servers *all, void (*fn)(void *ctx, const struct prefix_view *v),
                 void *ctx);
/* "on", "off", "trying". */
const char *prefix_state(const struct prefix_gain *g);
const char *prefix_when_name(enum prefix_when when);
/* How many of the last answers had the wrong form. */
unsigned prefix_wrong(const struct prefix_forms *f);
/* Appends all that is learnt; loading takes what belongs to servers of the same name and url, and
 * leaves what was learnt since. prefix_changes() differs after each change. */
MUST_CHECK enum err prefix_save(struct servers *all, struct buf *out);
void prefix_load(struct servers *all, struct span saved);
uint64_t prefix_changes(const struct servers *all);

#endif
