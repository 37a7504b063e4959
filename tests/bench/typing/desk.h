/* desk.h: people at their keyboards: each has a trace and an editor for each tab. The editor is one
 * of two kinds: Open WebUI's own, or one that asks at every change of the text.
 */
#ifndef TESTS_BENCH_TYPING_DESK_H
#define TESTS_BENCH_TYPING_DESK_H

#include "bench/typing/port.h"
#include "bench/typing/tally.h"

enum client_kind {
    CLIENT_EDITOR,    /* (a): as Open WebUI's editor does */
    CLIENT_EVERY_KEY, /* (b): every change of the text is a request */
    CLIENT_COUNT,
};

struct desk;

/* What an editor shows, and what it has asked for. */
struct editor {
    struct desk *desk;
    size_t person;
    size_t message;
    struct span before; /* the paragraph's text before the caret */
    bool at_end;
    char ghost[SUGGESTION_MAX]; /* the suggestion shown after the caret */
    size_t ghost_len;
    usec_t shown_at;
    uint64_t ghost_serial;
    /* (a) */
    struct loop_timer *timer;
    bool loading;
    uint64_t version, asked_version; /* of text and caret */
};

struct typist {
    const struct person *person;
    size_t next; /* key */
    bool judged; /* the gap before the next key is accounted for already */
    struct loop_timer *timer;
    struct editor editors[TABS_MAX];
};

struct desk {
    struct loop *loop;
    const struct cast *cast;
    enum client_kind client;
    struct port *port;
    struct model *model;
    struct tally *tally;
    usec_t begun;
    size_t under_way; /* requests */
    uint64_t serial;
    struct typist typists[PEOPLE_MAX];
};

/* Starts every person; the port's tally and the model's figures grow from here on. */
void desk_begin(struct desk *d);
/* Every key has been pressed and every request answered. */
bool desk_done(const struct desk *d);
void desk_end(struct desk *d);

/* desk.c, for editor.c: sends what is before the editor's caret. */
void desk_ask(struct editor *e);
usec_t desk_now(const struct desk *d); /* since the beginning */

/* editor.c */
void editor_begin(struct editor *e);
void editor_end(struct editor *e);
/* A key other than Tab; the editor's text is still the old one. */
void editor_key(struct editor *e, const struct key *key);
/* Tab: the text is now that of `key`. */
void editor_tab(struct editor *e, const struct key *key);
void editor_answer(struct editor *e, const struct asking *asking, const struct answered *answered);

#endif
