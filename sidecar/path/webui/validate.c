/* validate.c: is an answer worth keeping, and what is the harmless answer of a kind?
 *
 * An answer is judged as Open WebUI's own parser of the kind reads it: from the first '{' to the
 * last '}' of the content, for queries from the last '{'; then JSON, then the kind's member of the
 * right type. What that parser cannot read is served as it came, since Open WebUI may still show it
 * or search for it, and not kept.
 */
#include "lull/path/dialect/answer.h"
#include "lull/path/json/tree.h"

#include <cJSON.h>

static struct span braces(struct span content, bool last_open)
{
    size_t close = span_rfind(content, SPAN("}"));
    size_t open = last_open ? span_rfind(content, SPAN("{")) : span_find(content, SPAN("{"), 0);
    if (close == SIZE_MAX || open == SIZE_MAX || open > close) {
        return SPAN_NONE;
    }
    return span_make(content.ptr + open, close - open + 1);
}

static bool is_blank(const char *text)
{
    return span_trim(span_of(text)).len == 0;
}

static enum judgement judge_array(const cJSON *list, bool strings)
{
    const cJSON *item = NULL;
    if (!cJSON_IsArray(list)) {
        return JUDGED_BAD;
    }
    cJSON_ArrayForEach(item, list)
    {
        if (strings && !cJSON_IsString(item)) {
            return JUDGED_BAD; /* Open WebUI drops the whole list */
        }
    }
    return list->child == NULL ? JUDGED_EMPTY : JUDGED_GOOD;
}

static enum judgement judge_member(const cJSON *root, const struct kind_policy *policy)
{
    const cJSON *member = cJSON_GetObjectItemCaseSensitive(root, policy->shape_member);
    switch (policy->shape) {
    case KIND_SHAPE_STRING:
        if (!cJSON_IsString(member)) {
            return JUDGED_BAD;
        }
        return is_blank(member->valuestring) ? JUDGED_EMPTY : JUDGED_GOOD;
    case KIND_SHAPE_STRINGS:
        return judge_array(member, true);
    case KIND_SHAPE_ARRAY:
        return judge_array(member, false);
    default:
        return JUDGED_GOOD;
    }
}

static enum judgement judge_json(struct span content, const struct kind_policy *policy, int kind)
{
    struct span json = braces(content, kind == KIND_QUERY);
    /* JSON.parse and json.loads refuse what follows a document */
    cJSON *root = json.len == 0 ? NULL : json_tree_parse(json);
    enum judgement judged = cJSON_IsObject(root) ? judge_member(root, policy) : JUDGED_BAD;
    cJSON_Delete(root);
    return judged;
}

/* Blocks that hold Unicode's Extended_Pictographic characters (emoji-data.txt, Unicode 15),
 * coarsely: a reserved code point counted in is harmless here. */
static bool is_pictographic(unsigned cp)
{
    static const struct {
        unsigned from, to;
    } ranges[] = {{0xA9, 0xA9},     {0xAE, 0xAE},       {0x203C, 0x203C},   {0x2049, 0x2049},
                  {0x2122, 0x2122}, {0x2139, 0x2139},   {0x2194, 0x21AA},   {0x231A, 0x2388},
                  {0x23CF, 0x23F3}, {0x23F8, 0x23FA},   {0x24C2, 0x24C2},   {0x25AA, 0x25FE},
                  {0x2600, 0x27BF}, {0x2934, 0x2935},   {0x2B05, 0x2B55},   {0x3030, 0x303D},
                  {0x3297, 0x3299}, {0x1F000, 0x1F1E5}, {0x1F201, 0x1F9FF}, {0x1FA70, 0x1FAFF}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        if (cp >= ranges[i].from && cp <= ranges[i].to) {
            return true;
        }
    }
    return false;
}

static bool has_emoji(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        const unsigned char *p = (const unsigned char *)s.ptr + i;
        size_t left = s.len - i;
        unsigned cp = 0;
        if (p[0] >= 0xC2 && p[0] < 0xE0 && left >= 2) {
            cp = (p[0] & 0x1FU) << 6 | (p[1] & 0x3FU);
        } else if (p[0] >= 0xE0 && p[0] < 0xF0 && left >= 3) {
            cp = (p[0] & 0x0FU) << 12 | (p[1] & 0x3FU) << 6 | (p[2] & 0x3FU);
        } else if (p[0] >= 0xF0 && p[0] < 0xF5 && left >= 4) {
            cp = (p[0] & 0x07U) << 18 | (p[1] & 0x3FU) << 12 | (p[2] & 0x3FU) << 6 | (p[3] & 0x3FU);
        }
        if (cp != 0 && is_pictographic(cp)) {
            return true;
        }
    }
    return false;
}

enum judgement answer_judge(const struct answer *a, const struct kind_policy *policy, int kind)
{
    struct span content = buf_span(&a->content);
    bool text_like = policy->shape == KIND_SHAPE_TEXT;
    if (a->finish == FINISH_OTHER || (a->finish == FINISH_LENGTH && text_like)) {
        return JUDGED_BAD;
    }
    switch (policy->shape) {
    case KIND_SHAPE_TEXT:
        return span_trim(content).len > 0 ? JUDGED_GOOD : JUDGED_BAD;
    case KIND_SHAPE_EMOJI:
        return has_emoji(content) ? JUDGED_GOOD : JUDGED_BAD;
    default:
        return judge_json(content, policy, kind);
    }
}

/* The last thing the user said in a prompt's history; empty when it cannot be told. */
static struct span last_user_message(struct span prompt)
{
    struct span open = SPAN("<chat_history>\n");
    size_t from = span_find(prompt, open, 0);
    size_t to = span_rfind(prompt, SPAN("\n</chat_history>"));
    if (from == SIZE_MAX || to == SIZE_MAX || to < from + open.len) {
        return SPAN_NONE;
    }
    struct span history = span_make(prompt.ptr + from + open.len, to - from - open.len);
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
