/* convert_messages.c: messages in the other dialect's form, and for the neutral form. Both dialects
 * have the same list of role and content; they differ in what content may be and in what may stand
 * beside it.
 */
#include "path/dialect/convert_priv.h"

/* One message, taken apart. */
struct message {
    struct member role, content;
    struct buf beside; /* other members that are written, as a list */
};

static bool is_text(const cJSON *item, const char *text)
{
    return cJSON_IsString(item) && strcmp(item->valuestring, text) == 0;
}

/* Beside role and content. What a model thought is not shown to it again. */
static void take_beside(struct conversion *c, const struct member *m, struct buf *beside)
{
    static const char *const thoughts[] = {"thinking", "reasoning_content", "reasoning"};
    bool moved = strcmp(m->name, "name") == 0;
    bool known = moved;
    for (size_t i = 0; i < sizeof thoughts / sizeof thoughts[0]; i++) {
        known = known || strcmp(m->name, thoughts[i]) == 0;
    }
    if (known && !cJSON_IsString(m->item)) {
        convert_cannot(c, moved ? "name" : "reasoning_content");
    } else if (strcmp(m->name, "tool_calls") == 0) {
        convert_if_empty(c, &(struct member){"tool_calls", m->item, m->raw});
    } else if (strcmp(m->name, "images") == 0) {
        convert_if_empty(c, &(struct member){"images", m->item, m->raw});
    } else if (!known) {
        convert_cannot(c, "unknown member of a message");
    }
    if (c->neutral || moved) {
        convert_put_member(c, beside, m->name, m->raw);
    }
}

static void take_apart(struct conversion *c, const cJSON *item, struct span raw,
                       struct message *message)
{
    const cJSON *child = NULL;
    size_t at = 0;
    cJSON_ArrayForEach(child, item)
    {
        struct member m = {.name = child->string, .item = child};
        if (!json_next(raw, &at, &m.raw)) {
            convert_invalid(c);
        }
        if (strcmp(m.name, "role") == 0) {
            message->role = m;
        } else if (strcmp(m.name, "content") == 0) {
            message->content = m;
        } else if (!cJSON_IsNull(child)) {
            take_beside(c, &m, &message->beside);
        }
    }
}

static void put_role(struct conversion *c, const struct member *role, struct buf *out)
{
    bool developer = c->from == ENDPOINT_CHAT && is_text(role->item, "developer");
    if (!cJSON_IsString(role->item)) {
        convert_invalid(c);
    } else if (!developer && !is_text(role->item, "user") && !is_text(role->item, "system") &&
               !is_text(role->item, "assistant")) {
        convert_cannot(c, "role");
    }
    convert_put(c, out, SPAN("{\"role\":"));
    convert_put(c, out, developer && !c->neutral ? SPAN("\"system\"") : role->raw);
}

/* Raw text of a part's text, with quotes; SPAN_NONE where it is none or not only that. */
static struct span part_text(const cJSON *part, struct span raw)
{
    const cJSON *child = NULL;
    size_t at = 0;
    struct span value = SPAN_NONE;
    struct span text = SPAN_NONE;
    bool typed = false;
    cJSON_ArrayForEach(child, part)
    {
        if (!json_next(raw, &at, &value)) {
            return SPAN_NONE;
        }
        if (strcmp(child->string, "type") == 0 && is_text(child, "text")) {
            typed = true;
        } else if (strcmp(child->string, "text") == 0 && cJSON_IsString(child)) {
            text = value;
        } else if (!cJSON_IsNull(child)) {
            return SPAN_NONE;
        }
    }
    return typed && cJSON_IsObject(part) ? text : SPAN_NONE;
}

/* Text parts as one string, as dialect_request reads them. */
static void put_parts(struct conversion *c, const struct member *content, struct buf *out)
{
    const cJSON *part = NULL;
    size_t at = 0;
    struct span raw = SPAN_NONE;
    bool as_they_are =
        c->neutral && (content->item->child == NULL || content->item->child->next != NULL);
    convert_put(c, out, as_they_are ? content->raw : SPAN("\""));
    cJSON_ArrayForEach(part, content->item)
    {
        struct span text = json_next(content->raw, &at, &raw) ? part_text(part, raw) : SPAN_NONE;
        if (text.len < 2) {
            convert_cannot(c, "content that is not text");
        } else if (!as_they_are) {
            convert_put(c, out, span_make(text.ptr + 1, text.len - 2));
        }
    }
    convert_put(c, out, as_they_are ? SPAN_NONE : SPAN("\""));
}

static void put_content(struct conversion *c, const struct member *content, struct buf *out)
{
    bool none = content->item == NULL || cJSON_IsNull(content->item);
    bool openai = c->from == ENDPOINT_CHAT;
    if (c->neutral && openai && content->item == NULL) {
        return; /* a server may refuse what it takes when it is "" */
    }
    convert_put(c, out, SPAN(",\"content\":"));
    if (cJSON_IsString(content->item)) {
        convert_put(c, out, content->raw);
    } else if (none) {
        convert_put(c, out, c->neutral && openai ? SPAN("null") : SPAN("\"\""));
    } else if (openai && cJSON_IsArray(content->item)) {
        put_parts(c, content, out);
    } else {
        convert_cannot(c, "content that is not text");
    }
}

static void put_message(struct conversion *c, const cJSON *item, struct span raw, struct buf *out)
{
    struct message message = {.beside = {.max = out->max}};
    if (!cJSON_IsObject(item)) {
        convert_invalid(c);
        return;
    }
    take_apart(c, item, raw, &message);
    put_role(c, &message.role, out);
    put_content(c, &message.content, out);
    convert_put(c, out, buf_span(&message.beside));
    convert_put(c, out, SPAN("}"));
    buf_free(&message.beside);
}

void convert_messages(struct conversion *c, const struct member *m)
{
    const cJSON *item = NULL;
    size_t at = 0;
    struct span raw = SPAN_NONE;
    struct buf *to = c->neutral && c->from == ENDPOINT_CHAT ? &c->kept : &c->root;
    if (!cJSON_IsArray(m->item)) {
        convert_invalid(c);
        return;
    }
    convert_put_member(c, to, "messages", SPAN("["));
    cJSON_ArrayForEach(item, m->item)
    {
        if (!json_next(m->raw, &at, &raw)) {
            convert_invalid(c);
        }
        convert_put(c, to, c->has_input ? SPAN(",") : SPAN_NONE);
        put_message(c, item, raw, to);
        c->has_input = true;
    }
    convert_put(c, to, SPAN("]"));
}

void convert_prompt(struct conversion *c)
{
    if (c->prompt.len <= 2) {
        return; /* no prompt: the model is to be loaded or unloaded */
    }
    c->has_input = true;
    convert_put_member(c, &c->root, "messages", SPAN("["));
    if (c->system.len > 2) {
        convert_put(c, &c->root, SPAN("{\"role\":\"system\",\"content\":"));
        convert_put(c, &c->root, c->system);
        convert_put(c, &c->root, SPAN("},"));
    }
    convert_put(c, &c->root, SPAN("{\"role\":\"user\",\"content\":"));
    convert_put(c, &c->root, c->prompt);
    convert_put(c, &c->root, SPAN("}]"));
}
