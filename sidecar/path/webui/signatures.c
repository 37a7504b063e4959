/* signatures.c: which kind of task the text of a request is.
 *
 * Before 0.10, nothing but its prompt tells a task of Open WebUI's from a chat. Administrators edit
 * these prompts, releases change them, and users paste them into chats. So a text matches only
 * where its beginning and its ending (or, where a prompt ends in the user's own text, a second
 * fixed part) are there, in order and without overlap. The table is data: signatures.def.
 *
 * Rejected: scores and fuzzy matching (a wrong match delays or empties a user's chat, a missed one
 * only costs the saving); looking for the beginning anywhere in the user text (users quote
 * prompts). In the system message a line's beginning is enough, because Open WebUI puts a model's
 * saved system prompt before its own.
 */
#include "path/webui/webui_priv.h"

#define LITERAL(text)                                                                              \
    {                                                                                              \
        (text), sizeof(text) - 1                                                                   \
    }

struct task_text {
    int kind;
    struct span system, system_then;
    struct span user, then, then2, ends;
};

static const struct task_text task_texts[] = {
#define TASK_TEXT(id, sys, sys_then, usr, thn, thn2, end)                                          \
    {KIND_##id,    LITERAL(sys),  LITERAL(sys_then), LITERAL(usr),                                 \
     LITERAL(thn), LITERAL(thn2), LITERAL(end)},
#define CHAT_TEXT(usr)
#include "lull/path/webui/signatures.def"
#undef TASK_TEXT
#undef CHAT_TEXT
};

static const struct span chat_texts[] = {
#define TASK_TEXT(id, sys, sys_then, usr, thn, thn2, end)
#define CHAT_TEXT(usr) LITERAL(usr),
#include "lull/path/webui/signatures.def"
#undef TASK_TEXT
#undef CHAT_TEXT
};

static const struct span task_heading = LITERAL("### Task:");

/* Takes `part` off the front of *rest, wherever it stands in it. */
static bool take(struct span *rest, struct span part)
{
    if (part.len == 0) {
        return true;
    }
    size_t at = span_find(*rest, part, 0);
    if (at == SIZE_MAX) {
        return false;
    }
    *rest = span_make(rest->ptr + at + part.len, rest->len - at - part.len);
    return true;
}

/* What follows `part` in `system`, where it begins the text or a line of it; ptr NULL when absent.
 */
static struct span after_line_start(struct span system, struct span part)
{
    size_t from = 0;
    while (from < system.len) {
        size_t at = span_find(system, part, from);
        if (at == SIZE_MAX) {
            break;
        }
        if (at == 0 || system.ptr[at - 1] == '\n') {
            return span_make(system.ptr + at + part.len, system.len - at - part.len);
        }
        from = at + 1;
    }
    return SPAN_NONE;
}

static bool system_fits(const struct task_text *t, struct span system)
{
    if (t->system.len == 0) {
        return true;
    }
    struct span rest = after_line_start(system, t->system);
    return rest.ptr != NULL && take(&rest, t->system_then);
}

static bool user_fits(const struct task_text *t, struct span user)
{
    if (!span_starts(user, t->user)) {
        return false;
    }
    struct span rest = span_make(user.ptr + t->user.len, user.len - t->user.len);
    return take(&rest, t->then) && take(&rest, t->then2) && span_ends(rest, t->ends);
}

/* Begins like a row of the table: its system text where the row has one, else its user text. */
static bool begins_like(const struct task_text *t, struct span system, struct span user)
{
    if (t->system.len != 0) {
        return span_starts(system, t->system);
    }
    return span_starts(user, t->user);
}

bool text_is_single(const struct dialect_request *request)
{
    return request->message_count <= 1 || (request->message_count == 2 && request->system.len != 0);
}

enum text_match text_match_table(const struct dialect_request *request, int *kind)
{
    struct span system = span_trim(request->system);
    struct span user = span_trim(request->last_text);
    for (size_t i = 0; i < sizeof chat_texts / sizeof chat_texts[0]; i++) {
        if (span_starts(user, chat_texts[i])) {
            return TEXT_CHAT;
        }
    }
    bool alike = span_starts(user, task_heading);
    for (size_t i = 0; i < sizeof task_texts / sizeof task_texts[0]; i++) {
        const struct task_text *t = &task_texts[i];
        if (user_fits(t, user) && system_fits(t, system)) {
            *kind = t->kind;
            return TEXT_TASK;
        }
        alike = alike || begins_like(t, system, user);
    }
    return alike ? TEXT_LOOKALIKE : TEXT_UNKNOWN;
}

static bool policy_fits(const struct kind_policy *policy, struct span system, struct span user)
{
    struct span match = span_trim(span_of(policy->match));
    struct span system_match = span_trim(span_of(policy->system_match));
    if (match.len == 0 && system_match.len == 0) {
        return false;
    }
    return span_starts(user, match) && span_starts(system, system_match);
}

int text_match_settings(const struct settings *settings, const struct dialect_request *request)
{
    struct span system = span_trim(request->system);
    struct span user = span_trim(request->last_text);
    int best = KIND_NONE;
    size_t best_len = 0;
    for (size_t i = 0; i < settings->kind_count; i++) {
        const struct kind_policy *policy = &settings->kinds[i];
        if (!policy_fits(policy, system, user)) {
            continue;
        }
        size_t len = span_of(policy->match).len + span_of(policy->system_match).len;
        if (len > best_len) {
            best = (int)i;
            best_len = len;
        }
    }
    return best;
}

/* Whether a text that goes on from `before` begins with `beginning` is known from `before`. */
static bool is_decided(struct span before, struct span beginning)
{
    return beginning.len <= before.len || !span_starts(beginning, before);
}

static bool are_decided(const struct settings *settings, struct span before)
{
    bool decided = true;
    for (size_t i = 0; i < settings->kind_count; i++) {
        decided = decided && is_decided(before, span_trim(span_of(settings->kinds[i].match)));
    }
    for (size_t i = 0; i < sizeof chat_texts / sizeof chat_texts[0]; i++) {
        decided = decided && is_decided(before, chat_texts[i]);
    }
    for (size_t i = 0; i < sizeof task_texts / sizeof task_texts[0]; i++) {
        decided = decided && is_decided(before, task_texts[i].user);
    }
    return decided;
}

/* The first row of the table that may fit must fit for what stands around the text. */
static bool row_is_apart(struct span system, struct span before, struct span after)
{
    for (size_t i = 0; i < sizeof task_texts / sizeof task_texts[0]; i++) {
        const struct task_text *t = &task_texts[i];
        if (span_starts(before, t->user) && system_fits(t, system)) {
            struct span rest = span_make(before.ptr + t->user.len, before.len - t->user.len);
            return take(&rest, t->then) && take(&rest, t->then2) && span_ends(after, t->ends);
        }
    }
    return false;
}

bool text_match_is_apart(const struct settings *settings, const struct dialect_request *request,
                         struct span text)
{
    struct span user = span_trim(request->last_text);
    const char *end = user.ptr + user.len, *behind = text.ptr + text.len;
    if (text.ptr <= user.ptr || behind >= end) {
        return false;
    }
    struct span before = span_make(user.ptr, (size_t)(text.ptr - user.ptr));
    struct span after = span_make(behind, (size_t)(end - behind));
    return are_decided(settings, before) &&
           (text_match_settings(settings, request) != KIND_NONE ||
            row_is_apart(span_trim(request->system), before, after));
}
