/* webui_priv.h: what the files of this folder share.
 */
#ifndef PATH_WEBUI_WEBUI_PRIV_H
#define PATH_WEBUI_WEBUI_PRIV_H

#include "lull/path/webui/classify.h"

/* What the texts of a request say. */
enum text_match {
    TEXT_UNKNOWN,
    TEXT_TASK,      /* every part of a known prompt is there */
    TEXT_CHAT,      /* a known prompt of chats */
    TEXT_LOOKALIKE, /* begins like a task and does not go on like one */
};

/* Compares the request's system and last user text with the table; *kind is set on TEXT_TASK. */
enum text_match text_match_table(const struct dialect_request *request, int *kind);

/* Kind whose `match` and `system_match` of the configuration fit; KIND_NONE when none does. Where
 * several fit, the longest text wins. */
int text_match_settings(const struct settings *settings, const struct dialect_request *request);

/* Whether the request holds no message but its last one and a system message in front of it: the
 * form of every task of Open WebUI's, and the only form whose texts dialect_request gives in full.
 */
bool text_is_single(const struct dialect_request *request);

/* prompt.c: the history in a task's prompt: from the first opening line to the last closing mark
 * after it. false: there is none. */
bool task_history(struct span text, struct span *history);
/* The text of its last ASSISTANT line, as it stands; empty where there is none. */
struct span task_last_reply(struct span history);

#endif
