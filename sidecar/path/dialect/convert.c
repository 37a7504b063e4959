/* convert.c: a task asked in one dialect, put into the words of the other; and what it means.
 *
 * A table per dialect (convert_openai.c, convert_ollama.c) names every member that is understood and
 * what becomes of it. A member that is not in the table stops the conversion: a request that only
 * nearly says the same would get an answer that only nearly fits, and its own server is still
 * there. So the table grows by what somebody has looked at, never by itself.
 *
 * The body is read twice at once: cJSON says what a value is, json_next() beside it says how it was
 * written, and what is moved is moved as it was written (0.10 stays 0.10). Documents that the two
 * could read differently are refused first, by the scanner's verdict. Writing goes into lists of
 * members and the first failure ends it, so that no step has to look at the one before.
 *
 * The neutral form is for keys, and has to keep apart more than the conversion does: two requests
 * that a server of their own dialect could answer differently must not meet in it. A body of CHAT
 * is therefore kept as it is, member by member, but for four things: members that only say how the
 * answer is sent or who asks, members that are null, a list of one text part (the text), and one
 * stop text (a list of it). It is not brought to one of two spellings where a server might know
 * only one: Ollama's /v1 reads max_tokens and not max_completion_tokens, llama-server
 * chat_template_kwargs and not think. A body of Ollama is converted, and what the conversion leaves out
 * is kept in a member of its own, "lull.ollama", which no client sends. So an Ollama request equals
 * an OpenAI one only where that one is spelled as the conversion would spell it, which is how Open
 * WebUI does.
 *
 * Open WebUI's parameters for the task model reach an OpenAI type server as think and
 * chat_template_kwargs, and Ollama as think and options.chat_template_kwargs (which it ignores).
 * That pair is moved as a pair, so that it comes back as it was.
 *
 * Rejected: converting through a neutral struct of fields (every field needs a place, a default and
 * two printers, and numbers lose how they were written); one normal form for the words of thinking
 * and of the cap (see above).
 */
#include "path/dialect/convert_priv.h"

#include "lull/path/json/json.h"

enum { ROOM = 4096 }; /* for what is written beside what was there */

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

void convert_put_member(struct conversion *c, struct buf *to, const char *name, struct span raw)
{
    convert_put(c, to, SPAN(",\""));
    convert_put(c, to, span_of(name));
    convert_put(c, to, SPAN("\":"));
    convert_put(c, to, raw);
}

static const struct word *word_of(const struct words *words, const char *name)
{
    for (size_t i = 0; i < words->count; i++) {
        if (strcmp(words->at[i].name, name) == 0) {
            return &words->at[i];
        }
    }
    return NULL;
}

void convert_members(struct conversion *c, const struct member *object, const struct words *words,
                     struct buf *kept)
{
    const cJSON *item = NULL;
    size_t at = 0;
    cJSON_ArrayForEach(item, object->item)
    {
        struct member m = {.item = item};
        if (!json_next(object->raw, &at, &m.raw)) {
            convert_invalid(c);
        }
        if (cJSON_IsNull(item) || c->e != ERR_OK) {
            continue;
        }
        const struct word *word = word_of(words, item->string);
        if (word == NULL) {
            convert_cannot(c, words->unknown);
            continue;
        }
        m.name = word->name;
        if (word->take != NULL) {
            word->take(c, &m);
        }
        if (word->kept && c->neutral) {
            convert_put_member(c, kept, m.name, m.raw);
        }
    }
}

void convert_if_empty(struct conversion *c, const struct member *m)
{
    bool list = cJSON_IsArray(m->item) || cJSON_IsObject(m->item);
    bool empty =
        list ? m->item->child == NULL : cJSON_IsString(m->item) && m->item->valuestring[0] == '\0';
    if (!empty) {
        convert_cannot(c, m->name);
    }
}

void convert_if_false(struct conversion *c, const struct member *m)
{
    if (!cJSON_IsFalse(m->item)) {
        convert_cannot(c, m->name);
    }
}

void convert_never(struct conversion *c, const struct member *m)
{
    convert_cannot(c, m->name);
}

void convert_model(struct conversion *c, const struct member *m)
{
    if (!cJSON_IsString(m->item)) {
        convert_invalid(c);
    }
    convert_put_member(c, &c->root, "model", m->raw);
}

void convert_think(struct conversion *c, const struct member *m)
{
    static const struct {
        const char *level;
        enum thought said;
    } levels[] = {{"low", THOUGHT_LOW}, {"medium", THOUGHT_MEDIUM}, {"high", THOUGHT_HIGH}};
    if (cJSON_IsBool(m->item)) {
        c->think = cJSON_IsTrue(m->item) ? THOUGHT_ON : THOUGHT_OFF;
        return;
    }
    for (size_t i = 0; cJSON_IsString(m->item) && i < sizeof levels / sizeof levels[0]; i++) {
        if (strcmp(m->item->valuestring, levels[i].level) == 0) {
            c->think = levels[i].said;
            return;
        }
    }
    convert_cannot(c, m->name);
}

bool convert_kwargs(const cJSON *object, enum thought *said)
{
    const cJSON *only = cJSON_IsObject(object) ? object->child : NULL;
    if (only == NULL || only->next != NULL || strcmp(only->string, "enable_thinking") != 0 ||
        !cJSON_IsBool(only)) {
        return false;
    }
    *said = cJSON_IsTrue(only) ? THOUGHT_ON : THOUGHT_OFF;
    return true;
}

bool convert_is_stop(const cJSON *list)
{
    const cJSON *text = NULL;
    cJSON_ArrayForEach(text, list)
    {
        /* Ollama stops at once at an empty one */
        if (!cJSON_IsString(text) || text->valuestring[0] == '\0') {
            return false;
        }
    }
    return cJSON_IsArray(list);
}

/* ---- from a body to the lists, from the lists to a body ---- */

static struct span without_comma(const struct buf *list)
{
    return list->len == 0 ? SPAN_NONE : span_make(list->data + 1, list->len - 1);
}

static void put_object(struct conversion *c, struct buf *to, const char *name,
                       const struct buf *list)
{
    if (list->len > 0) {
        convert_put_member(c, to, name, SPAN("{"));
        convert_put(c, to, without_comma(list));
        convert_put(c, to, SPAN("}"));
    }
}

/* Reads the body, whose tree is that of `parsed` where the caller has it. false: c->e and c->what
 * say why. The lists have to be freed either way. */
static bool convert_begin(struct conversion *c, struct span body, enum endpoint from,
                          const struct dialect_request *parsed, enum json_verdict *verdict)
{
    c->from = from;
    struct buf *lists[] = {&c->root, &c->options, &c->kept, &c->kept_options};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        buf_init(lists[i], 2 * body.len + ROOM);
    }
    *verdict = body.len == 0 ? JSON_INVALID : json_canonical(body, NULL, 0, NULL);
    if (!endpoint_assembles(from) || *verdict == JSON_INVALID || *verdict == JSON_TOO_LARGE) {
        convert_invalid(c);
        return false;
    }
    if (*verdict == JSON_AMBIGUOUS) {
        convert_cannot(c, "JSON that parsers read differently");
        return false;
    }
    cJSON *own = parsed != NULL ? NULL : cJSON_ParseWithLength(body.ptr, body.len);
    const cJSON *root = parsed != NULL ? dialect_request_root(parsed) : own;
    struct member whole = {.item = root, .raw = body};
    if (!cJSON_IsObject(root)) {
        convert_invalid(c);
    } else if (from == ENDPOINT_CHAT) {
        convert_from_openai(c, &whole);
    } else {
        convert_from_ollama(c, &whole);
    }
    if (!c->has_input) {
        convert_invalid(c);
    }
    cJSON_Delete(own);
    return c->e == ERR_OK;
}

static void convert_end(struct conversion *c)
{
    buf_free(&c->root);
    buf_free(&c->options);
    buf_free(&c->kept);
    buf_free(&c->kept_options);
}

static void put_body(struct conversion *c, const struct buf *list, struct buf *out)
{
    convert_put(c, out, SPAN("{"));
    convert_put(c, out, without_comma(list));
    convert_put(c, out, SPAN("}"));
}

enum err dialect_convert_request(struct span body, enum endpoint from, enum endpoint to,
                                 struct buf *out, const char **what)
{
    struct conversion c = {.neutral = false};
    enum json_verdict verdict;
    size_t before = out->len;
    bool other = (to == ENDPOINT_CHAT || to == ENDPOINT_OLLAMA_CHAT) &&
                 endpoint_dialect(from) != endpoint_dialect(to);
    if (convert_begin(&c, other ? body : SPAN_NONE, from, NULL, &verdict)) {
        put_object(&c, &c.root, "options", &c.options);
        convert_put_member(&c, &c.root, "stream", SPAN("false"));
        put_body(&c, &c.root, out);
        /* a schema lies deeper there than here */
        if (c.e == ERR_OK && json_canonical(span_make(out->data + before, out->len - before), NULL,
                                            0, NULL) != JSON_OK) {
            convert_cannot(&c, "JSON that is nested too deep");
        }
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

bool dialect_request_neutral(struct span body, enum endpoint from,
                             const struct dialect_request *parsed, struct buf *out,
                             enum json_verdict *verdict)
{
    struct conversion c = {.neutral = true};
    enum json_verdict found;
    size_t before = out->len;
    bool good = convert_begin(&c, body, from, parsed, verdict != NULL ? verdict : &found);
    if (good && from == ENDPOINT_CHAT) {
        put_body(&c, &c.kept, out);
    } else if (good) {
        put_object(&c, &c.kept, "options", &c.kept_options);
        put_object(&c, &c.root, "lull.ollama", &c.kept);
        put_body(&c, &c.root, out);
    }
    convert_end(&c);
    if (c.e == ERR_OK) {
        return true;
    }
    out->len = before;
    enum err e = buf_append_span(out, body);
    (void)e; /* no room: nothing is appended */
    return false;
}
