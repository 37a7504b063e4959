/* typed_text.h: the text that is being completed, what was typed since, and what a suggestion for
 * the older text is worth now. Pure functions over UTF-8; nothing is allocated.
 */
#ifndef LULL_PATH_TYPIST_TYPED_TEXT_H
#define LULL_PATH_TYPIST_TYPED_TEXT_H

#include "lull/base/buf.h"

enum { TEXT_WALK = 128 }; /* characters that type-through looks back over (llama.vim's constant) */

/* Whether s may be cut at byte `at`: a beginning of a code point that belongs to nothing before it:
 * no combining mark, variation selector, emoji modifier or joiner, no second half of a flag or of
 * CR LF. The two ends count. A small table stands for Unicode's; where it is coarse, it says no. */
bool text_boundary(struct span s, size_t at);

/* What of `suggestion`, made for `old_text`, is still ahead of somebody who has typed `typed`
 * behind it. old_text + typed + *rest equals old_text + suggestion, or equals it once the one space
 * is put in that the model left out (models often do; a person types it). false: it does not fit,
 * the rest would be blank, or a cut would fall inside a character as people see it. */
bool text_rest(struct span old_text, struct span suggestion, struct span typed, struct span *rest);

/* Whether `begun`, the beginning of a suggestion for old_text that is still being written, may yet
 * turn out to fit: one of begun and typed begins with the other, the left-out space forgiven. */
bool text_may_fit(struct span old_text, struct span begun, struct span typed);

/* The last paragraph of a message: what stands behind its last line end, without the white space
 * around it; trailing empty lines do not count. */
struct span text_last_paragraph(struct span message);

#endif
