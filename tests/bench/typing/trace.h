/* trace.h: who types what, and when: the input of the typing benchmark. Everything here is decided
 * by a seed before a run and does not depend on what lull does; the only reaction of a person is to
 * take a shown suggestion with Tab (editor.c), which skips keys and leaves the times of the others
 * alone.
 *
 * Frozen: seeds.c holds a digest of every trace, and the benchmark refuses to run when one differs.
 */
#ifndef TESTS_BENCH_TYPING_TRACE_H
#define TESTS_BENCH_TYPING_TRACE_H

#include "lull/base/buf.h"
#include "lull/base/clock.h"

/* The people who type. */
enum people {
    PEOPLE_SOLO,      /* one person, one tab, a chat that grows; user header */
    PEOPLE_TABS,      /* one person, two tabs with a chat each, one keyboard; user header */
    PEOPLE_STRANGERS, /* three people in new chats (empty history), no user header, one key */
    PEOPLE_SHARED,    /* three people whose chats have the same history, no user header, one key */
    PEOPLE_COUNT,
};

enum { PEOPLE_MAX = 3, TABS_MAX = 2, TRACE_MINUTES = 15 };

enum key_kind {
    KEY_TEXT,      /* a character (or what an emoji picker inserts) */
    KEY_BACKSPACE, /* takes one character away */
    KEY_PASTE,     /* several words at once */
    KEY_MOVE,      /* the caret moves: an arrow, Home, End */
    KEY_TAP,       /* Shift, Ctrl, Escape by itself: changes nothing */
    KEY_CLICK,     /* the mouse: the caret moves, or the other tab is chosen */
    KEY_SEND,      /* Enter */
};

/* The first turn of the chats of PEOPLE_SHARED is message 0, which no person types. */
struct message {
    struct span text; /* as it is sent; paragraphs end with \n */
    int previous;     /* the message before it in its chat; -1: it begins one */
    size_t context;   /* index of the history that its autocompletes carry */
};

struct key {
    usec_t at; /* from the beginning of the run */
    enum key_kind kind;
    unsigned tab;
    size_t message;
    struct span before; /* the paragraph's text before the caret, after this key */
    bool at_end;        /* the caret is at the paragraph's end */
    struct span goal;   /* what the person means to write there, `before` being its beginning; ptr
                           NULL: a mistake, or a place where nothing is to follow */
    bool takes;         /* takes a suggestion with Tab in place of this key if it is right */
};

struct person {
    struct key *keys;
    size_t count, room;
};

struct cast {
    enum people people;
    uint64_t seed;
    struct person persons[PEOPLE_MAX];
    size_t person_count;
    struct message *messages;
    size_t message_count, message_room;
    struct span *contexts; /* histories as the template writes them; 0 is "" */
    size_t context_count, context_room;
    char **kept; /* private: the memory behind all spans */
    size_t kept_count, kept_room;
};

struct corpus {
    char *bytes;
    struct line {
        unsigned language;
        struct span text;
    } * lines;
    size_t count;
};
enum { LANGUAGES = 3 };

/* Reads corpus.txt; ends the program when it cannot. */
struct corpus *corpus_read(const char *path);
void corpus_free(struct corpus *c);

/* The trace of that seed, `minutes` long. */
struct cast *cast_create(const struct corpus *corpus, enum people people, uint64_t seed,
                         unsigned minutes);
void cast_free(struct cast *cast);
/* Over every key and message: equal digests, equal traces. */
uint64_t cast_digest(const struct cast *cast);
/* The reply that message gets: a short text of its own. */
struct span cast_reply(const struct cast *cast, size_t message);

/* compose.c: the keys of one message, without times: `at` is the time since the key before. */
struct typing {
    const struct corpus *corpus;
    struct cast *cast;
    unsigned language;
    unsigned pace; /* thousandths of the median person's key intervals */
    struct prng *random;
};
void compose_message(const struct typing *who, struct person *into, unsigned tab, size_t message);
/* trace.c, for compose.c: a copy of s that lives as long as the cast. */
struct span cast_keep(struct cast *cast, struct span s);
/* Appends a key. */
void person_add(struct person *p, const struct key *key);
/* Length of the character that begins at s[at]: a code point, or a whole run of emoji. */
size_t text_unit(struct span s, size_t at);
/* ... and of the one that ends at s[at]. */
size_t text_unit_back(struct span s, size_t at);

const char *people_name(enum people people);
bool people_have_users(enum people people);

#endif
