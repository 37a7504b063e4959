/* typed_on.c: an autocomplete in the form of an earlier one.
 *
 * A client that types on sends the same bytes again but for the completed text. Once one such request
 * was read and answered by the remainder of a suggestion, the next ones are answered without reading
 * them: what stands around the text is compared whole, byte for byte, with what the exact key has
 * beside the body (settings, upstream, scope, headers, path). So all that was found out about the
 * earlier request holds, and only the text is another one. For that
 *   - the text is plain: no escape, no '<', in valid UTF-8. So it is in the canonical form as it stands,
 *     and is found again where it stands (task_typed_of());
 *   - the earlier one was classified by what stands around its text (task_class_is_apart());
 *   - its text stood in the string that is its last message, in one piece.
 * What is not known from the bytes is asked again: the Origin, the dialect of the upstream, and whether
 * the cache has an answer of its own for the text, which goes first. Wherever one of this is not so,
 * the request is read (STEP_CLASSIFY), with the same result.
 */
#include "path/exchange/exchange_priv.h"

#include "lull/base/scan.h"
#include "lull/base/utf8.h"

enum { MODEL_MAX = 256 };

/* What is known of requests of a form; the model's name stands behind it. */
struct note {
    struct task_decision decision;
    bool converts;
    size_t beside; /* bytes of the prompt that are not its text */
};

static bool is_plain(struct span text)
{
    size_t at = 0;
    while (at < text.len) {
        at += scan_json_plain(text.ptr + at, text.len - at);
        size_t n = at < text.len ? utf8_length(text.ptr + at, text.len - at) : 0;
        if (at < text.len && n < 2) {
            return false;
        }
        at += n;
    }
    return text.len > 0;
}

/* Whether a piece of a JSON string, as it stands in the body, is that text. */
static bool is_text_of(const char *from, const char *to, struct span text)
{
    const struct json_node piece = {.raw = span_make(from, (size_t)(to - from)),
                                    .type = JSON_STRING};
    struct buf decoded = {.max = piece.raw.len};
    bool same = json_append_text(&piece, &decoded) && span_eq(buf_span(&decoded), text);
    buf_free(&decoded);
    return same;
}

/* Whether the completed text was found where it stands: in the string of the last message, with all of
 * the prompt around it. */
static bool is_its_text(const struct exchange *x, const struct task_typed *typed)
{
    const struct json_node *last = x->request.last;
    struct span prompt = x->request.last_text, text = x->completion.who.text;
    if (last == NULL || !span_eq(typed->text, text)) {
        return false;
    }
    const char *from = last->raw.ptr + 1, *to = last->raw.ptr + last->raw.len - 1;
    const char *at = typed->text.ptr, *behind = typed->text.ptr + text.len;
    size_t before = (size_t)(text.ptr - prompt.ptr);
    return at >= from && behind <= to && is_text_of(from, at, span_make(prompt.ptr, before)) &&
           is_text_of(behind, to, span_make(text.ptr + text.len, prompt.len - before - text.len));
}

static bool is_settled(const struct exchange *x)
{
    return x->exact_made && x->settings == x->engine->settings && x->bypass == NULL &&
           exchange_policy(x)->prefix == PREFIX_AS_ASKED;
}

void typed_on_keep(struct exchange *x)
{
    struct task_typed typed;
    struct span text = x->completion.who.text, model = x->request.model;
    char note[sizeof(struct note) + MODEL_MAX];
    if (!is_settled(x) || model.len > MODEL_MAX || !task_typed_of(x->body, &typed) ||
        !is_plain(typed.text) || !is_its_text(x, &typed) ||
        !task_class_is_apart(x->settings, &x->request, &x->decision, text)) {
        return;
    }
    struct note known = {.decision = x->decision,
                         .converts = x->converts,
                         .beside = x->request.last_text.len - text.len};
    memcpy(note, &known, sizeof known);
    memcpy(note + sizeof known, model.len > 0 ? model.ptr : "", model.len);
    struct through_form form = {.head = fingerprint_beside_body(&x->exact),
                                .before = typed.before,
                                .after = typed.after,
                                .note = span_make(note, sizeof known + model.len)};
    through_keep_form(x->engine->through, &x->completion.context, &form);
}

/* Whether the cache has an answer to that very text. */
static bool has_own_answer(const struct exchange *x, const struct through_known *known,
                           struct span text)
{
    struct cache *cache = x->engine->parts.cache;
    struct span material = known->context.material;
    return cache_has_answer(cache, fingerprint_completed(material, text, cache_secret(cache)));
}

/* What the steps that read a request would ask beside its bytes. */
static bool still_holds(struct exchange *x, const struct through_known *known,
                        const struct note *note, struct span text)
{
    return note->beside + text.len <= FINGERPRINT_PROMPT_MAX && policy_allows_origin(x) &&
           lookup_upstream(x) && !has_own_answer(x, known, text);
}

bool typed_on_find(struct exchange *x, struct through_hit *hit)
{
    struct engine *e = x->engine;
    struct task_typed typed;
    struct through_known known;
    struct note note;
    if (!x->exact_made || x->settings != e->settings || !x->settings->cache.type_through ||
        !task_typed_of(x->body, &typed) || !is_plain(typed.text) ||
        !through_find_form(e->through, fingerprint_beside_body(&x->exact), typed.before,
                           typed.after, &known)) {
        return false;
    }
    memcpy(&note, known.note.ptr, sizeof note);
    x->decision = note.decision;
    x->converts = note.converts;
    x->request.model = span_make(known.note.ptr + sizeof note, known.note.len - sizeof note);
    bool found =
        still_holds(x, &known, &note, typed.text) &&
        through_find_known(e->through, &known, typed.text, cache_generation(e->parts.cache),
                           loop_wall(e->parts.loop), hit);
    if (!found) {
        x->decision = (struct task_decision){.kind = KIND_NONE};
        x->request.model = SPAN_NONE;
        x->upstream = -1;
    }
    return found;
}
