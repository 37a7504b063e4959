/* repair.h: an answer made readable for Open WebUI, where its own parser of the kind would fail.
 */
#ifndef LULL_PATH_WEBUI_REPAIR_H
#define LULL_PATH_WEBUI_REPAIR_H

#include "lull/path/dialect/answer.h"

/* Repairs a whole answer that answer_validate() finds bad, of a kind whose answer is a JSON object:
 * thinking (<think>…</think> and its like, also where only the closing tag is there), code fences
 * and chatter around the JSON are taken off, raw control characters and wrong escapes in its
 * strings are escaped, and if the kind's object is found then, the content becomes that object's
 * text.
 * true: it was changed, and is good or empty now. Otherwise nothing is changed. Text and
 * emoji kinds are never changed. */
bool answer_repair(struct answer *a, const struct kind_policy *policy, int kind);

#endif
