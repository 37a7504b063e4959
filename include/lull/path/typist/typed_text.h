/* typed_text.h: the text that is being completed, what was typed since, and what is left of a
 * suggestion for the older text. Pure functions over UTF-8; nothing is allocated.
 */
#ifndef LULL_PATH_TYPIST_TYPED_TEXT_H
#define LULL_PATH_TYPIST_TYPED_TEXT_H

#include "lull/base/buf.h"

enum { TEXT_WALK = 128 }; /* characters that type-through looks back over (llama.vim's constant) */

/* Whether s may be cut at byte `at`: a beginning of a code point that belongs to nothing before it:
 * no combining mark, variation selector, emoji modifier or joiner, no second half of a flag or of
 * CR LF. The two ends count. A small table approximates Unicode's: where it is coarse, the answer
 * is false. */
bool text_boundary(struct span s, size_t at);

/* What is left of `suggestion`, made for `old_text`, after `typed` was typed behind it. old_text +
 * typed + *remainder equals old_text + suggestion, or equals it with one space between the two that
 * the model left out (models often do; the user types it). false: it does not fit, the remainder
 * would be blank, or the cut would fall inside a grapheme. */
bool text_remainder(struct span old_text, struct span suggestion, struct span typed,
                    struct span *remainder);

/* Whether a suggestion for old_text of which only the beginning has come may fit: one of begun and
 * typed begins with the other, but for a space that the model left out. */
bool text_may_fit(struct span old_text, struct span begun, struct span typed);

/* The last paragraph of a message: the text behind its last line end, trimmed; trailing empty lines
 * do not count. */
struct span text_last_paragraph(struct span message);

#endif
