/* events.c: one event of each dialect's stream, or its whole answer, into the neutral answer. */
#include "path/dialect/dialect_priv.h"

static const cJSON *get(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* A number that a server says, times factor, below a bound that no real one reaches; -1: none. */
static int64_t number_of(const cJSON *object, const char *name, double factor, double bound)
{
    const cJSON *n = get(object, name);
    double d = cJSON_IsNumber(n) ? n->valuedouble * factor : -1;
    return d >= 0 && d < bound ? (int64_t)d : -1;
}

/* Tokens: sums and prices of them stay far inside of an int64_t. */
static int64_t count_of(const cJSON *object, const char *name)
{
    return number_of(object, name, 1, 1e12);
}

/* A duration in microseconds, of which the server's unit has `us`. */
static usec_t duration_of(const cJSON *object, const char *name, double us)
{
    return number_of(object, name, us, 1e12);
}

static void take_count(int64_t *to, int64_t n)
{
    *to = n >= 0 ? n : *to;
}

/* The words that servers end an answer with. `OTHER`: it is no answer, or not all of it. */
static const struct {
    const char *word;
    enum finish finish;
} reasons[] = {
    {"stop", FINISH_STOP},
    {"eos", FINISH_STOP},
    {"eos_token", FINISH_STOP},
    {"end_turn", FINISH_STOP},
    {"stop_sequence", FINISH_STOP},
    {"length", FINISH_LENGTH},
    {"max_tokens", FINISH_LENGTH},
    {"model_length", FINISH_LENGTH},
    {"max_output_tokens", FINISH_LENGTH},
    {"content_filter", FINISH_OTHER},
    {"safety", FINISH_OTHER},
    {"recitation", FINISH_OTHER},
    {"refusal", FINISH_OTHER},
    {"tool_calls", FINISH_OTHER},
    {"tool_use", FINISH_OTHER},
    {"function_call", FINISH_OTHER},
    {"load", FINISH_OTHER},
    {"unload", FINISH_OTHER},
    {"error", FINISH_OTHER},
    {"abort", FINISH_OTHER},
    {"cancelled", FINISH_OTHER},
};

/* A word that is not known says nothing: what ends such an answer is its end mark. */
static void take_finish(struct assembler *a, const cJSON *reason)
{
    struct span word = span_of(cJSON_IsString(reason) ? reason->valuestring : NULL);
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (span_eq_nocase(word, span_of(reasons[i].word))) {
            a->answer.finish = reasons[i].finish;
            a->finish_seen = true;
            return;
        }
    }
}

static bool has_calls(const cJSON *message)
{
    const cJSON *function = get(message, "function_call");
    return cJSON_GetArraySize(get(message, "tool_calls")) > 0 ||
           (function != NULL && !cJSON_IsNull(function));
}

static void take_message(struct assembler *a, const cJSON *message)
{
    const cJSON *thinking = get(message, "reasoning_content");
    a->calls = a->calls || has_calls(message);
    a->odd = a->odd || a->calls;
    assemble_content(a, get(message, "content"));
    bool there = thinking != NULL && !cJSON_IsNull(thinking);
    assemble_thinking(a, there ? thinking : get(message, "reasoning"));
}

static void take_usage(struct assembler *a, const cJSON *root)
{
    const cJSON *usage = get(root, "usage");
    const cJSON *timings = get(root, "timings");
    take_count(&a->answer.tokens_in, count_of(usage, "prompt_tokens"));
    take_count(&a->answer.tokens_out, count_of(usage, "completion_tokens"));
    take_count(&a->answer.cached_tokens,
               count_of(get(usage, "prompt_tokens_details"), "cached_tokens"));
    /* llama.cpp says it with the last event, also where no usage was asked for */
    int64_t cached = count_of(timings, "cache_n");
    int64_t read = count_of(timings, "prompt_n");
    take_count(&a->answer.cached_tokens, cached);
    if (a->answer.tokens_in < 0 && cached >= 0 && read >= 0) {
        a->answer.tokens_in = cached + read;
    }
    if (a->answer.tokens_out < 0) {
        take_count(&a->answer.tokens_out, count_of(timings, "predicted_n"));
    }
    usec_t prompt = duration_of(timings, "prompt_ms", 1000);
    usec_t predicted = duration_of(timings, "predicted_ms", 1000);
    if (prompt >= 0 && predicted >= 0) {
        a->answer.model_time = prompt + predicted;
    }
}

static bool is_object(const cJSON *item)
{
    return item == NULL || cJSON_IsNull(item) || cJSON_IsObject(item);
}

static void take_choice(struct assembler *a, const cJSON *choice, bool streamed)
{
    size_t before = a->answer.content.len + a->answer.thinking.len;
    const cJSON *delta = streamed ? get(choice, "delta") : NULL;
    /* Some servers send the whole message as the only event of a stream. After deltas it would be
     * said twice. */
    bool takes_whole = delta == NULL && (!streamed || before == 0);
    const cJSON *message = takes_whole ? get(choice, "message") : delta;
    if (!is_object(message) || (!streamed && !cJSON_IsObject(message))) {
        a->odd = true;
        return;
    }
    take_message(a, message);
    if (a->answer.content.len + a->answer.thinking.len > before) {
        a->finish_seen = false; /* it was not the end */
    }
    take_finish(a, get(choice, "finish_reason"));
}

/* An event that only keeps the connection alive: {} or {"type": "ping"}. */
static bool is_ping(const cJSON *root)
{
    const cJSON *type = get(root, "type");
    return root->child == NULL || (cJSON_IsString(type) && strcmp(type->valuestring, "ping") == 0);
}

void openai_event(struct assembler *a, const cJSON *root, bool streamed)
{
    const cJSON *choices = get(root, "choices");
    const cJSON *error = find_error(root);
    if (error != NULL) {
        assemble_error(a, root, error);
        return;
    }
    if (streamed && is_ping(root)) {
        return;
    }
    int count = cJSON_GetArraySize(choices);
    const cJSON *choice = cJSON_GetArrayItem(choices, 0);
    bool list = cJSON_IsArray(choices) || (streamed && cJSON_IsNull(choices)); /* with usage */
    if (!list || count > 1 || count_of(choice, "index") > 0 ||
        (streamed ? count == 1 && !cJSON_IsObject(choice) : count == 0)) {
        a->odd = true;
        return;
    }
    if (choice != NULL) {
        take_choice(a, choice, streamed);
    }
    take_usage(a, root);
    a->ended = a->ended || !streamed;
}

static void take_ollama_figures(struct answer *to, const cJSON *root)
{
    take_count(&to->tokens_in, count_of(root, "prompt_eval_count"));
    take_count(&to->tokens_out, count_of(root, "eval_count"));
    usec_t prompt = duration_of(root, "prompt_eval_duration", 0.001);
    usec_t eval = duration_of(root, "eval_duration", 0.001);
    usec_t load = duration_of(root, "load_duration", 0.001);
    if (eval >= 0) {
        to->model_time = eval + (prompt > 0 ? prompt : 0) + (load > 0 ? load : 0);
    } else {
        take_count(&to->model_time, duration_of(root, "total_duration", 0.001));
    }
}

void ollama_event(struct assembler *a, const cJSON *root)
{
    const cJSON *message = get(root, "message");
    const cJSON *response = get(root, "response");
    const cJSON *error = find_error(root);
    if (error != NULL) {
        assemble_error(a, root, error);
        return;
    }
    if (!is_object(message) || (!cJSON_IsObject(message) && response == NULL)) {
        a->odd = true;
        return;
    }
    bool chat = cJSON_IsObject(message);
    a->calls = a->calls || has_calls(message);
    a->odd = a->odd || a->calls;
    assemble_content(a, chat ? get(message, "content") : response);
    assemble_thinking(a, get(chat ? message : root, "thinking"));
    if (cJSON_IsTrue(get(root, "done"))) {
        a->ended = true;
        take_finish(a, get(root, "done_reason"));
        take_ollama_figures(&a->answer, root);
    }
}
