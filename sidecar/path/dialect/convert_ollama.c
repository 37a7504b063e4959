/* convert_ollama.c: the members of Ollama's chat and generate that are understood, and their
 * counterparts in chat completions. */
#include "path/dialect/convert_priv.h"

static void take_number(struct conversion *c, const char *name, const struct json_node *value)
{
    if (value->type != JSON_NUMBER) {
        convert_cannot(c, name);
    }
    convert_put_member(c, &c->root, name, value);
}

/* Below one it is no cap: 0 and -1 for "no limit", -2 for "until the context is full". */
static void take_limit(struct conversion *c, const char *name, const struct json_node *value)
{
    if (value->type != JSON_NUMBER) {
        convert_cannot(c, name);
    } else if (json_number_of(value) >= 1) {
        convert_put_member(c, &c->root, "max_tokens", value);
    } else {
        convert_put_member(c, &c->kept_options, name, value);
    }
}

static void take_stop(struct conversion *c, const char *name, const struct json_node *value)
{
    if (!convert_is_stop(value)) {
        convert_cannot(c, name);
    }
    convert_put_member(c, &c->root, name, value);
}

/* Ollama ignores it; Open WebUI sends it beside think (see convert.c). */
static void take_kwargs(struct conversion *c, const char *name, const struct json_node *value)
{
    (void)name;
    (void)convert_kwargs(value, &c->kwargs);
    c->kwargs_node = value;
}

static const struct known_member known_options[] = {
    /* samplers */
    {"temperature", take_number, false},
    {"top_p", take_number, false},
    {"top_k", take_number, false},
    {"min_p", take_number, false},
    {"seed", take_number, false},
    {"presence_penalty", take_number, false},
    {"frequency_penalty", take_number, false},
    {"repeat_penalty", take_number, false},
    {"num_predict", take_limit, false},
    {"stop", take_stop, false},
    {"chat_template_kwargs", take_kwargs, false},
    /* how the model is loaded */
    {"num_ctx", NULL, true},
    {"num_keep", NULL, true},
    {"num_gpu", NULL, true},
    {"main_gpu", NULL, true},
    {"num_thread", NULL, true},
    {"num_batch", NULL, true},
    {"use_mmap", NULL, true},
    {"use_mlock", NULL, true},
    {"low_vram", NULL, true},
    {"numa", NULL, true},
    {"vocab_only", NULL, true},
    {"f16_kv", NULL, true},
    /* samplers without a counterpart */
    {"mirostat", convert_never, false},
    {"mirostat_eta", convert_never, false},
    {"mirostat_tau", convert_never, false},
    {"tfs_z", convert_never, false},
    {"typical_p", convert_never, false},
    {"repeat_last_n", convert_never, false},
    {"penalize_newline", convert_never, false},
};

static void take_options(struct conversion *c, const char *name, const struct json_node *value)
{
    const struct known_members known = {
        known_options, sizeof known_options / sizeof known_options[0], "unknown option"};
    if (value->type != JSON_OBJECT) {
        convert_cannot(c, name);
        return;
    }
    convert_members(c, value, &known, &c->kept_options);
}

static void take_format(struct conversion *c, const char *name, const struct json_node *value)
{
    enum { BELOW = 3 }; /* the root, response_format, json_schema */
    struct buf *to = &c->root.text;
    if (json_depth(value) + BELOW >= JSON_SAFE_DEPTH) {
        convert_cannot(c, "JSON that is nested too deep");
    } else if (json_is_text(value, SPAN("json"))) {
        convert_put_text_member(c, &c->root, "response_format", SPAN("{\"type\":\"json_object\"}"));
    } else if (value->type == JSON_OBJECT) {
        convert_open_member(c, &c->root, "response_format");
        convert_put(c, to,
                    c->normalized ? SPAN("{\"json_schema\":{\"name\":\"answer\",\"schema\":")
                                  : SPAN("{\"type\":\"json_schema\",\"json_schema\":{\"name\":"
                                         "\"answer\",\"strict\":true,\"schema\":"));
        convert_put_value(c, to, value);
        convert_put(c, to,
                    c->normalized ? SPAN(",\"strict\":true},\"type\":\"json_schema\"}")
                                  : SPAN("}}"));
    } else if (!json_is_text(value, SPAN(""))) {
        convert_cannot(c, name);
    }
}

static void take_keep_alive(struct conversion *c, const char *name, const struct json_node *value)
{
    if (c->normalized) {
        convert_put_member(c, &c->root, name, value);
    }
}

/* A text of /api/generate. */
static void take_text(struct conversion *c, const struct json_node *value,
                      const struct json_node **to)
{
    if (c->from != ENDPOINT_OLLAMA_GENERATE) {
        convert_cannot(c, "unknown member");
    } else if (value->type != JSON_STRING) {
        convert_invalid(c);
    }
    *to = value;
}

static void take_prompt(struct conversion *c, const char *name, const struct json_node *value)
{
    (void)name;
    take_text(c, value, &c->prompt);
}

static void take_system(struct conversion *c, const char *name, const struct json_node *value)
{
    (void)name;
    take_text(c, value, &c->system);
}

static void take_messages(struct conversion *c, const char *name, const struct json_node *value)
{
    if (c->from != ENDPOINT_OLLAMA_CHAT) {
        convert_cannot(c, "unknown member");
    }
    convert_messages(c, name, value);
}

static const struct known_member known_at_root[] = {
    {"model", convert_model, false},
    {"messages", take_messages, false},
    {"prompt", take_prompt, false},
    {"system", take_system, false},
    /* how the answer is sent, and who asks */
    {"stream", NULL, false},
    {"stream_options", NULL, false},
    {"user", NULL, false},
    {"metadata", NULL, false},
    {"options", take_options, false},
    {"format", take_format, false},
    {"think", convert_think, false},
    {"keep_alive", take_keep_alive, false},
    /* Open WebUI 0.6.35 to 0.11.0 put it here, where Ollama does not look */
    {"num_predict", NULL, true},
    /* only where they ask for nothing */
    {"tools", convert_if_empty, true},
    {"functions", convert_if_empty, true},
    {"images", convert_if_empty, true},
    {"template", convert_if_empty, true},
    {"suffix", convert_if_empty, true},
    {"context", convert_if_empty, true},
    {"raw", convert_if_false, true},
    {"logprobs", convert_if_false, true},
    {"top_logprobs", convert_never, true},
    {"tool_choice", convert_never, true},
};

/* What OpenAI type servers go by: the switch of the chat template, or a level. */
static void put_think(struct conversion *c)
{
    static const struct span levels[] = {
        [THOUGHT_LOW] = {"\"low\"", 5},
        [THOUGHT_MEDIUM] = {"\"medium\"", 8},
        [THOUGHT_HIGH] = {"\"high\"", 6},
    };
    bool on = c->think == THOUGHT_ON;
    bool pair = c->kwargs == c->think && (on || c->think == THOUGHT_OFF);
    if (c->think > THOUGHT_ON) {
        convert_put_text_member(c, &c->root, "reasoning_effort", levels[c->think]);
    } else if (c->think != THOUGHT_UNSAID) {
        convert_put_text_member(c, &c->root, "chat_template_kwargs",
                                on ? SPAN("{\"enable_thinking\":true}")
                                   : SPAN("{\"enable_thinking\":false}"));
    }
    if (pair) {
        convert_put_text_member(c, &c->root, "think", on ? SPAN("true") : SPAN("false"));
    } else if (c->kwargs_node != NULL) {
        convert_put_member(c, &c->kept_options, "chat_template_kwargs", c->kwargs_node);
    }
}

void convert_from_ollama(struct conversion *c, const struct json_node *body)
{
    const struct known_members known = {
        known_at_root, sizeof known_at_root / sizeof known_at_root[0], "unknown member"};
    convert_members(c, body, &known, &c->kept);
    put_think(c);
    convert_prompt(c);
}
