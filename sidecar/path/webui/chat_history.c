/* chat_history.c: see chat_history.h.
 *
 * Texts stand in prompts unescaped, so a message may hold lines that look like others. Hence
 * nothing is split: the lines that the known conversation would have are compared from the end of
 * the history backwards, whole texts at a time. White space around a text does not count, since
 * Open WebUI trims some of them.
 */
#include "lull/path/webui/chat_history.h"

#include "lull/base/ascii.h"
#include "lull/base/utf8.h"
#include "lull/path/webui/turn.h"
#include "path/webui/webui_priv.h"

#include <stdlib.h>

enum {
    CUT_OVER = 1000,
    CUT_HEAD = 498,
    CUT_TAIL = 499,
    CHARACTER_MOST = 4, /* bytes */
    CUT_LONGEST = CHARACTER_MOST * (CUT_HEAD + CUT_TAIL) + 3,
    TEXTS_MAX = 8 * 1024 * 1024,
    BLANKS_MOST = 256, /* around a text */
};
/* Messages of a long conversation in a prompt; beside its first one. */
enum { LAST_LINES = 6, WITH_FIRST = 4 };

/* The model sees the reference where the history stood. The note says that what a chat's system
 * prompt asks for ("answer as a pirate") is not asked for here; it is short, since it is read with
 * each task. */
static const char NOTE[] = "This is a separate task about the conversation above, not a message in "
                           "it. Follow only what is written below.\n\n";
static const char REFERENCE[] = "(the conversation above)\n";

/* ---- a conversation ---- */

static const char *role_name(struct span role)
{
    static const struct {
        const char *role, *name;
    } roles[] = {{"user", "USER"},
                 {"assistant", "ASSISTANT"},
                 {"system", "SYSTEM"},
                 {"developer", "DEVELOPER"},
                 {"tool", ""}};
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (span_eq(role, span_of(roles[i].role))) {
            return roles[i].name;
        }
    }
    return NULL;
}

struct reading {
    struct chat_history *h;
    size_t room;
    size_t message;
    enum err result;
};

static bool read_message(void *ctx, struct span role, struct span text)
{
    struct reading *r = ctx;
    struct chat_history *h = r->h;
    const char *name = role_name(role);
    size_t at = h->texts.len;
    size_t message = r->message++;
    if (name == NULL) {
        r->result = ERR_INVALID;
        return false;
    }
    r->result = name[0] == '\0' ? ERR_OK : task_plain(text, &h->texts);
    if (r->result == ERR_OK && h->texts.len > at) {
        if (h->count == r->room) {
            size_t room = r->room == 0 ? 16 : 2 * r->room;
            struct chat_history_line *lines = realloc(h->lines, room * sizeof *lines);
            if (lines == NULL) {
                r->result = ERR_NOMEM;
                return false;
            }
            h->lines = lines;
            r->room = room;
        }
        h->lines[h->count++] = (struct chat_history_line){name, at, h->texts.len - at, message};
    }
    return r->result == ERR_OK;
}

enum err chat_history_read(const struct dialect_request *chat, struct span reply,
                           struct chat_history *out)
{
    struct reading r = {.h = out, .result = ERR_OK};
    *out = (struct chat_history){.texts = {.max = TEXTS_MAX}, .first = SIZE_MAX};
    dialect_request_walk(chat, read_message, &r);
    if (r.result == ERR_OK && reply.len > 0) {
        (void)read_message(&r, SPAN("assistant"), reply);
    }
    for (size_t i = out->count; i-- > 0;) {
        out->first = strcmp(out->lines[i].role, "USER") == 0 ? i : out->first;
    }
    return r.result;
}

void chat_history_free(struct chat_history *h)
{
    buf_free(&h->texts);
    free(h->lines);
    *h = (struct chat_history){.count = 0};
}

/* ---- comparing ---- */

static struct span text_of(const struct chat_history *h, size_t line)
{
    return span_make(h->texts.data + h->lines[line].at, h->lines[line].len);
}

/* Without the blanks at its end, as far as those around a text may reach. */
static struct span trim_end(struct span s)
{
    for (int i = 0; i < BLANKS_MOST && s.len > 0 && ascii_is_blank(s.ptr[s.len - 1]); i++) {
        s.len--;
    }
    return s;
}

/* Takes `part` off the end of *rest, behind which only blanks may stand. */
static bool take(struct span *rest, struct span part)
{
    struct span s = trim_end(*rest);
    if (!span_ends(s, part)) {
        return false;
    }
    *rest = span_make(s.ptr, s.len - part.len);
    return true;
}

/* Where the last CUT_TAIL characters begin. */
static size_t tail_of(struct span text)
{
    size_t at = text.len;
    for (size_t characters = 0; at > 0 && characters < CUT_TAIL;) {
        characters += utf8_continues(text.ptr[--at]) ? 0 : 1;
    }
    return at;
}

static bool is_over_the_cut(struct span text)
{
    return text.len > CUT_OVER &&
           (text.len > (size_t)CHARACTER_MOST * CUT_OVER || utf8_count(text) > CUT_OVER);
}

/* The same for a text that Open WebUI cut in the middle. Most texts are another conversation's:
 * their last bytes show that, before anything is counted. */
static bool take_cut(struct span *rest, struct span text)
{
    struct span s = *rest;
    if (text.len <= CUT_OVER ||
        !span_ends(trim_end(s), span_make(text.ptr + text.len - CUT_TAIL, CUT_TAIL)) ||
        !is_over_the_cut(text)) {
        return false;
    }
    size_t head = utf8_offset(text, CUT_HEAD), tail = tail_of(text);
    bool cut = take(&s, span_make(text.ptr + tail, text.len - tail)) && span_ends(s, SPAN("..."));
    s.len -= cut ? 3 : 0;
    cut = cut && span_ends(s, span_make(text.ptr, head));
    s.len -= cut ? head : 0;
    *rest = cut ? s : *rest;
    return cut;
}

/* Takes "ROLE: text" off, which must be a line of its own. */
static bool take_line(struct span *rest, const char *role, struct span text)
{
    struct span s = *rest;
    bool found = (take(&s, text) || take_cut(&s, text)) && take(&s, SPAN(":")) &&
                 span_ends(s, span_of(role));
    s.len -= found ? strlen(role) : 0;
    found = found && (s.len == 0 || s.ptr[s.len - 1] == '\n');
    *rest = found ? s : *rest;
    return found;
}

static bool is_blank(struct span s)
{
    return trim_end(s).len == 0;
}

struct span chat_history_first(const struct chat_history *h)
{
    return h->first < h->count ? text_of(h, h->first) : SPAN_NONE;
}

/* Whether what is left is the first user message, which stands before line `next`. Its length says
 * that it is not, before it is compared: there is a rest of each length for each line. */
static bool is_first_user(const struct chat_history *h, const struct chat_history_prompt *p,
                          struct span rest, size_t next)
{
    struct span text = chat_history_first(h);
    const char *end = rest.ptr + rest.len;
    if (h->first >= next || p->first.ptr == NULL || end < p->first.ptr) {
        return false;
    }
    struct span left = trim_end(span_make(p->first.ptr, (size_t)(end - p->first.ptr)));
    return span_eq(left, text) || (left.len <= CUT_LONGEST && left.len < text.len &&
                                   take_cut(&left, text) && left.len == 0);
}

/* Whether no message of a person or a model stands before line i, but the first of a person where that
 * one is known to. */
static bool is_beginning(const struct chat_history *h, size_t i, bool first)
{
    while (i > 0 && strcmp(h->lines[i - 1].role, "ASSISTANT") != 0 &&
           (first || strcmp(h->lines[i - 1].role, "USER") != 0)) {
        first = first && strcmp(h->lines[i - 1].role, "USER") != 0;
        i--;
    }
    return i == 0;
}

/* Lines of a prompt, and what is found of them. */
struct ending {
    struct span lines;
    size_t more; /* lines that stand behind them in the prompt */
    bool
        certain; /* they are all of the conversation, or as many as Open WebUI takes of a longer one */
};

/* Whether the lines are the end of the conversation's first `count` lines. */
static bool is_end(const struct chat_history *h, size_t count, const struct chat_history_prompt *p,
                   struct ending *e)
{
    struct span rest = e->lines;
    if (is_blank(e->lines)) {
        return false;
    }
    for (size_t i = count; i-- > 0;) {
        if (!take_line(&rest, h->lines[i].role, text_of(h, i))) {
            return false;
        }
        bool first = !is_blank(rest) && is_first_user(h, p, rest, i);
        if (first || is_blank(rest)) {
            size_t enough = first ? WITH_FIRST : LAST_LINES;
            e->certain = is_beginning(h, i, first) || count - i + e->more >= enough;
            return true;
        }
    }
    return false;
}

/* Whether an empty ASSISTANT line ends the history. */
static bool awaits_reply(const struct chat_history *h, const struct chat_history_prompt *p,
                         struct ending *e)
{
    struct span rest = p->lines;
    bool replied = h->count > 0 && strcmp(h->lines[h->count - 1].role, "ASSISTANT") == 0;
    if (!replied || !take_line(&rest, "ASSISTANT", SPAN(""))) {
        return false;
    }
    *e = (struct ending){.lines = rest, .more = 1};
    return is_end(h, h->count - 1, p, e);
}

/* Whether one USER message stands behind the end of the conversation. */
static bool has_message(const struct chat_history *h, const struct chat_history_prompt *p,
                        struct ending *e, struct span *message)
{
    for (size_t i = p->message_count; i-- > 0;) { /* the longest message first */
        *e = (struct ending){.lines = p->messages[i].lines, .more = 1};
        if (is_end(h, h->count, p, e)) {
            size_t at = p->messages[i].at;
            *message = span_trim(span_make(p->history.ptr + at, p->history.len - at));
            return true;
        }
    }
    return false;
}

/* ---- the prompt ---- */

static const struct span user_role = {"USER:", 5};

static void find_messages(struct chat_history_prompt *p)
{
    size_t end = p->history.len;
    while (p->message_count < CHAT_HISTORY_MESSAGES) {
        size_t at = span_rfind(span_make(p->history.ptr, end), SPAN("\nUSER:"));
        if (at == SIZE_MAX) {
            return;
        }
        p->messages[p->message_count].lines = span_trim(span_make(p->history.ptr, at));
        p->messages[p->message_count++].at = at;
        end = at;
    }
}

static void read_lines(struct chat_history_prompt *p, struct span history)
{
    p->history = history;
    p->lines = span_trim(history);
    if (span_starts(p->lines, user_role)) {
        p->first = span_trim(span_make(p->lines.ptr + user_role.len, p->lines.len - user_role.len));
    }
}

bool chat_history_has(struct span prompt)
{
    struct span history;
    return task_history(prompt, &history);
}

bool chat_history_find(struct span prompt, unsigned forms, struct chat_history_prompt *out)
{
    struct span history;
    if (!task_history(prompt, &history)) {
        return false;
    }
    const char *end = history.ptr + history.len;
    *out = (struct chat_history_prompt){
        .before = span_make(prompt.ptr, (size_t)(history.ptr - prompt.ptr)),
        .after = span_make(end, (size_t)(prompt.ptr + prompt.len - end)),
        .forms = forms};
    read_lines(out, history);
    if ((forms & CHAT_HISTORY_NEW_MESSAGE) != 0) {
        find_messages(out);
    }
    return true;
}

bool chat_history_fits(const struct chat_history *h, const struct chat_history_prompt *p,
                       struct chat_history_place *out)
{
    struct span message = SPAN_NONE;
    struct ending e = {.lines = p->lines};
    bool fits = is_end(h, h->count, p, &e) ||
                ((p->forms & CHAT_HISTORY_AWAITS_REPLY) != 0 && awaits_reply(h, p, &e)) ||
                ((p->forms & CHAT_HISTORY_NEW_MESSAGE) != 0 && has_message(h, p, &e, &message));
    *out = (struct chat_history_place){
        .before = p->before, .message = message, .after = p->after, .certain = e.certain};
    return fits;
}

/* ---- a chat that goes on ---- */

void chat_history_chat_free(struct chat_history_chat *chat)
{
    if (chat->read) {
        chat_history_free(&chat->history);
        chat->read = false;
    }
}

static void read_chat(struct chat_history_chat *chat)
{
    struct chat_history *h = &chat->history;
    chat->read = true;
    chat->readable = chat_history_read(chat->request, SPAN_NONE, h) == ERR_OK;
    while (h->count > 0 && strcmp(h->lines[h->count - 1].role, "ASSISTANT") != 0) {
        h->count--;
    }
}

bool chat_history_goes_on(struct span history, struct chat_history_chat *chat)
{
    struct chat_history_prompt prompt = {.forms = CHAT_HISTORY_END};
    struct buf plain = {.max = TEXTS_MAX};
    if (!chat->read) {
        read_chat(chat);
    }
    bool goes_on = chat->readable && task_plain(history, &plain) == ERR_OK;
    if (goes_on) {
        read_lines(&prompt, buf_span(&plain));
        struct ending e = {.lines = prompt.lines};
        goes_on = is_end(&chat->history, chat->history.count, &prompt, &e) && e.certain;
    }
    buf_free(&plain);
    return goes_on;
}

/* ---- writing ---- */

enum err chat_history_instruction(const struct chat_history_place *place, struct buf *out)
{
    const struct span parts[] = {span_of(NOTE),
                                 place->before,
                                 span_of(REFERENCE),
                                 place->message,
                                 place->message.len > 0 ? SPAN("\n") : SPAN_NONE,
                                 place->after};
    size_t before = out->len;
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < sizeof parts / sizeof parts[0]; i++) {
        e = parts[i].len > 0 ? buf_append_span(out, parts[i]) : ERR_OK;
    }
    out->len = e == ERR_OK ? out->len : before;
    return e;
}

enum err chat_history_repeated_reply(struct span reply, bool streamed, struct buf *out)
{
    struct buf blanked = {.max = TEXTS_MAX};
    struct span text = span_trim(reply);
    size_t thought = thoughts_leading(text);
    struct span rest = streamed ? text : reply;
    if (streamed && thought > 0) {
        rest = span_trim(span_make(text.ptr + thought, text.len - thought));
    }
    enum err e = buf_append_span(&blanked, rest);
    if (e == ERR_OK && rest.len > 0) {
        thoughts_blank(&blanked);
        bool elsewhere = memchr(blanked.data, '\0', blanked.len) != NULL;
        e = elsewhere ? ERR_INVALID : buf_append_span(out, rest);
    }
    buf_free(&blanked);
    return e;
}
