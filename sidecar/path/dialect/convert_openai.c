/* convert_openai.c: the members of a chat completion that are understood, and their
 * counterparts in Ollama. A cap of zero becomes one: Ollama takes zero for "no limit". */
#include "path/dialect/convert_priv.h"

static void take_number(struct conversion *c, const char *name, const struct json_node *value)
{
    if (value->type != JSON_NUMBER) {
        convert_cannot(c, name);
    }
    convert_put_member(c, &c->options, name, value);
}

/* Three names for one cap. Which of two wins is not the same everywhere. */
static void take_limit(struct conversion *c, const char *name, const struct json_node *value)
{
    bool second = c->limit != NULL && !span_eq(c->limit->raw, value->raw);
    if (value->type != JSON_NUMBER || second) {
        convert_cannot(c, name);
    }
    c->limit = value;
}

/* One text is a list of it. */
static void put_stop(struct conversion *c, const char *name, const struct json_node *value,
                     struct members *to)
{
    bool one = value->type == JSON_STRING;
    convert_open_member(c, to, name);
    convert_put(c, &to->text, one ? SPAN("[") : SPAN_NONE);
    convert_put_value(c, &to->text, value);
    convert_put(c, &to->text, one ? SPAN("]") : SPAN_NONE);
}

static void take_stop(struct conversion *c, const char *name, const struct json_node *value)
{
    bool one = value->type == JSON_STRING && !json_is_text(value, SPAN(""));
    if (!one && !convert_is_stop(value)) {
        convert_cannot(c, name);
    }
    put_stop(c, name, value, &c->options);
    put_stop(c, name, value, &c->kept);
}

/* Whether it is an object that has only members of these names (and nulls). */
static bool has_only(const struct json_node *object, const struct span *names, size_t count)
{
    JSON_EACH(value, object)
    {
        bool named = value->type == JSON_NULL;
        for (size_t i = 0; i < count; i++) {
            named = named || json_named(value, names[i]);
        }
        if (!named) {
            return false;
        }
    }
    return json_is(object, JSON_OBJECT);
}

static void take_format(struct conversion *c, const char *name, const struct json_node *value)
{
    static const struct span names[] = {{"type", 4}, {"schema", 6}};
    static const struct span nested[] = {{"type", 4}, {"json_schema", 11}};
    static const struct span inner[] = {{"name", 4}, {"strict", 6}, {"schema", 6}};
    const struct json_node *type = json_get(value, SPAN("type"));
    const struct json_node *in = json_get(value, SPAN("json_schema"));
    const struct json_node *schema = NULL;
    bool alone = has_only(value, names, 1);
    if (alone && json_is_text(type, SPAN("text"))) {
        return;
    }
    if (alone && json_is_text(type, SPAN("json_object"))) {
        convert_put_text_member(c, &c->root, "format", SPAN("\"json\""));
        return;
    }
    if (json_is_text(type, SPAN("json_object")) && has_only(value, names, 2)) {
        schema = json_get(value, SPAN("schema"));
    } else if (json_is_text(type, SPAN("json_schema")) && has_only(value, nested, 2) &&
               has_only(in, inner, 3)) {
        schema = json_get(in, SPAN("schema"));
    }
    if (json_is(schema, JSON_OBJECT)) {
        convert_put_member(c, &c->root, "format", schema);
    } else {
        convert_cannot(c, name);
    }
}

static void take_kwargs(struct conversion *c, const char *name, const struct json_node *value)
{
    c->kwargs_node = value;
    if (!convert_kwargs(value, &c->kwargs) && !(value->type == JSON_OBJECT && value->size == 1)) {
        convert_cannot(c, name);
    }
}

static void take_effort(struct conversion *c, const char *name, const struct json_node *value)
{
    static const struct thought_level levels[] = {{{"none", 4}, THOUGHT_OFF},
                                                  {{"minimal", 7}, THOUGHT_LOW},
                                                  {{"low", 3}, THOUGHT_LOW},
                                                  {{"medium", 6}, THOUGHT_MEDIUM},
                                                  {{"high", 4}, THOUGHT_HIGH}};
    c->effort = convert_level(value, levels, sizeof levels / sizeof levels[0]);
    if (c->effort == THOUGHT_UNSAID) {
        convert_cannot(c, name);
    }
}

static void take_keep_alive(struct conversion *c, const char *name, const struct json_node *value)
{
    if (value->type != JSON_STRING && value->type != JSON_NUMBER) {
        convert_cannot(c, name);
    }
    convert_put_member(c, &c->root, name, value);
}

static void take_count(struct conversion *c, const char *name, const struct json_node *value)
{
    if (value->type != JSON_NUMBER || json_number_of(value) > 1) {
        convert_cannot(c, name);
    }
}

/* What several members about thinking say together; they must not contradict each other. */
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
    static const struct span values[] = {
        [THOUGHT_OFF] = {"false", 5},     [THOUGHT_ON] = {"true", 4},
        [THOUGHT_LOW] = {"\"low\"", 5},   [THOUGHT_MEDIUM] = {"\"medium\"", 8},
        [THOUGHT_HIGH] = {"\"high\"", 6},
    };
    enum thought said = together(c);
    if (said != THOUGHT_UNSAID) {
        convert_put_text_member(c, &c->root, "think", values[said]);
    }
    if (c->think == said && c->kwargs == said && said != THOUGHT_UNSAID) {
        convert_put_member(c, &c->options, "chat_template_kwargs", c->kwargs_node);
    }
}

static const struct known_member known_at_root[] = {
    {"model", convert_model, false},
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

void convert_from_openai(struct conversion *c, const struct json_node *body)
{
    const struct known_members known = {
        known_at_root, sizeof known_at_root / sizeof known_at_root[0], "unknown member"};
    convert_members(c, body, &known, &c->kept);
    if (c->limit != NULL) {
        double cap = json_number_of(c->limit);
        convert_put_text_member(c, &c->options, "num_predict",
                                cap >= 0 && cap < 1 ? SPAN("1") : c->limit->raw);
    }
    put_think(c);
}
