/* answer.h: the neutral answer: put together from a model server's stream (SSE, NDJSON) or plain
 * JSON object, validated, stored, and rendered as the one JSON object that the client wants.
 */
#ifndef LULL_PATH_DIALECT_ANSWER_H
#define LULL_PATH_DIALECT_ANSWER_H

#include "lull/base/clock.h"
#include "lull/config/settings.h"
#include "lull/path/dialect/chat_request.h"

#include <stdint.h>

enum finish { FINISH_NONE, FINISH_STOP, FINISH_LENGTH, FINISH_OTHER };

struct answer {
    struct buf content;  /* always a string, may be empty */
    struct buf thinking; /* empty: none */
    bool is_reasoning;   /* its name was "reasoning": Open WebUI reads thinking in place of an empty
                          content, but not under that name */
    enum finish finish;
    int64_t tokens_in, tokens_out; /* -1: the server did not say */
    int64_t cached_tokens;         /* -1: the server did not say */
    usec_t prompt_time; /* of that: reading the prompt; -1: the server did not say. Not stored */
    usec_t model_time;  /* the server's own durations (timings, total_duration); -1: none */
};
void answer_init(struct answer *a); /* content and thinking bounded at ANSWER_MAX together */
void answer_free(struct answer *a);
enum { ANSWER_MAX = 4 * 1024 * 1024 };

/* One JSON object, as a server of that endpoint's dialect would send it (no newline at the end):
 * one choice, content a string, finish reason or done_reason, usage or counts where known, thinking
 * where there is one (reasoning_content, or reasoning where that was its name; thinking), id
 * "chatcmpl-lull-" + hex of `serial`. */
MUST_CHECK enum err answer_render(const struct answer *a, enum endpoint endpoint, struct span model,
                                  wall_t created, uint64_t serial, struct buf *out);

/* The same of an answer's binary form, without decoding it. ERR_CORRUPT: it is none. */
MUST_CHECK enum err answer_render_stored(struct span bytes, enum endpoint endpoint,
                                         struct span model, wall_t created, uint64_t serial,
                                         struct buf *out);

/* Binary form for the store; decoding checks every length. The decoded answer owns its memory. Bytes
 * that are not UTF-8 are U+FFFD then. ERR_INVALID: a text has U+0000. */
MUST_CHECK enum err answer_encode(const struct answer *a, struct buf *out);
MUST_CHECK enum err answer_decode(struct span bytes, struct answer *out);

/* What came from the server. */
enum assembled {
    ASSEMBLED_WHOLE,    /* complete: end mark of the protocol (or a whole JSON object), or a finish
                        reason, seen; not one that stands in every event */
    ASSEMBLED_UNMARKED, /* text, and the transport ended without them behind a whole line */
    ASSEMBLED_INCOMPLETE, /* the transport broke, or ended inside of a line or an object; or there was
                             no text */
    ASSEMBLED_ERROR,      /* an error object: inside a stream of status 200, or as the body */
    ASSEMBLED_ODD,        /* whole, but is not one plain answer: tool calls, several
                             choices, content that is no text, not JSON, unknown form */
    ASSEMBLED_TOO_LARGE,
};

/* What the event that is being read adds to the answer's texts. */
struct event_said {
    unsigned count;  /* texts that are not empty */
    struct span raw; /* the last of them */
    bool thinking;   /* it is thinking */
    bool anywhere;   /* its place is read only where nothing was said before */
};

/* An event, and which of its strings may differ in the next one. */
struct event_form {
    struct buf json; /* empty: there is none */
    struct event_hole {
        size_t at, end;
    } holes[2]; /* by place; the second may be absent */
    size_t hole_count;
    size_t text; /* the hole that is text of the answer */
    bool thinking;
};

struct assembler {
    enum endpoint endpoint;
    int format; /* private */
    struct answer answer;
    struct buf line;  /* private: unfinished line or the whole JSON body */
    struct buf error; /* ASSEMBLED_ERROR: the JSON object to send, {"error": ...} as it came */
    int error_status; /* ASSEMBLED_ERROR: status for it: the error's own code (a number, or its
                         digits) if 400-599, else 500 */
    bool error_coded; /* it had such a code */
    int mark;         /* private: bytes of a byte order mark that were skipped */
    bool ended, odd, failed, too_large, any; /* any: a byte that is no white space has come */
    bool foreign;                            /* private: its charset is not UTF-8 */
    bool no_memory;                          /* for what came: with too_large */
    bool event_seen;                         /* private: one object has been read */
    bool finish_seen;                        /* a finish reason, and no text after it */
    bool finish_doubted;   /* it came in one event with text: some servers say one in every event */
    bool finish_repeats;   /* private: text came after a finish reason, so this server does */
    bool first_token_seen; /* content or thinking began */
    bool calls;            /* the answer asks for tools to be called */
    struct event_said said; /* private */
    struct event_form form; /* private */
};
/* content_type: of the response (text/event-stream, application/x-ndjson, application/json, with
 * parameters). */
void assembler_init(struct assembler *a, enum endpoint endpoint, struct span content_type);
/* A piece of the body as it arrived, any size. */
void assembler_feed(struct assembler *a, struct span piece);
/* Whether nothing more is wanted of the body: its end mark, a finish reason or an error has come.
 */
bool assembler_finished(const struct assembler *a);
/* The body has ended; transport_whole: without an error of the transport. The answer stays in
 * a->answer. */
enum assembled assembler_finish(struct assembler *a, bool transport_whole);
/* Whether part of an answer is there: a token, or part of an event. Before assembler_finish(). */
bool assembler_begun(const struct assembler *a);
void assembler_free(struct assembler *a);
/* The memory that it has for what came. */
size_t assembler_room(const struct assembler *a);

/* Whether an answer is worth storing, validated as Open WebUI's own parser of that kind reads it.
 * */
enum answer_verdict {
    ANSWER_GOOD,
    ANSWER_EMPTY, /* good, and it says "nothing" (an empty suggestion): kept for a short time */
    ANSWER_BAD,   /* to be served as it came, not stored */
};
enum answer_verdict answer_validate(const struct answer *a, const struct kind_policy *policy,
                                    int kind);

/* Content of the harmless answer of a kind that gets no call. For queries: the last user message of
 * the prompt's history. request may be NULL. */
MUST_CHECK enum err answer_empty_content(const struct kind_policy *policy, int kind,
                                         const struct dialect_request *request, struct buf *out);

#endif
