/* chat_history.h: the conversation inside of a task's prompt, compared with one that is known; and the
 * prompt without it, for a task that is asked behind that conversation.
 *
 * Open WebUI puts the last messages of a conversation into a task's prompt, as lines "USER: text"
 * and "ASSISTANT: text" between <chat_history> and </chat_history>. Which ones: the last two of a
 * title, the last six of tags, of queries and, up to 0.12.0, of follow-ups; since 0.12.1 follow-ups
 * have the first user message and the last four, each cut to 1,000 characters.
 */
#ifndef LULL_PATH_WEBUI_CHAT_HISTORY_H
#define LULL_PATH_WEBUI_CHAT_HISTORY_H

#include "lull/base/buf.h"
#include "lull/path/dialect/chat_request.h"

struct chat_history_line {
    const char *role; /* "USER", "ASSISTANT", "SYSTEM" */
    size_t at, len;   /* its text, in chat_history.texts */
    size_t message;   /* its number among the chat's messages; the reply's: their count */
};

/* A conversation as task prompts have it: messages without text, and those of tools, are not in
 * it. */
struct chat_history {
    struct buf texts;
    struct chat_history_line *lines;
    size_t count;
    size_t first; /* the line of the person's first message; SIZE_MAX: there is none */
};
/* Reads the messages of a chat's request, and the reply to it. ERR_INVALID: a message has a
 * role that task prompts do not have. The caller frees out in every case. */
MUST_CHECK enum err chat_history_read(const struct dialect_request *chat, struct span reply,
                                      struct chat_history *out);
/* The first message of the person; empty: there is none. */
struct span chat_history_first(const struct chat_history *h);
void chat_history_free(struct chat_history *h); /* zeroed struct is fine */

/* What a prompt may have beside the end of the conversation. */
enum chat_history_form {
    CHAT_HISTORY_END = 0,
    CHAT_HISTORY_AWAITS_REPLY = 1, /* an empty ASSISTANT line in place of the last reply */
    CHAT_HISTORY_NEW_MESSAGE = 2,  /* one more USER message behind it */
};

/* A prompt with a history, read once for all conversations that it is compared with. Spans point into
 * it. */
enum { CHAT_HISTORY_MESSAGES = 8 };
struct chat_history_prompt {
    struct span before; /* up to and with the line <chat_history> */
    struct span history;
    struct span after; /* from </chat_history> on */
    unsigned forms;    /* CHAT_HISTORY_ bits: what is allowed beside the end of the conversation */
    struct span lines; /* private, like the rest: the history without blanks around it */
    struct span first; /* the text behind its first "USER:"; ptr NULL: another line is the first */
    size_t message_count;
    struct {
        struct span lines; /* before a message that may be new */
        size_t at;         /* the message, in the history */
    } messages[CHAT_HISTORY_MESSAGES];
};
/* false: the prompt has no history. */
bool chat_history_find(struct span prompt, unsigned forms, struct chat_history_prompt *out);

/* A prompt in parts; spans point into it. */
struct chat_history_place {
    struct span before;  /* up to and with the line <chat_history> */
    struct span message; /* CHAT_HISTORY_NEW_MESSAGE: the line of that message; else empty */
    struct span after;   /* from </chat_history> on */
    bool certain;        /* the history is all of the conversation, or as many messages as those
                            selections take of a longer one: fewer are the end of many conversations */
};
/* Whether the history in the prompt is, message by message, the end of the conversation. The new message
 * of CHAT_HISTORY_NEW_MESSAGE begins at one of the last CHAT_HISTORY_MESSAGES lines "USER:". Takes no
 * longer than the conversation is long. */
bool chat_history_fits(const struct chat_history *h, const struct chat_history_prompt *prompt,
                       struct chat_history_place *out);
/* Whether the prompt has a history at all. */
bool chat_history_has(struct span prompt);

/* A chat that may go on from the histories of many prompts: it is read for the first of them. */
struct chat_history_chat {
    const struct dialect_request *request;
    bool read, readable;         /* private, like the rest */
    struct chat_history history; /* up to the chat's last reply */
};
void chat_history_chat_free(struct chat_history_chat *chat);
/* Whether a chat goes on from that history of a prompt (of task_turn): the conversation up to the chat's
 * last reply ends so, and no other is known to (`certain`). Both are compared by task_plain(). */
bool chat_history_goes_on(struct span history, struct chat_history_chat *chat);

/* Appends the last message of the task that is asked behind the conversation: the prompt with a
 * reference in place of its history. */
MUST_CHECK enum err chat_history_instruction(const struct chat_history_place *place,
                                             struct buf *out);

/* Appends a reply as the next request of the conversation repeats it: a streamed one trimmed and
 * without the thinking at its beginning, any other one as it came. ERR_INVALID: it is not certain
 * what Open WebUI makes of thinking elsewhere in it. */
MUST_CHECK enum err chat_history_repeated_reply(struct span reply, bool streamed, struct buf *out);

#endif
