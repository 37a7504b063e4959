/* convert_messages.c: messages in the other dialect's form, and for the normalized form. Both
 * dialects have the same list of role and content; they differ in what content may be and in what
 * may stand beside it.
 */
#include "path/dialect/convert_priv.h"

/* A member of a message beside role and content. What a model thought is not shown to it again. */
static void put_beside(struct conversion *c, const struct json_node *value, struct members *message)
{
    static const char *const thoughts[] = {"thinking", "reasoning_content", "reasoning"};
    const char *name = json_named(value, SPAN("name")) ? "name" : NULL;
    bool moved = name != NULL;
    for (size_t i = 0; i < sizeof thoughts / sizeof thoughts[0]; i++) {
        name = json_named(value, span_of(thoughts[i])) ? thoughts[i] : name;
    }
    if (name != NULL && value->type != JSON_STRING) {
        convert_cannot(c, moved ? "name" : "reasoning_content");
    } else if (json_named(value, SPAN("tool_calls"))) {
        name = "tool_calls";
        convert_if_empty(c, name, value);
    } else if (json_named(value, SPAN("images"))) {
        name = "images";
        convert_if_empty(c, name, value);
    } else if (name == NULL) {
        convert_cannot(c, "unknown member of a message");
    }
    if (name != NULL && (c->normalized || moved)) {
        convert_put_member(c, message, name, value);
    }
}

static void put_role(struct conversion *c, const struct json_node *role, struct members *message)
{
    bool developer = c->from == ENDPOINT_CHAT && json_is_text(role, SPAN("developer"));
    if (!json_is(role, JSON_STRING)) {
        convert_invalid(c);
        return;
    }
    if (!developer && !json_is_text(role, SPAN("user")) && !json_is_text(role, SPAN("system")) &&
        !json_is_text(role, SPAN("assistant"))) {
        convert_cannot(c, "role");
    }
    if (developer && !c->normalized) {
        convert_put_text_member(c, message, "role", SPAN("\"system\""));
    } else {
        convert_put_member(c, message, "role", role);
    }
}

/* The text of a part, which is nothing else; NULL: it is more, or no text. */
static const struct json_node *part_text(const struct json_node *part)
{
    const struct json_node *text = NULL;
    bool typed = false;
    JSON_EACH(value, part)
    {
        if (json_named(value, SPAN("type")) && json_is_text(value, SPAN("text"))) {
            typed = true;
        } else if (json_named(value, SPAN("text")) && value->type == JSON_STRING) {
            text = value;
        } else if (value->type != JSON_NULL) {
            return NULL;
        }
    }
    return typed && part->type == JSON_OBJECT ? text : NULL;
}

/* Text parts as one string, as chat_request.c reads them. The normalized form has several as they
 * are. */
static void put_parts(struct conversion *c, const struct json_node *parts, struct buf *out)
{
    const struct json_node *first = json_first(parts);
    bool as_they_are = c->normalized && (first == NULL || json_after(parts, first) != NULL);
    convert_put(c, out, as_they_are ? SPAN_NONE : SPAN("\""));
    JSON_EACH(part, parts)
    {
        const struct json_node *text = part_text(part);
        if (text == NULL) {
            convert_cannot(c, "content that is not text");
        } else if (as_they_are || c->e != ERR_OK) {
            continue;
        } else if (!c->normalized) {
            convert_put(c, out, span_make(text->raw.ptr + 1, text->raw.len - 2));
        } else if (!json_append_canonical_text(text, out)) {
            c->e = ERR_TOO_LARGE;
        }
    }
    if (as_they_are) {
        convert_put_value(c, out, parts);
    } else {
        convert_put(c, out, SPAN("\""));
    }
}

static void put_content(struct conversion *c, const struct json_node *content,
                        struct members *message)
{
    bool openai = c->from == ENDPOINT_CHAT;
    if (c->normalized && openai && content == NULL) {
        return; /* a server may refuse what it takes when it is "" */
    }
    if (json_is(content, JSON_STRING)) {
        convert_put_member(c, message, "content", content);
        return;
    }
    convert_open_member(c, message, "content");
    if (content == NULL || content->type == JSON_NULL) {
        convert_put(c, &message->text, c->normalized && openai ? SPAN("null") : SPAN("\"\""));
    } else if (openai && content->type == JSON_ARRAY) {
        put_parts(c, content, &message->text);
    } else {
        convert_cannot(c, "content that is not text");
    }
}

static void put_message(struct conversion *c, const struct json_node *message, struct buf *out)
{
    struct members members;
    if (message->type != JSON_OBJECT) {
        convert_invalid(c);
        return;
    }
    convert_members_init(&members, out->max);
    put_role(c, json_get(message, SPAN("role")), &members);
    put_content(c, json_get(message, SPAN("content")), &members);
    JSON_EACH(value, message)
    {
        bool own = json_named(value, SPAN("role")) || json_named(value, SPAN("content"));
        if (!own && value->type != JSON_NULL && c->e == ERR_OK) {
            put_beside(c, value, &members);
        }
    }
    convert_put_object(c, out, &members);
    buf_free(&members.text);
}

void convert_messages(struct conversion *c, const char *name, const struct json_node *list)
{
    struct members *to = c->normalized && c->from == ENDPOINT_CHAT ? &c->kept : &c->root;
    if (list->type != JSON_ARRAY) {
        convert_invalid(c);
        return;
    }
    buf_expect(&to->text, list->raw.len);
    convert_open_member(c, to, name);
    convert_put(c, &to->text, SPAN("["));
    JSON_EACH(message, list)
    {
        convert_put(c, &to->text, c->has_input ? SPAN(",") : SPAN_NONE);
        put_message(c, message, &to->text);
        c->has_input = true;
    }
    convert_put(c, &to->text, SPAN("]"));
}

static void put_prompt_message(struct conversion *c, struct span role,
                               const struct json_node *content)
{
    struct members message;
    convert_members_init(&message, c->root.text.max);
    convert_put_text_member(c, &message, "role", role);
    convert_put_member(c, &message, "content", content);
    convert_put_object(c, &c->root.text, &message);
    buf_free(&message.text);
}

void convert_prompt(struct conversion *c)
{
    if (c->prompt == NULL || json_is_text(c->prompt, SPAN(""))) {
        return; /* no prompt: the model is to be loaded or unloaded */
    }
    c->has_input = true;
    convert_open_member(c, &c->root, "messages");
    convert_put(c, &c->root.text, SPAN("["));
    if (c->system != NULL && !json_is_text(c->system, SPAN(""))) {
        put_prompt_message(c, SPAN("\"system\""), c->system);
        convert_put(c, &c->root.text, SPAN(","));
    }
    put_prompt_message(c, SPAN("\"user\""), c->prompt);
    convert_put(c, &c->root.text, SPAN("]"));
}
