/* convert.c: a task asked in one dialect, converted to the other; and its normalized form.
 *
 * A table per dialect (convert_openai.c, convert_ollama.c) names every member that is understood
 * and what becomes of it. A member that is not in the table stops the conversion: a request that
 * only nearly says the same would get an answer that only nearly fits, and its own server is still
 * there. A row is added for a member whose meaning on both sides has been checked.
 *
 * The body's nodes say what a value is and how it was written, and what is moved is moved as it was
 * written (0.10 stays 0.10). Documents that parsers read differently are refused first, by the
 * reader's verdict. Members are written into lists, and the first failure ends the writing, so that
 * no step has to look at the one before.
 *
 * The normalized form is for keys, and has to keep apart more than the conversion does: two
 * requests that a server of their own dialect could answer differently must not get the same one. A
 * body of CHAT is therefore kept as it is, member by member, but for five things: the model,
 * members that only say how the answer is sent or who asks, members that are null, a list of one
 * text part (the text), and one stop text (a list of it). It is not brought to one of two spellings
 * where a server might know only one: Ollama's /v1 reads max_tokens and not max_completion_tokens,
 * llama-server chat_template_kwargs and not think. A body of Ollama is converted, and what the
 * conversion leaves out is kept in a member of its own, "lull.ollama", which no client sends. So an
 * Ollama request equals an OpenAI one only where that one is spelled as the conversion would spell
 * it, which is how Open WebUI does. The form is written canonically at once: values from their
 * nodes, members of the objects that are put together in the order of their names.
 *
 * Open WebUI's parameters for the task model reach an OpenAI type server as think and
 * chat_template_kwargs, and Ollama as think and options.chat_template_kwargs (which it ignores).
 * That pair is moved as a pair, so that it comes back as it was.
 *
 * Rejected: converting through a neutral struct of fields (every field needs a place, a default and
 * two printers, and numbers lose how they were written); one normal form for the members about
 * thinking and the cap (see above).
 */
#include "path/dialect/convert_priv.h"

enum { ROOM = 4096 }; /* for what is written beside what was there */

/* Members that say how the answer is to be sent or who asks, not what is asked; and the model, which
 * the key has beside the form where it is a name. */
static const struct span outside[] = {
    {"stream", 6}, {"stream_options", 14}, {"user", 4}, {"metadata", 8}, {"model", 5},
};
enum { OUTSIDE = sizeof outside / sizeof outside[0] };

static bool is_name(const struct json_node *model)
{
    return json_is(model, JSON_STRING) && !json_is_text(model, SPAN(""));
}

enum endpoint dialect_task_endpoint(enum endpoint from, enum dialect dialect)
{
    if (endpoint_dialect(from) == dialect) {
        return from;
    }
    return dialect == DIALECT_OLLAMA ? ENDPOINT_OLLAMA_CHAT : ENDPOINT_CHAT;
}

/* ---- what the tables use ---- */

void convert_cannot(struct conversion *c, const char *what)
{
    if (c->e == ERR_OK) {
        c->e = ERR_NOT_FOUND;
        c->what = what;
    }
}

void convert_invalid(struct conversion *c)
{
    c->e = c->e == ERR_OK ? ERR_INVALID : c->e;
}

void convert_put(struct conversion *c, struct buf *to, struct span text)
{
    if (c->e == ERR_OK) {
        c->e = buf_append_span(to, text);
    }
}

void convert_put_value(struct conversion *c, struct buf *to, const struct json_node *value)
{
    if (!c->normalized) {
        convert_put(c, to, value->raw);
    } else if (c->e == ERR_OK && !json_append_canonical(value, NULL, 0, to)) {
        c->e = ERR_TOO_LARGE;
    }
}

void convert_members_init(struct members *m, size_t max)
{
    m->count = 0;
    buf_init(&m->text, max);
}

void convert_open_member(struct conversion *c, struct members *to, const char *name)
{
    require(to->count < MEMBERS_MAX);
    to->at[to->count].name = name;
    to->at[to->count].value = NULL;
    to->at[to->count++].from = to->text.len;
    convert_put(c, &to->text, SPAN(",\""));
    convert_put(c, &to->text, span_of(name));
    convert_put(c, &to->text, SPAN("\":"));
}

void convert_put_text_member(struct conversion *c, struct members *to, const char *name,
                             struct span text)
{
    convert_open_member(c, to, name);
    convert_put(c, &to->text, text);
}

void convert_put_member(struct conversion *c, struct members *to, const char *name,
                        const struct json_node *value)
{
    convert_open_member(c, to, name);
    to->at[to->count - 1].value = value;
}

/* The index of the member with the next name behind `last`, in the order of names. */
static size_t next_by_name(const struct members *m, const char *last)
{
    size_t next = m->count;
    for (size_t i = 0; i < m->count; i++) {
        bool later = last == NULL || strcmp(m->at[i].name, last) > 0;
        if (later && (next == m->count || strcmp(m->at[i].name, m->at[next].name) < 0)) {
            next = i;
        }
    }
    return next;
}

void convert_put_object(struct conversion *c, struct buf *to, const struct members *members)
{
    const char *last = NULL;
    convert_put(c, to, SPAN("{"));
    for (size_t n = 0; n < members->count; n++) {
        size_t i = c->normalized ? next_by_name(members, last) : n;
        require(i < members->count);                          /* no name stands twice */
        size_t from = members->at[i].from + (n == 0 ? 1 : 0); /* without the comma */
        size_t end = i + 1 < members->count ? members->at[i + 1].from : members->text.len;
        last = members->at[i].name;
        if (c->e == ERR_OK) {
            convert_put(c, to, span_make(members->text.data + from, end - from));
        }
        if (members->at[i].value != NULL) {
            convert_put_value(c, to, members->at[i].value);
        }
    }
    convert_put(c, to, SPAN("}"));
}

void convert_members(struct conversion *c, const struct json_node *object,
                     const struct known_members *known, struct members *kept)
{
    JSON_EACH(value, object)
    {
        size_t i = 0;
        if (value->type == JSON_NULL || c->e != ERR_OK) {
            continue;
        }
        while (i < known->count && !json_named(value, span_of(known->at[i].name))) {
            i++;
        }
        if (i == known->count) {
            convert_cannot(c, known->unknown);
            continue;
        }
        const struct known_member *row = &known->at[i];
        if (row->take != NULL) {
            row->take(c, row->name, value);
        }
        if (row->kept && c->normalized) {
            convert_put_member(c, kept, row->name, value);
        }
    }
}

void convert_if_empty(struct conversion *c, const char *name, const struct json_node *value)
{
    bool list = value->type == JSON_ARRAY || value->type == JSON_OBJECT;
    if (!(list ? value->size == 1 : json_is_text(value, SPAN("")))) {
        convert_cannot(c, name);
    }
}

void convert_if_false(struct conversion *c, const char *name, const struct json_node *value)
{
    if (value->type != JSON_FALSE) {
        convert_cannot(c, name);
    }
}

void convert_never(struct conversion *c, const char *name, const struct json_node *value)
{
    (void)value;
    convert_cannot(c, name);
}

void convert_model(struct conversion *c, const char *name, const struct json_node *value)
{
    if (value->type != JSON_STRING) {
        convert_invalid(c);
    }
    if (!c->normalized) {
        convert_put_member(c, &c->root, name, value);
    } else if (!is_name(value)) {
        convert_cannot(c, name); /* it stays in the form */
    }
}

enum thought convert_level(const struct json_node *value, const struct thought_level *levels,
                           size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (json_is_text(value, levels[i].level)) {
            return levels[i].said;
        }
    }
    return THOUGHT_UNSAID;
}

void convert_think(struct conversion *c, const char *name, const struct json_node *value)
{
    static const struct thought_level levels[] = {
        {{"low", 3}, THOUGHT_LOW}, {{"medium", 6}, THOUGHT_MEDIUM}, {{"high", 4}, THOUGHT_HIGH}};
    c->think = value->type == JSON_TRUE    ? THOUGHT_ON
               : value->type == JSON_FALSE ? THOUGHT_OFF
                                           : convert_level(value, levels, 3);
    if (c->think == THOUGHT_UNSAID) {
        convert_cannot(c, name);
    }
}

bool convert_kwargs(const struct json_node *object, enum thought *said)
{
    const struct json_node *only = json_is(object, JSON_OBJECT) ? json_first(object) : NULL;
    if (only == NULL || json_after(object, only) != NULL ||
        !json_named(only, SPAN("enable_thinking")) ||
        (only->type != JSON_TRUE && only->type != JSON_FALSE)) {
        return false;
    }
    *said = only->type == JSON_TRUE ? THOUGHT_ON : THOUGHT_OFF;
    return true;
}

bool convert_is_stop(const struct json_node *list)
{
    JSON_EACH(text, list)
    {
        /* Ollama stops at once at an empty one */
        if (text->type != JSON_STRING || json_is_text(text, SPAN(""))) {
            return false;
        }
    }
    return json_is(list, JSON_ARRAY);
}

/* ---- from a body to the lists, from the lists to a body ---- */

/* false: c->e and c->what say why. convert_end() frees the lists either way. */
static bool convert_begin(struct conversion *c, const struct json_doc *body, enum endpoint from,
                          bool normalized)
{
    const struct json_node *root = body->count > 0 ? body->nodes : NULL;
    size_t max = 2 * (root == NULL ? 0 : root->raw.len) + ROOM;
    *c = (struct conversion){.from = from, .normalized = normalized};
    struct members *lists[] = {&c->root, &c->options, &c->kept, &c->kept_options};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        convert_members_init(lists[i], max);
    }
    bool readable = body->verdict == JSON_OK || body->verdict == JSON_AMBIGUOUS;
    if (endpoint_assembles(from) && body->verdict == JSON_AMBIGUOUS) {
        convert_cannot(c, "JSON that parsers read differently");
    } else if (!endpoint_assembles(from) || !readable || !json_is(root, JSON_OBJECT)) {
        convert_invalid(c);
    } else if (from == ENDPOINT_CHAT) {
        convert_from_openai(c, root);
    } else {
        convert_from_ollama(c, root);
    }
    if (!c->has_input) {
        convert_invalid(c);
    }
    return c->e == ERR_OK;
}

static void convert_end(struct conversion *c)
{
    buf_free(&c->root.text);
    buf_free(&c->options.text);
    buf_free(&c->kept.text);
    buf_free(&c->kept_options.text);
}

static void put_object_member(struct conversion *c, struct members *to, const char *name,
                              const struct members *object)
{
    if (object->count > 0) {
        convert_open_member(c, to, name);
        convert_put_object(c, &to->text, object);
    }
}

static enum err convert_doc(const struct json_doc *body, enum endpoint from, enum endpoint to,
                            struct buf *out, const char **what)
{
    static const struct json_doc none = {.verdict = JSON_INVALID};
    struct conversion c;
    size_t before = out->len;
    bool other = (to == ENDPOINT_CHAT || to == ENDPOINT_OLLAMA_CHAT) &&
                 endpoint_dialect(from) != endpoint_dialect(to);
    if (convert_begin(&c, other ? body : &none, from, false)) {
        put_object_member(&c, &c.root, "options", &c.options);
        convert_put_text_member(&c, &c.root, "stream", SPAN("false"));
        convert_put_object(&c, out, &c.root);
    }
    convert_end(&c);
    if (c.e != ERR_OK) {
        out->len = before;
    }
    if (what != NULL) {
        *what = c.e == ERR_NOT_FOUND ? c.what : NULL;
    }
    return c.e;
}

enum err dialect_convert_request(struct span body, enum endpoint from, enum endpoint to,
                                 struct buf *out, const char **what)
{
    struct json_doc doc;
    (void)json_read(body, &doc);
    enum err e = convert_doc(&doc, from, to, out, what);
    json_doc_free(&doc);
    return e;
}

enum err dialect_normalize(const struct dialect_request *request, struct buf *out, bool *converted)
{
    struct conversion c;
    const struct json_doc *body = &request->json;
    size_t before = out->len;
    if (convert_begin(&c, body, request->endpoint, true)) {
        buf_expect(out, c.root.text.len + c.kept.text.len);
        if (request->endpoint != ENDPOINT_CHAT) {
            put_object_member(&c, &c.kept, "options", &c.kept_options);
            put_object_member(&c, &c.root, "lull.ollama", &c.kept);
        }
        convert_put_object(&c, out, request->endpoint == ENDPOINT_CHAT ? &c.kept : &c.root);
    }
    convert_end(&c);
    *converted = c.e == ERR_OK;
    if (*converted) {
        return ERR_OK;
    }
    out->len = before;
    if (body->verdict != JSON_OK || body->count == 0) {
        return ERR_INVALID;
    }
    bool named = is_name(json_get(body->nodes, SPAN("model")));
    return json_append_canonical(body->nodes, outside, OUTSIDE - (named ? 0 : 1), out)
               ? ERR_OK
               : ERR_TOO_LARGE;
}
