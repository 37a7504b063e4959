/* behind.c: see behind.h.
 *
 * The chat's body is the base, so that members which lull does not know, and which may lay out the
 * prompt, stay as they were when the server read it. What says how to answer is listed here; a
 * member of the task that is in no list could mean either, so such a task is left alone.
 */
#include "lull/path/dialect/behind.h"

#include "path/dialect/dialect_priv.h"

#include <stdlib.h>

/* How to answer, or to go on with the last message. llama.cpp, vLLM and Ollama name them; Ollama's
 * stand in `options`. */
static const char *const answer_members[] = {"temperature",
                                             "top_p",
                                             "top_k",
                                             "min_p",
                                             "typical_p",
                                             "tfs_z",
                                             "top_n_sigma",
                                             "mirostat",
                                             "mirostat_tau",
                                             "mirostat_eta",
                                             "dynatemp_range",
                                             "dynatemp_exponent",
                                             "repeat_penalty",
                                             "repetition_penalty",
                                             "repeat_last_n",
                                             "presence_penalty",
                                             "frequency_penalty",
                                             "penalize_newline",
                                             "dry_multiplier",
                                             "dry_base",
                                             "dry_allowed_length",
                                             "dry_penalty_last_n",
                                             "dry_sequence_breakers",
                                             "xtc_probability",
                                             "xtc_threshold",
                                             "samplers",
                                             "seed",
                                             "stop",
                                             "ignore_eos",
                                             "min_tokens",
                                             "stop_token_ids",
                                             "bad_words",
                                             "allowed_token_ids",
                                             "length_penalty",
                                             "use_beam_search",
                                             "include_stop_str_in_output",
                                             "t_max_predict_ms",
                                             "n_indent",
                                             "continue_final_message",
                                             "add_generation_prompt",
                                             "echo",
                                             "max_tokens",
                                             "max_completion_tokens",
                                             "n_predict",
                                             "num_predict",
                                             "n",
                                             "best_of",
                                             "logprobs",
                                             "top_logprobs",
                                             "n_probs",
                                             "logit_bias",
                                             "response_format",
                                             "format",
                                             "grammar",
                                             "json_schema",
                                             "structured_outputs",
                                             "guided_json",
                                             "guided_regex",
                                             "guided_choice",
                                             "guided_grammar",
                                             "tool_choice",
                                             "stream",
                                             "stream_options",
                                             "user",
                                             "metadata",
                                             "priority",
                                             "id_slot",
                                             "cache_prompt"};
/* How the prompt is laid out, or the model loaded: the chat's, whatever the task says. */
static const char *const layout_members[] = {"model",
                                             "messages",
                                             "tools",
                                             "functions",
                                             "parallel_tool_calls",
                                             "chat_template_kwargs",
                                             "chat_template",
                                             "think",
                                             "reasoning",
                                             "reasoning_effort",
                                             "template",
                                             "system",
                                             "images",
                                             "options",
                                             "keep_alive",
                                             "truncate",
                                             "shift",
                                             "num_ctx",
                                             "num_batch",
                                             "num_gpu",
                                             "main_gpu",
                                             "num_thread",
                                             "num_keep",
                                             "use_mmap",
                                             "use_mlock",
                                             "low_vram",
                                             "numa"};
enum {
    ANSWER_MEMBERS = sizeof answer_members / sizeof answer_members[0],
    LAYOUT_MEMBERS = sizeof layout_members / sizeof layout_members[0],
    OTHERS_MOST = 32, /* members of a task that are in no list */
};

static bool is_among(const struct json_node *member, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (json_named(member, span_of(names[i]))) {
            return true;
        }
    }
    return false;
}

/* Whether each member of the task is of a known sort, or the chat has it alike. For each of another
 * sort all members of the chat are looked at. */
static bool is_understood(const struct json_node *chat, const struct json_node *task)
{
    size_t others = 0;
    JSON_EACH(member, task)
    {
        if (is_among(member, answer_members, ANSWER_MEMBERS) ||
            is_among(member, layout_members, LAYOUT_MEMBERS)) {
            continue;
        }
        const struct json_node *same =
            member->name_escaped || others++ == OTHERS_MOST ? NULL : json_get(chat, member->name);
        if (same == NULL || !span_eq(same->raw, member->raw)) {
            return false;
        }
    }
    return true;
}

/* The edits that make the chat's object answer as the task's says; returns their number. */
static size_t answer_edits(const struct json_node *chat, const struct json_node *task,
                           struct json_edit *edits)
{
    size_t count = 0;
    for (size_t i = 0; i < ANSWER_MEMBERS; i++) {
        struct span name = span_of(answer_members[i]);
        const struct json_node *wanted = json_get(task, name);
        if (wanted != NULL) {
            edits[count++] = (struct json_edit){name, wanted->raw};
        } else if (json_get(chat, name) != NULL) {
            edits[count++] = (struct json_edit){name, SPAN_NONE};
        }
    }
    return count;
}

enum err dialect_put_longer(const struct json_node *messages, const struct dialect_message *more,
                            size_t count, struct buf *out)
{
    if (!json_has_items(messages)) {
        return ERR_CORRUPT;
    }
    struct span inside = span_trim(span_make(messages->raw.ptr + 1, messages->raw.len - 2));
    enum err e = buf_append_char(out, '[');
    e = e == ERR_OK ? buf_append_span(out, inside) : e;
    for (size_t i = 0; i < count; i++) {
        e = e == ERR_OK ? buf_append_span(out, SPAN(",{\"role\":")) : e;
        e = e == ERR_OK ? buf_append_json_string(out, span_of(more[i].role)) : e;
        e = e == ERR_OK ? buf_append_span(out, SPAN(",\"content\":")) : e;
        e = e == ERR_OK ? buf_append_json_string(out, more[i].text) : e;
        e = e == ERR_OK ? buf_append_char(out, '}') : e;
    }
    return e == ERR_OK ? buf_append_char(out, ']') : e;
}

/* Ollama's options; out stays empty where neither body has some. */
static enum err put_options(const struct json_node *chat, const struct json_node *task,
                            struct buf *out)
{
    struct json_edit edits[ANSWER_MEMBERS];
    size_t count = answer_edits(chat, task, edits);
    if ((chat != NULL && !json_is(chat, JSON_OBJECT)) || !is_understood(chat, task)) {
        return ERR_INVALID;
    }
    if (chat == NULL && count == 0) {
        return ERR_OK;
    }
    if (chat != NULL) {
        return json_edit_object(chat, edits, count, out);
    }
    return json_edit(SPAN("{}"), edits, count, out);
}

enum err dialect_behind_request(const struct dialect_behind *in, struct buf *out)
{
    const struct dialect_message more[] = {{"assistant", in->reply}, {"user", in->instruction}};
    struct buf list = {.max = in->chat.len + 6 * (in->reply.len + in->instruction.len) + 256};
    struct buf options = {.max = in->chat.len + in->task.len + 64};
    struct json_edit edits[ANSWER_MEMBERS + 2];
    struct json_doc chat_doc, task_doc;
    const struct json_node *chat = json_read(in->chat, &chat_doc);
    const struct json_node *task = json_read(in->task, &task_doc);
    bool readable = chat_doc.verdict == JSON_OK && task_doc.verdict == JSON_OK &&
                    json_is(chat, JSON_OBJECT) && json_is(task, JSON_OBJECT) &&
                    (in->endpoint == ENDPOINT_CHAT || in->endpoint == ENDPOINT_OLLAMA_CHAT);
    enum err e = readable && is_understood(chat, task) ? ERR_OK : ERR_INVALID;
    e = e == ERR_OK ? dialect_put_longer(json_get(chat, SPAN("messages")), more, 2, &list) : e;
    size_t count = e == ERR_OK ? answer_edits(chat, task, edits) : 0;
    edits[count++] = (struct json_edit){SPAN("messages"), buf_span(&list)};
    if (e == ERR_OK && in->endpoint == ENDPOINT_OLLAMA_CHAT) {
        e = put_options(json_given(chat, SPAN("options")), json_given(task, SPAN("options")),
                        &options);
        if (options.len > 0) {
            edits[count++] = (struct json_edit){SPAN("options"), buf_span(&options)};
        }
    }
    e = e == ERR_OK ? json_edit_root(in->chat, chat, edits, count, out) : e;
    buf_free(&list);
    buf_free(&options);
    json_doc_free(&chat_doc);
    json_doc_free(&task_doc);
    return e == ERR_CORRUPT ? ERR_INVALID : e;
}

/* ---- an earlier request ---- */

enum err dialect_earlier_request(struct span chat, size_t reply, struct buf *out, struct buf *text)
{
    struct buf list = {.max = chat.len + 1};
    struct json_doc doc;
    const struct json_node *root = json_read(chat, &doc);
    const struct json_node *messages = json_get(root, SPAN("messages"));
    const struct json_node *message = json_first(messages);
    for (size_t i = 0; i < reply && message != NULL; i++) {
        message = json_after(messages, message);
    }
    const struct json_node *content = json_get(message, SPAN("content"));
    bool good = doc.verdict == JSON_OK && json_is(messages, JSON_ARRAY) && reply > 0 &&
                json_is_text(json_get(message, SPAN("role")), SPAN("assistant")) &&
                json_is(content, JSON_STRING) && json_append_text(content, text);
    enum err e = good ? ERR_OK : ERR_INVALID;
    if (good) {
        const char *begin = messages->raw.ptr;
        struct span before = span_trim(span_make(begin, (size_t)(message->raw.ptr - begin)));
        before.len--; /* the comma */
        e = buf_append_span(&list, before);
        e = e == ERR_OK ? buf_append_char(&list, ']') : e;
    }
    const struct json_edit edit = {SPAN("messages"), buf_span(&list)};
    e = e == ERR_OK ? json_edit_root(chat, root, &edit, 1, out) : e;
    buf_free(&list);
    json_doc_free(&doc);
    return e;
}

/* ---- the next request ---- */

static bool is_alike(const struct json_node *a, const struct json_node *b)
{
    struct buf one = {.max = 0};
    struct buf two = {.max = 0};
    if (a == NULL || b == NULL || span_eq(a->raw, b->raw)) {
        return a == b || (a != NULL && b != NULL);
    }
    one.max = a->raw.len + 64;
    two.max = b->raw.len + 64;
    bool alike = json_append_canonical(a, NULL, 0, &one) &&
                 json_append_canonical(b, NULL, 0, &two) && span_eq(buf_span(&one), buf_span(&two));
    buf_free(&one);
    buf_free(&two);
    return alike;
}

const struct json_node **dialect_messages(const struct dialect_request *request, size_t *count)
{
    const struct json_node *root = request->json.count > 0 ? request->json.nodes : NULL;
    const struct json_node *list = json_get(root, SPAN("messages"));
    *count = 0;
    JSON_EACH(message, list)
    {
        ++*count;
    }
    const struct json_node **all = malloc((*count + 1) * sizeof *all);
    size_t i = 0;
    JSON_EACH(same, all == NULL ? NULL : list)
    {
        all[i++] = same;
    }
    return all;
}

bool dialect_repeats(const struct json_node *message, struct span reply)
{
    return json_is_text(json_get(message, SPAN("role")), SPAN("assistant")) &&
           json_is_text(json_get(message, SPAN("content")), reply);
}

static bool is_users(const struct json_node *message)
{
    return json_is_text(json_get(message, SPAN("role")), SPAN("user"));
}

/* Whether both have the members that lay out the prompt alike, but for messages and options. */
static bool is_laid_out_alike(const struct json_node *a, const struct json_node *b)
{
    for (size_t i = 0; i < LAYOUT_MEMBERS; i++) {
        struct span name = span_of(layout_members[i]);
        bool compared = !span_eq(name, SPAN("messages")) && !span_eq(name, SPAN("options"));
        if (compared && !is_alike(json_get(a, name), json_get(b, name))) {
            return false;
        }
    }
    return true;
}

/* The messages of the person, and all others, up to the end of `old`. *rest: what comes behind. */
static enum dialect_sequel compare_messages(const struct json_node *old,
                                            const struct json_node *list,
                                            const struct json_node **rest)
{
    enum dialect_sequel sequel = DIALECT_SEQUEL_CONTINUES;
    *rest = json_first(list);
    JSON_EACH(known, old)
    {
        bool alike = *rest != NULL && is_alike(known, *rest);
        if (*rest == NULL || (!alike && is_users(known))) {
            return DIALECT_SEQUEL_BRANCHES;
        }
        sequel = alike ? sequel : DIALECT_SEQUEL_CHANGED;
        *rest = json_after(list, *rest);
    }
    return *rest == NULL ? DIALECT_SEQUEL_BRANCHES : sequel;
}

enum dialect_sequel dialect_sequel_of(struct span chat, struct span reply,
                                      const struct dialect_request *next, bool *repeats)
{
    struct json_doc doc;
    const struct json_node *before = json_read(chat, &doc);
    const struct json_node *now = next->json.count > 0 ? next->json.nodes : NULL;
    const struct json_node *message = NULL;
    enum dialect_sequel sequel = compare_messages(json_get(before, SPAN("messages")),
                                                  json_get(now, SPAN("messages")), &message);
    *repeats = message != NULL && dialect_repeats(message, reply);
    bool laid_out =
        is_laid_out_alike(before, now) &&
        is_laid_out_alike(json_given(before, SPAN("options")), json_given(now, SPAN("options")));
    if (sequel == DIALECT_SEQUEL_CONTINUES && (!*repeats || !laid_out)) {
        sequel = DIALECT_SEQUEL_CHANGED;
    }
    json_doc_free(&doc);
    return sequel;
}
