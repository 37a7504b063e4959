/* wire.h: bytes between Open WebUI, lull and the model: bodies as Open WebUI 0.12.4 writes them
 * (template and headers from tests/fixtures/requests/open-webui.jsonl), and what comes back.
 */
#ifndef TESTS_BENCH_TYPING_WIRE_H
#define TESTS_BENCH_TYPING_WIRE_H

#include "bench/typing/suggest.h"

struct wire; /* the template, ready to be filled in */

struct wire *wire_create(const char *fixtures); /* ends the program when it cannot be read */
void wire_free(struct wire *w);

/* Whole requests, head and body. person: named in the user header, where `with_user`. */
void wire_autocomplete(const struct wire *w, const struct cast *cast, size_t person, size_t context,
                       struct span text, struct buf *out);
void wire_chat(const struct wire *w, const struct cast *cast, size_t person, size_t message,
               struct buf *out);

/* What a call's body asks for. chat: nothing else is filled in. text is copied into `room`. */
struct asked {
    bool chat, stream;
    size_t context;
    struct span text;
};
void wire_read_call(const struct wire *w, const struct cast *cast, const char *body,
                    struct asked *asked, struct buf *room);

/* How a request was answered, from Cache-Status. */
enum how {
    HOW_CALL,   /* a call of its own */
    HOW_HIT,    /* known for exactly this text */
    HOW_REST,   /* the rest of a suggestion for a shorter text */
    HOW_JOINED, /* shared a call under way */
    HOW_EMPTY,  /* answered empty on purpose: superseded, busy, sent, deadline, ... */
    HOW_FAILED, /* an error */
    HOW_COUNT,
};
struct answered {
    enum how how;
    size_t len;
    char text[SUGGESTION_MAX]; /* the suggestion */
};
/* A whole reply to an autocomplete; reply is terminated. */
void wire_read_reply(const char *reply, size_t len, struct answered *out);

#endif
