/* repeat.c: events of a stream that differ from the one before only in their text.
 *
 * Most events of a stream say the next token, and are equal but for that string; Ollama's have their
 * time beside it. Reading such an event as JSON takes twenty times as long as comparing it. The form
 * of an event is its bytes with one or two holes: the text, and the value of "created_at", which
 * nothing reads. What is equal to it, with any string in a hole, has the effect of that event: it
 * appends the text.
 *
 *   {"id":"c","choices":[{"index":0,"delta":{"content":"word"}}]}
 *   └── equal ─────────────────────────────────────────┘ hole └┘ equal
 *
 * Only an event that did nothing but append one text has a form, so the next one does nothing else.
 */
#include "lull/base/scan.h"
#include "lull/path/json/reader.h"
#include "path/dialect/dialect_priv.h"

/* Moves *at behind a JSON string; false: there is none, or one that not all parsers take. */
static bool skip_string(const char **at, const char *end)
{
    const char *p = *at;
    if (p == end || *p++ != '"') {
        return false;
    }
    for (;;) {
        p += scan_json_plain(p, (size_t)(end - p));
        if (p == end || (unsigned char)*p < 0x20) {
            return false;
        }
        char c = *p++;
        if (c == '"') {
            *at = p;
            return true;
        }
        if (c == '\\') {
            bool code = end - p >= 5 && *p == 'u' && json_hex4(p + 1) >= 0;
            if (p == end || (!code && json_escaped(*p) == '\0')) {
                return false;
            }
            p += code ? 5 : 1;
        }
    }
}

/* Moves *at behind the form's bytes from..to; false: others are there. */
static bool skip_equal(const char **at, const char *end, const struct event_form *form, size_t from,
                       size_t to)
{
    size_t n = to - from;
    bool equal = (size_t)(end - *at) >= n && memcmp(*at, form->json.data + from, n) == 0;
    *at += equal ? n : 0;
    return equal;
}

bool event_repeats(struct assembler *a, struct span json)
{
    const struct event_form *form = &a->form;
    const char *at = json.ptr, *end = json.ptr + json.len;
    struct json_node text = {.type = JSON_STRING};
    size_t from = 0;
    if (form->json.len == 0) {
        return false;
    }
    for (size_t i = 0; i < form->hole_count; i++) {
        if (!skip_equal(&at, end, form, from, form->holes[i].at)) {
            return false;
        }
        const char *string = at;
        if (!skip_string(&at, end)) {
            return false;
        }
        if (i == form->text) {
            text.raw = span_make(string, (size_t)(at - string));
        }
        from = form->holes[i].end;
    }
    if (!skip_equal(&at, end, form, from, form->json.len) || at != end) {
        return false;
    }
    assemble_string(a, form->thinking ? &a->answer.thinking : &a->answer.content, &text);
    return true;
}

static struct event_hole hole_of(struct span json, struct span raw)
{
    size_t at = (size_t)(raw.ptr - json.ptr);
    return (struct event_hole){at, at + raw.len};
}

void event_keep_form(struct assembler *a, struct span json, const struct json_node *root)
{
    struct event_form *form = &a->form;
    const struct event_said *said = &a->said;
    bool more = a->odd || a->failed || a->ended || a->finish_seen || a->too_large || a->calls;
    buf_clear(&form->json);
    if (said->count != 1 || said->anywhere || more ||
        buf_append_span(&form->json, json) != ERR_OK) {
        return; /* too long for a form */
    }
    const struct json_node *created = json_get(root, SPAN("created_at"));
    form->holes[0] = hole_of(json, said->raw);
    form->hole_count = 1;
    form->text = 0;
    form->thinking = said->thinking;
    if (json_is(created, JSON_STRING)) {
        bool before = created->raw.ptr < said->raw.ptr;
        form->holes[before ? 1 : 0] = form->holes[0];
        form->holes[before ? 0 : 1] = hole_of(json, created->raw);
        form->hole_count = 2;
        form->text = before ? 1 : 0;
    }
}
