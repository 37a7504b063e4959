/* prompt.c: what stands inside a task's prompt: for titles, whether there is a reply yet; for
 * completions, the text being completed, apart from everything around it; and whether two such
 * texts come from one typist.
 *
 * Prompts are templates with a person's text filled in and nothing escaped, so every mark of the
 * template may also stand in the person's text. Hence fixed parts are taken from the outside in:
 * the history begins at the first `<chat_history>` line (the template stands before it), the
 * completed text begins at the last complete `<type>…</type> <text>` and ends with the prompt's
 * fixed tail, whatever it holds itself.
 *
 * All spans point into the request. Nothing is allocated.
 *
 * Rejected: taking any two texts of one scope and model for one typist's (two users with one API
 * key type at once, and an answer to the one empties the other's suggestion).
 */
#include "path/webui/webui_priv.h"

#include "lull/base/ascii.h"
#include "lull/base/utf8.h"

static const struct span history_open = {"<chat_history>\n", 15};
static const struct span history_close = {"</chat_history>", 15};

enum { TYPIST_MIN = 12, TYPIST_MIN_STRANGERS = 24 };

/* `<type>TYPE</type>`, blanks and `<text>` together. */
enum { TYPE_LINE_MAX = 256 };

/* The completed text ends so near to the end of a body. */
enum { TYPED_TAIL = 256 };

static struct span span_sub(struct span s, size_t from, size_t to)
{
    return span_make(s.ptr + from, to - from);
}

static bool is_blank(struct span s)
{
    return span_trim(s).len == 0;
}

/* The end of s without trailing white space. */
static size_t trimmed_end(struct span s)
{
    size_t end = s.len;
    while (end > 0 && ascii_is_blank(s.ptr[end - 1])) {
        end--;
    }
    return end;
}

/* The history in `text`: from the first opening line to the last closing mark after it. */
bool task_history(struct span text, struct span *history)
{
    size_t open = span_find(text, history_open, 0);
    if (open == SIZE_MAX) {
        return false;
    }
    size_t from = open + history_open.len;
    size_t close = span_rfind(text, history_close);
    if (close == SIZE_MAX || close < from) {
        return false;
    }
    *history = span_sub(text, from, close);
    return true;
}

static bool starts_at(struct span s, size_t at, struct span part)
{
    return span_starts(span_sub(s, at, s.len), part);
}

/* Place of the last `part` before `end` that begins a line of s; SIZE_MAX when there is none. One
 * pass from the end, whatever s holds. */
static size_t last_line_start(struct span s, struct span part, size_t end)
{
    for (size_t at = end; at-- > 0;) {
        if ((at == 0 || s.ptr[at - 1] == '\n') && starts_at(s, at, part)) {
            return at;
        }
    }
    return SIZE_MAX;
}

struct span task_last_reply(struct span history)
{
    /* The last line counts: a first turn ends in an empty one, whatever the person pasted before
     * it. */
    struct span role = SPAN("ASSISTANT:");
    size_t at = last_line_start(history, role, history.len);
    if (at == SIZE_MAX) {
        return SPAN_NONE;
    }
    struct span reply = span_sub(history, at + role.len, history.len);
    size_t next = span_find(reply, SPAN("\nUSER:"), 0);
    return next == SIZE_MAX ? reply : span_sub(reply, 0, next);
}

bool task_title_has_reply(const struct dialect_request *request)
{
    struct span history;
    return task_history(request->last_text, &history) && !is_blank(task_last_reply(history));
}

/* Where the completed text ends: before `</text>`, white space, `#### Output:` at the end of the
 * prompt. SIZE_MAX when the prompt does not end so. */
static size_t completed_end(struct span prompt)
{
    struct span rest = span_sub(prompt, 0, trimmed_end(prompt));
    struct span output = SPAN("#### Output:");
    if (!span_ends(rest, output)) {
        return SIZE_MAX;
    }
    rest.len -= output.len;
    rest.len = trimmed_end(rest);
    struct span close = SPAN("</text>");
    return span_ends(rest, close) ? rest.len - close.len : SIZE_MAX;
}

/* Whether the line at `at` is the template's own: `<type>TYPE</type>` with `<text>` at the
 * beginning of the next line; *from is where the text begins. Looks no further than a line of the
 * template is long. */
static bool type_line(struct span prompt, size_t at, size_t *from)
{
    size_t reach = prompt.len - at < TYPE_LINE_MAX ? prompt.len - at : TYPE_LINE_MAX;
    struct span line = span_sub(prompt, at, at + reach), rest = line, first;
    struct span close = SPAN("</type>");
    struct span text = SPAN("\n<text>");
    size_t close_at = span_next(&rest, '\n', &first) ? span_find(first, close, 0) : SIZE_MAX;
    size_t text_at = close_at == SIZE_MAX ? SIZE_MAX : span_find(line, text, close_at);
    if (text_at == SIZE_MAX || !is_blank(span_sub(line, close_at + close.len, text_at))) {
        return false;
    }
    *from = at + text_at + text.len;
    return true;
}

/* The completed text in the default template's form. *type_at: where its `<type>` stands. */
static bool find_completed(struct span prompt, struct span *text, size_t *type_at)
{
    size_t end = completed_end(prompt);
    if (end == SIZE_MAX) {
        return false;
    }
    struct span before = span_sub(prompt, 0, end);
    struct span type = SPAN("<type>");
    for (size_t at = last_line_start(before, type, end); at != SIZE_MAX;
         at = last_line_start(before, type, at)) {
        size_t from = 0;
        if (type_line(before, at, &from)) {
            *text = span_sub(before, from, end);
            *type_at = at;
            return true;
        }
    }
    return false;
}

struct task_completion task_completion_of(const struct dialect_request *request)
{
    struct task_completion c = {.text = request->last_text, .history_empty = true};
    size_t type_at = 0;
    struct span text;
    if (request->last_text.len != 0 && find_completed(request->last_text, &text, &type_at)) {
        struct span history;
        c.text = text;
        c.found = true;
        c.history_empty =
            !task_history(span_sub(request->last_text, 0, type_at), &history) || is_blank(history);
    }
    return c;
}

bool task_typed_of(struct span body, struct task_typed *out)
{
    struct span close = SPAN("</text>"), open = SPAN("<text>");
    size_t tail = body.len < TYPED_TAIL ? 0 : body.len - TYPED_TAIL;
    size_t end = span_rfind(span_sub(body, tail, body.len), close);
    struct span front = end == SIZE_MAX ? SPAN_NONE : span_sub(body, 0, tail + end);
    size_t from = span_rfind(front, SPAN("<"));
    if (from == SIZE_MAX || !starts_at(front, from, open)) {
        return false;
    }
    out->before = span_sub(body, 0, from + open.len);
    out->text = span_sub(body, from + open.len, front.len);
    out->after = span_sub(body, front.len, body.len);
    return true;
}

bool task_same_typist(struct span a, struct span b, bool one_user, bool history_empty)
{
    struct span shorter = a.len <= b.len ? a : b;
    struct span longer = a.len <= b.len ? b : a;
    if (!span_starts(longer, shorter)) {
        return false;
    }
    size_t need = !one_user && history_empty ? TYPIST_MIN_STRANGERS : TYPIST_MIN;
    return utf8_count(shorter) >= need;
}
