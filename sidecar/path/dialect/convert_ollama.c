/* convert_ollama.c: the members of Ollama's chat and generate that are understood, in the words of
 * chat completions. */
#include "path/dialect/convert_priv.h"

static void take_number(struct conversion *c, const struct member *m)
{
    if (!cJSON_IsNumber(m->item)) {
        convert_cannot(c, m->name);
    }
    convert_put_member(c, &c->root, m->name, m->raw);
}

/* Below one it is no cap: 0 and -1 for "no limit", -2 for "until the context is full". */
static void take_limit(struct conversion *c, const struct member *m)
{
    if (!cJSON_IsNumber(m->item)) {
        convert_cannot(c, m->name);
    } else if (m->item->valuedouble >= 1) {
        convert_put_member(c, &c->root, "max_tokens", m->raw);
    } else {
        convert_put_member(c, &c->kept_options, m->name, m->raw);
    }
}

static void take_stop(struct conversion *c, const struct member *m)
{
    if (!convert_is_stop(m->item)) {
        convert_cannot(c, m->name);
    }
    convert_put_member(c, &c->root, "stop", m->raw);
}

/* Ollama ignores it; Open WebUI sends it beside think (see convert.c). */
static void take_kwargs(struct conversion *c, const struct member *m)
{
    (void)convert_kwargs(m->item, &c->kwargs);
    c->kwargs_raw = m->raw;
}

static const struct word words_of_options[] = {
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

static void take_options(struct conversion *c, const struct member *m)
{
    const struct words words = {
        words_of_options, sizeof words_of_options / sizeof words_of_options[0], "unknown option"};
    if (!cJSON_IsObject(m->item)) {
        convert_cannot(c, m->name);
        return;
    }
    convert_members(c, m, &words, &c->kept_options);
}

static void take_format(struct conversion *c, const struct member *m)
{
    bool word = cJSON_IsString(m->item);
    if (word && strcmp(m->item->valuestring, "json") == 0) {
        convert_put_member(c, &c->root, "response_format", SPAN("{\"type\":\"json_object\"}"));
    } else if (cJSON_IsObject(m->item)) {
        convert_put_member(c, &c->root, "response_format",
                           SPAN("{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"answer\","
                                "\"strict\":true,\"schema\":"));
        convert_put(c, &c->root, m->raw);
        convert_put(c, &c->root, SPAN("}}"));
    } else if (!word || m->item->valuestring[0] != '\0') {
        convert_cannot(c, m->name);
    }
}

static void take_keep_alive(struct conversion *c, const struct member *m)
{
    if (c->neutral) {
        convert_put_member(c, &c->root, m->name, m->raw);
    }
}

static void take_prompt(struct conversion *c, const struct member *m)
{
    if (c->from != ENDPOINT_OLLAMA_GENERATE) {
        convert_cannot(c, "unknown member");
    } else if (!cJSON_IsString(m->item)) {
        convert_invalid(c);
    }
    c->prompt = m->raw;
}

static void take_system(struct conversion *c, const struct member *m)
{
    if (c->from != ENDPOINT_OLLAMA_GENERATE) {
        convert_cannot(c, "unknown member");
    } else if (!cJSON_IsString(m->item)) {
        convert_invalid(c);
    }
    c->system = m->raw;
}

static void take_messages(struct conversion *c, const struct member *m)
{
    if (c->from != ENDPOINT_OLLAMA_CHAT) {
        convert_cannot(c, "unknown member");
    }
    convert_messages(c, m);
}

static const struct word words_at_root[] = {
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
        convert_put_member(c, &c->root, "reasoning_effort", levels[c->think]);
    } else if (c->think != THOUGHT_UNSAID) {
        convert_put_member(c, &c->root, "chat_template_kwargs",
                           on ? SPAN("{\"enable_thinking\":true}")
                              : SPAN("{\"enable_thinking\":false}"));
    }
    if (pair) {
        convert_put_member(c, &c->root, "think", on ? SPAN("true") : SPAN("false"));
    } else if (c->kwargs_raw.ptr != NULL) {
        convert_put_member(c, &c->kept_options, "chat_template_kwargs", c->kwargs_raw);
    }
}

void convert_from_ollama(struct conversion *c, const struct member *body)
{
    const struct words words = {words_at_root, sizeof words_at_root / sizeof words_at_root[0],
                                "unknown member"};
    convert_members(c, body, &words, &c->kept);
    put_think(c);
    convert_prompt(c);
}
