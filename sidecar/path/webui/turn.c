/* turn.c: the reply that a task's prompt ends with, and messages as task prompts have them: without
 * thinking (thinking.def) and images. A block of thinking that is not closed is left in, since its end
 * is unknown.
 */
#include "lull/path/webui/turn.h"

#include "lull/base/scan.h"
#include "path/webui/webui_priv.h"

struct task_turn task_turn_of(const struct dialect_request *request)
{
    struct task_turn t = {.known = false};
    struct span history;
    if (task_history(request->last_text, &history)) {
        t.known = true;
        t.history = history;
        t.reply = span_trim(task_last_reply(history));
    }
    return t;
}

/* ---- plain text ---- */

static const struct {
    struct span open, close;
    bool prompts;
} blocks[] = {
#define THINKING(open, close, alone, prompts)                                                      \
    {{open, sizeof(open) - 1}, {close, sizeof(close) - 1}, prompts},
#include "lull/path/webui/thinking.def"
#undef THINKING
};

enum { BLOCKS = sizeof blocks / sizeof blocks[0] };

/* What was looked for and is nowhere ahead: each is looked for once. */
struct ahead {
    bool no_close[BLOCKS], no_image;
};

/* Length of a block of thinking at `at`; 0: there is none. */
static size_t thinking_at(struct span s, size_t at, struct ahead *ahead)
{
    struct span rest = span_make(s.ptr + at, s.len - at);
    for (size_t i = 0; i < BLOCKS; i++) {
        if (blocks[i].prompts && !ahead->no_close[i] && span_starts(rest, blocks[i].open)) {
            size_t end = span_find(rest, blocks[i].close, 0);
            ahead->no_close[i] = end == SIZE_MAX;
            return end == SIZE_MAX ? 0 : end + blocks[i].close.len;
        }
    }
    return 0;
}

/* Length of a markdown image ![alt](url) at `at`; 0: there is none. */
static size_t image_at(struct span s, size_t at, struct ahead *ahead)
{
    struct span rest = span_make(s.ptr + at, s.len - at);
    if (ahead->no_image || !span_starts(rest, SPAN("!["))) {
        return 0;
    }
    size_t middle = span_find(rest, SPAN("]("), 0);
    size_t end = middle == SIZE_MAX ? SIZE_MAX : span_find(rest, SPAN(")"), middle);
    ahead->no_image = end == SIZE_MAX;
    return end == SIZE_MAX ? 0 : end + 1;
}

/* The next place at which something may be left out; the end: there is none. */
static size_t next_mark(struct span s, size_t at)
{
    return at < s.len ? at + scan_to_mark(s.ptr + at, s.len - at, "<!!") : s.len;
}

/* Length of what is to be left out at `at`; 0: nothing. */
static size_t left_out(struct span s, size_t at, struct ahead *ahead)
{
    return s.ptr[at] == '<'   ? thinking_at(s, at, ahead)
           : s.ptr[at] == '!' ? image_at(s, at, ahead)
                              : 0;
}

enum err task_plain(struct span message, struct buf *out)
{
    struct ahead ahead = {.no_image = false};
    size_t begin = out->len;
    size_t from = 0;
    for (size_t at = 0; (at = next_mark(message, at)) < message.len;) {
        size_t skip = left_out(message, at, &ahead);
        if (skip == 0) {
            at++;
            continue;
        }
        enum err e = buf_append(out, message.ptr + from, at - from);
        if (e != ERR_OK) {
            return e;
        }
        at += skip;
        from = at;
    }
    if (from < message.len) {
        enum err e = buf_append(out, message.ptr + from, message.len - from);
        if (e != ERR_OK) {
            return e;
        }
    }
    struct span plain =
        out->len > begin ? span_make(out->data + begin, out->len - begin) : SPAN_NONE;
    struct span trimmed = span_trim(plain);
    if (trimmed.len > 0) {
        memmove(out->data + begin, trimmed.ptr, trimmed.len);
    }
    out->len = begin + trimmed.len;
    return ERR_OK;
}
