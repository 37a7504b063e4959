/* validate.c: is an answer worth keeping, and what is the harmless answer of a kind?
 *
 * An answer is validated as Open WebUI's own parser of the kind reads it (utils/middleware.py of
 * its backend, src/lib/apis/index.ts of its browser part): from the first '{' to the last '}' of
 * the content, for queries and image prompts from the last '{'; then JSON, JSON.parse's for
 * autocompletes and Python's for the others; then the kind's member of the right type. Titles, tags
 * and follow-ups are read from the thinking where the content is empty, unless its name is
 * "reasoning". What that parser cannot read is served as it came, since Open WebUI may still show it
 * or search for it, and not kept. One thing that it reads is not kept: what stands in a thought that
 * never ends.
 */
#include "lull/base/utf8.h"
#include "lull/path/json/json.h"
#include "path/webui/webui_priv.h"

bool validate_reads_last(int kind)
{
    return kind == KIND_QUERY || kind == KIND_IMAGE_PROMPT;
}

struct span answer_slice(struct span content, bool last_open)
{
    size_t close = span_rfind(content, SPAN("}"));
    size_t open = last_open ? span_rfind(content, SPAN("{")) : span_find(content, SPAN("{"), 0);
    if (close == SIZE_MAX || open == SIZE_MAX || open > close) {
        return SPAN_NONE;
    }
    return span_make(content.ptr + open, close - open + 1);
}

/* White space as String.prototype.trim takes it off. */
static bool is_space(unsigned cp)
{
    return (cp >= 0x09 && cp <= 0x0D) || cp == 0x20 || cp == 0xA0 || cp == 0x1680 ||
           (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 || cp == 0x202F ||
           cp == 0x205F || cp == 0x3000 || cp == 0xFEFF;
}

bool validate_is_blank(struct span s)
{
    for (size_t at = 0; at < s.len;) {
        size_t n = utf8_length(s.ptr + at, s.len - at);
        if (n == 0 || !is_space(utf8_decode(s.ptr + at, n))) {
            return false;
        }
        at += n;
    }
    return true;
}

static enum answer_verdict validate_string(const struct json_node *value)
{
    struct buf scratch = {.max = ANSWER_MAX};
    struct span text = json_text_of(value, &scratch);
    bool blank = text.ptr != NULL && validate_is_blank(text);
    buf_free(&scratch);
    return value->type != JSON_STRING ? ANSWER_BAD : blank ? ANSWER_EMPTY : ANSWER_GOOD;
}

static enum answer_verdict validate_array(const struct json_node *list, bool strings)
{
    if (list->type != JSON_ARRAY) {
        return ANSWER_BAD;
    }
    JSON_EACH(item, list)
    {
        if (strings && item->type != JSON_STRING) {
            return ANSWER_BAD; /* Open WebUI drops the whole list */
        }
    }
    return json_first(list) != NULL ? ANSWER_GOOD : ANSWER_EMPTY;
}

enum answer_verdict validate_object(struct span json, const struct kind_policy *policy, int kind)
{
    bool browser = kind == KIND_AUTOCOMPLETE || policy->cls == KIND_CLASS_COMPLETION;
    bool strings = kind == KIND_TAGS || kind == KIND_QUERY || policy->shape == KIND_SHAPE_STRINGS;
    enum answer_verdict verdict = ANSWER_BAD;
    struct json_doc doc;
    const struct json_node *root =
        json_read_exactly(json, browser ? JSON_JAVASCRIPT : JSON_PYTHON, &doc);
    const struct json_node *member = json_get(root, span_of(policy->shape_member));
    if (root == NULL || !utf8_valid(json)) {
        verdict = ANSWER_BAD;
    } else if (policy->shape == KIND_SHAPE_JSON) {
        verdict = ANSWER_GOOD;
    } else if (member != NULL) {
        verdict = policy->shape == KIND_SHAPE_STRING ? validate_string(member)
                                                     : validate_array(member, strings);
    }
    json_doc_free(&doc);
    return verdict;
}

static enum answer_verdict validate_json(const struct answer *a, const struct kind_policy *policy,
                                         int kind)
{
    struct span text = buf_span(&a->content);
    bool from_thinking =
        (kind == KIND_TITLE || kind == KIND_TAGS || kind == KIND_FOLLOW_UP) && !a->is_reasoning;
    if (text.len == 0 && from_thinking && a->finish != FINISH_LENGTH) {
        text = buf_span(&a->thinking);
    }
    struct span json = answer_slice(text, validate_reads_last(kind));
    if (json.len == 0 || (size_t)(json.ptr - text.ptr) > thoughts_unended(text)) {
        return ANSWER_BAD;
    }
    return validate_object(json, policy, kind);
}

enum answer_verdict answer_validate(const struct answer *a, const struct kind_policy *policy,
                                    int kind)
{
    struct span content = buf_span(&a->content);
    bool good = false;
    if (a->finish == FINISH_OTHER || !utf8_valid(content)) {
        return ANSWER_BAD;
    }
    switch (policy->shape) {
    case KIND_SHAPE_TEXT:
        good = a->finish != FINISH_LENGTH && !validate_is_blank(content) &&
               thoughts_unended(span_trim(content)) > 0;
        break;
    case KIND_SHAPE_EMOJI: {
        size_t picture = pictograph_find(content);
        good = picture != SIZE_MAX && picture < thoughts_unended(content);
        break;
    }
    default:
        return validate_json(a, policy, kind);
    }
    return good ? ANSWER_GOOD : ANSWER_BAD;
}

/* The last thing the user said in a prompt's history; empty where the prompt has no such line. */
static struct span last_user_message(struct span prompt)
{
    struct span history;
    if (!task_history(prompt, &history)) {
        return SPAN_NONE;
    }
    struct span role = SPAN("USER: ");
    size_t at = span_rfind(history, SPAN("\nUSER: "));
    if (at != SIZE_MAX) {
        at++;
    } else if (span_starts(history, role)) {
        at = 0;
    } else {
        return SPAN_NONE;
    }
    struct span said = span_make(history.ptr + at + role.len, history.len - at - role.len);
    size_t reply = span_find(said, SPAN("\nASSISTANT: "), 0);
    return span_trim(reply == SIZE_MAX ? said : span_make(said.ptr, reply));
}

enum err answer_empty_content(const struct kind_policy *policy, int kind,
                              const struct dialect_request *request, struct buf *out)
{
    struct span said = SPAN_NONE;
    if (kind == KIND_QUERY && request != NULL) {
        said = last_user_message(request->last_text);
    }
    if (said.len == 0) {
        return buf_append_span(out, span_of(policy->answer == NULL ? "" : policy->answer));
    }
    enum err e = buf_append_span(out, SPAN("{\"queries\": [\""));
    e = e == ERR_OK ? buf_append_json(out, said) : e;
    return e == ERR_OK ? buf_append_span(out, SPAN("\"]}")) : e;
}
