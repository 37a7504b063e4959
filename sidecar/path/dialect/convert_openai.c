/* convert_openai.c: the members of a chat completion that are understood, in Ollama's words. A cap
 * of zero becomes one: Ollama takes zero for "no limit" (model-servers.md §1). */
#include "path/dialect/convert_priv.h"

#include "lull/path/json/json.h"

static void take_number(struct conversion *c, const struct member *m)
{
    if (!cJSON_IsNumber(m->item)) {
        convert_cannot(c, m->name);
    }
    convert_put_member(c, &c->options, m->name, m->raw);
}

/* Three names for one cap. Which of two wins is not the same everywhere. */
static void take_limit(struct conversion *c, const struct member *m)
{
    bool second = c->limit.ptr != NULL && !span_eq(c->limit, m->raw);
    if (!cJSON_IsNumber(m->item) || second) {
        convert_cannot(c, m->name);
    }
    c->limit = m->raw;
    c->limit_value = m->item->valuedouble;
}

static void put_list_of(struct conversion *c, struct buf *to, struct span raw)
{
    convert_put_member(c, to, "stop", SPAN("["));
    convert_put(c, to, raw);
    convert_put(c, to, SPAN("]"));
}

static void take_stop(struct conversion *c, const struct member *m)
{
    bool one = cJSON_IsString(m->item) && m->item->valuestring[0] != '\0';
    if (one) {
        put_list_of(c, &c->options, m->raw);
        put_list_of(c, &c->kept, m->raw);
    } else if (convert_is_stop(m->item)) {
        convert_put_member(c, &c->options, "stop", m->raw);
        convert_put_member(c, &c->kept, "stop", m->raw);
    } else {
        convert_cannot(c, m->name);
    }
}

/* Whether an object has only members of these names (and nulls). */
static bool has_only(const cJSON *object, const char *const *names, size_t count)
{
    const cJSON *child = NULL;
    cJSON_ArrayForEach(child, object)
    {
        bool named = cJSON_IsNull(child);
        for (size_t i = 0; i < count; i++) {
            named = named || strcmp(child->string, names[i]) == 0;
        }
        if (!named) {
            return false;
        }
    }
    return cJSON_IsObject(object);
}

/* The schema in `raw`, the text of `object`; none where something else is in it too. */
static bool schema_in(const cJSON *object, struct span raw, const char *const *names, size_t count,
                      struct span *schema)
{
    return has_only(object, names, count) &&
           cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(object, "schema")) &&
           json_member(raw, SPAN("schema"), schema);
}

static void take_format(struct conversion *c, const struct member *m)
{
    static const char *const plain[] = {"type"};
    static const char *const object[] = {"type", "schema"};
    static const char *const nested[] = {"type", "json_schema"};
    static const char *const inner[] = {"name", "strict", "schema"};
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(m->item, "type");
    const cJSON *in = cJSON_GetObjectItemCaseSensitive(m->item, "json_schema");
    struct span of_type = cJSON_IsString(type) ? span_of(type->valuestring) : SPAN_NONE;
    struct span raw = SPAN_NONE;
    struct span schema = SPAN_NONE;
    if (span_eq(of_type, SPAN("text")) && has_only(m->item, plain, 1)) {
        return;
    }
    if (span_eq(of_type, SPAN("json_object")) && has_only(m->item, plain, 1)) {
        convert_put_member(c, &c->root, "format", SPAN("\"json\""));
    } else if ((span_eq(of_type, SPAN("json_object")) &&
                schema_in(m->item, m->raw, object, 2, &schema)) ||
               (span_eq(of_type, SPAN("json_schema")) && has_only(m->item, nested, 2) &&
                json_member(m->raw, SPAN("json_schema"), &raw) &&
                schema_in(in, raw, inner, 3, &schema))) {
        convert_put_member(c, &c->root, "format", schema);
    } else {
        convert_cannot(c, m->name);
    }
}

static void take_kwargs(struct conversion *c, const struct member *m)
{
    c->kwargs_raw = m->raw;
    if (!convert_kwargs(m->item, &c->kwargs) &&
        !(cJSON_IsObject(m->item) && m->item->child == NULL)) {
        convert_cannot(c, m->name);
    }
}

static void take_effort(struct conversion *c, const struct member *m)
{
    static const struct {
        const char *effort;
        enum thought said;
    } efforts[] = {{"none", THOUGHT_OFF},
                   {"minimal", THOUGHT_LOW},
                   {"low", THOUGHT_LOW},
                   {"medium", THOUGHT_MEDIUM},
                   {"high", THOUGHT_HIGH}};
    for (size_t i = 0; cJSON_IsString(m->item) && i < sizeof efforts / sizeof efforts[0]; i++) {
        if (strcmp(m->item->valuestring, efforts[i].effort) == 0) {
            c->effort = efforts[i].said;
            return;
        }
    }
    convert_cannot(c, m->name);
}

static void take_keep_alive(struct conversion *c, const struct member *m)
{
    if (!cJSON_IsString(m->item) && !cJSON_IsNumber(m->item)) {
        convert_cannot(c, m->name);
    }
    convert_put_member(c, &c->root, m->name, m->raw);
}

static void take_count(struct conversion *c, const struct member *m)
{
    if (!cJSON_IsNumber(m->item) || m->item->valuedouble > 1) {
        convert_cannot(c, m->name);
    }
}

/* What several words about thinking say together; they must not contradict each other. */
static enum thought together(struct conversion *c)
{
    const enum thought all[] = {c->think, c->kwargs, c->effort};
    enum thought said = THOUGHT_UNSAID;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        bool vague = said == THOUGHT_UNSAID || said == THOUGHT_ON;
        bool against = said != THOUGHT_UNSAID && all[i] != THOUGHT_UNSAID &&
                       (said == THOUGHT_OFF) != (all[i] == THOUGHT_OFF);
        bool levels = !vague && all[i] > THOUGHT_ON && all[i] != said;
        if (against || levels) {
            convert_cannot(c, "words about thinking that contradict each other");
        }
        said = vague && all[i] != THOUGHT_UNSAID ? all[i] : said;
    }
    return said;
}

static void put_think(struct conversion *c)
{
    static const struct span words[] = {
        [THOUGHT_OFF] = {"false", 5},     [THOUGHT_ON] = {"true", 4},
        [THOUGHT_LOW] = {"\"low\"", 5},   [THOUGHT_MEDIUM] = {"\"medium\"", 8},
        [THOUGHT_HIGH] = {"\"high\"", 6},
    };
    enum thought said = together(c);
    if (said != THOUGHT_UNSAID) {
        convert_put_member(c, &c->root, "think", words[said]);
    }
    if (c->think == said && c->kwargs == said && said != THOUGHT_UNSAID) {
        convert_put_member(c, &c->options, "chat_template_kwargs", c->kwargs_raw);
    }
}

static const struct word words_at_root[] = {
    {"model", convert_model, true},
    {"messages", convert_messages, false},
    /* how the answer is sent, and who asks */
    {"stream", NULL, false},
    {"stream_options", NULL, false},
    {"user", NULL, false},
    {"metadata", NULL, false},
    /* no counterpart, and none is needed */
    {"options", NULL, true},
    {"service_tier", NULL, true},
    {"prompt_cache_key", NULL, true},
    {"safety_identifier", NULL, true},
    {"store", convert_if_false, true},
    {"keep_alive", take_keep_alive, true},
    /* samplers */
    {"temperature", take_number, true},
    {"top_p", take_number, true},
    {"top_k", take_number, true},
    {"min_p", take_number, true},
    {"seed", take_number, true},
    {"presence_penalty", take_number, true},
    {"frequency_penalty", take_number, true},
    {"repeat_penalty", take_number, true},
    {"max_tokens", take_limit, true},
    {"max_completion_tokens", take_limit, true},
    {"n_predict", take_limit, true},
    {"stop", take_stop, false},
    {"response_format", take_format, true},
    {"think", convert_think, true},
    {"chat_template_kwargs", take_kwargs, true},
    {"reasoning_effort", take_effort, true},
    /* only where they ask for nothing */
    {"tools", convert_if_empty, true},
    {"functions", convert_if_empty, true},
    {"logit_bias", convert_if_empty, true},
    {"logprobs", convert_if_false, true},
    {"n", take_count, true},
    {"best_of", take_count, true},
    {"tool_choice", convert_never, true},
    {"top_logprobs", convert_never, true},
    {"audio", convert_never, true},
    {"modalities", convert_never, true},
    {"prediction", convert_never, true},
    {"web_search_options", convert_never, true},
    {"grammar", convert_never, true},
};

void convert_from_openai(struct conversion *c, const struct member *body)
{
    const struct words words = {words_at_root, sizeof words_at_root / sizeof words_at_root[0],
                                "unknown member"};
    convert_members(c, body, &words, &c->kept);
    if (c->limit.ptr != NULL) {
        bool none = c->limit_value >= 0 && c->limit_value < 1;
        convert_put_member(c, &c->options, "num_predict", none ? SPAN("1") : c->limit);
    }
    put_think(c);
}
