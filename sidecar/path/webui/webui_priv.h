/* webui_priv.h: what the files of this folder share.
 */
#ifndef PATH_WEBUI_WEBUI_PRIV_H
#define PATH_WEBUI_WEBUI_PRIV_H

#include "lull/path/dialect/answer.h"
#include "lull/path/json/reader.h"
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

/* Whether both find the same whatever stands in place of `text`, a part of the last text, in which
 * they found a kind. In doubt false. */
bool text_match_is_apart(const struct settings *settings, const struct dialect_request *request,
                         struct span text);

/* Whether the request holds no message but its last one and a system message in front of it: the
 * form of every task of Open WebUI's, and the only form whose texts dialect_request gives in full.
 */
bool text_is_single(const struct dialect_request *request);

/* prompt.c: the history in a task's prompt: from the first opening line to the last closing mark
 * after it. false: there is none. */
bool task_history(struct span text, struct span *history);
/* The text of its last ASSISTANT line, as it stands; empty where there is none. */
struct span task_last_reply(struct span history);

/* validate.c: whether Open WebUI reads a kind's object from the last '{' instead of the first. */
bool validate_reads_last(int kind);
/* validate.c: what Open WebUI takes out of a content: from the first or last '{' to the last '}';
 * empty: there is none. */
struct span answer_slice(struct span content, bool last_open);
/* validate.c: the verdict on an object's text alone. */
enum answer_verdict validate_object(struct span json, const struct kind_policy *policy, int kind);
/* validate.c: whether s is only white space, as JavaScript's trim() sees it. */
bool validate_is_blank(struct span s);

/* thoughts.c: overwrites thinking with NUL, so that places in the text stay what they are. */
void thoughts_blank(struct buf *text);
/* thoughts.c: length of the thought that a reply begins with and Open WebUI takes off; 0: none. */
size_t thoughts_leading(struct span reply);
/* thoughts.c: where a thought begins that never ends; SIZE_MAX: nowhere. */
size_t thoughts_unended(struct span text);

/* pictograph.c: the place of the first character that shows as a picture; SIZE_MAX: none. */
size_t pictograph_find(struct span s);

#endif
