/* additions.c: the names of what may be added to a task, and finding one in a server's error.
 *
 * Servers word their refusals freely: "unknown field stream", "Unsupported parameter:
 * 'reasoning_effort'", "does not support thinking", a list of {"loc", "msg"}. What they have in
 * common is the name of the member, and the first one is the one that is meant: some echo the whole
 * request after it.
 */
#include "path/dialect/dialect_priv.h"

#include "lull/base/ascii.h"
#include "lull/path/dialect/overrides.h"
#include "lull/path/json/reader.h"

enum { TEXT_LOOKED_AT = 8 * 1024 };

const char *addition_name(unsigned one)
{
    static const char *const names[ADDITIONS] = {"extra", "schema", "id_slot",        "load",
                                                 "think", "limits", "stream_options", "stream"};
    for (size_t i = 0; i < ADDITIONS; i++) {
        if (one == 1U << i) {
            return names[i];
        }
    }
    return "";
}

static const struct member {
    enum addition of;
    bool plain; /* a word of English too: it must stand as a name */
    const char *name;
} members[] = {
    {ADDITION_SCHEMA, false, "response_format"},
    {ADDITION_SCHEMA, false, "json_schema"},
    {ADDITION_SCHEMA, true, "format"},
    {ADDITION_SLOT, false, "id_slot"},
    {ADDITION_LOAD, false, "keep_alive"},
    {ADDITION_LOAD, false, "num_ctx"},
    {ADDITION_LOAD, false, "num_batch"},
    {ADDITION_LOAD, false, "num_gpu"},
    {ADDITION_LOAD, false, "main_gpu"},
    {ADDITION_LOAD, false, "use_mmap"},
    {ADDITION_LOAD, false, "num_thread"},
    {ADDITION_THINK, false, "chat_template_kwargs"},
    {ADDITION_THINK, false, "enable_thinking"},
    {ADDITION_THINK, false, "reasoning_effort"},
    {ADDITION_THINK, false, "thinking"},
    {ADDITION_THINK, true, "reasoning"},
    {ADDITION_THINK, true, "think"},
    {ADDITION_LIMITS, false, "max_tokens"},
    {ADDITION_LIMITS, false, "max_completion_tokens"},
    {ADDITION_LIMITS, false, "num_predict"},
    {ADDITION_LIMITS, true, "temperature"},
    {ADDITION_STREAM_USAGE, false, "stream_options"},
    {ADDITION_STREAM_USAGE, false, "include_usage"},
    {ADDITION_STREAM, false, "streaming"},
    {ADDITION_STREAM, true, "stream"},
};

static bool is_word(char c)
{
    return ascii_is_alnum(c) || c == '_';
}

static bool is_quote(char c)
{
    return c == '"' || c == '\'' || c == '`' || c == '\\';
}

/* Whether a word that means "a member" ends right before `at`. */
static bool follows_a_noun(struct span text, size_t at)
{
    static const char *const nouns[] = {"field", "parameter", "property", "argument",
                                        "key",   "member",    "option",   "attribute"};
    while (at > 0 && (text.ptr[at - 1] == ' ' || text.ptr[at - 1] == ':')) {
        at--;
    }
    struct span before = span_make(text.ptr, at);
    for (size_t i = 0; i < sizeof nouns / sizeof nouns[0]; i++) {
        struct span noun = span_of(nouns[i]);
        if (before.len >= noun.len &&
            span_eq_nocase(span_make(before.ptr + before.len - noun.len, noun.len), noun)) {
            return true;
        }
    }
    return false;
}

/* Where the text has that name as a word; SIZE_MAX: nowhere. */
static size_t find_name(struct span text, struct span name, bool plain)
{
    for (size_t at = span_find(text, name, 0); at != SIZE_MAX; at = span_find(text, name, at + 1)) {
        size_t end = at + name.len;
        bool whole =
            (at == 0 || !is_word(text.ptr[at - 1])) && (end == text.len || !is_word(text.ptr[end]));
        bool quoted =
            at > 0 && end < text.len && is_quote(text.ptr[at - 1]) && is_quote(text.ptr[end]);
        if (whole && (!plain || quoted || follows_a_noun(text, at))) {
            return at;
        }
    }
    return SIZE_MAX;
}

/* The first place of any member of `extra`. */
static size_t find_extra(struct span text, struct span extra)
{
    struct json_doc doc;
    struct buf name = {.max = extra.len};
    const struct json_node *root = json_read(extra, &doc);
    size_t first = SIZE_MAX;
    JSON_EACH(member, root)
    {
        buf_clear(&name);
        if (json_text(member->name, &name) && name.len > 0) {
            size_t at = find_name(text, buf_span(&name), true);
            first = at < first ? at : first;
        }
    }
    buf_free(&name);
    json_doc_free(&doc);
    return first;
}

unsigned addition_named(struct span text, unsigned among, struct span extra)
{
    text.len = text.len < TEXT_LOOKED_AT ? text.len : TEXT_LOOKED_AT;
    bool asked = (among & ADDITION_EXTRA) != 0;
    size_t first = asked ? find_extra(text, extra) : SIZE_MAX;
    unsigned named = first == SIZE_MAX ? 0 : ADDITION_EXTRA;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        const struct member *m = &members[i];
        size_t at =
            (among & (unsigned)m->of) == 0 ? SIZE_MAX : find_name(text, span_of(m->name), m->plain);
        if (at < first) {
            first = at;
            named = (unsigned)m->of;
        }
    }
    return named;
}
